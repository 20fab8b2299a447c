"""Methods that model the whole clock: a drift at every pixel, against the noise put in."""

import sys

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import testing
from tsoxr.errors import SchemaError

STRIPE = "clean_1overf_stripe"
METHODS = ("fourier", "gp")
NOISE = ("photon", "read", "ktc", "bias", "background")
SETUPS = {
    "nirspec-prism": {"n_groups": 3},
    "nirspec-g395h": {"n_groups": 3, "subarray": "SUB1024A"},
}


@pytest.fixture(autouse=True)
def _needs_celerite2():
    pytest.importorskip("celerite2")


def cut(ds, columns):
    """Return some lines of an exposure as a frame of its own: a short clock makes a fast test."""
    ds = ds.isel(x=columns)
    offset = ds["read_offset"] - ds["read_offset"].min()
    ds = ds.assign(read_offset=offset.assign_attrs(ds["read_offset"].attrs))
    return ds.assign_attrs(frame_time=float(offset.max()) + 1e-5)


def rise(ds):
    """Return the rise from the first to the last group without its median in time."""
    change = ds["ramp"][:, -1].astype("f8") - ds["ramp"][:, 0].astype("f8")
    return change.values - np.median(change.values, axis=0)


@pytest.fixture(scope="module", params=SETUPS)
def exposure(request):
    """Ramps with 1/f noise, and the 1/f noise of their rises (same seed with and without)."""
    given = SETUPS[request.param] | {"seed": 4, "n_integrations": 14}
    made = tsoxr.simulation.exposure(request.param, noise=(*NOISE, "one_over_f"), **given)
    lit = {"nirspec-prism": slice(120, 376), "nirspec-g395h": slice(740, 996)}[request.param]
    noisy, quiet = (cut(m.ramps(), lit) for m in (made, made.replace(noise=NOISE)))
    return tsoxr.steps.subtract_bias(noisy), rise(noisy) - rise(quiet)


