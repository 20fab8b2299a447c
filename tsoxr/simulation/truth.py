"""What was put into an exposure: the answers that its reduction should give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.simulation.labels import (
    attributes,
    detector_coordinates,
    relative_flux,
    time_coordinates,
    wavelength_map,
)
from tsoxr.simulation.prediction import spectral_variance
from tsoxr.simulation.ramp import Electronics, on_detector, spectral_offset, steady_rate

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["hit_mask", "truth"]


def _variable(dims: tuple[str, ...], data: object, units: str, long_name: str) -> xr.Variable:
    return xr.Variable(dims, data, {"units": units, "long_name": long_name})


def truth(exposure: Exposure, *, stripes: bool = True) -> xr.Dataset:
    """Return what was put in.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    stripes : bool
        Add ``stripe``.

    Returns
    -------
    xarray.Dataset
        Noise-free ``flux`` (time, wavelength) relative to the star, the mean from first to
        last group, and ``white_flux`` (time), weighted with the star's electrons;
        ``stellar_spectrum``, ``depth``, ``radius_ratio``, ``u1``, ``u2`` and the predicted
        noise of one integration, ``photon_error``, ``read_error`` and ``flux_error``
        (wavelength), ppm, for an optimal extraction of the best slopes; the same for the
        white light as scalars ``white_*_error``; ``trace_center``, ``trace_sigma``
        (dispersion), ``profile``, ``pixel_wavelength``, noise-free ``rate`` (y, x) out of
        transit; ``shift`` and ``shift_dispersion`` (time); ``stripe`` (time, group, slow),
        the mean of 1/f noise and pedestals over each line; and the deposits of the hits,
        ``hit_*`` (hit). The transit's parameters are attributes.
    """
    variables = {
        **_light(exposure),
        **_noise(exposure),
        **_image(exposure),
        **_hit_list(exposure),
        "shift": _variable(("time",), exposure.pointing.across, "pix", "shift across dispersion"),
        "shift_dispersion": _variable(
            ("time",), exposure.pointing.along, "pix", "shift along dispersion"
        ),
    }
    if stripes:
        variables["stripe"] = _stripes(exposure)
    group = np.arange(1, exposure.n_groups + 1, dtype=np.int16)
    coords = {
        **time_coordinates(exposure),
        **detector_coordinates(exposure),
        "wavelength": _variable(("wavelength",), exposure.wavelength, "um", "wavelength"),
        "dispersion_pixel": _variable(
            ("wavelength",), exposure.lit.astype(np.int32), "pix", "pixel along dispersion"
        ),
        "group": _variable(("group",), group, "1", "group number, from 1"),
    }
    return xr.Dataset(variables, coords, {**attributes(exposure, "truth"), **_orbit(exposure)})


def _orbit(exposure: Exposure) -> dict[str, float]:
    planet = exposure.planet
    return {
        "period": float(planet.period),
        "t0": float(planet.t0),
        "a_over_rs": float(planet.a_over_rs),
        "inclination": float(planet.inclination),
        "transit_duration": float(planet.duration),
    }


def _light(exposure: Exposure) -> dict[str, xr.Variable]:
    planet, along = exposure.planet, ("wavelength",)
    flux = relative_flux(exposure)
    star = exposure.scene.spectrum[exposure.lit]
    return {
        "flux": _variable(("time", "wavelength"), flux, "1", "noise-free relative flux"),
        "white_flux": _variable(("time",), flux @ star / star.sum(), "1", "noise-free white light"),
        "stellar_spectrum": _variable(along, star, "electron s-1", "spectrum of the star"),
        "radius_ratio": _variable(
            along, planet.radius_ratio, "1", "radius of the planet in stellar radii"
        ),
        "depth": _variable(
            along, 1e6 * planet.radius_ratio**2, "ppm", "square of the radius ratio"
        ),
        "u1": _variable(along, planet.u1, "1", "linear limb-darkening coefficient"),
        "u2": _variable(along, planet.u2, "1", "quadratic limb-darkening coefficient"),
        "spectral_offset": _variable(along, spectral_offset(exposure), "s", "read-out delay"),
    }


def _noise(exposure: Exposure) -> dict[str, xr.Variable]:
    star = exposure.scene.spectrum[exposure.lit]
    parts = dict(zip(("photon", "read"), spectral_variance(exposure), strict=True))
    parts = {k: v if k in exposure.sources else np.zeros_like(v) for k, v in parts.items()}
    parts["flux"] = parts["photon"] + parts["read"]
    text = "predicted noise of one integration, {}"
    out = {}
    for name, variance in parts.items():
        note = text.format("total" if name == "flux" else name)
        out[f"{name}_error"] = _variable(
            ("wavelength",), 1e6 * np.sqrt(variance) / star, "ppm", note
        )
        white = 1e6 * np.sqrt(variance.sum()) / star.sum()
        out[f"white_{name}_error"] = _variable((), white, "ppm", f"{note}, white light")
    return out


def _image(exposure: Exposure) -> dict[str, xr.Variable]:
    view, detector = exposure.scene, exposure.detector
    profile = on_detector(exposure, view.profile())
    star = on_detector(exposure, view.spectrum * view.profile()) * detector.response
    dims, along = ("y", "x"), (exposure.setup.dispersion_dim,)
    rate = (star + steady_rate(exposure)) / detector.gain
    return {
        "profile": _variable(dims, profile, "1", "share of a wavelength's light in each pixel"),
        "pixel_wavelength": _variable(dims, wavelength_map(exposure), "um", "wavelength"),
        "rate": _variable(dims, rate, "DN s-1", "noise-free linear count rate out of transit"),
        "trace_center": _variable(
            along, view.center, "pix", "centre of the trace across dispersion"
        ),
        "trace_sigma": _variable(along, view.sigma, "pix", "Gaussian width of the trace"),
    }


def _hit_list(exposure: Exposure) -> dict[str, xr.Variable]:
    hits, dims = exposure.hits, ("hit",)
    return {
        "hit_event": _variable(dims, hits.event, "1", "particle that the charge comes from"),
        "hit_integration": _variable(dims, hits.integration + 1, "1", "integration, from 1"),
        "hit_group": _variable(
            dims, hits.group + 1, "1", "group in which the charge first appears, from 1"
        ),
        "hit_y": _variable(dims, hits.y, "pix", "row"),
        "hit_x": _variable(dims, hits.x, "pix", "column"),
        "hit_charge": _variable(dims, hits.charge, "electron", "charge of the hit in this pixel"),
    }


def _stripes(exposure: Exposure) -> xr.Variable:
    readout, electronics = exposure.setup.readout, Electronics(exposure)
    out = np.zeros((exposure.n_integrations, exposure.n_groups, readout.n_slow), dtype=np.float32)
    if electronics:
        axis = 1 if readout.fast_dim == "y" else 2
        for index in range(exposure.n_integrations):  # each integration has generators of its own
            out[index] = electronics.of(index).mean(axis=axis)
    return _variable(
        ("time", "group", readout.slow_dim), out, "DN", "mean of 1/f noise and pedestal over a line"
    )


def hit_mask(exposure: Exposure) -> xr.DataArray:
    """Return True where charge of a hit first appears.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.

    Returns
    -------
    xarray.DataArray
        (time, group, y, x) bool.
    """
    hits = exposure.hits
    mask = np.zeros((exposure.n_integrations, exposure.n_groups, *exposure.setup.shape), dtype=bool)
    mask[hits.integration, hits.group, hits.y, hits.x] = True
    name = "charge of a cosmic ray first appears here"
    return xr.DataArray(mask, dims=("time", "group", "y", "x"), attrs={"long_name": name})
