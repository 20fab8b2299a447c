"""A real frame as the scene: its light, with transit, motion and detector of the simulation.

The frame (y, x), DN/s, less its static part is the star. Each pixel's light is shared among
the spectral orders as the modelled scene has it there, with the wings of diffraction beyond the
modelled profiles, so that the shares are smooth; each share varies as its order does at the wavelength
of the pixel. Light beside the range of all orders stays constant.

The light moves by a remap that conserves its total: within a pixel it is linear, with the slope
limited (van Leer 1977, J. Comput. Phys. 23, 276) so that nothing becomes negative, and the part
that a shift takes over an edge goes to the next pixel. It is of second order in the pixel's
size, and it smooths what is not resolved. Light does not leave at the edges of the subarray.
A change of focus diffuses the light across dispersion, to first order in the change. The static
part does not move.

The frame shows the response of the real pixels and the noise of its making: both are taken for
light of the star.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import TYPE_CHECKING

import numba
import numpy as np
import xarray as xr

from tsoxr.errors import TsoWarning
from tsoxr.simulation.instruments import Setup
from tsoxr.simulation.scene import OrderLight, Scene, build_scene
from tsoxr.simulation.telescope import Pose

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["FrameLight", "frame_scene"]

WING = 0.1
"""Light in the wings: a share of ``WING`` / distance^2 per pixel, as diffraction leaves where
the resolution is about a pixel."""

LARGEST_DIFFUSION = 0.2


class FrameLight:
    """The part of a real frame that belongs to one order; see `scene.Component`.

    Parameters
    ----------
    setup : Setup
        Mode as it is simulated.
    model : OrderLight
        The order as it is modelled: wavelengths, centre and width.
    image : (spatial, dispersion) float64
        electron/s.
    """

    def __init__(self, setup: Setup, model: OrderLight, image: np.ndarray) -> None:
        self._setup = setup
        self.order, self.pixel, self.wavelength = model.order, model.pixel, model.wavelength
        self.center, self.width, self.fwhm = model.center, model.width, model.fwhm
        self._lit = slice(int(self.pixel.min()), int(self.pixel.max()) + 1)
        self._image = np.ascontiguousarray(image[:, self._lit])
        self._column = self.pixel - self._lit.start
        self.spectrum = self._image.sum(axis=0)[self._column]

    def _oriented(self, image: np.ndarray) -> np.ndarray:
        """View (y, x) as (spatial, dispersion)."""
        return image if self._setup.dispersion_dim == "x" else image.T

    def share(self) -> np.ndarray:
        """Return the share of each wavelength's light in each pixel, (y, x) float64."""
        out = np.zeros((self._setup.n_spatial, self._setup.n_dispersion))
        total = np.where(self.spectrum > 0, self.spectrum, 1.0)
        out[:, self.pixel] = self._image[:, self._column] / total
        return np.ascontiguousarray(self._oriented(out))

    @cached_property
    def offset(self) -> np.ndarray:
        """Mean delay with which the light is read, (wavelength,) s."""
        delay = self._oriented(self._setup.readout.ticks * 1e-5)[:, self.pixel]
        light = self._image[:, self._column]
        total = np.where(self.spectrum > 0, self.spectrum, 1.0)
        return np.where(self.spectrum > 0, (light * delay).sum(axis=0) / total, delay.mean(axis=0))

    @cached_property
    def _delay(self) -> np.ndarray:
        return self._oriented(self._setup.readout.ticks * 1e-5)[:, self.pixel] - self.offset

    def shifted(self, along: float) -> np.ndarray:
        """Return the spectrum after a shift along dispersion, pixels: (wavelength,) electron/s."""
        if along == 0.0:
            return self.spectrum
        whole = self._image.sum(axis=0)[None]
        return _translated(whole, np.array([along]))[0][self._column]

    def _moved(self, pose: Pose) -> np.ndarray:
        image, n = self._image, self._image.shape[1]
        across = np.full(n, pose.across)
        if pose.roll:
            pivot = np.average(self.pixel, weights=self.spectrum)
            across += pose.roll * (np.arange(n) + self._lit.start - pivot)
        if across.any():
            image = _translated(image.T, across).T
        if pose.along:
            image = _translated(image, np.full(image.shape[0], pose.along))
        return _blurred(image, self._diffusion(pose.focus)) if pose.focus else image

    def _diffusion(self, focus: float) -> np.ndarray:
        width = np.zeros(self._image.shape[1])
        width[self._column] = self.width
        return width**2 * focus

    def paint(self, frame: np.ndarray, light: np.ndarray, slope: np.ndarray, pose: Pose) -> None:
        """Add the light of one read to ``frame`` (y, x); see `scene.Component`."""
        image = pose.throughput * self._moved(pose)[:, self._column]
        self._oriented(frame)[:, self.pixel] += image * (light + slope * self._delay)


