"""One integration from light to data numbers: the parts of the simulator put together.

An integration is drawn read by read, so that memory holds a few frames whatever its length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsoxr.simulation.clock import SECONDS_PER_DAY
from tsoxr.simulation.detector import develop
from tsoxr.simulation.electronics import Electronics
from tsoxr.simulation.pixels import Pixels
from tsoxr.simulation.scene import Component
from tsoxr.simulation.streams import stream

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = [
    "digitize",
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


def light_curve(
    exposure: Exposure, component: Component, index: int | slice, late: float = 0.0
) -> np.ndarray:
    """Return the relative flux during each interval between reads, at its middle.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    component : Component
        Light whose curve it is; each wavelength has the delay with which its pixels are read.
    index : int or slice
        Integration or integrations.
    late : float
        Further delay, s.

    Returns
    -------
    (..., read, wavelength) float64
        Read r stands for the interval from read r - 1 (the reset for the first) to r.
    """
    clock = exposure.clock
    start = np.asarray(clock.tdb(0.0)[index])
    middle = clock.read_time - 0.5 * clock.interval + late
    seconds = middle[:, None] + component.offset
    time = start[..., None, None] + seconds / SECONDS_PER_DAY
    return exposure.system(component).flux(time)


def steady_rate(exposure: Exposure) -> np.ndarray:
    """Return what every pixel receives beside the star, (y, x) electron/s."""
    detector, view = exposure.maps, exposure.scene
    return detector.dark.astype(float) + (view.sky + view.contaminants) * detector.response


class Light:
    """The light of one integration.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    index : int
        Integration, from 0.
    """

    def __init__(self, exposure: Exposure, index: int) -> None:
        self._exposure, self._index = exposure, index
        self._steady = steady_rate(exposure)
        late = 0.5 * exposure.clock.frame_time
        self._curves = []
        for each in exposure.scene.components:
            now = light_curve(exposure, each, index)
            after = light_curve(exposure, each, index, late)
            before = light_curve(exposure, each, index, -late)
            self._curves.append((each, now, (after - before) / (2.0 * late)))

    def of_read(self, read: int) -> np.ndarray:
        """Return the mean charge that the interval before a read adds, (y, x) electron."""
        exposure = self._exposure
        span = exposure.clock.interval[read]
        pose = exposure.motion.at(self._index, read)
        out = np.zeros(exposure.setup.shape)
        for component, flux, slope in self._curves:
            component.paint(out, span * flux[read], span * slope[read], pose)
        out *= exposure.maps.response
        out += span * self._steady
        return out


def expected_charge(exposure: Exposure, index: int) -> np.ndarray:
    """Return the mean charge that each interval between reads adds, (read, y, x) electron."""
    light = Light(exposure, index)
    return np.stack([light.of_read(r) for r in range(exposure.clock.read_frame.size)])


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
    detector, on, clock = exposure.maps, exposure.sources, exposure.clock
    light, pixels, hits = Light(exposure, index), Pixels(exposure, index), exposure.rays.of(index)
    photon = stream(exposure.seed, "photon", index)
    read_noise = stream(exposure.seed, "read", index)
    level = _level_after_reset(exposure, index)
    added = electronics.frames(index)
    held = np.zeros(exposure.setup.shape)
    frame = np.empty(exposure.setup.shape, dtype=np.float32)
    out = np.zeros((clock.n_groups, *exposure.setup.shape), dtype=np.float32)
    for read in range(clock.read_frame.size):
        charge = pixels.arriving(light.of_read(read), held, read)
        held += photon.poisson(charge) if "photon" in on else charge
        pixels.hit(held, hits, read)
        develop(pixels.seen(held, read), detector.gain, detector.linearity, detector.ceiling, frame)
        frame += level
        if "read" in on:
            white = read_noise.standard_normal(frame.shape, dtype=np.float32)
            white *= detector.read_noise
            frame += white
        if electronics:
            frame += next(added)
        out[read // clock.n_frames] += frame
    if clock.n_frames > 1:
        out /= np.float32(clock.n_frames)
    return out


def _level_after_reset(exposure: Exposure, index: int) -> np.ndarray:
    """Return superbias and kTC noise of one integration, (y, x) float32 DN."""
    level = exposure.maps.superbias
    if "ktc" in exposure.sources:
        rng = stream(exposure.seed, "reset", index)
        reset = np.float32(exposure.setup.electronics.reset)
        level = level + reset * rng.standard_normal(level.shape, dtype=np.float32)
    return level


def digitize(signal: np.ndarray, out: np.ndarray) -> None:
    """Round and clip DN to the 16 bits of the converter, into ``out`` of the same shape."""
    np.rint(signal, out=signal)
    np.clip(signal, 0, LARGEST, out=signal)
    out[...] = signal
