"""Functions of arrays on lazy data, chunk by chunk and without copies of their inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tsoxr.lazy import is_lazy

__all__ = ["Unwrapped", "per_chunk"]


def per_chunk(
    func: Callable[..., Any],
    *arrays: xr.DataArray,
    dims: tuple[str, ...],
    dtypes: tuple[str, ...],
) -> tuple[xr.DataArray, ...]:
    """Apply a function of arrays to each chunk of integrations.

    `xarray.apply_ufunc` copies every chunk of every argument that has core dims, static ones
    included, whenever it calls the function. For the ramp steps that is more work than the
    function itself, so they call it through here.

    Parameters
    ----------
    func : callable
        Numpy arrays in, a tuple of numpy arrays with ``dims`` out.
    *arrays : xarray.DataArray
        Dims in the order that ``func`` expects; chunks along ``time`` only.
    dims : tuple of str
        Dims of the results, each of them a dim of one of ``arrays``.
    dtypes : tuple of str
        Types of the results.

    Returns
    -------
    tuple of xarray.DataArray
        Without coordinates; lazy if any of ``arrays`` is.

    Raises
    ------
    ValueError
        For data that are chunked along another dim than ``time``.
    """
    if not any(is_lazy(array) for array in arrays):
        found = func(*[array.values for array in arrays])
        return tuple(xr.DataArray(values, dims=dims) for values in found)
    import dask.array as da

    _check_chunks(arrays)
    pairs = [part for array in arrays for part in (da.asarray(array.data), array.dims)]
    empty = (0,) * len(dims)
    made = da.blockwise(
        Unwrapped(func), dims, *pairs, concatenate=None, dtype=object, meta=np.empty(empty, object)
    )
    return tuple(
        xr.DataArray(
            da.blockwise(
                _item, dims, made, dims, i, None, dtype=dtype, meta=np.empty(empty, dtype)
            ),
            dims=dims,
        )
        for i, dtype in enumerate(dtypes)
    )


def _check_chunks(arrays: tuple[xr.DataArray, ...]) -> None:
    for array in arrays:
        for dim, sizes in array.chunksizes.items():
            if dim != "time" and len(sizes) > 1:
                raise ValueError(
                    f"the data are chunked along {dim!r}, {sizes}; only 'time' may have several "
                    f"chunks; use ds.chunk({dim}=-1)"
                )


def _item(values: tuple[np.ndarray, ...], i: int) -> np.ndarray:
    return values[i]


@dataclass(frozen=True)
class Unwrapped:
    """A function whose arguments dask wraps in lists of one: a level for each dim that goes."""

    func: Callable[..., Any]

    def __call__(self, *arrays: Any) -> Any:
        """Unwrap each array and call the function."""
        return self.func(*[self._block(array) for array in arrays])

    @staticmethod
    def _block(array: Any) -> np.ndarray:
        while isinstance(array, list):
            (array,) = array
        return array
