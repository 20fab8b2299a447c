"""Hits against the profile: dense statistics, false rates, what is found and what is not."""

from __future__ import annotations

import numpy as np
import pytest

from tsoxr.kernels.extraction import coverage, optimal_weights
from tsoxr.kernels.profile_rejection import flag_hits, variance_factors

OUTLIER, BAD = 16, 1
BITS = BAD | OUTLIER, OUTLIER


def scene(n_time=200, n_dispersion=40, *, sigma=1.2, light=2000.0, read=6.0, seed=0):
    """Integrations of a known profile, their errors, and what is expected of them."""
    rng = np.random.default_rng(seed)
    y = np.arange(12)[:, None]
    center = 5.5 + 0.02 * np.arange(n_dispersion)
    profile = np.exp(-0.5 * ((y - center) / sigma) ** 2)
    cover = coverage(center, 12, 4.0)
    profile = np.where(cover > 0, profile, 0.0) / (cover * profile).sum(axis=0)
    variance = light * profile + read**2
    data = light * profile + rng.normal(0, 1, (n_time, *profile.shape)) * np.sqrt(variance)
    error = np.broadcast_to(np.sqrt(variance), data.shape)
    weight, _ = optimal_weights(profile, variance, cover)
    expected = np.stack([profile, weight, np.where(cover > 0, 1.0, np.inf)])
    return data.astype("f4"), error.astype("f4"), np.zeros(data.shape, "u4"), expected


def dense(data, error, usable, profile, weight):
    """Studentised residuals of one column by dense linear algebra."""
    at = np.flatnonzero(usable)
    solve = weight[at] / (weight[at] @ profile[at])
    rest = np.eye(at.size) - np.outer(profile[at], solve)
    out = np.zeros(data.size)
    out[at] = rest @ data[at] / np.sqrt(np.diag(rest @ np.diag(error[at] ** 2) @ rest.T))
    return out


@pytest.mark.parametrize("seed", range(3))
def test_the_worst_goes_first_as_dense_algebra_says(seed):
    data, error, flags, expected = scene(30, seed=seed)
    rng = np.random.default_rng(seed)
    hit = rng.random(data.shape) < 0.02
    data[hit] += 12 * error[hit]
    flags[rng.random(data.shape) < 0.03] = BAD
    got, found = flag_hits(data, error, flags, expected, sigma=4.5, bits=BITS)
    for t in range(30):
        for x in range(40):
            usable = (flags[t, :, x] == 0) & np.isfinite(expected[2, :, x])
            marked = np.zeros(12, bool)
            while True:
                z = dense(data[t, :, x], error[t, :, x], usable, *expected[:2, :, x])
                score = np.where(np.abs(z) > 4.5, z**2 * np.where(z > 0, 1.0, 0.7), 0.0)
                if not score.any():
                    break
                marked[score.argmax()] = True
                usable[score.argmax()] = False
            np.testing.assert_array_equal(got[t, :, x] & OUTLIER != 0, marked)
            assert found[t, x] == marked.sum()


@pytest.mark.parametrize("sigma", [0.5, 1.2])
def test_noise_is_flagged_as_often_as_normal_noise_is(sigma):
    data, error, flags, expected = scene(2000, sigma=sigma)
    got, found = flag_hits(data, error, flags, expected, sigma=4.0, bits=BITS)
    tested = np.isfinite(expected[2]).sum() * 2000
    # 6.3e-5 of normal deviates lie beyond 4 sigma: some 45 of 700 000, and the square root of that;
    # studentised residuals of the two pixels that hold a narrow profile's light are one number
    rate = (got & OUTLIER != 0).sum() / tested
    assert abs(rate - 6.3e-5) < 4 * np.sqrt(6.3e-5 / tested) + (2e-5 if sigma < 1 else 0)
    assert found.sum() == (got & OUTLIER != 0).sum()


@pytest.mark.parametrize("sigma", [0.5, 1.2])
@pytest.mark.parametrize("size", [8.0, 12.0])
def test_hits_are_found_and_cost_no_light(sigma, size):
    data, error, flags, expected = scene(4000, 8, sigma=sigma)
    rng = np.random.default_rng(1)
    row = rng.integers(2, 10, data.shape[0])
    hit = np.zeros(data.shape, bool)
    hit[np.arange(data.shape[0]), row, rng.integers(0, 8, data.shape[0])] = True
    hit &= np.isfinite(expected[2])
    data[hit] += size * error[hit]
    got, _ = flag_hits(data, error, flags, expected, sigma=5.0, bits=BITS)
    free = np.sqrt(1 - expected[0] * expected[1])  # of a hit that its own column's light leaves
    from scipy.stats import norm

    chance = np.broadcast_to(norm.sf(5.0 - size * free), data.shape)[hit]
    share = (got[hit] & OUTLIER != 0).mean()
    # one of two bright pixels is taken for the other now and then
    allowed = 4 * np.sqrt((chance * (1 - chance)).sum()) / hit.sum()
    assert abs(share - chance.mean()) < allowed + (0.03 if sigma < 1 else 0.005)
    assert (got[~hit] & OUTLIER != 0).mean() < 1e-4


