"""What the simulator refuses, and what it says."""

import numpy as np
import pytest
import xarray as xr

from tsoxr.errors import ModeError, TsoWarning
from tsoxr.simulation import SOURCES, AntennaMove, Flare, Spot, Tilt, exposure, simulate
from tsoxr.simulation.noise import STANDARD


def over_wavelength(values, last=9.0):
    """Return values at 0.1 um and another wavelength."""
    return xr.DataArray(values, dims="wavelength", coords={"wavelength": [0.1, last]})


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


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"star": -3000.0}, "star is -3000.0; it takes a temperature in K"),
        ({"star": "G2V"}, "star is 'G2V'; it takes a temperature in K"),
        ({"star": over_wavelength([1.0, -1.0])}, "star contains -1; photons per um are finite"),
        ({"star": over_wavelength([0.0, 0.0])}, "star is 0 throughout"),
        ({"star": xr.DataArray([1.0, 1.0], dims="x")}, r"star has dims \('x',\); it needs"),
        ({"star": over_wavelength([1.0, 1.0], 0.1)}, "star gives a wavelength twice"),
        ({"eclipse_depth": -5.0}, "eclipse_depth contains -5; flux is finite and not negative"),
        ({"eclipse_depth": np.nan}, "eclipse_depth contains nan; it must be finite"),
        ({"limb_darkening": (0.1,)}, "limb_darkening has 1 parts; it takes the pair u1, u2"),
        ({"limb_darkening": (0.1, np.ones(3))}, r"limb_darkening has shape \(3,\)"),
        ({"light_curve": lambda t, w: 0 * t - 1}, "light_curve contains -1; flux is finite"),
        ({"light_curve": lambda t, w: np.ones(7)}, r"light_curve returns shape \(7,\); for times"),
        ({"light_curve": xr.DataArray([1.0, 1.0], dims="x")}, "light_curve has dims"),
        (
            {"light_curve": xr.DataArray([1.0, -1.0], dims="time", coords={"time": [1.0, 2.0]})},
            "light_curve contains -1",
        ),
        (
            {"light_curve": xr.DataArray([1.0, 1.0], dims="time", coords={"time": [0.0, 9.0]})},
            "light_curve covers 0 to 9; the exposure runs from 60199",
        ),
        ({"t0": np.nan}, "t0 is nan; it is a time, BMJD_TDB in days"),
    ],
)
def test_senseless_light(given, message):
    with pytest.raises(ValueError, match=message):
        exposure("nirspec-prism", n_integrations=5, **given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Spot(1.0, duration=-1.0, amplitude=1.0), "Spot has duration=-1.0; it must be"),
        (lambda: Spot(1.0, 10.0, 1.0, temperature=1.2), "relative to the star and must be below 1"),
        (lambda: Flare(np.nan, amplitude=1.0, decay=1.0), "Flare has time=nan; it must be finite"),
        (lambda: Tilt(1.0, duration=3.0), "Tilt has duration=3.0; a mirror takes at most 1.4 s"),
        (lambda: AntennaMove(1.0, amplitude=0.0), "AntennaMove has amplitude=0.0; it must be"),
    ],
)
def test_senseless_events(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_things_of_the_wrong_kind():
    with pytest.raises(TypeError, match="telescope is 3; it takes a Telescope"):
        exposure("nirspec-prism", telescope=3)
    with pytest.raises(TypeError, match="events contains 'flare'; it takes a tuple of Spot, Flare"):
        exposure("nirspec-prism", events=("flare",))


def test_subarrays_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="nirspec-prism has no subarray 'SUB51'; it is simulated"):
        exposure("nirspec-prism", subarray="SUB51")


def test_saturation_before_the_second_group_is_refused():
    with pytest.raises(
        ValueError, match=r"saturates 0\.362 s after reset, before group 2 is read at"
    ):
        exposure("nirspec-prism", brightness=5.2)
    with pytest.raises(ValueError, match="before group 1 is read"):
        exposure("nirspec-prism", brightness=9.0, n_groups=1)


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
