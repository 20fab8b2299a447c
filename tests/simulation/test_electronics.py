"""What the electronics add, each ingredient alone, on the clock of the exposure."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tsoxr import modes
from tsoxr.simulation import exposure
from tsoxr.simulation.after_reset import ANOMALY, EVEN_ROWS, FIRST_INTEGRATION, artifact_row
from tsoxr.simulation.clock import TICK, Clock, nir_readout
from tsoxr.simulation.electronics import TERMS, Electronics
from tsoxr.simulation.instruments import Choice
from tsoxr.simulation.interference import SLOW
from tsoxr.simulation.sampling import first_tick
from tsoxr.simulation.setups import setup
from tsoxr.simulation.setups.nirspec import ELECTRONICS

MODES = ("nirspec-prism", "miri-lrs")
STRIPE = nir_readout(("x", 256, -1), ("y", 24, 1), 4)
"""A small stripe like those of NIRCam: four blocks of 64 columns, read in turns."""


def hand_made(readout, noise, *, n_integrations=4, n_groups=3, pattern=(1, 0), seed=1, **levels):
    """What `Electronics` needs of an exposure, of any read-out."""
    fast_is_x = readout.fast_dim == "x"
    n_fast, n_slow = readout.n_fast, readout.n_slow
    mode = SimpleNamespace(
        readout=readout,
        electronics=replace(ELECTRONICS, **levels),
        mode="nircam-grism",
        detector="NRCALONG",
        subarray="SUBGRISM64",
        shape=(n_slow, n_fast) if fast_is_x else (n_fast, n_slow),
        constants=modes.detector("NRCALONG"),
    )
    clock = Clock(readout, n_integrations, n_groups, 60200.0, *pattern)
    return SimpleNamespace(setup=mode, clock=clock, seed=seed, sources=frozenset(noise))


def reads(each, index):
    return np.stack(list(Electronics(each).frames(index)))


def time_of_reads(each, index):
    """Ticks since the exposure's start, (read, y, x), from the clock and not from the noise."""
    clock = each.clock
    start = np.round(index * clock.integration_interval / TICK)
    frames = np.round(clock.read_time / TICK)
    return start + frames[:, None, None] + each.setup.readout.ticks


# ---------------------------------------------------------------------- all ingredients


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", TERMS)
def test_an_integration_is_the_same_alone_and_in_sequence(mode, name):
    each = exposure(mode, seed=2, n_integrations=7, n_groups=3, noise=(name,))
    electronics = Electronics(each)
    in_sequence = [electronics.groups(i) for i in range(7)]
    np.testing.assert_array_equal(Electronics(each).groups(5), in_sequence[5])
    np.testing.assert_array_equal(electronics.groups(5), in_sequence[5])
    assert in_sequence[5].dtype == np.float32
    if electronics and name != "reset_artifact":  # which is not in the subarray yet
        other = exposure(mode, seed=3, n_integrations=7, n_groups=3, noise=(name,))
        random = name != "reset_anomaly"
        assert random != np.array_equal(Electronics(other).groups(5), in_sequence[5])


@pytest.mark.parametrize("mode", MODES)
def test_one_ingredient_leaves_the_others_as_they_were(mode):
    names = tuple(TERMS)
    together = reads(exposure(mode, seed=4, n_integrations=2, n_groups=3, noise=names), 1)
    alone = [
        reads(exposure(mode, seed=4, n_integrations=2, n_groups=3, noise=(name,)), 1)
        for name in names
        if Electronics(exposure(mode, noise=(name,)))
    ]
    # sums of six float32 of up to 100 DN, in another order
    np.testing.assert_allclose(together, np.sum(alone, axis=0), atol=5e-5)


def test_which_instrument_has_what():
    def on(mode):
        return {k for k in TERMS if Electronics(exposure(mode, noise=(k,)))}

    usual = {"pedestal", "one_over_f", "odd_even"}
    assert on("nirspec-prism") == usual | {"reset_artifact"}
    assert on("miri-lrs") == usual | {"emi", "reset_anomaly"}
    assert not Electronics(exposure("miri-lrs", noise="none"))


