"""The decay after reset goes, from a reference or from the data, and the sky stays."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, schema, testing
from tsoxr.simulation import Exposure
from tsoxr.simulation.noise import STANDARD
from tsoxr.steps.subtract_reset_anomaly import SIGNAL

SHAPE = (32, 64)
NTH = "nth_integration"


def anomaly(n_groups=12, size=30.0):
    """Return a decay (group, y, x) that is larger in odd rows."""
    group = np.arange(n_groups)
    odd = np.where(np.arange(SHAPE[0]) % 2, 1.0, 0.7)
    return size * np.exp(-group / 2.0)[:, None, None] * odd[:, None] * np.ones(SHAPE)


def with_reset(ds, values, dims=("group", "y", "x")):
    array = xr.DataArray(np.asarray(values, "f4"), dims=dims)
    return ds.assign(reset=schema.label(array, "ramps", "reset"))


def slope(signal, time, axis):
    away = time - time.mean()
    return np.tensordot(away, np.moveaxis(signal, axis, 0), axes=1) / (away**2).sum()


def test_reference_is_subtracted_by_integration(small):
    reset = np.stack([1.5 * anomaly(), anomaly()])
    offset = np.concatenate([reset[:1], np.repeat(reset[1:], 5, axis=0)])
    ds = small.ramps(n_time=6, n_groups=12, offset=offset, fast="x")
    ds = ds.assign_coords(integration=("time", np.arange(1, 7, dtype="i4")))
    out = with_reset(ds, reset, (NTH, "group", "y", "x")).tso.subtract_reset_anomaly()
    np.testing.assert_allclose(out["ramp"], 0.0, atol=1e-5)
    np.testing.assert_allclose(out[SIGNAL][:, 0], [[31.5, 45.0], [21.0, 30.0]], rtol=1e-6)
    later = with_reset(ds, reset, (NTH, "group", "y", "x")).isel(time=slice(2, None))
    np.testing.assert_allclose(later.tso.subtract_reset_anomaly()["ramp"], 0.0, atol=1e-5)


def test_pixels_without_reference_are_flagged_and_kept(small):
    reset = anomaly()
    reset[3, 5, 6] = np.nan
    ds = with_reset(small.ramps(n_groups=12, offset=100.0), reset)
    out = ds.tso.subtract_reset_anomaly()
    assert (out["ramp"][:, :, 5, 6] == 100.0).all()
    assert int(dq.has_flag(out["dq_pixel"], "UNRELIABLE_DARK").sum()) == 1


def test_estimate_keeps_sky_and_star(small):
    """Without noise ramps are straight again, the light as it was."""
    light = small.trace(sky=20.0)
    ds = small.ramps(light, n_groups=12, offset=anomaly(), fast="x")
    out = ds.tso.subtract_reset_anomaly(estimate=True)
    time = ds["group_time"].values
    found = slope(out["ramp"].values.astype("f8"), time, 1)
    # float32 counts of 1e4 have steps of 1e-3, and ramps are 6 s long
    np.testing.assert_allclose(found, np.broadcast_to(light, found.shape), atol=5e-3)
    assert "found from pixels without light" in small.notes(out)
    before = slope(ds["ramp"].values.astype("f8"), time, 1) - light
    assert np.abs(before).max() > 3.0


@pytest.mark.parametrize("n_groups", [8, 16])
def test_simulated_anomaly_is_found(n_groups):
    """Slope of the background before and after, first and later integrations, odd and even rows.

    Levels of pixels without light scatter by 0.7 DN (even rows, 1/f noise that they share),
    their difference by 0.7 DN. Over 24 integrations, the least squares on constant, time and
    difference leave 1.9 DN/s for 8 groups and 0.6 DN/s for 16.
    """
    noise = (*STANDARD, "reset_anomaly")
    exposure = Exposure(
        mode="miri-lrs", n_integrations=24, n_groups=n_groups, seed=2, brightness=8 / n_groups, noise=noise,
    )  # fmt: skip
    found = exposure.ramps().tso.subtract_reset_anomaly()[SIGNAL].values
    alone = exposure.replace(noise=("reset_anomaly",))
    truth = np.stack([alone.added_by_electronics(i).values[:, :2, 10] for i in (1, 2)])
    time = exposure.clock.group_time
    before, after = (np.abs(slope(v, time, 1)).max() for v in (truth, found - truth))
    assert before > (60.0 if n_groups == 8 else 20.0)
    # even and odd rows share most of their error, so first and later integrations give two
    # numbers: one of them lies beyond 3 standard deviations in 0.5 % of exposures (over seeds
    # 0 to 4 the four numbers had an rms of 2.4 and 0.63 DN/s)
    assert after < 3 * (1.9 if n_groups == 8 else 0.6)


def test_what_is_left_of_it_goes_with_the_background():
    """The signal is that of a row, and rows are lines of one wavelength."""
    exposure = Exposure(
        mode="miri-lrs", n_integrations=8, seed=2, noise=("background", "dark", "reset_anomaly"),
        radius_ratio=1e-6, feature_depth=0.0,
    )  # fmt: skip
    with_it = exposure.ramps()
    quiet = exposure.replace(noise=("background", "dark")).ramps()

    def spectrum(ds):
        rates = ds.tso.fit_ramps().tso.subtract_background().tso.find_trace()
        return rates.tso.assign_wavelength().tso.extract()["flux"].mean("time")

    clean = spectrum(quiet)
    left = spectrum(with_it.tso.subtract_reset_anomaly())
    bright = clean > 0.1 * clean.max()
    assert float(abs(left / clean - 1).where(bright).max()) < 2e-3


def test_unchanged_with_a_note(small):
    few = small.ramps(n_groups=5, offset=10.0)
    out = few.tso.subtract_reset_anomaly(estimate=True)
    assert out["ramp"].identical(few["ramp"])
    assert "5 groups are too few" in small.notes(out)
    out = few.tso.subtract_reset_anomaly()
    assert out["ramp"].identical(few["ramp"])
    assert "no reset reference: data unchanged" in small.notes(out)


def test_bad_input(small):
    with pytest.raises(ValueError, match="subtract_reset_anomaly: trace_half_width is -1"):
        small.ramps(n_groups=8).tso.subtract_reset_anomaly(estimate=True, trace_half_width=-1)
    done = with_reset(small.ramps(n_groups=12), anomaly()).tso.subtract_reset_anomaly()
    with pytest.raises(tsoxr.TsoError, match="already applied"):
        done.tso.subtract_reset_anomaly()


def test_contract(small):
    ds = small.ramps(small.trace(), n_groups=12, offset=anomaly())
    testing.check_step("subtract_reset_anomaly", ds, estimate=True)
    testing.check_step("subtract_reset_anomaly", with_reset(ds, anomaly()))
