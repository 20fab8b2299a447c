"""Sums that grow: against numpy on the whole cube, in blocks of any length."""

import numpy as np
import pytest

from tsoxr.kernels import combination as kernel


def combined(value, error, unusable=None, *, median=False, clip=5.0, blocks=1, light=None):
    n_times, n = value.shape
    unusable = np.zeros(value.shape, bool) if unusable is None else unusable
    light = np.ones(n_times) if light is None else light
    usual = np.median(value / light[:, None], axis=0).astype("f4")
    sigma = np.median(error, axis=0).astype("f4")
    sums = kernel.new_sums(n, median=median)
    for part in np.array_split(np.arange(n_times), blocks):
        kernel.add_block(
            value[part], error[part], unusable[part], np.zeros((part.size, n), np.uint32),
            light[part], usual, sigma, clip, sums["moments"], sums["counts"], sums["common"],
        )  # fmt: skip
    if median:
        return kernel.combined_median(sums["moments"], sums["counts"], usual, sigma, light)
    return kernel.combined_mean(sums["moments"], usual, light)


def data(n_times, n=4000, seed=0):
    rng = np.random.default_rng(seed)
    error = rng.uniform(0.8, 1.25, (n_times, n)).astype("f4")
    return (100 + error * rng.normal(size=(n_times, n))).astype("f4"), error


@pytest.mark.parametrize("n_times", [1, 2, 3, 8, 31, 100])
def test_mean_is_numpys(n_times):
    value, error = data(n_times, 50)
    found, sigma = combined(value, error)
    np.testing.assert_allclose(found, value.mean(axis=0, dtype=float), rtol=1e-6)
    expected = np.sqrt((error.astype(float) ** 2).sum(axis=0)) / n_times
    np.testing.assert_allclose(sigma, expected, rtol=1e-6)


@pytest.mark.parametrize("n_times", [1, 2, 3, 4, 5, 8, 31, 100])
def test_median_is_numpys_to_a_bin_and_its_error_is_honest(n_times):
    value, error = data(n_times)
    found, sigma = combined(value, error, median=True, clip=9.0)
    exact = np.median(value, axis=0)
    width = 2 * kernel.REACH / kernel.N_BINS
    inside = np.abs(value - exact).max(axis=0) < np.inf
    # half a bin for one sample; the width is in units of each pixel's own scatter
    assert np.abs(found - exact)[inside].max() < 0.75 * width * 1.25
    pull = (found - 100) / sigma
    # a standard deviation of 4000 pulls is known to 1.1 %; rounding adds up to 1 %
    assert pull.std() == pytest.approx(1.0, abs=0.045)
    assert abs(pull.mean()) < 4 / np.sqrt(4000) + 0.03


@pytest.mark.parametrize("median", [True, False])
def test_blocks_make_no_difference(median):
    value, error = data(37, 60)
    one = combined(value, error, median=median)
    five = combined(value, error, median=median, blocks=5)
    for a, b in zip(one, five, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("median", [True, False])
def test_missing_samples_in_transit_do_not_make_it_brighter(median):
    light = np.r_[np.ones(20), np.full(10, 0.9)]
    value = (100 * light[:, None] * np.ones((30, 8))).astype("f4")
    unusable = np.zeros(value.shape, bool)
    unusable[20:, :4] = True
    found, _ = combined(value, np.ones_like(value), unusable, median=median, light=light)
    expected = 100 * (np.median(light) if median else light.mean())
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=0.04)


def test_hits_are_left_out_and_nothing_is_nothing():
    value, error = data(12, 10)
    value[3, 2] += 1e4
    unusable = np.zeros(value.shape, bool)
    unusable[:, 7] = True
    found, sigma = combined(value, error, unusable)
    expected = np.delete(value[:, 2], 3).mean()
    assert found[2] == pytest.approx(expected, rel=1e-6)
    assert np.isnan(found[7])
    assert np.isnan(sigma[7])


def test_light_follows_the_bright_pixels():
    rng = np.random.default_rng(0)
    usual = np.r_[np.full(200, 1000.0), np.zeros(300)].astype("f4")
    truth = np.array([1.0, 0.98, 1.01])
    value = (truth[:, None] * usual + rng.normal(size=(3, 500))).astype("f4")
    value[1, :20] = 1e6
    sigma = np.ones(500, "f4")
    found = kernel.light_of(value, np.zeros(value.shape, bool), usual, sigma)
    # 1e-3 noise of each ratio, median of 200
    np.testing.assert_allclose(found, truth, atol=5e-4)
    dark = kernel.light_of(value, np.zeros(value.shape, bool), 0 * usual, sigma)
    assert dark.tolist() == [1.0, 1.0, 1.0]
