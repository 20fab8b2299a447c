"""Saturation, dropped groups and cut ramps against brute force."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tsoxr.kernels import group_flags, saturation

SATURATED, SUSPECT, FLOOR = np.uint8(2), np.uint8(1), np.uint8(65)
BITS = np.array([SATURATED, SUSPECT, FLOOR])
SINGLE = np.zeros(2)
UNUSABLE, DROPPED = np.uint8(3), np.uint8(1)
CUBES = hnp.arrays("u1", (2, 5, 3, 4), elements=st.sampled_from([0, 0, 1, 2, 4]))


def flags_by_brute_force(ramp, dq, limit, start, grow):
    """Flag group by group, pixel by pixel, neighbour by neighbour."""
    out = dq.copy()
    n_time, n_group, n_y, n_x = ramp.shape
    for t, y, x in np.ndindex(n_time, n_y, n_x):
        for g in range(n_group):
            box = ramp[t, : g + 1, max(y - grow, 0) : y + grow + 1, max(x - grow, 0) : x + grow + 1]
            around = limit[max(y - grow, 0) : y + grow + 1, max(x - grow, 0) : x + grow + 1]
            if (box >= around).any() or g >= start[y, x]:
                out[t, g, y, x] |= SATURATED
            if ramp[t, g, y, x] == 0:
                out[t, g, y, x] |= FLOOR
    return out


@given(
    hnp.arrays("u2", (2, 3, 5, 6), elements=st.sampled_from([0, 10, 100, 200])),
    hnp.arrays("u1", (2, 3, 5, 6), elements=st.sampled_from([0, 1, 4])),
    hnp.arrays("i2", (5, 6), elements=st.integers(0, 3)),
    st.integers(0, 2),
)
@settings(max_examples=40, deadline=None)
def test_saturation_by_brute_force(ramp, dq, start, grow):
    limit, zero = np.full((5, 6), 150.0, "f4"), np.full((5, 6), np.nan, "f4")
    before = ramp.copy(), dq.copy()
    both = np.stack([start, start])
    out = saturation.flag_saturated(ramp, dq, limit, zero, both, SINGLE, False, grow, BITS)
    np.testing.assert_array_equal(out, flags_by_brute_force(ramp, dq, limit, start, grow))
    np.testing.assert_array_equal(out & dq, dq)  # nothing is cleared
    np.testing.assert_array_equal(ramp, before[0])
    np.testing.assert_array_equal(dq, before[1])


def test_flags_that_are_one_value_and_counts_in_another_order():
    rng = np.random.default_rng(4)
    ramp = rng.integers(0, 200, (2, 3, 6, 5)).astype("u2").swapaxes(2, 3)
    dq, start = np.broadcast_to(np.uint8(4), ramp.shape), np.full((2, 5, 6), 3, "i2")
    limit, zero = np.full((5, 6), 190.0, "f4"), np.full((5, 6), np.nan, "f4")
    out = saturation.flag_saturated(ramp, dq, limit, zero, start, SINGLE, False, 1, BITS)
    np.testing.assert_array_equal(out, flags_by_brute_force(ramp, dq, limit, start[0], 1))


def test_saturation_start():
    ramp = np.array([[10.0, 20.0, 30.0], [np.nan, 50.0, 5.0], [1.0, 2.0, 3.0]], "f4")[
        :, :, None, None
    ]
    zero = np.full((1, 1), np.nan, "f4")
    start = saturation.saturation_start(ramp, np.array([[20.0]], "f4"), zero, SINGLE, False)
    np.testing.assert_array_equal(start[:, 0, 0, 0], [1, 1, 3])
    np.testing.assert_array_equal(start[:, 1], start[:, 0])


def test_frames_hidden_in_a_mean_are_found_from_their_reads():
    """Ramps read frame by frame and clipped at the limit; the truth is whether a frame was.

    For straight ramps without noise no hidden group may be missed, whatever the slope; a
    group whose frames all stay 10 % of a step below the limit may not be flagged.
    """
    n, gap, limit = 4, 1, 1000.0
    slopes = np.linspace(3.0, 240.0, 1500)
    reads = slopes * np.arange(1, 6 * (n + gap) + 1)[:, None]
    hidden = (reads >= limit).reshape(6, n + gap, -1)[:, :n].any(axis=1)
    ramp = np.minimum(reads, limit).reshape(6, n + gap, -1)[:, :n].mean(axis=1)
    ahead = np.array([(n - 1) / (n + 1), 0.5 * (n - 1) / (n + gap)])
    grid = np.ones((1, slopes.size), "f4")
    start = saturation.saturation_start(
        ramp[None, :, None].astype("f4"), limit * grid, 0.0 * grid, ahead, False
    )[0, 1, 0]
    first = np.where(hidden.any(axis=0), hidden.argmax(axis=0), 6)
    assert (start <= first).all()
    clear = np.append(reads.reshape(6, n + gap, -1)[:, n - 1], np.zeros((1, slopes.size)), axis=0)
    early = start < first
    highest = clear[start[early], np.flatnonzero(early)]
    assert (highest >= limit - 0.1 * slopes[early]).all()


@given(CUBES, st.integers(0, 5), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_drop_groups_leaves_two(dq, first, last):
    ends = np.array([[first, last], [0, 0]], "i2")
    out = group_flags.drop_groups(dq, ends, UNUSABLE, DROPPED)
    np.testing.assert_array_equal(out[1], dq[1])
    np.testing.assert_array_equal(out | dq, out)
    had, has = (np.count_nonzero((d[0] & UNUSABLE) == 0, axis=0) for d in (dq, out))
    assert (has >= np.minimum(had, 2)).all()
    asked = np.ones(5, bool)
    asked[first : max(5 - last, first)] = False
    enough = np.count_nonzero((dq[0] & UNUSABLE)[~asked] == 0, axis=0) >= 2
    expected = dq[0] | np.where(asked, DROPPED, np.uint8(0))[:, None, None]
    np.testing.assert_array_equal(out[0][:, enough], expected[:, enough])


@given(CUBES, hnp.arrays("i2", (1, 3, 4), elements=st.integers(0, 5)), st.integers(0, 1))
@settings(max_examples=60, deadline=None)
def test_flag_above_by_brute_force(dq, first, grow):
    out = group_flags.flag_above(dq, first, grow, UNUSABLE, np.uint8(129))
    for t, y, x in np.ndindex(2, 3, 4):
        box = first[0, max(y - grow, 0) : y + grow + 1, max(x - grow, 0) : x + grow + 1]
        expected, kept = dq[t, :, y, x].copy(), 0
        for g in range(5):
            if g >= box.min() and kept >= 2:
                expected[g] |= 129
            elif not expected[g] & UNUSABLE:
                kept += 1
        np.testing.assert_array_equal(out[t, :, y, x], expected)


def test_first_above():
    ramp = np.array([[1.0, 5.0, 3.0], [np.nan, 2.0, 9.0], [0.0, 1.0, 2.0]], "f4")
    found = group_flags.first_above(ramp[:, :, None, None], np.array([[4.0]], "f4"))
    np.testing.assert_array_equal(found[:, 0, 0], [1, 2, 3])
