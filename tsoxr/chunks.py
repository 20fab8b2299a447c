"""Functions of arrays on lazy data, chunk by chunk and without copies of their inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tsoxr.lazy import is_lazy

__all__ = ["Unwrapped", "per_chunk"]


def per_chunk(
    func: Callable[..., Any],
    *arrays: xr.DataArray,
    dims: tuple[str, ...] | tuple[tuple[str, ...], ...],
    dtypes: tuple[str, ...],
    sizes: Mapping[str, int] | None = None,
) -> tuple[xr.DataArray, ...]:
    """Apply a function of arrays to each chunk of integrations.

    `xarray.apply_ufunc` copies every chunk of every argument that has core dims, static ones
    included, whenever it calls the function. For the ramp steps that is more work than the
    function itself, so they call it through here.

    Parameters
    ----------
    func : callable
        Numpy arrays in, a tuple of numpy arrays with ``dims`` out. No chunk is copied, so that
        each lies in memory as it did.
    *arrays : xarray.DataArray
        Dims in the order that ``func`` expects; chunks along ``time`` only.
    dims : tuple of str, or one such tuple for each result
        Dims of the results; all have ``time`` or none has.
    dtypes : tuple of str
        Types of the results.
    sizes : mapping, optional
        Sizes of dims that none of ``arrays`` has.

    Returns
    -------
    tuple of xarray.DataArray
        Without coordinates; lazy if any of ``arrays`` is.

    Raises
    ------
    ValueError
        For data that are chunked along another dim than ``time``.
    """
    each = [dims if isinstance(dims[0], str) else dims[i] for i in range(len(dtypes))]
    if not any(is_lazy(array) for array in arrays):
        found = func(*[array.values for array in arrays])
        return tuple(xr.DataArray(a, dims=own) for a, own in zip(found, each, strict=True))
    import dask.array as da

    _check_chunks(arrays)
    known = {d: n for array in arrays for d, n in array.sizes.items()} | dict(sizes or {})
    pairs = [part for array in arrays for part in (da.asarray(array.data), array.dims)]
    loop = ("time",) if "time" in each[0] else ()
    made = da.blockwise(
        Unwrapped(func), loop, *pairs, concatenate=None, dtype=object,
        meta=np.empty((0,) * len(loop), object),
    )  # fmt: skip
    return tuple(
        xr.DataArray(
            da.blockwise(
                _item, own, made, loop, i, None,
                new_axes={d: known[d] for d in own if d not in loop},
                dtype=dtype, meta=np.empty((0,) * len(own), dtype),
            ),
            dims=own,
        )
        for i, (own, dtype) in enumerate(zip(each, dtypes, strict=True))
    )  # fmt: skip


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
