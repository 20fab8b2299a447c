"""Checks of an exposure's parameters before anything is drawn."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.errors import TsoWarning
from tsoxr.kernels.transit import transit_duration
from tsoxr.lazy import sample_indices
from tsoxr.simulation.events import Event, Spot
from tsoxr.simulation.telescope import Telescope

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["check", "check_saturation"]

HOTTEST = 1e-4
"""Part of the pixels of a real frame that may be brighter than what counts as its brightest:
hot pixels saturate in real data too."""


def check(given: Exposure) -> None:
    """Refuse parameters that make no sense.

    Raises
    ------
    ValueError, TypeError
        The message names the parameter, its value and what is allowed.
    """
    _check_numbers(given)
    if given.period is None and not _point_duration(given) > 0:
        raise ValueError(
            f"simulate: an orbit with a_over_rs={given.a_over_rs} and inclination="
            f"{given.inclination} misses the star; raise the inclination, or give a period"
        )
    if given.order not in given.setup.orders:
        raise ValueError(
            f"simulate: {given.mode} has no order {given.order}; "
            f"it has {', '.join(map(str, given.setup.orders))}"
        )
    if not isinstance(given.telescope, Telescope):
        raise TypeError(
            f"simulate: telescope is {given.telescope!r}; it takes a Telescope, such as "
            "Telescope(jitter=0.002)"
        )
    if given.frame is None and given.frame_static is not None:
        raise ValueError("simulate: frame_static is given without frame; give both")
    _check_events(given)
    _ = given.sources, given.clock, given.planet
    _check_light(given)


def _check_numbers(given: Exposure) -> None:
    for name, least in (("n_integrations", 1), ("n_groups", 1), ("n_bins", 1), ("n_hits", 0)):
        value = getattr(given, name)
        if value is not None and (
            not (value >= least and value == np.floor(value) and np.isfinite(value))
        ):
            raise ValueError(
                f"simulate: {name} is {value}; it must be a whole number, at least {least}"
            )
    for name in ("brightness", "period", "a_over_rs", "start"):
        value = getattr(given, name)
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ValueError(f"simulate: {name} is {value}; it must be finite and positive")
    if given.t0 is not None and not np.isfinite(given.t0):
        raise ValueError(f"simulate: t0 is {given.t0}; it is a time, BMJD_TDB in days")
    if not 0 <= given.inclination <= 180:
        raise ValueError(
            f"simulate: inclination is {given.inclination}; it is in degrees, 0 to 180"
        )


def _point_duration(given: Exposure) -> float:
    """Return the transit's duration in periods for a planet of no size."""
    return transit_duration(1.0, given.a_over_rs, given.inclination, 0.0)


def _check_events(given: Exposure) -> None:
    first, last = given.moment(0.0), given.moment(1.0)
    for event in given.events:
        if not isinstance(event, Event):
            raise TypeError(
                f"simulate: events contains {event!r}; it takes a tuple of Spot, Flare, Tilt and "
                "AntennaMove"
            )
        if not first <= event.time <= last:
            _warn(
                f"simulate: {type(event).__name__} is at {event.time:.6f}, outside the exposure "
                f"of {first:.6f} to {last:.6f} BMJD_TDB; Exposure.moment gives times within"
            )


def _check_light(given: Exposure) -> None:
    """Refuse light that is negative or no number, in a sample of the integrations."""
    if isinstance(given.light_curve, xr.DataArray):
        _check_table(given, given.light_curve)
    wave = given.wavelength
    some = sample_indices(given.n_integrations)
    time = np.broadcast_to(given.clock.tdb(0.5)[some, None], (some.size, wave.size))
    system = given.system(given.component)
    if system.curve is not None:
        curve = system.curve(time)
        try:
            np.broadcast_to(curve, time.shape)
        except ValueError:
            raise ValueError(
                f"simulate: light_curve returns shape {np.shape(curve)}; for times of shape "
                f"{time.shape} it must broadcast to that shape"
            ) from None
        _check_flux("light_curve", curve)
    _check_flux("eclipse_depth", 1e6 * system.planet.eclipse_depth)
    for spot in (e for e in system.events if isinstance(e, Spot)):
        if not (system.planet.transit(np.array([spot.time])) < 1).any():
            _warn(
                f"simulate: Spot is at {spot.time:.6f}, outside the transit, and changes nothing; "
                f"mid-transit is at {system.planet.t0:.6f} BMJD_TDB"
            )


def _check_table(given: Exposure, curve: xr.DataArray) -> None:
    _check_flux("light_curve", curve.values)
    time = curve["time"].values
    first, last = given.moment(0.0), given.moment(1.0)
    if time.min() > last or time.max() < first:
        raise ValueError(
            f"simulate: light_curve covers {time.min():.6g} to {time.max():.6g}; the exposure "
            f"runs from {first:.6f} to {last:.6f} BMJD_TDB; Exposure.moment gives times within"
        )


def _check_flux(name: str, values: np.ndarray) -> None:
    bad = ~(np.isfinite(values) & (np.asarray(values) >= 0))
    if bad.any():
        raise ValueError(
            f"simulate: {name} contains {np.asarray(values)[bad][0]:g}; flux is finite and not "
            "negative"
        )


def check_saturation(given: Exposure) -> None:
    """Warn when the brightest pixel fills its well before the last group.

    Raises
    ------
    ValueError
        When it does so before the second group, which leaves no slope to measure.
    """
    own, view = given.setup, given.scene
    well = (own.constants.saturation - own.electronics.bias) * own.constants.gain
    time = well / max(_brightest(given, view.star[own.science]), 1e-12)
    measured = given.clock.group_time[min(1, given.n_groups - 1)]
    if time < measured:
        raise ValueError(
            f"simulate: the brightest pixel saturates {time:.3g} s after reset, before group "
            f"{min(2, given.n_groups)} is read at {measured:.3g} s; lower brightness"
        )
    groups = given.n_groups * time / given.clock.integration_time
    if given.n_groups > groups:
        _warn(
            f"simulate: the brightest pixel saturates after {groups:.1f} of {given.n_groups} groups; "
            "lower brightness or n_groups for ramps without saturation"
        )


def _brightest(given: Exposure, light: np.ndarray) -> float:
    return float(light.max() if given.frame is None else np.quantile(light, 1.0 - HOTTEST))


def _warn(message: str) -> None:
    warnings.warn(message, TsoWarning, stacklevel=6)
