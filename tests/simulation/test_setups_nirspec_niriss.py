"""NIRSpec and NIRISS: subarrays, axes, traces, orders and the light that they keep."""

import numpy as np
import pytest
from astropy.io import fits

from tsoxr.simulation import exposure
from tsoxr.simulation.labels import relative_flux
from tsoxr.simulation.ramp import expected_charge

CHOICES = [
    # mode, choice, shape, origin, border, frame time in s
    ("nirspec-prism", {}, (32, 512), (1025, 959), (0, 0, 0, 0), 0.22616),
    ("nirspec-prism", {"subarray": "SUB512S"}, (16, 512), (1025, 967), (0, 0, 0, 0), 0.14392),
    ("nirspec-g395h", {}, (32, 2048), (1, 963), (4, 4, 0, 0), 0.90200),
    ("nirspec-g395h", {"detector": "NRS2"}, (32, 2048), (1, 1055), (4, 4, 0, 0), 0.90200),
    ("nirspec-g395h", {"subarray": "SUB1024A"}, (32, 1024), (1, 963), (4, 0, 0, 0), 0.45144),
    ("nirspec-g395h", {"subarray": "SUB1024B"}, (32, 1024), (1025, 963), (0, 4, 0, 0), 0.45144),
    (
        "nirspec-g395h",
        {"detector": "NRS2", "subarray": "SUB1024A"},
        (32, 1024),
        (1025, 1055),
        (0, 4, 0, 0),
        0.45144,
    ),
    ("nirspec-g395m", {}, (32, 2048), (1, 946), (4, 4, 0, 0), 0.90200),
    ("nirspec-g395m", {"subarray": "SUB1024B"}, (32, 1024), (1025, 946), (0, 4, 0, 0), 0.45144),
    ("niriss-soss", {}, (256, 2048), (1, 1793), (4, 4, 0, 4), 5.49400),
    ("niriss-soss", {"subarray": "SUBSTRIP96"}, (96, 2048), (1, 1803), (4, 4, 0, 0), 2.21400),
    ("niriss-soss", {"filter": "F277W"}, (256, 2048), (1, 1793), (4, 4, 0, 4), 5.49400),
]
NAMES = ["-".join([mode, *choice.values()]) for mode, choice, *_ in CHOICES]
every_choice = pytest.mark.parametrize(
    ("mode", "choice"), [(mode, choice) for mode, choice, *_ in CHOICES], ids=NAMES
)


@pytest.mark.parametrize(
    ("mode", "choice", "shape", "origin", "border", "seconds"), CHOICES, ids=NAMES
)
def test_subarrays(mode, choice, shape, origin, border, seconds):
    each = exposure(mode, n_integrations=2, **choice)
    setup, groups = each.setup, each.n_groups
    assert (setup.shape, setup.origin, setup.border) == (shape, origin, border)
    assert each.clock.frame_time == pytest.approx(seconds, abs=1e-9)
    # each reset takes a frame
    assert each.clock.integration_interval == pytest.approx((groups + 1) * seconds, abs=1e-9)
    # the detector ends with four columns of reference pixels
    assert border[:2] == (4 * (origin[0] == 1), 4 * (origin[0] + shape[1] == 2049))


@every_choice
def test_default_exposures_stay_small(mode, choice):
    own = exposure(mode, **choice).setup
    assert own.n_integrations * own.n_groups * np.prod(own.shape) * 2 < 300e6


@pytest.mark.parametrize(
    ("mode", "choice", "way"),
    [
        ("nirspec-prism", {}, +1),
        ("nirspec-g395h", {"detector": "NRS1"}, +1),
        ("nirspec-g395h", {"detector": "NRS2"}, -1),
        ("niriss-soss", {}, -1),
    ],
)
def test_axes_of_the_read_out(mode, choice, way):
    each = exposure(mode, n_integrations=2, **choice)
    readout = each.setup.readout
    assert (readout.fast_dim, readout.slow_dim) == ("y", "x")
    assert (readout.fast_direction, readout.slow_direction) == (way, way)
    first = 0 if way > 0 else -1
    assert readout.ticks[first, first] == 0
    late = each.component.offset  # wavelengths ascend
    skew = late[-1] - late[0]
    # SOSS: 0.85 um first, 2.83 um last, almost a frame later; NRS2: red first
    blue_first = mode == "niriss-soss" or way > 0
    assert (skew > 0) == blue_first
    assert abs(skew) > 0.6 * each.clock.frame_time


