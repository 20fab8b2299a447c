"""The nominal dispersion relations against the calibrations that they came from."""

from __future__ import annotations

import numpy as np
import pytest

from tsoxr.kernels.wavelength import NOMINAL, nominal_key, pixel_at, wavelength_at


@pytest.mark.parametrize("key", NOMINAL)
def test_each_relation_is_monotonic_and_inverts(key):
    relation = NOMINAL[key]
    wavelength = np.linspace(*relation.wavelength_range, 5001)[1:-1]
    pixel = pixel_at(relation, wavelength)
    steps = np.diff(pixel)
    assert np.all(steps > 0) or np.all(steps < 0)
    # linear interpolation on a grid 4 times finer than this one
    np.testing.assert_allclose(wavelength_at(relation, pixel), wavelength, atol=1e-6)


@pytest.mark.parametrize("key", NOMINAL)
def test_nan_outside_the_range(key):
    relation = NOMINAL[key]
    ends = pixel_at(relation, np.array(relation.wavelength_range))
    outside = np.array([ends.min() - 0.5, ends.max() + 0.5, np.nan])
    assert np.isnan(wavelength_at(relation, outside)).all()


# Values that a reader can look up: the published polynomials at three pixels each.
def _scaled(coefficients, pixel):
    return np.polynomial.Polynomial(coefficients, domain=[0, 2047])(pixel)


@pytest.mark.parametrize(
    ("key", "published"),
    [
        ("nirspec-g395h/NRS1", lambda x: _scaled([3.02973, 0.694059, -2.16e-3, -5.0e-4], x)),
        ("nirspec-g395h/NRS2", lambda x: _scaled([4.50368, 0.679386, -4.684e-3, -4.995e-4], x)),
        ("nirspec-g395m/NRS1", lambda x: _scaled([3.34262, 1.84169, -7.24e-4, -1.415e-3], x)),
        (
            "nircam-grism/F322W2",
            lambda x: np.polyval(
                [-2.87412352e-3, 1.66653554e-3, 0.981165339, 3.92693691], (x - 1571) / 1e3
            ),
        ),
        ("nircam-grism/F444W", lambda x: 4.019074 + 0.979649 * (x - 945) / 1e3),
    ],
)
def test_relations_reproduce_the_published_polynomials(key, published):
    relation = NOMINAL[key]
    pixel = np.arange(2048.0)
    ours = wavelength_at(relation, pixel)
    assert np.isfinite(ours).sum() > 1000
    # rounding of the published coefficients, 1e-5 um, plus the accuracy of the fit
    assert np.nanmax(np.abs(ours - published(pixel))) < relation.accuracy + 1.5e-5


def test_miri_reproduces_the_published_polynomial():
    coefficients = [-4.334e-8, 2.687e-6, -4.921e-5, -2.305e-4, 1.6774e-2, 0.377253, 3.80071]
    row = np.arange(0.0, 394.0)
    ours = wavelength_at(NOMINAL["miri-lrs"], row)
    published = np.polyval(coefficients, np.sqrt(394.0 - row))
    assert np.nanmax(np.abs(ours - published)) < NOMINAL["miri-lrs"].accuracy + 5e-4
    pixels = np.abs((ours - published) / np.gradient(published))
    assert np.nanmax(pixels) < 0.05


def test_the_pupil_wheel_moves_the_soss_spectrum():
    relation = NOMINAL["niriss-soss/1"]
    moved = pixel_at(relation, np.array([1.5]), wheel=0.1) - pixel_at(relation, np.array([1.5]))
    np.testing.assert_allclose(moved, 0.1 * relation.pixel_per_degree)
    assert wavelength_at(relation, 1000.0, wheel=0.1) < wavelength_at(relation, 1000.0)


def test_keys():
    assert nominal_key("niriss-soss", detector="NIS", order=2, band="CLEAR") == "niriss-soss/2"
    assert (
        nominal_key("nircam-grism", detector="NRCALONG", order=1, band="F444W")
        == "nircam-grism/F444W"
    )
    assert nominal_key("nircam-grism", detector="NRCALONG", order=2, band="F444W") is None
    assert nominal_key("miri-imaging", detector="MIRIMAGE", order=1, band="F770W") is None


@pytest.mark.real_data
def test_prism_against_flight_and_ground_calibration(real_data_dir):
    import h5py

    relation = NOMINAL["nirspec-prism"]
    with h5py.File(
        real_data_dir / "formats" / "eureka_stage3_nirspec_prism_jw06456_SpecData.h5"
    ) as file:
        flight = file["wave_1d"][:].astype(float)
    ours = wavelength_at(relation, np.arange(flight.size))
    good = np.isfinite(ours)
    assert good.sum() > 470
    pixels = np.abs((ours - flight) / np.gradient(flight))[good]
    assert pixels.max() < 0.15
    assert np.sqrt(np.mean(pixels**2)) < 0.04
    ground = np.genfromtxt(real_data_dir / "nirspec" / "prism_sub512_wavelength_solution.dat")[
        :511, 1
    ]
    pixels = np.abs((ours - ground) / np.gradient(ground))
    assert np.nanmax(pixels[ours < 3.0]) < 0.6
    assert np.nanmax(pixels) < 1.9


@pytest.mark.real_data
def test_soss_against_the_reference_trace(real_data_dir):
    from astropy.io import fits

    with fits.open(real_data_dir / "niriss_soss" / "jwst_niriss_spectrace_0023.fits") as file:
        for order, limit in ((1, 2.3), (2, 3.5), (3, 1.8)):
            relation = NOMINAL[f"niriss-soss/{order}"]
            table = file[order].data
            low, high = relation.wavelength_range
            use = (table["WAVELENGTH"] > low) & (table["WAVELENGTH"] < high)
            offset = pixel_at(relation, table["WAVELENGTH"][use]) - table["X"][use]
            assert np.abs(offset).max() < limit, order


@pytest.mark.real_data
def test_miri_against_the_ground_calibration(real_data_dir):
    from astropy.io import fits

    with fits.open(real_data_dir / "formats" / "mirisim_ngts10_calints.fits") as file:
        ground = file["WAVELENGTH"].data[:, 36].astype(float)
    ours = wavelength_at(NOMINAL["miri-lrs"], np.arange(ground.size))
    band = (ours > 5.0) & (ours < 12.0)
    pixels = (ours - ground)[band] / np.gradient(ground)[band]
    assert np.abs(pixels).max() < 2.5
