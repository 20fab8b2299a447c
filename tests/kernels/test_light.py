"""Masks stay off the light: straight, curved, short, many-peaked, with company."""

import numpy as np
import pytest

from tsoxr.kernels import light


def spectrum(center, sigma, lit, *, n_spatial=32, flux=1000.0, noise=1.0, seed=1):
    """Return a Gaussian trace (spatial, dispersion) on noise, dark where not lit."""
    rows = np.arange(n_spatial)[:, None]
    n_dispersion = max(np.size(center), np.size(lit))
    along = np.zeros(512 if n_dispersion == 1 else n_dispersion) + center
    image = flux * lit * np.exp(-0.5 * ((rows - along) / sigma) ** 2)
    return image + np.random.default_rng(seed).normal(0, noise, image.shape)


def everything(image):
    return np.ones(image.shape, bool)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_median_and_sigma_pass_over_nan(axis):
    values = np.random.default_rng(3).normal(5.0, 2.0, (7, 10))
    values[np.random.default_rng(4).random(values.shape) < 0.3] = np.nan
    middle, sigma = light.median_and_sigma(values, axis=axis)
    expected = np.nanmedian(values, axis=axis, keepdims=True)
    np.testing.assert_array_equal(middle, expected)
    away = np.nanmedian(np.abs(values - expected), axis=axis, keepdims=True)
    np.testing.assert_array_equal(sigma, 1.4826 * away)


def test_median_and_sigma_of_nothing_are_zero():
    middle, sigma = light.median_and_sigma(np.full((4, 2), np.nan), axis=0)
    np.testing.assert_array_equal([*middle[0], *sigma[0]], 0.0)


def test_straight_trace():
    x = np.arange(512)
    truth = 15.0 + 0.002 * x
    image = spectrum(truth, 0.7, 1.0)
    center, lit = light.center_line(image, everything(image))
    assert lit.all()
    # centroids of S/N 1000 and a line fit: far below the pixel that a mask needs
    np.testing.assert_allclose(center, truth, atol=0.05)


def test_curved_trace_with_two_horns_and_a_brighter_spot():
    """Like SOSS: horns at +-7.5 pixels, a strong curve, a contaminant brighter than the spectrum."""
    x = np.arange(2048)
    u = (x - 1500) / 1000
    truth = 40 + 25 * u**2 + 6 * u**3
    image = spectrum(truth - 7.5, 2.0, 1.0, n_spatial=256) + spectrum(
        truth + 7.5, 2.0, 1.0, n_spatial=256, seed=2
    )
    image[190:200, 700:740] += 5000.0
    center, _ = light.center_line(image, everything(image))
    inside = truth < 240
    assert np.abs(center - truth)[inside].max() < 2.0


def test_hot_pixels_do_not_matter():
    image = spectrum(15.0, 0.8, 1.0)
    expected = light.center_line(image, everything(image))[0]
    rng = np.random.default_rng(3)
    image[rng.integers(0, 32, 100), rng.integers(0, 512, 100)] = 1e5
    center, _ = light.center_line(image, everything(image))
    np.testing.assert_allclose(center, expected, atol=0.3)


def test_dark_positions_are_background_throughout():
    x = np.arange(2048)
    lit = (x > 200) & (x < 1500)
    image = spectrum(30.0, 1.2, lit, n_spatial=64)
    found = light.background_pixels(image, everything(image), 10.0)
    assert found[:, :190].mean() > 0.99
    assert found[:, 1510:].mean() > 0.99
    assert not found[21:40, 210:1490].any()
    assert found[:19, 210:1490].mean() > 0.99


def test_a_second_order_is_left_out():
    first, second = (
        spectrum(20.0, 3.0, 1.0, n_spatial=96),
        spectrum(70.0, 4.0, 0.1, n_spatial=96, seed=4),
    )
    found = light.background_pixels(first + second, everything(first), 15.0)
    assert not found[66:75].any()
    assert found[40:55].mean() > 0.95


def test_bad_pixels_are_never_background():
    image = spectrum(15.0, 0.8, 1.0)
    good = everything(image)
    good[2], image[3, 5] = False, np.nan
    found = light.background_pixels(image, good, 5.0)
    assert not found[2].any()
    assert not found[3, 5]


def test_no_light_at_all():
    image = np.random.default_rng(5).normal(0, 1, (32, 200))
    center, lit = light.center_line(image, everything(image))
    assert np.isnan(center).all()
    assert not lit.any()
    assert light.background_pixels(image, everything(image), 8.0).mean() > 0.99


def test_point_source_with_many_peaks():
    y, x = np.mgrid[:64, :200]
    ring = np.exp(-0.5 * ((np.hypot(y - 30, x - 90) - 15) / 2.0) ** 2) * (
        1 + 0.5 * np.cos(6 * np.arctan2(y - 30, x - 90))
    )
    image = 1000 * ring + np.random.default_rng(6).normal(0, 1, ring.shape)
    distance = light.distance_from_light(image, everything(image), point_source=True)
    assert distance[30, 90] < 1.5
    assert distance[30, 190] == pytest.approx(100, abs=1.5)
    found = light.background_pixels(image, everything(image), 30.0, point_source=True)
    assert not found[np.hypot(y - 30, x - 90) < 28].any()
    assert found[np.hypot(y - 30, x - 90) > 32].mean() > 0.95


def test_wings_stand_above_the_darkest():
    rows = np.arange(40.0)[:, None]
    image = 3.0 + np.maximum(20.0 - rows, 0.0) * np.ones((1, 5))
    usable = np.ones((40, 5), bool)
    usable[:4], usable[:, 4] = False, False
    found = light.wings(image, usable)
    np.testing.assert_allclose(found[4:, :4], image[4:, :4] - 3.0, atol=1e-5)
    np.testing.assert_array_equal(found[:4], 0.0)
    np.testing.assert_array_equal(found[:, 4], 0.0)


def test_bright_pixels():
    image = spectrum(15.0, 1.0, 1.0)
    good = everything(image)
    good[15, 100] = False
    found = light.bright_pixels(image, good)
    assert found[15].sum() == 511
    assert not found[:12].any()
    assert not light.bright_pixels(image, np.zeros_like(good)).any()


@pytest.mark.real_data
def test_real_soss_frame(real_data_dir):
    """Order 1 of WASP-39 is found to the few pixels by which published traces differ from a mask's needs."""
    folder = real_data_dir / "niriss_soss"
    frame = np.load(next(folder.glob("*substrip256_median_frame.npy")))
    center, lit = light.center_line(frame, everything(frame))
    # reference trace of order 1 at the nominal wheel position; this visit lies 2 to 3 pixels higher
    nominal = {100: 80.55, 500: 64.20, 1000: 47.04, 1500: 39.20, 1750: 44.76, 2000: 67.85}
    assert lit.mean() > 0.95
    for x, y in nominal.items():
        assert abs(center[x] - y - 2.4) < 1.0


def test_without_a_star_no_pixel_is_bright():
    rng = np.random.default_rng(8)
    dark = 3.0 + rng.normal(0.0, 2.0, (32, 128))
    good = np.ones(dark.shape, bool)
    assert not light.bright_pixels(dark, good).any()
    dark[15] += 200.0
    assert light.bright_pixels(dark, good)[15].all()
    assert light.bright_pixels(dark, good).sum() == 128