@every_choice
def test_no_light_falls_beside_the_pixels_that_see(mode, choice):
    each = exposure(mode, n_integrations=2, noise=(), **choice)
    inside = each.setup.science
    for component in each.scene.components:
        assert np.all(np.isfinite(component.center))
        assert np.all(component.spectrum > 0)
        share = component.share()
        assert share[inside].sum() > 0.999 * share.sum()
        # the trace ends at the border of reference columns
        assert inside[0, component.pixel].all()


@pytest.mark.parametrize(
    ("detector", "wavelength", "columns"),
    [("NRS1", (2.72, 3.72), (537, 2043)), ("NRS2", (3.82, 5.18), (4, 2043))],
)
def test_g395h_begins_where_the_filter_opens(detector, wavelength, columns):
    light = exposure("nirspec-g395h", detector=detector, n_integrations=2).component
    assert wavelength[0] - 0.03 < light.wavelength[0] < wavelength[0] + 0.01
    assert light.wavelength[-1] == pytest.approx(wavelength[1], abs=0.01)
    assert (light.pixel.min(), light.pixel.max()) == pytest.approx(columns, abs=2)
    bright = light.pixel[light.spectrum > 0.02 * light.spectrum.max()]
    if detector == "NRS1":  # published spectra begin at 2.73 um, column 590
        assert 560 < bright.min() < 640


def test_half_subarrays_show_half_of_the_whole():
    whole = exposure("nirspec-g395h", n_integrations=2).component
    half = exposure("nirspec-g395h", subarray="SUB1024B", n_integrations=2).component
    column = half.pixel + 1024
    at = np.searchsorted(whole.pixel, column)
    np.testing.assert_array_equal(whole.pixel[at], column)
    np.testing.assert_array_equal(whole.wavelength[at], half.wavelength)
    np.testing.assert_allclose(whole.center[at], half.center, rtol=1e-14)


def test_small_prism_subarray_is_a_window_of_the_large_one():
    large, small = (
        expected_charge(
            exposure("nirspec-prism", subarray=name, n_integrations=2, noise=(), n_groups=1), 0
        )[0]
        for name in ("SUB512", "SUB512S")
    )
    window = large[8:24]
    # each is normalised to what falls on it: the wings beyond 8 pixels are lost in one
    ratio = small[:, 40:470].sum(axis=0) / window[:, 40:470].sum(axis=0)
    assert np.ptp(ratio) < 0.03 * ratio.mean()
    peak = (np.argmax(small, axis=0), np.argmax(window, axis=0))
    np.testing.assert_array_equal(peak[0][20:480], peak[1][20:480])


def test_orders():
    assert exposure("niriss-soss").setup.orders == (1, 2, 3)
    assert exposure("niriss-soss", subarray="SUBSTRIP96").setup.orders == (1, 2)
    assert exposure("niriss-soss", filter="F277W").setup.orders == (1,)
    light = {o: exposure("niriss-soss", order=o).component for o in (1, 2, 3)}
    ranges = {o: (c.wavelength[0], c.wavelength[-1]) for o, c in light.items()}
    assert ranges[1] == pytest.approx((0.851, 2.829), abs=0.002)
    assert ranges[2][0] == pytest.approx(0.57, abs=0.02)  # leaves the subarray at the top
    assert ranges[2][1] == pytest.approx(1.407, abs=0.005)
    assert ranges[3][1] == pytest.approx(0.955, abs=0.005)


def test_soss_orders_overlap_on_the_detector():
    each = exposure("niriss-soss", n_integrations=2, noise=())
    first, second = (each.scene.of_order(o).share() for o in (1, 2))
    column = slice(60, 100)
    shared = np.minimum(first, second)[:, column].sum(axis=0)
    assert np.all(shared > 0.05)  # 17 pixels apart and 22 wide
    assert np.minimum(first, second)[:, 1500].sum() < 0.03


def test_soss_profile_is_flat_with_two_horns():
    light = exposure("niriss-soss", n_integrations=2, noise=()).scene.of_order(1)
    column = 1200
    profile = light.share()[:, column]
    y = np.arange(profile.size) - light.center[light.pixel == column][0]
    plateau = np.median(profile[np.abs(y) < 8])
    lit = y[profile > 0.5 * plateau]
    assert lit[-1] - lit[0] + 1 == pytest.approx(23, abs=1.5)
    assert profile[np.abs(y + 8) < 1.5].max() > 1.1 * profile[np.abs(y) < 3].mean()
    assert profile[np.abs(y - 8) < 1.5].max() > 1.2 * profile[np.abs(y) < 3].mean()
    assert 0.005 < profile[np.abs(y) > 30].sum() < 0.03


