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
    "block_width",
    "factorize_rows",
    "ramp_weights",
    "readout",
    "usable_difference",
    "usable_rows",
]

DO_NOT_USE = 1
SATURATED = 2
UNUSABLE = 3  # DO_NOT_USE | SATURATED
JUMP = 4
BLOCK = 4096
WIDTH = 4096  # differences of a block of ramps: its arrays together stay in the second-level cache


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
def block_width(n_differences: int, n_pixels: int) -> int:
    """Return how many pixels to solve side by side."""
    return min(max(WIDTH // n_differences, 16), n_pixels)


@numba.njit(cache=True, nogil=True)
def usable_rows(pattern: np.ndarray, start: int, used: np.ndarray, m: int) -> None:
    """Fill 1 where flags (group, pixel) let a difference of a block be used, 0 elsewhere."""
    for j in range(used.shape[0]):
        row = used[j]
        before, after = pattern[j, start : start + m], pattern[j + 1, start : start + m]
        for k in range(m):
            row[k] = 1.0 if usable_difference(before[k], after[k]) else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def factorize_rows(
    used: np.ndarray,
    terms: np.ndarray,
    readout: Readout,
    factors: np.ndarray,
    work: np.ndarray,
    m: int,
) -> None:
    """Factorize the covariances of the first ``m`` ramps of a block.

    ``C = L diag(pivot) L'`` with unit lower bidiagonal ``L``. What is not used has zeros.

    Parameters
    ----------
    used : (difference, width) float64
        1 for differences that are used, else 0.
    terms : (2, width) float64
        Photon variance per second, DN2 s-1, and read variance of a group, DN2.
    readout : Readout
        Timing of the groups.
    factors : (3 or more, difference, width) float64
        Filled with ``C^-1 dt``, with ``L_j+1,j`` and with ``1 / pivot``.
    work : (2 or more, width) float64
        The first row is filled with ``dt' C^-1 dt``; the second is work space.
    """
    interval, lag = readout
    p, r, norm, off = terms[0], terms[1], work[0], work[1]
    n = interval.size
    nothing = factors[1, n - 1]
    for k in range(m):
        norm[k] = nothing[k] = 0.0
        off[k] = p[k] * lag - r[k]
    for j in range(n):
        dt, use, u, inverse = interval[j], used[j], factors[0, j], factors[2, j]
        link, before, last = nothing, nothing, nothing
        if j > 0:
            link, before, last = factors[1, j - 1], factors[2, j - 1], factors[0, j - 1]
            for k in range(m):
                link[k] = off[k] * before[k] * use[k]
        for k in range(m):
            inverse[k] = use[k] / (p[k] * (dt - 2.0 * lag) + 2.0 * r[k] - link[k] * off[k])
        for k in range(m):
            u[k] = dt * use[k] - link[k] * last[k]
    after = nothing
    for j in range(n - 1, -1, -1):
        dt, u, link, inverse = interval[j], factors[0, j], factors[1, j], factors[2, j]
        for k in range(m):
            u[k] = u[k] * inverse[k] - link[k] * after[k]
        for k in range(m):
            norm[k] += u[k] * dt
        after = u


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _even(
    used: np.ndarray, terms: np.ndarray, readout: Readout, u: np.ndarray, work: np.ndarray, m: int
) -> None:
    """Replace ``C^-1 dt`` and the sums of `_all_weights` by those of last minus first."""
    norm, total, span = work[0], work[1], work[2]
    for k in range(m):
        off, before = terms[0, k] * readout.lag - terms[1, k], 0.0
        span[k] = 0.0 if norm[k] > 0.0 else np.nan
        total[k] = 0.0
        for j in range(readout.interval.size):
            use, dt = used[j, k], readout.interval[j]
            own = terms[0, k] * (dt - 2.0 * readout.lag) + 2.0 * terms[1, k]
            total[k] += use * (own + 2.0 * off * before)
            span[k] += use * dt
            u[j, k] = before = use
        norm[k] = span[k]
        total[k] /= span[k] * span[k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _group_weights(
    u: np.ndarray, work: np.ndarray, start: int, weights: np.ndarray, m: int
) -> None:
    """Fill the weights (group, pixel) of a block; the third row of ``work`` sums their squares."""
    n = u.shape[0]
    scale, squares, before = work[0], work[2], work[3]
    for k in range(m):
        squares[k] = before[k] = 0.0
    for j in range(n):
        row, out = u[j], weights[j, start : start + m]
        for k in range(m):
            row[k] *= scale[k]
        for k in range(m):
            squares[k] += (before[k] - row[k]) ** 2
        for k in range(m):
            out[k] = before[k] - row[k]
        before = row
    out = weights[n, start : start + m]
    for k in range(m):
        squares[k] += before[k] ** 2
        out[k] = before[k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _all_weights(
    pattern: np.ndarray,
    noise: np.ndarray,
    readout: Readout,
    even: bool,
    weights: np.ndarray,
    variance: np.ndarray,
) -> None:
    n, n_pixels = readout.interval.size, noise.shape[1]
    width = block_width(n, n_pixels)
    used, factors = np.empty((n, width)), np.empty((3, n, width))
    terms, work = np.empty((2, width)), np.empty((4, width))
    norm, total, squares = work[0], work[1], work[2]
    for start in range(0, n_pixels, width):
        m = min(width, n_pixels - start)
        p, r = noise[0, start : start + m], noise[1, start : start + m]
        for k in range(m):
            terms[0, k] = p[k]
            terms[1, k] = 1.0 if p[k] == 0.0 and r[k] == 0.0 else r[k]
        usable_rows(pattern, start, used, m)
        factorize_rows(used, terms, readout, factors, work, m)
        for k in range(m):
            total[k] = 1.0 / norm[k]
        if even:
            _even(used, terms, readout, factors[0], work, m)
        for k in range(m):
            norm[k] = 1.0 / norm[k] if norm[k] > 0.0 else np.nan
        _group_weights(factors[0], work, start, weights, m)
        photon, read = variance[0, start : start + m], variance[1, start : start + m]
        for k in range(m):
            read[k] = r[k] * squares[k]
        for k in range(m):
            photon[k] = max(total[k] - r[k] * squares[k], 0.0) if p[k] > 0.0 else p[k] * norm[k]


def ramp_weights(
    pattern: np.ndarray,
    photon: np.ndarray,
    read: np.ndarray,
    readout: Readout,
    even: bool = False,
    dtype: str = "f8",
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
    dtype : str
        Type of the results; the arithmetic is in float64.

    Returns
    -------
    weights : (group, pixel) float
        The rate is the sum over groups of weight times ramp, s-1; NaN without a usable
        difference, or where the noise is not a number. Where the predicted noise is zero, the
        weights are those of read noise alone.
    variance : (2, pixel) float
        Photon and read variance of the rate, DN2 s-2; NaN as above.
    """
    weights, variance = np.empty(pattern.shape, dtype), np.empty((2, pattern.shape[1]), dtype)
    if variance.size:
        noise = np.stack([photon, read]).astype(np.float64, copy=False)
        _all_weights(pattern, noise, readout, even, weights, variance)
    return weights, variance
