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
    for y in range(ramp.shape[1]):
        _first_of_row(ramp, y, limit[y], first[y])


@numba.njit(cache=True, nogil=True)
def _first_of_row(ramp, y, limit, first):  # noqa: ANN001, ANN202 -- numba
    first[:] = ramp.shape[0]
    for g in range(ramp.shape[0] - 1, -1, -1):
        row, here = ramp[g, y], np.int16(g)
        for x in range(limit.size):
            first[x] = here if np.float32(row[x]) >= limit[x] else first[x]


@numba.njit(cache=True, nogil=True)
def _last_frame(ramp, zero, group, y, x, ahead):  # noqa: ANN001, ANN202 -- numba
    """Return the counts of the last frame of a group, as they follow from the means."""
    here = np.float64(ramp[group, y, x])
    if group > 0:
        return here + ahead[1] * (here - np.float64(ramp[group - 1, y, x]))
    if np.isfinite(zero[x]):
        return here + ahead[0] * (here - zero[x])
    if ramp.shape[0] > 1:
        return here + ahead[1] * (np.float64(ramp[1, y, x]) - here)
    return here


@numba.njit(cache=True, nogil=True)
def _suspects_of_row(ramp, y, limit, zero, ahead, before, first, suspect):  # noqa: ANN001, ANN202 -- numba
    """Fill ``suspect`` (x,) with the first group that is not to be used."""
    n_group = ramp.shape[0]
    suspect[:] = first
    if ahead[1] == 0.0 and not before:
        return
    for x in range(limit.size):
        last = first[x] - 1
        if last < 0:
            continue
        if before and 2 <= last < n_group - 1:
            suspect[x] = last
        if ahead[1] > 0.0 and _last_frame(ramp, zero, last, y, x, ahead) >= limit[x]:
            suspect[x] = last


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _touches(ramp, y, limit):  # noqa: ANN001, ANN202 -- numba
    """Return whether pixels of a row reach the limit, and whether any is exactly zero."""
    above, floor = np.float32(0.0), np.float32(0.0)
    for g in range(ramp.shape[0]):
        row = ramp[g, y]
        for x in range(limit.size):
            value = np.float32(row[x])
            above += np.float32(1.0) if value >= limit[x] else np.float32(0.0)
            floor += np.float32(1.0) if value == 0 else np.float32(0.0)
    return above > 0, floor > 0


@numba.njit(cache=True, nogil=True)
def _hides_frames(ramp, y, limit, zero, ahead):  # noqa: ANN001, ANN202 -- numba
    """Return whether the last frame of all reaches the limit in a row of which no mean does."""
    if ahead[1] == 0.0:
        return False
    for x in range(limit.size):
        if _last_frame(ramp, zero, ramp.shape[0] - 1, y, x, ahead) >= limit[x]:
            return True
    return False


@numba.njit(cache=True, nogil=True)
def _search(ramp, limit, zero, ahead, before, start, found, floor):  # noqa: ANN001, ANN202 -- numba
    """Fill ``start`` (2, y, x) of one integration in the rows where it is ``found`` (y,).

    ``floor`` (y,) tells which rows hold a zero. Most rows hold neither, which takes one pass in
    vectors to see.
    """
    for y in range(ramp.shape[1]):
        above, floor[y] = _touches(ramp, y, limit[y])
        found[y] = above or _hides_frames(ramp, y, limit[y], zero[y], ahead)
        if found[y]:
            first, suspect = start[0, y], start[1, y]
            _first_of_row(ramp, y, limit[y], first)
            _suspects_of_row(ramp, y, limit[y], zero[y], ahead, before, first, suspect)


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
    n_time, n_group, n_y, n_x = ramp.shape
    start = np.full((n_time, 2, n_y, n_x), n_group, np.int16)
    found, floor = np.empty(n_y, np.bool_), np.empty(n_y, np.bool_)
    for t in range(n_time):
        _search(ramp[t], limit, zero, ahead, before, start[t], found, floor)
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
def _lower_to(out, row):  # noqa: ANN001, ANN202 -- numba
    for x in range(out.size):
        out[x] = min(out[x], row[x])


@numba.njit(cache=True, nogil=True)
def _grown_row(start, found, y, grow, scratch, out):  # noqa: ANN001, ANN202 -- numba
    """Lower ``out`` (2, x) to the minimum of ``start`` (2, y, x) over a box about each pixel."""
    _, n_y, n_x = start.shape
    for which in range(2):
        scratch[:] = np.int16(32767)
        for k in range(max(y - grow, 0), min(y + grow + 1, n_y)):
            if found[k]:
                _lower_to(scratch, start[which, k])
        row = out[which]
        _lower_to(row, scratch)
        for shift in range(1, min(grow, n_x - 1) + 1):
            _lower_to(row[: n_x - shift], scratch[shift:])
            _lower_to(row[shift:], scratch[: n_x - shift])


@numba.njit(cache=True, nogil=True)
def _set_later(dq, y, start, bits):  # noqa: ANN001, ANN202 -- numba
    """Set the bits of saturated and of suspect groups of a row, from ``start`` (2, x) on."""
    saturated, suspect = start[0], start[1]
    for g in range(min(saturated.min(), suspect.min()), dq.shape[0]):
        row = dq[g, y]
        for x in range(row.size):
            late = bits[1] if g >= suspect[x] else np.uint8(0)
            row[x] |= bits[0] if g >= saturated[x] else late


@numba.njit(cache=True, nogil=True)
def _set_floor(dq, ramp, y, bit):  # noqa: ANN001, ANN202 -- numba
    for g in range(dq.shape[0]):
        row, counts = dq[g, y], ramp[g, y]
        for x in range(row.size):
            row[x] |= bit if counts[x] == 0 else np.uint8(0)


@numba.njit(cache=True, nogil=True)
def _flag(ramp, dq, limit, zero, start, ahead, before, grow, bits):  # noqa: ANN001, ANN202 -- numba
    """Set flags in ``dq``; see `flag_saturated`."""
    n_time, n_group, n_y, n_x = ramp.shape
    own, row = np.empty((2, n_y, n_x), np.int16), np.empty((2, n_x), np.int16)
    scratch = np.empty(n_x, np.int16)
    found, floor, fixed = np.empty((3, n_y), np.bool_)
    for y in range(n_y):
        fixed[y] = start[:, y].min() < n_group
    for t in range(n_time):
        _search(ramp[t], limit, zero, ahead, before, own, found, floor)
        for y in range(n_y):
            if fixed[y] or found[max(y - grow, 0) : y + grow + 1].any():
                row[0], row[1] = start[0, y], start[1, y]
                _grown_row(own, found, y, grow, scratch, row)
                _set_later(dq[t], y, row, bits)
            if floor[y]:
                _set_floor(dq[t], ramp[t], y, bits[2])


def flag_saturated(
    ramp: np.ndarray,
    dq: np.ndarray,
    limit: np.ndarray,
    zero: np.ndarray,
    start: np.ndarray,
    ahead: np.ndarray,
    before: bool,
    grow: int,
    bits: np.ndarray,
) -> np.ndarray:
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
    out = np.array(dq, order="C")  # flags that are all alike come as one value without strides
    ramp, limit, zero, start = (np.ascontiguousarray(a) for a in (ramp, limit, zero, start))
    _flag(ramp, out, limit, zero, start, np.asarray(ahead), before, grow, bits)
    return out
