r"""The share of light in the wings of profiles, as far as a frame tells it.

Far from the trace the light q of one pixel, relative to that in the aperture, is a level, of
background that was not or too much subtracted, and the star's wings,

.. math:: q(r) = b + k\, g(r), \qquad g(r) = r^{-p} \ \text{or}\ e^{-r/h} .

Level b of each block of lines and strength k, a straight line over the blocks that is nowhere
negative, follow by least squares; the shape g is one of a grid for all blocks. The light outside of
the aperture is the sum of q - b inside the frame and the integral of the wings beyond it.

The answer is the mean over all shapes that fit nearly as well as the best and over the places where
the wings may begin. Its error holds the noise and half of the range of these answers, because the
frame alone cannot tell them apart, and a part of the loss itself, as light is not even within
a pixel at the aperture's edge, or within a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["FEWEST", "Stack", "losses"]

POWERS = (2.0, 2.5, 3.0, 4.0, 5.0)
"""Of a line-spread function: 2 for a clear pupil, more for a smooth one; a shallower one passes
for background."""

SCALES = (0.15, 0.25, 0.4, 0.7)
"""Lengths of exponential wings over the largest distance in the frame."""

BEGIN = (0.3, 0.45, 0.6)
"""Distances at which wings may begin, over the largest in the frame."""

NEARLY = 4.0
"""Shapes within this of the least chi-squared, over that per degree of freedom, count as well."""

UNEVEN = 0.02
"""Part of the loss by which it is uncertain as light is not even within pixels and blocks."""

WORST = 1e8
"""Condition of the equations, above which the strength does not change along dispersion."""

FEWEST = 4
"""Distances, with fewer of which no wings are fitted."""


@dataclass(frozen=True)
class Stack:
    """Profiles of blocks: light per pixel over the aperture's, (side, distance, block)."""

    value: np.ndarray
    error: np.ndarray
    distance: np.ndarray
    half_width: float


def losses(stack: Stack) -> tuple[np.ndarray, np.ndarray] | None:
    """Return loss and error of each block, (block,), over all wings that fit; None without any."""
    seen = np.isfinite(stack.value).any(axis=0)
    farthest = np.where(seen, stack.distance[:, None] + 0.5, 0.0).max(axis=0)
    shapes = [("power", p) for p in POWERS] + [("scale", s * farthest.max()) for s in SCALES]
    answers, errors = [], []
    for begin in BEGIN:
        far = stack.distance[:, None] >= np.maximum(begin * farthest, stack.half_width + 1.0)
        tried = [_with_wings(stack, far, shape) for shape in shapes]
        chi2 = np.array([t[2] for t in tried])
        n_free = (np.isfinite(stack.value) & far).sum() - 2 * farthest.size
        least = chi2.min()
        near = chi2 <= least + NEARLY * max(1.0, least / max(n_free, 1))
        answers += [t[0] for t, n in zip(tried, near, strict=True) if n]
        errors += [t[1] for t, n in zip(tried, near, strict=True) if n]
    every, noise = np.array(answers), np.array(errors)
    known = np.isfinite(every)
    if not known.any():
        return None
    n = np.where(known.any(axis=0), known.sum(axis=0), np.nan)
    low, high = (np.where(known, every, s * np.inf) for s in (1, -1))
    half_range = 0.5 * (high.max(axis=0) - low.min(axis=0))
    mean, own = (np.where(known, a, 0.0).sum(axis=0) / n for a in (every, noise))
    return mean, np.sqrt(own**2 + half_range**2 + (UNEVEN * mean) ** 2)


def _with_wings(
    stack: Stack, far: np.ndarray, shape: tuple[str, float]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return loss, its noise (block,) and chi-squared for one shape of the wings."""
    wings = _wings(shape, stack.distance)[:, None]
    use = np.isfinite(stack.value) & np.isfinite(stack.error)
    value, error = np.where(use, stack.value, 0.0), np.where(use, stack.error, 1.0)
    fitted = use & far & ((use & far).any(axis=0).sum(axis=0) >= FEWEST)
    weight = np.where(fitted, error**-2.0, 0.0)
    total = weight.sum(axis=(0, 1))
    over = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    mean, mean_of_wings = (over * value).sum(axis=(0, 1)), (over * wings).sum(axis=(0, 1))
    strength, own = _strength(weight, value - mean, wings - mean_of_wings)
    level = mean - strength * mean_of_wings
    left = weight * (value - level - strength * wings) ** 2

    counts = use + (use & ~use[::-1]) * 1.0  # the other side stands for one that is not seen
    hidden = 2.0 * (wings * ~use.any(axis=0)).sum(axis=0)
    hidden = hidden + 2.0 * _beyond(shape, stack.distance[-1] + 0.5)
    n = counts.sum(axis=(0, 1))
    outside = (counts * value).sum(axis=(0, 1)) - n * level + hidden * strength
    loss = outside / (1.0 - 2.0 * stack.half_width * level + outside)
    noise = ((counts - n * over) ** 2 * np.where(use, error, 0.0) ** 2).sum(axis=(0, 1))
    noise = np.sqrt(noise + (n * mean_of_wings + hidden) ** 2 * own)
    known = total > 0
    return np.where(known, loss, np.nan), np.where(known, noise, np.nan), float(left.sum())


def _strength(
    weight: np.ndarray, value: np.ndarray, wings: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return strength of the wings and its variance, (block,): a straight line over the blocks.

    A constant where the line would be negative somewhere, and 0 where that is negative.
    """
    place = np.linspace(-1.0, 1.0, value.shape[2])
    power, product = (weight * wings**2).sum(axis=(0, 1)), (weight * wings * value).sum(axis=(0, 1))
    basis = np.stack([np.ones_like(place), place])
    matrix, right = (basis * power) @ basis.T, basis @ product
    if np.linalg.cond(matrix) < WORST:
        inverse = np.linalg.inv(matrix)
        line = (inverse @ right) @ basis
        if (line >= 0).all():
            return line, (basis * (inverse @ basis)).sum(axis=0)
    if not power.sum() > 0:
        return np.zeros_like(place), np.zeros_like(place)
    constant = max(product.sum() / power.sum(), 0.0)
    return np.full(place.shape, constant), np.full(place.shape, 1.0 / power.sum())


def _wings(shape: tuple[str, float], distance: np.ndarray) -> np.ndarray:
    kind, number = shape
    return distance**-number if kind == "power" else np.exp(-distance / number)


def _beyond(shape: tuple[str, float], edge: float) -> float:
    """Return the integral of the wings from ``edge`` on."""
    kind, number = shape
    if kind == "power":
        return edge ** (1.0 - number) / (number - 1.0)
    return number * float(np.exp(-edge / number))
