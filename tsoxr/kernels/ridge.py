"""The path of most light through a frame, found at once by dynamic programming.

Of all paths whose slope is limited, the one with the largest sum of gains is taken (Bellman
1957). The gain of a place is ``log(1 + S/N)`` of the light there, less where a neighbouring
place is brighter, so that neither a flank nor a wing is a ridge. No place counts for more
than the brightest place of a typical line: a short bright contaminant cannot capture the
path, because to go there and back costs more than it gains.

Shapes: ``image`` and ``error`` are (spatial, dispersion) float64; a pixel that is NaN in
``image`` is not used.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tsoxr.kernels.light import median_and_sigma

__all__ = ["bridge", "cover", "fill_from_neighbours", "follow_ridge"]

BLOCK = 8
"""Lines put together to follow the ridge: enough to outvote a hot pixel."""
MEDIAN_NOISE = 1.2533
"""Noise of a median relative to that of a mean."""


def follow_ridge(
    image: np.ndarray, error: np.ndarray, half_width: float, max_slope: float = 0.5
) -> np.ndarray:
    """Return the path of most light through the frame, one position for each line.

    Parameters
    ----------
    image, error : (spatial, dispersion) float64
        Frame and its 1 sigma error.
    half_width : float
        The light is summed over this many pixels on both sides, so that a profile with
        two horns is followed in its middle.
    max_slope : float
        Largest slope of the path, pixel per pixel.

    Returns
    -------
    (dispersion,) float64
        Position to about a pixel.
    """
    gain = _block_gains(image, error, int(half_width), BLOCK)
    brightest = gain.max(axis=1, keepdims=True)
    typical = np.median(brightest)
    if typical > 0:
        gain *= np.minimum(1.0, typical / np.maximum(brightest, typical))
    path = _best_path(gain, max(1, round(max_slope * BLOCK)))
    n_lines = image.shape[1]
    middle = np.minimum((np.arange(path.size) + 0.5) * BLOCK - 0.5, n_lines - 1)
    return np.interp(np.arange(n_lines), middle, path)


def _block_gains(image: np.ndarray, error: np.ndarray, reach: int, block: int) -> np.ndarray:
    """Return (block of lines, spatial): log(1 + S/N) of the light, sharpened at its maxima."""
    level, variance = _median_profiles(image, error, block)
    dark = ~np.isfinite(level).any(axis=1)
    level[dark] = 0.0
    usual = median_and_sigma(level, axis=1)[0]
    light, noise = _smoothed(level - usual, variance, reach)
    y, n_rows = np.arange(image.shape[0]), image.shape[0]
    lowest = np.minimum(
        light[:, np.maximum(y - 2 * reach - 1, 0)],
        light[:, np.minimum(y + 2 * reach + 1, n_rows - 1)],
    )
    highest = ndimage.maximum_filter1d(light, 2 * reach + 1, axis=1, mode="nearest")
    over = light - lowest
    shown = (over > 0.0) & (noise > 0.0)
    out = np.zeros(light.shape)
    out[shown] = np.log1p(over[shown] / noise[shown]) * (over[shown] / (highest - lowest)[shown])
    return out


def _smoothed(light: np.ndarray, variance: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sums over rows with triangular weights out to +-reach, and their errors; NaN is left out."""
    weight = 1.0 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1.0)
    known = np.isfinite(light)
    sums = [
        ndimage.correlate1d(np.where(known, a, 0.0), w, axis=1, mode="constant")
        for a, w in ((light, weight), (variance, weight**2))
    ]
    return sums[0], np.sqrt(sums[1])


def _median_profiles(
    image: np.ndarray, error: np.ndarray, block: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the medians over a few lines, (block, spatial), NaN without data, and their variances."""
    n_rows, n_lines = image.shape
    shape = (n_rows, -(-n_lines // block), block)
    values, errors = np.full((2, n_rows, shape[1] * block), np.nan)
    values[:, :n_lines], errors[:, :n_lines] = image, error
    good = np.isfinite(values) & (errors > 0.0) & np.isfinite(errors)
    values, errors = np.where(good, values, np.nan).reshape(shape), np.where(good, errors, 0.0)
    n = good.reshape(shape).sum(axis=2)
    squares = (errors**2).reshape(shape).sum(axis=2)
    level = np.where(n > 0, median_and_sigma(values, axis=2)[0][..., 0], np.nan)
    return level.T, (MEDIAN_NOISE**2 * squares / np.maximum(n, 1) ** 2).T


def _best_path(gain: np.ndarray, reach: int) -> np.ndarray:
    """Return the path of largest summed gain (step, place) that moves <= reach at a step."""
    n_steps, n_places = gain.shape
    total, place = gain[0], np.arange(n_places)
    came_from = np.zeros((n_steps, n_places), np.int64)
    for i in range(1, n_steps):  # steps are blocks of lines of one static frame
        near = np.lib.stride_tricks.sliding_window_view(
            np.pad(total, reach, constant_values=-np.inf), 2 * reach + 1
        )
        best = place + near.argmax(axis=1) - reach
        best = np.where(total[best] > total, best, place)  # standing still wins a tie
        came_from[i] = best
        total = total[best] + gain[i]
    path = np.empty(n_steps, np.int64)
    path[-1] = np.argmax(total)
    for i in range(n_steps - 1, 0, -1):
        path[i - 1] = came_from[i, path[i]]
    return path


def cover(image: np.ndarray, centre: np.ndarray, half_width: float) -> np.ndarray:
    """Return the image with NaN within ``half_width`` of a spectrum, (dispersion,) position."""
    rows = np.arange(image.shape[0])[:, None]
    return np.where(np.abs(rows - centre) <= half_width, np.nan, image)


def bridge(image: np.ndarray, centre: np.ndarray, half_width: float) -> np.ndarray:
    """Return a covered image with straight lines between the two sides of what was covered.

    A gap would hide on which side of it the light falls off, and make a ridge of a wing.
    """
    if not np.isfinite(centre).any():
        return image
    rows = np.arange(image.shape[0])
    bridged = image.copy()
    for x in np.flatnonzero(np.isfinite(centre)):  # lines of one static frame
        known = np.isfinite(image[:, x])
        gap = ~known & (np.abs(rows - centre[x]) <= half_width)
        if known.any():
            bridged[gap, x] = np.interp(rows[gap], rows[known], image[known, x])
    return bridged


def fill_from_neighbours(image: np.ndarray, reach: int = 4) -> np.ndarray:
    """Replace NaN by the mean of the nearest finite pixels on both sides along dispersion.

    Parameters
    ----------
    image : (spatial, dispersion) float64
        With gaps.
    reach : int
        Farthest neighbour used, pixels.

    Returns
    -------
    (spatial, dispersion) float64
        NaN stays where no neighbour within reach is finite.
    """
    y, x = np.nonzero(~np.isfinite(image))
    total, n = np.zeros(y.size), np.zeros(y.size)
    for step in (-1, 1):
        found = np.full(y.size, np.nan)
        for d in range(reach, 0, -1):  # the nearest last
            other = x + step * d
            inside = (other >= 0) & (other < image.shape[1])
            value = image[y, np.where(inside, other, x)]
            found = np.where(inside & np.isfinite(value), value, found)
        total += np.nan_to_num(found)
        n += np.isfinite(found)
    filled = image.copy()
    filled[y, x] = np.where(n > 0, total / np.maximum(n, 1), image[y, x])
    return filled
