"""From spectra to light curves: what `bin` and `white_light` share."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq, history, schema
from tsoxr.errors import SchemaError, TsoError
from tsoxr.kernels import binning as kernel
from tsoxr.kernels import grids
from tsoxr.lazy import is_lazy

__all__ = ["light_curves", "limits"]

MIN_FRACTION = 0.5
"""A point that rests on less than this share of its bin's flux is of no use."""

MIN_BASELINE = 3
"""Integrations out of transit, with fewer of which all serve as baseline."""

Members = tuple[np.ndarray, np.ndarray, np.ndarray]


def limits(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return where each pixel of the spectra begins and ends, um.

    Raises
    ------
    SchemaError
        Where the wavelengths do not increase.
    """
    wavelength = np.asarray(ds["wavelength"].values, dtype=np.float64)
    if wavelength.ndim != 1 or not np.all(np.diff(wavelength) > 0):
        raise SchemaError(
            "light curves: wavelengths do not increase strictly; they must; run ds.sortby('wavelength') "
            "and drop those that occur twice"
        )
    return grids.pixel_limits(wavelength)


def light_curves(ds: xr.Dataset, bounds: np.ndarray, *, name: str, normalize: bool) -> xr.Dataset:
    """Return the light curves of bins with the covariates of the spectra.

    Parameters
    ----------
    ds : xarray.Dataset
        Spectra.
    bounds : (bin, 2) float64
        Limits of the bins, um; none without pixels.
    name : str
        Step that asks; its diagnostic gets this name.
    normalize : bool
        Divide by the median of the baseline; otherwise the unit of the spectra is kept.

    Returns
    -------
    xarray.Dataset
        ``flux``, ``flux_error`` and ``dq`` (time, wavelength) and ``<name>_scatter``.
    """
    _check_electrons(ds, name)
    members = grids.overlaps(*limits(ds), bounds)
    arrays = {n: _bare(ds[n]) for n in ("flux", "flux_error", "dq")}
    dims = ["time", "wavelength"]
    relative, error, flags, expected, scatter = xr.apply_ufunc(
        _curves,
        *arrays.values(),
        _common(ds),
        _baseline(ds),
        kwargs={"members": members, "normalize": normalize},
        input_core_dims=[dims, dims, dims, ["wavelength", "level_mode"], ["time"]],
        output_core_dims=[["time", "bin"]] * 3 + [["wavelength"], ["bin"]],
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"bin": len(bounds)}},
        output_dtypes=[np.float64, np.float64, np.uint32, np.float64, np.float32],
    )
    units = "1" if normalize else str(ds["flux"].attrs.get("units", "1"))
    names = {"flux": relative, "flux_error": error, "dq": flags}
    variables: dict[str, Any] = {
        n: _labelled(n, a, **({} if n == "dq" else {"units": units})) for n, a in names.items()
    }
    text = {"long_name": "scatter from point to point over error", "units": "1"}
    variables[f"{name}_scatter"] = scatter.rename(bin="wavelength").assign_attrs(text).variable
    return xr.Dataset(variables, _coords(ds, bounds, expected, members), ds.attrs)


def _check_electrons(ds: xr.Dataset, name: str) -> None:
    """Refuse calibrated spectra: a sum of flux densities weights wavelengths by no noise."""
    if any(r["step"] == "calibrate_flux" for r in history.records(ds.attrs)):
        raise TsoError(
            f"{name}: these spectra are calibrated (calibrate_flux); light curves are sums of electrons; "
            f"run {name} on the spectra before calibrate_flux"
        )


def _bare(array: xr.DataArray) -> xr.DataArray:
    """Return an array without coordinates, its core dims in one chunk where it is lazy."""
    array = xr.DataArray(array.variable.data, dims=array.dims)
    return array.chunk(dict.fromkeys(array.dims, -1)) if is_lazy(array) else array


def _common(ds: xr.Dataset) -> xr.DataArray:
    """Return the errors that all wavelengths share, (wavelength, level_mode)."""
    if "level_error" in ds:
        return _bare(ds["level_error"]).astype(np.float64).fillna(0.0)
    return xr.DataArray(np.zeros((ds.sizes["wavelength"], 1)), dims=("wavelength", "level_mode"))


def _baseline(ds: xr.Dataset) -> xr.DataArray:
    """Return the integrations that count as unity, (time) bool: those out of transit if marked."""
    if "in_transit" in ds.coords:
        return ~_bare(ds["in_transit"]).astype(bool)
    return xr.DataArray(np.ones(ds.sizes["time"], dtype=bool), dims="time")


def _curves(
    flux: np.ndarray,
    error: np.ndarray,
    flags: np.ndarray,
    common: np.ndarray,
    baseline: np.ndarray,
    *,
    members: Members,
    normalize: bool,
) -> tuple[np.ndarray, ...]:
    """Bin arrays (time, pixel): flux, error, flags, median spectrum and scatter over error."""
    if baseline.sum() < MIN_BASELINE:
        baseline = np.ones_like(baseline)
    good = ~dq.has_flag(flags, *dq.UNUSABLE_RATE) & np.isfinite(flux) & np.isfinite(error)
    expected = _medians(np.where(good, flux, np.nan)[baseline])
    bits = (
        int(dq.bits(*dq.UNUSABLE_RATE)),
        int(dq.bits("DO_NOT_USE")),
        int(dq.bits("FLUX_ESTIMATED")),
    )
    relative, relative_error, out = kernel.bin_sum(
        flux, error, flags, expected, common, members, bits=bits, min_fraction=MIN_FRACTION
    )
    usable = ~dq.has_flag(out, "DO_NOT_USE")
    if normalize:
        scale = 1.0 / _medians(np.where(usable, relative, np.nan)[baseline])
    else:
        scale = kernel.total_in_bins(expected, members)
    relative, relative_error = relative * scale, relative_error * np.abs(scale)
    scatter = kernel.scatter_over_error(np.where(usable, relative, np.nan), relative_error)
    return relative, relative_error, out, expected, scatter.astype(np.float32)


def _medians(values: np.ndarray) -> np.ndarray:
    """Return the median of each column in float64, NaN ignored; NaN where nothing remains."""
    out = np.full(values.shape[1], np.nan)
    some = np.isfinite(values).any(axis=0)
    if some.any():
        out[some] = np.nanmedian(values[:, some].astype(np.float64), axis=0)
    return out


def _labelled(name: str, array: xr.DataArray, **attrs: object) -> xr.Variable:
    array = array.rename(bin="wavelength").transpose("time", "wavelength")
    return schema.label(array, "lightcurves", name, **attrs).variable


def _coords(
    ds: xr.Dataset, bounds: np.ndarray, expected: xr.DataArray, members: Members
) -> dict[str, xr.Variable]:
    """Return the coordinates of time, the bins, and when each bin is read."""
    coords = {str(n): c.variable for n, c in ds.coords.items() if c.dims in (("time",), ())}
    center = xr.DataArray(bounds.mean(axis=1), dims="wavelength")
    coords["wavelength"] = schema.label(
        center, "lightcurves", "wavelength", bounds="wavelength_bounds"
    ).variable
    edges = xr.DataArray(bounds, dims=("wavelength", "bound"))
    coords["wavelength_bounds"] = schema.label(edges, "lightcurves", "wavelength_bounds").variable
    for name in ("read_offset", "slope_delay"):
        if name in ds.variables and ds[name].dims == ("wavelength",):
            mean = xr.apply_ufunc(
                kernel.mean_in_bins,
                _bare(ds[name]),
                expected,
                kwargs={"members": members},
                input_core_dims=[["wavelength"]] * 2,
                output_core_dims=[["bin"]],
                dask="parallelized",
                dask_gufunc_kwargs={"output_sizes": {"bin": len(bounds)}},
                output_dtypes=[np.float64],
            ).rename(bin="wavelength")
            coords[name] = schema.label(mean.astype(np.float32), "lightcurves", name).variable
    return coords
