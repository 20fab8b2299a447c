"""Levels with the star's light solved for, against dense linear algebra in float64."""

import numpy as np
import pytest

from tsoxr.kernels.stripe_joint import joint_levels, joint_solver
from tsoxr.kernels.stripe_scaled import scaled_levels, scaled_variance
from tsoxr.kernels.stripes import line_levels

TIME = np.array([0.4, 0.8, 1.2, 1.6])
SIGMA = 6.0
N_TIME = 3


class Problem:
    """A small exposure: scene, levels, light, noise, hits, dead pixels and missing values."""

    def __init__(self, seed, shape, edges):
        rng = np.random.default_rng(seed)
        n_slow, n_fast = shape
        self.edges = np.asarray(edges)
        s, f = np.indices(shape)
        profile = np.exp(-0.5 * ((s - 0.45 * n_slow) / 1.3) ** 2)
        if edges == [0, n_fast] and n_fast < n_slow:  # lines across the spectrum
            profile = np.exp(-0.5 * ((f - 0.45 * n_fast) / 1.3) ** 2)
        star = 400.0 * profile * (1.0 + 0.3 * rng.random(shape))
        star[:, -2:] *= 0.01  # wavelengths, or pixels, without light
        self.dead = rng.random(shape) < 0.08
        dark = (profile < 0.05) & ~self.dead
        curve = -0.03 * star
        self.rise = star + 5.0
        start = rng.normal(200, 20, shape)
        noise = np.full(shape, 40.0)
        photon, model = 0.5 * star, 1e-4 * star**2
        usable = ~self.dead
        self.scene = np.stack([curve, star, usable, noise, photon, model]).astype("f4")
        bright, limit = profile > 0.5, np.full(shape, 60.0)
        layers = [start, self.rise, np.zeros(shape), dark, bright, limit, limit]
        self.design = np.stack(layers).astype("f4")
        self.u = (TIME - TIME[0]) / (TIME[-1] - TIME[0])
        self.dark = dark
        ramp = start + self.u[:, None, None] * self.rise
        ramp = ramp + (self.u * (1 - self.u))[:, None, None] * curve
        ramp = ramp + rng.normal(0, 5.0, (N_TIME, TIME.size, *shape))
        self.hits = np.zeros(ramp.shape, bool)
        self.hits[1, 2, 1, 3] = self.hits[2, 1, n_slow - 2, 1] = True
        ramp[self.hits] += 4000.0
        lost = np.zeros(ramp.shape, bool)
        lost[0, 2, 2, 2] = lost[2, 3, 0, 0] = True
        ramp[lost] = np.nan
        self.hits |= lost
        light = 1.0 + 0.02 * np.arange(N_TIME)[:, None]
        ramp = ramp + (light - 1.0)[..., None, None] * self.terms(1)[1] / self.u[1]
        self.ramp = ramp.astype("f4")

    def terms(self, g):
        """Return median rise, derivative by the light, and weight of a group, float64."""
        curve, star, usable, noise, photon, model = self.scene.astype("f8")
        rise = self.design[1].astype("f8")
        u, span = self.u[g], TIME[-1] - TIME[0]
        median = u * rise + u * (1 - u) * curve
        late = TIME[g] / span * (star + (1 - 2 * u) * curve)
        light = late - TIME[0] / span * (star + curve)
        return median, light, usable / (noise + u * photon + u**2 * model)

    def excess(self, t):
        """Return the light of an integration over the median less 1."""
        bright = self.design[4] > 0
        change = self.ramp[t, -1].astype("f8") - self.ramp[t, 0]
        seen = bright & np.isfinite(change)
        return change[seen].sum() / self.design[1].astype("f8")[seen].sum() - 1.0

    def departure(self, t, g):
        """Return the rise less its median, and the pixels that are neither hit nor missing."""
        change = self.ramp[t, g].astype("f8") - self.ramp[t, 0]
        good = ~(self.hits[t, g] | self.hits[t, 0])
        return np.where(good, change - self.terms(g)[0], 0.0), good

    def in_order(self, order):
        """Return ramp, design and scene with lines along memory or side by side."""
        arrays = (self.ramp, self.design, self.scene)
        if order == "along":
            return arrays
        return tuple(np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2) for a in arrays)


def weighted(columns, values, weight):
    """Return the solution of a weighted least-squares problem by its dense matrix."""
    root = np.sqrt(weight)
    return np.linalg.lstsq(columns * root[:, None], values * root, rcond=None)[0]


def shared_light(problem, t, g, lines):
    """Solve levels of some lines with one factor for the light, densely; return the levels."""
    _, light, weight = problem.terms(g)
    values, good = problem.departure(t, g)
    weight = np.where(good, weight, 0.0)[lines]
    n_line, n = weight.shape
    columns = np.zeros((n_line * n, n_line + 1))
    for i in range(n_line):
        columns[i * n : (i + 1) * n, i] = 1.0
    columns[:, -1] = light[lines].ravel()
    return weighted(columns, values[lines].ravel(), weight.ravel())[:-1]


