"""What a user may hand over by mistake: a message that helps, and nothing lost."""

import numpy as np
import pytest

import tsoxr
from tsoxr import dq, testing

RATES = ("flag_outliers", "find_trace", "subtract_background", "assign_wavelength", "extract")


def through(ds, names):
    for name in names:
        ds = getattr(tsoxr.steps, name)(ds)
    return ds


@pytest.mark.parametrize("columns", [slice(200, 201), slice(300, 306)])
def test_columns_without_data_stay_without_and_say_so(columns):
    rates = testing.example("rates")
    clean = through(rates, RATES)
    holed = rates.assign(rate=rates.rate.copy(), dq=rates.dq.copy())
    holed.rate.values[:, :, columns] = np.nan
    holed.dq.values[:, :, columns] |= 1
    spectra = through(holed, RATES)
    lost = np.isin(spectra.dispersion_pixel, np.arange(512)[columns])
    assert lost.any()
    assert np.isnan(spectra.flux.values[:, lost]).all()
    assert dq.has_flag(spectra.dq, "DO_NOT_USE").values[:, lost].all()
    assert np.isfinite(spectra.flux.values[:, ~lost]).all()
    # a few columns of 481 are missing, in all integrations alike: no dip, no step
    difference = spectra.tso.white_light().flux - clean.tso.white_light().flux
    assert float(abs(difference).max()) < 5 * float(clean.tso.white_light().flux_error.median())


def test_one_integration_is_refused_where_time_is_needed():
    ramps = testing.example("ramps").isel(time=[0])
    ramps = through(ramps, ("flag_saturation", "subtract_bias", "clean_1overf", "linearize"))
    assert "one integration" in repr(ramps.tso.history)
    with pytest.raises(tsoxr.TsoError, match=r"there are 1 integrations.*needs 3 or"):
        ramps.tso.flag_jumps()
    assert ramps.tso.fit_ramps().sizes["time"] == 1


def test_one_group_has_no_slope():
    ramps = testing.example("ramps").isel(group=[0])
    with pytest.raises(tsoxr.TsoError, match=r"fit_ramps.*group"):
        ramps.tso.fit_ramps()


def test_a_lost_dim_is_named():
    with pytest.raises(
        tsoxr.SchemaError, match=r"'rate' with dims .* keep it with isel\(time=\[0\]\)"
    ):
        testing.example("rates").isel(time=0).tso.flag_outliers()


def test_dims_in_another_order_change_nothing():
    rates = testing.example("rates").tso.find_trace()
    turned = rates.transpose("x", "time", "y", ...)
    np.testing.assert_allclose(
        turned.tso.assign_wavelength().tso.extract().flux.transpose("time", "wavelength"),
        rates.tso.assign_wavelength().tso.extract().flux,
        rtol=1e-5,
    )


@pytest.mark.parametrize("name", ["fit_ramps", "flag_jumps", "clean_1overf", "linearize"])
def test_unknown_keyword(name):
    with pytest.raises(TypeError, match=rf"{name}\(\) has no parameter 'sigmma'"):
        getattr(testing.example("ramps").tso, name)(sigmma=3)


def test_no_light_is_no_trace():
    rates = testing.example("rates")
    dark = rates.assign(rate=rates.rate * np.float32(0))
    with pytest.raises(tsoxr.TsoError, match="no trace"):
        dark.tso.find_trace()


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    import netCDF4

    curves = testing.example("lightcurves")
    path = curves.tso.save(tmp_path / "curves.nc")
    before = path.read_bytes()

    def stop(*_args, **_more):
        raise KeyboardInterrupt

    monkeypatch.setattr(netCDF4.Dataset, "close", stop)
    monkeypatch.setattr(netCDF4.Dataset, "sync", stop)
    with pytest.raises(KeyboardInterrupt):
        curves.isel(time=slice(0, 3)).tso.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert tsoxr.open(path).identical(curves)
