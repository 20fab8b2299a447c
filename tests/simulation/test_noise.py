"""The noise has the amounts and the spectrum that it is said to have."""

import numpy as np
import pytest

from tsoxr.simulation import exposure
from tsoxr.simulation.detector import apply_linearity
from tsoxr.simulation.prediction import slope_variance

MODES = ("nirspec-prism", "miri-lrs")


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
