"""Linearity and reference pixels against brute force."""

import numpy as np
import pytest

from tsoxr.kernels import detector

SATURATED = np.uint8(2)


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_linearity_is_the_polynomial(dtype):
    rng = np.random.default_rng(1)
    ramp = rng.integers(0, 60000, (2, 4, 3, 5)).astype(dtype)
    coefficients = np.zeros((4, 3, 5), "f4")
    coefficients[0], coefficients[1] = 2.0, 1.0
    coefficients[2] = rng.normal(1e-6, 1e-7, (3, 5))
    coefficients[3] = rng.normal(1e-11, 1e-12, (3, 5))
    dq = np.zeros(ramp.shape, "u1")
    correctable = np.ones((3, 5), bool)
    correctable[1, 1] = False
    out = detector.apply_linearity(ramp, dq, coefficients, correctable, SATURATED)
    expected = np.polynomial.polynomial.polyval(
        ramp.astype("f8"), coefficients.astype("f8")[:, None, None], tensor=False
    )
    expected[..., 1, 1] = ramp[..., 1, 1]
    # float32 results: relative spacing 6e-8
    np.testing.assert_allclose(out, expected, rtol=1e-7)


@pytest.mark.parametrize("n_power", [2, 6, 9])
def test_linearity_of_any_order_and_size(n_power):
    """Two coefficients or nine, and more pixels than are done together."""
    rng = np.random.default_rng(2)
    shape = (2, 3, 2, detector.BLOCK // 2 + 7)
    ramp = rng.uniform(0, 6e4, shape).astype("f4")
    scale = 0.1 * 6e4 ** -(np.arange(n_power) - 1.0)
    coefficients = (rng.normal(size=(n_power, *shape[2:])) * scale[:, None, None]).astype("f4")
    coefficients[1] += 1.0
    dq, correctable = np.zeros(shape, "u1"), rng.random(shape[2:]) < 0.9
    out = detector.apply_linearity(ramp, dq, coefficients, correctable, SATURATED)
    wide = coefficients.astype("f8")[:, None, None]
    expected = np.polynomial.polynomial.polyval(ramp.astype("f8"), wide, tensor=False)
    # float32 results: relative spacing 6e-8; terms that cancel leave their float64 rounding
    np.testing.assert_allclose(out, np.where(correctable, expected, ramp), rtol=1e-7, atol=1e-9)


def test_linearity_stops_at_the_first_saturated_group():
    ramp = np.full((2, 4, 1, 1), 100.0, "f4")
    dq = np.zeros(ramp.shape, "u1")
    dq[0, 2] = SATURATED
    dq[0, 1] = 4  # a jump is no reason to stop
    coefficients = np.array([0.0, 2.0], "f4")[:, None, None]
    out = detector.apply_linearity(ramp, dq, coefficients, np.ones((1, 1), bool), SATURATED)
    np.testing.assert_array_equal(out[0, :, 0, 0], [200, 200, 100, 100])
    np.testing.assert_array_equal(out[1], 200)


def test_labels():
    np.testing.assert_array_equal(detector.level_labels(4, 1), [0, 1, 0, 1])
    np.testing.assert_array_equal(
        detector.level_labels(8, 4, by_parity=False), [0, 0, 1, 1, 2, 2, 3, 3]
    )
    np.testing.assert_array_equal(detector.level_labels(6, 4, interleaved=True), [0, 1, 2, 3, 0, 1])


def test_reference_levels_by_hand():
    labels = np.full((3, 4), -1)
    labels[:, 0], labels[0, 3] = 0, 2
    ramp = np.zeros((1, 2, 3, 4), "f4")
    ramp[0, 0, :, 0], ramp[0, 1, :, 0] = [5, 7, 9], [6, 8, 10]
    ramp[0, :, 0, 3] = [np.nan, 4.0]
    levels = detector.reference_levels(ramp, labels, 3)
    np.testing.assert_array_equal(levels[0], [[7, 0, 0], [8, 0, 0]])
    np.testing.assert_array_equal(
        detector.reference_levels(ramp, labels, 3, pedestal=False)[0], [[0, 0, 0], [1, 0, 0]]
    )


def test_reference_levels_ignore_outliers_and_reset_noise():
    rng = np.random.default_rng(2)
    offset = rng.normal(0, 10, (20, 5, 1))
    reset = rng.normal(0, 100, (20, 1, 200))
    pixels = (offset + reset + rng.normal(0, 4, (20, 5, 200))).astype("f4")
    pixels[:, 2:, 7] += 3000.0
    levels = detector.reference_levels(pixels[:, :, :, None], np.zeros((200, 1), int), 1)[..., 0]
    error = np.diff(levels, axis=1) - np.diff(offset[..., 0], axis=1)
    # the mean of 200 differences of reads with 4 DN: 4 sqrt(2) / sqrt(200) = 0.4; 80 of them
    assert np.abs(error).max() < 5 * 0.4


def test_reference_subtraction_by_brute_force():
    rng = np.random.default_rng(3)
    ramp = rng.normal(0, 10, (2, 3, 4, 6)).astype("f4").swapaxes(2, 3)
    levels = rng.normal(0, 10, (2, 3, 2)).astype("f4")
    label = np.array([0, 1, -1, 0])
    out = detector.subtract_reference(ramp, levels, label)
    for f, k in enumerate(label):
        level = levels[:, :, None, k] if k >= 0 else 0.0
        np.testing.assert_array_equal(out[..., f], ramp[..., f] - level)
    assert out.strides == ramp.strides
