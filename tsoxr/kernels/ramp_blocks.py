"""Ramps of a block of pixels side by side, with factors that serve all integrations.

The usual ramps of a pixel, those whose flags are the same in most integrations, share the
factors of their covariance. Solving them is then a matter of additions and multiplications
along the ramp, which the processor does for many pixels at once: each loop over the pixels of
a block works on few rows, contiguous ones, or the compiler would not see that it can.

Shapes: ``ramp`` (time, group, pixel); block arrays are (difference, width) float64, of which the
first ``m`` columns are filled.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from tsoxr.kernels.ramp_factors import block_width, factorize_rows, usable_rows
from tsoxr.kernels.ramp_search import Thresholds
from tsoxr.kernels.ramps import JUMP, UNUSABLE, Readout

__all__ = ["N_WORK", "Data", "load", "refine", "screen"]

N_FACTORS = 7
N_WORK = 8


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
def load(data: Data, t: int, start: int, d: np.ndarray, m: int) -> None:
    """Fill the differences of a block that begins at pixel ``start``."""
    for j in range(d.shape[0]):
        row = d[j]
        low, high = data.ramp[t, j, start : start + m], data.ramp[t, j + 1, start : start + m]
        for k in range(m):
            row[k] = np.float64(high[k]) - np.float64(low[k])
        if data.residual.size > 0:
            curve = data.residual[j, start : start + m]
            for k in range(m):
                row[k] -= np.float64(curve[k])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _prepare(
    data: Data, start: int, used: np.ndarray, factors: np.ndarray, work: np.ndarray, m: int
) -> None:
    """Fill the factors (factor, difference, width) of a block for its usual flags.

    They are: the weights of the rate; ``link`` and ``inverse`` of `ramp_search`; the drop
    of chi-squared without one difference over ``q**2``; and the factors of ``q_j**2``,
    ``q_j q_j+1`` and ``q_j+1**2`` in the drop without two.
    """
    n = used.shape[0]
    p, r, n_usable, norm, spare = work[0], work[1], work[2], work[3], work[4]
    photon, read = data.noise[0, start : start + m], data.noise[1, start : start + m]
    for k in range(m):
        p[k] = photon[k]
        r[k] = 1.0 if photon[k] == 0.0 and read[k] == 0.0 else read[k]
    usable_rows(data.pattern, start, used, m)
    factorize_rows(used, work[:2], data.readout, factors, work[3:5], m)
    for k in range(m):
        silent = photon[k] == 0.0 and read[k] == 0.0
        n_usable[k] = -np.inf if silent else 0.0
        norm[k] = 1.0 / norm[k]
    for j in range(n):
        use = used[j]
        for k in range(m):
            n_usable[k] += use[k]
    _prepare_drops(used, factors, n_usable, norm, (spare, work[5], work[6]), m)
    for j in range(n):
        weight = factors[0, j]
        for k in range(m):
            weight[k] *= norm[k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _prepare_drops(  # noqa: C901, PLR0912 -- loops over few rows each run in lanes
    used: np.ndarray,
    factors: np.ndarray,
    n_usable: np.ndarray,
    scale: np.ndarray,
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    m: int,
) -> None:
    """Fill the last four factors, from the last difference to the first.

    Where nothing can be left out they are 0. ``scale`` is 1 / dt' C^-1 dt, ``rows`` work space.
    """
    n = used.shape[0]
    diagonal, own, cross = rows
    for k in range(m):
        diagonal[k] = own[k] = 0.0
    for j in range(n - 1, -1, -1):
        use, u, link, inverse = used[j], factors[0, j], factors[1, j], factors[2, j]
        one, first, both, second = factors[3, j], factors[4, j], factors[5, j], factors[6, j]
        for k in range(m):
            both[k] = own[k]  # of the next difference
            cross[k] = -link[k] * diagonal[k]
        for k in range(m):
            diagonal[k] = inverse[k] + link[k] * link[k] * diagonal[k]
        for k in range(m):
            own[k] = diagonal[k] - u[k] * u[k] * scale[k]
        for k in range(m):
            one[k] = 1.0 / own[k] if n_usable[k] > 1.0 and use[k] > 0.0 else 0.0
        if j == n - 1:
            for k in range(m):
                first[k] = second[k] = both[k] = 0.0
            continue
        after, use_next = factors[0, j + 1], used[j + 1]
        for k in range(m):
            cross[k] -= u[k] * after[k] * scale[k]
        for k in range(m):
            second[k] = own[k] * both[k] - cross[k] * cross[k]
        for k in range(m):
            pair = n_usable[k] > 3.0 and use[k] * use_next[k] > 0.0
            second[k] = 1.0 / second[k] if pair else 0.0
        for k in range(m):
            first[k] = both[k] * second[k]
        for k in range(m):
            both[k] = -2.0 * cross[k] * second[k]
        for k in range(m):
            second[k] *= own[k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _forward(
    d: np.ndarray, factors: np.ndarray, interval: np.ndarray, rate: np.ndarray, m: int
) -> None:
    """Fit the usual ramps of a block; differences ``d`` become forward solutions of residuals."""
    for k in range(m):
        rate[k] = 0.0
    for j in range(d.shape[0]):
        row, weight = d[j], factors[0, j]
        for k in range(m):
            rate[k] += weight[k] * row[k]
    for j in range(d.shape[0]):
        row, before, link, dt = d[j], d[max(j - 1, 0)], factors[1, max(j - 1, 0)], interval[j]
        for k in range(m):
            row[k] -= rate[k] * dt
        if j > 0:
            for k in range(m):
                row[k] -= link[k] * before[k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _drops(
    d: np.ndarray, factors: np.ndarray, rule: Thresholds, excess: np.ndarray, m: int
) -> None:
    """Make ``excess`` positive where something is to be left out; ``d`` is as `_forward` left it."""
    n = d.shape[0]
    for k in range(m):
        excess[k] = -np.inf
    for j in range(n - 1, -1, -1):
        q, link, inverse, single = d[j], factors[1, j], factors[2, j], factors[3, j]
        if j == n - 1:
            for k in range(m):
                q[k] *= inverse[k]
        else:
            after, first, both, second = d[j + 1], factors[4, j], factors[5, j], factors[6, j]
            for k in range(m):
                q[k] = q[k] * inverse[k] - link[k] * after[k]
            for k in range(m):
                drop = (first[k] * q[k] + both[k] * after[k]) * q[k]
                drop += second[k] * after[k] * after[k] - rule.double
                excess[k] = drop if drop > excess[k] else excess[k]  # noqa: FURB136 -- in lanes
        for k in range(m):
            drop = single[k] * q[k] * q[k] - rule.single
            excess[k] = drop if drop > excess[k] else excess[k]  # noqa: FURB136 -- in lanes


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
    factors, d, used = np.empty((N_FACTORS, n, width)), np.empty((n, width)), np.empty((n, width))
    work = np.empty((N_WORK, width))
    found, excess = work[0], work[1]
    for start in range(0, n_pixels, width):
        m = min(width, n_pixels - start)
        _prepare(data, start, used, factors, work, m)
        for t in range(n_times):
            load(data, t, start, d, m)
            _forward(d, factors, data.readout.interval, found, m)
            _drops(d, factors, data.rule, excess, m)
            rates, others = rate[t, start : start + m], other[t, start : start + m]
            for k in range(m):
                rates[k] = found[k]
            for k in range(m):
                good = excess[k] <= 0.0 and np.isfinite(found[k])
                others[k] = np.uint8(0 if good else 1)
            for g in range(n_groups):
                q = data.dq_group[t, g, start : start + m]
                usual = data.pattern[g, start : start + m]
                for k in range(m):
                    others[k] |= (q[k] & np.uint8(UNUSABLE | JUMP)) ^ usual[k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def refine(  # noqa: C901 -- loops over few rows each run in lanes
    d: np.ndarray, used: np.ndarray, terms: np.ndarray, readout: Readout, work: np.ndarray, m: int
) -> None:
    """Fit the ramps of a block, each with its own covariance.

    ``d`` and ``used`` (difference, width). Rows of ``terms`` (3, width): photon variance per
    second, read variance, a guess of the rate. With ``z`` and ``y`` the forward solutions of the
    intervals and of the differences less guess times intervals, over the roots of the pivots,
    the first rows of ``work`` (`N_WORK`, width) become z'z, z'y and y'y.
    """
    p, r, rate = terms[0], terms[1], terms[2]
    zz, zy, yy, off = work[0], work[1], work[2], work[3]
    link, inverse, z, y = work[4], work[5], work[6], work[7]
    for row in range(N_WORK):
        for k in range(m):
            work[row, k] = 0.0
    for k in range(m):
        off[k] = p[k] * readout.lag - r[k]
    for j in range(d.shape[0]):
        dt, row, use = readout.interval[j], d[j], used[j]
        for k in range(m):
            link[k] = off[k] * inverse[k] * use[k]  # inverse is 0 if the one before is not used
        for k in range(m):
            z[k] = dt - link[k] * z[k]
        for k in range(m):
            y[k] = row[k] - rate[k] * dt - link[k] * y[k]
        for k in range(m):
            inverse[k] = p[k] * (dt - 2.0 * readout.lag) + 2.0 * r[k] - link[k] * off[k]
        for k in range(m):
            inverse[k] = use[k] / inverse[k]
        for k in range(m):
            zz[k] += z[k] * z[k] * inverse[k]
        for k in range(m):
            zy[k] += z[k] * y[k] * inverse[k]
        for k in range(m):
            yy[k] += y[k] * y[k] * inverse[k]
