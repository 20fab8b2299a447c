"""Estimates that hide from dask, and are made in their order before the pass that needs them.

An estimate is one task that reads its sample when it is first needed, remembers the small
result and keeps none of the chunks. Sharing the tasks of the main pass instead would hold
every sampled chunk in memory until the end of that pass.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import progress
from tsoxr.options import OPTIONS
from tsoxr.reuse import Relay, Work, is_possible
from tsoxr.streaming import gather, stream
from tsoxr.workers import hand_back_memory, in_this_process, scheduler

__all__ = ["Deferred", "defer", "filled", "prepared", "run"]

FEW_CHUNKS = 64
"""A pass over more chunks than this gains nothing from those that estimates have looked at."""

_WAITING: weakref.WeakValueDictionary[str, Deferred] = weakref.WeakValueDictionary()
"""The estimates that some lazy array waits for, by the key of their task, earlier ones first."""

_RELAY: ContextVar[Relay | None] = ContextVar("tsoxr_relay", default=None)


class Deferred:
    """A function of lazy arrays that runs once and whose arrays dask does not see."""

    def __init__(
        self, func: Callable[..., np.ndarray], arrays: list[xr.DataArray], dtype: Any
    ) -> None:
        self._func, self._arrays, self._dtype = func, arrays, dtype
        self._lock = threading.Lock()
        self._value: np.ndarray | None = None

    def __call__(self) -> np.ndarray:
        """Return the estimate, made at the first call."""
        with self._lock:
            if self._value is None:
                values = [array.data for array in self._arrays]
                places = [i for i, value in enumerate(values) if hasattr(value, "dask")]
                with prepared([values[i] for i in places]):
                    made = filled([values[i] for i in places])
                for i, value in zip(places, made, strict=True):
                    values[i] = value
                self._value = np.asarray(self._func(*values), dtype=self._dtype)
                self._arrays = []
            return self._value

    def needs(self) -> list[Any]:
        """Return the dask arrays that it still has to look at."""
        return [a.data for a in self._arrays if hasattr(a.data, "dask")]

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


def defer(
    func: Callable[..., np.ndarray],
    arrays: list[xr.DataArray],
    shape: tuple[int, ...],
    dtype: Any,
) -> Any:
    """Return a dask array of one chunk that calls ``func`` with numpy arrays when needed."""
    import dask
    import dask.array as da

    hidden = Deferred(func, arrays, np.dtype(dtype))
    task = dask.delayed(hidden, pure=False, traverse=False)()
    _WAITING[task.key] = hidden
    meta = np.empty((0,) * len(shape), dtype)
    return da.from_delayed(task, shape=shape, dtype=dtype, meta=meta)


@contextmanager
def prepared(arrays: list[Any]) -> Iterator[None]:
    """Make the estimates that lazy arrays wait for; passes inside go on from what is left of them.

    Within a pass the other threads would go on making chunks while one works on an
    estimate, and hold them until it is there.

    Parameters
    ----------
    arrays : list of dask.array.Array
        What will be computed inside.
    """
    hand_back_memory()
    if _RELAY.get() is not None:  # in their order already
        yield
        return
    relay = None
    if OPTIONS.reuse_mb > 0 and in_this_process() and is_possible():
        relay = Relay(1e6 * OPTIONS.reuse_mb)
    token = _RELAY.set(relay)
    try:
        _make(_pending(arrays), arrays, relay)
        yield
    finally:
        _RELAY.reset(token)
        if relay is not None:
            relay.close()


def _pending(arrays: list[Any]) -> list[Deferred]:
    """Return the estimates behind arrays that are not made yet, in the order of their making."""
    found: dict[str, Deferred] = {}
    looked_at: list[list[Any]] = [arrays]
    known = dict(_WAITING.items())
    while looked_at:
        layers = {layer for array in looked_at.pop() for layer in array.__dask_graph__().layers}
        for key in layers & known.keys() - found.keys():
            found[key] = known[key]
            looked_at.append(known[key].needs())
    return [hidden for key, hidden in known.items() if key in found and hidden.needs()]


def _make(pending: list[Deferred], arrays: list[Any], relay: Relay | None) -> None:
    if not pending:
        return
    if relay is not None:
        several = max((array.npartitions for array in arrays), default=0)
        of_pass = [Work(arrays)] if 0 < several <= FEW_CHUNKS else []
        relay.later = [Work(hidden.needs()) for hidden in pending] + of_pass
    size = sum(array.nbytes for hidden in pending for array in hidden.needs())
    with progress.stage("sample", size):
        for hidden in pending:
            if relay is not None:
                del relay.later[0]
            hidden()


def filled(arrays: list[Any], *, small: bool = False) -> list[np.ndarray]:
    """Compute dask arrays whose estimates are made, each chunk straight to its place.

    Gathering the chunks and joining them at the end, as `dask.compute` does, takes twice
    the memory of the result. ``small``: see `run`.
    """
    targets = [np.empty(a.shape, a.dtype) for a in arrays]
    run(arrays, [target.__setitem__ for target in targets], small=small)
    return targets


def run(
    arrays: list[Any], writes: list[Any], *, size: float | None = None, small: bool = False
) -> None:
    """Compute dask arrays whose estimates are made; see `streaming.stream`.

    Parameters
    ----------
    arrays, writes
        As for `streaming.stream`.
    size : float, optional
        Bytes that it is in the progress bar; those of ``arrays`` if not given.
    small : bool
        Nothing of it is worth keeping or telling.
    """
    size = sum(array.nbytes for array in arrays) if size is None else size
    tell = None if small else progress.teller(size)
    if in_this_process():
        stream(arrays, writes, None if small else _RELAY.get(), tell, **scheduler())
    else:
        gather(arrays, writes, tell)
