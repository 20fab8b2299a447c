"""Checks of an exposure's parameters before anything is drawn."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from tsoxr.errors import TsoWarning
from tsoxr.kernels.transit import transit_duration

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["check", "warn_of_saturation"]


def check(given: Exposure) -> None:
    """Refuse parameters that make no sense.

    Raises
    ------
    ValueError
        The message names the parameter, its value and what is allowed.
    """
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
    if not 0 <= given.inclination <= 180:
        raise ValueError(
            f"simulate: inclination is {given.inclination}; it is in degrees, 0 to 180"
        )
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
    _ = given.sources, given.clock, given.planet


def _point_duration(given: Exposure) -> float:
    """Return the transit's duration in periods for a planet of no size."""
    return transit_duration(1.0, given.a_over_rs, given.inclination, 0.0)


def warn_of_saturation(given: Exposure) -> None:
    """Warn when the star fills the well of the brightest pixel before the last group."""
    own, view = given.setup, given.scene
    well = (own.constants.saturation - own.electronics.bias) * own.constants.gain
    filled = view.star[own.science].max() * given.clock.integration_time / well
    groups = given.n_groups / max(filled, 1e-12)
    if given.n_groups > groups:
        warnings.warn(
            f"simulate: the brightest pixel saturates after {groups:.1f} of {given.n_groups} groups; "
            "lower brightness or n_groups for ramps without saturation",
            TsoWarning,
            stacklevel=5,
        )
