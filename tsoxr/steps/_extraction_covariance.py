"""Noise that pixels share, for `extract`: measured on the rates, before weights are made.

Two kinds of lines. Those across the spectrum make errors of one wavelength: what is left of 1/f
noise within a line is measured in differences of integrations, and the error of its level is
known from the steps that subtracted it. Those along the spectrum make errors of all
wavelengths, which ``level_factor`` of the rates describes, or else the covariance that dark
pixels show.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from tsoxr import lazy
from tsoxr.kernels import covariance_weights as weights_kernel
from tsoxr.kernels import line_covariance as lines
from tsoxr.kernels.level_errors import covariance_factor
from tsoxr.kernels.stripe_joint import level_covariance
from tsoxr.registry import note
from tsoxr.steps import _levels, _rates

__all__ = ["MODES", "correlation", "lies_along", "measured", "of_rates", "with_own_errors"]

MODES, OWN = "_extract_modes", "_extract_own_modes"
"""What `measured` adds: errors that pixels share, and those that no other variable knows."""

N_MODES = 24
"""Shared errors within a line; what is beyond counts as each pixel's own."""

N_SAMPLE = 48

MOST = 1 << 20
"""Samples on which noise within lines is measured: every so many wavelengths, where there are more."""


def lies_along(ds: xr.Dataset) -> bool:
    """Return True where lines run along the spectrum."""
    return bool(ds.attrs["fast_dim"] == ds.attrs["dispersion_dim"])


def summed(ds: xr.Dataset, n_wavelengths: int) -> float:
    """Return how many wavelengths will be summed, where nobody says: a quarter of all, or one."""
    return max(n_wavelengths / 4.0, 1.0) if lies_along(ds) else 1.0


def measured(
    ds: xr.Dataset, center: xr.DataArray, half_width: float, bin_pixels: float
) -> xr.Dataset:
    """Return the rates with the errors that pixels share, (mode, spatial, dispersion).

    Parameters
    ----------
    ds : xarray.Dataset
        Rates.
    center : (dispersion,) DataArray
        Trace, pixels from the first spatial one.
    half_width : float
        Of the aperture, pixels.
    bin_pixels : float
        Wavelengths that will be summed: by how much more levels of lines along the spectrum count
        than what pixels have for themselves.
    """
    space, along = str(ds.attrs["spatial_dim"]), str(ds.attrs["dispersion_dim"])
    level = _level_of_lines(ds, space, along)
    if lies_along(ds):
        if _levels.factor_of_lines(ds) is None:
            note("no levels of lines are known: their covariance was measured on dark pixels")
            ds = ds.assign(level_factor=_levels.labelled(_raw_factor(ds, space, along), ds))
        own, shared = None, _along_modes(ds, space, along) * np.float32(np.sqrt(bin_pixels))
    else:
        if "level_variance" not in ds:
            note(
                "no step has subtracted the levels of lines: their errors count as independent at each "
                "wavelength, too small in sums over many; run .tso.clean_1overf() on the ramps before"
            )
        own = shared = _across_modes(ds, center, half_width, level)
    both = xr.concat([shared, level.broadcast_like(shared.isel(line_mode=[0]))], "line_mode")
    both = both.transpose("line_mode", space, along)
    ds = ds.assign({MODES: both.chunk(-1) if lazy.is_lazy(both) else both})
    return ds if own is None else ds.assign({OWN: own.rename(line_mode="own_mode")})


def of_rates(ds: xr.Dataset, *_: object) -> xr.DataArray:
    """Return what `measured` has found, for the weights."""
    return ds[MODES]


def with_own_errors(
    ds: xr.Dataset, weight: xr.DataArray, variance: xr.DataArray | None
) -> xr.DataArray | None:
    """Return the variance (dispersion,) of the flux from levels and from noise within lines."""
    if OWN not in ds:
        return variance
    space, along = weight.dims
    own = xr.apply_ufunc(
        weights_kernel.modes_variance, weight, ds[OWN],
        input_core_dims=[[space, along], ["own_mode", space, along]],
        output_core_dims=[[along]], dask="parallelized", output_dtypes=["f8"],
    )  # fmt: skip
    return own if variance is None else own + variance


