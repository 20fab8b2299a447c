"""Where and when the outputs of the read-out take their samples.

Four outputs of MIRI share its pixels. A fifth, the reference output, takes one sample with
each four of theirs and is connected to no pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tsoxr.simulation.clock import Clock, Readout

__all__ = ["Samples", "first_tick", "of_pixels", "of_reference_output", "ticks_of_integration"]


@dataclass(frozen=True, eq=False)
class Samples:
    """The samples of one frame: ``ticks`` of the frame and ``outputs``, (y, x) int64."""

    ticks: np.ndarray
    outputs: np.ndarray

    @cached_property
    def used(self) -> list[int]:
        """Outputs that occur, ascending."""
        return np.unique(self.outputs).tolist()

    def where(self, n_ticks: int) -> np.ndarray:
        """Return the place of each sample in an array (used output, n_ticks), flat, (y, x)."""
        return np.searchsorted(self.used, self.outputs) * n_ticks + self.ticks


def of_pixels(readout: Readout) -> Samples:
    """Return when and by which output the pixels are read."""
    return Samples(readout.ticks, readout.outputs)


def of_reference_output(readout: Readout) -> Samples:
    """Return when the reference output is read; its number comes after those of the pixels."""
    ticks = readout.ticks[:, :: readout.n_outputs]
    return Samples(ticks, np.full(ticks.shape, readout.n_outputs))


def ticks_of_integration(clock: Clock) -> int:
    """Return the ticks from one integration's reset to the next one's."""
    return (clock.frames_per_integration + 1) * clock.readout.frame_clocks


def first_tick(clock: Clock, index: int, frame: int) -> int:
    """Return the tick of the exposure at which a frame starts; frame 0 is the reset."""
    return index * ticks_of_integration(clock) + frame * clock.readout.frame_clocks
