"""The light before it is detected: the star's spectrum and its image on the detector.

The star is a black body seen through a smooth throughput. Its photons in dispersion pixel
i, S_i in electron/s, are spread across dispersion by the profile of the order, whose width
grows with wavelength and whose centre follows the trace. Light is not spread along
dispersion: pixel i has the one wavelength of its centre. A shift along dispersion moves the
spectrum by a monotonic interpolation of its running sum, so light is neither lost nor
negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tsoxr.simulation.clock import TICK
from tsoxr.simulation.instruments import Imager, Patch, Setup, Spectrograph, Trace
from tsoxr.simulation.profiles import paint
from tsoxr.simulation.telescope import AT_REST, Pose

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["Component", "OrderLight", "Scene", "StarImage", "build_scene"]

FILLED = 0.6
"""Part of the well that the brightest pixel of a default star fills."""

PLAIN = np.ones(1)

PIXEL_PARTS = 5
"""Parts of a pixel across dispersion that have a response of their own."""


class Component(Protocol):
    """Light that varies with the planet: one spectral order, or an image of the star.

    ``wavelength`` (wavelength,) um, ascending; ``spectrum`` (wavelength,) electron/s;
    ``offset`` (wavelength,) s, the mean delay with which its light is read.
    """

    order: int
    wavelength: np.ndarray
    spectrum: np.ndarray
    offset: np.ndarray

    def paint(self, frame: np.ndarray, light: np.ndarray, slope: np.ndarray, pose: Pose) -> None:
        """Add electrons to ``frame`` (y, x).

        ``light`` (wavelength,) s: exposure time times relative flux; ``slope``
        (wavelength,): its change with the delay of reading, per s.
        """

    def share(self) -> np.ndarray:
        """Return the share of each wavelength's light in each pixel, (y, x) float64."""


