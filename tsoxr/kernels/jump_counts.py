"""How much was flagged, and the largest event of each integration."""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.jump_events import connected
from tsoxr.kernels.ramps import JUMP

__all__ = ["HEAD", "STAMP", "count_new", "largest_events", "new_places"]

STAMP = 15
"""Pixels on a side of the picture of an event."""

TOGETHER = 1 << 16
"""Flags that are compared together: the caches hold them."""

HEAD = 4
"""Numbers before the picture: events, pixels of the largest, and its row and column."""


def new_places(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return where JUMP_DET was set, as places in the flattened arrays, ascending.

    Parameters
    ----------
    before, after : (time, group, ...) uint8
        Flags of the groups.

    Returns
    -------
    (n,) int64
    """
    old, new = before.reshape(-1), after.reshape(-1)
    found = [np.empty(0, np.int64)]
    for first in range(0, old.size, TOGETHER):
        here = slice(first, first + TOGETHER)
        only = ~old[here]
        only &= new[here]
        only &= np.uint8(JUMP)
        only //= np.uint8(JUMP)
        found.append(np.flatnonzero(only.view(np.bool_)) + first)
    return np.concatenate(found)


def count_new(place: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Count the groups of each ramp that gained JUMP_DET.

    Parameters
    ----------
    place : (n,) int64
        From `new_places`.
    shape : tuple of int
        (time, group, ...) of the flags.

    Returns
    -------
    count : (time, ...) uint16
    """
    n_groups, n_pixels = shape[1], int(np.prod(shape[2:]))
    ramp = place // (n_groups * n_pixels) * n_pixels + place % n_pixels
    count = np.zeros(shape[0] * n_pixels, np.uint16)
    np.add.at(count, ramp, np.uint16(1))
    return count.reshape(shape[0], *shape[2:])


def _picture(pair: np.ndarray, usual: np.ndarray, width: int, at: tuple[int, int]) -> np.ndarray:
    """Return the charge about a pixel (pixel of the stamp,), NaN off the detector.

    ``pair`` (2, pixel): the groups before and after; ``usual`` (pixel,): the usual difference, DN.
    """
    half = STAMP // 2
    y = np.arange(at[0] - half, at[0] + half + 1)[:, None]
    x = np.arange(at[1] - half, at[1] + half + 1)
    inside = (y >= 0) & (y < usual.size // width) & (x >= 0) & (x < width)
    i = np.where(inside, y * width + x, 0)
    charge = pair[1, i].astype(np.float64) - pair[0, i] - usual[i]
    return np.where(inside, charge, np.nan).ravel()


def largest_events(
    ramp: np.ndarray,
    place: np.ndarray,
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
    place : (n,) int64
        From `new_places`.
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
    n_times, n_groups, n_pixels = ramp.shape
    out = np.zeros((n_times, HEAD + STAMP * STAMP), np.float32)
    out[:, 2:] = np.nan
    frame, pixel = np.divmod(place, n_pixels)
    if frame.size == 0:
        return out
    event = connected(frame, pixel, width)
    first = np.unique(event, return_index=True)[1]
    time, size = frame[first] // n_groups, np.bincount(event)
    out[:, 0] = np.bincount(time, minlength=n_times)
    order = np.lexsort((-np.arange(size.size), size, time))  # the first of those of equal size
    for e in order[np.append(np.flatnonzero(np.diff(time[order])), order.size - 1)]:
        y, x = np.divmod(pixel[event == e], width)
        at = int(y.mean() + 0.5), int(x.mean() + 0.5)
        t, g = divmod(int(frame[first[e]]), n_groups)
        out[t, 1:HEAD] = size[e], *at
        if g > 0:
            usual = rate * interval[g - 1]
            out[t, HEAD:] = _picture(ramp[t, g - 1 : g + 1], usual, width, at)
    return out
