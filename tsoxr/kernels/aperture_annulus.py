"""The ring of pixels beside a star that shows its background."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["MIN_PIXELS", "Annulus", "annulus_of", "is_sky", "no_annulus", "widest"]

MIN_PIXELS = 50
"""Fewer pixels are no background."""
CLIP = 5.0
"""Pixels of the median image farther from the median of the ring, in robust sigma, are no sky."""
SMALL = 0.02
"""Share of the aperture's variance that the level may add: the ring is as wide as that needs."""
LEAST_WIDTH = 3.0


class Annulus(NamedTuple):
    """Limits, weights (y, x) that sum to 1, level of the median image, and its use.

    ``variance`` is that of the level of one integration, 0 where it is ``follows`` False.
    """

    inner: float
    outer: float
    weight: np.ndarray
    level: float
    variance: float
    follows: bool


def no_annulus(shape: tuple[int, ...]) -> Annulus:
    """Return the annulus of images whose background has been subtracted: none, level 0."""
    return Annulus(np.nan, np.nan, np.zeros(shape), 0.0, 0.0, False)


def annulus_of(
    distance: np.ndarray,
    median: np.ndarray,
    error: np.ndarray,
    free: np.ndarray,
    aperture_noise: tuple[float, float],
    inner: float,
    given: tuple[float, float] | None,
    background: str,
) -> Annulus:
    """Return the ring about a star.

    Parameters
    ----------
    distance : (y, x) float64
        From the star, pixels.
    median, error : (y, x) float
        Median image and error of one integration.
    free : (y, x) bool
        Usable pixels beyond the aperture.
    aperture_noise : (float, float)
        Variance of the aperture, and the sum of its weights.
    inner : float
        Where the ring begins if it is not given, pixels.
    given : (float, float), optional
        Inner and outer radius.
    background : {"auto", "mean", "median", "constant"}
        ``"auto"`` is the mean, or nothing where there is no ring.

    Returns
    -------
    Annulus
        An empty one with the level 0 where there are too few pixels and none were asked for.

    Raises
    ------
    ValueError
        For a ring that was given, or a level that was asked for, with too few usable pixels.
    """
    variance, total = aperture_noise
    first, last = (inner, np.inf) if given is None else given
    inside = free & (distance >= first) & (distance <= last)
    inside &= is_sky(median, inside)
    if inside.sum() < MIN_PIXELS:
        if given is None and background == "auto":
            return no_annulus(distance.shape)
        until = "the edge of the frame" if given is None else f"{last:.1f} pixels"
        raise ValueError(
            f"the annulus from {first:.1f} to {until} has {int(inside.sum())} usable pixels, "
            f"{MIN_PIXELS} are needed"
        )
    if given is None:
        last = _outer(distance, error, inside, SMALL * variance / total**2, first)
        inside &= distance <= last
    weight = np.where(inside, 1.0 / np.where(inside, error, 1.0).astype(np.float64) ** 2, 0.0)
    if background == "median":
        weight = inside.astype(np.float64)
    weight /= weight.sum()
    level = float((weight * np.where(inside, median, 0.0)).sum())
    own = float((weight**2 * np.where(inside, error, 0.0).astype(np.float64) ** 2).sum())
    own *= 0.5 * np.pi if background == "median" else 1.0
    follows = background != "constant"
    return Annulus(first, float(last), weight, level, own if follows else 0.0, follows)


def widest(distance: np.ndarray, error: np.ndarray, free: np.ndarray, inner: float) -> float:
    """Return the variance of the mean of all usable pixels beyond a radius; 0 with too few."""
    inside = free & (distance >= inner)
    if inside.sum() < MIN_PIXELS:
        return 0.0
    return float(1.0 / (1.0 / error[inside].astype(np.float64) ** 2).sum())


def is_sky(median: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Return which pixels of a region lie about the median of it, (y, x) bool."""
    if not inside.any():
        return inside
    values = median[inside]
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle))
    return inside & (np.abs(np.where(inside, median, middle) - middle) <= CLIP * spread)


def _outer(
    distance: np.ndarray, error: np.ndarray, inside: np.ndarray, wanted: float, first: float
) -> float:
    """Return where a ring ends whose mean has the variance that is wanted, or the last pixel."""
    order = np.argsort(distance[inside], kind="stable")
    far = distance[inside][order]
    gathered = np.cumsum(1.0 / error[inside][order].astype(np.float64) ** 2)
    enough = max(int(np.searchsorted(gathered, 1.0 / wanted)), MIN_PIXELS)
    last = far[min(enough, far.size - 1)]
    return float(min(max(last, first + LEAST_WIDTH), max(far[-1], first)))
