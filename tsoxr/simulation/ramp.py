"""One integration from light to data numbers: the parts of the simulator put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsoxr.simulation import pink
from tsoxr.simulation.clock import SECONDS_PER_DAY
from tsoxr.simulation.detector import develop
from tsoxr.simulation.streams import stream

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = [
    "Electronics",
    "draw_integration",
    "expected_charge",
    "light_curve",
    "on_detector",
    "steady_rate",
]

LARGEST = np.float32(65535)


def on_detector(exposure: Exposure, array: np.ndarray) -> np.ndarray:
    """Turn (..., spatial, dispersion) into (..., y, x), contiguous."""
    turned = array if exposure.setup.dispersion_dim == "x" else np.swapaxes(array, -1, -2)
    return np.ascontiguousarray(turned)


def spectral_offset(exposure: Exposure) -> np.ndarray:
    """Mean read-out delay at each wavelength, (wavelength,) s."""
    axis = 0 if exposure.setup.spatial_dim == "y" else 1
    return exposure.read_offset.mean(axis=axis, dtype=float)[exposure.lit]


def light_curve(exposure: Exposure, index: int | slice) -> np.ndarray:
    """Return the relative flux during each interval between reads, at its middle.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    index : int or slice
        Integration or integrations.

    Returns
    -------
    (..., group, wavelength) float64
        Group g stands for the interval from read g - 1 (the reset for the first) to g. Each
        wavelength has the delay with which its pixels are read.
    """
    clock = exposure.clock
    start = clock.tdb(0.0)[index]
    middle = (np.arange(clock.n_groups) + 0.5) * clock.frame_time
    seconds = middle[:, None] + spectral_offset(exposure)
    return exposure.planet.flux(np.asarray(start)[..., None, None] + seconds / SECONDS_PER_DAY)


def steady_rate(exposure: Exposure) -> np.ndarray:
    """Return what every pixel receives beside the star, (y, x) electron/s."""
    detector, optics = exposure.detector, exposure.setup.optics
    sky = optics.background if "background" in exposure.sources else 0.0
    return detector.dark.astype(float) + sky * detector.response


def expected_charge(exposure: Exposure, index: int) -> np.ndarray:
    """Return the mean charge that each interval between reads adds.

    Returns
    -------
    (group, y, x) float64
        electron.
    """
    view, where = exposure.scene, exposure.lit
    light = np.zeros((exposure.n_groups, exposure.setup.n_dispersion))
    spectrum = view.shifted_spectrum(exposure.pointing.along[index])
    light[:, where] = light_curve(exposure, index) * spectrum[where] * exposure.clock.frame_time
    star = light[:, None, :] * view.profile(exposure.pointing.across[index])
    out = on_detector(exposure, star)
    out *= exposure.detector.response
    out += steady_rate(exposure) * exposure.clock.frame_time
    return out


class Electronics:
    """Additive noise of the read-out that is common to many pixels: 1/f and pedestal.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    """

    def __init__(self, exposure: Exposure) -> None:
        levels = exposure.setup.electronics
        self._exposure = exposure
        self._on = "one_over_f" in exposure.sources
        self._pedestal = levels.pedestal if "pedestal" in exposure.sources else 0.0
        self._scale = pink.amplitude(levels.one_over_f, exposure.setup.readout.frame_clocks)
        if self._on:
            self._drift = pink.slow_drift(exposure.clock, self._scale, exposure.seed)

    def __bool__(self) -> bool:
        """Return True when there is such noise."""
        return self._on or self._pedestal > 0

    def of(self, index: int) -> np.ndarray:
        """Return the noise of one integration, (group, y, x) float32 DN."""
        clock, readout = self._exposure.clock, self._exposure.setup.readout
        rng = stream(self._exposure.seed, "pedestal", index)
        level = rng.standard_normal((clock.n_groups, readout.n_outputs), dtype=np.float32)
        out = (np.float32(self._pedestal) * level)[:, readout.outputs]
        if self._on:
            noise = pink.ticks_of_integration(
                clock, index, self._scale, self._drift, self._exposure.seed
            )
            frames = noise.reshape(readout.n_outputs, clock.n_groups + 1, readout.frame_clocks)
            out += np.moveaxis(frames[readout.outputs, 1:, readout.ticks], -1, 0)
        return out


def draw_integration(exposure: Exposure, electronics: Electronics, index: int) -> np.ndarray:
    """Draw one integration.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    electronics : Electronics
        Made once for the exposure.
    index : int
        Integration, from 0.

    Returns
    -------
    (group, y, x) float32
        Raw signal, DN, before it is rounded.
    """
    detector, on, seed = exposure.detector, exposure.sources, exposure.seed
    charge = expected_charge(exposure, index)
    if "photon" in on:
        charge = stream(seed, "photon", index).poisson(charge).astype(float)
    group, y, x, freed = exposure.hits.of(index)
    np.add.at(charge, (group, y, x), freed)
    out = np.empty(charge.shape, dtype=np.float32)
    develop(charge, detector.gain, detector.linearity, detector.ceiling, out)
    out += detector.superbias
    if "ktc" in on:
        rng = stream(seed, "reset", index)
        reset = exposure.setup.electronics.reset
        out += np.float32(reset) * rng.standard_normal(out.shape[1:], dtype=np.float32)
    if "read" in on:
        white = stream(seed, "read", index).standard_normal(out.shape, dtype=np.float32)
        white *= detector.read_noise
        out += white
    if electronics:
        out += electronics.of(index)
    return out


def digitize(signal: np.ndarray, out: np.ndarray) -> None:
    """Round and clip DN to the 16 bits of the converter, into ``out`` of the same shape."""
    np.rint(signal, out=signal)
    np.clip(signal, 0, LARGEST, out=signal)
    out[...] = signal
