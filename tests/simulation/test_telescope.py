"""The motion has the sizes that are stated, and moves light without losing any."""

import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from tsoxr.simulation import AntennaMove, Telescope, Tilt, exposure
from tsoxr.simulation.telescope import AT_REST, Pose

STILL = Telescope(jitter_drift=0.0, jitter=0.0)


def long_exposure(**given):
    return exposure(
        "nirspec-prism", seed=3, n_integrations=4000, n_groups=5, noise=("jitter",), **given
    )


def test_white_jitter_has_its_rms():
    moved = long_exposure(telescope=Telescope(jitter_drift=0.0, jitter=2e-3)).motion
    for axis in (moved.across, moved.along):
        assert np.ptp(axis, axis=1).max() == 0.0
        # 4000 values: 1.1% of the rms, 5 sigma
        assert axis[:, 0].std() == pytest.approx(2e-3, rel=0.056)
        assert abs(np.corrcoef(axis[1:, 0], axis[:-1, 0])[0, 1]) < 5 / np.sqrt(4000)


def test_drift_has_its_rms_and_memory():
    moved = long_exposure(telescope=Telescope(jitter_drift=3e-3, jitter_memory=5.0, jitter=0.0))
    series = np.concatenate([moved.motion.across[:, 0], moved.motion.along[:, 0]])
    # 8000 values with a memory of 5 are 8000 / (2 x 5) independent squares: 2.5%, 5 sigma
    assert series.std() == pytest.approx(3e-3, rel=0.125)
    lagged = np.corrcoef(series[5:], series[:-5])[0, 1]
    assert lagged == pytest.approx(np.exp(-1), abs=0.12)


def test_read_jitter_is_new_in_each_read():
    moved = long_exposure(telescope=Telescope(jitter_drift=0.0, jitter=0.0, read_jitter=0.01))
    values = moved.motion.across
    # 20000 values: 0.5% of the rms, 5 sigma
    assert values.std() == pytest.approx(0.01, rel=0.025)
    assert values.std(axis=1).mean() == pytest.approx(0.01 * 0.84, rel=0.02)  # c4-like of 5 reads


def test_default_is_a_drift_of_3_and_white_jitter_of_1_millipixel():
    moved = long_exposure().motion
    step = np.diff(moved.across[:, 0])
    # both parts' steps: 2 (1 mpix)^2 and 2 (3 mpix)^2 (1 - exp(-1/20)), 4000 of them
    expected = np.sqrt(2 * 1e-6 + 2 * 9e-6 * (1 - np.exp(-1 / 20)))
    assert step.std() == pytest.approx(expected, rel=0.08)
    for name in ("roll", "focus"):
        assert not getattr(moved, name).any()
    np.testing.assert_array_equal(moved.throughput, 1.0)


def test_linear_drift_roll_and_breathing():
    own = Telescope(
        jitter_drift=0.0, jitter=0.0, drift_across=0.2, drift_along=-0.1, roll_drift=30.0,
        breathing=0.01, breathing_period=0.5,
    )  # fmt: skip
    each = long_exposure(telescope=own)
    clock = each.clock
    hours = (clock.integration_start[:, None] + clock.read_time - 0.5 * clock.interval) / 3600
    np.testing.assert_allclose(each.motion.across, 0.2 * hours, atol=1e-12)
    np.testing.assert_allclose(each.motion.along, -0.1 * hours, atol=1e-12)
    np.testing.assert_allclose(each.motion.roll, np.radians(30.0 / 3600) * hours, atol=1e-15)
    np.testing.assert_allclose(each.motion.focus, 0.01 * np.sin(4 * np.pi * hours), atol=1e-12)


def test_without_jitter_among_the_sources_nothing_moves():
    each = exposure("nirspec-prism", n_integrations=9, noise=(), telescope=Telescope(jitter=1.0))
    assert not each.motion.across.any()


