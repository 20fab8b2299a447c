"""Cosmic-ray hits, found by comparing each group difference with its neighbours in time.

A transit changes a group difference by less than a percent from one integration to the next,
a hit by many sigma; so the median of the same difference in the neighbouring integrations
tells what to expect, even where a ramp has two groups only (after Nikolov et al. 2014,
MNRAS 437, 46, who compared whole frames).

Rule. For the difference ``x`` let ``v`` be the ``m`` usable values among the others of its
window. The expectation is their median; for even ``m`` it is that of the two middle values
which lies nearer to ``x``, and ``x`` itself between them. So one hit among the neighbours
never makes a good difference look bad, even with two neighbours. With fewer than two nothing
is tested. The variance of the median of ``m`` values of variance ``V`` is taken as
``V pi / (2 m + pi - 2)``, within 7 % of the truth for Gaussian noise and ``m > 1``.

At the ends of the exposure the window is moved inward, never shortened. Shapes: ``ramp``
(time, group, pixel) uint16, float32 or float64; ``dq_group`` likewise, uint8; ``noise``
(2, pixel) as in `tsoxr.kernels.ramps.fit`. Groups that are NaN count as flagged.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from tsoxr.kernels.ramps import JUMP, Readout, usable_difference

__all__ = ["Rule", "count_new", "find", "window_bounds"]

BLOCK = 1024  # pixels and integrations worked on together: they stay in the fast caches
TILE = 32


class Rule(NamedTuple):
    """How to search: window, integrations; thresholds, sigma; neighbours and groups added."""

    window: int
    sigma: float
    grow_sigma: float
    grow: int
    after: int


def window_bounds(first: int, last: int, window: int, n_times: int) -> tuple[int, int]:
    """Return the integrations ``[start, stop)`` that integrations ``[first, last)`` need.

    Parameters
    ----------
    first, last : int
        Integrations to search.
    window : int
        Size of the window, the integration itself included.
    n_times : int
        Number of integrations there are.
    """
    window = min(window, n_times)
    latest = n_times - window
    start = min(max(first - window // 2, 0), latest)
    return start, min(max(last - 1 - window // 2, 0), latest) + window


class _Data(NamedTuple):
    """What every part of the search looks at."""

    ramp: np.ndarray
    flags: np.ndarray
    noise: np.ndarray
    readout: Readout
    rule: Rule


@numba.njit(cache=True, nogil=True)
def _difference(data: _Data, t: int, j: int, i: int) -> float:
    """Return the difference ``j -> j+1`` of one ramp; NaN where it is not usable."""
    if not usable_difference(data.flags[t, j, i], data.flags[t, j + 1, i]):
        return np.nan
    return np.float64(data.ramp[t, j + 1, i]) - np.float64(data.ramp[t, j, i])


@numba.njit(cache=True, nogil=True)
def _sigma(data: _Data, j: int, i: int) -> float:
    """Return the predicted noise of a difference."""
    photon = data.noise[0, i] * (data.readout.interval[j] - 2.0 * data.readout.lag)
    return np.sqrt(photon + 2.0 * data.noise[1, i])


@numba.njit(cache=True, nogil=True)
def _median_variance(m: int) -> float:
    return np.pi / (2.0 * m + np.pi - 2.0)


@numba.njit(cache=True, nogil=True)
def _window_start(t: int, window: int, n_times: int) -> int:
    return min(max(t - window // 2, 0), n_times - window)


@numba.njit(cache=True, nogil=True)
def _deviation(data: _Data, t: int, j: int, i: int, values: np.ndarray) -> float:
    """Return the deviation from the expectation, in sigma of it; 0 where nothing can be said.

    ``values`` is work space as long as the window.
    """
    x = _difference(data, t, j, i)
    start = _window_start(t, values.size, data.ramp.shape[0])
    m = 0
    for k in range(start, start + values.size):
        v = _difference(data, k, j, i)
        if k == t or not np.isfinite(v):
            continue
        at = m
        while at > 0 and values[at - 1] > v:
            values[at] = values[at - 1]
            at -= 1
        values[at] = v
        m += 1
    if m < 2 or not np.isfinite(x):
        return 0.0
    expected = min(max(x, values[(m - 1) // 2]), values[m // 2])
    if expected == x:
        return 0.0
    return (x - expected) / (_sigma(data, j, i) * np.sqrt(1.0 + _median_variance(m)))


@numba.njit(cache=True, nogil=True)
def _fill(data: _Data, start: int, j: int, low: int, high: int, rows: np.ndarray) -> None:
    """Fill ``rows`` (time, pixel) with differences from ``start`` on; NaN where not usable."""
    for k in range(rows.shape[0]):
        r0, r1 = data.ramp[start + k, j, low:high], data.ramp[start + k, j + 1, low:high]
        q0, q1 = data.flags[start + k, j, low:high], data.flags[start + k, j + 1, low:high]
        row = rows[k]
        for i in range(high - low):
            d = np.float32(r1[i]) - np.float32(r0[i])
            row[i] = d if usable_difference(q0[i], q1[i]) else np.float32(np.nan)


@numba.njit(cache=True, nogil=True)
def _count_far(
    rows: np.ndarray, at: int, start: int, window: int, cut: np.ndarray, far: np.ndarray
) -> None:
    """Count the others of the window that lie further than ``cut`` from row ``at``, or are NaN."""
    far[:] = 0
    x = rows[at]
    for k in range(start, start + window):
        if k == at:
            continue
        v = rows[k]
        for i in range(cut.size):
            far[i] += not (np.abs(x[i] - v[i]) <= cut[i])


@numba.njit(cache=True, nogil=True)
def _search_tile(data: _Data, first: int, last: int, hits: list) -> None:
    """Append (time, difference, pixel) of every outlier of integrations [first, last).

    A fast count of far neighbours, which misses none, picks the few to be tested exactly.
    """
    n_times, n_groups, n_pixels = data.ramp.shape
    sigma, window = data.rule.sigma, min(data.rule.window, n_times)
    start = _window_start(first, window, n_times)
    stop = _window_start(last - 1, window, n_times) + window
    values = np.empty(window)
    rows = np.empty((stop - start, BLOCK), np.float32)
    factor = np.float32(sigma * np.sqrt(1.0 + _median_variance(window - 1)) * (1.0 - 1e-5))
    for low in range(0, n_pixels, BLOCK):
        high = min(low + BLOCK, n_pixels)
        cut = np.empty(high - low, np.float32)
        far = np.empty(high - low, np.uint8)
        for j in range(n_groups - 1):
            _fill(data, start, j, low, high, rows)
            for i in range(high - low):
                noise = _sigma(data, j, low + i)
                cut[i] = np.inf if np.isnan(noise) else factor * noise
            for t in range(first, last):
                begin = _window_start(t, window, n_times) - start
                _count_far(rows, t - start, begin, window, cut, far)
                for i in range(high - low):
                    if 2 * far[i] < window or np.isnan(rows[t - start, i]):
                        continue
                    if np.abs(_deviation(data, t, j, low + i, values)) > sigma:
                        hits.append((t, j, low + i))


@numba.njit(cache=True, nogil=True)
def _grow(data: _Data, width: int, hits: list, marked: np.ndarray) -> None:
    """Append the neighbours of hits that lie above the lower threshold.

    Those are the four adjoining pixels and, where a group averages frames, the next and
    the previous difference: a hit between two frames of one group spoils both.
    """
    n_times, n_groups, n_pixels = data.ramp.shape
    values = np.empty(min(data.rule.window, n_times))
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
                if np.abs(_deviation(data, t, j + dj, i + di, values)) > data.rule.grow_sigma:
                    marked[t, j + dj + 1, i + di] |= np.uint8(JUMP)
                    hits.append((t, j + dj, i + di))
        begin = end


@numba.njit(cache=True, nogil=True)
def _find(data: _Data, width: int, first: int, last: int) -> np.ndarray:
    n_groups = data.ramp.shape[1]
    hits = [(0, 0, 0)]
    hits.pop()  # an empty list whose type is known
    for begin in range(first, last, TILE):
        _search_tile(data, begin, min(begin + TILE, last), hits)
    marked = data.flags.copy()
    for t, j, i in hits:
        marked[t, j + 1, i] |= np.uint8(JUMP)
    _grow(data, width, hits, marked)
    for t, j, i in hits:
        for g in range(j + 2, min(j + 2 + data.rule.after, n_groups)):
            marked[t, g, i] |= np.uint8(JUMP)
    return marked[first:last]


def find(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    noise: np.ndarray,
    *,
    readout: Readout,
    rule: Rule,
    rows: tuple[int, int] | None = None,
) -> np.ndarray:
    """Flag the group differences that stick out from their neighbours in time.

    Parameters
    ----------
    ramp : (time, group, y, x) uint16 or float
        Groups, DN.
    dq_group : (time, group, y, x) uint8
        Flags of the groups.
    noise : (2, y, x) float
        Photon variance per second, DN2 s-1, and read variance of a group, DN2. Where it
        is NaN, every difference is taken for good.
    readout : Readout
        Timing of the groups.
    rule : Rule
        Window and thresholds.
    rows : (first, last), optional
        Search these integrations only; the others serve as neighbours.

    Returns
    -------
    dq_group : (last - first, group, y, x) uint8
        With JUMP_DET on the group in which the extra charge first appears.
    """
    n_times, n_groups, ny, nx = ramp.shape
    first, last = (0, n_times) if rows is None else rows
    cube = ramp.reshape(n_times, n_groups, -1)
    flags = dq_group.reshape(n_times, n_groups, -1)
    out = _find(_Data(cube, flags, noise.reshape(2, -1), readout, rule), nx, first, last)
    out = out if rows is None else out.copy()  # does not keep the neighbours in memory
    return out.reshape(last - first, n_groups, ny, nx)


@numba.njit(cache=True, nogil=True)
def count_new(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Count the groups of each ramp that gained JUMP_DET.

    Parameters
    ----------
    before, after : (time, group, ...) uint8
        Flags of the groups.

    Returns
    -------
    count : (time, ...) uint16
    """
    count = np.zeros((before.shape[0], *before.shape[2:]), np.uint16)
    for t in range(before.shape[0]):
        flat = count[t].ravel()
        for g in range(before.shape[1]):
            b, a = before[t, g].ravel(), after[t, g].ravel()
            for i in range(flat.size):
                flat[i] += ((a[i] & ~b[i]) & JUMP) != 0
    return count
