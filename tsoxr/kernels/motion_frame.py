"""The mean frame of an exposure, and where the light of an image lies on it."""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["amplitudes", "centre_of", "radius_of", "robust_mean"]

CLIP = 5.0
"""Samples of the mean frame farther off the median, in robust sigma, do not count."""
FAINTEST = 0.3
"""An image ends where the mean light of a ring is this much of the error of a pixel."""


@numba.njit(cache=True, nogil=True)
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
    n_times, n_rows, n_columns = rate.shape
    out = np.ones(n_times)
    for t in range(n_times):
        over, under = 0.0, 0.0
        for y in range(n_rows):
            for x in range(n_columns):
                w, m = weight[y, x], frame[y, x]
                if not bad[t, y, x] and np.isfinite(w) and np.isfinite(m):
                    over += w * m * rate[t, y, x]
                    under += w * m * m
        if under > 0.0 and over > 0.0:
            out[t] = over / under
    return out


@numba.njit(cache=True, nogil=True)
def robust_mean(
    rate: np.ndarray, bad: np.ndarray, light: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean in time of each pixel over its light, without outliers.

    Parameters
    ----------
    rate : (time, y, x) float
        Data.
    bad : (time, y, x) bool
        Samples to leave out.
    light : (time,) float64
        Amplitude that each integration is divided by.

    Returns
    -------
    mean : (y, x) float64
        NaN without samples.
    n_used : (y, x) float64
        Samples in it.
    """
    n_times, n_rows, n_columns = rate.shape
    mean, used = np.full((n_rows, n_columns), np.nan), np.zeros((n_rows, n_columns))
    found = np.empty(n_times)
    for y in range(n_rows):
        for x in range(n_columns):
            n = 0
            for t in range(n_times):
                if not bad[t, y, x]:
                    found[n] = rate[t, y, x] / light[t]
                    n += 1
            if n == 0:
                continue
            middle = np.median(found[:n])
            reach = CLIP * 1.4826 * np.median(np.abs(found[:n] - middle))
            total, k = 0.0, 0
            for i in range(n):
                if n < 4 or abs(found[i] - middle) <= reach:
                    total += found[i]
                    k += 1
            mean[y, x], used[y, x] = total / k, k
    return mean, used


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
