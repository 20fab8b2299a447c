"""The search for hits against a plain transcription of its rule, and on simulated noise."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsoxr.kernels import jumps, ramps

JUMP = 4
PLAIN = {"grow_sigma": 3.0, "grow": 0, "after": 0}


def search(ramp, flags, sigma, *, noise=(0.0, 0.5), window=5, rows=None, n_frames=1, **rule):
    """Run the kernel on ramps (time, group, y, x) with one noise for all pixels."""
    readout = ramps.readout(np.arange(float(ramp.shape[1])), n_frames, 0.1)
    static = np.empty((2, *ramp.shape[2:]))
    static[0], static[1] = noise
    rule = jumps.Rule(window=window, sigma=sigma, **{**PLAIN, **rule})
    return jumps.find(ramp, flags, static, readout=readout, rule=rule, rows=rows)


def differences(ramp, flags):
    good = ((flags[:, 1:] | flags[:, :-1]) & 3 == 0) & (flags[:, 1:] & JUMP == 0)
    return np.where(good, np.diff(ramp.astype(float), axis=1), np.nan)


def significance(ramp, flags, window, sigma_of_difference=1.0):
    """Transcribe the rule: how many sigma each difference sticks out, 0 where untested."""
    d = differences(ramp, flags)
    out = np.zeros(d.shape)
    n_times = d.shape[0]
    for t, j, y, x in np.ndindex(*d.shape):
        size = min(window, n_times)
        start = min(max(t - window // 2, 0), n_times - size) if n_times >= window else 0
        others = np.sort([d[k, j, y, x] for k in range(start, start + size) if k != t])
        others = others[np.isfinite(others)]
        value, m = d[t, j, y, x], others.size
        if m < 2 or not np.isfinite(value):
            continue
        expected = (
            np.median(others) if m % 2 else np.median([value, others[m // 2 - 1], others[m // 2]])
        )
        spread = np.sqrt(1 + np.pi / (2 * m + np.pi - 2))
        out[t, j, y, x] = (value - expected) / (spread * sigma_of_difference)
    return out


@given(
    n_times=st.integers(3, 9),
    n_groups=st.integers(2, 4),
    window=st.sampled_from([3, 5, 7]),
    data=st.data(),
)
def test_equals_a_plain_transcription_of_the_rule(n_times, n_groups, window, data):
    shape = (n_times, n_groups, 2, 3)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    ramp = rng.standard_normal(shape).astype("f4").cumsum(axis=1)
    flags = data.draw(hnp.arrays("u1", shape, elements=st.sampled_from([0, 0, 0, 0, 1, 2, 4, 64])))
    found = search(ramp, flags, 1.2, window=window)
    expected = flags.copy()
    # threshold 1.2 flags a quarter of this noise, so that hits lie among neighbours too;
    # noise (0, 0.5) is a variance of 1 for each difference
    expected[:, 1:] |= np.where(np.abs(significance(ramp, flags, window)) > 1.2, JUMP, 0).astype(
        "u1"
    )
    np.testing.assert_array_equal(found, expected)


@given(first=st.integers(0, 10), length=st.integers(1, 12), window=st.sampled_from([3, 5, 7]))
def test_part_of_an_exposure_needs_only_its_neighbours(first, length, window):
    n_times = 12
    last = min(first + length, n_times)
    rng = np.random.default_rng(1)
    ramp = rng.standard_normal((n_times, 3, 4, 5)).cumsum(axis=1)
    flags = np.zeros(ramp.shape, "u1")
    whole = search(ramp, flags, 1.5, window=window, grow=2, after=1)
    start, stop = jumps.window_bounds(first, last, window, n_times)
    assert stop - start <= last - first + 2 * (window - 1)
    rows = (first - start, last - start)
    part = search(
        ramp[start:stop], flags[start:stop], 1.5, window=window, grow=2, after=1, rows=rows
    )
    np.testing.assert_array_equal(part, whole[first:last])


def test_many_integrations_and_pixels_cross_the_borders_of_blocks():
    rng = np.random.default_rng(2)
    ramp = rng.standard_normal((jumps.TILE * 2 + 5, 2, 5, 211)).cumsum(axis=1)
    flags = np.zeros(ramp.shape, "u1")
    assert ramp[0, 0].size > jumps.BLOCK
    found = search(ramp, flags, 2.5)
    np.testing.assert_array_equal(
        found[:, 1] != 0, np.abs(significance(ramp, flags, 5))[:, 0] > 2.5
    )


def hit(n_times=9, n_groups=4, at=(4, 2, 1, 1), height=50.0):
    """Return noise-free ramps of 10 DN per group with one hit, and no flags."""
    ramp = np.zeros((n_times, n_groups, 3, 4)) + 10.0 * np.arange(n_groups)[:, None, None]
    t, g, y, x = at
    ramp[t, g:, y, x] += height
    return ramp, np.zeros(ramp.shape, "u1")


@pytest.mark.parametrize("height", [50.0, -50.0])
@pytest.mark.parametrize("t", [0, 1, 4, 8])
def test_flag_lies_on_the_group_where_the_charge_first_appears(height, t):
    ramp, flags = hit(at=(t, 2, 1, 1), height=height)
    found = search(ramp, flags, 6.0)
    assert np.argwhere(found).tolist() == [[t, 2, 1, 1]]
    assert found[t, 2, 1, 1] == JUMP


@pytest.mark.parametrize("n_times", [3, 4, 5])
@pytest.mark.parametrize("t", [0, 1, 2])
def test_short_exposures_find_the_hit_and_spare_its_neighbours(n_times, t):
    ramp, flags = hit(n_times=n_times, n_groups=2, at=(t, 1, 0, 0))
    assert np.argwhere(search(ramp, flags, 6.0)).tolist() == [[t, 1, 0, 0]]


@pytest.mark.parametrize("n_times", [4, 5, 9])
def test_two_hits_on_the_same_difference_are_both_found(n_times):
    ramp, flags = hit(n_times=n_times, at=(1, 2, 1, 1))
    ramp[3, 2:, 1, 1] += 50.0
    found = np.argwhere(search(ramp, flags, 6.0))[:, 0].tolist()
    # two against two cannot be told apart, and all four are flagged
    assert found == ([0, 1, 2, 3] if n_times == 4 else [1, 3])


def test_unusable_groups_are_neither_tested_nor_compared_with():
    ramp, flags = hit(at=(4, 2, 1, 1))
    flags[4, 3, 1, 1] = 2  # the difference after the hit is lost anyway, the one before is not
    flags[3, :, 1, 1] = 1
    ramp[3, :, 1, 1] = np.nan
    found = search(ramp, flags, 6.0) & ~flags
    assert np.argwhere(found).tolist() == [[4, 2, 1, 1]]
    flags[4, 1, 1, 1] = 1
    assert not (search(ramp, flags, 6.0) & ~flags).any()
    assert not search(*hit(), 6.0, noise=(np.nan, np.nan)).any()


def test_after_adds_groups_and_stops_at_the_last():
    ramp, flags = hit(n_groups=5, at=(4, 2, 1, 1))
    assert np.argwhere(search(ramp, flags, 6.0, after=1))[:, 1].tolist() == [2, 3]
    assert np.argwhere(search(ramp, flags, 6.0, after=9))[:, 1].tolist() == [2, 3, 4]


def test_grow_takes_neighbours_above_the_lower_threshold_only():
    ramp, flags = hit(at=(4, 2, 1, 1))
    for y, x, height in ((0, 1, 5.0), (2, 1, 2.0), (1, 2, -5.0), (1, 3, 5.0), (0, 0, 5.0)):
        ramp[4, 2:, y, x] += height  # spread is sqrt(1.34): 5 is 4.3 sigma, 2 is 1.7 sigma
    assert [list(p[2:]) for p in np.argwhere(search(ramp, flags, 6.0))] == [[1, 1]]
    once = [list(p[2:]) for p in np.argwhere(search(ramp, flags, 6.0, grow=1))]
    assert once == [[0, 1], [1, 1], [1, 2]]
    twice = [list(p[2:]) for p in np.argwhere(search(ramp, flags, 6.0, grow=2))]
    assert twice == [[0, 0], [0, 1], [1, 1], [1, 2], [1, 3]]


def test_grow_does_not_wrap_around_the_edge_of_the_detector():
    ramp, flags = hit(at=(4, 2, 0, 3))
    ramp[4, 2:, 1, 0] += 5.0  # next in memory, far away on the detector
    assert len(np.argwhere(search(ramp, flags, 6.0, grow=3))) == 1


@pytest.mark.parametrize(("early", "flagged"), [(45.0, 2), (5.0, 3)])
def test_hit_inside_an_averaged_group_spoils_two_differences(early, flagged):
    # of 50 DN, ``early`` are in the mean of group 2 already, the rest appears in group 3
    ramp, flags = hit(at=(4, 2, 1, 1))
    ramp[4, 2, 1, 1] += early - 50.0
    assert np.argwhere(search(ramp, flags, 6.0, grow=1))[:, 1].tolist() == [flagged]
    found = search(ramp, flags, 6.0, grow=1, n_frames=4)
    assert np.argwhere(found)[:, 1].tolist() == [2, 3]


@pytest.mark.parametrize("starts_in_ingress", [False, True])
def test_transit_and_trend_leave_no_flag(starts_in_ingress):
    # Brightest useful pixel, two groups: 30 000 DN in one difference, gain 1.5, so photon
    # noise is sqrt(30000 / 1.5) = 141 DN. Ingress: 1 % in 6 integrations, 50 DN each; with
    # the window moved inward at the start, the median is 2.5 integrations away: 0.9 sigma.
    n_times = 60
    flux = np.interp(np.arange(n_times), [20, 26, 40, 46], [1, 0.99, 0.99, 1])
    flux = flux[20:] if starts_in_ingress else flux
    flux = flux * (1 + 0.002 * np.linspace(0, 1, flux.size))
    light = 30_000.0 * flux
    ramp = np.stack([np.zeros(light.size), light], axis=1)[:, :, None, None] + 8000.0
    flags = np.zeros(ramp.shape, "u1")
    assert not search(ramp, flags, 1.5, noise=(30_000 / 1.5, 36.0)).any()
    noisy = (
        ramp
        + np.random.default_rng(3).normal(0, 1, (*light.shape, 2, 1, 500))
        * np.sqrt([36.0, 20036.0])[:, None, None]
    )
    flags = np.zeros(noisy.shape, "u1")
    # 20 000 differences at 6 sigma: chance of one false flag 4e-5
    assert not search(noisy, flags, 6.0, noise=(30_000 / 1.5, 36.0)).any()


def white(rng, n_times, n_groups, n_pixels, read=1.0, photon=2.0):
    """Return white ramps whose differences have the variance photon + 2 read."""
    steps = (
        rng.normal(0, np.sqrt(photon), (n_times, n_groups, 1, n_pixels)).astype("f4").cumsum(axis=1)
    )
    return steps + rng.normal(0, np.sqrt(read), steps.shape).astype("f4")


@pytest.mark.parametrize("n_groups", [2, 3, 5, 10])
def test_false_flags_of_white_noise_are_no_more_than_nominal(n_groups):
    # 2 million differences; nominal two-sided 4 sigma is 6.3e-5. The expectation leans to
    # the value that is tested, so there must be fewer; and not none at all.
    rng = np.random.default_rng(n_groups)
    ramp = white(rng, 50, n_groups, 40_000 // (n_groups - 1))
    found = search(ramp, np.zeros(ramp.shape, "u1"), 4.0, noise=(2.0, 1.0))
    share = np.count_nonzero(found) / (ramp.size * (n_groups - 1) / n_groups)
    assert 1e-5 < share < 6.3e-5


@pytest.mark.parametrize("n_groups", [2, 3, 5, 10])
def test_completeness_is_that_of_a_comparison_with_a_median_of_four(n_groups):
    # A hit of h sigma is found if x + h - O3 > 6 sqrt(1 + pi / (8 + pi - 2)) with O3 the
    # third of four: mean 0.297, variance 0.360. h = 10: 99 %; h = 7.25: 50 %; h = 5: 3 %.
    rng = np.random.default_rng(20 + n_groups)
    n_pixels = 30_000
    for height, expected in ((5.0, 0.027), (7.25, 0.5), (10.0, 0.991)):
        ramp = white(rng, 7, n_groups, n_pixels)
        ramp[3, n_groups // 2 :, 0] += 2.0 * height
        found = search(ramp, np.zeros(ramp.shape, "u1"), 6.0, noise=(2.0, 1.0))
        share = np.count_nonzero(found[3, n_groups // 2]) / n_pixels
        # 4 sigma of the binomial (0.012 at one half), and 0.01 for the order statistic not Gaussian
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / n_pixels) + 0.01


def test_integers_and_floats_agree_and_input_stays():
    rng = np.random.default_rng(5)
    ramp = rng.integers(0, 60000, (8, 4, 6, 7)).astype("u2")
    flags = rng.choice(np.array([0, 0, 0, 1, 4], "u1"), ramp.shape)
    before = ramp.copy(), flags.copy()
    of_integers = search(ramp, flags, 3.0, noise=(1e4, 1e7), grow=1, after=1)
    np.testing.assert_array_equal(
        of_integers, search(ramp.astype("f4"), flags, 3.0, noise=(1e4, 1e7), grow=1, after=1)
    )
    np.testing.assert_array_equal(ramp, before[0])
    np.testing.assert_array_equal(flags, before[1])
    assert ((of_integers & flags) == flags).all()


def test_count_new_counts_what_was_added():
    rng = np.random.default_rng(6)
    before = rng.choice(np.array([0, 2, 4], "u1"), (3, 5, 4, 6))
    after = before | rng.choice(np.array([0, 4, 64], "u1"), before.shape)
    expected = ((after & ~before) & JUMP != 0).sum(axis=1)
    np.testing.assert_array_equal(jumps.count_new(before, after), expected)
