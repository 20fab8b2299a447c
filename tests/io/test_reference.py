"""Reference files are cut to the subarray, their flags translated by name."""

import hashlib

import numpy as np
import pytest

import tsoxr
from tsoxr import dq
from tsoxr.io import reference
from tsoxr.io.reference_cut import cut

FULL = np.arange(64 * 48, dtype=np.float32).reshape(64, 48)
EXPOSURE = {"detector": "NRS1", "subarray": "SUB512", "x_start": 11, "y_start": 21, "n_groups": 3}


def test_type_and_variable(tmp_path, make):
    path = make.reference(tmp_path / "a.fits", "GAIN", FULL)
    reftype, ds = reference.read_reference(path)
    assert reftype == "gain"
    np.testing.assert_array_equal(ds["gain"], FULL)
    assert ds["gain"].attrs["units"] == "electron DN-1"
    assert ds["gain"].attrs["reference_file"] == str(path)
    assert ds["gain"].attrs["reference_sha1"] == hashlib.sha1(path.read_bytes()).hexdigest()


def test_read_noise_becomes_that_of_a_single_read(tmp_path, make):
    _, ds = reference.read_reference(make.reference(tmp_path / "a.fits", "READNOISE", FULL))
    np.testing.assert_allclose(ds["read_noise"], FULL / np.sqrt(2), rtol=1e-6)


def test_linearity_holds_coefficients(tmp_path, make):
    coefficients = np.arange(4 * 64 * 48, dtype=np.float32).reshape(4, 64, 48)
    _, ds = reference.read_reference(
        make.reference(tmp_path / "a.fits", "LINEARITY", coefficients, extension="COEFFS")
    )
    assert ds["linearity"].dims == ("coefficient", "y", "x")
    np.testing.assert_array_equal(ds["linearity"], coefficients)


def test_flags_are_translated_by_name(tmp_path, make):
    raw = np.zeros((64, 48), np.uint32)
    raw[0, :4] = [1, 2, 4, 3]
    definitions = {"DO_NOT_USE": 1, "HOT": 2, "NOT_A_JWST_FLAG": 4}
    _, ds = reference.read_reference(
        make.reference(tmp_path / "a.fits", "MASK", None, dq=raw, definitions=definitions)
    )
    hot, bad = dq.FLAGS["HOT"], dq.FLAGS["DO_NOT_USE"]
    np.testing.assert_array_equal(ds["dq"][0, :5], [bad, hot, 0, hot | bad, 0])
    assert set(ds.data_vars) == {"dq"}


def test_flags_without_definitions_are_standard(tmp_path, make):
    raw = np.full((64, 48), 1 << 31, np.uint32)
    _, ds = reference.read_reference(make.reference(tmp_path / "a.fits", "FLAT", FULL, dq=raw))
    assert dq.has_flag(ds["dq"], "REFERENCE_PIXEL").all()


def test_cut_to_the_subarray(tmp_path, make):
    file = reference.describe_reference(
        make.reference(tmp_path / "a.fits", "SUPERBIAS", FULL, dq=np.ones((64, 48), np.uint32))
    )
    part = cut(file, EXPOSURE, (8, 16), (0, 0))
    np.testing.assert_array_equal(part["superbias"], FULL[20:28, 10:26])
    assert part["dq"].shape == (8, 16)
    np.testing.assert_array_equal(
        cut(file, EXPOSURE, (8, 16), (2, 3))["superbias"], FULL[22:30, 13:29]
    )


def test_cut_from_a_subarray(tmp_path, make):
    path = make.reference(tmp_path / "a.fits", "SUPERBIAS", FULL, SUBSTRT1=9, SUBSTRT2=20)
    part = cut(reference.describe_reference(path), EXPOSURE, (8, 16), (0, 0))
    np.testing.assert_array_equal(part["superbias"], FULL[1:9, 2:18])


def test_a_reference_that_does_not_cover(tmp_path, make):
    path = make.reference(tmp_path / "a.fits", "SUPERBIAS", FULL, SUBSTRT1=15, SUBARRAY="SUB1")
    with pytest.raises(
        tsoxr.SchemaError, match=r"covers x = 15 to 62 .*'SUB1'.*the exposure 11 to 26 \('SUB512'\)"
    ):
        cut(reference.describe_reference(path), EXPOSURE, (8, 16), (0, 0))


def test_another_detector(tmp_path, make):
    path = make.reference(tmp_path / "a.fits", "GAIN", FULL, DETECTOR="NRS2")
    with pytest.raises(
        tsoxr.SchemaError, match="this gain is of detector NRS2, the exposure of NRS1"
    ):
        cut(reference.describe_reference(path), EXPOSURE, (8, 16), (0, 0))


def dark_file(tmp_path, make, n, **cards):
    data = np.arange(n, dtype=np.float32)[:, None, None] + np.zeros((64, 48), np.float32)
    return reference.describe_reference(make.reference(tmp_path / "a.fits", "DARK", data, **cards))


