"""What the cleaning of stripes needs to know: read-out blocks, background, levels of lines.

Everything static comes from two looks at a sample of the integrations: at the first and the
last group (scene and mask), and at the levels of the lines (what of them does not vary).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq, lazy, modes
from tsoxr.errors import ModeError
from tsoxr.kernels.light import background_pixels, bright_pixels, wings
from tsoxr.kernels.stripe_statistics import (
    drop_short_lines,
    level_statistics,
    level_variance,
    line_limits,
    pixel_statistics,
)
from tsoxr.kernels.stripes import line_levels, output_edges, subtract_levels

__all__ = [
    "has_interleaved_outputs",
    "measure_levels",
    "measuring_pixels",
    "remaining_variance",
    "scene_statistics",
    "static_levels",
    "subtract_stripes",
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


def _edges(ds: xr.Dataset) -> np.ndarray:
    """Return where the outputs begin along a line; interleaved ones share its stripes."""
    n_outputs = 1 if has_interleaved_outputs(ds) else int(ds.attrs.get("n_outputs", 1))
    return output_edges(ds.sizes[ds.attrs["fast_dim"]], n_outputs)


def _axes(ds: xr.Dataset) -> tuple[str, str]:
    return ds.attrs["slow_dim"], ds.attrs["fast_dim"]


def _layers(n: int) -> xr.DataArray:
    """Return an array that tells `static_from_sample` the size of the dim ``layer``."""
    return xr.DataArray(np.zeros(n), dims="layer")


def scene_statistics(ds: xr.Dataset) -> xr.DataArray:
    """Return medians and scatter of the scene, (layer, y, x); see `pixel_statistics`."""
    ends = ds[["ramp", "dq_group"]].isel(group=[0, -1]).transpose("time", "group", "y", "x")
    unusable = dq.has_flag(ends["dq_group"], *dq.UNUSABLE)
    return lazy.static_from_sample(
        _pixel_statistics, ends["ramp"], unusable, _layers(5), dims=("layer", "y", "x")
    )


def _pixel_statistics(ramp: np.ndarray, unusable: np.ndarray, _layers: np.ndarray) -> np.ndarray:
    return pixel_statistics(ramp, unusable)


def measuring_pixels(
    ds: xr.Dataset,
    scene: xr.DataArray,
    *,
    mask: xr.DataArray | None,
    half_width: float,
    min_pixels: int,
) -> xr.DataArray:
    """Return the good pixels (y, x) off the light, of lines that have enough of them."""
    good = _bare(~dq.has_flag(ds["dq_pixel"], *BAD))
    if mask is not None:
        usable = good & _bare(mask).drop_attrs().astype(bool)
    else:
        usable = _background(ds, scene, good, half_width)
    axes = list(_axes(ds))
    return xr.apply_ufunc(
        drop_short_lines, usable, kwargs={"edges": _edges(ds), "min_pixels": min_pixels},
        input_core_dims=[axes], output_core_dims=[axes],
        dask="parallelized", output_dtypes=["?"],
    ).transpose("y", "x")  # fmt: skip


def _bare(array: xr.DataArray) -> xr.DataArray:
    return array.reset_coords(drop=True).drop_vars(["y", "x"], errors="ignore")


def _background(
    ds: xr.Dataset, scene: xr.DataArray, good: xr.DataArray, half_width: float
) -> xr.DataArray:
    mode = ds.attrs.get("tso_mode")
    point_source = mode in modes.names() and modes.get(mode).imaging
    how = {"half_width": half_width, "point_source": point_source}
    return _on_image(ds, background_pixels, _light(ds, scene), good, dtype="?", **how)


def _on_image(
    ds: xr.Dataset, func: Any, *images: xr.DataArray, dtype: str, **how: Any
) -> xr.DataArray:
    """Apply a function of static images (spatial, dispersion) that returns one."""
    axes = [ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"]]
    return xr.apply_ufunc(
        func, *images, kwargs=how, input_core_dims=[axes] * len(images), output_core_dims=[axes],
        dask="parallelized", output_dtypes=[dtype],
    ).transpose("y", "x")  # fmt: skip


def _light(ds: xr.Dataset, scene: xr.DataArray) -> xr.DataArray:
    """Return the image that shows where the light is: the rise, or the only group."""
    return scene.isel(layer=1 if ds.sizes["group"] > 1 else 0)


def measure_levels(
    ds: xr.Dataset,
    scene: xr.DataArray,
    usable: xr.DataArray,
    *,
    sigma: float,
    by_median: bool,
    scale: bool,
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return level and pixel scatter of each line, (time, group, slow, output)."""
    slow, fast = _axes(ds)
    edges, line, image = _edges(ds), [slow, fast], ["layer", slow, fast]
    limit = xr.apply_ufunc(
        line_limits, scene, usable, kwargs={"sigma": sigma},
        input_core_dims=[image, line], output_core_dims=[["part", slow]],
        dask="parallelized", output_dtypes=["f8"],
        dask_gufunc_kwargs={"output_sizes": {"part": 2}},
    )  # fmt: skip
    wing = _on_image(ds, wings, _light(ds, scene), usable, dtype="f4")
    bright = _bright(ds, scene) if scale else xr.zeros_like(usable)
    levels, spread = xr.apply_ufunc(
        line_levels, ds["ramp"], scene, wing, _group_time(ds), usable, bright, limit,
        kwargs={"edges": edges, "by_median": by_median},
        input_core_dims=[["group", slow, fast], image, line, ["group"], line, line, ["part", slow]],
        output_core_dims=[["group", slow, "output"]] * 2,
        dask="parallelized", output_dtypes=["f4", "f4"],
        dask_gufunc_kwargs={"output_sizes": {"output": edges.size - 1}},
    )  # fmt: skip
    return levels, spread


