"""A template of known shape and unknown strength: found, removed, and no transit with it."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import testing
from tsoxr.kernels.subtraction import scale_error
from tsoxr.simulation import Exposure
from tsoxr.steps.subtract_template import SCALE, TREND

SHAPE = (32, 64)
N = 24


def columns(shape=SHAPE):
    """Return a pattern of alternating columns."""
    return np.where(np.arange(shape[1]) % 2, 1.0, -1.0) * np.ones((shape[0], 1))


def frame(shape=SHAPE):
    """Return a picture frame: bright edges."""
    y, x = (np.exp(-np.minimum(np.arange(n), np.arange(n)[::-1]) / 5.0) for n in shape)
    return y[:, None] + x


def strengths(seed=0, n_time=N, n_groups=5):
    return np.cumsum(np.random.default_rng(seed).normal(0, 3, (n_time, n_groups)), axis=1)


def scaled(strength, template):
    return strength[:, :, None, None] * template


@pytest.mark.parametrize("template", [columns(), frame()], ids=["columns", "frame"])
def test_strength_is_found_and_removed(small, template):
    """White noise of 5 DN: errors of strengths as stated, over several seeds."""
    errors = []
    for seed in range(4):
        strength = strengths(seed)
        noise = np.random.default_rng(100 + seed).normal(0, 5.0, (N, 5, *SHAPE))
        ds = small.ramps(small.trace(), n_time=N, offset=scaled(strength, template) + noise)
        out = ds.tso.subtract_template(template)
        found = out[SCALE].isel(output=0).values
        # the strength of the first group is told but for its median, which slopes do not see
        errors.append((found - strength)[:, 1:] - (found - strength)[:, :1])
    errors = np.concatenate(errors)
    # pixels farther than 6 from the trace at row 15
    usable = abs(np.arange(32) - 15) > 6
    error = scale_error(5.0 * np.sqrt(2), template[usable].std(), usable.sum() * 64)
    # 384 differences: scatter known to 4 %; the median over 24 adds 3 %; few pixels clipped
    assert errors.std() == pytest.approx(error, rel=0.2)
    assert abs(errors.mean()) < 5 * error / np.sqrt(96)
    left = out["ramp"] - ds["ramp"] + scaled(strength, template)
    assert float(abs(left - left.isel(group=0)).max()) < 6 * error * template.max()


def test_only_what_varies(small):
    strength = strengths() + 10.0 * np.arange(5)
    ds = small.ramps(n_time=N, offset=scaled(strength, columns()))
    both = [
        ds.tso.subtract_template(columns(), static=s)[SCALE].isel(output=0) for s in (True, False)
    ]
    np.testing.assert_allclose(both[0] - both[0][:, 0], strength - strength[:, :1], atol=1e-3)
    rises = (both[1] - both[1][:, 0]).median("time")
    np.testing.assert_allclose(rises, 0.0, atol=1e-3)


def test_outputs_can_have_strengths_of_their_own(small):
    strength = strengths(3)
    half = np.where(np.arange(64) < 32, 1.0, 0.3)
    ds = small.ramps(n_time=N, offset=scaled(strength, columns() * half), fast="x", n_outputs=2)
    out = ds.tso.subtract_template(columns(), by_output=True)
    found = out[SCALE] - out[SCALE].isel(group=0)
    for output, factor in enumerate((1.0, 0.3)):
        expected = factor * (strength - strength[:, :1])
        np.testing.assert_allclose(found.isel(output=output), expected, atol=1e-3)
    assert ds.tso.subtract_template(columns())[SCALE].sizes["output"] == 1


def test_trend_is_what_left_the_rates(small):
    strength = strengths(4)
    ds = small.ramps(small.trace(), n_time=N, offset=scaled(strength, columns()))
    out = ds.tso.subtract_template(columns())
    time = ds["group_time"].values - ds["group_time"].values.mean()
    slope = (strength * time).sum(axis=1) / (time**2).sum()
    np.testing.assert_allclose(out[TREND].isel(output=0), slope, atol=1e-3)
    # a diagnostic in time goes on to the rates, where light curves can be compared with it
    rates = out.tso.fit_ramps(gain=1.5, read_noise=5.0)
    assert rates[TREND].dims == ("time", "output")


def test_transit_keeps_its_depth(small):
    """The star's wings lie in the pixels used; their change must not come off the spectrum."""
    light = np.where(abs(np.arange(N) - 12) < 4, 0.98, 1.0)
    star = small.trace(rate=2e4, sky=5.0) + 30.0 * np.exp(-abs(np.arange(32) - 15.0) / 4)[:, None]
    ds = small.ramps(star, n_time=N, light=light)
    for template in (columns(), frame()):
        out = ds.tso.subtract_template(template)
        white = [
            (d["ramp"].diff("group").sum(["group", "x"]).isel(y=slice(11, 20)).sum("y"))
            for d in (ds, out)
        ]
        curves = [w / w.isel(time=slice(0, 6)).mean("time") for w in white]
        # 2 % of wings of 30 DN/s at six pixels and more: 1e-6 of the white light
        assert float(abs(curves[1] - curves[0]).max()) < 2e-5