def correlation(
    ds: xr.Dataset, images: xr.DataArray, profile: xr.DataArray, bin_pixels: float | None
) -> dict[str, xr.DataArray]:
    """Return the mean correlation of two pixels of the aperture, (dispersion,), if it was measured."""
    if MODES not in ds:
        return {}
    space, along = profile.dims
    scale = np.sqrt(bin_pixels or 1.0) if lies_along(ds) else 1.0
    found = xr.apply_ufunc(
        partial(_correlation, float(scale)), ds[MODES], images.isel(image=1), profile,
        input_core_dims=[["line_mode", space, along], [space, along], [space, along]],
        output_core_dims=[[along]], dask="parallelized", output_dtypes=["f8"],
    )  # fmt: skip
    return {"correlation": found}


def _correlation(
    scale: float, modes: np.ndarray, error: np.ndarray, profile: np.ndarray
) -> np.ndarray:
    inside = (profile > 0) & np.isfinite(error)
    rows = np.flatnonzero(inside.any(axis=1))
    span = slice(rows[0], rows[-1] + 1) if rows.size else slice(0, 0)
    inside = inside[span]
    square = np.zeros(inside.shape[1])
    common = np.zeros(inside.shape[1])  # of pixels of a line, their own included
    for mode, factor in zip(modes[1:], (*[scale] * (len(modes) - 2), 1.0), strict=True):
        values = np.where(inside, mode[span], 0.0) / factor
        square += (values**2).sum(axis=0)
        common += values.sum(axis=0) ** 2
    own = error[span].astype(np.float64) ** 2 + (modes[0, span] / scale).astype(np.float64) ** 2
    variance = np.where(inside, own, 0.0).sum(axis=0) + square
    mean = variance * np.maximum(inside.sum(axis=0) - 1, 1)
    return np.divide(common - square, mean, out=np.zeros_like(common), where=mean > 0)


def _bare(array: xr.DataArray) -> xr.DataArray:
    return xr.DataArray(array.variable.data, dims=array.dims)


def _level_of_lines(ds: xr.Dataset, space: str, along: str) -> xr.DataArray:
    """Return the error (spatial, dispersion) of the level that each wavelength had subtracted."""
    none = xr.DataArray(np.zeros(ds.sizes[space], np.float32), dims=space)
    if "level_variance" in ds and ds["level_variance"].dims == (along,):
        return none + np.sqrt(_bare(ds["level_variance"]).fillna(0.0)).astype("f4")
    return none + xr.DataArray(np.zeros(ds.sizes[along], np.float32), dims=along)


def _cubes(ds: xr.Dataset, space: str, along: str) -> list[xr.DataArray]:
    return [_bare(ds[n]).transpose("time", space, along) for n in ("rate", "rate_error", "dq")]


def _region(ds: xr.Dataset, space: str, along: str) -> xr.DataArray:
    """Return the pixels whose mean was taken off each line; all zeros where none was."""
    for name in ("subtract_background_region", "clean_1overf_mask"):
        if name in ds and {*ds[name].dims} == {space, along}:
            return _bare(ds[name]).transpose(space, along)
    return xr.DataArray(np.zeros((ds.sizes[space], ds.sizes[along]), "i1"), dims=(space, along))


def _across_modes(
    ds: xr.Dataset, center: xr.DataArray, half_width: float, level: xr.DataArray
) -> xr.DataArray:
    """Return the modes of lines across the spectrum, and what of their level nobody knows."""
    space, along = str(ds.attrs["spatial_dim"]), str(ds.attrs["dispersion_dim"])
    size = xr.DataArray(np.zeros(N_MODES + 2), dims="line_mode")
    return lazy.static_from_sample(
        partial(_of_sample, half_width), *_cubes(ds, space, along), _bare(center),
        _region(ds, space, along), level.transpose(space, along), size,
        dims=("line_mode", space, along), n_sample=N_SAMPLE,
    )  # fmt: skip


