"""Every step of the detector level against every kind of bad input: an error, or a defined result.

A step may refuse, with its name and what to do, or return data in which nothing that was finite
has become NaN, no flag is gone, and pixels that it could not treat are as they were.
"""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr.errors import TsoError

SHAPE, N_TIME, N_GROUPS = (32, 64), 10, 4
REFERENCES = ("superbias", "saturation", "linearity", "dark", "reset")
CLEAN = ("mean", "median", "scaled", "polynomial", "odd_even", "fourier", "gp")
PATTERN = xr.DataArray(np.random.default_rng(1).normal(0.0, 1.0, SHAPE), dims=("y", "x"))

STEPS = {
    "flag_saturation": {},
    "flag_saturation columns": {"columns": True},
    "subtract_bias": {},
    "subtract_bias rescaled": {"method": "rescaled"},
    "subtract_bias first_group": {"method": "first_group"},
    "subtract_dark": {},
    "linearize": {},
    "subtract_reset_anomaly": {},
    "subtract_template": {"template": PATTERN},
    "correct_reference_pixels": {},
    "correct_preamp": {},
} | {f"clean_1overf {method}": {"method": method} for method in CLEAN}


@pytest.fixture(scope="module")
def good(small):
    """Ramps with everything that a step may need."""
    noise = np.random.default_rng(0).normal(0.0, 5.0, (N_TIME, N_GROUPS, *SHAPE))
    ds = small.ramps(small.trace(SHAPE), n_time=N_TIME, n_groups=N_GROUPS, offset=noise + 1000.0)
    delay = 1e-5 * ((SHAPE[0] + 12) * ds["x"] + ds["y"])
    ds = ds.assign(read_offset=delay.transpose("y", "x"))
    ds = ds.assign_attrs(frame_time=float(delay.max()) + 1e-5)
    ds = small.flag_pixels(
        ds, (np.arange(32) < 4)[:, None] & np.ones(SHAPE, bool), "REFERENCE_PIXEL"
    )

    def image(value):
        return ("y", "x"), np.full(SHAPE, value, "f4")

    cube = ("group", "y", "x"), np.ones((N_GROUPS, *SHAPE), "f4")
    powers = np.stack([np.full(SHAPE, c, "f4") for c in (0.0, 1.0, 1e-7)])
    return ds.assign(
        superbias=image(1000.0), saturation=image(50000.0), gain=image(1.5), read_noise=image(5.0),
        dark=cube, reset=cube, linearity=(("coefficient", "y", "x"), powers),
    )  # fmt: skip


def counts(value, *where):
    def damage(ds, _small):
        ramp = ds["ramp"].copy(deep=True)
        ramp.values[where] = value
        return ds.assign(ramp=ramp)

    return damage


def saturated(*where):
    def damage(ds, _small):
        flags = ds["dq_group"].copy(deep=True)
        flags.values[(slice(None), slice(None), *where)] |= 2
        return ds.assign(dq_group=flags)

    return damage


def unusable(*where):
    def damage(ds, small):
        bad = np.zeros(SHAPE, bool)
        bad[where] = True
        return small.flag_pixels(ds, bad, "DO_NOT_USE")

    return damage


EVERY = slice(None)
DAMAGES = {
    "NaN pixel": counts(np.nan, EVERY, EVERY, 10, 20),
    "NaN integration": counts(np.nan, 3),
    "NaN group": counts(np.nan, EVERY, 1),
    "NaN line": counts(np.nan, EVERY, EVERY, EVERY, 20),
    "NaN throughout": counts(np.nan, EVERY),
    "infinite": counts(np.inf, 2, 3, 25),
    "saturated pixel": saturated(10, 20),
    "saturated line": saturated(EVERY, 20),
    "saturated throughout": saturated(EVERY),
    "no good pixel on a line": unusable(EVERY, 20),
    "no good pixel": unusable(EVERY),
}


def applied(step, ds):
    return getattr(tsoxr.steps, step.split()[0])(ds, **STEPS[step])


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("step", STEPS)
def test_nothing_becomes_nan(good, small, step, damage):
    if step.endswith("gp"):
        pytest.importorskip("celerite2")
    ds = DAMAGES[damage](good, small)
    out = applied(step, ds).compute()
    assert not (np.isfinite(ds["ramp"]) & ~np.isfinite(out["ramp"])).any()
    for name in ("dq_group", "dq_pixel"):
        assert not (ds[name] & ~out[name]).any(), f"{name}: a flag is gone"
    if "stripe_variance" in out:
        assert np.isfinite(out["stripe_variance"]).all()
        assert (out["stripe_variance"] >= 0).all()
    # nothing here differs from integration to integration by more than a few DN
    if step.split()[0] in ("clean_1overf", "correct_preamp") and damage != "infinite":
        change = (out["ramp"] - ds["ramp"].astype("f4")).fillna(0.0)
        assert float(abs(change - change.median("time")).max()) < 60.0


