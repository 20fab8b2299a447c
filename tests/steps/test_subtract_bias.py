"""Bias: the reference exactly, or the median ramp followed back to reset."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, schema, testing
from tsoxr.steps.subtract_bias import LEVEL

SHAPE = (32, 64)


def superbias(values):
    return schema.label(xr.DataArray(values.astype("f4"), dims=("y", "x")), "ramps", "superbias")


def pattern(seed=1):
    return np.random.default_rng(seed).integers(5000, 9000, SHAPE)


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_reference_is_subtracted(small, dtype):
    bias = pattern()
    ds = small.ramps(np.full(SHAPE, 100.0), bias=bias, dtype=dtype).assign(
        superbias=superbias(bias)
    )
    out = ds.tso.subtract_bias()
    assert out["ramp"].dtype == np.float32
    np.testing.assert_array_equal(out["ramp"].isel(time=0, y=3, x=4), [50, 100, 150, 200, 250])
    np.testing.assert_array_equal(out[LEVEL], bias)
    assert "notes" not in out.tso.history[-1]


def test_pixels_without_bias_are_flagged(small):
    bias = pattern().astype(float)
    bias[2, 3] = np.nan
    out = small.ramps(bias=1000.0).assign(superbias=superbias(bias)).tso.subtract_bias()
    flagged = dq.has_flag(out["dq_pixel"], "UNRELIABLE_BIAS")
    assert int(flagged.sum()) == 1
    assert bool(flagged[2, 3])
    np.testing.assert_array_equal(out["ramp"][:, :, 2, 3], 1000.0)


def test_estimate_is_exact_for_a_parabola(small):
    """Linear light and quadratic response: three groups lead back to the bias."""
    signal = np.linspace(0, 5000, 64) * np.ones(SHAPE)
    bias = pattern()
    linear = signal * np.arange(1, 6)[:, None, None]
    ds = small.ramps(bias=bias, offset=linear - 1e-6 * linear**2)
    estimate = ds.tso.subtract_bias()[LEVEL]
    # counts of 3e4 are rounded to 2e-3 in float32, and the weights add up to 7
    np.testing.assert_allclose(estimate, bias, atol=0.02)


def test_noise_of_the_estimate_is_as_stated(small):
    """1.25 sqrt(19 / n) of the read noise, for the sample of 32 integrations."""
    rng = np.random.default_rng(2)
    offset = rng.normal(0, 6.0, (40, 5, *SHAPE))
    out = small.ramps(
        np.full(SHAPE, 200.0), n_time=40, bias=7000.0, offset=offset
    ).tso.subtract_bias()
    error = out[LEVEL].values - 7000.0
    expected = 1.25 * np.sqrt(19 / 32) * 6.0
    # 2048 pixels: the scatter is known to 1.6 %; the median of 32 is 3 % better than 1.25
    assert error.std() == pytest.approx(expected, rel=0.08)
    assert abs(error.mean()) < 4 * expected / np.sqrt(error.size)
    assert "extrapolated" in out.tso.history[-1]["notes"][0]


@pytest.mark.parametrize(("n_usable", "expected"), [(3, 0.0), (2, 0.0), (1, 1500.0)])
def test_saturated_groups_are_not_used(small, n_usable, expected):
    ds = small.ramps(np.full(SHAPE, 3000.0), bias=7000.0)
    wrong = ds["ramp"].where(ds["group"] <= n_usable, 60000.0)
    flags = dq.set_flag(ds["dq_group"], ds["group"] > n_usable, "SATURATED")
    out = ds.assign(ramp=wrong.astype("f4"), dq_group=flags).tso.subtract_bias()
    # with one usable group only, that group itself, with its light, stands for the bias
    np.testing.assert_allclose(out[LEVEL], 7000.0 + expected, atol=0.01)


def test_spacing_of_the_groups_counts(small):
    """Averaged groups: the first one is later than the interval."""
    ds = small.ramps(bias=7000.0)
    time = np.array([2.25, 6.75, 11.25, 15.75, 20.25])
    ramp = (7000.0 + 300.0 * xr.DataArray(time, dims="group")).broadcast_like(ds["ramp"])
    ds = ds.assign(ramp=ramp.transpose(*ds["ramp"].dims).astype("f4")).assign_coords(
        group_time=("group", time)
    )
    np.testing.assert_allclose(ds.tso.subtract_bias()[LEVEL], 7000.0, atol=0.02)


def test_left_in_the_counts_if_asked(small):
    out = small.ramps(bias=7000.0, dtype="u2").tso.subtract_bias(estimate=False)
    assert out["ramp"].dtype == np.float32
    np.testing.assert_array_equal(out["ramp"], 7000.0)
    assert "bias left in the counts" in small.notes(out)


def test_miri_keeps_its_zero_point(small):
    out = small.ramps(bias=7000.0, mode="miri-lrs").tso.subtract_bias()
    np.testing.assert_array_equal(out["ramp"], 7000.0)
    assert "estimate" in out.tso.history[-1]["from_mode"]


@pytest.mark.parametrize("n_groups", [1, 2])
def test_few_groups(small, n_groups):
    out = small.ramps(np.full(SHAPE, 100.0), bias=7000.0, n_groups=n_groups).tso.subtract_bias()
    expected = 7000.0 if n_groups == 2 else 7050.0
    np.testing.assert_allclose(out[LEVEL], expected, atol=0.01)


def test_simulated_bias_is_found():
    with_reference = tsoxr.simulate("nirspec-prism", kind="ramps", n_integrations=40, seed=3)
    truth = with_reference["superbias"]
    found = with_reference.drop_vars("superbias").tso.subtract_bias()[LEVEL]
    error = (found - truth).where(with_reference["dq_pixel"] == 0)
    # faint pixels: read noise 5.6 DN, 1/f noise 3.5 DN, reset noise 20 DN; what the pixels of
    # a frame have in common (drift, pedestal) is taken off first
    expected = 1.25 * np.sqrt((19 * (5.6**2 + 3.5**2) + 20.0**2) / 32)
    faint = (error - error.median()).isel(y=[0, 1, 2, -3, -2, -1])
    assert float(1.4826 * abs(faint).median()) == pytest.approx(expected, rel=0.1)
    # bright pixels: what matters for linearity is some 10 DN in tens of thousands
    assert abs(float(error.isel(y=15).median())) < 30.0


def test_contract(small):
    testing.check_step("subtract_bias", small.ramps(small.trace(), bias=pattern()))
