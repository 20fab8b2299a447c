"""Transit light curves against batman, direct integration and limiting cases."""

import batman
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from tsoxr.kernels.transit import projected_separation, quadratic_transit, transit_duration


def batman_curve(time, radius, u1, u2, inclination):
    orbit = batman.TransitParams()
    orbit.t0, orbit.per, orbit.a, orbit.inc = 0.3, 3.0, 8.0, inclination
    orbit.rp, orbit.ecc, orbit.w = radius, 0.0, 90.0
    orbit.u, orbit.limb_dark = [u1, u2], "quadratic"
    return batman.TransitModel(orbit, time).light_curve(orbit)


@pytest.mark.parametrize("radius", [0.005, 0.1, 0.3])
@pytest.mark.parametrize("limb", [(0.0, 0.0), (0.3, 0.2), (0.5, -0.1), (0.1, 0.6)])
@pytest.mark.parametrize("inclination", [90.0, 87.0, 83.5])
def test_agrees_with_batman(radius, limb, inclination):
    # odd steps keep batman off the exact contacts, where its elliptic integrals fail
    time = np.linspace(0.1003, 0.5001, 401)
    separation = projected_separation(time, 3.0, 0.3, 8.0, inclination)
    ours = quadratic_transit(separation, radius, *limb)
    np.testing.assert_allclose(
        ours, batman_curve(time, radius, *limb, inclination), rtol=0, atol=1e-7
    )


def direct(z, k, u1, u2):
    """Integrate over circles of the star: an independent way to the same number."""

    def intensity(r):
        mu = np.sqrt(max(1.0 - r * r, 0.0))
        return 1.0 - u1 * (1.0 - mu) - u2 * (1.0 - mu) ** 2

    def half_angle(r):
        if r <= k - z:
            return np.pi
        return np.arccos(np.clip((r * r + z * z - k * k) / (2.0 * r * z), -1.0, 1.0))

    low, high = max(0.0, z - k), min(1.0, z + k)
    edge = [abs(z - k)] if low < abs(z - k) < high else None
    hidden = quad(
        lambda r: 2.0 * r * intensity(r) * half_angle(r),
        low, high, points=edge, epsabs=1e-13, epsrel=1e-12, limit=400,
    )[0]  # fmt: skip
    return 1.0 - hidden / (np.pi * (1.0 - u1 / 3.0 - u2 / 6.0))


@pytest.mark.parametrize("k", [0.1, 0.5])
def test_contacts_and_grazing_points(k):
    # where the case distinctions of other methods lose digits
    for z in (1e-9, k, k + 1e-7, 1 - k - 1e-6, 1 - k, 1 - k + 1e-6, 1.0, 1 + k - 1e-3):
        assert quadratic_transit(z, k, 0.4, 0.25) == pytest.approx(
            direct(z, k, 0.4, 0.25), abs=1e-11
        )


def test_uniform_star_is_the_overlap_of_two_discs():
    k, z = 0.2, np.array([0.3, 0.85, 1.0, 1.15])
    cos_planet = np.clip((z**2 + k**2 - 1) / (2 * z * k), -1, 1)
    cos_star = np.clip((z**2 + 1 - k**2) / (2 * z), -1, 1)
    kite = np.sqrt(np.clip((k + 1 - z) * (z + k - 1) * (z - k + 1) * (z + k + 1), 0, None))
    lens = k**2 * np.arccos(cos_planet) + np.arccos(cos_star) - 0.5 * kite
    np.testing.assert_allclose(quadratic_transit(z, k, 0.0, 0.0), 1 - lens / np.pi, atol=1e-12)


def test_limits():
    assert quadratic_transit(1.1, 0.1, 0.3, 0.2) == 1.0
    assert quadratic_transit(np.inf, 0.1, 0.3, 0.2) == 1.0
    assert quadratic_transit(0.0, 0.0, 0.3, 0.2) == 1.0
    assert quadratic_transit(0.1, 1.2, 0.3, 0.2) == 0.0
    assert np.isnan(quadratic_transit(np.nan, 0.1, 0.3, 0.2))
    assert np.isnan(quadratic_transit(0.5, 0.1, np.nan, 0.2))


def test_broadcasts_over_time_and_wavelength():
    separation = np.linspace(0, 1.2, 7)[:, None]
    radius = np.array([0.05, 0.1, 0.2])
    flux = quadratic_transit(separation, radius, np.full(3, 0.3), 0.2)
    assert flux.shape == (7, 3)
    assert flux[2, 1] == quadratic_transit(separation[2, 0], 0.1, 0.3, 0.2)


@given(z=st.floats(0, 2), k=st.floats(1e-3, 0.9), u1=st.floats(0, 0.6), u2=st.floats(0, 0.4))
def test_flux_is_bounded_and_falls_with_radius(z, k, u1, u2):
    small, large = quadratic_transit(z, k, u1, u2), quadratic_transit(z, 1.05 * k, u1, u2)
    assert 0.0 <= large <= small + 1e-12 <= 1.0 + 1e-11


def test_behind_the_star_there_is_no_transit():
    assert projected_separation(np.array([1.5]), 3.0, 0.0, 8.0, 90.0)[0] == np.inf
    assert projected_separation(np.array([3.0]), 3.0, 0.0, 8.0, 90.0)[0] == pytest.approx(
        0, abs=1e-12
    )


def test_duration_is_where_the_discs_touch():
    duration = transit_duration(3.0, 8.0, 86.0, 0.1)
    contact = projected_separation(np.array([0.5 * duration]), 3.0, 0.0, 8.0, 86.0)[0]
    assert contact == pytest.approx(1.1, abs=1e-12)
    assert transit_duration(3.0, 8.0, 70.0, 0.1) == 0.0
