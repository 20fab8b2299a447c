"""Medians of many small sets at once: exact, and without branches that depend on the values.

Sets that lie side by side in memory (*lanes*: one set in each column) are sorted together by a
network of comparisons, which is the same whatever the values are. A set that is contiguous is
searched by counting: the number of values below a trial value tells where the median is, and
counting is what vector units do fastest.
"""

from __future__ import annotations

from functools import cache

import numba
import numpy as np

__all__ = [
    "LANES",
    "LARGEST_NETWORK",
    "median_by_counting",
    "median_in_time",
    "median_of_lanes",
    "network",
    "percentile_of_seen",
    "variance_in_time",
]

LANES = 128
"""Columns that are sorted together: the cache holds them."""

LARGEST_NETWORK = 48
"""Longest sets for which sorting side by side is faster than counting."""

FREE = {"reassoc", "contract", "nsz"}
HUGE = np.float32(3e38)

FEW = 12
"""So many values are sorted."""

MANY = 32
"""... and not by moving each to its place."""


@cache
def network(n: int, low: int, high: int) -> np.ndarray:
    """Return the comparisons that bring the values of rank ``low`` to ``high`` to their places.

    Batcher's merge exchange, without what these ranks do not depend on.

    Parameters
    ----------
    n : int
        Number of values.
    low, high : int
        First and last rank wanted.

    Returns
    -------
    (m, 2) int32
        Pairs of places i < j; each puts the smaller value at i.

    References
    ----------
    .. [1] Knuth (1998), The Art of Computer Programming 3, algorithm 5.2.2M.

    Examples
    --------
    >>> network(3, 1, 1)
    array([[0, 2],
           [0, 1],
           [1, 2]], dtype=int32)
    """
    pairs: list[tuple[int, int]] = []
    p = top = 1 << max(n - 1, 1).bit_length() - 1
    while p > 0:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(n - d) if i & p == r]
            if q == p:
                break
            q, r, d = q >> 1, p, q - p
        p >>= 1
    wanted, kept = set(range(low, high + 1)), []
    for i, j in reversed(pairs):
        if i in wanted or j in wanted:
            wanted |= {i, j}
            kept.append((i, j))
    return np.array(kept[::-1], np.int32).reshape(-1, 2)


@numba.njit(cache=True, nogil=True)
def _exchange(values, pairs, width):  # noqa: ANN001, ANN202 -- numba
    """Apply a `network` to the columns of ``values[:, :width]``, which must be contiguous."""
    for m in range(pairs.shape[0]):
        upper, lower = values[pairs[m, 0]], values[pairs[m, 1]]
        for w in range(width):
            a, b = upper[w], lower[w]
            upper[w] = min(b, a)
            lower[w] = max(a, b)


