"""Ramp fits against dense linear algebra, limiting cases and simulated noise."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsoxr import dq
from tsoxr.kernels import ramp_fit, ramp_noise, ramp_scatter, ramps

FRAME = 0.5  # s


def frame_times(n_groups, n_frames, gaps):
    """Return the times (group, frame) at which frames are read, ``gaps`` frames between groups."""
    starts = np.concatenate([[0], np.cumsum(n_frames + np.resize(gaps, n_groups - 1))])
    return FRAME * (starts[:, None] + np.arange(1, n_frames + 1))


def dense_covariance(times, p, read_frame):
    """Covariance of the differences of group means, built up from that of single frames."""
    flat = times.ravel()
    of_frames = p * np.minimum.outer(flat, flat) + read_frame * np.eye(flat.size)
    n_groups, n_frames = times.shape
    average = np.kron(np.eye(n_groups), np.full((1, n_frames), 1.0 / n_frames))
    difference = np.diff(np.eye(n_groups), axis=0) @ average
    return difference @ of_frames @ difference.T


def usable(flags):
    """Return which differences (group - 1,) may be used, written out independently."""
    bad = (flags & 1 > 0) | (flags & 2 > 0)
    return np.array([not (bad[j] or bad[j + 1] or flags[j + 1] & 4) for j in range(flags.size - 1)])


def dense_fit(ramp, flags, times, p, read_frame):
    """Return rate and its variance by inverting the covariance of the usable differences."""
    good = usable(flags) & np.isfinite(np.diff(ramp))
    if not good.any():
        return np.nan, np.nan
    weight = np.linalg.inv(dense_covariance(times, p, read_frame)[np.ix_(good, good)])
    dt = np.diff(times.mean(axis=1))[good]
    norm = dt @ weight @ dt
    return dt @ weight @ np.diff(ramp)[good] / norm, 1.0 / norm


def solve(ramp, flags, times, p, read_frame, pattern=None):
    """Fit ramps (time, group, pixel) in float64 with the kernel."""
    n_frames = times.shape[1]
    readout = ramps.readout(times.mean(axis=1), n_frames, FRAME)
    n_pixels = ramp.shape[2]
    noise = np.stack(
        [np.broadcast_to(p, n_pixels), np.broadcast_to(read_frame / n_frames, n_pixels)]
    )
    noise = noise.astype(float)
    if pattern is None:
        pattern = np.zeros(ramp.shape[1:], np.uint8)
    weights, variance = ramps.ramp_weights(pattern, noise[0], noise[1], readout)
    return ramp_fit.fit(ramp, flags, weights, pattern, variance, noise, readout=readout)


def test_flag_bits_are_those_of_the_flag_table():
    assert dq.FLAGS["DO_NOT_USE"] == ramps.DO_NOT_USE
    assert dq.FLAGS["SATURATED"] == ramps.SATURATED
    assert dq.FLAGS["JUMP_DET"] == ramps.JUMP
    assert int(dq.bits(*dq.UNUSABLE)) == ramps.UNUSABLE


@given(
    data=st.data(),
    n_groups=st.integers(2, 12),
    n_frames=st.sampled_from([1, 1, 2, 4, 8]),
    gaps=st.lists(st.integers(0, 6), min_size=1, max_size=5),
    p=st.floats(0.0, 1e4),
    read=st.floats(0.1, 1e3),
)
def test_equals_dense_least_squares_for_any_flags(data, n_groups, n_frames, gaps, p, read):
    times = frame_times(n_groups, n_frames, gaps)
    n_times, n_pixels = 3, 2
    flags = data.draw(
        hnp.arrays(
            "u1", (n_times, n_groups, n_pixels), elements=st.sampled_from([0, 0, 0, 1, 2, 4, 64])
        )
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    ramp = 1000.0 + 100.0 * rng.standard_normal((n_times, n_groups, n_pixels)).cumsum(axis=1)
    rate, error, _ = solve(ramp, flags, times, p, read)
    for t in range(n_times):
        for i in range(n_pixels):
            a, variance = dense_fit(ramp[t, :, i], flags[t, :, i], times, p, read)
            # the dense inverse loses a few digits of 1e-16 at condition numbers up to 1e4
            np.testing.assert_allclose(rate[t, i], a, rtol=1e-10, atol=1e-9)
            np.testing.assert_allclose(error[t, i] ** 2, variance, rtol=1e-10)


@given(flags=hnp.arrays("u1", (4, 6, 3), elements=st.sampled_from([0, 0, 1, 2, 4])))
def test_result_does_not_depend_on_which_pattern_is_called_usual(flags):
    rng = np.random.default_rng(1)
    ramp = 500.0 * np.arange(6)[:, None] + rng.normal(0, 20, (4, 6, 3))
    times = frame_times(6, 1, [0])
    plain = solve(ramp, flags, times, 300.0, 40.0)
    own = solve(ramp, flags, times, 300.0, 40.0, pattern=ramp_noise.usual_pattern(flags))
    for a, b in zip(plain, own, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


def test_read_noise_limit_is_ordinary_least_squares():
    rng = np.random.default_rng(2)
    ramp = rng.normal(0, 10, (5, 9, 4))
    times = frame_times(9, 1, [0])
    rate, _, _ = solve(ramp, np.zeros(ramp.shape, "u1"), times, 0.0, 25.0)
    expected = np.polynomial.polynomial.polyfit(
        times[:, 0], ramp.transpose(1, 0, 2).reshape(9, -1), 1
    )[1]
    np.testing.assert_allclose(rate.ravel(), expected, rtol=1e-10, atol=1e-12)


def test_photon_limit_is_last_minus_first():
    rng = np.random.default_rng(3)
    ramp = rng.normal(0, 10, (5, 9, 4))
    times = frame_times(9, 1, [2])
    rate, error, _ = solve(ramp, np.zeros(ramp.shape, "u1"), times, 800.0, 0.0)
    span = times[-1, 0] - times[0, 0]
    np.testing.assert_allclose(rate, (ramp[:, -1] - ramp[:, 0]) / span, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(error, np.sqrt(800.0 / span), rtol=1e-12)


@pytest.mark.parametrize("signal", [0.5, 20.0, 3000.0])
def test_weights_of_single_reads_have_their_closed_form(signal):
    # For equal spacing C^-1 1 is a combination of cosh: (2 cosh(l) - 2) = signal / r in
    # units of DN2 per group, symmetric about the middle, zero just outside both ends.
    n, r = 11, 9.0
    readout = ramps.readout(np.arange(n + 1.0))
    weights, _ = ramps.ramp_weights(
        np.zeros((n + 1, 1), np.uint8), np.array([signal]), np.array([r]), readout
    )
    own = np.cumsum(-weights[:-1, 0])
    decay = np.arccosh(1.0 + signal / (2.0 * r))
    j = np.arange(1, n + 1) - (n + 1) / 2
    shape = 1.0 - np.cosh(decay * j) / np.cosh(decay * (n + 1) / 2)
    np.testing.assert_allclose(own, shape / shape.sum(), rtol=1e-9)


def test_two_groups_and_one():
    times = frame_times(2, 1, [0])
    ramp = np.array([[[10.0, 10.0], [13.0, 17.0]]])
    flags = np.zeros(ramp.shape, "u1")
    flags[0, 1, 1] = 2
    rate, error, found = solve(ramp, flags, times, 12.0, 4.0)
    np.testing.assert_allclose(rate, [[6.0, np.nan]])
    # variance of one difference: (12 * 0.5 + 2 * 4) / 0.5**2
    np.testing.assert_allclose(error, [[np.sqrt(56.0), np.nan]])
    assert found.tolist() == [[0, 3]]


def test_flags_of_groups_are_combined_but_a_lost_group_does_not_condemn_the_pixel():
    ramp = np.arange(5.0)[None, :, None] * np.ones((1, 5, 4))
    flags = np.zeros((1, 5, 4), "u1")
    flags[0, 0, 0] = 1  # first group not to be used: the rest of the ramp is good
    flags[0, 3:, 1] = 2  # saturates late
    flags[0, :, 2] = 2  # saturated from the start
    flags[0, 2, 3] = 4 | 64
    _, _, found = solve(ramp, flags, frame_times(5, 1, [0]), 1.0, 1.0)
    assert found.tolist() == [[0, 2, 3, 68]]
    assert found.dtype == np.uint32


def test_nan_counts_as_flagged():
    rng = np.random.default_rng(4)
    ramp = rng.normal(0, 5, (3, 7, 2)).cumsum(axis=1)
    flags = np.zeros(ramp.shape, "u1")
    flagged = flags.copy()
    flagged[1, 3, 0] = 1
    broken = ramp.copy()
    broken[1, 3, 0] = np.nan
    times = frame_times(7, 1, [0])
    np.testing.assert_allclose(
        solve(broken, flags, times, 3.0, 2.0)[0],
        solve(ramp, flagged, times, 3.0, 2.0)[0],
        rtol=1e-12,
    )


def test_pixel_without_noise_gets_plain_least_squares_and_one_without_number_gets_none():
    ramp = np.arange(6.0)[None, :, None] ** 2 * np.ones((1, 6, 2))
    times = frame_times(6, 1, [0])
    noise_free = solve(ramp, np.zeros(ramp.shape, "u1"), times, np.array([0.0, np.nan]), 0.0)
    slope = np.polynomial.polynomial.polyfit(times[:, 0], ramp[0, :, 0], 1)[1]
    np.testing.assert_allclose(noise_free[0], [[slope, np.nan]], rtol=1e-12)
    np.testing.assert_allclose(noise_free[1], [[0.0, np.nan]])
    assert noise_free[2].tolist() == [[0, 1]]


@given(scale=st.floats(-5, 5), seed=st.integers(0, 1000))
def test_estimate_is_linear_and_pure(scale, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0, 50, (2, 3, 5, 2))
    flags = rng.choice(np.array([0, 0, 0, 4], "u1"), a.shape)
    times = frame_times(5, 1, [0])
    before = a.copy(), flags.copy()
    together = solve(a + scale * b, flags, times, 40.0, 30.0)[0]
    apart = solve(a, flags, times, 40.0, 30.0)[0] + scale * solve(b, flags, times, 40.0, 30.0)[0]
    np.testing.assert_allclose(together, apart, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(flags, before[1])


def test_integers_and_single_precision_weights():
    # float32 weights are rounded to 6e-8 of themselves; times 60000 DN, ten groups, this is
    # below 60000 * 6e-8 * sqrt(10) * weight = 0.011 DN * (1 / span): far below 1 DN of noise.
    rng = np.random.default_rng(5)
    ramp = rng.integers(20000, 60000, (4, 10, 3000)).astype("u2")
    times = frame_times(10, 1, [0])
    flags = np.zeros(ramp.shape, "u1")
    exact = solve(ramp.astype(float), flags, times, 500.0, 36.0)[0]
    np.testing.assert_allclose(
        solve(ramp, flags, times, 500.0, 36.0)[0], exact, rtol=1e-12, atol=1e-9
    )
    readout = ramps.readout(times[:, 0])
    pattern = np.zeros(ramp.shape[1:], np.uint8)
    noise = np.stack([np.full(3000, 500.0), np.full(3000, 36.0)])
    weights, variance = ramps.ramp_weights(pattern, noise[0], noise[1], readout)
    single = ramp_fit.fit(
        ramp, flags, weights.astype("f4"), pattern, variance, noise, readout=readout
    )
    assert single[0].dtype == single[1].dtype == np.float32
    assert np.abs(single[0] - exact).max() < 0.011 / (times[-1, 0] - times[0, 0])


def simulated(rng, n_times, n_groups, n_pixels, *, electrons, gain=1.5, read_noise=6.0):
    """Return ramps in DN with photon and read noise; ``electrons`` per group of 1 s."""
    light = rng.poisson(electrons, (n_times, n_groups, n_pixels)).cumsum(axis=1) / gain
    return light + rng.normal(0, read_noise, light.shape)


@pytest.mark.parametrize("electrons", [2.0, 60.0, 3000.0])
def test_rate_is_unbiased_and_its_error_is_its_scatter(electrons):
    rng = np.random.default_rng(6)
    n_times, n_pixels, gain, read_noise = 400, 250, 1.5, 6.0
    ramp = simulated(
        rng, n_times, 8, n_pixels, electrons=electrons, gain=gain, read_noise=read_noise
    )
    flags = np.zeros(ramp.shape, "u1")
    rate, error, _ = solve(
        ramp, flags, np.arange(1.0, 9.0)[:, None], electrons / gain**2, read_noise**2
    )
    n = rate.size
    # mean of n rates: 4 standard errors; their scatter is known to 1 / sqrt(2 n) = 0.22 %, 4 sigma
    assert abs(rate.mean() - electrons / gain) < 4 * error[0, 0] / np.sqrt(n)
    assert abs(rate.std() / error[0, 0] - 1) < 4 / np.sqrt(2 * n)


def test_weights_from_the_time_series_do_not_bias_faint_pixels():
    # Taking the covariance from the ramp itself biases 2 electrons per group by +0.5 %
    # with these numbers; from the median of 32 integrations nothing of it may be left.
    rng = np.random.default_rng(7)
    n_times, n_groups, n_pixels, gain = 32, 10, 60_000, 1.0
    ramp = simulated(
        rng, n_times, n_groups, n_pixels, electrons=2.0, gain=gain, read_noise=7.0
    ).astype("f4")
    flags = np.zeros(ramp.shape, "u1")
    readout = ramps.readout(np.arange(1.0, n_groups + 1))
    noise = np.stack(
        [
            np.maximum(ramp_noise.mean_rate(ramp, flags, readout.interval), 0),
            np.full(n_pixels, 49.0),
        ]
    )
    pattern = np.zeros(ramp.shape[1:], np.uint8)
    weights, variance = ramps.ramp_weights(pattern, noise[0], noise[1], readout)
    rate, error, _ = ramp_fit.fit(ramp, flags, weights, pattern, variance, noise, readout=readout)
    standard_error = error.mean() / np.sqrt(rate.size)
    assert standard_error < 0.0008  # the test can see 0.2 % of 2 electrons
    assert abs(rate.mean() - 2.0) < 4 * standard_error

    # the same ramps, each with the mean of its own differences for a guess
    alone = ramp.transpose(1, 0, 2).reshape(n_groups, -1)
    guess = np.maximum((alone[-1] - alone[0]) / (n_groups - 1.0), 0.0)
    unflagged = np.zeros(alone.shape, np.uint8)
    weights, _ = ramps.ramp_weights(unflagged, guess, np.full(guess.size, 49.0), readout)
    biased = (weights * alone).sum(axis=0).mean()
    assert 0.003 < biased / 2.0 - 1 < 0.007


def test_mean_rate_is_the_median_of_slopes_of_usable_differences():
    rng = np.random.default_rng(8)
    ramp = rng.normal(0, 30, (7, 5, 40)).cumsum(axis=1)
    flags = rng.choice(np.array([0, 0, 0, 0, 1, 2, 4], "u1"), ramp.shape)
    flags[:, :, 3] = 1
    interval = np.array([1.0, 2.0, 0.5, 3.0])
    expected = []
    for i in range(40):
        good = np.array([usable(flags[t, :, i]) for t in range(7)])
        span = (good * interval).sum(axis=1)
        total = (good * np.diff(ramp[:, :, i], axis=1)).sum(axis=1)
        expected.append(
            np.median((total / np.where(span > 0, span, np.nan))[span > 0])
            if span.any()
            else np.nan
        )
    np.testing.assert_allclose(ramp_noise.mean_rate(ramp, flags, interval), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_mean_rate_of_many_pixels_with_whole_groups_out(dtype):
    # more pixels than are worked on at a time; first and last group of all pixels not to be
    # used, some hits, some ramps lost, samples that are no numbers
    rng = np.random.default_rng(13)
    ramp = (20000 + 100.0 * rng.poisson(5.0, (9, 6, 5000)).cumsum(axis=1)).astype(dtype)
    flags = rng.choice(np.array([0] * 60 + [1, 2, 4, 64], "u1"), ramp.shape)
    flags[:, 0] |= 1
    flags[:, -1] |= 1
    flags[:4, :, 50:90] |= 2
    flags[:, 1:, 90:95] |= 2
    flags[2, 1:] |= 2  # an integration in which nothing is usable
    if dtype == "f4":
        ramp[5, 3, ::50] = np.nan
        ramp[6, 2, ::70] = np.inf
    interval = np.array([1.0, 2.0, 0.5, 3.0, 1.0])
    d = np.diff(ramp.astype("f8"), axis=1, prepend=0)[:, 1:]
    either = flags[:, 1:] | flags[:, :-1]
    good = (either & 3 == 0) & (flags[:, 1:] & 4 == 0) & np.isfinite(d)
    span = (good * interval[:, None]).sum(axis=1)
    rise = np.where(good, d, 0.0).sum(axis=1)
    slope = np.where(span > 0, rise / np.where(span > 0, span, 1.0), np.nan)
    expected = np.full(5000, np.nan)
    some = (span > 0).any(axis=0)
    expected[some] = np.nanmedian(slope[:, some], axis=0)
    np.testing.assert_allclose(ramp_noise.mean_rate(ramp, flags, interval), expected, rtol=1e-6)


def test_usual_pattern_is_that_of_the_majority():
    flags = np.zeros((5, 2, 2), "u1")
    flags[:3, 0, 0] = 2
    flags[:2, 1, 0] = 2
    flags[:, 1, 1] = 4 | 64
    assert ramp_noise.usual_pattern(flags).tolist() == [[2, 0], [0, 4]]


@pytest.mark.parametrize("n_times", [1, 2, 3, 8, 9])
def test_usual_pattern_of_random_flags(n_times):
    rng = np.random.default_rng(n_times)
    bits = rng.random((3, n_times, 4, 500)) < rng.choice([0.0, 0.1, 0.5, 0.9, 1.0], (3, 1, 4, 500))
    flags = (bits * np.array([1, 2, 4], "u1")[:, None, None, None]).sum(axis=0).astype("u1")
    usual = (2 * bits.sum(axis=1) > n_times) * np.array([1, 2, 4])[:, None, None]
    found = ramp_noise.usual_pattern(flags | np.uint8(64))
    np.testing.assert_array_equal(found, usual.sum(axis=0))


@pytest.mark.parametrize("rounded", [False, True])
def test_read_noise_is_recovered_from_group_differences(rounded):
    # 200 faint pixels x 31 pairs x 4 differences, correlated in pairs: about 1 %; 5 sigma
    rng = np.random.default_rng(9)
    light = np.concatenate([np.full(800, 3.0), np.full(200, 4000.0)])
    gain, read_noise = 1.5, 6.0
    ramp = (
        simulated(rng, 32, 5, light.size, electrons=light, gain=gain, read_noise=read_noise)
        + 5000.0
    )
    ramp = np.round(ramp).astype("u2") if rounded else ramp
    flags = np.zeros(ramp.shape, "u1")
    ramp[7, 2:, ::9] += 900  # hits that nobody has flagged
    readout = ramps.readout(np.arange(5.0))
    rate = ramp_noise.mean_rate(ramp, flags, readout.interval)
    measured = ramp_noise.read_noise(ramp, flags, rate, np.full(light.size, gain), readout)
    assert abs(measured / read_noise - 1) < 0.05


def test_read_noise_of_nothing_is_nan():
    ramp, flags = np.zeros((4, 3, 5)), np.zeros((4, 3, 5), "u1")
    readout = ramps.readout(np.arange(3.0))
    assert np.isnan(ramp_noise.read_noise(ramp, flags, np.full(5, np.nan), np.ones(5), readout))
    assert np.isnan(ramp_noise.read_noise(ramp[:1], flags[:1], np.ones(5), np.ones(5), readout))
    assert np.isnan(
        ramp_noise.read_noise(ramp, flags + np.uint8(1), np.ones(5), np.ones(5), readout)
    )


def test_point_to_point_scatter_ignores_trends_and_outliers():
    # the median of 399 correlated changes: 6 % for one series, 0.6 % for the mean of 100
    rng = np.random.default_rng(10)
    series = rng.normal(0, 3.0, (400, 100)) + np.linspace(0, 100, 400)[:, None]
    series[::40] = np.nan
    series[7] += 1000.0
    assert abs(ramp_noise.point_to_point(series).mean() / 3.0 - 1) < 0.03
    assert np.isnan(ramp_noise.point_to_point(series[:1])).all()


def test_median_in_time_leaves_out_what_is_no_number():
    values = np.random.default_rng(12).normal(size=(33, 300)).astype("f4")
    values[::3, ::7] = np.nan
    values[5, ::5] = np.inf
    values[:, 11] = np.nan
    finite = np.where(np.isfinite(values), values, np.nan)
    expected = np.nanmedian(np.delete(finite, 11, axis=1), axis=0)
    found = ramp_scatter.median_in_time(values)
    np.testing.assert_allclose(np.delete(found, 11), expected, rtol=1e-6)
    assert np.isnan(found[11])


@pytest.mark.parametrize("n_times", [1, 2, 7, 8])
def test_median_in_time_of_any_number_that_is_left(n_times):
    rng = np.random.default_rng(n_times)
    values = rng.normal(size=(n_times, 400)).astype("f4")
    values[rng.random(values.shape) < rng.random(400)] = np.nan
    some = np.isfinite(values).any(axis=0)
    found = ramp_scatter.median_in_time(values)
    np.testing.assert_array_equal(np.isfinite(found), some)
    np.testing.assert_allclose(found[some], np.nanmedian(values[:, some], axis=0), rtol=1e-6)
