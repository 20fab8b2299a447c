"""Wavelengths from every kind of source, on the right pixels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr.errors import ModeError
from tsoxr.history import records
from tsoxr.kernels.wavelength import NOMINAL, pixel_at
from tsoxr.steps import assign_wavelength

PLACES = {
    "nirspec-prism": ("NRS1", "SUB512", 32, 512, "x", {}),
    "nirspec-g395h": ("NRS2", "SUB2048", 32, 2048, "x", {"GRATING": "G395H"}),
    "nirspec-g395m": ("NRS1", "SUB2048", 32, 2048, "x", {"GRATING": "G395M"}),
    "niriss-soss": ("NIS", "SUBSTRIP96", 96, 2048, "x", {"PWCPOS": 245.79}),
    "nircam-grism": ("NRCALONG", "SUBGRISM64", 64, 2048, "x", {"FILTER": "F444W"}),
    "miri-lrs": ("MIRIMAGE", "SLITLESSPRISM", 416, 72, "y", {}),
}


def frame(mode, **changes):
    detector, subarray, ny, nx, along, header = PLACES[mode]
    blank = np.zeros((1, ny, nx), np.float32)
    attrs = {
        "tso_kind": "rates",
        "tso_mode": mode,
        "detector": detector,
        "subarray": subarray,
        "dispersion_dim": along,
        "spatial_dim": "x" if along == "y" else "y",
        "x_start": 1,
        "y_start": 1,
        "fits_header": json.dumps({"PRIMARY": header, "SCI": {}}),
    }
    return xr.Dataset(
        {"rate": (("time", "y", "x"), blank)},
        coords={"time": [60000.0], "y": np.arange(ny), "x": np.arange(nx)},
        attrs={**attrs, **changes},
    )


def along_trace(ds):
    return ds.wavelength.isel({ds.attrs["spatial_dim"]: 10}).values


def note_of(ds):
    return " ".join(records(ds.attrs)[-1].get("notes", []))


@pytest.mark.parametrize("mode", PLACES)
def test_every_mode_has_nominal_wavelengths(mode):
    ds = assign_wavelength(frame(mode))
    assert ds.wavelength.dims == ("y", "x")
    assert ds.wavelength.dtype == np.float64
    assert ds.wavelength.attrs["units"] == "um"
    wave = along_trace(ds)
    lit = np.isfinite(wave)
    assert lit.sum() > 350
    low, high = tsoxr.modes.get(mode).wavelength_range
    assert low - 0.6 < np.nanmin(wave) < np.nanmax(wave) < high + 1.8
    assert abs(np.sign(np.diff(wave[lit])).sum()) == lit.sum() - 1
    assert "nominal" in ds.attrs["wavelength_source"]
    assert "not calibrated" in note_of(ds)


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_it_is_the_truth_of_the_simulation(mode):
    truth = tsoxr.simulate(mode, kind="rates", n_integrations=2, seed=1)
    ds = assign_wavelength(truth.drop_vars("wavelength"))
    step = np.abs(np.gradient(along_trace(truth)))
    difference = np.abs(along_trace(ds) - along_trace(truth)) / step
    assert np.nanmax(difference) < 0.1
    np.testing.assert_array_equal(np.isfinite(along_trace(ds)), np.isfinite(along_trace(truth)))


def test_subarrays_are_placed_on_the_detector():
    whole = assign_wavelength(frame("nirspec-g395h"))
    part = frame("nirspec-g395h", x_start=513).isel(x=slice(0, 1024))
    np.testing.assert_allclose(along_trace(assign_wavelength(part)), along_trace(whole)[512:1536])
    cut = frame("nirspec-prism").isel(x=slice(100, 200))  # pixels selected after reading
    whole = assign_wavelength(frame("nirspec-prism"))
    np.testing.assert_allclose(along_trace(assign_wavelength(cut)), along_trace(whole)[100:200])


def test_the_pupil_wheel_counts():
    def moved(angle):
        header = {"PRIMARY": {} if angle is None else {"PWCPOS": angle}}
        return assign_wavelength(frame("niriss-soss", fits_header=json.dumps(header)))

    relation = NOMINAL["niriss-soss/1"]
    still = along_trace(moved(245.76))
    shift = pixel_at(relation, along_trace(moved(245.86))) - np.arange(2048)
    np.testing.assert_allclose(shift[100:2000], -0.1 * relation.pixel_per_degree, atol=1e-3)
    np.testing.assert_array_equal(along_trace(moved(None)), still)
    assert "pupil-wheel" in note_of(moved(None))
    assert "pupil-wheel" in note_of(moved(180.0))


def test_orders_of_soss():
    first = assign_wavelength(frame("niriss-soss"))
    second = assign_wavelength(first, order=2)
    assert second.wavelength.attrs["spectral_order"] == 2
    assert np.nanmin(along_trace(second)) < 0.6
    kept = assign_wavelength(second, order=2)
    assert "kept" in note_of(kept)
    xr.testing.assert_identical(kept.wavelength, second.wavelength)


def test_own_wavelengths_are_kept():
    ds = frame("nirspec-prism").assign_coords(wavelength=(("y", "x"), np.full((32, 512), 2.0)))
    kept = assign_wavelength(ds)
    assert (kept.wavelength == 2.0).all()
    assert "kept" in note_of(kept)
    assert kept.attrs["wavelength_source"] == "the data"


TABLE = {10.0: 1.0, 20.0: 2.0, 40.0: 5.0}


@pytest.mark.parametrize(
    "text",
    [
        "pixel,wavelength\n10,1.0\n20,2.0\n40,5.0\n",
        "# %ECSV 1.0\n# ---\n# datatype: ...\nx wavelength_um\n10 1.0\n20 2.0\n40 5.0\n",
        "# pixel wavelength width\n40 5.0 1\n10 1.0 1\n20 2.0 1\n",
    ],
)
def test_text_tables(tmp_path, text):
    path = tmp_path / "solution.txt"
    path.write_text(text)
    ds = assign_wavelength(frame("nirspec-prism"), path)
    wave = along_trace(ds)
    for pixel, expected in {**TABLE, 15.0: 1.5, 30.0: 3.5}.items():
        assert wave[int(pixel)] == expected
    assert np.isnan(wave[[9, 41]]).all()
    assert ds.attrs["wavelength_source"] == "solution.txt"


def test_fits_images_and_cut_outs(tmp_path):
    from astropy.io import fits

    image = np.zeros((20, 500), np.float32)
    image[:, 10:] = np.linspace(0.6, 5.0, 490)
    header = fits.Header({"SLTSTRT1": 5, "SLTSTRT2": 3})
    path = tmp_path / "calints.fits"
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(image, header, "SCI"),
            fits.ImageHDU(image, name="WAVELENGTH"),
        ]
    ).writeto(path)
    wave = assign_wavelength(frame("nirspec-prism"), path).wavelength
    np.testing.assert_allclose(wave.values[2:22, 14:504], image[:, 10:])
    assert np.isnan(wave.values[:2]).all()
    assert np.isnan(wave.values[:, :14]).all()


def test_fits_tables_of_orders(tmp_path):
    from astropy.io import fits

    def table(order, slope):
        columns = [
            fits.Column("WAVELENGTH", "D", array=0.5 + slope * np.arange(2048)),
            fits.Column("X", "D", array=np.arange(2048.0)),
        ]
        return fits.BinTableHDU.from_columns(
            columns, header=fits.Header({"ORDER": order}), name="ORDER"
        )

    path = tmp_path / "trace.fits"
    fits.HDUList([fits.PrimaryHDU(), table(1, 1e-3), table(2, 5e-4)]).writeto(path)
    second = assign_wavelength(frame("niriss-soss"), path, order=2)
    np.testing.assert_allclose(along_trace(second), 0.5 + 5e-4 * np.arange(2048))
    with pytest.raises(ValueError, match="table of order 3"):
        assign_wavelength(frame("niriss-soss"), path, order=3)


def test_arrays_and_functions():
    ds = frame("miri-lrs")
    line = np.linspace(12, 5, 416)
    image = np.broadcast_to(line[:, None], (416, 72))
    for source in (
        line,
        image,
        xr.DataArray(line, dims="y"),
        xr.DataArray(line[::-1], dims="y", coords={"y": np.arange(416)[::-1]}),
        xr.DataArray(image.T, dims=("x", "y")),
        lambda x, y: 12 - 7 * y / 415 + 0 * x,
    ):
        np.testing.assert_allclose(assign_wavelength(ds, source).wavelength.values, image)
    assert "function" in assign_wavelength(ds, lambda x, y: 1 + y / 90).attrs["wavelength_source"]


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("absent.csv", FileNotFoundError, "there is no file"),
        (np.ones(7), ValueError, r"shape \(7,\); allowed are \(x,\) with 512"),
        (np.linspace(500, 5000, 512), ValueError, "convert the unit"),
        (np.full(512, np.nan), ValueError, "no wavelength from array"),
        (xr.DataArray(np.ones(32), dims="y"), ValueError, r"dims \('y',\)"),
        (lambda x, y: x[0], ValueError, "returned shape"),
    ],
)
def test_bad_sources(source, error, message):
    with pytest.raises(error, match=message):
        assign_wavelength(frame("nirspec-prism"), source)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no rows"),
        ("a,b\n1,2\n", "has columns"),
        ("pixel,wavelength\n1,two\n", "two numbers"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        assign_wavelength(frame("nirspec-prism"), path)


def test_what_is_not_built_in_says_so():
    other = json.dumps({"PRIMARY": {"GRATING": "G235H"}})
    with pytest.raises(ModeError, match="no built-in wavelengths for nirspec-g395m NRS1 G235H"):
        assign_wavelength(frame("nirspec-g395m", fits_header=other))
    with pytest.raises(ModeError, match="hold for SUB512, SUB512S; this is S64M8_PRM"):
        assign_wavelength(frame("nirspec-prism", subarray="S64M8_PRM"))
    with pytest.raises(ModeError, match="F277W, order 1"):
        assign_wavelength(
            frame("nircam-grism", fits_header=json.dumps({"PRIMARY": {"FILTER": "F277W"}}))
        )
    guessed = assign_wavelength(frame("nircam-grism", fits_header="{}"))
    assert "taken to be F322W2" in note_of(guessed)


def test_imaging_is_left_alone():
    ds = frame("nirspec-prism", tso_mode="nircam-imaging")
    out = assign_wavelength(ds)
    assert "wavelength" not in out.coords
    assert "imaging" in note_of(out)
    out.tso.plot.assign_wavelength()


# ------------------------------------------------------- polynomials and what does not fit

PASTASOSS = "niriss_soss/jwst_niriss_gr700xd_wavelength_model_order{}.json"


@pytest.mark.real_data
@pytest.mark.parametrize(("order", "low", "high"), [(1, 80, 2035), (2, 700, 1600)])
def test_the_models_of_pastasoss(real_data_dir, order, low, high):
    path = real_data_dir / PASTASOSS.format(order)
    for angle in (245.70, 245.76, 245.85):
        ds = frame("niriss-soss", fits_header=json.dumps({"PRIMARY": {"PWCPOS": angle}}))
        model = along_trace(assign_wavelength(ds, path, order=order))
        nominal = along_trace(assign_wavelength(ds, order=order))
        # what the built-in relation departs from its calibration, 4e-4 and 5e-4 um
        assert np.nanmax(np.abs(model - nominal)[low:high]) < 5e-4
    assert "json" in assign_wavelength(ds, path, order=order).attrs["wavelength_source"]
    far = frame("niriss-soss", fits_header=json.dumps({"PRIMARY": {"PWCPOS": 246.2}}))
    assert "outside the range" in note_of(assign_wavelength(far, path, order=order))


def test_polynomials_of_the_full_detector():
    """The published polynomial of the NIRCam grism, against the relation that was fitted to it."""
    sun = {"coefficients": (3.92693691, 0.981165339, 1.66653554e-3, -2.87412352e-3),
           "center": 1571, "scale": 1000, "pixel_range": (20, 1670), "detector": "NRCALONG"}  # fmt: skip
    ds = frame("nircam-grism", fits_header=json.dumps({"PRIMARY": {"FILTER": "F322W2"}}))
    given, nominal = along_trace(assign_wavelength(ds, sun)), along_trace(assign_wavelength(ds))
    assert np.nanmax(np.abs(given - nominal)) < 2e-5
    assert np.isnan(given[:20]).all()
    part = frame("nircam-grism", x_start=513).isel(x=slice(0, 1024))
    np.testing.assert_allclose(along_trace(assign_wavelength(part, sun)), given[512:1536])
    with pytest.raises(ValueError, match="is of detector NRCALONG, the data are of NRCBLONG"):
        assign_wavelength(frame("nircam-grism", detector="NRCBLONG"), sun)


def test_polynomials_in_files(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"coefficients": [1.0, 2e-3], "subarray": ["SUB512", "SUB512S"]}))
    ds = assign_wavelength(frame("nirspec-prism"), path)
    np.testing.assert_allclose(along_trace(ds), 1.0 + 2e-3 * np.arange(512))
    path.write_text("{")
    with pytest.raises(ValueError, match=r"mine.json is not JSON"):
        assign_wavelength(frame("nirspec-prism"), path)


def test_air_velocity_and_units():
    line = np.linspace(0.6, 5.0, 512)
    plain = assign_wavelength(frame("nirspec-prism"), line).wavelength
    assert plain.attrs["medium"] == "vacuum"
    assert plain.attrs["velocity"] == 0.0
    air = assign_wavelength(frame("nirspec-prism"), line, medium="air").wavelength
    ratio = (air / plain).values
    assert ((ratio > 1.00027) & (ratio < 1.00028)).all()  # air of 15 C, beyond 0.6 um
    fast = assign_wavelength(frame("nirspec-prism"), line, velocity=29.9792458).wavelength
    np.testing.assert_allclose(fast, plain * 1.0001, rtol=1e-12)
    cards = json.dumps({"PRIMARY": {}, "SCI": {"VELOSYS": -29979.2458}})
    ours = assign_wavelength(frame("nirspec-prism", fits_header=cards), line, velocity="header")
    np.testing.assert_allclose(ours.wavelength, fast, rtol=1e-12)
    nm = xr.DataArray(line * 1e3, dims="x", attrs={"units": "nm"})
    np.testing.assert_allclose(assign_wavelength(frame("nirspec-prism"), nm).wavelength, plain)
    from astropy import units

    quantity = line * 1e4 * units.AA
    np.testing.assert_allclose(
        assign_wavelength(frame("nirspec-prism"), quantity).wavelength, plain
    )


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (5 - abs(np.arange(512) - 400.0) / 200, {}, "turn at pixel 400 of line 0"),
        (0.5 + np.repeat(np.arange(1, 257) / 100, 2), {}, "do not rise or fall all along x"),
        (xr.DataArray(np.arange(512.0), dims="x", attrs={"units": "K"}), {}, "wavelengths in 'K'"),
        ({"coefficient": [1, 2]}, {}, "has keys"),
        ({"coefficients": [1.0]}, {}, "two coefficients or more"),
        (np.linspace(1, 2, 512), {"medium": "water"}, "'vacuum' or 'air'"),
        (np.linspace(1, 2, 512), {"velocity": 1e9}, "at most 3000"),
        (np.linspace(1, 2, 512), {"velocity": "header"}, "needs the keyword VELOSYS"),
    ],
)
def test_sources_that_do_not_fit(source, options, message):
    with pytest.raises(ValueError, match=message):
        assign_wavelength(frame("nirspec-prism"), source, **options)


def test_files_of_another_exposure_are_refused(tmp_path):
    from astropy.io import fits

    image = np.broadcast_to(np.linspace(600.0, 5000.0, 512), (32, 512)).astype(np.float32)

    def file(**cards):
        hdu = fits.ImageHDU(image, name="WAVELENGTH")
        hdu.header["BUNIT"] = "nm"
        path = tmp_path / "calints.fits"
        fits.HDUList([fits.PrimaryHDU(header=fits.Header(cards)), hdu]).writeto(
            path, overwrite=True
        )
        return path

    good = assign_wavelength(frame("nirspec-prism"), file(DETECTOR="NRS1", SUBARRAY="SUB512"))
    assert float(good.wavelength[0, -1]) == pytest.approx(5.0)
    with pytest.raises(ValueError, match="is of subarray SUB2048, the data are of SUB512"):
        assign_wavelength(frame("nirspec-prism"), file(DETECTOR="NRS1", SUBARRAY="SUB2048"))
    with pytest.raises(ValueError, match="is of detector NRS2, the data are of NRS1"):
        assign_wavelength(frame("nirspec-prism"), file(DETECTOR="NRS2"))


@pytest.mark.real_data
def test_a_trace_table_serves_both_strips(real_data_dir):
    path = real_data_dir / "niriss_soss" / "jwst_niriss_spectrace_0023.fits"
    strip = along_trace(assign_wavelength(frame("niriss-soss"), path))
    whole = along_trace(assign_wavelength(frame("niriss-soss", subarray="SUBSTRIP256"), path))
    np.testing.assert_array_equal(strip, whole)
    nominal = along_trace(assign_wavelength(frame("niriss-soss")))
    off = (strip - nominal) / np.gradient(nominal)
    assert np.nanmax(np.abs(off[10:2000])) < 2.5  # two calibrations: 0.5 to 2 pixels apart
    with pytest.raises(
        ValueError, match="of subarray SUBSTRIP256, SUBSTRIP96, the data are of FULL"
    ):
        assign_wavelength(frame("niriss-soss", subarray="FULL"), path)
