"""Ridge, centroids and curve: against brute force and against the positions put in."""

import itertools

import numpy as np
import pytest
from scipy.special import erf

from tsoxr.kernels import ridge
from tsoxr.kernels import trace as kernel

N_Y, N_X = 32, 256


def parabola(n=N_X, middle=15.3):
    u = np.linspace(-1, 1, n)
    return middle + 1.2 * u**2 - 0.4 * u


def spectrum(center, *, sigma=0.7, flux=2000.0, n_y=N_Y):
    """Return a Gaussian profile integrated over pixels, (spatial, dispersion)."""
    y = np.arange(n_y)[:, None]
    edge = lambda s: erf((y + s - center) / (sigma * np.sqrt(2)))  # noqa: E731 -- both edges of a pixel
    return 0.5 * flux * (edge(0.5) - edge(-0.5))


def noisy(image, seed=0, gain=20.0, read=1.0):
    error = np.sqrt(read**2 + np.maximum(image, 0) / gain)
    return image + error * np.random.default_rng(seed).normal(size=image.shape), error


def test_best_path_is_the_best_of_all_paths():
    gain = np.random.default_rng(2).normal(size=(5, 4))
    allowed = [p for p in itertools.product(range(4), repeat=5) if np.abs(np.diff(p)).max() <= 1]
    best = max(allowed, key=lambda p: sum(gain[i, y] for i, y in enumerate(p)))
    np.testing.assert_array_equal(ridge._best_path(gain, 1), best)


def test_ridge_is_not_captured_by_a_contaminant():
    center = parabola()
    image, error = noisy(spectrum(center))
    image[24:28, 100:116] += 10 * image.max()
    brightest = image.argmax(axis=0)
    assert np.abs(brightest - center).max() > 8
    path = ridge.follow_ridge(image, error, 4.0)
    # the path is a whole number of pixels in blocks of eight lines
    assert np.abs(path - center).max() < 1.5


def test_ridge_follows_a_steep_spectrum_through_bad_pixels():
    center = np.linspace(6, 90, N_X)
    image, error = noisy(spectrum(center, n_y=100, sigma=1.5))
    image[np.random.default_rng(0).random(image.shape) < 0.02] = np.nan
    image[:, 40:48] = np.nan
    path = ridge.follow_ridge(image, error, 4.0)
    clear = np.r_[0:30, 60:N_X]
    assert np.abs(path - center)[clear].max() < 3


def test_centroids_scatter_as_predicted():
    center = parabola()
    image, error = noisy(spectrum(center))
    found, found_error, _, significance = kernel.centroids(image, error, np.round(center), 4.0)
    pull = (found - center) / found_error
    assert (significance > 100).all()
    # 256 pulls: mean to 1/16, width to 1/22; the window adds what leaves it, below 1 %
    assert abs(pull.mean()) < 4 / 16
    assert abs(pull.std() - 1) < 4 / 22


@pytest.mark.parametrize("sigma", [0.45, 0.7, 1.5])
def test_undersampled_profiles_are_centred_as_well_as_pixels_allow(sigma):
    center = np.linspace(14.0, 16.0, N_X)  # all phases of a pixel
    image = spectrum(center, sigma=sigma)
    found = kernel.centroids(image, np.ones_like(image), np.round(center), 8.0)[0]
    # pixels alias: the centroid of their values is off by up to exp(-2 pi^2 sigma^2) / pi
    assert np.abs(found - center).max() < 1.05 * np.exp(-2 * np.pi**2 * sigma**2) / np.pi + 1e-4


def test_a_constant_moves_no_centroid():
    center = parabola()
    image, ones = spectrum(center, sigma=1.0), np.ones((N_Y, N_X))
    start = np.round(center)
    plain = kernel._settle
    for x in range(0, N_X, 16):
        without, with_constant = (plain(image[:, x] + c, start[x], 5.0, 0.0) for c in (0.0, 50.0))
        assert with_constant == pytest.approx(without, abs=1e-4)
    assert np.isfinite(kernel.centroids(image + 50, ones, start, 5.0)[0]).all()


def test_width_of_a_gaussian():
    image = spectrum(parabola(), sigma=1.5)
    fwhm = kernel.centroids(image, np.ones_like(image), parabola(), 6.0)[2]
    # 2.355 times the width of the profile and the pixel (1/12) together
    np.testing.assert_allclose(fwhm, 2.355 * np.hypot(1.5, 12**-0.5), rtol=0.02)