WITH_REFERENCE = {
    "flag_saturation": "saturation",
    "subtract_bias": "superbias",
    "subtract_bias rescaled": "superbias",
    "subtract_dark": "dark",
    "linearize": "linearity",
    "subtract_reset_anomaly": "reset",
}


@pytest.mark.parametrize("step", WITH_REFERENCE)
def test_reference_of_another_subarray_by_its_coordinates(good, step):
    """Assigned to the data it is aligned, and nothing of it remains."""
    name = WITH_REFERENCE[step]
    other = good[name].reset_coords(drop=True).assign_coords(x=np.arange(500, 564))
    ds = good.drop_vars(name).assign({name: other})
    with pytest.raises(TsoError, match=rf"{step.split()[0]}: '{name}' has no finite value"):
        applied(step, ds)


@pytest.mark.parametrize("step", WITH_REFERENCE)
def test_reference_with_other_dims(good, step):
    name = WITH_REFERENCE[step]
    other = good[name].rename({"y": "row"}).reset_coords(drop=True)
    with pytest.raises(TsoError, match=rf"{step.split()[0]}: '{name}' has dims .*'row'"):
        applied(step, good.drop_vars(name).assign({name: other}))


@pytest.mark.parametrize("step", ["subtract_dark", "subtract_reset_anomaly"])
def test_reference_of_other_groups(good, step):
    name = WITH_REFERENCE[step]
    fewer = xr.DataArray(np.ones((2, *SHAPE), "f4"), dims=("group", "y", "x"))
    fewer = fewer.assign_coords(group=[11, 12])
    with pytest.raises(TsoError, match=f"{step}: '{name}' has no finite value"):
        applied(step, good.drop_vars(name).assign({name: fewer}))


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("shape", [(32, 63), (31, 64)])
def test_references_of_another_shape_are_not_attached(good, name, shape):
    array = np.ones((*good[name].shape[:-2], *shape), "f4")
    given = xr.DataArray(array, dims=good[name].dims)
    with pytest.raises(TsoError, match=f"use_references: '{name}' has dims"):
        good.drop_vars(name).tso.use_references({name: given})


@pytest.mark.parametrize("step", ["correct_preamp", "clean_1overf mean", "clean_1overf fourier"])
@pytest.mark.parametrize(
    "mask",
    [
        np.ones(SHAPE, bool),
        xr.DataArray(np.ones((32, 63), bool), dims=("y", "x")),
        xr.DataArray(np.ones(SHAPE, bool), dims=("row", "x")),
        xr.DataArray(np.ones((2, *SHAPE), bool), dims=("time", "y", "x")),
    ],
)
def test_masks_that_do_not_fit(good, step, mask):
    name, _, method = step.partition(" ")
    how = {"method": method} if method else {}
    with pytest.raises(ValueError, match=f"{name}: mask is .*give a DataArray of bool"):
        getattr(tsoxr.steps, name)(good, mask=mask, **how)


def test_mask_of_numbers(good):
    mask = xr.DataArray(np.full(SHAPE, 0.3), dims=("y", "x"))
    with pytest.raises(
        ValueError, match="correct_preamp: mask is of type float64; it must be bool"
    ):
        good.tso.correct_preamp(mask=mask)


@pytest.mark.parametrize("step", [s for s in STEPS if "clean" in s or "preamp" in s])
def test_mask_without_a_pixel_leaves_the_data(good, step):
    if step.endswith("gp"):
        pytest.importorskip("celerite2")
    nothing = xr.DataArray(np.zeros(SHAPE, bool), dims=("y", "x"))
    how = STEPS[step] | ({"pixels": "sky"} if step == "correct_preamp" else {})
    out = getattr(tsoxr.steps, step.split()[0])(good, mask=nothing, **how)
    if step == "clean_1overf scaled":  # which uses the pixels with light too
        assert np.isfinite(out["ramp"]).all()
    else:
        np.testing.assert_array_equal(out["ramp"], good["ramp"])


@pytest.mark.parametrize("method", CLEAN)
def test_a_line_without_pixels_keeps_its_level_or_takes_its_neighbours(good, small, method):
    """Never NaN, and the variance says what is left."""
    if method == "gp":
        pytest.importorskip("celerite2")
    stripes = np.random.default_rng(2).normal(0.0, 8.0, (N_TIME, N_GROUPS, 1, SHAPE[1]))
    ds = unusable(EVERY, 20)(good.assign(ramp=good["ramp"] + stripes.astype("f4")), small)
    out = ds.tso.clean_1overf(method=method)
    variance = out["stripe_variance"]
    assert float(variance[20]) >= 0.5 * float(variance.median())
    assert np.isfinite(out["ramp"]).all()
    assert int(out["clean_1overf_n_pixels"][20]) == 0
