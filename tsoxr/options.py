"""Options that hold for a session: ``tsoxr.set_options(progress=False)``."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from typing import Any, Self

__all__ = ["OPTIONS", "set_options"]


@dataclass
class Options:
    """The current value of each option; change them through `set_options`."""

    chunk_mb: float = 16.0
    progress: bool = True
    threads: int | None = None
    modes: str | None = None
    reuse_mb: float = 400.0


OPTIONS = Options()


class set_options:  # noqa: N801 -- reads as a function, as in xarray
    """Set options for the session, or for a ``with`` block.

    Parameters
    ----------
    chunk_mb : float
        Size of one chunk of raw ramps once it is float32, megabytes.
    progress : bool
        Show a progress bar for work that takes longer than two seconds.
    threads : int or None
        Threads used when tsoxr computes lazy data; ``None`` leaves it to dask.
    modes : str or None
        Path of a TOML file whose tables override the built-in mode defaults.
    reuse_mb : float
        Most memory, megabytes, for chunks that one estimate leaves to the next and to the pass
        over the data, so that these need not be made from the files again; 0 for none.

    Raises
    ------
    TypeError
        For an option that does not exist; the message names the nearest one.
    ValueError
        For a chunk size or a number of threads that is not positive, or a negative ``reuse_mb``.

    Examples
    --------
    >>> import tsoxr
    >>> with tsoxr.set_options(progress=False):
    ...     pass
    """

    def __init__(self, **given: Any) -> None:
        allowed = [f.name for f in fields(Options)]
        for name, value in given.items():
            if name not in allowed:
                near = difflib.get_close_matches(name, allowed, n=1)
                hint = f"did you mean {near[0]!r}" if near else f"it takes {allowed}"
                raise TypeError(f"set_options() has no option {name!r}; {hint}")
            if name in ("chunk_mb", "threads") and value is not None and not value > 0:
                raise ValueError(f"set_options: {name} is {value!r}; it must be positive")
            if name == "reuse_mb" and not value >= 0:
                raise ValueError(f"set_options: reuse_mb is {value!r}; it must be 0 or more")
        self._before = {name: getattr(OPTIONS, name) for name in given}
        for name, value in given.items():
            setattr(OPTIONS, name, value)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for name, value in self._before.items():
            setattr(OPTIONS, name, value)
