"""Background levels: against dense least squares, Monte Carlo, and what was put in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsoxr.kernels import background as kernel
from tsoxr.kernels import background_levels as levels
from tsoxr.kernels import background_template as shapes
from tsoxr.kernels.background_spread import spread_wings
from tsoxr.kernels.background_wings import light_of, wing_light
from tsoxr.kernels.small import median_of_many

N_T, N_Y, N_X = 40, 24, 30


def data(seed=0, level=3.0):
    rng = np.random.default_rng(seed)
    rate = (level + rng.normal(size=(N_T, N_Y, N_X))).astype("f4")
    return rate, np.ones_like(rate), np.zeros(rate.shape, bool)


def center():
    return np.linspace(10.0, 13.0, N_X)


def fitted(rate, error, unusable, where, centre, order, clip, median=False):
    usual = levels.static_levels(where, centre, order, median)
    none, same = np.zeros(where.shape), np.ones(len(rate))
    return levels.line_levels(rate, error, unusable, where, none, same, centre, usual, clip, median)


def line_levels(*given):
    """Return level and slope of fits of order 0 or 1."""
    fit = fitted(*given)
    return fit[..., 0], fit[..., 1] if fit.shape[-1] > 1 else np.zeros(fit.shape[:2])


def region(rate, half_width=5.0, **more):
    return kernel.background_region(np.median(rate, axis=0), center(), half_width, **more)


@given(st.integers(0, 1000), st.sampled_from([0, 1, 2, 3]))
def test_levels_are_least_squares(seed, order):
    rate, error, unusable = data(seed)
    where = region(rate)
    fit = fitted(rate, error, unusable, where, center(), order, np.inf)
    for x in (0, 13, N_X - 1):
        rows = np.flatnonzero(np.isfinite(where[:, x]))
        design = np.vander(rows - center()[x], order + 1, increasing=True)
        expected = np.linalg.lstsq(design, rate[:, rows, x].T.astype(float))[0]
        np.testing.assert_allclose(fit[:, x], expected.T, rtol=1e-4, atol=1e-5)


def test_a_missing_sample_on_a_gradient_changes_nothing_but_noise():
    rate, error, unusable = data()
    rate += 2 * np.arange(N_Y, dtype="f4")[:, None]
    where = region(rate, half_width=4.0)
    full, _ = line_levels(rate, error, unusable, where, center(), 0, np.inf)
    x = 7
    brightest = np.nanargmax(where[:, x])
    unusable[5, brightest, x] = True
    missing, _ = line_levels(rate, error, unusable, where, center(), 0, np.inf)
    changed = np.argwhere(missing != full)
    np.testing.assert_array_equal(changed, [[5, x]])
    n = np.isfinite(where[:, x]).sum()
    # one sample of unit noise in n is left out, its gradient of several units is not
    assert where[brightest, x] - np.nanmean(where[:, x]) > 5
    assert abs(missing[5, x] - full[5, x]) < 4 * np.sqrt(1 + 1 / n) / n


def test_hits_are_left_out():
    rate, error, unusable = data()
    where = region(rate)
    clean, _ = line_levels(rate, error, unusable, where, center(), 0, 5.0)
    rate[3, 1, 4] += 1e4
    hit, _ = line_levels(rate, error, unusable, where, center(), 0, 5.0)
    n = np.isfinite(where[:, 4]).sum()
    assert abs(hit[3, 4] - clean[3, 4]) < 5 / n


def test_a_change_common_to_the_line_is_no_hit():
    rate, error, unusable = data()
    where = region(rate)
    rate[3] += 500.0
    level, _ = line_levels(rate, error, unusable, where, center(), 0, 5.0)
    # mean of at least ten pixels of unit noise
    assert np.abs(level[3] - 503.0).max() < 5 / np.sqrt(10)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_variance_is_that_of_many_realisations(order):
    rng = np.random.default_rng(9)
    error = rng.uniform(0.5, 2.0, (N_Y, N_X))
    n_times = 4000
    rate = (error * rng.normal(size=(n_times, N_Y, N_X))).astype("f4")
    where = np.where(np.abs(np.arange(N_Y)[:, None] - center()) > 5, 0.0, np.nan)
    errors = np.broadcast_to(error.astype("f4"), rate.shape).copy()
    unusable = np.zeros(rate.shape, bool)
    level, _ = line_levels(rate, errors, unusable, where, center(), order, np.inf)
    predicted = levels.level_variance(error, where, center(), order)
    # a variance from 4000 samples is known to sqrt(2 / 4000) = 2.2 %
    np.testing.assert_allclose(level.var(axis=0), predicted, rtol=5 * 0.022)


def test_region_leaves_out_spectrum_hot_pixels_and_missing_ones():
    rate, _, _ = data()
    median = np.median(rate, axis=0)
    median[1, 3] = 400.0
    median[2, 3] = np.nan
    where = kernel.background_region(median, center(), 5.0)
    inside = np.isfinite(where)
    assert not inside[1, 3]
    assert not inside[2, 3]
    assert not (inside & (np.abs(np.arange(N_Y)[:, None] - center()) <= 5)).any()
    np.testing.assert_array_equal(where[inside], median[inside])


def test_darkest_part():
    # a gradient of 10 sigma of the median's noise from row to row: its dark end is kept
    median = np.median(data()[0], axis=0) + 2.0 * np.arange(N_Y)[:, None]
    part = kernel.background_region(median, center(), 5.0, 0.3)
    for x in range(N_X):
        candidates = np.flatnonzero(np.abs(np.arange(N_Y) - center()[x]) > 5)
        kept = np.flatnonzero(np.isfinite(part[:, x]))
        np.testing.assert_array_equal(kept, candidates[: round(0.3 * candidates.size)])


def test_lines_without_enough_pixels_are_filled_from_their_neighbours():
    rate, error, unusable = data()
    median = np.median(rate, axis=0)
    median[:, 10] = np.nan
    median[2:, 11] = np.nan
    where = kernel.background_region(median, center(), 5.0)
    level, _ = line_levels(rate, error, unusable, where, center(), 0, 5.0)
    assert np.isnan(level[:, 10:12]).all()
    filled = kernel.fill_lines(level)
    x = np.arange(N_X)
    known = np.isfinite(level[0])
    np.testing.assert_array_equal(filled[0], np.interp(x, x[known], level[0, known]))
    assert np.isnan(kernel.fill_lines(np.full((2, 3), np.nan))).all()


def test_the_darkest_pixels_are_not_dark_by_their_own_noise():
    # chosen by its own value, the darkest third of Gaussian noise lies 1.1 sigma low
    rate, *_ = data()
    median = np.median(rate, axis=0)
    where = kernel.background_region(median, center(), 5.0, darkest=0.3)
    n = np.isfinite(where).sum()
    assert n < 0.4 * np.isfinite(region(rate)).sum()
    noise = np.sqrt(np.pi / 2 / N_T)
    # the mean of n medians of N_T values of unit noise
    assert abs(np.nanmean(where) - 3.0) < 4 * noise / np.sqrt(n)


@pytest.mark.parametrize("n_rows", [3, 4, 5, 8, 11, 14])
def test_variance_of_a_median_is_that_of_many_realisations(n_rows):
    rng = np.random.default_rng(n_rows)
    error = np.broadcast_to(rng.uniform(0.8, 1.25, (1, 40)), (n_rows, 40))
    rate = (error * rng.normal(size=(4000, n_rows, 40))).astype("f4")
    where, centre = np.zeros((n_rows, 40)), np.zeros(40)
    errors, unusable = np.broadcast_to(error.astype("f4"), rate.shape), np.zeros(rate.shape, bool)
    fit = fitted(rate, errors.copy(), unusable, where, centre, 0, np.inf, True)
    np.testing.assert_allclose(fit[:3, 7, 0], np.median(rate[:3, :, 7], axis=1), atol=1e-6)
    predicted = levels.level_variance(error, where, centre, 0, True)
    # the mean ratio of 40 variances from 4000 samples is known to 0.35 %, the formula for few
    # samples to 1.5 %
    assert (fit[..., 0].var(axis=0) / predicted).mean() == pytest.approx(1.0, abs=0.025)


def test_subtracted_levels_are_the_polynomial():
    rng = np.random.default_rng(1)
    rate = rng.normal(size=(3, N_Y, N_X)).astype("f4")
    fit = rng.normal(size=(3, N_X, 3)) * [1.0, 0.1, 0.01]
    away = np.arange(N_Y)[:, None] - center()
    model = np.einsum("txk,kyx->tyx", fit, np.stack([away**k for k in range(3)]))
    out = levels.subtract_levels(rate, fit, center())
    np.testing.assert_allclose(out, rate - model, atol=2e-6)
    same = levels.subtract_levels(rate, fit[:1], center())
    np.testing.assert_allclose(same[2], rate[2] - model[0], atol=2e-6)


# ------------------------------------------------------------------ wings


def star(power, share=2e-3, seed=0):
    """Return a frame with a spectrum, wings and levels, its wings, and errors."""
    rng = np.random.default_rng(seed)
    centre = np.linspace(30.0, 34.0, 200)
    away = np.abs(np.arange(64)[:, None] - centre)
    light = 1e5 * (1.5 + np.sin(np.linspace(0, 3, 200)))
    core = np.exp(-0.5 * away**2)
    wings = share * light * np.maximum(away, 1.0) ** -power * (away > 8)
    level = rng.normal(50, 5, 200)
    frame = light * core / core.sum(axis=0) + wings + level + rng.normal(size=away.shape)
    return frame, wings, np.ones(frame.shape), centre, level


@pytest.mark.parametrize("power", [2.0, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_wings_are_found_and_the_levels_come_out(power, seed):
    frame, wings, error, centre, level = star(power, share=0.02 * 10 ** (power - 2), seed=seed)
    where = kernel.background_region(frame, centre, 10.0)
    found = wing_light(frame, error, where, centre, 10.0)
    inside = np.isfinite(where)
    assert wings[inside].max() > 10
    plain = levels.static_levels(where, centre, 0)[:, 0] - level
    corrected = levels.static_levels(where - found, centre, 0)[:, 0] - level
    # 40 pixels of unit noise: 0.16 for a line, 0.011 for the mean over 200; the light, summed
    # over 21 pixels, includes a part of the wings and the power goes by quarters: 3 % of them
    assert abs(corrected.mean()) < 4 * 0.011 + 0.03 * plain.mean()
    assert plain.mean() > 20 * abs(corrected.mean())


def test_without_wings_none_are_made_up():
    frame, _, error, centre, _ = star(2.0, share=0.0)
    where = kernel.background_region(frame, centre, 10.0)
    found = wing_light(frame, error, where, centre, 10.0)
    # what noise makes of them: least squares on 8000 pixels, at most a few errors of the mean
    assert np.abs(found[np.isfinite(where)]).mean() < 0.1


@pytest.mark.parametrize("length", [12.0, 20.0])
@pytest.mark.parametrize("seed", range(3))
def test_wings_of_two_orders_are_found_together(length, seed):
    rng = np.random.default_rng(seed)
    y, x = np.arange(160.0)[:, None], np.arange(240)
    centre = 30.0 + 0.1 * x
    other = 110.0 - 0.1 * x  # crosses what would be dark
    light = 1e5 * (1.5 + np.sin(x / 70.0))
    core = lambda at: np.exp(-0.5 * ((y - at) / 2.0) ** 2) / 5.0  # noqa: E731 -- both orders
    star = light * (core(centre) + 0.6 * core(other))
    throw = np.exp(-np.abs(y - y[:, 0]) / length) / length
    wings = 0.02 * throw @ star
    level = rng.normal(50.0, 5.0, x.size)
    frame = star + wings + level + rng.normal(size=star.shape)
    where = kernel.background_region(frame, centre, 15.0, 0.3)
    found = spread_wings(frame, np.ones(frame.shape), where, centre, 15.0)
    plain = levels.static_levels(where, centre, 0)[:, 0] - level
    corrected = levels.static_levels(where - found, centre, 0)[:, 0] - level
    assert plain.mean() > 3.0
    # 40 pixels of unit noise on 240 lines: 0.01; a wing of 20 pixels is stood in for by its
    # neighbours 13.5 and 20.25, and noise chooses among those that leave nearly the same: 4 %
    assert abs(corrected.mean()) < 0.04 + 0.04 * plain.mean()
    assert not found[~np.isfinite(where)].any()


def test_a_frame_without_light_throws_no_wings():
    rng = np.random.default_rng(0)
    frame = 50.0 + rng.normal(size=(64, 200))
    centre = np.full(200, 32.0)
    where = kernel.background_region(frame, centre, 10.0)
    found = spread_wings(frame, np.ones(frame.shape), where, centre, 10.0)
    # nothing but noise: at most what 8000 pixels of it make of a few shapes
    assert np.abs(found[np.isfinite(where)]).mean() < 0.1
    nothing = spread_wings(frame, np.ones(frame.shape), np.full_like(where, np.nan), centre, 99.0)
    assert not nothing.any()


def test_light_of_the_spectrum():
    frame, _, _, centre, _ = star(2.0)
    ratio = np.array([1.0, 0.99, 1.02])
    rate = (ratio[:, None, None] * frame).astype("f4")
    unusable = np.zeros(rate.shape, bool)
    unusable[1, 20:40, :50] = True
    rate[2, 30, 100] = 1e7
    light = light_of(rate, unusable, frame, centre, 8.0)
    np.testing.assert_allclose(light, ratio, rtol=1e-5)
    assert light_of(rate, ~unusable & False | True, frame, centre, 8.0).tolist() == [1, 1, 1]


# ------------------------------------------------------------------ templates


def sky_with_step(slope=0.035, start=88.0):
    y, x = np.mgrid[:72, :200]
    step = start + slope * y
    return 4.0 + 0.002 * x + 1.5 / (1 + np.exp(-(x - step) / 1.5)), step[:, 0]


@pytest.mark.parametrize("seed", range(5))
def test_step_is_found_to_half_a_pixel(seed):
    sky, step = sky_with_step()
    noisy = sky + 0.05 * np.random.default_rng(seed).normal(size=sky.shape)
    noisy[10:25] += 30 * np.random.default_rng(9).random((15, 200))
    found = shapes.step_line(noisy, 95.0)
    np.testing.assert_allclose(found, step, atol=0.5)
    assert shapes.steepest(np.median(sky, axis=0)) == pytest.approx(89, abs=2)


def test_no_step_is_no_step():
    y, x = np.mgrid[:72, :200]
    assert shapes.step_line(4.0 + 0.002 * x + 0.0 * y, 90.0) is None
    assert shapes.step_line(np.full((72, 200), np.nan), 90.0) is None
    assert shapes.sides(None, (3, 4)).sum() == 0


@pytest.mark.parametrize("seed", range(3))
def test_scales_are_least_squares_without_hits(seed):
    rng = np.random.default_rng(seed)
    sky, step = sky_with_step()
    side = shapes.sides(step, sky.shape)
    truth = np.array([[0.1, -0.2], [0.3, 0.0]])
    median = 2.0 * sky
    rate = (median + truth[:, side] * sky + rng.normal(size=(2, *sky.shape))).astype("f4")
    rate[1, 5, 5] += 1e5
    ones, none = np.ones(sky.shape), np.zeros(sky.shape)
    found = shapes.scale_changes(
        rate, np.ones_like(rate), np.zeros(rate.shape, bool), median, none, np.ones(2), ones,
        sky, side, 5.0,
    )  # fmt: skip
    for s in range(2):
        use = side == s
        expected = (sky * (rate[0] - median))[use].sum() / (sky[use] ** 2).sum()
        assert found[0, s] == pytest.approx(expected, rel=1e-3)
        error = 1 / np.sqrt((sky[use] ** 2).sum())
        assert abs(found[1, s] - truth[1, s]) < 4.5 * error
    noisy = median + 0.1 * rng.normal(size=sky.shape)
    noisy[60:, 20:40] += 50.0
    usual = shapes.static_scales(noisy, ones, sky, side)
    np.testing.assert_allclose(usual, 2.0, atol=2e-3)
    left = shapes.subtract_template(rate, 2.0 + truth, sky, side)
    assert abs(np.median(left)) < 0.05


def test_one_side_without_pixels_has_the_others_scale():
    sky, step = sky_with_step()
    side = shapes.sides(step, sky.shape)
    where = np.where(side == 0, 3.0 * sky, np.nan)
    found = shapes.static_scales(where, np.ones(sky.shape), sky, side)
    np.testing.assert_allclose(found, 3.0)
    nothing = shapes.static_scales(np.full(sky.shape, np.nan), np.ones(sky.shape), sky, side)
    assert np.isnan(nothing).all()


def test_template_takes_its_part_of_the_levels_of_lines():
    rng = np.random.default_rng(3)
    factor = rng.normal(size=(6, 2, 12))
    weight = rng.uniform(0.5, 2, (6, 10))
    weight[3] = np.nan
    template = rng.uniform(1, 2, (6, 10))
    edges = np.array([0, 4, 10])
    out = shapes.relative_to_template(factor, weight, template, edges)
    # dense: levels L (line, output) made of the modes, the scale fitted to all their pixels
    output = np.repeat([0, 1], [4, 6])
    for mode in range(12):
        image = factor[:, output, mode]
        use = np.isfinite(weight)
        scale = (weight * template * image)[use].sum() / (weight * template**2)[use].sum()
        left = image - scale * template
        expected = np.stack([left[:, :4].mean(axis=1), left[:, 4:].mean(axis=1)], axis=1)
        np.testing.assert_allclose(out[..., mode], expected, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 101, 256])
@pytest.mark.parametrize("values", [3, 10**6])
def test_median_of_many_is_the_median(n, values):
    rng = np.random.default_rng(n)
    for _ in range(20):
        line = rng.integers(values, size=n).astype(float)  # with ties, and without
        assert median_of_many(line.copy(), n) == np.median(line)


@pytest.mark.parametrize("darkest", [1.0, 0.4])
def test_region_is_that_of_lines_one_by_one(darkest):
    rng = np.random.default_rng(3)
    median = np.where(rng.random((N_Y, N_X)) < 0.1, np.nan, rng.normal(size=(N_Y, N_X)))
    median[:, 4] = np.nan
    found = kernel.background_region(median, center(), 5.0, darkest)
    beside = np.abs(np.arange(N_Y)[:, None] - center()) > 5.0
    values = np.where(beside, median, np.nan)
    for x in range(N_X):
        usable = np.isfinite(values[:, x])
        rank = values[:, x].copy()
        if darkest < 1.0:
            around = np.delete(np.arange(N_X), x)
            around = around[np.abs(around - x) <= kernel.RANK_REACH]
            for y in np.flatnonzero(usable):
                seen = values[y, around][np.isfinite(values[y, around])]
                rank[y] = np.median(seen) if seen.size else rank[y]
        if usable.sum() < kernel.MIN_PIXELS:
            assert np.isnan(found[:, x]).all()
            continue
        n_kept = max(kernel.MIN_PIXELS, round(darkest * int(usable.sum())))
        kept = usable & (rank <= np.sort(rank[usable])[n_kept - 1])
        # normal noise: one in 16000 stands out by 4 sigma, none of these 300 pixels
        assert np.array_equal(np.isfinite(found[:, x]), kept)
