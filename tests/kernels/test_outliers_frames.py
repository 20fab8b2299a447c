"""Light and shift of frames: found again to the photon limit, in spite of hits and bad pixels."""

import numpy as np
import pytest

from tsoxr.kernels import outliers_frames as kernel

ROWS = np.arange(16)[:, None]


def scene(shift_y=0.0, n_x=100):
    """Return a spectrum with lines, sharp enough for pixels to matter."""
    profile = np.exp(-0.5 * ((ROWS - 7.4 - shift_y) / 1.2) ** 2)
    return 2000 * profile * (1 + 0.3 * np.sin(np.arange(n_x) / 4.0)) + 1.0


def frames(light, shift, seed=0):
    rng = np.random.default_rng(seed)
    still = scene()
    error = np.sqrt(still / 20 + 1)
    rate = np.stack([f * scene(s) for f, s in zip(light, shift, strict=True)])
    return (rate + error * rng.normal(size=rate.shape)).astype("f4"), still, error


def fitted(rate, still, error, unusable=None):
    templates = kernel.frame_templates(still, error, 1)
    unusable = np.zeros(rate.shape, bool) if unusable is None else unusable
    return kernel.frame_fits(rate, unusable, templates), templates


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_light_and_shift_come_back_in_spite_of_hits(seed):
    rng = np.random.default_rng(seed)
    light, shift = 1 - 0.03 * (np.abs(np.arange(40) - 20) < 8), 0.02 * rng.normal(size=40)
    rate, still, error = frames(light, shift, seed)
    rate[:, 7, ::20] += 1e5
    fits, templates = fitted(rate, still, error)
    at = templates[4] == kernel.FITTED
    at[7, ::20] = False
    basis = (templates[:3] / error)[:, at]
    predicted = np.sqrt(np.diag(np.linalg.inv(basis @ basis.T)))
    assert abs(fits[:, 0] + 1 - light).std() < 1.5 * predicted[0]
    assert (abs(fits[:, 0] + 1 - light) < 5 * predicted[0]).all()
    # central differences of a profile of 1.2 pixels are 15 % too small: shifts come out larger
    rest = fits[:, 1] / light - np.polyval(np.polyfit(shift, fits[:, 1] / light, 1), shift)
    assert rest.std() < 1.5 * predicted[1]
    assert np.polyfit(shift, fits[:, 1], 1)[0] == pytest.approx(-1.15, abs=0.25)
    assert np.median(fits[:, 3]) == pytest.approx(1.0, abs=0.1)


def test_what_is_taken_off_is_the_motion():
    rate, still, error = frames(np.ones(30), 0.05 * np.sin(np.arange(30)))
    fits, templates = fitted(rate, still, error)
    left = rate - still - np.einsum("tk,kyx->tyx", fits[:, :3], templates[:3])
    before, after = ((r / error)[:, 4:11].var() - 1.0 for r in (rate - still, left))
    assert before > 1.5
    # differences of a profile of 1.2 pixels are 5 to 35 % off the derivative, by place: what is left
    # of a motion of 5 sigma is 0.1 to 0.2 of it, 0.04 in variance
    assert after < 0.2 * before


def test_pixels_of_the_fit_hold_most_of_the_signal():
    still = scene()
    error = np.sqrt(still / 20 + 1)
    templates = kernel.frame_templates(still, error)
    chosen = templates[4] == kernel.FITTED
    power = (still / error) ** 2
    assert power[chosen].sum() >= 0.9 * power.sum()
    assert power[chosen].min() >= power[~chosen].max()


def test_large_frames_are_fitted_on_some_of_their_pixels():
    still = scene(n_x=4000)
    templates = kernel.frame_templates(still, np.ones(still.shape))
    assert kernel.MAX_BRIGHT / 3 < (templates[4] == kernel.FITTED).sum() <= kernel.MAX_BRIGHT


def test_a_lone_pixel_makes_no_gradient():
    still = scene()
    still[2, 50], still[7, 30] = 1e5, 0.0
    templates = kernel.frame_templates(still, np.ones(still.shape), 1)
    plain = kernel.frame_templates(scene(), np.ones(still.shape), 1)
    # one-sided differences beside the spike; it would make 5e4
    assert abs(templates - plain)[1, 1:4, 49:52].max() < 50
    # a dead pixel on the spectrum leaves one-sided differences beside it
    assert abs(templates[1] - plain[1]).max() < abs(plain[1]).max()
    assert templates[4, 2, 50] != kernel.FITTED


def test_without_light_nothing_is_fitted():
    rate = np.random.default_rng(0).normal(size=(5, 6, 8)).astype("f4")
    fits, templates = fitted(rate, np.zeros((6, 8)), np.ones((6, 8)))
    assert not (templates[4] == kernel.FITTED).any()
    np.testing.assert_array_equal(fits[:, :3], 0.0)
    np.testing.assert_array_equal(fits[:, 3], 1.0)


def test_unknown_pixels_are_left_alone():
    still = scene()
    still[5] = np.nan
    templates = kernel.frame_templates(still, np.ones(still.shape))
    assert np.isfinite(templates).all()
    assert (templates[4, 5] == kernel.UNKNOWN).all()
    rate = np.stack([np.nan_to_num(still, nan=1e9)] * 3).astype("f4")
    fits, _ = fitted(rate, still, np.ones(still.shape))
    np.testing.assert_allclose(fits[:, :3], 0.0, atol=1e-6)


def test_frames_without_usable_pixels_and_dark_frames():
    rate, still, error = frames(np.ones(3), np.zeros(3))
    unusable = np.zeros(rate.shape, bool)
    unusable[0] = True
    rate[1] = -rate[1]
    fits, _ = fitted(rate, still, error, unusable)
    np.testing.assert_array_equal(fits[:2], [[0, 0, 0, 1]] * 2)
    assert abs(fits[2, 0]) < 0.01
