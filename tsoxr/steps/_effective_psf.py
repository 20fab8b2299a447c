"""The effective profile of an exposure, for `extract`: measured on a sample of its integrations."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from tsoxr import lazy
from tsoxr.kernels import effective_psf as kernel
from tsoxr.kernels import psf_table
from tsoxr.kernels.outliers import masked_median
from tsoxr.steps import _rates

__all__ = ["N_SAMPLE", "measured", "relative_shift"]

N_SAMPLE = 48
"""Integrations that the profile is measured on."""


def relative_shift(ds: xr.Dataset) -> xr.DataArray:
    """Return how far the light lies from its place in the median image, (time,) float64, pixels.

    0 where the shift is not known.
    """
    if "trace_shift" not in ds.coords:
        return xr.DataArray(np.zeros(ds.sizes["time"]), dims="time")
    shift = xr.DataArray(ds["trace_shift"].variable.data, dims="time").astype(np.float64)
    usual = lazy.static_from_sample(_median, shift, dims=(), dtype="f8", n_sample=N_SAMPLE)
    return (shift - usual).fillna(0.0)


def _median(shift: np.ndarray) -> np.ndarray:
    known = shift[np.isfinite(shift)]
    return np.asarray(np.median(known) if known.size else 0.0)


def measured(
    ds: xr.Dataset, center: xr.DataArray, gain: xr.DataArray, half_width: float
) -> xr.DataArray:
    """Return the table of `tsoxr.kernels.effective_psf`, (place, along) float64; lazy for lazy data.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates; with ``trace_shift`` (time), the profile is built from pixels at their measured
        distance from the trace.
    center : (along,)
        Trace, pixels from the first spatial one.
    gain : (space, along)
        Electron per unit of the rates.
    half_width : float
        Of the aperture, pixels.
    """
    space, along = str(ds.attrs["spatial_dim"]), str(ds.attrs["dispersion_dim"])
    cubes = [
        xr.DataArray(ds[n].variable.data, dims=ds[n].dims).transpose("time", space, along)
        for n in ("rate", "rate_error", "dq")
    ]
    places = xr.DataArray(np.zeros(psf_table.n_places(half_width)), dims="place")
    return lazy.static_from_sample(
        partial(_table, half_width=half_width),
        *cubes,
        gain.transpose(space, along),
        center,
        relative_shift(ds),
        places,
        dims=("place", along),
        dtype="f8",
        n_sample=N_SAMPLE,
    )


def _table(
    rate: np.ndarray,
    error: np.ndarray,
    flags: np.ndarray,
    gain: np.ndarray,
    center: np.ndarray,
    shift: np.ndarray,
    _: np.ndarray,
    *,
    half_width: float,
) -> np.ndarray:
    center = np.asarray(center, dtype=np.float64)
    known = center[np.isfinite(center)]
    reach = half_width + psf_table.MARGIN + np.abs(shift).max(initial=0.0)
    first = max(int(np.floor(known.min() - reach)), 0) if known.size else 0
    last = max(int(np.ceil(known.max() + reach)) + 1, 0) if known.size else 0
    lines = slice(min(first, rate.shape[1] - 1), max(last, first + 1))  # the others say nothing
    rate, error, flags = (np.ascontiguousarray(a[:, lines]) for a in (rate, error, flags))
    bad = _rates.unusable(rate, error, flags)
    gain = gain[lines].astype(np.float64)
    usable = np.isfinite(gain) & (gain > 0)
    samples = kernel.Samples(
        rate,
        bad,
        np.where(usable, masked_median(error, bad).astype(np.float64), np.nan),
        np.where(usable, gain, 1.0),
        center - lines.start,
        shift,
    )
    return kernel.effective_psf(samples, half_width)
