"""Levels of lines that lie along memory, and what all layouts share.

A line is taken through all groups while the cache holds it, in loops without branches over
contiguous memory; lines with values that are not finite or far from the others, which are rare,
are done once more with selection. `tsoxr.kernels.stripe_lanes` does lines that lie side by side.
"""

# ruff: noqa: ANN001, ANN201, ANN202, PLR0913, PLR0917 -- numba

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.medians import median_by_counting
from tsoxr.kernels.stripe_statistics import median_of

__all__ = ["clipped_mean", "level_of_any", "levels_along", "subtracted"]

FREE = {"reassoc", "contract", "nsz"}


@numba.njit(cache=True, nogil=True)
def _mean_within(values, n, center, limit):
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


@numba.njit(cache=True, nogil=True, fastmath=FREE)
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
    return _mean_within(values, n, median_of(scratch, n), limit)


@numba.njit(cache=True, nogil=True, fastmath=FREE)
def _sum(values, n):
    total = 0.0
    for k in range(n):
        total += values[k]
    return total


@numba.njit(cache=True, nogil=True, fastmath=FREE)
def _variance(values, n, mean, limit):
    """Return the variance of the values, and whether none is far from their mean."""
    squares, far = np.float32(0.0), np.float32(0.0)
    for k in range(n):
        d = values[k] - mean
        squares += d * d
        far += np.float32(0.0) if abs(d) <= limit else np.float32(1.0)
    return np.float64(squares) / max(n - 1, 1), far == 0.0


@numba.njit(cache=True, nogil=True)
def level_of_any(values, n, limit, by_median, scratch, want):
    """Return level and variance of one line, whatever its values are."""
    m = 0
    for k in range(n):
        v = values[k]
        if np.isfinite(v):
            scratch[0, m] = v
            m += 1
    if m == 0:
        return 0.0, 0.0
    level, variance = _sum(scratch[0], m) / m, 0.0
    usual = False
    if want or not by_median:
        variance, usual = _variance(scratch[0], m, np.float32(level), np.float32(limit))
    if usual and not by_median:
        return level, variance
    middle = median_by_counting(scratch[0], m, level, 0.2 * limit, scratch[1])
    if not usual and (want or not by_median):
        level, variance = _mean_within(scratch[0], m, middle, limit)
    return middle if by_median else level, variance


@numba.njit(cache=True, nogil=True)
def _residuals(frame, start, rise, wing, base, index, n, u, e, out):
    for k in range(n):
        out[k] = np.float32(frame[index[k]])
    for k in range(n):
        out[k] = out[k] - (start[k] + u * rise[k] + e * wing[k]) - base[k]


@numba.njit(cache=True, nogil=True)
def _packed(design, edges):
    """Return the layers at the usable pixels of each line, their places, and where outputs end."""
    n_slow, n_fast = design.shape[1:]
    layers = np.zeros((3, n_slow, n_fast), np.float32)
    index = np.zeros((n_slow, n_fast), np.int32)
    ends = np.zeros((n_slow, edges.size), np.int64)
    for s in range(n_slow):
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
    return layers, index, ends


@numba.njit(cache=True, nogil=True)
def levels_along(ramp, design, clock, excess, edges, limit, by_median, want, levels, spread):
    """Fill levels and scatter (time, group, slow, output) where lines lie along memory.

    ``ramp`` (time, group, slow, fast) is C-contiguous, ``clock`` (2, group) holds u and e of
    `tsoxr.kernels.stripes.line_levels`, ``excess`` (time,) the light over the median less
    1, ``limit`` (2, slow); ``want`` says whether the scatter is wanted.
    """
    layers, index, ends = _packed(design, edges)
    n_fast = ramp.shape[3]
    base, values = np.zeros(n_fast, np.float32), np.empty(n_fast, np.float32)
    zero, scratch = np.zeros(n_fast, np.float32), np.empty((2, n_fast + 1), np.float32)
    for t in range(ramp.shape[0]):
        for s in range(ramp.shape[2]):
            n = ends[s, -1]
            start, rise, wing = layers[0, s], layers[1, s], layers[2, s]
            for g in range(ramp.shape[1]):
                u, e = np.float32(clock[0, g]), np.float32(clock[1, g] * excess[t])
                subtracted = base if g > 0 else zero
                _residuals(ramp[t, g, s], start, rise, wing, subtracted, index[s], n, u, e, values)
                if g == 0:
                    base[:n] = values[:n]
                _outputs_of_line(
                    values, ends[s], limit[min(g, 1), s], by_median, want, scratch,
                    levels[t, g, s], spread[t, g, s],
                )  # fmt: skip
                if g > 0:
                    levels[t, g, s] += levels[t, 0, s]


@numba.njit(cache=True, nogil=True)
def _outputs_of_line(values, ends, limit, by_median, want, scratch, levels, spread):
    for o in range(levels.size):
        n = ends[o + 1] - ends[o]
        if n == 0:
            continue
        part = values[ends[o] : ends[o + 1]]
        total, variance = _sum(part, n), 0.0
        level, usual = total / n, np.isfinite(total)
        if usual and (want or not by_median):
            variance, usual = _variance(part, n, np.float32(level), np.float32(limit))
        if not usual:
            level, variance = level_of_any(part, n, limit, by_median, scratch, want)
        elif by_median:
            level = median_by_counting(part, n, level, 0.2 * limit, scratch[0])
        levels[o] = level
        spread[o] = np.sqrt(variance)


@numba.njit(cache=True, nogil=True)
def subtracted(ramp, levels, edges, lanes, out):
    """Fill ``out`` with ``ramp`` less its levels, all as they lie in memory.

    Levels are (time, group, output, slow) where lines lie side by side (``lanes``), and
    (time, group, slow, output) else.
    """
    for t in range(ramp.shape[0]):
        for g in range(ramp.shape[1]):
            for o in range(edges.size - 1):
                i, j = edges[o], edges[o + 1]
                if lanes:
                    level = levels[t, g, o]
                    for f in range(i, j):
                        row, into = ramp[t, g, f], out[t, g, f]
                        for s in range(level.size):
                            into[s] = np.float32(row[s]) - level[s]
                else:
                    for s in range(ramp.shape[2]):
                        row, into = ramp[t, g, s, i:j], out[t, g, s, i:j]
                        value = levels[t, g, s, o]
                        for f in range(j - i):
                            into[f] = np.float32(row[f]) - value
