"""Raw files and reference files have the archive's form and the exposure's bytes."""

import tracemalloc

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import tsoxr
from tsoxr.simulation import exposure
from tsoxr.simulation.write_references import REFERENCE_TYPES

COLUMNS = [
    "integration_number", "int_start_MJD_UTC", "int_mid_MJD_UTC", "int_end_MJD_UTC",
    "int_start_BJD_TDB", "int_mid_BJD_TDB", "int_end_BJD_TDB",
]  # fmt: skip
KEYWORDS = [
    "TELESCOP",
    "INSTRUME",
    "DETECTOR",
    "EXP_TYPE",
    "READPATT",
    "FILTER",
    "NINTS",
    "NGROUPS",
    "NFRAMES",
    "GROUPGAP",
    "NSAMPLES",
    "TSAMPLE",
    "TFRAME",
    "TGROUP",
    "EFFINTTM",
    "EFFEXPTM",
    "DURATION",
    "NRESETS",
    "ZEROFRAM",
    "NOUTPUTS",
    "EXPSTART",
    "EXPMID",
    "EXPEND",
    "EXSEGNUM",
    "EXSEGTOT",
    "INTSTART",
    "INTEND",
    "SUBARRAY",
    "SUBSTRT1",
    "SUBSTRT2",
    "SUBSIZE1",
    "SUBSIZE2",
    "FASTAXIS",
    "SLOWAXIS",
    "TARGNAME",
    "TARG_RA",
    "TARG_DEC",
    "TSOVISIT",
    "DATE-OBS",
    "TIME-OBS",
    "PROGRAM",
    "OBSERVTN",
    "VISIT",
]


def raw(paths):
    return np.concatenate([fits.getdata(p, "SCI") for p in paths])


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_files_hold_the_ramps_however_they_are_cut(mode, tmp_path):
    each = exposure(mode, seed=1, n_integrations=7, n_groups=3)
    one = each.write(tmp_path / "one")
    three = each.write(tmp_path / "three", n_segments=3)
    expected = each.ramps()["ramp"].values
    assert expected.dtype == np.uint16
    np.testing.assert_array_equal(raw(one), expected)
    np.testing.assert_array_equal(raw(three), expected)
    assert [fits.getdata(p, "SCI").shape[0] for p in three] == [3, 2, 2]


def test_name_and_headers(tmp_path):
    each = exposure("nirspec-prism", seed=1, n_integrations=5)
    paths = each.write(tmp_path, n_segments=2)
    assert [p.name for p in paths] == [
        "jw01234001001_04101_00001-seg001_nrs1_uncal.fits",
        "jw01234001001_04101_00001-seg002_nrs1_uncal.fits",
    ]
    with fits.open(paths[1]) as hdus:
        hdus.verify("exception")
        header, science = hdus[0].header, hdus["SCI"].header
        assert [h.name for h in hdus] == ["PRIMARY", "SCI", "GROUP", "INT_TIMES"]
        missing = [k for k in KEYWORDS if k not in header]
        assert missing == []
        assert (header["EXSEGNUM"], header["EXSEGTOT"]) == (2, 2)
        assert (header["INTSTART"], header["INTEND"], header["NINTS"]) == (4, 5, 5)
        assert (header["FASTAXIS"], header["SLOWAXIS"]) == (2, 1)
        assert (header["TFRAME"], header["NGROUPS"]) == (0.22616, 5)
        assert (header["SUBSIZE1"], header["SUBSIZE2"]) == (512, 32)
        assert (science["BITPIX"], science["BUNIT"]) == (16, "DN")
        assert hdus["SCI"].data.dtype == np.uint16


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_opened_files_are_the_simulated_ramps(mode, tmp_path):
    each = exposure(mode, seed=1, n_integrations=5, n_groups=3, references=False)
    opened = tsoxr.open(each.write(tmp_path, n_segments=2)).compute()
    ramps = each.ramps()
    for name in set(opened.variables) - {"segment"}:
        np.testing.assert_allclose(
            opened[name].values, ramps[name].values, rtol=1e-14, err_msg=name
        )
        assert opened[name].attrs.keys() == ramps[name].attrs.keys()
    assert {"ramp", "time", "read_offset", "group_time", "integration"} <= set(opened.variables)
    own = ("tso_source", "fits_header", "time_source")
    assert {k: v for k, v in opened.attrs.items() if k not in own} == {
        k: v for k, v in ramps.attrs.items() if k not in own
    }


