"""What every mode must do: give back the light that was put in, with the noise predicted."""

import numpy as np
import pytest

from tsoxr import dq, schema
from tsoxr.simulation import SETUPS, Telescope, exposure, simulate
from tsoxr.simulation.electronics import Electronics
from tsoxr.simulation.labels import relative_flux
from tsoxr.simulation.overview import line_light_curves, power_spectrum
from tsoxr.simulation.prediction import along_wavelength, pixel_variance
from tsoxr.simulation.ramp import draw_integration

CASES = {
    "prism": ("nirspec-prism", {}),
    "prism-512s": ("nirspec-prism", {"subarray": "SUB512S"}),
    "g395h-nrs1": ("nirspec-g395h", {}),
    "g395h-nrs2": ("nirspec-g395h", {"detector": "NRS2"}),
    "g395m": ("nirspec-g395m", {}),
    "soss": ("niriss-soss", {}),
    "soss-96": ("niriss-soss", {"subarray": "SUBSTRIP96"}),
    "soss-f277w": ("niriss-soss", {"filter": "F277W"}),
    "grism-f322w2": ("nircam-grism", {"subarray": "SUBGRISM64"}),
    "grism-f444w": ("nircam-grism", {"subarray": "SUBGRISM64", "filter": "F444W", "n_outputs": 1}),
    "grism-128": ("nircam-grism", {"subarray": "SUBGRISM128"}),
    "grism-256": ("nircam-grism", {"subarray": "SUBGRISM256"}),
    "weak-lens": ("nircam-imaging", {}),
    "in-focus": ("nircam-imaging", {"subarray": "SUB64P"}),
    "lrs": ("miri-lrs", {}),
    "miri-image": ("miri-imaging", {}),
}

LONG = 600
"""Integrations of a transit that lasts minutes in every mode; only a few are drawn."""


def small(case, **given):
    mode, chosen = CASES[case]
    return exposure(mode, **{**chosen, **given})


def test_every_mode_is_here():
    assert {mode for mode, _ in CASES.values()} == set(SETUPS)


