"""Derivatives of frames of pixels: against profiles that are integrated finely."""

import numpy as np
import pytest
from scipy.special import erf

from tsoxr.kernels import gaussian_lines, templates
from tsoxr.kernels.profile_spline import cubic_spline

Y = np.arange(32.0)[:, None]


def gaussian(center, sigma):
    edge = lambda s: erf((Y + s - center) / sigma / np.sqrt(2))  # noqa: E731 -- both edges of a pixel
    return 0.5 * (edge(0.5) - edge(-0.5))


def winged(center, sigma):
    return 0.9 * gaussian(center, sigma) + 0.1 * gaussian(center, 3 * sigma)


def moffat(center, sigma):
    """Not made of Gaussians: a Moffat function of 1.9 sigma and exponent 2.5, summed in a pixel."""
    fine = (np.arange(50) + 0.5) / 50 - 0.5
    return np.mean([(1 + ((Y + f - center) / 1.9 / sigma) ** 2) ** -2.5 for f in fine], axis=0)


def ratio(template, change, weight):
    return (weight * template * change).sum() / (weight * template**2).sum()


@pytest.mark.parametrize("profile", [gaussian, winged, moffat])
@pytest.mark.parametrize("sigma", [0.55, 0.7, 1.0, 3.0])
def test_shift_and_width_have_the_right_size_on_a_tilted_trace(profile, sigma):
    center = 15 + np.linspace(-0.6, 0.6, 200)
    frame, step = 1e4 * profile(center, sigma), 0.01
    error = np.sqrt(frame + 20)
    found = gaussian_lines.fit_gaussians(frame, error, center + 0.1, 6.0, 1.0)
    change = templates.profile_changes(frame, error, found[1], found[2], 9.0)
    weight = (np.abs(Y - center) < 6) / error**2
    moved = (1e4 * profile(center + step, sigma) - frame) / step
    # the aim is 3 %; differences of neighbours give 0.6 to 0.8 below 0.7 pixels
    assert ratio(change.shift, moved, weight) == pytest.approx(1, abs=0.01)
    if sigma < 0.7:
        return  # the width of a Moffat function of 0.55 pixels is off by 7 %
    wider = 1e4 * (
        profile(center, sigma * np.exp(step)) / (np.exp(step) if profile is moffat else 1)
    )
    assert ratio(change.width, (wider - frame) / step, weight) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("phase", [0.0, 0.15, 0.3, 0.5])
def test_a_straight_trace_is_enough_where_the_light_is_that_of_a_telescope(phase):
    center = np.full(64, 15 + phase)
    frame = 1e4 * winged(center, 0.7)
    error = np.sqrt(frame + 20)
    found = gaussian_lines.fit_gaussians(frame, error, center, 6.0, 1.0)
    change = templates.profile_changes(frame, error, found[1], found[2], 9.0)
    moved = (1e4 * winged(center + 0.01, 0.7) - frame) / 0.01
    assert ratio(change.shift, moved, 1 / error**2) == pytest.approx(1, abs=0.02)


def test_differences_of_neighbours_would_not_do():
    center = 15 + np.linspace(-0.5, 0.5, 100)
    frame = 1e4 * gaussian(center, 0.6)
    moved = (1e4 * gaussian(center + 0.01, 0.6) - frame) / 0.01
    naive = -np.gradient(frame, axis=0)
    assert 0.55 < ratio(naive, moved, 1 / (frame + 20)) < 0.75


def test_filter_alone_is_enough_for_well_sampled_light():
    # it is matched to light of 1 pixel, and 0.7 % off for 2 pixels
    frame = gaussian(np.array([15.3]), 2.0)
    moved = (gaussian(np.array([15.301]), 2.0) - gaussian(np.array([15.299]), 2.0)) / 0.002
    found = templates.shifted_by_filter(frame)
    assert np.abs(found - moved).max() < 1e-2 * np.abs(moved).max()


def test_image_changes_of_well_sampled_light():
    x = np.arange(30.0)[:, None]
    make = lambda y0, x0, s: gaussian(np.array([y0]), s) @ _column(x, x0, s).T  # noqa: E731
    frame, step = make(15.2, 14.6, 1.3), 1e-3
    down, across = templates.image_changes(frame, (15.2, 14.6))
    for found, moved in (
        (down.shift, make(15.2 + step, 14.6, 1.3)),
        (across.shift, make(15.2, 14.6 + step, 1.3)),
        (down.width, make(15.2, 14.6, 1.3 * np.exp(step))),
    ):
        change = (moved - frame) / step
        assert ratio(found, change, np.ones_like(frame)) == pytest.approx(1, abs=0.01)


