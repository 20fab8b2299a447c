"""References from a folder, files and arrays reach the data, cut and recorded."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, schema, testing


def _writers():
    path = Path(__file__).parents[1] / "io" / "conftest.py"
    spec = importlib.util.spec_from_file_location("fits_writers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = _writers()


@pytest.fixture
def ramps(tmp_path):
    data = np.ones((4, 3, 8, 16), np.uint16)
    return tsoxr.open(make.uncal(tmp_path / "exposure.fits", data))


def frame(value):
    """Return a full frame whose pixels know where they are."""
    y, x = np.mgrid[1:2049, 1:2049]
    return (value + 1e-3 * y + 1e-7 * x).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    refs = tmp_path / "refs"
    refs.mkdir()
    flags = np.zeros((2048, 2048), np.uint32)
    flags[958 + 2, 1024 + 3] = 2
    make.reference(refs / "gain.fits", "GAIN", frame(1.0))
    make.reference(refs / "readnoise.fits", "READNOISE", frame(14.0))
    make.reference(
        refs / "mask.fits", "MASK", None, dq=flags, definitions={"DO_NOT_USE": 1, "DEAD": 2}
    )
    make.reference(
        refs / "superbias.fits", "SUPERBIAS", frame(0.0)[958:966, 1024:1040], SUBARRAY="SUB512", SUBSTRT1=1025, SUBSTRT2=959,
        dq=np.full((8, 16), 2, np.uint32), definitions={"UNRELIABLE_BIAS": 2},
    )  # fmt: skip
    return refs


def test_a_folder_of_references(ramps, folder):
    out = ramps.tso.use_references(folder)
    np.testing.assert_array_equal(out["gain"], frame(1.0)[958:966, 1024:1040])
    np.testing.assert_allclose(
        out["read_noise"], frame(14.0)[958:966, 1024:1040] / np.sqrt(2), rtol=1e-6
    )
    np.testing.assert_array_equal(out["superbias"], frame(0.0)[958:966, 1024:1040])
    assert dq.has_flag(out["dq_pixel"], "DEAD").sum() == 1
    assert dq.has_flag(out["dq_pixel"], "DEAD")[2, 3]
    assert dq.has_flag(out["dq_pixel"], "UNRELIABLE_BIAS").all()
    assert out["gain"].attrs["reference_sha1"]
    assert schema.validate(out) == []
    record = out.tso.history[-1]
    assert record["params"]["source"] == str(folder)
    assert record["notes"][:2] == [
        "references found: superbias, gain, readnoise, mask",
        "not found: dark, linearity, saturation, flat, reset",
    ]
    assert re.fullmatch(r"mask: .*mask.fits, sha1 [0-9a-f]{40}", record["notes"][2])
    assert "reference_file" not in out["dq_pixel"].attrs


def test_files_and_arrays_by_hand(ramps, folder):
    saturation = xr.DataArray(
        np.full((8, 16), 6e4), dims=("y", "x"), coords={"y": np.arange(8) + 5}
    )
    out = ramps.tso.use_references(
        {"gain": folder / "gain.fits", "saturation": saturation, "read_noise": 6.5}
    )
    assert (out["saturation"] == 6e4).all()
    assert out["saturation"].attrs["units"] == "DN"
    assert float(out["read_noise"]) == 6.5  # a single read already
    assert "superbias" not in out
    np.testing.assert_array_equal(out["y"], ramps["y"])
    assert schema.validate(out) == []


def test_only_the_types_asked_for(ramps, folder):
    out = ramps.tso.use_references(folder, types=("gain", "read_noise"))
    assert {"gain", "read_noise"} <= set(out.data_vars)
    assert "superbias" not in out
    assert not out["dq_pixel"].any()


def test_other_detectors_and_patterns_are_passed_over(ramps, folder):
    make.reference(folder / "other.fits", "GAIN", frame(9.0), DETECTOR="NRS2")
    make.reference(
        folder / "slow.fits", "READNOISE", frame(9.0), READPATT="NRS", P_READPA="NRS|NRSIRS2|"
    )
    (folder / "notes.fits").write_text("no FITS")
    out = ramps.tso.use_references(folder)
    assert float(out["gain"].mean()) < 3
    notes = out.tso.history[-1]["notes"][0]
    assert "passed over 3 files" in notes
    assert "other.fits: this gain is of detector NRS2" in notes
    assert "slow.fits is for READPATT=NRS|NRSIRS2|, the exposure has NRSRAPID" in notes


def test_the_file_of_the_subarray_is_preferred(ramps, folder):
    own = frame(5.0)[958:966, 1024:1040]
    make.reference(folder / "own.fits", "GAIN", own, SUBARRAY="SUB512", SUBSTRT1=1025, SUBSTRT2=959)
    np.testing.assert_array_equal(ramps.tso.use_references(folder)["gain"], own)


def test_two_files_that_fit_need_a_choice(ramps, folder):
    make.reference(folder / "gain2.fits", "GAIN", frame(2.0))
    with pytest.raises(
        tsoxr.SchemaError,
        match=r"2 files of type gain fit \(gain.fits, gain2.fits\); give \{'gain': path\}",
    ):
        ramps.tso.use_references(folder)


def test_nothing_found_is_said(ramps, tmp_path):
    (tmp_path / "empty").mkdir()
    out = ramps.tso.use_references(tmp_path / "empty")
    assert out.tso.history[-1]["notes"][0] == "references found: none"
    xr.testing.assert_equal(out, ramps)


def test_pixels_selected_before(ramps, folder):
    part = ramps.isel(y=slice(2, 6), x=slice(3, 9)).tso.use_references(folder, types=("gain",))
    np.testing.assert_array_equal(part["gain"], frame(1.0)[960:964, 1027:1033])
    with pytest.raises(tsoxr.SchemaError, match="pixels along 'x' are not consecutive"):
        ramps.isel(x=[0, 4]).tso.use_references({"gain": folder / "gain.fits"})


def test_lazy_stays_lazy(ramps, folder):
    with testing.raise_if_computes():
        out = ramps.tso.use_references(folder)
    assert out["ramp"].chunks is not None
    assert out["gain"].chunks is None


def test_rates_take_gain_flat_and_mask(tmp_path, folder):
    rate = np.ones((4, 8, 16), np.float32)
    rates = tsoxr.open(make.rateints(tmp_path / "a.fits", rate, S_GANSCL="COMPLETE"))
    out = rates.tso.use_references(folder)
    # rates were scaled to the full frame's gain, so the subarray's gain is too high by GAINFACT
    np.testing.assert_allclose(out["gain"], frame(1.0)[958:966, 1024:1040] / 1.429, rtol=1e-6)
    assert "superbias" not in out
    assert dq.has_flag(out["dq"], "DEAD").sum() == 4
    assert out["dq"].dims == ("time", "y", "x")
    assert schema.validate(out) == []


def test_wrong_use(ramps, folder, tmp_path):
    with pytest.raises(ValueError, match="'gains' is no type of reference; types are superbias"):
        ramps.tso.use_references({"gains": 1.0})
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        ramps.tso.use_references(tmp_path / "none")
    with pytest.raises(
        tsoxr.SchemaError, match=r"readnoise.fits is a readnoise reference but was given as 'gain'"
    ):
        ramps.tso.use_references({"gain": folder / "readnoise.fits"})
    with pytest.raises(
        tsoxr.SchemaError, match=r"'gain' has dims \{'y': 4, 'x': 16\}; the data have"
    ):
        ramps.tso.use_references({"gain": xr.DataArray(np.ones((4, 16)), dims=("y", "x"))})
    with pytest.raises(FileNotFoundError, match="there is no file"):
        ramps.tso.use_references({"gain": tmp_path / "gain.fits"})


@pytest.mark.parametrize("kind", ["ramps", "rates"])
@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_contract(kind, mode):
    ds = testing.example(kind, mode)
    gain = xr.DataArray(np.full((ds.sizes["y"], ds.sizes["x"]), 1.5, "f4"), dims=("y", "x"))
    testing.check_step("use_references", ds, source={"gain": gain})


@pytest.mark.real_data
def test_real_superbias_of_a_subarray(real_data_dir, tmp_path):
    path = real_data_dir / "nirspec" / "birkmann_copied_into_jwst_nirspec_superbias_0231.fits"
    data = np.ones((2, 3, 32, 512), np.uint16)
    ramps = tsoxr.open(make.uncal(tmp_path / "a.fits", data, SUBSIZE1=512, SUBSIZE2=32))
    out = ramps.tso.use_references({"superbias": path})
    assert 1e3 < float(out["superbias"].median()) < 2e4
    assert schema.validate(out) == []


@pytest.mark.real_data
def test_real_dark_names_its_flags(real_data_dir):
    from tsoxr.io.reference import read_reference

    reftype, ds = read_reference(real_data_dir / "nirspec" / "jwst_nirspec_dark_0046.fits")
    assert reftype == "dark"
    assert ds["dark"].shape == (10, 32, 512)
    # its bit 1 means WARM, which the standard table has elsewhere
    assert set(dq.describe(ds["dq"])) <= {
        "DO_NOT_USE",
        "WARM",
        "HOT",
        "UNRELIABLE_SLOPE",
        "UNRELIABLE_DARK",
        "BAD_REF_PIXEL",
    }
    assert dq.has_flag(ds["dq"], "WARM", "HOT").any()
