"""Flags of whole groups: those dropped at the ends of a ramp, and those above a threshold.

Both leave a ramp two usable groups where it had two: fewer make no slope. Flags are JWST bits
given by the caller; those that are set stay. No input is written to.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.saturation import fill_first_above

__all__ = ["FEWEST", "drop_groups", "first_above", "flag_above"]

FEWEST = 2
"""Groups that make a slope."""


@kernel()
def drop_groups(dq, ends, unusable, flag):  # noqa: ANN001, ANN201 -- numba
    """Return the flags with the first and last groups of each ramp taken out of use.

    Parameters
    ----------
    dq : (time, group, y, x) uint8
        Flags so far.
    ends : (time, 2) int
        Number of groups to drop at the beginning and at the end.
    unusable : uint8
        Bits of which any takes a group out of use.
    flag : uint8
        Bit to set.

    Returns
    -------
    (time, group, y, x) uint8
        Where fewer than two usable groups would remain, the latest of the first groups are
        kept, and then the earliest of the last ones, until there are two.
    """
    n_time, n_group, n_y, n_x = dq.shape
    out = dq.copy()
    for t in range(n_time):
        for y in range(n_y):
            for x in range(n_x):
                low, n_usable = ends[t, 0], 0
                high = max(n_group - ends[t, 1], low)
                for g in range(low, high):
                    n_usable += (dq[t, g, y, x] & unusable) == 0
                while n_usable < FEWEST and low > 0:
                    low -= 1
                    n_usable += (dq[t, low, y, x] & unusable) == 0
                while n_usable < FEWEST and high < n_group:
                    n_usable += (dq[t, high, y, x] & unusable) == 0
                    high += 1
                for g in range(low):
                    out[t, g, y, x] |= flag
                for g in range(high, n_group):
                    out[t, g, y, x] |= flag
    return out


@kernel()
def first_above(ramp, limit):  # noqa: ANN001, ANN201 -- numba
    """Return the first group of each ramp at or above a limit.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        Counts; NaN is below.
    limit : (y, x) float32
        Limit of each pixel.

    Returns
    -------
    (time, y, x) int16
        The number of groups where there is none.
    """
    n_time, _, n_y, n_x = ramp.shape
    first = np.empty((n_time, n_y, n_x), np.int16)
    for t in range(n_time):
        fill_first_above(ramp[t], limit, first[t])
    return first


@part()
def _box_minimum(values, grow, scratch, out):  # noqa: ANN001, ANN202 -- numba
    """Write the minimum over a box of (2 grow + 1)^2, cut at the edges.

    Parameters
    ----------
    values : (y, x) number
        What to look at.
    grow : int
        Half-width of the box, pixels.
    scratch, out : (y, x) number
        Overwritten; ``out`` receives the minimum.
    """
    n_y, n_x = values.shape
    for y in range(n_y):
        for x in range(n_x):
            lowest = values[y, x]
            for k in range(max(x - grow, 0), min(x + grow + 1, n_x)):
                lowest = min(lowest, values[y, k])
            scratch[y, x] = lowest
    for y in range(n_y):
        for x in range(n_x):
            lowest = scratch[y, x]
            for k in range(max(y - grow, 0), min(y + grow + 1, n_y)):
                lowest = min(lowest, scratch[k, x])
            out[y, x] = lowest


@kernel()
def flag_above(dq, first, grow, unusable, flag):  # noqa: ANN001, ANN201 -- numba
    """Return the flags with the rest of each ramp taken out of use from a group on.

    Parameters
    ----------
    dq : (time, group, y, x) uint8
        Flags so far.
    first : (time or 1, y, x) int16
        Group from which to flag; a single map holds for all integrations.
    grow : int
        Neighbours within this many pixels are flagged from the same group on.
    unusable : uint8
        Bits of which any takes a group out of use.
    flag : uint8
        Bits to set.

    Returns
    -------
    (time, group, y, x) uint8
        The first two usable groups of a ramp keep their flags.
    """
    n_time, n_group, n_y, n_x = dq.shape
    out = np.empty_like(dq)
    scratch, grown = np.empty_like(first[0]), first[0].copy()
    n_usable = np.empty((n_y, n_x), np.int16)
    for t in range(n_time):
        if t == 0 or first.shape[0] > 1:
            _box_minimum(first[t], grow, scratch, grown)
        n_usable[:] = 0
        for g in range(n_group):
            for y in range(n_y):
                for x in range(n_x):
                    flags = dq[t, g, y, x]
                    if g >= grown[y, x] and n_usable[y, x] >= FEWEST:
                        flags |= flag
                    elif (flags & unusable) == 0:
                        n_usable[y, x] += 1
                    out[t, g, y, x] = flags
    return out