@pytest.mark.parametrize("order", ["along", "side by side"])
@pytest.mark.parametrize("scaled_by", ["white", "wavelength", "line"])
def test_scaled_levels_are_least_squares(order, scaled_by):
    problem = Problem(1, (40, 14), [0, 14])
    ramp, design, scene = problem.in_order(order)
    how = {"edges": problem.edges, "sigma": SIGMA, "scaled_by": scaled_by}
    levels, _ = scaled_levels(ramp, design, TIME, scene, **how)
    first = line_levels(ramp, design, TIME, edges=problem.edges)[0][:, 0]
    found = (levels[:, 1:] - first[:, None])[..., 0]
    reach = {"white": 40, "wavelength": 4, "line": 0}[scaled_by]
    for t in range(N_TIME):
        for g in range(1, TIME.size):
            for s in (0, 1, 2, 17, 38, 39):
                lines = np.arange(max(s - reach, 0), min(s + reach, 39) + 1)
                expected = shared_light(problem, t, g, lines)[s - lines[0]]
                # counts near 600 in float32 are rounded to 3e-5, the mean over a line less
                assert found[t, g - 1, s] == pytest.approx(expected, abs=2e-4)


def test_variance_of_scaled_levels_is_that_of_least_squares():
    problem = Problem(2, (40, 14), [0, 14])
    _, light, weight = problem.terms(3)
    found = scaled_variance(problem.design, problem.scene, TIME, "line")
    for s in (0, 20, 39):
        columns = np.stack([np.ones(14), light[s]], axis=-1)
        covariance = np.linalg.inv(columns.T @ (weight[s][:, None] * columns))
        assert found[s] == pytest.approx(0.5 * covariance[0, 0], rel=1e-5)


def test_a_line_without_pixels_has_no_level():
    problem = Problem(3, (40, 14), [0, 14])
    problem.scene[2, 7] = problem.design[3, 7] = 0.0
    problem.ramp[1, 2, 9] = np.nan
    for order in ("along", "side by side"):
        given = problem.in_order(order)
        levels, _ = scaled_levels(
            given[0], given[1], TIME, given[2], edges=problem.edges, sigma=SIGMA
        )
        assert np.isfinite(levels).all()
        np.testing.assert_array_equal(levels[:, :, 7], 0.0)
        assert levels[1, 2, 9] == levels[1, 0, 9]


def covariance_of(n_slow, n_output):
    """Return what levels that remember their neighbours have, (line, line)."""
    distance = np.abs(np.arange(n_slow)[:, None] - np.arange(n_slow))
    alone, shared = 9.0 * np.exp(-distance / 4.0), 16.0 * np.exp(-distance / 9.0)
    both = np.einsum("su,op->soup", alone, np.eye(n_output)) + shared[:, None, :, None]
    return both.reshape(n_slow * n_output, -1)


def dense_joint(problem, covariance, g, white):
    """Return normal matrix and columns of levels, free light, shift and width, float64."""
    _, light, weight = problem.terms(g)
    n_slow, n_fast = light.shape
    n_output = problem.edges.size - 1
    output = np.searchsorted(problem.edges, np.arange(n_fast), side="right") - 1
    line = (np.arange(n_slow)[:, None] * n_output + output).ravel()
    levels = np.eye(n_slow * n_output)[line]
    norm = (weight * light**2).sum(axis=0)
    if white:
        factors = light.ravel()[:, None]
    else:
        each = np.eye(n_fast)[np.tile(np.arange(n_fast), n_slow)] * light.ravel()[:, None]
        factors = each[:, norm > 100.0]
    slope = np.gradient(light, axis=0)
    shapes = np.stack([slope.ravel(), np.gradient(slope, axis=0).ravel()], axis=-1)
    columns = np.concatenate([levels, factors, shapes], axis=1)
    normal = columns.T @ (weight.ravel()[:, None] * columns)
    normal[: len(covariance), : len(covariance)] += np.linalg.inv(covariance)
    return normal, columns * weight.ravel()[:, None]


@pytest.mark.parametrize("white", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_joint_levels_are_the_best_linear_estimate(white, seed):
    problem = Problem(seed, (16, 24), [0, 12, 24])
    covariance = covariance_of(16, 2)
    how = {"edges": problem.edges, "white": white}
    solver = joint_solver(covariance, problem.design, problem.scene, TIME, **how)
    given = (problem.ramp, problem.design, TIME)
    levels, _ = joint_levels(*given, problem.scene, solver, sigma=SIGMA, **how)
    rough = line_levels(*given, edges=problem.edges)[0]
    width = np.diff(problem.edges)
    for t in range(N_TIME):
        for g in range(1, TIME.size):
            values, good = problem.departure(t, g)
            values = values - problem.excess(t) * problem.terms(g)[1]
            # what is hit counts as the mean of the background of its line
            mean = np.repeat(rough[t, g] - rough[t, 0], width, axis=-1)
            values = np.where(good, values, mean).ravel()
            normal, columns = dense_joint(problem, covariance, g, white)
            expected = np.linalg.solve(normal, columns.T @ values)[:32]
            found = (levels[t, g] - levels[t, 0]).ravel()
            # a matrix in float32 times sums near 10: 1e-5; the noise of a level is near 1
            np.testing.assert_allclose(found, expected, atol=1e-3)


def test_covariance_of_joint_levels_is_that_of_the_estimate():
    problem = Problem(4, (16, 24), [0, 12, 24])
    covariance = covariance_of(16, 2)
    solver = joint_solver(covariance, problem.design, problem.scene, TIME, edges=problem.edges)
    normal, _ = dense_joint(problem, covariance, 3, False)
    np.testing.assert_allclose(solver[0], np.linalg.inv(normal)[:32, :32], atol=1e-4)
