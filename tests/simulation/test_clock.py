"""Frame times and pixel delays against published numbers."""

import numpy as np
import pytest

from tsoxr.simulation import exposure
from tsoxr.simulation.clock import Clock, barycentric_delay, miri_readout, nir_readout

NEAR_INFRARED = [
    # n_fast, n_slow, outputs, frame time in s (JDox, flight programmes; see the names)
    ("SUB2048", 32, 2048, 1, 0.90200),
    ("SUB512", 32, 512, 1, 0.22616),
    ("SUB512S", 16, 512, 1, 0.14392),
    ("SUBSTRIP96", 96, 2048, 1, 2.21400),
    ("SUBSTRIP256", 256, 2048, 1, 5.49400),
    ("FULL", 2048, 2048, 4, 10.73677),
    ("SUBGRISM64", 2048, 64, 4, 0.34061),
    ("SUBGRISM256", 2048, 256, 4, 1.34669),
    ("SUBGRISM256, one output", 2048, 256, 1, 5.31480),
    ("SUB64P", 64, 64, 1, 0.05016),
]


@pytest.mark.parametrize(("name", "n_fast", "n_slow", "outputs", "seconds"), NEAR_INFRARED)
def test_near_infrared_frame_times(name, n_fast, n_slow, outputs, seconds):
    assert nir_readout(("x", n_fast, 1), ("y", n_slow, 1), outputs).frame_time == seconds, name


@pytest.mark.parametrize(
    ("rows", "clocks", "seconds"),
    [
        (416, 28, 0.15904),
        (64, 28, 0.08512),
        (128, 44, 0.11904),
        (256, 96, 0.29952),
        (1024, 271, 2.77504),
    ],
)
def test_miri_frame_times(rows, clocks, seconds):
    assert miri_readout(rows, 4, clocks).frame_time == seconds


def test_delays_of_a_prism_frame():
    ticks = exposure("nirspec-prism").setup.readout.ticks
    assert ticks.shape == (32, 512)
    np.testing.assert_array_equal(ticks[:3, 0], [0, 1, 2])  # fast along y
    assert ticks[0, 1] == 44  # a line of 32 pixels and 12 clocks
    assert ticks.max() < exposure("nirspec-prism").setup.readout.frame_clocks
    assert np.unique(ticks).size == ticks.size  # one output reads one pixel at a time


def test_four_outputs_of_miri_read_four_columns_at_once():
    readout = exposure("miri-lrs").setup.readout
    np.testing.assert_array_equal(readout.outputs[0, :6], [0, 1, 2, 3, 0, 1])
    np.testing.assert_array_equal(readout.ticks[2, :6], [56, 56, 56, 56, 57, 57])


def test_direction_of_reading():
    forward = nir_readout(("y", 4, 1), ("x", 6, 1), 1)
    backward = nir_readout(("y", 4, -1), ("x", 6, -1), 1)
    np.testing.assert_array_equal(backward.ticks, forward.ticks[::-1, ::-1])


def test_times_of_an_exposure():
    clock = Clock(exposure("nirspec-prism").setup.readout, 10, 5, 60200.0)
    assert clock.integration_interval == pytest.approx(1.35696, abs=1e-12)  # WASP-39b: 1.357 s
    np.testing.assert_allclose(clock.group_time, 0.22616 * np.arange(1, 6), rtol=1e-15)
    span = 86400 * (clock.utc(1.0) - clock.utc(0.0))
    # the spacing of float64 at MJD 60000 is 0.6 microseconds
    np.testing.assert_allclose(span, 5 * 0.22616, atol=2e-6)
    np.testing.assert_allclose(clock.utc(0.5), 0.5 * (clock.utc(0.0) + clock.utc(1.0)), atol=1e-11)


def test_barycentric_times():
    delay = barycentric_delay(np.arange(60000.0, 60366.0))
    assert np.all(np.abs(delay - 69.184) < 8.4 * 60)
    assert np.all(np.diff(np.arange(60000.0, 60366.0) + delay / 86400) > 0)
