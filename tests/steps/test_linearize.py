"""Linearity: the inverse of a bent response, where there is one."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, schema, testing


def with_polynomial(ds, *coefficients):
    shape = (len(coefficients), ds.sizes["y"], ds.sizes["x"])
    values = np.broadcast_to(np.reshape(coefficients, (-1, 1, 1)), shape).astype("f4")
    array = xr.DataArray(values.copy(), dims=("coefficient", "y", "x"))
    return ds.assign(linearity=schema.label(array, "ramps", "linearity"))


def test_bent_ramps_become_straight(small):
    """Counts D of linear signal L = D + 1e-6 D^2, up to 50000 DN."""
    linear = 10000.0 * np.arange(1, 6)[:, None, None]
    bent = (-1 + np.sqrt(1 + 4e-6 * linear)) / 2e-6
    out = with_polynomial(small.ramps(offset=bent), 0.0, 1.0, 1e-6).tso.linearize()
    # float32 counts and coefficients: 1e-7 of 5e4
    np.testing.assert_allclose(out["ramp"].isel(time=0, y=0, x=0), linear[:, 0, 0], atol=0.02)
    assert out["ramp"].dtype == np.float32


def test_simulated_ramps_become_straight():
    """Without noise the second difference of each ramp vanishes, as the light is steady."""
    ds = tsoxr.simulate(
        "nirspec-prism", kind="ramps", n_integrations=2, noise=("nonlinearity",), radius_ratio=1e-6,
        feature_depth=0.0, seed=1,
    )  # fmt: skip
    before, after = (
        abs(d["ramp"].astype("f8").diff("group", n=2)).max().item()
        for d in (ds.tso.subtract_bias(), ds.tso.subtract_bias().tso.linearize())
    )
    assert before > 20.0
    # float32 counts of 3e4: rounding of 2e-3 in each of the groups, on both sides
    assert after < 0.05


def test_saturated_groups_keep_their_counts(small):
    ds = with_polynomial(small.ramps(offset=1000.0), 0.0, 2.0)
    ds = ds.assign(dq_group=dq.set_flag(ds["dq_group"], ds["group"] == 3, "SATURATED"))
    out = ds.tso.linearize()["ramp"].isel(time=1, y=4, x=5)
    np.testing.assert_array_equal(out, [2000, 2000, 1000, 1000, 1000])


def test_pixels_without_coefficients_are_flagged_and_kept(small):
    ds = with_polynomial(small.ramps(offset=1000.0), 0.0, 2.0)
    ds["linearity"][1, 2, 3] = 0.0
    ds["linearity"][0, 4, 5] = np.nan
    ds = small.flag_pixels(ds, np.arange(64) == np.full((32, 1), 60), "REFERENCE_PIXEL")
    out = ds.tso.linearize()
    flagged = dq.has_flag(out["dq_pixel"], "NO_LIN_CORR")
    assert int(flagged.sum()) == 2
    assert bool(flagged[2, 3])
    assert bool(flagged[4, 5])
    kept = out["ramp"][0, 0] == 1000.0
    assert int(kept.sum()) == 2 + 32
    assert bool(kept[:, 60].all())


def test_without_reference_unchanged_with_a_note(small):
    ds = small.ramps(offset=1000.0)
    out = ds.tso.linearize()
    assert out["ramp"].identical(ds["ramp"])
    assert "data unchanged, counts near saturation stay low" in small.notes(out)


def test_once(small):
    done = with_polynomial(small.ramps(), 0.0, 1.0).tso.linearize()
    with pytest.raises(tsoxr.TsoError, match="already applied"):
        done.tso.linearize()


def test_contract(small):
    ds = with_polynomial(small.ramps(small.trace()), 0.0, 1.0, 1e-6)
    testing.check_step("linearize", ds)
    testing.check_step("linearize", ds.drop_vars("linearity"))
