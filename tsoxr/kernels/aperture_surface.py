"""The sky about a star as a smooth surface."""

from __future__ import annotations

import numpy as np

__all__ = ["sky_surface"]

DEGREE = 2
CLIP = 3.5
"""Pixels farther from the surface than this, in robust sigma, are stars or bad."""
ROUNDS = 5


def sky_surface(image: np.ndarray, error: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Return a surface of second degree through the pixels that show sky, (y, x) float64.

    Parameters
    ----------
    image, error : (y, x) float
        Median image, and errors.
    sky : (y, x) bool
        Pixels without light of the star, with an image and an error.

    Notes
    -----
    Weighted least squares; outliers are left out in rounds. A surface carries the level of
    all sides under the star, where no pixel shows it, which medians of boxes have to guess.

    Examples
    --------
    >>> rows, columns = np.mgrid[:40, :40]
    >>> slope = 3.0 + 0.1 * rows - 0.05 * columns
    >>> beyond = np.hypot(rows - 20, columns - 20) > 10
    >>> bool(np.allclose(sky_surface(slope, np.ones((40, 40)), beyond), slope))
    True
    """
    rows, columns = (np.linspace(-1.0, 1.0, n) for n in image.shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    terms = np.stack([y**i * x**j for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)])
    weight = np.where(sky, 1.0 / np.where(sky, error, 1.0), 0.0).astype(np.float64)
    seen = np.where(sky, image, 0.0).astype(np.float64)
    kept = sky
    surface = np.zeros(image.shape)
    for _ in range(ROUNDS):
        w = weight[kept]
        found = np.linalg.lstsq((terms[:, kept] * w).T, seen[kept] * w, rcond=None)[0]
        surface = np.tensordot(found, terms, axes=1)
        off = (seen - surface) * weight
        spread = 1.4826 * np.median(np.abs(off[sky]))
        fresh = sky & (np.abs(off) <= CLIP * spread) if spread > 0.0 else kept
        if (fresh == kept).all() or fresh.sum() < 2 * len(terms):
            break
        kept = fresh
    return surface
