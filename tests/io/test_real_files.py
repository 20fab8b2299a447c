"""Real and official files open; Eureka! spectra keep their numbers."""

import netCDF4
import numpy as np
import pytest

import tsoxr
from tsoxr import dq, schema

pytestmark = pytest.mark.real_data


def test_pipeline_rateints_with_empty_int_times(real_data_dir):
    with pytest.warns(
        tsoxr.TsoWarning, match="INT_TIMES has no rows; times are built from EXPSTART"
    ):
        ds = tsoxr.open(real_data_dir / "formats" / "mirisim_ngts10_rateints.fits")
    assert schema.validate(ds) == []
    assert ds.attrs["tso_mode"] == "miri-lrs"
    assert (ds.attrs["dispersion_dim"], ds.attrs["fast_dim"]) == ("y", "x")
    np.testing.assert_array_equal(ds["integration"], [1847, 1848, 1849, 1850])
    assert (ds["segment"] == 41).all()
    # 300 groups and the reset, 0.15904 s each
    np.testing.assert_allclose(np.diff(ds["time"]) * 86400, 301 * 0.15904, rtol=1e-4)
    assert float(ds["read_offset"].max()) == pytest.approx((415 * 28 + 17) * 1e-5, rel=1e-6)
    assert dq.has_flag(ds["dq"][0], "REFERENCE_PIXEL")[:, :4].all()


def test_pipeline_calints_with_wavelengths(real_data_dir):
    with pytest.warns(tsoxr.TsoWarning, match="INT_TIMES has no rows"):
        ds = tsoxr.open(real_data_dir / "formats" / "mirisim_ngts10_calints.fits")
    assert schema.validate(ds) == []
    assert ds["wavelength"].dims == ("y", "x")
    column = ds["wavelength"][:, 36]
    finite = column[np.isfinite(column)]
    assert (np.diff(finite) < 0).all()  # wavelength falls with the row
    assert (
        ds["y"][0] == 0
    )  # SLTSTRT2 = 529 is given on the detector, the slit is the whole subarray


def test_old_x1dints_of_three_orders(real_data_dir):
    path = real_data_dir / "formats" / "simulated_soss_x1dints_old_layout.fits"
    with pytest.raises(tsoxr.SchemaError, match=r"orders \[1, 2, 3\].*order=1"):
        tsoxr.open(path)
    with pytest.warns(tsoxr.TsoWarning, match="times count from the start"):
        tree = tsoxr.open_tree(path)
    assert {n: tree[n].sizes["wavelength"] for n in tree.children} == {
        "order1": 1550,
        "order2": 1550,
        "order3": 842,
    }
    for node in tree.children.values():
        assert schema.validate(node.to_dataset()) == []
        assert (np.diff(node["wavelength"]) > 0).all()


@pytest.mark.parametrize(("extraction", "name"), [("optimal", "optspec"), ("box", "stdspec")])
def test_eureka_spectra(real_data_dir, extraction, name):
    path = real_data_dir / "formats" / "eureka_stage3_nirspec_prism_jw06456_SpecData.h5"
    ds = tsoxr.open(path, extraction=extraction)
    assert schema.validate(ds) == []
    assert ds.sizes == {"time": 24, "wavelength": 511}
    assert ds.attrs["tso_mode"] == "nirspec-prism"
    assert ds["flux"].attrs["units"] == "electron"
    with netCDF4.Dataset(path) as file:
        np.testing.assert_array_equal(ds["flux"], file[name][:])
    if (
        extraction == "box"
    ):  # 232 ppm measured against 210 ppm of photon noise; 24 points: 15 % each
        white = ds["flux"].sum("wavelength")
        assert float(white.std() / white.mean()) * 1e6 < 400
    assert abs(float(ds["trace_shift"].median())) < 1e-6


def test_eureka_soss_runs_backwards_in_x(real_data_dir):
    ds = tsoxr.open(real_data_dir / "formats" / "eureka_stage4_niriss_wasp94a_SpecData.h5")
    assert schema.validate(ds) == []
    assert int(ds["order"]) == 1
    assert (np.diff(ds["wavelength"]) > 0).all()
    assert (np.diff(ds["dispersion_pixel"]) < 0).all()


@pytest.mark.parametrize(
    "name",
    [
        "eureka_stage3_nircam_f210m_weaklens_wasp39_SpecData.h5",
        "eureka_stage4_nirspec_prism_jw06456_LCData.h5",
    ],
)
def test_eureka_files_without_spectra_are_refused(real_data_dir, name):
    with pytest.raises(
        tsoxr.SchemaError,
        match=r"an Eureka! file without 'optspec' .*reads the SpecData files of stage 3",
    ):
        tsoxr.open(real_data_dir / "formats" / name)


def test_reference_files_are_no_exposures(real_data_dir):
    with pytest.raises(tsoxr.SchemaError, match=r"a reference file \(REFTYPE='SUPERBIAS'\)"):
        tsoxr.open(
            real_data_dir / "nirspec" / "birkmann_copied_into_jwst_nirspec_superbias_0231.fits"
        )
