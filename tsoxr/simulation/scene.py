"""The light before it is detected: the star's spectrum and its image on the detector.

The star is a black body seen through a smooth throughput. Its photons in dispersion pixel
i, S_i in electron/s, are spread across dispersion by a pixel-integrated Gaussian with faint
wings, whose width grows with wavelength and whose centre follows the trace. Light is not
spread along dispersion: pixel i has the one wavelength of its centre. A shift of the
telescope moves the profile across, and along dispersion changes S to first order,
``S(i - dx) = S(i) - dx dS/di``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tsoxr.simulation.instruments import Optics, Setup
from tsoxr.simulation.streams import stream

__all__ = ["Pointing", "Scene", "pixel_profile", "pointing"]

JITTER_DRIFT = 3e-3
JITTER_WHITE = 1e-3
JITTER_MEMORY = 20.0
SQRT2 = np.sqrt(2.0)


@dataclass(frozen=True, eq=False)
class Pointing:
    """Shift of the light in each integration, (time,) pixels: across and along dispersion."""

    across: np.ndarray
    along: np.ndarray


def pointing(n_integrations: int, seed: int, *, jitter: bool) -> Pointing:
    """Return the shift of each integration.

    A first-order autoregressive drift of rms 3 millipixels with a memory of 20 integrations,
    and white jitter of 1 millipixel, independent on both axes.

    Parameters
    ----------
    n_integrations : int
        Number of integrations.
    seed : int
        Seed of the exposure.
    jitter : bool
        False for a telescope that stands still.
    """
    if not jitter:
        still = np.zeros(n_integrations)
        return Pointing(still, still)
    rng = stream(seed, "pointing")
    return Pointing(_drift(n_integrations, rng), _drift(n_integrations, rng))


def _drift(n: int, rng: np.random.Generator) -> np.ndarray:
    memory = np.exp(-1.0 / JITTER_MEMORY)
    kicks = rng.standard_normal(n) * np.sqrt(1.0 - memory**2)
    kicks[0] /= np.sqrt(1.0 - memory**2)
    response = memory ** np.arange(int(30 * JITTER_MEMORY))
    slow = np.convolve(kicks, response)[:n]
    return JITTER_DRIFT * slow + JITTER_WHITE * rng.standard_normal(n)


def _cumulative(
    edges: np.ndarray, center: np.ndarray, sigma: np.ndarray, optics: Optics
) -> np.ndarray:
    from scipy.special import erf

    z = (edges[:, None] - center[..., None, :]) / (SQRT2 * sigma)
    return 0.5 * ((1.0 - optics.wing) * erf(z) + optics.wing * erf(z / optics.wing_scale))


def pixel_profile(
    n_spatial: int, center: np.ndarray, sigma: np.ndarray, optics: Optics
) -> np.ndarray:
    """Return the share of each wavelength's light that falls on each pixel.

    Parameters
    ----------
    n_spatial : int
        Pixels across dispersion.
    center : (..., dispersion) float64
        Centre of the trace, pixels.
    sigma : (dispersion,) float64
        Its Gaussian width, pixels; NaN where no light falls.
    optics : Optics
        The share and the scale of the wings.

    Returns
    -------
    (..., spatial, dispersion) float64
        Not normalised to the subarray: a little light falls beside it. NaN becomes 0.
    """
    edges = np.arange(n_spatial + 1) - 0.5
    return np.nan_to_num(np.diff(_cumulative(edges, center, sigma, optics), axis=-2))


@dataclass(frozen=True, eq=False)
class Scene:
    """The star on the detector; arrays in the order of the pixels along dispersion.

    Parameters
    ----------
    setup : Setup
        Mode as it is simulated.
    brightness : float
        Brightness of the star; 1 fills 60% of the well in the brightest pixel at the last
        group of the mode's default integration.
    """

    setup: Setup
    brightness: float

    @cached_property
    def pixels(self) -> np.ndarray:
        """Pixel coordinate along dispersion, (dispersion,)."""
        return np.arange(self.setup.n_dispersion, dtype=float)

    @cached_property
    def wavelength(self) -> np.ndarray:
        """Wavelength of each pixel, (dispersion,) um; NaN where no light falls."""
        return self.setup.optics.wavelength(self.pixels)

    @cached_property
    def center(self) -> np.ndarray:
        """Centre of the trace, (dispersion,) pixels."""
        return self.setup.optics.center(self.pixels)

    @cached_property
    def sigma(self) -> np.ndarray:
        """Gaussian width of the trace, (dispersion,) pixels."""
        return self.setup.optics.sigma(self.wavelength)

    @cached_property
    def _captured(self) -> np.ndarray:
        raw = pixel_profile(self.setup.n_spatial, self.center, self.sigma, self.setup.optics)
        total = raw.sum(axis=0)
        return np.where(total > 0, total, 1.0)

    def profile(self, shift: np.ndarray | float = 0.0) -> np.ndarray:
        """Return the profile after a shift across dispersion, pixels.

        Parameters
        ----------
        shift : (...) float64
            Any shape, for instance (time,).

        Returns
        -------
        (..., spatial, dispersion) float64
            Its sum over space is 1 at shift 0.
        """
        center = self.center + np.asarray(shift)[..., None]
        return (
            pixel_profile(self.setup.n_spatial, center, self.sigma, self.setup.optics)
            / self._captured
        )

    @cached_property
    def spectrum(self) -> np.ndarray:
        """Star's spectrum, (dispersion,) electron/s; 0 where no light falls."""
        setup = self.setup
        lit = np.isfinite(self.wavelength)
        wave = self.wavelength[lit]
        shape = np.zeros(self.pixels.size)
        shape[lit] = _photons(wave, setup.optics) * np.abs(np.gradient(wave))
        well = (setup.constants.saturation - setup.electronics.bias) * setup.constants.gain
        time = setup.n_groups * setup.readout.frame_time
        peak = (shape * self.profile().max(axis=0)).max()
        return self.brightness * 0.6 * well / (time * peak) * shape

    @cached_property
    def _slope(self) -> np.ndarray:
        return np.gradient(self.spectrum)

    def shifted_spectrum(self, shift: np.ndarray | float) -> np.ndarray:
        """Return the spectrum after a shift along dispersion, pixels: (..., dispersion)."""
        return np.maximum(self.spectrum - np.asarray(shift)[..., None] * self._slope, 0.0)


def _photons(wavelength: np.ndarray, optics: Optics) -> np.ndarray:
    """Return photons per unit wavelength of a black body after the throughput, unscaled."""
    planck = wavelength**-4 / np.expm1(14387.77 / (wavelength * optics.star_temperature))
    return planck * optics.throughput(wavelength)
