"""Slopes by weighted least squares with the weights of Fixsen et al. (2000, PASP 112, 1350).

As the STScI pipeline does it: a ramp is cut at hits and at unusable groups, every segment of
n groups is fitted with weights ``|k - m|**P``, ``m = (n - 1) / 2``, where the exponent follows from
the signal-to-noise ratio of the segment's own rise, and the slopes are averaged with weights
that are the inverse of their read variance. It is here for comparison: the weights respond
to the data that they weigh, and a segment's variances are those of unweighted fits.

Variances of a segment (DN2 s-2)::

    photons  p / (t_last - t_first),      reads  r / sum (t - mean t)**2

with ``p`` the photon variance per second (DN2 s-1) at the median rate of the pixel and ``r`` the
read variance of a group (DN2); the error of the rate is that of the segments' mean weighted by
the inverse of the sum of both.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from tsoxr.kernels.ramps import DO_NOT_USE, JUMP, UNUSABLE, Readout

__all__ = ["exponents", "fit"]

LIMITS = (5.0, 10.0, 20.0, 50.0, 100.0)
EXPONENTS = (0.0, 0.4, 1.0, 3.0, 6.0, 10.0)


def exponents(n_groups: int) -> np.ndarray:
    """Return the weights (exponent, n, k) of the groups of segments of 2 to ``n_groups``.

    Parameters
    ----------
    n_groups : int
        Groups of a whole ramp.

    Returns
    -------
    (6, n_groups + 1, n_groups) float64
    """
    table = np.zeros((len(EXPONENTS), n_groups + 1, n_groups))
    for e, power in enumerate(EXPONENTS):
        for n in range(2, n_groups + 1):
            middle = 0.5 * (n - 1)
            table[e, n, :n] = np.abs((np.arange(n) - middle) / middle) ** power
    return table


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _exponent(rise: float, per_dn: float, r: float) -> int:
    """Return which exponent the signal-to-noise ratio of a rise (DN) asks for."""
    variance = r + rise * per_dn
    ratio = rise / math.sqrt(variance) if rise > 0.0 and variance > 0.0 else 0.0
    for e in range(5):
        if ratio < LIMITS[e]:
            return e
    return 5


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _segment(y: np.ndarray, time: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return the weighted slope of a segment, and the sum of squares of its times about their mean."""
    n = y.size
    w0 = wt = wy = mean = 0.0
    for k in range(n):
        w0 += weight[k]
        wt += weight[k] * time[k]
        wy += weight[k] * y[k]
        mean += time[k] / n
    top = bottom = spread = 0.0
    for k in range(n):
        away = time[k] - wt / w0
        top += weight[k] * away * (y[k] - wy / w0)
        bottom += weight[k] * away * away
        spread += (time[k] - mean) ** 2
    return top / bottom, spread


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _ramp(
    y: np.ndarray,
    cut: np.ndarray,
    time: np.ndarray,
    table: np.ndarray,
    noise: tuple[float, float, float],
) -> tuple[float, float, int]:
    """Return slope, its variance, and the number of differences used.

    ``cut`` (group,): 1 where a segment begins, 2 where a group is not used, else 0.
    """
    p, r, per_dn = noise
    slopes = inverse_read = inverse_all = 0.0
    n_used = 0
    first = 0
    while first < y.size:
        if cut[first] == 2:
            first += 1
            continue
        stop = first + 1
        while stop < y.size and cut[stop] == 0:
            stop += 1
        n = stop - first
        if n > 1:
            e = _exponent(y[stop - 1] - y[first], per_dn, r)
            slope, spread = _segment(y[first:stop], time[first:stop], table[e, n])
            slopes += slope * spread
            inverse_read += spread
            inverse_all += 1.0 / (p / (time[stop - 1] - time[first]) + r / spread)
            n_used += n - 1
        first = stop
    return slopes / inverse_read, 1.0 / inverse_all, n_used


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _all(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    noise: np.ndarray,
    curve: np.ndarray,
    time: np.ndarray,
    table: np.ndarray,
    rate: np.ndarray,
    error: np.ndarray,
    dq: np.ndarray,
) -> None:
    n_times, n_groups, n_pixels = ramp.shape
    y, cut = np.empty(n_groups), np.empty(n_groups, np.uint8)
    for t in range(n_times):
        for i in range(n_pixels):
            flags = np.uint32(0)
            for g in range(n_groups):
                q = dq_group[t, g, i]
                flags |= np.uint32(q)
                y[g] = ramp[t, g, i]
                if curve.size > 0:
                    y[g] -= curve[g, i]
                bad = (q & UNUSABLE) != 0 or not np.isfinite(y[g])
                cut[g] = 2 if bad else (1 if q & JUMP else 0)
            terms = (noise[0, i], noise[1, i], noise[2, i])
            slope, variance, n_used = _ramp(y, cut, time, table, terms)
            lost = n_used == 0 or np.isnan(variance)
            rate[t, i] = np.nan if lost else slope
            error[t, i] = np.nan if lost else math.sqrt(variance)
            dq[t, i] = (flags & ~np.uint32(DO_NOT_USE)) | np.uint32(lost)


def fit(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    noise: np.ndarray,
    per_dn: np.ndarray,
    residual: np.ndarray | None = None,
    *,
    readout: Readout,
    dtype: str = "f4",
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit all ramps by weighted least squares in segments.

    Parameters
    ----------
    ramp : (time, group, ...) uint16 or float
        Groups, DN; trailing axes are pixels. Samples that are not finite count as flagged.
    dq_group : (time, group, ...) uint8
        Flags of the groups.
    noise : (2, ...) float
        Photon variance per second, DN2 s-1, and read variance of a group, DN2.
    per_dn : (...) float
        Photon variance per DN of signal, 1 / gain, DN.
    residual : (group - 1, ...) float, optional
        What to subtract from the differences, DN.
    readout : Readout
        Timing of the groups.
    dtype : str
        Type of the results.

    Returns
    -------
    rate, error : (time, ...) float
        DN s-1; NaN where no two successive groups are usable.
    dq : (time, ...) uint32
        Flags of all groups together, DO_NOT_USE only where ``rate`` is NaN.
    """
    n_times, n_groups, *sizes = ramp.shape
    shape = (n_times, int(np.prod(sizes)))
    rate, error = np.empty(shape, dtype), np.empty(shape, dtype)
    dq = np.empty(shape, np.uint32)
    curve = np.empty((0, 0))
    if residual is not None:
        rise = np.cumsum(residual.reshape(n_groups - 1, -1), axis=0, dtype=np.float64)
        curve = np.concatenate([np.zeros((1, rise.shape[1])), rise])
    time = np.concatenate([[0.0], np.cumsum(readout.interval)])
    cubes = ramp.reshape(n_times, n_groups, -1), dq_group.reshape(n_times, n_groups, -1)
    terms = np.concatenate([noise.reshape(2, -1), per_dn.reshape(1, -1)]).astype(np.float64)
    _all(*cubes, terms, curve, time, exponents(n_groups), rate, error, dq)
    full = (n_times, *sizes)
    return rate.reshape(full), error.reshape(full), dq.reshape(full)
