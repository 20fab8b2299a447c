"""Interference of MIRI: amplitude, phase and waveform come back; nothing else is touched."""

import functools

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import testing
from tsoxr.kernels import interference as kernel
from tsoxr.simulation import exposure
from tsoxr.simulation.electronics import Electronics
from tsoxr.simulation.noise import STANDARD

FAST, SLOW = 390.625, 10.039216
QUIET = ("read", "ktc", "bias", "pedestal")


def injected(each):
    """Return the true interference of each group, (time, group, y, x) DN."""
    alone = Electronics(each.replace(noise=("emi",)))
    return np.stack([alone.groups(i) for i in range(each.n_integrations)])


@functools.cache
def treated(seed, mode="miri-lrs", noise=(*STANDARD, "emi"), per="exposure", **given):
    """Return exposure, ramps before and after, and the true interference."""
    each = exposure(mode, seed=seed, noise=noise, **given)
    ds = each.ramps()
    return each, ds, ds.tso.remove_emi(per=per), injected(each)


def short(n_groups=3):
    return tsoxr.simulate("miri-lrs", noise=QUIET, n_integrations=8, n_groups=n_groups, seed=1)


def amplitude_at(values, frequency, each):
    """Return the amplitude of a sine in (time, group, y, x), by projection on the clock."""
    clock = each.clock
    start = np.arange(each.n_integrations)[:, None] * (clock.frames_per_integration + 1)
    frame = (start + clock.read_frame) * clock.readout.frame_clocks
    ticks = frame[..., None, None] + clock.readout.ticks
    return 2.0 * abs((values * np.exp(-2j * np.pi * (frequency * 1e-5 * ticks % 1.0))).mean())


def left_over(case, frequency):
    each, ds, out, truth = case
    rest = truth - (ds["ramp"].astype("f4") - out["ramp"]).values
    return amplitude_at(rest, frequency, each) / amplitude_at(truth, frequency, each)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_little_of_it_is_left(seed):
    noise = (*QUIET, "one_over_f", "emi") if seed > 1 else (*STANDARD, "emi")
    case = treated(seed, noise=noise, n_integrations=16, n_groups=6)
    # 16 x 6 x 24000 samples with 5 DN: 0.005 DN of 3.7 for each component
    assert left_over(case, FAST) < 0.01
    # 1/f noise of four outputs at 10 Hz: density 0.0057 DN2/Hz, in 11 s: 0.022 DN for each
    # component of 1 DN; noise next to 10 Hz leaks into windows of a frame, twice that; 3 sigma
    assert left_over(case, SLOW) < 0.13


def test_groups_flagged_before_hide_nothing():
    each = exposure("miri-lrs", seed=4, noise=(*QUIET, "emi"), n_integrations=8, n_groups=6)
    ds = each.ramps().tso.flag_groups(first=1, last=1)
    case = each, ds, ds.tso.remove_emi(), injected(each)
    assert left_over(case, FAST) < 0.02


@pytest.mark.parametrize(("subarray", "n"), [("SUB64", 30), ("SUB128", 10)])
def test_images(subarray, n):
    noise = (*QUIET, "one_over_f", "emi")
    case = treated(1, mode="miri-imaging", noise=noise, subarray=subarray, n_integrations=n)
    assert left_over(case, FAST) < 0.05


def test_what_repeats_with_the_frames_is_in_no_difference():
    """A frame of SUB256 lasts 117 periods: the signal is a part of the bias."""
    each = exposure("miri-imaging", subarray="SUB256", n_integrations=3, n_groups=4, noise=("emi",))
    out = each.ramps().tso.remove_emi(frequencies=(FAST,), harmonics=(3,))
    assert "repeat with the groups or integrations" in out.tso.history[-1]["notes"][0]
    slow = each.replace(levels={"emi_slow": 0.0})
    np.testing.assert_allclose(np.diff(injected(slow), axis=1), 0.0, atol=1e-5)


def test_integrations_that_repeat_with_the_signal():
    """Eight frames of 15904 ticks are 497 periods: every integration sees the same phases."""
    case = treated(1, noise=(*QUIET, "emi"), n_groups=7, n_integrations=8)
    assert left_over(case, FAST) < 0.05


