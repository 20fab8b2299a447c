"""Sampling in time: the same for loaded and lazy data, computed once, nothing held."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tsoxr import lazy, testing


@given(st.integers(1, 5000), st.integers(8, 64))
def test_sample_covers_the_exposure(n_time, n_sample):
    chosen = lazy.sample_indices(n_time, n_sample)
    assert chosen[0] == 0
    assert chosen[-1] == n_time - 1
    assert np.all(np.diff(chosen) > 0)
    assert len(chosen) <= max(min(n_time, n_sample), 8)
    assert np.diff(chosen).max(initial=0) <= max(n_time / 7 + 1, 1)


@pytest.fixture
def cube():
    values = np.random.default_rng(0).normal(size=(100, 3, 4)).astype("f4")
    values[3, 1, 1] = np.nan
    return xr.DataArray(values, dims=("time", "y", "x"), coords={"y": [0, 1, 2]})


def test_lazy_and_loaded_medians_are_equal(cube):
    chunked = cube.chunk(time=7)
    with testing.raise_if_computes():
        later = lazy.time_median(chunked)
    now = lazy.time_median(cube)
    np.testing.assert_array_equal(later.compute(), now)
    expected = np.nanmedian(cube.values[lazy.sample_indices(100)], axis=0)
    np.testing.assert_array_equal(now, expected)


def test_static_is_computed_once_and_reads_only_its_sample(cube):
    import dask.array as da

    read = []

    def block(block_info=None):
        lo, hi = block_info[None]["array-location"][0]
        read.append((lo, hi))
        return cube.values[lo:hi]

    data = da.map_blocks(
        block, chunks=((2,) * 50, 3, 4), dtype="f4", meta=np.empty((0, 0, 0), "f4")
    )
    source = xr.DataArray(data, dims=("time", "y", "x"))
    median = lazy.time_median(source, n_sample=8)
    residual = (source - median).compute(scheduler="synchronous")
    assert len(read) <= 50 + 8
    np.testing.assert_allclose(residual.std(), (cube - lazy.time_median(cube, 8)).std(), rtol=1e-6)
    read.clear()
    median.compute()
    assert read == []


def test_compute_loads_all_in_one_pass(cube):
    calls = []

    def count(block):
        calls.append(1)
        return block + 1

    plus = cube.chunk(time=20).copy(
        data=cube.chunk(time=20).data.map_blocks(count, meta=np.empty((0, 0, 0), "f4"))
    )
    ds = xr.Dataset({"a": plus * 2, "b": plus.sum("x")})
    calls.clear()
    out = lazy.compute(ds)
    assert not lazy.is_lazy(out)
    assert len(calls) == 5