class OrderLight:
    """One spectral order on the detector.

    Parameters
    ----------
    setup : Setup
        Mode as it is simulated.
    trace : Trace
        Where the order falls.
    star : callable
        Photons per unit wavelength at a wavelength in um.
    response : (part,) float64
        Relative response of the parts of a pixel, across dispersion.
    """

    def __init__(self, setup: Setup, trace: Trace, star, response: np.ndarray = PLAIN) -> None:  # noqa: ANN001
        self._setup, self._trace, self._response = setup, trace, response
        self.order = trace.order
        pixels = np.arange(setup.n_dispersion, dtype=float)
        wave = trace.wavelength(pixels)
        lit = np.flatnonzero(np.isfinite(wave))
        self.pixel = lit[np.argsort(wave[lit])]
        self.wavelength = wave[self.pixel]
        density = star(self.wavelength) * trace.throughput(self.wavelength)
        step = np.zeros(pixels.size)
        step[lit] = np.abs(np.gradient(wave[lit]))
        self._relative = density * step[self.pixel]
        self.center = trace.center(self.pixel.astype(float))
        self.width = trace.width(self.wavelength)
        self.scale = 1.0

    @property
    def spectrum(self) -> np.ndarray:
        """Electrons of each wavelength, (wavelength,) electron/s."""
        return self.scale * self._relative

    @property
    def fwhm(self) -> np.ndarray:
        """Full width of the profile at half its height, (wavelength,) pixels."""
        return self.width * self._trace.profile.fwhm

    def _oriented(self, image: np.ndarray) -> np.ndarray:
        """View (y, x) as (spatial, dispersion)."""
        return image if self._setup.dispersion_dim == "x" else image.T

    @cached_property
    def _captured(self) -> np.ndarray:
        """Share of each wavelength's light on pixels that see it, (wavelength,)."""
        seen = self._painted(np.ones(self.pixel.size)) * self._oriented(self._setup.science)
        total = seen.sum(axis=0)[self.pixel]
        return np.where(total > 0, total, 1.0)

    @cached_property
    def offset(self) -> np.ndarray:
        """Mean delay with which the light is read, (wavelength,) s."""
        delay = self._oriented(self._setup.readout.ticks * TICK)
        share = self._oriented(self.share())
        return (share * delay).sum(axis=0)[self.pixel] / share.sum(axis=0)[self.pixel]

    @cached_property
    def _delay(self) -> np.ndarray:
        out = self._oriented(self._setup.readout.ticks * TICK).astype(np.float32)
        mean = np.zeros(out.shape[1], dtype=np.float32)
        mean[self.pixel] = self.offset
        return out - mean

    def _painted(self, light: np.ndarray) -> np.ndarray:
        out = np.zeros((self._setup.n_spatial, self._setup.n_dispersion))
        nothing = np.zeros_like(light)
        delay = np.zeros(out.shape, dtype=np.float32)
        self._run(out, light, nothing, delay, AT_REST)
        return out

    def _run(self, frame, light, slope, delay, pose: Pose) -> None:  # noqa: ANN001
        profile = self._trace.profile
        center = self.center + pose.across
        if pose.roll:
            pivot = np.average(self.pixel, weights=self._relative)
            center = center + pose.roll * (self.pixel - pivot)
        width = self.width * (1.0 + pose.focus)
        paint(
            frame, self.pixel, light, slope, delay, center, width,
            self._response, profile.start, profile.step, profile.cumulative,
        )  # fmt: skip

    def share(self) -> np.ndarray:
        """Return the share of each wavelength's light in each pixel, (y, x) float64."""
        image = self._painted(1.0 / self._captured) * self._oriented(self._setup.science)
        return np.ascontiguousarray(self._oriented(image))

    @cached_property
    def _running(self):  # noqa: ANN202 -- scipy's interpolator
        from scipy.interpolate import PchipInterpolator

        n = self._setup.n_dispersion
        whole = np.zeros(n)
        whole[self.pixel] = self._relative
        edges = np.arange(-1, n + 2) - 0.5
        return PchipInterpolator(
            edges, np.concatenate([[0.0, 0.0], np.cumsum(whole), [whole.sum()]])
        )

    def shifted(self, along: float) -> np.ndarray:
        """Return the spectrum after a shift along dispersion, pixels: (wavelength,) electron/s."""
        if along == 0.0:
            return self.spectrum
        edge = self.pixel - along
        return self.scale * (self._running(edge + 0.5) - self._running(edge - 0.5))

    def paint(self, frame: np.ndarray, light: np.ndarray, slope: np.ndarray, pose: Pose) -> None:
        """Add the light of one read to ``frame`` (y, x); see `Component`."""
        star = self.shifted(pose.along) * pose.throughput / self._captured
        self._run(self._oriented(frame), star * light, star * slope, self._delay, pose)


class StarImage:
    """The image of a star through a filter.

    All wavelengths of the filter make one image. Its light is what falls on pixels that see
    light while the star is at rest; the wings beyond the array count nowhere. A roll of the
    field turns about the star and leaves its image as it is.

    Parameters
    ----------
    setup : Setup
        Mode as it is simulated, with an `Imager`.
    star : callable
        Photons per unit wavelength at a wavelength in um.
    """

    order = 1

    def __init__(self, setup: Setup, star) -> None:  # noqa: ANN001
        self._setup, optics = setup, setup.optics
        self.wavelength = np.asarray(optics.wavelength, dtype=float)
        density = star(self.wavelength) * optics.throughput
        self._relative = density / density.sum()
        self.scale = 1.0
        self.position = optics.position
        self._ticks = setup.readout.ticks
        self._latest: tuple[Pose, Patch] = (AT_REST, self._rest)

    @property
    def spectrum(self) -> np.ndarray:
        """Electrons of each sample of the filter, (wavelength,) electron/s."""
        return self.scale * self._relative

    def _image(self, pose: Pose) -> Patch:
        along_x = self._setup.dispersion_dim == "x"
        dy, dx = (pose.across, pose.along) if along_x else (pose.along, pose.across)
        y, x = self.position
        rows, columns, share = self._setup.optics.image(
            self._setup.shape, y + dy, x + dx, pose.focus
        )
        return rows, columns, share * self._setup.science[rows, columns]

    @cached_property
    def _rest(self) -> Patch:
        return self._image(AT_REST)

    @cached_property
    def _captured(self) -> float:
        return float(self._rest[2].sum())

    @cached_property
    def offset(self) -> np.ndarray:
        """Mean delay with which the light is read, (wavelength,) s."""
        rows, columns, share = self._rest
        delay = np.average(self._ticks[rows, columns], weights=share) * TICK
        return np.full(self.wavelength.size, delay)

    def share(self) -> np.ndarray:
        """Return the share of the light in each pixel, (y, x) float64; its sum is 1."""
        rows, columns, share = self._rest
        out = np.zeros(self._setup.shape)
        out[rows, columns] = share / self._captured
        return out

    def _placed(self, pose: Pose) -> Patch:
        """Return the image, made anew only when the star has moved since the last read."""
        place = pose._replace(roll=0.0, throughput=1.0)
        if place == AT_REST:
            return self._rest
        known, patch = self._latest
        if known != place:
            patch = self._image(place)
            self._latest = (place, patch)
        return patch

    def paint(self, frame: np.ndarray, light: np.ndarray, slope: np.ndarray, pose: Pose) -> None:
        """Add the light of one read to ``frame`` (y, x); see `Component`."""
        star = self.spectrum * (pose.throughput / self._captured)
        rows, columns, share = self._placed(pose)
        delay = self._ticks[rows, columns] * TICK - self.offset[0]
        frame[rows, columns] += share * (star @ light + (star @ slope) * delay)