def test_amplitudes_phases_and_errors():
    """Over seeds, the departures of the components from the truth are as large as the error says."""
    scaled = []
    for seed in range(6):
        each, _, out, _ = treated(seed, noise=(*QUIET, "emi"), n_integrations=12, n_groups=5)
        from tsoxr.simulation.interference import Interference

        cycles = Interference(each).phases[0] + np.array([0.0, 0.15, 0.4])
        cycles += np.array([0.0, 1.0, 2.0]) * Interference(each).phases[0]
        true = 3.7 * np.array([1.0, 0.2, 0.06]) * np.exp(2j * np.pi * (cycles - 0.25))
        turn = np.exp(2j * np.pi * out["remove_emi_phase"].values[:3])
        found = out["remove_emi_amplitude"].values[:3] * turn
        found = np.where(out["remove_emi_amplitude"].values[:3] > 0, found, np.nan)
        scaled.append((found - true) / out["remove_emi_error"].values[:3])
    scaled = np.array(scaled)
    scaled = scaled[np.isfinite(scaled)]
    assert scaled.size >= 12
    # at least 24 components; errors from 12 integrations have 20 % scatter of their own
    rms = np.sqrt((np.abs(scaled) ** 2).mean() / 2.0)
    assert 0.6 < rms < 1.7


def test_without_interference_nothing_happens():
    """No wave reaches four standard deviations: p = exp(-8) for each of five."""
    for seed in (1, 2):
        noise = (*QUIET, "one_over_f")
        ds = tsoxr.simulate("miri-lrs", noise=noise, n_integrations=12, n_groups=4, seed=seed)
        out = ds.tso.remove_emi()
        np.testing.assert_array_equal(out["ramp"], ds["ramp"].astype("f4"))
        assert not out["remove_emi_amplitude"].any()


def test_slopes_are_not_biased():
    """The mean over pixels of what comes off a slope is that of the true signal."""
    _, ds, out, truth = treated(2, noise=(*QUIET, "emi"), n_integrations=16, n_groups=6)
    taken = (ds["ramp"].astype("f4") - out["ramp"]).values
    slope = np.polyfit(np.arange(6), np.moveaxis(taken - truth, 1, 0).reshape(6, -1), 1)[0]
    slope = slope.reshape(16, *ds["ramp"].shape[2:])
    # 0.02 DN of amplitude error times the slope of a sine over six groups, averaged over phases
    assert abs(slope.mean()) < 1e-3
    assert slope.std() < 0.01 * np.std(truth)


def test_each_integration_alone():
    """A clock that is disturbed between integrations: phases differ, and are found."""
    each = exposure("miri-lrs", seed=4, noise=QUIET, n_integrations=8, n_groups=6)
    ds, clock = each.ramps(), each.clock
    phase = np.random.default_rng(4).random(8)
    frame = clock.read_frame * clock.readout.frame_clocks
    ticks = frame[:, None, None] + clock.readout.ticks
    wave = 3.0 * np.cos(2 * np.pi * (phase[:, None, None, None] + ticks / 256.0 % 1.0))
    ds = ds.assign(ramp=ds["ramp"].astype("f4") + xr.DataArray(wave, dims=ds["ramp"].dims))
    ds["ramp"] = ds["ramp"].astype("f4").assign_attrs(units="DN")
    out = ds.tso.remove_emi(per="integration", frequencies=(FAST,), harmonics=(1,))
    # sigma sqrt(2/n): 5 DN sqrt(2 / (6 x 24000)) = 0.02 DN, more as two of six degrees are lost
    np.testing.assert_allclose(out["remove_emi_amplitude"][:, 0], 3.0, atol=0.12)
    start = np.arange(8) * (clock.frames_per_integration + 1) * clock.readout.frame_clocks / 256.0
    off = (out["remove_emi_phase"][:, 0].values + start - phase + 0.5) % 1.0 - 0.5
    np.testing.assert_allclose(off, 0.0, atol=0.01)
    rest = ds["ramp"].values - out["ramp"].values - wave
    assert rest.std() < 0.05


