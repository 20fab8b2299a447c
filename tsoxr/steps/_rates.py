"""What the steps on rates share: which samples count, and the median frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq, modes
from tsoxr.kernels.outliers import masked_median
from tsoxr.lazy import static_from_sample

__all__ = ["first_position", "is_imaging", "median_frame", "typical_error", "unusable"]


def is_imaging(ds: xr.Dataset) -> bool:
    """Return whether the Dataset is of a mode without dispersion."""
    mode = ds.attrs.get("tso_mode")
    return mode in modes.names() and modes.get(str(mode)).imaging


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


def first_position(ds: xr.Dataset, dim: str) -> float:
    """Return the detector coordinate of index 0 along a dim; pixels follow each other by 1."""
    return float(ds[dim][0]) if dim in ds.coords else 0.0
