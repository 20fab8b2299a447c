"""Where a spectrum lies on the detector: ridge, centroids, smooth curve.

Three stages, each useful alone: `tsoxr.kernels.ridge.follow_ridge` finds the path to about a
pixel, `centroids` measures the position of the light on each line of constant wavelength in
a window that follows it, and `smooth_curve` fits a Legendre series to these positions.

Shapes: ``image`` and ``error`` are (spatial, dispersion); positions are indices along the
spatial axis, 0 at the centre of the first pixel. A pixel that is NaN in ``image`` is not used.
Sums are accumulated in float64.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.ridge import bridge, cover, fill_from_neighbours, follow_ridge
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


@numba.njit(cache=True, nogil=True)
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
    n_lines = image.shape[1]
    centre, spread = np.full(n_lines, np.nan), np.full(n_lines, np.nan)
    fwhm, significance = np.full(n_lines, np.nan), np.zeros(n_lines)
    for x in range(n_lines):
        line, sigma = image[:, x], error[:, x]
        low, high = _beside(line, ridge[x], half_width)
        place = _settle(line, ridge[x], half_width, 0.5 * (low + high))
        if not np.isfinite(place):
            continue
        low, high = _beside(line, place, half_width)
        light, variance, second, square, n = _sums(
            line, sigma, place, half_width, 0.5 * (low + high)
        )
        if light > 0.0 and variance > 0.0:
            centre[x] = place
            spread[x] = np.sqrt(second) / light
            fwhm[x] = 0.6643 * light * light / square
            above = light - (max(low, high) - 0.5 * (low + high)) * n
            significance[x] = max(0.0, above / np.sqrt(variance))
    return centre, spread, fwhm, significance


@numba.njit(cache=True, nogil=True)
def _share(y: int, place: float, half_width: float) -> float:
    """Return the part of pixel y inside the window."""
    inside = min(y + 0.5, place + half_width) - max(y - 0.5, place - half_width)
    return min(max(inside, 0.0), 1.0)


@numba.njit(cache=True, nogil=True)
def _beside(line: np.ndarray, place: float, half_width: float) -> tuple[float, float]:
    """Return the median level within another half width below and above the window."""
    levels = np.zeros(2)
    missing = np.zeros(2, np.bool_)
    for side in range(2):
        sign = 2 * side - 1
        found = np.empty(line.size)
        n = 0
        for y in range(line.size):
            away = sign * (y - place)
            if half_width + 0.5 <= away <= 2.0 * half_width + 1.5 and np.isfinite(line[y]):
                found[n] = line[y]
                n += 1
        missing[side] = n == 0
        if n > 0:
            levels[side] = np.median(found[:n])
    if missing[0]:
        levels[0] = levels[1]
    if missing[1]:
        levels[1] = levels[0]
    return levels[0], levels[1]


@numba.njit(cache=True, nogil=True)
def _settle(line: np.ndarray, start: float, half_width: float, level: float) -> float:
    """Iterate the centroid from ``start``; NaN where it runs away or data are missing."""
    lowest, highest = half_width - 0.5, line.size - 0.5 - half_width
    place = min(max(start, lowest), highest)
    for _ in range(30):
        if place < lowest or place > highest:
            return np.nan
        light, moment, present = 0.0, 0.0, 0.0
        for y in range(int(place - half_width), min(line.size, int(place + half_width) + 2)):
            share = _share(y, place, half_width)
            if share > 0.0 and np.isfinite(line[y]):
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


@numba.njit(cache=True, nogil=True)
def _sums(
    line: np.ndarray, sigma: np.ndarray, place: float, half_width: float, level: float
) -> tuple[float, float, float, float, float]:
    """Return light, its variance, sum (y - c)^2 variance, sum light^2, and the width used."""
    light, variance, second, square, width = 0.0, 0.0, 0.0, 0.0, 0.0
    for y in range(line.size):
        share = _share(y, place, half_width)
        if share > 0.0 and np.isfinite(line[y]) and np.isfinite(sigma[y]):
            value = share * (line[y] - level)
            noise = (share * sigma[y]) ** 2
            light += value
            variance += noise
            second += noise * (y - place) ** 2
            square += value * value
            width += share
    return light, variance, second, square, width


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
