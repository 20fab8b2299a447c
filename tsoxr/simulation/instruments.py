"""What the simulator knows about each mode: subarray, optics, star and detector.

Constants of the detectors come from `tsoxr.modes`; the frame times follow from the clocking
of the subarray (see `tsoxr.simulation.clock`). The wavelengths are the nominal ones of
`tsoxr.kernels.wavelength`, which ``assign_wavelength`` uses too. Traces and widths are
compact formulae of our own that resemble the instruments: they are the truth of the
simulation, no calibration of the real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tsoxr import modes
from tsoxr.errors import ModeError
from tsoxr.kernels.wavelength import NOMINAL, wavelength_at
from tsoxr.simulation.clock import Readout, miri_readout, nir_readout

__all__ = ["SETUPS", "Electronics", "Optics", "Setup", "setup"]

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Optics:
    """Where the light falls: functions of the pixel along dispersion and of wavelength.

    ``wavelength(pixel)`` in um, NaN where no light falls; ``center(pixel)`` of the trace
    across dispersion, pixels; ``sigma(wavelength)`` of the Gaussian core, pixels;
    ``throughput(wavelength)`` relative. A share ``wing`` of the light lies in a Gaussian
    ``wing_scale`` times as wide. ``background`` in electron/s and pixel, ``pixel_scale``
    in arcsec.
    """

    wavelength: Function
    center: Function
    sigma: Function
    throughput: Function
    background: float
    pixel_scale: float
    star_temperature: float = 5500.0
    wing: float = 0.04
    wing_scale: float = 4.0


@dataclass(frozen=True)
class Electronics:
    """Levels of the read-out electronics and of the pixels' response, DN unless said.

    ``quadratic`` and ``cubic`` are the coefficients of the linearity polynomial
    ``D + quadratic D^2 + cubic D^3`` that turns measured into linear signal. ``one_over_f``
    is the rms of the 1/f noise within one frame of one output; ``pedestal`` the offset
    common to one frame of one output; ``reset`` the kTC noise of each pixel at each reset.
    ``hit_rate`` in hits per pixel and second (solar minimum, from the pixel's area).
    """

    bias: float
    bias_structure: float
    quadratic: float
    cubic: float
    one_over_f: float
    pedestal: float
    reset: float
    hit_rate: float
    reference_noise: float = 0.8
    bad_fraction: float = 0.002
    flat_rms: float = 0.005


@dataclass(frozen=True)
class Setup:
    """A mode as the simulator runs it; see `Optics`, `Electronics` and `Readout`."""

    mode: str
    detector: str
    subarray: str
    shape: tuple[int, int]
    origin: tuple[int, int]
    readout: Readout
    optics: Optics
    electronics: Electronics
    n_groups: int
    n_integrations: int
    reference_columns: int = 0
    keywords: dict[str, object] = field(default_factory=dict)

    @property
    def constants(self) -> modes.Detector:
        """Gain, read noise, saturation and dark of the detector."""
        return modes.detector(self.detector)

    @property
    def dispersion_dim(self) -> str:
        """Detector dimension along which the wavelength varies."""
        return modes.get(self.mode).dispersion_dim

    @property
    def spatial_dim(self) -> str:
        """Detector dimension across the spectrum."""
        return modes.get(self.mode).spatial_dim

    @property
    def n_dispersion(self) -> int:
        """Number of pixels along dispersion."""
        return self.shape[1 if self.dispersion_dim == "x" else 0]

    @property
    def n_spatial(self) -> int:
        """Number of pixels across the spectrum."""
        return self.shape[0 if self.dispersion_dim == "x" else 1]


def _prism_wavelength(pixel: np.ndarray) -> np.ndarray:
    """Return the mode's nominal wavelength, NaN outside 0.5 um to 5.6 um."""
    return wavelength_at(NOMINAL["nirspec-prism"], pixel)


def _prism_center(pixel: np.ndarray) -> np.ndarray:
    u = (pixel - 255.5) / 256.0
    return 15.4 + 0.35 * u - 0.45 * u**2


def _prism_throughput(wave: np.ndarray) -> np.ndarray:
    blue = 1.0 / (1.0 + np.exp(-(wave - 0.75) / 0.09))
    red = 1.0 / (1.0 + np.exp((wave - 5.3) / 0.12))
    return blue * red * wave * (1.0 + 0.08 * np.sin(2.2 * wave))


def _lrs_wavelength(pixel: np.ndarray) -> np.ndarray:
    """Return the mode's nominal wavelength, which falls with the row, NaN outside 4.4 um to 13.9 um."""
    return wavelength_at(NOMINAL["miri-lrs"], pixel)


def _lrs_center(pixel: np.ndarray) -> np.ndarray:
    u = (pixel - 200.0) / 200.0
    return 36.2 + 0.25 * u - 0.15 * u**2


def _lrs_throughput(wave: np.ndarray) -> np.ndarray:
    blue = 1.0 / (1.0 + np.exp(-(wave - 4.95) / 0.12))
    red = 1.0 / (1.0 + np.exp((wave - 12.2) / 0.5))
    return blue * red * wave * (1.0 + 0.05 * np.sin(1.1 * wave))


_PRISM = Setup(
    mode="nirspec-prism",
    detector="NRS1",
    subarray="SUB512",
    shape=(32, 512),
    origin=(1025, 959),
    readout=nir_readout(fast=("y", 32, +1), slow=("x", 512, +1), n_outputs=1),
    optics=Optics(
        wavelength=_prism_wavelength,
        center=_prism_center,
        sigma=lambda wave: np.hypot(0.6, 0.15 * wave),
        throughput=_prism_throughput,
        background=0.8,
        pixel_scale=0.1,
        star_temperature=3000.0,
    ),
    electronics=Electronics(
        bias=6700.0,
        bias_structure=700.0,
        quadratic=9e-7,
        cubic=4e-12,
        one_over_f=3.5,
        pedestal=1.5,
        reset=20.0,
        hit_rate=1.587e-5,
    ),
    n_groups=5,
    n_integrations=100,
    keywords={
        "EXP_TYPE": "NRS_BRIGHTOBJ",
        "READPATT": "NRSRAPID",
        "FILTER": "CLEAR",
        "GRATING": "PRISM",
        "FXD_SLIT": "S1600A1",
    },
)

_LRS = Setup(
    mode="miri-lrs",
    detector="MIRIMAGE",
    subarray="SLITLESSPRISM",
    shape=(416, 72),
    origin=(1, 529),
    readout=miri_readout(n_rows=416, n_columns=72, row_clocks=28),
    optics=Optics(
        wavelength=_lrs_wavelength,
        center=_lrs_center,
        sigma=lambda wave: 0.13 * wave,
        throughput=_lrs_throughput,
        background=70.0,
        pixel_scale=0.11,
    ),
    electronics=Electronics(
        bias=9000.0,
        bias_structure=350.0,
        quadratic=2.5e-6,
        cubic=8e-12,
        one_over_f=1.5,
        pedestal=1.0,
        reset=8.0,
        hit_rate=3.06e-5,
    ),
    n_groups=8,
    n_integrations=60,
    reference_columns=4,
    keywords={
        "EXP_TYPE": "MIR_LRS-SLITLESS",
        "READPATT": "FASTR1",
        "FILTER": "P750L",
        "CHANNEL": "N/A",
    },
)

SETUPS = {each.mode: each for each in (_PRISM, _LRS)}
"""The modes that the simulator has."""


def setup(mode: str) -> Setup:
    """Return how a mode is simulated.

    Raises
    ------
    ModeError
        For an unknown mode, and for one that the simulator does not have.
    """
    known = modes.get(mode).name
    if known not in SETUPS:
        raise ModeError(
            f"simulate: mode {mode!r} is known but not simulated; "
            f"simulated are {', '.join(SETUPS)}; choose one of these"
        )
    return SETUPS[known]
