"""Where a spectrum lies on the detector: ridge, centroids, smooth curve.

Three stages, each useful alone: `tsoxr.kernels.ridge.follow_ridge` finds the path to about a
pixel, `centroids` measures the position of the light on each line of constant wavelength in
a window that follows it, and `smooth_curve` fits a Legendre series to these positions.

Shapes: ``image`` and ``error`` are (spatial, dispersion); positions are indices along the
spatial axis, 0 at the centre of the first pixel. A pixel that is NaN in ``image`` is not used.
Sums are accumulated in float64.
"""

# ruff: noqa: FURB136 -- min() and max() take longer to compile

from __future__ import annotations

import math

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.ridge import bridge, cover, fill_from_neighbours, follow_ridge
from tsoxr.kernels.small import median_of_few
from tsoxr.kernels.trace_curve import smooth_curve

__all__ = [
    "MEASURES",
    "centroids",
    "longest_run",
    "measure",
    "measure_along",
    "smooth_curve",
]

MEASURES = ("centroid", "centroid_error", "fwhm")
"""What `measure` returns for each line, pixels."""

MIN_SIGNIFICANCE = 10.0
"""A line is used where its light stands this many sigma above what lies beside it."""
MAX_MISSING = 0.1
"""Largest part of the window that may lack data."""
MIN_FWHM = 0.9
"""Light that is sharper than this, pixels, is one hot pixel."""


def measure(image: np.ndarray, error: np.ndarray, half_width: float, rank: int = 1) -> np.ndarray:
    """Find the spectrum and measure it on every line of constant wavelength.

    Parameters
    ----------
    image, error : (spatial, dispersion) array
        Median frame and its 1 sigma error.
    half_width : float
        Half the width of the window in which the light is centred, pixels.
    rank : int
        1 for the strongest ridge; each further one is sought after those before it have
        been covered.

    Returns
    -------
    (3, dispersion) float64
        Centroid, its error, and the full width at half maximum of a Gaussian of equal
        sharpness, pixels; NaN where there is too little light, too little data, or the
        window is cut by the edge of the frame. All NaN where there is no spectrum.
    """
    seen = fill_from_neighbours(np.asarray(image, dtype=np.float64))
    error = np.ascontiguousarray(error, dtype=np.float64)
    found = np.full((len(MEASURES), seen.shape[1]), np.nan)
    for _ in range(rank):
        seen = cover(seen, found[0], half_width)
        ridge = follow_ridge(bridge(seen, found[0], half_width), error, half_width)
        centre, centre_error, fwhm, significance = centroids(seen, error, ridge, float(half_width))
        first, last = longest_run(significance, MIN_SIGNIFICANCE)
        found[:] = np.nan
        here = slice(first, last + 1)
        kept = (significance[here] >= MIN_SIGNIFICANCE) & (fwhm[here] >= MIN_FWHM)
        for row, values in zip(found, (centre, centre_error, fwhm), strict=True):
            row[here] = np.where(kept, values[here], np.nan)
    return found


def measure_along(
    image: np.ndarray, error: np.ndarray, path: np.ndarray, half_width: float
) -> np.ndarray:
    """Measure the light near a path that is known, to a few pixels.

    Parameters
    ----------
    image, error : (spatial, dispersion) array
        Median frame and its 1 sigma error.
    path : (dispersion,) float64
        Expected positions; NaN for lines to leave out.
    half_width : float
        Half the width of the window, pixels.

    Returns
    -------
    (3, dispersion) float64
        As `measure`.
    """
    seen = fill_from_neighbours(np.asarray(image, dtype=np.float64))
    error = np.ascontiguousarray(error, dtype=np.float64)
    inside = np.isfinite(path) & (path > 0) & (path < image.shape[0] - 1)
    start = np.where(inside, path, 0.0)
    centre, centre_error, fwhm, significance = centroids(seen, error, start, float(half_width))
    kept = inside & (significance >= MIN_SIGNIFICANCE) & (fwhm >= MIN_FWHM)
    kept &= np.abs(centre - start) <= half_width
    return np.stack([np.where(kept, a, np.nan) for a in (centre, centre_error, fwhm)])


