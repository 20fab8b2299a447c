"""Cosmic-ray hits, found by comparing each group difference with its neighbours in time.

A transit changes a group difference by less than a percent from one integration to the next,
a hit by many sigma; so the same difference in the neighbouring integrations, scaled by the light
of the star, tells what to expect (`jump_expectation`), even where a ramp has two groups only,
and however the response bends (after Nikolov et al. 2014, MNRAS 437, 46, who compared
whole frames). How far a ramp lies from this expectation is judged with the full covariance of
its differences (`jump_filter`).

A first look at all samples leaves few ramps, with a score within `MARGIN` of a threshold or above.
These are tested exactly: the largest score above the threshold is a hit, its difference is left
out, and the rest is tested again. Neighbours and after-effects are in `jump_events`.

Shapes: ``ramp`` (time, group, y, x) uint16, float32 or float64; ``dq_group`` likewise, uint8;
``static`` (6, y, x). Groups that are NaN count as flagged.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels import jump_events as events
from tsoxr.kernels.jump_data import LAYERS, Data, Rule, window_bounds
from tsoxr.kernels.jump_expectation import LIMIT, fill_tile
from tsoxr.kernels.jump_filter import Factors, factors, tallest
from tsoxr.kernels.jump_light import light_curves
from tsoxr.kernels.ramps import Readout

__all__ = ["LAYERS", "Rule", "find", "window_bounds"]

MARGIN = 0.5
TILE = 32
SAMPLES = 1 << 17
"""Integrations, and samples, that are worked on together: they stay in the fast caches."""


@numba.njit(cache=True, nogil=True)
def _block_size(n_groups: int) -> int:
    return min(max(SAMPLES // (TILE * n_groups) // 16 * 16, 64), 512)


@numba.njit(cache=True, nogil=True)
def _limits(data: Data, low: int, high: int, cut: np.ndarray) -> None:
    """Fill ``cut`` (difference, pixel) with `LIMIT` sigma of each difference, DN."""
    interval, lag = data.readout.interval, data.readout.lag
    for j in range(interval.size):
        for i in range(high - low):
            photon, read = data.static[0, low + i], data.static[1, low + i]
            variance = photon * (interval[j] - 2.0 * lag) + 2.0 * read
            variance += data.static[2, low + i] * interval[j] ** 2
            cut[j, i] = LIMIT * np.sqrt(variance) if variance > 0.0 else 0.0


@numba.njit(cache=True, nogil=True)
def _candidates(
    data: Data, tile: np.ndarray, by: Factors, times: tuple[int, int], low: int, found: list
) -> None:
    """Append (time, pixel) of the ramps of a tile that have to be tested exactly."""
    n = tile.shape[2]
    work = np.empty((tile.shape[1] + 1, n), np.float32)
    up, down = np.empty((2, n), np.float32)
    gain, loss = data.rule.sigma - MARGIN, data.rule.drop - MARGIN
    for t in range(times[0], times[1]):
        tallest(tile[t - times[0]], by, work, up, down)
        dimmest = np.float32(1.0)
        for b in range(data.light.shape[1]):
            dimmest = min(dimmest, data.light[t, b])
        dimmest = np.sqrt(dimmest)
        if not _any_beyond(up, down, dimmest * gain, dimmest * loss):
            continue
        for i in range(n):
            noise = np.sqrt(min(data.light[t, data.bins[low + i]], np.float32(1.0)))
            if up[i] > noise * gain or down[i] < -noise * loss:
                found.append((t, low + i))


@numba.njit(cache=True, nogil=True)
def _any_beyond(up: np.ndarray, down: np.ndarray, gain: float, loss: float) -> bool:
    beyond = np.uint8(0)
    for i in range(up.size):
        beyond |= np.uint8(up[i] > gain)
    for i in range(up.size):
        beyond |= np.uint8(down[i] < -loss)
    return beyond != 0


@numba.njit(cache=True, nogil=True)
def _look_at(data: Data, times: tuple[int, int], pixels: tuple[int, int], found: list) -> None:
    """Append (time, pixel) of the ramps of a run of pixels to be tested exactly."""
    (first, last), (low, high) = times, pixels
    n_times, n_groups = data.ramp.shape[:2]
    rows = np.empty((5, min(TILE + data.rule.window + 2, n_times), high - low), np.float32)
    cut = np.empty((n_groups - 1, high - low), np.float32)
    tile = np.empty((TILE, n_groups - 1, high - low), np.float32)
    by = factors(data.static, low, high, data.readout)
    _limits(data, low, high, cut)
    for begin in range(first, last, TILE):
        end = min(begin + TILE, last)
        fill_tile(data, (begin, end), low, tile, rows, cut)
        _candidates(data, tile, by, (begin, end), low, found)


@numba.njit(cache=True, nogil=True)
def _look(data: Data, first: int, last: int) -> list:
    """Return (time, pixel) of the ramps of integrations [first, last) to be tested exactly."""
    n_groups, n_pixels = data.ramp.shape[1:]
    found = [(0, 0)]
    found.pop()  # an empty list whose type is known
    size = _block_size(n_groups)
    for low in range(0, n_pixels, size):
        _look_at(data, (first, last), (low, min(low + size, n_pixels)), found)
    return found


@numba.njit(cache=True, nogil=True)
def _find(data: Data, marked: np.ndarray, width: int, search: tuple[int, int]) -> None:
    """Write flags to ``marked``."""
    hits, sizes = [(0, 0, 0)], [0.0]
    hits.pop()
    sizes.pop()
    for t, i in _look(data, search[0], search[1]):
        events.find_in_ramp(data, marked, t, i, hits, sizes)
    events.grow(data, marked, width, hits, sizes)
    if data.rule.expand > 0.0:
        events.expand_large(data, marked, width, hits)
    events.after_hits(data, marked, hits, sizes, events.REMEMBERED)


def find(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    static: np.ndarray,
    lines: np.ndarray,
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
    static : (6, y, x) float
        The layers `LAYERS`. Where the noise is NaN or 0, every difference is taken for good.
    lines : (y, x) int
        Line of constant wavelength of each pixel, 0 throughout where there is none.
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
    cube, flags = ramp.reshape(n_times, n_groups, -1), dq_group.reshape(n_times, n_groups, -1)
    flat = np.ascontiguousarray(static.reshape(len(LAYERS), -1), dtype=np.float64)
    light, bins = light_curves(cube, flags, flat, lines.ravel(), readout)
    data = Data(cube, flags, flat, light, bins, readout, rule)
    search = (max(first - rule.after_integrations, 0), last)
    marked = flags.copy()
    _find(data, marked, nx, search)
    out = marked if rows is None else marked[first:last].copy()  # without the neighbours
    return out.reshape(last - first, n_groups, ny, nx)
