"""Spectral orders that overlap: fits against dense linear algebra, light against what was put in."""

from __future__ import annotations

import numpy as np
import pytest

from tsoxr.kernels import order_basis, order_model, order_profiles, order_spectrum, order_weights
from tsoxr.kernels.extraction import coverage, optimal_weights
from tsoxr.kernels.throughput import THROUGHPUTS, efficiency_at, logarithmic

N_ROWS, N_COLUMNS = 110, 640


def horned(distance, width=1.0):
    """A profile that is none of the model's: a plateau, two unequal horns, exponential wings."""
    u = distance / width
    plateau = 1.0 / (1.0 + np.exp((np.abs(u) - 11.0) / 1.8))
    horns = 0.5 * np.exp(-0.5 * ((u + 8) / 2.2) ** 2) + 0.8 * np.exp(-0.5 * ((u - 8) / 2.2) ** 2)
    return (plateau + horns + 0.08 * np.exp(-np.abs(u) / 18.0)) / 34.0


@pytest.fixture(scope="module")
def scene():
    """Two orders that part along the dispersion, the second fainter and of the same star."""
    x = np.arange(N_COLUMNS, dtype=float)
    center = np.stack([38.0 - 6.0 * x / N_COLUMNS, 56.0 + 44.0 * (x / N_COLUMNS) ** 1.5])
    wave = np.stack([2.0 - 1.2 * x / N_COLUMNS, 1.2 - 0.7 * x / N_COLUMNS])
    star = 4e4 * (1 + 0.3 * np.sin(9.0 * wave)) / wave
    throughput = np.stack(
        [np.exp(-(((wave[0] - 1.4) / 0.8) ** 2)), 0.6 * np.exp(-(((wave[1] - 0.7) / 0.2) ** 2))]
    )
    light = star * throughput * np.abs(np.gradient(wave, axis=1)) * 100.0
    distance = np.arange(N_ROWS)[:, None] - center[:, None]
    width = np.stack([1.0 + 0.04 * x / N_COLUMNS, 1.03 + 0.0 * x])
    images = light[:, None] * horned(distance, width[:, None])
    # the second throughput is known 10 % too low: no better is claimed of the built-in ones
    known = order_model.Geometry(center, wave, throughput * [[1.0], [0.9]], np.array([0.03, 0.16]))
    cover = np.stack([coverage(c, N_ROWS, 16.0) for c in center])
    return images, known, cover


def noisy(images, seed, per_integration=4.0, n=16):
    """The frame with the photon noise of the median of n integrations, and its variance."""
    variance = (images.sum(axis=0) + 20.0) / per_integration * (np.pi / 2) / n
    rng = np.random.default_rng(seed)
    return images.sum(axis=0) + rng.normal(size=variance.shape) * np.sqrt(variance), variance


@pytest.mark.parametrize("seed", [0, 1])
def test_contamination_falls_by_more_than_ten(scene, seed):
    images, known, cover = scene
    frame, variance = noisy(images, seed)
    parts = order_model.separated(frame, variance, known)
    true = np.einsum("oyx,oyx->ox", cover, images)
    found = np.einsum("oyx,oyx->ox", cover, parts)
    other = np.einsum("oyx,yx->ox", cover, images.sum(axis=0)) - true
    for order, columns in ((1, slice(60, 400)), (1, slice(400, 600)), (0, slice(60, 600))):
        before = other[order, columns].mean()
        after = (found - true)[order, columns].mean()
        noise = np.sqrt((cover[order] * variance).sum(axis=0)[columns].sum()) / (
            columns.stop - columns.start
        )
        # a tenth of the light of the others, and three standard errors of the mean of the frame
        assert abs(after) < 0.1 * before + 3 * noise, (order, columns, before, after, noise)


