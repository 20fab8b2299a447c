"""A transit in data that exist, real or simulated.

The transit takes from each interval between groups the light that the planet hides,

    R'_g = R_g - sum_{k <= g} (1 - F(t_k)) S_k,

with the relative flux F at the middle of interval k, at each pixel's own time and wavelength,
and S_k the star's light in that interval: the median over a sample of the integrations of the
difference of the groups, less a background if one is given. The first interval, from the reset
to the first group, takes the slope of the second. Rates lose their own median in the same way.

What is not exact: the photon noise of the light taken away stays in the data (higher by half
the depth); S is measured to one part in the signal-to-noise ratio of the median pixel; a
transit or a trend that the data show already is in the median too; where the response bends,
the ramp is lower and the slope there a little higher, a relative change of 2 a D of the depth
for a response ``D + a D^2`` (1e-2 of the depth near saturation; inject into linearized ramps
to be rid of it); a saturated pixel stays saturated by its flags alone. Light of contaminants
counts as the star's.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, lazy, schema
from tsoxr.errors import TsoError
from tsoxr.kernels.transit import projected_separation, quadratic_transit
from tsoxr.simulation.clock import SECONDS_PER_DAY
from tsoxr.simulation.injection import NAMES, fitted, plain, product, recorded
from tsoxr.simulation.planet import Spectral, over_wavelength

__all__ = ["inject_transit"]

MOST_MOMENTS = 8
"""Moments within the slope of a rate at which the flux is evaluated, at most."""


def inject_transit(
    ds: xr.Dataset,
    *,
    radius_ratio: Spectral,
    t0: float,
    period: float,
    a_over_rs: float,
    inclination: float,
    limb_darkening: tuple[Spectral, Spectral] = (0.1, 0.1),
    wavelength: xr.DataArray | np.ndarray | None = None,
    background: xr.DataArray | float = 0.0,
) -> xr.Dataset:
    """Return the data as if a planet had crossed the star.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps, ``ramp`` (time, group, y, x) DN, or rates, ``rate`` (time, y, x) DN/s; lazy or
        not. Ramps hold two groups or more.
    radius_ratio : float or DataArray
        Rp/Rs, one number or over ``wavelength``, um.
    t0, period : float
        Mid-transit in the scale of ``time`` (BMJD_TDB unless it says otherwise) and orbital
        period, d.
    a_over_rs, inclination : float
        Radius of the circular orbit, stellar radii, and its inclination, degrees.
    limb_darkening : pair of float or DataArray
        Quadratic coefficients u1 and u2.
    wavelength : array or DataArray (y, x), optional
        Wavelength of each pixel, um; the ``wavelength`` of ``ds`` where left out. Pixels
        without one keep their light. Needed where radius or limb darkening depend on it.
    background : float or DataArray (y, x)
        Light that is not the star's, DN/s.

    Returns
    -------
    xarray.Dataset
        As ``ds``, with the same types, lazy where it was. Adds ``injected_flux`` (time), or
        (time, injected_wavelength) at the wavelengths of ``radius_ratio`` or of the limb
        darkening: the relative flux, mean from first to last group, at the first pixel. Attribute ``injected`` holds the parameters, JSON.

    Raises
    ------
    TsoError
        For another kind of data, a single group, a missing wavelength, or data that hold an
        injected transit already.
    ValueError
        For a radius that is negative, or values that are not finite.
    """
    kind = product(ds, "inject_transit")
    if "injected_flux" in ds:
        raise TsoError(
            "inject_transit: the data hold an injected transit; inject into those without it"
        )
    given = {
        "radius_ratio": radius_ratio, "t0": t0, "period": period, "a_over_rs": a_over_rs,
        "inclination": inclination, "limb_darkening": limb_darkening,
    }  # fmt: skip
    planet = _planet(given)
    name = NAMES[kind]
    dims = ("time", "group", "y", "x") if kind == "ramps" else ("time", "y", "x")
    moments = _moments(ds, kind)
    wave = _wavelengths(ds, wavelength, chromatic=planet.grid is not None)
    data = ds[name].transpose(*dims).reset_coords(drop=True)
    static = (*dims[1:],)
    start = xr.DataArray(ds["time"].values - moments.middle / SECONDS_PER_DAY, dims="time")
    star = lazy.static_from_sample(
        _Star(kind, moments), data, xr.DataArray(background), _flags(ds, kind), dims=static
    )
    (made,) = chunks.per_chunk(
        _Dim(planet, moments, kind), data, start, star, wave, _offset(ds),
        dims=dims, dtypes=(str(data.dtype),),
    )  # fmt: skip
    made = schema.label(made.transpose(*ds[name].dims), kind, name, **ds[name].attrs)
    out = ds.assign({name: made, "injected_flux": _injected_flux(ds, planet, moments)})
    return out.assign_attrs(recorded(ds, "inject_transit", given))


@dataclass(frozen=True, eq=False)
class _Orbit:
    """A planet; ``grid`` (wavelength,) um are the wavelengths that it is given at, or None."""

    period: float
    t0: float
    a_over_rs: float
    inclination: float
    functions: tuple[Any, Any, Any]
    grid: np.ndarray | None

    def separation(self, time: np.ndarray) -> np.ndarray:
        return projected_separation(time, self.period, self.t0, self.a_over_rs, self.inclination)

    def at(self, wavelength: np.ndarray) -> list[np.ndarray]:
        """Return radius ratio, u1 and u2 at wavelengths, um."""
        return [np.broadcast_to(f(wavelength), wavelength.shape) for f in self.functions]


@dataclass(frozen=True, eq=False)
class _Moments:
    """When light arrives, seconds since reset of the first pixel.

    ``middle`` of the integration; ``intervals`` (interval,) middles of the intervals that end
    with each group, or of parts of the slope of a rate; ``slope`` those that the slope sees;
    ``first`` the time to the first group relative to the interval between groups.
    """

    middle: float
    intervals: np.ndarray
    slope: np.ndarray
    first: float


def _planet(given: dict[str, Any]) -> _Orbit:
    for name in ("t0", "period", "a_over_rs", "inclination"):
        if not (isinstance(given[name], Real) and np.isfinite(given[name])):
            raise ValueError(f"inject_transit: {name} is {given[name]!r}; it must be a number")
    for name in ("period", "a_over_rs"):
        if not given[name] > 0:
            raise ValueError(f"inject_transit: {name} is {given[name]}; it must be positive")
    values = (given["radius_ratio"], *given["limb_darkening"])
    if not np.all(np.asarray(values[0]) >= 0):
        raise ValueError("inject_transit: radius_ratio is negative or no number; 0 or more will do")
    spectral = [v for v in values if isinstance(v, xr.DataArray) and "wavelength" in v.coords]
    nothing = np.empty(0)
    names = ("radius_ratio", "u1", "u2")
    functions = tuple(over_wavelength(n, v, nothing) for n, v in zip(names, values, strict=True))
    orbit = (given[n] for n in ("period", "t0", "a_over_rs", "inclination"))
    grid = np.sort(spectral[0]["wavelength"].values.astype(float)) if spectral else None
    return _Orbit(*orbit, functions=functions, grid=grid)


def _moments(ds: xr.Dataset, kind: str) -> _Moments:
    frame = float(ds.attrs.get("frame_time", 0.0))
    interval = float(ds.attrs.get("group_interval", 0.0))
    n_frames = int(ds.attrs.get("n_frames", 1))
    n_groups = int(ds.sizes["group"] if kind == "ramps" else ds.attrs.get("n_groups", 1))
    if kind == "ramps" and (n_groups < 2 or interval <= 0):
        raise TsoError(
            f"inject_transit: the ramps have {n_groups} group and group_interval {interval}; it "
            "needs 2 groups or more, a known interval apart"
        )
    group = 0.5 * (n_frames + 1) * frame + interval * np.arange(n_groups)
    end = group[-1] + 0.5 * (n_frames - 1) * frame
    if kind == "ramps":
        edges = np.concatenate([[0.0], group])
        intervals = 0.5 * (edges[1:] + edges[:-1])
        slope = intervals[1:]
    else:
        n = min(max(n_groups - 1, 1), MOST_MOMENTS)
        intervals = group[0] + (group[-1] - group[0]) * (np.arange(n) + 0.5) / n
        slope = intervals
    first = group[0] / interval if interval > 0 else 1.0
    return _Moments(0.5 * end, intervals, slope, first)


def _wavelengths(
    ds: xr.Dataset, given: xr.DataArray | np.ndarray | None, *, chromatic: bool
) -> xr.DataArray:
    shape = (ds.sizes["y"], ds.sizes["x"])
    if given is None and "wavelength" in ds.variables and set(ds["wavelength"].dims) == {"y", "x"}:
        given = ds["wavelength"]
    if given is None:
        if chromatic:
            raise TsoError(
                "inject_transit: the transit depends on wavelength and the data have none; run "
                "assign_wavelength, or pass wavelength= (y, x) in um"
            )
        return xr.DataArray(np.ones(shape), dims=("y", "x"))
    if isinstance(given, xr.DataArray):
        given = plain(given.transpose("y", "x"))  # fmt: skip
    else:
        given = xr.DataArray(np.asarray(given, dtype=float), dims=("y", "x"))
    if given.shape != shape:
        raise ValueError(
            f"inject_transit: wavelength has shape {given.shape}; the data have {shape}"
        )
    return given


def _offset(ds: xr.Dataset) -> xr.DataArray:
    """Return the delay of each pixel within a frame, (y, x) s; 0 where it is not known."""
    if "read_offset" in ds.variables:
        offset = plain(ds["read_offset"])
        if offset.ndim == 2:
            return offset.transpose("y", "x")
    return xr.DataArray(np.zeros((ds.sizes["y"], ds.sizes["x"]), "f4"), dims=("y", "x"))


def _flags(ds: xr.Dataset, kind: str) -> xr.DataArray:
    """Return True where a pixel sees no light, (y, x) or scalar."""
    if kind == "ramps" and "dq_pixel" in ds:
        flags = dq.has_flag(ds["dq_pixel"], "REFERENCE_PIXEL")
        return plain(flags)
    return xr.DataArray(False)


@dataclass(frozen=True, eq=False)
class _Star:
    """The star's light in each interval, from a sample: DN for ramps, DN/s for rates."""

    kind: str
    moments: _Moments

    def __call__(self, data: np.ndarray, background: np.ndarray, blind: np.ndarray) -> np.ndarray:
        if self.kind == "rates":
            light = np.nanmedian(data.astype(np.float32), axis=0) - background
        else:
            steps = np.diff(data.astype(np.float32), axis=1)
            step = np.nanmedian(steps, axis=0) - background * self._interval
            light = np.concatenate([self.moments.first * step[:1], step])
        return np.where(blind | ~np.isfinite(light), 0.0, light)

    @property
    def _interval(self) -> float:
        return float(np.diff(self.moments.intervals)[-1])


