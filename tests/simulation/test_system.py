"""Star and planet: transit, eclipse, spectra and what happens once, against other tools."""

import batman
import numpy as np
import pytest
import xarray as xr

from tsoxr.errors import TsoWarning
from tsoxr.simulation import Flare, Spot, exposure
from tsoxr.simulation.star import photons, pixel_edges, star_function

QUIET = {"noise": (), "n_integrations": 60, "seed": 1}


def batman_flux(planet, column, time, **more):
    params = batman.TransitParams()
    params.t0, params.per, params.rp = planet.t0, planet.period, planet.radius_ratio[column]
    params.a, params.inc, params.ecc, params.w = planet.a_over_rs, planet.inclination, 0.0, 90.0
    params.u, params.limb_dark = [planet.u1[column], planet.u2[column]], "quadratic"
    for name, value in more.items():
        setattr(params, name, value)
    kind = "secondary" if "fp" in more else "primary"
    return batman.TransitModel(params, time, transittype=kind).light_curve(params)


def test_transit_with_limb_darkening_per_wavelength_is_batmans():
    wave = xr.DataArray([0.5, 6.0], dims="wavelength", coords={"wavelength": [0.5, 6.0]})
    given = (0.6 - 0.08 * wave, 0.05 + 0.03 * wave)
    each = exposure("nirspec-prism", limb_darkening=given, **QUIET)
    time = np.linspace(each.moment(0.0), each.moment(1.0), 400)
    flux = each.system(each.component).flux(time[:, None])
    u1 = 0.6 - 0.08 * each.wavelength
    np.testing.assert_allclose(each.planet.u1, u1, atol=1e-12)
    for column in (0, 200, each.wavelength.size - 1):
        # batman's own error is below 1e-7 for quadratic limb darkening
        expected = batman_flux(each.planet, column, time)
        np.testing.assert_allclose(flux[:, column], expected, rtol=0, atol=1e-6)
    assert np.ptp(flux[200]) > 1e-3  # the wavelengths differ


def test_limb_darkening_as_arrays_belongs_to_the_wavelengths():
    plain = exposure("nirspec-prism", **QUIET)
    u1 = np.linspace(0.5, 0.1, plain.wavelength.size)
    each = plain.replace(limb_darkening=(u1, 0.1))
    np.testing.assert_array_equal(each.planet.u1, u1)
    np.testing.assert_array_equal(each.planet.u2, 0.1)


def test_eclipse_is_batmans():
    period = 1.5
    each = exposure("nirspec-prism", period=period, eclipse_depth=1234.0, **QUIET)
    each = each.replace(t0=each.moment(0.5) - 0.5 * period, n_integrations=5000)
    time = each.clock.tdb(0.5)
    flux = each.system(each.component).flux(time[:, None])
    middle = each.planet.t0 + 0.5 * period
    for column in (0, 300):
        expected = batman_flux(each.planet, column, time, fp=1234e-6, t_secondary=middle)
        # batman's eclipse is the uniform disc; its own error is below 1e-8 of the star
        np.testing.assert_allclose(flux[:, column], expected, rtol=0, atol=1e-6)
        assert flux[:, column].min() == pytest.approx(1.0, abs=1e-9)
        assert flux[:, column].max() == pytest.approx(1.001234, abs=1e-9)
    inside = each.planet.in_transit(time)
    assert 0.1 < inside.mean() < 0.9
    assert (flux[~inside].min(axis=0) > 1.0012).all()


def test_eclipse_depth_over_wavelength():
    depth = xr.DataArray([0.0, 1000.0], dims="wavelength", coords={"wavelength": [1.0, 5.0]})
    each = exposure("nirspec-prism", eclipse_depth=depth, **QUIET)
    before = each.system(each.component).flux(np.array([[each.moment(0.0)]]))[0]
    expected = 1 + 1e-6 * np.interp(each.wavelength, [1.0, 5.0], [0.0, 1000.0])
    np.testing.assert_allclose(before, expected, atol=1e-12)


def test_light_curve_multiplies():
    plain = exposure("nirspec-prism", **QUIET)
    time = plain.clock.tdb(0.5)
    # rows out of order, to be sorted
    table = xr.DataArray(
        [[1.3, 0.7], [1.0, 1.0]],
        dims=("time", "wavelength"),
        coords={"time": [plain.moment(1.0), plain.moment(0.0)], "wavelength": [5.0, 1.0]},
    )
    each = plain.replace(light_curve=table)
    part = (time - plain.moment(0.0)) / (plain.moment(1.0) - plain.moment(0.0))
    edge = np.interp(plain.wavelength, [1.0, 5.0], [-0.3, 0.3])
    own = plain.system(plain.component).flux(time[:, None])
    # times in days are held to 1e-11 d, exposures of a minute to 1e-8 of themselves
    factor = 1 + part[:, None] * edge
    found = each.system(each.component).flux(time[:, None])
    np.testing.assert_allclose(found, own * factor, rtol=1e-7)
    again = plain.replace(
        light_curve=lambda t, w: (
            1 + (t - plain.moment(0)) / (plain.moment(1) - plain.moment(0)) * edge * (w > 0)
        )
    )
    np.testing.assert_allclose(again.system(again.component).flux(time[:, None]), found, rtol=1e-7)
    np.testing.assert_allclose(
        each.truth(stripes=False)["flux"].values[:-1],
        again.truth(stripes=False)["flux"].values[:-1],
        rtol=1e-7,
    )


def test_light_curve_of_one_dim():
    plain = exposure("nirspec-prism", radius_ratio=0.0, **QUIET)
    time = plain.clock.tdb(0.5)
    table = xr.DataArray(1 + 0.01 * np.arange(60), dims="time", coords={"time": time})
    each = plain.replace(light_curve=table)
    np.testing.assert_allclose(
        each.system(each.component).flux(time[:, None]), table.values[:, None] * np.ones(481)
    )