def _bright(ds: xr.Dataset, scene: xr.DataArray) -> xr.DataArray:
    """Return the pixels whose sum follows the star: bright, good, not saturated."""
    good = _bare(~dq.has_flag(ds["dq_pixel"], *BAD)) & (scene.isel(layer=4) == 0)
    return _on_image(ds, bright_pixels, _light(ds, scene), good, dtype="?")


def _group_time(ds: xr.Dataset) -> xr.DataArray:
    return _bare(ds["group_time"] if "group_time" in ds.coords else ds["group"]).astype("f8")


def static_levels(ds: xr.Dataset, levels: xr.DataArray, spread: xr.DataArray) -> xr.DataArray:
    """Return what does not vary about the levels, (layer, group, slow, output)."""
    dims = ("layer", "group", ds.attrs["slow_dim"], "output")
    return lazy.static_from_sample(
        _level_statistics, levels, spread, _layers(3), dims=dims, dtype="f8"
    )


def _level_statistics(levels: np.ndarray, spread: np.ndarray, _layers: np.ndarray) -> np.ndarray:
    return level_statistics(levels, spread)


def subtract_stripes(ds: xr.Dataset, stripe: xr.DataArray) -> xr.DataArray:
    """Return the ramps minus the stripe (time, group, slow, output) of each line."""
    core = ["group", *_axes(ds)]
    return xr.apply_ufunc(
        subtract_levels, ds["ramp"], stripe, kwargs={"edges": _edges(ds)},
        input_core_dims=[core, ["group", ds.attrs["slow_dim"], "output"]], output_core_dims=[core],
        dask="parallelized", output_dtypes=["f4"],
    ).transpose(*ds["ramp"].dims)  # fmt: skip


def remaining_variance(
    ds: xr.Dataset, statistics: xr.DataArray, usable: xr.DataArray, efficiency: float
) -> xr.DataArray:
    """Return the variance (slow) of the level that one group of a line is left with, DN2."""
    slow, fast = _axes(ds)
    how: dict[str, Any] = {"edges": _edges(ds), "efficiency": efficiency}
    variance = xr.apply_ufunc(
        level_variance, statistics, usable, kwargs=how,
        input_core_dims=[["layer", "group", slow, "output"], [slow, fast]], output_core_dims=[[slow]],
        dask="parallelized", output_dtypes=["f8"],
    )  # fmt: skip
    return variance.assign_attrs(
        long_name="variance of the level of a line in one group", units="DN2"
    )
