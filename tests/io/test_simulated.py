"""Files of the simulator, read back, are the exposure that it simulated."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, schema, simulation

CHOICES = {
    **{mode: {} for mode in simulation.SETUPS},
    "niriss-soss": {"subarray": "SUBSTRIP96"},
    "nircam-grism": {"n_outputs": 1},
    "miri-imaging": {"subarray": "SUB64"},
}
"""Every mode once, small."""


@pytest.fixture(scope="module", params=CHOICES)
def written(request, tmp_path_factory):
    options = {"n_integrations": 3, "n_groups": 2, **CHOICES[request.param]}
    exposure = simulation.exposure(request.param, seed=2, **options)
    folder = tmp_path_factory.mktemp(request.param)
    exposure.write(folder, n_segments=2)
    exposure.write_references(folder / "refs")
    return exposure.ramps(), folder


def test_ramps_clocks_and_axes_come_back(written):
    truth, folder = written
    ds = tsoxr.open(str(folder / "*_uncal.fits"))
    assert schema.validate(ds) == []
    np.testing.assert_array_equal(ds["ramp"], truth["ramp"])
    np.testing.assert_array_equal(ds["time"], truth["time"])
    np.testing.assert_array_equal(ds["segment"], [1, 1, 2])
    # the simulator counts samples, the reader applies the formula: two codes, one clock
    np.testing.assert_allclose(ds["read_offset"], truth["read_offset"], rtol=1e-6)
    np.testing.assert_allclose(ds["group_time"], truth["group_time"], rtol=1e-12)
    described = [
        n for n in truth.attrs if not n.startswith(("tso_source", "time_source", "fits_header"))
    ]
    assert {n: ds.attrs.get(n) for n in described} == {n: truth.attrs[n] for n in described}


def test_every_variable_of_a_file_is_simulated_too(written):
    truth, folder = written
    ds = tsoxr.open(str(folder / "*_uncal.fits")).compute()
    own = {"segment", "dq_pixel"}  # bad pixels are known from the references only
    assert {"ramp", "time", "read_offset", "group_time", "integration"} <= set(ds.variables)
    for name in set(ds.variables) - own:
        np.testing.assert_allclose(ds[name], truth[name], rtol=1e-6, err_msg=name)
        assert ds[name].attrs.keys() == truth[name].attrs.keys(), name


def test_reference_pixels_come_back(written):
    truth, folder = written
    flag = dq.FLAGS["REFERENCE_PIXEL"]
    found = tsoxr.open(str(folder / "*_uncal.fits"))["dq_pixel"].values & flag
    np.testing.assert_array_equal(found, truth["dq_pixel"].values & flag)


def test_references_come_back(written):
    truth, folder = written
    ds = tsoxr.open(str(folder / "*_uncal.fits")).tso.use_references(folder / "refs")
    assert schema.validate(ds) == []
    for name in (
        "gain",
        "read_noise",
        "superbias",
        "saturation",
        "linearity",
        "dark",
        "flat",
        "dq_pixel",
    ):
        np.testing.assert_allclose(
            ds[name], truth[name], rtol=1e-6, err_msg=name
        )  # float32 on disk


def test_one_file_or_several_are_the_same(written, tmp_path):
    _, folder = written
    joined = tsoxr.open(str(folder / "*_uncal.fits"))
    joined.tso.save(tmp_path / "ramps.nc")
    xr.testing.assert_identical(tsoxr.open(tmp_path / "ramps.nc").load(), joined.load())
