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

__all__ = ["Hits", "draw_hits"]

MEDIAN_CHARGE = 2500.0
LOG_WIDTH = 0.8
MEAN_LENGTH = 1.5
STEPS = 12
DIFFUSED = 0.015
LEAST_CHARGE = 1.0
BLOCK = 20_000
NEIGHBOURS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))


@dataclass(frozen=True, eq=False)
class Hits:
    """Charge per affected sample: all arrays have one entry per deposit, in order of time.

    ``integration`` and ``group`` count from 0; ``charge`` in electron; ``event`` numbers the
    particle that a deposit comes from.
    """

    event: np.ndarray
    integration: np.ndarray
    group: np.ndarray
    y: np.ndarray
    x: np.ndarray
    charge: np.ndarray

    def of(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return group, y, x and charge of the deposits in one integration."""
        first, last = np.searchsorted(self.integration, [index, index + 1])
        part = slice(first, last)
        return self.group[part], self.y[part], self.x[part], self.charge[part]


def draw_hits(setup: Setup, clock: Clock, seed: int, n_hits: int | None) -> Hits:
    """Draw the hits of a whole exposure.

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
    rng = stream(seed, "hits")
    n_y, n_x = setup.shape
    first = 0 if n_hits is None or clock.n_groups == 1 else 1
    n_samples = clock.n_integrations * (clock.n_groups - first)
    if n_hits is None:
        expected = setup.electronics.hit_rate * n_y * n_x * clock.frame_time * n_samples
        n_hits = int(rng.poisson(expected))
    sample = np.sort(rng.integers(0, n_samples, n_hits))
    integration, group = np.divmod(sample, clock.n_groups - first)
    charge = MEDIAN_CHARGE * np.exp(LOG_WIDTH * rng.standard_normal(n_hits))
    start = rng.uniform((-0.5, setup.reference_columns - 0.5), (n_y - 0.5, n_x - 0.5), (n_hits, 2))
    angle = rng.uniform(0.0, 2.0 * np.pi, n_hits)
    length = rng.exponential(MEAN_LENGTH, n_hits)
    end = start + length[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    blocks = [
        _tracks(setup, i, charge[i : i + BLOCK], start[i : i + BLOCK], end[i : i + BLOCK])
        for i in range(0, max(n_hits, 1), BLOCK)
    ]
    event, y, x, deposit = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return Hits(
        event=event,
        integration=integration[event].astype(np.int32),
        group=(group[event] + first).astype(np.int32),
        y=y,
        x=x,
        charge=deposit,
    )


def _tracks(
    setup: Setup, first: int, charge: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Spread each charge along its track and into the neighbours; sum what meets in a pixel.

    ``charge`` (event,) electron; ``start``, ``end`` (event, 2) y and x in pixels. Returns
    event, counted from ``first``, y, x and charge of the deposits.
    """
    n_y, n_x = setup.shape
    along = (np.arange(STEPS) + 0.5) / STEPS
    track = np.rint(start[:, None] + along[:, None] * (end - start)[:, None]).astype(np.int64)
    y, x = np.moveaxis(track[:, :, None] + np.array(NEIGHBOURS), -1, 0)
    share = np.array([1.0 - 4.0 * DIFFUSED] + [DIFFUSED] * 4) / STEPS
    deposit = np.broadcast_to(charge[:, None, None] * share, y.shape)
    event = np.broadcast_to(np.arange(charge.size)[:, None, None], y.shape)
    inside = (y >= 0) & (y < n_y) & (x >= setup.reference_columns) & (x < n_x)
    key = (event[inside] * n_y + y[inside]) * n_x + x[inside]
    cells, inverse = np.unique(key, return_inverse=True)
    total = np.bincount(inverse, weights=deposit[inside], minlength=cells.size)
    keep = total >= LEAST_CHARGE
    cells, total = cells[keep], total[keep].astype(np.float32)
    return (
        first + cells // (n_y * n_x),
        (cells // n_x % n_y).astype(np.int32),
        (cells % n_x).astype(np.int32),
        total,
    )
