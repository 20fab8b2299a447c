"""The scatter of time series of many pixels, from one integration to the next."""

from __future__ import annotations

import numpy as np

from tsoxr.kernels import medians

__all__ = ["MAD", "median_in_time", "point_to_point"]

BLOCK = 8192  # pixels worked on at a time: numpy is fast in the cache
MAD = 1.482602  # standard deviation of a Gaussian over its median absolute deviation


def _of_finite(values: np.ndarray) -> np.ndarray:
    """Return medians over the first axis of what is finite, NaN where nothing is.

    What is missing becomes as many values below all others as above, which leaves the median
    where it is; where an odd number is missing, one more row evens it out.
    """
    missing = ~np.isfinite(values)
    above = np.logical_xor.accumulate(missing, axis=0)
    filled = np.where(missing, np.where(above, medians.HUGE, -medians.HUGE), values)
    out = np.full(filled.shape[1], np.nan, np.float32)
    some, odd = ~missing.all(axis=0), above[-1]
    for chosen in (some & ~odd, some & odd):
        if chosen.any():
            rows = filled[:, chosen]
            if odd[chosen][0]:
                rows = np.concatenate([rows, np.full_like(rows[:1], -medians.HUGE)])
            out[chosen] = medians.median_in_time(rows)
    return out


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
    out = medians.median_in_time(values.astype(np.float32, copy=False))
    others = np.flatnonzero(np.isnan(out))
    for start in range(0, others.size, BLOCK):
        pixels = others[start : start + BLOCK]
        out[pixels] = _of_finite(np.take(values, pixels, axis=1).astype(np.float32, copy=False))
    return out


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
        for start in range(0, n_pixels, BLOCK):
            with np.errstate(invalid="ignore"):
                change = np.diff(values[:, start : start + BLOCK], axis=0)
            scatter[start : start + BLOCK] = median_in_time(np.abs(change, out=change))
    return scatter * np.float32(MAD / np.sqrt(2.0))
