"""One ramp at a time: generalised least squares, and which differences are better left out.

With ``C`` the covariance of the differences (`tsoxr.kernels.ramps`), ``u = C^-1 dt`` and
``q = C^-1 (D - a dt)``, leaving out difference ``j`` lowers chi-squared by exactly

    q_j**2 / M_jj,        M = C^-1 - u u' / (dt' u)

and leaving out ``j`` and ``j + 1`` by ``v' m^-1 v``, ``v`` being the two values of ``q`` and
``m`` the 2 x 2 block of ``M`` (Brandt 2024, PASP 136, 045005). ``m`` is positive definite as
long as a difference is left, even where its off-diagonal element vanishes, as it does for
pure read noise and 4 or 6 differences: nothing is divided by that element here.

Factors are those of ``C = L diag(pivot) L'`` with unit lower bidiagonal ``L``: ``link`` holds
``L_j+1,j`` and ``inverse`` holds ``1 / pivot``; both are 0 where a difference is not used, so
that the chain falls into pieces and the sums need no branches.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from tsoxr.kernels.ramps import Readout

__all__ = ["Thresholds", "Work", "factorize", "fit_one", "search_one", "solve", "workspace"]

NOTHING = 1e-9  # of C^-1_jj: M_jj of a difference without which nothing would be left
TIE = 1e-9  # relative: of two candidates as good as equal, the one with extra charge is taken


class Thresholds(NamedTuple):
    """Drops of chi-squared beyond which one difference, or two in a row, are left out."""

    single: float
    double: float


class Work(NamedTuple):
    """Arrays (difference,) of one ramp: differences, which are usable, factors, solutions."""

    difference: np.ndarray
    usable: np.ndarray
    link: np.ndarray
    inverse: np.ndarray
    u: np.ndarray
    q: np.ndarray
    diagonal: np.ndarray


@numba.njit(cache=True, nogil=True, error_model="numpy")
def workspace(n: int) -> Work:
    """Return work space for ramps of ``n`` differences."""
    return Work(
        np.empty(n), np.empty(n, np.bool_), np.empty(n), np.empty(n),
        np.empty(n), np.empty(n), np.empty(n),
    )  # fmt: skip


@numba.njit(cache=True, nogil=True, error_model="numpy")
def factorize(work: Work, p: float, r: float, readout: Readout) -> None:
    """Fill ``link``, ``inverse`` and ``u`` for photon variance ``p`` per second, read ``r``."""
    n = work.usable.size
    off = p * readout.lag - r
    for j in range(n):
        work.link[j] = 0.0
        work.inverse[j] = 0.0
        work.u[j] = 0.0
        if not work.usable[j]:
            continue
        pivot = p * (readout.interval[j] - 2.0 * readout.lag) + 2.0 * r
        if j > 0 and work.usable[j - 1]:
            work.link[j - 1] = off * work.inverse[j - 1]
            pivot -= work.link[j - 1] * off
        work.inverse[j] = 1.0 / pivot
        work.u[j] = readout.interval[j]
    solve(work, work.u)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def solve(work: Work, x: np.ndarray) -> None:
    """Replace ``x`` (difference,) by ``C^-1 x``; it must be 0 where a difference is not used."""
    n = x.size
    for j in range(1, n):
        x[j] -= work.link[j - 1] * x[j - 1]
    x[n - 1] *= work.inverse[n - 1]
    for j in range(n - 2, -1, -1):
        x[j] = x[j] * work.inverse[j] - work.link[j] * x[j + 1]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fit_one(work: Work, p: float, r: float, readout: Readout) -> tuple[float, float, float]:
    """Return rate, its variance and chi-squared of one ramp, and fill ``q``.

    Without a usable difference, or where the noise is not a number, all three are NaN.
    Where it is zero, the weights are those of read noise alone, and chi-squared is NaN.
    """
    n = work.usable.size
    silent = p == 0.0 and r == 0.0
    factorize(work, p, 1.0 if silent else r, readout)
    norm = 0.0
    rate = 0.0
    for j in range(n):
        if work.usable[j]:
            norm += work.u[j] * readout.interval[j]
            rate += work.u[j] * work.difference[j]
    if not norm > 0.0:
        return np.nan, np.nan, np.nan
    rate /= norm
    for j in range(n):
        expected = rate * readout.interval[j]
        work.q[j] = work.difference[j] - expected if work.usable[j] else 0.0
    solve(work, work.q)
    if silent:
        return rate, 0.0, np.nan
    chi2 = 0.0
    for j in range(n):
        if work.usable[j]:
            chi2 += work.q[j] * (work.difference[j] - rate * readout.interval[j])
    return rate, 1.0 / norm, chi2


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _worst(work: Work, norm: float, rule: Thresholds, more: float) -> tuple[int, bool]:
    """Return which difference is best left out, -1 for none, and whether with the next one.

    ``fit_one`` must have filled the factors and ``q``. A pair has to earn ``more`` than the
    best single difference.
    """
    n = work.usable.size
    n_usable = 0
    for j in range(n):
        n_usable += work.usable[j]
    one = two = -1
    best = pair = 0.0
    work.diagonal[n - 1] = work.inverse[n - 1]
    for j in range(n - 2, -1, -1):
        work.diagonal[j] = work.inverse[j] + work.link[j] ** 2 * work.diagonal[j + 1]
    for j in range(n):
        m = work.diagonal[j] - work.u[j] ** 2 / norm
        if not work.usable[j] or m < NOTHING * work.diagonal[j]:
            continue
        drop = work.q[j] ** 2 / m
        if drop > best * (1.0 - TIE if work.q[j] > 0.0 else 1.0 + TIE):
            one, best = j, drop
        if j == n - 1 or n_usable < 4 or not work.usable[j + 1]:
            continue
        after = work.diagonal[j + 1] - work.u[j + 1] ** 2 / norm
        cross = -work.link[j] * work.diagonal[j + 1] - work.u[j] * work.u[j + 1] / norm
        a, b = work.q[j], work.q[j + 1]
        drop = (a * a * after - 2.0 * a * b * cross + b * b * m) / (m * after - cross**2)
        if drop > pair * (1.0 + TIE):
            two, pair = j, drop
    single = best > rule.single
    if pair > rule.double and (not single or pair > best + more):
        return two, True
    return (one, False) if single else (-1, False)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def search_one(
    work: Work, p: float, r: float, readout: Readout, rule: Thresholds
) -> tuple[float, int]:
    """Leave out differences until none is worth it; return the rate and how many went.

    Parameters
    ----------
    work : Work
        ``difference`` and ``usable`` of the ramp; ``usable`` loses what is left out. At least
        one difference stays, so that a ramp of two groups loses nothing.
    p, r : float
        Photon variance per second, DN2 s-1, and read variance of a group, DN2.
    readout : Readout
        Timing of the groups.
    rule : Thresholds
        What a difference must earn to be left out; infinity switches the search off.

    Notes
    -----
    A pair goes instead of its worse half where it earns more by the difference of the two
    thresholds, as in the paper, if groups average frames: a hit between the frames of a group
    spoils both differences. A hit between single reads spoils one, and the other has to reach
    the threshold by itself: else one clean neighbour of nine hits in ten were kept, and one
    of ten thrown away.
    """
    n_out = 0
    more = rule.double - rule.single if readout.lag > 0.0 else rule.single
    while True:
        rate, variance, chi2 = fit_one(work, p, r, readout)
        if not chi2 > min(rule.single, rule.double):
            return rate, n_out
        worst, both = _worst(work, 1.0 / variance, rule, more)
        if worst < 0:
            return rate, n_out
        work.usable[worst] = False
        if both:
            work.usable[worst + 1] = False
        n_out += 1 + both
