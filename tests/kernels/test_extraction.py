"""Apertures that can be summed in the head, and weights against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsoxr.kernels.extraction import (
    aperture_weights,
    coverage,
    optimal_weights,
    value_at_trace,
    weighted_sum,
)

BITS = (1 | 16, 1, 1 << 28, 0)


def extracted(data, error, weight, share, dq=None, **levels):
    data = np.atleast_3d(np.asarray(data, np.float32))
    error = np.broadcast_to(np.asarray(error, np.float32), data.shape).copy()
    dq = np.zeros(data.shape, np.uint32) if dq is None else dq
    along = levels.get("spatial", np.zeros(data.shape[2]))
    across = levels.get("dispersion", np.zeros(data.shape[2]))
    return weighted_sum(data, error, dq, weight, share, along, across, bits=BITS, min_fraction=0.5)


def gaussian(n_spatial, n_dispersion, center, sigma=1.1):
    y = np.arange(n_spatial)[:, None]
    profile = np.exp(-0.5 * ((y - center) / sigma) ** 2)
    return profile / profile.sum(axis=0) * np.ones(n_dispersion)


# Pixel i holds the value i, so a sum can be made in the head: an aperture of width 5 on
# 15 holds 13 + 14 + 15 + 16 + 17 = 75; half a pixel lower it holds 5 times 14.5 = 72.5.
@pytest.mark.parametrize(
    ("center", "half_width", "expected"),
    [
        (15.0, 2.5, 75.0),
        (14.5, 2.5, 72.5),
        (15.0, 2.0, 60.0),  # 14, 15, 16 and half of 13 and 17
        (15.25, 0.5, 15.25),  # 0.75 of 15 and 0.25 of 16
        (0.0, 2.5, 3.0),  # the frame ends at 0: 0 + 1 + 2
        (15.0, 0.1, 3.0),  # a fifth of one pixel
    ],
)
def test_row_index_image_is_summed_by_hand(center, half_width, expected):
    data = np.tile(np.arange(31.0)[:, None], (1, 4))[None]
    cover = coverage(np.full(4, center), 31, half_width)
    weight, share = aperture_weights(
        np.divide(cover, cover.sum(axis=0)) * 0 + 1 / cover.sum(axis=0), cover
    )
    flux, *_ = extracted(data, 1.0, weight, share)
    np.testing.assert_allclose(flux, expected, rtol=1e-6)


def test_curved_aperture_follows_the_trace():
    center = np.array([10.0, 12.5, 15.25, np.nan])
    cover = coverage(center, 31, 2.5)
    moment = (np.arange(31)[:, None] * cover).sum(axis=0)
    np.testing.assert_allclose(moment, [50.0, 62.5, 76.25, 0.0])
    np.testing.assert_allclose(cover.sum(axis=0), [5, 5, 5, 0])


def test_value_at_trace_interpolates():
    image = np.arange(5.0)[:, None] * 10 + np.arange(4)
    got = value_at_trace(image, np.array([1.5, 0.0, -0.4, 4.6]))
    np.testing.assert_allclose(got, [15.0, 1.0, 2.0, np.nan])
    assert value_at_trace(image[:1], np.array([0.2, 0.0, 0.0, np.nan]))[0] == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_optimal_sum_is_least_squares(seed):
    rng = np.random.default_rng(seed)
    profile = gaussian(9, 6, 4 + rng.normal(0, 0.4, 6))
    cover = coverage(np.full(6, 4.0), 9, 4.5)
    variance = rng.uniform(0.5, 5, profile.shape)
    data = rng.normal(0, 10, (7, 9, 6))
    weight, share = optimal_weights(profile, variance, cover)
    flux, error, *_ = extracted(data, np.sqrt(variance), weight, share)
    for x in range(6):  # solve D = P f with covariance diag(V) for each column
        inverse = np.diag(1 / variance[:, x])
        norm = profile[:, x] @ inverse @ profile[:, x]
        solved = data[:, :, x] @ inverse @ profile[:, x] / norm
        # float32 data and output: eps 1.2e-7 on sums of terms of order 10
        np.testing.assert_allclose(flux[:, x], solved, atol=1e-5)
        np.testing.assert_allclose(error[:, x], norm**-0.5, rtol=1e-6)


def test_optimal_variance_is_the_scatter():
    rng = np.random.default_rng(5)
    n = 20000
    profile = gaussian(9, 3, 4.2)
    cover = coverage(np.full(3, 4.2), 9, 4.0)
    profile = profile / (cover * profile).sum(axis=0)
    variance = 900.0 * profile + 25.0
    data = 900.0 * profile + rng.normal(0, np.sqrt(variance), (n, *profile.shape))
    for weights in (aperture_weights(profile, cover), optimal_weights(profile, variance, cover)):
        flux, error, *_ = extracted(data, np.sqrt(variance), *weights)
        # relative error of a variance from n samples: sqrt(2 / n) = 1%; three sigma of it
        np.testing.assert_allclose(flux.var(axis=0), error[0] ** 2, rtol=3 * np.sqrt(2 / n))
        np.testing.assert_allclose(flux.mean(axis=0), 900.0, atol=4 * error[0].max() / np.sqrt(n))


def test_optimal_beats_the_box_and_equals_it_where_variance_follows_the_light():
    profile = gaussian(9, 2, 4.0)
    cover = coverage(np.full(2, 4.0), 9, 4.5)
    box, optimal = aperture_weights(profile, cover), None
    for variance, better in ((profile + 1e-9, False), (np.ones_like(profile), True)):
        optimal = optimal_weights(profile, variance, cover)
        _, e_box, *_ = extracted(profile[None], np.sqrt(variance), *box)
        _, e_optimal, *_ = extracted(profile[None], np.sqrt(variance), *optimal)
        assert (
            (e_optimal < 0.8 * e_box).all() if better else np.allclose(e_optimal, e_box, rtol=1e-4)
        )


@pytest.mark.parametrize("method", ["box", "optimal"])
def test_a_masked_pixel_makes_no_dip(method):
    profile = gaussian(9, 5, 4.3)
    cover = coverage(np.full(5, 4.3), 9, 3.0)
    profile = np.where(cover > 0, profile, 0) / (cover * profile).sum(axis=0)
    data = np.repeat(1000.0 * profile[None], 3, axis=0)
    dq = np.zeros(data.shape, np.uint32)
    dq[1, 4, 2] = 16
    data[2, 5, 3] = np.nan
    weights = (
        aperture_weights(profile, cover)
        if method == "box"
        else optimal_weights(profile, profile + 1, cover)
    )
    flux, error, flags, missing = extracted(data, 1.0, *weights, dq=dq)
    np.testing.assert_allclose(flux, 1000.0, rtol=1e-6)
    estimated = (flags & (1 << 28)) != 0
    assert list(zip(*np.nonzero(estimated), strict=True)) == [(1, 2), (2, 3)]
    assert not (flags & 16).any()
    np.testing.assert_allclose(missing[1, 2], weights[1][4, 2], rtol=1e-6)
    assert error[1, 2] > error[0, 2]


def test_masked_pixels_stay_unbiased_and_their_errors_true():
    rng = np.random.default_rng(11)
    n = 6000
    profile = gaussian(9, 4, 4.0)
    cover = coverage(np.full(4, 4.0), 9, 4.5)
    variance = 400.0 * profile + 9.0
    data = 400.0 * profile + rng.normal(0, np.sqrt(variance), (n, 9, 4))
    dq = np.where(rng.random(data.shape) < 0.1, np.uint32(1), np.uint32(0))
    data[dq > 0] = 1e6
    flux, error, flags, _ = extracted(
        data, np.sqrt(variance), *optimal_weights(profile, variance, cover), dq=dq
    )
    good = (flags & 1) == 0
    pull = ((flux - 400.0) / error)[good]
    assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
    assert abs(pull.std() - 1) < 4 / np.sqrt(2 * pull.size)


@pytest.mark.parametrize("along", ["dispersion", "spatial"])
def test_common_level_is_in_the_error(along):
    rng = np.random.default_rng(3)
    n = 8000
    profile = gaussian(9, 4, 4.0)
    cover = coverage(np.full(4, 4.0), 9, 3.0)
    profile = profile / (cover * profile).sum(axis=0)
    variance = np.ones((9, 4))
    level = 2.0
    shape = (n, 1, 4) if along == "dispersion" else (n, 9, 1)
    data = 100 * profile + rng.normal(0, 1, (n, 9, 4)) + rng.normal(0, level, shape)
    for weights in (aperture_weights(profile, cover), optimal_weights(profile, variance, cover)):
        own = level**2 * (np.ones(4) if along == "dispersion" else (weights[0] ** 2).sum(axis=0))
        flux, error, *_ = extracted(data, 1.0, *weights, **{along: own})
        pull = ((flux - 100) / error).std(axis=0)
        np.testing.assert_allclose(pull, 1.0, atol=4 / np.sqrt(2 * n))


def test_columns_without_anything_are_nan_and_flagged():
    profile = gaussian(9, 4, 4.0)
    cover = coverage(np.array([4.0, np.nan, 4.0, 4.0]), 9, 3.0)
    data = np.ones((2, 9, 4))
    data[:, :, 2] = np.nan
    variance = np.ones((9, 4))
    variance[:, 3] = np.nan
    flux, error, flags, missing = extracted(data, 1.0, *optimal_weights(profile, variance, cover))
    assert np.isnan(flux[:, 1:]).all()
    assert np.isnan(error[:, 1:]).all()
    assert np.isfinite(flux[:, 0]).all()
    np.testing.assert_array_equal(flags[:, 1:] & 1, 1)
    assert not (flags[:, 1:] & (1 << 28)).any()
    np.testing.assert_array_equal(missing[:, 1:], 1)


def test_informative_flags_pass_and_little_light_is_of_no_use():
    profile = gaussian(9, 2, 4.0)
    cover = coverage(np.full(2, 4.0), 9, 3.0)
    dq = np.zeros((1, 9, 2), np.uint32)
    dq[0, 4, 0] = 4  # a jump inside the aperture
    dq[0, 0, 0] = 2  # outside it
    dq[0, 3:6, 1] = 1
    flux, _, flags, _ = extracted(np.ones((1, 9, 2)), 1.0, *aperture_weights(profile, cover), dq=dq)
    assert flags[0, 0] == 4
    assert flags[0, 1] & 1
    assert np.isfinite(flux[0, 1])


@given(scale=st.floats(-10, 10), seed=st.integers(0, 50))
def test_linear_in_the_data_and_pure(scale, seed):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(0, 1, (2, 3, 7, 5)).astype(np.float32)
    cover = coverage(rng.uniform(1, 5, 5), 7, 2.2)
    variance = rng.uniform(1, 2, (7, 5))
    profile = rng.uniform(0, 1, (7, 5))
    profile = np.where(cover > 0, profile, 0)
    weights = optimal_weights(profile / (cover * profile).sum(axis=0), variance, cover)
    kept = first.copy(), weights[0].copy()
    total = extracted(first + np.float32(scale) * second, 1.0, *weights)[0]
    parts = extracted(first, 1.0, *weights)[0] + scale * extracted(second, 1.0, *weights)[0]
    np.testing.assert_allclose(total, parts, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(first, kept[0])
    np.testing.assert_array_equal(weights[0], kept[1])


def test_any_strides_give_the_same():
    rng = np.random.default_rng(0)
    data = rng.normal(0, 1, (3, 7, 5)).astype(np.float32)
    turned = np.ascontiguousarray(data.transpose(0, 2, 1)).transpose(0, 2, 1)
    assert not turned.flags.c_contiguous
    cover = coverage(np.full(5, 3.0), 7, 2.0)
    profile = cover / (cover**2).sum(axis=0)
    straight = extracted(data, 1.0, *aperture_weights(profile, cover))
    np.testing.assert_array_equal(
        extracted(turned, 1.0, *aperture_weights(profile, cover))[0], straight[0]
    )


def test_accepted_values_are_used_and_count_as_estimated():
    share = gaussian(9, 3, 4.0)
    weight = np.ones_like(share)
    data = 100.0 * share[None].repeat(2, axis=0)
    data[:, 4, 1] = 7.0  # a value that was put there
    error = np.ones_like(data)
    dq = np.zeros(data.shape, np.uint32)
    dq[:, 4, 1] = 1 | 1 << 28
    dq[:, 3, 2] = 1
    none = np.zeros(3)
    arrays = [a.astype(np.float32) for a in (data, error)]
    taken = (*BITS[:3], 1 << 28)
    flux, _, flags, missing = weighted_sum(
        *arrays, dq, weight, share, none, none, bits=taken, min_fraction=0.5
    )
    by_hand = data[0, :, 1].sum()
    np.testing.assert_allclose(flux[0], [100.0, by_hand, 100.0], rtol=1e-6)
    np.testing.assert_allclose(missing[0], [0.0, share[4, 1], share[3, 2]], atol=1e-6)
    assert ((flags[0] >> 28) & 1).tolist() == [0, 1, 1]
    left_out = weighted_sum(*arrays, dq, weight, share, none, none, bits=BITS, min_fraction=0.5)
    np.testing.assert_allclose(left_out[0][0], 100.0, rtol=1e-6)
    # what is mostly estimated is of no use: the profile's core is a third of the light
    strict = weighted_sum(*arrays, dq, weight, share, none, none, bits=taken, min_fraction=0.7)
    assert (strict[2][0] & 1).tolist() == [0, 1, 0]
