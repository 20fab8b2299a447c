"""Times of pixels against the simulator's clock, and of the barycentre against astropy."""

import json

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, ephemeris, simulation, times
from tsoxr.history import records
from tsoxr.io import header, readout
from tsoxr.simulation import headers
from tsoxr.simulation.clock import barycentric_delay

TEN_MICROSECONDS = 1e-5

EXPOSURES = [
    *((mode, {}) for mode in simulation.SETUPS),
    ("nirspec-prism", {"subarray": "SUB512S"}),
    ("nirspec-prism", {"read_pattern": "NRS", "n_groups": 3, "brightness": 0.1}),
    ("nirspec-g395h", {"detector": "NRS2"}),
    ("nirspec-g395h", {"detector": "NRS2", "subarray": "SUB1024B"}),
    ("niriss-soss", {"subarray": "SUBSTRIP96"}),
    ("niriss-soss", {"read_pattern": "NIS", "n_groups": 2, "brightness": 0.1}),
    ("nircam-grism", {"n_outputs": 1}),
    (
        "nircam-grism",
        {"subarray": "SUBGRISM256", "read_pattern": "SHALLOW4", "n_groups": 12, "brightness": 0.05},
    ),
    ("nircam-grism", {"subarray": "SUBGRISM128", "read_pattern": "BRIGHT2", "brightness": 0.1}),
    ("nircam-imaging", {"detector": "NRCB1", "subarray": "SUB64P"}),
    ("nircam-imaging", {"detector": "NRCBLONG", "subarray": "SUB400P"}),
    ("nircam-imaging", {"subarray": "SUBGRISM64", "n_outputs": 4}),
    ("nircam-imaging", {"subarray": "SUBGRISM64", "n_outputs": 1}),
    *(("miri-imaging", {"subarray": s}) for s in ("SUB64", "SUB128", "BRIGHTSKY", "FULL")),
]


def from_header(exposure):
    """Return times of the pixels as the reader makes them, from the cards of the header alone."""
    cards = json.loads(headers.fits_header(exposure))
    shape = exposure.setup.shape
    attrs = header.attributes(cards["PRIMARY"], cards["SCI"], kind="rates", where="a", shape=shape)
    attrs |= readout.compared_with_header(attrs, *shape)
    offset = readout.read_offset(attrs, *shape)
    coords = {
        "time": ("time", exposure.clock.tdb(0.5), {"time_scale": "tdb"}),
        "time_utc": ("time", exposure.clock.utc(0.5)),
        "read_offset": offset,
    }
    return xr.Dataset(coords=coords, attrs=attrs)


def off_by(ds, clock, since_start, **options):
    """Return the largest departure, s, of times from those of UTC seconds since the start."""
    utc = clock.start + since_start / 86400.0
    truth = utc + barycentric_delay(utc) / 86400.0
    return float(abs(ds.tso.pixel_time(**options) - truth).max()) * 86400.0


@pytest.mark.parametrize(("mode", "options"), EXPOSURES, ids=str)
def test_pixels_have_the_times_of_the_simulators_clock(mode, options):
    exposure = simulation.exposure(mode, n_integrations=2, **options)
    clock = exposure.clock
    ds = from_header(exposure)
    middle = clock.integration_start + 0.5 * clock.integration_time
    delay = clock.readout.ticks * 1e-5
    # a date in days as float64 is good to 0.6 us, the delay as float32 to 1 us
    assert off_by(ds, clock, middle[:, None, None] + delay) < TEN_MICROSECONDS
    # what the difference of the last and the first group measures, from the sequence of reads
    weight = clock.difference_weight * clock.interval
    light = (weight * (clock.read_time - 0.5 * clock.interval)).sum() / weight.sum()
    center = clock.integration_start + light
    assert off_by(ds, clock, center[:, None, None] + delay, of="slope") < TEN_MICROSECONDS
    assert abs(ds.attrs["frame_time_difference"]) < 1e-9