def test_parts_add_up_to_the_frame_within_its_noise(scene):
    images, known, _ = scene
    frame, variance = noisy(images, 3)
    parts = order_model.separated(frame, variance, known, n_iterations=5)
    left = (frame - parts.sum(axis=0)) / np.sqrt(variance)
    assert np.mean(left**2) < 1.05  # chi-squared of 7e4 pixels: 1.005, and 4 % for the model
    assert abs(left.mean()) < 0.05


def test_bad_pixels_stars_and_borders(scene):
    images, known, cover = scene
    frame, variance = noisy(images, 4)
    frame[36, 300] = np.nan
    frame[90:100, 500:506] += 300.0  # a field star on the wings
    frame[-4:] = np.nan
    variance[10, 10] = 0.0
    parts = order_model.separated(frame, variance, known, n_iterations=5)
    assert np.isfinite(parts).all()
    assert not parts[:, -4:].any()
    # continued across the bad pixel, to the 2 % of a profile that is not measured there
    assert parts[0, 36, 300] == pytest.approx(images[0, 36, 300], rel=0.05)
    star = (parts - images).sum(axis=0)[90:100, 500:506].sum()
    assert abs(star) < 0.1 * 300 * 60
    share = order_model.contamination(parts, cover)
    assert share.shape == (2, N_COLUMNS)
    assert share[1, 50] > share[1, 500] > 0


def test_an_order_of_no_light_takes_none(scene):
    images, known, _ = scene
    alone = images.copy()
    alone[1] = 0.0
    frame, variance = noisy(alone, 5)
    parts = order_model.separated(frame, variance, known, n_iterations=4)
    found = parts[1].sum(axis=0)[320:600].mean()
    assert found < 0.01 * images[1].sum(axis=0)[320:600].mean()


def test_normal_sums_and_profiles_are_those_of_dense_algebra():
    rng = np.random.default_rng(0)
    n_rows, n_columns = 40, 16  # one block: the coefficients do not change in it
    center = np.stack([np.full(n_columns, 12.3), np.full(n_columns, 27.8)])
    place = order_basis.knot_places(np.arange(n_rows)[:, None] - center[:, None])
    light = rng.uniform(1.0, 2.0, (2, n_columns))
    light[1, 3] = 0.0
    data, weight = rng.normal(size=(n_rows, n_columns)), rng.uniform(0.5, 2.0, (n_rows, n_columns))
    weight[5, 5] = 0.0
    matrix, right = order_basis.normal_sums(place, light, data, weight)
    distance = (np.arange(n_rows)[:, None] - center[:, None]).reshape(2, -1)
    spline = [order_basis.at_distance(d) for d in distance]
    design = np.concatenate([s * light[o].repeat(1)[None].repeat(n_rows, 0).reshape(-1, 1) for o, s in enumerate(spline)], axis=1)  # fmt: skip
    w = weight.ravel()
    np.testing.assert_allclose(matrix[0], design.T @ (w[:, None] * design), atol=1e-10)
    np.testing.assert_allclose(right[0], design.T @ (w * data.ravel()), atol=1e-10)
    assert np.allclose(spline[0].sum(axis=1), 1.0)  # splines are a partition of one

    coefficients = rng.uniform(size=(2, order_basis.N_KNOTS, n_columns))
    painted = order_basis.paint(place, coefficients)
    expected = np.einsum("yxk,kx->yx", spline[1].reshape(n_rows, n_columns, -1), coefficients[1])
    np.testing.assert_allclose(painted[1], expected, atol=1e-12)


def test_knots_reach_across_the_frame():
    distance = order_basis.knot_distances()
    assert np.all(np.diff(distance) > 0)
    np.testing.assert_allclose(
        order_basis.knot_places(distance[2:-2]), np.arange(2, order_basis.N_KNOTS - 2)
    )


