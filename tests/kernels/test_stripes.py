"""Levels of lines: exact on noise-free data, and as noisy as theory says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tsoxr.kernels import stripe_statistics as stat
from tsoxr.kernels import stripes
from tsoxr.kernels.small import median_of_many
from tsoxr.kernels.stripe_design import LAYERS, DesignOptions, stripe_design


def levels_of(ramp, *, edges=None, by_median=False, **layers):
    """Call `line_levels` with a dark scene without bias, all pixels usable, unless told otherwise."""
    n_group, n_slow, n_fast = ramp.shape[1:]
    defaults = dict.fromkeys(LAYERS, 0.0) | {
        "usable": 1.0,
        "limit_first": np.inf,
        "limit_rise": np.inf,
    }
    images = [np.broadcast_to(v, (n_slow, n_fast)) for v in (defaults | layers).values()]
    return stripes.line_levels(
        ramp,
        np.stack(images).astype("f4"),
        np.arange(1.0, n_group + 1.0),
        edges=np.array([0, n_fast]) if edges is None else edges,
        by_median=by_median,
    )


@given(hnp.arrays("f4", st.integers(1, 60), elements=st.floats(-1e4, 1e4, width=32)))
def test_median_is_numpys(values):
    expected = np.median(values.astype("f8"))
    assert median_of_many(values.copy(), values.size) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(hnp.arrays("f8", st.integers(3, 40), elements=st.floats(-100, 100)), st.floats(0.1, 200))
def test_clipped_mean_by_brute_force(values, limit):
    mean, variance = stripes.clipped_mean(values, values.size, np.empty_like(values), limit)
    if np.all(np.abs(values - values.mean()) <= limit):
        kept = values
    else:
        kept = values[np.abs(values - np.median(values)) <= limit]
    if kept.size > 1:
        # sums of at most 40 numbers below 200 in another order: far below 1e-9
        assert mean == pytest.approx(kept.mean(), abs=1e-9)
        assert variance == pytest.approx(kept.var(ddof=1), abs=1e-8)


def test_level_by_hand():
    # one line of four pixels; the third, 90 above the others, is a hit
    values = np.array([1.0, 2.0, 93.0, 3.0])
    assert stripes.clipped_mean(values, 4, np.empty(4), 5.0)[0] == 2.0
    assert stripes.clipped_mean(values, 4, np.empty(4), 500.0)[0] == 24.75


@pytest.mark.parametrize("order", ["slow outside", "slow inside"])
@pytest.mark.parametrize("dtype", ["f4", "u2"])
def test_injected_levels_come_back(order, dtype):
    """Bias, rise, reset noise and stripes are whole numbers: the answer is exact."""
    rng = np.random.default_rng(1)
    n_time, n_group, n_slow, n_fast = 3, 4, 37, 24
    bias = rng.integers(5000, 9000, (n_slow, n_fast))
    rise = 30 * rng.integers(0, 100, (n_slow, n_fast))
    reset = rng.integers(-50, 50, (n_time, 1, n_slow, n_fast))
    stripe = rng.integers(-20, 20, (n_time, n_group, n_slow, 1))
    part = np.arange(n_group)[:, None, None] / (n_group - 1)
    ramp = (bias + part * rise + reset + stripe).astype(dtype)
    if order == "slow inside":
        ramp = np.ascontiguousarray(ramp.swapaxes(2, 3)).swapaxes(2, 3)
    before = ramp.copy()
    levels, spread = levels_of(ramp, start=bias, rise=rise)
    expected = stripe[..., 0] + reset.mean(axis=-1)
    # float32 numbers below 2e4: 2e-3
    np.testing.assert_allclose(levels[..., 0], expected, atol=4e-3)
    np.testing.assert_allclose(spread[:, 1:], 0.0, atol=4e-3)
    np.testing.assert_array_equal(ramp, before)


def test_memory_order_does_not_matter():
    rng = np.random.default_rng(2)
    ramp = rng.normal(0, 5, (2, 3, 35, 20)).astype("f4")
    other = np.ascontiguousarray(ramp.swapaxes(2, 3)).swapaxes(2, 3)
    for a, b in zip(levels_of(ramp), levels_of(other), strict=True):
        # the same sum of 20 float32 numbers below 20 in another order
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_each_output_has_its_level():
    ramp = np.zeros((1, 2, 3, 12), "f4")
    ramp[..., :4], ramp[..., 4:8], ramp[..., 8:] = 1.0, 2.0, 3.0
    usable = np.ones((3, 12), bool)
    usable[1, 4:8] = False
    levels, _ = levels_of(ramp, usable=usable, edges=stripes.output_edges(12, 3))
    np.testing.assert_array_equal(levels[0, 1], [[1, 2, 3], [1, 0, 3], [1, 2, 3]])


def test_reset_noise_cancels_in_group_differences():
    """The level of a group against the first is the mean of the pixels' own differences."""
    rng = np.random.default_rng(3)
    reset = rng.normal(0, 1000, (5, 1, 8, 30))
    read = rng.normal(0, 5, (5, 4, 8, 30))
    with_reset = levels_of((reset + read).astype("f4"))[0][..., 0]
    without = levels_of(read.astype("f4"))[0][..., 0]
    # float32 counts of a few thousand are rounded to 2e-4
    np.testing.assert_allclose(np.diff(with_reset, axis=1), np.diff(without, axis=1), atol=1e-3)


