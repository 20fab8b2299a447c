"""What `subtract_background` measures on whole frames: the scale of a template."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tsoxr.chunks import per_chunk
from tsoxr.errors import TsoError
from tsoxr.kernels import background_levels as levels
from tsoxr.kernels import background_template as shapes
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

__all__ = ["by_template", "read_template"]

SMOOTH = 31
"""Lines whose median makes a learned template: noise in it would be taken for background in the
integrations that it was learned from. An edge stays an edge."""


def read_template(source: Any, ds: xr.Dataset) -> xr.DataArray:
    """Return a template as (y, x) float64, from an array, a Dataset or a file.

    Raises
    ------
    ValueError
        For a file of another type, or an image of another size.
    """
    if isinstance(source, str | Path):
        source = _from_file(Path(source))
    if isinstance(source, xr.Dataset):
        images = [n for n, v in source.data_vars.items() if set(v.dims) == {"y", "x"}]
        if len(images) != 1:
            raise ValueError(
                f"subtract_background: the template's Dataset has the images {images}; "
                "there must be one; give a DataArray"
            )
        source = source[images[0]]
    if isinstance(source, xr.DataArray):
        source = source.transpose("y", "x").values
    values = np.asarray(source, dtype=np.float64)
    wanted = (ds.sizes["y"], ds.sizes["x"])
    if values.shape != wanted or not np.isfinite(values).any():
        raise ValueError(
            f"subtract_background: the template has shape {values.shape}, with "
            f"{int(np.isfinite(values).sum())} finite values; it must be an image (y, x) of {wanted}; "
            "cut it to the subarray"
        )
    return xr.DataArray(values, dims=("y", "x"))


def _from_file(path: Path) -> Any:
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".nc":
        return xr.load_dataset(path)
    if path.suffix in (".fits", ".fit"):
        from astropy.io import fits

        with fits.open(path) as file:
            return next(np.array(hdu.data, float) for hdu in file if hdu.data is not None)
    raise ValueError(
        f"subtract_background: template {path.name!r} is no .npy, .nc or .fits file; "
        "give one of these, or an array"
    )


def by_template(
    ds: xr.Dataset,
    frame: Frame,
    template: xr.DataArray | None,
    *,
    order: int,
    scales: int,
    constant: bool,
) -> Found:
    """Scale one image to each integration, on one or two sides of a step."""
    image = _learned(frame, order) if template is None else template.transpose(*frame.plane)
    step = None
    side = xr.DataArray(
        np.zeros([frame.median.sizes[d] for d in frame.plane], "i1"), dims=frame.plane
    )
    if scales == 2:
        step = static_from_sample(
            _step, frame.median, frame.sky, image, dims=(frame.space,), dtype="f8"
        )
        side = static_from_sample(
            lambda step, image: shapes.sides(step, image.shape),
            step, image, dims=frame.plane, dtype="i1",
        )  # fmt: skip
    both = xr.DataArray(np.zeros(2), dims="side")
    usual = static_from_sample(
        lambda region, error, image, side, _: shapes.static_scales(region, error, image, side),
        frame.sky, frame.error, image, side, both, dims=("side",), dtype="f8",
    )  # fmt: skip
    if template is None:
        usual = xr.ones_like(both)
    rate, level, scale = per_chunk(
        partial(_template_of_chunk, (constant, frame.half_width)),
        *cubes_of(ds, frame), frame.median, frame.region, frame.wings, frame.error, frame.center,
        image, side, usual,
        dims=(("time", *frame.plane), ("time", frame.along), ("time", "side")),
        dtypes=("f4", "f4", "f4"), sizes={"side": 2},
    )  # fmt: skip
    share = MEDIAN_VARIANCE / n_sampled(ds) if constant else 1.0
    variance = static_from_sample(
        lambda *images: share * _template_variance(*images),
        frame.region, frame.error, frame.center, image, side, dims=(frame.along,),
    )  # fmt: skip
    factor = _levels.factor_of_lines(ds)
    if factor is not None and not constant:
        factor = static_from_sample(
            lambda factor, region, error, image: shapes.relative_to_template(
                factor, _weight(region, error), image, _levels.edges_of(ds)
            ),
            factor, frame.region, frame.error, image, dims=factor.dims,
        )  # fmt: skip
    more = {"scale": scale.isel(side=slice(0, scales))} | ({} if step is None else {"step": step})
    return Found(rate, level, variance, factor, more)


def _learned(frame: Frame, order: int) -> xr.DataArray:
    """Return the background of the median frame, smooth along the dispersion."""
    from scipy import ndimage

    def model(region: np.ndarray, center: np.ndarray) -> np.ndarray:
        fit = filled(levels.static_levels(region, center, order)[None])[0]
        fit = ndimage.median_filter(fit, size=(SMOOTH, 1), mode="nearest")
        away = np.arange(region.shape[0])[:, None] - center
        return sum(fit[:, k] * away**k for k in range(order + 1))

    return static_from_sample(model, frame.sky, frame.center, dims=frame.plane, dtype="f8")


def _step(median: np.ndarray, region: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return where the background steps on each row, in the data or else in the template."""
    near = shapes.steepest(np.nanmedian(image, axis=0))
    on_rows = np.isfinite(region).sum(axis=1) > 0.05 * region.shape[1]
    seen = np.where(on_rows[:, None], median, np.nan).astype(np.float64)
    found = shapes.step_line(seen, near)
    if found is None:
        found = shapes.step_line(image, near)
    if found is None:
        raise TsoError(
            "subtract_background: scales=2, but neither the data nor the template have a step along "
            "dispersion; use scales=1"
        )
    return found


def _weight(region: np.ndarray, error: np.ndarray) -> np.ndarray:
    use = np.isfinite(region) & (error > 0)
    return np.where(use, 1.0 / np.where(use, error, 1.0).astype(np.float64) ** 2, np.nan)


def _at_center(image: np.ndarray, center: np.ndarray) -> np.ndarray:
    row = np.clip(np.round(np.nan_to_num(center)), 0, image.shape[0] - 1).astype(int)
    return image[row, np.arange(center.size)]


def _template_of_chunk(
    scale_as: tuple[bool, float],
    rate: np.ndarray,
    error: np.ndarray,
    flags: np.ndarray,
    *images: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    constant, half_width = scale_as
    median, region, wings, typical, center, image, side, usual = images
    scale = np.broadcast_to(usual, (rate.shape[0], 2)).copy()
    if not constant:
        bad = _rates.unusable(rate, error, flags)
        light = light_in(rate, bad, median, wings, center, half_width)
        weight = _weight(region, typical)
        scale += shapes.scale_changes(
            rate, error, bad, region, wings, light, weight, image, side, CLIP
        )
    level = scale[:, _at_center(side, center)] * np.nan_to_num(_at_center(image, center))
    return (
        shapes.subtract_template(rate, scale, image, side),
        level.astype("f4"),
        scale.astype("f4"),
    )


def _template_variance(
    region: np.ndarray, error: np.ndarray, center: np.ndarray, image: np.ndarray, side: np.ndarray
) -> np.ndarray:
    weight = _weight(region, error)
    power = np.array([np.nansum(weight * image**2 * (side == s)) for s in range(2)])
    of_scale = np.where(power > 0, 1.0 / np.where(power > 0, power, 1.0), 0.0)
    return of_scale[_at_center(side, center)] * np.nan_to_num(_at_center(image, center)) ** 2