def test_tilt_is_a_step_within_its_second():
    plain = exposure("nirspec-prism", n_integrations=30, noise=())
    tilt = Tilt(plain.moment(0.4), across=0.02, along=-0.01, focus=0.005, flux=-300.0, duration=1.2)
    moved = plain.replace(events=tilt).motion
    start = plain.clock.tdb(0.0)[:, None]
    end = start + plain.clock.read_time / 86400
    begin = end - plain.clock.interval / 86400
    before, after = end <= tilt.time, begin >= tilt.time + 1.2 / 86400
    for name, size in (("across", 0.02), ("along", -0.01), ("focus", 0.005)):
        series = getattr(moved, name)
        assert not series[before].any()
        np.testing.assert_allclose(series[after], size, rtol=1e-5)  # times are held to 1e-6 s
        assert (np.diff(series.ravel()) * np.sign(size) >= -1e-7 * abs(size)).all()
    np.testing.assert_allclose(moved.throughput[after], 1 - 3e-4, rtol=1e-9)
    between = ~before & ~after
    assert between.sum() in range(5, 9)  # reads of 0.23 s
    # the mean of the step over all reads is that of the ramp: area to a microsecond
    light = (moved.throughput - 1) * plain.clock.interval / 86400
    inside = np.clip(end - np.maximum(begin, tilt.time + 0.6 / 86400), 0, None)
    # reads follow each other but for the reset, which hides up to a frame of the ramp
    assert light.sum() == pytest.approx(-3e-4 * inside.sum(), rel=2e-3)


def test_tilt_shows_in_the_ramps():
    plain = exposure("nirspec-prism", n_integrations=20, radius_ratio=0.0, noise=())
    tilt = Tilt(plain.moment(0.5), across=0.05, flux=-400.0)
    ramp = plain.replace(events=(tilt,)).ramps()["ramp"]
    frame = (ramp[:, -1] - ramp[:, 0]).values.astype(float)
    light = frame.sum(axis=(1, 2))
    # wings beside the subarray change by less than 1e-6 for this shift
    assert light[-1] / light[0] - 1 == pytest.approx(-400e-6, abs=3e-6)
    column = frame[:, :, 300]
    y = [center_of_mass(c)[0] for c in (column[0], column[-1])]
    # the wide wings, cut by the subarray, move less
    assert y[1] - y[0] == pytest.approx(0.05, rel=0.02)


def test_antenna_move_shakes_and_leaves_a_step():
    plain = exposure("nirspec-prism", n_integrations=2000, seed=2, noise=())
    move = AntennaMove(
        plain.moment(0.3), duration=500.0, amplitude=0.02, across=0.004, along=-0.002
    )
    moved = plain.replace(events=(move,)).motion
    start = plain.clock.tdb(0.0)[:, None]
    time = start + (plain.clock.read_time - 0.5 * plain.clock.interval) / 86400
    late = (time - move.time) * 86400
    during, after = (late >= 0) & (late < 500.0), late >= 500.0
    assert not moved.across[late < 0].any()
    np.testing.assert_allclose(moved.across[after], 0.004)
    np.testing.assert_allclose(moved.along[after], -0.002)
    burst = moved.across[during] - 0.004 * late[during] / 500.0
    assert burst.size > 1500
    # 5 sigma of the rms of this many reads
    assert burst.std() == pytest.approx(0.02, rel=5 / np.sqrt(2 * burst.size))


def test_motion_does_not_depend_on_other_events():
    plain = exposure("nirspec-prism", n_integrations=50, seed=2)
    tilted = plain.replace(events=(Tilt(plain.moment(0.99), across=0.5),))
    np.testing.assert_array_equal(plain.motion.across[:40], tilted.motion.across[:40])
    np.testing.assert_array_equal(plain.motion.along, tilted.motion.along)


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
@pytest.mark.parametrize(
    "pose",
    [Pose(across=0.3), Pose(along=-0.4), Pose(0.1, 0.2, 1e-4, 0.02), Pose(throughput=0.9)],
)
def test_light_is_conserved(mode, pose):
    each = exposure(mode, noise=(), n_integrations=1)
    light = each.component
    one, none = np.ones(light.wavelength.size), np.zeros(light.wavelength.size)
    rest, moved = np.zeros(each.setup.shape), np.zeros(each.setup.shape)
    light.paint(rest, one, none, AT_REST)
    light.paint(moved, one, none, pose)
    # a few 1e-5 of the wings cross the edges of the subarray
    assert moved.sum() / rest.sum() == pytest.approx(pose.throughput, abs=1e-4)
    assert moved.min() >= 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"jitter": -1.0}, "Telescope has jitter=-1.0; it must be finite and not negative"),
        ({"drift_across": np.nan}, "Telescope has drift_across=nan; it must be finite"),
        ({"breathing_period": 0.0}, "breathing_period=0; it must be positive"),
    ],
)
def test_senseless_telescopes(given, message):
    with pytest.raises(ValueError, match=message):
        Telescope(**given)