@pytest.mark.parametrize(("by_median", "factor"), [(False, 1.0), (True, np.pi / 2)])
def test_noise_of_the_level(by_median, factor):
    """White noise: sigma^2 / n for the mean; pi/2 times that for the median of many pixels."""
    n, sigma = 101, 5.0
    ramp = np.random.default_rng(4).normal(0, sigma, (200, 1, 40, n)).astype("f4")
    levels, spread = levels_of(ramp, limit_first=5 * sigma, by_median=by_median)
    # 8000 levels: a variance to 1.6 % (1 sigma); the median's factor at n = 101 is 1 % lower
    assert levels.var() * n / sigma**2 == pytest.approx(factor, rel=0.06)
    assert np.mean(spread**2) == pytest.approx(sigma**2, rel=0.01)


def test_a_hit_is_left_out_from_its_group_on():
    ramp = np.random.default_rng(5).normal(0, 5, (1, 6, 1, 30)).astype("f4")
    hit = ramp.copy()
    hit[:, 3:, :, 7] += 4000.0
    limit = {"limit_first": 25.0, "limit_rise": 25.0 * np.sqrt(2)}
    clean, struck = levels_of(ramp, **limit)[0], levels_of(hit, **limit)[0]
    np.testing.assert_array_equal(struck[:, :3], clean[:, :3])
    # one pixel of thirty less: the mean of the others differs by about 5 sqrt(2) / 30
    assert np.abs(struck - clean)[:, 3:].max() < 5 * 5 * np.sqrt(2) / 30


def test_wings_follow_the_light():
    """A transit seen in the wings leaves no level; without bright pixels it leaves all of it."""
    n_slow, n_fast, n_group = 6, 20, 3
    star = np.zeros((n_slow, n_fast), "f4")
    star[:, 8:12], star[:, :8], star[:, 12:] = 1000.0, 10.0, 10.0
    sky, light = 5.0, np.array([1.0, 0.9, 1.0, 1.0])
    time = np.arange(1.0, n_group + 1.0)[:, None, None]
    ramp = ((light[:, None, None, None] * star + sky) * time).astype("f4")
    scene = {"start": star + sky, "rise": (star + sky) * (n_group - 1)}
    usable = np.ones((n_slow, n_fast), bool)
    usable[:, 7:13] = False
    wing = np.where(usable, star * (n_group - 1), 0).astype("f4")
    followed = levels_of(ramp, **scene, wing=wing, usable=usable, bright=star > 500)[0]
    ignored = levels_of(ramp, **scene, wing=wing, usable=usable)[0]
    # the light is measured on star and sky, 1000 and 5: 0.1 becomes 0.0995
    np.testing.assert_allclose(followed, 0.0, atol=0.1 * 10 * 3 * 0.006)
    np.testing.assert_allclose(ignored[1, :, 0, 0], -0.1 * 10 * np.array([1, 2, 3]), rtol=1e-4)


def test_values_that_are_not_finite_are_passed_over():
    ramp = np.full((1, 3, 2, 10), 4.0, "f4")
    ramp[0, 1, 0, 3], ramp[0, 0, 1, 2] = np.nan, np.inf
    levels, _ = levels_of(ramp)
    np.testing.assert_array_equal(levels[0, :, :, 0], 4.0)


def test_subtraction_keeps_the_memory_order():
    rng = np.random.default_rng(6)
    base = rng.integers(0, 60000, (2, 3, 12, 8)).astype("u2")
    levels = rng.normal(0, 5, (2, 3, 8, 2)).astype("f4")
    ramp = base.swapaxes(2, 3)
    out = stripes.subtract_levels(ramp, levels, np.array([0, 6, 12]))
    np.testing.assert_array_equal(out, ramp.astype("f4") - np.repeat(levels, 6, axis=-1))
    assert out.swapaxes(2, 3).flags.c_contiguous
    assert out.dtype == np.float32


