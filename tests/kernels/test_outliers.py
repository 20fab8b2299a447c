"""Outliers in time: against a plain reading of the definition, and on known noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsoxr.kernels import outliers as kernel


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("f4")


def cube(n_time=60, n_y=6, n_x=8, seed=0):
    """Return white noise of unit error, the errors, and nothing flagged."""
    rate = noise((n_time, n_y, n_x), seed)
    return rate, np.ones_like(rate), np.zeros(rate.shape, bool)


def find(rate, error, unusable, *, light=None, scatter=None, sigma=5.0, window=11, margin=0):
    light = np.ones(rate.shape[0]) if light is None else light
    scatter = np.zeros(rate.shape[1:], "f4") if scatter is None else scatter
    return kernel.outliers(rate, error, unusable, light, scatter, (sigma, window, margin))


def plainly(rate, error, unusable, light, sigma, window):
    """Sort the nearest usable neighbours; off the nearer of the two central ones is off."""
    found = np.zeros(rate.shape, bool)
    for t, y, x in np.argwhere(~unusable):
        near = []
        for d in range(1, window):
            if len(near) >= window - 1:
                break
            near += [
                rate[s, y, x] * light[t] / light[s]
                for s in (t - d, t + d)
                if 0 <= s < len(rate) and not unusable[s, y, x]
            ]
        n = len(near)
        if n < 2:
            continue
        near = np.sort(np.array(near, float))
        low, high = near[(n - 1) // 2], near[n // 2]
        limit = sigma * error[t, y, x] * np.sqrt(1 + np.pi / 2 / (n + 1))
        found[t, y, x] = rate[t, y, x] - high > limit or low - rate[t, y, x] > limit
    return found


@given(
    st.integers(0, 10_000), st.integers(3, 14), st.integers(3, 9), st.sampled_from([0.0, 0.1, 0.5])
)
def test_same_as_the_definition(seed, n_time, window, part_missing):
    rng = np.random.default_rng(seed)
    rate = (10 + rng.standard_t(1.5, (n_time, 3, 4))).astype("f4")
    error = rng.uniform(0.5, 2.0, rate.shape).astype("f4")
    unusable = rng.random(rate.shape) < part_missing
    light = rng.uniform(0.9, 1.1, n_time)
    expected = plainly(rate, error, unusable, light, 3.0, window)
    got = find(rate, error, unusable, light=light, sigma=3.0, window=window)
    np.testing.assert_array_equal(got, expected)


def test_inputs_stay_as_they_are():
    rate, error, unusable = cube()
    before = rate.copy(), error.copy(), unusable.copy()
    find(rate, error, unusable)
    for now, then in zip((rate, error, unusable), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_part_with_margins_is_a_part_of_the_whole():
    rate, error, unusable = cube(n_time=80, seed=3)
    rate[::7, 2] += 9.0
    whole = find(rate, error, unusable)
    part = slice(20, 60)
    got = find(rate[part], error[part], unusable[part], margin=10)
    assert whole.any()
    np.testing.assert_array_equal(got, whole[30:50])


@pytest.mark.parametrize("n_time", [1, 2])
def test_one_neighbour_does_not_decide(n_time):
    rate, error, unusable = cube(n_time=n_time)
    rate[0] += 100.0
    assert not find(rate, error, unusable).any()


def test_three_integrations_are_enough_to_name_the_one_that_is_off():
    rate, error, unusable = cube(n_time=3)
    rate[1, 2, 3] += 100.0
    expected = np.zeros(rate.shape, bool)
    expected[1, 2, 3] = True
    np.testing.assert_array_equal(find(rate, error, unusable), expected)


@pytest.mark.parametrize("at", [0, 1, 3, 30, 58, 59])
def test_a_hit_does_not_flag_its_neighbours_not_even_at_the_ends(at):
    rate, error, unusable = cube()
    rate[at, 1, 1] += 1000.0
    found = find(rate, error, unusable)
    assert found[at, 1, 1]
    assert found.sum() == 1


def test_a_lasting_step_is_no_outlier():
    rate, error, unusable = cube()
    rate[30:] += 50.0
    assert not find(rate, error, unusable).any()


def test_scatter_widens_the_limit():
    rate, error, unusable = cube(n_time=200, seed=5)
    rate *= 4.0
    scatter = kernel.point_to_point_scatter(rate, unusable, np.ones(200), np.arange(200))
    assert find(rate, error, unusable, sigma=6.0).mean() > 0.05
    # the scatter is lowered by its uncertainty of 10 %, so 6 sigma are 5.4: 7e-8 by chance
    assert not find(rate, error, unusable, scatter=scatter, sigma=6.0).any()


def test_scatter_of_white_noise():
    n_time = 102
    rate, _, unusable = cube(n_time=n_time, n_y=30, n_x=40)
    scatter = kernel.point_to_point_scatter(3 * rate, unusable, np.ones(n_time), np.arange(n_time))
    uncertainty = kernel.SCATTER_NOISE / np.sqrt(n_time - 2)
    found = scatter * (1 + uncertainty) / 3
    # 1200 pixels, each uncertain by 14 %: the mean to 0.4 %; a median of 100 is biased by 1 %
    assert abs(found.mean() - 1) < 0.02
    assert found.std() == pytest.approx(uncertainty, rel=0.15)


def test_scatter_ignores_slow_change_and_gaps_between_runs():
    rate, _, unusable = cube(n_time=96)
    index = np.arange(96) + 50 * (np.arange(96) // 12)
    light = np.linspace(1.0, 0.9, 96)
    slow = (100 * rate.shape[0] * light)[:, None, None] + rate
    jumps = 1e3 * (np.arange(96) // 12)[:, None, None]
    plain = kernel.point_to_point_scatter(rate, unusable, np.ones(96), index)
    moved = kernel.point_to_point_scatter(
        (slow + jumps * light[:, None, None]).astype("f4"), unusable, light, index
    )
    # noise is divided by a light of 0.95 on average, jumps within runs are zero
    np.testing.assert_allclose(moved, plain / 0.95, rtol=0.12)


def test_too_few_differences_give_no_scatter():
    rate, _, unusable = cube(n_time=kernel.MIN_DIFFERENCES + 1)
    scatter = kernel.point_to_point_scatter(
        rate, unusable, np.ones(len(rate)), np.arange(len(rate))
    )
    np.testing.assert_array_equal(scatter, 0.0)


def test_masked_median_is_nanmedian():
    rate, _, _ = cube(n_time=9)
    rng = np.random.default_rng(1)
    unusable = rng.random(rate.shape) < 0.4
    rate[2, 0, 0] = np.nan
    unusable[:, 3, 3] = True
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="All-NaN"):
        expected = np.nanmedian(np.where(unusable, np.nan, rate), axis=0)
    np.testing.assert_array_equal(kernel.masked_median(rate, unusable), expected)


def spectrum(n_time=40, n_y=16, n_x=100, seed=0):
    """Return frames with a light curve, their median, error and the light curve."""
    rng = np.random.default_rng(seed)
    profile = np.exp(-0.5 * ((np.arange(n_y) - 7.4) / 0.8) ** 2)[:, None]
    scene = 2000 * profile * np.ones(n_x) + 1.0
    light = 1 - 0.03 * (np.abs(np.arange(n_time) - 20) < 8)
    error = np.sqrt(scene / 20 + 1)
    rate = light[:, None, None] * scene + error * rng.normal(size=(n_time, n_y, n_x))
    return rate.astype("f4"), scene.astype("f4"), error.astype("f4"), light


def test_light_level_follows_the_light_in_spite_of_hits():
    rate, scene, error, light = spectrum()
    rate[:, 7, ::20] += 1e5
    bright = kernel.bright_pixels(scene, error)
    level = kernel.light_level(rate, np.zeros(rate.shape, bool), scene, bright)
    kept = bright.copy()
    kept[7, ::20] = False
    predicted = np.sqrt((error[kept] ** 2).sum()) / scene[kept].sum()
    np.testing.assert_allclose(level, light, atol=5 * predicted)
    assert (level - light).std() < 1.5 * predicted


def test_bright_pixels_hold_most_of_the_signal():
    _, scene, error, _ = spectrum()
    bright = kernel.bright_pixels(scene, error)
    power = (scene / error) ** 2
    assert power[bright].sum() >= 0.9 * power.sum()
    assert power[bright].min() >= power[~bright].max()
    assert bright.sum() < 0.3 * bright.size


def test_without_light_every_frame_counts_the_same():
    rate, error, unusable = cube()
    median = kernel.masked_median(rate, unusable)
    bright = kernel.bright_pixels(median, error[0])
    assert not bright.any()
    np.testing.assert_array_equal(kernel.light_level(rate, unusable, median, bright), 1.0)
