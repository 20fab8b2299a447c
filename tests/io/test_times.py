"""Which clock is used, and that bad ones are passed over with a reason."""

import numpy as np
import pytest

import tsoxr
from tsoxr.io import times

RATE = np.ones((4, 8, 16), np.float32)
RAW = np.ones((4, 2, 8, 16), np.uint16)


def opened(path, message):
    with pytest.warns(tsoxr.TsoWarning, match=message):
        return tsoxr.open(path)


def test_barycentric_times_of_the_segment(tmp_path, make):
    ds = tsoxr.open(make.uncal(tmp_path / "a.fits", RAW, first=11))
    np.testing.assert_array_equal(ds["integration"], [11, 12, 13, 14])
    np.testing.assert_array_equal(ds["time"], make.mid_bjd([11, 12, 13, 14]))
    assert ds["time"].attrs["time_scale"] == "tdb"
    assert ds["time"].attrs["units"] == "d"
    assert ds["time"].dtype == np.float64
    assert ds.attrs["time_source"] == "int_mid_BJD_TDB"


def test_table_of_the_whole_exposure_is_aligned_by_number(tmp_path, make):
    ds = tsoxr.open(make.uncal(tmp_path / "a.fits", RAW, first=11, times=make.int_times(1, 40)))
    np.testing.assert_array_equal(ds["time"], make.mid_bjd([11, 12, 13, 14]))


def test_table_numbered_from_the_segment(tmp_path, make):
    rows = make.int_times(11, 14, integration_number=[1, 2, 3, 4])
    ds = tsoxr.open(make.uncal(tmp_path / "a.fits", RAW, first=11, times=rows))
    np.testing.assert_array_equal(ds["time"], make.mid_bjd([11, 12, 13, 14]))


def test_full_julian_dates_become_modified_ones(tmp_path, make):
    rows = make.int_times(1, 4)
    rows["int_mid_BJD_TDB"] += 2400000.5
    ds = tsoxr.open(make.uncal(tmp_path / "a.fits", RAW, times=rows))
    # a Julian date of 2.46 million in float64 is good to 4.7e-10 d
    np.testing.assert_allclose(ds["time"], make.mid_bjd([1, 2, 3, 4]), atol=1e-9)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([0.0, 0.0, 0.0, 0.0], "int_mid_BJD_TDB is zero for 4 of 4 integrations"),
        ([6e4, np.nan, 6e4 + 2, 6e4 + 3], "int_mid_BJD_TDB is NaN for 1 of 4 integrations"),
        ([6e4, 6e4 + 1, 6e4 + 1, 6e4 + 2], "int_mid_BJD_TDB repeats 1 of its 4 times"),
        ([6e4, 6e4 + 2, 6e4 + 1, 6e4 + 3], "int_mid_BJD_TDB goes back 1 times in 4 integrations"),
    ],
)
def test_bad_barycentric_times_fall_back_to_utc(tmp_path, make, values, why):
    rows = make.int_times(1, 4, int_mid_BJD_TDB=values)
    ds = opened(make.uncal(tmp_path / "a.fits", RAW, times=rows), f"{why}; int_mid_MJD_UTC is used")
    np.testing.assert_array_equal(ds["time"], rows["int_mid_MJD_UTC"])
    assert ds["time"].attrs["time_scale"] == "utc"
    assert ds.attrs["time_source"] == "int_mid_MJD_UTC"


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("empty", "INT_TIMES has no rows"),
        (False, "the file has no INT_TIMES table"),
        (
            "other",
            r"INT_TIMES holds integrations 101 to 103 but not 4 of those in the file \(1 to 4\)",
        ),
    ],
)
def test_without_a_table_times_come_from_the_cadence(tmp_path, make, table, why):
    rows = {"empty": make.int_times(1, 4)[:0], "other": make.int_times(101, 103)}.get(table, table)
    ds = opened(
        make.uncal(tmp_path / "a.fits", RAW, times=rows), f"{why}; times are built from EXPSTART"
    )
    # reset and two groups make three frames of 0.22616 s; the middle lies one frame after the start
    expected = 60000.0 + (np.arange(4) * 3 + 1) * 0.22616 / 86400
    np.testing.assert_allclose(ds["time"], expected, rtol=0, atol=1e-10)
    assert ds["time"].attrs["time_scale"] == "utc"
    assert ds.attrs["time_source"] == "EXPSTART"


def test_nothing_at_all_counts_from_zero(tmp_path, make):
    path = make.uncal(tmp_path / "a.fits", RAW, times=False, EXPSTART=0.0)
    ds = opened(path, "no INT_TIMES table; the header has no EXPSTART; times count from the start")
    np.testing.assert_allclose(ds["time"] * 86400, (np.arange(4) * 3 + 1) * 0.22616)
    assert ds["time"].attrs["time_scale"] == "none"
    assert ds.attrs["time_source"] == "cadence"


def test_segments_share_the_worst_clock(tmp_path, make):
    """One segment without barycentric times must not jump by minutes against the others."""
    make.uncal(tmp_path / "a.fits", RAW, first=1, EXSEGNUM=1)
    rows = make.int_times(5, 8, int_mid_BJD_TDB=0.0)
    make.uncal(tmp_path / "b.fits", RAW, first=5, EXSEGNUM=2, times=rows)
    ds = opened(tmp_path / "*.fits", "int_mid_BJD_TDB is zero for 4 of 4")
    np.testing.assert_allclose(np.diff(ds["time"]), make.cadence, rtol=1e-5)
    assert ds["time"].attrs["time_scale"] == "utc"


def test_one_integration_has_a_time(tmp_path, make):
    ds = tsoxr.open(make.rateints(tmp_path / "a.fits", RATE[:1]))
    np.testing.assert_array_equal(ds["time"], make.mid_bjd([1]))


def test_sources_are_tried_in_their_order():
    numbers = np.arange(1, 4)
    good = 6e4 + np.arange(3.0)
    clock = times.clock(
        {}, numbers, {"int_mid_BJD_TDB": "none", "TDB-MID": good, "int_mid_MJD_UTC": good}
    )
    assert times.common_source([clock]) == ("TDB-MID", None)


def test_utc_stands_beside_barycentric_times(tmp_path, make):
    ds = tsoxr.open(make.uncal(tmp_path / "a.fits", RAW))
    np.testing.assert_array_equal(ds["time_utc"], make.int_times(1, 4)["int_mid_MJD_UTC"])
    assert ds.attrs["time_source_accuracy"] == pytest.approx(0.12)
    bare = opened(make.uncal(tmp_path / "b.fits", RAW, times=False, EXPSTART=0.0), "no INT_TIMES")
    assert "time_utc" not in bare
    assert "time_source_accuracy" not in bare.attrs  # counts from the start of the exposure


def test_a_segment_without_utc_still_joins(tmp_path, make):
    make.uncal(tmp_path / "a.fits", RAW, first=1, EXSEGNUM=1)
    rows = make.int_times(5, 8, int_mid_MJD_UTC=0.0)
    make.uncal(tmp_path / "b.fits", RAW, first=5, EXSEGNUM=2, times=rows)
    ds = tsoxr.open(str(tmp_path / "*.fits"))
    np.testing.assert_array_equal(ds["time"], make.mid_bjd(np.arange(1, 9)))
    np.testing.assert_array_equal(np.isfinite(ds["time_utc"]), np.arange(8) < 4)
    with pytest.raises(tsoxr.SchemaError, match="have no UTC"):
        tsoxr.times.barycentric(ds, ra=10.0, dec=20.0)
