"""A profile as a table over the distance from the trace: looked up at any position of the light.

The table holds what a pixel at a distance u from the trace sees, for each column. Cubic
interpolation over four places of it (Lagrange) is exact to 1e-6 of the light for a Gaussian of
0.5 pixel. Axes are (spatial, dispersion) whatever the detector's are.
"""

from __future__ import annotations

import math

import numpy as np

from tsoxr.kernels.compiling import kernel, part

__all__ = [
    "MARGIN",
    "STEP",
    "accumulate",
    "at_trace",
    "in_pixels",
    "n_places",
    "profile_of",
    "spline_equations",
    "spline_integral",
]

STEP = 0.05
"""Distance of the places of a table, pixels."""
HALF = round(0.5 / STEP)
"""Places from the centre of a pixel to its edge."""
MARGIN = 2.5
"""Pixels beyond the aperture that a table reaches."""
TALLY = ("weight", "residual", "distance")
"""What `accumulate` sums in each bin."""


def n_places(half_width: float) -> int:
    """Return the number of places of the table for an aperture of a half width, pixels."""
    return 2 * math.ceil((half_width + MARGIN) / STEP) + 1


def in_pixels(running: np.ndarray) -> np.ndarray:
    """Return what pixels see of a running integral of the light.

    Parameters
    ----------
    running : (place + 2 HALF, dispersion) float64
        Light below each place, `HALF` places more to either side than the table.

    Returns
    -------
    (place, dispersion) float64
    """
    return running[2 * HALF :] - running[: -2 * HALF]


def at_trace(
    table: np.ndarray, center: np.ndarray, n_spatial: int, shift: float = 0.0
) -> np.ndarray:
    """Return the profile in the pixels of a frame whose light has moved.

    Parameters
    ----------
    table : (place, dispersion) float64
        Profile over the distance from the trace, `STEP` apart, the middle place at 0.
    center : (dispersion,) float64
        Trace, pixels from the first spatial one; NaN for columns without.
    n_spatial : int
        Number of spatial pixels.
    shift : float
        How far the light has moved from ``center``, pixels.

    Returns
    -------
    (spatial, dispersion) float64
        0 beyond the table and in columns without trace.
    """
    out = np.zeros((n_spatial, table.shape[1]))
    center = np.asarray(center, dtype=np.float64)
    _look_up(np.ascontiguousarray(table, np.float64), center, float(shift), out)
    return out


@kernel()
def _look_up(table, center, shift, out):  # noqa: ANN001, ANN202 -- numba infers the types
    n_spatial, n_dispersion = out.shape
    for y in range(n_spatial):
        for x in range(n_dispersion):
            out[y, x] = _value(table, y - center[x] - shift, x)


@part()
def _value(table, distance, x):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the table of column x at a distance: Lagrange's cubic through four places."""
    place = distance / STEP + table.shape[0] // 2
    if not 1.0 <= place < table.shape[0] - 2.0:  # NaN too
        return 0.0
    k = int(place)
    t = place - k
    a, b, c = t + 1.0, t - 1.0, t - 2.0
    return (
        -t * b * c / 6.0 * table[k - 1, x]
        + a * b * c / 2.0 * table[k, x]
        - a * t * c / 2.0 * table[k + 1, x]
        + a * t * b / 6.0 * table[k + 2, x]
    )


