"""Jump search and fits with the covariance of each ramp, against dense linear algebra."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsoxr.kernels import ramp_likelihood as kernel
from tsoxr.kernels import ramps
from tsoxr.kernels.ramp_search import Thresholds, search_one, workspace

FRAME = 0.5  # s
RULE = kernel.thresholds(4.5)


def covariance(times, p, read_frame):
    """Covariance of the differences of group means, built up from that of single frames."""
    flat = times.ravel()
    of_frames = p * np.minimum.outer(flat, flat) + read_frame * np.eye(flat.size)
    n_groups, n_frames = times.shape
    average = np.kron(np.eye(n_groups), np.full((1, n_frames), 1.0 / n_frames))
    difference = np.diff(np.eye(n_groups), axis=0) @ average
    return difference @ of_frames @ difference.T


def dense(d, dt, c, good):
    """Return rate, variance and chi-squared from the differences marked in ``good``."""
    if not good.any():
        return np.nan, np.nan, np.nan
    inverse = np.linalg.inv(c[np.ix_(good, good)])
    norm = dt[good] @ inverse @ dt[good]
    rate = dt[good] @ inverse @ d[good] / norm
    rest = d[good] - rate * dt[good]
    return rate, 1.0 / norm, rest @ inverse @ rest


def frame_times(n_groups, n_frames, gap):
    starts = np.arange(n_groups) * (n_frames + gap)
    return FRAME * (starts[:, None] + np.arange(1, n_frames + 1))


def usable(flags):
    bad = (flags & 3) > 0
    return ~(bad[1:] | bad[:-1] | ((flags[1:] & 4) > 0))


def run(ramp, flags, times, p, read_frame, *, rule=kernel.NONE, per_dn=1.0, pattern=None):
    """Fit ramps (time, group, pixel) in float64."""
    n_frames, n_pixels = times.shape[1], ramp.shape[2]
    readout = ramps.readout(times.mean(axis=1), n_frames, FRAME)
    noise = np.stack([np.full(n_pixels, p), np.full(n_pixels, read_frame / n_frames)])
    detector = np.stack([np.full(n_pixels, per_dn), np.zeros(n_pixels)])
    pattern = np.zeros(ramp.shape[1:], "u1") if pattern is None else pattern
    return kernel.fit(ramp, flags, noise, detector, pattern, readout=readout, rule=rule, dtype="f8")


def test_thresholds_are_equally_improbable():
    # chi-squared of two degrees of freedom: exp(-x / 2) = 6.8e-6 at 23.8 (Brandt 2024b)
    assert RULE.single == 20.25
    assert RULE.double == pytest.approx(23.8, abs=0.01)
    assert kernel.thresholds(50.0).double == np.inf  # the tail is below the smallest number


@given(
    data=st.data(),
    n_groups=st.integers(2, 12),
    n_frames=st.sampled_from([1, 1, 2, 4]),
    gap=st.integers(0, 3),
    p=st.floats(0.0, 1e4),
    read=st.floats(0.1, 1e3),
)
def test_equals_dense_algebra_for_any_flags(data, n_groups, n_frames, gap, p, read):
    times = frame_times(n_groups, n_frames, gap)
    shape = (3, n_groups, 2)
    flags = data.draw(hnp.arrays("u1", shape, elements=st.sampled_from([0, 0, 0, 0, 1, 2, 4, 64])))
    pattern = data.draw(hnp.arrays("u1", shape[1:], elements=st.sampled_from([0, 0, 0, 2, 1])))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    ramp = 1000.0 + 100.0 * rng.standard_normal(shape).cumsum(axis=1)
    found = run(ramp, flags, times, p, read, per_dn=0.7, pattern=pattern)
    dt = np.diff(times.mean(axis=1))
    for t, i in np.ndindex(3, 2):
        good, d = usable(flags[t, :, i]), np.diff(ramp[t, :, i])
        guess, _, _ = dense(d, dt, covariance(times, p, read), good)
        own = covariance(times, 0.7 * max(np.nan_to_num(guess), 0.0), read)
        expected = dense(d, dt, own, good)
        got = found.rate[t, i], found.error[t, i] ** 2, found.chi2[t, i]
        # condition numbers up to 1e4 cost a few digits of 1e-16
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-8)
        assert found.n_used[t, i] == good.sum()
        assert found.dq[t, i] == np.bitwise_or.reduce(flags[t, :, i] & 254) | (not good.any())


@given(
    n_groups=st.integers(3, 14),
    p=st.sampled_from([0.0, 3.0, 1e4]),
    frames=st.sampled_from([1, 4]),
    seed=st.integers(0, 2**32),
)
def test_leaves_out_what_dense_algebra_says(n_groups, p, frames, seed):
    rng = np.random.default_rng(seed)
    times = frame_times(n_groups, frames, 1)
    readout = ramps.readout(times.mean(axis=1), frames, FRAME)
    dt, c = readout.interval, covariance(times, p, 36.0)
    d = dt * 20.0 + np.linalg.cholesky(c) @ rng.standard_normal(dt.size)
    d[rng.integers(dt.size)] += rng.choice([0.0, 6.0, 40.0]) * np.sqrt(c[0, 0])
    work = workspace(dt.size)
    work.difference[:] = d
    work.usable[:] = True
    search_one(work, p, 36.0 / frames, readout, Thresholds(9.0, 12.0))
    good = np.ones(dt.size, bool)
    more = 3.0 if frames > 1 else 9.0
    while good.sum() > 1:
        full = dense(d, dt, c, good)[2]
        drops = {}
        for j in np.flatnonzero(good):
            for n in (1, 2):
                out = np.zeros_like(good)
                out[j : j + n] = True
                allowed = n == 1 or (good.sum() > 3 and j + 1 < good.size and good[j + 1])
                if allowed:
                    drops[j, n] = full - dense(d, dt, c, good & ~out)[2]
        one = max((v, k) for k, v in drops.items() if k[1] == 1)
        two = max(((v, k) for k, v in drops.items() if k[1] == 2), default=(0.0, (0, 2)))
        chosen = None
        if one[0] > 9.0:
            chosen = one[1]
        if two[0] > 12.0 and (chosen is None or two[0] > one[0] + more):
            chosen = two[1]
        if good.sum() == 2 and chosen is not None:  # both fit equally: the larger is the hit
            pair = np.flatnonzero(good)
            chosen = (pair[np.argmax(d[pair] / dt[pair])], 1)
        if chosen is None:
            break
        good[chosen[0] : chosen[0] + chosen[1]] = False
    np.testing.assert_array_equal(work.usable, good)


def pure_read_noise(n_groups, n_pixels, *, seed=1, n_frames=1):
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, 6.0 / np.sqrt(n_frames), (1, n_groups, n_pixels))


@pytest.mark.parametrize("n_frames", [1, 4])
@pytest.mark.parametrize("n_groups", [*range(2, 13), 20, 31, 40])
def test_hits_are_found_for_every_number_of_groups_and_no_light(n_groups, n_frames):
    # With pure read noise the off-diagonal element of the two-difference test vanishes for 4
    # and 6 differences. A hit of 200 sigma must be found at any length; of two groups nothing
    # can be known.
    n_pixels = 200
    ramp = pure_read_noise(n_groups, n_pixels, n_frames=n_frames)
    first = 1 + np.arange(n_pixels) % (n_groups - 1)
    ramp += 1200.0 * (np.arange(n_groups)[:, None] >= first)
    flags = np.zeros(ramp.shape, "u1")
    readout = ramps.readout(np.arange(n_groups) * 6.0, n_frames, 1.0 if n_frames > 1 else 0.0)
    noise = np.stack([np.zeros(n_pixels), np.full(n_pixels, 36.0 / n_frames)])
    found = kernel.find_jumps(ramp, flags, noise, readout=readout, rule=RULE)
    hit = found[0, first, np.arange(n_pixels)] == 4
    assert hit.all() if n_groups > 2 else not found.any()
    others = np.count_nonzero(found) - hit.sum()
    # averaged frames: a hit may have come within a group, its neighbour goes more easily
    assert others <= (1 if n_frames == 1 else 0.25 * n_pixels)
    detector = np.stack([np.full(n_pixels, 1 / 1.5), np.zeros(n_pixels)])
    pattern = np.zeros(ramp.shape[1:], "u1")
    fits = kernel.fit(ramp, flags, noise, detector, pattern, readout=readout, rule=RULE)
    assert np.isfinite(fits.rate).all()
    assert (fits.n_jumps.sum() > 0) == (n_groups > 2)
    if n_groups > 3:
        pulls = (fits.rate / fits.error)[0]
        assert abs(pulls.mean()) < 5 / np.sqrt(n_pixels)


@pytest.mark.parametrize("electrons", [0.0, 2.0, 100.0, 3000.0])
def test_false_flags_are_as_rare_as_said(electrons):
    # 2 tests per difference of p = 3e-3 each at 3 sigma (rarer events would need 1e7 ramps);
    # pairs and singles overlap, so less than twice that is expected, and more than half.
    rng = np.random.default_rng(3)
    n_groups, n_pixels = 10, 20_000
    shape = (1, n_groups, n_pixels)
    ramp = rng.poisson(electrons, shape).cumsum(axis=1) + rng.normal(0, 7.0, shape)
    noise = np.stack([np.full(n_pixels, electrons), np.full(n_pixels, 49.0)])
    found = kernel.find_jumps(
        ramp, np.zeros(shape, "u1"), noise,
        readout=ramps.readout(np.arange(10.0)), rule=kernel.thresholds(3.0),
    )  # fmt: skip
    events = found.any(axis=(0, 1)).mean() / (n_groups - 1)
    assert 0.5 * 2.7e-3 < events < 2.2 * 2.7e-3


def test_a_pixel_that_is_cut_short_is_searched_side_by_side_and_singly_alike():
    rng = np.random.default_rng(4)
    shape = (20, 9, 300)
    ramp = rng.poisson(300.0, shape).cumsum(axis=1) / 1.5 + rng.normal(0, 6.0, shape)
    ramp += 3000.0 * (np.arange(9)[:, None] >= 3) * (rng.random((20, 1, 300)) < 0.1)
    pattern = np.zeros(shape[1:], "u1")
    pattern[7:, :150] = 2
    pattern[0, 250:] = 1
    flags = np.broadcast_to(pattern, shape).copy()
    times = np.arange(1.0, 10.0)[:, None] * FRAME
    arguments = ramp, flags, times, 300.0 / 1.5**2 / FRAME, 36.0
    together = run(*arguments, rule=RULE, pattern=pattern)
    singly = run(*arguments, rule=RULE, pattern=np.full_like(pattern, 4))
    for a, b in zip(together, singly, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    assert together.n_jumps.sum() > 400


def test_integers_and_floats_and_shapes_agree():
    rng = np.random.default_rng(5)
    ramp = (1000 + rng.poisson(200.0, (3, 6, 4, 5)).cumsum(axis=1)).astype("u2")
    flags = np.zeros(ramp.shape, "u1")
    noise = np.stack([np.full((4, 5), 200.0), np.full((4, 5), 36.0)])
    arguments = {"readout": ramps.readout(np.arange(6.0)), "rule": RULE}
    before = ramp.copy(), flags.copy()
    found = kernel.find_jumps(ramp, flags, noise, **arguments)
    again = kernel.find_jumps(ramp.astype("f4"), flags, noise, **arguments)
    assert found.shape == ramp.shape
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(ramp, before[0])
    np.testing.assert_array_equal(flags, before[1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_count_as_flagged(value):
    rng = np.random.default_rng(6)
    ramp = rng.normal(0, 6.0, (2, 8, 3)).cumsum(axis=1)
    times = np.arange(1.0, 9.0)[:, None]
    flags = np.zeros(ramp.shape, "u1")
    flags[0, 4, 1] = 1
    expected = run(ramp, flags, times, 5.0, 36.0, rule=RULE)
    ramp[0, 4, 1] = value
    found = run(ramp, flags * 0, times, 5.0, 36.0, rule=RULE)
    np.testing.assert_allclose(found.rate, expected.rate, rtol=1e-12)
    np.testing.assert_array_equal(found.n_used, expected.n_used)


def test_nothing_usable_and_no_noise():
    ramp = np.arange(5.0)[None, :, None] ** 2 * np.ones((1, 5, 3))
    times = np.arange(1.0, 6.0)[:, None]
    flags = np.zeros(ramp.shape, "u1")
    flags[0, :, 1] = 2
    lost = run(ramp, flags, times, 1.0, 1.0, rule=RULE)
    assert np.isnan(lost.rate[0]).tolist() == [False, True, False]
    assert lost.dq[0].tolist() == [lost.dq[0, 0], 3, lost.dq[0, 2]]
    assert lost.n_used[0, 1] == 0
    silent = run(ramp, flags, times, 0.0, 0.0, rule=RULE, per_dn=0.0)
    slope = np.polyfit(times[:, 0], ramp[0, :, 0], 1)[0]
    np.testing.assert_allclose(silent.rate[0, 0], slope)  # read noise alone decides the weights
    assert silent.n_jumps.sum() == 0
    assert np.isnan(silent.chi2[0, 0])
    unknown = run(ramp, flags, times, np.nan, 1.0, rule=RULE, per_dn=np.nan)
    assert np.isnan(unknown.rate).all()
    assert (unknown.dq & 1).all()


def test_covariance_follows_each_ramp_without_bias():
    # A guess from the ramp itself is +0.5 % off at 2 electrons (see docs); a generalised least
    # squares guess is not. 4.8e5 ramps: 4 standard errors are 0.3 %.
    rng = np.random.default_rng(7)
    shape = (40, 10, 12_000)
    ramp = (rng.poisson(2.0, shape).cumsum(axis=1) + rng.normal(0, 7.0, shape)).astype("f4")
    n_pixels = shape[2]
    noise = np.stack([np.full(n_pixels, 2.0), np.full(n_pixels, 49.0)])
    detector = np.stack([np.ones(n_pixels), np.zeros(n_pixels)])
    readout = ramps.readout(np.arange(10.0))
    pattern = np.zeros(shape[1:], "u1")
    found = kernel.fit(ramp, np.zeros(shape, "u1"), noise, detector, pattern, readout=readout)
    rate = found.rate.astype("f8")
    assert abs(rate.mean() - 2.0) < 4 * rate.std() / np.sqrt(rate.size)
    assert found.chi2.mean() == pytest.approx(8.0, abs=5 * 4 / np.sqrt(rate.size))
