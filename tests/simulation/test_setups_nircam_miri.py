"""NIRCam and MIRI imaging: clocks, reading order, light and products."""

import numpy as np
import pytest

import tsoxr
from tsoxr import schema
from tsoxr.io.readout import read_offset, reference_pixels
from tsoxr.simulation import exposure, simulate
from tsoxr.simulation.instruments import Choice
from tsoxr.simulation.scene import StarImage
from tsoxr.simulation.setups import setup
from tsoxr.simulation.telescope import AT_REST, Pose

FRAME_TIMES = [
    # mode, choices, frame time in s: instrument documentation and flight programmes
    ("nircam-grism", {}, 0.34061),
    ("nircam-grism", {"subarray": "SUBGRISM128"}, 0.67597),
    ("nircam-grism", {"subarray": "SUBGRISM256"}, 1.34669),
    ("nircam-grism", {"n_outputs": 1}, 1.35960),
    ("nircam-grism", {"subarray": "SUBGRISM128", "n_outputs": 1}, 2.67800),
    ("nircam-grism", {"subarray": "SUBGRISM256", "n_outputs": 1}, 5.31480),
    ("nircam-imaging", {}, 1.34669),
    ("nircam-imaging", {"subarray": "SUBGRISM64"}, 0.34061),
    ("nircam-imaging", {"subarray": "SUBGRISM128"}, 0.67597),
    ("nircam-imaging", {"subarray": "SUB64P"}, 0.05016),
    ("nircam-imaging", {"subarray": "SUB160P"}, 0.27864),
    ("nircam-imaging", {"subarray": "SUB400P"}, 1.65624),
    ("miri-imaging", {"subarray": "SUB64"}, 0.08512),
    ("miri-imaging", {"subarray": "SUB128"}, 0.11904),
    ("miri-imaging", {}, 0.29952),
    ("miri-imaging", {"subarray": "BRIGHTSKY"}, 0.86528),
    ("miri-imaging", {"subarray": "FULL"}, 2.77504),
]

SMALL = {
    "grism": ("nircam-grism", {"n_groups": 3}),
    "grism red": ("nircam-grism", {"filter": "F444W", "n_outputs": 1, "n_groups": 3}),
    "weak lens": ("nircam-imaging", {"subarray": "SUBGRISM64", "n_groups": 3}),
    "lens in a square": ("nircam-imaging", {"subarray": "SUB160P", "pupil": "WLP8"}),
    "in focus": ("nircam-imaging", {"subarray": "SUB64P", "filter": "F187N"}),
    "red image": ("nircam-imaging", {"detector": "NRCBLONG", "subarray": "SUB64P"}),
    "miri": ("miri-imaging", {"subarray": "SUB64", "filter": "F1280W", "n_groups": 3}),
}
SMALL_IMAGES = [k for k in SMALL if not k.startswith("grism")]


def small(case, **given):
    mode, chosen = SMALL[case]
    return exposure(mode, **{"n_integrations": 7, **chosen, **given})


@pytest.mark.parametrize(("mode", "chosen", "seconds"), FRAME_TIMES)
def test_frame_times_and_reading_order(mode, chosen, seconds):
    each = exposure(mode, **chosen, n_integrations=1)
    assert each.clock.frame_time == pytest.approx(seconds, abs=1e-9)
    attrs = simulate(mode, kind="lightcurves", **chosen, n_integrations=1).attrs
    ticks = each.setup.readout.ticks
    # an independent account of the same clock, from the header's keywords; float32 seconds
    expected = read_offset(attrs, *each.setup.shape).values
    np.testing.assert_allclose(ticks * 1e-5, expected, rtol=0, atol=1e-6)
    assert ticks.max() < each.setup.readout.frame_clocks
    reference = reference_pixels(attrs, *each.setup.shape)
    np.testing.assert_array_equal(reference, ~each.setup.science)


def test_shallow4_of_the_early_release_programme():
    each = exposure(
        "nircam-grism", subarray="SUBGRISM256", read_pattern="SHALLOW4", n_groups=12,
        brightness=0.05, n_integrations=2,
    )  # fmt: skip
    assert each.clock.integration_interval == pytest.approx(80.8014, abs=1e-5)
    assert (each.clock.n_frames, each.clock.group_gap) == (4, 1)


