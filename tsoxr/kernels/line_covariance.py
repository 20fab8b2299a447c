r"""Correlated noise along read-out lines that cross the spectrum, measured from the data.

After the level of a line is taken off, the 1/f noise within it stays: pixels close to each other
still have noise alike. It is measured where there is little light, in differences of successive
integrations, from which star and transit drop out, as half the mean square of the difference of
two pixels by their distance d (the variogram) less the noise that each has for itself:
:math:`\gamma(d) = R(0) - R(d)`. Levels of lines cancel in it, whether they were subtracted or not.
A sum :math:`\sum_k a_k (1 - e^{-d/m_k})` with positive amplitudes describes it, as it does 1/f noise.

After the mean over pixels with the weights q was taken off each line, the noise has the covariance

.. math:: K_{ij} = -\gamma_{ij} + (\gamma q)_i + (\gamma q)_j - q^T \gamma q .
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

__all__ = ["covariance_about_mean", "dark_pixels", "fitted", "level_excess", "variogram"]

MEMORIES = (0.7, 2.0, 6.0, 20.0, 60.0, 200.0)
"""Lengths of the exponentials, pixels; 1/f noise holds all of them alike."""

LAGS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128, 160)
"""Distances that are looked at, pixels."""

DARK = 1.5
"""Pixels with less than this times the variance of the darkest fifth show the detector's noise."""

SURE = 3.0
"""A correlation below this many standard errors counts as none."""

CLIP = 5.0
"""Differences beyond this many standard deviations are hits."""

BEST = 0.02
"""Relative accuracy of a point of the variogram that is believed, at most."""


def dark_pixels(variance: np.ndarray) -> np.ndarray:
    """Return True where the noise is that of a pixel without light, from variances of any shape."""
    known = variance[np.isfinite(variance) & (variance > 0)]
    if known.size == 0:
        return np.zeros(variance.shape, dtype=bool)
    return (variance > 0) & (variance < DARK * np.percentile(known, 20))


def _differences(
    data: np.ndarray, error: np.ndarray, bad: np.ndarray, dark: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return differences of successive integrations, their own variance, and where they count."""
    use = ~(bad[1:] | bad[:-1]) & dark
    own = np.where(use, error[1:].astype(np.float64) ** 2 + error[:-1] ** 2, 0.0)
    value = np.where(use, data[1:].astype(np.float64) - data[:-1], 0.0)
    count = np.maximum(use.sum(axis=1, keepdims=True), 1)
    level = value.sum(axis=1, keepdims=True) / count
    use &= np.abs(value - level) < CLIP * np.sqrt(own)
    return np.where(use, value, 0.0), np.where(use, own, 0.0), use


def variogram(
    data: np.ndarray, error: np.ndarray, bad: np.ndarray, dark: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measure by how much two pixels of a line differ beyond their own noise.

    Parameters
    ----------
    data, error : (time, spatial, dispersion) float
        A sample of the integrations; finite where not ``bad``.
    bad : (time, spatial, dispersion) bool
        Samples to leave out.
    dark : (spatial, dispersion) bool
        Pixels to look at, see `dark_pixels`.

    Returns
    -------
    lag, gamma, gamma_error : (lag,) float64
        Distance, pixels; the variogram of one integration, and its standard error from the
        scatter in time. Empty where nothing can be measured.
    """
    value, own, use = _differences(data, error, bad, dark)
    lags = [n for n in LAGS if n < data.shape[1] - 2]
    found = []
    for lag in lags:
        pairs = use[:, lag:] & use[:, :-lag]
        count = pairs.sum(axis=(1, 2))
        square = (value[:, lag:] - value[:, :-lag]) ** 2 - own[:, lag:] - own[:, :-lag]
        total = np.where(pairs, square, 0.0).sum(axis=(1, 2))
        some = count > 100
        each = total[some] / (4.0 * count[some])  # half a difference, of two integrations
        if each.size >= 4:
            found.append((lag, each.mean(), each.std(ddof=1) / np.sqrt(each.size)))
    return tuple(np.array(found, dtype=np.float64).reshape(-1, 3).T)  # type: ignore[return-value]


def fitted(
    lag: np.ndarray, gamma: np.ndarray, gamma_error: np.ndarray, size: int
) -> tuple[np.ndarray, float]:
    """Describe a variogram by exponentials.

    Parameters
    ----------
    lag, gamma, gamma_error : (lag,) float64
        From `variogram`.
    size : int
        Distances that are asked for.

    Returns
    -------
    gamma : (size,) float64
        At distances 0, 1, ...; 0 where no correlation is significant.
    white : float
        Noise that pixels have for themselves beyond their errors, a variance.
    """
    none = np.zeros(size), 0.0
    if lag.size < 2:
        return none
    grown = gamma.mean() - gamma[0]
    shapes = 1.0 - np.exp(-lag[:, None] / np.array(MEMORIES))
    offset = np.ones((lag.size, 1))
    weight = 1.0 / np.maximum(gamma_error, BEST * np.abs(gamma).max() + 1e-30)
    both = np.concatenate([shapes, offset, -offset], axis=1) * weight[:, None]
    amount = nnls(both, gamma * weight)[0]
    near = gamma_error[0] + gamma_error.mean()
    part = amount[: len(MEMORIES)]
    if not grown > SURE * near:
        part = np.zeros_like(part)
    white = amount[-2] if amount[-2] > SURE * gamma_error[0] else 0.0
    distance = np.arange(size, dtype=np.float64)
    return (1.0 - np.exp(-distance[:, None] / np.array(MEMORIES))) @ part, float(white)


def covariance_about_mean(gamma: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the covariance of the pixels of a line from which a mean was taken.

    Parameters
    ----------
    gamma : (spatial,) float64
        From `fitted`.
    mean : (spatial,) float64
        Weights of the mean, which sum to 1.

    Returns
    -------
    (spatial, spatial) float64
    """
    distance = np.abs(np.arange(mean.size)[:, None] - np.arange(mean.size))
    image = gamma[distance]
    row = image @ mean
    return -image + row[:, None] + row - mean @ row


def level_excess(
    data: np.ndarray, error: np.ndarray, bad: np.ndarray, dark: np.ndarray
) -> np.ndarray:
    """Return the variance of the level that the dark pixels of a line share, and its error.

    Parameters
    ----------
    data, error, bad, dark
        As for `variogram`.

    Returns
    -------
    (2,) float64
        Variance beyond what the pixels' own noise makes of the mean, of one integration,
        averaged over lines; negative where levels were subtracted, whose noise is then missing.
    """
    value, own, use = _differences(data, error, bad, dark)
    count = use.sum(axis=1)
    enough = count >= 4
    n = np.maximum(count, 1)
    excess = np.where(enough, ((value.sum(axis=1) / n) ** 2 - own.sum(axis=1) / n**2) / 2.0, 0.0)
    some = enough.sum(axis=1) > 0
    each = excess[some].sum(axis=1) / enough[some].sum(axis=1)
    if each.size < 4:
        return np.zeros(2)
    return np.array([each.mean(), each.std(ddof=1) / np.sqrt(each.size)])
