"""Spectra and light curves of an exposure, drawn without ramps.

They hold the noise-free value plus Gaussian noise of the variance that the best slopes and
an optimal extraction would leave (`tsoxr.simulation.prediction`). Errors state photon and
read noise, also where these sources are switched off, so that weights stay defined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.dq import flag_attrs
from tsoxr.simulation.labels import (
    attributes,
    labelled,
    relative_flux,
    time_coordinates,
    trace_fwhm,
)
from tsoxr.simulation.prediction import spectral_variance
from tsoxr.simulation.streams import stream

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["lightcurves", "spectra"]


def _spectral(exposure: Exposure) -> tuple[np.ndarray, np.ndarray]:
    """Return flux and error, (time, wavelength) electron/s float64."""
    curve, star = relative_flux(exposure), exposure.component.spectrum
    if exposure.setup.imaging:
        curve = (curve @ star / star.sum())[:, None]
    photon, read = spectral_variance(exposure)
    flux = _moved_spectrum(exposure) * curve
    on = exposure.sources
    spread = photon * curve * ("photon" in on) + read * ("read" in on)
    flux += np.sqrt(spread) * stream(exposure.seed, "spectra").standard_normal(flux.shape)
    return flux, np.sqrt(photon * curve + read)


def _moved_spectrum(exposure: Exposure) -> np.ndarray:
    """Return the star's spectrum in each integration, (time, wavelength) electron/s."""
    throughput = exposure.motion.throughput.mean(axis=1)[:, None]
    if exposure.setup.imaging:
        return exposure.component.spectrum.sum() * throughput
    along = exposure.motion.along.mean(axis=1)
    return throughput * np.stack([exposure.component.shifted(a) for a in along])


def _spectral_covariates(exposure: Exposure) -> dict[str, xr.Variable]:
    """Return what the steps on rates measure of each integration."""
    gain, moved = exposure.setup.constants.gain, exposure.motion
    values = {
        "trace_shift": moved.across.mean(axis=1),
        "trace_shift_dispersion": moved.along.mean(axis=1),
        "background_level": np.full(exposure.n_integrations, exposure.scene.sky.mean() / gain),
    }
    if not exposure.setup.imaging:
        values["trace_fwhm"] = trace_fwhm(exposure)
    return {k: labelled("spectra", k, ("time",), v.astype(np.float32)) for k, v in values.items()}


def spectra(exposure: Exposure) -> xr.Dataset:
    """Return extracted spectra; see `Exposure.spectra`."""
    if exposure.setup.imaging:
        raise ValueError(
            f"simulate: {exposure.mode} does not disperse the light and has no spectra; "
            "it makes ramps, rates, lightcurves and truth"
        )
    flux, error = _spectral(exposure)
    dims, along = ("time", "wavelength"), ("wavelength",)
    variables = {
        "flux": labelled("spectra", "flux", dims, flux.astype(np.float32)),
        "flux_error": labelled("spectra", "flux_error", dims, error.astype(np.float32)),
        "dq": labelled("spectra", "dq", dims, np.zeros(flux.shape, dtype=np.uint32)),
    }
    offset = exposure.component.offset.astype(np.float32)
    pixel = exposure.component.pixel.astype(np.int32)
    coords = {
        **time_coordinates(exposure),
        **_spectral_covariates(exposure),
        "wavelength": labelled("spectra", "wavelength", along, exposure.wavelength),
        "dispersion_pixel": labelled("spectra", "dispersion_pixel", along, pixel),
        "read_offset": labelled("spectra", "read_offset", along, offset),
        "order": xr.Variable(
            (), np.int16(exposure.order), {"long_name": "spectral order", "units": "1"}
        ),
    }
    return xr.Dataset(variables, coords, attributes(exposure, "spectra"))


@dataclass(frozen=True, eq=False)
class _Bins:
    """``start`` and ``n_pixels`` (bin,) count wavelengths; ``bounds`` (bin, 2) um."""

    start: np.ndarray
    n_pixels: np.ndarray
    bounds: np.ndarray


def _bins(exposure: Exposure) -> _Bins:
    wave = exposure.wavelength
    n_bins = 1 if exposure.setup.imaging else min(exposure.n_bins, wave.size)
    edges = np.linspace(0, wave.size, n_bins + 1).astype(int)
    middle = 0.5 * (wave[1:] + wave[:-1])
    sides = np.concatenate(
        [[1.5 * wave[0] - 0.5 * wave[1]], middle, [1.5 * wave[-1] - 0.5 * wave[-2]]]
    )
    bounds = np.stack([sides[edges[:-1]], sides[edges[1:]]], axis=1)
    return _Bins(edges[:-1], np.diff(edges), bounds)


def lightcurves(exposure: Exposure) -> xr.Dataset:
    """Return binned light curves relative to the star alone; see `Exposure.lightcurves`."""
    flux, error = _spectral(exposure)
    bins = _bins(exposure)
    star = exposure.component.spectrum
    total = np.add.reduceat(star, bins.start)
    if exposure.setup.imaging:
        curve, sigma = flux / total, error / total
    else:
        curve = np.add.reduceat(flux, bins.start, axis=1) / total
        sigma = np.sqrt(np.add.reduceat(error**2, bins.start, axis=1)) / total
    offset = np.add.reduceat(exposure.component.offset, bins.start) / bins.n_pixels
    bounds = bins.bounds
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
        "order": xr.Variable(
            (), np.int16(exposure.order), {"long_name": "spectral order", "units": "1"}
        ),
    }
    return xr.Dataset(variables, coords, attributes(exposure, "lightcurves"))
