"""Splines for the profiles of overlapping spectral orders, and the sums that their fit needs.

The profile of an order is a cubic B-spline of the distance u from its trace. Its knots are
equally spaced over the bright part and then ever wider, as the wings need: they lie at whole
numbers of

    s(u) = u / h  for |u| <= p,  sign(u) (p / h + log(1 + g (|u| - p) / h) / g)  beyond,

with h = `SPACING`, p = `PLATEAU` and g = `GROWTH`. The coefficients change slowly along the
dispersion.

Axes are (order, spatial, dispersion).
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel, part

__all__ = [
    "BLOCK",
    "N_KNOTS",
    "at_distance",
    "knot_distances",
    "knot_places",
    "normal_sums",
    "paint",
]

SPACING = 1.6
"""Distance of the knots in the bright part, pixels: the horns of a defocused profile have a
standard deviation of 2 pixels."""
PLATEAU = 20.0
"""Half width of the bright part, pixels."""
GROWTH = 0.25
"""Growth of that distance with the distance from the trace, in the wings."""
REACH = 300.0
"""Farthest distance from a trace that is described, pixels."""
BLOCK = 16
"""Columns in which the coefficients of a profile count as the same."""

_FLAT = PLATEAU / SPACING
_LAST = int(np.ceil(_FLAT + np.log1p(GROWTH * (REACH - PLATEAU) / SPACING) / GROWTH)) + 2
N_KNOTS = 2 * _LAST + 1
"""Number of coefficients across a profile."""


def knot_places(distance: np.ndarray) -> np.ndarray:
    """Return where distances from a trace lie among the knots.

    Parameters
    ----------
    distance : (...,) float
        Pixels.

    Returns
    -------
    (...,) float64
        Number of the knot, from 0; clipped to the ends.

    Examples
    --------
    >>> bool(knot_places(np.array(0.0)) == N_KNOTS // 2)
    True
    """
    away = np.abs(np.asarray(distance, dtype=np.float64)) / SPACING
    beyond = _FLAT + np.log1p(GROWTH * np.maximum(away - _FLAT, 0.0)) / GROWTH
    place = np.sign(distance) * np.where(away <= _FLAT, away, beyond) + _LAST
    return np.clip(place, 1.0, N_KNOTS - 2.001)


def knot_distances() -> np.ndarray:
    """Return the distance of each knot from the trace, (knot,) float64 pixels."""
    s = np.arange(N_KNOTS) - float(_LAST)
    beyond = PLATEAU + SPACING * np.expm1(GROWTH * np.maximum(np.abs(s) - _FLAT, 0.0)) / GROWTH
    return np.sign(s) * np.where(np.abs(s) <= _FLAT, SPACING * np.abs(s), beyond)


@part()
def _cubic(t: float, scale: float, out: np.ndarray, line: int) -> None:
    """Put the four cubic B-splines at part t of an interval, times a factor, into a line."""
    r = 1.0 - t
    c = scale / 6.0
    out[line, 0] = c * r * r * r
    out[line, 1] = c * (3.0 * t * t * t - 6.0 * t * t + 4.0)
    out[line, 2] = c * (3.0 * r * r * r - 6.0 * r * r + 4.0)
    out[line, 3] = c * t * t * t


@part()
def _add_order(o, z, q, value, scratch, matrix, right):  # noqa: ANN001, ANN202 -- numba infers the types
    """Add one pixel's products of an order with itself and with those before it."""
    first, spline = scratch
    for a in range(4):
        i, c = first[o] + a, q * spline[o, a]
        right[z, i] += c * value
        for p in range(o + 1):
            for b in range(4):
                matrix[z, i, first[p] + b] += c * spline[p, b]


@kernel()
def _add_sums(place, light, data, weight, block, scratch, matrix, right):  # noqa: ANN001, ANN202 -- numba infers the types
    """Do the work of `normal_sums`: the lower part of the matrices, and the right sides."""
    first, spline = scratch
    n_order, n_spatial, n_dispersion = place.shape
    n_knots = right.shape[1] // n_order
    for x in range(n_dispersion):
        z = x // block
        for y in range(n_spatial):
            q = weight[y, x]
            if q <= 0.0:
                continue
            for o in range(n_order):
                whole = int(place[o, y, x])
                first[o] = o * n_knots + whole - 1
                _cubic(place[o, y, x] - whole, light[o, x], spline, o)
            for o in range(n_order):
                if light[o, x] != 0.0:
                    _add_order(o, z, q, data[y, x], scratch, matrix, right)


def normal_sums(
    place: np.ndarray, light: np.ndarray, data: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the normal equations of all profiles in each block of columns.

    Parameters
    ----------
    place : (order, spatial, dispersion) float64
        From `knot_places`.
    light : (order, dispersion) float64
        Light of each order; 0 where it has none.
    data, weight : (spatial, dispersion) float64
        Frame and inverse variances; 0 leaves a pixel out, whatever its value.

    Returns
    -------
    matrix : (block, order * knot, order * knot) float64
    right : (block, order * knot) float64
        Of data = sum over orders of light * spline(place).
    """
    n_order, _, n_dispersion = place.shape
    n_blocks, n = -(-n_dispersion // BLOCK), n_order * N_KNOTS
    matrix, right = np.zeros((n_blocks, n, n)), np.zeros((n_blocks, n))
    scratch = np.zeros(n_order, np.int64), np.zeros((n_order, 4))
    _add_sums(place, light, data, weight, BLOCK, scratch, matrix, right)
    parts = [slice(o * N_KNOTS, (o + 1) * N_KNOTS) for o in range(n_order)]
    for i in range(n_order):
        for j in range(i):  # the loop leaves out the mirrored pairs of orders
            matrix[:, parts[j], parts[i]] = matrix[:, parts[i], parts[j]].transpose(0, 2, 1)
    return matrix, right


@kernel()
def _paint(place, coefficients, spline, out):  # noqa: ANN001, ANN202 -- numba infers the types
    """Do the work of `paint`."""
    n_order, n_spatial, n_dispersion = place.shape
    for o in range(n_order):
        for y in range(n_spatial):
            for x in range(n_dispersion):
                whole = int(place[o, y, x])
                _cubic(place[o, y, x] - whole, 1.0, spline, 0)
                total = 0.0
                for a in range(4):
                    total += spline[0, a] * coefficients[o, whole - 1 + a, x]
                out[o, y, x] = total


def paint(place: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Return the profiles on the pixels.

    Parameters
    ----------
    place : (order, spatial, dispersion) float64
        From `knot_places`.
    coefficients : (order, knot, dispersion) float64

    Returns
    -------
    (order, spatial, dispersion) float64
    """
    out = np.empty(place.shape)
    _paint(place, np.ascontiguousarray(coefficients), np.zeros((1, 4)), out)
    return out


def at_distance(distance: np.ndarray) -> np.ndarray:
    """Return the splines at distances from the trace, (distance, knot) float64."""
    place = knot_places(distance)
    whole = place.astype(np.int64)
    values, four = np.zeros((place.size, N_KNOTS)), np.zeros((1, 4))
    for i in range(place.size):  # a few dozen distances
        _cubic(place[i] - whole[i], 1.0, four, 0)
        values[i, whole[i] - 1 : whole[i] + 3] = four[0]
    return values
