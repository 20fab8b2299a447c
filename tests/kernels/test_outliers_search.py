"""The search for outliers: against a plain reading of the definition, and on known noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsoxr.kernels import outliers_grow
from tsoxr.kernels import outliers_search as kernel


def cube(n_time=60, n_y=6, n_x=8, seed=0):
    """Return white noise of unit error, the errors, and nothing flagged."""
    rate = np.random.default_rng(seed).normal(size=(n_time, n_y, n_x)).astype("f4")
    return rate, np.ones_like(rate), np.zeros(rate.shape, bool)


def images_of(shape, median=0.0, factor=1.0, total=1.0):
    images = np.zeros((7, *shape), "f4")
    images[0], images[3], images[5], images[6] = median, 1.0, factor, total
    return images


def find(rate, error, unusable, *, fits=None, images=None, sigma=5.0, window=11, **more):
    fits = np.zeros((len(rate), 4)) if fits is None else fits
    images = images_of(rate.shape[1:]) if images is None else images
    given = {"rounds": 1, "margin": 0, "test": kernel.BY_TIME, "usual": 1.0} | more
    return kernel.search(rate, error, unusable, fits, images, (sigma, window, *given.values()))


def plainly(v, width, unusable, sigma, window):
    """Sort the usable neighbours in the window; off the nearer of the two central ones is off."""
    found = np.zeros(v.shape, "i1")
    n_time = len(v)
    for t, y, x in np.argwhere(~unusable):
        low = min(max(t - window // 2, 0), max(n_time - window, 0))
        others = [
            s for s in range(low, min(low + window, n_time)) if s != t and not unusable[s, y, x]
        ]
        n = len(others)
        if n < 2:
            continue
        near = np.sort(v[others, y, x])
        limit = sigma * width[t, y, x] * np.sqrt(1 + np.pi / 2 / (n + 1))
        above = v[t, y, x] - near[n // 2] > limit
        below = near[(n - 1) // 2] - v[t, y, x] > limit
        found[t, y, x] = int(above) - int(below)
    return found


@given(
    st.integers(0, 10_000), st.integers(3, 14), st.integers(3, 9), st.sampled_from([0.0, 0.1, 0.5])
)
def test_same_as_the_definition(seed, n_time, window, part_missing):
    rng = np.random.default_rng(seed)
    rate = (10 + rng.standard_t(1.5, (n_time, 3, 4))).astype("f4")
    error = rng.uniform(0.5, 2.0, rate.shape).astype("f4")
    unusable = rng.random(rate.shape) < part_missing
    fits = np.concatenate([rng.normal(size=(n_time, 3)), np.ones((n_time, 1))], axis=1)
    images = images_of((3, 4), factor=rng.uniform(0.8, 2.0, (3, 4)))
    images[:3] = rng.normal(size=(3, 3, 4))
    left = rate - np.einsum("tk,kyx->tyx", fits[:, :3], images[:3].astype(float))
    window = min(window, n_time)
    expected = plainly(left, error * images[5], unusable, 3.0, window)
    got = find(rate, error, unusable, fits=fits, images=images, sigma=3.0, window=window)
    # values within rounding of the limit may fall to either side
    assert (got != expected).sum() <= 1


def test_inputs_stay_as_they_are():
    rate, error, unusable = cube()
    rate[5, 2, 2] += 100
    before = rate.copy(), error.copy(), unusable.copy()
    find(rate, error, unusable, rounds=2)
    for now, then in zip((rate, error, unusable), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_part_with_margins_is_a_part_of_the_whole(rounds):
    rate, error, unusable = cube(n_time=80, seed=3)
    rate[::7, 2] += 9.0
    whole = find(rate, error, unusable, rounds=rounds)
    margin = 5 * rounds
    part = slice(30 - margin, 50 + margin)
    got = find(rate[part], error[part], unusable[part], rounds=rounds, margin=5)
    assert whole.any()
    np.testing.assert_array_equal(got[margin:-margin], whole[30:50])


def test_frames_beyond_the_ends_do_not_count():
    rate, error, unusable = cube(n_time=30, seed=5)
    rate[::4, 1] += 8.0
    whole = find(rate, error, unusable)
    pad = [(10, 10), (0, 0), (0, 0)]
    fits = np.pad(np.zeros((30, 4)), pad[:2], constant_values=np.nan)
    got = find(
        np.pad(rate, pad), np.pad(error, pad, constant_values=1.0),
        np.pad(unusable, pad, constant_values=True), fits=fits, margin=5,
    )  # fmt: skip
    np.testing.assert_array_equal(got[10:-10], whole)


@pytest.mark.parametrize("n_time", [1, 2])
def test_one_neighbour_does_not_decide(n_time):
    rate, error, unusable = cube(n_time=n_time)
    rate[0] += 100.0
    assert not find(rate, error, unusable, window=n_time).any()


def test_three_integrations_are_enough_to_name_the_one_that_is_off():
    rate, error, unusable = cube(n_time=3)
    rate[1, 2, 3] += 100.0
    found = find(rate, error, unusable, window=3)
    assert found[1, 2, 3] == 1
    assert abs(found).sum() == 1


@pytest.mark.parametrize("at", [0, 1, 3, 30, 58, 59])
def test_a_hit_does_not_flag_its_neighbours_not_even_at_the_ends(at):
    rate, error, unusable = cube()
    rate[at, 1, 1] -= 1000.0
    found = find(rate, error, unusable)
    assert found[at, 1, 1] == -1
    assert abs(found).sum() == 1


def test_a_lasting_step_is_no_outlier():
    rate, error, unusable = cube()
    rate[30:] += 50.0
    assert not find(rate, error, unusable).any()


def test_a_frame_that_moved_too_far_is_judged_with_its_own_width():
    rate, error, unusable = cube(seed=2)
    rate[20, :3] *= 8.0
    fits = np.zeros((60, 4))
    fits[:, 3] = 1.0
    images = images_of(rate.shape[1:])
    images[4] = 1.0  # bright
    assert find(rate, error, unusable, fits=fits, images=images)[20].any()
    fits[20, 3] = 8.0
    assert not find(rate, error, unusable, fits=fits, images=images)[20].any()


def test_later_rounds_leave_out_what_earlier_ones_found():
    rate, error, unusable = cube(n_time=11, seed=1)
    rate[:5, 0, 0] = [100, 100, 100, 100, 5.5]
    once, twice = (find(rate, error, unusable, rounds=r, sigma=4.0) for r in (1, 2))
    assert (once[:4, 0, 0] == 1).all()
    assert once[4, 0, 0] == 0
    assert twice[4, 0, 0] == 1


def test_space_needs_the_median_and_the_pixels_around():
    rate, error, unusable = cube(n_time=20, n_y=9, n_x=9, seed=7)
    rate[5:15, 4, 4] += 50.0  # glows for most of a window: no outlier in time
    rate[8] += 20.0  # the whole frame: no hit
    by_space = find(rate, error, unusable, test=kernel.BY_SPACE)
    assert (by_space[5:15, 4, 4] == 1).all()
    assert abs(by_space).sum() == 10


def test_combined_asks_space_where_time_is_mute():
    rate, error, unusable = cube(n_time=20, n_y=9, n_x=9, seed=8)
    unusable[:, 4, 4] = True
    unusable[9, 4, 4] = False
    rate[9, 4, 4] = 50.0
    assert not find(rate, error, unusable).any()
    found = find(rate, error, unusable, test=kernel.BY_BOTH)
    assert found[9, 4, 4] == 1
    assert abs(found).sum() == 1


def test_neighbours_that_share_the_excess_are_marked():
    rate, error, unusable = cube(n_time=20, seed=9)
    rate[:, 2:5, 2:5] = 0.0
    rate[7, 3, 3], rate[7, 3, 4], rate[7, 2, 3], rate[7, 4, 3] = 50.0, 3.5, -3.5, 3.5
    unusable[7, 4, 3] = True
    found = find(rate, error, unusable)
    arrays = (rate, error, unusable, np.zeros((20, 4)), images_of(rate.shape[1:]))
    outliers_grow.grow(*arrays, (2.5, 11, 0, 1.0), found)
    assert found[7, 3, 4] == outliers_grow.GROWN
    assert found[7, 2, 3] == found[7, 4, 3] == 0
    assert (found == outliers_grow.GROWN).sum() == 1
