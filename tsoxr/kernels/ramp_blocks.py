"""Ramps of a block of pixels side by side, with factors that serve all integrations.

The usual ramps of a pixel, those whose flags are the same in most integrations, share the
factors of their covariance. Solving them is then a matter of additions and multiplications
along the ramp, which the processor does for many pixels at once.

Shapes: ``ramp`` (time, group, pixel); block arrays are (difference, pixel of the block) float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from tsoxr.kernels.ramp_search import Thresholds, factorize, workspace
from tsoxr.kernels.ramps import JUMP, UNUSABLE, Readout, usable_difference

__all__ = ["Data", "block_width", "load", "refine", "screen", "usable_rows"]

WIDTH = 4096  # differences of a block: its arrays together stay in the second-level cache
N_FACTORS = 7


class Data(NamedTuple):
    """What every search and fit looks at.

    ``ramp`` and ``dq_group`` (time, group, pixel); ``pattern`` (group, pixel) uint8, the usual
    flags; ``noise`` (2, pixel) float64, photon variance per second and read variance of a
    group; ``residual`` (difference, pixel), subtracted from the differences, or of size 0.
    """

    ramp: np.ndarray
    dq_group: np.ndarray
    pattern: np.ndarray
    noise: np.ndarray
    residual: np.ndarray
    readout: Readout
    rule: Thresholds


@numba.njit(cache=True, nogil=True, error_model="numpy")
def block_width(n_differences: int, n_pixels: int) -> int:
    """Return how many pixels to solve side by side."""
    return min(max(WIDTH // n_differences, 16), n_pixels)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def load(data: Data, t: int, start: int, d: np.ndarray) -> None:
    """Fill the differences (difference, pixel) of a block that begins at pixel ``start``."""
    n, m = d.shape
    for j in range(n):
        low, high = data.ramp[t, j], data.ramp[t, j + 1]
        for k in range(m):
            d[j, k] = np.float64(high[start + k]) - np.float64(low[start + k])
    if data.residual.size > 0:
        for j in range(n):
            for k in range(m):
                d[j, k] -= np.float64(data.residual[j, start + k])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def usable_rows(data: Data, start: int, used: np.ndarray) -> None:
    """Fill 1 where the usual ramp of a pixel of the block uses a difference, 0 elsewhere."""
    n, m = used.shape
    for j in range(n):
        for k in range(m):
            before, after = data.pattern[j, start + k], data.pattern[j + 1, start + k]
            used[j, k] = 1.0 if usable_difference(before, after) else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _prepare(data: Data, start: int, factors: np.ndarray) -> None:
    """Fill the factors (factor, difference, pixel) of a block for its usual flags.

    They are: the weights of the rate; ``link`` and ``inverse`` of `ramp_search`; the drop
    of chi-squared without one difference over ``q**2``; and the factors of ``q_j**2``,
    ``q_j q_j+1`` and ``q_j+1**2`` in the drop without two.
    """
    _, n, m = factors.shape
    work = workspace(n)
    for k in range(m):
        i = start + k
        p, r = data.noise[0, i], data.noise[1, i]
        silent = p == 0.0 and r == 0.0
        n_usable = 0
        for j in range(n):
            work.usable[j] = usable_difference(data.pattern[j, i], data.pattern[j + 1, i])
            n_usable += work.usable[j]
        factorize(work, p, 1.0 if silent else r, data.readout)
        norm = 0.0
        for j in range(n):
            norm += work.u[j] * data.readout.interval[j]
        diagonal = after = 0.0
        for j in range(n - 1, -1, -1):
            before = diagonal
            diagonal = work.inverse[j] + work.link[j] ** 2 * before
            own = diagonal - work.u[j] ** 2 / norm
            for f in range(3, N_FACTORS):
                factors[f, j, k] = 0.0
            factors[0, j, k] = work.u[j] / norm
            factors[1, j, k] = work.link[j]
            factors[2, j, k] = work.inverse[j]
            if work.usable[j] and n_usable > 1 and not silent:
                factors[3, j, k] = 1.0 / own
                if n_usable > 3 and j < n - 1 and work.usable[j + 1]:
                    cross = -work.link[j] * before - work.u[j] * work.u[j + 1] / norm
                    det = own * after - cross**2
                    factors[4, j, k] = after / det
                    factors[5, j, k] = -2.0 * cross / det
                    factors[6, j, k] = own / det
            after = own


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _forward(d: np.ndarray, factors: np.ndarray, interval: np.ndarray, rate: np.ndarray) -> None:
    """Fit the usual ramps of a block; differences ``d`` become forward solutions of residuals."""
    n, m = d.shape
    for k in range(m):
        rate[k] = 0.0
    for j in range(n):
        for k in range(m):
            rate[k] += factors[0, j, k] * d[j, k]
    for j in range(n):
        for k in range(m):
            d[j, k] -= rate[k] * interval[j]
    for j in range(1, n):
        for k in range(m):
            d[j, k] -= factors[1, j - 1, k] * d[j - 1, k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _drops(d: np.ndarray, factors: np.ndarray, rule: Thresholds, excess: np.ndarray) -> None:
    """Make ``excess`` positive where something is to be left out; ``d`` is as `_forward` left it."""
    n, m = d.shape
    for k in range(m):
        excess[k] = -np.inf
    for j in range(n - 1, -1, -1):
        for k in range(m):
            d[j, k] *= factors[2, j, k]
        if j < n - 1:
            for k in range(m):
                after = d[j + 1, k]
                q = d[j, k] - factors[1, j, k] * after
                d[j, k] = q
                both = (factors[4, j, k] * q + factors[5, j, k] * after) * q
                both += factors[6, j, k] * after**2 - rule.double
                excess[k] = both if both > excess[k] else excess[k]  # noqa: FURB136 -- in lanes
        for k in range(m):
            one = factors[3, j, k] * d[j, k] ** 2 - rule.single
            excess[k] = one if one > excess[k] else excess[k]  # noqa: FURB136 -- in lanes


@numba.njit(cache=True, nogil=True, error_model="numpy")
def screen(data: Data, rate: np.ndarray, other: np.ndarray) -> None:
    """Fit all ramps as if they had their usual flags, and tell which must be looked at singly.

    Parameters
    ----------
    data : Data
        The ramps.
    rate : (time, pixel) float
        Filled with the rates, DN s-1, for the covariance of ``data.noise``.
    other : (time, pixel) uint8
        Filled with 1 where the flags are not the usual ones, where chi-squared drops by more
        than the rule when something is left out, and where a sample is not a number.
    """
    n_times, n_groups, n_pixels = data.ramp.shape
    n = n_groups - 1
    width = block_width(n, n_pixels)
    all_factors, all_d = np.empty((N_FACTORS, n, width)), np.empty((n, width))
    found, excess = np.empty(width), np.empty(width)
    for start in range(0, n_pixels, width):
        m = min(width, n_pixels - start)
        factors, d = all_factors[:, :, :m], all_d[:, :m]
        _prepare(data, start, factors)
        for t in range(n_times):
            load(data, t, start, d)
            _forward(d, factors, data.readout.interval, found[:m])
            _drops(d, factors, data.rule, excess[:m])
            for k in range(m):
                rate[t, start + k] = found[k]
                good = excess[k] <= 0.0 and np.isfinite(found[k])
                other[t, start + k] = np.uint8(0 if good else 1)
            for g in range(n_groups):
                for k in range(m):
                    q, usual = data.dq_group[t, g, start + k], data.pattern[g, start + k]
                    other[t, start + k] |= (q & np.uint8(UNUSABLE | JUMP)) ^ usual


@numba.njit(cache=True, nogil=True, error_model="numpy")
def refine(
    d: np.ndarray,
    used: np.ndarray,
    p: np.ndarray,
    r: np.ndarray,
    rate: np.ndarray,
    readout: Readout,
    work: np.ndarray,
) -> None:
    """Fit the ramps of a block, each with its own covariance.

    ``d`` and ``used`` (difference, pixel), the others (pixel,). With ``z`` and ``y`` the
    forward solutions of the intervals and of the differences less ``rate`` times intervals,
    over the roots of the pivots, rows 3 to 5 of ``work`` become z'z, z'y and y'y.
    """
    n, m = d.shape
    inverse, z, y, zz, zy, yy = work
    for k in range(m):
        inverse[k] = z[k] = y[k] = zz[k] = zy[k] = yy[k] = 0.0
    for j in range(n):
        dt = readout.interval[j]
        for k in range(m):
            off = p[k] * readout.lag - r[k]
            link = off * inverse[k] * used[j, k]  # inverse is 0 if the one before is not used
            z[k] = dt - link * z[k]
            y[k] = d[j, k] - rate[k] * dt - link * y[k]
            pivot = p[k] * (dt - 2.0 * readout.lag) + 2.0 * r[k] - link * off
            inverse[k] = used[j, k] / pivot
            zz[k] += z[k] * z[k] * inverse[k]
            zy[k] += z[k] * y[k] * inverse[k]
            yy[k] += y[k] * y[k] * inverse[k]
