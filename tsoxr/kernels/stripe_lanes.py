"""Levels of lines that lie side by side in memory (*lanes*).

A tile of lines of one integration, which the cache holds, is taken through all groups. Loops run
over lanes without branches; lanes with values that are not finite or far from the others, which
are rare, are done once more, one by one.
"""

# ruff: noqa: ANN001, ANN201, ANN202, PLR0913, PLR0917 -- numba

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.medians import HUGE, median_by_counting, median_of_lanes
from tsoxr.kernels.stripe_lines import level_of_any

__all__ = ["NARROW", "WIDE", "lanes_of", "levels_side_by_side", "tile_rows"]

WIDE, NARROW = 128, 32
"""Lines done side by side: with few pixels each, and with many (the cache holds either)."""

TRIALS = 16
"""Values below which are counted; few lanes need as many."""


@numba.njit(cache=True, nogil=True)
def lanes_of(layers):
    """Return ``layers`` (start, rise, wing, usable; fast, slow) with pixels of no use as huge.

    The model of such a pixel is -3e38, so that its residual is, too, and no mask is needed.
    """
    out = np.empty((3, *layers.shape[1:]), np.float32)
    for f in range(layers.shape[1]):
        for s in range(layers.shape[2]):
            a, b, c = layers[0, f, s], layers[1, f, s], layers[2, f, s]
            used = layers[3, f, s] > 0 and np.isfinite(a) and np.isfinite(b) and np.isfinite(c)
            out[0, f, s] = a if used else -HUGE
            out[1, f, s] = b if used else np.float32(0.0)
            out[2, f, s] = c if used else np.float32(0.0)
    return out


@numba.njit(cache=True, nogil=True)
def tile_rows(model, edges, width):
    """Return rows with a usable pixel in each tile, (tile, output, fast); their number; counts.

    ``model`` from `lanes_of`; counts (output, slow) of usable pixels of a line.
    """
    n_fast, n_slow = model.shape[1:]
    n_tile = (n_slow + width - 1) // width
    n_output = edges.size - 1
    rows = np.zeros((n_tile, n_output, n_fast), np.int32)
    n_rows = np.zeros((n_tile, n_output), np.int64)
    count = np.zeros((n_output, n_slow), np.int32)
    for o in range(n_output):
        for f in range(edges[o], edges[o + 1]):
            for tile in range(n_tile):
                seen = np.int32(0)
                for s in range(tile * width, min((tile + 1) * width, n_slow)):
                    used = np.int32(model[0, f, s] > -HUGE)
                    count[o, s] += used
                    seen += used
                if seen > 0:
                    rows[tile, o, n_rows[tile, o]] = f
                    n_rows[tile, o] += 1
    return rows, n_rows, count


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _row(frame, start, rise, wing, base, u, e, out):
    for w in range(frame.size):
        v = np.float32(frame[w]) - (start[w] + u * rise[w] + e * wing[w]) - base[w]
        out[w] = v if start[w] > -HUGE else HUGE


@numba.njit(cache=True, nogil=True)
def _sums_of_lanes(values, n, width, total):
    total[:width] = 0.0
    for k in range(n):
        row = values[k]
        for w in range(width):
            total[w] += np.float32(0.0) if row[w] == HUGE else row[w]


@numba.njit(cache=True, nogil=True)
def _moments_of_lanes(values, n, width, mean, limit, squares, far):
    squares[:width] = 0.0
    far[:width] = 0.0
    for k in range(n):
        row = values[k]
        for w in range(width):
            d = np.float32(0.0) if row[w] == HUGE else row[w] - mean[w]
            squares[w] += d * d
        for w in range(width):
            d = np.float32(0.0) if row[w] == HUGE else row[w] - mean[w]
            far[w] += np.float32(0.0) if abs(d) <= limit[w] else np.float32(1.0)


