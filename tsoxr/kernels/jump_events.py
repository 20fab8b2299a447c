"""What belongs to a hit: neighbouring pixels, large round events, and what comes after.

A hit is (time, difference, pixel). Flags are written to ``marked``, shaped like those of the data.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.jump_data import LAST, Data
from tsoxr.kernels.jump_expectation import residuals
from tsoxr.kernels.jump_filter import scores
from tsoxr.kernels.ramps import DO_NOT_USE, JUMP, SATURATED

__all__ = ["REMEMBERED", "after_hits", "expand_large", "find_in_ramp", "grow", "middle", "spread"]

LARGE = 20
"""Pixels that a large event has."""

ROUND = 1.6
"""Mean squared radius over that of a disc with as many pixels; long tracks have more."""

PERSISTENCE = 32
REMEMBERED = 50.0
"""Sigma; hits of less leave nothing in later integrations that would be seen."""


@numba.njit(cache=True, nogil=True)
def _scores_of(
    data: Data, marked: np.ndarray, t: int, i: int, work: np.ndarray, usable: np.ndarray
) -> np.ndarray:
    """Return the scores of one ramp with the differences in ``marked`` left out."""
    n = usable.size
    left, z = work[5], work[6]
    values = np.empty(min(data.rule.window, data.ramp.shape[0]))
    residuals(data, t, i, values, left, usable)
    for j in range(n):
        usable[j] = usable[j] and (marked[t, j + 1, i] & JUMP) == 0
    _score(data, t, i, work, usable)
    return z


@numba.njit(cache=True, nogil=True)
def _score(data: Data, t: int, i: int, work: np.ndarray, usable: np.ndarray) -> None:
    s = data.static
    noise = (s[0, i] * data.light[t, data.bins[i]], s[1, i], s[2, i])
    scores(work[5], usable, noise, data.readout, work[:5], work[6])


@numba.njit(cache=True, nogil=True)
def find_in_ramp(data: Data, marked: np.ndarray, t: int, i: int, hits: list, sizes: list) -> None:
    """Mark the hits of one ramp, the largest first, each left out before the next is sought.

    Appends those of charge gained to ``hits``, their scores to ``sizes``.
    """
    n = data.readout.interval.size
    work, usable = np.empty((7, n)), np.empty(n, np.bool_)
    z = _scores_of(data, marked, t, i, work, usable)
    for _ in range(n):
        best, at = 1.0, -1
        for j in range(n):
            ratio = z[j] / (data.rule.sigma if z[j] > 0.0 else -data.rule.drop)
            if usable[j] and ratio > best:
                best, at = ratio, j
        if at < 0:
            return
        marked[t, at + 1, i] |= np.uint8(JUMP)
        if z[at] > 0.0:
            hits.append((t, at, i))
            sizes.append(z[at])
        usable[at] = False
        _score(data, t, i, work, usable)


@numba.njit(cache=True, nogil=True)
def grow(data: Data, marked: np.ndarray, width: int, hits: list, sizes: list) -> None:
    """Mark, and append, neighbours of hits above the lower threshold.

    Those are the four adjoining pixels and, where a group averages frames, the next and
    the previous difference: a hit between two frames of one group spoils both.
    """
    n_groups, n_pixels = data.ramp.shape[1:]
    work, usable = np.empty((7, n_groups - 1)), np.empty(n_groups - 1, np.bool_)
    averaged = data.readout.lag > 0.0
    begin = 0
    for _ in range(data.rule.grow):
        end = len(hits)
        for h in range(begin, end):
            t, j, i = hits[h]
            x = i % width
            for dj, di, inside in (
                (0, -1, x > 0),
                (0, 1, x < width - 1),
                (0, -width, i >= width),
                (0, width, i + width < n_pixels),
                (-1, 0, averaged and j > 0),
                (1, 0, averaged and j < n_groups - 2),
            ):
                if not inside or marked[t, j + dj + 1, i + di] & JUMP:
                    continue
                z = _scores_of(data, marked, t, i + di, work, usable)[j + dj]
                if usable[j + dj] and z > data.rule.grow_sigma:
                    marked[t, j + dj + 1, i + di] |= np.uint8(JUMP)
                    hits.append((t, j + dj, i + di))
                    sizes.append(z)
        begin = end


@numba.njit(cache=True, nogil=True)
def spread(where: np.ndarray, width: int, start: int, members: np.ndarray) -> int:
    """Fill ``members`` with the pixels connected to ``start``, corners included; return how many.

    ``where`` (pixel,) is 1 for pixels that may belong, and becomes 0 for those that were taken.
    """
    n = 1
    members[0] = start
    where[start] = 0
    k = 0
    while k < n < members.size - 8:
        i = members[k]
        x, y = i % width, i // width
        for dy in range(-1, 2):
            for dx in range(-1, 2):
                a, b = y + dy, x + dx
                if not (0 <= a < where.size // width and 0 <= b < width):
                    continue
                if where[a * width + b]:
                    where[a * width + b] = 0
                    members[n] = a * width + b
                    n += 1
        k += 1
    return n


@numba.njit(cache=True, nogil=True)
def middle(members: np.ndarray, n: int, width: int) -> tuple[float, float, float]:
    """Return mean row, mean column and mean squared radius of the first ``n`` pixels."""
    y0, x0, squared = 0.0, 0.0, 0.0
    for k in range(n):
        y, x = members[k] // width, members[k] % width
        y0 += y
        x0 += x
        squared += y * y + x * x
    y0, x0 = y0 / n, x0 / n
    return y0, x0, squared / n - y0 * y0 - x0 * x0


@numba.njit(cache=True, nogil=True)
def expand_large(data: Data, marked: np.ndarray, width: int, hits: list) -> None:
    """Mark a disc about each large round event, ``expand`` times as wide as the event.

    Pixels of the core that saturate with the hit, and usually do not, count as part of it.
    """
    n_times, n_groups, n_pixels = data.ramp.shape
    where, members = np.zeros(n_pixels, np.uint8), np.empty(n_pixels + 16, np.int64)
    last = np.full(n_times * n_groups, -1)  # the last hit of each frame, and the one before each
    before = np.empty(len(hits), np.int64)
    count = np.zeros(last.size, np.int64)
    for h in range(len(hits)):
        frame = hits[h][0] * n_groups + hits[h][1]
        before[h] = last[frame]
        last[frame] = h
        count[frame] += 1
    for frame in range(last.size):
        if count[frame] < LARGE // 2:
            continue
        t, j = frame // n_groups, frame % n_groups
        _saturated_by_hit(data, t, j, where)
        h = last[frame]
        while h >= 0:
            where[hits[h][2]] = 1
            h = before[h]
        h = last[frame]
        while h >= 0:
            if where[hits[h][2]]:
                n = spread(where, width, hits[h][2], members)
                _mark_disc(data.rule.expand, marked[t, j + 1], width, members, n)
            h = before[h]
        where[:] = 0


@numba.njit(cache=True, nogil=True)
def _saturated_by_hit(data: Data, t: int, j: int, where: np.ndarray) -> None:
    """Set ``where`` for pixels that saturate in group ``j + 1`` and usually do not."""
    before, later = data.flags[t, j], data.flags[t, j + 1]
    for i in range(where.size):
        new = (later[i] & SATURATED) != 0 and (before[i] & (SATURATED | DO_NOT_USE)) == 0
        where[i] = np.uint8(new and data.static[LAST, i] > j)


@numba.njit(cache=True, nogil=True)
def _mark_disc(expand: float, marked: np.ndarray, width: int, members: np.ndarray, n: int) -> None:
    """Mark the disc about an event of ``n`` pixels, if it is large and round."""
    if n < LARGE:
        return
    y0, x0, squared = middle(members, n, width)
    if squared > ROUND * n / (2.0 * np.pi):
        return
    height = marked.size // width
    radius = expand * np.sqrt(n / np.pi)
    reach = int(radius) + 1
    for y in range(max(int(y0) - reach, 0), min(int(y0) + reach + 2, height)):
        for x in range(max(int(x0) - reach, 0), min(int(x0) + reach + 2, width)):
            if (y - y0) ** 2 + (x - x0) ** 2 <= radius**2:
                marked[y * width + x] |= np.uint8(JUMP)


@numba.njit(cache=True, nogil=True)
def after_hits(data: Data, marked: np.ndarray, hits: list, sizes: list, remembered: float) -> None:
    """Mark the groups after each hit, and the integrations after those above ``remembered``."""
    n_times, n_groups, _ = data.ramp.shape
    for h in range(len(hits)):
        t, j, i = hits[h]
        for g in range(j + 2, min(j + 2 + data.rule.after, n_groups)):
            marked[t, g, i] |= np.uint8(JUMP)
        if sizes[h] < remembered:
            continue
        for k in range(t + 1, min(t + 1 + data.rule.after_integrations, n_times)):
            for g in range(n_groups):
                marked[k, g, i] |= np.uint8(PERSISTENCE | DO_NOT_USE)
