"""What describes a mode to the simulator: subarray, optics, star and detector.

The modes themselves are in `tsoxr.simulation.setups`, one module per instrument. Constants of
the detectors come from `tsoxr.modes`; the frame times follow from the clocking of the
subarray (see `tsoxr.simulation.clock`). The wavelengths are the nominal ones of
`tsoxr.kernels.wavelength`, which ``assign_wavelength`` uses too. Traces and widths are
compact formulae of our own that resemble the instruments: they are the truth of the
simulation, no calibration of the real ones.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np

from tsoxr import modes
from tsoxr.simulation.clock import Readout
from tsoxr.simulation.profiles import Profile, gaussian_profile

__all__ = [
    "Choice",
    "Electronics",
    "Function",
    "Imager",
    "Patch",
    "Setup",
    "Spectrograph",
    "Trace",
    "pick",
    "with_levels",
]

Function = Callable[[np.ndarray], np.ndarray]
Patch = tuple[slice, slice, np.ndarray]


@dataclass(frozen=True)
class Choice:
    """What a user can choose within a mode; None leaves it to the mode."""

    subarray: str | None = None
    detector: str | None = None
    filter: str | None = None
    n_outputs: int | None = None
    pupil: str | None = None


def pick(mode: str, name: str, value: object, allowed: Sequence) -> object:
    """Return ``value``, or the first of ``allowed`` where it is None.

    Raises
    ------
    ValueError
        For a value that is not allowed; the message lists those that are.
    """
    if value is None:
        return allowed[0]
    if value not in allowed:
        near = difflib.get_close_matches(str(value), [str(a) for a in allowed], n=1)
        hint = f"did you mean {near[0]!r}" if near else "choose one of these"
        listed = ", ".join(str(a) for a in allowed)
        raise ValueError(
            f"simulate: {mode} has no {name} {value!r}; it is simulated with {listed}; {hint}"
        )
    return value


@dataclass(frozen=True)
class Trace:
    """One spectral order: where its light falls.

    ``wavelength(pixel)`` in um, NaN where no light falls; ``center(pixel)`` of the trace
    across dispersion, pixels; ``width(wavelength)`` of the profile, pixels;
    ``throughput(wavelength)`` relative to the other orders.
    """

    wavelength: Function
    center: Function
    width: Function
    throughput: Function
    order: int = 1
    profile: Profile = field(default_factory=gaussian_profile)


@dataclass(frozen=True)
class Spectrograph:
    """Optics that disperse the light: one or more orders."""

    traces: tuple[Trace, ...]


@dataclass(frozen=True)
class Imager:
    """Optics that make an image of the star.

    ``wavelength`` samples the filter, (wavelength,) um, with the relative ``throughput``;
    ``position`` is where the star stands at rest, (y, x) pixels. ``image(shape, y, x, focus)``
    gives the share of light in each pixel of a star at (y, x) of an array, ``focus`` being the
    relative change of its width, as (rows, columns, share): the part of the array that holds
    the star, two slices, and the shares there, (rows, columns) float64.
    """

    wavelength: np.ndarray
    throughput: np.ndarray
    position: tuple[float, float]
    image: Callable[[tuple[int, int], float, float, float], Patch]


@dataclass(frozen=True)
class Electronics:
    """Levels of the read-out electronics and of the pixels' response, DN unless said.

    ``quadratic`` and ``cubic`` are the coefficients of the linearity polynomial
    ``D + quadratic D^2 + cubic D^3`` that turns measured into linear signal. ``one_over_f``
    is the rms of the 1/f noise within one frame of one output; ``pedestal`` the offset
    common to one frame of one output; ``reset`` the kTC noise of each pixel at each reset.
    ``hit_rate`` in hits per pixel and second (solar minimum, from the pixel's area).

    ``hit_charge`` is the median charge of a hit, electron; ``hit_depth`` the depth of the layer
    that collects it and ``diffusion`` the spread of its charge, pixels; ``snowball_rate`` in
    snowballs per pixel and second. ``ipc`` and ``ipc_corner`` are the shares that interpixel
    capacitance shows in each nearest and each diagonal neighbour; ``intrapixel`` the loss of
    response at a pixel's edge, relative to its centre; ``migration`` the part of the arriving
    charge that moves to a neighbour, per electron of contrast. ``trap_fast`` and ``trap_slow``
    are the shares of charge that traps catch, ``drift_fast`` and ``drift_slow`` the response
    that is missing when the exposure begins (see `tsoxr.simulation.traps` for their times).
    ``telegraph`` is the median height of the jumps of telegraph pixels,
    ``telegraph_fraction`` the share of such pixels.

    ``one_over_f_common`` is the share of the variance of the 1/f noise that all outputs have in
    common. ``odd_even`` is the rms within one frame of the 1/f noise of the odd and of the even
    columns, ``odd_even_offset`` the rms over outputs of the constant difference of the two.
    ``reset_artifact`` is the height of its row in the first frame. For MIRI: ``emi`` and
    ``emi_slow`` are the amplitudes of the interference at 390.625 and 10.04 Hz,
    ``reset_anomaly`` and ``first_frame`` what is added to odd rows of the first frame of an
    integration, ``last_frame`` what is taken from the odd rows of the last.
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
    hit_charge: float = 2500.0
    hit_depth: float = 0.28
    diffusion: float = 0.25
    snowball_rate: float = 1.2e-8
    ipc: float = 0.005
    ipc_corner: float = 0.0005
    intrapixel: float = 0.03
    migration: float = 3e-7
    trap_fast: float = 0.002
    trap_slow: float = 0.002
    drift_fast: float = 0.0
    drift_slow: float = 0.0
    telegraph: float = 20.0
    telegraph_fraction: float = 0.001
    one_over_f_common: float = 0.9
    odd_even: float = 0.7
    odd_even_offset: float = 3.0
    reset_artifact: float = 60.0
    emi: float = 0.0
    emi_slow: float = 0.0
    reset_anomaly: float = 0.0
    first_frame: float = 0.0
    last_frame: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a share above one."""
        if self.one_over_f_common > 1:
            raise ValueError(
                f"simulate: levels['one_over_f_common'] is {self.one_over_f_common}; it is a share "
                "of the variance, at most 1"
            )


@dataclass(frozen=True)
class Setup:
    """A mode as the simulator runs it; see `Spectrograph`, `Electronics` and `Readout`.

    ``origin`` is the first column and row on the detector, from 1. ``background`` is the
    light of the sky, electron/s and pixel; ``sky`` and ``contaminants`` make images from
    the shape (y, x): the sky's relative pattern, and other stars relative to the brightest
    pixel of this one. ``border`` counts the reference pixels at the left, right, bottom and
    top edge.
    """

    mode: str
    detector: str
    subarray: str
    shape: tuple[int, int]
    origin: tuple[int, int]
    readout: Readout
    optics: Spectrograph | Imager
    electronics: Electronics
    n_groups: int
    n_integrations: int
    background: float
    pixel_scale: float
    pattern: str
    filter: str = "CLEAR"
    star_temperature: float = 5500.0
    border: tuple[int, int, int, int] = (0, 0, 0, 0)
    sky: Callable[[tuple[int, int]], np.ndarray] | None = None
    contaminants: Callable[[tuple[int, int]], np.ndarray] | None = None
    keywords: dict[str, object] = field(default_factory=dict)

    @property
    def constants(self) -> modes.Detector:
        """Gain, read noise, saturation and dark of the detector."""
        return modes.detector(self.detector)

    @property
    def imaging(self) -> bool:
        """True where the light is not dispersed."""
        return isinstance(self.optics, Imager)

    @property
    def orders(self) -> tuple[int, ...]:
        """Spectral orders; (1,) for an image."""
        if isinstance(self.optics, Imager):
            return (1,)
        return tuple(t.order for t in self.optics.traces)

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

    @property
    def science(self) -> np.ndarray:
        """True where a pixel sees light, False in the border of reference pixels, (y, x)."""
        left, right, bottom, top = self.border
        inside = np.zeros(self.shape, dtype=bool)
        inside[bottom : self.shape[0] - top, left : self.shape[1] - right] = True
        return inside


def with_levels(setup: Setup, levels: Mapping[str, float]) -> Setup:
    """Return a setup with other levels of its electronics.

    Raises
    ------
    ValueError
        For a level that does not exist, or is negative or not finite.
    """
    known = [f.name for f in fields(Electronics)]
    for name, value in levels.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}" if near else f"there are {', '.join(known)}"
            raise ValueError(f"simulate: levels has no {name!r}; {hint}")
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(
                f"simulate: levels[{name!r}] is {value}; it must be finite and not negative"
            )
    return replace(setup, electronics=replace(setup.electronics, **levels))
