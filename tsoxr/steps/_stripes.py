"""What the cleaning of stripes needs to know: read-out blocks, background, levels of lines.

Everything static comes from two looks at a sample of the integrations: at the first and the
last group (the design: scene, mask, clipping), and at the levels of the lines (what of them
does not vary).
"""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from tsoxr import dq, lazy, modes
from tsoxr.errors import ModeError
from tsoxr.kernels.stripe_design import LAYERS, DesignOptions, stripe_design
from tsoxr.kernels.stripe_statistics import level_statistics, level_variance
from tsoxr.kernels.stripes import clean_lines, line_levels, output_edges

__all__ = ["clean", "design", "has_interleaved_outputs", "remaining_variance", "static_levels"]

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


def _edges(ds: xr.Dataset) -> np.ndarray:
    """Return where the outputs begin along a line; interleaved ones share its stripes."""
    n_outputs = 1 if has_interleaved_outputs(ds) else int(ds.attrs.get("n_outputs", 1))
    return output_edges(ds.sizes[ds.attrs["fast_dim"]], n_outputs)


def _axes(ds: xr.Dataset) -> tuple[str, str]:
    return ds.attrs["slow_dim"], ds.attrs["fast_dim"]


def _layers(n: int) -> xr.DataArray:
    """Return an array that tells `static_from_sample` the size of the dim ``layer``."""
    return xr.DataArray(np.zeros(n), dims="layer")


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
    mode = ds.attrs.get("tso_mode")
    options = DesignOptions(
        spatial_axis=("y", "x").index(ds.attrs["spatial_dim"]),
        lines_along=("y", "x").index(ds.attrs["fast_dim"]),
        edges=_edges(ds),
        half_width=half_width,
        min_pixels=min_pixels,
        sigma=sigma,
        point_source=mode in modes.names() and modes.get(mode).imaging,
        follow_light=scale,
    )
    ends = ds[["ramp", "dq_group"]].isel(group=[0, -1]).transpose("time", "group", "y", "x")
    arrays = [
        ends["ramp"],
        dq.has_flag(ends["dq_group"], *dq.UNUSABLE),
        ~dq.has_flag(ds["dq_pixel"], *BAD).transpose("y", "x"),
        _layers(len(LAYERS)),
    ]
    if mask is not None:
        arrays.append(mask.transpose("y", "x").astype(bool))
    return lazy.static_from_sample(partial(_design, options), *arrays, dims=("layer", "y", "x"))


def _design(
    options: DesignOptions,
    ramp: np.ndarray,
    unusable: np.ndarray,
    good: np.ndarray,
    _layers: np.ndarray,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    return stripe_design(ramp, unusable, good, mask, options)


def static_levels(ds: xr.Dataset, scene: xr.DataArray, *, by_median: bool) -> xr.DataArray:
    """Return what does not vary about the levels, (layer, group, slow, output)."""
    slow, fast = _axes(ds)
    edges = _edges(ds)
    chosen = lazy.sample_indices(ds.sizes["time"])
    levels, spread = xr.apply_ufunc(
        line_levels, ds["ramp"].isel(time=chosen), scene, _group_time(ds),
        kwargs={"edges": edges, "by_median": by_median},
        input_core_dims=[["group", slow, fast], ["layer", slow, fast], ["group"]],
        output_core_dims=[["group", slow, "output"]] * 2,
        dask="parallelized", output_dtypes=["f4", "f4"],
        dask_gufunc_kwargs={"output_sizes": {"output": edges.size - 1}},
    )  # fmt: skip
    dims = ("layer", "group", slow, "output")
    return lazy.static_from_sample(
        _level_statistics, levels, spread, _layers(3), dims=dims, dtype="f8"
    )


def _level_statistics(levels: np.ndarray, spread: np.ndarray, _layers: np.ndarray) -> np.ndarray:
    return level_statistics(levels, spread)


def _group_time(ds: xr.Dataset) -> xr.DataArray:
    return (ds["group_time"] if "group_time" in ds.coords else ds["group"]).astype("f8")


def clean(
    ds: xr.Dataset, scene: xr.DataArray, static: xr.DataArray, *, by_median: bool
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the ramps without stripes, and the stripes (time, group, slow, output).

    One task for each chunk, so that no chunk waits half done for what is static.
    """
    slow, fast = _axes(ds)
    ramp, stripe = xr.apply_ufunc(
        clean_lines, ds["ramp"], scene, _group_time(ds), static.isel(layer=0),
        kwargs={"edges": _edges(ds), "by_median": by_median},
        input_core_dims=[["group", slow, fast], ["layer", slow, fast], ["group"],
                         ["group", slow, "output"]],
        output_core_dims=[["group", slow, fast], ["group", slow, "output"]],
        dask="parallelized", output_dtypes=["f4", "f4"],
    )  # fmt: skip
    return ramp.transpose(*ds["ramp"].dims), stripe


def remaining_variance(
    ds: xr.Dataset, statistics: xr.DataArray, usable: xr.DataArray, efficiency: float
) -> xr.DataArray:
    """Return the variance (slow) of the level that one group of a line is left with, DN2."""
    slow, fast = _axes(ds)
    how = {"edges": _edges(ds), "efficiency": efficiency}
    variance = xr.apply_ufunc(
        level_variance, statistics, usable, kwargs=how,
        input_core_dims=[["layer", "group", slow, "output"], [slow, fast]], output_core_dims=[[slow]],
        dask="parallelized", output_dtypes=["f8"],
    )  # fmt: skip
    return variance.assign_attrs(
        long_name="variance of the level of a line in one group", units="DN2"
    )
