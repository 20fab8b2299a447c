"""Medians in time of frames with samples left out, a few dozen frames at a time."""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel
from tsoxr.kernels.medians import HUGE, LANES, exchange, network

__all__ = ["masked_median_in_time"]


@kernel()
def _masked_median_in_time(values, unusable, pairs, work, lost, median):  # noqa: ANN001, ANN202 -- numba
    """Do the work of `masked_median_in_time`; ``work`` and ``lost`` are room."""
    n, n_rows, n_columns = values.shape
    for y in range(n_rows):
        for first in range(0, n_columns, LANES):
            width = min(LANES, n_columns - first)
            for w in range(width):
                lost[w] = 0
            for t in range(n):
                for w in range(width):
                    v = np.float32(values[t, y, np.uint64(first + w)])
                    bad = unusable[t, y, np.uint64(first + w)] or not abs(v) < np.inf
                    beside = -HUGE if lost[w] & 1 else HUGE
                    work[t, w] = beside if bad else v
                    lost[w] += 1 if bad else 0
            exchange(work, pairs, width)
            for w in range(width):
                if lost[w] < n:
                    odd = lost[w] & 1
                    low, high = work[max(n - 1 - odd, 0) // 2, w], work[(n - odd) // 2, w]
                    median[y, first + w] = low if low == high else np.float32(0.5) * (low + high)


def masked_median_in_time(values: np.ndarray, unusable: np.ndarray) -> np.ndarray:
    """Return the median in time of each pixel's usable samples, up to `LARGEST_NETWORK` of them.

    Parameters
    ----------
    values : (time, y, x) float32
        Below `HUGE`; not finite counts as unusable.
    unusable : (time, y, x) bool
        Samples to leave out.

    Returns
    -------
    (y, x) float32
        NaN where no sample is usable.

    Notes
    -----
    Samples that are left out count as larger and as smaller than all others in turn: the median
    of what remains then keeps its rank, or lies half a rank lower.
    """
    n = len(values)
    median = np.full(values.shape[1:], np.nan, np.float32)
    pairs = network(n, max(n - 2, 0) // 2, n // 2)
    work, lost = np.empty((n, LANES), np.float32), np.empty(LANES, np.int64)
    _masked_median_in_time(values, unusable, pairs, work, lost, median)
    return median
