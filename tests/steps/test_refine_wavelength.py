"""Wavelengths that were put off, set right by the lines of simulated stars."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr.kernels.wavelength_units import hydrogen_lines, refractive_index

OFF = 1.37
"""Pixels by which the wavelengths are put off."""


def star(low, high, *, depth=0.15, width=6e-4, temperature=9000.0, lines=None):
    """Return photons per um of a hot star with broad lines of hydrogen, finely sampled."""
    wave = np.arange(low, high, 1e-4 if high < 6 else 5e-4)
    centers = hydrogen_lines(low, high) if lines is None else np.asarray(lines)
    body = wave**-4 / np.expm1(14387.77 / (wave * temperature))
    profile = np.exp(-0.5 * ((wave[:, None] - centers) / (width * centers)) ** 2).sum(axis=1)
    return xr.DataArray(
        body * (1 - depth * profile), dims="wavelength", coords={"wavelength": wave}
    )


def put_off(ds, by=OFF):
    """Return data whose wavelengths are those ``by`` pixels back along the dispersion."""
    along = ds.attrs["dispersion_dim"]
    kept = ds["wavelength"].transpose(..., along)
    x = np.arange(ds.sizes[along])
    moved = np.array([np.interp(x - by, x, row, left=np.nan, right=np.nan) for row in kept.values])
    return ds.assign_coords(wavelength=kept.copy(data=moved).transpose("y", "x"))


@pytest.fixture(scope="module")
def g395h():
    return tsoxr.simulate(
        "nirspec-g395h", kind="rates", detector="NRS2", star=star(3.4, 5.4), n_integrations=6,
        radius_ratio=0.0, seed=5,
    )  # fmt: skip


def off_by(ds, truth):
    """Return the median error of the wavelengths, pixels."""
    along = truth.attrs["dispersion_dim"]
    step = truth["wavelength"].differentiate(along)
    return float(((ds["wavelength"] - truth["wavelength"]) / step).median())


def test_lines_of_hydrogen_set_the_scale_right(g395h):
    wrong = put_off(g395h)
    out = wrong.tso.refine_wavelength(width=8.0)
    error = float(out["refine_wavelength_shift_error"])
    assert abs(off_by(wrong, g395h)) > 1.3
    assert float(out["refine_wavelength_significance"]) > 8
    assert error < 0.2
    assert off_by(out, g395h) == pytest.approx(0.0, abs=4 * error + 0.02)  # edges of pixels: 0.02
    for name in ("rate", "rate_error", "dq", "time", "jitter_x"):
        assert out[name].variable.identical(wrong[name].variable)
    assert "refined" in out.attrs["wavelength_source"]
    out.tso.plot.refine_wavelength()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_model_spectrum_is_sharper_than_lines(g395h, seed):
    model = star(3.4, 5.4)
    truth = tsoxr.simulate(
        "nirspec-g395h", kind="rates", detector="NRS2", star=model, n_integrations=4,
        radius_ratio=0.0, seed=seed,
    )  # fmt: skip
    out = put_off(truth).tso.refine_wavelength(model)
    error = float(out["refine_wavelength_shift_error"])
    assert error < 0.1
    assert off_by(out, truth) == pytest.approx(0.0, abs=4 * error + 0.02)


def test_extracted_spectra_are_refined_too():
    model = star(3.4, 5.4)
    truth = tsoxr.simulate(
        "nirspec-g395h", kind="spectra", detector="NRS2", star=model, n_integrations=6, seed=4
    )
    wave = truth["wavelength"].values
    wrong = truth.assign_coords(wavelength=("wavelength", wave - OFF * np.gradient(wave)))
    out = wrong.tso.refine_wavelength((model.wavelength.values, model.values))
    left = (out["wavelength"].values - wave) / np.gradient(wave)
    error = float(out["refine_wavelength_shift_error"])
    assert np.median(left) == pytest.approx(0.0, abs=4 * error + 0.02)
    np.testing.assert_array_equal(out["flux"].values, wrong["flux"].values)
    assert (np.diff(out["wavelength"]) > 0).all()
    with pytest.raises(tsoxr.TsoError, match=r"load them with \.compute"):
        wrong.chunk(time=2).tso.refine_wavelength()


def test_dispersion_along_y():
    lines = np.array([5.6, 6.1, 6.7, 7.3, 8.2, 9.1])
    model = star(4.0, 15.0, depth=0.5, width=4e-3, lines=lines)
    truth = tsoxr.simulate(
        "miri-lrs",
        kind="rates",
        star=model,
        n_integrations=3,
        radius_ratio=0.0,
        seed=2,
        brightness=0.3,
    )
    sky = truth["rate"].isel(x=slice(8, 18)).median("x")
    truth = truth.assign(rate=(truth["rate"] - sky).assign_attrs(truth["rate"].attrs))
    out = put_off(truth, 0.8).tso.refine_wavelength(lines, width=3.0, degree=16)
    error = float(out["refine_wavelength_shift_error"])
    assert float(out["refine_wavelength_significance"]) > 8
    assert off_by(out, truth) == pytest.approx(0.0, abs=4 * error + 0.05)


def test_velocity_and_air_move_the_lines(g395h):
    lines = hydrogen_lines(3.6, 5.3)
    still = g395h.tso.refine_wavelength(lines, width=8.0)
    fast = g395h.tso.refine_wavelength(lines, width=8.0, velocity=60.0)
    # one shift in pixels for all lines, so exact in their middle only: a tenth of 2e-4
    ratio = float((fast["wavelength"] / still["wavelength"]).median())
    assert ratio - 1 == pytest.approx(60 / 299792.458, rel=0.1)
    air = lines / refractive_index(lines)
    in_air = g395h.tso.refine_wavelength(air, width=8.0, medium="air")
    np.testing.assert_allclose(in_air["wavelength"], still["wavelength"], rtol=1e-8)


def test_without_lines_nothing_moves(g395h):
    smooth = tsoxr.simulate(
        "nirspec-g395h", kind="rates", detector="NRS2", n_integrations=6, seed=1
    )
    out = smooth.tso.refine_wavelength(width=8.0)
    assert float(out["refine_wavelength_significance"]) < 5
    np.testing.assert_array_equal(out["wavelength"], smooth["wavelength"])
    nowhere = g395h.tso.refine_wavelength([7.0, 8.0])
    np.testing.assert_array_equal(nowhere["wavelength"], g395h["wavelength"])


def test_a_table_is_a_model(g395h, tmp_path):
    model = star(3.4, 5.4)
    path = tmp_path / "model.txt"
    np.savetxt(path, np.column_stack([model.wavelength, model]), header="um photons")
    wrong = put_off(g395h)
    xr.testing.assert_allclose(
        wrong.tso.refine_wavelength(path)["wavelength"],
        wrong.tso.refine_wavelength(model)["wavelength"],
    )
    nm = model.assign_coords(
        wavelength=("wavelength", model.wavelength.values * 1e3, {"units": "nm"})
    )
    xr.testing.assert_allclose(
        wrong.tso.refine_wavelength(nm)["wavelength"],
        wrong.tso.refine_wavelength(model)["wavelength"],
    )


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        ("absent.txt", {}, FileNotFoundError, "there is no file 'absent.txt'"),
        ([-1.0], {}, ValueError, "model must be 'hydrogen'"),
        ((np.ones(3), np.ones(3)), {}, ValueError, "ten samples or more"),
        ((np.ones(20), np.ones(20)), {}, ValueError, "gives a wavelength twice"),
        ((np.arange(20) + 4000.0, np.ones(20)), {}, ValueError, "give them in um"),
        (xr.DataArray(np.ones(3), dims="x"), {}, ValueError, r"dims \('x',\)"),
        ("hydrogen", {"medium": "water"}, ValueError, "must be 'vacuum' or 'air'"),
        ("hydrogen", {"medium": "air"}, ValueError, "built in as vacuum"),
        ("hydrogen", {"velocity": 1e5}, ValueError, "at most 3000"),
        ("hydrogen", {"reach": 0.0}, ValueError, "reach is 0.0; it must lie between 0.5 and 60"),
        ("hydrogen", {"width": -1.0}, ValueError, "width is -1.0"),
    ],
)
def test_bad_models(g395h, model, options, error, message):
    with pytest.raises(error, match=message):
        g395h.tso.refine_wavelength(model, **options)


@pytest.mark.parametrize(
    "mode", ["miri-lrs", "nirspec-prism", "nircam-grism", "niriss-soss", "nirspec-g395m"]
)
def test_the_shape_of_a_spectrum_is_no_line(mode):
    """Edges of bandpasses leave waves of many sigma, which are not where lines are sought, or longer."""
    smooth = tsoxr.simulate(mode, kind="rates", n_integrations=6, seed=1).tso.find_trace()
    out = smooth.tso.refine_wavelength()
    assert float(out["refine_wavelength_significance"]) < 5
    np.testing.assert_array_equal(out["wavelength"], smooth["wavelength"])