def left_by(exposure, method):
    """Return what a method leaves of the 1/f noise of rises, (time, y, x), and its result."""
    ds, put_in = exposure
    out = tsoxr.steps.clean_1overf(ds, method=method)
    left = put_in - (rise(ds) - rise(out))
    return left - np.median(left, axis=0), out


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def test_leaves_less_than_levels_of_lines(exposure):
    """In lines, in pixels, in apertures and in white light, and as much as is predicted."""
    mean, _ = left_by(exposure, "mean")
    for method in METHODS:
        left, out = left_by(exposure, method)
        # both see the same pixels; what is told apart is a line's share of its neighbours'
        assert rms(left.mean(axis=1)) < 1.02 * rms(mean.mean(axis=1))
        assert rms(left) < 1.02 * rms(mean)
        box = [x[:, 12:19].sum(axis=1) for x in (left, mean, exposure[1])]
        assert rms(box[0]) < 1.02 * rms(box[1])
        # the level of a whole frame comes off: 14 values know their scatter to 20 %
        assert box[0].sum(axis=-1).std() < 0.3 * box[2].sum(axis=-1).std()
        # a rise has the variance of two groups; the median of 14 takes 1/14 and adds 1.57/14;
        # counts are whole DN and hits are none: 15 %
        expected = np.sqrt(2.0 * float(out["stripe_variance"].mean()))
        assert rms(left) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_vary_stays(exposure, method):
    """A level of each line, added to all integrations, group after group, is not touched."""
    ds, _ = exposure
    ds = cut(ds, slice(0, 64))
    level = np.random.default_rng(1).normal(0.0, 20.0, (3, 1, 64))
    static = ds.assign(ramp=(ds["ramp"] + level).astype("f4"))
    # levels of 20 DN in the rise would pass for light: mask and scene as without them
    mask = xr.DataArray(np.abs(np.arange(32) - 16)[:, None] > np.full(64, 7), dims=("y", "x"))
    how = {"method": method, "mask": mask, "scale": False}
    with_level, without = (tsoxr.steps.clean_1overf(d, **how) for d in (static, ds))
    added = with_level["ramp"].values - without["ramp"].values
    # float32 of counts up to 60000: half a step of 0.004 DN, in several sums
    np.testing.assert_allclose(added, np.broadcast_to(level, added.shape), atol=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_stripe_is_the_mean_over_the_line(exposure, method):
    ds = cut(exposure[0], slice(0, 64))
    out = tsoxr.steps.clean_1overf(ds, method=method)
    assert out[STRIPE].dims == ("time", "group", "x")
    taken = (ds["ramp"] - out["ramp"]).astype("f8").mean("y")
    # float32 of counts of 60000
    np.testing.assert_allclose(taken, out[STRIPE], atol=0.01)
    assert out["stripe_variance"].dims == ("x",)
    assert (out["stripe_variance"] > 0).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fast", ["y", "x"])
def test_outputs_and_lines_without_background(small, method, fast):
    """A drift that all pixels share comes off everywhere, lines on the spectrum included."""
    drift = np.random.default_rng(2).normal(0.0, 30.0, (20, 3, 1, 1))
    noise = np.random.default_rng(3).normal(0.0, 2.0, (20, 3, 32, 64))
    n_outputs = 1 if fast == "y" else 2
    ds = small.ramps(
        small.trace(), n_groups=3, offset=drift + noise, fast=fast, n_outputs=n_outputs
    )
    ds = with_clock(ds, n_outputs)
    out = ds.tso.clean_1overf(method=method)
    assert out[STRIPE].sizes.get("output", 1) == n_outputs
    left = rise(out).mean(axis=(1, 2))
    # a level from 500 pixels or more of 2 sqrt(2) DN: 0.13 DN
    assert np.abs(left).max() < 0.5
    assert rms(rise(out)) < 1.1 * 2.0 * np.sqrt(2.0)


def with_clock(ds, n_outputs):
    """Return ramps with the delay of each pixel in its frame, and a frame no longer than that."""
    fast, slow = ds.attrs["fast_dim"], ds.attrs["slow_dim"]
    n_fast = ds.sizes[fast] // n_outputs
    delay = 1e-5 * ((n_fast + 12) * ds[slow] + ds[fast] % n_fast)
    ds = ds.assign_attrs(frame_time=float(delay.max()) + 1e-5)
    return ds.assign(read_offset=delay.transpose("y", "x"))


@pytest.mark.parametrize("method", METHODS)
def test_no_usable_pixel_leaves_the_data(small, method):
    ds = with_clock(small.ramps(small.trace(), n_groups=2), 1)
    ds = small.flag_pixels(ds, np.ones((32, 64), bool), "HOT")
    out = ds.tso.clean_1overf(method=method)
    np.testing.assert_array_equal(out["ramp"], ds["ramp"])
    np.testing.assert_array_equal(out["stripe_variance"], 0.0)


@pytest.mark.parametrize("method", METHODS)
def test_one_group(small, method):
    drift = np.random.default_rng(5).normal(0.0, 30.0, (20, 1, 1, 1))
    noise = np.random.default_rng(6).normal(0.0, 2.0, (20, 1, 32, 64))
    ds = with_clock(small.ramps(small.trace(), n_groups=1, offset=drift + noise), 1)
    out = ds.tso.clean_1overf(method=method)["ramp"].values
    assert out.mean(axis=(1, 2, 3)).std() < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_contract(method):
    ds = testing.example("ramps")
    ds = cut(ds.isel(group=slice(0, 3), time=slice(0, 10)), slice(200, 264))
    testing.check_step("clean_1overf", ds, method=method)


def test_process_needs_its_package(monkeypatch, small):
    ds = with_clock(small.ramps(small.trace()), 1)
    monkeypatch.setitem(sys.modules, "celerite2", None)
    with pytest.raises(ImportError, match="clean_1overf: method 'gp' needs the package celerite2"):
        ds.tso.clean_1overf(method="gp")


@pytest.mark.parametrize("method", METHODS)
def test_rates_are_refused(method):
    rates = testing.example("rates")
    with pytest.raises(ValueError, match=f"method is '{method}', but rates have no clock"):
        rates.tso.clean_1overf(method=method)


def test_without_a_clock(small):
    with pytest.raises(SchemaError, match="'fourier' needs 'read_offset'"):
        small.ramps().tso.clean_1overf(method="fourier")


def chained(ds, method):
    """Return spectra of a simulated exposure after one way of removing 1/f noise."""
    ds = tsoxr.steps.clean_1overf(tsoxr.steps.subtract_bias(ds), method=method)
    rates = tsoxr.steps.find_trace(tsoxr.steps.fit_ramps(ds))
    wavelength = xr.DataArray(np.linspace(3.0, 4.0, rates.sizes["x"]), dims="x")
    wavelength = wavelength.broadcast_like(rates["rate"].isel(time=0)).assign_attrs(units="um")
    return tsoxr.steps.extract(rates.assign(wavelength=wavelength.transpose("y", "x")))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", SETUPS)
def test_error_bars_of_channels(mode, method):
    """Where photons do not dominate, the error of each channel is its scatter."""
    lit = {"nirspec-prism": slice(120, 376), "nirspec-g395h": slice(740, 996)}[mode]
    ratio = []
    for seed in range(2):
        given = SETUPS[mode] | {"seed": seed, "n_integrations": 24, "brightness": 0.02}
        made = tsoxr.simulation.exposure(mode, noise=(*NOISE, "one_over_f"), **given)
        spectra = chained(cut(made.ramps(), lit), method)
        light = xr.DataArray(made.truth()["white_flux"].values, dims="time")
        left = spectra["flux"] - spectra["flux"].median("time") * (light / light.median())
        variance = float(left.var("time", ddof=1).mean())
        ratio.append(np.sqrt(float((spectra["flux_error"] ** 2).mean()) / variance))
    # 2 x 256 channels of 23 degrees of freedom: 0.7 %; light and the weights of the extraction
    # differ, and noise near the cutoff of the cosines is not white: 5 %
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.05)


