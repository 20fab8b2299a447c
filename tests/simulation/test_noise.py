"""The noise has the amounts and the spectrum that it is said to have."""

import itertools

import numpy as np
import pytest

from tsoxr.simulation import exposure
from tsoxr.simulation.clock import TICK, Clock, Readout
from tsoxr.simulation.detector import apply_linearity
from tsoxr.simulation.pink import amplitude, pink_sequence, slow_drift, ticks_of_integration
from tsoxr.simulation.prediction import slope_variance

MODES = ("nirspec-prism", "miri-lrs")


@pytest.mark.parametrize("mode", MODES)
def test_variance_against_mean_gives_the_gain(mode):
    n = 150
    each = exposure(mode, seed=2, n_integrations=n, n_groups=2, noise=("photon",), radius_ratio=0.0)
    ramp = each.ramps()["ramp"].values
    signal = ramp[:, 1] - ramp[:, 0]
    mean, variance = signal.mean(axis=0), signal.var(axis=0, ddof=1)
    bright = mean * each.setup.constants.gain > 250
    slope = (variance[bright] / mean[bright]).mean()
    # a variance of 150 values scatters by 12%; over more than 900 pixels 0.4%: 4 sigma
    assert bright.sum() > 900
    assert 1.0 / slope == pytest.approx(each.setup.constants.gain, rel=0.016)


@pytest.mark.parametrize("mode", MODES)
def test_read_noise_is_that_of_one_read(mode):
    each = exposure(mode, seed=3, n_integrations=20, n_groups=3, noise=("read",), brightness=1e-6)
    ramp = each.ramps()["ramp"].values
    pull = ramp.std(axis=(0, 1), ddof=1) / each.maps.read_noise
    # 60 values in each of 16384 pixels: 0.07% error of the mean ratio, bias of std 0.4%
    assert pull.mean() == pytest.approx(1.0, abs=0.01)
    reference = each.maps.read_noise[:, : each.setup.border[0]]
    if reference.size:
        assert reference.mean() == pytest.approx(0.8 * each.setup.constants.read_noise, rel=0.01)


def test_one_over_f_spectrum_on_the_clock():
    each = exposure("nirspec-prism", seed=4, n_integrations=12)
    scale = amplitude(3.5, each.setup.readout.frame_clocks)
    drift = np.zeros((1, each.n_integrations + 1), dtype=np.float32)
    ticks = np.stack(
        [ticks_of_integration(each.clock, i, scale, drift, each.seed)[0] for i in range(12)]
    ).astype(float)
    n = ticks.shape[1]
    window = np.hanning(n)
    power = np.abs(np.fft.rfft((ticks - ticks.mean(axis=1, keepdims=True)) * window)) ** 2
    density = 2.0 * TICK * power.mean(axis=0) / (window**2).sum()
    frequency = np.fft.rfftfreq(n, TICK)
    edges = np.geomspace(10.0, 4.5e4, 24)
    bins = np.digitize(frequency, edges)
    level = np.array([(density * frequency)[bins == b].mean() for b in range(1, edges.size)])
    middle = np.sqrt(edges[1:] * edges[:-1])
    slope = np.polyfit(np.log(middle), np.log(level / middle), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.05)
    assert level.mean() == pytest.approx(scale**2, rel=0.05)


def test_one_over_f_within_a_frame_has_the_stated_rms():
    each = exposure("nirspec-prism", seed=5, n_integrations=60)
    n = each.setup.readout.frame_clocks
    scale = amplitude(3.5, n)
    drift = slow_drift(each.clock, scale, each.seed)
    frames = np.concatenate(
        [
            ticks_of_integration(each.clock, i, scale, drift, each.seed)[0].reshape(-1, n)
            for i in range(60)
        ]
    )
    # variance of 360 frames, dominated by a few slow modes each: 5% is about 3 sigma
    assert np.sqrt(frames.var(axis=1).mean()) == pytest.approx(3.5, rel=0.05)


def tiny_clock(n_integrations, n_groups=3):
    readout = Readout("y", "x", 1, 1, 4, 4, 1, interleaved=False, line_clocks=8, frame_clocks=64)
    return Clock(readout, n_integrations, n_groups, 60200.0)


def test_one_over_f_goes_on_over_integrations():
    clock, n_int = tiny_clock(1024), 1024
    density = 0.0
    for seed in range(8):
        drift = slow_drift(clock, 1.0, seed)
        series = np.concatenate(
            [ticks_of_integration(clock, i, 1.0, drift, seed)[0] for i in range(n_int)]
        )
        window = np.hanning(series.size)
        density = density + np.abs(np.fft.rfft((series - series.mean()) * window)) ** 2
    density = density * 2.0 * TICK / (window**2).sum() / 8
    frequency = np.fft.rfftfreq(series.size, TICK)
    corner = 0.5 / clock.integration_interval
    edges = np.array([0.01, 0.03, 0.1, 0.3, 3.0, 10.0, 30.0]) * corner
    level = [
        (density * frequency)[(frequency > a) & (frequency < b)].mean()
        for a, b in itertools.pairwise(edges)
    ]
    # the two parts meet near the corner, where straight lines between knots damp the slow one
    np.testing.assert_allclose(np.delete(level, 3), 1.0, rtol=0.2)
    assert 0.6 < level[3] < 1.4


