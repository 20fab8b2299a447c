"""Work on data that may not be in memory: sampling in time, and one-pass computing.

A quantity that must be constant in time (a mask, a weight, a bias) is estimated from a
sample of the integrations. For lazy data the estimate is itself lazy, see `tsoxr.deferred`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import deferred
from tsoxr.progress import progress, stage
from tsoxr.streaming import Write, raw_size
from tsoxr.workers import in_this_process, scheduler

__all__ = [
    "Write",
    "compute",
    "is_lazy",
    "load_static",
    "prepared",
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
    sizes: dict[Any, int] = {}
    for array in arrays:
        sizes.update(array.sizes)
    shape = tuple(sizes[d] for d in dims)
    return xr.DataArray(deferred.defer(func, sampled, shape, dtype), dims=dims)


def _sample(array: xr.DataArray, n_sample: int) -> xr.DataArray:
    array = array.reset_coords(drop=True)
    if "time" not in array.dims:
        return array
    array = array.transpose("time", ...)
    indices = sample_indices(array.sizes["time"], n_sample)
    if len(indices) == array.sizes["time"]:
        return array
    if not is_lazy(array):
        return array.isel(time=indices)
    import dask.array as da

    runs = np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1)
    # views of the chunks; dask would copy them into chunks of its own for a list of indices
    parts = [array.data[int(run[0]) : int(run[-1]) + 1] for run in runs]
    return xr.DataArray(da.concatenate(parts), dims=array.dims)


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
    if not in_this_process():
        return ds.compute(**scheduler())
    with progress(label), prepared(ds):
        ds = load_static(ds)
        pending = {n: v for n, v in ds.variables.items() if v.chunks is not None}
        targets = [np.empty(v.shape, v.dtype) for v in pending.values()]
        store([v.data for v in pending.values()], [t.__setitem__ for t in targets])
        return _replaced(ds, dict(zip(pending, targets, strict=True)))


def _replaced(ds: xr.Dataset, loaded: dict[Any, np.ndarray]) -> xr.Dataset:
    """Return a Dataset with other arrays in some of its variables."""
    done = {n: ds.variables[n].copy(data=array) for n, array in loaded.items()}
    coords = {n: v for n, v in done.items() if n in ds.coords}
    return ds.assign({n: v for n, v in done.items() if n not in coords}).assign_coords(coords)


def prepared(*datasets: xr.Dataset) -> Any:
    """Return a context that makes the estimates which lazy variables wait for.

    Computing the variables inside, with `load_static` and `store`, goes on from what is left of
    the estimates.
    """
    found = [v.data for ds in datasets for v in ds.variables.values() if v.chunks is not None]
    return deferred.prepared(found)


def load_static(ds: xr.Dataset) -> xr.Dataset:
    """Load what needs no pass over the data: estimates from samples, and what follows from them.

    Among the cubes in one pass, such small results make dask begin many chunks before it ends
    any: with all the diagnostics of a chain, MIRI ramps of 40 groups took three times the
    memory.
    """
    lazy_ones = {n: v.data for n, v in ds.variables.items() if v.chunks is not None}
    static = [
        n for n, a in lazy_ones.items() if "time" not in ds.variables[n].dims and _is_one_chunk(a)
    ]
    if not static:
        return ds
    with prepared(ds[static]):
        made = deferred.filled([lazy_ones[n] for n in static], small=True)
    return _replaced(ds, dict(zip(static, made, strict=True)))


def _is_one_chunk(array: Any) -> bool:
    """Return True where nothing that an array is made of has more than one chunk."""
    from dask.core import flatten

    tasks = array.__dask_graph__().cull(set(flatten(array.__dask_keys__())))
    return not any(isinstance(key, tuple) and any(key[1:]) for key in tasks.to_dict())


def store(arrays: list[Any], writes: list[Write]) -> None:
    """Compute dask arrays in one pass and hand their blocks over; see `streaming.stream`."""
    if not arrays:
        return
    size = raw_size(arrays)
    with deferred.prepared(arrays), stage("pass", size):
        deferred.run(arrays, writes, size=size)
