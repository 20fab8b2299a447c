"""Signals injected into data that exist equal those that are simulated with them."""

import functools
import json

import numpy as np
import pytest
import xarray as xr

from tsoxr import schema, testing
from tsoxr.errors import TsoError
from tsoxr.simulation import exposure, inject_hits, inject_transit

MODES = ("nirspec-prism", "miri-lrs")


@functools.cache
def pair(mode, kind, n_integrations=16, **given):
    """Return data without and with a transit, and the transit's parameters."""
    with_it = exposure(
        mode,
        n_integrations=n_integrations,
        limb_darkening=(0.2, 0.1),
        feature_depth=0.0,
        seed=2,
        **given,
    )
    planet = with_it.planet
    names = ("t0", "period", "a_over_rs", "inclination")
    orbit = {n: getattr(planet, n) for n in names}
    without = with_it.replace(radius_ratio=0.0, **orbit)
    make = {"radius_ratio": 0.1, "limb_darkening": (0.2, 0.1), **orbit}
    return getattr(without, kind)(), getattr(with_it, kind)(), make, with_it


def column_series(ds, each):
    """Return the light of each wavelength, (time, wavelength), from ramps or rates."""
    if "ramp" in ds:
        data = (ds["ramp"].isel(group=-1).astype(float) - ds["ramp"].isel(group=0)).values
    else:
        data = ds["rate"].values.astype(float)
    axis = 1 if each.setup.spatial_dim == "y" else 2
    return data.sum(axis=axis)[:, each.component.pixel]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["ramps", "rates"])
def test_injected_transit_is_the_simulated_one(mode, kind):
    plain, expected, make, each = pair(mode, kind, noise=())
    found = inject_transit(plain, **make)
    assert schema.validate(found) == []
    name = "ramp" if kind == "ramps" else "rate"
    assert found[name].dtype == plain[name].dtype
    a, b = column_series(found, each), column_series(expected, each)
    bright = b[0] > 0.05 * b[0].max()
    # The simulation takes the delays within a wavelength to first order, at ingress 1e-7; float32
    # of 4e4 DN adds 1e-7 a pixel. Rates average the flux over the same intervals.
    np.testing.assert_allclose((a / b)[:, bright], 1.0, atol=4e-6)
    white = a.sum(axis=1) / b.sum(axis=1)
    np.testing.assert_allclose(white, 1.0, atol=1e-6)
    assert b.sum(axis=1).min() / b.sum(axis=1).max() < 0.992
    assert "injected_flux" in found
    clock = each.clock
    seconds = 0.5 * (clock.group_time[1:] + clock.group_time[:-1])
    moments = clock.tdb(0.0)[:, None] + seconds / 86400
    mean = each.planet.flux(moments[..., None])[..., 0].mean(axis=1)
    np.testing.assert_allclose(found["injected_flux"].values, mean, atol=1e-7)


def test_first_group_loses_its_light_too():
    plain, expected, make, _ = pair("nirspec-prism", "ramps", noise=())
    found = inject_transit(plain, **make)
    first = found["ramp"].isel(group=0).values.astype(float)
    known = expected["ramp"].isel(group=0).values.astype(float)
    assert abs(first - known).max() < 1e-5 * known.max()
    assert (plain["ramp"].isel(group=0) - first).max() > 5e-3 * known.max()


def test_curved_response_costs_a_hundredth_of_the_depth():
    plain, expected, make, each = pair("nirspec-prism", "ramps", noise=("nonlinearity",))
    found = inject_transit(plain, **make)
    a, b = column_series(found, each).sum(axis=1), column_series(expected, each).sum(axis=1)
    # depth 1e-2, a bend 2 a D of 2 x 9e-7 x 3e4 DN at most, less in fainter pixels
    assert abs(a / b - 1).max() < 5.4e-2 * 1.2e-2
    assert abs(a / b - 1).max() > 1e-6
    linear = [ds.tso.subtract_bias().tso.linearize() for ds in (plain, expected)]
    a, b = (
        column_series(ds, each).sum(axis=1) for ds in (inject_transit(linear[0], **make), linear[1])
    )
    # float32 of 4e4 DN in each pixel, before and after the polynomial
    np.testing.assert_allclose(a / b, 1.0, atol=1e-6)


