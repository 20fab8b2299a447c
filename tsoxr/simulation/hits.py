"""Cosmic-ray hits: how many, where, when and how much charge.

Hits arrive as a Poisson process in area and time with the rate of the solar minimum
(4.9 cm^-2 s^-1, Robberto 2009, JWST-STScI-001928). Each frees a log-normal amount of charge
of median 2500 electron, spread over a short straight track; neighbours receive 1.5% of it by
diffusion. Charge freed between two reads appears first in the later one, whose group the
list names; charge freed before the first read raises all groups alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsoxr.simulation.clock import Clock
from tsoxr.simulation.instruments import Setup
from tsoxr.simulation.streams import stream

__all__ = ["CosmicRays", "Hits"]

MEDIAN_CHARGE = 2500.0
LOG_WIDTH = 0.8
MEAN_LENGTH = 1.5
STEPS = 12
DIFFUSED = 0.015
LEAST_CHARGE = 1.0
NEIGHBOURS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))


@dataclass(frozen=True, eq=False)
class Hits:
    """Charge per affected sample: all arrays have one entry per deposit, in order of time.

    ``integration`` and ``read`` count from 0; ``charge`` in electron; ``event`` numbers the
    particle that a deposit comes from.
    """

    event: np.ndarray
    integration: np.ndarray
    read: np.ndarray
    y: np.ndarray
    x: np.ndarray
    charge: np.ndarray

    def of_read(self, read: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return y, x and charge of the deposits that first appear in a read, one integration."""
        first, last = np.searchsorted(self.read, [read, read + 1])
        part = slice(first, last)
        return self.y[part], self.x[part], self.charge[part]


class CosmicRays:
    """The hits of an exposure, drawn one integration at a time.

    Parameters
    ----------
    setup : Setup
        Mode as it is simulated.
    clock : Clock
        Times of the exposure.
    seed : int
        Seed of the exposure.
    n_hits : int or None
        Number of hits in the exposure, each between two groups where there are two, so
        that it can be found; None draws the number from the rate.
    """

    def __init__(self, setup: Setup, clock: Clock, seed: int, n_hits: int | None) -> None:
        self._setup, self._clock, self._seed = setup, clock, seed
        self._interval = clock.interval.copy()
        self._fixed = None
        if n_hits is not None:
            if clock.n_groups > 1:
                self._interval[: clock.n_frames] = 0.0
            rng = stream(seed, "hit_numbers")
            equal = np.full(clock.n_integrations, 1.0 / clock.n_integrations)
            self._fixed = rng.multinomial(n_hits, equal)

    def of(self, index: int) -> Hits:
        """Draw the hits of one integration; the same whenever it is asked for."""
        rng = stream(self._seed, "hits", index)
        n_y, n_x = self._setup.shape
        if self._fixed is None:
            rate = self._setup.electronics.hit_rate * n_y * n_x
            n_hits = int(rng.poisson(rate * self._interval.sum()))
        else:
            n_hits = int(self._fixed[index])
        share = self._interval / self._interval.sum()
        read = np.sort(rng.choice(share.size, n_hits, p=share))
        charge = MEDIAN_CHARGE * np.exp(LOG_WIDTH * rng.standard_normal(n_hits))
        start = rng.uniform((-0.5, -0.5), (n_y - 0.5, n_x - 0.5), (n_hits, 2))
        angle = rng.uniform(0.0, 2.0 * np.pi, n_hits)
        length = rng.exponential(MEAN_LENGTH, n_hits)
        end = start + length[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        event, y, x, deposit = _tracks(self._setup, charge, start, end)
        integration = np.full(event.size, index, dtype=np.int32)
        return Hits(event, integration, read[event].astype(np.int32), y, x, deposit)

    def all(self) -> Hits:
        """Return the hits of the whole exposure; events are numbered through."""
        parts = [self.of(i) for i in range(self._clock.n_integrations)]  # each has a generator
        events, before = [], 0
        for each in parts:
            events.append(each.event + before)
            before += int(each.event.max(initial=-1)) + 1
        names = ("integration", "read", "y", "x", "charge")
        rest = {n: np.concatenate([getattr(p, n) for p in parts]) for n in names}
        return Hits(event=np.concatenate(events), **rest)


def _tracks(
    setup: Setup, charge: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Spread each charge along its track and into the neighbours; sum what meets in a pixel.

    ``charge`` (event,) electron; ``start``, ``end`` (event, 2) y and x in pixels. Returns
    event, y, x and charge of the deposits.
    """
    n_y, n_x = setup.shape
    along = (np.arange(STEPS) + 0.5) / STEPS
    track = np.rint(start[:, None] + along[:, None] * (end - start)[:, None]).astype(np.int64)
    y, x = np.moveaxis(track[:, :, None] + np.array(NEIGHBOURS), -1, 0)
    share = np.array([1.0 - 4.0 * DIFFUSED] + [DIFFUSED] * 4) / STEPS
    deposit = np.broadcast_to(charge[:, None, None] * share, y.shape)
    event = np.broadcast_to(np.arange(charge.size)[:, None, None], y.shape)
    inside = (y >= 0) & (y < n_y) & (x >= 0) & (x < n_x)
    inside[inside] = setup.science[y[inside], x[inside]]
    key = (event[inside] * n_y + y[inside]) * n_x + x[inside]
    cells, inverse = np.unique(key, return_inverse=True)
    total = np.bincount(inverse, weights=deposit[inside], minlength=cells.size)
    keep = total >= LEAST_CHARGE
    cells, total = cells[keep], total[keep].astype(np.float32)
    return (
        cells // (n_y * n_x),
        (cells // n_x % n_y).astype(np.int32),
        (cells % n_x).astype(np.int32),
        total,
    )
