"""`rectify` moves whole pixels and nothing else; `align` takes known shifts back."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq


@pytest.fixture(scope="module")
def rates():
    return tsoxr.simulate("nirspec-g395h", kind="rates", n_integrations=3, seed=1).tso.find_trace()


@pytest.fixture(scope="module")
def spectra():
    return tsoxr.simulate("nirspec-g395h", kind="spectra", n_integrations=20, seed=1)


def test_rectified_lines_are_the_lines_of_the_detector(rates):
    out = rates.tso.rectify(half_width=5)
    center = rates["trace_center"].values
    for x in (50, 700, 2000):
        rows = round(center[x]) + np.arange(-5, 6)
        np.testing.assert_array_equal(out["rate"].values[:, :, x], rates["rate"].values[:, rows, x])
        np.testing.assert_array_equal(out["gain"].values[:, x], rates["gain"].values[rows, x])
    off = out["trace_center"].values - 5
    np.testing.assert_allclose(off, center - np.round(center), atol=1e-9)
    assert np.abs(off).max() <= 0.5
    assert out["trace_offset"].values.tolist() == list(range(-5, 6))
    assert "y" not in out.coords


def test_pixels_from_beyond_the_frame_are_flagged(rates):
    out = rates.tso.rectify()
    beyond = np.isnan(out["rate_error"].values)
    assert beyond.any()
    flags = out["dq"].values[beyond]
    assert (flags == dq.bits("DO_NOT_USE", "NON_SCIENCE")).all()
    assert out["dq"].dtype == np.uint32


def test_a_part_of_the_frame_lies_where_the_frame_does(rates):
    part = rates.isel(y=slice(6, 30)).tso.rectify(half_width=3)
    whole = rates.tso.rectify(half_width=3)
    np.testing.assert_array_equal(part["rate"], whole["rate"])


def test_extraction_refuses_rectified_rates(rates):
    straight = rates.tso.assign_wavelength().tso.rectify()
    with pytest.raises(tsoxr.TsoError, match="these rates are rectified"):
        straight.tso.extract()


def test_levels_of_detector_lines_are_left_out_with_a_note(rates):
    ds = rates.assign(level_variance=("y", np.ones(32, "f4"), {"units": "DN2 s-2"}))
    out = ds.tso.rectify()
    assert "level_variance" not in out
    assert "level_variance" in out.tso.history[-1]["notes"][0]


@pytest.mark.parametrize("half_width", [0, -3, 2.5])
def test_wrong_half_width(rates, half_width):
    with pytest.raises(ValueError, match="half_width"):
        rates.tso.rectify(half_width=half_width)


# ------------------------------------------------------------------ align


def lines(pixel):
    """Return a spectrum with lines of 2.5 pixels' sigma, well sampled."""
    return 1000 * (1 - 0.5 * np.exp(-0.5 * (np.sin(pixel / 30) * 30 / 2.5) ** 2))


def moved(spectra, shift):
    pixel = spectra["dispersion_pixel"].values.astype(float)
    flux = lines(pixel - shift[:, None])
    return spectra.assign(flux=spectra["flux"].copy(data=flux.astype(spectra["flux"].dtype)))


@pytest.mark.parametrize("direction", [1, -1])
def test_known_shifts_are_taken_back(spectra, direction):
    ds = spectra.assign_coords(dispersion_pixel=direction * spectra["dispersion_pixel"])
    shift = np.linspace(-0.6, 0.7, 20)
    out = moved(ds, shift).tso.align(shift)
    still = lines(ds["dispersion_pixel"].values.astype(float))
    off = np.abs(out["flux"].values - still)[:, 5:-5]
    # Lagrange's error of the fourth derivative of such lines: 0.0234 * 3 / 2.5^4 of the depth
    assert off.max() < 500 * 0.0234 * 3 / 2.5**4 * 1.3
    linear = moved(ds, shift).tso.align(shift, method="linear")
    worst = np.abs(linear["flux"].values - still)[:, 5:-5].max()
    assert 2 * off.max() < worst < 500 / 8 / 2.5**2 * 1.3


def test_light_is_conserved_and_errors_scatter_as_predicted(spectra):
    rng = np.random.default_rng(2)
    n = spectra.sizes["wavelength"]
    noise = rng.normal(size=(20, n))
    ds = spectra.assign(
        flux=spectra["flux"].copy(data=noise.astype("f4")),
        flux_error=xr.ones_like(spectra["flux_error"]),
    )
    out = ds.tso.align(np.full(20, 0.5))
    inner = slice(4, -4)
    total = out["flux"].values[:, inner].sum(axis=1) - noise[:, inner].sum(axis=1)
    assert np.abs(total).max() < 6  # what crosses the two ends: a few samples
    scatter = out["flux"].values[:, inner].std() / float(out["flux_error"][0, n // 2])
    # 20 spectra of more than a thousand wavelengths: 0.6 %
    assert scatter == pytest.approx(1.0, abs=0.025)
    neighbours = np.corrcoef(
        out["flux"].values[:, 4:-5].ravel(), out["flux"].values[:, 5:-4].ravel()
    )[0, 1]
    assert float(out["align_correlation"][0]) == pytest.approx(neighbours, abs=0.025)


def test_a_covariate_serves_by_name(spectra):
    shift = np.linspace(-0.1, 0.1, 20).astype("f4")
    ds = spectra.assign_coords(trace_shift_dispersion=("time", shift, {"units": "pix"}))
    by_name, by_value = ds.tso.align(), ds.tso.align(shift)
    np.testing.assert_array_equal(by_name["flux"], by_value["flux"])
    with pytest.raises(tsoxr.TsoError, match="already applied"):
        by_name.tso.align()


def test_bad_input(spectra):
    with pytest.raises(tsoxr.SchemaError, match=r"no coordinate 'trace_shift_dispersion'.*track"):
        spectra.drop_vars("trace_shift_dispersion").tso.align()
    with pytest.raises(ValueError, match="method='spline'"):
        spectra.tso.align(np.zeros(20), method="spline")
    with pytest.raises(ValueError, match=r"shape \(3,\).*20"):
        spectra.tso.align(np.zeros(3))
    with pytest.raises(tsoxr.TsoError, match="no shift is finite"):
        spectra.tso.align(np.full(20, np.nan))
    gap = spectra.isel(wavelength=np.r_[0:50, 60:90])
    with pytest.raises(tsoxr.TsoError, match="leave out pixels at 1 places"):
        gap.tso.align(np.zeros(20))
    with pytest.raises(tsoxr.SchemaError, match="no 'dispersion_pixel'"):
        spectra.drop_vars("dispersion_pixel").tso.align(np.zeros(20))
