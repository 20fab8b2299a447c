"""What `subtract_background` measures on lines: the region, and the level of each line."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from tsoxr.chunks import per_chunk
from tsoxr.errors import TsoError
from tsoxr.kernels import background as region_kernel
from tsoxr.kernels import background_levels as levels
from tsoxr.kernels.background_spread import spread_wings
from tsoxr.kernels.background_wings import light_of, wing_light
from tsoxr.kernels.ridge import follow_ridge
from tsoxr.lazy import sample_indices, static_from_sample
from tsoxr.steps import _levels, _rates

__all__ = [
    "CLIP",
    "MEDIAN_VARIANCE",
    "Found",
    "Frame",
    "by_lines",
    "cubes_of",
    "filled",
    "frame_of",
    "light_in",
    "n_sampled",
]

_WINGS = {"power": wing_light, "sum": spread_wings}
CLIP = 5.0
"""Samples of an integration that changed by more sigma against their line are hits."""
MEDIAN_VARIANCE = np.pi / 2


@dataclass(frozen=True)
class Frame:
    """Static images (spatial, dispersion) of the exposure, and where the spectrum lies."""

    space: str
    along: str
    median: xr.DataArray
    error: xr.DataArray
    center: xr.DataArray
    region: xr.DataArray
    wings: xr.DataArray
    half_width: float

    @property
    def sky(self) -> xr.DataArray:
        """The median frame in the region, without the light of the star's wings."""
        return self.region - self.wings

    @property
    def plane(self) -> tuple[str, str]:
        """Dims of the images."""
        return (self.space, self.along)


@dataclass(frozen=True)
class Found:
    """What a method gives: new rates, level (time, along), its variance (along), and more."""

    rate: xr.DataArray
    level: xr.DataArray
    variance: xr.DataArray
    factor: xr.DataArray | None
    more: dict[str, xr.DataArray]


def frame_of(
    ds: xr.Dataset, half_width: float, *, darkest: float, wings: str | None, mask: Any
) -> Frame:
    """Return the static images and the pixels that show background."""
    space, along = str(ds.attrs["spatial_dim"]), str(ds.attrs["dispersion_dim"])
    error = _rates.typical_error(ds).transpose(space, along)
    median = _rates.median_frame(ds).transpose(space, along)
    center = _center(ds, median, error)
    if mask is not None:
        hidden = np.asarray(mask.transpose(space, along).values, dtype=bool)
        median = median.where(~xr.DataArray(hidden, dims=(space, along)))
    region = static_from_sample(
        lambda median, center: _region(median, center, half_width, darkest),
        median, center, dims=(space, along), dtype="f8",
    )  # fmt: skip
    light = xr.zeros_like(region)
    if wings is not None:
        light = static_from_sample(
            lambda *images: _WINGS[wings](*images, half_width),
            median, error, region, center, dims=(space, along), dtype="f8",
        )  # fmt: skip
    return Frame(space, along, median, error, center, region, light, half_width)


def _center(ds: xr.Dataset, median: xr.DataArray, error: xr.DataArray) -> xr.DataArray:
    """Return the index of the spectrum along the spatial dim, (dispersion,) float64."""
    space, along = ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"]
    if "trace_center" in ds.coords:
        center = ds["trace_center"].reset_coords(drop=True) - _rates.first_position(ds, space)
        return center.drop_vars(along, errors="ignore")
    reach = max(2.0, ds.sizes[space] / 16)

    def ridge(median: np.ndarray, error: np.ndarray) -> np.ndarray:
        return follow_ridge(median.astype(np.float64), error.astype(np.float64), reach)

    return static_from_sample(ridge, median, error, dims=(along,), dtype="f8")


def _region(
    median: np.ndarray, center: np.ndarray, half_width: float, darkest: float
) -> np.ndarray:
    region = region_kernel.background_region(median, center, half_width, darkest)
    if not np.isfinite(region).any():
        raise TsoError(
            f"subtract_background: no line has {region_kernel.MIN_PIXELS} usable pixels farther than "
            f"{half_width:g} from the spectrum; give a smaller half_width"
        )
    return region


def cubes_of(ds: xr.Dataset, frame: Frame) -> list[xr.DataArray]:
    """Return rates, errors and flags, (time, spatial, dispersion)."""
    names = ("rate", "rate_error", "dq")
    return [ds[n].reset_coords(drop=True).transpose("time", *frame.plane) for n in names]


# ------------------------------------------------------------------ lines


def by_lines(ds: xr.Dataset, frame: Frame, *, order: int, median: bool, constant: bool) -> Found:
    """Fit each line of constant wavelength for itself."""
    rate, level = per_chunk(
        partial(_lines_of_chunk, (order, median, constant, frame.half_width)),
        *cubes_of(ds, frame), frame.median, frame.region, frame.wings, frame.center,
        dims=(("time", *frame.plane), ("time", frame.along)), dtypes=("f4", "f4"),
    )  # fmt: skip
    share = MEDIAN_VARIANCE / n_sampled(ds) if constant else 1.0

    def of_level(error: np.ndarray, region: np.ndarray, center: np.ndarray) -> np.ndarray:
        variance = levels.level_variance(error, region, center, order, median)
        return share * region_kernel.fill_lines(variance[None])[0]

    variance = static_from_sample(
        of_level, frame.error, frame.region, frame.center, dims=(frame.along,)
    )
    factor = _levels.factor_of_lines(ds)
    if factor is not None and not constant:
        inside = np.isfinite(frame.region).astype("i1")
        factor = _levels.relative_to_background(ds, factor, inside, order)
    return Found(rate, level, variance, factor, {})


def n_sampled(ds: xr.Dataset) -> int:
    """Return how many integrations the median frame is made of."""
    return sample_indices(ds.sizes["time"]).size


def _lines_of_chunk(
    fit_as: tuple[int, bool, bool, float],
    rate: np.ndarray,
    error: np.ndarray,
    flags: np.ndarray,
    *images: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    order, median, constant, half_width = fit_as
    image, region, wings, center = images
    own = levels.static_levels(region - wings, center, order, median)
    usual = filled(own[None])
    if constant:
        fit = usual
    else:
        bad = _rates.unusable(rate, error, flags)
        light = light_in(rate, bad, image, wings, center, half_width)
        fit = levels.line_levels(rate, error, bad, region, wings, light, center, own, CLIP, median)
        fit = filled(fit)
        fit = np.where(np.isfinite(fit), fit, usual)
    level = np.broadcast_to(fit[..., 0], (rate.shape[0], center.size)).astype("f4")
    return levels.subtract_levels(rate, fit, center), level


def light_in(
    rate: np.ndarray,
    bad: np.ndarray,
    image: np.ndarray,
    wings: np.ndarray,
    center: np.ndarray,
    half_width: float,
) -> np.ndarray:
    """Return the light of each integration, (time,); 1 where there are no wings to scale."""
    if not wings.any():
        return np.ones(rate.shape[0])
    return light_of(rate, bad, image, center, half_width)


def filled(fit: np.ndarray) -> np.ndarray:
    """Return coefficients (time, along, term) with gaps along dispersion bridged."""
    terms = [region_kernel.fill_lines(fit[..., k]) for k in range(fit.shape[-1])]
    return np.stack(terms, axis=-1)
