"""Medians of many small sets at once: exact, and without branches that depend on the values.

Sets that lie side by side in memory (*lanes*: one set in each column) are sorted together by a
network of comparisons, which is the same whatever the values are. A set that is contiguous is
searched by counting: the number of values below a trial value tells where the median is, and
counting is what vector units do fastest.
"""

# ruff: noqa: FURB136 -- min() and max() take longer to compile

from __future__ import annotations

from functools import cache

import numpy as np

from tsoxr.kernels.compiling import kernel, part

__all__ = [
    "LANES",
    "LARGEST_NETWORK",
    "exchange",
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

HUGE = np.float32(3e38)

FEW = 12
"""So many values are sorted."""


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


@part()
def exchange(values, pairs, width):  # noqa: ANN001, ANN201 -- numba
    """Bring the columns of ``values`` into the order of a `network`."""
    for m in range(pairs.shape[0]):
        i, j = pairs[m, 0], pairs[m, 1]
        for w in range(width):
            a, b = values[i, w], values[j, w]
            values[i, w] = a if a < b else b
            values[j, w] = b if b > a else a


@part()
def median_of_lanes(values, pairs, count, width, out):  # noqa: ANN001, ANN201 -- numba
    """Fill ``out[:width]`` with the medians of the first ``count`` values of each column.

    Columns, filled up with infinity, are reordered by a `network`; an empty one gives 0.
    """
    exchange(values, pairs, width)
    for w in range(width):
        n = count[w]
        if n == 0:
            out[w] = 0.0
        elif n % 2 == 1:
            out[w] = values[n // 2, w]
        else:
            out[w] = np.float32(0.5) * (values[n // 2 - 1, w] + values[n // 2, w])


@part()
def _median_of_block(values, begin, width, pairs, work, count, middle, total):  # noqa: ANN001, ANN202 -- numba
    """Fill ``middle[:width]`` with the medians of columns from ``begin`` on."""
    for w in range(width):
        total[w] = 0.0
    for t in range(values.shape[0]):
        for w in range(width):
            v = np.float32(values[t, np.uint64(begin + w)])
            work[t, w] = v
            total[w] += v - v
    median_of_lanes(work, pairs, count, width, middle)
    for w in range(width):
        middle[w] += total[w]  # not a number where a value is not finite


@kernel()
def _median_in_time(values, pairs, work, count, out):  # noqa: ANN001, ANN202 -- numba
    middle, total = work[-2], work[-1]
    for begin in range(0, values.shape[1], LANES):
        width = min(LANES, values.shape[1] - begin)
        _median_of_block(values, begin, width, pairs, work, count, middle, total)
        for w in range(width):
            out[np.uint64(begin + w)] = middle[w]


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
    pairs, work = network(n, (n - 1) // 2, n // 2), np.empty((n + 2, LANES), np.float32)
    _median_in_time(flat, pairs, work, np.full(LANES, n, np.int32), out)
    return out.reshape(values.shape[1:])


@kernel(error_model="numpy")
def _variance_in_time(values, pairs, clip, work, count, out):  # noqa: ANN001, ANN202 -- numba
    n_time, n_pixel = values.shape
    middle, limit, kept, squares = work[-4], work[-3], work[-2], work[-1]
    for begin in range(0, n_pixel, LANES):
        width = min(LANES, n_pixel - begin)
        _median_of_block(values, begin, width, pairs, work, count, middle, kept)
        for t in range(n_time):
            for w in range(width):
                work[t, w] = abs(values[t, np.uint64(begin + w)] - middle[w])
        median_of_lanes(work, pairs, count, width, limit)
        for w in range(width):
            kept[w] = squares[w] = 0.0
        for t in range(n_time):
            for w in range(width):
                d = work[t, w]
                kept[w] += np.float32(1.0) if d <= clip * limit[w] else np.float32(0.0)
                squares[w] += d * d if d <= clip * limit[w] else np.float32(0.0)
        for w in range(width):
            scatter = squares[w] / max(kept[w] - np.float32(1.0), np.float32(1.0))
            out[np.uint64(begin + w)] = scatter + (middle[w] - middle[w])


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
    pairs, work = network(n, (n - 1) // 2, n // 2), np.empty((n + 4, LANES), np.float32)
    _variance_in_time(flat, pairs, np.float32(clip), work, np.full(LANES, n, np.int32), out)
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


@part()
def _count_below(values, n, at):  # noqa: ANN001, ANN202 -- numba
    count = np.int32(0)  # as wide as the values, for vectors
    for k in range(n):
        count = np.int32(count + np.int32(values[k] < at))
    return count


@part()
def _around(values, n, at):  # noqa: ANN001, ANN202 -- numba
    """Return the largest value below ``at`` and the smallest that is not."""
    below, above = -HUGE, HUGE
    for k in range(n):
        v = values[k]
        if v < at:
            below = v if v > below else below
        elif v < above:
            above = v
    return below, above


@part()
def _ranked(values, n, low, high, rank, scratch):  # noqa: ANN001, ANN202 -- numba
    """Return the value of this rank among those in [low, high), and the next one."""
    m = np.int64(0)
    for k in range(n):
        v = values[k]
        scratch[m] = v
        m += np.int64(v >= low) & np.int64(v < high)
    gap = 1
    while gap < m // 9:
        gap = 3 * gap + 1
    while gap > 0:  # Shell's sort; few values are moved one by one
        for i in range(gap, m):
            v, j = scratch[i], i
            while j >= gap and scratch[j - gap] > v:
                scratch[j] = scratch[j - gap]
                j -= gap
            scratch[j] = v
        gap //= 3
    return scratch[rank], scratch[rank + 1 if rank + 1 < m else rank]


@part()
def median_by_counting(values, n, guess, scale, scratch):  # noqa: ANN001, ANN201 -- numba
    """Return the median of ``values[:n]``, finite and contiguous float32, exactly.

    ``guess`` and ``scale``, about the median and the standard deviation, only make it fast.
    """
    lower, upper = (n - 1) // 2, n // 2
    low, high, n_low, n_high = -HUGE, HUGE, 0, n
    at = np.float32(guess)
    step = np.float32(scale) if scale > 1e-30 else np.float32(1e-30)
    step *= np.float32(2.0 / np.sqrt(n))
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