@pytest.mark.parametrize("case", CASES)
def test_median_line_reduction_gives_the_light_curve_back(case):
    # one depth at all wavelengths, so that overlapping orders carry the same curve; and a
    # transit of minutes, because NIRCam reads the pixels of a line up to a frame apart: the
    # wings under a median see an ingress of a second 7 ppm before or after the star
    flat = {"feature_depth": 0.0, "limb_darkening": (0.2, 0.1), "noise": ()}
    each = small(case, n_integrations=LONG, n_groups=3, **flat)
    drawn = np.linspace(0, LONG - 1, 9).astype(int)
    electronics = Electronics(each)
    lines = np.stack(
        [line_light_curves(each, draw_integration(each, electronics, i)) for i in drawn]
    )
    put_in = relative_flux(each)[drawn]
    white = lines.sum(axis=1) / lines[0].sum()
    assert put_in[0].min() == 1.0
    assert put_in.min() < 0.991
    if each.setup.imaging:
        mean = put_in @ each.component.spectrum / each.component.spectrum.sum()
        np.testing.assert_allclose(white, mean, rtol=0, atol=1e-6)
        return
    lines = lines[:, each.component.pixel]
    bright = lines[0] > 0.05 * lines[0].max()
    # float32 holds a sample of 3e4 DN to 1e-3 DN; a line has 1e4 DN and more
    np.testing.assert_allclose((lines / lines[0])[:, bright], put_in[:, bright], rtol=0, atol=1e-6)
    weighted = (put_in * lines[0]).sum(axis=1) / lines[0].sum()
    np.testing.assert_allclose(white, weighted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_noise_is_that_of_photons_and_reads(case):
    n = 24
    each = small(
        case, seed=3, n_integrations=n, n_groups=2, radius_ratio=0.0, noise=("photon", "read")
    )
    electronics, gain = Electronics(each), each.maps.gain
    steps = np.stack(
        [np.diff(draw_integration(each, electronics, i), axis=0)[0] * gain for i in range(n)]
    )
    rate = steps / each.clock.group_interval
    photon, read = pixel_variance(each)
    science = each.setup.science
    pull = rate.var(axis=0, ddof=1)[science] / (photon + read)[science]
    # the mean of N ratios of n - 1 degrees of freedom: sqrt(2 / (n - 1) / N)
    assert abs(pull.mean() - 1.0) < 5.0 * np.sqrt(2.0 / (n - 1) / pull.size) + 1e-3
    weight = each.component.share() * science / (photon + read)
    norm = along_wavelength(each, weight * each.component.share())
    spectrum = np.stack([along_wavelength(each, weight * r) / norm for r in rate])
    truth = each.truth(stripes=False)
    star = each.component.spectrum
    if each.setup.imaging:
        error = 1e-6 * float(truth["white_flux_error"]) * star.sum()
    else:
        error = 1e-6 * truth["flux_error"].values * star
    ratio = spectrum.var(axis=0, ddof=1) / error**2
    assert abs(ratio.mean() - 1.0) < 5.0 * np.sqrt(2.0 / (n - 1) / ratio.size)


@pytest.mark.parametrize("case", CASES)
def test_products_keep_to_the_schema(case):
    mode, chosen = CASES[case]
    given = {**chosen, "n_integrations": 2, "n_groups": 2, "seed": 1}
    imaging = small(case).setup.imaging
    for kind in ("ramps", "rates", "lightcurves", *(() if imaging else ("spectra",))):
        assert schema.validate(simulate(mode, kind=kind, **given)) == [], kind
    truth = simulate(mode, kind="truth", **given)
    assert np.isfinite(truth["white_flux"]).all()
    assert float(truth["white_flux_error"]) > 0


@pytest.mark.parametrize("case", CASES)
def test_reference_pixels_see_no_light(case):
    each = small(case, n_integrations=1, n_groups=2, noise=("background", "dark"))
    border = ~each.setup.science
    ramp = draw_integration(each, Electronics(each), 0)
    assert np.all(ramp[:, border] == 0)
    assert np.all(ramp[:, each.setup.science] > 0)
    assert np.all(dq.has_flag(each.maps.dq, "REFERENCE_PIXEL") == border)


@pytest.mark.parametrize("case", CASES)
def test_noise_on_the_clock_has_the_stated_density(case):
    on = ("read", "one_over_f")
    each = small(case, seed=2, n_integrations=6, n_groups=6, noise=on, brightness=0.2)
    electronics = Electronics(each)
    spectra = [power_spectrum(each, draw_integration(each, electronics, i)) for i in range(6)]
    frequency = spectra[0][0]
    density = 0.5 * np.mean([p for _, p in spectra], axis=0)
    fast = frequency > 2e4
    white = 2e-5 * each.setup.constants.read_noise**2
    # the highest frequencies hold hundreds of independent values a frame
    assert density[fast].mean() == pytest.approx(white, rel=0.15)
    slow = frequency < 20.0 / each.clock.frame_time
    assert np.all(density[slow] > white)


def test_the_truth_of_each_order_is_written(tmp_path):
    each = exposure("niriss-soss", subarray="SUBSTRIP96", n_integrations=1, n_groups=2)
    each.write(tmp_path)
    # order 3 does not reach this subarray
    assert sorted(p.name for p in tmp_path.glob("*.nc")) == ["truth.nc", "truth_order2.nc"]


@pytest.mark.parametrize(("case", "least", "most"), [("prism", 1.5, 2.5), ("soss", 19.0, 25.0)])
def test_the_width_of_the_trace_is_that_of_its_image(case, least, most):
    each = small(case, n_integrations=2, noise=(), telescope=Telescope(breathing=0.01))
    truth = each.truth(stripes=False)
    brightest = each.component.pixel[np.argmax(each.component.spectrum)]
    column = each.component.share()[:, brightest]
    above = np.flatnonzero(column >= 0.5 * column.max())
    # a column of whole pixels tells the width to a pixel
    assert abs(truth["trace_fwhm"].values[0] - above.size) < 1.0
    assert least < truth["trace_fwhm"].values[0] < most
    spectra = each.spectra()
    np.testing.assert_allclose(spectra["trace_fwhm"], truth["trace_fwhm"], rtol=1e-6)