def test_barycentric_time_runs_at_another_rate():
    """Delays are seconds of the observatory, which moves with 1e-4 of the speed of light."""
    exposure = simulation.exposure("niriss-soss", n_integrations=2, start=60000.0 + 91.3)
    ds, clock = from_header(exposure), exposure.clock
    since = (clock.integration_start + 0.5 * clock.integration_time)[:, None, None]
    since = since + clock.readout.ticks * 1e-5
    assert off_by(ds, clock, since) < TEN_MICROSECONDS
    # 5.5 s times 433 s of light 2 pi / year: 0.47 ms
    assert off_by(ds.drop_vars("time_utc"), clock, since) == pytest.approx(4.7e-4, rel=0.05)


def test_a_wrong_formula_shows_in_the_frame_time():
    attrs = {"instrument": "NIRSPEC", "fast_dim": "y", "n_outputs": 1, "frame_time": 0.9}
    found = readout.compared_with_header(attrs, 32, 512)["frame_time_difference"]
    assert found == pytest.approx(0.9 - 0.22616, abs=1e-9)
    assert readout.compared_with_header({**attrs, "instrument": "MIRI"}, 32, 512) == {}
    miri = {"instrument": "MIRI", "fast_dim": "x", "subarray": "SUB64", "frame_time": 0.08512}
    assert readout.compared_with_header(miri, 64, 72) == {"frame_time_difference": 0.0}


# ------------------------------------------------------------------ centre of a slope


def growing(n_groups):
    """Return ramps of light that grows from 0 to 2, of light of 1, the start, and how long, d."""
    still = simulation.exposure(
        "nirspec-prism", n_integrations=3, n_groups=n_groups, noise=(), radius_ratio=0.0, seed=3,
        brightness=0.3,
    )  # fmt: skip
    first, last = still.moment(-1.0), still.moment(2.0)
    light = xr.DataArray([0.0, 2.0], dims="time", coords={"time": [first, last]})
    return still.replace(light_curve=light).ramps(), still.ramps(), first, last - first


def drifting(method, n_groups):
    """Return the time (time, y, x), d, at which growing light has the value that slopes measure."""
    ramps, flat, first, span = growing(n_groups)
    lit = flat["ramp"].isel(time=0, group=-1) - flat["ramp"].isel(time=0, group=0) > 1000.0
    assert lit.sum() > 50
    grown, one = (r.tso.fit_ramps(method=method)["rate"].where(lit) for r in (ramps, flat))
    return ramps, first + 0.5 * (grown.astype("f8") / one) * span, span


@pytest.mark.parametrize("method", ["ols", "last_minus_first", "likelihood"])
@pytest.mark.parametrize("n_groups", [2, 5])
def test_a_slope_measures_the_light_of_its_centre(method, n_groups):
    ramps, measured, span = drifting(method, n_groups)
    off = (measured - ramps.tso.pixel_time(of="slope")) * 86400.0
    # the simulator counts the seconds within an integration as barycentric ones, up to 1e-4 of
    # them off; rates in float32 add 1e-7 of the time in which the light grows
    seconds = ramps.attrs["frame_time"] * (n_groups + 1)
    assert float(abs(off).max()) < 1e-4 * seconds + 1e-6 * span * 86400.0
    # the middle of the integration is not that time: it lies half a frame before
    early = (measured - ramps.tso.pixel_time()) * 86400.0
    assert float(early.median()) == pytest.approx(0.5 * ramps.attrs["frame_time"], rel=1e-3)


def flagged(groups):
    ramps = tsoxr.simulate("nirspec-prism", n_integrations=6, n_groups=8, seed=1, noise=())
    bad = xr.DataArray(np.isin(np.arange(8), groups), dims="group")
    return ramps.assign(dq_group=dq.set_flag(ramps["dq_group"], bad, "DO_NOT_USE"))


@pytest.mark.parametrize(
    ("groups", "frames_late"),
    [
        ([], 0.5),
        ([0, 1], 1.5),  # the first left out, as for MIRI
        ([5, 6, 7], -1.0),  # the last left out, as where a pixel saturates
        ([3], 0.5),  # a gap within moves no centre
    ],
)
def test_groups_left_out_move_the_centre(groups, frames_late):
    ramps = flagged(groups)
    late = times.slope_delay(ramps)
    assert late.dims == ("y", "x")
    assert late.attrs["units"] == "s"
    expected = frames_late * ramps.attrs["frame_time"]
    np.testing.assert_allclose(late.values, expected, rtol=1e-6)
    # handed on to the rates
    kept = ramps.assign_coords(slope_delay=late).tso.fit_ramps()
    np.testing.assert_array_equal(times.slope_delay(kept), late)
    np.testing.assert_array_equal(kept.tso.pixel_time(of="slope"), ramps.tso.pixel_time(of="slope"))


