"""How many photons of a star become electrons, where a published calibration in flight tells.

Tables of the efficiency from the telescope's mirror to the detector at a few wavelengths, read
off the calibrations that each names. What stands in none of them is not here: no values of
design, and none of an exposure-time calculator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["THROUGHPUTS", "Throughput", "efficiency_at", "logarithmic"]


@dataclass(frozen=True)
class Throughput:
    """Efficiency at some wavelengths (um), straight lines between them."""

    table: tuple[tuple[float, float], ...]
    absolute: bool
    """Whether it is electrons per photon, or only relative to the peak."""
    accuracy: float
    """Relative error, of the calibration and of straight lines, above a twentieth of the peak."""
    basis: str


_SOSS = "in-flight SPECTRACE reference 0023 (BD+60 1753, programme 1091)"

THROUGHPUTS: dict[str, Throughput] = {
    "niriss-soss/1": Throughput(
        (
            (0.85, 0.200), (0.90, 0.265), (1.00, 0.385), (1.10, 0.492), (1.20, 0.546),
            (1.30, 0.529), (1.40, 0.473), (1.50, 0.411), (1.60, 0.359), (1.70, 0.314),
            (1.80, 0.281), (1.90, 0.256), (2.00, 0.237), (2.10, 0.220), (2.20, 0.201),
            (2.30, 0.190), (2.40, 0.176), (2.50, 0.167), (2.60, 0.156), (2.70, 0.152),
            (2.80, 0.137),
        ),
        absolute=True, accuracy=0.03, basis=_SOSS,
    ),
    "niriss-soss/2": Throughput(
        (
            (0.58, 0.053), (0.60, 0.094), (0.62, 0.154), (0.65, 0.250), (0.70, 0.347),
            (0.75, 0.315), (0.80, 0.226), (0.85, 0.153), (0.90, 0.102), (0.95, 0.064),
            (1.00, 0.038), (1.10, 0.010), (1.20, 0.002),
        ),
        absolute=True, accuracy=0.16,
        basis=f"{_SOSS}; 18 % above the light of order 2 in a frame of WASP-39",
    ),
    "niriss-soss/3": Throughput(
        (
            (0.70, 0.0072), (0.74, 0.0217), (0.78, 0.0242), (0.82, 0.0231), (0.86, 0.0207),
            (0.90, 0.0158), (0.95, 0.0103),
        ),
        absolute=True, accuracy=0.2,
        basis=f"{_SOSS}; 18 % above the light of order 3 in a frame of WASP-39",
    ),
    "nircam-grism/F322W2": Throughput(
        (
            (2.41, 0.171), (2.45, 0.590), (2.50, 0.653), (2.60, 0.790), (2.80, 0.869),
            (3.00, 0.903), (3.20, 0.967), (3.40, 0.933), (3.60, 0.919), (3.80, 0.833),
            (3.90, 0.755), (3.95, 0.721), (4.00, 0.325), (4.02, 0.177), (4.05, 0.062),
        ),
        absolute=False, accuracy=0.1,
        basis="curve of the early-release programme (M. Mansfield), over its peak",
    ),
    "nircam-grism/F444W": Throughput(
        (
            (3.85, 0.021), (3.90, 0.268), (3.95, 0.430), (4.00, 0.443), (4.10, 0.445),
            (4.20, 0.442), (4.30, 0.427), (4.40, 0.421), (4.50, 0.412), (4.60, 0.391),
            (4.70, 0.368), (4.80, 0.344), (4.90, 0.325), (4.95, 0.301), (5.00, 0.188),
            (5.05, 0.067),
        ),
        absolute=True, accuracy=0.1,
        basis="sensitivity of module A, grism R (F. Sun 2022), DN/s/Jy, with a gain of 1.84 "
        "electron/DN, 0.98 nm for a pixel and a mirror of 25.4 m2",
    ),
}  # fmt: skip
"""Efficiencies by mode and order or filter."""


def efficiency_at(throughput: Throughput, wavelength: np.ndarray) -> np.ndarray:
    """Return the efficiency at wavelengths, NaN outside the table.

    Parameters
    ----------
    throughput : Throughput
        One of `THROUGHPUTS`.
    wavelength : (...,) float
        Wavelengths, um.

    Examples
    --------
    >>> round(float(efficiency_at(THROUGHPUTS["niriss-soss/1"], 1.22)), 2)
    0.54
    """
    at, value = np.array(throughput.table).T
    return np.interp(wavelength, at, value, left=np.nan, right=np.nan)


def logarithmic(throughput: Throughput, wavelength: np.ndarray) -> np.ndarray:
    """Return the efficiency with its logarithm interpolated, and continued beyond the table.

    Parameters
    ----------
    throughput : Throughput
        One of `THROUGHPUTS`.
    wavelength : (...,) float
        Wavelengths, um.

    Returns
    -------
    (...,) float64
        Beyond the table the slope of the logarithm at its end is kept: an estimate for the faint
        ends of an order. NaN where the wavelength is.
    """
    at, value = np.array(throughput.table).T
    wave, log = np.asarray(wavelength, dtype=np.float64), np.log(value)
    first, last = np.diff(log[:2]) / np.diff(at[:2]), np.diff(log[-2:]) / np.diff(at[-2:])
    beyond = np.minimum(wave - at[0], 0.0) * first + np.maximum(wave - at[-1], 0.0) * last
    return np.exp(np.interp(wave, at, log) + beyond)
