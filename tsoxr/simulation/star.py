"""The light of the star: photons per unit wavelength, a black body or a given spectrum.

A given spectrum is linear between its samples. A pixel receives its integral over the pixel,
so that narrow lines are neither lost nor doubled where the samples are finer than the pixels.
Only the shape matters: the brightness of an exposure sets the scale.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real

import numpy as np
import xarray as xr

__all__ = ["Star", "photons", "pixel_edges", "star_function"]

Star = float | xr.DataArray | None

SECOND_RADIATION_CONSTANT = 14387.77
"""h c / k, um K."""


def photons(wavelength: np.ndarray, temperature: float) -> np.ndarray:
    """Return photons per unit wavelength of a black body, unscaled; ``wavelength`` in um."""
    return wavelength**-4 / np.expm1(SECOND_RADIATION_CONSTANT / (wavelength * temperature))


def pixel_edges(wavelength: np.ndarray) -> np.ndarray:
    """Return the limits of pixels from their centres, ascending: (pixel + 1,) of (pixel,) um."""
    middle = 0.5 * (wavelength[1:] + wavelength[:-1])
    first = 1.5 * wavelength[0] - 0.5 * wavelength[1]
    last = 1.5 * wavelength[-1] - 0.5 * wavelength[-2]
    return np.concatenate([[first], middle, [last]])


def star_function(star: Star, temperature: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function that gives the star's photons per unit wavelength.

    Parameters
    ----------
    star : float, DataArray or None
        Temperature of a black body, K; photons per um over ``wavelength``, um; None for a
        black body of ``temperature``.
    temperature : float
        K.

    Returns
    -------
    callable
        Of the wavelengths of the pixels, ascending, (wavelength,) um; the mean over each
        pixel for a given spectrum.

    Raises
    ------
    ValueError
        For a temperature that is not positive; for a spectrum without ``wavelength``, with
        negative or infinite values, or without any light.
    """
    if isinstance(star, xr.DataArray):
        return _Spectrum(*_samples(star))
    kelvin = temperature if star is None else star
    if not (isinstance(kelvin, Real) and np.isfinite(kelvin) and kelvin > 0):
        raise ValueError(
            f"simulate: star is {kelvin!r}; it takes a temperature in K, or a DataArray of "
            "photons per um over wavelength"
        )
    return lambda wavelength: photons(wavelength, float(kelvin))


def _samples(star: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    if star.dims != ("wavelength",) or "wavelength" not in star.coords or star.size < 2:
        raise ValueError(
            f"simulate: star has dims {star.dims}; it needs the one dim 'wavelength' with a "
            "coordinate in um and two samples or more"
        )
    ordered = star.sortby("wavelength")
    wavelength = ordered["wavelength"].values.astype(float)
    density = ordered.values.astype(float)
    bad = ~(np.isfinite(density) & (density >= 0))
    if bad.any():
        raise ValueError(
            f"simulate: star contains {density[bad][0]:g}; photons per um are finite and not negative"
        )
    if not density.any():
        raise ValueError("simulate: star is 0 throughout; give a star that shines")
    if not (np.diff(wavelength) > 0).all():
        raise ValueError(
            "simulate: star gives a wavelength twice or one that is no number; each may stand once"
        )
    return wavelength, density


class _Spectrum:
    """Mean of a piecewise linear density over pixels."""

    def __init__(self, wavelength: np.ndarray, density: np.ndarray) -> None:
        self._wavelength, self._density = wavelength, density
        area = 0.5 * (density[1:] + density[:-1]) * np.diff(wavelength)
        self._integral = np.concatenate([[0.0], np.cumsum(area)])

    def __call__(self, wavelength: np.ndarray) -> np.ndarray:
        own = self._wavelength
        if wavelength[0] < own[0] or wavelength[-1] > own[-1]:
            raise ValueError(
                f"simulate: star covers {own[0]:.4g} to {own[-1]:.4g} um; the mode needs "
                f"{wavelength[0]:.4g} to {wavelength[-1]:.4g} um"
            )
        edges = np.clip(pixel_edges(wavelength), own[0], own[-1])
        return np.diff(self._below(edges)) / np.diff(edges)

    def _below(self, edges: np.ndarray) -> np.ndarray:
        own, density = self._wavelength, self._density
        k = np.clip(np.searchsorted(own, edges, side="right") - 1, 0, own.size - 2)
        far = edges - own[k]
        slope = (density[k + 1] - density[k]) / (own[k + 1] - own[k])
        return self._integral[k] + far * (density[k] + 0.5 * slope * far)
