"""What the pixels around lead to expect of a pixel of a static image.

Axes are (spatial, dispersion), or (y, x) for images without dispersion.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

__all__ = ["REACH", "expected_from_around", "expected_from_line", "pixels_around"]

REACH = 5
"""Pixels to either side along the dispersion that a pixel is compared with."""
SCALE_LIMIT = 2.0
"""The spectrum is followed by no more than this factor from pixel to pixel compared with."""
BACKGROUND_PERCENTILE = 25.0
BRIGHT_ROWS = 0.2
"""Pixels above this part of their column's peak show how much light the column has."""
LIT = 10.0
"""Columns whose brightest pixel is so many times the scatter of the image have light to follow."""


def expected_from_line(
    image: np.ndarray, good: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what pixels along the dispersion lead to expect, and the background in it.

    Parameters
    ----------
    image : (spatial, dispersion) float64
        Median frame; not finite where unknown.
    good : (spatial, dispersion) bool
        Pixels to compare with.

    Returns
    -------
    expected, background, spread : (spatial, dispersion) float64
        NaN where no pixel to compare with is in reach; the last is by how much the comparisons
        disagree, the range of the middle three.

    Notes
    -----
    The mean of the pixels k to the left and k to the right, each brought to the light of this
    column, for k from 1 to `REACH`; of these means, the median. Means of two do not see a slope, as of
    a tilted trace, and of five two may be bad.
    """
    data = np.where(good, image, np.nan)
    with np.errstate(invalid="ignore"):
        low = _nan(np.nanpercentile, data, BACKGROUND_PERCENTILE)
        low = ndimage.median_filter(np.nan_to_num(low), size=2 * REACH + 1, mode="nearest")
        light = data - low
    flux = _spectrum(light)
    pairs = []
    for k in range(1, REACH + 1):
        sides = [_shifted(light, s) * _ratio(flux, s) for s in (-k, k)]
        both = 0.5 * (sides[0] + sides[1])
        one = np.where(np.isfinite(sides[0]), sides[0], sides[1])
        pairs.append(np.where(np.isfinite(both), both, one))
    expected, ordered = _nan(np.nanmedian, np.stack(pairs)), np.sort(np.stack(pairs), axis=0)
    spread = ordered[3] - ordered[1]  # NaN last: where pixels are missing, the others must do
    spread = np.where(np.isfinite(spread), spread, ordered[2] - ordered[0])
    return expected + low, np.broadcast_to(low, image.shape), np.nan_to_num(spread)


def _spectrum(light: np.ndarray) -> np.ndarray:
    """Return the light of each column, (dispersion,), whatever single pixels have.

    The running median along the dispersion, summed, times the median ratio of the column's brightest
    pixels to it.
    """
    smooth = _nan(np.nanmedian, np.stack([_shifted(light, k) for k in range(-REACH, REACH + 1)]))
    smooth = np.nan_to_num(smooth)
    scatter = 1.4826 * np.nanmedian(np.abs(light - np.nanmedian(light)))
    peak = smooth.max(axis=0)
    shown = (smooth > BRIGHT_ROWS * peak) & (peak > LIT * scatter) & np.isfinite(light)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(shown, light / smooth, np.nan)
    scale = _nan(np.nanmedian, ratio)
    scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
    noise = np.sqrt(light.shape[0]) * scatter + 1e-30  # no light, no scaling
    return scale * np.clip(smooth.sum(axis=0), 0, None) + noise


def _nan(func: Callable[..., Any], values: np.ndarray, *args: float) -> np.ndarray:
    """Return ``func`` along the first axis; NaN, and no warning, where there is nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(func(values, *args, axis=0))


def _shifted(image: np.ndarray, by: int) -> np.ndarray:
    """Return what lies ``by`` pixels further along the last axis."""
    if by == 0:
        return image
    out = np.full(image.shape, np.nan)
    if by > 0:
        out[..., :-by] = image[..., by:]
    else:
        out[..., -by:] = image[..., :by]
    return out


def _ratio(flux: np.ndarray, by: int) -> np.ndarray:
    return np.clip(flux / _shifted(flux, by), 1.0 / SCALE_LIMIT, SCALE_LIMIT)


def expected_from_around(image: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the median of the eight pixels around, and the spread of the middle six of them.

    Parameters
    ----------
    image, good
        As for `expected_from_line`, (y, x).
    """
    around = pixels_around(np.where(good, image, np.nan))
    ordered = np.sort(around, axis=0)  # NaN last
    expected = _nan(np.nanmedian, around)
    return expected, np.where(np.isfinite(ordered[6]), ordered[6] - ordered[1], np.inf)


def pixels_around(image: np.ndarray) -> np.ndarray:
    """Return the eight pixels around each, (8, y, x)."""
    padded = np.pad(image, 1, constant_values=np.nan)
    ny, nx = image.shape
    return np.stack(
        [padded[j : j + ny, i : i + nx] for j in range(3) for i in range(3) if (j, i) != (1, 1)]
    )
