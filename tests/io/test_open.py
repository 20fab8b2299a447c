"""Files open by content into valid Datasets; bad ones are refused with their numbers."""

import gzip

import dask
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import tsoxr
from tsoxr import dq, lazy, schema, testing

RATE = np.arange(4 * 8 * 16, dtype=np.float32).reshape(4, 8, 16)


def test_uncal_is_lazy_and_exact(tmp_path, make, counts):
    data = counts()
    with testing.raise_if_computes():
        ds = tsoxr.open(make.uncal(tmp_path / "a.fits", data), chunk_mb=2 * 4 * data[0].size / 1e6)
    assert lazy.is_lazy(ds["ramp"])
    assert ds["ramp"].dtype == np.uint16
    assert ds["ramp"].chunks == ((2, 2, 2), (3,), (8,), (16,))
    assert ds["dq_group"].chunks == ds["ramp"].chunks
    assert schema.validate(ds) == []
    np.testing.assert_array_equal(ds["ramp"], data)
    assert not ds["dq_group"].any()
    assert ds["dq_group"].dtype == np.uint8
    np.testing.assert_array_equal(ds["group"], [1, 2, 3])
    np.testing.assert_allclose(ds["group_time"], [0.22616, 0.45232, 0.67848])


def test_chunks_follow_the_option(tmp_path, make, counts):
    path = make.uncal(tmp_path / "a.fits", counts())
    with tsoxr.set_options(chunk_mb=1e-6):
        assert tsoxr.open(path)["ramp"].chunks[0] == (1,) * 6


def test_raw_reference_pixels_are_flagged_by_their_place(tmp_path, make, counts):
    ds = tsoxr.open(make.uncal(tmp_path / "a.fits", counts(), SUBSTRT1=1))
    flagged = dq.has_flag(ds["dq_pixel"], "REFERENCE_PIXEL")
    assert flagged[:, :4].all()
    assert not flagged[:, 4:].any()


def test_ramp_keeps_its_flags(tmp_path, make, counts):
    data = counts().astype(np.float32)
    groupdq = (counts() % 7).astype(np.uint8)
    pixeldq = np.arange(128, dtype=np.uint32).reshape(8, 16) << 24
    ds = tsoxr.open(make.ramp(tmp_path / "a.fits", data, groupdq=groupdq, pixeldq=pixeldq))
    assert ds.attrs["tso_kind"] == "ramps"
    assert lazy.is_lazy(ds["dq_group"])
    np.testing.assert_array_equal(ds["ramp"], data)
    np.testing.assert_array_equal(ds["dq_group"], groupdq)
    np.testing.assert_array_equal(ds["dq_pixel"], pixeldq)
    assert schema.validate(ds) == []


def test_computing_in_threads_gives_the_same(tmp_path, make, counts):
    data = counts(n=40)
    ds = tsoxr.open(make.uncal(tmp_path / "a.fits", data), chunk_mb=0.005)
    with dask.config.set(scheduler="threads", num_workers=4):
        np.testing.assert_array_equal(ds["ramp"].astype("i8").sum("time"), data.sum(0, dtype="i8"))


def test_rates_are_in_memory(tmp_path, make):
    flags = np.zeros(RATE.shape, np.uint32)
    flags[0, 0, 1] = 1 << 31
    rate = RATE.copy()
    rate[1, 2, 3] = np.nan
    ds = tsoxr.open(make.rateints(tmp_path / "a.fits", rate, dq=flags))
    assert not lazy.is_lazy(ds)
    assert ds["rate"].dtype.isnative
    np.testing.assert_array_equal(ds["rate"], rate)
    assert float(ds["rate_error"].mean()) == 0.5
    np.testing.assert_allclose(ds["rate_read_variance"], 0.05)
    assert int(ds["dq"][0, 0, 1]) == 1 << 31
    assert int(ds["dq"][1, 2, 3]) == dq.FLAGS["DO_NOT_USE"]
    assert int((ds["dq"] != 0).sum()) == 2
    assert schema.validate(ds) == []


