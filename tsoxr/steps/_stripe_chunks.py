"""Functions of chunks of integrations whose results have dims of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from tsoxr import lazy
from tsoxr.chunks import Unwrapped

__all__ = ["per_chunk"]


def per_chunk(
    func: Callable[..., tuple[np.ndarray, ...]],
    *arrays: xr.DataArray,
    outputs: tuple[tuple[str, ...], ...],
    sizes: Mapping[str, int],
) -> tuple[xr.DataArray, ...]:
    """Apply a function to each chunk of integrations, as `tsoxr.chunks.per_chunk` does.

    No chunk is copied, so that each lies in memory as it did, and results do not depend on
    whether data are lazy.

    Parameters
    ----------
    func : callable
        Numpy arrays in, a tuple of float32 arrays out, one with each of ``outputs``.
    *arrays : xarray.DataArray
        Dims in the order that ``func`` expects; chunks along ``time`` only.
    outputs : tuple of tuple of str
        Dims of the results, ``time`` first.
    sizes : mapping
        Sizes of their other dims.

    Returns
    -------
    tuple of xarray.DataArray
        Without coordinates; lazy if any of ``arrays`` is.

    Raises
    ------
    ValueError
        For data that are chunked along another dim than ``time``.
    """
    if not any(lazy.is_lazy(array) for array in arrays):
        found = func(*[array.values for array in arrays])
        return tuple(xr.DataArray(a, dims=dims) for a, dims in zip(found, outputs, strict=True))
    import dask.array as da

    for array in arrays:
        for dim, parts in array.chunksizes.items():
            if dim != "time" and len(parts) > 1:
                raise ValueError(
                    f"clean_1overf: the data are chunked along {dim!r}, {parts}; only 'time' may "
                    f"have several chunks; use ds.chunk({dim}=-1)"
                )
    pairs = [part for array in arrays for part in (da.asarray(array.data), array.dims)]
    made = da.blockwise(
        Unwrapped(func), ("time",), *pairs, concatenate=None, dtype=object,
        meta=np.empty(0, object), align_arrays=False,
    )  # fmt: skip
    return tuple(
        xr.DataArray(
            da.blockwise(
                _item, dims, made, ("time",), i, None, new_axes={d: sizes[d] for d in dims[1:]},
                dtype="f4", meta=np.empty((0,) * len(dims), "f4"),
            ),
            dims=dims,
        )
        for i, dims in enumerate(outputs)
    )  # fmt: skip


def _item(values: tuple[np.ndarray, ...], i: int) -> np.ndarray:
    return values[i]
