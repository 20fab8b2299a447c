"""Bin spectra into light curves.

Each bin is the plain sum of the electrons in it, the best estimator where photon noise
rules, with parts of pixels at its edges, so that any edges conserve the flux. The curves
are divided by their median out of transit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.kernels import grids
from tsoxr.plots import style
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import _light_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["bin"]

RESOLUTION = 100.0
"""The grid on which most transmission spectra from JWST are published and compared."""

MIN_PIXELS = 2.0
"""Bins of the default grid are no narrower: neighbours would share most of their pixels."""

COVERED = 0.99
"""Part of a bin that pixels must cover for it to be made."""


@step(
    kind="spectra",
    to="lightcurves",
    needs=("flux", "flux_error", "dq"),
    adds=("wavelength_bounds",),
)
def bin(  # noqa: A001 -- the verb of the field; nobody needs binary literals here
    ds: xr.Dataset,
    *,
    edges: Sequence[float] | np.ndarray | None = None,
    width: float | None = None,
    resolution: float | None = None,
    n_pixels: int | None = None,
    normalize: bool = True,
) -> xr.Dataset:
    """Sum the spectra in bins of wavelength: light curves.

    Give one of ``edges``, ``width``, ``resolution`` and ``n_pixels``. Without any, bins have
    a resolution of 100, but hold two pixels at least. Grids of width and resolution do not
    depend on the data: exposures, detectors and modes binned alike share their edges.

    Parameters
    ----------
    ds : xarray.Dataset
        Spectra with ``flux``, ``flux_error`` and ``dq`` (time, wavelength).
    edges : array, optional
        Edges of neighbouring bins, or lower and upper limit of each, (bin, 2), um.
    width : float, optional
        Width of all bins, um; edges lie at its multiples.
    resolution : float, optional
        Wavelength over width of all bins.
    n_pixels : int, optional
        Whole pixels in each bin, counted from the blue end; a rest is left over.
    normalize : bool
        Divide each curve by its median (of the integrations out of transit, where
        ``in_transit`` tells them).

    Returns
    -------
    xarray.Dataset
        Light curves: ``flux`` and ``flux_error`` (time, wavelength), float64, relative;
        ``dq``; coordinates ``wavelength`` (centres) and ``wavelength_bounds``, um,
        ``read_offset`` and ``slope_delay`` weighted with the flux, and all covariates. Points left out make no
        dip: the median spectrum says what they would have held; they are flagged
        FLUX_ESTIMATED, and DO_NOT_USE where less than half of the flux remains. Adds
        ``bin_scatter`` (wavelength), scatter from point to point over error.

    Raises
    ------
    ValueError
        For more than one of the four, values out of range, or bins without pixels.

    Notes
    -----
    F = sum_u(p f) / sum_u(p m) over the usable pixels u, p the part of the pixel inside the
    bin, m the median spectrum; weights do not depend on time. Errors add in quadrature, but
    for their part that all wavelengths share (``level_error``), which adds linearly. Pixels
    are taken to be independent; bins that share a pixel at their edge are correlated by it.

    Examples
    --------
    >>> import tsoxr
    >>> spectra = tsoxr.simulate("nirspec-prism", kind="spectra", n_integrations=20, seed=1)
    >>> spectra.tso.bin(width=0.5).wavelength.values[:3]
    array([0.75, 1.25, 1.75])
    """
    given = {"edges": edges, "width": width, "resolution": resolution, "n_pixels": n_pixels}
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) > 1:
        raise ValueError(f"bin: {' and '.join(chosen)} are given; give one of {', '.join(given)}")
    lower, upper = _light_curves.limits(ds)
    if not chosen:
        derived(resolution=RESOLUTION)
        bounds = _default(lower, upper)
    elif edges is not None:
        bounds = _explicit(np.asarray(edges, dtype=np.float64), lower, upper)
    else:
        bounds = _regular(chosen[0], float(given[chosen[0]]), lower, upper)  # type: ignore[arg-type]
    _warn_of_narrow(bounds, lower, upper)
    return _light_curves.light_curves(ds, bounds, name="bin", normalize=normalize)


def _default(lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return bins of the default resolution, joined until each holds enough pixels."""
    edges = grids.edges_of_constant_resolution(lower[0], upper[-1], RESOLUTION)
    if edges.size < 2:
        return np.array([[lower[0], upper[-1]]])
    count = np.arange(lower.size + 1.0)
    position = np.interp(edges, np.append(lower, upper[-1]), count)
    kept = [0]
    for i in range(1, edges.size):
        if position[i] - position[kept[-1]] >= MIN_PIXELS:
            kept.append(i)
    if len(kept) < edges.size:
        note(
            f"bins of resolution {RESOLUTION:g} hold less than {MIN_PIXELS:g} pixels in places: joined there"
        )
    edges = edges[kept]
    return _covered(np.stack([edges[:-1], edges[1:]], axis=1), lower, upper)


