"""The planet: orbit, radius, limb darkening and eclipse as functions of wavelength.

In transit the planet is a dark disc before a star with quadratic limb darkening
(`tsoxr.kernels.transit`). Its own light, ``eclipse_depth`` relative to the star, does not
change with phase; half a period after transit the star hides it, a disc of even brightness
whose visible part is what the overlap of two discs leaves. Flux is relative to the star
alone: 1 within an eclipse, ``1 + eclipse_depth`` before and after it and added in transit too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from tsoxr.kernels.transit import projected_separation, quadratic_transit, transit_duration

__all__ = [
    "Planet",
    "Spectral",
    "default_limb_darkening",
    "default_period",
    "over_wavelength",
    "radius_over_wavelength",
]

Spectral = float | np.ndarray | xr.DataArray
"""One number; one for each wavelength; or a DataArray over ``wavelength``, um."""

Function = Callable[[np.ndarray], np.ndarray]

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
    """A planet on a circular orbit.

    ``period`` d, ``t0`` BMJD_TDB d, ``a_over_rs``, ``inclination`` degrees; along wavelength
    ``radius_ratio``, ``u1``, ``u2`` and ``eclipse_depth``, relative to the star.
    """

    period: float
    t0: float
    a_over_rs: float
    inclination: float
    radius_ratio: np.ndarray
    u1: np.ndarray
    u2: np.ndarray
    eclipse_depth: np.ndarray

    def transit(self, time: np.ndarray) -> np.ndarray:
        """Return the star's light beside the planet, relative; see `flux`."""
        separation = projected_separation(
            time, self.period, self.t0, self.a_over_rs, self.inclination
        )
        return quadratic_transit(separation, self.radius_ratio, self.u1, self.u2)

    def light(self, time: np.ndarray) -> np.ndarray:
        """Return the light of the planet relative to the star; see `flux`."""
        if not self.eclipsing:
            return np.zeros(1)
        separation = projected_separation(
            time, self.period, self.t0 + 0.5 * self.period, self.a_over_rs, self.inclination
        )
        hidden = 1.0 - quadratic_transit(separation, self.radius_ratio, 0.0, 0.0)
        area = np.maximum(self.radius_ratio, 1e-9) ** 2
        return self.eclipse_depth * (1.0 - np.minimum(hidden / area, 1.0))

    def flux(self, time: np.ndarray) -> np.ndarray:
        """Return the relative flux of star and planet.

        Parameters
        ----------
        time : (..., wavelength) float64
            BMJD_TDB, d; the last axis has one time per wavelength, or length 1.

        Returns
        -------
        (..., wavelength) float64
        """
        return self.transit(time) + self.light(time)

    @property
    def eclipsing(self) -> bool:
        """True where the planet shines."""
        return bool(np.any(self.eclipse_depth > 0))

    @property
    def duration(self) -> float:
        """Time from first to fourth contact at the mean radius, d."""
        radius = float(np.mean(self.radius_ratio))
        return transit_duration(self.period, self.a_over_rs, self.inclination, radius)

    def in_transit(self, time: np.ndarray) -> np.ndarray:
        """Return True between first and fourth contact, of the eclipse too if there is one.

        ``time`` (time,) BMJD_TDB, d.
        """
        repeats = 0.5 * self.period if self.eclipsing else self.period
        phase = (np.asarray(time) - self.t0 + 0.5 * repeats) % repeats - 0.5 * repeats
        return np.abs(phase) < 0.5 * self.duration


def default_limb_darkening(wavelength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return u1 and u2 of a sun-like star: darkening fades towards the infrared."""
    return 0.04 + 0.22 / wavelength, 0.08 + 0.12 / (1.0 + wavelength)


def default_period(
    duration: float, a_over_rs: float, inclination: float, radius_ratio: float
) -> float:
    """Return the period whose transit lasts ``duration``, in the same unit."""
    return duration / transit_duration(1.0, a_over_rs, inclination, radius_ratio)


def over_wavelength(name: str, value: Spectral, wavelength: np.ndarray) -> Function:
    """Return a quantity as a function of wavelength.

    Parameters
    ----------
    name : str
        What messages call it.
    value : float, array or DataArray
        One number; one for each wavelength of ``wavelength``; or a DataArray over
        ``wavelength``, interpolated linearly and constant beyond its ends.
    wavelength : (wavelength,) float64
        Wavelengths that an array belongs to, ascending, um.

    Raises
    ------
    ValueError
        For a value that is not finite, or the wrong number of values.
    """
    if isinstance(value, xr.DataArray) and value.dims == ("wavelength",) and value.coords:
        known = value.sortby("wavelength")
        at, values = known["wavelength"].values.astype(float), known.values.astype(float)
    else:
        at, values = wavelength, np.asarray(value, dtype=float)
        if values.ndim > 0 and values.shape != wavelength.shape:
            raise ValueError(
                f"simulate: {name} has shape {values.shape}; it takes one number, or "
                f"{wavelength.size} (one for each wavelength, ascending); give a DataArray with "
                "a wavelength coordinate to have it interpolated"
            )
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(f"simulate: {name} contains {values[bad][0]:g}; it must be finite")
    if values.ndim == 0:
        return lambda wave: np.full(wave.shape, float(values))
    return lambda wave: np.interp(wave, at, values)


def radius_over_wavelength(
    radius_ratio: Spectral, feature_depth: float, wavelength: np.ndarray
) -> Function:
    """Return Rp/Rs as a function of wavelength.

    Parameters
    ----------
    radius_ratio : float, array or DataArray
        As `over_wavelength` has it; to one number ``feature_depth`` adds features.
    feature_depth : float
        Depth of the strongest feature, ppm.
    wavelength : (wavelength,) float64
        Wavelengths that an array belongs to, um.

    Raises
    ------
    ValueError
        For a negative or infinite radius, or the wrong number of values.
    """
    values = np.asarray(radius_ratio, dtype=float)
    bad = ~(np.isfinite(values) & (values >= 0))
    if bad.any():
        raise ValueError(
            f"simulate: radius_ratio contains {values[bad][0]:g}; it must be finite and not "
            "negative; use 0 for a star without planet"
        )
    if values.ndim == 0 and values > 0:
        return lambda wave: _with_features(wave, float(values), feature_depth)
    return over_wavelength("radius_ratio", radius_ratio, wavelength)


def _with_features(wavelength: np.ndarray, radius: float, feature_depth: float) -> np.ndarray:
    shape = sum(s * np.exp(-0.5 * ((wavelength - c) / w) ** 2) for c, w, s in BANDS)
    return np.sqrt(radius**2 + feature_depth * 1e-6 * shape)