def test_simulated_prism_with_alternating_columns():
    """Stripes and reset noise are on: pairs of columns have 1/f noise in common."""
    exposure = Exposure(mode="nirspec-prism", n_integrations=N, seed=3)
    ds = exposure.ramps()
    template, strength = columns((32, 512)), strengths(5)
    with_it = ds.assign(ramp=ds["ramp"].astype("f4") + scaled(strength, template).astype("f4"))
    found = with_it.tso.subtract_template(template)[SCALE].isel(output=0).values
    error = (found - strength) - (found - strength)[:, :1]
    # 5.6 sqrt 2 DN of white noise and 3.5 sqrt 2 of stripes, 19 rows of 512 columns at the least
    expected = scale_error(np.sqrt(2) * np.hypot(5.6, 3.5), 1.0, 19 * 512)
    assert error[:, 1:].std() < 1.5 * expected


def test_pixels_without_template_keep_their_counts(small):
    template = columns()
    template[4, 5] = np.nan
    ds = small.ramps(n_time=N, offset=scaled(strengths(), columns()))
    out = ds.tso.subtract_template(template)
    np.testing.assert_array_equal(out["ramp"][:, :, 4, 5], ds["ramp"][:, :, 4, 5])
    assert bool(np.isfinite(out["ramp"]).all())


def test_bad_input(small):
    ds = small.ramps()
    with pytest.raises(
        tsoxr.SchemaError, match=r"template has sizes \{'y': 3, 'x': 4\}; it must be .* 32 x 64"
    ):
        ds.tso.subtract_template(np.ones((3, 4)))
    with pytest.raises(tsoxr.SchemaError, match="it must be"):
        ds.tso.subtract_template(np.ones(3))
    with pytest.raises(ValueError, match="the template is constant"):
        ds.tso.subtract_template(np.ones(SHAPE))
    with pytest.raises(ValueError, match="trace_half_width is -2"):
        ds.tso.subtract_template(columns(), trace_half_width=-2)


def test_without_template_unchanged_with_a_note(small):
    ds = small.ramps()
    out = ds.tso.subtract_template()
    assert out["ramp"].identical(ds["ramp"])
    assert "no template: data unchanged" in small.notes(out)


def test_one_group_and_no_dark_pixels(small):
    out = small.ramps(n_groups=1).tso.subtract_template(columns())
    assert TREND not in out
    none = small.ramps(small.trace()).tso.subtract_template(columns(), trace_half_width=1000.0)
    assert (none[SCALE] == 0).all()


def test_contract(small):
    ds = small.ramps(small.trace(), offset=scaled(strengths(n_time=20), columns()))
    testing.check_step("subtract_template", ds, template=xr.DataArray(frame(), dims=("y", "x")))
