"""Flux calibration: numbers against the definition of a photom reference, and what is refused.

The files that `write` makes open in the official data models with strict validation, and the
official step gives the same numbers from them to 1.2e-7, the rounding of float32, for a linear
change with time of NIRSpec, two others of NIRISS and none of MIRI, and to 4e-6 for NIRCam's grism,
whose dispersion it takes from float32 (compared once, release 3.0).
"""

import functools
import json

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import tsoxr
from tsoxr import dq
from tsoxr.errors import SchemaError, TsoError
from tsoxr.steps import calibrate_flux, extract, noise_ratio, photometry, white_light

FORMATS = {
    "filter": "12A",
    "pupil": "15A",
    "grating": "15A",
    "slit": "15A",
    "subarray": "17A",
    "order": "I",
}
WAVE = np.linspace(0.3, 15.0, 60)
CURVE = 1 + 0.1 * WAVE
GAIN = 1.5


def write(
    path,
    keys,
    factors,
    *,
    column="photmj",
    table=None,
    errors=0.02,
    header=None,
    times=None,
    unit=None,
):
    """Write a reference with one row for each of ``factors``.

    ``keys`` are columns of names, ``table`` wavelength and relative response of all rows (with
    room left after them, as the references have), ``times`` tables of the change with time.
    """
    n = len(factors)
    columns = [fits.Column(k, FORMATS[k], array=np.array(v)) for k, v in keys.items()]
    names = list(columns)
    columns += [
        fits.Column(column, "E", array=np.asarray(factors, "f4")),
        fits.Column("uncertainty", "E", array=errors * np.asarray(factors, "f4")),
    ]
    if table is not None:
        used, room = len(table[0]), len(table[0]) + 5
        padded = np.zeros((3, n, room), "f4")
        padded[0, :, :used], padded[1, :, :used] = table
        padded[2, :, :used] = 0.01 * padded[1, :, :used]
        columns.append(fits.Column("nelem", "I", array=np.full(n, used)))
        columns += [
            fits.Column(name, f"{room}E", array=values)
            for name, values in zip(
                ("wavelength", "relresponse", "reluncertainty"), padded, strict=True
            )
        ]
    photom = fits.BinTableHDU.from_columns(columns, name="PHOTOM")
    if unit:
        photom.header["PHOTUNIT"] = unit
    primary = fits.PrimaryHDU()
    primary.header.update({"TELESCOP": "JWST", "REFTYPE": "PHOTOM", **(header or {})})
    more = [
        fits.BinTableHDU.from_columns(
            names + [fits.Column(k, "E", array=np.full(n, v, "f4")) for k, v in numbers.items()],
            name=f"TIMECOEFF_{law.upper()}",
        )
        for law, numbers in (times or {}).items()
    ]
    fits.HDUList([primary, photom, *more]).writeto(path, overwrite=True)
    return path


@functools.cache
def simulated(mode):
    return tsoxr.simulate(mode, kind="spectra", n_integrations=6, seed=1)


def spectra(mode="nirspec-prism", **attrs):
    made = simulated(mode).copy()
    made["extract_gain"] = ("wavelength", np.full(made.sizes["wavelength"], GAIN))
    return made.assign_attrs(attrs)


def header(ds, **changed):
    cards = json.loads(ds.attrs["fits_header"])
    cards["PRIMARY"].update(changed)
    return ds.assign_attrs(fits_header=json.dumps(cards))


@pytest.fixture
def nirspec(tmp_path):
    keys = {"filter": ["CLEAR", "F290LP"], "grating": ["PRISM", "G395H"], "slit": ["S1600A1"] * 2}
    return write(tmp_path / "photom.fits", keys, [1e-12, 5e-12], table=(WAVE, CURVE))


def ratio(out, before):
    """mJy of one electron/s, of all integrations."""
    return (out.flux / before.flux).median("time").values


def test_nirspec(nirspec):
    before = spectra()
    out = calibrate_flux(before, nirspec)
    expected = 1e9 * 1e-12 * (1 + 0.1 * before.wavelength.values) / GAIN
    np.testing.assert_allclose(ratio(out, before), expected, rtol=1e-5)  # float32
    np.testing.assert_allclose(out.calibrate_flux_conversion, expected, rtol=1e-5)
    np.testing.assert_allclose(out.flux_error, before.flux_error * expected, rtol=1e-5)
    assert out.flux.attrs["units"] == out.flux_error.attrs["units"] == "mJy"
    # 2 % of the factor and 1 % of the curve
    np.testing.assert_allclose(out.calibrate_flux_uncertainty, np.hypot(0.02, 0.01), rtol=1e-4)
    assert "error of the calibration" in " ".join(out.tso.summary().quantity)