WHOLE = ([], [0, 1], [5, 6, 7])
GAPS = ([3], [1, 4])


@pytest.fixture(scope="module")
def light_that_grows():
    return growing(8)


@pytest.mark.parametrize(
    ("method", "groups"),
    [
        *((m, g) for m in ("gls", "last_minus_first") for g in (*WHOLE, *GAPS)),
        *((m, g) for m in ("ols", "differences") for g in WHOLE),
    ],
)
def test_rates_know_when_their_slopes_measure(light_that_grows, method, groups):
    *both, first, span = light_that_grows
    bad = xr.DataArray(np.isin(np.arange(8), groups), dims="group")
    both = [r.assign(dq_group=dq.set_flag(r["dq_group"], bad, "DO_NOT_USE")) for r in both]
    grown, one = (r.tso.fit_ramps(method=method) for r in both)
    lit = one["rate"].isel(time=0) > 1000.0
    assert lit.sum() > 30
    measured = first + 0.5 * (grown["rate"].astype("f8") / one["rate"]).where(lit) * span
    off = (measured - grown.tso.pixel_time(of="slope")) * 86400.0
    frame = both[0].attrs["frame_time"]
    # as above: seconds of the simulator, and rates in float32; the delay is up to 1.9 frames
    assert float(abs(off).max()) < 1e-4 * 9 * frame + 1e-6 * span * 86400.0


def test_parts_beside_a_gap_are_weighted_as_the_fit_weights_them(light_that_grows):
    ramps = light_that_grows[1]
    bad = xr.DataArray(np.arange(8) == 3, dims="group")
    ramps = ramps.assign(dq_group=dq.set_flag(ramps["dq_group"], bad, "DO_NOT_USE"))
    frame = ramps.attrs["frame_time"]
    # frames 1 to 3 and 5 to 8, with 2 and 3 usable differences about 2 and 6.5 frames; the middle
    # of the integration is 4 frames after the reset
    even = ramps.tso.fit_ramps(method="last_minus_first")["slope_delay"]
    np.testing.assert_allclose(even, (0.4 * 2.0 + 0.6 * 6.5 - 4.0) * frame, rtol=1e-5)
    # where reads limit, parts count as n (n + 1) (n + 2): 24 and 60
    best = ramps.tso.fit_ramps()["slope_delay"] / frame
    limit = (24 * 2.0 + 60 * 6.5) / 84 - 4.0
    assert float(best.min()) > 0.69
    assert float(best.max()) == pytest.approx(limit, rel=0.02)


def test_spectra_and_light_curves_carry_the_time_of_the_slope():
    exposure = simulation.exposure("nirspec-prism", n_integrations=4, n_groups=8, seed=1)
    ramps = exposure.ramps()
    # red wavelengths lose their last four groups, as if they had saturated
    cut = (ramps["x"] > 250) & (ramps["group"] > 4)
    ramps = ramps.assign(dq_group=dq.set_flag(ramps["dq_group"], cut, "SATURATED"))
    rates = ramps.tso.fit_ramps(compute=False)
    spectra = rates.tso.find_trace().tso.assign_wavelength().tso.extract()
    frame = ramps.attrs["frame_time"]
    late = spectra["slope_delay"]
    assert late.dims == ("wavelength",)
    red = spectra["dispersion_pixel"] > 250
    np.testing.assert_allclose(late.where(~red, drop=True), 0.5 * frame, rtol=1e-4)
    np.testing.assert_allclose(late.where(red, drop=True), -1.5 * frame, rtol=1e-4)
    when = (spectra.tso.pixel_time(of="slope") - spectra.tso.pixel_time()) * 86400.0
    # float64 days near 60000 resolve 0.6 us
    np.testing.assert_allclose(when.isel(time=0), late, atol=3e-6 + 1e-4 * frame)
    curves = spectra.tso.bin(n_pixels=20)
    assert curves["slope_delay"].dims == ("wavelength",)
    ends = curves["slope_delay"].values[[0, -1]]
    np.testing.assert_allclose(ends, [0.5 * frame, -1.5 * frame], rtol=1e-4)
    assert spectra.tso.validate() == []
    assert curves.tso.validate() == []


