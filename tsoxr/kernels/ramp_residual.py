"""The departure of a pixel's ramps from a straight line, constant in time.

What the linearity correction has left over bends every ramp of a pixel alike. The median over
the integrations of the residuals of straight fits shows it with the noise of one ramp divided
by the square root of their number, and can be subtracted before ramps of different lengths
are compared (data-driven non-linearity; needs a star that varies little).
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.medians import median_of_lanes, network
from tsoxr.kernels.ramps import JUMP, UNUSABLE, Readout, usable_difference

__all__ = ["median_residual"]

LANES = 128  # pixels whose medians are found together
FEW = 2048  # pixels up to which numpy is fast enough, and nothing need be compiled


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _rates(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    weights: np.ndarray,
    pattern: np.ndarray,
    start: int,
    rate: np.ndarray,
) -> None:
    """Fill the rates (time, pixel) of a block; NaN where the flags are not the usual ones."""
    n_times, m = rate.shape
    for t in range(n_times):
        rate[t] = 0.0
        for g in range(ramp.shape[1]):
            for k in range(m):
                i = start + k
                differs = (dq_group[t, g, i] & np.uint8(UNUSABLE | JUMP)) != pattern[g, i]
                term = np.float64(weights[g, i]) * np.float64(ramp[t, g, i])
                rate[t, k] += np.nan if differs else term


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _residuals(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    weights: np.ndarray,
    pattern: np.ndarray,
    interval: np.ndarray,
    pairs: np.ndarray,
    out: np.ndarray,
) -> None:
    n_times, n_groups, n_pixels = ramp.shape
    width = min(LANES, n_pixels)
    all_rates, rows = np.empty((n_times, width)), np.empty((n_times, width), np.float32)
    count, middle = np.empty(width, np.int64), np.empty(width, np.float32)
    for start in range(0, n_pixels, width):
        m = min(width, n_pixels - start)
        rate = all_rates[:, :m]
        _rates(ramp, dq_group, weights, pattern, start, rate)
        for j in range(n_groups - 1):
            count[:] = 0
            for t in range(n_times):
                low, high = ramp[t, j], ramp[t, j + 1]
                for k in range(m):
                    rise = np.float64(high[start + k]) - np.float64(low[start + k])
                    value = rise - rate[t, k] * interval[j]
                    rows[t, k] = value if np.isfinite(value) else np.inf
                    count[k] += np.isfinite(value)
            median_of_lanes(rows, pairs, count, m, middle)
            for k in range(m):
                used = usable_difference(pattern[j, start + k], pattern[j + 1, start + k])
                out[j, start + k] = middle[k] if used else 0.0
        for k in range(m):
            _without_slope(out[:, start + k], weights[:, start + k], interval)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _without_slope(residual: np.ndarray, weights: np.ndarray, interval: np.ndarray) -> None:
    """Take off what the weights of the pixel would see: a difference weighs minus their sum."""
    slope = 0.0
    weight = 0.0
    for j in range(residual.size):
        weight -= np.float64(weights[j])
        slope += weight * residual[j]
    weight = 0.0
    for j in range(residual.size):
        weight -= np.float64(weights[j])
        if weight != 0.0 and np.isfinite(slope):
            residual[j] -= slope * interval[j]


def _of_few(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    weights: np.ndarray,
    pattern: np.ndarray,
    interval: np.ndarray,
    out: np.ndarray,
) -> None:
    """Do what `_residuals` does, with numpy."""
    groups = np.where(np.isfinite(ramp), ramp, np.nan)  # infinities would warn
    rate = (weights * groups).sum(axis=1, keepdims=True)
    rest = np.diff(groups, axis=1) - rate * interval[:, None]
    usual = ((dq_group & np.uint8(UNUSABLE | JUMP)) == pattern).all(axis=1, keepdims=True)
    rest[~np.broadcast_to(usual, rest.shape)] = np.nan
    rest[~np.isfinite(rest)] = np.nan
    known = np.isfinite(rest).any(axis=0)
    rest[:, ~known] = 0.0
    middle = np.nanmedian(rest, axis=0) if np.isnan(rest).any() else np.median(rest, axis=0)
    bad = (pattern & UNUSABLE) != 0
    used = ~(bad[1:] | bad[:-1] | ((pattern[1:] & JUMP) != 0)) & known
    weight = -np.cumsum(weights, axis=0)[:-1]
    out[:] = np.where(used, middle, 0.0)
    slope = (weight * out).sum(axis=0)
    out -= np.where((weight != 0.0) & np.isfinite(slope), slope * interval[:, None], 0.0)


def median_residual(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    weights: np.ndarray,
    pattern: np.ndarray,
    *,
    readout: Readout,
) -> np.ndarray:
    """Return the median in time of the residuals of the usual ramps.

    Parameters
    ----------
    ramp, dq_group : (time, group, pixel) arrays
        A sample of the integrations, DN, and its flags.
    weights : (group, pixel) float
        Of the straight fit, s-1.
    pattern : (group, pixel) uint8
        Flags that the pixel usually has; ramps with others are left out.
    readout : Readout
        Timing of the groups.

    Returns
    -------
    (group - 1, pixel) float32
        Difference less rate times interval, median in time, DN. The weights are blind to it,
        so that subtracting it does not change the rate of a usual ramp. 0 for differences
        that the pixel does not use, and for pixels without a usual ramp.
    """
    n_times, n_groups, n_pixels = ramp.shape
    out = np.zeros((n_groups - 1, n_pixels), np.float32)
    if n_pixels <= FEW:
        _of_few(ramp, dq_group, weights, pattern, readout.interval, out)
        return out
    pairs = network(n_times, 0, n_times // 2)
    _residuals(ramp, dq_group, weights, pattern, readout.interval, pairs, out)
    return out
