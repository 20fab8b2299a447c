"""Electromagnetic interference in the read-out of MIRI.

Two periodic signals couple into all outputs alike: one of 390.625 Hz, whose period is 256
ticks of the clock, and one of 10.039216 Hz. They run on through resets and from integration to
integration, so one phase of each, drawn for the exposure, fixes them at every tick. The
strong one is not a sine: it is given three harmonics with the amplitudes 1, 0.2 and 0.06,
like the empirical waveforms in use for SLITLESSPRISM (3.7, 0.75 and 0.22 DN). The weak one is
a sine; its level is indicative.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tsoxr.simulation.clock import TICK
from tsoxr.simulation.sampling import Samples, first_tick
from tsoxr.simulation.streams import stream

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["PERIOD", "SLOW", "Interference", "waveform"]

PERIOD = 256
"""Period of the strong signal, ticks: 390.625 Hz."""

SLOW = 10.039216
"""Frequency of the weak signal, Hz."""

HARMONICS = ((1.0, 0.0), (0.2, 0.15), (0.06, 0.4))
"""Relative amplitude and phase (cycles) of the harmonics of the strong signal."""


def waveform(phase: np.ndarray) -> np.ndarray:
    """Return the strong signal of unit amplitude; ``phase`` (...) in cycles."""
    out = np.zeros(np.shape(phase))
    for number, (amplitude, ahead) in enumerate(HARMONICS, start=1):
        out += amplitude * np.sin(2.0 * np.pi * (number * np.asarray(phase) + ahead))
    return out


class Interference:
    """The two periodic signals."""

    def __init__(self, exposure: Exposure) -> None:
        levels = exposure.setup.electronics
        self._clock, self._levels = exposure.clock, (levels.emi, levels.emi_slow)
        self.phases = stream(exposure.seed, "interference").random(2)

    def __bool__(self) -> bool:
        """Return True when there is such a signal."""
        return sum(self._levels) > 0

    def frames(self, index: int, samples: Samples) -> Iterator[np.ndarray]:
        """Yield the signal in each read, (y, x) float32 DN."""
        fast, slow = self._levels
        wave = fast * waveform(np.arange(PERIOD) / PERIOD + self.phases[0])
        ticks = np.arange(self._clock.readout.frame_clocks)
        for frame in self._clock.read_frame:
            now = first_tick(self._clock, index, int(frame)) + ticks
            signal = wave[now % PERIOD]
            signal += slow * np.sin(2.0 * np.pi * ((SLOW * TICK * now + self.phases[1]) % 1.0))
            yield signal.astype(np.float32)[samples.ticks]