def test_profiles_sum_to_one_in_the_aperture(scene):
    images, known, _ = scene
    frame, variance = noisy(images, 6)
    place = order_basis.knot_places(np.arange(N_ROWS)[:, None] - known.center[:, None])
    light = images.sum(axis=1)
    found, factor = order_profiles.fitted(place, light, frame, 1.0 / variance)
    inside = order_basis.at_distance(np.arange(-16.0, 17.0)).sum(axis=0)
    np.testing.assert_allclose(np.einsum("k,okx->ox", inside, found), 1.0)
    # light times profile is what was fitted, whatever the scale
    again, twice = order_profiles.fitted(place, 2.0 * light, 2.0 * frame, 0.25 / variance)
    np.testing.assert_allclose(again, found, rtol=1e-3, atol=1e-6)
    assert (factor > 0).all()
    assert (twice > 0).all()


def test_light_is_that_of_a_dense_solution():
    rng = np.random.default_rng(1)
    n_rows, n = 30, 12
    profile = rng.uniform(size=(3, n_rows, n))
    profile[2, :, 4:] = 0.0  # an order that ends
    data, weight = rng.uniform(1, 2, (n_rows, n)), rng.uniform(1, 2, (n_rows, n))
    mean, error = rng.uniform(0.5, 1.0, (3, n)), np.full((3, n), np.inf)
    error[1, :8], error[2, :4] = 0.05, 0.02
    found = order_spectrum.fitted_light(profile, data, weight, order_spectrum.Expected(mean, error))
    rows, targets = [], []
    index = np.arange(3 * n).reshape(3, n)
    for y in range(n_rows):
        for x in range(n):
            row = np.zeros(3 * n)
            row[index[:, x]] = profile[:, y, x]
            rows.append(row * np.sqrt(weight[y, x]))
            targets.append(data[y, x] * np.sqrt(weight[y, x]))
    for o, x in zip(*np.nonzero(np.isfinite(error)), strict=True):
        row = np.zeros(3 * n)
        row[index[o, x]] = 1.0 / error[o, x]
        rows.append(row)
        targets.append(mean[o, x] / error[o, x])
        if x + 1 < n and np.isfinite(error[o, x + 1]):
            size = np.hypot(mean[o, x : x + 2], error[o, x : x + 2]) * order_spectrum.COURSE
            row = np.zeros(3 * n)
            row[index[o, x : x + 2]] = np.array([-1.0, 1.0]) / size
            rows.append(row)
            targets.append(0.0)
    dense = np.linalg.lstsq(np.array(rows), np.array(targets), rcond=None)[0].reshape(3, n)
    np.testing.assert_allclose(found, dense.clip(0.0), atol=1e-7)


def test_faint_order_follows_from_the_bright_one():
    x = np.arange(400.0)
    wave = np.stack([1.0 + 0.002 * x, 0.8 + 0.001 * x])
    throughput = np.stack([np.full(400, 0.5), np.exp(-(((wave[1] - 0.8) / 0.2) ** 2))])
    star = lambda w: 100.0 * (2.0 + np.sin(7.0 * w))  # noqa: E731 -- a spectrum
    light = star(wave) * throughput * [[0.002], [0.001]]
    light[1] *= 0.8  # the scale of its throughput is not known
    expected = order_spectrum.expected_light(light, wave, throughput, np.array([0.05, 0.1]))
    told = np.isfinite(expected.error[1])
    assert not np.isfinite(expected.error[0]).any()
    # where the first order has the wavelength, and more throughput
    np.testing.assert_array_equal(told, (wave[1] >= 1.0) & (throughput[1] < 0.5))
    np.testing.assert_allclose(expected.light[1, told], light[1, told], rtol=1e-3)
    strong = told & (throughput[1] > 0.1)
    np.testing.assert_allclose(
        expected.error[1, strong], 0.1 * expected.light[1, strong], rtol=1e-6
    )


def test_logarithmic_throughput_meets_the_table_and_goes_on():
    known = THROUGHPUTS["niriss-soss/2"]
    at = np.array(known.table).T[0]
    np.testing.assert_allclose(logarithmic(known, at), efficiency_at(known, at))
    beyond = logarithmic(known, np.array([1.2, 1.25, 1.3, np.nan]))
    assert np.isnan(beyond[3])
    assert beyond[0] > beyond[1] > beyond[2] > 0


