"""Other ways to say where the light of a line lies: Gaussian, profile, edges.

Each refines the centroids of `tsoxr.kernels.trace.measure`, on the lines where that has found
light, and returns the same: centre, its error and the width, (3, dispersion) float64.

Shapes: ``image`` and ``error`` are (spatial, dispersion) float64; NaN in ``image`` is not used.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.gaussian_lines import fit_gaussians, solved
from tsoxr.kernels.ridge import fill_from_neighbours
from tsoxr.kernels.trace import smooth_curve

__all__ = ["by_correlation", "by_edges", "by_gaussian", "profile_of"]

FWHM = 2.3548
PER_PIXEL = 10
"""Samples of a profile in a pixel."""
N_ROUNDS = 3
START_DEGREE = 8
HALF = 0.5
"""Part of its height at which a profile begins and ends."""


def _start(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return smooth positions to begin at, and the lines that have light."""
    lit = np.isfinite(found[0])
    degree = int(min(START_DEGREE, max(lit.sum() - 1, 0)))
    curve = smooth_curve(found[0], found[1], degree)[0] if lit.any() else found[0]
    return np.where(lit, curve, np.nan), lit


def by_gaussian(
    image: np.ndarray, error: np.ndarray, found: np.ndarray, half_width: float
) -> np.ndarray:
    """Fit a Gaussian, integrated over pixels, and a constant to each line.

    Parameters
    ----------
    image, error : (spatial, dispersion) float64
        Median frame and its 1 sigma error.
    found : (3, dispersion) float64
        Of `tsoxr.kernels.trace.measure`.
    half_width : float
        Pixels within this distance of the trace are fitted.

    Returns
    -------
    (3, dispersion) float64
    """
    start, _ = _start(found)
    seen = fill_from_neighbours(image)
    first = max(0.4, float(np.nanmedian(found[2])) / FWHM) if np.isfinite(found[2]).any() else 1.0
    fitted = fit_gaussians(seen, error, start, float(half_width), first)
    return np.stack([fitted[1], fitted[4], FWHM * fitted[2]])


