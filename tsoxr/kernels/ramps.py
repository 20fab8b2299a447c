"""Slopes of ramps by generalised least squares (Brandt 2024, PASP 136, 045004).

A group is the mean of ``N`` frames. The differences of successive groups,
``D_j = R_{j+1} - R_j``, have the expectation ``a dt_j`` for a rate ``a``, and noise whose
covariance is tridiagonal::

    C_jj     = p (dt_j - 2 s) + 2 r,        C_j,j+1 = p s - r

with ``p = a / gain`` (DN2 s-1; photons), ``r = read_noise**2 / N`` (DN2), and
``s = frame_time (N**2 - 1) / (6 N)`` (s), which accounts for photons that arrive between the
frames of one group: the covariance of the paper for evenly spaced frames, before its division
by ``dt``. The estimate is ``dt' C^-1 D / dt' C^-1 dt``: a weighted sum of the groups.

Leaving out a difference makes its variance infinite and its covariances zero, so the chain
of differences splits into independent pieces. The difference ``j -> j+1`` is left out where
either group is saturated or not to be used, or where the jump flag of group ``j+1`` says
that extra charge appeared between the two.

Shapes: ``ramp`` (time, group, pixel) uint16, float32 or float64; ``dq_group`` likewise, uint8;
what is constant in time has no time axis. Sums are accumulated in float64. Ramps with a group
that is NaN are treated as if that group were flagged.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

__all__ = [
    "Readout",
    "fit",
    "ramp_weights",
    "readout",
    "usable_difference",
]

DO_NOT_USE = 1
SATURATED = 2
UNUSABLE = 3  # DO_NOT_USE | SATURATED
JUMP = 4
BLOCK = 4096


class Readout(NamedTuple):
    """When the groups are read: ``interval`` (group - 1), s, and ``lag`` ``s`` above, s."""

    interval: np.ndarray
    lag: float


def readout(group_time: np.ndarray, n_frames: int = 1, frame_time: float = 0.0) -> Readout:
    """Return the timing that the covariance needs.

    Parameters
    ----------
    group_time : (group,) array
        Mean time of each group, s; any origin, any spacing.
    n_frames : int
        Frames averaged into a group.
    frame_time : float
        Time from frame to frame inside a group, s.
    """
    interval = np.ascontiguousarray(np.diff(np.asarray(group_time, dtype=np.float64)))
    return Readout(interval, frame_time * (n_frames**2 - 1) / (6.0 * n_frames))


@numba.njit(cache=True, nogil=True, inline="always")
def usable_difference(before: int, after: int) -> bool:
    """Return whether the flags of two successive groups let their difference be used."""
    return ((before | after) & UNUSABLE) == 0 and (after & JUMP) == 0


@numba.njit(cache=True, nogil=True)
def _difference_weights(
    usable: np.ndarray, p: float, r: float, interval: np.ndarray, lag: float, weight: np.ndarray
) -> float:
    """Fill ``weight`` (difference,) with C^-1 dt / (dt' C^-1 dt); return the norm, 0 if none.

    ``C = L diag(pivot) L'`` with unit lower bidiagonal ``L``; ``weight`` first holds the
    forward solution ``z``, whose products with that of the data would give chi-squared.
    """
    n = interval.size
    pivot = np.empty(n)
    factor = np.zeros(n)  # L_j+1,j; 0 where the chain splits
    norm = 0.0
    off = p * lag - r
    for j in range(n):
        if not usable[j]:
            continue
        pivot[j] = p * (interval[j] - 2.0 * lag) + 2.0 * r
        weight[j] = interval[j]
        if j > 0 and usable[j - 1]:
            factor[j - 1] = off / pivot[j - 1]
            pivot[j] -= factor[j - 1] * off
            weight[j] -= factor[j - 1] * weight[j - 1]
        norm += weight[j] * weight[j] / pivot[j]
    for j in range(n - 1, -1, -1):
        if not usable[j]:
            weight[j] = 0.0
            continue
        weight[j] /= pivot[j] * norm
        if j < n - 1:
            weight[j] -= factor[j] * weight[j + 1]
    return norm


@numba.njit(cache=True, nogil=True)
def _weights_or_nan(
    usable: np.ndarray, p: float, r: float, readout: Readout, weight: np.ndarray
) -> None:
    """As `_difference_weights`; without a solution ``weight`` is NaN. Returns nothing.

    Where the predicted noise is zero, the weights are those of read noise alone.
    """
    if p == 0.0 and r == 0.0:
        r = 1.0
    norm = _difference_weights(usable, p, r, readout.interval, readout.lag, weight)
    if not norm > 0.0:
        weight[:] = np.nan


@numba.njit(cache=True, nogil=True)
def _variance(weight: np.ndarray, p: float, r: float, readout: Readout) -> tuple[float, float]:
    """Return the photon and the read term of w' C w for difference weights w."""
    photon = 0.0
    read = 0.0
    before = 0.0
    for j in range(weight.size):
        w = weight[j]
        photon += w * w * (readout.interval[j] - 2.0 * readout.lag) + 2.0 * w * before * readout.lag
        read += (before - w) ** 2  # weight of group j
        before = w
    read += before * before
    return p * photon, r * read


@numba.njit(cache=True, nogil=True)
def ramp_weights(
    pattern: np.ndarray, photon: np.ndarray, read: np.ndarray, readout: Readout
) -> tuple[np.ndarray, np.ndarray]:
    """Compute each pixel's weights for its usual pattern of flags.

    Parameters
    ----------
    pattern : (group, pixel) uint8
        Group flags that the pixel usually has.
    photon : (pixel,) float
        Photon variance that accrues per second, rate / gain, DN2 s-1.
    read : (pixel,) float
        Variance of a group from read noise, DN2.
    readout : Readout
        Timing of the groups.

    Returns
    -------
    weights : (group, pixel) float64
        The rate is the sum over groups of weight times ramp, s-1; NaN without a usable
        difference, or where the noise is not a number.
    variance : (2, pixel) float64
        Photon and read variance of the rate, DN2 s-2; NaN as above.
    """
    n_groups, n_pixels = pattern.shape
    weights = np.zeros((n_groups, n_pixels))
    variance = np.empty((2, n_pixels))
    usable = np.empty(n_groups - 1, np.bool_)
    w = np.empty(n_groups - 1)
    for i in range(n_pixels):
        for j in range(n_groups - 1):
            usable[j] = usable_difference(pattern[j, i], pattern[j + 1, i])
        _weights_or_nan(usable, photon[i], read[i], readout, w)
        for j in range(n_groups - 1):
            weights[j, i] -= w[j]
            weights[j + 1, i] += w[j]
        variance[0, i], variance[1, i] = _variance(w, photon[i], read[i], readout)
    return weights, variance


class _Rates(NamedTuple):
    """The results, filled by the functions below: (time, pixel) each."""

    rate: np.ndarray
    error: np.ndarray
    dq: np.ndarray


@numba.njit(cache=True, nogil=True)
def _weighted_sums(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    weights: np.ndarray,
    pattern: np.ndarray,
    usual_error: np.ndarray,
    out: _Rates,
) -> np.ndarray:
    """Fill the results as if all patterns were the usual ones; return where they are not."""
    n_times, n_groups, n_pixels = ramp.shape
    other = np.zeros((n_times, n_pixels), np.uint8)
    total = np.empty(BLOCK)
    seen = np.empty(BLOCK, np.uint8)
    for start in range(0, n_pixels, BLOCK):
        stop = min(start + BLOCK, n_pixels)
        n = stop - start
        for t in range(n_times):
            total[:] = 0.0
            seen[:] = 0
            differs = other[t, start:stop]
            for g in range(n_groups):
                w, r = weights[g, start:stop], ramp[t, g, start:stop]
                for i in range(n):
                    total[i] += np.float64(w[i]) * np.float64(r[i])
                q, usual = dq_group[t, g, start:stop], pattern[g, start:stop]
                for i in range(n):
                    seen[i] |= q[i]
                    differs[i] |= (q[i] & np.uint8(UNUSABLE | JUMP)) ^ usual[i]
            never = np.isnan(weights[0, start:stop])
            for i in range(n):
                lost = np.isnan(total[i])
                differs[i] |= lost and not never[i]
                out.rate[t, start + i] = total[i]
                out.error[t, start + i] = usual_error[start + i]
                out.dq[t, start + i] = np.uint32(seen[i] & np.uint8(~DO_NOT_USE)) | np.uint32(lost)
    return other


@numba.njit(cache=True, nogil=True)
def _refit(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    other: np.ndarray,
    noise: np.ndarray,
    readout: Readout,
    out: _Rates,
) -> None:
    """Solve each ramp whose flags are not the usual ones, and correct its results."""
    n_times, n_groups, n_pixels = ramp.shape
    usable = np.empty(n_groups - 1, np.bool_)
    w = np.empty(n_groups - 1)
    for t in range(n_times):
        for i in range(n_pixels):
            if other[t, i] == 0:
                continue
            for j in range(n_groups - 1):
                usable[j] = usable_difference(
                    dq_group[t, j, i], dq_group[t, j + 1, i]
                ) and np.isfinite(np.float64(ramp[t, j + 1, i]) - np.float64(ramp[t, j, i]))
            _weights_or_nan(usable, noise[0, i], noise[1, i], readout, w)
            total = np.nan if np.isnan(w[0]) else 0.0
            for j in range(n_groups - 1):
                if usable[j]:
                    total += w[j] * (np.float64(ramp[t, j + 1, i]) - np.float64(ramp[t, j, i]))
            photon, read = _variance(w, noise[0, i], noise[1, i], readout)
            out.rate[t, i] = total
            out.error[t, i] = np.sqrt(photon + read)
            out.dq[t, i] = (out.dq[t, i] & ~np.uint32(DO_NOT_USE)) | np.uint32(np.isnan(total))


def fit(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    weights: np.ndarray,
    pattern: np.ndarray,
    variance: np.ndarray,
    noise: np.ndarray,
    *,
    readout: Readout,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit all ramps: usual ones by their weights, the others by their own solution.

    Parameters
    ----------
    ramp : (time, group, ...) uint16 or float
        Groups, DN; trailing axes are pixels.
    dq_group : (time, group, ...) uint8
        Flags of the groups.
    weights : (group, ...) float32 or float64
        From `ramp_weights`; its type is that of the result.
    pattern : (group, ...) uint8
        Flags for which ``weights`` were made.
    variance : (2, ...) float
        Photon and read variance of the usual ramps, DN2 s-2.
    noise : (2, ...) float
        Photon variance per second, DN2 s-1, and read variance of a group, DN2.
    readout : Readout
        Timing of the groups.

    Returns
    -------
    rate, error : (time, ...) float
        DN s-1; NaN where no difference is usable.
    dq : (time, ...) uint32
        Flags of all groups together, DO_NOT_USE only where ``rate`` is NaN.
    """
    n_times, n_groups, *detector = ramp.shape
    cube = ramp.reshape(n_times, n_groups, -1)
    flags = dq_group.reshape(n_times, n_groups, -1)
    flat = weights.reshape(n_groups, -1)
    usual_error = np.sqrt(variance.sum(axis=0)).ravel()
    rate, error = np.empty((2, n_times, flat.shape[1]), weights.dtype)
    out = _Rates(rate, error, np.empty(rate.shape, np.uint32))
    usual = pattern.reshape(n_groups, -1)
    other = _weighted_sums(cube, flags, flat, usual, usual_error, out)
    _refit(cube, flags, other, noise.reshape(2, -1), readout, out)
    shape = (n_times, *detector)
    return out.rate.reshape(shape), out.error.reshape(shape), out.dq.reshape(shape)
