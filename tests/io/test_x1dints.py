"""Spectra in the old and in the new layout give the same Dataset."""

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import tsoxr
from tsoxr import dq, schema

WAVELENGTH = np.linspace(5.0, 1.0, 20)  # descending, as for MIRI and SOSS
RNG = np.random.default_rng(3)
FLUX = RNG.normal(100.0, 5.0, (4, 20))


def new_tables(order=1, detector="NRS1", flux=FLUX, first=1, segment=1, pad=3):
    return {
        (order, detector, segment): (WAVELENGTH, flux, np.arange(first, first + len(flux)), pad)
    }


def test_old_layout(tmp_path, make):
    ds = tsoxr.open(make.x1dints_old(tmp_path / "a.fits", {1: (WAVELENGTH, FLUX)}))
    assert schema.validate(ds) == []
    np.testing.assert_allclose(ds["wavelength"], WAVELENGTH[::-1])
    np.testing.assert_allclose(ds["flux"], FLUX[:, ::-1], rtol=1e-7)  # float32
    assert ds["flux"].dtype == np.float32
    assert ds["flux"].attrs["units"] == "DN s-1"
    assert float(ds["flux_error"].mean()) == 2.0
    assert float(ds["n_pixels"].mean()) == 9.0
    assert int(ds["order"]) == 1
    np.testing.assert_array_equal(ds["time"], make.mid_bjd([1, 2, 3, 4]))
    np.testing.assert_array_equal(ds["integration"], [1, 2, 3, 4])
    assert ds.attrs["tso_mode"] == "nirspec-prism"


def test_new_layout_pads_and_pads_go(tmp_path, make):
    ds = tsoxr.open(make.x1dints_new(tmp_path / "a.fits", new_tables()))
    assert schema.validate(ds) == []
    assert ds.sizes == {"time": 4, "wavelength": 20}
    assert not ds["dq"].any()
    assert ds["flux"].attrs["units"] == "Jy"


def test_both_layouts_agree(tmp_path, make):
    old = tsoxr.open(make.x1dints_old(tmp_path / "a.fits", {1: (WAVELENGTH, FLUX)}))
    new = tsoxr.open(make.x1dints_new(tmp_path / "b.fits", new_tables()))
    xr.testing.assert_equal(old, new)


def test_orders_of_different_length(tmp_path, make):
    other = (np.linspace(0.6, 1.4, 7), np.ones((4, 7)))
    path = make.x1dints_old(tmp_path / "a.fits", {1: (WAVELENGTH, FLUX), 2: other})
    with pytest.raises(
        tsoxr.SchemaError,
        match=r"orders \[1, 2\]; one Dataset is one detector and order: pass order=1",
    ):
        tsoxr.open(path)
    assert tsoxr.open(path, order=2).sizes["wavelength"] == 7
    assert int(tsoxr.open(path, order=2)["order"]) == 2
    tree = tsoxr.open_tree(path)
    assert set(tree.children) == {"order1", "order2"}
    xr.testing.assert_identical(tree["order1"].to_dataset(), tsoxr.open(path, order=1))
    with pytest.raises(tsoxr.SchemaError, match=r"nothing fits order=3; .*orders \[1, 2\]"):
        tsoxr.open(path, order=3)


def test_level_3_with_detectors_and_segments_in_one_file(tmp_path, make):
    tables = {}
    for detector in ("NRS1", "NRS2"):
        for segment, first in ((1, 1), (2, 5)):
            tables |= new_tables(detector=detector, first=first, segment=segment, pad=segment)
    path = make.x1dints_new(tmp_path / "a.fits", tables, n_total=8, times=make.int_times(1, 8))
    with pytest.raises(tsoxr.SchemaError, match="detector='NRS1'"):
        tsoxr.open(path)
    ds = tsoxr.open(path, detector="NRS2")
    assert ds.attrs["detector"] == "NRS2"
    np.testing.assert_array_equal(ds["segment"], [1] * 4 + [2] * 4)
    np.testing.assert_array_equal(ds["time"], make.mid_bjd(np.arange(1, 9)))
    np.testing.assert_allclose(ds["flux"], np.concatenate([FLUX, FLUX])[:, ::-1], rtol=1e-7)
    assert set(tsoxr.open_tree(path).children) == {"NRS1", "NRS2"}


def test_orders_and_detectors_nest(tmp_path, make):
    tables = new_tables() | new_tables(order=2) | new_tables(detector="NRS2")
    tree = tsoxr.open_tree(make.x1dints_new(tmp_path / "a.fits", tables))
    assert {n.path for n in tree.subtree if n.has_data} == {
        "/NRS1/order1",
        "/NRS1/order2",
        "/NRS2/order1",
    }


def test_tables_in_any_order_of_segments(tmp_path, make):
    tables = new_tables(first=5, segment=2) | new_tables(first=1, segment=1)
    ds = tsoxr.open(
        make.x1dints_new(tmp_path / "a.fits", tables, n_total=8, times=make.int_times(1, 8))
    )
    np.testing.assert_array_equal(ds["integration"], np.arange(1, 9))
    np.testing.assert_array_equal(ds["time"], make.mid_bjd(np.arange(1, 9)))


