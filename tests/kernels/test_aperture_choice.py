"""The statistics of scatters of curves that share noise, and the light of nested apertures."""

from __future__ import annotations

import numpy as np
import pytest

from tsoxr.kernels import aperture_choice as choice
from tsoxr.kernels import aperture_light as light
from tsoxr.kernels import aperture_tables as tables
from tsoxr.kernels.extraction import coverage

ALL = np.ones(400, bool)


def second(length):
    """The matrix that makes scaled second differences of means of `length` out of 400 values."""
    shape = np.repeat([1.0, -2.0, 1.0], length) / (length * np.sqrt(6.0))
    n = 400 - 3 * length + 1
    out = np.zeros((n, 400))
    for i in range(n):
        out[i, i : i + 3 * length] = shape
    return out


# ------------------------------------------------------------------ differences


@pytest.mark.parametrize("length", [1, 4, 16])
def test_differences_are_those_of_the_matrix(length):
    curves = 1 + 1e-4 * np.random.default_rng(1).standard_normal((400, 3))
    np.testing.assert_allclose(
        choice.differences(curves, ALL, length), second(length) @ curves, atol=1e-16
    )


def test_a_trend_has_no_differences_and_a_corner_has_one():
    trend = 1 + 3e-4 * np.arange(400.0)[:, None]
    # sums of 400 values near 0.1 round at 1e-14
    assert np.abs(choice.differences(trend, ALL)).max() < 1e-14
    corner = 1 - 1e-3 * np.clip(np.arange(400.0) - 100, 0, None)[:, None]
    found = choice.differences(corner, ALL)[:, 0]
    assert (np.abs(found) > 1e-12).sum() == 1
    assert np.abs(found).max() == pytest.approx(1e-3 / np.sqrt(6), rel=1e-9)


def test_differences_take_only_what_counts():
    curves = 1 + 1e-4 * np.random.default_rng(2).standard_normal((400, 2))
    use = ALL.copy()
    use[50] = False
    broken = curves.copy()
    broken[200, 1] = np.nan
    found = choice.differences(broken, use)
    kept = [i for i in range(398) if not {i, i + 1, i + 2} & {50, 200}]
    np.testing.assert_allclose(found, (second(1) @ curves)[kept], atol=1e-16)


@pytest.mark.parametrize("length", [1, 8])
def test_correlated_number_is_that_of_the_covariance(length):
    matrix = second(length)
    covariance = matrix @ matrix.T
    # the variance of a mean square of normal values is 2 tr(C^2) / n^2
    exact = np.trace(covariance) ** 2 / (covariance**2).sum()
    # the ends, 3 length of 400 on either side, lack some of their neighbours
    assert choice.correlated_number(len(matrix), length) == pytest.approx(
        exact, rel=3 * length / 400
    )


def test_scatter_is_normal_consistent_and_blind_to_outliers():
    rng = np.random.default_rng(3)
    curves = 1 + 1e-4 * rng.standard_normal((400, 200))
    found = np.array([choice.scatter(curves[:, [i]], ALL)[:, 0] for i in range(200)])
    # 200 scatters, each known to 1 / sqrt(2 * 205)
    assert found[:, 0].mean() == pytest.approx(1e-4, rel=4 * 0.05 / np.sqrt(200))
    assert found[:, 0].std() == pytest.approx(found[:, 1].mean(), rel=0.2)
    hit = curves[:, :2].copy()
    hit[100] += 0.1
    np.testing.assert_allclose(
        choice.scatter(hit, ALL)[0], choice.scatter(curves[:, :2], ALL)[0], rtol=0.02
    )


def test_too_few_integrations_have_no_scatter():
    assert np.isnan(choice.scatter(np.ones((8, 2)), np.ones(8, bool))).all()
    assert np.isnan(choice.compare(np.ones((8, 2)), np.ones(8, bool)).worse).all()


# ------------------------------------------------------------------ comparison


@pytest.fixture(scope="module")
def pairs():
    """1500 pairs of curves of equal scatter, correlated by 0.95."""
    rng = np.random.default_rng(4)
    one, two = rng.standard_normal((2, 200, 1500))
    return one, 0.95 * one + np.sqrt(1 - 0.95**2) * two