def test_one_usable_group_has_no_slope():
    assert np.isnan(times.slope_delay(flagged([0, 1, 2, 3, 4, 5, 6]))).all()


def test_rare_flags_move_nothing_and_lazy_ramps_stay_lazy():
    ramps = tsoxr.simulate("nirspec-prism", n_integrations=6, n_groups=8, seed=1, noise=())
    hit = xr.DataArray(np.arange(6) == 2, dims="time") & xr.DataArray(
        np.arange(8) > 4, dims="group"
    )
    ramps = ramps.assign(dq_group=dq.set_flag(ramps["dq_group"], hit, "JUMP_DET", "DO_NOT_USE"))
    with tsoxr.testing.raise_if_computes():
        lazy = times.slope_delay(ramps.chunk(time=2))
    np.testing.assert_array_equal(lazy.compute(), times.slope_delay(ramps))
    np.testing.assert_allclose(lazy, 0.5 * ramps.attrs["frame_time"], rtol=1e-6)


def test_spectra_have_times_too():
    ds = tsoxr.simulate("niriss-soss", kind="spectra", subarray="SUBSTRIP96", n_integrations=2)
    later = (ds.tso.pixel_time(of="slope") - ds.tso.pixel_time()) * 86400.0
    assert later.dims == ("time", "wavelength")
    # half a frame of observatory seconds, which are 1e-4 longer or shorter at the barycentre
    np.testing.assert_allclose(later, 0.5 * 2.214, rtol=1e-4)


def test_bad_requests_for_times():
    ds = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=2)
    with pytest.raises(ValueError, match="of is 'middle'; it must be 'integration' or 'slope'"):
        ds.tso.pixel_time(of="middle")
    del ds.attrs["frame_time"]
    with pytest.raises(tsoxr.SchemaError, match="neither 'group_time' nor the attribute"):
        ds.tso.pixel_time(of="slope")


# --------------------------------------------------------------------------- barycentre

TARGETS = [(217.32667, -3.44449), (10.0, 66.5), (90.0, -66.0), (0.0, 0.0001)]
MJD = np.linspace(59600.0, 61600.0, 60)


def astropy_light_time(mjd, ra, dec, location):
    from astropy.coordinates import SkyCoord
    from astropy.time import Time
    from astropy.utils import iers

    with (
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
        iers.conf.set_temp("auto_max_age", None),  # tables that come with astropy age
    ):
        time = Time(mjd, format="mjd", scale="utc", location=location)
        return time.light_travel_time(SkyCoord(ra, dec, unit="deg"), ephemeris="builtin").to_value(
            "s"
        )


@pytest.mark.parametrize(("ra", "dec"), TARGETS)
def test_light_time_of_the_earth_is_that_of_astropy(ra, dec):
    from astropy.coordinates import EarthLocation

    center = EarthLocation.from_geocentric(0, 0, 0, unit="m")
    expected = astropy_light_time(MJD, ra, dec, center)
    made = times.barycentric(MJD, ra=ra, dec=dec, position="earth")
    # both take the Earth from the same ephemeris: rounding of 500 s in float64
    np.testing.assert_allclose(made["light_travel_time"], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("ra", "dec"), TARGETS[:3])
