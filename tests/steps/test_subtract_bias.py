"""Bias: the reference exactly, or the median ramp followed back to reset."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, schema, testing
from tsoxr.kernels.subtraction import scale_error
from tsoxr.simulation import Exposure
from tsoxr.steps.subtract_bias import LEVEL, OFFSET, SCALE

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


def drifting(small, *, noise=20.0, seed=0, n_time=24, n_outputs=1, fast="y"):
    """Return ramps whose bias has a level and a scale for each integration, and both of them."""
    rng = np.random.default_rng(seed)
    bias = pattern().astype(float)
    scale = 1 + 0.01 * rng.standard_normal((n_time, n_outputs))
    level = 30.0 * rng.standard_normal((n_time, n_outputs))
    output = np.arange(64) * n_outputs // 64 + np.zeros((32, 1), int)
    middle = np.median(bias)
    changed = middle + level[:, output] + scale[:, output] * (bias - middle)
    reset = rng.normal(0, noise, changed.shape)
    ds = small.ramps(
        small.trace(rate=5000.0), n_time=n_time, offset=(changed + reset)[:, None], fast=fast,
        n_outputs=n_outputs,
    )  # fmt: skip
    return ds.assign(superbias=superbias(bias)), level, scale


def test_rescaled_reference_follows_each_integration(small):
    """Reset noise of 20 DN: errors of level and scale as stated, over several seeds."""
    errors = []
    for seed in range(5):
        ds, level, scale = drifting(small, seed=seed)
        out = ds.tso.subtract_bias(method="rescaled")
        errors.append([out[SCALE].values - scale, out[OFFSET].values - level])
    of_scale, of_level = np.concatenate(errors, axis=1)[..., 0]
    usable = abs(np.arange(32) - 15) > 6
    n, spread = usable.sum() * 64, pattern()[usable].std()
    # 120 values: their scatter is known to 6.5 %
    assert of_scale.std() == pytest.approx(scale_error(20.0, spread, n), rel=0.25)
    assert abs(of_scale.mean()) < 4 * scale_error(20.0, spread, n) / np.sqrt(120)
    # the median of the pattern is not its mean: the scale's error adds a little to the level's
    assert of_level.std() == pytest.approx(20.0 / np.sqrt(0.95 * n), rel=0.3)
    assert out.tso.history[-1]["params"]["trace_half_width"] == 6.0
    np.testing.assert_array_equal(out[LEVEL], ds["superbias"])


def test_rescaled_by_output(small):
    ds, level, scale = drifting(small, noise=0.0, n_outputs=4, fast="x")
    out = ds.tso.subtract_bias(method="rescaled")
    # float32: 1e-7 of 7000 DN over 2000 DN of pattern
    np.testing.assert_allclose(out[SCALE], scale, atol=1e-5)
    np.testing.assert_allclose(out[OFFSET], level, atol=0.01)
    dark = out["ramp"].isel(y=0)
    np.testing.assert_allclose(dark, 0.0, atol=0.05)


def test_rescaling_does_not_change_slopes(small):
    """Level and scale are those of an integration, not of a group."""
    ds, _, _ = drifting(small)
    plain, done = ds.tso.subtract_bias(), ds.tso.subtract_bias(method="rescaled")
    # float32 counts of up to 2e4
    np.testing.assert_allclose(done["ramp"].diff("group"), plain["ramp"].diff("group"), atol=0.01)


def test_rescaled_without_pattern_or_pixels(small):
    flat = small.ramps(bias=7010.0).assign(superbias=superbias(np.full(SHAPE, 7000.0)))
    out = flat.tso.subtract_bias(method="rescaled")
    np.testing.assert_allclose(out["ramp"], 0.0, atol=0.01)
    assert (out[SCALE] == 1.0).all()
    ds, _, _ = drifting(small)
    none = ds.tso.subtract_bias(method="rescaled", trace_half_width=1000.0)
    # without pixels the reference is taken as it is
    np.testing.assert_allclose(none["ramp"], ds.tso.subtract_bias()["ramp"], atol=0.01)
    assert (none[OFFSET] == 0.0).all()


def test_rescaled_pixels_without_bias_are_flagged(small):
    ds, _, _ = drifting(small)
    ds["superbias"][2, 3] = np.nan
    out = ds.tso.subtract_bias(method="rescaled")
    assert int(dq.has_flag(out["dq_pixel"], "UNRELIABLE_BIAS").sum()) == 1
    np.testing.assert_array_equal(out["ramp"][:, :, 2, 3], ds["ramp"][:, :, 2, 3])


@pytest.mark.parametrize(
    ("mode", "subarray", "n_groups"),
    [("nirspec-prism", None, 5), ("niriss-soss", "SUBSTRIP96", 2), ("miri-lrs", None, 4)],
)
def test_rescaled_on_simulated_ramps(mode, subarray, n_groups):
    """All standard noise is on; scales of single outputs drift by a per cent."""
    exposure = Exposure(mode=mode, subarray=subarray, n_integrations=8, n_groups=n_groups, seed=5)
    ds, levels = exposure.ramps(), exposure.setup.electronics
    n = int(ds.attrs["n_outputs"])
    scale = 1 + 0.01 * np.random.default_rng(1).standard_normal(8)
    pattern = ds["superbias"].values - np.median(ds["superbias"].values)
    added = ((scale - 1)[:, None, None] * pattern)[:, None].astype("f4")
    out = ds.assign(ramp=ds["ramp"].astype("f4") + added).tso.subtract_bias(method="rescaled")
    assert out[SCALE].dims == ("time", "output")
    error = out[SCALE].values - scale[:, None]
    noise = np.hypot(levels.reset, exposure.setup.constants.read_noise)
    noise = np.sqrt(noise**2 + levels.one_over_f**2 + levels.pedestal**2)
    # at least a fifth of the pixels see no light; they are shared among the outputs
    expected = scale_error(noise, levels.bias_structure, pattern.size / n / 5)
    assert np.abs(error).max() < 5 * expected
    assert np.abs(error).max() < 0.2 * abs(scale - 1).max()


def test_method_can_be_chosen(small):
    ds, _, _ = drifting(small)
    found = ds.tso.subtract_bias(method="first_group")
    assert "superbias" in found
    assert small.notes(found) == "bias extrapolated from the first groups"
    kept = ds.tso.subtract_bias(method="none")
    np.testing.assert_array_equal(kept["ramp"], ds["ramp"])
    assert ds.tso.subtract_bias().tso.history[-1]["params"]["method"] == "reference"
    miri = small.ramps(bias=7000.0, mode="miri-lrs").tso.subtract_bias(method="first_group")
    np.testing.assert_allclose(miri["ramp"], 0.0, atol=0.02)


def test_bad_method(small):
    ds = small.ramps()
    with pytest.raises(ValueError, match=r"method is 'median'; it must be one of \('reference', "):
        ds.tso.subtract_bias(method="median")
    for method in ("reference", "rescaled"):
        with pytest.raises(
            tsoxr.SchemaError, match=f"method {method!r} needs 'superbias'.*use_references"
        ):
            ds.tso.subtract_bias(method=method)


def test_superbias_of_another_subarray_or_detector(tmp_path):
    soss = Exposure(mode="niriss-soss", subarray="SUBSTRIP96", n_integrations=1, n_groups=2)
    paths = {p.name.split("_")[2]: p for p in soss.write_references(tmp_path)}
    prism = Exposure(mode="nirspec-prism", n_integrations=1).ramps()
    with pytest.raises(tsoxr.SchemaError, match="this superbias is of detector NIS"):
        prism.tso.use_references({"superbias": paths["superbias"]})
    whole = soss.replace(subarray="SUBSTRIP256").ramps()
    with pytest.raises(tsoxr.SchemaError, match="this superbias covers y = "):
        whole.tso.use_references({"superbias": paths["superbias"]})


def test_contract(small):
    rescaled = drifting(small)[0]
    testing.check_step("subtract_bias", rescaled, method="rescaled")
    testing.check_step("subtract_bias", small.ramps(small.trace(), bias=pattern()))