def test_relative_light_is_the_same(nirspec):
    before = spectra()
    out = calibrate_flux(before, nirspec)
    one, two = (d.flux / d.flux.isel(time=0) for d in (before, out))
    np.testing.assert_allclose(two, one, rtol=1e-6)
    # the scatter over its error is one of ratios
    a, b = (noise_ratio(d).noise_ratio for d in (before, out))
    np.testing.assert_allclose(a, b, rtol=1e-4)


def test_order_of_soss(tmp_path):
    keys = {"filter": ["CLEAR"] * 2, "pupil": ["GR700XD"] * 2, "order": [1, 2]}
    path = write(tmp_path / "photom.fits", keys, [1e-12, 7e-12], table=(WAVE, 0 * WAVE + 1))
    before = spectra("niriss-soss")
    one, two = (
        calibrate_flux(before.assign_coords(order=xr.Variable((), np.int16(k))), path)
        for k in (1, 2)
    )
    np.testing.assert_allclose(ratio(two, before), 7 * ratio(one, before), rtol=1e-5)


def test_surface_brightness_and_area_of_a_pixel(tmp_path):
    keys = {"filter": ["P750L"] * 2, "subarray": ["FULL", "SLITLESSPRISM"]}
    options = {"column": "photmjsr", "table": (WAVE, CURVE)}
    before = spectra("miri-lrs")
    expected = 1e9 * 9.0 * 2.9e-13 * (1 + 0.1 * before.wavelength.values) / GAIN
    path = write(tmp_path / "sr.fits", keys, [1.0, 9.0], header={"PIXAR_SR": 2.9e-13}, **options)
    np.testing.assert_allclose(ratio(calibrate_flux(before, path), before), expected, rtol=1e-5)
    arcsec = {"PIXAR_A2": 2.9e-13 / (np.pi / 180 / 3600) ** 2}
    path = write(tmp_path / "a2.fits", keys, [1.0, 9.0], header=arcsec, **options)
    np.testing.assert_allclose(ratio(calibrate_flux(before, path), before), expected, rtol=1e-5)
    generic = {"filter": ["P750L"] * 2, "subarray": ["FULL", "GENERIC"]}
    path = write(tmp_path / "generic.fits", generic, [1.0, 9.0], header=arcsec, **options)
    np.testing.assert_allclose(ratio(calibrate_flux(before, path), before), expected, rtol=1e-5)
    nowhere = write(tmp_path / "none.fits", keys, [1.0, 9.0], **options)
    with pytest.raises(TsoError, match="neither it nor the exposure says how large a pixel is"):
        calibrate_flux(header(before, PIXAR_SR=None, PIXAR_A2=None), nowhere)


@pytest.mark.parametrize(
    ("unit", "factor"), [(None, 1), ("MJy micron s / (DN sr)", 1), ("MJy nm s / (DN sr)", 1e-3)]
)
def test_grism_is_per_wavelength(tmp_path, unit, factor):
    keys = {"filter": ["F322W2"], "pupil": ["GRISMR"], "order": [1]}
    path = write(
        tmp_path / "photom.fits", keys, [4.0], column="photmjsr", table=(WAVE, CURVE),
        header={"PIXAR_SR": 1e-13}, unit=unit,
    )  # fmt: skip
    before = spectra("nircam-grism")
    out = calibrate_flux(before, path)
    wave = before.wavelength.values
    per_pixel = np.gradient(wave)
    expected = factor * 1e9 * 4.0 * 1e-13 * (1 + 0.1 * wave) / per_pixel / GAIN
    np.testing.assert_allclose(ratio(out, before), expected, rtol=1e-4)