def test_light_time_of_an_observatory_is_that_of_astropy(ra, dec):
    """A place off the Earth, turned by astropy between the axes of the sky and of the ground."""
    import astropy.units as u
    from astropy.coordinates import GCRS, ITRS, CartesianRepresentation, EarthLocation
    from astropy.time import Time
    from astropy.utils import iers

    mjd, away = MJD[::15], np.array([-1.2e6, 0.7e6, 0.5e6])
    with (
        iers.conf.set_temp("auto_download", False),
        iers.conf.set_temp("iers_degraded_accuracy", "ignore"),
        iers.conf.set_temp("auto_max_age", None),  # tables that come with astropy age
    ):
        when = Time(mjd, format="mjd", scale="utc")
        vector = CartesianRepresentation(*(a * np.ones(mjd.size) * u.km for a in away))
        ground = GCRS(vector, obstime=when).transform_to(ITRS(obstime=when))
        place = EarthLocation(ground.x, ground.y, ground.z)
        expected = astropy_light_time(mjd, ra, dec, place)
    made = times.barycentric(mjd, ra=ra, dec=dec, position=(MJD, np.tile(away, (MJD.size, 1))))
    # astropy turns the vector as if it were seen from the Earth, with aberration: 1e-4 of the
    # 5 s of light between observatory and Earth
    np.testing.assert_allclose(made["light_travel_time"], expected, rtol=0, atol=5e-4)


def test_utc_becomes_tdb():
    made = times.barycentric(MJD, ra=10.0, dec=20.0)["tdb_minus_utc"].values
    np.testing.assert_allclose(made, 37.0 + 32.184, atol=0.002)  # periodic terms below 2 ms
    assert np.ptp(made) > 0.002  # and they are there
    from astropy.time import Time

    tdb = Time(MJD, format="mjd", scale="utc").tdb.mjd
    table = times.barycentric(MJD, ra=10.0, dec=20.0, position="earth")
    own = table["bmjd_tdb"].values - table["light_travel_time"].values / 86400.0
    np.testing.assert_allclose(own, tdb, rtol=0, atol=2e-11)  # 1.5 units of the last place


HALO = 2 * np.pi / 168.0


def halo(mjd):
    """Return barycentric vectors (n, 3), km, of an observatory that goes around L2."""
    tdb = mjd + 69.184 / 86400
    l2 = ephemeris.observatory(mjd, "l2", {}).xyz
    phase = HALO * (tdb - 60000.0)[:, None]
    return l2 + 4.5e5 * np.cos(phase) * [0.5, 0.8, 0.3] + 4.0e5 * np.sin(phase) * [0.1, -0.3, 0.9]


def science_header(moment):
    step = 1e-3
    motion = (halo(np.array([moment + step])) - halo(np.array([moment - step]))) / (
        2 * step * 86400
    )
    place = halo(np.array([moment]))[0]
    cards = {f"JWST_{a}": float(v) for a, v in zip("XYZ", place, strict=True)}
    cards |= {f"JWST_D{a}": float(v) for a, v in zip("XYZ", motion[0], strict=True)}
    return {**cards, "EPH_TIME": moment}


def test_vectors_of_the_header_serve_a_whole_exposure():
    moment = 60123.4
    mjd = moment + np.linspace(-5, 5, 41) / 24
    found = ephemeris.observatory(mjd, None, science_header(moment))
    assert "header" in found.source
    off = ephemeris.light_travel_time(found.xyz - halo(mjd), 120.0, 40.0)
    # the halo bends by 1.6e-7 km/s2: 26 km, 90 us of light, at five hours
    assert np.abs(off).max() < 1e-4
    assert found.error < 0.011
    long = ephemeris.observatory(moment + np.array([0.0, 2.0]), None, science_header(moment))
    assert long.error > 0.005


def test_the_lagrange_point_and_the_earth_are_as_good_as_they_say():
    mjd = np.arange(59800.0, 61000.0, 5.0)
    inside = mjd[3:-3]
    for ra, dec in TARGETS:
        exact = ephemeris.light_travel_time(halo(inside), ra, dec)
        for name in ("l2", "earth"):
            table = times.barycentric(inside, ra=ra, dec=dec, position=name)
            off = abs(table["light_travel_time"].values - exact).max()
            assert 0.1 < off < table.attrs["position_error"]


HORIZONS = """*******
 Center body name: Solar System Barycenter (0)
$$SOE
{rows}
$$EOE
"""