def test_error_from_variances(tmp_path, make):
    path = make.rateints(tmp_path / "a.fits", RATE)
    with fits.open(path) as hdus:
        kept = fits.HDUList([h.copy() for h in hdus if h.name != "ERR"])
        kept.writeto(tmp_path / "b.fits")
        bare = fits.HDUList(
            [h.copy() for h in hdus if h.name in ("PRIMARY", "SCI", "DQ", "INT_TIMES")]
        )
        bare.writeto(tmp_path / "c.fits")
    np.testing.assert_allclose(
        tsoxr.open(tmp_path / "b.fits")["rate_error"], 0.5
    )  # sqrt(0.2 + 0.05)
    with pytest.raises(tsoxr.SchemaError, match=r"c.fits: has neither ERR nor VAR_POISSON"):
        tsoxr.open(tmp_path / "c.fits")


@pytest.mark.parametrize(
    ("written", "read", "variance"),
    [("DN/s", "DN s-1", "DN2 s-2"), ("MJy", "MJy", "MJy2"), ("MJy/sr", "MJy sr-1", "MJy2 sr-2")],
)
def test_units(tmp_path, make, written, read, variance):
    ds = tsoxr.open(make.rateints(tmp_path / "a.fits", RATE, sci={"BUNIT": written}))
    assert ds["rate"].attrs["units"] == ds["rate_error"].attrs["units"] == read
    assert ds["rate_read_variance"].attrs["units"] == variance
    assert schema.validate(ds) == []


CUT = {"SUBSIZE1": 64, "SUBSIZE2": 32}


@pytest.mark.parametrize(
    "start", [(11, 21), (11 + 958, 21 + 1024)], ids=["in the subarray", "on the detector"]
)
def test_slit_cutout_keeps_its_place(tmp_path, make, start):
    wavelength = np.linspace(1, 5, 128).reshape(8, 16)
    wavelength[0, 0] = 0.0
    slit = {"SLTSTRT2": start[0], "SLTSTRT1": start[1], "SLTSIZE1": 16, "SLTSIZE2": 8}
    ds = tsoxr.open(
        make.rateints(tmp_path / "a.fits", RATE, wavelength=wavelength, sci=slit, **CUT)
    )
    np.testing.assert_array_equal(ds["y"], np.arange(10, 18))
    np.testing.assert_array_equal(ds["x"], np.arange(20, 36))
    # the pixel is read as late as in the whole subarray: (20 columns of 44 samples and 10 rows) x 10 us
    assert float(ds["read_offset"][0, 0]) == pytest.approx((20 * 44 + 10) * 1e-5)
    assert ds["wavelength"].dtype == np.float64
    assert np.isnan(ds["wavelength"][0, 0])
    np.testing.assert_allclose(ds["wavelength"][1:], wavelength[1:], rtol=1e-7)  # stored as float32
    assert "wavelength" in ds.coords
    assert schema.validate(ds) == []


def test_wavelengths_of_zero_are_left_out(tmp_path, make):
    path = make.rateints(tmp_path / "a.fits", RATE, wavelength=np.zeros((8, 16)))
    with pytest.warns(
        tsoxr.TsoWarning, match=r"WAVELENGTH holds no wavelengths.*assign_wavelength"
    ):
        assert "wavelength" not in tsoxr.open(path).variables


def test_content_decides_not_the_name(tmp_path, make, counts):
    assert tsoxr.open(make.uncal(tmp_path / "x1dints.txt", counts())).tso.kind == "ramps"


