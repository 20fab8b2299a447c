"""Files in the true formats, and real pixels, through the chain."""

import h5py
import numpy as np
import pytest

import tsoxr

pytestmark = pytest.mark.real_data


def point_to_point(flux):
    """Return the robust point-to-point scatter of a series, ppm of its mean."""
    return 1e6 * np.median(np.abs(np.diff(flux))) / 0.954 / np.mean(flux)


@pytest.mark.parametrize("product", ["rateints", "calints"])
def test_mirisim_goes_through_to_spectra(real_data_dir, product):
    path = real_data_dir / "formats" / f"mirisim_ngts10_{product}.fits"
    with pytest.warns(
        tsoxr.TsoWarning, match="INT_TIMES has no rows; times are built from EXPSTART"
    ):
        rates = tsoxr.open(path)
    assert rates.tso.validate() == []
    assert rates.attrs["time_source"] == "EXPSTART"
    assert rates.time.attrs["time_scale"] == "utc"
    assert rates.attrs["tso_mode"] == "miri-lrs"
    assert rates.attrs["dispersion_dim"] == "y"
    rates = (
        rates.tso.flag_outliers().tso.find_trace().tso.subtract_background().tso.assign_wavelength()
    )
    spectra = rates.tso.extract()
    assert spectra.tso.validate() == []
    assert spectra.sizes["time"] == 4
    assert np.isfinite(spectra.flux).mean() > 0.99
    inside = spectra.sel(wavelength=slice(5.5, 7.0))
    # the errors in this file are 2.6 to 4 times the scatter of its pixels (0.39 to 0.25 of
    # them): the spectra must inherit that ratio, no more and no less
    z = (inside.flux - inside.flux.mean("time")) / inside.flux_error
    assert 0.2 < float(z.std()) * np.sqrt(4 / 3) < 0.45
    assert float(inside.flux.median()) > 20 * float(inside.flux_error.median())


def test_prism_series_is_as_quiet_as_published(real_data_dir):
    path = real_data_dir / "formats" / "eureka_stage3_nirspec_prism_jw06456_SpecData.h5"
    spectra = tsoxr.open(path, extraction="box")
    assert spectra.tso.validate() == []
    assert spectra.tso.kind == "spectra"
    white = spectra.tso.white_light(wavelength=(0.7, 5.2))
    measured = point_to_point(white.flux.values[:, 0])
    with h5py.File(path) as file:
        inside = (file["wave_1d"][:] > 0.7) & (file["wave_1d"][:] < 5.2)
        published = point_to_point(np.nansum(file["stdspec"][:][:, inside], axis=1))
    assert measured <= 232
    assert measured <= 1.01 * published
    curves = spectra.tso.bin(resolution=50)
    assert curves.tso.validate() == []
    np.testing.assert_allclose(curves.flux.median("time"), 1.0, atol=5e-3)
    channel = curves.sel(wavelength=slice(0.8, 5.0))
    ratio = channel.flux.std("time") / channel.flux_error.median("time")
    assert 0.5 < float(ratio.median()) < 1.5


def test_old_x1dints_open(real_data_dir):
    path = real_data_dir / "formats" / "simulated_soss_x1dints_old_layout.fits"
    with pytest.warns(tsoxr.TsoWarning):
        spectra = tsoxr.open(path, order=1)
    assert spectra.tso.kind == "spectra"
    assert spectra.tso.validate() == []