def test_neighbouring_outputs_read_towards_each_other():
    readout = exposure("nircam-grism", n_integrations=1).setup.readout
    line = readout.ticks[0].reshape(4, 512)
    directions = np.sign(np.diff(line, axis=1))
    assert (directions == directions[:, :1]).all()
    np.testing.assert_array_equal(directions[:, 0], [1, -1, 1, -1])
    np.testing.assert_array_equal(line.min(axis=1), 0)  # all four begin together
    np.testing.assert_array_equal(readout.ticks[:, 0] // 524, np.arange(64))
    np.testing.assert_array_equal(np.unique(readout.outputs[5].reshape(4, 512), axis=1).size, 4)
    upside_down = exposure("nircam-imaging", detector="NRCB1", n_integrations=1).setup.readout
    assert upside_down.ticks[-1, 0] == 0  # fast along +x, slow along -y
    assert upside_down.ticks[0, -1] == upside_down.ticks.max()


@pytest.mark.parametrize("case", SMALL)
def test_noiseless_ramps_give_the_light_curve_back(case):
    each = small(case, noise=())
    truth = each.truth(stripes=False)
    ramp = each.ramps()["ramp"].values.astype(float)
    light = ramp[:, -1] - ramp[:, 0]
    put_in = truth["white_flux"].values
    assert put_in.min() < 0.991
    white = light.sum(axis=(1, 2))
    star = each.component.spectrum
    span = (each.n_groups - 1) * each.clock.group_interval / each.setup.constants.gain
    # float32 ramps of 1e4 DN hold 5e-4 DN of the 1e5 DN and more of a column
    np.testing.assert_allclose(white / span / star.sum(), put_in, rtol=0, atol=1e-6)
    if not each.setup.imaging:
        column = light.sum(axis=1)[:, each.component.pixel] / span
        bright = star > 0.02 * star.max()
        curve = column[:, bright] / star[bright]
        np.testing.assert_allclose(curve, truth["flux"].values[:, bright], rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", SMALL)
def test_products_keep_to_the_schema(case, tmp_path):
    each = small(case, n_integrations=3, n_groups=2, seed=1)
    for kind in ("ramps", "rates", "lightcurves"):
        assert schema.validate(getattr(each, kind)()) == []
    truth = each.truth()
    truth.to_netcdf(tmp_path / "truth.nc")
    assert {"white_flux", "profile", "rate", "stripe", "shift"} <= set(truth)
    assert truth["white_flux_error"] > 0
    if each.setup.imaging:
        with pytest.raises(ValueError, match="does not disperse the light and has no spectra"):
            each.spectra()
    else:
        assert schema.validate(each.spectra()) == []


@pytest.mark.parametrize("case", ["grism", "in focus", "miri"])
def test_written_files_are_known_for_what_they_are(case, tmp_path):
    each = small(case, n_integrations=2, n_groups=2)
    ds = tsoxr.open(each.write(tmp_path))
    assert ds.attrs["tso_mode"] == each.mode
    np.testing.assert_array_equal(ds["ramp"], each.ramps()["ramp"])
    np.testing.assert_allclose(ds["read_offset"], each.read_offset, atol=1e-6)


@pytest.mark.parametrize("case", SMALL)
def test_image_counts_light_that_pixels_see(case):
    each = small(case)
    component, science = each.component, each.setup.science
    share = component.share()
    np.testing.assert_array_equal(share[~science], 0.0)
    total = share.sum() if each.setup.imaging else share.sum(axis=0)[component.pixel]
    np.testing.assert_allclose(total, 1.0, rtol=0, atol=1e-12)
    out = np.zeros(each.setup.shape)
    ones = np.ones(component.wavelength.size)
    component.paint(out, ones, 0 * ones, AT_REST)
    assert out.min() >= 0.0
    assert out[science].sum() == pytest.approx(component.spectrum.sum(), rel=1e-9)
    delay = each.setup.readout.ticks * 1e-5
    if each.setup.imaging:
        assert component.offset[0] == pytest.approx((share * delay).sum(), rel=1e-9)
    # light that changes with the time of reading adds nothing in the mean
    component.paint(out := np.zeros(each.setup.shape), 0 * ones, ones, AT_REST)
    # float32 delays
    assert abs(out[science].sum()) < 1e-6 * component.spectrum.sum() * delay.max()
    assert out.max() > 0


def test_small_arrays_lose_the_wings():
    images = {}
    for name in ("SUB64", "SUB256"):
        own = setup("miri-imaging", Choice(subarray=name))
        _, _, share = own.optics.image(own.shape, *own.optics.position, 0.0)
        images[name] = share.sum()
    assert images["SUB256"] == pytest.approx(1.0, abs=1e-9)
    assert 0.9 < images["SUB64"] < 0.99


@pytest.mark.parametrize("case", SMALL_IMAGES)
def test_star_moves_with_the_pose(case):
    own = small(case).setup
    star = StarImage(own, lambda wave: wave**-3.0)
    rest, moved, again = (np.zeros(own.shape) for _ in range(3))
    ones, nothing = np.ones(star.wavelength.size), np.zeros(star.wavelength.size)
    pose = Pose(across=2.0, along=-1.0, roll=1e-3, throughput=0.5)
    star.paint(rest, ones, nothing, AT_REST)
    star.paint(moved, ones, nothing, pose)
    star.paint(again, ones, nothing, pose)
    np.testing.assert_array_equal(moved, again)
    # rows 2 up, columns 1 down, half the light, away from reference pixels and the stamp's edge
    middle = int(star.position[1])
    left, right = max(middle - 100, 10), min(middle + 100, own.shape[1] - 10)
    np.testing.assert_allclose(
        moved[12:-8, left - 1 : right - 1], 0.5 * rest[10:-10, left:right], rtol=1e-9, atol=1e-15
    )
    star.paint(back := np.zeros(own.shape), ones, nothing, AT_REST)
    np.testing.assert_array_equal(back, rest)


def test_grism_light_is_where_the_instrument_puts_it():
    for name, columns, row in (("F322W2", (4, 1700), 34.0), ("F444W", (780, 1950), 34.0)):
        each = exposure("nircam-grism", filter=name, n_integrations=1)
        component = each.component
        assert columns[0] < component.pixel.min()
        assert component.pixel.max() < columns[1]
        assert abs(np.median(component.center) - row) < 1.5
        assert np.ptp(component.center) < 4.0  # nearly straight
        # diffraction at 4 um: 2.0 pixels full width at half maximum
        width = np.interp(4.0, component.wavelength, component.width)
        assert 2.3548 * width == pytest.approx(4e-6 / 6.5 * 206265 / 0.0629, rel=0.05)
        share = component.share()[:, component.pixel]
        near = abs(np.arange(64)[:, None] - component.center) <= 6
        inside = (share * near).sum(axis=0)
        assert inside.min() > 0.9  # core
        assert inside.max() < 0.99  # and wings
        sky = each.setup.sky(each.setup.shape)
        assert sky.shape == each.setup.shape
        assert 0.1 < sky.min() < 0.6
        assert np.median(sky) == pytest.approx(1.0, abs=0.03)


@pytest.mark.real_data
def test_grism_throughput_follows_the_calibration(real_data_dir):
    folder = real_data_dir / "nircam"
    curve = np.loadtxt(folder / "nircam_f322w2_grism_throughput.csv", delimiter=",", skiprows=1)
    lines = (folder / "fsun_grism_calibration/F444W_modA_grismR_sensitivity.dat").read_text()
    rows = [line.split() for line in lines.splitlines() if line[:1] in "345"]
    table = np.array(rows, dtype=float)
    known = {
        "F322W2": (curve[:, 0] * 1e-4, curve[:, 1], 0.03),
        "F444W": (table[:, 0], table[:, 1] * table[:, 0], 0.012),
    }
    for name, (wave, light, rms) in known.items():
        trace = setup("nircam-grism", Choice(filter=name)).optics.traces[0]
        blue, red = (2.42, 4.02) if name == "F322W2" else (3.87, 5.0)
        inside = (wave > blue) & (wave < red)
        ratio = trace.throughput(wave[inside]) / light[inside]
        residual = trace.throughput(wave[inside]) / np.median(ratio) - light[inside]
        assert residual.std() / light.max() < rms


@pytest.mark.parametrize(
    ("mode", "given", "message"),
    [
        ("nircam-imaging", {"pupil": "WLP4"}, "has no pupil on NRCA3 'WLP4'.*WLP8, CLEAR"),
        ("nircam-imaging", {"filter": "F210"}, "no filter on NRCA3 'F210'.*did you mean 'F210M'"),
        ("nircam-imaging", {"detector": "NRCBLONG", "filter": "F210M"}, "no filter on NRCBLONG"),
        ("nircam-imaging", {"subarray": "SUB64P", "detector": "NRCA3"}, "detector with SUB64P"),
        ("nircam-imaging", {"subarray": "SUB64P", "n_outputs": 4}, "n_outputs on SUB64P"),
        ("nircam-imaging", {"detector": "NRCBLONG", "pupil": "WLP8"}, "no pupil on NRCBLONG"),
        ("nircam-grism", {"detector": "NRCBLONG"}, "no detector 'NRCBLONG'"),
        ("nircam-grism", {"n_outputs": 2}, "no n_outputs 2; it is simulated with 4, 1"),
        ("nircam-grism", {"filter": "F277W"}, "no filter 'F277W'"),
        ("miri-imaging", {"subarray": "SUB32"}, "no subarray 'SUB32'"),
        ("miri-imaging", {"filter": "F1550W"}, "no filter 'F1550W'"),
        ("miri-lrs", {"pupil": "WLP8"}, "miri-lrs has no pupil 'WLP8'; it has no pupil wheel"),
    ],
)
def test_choices_that_the_instruments_do_not_have(mode, given, message):
    with pytest.raises(ValueError, match=message):
        exposure(mode, **given)


@pytest.mark.parametrize("mode", ["nircam-grism", "nircam-imaging", "miri-imaging"])
def test_default_exposures_are_small(mode):
    each = exposure(mode)
    n_pixels = np.prod(each.setup.shape) * each.n_groups * each.n_integrations
    assert 2 * n_pixels < 300e6  # bytes
    peak = each.scene.star[each.setup.science].max() * each.n_groups * each.clock.frame_time
    well = each.setup.constants.saturation - each.setup.electronics.bias
    assert peak == pytest.approx(0.6 * well * each.setup.constants.gain, rel=1e-9)


def test_default_weak_lens_is_that_of_flight_programmes():
    own = exposure("nircam-imaging").setup
    assert (own.detector, own.subarray, own.filter) == ("NRCA3", "SUBGRISM256", "F210M")
    assert own.keywords["PUPIL"] == "WLP8"
    assert exposure("nircam-imaging", subarray="SUB64P").setup.keywords["PUPIL"] == "CLEAR"