def test_frames_averaged_with_gaps():
    plain, expected, make, each = pair(
        "nircam-grism", "ramps", noise=(), read_pattern="SHALLOW4", n_integrations=8, brightness=0.2
    )
    found = inject_transit(plain, **make)
    ratio = column_series(found, each).sum(axis=1) / column_series(expected, each).sum(axis=1)
    # One moment stands for the frames of a group and the gap: at first and last contact the
    # flux bends within an interval, 1/5 of an integration; elsewhere its curvature is 1e-6.
    np.testing.assert_allclose(ratio, 1.0, atol=2e-4)
    assert np.sort(abs(ratio - 1))[:4].max() < 2e-6


@pytest.mark.parametrize("kind", ["ramps", "rates"])
def test_depth_over_wavelength(kind):
    wave = xr.DataArray([0.08, 0.12], dims="wavelength", coords={"wavelength": [0.5, 5.5]})
    plain, _, make, each = pair("nirspec-prism", kind, noise=())
    expected = getattr(
        each.replace(radius_ratio=wave, t0=make["t0"], period=make["period"]), kind
    )()
    make = {**make, "radius_ratio": wave}
    given = {}
    if kind == "ramps":
        with pytest.raises(TsoError, match="the transit depends on wavelength and the data have"):
            inject_transit(plain, **make)
        given["wavelength"] = each.truth(stripes=False)["pixel_wavelength"]
    found = inject_transit(plain, **make, **given)
    a, b = column_series(found, each), column_series(expected, each)
    bright = b[0] > 0.05 * b[0].max()
    np.testing.assert_allclose((a / b)[:, bright], 1.0, atol=5e-6)
    assert found["injected_flux"].dims == ("time", "injected_wavelength")
    low = found["injected_flux"].min("time").values
    assert low[0] > low[1] > 0.98


def test_background_keeps_its_light():
    plain, expected, make, each = pair("nirspec-prism", "ramps", noise=("background",))
    sky = each.truth(stripes=False)["background"]
    found = inject_transit(plain, **make, background=sky)
    a, b = column_series(found, each), column_series(expected, each)
    np.testing.assert_allclose(a.sum(axis=1) / b.sum(axis=1), 1.0, atol=1e-6)
    wrong = column_series(inject_transit(plain, **make), each).sum(axis=1)
    assert abs(wrong / b.sum(axis=1) - 1).max() > 3e-6


def test_noisy_integers_stay_integers():
    plain, _, make, _ = pair("nirspec-prism", "ramps")
    found = inject_transit(plain, **make)
    assert found["ramp"].dtype == np.uint16
    change = found["ramp"].astype(float) - plain["ramp"].astype(float)
    first, middle = change.isel(time=0), change.isel(time=8)
    assert float(abs(first).max()) == 0.0
    last = float(middle.isel(group=-1).sum() - middle.isel(group=0).sum())
    raw = plain["ramp"].isel(group=-1).astype(float) - plain["ramp"].isel(group=0)
    # 16 noisy integrations give the star; the sky is 3e-4 of the light
    assert last / float(raw.mean("time").sum()) == pytest.approx(-0.0103, rel=0.05)


@pytest.mark.parametrize("kind", ["ramps", "rates"])
@pytest.mark.parametrize("what", ["transit", "hits"])
def test_lazy_in_lazy_out(kind, what):
    plain, _, make, _ = pair("nirspec-prism", kind)

    def inject(ds):
        if what == "hits":
            return inject_hits(ds, 12, seed=1)
        return inject_transit(ds, **make)

    with testing.raise_if_computes():
        lazy = inject(plain.chunk(time=7))
    name = "ramp" if kind == "ramps" else "rate"
    assert lazy[name].chunks is not None
    eager = inject(plain)
    xr.testing.assert_identical(lazy.compute(), eager)
    assert schema.validate(eager) == []
    assert eager.chunks == {}


