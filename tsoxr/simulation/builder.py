"""A simulated exposure: its parameters, and the parts that they make up.

`Exposure` is immutable and lazy: it holds numbers, builds clock, scene, planet and detector
when they are first needed, and draws ramps only when asked. What is drawn depends on the
parameters alone, never on the order in which products are asked for.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import modes
from tsoxr.simulation.checks import check, warn_of_saturation
from tsoxr.simulation.clock import SECONDS_PER_DAY, Clock
from tsoxr.simulation.detector import Detector, build_detector
from tsoxr.simulation.hits import CosmicRays, Hits
from tsoxr.simulation.instruments import Choice, Setup, with_levels
from tsoxr.simulation.noise import chosen
from tsoxr.simulation.patterns import pattern
from tsoxr.simulation.planet import Planet, default_limb_darkening, default_period, radius_on
from tsoxr.simulation.scene import Component, Scene, build_scene, photons
from tsoxr.simulation.setups import setup
from tsoxr.simulation.telescope import Motion, motion

__all__ = ["KINDS", "Exposure", "exposure", "simulate"]

KINDS = ("ramps", "rates", "spectra", "lightcurves", "truth")

TRANSIT_SHARE = 0.4
"""Part of the exposure that the default transit fills."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Exposure:
    """One simulated exposure of a star with a transiting planet.

    Parameters
    ----------
    mode : str
        Observing mode; one of ``tsoxr.simulation.SETUPS``.
    seed : int
        Seed of all random numbers. The same seed gives the same bytes.
    subarray, detector, filter : str, optional
        What the mode offers, by the names in the headers; the mode's own where left out.
    n_outputs : int, optional
        Amplifiers that read the subarray, for NIRCam.
    read_pattern : str, optional
        Read-out pattern, such as ``"SHALLOW4"``; every frame a group where left out.
    order : int
        Spectral order that spectra, light curves and the truth describe.
    n_integrations, n_groups : int, optional
        Length of the exposure and of an integration; the mode's own where left out.
    brightness : float
        Brightness of the star; 1 fills 60% of the well in the brightest pixel at the last
        group of the mode's own integration.
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
    limb_darkening : tuple of float, optional
        Quadratic coefficients u1, u2 at all wavelengths; a sun-like star where left out.
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
    start : float
        Start of the exposure, MJD UTC.
    references : bool
        Attach the true gain, read noise, saturation, superbias, linearity, dark and flat to
        ramps and flag the bad pixels. False leaves ramps as a raw file has them.
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
    n_outputs: int | None = None
    read_pattern: str | None = None
    order: int = 1
    n_integrations: int = None  # type: ignore[assignment] # filled in from the mode
    n_groups: int = None  # type: ignore[assignment] # filled in from the mode
    brightness: float = 1.0
    radius_ratio: float | np.ndarray | xr.DataArray = 0.1
    feature_depth: float = 500.0
    period: float | None = None
    t0: float | None = None
    a_over_rs: float = 10.0
    inclination: float = 88.5
    limb_darkening: tuple[float, float] | None = None
    noise: str | tuple[str, ...] = "standard"
    levels: dict[str, float] | None = None
    n_hits: int | None = None
    start: float = 60200.0
    references: bool = True
    n_bins: int = 16

    def __post_init__(self) -> None:
        """Fill in the mode's own lengths and check all parameters."""
        for name in ("n_integrations", "n_groups"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(self.setup, name))
        check(self)
        warn_of_saturation(self)

    # ------------------------------------------------------------------ parts

    @cached_property
    def sources(self) -> frozenset[str]:
        """Sources of noise that are on."""
        return chosen(self.noise)

    @cached_property
    def setup(self) -> Setup:
        """Subarray, optics and electronics of the mode."""
        choice = Choice(self.subarray, self.detector, self.filter, self.n_outputs)
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

    def stellar_photons(self, wavelength: np.ndarray) -> np.ndarray:
        """Return the star's photons per unit wavelength, unscaled; ``wavelength`` in um."""
        return photons(wavelength, self.setup.star_temperature)

    @cached_property
    def scene(self) -> Scene:
        """The light on the detector."""
        return build_scene(self)

    @property
    def component(self) -> Component:
        """The light of the order that spectra and truth describe."""
        return self.scene.of_order(self.order)

    @property
    def wavelength(self) -> np.ndarray:
        """Wavelengths of that order, ascending, (wavelength,) um."""
        return self.component.wavelength

    @cached_property
    def _systems(self) -> dict[int, Planet]:
        first = self.scene.components[0].wavelength
        radius = radius_on(first, self.radius_ratio, self.feature_depth)
        middle = 0.5 * (self.clock.tdb(0.0)[0] + self.clock.tdb(1.0)[-1])
        period = self.period
        if period is None:
            duration = TRANSIT_SHARE * self.clock.exposure_time / SECONDS_PER_DAY
            period = default_period(
                duration, self.a_over_rs, self.inclination, float(radius.mean())
            )
        known = radius
        if np.ndim(self.radius_ratio) == 0 or isinstance(self.radius_ratio, xr.DataArray):
            known = None
        out = {}
        for each in self.scene.components:
            wave = each.wavelength
            if known is not None:
                radius = np.interp(wave, first, known)
            else:
                radius = radius_on(wave, self.radius_ratio, self.feature_depth)
            if self.limb_darkening is None:
                u1, u2 = default_limb_darkening(wave)
            else:
                u1, u2 = (np.full(wave.shape, float(u)) for u in self.limb_darkening)
            out[each.order] = Planet(
                period=period,
                t0=middle if self.t0 is None else self.t0,
                a_over_rs=self.a_over_rs,
                inclination=self.inclination,
                radius_ratio=radius,
                u1=u1,
                u2=u2,
            )
        return out

    def system(self, component: Component) -> Planet:
        """Return star and planet at the wavelengths of one component."""
        return self._systems[component.order]

    @property
    def planet(self) -> Planet:
        """The transit in the order that spectra and truth describe."""
        return self.system(self.component)

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
        return CosmicRays(self.setup, self.clock, self.seed, fixed)

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

    # --------------------------------------------------------------- products

    def ramps(self) -> xr.Dataset:
        """Return raw ramps (time, group, y, x), DN: uint16, float32 without quantization."""
        from tsoxr.simulation import products

        return products.ramps(self)

    def rates(self) -> xr.Dataset:
        """Return count rates (time, y, x), DN s-1, drawn without ramps."""
        from tsoxr.simulation import products

        return products.rates(self)

    def spectra(self) -> xr.Dataset:
        """Return spectra (time, wavelength), electron s-1, drawn without rates."""
        from tsoxr.simulation import spectral

        return spectral.spectra(self)

    def lightcurves(self) -> xr.Dataset:
        """Return relative light curves (time, wavelength) of ``n_bins`` bins."""
        from tsoxr.simulation import spectral

        return spectral.lightcurves(self)

    def truth(self, *, stripes: bool = True) -> xr.Dataset:
        """Return what was put in: light curves, spectrum, trace, hits, noise.

        Parameters
        ----------
        stripes : bool
            Add the level of every line of every group, which means to draw the 1/f noise.
        """
        from tsoxr.simulation import truth

        return truth.truth(self, stripes=stripes)

    def hit_mask(self) -> xr.DataArray:
        """Return True where charge of a hit first appears, (time, group, y, x) bool."""
        from tsoxr.simulation import truth

        return truth.hit_mask(self)

    def write(self, folder: str | Path, n_segments: int = 1) -> list[Path]:
        """Write raw FITS segments and ``truth.nc``, one integration in memory at a time.

        The truth is written without the stripes, which would be as long as the data. Files
        are 16 bit also without ``"quantization"``; without ``"bias"`` negative noise is lost.

        Parameters
        ----------
        folder : str or Path
            Made where it does not exist.
        n_segments : int
            Number of files that the integrations are shared among.

        Returns
        -------
        list of Path
            The FITS files, in order of time.
        """
        from tsoxr.simulation import write

        return write.write_segments(self, Path(folder), n_segments)

    def write_references(self, folder: str | Path) -> list[Path]:
        """Write the detector's true properties as reference files in the JWST layout."""
        from tsoxr.simulation import write_references

        return write_references.write_references(self, Path(folder))


