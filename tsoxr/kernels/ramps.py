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


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _difference_weights(
    usable: np.ndarray, p: float, r: float, readout: Readout, weight: np.ndarray, work: np.ndarray
) -> float:
    """Fill ``weight`` (difference,) with C^-1 dt / (dt' C^-1 dt); return the norm, 0 if none.

    ``C = L diag(pivot) L'`` with unit lower bidiagonal ``L``; ``weight`` first holds the
    forward solution ``z``, whose products with that of the data would give chi-squared.
    """
    interval, lag = readout
    n = interval.size
    pivot, factor = work  # factor: L_j+1,j, 0 where the chain splits
    norm = 0.0
    off = p * lag - r
    for j in range(n):
        factor[j] = 0.0
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


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _weights_or_nan(
    usable: np.ndarray,
    p: float,
    r: float,
    readout: Readout,
    weight: np.ndarray,
    work: np.ndarray,
    even: bool,
) -> None:
    """Fill ``weight`` (difference,) with those of the rate, s-1; NaN without a solution.

    Where the predicted noise is zero, the weights are those of read noise alone. With
    ``even``, usable differences count alike: what is left of last minus first.
    ``work`` is work space (2, difference).
    """
    if p == 0.0 and r == 0.0:
        r = 1.0
    norm = _difference_weights(usable, p, r, readout, weight, work)
    solved = norm > 0.0
    if even:
        norm = 0.0
        for j in range(usable.size):
            norm += readout.interval[j] if usable[j] else 0.0
    for j in range(usable.size):
        if not solved:
            weight[j] = np.nan
        elif even:
            weight[j] = 1.0 / norm if usable[j] else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _weight_variance(
    weight: np.ndarray, p: float, r: float, readout: Readout
) -> tuple[float, float]:
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


@numba.njit(cache=True, nogil=True, error_model="numpy")
def ramp_weights(
    pattern: np.ndarray, photon: np.ndarray, read: np.ndarray, readout: Readout, even: bool = False
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
    even : bool
        Weight usable differences alike instead: last minus first.

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
    w, work = np.empty(n_groups - 1), np.empty((2, n_groups - 1))
    for i in range(n_pixels):
        for j in range(n_groups - 1):
            usable[j] = usable_difference(pattern[j, i], pattern[j + 1, i])
        _weights_or_nan(usable, photon[i], read[i], readout, w, work, even)
        for j in range(n_groups - 1):
            weights[j, i] -= w[j]
            weights[j + 1, i] += w[j]
        variance[0, i], variance[1, i] = _weight_variance(w, photon[i], read[i], readout)
    return weights, variance
