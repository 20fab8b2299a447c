"""Errors of levels: sums over wavelengths against the dense covariance."""

from __future__ import annotations

import numpy as np
import pytest

from tsoxr.kernels.level_errors import (
    N_MODES,
    covariance_factor,
    level_errors,
    relative_to_background,
)

N_SPACE, N_OUTPUT, N_ALONG = 6, 4, 80
EDGES = np.array([0, 20, 40, 60, 80])


def covariance(rng, size=N_SPACE * N_OUTPUT):
    root = rng.normal(size=(size, size))
    return root @ root.T / size


def design(rng):
    """Return the matrix (along, line) that makes spectra of levels, and its weights."""
    weight = rng.uniform(0, 1, (N_SPACE, N_ALONG))
    matrix = np.zeros((N_ALONG, N_SPACE, N_OUTPUT))
    output = np.searchsorted(EDGES, np.arange(N_ALONG), side="right") - 1
    matrix[np.arange(N_ALONG), :, output] = weight.T
    return matrix.reshape(N_ALONG, -1), weight


def test_factor_gives_the_covariance_back():
    own = covariance(np.random.default_rng(0))
    factor = covariance_factor(own)
    np.testing.assert_allclose(factor @ factor.T, own, atol=1e-12)
    assert (np.diff((factor**2).sum(axis=0)) < 1e-12).all()


def test_what_is_not_positive_or_not_finite_is_left_out():
    own = np.diag([4.0, -1e-9, np.nan, np.inf])
    factor = covariance_factor(own)
    np.testing.assert_allclose(factor @ factor.T, np.diag([4.0, 0, 0, 0]), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_any_sum_over_wavelengths_has_the_dense_variance(seed):
    rng = np.random.default_rng(seed)
    own = covariance(rng)
    matrix, weight = design(rng)
    factor = covariance_factor(own).reshape(N_SPACE, N_OUTPUT, -1)
    errors, variance = level_errors(weight, factor, EDGES)
    dense = matrix @ own @ matrix.T
    # there are as many errors as levels here, 24, so nothing is lost
    assert errors.shape == (N_ALONG, N_MODES)
    np.testing.assert_allclose(errors @ errors.T, dense, atol=1e-10)
    np.testing.assert_allclose(variance, np.diag(dense), rtol=1e-10)


def test_few_levels_leave_modes_empty_and_many_keep_the_strongest():
    rng = np.random.default_rng(5)
    weight = rng.uniform(0, 1, (3, 10))
    few, variance = level_errors(weight, np.eye(3)[:, None], np.array([0, 10]))
    assert not few[:, 3:].any()
    np.testing.assert_allclose((few**2).sum(axis=1), variance)
    weight = rng.uniform(0, 1, (60, 80))
    many, variance = level_errors(weight, np.eye(60)[:, None], np.array([0, 80]))
    assert (np.diff((many**2).sum(axis=0)) <= 1e-12).all()
    assert ((many**2).sum(axis=1) < variance).all()


def test_background_takes_its_mean_off():
    rng = np.random.default_rng(2)
    factor = covariance_factor(covariance(rng)).reshape(N_SPACE, N_OUTPUT, -1)
    inside = np.zeros((N_SPACE, N_ALONG), bool)
    inside[:2, :60] = True
    inside[1, :10] = False
    out = relative_to_background(factor, inside, EDGES)
    # output 0: line 0 with 20 pixels, line 1 with 10; output 3 has no background
    mean = (20 * factor[0, 0] + 10 * factor[1, 0]) / 30
    np.testing.assert_allclose(out[:, 0], factor[:, 0] - mean)
    np.testing.assert_array_equal(out[:, 3], factor[:, 3])


def test_background_takes_a_straight_line_off():
    rng = np.random.default_rng(4)
    factor = covariance_factor(covariance(rng)).reshape(N_SPACE, N_OUTPUT, -1)
    inside = np.ones((N_SPACE, N_ALONG), bool)
    inside[2] = False
    out = relative_to_background(factor, inside, EDGES, order=1)
    rows = np.flatnonzero(inside[:, 0])
    fit = np.polynomial.polynomial.polyfit(rows, factor[rows, 1], 1)
    line = fit[0] + np.arange(N_SPACE)[:, None] * fit[1]
    np.testing.assert_allclose(out[:, 1], factor[:, 1] - line, atol=1e-9)
