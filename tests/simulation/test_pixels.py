"""What pixels do to their charge follows from what is said about them."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.ndimage import convolve

from tsoxr import dq
from tsoxr.simulation import exposure
from tsoxr.simulation.detector import apply_linearity
from tsoxr.simulation.electronics import Electronics
from tsoxr.simulation.neighbours import couple, migrate, spill
from tsoxr.simulation.pixels import DWELL, Pixels, telegraph
from tsoxr.simulation.ramp import draw_integration
from tsoxr.simulation.setups import SETUPS
from tsoxr.simulation.telescope import Pose
from tsoxr.simulation.traps import DRIFT_TIMES, MOST_BEFORE, RELEASE_TIMES, settling

MODES = ("nirspec-prism", "miri-lrs")
OWN = ("response_drift", "ipc", "intrapixel", "charge_migration", "persistence", "telegraph")


def kernel(levels):
    side, corner = levels.ipc, levels.ipc_corner
    out = np.array([[corner, side, corner], [side, 0.0, side], [corner, side, corner]])
    out[1, 1] = 1.0 - out.sum()
    return out


def two_reads(mode, n, noise, **parameters):
    """Return the exposure and the charge between two reads, (time, y, x) electron."""
    each = exposure(
        mode, seed=2, n_integrations=n, n_groups=2, noise=noise, radius_ratio=0.0, **parameters
    )
    electronics = Electronics(each)
    out = np.empty((n, *each.setup.shape))
    for index in range(n):
        first, second = draw_integration(each, electronics, index)
        out[index] = second - first
    return each, out * each.setup.constants.gain


GAIN = {"nirspec-prism": 400, "miri-lrs": 60, "niriss-soss": 8}
"""Integrations that hold a relative standard error of the gain below 0.3%."""


@pytest.mark.parametrize("mode", [m for m in GAIN if m in SETUPS])
def test_variance_against_mean_gives_the_gain(mode):
    sky = ("background",) if mode == "miri-lrs" else ()
    each, charge = two_reads(mode, GAIN[mode], ("photon", *sky))
    gain = each.setup.constants.gain
    signal = charge / gain
    mean, variance = signal.mean(axis=0), signal.var(axis=0, ddof=1)
    lit = mean * gain > 5
    ratio = variance[lit] / mean[lit]
    # a Poisson variance of n values has the relative variance 2 / (n - 1) + 1 / (n mean)
    error = np.sqrt(2.0 / (GAIN[mode] - 1) + 1.0 / (GAIN[mode] * gain * mean[lit]))
    expected_error = np.sqrt((error**2).sum()) / lit.sum()
    assert expected_error < 0.003
    assert 1.0 / ratio.mean() == pytest.approx(gain, rel=0.01)
    assert ratio.mean() * gain == pytest.approx(1.0, abs=4 * expected_error)


@pytest.mark.parametrize("mode", MODES)
def test_coupled_pixels_have_less_variance(mode):
    sky = ("background",) if mode == "miri-lrs" else ()
    n = GAIN[mode]
    each, charge = two_reads(mode, n, ("photon", "ipc", *sky))
    mean = two_reads(mode, 1, sky)[1][0]
    weights = kernel(each.setup.electronics)
    lit = mean > 5
    lit[[0, -1]], lit[:, [0, -1]] = False, False  # pixels at the edge share with fewer
    lit &= convolve((~each.setup.science).astype(float), np.ones((3, 3)), mode="constant") == 0
    expected = convolve(mean, weights**2)
    ratio = charge.var(axis=0, ddof=1)[lit] / expected[lit]
    # neighbours correlate by a few per cent, which widens the error of the mean by as much
    error = np.sqrt((2.0 / (n - 1) + 1.0 / (n * mean[lit])).sum()) / lit.sum()
    assert ratio.mean() == pytest.approx(1.0, abs=4 * error)
    assert 1.0 - (weights**2).sum() > 5 * error  # the test would see that pixels are coupled
    np.testing.assert_allclose(
        charge.mean(axis=0)[lit].sum(), convolve(mean, weights)[lit].sum(), rtol=1e-3
    )


def test_interpixel_capacitance_shows_a_share_in_each_neighbour():
    charge = np.zeros((32, 40))
    charge[10, 10], charge[20, 0] = 1e4, 1e4
    seen = np.empty_like(charge)
    couple(charge, 0.006, 0.001, seen)
    expected = 1e4 * np.array([[1e-3, 6e-3, 1e-3], [6e-3, 0.972, 6e-3], [1e-3, 6e-3, 1e-3]])
    np.testing.assert_allclose(seen[9:12, 9:12], expected, rtol=1e-12)
    # beyond the edge lies as much as inside: of pixel and of diagonal neighbour
    assert seen[20, 0] == pytest.approx(1e4 * (1 - 3 * 0.006 - 4 * 0.001))
    assert seen[19, 0] == pytest.approx(1e4 * (0.006 + 0.001))
    assert seen.sum() == pytest.approx(charge.sum(), rel=1e-13)
    flat = np.full((32, 40), 500.0)
    couple(flat, 0.006, 0.001, seen)
    np.testing.assert_allclose(seen, flat, rtol=1e-15)


def test_reference_pixels_do_not_take_part():
    each = exposure("miri-lrs", noise=("ipc", "charge_migration"))
    pixels, border = Pixels(each, 0), each.setup.border[0]
    held = np.zeros(each.setup.shape)
    held[50:60, :border] = 1e5
    np.testing.assert_array_equal(pixels.seen(held, 0), held)
    collected = pixels.arriving(np.ones_like(held), held, 0)
    np.testing.assert_array_equal(collected, np.ones_like(held))
    held[50:60, border] = 2.0 * each.maps.well.max()
    pixels.hit(held, each.rays.of(0), 0)
    np.testing.assert_array_equal(held[50:60, :border], 1e5)
    assert (held[50:60, border + 1] > 0).all()


def test_charge_migrates_to_emptier_neighbours():
    rng = np.random.default_rng(1)
    arriving, held, out = rng.uniform(0, 1e3, (32, 40)), np.zeros((32, 40)), np.empty((32, 40))
    held[10, 10] = 5e4
    migrate(arriving, held, 3e-7, out)
    moved = 3e-7 * 5e4 * arriving[10, 10]
    assert out[10, 10] == pytest.approx(arriving[10, 10] - 4 * moved, rel=1e-12)
    for y, x in ((9, 10), (11, 10), (10, 9), (10, 11)):
        assert out[y, x] == pytest.approx(arriving[y, x] + moved, rel=1e-12)
    held = rng.uniform(0, 1e7, held.shape)  # more contrast than there can be
    migrate(arriving, held, 3e-7, out)
    assert out.sum() == pytest.approx(arriving.sum(), rel=1e-12)
    assert out.min() >= 0
    migrate(arriving, np.full_like(held, 5e4), 3e-7, out)
    np.testing.assert_array_equal(out, arriving)


def test_profile_widens_along_the_ramp():
    same = {"n_integrations": 1, "n_groups": 8, "brightness": 0.6, "radius_ratio": 0.0}
    given = {**same, "levels": {"migration": 3e-7}}
    wide, plain = (
        exposure("nirspec-prism", noise=n, **given).ramps()["ramp"].values[0].astype(float)
        for n in (("charge_migration",), ())
    )
    # sums of 1e4 float32
    np.testing.assert_allclose(wide.sum(axis=(1, 2)), plain.sum(axis=(1, 2)), rtol=1e-7)
    y, x = np.unravel_index(plain[-1].argmax(), plain[-1].shape)
    ratio = np.diff(wide[:, y, x]) / np.diff(plain[:, y, x])
    gain = exposure("nirspec-prism", **same).setup.constants.gain
    # contrast grows in proportion to time; pixels exchange charge at the middle of the change
    contrast = sum(plain[:-1, y, x] - plain[:-1, y + j, x + i] for j, i in ((0, 1), (1, 0)))
    contrast += sum(plain[:-1, y, x] - plain[:-1, y + j, x + i] for j, i in ((0, -1), (-1, 0)))
    np.testing.assert_allclose(1.0 - ratio, 3e-7 * gain * contrast, rtol=0.1)
    assert (np.diff(ratio) < 0).all()
    assert ratio[-1] < 0.99


def test_full_pixels_spill_into_their_neighbours():
    held, well = np.zeros((32, 40)), np.full((32, 40), 1e4)
    held[10, 10], held[0, 0] = 3e4, 1.1e4
    before = held.sum()
    spill(held, well)
    assert held.sum() == pytest.approx(before, rel=1e-13)
    assert held[10, 10] == pytest.approx(1e4)
    assert held[9, 10] == pytest.approx(5e3)
    assert held[0, 1] == pytest.approx(held[1, 0])
    assert held[0, 1] > 400  # 250 at first, and of what stayed in the corner half each time


@pytest.mark.parametrize(
    ("mode", "source", "times", "shares"),
    [
        ("miri-lrs", "response_drift", DRIFT_TIMES, {"drift_fast": 8e-3, "drift_slow": 3e-3}),
        ("nirspec-prism", "persistence", RELEASE_TIMES, {"trap_fast": 5e-3, "trap_slow": 2e-3}),
    ],
)
def test_light_curves_settle_as_the_analytic_curve(mode, source, times, shares):
    same = {"n_integrations": 30, "radius_ratio": 0.0}
    each = exposure(mode, noise=(source,), levels=shares, **same)
    clock = each.clock

    def curve(t):
        return 1.0 - sum(
            a * np.exp(-t / tau) for a, tau in zip(shares.values(), times, strict=True)
        )

    for index in (0, 29):
        found = settling(clock, index, tuple(shares.values()), times)
        end = clock.integration_start[index] + clock.read_time
        expected = [quad(curve, e - d, e)[0] / d for e, d in zip(end, clock.interval, strict=True)]
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    settled = exposure(mode, noise=(), **same).ramps()["ramp"].values.astype(float)
    ramp = each.ramps()["ramp"].values.astype(float)
    white = [(r[:, -1] - r[:, 0]).sum(axis=(1, 2)) for r in (ramp, settled)]
    middle = clock.integration_start + 0.5 * (clock.read_time[0] + clock.read_time[-1])
    # an integration lasts a hundredth of the shorter time: its curvature is below 1e-7;
    # float32 of 1e4 DN in hundreds of pixels
    np.testing.assert_allclose(white[0] / white[1], curve(middle), atol=3e-7)


@pytest.mark.parametrize(("kind", "time"), [("fast", RELEASE_TIMES[0]), ("slow", RELEASE_TIMES[1])])
def test_pixels_glow_after_a_hit(kind, time):
    levels = {"trap_fast": 0.0, "trap_slow": 0.0, f"trap_{kind}": 0.02, "hit_charge": 2e4}
    each = exposure(
        "nirspec-prism", seed=6, n_integrations=20, n_groups=40, n_hits=1, brightness=1e-9,
        radius_ratio=0.0, noise=("persistence",), levels=levels,
    )  # fmt: skip
    hits, clock = each.hits, each.clock
    first = int(hits.integration[0])
    assert first < 12  # the seed leaves enough integrations after it
    top = hits.charge.argmax()
    y, x = hits.y[top], hits.x[top]
    ramp = each.ramps()["ramp"].values[:, :, y, x].astype(float) * each.setup.constants.gain
    freed = clock.integration_start[first] + clock.read_time[hits.read[top]]
    read = clock.integration_start[:, None] + clock.read_time - freed
    released = 0.02 * hits.charge[top] * np.exp(-read / time)
    after = np.s_[first + 1 :]
    glow = ramp[after, -1] - ramp[after, 0]
    np.testing.assert_allclose(glow, (released[:, 0] - released[:, -1])[after], rtol=1e-5)
    decay = np.polyfit(clock.integration_start[after], np.log(glow), 1)[0]
    assert -1.0 / decay == pytest.approx(time, rel=1e-4)
    within = ramp[first, -1] - ramp[first, hits.read[top]]
    expected = released[first, hits.read[top]] - released[first, -1]
    assert within == pytest.approx(expected, abs=0.01)  # float32 of 2e4 electron
    # nothing before, apart from the star that is left on
    np.testing.assert_allclose(ramp[:first], 0.0, atol=1e-3)


def test_glow_looks_back_a_bounded_time(monkeypatch):
    each = exposure("nirspec-prism", seed=1, n_integrations=300, noise=("persistence", "hits"))
    asked = []
    of = each.rays.of
    monkeypatch.setattr(each.rays, "of", lambda i: asked.append(i) or of(i))
    draw_integration(each, Electronics(each), 250)
    assert sorted(set(asked)) == list(range(250 - MOST_BEFORE, 251))


def test_telegraph_pixels_jump_between_two_levels():
    same = {"seed": 5, "n_integrations": 60, "n_groups": 6, "brightness": 1e-9, "radius_ratio": 0.0}
    each = exposure("nirspec-prism", noise=("telegraph",), **same)
    maps = each.maps
    n = np.count_nonzero(maps.telegraph)
    expected = each.setup.electronics.telegraph_fraction * maps.telegraph.size
    assert abs(n - expected) < 4 * np.sqrt(expected)
    flagged = dq.has_flag(maps.dq, "TELEGRAPH")
    np.testing.assert_array_equal(flagged, maps.telegraph > 0)
    assert not dq.has_flag(maps.dq, "DO_NOT_USE").any()
    ramp = each.ramps()["ramp"].values
    assert np.abs(ramp[:, :, ~flagged]).max() < 1e-3
    level = ramp[:, :, flagged] / maps.telegraph[flagged]
    assert np.minimum(np.abs(level), np.abs(level - 1)).max() < 1e-3
    up = level[:, 0] > 0.5
    # each integration begins at either level
    assert abs(up.mean() - 0.5) < 4 * 0.5 / np.sqrt(up.size)


def test_telegraph_pixels_jump_as_often_as_their_dwell_times_say():
    clock = exposure("miri-lrs", n_integrations=1, n_groups=40, brightness=0.1).clock
    up = telegraph(clock, 60_000, 1, 0)
    jumps = (up[1:] != up[:-1]).mean()
    dt, (short, long) = clock.interval[1], DWELL

    def odd(log_dwell):
        return 0.5 * -np.expm1(-2.0 * dt / np.exp(log_dwell)) / np.log(long / short)

    expected = quad(odd, np.log(short), np.log(long))[0]
    # 60,000 dwell times, of which the shorter ones jump: a scatter of 1.5 of the mean
    assert jumps == pytest.approx(expected, rel=4 * 1.6 / np.sqrt(60_000))
    assert up[0].mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(60_000))


def test_response_within_a_pixel_has_mean_one_and_falls_to_the_edges():
    depth = 0.2
    on = exposure("nirspec-prism", noise=("intrapixel",), levels={"intrapixel": depth})
    off = exposure("nirspec-prism", noise=())
    light, plain = on.scene.components[0], off.scene.components[0]
    np.testing.assert_array_equal(light.spectrum, plain.spectrum)
    parts = light._response
    assert parts.mean() == pytest.approx(1.0, abs=1e-14)
    assert parts.max() == parts[parts.size // 2]
    np.testing.assert_allclose(parts, parts[::-1])

    def total(component, across):
        frame = np.zeros(on.setup.shape)
        n = component.wavelength.size
        component.paint(frame, np.ones(n), np.zeros(n), Pose(across=across))
        return frame.sum(axis=0)[component.pixel]

    # at rest each wavelength has the light that the truth says, whatever the response
    np.testing.assert_allclose(total(light, 0.0), light.spectrum, rtol=1e-12)
    np.testing.assert_allclose(total(plain, 0.25), plain.spectrum, rtol=1e-4)

    def collected(center, width):
        # the first harmonic of the parabola, damped by the core of the profile
        wave = 4.0 * depth / np.pi**2 * np.cos(2.0 * np.pi * center)
        return 1.0 + 0.96 * wave * np.exp(-2.0 * (np.pi * width) ** 2)

    ratio = total(light, 0.25) / total(light, 0.0)
    expected = collected(light.center + 0.25, light.width) / collected(light.center, light.width)
    narrow = light.width < 0.65
    assert np.ptp(expected[narrow]) > 5e-5
    # five parts for a parabola leave 3% of its first harmonic
    np.testing.assert_allclose(ratio[narrow] - 1, expected[narrow] - 1, atol=6e-6, rtol=0.06)


@pytest.mark.parametrize("mode", MODES)
def test_an_integration_does_not_depend_on_those_before(mode):
    parameters = {"seed": 6, "n_integrations": 5, "n_groups": 3, "noise": "all"}
    levels = {"snowball_rate": 1e-5}
    ramp = exposure(mode, levels=levels, **parameters).ramps()["ramp"].values
    for index in (4, 2):
        alone = exposure(mode, levels=levels, **parameters)
        signal = draw_integration(alone, Electronics(alone), index)
        rounded = np.clip(np.rint(signal), 0, 65535).astype(np.uint16)
        np.testing.assert_array_equal(rounded, ramp[index])


@pytest.mark.parametrize("source", OWN)
def test_a_source_leaves_the_random_numbers_of_others_alone(source):
    same = {"seed": 7, "n_integrations": 2, "n_groups": 3, "radius_ratio": 0.0}
    others = ("read", "ktc", "hits", "pedestal", "jitter", "bad_pixels", "one_over_f")

    def ramp(*noise):
        return exposure("miri-lrs", noise=noise, **same).ramps()["ramp"].values.astype(float)

    quiet = {"hits", "jitter", "bad_pixels"}
    added = ramp(source, *others) - ramp(source, *quiet)
    # without photon noise, what is random is added: float32 of 5e4 DN
    np.testing.assert_allclose(added, ramp(*others) - ramp(*quiet), atol=0.02)
    with_it, without = (
        exposure("miri-lrs", noise=(*names, "hits"), **same).hits for names in ((source,), ())
    )
    np.testing.assert_array_equal(with_it.charge, without.charge)


def test_wells_in_electrons_agree_with_the_ceiling():
    maps = exposure("miri-lrs").maps
    linear = apply_linearity(maps.ceiling.astype(float), maps.linearity)
    np.testing.assert_allclose(maps.well, linear * maps.gain)
    assert (maps.well > maps.ceiling.astype(float) * maps.gain - 1).all()