def exposure(mode: str, *, seed: int = 0, **parameters: Any) -> Exposure:
    """Return a simulated exposure, from which products are drawn.

    Parameters
    ----------
    mode : str
        Observing mode.
    seed : int
        Seed of all random numbers.
    **parameters
        Parameters of `Exposure`.

    Returns
    -------
    Exposure

    Raises
    ------
    TypeError
        For a parameter that does not exist; the message names the nearest one.

    Examples
    --------
    >>> from tsoxr.simulation import exposure
    >>> each = exposure("nirspec-prism", seed=1, n_integrations=4, noise=("photon", "read"))
    >>> each.ramps().sizes["group"]
    5
    """
    allowed = [f.name for f in fields(Exposure) if f.name not in ("mode", "seed")]
    for name in parameters:
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f"did you mean {near[0]!r}" if near else f"it takes {', '.join(allowed)}"
            raise TypeError(f"simulate() has no parameter {name!r}; {hint}")
    return Exposure(mode=mode, seed=seed, **parameters)


def simulate(mode: str, *, kind: str = "ramps", seed: int = 0, **parameters: Any) -> xr.Dataset:
    """Return simulated data of an observing mode, with a known answer.

    Parameters
    ----------
    mode : str
        Observing mode, such as ``"nirspec-prism"`` or ``"miri-lrs"``.
    kind : {"ramps", "rates", "spectra", "lightcurves", "truth"}
        Product. Each is drawn at its own level with the noise that the one before would
        leave in it; ``truth`` holds what was put in.
    seed : int
        Seed of all random numbers; the same seed describes the same exposure at each level.
    **parameters
        Parameters of `tsoxr.simulation.Exposure`, such as ``n_integrations``, ``n_groups``,
        ``radius_ratio``, ``brightness`` or ``noise``.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    ModeError
        For a mode that is unknown or not simulated.
    ValueError
        For an unknown kind, or a value that makes no sense.
    TypeError
        For a parameter that does not exist.

    Examples
    --------
    >>> import tsoxr
    >>> spectra = tsoxr.simulate("miri-lrs", kind="spectra", n_integrations=20, seed=3)
    >>> spectra["flux"].dims
    ('time', 'wavelength')
    """
    if kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, n=1)
        hint = f"did you mean {near[0]!r}" if near else f"it makes {', '.join(KINDS)}"
        raise ValueError(f"simulate: no product is called {kind!r}; {hint}")
    return getattr(exposure(mode, seed=seed, **parameters), kind)()