def test_throughput_that_falls(tmp_path, nirspec):
    before = spectra()
    day = float(before.time_utc[[0, -1]].mean() if "time_utc" in before.coords else before.time[0])
    keys = {"filter": ["CLEAR"], "grating": ["PRISM"], "slit": ["S1600A1"]}
    linear = {"linear": {"t0": day - 730.0, "lossperyear": 0.02}}
    path = write(tmp_path / "late.fits", keys, [1e-12], table=(WAVE, CURVE), times=linear)
    later = calibrate_flux(before, path)
    # a day is 5e-5 of the loss, float32 has less
    np.testing.assert_allclose(
        ratio(later, before), ratio(calibrate_flux(before, nirspec), before) / 0.96, rtol=1e-4
    )
    assert "0.9600 (linear)" in " ".join(later.tso.history[-1]["notes"])


def test_gain_of_the_pixels_is_undone(nirspec):
    """Counts in DN are what a reference calibrates, whatever the gain of each pixel."""
    made = tsoxr.simulation.exposure("nirspec-prism", n_integrations=8, seed=3, noise=("photon",))
    rates = made.rates().tso.find_trace().tso.assign_wavelength()
    row = xr.DataArray(np.linspace(0.7, 1.3, 32), dims="y")
    uneven = rates.assign(gain=(rates.gain * row).transpose("y", "x").astype("f4"))
    out = [calibrate_flux(extract(r, method="box"), nirspec) for r in (rates, uneven)]
    bright = out[0].flux.median("time") > 0.1 * out[0].flux.median("time").max()
    off = (out[1].flux.median("time") / out[0].flux.median("time") - 1).where(bright)
    # the profile of one line is known to the noise of 8 integrations, and the gain differs by
    # 2 % from row to row: far below a part in a thousand
    assert float(abs(off).max()) < 1e-3
    assert float(abs(out[1].extract_gain / out[0].extract_gain - 1).where(bright).max()) > 0.01


def test_gain_of_the_subarray(nirspec):
    """References are for DN of the full frame: of rates that GAINFACT has, or will have, scaled."""
    before = spectra(gain_factor=1.25)
    plain = ratio(calibrate_flux(spectra(), nirspec), spectra())
    np.testing.assert_allclose(
        ratio(calibrate_flux(before, nirspec), before), 1.25 * plain, rtol=1e-5
    )
    scaled = before.assign_attrs(gain_scaled=1)
    np.testing.assert_allclose(ratio(calibrate_flux(scaled, nirspec), before), plain, rtol=1e-5)


def test_gain_that_is_given_or_typical(nirspec):
    before = spectra().drop_vars("extract_gain")
    out = calibrate_flux(before, nirspec)
    typical = tsoxr.modes.detector("NRS1").gain
    assert out.tso.history[-1]["params"]["gain"] == typical
    given = calibrate_flux(before, nirspec, gain=2 * typical)
    np.testing.assert_allclose(ratio(given, before), 0.5 * ratio(out, before), rtol=1e-5)


def test_light_outside_of_the_aperture_is_added(nirspec):
    n = spectra().sizes["wavelength"]
    before = spectra().assign(
        aperture_loss=("wavelength", np.full(n, 0.05)),
        aperture_loss_error=("wavelength", np.full(n, 0.0095)),
    )
    without = calibrate_flux(before, nirspec, aperture_correction=False)
    out = calibrate_flux(before, nirspec)
    np.testing.assert_allclose(ratio(out, before), ratio(without, before) / 0.95, rtol=1e-5)
    expected = np.hypot(np.hypot(0.02, 0.01), 0.01)
    np.testing.assert_allclose(out.calibrate_flux_uncertainty, expected, rtol=1e-4)


def test_wavelengths_that_are_not_calibrated(tmp_path):
    keys = {"filter": ["CLEAR"], "grating": ["PRISM"], "slit": ["S1600A1"]}
    path = write(tmp_path / "part.fits", keys, [1e-12], table=(WAVE[10:20], CURVE[10:20]))
    before = spectra()
    out = calibrate_flux(before, path)
    wave = before.wavelength.values
    outside = (wave < WAVE[10] - 1e-6) | (wave > WAVE[19] + 1e-6)
    assert np.isnan(out.flux.values[:, outside]).all()
    assert dq.has_flag(out.dq, "DO_NOT_USE").values[:, outside].all()
    assert np.isfinite(out.flux.values[:, ~outside]).any()
    assert "not in the calibration" in " ".join(out.tso.history[-1]["notes"])
    path = write(tmp_path / "far.fits", keys, [1e-12], table=(WAVE + 100, CURVE))
    with pytest.raises(TsoError, match=r"none of the wavelengths .* um"):
        calibrate_flux(before, path)


