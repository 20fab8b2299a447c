"""What the cleaning of stripes needs to know: read-out blocks, background, scene.

Everything static comes from two looks at a sample of the integrations: at the first and the
last group (the design: scene, mask, clipping), and at the levels of the lines (what of them
does not vary, `tsoxr.steps._stripe_levels`).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq, lazy, modes
from tsoxr.errors import ModeError
from tsoxr.kernels.stripe_design import LAYERS, DesignOptions, stripe_design
from tsoxr.kernels.stripes import output_edges

__all__ = [
    "BAD",
    "axes_of",
    "design",
    "design_options",
    "dummy",
    "edges_of",
    "good_pixels",
    "group_time",
    "has_interleaved_outputs",
    "of_groups",
]

BAD = (
    "DO_NOT_USE", "REFERENCE_PIXEL", "NON_SCIENCE", "DEAD", "HOT", "WARM", "RC", "TELEGRAPH",
    "OPEN", "ADJ_OPEN", "OTHER_BAD_PIXEL",
)  # fmt: skip
"""Pixels with any of these flags do not measure stripes."""


def has_interleaved_outputs(ds: xr.Dataset) -> bool:
    """Return True where neighbouring pixels of a line are read through different outputs."""
    try:
        return modes.detector(str(ds.attrs.get("detector"))).interleaved
    except ModeError:
        return False


def edges_of(ds: xr.Dataset) -> np.ndarray:
    """Return where the outputs begin along a line; interleaved ones share its stripes."""
    n_outputs = 1 if has_interleaved_outputs(ds) else int(ds.attrs.get("n_outputs", 1))
    return output_edges(ds.sizes[ds.attrs["fast_dim"]], n_outputs)


def axes_of(ds: xr.Dataset) -> tuple[str, str]:
    """Return the names of the slow and the fast axis: a line is all pixels at one slow index."""
    return ds.attrs["slow_dim"], ds.attrs["fast_dim"]


def dummy(**sizes: int) -> xr.DataArray:
    """Return an array that tells `lazy.static_from_sample` the sizes of new dims."""
    return xr.DataArray(np.zeros(tuple(sizes.values()), "i1"), dims=tuple(sizes))


def design(
    ds: xr.Dataset,
    *,
    mask: xr.DataArray | None,
    half_width: float,
    min_pixels: int,
    sigma: float,
    scale: bool,
) -> xr.DataArray:
    """Return scene, mask and clipping, (layer, y, x); see `stripe_design`."""
    options = design_options(ds, half_width, min_pixels, sigma, scale)
    ends = [0, -1] if ds.sizes["group"] > 1 else [0]
    arrays = [*of_groups(ds, ends), good_pixels(ds), dummy(layer=len(LAYERS))]
    if mask is not None:
        arrays.append(mask.transpose("y", "x").astype(bool))
    return lazy.static_from_sample(partial(_design, options), *arrays, dims=("layer", "y", "x"))


def ends_of(array: Any) -> Any:
    """Return first and last group (one, if there is only one), as a view."""
    return array.isel(group=slice(None, None, max(array.sizes["group"] - 1, 1)))


def of_groups(ds: xr.Dataset, groups: list[int]) -> list[xr.DataArray]:
    """Return counts and flags (time, group, y, x) of some groups, as `lazy.static_from_sample` takes.

    Of data in memory, no more is copied than the sample; it has no dim ``time`` then.
    """
    chosen = lazy.sample_indices(ds.sizes["time"])
    out = []
    for name in ("ramp", "dq_group"):
        array = ds[name].reset_coords(drop=True).transpose("time", "group", "y", "x")
        if not lazy.is_lazy(array):
            values = array.values[np.ix_(chosen, groups)]
            array = xr.DataArray(values, dims=("sample", "group", "y", "x"))
        else:
            array = array.isel(group=groups)
        out.append(array)
    return out


def design_options(
    ds: xr.Dataset, half_width: float, min_pixels: int, sigma: float, scale: bool
) -> DesignOptions:
    """Return the options of the kernels of the design."""
    mode = ds.attrs.get("tso_mode")
    return DesignOptions(
        spatial_axis=("y", "x").index(ds.attrs["spatial_dim"]),
        lines_along=("y", "x").index(ds.attrs["fast_dim"]),
        edges=edges_of(ds),
        half_width=half_width,
        min_pixels=min_pixels,
        sigma=sigma,
        point_source=mode in modes.names() and modes.get(mode).imaging,
        follow_light=scale,
    )


def good_pixels(ds: xr.Dataset) -> xr.DataArray:
    """Return True for pixels (y, x) to trust."""
    return ~dq.has_flag(ds["dq_pixel"], *BAD).transpose("y", "x")


def _design(
    options: DesignOptions,
    ramp: np.ndarray,
    flags: np.ndarray,
    good: np.ndarray,
    _layers: np.ndarray,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    unusable = dq.has_flag(flags, *dq.UNUSABLE)
    return stripe_design(ramp, unusable, good, mask, options)


def group_time(ds: xr.Dataset) -> xr.DataArray:
    """Return the times of the groups since reset, or their numbers."""
    return (ds["group_time"] if "group_time" in ds.coords else ds["group"]).astype("f8")
