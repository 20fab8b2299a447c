"""One frame from many: errors are honest, flags and levels follow, lazy data stay lazy."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, simulation
from tsoxr.testing import raise_if_computes

QUIET = ("photon", "read", "background", "bad_pixels")


@pytest.fixture(scope="module")
def exposure():
    return simulation.exposure("nirspec-prism", seed=3, n_integrations=30, noise=QUIET)


@pytest.fixture(scope="module")
def rates(exposure):
    return exposure.rates()


@pytest.mark.parametrize("method", ["mean", "median"])
@pytest.mark.parametrize("times", ["all", "out_of_transit"])
def test_pulls_have_unit_scatter(exposure, rates, method, times):
    out = rates.tso.combine(method=method, times=times)
    still = exposure.replace(noise=("background", "bad_pixels")).rates()["rate"]
    used = still if times == "all" else still.isel(time=~rates["in_transit"].values)
    truth = getattr(used, method)("time").values
    good = out["dq"][0].values == 0
    pull = ((out["rate"][0] - truth) / out["rate_error"][0]).values[good]
    # 16000 pixels: 0.6 %; a chromatic transit moves bright pixels by a part of their error
    assert pull.std() == pytest.approx(1.0, abs=0.03)
    assert abs(np.median(pull)) < 0.06
    n_used = out["combine_n_used"].values[good]
    assert n_used.max() == used.sizes["time"]
    assert np.nanmean(out["combine_pull"].values[good]) == pytest.approx(1.0, abs=0.03)


def test_the_product_is_rates_of_one_integration(rates):
    out = rates.tso.combine()
    assert out.tso.validate() == []
    assert out.sizes["time"] == 1
    assert float(out["time"][0]) == pytest.approx(float(rates["time"].mean()))
    traced = out.tso.find_trace()
    np.testing.assert_allclose(
        traced["trace_center"], rates.tso.find_trace()["trace_center"], atol=0.02
    )


def test_flags_that_all_have_and_pixels_that_none_has(rates):
    flags = rates["dq"].copy(deep=True)
    flags[:] = 0
    flags[:, 3, 4] |= dq.bits("JUMP_DET")
    flags[:9, 5, 6] |= dq.bits("DO_NOT_USE")
    flags[:, 7, 8] |= dq.bits("OUTLIER")
    out = rates.assign(dq=flags).tso.combine()
    found = out["dq"][0].values
    assert found[3, 4] == dq.bits("JUMP_DET")
    assert found[5, 6] == 0
    assert int(out["combine_n_used"][5, 6]) == 21
    assert found[7, 8] == dq.bits("OUTLIER", "DO_NOT_USE")
    assert np.isnan(out["rate"][0, 7, 8])


def test_levels_of_lines_shrink_with_the_number(rates):
    ds = rates.tso.subtract_background()
    out = ds.tso.combine()
    np.testing.assert_allclose(out["level_variance"], ds["level_variance"] / 30, rtol=1e-5)
    median = ds.tso.combine(method="median")
    np.testing.assert_allclose(
        median["level_variance"], np.pi / 2 * ds["level_variance"] / 30, rtol=1e-5
    )


def test_spectra_are_combined_too():
    spectra = tsoxr.simulate("nirspec-g395h", kind="spectra", n_integrations=40, seed=1)
    out = spectra.tso.combine(times="out_of_transit")
    n = int((~spectra["in_transit"]).sum())
    star = spectra["flux"].isel(time=~spectra["in_transit"].values).mean("time")
    np.testing.assert_allclose(out["flux"][0], star, atol=5 * float(out["flux_error"].max()))
    ratio = (out["flux_error"][0] / spectra["flux_error"].median("time")).median()
    assert float(ratio) == pytest.approx(1 / np.sqrt(n), rel=0.02)


@pytest.mark.parametrize("method", ["mean", "median"])
def test_lazy_stays_lazy_and_holds_one_chunk(rates, method):
    with raise_if_computes():
        lazy = rates.chunk(time=7).tso.combine(method=method)
    assert lazy["rate"].chunks is not None
    xr.testing.assert_identical(lazy.compute(), rates.tso.combine(method=method))


def test_few_integrations(rates):
    two = rates.isel(time=[0, 1]).tso.combine()
    assert two.tso.history[-1]["notes"] == ["2 integrations: hits cannot be told from light"]
    one = rates.isel(time=[4]).tso.combine()
    good = one["dq"][0].values == 0
    np.testing.assert_allclose(
        one["rate"].values[0][good], rates["rate"].values[4][good], rtol=1e-6
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "mode"}, "method='mode'; it must be one of"),
        ({"times": "in_transit"}, "times='in_transit'; it must be one of"),
        ({"sigma": 0.0}, "sigma is 0.0; it must be positive"),
    ],
)
def test_wrong_parameters(rates, given, message):
    with pytest.raises(ValueError, match=message):
        rates.tso.combine(**given)


def test_transit_that_is_not_marked_or_is_all(rates):
    with pytest.raises(tsoxr.TsoError, match=r"run .tso.mark_transit\(\) first"):
        rates.drop_vars("in_transit").tso.combine(times="out_of_transit")
    always = rates.assign_coords(in_transit=("time", np.ones(30, bool)))
    with pytest.raises(tsoxr.TsoError, match="no integration is left"):
        always.tso.combine(times="out_of_transit")
