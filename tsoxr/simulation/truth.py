"""What was put into an exposure: the answers that its reduction should give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.simulation.electronics import Electronics
from tsoxr.simulation.labels import (
    attributes,
    detector_coordinates,
    relative_flux,
    time_coordinates,
    trace_fwhm,
    wavelength_map,
)
from tsoxr.simulation.pixels import response
from tsoxr.simulation.prediction import spectral_variance
from tsoxr.simulation.ramp import steady_rate

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["added_by_electronics", "hit_mask", "truth"]


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
        transit, its ``background`` and ``bad_pixel`` flags; the mean pose, ``shift``,
        ``shift_dispersion``, ``roll``, ``focus`` and ``throughput``, the ``trace_fwhm`` of
        spectra and the settling ``response`` (time); ``stripe`` (time, group, slow), with a dim ``output`` where
        blocks of a line are read side by side, the mean over each line of what the
        electronics add; and the deposits of the hits, ``hit_*`` (hit). The transit's
        parameters are attributes.
    """
    variables = {
        **_light(exposure),
        **_noise(exposure),
        **_image(exposure),
        **_hit_list(exposure),
        **_motion(exposure),
    }
    if stripes:
        variables["stripe"] = _stripes(exposure)
    group = np.arange(1, exposure.n_groups + 1, dtype=np.int16)
    coords = {
        **time_coordinates(exposure),
        **detector_coordinates(exposure),
        "wavelength": _variable(("wavelength",), exposure.wavelength, "um", "wavelength"),
        "group": _variable(("group",), group, "1", "group number, from 1"),
    }
    if not exposure.setup.imaging:
        pixel = exposure.component.pixel.astype(np.int32)
        coords["dispersion_pixel"] = _variable(
            ("wavelength",), pixel, "pix", "pixel along dispersion"
        )
    about = {"order": exposure.order, **_orbit(exposure)}
    return xr.Dataset(variables, coords, {**attributes(exposure, "truth"), **about})


def _motion(exposure: Exposure) -> dict[str, xr.Variable]:
    """Return the mean pose of each integration."""
    names = {
        "across": ("shift", "pix", "shift across dispersion"),
        "along": ("shift_dispersion", "pix", "shift along dispersion"),
        "roll": ("roll", "radian", "roll of the field"),
        "focus": ("focus", "1", "relative change of the width of the image"),
        "throughput": ("throughput", "1", "relative change of the light that arrives"),
    }
    out = {
        name: _variable(("time",), getattr(exposure.motion, part).mean(axis=1), units, text)
        for part, (name, units, text) in names.items()
    }
    if not exposure.setup.imaging:
        text = "full width at half height where the spectrum is brightest"
        out["trace_fwhm"] = _variable(("time",), trace_fwhm(exposure), "pix", text)
    settled = np.ones(exposure.n_integrations)
    if response(exposure, 0) is not None:
        every = range(exposure.n_integrations)
        settled = np.array([np.mean(response(exposure, index)) for index in every])
    out["response"] = _variable(("time",), settled, "1", "mean response as it settles")
    return out


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
    star = exposure.component.spectrum
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
        "eclipse_depth": _variable(
            along, 1e6 * planet.eclipse_depth, "ppm", "light of the planet over the star's"
        ),
        "u1": _variable(along, planet.u1, "1", "linear limb-darkening coefficient"),
        "u2": _variable(along, planet.u2, "1", "quadratic limb-darkening coefficient"),
        "spectral_offset": _variable(along, exposure.component.offset, "s", "read-out delay"),
    }


def _noise(exposure: Exposure) -> dict[str, xr.Variable]:
    star = exposure.component.spectrum
    parts = dict(zip(("photon", "read"), spectral_variance(exposure), strict=True))
    parts = {k: v if k in exposure.sources else np.zeros_like(v) for k, v in parts.items()}
    parts["flux"] = parts["photon"] + parts["read"]
    text = "predicted noise of one integration, {}"
    out = {}
    for name, variance in parts.items():
        note = text.format("total" if name == "flux" else name)
        if variance.size == star.size:  # an image has one error, that of its white light
            out[f"{name}_error"] = _variable(
                ("wavelength",), 1e6 * np.sqrt(variance) / star, "ppm", note
            )
        white = 1e6 * np.sqrt(variance.sum()) / star.sum()
        out[f"white_{name}_error"] = _variable((), white, "ppm", f"{note}, white light")
    return out


