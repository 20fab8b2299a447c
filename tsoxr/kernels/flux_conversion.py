r"""From count rates to flux density: the response at a wavelength and on a day.

A reference gives the flux density of one DN/s at the wavelengths of a table. The throughput of an
instrument changes with time t, in days after the reference's own day,

.. math:: 1 - \frac{a\, t}{365}, \qquad A e^{-t/\tau} + c, \qquad
   y \left(\frac{t + s}{365 + s}\right)^{\alpha},

and the flux density that stands for one DN/s grows by the inverse of the product of those that
are given.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["TIME_TABLES", "dispersion", "response_at", "throughput"]

YEAR = 365.0

TIME_TABLES = {
    "linear": ("t0", "lossperyear"),
    "exponential": ("t0", "amplitude", "tau", "const"),
    "powerlaw": ("t0", "year1value", "tsoft", "alpha"),
}
"""Laws of change and the names of their numbers: days, and parts of the throughput."""

LONGEST_IN_METRES = 1e-4
"""Wavelengths below this are metres."""


def response_at(wavelength: np.ndarray, table: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Return the response at wavelengths, straight lines between those of a table.

    Parameters
    ----------
    wavelength : (n,) float
        Where it is wanted, um.
    table, response : (m,) float
        In any order, um or m; entries that are not finite or have no positive response are left out.

    Returns
    -------
    (n,) float64
        NaN outside of the table.

    Examples
    --------
    >>> response_at(np.array([1.5, 3.0]), np.array([2.0, 1.0]), np.array([10.0, 20.0]))
    array([15., nan])
    """
    known = np.isfinite(table) & np.isfinite(response) & (response > 0) & (table > 0)
    wave, value = (np.asarray(a, dtype=np.float64)[known] for a in (table, response))
    if wave.size == 0:
        return np.full(np.shape(wavelength), np.nan)
    if wave.max() < LONGEST_IN_METRES:
        wave = 1e6 * wave
    order = np.argsort(wave, kind="stable")
    return np.interp(wavelength, wave[order], value[order], left=np.nan, right=np.nan)


def throughput(law: str, day: float, numbers: Mapping[str, float]) -> float:
    """Return the throughput on a day, over that on the reference's day.

    Parameters
    ----------
    law : {"linear", "exponential", "powerlaw"}
        Of `TIME_TABLES`.
    day : float
        MJD.
    numbers : mapping
        Those that the law has.

    Examples
    --------
    >>> throughput("linear", 60365.0, {"t0": 60000.0, "lossperyear": 0.02})
    0.98
    """
    since = day - numbers["t0"]
    if law == "linear":
        return 1.0 - numbers["lossperyear"] * since / YEAR
    if law == "exponential":
        return numbers["amplitude"] * float(np.exp(-since / numbers["tau"])) + numbers["const"]
    soft = numbers["tsoft"]
    return float(numbers["year1value"] * ((since + soft) / (YEAR + soft)) ** numbers["alpha"])


def dispersion(wavelength: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """Return how much wavelength one pixel holds, um/pixel, not negative.

    Parameters
    ----------
    wavelength, pixel : (n,) float
        Wavelengths and the pixels along dispersion that they come from, in the same order.

    Examples
    --------
    >>> dispersion(np.array([1.0, 1.1, 1.4]), np.array([6.0, 5.0, 2.0])).round(3)
    array([0.1, 0.1, 0.1])
    """
    if wavelength.size < 2:
        return np.full(wavelength.shape, np.nan)
    return np.abs(np.gradient(wavelength, pixel.astype(np.float64)))
