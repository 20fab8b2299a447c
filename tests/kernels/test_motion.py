"""The fit of motion against dense least squares; means, amplitudes and sums."""

import numpy as np
import pytest

from tsoxr.kernels import motion, motion_frame, motion_model, motion_sums

N_Y, N_X = 9, 12


@pytest.fixture
def problem():
    rng = np.random.default_rng(5)
    parts = rng.normal(size=(4, N_Y, N_X))
    parts[0] = 10 + rng.random((N_Y, N_X))
    weight = rng.random((N_Y, N_X))
    weight[:2] = 0.0
    design = np.stack([np.ones(N_X), np.linspace(-1, 1, N_X), rng.normal(size=N_X)])
    rate = parts[0] * 1.3 + 0.1 * rng.normal(size=(3, N_Y, N_X))
    bad = rng.random((3, N_Y, N_X)) < 0.1
    return rate, bad, parts, weight, design


def dense(data, bad, parts, weight):
    """Return changes and their errors, one amplitude for each line, by brute force."""
    use = ~bad & (weight > 0)
    columns = [p[use] for p in parts[1:]]
    for x in range(N_X):
        one = np.zeros((N_Y, N_X))
        one[:, x] = parts[0][:, x]
        columns.append(one[use])
    root = np.sqrt(weight[use])
    matrix = np.stack(columns, axis=1) * root[:, None]
    solution = np.linalg.lstsq(matrix, data[use] * root, rcond=None)[0]
    covariance = np.linalg.inv(matrix.T @ matrix)
    return solution, covariance


def test_fit_equals_dense_least_squares(problem):
    rate, bad, parts, weight, design = problem
    found = motion.fit_motion(rate, bad, parts, weight, design, np.zeros((4, 4)), False)
    for t in range(3):
        solution, covariance = dense(rate[t], bad[t], parts, weight)
        amplitude = found[t, 0]
        np.testing.assert_allclose(found[t, 1:4] * amplitude, solution[:3], rtol=1e-9)
        np.testing.assert_allclose(
            found[t, 6:9] * amplitude, np.sqrt(np.diag(covariance)[:3]), rtol=1e-9
        )
        use = ~bad[t] & (weight > 0)
        info = np.where(use, weight * parts[0] ** 2, 0).sum(axis=0)
        root = np.sqrt(info)
        colours = np.linalg.lstsq((design * root).T, solution[3:] * root, rcond=None)[0]
        np.testing.assert_allclose(found[t, 4] * amplitude, colours[-1], rtol=1e-9)


def test_joint_fit_has_one_amplitude(problem):
    rate, bad, parts, weight, design = problem
    found = motion.fit_motion(rate, bad, parts, weight, design, np.zeros((4, 4)), True)
    use = ~bad[0] & (weight > 0)
    root = np.sqrt(weight[use])
    matrix = np.stack([p[use] for p in parts], axis=1) * root[:, None]
    solution = np.linalg.lstsq(matrix, rate[0][use] * root, rcond=None)[0]
    np.testing.assert_allclose(found[0, 1:4], solution[1:] / found[0, 0], rtol=1e-9)


def test_values_of_bad_samples_do_not_matter(problem):
    rate, bad, parts, weight, design = problem
    noise = np.zeros((4, 4))
    expected = motion.fit_motion(rate, bad, parts, weight, design, noise, False)
    spoilt = np.where(bad, np.nan, rate)
    np.testing.assert_array_equal(
        motion.fit_motion(spoilt, bad, parts, weight, design, noise, False), expected
    )


def test_light_of_single_lines_moves_nothing(problem):
    rate, bad, parts, weight, design = problem
    noise = np.zeros((4, 4))
    dimmed = rate * np.linspace(0.5, 1.5, N_X)
    one = motion.fit_motion(rate, bad, parts, weight, design, noise, False)
    two = motion.fit_motion(
        rate + parts[0] * np.linspace(-0.5, 0.5, N_X), bad, parts, weight, design, noise, False
    )
    np.testing.assert_allclose(two[:, 1:4] * two[:, :1], one[:, 1:4] * one[:, :1], rtol=1e-8)
    assert not np.allclose(dimmed, rate)


