"""How the telescope moves: one pose for every read.

A pose is the shift of the light across and along dispersion (pixels), the roll of the field
(radian), the relative change of the image's width (focus) and of the light that arrives
(throughput). All are evaluated once per read, in the middle of the interval before it; tilts
as the mean over that interval, so that the charge of the read that sees one is right.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsoxr.simulation.clock import SECONDS_PER_DAY
from tsoxr.simulation.events import AntennaMove, Tilt
from tsoxr.simulation.streams import stream

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["AT_REST", "Motion", "Pose", "Telescope", "motion"]

SECONDS_PER_HOUR = 3600.0
RADIAN_PER_ARCSEC = np.pi / 648000.0


class Pose(NamedTuple):
    """Where the light falls during one read; see the module's text."""

    across: float = 0.0
    along: float = 0.0
    roll: float = 0.0
    focus: float = 0.0
    throughput: float = 1.0


AT_REST = Pose()


@dataclass(frozen=True, eq=False)
class Motion:
    """The poses of an exposure, each (time, read) float64 in the units of `Pose`."""

    across: np.ndarray
    along: np.ndarray
    roll: np.ndarray
    focus: np.ndarray
    throughput: np.ndarray

    def at(self, index: int, read: int) -> Pose:
        """Return the pose of one read of one integration."""
        return Pose(*(float(getattr(self, name)[index, read]) for name in Pose._fields))

    def mean_pose(self, index: int) -> Pose:
        """Return the mean pose of one integration."""
        return Pose(*(float(getattr(self, name)[index].mean()) for name in Pose._fields))


@dataclass(frozen=True)
class Telescope:
    """How the telescope moves while it observes; 0 switches a term off.

    Parameters
    ----------
    jitter_drift : float
        rms of a first-order autoregressive drift, on each axis, pixels.
    jitter_memory : float
        Integrations over which that drift forgets.
    jitter : float
        rms of white jitter from integration to integration, on each axis, pixels.
    read_jitter : float
        rms of white jitter from read to read, on each axis, pixels.
    drift_across, drift_along : float
        Drift from the start of the exposure, pixels per hour.
    roll_drift : float
        Roll from the start of the exposure, arcsec per hour.
    roll_jitter : float
        rms of the roll from integration to integration, arcsec.
    breathing : float
        Amplitude of the sine of the relative width of the image.
    breathing_period : float
        Its period, hours.
    """

    jitter_drift: float = 3e-3
    jitter_memory: float = 20.0
    jitter: float = 1e-3
    read_jitter: float = 0.0
    drift_across: float = 0.0
    drift_along: float = 0.0
    roll_drift: float = 0.0
    roll_jitter: float = 0.0
    breathing: float = 0.0
    breathing_period: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        signed = ("drift_across", "drift_along", "roll_drift")
        for each in fields(self):
            value = getattr(self, each.name)
            fine = isinstance(value, Real) and np.isfinite(value)
            if not fine or (value < 0 and each.name not in signed):
                raise ValueError(
                    f"simulate: Telescope has {each.name}={value!r}; it must be finite"
                    + ("" if each.name in signed else " and not negative")
                )
        for name in ("jitter_memory", "breathing_period"):
            if not getattr(self, name) > 0:
                raise ValueError(f"simulate: Telescope has {name}=0; it must be positive")


def motion(exposure: Exposure) -> Motion:
    """Return the motion during an exposure.

    What `Telescope` describes needs ``"jitter"`` among the sources; tilts and moves of the
    antenna happen whatever the sources.
    """
    clock = exposure.clock
    shape = (clock.n_integrations, clock.read_frame.size)
    parts = {name: np.zeros(shape) for name in Pose._fields}
    parts["throughput"] += 1.0
    if "jitter" in exposure.sources:
        _add_own_motion(exposure, parts)
    for number, event in enumerate(exposure.events):
        if isinstance(event, Tilt):
            _add_tilt(event, exposure, parts)
        elif isinstance(event, AntennaMove):
            _add_antenna_move(event, exposure, parts, number)
    return Motion(**parts)


def _add_own_motion(exposure: Exposure, parts: dict[str, np.ndarray]) -> None:
    own, clock, seed = exposure.telescope, exposure.clock, exposure.motion_seed
    rng = stream(seed, "pointing")
    shape = parts["across"].shape
    for name in ("across", "along"):  # each axis has numbers of its own from one generator
        parts[name] += _wander(shape[0], own, rng)[:, None]
    seconds = clock.integration_start[:, None] + clock.read_time - 0.5 * clock.interval
    hours = seconds / SECONDS_PER_HOUR
    parts["across"] += own.drift_across * hours
    parts["along"] += own.drift_along * hours
    parts["focus"] += own.breathing * np.sin(2.0 * np.pi * hours / own.breathing_period)
    parts["roll"] += own.roll_drift * hours * RADIAN_PER_ARCSEC
    roll = stream(seed, "roll").standard_normal(shape[0])
    parts["roll"] += own.roll_jitter * RADIAN_PER_ARCSEC * roll[:, None]
    rng = stream(seed, "read_jitter")
    parts["across"] += own.read_jitter * rng.standard_normal(shape)
    parts["along"] += own.read_jitter * rng.standard_normal(shape)


def _wander(n: int, own: Telescope, rng: np.random.Generator) -> np.ndarray:
    memory = np.exp(-1.0 / own.jitter_memory)
    kicks = rng.standard_normal(n) * np.sqrt(1.0 - memory**2)
    kicks[0] /= np.sqrt(1.0 - memory**2)
    response = memory ** np.arange(max(int(30 * own.jitter_memory), 1))
    slow = np.convolve(kicks, response)[:n]
    return own.jitter_drift * slow + own.jitter * rng.standard_normal(n)


def _intervals(exposure: Exposure) -> tuple[np.ndarray, np.ndarray]:
    """Return begin and end of the interval before each read, (time, read) BMJD_TDB, d."""
    clock = exposure.clock
    start = clock.tdb(0.0)[:, None]
    begin = clock.read_time - clock.interval
    return start + begin / SECONDS_PER_DAY, start + clock.read_time / SECONDS_PER_DAY


def _add_tilt(event: Tilt, exposure: Exposure, parts: dict[str, np.ndarray]) -> None:
    done = event.done(*_intervals(exposure))
    for name in ("across", "along", "focus"):
        parts[name] += getattr(event, name) * done
    parts["throughput"] *= 1.0 + 1e-6 * event.flux * done


def _add_antenna_move(
    event: AntennaMove, exposure: Exposure, parts: dict[str, np.ndarray], number: int
) -> None:
    begin, end = _intervals(exposure)
    middle = 0.5 * (begin + end)
    shaking = event.shaking(middle)
    rng = stream(exposure.motion_seed, "antenna", number)
    for name in ("across", "along"):
        parts[name] += getattr(event, name) * event.done(middle)
        parts[name][shaking] += event.amplitude * rng.standard_normal(int(shaking.sum()))
