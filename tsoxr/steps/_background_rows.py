"""What `subtract_background` measures on detector rows that the spectrum follows."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from tsoxr.chunks import per_chunk
from tsoxr.kernels import background as region_kernel
from tsoxr.kernels import background_levels as levels
from tsoxr.lazy import static_from_sample
from tsoxr.steps import _levels, _rates
from tsoxr.steps._background import (
    CLIP,
    MEDIAN_VARIANCE,
    Found,
    Frame,
    cubes_of,
    filled,
    light_in,
    n_sampled,
)

__all__ = ["by_rows"]

UNLIT = 0.005
"""Lines with less light than this, as a part of the brightest ones, show background on all rows."""
SMOOTH = 15
"""Lines whose median light is taken."""


def by_rows(ds: xr.Dataset, frame: Frame) -> Found:
    """Take the background of the median frame from lines, and its changes from rows."""
    arrays = (frame.median, frame.region, frame.wings, frame.center)
    along_rows = static_from_sample(
        lambda *images: _rows_region(*images, frame.half_width), *arrays, dims=frame.plane, dtype="f8"
    )  # fmt: skip
    usual = static_from_sample(_usual, frame.sky, frame.center, dims=(frame.along,), dtype="f8")
    rate, level = per_chunk(
        partial(_of_chunk, frame.half_width), *cubes_of(ds, frame), *arrays, along_rows, usual,
        dims=(("time", *frame.plane), ("time", frame.along)), dtypes=("f4", "f4"),
    )  # fmt: skip
    share = MEDIAN_VARIANCE / n_sampled(ds)

    def of_lines(error: np.ndarray, region: np.ndarray, center: np.ndarray) -> np.ndarray:
        variance = levels.level_variance(error, region, center, 0)
        return share * region_kernel.fill_lines(variance[None])[0]

    variance = static_from_sample(
        of_lines, frame.error, frame.region, frame.center, dims=(frame.along,)
    )
    n_outputs = _levels.edges_of(ds).size - 1
    n_rows = frame.median.sizes[frame.space]
    modes = xr.DataArray(np.zeros((n_outputs, n_rows)), dims=("output", "level_mode"))
    factor = static_from_sample(
        _factor, frame.error, along_rows, modes, dims=(frame.space, "output", "level_mode")
    )
    return Found(rate, level, variance, factor, {})


def _usual(sky: np.ndarray, center: np.ndarray) -> np.ndarray:
    return filled(levels.static_levels(sky, center, 0)[None])[0, :, 0]


def _rows_region(
    median: np.ndarray, region: np.ndarray, wings: np.ndarray, center: np.ndarray, half_width: float
) -> np.ndarray:
    """Return the median frame in the region and on all lines that have no light."""
    from scipy import ndimage

    near = np.abs(np.arange(median.shape[0])[:, None] - center) <= half_width
    above = np.nan_to_num(median - _usual(region - wings, center))
    light = ndimage.median_filter(np.where(near, above, 0.0).sum(axis=0), SMOOTH, mode="nearest")
    unlit = light < UNLIT * np.percentile(light, 95)
    return np.where(unlit & np.isfinite(median), median, region)


def _of_chunk(
    half_width: float,
    rate: np.ndarray,
    error: np.ndarray,
    flags: np.ndarray,
    *images: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    median, _region, wings, center, along_rows, usual = images
    bad = _rates.unusable(rate, error, flags)
    light = light_in(rate, bad, median, wings, center, half_width)
    n_rows = rate.shape[1]
    turned = [a.transpose(0, 2, 1) for a in (rate, error, bad)]
    nothing = np.zeros((n_rows, 1))
    change = levels.line_levels(
        *turned, along_rows.T, wings.T, light, np.zeros(n_rows), nothing, CLIP
    )
    change = np.nan_to_num(filled(change))[..., 0]  # (time, row)
    out = levels.subtract_levels(rate, usual[None, :, None], center)
    out -= change[:, :, None].astype("f4")
    row = np.clip(np.round(np.nan_to_num(center)), 0, n_rows - 1).astype(int)
    return out, (usual + change[:, row]).astype("f4")


def _factor(error: np.ndarray, along_rows: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """Return the factor of independent errors of rows, the same in all outputs of a row."""
    n_rows = error.shape[0]
    variance = levels.level_variance(error.T, along_rows.T, np.zeros(n_rows), 0)
    sigma = np.sqrt(np.nan_to_num(region_kernel.fill_lines(variance[None])[0]))
    return np.broadcast_to(np.diag(sigma)[:, None], (n_rows, *modes.shape))
