"""The transit: orbit, radius and limb darkening as functions of wavelength."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from tsoxr.kernels.transit import projected_separation, quadratic_transit, transit_duration

__all__ = ["Planet", "default_limb_darkening", "default_period", "radius_on"]

BANDS = (
    (1.4, 0.12, 0.5),
    (1.9, 0.12, 0.4),
    (2.7, 0.2, 0.8),
    (4.3, 0.18, 1.0),
    (7.5, 0.5, 0.6),
    (9.7, 0.8, 1.0),
)
"""Centre and width in um, and relative strength, of the features of the default planet:
water, water, water, carbon dioxide, methane or sulphur dioxide, silicates."""


@dataclass(frozen=True, eq=False)
class Planet:
    """A planet on a circular orbit; ``radius_ratio``, ``u1``, ``u2`` along dispersion."""

    period: float
    t0: float
    a_over_rs: float
    inclination: float
    radius_ratio: np.ndarray
    u1: np.ndarray
    u2: np.ndarray

    def flux(self, time: np.ndarray) -> np.ndarray:
        """Return the relative flux of star and planet.

        Parameters
        ----------
        time : (..., dispersion) float64
            BMJD_TDB, d; the last axis has one time per wavelength, or length 1.

        Returns
        -------
        (..., dispersion) float64
        """
        separation = projected_separation(
            time, self.period, self.t0, self.a_over_rs, self.inclination
        )
        return quadratic_transit(separation, self.radius_ratio, self.u1, self.u2)

    @property
    def duration(self) -> float:
        """Time from first to fourth contact at the mean radius, d."""
        radius = float(np.mean(self.radius_ratio))
        return transit_duration(self.period, self.a_over_rs, self.inclination, radius)

    def in_transit(self, time: np.ndarray) -> np.ndarray:
        """Return True between first and fourth contact; ``time`` (time,) BMJD_TDB, d."""
        phase = (np.asarray(time) - self.t0 + 0.5 * self.period) % self.period - 0.5 * self.period
        return np.abs(phase) < 0.5 * self.duration


def default_limb_darkening(wavelength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return u1 and u2 of a sun-like star: darkening fades towards the infrared."""
    return 0.04 + 0.22 / wavelength, 0.08 + 0.12 / (1.0 + wavelength)


def default_period(
    duration: float, a_over_rs: float, inclination: float, radius_ratio: float
) -> float:
    """Return the period whose transit lasts ``duration``, in the same unit."""
    return duration / transit_duration(1.0, a_over_rs, inclination, radius_ratio)


def radius_on(
    wavelength: np.ndarray, radius_ratio: float | np.ndarray | xr.DataArray, feature_depth: float
) -> np.ndarray:
    """Return Rp/Rs at each wavelength.

    Parameters
    ----------
    wavelength : (dispersion,) float64
        um, in the order of the result.
    radius_ratio : float, array or DataArray
        One number, to which ``feature_depth`` adds features; one number for each
        wavelength; or a DataArray with a ``wavelength`` coordinate, interpolated.
    feature_depth : float
        Depth of the strongest default feature, ppm; used with one number only.

    Raises
    ------
    ValueError
        For a negative or infinite radius, or the wrong number of values.
    """
    if isinstance(radius_ratio, xr.DataArray) and "wavelength" in radius_ratio.coords:
        known = radius_ratio.sortby("wavelength")
        values = np.interp(wavelength, known["wavelength"].values, known.values)
    else:
        values = np.asarray(radius_ratio, dtype=float)
        if values.ndim > 0 and values.shape != wavelength.shape:
            raise ValueError(
                f"simulate: radius_ratio has shape {values.shape}; it takes one number, or "
                f"{wavelength.size} (one for each wavelength, ascending); give a DataArray with "
                "a wavelength coordinate to have it interpolated"
            )
        if values.ndim == 0:
            values = _with_features(wavelength, float(values), feature_depth)
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        raise ValueError(
            f"simulate: radius_ratio contains {values[bad][0]:g}; it must be finite and not "
            "negative; use 0 for a star without planet"
        )
    return np.asarray(values, dtype=float)


def _with_features(wavelength: np.ndarray, radius: float, feature_depth: float) -> np.ndarray:
    if radius <= 0.0 or not np.isfinite(radius):
        return np.full(wavelength.shape, radius)
    shape = sum(s * np.exp(-0.5 * ((wavelength - c) / w) ** 2) for c, w, s in BANDS)
    return np.sqrt(radius**2 + feature_depth * 1e-6 * shape)
