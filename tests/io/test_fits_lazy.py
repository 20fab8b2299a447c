"""Blocks read from disk equal what astropy reads; nothing else is read."""

import tracemalloc

import dask
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

import tsoxr
from tsoxr.io.fits_lazy import FitsArray, integrations_per_chunk, lazy
from tsoxr.io.layout import array_on_disk

SHAPE = (5, 4, 3, 6)


def stored(path, dtype):
    rng = np.random.default_rng(1)
    info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
    data = (
        rng.integers(info.min, info.max, SHAPE, dtype, endpoint=True)
        if info
        else rng.normal(size=SHAPE).astype(dtype)
    )
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, name="SCI")]).writeto(path)
    with fits.open(path) as hdus:
        return data, array_on_disk(str(path), hdus["SCI"])


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "f4", "f8"])
def test_values_and_native_types(tmp_path, dtype):
    data, array = stored(tmp_path / "a.fits", dtype)
    read = array.read()
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    assert array.dtype == read.dtype
    np.testing.assert_array_equal(read, data)


INDEX = st.one_of(
    st.integers(0, 2),
    st.builds(
        slice,
        st.none() | st.integers(0, 5),
        st.none() | st.integers(0, 6),
        st.none() | st.integers(1, 3),
    ),
)


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return stored(tmp_path_factory.mktemp("lazy") / "a.fits", "u2")


@given(key=st.lists(INDEX, min_size=1, max_size=4).map(tuple))
def test_any_index_equals_numpy(example, key):
    data, array = example
    np.testing.assert_array_equal(array[key], data[key])


def test_scaled_values(tmp_path):
    path = tmp_path / "a.fits"
    hdu = fits.ImageHDU(np.arange(6, dtype=np.int16).reshape(2, 3), name="SCI")
    hdu.header["BSCALE"], hdu.header["BZERO"] = 0.5, 10.0
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
    with fits.open(path, do_not_scale_image_data=True) as hdus:
        array = array_on_disk(str(path), hdus["SCI"])
    np.testing.assert_array_equal(array.read(), 10.0 + 0.5 * np.arange(6).reshape(2, 3))


def test_lazy_slices_read_only_their_part(example, monkeypatch):
    data, array = example
    read = []
    original = FitsArray._stored

    def counting(self, stream, start, count):
        read.append(count)
        return original(self, stream, start, count)

    monkeypatch.setattr(FitsArray, "_stored", counting)
    first_group = lazy(array, 2)[:, 0].compute(scheduler="synchronous")
    np.testing.assert_array_equal(first_group, data[:, 0])
    assert sum(read) == data[:, 0].size


def test_same_file_same_name_changed_file_another(tmp_path):
    _, array = stored(tmp_path / "a.fits", "u2")
    changed = FitsArray(
        array.path, array.offset, array.shape, array.bitpix, array.bzero, 1.0, array.modified + 1
    )
    assert lazy(array, 2).name == lazy(array, 2).name
    assert lazy(array, 2).name != lazy(changed, 2).name


def test_file_that_shrinks_after_opening(tmp_path):
    path = tmp_path / "a.fits"
    _, array = stored(path, "u2")
    data = lazy(array, 2)
    with path.open("r+b") as stream:
        stream.truncate(array.offset + 100)
    with pytest.raises(tsoxr.SchemaError, match=r"a.fits: ends \d+ bytes before the pixels do"):
        data.compute(scheduler="synchronous")


@pytest.mark.parametrize(
    ("shape", "chunk_mb", "expected"),
    [
        ((1000, 10, 32, 512), 16.0, 24),
        ((3, 90, 256, 2048), 16.0, 1),
        ((5, 2, 8, 8), 16.0, 5),
        ((0, 2, 8, 8), 16.0, 1),
    ],
)
def test_chunk_sizes(shape, chunk_mb, expected):
    assert integrations_per_chunk(shape, chunk_mb) == expected


def test_streaming_needs_a_few_chunks_of_memory(tmp_path, make):
    """100 MB of uint16 in chunks of 4 MB of float32: two threads hold a few of them at once."""
    n, shape = 400, (4, 32, 1024)
    path = tmp_path / "large_uncal.fits"
    data = np.zeros((n, *shape), np.uint16)
    data[:, 0, 0, 0] = np.arange(n)
    make.uncal(path, data, SUBSIZE1=1024, SUBSIZE2=32)
    del data
    tracemalloc.start()
    with dask.config.set(scheduler="threads", num_workers=2):
        ds = tsoxr.open(path, chunk_mb=4.0)
        opened = tracemalloc.get_traced_memory()[1]
        total = float(ds["ramp"].astype("float32").sum().compute())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == n * (n - 1) / 2
    assert opened < 10e6
    # 2 threads x (2 MB raw + 4 MB float32) = 12 MB, twice that for whatever waits to be freed
    assert peak < 24e6 + 10e6