def test_noise_of_templates_is_taken_off():
    """With a template as noisy as it is large, the plain fit finds half of a change."""
    rng = np.random.default_rng(1)
    shape = (40, 300)
    frame, true = np.full(shape, 10.0), rng.normal(size=shape)
    weight, sigma = np.ones(shape), 1.0
    seen = true + sigma * rng.normal(size=shape)
    parts = np.stack([frame, seen])
    data = (frame + 0.2 * true + 0.05 * rng.normal(size=shape))[None]
    none, design = np.zeros((1, *shape), bool), np.ones((2, shape[1]))
    design[1] = np.nan
    noise = np.zeros((2, 2))
    plain = motion.fit_motion(data, none, parts, weight, design, noise, False)[0, 1]
    noise[0, 0] = shape[0] * shape[1] * sigma**2
    whole = motion.fit_motion(data, none, parts, weight, design, noise, False)[0, 1]
    # 12000 samples: each to about 2 %
    assert plain == pytest.approx(0.1, abs=0.01)
    assert whole == pytest.approx(0.2, abs=0.015)


@pytest.mark.parametrize("joint", [False, True])
def test_one_image_is_fitted_as_an_integration_is(problem, joint):
    rate, bad, parts, weight, design = problem
    given = parts, weight, design, np.zeros((4, 4))
    found = motion.fit_motion(rate[:1], np.zeros_like(bad[:1]), *given, joint)[0]
    # the same sums, but for their order: rounding
    assert motion.fit_image(rate[0], *given, joint) == pytest.approx(found, rel=1e-9, abs=1e-12)


def test_nothing_usable_is_nan(problem):
    rate, bad, parts, weight, design = problem
    found = motion.fit_motion(
        rate, np.ones_like(bad), parts, weight, design, np.zeros((4, 4)), False
    )
    assert np.isnan(found).all()


def test_mean_and_amplitudes_ignore_bad_samples_and_hits():
    rng = np.random.default_rng(2)
    frame = 100 + rng.random((5, 6))
    light = 1 + 0.01 * rng.normal(size=20)
    rate = frame * light[:, None, None]
    bad = rng.random(rate.shape) < 0.05
    rate[3, 2, 2] += 1e4
    rate[bad] = np.nan
    found = motion_frame.amplitudes(
        np.delete(rate, 3, 0), np.delete(bad, 3, 0), frame, np.ones((5, 6))
    )
    np.testing.assert_allclose(found, np.delete(light, 3), rtol=1e-12)
    mean, used = motion_frame.robust_mean(rate, bad, light)
    np.testing.assert_allclose(mean, frame, rtol=1e-7)  # samples are float32
    assert used[2, 2] <= 19


def test_models_survive_packing():
    shape = motion_model.Shape(3, 4, 5, 2)
    values = np.arange(motion_model.size(shape), dtype=float)
    model = motion_model.unpack(values, shape)
    np.testing.assert_array_equal(motion_model.pack(model), values)
    assert model.parts.shape == (4, 4, 5)
    assert model.noise.shape == (4, 4)


def test_correlation_follows_large_shifts():
    y, x = np.arange(40.0)[:, None], np.arange(60.0)
    image = lambda dy: np.exp(-0.5 * ((y - 20 - dy) / 2) ** 2) * (1 + 0.3 * np.sin(x))  # noqa: E731
    frame = 100 * image(0)
    model = motion_model.image_model(
        frame, 0 * frame, np.ones_like(frame), 0.0, (), np.zeros((0, 40, 60))
    )
    kernels = motion_sums.correlation_kernels(model, joint=True)
    shifts = np.array([-1.3, -0.4, 0.0, 0.7, 1.4])
    rate = 100 * np.stack([image(s) for s in shifts])
    sums = motion.estimates(rate, np.zeros(rate.shape, bool), frame, model.weight, kernels)
    found, _ = motion_sums.correlation(sums, kernels, model, model.parts[1:3])
    # a parabola through a Gaussian of 2 pixels is off by up to 2 % of a pixel between lags
    np.testing.assert_allclose(found[:, 0], shifts, atol=0.05)
