"""Background levels: against dense least squares, Monte Carlo, and what was put in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsoxr.kernels import background as kernel

N_T, N_Y, N_X = 40, 24, 30


def data(seed=0, level=3.0):
    rng = np.random.default_rng(seed)
    rate = (level + rng.normal(size=(N_T, N_Y, N_X))).astype("f4")
    return rate, np.ones_like(rate), np.zeros(rate.shape, bool)


def center():
    return np.linspace(10.0, 13.0, N_X)


def region(rate, half_width=5.0, **more):
    return kernel.background_region(np.median(rate, axis=0), center(), half_width, **more)


@given(st.integers(0, 1000), st.sampled_from([0, 1]))
def test_levels_are_least_squares(seed, order):
    rate, error, unusable = data(seed)
    where = region(rate)
    level, slope = kernel.line_levels(rate, error, unusable, where, center(), order, np.inf)
    for x in (0, 13, N_X - 1):
        rows = np.flatnonzero(np.isfinite(where[:, x]))
        design = np.vander(rows - center()[x], order + 1, increasing=True)
        expected = np.linalg.lstsq(design, rate[:, rows, x].T.astype(float))[0]
        np.testing.assert_allclose(level[:, x], expected[0], atol=1e-5)
        np.testing.assert_allclose(slope[:, x], expected[1] if order else 0.0, atol=1e-6)


def test_a_missing_sample_on_a_gradient_changes_nothing_but_noise():
    rate, error, unusable = data()
    rate += 2 * np.arange(N_Y, dtype="f4")[:, None]
    where = region(rate, half_width=4.0)
    full, _ = kernel.line_levels(rate, error, unusable, where, center(), 0, np.inf)
    x = 7
    brightest = np.nanargmax(where[:, x])
    unusable[5, brightest, x] = True
    missing, _ = kernel.line_levels(rate, error, unusable, where, center(), 0, np.inf)
    changed = np.argwhere(missing != full)
    np.testing.assert_array_equal(changed, [[5, x]])
    n = np.isfinite(where[:, x]).sum()
    # one sample of unit noise in n is left out, its gradient of several units is not
    assert where[brightest, x] - np.nanmean(where[:, x]) > 5
    assert abs(missing[5, x] - full[5, x]) < 4 * np.sqrt(1 + 1 / n) / n


def test_hits_are_left_out():
    rate, error, unusable = data()
    where = region(rate)
    clean, _ = kernel.line_levels(rate, error, unusable, where, center(), 0, 5.0)
    rate[3, 1, 4] += 1e4
    hit, _ = kernel.line_levels(rate, error, unusable, where, center(), 0, 5.0)
    n = np.isfinite(where[:, 4]).sum()
    assert abs(hit[3, 4] - clean[3, 4]) < 5 / n


def test_a_change_common_to_the_line_is_no_hit():
    rate, error, unusable = data()
    where = region(rate)
    rate[3] += 500.0
    level, _ = kernel.line_levels(rate, error, unusable, where, center(), 0, 5.0)
    # mean of at least ten pixels of unit noise
    assert np.abs(level[3] - 503.0).max() < 5 / np.sqrt(10)


@pytest.mark.parametrize("order", [0, 1])
def test_variance_is_that_of_many_realisations(order):
    rng = np.random.default_rng(9)
    error = rng.uniform(0.5, 2.0, (N_Y, N_X))
    n_times = 4000
    rate = (error * rng.normal(size=(n_times, N_Y, N_X))).astype("f4")
    where = np.where(np.abs(np.arange(N_Y)[:, None] - center()) > 5, 0.0, np.nan)
    errors = np.broadcast_to(error.astype("f4"), rate.shape).copy()
    unusable = np.zeros(rate.shape, bool)
    level, _ = kernel.line_levels(rate, errors, unusable, where, center(), order, np.inf)
    predicted = kernel.level_variance(error, where, center(), order)
    # a variance from 4000 samples is known to sqrt(2 / 4000) = 2.2 %
    np.testing.assert_allclose(level.var(axis=0), predicted, rtol=5 * 0.022)


def test_region_leaves_out_spectrum_hot_pixels_and_missing_ones():
    rate, _, _ = data()
    median = np.median(rate, axis=0)
    median[1, 3] = 400.0
    median[2, 3] = np.nan
    where = kernel.background_region(median, center(), 5.0)
    inside = np.isfinite(where)
    assert not inside[1, 3]
    assert not inside[2, 3]
    assert not (inside & (np.abs(np.arange(N_Y)[:, None] - center()) <= 5)).any()
    np.testing.assert_array_equal(where[inside], median[inside])


def test_darkest_part():
    # a gradient of 10 sigma of the median's noise from row to row: its dark end is kept
    median = np.median(data()[0], axis=0) + 2.0 * np.arange(N_Y)[:, None]
    part = kernel.background_region(median, center(), 5.0, 0.3)
    for x in range(N_X):
        candidates = np.flatnonzero(np.abs(np.arange(N_Y) - center()[x]) > 5)
        kept = np.flatnonzero(np.isfinite(part[:, x]))
        np.testing.assert_array_equal(kept, candidates[: round(0.3 * candidates.size)])


def test_lines_without_enough_pixels_are_filled_from_their_neighbours():
    rate, error, unusable = data()
    median = np.median(rate, axis=0)
    median[:, 10] = np.nan
    median[2:, 11] = np.nan
    where = kernel.background_region(median, center(), 5.0)
    level, _ = kernel.line_levels(rate, error, unusable, where, center(), 0, 5.0)
    assert np.isnan(level[:, 10:12]).all()
    filled = kernel.fill_lines(level)
    x = np.arange(N_X)
    known = np.isfinite(level[0])
    np.testing.assert_array_equal(filled[0], np.interp(x, x[known], level[0, known]))
    assert np.isnan(kernel.fill_lines(np.full((2, 3), np.nan))).all()


def test_the_darkest_pixels_are_not_dark_by_their_own_noise():
    # chosen by its own value, the darkest third of Gaussian noise lies 1.1 sigma low
    rate, *_ = data()
    median = np.median(rate, axis=0)
    where = kernel.background_region(median, center(), 5.0, darkest=0.3)
    n = np.isfinite(where).sum()
    assert n < 0.4 * np.isfinite(region(rate)).sum()
    noise = np.sqrt(np.pi / 2 / N_T)
    # the mean of n medians of N_T values of unit noise
    assert abs(np.nanmean(where) - 3.0) < 4 * noise / np.sqrt(n)
