"""The matched filter for a step of charge in one difference of a ramp.

Let ``r`` be the differences of a ramp less their expectation, with the covariance

    C_jj = p (dt_j - 2 s) + 2 r + v dt_j**2,     C_j,j+1 = p s - r,     + v dt_j dt_k elsewhere:

photons and reads as in `tsoxr.kernels.ramps`, and a variance ``v`` that the rate has from one
integration to another (jitter). A hit adds charge to one difference ``j``. The most powerful test
for it (Neyman and Pearson) is ``z_j = (C^-1 r)_j / (C^-1_jj)**0.5``, which has a variance of 1. A
hit of ``A`` gives ``A (C^-1_jj)**0.5``: ``A`` over the noise of the difference where photons
dominate, and up to ``(n_groups / 2)**0.5`` times more where read noise does, because all groups
before and after then tell by how much the ramp has jumped.

With ``v`` infinite and a straight line for the expectation this is the test of Brandt (2024,
PASP 136, 045005). Left-out differences split the chain, as in the fit.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from tsoxr.kernels.jump_data import FIRST, JITTER, LAST, PHOTON, READ
from tsoxr.kernels.ramps import Readout

__all__ = ["Factors", "factors", "scores", "tallest"]


class Factors(NamedTuple):
    """What does not depend on the data, each (difference, pixel) float32.

    ``lower``: subdiagonal of L in C = L D L'; ``pivot``: 1 / D; ``common``: C^-1 dt, scaled for
    the correction of jitter; ``scale``: what makes the variance of a score 1, 0 where the
    difference is not usable.
    """

    lower: np.ndarray
    pivot: np.ndarray
    common: np.ndarray
    scale: np.ndarray


@numba.njit(cache=True, nogil=True)
def _chain(
    usable: np.ndarray, p: float, r: float, v: float, readout: Readout, work: np.ndarray
) -> None:
    """Fill ``work`` (5, difference): lower, 1 / pivot, common, scale, and pivots from the end.

    The diagonal of the inverse of a tridiagonal matrix with pivots ``d`` from the first row on
    and ``e`` from the last: ``1 / (d_j + e_j - C_jj)``.
    """
    interval, lag = readout.interval, readout.lag
    n = interval.size
    off = p * lag - r
    lower, inverse, common, scale, back = work
    lower[:] = 0.0
    for j in range(n):
        inverse[j], common[j], scale[j], back[j] = 0.0, 0.0, 0.0, 0.0
        if not usable[j]:
            continue
        pivot = p * (interval[j] - 2.0 * lag) + 2.0 * r
        common[j] = interval[j]
        if j > 0 and usable[j - 1]:
            lower[j - 1] = off * inverse[j - 1]
            pivot -= lower[j - 1] * off
            common[j] -= lower[j - 1] * common[j - 1]
        inverse[j] = 1.0 / pivot
    norm = 0.0
    for j in range(n - 1, -1, -1):
        if not usable[j]:
            continue
        diagonal = p * (interval[j] - 2.0 * lag) + 2.0 * r
        back[j] = diagonal
        common[j] *= inverse[j]
        if j < n - 1 and usable[j + 1]:
            back[j] -= off * off / back[j + 1]
            common[j] -= lower[j] * common[j + 1]
        scale[j] = 1.0 / (1.0 / inverse[j] + back[j] - diagonal)
        norm += interval[j] * common[j]
    factor = np.sqrt(v / (1.0 + v * norm))
    for j in range(n):
        if usable[j]:
            common[j] *= factor
            scale[j] = 1.0 / np.sqrt(scale[j] - common[j] * common[j])


@numba.njit(cache=True, nogil=True)
def scores(
    residual: np.ndarray,
    usable: np.ndarray,
    noise: tuple[float, float, float],
    readout: Readout,
    work: np.ndarray,
    z: np.ndarray,
) -> None:
    """Fill ``z`` (difference,) with the scores of one ramp, 0 where nothing can be said.

    Parameters
    ----------
    residual : (difference,) float64
        Differences less their expectation, DN.
    usable : (difference,) bool
        Which to use.
    noise : (photon, read, jitter)
        As in `tsoxr.kernels.jump_data.LAYERS`.
    readout : Readout
        Timing of the groups.
    work : (5, difference) float64
        Work space.
    z : (difference,) float64
        Result.
    """
    p, r, v = noise
    z[:] = 0.0
    if not p + r > 0.0:
        return
    _chain(usable, p, r, v, readout, work)
    lower, inverse, common, scale, _ = work
    n = z.size
    shared = 0.0
    for j in range(n):
        if usable[j]:
            z[j] = residual[j] - (lower[j - 1] * z[j - 1] if j > 0 else 0.0)
            shared += common[j] * residual[j]
    for j in range(n - 1, -1, -1):
        z[j] *= inverse[j]
        if j < n - 1:
            z[j] -= lower[j] * z[j + 1]
    for j in range(n):
        z[j] = (z[j] - shared * common[j]) * scale[j]


@numba.njit(cache=True, nogil=True)
def factors(static: np.ndarray, low: int, high: int, readout: Readout) -> Factors:
    """Return the factors of pixels ``[low, high)`` for the groups that each usually has."""
    n = readout.interval.size
    out = Factors(
        np.zeros((n, high - low), np.float32),
        np.zeros((n, high - low), np.float32),
        np.zeros((n, high - low), np.float32),
        np.zeros((n, high - low), np.float32),
    )
    usable = np.empty(n, np.bool_)
    work = np.empty((5, n))
    for i in range(high - low):
        k = low + i
        p, r, v = static[PHOTON, k], static[READ, k], static[JITTER, k]
        if not p + r > 0.0:
            continue
        for j in range(n):
            usable[j] = static[FIRST, k] <= j < static[LAST, k]
        _chain(usable, p, r, v, readout, work)
        for j in range(n):
            out.lower[j, i], out.pivot[j, i] = work[0, j], work[1, j]
            out.common[j, i], out.scale[j, i] = work[2, j], work[3, j]
    return out


FAST = {"contract", "nsz"}


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _less_product(x: np.ndarray, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    for i in range(out.size):
        out[i] = x[i] - a[i] * b[i]


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _add_product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    for i in range(out.size):
        out[i] += a[i] * b[i]


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _widen(z: np.ndarray, high: np.ndarray, low: np.ndarray) -> None:
    for i in range(z.size):
        high[i] = max(high[i], z[i])
    for i in range(z.size):
        low[i] = min(low[i], z[i])


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def tallest(
    residual: np.ndarray, by: Factors, work: np.ndarray, high: np.ndarray, low: np.ndarray
) -> None:
    """Fill ``high`` and ``low`` (pixel,) with the largest and smallest score of each ramp.

    ``residual`` (difference, pixel) float32 becomes the scores; ``work`` (difference + 1, pixel)
    float32 is work space. One array is written at a time: compilers then use wide registers.
    """
    n = residual.shape[0]
    shared = work[n]
    shared[:] = 0.0
    work[0] = residual[0]
    for j in range(1, n):
        _less_product(residual[j], by.lower[j - 1], work[j - 1], work[j])
    for j in range(n):
        _add_product(by.common[j], residual[j], shared)
    high[:] = 0.0
    low[:] = 0.0
    for j in range(n - 1, -1, -1):
        y, d = work[j], by.pivot[j]
        for i in range(y.size):
            y[i] *= d[i]
        if j < n - 1:
            _less_product(y, by.lower[j], work[j + 1], y)
        z, s = residual[j], by.scale[j]
        _less_product(y, by.common[j], shared, z)
        for i in range(y.size):
            z[i] *= s[i]
        _widen(z, high, low)