@part()
def _integral(z):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the integral up to z of the cubic B-spline about 0 with knots at whole numbers."""
    a = min(abs(z), 2.0)
    inner, outer = 2.0 / 3.0 * a - a**3 / 3.0 + a**4 / 8.0, 0.5 - (2.0 - a) ** 4 / 24.0
    half = inner if a < 1.0 else outer
    return 0.5 + half if z > 0.0 else 0.5 - half


@kernel()
def spline_integral(coefficient, offset, sigma, first, distance, out):  # noqa: ANN001, ANN201 -- numba
    """Add the running integral of a spline to ``out`` (place, dispersion).

    ``coefficient`` (knot, dispersion): of cubic B-splines about z = ``first`` + j ``distance``, with
    z = (u - ``offset``) / ``sigma``, both (dispersion,). The middle place of ``out`` is u = 0.
    """
    n_knots, n_dispersion = coefficient.shape
    n_places = out.shape[0]
    for x in range(n_dispersion):
        below, passed = 0.0, 0
        for p in range(n_places):
            u = (p - n_places // 2) * STEP
            v = ((u - offset[x]) / sigma[x] - first) / distance
            while passed < n_knots and v - passed >= 2.0:
                below += coefficient[passed, x]
                passed += 1
            total = below
            for j in range(passed, min(passed + 4, n_knots)):
                total += coefficient[j, x] * _integral(v - j)
            out[p, x] += total


@kernel()
def spline_equations(tally, width, first, distance, row, normal, right):  # noqa: ANN001, ANN201 -- numba
    """Fill the normal equations of a spline for each block from the bins of `accumulate`.

    ``width`` (block,) is the Gaussian's, pixels; knots as in `spline_integral`; ``row`` (knot,) is
    scratch. Filled are ``normal`` (block, knot, knot) and ``right`` (block, knot).
    """
    n_blocks, n_bins, _ = tally.shape
    n_knots = row.size
    for b in range(n_blocks):
        half = 0.5 / (width[b] * distance)
        for k in range(n_bins):
            weight = tally[b, k, 0]
            if not weight > 0.0:
                continue
            v = (tally[b, k, 2] / weight - first) / distance
            low, high = max(int(v - half - 2.0), 0), min(int(v + half + 3.0), n_knots)
            for j in range(low, high):
                row[j] = _integral(v + half - j) - _integral(v - half - j)
            for j in range(low, high):
                right[b, j] += row[j] * tally[b, k, 1]
                for i in range(low, high):
                    normal[b, i, j] += weight * row[i] * row[j]


@kernel()
def accumulate(samples, static, series, grid, tally, light, pixels):  # noqa: ANN001, ANN201 -- numba
    """Compare a sample of integrations with a table, and sum what is left of them in bins.

    ``samples``: rate (time, spatial, dispersion) and bad, of the same shape.
    ``static``: table and the first guess at it (place, dispersion), gain, variance and good (spatial, dispersion), and
    center, offset, sigma, flux and block (dispersion,); a column of block -1 is left out.
    ``series``: shift and amplitude (time,). ``grid``: distance of bins in z, the sigma beyond
    which a sample is left out, and the half width of the aperture.
    Filled are ``tally`` (block, bin, 3), see `TALLY`; ``light`` (2, time + dispersion), the light in
    the aperture of each integration and column, with what is expected of pixels left out and, by the first guess,
    beyond the frame, and that of all of them by amplitude and flux alone; ``pixels`` (2, spatial, dispersion), sums of the weight
    and of the weighted residual of each pixel. The light is a plain sum, which does not depend on the
    profile: fitted with it, an error of the profile at one place would be one of the light there, and stay.
    """
    rate, bad = samples
    table, first, gain, variance, good, center, offset, sigma, flux, block = static
    shift, amplitude = series
    n_time, n_spatial, n_dispersion = rate.shape
    reach = (table.shape[0] // 2 - 3) * STEP
    n_bins, beyond = tally.shape[1], int(grid[2]) + 1  # the frame may end within the aperture
    for t in range(n_time):
        for x in range(n_dispersion):
            if block[x] >= 0:
                light[1, t] += flux[x]
                light[1, n_time + x] += amplitude[t]
        for y in range(-beyond, n_spatial + beyond):
            for x in range(n_dispersion):
                u = y - center[x] - shift[t]
                if block[x] < 0 or not abs(u) <= reach:
                    continue
                used, off, spread = 0 <= y < n_spatial, 0.0, 1.0
                own = amplitude[t] * flux[x]
                share = _value(table if used else first, u, x)
                if used:
                    spread = variance[y, x]
                    off = rate[t, y, x] * gain[y, x] - own * share
                    fits = off * off <= grid[1] ** 2 * spread
                    used = fits and good[y, x] and not bad[t, y, x]
                cover = max(min(u + 0.5, grid[2]) - max(u - 0.5, -grid[2]), 0.0)
                seen = cover * (own * share + off if used else own * share)
                light[0, t] += seen
                light[0, n_time + x] += seen
                if not used:
                    continue
                w = own * own / spread
                z = (u - offset[x]) / sigma[x]
                k = int(z / grid[0] + 0.5 * n_bins)
                if 0 <= k < n_bins:
                    tally[block[x], k, 0] += w
                    tally[block[x], k, 1] += own * off / spread
                    tally[block[x], k, 2] += w * z
                pixels[0, y, x] += w
                pixels[1, y, x] += own * off / spread


def profile_of(table: np.ndarray, center: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Return the profile of the pixels of an aperture.

    Parameters
    ----------
    table, center
        As in `at_trace`.
    cover : (spatial, dispersion) float64
        Aperture from `tsoxr.kernels.extraction.coverage`.

    Returns
    -------
    (spatial, dispersion) float64
        Not negative, 0 outside the aperture, and sum(cover * profile) = 1 in each column; uniform
        where the table is empty.
    """
    seen = np.where(cover > 0, np.clip(at_trace(table, center, len(cover)), 0.0, None), 0.0)
    seen = np.where((cover * seen).sum(axis=0) > 0, seen, cover > 0)
    total = (cover * seen).sum(axis=0)
    return np.divide(seen, total, out=np.zeros_like(seen), where=total > 0)
