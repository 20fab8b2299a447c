"""Star and planet together: the relative flux of each wavelength at any time.

The light of star and planet (`tsoxr.simulation.planet`) is multiplied by a light curve of
the user's own; spots and flares (`tsoxr.simulation.events`) add to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.simulation.clock import SECONDS_PER_DAY
from tsoxr.simulation.events import Flare, Spot
from tsoxr.simulation.planet import (
    Function,
    Planet,
    default_limb_darkening,
    default_period,
    over_wavelength,
    radius_over_wavelength,
)

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["LightCurve", "System", "build_systems"]

LightCurve = xr.DataArray | Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Relative flux over ``time``, BMJD_TDB d, and maybe ``wavelength``, um; or a function of both."""

TRANSIT_SHARE = 0.4
"""Part of the exposure that the default transit fills."""


@dataclass(frozen=True, eq=False)
class System:
    """Star and planet at the wavelengths of one component of the light.

    ``wavelength`` (wavelength,) um; ``curve(time)`` the user's own factor; ``events`` spots
    and flares; ``star`` its temperature, K, which colours them.
    """

    planet: Planet
    wavelength: np.ndarray
    curve: Function | None
    events: tuple[Spot | Flare, ...]
    star: float

    def flux(self, time: np.ndarray) -> np.ndarray:
        """Return the flux relative to the star alone.

        Parameters
        ----------
        time : (..., wavelength) float64
            BMJD_TDB, d; the last axis has one time per wavelength, or length 1.

        Returns
        -------
        (..., wavelength) float64
        """
        transit = self.planet.transit(time)
        out = transit + self.planet.light(time)
        if self.curve is not None:
            out = out * self.curve(time)
        for event in self.events:
            out = out + event.added(time, self.wavelength, self.star, 1.0 - transit)
        return out


def build_systems(exposure: Exposure) -> dict[int, System]:
    """Return star and planet in each order of an exposure."""
    components = exposure.scene.components
    first = components[0].wavelength
    radius = radius_over_wavelength(exposure.radius_ratio, exposure.feature_depth, first)
    eclipse = over_wavelength("eclipse_depth", exposure.eclipse_depth, first)
    darkening = _darkening(exposure, first)
    clock = exposure.clock
    period, t0 = exposure.period, exposure.t0
    if period is None:
        duration = TRANSIT_SHARE * clock.exposure_time / SECONDS_PER_DAY
        size = float(radius(first).mean())
        period = default_period(duration, exposure.a_over_rs, exposure.inclination, size)
    if t0 is None:
        t0 = 0.5 * (clock.tdb(0.0)[0] + clock.tdb(1.0)[-1])
    events = tuple(e for e in exposure.events if isinstance(e, Spot | Flare))
    out = {}
    for each in components:
        wave = each.wavelength
        u1, u2 = darkening(wave)
        planet = Planet(
            period=period,
            t0=t0,
            a_over_rs=exposure.a_over_rs,
            inclination=exposure.inclination,
            radius_ratio=radius(wave),
            u1=u1,
            u2=u2,
            eclipse_depth=1e-6 * eclipse(wave),
        )
        curve = None if exposure.light_curve is None else _own_curve(exposure.light_curve, wave)
        out[each.order] = System(planet, wave, curve, events, exposure.star_temperature)
    return out


def _darkening(
    exposure: Exposure, first: np.ndarray
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    given = exposure.limb_darkening
    if given is None:
        return default_limb_darkening
    if len(given) != 2:
        raise ValueError(
            f"simulate: limb_darkening has {len(given)} parts; it takes the pair u1, u2 of the "
            "quadratic law"
        )
    u1, u2 = (over_wavelength("limb_darkening", u, first) for u in given)
    return lambda wave: (u1(wave), u2(wave))


def _own_curve(curve: LightCurve, wavelength: np.ndarray) -> Function:
    if not isinstance(curve, xr.DataArray):
        return lambda time: np.asarray(curve(time, wavelength), dtype=float)
    if "time" not in curve.coords or not set(curve.dims) <= {"time", "wavelength"}:
        raise ValueError(
            f"simulate: light_curve has dims {curve.dims}; it takes time (BMJD_TDB, d) and maybe "
            "wavelength (um), with coordinates"
        )
    ordered = curve.sortby("time")
    values = ordered.transpose("time", ...).values.astype(float).reshape(curve.sizes["time"], -1)
    if "wavelength" in curve.dims:
        own = curve["wavelength"].values.astype(float)
        sort = np.argsort(own)
        values = _interpolated(own[sort], values[:, sort].T, wavelength).T
    times = ordered["time"].values.astype(float)
    return lambda time: _at_times(times, values, time)


def _interpolated(at: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Interpolate rows: (n, column) at ``at`` (n,) to (wanted, column), constant beyond the ends."""
    k, part = _place(at, wanted)
    return (1.0 - part)[:, None] * values[k] + part[:, None] * values[k + (at.size > 1)]


def _place(at: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if at.size == 1:
        return np.zeros(wanted.shape, dtype=int), np.zeros(wanted.shape)
    k = np.clip(np.searchsorted(at, wanted) - 1, 0, at.size - 2)
    return k, np.clip((wanted - at[k]) / (at[k + 1] - at[k]), 0.0, 1.0)


def _at_times(times: np.ndarray, values: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Interpolate ``values`` (n, wavelength or 1) to ``time`` (..., wavelength or 1)."""
    k, part = _place(times, time)
    column = np.arange(values.shape[1])
    return (1.0 - part) * values[k, column] + part * values[k + (times.size > 1), column]
