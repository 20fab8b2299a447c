"""Spectra and light curves of an exposure, drawn without ramps.

They hold the noise-free value plus Gaussian noise of the variance that the best slopes and
an optimal extraction would leave (`tsoxr.simulation.prediction`). Errors state photon and
read noise, also where these sources are switched off, so that weights stay defined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.dq import flag_attrs
from tsoxr.simulation.labels import attributes, labelled, relative_flux, time_coordinates
from tsoxr.simulation.prediction import spectral_variance
from tsoxr.simulation.ramp import spectral_offset
from tsoxr.simulation.streams import stream

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["lightcurves", "spectra"]


def _spectral(exposure: Exposure) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and error, (time, wavelength) electron/s float64."""
    curve = relative_flux(exposure)
    photon, read = spectral_variance(exposure)
    flux = exposure.scene.shifted_spectrum(exposure.pointing.along)[:, exposure.lit] * curve
    on = exposure.sources
    spread = photon * curve * ("photon" in on) + read * ("read" in on)
    flux += np.sqrt(spread) * stream(exposure.seed, "spectra").standard_normal(flux.shape)
    return flux, np.sqrt(photon * curve + read)


def _spectral_covariates(exposure: Exposure) -> dict[str, xr.Variable]:
    """Return what the steps on rates measure of each integration."""
    n, gain = exposure.n_integrations, exposure.setup.constants.gain
    sky = exposure.setup.optics.background if "background" in exposure.sources else 0.0
    middle = exposure.lit[np.argmax(exposure.scene.spectrum[exposure.lit])]
    values = {
        "trace_shift": exposure.pointing.across,
        "trace_shift_dispersion": exposure.pointing.along,
        "trace_fwhm": np.full(n, 2.3548 * exposure.scene.sigma[middle]),
        "background_level": np.full(n, sky / gain),
    }
    return {k: labelled("spectra", k, ("time",), v.astype(np.float32)) for k, v in values.items()}


def spectra(exposure: Exposure) -> xr.Dataset:
    """Return extracted spectra; see `Exposure.spectra`."""
    flux, error = _spectral(exposure)
    dims, along = ("time", "wavelength"), ("wavelength",)
    variables = {
        "flux": labelled("spectra", "flux", dims, flux.astype(np.float32)),
        "flux_error": labelled("spectra", "flux_error", dims, error.astype(np.float32)),
        "dq": labelled("spectra", "dq", dims, np.zeros(flux.shape, dtype=np.uint32)),
    }
    offset = spectral_offset(exposure).astype(np.float32)
    pixel = exposure.lit.astype(np.int32)
    coords = {
        **time_coordinates(exposure),
        **_spectral_covariates(exposure),
        "wavelength": labelled("spectra", "wavelength", along, exposure.wavelength),
        "dispersion_pixel": labelled("spectra", "dispersion_pixel", along, pixel),
        "read_offset": labelled("spectra", "read_offset", along, offset),
        "order": xr.Variable((), np.int16(1), {"long_name": "spectral order", "units": "1"}),
    }
    return xr.Dataset(variables, coords, attributes(exposure, "spectra"))


def lightcurves(exposure: Exposure) -> xr.Dataset:
    """Return binned light curves relative to the star alone; see `Exposure.lightcurves`."""
    flux, error = _spectral(exposure)
    star = exposure.scene.spectrum[exposure.lit]
    edges = np.linspace(0, star.size, min(exposure.n_bins, star.size) + 1).astype(int)
    starts = edges[:-1]
    total = np.add.reduceat(star, starts)
    curve = np.add.reduceat(flux, starts, axis=1) / total
    sigma = np.sqrt(np.add.reduceat(error**2, starts, axis=1)) / total
    wave = exposure.wavelength
    sides = np.concatenate(
        [
            [1.5 * wave[0] - 0.5 * wave[1]],
            0.5 * (wave[1:] + wave[:-1]),
            [1.5 * wave[-1] - 0.5 * wave[-2]],
        ]
    )
    bounds = np.stack([sides[edges[:-1]], sides[edges[1:]]], axis=1)
    weight = np.diff(edges)
    offset = np.add.reduceat(spectral_offset(exposure), starts) / weight
    dims, along = ("time", "wavelength"), ("wavelength",)
    variables = {
        "flux": labelled("lightcurves", "flux", dims, curve),
        "flux_error": labelled("lightcurves", "flux_error", dims, sigma),
        "dq": xr.Variable(dims, np.zeros(curve.shape, dtype=np.uint32), flag_attrs("uint32")),
    }
    coords = {
        **time_coordinates(exposure),
        **_spectral_covariates(exposure),
        "wavelength": labelled(
            "lightcurves", "wavelength", along, bounds.mean(axis=1), bounds="wavelength_bounds"
        ),
        "wavelength_bounds": labelled(
            "lightcurves", "wavelength_bounds", ("wavelength", "bound"), bounds
        ),
        "read_offset": labelled("lightcurves", "read_offset", along, offset.astype(np.float32)),
        "order": xr.Variable((), np.int16(1), {"long_name": "spectral order", "units": "1"}),
    }
    return xr.Dataset(variables, coords, attributes(exposure, "lightcurves"))
