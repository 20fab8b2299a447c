"""How much was flagged, and the largest event of each integration."""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.jump_events import middle, spread
from tsoxr.kernels.ramps import JUMP

__all__ = ["HEAD", "STAMP", "count_new", "largest_events"]

STAMP = 15
"""Pixels on a side of the picture of an event."""

HEAD = 4
"""Numbers before the picture: events, pixels of the largest, and its row and column."""


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


@numba.njit(cache=True, nogil=True)
def _picture(
    ramp: np.ndarray,
    rate: np.ndarray,
    interval: float,
    width: int,
    at: tuple[int, int],
    out: np.ndarray,
) -> None:
    """Fill ``out`` (pixel of the stamp,) with the charge about a pixel, NaN off the detector.

    ``ramp`` (2, pixel): the groups before and after; ``rate`` (pixel,): what is usual, DN s-1.
    """
    out[:] = np.nan
    for k in range(out.size):
        y, x = at[0] + k // STAMP - STAMP // 2, at[1] + k % STAMP - STAMP // 2
        if 0 <= y < rate.size // width and 0 <= x < width:
            i = y * width + x
            out[k] = np.float64(ramp[1, i]) - np.float64(ramp[0, i]) - rate[i] * interval


@numba.njit(cache=True, nogil=True)
def largest_events(
    ramp: np.ndarray,
    before: np.ndarray,
    after: np.ndarray,
    rate: np.ndarray,
    interval: np.ndarray,
    width: int,
) -> np.ndarray:
    """Count the events of each integration, and show the largest.

    An event is what of one group of a ramp was flagged and is connected, corners included.

    Parameters
    ----------
    ramp : (time, group, pixel) uint16 or float
        Groups, DN.
    before, after : (time, group, pixel) uint8
        Flags of the groups.
    rate : (pixel,) float
        Usual rate, DN s-1.
    interval : (group - 1,) float
        Time between groups, s.
    width : int
        Pixels in a row.

    Returns
    -------
    (time, HEAD + STAMP**2) float32
        Number of events, pixels of the largest, row and column of its middle; then the charge
        about it, DN, a picture row by row. NaN but for the numbers where there is none.
    """
    n_times, n_groups, n_pixels = after.shape
    out = np.zeros((n_times, HEAD + STAMP * STAMP), np.float32)
    out[:, 2:] = np.nan
    where, members = np.zeros(n_pixels, np.uint8), np.empty(n_pixels + 16, np.int64)
    for t in range(n_times):
        group = 0
        for g in range(n_groups):
            b, a = before[t, g], after[t, g]
            some = np.uint8(0)
            for i in range(n_pixels):
                where[i] = ((a[i] & ~b[i]) & JUMP) != 0
                some |= where[i]
            if not some:
                continue
            for i in range(n_pixels):
                if not where[i]:
                    continue
                n = spread(where, width, i, members)
                out[t, 0] += 1
                if n > out[t, 1]:
                    group, out[t, 1] = g, n
                    y, x, _ = middle(members, n, width)
                    out[t, 2], out[t, 3] = int(y + 0.5), int(x + 0.5)
        if group > 0:
            at = (int(out[t, 2]), int(out[t, 3]))
            pair = ramp[t, group - 1 : group + 1]
            _picture(pair, rate, interval[group - 1], width, at, out[t, HEAD:])
    return out