def _image(exposure: Exposure) -> dict[str, xr.Variable]:
    view, maps, component = exposure.scene, exposure.maps, exposure.component
    rate = (view.star * maps.response + steady_rate(exposure)) / maps.gain
    sky = (view.sky * maps.response) / maps.gain
    images = {
        "profile": (component.share(), "1", "share of a wavelength's light in each pixel"),
        "rate": (rate, "DN s-1", "noise-free linear count rate out of transit"),
        "background": (sky, "DN s-1", "noise-free linear count rate of the sky"),
        "bad_pixel": (maps.dq, "1", "flags of the pixels"),
    }
    if exposure.setup.imaging:
        return {k: _variable(("y", "x"), *v) for k, v in images.items()}
    images["pixel_wavelength"] = (wavelength_map(exposure), "um", "wavelength")
    lines = {
        "trace_center": (component.center, "pix", "centre of the trace across dispersion"),
        "trace_sigma": (component.width, "pix", "width of the trace's profile"),
    }
    along = (exposure.setup.dispersion_dim,)
    out = {k: _variable(("y", "x"), *v) for k, v in images.items()}
    for name, (values, units, text) in lines.items():
        whole = np.full(exposure.setup.n_dispersion, np.nan)
        whole[component.pixel] = values
        out[name] = _variable(along, whole, units, text)
    return out


def _hit_list(exposure: Exposure) -> dict[str, xr.Variable]:
    hits, dims = exposure.hits, ("hit",)
    group = hits.read // exposure.clock.n_frames
    return {
        "hit_event": _variable(dims, hits.event, "1", "particle that the charge comes from"),
        "hit_integration": _variable(dims, hits.integration + 1, "1", "integration, from 1"),
        "hit_group": _variable(
            dims, group + 1, "1", "group in which the charge first appears, from 1"
        ),
        "hit_y": _variable(dims, hits.y, "pix", "row"),
        "hit_x": _variable(dims, hits.x, "pix", "column"),
        "hit_charge": _variable(dims, hits.charge, "electron", "charge of the hit in this pixel"),
    }


def _stripes(exposure: Exposure) -> xr.Variable:
    readout, electronics = exposure.setup.readout, Electronics(exposure)
    n_blocks = 1 if readout.interleaved else readout.n_outputs
    shape = (exposure.n_integrations, exposure.n_groups, readout.n_slow, n_blocks)
    out = np.zeros(shape, dtype=np.float32)
    if electronics:
        for index in range(exposure.n_integrations):  # each integration has generators of its own
            added = electronics.groups(index)
            lines = added if readout.fast_dim == "x" else np.swapaxes(added, 1, 2)
            out[index] = lines.reshape(*shape[1:], -1).mean(axis=-1)
    dims: tuple[str, ...] = ("time", "group", readout.slow_dim, "output")
    if n_blocks == 1:
        out, dims = out[..., 0], dims[:-1]
    return _variable(dims, out, "DN", "mean over a line of what the electronics add")


def added_by_electronics(exposure: Exposure, integration: int) -> xr.DataArray:
    """Return what the read-out adds to one integration.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    integration : int
        From 1.

    Returns
    -------
    xarray.DataArray
        (group, y, x) float32, DN.

    Raises
    ------
    ValueError
        For an integration that the exposure does not have.
    """
    if not 1 <= integration <= exposure.n_integrations:
        raise ValueError(
            f"simulate: there is no integration {integration}; "
            f"they are numbered 1 to {exposure.n_integrations}"
        )
    electronics = Electronics(exposure)
    added = electronics.groups(integration - 1)
    attrs = {"units": "DN", "long_name": "what the electronics add"}
    return xr.DataArray(added, dims=("group", "y", "x"), attrs=attrs)


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
    group = hits.read // exposure.clock.n_frames
    mask[hits.integration, group, hits.y, hits.x] = True
    name = "charge of a cosmic ray first appears here"
    return xr.DataArray(mask, dims=("time", "group", "y", "x"), attrs={"long_name": name})
