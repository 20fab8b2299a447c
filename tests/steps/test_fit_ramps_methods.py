"""Each way to fit ramps, through the step: the same promises, and what is its own."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tsoxr import dq, schema, testing
from tsoxr.steps import fit_ramps
from tsoxr.steps._ramp_methods import METHODS, STATIC


def _builder():
    path = Path(__file__).with_name("test_fit_ramps.py")
    spec = importlib.util.spec_from_file_location("tests_fit_ramps_builder", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_other = _builder()
ramps, flagged = _other.ramps, _other.flagged
GAIN, READ_NOISE, INTERVAL = _other.GAIN, _other.READ_NOISE, _other.INTERVAL
ALL = sorted(METHODS)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("electrons", [0.5, 60.0, 3000.0])
def test_rates_are_unbiased_and_errors_are_their_scatter(method, electrons):
    n_times = 300
    rates = fit_ramps(ramps(n_times=n_times, n_groups=6, electrons=electrons), method=method)
    rate, error = rates["rate"].values.astype("f8"), rates["rate_error"].values
    true = electrons / GAIN / INTERVAL
    chance = rate.std() / np.sqrt(rate.size)
    # the median of a skewed distribution lies up to a sixth of an electron below the mean
    skew = 1 / 6 / GAIN / INTERVAL if method == "differences" else 0.0
    # weights of the STScI pipeline favour groups that noise has raised
    own = 0.05 * error.mean() if method == "ols" else 0.0
    assert abs(rate.mean() - true) < 4 * chance + skew + own
    # 14400 rates: scatter known to 0.6 %; rounding to integers adds 0.2 %. The error of a
    # median is an approximation; that of OLS is that of unweighted fits
    allowed = {"differences": 0.09, "ols": 0.05}.get(method, 0.03)
    assert abs(((rate - true) / error).std() - 1) < allowed


@pytest.mark.parametrize("method", ALL)
def test_contract_with_every_extra(method):
    ds = flagged(ramps(n_times=24, electrons=300.0), 3, 2, 1, 1)
    ds = flagged(ds, slice(None), slice(3, None), 2, 3, name="SATURATED")
    given = {
        "method": method, "statistics": True, "pedestal": True, "remove_residual_ramp": True,
    }  # fmt: skip
    for check in (
        testing.input_is_untouched, testing.lazy_stays_lazy, testing.lazy_equals_eager,
        testing.result_is_valid, testing.history_grows_by_one, testing.survives_netcdf,
        testing.replays, testing.draws_axes,
    ):  # fmt: skip
        check("fit_ramps", ds, given)


@pytest.mark.parametrize("method", ALL)
def test_pathological_masks(method):
    """Random flags, one usable difference, one group, none, all flags together, no numbers."""
    rng = np.random.default_rng(1)
    ds = ramps(n_times=40, n_groups=5, electrons=500.0)
    flags = rng.choice(np.array([0, 0, 0, 1, 2, 4, 7, 64], "u1"), ds.dq_group.shape)
    flags[:10, :, 0] = np.array([1, 2, 3, 4, 0], "u1")[:, None]
    flags[10:20, :, 1] = 7
    flags[:, 1:, 2] = 2
    flags[:, :, 3] = 4
    values = ds.ramp.values.astype("f4")
    values[5, 2, 4, :4] = np.nan
    values[6, :, 4, :4] = np.inf
    ds = ds.assign(
        dq_group=ds.dq_group.copy(data=flags),
        ramp=ds.ramp.copy(data=values).assign_attrs(units="DN"),
    )
    rates = fit_ramps(ds, method=method, statistics=True, pedestal=True)
    after = flags[:, 1:] & 4 > 0
    bad = (flags & 3 > 0) | ~np.isfinite(values)
    usable = (~(bad[:, 1:] | bad[:, :-1] | after)).sum(axis=1)
    lost = usable == 0
    np.testing.assert_array_equal(np.isnan(rates["rate"]), lost)
    np.testing.assert_array_equal(np.isnan(rates["rate_error"]), lost)
    np.testing.assert_array_equal((rates["dq"] & 1).astype(bool), lost)
    assert (rates["rate_error"].values[~lost] > 0).all()
    assert np.isfinite(rates["rate_error"].values[~lost]).all()
    found = rates["n_used"].values
    if method == "likelihood":
        assert (found <= usable).all()
    else:
        np.testing.assert_array_equal(found, usable)
    np.testing.assert_array_equal(
        rates["dq"].values & 6, np.bitwise_or.reduce(flags & 6, axis=1) | (rates["dq"].values & 4)
    )


@pytest.mark.parametrize("method", ALL)
def test_pixels_without_gain_or_read_noise(method):
    gain, noise = np.full((6, 8), GAIN), np.full((6, 8), READ_NOISE)
    gain[1, 1], gain[1, 2], noise[2, 1], noise[2, 2] = 0.0, np.nan, np.nan, 0.0
    rates = fit_ramps(ramps(electrons=0.0), method=method, gain=gain, read_noise=noise)
    lost = np.zeros((6, 8), bool)
    lost[1, 1] = lost[1, 2] = lost[2, 1] = True
    assert (np.isnan(rates["rate"]) == lost).all()
    assert (dq.has_flag(rates["dq"], "DO_NOT_USE") == lost).all()
    assert (dq.has_flag(rates["dq"], "NO_GAIN_VALUE") == ~(gain > 0)).all()
    # a noise of zero counts as the rounding to integers: an error that is small, but not zero
    assert 0 < float(rates["rate_error"][0, 2, 2]) < float(rates["rate_error"][0, 3, 3])


def with_hits(ds, size, n_hits=60, seed=2):
    """Return ramps with hits of ``size`` DN, and where they are."""
    rng = np.random.default_rng(seed)
    values, where = ds["ramp"].values.astype("f8"), np.zeros(ds["dq_group"].shape, bool)
    n_times, n_groups = values.shape[:2]
    ramps_hit = rng.choice(n_times * 48, n_hits, replace=False)
    for one in ramps_hit:
        t, y, x = np.unravel_index(one, (n_times, 6, 8))
        first = rng.integers(1, n_groups)
        values[t, first:, y, x] += size
        where[t, first, y, x] = True
    return ds.assign(ramp=ds["ramp"].copy(data=np.round(values).astype("u2"))), where


@pytest.mark.parametrize("n_groups", [3, 4, 5, 7, 12])
def test_likelihood_leaves_out_hits_and_says_so(n_groups):
    # noise of a difference 18 DN: hits of 20 sigma; of three groups 16 in units of their chi2
    clean = ramps(n_times=40, n_groups=n_groups, electrons=400.0)
    hit, where = with_hits(clean, 360.0)
    rates = fit_ramps(hit, method="likelihood")
    true = where.any(axis=1)
    found = dq.has_flag(rates["dq"], "JUMP_DET").values
    assert np.count_nonzero(found & true) >= 59
    assert np.count_nonzero(found & ~true) <= 1
    assert int(rates["fit_ramps_hits"].sum()) == int(rates["fit_ramps_hits_map"].sum())
    np.testing.assert_array_equal(rates["fit_ramps_hits"].values > 0, found.any(axis=(1, 2)))
    pulls = ((rates["rate"] - 400 / GAIN / INTERVAL) / rates["rate_error"]).values
    # 60 pulls: mean to 0.13, scatter to 9 %, five sigma
    assert abs(pulls[found & true].mean()) < 0.65
    assert abs(pulls[found & true].std() - 1) < 0.45
    used = rates["n_used"].values
    assert (used[~found] == n_groups - 1).all()
    assert (used[found] < n_groups - 1).all()


def test_likelihood_and_gls_agree_where_there_is_no_hit():
    # the covariance at the own rate instead of the median changes weights by a fraction of
    # their optimum, and the estimate by far less than its error
    ds = ramps(n_times=60, n_groups=8, electrons=np.geomspace(1, 3000, 48).reshape(6, 8))
    a, b = fit_ramps(ds), fit_ramps(ds, method="likelihood")
    same = (b["dq"] == 0).values
    assert same.mean() > 0.999
    assert (abs(a["rate"] - b["rate"]) / a["rate_error"]).values[same].max() < 0.5
    assert float((b["rate_error"] / a["rate_error"]).median()) == pytest.approx(1.0, abs=0.01)


def test_statistics_are_there_when_asked_for():
    ds = ramps(n_times=200, n_groups=6, electrons=200.0)
    assert not {"chi2", "n_used", "pedestal", "fit_ramps_chi2"} & set(fit_ramps(ds))
    for method in ALL:
        rates = fit_ramps(ds, method=method, statistics=True)
        assert (rates["n_used"] == 5).mean() > 0.999
        assert rates["chi2"].dims == rates["n_used"].dims == ("time", "y", "x")
        if method in ("gls", "likelihood"):
            # mean of 9600 values of variance 2 x 4: 4 standard errors
            assert float(rates["chi2"].mean()) == pytest.approx(4.0, abs=4 * 2.9 / 98)
            assert float(rates["fit_ramps_chi2"].mean()) == pytest.approx(1.0, abs=0.08)
        else:
            assert float(rates["chi2"].mean()) > 3.9
    assert "chi2" not in fit_ramps(ds, method="likelihood", statistics=False)


def test_pedestal_is_the_signal_at_the_reset():
    # 5000 DN and nothing since: with 6 groups of 6 DN noise, extrapolated by one interval
    rates = fit_ramps(ramps(n_times=200, n_groups=6, electrons=50.0), pedestal=True)
    assert schema.validate(rates) == []
    n = rates["pedestal"].size
    scatter = float(rates["pedestal"].std())
    assert scatter < 9.0
    assert abs(float(rates["pedestal"].mean()) - 5000.0) < 4 * scatter / np.sqrt(n)


@pytest.mark.parametrize("method", ALL)
def test_residual_ramp_is_removed_from_short_ramps_and_from_chi2(method):
    n_groups = 8
    ds = ramps(n_times=60, n_groups=n_groups, electrons=3000.0)
    curve = -8.0 * np.arange(n_groups) ** 2  # 2.5 % of the signal at the end
    bent = ds.ramp.astype("f8") + xr.DataArray(curve, dims="group")
    ds = ds.assign(ramp=bent.transpose(*ds.ramp.dims).round().astype("u2").assign_attrs(units="DN"))
    short = ds.dq_group.copy(deep=True)
    short[::3, 4:] = 2
    ds = ds.assign(dq_group=short)
    given = {"method": method, "statistics": True, "sigma": 30.0}
    plain, straight = fit_ramps(ds, **given), fit_ramps(ds, remove_residual_ramp=True, **given)
    step = [float(r["rate"][::3].mean() - r["rate"][1::3].mean()) for r in (plain, straight)]
    # four groups of eight: steeper by 4 x 8 DN per group, 16 DN s-1; 960 ramps of 9 DN s-1
    # and 1920 of 6: 0.35; the residual itself is known to 2 / sqrt(48)
    assert step[0] > 12.0
    assert abs(step[1]) < 4 * 0.45
    before, after = (float(r["chi2"][1::3].mean()) for r in (plain, straight))
    # the curve adds 5 to the 6 degrees of freedom; 960 ramps of variance 12, known to 0.11
    assert before - after > 3.0
    if method in ("gls", "likelihood"):
        assert after == pytest.approx(6.0, abs=0.6)
    if method in STATIC:
        np.testing.assert_array_equal(plain["rate"][1::3], straight["rate"][1::3])


def test_few_integrations_keep_their_residual():
    rates = fit_ramps(ramps(n_times=5), remove_residual_ramp=True)
    assert "5 integrations are too few for a residual ramp" in " ".join(
        rates.tso.history[-1]["notes"]
    )


def test_residual_curves_of_the_picture_show_the_curvature():
    light = np.where(np.arange(48).reshape(6, 8) == 20, 6000.0, 100.0)
    ds = ramps(n_times=40, n_groups=6, electrons=light)
    bent = ds.ramp.astype("f8") - 5e-7 * (ds.ramp.astype("f8") - 5000.0) ** 2
    ds = ds.assign(ramp=bent.round().astype("u2").assign_attrs(units="DN"))
    table = fit_ramps(ds)["fit_ramps_residual"]
    assert table.dims == ("brightness", "nth_group")
    step = 4000.0**2 * 5e-7  # DN: curvature of the bright pixel; noise 63 x 1.25 / sqrt(40)
    curve = table.isel(brightness=0).values
    assert curve[2] - 0.5 * (curve[0] + curve[5]) > 4 * step
    assert abs(table.isel(brightness=2)).max() < 8.0


def test_two_groups_are_the_same_to_all_methods():
    ds = ramps(n_groups=2, electrons=900.0)
    expected = fit_ramps(ds)
    for method in ALL:
        rates = fit_ramps(ds, method=method)
        np.testing.assert_allclose(rates["rate"], expected["rate"], rtol=1e-6)
        # the same but for the covariance at a ramp's own rate, which is uncertain by 3.5 %
        allowed = 0.08 if method == "likelihood" else 1e-6
        np.testing.assert_allclose(rates["rate_error"], expected["rate_error"], rtol=allowed)
