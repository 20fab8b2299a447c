"""Things that happen once: a spot crossing, a flare, a tilt of the mirror, a move of the antenna.

`Spot` and `Flare` change the light, `Tilt` and `AntennaMove` the telescope. All times are
BMJD_TDB in days, as the ``time`` of the data; `Exposure.moment` gives the one at a fraction of
an exposure. Durations are in seconds.

A spot that the planet crosses hides less light than the rest of the star. Its bump scales
with the contrast ``1 - B(spot) / B(star)`` of two black bodies, which falls with wavelength.
A flare adds the light of a hot black body: it rises linearly and decays exponentially (the
simplest form of the template of Davenport et al. 2014, ApJ 797, 122).

A segment of the primary mirror that slips is at its new place within 1.4 s: position, width
and light of the image step (Schlawin et al. 2023, PASP 135, 018001). The antenna is repointed
every 10000 s or less, which shakes the telescope for about a minute.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Real

import numpy as np

from tsoxr.simulation.star import photons

__all__ = ["AntennaMove", "Event", "Flare", "Spot", "Tilt"]

SECONDS_PER_DAY = 86400.0
LONGEST_TILT = 1.4


class Event:
    """Something that happens at ``time``, BMJD_TDB, d."""

    time: float

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        name = type(self).__name__
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if not (isinstance(value, Real) and np.isfinite(value)):
                raise ValueError(f"simulate: {name} has {each.name}={value!r}; it must be finite")
            if each.metadata.get("positive") and not value > 0:
                raise ValueError(f"simulate: {name} has {each.name}={value}; it must be positive")

    def seconds_after(self, time: np.ndarray) -> np.ndarray:
        """Return the seconds since the event; ``time`` (...) BMJD_TDB, d."""
        return (np.asarray(time) - self.time) * SECONDS_PER_DAY


def _positive(default: float | None = None):  # noqa: ANN202 -- dataclasses has no public type
    from dataclasses import MISSING, field

    return field(default=MISSING if default is None else default, metadata={"positive": True})


@dataclass(frozen=True)
class Spot(Event):
    """The planet crosses a dark spot of the star.

    Parameters
    ----------
    time : float
        Middle of the crossing, BMJD_TDB, d.
    duration : float
        From the first to the last light, s; the bump is a squared cosine.
    amplitude : float
        Height of the bump at ``wavelength``, ppm of the star; never more than the planet hides.
    temperature : float
        Of the spot, relative to the star.
    wavelength : float
        Where the amplitude holds, um.
    """

    time: float
    duration: float = _positive()
    amplitude: float = _positive()
    temperature: float = _positive(0.85)
    wavelength: float = _positive(1.0)

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        super().__post_init__()
        if not self.temperature < 1:
            raise ValueError(
                f"simulate: Spot has temperature={self.temperature}; it is relative to the star "
                "and must be below 1"
            )

    def added(
        self, time: np.ndarray, wavelength: np.ndarray, star: float, hidden: np.ndarray
    ) -> np.ndarray:
        """Return the light that it adds, (..., wavelength) relative to the star.

        ``time`` (..., wavelength) BMJD_TDB, d; ``wavelength`` (wavelength,) um; ``star`` K;
        ``hidden`` (..., wavelength) the light that the planet hides.
        """
        place = np.clip(self.seconds_after(time) / self.duration, -0.5, 0.5)
        bump = 1e-6 * self.amplitude * np.cos(np.pi * place) ** 2
        return np.minimum(bump * self._contrast(wavelength, star), hidden)

    def _contrast(self, wavelength: np.ndarray, star: float) -> np.ndarray:
        def lacks(wave: np.ndarray) -> np.ndarray:
            return 1.0 - photons(wave, self.temperature * star) / photons(wave, star)

        return lacks(wavelength) / lacks(np.array(self.wavelength))


@dataclass(frozen=True)
class Flare(Event):
    """The star flares.

    Parameters
    ----------
    time : float
        Peak, BMJD_TDB, d.
    amplitude : float
        Height at ``wavelength``, ppm of the star.
    decay : float
        Time in which it falls to 1/e, s.
    rise : float
        Time of the linear rise to the peak, s.
    temperature : float
        Of the black body whose light is added, K.
    wavelength : float
        Where the amplitude holds, um.
    """

    time: float
    amplitude: float = _positive()
    decay: float = _positive()
    rise: float = _positive(60.0)
    temperature: float = _positive(9000.0)
    wavelength: float = _positive(1.0)

    def added(
        self,
        time: np.ndarray,
        wavelength: np.ndarray,
        star: float,
        hidden: np.ndarray,  # noqa: ARG002 -- the interface of events of light
    ) -> np.ndarray:
        """Return the light that it adds, (..., wavelength) relative to the star; see `Spot`."""
        late = self.seconds_after(time)
        shape = np.where(
            late < 0, np.clip(1.0 + late / self.rise, 0.0, 1.0), np.exp(-late.clip(0) / self.decay)
        )
        return 1e-6 * self.amplitude * shape * self._color(wavelength, star)

    def _color(self, wavelength: np.ndarray, star: float) -> np.ndarray:
        def ratio(wave: np.ndarray) -> np.ndarray:
            return photons(wave, self.temperature) / photons(wave, star)

        return ratio(wavelength) / ratio(np.array(self.wavelength))


@dataclass(frozen=True)
class Tilt(Event):
    """A segment of the mirror slips and stays where it is.

    Parameters
    ----------
    time : float
        Start, BMJD_TDB, d.
    across, along : float
        Step of the position, pixels.
    focus : float
        Step of the width, relative.
    flux : float
        Step of the light, ppm.
    duration : float
        Time from the old to the new state, s; at most 1.4.
    """

    time: float
    across: float = 0.0
    along: float = 0.0
    focus: float = 0.0
    flux: float = 0.0
    duration: float = _positive(1.0)

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        super().__post_init__()
        if self.duration > LONGEST_TILT:
            raise ValueError(
                f"simulate: Tilt has duration={self.duration}; a mirror takes at most "
                f"{LONGEST_TILT} s"
            )

    def done(self, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Return the mean of the step over intervals, 0 before and 1 after it.

        ``begin`` and ``end`` (...) of the intervals, BMJD_TDB, d.
        """
        first, last = self.seconds_after(begin), self.seconds_after(end)
        return (self._integral(last) - self._integral(first)) / (last - first)

    def _integral(self, late: np.ndarray) -> np.ndarray:
        rising = late.clip(0.0, self.duration) ** 2 / (2.0 * self.duration)
        return rising + (late - self.duration).clip(0.0)


@dataclass(frozen=True)
class AntennaMove(Event):
    """The antenna is repointed: the telescope shakes, and comes to rest a little aside.

    Parameters
    ----------
    time : float
        Start, BMJD_TDB, d.
    duration : float
        Of the shaking, s.
    amplitude : float
        rms of the position on each axis while it lasts, independent in each read, pixels.
    across, along : float
        Step of the position that stays, pixels; it grows linearly while the antenna moves.
    """

    time: float
    duration: float = _positive(60.0)
    amplitude: float = _positive(0.01)
    across: float = 0.0
    along: float = 0.0

    def done(self, time: np.ndarray) -> np.ndarray:
        """Return the part of the step that is made; ``time`` (...) BMJD_TDB, d."""
        return np.clip(self.seconds_after(time) / self.duration, 0.0, 1.0)

    def shaking(self, time: np.ndarray) -> np.ndarray:
        """Return True while it lasts; ``time`` (...) BMJD_TDB, d."""
        late = self.seconds_after(time)
        return (late >= 0) & (late < self.duration)
