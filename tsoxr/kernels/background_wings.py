r"""Light of the star in the pixels that are to show background.

The wings of a diffraction-limited profile fall as a power of the distance, across a spectrum
by about its square, and reach as far as the frame. Their share k of a line's light F is
nearly the same for all lines, so one number is found from all of them: in the median frame

.. math:: m_{y\lambda} = b_\lambda + k\, F_\lambda\, |y - c_\lambda|^{-p} + n_{y\lambda}

the levels b of the lines are eliminated and k follows by least squares, for each p of a grid; the p that leaves least is taken. In each integration
the wings are those of the median frame times the light of the star, so that what they lose in
a transit is not taken for a change of the background.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.background import medians
from tsoxr.kernels.compiling import kernel
from tsoxr.kernels.layout import time_blocks

__all__ = ["light_of", "wing_light"]

POWERS = np.arange(2.0, 4.01, 0.25)
"""Of a line-spread function: 2 for a clear pupil, more for a smooth one; a shallower one passes
for background."""
CLIP = 4.0
SMOOTH = 7
"""Lines whose median light is taken, so that a bad pixel on the spectrum has no say."""


def wing_light(
    median: np.ndarray, error: np.ndarray, region: np.ndarray, centre: np.ndarray, half_width: float
) -> np.ndarray:
    """Return the light of the spectrum's wings in the background's pixels.

    Parameters
    ----------
    median, error : (spatial, dispersion) float
        Median frame and typical 1 sigma errors of one integration.
    region : (spatial, dispersion) float64
        Median frame where background is measured, NaN elsewhere.
    centre : (dispersion,) float64
        Position of the spectrum.
    half_width : float
        Pixels to either side that hold the light of a line.

    Returns
    -------
    (spatial, dispersion) float64
        0 outside the region, and everywhere when no wings are seen.
    """
    away = np.abs(np.arange(median.shape[0])[:, None] - centre)
    use = np.isfinite(region) & (error > 0)
    weight = np.where(use, 1.0 / np.where(use, error, 1.0).astype(np.float64) ** 2, 0.0)
    values = np.where(use, region, 0.0)
    best, wings = np.inf, np.zeros(median.shape)
    light = _light(median, away <= half_width, _mean(values, weight))
    for power in POWERS:
        shape = light * np.maximum(away, 1.0) ** -power
        share, left = _share(values, weight, shape)
        if share > 0 and left < best:
            best, wings = left, np.where(use, share * shape, 0.0)
    return wings


def _mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the weighted mean of each line, 0 without pixels."""
    total = weight.sum(axis=0)
    return (weight * values).sum(axis=0) / np.where(total > 0, total, 1.0)


def _light(median: np.ndarray, inside: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Return the light of each line above its background."""
    from scipy import ndimage

    known = inside & np.isfinite(median)
    total = np.where(known, median - level, 0.0).sum(axis=0, dtype=np.float64)
    part = known.sum(axis=0) / np.maximum(inside.sum(axis=0), 1)
    return ndimage.median_filter(total / np.maximum(part, 0.5), SMOOTH, mode="nearest")


def _share(values: np.ndarray, weight: np.ndarray, shape: np.ndarray) -> tuple[float, float]:
    """Return k and the squared sum of what its fit leaves, with outliers clipped."""
    share, left, kept = 0.0, np.inf, weight
    for _ in range(5):
        high, steep = values - _mean(values, kept), shape - _mean(shape, kept)
        power = (kept * steep**2).sum()
        if not power > 0:
            break
        share = float((kept * steep * high).sum() / power)
        off = np.sqrt(weight) * (high - share * steep)
        spread = 1.4826 * np.median(np.abs(off[weight > 0]))
        left = float((np.minimum(np.abs(off), CLIP * spread)[weight > 0] ** 2).sum())
        now = np.where(np.abs(off) <= CLIP * spread, weight, 0.0)
        if (now == kept).all():
            break
        kept = now
    return share, left


def light_of(
    rate: np.ndarray,
    unusable: np.ndarray,
    median: np.ndarray,
    centre: np.ndarray,
    half_width: float,
) -> np.ndarray:
    """Return the light of the spectrum in each integration relative to the median frame.

    Parameters
    ----------
    rate : (time, spatial, dispersion) float32
        Frames.
    unusable : (time, spatial, dispersion) bool
        Samples to leave out.
    median : (spatial, dispersion) float
        Median frame.
    centre : (dispersion,) float64
        Position of the spectrum.
    half_width : float
        Pixels to either side that hold the light of a line.

    Returns
    -------
    (time,) float64
        Median of the ratios of the brighter half of the lines; 1 without any.
    """
    own, usual = (np.zeros((len(rate), median.shape[1])) for _ in range(2))
    near = np.abs(np.arange(median.shape[0])[:, None] - centre) <= half_width
    image = np.where(near, median, np.nan).astype(np.float64)
    for when, (frames, lost) in time_blocks(rate, unusable):
        _add_light(frames, lost, image, own[when], usual[when])
    bright = (usual > 0) & (usual >= np.median(usual, axis=1)[:, None])
    light = medians(np.where(bright, own / np.where(bright, usual, 1.0), np.nan))
    return np.where(bright.any(axis=1), light, 1.0)


@kernel()
def _add_light(rate, unusable, median, own, usual):  # noqa: ANN001, ANN202 -- numba infers the types
    for t in range(rate.shape[0]):
        for y in range(rate.shape[1]):
            for x in range(rate.shape[2]):
                if abs(median[y, x]) < np.inf and not unusable[t, y, x]:
                    own[t, x] += rate[t, y, x]
                    usual[t, x] += median[y, x]
