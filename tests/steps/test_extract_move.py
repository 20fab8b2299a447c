"""Extraction that follows the light, and the effective profile, against the simulation."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import testing
from tsoxr.errors import SchemaError
from tsoxr.history import records
from tsoxr.simulation import Telescope, Tilt
from tsoxr.steps import extract

DRIFT = 0.4
STILL = {"jitter_drift": 0.0, "jitter": 0.0}


def exposure(mode="nirspec-prism", *, n=40, noise=("jitter",), drift=DRIFT, **parameters):
    """Rates whose light drifts about its place, with the true trace and motion, and the truth."""
    made = tsoxr.simulation.exposure(mode, n_integrations=n, seed=3, noise=noise, **parameters)
    if drift is not None:
        hours = 24.0 * float(np.ptp(made.clock.tdb(0.5)))
        start = Tilt(time=made.moment(0.0), across=-0.5 * drift)
        telescope = Telescope(**STILL, drift_across=drift / hours)
        made = made.replace(telescope=telescope, events=(start,))
    rates, truth = made.rates(), made.truth(stripes=False)
    everywhere = truth.trace_center.interpolate_na(
        rates.attrs["dispersion_dim"], method="nearest", fill_value="extrapolate"
    )
    shift = truth["shift"].variable.astype("f4")
    return rates.assign_coords(trace_center=everywhere.variable, trace_shift=shift), truth


def relative(spectra, truth):
    """Flux over the truth and over its mean, of wavelengths with light; and that light."""
    order = np.argsort(spectra.dispersion_pixel.values)
    found = order[np.searchsorted(spectra.dispersion_pixel.values[order], truth.dispersion_pixel)]
    flux = spectra.flux.values[:, found] / truth.flux.values
    star = np.nanmean(flux, axis=0)
    lit = star > 0.1 * np.nanmax(star)
    return (flux / star)[:, lit], star[lit]


@pytest.fixture(scope="module", params=["nirspec-prism", "miri-lrs"])
def drifting(request):
    """Drift of 0.4 pixels, no noise: what is left of the motion is the method's."""
    return exposure(request.param)


@pytest.mark.parametrize("method", ["box", "optimal", "psf"])
def test_drift_leaves_no_trace_where_the_aperture_follows(drifting, method):
    rates, truth = drifting
    flux, star = relative(extract(rates, method=method, move="shift"), truth)
    white = flux @ star / star.sum()
    # the effective profile is good to some 1e-4 of a column's light at each place (its test); over
    # the columns that share a place within pixels this is what is left in white light
    assert np.ptp(white) < 3e-4
    assert np.median(np.ptp(flux, axis=0)) < 2e-3


def test_fixed_weights_see_a_drift_and_a_fixed_box_does_not(drifting):
    rates, truth = drifting
    flux, star = relative(extract(rates, method="optimal"), truth)
    white = flux @ star / star.sum()
    # second order: 0.2^2 times half the curvature of sum(w P), 0.03 per pixel^2
    assert 3e-4 < np.ptp(white) < 5e-3
    flux, star = relative(extract(rates, method="box"), truth)
    assert np.ptp(flux @ star / star.sum()) < 1e-4


def test_scatter_is_that_of_the_noise_again():
    rates, truth = exposure(n=80, noise=("photon", "read", "jitter"), brightness=0.1)
    rates = rates.drop_vars("trace_shift").tso.track()
    spectra = extract(rates, move="shift")
    flux, star = relative(spectra, truth)
    white = flux @ star / star.sum()
    lit = truth.stellar_spectrum.values > 0.1 * truth.stellar_spectrum.values.max()
    some, error = truth.stellar_spectrum.values[lit], truth.flux_error.values[lit]
    limit = 1e-6 * np.sqrt(((error * some) ** 2).sum()) / some.sum()
    # 80 integrations give the scatter to 8 %; the profile is known to 1e-4 of the light, which
    # is a fifth of the limit, and the shift of 0.4 mpix enters with a per cent of it
    assert abs(white.std() / limit - 1) < 0.25
    fixed, star = relative(extract(rates), truth)
    assert (fixed @ star / star.sum()).std() > 1.15 * white.std()
    single = np.median(flux.std(axis=0) / (1e-6 * error[: flux.shape[1]]))
    assert abs(single - 1) < 0.05


def test_usual_jitter_needs_no_motion():
    rates, truth = exposure(n=60, noise=("photon", "read", "jitter"), drift=None)
    rates = rates.drop_vars("trace_shift").tso.track()
    both = [relative(extract(rates, move=move), truth) for move in ("none", "shift")]
    fixed, moved = (flux @ star / star.sum() for flux, star in both)
    # 3 mpix at 0.03 per pixel at most: 1e-4, a third of the limit of 320 ppm; in practice less
    assert abs(moved.std() / fixed.std() - 1) < 0.05
    assert abs(both[1][0].std() / both[0][0].std() - 1) < 0.01