def test_sky_of_soss_has_its_step():
    each = exposure("niriss-soss", n_integrations=2, noise=("background",))
    sky = each.scene.sky
    assert sky.mean() == pytest.approx(each.setup.background, rel=1e-12)
    assert sky[0, 730] / sky[0, 670] == pytest.approx(7.0 / 4.65, rel=0.05)
    steepest = np.argmax(np.diff(sky[0]))
    assert 693 < steepest < 704


@pytest.mark.parametrize("subarray", ["SUBSTRIP256", "SUBSTRIP96"])
def test_field_stars_are_static_and_optional(subarray):
    given = {"subarray": subarray, "n_integrations": 2}
    without = exposure("niriss-soss", noise=(), **given).scene.contaminants
    with_them = exposure("niriss-soss", noise=("contaminants",), **given).scene
    assert not without.any()
    first_row = {"SUBSTRIP256": 0, "SUBSTRIP96": 10}[subarray]
    stars = with_them.contaminants
    assert stars[35 - first_row, 1899] == pytest.approx(stars.max(), rel=0.1)
    assert 0.01 < stars.max() / with_them.star.max() < 0.1
    filtered = exposure("niriss-soss", filter="F277W", noise=("contaminants",), **given).scene
    share = filtered.contaminants.max() / filtered.star.max()
    assert share > 3 * stars.max() / with_them.star.max()  # the star is cut, they are less so


@every_choice
def test_noiseless_exposures_give_the_light_curve_back(mode, choice):
    each = exposure(mode, n_integrations=9, n_groups=2, noise=(), seed=4, **choice)
    ramp = each.ramps()["ramp"].values
    light = (ramp[:, 1] - ramp[:, 0]).astype(float)
    parts = each.scene.components
    curves = {c.order: relative_flux(each, c) for c in parts}
    white = sum(curves[c.order] @ c.spectrum for c in parts)
    # float32 keeps 6e-8 of each pixel
    total = light.sum(axis=(1, 2))
    np.testing.assert_allclose(total / total[0], white / white[0], rtol=0, atol=1e-6)
    assert white.min() / white[0] < 0.992
    for component in parts:
        alone = _columns_of(component, parts, each.setup.n_spatial)
        if alone is None:
            continue
        rows, columns, found = alone
        sums = light[:, rows, columns].sum(axis=1)
        np.testing.assert_allclose(
            sums / sums[0],
            curves[component.order][:, found] / curves[component.order][0, found],
            rtol=0,
            atol=1e-6,
        )


def _columns_of(component, parts, n_rows):
    """Rows and columns that hold the light of one order alone, and its wavelengths there."""
    if len(parts) == 1:
        keep, rows = np.arange(component.pixel.size), slice(0, n_rows)
    elif component.order == 1:  # right of the other orders
        last = max(p.pixel.max() for p in parts if p.order != 1)
        keep, rows = np.flatnonzero(component.pixel > last), slice(0, n_rows)
    elif component.order == 2 and n_rows == 256:  # above the wings of order 1
        keep = np.flatnonzero((component.pixel > 1785) & (component.pixel < 1815))
        rows = slice(155, n_rows)
    else:
        return None
    assert keep.size > 10
    return rows, component.pixel[keep], keep


@pytest.mark.parametrize(
    ("mode", "choice", "message"),
    [
        (
            "niriss-soss",
            {"subarray": "SUBSTRIP95"},
            "niriss-soss has no subarray 'SUBSTRIP95'.*did you mean 'SUBSTRIP96'",
        ),
        ("niriss-soss", {"filter": "F227W"}, "no filter 'F227W'.*CLEAR, F277W.*'F277W'"),
        ("niriss-soss", {"filter": "F277W", "order": 2}, "has no order 2; it has 1"),
        ("niriss-soss", {"subarray": "SUBSTRIP96", "order": 3}, "has no order 3; it has 1, 2"),
        ("niriss-soss", {"n_outputs": 4}, "no n_outputs 4"),
        ("niriss-soss", {"pupil": "CLEARP"}, "no pupil 'CLEARP'; it has 'GR700XD' only"),
        ("nirspec-g395m", {"detector": "NRS2"}, "nirspec-g395m has no detector 'NRS2'"),
        ("nirspec-g395h", {"subarray": "SUB512"}, "no subarray 'SUB512'; .*SUB2048"),
        ("nirspec-g395h", {"filter": "CLEAR"}, "no filter 'CLEAR'; .*F290LP"),
        ("nirspec-prism", {"subarray": "SUB2048"}, "no subarray 'SUB2048'; .*SUB512, SUB512S"),
    ],
)
def test_choices_that_do_not_exist(mode, choice, message):
    with pytest.raises(ValueError, match=message):
        exposure(mode, **choice)


