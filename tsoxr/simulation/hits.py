"""Cosmic-ray hits: how many, where, when and how much charge.

Hits arrive as a Poisson process in area and time. The level ``hit_rate`` is that of the solar
minimum, 4.8983 cm^-2 s^-1; at the solar maximum it is 1.7783, during a flare 3046.83
(Robberto 2009, JWST-STScI-001928), so that ``levels={"hit_rate": ...}`` of 0.363 and 622 times
the own one stand for these.

Particles come from all directions alike: the cosine c of the angle to the normal has the
density 2 c. A track through a layer of depth d covers d tan(angle) of the detector and frees
charge in proportion to its length, d / c, times a log-normal factor for the energy lost per
length. Glancing hits are therefore long and bright, and the charge has a tail up to the full
well. Charge spreads by diffusion (see `tsoxr.simulation.tracks`). Depths and diffusion are
those of a layer of 5 um in pixels of 18 um (HgCdTe), and of 35 um in pixels of 25 um (Si:As);
the median charge of 2500 electron is of the order of those seen in flight, no fit to them.

Charge freed between two reads appears first in the later one, whose group the list names;
charge freed before the first read raises all groups alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tsoxr.simulation.clock import Clock
from tsoxr.simulation.instruments import Setup
from tsoxr.simulation.snowballs import snowballs
from tsoxr.simulation.streams import stream
from tsoxr.simulation.tracks import deposit

__all__ = ["CosmicRays", "Hits"]

LOG_WIDTH = 0.7
MEDIAN_PATH = 1.58
"""Median of the energy factor divided by the cosine."""

LEAST_COSINE = 0.02
LEAST_CHARGE = 1.0
"""Deposits of less, electron, are left out of the list and of the data."""

KEPT = 128
"""Integrations whose hits are kept in memory, for those that glow afterwards."""


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
    snowballs : bool
        Add snowballs, at their own rate.
    """

    def __init__(
        self, setup: Setup, clock: Clock, seed: int, n_hits: int | None, *, snowballs: bool = False
    ) -> None:
        self._setup, self._clock, self._seed = setup, clock, seed
        self._interval = clock.interval.copy()
        self._snowballs = snowballs
        self._drawn = lru_cache(KEPT)(self._draw)
        self._fixed = None
        if n_hits is not None:
            if clock.n_groups > 1:
                self._interval[: clock.n_frames] = 0.0
            rng = stream(seed, "hit_numbers")
            equal = np.full(clock.n_integrations, 1.0 / clock.n_integrations)
            self._fixed = rng.multinomial(n_hits, equal)

    def of(self, index: int) -> Hits:
        """Return the hits of one integration; the same whenever they are asked for."""
        return self._drawn(index)

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

    def _draw(self, index: int) -> Hits:
        read, *deposits = self._particles(index)
        if self._snowballs:
            more, event, *place = self._large(index)
            together = zip(deposits, (event + read.size, *place), strict=True)
            deposits = [np.concatenate(pair) for pair in together]
            read = np.concatenate([read, more])
        event, y, x, charge = deposits
        keep = np.flatnonzero(charge >= LEAST_CHARGE)
        keep = keep[np.argsort(read[event[keep]], kind="stable")]
        integers = (read[event], y, x)
        read, y, x = (values[keep].astype(np.int32) for values in integers)
        integration = np.full(keep.size, index, dtype=np.int32)
        return Hits(event[keep], integration, read, y, x, charge[keep].astype(np.float32))

    def _particles(self, index: int) -> tuple[np.ndarray, ...]:
        """Return the read of each particle, and event, y, x and charge of its deposits."""
        rng, levels = stream(self._seed, "hits", index), self._setup.electronics
        n_y, n_x = self._setup.shape
        if self._fixed is None:
            n_hits = int(rng.poisson(levels.hit_rate * n_y * n_x * self._interval.sum()))
        else:
            n_hits = int(self._fixed[index])
        read = np.sort(rng.choice(self._interval.size, n_hits, p=_shares(self._interval)))
        cosine = np.sqrt(1.0 - rng.random(n_hits)).clip(LEAST_COSINE)
        energy = np.exp(LOG_WIDTH * rng.standard_normal(n_hits))
        charge = levels.hit_charge / MEDIAN_PATH * energy / cosine
        middle = rng.uniform((-0.5, -0.5), (n_y - 0.5, n_x - 0.5), (n_hits, 2))
        angle = rng.uniform(0.0, 2.0 * np.pi, n_hits)
        half = 0.5 * levels.hit_depth * np.sqrt(1.0 / cosine**2 - 1.0)
        half = half[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        science = self._setup.science
        return read, *deposit(middle - half, middle + half, charge, levels.diffusion, science)

    def _large(self, index: int) -> tuple[np.ndarray, ...]:
        """Return the same for snowballs."""
        rng, interval = stream(self._seed, "snowballs", index), self._clock.interval
        n_y, n_x = self._setup.shape
        rate = self._setup.electronics.snowball_rate * n_y * n_x
        n = int(rng.poisson(rate * interval.sum()))
        read = np.sort(rng.choice(interval.size, n, p=_shares(interval)))
        return read, *snowballs(self._setup, n, rng)


def _shares(interval: np.ndarray) -> np.ndarray:
    return interval / interval.sum()