def test_spot_is_a_bump_in_transit_that_fades_to_the_red():
    plain = exposure("nirspec-prism", **QUIET)
    middle = plain.moment(0.5)
    spot = Spot(middle, duration=0.2 * plain.clock.exposure_time, amplitude=800.0)
    each = plain.replace(events=(spot,))
    time = np.linspace(plain.moment(0.0), plain.moment(1.0), 801)[:, None]
    bump = each.system(each.component).flux(time) - plain.system(plain.component).flux(time)
    at_one = np.argmin(abs(each.wavelength - 1.0))
    assert bump[400, at_one] == pytest.approx(800e-6, rel=0.01)  # pixels are 0.01 um there
    assert np.all(np.diff(bump[400]) < 0)
    outside = abs(time[:, 0] - middle) > 0.5 * spot.duration / 86400
    assert np.all(bump[outside] == 0)
    half = abs(bump[400 - 80 // 2, at_one] / bump[400, at_one])
    assert half == pytest.approx(0.5, abs=0.01)
    star = each.star_temperature
    contrast = 1 - photons(each.wavelength, 0.85 * star) / photons(each.wavelength, star)
    np.testing.assert_allclose(bump[400] / bump[400, 0], contrast / contrast[0], rtol=1e-9)


def test_spot_hides_no_more_than_the_planet():
    plain = exposure("nirspec-prism", **QUIET)
    each = plain.replace(events=(Spot(plain.moment(0.35), 60.0, 5000.0),))
    flux = each.truth(stripes=False)["flux"].values
    assert flux.max() <= 1.0 + 1e-12


def test_flare_rises_decays_and_is_blue():
    plain = exposure("nirspec-prism", radius_ratio=0.0, **QUIET)
    peak = plain.moment(0.5)
    flare = Flare(peak, amplitude=2000.0, decay=10.0, rise=4.0)
    each = plain.replace(events=(flare,))
    seconds = np.array([-4.0, -2.0, 0.0, 10.0])
    flux = each.system(each.component).flux(peak + seconds[:, None] / 86400) - 1
    at_one = np.argmin(abs(each.wavelength - 1.0))
    expected = 2e-3 * np.array([0.0, 0.5, 1.0, np.exp(-1)])
    # 1% of the colour from the pixel to 1 um; times in days are held to 1e-6 s
    np.testing.assert_allclose(flux[:, at_one], expected, rtol=0.02, atol=1e-9)
    assert np.all(np.diff(flux[2]) < 0)


def test_events_outside_the_exposure_are_announced():
    plain = exposure("nirspec-prism", **QUIET)
    with pytest.warns(TsoWarning, match="Flare is at .*, outside the exposure"):
        plain.replace(events=(Flare(plain.moment(1.5), amplitude=100.0, decay=10.0),))


def test_spots_outside_the_transit_are_announced():
    plain = exposure("nirspec-prism", **QUIET)
    with pytest.warns(TsoWarning, match="Spot is at .*, outside the transit, and changes nothing"):
        plain.replace(events=(Spot(plain.moment(0.1), 10.0, 100.0),))


def test_given_spectrum_keeps_its_photons():
    rng = np.random.default_rng(1)
    grid = np.linspace(0.3, 6.0, 40001)
    density = 1 + rng.random(grid.size) * (grid % 0.01 < 0.002)
    star = xr.DataArray(density, dims="wavelength", coords={"wavelength": grid})
    each = exposure("nirspec-prism", star=star, **QUIET)
    wave = each.wavelength
    edges = pixel_edges(wave)
    total = (star_function(star, 3000.0)(wave) * np.diff(edges)).sum()
    fine = np.concatenate([[edges[0]], grid[(grid > edges[0]) & (grid < edges[-1])], [edges[-1]]])
    values = np.interp(fine, grid, density)
    # both are exact integrals of the same polygon
    assert total == pytest.approx(np.trapezoid(values, fine), rel=1e-10)
    trace = each.setup.optics.traces[0]
    shape = star_function(star, 3000.0)(wave) * trace.throughput(wave) * np.gradient(wave)
    np.testing.assert_allclose(
        each.component.spectrum / shape, (each.component.spectrum / shape)[0], rtol=1e-9
    )


def test_temperature_of_the_star():
    plain = exposure("nirspec-prism", **QUIET)
    same = plain.replace(star=plain.setup.star_temperature)
    np.testing.assert_array_equal(same.component.spectrum, plain.component.spectrum)
    hot = plain.replace(star=9000.0)
    ratio = hot.component.spectrum / plain.component.spectrum
    assert ratio[20] > 2 * ratio[-20]
    with pytest.raises(ValueError, match="star covers 1 to 2 um; the mode needs"):
        plain.replace(
            star=xr.DataArray([1.0, 1.0], dims="wavelength", coords={"wavelength": [1.0, 2.0]})
        )


def test_parameters_of_any_type_are_recorded_and_saved(tmp_path):
    plain = exposure("nirspec-prism", n_integrations=2)
    each = plain.replace(
        light_curve=lambda t, w: np.ones(np.broadcast_shapes(t.shape, w.shape)),
        events=(Flare(plain.moment(0.5), amplitude=10.0, decay=1.0),),
        star=xr.DataArray([1.0, 1.0], dims="wavelength", coords={"wavelength": [0.1, 9.0]}),
    )
    ds = each.truth(stripes=False)
    ds.to_netcdf(tmp_path / "truth.nc")
    assert "Flare(time=" in ds.attrs["tso_source"]
    assert "telescope" not in ds.attrs["tso_source"]
    assert "simulate('nirspec-prism'" in each.ramps().tso.history.as_code()
