"""The median over time of the mean slopes of ramps: what fits and searches know of the light."""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.medians import median_of_lanes, network
from tsoxr.kernels.ramps import JUMP, UNUSABLE, usable_difference

__all__ = ["mean_rate"]

LANES = 128  # pixels whose medians are found together
WIDE = 2048  # pixels whose slopes are: a run of that length in memory is read at full speed


@numba.njit(cache=True, nogil=True)
def _none_usable(flags: np.ndarray) -> bool:
    """Return whether all pixels have flags with which a group is not used."""
    usable = np.uint8(0)
    for i in range(flags.size):
        usable |= np.uint8((flags[i] & UNUSABLE) == 0)
    return usable == 0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _slope(ramp: np.ndarray, dq_group: np.ndarray, interval: np.ndarray, i: int) -> float:
    """Return the mean slope of the usable differences of one ramp, infinite without any."""
    rise = span = 0.0
    for j in range(interval.size):
        d = np.float64(ramp[j + 1, i]) - np.float64(ramp[j, i])
        if usable_difference(dq_group[j, i], dq_group[j + 1, i]) and np.isfinite(d):
            rise += d
            span += interval[j]
    return rise / span if span > 0.0 else np.inf


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _slopes(  # noqa: C901 -- loops over few rows each run in lanes
    ramp: np.ndarray,
    dq_group: np.ndarray,
    interval: np.ndarray,
    start: int,
    seen: np.ndarray,
    slope: np.ndarray,
) -> None:
    """Fill mean slopes of ramps (group, pixel) from pixel ``start``, infinite without any.

    From the first to the last group that any of the pixels uses; ramps with flags between
    them, and those whose groups do not add up to a number, one by one.
    """
    first, last, stop = 0, interval.size, start + slope.size
    while first < last and _none_usable(dq_group[first, start:stop]):
        first += 1
    while first < last and _none_usable(dq_group[last, start:stop]):
        last -= 1
    q = dq_group[first, start:stop]
    for i in range(slope.size):
        seen[i] = q[i] & np.uint8(UNUSABLE)
        slope[i] = 0.0
    for g in range(first + 1, last + 1):
        q = dq_group[g, start:stop]
        for i in range(slope.size):
            seen[i] |= q[i] & np.uint8(UNUSABLE | JUMP)
    for g in range(first, last + 1):
        value = ramp[g, start:stop]
        for i in range(slope.size):
            slope[i] += np.float32(value[i])
    low, high = ramp[first, start:stop], ramp[last, start:stop]
    span = 0.0
    for j in range(first, last):
        span += interval[j]
    per_second = 1.0 / span
    for i in range(slope.size):
        seen[i] |= np.uint8(0 if np.isfinite(slope[i]) else 1)
    for i in range(slope.size):
        rise = np.float64(high[i]) - np.float64(low[i])
        slope[i] = rise * per_second if last > first else np.inf
    for i in range(slope.size):
        if seen[i] != 0:
            slope[i] = _slope(ramp, dq_group, interval, start + i)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _mean_rates(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    interval: np.ndarray,
    pairs: np.ndarray,
    rate: np.ndarray,
) -> None:
    """Fill ``rate`` (pixel,) as `mean_rate` says; ``pairs`` is a network for n_times values."""
    n_times, _, n_pixels = ramp.shape
    width = min(WIDE, n_pixels)
    rows, seen = np.empty((n_times, width), np.float32), np.empty(width, np.uint8)
    lanes, count = np.empty((n_times, LANES), np.float32), np.empty(LANES, np.int32)
    for first in range(0, n_pixels, width):
        last = min(first + width, n_pixels)
        for t in range(n_times):
            _slopes(ramp[t], dq_group[t], interval, first, seen, rows[t, : last - first])
        for start in range(first, last, LANES):
            middle = rate[start : min(start + LANES, last)]
            count[:] = 0
            for t in range(n_times):
                row, lane = rows[t, start - first :], lanes[t]
                for i in range(middle.size):
                    lane[i] = row[i]
                    count[i] += np.int32(1 if row[i] < np.inf else 0)
            median_of_lanes(lanes, pairs, count, middle.size, middle)
            for i in range(middle.size):
                middle[i] = middle[i] if count[i] > 0 else np.nan


def mean_rate(ramp: np.ndarray, dq_group: np.ndarray, interval: np.ndarray) -> np.ndarray:
    """Return each pixel's median over time of the mean slope of its ramp.

    Parameters
    ----------
    ramp, dq_group : (time, group, pixel) arrays
        A sample of the integrations.
    interval : (group - 1,) float64
        Time between groups, s.

    Returns
    -------
    rate : (pixel,) float32
        Sum of the usable differences over the sum of their intervals, median in time,
        DN s-1; NaN for pixels without a usable difference. Hits that are not yet flagged
        spoil single integrations, from which the median protects.
    """
    n_times, _, n_pixels = ramp.shape
    rate = np.empty(n_pixels, np.float32)
    _mean_rates(ramp, dq_group, interval, network(n_times, 0, n_times // 2), rate)
    return rate
