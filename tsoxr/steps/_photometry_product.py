"""The light curve that `photometry` makes: coordinates, covariates, diagnostics."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import schema
from tsoxr.kernels import aperture_model as model
from tsoxr.steps import _extraction, _photometry, _rates

__all__ = ["light_curve"]

FILTER = re.compile(r"^F(\d{3,4})[WMN]2?$")


def light_curve(
    ds: xr.Dataset,
    plan: _photometry.Plan,
    static: dict[str, xr.DataArray],
    values: xr.DataArray,
    curves: tuple[xr.DataArray, ...],
    units: tuple[str, str],
) -> xr.Dataset:
    """Return the light curve with the coordinates of the rates that belong to time.

    ``units`` are those of the star's light and of the curve.
    """
    light, units_of_curve = units
    flux, error, flags, about = curves
    parts = {"flux": flux, "flux_error": error, "dq": flags}
    variables = {
        n: _labelled(n, a, **({} if n == "dq" else {"units": units_of_curve}))
        for n, a in parts.items()
    }
    coords: dict[str, Any] = {
        str(n): c.variable for n, c in ds.coords.items() if c.dims in (("time",), ())
    }
    coords |= _on_time(ds, static, values, light)
    coords |= _places(ds, static)
    wave = _filter_wavelength(ds)
    if wave is not None:
        where = xr.DataArray(np.array([wave]), dims="wavelength")
        coords["wavelength"] = _labelled("wavelength", where)
    for name in ("read_offset", "slope_delay"):
        if name in ds.variables and {*ds[name].dims} <= {"y", "x"}:
            late = _in_light(ds[name], static["share"])
            coords[name] = _labelled(name, late)
    out = xr.Dataset(variables, coords, ds.attrs)
    return out.assign(_diagnostics(ds, plan, static, values, about, light))


def _in_light(image: xr.DataArray, share: xr.DataArray) -> xr.DataArray:
    """Return the mean of an image over the light of the star, (wavelength,)."""
    late = _extraction.bare(image).broadcast_like(share)
    light = share.where(late.notnull(), 0.0)
    mean = (light * late.fillna(0.0)).sum() / light.sum()
    return mean.expand_dims("wavelength").astype(np.float32)


def _on_time(
    ds: xr.Dataset, static: dict[str, xr.DataArray], values: xr.DataArray, light: str
) -> dict[str, xr.Variable]:
    """Return centroid, light of the image and level of each integration."""
    units = str(ds["rate"].attrs.get("units", "DN s-1"))
    level = values.isel(value=_photometry.VALUES.index("level")).astype(np.float32)
    out = {"background_level": _labelled("background_level", level, units=units)}
    names = {"y": "trace_shift", "x": "trace_shift_dispersion"}
    if ds.attrs.get("spatial_dim") == "x":
        names = {"y": names["x"], "x": names["y"]}
    for dim, shift in names.items():
        if shift in ds.coords:
            rest = static[dim] + _rates.first_position(ds, dim)
            moved = rest + _extraction.bare(ds[shift]).astype(np.float64)
            out[f"centroid_{dim}"] = _labelled(f"centroid_{dim}", moved)
            error = _extraction.bare(ds[f"{shift}_error"])
            out[f"centroid_{dim}_error"] = _labelled(f"centroid_{dim}_error", error)
    if "track_amplitude" in ds:
        for name in ("", "_error"):
            fitted = static["light"] * _extraction.bare(ds[f"track_amplitude{name}"])
            out[f"psf_flux{name}"] = _labelled(f"psf_flux{name}", fitted, units=light)
    return out


def _labelled(name: str, array: xr.DataArray, **attrs: object) -> xr.Variable:
    return schema.label(array, "lightcurves", name, **attrs).variable


def _places(ds: xr.Dataset, static: dict[str, xr.DataArray]) -> dict[str, xr.Variable]:
    texts = {
        "aperture_y": (static["y"] + _rates.first_position(ds, "y"), "centre of the aperture"),
        "aperture_x": (static["x"] + _rates.first_position(ds, "x"), "centre of the aperture"),
        "aperture_radius": (static["radius"], "radius of the aperture"),
        "annulus_inner": (static["inner"], "inner radius of the annulus"),
        "annulus_outer": (static["outer"], "outer radius of the annulus"),
    }
    return {
        n: a.assign_attrs(long_name=text, units="pix").variable for n, (a, text) in texts.items()
    }


def _diagnostics(
    ds: xr.Dataset,
    plan: _photometry.Plan,
    static: dict[str, xr.DataArray],
    values: xr.DataArray,
    about: xr.DataArray,
    light: str,
) -> dict[str, Any]:
    estimated = values.isel(value=_photometry.VALUES.index("estimated"))
    weight = static["weight"]
    rate_units = str(ds["rate"].attrs.get("units", "DN s-1"))
    texts = {
        "image": (static["median"], "median image", rate_units),
        "aperture": (weight / weight.max(), "weight over the largest", "1"),
        "growth": (static["growth"], "light within the radius", "1"),
        "growth_error": (static["growth_error"], "predicted relative error", "1"),
        "estimated": (estimated, "share of the light that was estimated", "1"),
        "lost": (static["lost"], "share of the light in pixels that are never usable", "1"),
        "inside": (static["inside"], "share of the aperture inside the frame", "1"),
        "whole": (static["whole"], "all pixels are summed", "1"),
        "follows": (static["follows"], "background measured in each integration", "1"),
        "optimal": (static["optimal"], "weights of least variance", "1"),
        "line_level": (static["line_level"] ** 0.5, "level of a line, rms", rate_units),
        "line_drift": (static["line_drift"] ** 0.5, "drift within a line, rms", rate_units),
        "error": (static["error"], "predicted relative error", "1"),
        "level": (about.isel(part=0), "median light", light),
        "scatter": (about.isel(part=1), "scatter from point to point over error", "1"),
    }
    found: dict[str, Any] = {
        f"photometry_{n}": a.astype(np.float32).assign_attrs(long_name=t, units=u).variable
        for n, (a, t, u) in texts.items()
    }
    radii = model.radii_of(plan.n_rows, plan.n_columns)
    about_radius = {"long_name": "radius of the aperture", "units": "pix"}
    frame = {d: ds[d].variable for d in ("y", "x") if d in ds.coords}
    return found | {"radius": ("radius", radii, about_radius)} | frame


def _filter_wavelength(ds: xr.Dataset) -> float | None:
    """Return the nominal wavelength of the filter, um: its name says it; ``None`` without one."""
    cards = json.loads(ds.attrs.get("fits_header", "{}")).get("PRIMARY", {})
    for key in ("PUPIL", "FILTER"):  # the narrow ones stand in the pupil wheel
        found = FILTER.match(str(cards.get(key, "")).strip().upper())
        if found:
            return int(found.group(1)) / 100.0
    return None