def three_orders(seed, n_rows=60, n=7):
    rng = np.random.default_rng(seed)
    y = np.arange(n_rows)[:, None]
    centers, lights = (15.0, 28.0, 46.0), (500.0, 60.0, 20.0)
    images = np.stack([f * horned(y - c) * rng.uniform(0.9, 1.1, (1, n)) for c, f in zip(centers, lights, strict=True)])  # fmt: skip
    return images, images.sum(axis=0) / 3.0 + 4.0, y


@pytest.mark.parametrize("target", [0, 1, 2])
def test_weights_do_not_see_the_other_orders(target):
    images, variance, y = three_orders(0)
    weight = (np.abs(y - (15, 28, 46)[target]) < 9).astype(float) * np.ones(images.shape[2])
    cleaned, share = order_weights.without_others(weight, images, variance, target)
    seen = np.einsum("yx,oyx->ox", cleaned, images)
    before = np.einsum("yx,oyx->ox", weight, images)
    for m in range(3):
        if m == target:
            np.testing.assert_allclose(seen[m], before[m], rtol=1e-10)
        else:
            # what the prior of ten times the light leaves is a tenth of the noise at most
            assert (np.abs(seen[m]) < 0.1 * np.sqrt((cleaned**2 * variance).sum(axis=0))).all()
    np.testing.assert_allclose(share.sum(axis=0), 1.0)


def test_optimal_weights_become_those_of_the_joint_fit(monkeypatch):
    monkeypatch.setattr(order_weights, "PRIOR", 1e6)
    monkeypatch.setattr(order_weights, "CORE", 0.0)
    images, variance, _ = three_orders(1)
    total = images[1].sum(axis=0)
    weight, _ = optimal_weights(images[1] / total, variance, np.ones(variance.shape))
    cleaned, _ = order_weights.without_others(weight, images, variance, 1)
    for x in range(images.shape[2]):
        design, inverse = images[:, :, x].T, np.diag(1.0 / variance[:, x])
        joint = np.linalg.inv(design.T @ inverse @ design) @ design.T @ inverse
        np.testing.assert_allclose(cleaned[:, x], joint[1] * total[x], rtol=1e-6, atol=1e-9)


def test_other_orders_may_do_what_they_like(monkeypatch):
    """Each order with a light curve of its own: the sum follows only the one, to rounding."""
    monkeypatch.setattr(order_weights, "PRIOR", 1e6)
    images, variance, y = three_orders(2)
    weight = (np.abs(y - 28.0) < 9).astype(float) * np.ones(images.shape[2])
    curves = 1.0 - np.array([[0.02, 0.0, -0.3], [0.01, 0.01, 0.01], [0.1, -0.2, 0.0]])
    frames = np.einsum("ot,oyx->tyx", curves, images)
    plain = np.einsum("yx,tyx->tx", weight, frames)
    cleaned, _ = order_weights.without_others(weight, images, variance, 1)
    found = np.einsum("yx,tyx->tx", cleaned, frames)
    own = np.einsum("yx,yx->x", weight, images[1])
    np.testing.assert_allclose(found / own, curves[1][:, None] * np.ones(7), rtol=1e-8)
    assert np.abs(plain / own - curves[1][:, None]).max() > 0.3


def test_orders_that_are_not_there_leave_the_weights_alone():
    images, variance, y = three_orders(3)
    images[2] = 0.0
    images[0, :, :2] = 0.0
    variance[20, :] = np.nan
    weight = (np.abs(y - 28.0) < 9).astype(float) * np.ones(images.shape[2])
    cleaned, share = order_weights.without_others(weight, images, variance, 1)
    assert np.isfinite(cleaned).all()
    np.testing.assert_array_equal(cleaned[:, :2], weight[:, :2])
    assert not (cleaned != weight)[20].any()
    images[1] = 0.0
    _, share = order_weights.without_others(weight, images, variance, 1)
    assert np.isfinite(share).all()
