"""Levels of outputs, parities and lines: against dense algebra, and variances from moments."""

import numpy as np
import pytest

from tsoxr.kernels import preamp as kernel


def terms(n_slow=12, n_fast=16, n_outputs=2, *, slow_pattern=False):
    i_slow, i_fast = np.indices((n_slow, n_fast))
    output = i_fast * n_outputs // n_fast
    labels = [output * n_slow + i_slow, output, i_slow, 2 * output + i_fast % 2]
    sizes = [n_outputs * n_slow, n_outputs, n_slow, 2 * n_outputs]
    if slow_pattern:
        labels, sizes = [*labels, i_fast], [*sizes, n_fast]
    return kernel.Terms(np.stack(labels), tuple(sizes), n_slow, shared=2)


def covariance(own, prior):
    """Return the dense covariance of all levels."""
    distance = np.abs(np.subtract.outer(np.arange(own.n_slow), np.arange(own.n_slow)))
    blocks = [np.kron(np.eye(own.sizes[1]), prior.variance[0] * prior.correlation[0] ** distance)]
    blocks += [v * np.eye(n) for v, n in zip(prior.variance[1:], own.sizes[1:], strict=True)]
    blocks[2] = prior.variance[2] * prior.correlation[1] ** distance
    out = np.zeros((sum(own.sizes),) * 2)
    for i, block in enumerate(blocks):
        part = slice(own.offsets[i], own.offsets[i + 1])
        out[part, part] = block
    return out


@pytest.mark.parametrize("slow_pattern", [False, True])
def test_levels_are_the_conditional_expectation(slow_pattern):
    """E(beta | r) = C B' (B C B' + N)^-1 r, with lines that have no pixel at all."""
    own, rng = terms(slow_pattern=slow_pattern), np.random.default_rng(1)
    prior = kernel.Components((4.0, 9.0, 2.0, 0.5, 0.3)[: len(own.sizes)], (0.7, 0.4))
    weight = rng.uniform(0.1, 1.0, (12, 16)) * (rng.random((12, 16)) > 0.4)
    weight[4:7] = 0.0
    use = weight > 0
    values = rng.normal(0, 3, (5, int(use.sum())))
    design = np.hstack(
        [np.eye(n)[label[use]] for n, label in zip(own.sizes, own.labels, strict=True)]
    )
    dense = covariance(own, prior)
    seen = design @ dense @ design.T + np.diag(1.0 / weight[use])
    expected = (dense @ design.T @ np.linalg.solve(seen, values.T)).T
    found = kernel.Solver(weight, own, prior)((values * weight[use]) @ design)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_variances_are_measured():
    """400 frames of 4 x 32 lines: a few per cent, and the scatter of four outputs in each."""
    own, rng = terms(32, 64, 4), np.random.default_rng(2)
    true = kernel.Components((4.0, 9.0, 2.0, 1.0), (0.6, 0.3))
    beta = rng.multivariate_normal(np.zeros(sum(own.sizes)), covariance(own, true), 400)
    at = own.labels + own.offsets[:-1, None, None]
    values = beta[:, at].sum(axis=1) + rng.normal(0, 5.0, (400, 32, 64))
    found = kernel.components(values.reshape(400, -1), np.full((32, 64), 0.04), own)
    # outputs also carry the mean of their lines: 9 + (4 x 4 + 2 x 1.9) / 32; parities half a difference
    assert found.variance[1] == pytest.approx(9.0 + 0.5 + 0.6, rel=0.15)
    assert found.variance[0] == pytest.approx(4.0, rel=0.15)
    assert found.variance[2] == pytest.approx(2.0, rel=0.2)
    assert found.variance[3] == pytest.approx(0.5, rel=0.15)
    np.testing.assert_allclose(found.correlation, true.correlation, atol=0.12)


def test_noise_alone_has_no_levels():
    own, rng = terms(32, 64, 4), np.random.default_rng(3)
    found = kernel.components(rng.normal(0, 5, (30, 32 * 64)), np.full((32, 64), 0.04), own)
    # mean squares of 30 x 128 lines with 25/16 each: 1 sigma = 25/16 sqrt(2 / 3840) = 0.036
    assert max(found.variance) < 0.15


def test_sums_and_subtraction_are_those_of_numpy():
    own, rng = terms(), np.random.default_rng(4)
    ramp = rng.normal(1000, 5, (3, 4, 12, 16)).astype("f4")
    scene = (
        rng.normal(0, 1, (4, 12, 16)).astype("f4") + np.array([1000, 0, 0, 0], "f4")[:, None, None]
    )
    wing, follow = rng.random((12, 16)).astype("f4"), rng.random((3, 4)).astype("f4")
    weight = rng.random((2, 12, 16)).astype("f4") * (rng.random((12, 16)) > 0.3)
    limit = np.full((2, 12, 16), 12.0, "f4")
    ramp[0, 2, 3, 3] = np.nan
    center = rng.normal(0, 2, (3, 4, 2)).astype("f4")
    found = kernel.frame_sums(
        ramp, scene, wing, follow, weight, limit, center, own.labels, own.offsets
    )
    residual = np.concatenate([ramp[:, :1], ramp[:, 1:] - ramp[:, :1]], axis=1) - scene
    part = np.concatenate([follow[:, :1], follow[:, 1:] - follow[:, :1]], axis=1)
    residual = residual - part[..., None, None] * wing
    near = np.abs(residual - center[..., own.labels[1]]) <= 12.0
    kept = np.where(near, residual, 0.0) * weight[[0, 1, 1, 1]]
    for kind, size in enumerate(own.sizes):
        for label in range(size):
            expected = kept[..., own.labels[kind] == label].sum(axis=-1)
            np.testing.assert_allclose(found[..., own.offsets[kind] + label], expected, atol=1e-2)
    beta = rng.normal(0, 5, found.shape).astype("f4")
    at = own.labels + own.offsets[:-1, None, None]
    np.testing.assert_allclose(
        kernel.subtract_terms(ramp, beta, own.labels, own.offsets),
        ramp - beta[:, :, at].sum(2),
        atol=1e-3,
    )


def test_variance_of_sums_is_that_of_the_posterior():
    """Dense algebra in pixel space: the covariance of all levels given the pixels."""
    rng = np.random.default_rng(4)
    own = terms()
    shape = own.labels.shape[1:]
    weight = np.where(rng.uniform(size=shape) < 0.7, 0.04, 0.0).astype("f4")
    n_kinds = len(own.sizes)
    prior = kernel.Components(tuple(np.linspace(4.0, 1.0, n_kinds)), (0.6, 0.3))
    n = int(own.offsets[-1])
    design = np.zeros((weight.size, n))
    for k in range(n_kinds):
        design[np.arange(weight.size), own.offsets[k] + own.labels[k].ravel()] = 1.0
    before = covariance(own, prior)
    after = np.linalg.inv(np.linalg.inv(before) + (design.T * weight.ravel()) @ design)
    sums = rng.normal(size=(5, n))
    found = kernel.Solver(weight, own, prior).variance_of(sums)
    np.testing.assert_allclose(found, np.einsum("sa,ab,sb->s", sums, after, sums), rtol=1e-8)
