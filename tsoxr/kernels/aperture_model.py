"""Which pixels of an image are summed, with which weights, and what light is expected in them.

Everything is found on the median image and its errors. The aperture left to the data is the one
of least predicted error; the light curve itself has no say in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tsoxr.kernels.aperture_annulus import Annulus, annulus_of, is_sky, no_annulus
from tsoxr.kernels.aperture_radius import (
    SHAPES,
    Request,
    area_of,
    cover_of,
    decided,
    radii_of,
    responses,
)
from tsoxr.kernels.aperture_radius import growth as growth_of
from tsoxr.kernels.aperture_star import Star, filled, star_of
from tsoxr.kernels.aperture_surface import sky_surface
from tsoxr.kernels.aperture_weights import (
    NO_LINES,
    Lines,
    dark_pixels,
    line_variance,
    optimal_weights,
    shows_sky,
    weights_with_lines,
)

__all__ = ["LAYERS", "NUMBERS", "SHAPES", "Request", "build", "radii_of", "size", "unpack"]

NUMBERS = (
    "y", "x", "radius", "inner", "outer", "level", "follows", "light", "lost", "inside", "extent",
    "lines", "whole", "optimal", "error", "line_level", "line_drift",
    "along_y", "along_x",
)  # fmt: skip
"""Centre (index), radius, annulus, level (DN/s), whether it is measured anew in each integration,
light of the star (electron/s), share of it in pixels that are never usable, share of the aperture
inside the frame, where the light ends, variance from the drifts of lines, whether all pixels are
summed, whether with weights of least variance, the error that is predicted, relative, and the
variances of level and drift of one line, (DN/s)^2, and change of the sum for an aperture that
moves by a pixel along y and x, electron/s."""
LAYERS = ("weight", "share", "annulus", "median", "profile", "gain", "blind", "surface")
ENOUGH = 1.01
"""Factor by which weights of least variance must be better where the method is left open."""
ROUNDING = 1e-12


def size(n_rows: int, n_columns: int) -> int:
    """Return the length of a packed model."""
    n_radii = radii_of(n_rows, n_columns).size
    return len(NUMBERS) + 2 * n_radii + len(LAYERS) * n_rows * n_columns


def unpack(
    packed: np.ndarray, n_rows: int, n_columns: int
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """Return the numbers by name, the curve of growth (2, radius) and the layers (8, y, x)."""
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
    lines: Lines = NO_LINES,
) -> np.ndarray:
    """Return the packed model of one exposure.

    A method that is left open is the aperture, or weights of least variance where nothing about
    the aperture was asked for, if they are better by 1 %.

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
    lines : Lines
        Noise that pixels of a line share.

    Returns
    -------
    (value,) float64
        See `unpack`. Layers: ``weight`` turns DN into electrons and sums them; ``share`` is the
        light expected in each pixel, 1 over the aperture with the pixels that are never usable;
        ``annulus`` sums to 1; ``profile`` is the light of each pixel over that of the aperture;
        ``blind`` is 1 for reference pixels that are summed; ``surface`` is the sky, DN/s.

    Raises
    ------
    ValueError
        Where no pixel of the image or none of the aperture is usable, the aperture holds no light,
        or the annulus too few pixels.
    """
    given = (median, error, gain, line_variance)
    if request.method != "auto":
        return _built(*given, request, lines)
    plain = _built(*given, request._replace(method="aperture"), lines)
    asked = request.radius is not None or request.shape != "auto" or request.annulus is not None
    if asked:
        return plain
    best = _built(*given, request._replace(method="optimal"), lines)
    at = NUMBERS.index("error")
    return best if best[at] * ENOUGH < plain[at] else plain


def _built(
    median: np.ndarray,
    error: np.ndarray,
    gain: np.ndarray,
    line_variance: np.ndarray,
    request: Request,
    lines: Lines,
) -> np.ndarray:
    """Return the packed model for a method that is not left open."""
    good = np.isfinite(median) & (error > 0.0) & np.isfinite(error) & (gain > 0.0)
    if not good.any():
        raise ValueError("no pixel of the frame is ever usable")
    whole = filled(np.where(good, median, np.nan))
    base = np.zeros(whole.shape)
    if request.background == "2d":  # what slopes under the star would pull its centre
        base = sky_surface(whole, error, good)
        whole = whole - base
    noise = np.where(good, np.where(good, error, 1.0) * gain, 0.0) ** 2
    star = star_of(whole, good, error, request.center)
    request = decided(request, star, good)
    radius, cover = cover_of(star, whole, gain, noise, request)
    if not (cover[good] > 0.0).any():
        raise ValueError(
            f"no usable pixel lies in the aperture at y={star.y:.1f}, x={star.x:.1f} with a "
            f"radius of {radius:.1f} pixels"
        )
    scene = _Scene(gain, noise, good, cover, star, line_variance, lines)
    ring = no_annulus(median.shape)
    if isinstance(request.background, float):
        ring = ring._replace(level=request.background)
    elif request.background != "none" and request.shape != "frame":
        summed = _weights((whole - star.level) * gain, scene, request, ring)
        own = float((summed**2 * noise).sum()), float((summed * gain).sum())
        inner, free = max(star.extent, radius + 1.0), good & (cover == 0.0)
        ring = annulus_of(
            star.distance, whole, error, free, own, inner, request.annulus, request.background
        )
    sky = np.full(median.shape, ring.level)
    if request.background == "2d":
        last = np.inf if request.annulus is None else ring.outer
        far = (star.distance >= ring.inner) & (star.distance <= last)
        sky = sky_surface(whole, error, is_sky(whole, good & (cover == 0.0) & far))
        ring = ring._replace(level=float((base + sky).flat[star.distance.argmin()]))
    light = (whole - sky) * gain
    enclosed = float((cover * light).sum())
    if not enclosed > 0.0:
        raise ValueError(
            f"the aperture at y={star.y:.1f}, x={star.x:.1f} holds no light above the background"
        )
    weight = _weights(light, scene, request, ring, image=whole)
    layers = [*_layers(weight, light / enclosed, scene), ring.weight, np.where(good, median, 0.0)]
    layers += [light / enclosed, gain, _blind(weight, good), base + sky]
    numbers = _numbers(weight, light, scene, request, ring, radius, enclosed)
    growth = growth_of(star, light, noise, gain, ring, request)
    return np.concatenate(
        [np.asarray(part, dtype=np.float64).ravel() for part in (numbers, growth, *layers)]
    )


class _Scene(NamedTuple):
    """What an aperture is laid on: see `build`; ``noise`` is the variance, (electron/s)^2."""

    gain: np.ndarray
    noise: np.ndarray
    good: np.ndarray
    cover: np.ndarray
    star: Star
    known: np.ndarray
    lines: Lines


def _blind(weight: np.ndarray, good: np.ndarray) -> np.ndarray:
    return (weight != 0.0) & ~good


def _layers(
    weight: np.ndarray, profile: np.ndarray, scene: _Scene
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights of DN, and the light that is expected in each pixel of the aperture."""
    inside = scene.good & (scene.cover > 0.0)
    gain = np.where(weight != 0.0, scene.gain, 0.0)
    return weight * gain, np.where(inside, weight * profile, 0.0)


