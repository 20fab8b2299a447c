"""What the simulator refuses, and what it says."""

import numpy as np
import pytest
import xarray as xr

from tsoxr.errors import ModeError, TsoWarning
from tsoxr.simulation import SOURCES, exposure, simulate
from tsoxr.simulation.noise import STANDARD


def test_unknown_mode_names_the_nearest():
    with pytest.raises(
        ModeError, match="no mode is called 'nirspec-prizm'; did you mean 'nirspec-prism'"
    ):
        simulate("nirspec-prizm")


def test_mode_without_simulation_names_those_that_have_one(monkeypatch):
    from tsoxr.simulation import setups

    monkeypatch.setattr(setups, "SETUPS", {"miri-lrs": setups.SETUPS["miri-lrs"]})
    with pytest.raises(
        ModeError, match="'nirspec-prism' is known but not simulated; simulated are miri-lrs"
    ):
        simulate("nirspec-prism")


def test_unknown_parameter_names_the_nearest():
    with pytest.raises(
        TypeError, match="no parameter 'n_integration'; did you mean 'n_integrations'"
    ):
        simulate("nirspec-prism", n_integration=3)


def test_unknown_kind_names_the_nearest():
    with pytest.raises(ValueError, match="no product is called 'ramp'; did you mean 'ramps'"):
        simulate("nirspec-prism", kind="ramp")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_integrations": 0}, "n_integrations is 0; it must be a whole number, at least 1"),
        ({"n_groups": 2.5}, "n_groups is 2.5; it must be a whole number"),
        ({"n_groups": float("nan")}, "n_groups is nan; it must be a whole number"),
        ({"n_hits": -1}, "n_hits is -1"),
        ({"brightness": -1.0}, "brightness is -1.0; it must be finite and positive"),
        ({"period": float("nan")}, "period is nan"),
        ({"radius_ratio": -0.1}, "radius_ratio contains -0.1; it must be finite and not negative"),
        ({"radius_ratio": np.nan}, "radius_ratio contains nan"),
        (
            {"radius_ratio": np.ones(3)},
            r"radius_ratio has shape \(3,\); it takes one number, or 481",
        ),
        ({"inclination": 200.0}, "inclination is 200.0; it is in degrees"),
        ({"inclination": 60.0}, "misses the star"),
        ({"noise": ("fotons",)}, "no source of noise is called 'fotons'; did you mean 'photon'"),
    ],
)
def test_senseless_values(given, message):
    with pytest.raises(ValueError, match=message):
        exposure("nirspec-prism", **given)


def test_one_string_is_no_tuple_of_names():
    with pytest.raises(ValueError, match=r"or a tuple of names, such as \('photon',\)"):
        exposure("nirspec-prism", noise="photon")


def test_saturation_is_announced():
    with pytest.warns(TsoWarning, match="saturates after 8.3 of 20 groups"):
        exposure("nirspec-prism", n_groups=20)


def test_saturated_pixels_stop_below_the_converter():
    with pytest.warns(TsoWarning):
        bright = exposure("nirspec-prism", n_integrations=1, n_groups=12, noise=("nonlinearity",))
    ramp = bright.ramps()["ramp"].values[0]
    full = ramp[-2] >= 0.999 * bright.maps.ceiling
    assert full.sum() > 20
    np.testing.assert_array_equal(ramp[-1][full], ramp[-2][full])


def test_radius_may_be_given_per_wavelength():
    plain = exposure("nirspec-prism", radius_ratio=0.12, feature_depth=0.0)
    np.testing.assert_array_equal(plain.planet.radius_ratio, 0.12)
    ramp = np.linspace(0.08, 0.12, plain.wavelength.size)
    given = exposure("nirspec-prism", radius_ratio=ramp)
    np.testing.assert_array_equal(given.planet.radius_ratio, ramp)
    labelled = xr.DataArray([0.1, 0.2], dims="wavelength", coords={"wavelength": [1.0, 3.0]})
    between = exposure("nirspec-prism", radius_ratio=labelled).planet.radius_ratio
    at_two = np.interp(2.0, plain.wavelength, between)
    assert at_two == pytest.approx(0.15, abs=1e-4)
    assert given.truth(stripes=False).attrs["tso_kind"] == "truth"


def test_default_planet_has_features():
    depth = simulate("nirspec-prism", kind="truth", n_integrations=2)["depth"]
    assert 300 < np.ptp(depth.values) < 700


def test_standard_sources_are_on_by_default():
    assert exposure("miri-lrs").sources == frozenset(STANDARD)
    assert exposure("miri-lrs", noise="all").sources == frozenset(SOURCES)
    assert exposure("miri-lrs", noise="none").sources == frozenset()


@pytest.mark.parametrize("n_integrations", [5, 37, 200])
def test_transit_fills_the_middle_of_any_exposure(n_integrations):
    inside = simulate("nirspec-prism", kind="lightcurves", n_integrations=n_integrations)[
        "in_transit"
    ]
    found = np.flatnonzero(inside.values)
    assert abs(found.size / n_integrations - 0.4) <= 1.0 / n_integrations + 0.01
    assert found[0] == n_integrations - 1 - found[-1]
