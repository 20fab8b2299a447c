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
    "solve_rows",
    "usable_difference",
]

DO_NOT_USE = 1
SATURATED = 2
UNUSABLE = 3  # DO_NOT_USE | SATURATED
JUMP = 4
BLOCK = 4096
IN_CACHE = 65536  # groups of a block of ramps: its arrays together stay in the second-level cache


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
def solve_rows(
    used: np.ndarray,
    terms: np.ndarray,
    readout: Readout,
    inverse: np.ndarray,
    u: np.ndarray,
    norm: np.ndarray,
) -> None:
    """Solve for the weights of ramps side by side.

    ``C = L diag(pivot) L'`` with unit lower bidiagonal ``L``, ``L_j+1,j = off / pivot_j``. The
    inverse of a pivot is 0 where the difference is not used.

    Parameters
    ----------
    used : (difference, width) uint8
        Not 0 where a difference is to be used.
    terms : (3 or more, width) float64
        Photon variance per second, DN2 s-1, read variance of a group, DN2, and the covariance
        of neighbours, DN2.
    readout : Readout
        Timing of the groups.
    inverse : (group, width) float64
        Work space; the first row is 0, the others become the inverse pivots.
    u : (group, width) float64
        Filled with ``C^-1 dt``; the last row is 0.
    norm : (ramp,) float64
        Filled with ``dt' C^-1 dt``. As many ramps are solved as it has elements.
    """
    interval, lag = readout
    p, r, off = terms[0], terms[1], terms[2]
    for j in range(interval.size):
        dt, accrued = interval[j], interval[j] - 2.0 * lag
        before, own, use = inverse[j], inverse[j + 1], used[j]
        for k in range(norm.size):
            own[k] = 1.0 / (p[k] * accrued + 2.0 * r[k] - off[k] * off[k] * before[k])
        for k in range(norm.size):  # a loop of its own: else it would not run in lanes
            own[k] = own[k] if use[k] != 0 else 0.0
        y, last = u[j], u[j - 1]  # of the first, the row of zeros
        for k in range(norm.size):
            y[k] = dt - off[k] * before[k] * last[k]
    for k in range(norm.size):
        norm[k] = 0.0
    for j in range(interval.size - 1, -1, -1):
        dt, x, after, own = interval[j], u[j], u[j + 1], inverse[j + 1]
        for k in range(norm.size):
            x[k] = own[k] * (x[k] - off[k] * after[k])
            norm[k] += dt * x[k]


def _solve(
    pattern: np.ndarray, noise: np.ndarray, readout: Readout, even: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weights of differences, with a last row of 0; their scale; the variance.

    Differences count alike for independent ones whose variance is proportional to the interval.
    """
    before, after = pattern[:-1], pattern[1:]
    used = (((before | after) & np.uint8(UNUSABLE)) | (after & np.uint8(JUMP))) == 0
    terms, shape = np.empty((3, pattern.shape[1])), pattern.shape
    terms[0], terms[1] = (1.0, 0.0) if even else noise
    silent = (terms[0] == 0.0) & (terms[1] == 0.0)
    if silent.any():
        terms[1, silent] = 1.0
    timing = Readout(readout.interval, 0.0) if even else readout
    terms[2] = terms[0] * timing.lag - terms[1]
    inverse, u, norm = np.empty(shape), np.empty(shape), np.empty(shape[1])
    u[-1] = inverse[0] = 0.0
    solve_rows(used.view(np.uint8), terms, timing, inverse, u, norm)
    scale = np.where(norm > 0.0, 1.0 / norm, np.nan)
    if not even:
        return u, scale, scale
    own = (readout.interval - 2.0 * readout.lag)[:, None] * noise[0] + 2.0 * noise[1]
    both = (noise[0] * readout.lag - noise[1]) * (u[:-2] * u[1:-1]).sum(axis=0)
    variance = scale**2 * ((u[:-1] ** 2 * own).sum(axis=0) + 2.0 * both)
    scale[np.isnan(variance)] = np.nan
    return u, scale, variance


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
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
    n_groups, n_pixels = pattern.shape
    weights, variance = np.empty(pattern.shape, dtype), np.empty((2, n_pixels), dtype)
    width = max(IN_CACHE // n_groups, 16)
    for start in range(0, n_pixels, width):
        part = slice(start, start + width)
        noise = np.array([photon[part], read[part]], dtype=np.float64)
        u, scale, whole = _solve(pattern[:, part], noise, readout, even)
        of_groups = np.empty_like(u)
        np.negative(u[0], out=of_groups[0])
        np.subtract(u[:-1], u[1:], out=of_groups[1:])
        np.multiply(of_groups, scale, out=weights[:, part], casting="same_kind")
        own = noise[1] * scale**2 * np.einsum("gk,gk->k", of_groups, of_groups)
        rest = np.where(noise[0] > 0.0, np.maximum(whole - own, 0.0), noise[0] * whole)
        variance[0, part], variance[1, part] = rest, own
    return weights, variance
