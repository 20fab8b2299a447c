"""What the steps on rates share: which samples count, and the median frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq, lazy, modes
from tsoxr.kernels.outliers import masked_median
from tsoxr.lazy import static_from_sample

__all__ = [
    "first_position",
    "is_imaging",
    "measured",
    "median_frame",
    "order_of",
    "typical_error",
    "unusable",
]


def is_imaging(ds: xr.Dataset) -> bool:
    """Return whether the Dataset is of a mode without dispersion."""
    mode = ds.attrs.get("tso_mode")
    return mode in modes.names() and modes.get(str(mode)).imaging


def measured(ds: xr.Dataset, name: str) -> float | None:
    """Return a number that an earlier step has left as a coordinate, None where there is none.

    That of lazy rates is computed here: a step that builds its weights on it has to know it.
    """
    if name not in ds.coords:
        return None
    held = lazy.compute(xr.Dataset({name: ds[name].variable}), label=f"computing {name}")
    return round(float(held[name]), 4)


def unusable(rate: Any, error: Any, flags: Any) -> Any:
    """Return True where a sample is flagged, not finite, or has no error; arrays of one shape."""
    bad = dq.has_flag(flags, *dq.UNUSABLE_RATE)
    if isinstance(bad, xr.DataArray):
        parts = (bad, rate, error)
        return xr.apply_ufunc(_or_invalid, *parts, dask="parallelized", output_dtypes=[bool])
    return _or_invalid(bad, rate, error)


def _or_invalid(bad: np.ndarray, rate: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return bad or without a finite rate or an error; one intermediate array of bools."""
    invalid = np.isfinite(rate)
    np.logical_not(invalid, out=invalid)
    invalid |= bad
    invalid |= ~(error > 0)
    return invalid


def median_frame(ds: xr.Dataset) -> xr.DataArray:
    """Return the median over a sample of the integrations of usable rates, (y, x) float32.

    NaN where no sampled integration is usable; lazy for lazy data.
    """
    return _median(ds, 0)


def typical_error(ds: xr.Dataset) -> xr.DataArray:
    """Return the median error of one integration, (y, x) float32; NaN as in `median_frame`."""
    return _median(ds, 1)


def _median(ds: xr.Dataset, which: int) -> xr.DataArray:
    def median(rate: np.ndarray, error: np.ndarray, flags: np.ndarray) -> np.ndarray:
        return masked_median((rate, error)[which], unusable(rate, error, flags))

    arrays = [ds[name].transpose("time", "y", "x") for name in ("rate", "rate_error", "dq")]
    return static_from_sample(median, *arrays, dims=("y", "x"))


def order_of(ds: xr.Dataset, *names: str) -> int:
    """Return the spectral order that the first of these coordinates tells; 1 where none does."""
    for name in names:
        if name in ds.coords and "spectral_order" in ds[name].attrs:
            return int(ds[name].attrs["spectral_order"])
    return 1


def first_position(ds: xr.Dataset, dim: str) -> float:
    """Return the detector coordinate of index 0 along a dim; pixels follow each other by 1."""
    return float(ds[dim][0]) if dim in ds.coords else 0.0
