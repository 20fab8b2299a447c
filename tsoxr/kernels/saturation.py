"""When pixels saturate, and the flags that follow from it.

Ramps come as (time, group, y, x), static arrays as (y, x); flags are JWST bits given by the
caller. No input is written to.

A group that averages several frames hides saturation of its last frames: its mean is still
below the limit. While the ramp is straight, the last of n frames lies half the length of the
group above the mean, (n - 1) / 2 frames times the slope. The slope is taken from the
difference to the group before. Frames that have been clipped lower the mean and the slope
only so far that the prediction still reaches the limit, so no hidden group is missed.
"""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["box_minimum", "fill_first_above", "flag_saturated", "saturation_start"]


@numba.njit(cache=True, nogil=True)
def fill_first_above(ramp, limit, first):  # noqa: ANN001, ANN201 -- numba
    """Fill ``first`` (y, x) with the first group at or above the limit, n_group where none is.

    Parameters
    ----------
    ramp : (group, y, x) number
        Counts of one integration; NaN is below.
    limit : (y, x) float32
        Limit of each pixel.
    first : (y, x) int16
        Overwritten.
    """
    n_group, n_y, n_x = ramp.shape
    first[:] = n_group
    for g in range(n_group):
        for y in range(n_y):
            for x in range(n_x):
                if ramp[g, y, x] >= limit[y, x] and first[y, x] == n_group:
                    first[y, x] = g


@numba.njit(cache=True, nogil=True)
def _rise(ramp, zero, group, y, x, ahead):  # noqa: ANN001, ANN202 -- numba
    """Return by how much the last frame of a group lies above its mean."""
    here = np.float64(ramp[group, y, x])
    if group > 0:
        return ahead[1] * (here - np.float64(ramp[group - 1, y, x]))
    if np.isfinite(zero[y, x]):
        return ahead[0] * (here - zero[y, x])
    if ramp.shape[0] > 1:
        return ahead[1] * (np.float64(ramp[1, y, x]) - here)
    return 0.0


@numba.njit(cache=True, nogil=True)
def _first_suspect(ramp, limit, zero, ahead, before, first, suspect):  # noqa: ANN001, ANN202 -- numba
    """Fill ``suspect`` (y, x) with the first group that is not to be used."""
    n_group, n_y, n_x = ramp.shape
    suspect[:] = first
    if ahead[1] == 0.0 and not before:
        return
    for y in range(n_y):
        for x in range(n_x):
            last = first[y, x] - 1
            if last < 0:
                continue
            if before and 2 <= last < n_group - 1:
                suspect[y, x] = last
            if ahead[1] > 0.0 and (
                ramp[last, y, x] + _rise(ramp, zero, last, y, x, ahead) >= limit[y, x]
            ):
                suspect[y, x] = last


@numba.njit(cache=True, nogil=True)
def saturation_start(ramp, limit, zero, ahead, before):  # noqa: ANN001, ANN201 -- numba
    """Return from which group on each pixel is saturated, and from which it is suspect.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        Raw counts; NaN is not saturated.
    limit : (y, x) float32
        Saturated at or above this.
    zero : (y, x) float32
        Counts without light; NaN where unknown.
    ahead : (2,) float64
        Rise from the mean of a group to its last frame: as a fraction of the first group's
        counts above ``zero``, and of the difference of two groups. Zero for single frames.
    before : bool
        Suspect also the group before the first saturated one, where two others remain.

    Returns
    -------
    (time, 2, y, x) int16
        Index of the first saturated and of the first suspect group; the number of groups
        where there is none. The second is the first, or one less.
    """
    n_time, _, n_y, n_x = ramp.shape
    start = np.empty((n_time, 2, n_y, n_x), np.int16)
    for t in range(n_time):
        fill_first_above(ramp[t], limit, start[t, 0])
        _first_suspect(ramp[t], limit, zero, ahead, before, start[t, 0], start[t, 1])
    return start


@numba.njit(cache=True, nogil=True)
def box_minimum(values, grow, scratch, out):  # noqa: ANN001, ANN201 -- numba
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


@numba.njit(cache=True, nogil=True)
def flag_saturated(ramp, dq, limit, zero, start, ahead, before, grow, bits):  # noqa: ANN001, ANN201 -- numba
    """Return the group flags with saturation and the floor of the converter added.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        Raw counts.
    dq : (time, group, y, x) uint8
        Flags so far; all of them are kept.
    limit, zero : (y, x) float32
        Saturated at or above ``limit``, and in all later groups; counts without light.
    start : (2, y, x) int16
        Groups from which a pixel counts as saturated and as suspect in every integration.
    ahead, before
        As for `saturation_start`.
    grow : int
        Neighbours within this many pixels are flagged from the same group on.
    bits : (3,) uint8
        Bits set for saturated groups, for suspect ones, and for groups of exactly zero counts.

    Returns
    -------
    (time, group, y, x) uint8
    """
    n_time, n_group, n_y, n_x = ramp.shape
    out = np.empty_like(dq)
    first = np.empty((2, n_y, n_x), np.int16)
    grown, scratch = np.empty_like(first), np.empty_like(first[0])
    for t in range(n_time):
        fill_first_above(ramp[t], limit, first[0])
        _first_suspect(ramp[t], limit, zero, ahead, before, first[0], first[1])
        if grow > 0 and first[1].min() < n_group:
            box_minimum(first[0], grow, scratch, grown[0])
            box_minimum(first[1], grow, scratch, grown[1])
        else:
            grown[:] = first
        for g in range(n_group):
            for y in range(n_y):
                for x in range(n_x):
                    flags = dq[t, g, y, x]
                    if g >= min(grown[0, y, x], start[0, y, x]):
                        flags |= bits[0]
                    elif g >= min(grown[1, y, x], start[1, y, x]):
                        flags |= bits[1]
                    if ramp[t, g, y, x] == 0:
                        flags |= bits[2]
                    out[t, g, y, x] = flags
    return out