def test_pixel_statistics_by_numpy():
    rng = np.random.default_rng(7)
    ramp = rng.normal(100, 5, (9, 2, 4, 5)).astype("f4")
    ramp[3, 1, 2, 2] = np.nan
    unusable = np.zeros(ramp.shape, bool)
    unusable[:4, 1, 1, 1] = True
    out = stat.pixel_statistics(ramp, unusable)
    first = np.where(np.isnan(ramp[:, 1]), np.nan, ramp[:, 0]).astype("f8")
    for k, values in ((0, first), (1, ramp[:, 1].astype("f8") - ramp[:, 0])):
        middle = np.nanmedian(values, axis=0)
        np.testing.assert_allclose(out[k], middle, rtol=1e-5)
        np.testing.assert_allclose(
            out[k + 2], 1.4826 * np.nanmedian(np.abs(values - middle), axis=0), rtol=1e-4, atol=1e-4
        )
    assert out[4, 1, 1] == 4
    assert out[4].sum() == 4


def test_short_lines_are_dropped_per_output():
    usable = np.ones((2, 8), bool)
    usable[1, :3] = False
    kept = stat.drop_short_lines(usable, np.array([0, 4, 8]), 2)
    np.testing.assert_array_equal(kept, [[1] * 8, [0, 0, 0, 0, 1, 1, 1, 1]])


def test_limits_are_the_median_scatter_of_the_line():
    statistics = np.zeros((5, 3, 4), "f4")
    statistics[2], statistics[3] = 20.0, [[1.0, 2.0, 9.0, 3.0]] * 3
    usable = np.ones((3, 4), bool)
    usable[1, 2], usable[2] = False, False
    limits = stat.line_limits(statistics, usable, 5.0)
    np.testing.assert_allclose(limits, [[100, 100, 0], [12.5, 10, 0]])


@pytest.mark.parametrize("n_group", [1, 5])
def test_variance_of_the_level_is_that_which_is_found(n_group):
    """Known stripes, known noise: what the estimate misses has the variance it states."""
    rng = np.random.default_rng(8)
    n_time, n_slow, n_fast, sigma = 300, 6, 25, 5.0
    stripe = rng.normal(0, 7, (n_time, n_group, n_slow, 1))
    ramp = (stripe + rng.normal(0, sigma, (n_time, n_group, n_slow, n_fast))).astype("f4")
    usable = np.ones((n_slow, n_fast), bool)
    usable[0] = False
    levels, spread = levels_of(ramp, usable=usable)
    statistics = stat.level_statistics(levels, spread)
    variance = stat.level_variance(statistics, usable, np.array([0, n_fast]), 1.0)
    error = levels - stripe
    # 300 integrations x 5 lines (x 5 groups): 1 sigma of a variance is 3.7 % (1.6 %)
    assert error[:, :, 1:].var() == pytest.approx(variance[1:].mean(), rel=0.12)
    # a line without pixels keeps its stripes; robust variance of 300 values, median of 5 lines
    assert variance[0] == pytest.approx(49.0, rel=0.25)


@pytest.mark.parametrize("lines_along", [0, 1])
def test_design_is_the_same_scene_whichever_way_it_is_read(lines_along):
    rng = np.random.default_rng(9)
    rows = np.arange(32)[:, None]
    star = 1000 * np.exp(-0.5 * ((rows - 15) / 0.8) ** 2) * np.ones((1, 50))
    ramp = np.stack([star + 300, 3 * star + 300]) + rng.normal(0, 5, (20, 2, 32, 50))
    unusable = np.zeros(ramp.shape, bool)
    unusable[:, 1, 15, 7] = True
    good = np.ones((32, 50), bool)
    good[3, 4] = False
    options = DesignOptions(
        spatial_axis=0, lines_along=lines_along, edges=np.array([0, (32, 50)[lines_along]]),
        half_width=6.0, min_pixels=8, sigma=5.0, point_source=False, follow_light=True,
    )  # fmt: skip
    out = dict(
        zip(LAYERS, stripe_design(ramp.astype("f4"), unusable, good, None, options), strict=True)
    )
    np.testing.assert_allclose(out["start"], star + 300, atol=8)
    np.testing.assert_allclose(out["rise"], 2 * star, atol=12)
    assert not out["usable"][10:21].any()
    assert out["usable"][:8].sum() == pytest.approx(8 * 50 - 1, abs=2)
    assert out["bright"][15].sum() == 49
    assert not out["bright"][:12].any()
    # 5 sigma of one read, and of the difference of two: 32 or 50 pixels know it to a few per cent
    free = out["usable"].any(axis=lines_along, keepdims=True) * np.ones((32, 50)) > 0
    assert out["limit_first"][free].mean() == pytest.approx(25, rel=0.1)
    assert out["limit_rise"][free].mean() == pytest.approx(25 * np.sqrt(2), rel=0.1)
