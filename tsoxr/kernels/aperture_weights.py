"""Weights with which the pixels of an image are summed: an aperture's, or those of least variance."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tsoxr.kernels.aperture_annulus import Annulus, is_sky
from tsoxr.kernels.aperture_lines import (
    NOTHING,
    LineNoise,
    basis,
    inverse_times,
    scales,
    variance_of,
)
from tsoxr.kernels.aperture_star import Star
from tsoxr.kernels.templates import image_changes

__all__ = [
    "NO_LINES",
    "Lines",
    "dark_pixels",
    "line_variance",
    "optimal_weights",
    "shows_sky",
    "weights_with_lines",
]

DEAREST = 1.01
"""Factor of the error at which a sum that does not respond to something else is too dear."""
LAST = 1e-7
"""Of the largest weight over error: pixels with less are left alone."""


class Lines(NamedTuple):
    """What is known of the noise that pixels of a line share.

    ``noise`` measured; ``output`` (fast,) which output reads each pixel of a line, from 0, or
    ``None`` for one; ``blind`` (y, x) errors of reference pixels, DN/s, 0 elsewhere, or ``None``.
    """

    noise: LineNoise
    output: np.ndarray | None
    blind: np.ndarray | None


NO_LINES = Lines(NOTHING, None, None)


def line_variance(net: np.ndarray, lines: Lines, known: np.ndarray, line_dim: int) -> float:
    """Return the variance that drifts of lines make in a sum with weights ``net`` (y, x).

    1/f noise has as much below the frequency of frames as between those of frames and of lines,
    nearly; a level of all lines of an output is given the variance of those of single lines.
    """
    net = net if line_dim == 0 else net.T
    output = _outputs(lines, net.shape[1])
    n_outputs = int(output.max()) + 1
    own = variance_of(net, scales(lines.noise, known, n_outputs), basis(output))
    summed = np.bincount(output, net.sum(axis=0), n_outputs)
    return own + lines.noise.level * float((summed**2).sum())


def optimal_weights(
    light: np.ndarray, noise: np.ndarray, inside: np.ndarray, star: Star
) -> np.ndarray:
    """Return the weights of least variance of pixels that are independent, (y, x).

    Their sum of the light is 1, and 0 of its changes in a shift; in a change of width too where
    that costs less than 1 %. Weights of the light alone take a shift for light where the image
    is not symmetric about the pixels, and a change of width always.

    Parameters
    ----------
    light, noise : (y, x) float64
        Light of each pixel, electron/s, and its variance.
    inside : (y, x) bool
        Pixels that are summed.
    star : Star
        Where it is.
    """
    changes = _changes(light, star)
    weight = np.zeros_like(light)
    weight[inside] = _least_variance(
        [light[inside], *(c[inside] for c in changes[:2])],
        [changes[2][inside]],
        lambda parts: parts / noise[inside],
    )
    return weight


def weights_with_lines(  # noqa: PLR0913 -- image, pixels and noise
    light: np.ndarray,
    noise: np.ndarray,
    inside: np.ndarray,
    star: Star,
    *,
    gain: np.ndarray,
    dark: np.ndarray,
    lines: Lines,
    known: np.ndarray,
    line_dim: int,
    sky: bool,
) -> np.ndarray:
    """Return the weights of least variance of pixels whose lines drift, (y, x).

    Pixels without light, and reference pixels, tell how a line drifted: their weights are
    negative. The sum does not respond to a level of a whole output, nor, with ``sky``, to one that
    only pixels see that are open to light; without, where that costs less than 1 %.

    Parameters
    ----------
    light, noise, inside, star
        As for `optimal_weights`.
    gain : (y, x) float64
        electron/DN.
    dark : (y, x) bool
        Pixels that show sky.
    lines : Lines
        Noise of the lines.
    known : (line,) float64
        Variance of the level of each line that was measured and subtracted before, (DN/s)^2.
    line_dim : int
        Axis along which lines follow each other.
    sky : bool
        Whether a level of the sky has to be given up.
    """
    blind = np.zeros_like(noise) if lines.blind is None else (lines.blind * gain) ** 2
    used = inside | dark
    variance = np.where(used, noise, np.where(np.isfinite(blind), blind, 0.0))
    turn: Callable[[np.ndarray], np.ndarray] = (lambda a: a) if line_dim == 0 else np.transpose
    variance, scale_up = turn(variance), turn(np.where(variance > 0.0, gain, 0.0))
    output = _outputs(lines, variance.shape[1])
    scale = scales(lines.noise, known, int(output.max()) + 1, free=True)
    terms = basis(output)
    shape = variance.shape

    def inverse(parts: np.ndarray) -> np.ndarray:
        images = parts.reshape(len(parts), *shape)
        return inverse_times(images, variance, scale, scale_up, terms).reshape(len(parts), -1)

    changes = [turn(np.where(inside, c, 0.0)) for c in _changes(light, star)]
    levels = [scale_up * (output == o) for o in range(int(output.max()) + 1)]
    open_to_light = turn(np.where(used, gain, 0.0))
    needed = [turn(np.where(inside, light, 0.0)), *changes[:2], *levels]
    spared = [open_to_light, changes[2]]
    if sky:
        needed.append(spared.pop(0))
    needed, spared = ([p.ravel() for p in parts] for parts in (needed, spared))
    weight: np.ndarray = turn(_least_variance(needed, spared, inverse).reshape(shape))
    matters = abs(weight) * np.sqrt(turn(variance))
    return np.where(matters > LAST * matters.max(), weight, 0.0)


def dark_pixels(image: np.ndarray, good: np.ndarray, star: Star, beyond: float) -> np.ndarray:
    """Return the pixels beyond a radius that show sky, (y, x) bool."""
    return is_sky(image, good & (star.distance >= beyond))


def shows_sky(ring: Annulus) -> bool:
    """Return whether there is a ring whose level is followed."""
    return bool(np.isfinite(ring.inner) and ring.follows)


def _outputs(lines: Lines, n_fast: int) -> np.ndarray:
    return np.zeros(n_fast, int) if lines.output is None else lines.output


def _changes(light: np.ndarray, star: Star) -> list[np.ndarray]:
    down, across = image_changes(light, (star.y, star.x))
    return [down.shift, across.shift, down.width]


def _least_variance(
    needed: list[np.ndarray],
    spared: list[np.ndarray],
    inverse: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Return the weights of least variance whose sum of the first is 1 and of the others 0.

    ``inverse`` multiplies by the inverse covariance. Of those to be ``spared``, one after the
    other is, unless it costs too much, as where the frame does not hold all of the light.
    """
    parts = np.stack([*needed, *spared])
    divided = inverse(parts)
    scale = np.sqrt(np.maximum((parts * divided).sum(axis=1), 0.0))
    scale = np.where(scale > 0.0, scale, 1.0)
    parts, divided = parts / scale[:, None], divided / scale[:, None]
    products = parts @ divided.T
    taken = list(range(len(needed)))
    solved, least = _solved(products, taken)
    for k in range(len(needed), len(parts)):
        other, spent = _solved(products, [*taken, k])
        if spent <= DEAREST**2 * least:
            solved, taken = other, [*taken, k]
    weight: np.ndarray = solved @ divided[taken] / scale[0]
    return weight


def _solved(products: np.ndarray, taken: list[int]) -> tuple[np.ndarray, float]:
    """Return the multipliers of some of the parts, and the variance of the sum."""
    wanted = np.eye(len(taken))[0]
    solved = np.linalg.lstsq(products[np.ix_(taken, taken)], wanted, rcond=1e-12)[0]
    return solved, float(solved[0])