@dataclass(frozen=True, eq=False)
class _Dim:
    """Take the light that the planet hides from one chunk."""

    planet: _Orbit
    moments: _Moments
    kind: str

    def __call__(
        self,
        data: np.ndarray,
        start: np.ndarray,
        star: np.ndarray,
        wavelength: np.ndarray,
        offset: np.ndarray,
    ) -> tuple[np.ndarray]:
        out = data.copy()
        lit = np.isfinite(wavelength)
        radius, u1, u2 = self.planet.at(np.where(lit, wavelength, 1.0))
        reach = 1.0 + radius.max()
        delay = np.where(lit, offset, 0.0) / SECONDS_PER_DAY
        edges = np.array([delay.min(), 0.5 * (delay.min() + delay.max()), delay.max()])
        for index, begin in enumerate(start):  # integrations: one frame of flux at a time
            times = begin + self.moments.intervals / SECONDS_PER_DAY
            if (self.planet.separation(times[:, None] + edges) > reach).all():
                continue
            lost = [self._hidden(time + delay, radius, u1, u2) * lit for time in times]
            out[index] = self._less(data[index], lost, star)
        return (out,)

    def _hidden(self, time: np.ndarray, *shape: np.ndarray) -> np.ndarray:
        return 1.0 - quadratic_transit(self.planet.separation(time), *shape)

    def _less(self, data: np.ndarray, lost: list[np.ndarray], star: np.ndarray) -> np.ndarray:
        if self.kind == "rates":
            return (data - np.mean(lost, axis=0) * star).astype(data.dtype)
        return fitted(data - np.cumsum(np.array(lost) * star, axis=0), data.dtype)


def _injected_flux(ds: xr.Dataset, planet: _Orbit, moments: _Moments) -> xr.DataArray:
    """Return the mean over the intervals of the slope, at the first pixel."""
    time = ds["time"].values + (moments.slope[:, None] - moments.middle) / SECONDS_PER_DAY
    attrs = {"long_name": "relative flux of the injected transit", "units": "1"}
    separation = planet.separation(time)
    if planet.grid is None:
        shape = [float(f(np.ones(1))[0]) for f in planet.functions]
        flux = quadratic_transit(separation, *shape).mean(axis=0)
        return xr.DataArray(flux, dims="time", attrs=attrs)
    flux = quadratic_transit(separation[..., None], *planet.at(planet.grid)).mean(axis=0)
    about = {"long_name": "wavelength of the injected transit", "units": "um"}
    wave = xr.Variable("injected_wavelength", planet.grid, about)
    coords = {"injected_wavelength": wave}
    return xr.DataArray(flux, dims=("time", "injected_wavelength"), coords=coords, attrs=attrs)
