"""What the read-out electronics add to a frame, in the order of the clock.

Pixels do not matter here: every term is a level of an output, a line or a moment of the
clock. `Electronics.frames` draws them one integration at a time and gives one frame per read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tsoxr.simulation import pink
from tsoxr.simulation.streams import stream

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["Electronics"]


class Electronics:
    """Additive signals of the read-out that are common to many pixels.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    """

    def __init__(self, exposure: Exposure) -> None:
        levels = exposure.setup.electronics
        self._exposure = exposure
        self._pink = "one_over_f" in exposure.sources
        self._pedestal = levels.pedestal if "pedestal" in exposure.sources else 0.0
        self._scale = pink.amplitude(levels.one_over_f, exposure.setup.readout.frame_clocks)
        if self._pink:
            self._drift = pink.slow_drift(exposure.clock, self._scale, exposure.seed)

    def __bool__(self) -> bool:
        """Return True when there is such noise."""
        return self._pink or self._pedestal > 0

    def frames(self, index: int) -> Iterator[np.ndarray]:
        """Yield what is added to each read of one integration, (y, x) float32 DN."""
        exposure, readout = self._exposure, self._exposure.setup.readout
        rng = stream(exposure.seed, "pedestal", index)
        ticks = self._ticks(index)
        for frame in exposure.clock.read_frame:
            level = rng.standard_normal(readout.n_outputs, dtype=np.float32)
            out = (np.float32(self._pedestal) * level)[readout.outputs]
            if ticks is not None:
                out += ticks[readout.outputs, frame, readout.ticks]
            yield out

    def _ticks(self, index: int) -> np.ndarray | None:
        """Return the 1/f noise on the clock, (output, frame, tick); frame 0 is the reset."""
        if not self._pink:
            return None
        clock, readout = self._exposure.clock, self._exposure.setup.readout
        noise = pink.ticks_of_integration(
            clock, index, self._scale, self._drift, self._exposure.seed
        )
        return noise.reshape(readout.n_outputs, -1, readout.frame_clocks)

    def groups(self, index: int) -> np.ndarray:
        """Return what is added to each group of one integration, (group, y, x) float32 DN."""
        clock = self._exposure.clock
        out = np.zeros((clock.n_groups, *self._exposure.setup.shape), dtype=np.float32)
        for read, frame in enumerate(self.frames(index)):
            out[read // clock.n_frames] += frame
        out /= np.float32(clock.n_frames)
        return out
