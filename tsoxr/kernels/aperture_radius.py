"""Which shape and size an aperture has, and the light and error within every radius."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tsoxr.kernels.aperture_annulus import MIN_PIXELS, Annulus, widest
from tsoxr.kernels.aperture_star import Star
from tsoxr.kernels.apertures import CIRCLE, HEXAGON, aperture

__all__ = ["SHAPES", "Request", "area_of", "cover_of", "decided", "growth", "radii_of", "responses"]

SHAPES = {"circle": CIRCLE, "hexagon": HEXAGON}
N_RADII = 60
STEP = 0.05
"""Pixels by which an aperture is moved to see what that does."""


class Request(NamedTuple):
    """What is asked for: positions as indices, ``None`` what is left to the data.

    ``method`` is ``"aperture"``, ``"optimal"`` or ``"auto"``; a ``background`` that is a number is
    a level, DN/s.
    """

    method: str
    shape: str
    radius: float | None
    turn: float
    background: str | float
    annulus: tuple[float, float] | None
    center: tuple[float, float] | None
    line_dim: int


def radii_of(n_rows: int, n_columns: int) -> np.ndarray:
    """Return the radii of the curve of growth, pixels, at most half of the narrower side."""
    last = max(0.5 * min(n_rows, n_columns), 2.0)
    return np.unique(np.round(2.0 * np.geomspace(1.0, last, N_RADII)) / 2.0)


def decided(request: Request, star: Star, good: np.ndarray) -> Request:
    """Return the request with the shape that was left to the data: a frame full of light is one."""
    if request.shape != "auto":
        return request
    full = int((good & (star.distance >= star.extent)).sum()) < MIN_PIXELS
    free = request.radius is None and request.annulus is None
    asked = request.background in ("mean", "median", "constant", "2d")
    return request._replace(shape="frame" if full and free and not asked else "circle")


def cover_of(
    star: Star, image: np.ndarray, gain: np.ndarray, noise: np.ndarray, request: Request
) -> tuple[float, np.ndarray]:
    """Return the radius, and the part of each pixel in the aperture."""
    if request.shape == "frame":
        seen = np.where(noise > 0.0, 1.0, 0.0)
        return float(star.distance[noise > 0.0].max()), seen
    radius = request.radius
    if radius is None:
        limit = star.extent if request.annulus is None else min(star.extent, request.annulus[0])
        radius = (
            limit
            if request.method == "optimal"
            else _least_error(star, image, gain, noise, request, limit)
        )
    shape = SHAPES[request.shape]
    n_rows, n_columns = image.shape
    return radius, aperture(n_rows, n_columns, star.y, star.x, shape, radius, request.turn)


def growth(
    star: Star,
    light: np.ndarray,
    noise: np.ndarray,
    gain: np.ndarray,
    ring: Annulus,
    request: Request,
) -> np.ndarray:
    """Return the light within each radius over that where it ends, and its relative error, (2, radius)."""
    radii = radii_of(*light.shape)
    inside, variance, scale = _sums(star, light, noise, gain, request, radii)
    total = inside[min(int(np.searchsorted(radii, star.extent)), radii.size - 1)]
    error = np.sqrt(variance + scale**2 * ring.variance)
    positive = inside > 0.0
    relative = np.where(positive, error / np.where(positive, inside, 1.0), np.nan)
    return np.stack([inside / total if total > 0.0 else np.full(radii.size, np.nan), relative])


def responses(
    star: Star, light: np.ndarray, radius: float, request: Request
) -> tuple[float, float]:
    """Return by how much the sum changes when the aperture moves by a pixel along y and along x."""
    if request.shape == "frame":
        return 0.0, 0.0
    found = []
    n_rows, n_columns = light.shape
    for step in ((STEP, 0.0), (0.0, STEP)):
        ends = [
            aperture(
                n_rows, n_columns, star.y + sign * step[0], star.x + sign * step[1],
                SHAPES[request.shape], radius, request.turn,
            )
            for sign in (1.0, -1.0)
        ]  # fmt: skip
        found.append(float(((ends[0] - ends[1]) * light).sum() / (2.0 * STEP)))
    return found[0], found[1]


def area_of(request: Request, radius: float, cover: np.ndarray) -> float:
    """Return the area of an aperture, the part beyond the frame included, pixel^2."""
    if request.shape == "frame":
        return max(float(cover.sum()), 1.0)
    return radius**2 * (np.pi if request.shape == "circle" else 1.5 * np.sqrt(3.0))


def _least_error(
    star: Star,
    image: np.ndarray,
    gain: np.ndarray,
    noise: np.ndarray,
    request: Request,
    limit: float,
) -> float:
    radii = radii_of(*image.shape)
    radii = radii[radii <= max(limit, radii[0])]
    light, variance, scale = _sums(star, (image - star.level) * gain, noise, gain, request, radii)
    if request.annulus is None and request.background in ("auto", "mean", "median", "2d"):
        error = np.sqrt(noise) / np.where(gain > 0.0, gain, 1.0)
        variance = variance + scale**2 * widest(star.distance, error, noise > 0.0, star.extent)
    relative = np.where(light > 0.0, np.sqrt(variance) / np.where(light > 0.0, light, 1.0), np.inf)
    return float(radii[relative.argmin()])


def _sums(
    star: Star,
    light: np.ndarray,
    noise: np.ndarray,
    gain: np.ndarray,
    request: Request,
    radii: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return light, variance and gain summed in apertures of several radii."""
    shape = SHAPES.get(request.shape, CIRCLE)
    out = np.empty((3, radii.size))
    reach = int(radii[-1]) + 2
    rows = slice(max(int(star.y) - reach, 0), int(star.y) + reach + 1)
    columns = slice(max(int(star.x) - reach, 0), int(star.x) + reach + 1)
    parts = [np.ascontiguousarray(a[rows, columns]) for a in (light, noise, gain)]
    n_rows, n_columns = parts[0].shape
    for k, radius in enumerate(radii):
        cover = aperture(
            n_rows,
            n_columns,
            star.y - rows.start,
            star.x - columns.start,
            shape,
            radius,
            request.turn,
        )
        out[:, k] = (cover * parts[0]).sum(), (cover**2 * parts[1]).sum(), (cover * parts[2]).sum()
    return out[0], out[1], out[2]
