r"""Weights of least variance where the noise of a column's pixels is correlated.

The pixels of one column have the covariance :math:`C = \mathrm{diag}(V + b_0^2) + \sum_k b_k b_k^T`:
noise of their own, and modes :math:`b_k` that several of them share, such as the level of a
stripe. The weights :math:`w = C^{-1} P / (P^T C^{-1} P)` follow from the identity of Woodbury with
matrices of the size of the modes. One mode that all pixels share alike is the form of
Sherman and Morrison, which equals a fit of the profile and a constant with a prior. Without modes
the weights are those of Horne (1986).

Axes are (spatial, dispersion) whatever the detector's are.
"""

from __future__ import annotations

import numpy as np

__all__ = ["covariance_weights", "modes_of", "modes_variance"]


def covariance_weights(
    profile: np.ndarray, variance: np.ndarray, cover: np.ndarray, modes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of least variance for a profile, and the light expected in each pixel.

    Parameters
    ----------
    profile : (spatial, dispersion) float64
        Profile of the light, from `tsoxr.kernels.profile.spatial_profile`.
    variance : (spatial, dispersion) float
        Variance of each pixel for itself; pixels without a positive one are left out.
    cover : (spatial, dispersion) float64
        Aperture; a pixel touched by it is used as a whole.
    modes : (mode, spatial, dispersion) float
        The first is noise that each pixel has for itself beside ``variance``, each of the others
        an error of one sign or the other that all pixels of a column share; in the unit of the
        square root of ``variance``.

    Returns
    -------
    weight, share : (spatial, dispersion) float64
        flux = sum(weight * data); share = weight * profile sums to 1, or is 0 in columns
        without a usable pixel. Weights may be negative.

    References
    ----------
    Schlawin et al. (2020), AJ 160, 231.
    """
    used = (cover > 0) & np.isfinite(variance) & (variance > 0)
    lit = np.flatnonzero(used.any(axis=1))
    weight = np.zeros(profile.shape)
    if lit.size == 0:
        return weight, weight * profile
    lines = slice(lit[0], lit[-1] + 1)
    inside, light = used[lines], profile[lines]
    shared = np.where(inside, modes[:, lines], 0.0).astype(np.float64)
    own = np.where(inside, variance[lines], 1.0) + shared[0] ** 2
    over = np.where(inside, light / own, 0.0)
    weighted = shared[1:] / own
    inner = np.einsum("kyx,lyx->xkl", weighted, shared[1:]) + np.eye(len(shared) - 1)
    amount = np.einsum("kyx,yx->xk", weighted, light)
    solved = np.linalg.solve(inner, amount[..., None])[..., 0]
    over -= np.einsum("kyx,xk->yx", weighted, solved)
    norm = (over * light).sum(axis=0)
    weight[lines] = np.divide(over, norm, out=np.zeros_like(over), where=norm > 0)
    return weight, weight * profile


def modes_of(covariance: np.ndarray, n_modes: int) -> np.ndarray:
    """Return modes that make up a covariance of the pixels of a column.

    Parameters
    ----------
    covariance : (spatial, spatial) float
        Symmetric but for rounding; what is not positive is left out.
    n_modes : int
        Modes that are shared; the variance beyond counts as each pixel's own.

    Returns
    -------
    (1 + n_modes, spatial) float64
        As `covariance_weights` takes them, the strongest first, zeros where there are fewer.
    """
    size = len(covariance)
    value, vector = np.linalg.eigh(0.5 * (covariance + covariance.T))
    every = (vector * np.sqrt(np.maximum(value, 0.0)))[:, ::-1].T
    out = np.zeros((1 + n_modes, size))
    kept = min(n_modes, size)
    out[1 : 1 + kept] = every[:kept]
    out[0] = np.sqrt((every[kept:] ** 2).sum(axis=0))
    return out


def modes_variance(weight: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """Return the variance that modes make in the weighted sum of each column, (dispersion,).

    Parameters
    ----------
    weight : (spatial, dispersion) float64
        Weights.
    modes : (mode, spatial, dispersion) float
        As for `covariance_weights`.
    """
    own = (weight**2 * modes[0].astype(np.float64) ** 2).sum(axis=0)
    shared = np.einsum("yx,kyx->kx", weight, modes[1:].astype(np.float64))
    return own + (shared**2).sum(axis=0)
