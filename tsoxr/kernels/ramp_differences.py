"""The median of the group differences of each ramp: slow to be fooled, and not very precise.

For a few groups and hits that nothing else has found. The median of n correlated Gaussian
values of the same mean is, to leading order, the mean of the signs of their deviations over
twice the density in the middle, and signs of two values with correlation ``c`` have the
covariance ``2 asin(c) / pi``. So its variance is::

    (n pi / 2 + 2 sum_j asin(c_j,j+1)) / (sum_j 1 / sigma_j)**2

with ``sigma_j`` the noise of a difference over its interval. For few values the variance is
smaller, by n / (n + 0.5) for odd and n / (n + 1.2) for even n (within 2 % of exact values of
independent data for n > 2); up to two values the median is the mean.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from tsoxr.kernels.ramps import DO_NOT_USE, Readout, usable_difference

__all__ = ["median_slope"]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _variance(usable: np.ndarray, p: float, r: float, readout: Readout) -> float:
    """Return the variance of the median of the usable differences, DN2 s-2."""
    n = 0
    inverse, signs, pair = 0.0, 0.0, 0.0
    total, last = 0.0, 0.0
    for j in range(usable.size):
        if not usable[j]:
            continue
        dt = readout.interval[j]
        own = (p * (dt - 2.0 * readout.lag) + 2.0 * r) / dt**2
        if not own >= 0.0:
            return np.nan
        n += 1
        inverse += 1.0 / math.sqrt(own) if own > 0.0 else np.inf
        signs += 0.5 * math.pi
        total += own
        if j > 0 and usable[j - 1]:
            pair = (p * readout.lag - r) / (dt * readout.interval[j - 1])
            signs += 2.0 * math.asin(pair / math.sqrt(own * last)) if own * last > 0.0 else 0.0
        last = own
    if n == 0:
        return np.nan
    if n < 3:
        return (total + 2.0 * pair) / n**2
    return signs / inverse**2 * n / (n + (0.5 if n % 2 == 1 else 1.2))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _all(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    noise: np.ndarray,
    residual: np.ndarray,
    readout: Readout,
    rate: np.ndarray,
    error: np.ndarray,
    dq: np.ndarray,
) -> None:
    n_times, n_groups, n_pixels = ramp.shape
    usable, values = np.empty(n_groups - 1, np.bool_), np.empty(n_groups - 1)
    for t in range(n_times):
        for i in range(n_pixels):
            n = 0
            flags = np.uint32(dq_group[t, n_groups - 1, i])
            for j in range(n_groups - 1):
                flags |= np.uint32(dq_group[t, j, i])
                d = np.float64(ramp[t, j + 1, i]) - np.float64(ramp[t, j, i])
                if residual.size > 0:
                    d -= np.float64(residual[j, i])
                good = usable_difference(dq_group[t, j, i], dq_group[t, j + 1, i])
                usable[j] = good and np.isfinite(d)
                if usable[j]:
                    k = n
                    slope = d / readout.interval[j]
                    while k > 0 and values[k - 1] > slope:
                        values[k] = values[k - 1]
                        k -= 1
                    values[k] = slope
                    n += 1
            variance = _variance(usable, noise[0, i], noise[1, i], readout)
            lost = np.isnan(variance)
            middle = 0.5 * (values[(n - 1) // 2] + values[n // 2]) if n > 0 else np.nan
            rate[t, i] = np.nan if lost else middle
            error[t, i] = math.sqrt(variance)
            dq[t, i] = (flags & ~np.uint32(DO_NOT_USE)) | np.uint32(lost)


def median_slope(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    noise: np.ndarray,
    residual: np.ndarray | None = None,
    *,
    readout: Readout,
    dtype: str = "f4",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the median of the usable differences of each ramp over their intervals.

    Parameters
    ----------
    ramp : (time, group, ...) uint16 or float
        Groups, DN; trailing axes are pixels. Samples that are not finite count as flagged.
    dq_group : (time, group, ...) uint8
        Flags of the groups.
    noise : (2, ...) float
        Photon variance per second, DN2 s-1, and read variance of a group, DN2.
    residual : (group - 1, ...) float, optional
        What to subtract from the differences, DN.
    readout : Readout
        Timing of the groups.
    dtype : str
        Type of the results.

    Returns
    -------
    rate, error : (time, ...) float
        DN s-1; NaN where no difference is usable or the noise is not a number.
    dq : (time, ...) uint32
        Flags of all groups together, DO_NOT_USE only where ``rate`` is NaN.
    """
    n_times, n_groups, *sizes = ramp.shape
    shape = (n_times, int(np.prod(sizes)))
    rate, error = np.empty(shape, dtype), np.empty(shape, dtype)
    dq = np.empty(shape, np.uint32)
    static = np.empty((0, 0), "f4") if residual is None else residual.reshape(n_groups - 1, -1)
    cubes = ramp.reshape(n_times, n_groups, -1), dq_group.reshape(n_times, n_groups, -1)
    terms = np.ascontiguousarray(noise.reshape(2, -1), dtype=np.float64)
    _all(*cubes, terms, static, readout, rate, error, dq)
    full = (n_times, *sizes)
    return rate.reshape(full), error.reshape(full), dq.reshape(full)
