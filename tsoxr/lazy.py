"""Work on data that may not be in memory: sampling in time, and one-pass computing.

A quantity that must be constant in time (a mask, a weight, a bias) is estimated from a
sample of the integrations. For lazy data the estimate is itself lazy: it hides behind one
task, which reads its sample when it is first needed, remembers the small result and keeps
none of the chunks. Sharing the tasks of the main pass instead would hold every sampled
chunk in memory until the end of that pass.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from tsoxr.options import OPTIONS
from tsoxr.progress import progress
from tsoxr.streaming import Write, gather, stream

__all__ = [
    "Write",
    "compute",
    "is_lazy",
    "load_static",
    "sample_indices",
    "static_from_sample",
    "store",
    "time_median",
]

SAMPLE_BLOCKS = 8
"""Contiguous runs of integrations that a sample is made of: few runs touch few chunks."""


def is_lazy(obj: Any) -> bool:
    """Return True for a DataArray or Dataset that holds data not yet computed."""
    if isinstance(obj, xr.Dataset):
        return any(v.chunks is not None for v in obj.variables.values())
    return getattr(obj, "chunks", None) is not None


def sample_indices(n_time: int, n_sample: int = 32) -> np.ndarray:
    """Return the integrations that stand for an exposure, spread over all of it.

    Parameters
    ----------
    n_time : int
        Number of integrations.
    n_sample : int
        Wanted size of the sample.

    Returns
    -------
    numpy.ndarray
        Sorted indices, int64, in `SAMPLE_BLOCKS` runs; all of them where there are no
        more than ``n_sample``. They depend on nothing but the two numbers, so lazy and
        loaded data give the same estimate.

    Examples
    --------
    >>> sample_indices(1000, 16)
    array([  0,   1, 142, 143, 285, 286, 427, 428, 570, 571, 712, 713, 855,
           856, 998, 999])
    """
    if n_time <= n_sample:
        return np.arange(n_time)
    length = max(n_sample // SAMPLE_BLOCKS, 1)
    starts = np.linspace(0, n_time - length, n_sample // length).astype(np.int64)
    return np.unique(starts[:, None] + np.arange(length)).astype(np.int64)


def static_from_sample(
    func: Callable[..., np.ndarray],
    *arrays: xr.DataArray,
    dims: tuple[str, ...],
    dtype: Any = "float32",
    n_sample: int = 32,
) -> xr.DataArray:
    """Estimate a quantity without a time axis from a sample of the integrations.

    Parameters
    ----------
    func : callable
        Takes one numpy array per item of ``arrays`` (those with a ``time`` dim cut to the
        sample, time first) and returns one numpy array with ``dims``.
    *arrays : xarray.DataArray
        The data; lazy or not.
    dims : tuple of str
        Dims of the result; their sizes come from ``arrays``.
    dtype : numpy dtype
        Type of the result.
    n_sample : int
        Size of the sample, integrations.

    Returns
    -------
    xarray.DataArray
        Without coordinates; lazy if any of ``arrays`` is. The lazy form is computed when
        first needed, once, however often it is used.
    """
    sampled = [_sample(array, n_sample) for array in arrays]
    if not any(is_lazy(array) for array in sampled):
        values = np.asarray(func(*[array.values for array in sampled]), dtype=dtype)
        return xr.DataArray(values, dims=dims)
    import dask
    import dask.array as da

    sizes: dict[Any, int] = {}
    for array in arrays:
        sizes.update(array.sizes)
    hidden = _Deferred(func, sampled, np.dtype(dtype))
    task = dask.delayed(hidden, pure=False, traverse=False)()
    _DEFERRED[task.key] = hidden
    data = da.from_delayed(
        task,
        shape=tuple(sizes[d] for d in dims),
        dtype=dtype,
        meta=np.empty((0,) * len(dims), dtype),
    )
    return xr.DataArray(data, dims=dims)


def _sample(array: xr.DataArray, n_sample: int) -> xr.DataArray:
    if "time" not in array.dims:
        return array.reset_coords(drop=True)
    indices = sample_indices(array.sizes["time"], n_sample)
    return array.reset_coords(drop=True).isel(time=indices).transpose("time", ...)


_DEFERRED: weakref.WeakValueDictionary[str, _Deferred] = weakref.WeakValueDictionary()
"""The estimates that some lazy array still waits for, by the key of their task."""


def _settle(arrays: list[Any]) -> None:
    """Compute the estimates that lazy arrays wait for, before the pass over the data.

    Within that pass the other threads would go on making chunks while one works on an
    estimate, and hold them until it is there.
    """
    waiting = {layer for array in arrays for layer in array.__dask_graph__().layers}
    for key, hidden in list(_DEFERRED.items()):
        if key in waiting:
            hidden()


class _Deferred:
    """A function of lazy arrays that runs once and whose arrays dask does not see."""

    def __init__(
        self, func: Callable[..., np.ndarray], arrays: list[xr.DataArray], dtype: Any
    ) -> None:
        self._func, self._arrays, self._dtype = func, arrays, dtype
        self._lock = threading.Lock()
        self._value: np.ndarray | None = None

    def __call__(self) -> np.ndarray:
        with self._lock:
            if self._value is None:
                _settle([a.data for a in self._arrays if is_lazy(a)])
                values = _compute_arrays(self._arrays)
                self._value = np.asarray(self._func(*values), dtype=self._dtype)
                self._arrays = []
            return self._value

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


def _compute_arrays(arrays: list[xr.DataArray]) -> list[np.ndarray]:
    import dask

    _hand_back_memory()
    return list(dask.compute(*[a.data for a in arrays], **_scheduler()))


def _scheduler() -> dict[str, Any]:
    return (
        {} if OPTIONS.threads is None else {"scheduler": "threads", "num_workers": OPTIONS.threads}
    )


def time_median(array: xr.DataArray, n_sample: int = 32) -> xr.DataArray:
    """Return the median over a sample of the integrations, NaN ignored.

    Parameters
    ----------
    array : xarray.DataArray
        With a ``time`` dim; lazy stays lazy.
    n_sample : int
        Size of the sample, integrations.

    Returns
    -------
    xarray.DataArray
        float32, without ``time`` and without coordinates.
    """
    dims = tuple(str(d) for d in array.dims if d != "time")
    return static_from_sample(_nanmedian, array, dims=dims, n_sample=n_sample)


def _nanmedian(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind != "f" or not np.isnan(values).any():
        return np.median(values, axis=0)
    import warnings

    with warnings.catch_warnings():  # a pixel that is NaN throughout stays NaN
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmedian(values, axis=0)


def compute(ds: xr.Dataset, *, label: str = "computing") -> xr.Dataset:
    """Load every lazy variable of a Dataset in one pass over the data.

    Parameters
    ----------
    ds : xarray.Dataset
        Lazy or not.
    label : str
        What the progress bar says; it appears after two seconds.

    Returns
    -------
    xarray.Dataset
        New Dataset with all variables in memory.
    """
    if not is_lazy(ds):
        return ds
    _hand_back_memory()
    with progress(label):
        if not _in_this_process():
            return ds.compute(**_scheduler())
        ds = load_static(ds)
        return _loaded(ds, [n for n, v in ds.variables.items() if v.chunks is not None])


def _loaded(ds: xr.Dataset, names: list[Any]) -> xr.Dataset:
    """Return a Dataset with some of its lazy variables in memory."""
    pending = {n: ds.variables[n] for n in names}
    loaded = _stored([v.data for v in pending.values()])
    done = {n: v.copy(data=a) for (n, v), a in zip(pending.items(), loaded, strict=True)}
    coords = {n: v for n, v in done.items() if n in ds.coords}
    return ds.assign({n: v for n, v in done.items() if n not in coords}).assign_coords(coords)


def load_static(ds: xr.Dataset) -> xr.Dataset:
    """Load what needs no pass over the data: estimates from samples, and what follows from them.

    Among the cubes in one pass, such small results make dask begin many chunks before it ends
    any: with all the diagnostics of a chain, MIRI ramps of 40 groups took three times the
    memory.
    """
    lazy_ones = {n: v for n, v in ds.variables.items() if v.chunks is not None}
    static = [n for n, v in lazy_ones.items() if "time" not in v.dims and _is_one_chunk(v.data)]
    return _loaded(ds, static) if static else ds


def _is_one_chunk(array: Any) -> bool:
    """Return True where nothing that an array is made of has more than one chunk."""
    from dask.core import flatten

    tasks = array.__dask_graph__().cull(set(flatten(array.__dask_keys__())))
    return not any(isinstance(key, tuple) and any(key[1:]) for key in tasks.to_dict())


@functools.cache
def _hand_back_memory() -> bool:
    """Tell glibc to give freed blocks of more than 1 MB back to the system at once.

    Its own rule lets each thread keep freed blocks of up to 32 MB for later, which is the
    size of our chunks: a chain over raw ramps then holds twice the memory that it uses.
    Elsewhere there is nothing to tell, and nothing is done.
    """
    import ctypes
    import platform

    if platform.libc_ver()[0] != "glibc":
        return False
    mmap_threshold = -3  # M_MMAP_THRESHOLD of malloc.h
    return bool(ctypes.CDLL(None).mallopt(mmap_threshold, 1 << 20))


def _in_this_process() -> bool:
    """Return True where tasks run in threads of this process, and can fill an array of ours."""
    import dask.local
    import dask.threaded
    from dask.base import get_scheduler

    return get_scheduler() in (None, dask.threaded.get, dask.local.get_sync)


def _stored(arrays: list[Any]) -> list[np.ndarray]:
    """Compute dask arrays, each chunk straight to its place.

    Gathering the chunks and joining them at the end, as `dask.compute` does, takes twice
    the memory of the result.
    """
    targets = [np.empty(a.shape, a.dtype) for a in arrays]
    store(arrays, [target.__setitem__ for target in targets])
    return targets


def store(arrays: list[Any], writes: list[Write]) -> None:
    """Compute dask arrays in one pass and hand their blocks over; see `streaming.stream`."""
    _hand_back_memory()
    _settle(arrays)
    if OPTIONS.threads is None and not _in_this_process():
        gather(arrays, writes)
    else:
        stream(arrays, writes, **_scheduler())