def frame_scene(exposure: Exposure) -> Scene:
    """Return the scene that a real frame makes.

    Raises
    ------
    ValueError
        For a frame of another shape than the subarray, or without light; for an image of a
        mode that does not disperse.
    """
    setup = exposure.setup
    if setup.imaging:
        raise ValueError(
            f"simulate: frame is given but {exposure.mode} does not disperse the light; a real "
            "frame can be the scene of spectra only"
        )
    frame = _image(exposure, "frame", exposure.frame)
    static = np.zeros(setup.shape)
    if exposure.frame_static is not None:
        static = _image(exposure, "frame_static", exposure.frame_static)
    star = _not_negative(frame - static, "frame less frame_static", setup.science)
    if not star.any():
        raise ValueError("simulate: frame has no pixel above 0; it needs light of the star, DN/s")
    gain = exposure.maps.gain.astype(float)
    star, static = exposure.brightness * gain * star, gain * static
    models = [c for c in build_scene(exposure).components if isinstance(c, OrderLight)]
    turned = star if setup.dispersion_dim == "x" else star.T
    parts = [FrameLight(setup, m, turned * w) for m, w in zip(models, _weights(models, setup), strict=True)]  # fmt: skip
    lit = np.zeros(setup.n_dispersion, dtype=bool)
    for each in models:
        lit[each.pixel] = True
    dark = np.where(lit, 0.0, turned)
    constant = static + (dark if setup.dispersion_dim == "x" else dark.T)
    return Scene(setup, tuple(parts), np.zeros(setup.shape), constant)


def _image(exposure: Exposure, name: str, given: np.ndarray | xr.DataArray) -> np.ndarray:
    """Return a frame (y, x) float64, DN/s, without gaps and negative values."""
    setup = exposure.setup
    if isinstance(given, xr.DataArray) and set(given.dims) == {"y", "x"}:
        given = given.transpose("y", "x")
    values = np.array(given, dtype=float)
    if values.shape != setup.shape:
        raise ValueError(
            f"simulate: {name} has shape {values.shape}; {setup.subarray} of {exposure.mode} has "
            f"{setup.shape} (y, x)"
        )
    science = setup.science
    values[~science] = 0.0
    return _not_negative(_filled(values, name), name, science)


def _filled(values: np.ndarray, name: str) -> np.ndarray:
    """Replace what is not finite by the mean of its surroundings, 5 by 5 pixels."""
    good = np.isfinite(values)
    if good.all():
        return values
    from scipy.ndimage import uniform_filter

    known = np.where(good, values, 0.0)
    weight = uniform_filter(good.astype(float), 5)
    near = np.where(weight > 0, uniform_filter(known, 5) / np.maximum(weight, 1e-9), 0.0)
    _warn(f"simulate: {name} has {(~good).sum()} pixels that are not finite; filled from their surroundings")  # fmt: skip
    return np.where(good, values, near)


def _not_negative(values: np.ndarray, name: str, science: np.ndarray) -> np.ndarray:
    n_negative = int((values[science] < 0).sum())
    if n_negative == science.sum():
        raise ValueError(
            f"simulate: {name} is negative in all pixels; light, DN/s, is positive: "
            "subtract less, or check the sign"
        )
    if n_negative:
        _warn(f"simulate: {name} has {n_negative} negative pixels; set to 0")
    return values.clip(0.0)


def _warn(message: str) -> None:
    warnings.warn(message, TsoWarning, stacklevel=2)


def _weights(models: list[OrderLight], setup: Setup) -> list[np.ndarray]:
    """Return the share of each order in the light of each pixel, (spatial, dispersion)."""
    rows = np.arange(setup.n_spatial)[:, None]
    parts = []
    for each in models:
        light = np.zeros((setup.n_spatial, setup.n_dispersion))
        wings = WING * each.spectrum / (each.width**2 + (rows - each.center) ** 2)
        share = each.share() if setup.dispersion_dim == "x" else each.share().T
        # the least number keeps shares defined where an order has no light at all
        light[:, each.pixel] = share[:, each.pixel] * each.spectrum + wings + 1e-300
        parts.append(light)
    total = sum(parts)
    return [np.divide(p, total, out=np.zeros_like(p), where=total > 0) for p in parts]


def _translated(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return ``image`` (line, pixel), each line moved by ``shift`` (line,) pixels."""
    out = np.zeros(image.shape)
    _translate(image, shift, out)
    return out


@numba.njit(cache=True, nogil=True)
def _translate(image, shift, out):  # noqa: ANN001, ANN202 -- numba infers the types
    """Add the moved lines of ``image`` to ``out``; see the module's text."""
    n_lines, n = image.shape
    for line in range(n_lines):
        whole = int(np.floor(shift[line]))
        part = shift[line] - whole
        for i in range(n):
            value, slope = image[line, i], 0.0
            if 0 < i < n - 1:
                left, right = value - image[line, i - 1], image[line, i + 1] - value
                if left * right > 0.0:
                    steep = min(2.0 * abs(left), 2.0 * abs(right), 0.5 * abs(left + right))
                    slope = steep if left > 0.0 else -steep
            leaves = part * (value + 0.5 * (1.0 - part) * slope)
            here = min(max(i + whole, 0), n - 1)
            beyond = min(max(i + whole + 1, 0), n - 1)
            out[line, here] += value - leaves
            out[line, beyond] += leaves


def _blurred(image: np.ndarray, diffusion: np.ndarray) -> np.ndarray:
    """Raise the variance across dispersion by twice ``diffusion`` (dispersion,), pixels squared."""
    n_steps = max(int(np.ceil(np.abs(diffusion).max() / LARGEST_DIFFUSION)), 1)
    total = image.sum(axis=0)
    for _ in range(n_steps):
        flow = diffusion / n_steps * np.diff(image, axis=0)
        image = image.copy()
        image[:-1] += flow
        image[1:] -= flow
    sharp = image.clip(0.0)  # sharpening can overshoot next to what is not resolved
    return sharp * total / np.maximum(sharp.sum(axis=0), 1e-300)
