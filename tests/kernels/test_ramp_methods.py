"""Pedestal and chi-squared, residual ramps, and the estimators that are there for comparison."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsoxr.kernels import (
    ramp_differences,
    ramp_fit,
    ramp_ols,
    ramp_quality,
    ramp_residual,
    ramps,
)

FRAME = 0.5


def frame_times(n_groups, n_frames, gap=0):
    starts = np.arange(n_groups) * (n_frames + gap)
    return FRAME * (starts[:, None] + np.arange(1, n_frames + 1))


def group_covariance(times, p, read_frame):
    """Covariance of the group means themselves, built up from that of single frames."""
    flat, (n_groups, n_frames) = times.ravel(), times.shape
    full = p * np.minimum.outer(flat, flat) + read_frame * np.eye(flat.size)
    average = np.kron(np.eye(n_groups), np.full((1, n_frames), 1.0 / n_frames))
    return average @ full @ average.T


def weighted(ramp, flags, times, p, read_frame, *, even=False, residual=None, pattern=None):
    readout = ramps.readout(times.mean(axis=1), times.shape[1], FRAME)
    n_pixels = ramp.shape[2]
    noise = np.stack([np.full(n_pixels, p), np.full(n_pixels, read_frame / times.shape[1])])
    pattern = np.zeros(ramp.shape[1:], "u1") if pattern is None else pattern
    weights, variance = ramps.ramp_weights(pattern, noise[0], noise[1], readout, even)
    fitted = ramp_fit.fit(
        ramp, flags, weights, pattern, variance, noise, residual, readout=readout, even=even
    )
    return fitted, noise, readout


# ------------------------------------------------------------- chi-squared and pedestal


@given(
    n_groups=st.integers(2, 10),
    n_frames=st.sampled_from([1, 3]),
    p=st.floats(0.0, 1e4),
    cut=st.integers(0, 9),
    seed=st.integers(0, 2**32),
)
def test_pedestal_and_chi2_are_those_of_a_joint_dense_fit(n_groups, n_frames, p, cut, seed):
    # The full problem: groups R = b + a t with their own covariance, b and a both unknown.
    rng = np.random.default_rng(seed)
    times = frame_times(n_groups, n_frames, 1)
    ramp = 1000.0 + 50.0 * rng.standard_normal((2, n_groups, 2)).cumsum(axis=1)
    flags = np.zeros(ramp.shape, "u1")
    first = min(cut, n_groups - 2)
    flags[0, :first, 0] = 1  # first groups not used
    (rate, _, _), noise, readout = weighted(ramp, flags, times, p, 30.0)
    t = times.mean(axis=1)
    found = ramp_quality.quality(ramp, flags, rate, noise, readout=readout, group_time=t)
    for n, i in np.ndindex(2, 2):
        kept = slice(first, None) if (n, i) == (0, 0) else slice(None)
        inverse = np.linalg.inv(group_covariance(times, p, 30.0)[kept, kept])
        design = np.stack([np.ones(t[kept].size), t[kept]], axis=1)
        solution = np.linalg.solve(
            design.T @ inverse @ design, design.T @ inverse @ ramp[n, kept, i]
        )
        rest = ramp[n, kept, i] - design @ solution
        # the group covariance has condition numbers up to 1e6
        np.testing.assert_allclose(rate[n, i], solution[1], rtol=1e-7, atol=1e-6)
        np.testing.assert_allclose(found.pedestal[n, i], solution[0], rtol=1e-7)
        np.testing.assert_allclose(found.chi2[n, i], rest @ inverse @ rest, rtol=1e-6, atol=1e-6)
        assert found.n_used[n, i] == t[kept].size - 1


def test_pedestal_after_a_hit_and_of_lost_ramps():
    ramp = 100.0 + np.arange(6.0)[None, :, None] * np.ones((1, 6, 4))
    flags = np.zeros(ramp.shape, "u1")
    flags[0, 0, 0] = 1
    flags[0, 1, 0] = 4  # the first usable group comes after a hit
    flags[0, 1, 1] = 4  # one group before the hit
    flags[0, :, 2] = 2
    (rate, _, _), noise, readout = weighted(ramp, flags, frame_times(6, 1), 3.0, 4.0)
    t = 1.0 + np.arange(6.0)
    found = ramp_quality.quality(ramp, flags, rate, noise, readout=readout, group_time=t)
    assert np.isnan(found.pedestal[0]).tolist() == [True, False, True, False]
    assert found.pedestal[0, 3] == pytest.approx(100.0 - rate[0, 3] * t[0])
    assert found.n_used[0].tolist() == [4, 4, 0, 5]
    assert np.isnan(found.chi2[0]).tolist() == [False, False, True, False]
    plain = ramp_quality.quality(ramp, flags, rate, noise, readout=readout)
    assert plain.pedestal.size == 0


@pytest.mark.parametrize("electrons", [1.0, 10.0, 100.0, 1000.0])
def test_chi2_has_the_mean_of_its_degrees_of_freedom(electrons):
    # mean of 20000 values of variance 2 x 8 (a little more for Poisson): 4 standard errors
    rng = np.random.default_rng(1)
    ramp = rng.poisson(electrons, (20, 10, 1000)).cumsum(axis=1) + rng.normal(0, 7, (20, 10, 1000))
    flags = np.zeros(ramp.shape, "u1")
    times = frame_times(10, 1)
    (rate, _, _), noise, readout = weighted(ramp, flags, times, electrons / FRAME, 49.0)
    found = ramp_quality.quality(ramp, flags, rate, noise, readout=readout)
    assert found.chi2.mean() == pytest.approx(8.0, abs=4 * 4.2 / np.sqrt(20000))


# ------------------------------------------------------------------------ residual ramps


def test_residual_is_the_common_curvature_and_the_weights_are_blind_to_it():
    rng = np.random.default_rng(2)
    n_times, n_groups, n_pixels = 32, 8, 400
    curve = -3.0 * np.arange(n_groups) ** 2
    light = rng.poisson(2000.0, (n_times, n_groups, n_pixels)).cumsum(axis=1)
    ramp = light + curve[:, None] + rng.normal(0, 6, light.shape)
    flags = np.zeros(ramp.shape, "u1")
    flags[:, 6:, :100] = 2
    pattern = flags[0]
    readout = ramps.readout(np.arange(float(n_groups)))
    noise = np.full((2, n_pixels), [[2000.0], [36.0]])
    weights, variance = ramps.ramp_weights(pattern, noise[0], noise[1], readout)
    found = ramp_residual.median_residual(ramp, flags, weights, pattern, readout=readout)
    of_difference = -np.cumsum(weights, axis=0)[:-1]
    # rounded to float32: 3e-8 of numbers up to 20
    assert abs((of_difference * found).sum(axis=0)).max() < 1e-5
    assert (found[5:, :100] == 0).all()
    expected = np.diff(curve) - of_difference[:, 200] @ np.diff(curve)
    # noise of a difference 46 DN, median of 32: 10 DN; mean of 300 pixels 0.6; 4 sigma
    assert abs(found[:, 100:].mean(axis=1) - expected).max() < 2.4

    arguments = ramp, flags, weights, pattern, variance, noise
    plain = ramp_fit.fit(*arguments, readout=readout)
    straight = ramp_fit.fit(*arguments, found, readout=readout)
    np.testing.assert_array_equal(plain[0], straight[0])
    cut = flags.copy()
    cut[::2, 4:] |= 2  # every second integration saturates half-way
    before, after = (
        ramp_fit.fit(ramp, cut, *arguments[2:], r, readout=readout)[0][::2, 100:].mean()
        for r in (None, found)
    )
    usual = plain[0][:, 100:].mean()
    # a curvature of 3 DN: ramps of four groups are 12 DN s-1 steeper; 4800 ramps of error 26
    assert before - usual > 9.0
    assert abs(after - usual) < 4 * 26 / np.sqrt(4800) + 0.6


@pytest.mark.parametrize("n_times", [1, 2, 21, 32])
def test_residual_is_the_median_of_what_straight_fits_leave_over(n_times, monkeypatch):
    rng = np.random.default_rng(9)
    shape = (n_times, 6, 700)
    ramp = 1000 + rng.normal(50, 20, shape).cumsum(axis=1)
    flags = rng.choice(np.array([0] * 30 + [1, 2, 4], "u1"), shape)
    ramp[rng.random(shape) < 0.002] = np.nan
    pattern = np.zeros(shape[1:], "u1")
    pattern[4:, :300] = 2
    flags[:, 4:, :300] = 2
    flags[:, 0, 7] = 1  # never usual
    readout = ramps.readout(np.array([0.0, 1.0, 3.0, 4.0, 5.0, 7.0]))
    noise = np.full((2, shape[2]), [[50.0], [36.0]])
    weights, _ = ramps.ramp_weights(pattern, noise[0], noise[1], readout)
    monkeypatch.setattr(ramp_residual, "BLOCK", 6 * 128)  # several blocks, the last not full
    found = ramp_residual.median_residual(ramp, flags, weights, pattern, readout=readout)
    for i in range(0, shape[2], 7):
        good = np.array([usable_differences(q) for q in pattern[:, [i]].T])[0]
        same = (flags[:, :, i] == pattern[:, i]).all(axis=1) & np.isfinite(ramp[:, :, i]).all(
            axis=1
        )
        expected = np.zeros(5)
        if same.any():
            kept = ramp[same][:, :, i]
            rate = kept @ weights[:, i]
            rest = np.diff(kept, axis=1) - rate[:, None] * readout.interval
            expected[good] = np.median(rest, axis=0)[good]
            own = -np.cumsum(weights[:, i])[:-1]
            expected[good] -= (own @ expected * readout.interval)[good]
        # float32 residuals of up to 100 DN
        np.testing.assert_allclose(found[:, i], expected, atol=1e-4)
    assert abs(found).max() > 1.0


def usable_differences(flags):
    """Return which differences (group - 1,) may be used, written out independently."""
    bad = flags & 3 > 0
    return [not (bad[j] or bad[j + 1] or flags[j + 1] & 4) for j in range(flags.size - 1)]


def test_residual_of_pixels_without_usual_ramps_is_zero():
    ramp = np.full((4, 5, 3), 100.0)
    flags = np.zeros(ramp.shape, "u1")
    pattern = np.full((5, 3), 2, "u1")
    ramp[:, 2, 1] = np.nan
    pattern[:, 1] = 0
    weights = np.where(pattern == 0, 0.1, np.nan)
    found = ramp_residual.median_residual(
        ramp, flags, weights, pattern, readout=ramps.readout(np.arange(5.0))
    )
    np.testing.assert_array_equal(found, 0.0)


# ------------------------------------------------------------------------- last - first


@given(flags=hnp.arrays("u1", (3, 6, 2), elements=st.sampled_from([0, 0, 1, 2, 4])))
def test_even_weights_are_the_rise_over_the_time_of_usable_differences(flags):
    rng = np.random.default_rng(3)
    ramp = 1000 + rng.normal(0, 20, flags.shape).cumsum(axis=1)
    times = frame_times(6, 2, 1)
    (rate, error, _), _, readout = weighted(ramp, flags, times, 300.0, 40.0, even=True)
    groups = group_covariance(times, 300.0, 40.0)
    for t, i in np.ndindex(3, 2):
        bad = flags[t, :, i] & 3 > 0
        good = ~(bad[1:] | bad[:-1] | (flags[t, 1:, i] & 4 > 0))
        if not good.any():
            assert np.isnan(rate[t, i])
            continue
        span = readout.interval[good].sum()
        assert rate[t, i] == pytest.approx(np.diff(ramp[t, :, i])[good].sum() / span)
        rows = np.diff(np.eye(6), axis=0)[good].sum(axis=0) / span
        assert error[t, i] ** 2 == pytest.approx(rows @ groups @ rows)


# -------------------------------------------------------------------------------- OLS


def test_segments_are_fitted_with_fixsen_weights_and_averaged():
    rng = np.random.default_rng(4)
    n, cut = 9, 5
    noise, per_dn = np.array([[90.0], [20.0]]), np.array([1 / 1.6])
    time = 2.0 * np.arange(n)
    for level in (0.5, 5.0, 20.0, 100.0, 2000.0):
        ramp = (rng.poisson(level, n).cumsum() * 1.0 + rng.normal(0, 4, n))[None, :, None]
        flags = np.zeros(ramp.shape, "u1")
        flags[0, cut] = 4
        rate, error, _ = ramp_ols.fit(
            ramp, flags, noise, per_dn, readout=ramps.readout(time), dtype="f8"
        )
        slopes, read, photon = [], [], []
        for part in (slice(0, cut), slice(cut, n)):
            y, t = ramp[0, part, 0], time[part]
            rise = max(y[-1] - y[0], 0.0)
            ratio = rise / np.sqrt(20.0 + rise / 1.6)
            power = next(
                p for limit, p in ((5, 0), (10, 0.4), (20, 1), (50, 3), (100, 6), (np.inf, 10))
                if ratio < limit
            )  # fmt: skip
            middle = (y.size - 1) / 2
            w = np.abs((np.arange(y.size) - middle) / middle) ** power
            slopes.append(np.polyfit(t, y, 1, w=np.sqrt(w))[0])
            m = y.size
            read.append(12 * 20.0 / (2.0**2 * (m**3 - m)))
            photon.append(90.0 / (2.0 * (m - 1)))
        read, photon = np.array(read), np.array(photon)
        assert rate[0, 0] == pytest.approx(np.average(slopes, weights=1 / read), rel=1e-9)
        assert error[0, 0] ** 2 == pytest.approx(1 / np.sum(1 / (read + photon)), rel=1e-12)


def test_ols_of_flagged_and_broken_ramps():
    ramp = np.arange(6.0)[None, :, None] * np.ones((1, 6, 4))
    flags = np.zeros(ramp.shape, "u1")
    flags[0, 1:, 0] = 2  # one group
    flags[0, 2, 1] = 1
    ramp[0, 2, 2] = np.inf
    rate, error, found = ramp_ols.fit(
        ramp, flags, np.ones((2, 4)), np.ones(4), readout=ramps.readout(np.arange(6.0)), dtype="f8"
    )
    np.testing.assert_allclose(rate, [[np.nan, 1.0, 1.0, 1.0]])
    assert found.tolist() == [[3, 0, 0, 0]]
    assert np.isfinite(error[0, 1:]).all()


def test_ols_of_no_light_is_ordinary_least_squares_and_residuals_are_subtracted():
    rng = np.random.default_rng(5)
    ramp = rng.normal(0, 1.0, (3, 7, 5))
    readout = ramps.readout(np.arange(7.0))
    noise = np.full((2, 5), [[0.0], [36.0]])
    residual = rng.normal(0, 2.0, (6, 5))
    curve = np.concatenate([np.zeros((1, 5)), residual.cumsum(axis=0)])
    flags = np.zeros(ramp.shape, "u1")
    plain = ramp_ols.fit(ramp, flags, noise, np.ones(5), readout=readout, dtype="f8")[0]
    slope = np.polyfit(np.arange(7.0), ramp.transpose(1, 0, 2).reshape(7, -1), 1)[0]
    np.testing.assert_allclose(plain.ravel(), slope, atol=1e-12)
    curved = ramp_ols.fit(
        ramp + curve, flags, noise, np.ones(5), residual, readout=readout, dtype="f8"
    )
    np.testing.assert_allclose(curved[0], plain, atol=1e-12)


# ------------------------------------------------------------------ median of differences


@given(flags=hnp.arrays("u1", (3, 7, 2), elements=st.sampled_from([0, 0, 0, 1, 2, 4])))
def test_median_slope_is_the_median_of_usable_differences(flags):
    rng = np.random.default_rng(6)
    ramp = rng.normal(0, 20, flags.shape).cumsum(axis=1)
    interval = np.array([1.0, 2.0, 1.0, 0.5, 1.0, 3.0])
    readout = ramps.readout(np.concatenate([[0.0], interval.cumsum()]))
    rate, error, found = ramp_differences.median_slope(
        ramp, flags, np.full((2, 2), [[30.0], [36.0]]), readout=readout, dtype="f8"
    )
    for t, i in np.ndindex(3, 2):
        bad = flags[t, :, i] & 3 > 0
        good = ~(bad[1:] | bad[:-1] | (flags[t, 1:, i] & 4 > 0))
        values = (np.diff(ramp[t, :, i]) / interval)[good]
        expected = np.median(values) if values.size else np.nan
        np.testing.assert_allclose(rate[t, i], expected)
        assert np.isfinite(error[t, i]) == good.any()
        assert bool(found[t, i] & 1) != good.any()


@pytest.mark.parametrize("n_groups", [2, 3, 4, 5, 8, 20])
@pytest.mark.parametrize("electrons", [0.0, 3000.0])
def test_error_of_the_median_is_its_scatter(n_groups, electrons):
    # 1 and 2 differences are exact; the formula holds within 5 % for photon noise and within
    # 10 % for read noise, whose differences are correlated. 20000 ramps: 0.5 %, 4 sigma
    rng = np.random.default_rng(7)
    shape = (1, n_groups, 20_000)
    ramp = rng.poisson(electrons, shape).cumsum(axis=1) + rng.normal(0, 7.0, shape)
    noise = np.full((2, shape[2]), [[electrons], [49.0]])
    rate, error, _ = ramp_differences.median_slope(
        ramp, np.zeros(shape, "u1"), noise, readout=ramps.readout(np.arange(float(n_groups)))
    )
    allowed = 0.0 if n_groups < 4 else (0.05 if electrons else 0.10)
    assert abs(rate.std() / error[0, 0] - 1) < allowed + 0.02


def test_median_is_not_moved_by_a_hit():
    rng = np.random.default_rng(8)
    ramp = rng.normal(0, 6.0, (1, 6, 4000)) + 100.0 * np.arange(6)[:, None]
    ramp[:, 3:] += 5000.0
    noise = np.full((2, 4000), [[0.0], [36.0]])
    rate, error, _ = ramp_differences.median_slope(
        ramp, np.zeros(ramp.shape, "u1"), noise, readout=ramps.readout(np.arange(6.0))
    )
    # one outlier of five shifts the median to a quantile of the other four, by half a sigma
    assert abs(rate.mean() - 100.0) < error[0, 0]