def test_sources_path_list_and_glob(tmp_path, make):
    path = make.rateints(tmp_path / "a[1].fits", RATE)
    by_path, by_text, by_list = tsoxr.open(path), tsoxr.open(str(path)), tsoxr.open([path, path])
    by_glob = tsoxr.open(str(tmp_path / "*.fits"))
    for other in (by_text, by_list, by_glob):
        xr.testing.assert_identical(by_path, other)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*a.fits'; check the path"):
        tsoxr.open(tmp_path / "a.fits")
    with pytest.raises(FileNotFoundError, match=r"no file matches '.*\*_uncal.fits'"):
        tsoxr.open(str(tmp_path / "*_uncal.fits"))
    with pytest.raises(FileNotFoundError, match="the list of files is empty"):
        tsoxr.open([])
    with pytest.raises(
        tsoxr.SchemaError, match=r"is a folder; give a file or a pattern such as .*/\*_uncal.fits"
    ):
        tsoxr.open(tmp_path)


def test_truncated_in_the_pixels(tmp_path, make, counts):
    path = make.uncal(tmp_path / "a.fits", counts(n=20))
    with path.open("r+b") as stream:
        stream.truncate(9000)
    with pytest.raises(
        tsoxr.SchemaError, match=r"a.fits: holds 9000 bytes but its headers promise at least \d{5}"
    ):
        tsoxr.open(path)


def test_truncated_in_a_header(tmp_path, make):
    path = make.rateints(tmp_path / "a.fits", RATE)
    with fits.open(path) as hdus:
        begin = hdus["ERR"].fileinfo()["hdrLoc"]
    with path.open("r+b") as stream:
        stream.truncate(begin + 100)
    with pytest.raises(tsoxr.SchemaError, match=f"a.fits: holds {begin + 100} bytes.*truncated"):
        tsoxr.open(path)
    with path.open("r+b") as stream:
        stream.truncate(50)
    with pytest.raises(tsoxr.SchemaError, match=r"cannot be read as FITS.*50 bytes.*truncated"):
        tsoxr.open(path)


def test_other_formats(tmp_path, make):
    (tmp_path / "a.txt").write_text("time flux\n1 2\n")
    with pytest.raises(
        tsoxr.SchemaError,
        match=r"a.txt is neither FITS nor netCDF4/HDF5 \(it begins with b'time flu",
    ):
        tsoxr.open(tmp_path / "a.txt")
    (tmp_path / "empty.fits").write_bytes(b"")
    with pytest.raises(tsoxr.SchemaError, match=r"empty.fits is neither FITS.*b'', 0 bytes"):
        tsoxr.open(tmp_path / "empty.fits")
    path = make.rateints(tmp_path / "a.fits", RATE)
    with gzip.open(tmp_path / "a.fits.gz", "wb") as stream:
        stream.write(path.read_bytes())
    with pytest.raises(tsoxr.SchemaError, match=r"a.fits.gz is compressed; unpack it first"):
        tsoxr.open(tmp_path / "a.fits.gz")


def test_wrong_dims(tmp_path, make, counts):
    with pytest.raises(
        tsoxr.SchemaError,
        match=r"SCI has 2 axes, shape \(8, 16\) \(an average over the integrations",
    ):
        tsoxr.open(make.rateints(tmp_path / "a.fits", RATE[0]))
    with pytest.raises(tsoxr.SchemaError, match=r"shape \(6, 3, 8, 16\).*NGROUPS=4"):
        tsoxr.open(make.uncal(tmp_path / "b.fits", counts(), NGROUPS=4))
    with pytest.raises(
        tsoxr.SchemaError, match="SCI has 8 x 16 pixels but SUBSIZE says 32 x 64, and no SLTSTRT"
    ):
        tsoxr.open(make.rateints(tmp_path / "c.fits", RATE, **CUT))
    with pytest.raises(tsoxr.SchemaError, match=r"DQ has shape \(3, 8, 16\) and SCI \(4, 8, 16\)"):
        tsoxr.open(make.rateints(tmp_path / "d.fits", RATE, dq=np.zeros((3, 8, 16), np.uint32)))
    with pytest.raises(
        tsoxr.SchemaError, match=r"cut-out of 8 pixels from SLTSTRT2=30 does not fit"
    ):
        tsoxr.open(
            make.rateints(tmp_path / "e.fits", RATE, sci={"SLTSTRT1": 1, "SLTSTRT2": 30}, **CUT)
        )