@pytest.mark.parametrize("lag", [1, 10, 44, 22616])
def test_one_over_f_differs_between_two_reads_as_its_density_says(lag):
    # the variance of a difference is the integral of 2 A^2 / f (1 - cos(2 pi f lag))
    n = 3 * 22616
    noise = pink_sequence(60, n, TICK, 1.0, np.random.default_rng(1)).astype(float)
    frequency = np.arange(1, n + 1) / (2 * n * TICK)
    integrand = 2.0 * (1.0 - np.cos(2.0 * np.pi * frequency * lag * TICK)) / frequency
    expected = integrand.sum() / (2 * n * TICK)
    # the slowest modes count few periods: 1% at one tick, 3% at one frame
    assert (noise[:, lag:] - noise[:, :-lag]).var() == pytest.approx(expected, rel=0.05)


def test_lines_of_the_prism_carry_most_of_the_difference():
    readout = exposure("nirspec-prism").setup.readout
    rng = np.random.default_rng(2)
    frames = pink_sequence(60, 3 * readout.frame_clocks, TICK, 1.0, rng).reshape(60, 3, -1)
    difference = (frames[:, 2] - frames[:, 1])[:, readout.ticks]
    share = difference.mean(axis=1).std() / difference.std()
    # n ticks apart the difference has 2 A^2 (ln(pi n) + gamma), of which the 32 pixels of a
    # line hold 2 A^2 (ln(32 pi) + gamma - 3/2) about their mean; 3% for sums against integrals
    total = np.log(np.pi * readout.frame_clocks) + np.euler_gamma
    within = np.log(32 * np.pi) + np.euler_gamma - 1.5
    assert share == pytest.approx(np.sqrt(1.0 - within / total), rel=0.03)


def test_pedestal_and_reset_noise():
    each = exposure(
        "miri-lrs", seed=7, n_integrations=40, n_groups=4, noise=("pedestal",), brightness=1e-6
    )
    level = each.ramps()["ramp"].values
    for output in range(4):
        mine = level[:, :, :, output::4]
        assert np.ptp(mine, axis=(2, 3)).max() < 0.05  # one level for all pixels of an output
    # 640 levels: 3% error of their standard deviation
    assert level[:, :, 0, :4].std() == pytest.approx(each.setup.electronics.pedestal, rel=0.12)
    reset = exposure(
        "miri-lrs", seed=7, n_integrations=6, n_groups=3, noise=("ktc",), brightness=1e-6
    )
    ramp = reset.ramps()["ramp"].values
    assert np.ptp(ramp, axis=1).max() < 0.05  # the same in all groups
    assert ramp[:, 0].std() == pytest.approx(reset.setup.electronics.reset, rel=0.01)


@pytest.mark.parametrize("mode", MODES)
def test_linearity_reference_is_the_exact_inverse(mode):
    bent = exposure(mode, n_integrations=1, noise=("nonlinearity",), radius_ratio=0.0)
    straight = exposure(mode, n_integrations=1, noise=(), radius_ratio=0.0)
    measured, linear = (e.ramps()["ramp"].values[0].astype(float) for e in (bent, straight))
    # the response is bent by per cents; float32 holds 24 bits, 6e-8
    assert np.max(linear[-1] / np.maximum(measured[-1], 1.0)) > 1.03
    np.testing.assert_allclose(
        apply_linearity(measured, bent.maps.linearity), linear, rtol=3e-7, atol=1e-3
    )


def test_hits_add_their_charge_from_their_group_on():
    quiet = {"n_integrations": 6, "noise": (), "seed": 8, "radius_ratio": 0.0, "brightness": 0.1}
    hit, plain = exposure("nirspec-prism", n_hits=7, **quiet), exposure("nirspec-prism", **quiet)
    extra = hit.ramps()["ramp"] - plain.ramps()["ramp"]
    step = extra.diff("group").values
    mask = hit.hit_mask().values
    assert np.unique(hit.hits.event).size == 7
    assert not mask[:, 0].any()  # a fixed number of hits can all be found
    # deposits below one electron are dropped from the list and from the data
    np.testing.assert_array_equal(np.abs(step) > 0.3, mask[:, 1:])
    freed = step[mask[:, 1:]].sum() * hit.setup.constants.gain
    assert freed == pytest.approx(hit.hits.charge.sum(), rel=1e-3)


@pytest.mark.parametrize(("mode", "per_second"), [("nirspec-prism", 0.26), ("miri-lrs", 0.92)])
def test_hits_come_at_the_rate_of_the_solar_minimum(mode, per_second):
    each = exposure(mode, seed=9, n_integrations=1500)
    live = each.n_integrations * each.n_groups * each.clock.frame_time
    expected = per_second * live
    found = np.unique(each.hits.event).size
    # Poisson, and 1.5% of rounding in the published rates
    assert abs(found - expected) < 4 * np.sqrt(expected) + 0.015 * expected


def dense_variance(signal, read, n_groups):
    covariance = signal * np.eye(n_groups - 1)
    covariance += read**2 * (
        2 * np.eye(n_groups - 1) - np.eye(n_groups - 1, k=1) - np.eye(n_groups - 1, k=-1)
    )
    weights = np.linalg.solve(covariance, np.ones(n_groups - 1))
    weights /= weights.sum()
    return signal * weights @ weights, weights @ covariance @ weights


@pytest.mark.parametrize("n_groups", [2, 3, 5, 12])
@pytest.mark.parametrize("signal", [0.1, 30.0, 1e4])
def test_slope_variance_is_that_of_the_dense_solution(n_groups, signal):
    interval = 0.3
    photon, read = slope_variance(np.array(signal / interval), np.array(9.0), interval, n_groups)
    expected = dense_variance(signal, 9.0, n_groups)
    assert photon * interval**2 == pytest.approx(expected[0], rel=1e-10)
    assert (photon + read) * interval**2 == pytest.approx(expected[1], rel=1e-10)
