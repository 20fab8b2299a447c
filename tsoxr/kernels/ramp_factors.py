"""Factors of the covariance of ramps side by side, for searches of what is better left out."""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.ramps import Readout, usable_difference

__all__ = ["block_width", "factorize_rows", "usable_rows"]

WIDTH = 4096  # differences of a block of ramps: its arrays together stay in the second-level cache


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
