"""What `extract` does with data that cannot be right, for every method: a flag, or words that help."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest

import tsoxr
from tsoxr import dq
from tsoxr.errors import SchemaError, TsoError
from tsoxr.history import records
from tsoxr.steps import extract
from tsoxr.steps._extraction_methods import METHODS

N_TIME = 16
BAD = slice(90, 96)


@pytest.fixture(params=list(METHODS))
def method(request):
    return request.param


@pytest.fixture(scope="module")
def made():
    """Rates of 120 columns with light, the true trace and wavelengths."""
    one = tsoxr.simulation.exposure(
        "nirspec-prism", n_integrations=N_TIME, seed=5, noise=("photon", "read")
    )
    rates, truth = one.rates(), one.truth(stripes=False)
    rates = rates.assign_coords(trace_center=truth.trace_center.variable)
    return rates.isel(x=slice(180, 300)).load()


@pytest.fixture(scope="module")
def whole(made):
    """Spectra of the good data, of each method that has asked."""
    return functools.cache(lambda method: extract(made, method=method))


def quiet(rates, method, **given):
    """Extract; a warning of numpy is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return extract(rates, method=method, **given)


def columns(spectra, rates, where):
    """Which wavelengths come from these columns."""
    return np.isin(spectra.dispersion_pixel.values, rates.x.values[where])


def is_lost(spectra, lost):
    """Whether values are missing and flagged there and nowhere else."""
    useless = dq.has_flag(spectra.dq, "DO_NOT_USE").values
    missing = np.isnan(spectra.flux.values) & np.isnan(spectra.flux_error.values)
    return (
        missing[:, lost].all()
        and useless[:, lost].all()
        and np.isfinite(spectra.flux.values[:, ~lost]).all()
        and (spectra.flux_error.values[:, ~lost] > 0).all()
        and not useless[:, ~lost].any()
    )


def notes(spectra):
    return " ".join(records(spectra.attrs)[-1].get("notes", []))


def changed(rates, name, values):
    return rates.assign({name: rates[name].copy(data=values.astype(rates[name].dtype))})


def test_trace_outside_the_frame(made, method):
    away = made.assign_coords(trace_center=made.trace_center + 100)
    with pytest.raises(TsoError, match=r"the trace lies outside the frame, between 11\d"):
        quiet(away, method)
    with pytest.raises(TsoError, match=r"the trace lies outside the frame, between 11\d"):
        quiet(away.chunk(time=5), method).compute()


def test_trace_that_is_nowhere(made, method):
    lost = made.assign_coords(trace_center=made.trace_center * np.nan)
    with pytest.raises(TsoError, match=r"trace_center has no finite value; .*find_trace"):
        quiet(lost, method)


def test_trace_that_leaves_the_frame(made, method):
    center = made.trace_center.copy()
    center[BAD] = 60.0
    spectra = quiet(made.assign_coords(trace_center=center), method)
    lost = columns(spectra, made, BAD)
    assert lost.sum() == 6
    assert is_lost(spectra, lost)
    assert (spectra.n_pixels.values[lost] == 0).all()


def test_trace_at_the_edge(made, whole, method):
    """The part of the aperture that the frame has is summed, and its pixels are counted."""
    low = int(made.trace_center.min()) - 1
    cut = made.isel(y=slice(low, None))
    spectra, good = quiet(cut, method), whole(method)
    assert is_lost(spectra, np.zeros(spectra.sizes["wavelength"], bool))
    assert (spectra.n_pixels.values < good.n_pixels.values - 1).all()
    # more than 80 % of the light lies above the pixel below the trace's
    ratio = (spectra.flux.median("time") / good.flux.median("time")).values
    assert (ratio > 0.8).all()
    assert (ratio < 1.02).all()


@pytest.mark.parametrize("half_width", [0.0, -1.0, np.nan, np.inf])
def test_empty_aperture(made, method, half_width):
    with pytest.raises(ValueError, match=r"half_width=.*; it must be above 0 pixels"):
        quiet(made, method, half_width=half_width)


def test_aperture_of_a_part_of_a_pixel(made, method):
    spectra = quiet(made, method, half_width=0.2)
    assert is_lost(spectra, np.zeros(spectra.sizes["wavelength"], bool))
    np.testing.assert_allclose(spectra.n_pixels, 0.4, rtol=1e-6)


