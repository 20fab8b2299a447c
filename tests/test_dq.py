"""Flags by name: bits, setting, reading, reducing."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tsoxr import dq, testing

FLAGS = hnp.arrays(np.uint32, (4, 3), elements=st.integers(0, 2**32 - 1))


def test_bits_are_those_of_jwst():
    assert dq.FLAGS["DO_NOT_USE"] == 1
    assert dq.FLAGS["SATURATED"] == 2
    assert dq.FLAGS["JUMP_DET"] == 4
    assert dq.FLAGS["OUTLIER"] == 16
    assert dq.FLAGS["DEAD"] == 1024
    assert dq.FLAGS["HOT"] == 2048
    assert dq.FLAGS["FLUX_ESTIMATED"] == 2**28
    assert dq.FLAGS["REFERENCE_PIXEL"] == 2**31
    assert len(set(dq.FLAGS.values())) == 32


@given(FLAGS, st.sampled_from(sorted(dq.FLAGS)))
def test_setting_adds_one_bit_and_clears_none(values, name):
    before = xr.DataArray(values, dims=("time", "x"))
    after = dq.set_flag(before, True, name)
    assert after.dtype == np.uint32
    np.testing.assert_array_equal(after.values & values, values)
    assert dq.has_flag(after, name).all()
    np.testing.assert_array_equal(
        after.values & ~np.uint32(dq.FLAGS[name]), values & ~np.uint32(dq.FLAGS[name])
    )


@given(FLAGS)
def test_or_reduce_is_the_same_for_numpy_and_dask(values):
    array = xr.DataArray(values, dims=("time", "x"))
    expected = np.bitwise_or.reduce(values, axis=0)
    np.testing.assert_array_equal(dq.or_reduce(array, "time"), expected)
    np.testing.assert_array_equal(dq.or_reduce(array.chunk(time=2), "time").compute(), expected)
    everything = dq.or_reduce(array.chunk(time=2, x=2), ["time", "x"]).compute()
    assert everything.item() == np.bitwise_or.reduce(values.ravel())


def test_set_flag_broadcasts_and_stays_lazy():
    flags = xr.DataArray(np.zeros((4, 3), "u4"), dims=("time", "x")).chunk(time=2)
    where = xr.DataArray([True, False, True], dims="x")
    with testing.raise_if_computes():
        out = dq.set_flag(flags, where, "DEAD")
    assert out.dims == ("time", "x")
    np.testing.assert_array_equal(out.compute().values[0], [1024, 0, 1024])


def test_flags_decode_by_the_attributes():
    attrs = dq.flag_attrs("uint32")
    table = dict(zip(attrs["flag_meanings"].split(), attrs["flag_masks"], strict=True))
    assert table["REFERENCE_PIXEL"] == np.uint32(2**31)
    assert attrs["flag_masks"].dtype == np.uint32


def test_default_unusable_ignores_information():
    values = xr.DataArray(np.array([0, 4, 1, 2, 2048], "u4"))
    np.testing.assert_array_equal(dq.has_flag(values), [False, False, True, True, False])


def test_flags_that_do_not_fit_are_never_set():
    groups = np.array([255], "u1")
    assert not dq.has_flag(groups, "REFERENCE_PIXEL").any()
    with pytest.raises(ValueError, match="need more bits than uint8"):
        dq.bits("REFERENCE_PIXEL", dtype="uint8")


def test_unknown_flag_names_the_nearest():
    with pytest.raises(KeyError, match="did you mean 'SATURATED'"):
        dq.bits("SATURATE")


def test_describe_counts_percent():
    flags = xr.DataArray(np.array([1, 1, 5, 0], "u4"))
    assert dq.describe(flags) == {"DO_NOT_USE": 75.0, "JUMP_DET": 25.0}
