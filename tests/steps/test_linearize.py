"""Linearity: the inverse of a bent response, where there is one."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, schema, testing
from tsoxr.simulation import Exposure


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


@pytest.mark.parametrize(
    ("mode", "subarray", "n_groups"),
    [("nirspec-prism", None, 5), ("niriss-soss", "SUBSTRIP96", 4), ("miri-lrs", None, 8)],
)
def test_slope_bias_with_exact_and_with_noisy_references(tmp_path, mode, subarray, n_groups):
    """Curvature known to 0.5 %, superbias from 100 darks: what they do to the slope.

    For linear counts D + a D^2 the mean slope is too high by the part a S at S counts, of
    which 0.5 % remains; the superbias, wrong by db, adds the part 2 a db.
    """
    quiet = Exposure(
        mode=mode, subarray=subarray, n_integrations=1, n_groups=n_groups, seed=6,
        noise=("nonlinearity", "bias"), radius_ratio=1e-6, feature_depth=0.0,
    )  # fmt: skip
    known = quiet.replace(noise=("nonlinearity", "bias", "read", "ktc"))
    bare = quiet.ramps().drop_vars(["superbias", "linearity"])
    light = quiet.replace(noise=()).ramps()["ramp"].astype("f8")
    bias = {}
    for errors in (False, True):
        folder = tmp_path / str(errors)
        known.write_references(folder, errors=errors)
        ds = bare.tso.use_references(folder, types=("superbias", "linearity"))
        ramp = ds.tso.subtract_bias().tso.linearize()["ramp"].astype("f8")
        rise, true = (r.isel(group=-1) - r.isel(group=0) for r in (ramp, light))
        bright = true > 0.3 * true.max()
        bias[errors] = (rise / true - 1).where(bright)
    before = bare.assign(superbias=ds["superbias"]).tso.subtract_bias()["ramp"].astype("f8")
    bent = ((before.isel(group=-1) - before.isel(group=0)) / true - 1).where(bright)
    assert float(bent.median()) < -0.005
    # exact: float32 counts and bias, 5e-3 DN of rises of 8000 DN and more
    assert float(abs(bias[False]).max()) < 3e-6
    # all terms beyond the linear one are wrong by the same part of 0.5 %; the mean of 100 darks
    # is wrong by db, which moves the counts at which the polynomial is taken
    levels, noise = quiet.setup.electronics, known.maps.read_noise.astype(float)
    db = np.sqrt(noise**2 + levels.reset**2) / 10 * (mode != "miri-lrs")  # left in the counts there
    powers = ds["linearity"].transpose("coefficient", "y", "x").values.astype(float)
    counts = before.transpose("time", "group", "y", "x").values
    steep = [
        sum(k * powers[k] * counts[:, g] ** (k - 1) for k in range(1, len(powers))) for g in (-1, 0)
    ]
    light_on, bent_on, found, rises = (
        array.transpose("time", "y", "x").values for array in (bright, bent, bias[True], true)
    )
    moved = ((steep[0] - steep[1]) * db)[light_on] / rises[light_on]
    z = found[light_on] / np.hypot(0.005 * bent_on[light_on], moved)
    # the rms of n independent pixels is 1 within (2 n)^-1/2; second orders are 0.5 %
    assert np.sqrt(np.mean(z**2)) == pytest.approx(1.0, abs=0.005 + 4.0 / np.sqrt(2 * z.size))


def test_nan_and_flagged_groups(small):
    """NaN stays where it is; DO_NOT_USE groups are linear too; flags stay as they were."""
    ds = with_polynomial(small.ramps(offset=1000.0), 0.0, 1.0, 1e-4)
    ds["ramp"][2, 1, 3, 4] = np.nan
    flags = dq.set_flag(ds["dq_group"], ds["group"] == 2, "DO_NOT_USE")
    out = ds.assign(dq_group=flags).tso.linearize()
    assert int(np.isnan(out["ramp"]).sum()) == 1
    assert bool(np.isnan(out["ramp"][2, 1, 3, 4]))
    np.testing.assert_allclose(out["ramp"].isel(time=0), 1100.0, rtol=1e-6)
    np.testing.assert_array_equal(out["dq_group"], flags)


def test_bias_that_was_not_subtracted_is_noted(small):
    ds = with_polynomial(small.ramps(), 0.0, 1.0, 1e-6)
    assert "acts on the counts as they are" in small.notes(ds.tso.linearize())
    assert small.notes(ds.tso.subtract_bias().tso.linearize()) == ""


def test_bad_polynomials(small, tmp_path):
    with pytest.raises(
        tsoxr.SchemaError, match=r"linearize: 'linearity' has sizes .*'coefficient' of 2"
    ):
        with_polynomial(small.ramps(), 1.0).tso.linearize()
    soss = Exposure(mode="niriss-soss", subarray="SUBSTRIP96", n_integrations=1, n_groups=2)
    paths = {p.name.split("_")[2]: p for p in soss.write_references(tmp_path)}
    prism = Exposure(mode="nirspec-prism", n_integrations=1).ramps()
    with pytest.raises(tsoxr.SchemaError, match="this linearity is of detector NIS"):
        prism.tso.use_references({"linearity": paths["linearity"]})
    whole = soss.replace(subarray="SUBSTRIP256").ramps()
    with pytest.raises(tsoxr.SchemaError, match="this linearity covers y = "):
        whole.tso.use_references({"linearity": paths["linearity"]})


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
