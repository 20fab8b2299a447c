"""The aperture's loss as `extract` reports it, against the simulated profile."""

import functools

import numpy as np
import pytest

import tsoxr
from tsoxr import modes
from tsoxr.steps import extract

KNOWN = 2e-3
"""Within what the loss is known, in parts of the light, where the wings end inside the frame. The
command of `benchmarks/aperture_loss.py` measures all modes."""


@functools.cache
def exposure(mode):
    made = tsoxr.simulation.exposure(mode, n_integrations=24, seed=5, noise=("photon", "read"))
    rates, truth = made.rates(), made.truth(stripes=False)
    everywhere = truth.trace_center.interpolate_na(
        rates.attrs["dispersion_dim"], method="nearest", fill_value="extrapolate"
    )
    rates = rates.assign_coords(trace_center=everywhere.variable)
    return rates.tso.subtract_background().tso.assign_wavelength(), made


def true_loss(made, half_width):
    """Share of each wavelength's light outside of the aperture, on pixels without an end."""
    light = made.component
    profile = light._trace.profile
    knots = profile.start + profile.step * np.arange(profile.cumulative.size)
    pixel = np.arange(-400, 700)[:, None]

    def below(edge):
        return np.interp((edge - light.center) / light.width, knots, profile.cumulative)

    upper = np.minimum(pixel + 0.5, light.center + half_width)
    lower = np.maximum(pixel - 0.5, light.center - half_width)
    share = below(pixel + 0.5) - below(pixel - 0.5)
    loss = np.full(made.setup.n_dispersion, np.nan)
    loss[light.pixel] = 1 - (np.clip(upper - lower, 0, 1) * share).sum(axis=0)
    return loss


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_loss_of_each_mode(mode):
    rates, made = exposure(mode)
    spectra = extract(rates)
    true = true_loss(made, float(spectra.aperture_half_width))[spectra.dispersion_pixel.values]
    median = spectra.flux.median("time").values
    lit = np.isfinite(true) & (median > 0.1 * np.nanmax(median))
    off = np.abs(spectra.aperture_loss.values - true)[lit]
    # half of the known-to; noise of the level is 1e-4 of the light or less in blocks of lines
    assert np.median(off) < 0.5 * KNOWN
    assert off.max() < KNOWN
    error = spectra.aperture_loss_error.values[lit]
    assert np.median(error) < KNOWN
    assert (off < 3 * error).all()


def test_wider_apertures_lose_less():
    rates, _ = exposure("nirspec-prism")
    losses = [float(extract(rates, half_width=w).aperture_loss.median()) for w in (3.0, 4.0, 6.0)]
    assert losses[0] > losses[1] > losses[2] > 0
    assert losses[2] < 0.005


def test_defaults_that_lose_less_than_one_percent():
    """Half of the lines of modes with compact profiles; SOSS and NIRCam's grism are not."""
    for mode in ("nirspec-prism", "nirspec-g395h", "nirspec-g395m", "miri-lrs"):
        made = tsoxr.simulation.exposure(mode, n_integrations=2, seed=1)
        width = modes.step_defaults(mode, "extract")["half_width"].value
        star = made.component.spectrum
        bright = made.component.pixel[star > 0.1 * star.max()]
        assert np.median(true_loss(made, width)[bright]) < 0.01, mode


def test_report_of_the_loss():
    rates, _ = exposure("miri-lrs")
    spectra = extract(rates)
    table = spectra.tso.summary()
    row = table[table.quantity.str.contains("light outside of the aperture")]
    assert row.value.iloc[0] == pytest.approx(100 * float(spectra.aperture_loss.median()))
    lines = spectra.tso.plot.extract().figure.axes[2].lines
    np.testing.assert_allclose(lines[0].get_ydata(), 100 * spectra.aperture_loss, rtol=1e-6)