def test_light_that_changes_is_no_hit():
    data, error, flags, expected = scene(500)
    dimmed = data.copy()
    dimmed[100:300] *= np.float32(0.5)
    dimmed[300:] = -dimmed[300:]
    got, _ = flag_hits(dimmed, error, flags, expected, sigma=6.0, bits=BITS)
    assert not got.any()


def test_samples_that_are_out_of_use_are_left_alone():
    data, error, flags, expected = scene(4)
    data[0, 5, 3], data[1, 5, 4], error[2, 6, 5], error[3, 6, 6] = np.nan, np.inf, 0.0, np.nan
    data[0, 6, 10], flags[0, 6, 10] = 1e6, BAD
    data[1, 0, 20] = 1e6  # beyond the aperture
    data[2, :, 30] = np.nan
    got, found = flag_hits(data, error, flags, expected, sigma=7.0, bits=BITS)
    np.testing.assert_array_equal(got, flags)
    assert not found.any()
    none = expected.copy()
    none[2] = np.inf
    got, found = flag_hits(data, error, flags, none, sigma=1.0, bits=BITS)
    np.testing.assert_array_equal(got, flags)
    single = expected.copy()  # one pixel is all there is: nothing to compare it with
    single[2, np.arange(12) != 6] = np.inf
    single[:2, np.arange(12) != 6] = 0.0
    single[1, 6] = 1 / single[0, 6]
    got, _ = flag_hits(data, error, flags, single, sigma=3.0, bits=BITS)
    np.testing.assert_array_equal(got, flags)


def test_views_and_inputs():
    data, error, flags, expected = scene(20)
    data[7, 6, 9] += 400
    got, found = flag_hits(data, error, flags, expected, sigma=6.0, bits=BITS)
    turned = [np.ascontiguousarray(a.transpose(2, 1, 0)).transpose(2, 1, 0) for a in (data, error)]
    same, also = flag_hits(*turned, flags, expected, sigma=6.0, bits=BITS)
    np.testing.assert_array_equal(got, same)
    np.testing.assert_array_equal(found, also)
    assert not flags.any()
    assert got[7, 6, 9] == OUTLIER


def test_factors_are_one_for_noise_as_predicted():
    data, error, flags, expected = scene(48, 300)
    factor = variance_factors(data, error, flags == 0, *expected[:2])
    inside = np.isfinite(expected[2])
    # 31 neighbours of 48 samples: a relative error of 2.33 / sqrt(48) / sqrt(31), and a median's 1.25
    assert np.median(factor[inside]) < 1.1
    assert np.percentile(factor[inside], 99) < 1.35
    assert (factor >= 1).all()


def test_factors_grow_with_motion_and_a_wrong_profile():
    data, error, flags, expected = scene(48, 300, light=2e5)
    slope = np.gradient(expected[0], axis=0) * 2e5
    rng = np.random.default_rng(2)
    moved = data + (rng.normal(0, 0.01, 48)[:, None, None] * slope).astype("f4")
    factor = variance_factors(moved, error, flags == 0, *expected[:2])
    true = 1 + (0.01 * slope / error[0]) ** 2
    flank = np.isfinite(expected[2]) & (true > 3)
    # what moves along with the sum is not left in the residual: half of it at least is
    assert 0.5 < np.median((factor / true)[flank]) < 1.3
    wrong = expected[0].copy()
    wrong[6, 150] *= 1.05
    factor = variance_factors(data, error, flags == 0, wrong, expected[1])
    assert factor[6, 150] > 10
    assert factor[6, 140] < 1.5


def test_few_samples_have_the_factor_of_their_neighbours():
    data, error, flags, expected = scene(2, 300)
    data[0, 6, 100] += 500
    factor = variance_factors(data, error, flags == 0, *expected[:2])
    assert factor[6, 100] < 3
    none = variance_factors(data, error, np.zeros(data.shape, bool), *expected[:2])
    np.testing.assert_array_equal(none, 1.0)
