"""Where a series jumps: a likelihood ratio for a step against smooth wandering.

A covariate wanders: over tens of integrations its differences grow like those of a random
walk. Its model is white noise of variance s^2 plus a random walk of variance q per
integration, both measured by likelihood from itself, on an unknown level. At each place the
likelihood ratio for a step is ``z^2 = (g c)^2 / (g C g)`` with g the generalised least-squares
weights in a window; without a step z is normal with variance 1. The z^2 of several covariates
add up to chi-squared, because a tilt of a mirror shows in all of them.
"""

from __future__ import annotations

import functools

import numba
import numpy as np

__all__ = ["find_steps", "noise_of"]

REACH = 24
"""Integrations on either side that a place is judged by."""
LEAST = 4
"""The same at the ends of the series, at least."""
MAX_STEPS = 20
RATIOS = np.concatenate([[0.0], np.geomspace(1e-4, 10.0, 26)])
"""Variance of a step of the walk over that of white noise: the values tried."""
NEAR = 3
"""Places around the largest ratio that compete once the noise is measured without the step."""
SPIKE = 5.0
"""Single integrations farther off their neighbours, in sigma, are no steps and are taken out."""


def noise_of(series: np.ndarray, error: float) -> tuple[float, float]:
    """Return the variances of white noise and of one step of the random walk.

    Parameters
    ----------
    series : (time,) float64
        Values, finite.
    error : float
        Predicted white noise, 1 sigma; half its variance is the least that is believed.

    Returns
    -------
    white, walk : float
        Likelihood of a random walk under white noise (a Kalman filter, on a grid of their
        ratio): the largest ratio within 1 sigma of the best.
    """
    best = [_likelihood(series, ratio) for ratio in RATIOS]
    likelihood = np.array([each[0] for each in best])
    # one sigma above the best: a walk that is missed makes false steps
    k = int(np.flatnonzero(likelihood >= likelihood.max() - 0.5)[-1])
    white = max(best[k][1], 0.5 * error**2)
    return white, RATIOS[k] * best[k][1]


@numba.njit(cache=True, nogil=True)
def _likelihood(series: np.ndarray, ratio: float) -> tuple[float, float]:
    """Return the log likelihood and the white variance of a walk with ``ratio`` times that."""
    level, variance = series[0], 1.0  # of the level, in units of the white variance
    total, logs = 0.0, 0.0
    for value in series[1:]:
        predicted = variance + ratio
        spread = predicted + 1.0
        off = value - level
        total += off * off / spread
        logs += np.log(spread)
        gain = predicted / spread
        level += gain * off
        variance = predicted * (1.0 - gain)
    n = series.size - 1
    white = total / n
    return -0.5 * (n * np.log(max(white, 1e-300)) + logs), white


@functools.lru_cache(maxsize=512)
def _weights(left: int, right: int, ratio: float) -> tuple[np.ndarray, float]:
    """Return the weights of a step after ``left`` of ``left + right`` places, and its variance.

    For white noise of variance 1 and a walk of variance ``ratio`` per place.
    """
    n = left + right
    place = np.arange(n)
    covariance = np.eye(n) + ratio * np.minimum.outer(place, place)
    step = (place >= left).astype(float)
    design = np.stack([step, np.ones(n)], axis=1)
    solved = np.linalg.solve(covariance, design)
    inverse = np.linalg.inv(design.T @ solved)
    return inverse[0] @ solved.T, float(inverse[0, 0])