def test_no_integrations(tmp_path, make):
    with pytest.raises(tsoxr.SchemaError, match=r"a.fits: SCI is empty, shape \(0, 8, 16\)"):
        tsoxr.open(make.rateints(tmp_path / "a.fits", RATE[:0]))


def test_fewer_integrations_than_promised(tmp_path, make):
    path = make.rateints(tmp_path / "a.fits", RATE, INTEND=100)
    with pytest.warns(tsoxr.TsoWarning, match="promise 100 integrations, the file holds 4"):
        assert tsoxr.open(path).sizes["time"] == 4


def test_no_science_extension(tmp_path, make):
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(header=fits.Header(list(make.primary.items()))).writeto(path)
    with pytest.raises(
        tsoxr.SchemaError, match=r"a.fits: has neither a SCI nor an EXTRACT1D extension"
    ):
        tsoxr.open(path)


def test_mixed_products_and_formats(tmp_path, make, counts):
    make.uncal(tmp_path / "a.fits", counts())
    make.rateints(tmp_path / "b.fits", RATE, first=7)
    with pytest.raises(
        tsoxr.SchemaError, match=r"different products .*uncal: a.fits.*rateints: b.fits"
    ):
        tsoxr.open(str(tmp_path / "*.fits"))
    tsoxr.open(tmp_path / "b.fits").tso.save(tmp_path / "c.nc")
    with pytest.raises(tsoxr.SchemaError, match=r"several formats .*FITS: a.fits.*HDF5: c.nc"):
        tsoxr.open(str(tmp_path / "*"))


def two_detectors(tmp_path, make, **second):
    for detector, shift in (("NRS1", 0.0), ("NRS2", 1e-4)):
        for segment, first in ((1, 1), (2, 5)):
            rows = make.int_times(first, first + 3)
            rows["int_mid_BJD_TDB"] += shift
            make.rateints(
                tmp_path / f"seg{segment}_{detector}.fits", RATE, first=first, times=rows,
                DETECTOR=detector, EXSEGNUM=segment, EXSEGTOT=2, GRATING="G395H",
            )  # fmt: skip
    return str(tmp_path / "*.fits")


def test_several_detectors_need_a_choice(tmp_path, make):
    source = two_detectors(tmp_path, make)
    with pytest.raises(
        tsoxr.SchemaError, match=r"detectors \['NRS1', 'NRS2'\].*detector='NRS1'.*open_tree"
    ):
        tsoxr.open(source)
    ds = tsoxr.open(source, detector="nrs2")
    assert ds.attrs["detector"] == "NRS2"
    assert ds.sizes["time"] == 8
    with pytest.raises(
        tsoxr.SchemaError,
        match=r"nothing fits detector='NIS'; the files hold detectors \['NRS1', 'NRS2'\]",
    ):
        tsoxr.open(source, detector="NIS")


def test_tree_of_detectors_keeps_their_times(tmp_path, make):
    tree = tsoxr.open_tree(two_detectors(tmp_path, make))
    assert set(tree.children) == {"NRS1", "NRS2"}
    np.testing.assert_allclose(tree["NRS2"]["time"] - tree["NRS1"]["time"].values, 1e-4, atol=1e-10)
    xr.testing.assert_identical(tree["NRS1"].to_dataset(), tsoxr.open(str(tmp_path / "*NRS1.fits")))


def test_options_are_checked(tmp_path, make):
    path = make.rateints(tmp_path / "a.fits", RATE)
    with pytest.raises(ValueError, match="chunk_mb is 0; it must be positive"):
        tsoxr.open(path, chunk_mb=0)
    with pytest.raises(
        ValueError, match=r"extraction is 'best'; it must be one of \['box', 'optimal'\]"
    ):
        tsoxr.open(path, extraction="best")
