"""Scatter over error: unbiased, with the error it states, and blind to what is not noise."""

import numpy as np
import pytest
from scipy.signal import lfilter

from tsoxr.kernels.noise_ratio import in_bins, noise_ratio, relative_error

CHANNELS = 1500


def noise(n_time, seed=0, channels=CHANNELS):
    return np.random.default_rng(seed).normal(size=(n_time, channels))


def ratio_of(flux, error=1.0, sizes=(1,)):
    error = np.broadcast_to(error, flux.shape)
    return noise_ratio(flux, error, np.ones(len(flux), bool), sizes)


@pytest.mark.parametrize("n_time", [30, 100, 400])
def test_unbiased_and_scatters_by_its_error(n_time):
    ratio, error = ratio_of(noise(n_time, seed=n_time))
    expected = relative_error(np.array(n_time - 2))
    # 5 errors of the mean, and the clip of a first scale that is itself uncertain by
    # 1.4 / sqrt(N): 0.6 % at 30
    assert abs(ratio.mean() - 1) < 5 * expected / np.sqrt(CHANNELS) + 0.2 / n_time
    # the standard deviation of 1500 values is known to 1.8 %; tails of few differences add
    assert ratio.std() == pytest.approx(expected, rel=0.07)
    assert error.mean() == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("factor", [0.5, 1.3])
def test_errors_that_change_and_are_wrong_by_a_factor(factor):
    sigma = np.linspace(0.5, 3.0, 300)[:, None] * np.linspace(1, 2, CHANNELS)
    ratio, _ = ratio_of(factor * sigma * noise(300), sigma)
    assert ratio.mean() == pytest.approx(factor, rel=0.01)


def test_level_slope_ramp_and_transit_do_not_count():
    n_time = 400
    t = np.linspace(0, 1, n_time)[:, None]
    # in units of the noise of one point: a trend of 200, a ramp of 20 that decays in a tenth
    # of the exposure, a transit of depth 10 with ingress of 20 integrations
    depth = np.clip(np.minimum(t - 0.35, 0.65 - t) / 0.05, 0, 1)
    shape = 1e4 + 200 * t + 20 * np.exp(-10 * t) - 10 * depth
    with_it, _ = ratio_of(noise(n_time) + shape)
    without, _ = ratio_of(noise(n_time))
    # its corners bend by 0.25 at four places, the ramp by 0.01: in the mean of squares / 1.5
    # that adds 4 * 0.06 / 1.5 / 398 = 4e-4
    assert with_it.mean() == pytest.approx(without.mean(), abs=1e-3)


@pytest.mark.parametrize("size", [8.0, 1e3, np.inf, np.nan])
def test_single_outliers_do_not_count(size):
    flux = noise(400)
    hit = np.random.default_rng(1).random(flux.shape) < 0.01
    ratio, _ = ratio_of(np.where(hit, flux + size, flux))
    assert ratio.mean() == pytest.approx(1.0, abs=0.006)


@pytest.mark.parametrize("rho", [-0.3, 0.3, 0.8])
def test_noise_correlated_in_time(rho):
    flux = lfilter([np.sqrt(1 - rho**2)], [1, -rho], noise(1200, channels=300), axis=0)[200:]
    ratio, _ = ratio_of(flux, sizes=(1, 32))
    assert ratio[0].mean() == pytest.approx(np.sqrt(1 - 4 * rho / 3 + rho**2 / 3), rel=0.01)
    # long bins of AR(1) have sqrt((1 + rho) / (1 - rho)) times the error of white noise, less
    # what neighbouring bins share, of order rho / (1 - rho^2) / 32
    assert ratio[1].mean() == pytest.approx(np.sqrt((1 + rho) / (1 - rho)), rel=0.15)


def test_bins_are_means_with_their_variances():
    value = np.arange(12.0)[:, None] * [1.0, 1.0, 1.0]
    value[1, 1] = np.nan
    value[:3, 2] = np.nan
    mean, variance = in_bins(value, np.full(value.shape, 4.0), 4)
    np.testing.assert_allclose(mean[:, 0], [1.5, 5.5, 9.5])
    np.testing.assert_allclose(variance[:, 0], 1.0)
    assert (mean[0, 1], variance[0, 1]) == pytest.approx((5 / 3, 4 / 3))
    assert np.isnan(mean[0, 2])


def test_integrations_left_out_are_not_bridged():
    flux = noise(200)
    flux[80:] += 1e3  # before and after differ, and are never compared
    use = np.ones(200, bool)
    use[78:82] = False
    ratio, error = noise_ratio(flux, np.ones_like(flux), use)
    assert ratio.mean() == pytest.approx(1.0, abs=0.01)
    assert error.mean() == pytest.approx(relative_error(np.array(200 - 8)), rel=0.02)


def test_too_few_or_no_errors_give_nan():
    assert np.isnan(ratio_of(noise(6))[0]).all()
    assert np.isnan(ratio_of(noise(50), error=0.0)[0]).all()
    assert np.isnan(ratio_of(noise(50), sizes=(16,))[0]).all()
