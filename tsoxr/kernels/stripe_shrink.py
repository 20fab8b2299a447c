"""How much of a measured level to subtract, where it is hardly more than its own noise.

A level L is known as L + n. Subtracting the part s leaves the variance
:math:`(1 - s)^2 K + s^2 N`, least for :math:`s = K / (K + N)`, when it is s N: less than N, and
never more than K, what was there before. What many lines have in common is subtracted as a
whole, because the rest of it would add up in a sum over lines: only what is left of a level
after the mean over neighbouring lines is taken off is shrunk.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter1d

from tsoxr.kernels.stripe_statistics import TO_SIGMA

__all__ = ["fine_variance", "shrink", "shrinkage"]

WINDOW = 17
"""Lines that are averaged: the noise of their mean has a quarter of a line's amplitude."""

STEPS = 4
"""Differences of neighbouring groups that are looked at: enough to tell a variance to 2 %."""


def _smooth(levels: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the mean over neighbouring lines that are measured; levels (..., slow)."""
    mark = seen.astype(np.float64)
    total = uniform_filter1d(np.where(seen, levels, 0.0), WINDOW, axis=-1, mode="constant")
    count = uniform_filter1d(mark, WINDOW, mode="constant")
    return np.where(seen, total / np.where(count > 0, count, 1.0), 0.0)


def fine_variance(levels: np.ndarray, seen: np.ndarray) -> float:
    """Return the variance of what levels have for themselves, noise included, for one group.

    Parameters
    ----------
    levels : (time, group, slow) float
        Of a sample of the integrations.
    seen : (slow,) bool
        Lines that are measured.

    Returns
    -------
    float
        Robust, from differences of neighbouring groups; DN2.
    """
    if not seen.any():
        return 0.0
    several = levels.shape[1] > 1
    if several:
        first = np.unique(np.linspace(0, levels.shape[1] - 2, STEPS).astype(int))
        levels = levels[:, first + 1] - levels[:, first]
    steps = (levels - _smooth(levels, seen))[..., seen]
    steps = np.abs(steps - np.median(steps, axis=0))
    return float(TO_SIGMA**2 * np.median(steps) ** 2 / (2.0 if several else 1.0))


def shrinkage(variance: float, noise: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the part of what each level has for itself that is best subtracted.

    Parameters
    ----------
    variance : float
        From `fine_variance`.
    noise : (slow,) float
        Variance N with which each level is measured, for one group.
    seen : (slow,) bool
        Lines that are measured.

    Returns
    -------
    (slow,) float64
        0 where levels vary by no more than their noise; NaN for lines that are not measured.
    """
    if not seen.any():
        return np.full(noise.shape, np.nan)
    stripe = max(variance / (1.0 - 1.0 / WINDOW) - float(np.median(noise[seen])), 0.0)
    return np.where(seen, stripe / np.maximum(stripe + noise, 1e-30), np.nan)


def shrink(levels: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return what to subtract.

    Parameters
    ----------
    levels : (..., slow) float
        Measured levels.
    part : (slow,) float
        From `shrinkage`.

    Returns
    -------
    (..., slow) float64
        0 for lines that are not measured.
    """
    seen = np.isfinite(part)
    common = _smooth(levels, seen)
    return np.where(seen, common + np.where(seen, part, 0.0) * (levels - common), 0.0)
