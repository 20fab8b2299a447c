"""The profile along the trace: equations against dense least squares, and known profiles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import BSpline
from scipy.special import erf

from tsoxr.kernels import tilted_profile as tilted
from tsoxr.kernels.extraction import coverage, optimal_weights
from tsoxr.kernels.profile import spatial_profile, window_for


def scene(n_spatial=24, n_dispersion=400, slope=0.02, sigma=0.6, brightness=3e4, flat=0.0, seed=0):
    """Median of 40 images of a tilted trace of pixel-integrated Gaussians, and its truth."""
    rng = np.random.default_rng(seed)
    x = np.arange(n_dispersion)
    center = 11.3 + slope * (x - n_dispersion / 2)
    width = sigma * (1 + 0.2 * x / n_dispersion)
    edge = np.arange(n_spatial + 1)[:, None] - 0.5
    profile = 0.5 * np.diff(erf((edge - center) / (np.sqrt(2) * width)), axis=0)
    profile = profile * (1 + flat * rng.standard_normal(profile.shape))
    spectrum = brightness * (0.3 + np.sin(np.pi * x / n_dispersion)) * (1 - 0.5 * (x % 37 == 3))
    model = profile * spectrum
    variance = (model + 30.0) / 40.0
    image = model + rng.normal(0, np.sqrt(variance))
    cover = coverage(center, n_spatial, 4.0)
    truth = np.where(cover > 0, profile, 0)
    return image, variance, cover, truth / (cover * truth).sum(axis=0), center


def dense_design(across, along, use):
    """Matrix of all unknowns for the pixels ``use``, from the tables, one pixel at a time."""
    (first, overlap, n_curves), (begin, basis, n_splines) = across, along
    rows = []
    for y, x in zip(*np.nonzero(use), strict=True):
        one = np.zeros((n_splines, n_curves))
        curves = np.zeros(n_curves)
        curves[first[y, x] : first[y, x] + overlap.shape[2]] = overlap[y, x]
        one[begin[x] : begin[x] + 4] = basis[x][:, None] * curves
        rows.append(one.ravel())
    return np.array(rows)


def expectation(n_splines, n_curves):
    """Rows of dense least squares that carry what is expected of the coefficients."""
    second = np.diff(np.eye(n_curves), 2, axis=0)
    along = np.diff(np.eye(n_splines), axis=0)
    rows = np.kron(np.eye(n_splines), second), np.kron(along, np.eye(n_curves))
    return np.concatenate(rows) / tilted.CHANGE


@pytest.mark.parametrize("seed", range(3))
def test_the_solution_is_that_of_dense_least_squares(seed):
    rng = np.random.default_rng(seed)
    n_spatial, n_dispersion = 9, 30
    center = 4.0 + 0.05 * np.arange(n_dispersion)
    place = np.arange(n_spatial)[:, None] - center
    place[np.abs(place) > 2.5 + 0.5] = np.nan
    across = tilted.pixel_overlaps(place, 0.75)
    along = tilted.along_basis(n_dispersion, 8)
    light = rng.normal(100, 30, place.shape)
    weight = rng.uniform(0.1, 1, place.shape) * (rng.random(place.shape) < 0.9)
    flux = rng.uniform(0, 300, n_dispersion) * (np.arange(n_dispersion) != 12)
    use = (weight > 0) & np.isfinite(place) & (flux > 0)
    design = dense_design(across, along, use)
    root = np.sqrt(weight[use])
    columns = np.nonzero(use)[1]
    prior = expectation(along[2], across[2])
    rows = np.concatenate([design * (root * flux[columns])[:, None], prior])
    data = np.concatenate([root * light[use], np.zeros(len(prior))])
    solved = np.linalg.lstsq(rows, data, rcond=None)[0]
    got = tilted.fit_shares(light, weight, flux, across, along)
    # normal equations square the condition number, here up to 1e4: 1e8 times the rounding of 1e-16
    np.testing.assert_allclose(got[use], design @ solved, rtol=1e-6, atol=1e-7)
    assert np.isnan(got[~np.isfinite(place)]).all()
    assert np.isfinite(got[np.isfinite(place)]).all()


def dense_overlaps(place, spacing):
    """Matrix (pixel, curve) of the overlaps at places (pixel,)."""
    first, overlap, n_curves = tilted.pixel_overlaps(place[:, None], spacing)
    dense = np.zeros((place.size, n_curves))
    for a in range(overlap.shape[2]):
        dense[np.arange(place.size), first[:, 0] + a] = overlap[:, 0, a]
    return dense


@pytest.mark.parametrize("spacing", [0.5, 0.75, 1.0])
def test_pixels_integrate_the_curves(spacing):
    place = np.arange(-8.3, 9.0)
    dense = dense_overlaps(place, spacing)
    base = np.floor((place.min() - 0.5) / spacing) - 2  # the first curve that reaches the first
    for k in range(dense.shape[1]):
        knots = base + k + np.arange(4)
        curve = BSpline.basis_element(knots, extrapolate=False).antiderivative()
        edge = np.clip(np.append(place - 0.5, place[-1] + 0.5) / spacing, knots[0], knots[-1])
        np.testing.assert_allclose(dense[:, k], np.diff(curve(edge)), atol=1e-12)
    np.testing.assert_allclose(dense.sum(axis=0)[8:-8], 1.0, rtol=1e-12)


def test_curves_follow_a_profile_narrower_than_a_pixel():
    place = np.linspace(-4.5, 4.5, 901)
    edge = np.stack([place - 0.5, place + 0.5]) / (np.sqrt(2) * 0.6)
    profile = 0.5 * np.diff(erf(edge), axis=0)[0]
    dense = dense_overlaps(place, tilted.SPACING)
    rest = profile - dense @ np.linalg.lstsq(dense, profile, rcond=None)[0]
    assert np.abs(rest).max() < 0.002  # of the light; bins of the same width leave 0.028


def test_the_basis_along_the_dispersion():
    first, value, n_splines = tilted.along_basis(2048, 48)
    assert n_splines == round(2048 / 48) + 3
    np.testing.assert_allclose(value.sum(axis=1), 1.0, rtol=1e-12)
    assert (value >= 0).all()
    assert first.min() == 0
    assert first.max() + 4 == n_splines
    # a straight line in the coefficients is one along the columns
    line = (value * (first[:, None] + np.arange(4))).sum(axis=1)
    np.testing.assert_allclose(np.diff(line, 2), 0.0, atol=1e-12)
    assert tilted.along_basis(5, 48)[2] == 4


@pytest.mark.parametrize("slope", [0.0, 0.004, 0.02, 0.04])
@pytest.mark.parametrize("sigma", [0.6, 2.5])
def test_profile_is_the_true_one(slope, sigma):
    image, variance, cover, truth, center = scene(slope=slope, sigma=sigma)
    got = tilted.tilted_profile(image, variance, cover, center)
    np.testing.assert_allclose((cover * got).sum(axis=0), 1.0, rtol=1e-12)
    assert (got >= 0).all()
    assert (got[cover == 0] == 0).all()
    spectrum = (image * cover).sum(axis=0)
    noise = np.sqrt(np.mean((np.sqrt(variance) / spectrum)[cover > 0] ** 2))
    error = np.sqrt(np.mean((got - truth)[cover > 0] ** 2))
    # nine pixels of 48 columns share the 20 unknowns of a piece, so that their error is a fifth of a
    # pixel's, and the curves leave up to 0.0013 of the light, 0.0005 in the rms
    assert error < np.hypot(0.3 * noise, 0.0005)


@pytest.mark.parametrize("seed", range(3))
def test_a_steep_trace_is_measured_better_than_row_by_row(seed):
    image, variance, cover, truth, center = scene(slope=0.05, sigma=1.5, brightness=300, seed=seed)
    along = tilted.tilted_profile(image, variance, cover, center)
    running = spatial_profile(image, variance, cover, window=window_for(center))
    # the running fit has parabolas of 11 columns for each row, the other one 48 columns
    assert np.std(along - truth) < 0.6 * np.std(running - truth)


def test_structure_from_pixel_to_pixel_is_in_it():
    image, variance, cover, truth, center = scene(flat=0.02, brightness=3e5)
    got = tilted.tilted_profile(image, variance, cover, center)
    spectrum = (image * cover).sum(axis=0)
    bright = cover * truth > 0.1
    # the flat changes pixels by 2%; the image knows them to sqrt(variance) / light
    noise = (np.sqrt(variance) / spectrum / np.maximum(truth, 1e-9))[bright]
    error = (got / np.maximum(truth, 1e-9) - 1)[bright]
    assert np.sqrt(np.mean((error / noise) ** 2)) < 1.3
    assert np.std(error) < 0.01


def test_bad_pixels_do_not_enter():
    image, variance, cover, truth, center = scene(slope=0.004)
    image[11, 100] = 1e6
    image[12, 150] = -5e4
    image[11, 200] = np.nan
    variance[10, 50] = 0.0
    got = tilted.tilted_profile(image, variance, cover, center)
    for pixel in ((11, 100), (12, 150), (11, 200), (10, 50)):
        assert abs(got[pixel] - truth[pixel]) < 0.01
        # nor do they reach the columns of their piece
        near = np.abs(got - truth)[:, pixel[1] - 20 : pixel[1] + 20]
        assert near.max() < 0.01


def test_the_profile_goes_on_where_there_is_no_light():
    image, variance, cover, truth, center = scene(slope=0.0, sigma=0.8)
    rng = np.random.default_rng(1)
    image[:, 250:] = rng.normal(0, 1, image[:, 250:].shape)
    variance[:, 250:] = 1.0
    got = tilted.tilted_profile(image, variance, cover, center)
    np.testing.assert_allclose((cover * got).sum(axis=0), 1.0, rtol=1e-12)
    assert np.abs(got - truth)[:, 250:260].max() < 0.05
    # far away it is a profile still: no pixel holds all the light
    assert got[:, 250:].max() < 0.8


def test_frames_without_light_or_aperture():
    image, variance, cover, _, center = scene()
    dark = tilted.tilted_profile(np.zeros_like(image), variance, cover, center)
    np.testing.assert_allclose((cover * dark).sum(axis=0), 1.0, rtol=1e-12)
    lost = tilted.tilted_profile(image * np.nan, variance, cover, center)
    np.testing.assert_allclose((cover * lost).sum(axis=0), 1.0, rtol=1e-12)
    away = tilted.tilted_profile(image, variance, 0 * cover, center)
    assert (away == 0).all()
    holes = np.where(np.arange(center.size) % 50 == 7, np.nan, center)
    part = coverage(holes, image.shape[0], 4.0)
    got = tilted.tilted_profile(image, variance, part, holes)
    assert np.isfinite(got).all()
    assert (got[:, 7] == 0).all()
    np.testing.assert_allclose((part * got).sum(axis=0)[8:50], 1.0, rtol=1e-12)


def test_using_it_costs_no_signal_to_noise():
    image, variance, cover, truth, center = scene(brightness=300.0, seed=4)
    got = tilted.tilted_profile(image, variance, cover, center)
    single = 40.0 * variance

    def error(profile):
        weight, _ = optimal_weights(profile, single, cover)
        weight = weight / (weight * truth).sum(axis=0)
        return np.sqrt((weight**2 * single).sum(axis=0))

    assert np.median(error(got) / error(truth)) < 1.002
    assert np.max(error(got) / error(truth)) < 1.02


def test_inputs_are_untouched():
    image, variance, cover, _, center = scene()
    given = image, variance, cover, center
    before = [a.copy() for a in given]
    tilted.tilted_profile(*given)
    for now, then in zip(given, before, strict=True):
        np.testing.assert_array_equal(now, then)