@pytest.mark.parametrize("pattern", [(1, 0), (4, 1), (2, 3)])
def test_groups_are_the_mean_of_their_frames(pattern):
    each = hand_made(STRIPE, ("one_over_f", "pedestal", "odd_even"), pattern=pattern)
    frames = reads(each, 2)
    assert frames.shape[0] == 3 * pattern[0]
    mean = frames.reshape(3, pattern[0], *frames.shape[1:]).mean(axis=1)
    np.testing.assert_allclose(Electronics(each).groups(2), mean, atol=1e-5)


# ---------------------------------------------------------------------- 1/f noise


@pytest.mark.parametrize("pattern", [(1, 0), (4, 1)])
def test_each_pixel_has_the_noise_of_its_tick(pattern):
    each = hand_made(STRIPE, ("one_over_f",), pattern=pattern, one_over_f_common=1.0)
    electronics = Electronics(each)
    ticks, values = [], []
    for index in range(4):
        ticks.append(time_of_reads(each, index).ravel())
        values.append(np.stack(list(electronics.frames(index))).ravel())
    ticks, values = np.concatenate(ticks), np.concatenate(values)
    # all outputs share this noise: four pixels at each tick, with one value
    order = np.lexsort((values, ticks))
    ticks, values = ticks[order].reshape(-1, 4), values[order].reshape(-1, 4)
    assert np.all(ticks == ticks[:, :1])
    assert np.all(values == values[:, :1])
    # and the values form one sequence: neighbours in time differ as 1/f noise does
    scale2 = ELECTRONICS.one_over_f**2 / (
        np.log(np.pi * STRIPE.frame_clocks) + np.euler_gamma - 1.5
    )
    beside = np.diff(values[:, 0])[np.diff(ticks[:, 0]) == 1]
    # one tick apart: 2 A^2 (ln(pi) + gamma - Ci(pi)), Ci(pi) = 0.0737; thousands of pairs
    expected = 2.0 * scale2 * (np.log(np.pi) + np.euler_gamma - 0.0737)
    assert beside.var() == pytest.approx(expected, rel=5.0 * np.sqrt(2.0 / beside.size) + 0.01)


def test_one_over_f_runs_on_from_integration_to_integration():
    readout = nir_readout(("y", 8, 1), ("x", 8, 1), 1)
    within, across = [], []
    for seed in range(300):
        each = hand_made(readout, ("one_over_f",), n_integrations=2, n_groups=4, seed=seed)
        electronics = Electronics(each)
        first, second = electronics.groups(0), electronics.groups(1)
        within.append((first[2] - first[0]).mean())  # two frames apart
        across.append((second[0] - first[3]).mean())  # two frames as well, the reset between
    # 300 Gaussian values each: 4% error of a standard deviation
    assert np.std(across) == pytest.approx(np.std(within), rel=0.2)


@pytest.mark.parametrize("common", [0.0, 0.6, 0.9])
def test_outputs_correlate_by_the_share_they_have_in_common(common):
    each = hand_made(
        STRIPE, ("one_over_f",), n_integrations=40, n_groups=3, one_over_f_common=common
    )
    electronics, width = Electronics(each), 64
    blocks = []
    for index in range(40):
        frames = np.stack(list(electronics.frames(index)))
        parts = np.split(frames, 4, axis=2)
        # fast reading goes to falling x, and the second and fourth block read backwards
        parts = [part[..., :: (-1) ** n] for n, part in enumerate(parts)]
        blocks.append(np.stack(parts, axis=-1))
    # differences along a line have no slow waves: 120 frames x 24 lines x 63 of them
    step = np.diff(np.concatenate(blocks), axis=2).reshape(-1, 4).astype(float)
    assert step.shape[0] == 120 * 24 * (width - 1)
    matrix = np.corrcoef(step.T)
    away = matrix[~np.eye(4, dtype=bool)]
    np.testing.assert_allclose(away, common, atol=5.0 / np.sqrt(step.shape[0] / 2))
    # what is common does not raise the noise of an output
    scale2 = ELECTRONICS.one_over_f**2 / (
        np.log(np.pi * STRIPE.frame_clocks) + np.euler_gamma - 1.5
    )
    expected = 2.0 * scale2 * (np.log(np.pi) + np.euler_gamma - 0.0737)
    assert step.var() == pytest.approx(expected, rel=0.02)