def tables(folder, mjd):
    tdb, vectors = mjd + ephemeris.tdb_minus_utc(mjd) / 86400, halo(mjd)
    lines = [
        f"{t + 2400000.5:.9f}, A.D. 2023-Jan-01 00:00:00.0000, {x:.9E}, {y:.9E}, {z:.9E},"
        for t, (x, y, z) in zip(tdb, vectors, strict=True)
    ]
    (folder / "horizons.txt").write_text(HORIZONS.format(rows="\n".join(lines)))
    np.savetxt(
        folder / "plain.csv", np.column_stack([tdb, vectors]), delimiter=",", header="mjd x y z"
    )
    return folder / "horizons.txt", folder / "plain.csv"


def test_tables_of_vectors(tmp_path):
    every, mjd = np.arange(60100.0, 60110.0, 0.5), np.linspace(60101.03, 60108.77, 50)
    exact = ephemeris.light_travel_time(halo(mjd), 217.3, -3.4)
    for path in tables(tmp_path, every):
        made = times.barycentric(mjd, ra=217.3, dec=-3.4, position=path)
        # cubic splines of the distance from the Earth; text of a Julian date is good to 0.1 ms
        np.testing.assert_allclose(made["light_travel_time"], exact, rtol=0, atol=5e-5)
        assert made.attrs["position"] == path.name


def product(**changes):
    ds = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=5, seed=1)
    return ds.assign_attrs(changes)


def in_utc(ds):
    return ds.assign_coords(
        time=("time", ds["time_utc"].values, {"time_scale": "utc", "units": "d"})
    )


def test_times_in_utc_become_barycentric():
    ds = in_utc(product(time_source="int_mid_MJD_UTC"))
    out = ds.tso.barycentric(position="earth")
    table = times.barycentric(ds, position="earth")
    np.testing.assert_array_equal(out["time"], table["bmjd_tdb"])
    np.testing.assert_array_equal(out["time_utc"], ds["time"])
    assert out["time"].attrs["time_scale"] == "tdb"
    assert "centre of the Earth" in out.attrs["time_source"]
    assert records(out.attrs)[-1]["params"]["ra"] == pytest.approx(217.32667)
    assert tsoxr.schema.validate(out) == []
    out.tso.plot.barycentric()


def test_times_at_the_barycentre_are_compared():
    ds = product()
    table = times.barycentric(ds, position="earth")
    off = 0.75  # s, put into the times of the file
    wrong = ds.assign_coords(
        time=("time", table["bmjd_tdb"].values + off / 86400, ds["time"].attrs)
    )
    out = wrong.tso.barycentric(position="earth")
    np.testing.assert_array_equal(out["time"], wrong["time"])  # they stay
    np.testing.assert_allclose(out["barycentric_difference"], off, atol=3e-6)
    np.testing.assert_allclose(
        times.barycentric(wrong, position="earth")["difference"], off, atol=3e-6
    )
    assert "kept" in records(out.attrs)[-1]["notes"][0]
    out.tso.plot.barycentric()


def test_what_cannot_be_compared_stays():
    alone = product().drop_vars("time_utc")
    xr.testing.assert_equal(alone.tso.barycentric(), alone)
    unknown = product(fits_header="{}")
    xr.testing.assert_equal(unknown.tso.barycentric(), unknown)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"position": "nowhere.txt"}, "there is no file 'nowhere.txt'"),
        ({"position": "header"}, "has no vectors of the observatory"),
        ({"position": (MJD[:3], np.zeros((3, 2)))}, r"vectors \(3, 2\)"),
        ({"position": (MJD, np.zeros((MJD.size, 3)))}, "puts the observatory 0 to 0 km"),
        ({"position": (MJD[:5] - 3000, np.full((5, 3), 8.7e5))}, "give a table that covers them"),
    ],
)
def test_bad_positions(given, message):
    with pytest.raises(tsoxr.TsoError, match=message):
        in_utc(product()).tso.barycentric(**given)


