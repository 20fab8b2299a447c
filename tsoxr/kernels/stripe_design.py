"""What the measurement of stripes holds constant: scene, mask and clipping of every pixel.

One image of several layers, so that a streaming pass over the data waits for one thing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsoxr.kernels.light import (
    DARKEST_PERCENT,
    background_pixels,
    bright_pixels,
    distance_from_light,
)
from tsoxr.kernels.medians import percentile_of_seen
from tsoxr.kernels.stripe_statistics import drop_short_lines, line_limits, pixel_statistics

__all__ = ["LAYERS", "DesignOptions", "design_and_distance", "stripe_design"]

LAYERS = ("start", "rise", "wing", "usable", "bright", "limit_first", "limit_rise")
"""Median first group and rise to the last, wings of the star in the rise, DN; whether a pixel
measures its line, or the star's light (0 or 1); clipping distance of its line for the first
group and for rises, DN."""


@dataclass(frozen=True)
class DesignOptions:
    """How the design is made; see `stripe_design`.

    ``spatial_axis`` of an image (y, x); ``lines_along`` the axis of the lines; ``edges``
    (output + 1,) along a line; ``half_width`` pixels; ``follow_light`` for pixels that
    measure the star.
    """

    spatial_axis: int
    lines_along: int
    edges: np.ndarray
    half_width: float
    min_pixels: int
    sigma: float
    point_source: bool
    follow_light: bool


def stripe_design(
    ramp: np.ndarray,
    unusable: np.ndarray,
    good: np.ndarray,
    mask: np.ndarray | None,
    options: DesignOptions,
) -> np.ndarray:
    """Derive scene, mask and clipping from a sample of the integrations.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        The first group given and the last, DN.
    unusable : (time, group, y, x) bool
        Saturated groups and the like.
    good : (y, x) bool
        Pixels to trust.
    mask : (y, x) bool or None
        Pixels that may measure the stripes; found from the light if ``None``.
    options : DesignOptions
        The rest.

    Returns
    -------
    (layer, y, x) float32
        See `LAYERS`.
    """
    return design_and_distance(ramp, unusable, good, mask, options)[0]


def design_and_distance(
    ramp: np.ndarray,
    unusable: np.ndarray,
    good: np.ndarray,
    mask: np.ndarray | None,
    options: DesignOptions,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the `stripe_design`, and how far each pixel (y, x) is from the light that rises.

    ``None`` instead of the distance where it was not needed: with a mask, or without a rise.
    """
    statistics = pixel_statistics(ramp, unusable)
    rises, distance = (statistics[1] != 0).any(), None
    light = statistics[1] if rises else statistics[0]
    if mask is not None:
        usable = good & mask
    else:
        distance = _distance(light, good, options)
        usable = _background(light, good, distance, options)
    usable = _along_lines(drop_short_lines, usable, options, options.edges, options.min_pixels)
    sky = percentile_of_seen(light, usable, DARKEST_PERCENT, options.spatial_axis)
    wing = np.where(usable, light - sky, 0.0)
    bright = bright_pixels(light, good & (statistics[4] == 0)) & options.follow_light
    lines = (
        (statistics, usable) if options.lines_along == 1 else (statistics.swapaxes(1, 2), usable.T)
    )
    limits = line_limits(*lines, options.sigma)[:, :, None] * np.ones(lines[1].shape)
    limits = limits if options.lines_along == 1 else limits.swapaxes(1, 2)
    layers = np.stack([*statistics[:2], wing, usable, bright, *limits]).astype(np.float32)
    return layers, distance if rises else None


def _distance(light: np.ndarray, good: np.ndarray, options: DesignOptions) -> np.ndarray:
    turned = _oriented(light, options), _oriented(good, options)
    return _oriented(distance_from_light(*turned, point_source=options.point_source), options)


def _background(
    light: np.ndarray, good: np.ndarray, distance: np.ndarray, options: DesignOptions
) -> np.ndarray:
    found = background_pixels(
        _oriented(light, options),
        _oriented(good, options),
        options.half_width,
        distance=_oriented(distance, options),
    )
    return _oriented(found, options)


def _oriented(image: np.ndarray, options: DesignOptions) -> np.ndarray:
    """Turn (y, x) into (spatial, dispersion), and back."""
    return image if options.spatial_axis == 0 else image.T


def _along_lines(func, usable: np.ndarray, options: DesignOptions, *args: object) -> np.ndarray:  # noqa: ANN001
    return func(usable, *args) if options.lines_along == 1 else func(usable.T, *args).T
