"""Segments join strictly: same exposure, all there, once, in order."""

import json

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import lazy

RATE = np.arange(4 * 8 * 16, dtype=np.float32).reshape(4, 8, 16)


def segment(make, path, number, *, total=3, **more):
    first = 4 * (number - 1) + 1
    cards = {"EXSEGNUM": number, "EXSEGTOT": total, **more}
    return make.rateints(path, RATE + 1000 * number, first=first, n_total=12, **cards)


@pytest.fixture
def three(tmp_path, make):
    return [segment(make, tmp_path / f"{'cab'[i - 1]}.fits", i) for i in (1, 2, 3)]


def test_one_time_axis_whatever_the_order(three, make, tmp_path):
    ds = tsoxr.open(str(tmp_path / "*.fits"))  # a = 2, b = 3, c = 1
    np.testing.assert_array_equal(ds["integration"], np.arange(1, 13))
    np.testing.assert_array_equal(ds["segment"], np.repeat([1, 2, 3], 4))
    assert ds["segment"].dtype == np.int16
    assert ds["integration"].dtype == np.int32
    np.testing.assert_array_equal(ds["time"], make.mid_bjd(np.arange(1, 13)))
    np.testing.assert_array_equal(ds["rate"][4:8], RATE + 2000)
    assert ds["read_offset"].dims == ("y", "x")
    assert json.loads(ds.attrs["tso_source"]) == [str(three[i]) for i in (0, 1, 2)]
    xr.testing.assert_identical(ds, tsoxr.open(three))


def test_ramps_stay_lazy(tmp_path, make, counts):
    for i in (1, 2):
        make.uncal(
            tmp_path / f"{i}.fits", counts(start=i), first=6 * (i - 1) + 1, EXSEGNUM=i, EXSEGTOT=2
        )
    ds = tsoxr.open(str(tmp_path / "*.fits"))
    assert lazy.is_lazy(ds["ramp"])
    np.testing.assert_array_equal(ds["ramp"], np.concatenate([counts(start=1), counts(start=2)]))


def test_a_hole_is_an_error(three):
    with pytest.raises(
        tsoxr.SchemaError,
        match=r"integrations 5 to 8 are missing between c.fits and b.fits; a segment is absent.*\[1, 3\] of 3",
    ):
        tsoxr.open([three[0], three[2]])


def test_a_missing_end_is_a_warning(three):
    with pytest.warns(
        tsoxr.TsoWarning,
        match=r"segments \[3\] of 3 are not among the files.*integrations 1 to 8 only",
    ):
        assert tsoxr.open(three[:2]).sizes["time"] == 8


def test_one_segment_alone_opens(three):
    assert tsoxr.open(three[1])["segment"].values.tolist() == [2] * 4


def test_twice_the_same(three, make, tmp_path):
    again = segment(make, tmp_path / "again.fits", 2)
    with pytest.raises(tsoxr.SchemaError, match=r"hold the same integrations \(5 to 8\)"):
        tsoxr.open([*three, again])


@pytest.mark.parametrize(
    ("cards", "what"),
    [
        ({"VISIT": "002"}, "VISIT: 001, 002"),
        ({"EXPOSURE": "00002"}, "EXPOSURE: 00001, 00002"),
        ({"NGROUPS": 7}, "n_groups: 5, 7"),
        ({"SUBARRAY": "SUB512S"}, "subarray: SUB512, SUB512S"),
        ({"TFRAME": 0.5}, "frame_time: 0.22616, 0.5"),
    ],
)
def test_other_exposures_are_refused(three, make, tmp_path, cards, what):
    other = segment(make, tmp_path / "other.fits", 2, **cards)
    with pytest.raises(
        tsoxr.SchemaError, match=f"the parts differ in {what}; only parts of one exposure"
    ):
        tsoxr.open([three[0], other])


def test_times_that_go_back_between_segments(three, make, tmp_path):
    rows = make.int_times(5, 8)
    rows["int_mid_BJD_TDB"] -= 6.5 * make.cadence
    late = make.rateints(tmp_path / "late.fits", RATE, first=5, times=rows, EXSEGNUM=2, EXSEGTOT=2)
    first = segment(make, tmp_path / "first.fits", 1, total=2)
    with pytest.raises(tsoxr.SchemaError, match="time does not increase"):
        tsoxr.open([first, late])


def parts(n=2):
    whole = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=6, seed=1)
    size = 6 // n
    return whole, [whole.isel(time=slice(i * size, (i + 1) * size)) for i in range(n)]


def test_concat_undoes_cutting():
    whole, pieces = parts(3)
    xr.testing.assert_identical(tsoxr.concat(pieces[::-1]), whole)


def test_static_variables_must_agree():
    _, (a, b) = parts()
    with pytest.raises(
        tsoxr.SchemaError, match=r"'gain' differs between the parts.*join first, reduce afterwards"
    ):
        tsoxr.concat([a, b.assign(gain=b["gain"] * 1.01)])


def test_variables_must_be_in_all_parts():
    _, (a, b) = parts()
    with pytest.raises(tsoxr.SchemaError, match=r"\['chi2'\] are not in all parts"):
        tsoxr.concat([a, b.assign(chi2=b["rate"])])


def test_histories_must_agree():
    _, (a, b) = parts()
    with pytest.raises(tsoxr.SchemaError, match="reduced differently"):
        tsoxr.concat([a, b.tso.mark_transit(t0=float(b.time[1]), duration=0.01)])


def test_diagnostics_of_one_segment_are_dropped():
    whole, (a, b) = parts()
    a, b = (
        ds.assign(find_x_image=("y", np.full(32, i), {"diagnostic_of": "find_x"}))
        for i, ds in enumerate((a, b))
    )
    xr.testing.assert_identical(tsoxr.concat([a, b]), whole)


def test_wrong_use():
    _, (a, b) = parts()
    with pytest.raises(ValueError, match="dim is 'x'"):
        tsoxr.concat([a, b], dim="x")
    with pytest.raises(ValueError, match="no Datasets to join"):
        tsoxr.concat([])
    with pytest.raises(tsoxr.SchemaError, match=r"\(rates\) has no axis 'wavelength'"):
        tsoxr.concat([a, b], dim="wavelength")


@pytest.fixture
def halves():
    whole = tsoxr.simulate("nirspec-prism", kind="spectra", n_integrations=6, seed=1)
    a, b = whole.isel(wavelength=slice(0, 200)), whole.isel(wavelength=slice(200, None))
    return whole, a.assign_attrs(detector="NRS1"), b.assign_attrs(detector="NRS2")


def test_detectors_join_along_wavelength(halves):
    whole, a, b = halves
    b = b.assign_coords(trace_shift=("time", np.ones(6, "f4")))
    out = tsoxr.concat([b, a], dim="wavelength")
    assert out.attrs["detector"] == "NRS1+NRS2"
    xr.testing.assert_equal(out, whole.drop_vars("trace_shift"))


def test_detectors_with_other_clocks_are_refused(halves):
    _, a, b = halves
    b = b.assign_coords(time=b["time"] + 1e-5)
    with pytest.raises(tsoxr.SchemaError, match="the times of the parts differ"):
        tsoxr.concat([a, b], dim="wavelength")


def test_detectors_that_share_wavelengths_are_refused(halves):
    _, a, _ = halves
    with pytest.raises(tsoxr.SchemaError, match="the parts share wavelengths"):
        tsoxr.concat([a, a.assign_attrs(detector="NRS2")], dim="wavelength")
