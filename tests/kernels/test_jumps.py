"""The search for hits: its filter against dense algebra, its rule, and simulated noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from scipy.stats import norm

from tsoxr.kernels import jump_counts, jump_data, jump_scatter, jump_statistics, jumps, ramps
from tsoxr.kernels.jump_events import connected, find_in_ramps
from tsoxr.kernels.jump_expectation import residuals
from tsoxr.kernels.jump_filter import scores, usual_factors
from tsoxr.kernels.jump_look import LANES, TILE, look

JUMP, DROP, GROW = 4, 4 / 3, 2.5


def static_of(shape, *, photon=0.0, read=0.5, jitter=0.0, rate=0.0):
    """Return one noise for all pixels of ramps (time, group, y, x)."""
    static = np.zeros((6, *shape[2:]))
    static[0], static[1], static[2], static[5] = photon, read, jitter, rate
    static[4] = shape[1] - 1
    return static


def rule_of(sigma=4.4, *, window=15, grow=0, after=0, after_integrations=0, expand=0.0):
    return jumps.Rule(window, sigma, DROP * sigma, GROW, grow, after, after_integrations, expand)


def search(ramp, flags=None, sigma=4.4, *, rows=None, n_frames=1, lines=None, noise=None, **rule):
    """Run the search; ``noise`` are the arguments of `static_of`, or an array."""
    flags = np.zeros(ramp.shape, "u1") if flags is None else flags
    static = noise if isinstance(noise, np.ndarray) else static_of(ramp.shape, **(noise or {}))
    lines = np.zeros(ramp.shape[2:], int) if lines is None else lines
    readout = ramps.readout(np.arange(float(ramp.shape[1])), n_frames, 0.1)
    return jumps.find(
        ramp, flags, static, lines, readout=readout, rule=rule_of(sigma, **rule), rows=rows
    )


def white(rng, shape, *, photon=2.0, read=1.0):
    """Return white ramps (time, group, y, x) of no mean rate."""
    steps = rng.normal(0, np.sqrt(photon), shape).astype("f4").cumsum(axis=1)
    return steps + rng.normal(0, np.sqrt(read), shape).astype("f4")


def covariance(n, p, r, v, readout):
    """Return the dense covariance of the differences of one ramp."""
    lag = readout.lag
    c = np.diag(p * (readout.interval - 2 * lag) + 2 * r)
    c += (p * lag - r) * (np.eye(n, k=1) + np.eye(n, k=-1))
    return c, v * np.outer(readout.interval, readout.interval)


@settings(max_examples=100)
@given(
    n=st.integers(1, 12),
    p=st.floats(0.0, 1e4),
    r=st.floats(0.1, 1e3),
    v=st.sampled_from([0.0, 1.0, 1e6]),
    n_frames=st.sampled_from([1, 4]),
    seed=st.integers(0, 2**32),
)
def test_scores_are_those_of_dense_algebra(n, p, r, v, n_frames, seed):
    # z_j = (C^-1 r)_j / sqrt((C^-1)_jj), C of the usable differences, rows of a gap uncorrelated
    # but for jitter; rounding of 12 elements of condition up to 1e10 in the jitter term
    rng = np.random.default_rng(seed)
    readout = ramps.readout(np.cumsum(rng.uniform(0.5, 3.0, n + 1)), n_frames, 0.1)
    usable = rng.random(n) < 0.8
    residual = rng.normal(0, 10, n)
    noise = np.array([[p], [r], [v]])
    z = scores(residual[:, None], usable[:, None], noise, readout)[:, 0]
    chain, jitter = covariance(n, p, r, v, readout)
    expected = np.zeros(n)
    if usable.any():
        inverse = np.linalg.inv((chain + jitter)[np.ix_(usable, usable)])
        expected[usable] = inverse @ residual[usable] / np.sqrt(np.diag(inverse))
    np.testing.assert_allclose(z, expected, rtol=1e-5, atol=1e-5)


def test_factors_are_those_of_dense_algebra():
    rng = np.random.default_rng(1)
    n, m = 9, 33
    readout = ramps.readout(np.cumsum(rng.uniform(0.5, 3.0, n + 1)), 4, 0.1)
    static = np.zeros((6, m))
    static[0], static[1], static[2] = rng.uniform(0, 100, m), rng.uniform(1, 50, m), 5.0
    static[3], static[4] = rng.integers(0, 3, m), rng.integers(5, n + 1, m)
    static[0, 0], static[2, 1], static[0, 2] = np.nan, 0.0, 0.0
    by = usual_factors(static, readout)
    for i in range(m):
        usable = (np.arange(n) >= static[3, i]) & (np.arange(n) < static[4, i]) & (i > 0)
        expected = np.zeros(n)
        if usable.any():
            chain, jitter = covariance(n, *static[:3, i], readout)
            inverse = np.linalg.inv((chain + jitter)[np.ix_(usable, usable)])
            expected[usable] = 1.0 / np.sqrt(np.diag(inverse))
        np.testing.assert_allclose(by.scale[:, i], expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("n_times", "n_pixels", "window"), [(3, 5, 15), (40, 300, 15), (200, 7, 31)]
)
def test_first_look_leaves_out_no_ramp_that_would_be_flagged(n_times, n_pixels, window):
    # where hits are single, its expectation differs from the exact one by less than its margin
    # in score: the exact test of all ramps finds nothing that it does not find in those left
    rng = np.random.default_rng(n_times)
    shape = (n_times, 6, 1, n_pixels)
    ramp = white(rng, shape).reshape(n_times, 6, n_pixels)
    ramp[:, 3:] += 12 * (rng.random((n_times, 1, n_pixels)) < 0.02).astype("f4")
    flags = np.zeros(ramp.shape, "u1")
    flags[:, 5:, ::3] = 2
    static = static_of(shape, photon=2.0, read=1.0, jitter=0.1).reshape(6, -1)
    static[4, ::3] = 4
    light = rng.uniform(0.9, 1.1, (n_times, 2)).astype("f4")
    bins = rng.integers(0, 2, n_pixels).astype("u1")
    data = jump_data.Data(
        ramp, flags, static, light, bins, ramps.readout(np.arange(6.0)), rule_of(4.0, window=window)
    )
    everywhere = np.argwhere(np.ones((n_times, n_pixels), bool))
    marked, of_few = flags.copy(), flags.copy()
    hits, _ = find_in_ramps(data, marked, everywhere)
    few = look(data, 0, n_times)
    find_in_ramps(data, of_few, few)
    assert len(hits) > 0
    assert len(few) < 0.1 * len(everywhere) + 10
    np.testing.assert_array_equal(of_few, marked)


def test_connected_events_keep_to_their_frame_and_do_not_wrap():
    rng = np.random.default_rng(2)
    frames = rng.random((4, 9, 7)) < 0.25
    frame, pixel = np.nonzero(frames.reshape(4, -1))
    found, number = connected(frame, pixel, 7), 0
    for f in range(4):
        expected, n = label(frames[f], np.ones((3, 3)))
        mine = found[frame == f]
        np.testing.assert_array_equal(mine - number, expected[frames[f]] - 1)
        number += n


def plain_residual(d, t, window, sigma):
    """Transcribe the expectation: one ramp (difference,) less its neighbours in time."""
    n_times, n = d.shape
    size = min(window, n_times)
    start = min(max(t - size // 2, 0), n_times - size)
    out, usable = np.zeros(n), np.zeros(n, bool)
    for j in range(n):
        others = np.sort([d[k, j] for k in range(start, start + size) if k != t])
        others = others[np.isfinite(others)]
        m, x = others.size, d[t, j]
        if m < 2 or not np.isfinite(x):
            continue
        middle = np.clip(x, others[(m - 1) // 2], others[m // 2])
        near = others[abs(others - middle) <= 3 * sigma]
        mean = near.mean() if near.size else middle
        expected = np.clip(mean, middle - 0.6 * sigma, middle + 0.6 * sigma)
        out[j] = (x - expected) / np.sqrt(1 + 1 / (near.size or m))
        usable[j] = True
    return out, usable


def plain_search(ramp, flags, sigma, window, p, r):
    """Transcribe the rule without the first look: all ramps, dense algebra."""
    good = ((flags[:, 1:] | flags[:, :-1]) & 3 == 0) & (flags[:, 1:] & JUMP == 0)
    d = np.where(good, np.diff(ramp.astype(float), axis=1), np.nan)
    found = np.zeros(d.shape, bool)
    n = d.shape[1]
    chain, _ = covariance(n, p, r, 0.0, ramps.readout(np.arange(n + 1.0)))
    for t, y, x in np.ndindex(d.shape[0], *d.shape[2:]):
        residual, usable = plain_residual(d[:, :, y, x], t, window, np.sqrt(p + 2 * r))
        while usable.any():
            inverse = np.linalg.inv(chain[np.ix_(usable, usable)])
            z = inverse @ residual[usable] / np.sqrt(np.diag(inverse))
            over = np.where(z > 0, z / sigma, -z / (DROP * sigma))
            if over.max() <= 1.0:
                break
            j = np.flatnonzero(usable)[over.argmax()]
            found[t, j, y, x], usable[j] = True, False
    return found


@pytest.mark.parametrize(("n_times", "n_groups", "window"), [(9, 2, 5), (7, 4, 15), (24, 6, 15)])
def test_search_is_a_plain_transcription_of_its_rule(n_times, n_groups, window):
    # The first look may lose a hit whose score rests on a few neighbours beyond the limits;
    # with every twentieth difference hit and a threshold of 2 that is rare, false finds never.
    rng = np.random.default_rng(n_groups)
    ramp = white(rng, (n_times, n_groups, 4, 16))
    ramp += (60.0 * (rng.random(ramp.shape) < 0.05)).cumsum(axis=1)
    flags = rng.choice(np.array([0] * 12 + [1, 2, 4, 64], "u1"), ramp.shape)
    found = search(ramp, flags, 2.0, window=window, noise={"photon": 2.0, "read": 1.0})
    expected = plain_search(ramp, flags, 2.0, window, 2.0, 1.0)
    new = ((found & ~flags) & JUMP)[:, 1:] > 0
    assert expected.sum() > 20
    assert not (new & ~expected).any()
    assert np.count_nonzero(expected & ~new) <= 0.03 * expected.sum() + 1


@settings(max_examples=60, deadline=None)
@given(
    first=st.integers(0, 39),
    length=st.integers(1, 40),
    window=st.sampled_from([3, 5, 15]),
    memory=st.sampled_from([0, 2]),
)
def test_part_of_an_exposure_needs_only_its_neighbours(first, length, window, memory):
    n_times = 40
    last = min(first + length, n_times)
    rng = np.random.default_rng(1)
    ramp = white(rng, (n_times, 3, 4, 5), photon=1.0, read=0.5)
    ramp += (300.0 * (rng.random(ramp.shape) < 0.01)).cumsum(axis=1)
    flags = rng.choice(np.array([0] * 20 + [1, 2, 4], "u1"), ramp.shape)
    given = {"window": window, "grow": 2, "after": 1, "after_integrations": memory}
    given["noise"] = {"photon": 1.0}
    whole = search(ramp, flags, 2.0, **given)
    lead = max(first - memory, 0)
    start, stop = jump_data.window_bounds(lead, last, window, n_times)
    assert stop - start <= last - lead + 2 * window
    rows = (first - start, last - start)
    part = search(ramp[start:stop], flags[start:stop], 2.0, rows=rows, **given)
    np.testing.assert_array_equal(part, whole[first:last])


def test_blocks_and_tiles_have_no_borders():
    # more pixels than a block and more integrations than a tile, against the same in pieces
    rng = np.random.default_rng(2)
    ramp = white(rng, (70, 3, 5, 230))
    found = search(ramp, sigma=2.5, noise={"photon": 2.0, "read": 1.0})
    assert ramp[0, 0].size > LANES
    assert ramp.shape[0] > TILE
    for x in (0, 100, 229):
        alone = search(ramp[..., x : x + 1], sigma=2.5, noise={"photon": 2.0, "read": 1.0})
        np.testing.assert_array_equal(alone, found[..., x : x + 1])


def hit(n_times=9, n_groups=4, at=(4, 2, 1, 1), height=50.0):
    """Return noise-free ramps of 10 DN per group with one hit."""
    ramp = np.zeros((n_times, n_groups, 3, 4)) + 10.0 * np.arange(n_groups)[:, None, None]
    t, g, y, x = at
    ramp[t, g:, y, x] += height
    return ramp


def places(flags):
    return [[int(i) for i in p] for p in np.argwhere(flags)]


@pytest.mark.parametrize("height", [50.0, -50.0])
@pytest.mark.parametrize("t", [0, 1, 4, 8])
def test_flag_lies_on_the_group_where_the_charge_first_appears(height, t):
    found = search(hit(at=(t, 2, 1, 1), height=height))
    assert places(found) == [[t, 2, 1, 1]]
    assert found[t, 2, 1, 1] == JUMP


@pytest.mark.parametrize("n_times", [3, 4, 5])
@pytest.mark.parametrize("t", [0, 1, 2])
def test_short_exposures_find_the_hit_and_spare_its_neighbours(n_times, t):
    assert places(search(hit(n_times=n_times, n_groups=2, at=(t, 1, 0, 0)))) == [[t, 1, 0, 0]]


@pytest.mark.parametrize("n_times", [4, 5, 9])
def test_two_hits_on_the_same_difference_are_both_found(n_times):
    ramp = hit(n_times=n_times, at=(1, 2, 1, 1))
    ramp[3, 2:, 1, 1] += 50.0
    found = np.argwhere(search(ramp))[:, 0].tolist()
    assert {1, 3} <= set(found)
    # two against two cannot be told apart; otherwise nothing else is flagged
    assert n_times == 4 or found == [1, 3]


def test_several_hits_in_one_ramp_are_told_apart():
    ramp = hit(n_groups=8, at=(4, 2, 1, 1), height=500.0)
    ramp[4, 3:, 1, 1] += 30.0
    ramp[4, 6:, 1, 1] += 12.0
    assert places(search(ramp)) == [[4, 2, 1, 1], [4, 3, 1, 1], [4, 6, 1, 1]]


def test_unusable_groups_are_neither_tested_nor_compared_with():
    ramp = hit(at=(4, 2, 1, 1))
    flags = np.zeros(ramp.shape, "u1")
    flags[4, 3, 1, 1] = 2  # the difference after the hit is lost anyway, the one before is not
    flags[3, :, 1, 1] = 1
    ramp[3, :, 1, 1] = np.nan
    assert places(search(ramp, flags) & ~flags) == [[4, 2, 1, 1]]
    flags[4, 1, 1, 1] = 1
    assert not (search(ramp, flags) & ~flags).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_hide_nothing_else(bad):
    ramp = hit(at=(4, 2, 1, 1))
    ramp[2, 2, 1, 1] = bad
    ramp[5, :, 1, 1] = bad
    ramp[:, :, 0, 0] = bad
    assert places(search(ramp)) == [[4, 2, 1, 1]]


@pytest.mark.parametrize("noise", [np.nan, 0.0])
def test_pixels_of_unknown_noise_are_not_tested(noise):
    assert not search(hit(), noise={"photon": noise, "read": noise}).any()


def test_one_usable_difference_is_tested_in_time():
    ramp = hit(at=(4, 2, 1, 1))
    flags = np.zeros(ramp.shape, "u1")
    flags[:, [0, 3]] = 2
    noise = static_of(ramp.shape)
    noise[3], noise[4] = 1, 2
    assert places(search(ramp, flags, noise=noise) & ~flags) == [[4, 2, 1, 1]]


def test_after_adds_groups_and_stops_at_the_last():
    ramp = hit(n_groups=5, at=(4, 2, 1, 1))
    assert np.argwhere(search(ramp, after=1))[:, 1].tolist() == [2, 3]
    assert np.argwhere(search(ramp, after=9))[:, 1].tolist() == [2, 3, 4]


def test_after_integrations_follow_strong_hits_only():
    # sigma is 1: 2 half-variances; in the middle of four groups a hit has 1.4 times its size
    ramp = hit(at=(4, 2, 1, 1), height=100.0)
    ramp[2, 2:, 0, 0] += 20.0
    found = search(ramp, after_integrations=2)
    assert found[4, 2, 1, 1] == JUMP
    assert found[2, 2, 0, 0] == JUMP
    assert (found[5:7, :, 1, 1] == 33).all(), "PERSISTENCE and DO_NOT_USE"
    assert np.count_nonzero(found) == 2 + 2 * 4
    late = search(hit(at=(8, 2, 1, 1), height=100.0), after_integrations=2)
    assert np.count_nonzero(late) == 1


def test_grow_takes_neighbours_that_gained_above_the_lower_threshold():
    ramp = hit(n_groups=2, at=(4, 1, 1, 1))
    for y, x, height in ((0, 1, 4.0), (2, 1, 1.5), (1, 2, -5.0), (1, 0, 3.5), (0, 0, 3.5)):
        ramp[4, 1:, y, x] += height  # noise sqrt(1 + 1/8): thresholds 2.65 and, alone, 4.67
    assert [p[2:] for p in places(search(ramp))] == [[1, 1]]
    once = [p[2:] for p in places(search(ramp, grow=1))]
    assert once == [[0, 1], [1, 0], [1, 1]]
    twice = [p[2:] for p in places(search(ramp, grow=2))]
    assert twice == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_grow_does_not_wrap_around_the_edge_of_the_detector():
    ramp = hit(at=(4, 2, 0, 3))
    ramp[4, 2:, 1, 0] += 3.0  # next in memory, far away on the detector
    assert len(places(search(ramp, grow=3))) == 1


@pytest.mark.parametrize(("early", "flagged"), [(45.0, 2), (5.0, 3)])
def test_hit_inside_an_averaged_group_spoils_two_differences(early, flagged):
    # of 50 DN, ``early`` are in the mean of group 2 already, the rest appears in group 3
    ramp = hit(n_groups=6, at=(4, 2, 1, 1))
    ramp[4, 2, 1, 1] += early - 50.0
    assert flagged in np.argwhere(search(ramp, sigma=8.0))[:, 1]
    found = search(ramp, sigma=8.0, grow=1, n_frames=4)
    assert np.argwhere(found)[:, 1].tolist() == [2, 3]


def disc(radius, shape=(40, 40), at=(20, 20)):
    y, x = np.indices(shape)
    return (y - at[0]) ** 2 + (x - at[1]) ** 2 <= radius**2


def test_large_round_events_are_widened_and_tracks_are_not():
    ramp = np.zeros((9, 3, 40, 40), "f4")
    core = disc(4)
    ramp[4, 1:, core] += 500.0
    found = search(ramp, expand=2.0)
    assert (found[4, 1][core] == JUMP).all()
    # 49 pixels: a disc of equivalent radius 3.95, widened to 7.9
    assert abs(np.count_nonzero(found) / (np.pi * 7.9**2) - 1) < 0.05
    assert not found[4, 1][~disc(8.5)].any()
    track = np.zeros((9, 3, 40, 40), "f4")
    track[4, 1:, 20:22, 5:35] += 500.0
    assert np.count_nonzero(search(track, expand=2.0)) == 60


def test_core_that_saturates_counts_as_part_of_the_event():
    # only a ring of 36 pixels can be tested, too hollow for a disc of its own
    ramp = np.zeros((9, 4, 40, 40), "f4")
    flags = np.zeros(ramp.shape, "u1")
    ramp[4, 2:, disc(5)] += 500.0
    flags[4, 2:, disc(4)] = 2
    found = search(ramp, flags, expand=2.0)
    assert (found[4, 2][disc(9.5)] & JUMP).all()
    always = flags.copy()
    always[:, 2:, disc(4)] = 2
    noise = static_of(ramp.shape)
    noise[4][disc(4)] = 1
    found = search(ramp, always, expand=2.0, noise=noise)
    assert not (found[4, 2][disc(9.5) & ~disc(5.5)] & JUMP).any(), "saturated without the hit"


@pytest.mark.parametrize(
    ("n_groups", "photon", "read"), [(2, 2.0, 1.0), (5, 9.0, 1.0), (10, 0.2, 4.0)]
)
def test_false_flags_of_white_noise_are_nominal(n_groups, photon, read):
    # 600 000 differences at 3.5 sigma, one-sided: 140 of 2.3e-4 expected. Gaussian noise, but
    # the expectation leans to the value tested (0 to 25 % fewer), and the noise of 14
    # neighbours has its own scatter; 4 standard deviations of 140 are 0.34.
    rng = np.random.default_rng(n_groups)
    ramp = white(rng, (60, n_groups, 4, 2500 // (n_groups - 1)), photon=photon, read=read)
    found = search(ramp, sigma=3.5, noise={"photon": photon, "read": read})
    share = np.count_nonzero(found) / ramp[:, 1:].size
    assert 0.5 < share / norm.sf(3.5) < 1.4


@pytest.mark.parametrize(("photon", "read"), [(9.0, 0.5), (0.05, 4.0)])
@pytest.mark.parametrize("n_groups", [2, 6, 16])
def test_completeness_is_that_of_the_matched_filter(n_groups, photon, read):
    # A hit of A in difference j has the score A sqrt((C^-1)_jj / (1 + 1/14)), with noise 1: found
    # with probability Phi(score - sigma). The expectation leans to the value tested by 0.05 to
    # 0.1 sigma, which shifts a share by 0.04 at most; 4 sigma of the binomial of 3000: 0.037.
    rng = np.random.default_rng(n_groups)
    ramp = white(rng, (15, n_groups, 3, 1000), photon=photon, read=read)
    j = (n_groups - 1) // 2
    size = 5.0 * np.sqrt(photon + 2 * read)
    ramp[7, j + 1 :] += np.float32(size)
    readout = ramps.readout(np.arange(float(n_groups)))
    inverse = np.linalg.inv(covariance(n_groups - 1, photon, read, 0.0, readout)[0])
    score = size * np.sqrt(inverse[j, j] / (1 + 1 / 14))
    found = search(ramp, noise={"photon": photon, "read": read})
    share = np.count_nonzero(found[7, j + 1]) / 3000
    assert share == pytest.approx(norm.cdf(score - 4.4), abs=0.08)


def star(flux, rng, n_groups=4, n_lines=64, peak=20_000.0, read=36.0, gain=1.5):
    """Return ramps of a spectrum whose light is ``flux`` (time,) or (time, line), and its noise."""
    profile = peak * np.exp(-0.5 * (np.arange(16) - 8.0) ** 2 / 2.0)
    rate = np.broadcast_to(profile[:, None], (16, n_lines)) + 5.0
    curve = np.broadcast_to(flux[:, None] if flux.ndim == 1 else flux, (flux.shape[0], n_lines))
    light = (rate - 5.0) * curve[:, None, :] + 5.0
    shape = (flux.shape[0], n_groups, 16, n_lines)
    step = light[:, None] + rng.normal(0, 1, shape) * np.sqrt(light[:, None] / gain)
    ramp = step.cumsum(axis=1) + rng.normal(0, np.sqrt(read), shape)
    static = static_of(shape, photon=rate / gain, read=read, rate=rate)
    return ramp.astype("f4"), static, np.broadcast_to(np.arange(n_lines), (16, n_lines))


T = np.arange(90.0)
CURVES = {
    "transit of 3 % within 4 integrations": np.interp(T, [30, 34, 60, 64], [1, 0.97, 0.97, 1]),
    "eclipse of 40 %": np.interp(T, [30, 33, 60, 63], [1, 0.6, 0.6, 1]),
    "flare of 40 %": 1 + 0.4 * np.exp(-np.clip(T - 40, 0, None) / 4) * (T >= 40),
    "settling by 5 %": 1 - 0.05 * np.exp(-T / 8),
    "step of 2 % (tilt)": np.where(T < 45, 1.0, 0.98),
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("n_groups", [2, 5])
def test_light_that_varies_leaves_no_more_flags_than_chance(name, n_groups):
    # 14 000 differences in the 15 integrations about each event; 92 000 (times 4) in all, of which
    # 2.3e-4 beyond 3.5 sigma: 21 to 85. Twice that would be 4 sigma or more.
    rng = np.random.default_rng(7)
    ramp, static, lines = star(CURVES[name], rng, n_groups=n_groups)
    found = search(ramp, sigma=3.5, noise=static, lines=lines)
    assert np.count_nonzero(found) < 2.0 * norm.sf(3.5) * ramp[:, 1:].size


def test_coloured_flare_is_followed_in_bins_of_wavelength():
    # 60 % in the blue, 10 % in the red: one light for all would be 25 % off, thousands of DN
    rng = np.random.default_rng(8)
    amplitude = np.linspace(0.6, 0.1, 512)
    flux = 1 + amplitude * (np.exp(-np.clip(T[:40] - 15, 0, None) / 4) * (T[:40] >= 15))[:, None]
    ramp, static, lines = star(flux, rng, n_lines=512, n_groups=3, peak=2000.0)
    share = np.count_nonzero(search(ramp, sigma=4.4, noise=static, lines=lines)) / ramp[:, 1:].size
    assert share < 3 * norm.sf(4.4)
    white = np.count_nonzero(search(ramp, sigma=4.4, noise=static)) / ramp[:, 1:].size
    assert white > 100 * norm.sf(4.4), "without wavelengths it is not"


def test_hits_are_found_during_a_deep_eclipse_and_a_flare():
    for name in ("eclipse of 40 %", "flare of 40 %"):
        rng = np.random.default_rng(9)
        ramp, static, lines = star(CURVES[name], rng)
        noise = np.sqrt(static[0, 8] + 72.0)
        ramp[42, 2:, 8] += (10 * noise).astype("f4")  # all 64 pixels of a row
        found = search(ramp, noise=static, lines=lines)
        assert (found[42, 2, 8] & JUMP).all()


def test_integers_and_floats_agree_and_input_stays():
    rng = np.random.default_rng(5)
    ramp = rng.integers(0, 60000, (8, 4, 6, 7)).astype("u2")
    flags = rng.choice(np.array([0, 0, 0, 1, 4], "u1"), ramp.shape)
    before = ramp.copy(), flags.copy()
    given = {"noise": {"photon": 1e4, "read": 1e7}, "grow": 1, "after": 1}
    of_integers = search(ramp, flags, 2.0, **given)
    np.testing.assert_array_equal(of_integers, search(ramp.astype("f4"), flags, 2.0, **given))
    np.testing.assert_array_equal(ramp, before[0])
    np.testing.assert_array_equal(flags, before[1])
    assert ((of_integers & flags) == flags).all()


def test_scatter_ratio_shows_what_exceeds_the_prediction():
    rng = np.random.default_rng(11)
    photon, read = 133.0, 36.0
    ramp = white(rng, (32, 4, 1, 600), photon=photon, read=read).reshape(32, 4, 600)
    ramp[:, :, 300:] += np.arange(4)[:, None] * rng.normal(0, 30.0, (32, 1, 300))  # jitter
    flags = np.zeros(ramp.shape, "u1")
    ramp[5, 2:, ::7] += 5000.0
    flags[5, 2, ::7] = JUMP
    readout = ramps.readout(np.arange(4.0))
    noise = np.repeat([[photon], [read]], 600, axis=1)
    ratio = jump_scatter.scatter_ratio(ramp, flags, noise, readout)
    jitter = np.sqrt(1 + 30.0**2 / (photon + 2 * read))
    # 12 % for a pixel of 93 correlated changes; the mean over 300 pixels to 1 %, 4 sigma
    assert abs(ratio[:300].mean() - 1) < 0.04
    assert abs(ratio[300:].mean() / jitter - 1) < 0.06
    # every second of 93 changes is used
    uncertainty = jump_statistics.UNCERTAINTY / np.sqrt(47)
    assert abs(ratio[:300].std() / uncertainty - 1) < 0.2
    few = jump_scatter.scatter_ratio(
        ramp[:3, :2], flags[:3, :2], noise, ramps.readout(np.arange(2.0))
    )
    assert np.isnan(few).all()


def test_hits_in_the_sample_do_not_pass_for_noise():
    # 24 integrations, a hit of 10 sigma in every second pixel. Two of 23 changes of a hit
    # difference are large then, which raises their median by 11 % and that of all changes of
    # a pixel by 5.5 %, and makes up jitter. A pixel's scatter is known to 16 %, the mean of 3000
    # to 0.3 %: four of that, of a difference, is 1.6 %.
    for seed in range(2):
        rng = np.random.default_rng(seed)
        ramp = white(rng, (24, 5, 1, 6000), photon=400.0, read=25.0).reshape(24, 5, 6000)
        ramp += 2e4 * np.arange(5, dtype="f4")[:, None]
        ramp[10, 3:, ::2] += np.float32(10 * np.sqrt(450.0))
        noise = np.repeat([[400.0], [25.0]], 6000, axis=1)
        found = jump_statistics.describe_pixels(
            ramp, np.zeros(ramp.shape, "u1"), noise, ramps.readout(np.arange(5.0))
        )
        hit, other = found[:, ::2].mean(axis=1), found[:, 1::2].mean(axis=1)
        assert hit[0] - other[0] < 0.016
        assert hit[3] < 1.3 * other[3]


def test_noise_beyond_the_prediction_is_believed_as_far_as_it_is_not_chance():
    # measured ratios scatter by their uncertainty: 0.15 by chance, 0.3 truly in the second
    # population, where the best estimate of 1.5 is 1.5^0.8; 0.02 for 20 000 pixels
    rng = np.random.default_rng(7)
    chance = np.full(20_000, 0.15)
    measured = np.exp(rng.normal(0, 0.15, chance.size))
    measured[:10] = 3.0
    alike = jump_statistics._believed(measured, chance)
    assert alike[10:].mean() < 1.01
    np.testing.assert_allclose(alike[:10], 3.0 / 1.15)
    measured = np.exp(rng.normal(0, np.hypot(0.15, 0.3), chance.size))
    measured[:3] = 1.4, np.nan, 0.5
    assert jump_statistics._believed(measured, chance)[:3] == pytest.approx(
        [1.4**0.8, 1.0, 1.0], abs=0.02
    )


def test_count_new_counts_what_was_added():
    rng = np.random.default_rng(6)
    before = rng.choice(np.array([0, 2, 4], "u1"), (3, 5, 4, 6))
    after = before | rng.choice(np.array([0, 4, 64], "u1"), before.shape)
    expected = ((after & ~before) & JUMP != 0).sum(axis=1)
    np.testing.assert_array_equal(
        jump_counts.count_new(jump_counts.new_places(before, after), after.shape), expected
    )


def test_events_are_counted_and_the_largest_is_shown():
    ramp = np.zeros((2, 3, 30, 40))
    before, after = np.zeros(ramp.shape, "u1"), np.zeros(ramp.shape, "u1")
    ramp[0, 1:, 10, 3:8] += 100.0
    after[0, 1, 10, 3:8] = JUMP
    after[0, 2, 2, 2] = after[0, 2, 3, 3] = after[0, 1, 20, 20] = JUMP
    place = jump_counts.new_places(before, after)
    flat = ramp.reshape(2, 3, -1)
    table = jump_counts.largest_events(flat, place, np.zeros(1200), np.ones(2), 40)
    assert table[:, 0].tolist() == [3, 0]
    assert table[0, 1:4].tolist() == [5, 10, 5]
    picture = table[0, jump_counts.HEAD :].reshape(15, 15)
    assert np.nansum(picture) == 500.0
    assert picture[7, 7] == 100.0
    assert np.isnan(picture[7, 0]), "off the detector"
    assert np.isnan(table[1, jump_counts.HEAD :]).all()


def test_parts_can_be_called_alone():
    # one ramp, so that kernels other than the whole search stay usable
    ramp = hit().reshape(9, 4, -1)
    data = jump_data.Data(
        ramp, np.zeros(ramp.shape, "u1"), static_of((9, 4, 12)), np.ones((9, 1), "f4"),
        np.zeros(12, "u1"), ramps.readout(np.arange(4.0)), rule_of(),
    )  # fmt: skip
    out, usable = residuals(data, np.array([4]), np.array([5]))
    np.testing.assert_allclose(out[:, 0], [0, 50 / np.sqrt(1 + 1 / 8), 0], atol=1e-12)
    assert usable.all()
    hits, sizes = find_in_ramps(data, data.flags.copy(), np.array([[4, 5]]))
    assert hits.tolist() == [[4, 1, 5]]
    assert sizes[0] > 4.4
