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

import numpy as np

from tsoxr.kernels.jump_data import FIRST, JITTER, LAST, PHOTON, READ
from tsoxr.kernels.ramps import Readout

__all__ = ["Factors", "factors", "scores", "usual_factors"]


class Factors(NamedTuple):
    """What does not depend on the data, each (difference, ramp).

    ``lower``: subdiagonal of L in C = L D L'; ``pivot``: 1 / D; ``common``: C^-1 dt, scaled for
    the correction of jitter; ``scale``: what makes the variance of a score 1, 0 where the
    difference is not usable.
    """

    lower: np.ndarray
    pivot: np.ndarray
    common: np.ndarray
    scale: np.ndarray


def factors(noise: np.ndarray, usable: np.ndarray, readout: Readout) -> Factors:
    """Factorize the covariances of ramps, all together.

    Parameters
    ----------
    noise : (3, ramp) float
        Photon, read and jitter variances as in `tsoxr.kernels.jump_data.LAYERS`.
    usable : (difference, ramp) bool
        Which differences to use. Of ramps without noise none is.
    readout : Readout
        Timing of the groups.

    Returns
    -------
    Factors
        Arrays of float64.

    Notes
    -----
    The diagonal of the inverse of a tridiagonal matrix with pivots ``d`` from the first row on
    and ``e`` from the last: ``1 / (d_j + e_j - C_jj)``.
    """
    photon, read, jitter = noise.astype(np.float64)
    interval, lag = readout.interval, readout.lag
    usable = usable & (photon + read > 0.0)
    together = usable[1:] & usable[:-1]
    off = photon * lag - read
    diagonal = photon * (interval[:, None] - 2.0 * lag) + 2.0 * read
    lower, inverse, common, back = np.zeros((4, *usable.shape))
    for j, dt in enumerate(interval):
        pivot, common[j] = diagonal[j], np.where(usable[j], dt, 0.0)
        if j > 0:
            lower[j - 1] = np.where(together[j - 1], off * inverse[j - 1], 0.0)
            pivot = np.where(together[j - 1], pivot - lower[j - 1] * off, pivot)
            common[j] -= lower[j - 1] * common[j - 1]
        np.divide(1.0, pivot, out=inverse[j], where=usable[j])
    for j in reversed(range(interval.size)):
        back[j], common[j] = diagonal[j], common[j] * inverse[j]
        if j < interval.size - 1:
            back[j] -= np.divide(off * off, back[j + 1], out=np.zeros_like(off), where=together[j])
            common[j] -= lower[j] * common[j + 1]
    norm = interval @ common
    common *= np.sqrt(np.where(usable.any(axis=0), jitter / (1.0 + jitter * norm), 0.0))
    scale = np.divide(1.0, inverse, out=np.ones_like(inverse), where=usable) + back - diagonal
    scale = np.divide(1.0, scale, out=np.zeros_like(scale), where=usable) - common * common
    scale = np.divide(
        1.0, np.sqrt(np.where(usable, scale, 1.0)), where=usable, out=np.zeros_like(scale)
    )
    return Factors(lower, inverse, common, scale)


def usual_factors(static: np.ndarray, readout: Readout) -> Factors:
    """Return the factors of pixels for the groups that each usually has, from (6, pixel) layers."""
    number = np.arange(readout.interval.size)[:, None]
    usable = (static[FIRST] <= number) & (number < static[LAST])
    return factors(static[[PHOTON, READ, JITTER]], usable, readout)


def scores(
    residual: np.ndarray, usable: np.ndarray, noise: np.ndarray, readout: Readout
) -> np.ndarray:
    """Return the scores of ramps (difference, ramp), 0 where nothing can be said.

    Parameters
    ----------
    residual : (difference, ramp) float64
        Differences less their expectation, DN.
    usable : (difference, ramp) bool
        Which to use.
    noise : (3, ramp) float
        As for `factors`.
    readout : Readout
        Timing of the groups.
    """
    by = factors(noise, usable, readout)
    z = np.where(by.scale > 0.0, residual, 0.0)
    shared = (by.common * z).sum(axis=0)
    for j in range(1, len(z)):
        z[j] -= by.lower[j - 1] * z[j - 1]
    z *= by.pivot
    for j in reversed(range(len(z) - 1)):
        z[j] -= by.lower[j] * z[j + 1]
    z -= by.common * shared
    z *= by.scale
    return z
