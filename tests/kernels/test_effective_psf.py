"""The effective profile against the light that was painted: pixels, sums and derivatives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from tsoxr.kernels import effective_psf as kernel
from tsoxr.kernels import psf_table
from tsoxr.kernels.extraction import coverage

N_SPATIAL, N_DISPERSION, N_TIME = 20, 320, 24
HALF_WIDTH = 4.0
LIGHT = 3e5
READ = 20.0


def painted(shift, center, sigma, *, wing=0.05):
    """Share of the light in pixels, (spatial, dispersion): two Gaussians, integrated exactly."""
    edge = np.arange(N_SPATIAL + 1)[:, None] - 0.5 - center - shift
    running = (1 - wing) * ndtr(edge / sigma) + wing * ndtr((edge - 0.3) / (2.5 * sigma))
    return np.diff(running, axis=0)


def scene(*, seed=0, sigma=0.65, tilt=2.3, drift=0.3, transit=0.02, noise=1.0):
    """Samples of an exposure that drifts, and its trace and widths."""
    rng = np.random.default_rng(seed)
    column = np.linspace(0.0, 1.0, N_DISPERSION)
    center = 9.1 + tilt * column + 0.4 * column**2
    width = sigma * (1.0 + 0.15 * column)
    spectrum = LIGHT * (0.4 + np.sin(np.pi * column) ** 2)
    shift = drift * (np.arange(N_TIME) / (N_TIME - 1) - 0.5)
    light = 1.0 - transit * (np.abs(np.arange(N_TIME) - N_TIME / 2) < 5)
    truth = np.stack(
        [spectrum * a * painted(s, center, width) for a, s in zip(light, shift, strict=True)]
    )
    error = np.sqrt(np.median(truth, axis=0) + READ**2)
    rate = (truth + noise * error * rng.standard_normal(truth.shape)).astype(np.float32)
    bad = np.zeros(rate.shape, bool)
    samples = kernel.Samples(rate, bad, error, np.ones(error.shape), center, shift)
    return samples, center, width


def misfit(table, center, width, shift):
    """Error of the profile in the aperture, (spatial, dispersion), in units of a column's light."""
    cover = coverage(center, N_SPATIAL, HALF_WIDTH)
    truth = painted(0.0, center, width)
    truth_moved = painted(shift, center, width) / (cover * truth).sum(axis=0)
    found = psf_table.at_trace(table, center, N_SPATIAL, shift)
    return np.where(cover > 0, found - truth_moved, 0.0)


@pytest.mark.parametrize("sigma", [0.55, 1.2])
@pytest.mark.parametrize("seed", range(2))
def test_profile_and_its_motion_are_those_of_the_light(sigma, seed):
    samples, center, width = scene(sigma=sigma, seed=seed)
    table = kernel.effective_psf(samples, HALF_WIDTH)
    # A pixel holds up to 3e5 electrons in 24 integrations: noise 2e-4 to 4e-4 of a column's light. Some
    # forty columns see each place of the profile within a piece: 5e-5; at the ends of the
    # spectrum, where few do, five times as much. A spline with knots at 0.8 widths leaves
    # 1e-4 of what is no Gaussian: here, 5 % of the light in wings
    for shift in (0.0, 0.15, -0.15):
        off = misfit(table, center, width, shift)
        assert np.abs(off).max() < 2e-3
        assert np.abs(off[:, 32:-32]).max() < 1e-3
        assert np.sqrt((off**2).mean()) < 2e-4


def test_light_does_not_depend_on_the_place_within_pixels():
    samples, center, _ = scene(drift=0.0)
    table = kernel.effective_psf(samples, HALF_WIDTH)
    # without motion each column is seen at one place only; pixels that integrate one spline conserve
    # light at any other, but for what the edges of the aperture do: 2e-3 per pixel there, times
    # an eighth for the curve within a pixel, at two edges: 5e-4; at the ends the profile's own error too
    for shift in (0.1, 0.25, -0.25):
        inside = psf_table.at_trace(table, center, N_SPATIAL, shift)
        total = (coverage(center + shift, N_SPATIAL, HALF_WIDTH) * inside).sum(axis=0)
        np.testing.assert_allclose(total, 1.0, atol=1e-3)
        np.testing.assert_allclose(total[32:-32], 1.0, atol=5e-4)