def _of_sample(
    half_width: float,
    rate: np.ndarray,
    error: np.ndarray,
    flags: np.ndarray,
    center: np.ndarray,
    region: np.ndarray,
    level: np.ndarray,
    size: np.ndarray,
) -> np.ndarray:
    """Measure modes (mode, spatial, dispersion) on a sample of integrations."""
    out = np.zeros((size.size, *rate.shape[1:]), np.float32)
    n_space, step = rate.shape[1], max(1, -(-rate.size // MOST))
    rate, error, flags = (a[..., ::step] for a in (rate, error, flags))
    bad = _rates.unusable(rate, error, flags)
    clean, safe = np.where(bad, 0.0, rate), np.where(bad, 1.0, error)
    usual = np.median(np.where(bad, np.inf, error), axis=0).astype(np.float64) ** 2
    dark = lines.dark_pixels(usual)
    gamma, white = lines.fitted(*lines.variogram(clean, safe, bad, dark), n_space)
    taken = region > 0 if (region > 0).any() else dark
    share = taken / np.maximum(taken.sum(axis=0), 1)
    mean = share.mean(axis=1)
    first, last = _lines_of_light(center, half_width, n_space)
    if mean.sum() > 0 and last > first:
        covariance = lines.covariance_about_mean(gamma, mean / mean.sum())[first:last, first:last]
        out[:-1, first:last] = weights_kernel.modes_of(covariance, N_MODES)[:, :, None]
    out[0] = np.sqrt(out[0] ** 2 + white)
    excess, sigma = lines.level_excess(clean, safe, bad, dark)
    excess -= float(np.median(level[0].astype(np.float64) ** 2))
    if excess > lines.SURE * sigma:
        out[-1] = np.sqrt(excess)
    return out


def _lines_of_light(center: np.ndarray, half_width: float, n_space: int) -> tuple[int, int]:
    """Return the first spatial pixel of the aperture and the one after the last."""
    known = center[np.isfinite(center)]
    if known.size == 0:
        return 0, 0
    first = int(np.floor(known.min() - half_width)) - 1
    last = int(np.ceil(known.max() + half_width)) + 2
    return max(first, 0), min(max(last, 0), n_space)


def _along_modes(ds: xr.Dataset, space: str, along: str) -> xr.DataArray:
    """Return the modes of the levels of lines along the spectrum."""
    edges = _levels.edges_of(ds)
    columns = xr.DataArray(np.zeros(ds.sizes[along]), dims=along)
    size = xr.DataArray(np.zeros(N_MODES + 1), dims="line_mode")
    factor = _levels.factor_of_lines(ds)
    assert factor is not None
    return lazy.static_from_sample(
        partial(_of_factor, edges), factor, columns, size, dims=("line_mode", space, along)
    )


def _of_factor(
    edges: np.ndarray, factor: np.ndarray, columns: np.ndarray, size: np.ndarray
) -> np.ndarray:
    out = np.zeros((size.size, factor.shape[0], columns.size), np.float32)
    for o in range(edges.size - 1):
        own = np.nan_to_num(factor[:, o].astype(np.float64))
        modes = weights_kernel.modes_of(own @ own.T, N_MODES)
        out[:, :, edges[o] : edges[o + 1]] = modes[:, :, None]
    return out


def _raw_factor(ds: xr.Dataset, space: str, along: str) -> xr.DataArray:
    """Return the factor (spatial, output, mode) of levels that nobody has subtracted."""
    edges = _levels.edges_of(ds)
    n_mode = ds.sizes[space] * (edges.size - 1)
    modes = xr.DataArray(np.zeros((edges.size - 1, n_mode)), dims=("output", "level_mode"))
    return lazy.static_from_sample(
        partial(_raw_levels, edges), *_cubes(ds, space, along), modes,
        dims=(space, "output", "level_mode"), n_sample=N_SAMPLE,
    )  # fmt: skip


def _raw_levels(
    edges: np.ndarray, rate: np.ndarray, error: np.ndarray, flags: np.ndarray, modes: np.ndarray
) -> np.ndarray:
    """Measure the covariance of levels on the dark pixels of each line and output."""
    bad = _rates.unusable(rate, error, flags)
    usual = np.median(np.where(bad, np.inf, error), axis=0).astype(np.float64) ** 2
    use = ~bad & lines.dark_pixels(usual)
    still = np.median(np.where(bad, 0.0, rate), axis=0)
    value, own = np.where(use, rate - still, 0.0), np.where(use, error, 0.0) ** 2
    count, level, spread = (np.add.reduceat(a, edges[:-1], axis=2) for a in (use, value, own))
    n = np.maximum(count, 1)
    usual_count = np.where((count >= 16).all(axis=0), np.median(count, axis=0), 0).astype(np.int64)
    covariance = level_covariance((level / n)[:, None], np.sqrt(spread / n)[:, None], usual_count)
    return covariance_factor(covariance).reshape(rate.shape[1], *modes.shape)
