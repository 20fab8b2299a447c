"""The decay after reset, told from the slope of the sky."""

import numpy as np
import pytest

from tsoxr.kernels.reset_anomaly import decay_of_levels, parity_levels

N_GROUP = 12
TIME = 0.16 * np.arange(1, N_GROUP + 1)


def levels(*, even=0.7, n_time=40, noise=0.0, first=1.5, seed=0, sky=18.0):
    """Return levels (time, group, parity) and the signal of late integrations (group, parity)."""
    rng = np.random.default_rng(seed)
    course = 30.0 * np.exp(-(TIME - TIME[0]) / 0.3) + 10.0 * np.exp(-(TIME - TIME[0]) / 0.9)
    signal = course[:, None] * np.array([even, 1.0])
    signal[0] += 15.0
    signal[-1, 1] -= 25.0
    factor = np.ones((n_time, 1, 1))
    factor[0] = first
    smooth = signal.copy()
    smooth[0] -= 15.0
    smooth[-1, 1] += 25.0
    values = 9000.0 + sky * TIME[:, None] + signal + (factor - 1) * smooth
    values = (
        values + rng.normal(0, 20, (n_time, 1, 2)) + noise * rng.normal(size=(n_time, N_GROUP, 2))
    )
    return values, signal


def slopes(signal):
    return np.polyfit(TIME, signal, 1)[0]


def test_exact_without_noise_whatever_the_course():
    values, signal = levels()
    found = decay_of_levels(values, TIME, starts=True)
    expected = signal - signal[-2]
    np.testing.assert_allclose(found[1], expected, atol=2e-5)
    first = 1.5 * signal
    first[0] -= 7.5
    first[-1, 1] += 12.5
    np.testing.assert_allclose(
        found[0] - found[0].mean(axis=0), first - first.mean(axis=0), atol=2e-4
    )


def test_parities_that_do_not_differ_fall_back_to_an_exponential():
    values, signal = levels(even=1.0)
    found = decay_of_levels(values, TIME, starts=False)[1]
    # two exponentials are no single one: their slope comes back to a tenth
    assert abs(slopes(found - signal)).max() < 0.15 * abs(slopes(signal)).max()


def test_noise_of_the_slope():
    """Linear propagation through the least squares on constant, time and difference."""
    noise, n_time = 0.5, 64
    errors = []
    for seed in range(60):
        values, signal = levels(noise=noise, n_time=n_time, seed=seed)
        found = decay_of_levels(values, TIME, starts=False)[1]
        errors.append(slopes(found - signal + signal[-2]).mean())
    inner = slice(1, -1)
    _, signal = levels()
    difference = (signal[:, 1] - signal[:, 0])[inner]
    design = np.stack([np.ones(N_GROUP - 2), TIME[inner], difference], axis=1)
    # noise of even rows, and of the difference times the ratio 0.7 / 0.3; median of 64
    sigma = 1.25 * noise / np.sqrt(n_time) * np.hypot(1 + 0.7 / 0.3, 0.7 / 0.3)
    expected = sigma * np.sqrt(np.linalg.inv(design.T @ design)[1, 1])
    # 60 seeds: the scatter is known to 9 %, and levels at the ends add a little
    assert np.std(errors) == pytest.approx(expected, rel=0.35)
    assert abs(np.mean(errors)) < 4 * expected / np.sqrt(60)


def test_no_levels_give_nothing():
    values, _ = levels()
    values[:, :, 1] = np.nan
    assert (decay_of_levels(values, TIME, starts=True) == 0).all()


def test_one_integration():
    values, _ = levels(n_time=1)
    assert np.isfinite(decay_of_levels(values, TIME, starts=True)).all()


def test_levels_are_medians_of_usable_pixels():
    ramp = np.random.default_rng(3).normal(0, 1, (2, 3, 8, 9))
    usable = np.random.default_rng(4).random((8, 9)) > 0.3
    parity = np.arange(8)[:, None] % 2 + np.zeros((8, 9), int)
    ramp[0, 0, 2, 2] = np.nan
    found = parity_levels(ramp, usable, parity)
    for p in range(2):
        values = np.where(usable & (parity == p), ramp, np.nan)
        np.testing.assert_allclose(found[..., p], np.nanmedian(values, axis=(2, 3)))
    assert np.isnan(parity_levels(ramp, usable & (parity == 0), parity)[..., 1]).all()
