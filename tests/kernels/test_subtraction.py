"""Images and scaled templates: against plain loops and dense least squares."""

import numpy as np
import pytest

from tsoxr.kernels.subtraction import (
    FEWEST,
    scale_error,
    subtract_images,
    subtract_scaled,
    template_scales,
    time_median_of,
)

SHAPE = (3, 4, 12, 16)


def cube(seed=0, noise=1.0):
    return np.random.default_rng(seed).normal(0.0, noise, SHAPE)


@pytest.mark.parametrize("axes", [(12, 16), (12, 1), (1, 16)])
def test_images_are_subtracted_by_integration(axes):
    ramp = np.random.default_rng(1).integers(0, 60000, SHAPE).astype("u2")
    images = np.random.default_rng(2).normal(0, 9, (2, 3, *axes)).astype("f4")
    before = ramp.copy()
    out = subtract_images(ramp, images, np.array([0, 1, 1]))
    expected = ramp.astype("f4")
    expected[:, :3] -= images[[0, 1, 1]]
    np.testing.assert_array_equal(out, expected)  # the fourth group has no image
    np.testing.assert_array_equal(ramp, before)


def test_scale_agrees_with_dense_least_squares():
    """Robust weights move the answer by a third of its error: sqrt(1 / 0.95 - 1) = 0.23 of it."""
    template = np.random.default_rng(5).normal(0, 2.0, SHAPE[2:])
    ramp = cube() + 7.0 * template + 100.0
    labels = np.zeros(SHAPE[2:], np.int64)
    found = template_scales(ramp, np.zeros(SHAPE[1:]), template, labels, 1)
    design = np.stack([np.ones(template.size), template.ravel()], axis=1)
    dense = np.linalg.lstsq(design, ramp.reshape(12, -1).T, rcond=None)[0].T.reshape(3, 4, 2)
    error = scale_error(1.0, template.std(), template.size)
    # later groups are first group plus difference: three values with such a distance
    assert np.abs(found[:, :, 0, 1] - dense[..., 1]).max() < 5 * 0.23 * np.sqrt(3) * error
    np.testing.assert_allclose(found[:, :, 0, 0], 100.0, atol=5 / np.sqrt(template.size) * 2)


def test_error_of_the_scale_is_as_stated():
    """1500 fits: their scatter is known to 2 %."""
    rng = np.random.default_rng(3)
    template = rng.uniform(0, 3, (12, 16))
    ramp = rng.normal(0, 2.0, (1500, 1, 12, 16)) + 4.0 * template
    found = template_scales(ramp, np.zeros((1, 12, 16)), template, np.zeros((12, 16), np.int64), 1)
    scale = found[:, 0, 0, 1]
    expected = scale_error(2.0, template.std(), template.size)
    assert scale.std() == pytest.approx(expected, rel=0.08)
    assert abs(scale.mean() - 4.0) < 4 * expected / np.sqrt(1500)


def test_outliers_have_no_say_and_steep_templates_are_no_outliers():
    """A tenth of the pixels hit; a template that lives in a tenth of the pixels."""
    rng = np.random.default_rng(4)
    template = np.zeros((40, 50))
    template[:4] = 1.0
    ramp = rng.normal(0, 1.0, (20, 1, 40, 50)) + 300.0 * template
    ramp[:, 0, 10:14] += 5000.0
    found = template_scales(ramp, np.zeros((1, 40, 50)), template, np.zeros((40, 50), np.int64), 1)
    # 200 pixels at the level 1: error 1.03 / sqrt(0.09 * 2000) for spread 0.3
    error = scale_error(1.0, template.std(), template.size)
    assert np.abs(found[..., 1] - 300.0).max() < 5 * error


def test_labels_nan_and_static_part():
    template = np.random.default_rng(6).normal(0, 1, SHAPE[2:])
    static = np.random.default_rng(7).normal(0, 50, SHAPE[1:])
    labels = np.zeros(SHAPE[2:], np.int64)
    labels[:, 8:], labels[:2] = 1, -1
    scale = np.where(labels == 1, 3.0, -2.0) * template
    ramp = static + scale * np.arange(1, 5)[:, None, None]
    first = ramp[0].copy()
    ramp = np.stack([ramp] * 3)
    ramp[:, 1:] += first  # what is fitted in later groups are differences to the first
    ramp[0, :, 5, 5] = np.nan
    found = template_scales(ramp, static, template, labels, 2)
    groups = np.array([1.0, 3.0, 4.0, 5.0])  # differences hold 2, 3, 4; those of group 1 add up
    np.testing.assert_allclose(found[:, :, 0, 1], np.tile(-2 * groups, (3, 1)), rtol=1e-4)
    np.testing.assert_allclose(found[:, :, 1, 1], np.tile(3 * groups, (3, 1)), rtol=1e-4)


def test_too_few_pixels_and_constant_template_give_zero_scale():
    labels = np.full(SHAPE[2:], -1, np.int64)
    labels.ravel()[: FEWEST - 1] = 0
    template = np.random.default_rng(8).normal(0, 1, SHAPE[2:])
    assert (template_scales(cube(), np.zeros(SHAPE[1:]), template, labels, 1) == 0).all()
    flat = template_scales(cube(), np.zeros(SHAPE[1:]), np.ones(SHAPE[2:]), labels * 0, 1)
    assert (flat[..., 1] == 0).all()
    assert np.isfinite(flat).all()


def test_scaled_template_is_subtracted():
    ramp = cube().astype("f4")
    template = np.random.default_rng(9).normal(0, 1, SHAPE[2:]).astype("f4")
    template[3, 3] = np.nan
    labels = np.zeros(SHAPE[2:], np.int64)
    labels[:, 8:], labels[0, 0] = 1, -1
    terms = np.random.default_rng(10).normal(0, 1, (3, 1, 2, 2)).astype("f4")
    out = subtract_scaled(ramp, template, labels, terms)
    model = terms[:, :, labels, 0] + terms[:, :, labels, 1] * template
    model[..., (labels < 0) | np.isnan(template)] = 0.0
    np.testing.assert_allclose(out, ramp - model, atol=2e-6)


def test_median_leaves_out_nan():
    values = np.random.default_rng(11).normal(0, 1, (7, *SHAPE[1:])).astype("f4")
    values[np.random.default_rng(12).random(values.shape) < 0.2] = np.nan
    values[:, 2, 3, 4] = np.nan
    found = time_median_of(values)
    assert np.isnan(found[2, 3, 4])
    known = np.isfinite(values).any(axis=0)
    np.testing.assert_allclose(found[known], np.nanmedian(values[:, known], axis=0))
