"""The spatial profile against the one that made the image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from tsoxr.kernels.extraction import coverage
from tsoxr.kernels.profile import (
    median_images,
    smooth_along_dispersion,
    spatial_profile,
    window_for,
)


def scene(n_spatial=24, n_dispersion=300, slope=0.004, sigma=0.8, brightness=3e4, flat=0.0, seed=0):
    """Image of a tilted trace of pixel-integrated Gaussians, its noise and its truth."""
    rng = np.random.default_rng(seed)
    x = np.arange(n_dispersion)
    center = 11.3 + slope * (x - n_dispersion / 2)
    edge = np.arange(n_spatial + 1)[:, None] - 0.5
    profile = 0.5 * np.diff(erf((edge - center) / (np.sqrt(2) * sigma)), axis=0)
    profile = profile * (1 + flat * rng.standard_normal(profile.shape))
    spectrum = brightness * (0.3 + np.sin(np.pi * x / n_dispersion)) * (1 - 0.5 * (x % 37 == 3))
    model = profile * spectrum
    variance = (model + 30.0) / 40.0
    image = model + rng.normal(0, np.sqrt(variance))
    cover = coverage(center, n_spatial, 4.0)
    truth = np.where(cover > 0, profile, 0)
    return image, variance, cover, truth / (cover * truth).sum(axis=0), center


def test_the_window_follows_the_slope():
    x = np.arange(200.0)
    assert window_for(np.full(200, 5.0)) == 31
    assert window_for(5 + 0.04 * x) == 13
    assert window_for(5 + 0.5 * x) == 5
    assert window_for(np.full(3, np.nan)) == 31


def test_a_parabola_is_recovered_exactly():
    x = np.arange(60.0)
    share = 0.2 + 0.001 * x - 2e-5 * x**2
    flux = 100 + 30 * np.cos(x)
    image = (share * flux)[None]
    fit = smooth_along_dispersion(image, np.ones((1, 60)), flux, 15)
    np.testing.assert_allclose(fit[0], share, rtol=1e-9)


def test_too_few_columns_give_a_constant_or_nan():
    flux = np.ones(9)
    weight = np.zeros((1, 9))
    weight[0, :1] = 1.0
    fit = smooth_along_dispersion(np.full((1, 9), 0.3), weight, flux, 5)
    np.testing.assert_allclose(fit[0, :3], 0.3)
    assert np.isnan(fit[0, 3:]).all()


@pytest.mark.parametrize("flat", [0.0, 0.02])
@pytest.mark.parametrize("slope", [0.0, 0.004, 0.08])
def test_profile_is_the_true_one(slope, flat):
    image, variance, cover, truth, center = scene(slope=slope, flat=flat)
    got = spatial_profile(image, variance, cover, window=window_for(center))
    np.testing.assert_allclose((cover * got).sum(axis=0), 1.0, rtol=1e-12)
    assert (got >= 0).all()
    assert (got[cover == 0] == 0).all()
    spectrum = (image * cover).sum(axis=0)
    noise = np.sqrt(variance) / spectrum
    # no pixel is further off than the noise of the image allows, and in the rms the
    # running fit does better than the image itself wherever the pixels are alike
    rms = np.sqrt(np.mean(((got - truth) / noise)[cover > 0] ** 2))
    assert rms < (1.1 if flat or slope > 0.01 else 0.6)


@pytest.mark.parametrize("flat", [0.0, 0.02])
def test_using_it_costs_no_signal_to_noise(flat):
    image, variance, cover, truth, center = scene(brightness=300.0, flat=flat, seed=4)
    got = spatial_profile(image, variance, cover, window=window_for(center))
    single = 40.0 * variance  # the variance of one integration of 40

    def error(profile):
        weight = profile / single
        weight = weight / (weight * truth).sum(axis=0)
        return np.sqrt((weight**2 * single).sum(axis=0))

    assert np.median(error(got) / error(truth)) < 1.005
    assert np.max(error(got) / error(truth)) < 1.05


def test_bad_pixels_do_not_enter():
    image, variance, cover, truth, center = scene()
    image[11, 100] = 1e6
    image[12, 150] = -5e4
    image[11, 200] = np.nan
    variance[10, 50] = 0.0
    got = spatial_profile(image, variance, cover, window=window_for(center))
    for pixel in ((11, 100), (12, 150), (11, 200), (10, 50)):
        assert abs(got[pixel] - truth[pixel]) < 0.01
        column = np.abs(got - truth)[:, pixel[1]]
        assert column.max() < 0.015


def test_columns_without_light_are_uniform():
    image, variance, cover, *_ = scene()
    image[:, :120] = np.nan
    got = spatial_profile(image, variance, cover, window=31)
    np.testing.assert_allclose(got[:, 20][cover[:, 20] > 0], 1 / cover[:, 20].sum())
    assert got[:, 119].max() > 0.3  # the fit reaches over the edge


def test_inputs_are_untouched():
    image, variance, cover, *_ = scene()
    before = image.copy(), variance.copy(), cover.copy()
    spatial_profile(image, variance, cover, window=31)
    for now, then in zip((image, variance, cover), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_medians_of_the_usable_samples():
    rng = np.random.default_rng(0)
    data = rng.normal(5, 1, (9, 4, 37)).astype(np.float32)
    error = rng.uniform(1, 2, data.shape).astype(np.float32)
    flags = np.where(rng.random(data.shape) < 0.2, np.uint32(3), np.uint32(2))
    data[2, 1, 5], error[3, 1, 5], error[4, 1, 5] = np.nan, 0.0, np.inf
    flags[:, 2, 20] = 1
    bad = ((flags & 1) != 0) | ~np.isfinite(data) | ~(error > 0) | ~np.isfinite(error)
    got = median_images(data, error, flags, np.uint32(1))
    lost = bad.all(axis=0)
    assert lost[2, 20]
    for image, values in zip(got[:2], (data, error), strict=True):
        masked = np.where(bad, np.nan, values)
        np.testing.assert_array_equal(np.isnan(image), lost)
        np.testing.assert_allclose(image[~lost], np.nanmedian(masked[:, ~lost], axis=0), rtol=1e-6)
    np.testing.assert_array_equal(got[2], (~bad).sum(axis=0))
