"""Frame times and pixel delays against published numbers."""

import numpy as np
import pytest

from tsoxr.simulation import exposure
from tsoxr.simulation.clock import Clock, barycentric_delay, miri_readout, nir_readout

NEAR_INFRARED = [
    # n_fast, n_slow, outputs, frame time in s (JDox, flight programmes; see the names)
    ("NRS SUB2048", 32, 2048, 1, 0.90200),
    ("NRS SUB1024A and B", 32, 1024, 1, 0.45144),
    ("NRS SUB512", 32, 512, 1, 0.22616),
    ("NRS SUB512S", 16, 512, 1, 0.14392),
    ("NRS S256M2_PRM", 32, 256, 1, 0.11352),
    ("NRS S128M4_PRM", 32, 128, 1, 0.05720),
    ("NRS S64M8_PRM", 32, 64, 1, 0.02904),
    ("NRS S32M16_PRM", 32, 32, 1, 0.01496),
    ("NIS SUBSTRIP96", 96, 2048, 1, 2.21400),
    ("NIS SUBSTRIP256", 256, 2048, 1, 5.49400),
    ("NIS FULL", 2048, 2048, 4, 10.73677),
    ("NIS SUB17STRIPE_SOSS", 256, 21, 1, 0.06164),
    ("NIS SUB60STRIPE_SOSS", 256, 64, 1, 0.17688),
    ("NIS SUB204STRIPE_SOSS", 256, 208, 1, 0.56280),
    ("NIS SUB680STRIPE_SOSS", 256, 684, 1, 1.83848),
    ("NRC SUBGRISM64, 4 outputs", 2048, 64, 4, 0.34061),
    ("NRC SUBGRISM128, 4 outputs", 2048, 128, 4, 0.67597),
    ("NRC SUBGRISM256, 4 outputs", 2048, 256, 4, 1.34669),
    ("NRC SUBGRISM64, 1 output", 2048, 64, 1, 1.35960),
    ("NRC SUBGRISM128, 1 output", 2048, 128, 1, 2.67800),
    ("NRC SUBGRISM256, 1 output", 2048, 256, 1, 5.31480),
    ("NRC SUB41S1_2-SPECTRA", 2048, 41, 4, 0.22009),
    ("NRC SUB82S2_4", 2048, 82, 4, 0.43493),
    ("NRC SUB164S4_8", 2048, 164, 4, 0.86461),
    ("NRC SUB260S4_8", 2048, 260, 4, 1.36765),
    ("NRC SUB64P", 64, 64, 1, 0.05016),
    ("NRC SUB160 and SUB160P", 160, 160, 1, 0.27864),
    ("NRC SUB320", 320, 320, 1, 1.06904),
    ("NRC SUB400P", 400, 400, 1, 1.65624),
    ("NRC SUB640", 640, 640, 1, 4.18584),
    ("NRC FULL", 2048, 2048, 4, 10.73677),
]
MIRI = [
    # rows, clocks of a row, frame time in s
    ("SLITLESSPRISM", 416, 28, 0.15904),
    ("SUB64", 64, 28, 0.08512),
    ("SUB128", 128, 44, 0.11904),
    ("SUB256", 256, 96, 0.29952),
    ("BRIGHTSKY", 512, 162, 0.86528),
    ("FULL", 1024, 271, 2.77504),
]
TENTH_OF_A_TICK = 1e-6


@pytest.mark.parametrize(("name", "n_fast", "n_slow", "outputs", "seconds"), NEAR_INFRARED)
def test_near_infrared_frame_times(name, n_fast, n_slow, outputs, seconds):
    made = nir_readout(("x", n_fast, 1), ("y", n_slow, 1), outputs).frame_time
    assert made == pytest.approx(seconds, abs=TENTH_OF_A_TICK), name


@pytest.mark.parametrize(("name", "rows", "clocks", "seconds"), MIRI)
def test_miri_frame_times(name, rows, clocks, seconds):
    made = miri_readout(rows, 4, clocks).frame_time
    assert made == pytest.approx(seconds, abs=TENTH_OF_A_TICK), name


@pytest.mark.parametrize(
    ("name", "n_fast", "n_slow", "outputs", "n_groups", "frames", "seconds"),
    [
        # from the reset to the last read, as published for each programme, s
        ("WASP-39 b, G395H", 32, 2048, 1, 70, (1, 0), 63.14),
        ("WASP-39 b, SOSS", 256, 2048, 1, 9, (1, 0), 49.446),
        ("WASP-96 b, SOSS", 256, 2048, 1, 14, (1, 0), 76.916),
    ],
)
def test_integration_times_of_flight_programmes(
    name, n_fast, n_slow, outputs, n_groups, frames, seconds
):
    readout = nir_readout(("y", n_fast, 1), ("x", n_slow, 1), outputs)
    clock = Clock(readout, 3, n_groups, 60200.0, *frames)
    assert clock.integration_time == pytest.approx(seconds, abs=TENTH_OF_A_TICK), name
    cycle = seconds + readout.frame_time
    assert clock.integration_interval == pytest.approx(cycle, abs=TENTH_OF_A_TICK)


def test_cycle_of_averaged_frames():
    # WASP-39 b, NIRCam F322W2: 12 groups of SHALLOW4, the mean of 4 frames and a gap of 1
    readout = nir_readout(("x", 2048, 1), ("y", 256, 1), 4)
    clock = Clock(readout, 3, 12, 60200.0, 4, 1)
    assert clock.group_interval == pytest.approx(5 * 1.34669, abs=TENTH_OF_A_TICK)
    assert 12 * clock.group_interval == pytest.approx(80.80, abs=0.005)  # the published 80.80 s
    # the last gap is left out and the reset takes a frame: 60 frames again
    assert clock.integration_interval == pytest.approx(80.8014, abs=TENTH_OF_A_TICK)


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
