"""Where the star of an image lies, and how far its light reaches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tsoxr.kernels.motion_frame import centre_of

__all__ = ["Star", "filled", "star_of"]

FAINTEST = 0.3
"""The light ends where rings lie this much of a pixel's error above the darkest one."""
FAINT_RINGS = 3
MIN_RING = 8
ROUNDS = 40
CLOSE = 1e-5


class Star(NamedTuple):
    """Where the star lies (y, x), the level beside it, how far its light reaches, and distances."""

    y: float
    x: float
    level: float
    extent: float
    distance: np.ndarray


def filled(image: np.ndarray) -> np.ndarray:
    """Return an image whose NaN are the mean of their finite neighbours, from the rim inwards."""
    out = image.astype(np.float64)
    while not np.isfinite(out).all():
        wide = np.pad(out, 1, constant_values=np.nan)
        around = np.stack([wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]])
        known = np.isfinite(around)
        n = known.sum(axis=0)
        hole = ~np.isfinite(out) & (n > 0)
        out[hole] = np.where(known, around, 0.0).sum(axis=0)[hole] / n[hole]
    return out


def star_of(
    image: np.ndarray, good: np.ndarray, error: np.ndarray, given: tuple[float, float] | None
) -> Star:
    """Return where the star of an image lies and how far its light reaches.

    Parameters
    ----------
    image, error : (y, x) float
        Median image without holes, and errors of one integration.
    good : (y, x) bool
        Pixels that count.
    given : (float, float), optional
        Centre, (y, x), if it is known; the brightest light otherwise.

    Returns
    -------
    Star
    """
    y, x = centre_of(image)[0] if given is None else given
    level, extent, half = _reach(image, good, error, _distance(image.shape, y, x))
    if given is None:
        y, x = _centroid(np.where(good, image - level, 0.0), y, x, half)
        level, extent, _ = _reach(image, good, error, _distance(image.shape, y, x))
    return Star(y, x, level, extent, _distance(image.shape, y, x))


def _distance(shape: tuple[int, ...], y: float, x: float) -> np.ndarray:
    return np.hypot(np.arange(shape[0])[:, None] - y, np.arange(shape[1]) - x)


def _reach(
    image: np.ndarray, good: np.ndarray, error: np.ndarray, distance: np.ndarray
) -> tuple[float, float, float]:
    """Return the level of the darkest ring, where the light ends, and the radius of half of it."""
    ring = np.rint(distance[good]).astype(np.int64)
    order = np.argsort(ring, kind="stable")
    ring, starts = np.unique(ring[order], return_index=True)
    parts = (np.split(v[good][order], starts[1:]) for v in (image, error))
    middle, noise = (np.array([np.median(p) for p in each]) for each in parts)
    n = np.diff(np.append(starts, order.size))
    enough = n >= MIN_RING
    level = float(middle[enough].min() if enough.any() else middle.min())
    faint = (middle - level < FAINTEST * noise) & enough & (ring >= 3)
    quiet = np.convolve(faint, np.ones(FAINT_RINGS), "full")[FAINT_RINGS - 1 :] == FAINT_RINGS
    ends = float(ring[quiet][0]) if quiet.any() else float(ring[-1]) + 1.0
    inside = ring <= ends
    gathered = np.cumsum(
        np.where(inside, 2.0 * np.pi * np.maximum(ring, 0.25) * (middle - level), 0.0)
    )
    half = float(ring[np.searchsorted(gathered, 0.5 * gathered[-1])]) if gathered[-1] > 0.0 else 1.0
    return level, ends, half


def _centroid(light: np.ndarray, y: float, x: float, half: float) -> tuple[float, float]:
    """Return the centre of the light under a Gaussian about itself, half of which lies within ``half``."""
    rows, columns = np.arange(light.shape[0]), np.arange(light.shape[1])
    width = max(half, 1.0) / 1.17741
    for _ in range(ROUNDS):
        window = np.exp(-0.5 * ((rows - y) / width) ** 2)[:, None] * np.exp(
            -0.5 * ((columns - x) / width) ** 2
        )
        seen = window * light
        total = seen.sum()
        if not total > 0.0:
            break
        new_y, new_x = (
            float(seen.sum(axis=1) @ rows / total),
            float(seen.sum(axis=0) @ columns / total),
        )
        moved = abs(new_y - y) + abs(new_x - x)
        y, x = new_y, new_x
        if moved < CLOSE:
            break
    return y, x
