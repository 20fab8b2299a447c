"""Files of the simulator, read back, are the exposure that it simulated."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import schema, simulation


@pytest.fixture(scope="module", params=["nirspec-prism", "miri-lrs"])
def written(request, tmp_path_factory):
    exposure = simulation.exposure(request.param, seed=2, n_integrations=7)
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
    np.testing.assert_array_equal(ds["segment"], [1] * 4 + [2] * 3)
    # the simulator counts samples, the reader applies the formula: two codes, one clock
    np.testing.assert_allclose(ds["read_offset"], truth["read_offset"], rtol=1e-6)
    np.testing.assert_allclose(ds["group_time"], truth["group_time"], rtol=1e-12)
    described = [
        n for n in truth.attrs if not n.startswith(("tso_source", "time_source", "fits_header"))
    ]
    assert {n: ds.attrs.get(n) for n in described} == {n: truth.attrs[n] for n in described}


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