def centroids(
    image: np.ndarray, error: np.ndarray, ridge: np.ndarray, half_width: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Centre a window on the light of each line until it no longer moves.

    The window counts pixels at its ends in part. It is symmetric about the position sought,
    so a constant that was left in the line does not move it.

    Parameters
    ----------
    image, error : (spatial, dispersion) float64
        Frame and its 1 sigma error.
    ridge : (dispersion,) float64
        Where to begin.
    half_width : float
        Half the width of the window, pixels.

    Returns
    -------
    centre, centre_error, fwhm : (dispersion,) float64
        Centroid, its error from ``error``, and the width ``0.664 (sum P)^2 / sum P^2``,
        which for a Gaussian is its full width at half maximum, pixels.
    significance : (dispersion,) float64
        S/N of the light above the brighter one of the two neighbourhoods; 0 where the
        window is cut by the edge, lacks data or does not settle.
    """
    lines, errors = (np.ascontiguousarray(a.T, np.float64) for a in (image, error))
    out = np.full((len(lines), 4), np.nan)
    out[:, 3] = 0.0
    start = np.ascontiguousarray(ridge, np.float64)
    _fill_centroids(lines, errors, start, float(half_width), np.empty(len(image)), out)
    centre, spread, fwhm, significance = np.ascontiguousarray(out.T)
    return centre, spread, fwhm, significance


@kernel()
def _fill_centroids(lines, errors, ridge, half_width, room, out):  # noqa: ANN001, ANN202 -- numba infers the types
    """Fill ``out`` (line, 4) from ``lines`` (line, spatial); ``room`` (spatial,) is scratch."""
    for x in range(ridge.size):
        if not abs(ridge[x]) < np.inf:
            continue
        line, sigma = lines[x], errors[x]
        low, high = _beside(line, ridge[x], half_width, room)
        place = _settle(line, ridge[x], half_width, 0.5 * (low + high))
        if not abs(place) < np.inf:
            continue
        low, high = _beside(line, place, half_width, room)
        level = 0.5 * (low + high)
        light, variance, second, square, width = 0.0, 0.0, 0.0, 0.0, 0.0
        for y in range(line.size):
            share = _share(y, place, half_width)
            if share > 0.0 and abs(line[y]) < np.inf and abs(sigma[y]) < np.inf:
                value, noise = share * (line[y] - level), share * sigma[y]
                light += value
                variance += noise * noise
                second += noise * noise * ((y - place) * (y - place))
                square += value * value
                width += share
        if light > 0.0 and variance > 0.0:
            out[x, 0], out[x, 1] = place, math.sqrt(second) / light
            out[x, 2] = 0.6643 * light * light / square
            above = (light - ((high if high > low else low) - level) * width) / math.sqrt(variance)
            out[x, 3] = above if above > 0.0 else 0.0


@part()
def _share(y, place, half_width):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the part of pixel y inside the window."""
    low, high = place - half_width, place + half_width
    low = low if low > y - 0.5 else y - 0.5
    high = high if high < y + 0.5 else y + 0.5
    return high - low if high > low else 0.0


@part()
def _beside(line, place, half_width, room):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the median level within another half width below and above the window."""
    low, high = 0.0, 0.0
    n_low, n_high = np.int64(0), np.int64(0)
    for side in range(2):
        n = np.int64(0)
        for y in range(line.size):
            away = y - place if side == 1 else place - y
            near = half_width + 0.5 <= away <= 2.0 * half_width + 1.5
            if near and abs(line[y]) < np.inf:
                room[n] = line[y]
                n += 1
        level = median_of_few(room, n) if n > 0 else 0.0
        if side == 1:
            high, n_high = level, n
        else:
            low, n_low = level, n
    return low if n_low > 0 else high, high if n_high > 0 else low


@part()
def _settle(line, start, half_width, level):  # noqa: ANN001, ANN202 -- numba infers the types
    """Iterate the centroid from ``start``; NaN where it runs away or data are missing."""
    lowest, highest = half_width - 0.5, line.size - 0.5 - half_width
    place = start if start > lowest else lowest
    place = place if place < highest else highest
    for _ in range(30):
        if place < lowest or place > highest:
            return np.nan
        light, moment, present = 0.0, 0.0, 0.0
        for y in range(int(place - half_width), int(place + half_width) + 2):
            share = _share(y, place, half_width) if y < line.size else 0.0
            if share > 0.0 and abs(line[y]) < np.inf:
                present += share
                light += share * (line[y] - level)
                moment += share * (line[y] - level) * (y - place)
        if light <= 0.0 or present < (1.0 - MAX_MISSING) * 2.0 * half_width:
            return np.nan
        move = moment / light
        place += move
        if abs(place - start) > half_width:
            return np.nan
        if abs(move) < 1e-5:
            break
    return place


def longest_run(significance: np.ndarray, threshold: float) -> tuple[int, int]:
    """Return first and last line of the strongest run of lines with light.

    Parameters
    ----------
    significance : (dispersion,) float64
        S/N of each line.
    threshold : float
        What counts as light.

    Returns
    -------
    first, last : int
        Gaps of up to 2 % of the lines (at least 16) do not break a run. ``(0, -1)`` where
        no line has light.
    """
    lit = np.flatnonzero(significance >= threshold)
    if lit.size == 0:
        return 0, -1
    gap = max(16, significance.size // 50)
    runs = np.split(lit, np.flatnonzero(np.diff(lit) > gap) + 1)
    best = max(runs, key=lambda run: np.log1p(significance[run]).sum())
    return int(best[0]), int(best[-1])
