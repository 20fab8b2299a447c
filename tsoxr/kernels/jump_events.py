"""What belongs to a hit: neighbouring pixels, large round events, and what comes after.

Hits are rare. All but the exact test of single ramps is therefore done on lists of them:
``hits`` (hit, 3) int64, the integration, the difference and the pixel of each, and their ``sizes``
(hit,), sigma. Flags are written to ``marked``, shaped like those of the data.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from tsoxr.kernels.jump_data import JITTER, LAST, PHOTON, READ, Data
from tsoxr.kernels.jump_expectation import residuals
from tsoxr.kernels.jump_filter import scores
from tsoxr.kernels.ramps import DO_NOT_USE, JUMP, SATURATED

__all__ = ["REMEMBERED", "after_hits", "connected", "expand_large", "find_in_ramps", "grow"]

LARGE = 20
"""Pixels that a large event has."""

ROUND = 1.6
"""Mean squared radius over that of a disc with as many pixels; long tracks have more."""

PERSISTENCE = 32
REMEMBERED = 50.0
"""Sigma; hits of less leave nothing in later integrations that would be seen."""

BATCH = 4096
"""Ramps that are tested together."""


def _tested(
    data: Data, marked: np.ndarray, where: np.ndarray, only: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mark the hits of ramps ``where`` (ramp, 2), and return those of charge gained, and sizes.

    In whole ramps, the largest hit is left out before the next is sought. With ``only``
    (ramp,), that difference of each is tested alone, at the lower threshold.
    """
    found = [np.empty((0, 3), np.int64)]
    sizes = [np.empty(0)]
    for first in range(0, len(where), BATCH):
        here = slice(first, first + BATCH)
        t, i = where[here].T
        for hits, z in _rounds(data, marked, t, i, None if only is None else only[here]):
            found.append(hits)
            sizes.append(z)
    hits, z = np.concatenate(found), np.concatenate(sizes)
    # not before all are tested: what is found must not depend on the batches
    marked[hits[:, 0], hits[:, 1] + 1, hits[:, 2]] |= np.uint8(JUMP)
    return hits[z > 0.0], z[z > 0.0]