@numba.njit(cache=True, nogil=True)
def median_of_lanes(values, pairs, count, width, out):  # noqa: ANN001, ANN201 -- numba
    """Fill ``out[:width]`` with the medians of the first ``count`` values of each column.

    Columns are filled up with infinity, ``values`` is reordered, and an empty column gives 0.
    """
    _exchange(values, pairs, width)
    for w in range(width):
        n = count[w]
        if n == 0:
            out[w] = 0.0
        elif n % 2 == 1:
            out[w] = values[n // 2, w]
        else:
            out[w] = np.float32(0.5) * (values[n // 2 - 1, w] + values[n // 2, w])


@numba.njit(cache=True, nogil=True)
def _median_in_time(values, pairs, out):  # noqa: ANN001, ANN202 -- numba
    n_time, n_pixel = values.shape
    work, count = np.empty((n_time, LANES), np.float32), np.full(LANES, n_time, np.int32)
    for begin in range(0, n_pixel, LANES):
        width = min(LANES, n_pixel - begin)
        total = np.zeros(width, np.float32)
        for t in range(n_time):
            row = values[t, begin : begin + width]
            for w in range(width):
                work[t, w] = row[w]
                total[w] += row[w] - row[w]
        median_of_lanes(work, pairs, count, width, out[begin : begin + width])
        for w in range(width):
            out[begin + w] += total[w]  # not a number where a value is not finite


def median_in_time(values: np.ndarray) -> np.ndarray:
    """Return the median over the first axis, NaN where a value is not finite.

    Parameters
    ----------
    values : (time, ...) number
        At least one time.

    Returns
    -------
    (...) float32
    """
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    out = np.empty(flat.shape[1], np.float32)
    n = len(flat)
    _median_in_time(flat, network(n, (n - 1) // 2, n // 2), out)
    return out.reshape(values.shape[1:])


@numba.njit(cache=True, nogil=True)
def _variance_in_time(values, pairs, clip, out):  # noqa: ANN001, ANN202 -- numba
    n_time, n_pixel = values.shape
    work, count = np.empty((n_time, LANES), np.float32), np.full(LANES, n_time, np.int32)
    middle, limit = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    kept, squares = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    for begin in range(0, n_pixel, LANES):
        width = min(LANES, n_pixel - begin)
        part = values[:, begin : begin + width]
        _median_in_time(part, pairs, middle[:width])
        for t in range(n_time):
            for w in range(width):
                work[t, w] = abs(part[t, w] - middle[w])
        median_of_lanes(work, pairs, count, width, limit)
        kept[:] = 0.0
        squares[:] = 0.0
        for t in range(n_time):
            for w in range(width):
                d = work[t, w]
                inside = d <= clip * limit[w]
                kept[w] += np.float32(1.0) if inside else np.float32(0.0)
            for w in range(width):
                d = work[t, w]
                squares[w] += d * d if d <= clip * limit[w] else np.float32(0.0)
        for w in range(width):
            out[begin + w] = squares[w] / max(kept[w] - np.float32(1.0), np.float32(1.0))
            out[begin + w] += middle[w] - middle[w]


def variance_in_time(values: np.ndarray, clip: float) -> np.ndarray:
    """Return the variance about the median over the first axis, without outliers.

    Parameters
    ----------
    values : (time, ...) float32
        At least one time.
    clip : float
        Values farther than this from the median, in median absolute deviations, are left out.

    Returns
    -------
    (...) float32
        NaN where a value is not finite.
    """
    flat = np.ascontiguousarray(values, np.float32).reshape(len(values), -1)
    out = np.empty(flat.shape[1], np.float32)
    n = len(flat)
    _variance_in_time(flat, network(n, (n - 1) // 2, n // 2), np.float32(clip), out)
    return out.reshape(values.shape[1:])


def percentile_of_seen(
    values: np.ndarray, seen: np.ndarray, percent: float, axis: int
) -> np.ndarray:
    """Return a percentile of the values that are ``seen``, 0 where none is; the axis stays.

    As `numpy.nanpercentile` (linear), for all lines of an image at once.

    Examples
    --------
    >>> values = np.array([[3.0, 1.0, 2.0, 9.0]])
    >>> percentile_of_seen(values, values < 5, 25.0, axis=1)
    array([[1.5]])
    """
    count = seen.sum(axis=axis, keepdims=True)
    order = np.sort(np.where(seen, values, np.inf), axis=axis)
    place = np.maximum(count - 1, 0) * (percent / 100.0)
    low = np.floor(place).astype(np.int64)
    below, above = (
        np.take_along_axis(order, np.minimum(at, np.maximum(count - 1, 0)), axis=axis)
        for at in (low, low + 1)
    )
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, below + (place - low) * (above - below), 0.0)


@numba.njit(cache=True, nogil=True, fastmath=FREE | {"nnan"})
def _count_below(values, n, at):  # noqa: ANN001, ANN202 -- numba
    count = np.float32(0.0)  # exact up to 2^24, and in the lanes of the values
    for k in range(n):
        count += np.float32(1.0) if values[k] < at else np.float32(0.0)
    return int(count)


@numba.njit(cache=True, nogil=True)
def _around(values, n, at):  # noqa: ANN001, ANN202 -- numba
    """Return the largest value below ``at`` and the smallest that is not."""
    below, above = -HUGE, HUGE
    for k in range(n):
        v = values[k]
        if v < at:
            below = max(below, v)
        elif v < above:
            above = v
    return below, above


@numba.njit(cache=True, nogil=True)
def _ranked(values, n, low, high, rank, scratch):  # noqa: ANN001, ANN202 -- numba
    """Return the value of this rank among those in [low, high), and the next one."""
    m = np.int64(0)
    for k in range(n):
        v = values[k]
        scratch[m] = v
        m += np.int64(v >= low) & np.int64(v < high)
    if m > MANY:
        scratch[:m].sort()
    else:
        for i in range(1, m):
            v, j = scratch[i], i
            while j > 0 and scratch[j - 1] > v:
                scratch[j] = scratch[j - 1]
                j -= 1
            scratch[j] = v
    return scratch[rank], scratch[min(rank + 1, m - 1)]


@numba.njit(cache=True, nogil=True)
def median_by_counting(values, n, guess, scale, scratch):  # noqa: ANN001, ANN201 -- numba
    """Return the median of ``values[:n]``, finite and contiguous float32, exactly.

    ``guess`` and ``scale``, about the median and the standard deviation, only make it fast.
    """
    lower, upper = (n - 1) // 2, n // 2
    low, high, n_low, n_high = -HUGE, HUGE, 0, n
    at = np.float32(guess)
    step = max(np.float32(scale), np.float32(1e-30)) * np.float32(2.0 / np.sqrt(n))
    for _ in range(64):
        if n_high - n_low <= FEW:
            break
        count = _count_below(values, n, at)
        if count <= lower:
            low, n_low = at, count
        elif count > upper:
            high, n_high = at, count
        else:  # between the two middle values
            low, high = _around(values, n, at)
            return np.float32(0.5) * (low + high)
        if low > -HUGE and high < HUGE:
            at = np.float32(0.5) * low + np.float32(0.5) * high
        else:
            at += step if high == HUGE else -step
            step *= np.float32(2.0)
        if not low < at < high:
            break
    first, second = _ranked(values, n, low, high, lower - n_low, scratch)
    return first if lower == upper else np.float32(0.5) * (first + second)
