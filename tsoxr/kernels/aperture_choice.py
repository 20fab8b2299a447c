"""Which of many light curves of the same star scatters least, without looking at its transit.

Scatter is that of second differences of successive integrations. A linear trend has none, and
of a transit only the corners at the four contacts are left: a ramp that loses a part q of the
light per integration adds q at each of its ends, so that the mean square of N differences,
scaled to the noise, grows by q^2 / (6 N) for each corner, unless it is cut. What is left acts on
all curves alike, which are relative to the same star.

The scatter of N independent differences is known to 1 / sqrt(2 N), but curves of one exposure
share most of their noise, so that the ratio of two scatters is known better. For normal noise
with correlation r it has the error sqrt((1 - r^2) / N), and equal scatter means that sum and
difference of two curves are not correlated (Pitman 1939, Biometrika 31, 9; Morgan 1939,
Biometrika 31, 13).

Light curves are (time, setting), any number of settings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = [
    "ALIKE",
    "Comparison",
    "choose",
    "compare",
    "correlated_number",
    "differences",
    "scatter",
]

CLIP = 5.0
"""Differences this many robust sigma off in any curve are left out of all of them."""

MAD_TO_SIGMA = 1.4826

ALIKE = 2.0
"""Scatters that differ by fewer standard errors than this cannot be told apart."""

FEWEST = 4.0
"""Independent differences below which no scatter is given."""


class Comparison(NamedTuple):
    """What the curves' scatters are, and how they compare with the least one, (setting,) float64.

    scatter, error : relative scatter and its 1 sigma error.
    excess, excess_error : scatter over the least one less 1, and its error.
    worse : standard errors by which the scatter exceeds the least one (Pitman-Morgan).
    """

    scatter: np.ndarray
    error: np.ndarray
    excess: np.ndarray
    excess_error: np.ndarray
    worse: np.ndarray


def differences(light: np.ndarray, use: np.ndarray, length: int = 1) -> np.ndarray:
    """Return second differences of successive means of integrations, scaled to their noise.

    Parameters
    ----------
    light : (time, setting) float
        Relative light curves.
    use : (time,) bool
        Integrations that count; a difference takes three times ``length`` of them.
    length : int
        Integrations in each mean; the means overlap from one difference to the next.

    Returns
    -------
    (difference, setting) float64
        For white noise of standard deviation s they have s / sqrt(length).

    Examples
    --------
    >>> differences(np.array([[1.0], [2.0], [3.0], [10.0]]), np.ones(4, bool)).round(3)
    array([[0.   ],
           [2.449]])
    """
    n = light.shape[0] - 3 * length + 1
    if n < 1:
        return np.zeros((0, light.shape[1]))
    good = use & np.isfinite(light).all(axis=1)
    held = np.where(good[:, None], light, 1.0) - 1.0
    sums = np.concatenate([np.zeros((1, light.shape[1])), np.cumsum(held, axis=0)])
    means = (sums[length:] - sums[:-length]) / length
    seconds = (means[:n] - 2.0 * means[length : n + length] + means[2 * length :]) / np.sqrt(6.0)
    missing = np.concatenate([[0], np.cumsum(~good)])
    return seconds[missing[3 * length :] == missing[: -3 * length]]


def correlated_number(n: int, length: int = 1) -> float:
    """Return how many independent values have a scatter as well known as that of ``n`` differences.

    Parameters
    ----------
    n : int
        Overlapping second differences of white noise.
    length : int
        As for `differences`.

    Examples
    --------
    >>> round(correlated_number(35), 3)
    18.0
    """
    shape = np.repeat([1.0, -2.0, 1.0], length)
    correlation = np.correlate(shape, shape, mode="full") / (shape**2).sum()
    return n / float((correlation**2).sum())


def scatter(light: np.ndarray, use: np.ndarray, length: int = 1) -> np.ndarray:
    """Return the scatter of each light curve and its error, from second differences.

    Parameters
    ----------
    light, use, length
        As for `differences`.

    Returns
    -------
    (2, setting) float64
        NaN where fewer than `FEWEST` independent differences remain.
    """
    kept = _clipped(differences(light, use, length))
    n = correlated_number(len(kept), length)
    if n < FEWEST:
        return np.full((2, light.shape[1]), np.nan)
    spread = np.sqrt((kept**2).mean(axis=0))
    return np.stack([spread, spread / np.sqrt(2.0 * n)])


def _clipped(seconds: np.ndarray) -> np.ndarray:
    """Return the differences without those that stand out in any curve."""
    if len(seconds) == 0:
        return seconds
    sigma = MAD_TO_SIGMA * np.median(np.abs(seconds), axis=0)
    return seconds[(np.abs(seconds) <= CLIP * sigma).all(axis=1)]


def compare(light: np.ndarray, use: np.ndarray) -> Comparison:
    """Compare the scatter of all light curves with the least one, on the same noise.

    Parameters
    ----------
    light, use
        As for `differences`.

    Returns
    -------
    Comparison
        NaN throughout where fewer than `FEWEST` independent differences remain.
    """
    kept = _clipped(differences(light, use))
    n = correlated_number(len(kept))
    if n < FEWEST:
        return Comparison(*np.full((5, light.shape[1]), np.nan))
    spread = np.sqrt((kept**2).mean(axis=0))
    best = int(spread.argmin())
    both = (kept * kept[:, best : best + 1]).mean(axis=0)
    ratio = spread / spread[best]
    correlation = np.clip(both / (spread * spread[best]), -1.0, 1.0)
    own = np.sqrt((1.0 - correlation**2) / n)
    return Comparison(
        spread, spread / np.sqrt(2.0 * n), ratio - 1.0, ratio * own, _pitman(ratio, correlation, n)
    )


def _pitman(ratio: np.ndarray, correlation: np.ndarray, n: float) -> np.ndarray:
    """Return Student's t of the correlation between sum and difference of two curves."""
    along = ratio**2 - 1.0
    across = np.sqrt(np.maximum((ratio**2 + 1.0) ** 2 - 4.0 * (ratio * correlation) ** 2, 0.0))
    r = np.divide(along, across, out=np.zeros_like(along), where=across > 0)
    r = np.minimum(r, 1.0 - 1e-12)
    return r * np.sqrt((n - 2.0) / (1.0 - r**2))


def choose(worse: np.ndarray, distance: np.ndarray, threshold: float = ALIKE) -> int:
    """Return the setting nearest to the usual one among those that are not worse.

    Parameters
    ----------
    worse : (setting,) float
        From `Comparison`; NaN throughout where nothing is known.
    distance : (setting,) float
        From the usual setting; among equal ones the last is taken.
    threshold : float
        Standard errors.

    Examples
    --------
    >>> choose(np.array([2.5, 0.4, 0.0, 0.8]), np.array([0.0, 1.0, 2.0, 1.0]))
    3
    >>> choose(np.array([1.5, 0.4, 0.0, 0.8]), np.array([0.0, 1.0, 2.0, 1.0]))
    0
    """
    allowed = worse <= threshold if np.isfinite(worse).any() else np.ones(worse.size, bool)
    held = np.where(allowed, distance, np.inf)
    return int(held.size - 1 - held[::-1].argmin())
