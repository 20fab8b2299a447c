"""Air and vacuum, velocities, lines of hydrogen, and polynomials that give wavelengths."""

from __future__ import annotations

import numpy as np

__all__ = [
    "LIGHT_SPEED",
    "air_to_vacuum",
    "doppler",
    "hydrogen_lines",
    "plane_polynomial",
    "refractive_index",
]

LIGHT_SPEED = 299792.458
"""km/s."""

RYDBERG = 10.9677583
"""Rydberg constant of hydrogen, 1/um."""


def refractive_index(wavelength: np.ndarray) -> np.ndarray:
    """Return the refractive index of standard air at vacuum wavelengths, um.

    Dry air of 15 C at 101325 Pa with 450 ppm of carbon dioxide. Measured from 0.23 to 1.7 um;
    beyond, the formula is extrapolated, and its change is below 1e-7.

    References
    ----------
    Ciddor 1996, Applied Optics 35, 1566.
    """
    squared = np.asarray(wavelength, dtype=np.float64) ** -2
    return 1.0 + 0.05792105 / (238.0185 - squared) + 0.00167917 / (57.362 - squared)


def air_to_vacuum(wavelength: np.ndarray) -> np.ndarray:
    """Return vacuum wavelengths of wavelengths in standard air, both (...) um.

    Examples
    --------
    >>> round(float(air_to_vacuum(1.8751)), 6)
    1.875612
    """
    air = np.asarray(wavelength, dtype=np.float64)
    vacuum = air
    for _ in range(3):  # n changes by 1e-9 over its own correction: three rounds are exact
        vacuum = air * refractive_index(vacuum)
    return vacuum


def doppler(wavelength: np.ndarray, velocity: float) -> np.ndarray:
    """Return wavelengths (...) multiplied by 1 + velocity / c; ``velocity`` in km/s."""
    return np.asarray(wavelength, dtype=np.float64) * (1.0 + velocity / LIGHT_SPEED)


def hydrogen_lines(low: float, high: float, *, n_each: int = 6) -> np.ndarray:
    """Return vacuum wavelengths of hydrogen between two limits, ascending, um.

    Parameters
    ----------
    low, high : float
        Limits, um.
    n_each : int
        Lines of each series (Balmer to Humphreys), from its first on.

    Notes
    -----
    ``1 / wavelength = R (1 / lower^2 - 1 / upper^2)``; fine structure is left out (1e-5).

    Examples
    --------
    >>> hydrogen_lines(1.8, 2.2).round(4)
    array([1.8179, 1.8756, 1.9451, 2.1661])
    """
    lower = np.repeat(np.arange(2, 7), n_each)
    upper = lower + np.tile(np.arange(1, n_each + 1), 5)
    lines = np.sort(1.0 / (RYDBERG * (lower**-2.0 - upper**-2.0)))
    return lines[(lines > low) & (lines < high)]


def plane_polynomial(
    first: np.ndarray, second: np.ndarray, coefficients: np.ndarray, intercept: float, degree: int
) -> np.ndarray:
    """Evaluate a polynomial in two variables, terms by total degree, first variable first.

    Parameters
    ----------
    first, second : (...) float
        The variables.
    coefficients : (n,) float
        Of x, y, x^2, x y, y^2, x^3, ... up to ``degree``; n = (degree + 1)(degree + 2) / 2 - 1.
    intercept : float
        The constant.
    degree : int
        Highest total degree.

    Returns
    -------
    (...) float64

    Raises
    ------
    ValueError
        For another number of coefficients.
    """
    terms = [(total - k, k) for total in range(1, degree + 1) for k in range(total + 1)]
    if len(terms) != len(coefficients):
        raise ValueError(
            f"plane_polynomial: degree {degree} has {len(terms)} coefficients, {len(coefficients)} are given"
        )
    out = np.full(np.broadcast(first, second).shape, float(intercept))
    for c, (i, j) in zip(coefficients, terms, strict=True):
        out += c * np.asarray(first, float) ** i * np.asarray(second, float) ** j
    return out