def compared(pairs, more=1.0):
    one, two = pairs
    n = one.shape[1]
    stacks = (np.stack([one[:, i], more * two[:, i]], axis=1) for i in range(n))
    return [choice.compare(1 + 1e-4 * s, np.ones(200, bool)) for s in stacks]


def test_equal_scatter_is_told_apart_as_often_as_chance_has_it(pairs):
    worse = np.array([c.worse.max() for c in compared(pairs)])
    # |t| > 2 with about 100 degrees of freedom: 4.8 %; 1500 trials know it to 0.55 %
    assert (worse > 2).mean() == pytest.approx(0.048, abs=4 * 0.0055)


def test_the_ratio_has_the_error_that_it_says(pairs):
    found = compared(pairs)
    ratio = np.array([c.scatter[1] / c.scatter[0] for c in found])
    error = np.mean([c.excess_error.max() for c in found])
    assert np.log(ratio).std() == pytest.approx(error, rel=4 / np.sqrt(2 * 1500))
    # less than a third of what independent curves would have
    assert error < 0.35 * np.sqrt(2) * np.mean([c.error[0] / c.scatter[0] for c in found])


def test_a_worse_curve_is_found(pairs):
    # 15 % more scatter is 4.5 errors of the ratio, so that 99 % are above 2
    worse = np.array([c.worse[1] for c in compared(pairs, 1.15)])
    assert (worse > 2).mean() > 0.95


def test_choice_is_the_nearest_that_is_not_worse():
    worse, distance = np.array([5.0, 1.0, 0.0, 1.5, 2.5]), np.array([2.0, 1.0, 0.0, 1.0, 2.0])
    assert choice.choose(worse, distance) == 2
    assert choice.choose(worse, np.array([0.0, 1.0, 2.0, 3.0, 4.0])) == 1
    assert choice.choose(worse, np.array([0.0, 1.0, 2.0, 1.0, 2.0])) == 3
    assert choice.choose(np.full(5, np.nan), distance) == 2


# ------------------------------------------------------------------ nested apertures

WIDTHS = (1.0, 1.3, 2.0, 2.5, 3.75)
SHAPE = (24, 40)


def still():
    rng = np.random.default_rng(5)
    center = 11.3 + 0.04 * np.arange(SHAPE[1])
    rows = np.arange(SHAPE[0])[:, None]
    median = 500 * np.exp(-0.5 * ((rows - center) / 1.1) ** 2) + 3.0 + 0.2 * rng.random(SHAPE)
    error = np.sqrt(median + 4.0)
    gain = 1.6 + 0.05 * rng.random(SHAPE)
    median[12, 7] = np.nan
    columns = np.arange(SHAPE[1]) > 1
    count = np.full(SHAPE, 40.0)
    return tables.Still(median, error, count, center, gain, columns, np.zeros(SHAPE[1]))


def cube(of, n=6):
    rng = np.random.default_rng(6)
    data = of.median + of.error * rng.standard_normal((n, *SHAPE))
    data = np.nan_to_num(data).astype("f4")
    flags = np.zeros(data.shape, "u4")
    flags[:, 12, 7] = 1
    flags[2, 11, 20] = flags[3, 14:16, 30] = 1
    data[4, 12, 33] = np.nan
    flags[5, :, 25] = 1
    return data, flags


def dense(of, plan, made, data, flags):
    """The same in plain loops over widths, regions and columns."""
    rows = np.arange(SHAPE[0])[:, None]
    used = np.isfinite(of.median)
    profile = made.profile * np.where(used, of.gain, 1.0)
    variance = np.where(used, (of.error * of.gain) ** 2, np.inf)
    out = np.zeros((len(data), len(plan.half_widths), max(len(plan.regions), 1)))
    for t, image in enumerate(data.astype(float)):
        good = (flags[t] == 0) & np.isfinite(image)
        for k, half_width in enumerate(plan.half_widths):
            cover = coverage(of.center, SHAPE[0], half_width)
            weight = cover if plan.method == "box" else (cover > 0) * profile / variance
            weight = np.where(used, weight, 0.0)
            share = (cover * profile).sum(axis=0)
            for b in range(out.shape[2]):
                level = np.zeros(SHAPE[1])
                if plan.regions:
                    inside = (made.inside > b) & (np.abs(rows - of.center) > plan.regions[b])
                    both = inside & good
                    change = np.where(both, np.nan_to_num(image) - np.nan_to_num(of.median), 0.0)
                    many = np.maximum(both.sum(axis=0), 1)
                    usual = np.where(inside, np.nan_to_num(of.median), 0).sum(0) / inside.sum(0)
                    level = usual + np.where(both.any(axis=0), change.sum(axis=0) / many, 0.0)
                net = np.where(good, (np.nan_to_num(image) - level) * of.gain * weight, 0.0)
                light_left = np.where(good, weight * profile, 0.0).sum(axis=0)
                everything = np.where(used, weight * profile, 0.0).sum(axis=0)
                left = of.seen & (light_left >= 0.5 * everything) & (light_left > 0)
                left &= (plan.method != "box") | (everything >= 0.5 * share)
                column = share * net.sum(axis=0) / np.where(left, light_left, 1.0)
                light_of = made.light[k]
                out[t, k, b] = column[left].sum() / (light_of[left].sum() / light_of.sum())
    return out