def test_rows_that_count_from_one_in_a_later_segment(tmp_path, make):
    ds = tsoxr.open(make.x1dints_new(tmp_path / "a.fits", new_tables(first=1), first=5, EXSEGNUM=2))
    np.testing.assert_array_equal(ds["integration"], [5, 6, 7, 8])
    np.testing.assert_array_equal(ds["segment"], [2, 2, 2, 2])


def test_no_wavelengths(tmp_path, make):
    path = make.x1dints_old(tmp_path / "a.fits", {1: (np.zeros(20), FLUX)})
    with pytest.raises(tsoxr.SchemaError, match=r"a.fits, order 1: no wavelength is a number"):
        tsoxr.open(path)


def test_segment_files_join(tmp_path, make):
    make.x1dints_new(tmp_path / "b.fits", new_tables(first=5, segment=2), first=5, EXSEGNUM=2)
    make.x1dints_new(tmp_path / "a.fits", new_tables(), EXSEGNUM=1)
    ds = tsoxr.open(str(tmp_path / "*.fits"))
    np.testing.assert_array_equal(ds["integration"], np.arange(1, 9))


def test_times_of_the_table_stand_in_for_int_times(tmp_path, make):
    ds = tsoxr.open(make.x1dints_new(tmp_path / "a.fits", new_tables(), times=False))
    assert ds.attrs["time_source"] == "TDB-MID"
    assert ds["time"].attrs["time_scale"] == "tdb"
    np.testing.assert_allclose(ds["time"], make.mid_bjd([1, 2, 3, 4]) + 1e-9, rtol=0, atol=1e-11)


def test_times_of_old_headers_stand_in_for_int_times(tmp_path, make):
    def keywords(number):
        return {"MJD-AVG": float(make.mid_bjd(number)) - 0.003}

    path = make.x1dints_old(
        tmp_path / "a.fits", {1: (WAVELENGTH, FLUX)}, times=False, keywords=keywords
    )
    with pytest.warns(
        tsoxr.TsoWarning,
        match="no INT_TIMES table; EXTRACT1D has no keyword TDB-MID; MJD-AVG is used",
    ):
        ds = tsoxr.open(path)
    assert ds["time"].attrs["time_scale"] == "utc"
    np.testing.assert_allclose(ds["time"], make.mid_bjd([1, 2, 3, 4]) - 0.003, rtol=0, atol=1e-11)


def test_values_that_are_not_there_are_flagged(tmp_path, make):
    flux = FLUX.copy()
    flux[2, 5] = np.nan
    ds = tsoxr.open(make.x1dints_new(tmp_path / "a.fits", new_tables(flux=flux)))
    assert int(ds["dq"][2, 14]) == dq.FLAGS["DO_NOT_USE"]
    assert int(ds["dq"].sum()) == dq.FLAGS["DO_NOT_USE"]


def test_wavelengths_that_are_nan_are_left_out(tmp_path, make):
    wavelength = WAVELENGTH.copy()
    wavelength[7] = np.nan
    ds = tsoxr.open(make.x1dints_old(tmp_path / "a.fits", {1: (wavelength, FLUX)}))
    assert ds.sizes["wavelength"] == 19
    np.testing.assert_allclose(ds["flux"], np.delete(FLUX, 7, axis=1)[:, ::-1], rtol=1e-7)


def test_moving_wavelengths_are_refused(tmp_path, make):
    path = make.x1dints_new(tmp_path / "a.fits", new_tables())
    with fits.open(path, mode="update") as hdus:
        hdus["EXTRACT1D"].data["WAVELENGTH"][2, 3] += 0.01
    with pytest.raises(
        tsoxr.SchemaError, match=r"order 1: the wavelengths change with time.*in row 2"
    ):
        tsoxr.open(path)


def test_repeated_wavelengths_are_refused(tmp_path, make):
    wavelength = WAVELENGTH.copy()
    wavelength[4] = wavelength[3]
    with pytest.raises(tsoxr.SchemaError, match=r"wavelength 4.368421 um occurs twice"):
        tsoxr.open(make.x1dints_old(tmp_path / "a.fits", {1: (wavelength, FLUX)}))


def test_tables_without_spectra(tmp_path, make):
    path = make.x1dints_old(tmp_path / "a.fits", {1: (WAVELENGTH, FLUX)})
    with fits.open(path, mode="update") as hdus:
        for hdu in hdus:
            if hdu.name == "EXTRACT1D":
                hdu.columns.change_name("FLUX", "BRIGHTNESS")
    with pytest.raises(
        tsoxr.SchemaError, match=r"EXTRACT1D has columns .*BRIGHTNESS.*a spectrum needs"
    ):
        tsoxr.open(path)


def test_empty_tables(tmp_path, make):
    path = make.x1dints_old(tmp_path / "a.fits", {1: (WAVELENGTH[:0], FLUX[:, :0])})
    with pytest.raises(tsoxr.SchemaError, match="EXTRACT1D tables have no rows"):
        tsoxr.open(path)


def test_many_tables_keep_their_order(tmp_path, make):
    flux = np.arange(300.0)[:, None] + np.zeros(4)
    ds = tsoxr.open(
        make.x1dints_old(
            tmp_path / "a.fits", {1: (WAVELENGTH[:4], flux), 2: (WAVELENGTH[:4], -flux)}
        ),
        order=2,
    )
    np.testing.assert_array_equal(ds["flux"][:, 0], -np.arange(300.0))
    np.testing.assert_array_equal(ds["integration"], np.arange(1, 301))