def test_a_share_above_one_is_refused():
    with pytest.raises(ValueError, match=r"simulate: levels.*one_over_f_common.*at most 1"):
        exposure("nirspec-prism", levels={"one_over_f_common": 1.2})


# ---------------------------------------------------------------------- odd and even columns


def parities(each, frames):
    """Even and odd lines or columns, as the halves of the outputs read them."""
    readout = each.setup.readout
    dim = readout.slow_dim if readout.interleaved else readout.fast_dim
    axis = 1 if dim == "y" else 2
    even, odd = (np.take(frames, range(k, frames.shape[axis], 2), axis=axis) for k in (0, 1))
    return even, odd


def test_odd_and_even_columns_have_noise_of_their_own():
    each = exposure(
        "nirspec-prism",
        seed=6,
        n_integrations=40,
        noise=("odd_even",),
        levels={"odd_even_offset": 0.0},
    )
    electronics = Electronics(each)
    frames = np.concatenate([np.stack(list(electronics.frames(i))) for i in range(40)])
    even, odd = (part.astype(float) for part in parities(each, frames))
    level = each.setup.electronics.odd_even
    for part in (even, odd):
        variance = part.var(axis=(1, 2))
        # 200 frames, whose slow waves scatter their variance by a quarter each
        error = variance.std() / np.sqrt(variance.size)
        assert variance.mean() == pytest.approx(level**2, abs=4.0 * error + 0.01 * level**2)
    difference = (even - odd) - (even - odd).mean(axis=(1, 2), keepdims=True)
    assert difference.std() == pytest.approx(np.sqrt(2.0) * level, rel=0.05)
    step = np.diff(even, axis=1).ravel(), np.diff(odd, axis=1).ravel()
    assert np.corrcoef(*step)[0, 1] == pytest.approx(0.0, abs=5.0 / np.sqrt(step[0].size))


@pytest.mark.parametrize("mode", MODES)
def test_odd_and_even_columns_differ_by_a_constant(mode):
    differences = []
    made = exposure(mode, n_integrations=1, n_groups=2, levels={"odd_even": 0.0})
    for seed in range(120):
        each = SimpleNamespace(
            setup=made.setup, clock=made.clock, seed=seed, sources=frozenset({"odd_even"})
        )
        frames = reads(each, 0)
        assert np.array_equal(frames[0], frames[1])
        even, odd = parities(each, frames)
        assert np.array_equal(even, -odd)
        n_outputs = 1 if mode == "nirspec-prism" else 4
        differences.extend((even - odd)[0, 0, :n_outputs])
    # 120 or 480 values
    error = 1.0 / np.sqrt(2.0 * len(differences))
    level = each.setup.electronics.odd_even_offset
    assert np.std(differences) == pytest.approx(level, rel=4.0 * error)


# ---------------------------------------------------------------------- after the reset


