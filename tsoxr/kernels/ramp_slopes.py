"""The median over time of the mean slopes of ramps: what fits and searches know of the light."""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.ramp_scatter import median_in_time
from tsoxr.kernels.ramps import JUMP, UNUSABLE, usable_difference

__all__ = ["mean_rate"]

WIDE = 8192  # pixels whose slopes are found together: their rows stay in the second-level cache


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _slopes(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    interval: np.ndarray,
    ends: tuple[int, int, int],
    may_lack: bool,
    seen: np.ndarray,
    slope: np.ndarray,
) -> None:
    """Fill mean slopes of ramps (group, pixel) from a pixel on, infinite without any.

    From the first to the last group of ``ends``, whose last number is the pixel; ramps with
    flags between them, and those whose groups do not add up to a number (if they
    ``may_lack`` some), one by one.
    """
    first, last, start = ends
    stop = start + slope.size
    for i in range(slope.size):
        seen[i] = 0
        slope[i] = 0.0
    span = 0.0
    for g in range(first, last + 1):
        flag, value = dq_group[g, start:stop], ramp[g, start:stop]
        counts = np.uint8(UNUSABLE | (JUMP if g > first else 0))
        for i in range(slope.size):
            seen[i] |= flag[i] & counts
        for i in range(slope.size if may_lack else 0):
            slope[i] += np.float32(value[i])
        span += interval[g - 1] if g > first else 0.0
    low, high, per_second = ramp[first, start:stop], ramp[last, start:stop], 1.0 / span
    for i in range(slope.size):
        seen[i] |= np.uint8(0 if slope[i] - slope[i] == 0.0 else 1)
        slope[i] = (np.float64(high[i]) - np.float64(low[i])) * per_second
    for i in range(slope.size):
        if seen[i] == 0:
            continue
        rise = span = 0.0
        for j in range(interval.size):
            d = np.float64(ramp[j + 1, start + i]) - np.float64(ramp[j, start + i])
            good = usable_difference(dq_group[j, start + i], dq_group[j + 1, start + i])
            if good and d - d == 0.0:
                rise += d
                span += interval[j]
        slope[i] = rise / span if span > 0.0 else np.inf


def _all_unusable(flags: np.ndarray) -> bool:
    """Return whether all flags (time, pixel) take their group out of use."""
    few = flags[:, : flags.shape[1] // 16 + 1]  # that tells, most of the time
    return all(bool((some & np.uint8(UNUSABLE)).all()) for some in (few, flags))


def _in_use(dq_group: np.ndarray) -> tuple[int, int]:
    """Return the first and the last group that any pixel uses."""
    first, last = 0, dq_group.shape[1] - 1
    while first < last and _all_unusable(dq_group[:, first]):
        first += 1
    while first < last and _all_unusable(dq_group[:, last]):
        last -= 1
    return first, last


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
    rate, width = np.empty(n_pixels, np.float32), min(WIDE, n_pixels)
    first, last = _in_use(dq_group)
    seen, lacks = np.empty(width, np.uint8), ramp.dtype.kind == "f"
    for start in range(0, n_pixels, WIDE):
        out = rate[start : start + WIDE]
        rows = np.empty((n_times, out.size), np.float32)
        for t in range(n_times):
            _slopes(ramp[t], dq_group[t], interval, (first, last, start), lacks, seen, rows[t])
        out[:] = median_in_time(rows)
    return rate