def test_fit_is_that_of_dense_least_squares():
    """Against a design matrix with a column for every scene pixel, reset, level and wave."""
    rng = np.random.default_rng(0)
    n_time, n_group, n_y, n_x = 4, 3, 4, 6
    ticks = 30 * np.arange(n_y)[:, None] + np.arange(n_x) // 2
    outputs = np.broadcast_to(np.arange(n_x) % 2, (n_y, n_x))
    frequency = np.array([1 / 97.0, 1 / 41.3])
    waves = kernel.Waves(frequency, ticks, outputs, np.ones((n_y, n_x), bool))
    starts = (np.arange(n_time)[:, None] * 4 + np.arange(n_group) + 1)[..., None] * 131
    phasors = kernel.frame_phasors(starts, frequency)
    data = rng.normal(size=(n_time, n_group, n_y, n_x))
    weights = rng.uniform(0.5, 2.0, (n_y, n_x)).astype("f4")
    residual = kernel.without_scene(data.astype("f4"), per_ramp=False)
    found, _ = kernel.fit_exposure(residual, phasors, weights, waves, per_ramp=False)

    t, g, p = (a.ravel() for a in np.indices((n_time, n_group, n_y * n_x)))
    eye = [g * 24 + p, t * 24 + p, (t * n_group + g) * 2 + outputs.ravel()[p]]
    columns = [np.eye(k.max() + 1)[k] for k in eye]
    angle = 2 * np.pi * (starts[t, g, 0] + ticks.ravel()[p])[:, None] * frequency
    design = np.hstack([np.cos(angle), -np.sin(angle), *columns])
    root = np.sqrt(weights.ravel()[p])
    dense = np.linalg.lstsq(root[:, None] * design, root * data.ravel(), rcond=None)[0][:4]
    np.testing.assert_allclose(np.r_[found.real, found.imag], dense, atol=2e-5)


def test_phase_is_kept_where_integrations_are_missing():
    _, ds, out, _ = treated(2, noise=(*QUIET, "emi"), n_integrations=16, n_groups=6)
    kept = [0, 1, 3, 4, 7, 8, 13, 15]
    some = ds.isel(time=kept).tso.remove_emi()
    # 8 of 16 integrations: 0.008 DN of 3.7, 0.0004 cycles
    np.testing.assert_allclose(some["remove_emi_phase"][0], out["remove_emi_phase"][0], atol=0.002)


def test_other_instruments(small):
    out = testing.example("ramps").tso.remove_emi()
    assert "data unchanged" in small.notes(out)
    assert "remove_emi_amplitude" not in out


def test_few_groups_for_each_integration(small):
    ds = tsoxr.simulate("miri-lrs", noise=QUIET, n_integrations=6, n_groups=3, seed=1)
    assert "too few for each integration" in small.notes(ds.tso.remove_emi(per="integration"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"per": "frame"}, "per is 'frame'"),
        ({"significance": -1.0}, "significance is -1.0"),
        ({"frequencies": ()}, "0 frequencies"),
        ({"frequencies": (390.0,)}, "1 frequencies and 2 numbers"),
        ({"frequencies": (0.0, 10.0)}, "0.0 Hz with 4 harmonics"),
        ({"frequencies": (3e4, 10.0)}, "30000.0 Hz with 4 harmonics"),
        ({"harmonics": (0, 1)}, "with 0 harmonics"),
    ],
)
def test_bad_input(given, message):
    with pytest.raises(ValueError, match=message):
        short().tso.remove_emi(**given)


def test_clock_is_needed():
    ds = short()
    with pytest.raises(ValueError, match="'read_offset' is missing"):
        ds.drop_vars("read_offset").tso.remove_emi()


def test_no_pixel_to_measure(small):
    ds = tsoxr.simulate("miri-lrs", noise=QUIET, n_integrations=4, n_groups=3, seed=1)
    bad = small.flag_pixels(ds, np.ones(ds["dq_pixel"].shape, bool), "DO_NOT_USE")
    out = bad.tso.remove_emi()
    np.testing.assert_array_equal(out["ramp"], ds["ramp"].astype("f4"))


def test_contract_each_integration():
    testing.check_step("remove_emi", short(n_groups=4).isel(y=slice(100, 180)), per="integration")