@pytest.mark.parametrize("method", ["box", "optimal"])
@pytest.mark.parametrize("regions", [(), (6.0, 7.5, 9.0)])
def test_nested_light_is_that_of_plain_loops(method, regions):
    of, plan = still(), tables.Plan(WIDTHS, regions, method)
    made, (data, flags) = tables.nested_tables(of, plan), cube(of)
    found = light.nested_light(data, flags, made, unusable=1)
    expected = dense(of, plan, made, data, flags)
    # weights are kept in float32
    np.testing.assert_allclose(found, expected, rtol=3e-6)
    turned = light.nested_light(
        *(np.ascontiguousarray(a.transpose(0, 2, 1)).transpose(0, 2, 1) for a in (data, flags)),
        made, unusable=1,
    )  # fmt: skip
    np.testing.assert_array_equal(turned, found)


@pytest.mark.parametrize("widths", [(1.0, 1.5, 2.0), (2.0, 2.1, 2.2, 2.9, 5.0), (4.0,), (0.2, 9.0)])
def test_no_pixel_grows_over_more_apertures_than_said(widths):
    places = np.linspace(0, 11, 997)
    cover = np.array([coverage(places, 12, w)[6] for w in widths])
    grows = np.diff(np.concatenate([np.zeros((1, places.size)), cover]), axis=0) > 0
    first, last = grows.argmax(axis=0), len(widths) - 1 - grows[::-1].argmax(axis=0)
    span = np.where(grows.any(axis=0), last - first + 1, 0).max()
    assert span <= light.n_steps(np.array(widths)) <= len(widths) + 1


@pytest.mark.parametrize("method", ["box", "optimal"])
def test_predicted_error_is_the_scatter(method):
    of = still()
    plan = tables.Plan(WIDTHS, (6.0, 9.0), method)
    made = tables.nested_tables(of, plan)
    rng = np.random.default_rng(7)
    data = of.median + of.error * rng.standard_normal((400, *SHAPE))
    flags = np.broadcast_to(np.isnan(data[:1]).astype("u4"), data.shape).copy()
    found = light.nested_light(np.nan_to_num(data).astype("f4"), flags, made, unusable=1)
    # 400 integrations know their scatter to 3.5 %; a column's level is more than the
    # level of its own pixels where one of them is lost
    ratio = found.std(axis=0) / found.mean(axis=0) / tables.predicted(of, made)
    assert np.abs(ratio - 1).max() < 3 * 0.035


def test_a_region_without_pixels_has_no_light_and_spoils_no_other():
    of = still()
    # the trace lies at 11 to 13 of 24 lines: beyond 11 there is one pixel on one side or two
    made = tables.nested_tables(of, tables.Plan(WIDTHS, (6.0, 11.0)))
    found = light.nested_light(*cube(of), made, unusable=1)
    assert np.isfinite(found[..., 0]).all()
    assert np.isnan(found[..., 1]).all()
    assert np.isnan(tables.predicted(of, made)[:, 1]).all()


def test_trace_outside_the_frame_is_refused():
    of = still()
    away = tables.Still(*[a + 100 if a is of.center else a for a in vars(of).values()])
    with pytest.raises(ValueError, match="outside the frame"):
        tables.nested_tables(away, tables.Plan(WIDTHS))
