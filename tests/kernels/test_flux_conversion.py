"""The arithmetic of a photom reference."""

import numpy as np
import pytest

from tsoxr.kernels.flux_conversion import dispersion, response_at, throughput


def test_response_between_and_outside_of_a_table():
    table = np.array([3.0, 1.0, 2.0, 0.0, 4.0])
    response = np.array([30.0, 10.0, 20.0, 99.0, 0.0])  # the last two are padding and uncalibrated
    found = response_at(np.array([0.9, 1.0, 1.5, 3.0, 3.5]), table, response)
    np.testing.assert_allclose(found, [np.nan, 10.0, 15.0, 30.0, np.nan])
    metres = response_at(np.array([1.5]), 1e-6 * table, response)
    assert metres[0] == pytest.approx(15.0)
    assert np.isnan(response_at(np.array([1.0]), table, 0 * response)).all()


def test_throughput_of_each_law():
    assert throughput("linear", 730.0, {"t0": 0.0, "lossperyear": 0.01}) == pytest.approx(0.98)
    numbers = {"t0": 100.0, "amplitude": 0.1, "tau": 50.0, "const": 0.9}
    assert throughput("exponential", 150.0, numbers) == pytest.approx(0.9 + 0.1 / np.e)
    numbers = {"t0": 0.0, "year1value": 0.95, "tsoft": 1.0, "alpha": -0.02}
    assert throughput("powerlaw", 365.0, numbers) == pytest.approx(0.95)
    assert throughput("powerlaw", 731.0, numbers) == pytest.approx(0.95 * 2**-0.02)


def test_dispersion_counts_pixels_that_are_left_out():
    wave = np.array([1.0, 1.01, 1.02, 1.05])
    np.testing.assert_allclose(dispersion(wave, np.array([9, 8, 7, 4])), 0.01)
    assert np.isnan(dispersion(wave[:1], np.array([1]))).all()
