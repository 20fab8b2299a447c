"""How the telescope moves: one pose for every read.

A pose is the shift of the light across and along dispersion (pixels), the roll of the field
(radian), the relative change of the image's width (focus) and of the light that arrives
(throughput). All are evaluated once per read, as the middle of the interval before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsoxr.simulation.streams import stream

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["AT_REST", "Motion", "Pose", "motion"]

JITTER_DRIFT = 3e-3
JITTER_WHITE = 1e-3
JITTER_MEMORY = 20.0


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


def motion(exposure: Exposure) -> Motion:
    """Return the motion during an exposure.

    With ``"jitter"`` among the sources a first-order autoregressive drift of rms 3
    millipixels with a memory of 20 integrations, and white jitter of 1 millipixel from
    integration to integration, independent on both axes.
    """
    shape = (exposure.n_integrations, exposure.clock.read_frame.size)
    across, along = np.zeros(shape), np.zeros(shape)
    if "jitter" in exposure.sources:
        rng = stream(exposure.seed, "pointing")
        across += _drift(shape[0], rng)[:, None]
        along += _drift(shape[0], rng)[:, None]
    return Motion(across, along, np.zeros(shape), np.zeros(shape), np.ones(shape))


def _drift(n: int, rng: np.random.Generator) -> np.ndarray:
    memory = np.exp(-1.0 / JITTER_MEMORY)
    kicks = rng.standard_normal(n) * np.sqrt(1.0 - memory**2)
    kicks[0] /= np.sqrt(1.0 - memory**2)
    response = memory ** np.arange(int(30 * JITTER_MEMORY))
    slow = np.convolve(kicks, response)[:n]
    return JITTER_DRIFT * slow + JITTER_WHITE * rng.standard_normal(n)