def _steps(series: np.ndarray, white: float, walk: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the height of a step at each place and its z, (time,); 0 near the ends."""
    n = series.size
    height, z = np.zeros(n), np.zeros(n)
    ratio = round(walk / white, 6)
    inner = np.arange(REACH, n - REACH + 1)
    if inner.size:
        weights, variance = _weights(REACH, REACH, ratio)
        windows = np.lib.stride_tricks.sliding_window_view(series, 2 * REACH)
        height[inner[inner < n]] = (windows @ weights)[: (inner < n).sum()]
        z[inner[inner < n]] = height[inner[inner < n]] / np.sqrt(variance * white)
    for k in [
        *range(LEAST, min(REACH, n)),
        *range(max(n - REACH + 1, REACH), n - LEAST + 1),
    ]:  # two ends
        left, right = min(k, REACH), min(n - k, REACH)
        if right < LEAST:
            continue
        weights, variance = _weights(left, right, ratio)
        height[k] = weights @ series[k - left : k + right]
        z[k] = height[k] / np.sqrt(variance * white)
    return height, z


def _without_spikes(series: np.ndarray, sigma: float) -> np.ndarray:
    around = np.stack([np.roll(series, k) for k in (-2, -1, 1, 2)])
    middle = np.median(around, axis=0)
    spike = np.abs(series - middle) > SPIKE * sigma * 1.25
    spike[:2] = spike[-2:] = False
    return np.where(spike, middle, series)


def find_steps(
    series: np.ndarray, error: np.ndarray, false_alarm: float = 0.01
) -> tuple[np.ndarray, np.ndarray]:
    """Find the integrations at which covariates jump.

    Parameters
    ----------
    series : (covariate, time) float64
        Values; those that are not finite are interpolated.
    error : (covariate,) float64
        Predicted error of each.
    false_alarm : float
        Probability that a series of this length without steps shows one.

    Returns
    -------
    significance : (time,) float64
        Likelihood ratio ``sum z^2`` for a step that begins at this integration, over its
        threshold; places near a step that was found are judged with that step taken out.
    found : (time,) int8
        1 for the first integration of each new level.
    """
    from scipy.stats import chi2

    n = series.shape[1]
    significance, found = np.zeros(n), np.zeros(n, np.int8)
    rows = [(s, e) for s, e in zip(series, error, strict=True) if np.isfinite(s).sum() > n // 2]
    if n < 4 * LEAST or not rows:
        return significance, found
    clean, errors = [], []
    for raw, predicted in rows:  # a few covariates
        good = np.isfinite(raw)
        values = np.interp(np.arange(n), np.flatnonzero(good), raw[good])
        sigma = float(np.nan_to_num(predicted))
        white, walk = noise_of(values, sigma)
        if white > 0.0:
            clean.append(_without_spikes(values, np.sqrt(white + walk)))
            errors.append(sigma)
    if not clean:
        return significance, found
    threshold = chi2.isf(min(false_alarm / n, 1.0), len(clean))
    for _ in range(MAX_STEPS):
        heights, ratio = _ratios(clean, clean, errors)
        ratio /= threshold
        significance = np.where(found > 0, significance, ratio)
        place = int(np.argmax(np.where(found > 0, 0.0, ratio)))
        # a step makes the noise look like a walk: judge it by the noise without it
        without = [_removed(c, h, place) for c, h in zip(clean, heights, strict=True)]
        heights, ratio = _ratios(clean, without, errors)
        first = max(place - NEAR, 0)
        place = first + int(np.argmax(np.where(found > 0, 0.0, ratio)[first : place + NEAR + 1]))
        if not ratio[place] > threshold or found[place]:
            break
        found[place] = 1
        significance[place] = ratio[place] / threshold
        clean = [_removed(c, h, place) for c, h in zip(clean, heights, strict=True)]
    return significance, found


def _ratios(
    series: list[np.ndarray], quiet: list[np.ndarray], errors: list[float]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the heights of steps in each series and the sum of z^2, noise from ``quiet``."""
    tested = [_steps(s, *noise_of(q, e)) for s, q, e in zip(series, quiet, errors, strict=True)]
    return [height for height, _ in tested], np.square([z for _, z in tested]).sum(axis=0)


def _removed(series: np.ndarray, height: np.ndarray, place: int) -> np.ndarray:
    return series - height[place] * (np.arange(series.size) >= place)
