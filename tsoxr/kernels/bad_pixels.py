"""Pixels that are wrong at all times: too bright, too dark, too noisy, or at two levels.

Everything is judged on static images: the median frame against what the pixels around it lead
to expect, and the noise in time against the prediction and against the pixels around. Axes are
(spatial, dispersion) here, or (y, x) for images without dispersion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tsoxr.kernels.bad_pixels_expected import (
    REACH,
    expected_from_around,
    expected_from_line,
    pixels_around,
)
from tsoxr.kernels.outliers import DIFFERENCE_NOISE, MAD_NOISE, ROWS, without_motion

__all__ = [
    "BRIGHT",
    "DARK",
    "GOOD",
    "JUMPING",
    "MIN_SAMPLES",
    "NOISY",
    "Evidence",
    "judge",
    "time_statistics",
]

GOOD, BRIGHT, DARK, NOISY, JUMPING = range(5)
"""Verdicts."""

SHARP = 0.2
"""A pixel is alone where no more than two of those around share this part of its excess; images of
stars are wider."""
CORE_DEPARTURE = 0.5
"""Part of the expected light by which a bright pixel must be off, at least, to be bad."""
CORE_NOISE = 3.0
"""Factor by which a bright pixel must be noisier than those around, at least, to be bad."""
CORE_SIGNAL = 10.0
"""Pixels whose expected light is so many times the error of one integration are bright."""
EDGE = 4.0
"""Without dispersion, departures up to this many times the spread of the pixels around are image."""
DISAGREEMENT = 2.0
"""Along the dispersion, departures up to this times the disagreement of the comparisons are image."""
TWO_LEVELS = 4.5
"""Distance of two levels over the noise at each; two halves of normal noise are at 2.65."""
ONE_HIT = 3.0
"""Distance of two levels over the noise that one sample far off all others may look like."""
EXCURSION = 4.5
"""Samples farther off their median, in widths, are excursions."""
MIN_EXCURSIONS = 4
"""Of 96 samples; hits in one sample of a thousand make as many in 4 pixels of a million."""
MIN_SAMPLES = 8
"""Integrations that noise is judged from, at least."""
CLASSES = 8


def time_statistics(
    rate: np.ndarray,
    unusable: np.ndarray,
    fits: np.ndarray,
    templates: np.ndarray,
    width: np.ndarray,
) -> np.ndarray:
    """Return how often each pixel leaves its median, and how far apart its two levels are.

    Parameters
    ----------
    rate, unusable, fits, templates
        A sample of the frames, (time, y, x), with their light and shift, see
        `tsoxr.kernels.outliers_frames`.
    width : (y, x) float32
        Noise that pixels like this one have.

    Returns
    -------
    (3, y, x) float32
        Number of samples more than `EXCURSION` widths off the median; distance of the means of two
        groups of samples over the scatter within them, for the split into groups that leaves the least
        scatter (0 with fewer than `MIN_SAMPLES` samples); the distance over the width.
    """
    out = np.zeros((3, *width.shape), np.float32)
    for first in range(0, len(width), ROWS):
        rows = slice(first, first + ROWS)
        left = without_motion(rate[:, rows], unusable[:, rows], fits, templates[:, rows])
        values = np.ascontiguousarray(left.reshape(len(left), -1).T)
        values.sort(axis=1)  # NaN last
        count = len(left) - np.isnan(values).sum(axis=1)
        enough = np.flatnonzero(count >= MIN_SAMPLES)
        if not enough.size:
            continue
        found = out[:, rows].reshape(3, -1)  # a copy
        values, count, limit = values[enough], count[enough], width[rows].ravel()[enough]
        middle = values[np.arange(count.size), count // 2]
        found[0, enough] = (np.abs(values - middle[:, None]) > EXCURSION * limit[:, None]).sum(
            axis=1
        )
        apart, within = _split(values, count)
        for i, unit in enumerate((within, limit)):
            found[1 + i, enough] = np.divide(apart, unit, out=np.zeros_like(apart), where=unit > 0)
        out[:, rows] = found.reshape(out[:, rows].shape)
    return out


def _split(values: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distance of means and scatter within, for the best split of sorted values.

    Values are (pixel, time), the first ``count`` of each pixel finite. Groups hold a twentieth of the
    values at least, and so many that a hit is no level: one large value among g of n stands out
    of the scatter that it makes itself by sqrt((n - 2) / (g (g - 1))), which is kept below `ONE_HIT`.
    """
    n, j = count[:, None], np.arange(1, values.shape[1])
    off = np.nan_to_num(values - values[:, :1]).astype(np.float64)
    total, squares = off.sum(axis=1, keepdims=True), (off * off).sum(axis=1)
    below = np.cumsum(off, axis=1)[:, :-1]
    after = np.maximum(n - j, 1)
    distance = (total - below) / after - below / j
    between = distance**2 * (j * after) / n
    least = np.ceil(0.5 + np.sqrt(0.25 + np.maximum(n - 2, 0) / ONE_HIT**2))
    least = np.maximum(least, n // 20)
    between[(j < least) | (n - j < least)] = -1.0
    at = np.argmax(between, axis=1)[:, None]
    best, apart = (np.take_along_axis(a, at, axis=1)[:, 0] for a in (between, distance))
    inside = squares - total[:, 0] ** 2 / count - best
    return apart, np.sqrt(np.maximum(inside, 0.0) / (count - 2))


@dataclass(frozen=True)
class Evidence:
    """What is known of each pixel, (spatial, dispersion) or (y, x).

    ``median`` frame; ``error`` of one integration and the ``common`` noise of pixels of similar error,
    over it; ``noise`` (4, ...) of `tsoxr.kernels.outliers.pixel_noise`; ``statistics`` (3, ...) of
    `time_statistics`; ``good``, neither NaN nor known as bad; ``sigma`` (...), threshold.
    """

    median: np.ndarray
    error: np.ndarray
    common: np.ndarray
    noise: np.ndarray
    statistics: np.ndarray
    good: np.ndarray
    sigma: np.ndarray


def judge(
    known: Evidence, *, dispersed: bool, n_median: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a verdict on each pixel, its departure in standard deviations, and its noise ratio.

    Parameters
    ----------
    known : Evidence
        Images.
    dispersed : bool
        The last axis is that of the dispersion.
    n_median : int
        Integrations in the median frame.

    Returns
    -------
    verdict : (...) uint8
        `GOOD`, `BRIGHT`, `DARK`, `NOISY` or `JUMPING`.
    departure : (...) float64
        Median frame less what is expected, over its uncertainty.
    ratio : (...) float64
        Noise over that of the pixels around.
    """
    good = known.good
    for _ in range(3):  # again without what was found: bad pixels spoil what others expect
        departure, off, core = _departure(known, good, dispersed, n_median)
        verdict = np.where(departure > 0, BRIGHT, DARK).astype(np.uint8)
        verdict[~(off & known.good)] = GOOD
        good = known.good & (verdict == GOOD)
    ratio, noisy = _noise(known, core, dispersed)
    jumping = (known.statistics[1] > TWO_LEVELS) & (known.statistics[2] > known.sigma) & ~core
    often = (known.statistics[0] >= MIN_EXCURSIONS) & ~core
    verdict[(noisy | often) & good] = NOISY
    verdict[jumping & known.good] = JUMPING  # also where the median lies at the upper level
    return verdict, departure, ratio


def _departure(
    known: Evidence, good: np.ndarray, dispersed: bool, n_median: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return departure in sigma, whether it is a bad pixel's, and which pixels are bright."""
    if dispersed:
        expected, background, image = expected_from_line(known.median, good)
        image = DISAGREEMENT / EDGE * image
    else:
        expected, image = expected_from_around(known.median, good)
        background = np.full(good.shape, np.nanpercentile(known.median[good], 25.0))
    excess = known.median - expected
    noise = known.error * known.common
    variance = noise**2 * (0.5 * np.pi / max(n_median, 1)) * 1.3  # of both medians
    rough = _roughness(excess, expected, variance, good)
    spread = np.sqrt(variance + (rough * np.clip(expected, 0, None)) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        departure = excess / spread
        core = expected - background > CORE_SIGNAL * noise
        off = np.abs(departure) > known.sigma
        off &= np.abs(excess) > EDGE * image
        off &= ~core | (np.abs(excess) > CORE_DEPARTURE * (expected - background))
        off &= _alone(excess, np.sqrt(variance))
    return np.nan_to_num(departure), off & np.isfinite(excess), core


def _alone(excess: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return whether at most two of the eight pixels around depart to the same side."""
    sign = np.sign(np.nan_to_num(excess))
    share = np.nan_to_num(pixels_around(excess)) * sign
    third = np.sort(share, axis=0)[-3]
    return third < SHARP * np.abs(excess) + 1.5 * noise


def _roughness(
    excess: np.ndarray, expected: np.ndarray, variance: np.ndarray, good: np.ndarray
) -> np.ndarray:
    """Return the relative rms departure of pixels of similar brightness, noise removed."""
    rough = np.zeros(excess.shape)
    use = np.flatnonzero(good & np.isfinite(excess) & (expected > 0) & np.isfinite(variance))
    if use.size < 2 * CLASSES:
        return rough
    light = expected.ravel()[use]
    for part in np.array_split(np.argsort(light), CLASSES if use.size > 2000 else 2):
        at = use[part]
        relative = 1.4826 * np.median(np.abs(excess.ravel()[at] / light[part]))
        noise = np.median(variance.ravel()[at] / light[part] ** 2)
        rough.ravel()[at] = np.sqrt(max(relative**2 - noise, 0.0))
    return rough


def _noise(known: Evidence, core: np.ndarray, dispersed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the noise over that of the pixels around, and where it is too much."""
    size = (1, 4 * REACH + 1) if dispersed else (5, 5)
    ratio, too_much = np.zeros(known.good.shape), np.zeros(known.good.shape, bool)
    for own, count, unit in zip(
        known.noise[:2], known.noise[2:], (DIFFERENCE_NOISE, MAD_NOISE), strict=True
    ):
        with np.errstate(invalid="ignore", divide="ignore"):
            each = own / (known.error * known.common)
            usual = np.where(np.isfinite(each) & known.good, each, 1.0)
            usual = np.maximum(ndimage.median_filter(usual, size=size, mode="nearest"), 1.0)
            each = each / usual
            limit = np.exp(known.sigma * unit / np.sqrt(count))  # scatters are skewed
        limit = np.where(core, np.maximum(limit, CORE_NOISE), limit)
        too_much |= (each > limit) & (count >= MIN_SAMPLES)
        ratio = np.fmax(ratio, each)
    return ratio, too_much