def test_reset_artifact_moves_down_a_row_each_integration_and_ends():
    last = 68
    each = exposure("nirspec-prism", n_integrations=75, noise=("reset_artifact",))
    electronics, level = Electronics(each), each.setup.electronics.reset_artifact
    first = np.stack([electronics.groups(i)[0] for i in range(75)])
    assert np.ptp(first, axis=2).max() == 0.0  # the same along the row
    peak = np.where(first.max(axis=(1, 2)) == np.float32(level), first[..., 0].argmax(axis=1), -1)
    inside = np.flatnonzero(peak >= 0)
    # enters the 32 rows from above, so that it has row 1 in integration 68
    np.testing.assert_array_equal(inside, np.arange(last - 31, last))
    np.testing.assert_array_equal(peak[inside], last - inside)
    assert not first[last:].any()
    ramp = electronics.groups(50)[:, last - 50, 0]
    steps = ramp[1:] / ramp[:-1]
    np.testing.assert_allclose(steps, steps[0], rtol=1e-5)
    assert steps[0] < 1.0


def row_of(mode, index, **choice):
    return artifact_row(SimpleNamespace(setup=setup(mode, Choice(**choice))), index)


def test_reset_artifact_of_the_strips():
    for n in (1, 2, 100, 256):  # integrations from 1: rows 256 - n to 258 - n are masked
        assert row_of("niriss-soss", n - 1) == 257 - n
    assert row_of("niriss-soss", 256) is None
    for mode, long, short in [
        ("niriss-soss", "SUBSTRIP256", "SUBSTRIP96"),
        ("nirspec-prism", "SUB512", "SUB512S"),
    ]:
        rows = [row_of(mode, 40, subarray=name) for name in (long, short)]
        first = [setup(mode, Choice(subarray=name)).origin[1] for name in (long, short)]
        assert rows[0] + first[0] == rows[1] + first[1]  # the same row of the detector


@pytest.mark.parametrize(
    ("mode", "detector", "last"),
    [
        ("nirspec-prism", "NRS1", 68),
        ("nirspec-g395h", "NRS1", 62),
        ("nirspec-g395h", "NRS2", 58),
        ("nirspec-g395m", "NRS1", 81),
    ],
)
def test_reset_artifact_of_nirspec_ends_when_stated(mode, detector, last):
    assert row_of(mode, last - 1, detector=detector) == 1
    assert row_of(mode, last, detector=detector) is None
    if detector == "NRS1":  # all set out from the middle of the detector, 1024, to 3 rows
        start = row_of(mode, 0, detector=detector) + setup(mode, Choice()).origin[1]
        assert abs(start - 1024) <= 3


def test_no_reset_artifact_elsewhere():
    assert row_of("miri-lrs", 0) is None
    assert row_of("nircam-grism", 0) is None


def test_reset_anomaly_of_miri():
    each = exposure("miri-lrs", n_integrations=3, n_groups=12, noise=("reset_anomaly",))
    electronics, levels = Electronics(each), each.setup.electronics
    first, later = electronics.groups(0), electronics.groups(2)
    np.testing.assert_array_equal(later, electronics.groups(1))
    assert np.ptp(first, axis=2).max() == 0.0
    even, odd = first[:, 0, 0], first[:, 1, 0]
    frame = np.arange(12)
    decay = sum(share * np.exp(-frame / memory) for share, memory in ANOMALY)
    expected = FIRST_INTEGRATION * levels.reset_anomaly * decay + levels.first_frame * (frame == 0)
    np.testing.assert_allclose(odd, expected - levels.last_frame * (frame == 11), rtol=1e-5)
    ratio = (even[1:-1] / odd[1:-1]).astype(float)
    np.testing.assert_allclose(ratio, EVEN_ROWS, rtol=1e-5)
    np.testing.assert_allclose(first[1:-1] / later[1:-1], FIRST_INTEGRATION, rtol=1e-5)
    # next to nothing after fifteen frames
    assert sum(share * np.exp(-15 / memory) for share, memory in ANOMALY) < 0.02


# ---------------------------------------------------------------------- interference


