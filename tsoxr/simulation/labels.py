"""What all products share: attributes, coordinates and the detector's properties."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import schema
from tsoxr.history import jsonable
from tsoxr.simulation import headers
from tsoxr.simulation.ramp import light_curve, on_detector
from tsoxr.simulation.scene import Component

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = [
    "attributes",
    "detector_coordinates",
    "labelled",
    "references",
    "relative_flux",
    "time_coordinates",
    "trace_fwhm",
    "wavelength_map",
]

BLOCK_ELEMENTS = 500_000
"""Size of what is held at once for light curves."""


def labelled(
    kind: str, name: str, dims: tuple[str, ...], data: np.ndarray, **attrs: object
) -> xr.Variable:
    """Return a variable under the attributes that the schema gives it."""
    return schema.label(xr.DataArray(data, dims=dims), kind, name, **attrs).variable


def relative_flux(exposure: Exposure, component: Component | None = None) -> np.ndarray:
    """Return the noise-free relative flux of each integration, (time, wavelength) float64.

    The mean from the first to the last group: what the difference of the two measures.
    """
    clock = exposure.clock
    component = exposure.component if component is None else component
    weight = clock.difference_weight * clock.interval
    n_each = clock.read_frame.size * component.wavelength.size
    size = max(BLOCK_ELEMENTS // n_each, 1)
    out = np.empty((exposure.n_integrations, component.wavelength.size))
    for first in range(0, exposure.n_integrations, size):
        part = slice(first, first + size)
        curves = light_curve(exposure, component, part)
        out[part] = np.einsum("r,trw->tw", weight / weight.sum(), curves)
    return out


def attributes(exposure: Exposure, kind: str) -> dict[str, Any]:
    """Return the attributes that the schema lists."""
    setup, readout = exposure.setup, exposure.setup.readout
    return {
        "tso_kind": kind,
        "tso_schema": schema.SCHEMA_VERSION,
        "tso_mode": exposure.mode,
        "tso_history": "[]",
        "tso_source": json.dumps({"simulate": {**_given(exposure), "kind": kind}}),
        "frame_time": exposure.clock.frame_time,
        "group_interval": exposure.clock.group_interval,
        "n_groups": exposure.n_groups,
        "n_frames": exposure.clock.n_frames,
        "group_gap": exposure.clock.group_gap,
        "n_samples": 1,
        "time_source": "simulated clock",
        "time_source_accuracy": 0.0,
        "time_source_accuracy_from": "the simulation",
        "frame_time_difference": 0.0,
        "n_integrations": exposure.n_integrations,
        "n_outputs": readout.n_outputs,
        "gain_factor": 1.0,
        "x_start": setup.origin[0],
        "y_start": setup.origin[1],
        "instrument": exposure.instrument,
        "detector": setup.detector,
        "subarray": setup.subarray,
        "exp_type": setup.keywords["EXP_TYPE"],
        "target": headers.TARGET,
        "spatial_dim": setup.spatial_dim,
        "dispersion_dim": setup.dispersion_dim,
        "fast_dim": readout.fast_dim,
        "slow_dim": readout.slow_dim,
        "fast_direction": readout.fast_direction,
        "slow_direction": readout.slow_direction,
        "fits_header": headers.fits_header(exposure),
    }


def _given(exposure: Exposure) -> dict[str, Any]:
    """Return the parameters that differ from their defaults, as JSON can hold them."""
    given: dict[str, Any] = {"mode": exposure.mode, "seed": exposure.seed}
    for parameter in fields(exposure):
        value = jsonable(getattr(exposure, parameter.name))
        if parameter.name not in given and value != jsonable(parameter.default):
            given[parameter.name] = value
    return given


def time_coordinates(exposure: Exposure) -> dict[str, xr.Variable]:
    """Return time and the covariates that ride along with it."""
    n = exposure.n_integrations
    time = exposure.clock.tdb(0.5)
    inside = exposure.planet.in_transit(time)
    scale = exposure.setup.pixel_scale
    across, along = exposure.motion.across.mean(axis=1), exposure.motion.along.mean(axis=1)
    x, y = (along, across) if exposure.setup.dispersion_dim == "x" else (across, along)
    values = {
        "time": time,
        "time_utc": exposure.clock.utc(0.5),
        "integration": np.arange(1, n + 1, dtype=np.int32),
        "segment": np.ones(n, dtype=np.int16),
        "jitter_x": (scale * x).astype(np.float32),
        "jitter_y": (scale * y).astype(np.float32),
        "in_transit": inside,
    }
    return {k: labelled("ramps", k, ("time",), v) for k, v in values.items()}


def detector_coordinates(exposure: Exposure) -> dict[str, xr.Variable]:
    """Return pixel numbers and read-out delays."""
    n_y, n_x = exposure.setup.shape
    return {
        "y": labelled("ramps", "y", ("y",), np.arange(n_y, dtype=np.int32)),
        "x": labelled("ramps", "x", ("x",), np.arange(n_x, dtype=np.int32)),
        "read_offset": labelled("ramps", "read_offset", ("y", "x"), exposure.read_offset),
    }


def references(exposure: Exposure) -> dict[str, xr.Variable]:
    """Return the detector's true properties under the names that steps look for."""
    detector = exposure.maps
    images = {
        "gain": detector.gain,
        "read_noise": detector.read_noise,
        "saturation": detector.saturation,
        "superbias": detector.superbias,
        "flat": np.where(detector.response > 0, detector.response, 1).astype(np.float32),
    }
    out = {k: labelled("ramps", k, ("y", "x"), v) for k, v in images.items()}
    out["linearity"] = labelled("ramps", "linearity", ("coefficient", "y", "x"), detector.linearity)
    dark = exposure.clock.group_time[:, None, None] * detector.dark / detector.gain
    out["dark"] = labelled("ramps", "dark", ("group", "y", "x"), dark.astype(np.float32))
    return out


def trace_fwhm(exposure: Exposure) -> np.ndarray:
    """Return the full width at half height where the spectrum is brightest, (time,) pixels."""
    component = exposure.component
    brightest = np.argmax(component.spectrum)
    return component.fwhm[brightest] * (1.0 + exposure.motion.focus.mean(axis=1))


def wavelength_map(exposure: Exposure) -> np.ndarray:
    """Return the wavelength of each pixel, (y, x) float64 um; NaN where no light falls."""
    column = np.full(exposure.setup.n_dispersion, np.nan)
    column[exposure.component.pixel] = exposure.component.wavelength
    return on_detector(exposure, np.ones((exposure.setup.n_spatial, 1)) * column)
