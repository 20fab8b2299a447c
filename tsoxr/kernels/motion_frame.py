"""The mean frame of an exposure, and where the light of an image lies on it."""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.layout import row_blocks, time_blocks
from tsoxr.kernels.outliers import BLOCK, median_of

__all__ = ["amplitudes", "centre_of", "radius_of", "robust_mean"]

CLIP = 5.0
"""Samples of the mean frame farther off the median, in robust sigma, do not count."""
FAINTEST = 0.3
"""An image ends where the mean light of a ring is this much of the error of a pixel."""


def amplitudes(
    rate: np.ndarray, bad: np.ndarray, frame: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Return ``sum w D M / sum w M^2`` of each integration over its usable samples.

    Parameters
    ----------
    rate : (time, y, x) float
        Data.
    bad : (time, y, x) bool
        Samples to leave out.
    frame, weight : (y, x) float
        M and w; pixels where either is not finite do not count.

    Returns
    -------
    (time,) float64
        1 where nothing is usable.
    """
    out = np.ones(len(rate))
    known = np.isfinite(weight) & np.isfinite(frame)
    w, m = np.where(known, weight, np.nan), np.where(known, frame, np.nan)
    images = np.stack([w * m, w * m * m]).astype(np.float64)
    for when, (data, lost) in time_blocks(rate, bad):
        _fill_amplitudes(data, lost, images, out[when])
    return out


@kernel()
def _fill_amplitudes(rate, bad, images, out):  # noqa: ANN001, ANN202 -- numba infers the types
    n_times, n_rows, n_columns = rate.shape
    for t in range(n_times):
        over, under = 0.0, 0.0
        for y in range(n_rows):
            for x in range(n_columns):
                if not bad[t, y, x] and abs(images[0, y, x]) < np.inf:
                    over += images[0, y, x] * rate[t, y, x]
                    under += images[1, y, x]
        if under > 0.0 and over > 0.0:
            out[t] = over / under


def robust_mean(
    rate: np.ndarray, bad: np.ndarray, light: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean in time of each pixel over its light, without outliers.

    Parameters
    ----------
    rate : (time, y, x) float32
        Data.
    bad : (time, y, x) bool
        Samples to leave out; all that are not finite.
    light : (time,) float64
        Amplitude that each integration is divided by.

    Returns
    -------
    mean : (y, x) float64
        NaN without samples.
    n_used : (y, x) float64
        Samples in it.
    """
    mean, used = np.full(rate.shape[1:], np.nan), np.zeros(rate.shape[1:])
    inverse = (1.0 / light).astype(np.float32)
    for rows, (data, lost) in row_blocks(rate, bad):
        room = np.empty((BLOCK + 2, len(data)), np.float32)
        _fill_means(data, lost, inverse, room, np.empty(BLOCK, np.int64), mean[rows], used[rows])
    return mean, used


@kernel()
def _fill_means(rate, bad, inverse, room, count, mean, used):  # noqa: ANN001, ANN202 -- numba infers the types
    """Fill mean and samples used; ``room`` (BLOCK + 2, time) float32 and ``count`` are scratch."""
    n_times, n_rows, n_columns = rate.shape
    for y in range(n_rows):
        for begin in range(0, n_columns, BLOCK):
            size = min(BLOCK, n_columns - begin)
            for k in range(size):
                count[k] = 0
            for t in range(n_times):
                for k in range(size):
                    if not bad[t, y, begin + k]:
                        room[k, count[k]] = rate[t, y, begin + k] * inverse[t]
                        count[k] += 1
            for k in range(size):
                if count[k] > 0:
                    mean[y, begin + k], used[y, begin + k] = _mean_without(
                        room[k], count[k], room[BLOCK], room[BLOCK + 1]
                    )


@part()
def _mean_without(values, n, off, scratch):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the mean of ``values[:n]`` without outliers, and how many are in it."""
    middle = median_of(values, n, scratch)
    for i in range(n):
        off[i] = abs(values[i] - middle)
    reach = CLIP * 1.4826 * median_of(off, n, scratch)
    total, kept = 0.0, np.int64(0)
    for i in range(n):
        if n < 4 or off[i] <= reach:
            total += values[i]
            kept += 1
    return total / kept, kept


def centre_of(filled: np.ndarray) -> tuple[tuple[float, float], np.ndarray]:
    """Return the centre of the light of an image and the distance of each pixel from it."""
    from scipy.ndimage import median_filter, uniform_filter

    smooth = uniform_filter(median_filter(filled - np.median(filled), 3), 5)
    light = np.where(smooth > 0.3 * smooth.max(), smooth, 0.0)
    y, x = (np.arange(n, dtype=np.float64) for n in filled.shape)
    total = max(light.sum(), 1e-300)
    centre = float(light.sum(axis=1) @ y / total), float(light.sum(axis=0) @ x / total)
    return centre, np.hypot(y[:, None] - centre[0], x - centre[1])


def radius_of(
    filled: np.ndarray, error: np.ndarray, distance: np.ndarray, good: np.ndarray
) -> float:
    """Return where the mean light of rings falls to a fraction of the error of a pixel."""
    ring = np.where(good, distance.astype(int), distance.astype(int).max() + 1).ravel()
    n = np.bincount(ring)[:-1]
    relative = np.where(
        good, (filled - np.median(filled)) / np.where(good, error, 1.0), 0.0
    ).ravel()
    mean = np.bincount(ring, weights=relative)[:-1] / np.maximum(n, 1)
    faint = np.flatnonzero((mean < FAINTEST) & (np.arange(mean.size) >= 3))
    return float(faint[0] if faint.size else mean.size)
