"""A simulated exposure: its parameters, and the parts that they make up.

`Exposure` is immutable and lazy: it holds numbers, builds clock, scene, planet and detector
when they are first needed, and draws ramps only when asked. What is drawn depends on the
parameters alone, never on the order in which products are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import modes
from tsoxr.simulation.checks import check, check_saturation
from tsoxr.simulation.clock import Clock
from tsoxr.simulation.detector import Detector, build_detector
from tsoxr.simulation.events import Event
from tsoxr.simulation.hits import CosmicRays, Hits
from tsoxr.simulation.instruments import Choice, Function, Setup, with_levels
from tsoxr.simulation.noise import chosen
from tsoxr.simulation.patterns import pattern
from tsoxr.simulation.planet import Planet, Spectral
from tsoxr.simulation.produce import Produces
from tsoxr.simulation.real_frame import frame_scene
from tsoxr.simulation.scene import Component, Scene, build_scene
from tsoxr.simulation.setups import setup
from tsoxr.simulation.star import Star, star_function
from tsoxr.simulation.system import LightCurve, System, build_systems
from tsoxr.simulation.telescope import Motion, Telescope, motion

__all__ = ["Exposure"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Exposure(Produces):
    """One simulated exposure of a star with a transiting planet.

    The parameters stand in groups: the observation (``mode`` to ``start``), the star
    (``brightness`` to ``frame_static``), the planet (``radius_ratio`` to ``eclipse_depth``), what
    varies beside it (``light_curve`` to ``telescope_seed``), the detector (``noise`` to ``n_hits``) and
    the products (``order`` to ``n_bins``).

    Parameters
    ----------
    mode : str
        Observing mode; one of ``tsoxr.simulation.SETUPS``.
    seed : int
        Seed of all random numbers. The same seed gives the same bytes.
    subarray, detector, filter : str, optional
        What the mode offers, by the names in the headers; the mode's own where left out.
    pupil : str, optional
        Element of the pupil wheel, such as the weak lens ``"WLP8"`` of NIRCam.
    n_outputs : int, optional
        Amplifiers that read the subarray, for NIRCam.
    read_pattern : str, optional
        Read-out pattern, such as ``"SHALLOW4"``; every frame a group where left out.
    n_integrations, n_groups : int, optional
        Length of the exposure and of an integration; the mode's own where left out.
    start : float
        Start of the exposure, MJD UTC.
    brightness : float
        Brightness of the star; 1 fills 60% of the well in the brightest pixel at the last
        group of the mode's own integration. With ``frame``, 1 leaves its star as it is.
    star : float or DataArray, optional
        Temperature of a black body, K, or photons per um over ``wavelength`` (um), of any
        scale; a black body of the mode's own temperature where left out.
    frame : array or DataArray, optional
        A real frame (y, x) as the scene, DN/s: its light takes the place of the modelled
        star, sky and other stars. See `tsoxr.simulation.real_frame`.
    frame_static : array or DataArray, optional
        Part of ``frame`` (y, x), DN/s, that does not vary with the planet: background and
        other stars.
    radius_ratio : float, array or DataArray
        Rp/Rs: one number, to which ``feature_depth`` adds features; one number for each
        wavelength, ascending; or a DataArray with a ``wavelength`` coordinate, um.
    feature_depth : float
        Transit depth that the strongest feature adds, ppm; 0 for a flat spectrum.
    period : float, optional
        Orbital period, d. Left out, it is such that the transit fills the central 40% of
        the exposure.
    t0 : float, optional
        Time of mid-transit, BMJD_TDB, d; the middle of the exposure where left out.
    a_over_rs, inclination : float
        Radius of the circular orbit, stellar radii, and its inclination, degrees.
    limb_darkening : pair of float, array or DataArray, optional
        Quadratic coefficients u1, u2, each as ``radius_ratio``; a sun-like star where left out.
    eclipse_depth : float, array or DataArray
        Light of the planet relative to the star, ppm, hidden half a period after ``t0``; as
        ``radius_ratio``, without features.
    light_curve : DataArray or callable, optional
        Factor of all light: a DataArray over ``time`` (BMJD_TDB, d) and maybe ``wavelength``
        (um), interpolated linearly; or a function ``(time, wavelength)`` of arrays
        (..., wavelength) and (wavelength,).
    events : tuple of Event
        ``Spot``, ``Flare``, ``Tilt`` and ``AntennaMove`` of ``tsoxr.simulation``.
    telescope : Telescope
        Sizes of jitter, drifts and breathing, which are on with ``"jitter"`` in ``noise``;
        tilts and moves of the antenna happen in any case.
    telescope_seed : int, optional
        Seed of the telescope's motion, which detectors that look at the same time share;
        ``seed`` where left out.
    noise : str or tuple of str
        Sources of noise and imperfections that are on: names of
        ``tsoxr.simulation.SOURCES``, or ``"standard"`` for those that the chain of steps
        corrects, ``"all"``, ``"none"``. ``()`` gives ideal data too. Without
        ``"quantization"`` ramps are float32.
    levels : dict of str to float, optional
        Levels of the electronics that differ from the mode's own; fields of
        ``tsoxr.simulation.instruments.Electronics``, such as ``{"one_over_f": 5.0}``.
    n_hits : int, optional
        Number of cosmic rays in the exposure, instead of their rate; also without
        ``"hits"`` in ``noise``.
    references : bool
        Attach the true gain, read noise, saturation, superbias, linearity, dark and flat to
        ramps and flag the bad pixels. False leaves ramps as a raw file has them.
    order : int
        Spectral order that spectra, light curves and the truth describe.
    n_bins : int
        Number of light curves, bins of equally many pixels.

    Raises
    ------
    ModeError
        For a mode that is unknown or not simulated.
    ValueError
        For a value that makes no sense.
    """

    mode: str
    seed: int = 0
    subarray: str | None = None
    detector: str | None = None
    filter: str | None = None
    pupil: str | None = None
    n_outputs: int | None = None
    read_pattern: str | None = None
    n_integrations: int = None  # type: ignore[assignment] # filled in from the mode
    n_groups: int = None  # type: ignore[assignment] # filled in from the mode
    start: float = 60200.0

    brightness: float = 1.0
    star: Star = None
    frame: np.ndarray | xr.DataArray | None = None
    frame_static: np.ndarray | xr.DataArray | None = None

    radius_ratio: Spectral = 0.1
    feature_depth: float = 500.0
    period: float | None = None
    t0: float | None = None
    a_over_rs: float = 10.0
    inclination: float = 88.5
    limb_darkening: tuple[Spectral, Spectral] | None = None
    eclipse_depth: Spectral = 0.0

    light_curve: LightCurve | None = None
    events: tuple[Event, ...] = ()
    telescope: Telescope = Telescope()  # noqa: RUF009 -- it is frozen
    telescope_seed: int | None = None

    noise: str | tuple[str, ...] = "standard"
    levels: dict[str, float] | None = None
    n_hits: int | None = None

    references: bool = True
    order: int = 1
    n_bins: int = 16

    def __post_init__(self) -> None:
        """Fill in what is left out and check all parameters."""
        for name in ("n_integrations", "n_groups"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(self.setup, name))
        single = isinstance(self.events, Event)
        object.__setattr__(self, "events", (self.events,) if single else tuple(self.events))
        check(self)
        check_saturation(self)

    # ------------------------------------------------------------------ parts

    @cached_property
    def sources(self) -> frozenset[str]:
        """Sources of noise that are on."""
        return chosen(self.noise)

    @cached_property
    def setup(self) -> Setup:
        """Subarray, optics and electronics of the mode."""
        choice = Choice(self.subarray, self.detector, self.filter, self.n_outputs, self.pupil)
        own = setup(self.mode, choice)
        return own if self.levels is None else with_levels(own, self.levels)

    @property
    def instrument(self) -> str:
        """Name of the instrument."""
        return modes.get(self.mode).instrument

    @property
    def readout_pattern(self) -> str:
        """Name of the read-out pattern."""
        return self.setup.pattern if self.read_pattern is None else self.read_pattern

    @cached_property
    def clock(self) -> Clock:
        """Times of the exposure."""
        frames = pattern(self.instrument, self.readout_pattern)
        own = self.setup.readout
        return Clock(own, self.n_integrations, self.n_groups, self.start, *frames)

    @property
    def motion_seed(self) -> int:
        """Seed of the telescope's motion."""
        return self.seed if self.telescope_seed is None else self.telescope_seed

    @property
    def star_temperature(self) -> float:
        """Temperature of the star, K; the mode's own where its spectrum is given."""
        if self.star is None or isinstance(self.star, xr.DataArray):
            return self.setup.star_temperature
        return float(self.star)

    @cached_property
    def stellar_photons(self) -> Function:
        """Function of wavelength, um, ascending: photons per unit wavelength, unscaled."""
        return star_function(self.star, self.setup.star_temperature)

    def moment(self, part: float) -> float:
        """Return the time at a fraction of the exposure, BMJD_TDB, d: 0 start, 1 end."""
        first, last = self.clock.tdb(0.0)[0], self.clock.tdb(1.0)[-1]
        return float(first + part * (last - first))

    @cached_property
    def scene(self) -> Scene:
        """The light on the detector."""
        return build_scene(self) if self.frame is None else frame_scene(self)

    @property
    def component(self) -> Component:
        """The light of the order that spectra and truth describe."""
        return self.scene.of_order(self.order)

    @property
    def wavelength(self) -> np.ndarray:
        """Wavelengths of that order, ascending, (wavelength,) um."""
        return self.component.wavelength

    @cached_property
    def _systems(self) -> dict[int, System]:
        return build_systems(self)

    def system(self, component: Component) -> System:
        """Return star and planet at the wavelengths of one component."""
        return self._systems[component.order]

    @property
    def planet(self) -> Planet:
        """The planet in the order that spectra and truth describe."""
        return self.system(self.component).planet

    @cached_property
    def motion(self) -> Motion:
        """Where the light falls during each read."""
        return motion(self)

    @cached_property
    def maps(self) -> Detector:
        """Static properties of the pixels."""
        return build_detector(self.setup, self.seed, self.sources)

    @cached_property
    def rays(self) -> CosmicRays:
        """Cosmic rays, integration by integration."""
        fixed = self.n_hits
        if fixed is None and "hits" not in self.sources:
            fixed = 0
        large = "snowballs" in self.sources
        return CosmicRays(self.setup, self.clock, self.seed, fixed, snowballs=large)

    @property
    def hits(self) -> Hits:
        """Cosmic rays of the whole exposure."""
        return self.rays.all()

    @cached_property
    def read_offset(self) -> np.ndarray:
        """Delay of each pixel within a frame, (y, x) float32 s."""
        return (self.setup.readout.ticks * 1e-5).astype(np.float32)

    def replace(self, **changes: Any) -> Exposure:
        """Return the same exposure with other values of some parameters."""
        return replace(self, **changes)
