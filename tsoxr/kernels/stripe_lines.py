"""Levels of lines that lie along memory, and what all layouts share.

A line is taken through all groups while the cache holds it, in loops without branches over
contiguous memory; lines with values that are not finite or far from the others, which are rare,
are done once more with selection. `tsoxr.kernels.stripe_lanes` does lines that lie side by side.
"""

# ruff: noqa: ANN001, ANN201, ANN202, PLR0913, PLR0917 -- numba

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.medians import median_by_counting
from tsoxr.kernels.small import median_of_many

__all__ = ["clipped_mean", "levels_along", "mean_within", "subtracted", "variance_of"]

FREE = {"reassoc", "contract", "nsz"}


@part()
def mean_within(values, n, center, limit):
    """Return mean and variance of the values within ``limit`` of ``center``."""
    kept, total, squares = 0, 0.0, 0.0
    for k in range(n):
        d = values[k] - center
        if abs(d) <= limit:
            kept += 1
            total += d
            squares += d * d
    if kept == 0:
        return center, 0.0
    mean = total / kept
    variance = (squares - kept * mean * mean) / (kept - 1) if kept > 1 else 0.0
    return center + mean, max(variance, 0.0)


@kernel(fastmath=FREE)
def clipped_mean(values, n, scratch, limit):
    """Return mean and variance of ``values[:n]`` without outliers.

    Where all values lie within ``limit`` of their mean nothing is clipped, and no
    selection is made; otherwise those farther than ``limit`` from the median are left out.
    """
    total = 0.0
    for k in range(n):
        total += values[k]
    mean = total / n
    far, squares = 0.0, 0.0
    for k in range(n):
        d = values[k] - mean
        far += 0.0 if abs(d) <= limit else 1.0
        squares += d * d
    if far == 0.0:
        return mean, squares / (n - 1) if n > 1 else 0.0
    for k in range(n):
        scratch[k] = values[k]
    return mean_within(values, n, median_of_many(scratch, n), limit)


@part(fastmath=FREE)
def _sum(values, n):
    total = 0.0
    for k in range(n):
        total += values[k]
    return total


@part(fastmath=FREE)
def variance_of(values, n, mean, limit):
    """Return the variance of the values, and whether none is far from their mean."""
    squares, far = np.float32(0.0), np.float32(0.0)
    for k in range(n):
        d = values[k] - mean
        squares += d * d
        far += np.float32(0.0) if abs(d) <= limit else np.float32(1.0)
    return np.float64(squares) / max(n - 1, 1), far == 0.0


@kernel()
def _pack(design, edges, layers, index, ends):
    """Fill the layers at the usable pixels of each line, their places, and where outputs end."""
    for s in range(design.shape[1]):
        n = 0
        for o in range(edges.size - 1):
            for f in range(edges[o], edges[o + 1]):
                if design[3, s, f] > 0:
                    a, b, c = design[0, s, f], design[1, s, f], design[2, s, f]
                    if np.isfinite(a) and np.isfinite(b) and np.isfinite(c):
                        layers[0, s, n], layers[1, s, n], layers[2, s, n] = a, b, c
                        index[s, n] = f
                        n += 1
            ends[s, o + 1] = n


@part()
def _level_of_output(values, n, limit, by_median, want, scratch):
    """Return level and variance of some values, of which only the finite ones stay."""
    m, total = n, _sum(values, n)
    if not np.isfinite(total):
        m = np.int64(0)
        for k in range(n):
            values[m] = values[k]
            m += np.int64(np.isfinite(values[k]))
        total = _sum(values, m)
    if m == 0:
        return 0.0, 0.0
    level, variance, usual = total / m, 0.0, False
    moments = want or not by_median
    if moments:
        variance, usual = variance_of(values, m, np.float32(level), np.float32(limit))
    if usual and not by_median:
        return level, variance
    middle = median_by_counting(values, m, level, 0.2 * limit, scratch)
    if moments and not usual:
        level, variance = mean_within(values, m, middle, limit)
    return middle if by_median else level, variance


@kernel(error_model="numpy")
def _fill_levels(ramp, packed, clock, excess, limit, by_median, want, room, levels, spread):  # noqa: C901
    """Fill levels and scatter; see `levels_along`."""
    layers, index, ends = packed
    values, base, scratch = room
    for t in range(ramp.shape[0]):
        for s in range(ramp.shape[2]):
            n = ends[s, -1]
            for k in range(n):
                base[k] = 0.0
            for g in range(ramp.shape[1]):
                u, e = np.float32(clock[0, g]), np.float32(clock[1, g] * excess[t])
                for k in range(n):
                    values[k] = np.float32(ramp[t, g, s, index[s, k]])
                for k in range(n):
                    scene = layers[0, s, k] + u * layers[1, s, k] + e * layers[2, s, k]
                    values[k] = values[k] - scene - base[k]
                if g == 0:
                    for k in range(n):
                        base[k] = values[k]
                for o in range(levels.shape[3]):
                    begin, end = ends[s, o], ends[s, o + 1]
                    if end > begin:
                        level, variance = _level_of_output(
                            values[begin:end], end - begin, limit[min(g, 1), s],
                            by_median, want, scratch,
                        )  # fmt: skip
                        first = levels[t, 0, s, o] if g > 0 else np.float32(0.0)
                        levels[t, g, s, o] = np.float32(level) + first
                        spread[t, g, s, o] = np.sqrt(variance)


def levels_along(ramp, design, clock, excess, edges, limit, by_median, want, levels, spread):
    """Fill levels and scatter (time, group, slow, output) where lines lie along memory.

    ``ramp`` (time, group, slow, fast) is C-contiguous, ``clock`` (2, group) holds u and e of
    `tsoxr.kernels.stripes.line_levels`, ``excess`` (time,) the light over the median less
    1, ``limit`` (2, slow); ``want`` says whether the scatter is wanted.
    """
    n_slow, n_fast = design.shape[1:]
    packed = (
        np.zeros((3, n_slow, n_fast), np.float32),
        np.zeros((n_slow, n_fast), np.int32),
        np.zeros((n_slow, edges.size), np.int64),
    )
    _pack(design, edges, *packed)
    room = np.empty(n_fast, np.float32), np.empty(n_fast, np.float32), np.empty(n_fast + 1, "f4")
    _fill_levels(ramp, packed, clock, excess, limit, by_median, want, room, levels, spread)


@kernel()
def _subtract_in_lanes(ramp, levels, edges, out):
    for t in range(ramp.shape[0]):
        for g in range(ramp.shape[1]):
            for o in range(edges.size - 1):
                for f in range(edges[o], edges[o + 1]):
                    for s in range(ramp.shape[3]):
                        out[t, g, f, s] = np.float32(ramp[t, g, f, s]) - levels[t, g, o, s]


@kernel()
def _subtract_along(ramp, levels, edges, out):
    for t in range(ramp.shape[0]):
        for g in range(ramp.shape[1]):
            for s in range(ramp.shape[2]):
                for o in range(edges.size - 1):
                    begin, value = edges[o], levels[t, g, s, o]
                    for k in range(edges[o + 1] - begin):
                        f = np.uint64(begin + k)
                        out[t, g, s, f] = np.float32(ramp[t, g, s, f]) - value


def subtracted(ramp, levels, edges, lanes, out):
    """Fill ``out`` with ``ramp`` less its levels, all as they lie in memory.

    Levels are (time, group, output, slow) where lines lie side by side (``lanes``), and
    (time, group, slow, output) else.
    """
    (_subtract_in_lanes if lanes else _subtract_along)(ramp, levels, edges, out)
