"""The scatter of time series of many pixels, from one integration to the next."""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.medians import median_of_lanes, network

__all__ = ["MAD", "median_in_time", "point_to_point"]

LANES = 128  # pixels whose medians are found together
MAD = 1.482602  # standard deviation of a Gaussian over its median absolute deviation


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _medians(values: np.ndarray, changes: bool, pairs: np.ndarray, out: np.ndarray) -> None:
    """Fill ``out`` with medians over time, of values or of absolute changes; NaN without any."""
    n_times, n_pixels = values.shape
    width, first = min(LANES, n_pixels), 1 if changes else 0
    rows, count = np.empty((n_times - first, width), np.float32), np.empty(width, np.int32)
    for start in range(0, n_pixels, width):
        m = min(width, n_pixels - start)
        count[:] = 0
        for t in range(first, n_times):
            row, value = rows[t - first], values[t, start : start + m]
            before = values[t - first, start : start + m]
            if changes:
                for i in range(m):
                    row[i] = abs(value[i] - before[i])
            else:
                for i in range(m):
                    row[i] = value[i]
            for i in range(m):
                count[i] += np.int32(1 if np.isfinite(row[i]) else 0)
            for i in range(m):
                row[i] = row[i] if np.isfinite(row[i]) else np.inf
        middle = out[start : start + m]
        median_of_lanes(rows, pairs, count, m, middle)
        for i in range(m):
            middle[i] = middle[i] if count[i] > 0 else np.nan


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
        _medians(values, True, network(n_times - 1, 0, (n_times - 1) // 2), scatter)
    return scatter * np.float32(MAD / np.sqrt(2.0))


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
    _medians(values, False, network(n_times, 0, n_times // 2), out)
    return out