@numba.njit(cache=True, nogil=True)
def _lane(values, n, w, out):
    """Copy the usable values of one lane; return their number."""
    m = 0
    for k in range(n):
        if values[k, w] != HUGE:
            out[m] = values[k, w]
            m += 1
    return m


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz", "nnan", "reassoc"})
def _below_in_lanes(values, n, width, at, below):
    """Count the values of each lane below ``at``."""
    below[:width] = 0.0
    for k in range(n):
        row = values[k]
        for w in range(width):
            below[w] += np.float32(1.0) if row[w] < at[w] else np.float32(0.0)


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz", "nnan"})
def _next_in_lanes(values, n, width, at, lower, upper):
    """Find the largest value of each lane below ``at`` and the smallest that is not."""
    lower[:width], upper[:width] = -HUGE, HUGE
    for k in range(n):
        row = values[k]
        for w in range(width):
            v = row[w]
            lower[w] = max(lower[w], v if v < at[w] else -HUGE)
            upper[w] = min(upper[w], HUGE if v < at[w] else v)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _closer(m, half, at, low, high, n_low, n_high, step):
    """Return the next trial value of a lane, and the bracket of its median, after a count."""
    if m < half:
        low, n_low = at, m
    else:
        high, n_high = at, m
    if low == -HUGE or high == HUGE:
        at += step if high == HUGE else -step
        step *= np.float32(2.0)
    else:
        part = (half - n_low) / (n_high - n_low)
        at = low + min(max(part, np.float32(0.1)), np.float32(0.9)) * (high - low)
    return at, low, high, n_low, n_high, step


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _medians_of_many(values, n, count, mean, limit, lanes, scratch, out):
    """Fill the medians of lanes with many values, by counting in all lanes together.

    A trial value splits a lane at its middle when half of the values lie below it (or one less,
    of an odd number); then the median is next to it. Where ties hide that, one lane is done alone.
    """
    width = count.size
    at, low, high, n_low, n_high = lanes[0], lanes[1], lanes[2], lanes[3], lanes[4]
    step, below, half, done = lanes[5], lanes[6], lanes[7], lanes[8]
    for w in range(width):
        at[w] = mean[w] if np.isfinite(mean[w]) else np.float32(0.0)
        low[w], high[w], n_low[w], n_high[w] = -HUGE, HUGE, 0.0, count[w]
        step[w] = max(np.float32(0.4) * limit[w], np.float32(1e-30)) / np.sqrt(max(count[w], 1))
        half[w] = np.float32(0.5) * count[w]
        done[w] = np.float32(count[w] == 0 or not np.isfinite(mean[w]))
    for _ in range(TRIALS):
        _below_in_lanes(values, n, width, at, below)
        left = 0
        for w in range(width):
            if done[w] > 0.0 or abs(below[w] - half[w]) <= np.float32(0.5):
                done[w] = 1.0
                continue
            left += 1
            at[w], low[w], high[w], n_low[w], n_high[w], step[w] = _closer(
                below[w], half[w], at[w], low[w], high[w], n_low[w], n_high[w], step[w]
            )
        if left == 0:
            break
    _next_in_lanes(values, n, width, at, low, high)
    for w in range(width):
        if count[w] == 0 or not np.isfinite(mean[w]):
            out[w] = 0.0
        elif done[w] == 0.0:
            m = _lane(values, n, w, scratch[1])
            guess, scale = mean[w], np.float32(0.2) * limit[w]
            out[w] = median_by_counting(scratch[1], m, guess, scale, scratch[0])
        elif count[w] % 2 == 1:
            out[w] = high[w] if below[w] < half[w] else low[w]
        else:
            out[w] = np.float32(0.5) * (low[w] + high[w])


@numba.njit(cache=True, nogil=True)
def _tile_levels(
    values,
    n,
    n_network,
    count,
    limit,
    pairs,
    by_median,
    want,
    work,
    lanes,
    lane,
    scratch,
    levels,
    spread,
):
    """Fill level and scatter of a tile of lanes (width,)."""
    width = count.size
    mean, squares, far, median = work[0], work[1], work[2], work[3]
    _sums_of_lanes(values, n, width, mean)
    for w in range(width):
        mean[w] /= np.float32(max(count[w], 1))
    moments = want or not by_median
    if moments:
        _moments_of_lanes(values, n, width, mean, limit, squares, far)
    for w in range(width):
        levels[w] = mean[w]
        spread[w] = np.sqrt(squares[w] / np.float32(max(count[w] - 1, 1))) if moments else 0.0
        if not np.isfinite(mean[w]) or (moments and far[w] > 0):
            m = _lane(values, n, w, lane)
            level, variance = level_of_any(lane, m, limit[w], by_median, scratch, want)
            levels[w], spread[w] = level, np.sqrt(variance)
    if not by_median:
        return
    if n_network > 0:
        for k in range(n, n_network):
            values[k, :width] = HUGE
        median_of_lanes(values, pairs, count, width, median)
    else:
        _medians_of_many(values, n, count, mean, limit, lanes, scratch, median)
    for w in range(width):
        if np.isfinite(mean[w]):
            levels[w] = median[w]


@numba.njit(cache=True, nogil=True)
def levels_side_by_side(
    ramp, model, clock, excess, edges, limit, tiles, how, by_median, want, levels, spread
):
    """Fill levels and scatter (time, group, output, slow) where lines lie side by side.

    ``ramp`` (time, group, fast, slow) is C-contiguous, ``model`` from `lanes_of`, ``tiles``
    from `tile_rows`, ``how`` the width of a tile, the size of the network that finds medians (0:
    by counting) and the network; the rest as for `levels_along`.
    """
    rows, n_rows, count = tiles
    width, n_network, pairs = how
    n_slow, longest = ramp.shape[3], max(n_rows.max(), 1)
    values = np.empty((longest, width), np.float32)
    base, zero = np.zeros((longest, width), np.float32), np.zeros(width, np.float32)
    work = np.zeros((4, width), np.float32)
    lanes, lane = np.empty((9, width), np.float32), np.empty(longest + 1, np.float32)
    scratch = np.empty((2, longest + 1), np.float32)
    for t in range(ramp.shape[0]):
        for tile in range(rows.shape[0]):
            a, b = tile * width, min((tile + 1) * width, n_slow)
            for o in range(edges.size - 1):
                n = n_rows[tile, o]
                for g in range(ramp.shape[1]):
                    u, e = np.float32(clock[0, g]), np.float32(clock[1, g] * excess[t])
                    for k in range(n):
                        f = rows[tile, o, k]
                        _row(
                            ramp[t, g, f, a:b], model[0, f, a:b], model[1, f, a:b],
                            model[2, f, a:b], base[k, : b - a] if g > 0 else zero[: b - a],
                            u, e, values[k, : b - a],
                        )  # fmt: skip
                    if g == 0:
                        for k in range(n):
                            for w in range(b - a):
                                v = values[k, w]
                                base[k, w] = np.float32(0.0) if v == HUGE else v
                    _tile_levels(
                        values, n, n_network, count[o, a:b], limit[min(g, 1), a:b], pairs,
                        by_median, want, work, lanes, lane, scratch,
                        levels[t, g, o, a:b], spread[t, g, o, a:b],
                    )  # fmt: skip
                    if g > 0:
                        levels[t, g, o, a:b] += levels[t, 0, o, a:b]
