"""When pixels saturate, and the flags that follow from it.

Ramps come as (time, group, y, x), static arrays as (y, x); flags are JWST bits given by the
caller. No input is written to.

A group that averages several frames hides saturation of its last frames: its mean is still
below the limit. While the ramp is straight, the last of n frames lies half the length of the
group above the mean, (n - 1) / 2 frames times the slope. The slope is taken from the
difference to the group before. Frames that have been clipped lower the mean and the slope
only so far that the prediction still reaches the limit, so no hidden group is missed.
"""

# ruff: noqa: FURB136 -- min() takes longer to compile

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tsoxr.kernels.compiling import kernel, part

__all__ = ["fill_first_above", "flag_saturated", "grown_start", "saturation_start"]


@part()
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
        _first_of_row(ramp, y, limit, first)


@part()
def _first_of_row(ramp, y, limit, first):  # noqa: ANN001, ANN202 -- numba
    n_group = ramp.shape[0]
    for x in range(limit.shape[1]):
        first[y, x] = n_group
    for g in range(n_group - 1, -1, -1):
        for x in range(limit.shape[1]):
            above = np.float32(ramp[g, y, x]) >= limit[y, x]
            first[y, x] = np.int16(g) if above else first[y, x]


@part()
def _last_frame(ramp, zero, group, y, x, ahead):  # noqa: ANN001, ANN202 -- numba
    """Return the counts of the last frame of a group, as they follow from the means."""
    here = np.float64(ramp[group, y, x])
    if group > 0:
        return here + ahead[1] * (here - np.float64(ramp[group - 1, y, x]))
    if np.isfinite(zero[y, x]):
        return here + ahead[0] * (here - zero[y, x])
    if ramp.shape[0] > 1:
        return here + ahead[1] * (np.float64(ramp[1, y, x]) - here)
    return here


@part()
def _suspects_of_row(ramp, y, limit, zero, ahead, before, start):  # noqa: ANN001, ANN202 -- numba
    """Fill ``start[1]`` (y, x) with the first group that is not to be used."""
    n_group = ramp.shape[0]
    for x in range(limit.shape[1]):
        start[1, y, x] = start[0, y, x]
        last = np.int64(start[0, y, x]) - 1
        if before and 2 <= last < n_group - 1:
            start[1, y, x] = last
        if ahead is not None:  # without frames to look for, the rest is not even compiled
            hides = last >= 0 and _last_frame(ramp, zero, last, y, x, ahead) >= limit[y, x]
            start[1, y, x] = last if hides else start[1, y, x]


@part()
def _touches(ramp, y, limit):  # noqa: ANN001, ANN202 -- numba
    """Return whether pixels of a row reach the limit, and whether any is exactly zero."""
    above, floor = np.int32(0), np.int32(0)
    for g in range(ramp.shape[0]):
        for x in range(limit.shape[1]):
            value = np.float32(ramp[g, y, x])
            above = np.int32(above + np.int32(value >= limit[y, x]))
            floor = np.int32(floor + np.int32(value == 0))
    return above > 0, floor > 0


@part()
def _hides_frames(ramp, y, limit, zero, ahead):  # noqa: ANN001, ANN202 -- numba
    """Return whether the last frame of all reaches the limit in a row of which no mean does."""
    for x in range(limit.shape[1]):
        if _last_frame(ramp, zero, ramp.shape[0] - 1, y, x, ahead) >= limit[y, x]:
            return True
    return False


@part()
def _search(ramp, limit, zero, ahead, before, start, rows):  # noqa: ANN001, ANN202 -- numba
    """Fill ``start`` (2, y, x) of one integration in the rows where it is found.

    ``rows`` (3, y) receives where it is, and which rows hold a zero. Most rows hold neither,
    which takes one pass in vectors to see.
    """
    for y in range(ramp.shape[1]):
        above, rows[1, y] = _touches(ramp, y, limit)
        if ahead is not None:
            above = above or _hides_frames(ramp, y, limit, zero, ahead)
        rows[0, y] = above
        if above:
            _first_of_row(ramp, y, limit, start[0])
            _suspects_of_row(ramp, y, limit, zero, ahead, before, start)


