"""Profiles of overlapping spectral orders, fitted to all pixels of a frame at once.

All orders have one profile in common, W, and the fainter ones depart from it in their bright
part: P_o(u, x) = W(u, x) + C_o(u, x), with splines across (`order_basis`) and Legendre
polynomials along the dispersion. Where one order lies on the wings of another, both are so
known from where they are seen apart: the wings of the first from columns that the second has
left, and from the other side of its trace.

The fit is linear, and regularised (Tikhonov): the departures C_o and what changes along the
dispersion are drawn towards zero, the logarithmic slope of the wings towards a smooth one.

Axes are (order, spatial, dispersion).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.polynomial import legendre
from scipy.linalg import cho_factor, cho_solve

from tsoxr.kernels import order_basis

__all__ = ["HALF_WIDTH", "fitted", "guess"]

HALF_WIDTH = 16
"""Half width of the aperture in which a profile sums to one, pixels."""

DEGREE = 5
"""Of the polynomials along dispersion: width and wings change with wavelength."""
BRIGHT = 24.0
"""Where the bright part ends, pixels: the edges lie at 11, with a slope of 3."""

LEVEL = 2.0
"""Profile over the expected one, 1 sigma."""
CHANGE = 0.5
"""Change of a profile along dispersion over the expected profile, 1 sigma."""
SLOWER = 0.5
"""In the wings each polynomial is expected to have so much less of it than the one before."""
DEPARTURE = 0.1, 0.2
"""Of the fainter orders from the common profile over the expected one, 1 sigma, in the bright part
and in the wings: at the same place on the detector their wavelength is another."""
ROUGH = 0.1
"""Second difference from knot to knot of wings over the expected ones, 1 sigma."""
SIDES, SIDES_LENGTH = 0.2, 10.0
"""Difference between the wings of both sides over the expected ones, 1 sigma, at the bright part,
and the distance in which it falls by e, pixels. Diffraction is symmetric far out, and there one
side often lies under another order, where it could not be told from an error of that one."""


def guess(distance: np.ndarray) -> np.ndarray:
    """Return the profile from which the fit starts: a plateau of 23 pixels, and wings.

    Parameters
    ----------
    distance : (...,) float
        From the trace, pixels.

    Returns
    -------
    (...,) float64
        Share of the light per pixel. The wings are those of a frame of WASP-39, within a
        factor of two.
    """
    from scipy.special import expit

    u = np.asarray(distance, dtype=np.float64)
    plateau = expit((u + 11.5) / 1.7) - expit((u - 11.5) / 1.7)
    return 0.041 * plateau + 0.125 * (u**2 + 15.0**2) ** -0.75


@cache
def _prior() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the precision of the common profile and of a departure, and the mean of the former.

    Coefficients are (knot, degree), flattened.
    """
    distance = order_basis.knot_distances()
    usual = guess(distance)
    wing, degree = np.abs(distance) > BRIGHT, np.arange(DEGREE + 1)
    slower = np.where(wing[:, None], SLOWER ** np.maximum(degree - 1, 0), 1.0)
    common = usual[:, None] * np.where(degree > 0, CHANGE * slower, LEVEL)
    apart = usual[:, None] * slower * np.where(wing, DEPARTURE[1], DEPARTURE[0])[:, None]
    rules = []
    for knot in np.flatnonzero(wing):
        away = min((np.abs(distance[knot]) - BRIGHT) / SIDES_LENGTH, 6.0)
        mirrored = np.zeros(usual.size)
        mirrored[[knot, -1 - knot]] = np.array([1.0, -1.0]) / (SIDES * np.exp(-away) * usual[knot])
        rules.append(mirrored / np.sqrt(2.0))  # each pair comes twice
        if 0 < knot < usual.size - 1 and wing[knot - 1] and wing[knot + 1]:
            rough = np.zeros(usual.size)
            rough[knot - 1 : knot + 2] = [1.0, -2.0, 1.0] / usual[knot - 1 : knot + 2] / ROUGH
            rules.append(rough)
    bound = np.kron(np.array(rules).T @ np.array(rules), np.eye(degree.size))
    mean = np.where(degree > 0, 0.0, usual[:, None])
    of_common, of_apart = (bound + np.diag(s.ravel() ** -2.0) for s in (common, apart))
    return of_common, of_apart, mean.ravel()


def fitted(
    place: np.ndarray, light: np.ndarray, data: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the profiles of all orders, given the light of each column.

    Parameters
    ----------
    place : (order, spatial, dispersion) float64
        From `order_basis.knot_places`.
    light : (order, dispersion) float64
        Light of each order; 0 where it has none.
    data, weight : (spatial, dispersion) float64
        Frame and inverse variances; 0 leaves a pixel out.

    Returns
    -------
    coefficients : (order, knot, dispersion) float64
        For `order_basis.paint`; each profile sums to one within `HALF_WIDTH`.
    factor : (order, dispersion) float64
        Sum within `HALF_WIDTH` before: ``light`` times it goes with the profiles.
    """
    n_order, _, n_dispersion = place.shape
    matrix, right = order_basis.normal_sums(place, light, data, weight)
    middle = (np.arange(len(right)) + 0.5) * order_basis.BLOCK - 0.5
    terms = legendre.legvander(2.0 * middle / max(n_dispersion - 1, 1) - 1.0, DEGREE)
    common, apart, mean = _prior()
    normal = _expanded(matrix, terms).reshape(n_order, mean.size, n_order, mean.size)
    pull = (right.T @ terms).reshape(n_order, -1)
    # each order is the common profile, and its own departure from it
    normal[0] += normal[1:].sum(axis=0)
    normal[:, :, 0] += normal[:, :, 1:].sum(axis=2)
    pull[0] += pull[1:].sum(axis=0) + common @ mean
    for o in range(n_order):
        normal[o, :, o, :] += apart if o else common
    square = normal.reshape(pull.size, pull.size)
    size = np.sqrt(np.diag(square))
    factor = cho_factor(square / size / size[:, None], overwrite_a=True)
    found = (cho_solve(factor, pull.ravel() / size) / size).reshape(n_order, -1)
    found[1:] += found[0]
    along = legendre.legvander(np.linspace(-1.0, 1.0, n_dispersion), DEGREE)
    return _normalised(found.reshape(n_order, -1, DEGREE + 1) @ along.T)


def _expanded(matrix: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """Return the normal matrix of coefficients times polynomials, (knot * term, knot * term)."""
    n_blocks, n, _ = matrix.shape
    n_terms = terms.shape[1]
    pairs = [(i, j) for i in range(n_terms) for j in range(i + 1)]
    products = np.stack([terms[:, i] * terms[:, j] for i, j in pairs])
    made = (products @ matrix.reshape(n_blocks, -1)).reshape(len(pairs), n, n)
    out = np.empty((n, n_terms, n, n_terms))
    for (i, j), each in zip(pairs, made, strict=True):
        out[:, i, :, j] = out[:, j, :, i] = each
    return out.reshape(n * n_terms, n * n_terms)


def _normalised(coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    inside = order_basis.at_distance(np.arange(-HALF_WIDTH, HALF_WIDTH + 1.0)).sum(axis=0)
    total = np.einsum("k,okx->ox", inside, coefficients)
    total = np.where(total > 0, total, 1.0)
    return coefficients / total[:, None], total
