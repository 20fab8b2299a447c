"""Progress bars for passes over lazy data: bytes, their rate, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tsoxr.options import OPTIONS

__all__ = ["progress", "stage", "teller"]

DELAY = 2.0
"""Nothing is shown for work that is done in so many seconds."""

FORMAT = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}B of {total_fmt}B, {rate_fmt}, {remaining} left"


class _Bars:
    """The bars of one call, one for each stage of it."""

    def __init__(self, label: str) -> None:
        self._label, self._start = label, time.monotonic()
        self._bar: Any = None

    def begin(self, what: str, size: float) -> None:
        """Begin a stage in which so many bytes will be worked on."""
        from tqdm.auto import tqdm

        self.end()
        waited = time.monotonic() - self._start
        self._bar = tqdm(
            total=size,
            desc=f"{self._label}: {what}",
            delay=max(DELAY - waited, 0.0),
            unit="B",
            unit_scale=True,
            miniters=1,
            mininterval=0.2,
            smoothing=0.1,
            leave=False,
            bar_format=FORMAT,
        )

    def advance(self, size: float) -> None:
        """Show that so many more bytes are done."""
        if self._bar is not None:
            self._bar.update(size)

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


_BARS: ContextVar[_Bars | None] = ContextVar("tsoxr_progress", default=None)


@contextmanager
def progress(label: str) -> Iterator[None]:
    """Show bars for the stages of what is computed inside, unless an outer one does."""
    if not OPTIONS.progress or _BARS.get() is not None:
        yield
        return
    bars = _Bars(label)
    token = _BARS.set(bars)
    try:
        yield
    finally:
        _BARS.reset(token)
        bars.end()


@contextmanager
def stage(what: str, size: float) -> Iterator[None]:
    """Show a bar of its own for a stage of the work.

    Parameters
    ----------
    what : str
        Follows the label of the call, such as "sample".
    size : float
        Bytes that will be worked on.
    """
    bars = _BARS.get()
    if bars is None:
        yield
        return
    bars.begin(what, size)
    try:
        yield
    finally:
        bars.end()


def teller(size: float) -> Callable[[float], None] | None:
    """Return a function that takes the part of so many bytes that was done; None without a bar."""
    bars = _BARS.get()
    return None if bars is None else lambda part: bars.advance(part * size)
