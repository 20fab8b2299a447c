"""Levels hardly above their noise: what is left is least, and sums over lines keep nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tsoxr.kernels.stripe_shrink import fine_variance, shrink, shrinkage

N_TIME, N_GROUP, N_SLOW = 200, 6, 128


def drawn(rng, stripe, noise, common=0.0):
    """Return true and measured levels (time, group, slow)."""
    shape = (N_TIME, N_GROUP, N_SLOW)
    true = rng.normal(0, stripe, shape) + rng.normal(0, common, (*shape[:2], 1))
    return true, true + rng.normal(0, noise, shape)


@pytest.mark.parametrize(("stripe", "noise"), [(0.5, 1.0), (1.0, 1.0), (3.0, 1.0), (2.0, 0.0)])
def test_what_is_left_is_the_least_possible(stripe, noise):
    true, levels = drawn(np.random.default_rng(1), stripe, noise)
    seen = np.ones(N_SLOW, bool)
    part = shrinkage(fine_variance(levels, seen), np.full(N_SLOW, noise**2), seen)
    best = stripe**2 / (stripe**2 + noise**2)
    # the median of 1e5 steps, each level in two of them, tells the sum of both variances to 1 %
    np.testing.assert_allclose(part, best, atol=0.03)
    left = np.var(true - shrink(levels, part))
    # the mean of 17 lines is taken as it is: that much of the noise is not shrunk
    limit = best * noise**2 + (1.0 - best) * noise**2 / 17
    assert left == pytest.approx(limit, rel=0.03, abs=2e-3)
    assert left < min(stripe, noise + 0.1) ** 2 or noise == 0.0


def test_what_lines_have_in_common_comes_off_whole():
    true, levels = drawn(np.random.default_rng(2), 0.2, 1.0, common=5.0)
    seen = np.ones(N_SLOW, bool)
    part = shrinkage(fine_variance(levels, seen), np.ones(N_SLOW), seen)
    assert part.max() < 0.2
    rest = (true - shrink(levels, part)).sum(axis=-1)
    # nothing of the common 5, which would be 5 x 128 x 0.96 here, is in the sum over lines; the
    # noise of 128 lines is, and at the ends, where the mean is of fewer lines, a little more
    assert np.std(rest) < 1.3 * np.sqrt(N_SLOW)


def test_no_stripes_are_not_taken_off():
    _, levels = drawn(np.random.default_rng(3), 0.0, 1.0)
    seen = np.ones(N_SLOW, bool)
    part = shrinkage(fine_variance(levels, seen), np.ones(N_SLOW), seen)
    # the two variances, each known to 0.4 %, differ by chance
    assert part.max() < 0.02


def test_lines_that_are_not_measured():
    _, levels = drawn(np.random.default_rng(4), 2.0, 1.0)
    seen = np.arange(N_SLOW) % 8 != 0
    levels[..., ~seen] = 1e6
    part = shrinkage(fine_variance(levels, seen), np.ones(N_SLOW), seen)
    assert np.isnan(part[~seen]).all()
    np.testing.assert_allclose(part[seen], 0.8, atol=0.02)
    taken = shrink(levels, part)
    assert not taken[..., ~seen].any()
    assert np.abs(taken).max() < 20
    none = np.zeros(N_SLOW, bool)
    assert fine_variance(levels, none) == 0.0
    assert not shrink(levels, shrinkage(0.0, np.ones(N_SLOW), none)).any()


def test_one_group():
    rng = np.random.default_rng(5)
    levels = rng.normal(0, 2.0, (N_TIME, 1, N_SLOW))
    # a twelfth of the lines next to each other: 2.5e4 values, 1 %
    assert fine_variance(levels, np.ones(N_SLOW, bool)) == pytest.approx(4.0 * 16 / 17, rel=0.05)