OTHERS = {
    "miri-lrs": {"n_groups": 4},
}
SLOW = {
    "nircam-grism": {
        "n_groups": 2,
        "subarray": "SUBGRISM64",
        "read_pattern": "SHALLOW4",
        "brightness": 0.1,
    },
    "niriss-soss": {"n_groups": 2, "subarray": "SUBSTRIP256"},
    "niriss-soss-96": {"n_groups": 2, "subarray": "SUBSTRIP96"},
}


def compared(mode, given, method, seed=0):
    """Return the noise put in, and left by a method and by the mean: channels, and in a transit."""
    made = tsoxr.simulation.exposure(
        mode.removesuffix("-96"),
        noise=(*NOISE, "one_over_f"),
        seed=seed,
        n_integrations=12,
        **given,
    )
    noisy, quiet = (tsoxr.steps.subtract_bias(m.ramps()) for m in (made, made.replace(noise=NOISE)))
    put_in = rise(noisy) - rise(quiet)
    axis = ("y", "x").index(noisy.attrs["spatial_dim"])
    light = np.median(noisy["ramp"][:, -1].astype("f8") - noisy["ramp"][:, 0].astype("f8"), axis=0)
    light = light - np.median(light, axis=axis, keepdims=True)
    lit = light > 0.2 * light.max(axis=axis, keepdims=True)
    shape = made.truth()["white_flux"].values / made.truth()["white_flux"].values.max()
    found = [put_in]
    for name in (method, "mean"):
        out = tsoxr.steps.clean_1overf(noisy, method=name)
        found.append(put_in - (rise(noisy) - rise(out)))
    channels = [((x - np.median(x, axis=0)) * lit).sum(axis=1 + axis) for x in found]
    return channels, shape - shape.mean(), float(light[lit].sum())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "mode", [*OTHERS, *(pytest.param(m, marks=pytest.mark.long) for m in SLOW)]
)
def test_every_detector(mode, method):
    """Less noise than before, no more than with the mean, and no transit in what is taken."""
    (before, after, mean), shape, light = compared(mode, (OTHERS | SLOW)[mode], method)
    assert after.std() < 0.75 * before.std()
    assert after.std() < 1.02 * mean.std()
    assert after.sum(axis=1).std() < before.sum(axis=1).std()
    white = after.sum(axis=1)
    slope = (shape @ white) / (shape @ shape)
    error = white.std(ddof=1) / np.sqrt(shape @ shape)
    # 12 integrations: t-distributed with 10 degrees of freedom, beyond 4 in 0.3 %
    assert abs(slope) < 4.0 * error
    assert abs(slope) < 0.1 * light


def test_a_frame_without_a_star():
    """Half of a grating spectrum is dark: the level of a frame must not pass for light."""
    made = tsoxr.simulation.exposure(
        "nirspec-g395h", noise=(*NOISE, "one_over_f"), seed=0, n_groups=3, n_integrations=14
    )
    dark = slice(0, 128)
    noisy, quiet = (cut(m.ramps(), dark) for m in (made, made.replace(noise=NOISE)))
    noisy = tsoxr.steps.subtract_bias(noisy)
    put_in = rise(noisy) - rise(quiet)
    for method in (*METHODS, "mean"):
        left = put_in - (rise(noisy) - rise(tsoxr.steps.clean_1overf(noisy, method=method)))
        # the level of the frame goes, and with it nearly all of the sum; lines add 1/4 of 5.6 DN
        assert left.sum(axis=(1, 2)).std() < 0.15 * put_in.sum(axis=(1, 2)).std()
