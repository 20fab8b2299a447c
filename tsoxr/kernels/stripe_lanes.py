"""Levels of lines that lie side by side in memory (*lanes*).

A tile of lines of one integration, which the cache holds, is taken through all groups. Loops run
over lanes without branches; lanes with values that are not finite or far from the others, which
are rare, are done once more, one by one.
"""

# ruff: noqa: ANN001, ANN201, ANN202, PLR0913, PLR0917 -- numba
# ruff: noqa: FURB136 -- min() and max() take longer to compile

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.medians import HUGE, median_by_counting, median_of_lanes
from tsoxr.kernels.small import median_of_many
from tsoxr.kernels.stripe_lines import mean_within, variance_of
from tsoxr.kernels.stripe_tiles import in_tiles

__all__ = ["levels_side_by_side"]

TRIALS = 16
"""Values below which are counted; few lanes need as many."""


@part(fastmath={"contract", "nsz"})
def _fill_tile(frame, model, begin, width, rows, n, u, e, base, group, values):
    """Fill ``values`` (row, lane) with what one group departs from the model.

    From later groups the departures of the first are subtracted, which ``base`` keeps; its last
    row is zero.
    """
    for k in range(n):
        f, b = rows[k], k if group > 0 else base.shape[0] - 1
        for w in range(width):
            s = np.uint64(begin + w)
            start = model[0, f, s]
            v = np.float32(frame[f, s]) - (start + u * model[1, f, s] + e * model[2, f, s])
            v -= base[b, w]
            values[k, w] = v if start > -HUGE else HUGE
    for k in range(0 if group > 0 else n):
        for w in range(width):
            v = values[k, w]
            base[k, w] = np.float32(0.0) if v == HUGE else v


@part(error_model="numpy")
def _moments_of_lanes(values, n, width, count, limit, moments, mean, squares, far):
    for w in range(width):
        mean[w] = squares[w] = far[w] = 0.0
    for k in range(n):
        for w in range(width):
            v = values[k, w]
            mean[w] += np.float32(0.0) if v == HUGE else v
    for w in range(width):
        mean[w] /= np.float32(count[w] if count[w] > 1 else 1)
    for k in range(n if moments else 0):
        for w in range(width):
            v = values[k, w]
            d = np.float32(0.0) if v == HUGE else v - mean[w]
            squares[w] += d * d
            far[w] += np.float32(0.0) if abs(d) <= limit[w] else np.float32(1.0)


@part(error_model="numpy")
def _one_lane(values, n, w, limit, by_median, moments, many, scratch):
    """Return level and variance of one lane, whatever its values are."""
    m, total = np.int64(0), 0.0
    for k in range(n):
        v = values[k, w]
        if v != HUGE and np.isfinite(v):
            scratch[0, m] = v
            total += v
            m += 1
    if m == 0:
        return 0.0, 0.0
    level, variance, usual = total / m, 0.0, False
    if moments:
        variance, usual = variance_of(scratch[0], m, np.float32(level), np.float32(limit))
    if by_median or not usual:
        if many is not None:
            middle = median_by_counting(scratch[0], m, level, 0.2 * limit, scratch[1])
        else:
            middle = np.float32(median_of_many(scratch[0], m))
        if moments and not usual:
            level, variance = mean_within(scratch[0], m, middle, limit)
        level = middle if by_median else level
    return level, variance


@part(error_model="numpy")
def _below_in_lanes(values, n, width, at, below):
    """Count the values of each lane below ``at``."""
    for w in range(width):
        below[w] = 0.0
    for k in range(n):
        for w in range(width):
            below[w] += np.float32(1.0) if values[k, w] < at[w] else np.float32(0.0)


@part(error_model="numpy")
def _next_in_lanes(values, n, width, at, lower, upper):
    """Find the largest value of each lane below ``at`` and the smallest that is not."""
    for w in range(width):
        lower[w], upper[w] = -HUGE, HUGE
    for k in range(n):
        for w in range(width):
            v = values[k, w]
            under, over = v if v < at[w] else -HUGE, HUGE if v < at[w] else v
            lower[w] = under if under > lower[w] else lower[w]
            upper[w] = over if over < upper[w] else upper[w]


@part(error_model="numpy")
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
        share = (half - n_low) / (n_high - n_low)
        share = share if share > np.float32(0.1) else np.float32(0.1)
        at = low + (share if share < np.float32(0.9) else np.float32(0.9)) * (high - low)
    return at, low, high, n_low, n_high, step