def _regular(name: str, value: float, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return the bins of a regular grid that pixels cover."""
    if not value > 0 or not np.isfinite(value):
        raise ValueError(f"bin: {name}={value:g}; it must be above 0")
    if name == "n_pixels":
        if value != int(value):
            raise ValueError(f"bin: n_pixels={value:g}; it must be a whole number")
        bounds = grids.edges_of_pixels(lower, upper, int(value))
    else:
        make = (
            grids.edges_of_constant_width if name == "width" else grids.edges_of_constant_resolution
        )
        edges = make(lower[0], upper[-1], value)
        bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    bounds = _covered(bounds, lower, upper)
    if len(bounds) == 0:
        raise ValueError(
            f"bin: no bin of {name}={value:g} fits into {lower[0]:.4f} to {upper[-1]:.4f} um "
            f"({lower.size} pixels); choose narrower bins, or give edges"
        )
    return bounds


def _part_covered(bounds: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    starts, pixels, parts = grids.overlaps(lower, upper, bounds)
    length = np.append(parts * (upper - lower)[pixels], 0.0)
    return (
        np.add.reduceat(length, starts[:-1]) * (np.diff(starts) > 0) / np.diff(bounds, axis=1)[:, 0]
    )


def _covered(bounds: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    return bounds[_part_covered(bounds, lower, upper) > COVERED] if len(bounds) else bounds


def _explicit(edges: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Return the bins of edges that the caller gave; each must hold some of a pixel."""
    if edges.ndim == 1 and edges.size > 1:
        edges = np.stack([edges[:-1], edges[1:]], axis=1)
    if edges.ndim != 2 or edges.shape[1] != 2 or not np.all(edges[:, 1] > edges[:, 0]):
        raise ValueError(
            f"bin: edges of shape {edges.shape} are no bins; give increasing edges, or (bin, 2) limits "
            "with the lower one first"
        )
    bounds = edges[np.argsort(edges.mean(axis=1), kind="stable")]
    part = _part_covered(bounds, lower, upper)
    if (part <= 0).any():
        low, high = bounds[part <= 0][0]
        raise ValueError(
            f"bin: no pixel lies between {low:g} and {high:g} um; the spectra run from {lower[0]:.4f} to "
            f"{upper[-1]:.4f} um; leave this bin out"
        )
    if (part < COVERED).any():
        note(f"{int((part < COVERED).sum())} bins reach beyond the pixels that there are")
    return bounds


def _warn_of_narrow(bounds: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
    edge, count = np.append(lower, upper[-1]), np.arange(lower.size + 1.0)
    held = np.diff(np.interp(bounds, edge, count), axis=1)[:, 0]
    if (held < 1 - 1e-9).any():
        note(
            f"{int((held < 1 - 1e-9).sum())} bins are narrower than a pixel and share it with their neighbours"
        )


@diagnostic(bin)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the predicted error of each bin, and the scatter from point to point."""
    ax = style.axes(ax)
    usable = (ds["dq"] & 1) == 0
    error = 1e6 * np.asarray(ds["flux_error"].where(usable).median("time"))
    level = np.abs(np.asarray(ds["flux"].where(usable).median("time")))
    wavelength = np.asarray(ds["wavelength"])
    half = np.diff(np.asarray(ds["wavelength_bounds"]), axis=1)[:, 0] / 2
    ax.errorbar(
        wavelength,
        error / level,
        xerr=half,
        fmt="o",
        ms=4,
        color=style.COLORS["after"],
        label="predicted error",
    )
    if "bin_scatter" in ds:
        measured = error / level * np.asarray(ds["bin_scatter"])
        ax.plot(wavelength, measured, "x", color=style.COLORS["data"], label="scatter")
    ax.set_xlabel("wavelength [um]")
    ax.set_ylabel("per integration [ppm]")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    return ax
