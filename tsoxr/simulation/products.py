"""Ramps and rates of an exposure.

Ramps come from the detector model. Rates are drawn at their own level: the noise-free value
plus Gaussian noise of the variance that the best slope would have
(`tsoxr.simulation.prediction`), the 1/f noise and pedestals as equal weights of the groups
would leave them, and the hits that nobody flagged. Errors state photon and read noise, also
where these sources are switched off, so that weights stay defined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.dq import FLAGS
from tsoxr.simulation import drawing
from tsoxr.simulation.electronics import Electronics
from tsoxr.simulation.labels import (
    attributes,
    detector_coordinates,
    labelled,
    references,
    relative_flux,
    time_coordinates,
    wavelength_map,
)
from tsoxr.simulation.prediction import pixel_variance
from tsoxr.simulation.ramp import steady_rate
from tsoxr.simulation.streams import stream

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["ramps", "rates"]


def ramps(exposure: Exposure, chunks: int | None = None) -> xr.Dataset:
    """Return raw ramps; see `Exposure.ramps`."""
    if chunks is None:
        data = drawing.block(exposure, Electronics(exposure), 0, exposure.n_integrations)
        group_flags = np.zeros(data.shape, dtype=np.uint8)
    else:
        data, group_flags = drawing.lazy_ramps(exposure, chunks)
    flags = exposure.maps.dq if exposure.references else _reference_flags(exposure)
    dims = ("time", "group", "y", "x")
    variables = {
        "ramp": labelled("ramps", "ramp", dims, data),
        "dq_group": labelled("ramps", "dq_group", dims, group_flags),
        "dq_pixel": labelled("ramps", "dq_pixel", ("y", "x"), flags),
    }
    if exposure.references:
        variables |= references(exposure)
    group = np.arange(1, exposure.n_groups + 1, dtype=np.int16)
    coords = {
        **time_coordinates(exposure),
        "group": labelled("ramps", "group", ("group",), group),
        "group_time": labelled("ramps", "group_time", ("group",), exposure.clock.group_time),
        **detector_coordinates(exposure),
    }
    return xr.Dataset(variables, coords, attributes(exposure, "ramps"))


def _reference_flags(exposure: Exposure) -> np.ndarray:
    return exposure.maps.dq & np.uint32(FLAGS["REFERENCE_PIXEL"])


def rates(exposure: Exposure) -> xr.Dataset:
    """Return count rates; see `Exposure.rates`."""
    gain = exposure.maps.gain
    rate = (_noise_free_rate(exposure) / gain).astype(np.float32)
    photon, read = (v / gain.astype(float) ** 2 for v in pixel_variance(exposure))
    rng = stream(exposure.seed, "rates")
    spread = photon * ("photon" in exposure.sources) + read * ("read" in exposure.sources)
    noise = rng.standard_normal(rate.shape, dtype=np.float32)
    noise *= np.sqrt(spread).astype(np.float32)
    rate += noise
    _add_electronics(exposure, rate)
    _add_hits(exposure, rate)
    dims = ("time", "y", "x")
    error = np.broadcast_to(np.sqrt(photon + read).astype(np.float32), rate.shape).copy()
    flags = np.broadcast_to(exposure.maps.dq, rate.shape).copy()
    variance = np.broadcast_to(read.astype(np.float32), rate.shape).copy()
    images = references(exposure)
    variables = {
        "rate": labelled("rates", "rate", dims, rate),
        "rate_error": labelled("rates", "rate_error", dims, error),
        "rate_read_variance": labelled("rates", "rate_read_variance", dims, variance),
        "dq": labelled("rates", "dq", dims, flags),
        "gain": images["gain"],
        "read_noise": images["read_noise"],
    }
    coords = {**time_coordinates(exposure), **detector_coordinates(exposure)}
    if not exposure.setup.imaging:
        wavelength, order = wavelength_map(exposure), {"spectral_order": exposure.order}
        coords["wavelength"] = labelled("rates", "wavelength", ("y", "x"), wavelength, **order)
    return xr.Dataset(variables, coords, attributes(exposure, "rates"))


def _noise_free_rate(exposure: Exposure) -> np.ndarray:
    """Return (time, y, x) electron/s of star, sky and dark, shifted by the pointing."""
    shape = (exposure.n_integrations, *exposure.setup.shape)
    out = np.zeros(shape)
    for each in exposure.scene.components:
        flux = relative_flux(exposure, each)
        still = np.zeros(each.wavelength.size)
        for index in range(exposure.n_integrations):  # each has a pose of its own
            each.paint(out[index], flux[index], still, exposure.motion.mean_pose(index))
    out *= exposure.maps.response
    out += steady_rate(exposure)
    return out


def _add_electronics(exposure: Exposure, rate: np.ndarray) -> None:
    """Add the slope, with equal weight of the differences, of 1/f noise and pedestals."""
    electronics = Electronics(exposure)
    if electronics and exposure.n_groups > 1:
        span = (exposure.n_groups - 1) * exposure.clock.group_interval
        for index in range(exposure.n_integrations):  # each integration has a generator of its own
            noise = electronics.groups(index)
            rate[index] += (noise[-1] - noise[0]) / np.float32(span)


def _add_hits(exposure: Exposure, rate: np.ndarray) -> None:
    hits, clock = exposure.hits, exposure.clock
    found = hits.read >= clock.n_frames
    span = max(exposure.n_groups - 1, 1) * clock.group_interval
    y, x = hits.y[found], hits.x[found]
    step = hits.charge[found] / exposure.maps.gain[y, x] / np.float32(span)
    np.add.at(rate, (hits.integration[found], y, x), step)