def _rounds(
    data: Data, marked: np.ndarray, t: np.ndarray, i: np.ndarray, only: np.ndarray | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give the largest hit of each ramp, then the next largest, with their scores."""
    rule, layers = data.rule, data.static[:, i]
    light = data.light[t, data.bins[i]]
    noise = np.stack([layers[PHOTON] * light, layers[READ], layers[JITTER]])
    residual, usable = residuals(data, t, i)
    usable &= (marked[t, 1:, i].T & JUMP) == 0
    cut = rule.sigma if only is None else rule.grow_sigma
    while t.size:
        z = scores(residual, usable, noise, data.readout)
        ratio = np.where(z > 0.0, z / cut, -z / rule.drop)
        if only is not None:
            ratio[(np.arange(len(z))[:, None] != only) | (z < 0.0)] = 0.0
        ratio[~usable] = 0.0
        best = ratio.argmax(axis=0)
        hit = np.flatnonzero(ratio[best, np.arange(t.size)] > 1.0)
        best = best[hit]
        t, i = t[hit], i[hit]
        yield np.stack([t, best, i], axis=1), z[best, hit]
        if only is not None:
            return
        residual, usable, noise = residual[:, hit], usable[:, hit], noise[:, hit]
        usable[best, np.arange(hit.size)] = False


def find_in_ramps(
    data: Data, marked: np.ndarray, ramps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mark the hits of ramps, the largest first, each left out before the next is sought.

    Parameters
    ----------
    data : Data
        The arrays.
    marked : (time, group, pixel) uint8
        Flags; changed.
    ramps : (ramp, 2) int64
        Integration and pixel of each, no two the same.

    Returns
    -------
    hits : (hit, 3) int64
        Those of charge gained.
    sizes : (hit,) float64
        Their scores.
    """
    return _tested(data, marked, ramps)


def grow(
    data: Data, marked: np.ndarray, width: int, hits: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mark neighbours of hits above the lower threshold, and return all hits and sizes.

    Those are the four adjoining pixels and, where a group averages frames, the next and
    the previous difference: a hit between two frames of one group spoils both.
    """
    n_differences, last = data.readout.interval.size, data.ramp.shape[2] - width
    steps = np.array([(0, 0, -1), (0, 0, 1), (0, 0, -width), (0, 0, width), (0, -1, 0), (0, 1, 0)])
    new = hits
    for _ in range(data.rule.grow):
        _, j, i = new.T
        inside = np.stack(
            [
                i % width > 0,
                i % width < width - 1,
                i >= width,
                i < last,
                j > 0,
                j < n_differences - 1,
            ],
            axis=1,
        )
        inside[:, 4:] &= data.readout.lag > 0.0
        near = np.unique((new[:, None] + steps)[inside], axis=0)
        near = near[(marked[near[:, 0], near[:, 1] + 1, near[:, 2]] & JUMP) == 0]
        new, more = _tested(data, marked, near[:, [0, 2]], near[:, 1])
        hits, sizes = np.concatenate([hits, new]), np.concatenate([sizes, more])
    return hits, sizes


def connected(frame: np.ndarray, pixel: np.ndarray, width: int) -> np.ndarray:
    """Return the number of the event that each pixel belongs to, corners included.

    Parameters
    ----------
    frame, pixel : (n,) int64
        Different pairs, in ascending order of frame, then pixel.
    width : int
        Pixels in a row.

    Returns
    -------
    (n,) int
        From 0, in the order of their first pixels.

    Examples
    --------
    >>> connected(np.array([0, 0, 0, 1]), np.array([0, 6, 9, 0]), 5).tolist()
    [0, 0, 1, 2]
    """
    # a column between rows, and a row between frames: nothing is connected around the edge
    n_rows = int(pixel.max(initial=0)) // width + 2
    place = (frame * n_rows + pixel // width) * (width + 1) + pixel % width
    pairs = []
    for step in (1, width, width + 1, width + 2):
        at = np.searchsorted(place, place + step)
        there = np.flatnonzero(place[np.minimum(at, place.size - 1)] == place + step)
        pairs.append((there, at[there]))
    one, other = (np.concatenate(side) for side in zip(*pairs, strict=True))
    links = sparse.coo_array((np.ones(one.size, bool), (one, other)), shape=(place.size,) * 2)
    return sparse.csgraph.connected_components(links, directed=False)[1]


def expand_large(data: Data, marked: np.ndarray, width: int, hits: np.ndarray) -> None:
    """Mark a disc about each large round event, ``expand`` times as wide as the event.

    Pixels of the core that saturate with the hit, and usually do not, count as part of it.
    """
    n_groups = data.ramp.shape[1]
    frames, count = np.unique(hits[:, 0] * n_groups + hits[:, 1], return_counts=True)
    for frame in frames[count >= LARGE // 2]:
        t, j = divmod(int(frame), n_groups)
        own = hits[(hits[:, 0] == t) & (hits[:, 1] == j), 2]
        members = np.union1d(own, _saturated_by_hit(data, t, j))
        label = connected(np.zeros_like(members), members, width)
        for event in np.unique(label[np.isin(members, own)]):
            _mark_disc(data.rule.expand, marked[t, j + 1], width, members[label == event])


def _saturated_by_hit(data: Data, t: int, j: int) -> np.ndarray:
    """Return the pixels that saturate in group ``j + 1`` and usually do not."""
    new = (data.flags[t, j + 1] & SATURATED) != 0
    new &= (data.flags[t, j] & (SATURATED | DO_NOT_USE)) == 0
    return np.flatnonzero(new & (data.static[LAST] > j))


def _mark_disc(expand: float, marked: np.ndarray, width: int, members: np.ndarray) -> None:
    """Mark the disc about an event, if it is large and round."""
    n, (y, x) = members.size, np.divmod(members, width)
    if n < LARGE:
        return
    if y.var() + x.var() > ROUND * n / (2.0 * np.pi):
        return
    rows, columns = np.ogrid[: marked.size // width, :width]
    away = (rows - y.mean()) ** 2 + (columns - x.mean()) ** 2
    marked[np.flatnonzero(away <= expand**2 * n / np.pi)] |= np.uint8(JUMP)


def after_hits(data: Data, marked: np.ndarray, hits: np.ndarray, sizes: np.ndarray) -> None:
    """Mark the groups after each hit, and the integrations after those above `REMEMBERED`."""
    n_times, n_groups, _ = data.ramp.shape
    t, j, i = hits.T
    for later in range(2, 2 + data.rule.after):
        there = j + later < n_groups
        marked[t[there], j[there] + later, i[there]] |= np.uint8(JUMP)
    t, i = t[sizes >= REMEMBERED], i[sizes >= REMEMBERED]
    for later in range(1, 1 + data.rule.after_integrations):
        there = t + later < n_times
        marked[t[there] + later, :, i[there]] |= np.uint8(PERSISTENCE | DO_NOT_USE)
