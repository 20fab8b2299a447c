"""Jumps of covariates: how often found, where, and how often there is none."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from tsoxr.kernels import motion_steps
from tsoxr.kernels.transit import projected_separation, quadratic_transit

ERROR = np.ones(3)


def wander(rng, n, rms, memory=20):
    decay = np.exp(-1 / memory)
    out = np.empty(n)
    out[0] = rms * rng.normal()
    for i in range(1, n):
        out[i] = decay * out[i - 1] + rms * np.sqrt(1 - decay**2) * rng.normal()
    return out


def test_a_jump_of_three_sigma_is_found_at_its_integration():
    rng = np.random.default_rng(0)
    near, exact = 0, 0
    for _ in range(40):
        series = rng.normal(size=(3, 200))
        series[0, 70:] += 3
        found = np.flatnonzero(motion_steps.find_steps(series, ERROR)[1])
        near += bool(np.any(np.abs(found - 70) <= 1))
        exact += 70 in found
    # z = 3 / sqrt(4 / 48) = 10 against a threshold of 5; a neighbour wins where its noise
    # is above half the step, 1.5 sigma: 7 % on each side
    assert near >= 36
    assert exact >= 26


@pytest.mark.parametrize(("rms", "limit"), [(0.0, 3), (1.0, 8)])
def test_noise_and_wandering_are_no_jumps(rms, limit):
    rng = np.random.default_rng(1)
    false = sum(
        motion_steps.find_steps(
            np.stack([wander(rng, 200, rms) + rng.normal(size=200) for _ in range(3)]), ERROR
        )[1].any()
        for _ in range(60)
    )
    # 1 % are asked for in white noise; the wander has to be measured: 5 % were seen
    assert false <= limit


@pytest.mark.parametrize("shape", ["drift", "breathing"])
def test_smooth_motion_is_no_jump(shape):
    rng = np.random.default_rng(2)
    t = np.arange(200.0)
    smooth = 0.1 * t if shape == "drift" else 10 * np.sin(2 * np.pi * t / 100)
    for _ in range(10):
        assert not motion_steps.find_steps(smooth + rng.normal(size=(3, 200)), ERROR)[1].any()


def test_several_jumps_and_single_spikes():
    rng = np.random.default_rng(3)
    series = rng.normal(size=(2, 300))
    series[:, 90:] += 6
    series[0, 200:] -= 8
    series[:, 150] += 40
    found = np.flatnonzero(motion_steps.find_steps(series, ERROR[:2])[1])
    assert len(found) == 2
    assert np.abs(found - [90, 200]).max() <= 1


def test_noise_is_told_from_a_walk():
    rng = np.random.default_rng(4)
    white, walk = motion_steps.noise_of(rng.normal(size=2000), 0.1)
    assert white == pytest.approx(1, abs=0.1)
    assert walk < 0.01
    white, walk = motion_steps.noise_of(np.cumsum(rng.normal(size=2000)), 0.0)
    assert walk == pytest.approx(1, abs=0.4)


def test_gaps_and_short_series():
    series = np.random.default_rng(5).normal(size=(1, 100))
    series[0, 50:] += 8
    series[0, 20:30] = np.nan
    assert np.flatnonzero(motion_steps.find_steps(series, ERROR[:1])[1]).tolist() == [50]
    assert not motion_steps.find_steps(series[:, :10], ERROR[:1])[1].any()
    assert not motion_steps.find_steps(np.full((1, 100), np.nan), ERROR[:1])[1].any()
    assert not motion_steps.find_steps(np.zeros((1, 100)), ERROR[:1])[1].any()


@pytest.mark.real_data
def test_the_tilt_event_of_a_real_light_curve(real_data_dir):
    """WASP-39b through G395H: a mirror tilted in mid-transit, and the light fell by 0.25 %."""
    path = real_data_dir / "nirspec" / "wasp39b_g395h_white_light_with_tilt_event.dat"
    time, flux, error, published = np.genfromtxt(path, usecols=(0, 1, 2, 4)).T
    when = time - time.mean()

    def left(given):  # a transit and a straight line, which know nothing of the event
        t0, a_over_rs, inclination, radius, u1, u2, level, slope = given
        apart = projected_separation(when, 4.0552842, t0, a_over_rs, inclination)
        return flux - level * (1 + slope * when) * quadratic_transit(apart, radius, u1, u2)

    first = [0.0, 11.4, 87.75, 0.1457, 0.1, 0.1, 1.0, 0.0]
    scale = [1e-3, 0.1, 0.1, 1e-3, 0.1, 0.1, 1e-3, 1e-2]
    fit = least_squares(lambda p: left(p) / error, first, x_scale=scale)
    significance, found = motion_steps.find_steps(left(fit.x)[None], np.array([np.median(error)]))
    # the published analysis changes level at this integration; the fall takes about three
    (expected,) = np.flatnonzero(np.diff(published)) + 1
    assert np.flatnonzero(found).tolist() == [expected]
    assert significance[expected] > 2.0
