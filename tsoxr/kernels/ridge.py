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

import numba
import numpy as np

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
    gain = _block_gains(image, error, half_width, BLOCK)
    brightest = gain.max(axis=1, keepdims=True)
    typical = np.median(brightest)
    if typical > 0:
        gain *= np.minimum(1.0, typical / np.maximum(brightest, typical))
    path = _best_path(gain, max(1, round(max_slope * BLOCK)))
    n_lines = image.shape[1]
    middle = np.minimum((np.arange(path.size) + 0.5) * BLOCK - 0.5, n_lines - 1)
    return np.interp(np.arange(n_lines), middle, path)


@numba.njit(cache=True, nogil=True)
def _block_gains(image: np.ndarray, error: np.ndarray, half_width: float, block: int) -> np.ndarray:
    """Return (block of lines, spatial): log(1 + S/N) of the light, sharpened at its maxima."""
    n_rows, n_lines = image.shape
    n_blocks = (n_lines + block - 1) // block
    out = np.zeros((n_blocks, n_rows))
    reach = int(half_width)
    for b in range(n_blocks):
        first, last = b * block, min((b + 1) * block, n_lines)
        level, variance = _median_profile(image[:, first:last], error[:, first:last])
        if not np.isfinite(level).any():
            continue
        light, noise = _smoothed(level, variance, reach, np.nanmedian(level))
        for y in range(n_rows):
            below, above = max(0, y - 2 * reach - 1), min(n_rows - 1, y + 2 * reach + 1)
            over = light[y] - min(light[below], light[above])
            if over > 0.0 and noise[y] > 0.0:
                highest = light[max(0, y - reach) : y + reach + 1].max()
                part = over / (highest - min(light[below], light[above]))
                out[b, y] = np.log1p(over / noise[y]) * part
    return out


@numba.njit(cache=True, nogil=True)
def _smoothed(
    level: np.ndarray, variance: np.ndarray, reach: int, usual: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return sums above the usual level with triangular weights out to +-reach, and errors."""
    n_rows = level.size
    light, noise = np.zeros(n_rows), np.zeros(n_rows)
    for y in range(n_rows):
        total = 0.0
        for k in range(max(0, y - reach), min(n_rows, y + reach + 1)):
            if np.isfinite(level[k]):
                weight = 1.0 - abs(k - y) / (reach + 1.0)
                light[y] += weight * (level[k] - usual)
                total += weight * weight * variance[k]
        noise[y] = np.sqrt(total)
    return light, noise


@numba.njit(cache=True, nogil=True)
def _median_profile(image: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the median over a few lines, NaN without data, and its variance."""
    n_rows = image.shape[0]
    level, variance = np.full(n_rows, np.nan), np.zeros(n_rows)
    for y in range(n_rows):
        good = np.isfinite(image[y]) & (error[y] > 0.0) & np.isfinite(error[y])
        n = good.sum()
        if n > 0:
            level[y] = np.median(image[y][good])
            variance[y] = MEDIAN_NOISE**2 * np.mean(error[y][good] ** 2) / n
    return level, variance


@numba.njit(cache=True, nogil=True)
def _best_path(gain: np.ndarray, reach: int) -> np.ndarray:
    """Return the path of largest summed gain (step, place) that moves <= reach at a step."""
    n_steps, n_places = gain.shape
    total = gain[0].copy()
    came_from = np.zeros((n_steps, n_places), np.int64)
    for i in range(1, n_steps):
        new = np.empty(n_places)
        for y in range(n_places):
            best = y  # standing still wins a tie
            for k in range(max(0, y - reach), min(n_places, y + reach + 1)):
                if total[k] > total[best]:
                    best = k
            new[y] = total[best] + gain[i, y]
            came_from[i, y] = best
        total = new
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


@numba.njit(cache=True, nogil=True)
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
    filled = image.copy()
    n_rows, n_lines = image.shape
    for y in range(n_rows):
        for x in range(n_lines):
            if np.isfinite(image[y, x]):
                continue
            total, n = 0.0, 0
            for step in (-1, 1):
                for d in range(1, reach + 1):
                    other = x + step * d
                    if 0 <= other < n_lines and np.isfinite(image[y, other]):
                        total += image[y, other]
                        n += 1
                        break
            if n > 0:
                filled[y, x] = total / n
    return filled
