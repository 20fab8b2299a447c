"""What `extract` makes of its sums: the labelled spectra, with what belongs to each wavelength."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from tsoxr import schema
from tsoxr.errors import TsoError
from tsoxr.kernels import extraction as kernel
from tsoxr.kernels.binning import scatter_over_error
from tsoxr.lazy import is_lazy
from tsoxr.registry import note
from tsoxr.steps import _aperture_loss, _rates
from tsoxr.steps._extraction import bare

__all__ = ["aperture_coords", "delays", "diagnostics", "of_lines", "wavelength_at_trace"]


def wavelength_at_trace(ds: xr.Dataset, space: str, along: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the wavelength at the trace and the pixels that have one, in ascending order."""
    image = _loaded(_image_of(ds, "wavelength").transpose(space, along))
    if np.array_equal(image, np.broadcast_to(image[:1], image.shape), equal_nan=True):
        at_trace = image[0]
    else:
        center = _loaded(ds["trace_center"]) - _rates.first_position(ds, space)
        at_trace = kernel.value_at_trace(image, center)
    keep = np.flatnonzero(np.isfinite(at_trace))
    if keep.size == 0:
        raise TsoError(
            "extract: no pixel of the trace has a wavelength inside the frame; compare trace_center with "
            "the frame (.tso.plot.find_trace()) and run .tso.assign_wavelength()"
        )
    _say_what_is_odd(at_trace[keep])
    keep = keep[np.argsort(at_trace[keep], kind="stable")]
    return at_trace, keep


def _say_what_is_odd(wavelength: np.ndarray) -> None:
    """Note wavelengths along the trace that repeat or turn round, as no spectrograph's do."""
    ordered = np.sort(wavelength)
    same = np.diff(ordered) == 0
    shared = int((np.append(same, False) | np.insert(same, 0, False)).sum())
    if shared:
        note(
            f"{shared} pixels along the trace share their wavelength with others; dispersion_pixel "
            "tells them apart, and light curves can be made when all but one are dropped"
        )
    steps = np.diff(wavelength)
    if (steps > 0).any() and (steps < 0).any():
        note("the wavelengths neither rise nor fall all along the trace; they were sorted")


