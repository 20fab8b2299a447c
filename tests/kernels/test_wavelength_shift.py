"""Shifts of lines against what was put in, with errors that hold; units of wavelength."""

import numpy as np
import pytest

from tsoxr.kernels import wavelength_shift as kernel
from tsoxr.kernels.wavelength_units import (
    air_to_vacuum,
    doppler,
    hydrogen_lines,
    plane_polynomial,
    refractive_index,
)

WAVE = 3.0 + 6.8e-4 * np.arange(800) + 4e-8 * np.arange(800) ** 2
LINES = np.array([3.1, 3.173, 3.31, 3.39, 3.52])
DEPTHS = np.array([0.05, 0.02, 0.04, 0.03, 0.05])
WIDTH = 2.4


def place(shift, stretch=0.0):
    return np.arange(WAVE.size) + shift + stretch * np.linspace(-1, 1, WAVE.size)


def spectrum(shift, *, noise, seed, stretch=0.0, lines=LINES):
    """Return counts whose lines lie where pixel ``x + shift`` of WAVE says, and their errors."""
    at = np.interp(lines, WAVE, np.arange(WAVE.size))
    sigma = np.hypot(WIDTH / 2.3548, 12**-0.5)
    profile = np.exp(-0.5 * ((place(shift, stretch)[:, None] - at) / sigma) ** 2)
    t = np.linspace(-1, 1, WAVE.size)
    flux = 1000.0 * (1.2 + 0.5 * t - 0.3 * t**2) * (1 - profile @ DEPTHS[: lines.size])
    noisy = flux + np.random.default_rng(seed).normal(0, noise, flux.size)
    return noisy, np.full(flux.size, noise)


def measured(flux, error, *, wave=WAVE, **options):
    parts = kernel.line_parts(flux, wave, LINES, width=WIDTH, reach=6.0, degree=8)
    return kernel.measure(flux, error, parts, reach=6.0, **options)


@pytest.mark.parametrize("shift", [0.0, 0.37, -3.81])
def test_shift_within_errors_that_hold(shift):
    found = [measured(*spectrum(shift, noise=4.0, seed=s)) for s in range(60)]
    z = np.array([(f.shift - shift) / f.shift_error for f in found])
    # 60 values of unit variance: the mean is good to 0.13, the scatter to 0.09; four sigma
    assert abs(z.mean()) < 0.52
    assert 0.64 < z.std() < 1.36
    assert all(f.significance > 20 for f in found)


def test_errors_are_those_of_the_cramer_rao_limit():
    found = measured(*spectrum(0.4, noise=4.0, seed=1))
    clean, _ = spectrum(0.4, noise=0.0, seed=1)
    later, _ = spectrum(0.41, noise=0.0, seed=1)
    slope = (later - clean) / 0.01
    limit = 4.0 / np.sqrt((slope**2).sum())  # of the shift alone; free depths cost next to nothing
    assert limit * 0.95 < found.shift_error < 1.2 * limit


def test_stretch():
    flux, error = spectrum(0.8, noise=2.0, seed=3, stretch=0.6)
    found = measured(flux, error, stretch=True)
    assert found.shift == pytest.approx(0.8, abs=4 * found.shift_error)
    assert found.stretch == pytest.approx(0.6, abs=4 * found.stretch_error)
    assert measured(flux, error).reduced_chi2 > found.reduced_chi2 + 0.1  # one shift does not fit


def test_wavelengths_that_fall():
    flux, error = spectrum(1.3, noise=4.0, seed=2)
    found = measured(flux[::-1], error, wave=WAVE[::-1])
    assert found.shift == pytest.approx(-1.3, abs=4 * found.shift_error)


def test_a_model_that_is_no_list_of_lines():
    rng = np.random.default_rng(5)
    fine = np.linspace(2.9, 3.7, 40001)
    light = 1 + 0.2 * np.interp(fine, np.linspace(2.9, 3.7, 500), rng.normal(0, 1, 500))
    parts = kernel.model_parts(
        np.ones(WAVE.size), WAVE, (fine, light), width=WIDTH, reach=6.0, degree=0
    )
    truth = np.interp(place(2.27), parts.samples, parts.moving[0])
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(0, 0.01, truth.size)
        flux = truth * np.linspace(1.0, 2.0, truth.size) + noise
        parts = kernel.model_parts(flux, WAVE, (fine, light), width=WIDTH, reach=6.0, degree=3)
        found = kernel.measure(flux, np.full(flux.size, 0.01), parts, reach=6.0)
        assert found.shift == pytest.approx(2.27, abs=4 * found.shift_error)
        assert found.shift_error < 0.01


def test_no_lines_are_no_measurement():
    quiet = np.array([3.61])  # a line outside the list
    found = [measured(*spectrum(0.0, noise=4.0, seed=s, lines=quiet)) for s in range(20)]
    # the best of 49 trials of noise with five free depths: chi-squared gains some 15
    assert max(f.significance for f in found) < 5.0


