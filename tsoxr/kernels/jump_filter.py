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

__all__ = ["Factors", "factors", "scores"]


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


@numba.njit(cache=True, nogil=True, inline="always")
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


@numba.njit(cache=True, nogil=True, inline="always")
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


def factors(static: np.ndarray, low: int, high: int, readout: Readout) -> Factors:
    """Return the factors of pixels ``[low, high)`` for the groups that each usually has.

    The steps of `_chain`, for all pixels at once.
    """
    photon, read, jitter = (static[k, low:high].astype(np.float64) for k in (PHOTON, READ, JITTER))
    number = np.arange(readout.interval.size)[:, None]
    usable = (static[FIRST, low:high] <= number) & (number < static[LAST, low:high])
    usable &= photon + read > 0.0
    together = usable[1:] & usable[:-1]
    off = photon * readout.lag - read
    diagonal = photon * (readout.interval[:, None] - 2.0 * readout.lag) + 2.0 * read
    lower, inverse, common, back = np.zeros((4, *usable.shape))
    for j, dt in enumerate(readout.interval):
        pivot, common[j] = diagonal[j], np.where(usable[j], dt, 0.0)
        if j > 0:
            lower[j - 1] = np.where(together[j - 1], off * inverse[j - 1], 0.0)
            pivot = np.where(together[j - 1], pivot - lower[j - 1] * off, pivot)
            common[j] -= lower[j - 1] * common[j - 1]
        np.divide(1.0, pivot, out=inverse[j], where=usable[j])
    for j in reversed(range(readout.interval.size)):
        back[j], common[j] = diagonal[j], common[j] * inverse[j]
        if j < readout.interval.size - 1:
            back[j] -= np.divide(off * off, back[j + 1], out=np.zeros_like(off), where=together[j])
            common[j] -= lower[j] * common[j + 1]
    norm = readout.interval @ common
    common *= np.sqrt(np.where(usable.any(axis=0), jitter / (1.0 + jitter * norm), 0.0))
    scale = np.divide(1.0, inverse, out=np.ones_like(inverse), where=usable) + back - diagonal
    scale = np.divide(1.0, scale, out=np.zeros_like(scale), where=usable) - common * common
    scale = np.divide(
        1.0, np.sqrt(np.where(usable, scale, 1.0)), where=usable, out=np.zeros_like(scale)
    )
    return Factors(*(a.astype(np.float32) for a in (lower, inverse, common, scale)))
