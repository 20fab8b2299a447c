"""Small sorts and systems inside kernels, and layouts of cubes, against numpy."""

import numba
import numpy as np
import pytest

from tsoxr.kernels import layout, outliers, outliers_grow, outliers_search, small


@numba.njit
def median(values, n):
    return small.median_of_few(values, n)


@numba.njit
def solve(matrix, right, n):
    small.solve_in_place(matrix, right, n)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 11, 96, 700])
def test_median_of_few_is_that_of_numpy_and_sorts(n):
    values = np.random.default_rng(n).normal(size=n + 3)
    values[: n // 3] = 1.0  # ties
    work = values.copy()
    assert median(work, n) == np.median(values[:n])
    np.testing.assert_array_equal(work[:n], np.sort(values[:n]))
    np.testing.assert_array_equal(work[n:], values[n:])


@pytest.mark.parametrize("n", [1, 3, 4])
@pytest.mark.parametrize("spread", [1.0, 1e6])
def test_solution_of_a_positive_system(n, spread):
    rng = np.random.default_rng(n)
    design = rng.normal(size=(20, n)) * np.logspace(0, np.log10(spread), n)
    matrix, right = design.T @ design, rng.normal(size=n)
    expected, got = np.linalg.solve(matrix, right), right.copy()
    solve(matrix.copy(), got, n)
    # both are exact to the rounding of a condition number below 10, scaled columns apart
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("blocks", [layout.row_blocks, layout.time_blocks])
def test_blocks_of_views_are_copies_in_order_and_whole_cubes_are_not_copied(blocks):
    cube = np.arange(40 * 37 * 6).reshape(40, 37, 6)
    ((_, (same,)),) = blocks(cube)
    assert same is cube
    for view in (cube[:, :, 1:], cube.transpose(1, 0, 2), cube[::2]):
        out = np.zeros_like(view)
        for part, (block,) in blocks(view):
            assert block.flags.c_contiguous
            out[(slice(None), part) if blocks is layout.row_blocks else part] = block
        np.testing.assert_array_equal(out, view)


def views(cube):
    """Return a cube as it is, as a window of a larger one, and with its axes turned in memory."""
    wide = np.zeros((cube.shape[0], cube.shape[1] + 2, cube.shape[2] + 3), cube.dtype)
    wide[:, 1:-1, 2:-1] = cube
    turned = np.ascontiguousarray(cube.transpose(0, 2, 1)).transpose(0, 2, 1)
    return cube, wide[:, 1:-1, 2:-1], turned


def test_any_layout_gives_the_same_outliers_and_compiles_nothing():
    rng = np.random.default_rng(0)
    rate = rng.normal(size=(30, 20, 18)).astype("f4")
    rate[rng.random(rate.shape) < 0.01] += 30.0
    rate[10, 5, 5:8] += 9.0
    bad = rng.random(rate.shape) < 0.1
    fits = np.zeros((30, 4))
    images = np.zeros((7, 20, 18), "f4")
    images[3:] = 1.0
    results = []
    for cube, lost, error in zip(views(rate), views(bad), views(np.ones_like(rate)), strict=True):
        noise = outliers.pixel_noise(cube, lost, fits, images[:5], np.arange(30), True)
        limits = (4.0, 11, 2, 0, outliers_search.BY_BOTH, 1.0)
        found = outliers_search.search(cube, error, lost, fits, images, limits)
        outliers_grow.grow(cube, error, lost, fits, images, (2.5, 11, 0, 1.0), found)
        results.append((noise, found, len(outliers_search._search.signatures)))
    assert (np.abs(results[0][1]) == 2).any()
    for noise, found, n_compiled in results[1:]:
        np.testing.assert_array_equal(noise, results[0][0])
        np.testing.assert_array_equal(found, results[0][1])
        assert n_compiled == results[0][2]
