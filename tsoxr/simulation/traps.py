"""Charge traps: response that settles, and pixels that glow after they were hit.

Traps of kind k catch a share f_k of the charge and give it back with the time constant
tau_k (Smith et al. 2008, SPIE 7021, 70210J; Leisenring et al. 2016, SPIE 9915, 99152N). They
are empty when the exposure begins and never run out. Under steady light the pixel then
collects

    1 - sum_k f_k exp(-t / tau_k)

of it at the time t since the start of the exposure. The traps are taken to follow the star
at once where it varies, which it does by per cents: their lag at ingress, f_k times the change
of flux, is left out. A hit of charge Q is followed by the glow sum_k f_k Q / tau_k
exp(-t / tau_k), on top of the charge that the list of hits holds.

The response of the Si:As detector of MIRI settles in the same manner, with time constants
and amplitudes of its own. Levels resemble what is seen in flight, per mille to a per cent over
minutes to an hour; the true ones depend on flux and history, which is left out here.

Nothing is carried from one integration to the next: the light enters in closed form, and the
hits of the integrations before are drawn again, `MOST_BEFORE` integrations at most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsoxr.simulation.clock import Clock

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["DRIFT_TIMES", "RELEASE_TIMES", "Glow", "settling"]

RELEASE_TIMES = (100.0, 1000.0)
"""Time constants of the traps, s."""

DRIFT_TIMES = (250.0, 2000.0)
"""Time constants of the response drift, s."""

MOST_BEFORE = 64
LONGEST = 3.0
"""Time after which a hit is forgotten, in the longest of `RELEASE_TIMES`."""

LEAST_CHARGE = 100.0
"""Deposits of less do not glow, electron."""


def settling(
    clock: Clock, index: int, shares: tuple[float, ...], times: tuple[float, ...]
) -> np.ndarray:
    """Return the mean response in each interval between reads, relative to the settled one.

    Parameters
    ----------
    clock : Clock
        Times of the exposure.
    index : int
        Integration, from 0.
    shares : tuple of float
        Share of the light that is missing when the exposure begins, for each time constant.
    times : tuple of float
        Time constants, s.

    Returns
    -------
    (read,) float64
        The mean of ``1 - sum(share exp(-t / time))`` over each interval.
    """
    end = clock.integration_start[index] + clock.read_time
    out = np.ones(end.size)
    for share, time in zip(shares, times, strict=True):
        out -= share * time / clock.interval * _decayed(end, clock.interval, time)
    return out


def _decayed(end: np.ndarray, interval: np.ndarray, time: float) -> np.ndarray:
    """Return what is lost of exp(-t / time) in intervals that end at ``end``."""
    return np.exp(-end / time) * np.expm1(interval / time)


class Glow:
    """The charge that traps give back after hits, in one integration.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    index : int
        Integration, from 0.
    """

    def __init__(self, exposure: Exposure, index: int) -> None:
        levels = exposure.setup.electronics
        self._clock, self._shape = exposure.clock, exposure.setup.shape
        self._kinds = tuple(zip((levels.trap_fast, levels.trap_slow), RELEASE_TIMES, strict=True))
        self._trapped = [np.zeros(self._shape) for _ in self._kinds]
        clock = self._clock
        reach = int(np.ceil(LONGEST * max(RELEASE_TIMES) / clock.integration_interval))
        for before in range(max(index - min(reach, MOST_BEFORE), 0), index):
            hits = exposure.rays.of(before)
            apart = clock.integration_start[index] - clock.integration_start[before]
            since = apart - clock.read_time[hits.read]
            self._catch(hits.y, hits.x, hits.charge, since)

    def _catch(self, y: np.ndarray, x: np.ndarray, charge: np.ndarray, since: np.ndarray) -> None:
        """Fill the traps with what is left, at the reset, of charge freed a time before it."""
        large = charge >= LEAST_CHARGE
        y, x, charge, since = y[large], x[large], charge[large], since[large]
        for trapped, (share, time) in zip(self._trapped, self._kinds, strict=True):
            np.add.at(trapped, (y, x), share * charge * np.exp(-since / time))

    def hit(self, y: np.ndarray, x: np.ndarray, charge: np.ndarray, read: int) -> None:
        """Take note of charge that was freed just before a read of this integration."""
        self._catch(y, x, charge, np.full(charge.size, -self._clock.read_time[read]))

    def add(self, charge: np.ndarray, read: int) -> None:
        """Add to ``charge`` (y, x) what the traps give back in the interval before a read."""
        end, interval = self._clock.read_time[read], self._clock.interval[read]
        for trapped, (_, time) in zip(self._trapped, self._kinds, strict=True):
            charge += trapped * _decayed(end, interval, time)
