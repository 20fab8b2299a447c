"""Medians and noise of pixels in time."""

import numpy as np
import pytest

from tsoxr.kernels import outliers as kernel


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("f4")


def measured(rate, *, unusable=None, fits=None, templates=None, index=None):
    n_time, *detector = rate.shape
    unusable = np.zeros(rate.shape, bool) if unusable is None else unusable
    fits = np.zeros((n_time, 4)) if fits is None else fits
    templates = np.zeros((5, *detector), "f4") if templates is None else templates
    index = np.arange(n_time) if index is None else index
    return kernel.pixel_noise(rate, unusable, fits, templates, index, True)


def test_masked_median_is_nanmedian():
    rate = noise((9, 6, 40))
    rng = np.random.default_rng(1)
    unusable = rng.random(rate.shape) < 0.4
    rate[2, 0, 0] = np.nan
    unusable[:, 3, 3] = True
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="All-NaN"):
        expected = np.nanmedian(np.where(unusable, np.nan, rate), axis=0)
    np.testing.assert_array_equal(kernel.masked_median(rate, unusable), expected)


def test_noise_of_white_noise():
    n_time = 96
    short, total, n, m = measured(3 * noise((n_time, 30, 40)))
    assert (n == n_time - 2).all()
    assert (m == n_time).all()
    for found, unit, size in ((short, kernel.DIFFERENCE_NOISE, n), (total, kernel.MAD_NOISE, m)):
        # 1200 pixels, each uncertain by 14 or 12 %: the mean to 0.4 %; medians are biased by 1 %
        assert abs(found.mean() / 3 - 1) < 0.02
        assert (found / 3).std() == pytest.approx(unit / np.sqrt(size[0, 0]), rel=0.15)


def test_noise_from_one_integration_to_the_next_ignores_slow_change_and_gaps_between_runs():
    rate = noise((96, 6, 8))
    index = np.arange(96) + 50 * (np.arange(96) // 12)
    slow = np.linspace(0, 5, 96)[:, None, None] + 1e3 * (np.arange(96) // 12)[:, None, None]
    plain = measured(rate, index=index)
    moved = measured((rate + slow).astype("f4"), index=index)
    np.testing.assert_allclose(moved[0], plain[0], rtol=0.05)
    assert (moved[1] > 100).all()
    assert (plain[2] == 80).all()


def test_light_and_shift_make_no_noise():
    rate, rng = noise((60, 6, 8)), np.random.default_rng(3)
    fits = np.concatenate([rng.normal(size=(60, 3)), np.ones((60, 1))], axis=1)
    templates = rng.uniform(50, 100, (5, 6, 8)).astype("f4")
    moved = rate + np.einsum("tk,kyx->tyx", fits[:, :3], templates[:3]).astype("f4")
    got = measured(moved.astype("f4"), fits=fits, templates=templates)
    np.testing.assert_allclose(got, measured(rate), rtol=1e-3)


def test_factors_are_common_unless_a_pixel_is_noisier():
    error = np.full((40, 40), 2.0, "f4")
    error[20:] = 5.0
    rate = noise((96, 40, 40)) * error * 1.3
    rate[:, 3, 3] *= 6.0
    factors = kernel.width_factors(measured(rate.astype("f4")), error)
    assert factors[0, 3, 3] == pytest.approx(7.8 / 1.14, rel=0.4)
    factors[:, 3, 3] = np.nan
    # own scatter lowered by its uncertainty exceeds the common level for one pixel in six
    assert np.nanmedian(factors) == pytest.approx(1.3, rel=0.02)
    # the median of a class of 133 is good to 1.5 %, and there are 24 of them
    assert np.nanmin(factors) > 0.93 * 1.3
    assert np.nanmax(factors) < 1.3 * 1.6


def test_three_integrations_share_one_factor():
    error = np.ones((40, 40), "f4")
    factors = kernel.width_factors(measured(2 * noise((3, 40, 40), seed=4)), error)
    # one difference per pixel, 133 pixels a class: the median of their sizes to 10 %
    np.testing.assert_allclose(factors[0], 2.0, rtol=0.35)
    assert np.unique(factors[0]).size <= kernel.CLASSES


def test_nothing_known_leaves_the_prediction():
    error = np.full((4, 4), np.nan, "f4")
    factors = kernel.width_factors(measured(np.full((20, 4, 4), np.nan, "f4")), error)
    np.testing.assert_array_equal(factors, 1.0)
    np.testing.assert_array_equal(kernel.class_factors(measured(noise((2, 4, 4))), error), 1.0)


def test_noise_without_the_prediction_may_be_lower():
    error = np.ones((30, 30), "f4")
    rate = noise((96, 30, 30))
    rate[:, 5, 5] *= 0.2
    both = [kernel.width_factors(measured(rate), error, p)[0, 5, 5] for p in (True, False)]
    assert both[0] == pytest.approx(1.0, rel=0.05)
    assert both[1] == pytest.approx(0.2, rel=0.5)
