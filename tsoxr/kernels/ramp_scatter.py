"""The scatter of time series of many pixels, from one integration to the next."""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.medians import median_of_lanes, network

__all__ = ["MAD", "median_in_time", "point_to_point"]

LANES = 128  # pixels whose medians are found together
MAD = 1.482602  # standard deviation of a Gaussian over its median absolute deviation


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _median_changes(values: np.ndarray, pairs: np.ndarray, scatter: np.ndarray) -> None:
    """Fill ``scatter`` with the median absolute changes of each pixel, NaN without any."""
    n_times, n_pixels = values.shape
    width = min(LANES, n_pixels)
    rows, middle = np.empty((n_times - 1, width), np.float32), np.empty(width, np.float32)
    count = np.empty(width, np.int64)
    for start in range(0, n_pixels, width):
        m = min(width, n_pixels - start)
        count[:] = 0
        for t in range(1, n_times):
            for i in range(m):
                change = abs(
                    np.float64(values[t, start + i]) - np.float64(values[t - 1, start + i])
                )
                rows[t - 1, i] = change if np.isfinite(change) else np.inf
                count[i] += np.isfinite(change)
        median_of_lanes(rows, pairs, count, m, middle)
        for i in range(m):
            scatter[start + i] = middle[i] if count[i] > 0 else np.nan


def point_to_point(values: np.ndarray) -> np.ndarray:
    """Return the scatter from one integration to the next, blind to trends and transits.

    Parameters
    ----------
    values : (time, pixel) float
        A time series for each pixel; NaN is left out.

    Returns
    -------
    scatter : (pixel,) float32
        1.4826 / sqrt(2) times the median absolute change; NaN where there is none.
    """
    n_times, n_pixels = values.shape
    scatter = np.full(n_pixels, np.nan, np.float32)
    if n_times > 1:
        _median_changes(values, network(n_times - 1, 0, (n_times - 1) // 2), scatter)
    return scatter * np.float32(MAD / np.sqrt(2.0))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _medians(values: np.ndarray, pairs: np.ndarray, out: np.ndarray) -> None:
    n_times, n_pixels = values.shape
    width = min(LANES, n_pixels)
    rows, middle = np.empty((n_times, width), np.float32), np.empty(width, np.float32)
    count = np.empty(width, np.int64)
    for start in range(0, n_pixels, width):
        m = min(width, n_pixels - start)
        count[:] = 0
        for t in range(n_times):
            for i in range(m):
                value = values[t, start + i]
                rows[t, i] = value if np.isfinite(value) else np.inf
                count[i] += np.isfinite(value)
        median_of_lanes(rows, pairs, count, m, middle)
        for i in range(m):
            out[start + i] = middle[i] if count[i] > 0 else np.nan


def median_in_time(values: np.ndarray) -> np.ndarray:
    """Return the median of each pixel over time.

    Parameters
    ----------
    values : (time, pixel) float
        A time series for each pixel; values that are not finite are left out.

    Returns
    -------
    (pixel,) float32
        NaN where there is none.
    """
    n_times, n_pixels = values.shape
    out = np.empty(n_pixels, np.float32)
    _medians(values, network(n_times, 0, n_times // 2), out)
    return out
