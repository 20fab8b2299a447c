"""Shifts: against Lagrange's polynomial, dense covariance and plain indexing."""

import numpy as np
import pytest

from tsoxr.kernels import alignment as kernel


@pytest.mark.parametrize("dtype", ["f4", "u4", "i1"])
def test_lines_are_moved_as_by_indexing(dtype):
    values = np.arange(3 * 8 * 5).reshape(3, 8, 5).astype(dtype)
    first = np.array([-2.0, 0.0, 1.0, 3.0, np.nan])
    out = kernel.shift_lines(values, first, 6, 7)
    assert out.dtype == values.dtype
    for x, start in enumerate(first):
        for y in range(6):
            inside = np.isfinite(start) and 0 <= y + start < 8
            expected = values[:, int(y + start), x] if inside else 7
            np.testing.assert_array_equal(out[:, y, x], expected)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
def test_cubic_weights_are_lagranges_and_conserve(part):
    weight = kernel.weights_of(part, True)
    nodes = np.array([-1.0, 0.0, 1.0, 2.0])
    for degree in range(4):  # exact for each power up to the third
        assert weight @ nodes**degree == pytest.approx(part**degree, abs=1e-12)
    assert kernel.weights_of(part, False) == pytest.approx([0, 1 - part, part, 0])


@pytest.mark.parametrize("cubic", [True, False])
@pytest.mark.parametrize("shift", [-1.7, -0.25, 0.0, 0.5, 2.0])
def test_spectra_errors_and_flags(cubic, shift):
    n = 40
    rng = np.random.default_rng(1)
    flux, error = rng.normal(10, 1, (1, n)), rng.uniform(0.5, 2, (1, n))
    flags = np.zeros((1, n), np.uint32)
    flags[0, 20] = 4
    new, new_error, new_flags = kernel.shift_spectra(
        flux, error, flags, np.array([shift]), cubic, 1
    )
    whole = int(np.floor(shift))
    weight = kernel.weights_of(shift - whole, cubic)
    dense = np.zeros((n, n))
    for i in range(n):
        for m in range(4):
            dense[i, min(max(i + whole + m - 1, 0), n - 1)] += weight[m]
    np.testing.assert_allclose(new[0], dense @ flux[0], rtol=1e-12)
    inner = slice(4, -4)
    variance = np.diag(dense @ np.diag(error[0] ** 2) @ dense.T)
    np.testing.assert_allclose(new_error[0, inner] ** 2, variance[inner], rtol=1e-12)
    touched = (dense[:, 20] != 0) | ((dense != 0)[:, 20])
    np.testing.assert_array_equal((new_flags[0] & 4) > 0, touched)
    assert not (new_flags[0, inner] & 1).any()
    assert (new_flags[0] & 1).any() == (shift != 0.0)


def test_correlation_is_that_of_the_dense_covariance():
    shift = np.array([0.0, 0.3, 0.5, -0.8, np.nan])
    for cubic in (True, False):
        found = kernel.neighbour_correlation(shift, cubic=cubic)
        for f, value in zip(shift[:4], found[:4], strict=True):
            weight = kernel.weights_of(f - np.floor(f), cubic)
            row = np.zeros((2, 5))
            row[0, :4], row[1, 1:] = weight, weight
            covariance = row @ row.T
            assert value == pytest.approx(covariance[0, 1] / covariance[0, 0])
        assert np.isnan(found[4])


def test_a_shift_that_is_not_known_is_flagged():
    flux = np.ones((2, 9))
    flags = np.zeros((2, 9), np.uint32)
    new, _, found = kernel.shift_spectra(flux, flux, flags, np.array([np.nan, 0.2]), True, 1)
    assert (found[0] == 1).all()
    np.testing.assert_array_equal(new[0], flux[0])
    assert (found[1, 2:-3] == 0).all()