def test_motion_makes_the_profile_of_a_straight_trace():
    """Of a trace along a row only motion shows more than one place of each pixel."""
    samples, center, width = scene(tilt=0.02, drift=1.0)
    center = np.full_like(center, 9.3)
    shift = samples.shift
    light = LIGHT * np.stack([painted(s, center, width) for s in shift])
    rate = light.astype(np.float32)
    moving = samples._replace(rate=rate, center=center)
    table = kernel.effective_psf(moving, HALF_WIDTH)
    assert np.abs(misfit(table, center, width, 0.3)).max() < 2e-3
    ignorant = kernel.effective_psf(moving._replace(shift=0.0 * shift), HALF_WIDTH)
    assert np.abs(misfit(ignorant, center, width, 0.0)).max() > 5e-3  # blurred by 0.3 rms


def test_bad_pixels_have_no_say():
    samples, center, width = scene(seed=3)
    clean = kernel.effective_psf(samples, HALF_WIDTH)
    rng = np.random.default_rng(1)
    rate = samples.rate.copy()
    rate[:, rng.random(rate.shape[1:]) < 0.005] *= 1.4  # a wrong gain of always the same pixels
    rate[rng.random(rate.shape) < 0.002] += 2e5  # hits
    flagged = rng.random(rate.shape) < 0.05
    rate[flagged] = np.nan
    table = kernel.effective_psf(samples._replace(rate=rate, bad=flagged), HALF_WIDTH)
    for each, most in ((clean, 2e-3), (table, 3e-3)):
        assert np.abs(misfit(each, center, width, 0.1)).max() < most


def test_frame_that_ends_in_the_aperture():
    samples, center, width = scene(tilt=0.5)
    cut = 7  # 2.1 pixels below the trace, of an aperture of 4
    part = samples._replace(
        rate=np.ascontiguousarray(samples.rate[:, cut:]),
        bad=samples.bad[:, cut:].copy(),
        error=samples.error[cut:],
        gain=samples.gain[cut:],
        center=center - cut,
    )
    cover = coverage(center - cut, N_SPATIAL - cut, HALF_WIDTH)
    table = kernel.effective_psf(part, HALF_WIDTH)
    found = psf_table.profile_of(table, center - cut, cover)
    truth = painted(0.0, center, width)[cut:]
    truth = np.where(cover > 0, truth / (cover * truth).sum(axis=0), 0.0)
    # at the ends of the spectrum as in a whole frame; the wings beyond the edge are a guess
    assert np.abs(found - truth).max() < 3e-3


def test_nothing_lit_gives_an_empty_table_and_a_uniform_profile():
    samples, center, _ = scene()
    dark = np.random.default_rng(0).normal(0, READ, samples.rate.shape).astype(np.float32)
    dead = samples._replace(rate=dark, error=np.full(samples.error.shape, READ))
    table = kernel.effective_psf(dead, HALF_WIDTH)
    assert table.shape == (psf_table.n_places(HALF_WIDTH), N_DISPERSION)
    assert not table.any()
    cover = coverage(center, N_SPATIAL, HALF_WIDTH)
    np.testing.assert_allclose((cover * psf_table.profile_of(table, center, cover)).sum(axis=0), 1)
    unknown = samples._replace(rate=samples.rate * np.nan, bad=~samples.bad)
    assert not kernel.effective_psf(unknown, HALF_WIDTH).any()


def test_columns_without_trace_or_error_are_left_out():
    samples, center, width = scene()
    holes, errors = center.copy(), samples.error.copy()
    holes[:20], errors[:, 300:] = np.nan, np.nan
    table = kernel.effective_psf(samples._replace(center=holes, error=errors), HALF_WIDTH)
    assert np.isfinite(table).all()
    assert (table >= 0).all()
    off = misfit(table, center, width, 0.0)[:, 25:295]
    assert np.abs(off).max() < 2e-3
    assert not psf_table.at_trace(table, holes, N_SPATIAL)[:, :20].any()


@pytest.mark.parametrize("sigma", [0.5, 1.5])
def test_table_is_interpolated_to_a_millionth(sigma):
    place = psf_table.STEP * (np.arange(psf_table.n_places(3.0)) - psf_table.n_places(3.0) // 2)
    exact = lambda u: ndtr((u + 0.5) / sigma) - ndtr((u - 0.5) / sigma)  # noqa: E731
    table = np.repeat(exact(place)[:, None], 7, axis=1)
    center = np.linspace(6.0, 7.0, 7)
    for shift in (0.0, 0.013, -0.4):
        u = np.arange(13)[:, None] - center - shift
        expected = np.where(np.abs(u) < place[-2], exact(u), 0.0)
        found = psf_table.at_trace(table, center, 13, shift)
        # Lagrange's cubic: 9/384 h^4 f'''' with f'''' below 3 / sigma^4: 7e-6 at 0.5, less for a pixel
        np.testing.assert_allclose(found, expected, atol=5e-6)