def test_profile_without_light(made, method):
    """Noise alone: the profile is none, the flux is zero within its error."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, made.rate.shape) * made.rate_error.values
    spectra = quiet(changed(made, "rate", noise), method)
    assert is_lost(spectra, np.zeros(spectra.sizes["wavelength"], bool))
    pull = (spectra.flux / spectra.flux_error).values
    # the profile is chosen so that the median frame has light: up to half a sigma of one
    # integration with 16 of them, each column in a way of its own
    assert abs(pull.mean()) < 0.5
    assert 0.8 < pull.std() < 1.3
    dark = quiet(changed(made, "rate", 0 * noise), method)
    np.testing.assert_array_equal(dark.flux, 0.0)


def test_negative_flux(made, whole, method):
    """A sky that was taken off twice: the flux is negative as it is, in time as well."""
    over = changed(made, "rate", made.rate.values - 2 * made.rate.values.max())
    spectra = quiet(over, method)
    assert is_lost(spectra, np.zeros(spectra.sizes["wavelength"], bool))
    assert (spectra.flux < 0).all()
    few = made.rate.values.copy()
    few[:, :, BAD] *= -1
    spectra, good = quiet(changed(made, "rate", few), method), whole(method)
    turned = columns(spectra, made, BAD)
    assert (spectra.flux.values[:, turned] < 0).all()
    # the profile of these columns is that of their neighbours; it moves by less than 5 %
    ratio = (spectra.flux / good.flux).values[:, turned]
    np.testing.assert_allclose(ratio, -1.0, atol=0.1)
    np.testing.assert_allclose(
        spectra.flux.values[:, ~turned], good.flux.values[:, ~turned], rtol=0.01
    )


def test_columns_of_nothing(made, whole, method):
    """Masked, without values, without errors, without gain: no light, flagged, and no harm beside."""
    flags, rate, error, gain = (
        made[name].values.copy() for name in ("dq", "rate", "rate_error", "gain")
    )
    flags[:, :, 20:22] |= dq.FLAGS["DO_NOT_USE"]
    rate[:, :, 35] = np.nan
    error[:, :, 50] = np.nan
    error[:, :, 65:67] = 0.0
    error[:, :, 80] = np.inf
    gain[:, 95] = np.nan
    rates = made
    for name, values in (("dq", flags), ("rate", rate), ("rate_error", error), ("gain", gain)):
        rates = changed(rates, name, values)
    spectra, good = quiet(rates, method), whole(method)
    lost = columns(spectra, made, [20, 21, 35, 50, 65, 66, 80, 95])
    assert lost.sum() == 8
    assert is_lost(spectra, lost)
    # the other columns miss what these have told of the profile
    np.testing.assert_allclose(
        spectra.flux.values[:, ~lost], good.flux.values[:, ~lost], rtol=0.005
    )


def test_variance_that_is_none(made, whole, method):
    """A pixel of the trace without error in some integrations, another one without at all times."""
    error = made.rate_error.values.copy()
    row = round(float(made.trace_center[60])) + 1
    for k, value in enumerate((np.nan, -1.0, np.inf)):
        error[3:6, row, 40 + 20 * k] = value
        error[:, row, 50 + 20 * k] = value
    spectra, good = quiet(changed(made, "rate_error", error), method), whole(method)
    estimated = dq.has_flag(spectra.dq, "FLUX_ESTIMATED").values
    some, always = (columns(spectra, made, [k, k + 20, k + 40]) for k in (40, 50))
    assert estimated[3:6][:, some].all()
    assert estimated[:, ~always].sum() == 3 * 3
    ratio = (spectra.flux / good.flux).values
    error = (good.flux_error / good.flux).values
    # a fifth of the light is estimated: the rest has 1.1 times the noise, the profile its own
    assert (np.abs(ratio - 1)[3:6][:, some] < 3 * error[3:6][:, some]).all()
    assert np.abs(ratio - 1)[:, always].max() < 0.1
    assert np.isfinite(spectra.flux_error).all()


def test_no_variance_at_all(made, method):
    spectra = quiet(changed(made, "rate_error", made.rate_error.values * np.nan), method)
    assert is_lost(spectra, np.ones(spectra.sizes["wavelength"], bool))


def test_no_gain_at_all(made, method):
    with pytest.raises(TsoError, match=r"gain has no positive value .*; attach"):
        quiet(changed(made, "gain", made.gain.values * 0), method)


def test_light_that_is_not_finite(made, method):
    rate = made.rate.values.copy()
    row = round(float(made.trace_center[60]))
    rate[4, row, 60], rate[5, row, 61] = np.inf, -np.inf
    spectra = quiet(changed(made, "rate", rate), method)
    assert np.isfinite(spectra.flux).all()
    estimated = dq.has_flag(spectra.dq, "FLUX_ESTIMATED").values
    assert estimated.sum() == 2


def test_wavelength_of_another_shape(made, method):
    other = made.drop_vars("wavelength").assign_coords(wavelength=("w", np.linspace(1, 5, 120)))
    with pytest.raises(SchemaError, match=r"'wavelength' has dims \('w',\); .*assign_wavelength"):
        quiet(other, method)
    moving = made.wavelength.expand_dims(time=made.sizes["time"])
    with pytest.raises(SchemaError, match=r"'wavelength' has dims \('time', .*assign_wavelength"):
        quiet(made.drop_vars("wavelength").assign_coords(wavelength=moving), method)


def test_trace_along_the_wrong_axis(made, method):
    turned = made.drop_vars("trace_center").assign_coords(
        trace_center=("y", np.full(made.sizes["y"], 15.0))
    )
    with pytest.raises(SchemaError, match=r"'trace_center' has dims \('y',\); .*find_trace"):
        quiet(turned, method)


def test_wavelengths_that_descend(made, whole, method):
    spectra = quiet(made.assign_coords(wavelength=6.0 - made.wavelength), method)
    assert (np.diff(spectra.wavelength) > 0).all()
    np.testing.assert_array_equal(spectra.dispersion_pixel, made.x.values[::-1])
    good = whole(method)
    np.testing.assert_array_equal(spectra.flux.values, good.flux.values[:, ::-1])
    assert not any(odd in notes(spectra) for odd in ("share their wavelength", "neither rise nor"))


def test_wavelengths_that_repeat_or_turn_round(made):
    wave = made.wavelength.copy()
    wave[:, BAD] = wave[:, BAD.start].values[:, None]
    spectra = quiet(made.assign_coords(wavelength=wave), "optimal")
    assert (np.diff(spectra.wavelength) >= 0).all()
    assert "6 pixels along the trace share their wavelength with others" in notes(spectra)
    assert spectra.sizes["wavelength"] == made.sizes["x"]
    with pytest.raises(SchemaError, match=r"do not increase strictly; .*drop those"):
        spectra.tso.white_light()
    back = made.wavelength.copy()
    back[:, BAD] = back[:, BAD].values[:, ::-1]
    spectra = quiet(made.assign_coords(wavelength=back), "optimal")
    assert "neither rise nor fall all along the trace" in notes(spectra)
    assert (np.diff(spectra.wavelength) > 0).all()


def test_wavelengths_with_holes(made, whole):
    holes = made.assign_coords(wavelength=made.wavelength.where(made.x % 10 != 3))
    spectra, good = quiet(holes, "optimal"), whole("optimal")
    kept = np.isin(good.dispersion_pixel, spectra.dispersion_pixel)
    assert kept.sum() == 108
    np.testing.assert_array_equal(spectra.flux.values, good.flux.values[:, kept])
    with pytest.raises(TsoError, match="no pixel of the trace has a wavelength"):
        quiet(made.assign_coords(wavelength=made.wavelength * np.nan), "optimal")


def test_two_integrations(made, whole, method):
    few = made.isel(time=slice(0, 2))
    spectra, good = quiet(few, method), whole(method)
    assert is_lost(spectra, np.zeros(spectra.sizes["wavelength"], bool))
    difference = (spectra.flux - good.flux.isel(time=slice(0, 2))) / spectra.flux_error
    # the profile is that of two integrations: an error of the size of the flux's own, no more
    assert float(difference.std()) < 1.0


def test_no_integration(made, method):
    with pytest.raises(TsoError, match=r"extract: there are no integrations"):
        quiet(made.isel(time=slice(0, 0)), method)