@part()
def _grown_row(start, found, y, grow, scratch, row):  # noqa: ANN001, ANN202 -- numba
    """Lower ``row`` (2, x) to the minimum of ``start`` (2, y, x) over a box about each pixel."""
    n_which, n_y, n_x = start.shape
    for which in range(n_which):
        for x in range(n_x):
            scratch[x] = np.int16(32767)
        for k in range(max(y - grow, 0), min(y + grow + 1, n_y)):
            for x in range(n_x if found[k] else 0):
                lower = start[which, k, x]
                scratch[x] = lower if lower < scratch[x] else scratch[x]
        for shift in range(min(grow, n_x - 1) + 1):
            for x in range(n_x - shift):
                lower = scratch[np.uint64(x + shift)]
                row[which, x] = lower if lower < row[which, x] else row[which, x]
            for x in range(n_x - shift):
                lower, right = scratch[x], np.uint64(x + shift)
                row[which, right] = lower if lower < row[which, right] else row[which, right]


@part()
def _set_later(dq, y, start, bits):  # noqa: ANN001, ANN202 -- numba
    """Set the bits of saturated and of suspect groups of a row, from ``start`` (2, x) on."""
    begin = dq.shape[0]
    for x in range(start.shape[1]):
        first = min(np.int64(start[0, x]), np.int64(start[1, x]))
        begin = min(begin, first)
    for g in range(begin, dq.shape[0]):
        for x in range(start.shape[1]):
            late = bits[1] if g >= start[1, x] else np.uint8(0)
            dq[g, y, x] |= bits[0] if g >= start[0, x] else late


@part()
def _set_floor(dq, ramp, y, bit):  # noqa: ANN001, ANN202 -- numba
    for g in range(dq.shape[0]):
        for x in range(dq.shape[2]):
            dq[g, y, x] |= bit if ramp[g, y, x] == 0 else np.uint8(0)


@kernel()
def _go_through(ramp, dq, limit, zero, own, ahead, before, start, grow, bits, rows, room):  # noqa: ANN001, ANN202, PLR0913, PLR0917 -- numba
    """Find where each integration saturates, ``own``, and set flags in ``dq``, if there are any.

    A single ``own`` is used again for each integration.
    """
    row, scratch = room
    for t in range(ramp.shape[0]):
        here = own[min(t, own.shape[0] - 1)]
        _search(ramp[t], limit, zero, ahead, before, here, rows)
        for y in range(ramp.shape[2] if dq.shape[0] > 0 else 0):
            near = rows[2, y]
            for k in range(max(y - grow, 0), min(y + grow + 1, ramp.shape[2])):
                near = near or rows[0, k]
            if near:
                for x in range(ramp.shape[3]):
                    row[0, x], row[1, x] = start[0, y, x], start[1, y, x]
                _grown_row(here, rows[0], y, grow, scratch, row)
                _set_later(dq[t], y, row, bits)
            if rows[1, y]:
                _set_floor(dq[t], ramp[t], y, bits[2])


def _run(ramp, dq, limit, zero, own, ahead, before, start, grow, bits) -> None:  # noqa: ANN001, PLR0913, PLR0917
    """Prepare what `_go_through` takes: contiguous arrays, rows to look at, work arrays."""
    ramp, limit, zero, start = (np.ascontiguousarray(a) for a in (ramp, limit, zero, start))
    _, n_group, n_y, n_x = ramp.shape
    rows = np.zeros((3, n_y), np.bool_)
    rows[2] = (start < n_group).any(axis=(0, 2))
    room = np.empty((2, n_x), np.int16), np.empty(n_x, np.int16)
    several = np.asarray(ahead) if ahead[1] != 0 else None
    _go_through(
        ramp, dq, limit, zero, own, several, bool(before), start, int(grow), bits, rows, room
    )


def saturation_start(
    ramp: np.ndarray, limit: np.ndarray, zero: np.ndarray, ahead: np.ndarray, before: bool
) -> np.ndarray:
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
    none = (
        np.empty((0, 0, 0, 0), np.uint8),
        np.zeros((2, n_y, n_x), np.int16),
        np.zeros(3, np.uint8),
    )
    _run(ramp, none[0], limit, zero, start, ahead, before, none[1], 0, none[2])
    return start


def grown_start(start: np.ndarray, grow: int) -> np.ndarray:
    """Return the minimum of each layer (which, y, x) over a box of (2 grow + 1)^2 pixels.

    Examples
    --------
    >>> grown_start(np.array([[[5, 5, 5, 2, 5]]]), 1)
    array([[[5, 5, 2, 2, 2]]])
    """
    size = (1, 2 * grow + 1, 2 * grow + 1)
    return ndimage.minimum_filter(start, size, mode="nearest")  # what lies outside adds nothing


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
    own = np.empty((1, 2, *ramp.shape[2:]), np.int16)
    _run(ramp, out, limit, zero, own, ahead, before, start, grow, bits)
    return out
