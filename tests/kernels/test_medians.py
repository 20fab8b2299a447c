"""Medians of many sets: exactly those of numpy, for any values, ties and outliers included."""

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tsoxr.kernels import medians
from tsoxr.kernels.masked_medians import masked_median_in_time

FLOATS = st.floats(-1e5, 1e5, width=32)


@numba.njit
def median_by_counting(values, n, guess, scale, scratch):
    return medians.median_by_counting(values, n, guess, scale, scratch)


@numba.njit
def median_of_lanes(values, pairs, count, width, out):
    medians.median_of_lanes(values, pairs, count, width, out)


def sorted_median(values):
    """Return the median in float32 arithmetic."""
    order = np.sort(values)
    n = order.size
    return order[n // 2] if n % 2 else np.float32(0.5) * (order[n // 2 - 1] + order[n // 2])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 16, 17, 31, 48])
def test_networks_sort_what_is_wanted(n):
    """All inputs of zeros and ones would prove it; random permutations with ties stand for them."""
    rng = np.random.default_rng(n)
    values = rng.integers(0, n + 1, (n, 300)).astype("f4")
    for low, high in ((0, n - 1), ((n - 1) // 2, n // 2), (0, n // 2)):
        found = values.copy()
        for i, j in medians.network(n, low, high):
            smaller = np.minimum(found[i], found[j])
            found[j], found[i] = np.maximum(found[i], found[j]), smaller
        np.testing.assert_array_equal(
            found[low : high + 1], np.sort(values, axis=0)[low : high + 1]
        )


@given(hnp.arrays("f4", st.integers(1, 70), elements=FLOATS), FLOATS, st.floats(1e-6, 1e6))
def test_counting_is_exact_from_any_start(values, guess, scale):
    found = median_by_counting(values, values.size, guess, scale, np.empty(71, "f4"))
    assert found == sorted_median(values)


@pytest.mark.parametrize("kind", ["noise", "few values", "hits", "all the same"])
def test_counting_many_values(kind):
    rng = np.random.default_rng(1)
    scratch = np.empty(1001, "f4")
    for n in (49, 200, 999, 1000):
        values = {
            "noise": rng.normal(3.0, 5.0, n),
            "few values": rng.integers(0, 3, n),
            "hits": np.where(rng.random(n) < 0.4, 1e9, rng.normal(0, 1, n)),
            "all the same": np.full(n, 7.0),
        }[kind].astype("f4")
        found = median_by_counting(values, n, values.mean(), 5.0, scratch)
        assert found == sorted_median(values)


def test_columns_of_different_length():
    rng = np.random.default_rng(2)
    values = rng.normal(0, 5, (20, 150)).astype("f4")
    count = rng.integers(0, 21, 150).astype("i4")
    filled = np.where(np.arange(20)[:, None] < count, values, medians.HUGE)
    filled = rng.permuted(filled, axis=0)
    out = np.empty(150, "f4")
    median_of_lanes(filled, medians.network(20, 0, 10), count, 150, out)
    expected = [sorted_median(values[:n, k]) if n else 0.0 for k, n in enumerate(count)]
    np.testing.assert_array_equal(out, expected)


def test_in_time_by_numpy():
    values = np.random.default_rng(3).normal(100, 5, (21, 3, 60)).astype("f4")
    middle = np.median(values, axis=0)
    np.testing.assert_array_equal(medians.median_in_time(values), middle)
    left = np.abs(values - middle)
    kept = left <= 3.0 * np.median(left, axis=0)
    expected = (np.where(kept, left, 0.0) ** 2).sum(axis=0) / (kept.sum(axis=0) - 1)
    # sums of 21 float32 numbers
    np.testing.assert_allclose(medians.variance_in_time(values, 3.0), expected, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_in_time_without_a_value(bad):
    values = np.ones((5, 2, 3), "f4")
    values[1, 0, 2] = bad
    for found in (medians.median_in_time(values), medians.variance_in_time(values, 3.0)):
        assert np.isnan(found[0, 2])
        assert np.isfinite(found).sum() == 5


@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize("axis", [0, 1])
def test_percentile_by_numpy(axis):
    rng = np.random.default_rng(4)
    values, seen = rng.normal(0, 5, (30, 40)), rng.random((30, 40)) < 0.5
    seen[3], seen[:, 5] = False, False
    expected = np.nanpercentile(np.where(seen, values, np.nan), 10, axis=axis, keepdims=True)
    found = medians.percentile_of_seen(values, seen, 10.0, axis)
    np.testing.assert_allclose(found, np.nan_to_num(expected), rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 24, 47, 48])
def test_masked_median_is_nanmedian_for_any_loss(n):
    rng = np.random.default_rng(n)
    values = np.round(rng.normal(size=(n, 3, 150)), 1 if n % 2 else 6).astype("f4")
    values[rng.random(values.shape) < 0.02] = np.nan
    unusable = rng.random(values.shape) < rng.choice([0.0, 0.05, 0.5, 1.0], (1, 3, 150))
    lost = np.where(unusable, np.nan, values)
    some = np.isfinite(lost).any(axis=0)
    expected = np.full(some.shape, np.nan, "f4")
    expected[some] = np.nanmedian(lost[:, some], axis=0)
    np.testing.assert_array_equal(masked_median_in_time(values, unusable), expected)