def test_a_continuum_that_is_not_followed_is_no_line():
    """The edge of a bandpass leaves waves of hundreds of sigma; places of lines are random."""
    x, lines = np.linspace(-1, 1, 400), np.linspace(1.05, 1.95, 9)
    wave = 1.0 + np.arange(400) / 400
    flux = 1e4 / (1 + np.exp((x - 0.8) / 0.02)) + np.random.default_rng(1).normal(size=400)
    parts = kernel.line_parts(flux, wave, lines, width=2.5, reach=6.0, degree=6)
    found = kernel.measure(flux, np.ones(400), parts, reach=6.0)
    assert found.reduced_chi2 > 100
    assert found.significance < 5.0


def test_wrong_errors_do_not_shrink_the_uncertainty():
    flux, error = spectrum(0.5, noise=8.0, seed=4)
    honest, proud = measured(flux, error), measured(flux, error / 10)
    assert proud.shift_error == pytest.approx(honest.shift_error, rel=0.1)


def test_pixels_without_a_value_count_nothing():
    flux, error = spectrum(0.5, noise=4.0, seed=4)
    error = error.copy()
    error[300:310] = np.nan
    broken = flux.copy()
    broken[300:310] = 1e6
    assert measured(np.where(np.isnan(error), 1100.0, broken), error).shift == pytest.approx(
        measured(flux, error).shift, abs=0.02
    )


def test_reading_wavelengths_farther_on():
    x = np.arange(200.0)
    wave = 1.0 + 0.01 * x + 1e-6 * x**2
    wave[:20] = wave[-15:] = np.nan
    out = kernel.shifted(np.stack([wave, wave]), 1.7, 0.4)
    at = x + 1.7 + 0.4 * np.linspace(-1, 1, 200)
    expected = 1.0 + 0.01 * at + 1e-6 * at**2
    known = np.isfinite(wave)
    # linear between pixels: the curvature, 2e-6, over eight; straight beyond the ends: times
    # 2.1 pixels squared over two, and half a curvature of slope over 2.1 pixels
    assert np.abs(out[0] - expected)[known][3:-3].max() < 3e-7
    assert np.abs(out[0] - expected)[known].max() < 2e-6 * (2.1**2 / 2 + 2.1 / 2)
    assert np.isnan(out[:, ~known]).all()


@pytest.mark.real_data
@pytest.mark.parametrize("team", ["firefly", "nameless", "nirhiss", "supremespoon"])
def test_hydrogen_of_a_real_star(real_data_dir, team):
    """P beta, gamma and delta of WASP-39 in spectra that others extracted from NIRISS data."""
    folder = real_data_dir / "niriss_soss" / "wasp39_stellar_spectra"
    wave, flux, *_ = np.load(folder / f"{team}_spectra.npy", allow_pickle=True)
    wave, flux = np.asarray(wave, float), np.asarray(flux, float)
    good = np.flatnonzero(np.isfinite(wave) & np.isfinite(flux) & (wave > 1.0) & (wave < 1.75))
    order = good[np.argsort(wave[good])]
    error = np.full(order.size, np.median(abs(np.diff(flux[order]))) / 0.6745 / 2**0.5)
    lines = hydrogen_lines(1.0, 1.3)[[0, 1, 2]]
    parts = kernel.line_parts(flux[order], wave[order], lines, width=3.0, reach=6.0, degree=12)
    found = kernel.measure(flux[order], error, parts, reach=6.0)
    assert found.significance > 5.0
    assert found.shift_error < 0.3
    assert abs(found.shift) < 2.0  # scales of different teams; they differ by 1.7 pixels


# ---------------------------------------------------------------------------- units


def test_lines_of_hydrogen():
    # vacuum wavelengths of the NIST database, um: P alpha, B alpha, B gamma, Pf beta, H alpha
    known = np.array([1.875613, 4.052262, 2.166120, 4.653778, 0.656470])
    lines = hydrogen_lines(0.3, 20.0)
    nearest = np.array([lines[np.argmin(abs(lines - k))] for k in known])
    np.testing.assert_allclose(nearest, known, rtol=1.5e-5)


def test_air_and_vacuum():
    # sodium D2 and H alpha, air and vacuum, um
    np.testing.assert_allclose(
        air_to_vacuum([0.5889950, 0.6562801]), [0.5891583, 0.6564614], rtol=3e-7
    )
    vacuum = np.linspace(0.5, 10.0, 50)
    np.testing.assert_allclose(air_to_vacuum(vacuum / refractive_index(vacuum)), vacuum, rtol=1e-13)


def test_velocities():
    np.testing.assert_allclose(doppler(np.array([4.0]), 29.9792458), 4.0004, rtol=1e-12)


def test_polynomials_in_two_variables():
    rng = np.random.default_rng(1)
    x, y, c = rng.random(9), rng.random(9), rng.normal(size=9)
    names = [(1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)]
    expected = 0.7 + sum(k * x**i * y**j for k, (i, j) in zip(c, names, strict=True))
    np.testing.assert_allclose(plane_polynomial(x, y, c, 0.7, 3), expected, rtol=1e-13)
    with pytest.raises(ValueError, match="degree 2 has 5 coefficients, 9 are given"):
        plane_polynomial(x, y, c, 0.7, 2)