def _numbers(
    weight: np.ndarray,
    light: np.ndarray,
    scene: _Scene,
    request: Request,
    ring: Annulus,
    radius: float,
    enclosed: float,
) -> list[float]:
    """Return `NUMBERS`."""
    star, good, lines = scene.star, scene.good, scene.lines
    by_data, share = _layers(weight, light / enclosed, scene)
    lost = max(1.0 - float(share.sum()) - ROUNDING, 0.0)
    summed = float(by_data[good].sum())
    drifts = line_variance(by_data - summed * ring.weight, lines, scene.known, request.line_dim)
    blind = _blind(weight, good)
    white = float((weight**2 * scene.noise).sum()) + summed**2 * ring.variance
    if blind.any() and lines.blind is not None:
        white += float(((by_data * lines.blind)[blind] ** 2).sum())
    inside = scene.cover.sum() / area_of(request, radius, scene.cover)
    psf = float(light[(star.distance <= star.extent) & good].sum())
    expected = np.sqrt(white + drifts) / max(float((share * enclosed).sum()), ROUNDING)
    out = [star.y, star.x, radius, ring.inner, ring.outer, ring.level, float(ring.follows)]
    out += [psf, lost, inside, star.extent, drifts, float(request.shape == "frame")]
    moves = responses(star, light, radius, request)
    return [*out, float(request.method == "optimal"), expected, *lines.noise, *moves]


def _weights(
    light: np.ndarray,
    scene: _Scene,
    request: Request,
    ring: Annulus,
    image: np.ndarray | None = None,
) -> np.ndarray:
    """Return what electrons are multiplied by: the aperture, or the weights of least variance.

    Both give the light in the aperture, the one as it is, the other by the image of the star.
    Without an image no pixels beyond the aperture are asked.
    """
    plain = np.where(scene.good, scene.cover, 0.0)
    enclosed = (scene.cover * light).sum()
    if request.method != "optimal" or not enclosed > 0.0:
        return plain
    given = (light, scene.noise, plain > 0.0, scene.star)
    if image is None or not max(scene.lines.noise) > 0.0:
        return enclosed * optimal_weights(*given)
    beyond = max(scene.star.extent, float(scene.star.distance[plain > 0.0].max()))
    dark = dark_pixels(image, scene.good & (plain == 0.0), scene.star, beyond)
    return enclosed * weights_with_lines(
        *given, gain=scene.gain, dark=dark, lines=scene.lines, known=scene.known, line_dim=request.line_dim,
        sky=shows_sky(ring),
    )  # fmt: skip