def _column(x, x0, s):
    return 0.5 * (erf((x + 0.5 - x0) / s / np.sqrt(2)) - erf((x - 0.5 - x0) / s / np.sqrt(2)))


def test_gaussians_are_fitted_with_honest_errors():
    rng = np.random.default_rng(3)
    center = 15 + np.linspace(-1, 1, 300)
    clean = 3000 * gaussian(center, 0.8) + 5
    error = np.sqrt(clean + 20)
    found = gaussian_lines.fit_gaussians(
        clean + error * rng.normal(size=clean.shape), error, center, 5.0, 1.0
    )
    pull = (found[1] - center) / found[4]
    # 300 pulls: mean to 0.06, width to 0.04
    assert abs(pull.mean()) < 0.25
    assert pull.std() == pytest.approx(1, abs=0.17)
    assert np.nanmedian(found[2]) == pytest.approx(0.8, abs=0.01)
    assert np.nanmedian(found[3]) == pytest.approx(5, abs=1)


def test_lines_without_light_or_data_are_nan():
    frame = gaussian(np.full(4, 15.0), 0.8) * 1e3
    frame[:, 1] = 0.0
    frame[:, 2] = np.nan
    found = gaussian_lines.fit_gaussians(
        frame, np.ones_like(frame), np.array([15.0, 15.0, 15.0, np.nan]), 5.0, 1.0
    )
    assert np.isfinite(found[1]).tolist() == [True, False, False, False]


# ------------------------------------------------------------------ rings


def test_spline_of_profiles_is_the_cubic_one():
    from scipy.interpolate import BSpline

    z = np.linspace(-2.5, 2.5, 401)
    integral, value, slope = cubic_spline(z)
    own = BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    np.testing.assert_allclose(value, np.nan_to_num(own(z)), atol=1e-12)
    np.testing.assert_allclose(slope, np.nan_to_num(own.derivative()(z)), atol=1e-12)
    np.testing.assert_allclose(np.gradient(integral, z)[1:-1], value[1:-1], atol=1e-4)
    assert integral[0] == pytest.approx(0.0, abs=1e-12)
    assert integral[-1] == pytest.approx(1.0, abs=1e-12)


def rings(centre, width):
    """Return lines of a clear slit's diffraction, sinc^2, integrated over pixels."""
    edge = np.linspace(-40.0, 40.0, 40001)
    running = np.concatenate([[0.0], np.cumsum(np.sinc(0.5 * (edge[1:] + edge[:-1])) ** 2)])
    running *= edge[1] - edge[0]
    y = np.arange(33.0)[:, None]
    below, above = ((y + s - centre) / width for s in (-0.5, 0.5))
    return np.interp(above, edge, running) - np.interp(below, edge, running)


@pytest.mark.parametrize("tilt", [3.4e-3, 0.02])
def test_rings_widen_as_they_should(tilt):
    """A sum of Gaussians has no rings: its change of width correlates to 0.95 with the true one."""
    line = np.arange(800.0)
    centre, width = 16.0 + tilt * (line - 400.0), 1.6 + 0.6 * line / 800.0
    frame, d = 1e4 * rings(centre, width), 1e-3
    true = 1e4 * (rings(centre, width * (1 + d)) - rings(centre, width * (1 - d))) / (2 * d)
    found = templates.profile_changes(
        frame, np.full(frame.shape, 10.0), centre, 0.37 * width, 12.0
    ).width
    near = np.abs(np.arange(33.0)[:, None] - centre) <= 8.0

    def without_light(image):  # the light of each line is free
        share = (near * image * frame).sum(axis=0) / (near * frame**2).sum(axis=0)
        return np.where(near, image - share * frame, 0.0)

    a, b = without_light(found), without_light(true)
    # no noise: what is left is what knots of 0.8 standard deviations and a ridge of 1 % smooth
    assert (a * b).sum() / (a * a).sum() == pytest.approx(1.0, abs=0.005)
    assert (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()) > 0.995


def test_wide_light_is_moved_by_its_filter():
    y, phase = np.arange(61.0)[:, None], np.linspace(0.0, 1.0, 50)
    light, shift, width, _ = templates.gaussian_parts(y, 30.0 + phase, np.full(50, 5.0))
    nothing = np.full(50, np.nan)
    found = templates.profile_changes(light, 0 * light + 1e-3, 30.0 + phase, nothing, 18.0)
    near = np.abs(y - 30.0 - phase) < 18
    for own, true in ((found.shift, shift), (found.width, width)):
        ratio = (near * own * true).sum() / (near * true**2).sum()
        assert ratio == pytest.approx(1.0, abs=0.003)