def test_input_is_untouched_and_record_is_kept(tmp_path):
    plain, _, make, _ = pair("nirspec-prism", "ramps")
    before = plain.copy(deep=True)
    found = inject_hits(inject_transit(plain, **make), 5, seed=1)
    xr.testing.assert_identical(plain, before)
    names = [next(iter(r)) for r in json.loads(found.attrs["injected"])]
    assert names == ["inject_transit", "inject_hits"]
    found.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(TsoError, match="hold an injected transit"):
        inject_transit(found, **make)
    assert len(found.tso.subtract_bias().attrs["injected"]) > 10


@pytest.mark.parametrize("kind", ["ramps", "rates"])
def test_hits_are_found_where_they_were_injected(kind):
    plain = getattr(exposure("miri-lrs", n_integrations=8, noise=(), seed=1), kind)()
    found = inject_hits(plain, 6, seed=3, charge=4000.0)
    name = "ramp" if kind == "ramps" else "rate"
    change = (found[name] - plain[name]).values.astype(float)
    gain = float(plain["gain"].values.flat[0])
    place = [found[f"injected_hit_{n}"].values for n in ("integration", "group", "y", "x")]
    i, g, y, x = place[0] - 1, place[1] - 1, place[2], place[3]
    if kind == "ramps":
        assert (x >= 4).all()  # none on reference pixels
        before, after = change[i, g - 1], change[i, g]
        rise = (after - before)[np.arange(6), y, x]
        assert np.all(rise > 0.2 * 4000 / gain)  # the rest diffuses
        assert change[:, -1].sum() == pytest.approx(6 * 4000 / gain, rel=1e-3)
    else:
        span = (plain.attrs["n_groups"] - 1) * plain.attrs["group_interval"]
        assert change.sum() == pytest.approx(6 * 4000 / gain / span, rel=0.01)
        assert np.all(change[i, y, x] > 0.2 * 4000 / gain / span)
    quiet = np.setdiff1d(np.arange(8), i)
    assert not change[quiet].any()


def test_hits_add_up_and_follow_their_seed():
    plain = exposure("nirspec-prism", n_integrations=4, noise=(), seed=1).ramps()
    once = inject_hits(plain, 6, seed=3)
    xr.testing.assert_identical(once, inject_hits(plain, 6, seed=3))
    twice = inject_hits(once, 3, seed=4)
    assert twice.sizes["injected_hit"] == 9
    np.testing.assert_array_equal(twice["injected_hit_y"][:6], once["injected_hit_y"])
    assert inject_hits(plain, 0, seed=1)["ramp"].equals(plain["ramp"])


def test_what_cannot_be_injected():
    spectra = exposure("nirspec-prism", n_integrations=3).spectra()
    orbit = {"t0": 60200.0, "period": 1.0, "a_over_rs": 10.0, "inclination": 89.0}
    with pytest.raises(TsoError, match="the data are 'spectra'; it takes ramps or rates"):
        inject_transit(spectra, radius_ratio=0.1, **orbit)
    with pytest.raises(TsoError, match="the data are 'spectra'"):
        inject_hits(spectra, 3, seed=1)
    single = exposure("nirspec-prism", n_integrations=3, n_groups=1).ramps()
    with pytest.raises(TsoError, match="the ramps have 1 group"):
        inject_transit(single, radius_ratio=0.1, **orbit)
    with pytest.raises(TsoError, match="1 group in an integration; a hit needs 2 or more"):
        inject_hits(single, 3, seed=1)
    ramps = exposure("nirspec-prism", n_integrations=3).ramps()
    with pytest.raises(ValueError, match="radius_ratio is negative"):
        inject_transit(ramps, radius_ratio=-0.1, **orbit)
    with pytest.raises(ValueError, match="period is 0; it must be positive"):
        inject_transit(ramps, radius_ratio=0.1, **{**orbit, "period": 0})
    with pytest.raises(ValueError, match="n_hits is -1"):
        inject_hits(ramps, -1, seed=1)
    with pytest.raises(ValueError, match="charge is nan"):
        inject_hits(ramps, 2, seed=1, charge=np.nan)
    with pytest.raises(ValueError, match=r"wavelength has shape \(3,\)|wavelength has shape"):
        inject_transit(ramps, radius_ratio=0.1, wavelength=np.ones((3, 3)), **orbit)