def test_dark_of_single_frames_is_averaged_to_groups(tmp_path, make):
    file = dark_file(tmp_path, make, 20, NFRAMES=1, GROUPGAP=0)
    part = cut(file, {**EXPOSURE, "n_frames": 4, "group_gap": 1}, (8, 16), (0, 0))
    np.testing.assert_allclose(part["dark"][:, 0, 0], [1.5, 6.5, 11.5])
    assert part["dark"].dims == ("group", "y", "x")
    assert part["dark"].attrs["units"] == "DN"


def test_dark_of_the_same_pattern_is_taken_as_it_is(tmp_path, make):
    file = dark_file(tmp_path, make, 5, NFRAMES=4, GROUPGAP=1)
    part = cut(file, {**EXPOSURE, "n_frames": 4, "group_gap": 1}, (8, 16), (0, 0))
    np.testing.assert_array_equal(part["dark"][:, 0, 0], [0, 1, 2])


def test_dark_that_does_not_fit(tmp_path, make):
    with pytest.raises(
        tsoxr.SchemaError, match="this dark has 2 groups, the exposure's 3 groups need 3"
    ):
        cut(dark_file(tmp_path, make, 2), EXPOSURE, (8, 16), (0, 0))
    with pytest.raises(
        tsoxr.SchemaError, match="average 4 frames with 0 dropped, those of the exposure 1 with 0"
    ):
        cut(dark_file(tmp_path, make, 9, NFRAMES=4), EXPOSURE, (8, 16), (0, 0))


def test_miri_dark_keeps_its_integrations(tmp_path, make):
    data = np.zeros((3, 4, 64, 48), np.float32)
    data[-1] = 7.0
    file = reference.describe_reference(make.reference(tmp_path / "a.fits", "DARK", data))
    part = cut(file, EXPOSURE, (8, 16), (0, 0))
    assert part["dark"].dims == ("nth_integration", "group", "y", "x")
    assert part["dark"].shape == (3, 3, 8, 16)
    np.testing.assert_array_equal(part["dark"][:, 0, 0, 0], [0.0, 0.0, 7.0])


def test_dark_of_one_integration_has_no_axis_of_them(tmp_path, make):
    data = np.ones((1, 4, 64, 48), np.float32)
    file = reference.describe_reference(make.reference(tmp_path / "a.fits", "DARK", data))
    assert cut(file, EXPOSURE, (8, 16), (0, 0))["dark"].dims == ("group", "y", "x")


def reset_file(tmp_path, make, n, **cards):
    values = np.arange(1, n + 1, dtype=np.float32)
    data = values[:, None, None] + np.zeros((2, n, 64, 48), np.float32)
    return reference.describe_reference(make.reference(tmp_path / "a.fits", "RESET", data, **cards))


def test_short_reset_is_zero_beyond_its_end(tmp_path, make):
    part = cut(reset_file(tmp_path, make, 2), EXPOSURE, (8, 16), (0, 0))
    assert part["reset"].dims == ("nth_integration", "group", "y", "x")
    np.testing.assert_array_equal(part["reset"][1, :, 0, 0], [1, 2, 0])
    # groups of two frames: the second has frame 3 and one without signal
    part = cut(reset_file(tmp_path, make, 3), {**EXPOSURE, "n_frames": 2}, (8, 16), (0, 0))
    np.testing.assert_array_equal(part["reset"][0, :, 0, 0], [1.5, 1.5, 0])


def test_reset_of_another_detector_or_subarray_or_pattern(tmp_path, make):
    with pytest.raises(tsoxr.SchemaError, match="this reset is of detector NRS2"):
        cut(reset_file(tmp_path, make, 2, DETECTOR="NRS2"), EXPOSURE, (8, 16), (0, 0))
    with pytest.raises(tsoxr.SchemaError, match="this reset covers x = 15 to 62"):
        cut(reset_file(tmp_path, make, 2, SUBSTRT1=15), EXPOSURE, (8, 16), (0, 0))
    with pytest.raises(tsoxr.SchemaError, match="give a reset of single frames"):
        cut(reset_file(tmp_path, make, 2, NFRAMES=4), EXPOSURE, (8, 16), (0, 0))


def test_bad_files(tmp_path, make):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        reference.read_reference(tmp_path / "none.fits")
    with pytest.raises(
        tsoxr.SchemaError,
        match=r"REFTYPE='PHOTOM' with extensions \['SCI'\]; tsoxr reads superbias",
    ):
        reference.read_reference(make.reference(tmp_path / "a.fits", "PHOTOM", FULL))
    with pytest.raises(tsoxr.SchemaError, match=r"REFTYPE='LINEARITY' with extensions \['SCI'\]"):
        reference.read_reference(make.reference(tmp_path / "b.fits", "LINEARITY", FULL))
    with pytest.raises(tsoxr.SchemaError, match=r"this gain has 3 axes, shape \(1, 64, 48\)"):
        reference.read_reference(make.reference(tmp_path / "c.fits", "GAIN", FULL[None]))
