"""Weights for correlated noise against dense algebra, and the correlation against what was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from tsoxr.kernels import extraction, line_covariance
from tsoxr.kernels.covariance_weights import covariance_weights, modes_of, modes_variance

N_SPACE, N_ALONG = 14, 9


def _column(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    pixel = np.arange(N_SPACE)[:, None] - 6.5 - rng.uniform(-1, 1, N_ALONG)
    profile = np.exp(-0.5 * (pixel / 1.2) ** 2)
    profile /= profile.sum(axis=0)
    return profile, 3000.0 * profile + 50.0, np.ones_like(profile)


def test_weights_are_those_of_dense_algebra() -> None:
    """Every column against C^-1 P / (P^T C^-1 P) with the whole matrix: equal to rounding."""
    rng = np.random.default_rng(1)
    profile, variance, cover = _column()
    cover[:3] = 0.0
    variance[5, 2] = np.nan
    modes = rng.normal(0, 8.0, (6, N_SPACE, N_ALONG))
    weight, share = covariance_weights(profile, variance, cover, modes)
    expected = np.zeros_like(weight)
    spread = np.zeros(N_ALONG)
    for x in range(N_ALONG):
        use = (cover[:, x] > 0) & np.isfinite(variance[:, x])
        b = modes[1:, use, x]
        dense = np.diag(variance[use, x] + modes[0, use, x] ** 2) + b.T @ b
        q = np.linalg.solve(dense, profile[use, x])
        expected[use, x] = q / (profile[use, x] @ q)
        spread[x] = expected[use, x] @ dense @ expected[use, x]
    np.testing.assert_allclose(weight, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(share.sum(axis=0), 1.0, rtol=1e-12)
    own = (weight**2 * np.where(np.isfinite(variance), variance, 0.0)).sum(axis=0)
    np.testing.assert_allclose(own + modes_variance(weight, modes), spread, rtol=1e-9)


def test_without_modes_they_are_horne_weights() -> None:
    profile, variance, cover = _column()
    plain, _ = extraction.optimal_weights(profile, variance, cover)
    weight, _ = covariance_weights(profile, variance, cover, np.zeros((3, N_SPACE, N_ALONG)))
    np.testing.assert_allclose(weight, plain, rtol=1e-12)


def test_one_common_mode_is_a_fit_with_a_constant() -> None:
    """With a level of any size, the flux is that of least squares with a free constant."""
    profile, variance, cover = _column()
    modes = np.zeros((2, N_SPACE, N_ALONG))
    modes[1] = 1e4  # the constant's prior is 1e5 times wider than what the pixels tell
    weight, _ = covariance_weights(profile, variance, cover, modes)
    data = np.random.default_rng(3).normal(0, 1, (N_SPACE, N_ALONG)) * np.sqrt(variance)
    for x in range(N_ALONG):
        design = np.stack([profile[:, x], np.ones(N_SPACE)], axis=1) / np.sqrt(variance[:, x, None])
        fit = np.linalg.lstsq(design, data[:, x] / np.sqrt(variance[:, x]), rcond=None)[0]
        np.testing.assert_allclose(weight[:, x] @ data[:, x], fit[0], rtol=1e-4)


@pytest.mark.parametrize(("rho", "expected"), [(0.08, 64.9), (0.5, 62.4), (0.95, 56.1)])
def test_noise_of_the_published_example(rho: float, expected: float) -> None:
    """3000 electrons in a profile of sigma 1.2, 14 pixels with noise of 14 electrons."""
    pixel = np.arange(N_SPACE) - 6.5
    profile = np.exp(-0.5 * (pixel / 1.2) ** 2)[:, None]
    profile /= profile.sum()
    variance = 3000.0 * profile + (1 - rho) * 14.0**2
    modes = np.zeros((2, N_SPACE, 1))
    modes[1] = np.sqrt(rho) * 14.0
    weight, _ = covariance_weights(profile, variance, np.ones_like(profile), modes)
    noise = np.sqrt((weight**2 * variance).sum() + modes_variance(weight, modes)[0])
    assert noise == pytest.approx(expected, abs=0.06)  # the numbers are given to 0.1


def test_column_without_pixels_has_no_weights() -> None:
    profile, variance, cover = _column()
    cover[:, 4] = 0.0
    variance[:, 5] = np.nan
    weight, share = covariance_weights(profile, variance, cover, np.ones((3, N_SPACE, N_ALONG)))
    assert not weight[:, 4:6].any()
    assert not share[:, 4:6].any()
    assert np.isfinite(weight).all()
    nothing = covariance_weights(profile, variance, 0.0 * cover, np.ones((3, N_SPACE, N_ALONG)))[0]
    assert not nothing.any()


def test_modes_keep_the_covariance_and_the_variance() -> None:
    lag = np.abs(np.arange(20)[:, None] - np.arange(20))
    covariance = 3.0 * np.exp(-lag / 6.0)
    whole = modes_of(covariance, 24)
    np.testing.assert_allclose(whole[1:].T @ whole[1:], covariance, atol=1e-10)
    assert not whole[0].any()
    few = modes_of(covariance, 5)
    kept = few[1:].T @ few[1:] + np.diag(few[0] ** 2)
    np.testing.assert_allclose(np.diag(kept), np.diag(covariance), rtol=1e-10)


def _lines(seed: int, correlated: float, level: float) -> tuple[np.ndarray, ...]:
    """Draw (time, spatial, dispersion) noise of unit error, with memory of six pixels along lines."""
    rng = np.random.default_rng(seed)
    lag = np.abs(np.arange(40)[:, None] - np.arange(40))
    factor = np.linalg.cholesky(np.exp(-lag / 6.0) + 1e-9 * np.eye(40))
    data = rng.normal(0, 1, (30, 40, 300))
    data += correlated * np.einsum("yk,tkx->tyx", factor, rng.normal(0, 1, data.shape))
    data += level * rng.normal(0, 1, (30, 1, 300))
    data += 1e3 * rng.uniform(0, 1, data.shape[1:])  # what stays is not noise
    bad = rng.uniform(0, 1, data.shape) < 0.01
    data[bad] = 1e6
    return data, np.ones_like(data), bad, np.ones(data.shape[1:], dtype=bool)


@pytest.mark.parametrize("level", [0.0, 2.0])
def test_correlation_within_lines_is_found_whatever_their_level(level: float) -> None:
    """0.25 exp(-d/6): 9,000 lines measure the variance to a few percent."""
    gamma, white = line_covariance.fitted(
        *line_covariance.variogram(*_lines(0, 0.5, level)), size=30
    )
    expected = 0.25 * (1 - np.exp(-np.arange(30) / 6.0))
    np.testing.assert_allclose(gamma, expected, atol=0.02)
    assert abs(white) < 0.02


def test_white_noise_has_no_correlation() -> None:
    """What is no more than chance counts as nothing, in every one of four seeds."""
    for seed in range(4):
        gamma, _ = line_covariance.fitted(
            *line_covariance.variogram(*_lines(seed, 0.0, 1.0)), size=30
        )
        assert not gamma.any()


def test_covariance_about_a_mean_is_that_of_the_differences() -> None:
    """Against (1 - 1 q^T) R (1 - 1 q^T)^T with the whole covariance."""
    gamma = 2.0 * (1 - np.exp(-np.arange(12) / 4.0))
    lag = np.abs(np.arange(12)[:, None] - np.arange(12))
    mean = np.zeros(12)
    mean[[0, 1, 9, 10, 11]] = 0.2
    take = np.eye(12) - mean
    expected = take @ (2.0 * np.exp(-lag / 4.0)) @ take.T
    found = line_covariance.covariance_about_mean(gamma, mean)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.linalg.eigvalsh(found).min() > -1e-12


def test_level_is_found() -> None:
    """A level of variance 4 (and 1/40 of the pixels' own): 8,700 lines tell it to 5 percent."""
    excess, sigma = line_covariance.level_excess(*_lines(0, 0.0, 2.0))
    assert excess == pytest.approx(4.0, abs=4 * sigma)
    assert sigma < 0.2
    excess, sigma = line_covariance.level_excess(*_lines(1, 0.0, 0.0))
    assert abs(excess) < 4 * sigma


def test_nothing_to_measure_gives_nothing() -> None:
    data, error, bad, dark = _lines(0, 0.5, 0.0)
    for given in ((data, error, ~bad | True, dark), (data[:2], error[:2], bad[:2], dark)):
        gamma, white = line_covariance.fitted(*line_covariance.variogram(*given), size=30)
        assert not gamma.any()
        assert white == 0.0
        assert not line_covariance.level_excess(*given).any()
    assert not line_covariance.dark_pixels(np.full((3, 4), np.nan)).any()