@dataclass(frozen=True, eq=False)
class Scene:
    """All light of an exposure.

    ``components`` vary with the planet; ``sky`` and ``contaminants`` are (y, x) electron/s
    and constant.
    """

    setup: Setup
    components: tuple[Component, ...]
    sky: np.ndarray
    contaminants: np.ndarray

    def of_order(self, order: int) -> Component:
        """Return the component of one spectral order."""
        return next(c for c in self.components if c.order == order)

    @cached_property
    def star(self) -> np.ndarray:
        """The star at rest, out of transit, (y, x) electron/s."""
        return star_image(self.setup, self.components)


def star_image(setup: Setup, components: tuple[Component, ...]) -> np.ndarray:
    """Return the light of all components at rest, (y, x) electron/s."""
    out = np.zeros(setup.shape)
    for each in components:
        n = each.wavelength.size
        each.paint(out, np.ones(n), np.zeros(n), AT_REST)
    return out


def build_scene(exposure: Exposure) -> Scene:
    """Return the scene of an exposure, scaled so that brightness 1 fills 60% of the well."""
    setup, on = exposure.setup, exposure.sources
    components = _components(setup, exposure.stellar_photons, PLAIN)
    peak = star_image(setup, components)[setup.science].max()
    if "intrapixel" in on:
        components = _components(setup, exposure.stellar_photons, _within_pixel(setup))
    well = (setup.constants.saturation - setup.electronics.bias) * setup.constants.gain
    usual = FILLED * well / (setup.n_groups * setup.readout.frame_time)
    for each in components:
        each.scale = exposure.brightness * usual / peak
    nothing = np.zeros(setup.shape)
    sky = nothing
    if "background" in on:
        pattern = setup.sky(setup.shape) if setup.sky is not None else np.ones(setup.shape)
        sky = setup.background * pattern
    others = nothing
    if "contaminants" in on and setup.contaminants is not None:
        others = usual * setup.contaminants(setup.shape)
    return Scene(setup, components, sky, others)


def _within_pixel(setup: Setup) -> np.ndarray:
    """Return the response of parts of a pixel, (part,): a parabola of mean 1, lower at the edges.

    It acts across dispersion only, and not on images, which are shares of whole pixels.
    """
    edge = np.linspace(-0.5, 0.5, PIXEL_PARTS + 1)
    square = np.diff(edge**3) / 3.0 / np.diff(edge)
    return 1.0 + setup.electronics.intrapixel * (1.0 / 3.0 - 4.0 * square)


def _components(setup: Setup, star, response: np.ndarray) -> tuple[Component, ...]:  # noqa: ANN001
    if isinstance(setup.optics, Imager):
        return (StarImage(setup, star),)
    assert isinstance(setup.optics, Spectrograph)
    return tuple(OrderLight(setup, trace, star, response) for trace in setup.optics.traces)
