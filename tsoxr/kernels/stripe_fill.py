r"""Levels of lines without dark pixels, from neighbouring lines and from the other outputs.

With the covariance K of the levels, and N of the errors with which the dark ones (s) are
measured, the best linear estimate of the others (m) is :math:`K_{ms} (K_{ss} + N)^{-1} L_s`,
with variance :math:`K_{mm} - K_{ms} (K_{ss} + N)^{-1} K_{sm}`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tsoxr.kernels.stripe_joint import level_covariance

__all__ = ["fill_matrix", "filled_levels"]

WORTH = 0.8
"""A line is estimated from others where that leaves less than this part of its variance."""


def fill_matrix(
    levels: np.ndarray, spread: np.ndarray, count: np.ndarray, per_pixel: np.ndarray
) -> np.ndarray:
    """Return the matrix that keeps dark lines and estimates the others, and what errors stay.

    Parameters
    ----------
    levels, spread : (time, group, slow, output) float
        From `tsoxr.kernels.stripes.line_levels`, a sample of the integrations.
    count : (slow, output) int
        Background pixels of each line.
    per_pixel : (slow, output) float
        Variance of a level over that of a pixel.

    Returns
    -------
    (3, line, line) float32
        The matrix, line = slow * n_output + output; on a diagonal, the variance that a
        rise of an estimated line is left with, 0 for dark lines and infinite for lines that
        stay as they are; and the covariance of what is left in the rises of all lines.

    Notes
    -----
    With the matrix M, what is left is (1 - M) L - M n: its covariance is
    :math:`(1 - M) K (1 - M)^T + M N M^T`.
    """
    dark = np.flatnonzero(count.ravel() > 0)
    lit = np.flatnonzero(count.ravel() == 0)
    out = np.zeros((3, count.size, count.size))
    out[0, dark, dark] = 1.0
    out[1, lit, lit] = np.inf
    if dark.size == 0 or levels.shape[1] < 2:
        return out.astype(np.float32)
    covariance = level_covariance(levels, spread, count)
    scatter = np.median(spread[:, -1].astype(np.float64) ** 2, axis=0)
    error = np.where(count > 0, scatter * np.where(count > 0, per_pixel, 0.0), 0.0).ravel()
    inner = covariance[np.ix_(dark, dark)] + np.diag(np.maximum(error[dark], 1e-12))
    across = covariance[np.ix_(lit, dark)]
    matrix = np.linalg.solve(inner, across.T).T
    prior = covariance[lit, lit]
    left = np.maximum(prior - (matrix * across).sum(axis=1), 0.0)
    worth = left < WORTH * prior
    out[0][np.ix_(lit[worth], dark)] = matrix[worth]
    out[1, lit[worth], lit[worth]] = left[worth]
    rest = np.eye(count.size) - out[0]
    out[2] = rest @ covariance @ rest.T + (out[0] * error) @ out[0].T
    return out.astype(np.float32)


def filled_levels(
    ramp: np.ndarray,
    design: np.ndarray,
    group_time: np.ndarray,
    matrix: np.ndarray,
    *,
    measure: Callable[..., tuple[np.ndarray, np.ndarray]],
    n_terms: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Measure levels, and estimate those of lines without dark pixels.

    Parameters
    ----------
    ramp, design, group_time
        As for `tsoxr.kernels.stripes.line_levels`.
    matrix : (3, line, line) float32
        From `fill_matrix`.
    measure : callable
        Takes the first three arguments and returns levels and spread.
    n_terms : int
        Levels of an output; the first of them is estimated, the others stay 0.

    Returns
    -------
    levels, spread : array
        As ``measure`` returns them.
    """
    levels, spread = measure(ramp, design, group_time)
    if levels.shape[1] > 1:
        first = levels[..., ::n_terms]
        rise = first[:, 1:] - first[:, :1]
        flat = rise.reshape(*rise.shape[:2], -1)
        lit = np.flatnonzero(np.diag(matrix[0]) == 0.0)
        flat[..., lit] = flat @ matrix[0][lit].T
        levels[:, 1:, :, ::n_terms] = first[:, :1] + flat.reshape(rise.shape)
    return levels, spread
