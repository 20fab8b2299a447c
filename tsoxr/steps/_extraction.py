"""What makes an extraction: gain, median images, weights, and the sum over the cube."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq, history, modes
from tsoxr.errors import TsoError
from tsoxr.kernels import extraction as kernel
from tsoxr.kernels import profile as profile_kernel
from tsoxr.kernels.binning import scatter_over_error
from tsoxr.lazy import is_lazy, static_from_sample
from tsoxr.registry import note
from tsoxr.steps import _rates
from tsoxr.steps._extraction_methods import METHODS, weigh

__all__ = [
    "accepted_flags",
    "bare",
    "diagnostics",
    "extraction_weights",
    "gain_and_units",
    "median_images",
    "read_offset",
    "slope_delay",
    "sums",
    "wavelength_at_trace",
]

N_SAMPLE = 48
"""Integrations that the profile is measured on; its noise is a fifth of one integration's."""


def bare(array: xr.DataArray) -> xr.DataArray:
    """Return an array without coordinates and attributes, sharing its data: nothing to align."""
    return xr.DataArray(array.variable.data, dims=array.dims)


def gain_and_units(ds: xr.Dataset) -> tuple[xr.DataArray, str]:
    """Return the factor that the rates are multiplied by, and the unit of the result."""
    units = str(ds["rate"].attrs.get("units", "DN s-1"))
    if units != "DN s-1":
        note(f"the rates are in {units}: no gain applied")
        return xr.DataArray(1.0), units
    if "gain" in ds:
        return bare(ds["gain"]), "electron s-1"
    try:
        typical = modes.detector(str(ds.attrs.get("detector", ""))).gain
    except LookupError:
        note("no gain is known: flux in DN s-1")
        return xr.DataArray(1.0), units
    if ds.attrs.get("gain_scaled"):
        typical = typical / float(ds.attrs.get("gain_factor", 1.0))
    note(f"no gain attached: the detector's typical {typical:.3g} electron/DN is taken")
    return xr.DataArray(float(typical)), "electron s-1"


def accepted_flags(ds: xr.Dataset, *, use_replaced: bool) -> int:
    """Return the flags of values that are used although their pixels are out of use."""
    if not use_replaced:
        return 0
    if not any(r["step"] == "replace_bad_pixels" for r in history.records(ds.attrs)):
        note("use_replaced: no value was replaced; run .tso.replace_bad_pixels() before")
    return int(dq.bits("FLUX_ESTIMATED"))


def median_images(ds: xr.Dataset, space: str, along: str, accepted: int = 0) -> xr.DataArray:
    """Return median rate, median error and number of usable samples, (image, space, along)."""

    def stack(rate: np.ndarray, error: np.ndarray, flags: np.ndarray, _: np.ndarray) -> np.ndarray:
        bits = dq.bits(*dq.UNUSABLE_RATE), np.uint32(accepted)
        return profile_kernel.median_images(rate, error, flags, *bits)

    arrays = [bare(ds[n]).transpose("time", space, along) for n in ("rate", "rate_error", "dq")]
    three = xr.DataArray(np.zeros(3), dims="image")
    return static_from_sample(
        stack, *arrays, three, dims=("image", space, along), n_sample=N_SAMPLE
    )


def extraction_weights(
    ds: xr.Dataset,
    images: xr.DataArray,
    center: xr.DataArray,
    gain: xr.DataArray,
    settings: dict[str, Any],
) -> dict[str, xr.DataArray]:
    """Return weight, share and profile (space, along) and n_pixels (along), float64."""
    _, space, along = images.dims
    names = ("weight", "share", "profile", "n_pixels")
    measure = METHODS[settings["method"]].extra
    extra = [] if measure is None else [measure(ds)]
    made = xr.apply_ufunc(
        weigh,
        images,
        center,
        gain.transpose(space, along),
        *extra,
        kwargs={"settings": settings},
        input_core_dims=[images.dims, [along], [space, along], *(a.dims for a in extra)],
        output_core_dims=[[space, along]] * 3 + [[along]],
        dask="parallelized",
        output_dtypes=[np.float64] * 4,
    )
    return dict(zip(names, made, strict=True))


def sums(
    ds: xr.Dataset,
    weights: dict[str, xr.DataArray],
    level_along: xr.DataArray | None,
    min_fraction: float,
    accepted: int = 0,
) -> tuple[xr.DataArray, ...]:
    """Return flux, error, flags and estimated share, (time, along), with the kernel over the cube.

    ``level_along`` (along) is the variance that levels of lines along the spectrum make;
    ``accepted`` the flags of `accepted_flags`.
    """
    space, along = weights["weight"].dims
    unusable, useless = int(dq.bits(*dq.UNUSABLE_RATE)), int(dq.bits("DO_NOT_USE"))
    none = xr.DataArray(np.zeros(ds.sizes[along]), dims=along)
    return xr.apply_ufunc(
        kernel.weighted_sum,
        *[bare(ds[n]) for n in ("rate", "rate_error", "dq")],
        weights["weight"],
        weights["share"],
        none if level_along is None else level_along,
        _level_across(ds, along, none),
        kwargs={
            "bits": (unusable, useless, int(dq.bits("FLUX_ESTIMATED")), accepted),
            "min_fraction": min_fraction,
        },
        input_core_dims=[[space, along]] * 5 + [[along]] * 2,
        output_core_dims=[[along]] * 4,
        dask="parallelized",
        output_dtypes=[np.float32, np.float32, np.uint32, np.float32],
    )


def _level_across(ds: xr.Dataset, along: str, none: xr.DataArray) -> xr.DataArray:
    """Return the variance of the subtracted level of each line across the spectrum."""
    if "level_variance" in ds and ds["level_variance"].dims == (along,):
        return bare(ds["level_variance"]).astype(np.float64).fillna(0.0)
    return none


def _loaded(array: xr.DataArray) -> np.ndarray:
    """Return a small static array in memory, also where chunking has made it lazy."""
    if not is_lazy(array):
        return np.asarray(array.values)
    return np.asarray(array.data.compute(scheduler="synchronous"))


def _image_of(ds: xr.Dataset, name: str) -> xr.DataArray:
    """Return a static variable over all pixels, also where it has fewer dims."""
    return bare(ds[name]).broadcast_like(bare(ds["rate"]).isel(time=0))


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
        "extract_estimated": (estimated.mean("wavelength"), text, "1"),
        "extract_estimated_share": (_whole_in_time(estimated).mean("time"), text, "1"),
        "extract_scatter": (scatter, "scatter from point to point over error", "1"),
    }
    return {
        n: a.astype(np.float32).assign_attrs(long_name=t, units=u).variable
        for n, (a, t, u) in texts.items()
    }


def _whole_in_time(array: xr.DataArray) -> xr.DataArray:
    """Return an array without coordinates, in one chunk along time where it is lazy."""
    return bare(array).chunk(time=-1) if is_lazy(array) else bare(array)


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
    keep = keep[np.argsort(at_trace[keep], kind="stable")]
    return at_trace, keep


def read_offset(ds: xr.Dataset, center: xr.DataArray) -> dict[str, xr.DataArray]:
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


def slope_delay(ds: xr.Dataset, share: xr.DataArray) -> dict[str, xr.DataArray]:
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
