"""Replaced values against the truth: unbiased, with errors that say how far off they are."""

import numpy as np
import pytest

from tsoxr.kernels import outliers_frames, replacement

ROWS = np.arange(20)[:, None]


def exposure(seed=0, n_time=40, n_x=80, part_lost=0.02, always=()):
    """Return noisy frames with a transit, what is lost, the truth, and what the kernel needs."""
    rng = np.random.default_rng(seed)
    profile = np.exp(-0.5 * ((ROWS - 9.6) / 1.3) ** 2)
    still = 2000 * profile * (1 + 0.3 * np.sin(np.arange(n_x) / 9)) + 5.0
    light = 1 - 0.02 * (np.abs(np.arange(n_time) - 20) < 8)
    truth = light[:, None, None] * still
    error = np.sqrt(truth / 10 + 4).astype("f4")
    rate = (truth + error * rng.normal(size=truth.shape)).astype("f4")
    lost = rng.random(rate.shape) < part_lost
    for y, x in always:
        lost[:, y, x] = True
    rate[lost] = np.nan
    median = np.where(lost.all(axis=0), np.nan, still)
    typical = np.where(lost.all(axis=0), np.nan, error[0])
    templates = outliers_frames.frame_templates(median, typical, 1)
    fits = outliers_frames.frame_fits(rate, lost, templates)
    filled = np.stack(replacement.fill_static(median, typical, dispersed=True))
    images = np.concatenate([templates, filled]).astype("f4")
    return rate, error, lost, truth, fits, images


def replaced(made, method, *, window=5, margin=0, along_x=True):
    rate, error, lost, _, fits, images = made
    limits = (replacement.METHODS.index(method), window, margin, along_x)
    return replacement.replace(rate, error, lost, lost, fits, images, limits)


@pytest.mark.parametrize("method", replacement.METHODS)
@pytest.mark.parametrize("seed", [0, 1])
def test_values_are_right_within_what_the_estimate_adds_to_the_error(method, seed):
    made = exposure(seed)
    rate, error, lost, truth, _, _ = made
    new, new_error = replaced(made, method)
    estimated = np.sqrt(
        np.maximum(new_error[lost] ** 2 - error[0][None].repeat(40, 0)[lost] ** 2, 0)
    )
    bright = truth[lost] > 20
    pull = ((new - truth)[lost] / np.maximum(estimated, 1e-3))[bright]
    n = bright.sum()
    assert n > 200
    # medians of few and shared scales: the scatter is known to a tenth, the mean to 1 / sqrt(n)
    assert abs(np.median(pull)) < 5 / np.sqrt(n)
    assert 0.6 < 1.4826 * np.median(abs(pull)) < 1.4
    assert (new_error[lost] >= 0.95 * error[lost]).all()
    np.testing.assert_array_equal(new[~lost], rate[~lost])
    np.testing.assert_array_equal(new_error[~lost], error[~lost])


@pytest.mark.parametrize("method", replacement.METHODS)
def test_a_pixel_that_is_never_usable_follows_the_light(method):
    made = exposure(3, always=[(10, 40), (2, 20)])
    _, error, _, truth, _, _ = made
    new, new_error = replaced(made, method)
    # the spectrum bends by 1 % within five pixels
    assert np.median(new[:, 10, 40] / truth[:, 10, 40]) == pytest.approx(1.0, abs=0.02)
    inside = np.abs(np.arange(40) - 20) < 8
    drop = new[inside, 10, 40].mean() / new[~inside, 10, 40].mean()
    assert drop == pytest.approx(0.98, abs=0.004)
    assert (new_error[:, 10, 40] > 0.99 * error[:, 10, 39]).all()
    assert np.isfinite(new[:, 2, 20]).all()


def test_turned_frames_give_turned_values():
    made = exposure(4)
    rate, error, lost, truth, fits, images = made
    order = [0, 2, 1, 3, 4, 5, 6, 7]
    turned = (
        *(np.ascontiguousarray(a.transpose(0, 2, 1)) for a in (rate, error, lost, truth)),
        fits[:, [0, 2, 1, 3]],
        np.ascontiguousarray(images.transpose(0, 2, 1)[order]),
    )
    for method in replacement.METHODS:
        got = replaced(turned, method, along_x=False).transpose(0, 1, 3, 2)
        np.testing.assert_allclose(got, replaced(made, method), rtol=1e-5)


def test_nothing_to_go_by_leaves_the_sample():
    rate, error, lost, truth, fits, images = exposure(5)
    lost[7, :, 30] = True
    lost[:, :, 31] = True
    rate[lost] = np.nan
    made = (rate, error, lost, truth, fits, images)
    assert np.isnan(replaced(made, "profile")[0, 7, :, 30]).all()
    assert np.isfinite(replaced(made, "space")[0, 7, :, 30]).all()
    assert np.isfinite(replaced(made, "time")[0, 7, 5:15, 30]).all()


def test_a_part_with_margins_is_a_part_of_the_whole():
    made = exposure(6)
    whole = replaced(made, "time")
    part = (*(a[8:30] for a in made[:5]), made[5])
    np.testing.assert_array_equal(replaced(part, "time", margin=5), whole[:, 13:25])


def test_fill_without_any_known_pixel():
    nothing = np.full((4, 5), np.nan)
    assert np.isnan(replacement.fill_static(nothing, nothing, dispersed=True)).all()