def test_bad_tables_and_targets(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("60000 1 2\n")
    with pytest.raises(tsoxr.TsoError, match="rows that are not four numbers"):
        times.barycentric(MJD, ra=1, dec=2, position=path)
    path.write_text("$$SOE\n2460000.5 = A.D.\n X = 1 Y = 2\n$$EOE")
    with pytest.raises(tsoxr.TsoError, match="CSV_FORMAT=YES"):
        times.barycentric(MJD, ra=1, dec=2, position=path)
    with pytest.raises(tsoxr.TsoError, match="target is not known"):
        times.barycentric(MJD)
    with pytest.raises(tsoxr.SchemaError, match="the data have no UTC"):
        times.barycentric(product().drop_vars("time_utc"))


def test_a_header_in_metres_is_refused():
    cards = {k: v * 1000 if k != "EPH_TIME" else v for k, v in science_header(60100.0).items()}
    with pytest.raises(tsoxr.TsoError, match="science header puts the observatory"):
        ephemeris.observatory(np.array([60100.0]), None, cards)


def test_files_keep_utc_and_the_accuracy_of_the_clock(tmp_path):
    exposure = simulation.exposure("nirspec-prism", n_integrations=3, n_groups=2, seed=1)
    exposure.write(tmp_path, n_segments=1)
    ds = tsoxr.open(str(tmp_path / "*_uncal.fits"))
    np.testing.assert_allclose(ds["time_utc"], exposure.clock.utc(0.5), rtol=0, atol=1e-11)
    assert ds.attrs["time_source_accuracy"] == pytest.approx(0.12)
    assert "Shaw" in ds.attrs["time_source_accuracy_from"]
    late = times.barycentric(ds)
    assert np.isfinite(late["difference"]).all()


def archive_times(folder):
    """Return BMJD_TDB of two real G395H series, their targets, and the groups of an integration."""
    tilt = np.loadtxt(folder / "wasp39b_g395h_white_light_with_tilt_event.dat", usecols=0)
    lines = (folder / "wasp107b_g395h_nrs1_white_light_eureka_s5.ecsv").read_text().splitlines()
    rows = [line.split()[0] for line in lines if not line.startswith("#")][1:]
    return {
        "WASP-39": (tilt - 2400000.5, (217.32667, -3.44449), 70),
        "WASP-107": (np.array(rows, dtype=float), (188.3864, -10.1462), 20),
    }


@pytest.mark.real_data
def test_real_barycentric_times_run_at_the_predicted_rate(real_data_dir):
    frame = {r["subarray"]: r["frame_time"] for r in tsoxr.modes.timing("nirspec-g395h")}["SUB2048"]
    extra, plain = [], []
    for bmjd, (ra, dec), groups in archive_times(real_data_dir / "nirspec").values():
        made = times.barycentric(bmjd - 500.0 / 86400.0, ra=ra, dec=dec)["bmjd_tdb"].values
        rate = (made[-1] - made[0]) / (bmjd[-1] - bmjd[0])
        assert abs(rate - 1.0) > 9e-5  # both stars were left behind at 30 km/s
        cadence = (bmjd[-1] - bmjd[0]) * 86400.0 / (bmjd.size - 1)
        extra.append(cadence / rate - (groups + 1) * frame)
        plain.append(cadence - (groups + 1) * frame)
    # integrations follow each other (groups + 1) frames and a row reset of 20.48 ms apart by
    # the observatory's clock. Seconds at the barycentre differ by 6.2 and 1.8 ms from that;
    # with the predicted rate 0.02 and 0.18 ms are left
    assert abs(np.diff(plain)[0]) > 4e-3
    assert abs(np.diff(extra)[0]) < 3e-4
    np.testing.assert_allclose(extra, 0.02048, atol=3e-4)


def files_with_both_clocks(folder):
    """Return the archive's files whose table of integration times has UTC and BJD."""
    from astropy.io import fits

    found = []
    for path in sorted(folder.rglob("*.fits")):
        with fits.open(path) as file:
            table = file["INT_TIMES"].data if "INT_TIMES" in file else None
            if table is not None and len(table) and (table["int_mid_BJD_TDB"] > 0).all():
                found.append(path)
    return found


@pytest.mark.real_data
def test_real_files_have_the_barycentric_times_that_we_compute(real_data_dir):
    paths = files_with_both_clocks(real_data_dir)
    if not paths:
        pytest.skip("no real file has both UTC and barycentric times of its integrations")
    for path in paths:
        ds = tsoxr.open(path)
        table = times.barycentric(ds)
        # what the position is good to, and 1 ms for what is left out of the light time
        assert np.abs(table["difference"]).max() < table.attrs["position_error"] + 1e-3
