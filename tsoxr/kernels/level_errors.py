r"""Errors of levels that lines along the spectrum share: what they do to spectra.

The error of the level of a line is in all its pixels, at all wavelengths that its output
reads, and neighbouring lines and outputs have errors alike. With the covariance
:math:`C = F F^T` of the levels and the extraction weights w, each column of F makes an error
:math:`E_{\lambda k} = \sum_y w_{y\lambda} F_{y o(\lambda) k}` of the spectrum, independent of
the others: errors of any sum over wavelengths follow from E.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

__all__ = ["N_MODES", "covariance_factor", "level_errors", "relative_to_background"]

N_MODES = 24
"""Errors of a spectrum that are kept; what is beyond counts as independent at each wavelength."""


def covariance_factor(covariance: np.ndarray) -> np.ndarray:
    """Return F with F F^T equal to a covariance, the largest column first.

    Parameters
    ----------
    covariance : (line, line) float
        Symmetric but for rounding; what is not positive is left out.

    Returns
    -------
    (line, mode) float64
        As many modes as lines.
    """
    finite = np.where(np.isfinite(covariance), covariance, 0.0).astype(np.float64)
    value, vector = np.linalg.eigh(0.5 * (finite + finite.T))
    return (vector * np.sqrt(np.maximum(value, 0.0)))[:, ::-1]


def relative_to_background(
    factor: np.ndarray, inside: np.ndarray, edges: np.ndarray, order: int = 0
) -> np.ndarray:
    """Return the factor of levels from which those of background lines were taken.

    Parameters
    ----------
    factor : (spatial, output, mode) float
        Of the levels of the lines.
    inside : (spatial, dispersion) bool
        Pixels of the background.
    edges : (output + 1,) int
        Dispersion index at which each output begins, and the end.
    order : int
        Degree of the polynomial across dispersion that was taken off; 0 is the mean.

    Returns
    -------
    (spatial, output, mode) float64
        Lines weigh as many times as they have pixels of the background in that output.
    """
    out = factor.astype(np.float64)
    for o, (begin, end) in enumerate(pairwise(edges)):
        count = inside[:, begin:end].sum(axis=1, dtype=np.float64)
        if (count > 0).sum() > order:
            terms = np.vander(np.linspace(-1, 1, count.size), order + 1)
            weighted = count[:, None] * terms
            out[:, o] -= terms @ np.linalg.solve(terms.T @ weighted, weighted.T @ out[:, o])
    return out


def level_errors(
    weight: np.ndarray, factor: np.ndarray, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors of extracted spectra that come from the levels of lines.

    Parameters
    ----------
    weight : (spatial, dispersion) float
        Weights of the extraction.
    factor : (spatial, output, mode) float
        Factor of the covariance of the levels.
    edges : (output + 1,) int
        Dispersion index at which each output begins, and the end.

    Returns
    -------
    errors : (dispersion, N_MODES) float64
        Independent errors, each common to all wavelengths with its own factor; the strongest,
        zeros where there are fewer.
    variance : (dispersion,) float64
        Of all modes, also those left out of ``errors``.
    """
    all_modes = np.concatenate(
        [weight[:, begin:end].T @ factor[:, o] for o, (begin, end) in enumerate(pairwise(edges))]
    )
    variance = (all_modes**2).sum(axis=1)
    errors = np.zeros((weight.shape[1], N_MODES))
    _, vector = np.linalg.eigh(all_modes.T @ all_modes)
    strongest = vector[:, ::-1][:, :N_MODES]
    errors[:, : strongest.shape[1]] = all_modes @ strongest
    return errors, variance