# ------------------------------------------------------------------ against real data


def published_traces(folder, order):
    """Traces of WASP-39 by five teams on the columns of the detector, (team, x); NaN where none."""
    x = np.arange(2048.0)
    out = []
    for path in sorted((folder / "niriss_soss" / "wasp39_traces").glob("*.csv")):
        names = path.read_text().split("\n", 1)[0].split(",")
        table = np.genfromtxt(path, delimiter=",", skip_header=1)
        column, row = table[:, names.index("x")], table[:, names.index(f"order{order}")]
        row = np.where((row > 1) & (row < 256), row, np.nan)
        out.append(np.interp(x, column, row, left=np.nan, right=np.nan))
    assert len(out) == 5
    return np.array(out)


@pytest.mark.real_data
@pytest.mark.parametrize(("order", "columns"), [(1, (4, 2044)), (2, (700, 1790)), (3, (4, 650))])
def test_soss_traces_follow_published_ones(real_data_dir, order, columns):
    part = slice(*columns)
    traces = published_traces(real_data_dir, order)[:, part]
    assert np.all(np.isfinite(traces).sum(axis=0) >= 3)
    truth = exposure("niriss-soss", order=order, n_integrations=2).truth(stripes=False)
    away = truth["trace_center"].values[part] - np.nanmedian(traces, axis=0)
    # the teams differ from each other by 2 to 5 pixels
    assert np.nanmax(np.abs(away)) < 1.5


@pytest.mark.real_data
@pytest.mark.parametrize("order", [1, 2, 3])
def test_soss_wavelengths_follow_the_flight_reference(real_data_dir, order):
    path = real_data_dir / "niriss_soss" / "jwst_niriss_spectrace_0023.fits"
    table = fits.getdata(path, order)
    ascending = np.argsort(table["X"])
    light = exposure("niriss-soss", order=order, n_integrations=2).component
    reference = np.interp(light.pixel, table["X"][ascending], table["WAVELENGTH"][ascending])
    step = np.abs(np.gradient(reference, light.pixel))
    # the nominal relations lie 0.5 to 2 pixels from this reference: other visits, another wheel
    assert np.max(np.abs(light.wavelength - reference) / step) < 2.2


@pytest.mark.real_data
def test_soss_orders_share_the_light_as_in_a_real_frame(real_data_dir):
    frame = np.load(real_data_dir / "niriss_soss" / "wasp39_soss_substrip256_median_frame.npy")
    each = exposure("niriss-soss", n_integrations=2, noise=("background", "contaminants"))
    made = each.truth(stripes=False)["rate"].values
    samples = {
        1: (300, 600, 1000, 1300, 1700, 1950),
        2: (900, 1100, 1300, 1500),
        3: (100, 300, 500),
    }
    ratio = {}
    for order, columns in samples.items():
        light = each.scene.of_order(order)
        ratio[order] = [box(made, light, column) / box(frame, light, column) for column in columns]
    scale = np.median(ratio[1])
    # the spectrum is a black body, the star has lines, and throughputs are known to 10 or 20%
    assert np.ptp(ratio[1]) < 0.25 * scale
    assert np.median(ratio[2]) / scale == pytest.approx(1.0, abs=0.25)
    assert np.median(ratio[3]) / scale == pytest.approx(1.0, abs=0.25)


def box(image, light, column):
    """Light within 14 pixels of the trace above the level beside it, median of 17 columns."""
    sums = []
    for x in range(column - 8, column + 9):
        distance = np.abs(np.arange(252) - light.center[light.pixel == x][0])
        level = np.nanpercentile(image[:252, x][(distance > 22) & (distance < 45)], 20)
        sums.append(np.nansum(image[:252, x][distance <= 14] - level))
    return np.median(sums)


@pytest.mark.real_data
def test_f277w_ends_where_the_real_frame_does(real_data_dir):
    frame = np.load(real_data_dir / "niriss_soss" / "wasp39_soss_f277w_frame.npy")
    each = exposure("niriss-soss", filter="F277W", n_integrations=2, noise=())
    real, made = (np.median(image[60:90, 380:480], axis=0) for image in (frame, each.scene.star))
    half = [np.flatnonzero(s < 0.5 * np.median(s[:30]))[0] for s in (real, made)]
    assert half[0] == pytest.approx(half[1], abs=3)
    quiet = each.scene.star[:, 520:]
    assert not quiet.any()