def profile_of(
    image: np.ndarray, centre: np.ndarray, half_width: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean profile of all lines, each moved to its centre and of unit light.

    Parameters
    ----------
    image : (spatial, dispersion) float64
        Frame.
    centre : (dispersion,) float64
        Positions; NaN for lines to leave out.
    half_width : float
        Reach of the profile, pixels.

    Returns
    -------
    place, profile : (sample,) float64
        Offsets from the centre, ten in a pixel, and the median of the lines there.
    """
    place = np.arange(-half_width, half_width + 0.5 / PER_PIXEL, 1.0 / PER_PIXEL)
    rows = np.arange(image.shape[0], dtype=np.float64)
    lines = np.flatnonzero(np.isfinite(centre))
    moved = np.stack([np.interp(centre[x] + place, rows, image[:, x]) for x in lines])  # one frame
    level = np.minimum(moved[:, :PER_PIXEL].mean(axis=1), moved[:, -PER_PIXEL:].mean(axis=1))
    moved -= level[:, None]
    light = moved.sum(axis=1)
    good = light > 0
    if not good.any():
        return place, np.zeros(place.size)
    return place, np.median(moved[good] / light[good, None], axis=0)


def by_correlation(
    image: np.ndarray, error: np.ndarray, found: np.ndarray, half_width: float
) -> np.ndarray:
    """Move the mean profile over each line until it fits best.

    The profile is that of the spectrum itself, so that one with two horns is met by one
    with two horns. Its own centre is the middle between its edges, at half of its height.

    Parameters
    ----------
    image, error, found, half_width
        As in `by_gaussian`.

    Returns
    -------
    (3, dispersion) float64
    """
    start, lit = _start(found)
    seen = fill_from_neighbours(image)
    centre, centre_error = start.copy(), found[1]
    for _ in range(N_ROUNDS):
        place, profile = profile_of(seen, centre, half_width + 1.0)
        above = np.flatnonzero(profile > HALF * np.sort(profile)[-3 * PER_PIXEL // 2])
        if not above.size:
            return np.full_like(found, np.nan)
        place = place - 0.5 * (
            _crossing(place, profile, above[0]) + _crossing(place, profile, above[-1] + 1)
        )
        centre, centre_error = _best_places(seen, error, start, float(half_width), place, profile)
        near = np.abs(centre - start) < 0.5 * half_width
        centre, centre_error = (
            np.where(near & lit, centre, np.nan),
            np.where(near & lit, centre_error, np.nan),
        )
        if np.isfinite(centre).sum() <= START_DEGREE:
            break
        start = np.where(lit, smooth_curve(centre, centre_error, START_DEGREE)[0], np.nan)
    return np.stack([centre, centre_error, np.where(np.isfinite(centre), found[2], np.nan)])


def _crossing(place: np.ndarray, profile: np.ndarray, k: int) -> float:
    """Return where a profile crosses half of its height, between samples k - 1 and k."""
    if k <= 0 or k >= place.size:
        return float(place[min(max(k, 0), place.size - 1)])
    height = HALF * np.sort(profile)[-3 * PER_PIXEL // 2]
    part = (height - profile[k - 1]) / (profile[k] - profile[k - 1])
    return float(place[k - 1] + part * (place[k] - place[k - 1]))


@numba.njit(cache=True, nogil=True)
def _best_places(image, error, start, half_width, place, profile):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return where light times profile plus a constant fits each line, and the errors."""
    n_lines = image.shape[1]
    out, spread = np.full(n_lines, np.nan), np.full(n_lines, np.nan)
    slope = np.zeros(profile.size)
    slope[1:-1] = (profile[2:] - profile[:-2]) / (2.0 * (place[1] - place[0]))
    for x in range(n_lines):
        if np.isfinite(start[x]):
            out[x], spread[x] = _best_place(
                image[:, x], error[:, x], start[x], half_width, place, profile, slope
            )
    return out, spread


@numba.njit(cache=True, nogil=True)
def _best_place(line, error, start, half_width, place, profile, slope):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the place of one line by Gauss and Newton; NaN where it does not settle."""
    unit = np.array([0.0, 1.0, 0.0])
    at, light = start, 0.0
    for _ in range(15):
        normal, right = _profile_normal(line, error, at, half_width, place, profile, slope, light)
        if light == 0.0:  # the light first, then the place
            normal[1, 1] = 1.0
        values = solved(normal, right, 0.0)
        if not values[0] > 0.0 or not np.isfinite(values[1]):
            break
        move = 0.0 if light == 0.0 else min(max(values[1], -1.0), 1.0)
        settled = light > 0.0 and abs(move) < 1e-4
        light, at = values[0], at + move
        if abs(at - start) > half_width:
            break
        if settled:
            return at, np.sqrt(max(solved(normal, unit, 0.0)[1], 0.0))
    return np.nan, np.nan


@numba.njit(cache=True, nogil=True)
def _profile_normal(line, error, at, half_width, place, profile, slope, light):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the normal equations of light, place and constant."""
    normal, right, row = np.zeros((3, 3)), np.zeros(3), np.ones(3)
    first = max(0, int(np.ceil(at - half_width)))
    last = min(line.size - 1, int(np.floor(at + half_width)))
    for y in range(first, last + 1):
        if np.isfinite(line[y]) and error[y] > 0.0:
            row[0] = np.interp(y - at, place, profile)
            row[1] = -light * np.interp(y - at, place, slope)
            for i in range(3):
                right[i] += row[i] * line[y] / error[y] ** 2
                for j in range(3):
                    normal[i, j] += row[i] * row[j] / error[y] ** 2
    return normal, right


def by_edges(
    image: np.ndarray, error: np.ndarray, found: np.ndarray, half_width: float
) -> np.ndarray:
    """Take the middle between the outer edges of the light, at half of its height.

    For wide profiles with steep sides.

    Parameters
    ----------
    image, error, found, half_width
        As in `by_gaussian`.

    Returns
    -------
    (3, dispersion) float64
        The width is the distance of the edges; the error holds the noise of the two pixels
        beside them, and not how pixels sample a side.
    """
    start, _ = _start(found)
    return np.stack(_edges(fill_from_neighbours(image), error, start, float(half_width)))


@numba.njit(cache=True, nogil=True)
def _edges(image, error, start, half_width):  # noqa: ANN001, ANN202 -- numba infers the types
    n_lines = image.shape[1]
    centre, spread = np.full(n_lines, np.nan), np.full(n_lines, np.nan)
    width = np.full(n_lines, np.nan)
    for x in range(n_lines):
        if not np.isfinite(start[x]):
            continue
        first = int(np.ceil(start[x] - half_width))
        last = int(np.floor(start[x] + half_width))
        if first < 0 or last > image.shape[0] - 1:
            continue
        line = image[first : last + 1, x]
        if not np.isfinite(line).all():
            continue
        level = min(line[0], line[-1])
        height = level + HALF * (np.sort(line)[-max(3, line.size // 4)] - level)
        low, high, low_error, high_error = np.nan, np.nan, 0.0, 0.0
        for k in range(1, line.size):
            if line[k - 1] < height <= line[k]:
                low = k - 1 + (height - line[k - 1]) / (line[k] - line[k - 1])
                low_error = error[first + k, x] / (line[k] - line[k - 1])
                break
        for k in range(line.size - 1, 0, -1):
            if line[k] < height <= line[k - 1]:
                high = k - (height - line[k]) / (line[k - 1] - line[k])
                high_error = error[first + k, x] / (line[k - 1] - line[k])
                break
        noise = np.sqrt(low_error**2 + high_error**2)
        if np.isfinite(low) and np.isfinite(high) and high > low and np.isfinite(noise):
            centre[x] = first + 0.5 * (low + high)
            spread[x] = 0.5 * noise
            width[x] = high - low
    return centre, spread, width