@pytest.mark.parametrize("drift", [None, DRIFT])
def test_effective_profile_gives_the_light_in_the_aperture(drift):
    rates, truth = exposure("nirspec-g395h", n=20, noise=("photon", "read", "jitter"), drift=drift)
    space = rates.attrs["spatial_dim"]
    spectra = extract(rates, method="psf", move="none" if drift is None else "shift")
    upper = np.minimum(rates[space] + 0.5, truth.trace_center + 4.0)
    lower = np.maximum(rates[space] - 0.5, truth.trace_center - 4.0)
    light = (truth.rate * rates.gain * (upper - lower).clip(0, 1)).sum(space).values
    expected = light[spectra.dispersion_pixel.values]
    baseline = ~rates.in_transit.values
    mean = spectra.flux.values[baseline].mean(axis=0)
    error = spectra.flux_error.values[baseline].mean(axis=0) / np.sqrt(baseline.sum())
    some = expected > 0.1 * expected.max()
    # noise of the mean, and an error of the profile of 3e-4, which scales a column's flux for good
    pull = (mean - expected)[some] / np.hypot(error, 3e-4 * expected)[some]
    assert abs(pull.mean()) < 0.3
    assert pull.std() < 1.2


def test_noise_of_the_shift_enters_with_the_slope_of_the_flux():
    rates, _ = exposure()
    still = extract(rates, move="shift")
    noise = 1e-3 * np.random.default_rng(0).standard_normal(rates.sizes["time"])
    shaken = extract(
        rates.assign_coords(trace_shift=(rates.trace_shift + noise).astype("f4")), move="shift"
    )
    some = (still.flux.median("time") > 0.1 * still.flux.max()).values
    change = (shaken.flux / still.flux - 1).values[:, some]
    # d ln F / dy = sum(w dP/dy), 0.03 per pixel where 0.7 pixels of light fall on pixels; a few
    # times this at 0.2 pixels off
    assert 1e-6 < change.std() < 0.1 * 1e-3
    assert (change @ still.flux.values[0, some] / still.flux.values[0, some].sum()).std() < 5e-5


def test_integrations_without_shift_stay_and_are_noted():
    rates, _ = exposure(n=20)
    shift = rates.trace_shift.copy()
    shift[[4, 11]] = np.nan
    spectra = extract(rates.assign_coords(trace_shift=shift), move="shift")
    (text,) = [t for t in records(spectra.attrs)[-1]["notes"] if "shift" in t]
    assert text == "2 of 20 integrations have no measured shift: not moved there"
    assert np.isfinite(spectra.flux).all()
    usual = float(np.median(shift.values[np.isfinite(shift.values)]))
    moved = extract(rates.assign_coords(trace_shift=shift.fillna(usual)), move="shift")
    np.testing.assert_allclose(spectra.flux, moved.flux, rtol=1e-5)
    unknown = extract(rates.assign_coords(trace_shift=shift * np.nan), move="shift")
    some = (unknown.flux.median("time") > 0.1 * unknown.flux.max()).values
    fixed = extract(rates)
    np.testing.assert_allclose(unknown.flux[:, some], fixed.flux[:, some], rtol=2e-5)


@pytest.mark.parametrize("method", ["optimal", "psf"])
def test_lazy_equals_eager_and_reads_nothing_early(method):
    rates, _ = exposure(n=30)
    eager = extract(rates, method=method, move="shift")
    with testing.raise_if_computes():
        lazy = extract(rates.chunk(time=8), method=method, move="shift")
    xr.testing.assert_identical(lazy.compute(), eager)


def test_turned_axes_give_the_same():
    rates, _ = exposure("miri-lrs", n=8)
    turned = rates.rename(x="y", y="x").transpose("time", "y", "x")
    turned.attrs.update(spatial_dim="y", dispersion_dim="x", fast_dim="y", slow_dim="x")
    for given in ({"method": "psf"}, {"move": "shift"}):
        straight, other = extract(rates, **given), extract(turned, **given)
        for name in ("flux", "flux_error", "dq"):
            np.testing.assert_array_equal(other[name], straight[name])


def test_input_is_not_changed():
    rates, _ = exposure(n=6)
    before = rates.copy(deep=True)
    extract(rates, method="psf", move="shift")
    xr.testing.assert_identical(rates, before)


def test_refused():
    rates, _ = exposure(n=4)
    with pytest.raises(ValueError, match="move='away'; it must be"):
        extract(rates, move="away")
    with pytest.raises(ValueError, match=r"reject=6.0 with move='shift'"):
        extract(rates, move="shift", reject=6.0)
    with pytest.raises(SchemaError, match=r"needs 'trace_shift'.*run .tso.track\(\) first"):
        extract(rates.drop_vars("trace_shift"), move="shift")
