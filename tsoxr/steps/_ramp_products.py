"""The Dataset of rates that `fit_ramps` returns, put together from its results."""

from __future__ import annotations

import numpy as np
import xarray as xr

from tsoxr import lazy, schema
from tsoxr.steps import _levels, _ramps

__all__ = ["as_rates", "image", "variables"]


def variables(
    ds: xr.Dataset,
    found: dict[str, xr.DataArray],
    weights: xr.DataArray,
    variance: xr.DataArray,
    seen: _ramps.Sample,
) -> dict[str, xr.DataArray]:
    """Return what the fit found, labelled, with its diagnostics.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps.
    found : dict
        Results (time, y, x) by name.
    weights : (group, y, x) DataArray
        Of the usual ramps, s-1.
    variance : (term, y, x) DataArray
        Photon and read variance of the usual ramps, DN2 s-2.
    seen : Sample
        What the sample told.
    """
    new = {n: schema.label(a, "rates", n) for n, a in found.items() if n != "n_jumps"}
    error = np.sqrt(variance.sum("term", skipna=False))
    new |= {
        "rate_read_variance": schema.label(variance.isel(term=1), "rates", "rate_read_variance"),
        "read_noise": schema.label(seen.read_noise.astype("f4"), "rates", "read_noise"),
        "fit_ramps_rate": image(seen.rate, "median count rate"),
        "fit_ramps_error": image(error, "predicted error of the count rate"),
    }
    if "chi2" in found:
        sampled = _ramps.whole_sample(found["chi2"], found["n_used"], n_sample=32)
        mean = lazy.static_from_sample(_mean_chi2, *sampled, dims=("y", "x"))
        new["fit_ramps_chi2"] = _count(mean, "mean chi-squared over degrees of freedom")
    if "n_jumps" in found:
        of_time = found["n_jumps"].sum(("y", "x"), dtype="i4")
        of_pixel = found["n_jumps"].sum("time", dtype="i4")
        new["fit_ramps_hits"] = _count(of_time, "differences of the integration left out")
        new["fit_ramps_hits_map"] = _count(of_pixel, "differences of the pixel left out")
    if "stripe_variance" in ds:
        new |= _levels_of(ds, weights, seen.rate)
    return new


def _mean_chi2(chi2: np.ndarray, n_used: np.ndarray) -> np.ndarray:
    """Return the mean over time of chi-squared over that of its degrees of freedom."""
    total, freedom = np.zeros(chi2.shape[1:]), np.zeros(chi2.shape[1:])
    for one, n in zip(chi2, n_used, strict=True):  # of the sample: no copies of the cube
        good = np.isfinite(one) & (n > 1)
        np.add(total, one, out=total, where=good)
        np.add(freedom, n - 1.0, out=freedom, where=good)
    return np.where(freedom > 0, total / np.maximum(freedom, 1.0), np.nan)


def _levels_of(
    ds: xr.Dataset, weights: xr.DataArray, rate: xr.DataArray
) -> dict[str, xr.DataArray]:
    """Return what the errors of the stripe levels, one for each group of a line, do to rates.

    The level is common to a line, and an extraction weights its pixels by their light: so
    do we when we average the group weights along the line.
    """
    along = ds.attrs["fast_dim"]
    light = rate.clip(min=0.0).fillna(0.0) + np.float32(1e-6)  # a dark line counts evenly
    mean = (weights.fillna(0.0) * light).sum(along) / light.sum(along)
    squared = (mean**2).sum("group")
    variance = (ds["stripe_variance"] * squared).astype("f4")
    out = {"level_variance": schema.label(variance, "rates", "level_variance")}
    if "stripe_factor" in ds:
        factor = ds["stripe_factor"] * np.sqrt(squared)
        out["level_factor"] = _levels.labelled(factor, ds)
    return out


def image(array: xr.DataArray, long_name: str) -> xr.DataArray:
    """Return an image of rates with its label."""
    return array.drop_attrs().assign_attrs(long_name=long_name, units="DN s-1")


def _count(array: xr.DataArray, long_name: str) -> xr.DataArray:
    return array.drop_attrs().assign_attrs(long_name=long_name, units="1")


def as_rates(ds: xr.Dataset, new: dict[str, xr.DataArray]) -> xr.Dataset:
    """Return a Dataset of rates with what is valid for them among the variables of the ramps."""
    ramps_only = set(schema.SCHEMAS["ramps"]) - set(schema.SCHEMAS["rates"]) | {
        "stripe_variance", "stripe_factor",
    }  # fmt: skip
    kept = {
        name: array
        for name, array in ds.data_vars.items()
        if name not in {*ramps_only, *new}
        and "group" not in array.dims
        and "diagnostic_of" not in array.attrs
    }
    coords = {
        name: c for name, c in ds.coords.items() if "group" not in c.dims and name not in ramps_only
    }
    new = {name: array for name, array in new.items() if name not in coords}
    return xr.Dataset({**new, **kept}, coords=coords)