def test_measure_knows_where_there_is_light():
    flux = np.where(np.abs(np.arange(N_X) - 120) < 70, 2000.0, 0.0)
    image, error = noisy(spectrum(parabola(), flux=flux))
    image[5, 10] = image[5, 30] = image[20, 220] = 1e4  # hot pixels in the dark
    image[:, 100] = np.nan
    found = kernel.measure(image, error, 4.0)
    lit = np.flatnonzero(np.isfinite(found[0]))
    assert 50 <= lit[0] <= 52
    assert 188 <= lit[-1] <= 190
    assert np.isfinite(found[0, 100])  # bridged from both sides


def test_noise_alone_is_no_spectrum():
    image, error = noisy(np.zeros((N_Y, 2048)))
    image[np.random.default_rng(1).integers(0, N_Y, 50), np.arange(50) * 40] += 500
    assert not np.isfinite(kernel.measure(image, error, 4.0)).any()


def test_nothing_usable_is_no_spectrum():
    image = np.full((N_Y, N_X), np.nan)
    assert not np.isfinite(kernel.measure(image, image, 4.0)).any()


def test_a_window_cut_by_the_edge_measures_nothing():
    center = np.linspace(2.0, 12.0, N_X)
    image, error = noisy(spectrum(center))
    found = kernel.measure(image, error, 4.0)[0]
    assert np.isnan(found[center < 3.4]).all()
    assert np.isfinite(found[center > 4.0]).mean() > 0.98


def test_second_spectrum_is_found_when_the_first_is_covered():
    first, second = parabola(middle=12.0), parabola(middle=40.0)
    image, error = noisy(spectrum(first, n_y=64) + spectrum(second, n_y=64, flux=200.0))
    for rank, center in ((1, first), (2, second)):
        found = kernel.measure(image, error, 4.0, rank)[0]
        assert np.nanmedian(np.abs(found - center)) < 0.1
        assert np.isfinite(found).mean() > 0.95


def test_longest_run_bridges_short_gaps_only():
    significance = np.zeros(1000)
    significance[100:300] = significance[315:400] = significance[500:600] = 50.0
    assert kernel.longest_run(significance, 10.0) == (100, 399)
    assert kernel.longest_run(np.zeros(10), 10.0) == (0, -1)


def test_curve_recovers_a_polynomial_in_spite_of_outliers():
    center = parabola()
    measured = center + np.random.default_rng(3).normal(0, 0.01, N_X)
    measured[::17] += 0.8
    measured[40:50] = np.nan
    curve, used = kernel.smooth_curve(measured, np.full(N_X, 0.01), 2)
    assert not used[::17].any()
    assert not used[40:50].any()
    # three coefficients from 230 points of 0.01: below 0.01 sqrt(9 / 230) at the ends
    assert np.abs(curve - center).max() < 5 * 0.002


def test_curve_goes_on_along_its_tangent():
    line = np.arange(400.0)
    center = 10 + 3e-5 * (line - 150) ** 2
    measured = np.where((line >= 100) & (line <= 300), center, np.nan)
    curve, _ = kernel.smooth_curve(measured, np.full(400, 0.01), 6)
    np.testing.assert_allclose(np.diff(curve[300:]), 6e-5 * 150, rtol=1e-3)
    np.testing.assert_allclose(np.diff(curve[:101]), -6e-5 * 50, rtol=1e-3)


def test_curve_needs_enough_centroids():
    with pytest.raises(ValueError, match="2 centroids; a series of degree 3 needs more"):
        kernel.smooth_curve(np.array([np.nan, 1.0, 2.0]), np.ones(3), 3)


def test_gaps_are_filled_from_both_sides():
    image = np.arange(20.0)[None, :] * np.ones((3, 1))
    gaps = image.copy()
    gaps[1, 5:7] = gaps[2, 0] = np.nan
    gaps[0] = np.nan
    filled = ridge.fill_from_neighbours(gaps)
    np.testing.assert_array_equal(filled[1, 5:7], [5.5, 5.5])
    assert filled[2, 0] == 1.0
    assert np.isnan(filled[0]).all()
    assert np.isnan(gaps[1, 5])