def test_axes_of_miri(tmp_path):
    path = exposure("miri-lrs", n_integrations=2, n_groups=2).write(tmp_path)[0]
    header = fits.getheader(path)
    assert (header["FASTAXIS"], header["SLOWAXIS"], header["NOUTPUTS"]) == (1, 2, 4)
    assert header["TFRAME"] == 0.15904
    assert header["EXP_TYPE"] == "MIR_LRS-SLITLESS"
    assert header["TSOVISIT"] is True


def test_time_tables(tmp_path):
    each = exposure("nirspec-prism", n_integrations=6)
    paths = each.write(tmp_path, n_segments=2)
    table = np.concatenate([fits.getdata(p, "INT_TIMES") for p in paths])
    assert list(table.dtype.names) == COLUMNS
    np.testing.assert_array_equal(table["integration_number"], np.arange(1, 7))
    spacing = 86400 * np.diff(table["int_mid_MJD_UTC"])
    np.testing.assert_allclose(spacing, 6 * 0.22616, atol=2e-6)
    np.testing.assert_array_equal(table["int_mid_BJD_TDB"], each.ramps()["time"].values)
    groups = fits.getdata(paths[1], "GROUP")
    assert len(groups) == 15
    np.testing.assert_array_equal(groups["group_number"][:6], [1, 2, 3, 4, 5, 1])
    assert groups["group_end_time"][0].startswith("2023-09-13T00:00:04.5")
    # the last pixel of the last group is read one frame after the first
    end = table["int_end_MJD_UTC"][-1] + each.clock.frame_time / 86400
    day = 51544 + int(groups["end_day"][-1])
    seconds = 1e-3 * groups["end_milliseconds"][-1] + 1e-6 * groups["end_submilliseconds"][-1]
    assert 86400 * (day - end) + seconds == pytest.approx(0.0, abs=1e-4)


def test_truth_stands_beside_the_files(tmp_path):
    each = exposure("nirspec-prism", n_integrations=4)
    each.write(tmp_path)
    with xr.open_dataset(tmp_path / "truth.nc") as truth:
        xr.testing.assert_identical(truth.load(), each.truth(stripes=False))


def test_too_many_segments(tmp_path):
    with pytest.raises(
        ValueError, match="n_segments is 5; it must lie between 1 and the 4 integrations"
    ):
        exposure("nirspec-prism", n_integrations=4).write(tmp_path, n_segments=5)


def test_memory_does_not_grow_with_the_exposure(tmp_path):
    def peak(n_integrations):
        each = exposure("nirspec-prism", n_integrations=n_integrations, n_groups=4)
        each.write(tmp_path / "warm")
        tracemalloc.start()
        each.write(tmp_path / str(n_integrations))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    more = peak(60) - peak(15)
    # 45 integrations of 4 groups are 5.9 MB raw; light curves and tables may grow
    assert more < 2.5e6


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_reference_files(mode, tmp_path):
    each = exposure(mode, seed=1, n_integrations=2)
    paths = dict(zip(REFERENCE_TYPES, each.write_references(tmp_path), strict=True))
    for kind, path in paths.items():
        with fits.open(path) as hdus:
            hdus.verify("exception")
            header = hdus[0].header
            assert header["REFTYPE"] == kind.upper()
            assert header["SUBSIZE1"] == each.setup.shape[1]
            for keyword in ("INSTRUME", "DETECTOR", "SUBARRAY", "SUBSTRT1", "FASTAXIS", "SLOWAXIS"):
                assert keyword in header, f"{kind} lacks {keyword}"
    np.testing.assert_array_equal(fits.getdata(paths["linearity"], "COEFFS"), each.maps.linearity)
    np.testing.assert_array_equal(fits.getdata(paths["mask"], "DQ"), each.maps.dq)
    np.testing.assert_allclose(
        fits.getdata(paths["readnoise"], "SCI"), np.sqrt(2) * each.maps.read_noise, rtol=1e-6
    )
    dark = fits.getdata(paths["dark"], "SCI")
    assert dark.ndim == (4 if mode == "miri-lrs" else 3)
    assert fits.getdata(paths["gain"], "SCI").dtype.kind == "f"
