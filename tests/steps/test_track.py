"""Motion that the simulator put in, on spectra and images, and what must not look like motion."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, simulation
from tsoxr.simulation import Telescope, Tilt

QUIET = ("photon", "read", "jitter")
MODES = ("nirspec-prism", "nirspec-g395m", "miri-lrs", "nircam-grism", "miri-imaging")


def exposure(mode="nirspec-g395m", n=40, seed=4, **given):
    telescope = Telescope(breathing=0.004, breathing_period=0.05)
    given = {"noise": QUIET, "telescope": telescope} | given
    return simulation.exposure(mode, n_integrations=n, seed=seed, **given)


@pytest.fixture(scope="module", params=MODES)
def made(request):
    given = {"subarray": "SUB64"} if request.param == "miri-imaging" else {}
    found = exposure(request.param, **given)
    return found.rates(), found.truth(stripes=False)


@pytest.fixture(scope="module")
def rates():
    return exposure().rates()


@pytest.fixture(scope="module")
def tracked(rates):
    return rates.tso.track()


def off(out, name, true):
    value = out[name].values.astype(float)
    return value - value.mean() - (true.values - true.values.mean())


def test_shift_is_found_to_the_error_that_is_stated(made):
    ds, truth = made
    out = ds.tso.track()
    pull = off(out, "trace_shift", truth["shift"]) / out["trace_shift_error"].values
    # 40 pulls: their scatter is known to 11 %
    assert 0.6 < pull.std() < 1.4
    true = truth["shift"].values - truth["shift"].values.mean()
    found = out["trace_shift"].values - out["trace_shift"].values.mean()
    unsure = float(out["trace_shift_error"].median()) / np.sqrt((true**2).sum())
    # the size of shifts is right to 3 %, and this sample says it to its own error
    assert true @ found / (true @ true) == pytest.approx(1, abs=0.03 + 3 * unsure)


def test_shift_along_dispersion_is_within_its_error(made):
    ds, truth = made
    out = ds.tso.track()
    error = out["trace_shift_dispersion_error"].values
    assert off(out, "trace_shift_dispersion", truth["shift_dispersion"]).std() < 1.5 * np.median(
        error
    )


def test_width_follows_the_focus(made):
    ds, truth = made
    out = ds.tso.track()
    width = out["trace_fwhm"].values / out["trace_fwhm"].values.mean() - 1
    focus = truth["focus"].values - truth["focus"].values.mean()
    error = float(out["trace_fwhm_error"].median() / out["trace_fwhm"].mean())
    slope, unsure = width @ focus / (focus @ focus), error / np.sqrt((focus**2).sum())
    # the profile of NIRCam is far from Gaussian and pixels undersample it: 0.9 is measured
    assert slope == pytest.approx(1, abs=0.13 + 3 * unsure)


def test_covariates_are_labelled_coordinates(rates, tracked):
    for name in ("trace_shift", "trace_shift_dispersion", "trace_fwhm"):
        for each in (name, f"{name}_error"):
            assert tracked.coords[each].dims == ("time",)
            assert tracked[each].attrs["units"] == "pix"
            assert tracked[each].dtype == np.float32
    assert tracked["trace_roll"].attrs["units"] == "radian"
    xr.testing.assert_identical(tracked["rate"].variable, rates["rate"].variable)
    assert tsoxr.schema.validate(tracked) == []


def test_a_transit_moves_nothing():
    leaks = []
    for seed in range(4):
        found = exposure("nirspec-prism", seed=seed, n=60)
        truth, out = found.truth(stripes=False), found.rates().tso.track()
        light = truth["white_flux"].values - truth["white_flux"].values.mean()
        leaks.append(light @ off(out, "trace_shift", truth["shift"]) / (light @ light))
        error = float(out["trace_shift_error"].median()) / np.sqrt((light**2).sum())
    # pixels per unit of light lost, each known to `error`
    assert abs(np.mean(leaks)) < 4 * error / 2
    assert np.std(leaks) < 3 * error


def test_amplitude_is_the_light_curve():
    found = exposure("nirspec-g395m", n=60)
    out, truth = found.rates().tso.track(), found.truth(stripes=False)
    light = out["track_amplitude"].values / np.median(out["track_amplitude"].values)
    expected = truth["white_flux"].values / np.median(truth["white_flux"].values)
    error = float(out["track_amplitude_error"].median())
    # weights follow the noise of each pixel, which differs from the weights of white light
    assert (light - expected).std() < 1.4 * error


@pytest.mark.parametrize("method", ["correlation", "moments"])
def test_other_methods_agree_within_their_larger_errors(made, method):
    ds, truth = made
    out = ds.tso.track(method=method)
    pull = off(out, "trace_shift", truth["shift"]) / out["trace_shift_error"].values
    assert 0.5 < pull.std() < 1.6
    best = ds.tso.track()
    assert float(out["trace_shift_error"].median()) > 0.95 * float(
        best["trace_shift_error"].median()
    )
    if method == "moments":
        assert "trace_fwhm" in out.coords
        assert np.isfinite(out["trace_fwhm"]).all()


def test_bad_samples_cause_no_bias(rates, tracked):
    rng = np.random.default_rng(0)
    hit = xr.DataArray(rng.random(rates["rate"].shape) < 0.01, dims=("time", "y", "x"))
    flags = dq.set_flag(rates["dq"], hit, "OUTLIER")
    out = rates.assign(rate=rates["rate"].where(~hit, np.float32(1e6)), dq=flags).tso.track()
    moved = out["trace_shift"].values - tracked["trace_shift"].values
    # one sample in a hundred is lost: of the information too
    assert moved.std() < 0.25 * float(tracked["trace_shift_error"].median())
    assert abs(moved.mean()) < 0.05 * float(tracked["trace_shift_error"].median())


def test_a_tilt_is_found_at_its_integration():
    still = Telescope(jitter_drift=0.0, jitter=0.0)
    found = exposure(n=80, telescope=still)
    error = float(found.rates().tso.track()["trace_shift_error"].median())
    when = float(found.clock.tdb(0.0)[30]) - 1e-9
    moved = found.replace(events=(Tilt(time=when, across=6 * error),)).rates().tso.track()
    assert np.flatnonzero(moved["track_step"]).tolist() == [30]
    assert not found.rates().tso.track()["track_step"].any()
    assert moved["track_step"].attrs["false_alarm"] == 0.01
    axes = moved.tso.plot.track()
    assert any(line.get_color() == "#CC3311" for line in axes["trace_shift"].lines)


def test_large_shifts_are_not_taken_for_a_change_of_width():
    still = Telescope(jitter_drift=0.0, jitter=0.0)
    found = exposure(n=40, telescope=still)
    moved = found.replace(events=(Tilt(time=float(found.moment(0.5)), across=0.08),))
    out = moved.rates().tso.track()
    width = out["trace_fwhm"].values / out["trace_fwhm"].values.mean()
    jump = width[22:].mean() - width[:18].mean()
    # to second order a shift of 0.04 either side of the mean widens by 0.04^2 / 2 sigma^2 = 0.2 %
    assert abs(jump) < 5e-4
    assert np.ptp(out["trace_shift"].values) == pytest.approx(0.08, rel=0.03)


def test_components_of_the_user_are_fitted(rates):
    rng = np.random.default_rng(1)
    ghost = xr.DataArray(
        rng.random((1, *rates["rate"].shape[1:])).astype("f4"), dims=("component", "y", "x")
    )
    strength = np.linspace(-20, 20, rates.sizes["time"]).astype("f4")
    added = ghost[0] * xr.DataArray(strength, dims="time")
    out = rates.assign(rate=rates["rate"] + added.transpose("time", "y", "x")).tso.track(
        components=ghost
    )
    slope = np.polyfit(strength, out["track_component"].values[:, 0], 1)[0]
    assert slope == pytest.approx(1, abs=0.05)
    assert out["track_component"].dims == ("time", "component")


def test_lazy_data_are_not_computed_but_give_the_same(rates, tracked):
    lazy = rates.chunk(time=9).tso.track()
    assert lazy["trace_shift"].chunks is not None
    np.testing.assert_array_equal(lazy["trace_shift"], tracked["trace_shift"])
    np.testing.assert_array_equal(
        lazy["track_step_significance"], tracked["track_step_significance"]
    )


def test_given_trace_is_used(rates):
    traced = rates.tso.find_trace()
    out = traced.tso.track()
    assert "notes" not in out.tso.history[-1]
    np.testing.assert_allclose(out["trace_shift"], rates.tso.track()["trace_shift"])


def test_too_few_integrations(rates):
    out = rates.isel(time=slice(0, 2)).tso.track()
    assert "trace_shift" not in out.variables
    assert "nothing to compare" in out.tso.history[-1]["notes"][0]
    few = rates.isel(time=slice(0, 10)).tso.track()
    assert any("too few to look for jumps" in text for text in few.tso.history[-1]["notes"])


def test_lost_integrations_are_nan(rates):
    flags = rates["dq"].copy(deep=True)
    flags[7] |= dq.bits("DO_NOT_USE")
    out = rates.assign(dq=flags).tso.track()
    assert np.isnan(out["trace_shift"].values).nonzero()[0].tolist() == [7]


def test_no_light_is_an_error_that_says_so(rates):
    dark = rates.assign(rate=rates["rate"] * 0)
    with pytest.raises(tsoxr.TsoError, match="no trace"):
        dark.tso.track()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "magic"}, "method='magic'; it must be one of"),
        ({"terms": ("tilt",)}, r"terms=\('tilt',\); they are"),
        ({"half_width": 1}, "half_width=1; it must be at least 2"),
        ({"half_width": 0}, "half_width=0; it must be at least 2"),
        ({"false_alarm": 0}, "false_alarm=0; it is a probability"),
        ({"components": np.ones(3)}, "components is ndarray; give a DataArray"),
    ],
)
def test_wrong_parameters(rates, given, message):
    with pytest.raises(ValueError, match=message):
        rates.tso.track(**given)


def test_components_need_the_decomposition(rates):
    image = xr.ones_like(rates["rate"][:1]).drop_vars("time").rename(time="component")
    with pytest.raises(ValueError, match='use method="decomposition"'):
        rates.tso.track(components=image, method="moments")