@part(error_model="numpy")
def _medians_of_many(values, n, width, count, mean, limit, lanes, out):
    """Fill the medians of lanes with many values, by counting in all lanes together.

    A trial value splits a lane at its middle when half of the values lie below it (or one less,
    of an odd number); then the median is next to it. Where ties hide that, ``lanes[5]`` stays 0.
    """
    done, at, low, high, n_low = lanes[5], lanes[6], lanes[7], lanes[8], lanes[9]
    n_high, step, below, half = lanes[10], lanes[11], lanes[12], lanes[13]
    for w in range(width):
        usual = np.isfinite(mean[w])
        at[w] = mean[w] if usual else np.float32(0.0)
        low[w], high[w], n_low[w], n_high[w] = -HUGE, HUGE, 0.0, count[w]
        scale = np.float32(0.4) * limit[w]
        scale = scale if scale > np.float32(1e-30) else np.float32(1e-30)
        step[w] = scale / np.sqrt(count[w] if count[w] > 1 else 1)
        half[w] = np.float32(0.5) * count[w]
        done[w] = np.float32(count[w] == 0 or not usual)
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
        if count[w] == 0:
            out[w] = 0.0
        elif count[w] % 2 == 1:
            out[w] = high[w] if below[w] < half[w] else low[w]
        else:
            out[w] = np.float32(0.5) * (low[w] + high[w])


@part(error_model="numpy")
def _levels_of_tile(values, n, width, count, limit, pairs, counting, many, want, lanes, scratch):
    """Fill level and scatter of a tile of lanes, the first two rows of ``lanes``.

    What is None of ``pairs``, ``counting`` and ``many`` is not even compiled; they are ``how`` of
    `levels_side_by_side`.
    """
    by_median = pairs is not None or counting is not None
    level, spread, mean, squares, far = lanes[0], lanes[1], lanes[2], lanes[3], lanes[4]
    moments, rows = want or not by_median, n
    _moments_of_lanes(values, n, width, count, limit, moments, mean, squares, far)
    for w in range(width):
        level[w] = mean[w]
        spread[w] = np.sqrt(squares[w] / np.float32(count[w] - 1 if count[w] > 2 else 1))
    if pairs is not None:
        rows = len(values)
        for k in range(n, rows):
            for w in range(width):
                values[k, w] = HUGE
        median_of_lanes(values, pairs, count, width, level)
    if counting is not None:
        _medians_of_many(values, n, width, count, mean, limit, lanes, level)
    for w in range(width):
        usual = np.isfinite(mean[w]) and far[w] == 0.0
        if not usual or (counting is not None and lanes[5, w] == 0.0):
            level[w], variance = _one_lane(
                values, rows, w, limit[w], by_median, moments, many, scratch
            )
            if not usual:
                spread[w] = np.sqrt(variance)


@kernel(error_model="numpy")
def _fill_levels(ramp, model, clock, wing, tiles, how, want, room, levels, spread):
    """Fill levels and scatter; see `levels_side_by_side`."""
    rows, n_rows, count, limit = tiles
    values, base, lanes, scratch = room
    wide, n_slow = values.shape[1], ramp.shape[3]
    for t in range(ramp.shape[0]):
        for tile in range(rows.shape[0]):
            begin = tile * wide
            width = min(wide, n_slow - begin)
            for o in range(rows.shape[1]):
                n = n_rows[tile, o]
                for g in range(ramp.shape[1]):
                    _fill_tile(
                        ramp[t, g], model, begin, width, rows[tile, o], n, clock[g], wing[t, g],
                        base, g, values,
                    )  # fmt: skip
                    _levels_of_tile(
                        values, n, width, count[tile, o], limit[tile, min(g, 1)], how[0], how[1],
                        how[2], want, lanes, scratch,
                    )  # fmt: skip
                    for w in range(width):
                        s = np.uint64(begin + w)
                        first = lanes[14, w] if g > 0 else np.float32(0.0)
                        levels[t, g, o, s] = lanes[0, w] + first
                        spread[t, g, o, s] = lanes[1, w]
                        lanes[14, w] = first if g > 0 else lanes[0, w]


def levels_side_by_side(ramp, model, clock, excess, limit, tiles, how, want, levels, spread):
    """Fill levels and scatter (time, group, output, slow) where lines lie side by side.

    ``ramp`` (time, group, fast, slow) is C-contiguous, ``model`` and ``tiles`` from
    `tsoxr.kernels.stripe_tiles`, ``how`` a network that finds medians of the longest lanes, whether they are
    found by counting, and whether lanes have many values, all of them or None; the rest as for
    `levels_along`.
    """
    rows, n_rows, count = tiles
    width, longest = count.shape[2], max(int(n_rows.max(initial=0)), 1)
    values = np.empty((longest, width), np.float32)
    base = np.zeros((longest + 1, width), np.float32)
    room = values, base, np.zeros((15, width), np.float32), np.empty((2, longest + 1), np.float32)
    u, e = clock[0].astype(np.float32), (clock[1] * excess[:, None]).astype(np.float32)
    given = (rows, n_rows, count, in_tiles(limit, width))
    _fill_levels(ramp, model, u, e, given, how, want, room, levels, spread)
