"""What is static about stripes: the scene behind them, their clipping, their noise.

All of it comes from a sample of the integrations and is the same for the whole exposure.
Arrays have the axes (slow, fast) of the read-out where lines matter; ``edges`` holds the
fast index where each output begins, and the end.
"""

# ruff: noqa: FURB136 -- min() and max() take longer to compile

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.medians import HUGE, LANES, median_in_time, median_of_lanes, network

__all__ = [
    "drop_short_lines",
    "level_statistics",
    "level_variance",
    "line_limits",
    "pixel_statistics",
    "variance_left",
]

TO_SIGMA = 1.4826
"""Standard deviation of a Gaussian over its median absolute deviation."""


@part()
def _middle_and_sigma(values, pairs, count, width, found):  # noqa: ANN001, ANN202 -- numba
    """Fill ``found[:2]`` with median and robust standard deviation of the columns of ``values``."""
    for k in range(len(found)):  # twice
        middle = found[k]
        median_of_lanes(values, pairs, count, width, middle)
        if k == 0:
            for t in range(len(values)):
                for w in range(width):
                    v = values[t, w]
                    values[t, w] = HUGE if v == HUGE else abs(v - middle[w])
    for w in range(width):
        found[0, w] = found[0, w] if count[w] > 0 else np.nan
        found[1, w] = np.float32(TO_SIGMA) * found[1, w] if count[w] > 0 else np.nan


@kernel()
def _statistics(ramp, full, partly, work, found, count, out):  # noqa: ANN001, ANN202 -- numba
    n_time, n_y, n_x = ramp.shape[0], ramp.shape[2], ramp.shape[3]
    for y in range(n_y):
        for begin in range(0, n_x, LANES):
            width, fewest = min(LANES, n_x - begin), np.int64(n_time)
            for w in range(width):
                count[w] = 0
            for t in range(n_time):
                for w in range(width):
                    x = np.uint64(begin + w)
                    a, b = np.float32(ramp[t, 0, y, x]), np.float32(ramp[t, -1, y, x])
                    seen = np.isfinite(a) and np.isfinite(b)
                    work[0, t, w] = a if seen else HUGE
                    work[1, t, w] = b - a if seen else HUGE
                    count[w] += seen
            for w in range(width):
                fewest = count[w] if count[w] < fewest else fewest
            for k in range(len(work)):  # first groups and rises
                pairs = full if fewest == n_time else partly
                _middle_and_sigma(work[k], pairs, count, width, found)
                for w in range(width):
                    x = np.uint64(begin + w)
                    out[k, y, x], out[k + 2, y, x] = found[0, w], found[1, w]