def waves(ticks, frequencies):
    """Sine and cosine of each frequency at given ticks, (sample, 2 x frequency)."""
    angle = 2.0 * np.pi * np.multiply.outer(ticks * TICK, frequencies)
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def test_interference_is_three_harmonics_and_a_slow_wave_that_run_on():
    each = exposure("miri-lrs", seed=8, n_integrations=400, n_groups=3, noise=("emi",))
    electronics, levels = Electronics(each), each.setup.electronics
    ticks, values = [], []
    for index in (0, 1, 57, 399):
        ticks.append(time_of_reads(each, index)[:, ::3, ::5].ravel())
        frames = np.stack(list(electronics.frames(index)))
        values.append(frames[:, ::3, ::5].ravel())
    ticks, values = np.concatenate(ticks), np.concatenate(values).astype(float)
    frequencies = np.array([390.625, 781.25, 1171.875, SLOW])
    design = waves(ticks, frequencies)
    found, *_ = np.linalg.lstsq(design, values, rcond=None)
    # one phase for 400 integrations; float32 of 5 DN
    assert np.abs(values - design @ found).max() < 2e-6
    amplitude = np.hypot(found[:4], found[4:])
    np.testing.assert_allclose(
        amplitude, [levels.emi, 0.2 * levels.emi, 0.06 * levels.emi, levels.emi_slow], rtol=1e-5
    )


def test_interference_has_power_at_its_frequencies_only():
    each = exposure(
        "miri-lrs", seed=9, n_integrations=2, n_groups=8, noise=("emi",), levels={"emi_slow": 0.0}
    )
    signal = reads(each, 1)
    ticks = time_of_reads(each, 1)
    folded = np.full(256, np.nan)
    phase = (ticks % 256).astype(int)
    for p in np.unique(phase):
        at = signal[phase == p]
        assert np.ptp(at) == 0.0  # the period is 256 ticks, whatever frame and row
        folded[p] = at[0]
    assert np.isfinite(folded).all()
    power = np.abs(np.fft.rfft(folded)) ** 2
    assert power[4:].max() < 1e-9 * power[1]
    assert np.all(power[1:4] > 1e-3 * power[1])


# ---------------------------------------------------------------------- reference output


def test_reference_output_reads_with_the_pixels():
    noise = ("emi", "one_over_f", "pedestal", "read", "bias")
    each = exposure("miri-lrs", seed=10, n_integrations=3, n_groups=4, noise=noise)
    out = Electronics(each).reference_output(1)
    assert out.shape == (4, 416, 18)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, Electronics(each).reference_output(1))
    assert out.mean() == pytest.approx(each.setup.electronics.bias, abs=10.0)
    tone = each.replace(noise=("emi",))
    # the same tick, the same interference as in each of the four columns read with it
    np.testing.assert_array_equal(
        Electronics(tone).reference_output(1), Electronics(tone).groups(1)[:, :, 2::4]
    )
    white = each.replace(noise=("read",))
    sample = Electronics(white).reference_output(1)
    # 30000 values
    assert sample.std() == pytest.approx(0.8 * each.setup.constants.read_noise, rel=0.02)


def test_reference_output_shares_the_common_noise():
    levels = {"one_over_f_common": 1.0}
    each = exposure("miri-lrs", seed=11, n_groups=3, noise=("one_over_f",), levels=levels)
    electronics = Electronics(each)
    np.testing.assert_array_equal(
        electronics.reference_output(4), electronics.groups(4)[:, :, 1::4]
    )
    own = Electronics(each.replace(levels={"one_over_f_common": 0.0}))
    step = [np.diff(a, axis=2).ravel() for a in (own.reference_output(4), own.groups(4)[:, :, ::4])]
    assert np.corrcoef(*step)[0, 1] == pytest.approx(0.0, abs=5.0 / np.sqrt(step[0].size))


def test_first_tick_agrees_with_the_clock():
    each = hand_made(STRIPE, (), pattern=(4, 1))
    seconds = each.clock.integration_interval * 3 + each.clock.read_time[5]
    assert first_tick(each.clock, 3, int(each.clock.read_frame[5])) == round(seconds / TICK)
