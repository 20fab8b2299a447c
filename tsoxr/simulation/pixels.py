"""What pixels do to their charge between reset and read: one integration, read by read.

In the order of events: the response settles (`tsoxr.simulation.traps`); traps give charge back;
arriving charge moves to emptier neighbours, and charge above the well spills into them
(`tsoxr.simulation.neighbours`); the voltages of neighbours couple; some pixels show a level
that jumps (random telegraph noise of the pixel's own transistor).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsoxr.simulation.clock import Clock
from tsoxr.simulation.hits import Hits
from tsoxr.simulation.neighbours import couple, migrate, spill
from tsoxr.simulation.streams import stream
from tsoxr.simulation.traps import DRIFT_TIMES, RELEASE_TIMES, Glow, settling

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["DWELL", "Pixels", "response", "telegraph"]

DWELL = (1.0, 300.0)
"""Shortest and longest mean time that a telegraph pixel stays at a level, s."""


class Pixels:
    """The pixels of one integration.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    index : int
        Integration, from 0.
    """

    def __init__(self, exposure: Exposure, index: int) -> None:
        on, setup, clock = exposure.sources, exposure.setup, exposure.clock
        self._levels, self._maps = setup.electronics, exposure.maps
        left, right, bottom, top = setup.border
        self._lit = np.s_[bottom : setup.shape[0] - top, left : setup.shape[1] - right]
        self._coupled, self._moving = "ipc" in on, "charge_migration" in on
        self._response = response(exposure, index)
        self._glow = Glow(exposure, index) if "persistence" in on else None
        self._jumping = np.nonzero(exposure.maps.telegraph)
        self._raised = telegraph(clock, self._jumping[0].size, exposure.seed, index)
        self._frame = np.empty(setup.shape)

    def arriving(self, expected: np.ndarray, held: np.ndarray, read: int) -> np.ndarray:
        """Return the mean charge that the pixels collect in the interval before a read.

        Parameters
        ----------
        expected : (y, x) float64
            Mean charge of light and dark current, electron; may be changed in place.
        held : (y, x) float64
            Charge that the pixels hold already.
        read : int
            Read, from 0.
        """
        if self._response is not None:
            expected *= self._response[read]
        if self._glow is not None:
            self._glow.add(expected, read)
        if not self._moving:
            return expected
        out, lit = self._frame, self._lit
        out[:] = expected
        migrate(expected[lit], held[lit], self._levels.migration, out[lit])
        return out

    def hit(self, held: np.ndarray, hits: Hits, read: int) -> None:
        """Add the charge of hits to what the pixels hold, and let full pixels spill.

        Parameters
        ----------
        held : (y, x) float64
            Charge that the pixels hold, electron; changed in place.
        hits : Hits
            Hits of this integration.
        read : int
            Read in which their charge first appears.
        """
        y, x, freed = hits.of_read(read)
        np.add.at(held, (y, x), freed)
        if self._glow is not None:
            self._glow.hit(y, x, freed, read)
        if self._moving:
            spill(held[self._lit], self._maps.well[self._lit])

    def seen(self, held: np.ndarray, read: int) -> np.ndarray:
        """Return the charge that the electronics see at a read, (y, x) float64 electron.

        ``held`` (y, x) float64 is what the pixels hold; it is not changed.
        """
        if not (self._coupled or self._jumping[0].size):
            return held
        out, lit = self._frame, self._lit
        out[:] = held
        if self._coupled:
            couple(held[lit], self._levels.ipc, self._levels.ipc_corner, out[lit])
        height = self._maps.telegraph[self._jumping] * self._maps.gain[self._jumping]
        out[self._jumping] += height * self._raised[read]
        return out


def response(exposure: Exposure, index: int) -> np.ndarray | None:
    """Return the response to light and dark current as it settles.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    index : int
        Integration, from 0.

    Returns
    -------
    (read,) float64 or None
        The mean in the interval before each read; None where nothing settles.
    """
    levels, out = exposure.setup.electronics, None
    kinds = {
        "persistence": ((levels.trap_fast, levels.trap_slow), RELEASE_TIMES),
        "response_drift": ((levels.drift_fast, levels.drift_slow), DRIFT_TIMES),
    }
    for name, (shares, times) in kinds.items():
        if name in exposure.sources and any(shares):
            factor = settling(exposure.clock, index, shares, times)
            out = factor if out is None else out * factor
    return out


def telegraph(clock: Clock, n_pixels: int, seed: int, index: int) -> np.ndarray:
    """Draw whether pixels that jump are at their upper level.

    Each pixel has a mean time between jumps, spread evenly in its logarithm over `DWELL`;
    jumps up and down are equally likely. The reset hides the level before it, so that each
    integration begins anew, at either level.

    Parameters
    ----------
    clock : Clock
        Times of the exposure.
    n_pixels : int
        Number of pixels.
    seed : int
        Seed of the exposure.
    index : int
        Integration, from 0.

    Returns
    -------
    (read, pixel) bool
    """
    if n_pixels == 0:
        return np.zeros((clock.interval.size, 0), dtype=bool)
    dwell = np.exp(stream(seed, "dwell").uniform(*np.log(DWELL), n_pixels))
    odd = 0.5 * -np.expm1(-2.0 * clock.interval[:, None] / dwell)
    odd[0] = 0.5
    jumped = stream(seed, "telegraph", index).random(odd.shape) < odd
    return np.logical_xor.accumulate(jumped, axis=0)