def pixel_statistics(ramp: np.ndarray, unusable: np.ndarray) -> np.ndarray:
    """Return median and scatter in time of each pixel's first group and of its rise to the last.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        A sample of the integrations; the first and the last group are looked at.
    unusable : (time, group, y, x) bool or uint8
        Saturated groups and the like.

    Returns
    -------
    (5, y, x) float32
        Median first group, median rise, their robust standard deviations, and how often the
        last group is unusable. NaN where a pixel has no finite value.
    """
    out = np.empty((5, *ramp.shape[2:]), np.float32)
    n = len(ramp)
    networks = network(n, (n - 1) // 2, n // 2), network(n, 0, n // 2)
    work, found = np.empty((2, n, LANES), np.float32), np.empty((2, LANES), np.float32)
    out[4] = np.count_nonzero(unusable[:, -1], axis=0)
    _statistics(ramp, *networks, work, found, np.empty(LANES, np.int32), out)
    return out


def drop_short_lines(usable: np.ndarray, edges: np.ndarray, min_pixels: int) -> np.ndarray:
    """Return the mask without the lines (of each output) that have too few pixels.

    Parameters
    ----------
    usable : (slow, fast) bool
        Pixels that measure the level.
    edges : (output + 1,) int
        Fast index at which each output begins, and the end.
    min_pixels : int
        Pixels that a line needs.
    """
    enough = _count(usable, edges) >= min_pixels
    return usable & np.repeat(enough, np.diff(edges), axis=-1)


def _count(usable: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.add.reduceat(usable.astype(np.int64), edges[:-1], axis=-1)


def line_limits(statistics: np.ndarray, usable: np.ndarray, sigma: float) -> np.ndarray:
    """Return the clipping distance of each line, for first groups and for rises.

    Parameters
    ----------
    statistics : (5, slow, fast) float
        From `pixel_statistics`.
    usable : (slow, fast) bool
        Pixels that measure the level.
    sigma : float
        Clipping distance in units of the median scatter of the line's pixels.

    Returns
    -------
    (2, slow) float64
        0 for a line without pixels.
    """
    scatter = np.where(usable & (statistics[2:4] > 0), statistics[2:4], np.nan)
    scatter[..., 0] = np.where(np.isnan(scatter).all(axis=-1), 0.0, scatter[..., 0])
    return sigma * np.nanmedian(scatter.astype(np.float64), axis=-1)


def level_statistics(levels: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Return what is static about the levels of a sample of the integrations.

    Parameters
    ----------
    levels, spread : (time, group, slow, output) float
        From `line_levels`.

    Returns
    -------
    (3, group, slow, output) float64
        Median level; median variance of the pixels of a line in one read; variance in time
        of the level of one group (from differences of neighbouring groups, robust).
    """
    n_group = levels.shape[1]
    reads = np.where(np.arange(n_group) > 0, 2.0, 1.0)[:, None, None]
    within = median_in_time(spread**2) / reads
    steps = np.diff(levels, axis=1, prepend=np.float32(0.0)) if n_group > 1 else levels
    steps = np.abs(steps - median_in_time(steps))
    middle = median_in_time(levels).astype(np.float64)
    return np.stack([middle, within, (TO_SIGMA * median_in_time(steps)) ** 2 / reads])


def level_variance(
    statistics: np.ndarray, usable: np.ndarray, edges: np.ndarray, efficiency: float
) -> np.ndarray:
    """Return the variance of the level of one group that is left in each line.

    For a line that was corrected, that of the estimate, from the measured scatter of its
    pixels. For one that was not, that of the stripes themselves, as the other lines show it.

    Parameters
    ----------
    statistics : (3, group, slow, output) float
        From `level_statistics`.
    usable : (slow, fast) bool
        Pixels that measure the level.
    edges : (output + 1,) int
        Fast index at which each output begins, and the end.
    efficiency : float
        Variance of the estimator over that of the mean.

    Returns
    -------
    (slow,) float64
        Mean over the outputs.
    """
    count = _count(usable, edges)
    return variance_left(statistics, np.where(count > 0, efficiency / np.maximum(count, 1), np.inf))


def variance_left(
    statistics: np.ndarray, per_pixel: np.ndarray, estimated: np.ndarray | float = np.inf
) -> np.ndarray:
    """Return what `level_variance` does for any estimator of the levels.

    Parameters
    ----------
    statistics : (3, group, slow, output) float
        From `level_statistics`.
    per_pixel : (slow, output) float
        Variance of a level over that of one pixel; infinite for a line without pixels.
    estimated : (slow, output) float
        Variance of the levels of those lines where they come from others; infinite for a line
        that was left alone.

    Returns
    -------
    (slow,) float64
        Mean over the outputs.
    """
    reference = min(1, statistics.shape[1] - 1)
    seen = np.isfinite(per_pixel)
    estimate = statistics[1, reference] * np.where(seen, per_pixel, 0.0)
    stripe = np.maximum(statistics[2, reference] - estimate, 0.0)
    left = float(np.median(stripe[seen])) if seen.any() else 0.0
    others = np.where(np.isfinite(estimated), estimated, left)
    return np.where(seen, estimate, others).mean(axis=-1)