def delays(ds: xr.Dataset, center: xr.DataArray, share: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return ``read_offset`` and ``slope_delay`` (dispersion,), s, of rates that have them."""
    return _read_offset(ds, center) | _slope_delay(ds, share)


def _read_offset(ds: xr.Dataset, center: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return the read-out delay at the trace: as it is linear in the pixel, the profile's mean."""
    if "read_offset" not in ds.variables:
        return {}
    space, along = ds.attrs["spatial_dim"], center.dims[0]
    image = _image_of(ds, "read_offset")
    at_trace = xr.apply_ufunc(
        kernel.value_at_trace,
        image,
        center,
        input_core_dims=[[space, along], [along]],
        output_core_dims=[[along]],
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    return {"read_offset": at_trace.astype(np.float32)}


def _slope_delay(ds: xr.Dataset, share: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return when the light of each wavelength is measured, after mid-integration, s.

    A spectrum is a sum of slopes; where they lie at different times, as beside pixels that
    saturate, its own time is their mean weighted with the light that each adds.
    """
    if "slope_delay" not in ds.variables or not {*ds["slope_delay"].dims} <= {"y", "x"}:
        return {}
    late = _image_of(ds, "slope_delay").astype(np.float64)
    light = share.where(late.notnull(), 0.0)
    mean = (light * late.fillna(0.0)).sum(share.dims[0]) / light.sum(share.dims[0])
    return {"slope_delay": mean.astype(np.float32)}


def of_lines(
    ds: xr.Dataset,
    taken: dict[str, xr.DataArray],
    wavelength: np.ndarray,
    keep: np.ndarray,
    units: str,
) -> tuple[xr.Dataset, dict[str, xr.DataArray]]:
    """Return the Dataset of spectra, and all that was taken, both in the order of wavelengths.

    ``wavelength`` (dispersion,) is that of all pixels, ``keep`` those that have one. Coordinates
    of the rates that belong to time come along.
    """
    along = str(ds.attrs["dispersion_dim"])
    taken = {k: v.isel({along: keep}).rename({along: "wavelength"}) for k, v in taken.items()}
    pixel = ds[along].values if along in ds.coords else np.arange(ds.sizes[along])
    dims = {"flux": units, "flux_error": units, "dq": None, "flux_estimated": None}
    taken["flux_estimated"] = taken["estimated"]
    variables = {
        name: _labelled(
            name, ("time", "wavelength"), taken[name].transpose("time", "wavelength"),
            **({"units": unit} if unit else {}),
        )
        for name, unit in dims.items()
    }  # fmt: skip
    variables["n_pixels"] = _labelled(
        "n_pixels", "wavelength", taken["n_pixels"].astype(np.float32)
    )
    if "level_error" in taken:
        variables["level_error"] = _labelled(
            "level_error", ("wavelength", "level_mode"), taken["level_error"], units=units
        )
    for name in _aperture_loss.NAMES:
        variables[name] = _labelled(name, "wavelength", taken[name], diagnostic_of="extract")
    coords = {n: c.variable for n, c in ds.coords.items() if c.dims in (("time",), ())}
    coords["wavelength"] = _labelled("wavelength", "wavelength", wavelength[keep])
    for name in ("read_offset", "slope_delay"):
        if name in taken:
            coords[name] = _labelled(name, "wavelength", taken[name])
    coords["dispersion_pixel"] = _labelled(
        "dispersion_pixel", "wavelength", pixel[keep].astype(np.int32)
    )
    return xr.Dataset(variables, coords, ds.attrs), taken


def aperture_coords(order: int, half_width: float) -> dict[str, xr.Variable]:
    """Return the scalar coordinates that say what was extracted."""
    return {
        "order": xr.Variable((), np.int16(order), {"long_name": "spectral order", "units": "1"}),
        "aperture_half_width": xr.Variable(
            (), np.float32(half_width), {"long_name": "half width of the aperture", "units": "pix"}
        ),
    }


def _labelled(name: str, dims: Any, values: Any, **attrs: object) -> xr.Variable:
    array = values if isinstance(values, xr.DataArray) else xr.DataArray(values, dims=dims)
    return schema.label(array, "spectra", name, **attrs).variable


def diagnostics(
    ds: xr.Dataset,
    out: xr.Dataset,
    taken: dict[str, xr.DataArray],
    images: xr.DataArray,
    weights: dict[str, xr.DataArray],
) -> dict[str, xr.Variable]:
    """Return what `extract` shows of itself: images, shares of the light, scatter over error."""
    units = ds["rate"].attrs.get("units", "DN s-1")
    estimated = taken["estimated"]
    scatter = xr.apply_ufunc(
        scatter_over_error,
        *[_whole_in_time(out[n]) for n in ("flux", "flux_error")],
        input_core_dims=[["time", "wavelength"]] * 2,
        output_core_dims=[["wavelength"]],
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    text = "share of the light that was estimated"
    texts = {
        "extract_image": (images.isel(image=0).transpose("y", "x"), "median frame", units),
        "extract_profile": (weights["profile"].transpose("y", "x"), "profile", "1"),
        "extract_weight": (weights["weight"].transpose("y", "x"), "weight of the pixel", "1"),
        "extract_estimated": (estimated.mean("wavelength"), text, "1"),
        "extract_estimated_share": (_whole_in_time(estimated).mean("time"), text, "1"),
        "extract_scatter": (scatter, "scatter from point to point over error", "1"),
    }
    if "gain_in_flux" in taken:
        texts["extract_gain"] = (
            taken["gain_in_flux"],
            "electrons of one DN in the flux",
            "electron DN-1",
        )
    if "correlation" in taken:
        found = taken["correlation"]
        texts["extract_correlation"] = found, "mean correlation of two pixels", "1"
    if "rejected" in taken:
        found = taken["rejected"].sum("wavelength")
        texts["extract_rejected"] = found, "pixels rejected as hits", "1"
    return {
        n: a.astype(np.float32).assign_attrs(long_name=t, units=u).variable
        for n, (a, t, u) in texts.items()
    }


def _whole_in_time(array: xr.DataArray) -> xr.DataArray:
    """Return an array without coordinates, in one chunk along time where it is lazy."""
    return bare(array).chunk(time=-1) if is_lazy(array) else bare(array)


def _loaded(array: xr.DataArray) -> np.ndarray:
    """Return a small static array in memory, also where chunking has made it lazy."""
    if not is_lazy(array):
        return np.asarray(array.values)
    return np.asarray(array.data.compute(scheduler="synchronous"))


def _image_of(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Return a static variable over all pixels, also where it has fewer dims."""
    return bare(ds[name]).broadcast_like(bare(ds["rate"]).isel(time=0))