def test_numbers_instead_of_a_reference():
    before = spectra()
    curve = xr.DataArray(CURVE, dims="wavelength", coords={"wavelength": WAVE})
    np.testing.assert_allclose(
        ratio(calibrate_flux(before, curve), before), 1 + 0.1 * before.wavelength, rtol=1e-5
    )
    np.testing.assert_allclose(
        ratio(calibrate_flux(before, xr.DataArray(3.0)), before), 3.0, rtol=1e-5
    )
    with pytest.raises(ValueError, match="photom is in 'MJy'"):
        calibrate_flux(before, curve.assign_attrs(units="MJy"))
    with pytest.raises(ValueError, match="photom has dims"):
        calibrate_flux(before, curve.drop_vars("wavelength"))
    with pytest.raises(TypeError, match="photom is a float"):
        calibrate_flux(before, 3.0)
    with pytest.raises(TsoError, match="none of the wavelengths"):
        calibrate_flux(before, xr.DataArray(np.nan))


def test_images(tmp_path):
    rates = tsoxr.simulate(
        "nircam-imaging", kind="rates", n_integrations=6, seed=1, subarray="SUB64P"
    )
    curve = photometry(rates, normalize=False)
    cards = json.loads(rates.attrs["fits_header"])["PRIMARY"]
    keys = {"filter": [cards["FILTER"]], "pupil": [cards["PUPIL"]]}
    path = write(
        tmp_path / "photom.fits", keys, [0.8], column="photmjsr", header={"PIXAR_SR": 9e-14}
    )
    out = calibrate_flux(curve, path, gain=2.0)
    np.testing.assert_allclose(ratio(out, curve), 1e9 * 0.8 * 9e-14 / 2.0, rtol=1e-6)
    assert tsoxr.schema.validate(out) == []
    with pytest.raises(TsoError, match="the flux is relative"):
        calibrate_flux(photometry(rates), path)


def test_not_before_light_curves_and_not_twice(nirspec):
    out = calibrate_flux(spectra(), nirspec)
    with pytest.raises(TsoError, match="light curves are sums of electrons"):
        white_light(out)
    with pytest.raises(TsoError, match="already applied"):
        calibrate_flux(out, nirspec)
    with pytest.raises(TsoError, match="is calibrated already"):
        calibrate_flux(out, nirspec, again=True)
    curves = spectra().tso.bin(n_pixels=20, normalize=False)
    with pytest.raises(TsoError, match="sums over bins of wavelength"):
        calibrate_flux(curves, nirspec)


def test_files_that_do_not_fit(tmp_path, nirspec):
    before = spectra()
    with pytest.raises(FileNotFoundError, match="there is no file"):
        calibrate_flux(before, tmp_path / "nothing.fits")
    keys = {"filter": ["CLEAR"], "pupil": ["GR700XD"]}
    soss = write(tmp_path / "soss.fits", keys, [1e-12], table=(WAVE, CURVE))
    asked = r"has no row for filter='F322W2', pupil='GRISMR'.*CLEAR, GR700XD"
    with pytest.raises(TsoError, match=asked):
        calibrate_flux(spectra("nircam-grism"), soss)
    twice = write(tmp_path / "two.fits", {"filter": ["CLEAR"] * 2}, [1e-12] * 2)
    with pytest.raises(TsoError, match="has 2 rows"):
        calibrate_flux(before, twice)
    with pytest.raises(TsoError, match="has no FILTER"):
        calibrate_flux(header(before, FILTER=None), nirspec)
    with pytest.raises(SchemaError, match="one of"):
        calibrate_flux(
            before, write(tmp_path / "odd.fits", {"filter": ["CLEAR"]}, [1.0], column="x")
        )
    with pytest.raises(TsoError, match="must be above 0"):
        calibrate_flux(before, write(tmp_path / "zero.fits", {"filter": ["CLEAR"]}, [0.0]))
    with pytest.raises(ValueError, match="gain=-1"):
        calibrate_flux(before, nirspec, gain=-1)
    fits.HDUList([fits.PrimaryHDU()]).writeto(tmp_path / "empty.fits")
    with pytest.raises(SchemaError, match="has no table PHOTOM"):
        calibrate_flux(before, tmp_path / "empty.fits")
