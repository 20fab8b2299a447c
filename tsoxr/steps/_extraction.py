"""What makes an extraction: gain, median images, weights, and the sum over the cube."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import dq, history, modes
from tsoxr.kernels import extraction as kernel
from tsoxr.kernels import profile as profile_kernel
from tsoxr.lazy import static_from_sample
from tsoxr.registry import note
from tsoxr.steps import _moving, _order_weights
from tsoxr.steps._extraction_methods import METHODS, weigh

if TYPE_CHECKING:
    from tsoxr.steps._rejection import Rejection

__all__ = [
    "accepted_flags",
    "bare",
    "extraction_weights",
    "gain_and_units",
    "gain_in_flux",
    "median_images",
    "sums",
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


def gain_in_flux(share: xr.DataArray, gain: xr.DataArray, units: str) -> dict[str, xr.DataArray]:
    """Return electrons of one DN in the flux of each line, NaN without light.

    ``share`` (spatial, dispersion) is what each pixel adds to the flux; the same light in DN is
    the sum of the shares over the gains of their pixels.
    """
    if units != "electron s-1":
        return {}
    known = gain > 0
    counts = (share / gain).where(known).sum(share.dims[0])
    light = share.where(known).sum(share.dims[0])
    return {"gain_in_flux": light / counts.where(counts > 0)}


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
    """Return weight, share and profile (space, along) and n_pixels (along), float64.

    Where the method has measured more, that is ``extra``.
    """
    _, space, along = images.dims
    names = ("weight", "share", "profile", "n_pixels")
    method = METHODS[settings["method"]]
    measure = method.extra
    extra = [] if measure is None else [measure(ds, center, gain, settings["half_width"])]
    made = xr.apply_ufunc(
        weigh,
        _order_weights.own_images(ds, images),
        center,
        gain.transpose(space, along),
        *extra,
        kwargs={"settings": settings},
        input_core_dims=[images.dims, [along], [space, along], *(a.dims for a in extra)],
        output_core_dims=[[space, along]] * 3 + [[along]],
        dask="parallelized",
        output_dtypes=[np.float64] * 4,
    )
    weights = dict(zip(names, made, strict=True))
    weights |= {"extra": extra[0]} if extra else {}
    return _order_weights.without_others(ds, images, weights)


def sums(
    ds: xr.Dataset,
    weights: dict[str, xr.DataArray],
    level_along: xr.DataArray | None,
    min_fraction: float,
    accepted: int = 0,
    hits: Rejection | None = None,
    moving: _moving.Moving | None = None,
) -> tuple[xr.DataArray, ...]:
    """Return flux, error, flags and estimated share, (time, along), with the kernel over the cube.

    ``level_along`` (along) is the variance that levels of lines along the spectrum make;
    ``accepted`` the flags of `accepted_flags`; with ``hits`` their number is returned too. With
    ``moving`` its weights are taken, at the place of the light of each integration.
    """
    space, along = weights["weight"].dims
    unusable, useless = int(dq.bits(*dq.UNUSABLE_RATE)), int(dq.bits("DO_NOT_USE"))
    none = xr.DataArray(np.zeros(ds.sizes[along]), dims=along)
    along_variance, across_variance = (
        none if level_along is None else level_along,
        _level_across(ds, along, none),
    )
    settings: dict[str, Any] = {
        "bits": (unusable, useless, int(dq.bits("FLUX_ESTIMATED")), accepted),
        "min_fraction": min_fraction,
    }
    if moving is not None:
        return _moving.moving_sums(ds, moving, along_variance, across_variance, settings)
    expected = [] if hits is None else [hits.expected]
    return xr.apply_ufunc(
        kernel.weighted_sum if hits is None else hits.before(kernel.weighted_sum),
        *expected,
        *[bare(ds[n]) for n in ("rate", "rate_error", "dq")],
        weights["weight"],
        weights["share"],
        along_variance,
        across_variance,
        kwargs=settings,
        input_core_dims=[[*e.dims] for e in expected] + [[space, along]] * 5 + [[along]] * 2,
        output_core_dims=[[along]] * (4 + len(expected)),
        dask="parallelized",
        output_dtypes=[np.float32, np.float32, np.uint32, np.float32] + [np.uint16] * len(expected),
    )


def _level_across(ds: xr.Dataset, along: str, none: xr.DataArray) -> xr.DataArray:
    """Return the variance of the subtracted level of each line across the spectrum."""
    if "level_variance" in ds and ds["level_variance"].dims == (along,):
        return bare(ds["level_variance"]).astype(np.float64).fillna(0.0)
    return none
