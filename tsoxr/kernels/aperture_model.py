"""Which pixels of an image are summed, with which weights, and what light is expected in them.

Everything is found on the median image and its errors. The aperture left to the data is the one
of least predicted error; the light curve itself has no say in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tsoxr.kernels.aperture_annulus import MIN_PIXELS, Annulus, annulus_of, no_annulus, widest
from tsoxr.kernels.aperture_star import Star, filled, star_of
from tsoxr.kernels.apertures import CIRCLE, HEXAGON, aperture
from tsoxr.kernels.templates import image_changes

__all__ = ["LAYERS", "NUMBERS", "Request", "build", "radii_of", "size", "unpack"]

SHAPES = {"circle": CIRCLE, "hexagon": HEXAGON}
NUMBERS = (
    "y", "x", "radius", "inner", "outer", "level", "follows", "light", "lost", "inside", "extent",
    "lines", "whole",
)  # fmt: skip
"""Centre (index), radius, annulus, level (DN/s), whether it is measured anew in each integration,
light of the star (electron/s), share of it in pixels that are never usable, share of the aperture
inside the frame, where the light ends, variance from levels of lines, and whether all pixels are
summed."""
LAYERS = ("weight", "share", "annulus", "median", "profile", "gain")
N_RADII = 60
DEAREST = 1.01
"""Factor of the error at which a sum that does not respond to the width is too dear."""
ROUNDING = 1e-12


class Request(NamedTuple):
    """What is asked for: positions as indices, ``None`` what is left to the data."""

    optimal: bool
    shape: str
    radius: float | None
    turn: float
    background: str
    annulus: tuple[float, float] | None
    center: tuple[float, float] | None
    line_dim: int


def radii_of(n_rows: int, n_columns: int) -> np.ndarray:
    """Return the radii of the curve of growth, pixels, at most half of the narrower side."""
    last = max(0.5 * min(n_rows, n_columns), 2.0)
    return np.unique(np.round(2.0 * np.geomspace(1.0, last, N_RADII)) / 2.0)


def size(n_rows: int, n_columns: int) -> int:
    """Return the length of a packed model."""
    n_radii = radii_of(n_rows, n_columns).size
    return len(NUMBERS) + 2 * n_radii + len(LAYERS) * n_rows * n_columns


def unpack(
    packed: np.ndarray, n_rows: int, n_columns: int
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """Return the numbers by name, the curve of growth (2, radius) and the layers (6, y, x)."""
    n, n_radii = len(NUMBERS), radii_of(n_rows, n_columns).size
    numbers = dict(zip(NUMBERS, packed[:n].tolist(), strict=True))
    growth = packed[n : n + 2 * n_radii].reshape(2, n_radii)
    return numbers, growth, packed[n + 2 * n_radii :].reshape(len(LAYERS), n_rows, n_columns)


def build(
    median: np.ndarray,
    error: np.ndarray,
    gain: np.ndarray,
    line_variance: np.ndarray,
    request: Request,
) -> np.ndarray:
    """Return the packed model of one exposure.

    Parameters
    ----------
    median, error : (y, x) float
        Median image and error of one integration, DN/s; not finite where never usable.
    gain : (y, x) float
        electron/DN.
    line_variance : (line,) float
        Variance of the level that all pixels of a line share, (DN/s)^2; the lines follow each
        other along the axis ``request.line_dim``.
    request : Request
        What is asked for.

    Returns
    -------
    (value,) float64
        See `unpack`. Layers: ``weight`` turns DN into electrons and sums them; ``share`` is the
        light expected in each pixel, 1 over the aperture with the pixels that are never usable;
        ``annulus`` sums to 1; ``profile`` is the light of each pixel over that of the aperture.

    Raises
    ------
    ValueError
        Where no pixel of the image or none of the aperture is usable, the aperture holds no light,
        or the annulus too few pixels.
    """
    good = np.isfinite(median) & (error > 0.0) & np.isfinite(error) & (gain > 0.0)
    if not good.any():
        raise ValueError("no pixel of the frame is ever usable")
    whole = filled(np.where(good, median, np.nan))
    noise = np.where(good, np.where(good, error, 1.0) * gain, 0.0) ** 2
    star = star_of(whole, good, error, request.center)
    request = _decided(request, star, good)
    radius, cover = _cover(star, whole, gain, noise, request)
    if not (cover[good] > 0.0).any():
        raise ValueError(
            f"no usable pixel lies in the aperture at y={star.y:.1f}, x={star.x:.1f} with a "
            f"radius of {radius:.1f} pixels"
        )
    ring = no_annulus(median.shape)
    if request.background != "none" and request.shape != "frame":
        summed = _weights((whole - star.level) * gain, cover, noise, good, star, request)
        own = float((summed**2 * noise).sum()), float((summed * gain).sum())
        inner, free = max(star.extent, radius + 1.0), good & (cover == 0.0)
        ring = annulus_of(
            star.distance, median, error, free, own, inner, request.annulus, request.background
        )
    light = (whole - ring.level) * gain
    enclosed = float((cover * light).sum())
    if not enclosed > 0.0:
        raise ValueError(
            f"the aperture at y={star.y:.1f}, x={star.x:.1f} holds no light above the background"
        )
    profile = light / enclosed
    weight = _weights(light, cover, noise, good, star, request)
    share = weight * profile
    lost = max(1.0 - float(share.sum()) - ROUNDING, 0.0)
    lines = _line_noise(weight * gain, ring.weight, line_variance, request.line_dim)
    inside = cover.sum() / _area(request, radius, cover)
    psf = float(light[(star.distance <= star.extent) & good].sum())
    numbers = [star.y, star.x, radius, ring.inner, ring.outer, ring.level, float(ring.follows)]
    numbers += [psf, lost, inside, star.extent, lines, float(request.shape == "frame")]
    growth = _growth(star, light, noise, gain, ring, request)
    layers = [weight * gain, share, ring.weight, np.where(good, median, 0.0), profile, gain]
    return np.concatenate(
        [np.asarray(part, dtype=np.float64).ravel() for part in (numbers, growth, *layers)]
    )


# ------------------------------------------------------------------ aperture


def _decided(request: Request, star: Star, good: np.ndarray) -> Request:
    """Return the request with the shape that was left to the data: a frame full of light is one."""
    if request.shape != "auto":
        return request
    full = int((good & (star.distance >= star.extent)).sum()) < MIN_PIXELS
    free = request.radius is None and request.annulus is None
    asked = request.background in ("mean", "median", "constant")
    return request._replace(shape="frame" if full and free and not asked else "circle")


def _cover(
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
            limit if request.optimal else _least_error(star, image, gain, noise, request, limit)
        )
    shape = SHAPES[request.shape]
    n_rows, n_columns = image.shape
    return radius, aperture(n_rows, n_columns, star.y, star.x, shape, radius, request.turn)


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
    if request.annulus is None and request.background in ("auto", "mean", "median"):
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


def _growth(
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


def _weights(
    light: np.ndarray,
    cover: np.ndarray,
    noise: np.ndarray,
    good: np.ndarray,
    star: Star,
    request: Request,
) -> np.ndarray:
    """Return what electrons are multiplied by: the aperture, or the weights of least variance.

    Both give the light in the aperture, the one as it is, the other by the image of the star.
    """
    plain = np.where(good, cover, 0.0)
    enclosed = (cover * light).sum()
    if not request.optimal or not enclosed > 0.0:
        return plain
    used: np.ndarray = plain > 0.0
    down, across = image_changes(light, (star.y, star.x))
    changes = [part[used] for part in (down.shift, across.shift, down.width)]
    weight = np.zeros_like(plain)
    weight[used] = enclosed * _least_variance(light[used], noise[used], changes)
    return weight


def _least_variance(light: np.ndarray, noise: np.ndarray, changes: list[np.ndarray]) -> np.ndarray:
    """Return the weights of least variance whose sum of the light is 1 and of its changes 0.

    Weights of the light alone take a shift for light where the image is not symmetric about the
    pixels, and a change of width always. What spares the last change is given up where it
    costs too much, as where the frame does not hold all of the light.
    """
    found = []
    for n in (len(changes), len(changes) - 1):
        parts = np.stack([light, *changes[:n]])
        scale = np.sqrt((parts**2 / noise).sum(axis=1))
        parts /= np.where(scale > 0.0, scale, 1.0)[:, None]
        wanted = np.eye(n + 1)[0]
        solved = np.linalg.lstsq((parts / noise) @ parts.T, wanted, rcond=1e-12)[0]
        found.append((solved @ parts) / noise / scale[0])
    spent, least = (float((weight**2 * noise).sum()) for weight in found)
    return found[0] if spent <= DEAREST**2 * least else found[1]


def _line_noise(
    weight: np.ndarray, ring: np.ndarray, line_variance: np.ndarray, line_dim: int
) -> float:
    """Return the variance that levels of whole lines make, (electron/s)^2."""
    net = (weight - weight.sum() * ring).sum(axis=1 - line_dim)
    return float((net**2 * np.nan_to_num(line_variance)).sum())


def _area(request: Request, radius: float, cover: np.ndarray) -> float:
    if request.shape == "frame":
        return max(float(cover.sum()), 1.0)
    return radius**2 * (np.pi if request.shape == "circle" else 1.5 * np.sqrt(3.0))
