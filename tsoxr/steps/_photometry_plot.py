"""The panels of the picture of `photometry`: image, curve of growth, light curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import dq, history
from tsoxr.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["curve", "growth", "image"]

MARGIN = 1.15
"""What is shown reaches so far beyond aperture or annulus."""
WIDEST = 3.0
"""And at most to so many radii of the aperture."""


def _number(ds: xr.Dataset, name: str) -> float:
    return float(ds[name])


def _used(ds: xr.Dataset) -> dict[str, object]:
    """Return the parameters with which the step was called."""
    done = [r for r in history.records(ds.attrs) if r["step"] == "photometry"]
    return dict(done[-1]["params"]) if done else {}


def _shape(ds: xr.Dataset) -> str:
    shape = str(_used(ds).get("shape", "auto"))
    if shape != "auto":
        return shape
    return "frame" if _number(ds, "photometry_whole") else "circle"


def image(ax: Axes, ds: xr.Dataset) -> Axes:
    """Draw the median image with aperture, annulus and the centroids about their mean."""
    y, x, radius = (_number(ds, f"aperture_{n}") for n in ("y", "x", "radius"))
    seen = ds["photometry_image"]
    seen = seen.assign_coords(
        {d: np.arange(seen.sizes[d]) for d in ("y", "x") if d not in ds.coords}
    )
    shown = np.where(seen.values == 0.0, np.nan, seen.values)
    low, high = style.robust_limits(shown, 5, 99.9)
    floor = np.nanmedian(shown) if low < 0.0 else low
    label = style.label_of(seen, "median rate")
    style.image(
        ax, shown - min(floor, 0.0), extent=style.edges(seen), label=label, faint=True,
        limits=(max(low, 0.0), high),
    )  # fmt: skip
    ax.set_aspect("equal")
    shape = _shape(ds)
    rings = [(radius, "-")] if shape == "circle" else []
    inner, outer = _number(ds, "annulus_inner"), _number(ds, "annulus_outer")
    rings += [(r, "--") for r in (inner, outer) if np.isfinite(r)]
    turn = np.linspace(0.0, 2.0 * np.pi, 200)
    for r, line in rings:
        ax.plot(x + r * np.sin(turn), y + r * np.cos(turn), line, lw=1.2, color="white")
    if shape == "hexagon":
        corner = np.radians(float(_used(ds).get("rotation", 0.0))) + np.pi / 3 * np.arange(7)
        ax.plot(x + radius * np.sin(corner), y + radius * np.cos(corner), lw=1.2, color="white")
    _window(ax, ds, y, x, radius if shape == "frame" else max(radius, np.nan_to_num(outer)))
    ax.set(xlabel="x [pix]", ylabel="y [pix]")
    ax.set_title(_title(ds, shape, radius, inner, outer), fontsize=9)
    _centroids(ax, ds)
    return ax


def _title(ds: xr.Dataset, shape: str, radius: float, inner: float, outer: float) -> str:
    text = "all pixels" if shape == "frame" else f"{shape} of {radius:.1f} pixels"
    text += ", weighted" if _number(ds, "photometry_optimal") else ""
    if not np.isfinite(inner):
        return f"{text}, no background subtracted"
    kind = "" if _number(ds, "photometry_follows") else ", level constant in time"
    return f"{text}, annulus {inner:.0f} to {outer:.0f}{kind}"


def _window(ax: Axes, ds: xr.Dataset, y: float, x: float, reach: float) -> None:
    """Show the aperture and as much of the annulus as leaves it large enough to be seen."""
    far = MARGIN * min(reach, WIDEST * _number(ds, "aperture_radius") + 5.0)
    left, right, bottom, top = style.edges(ds["photometry_image"])
    ax.set_xlim(max(x - far, left), min(x + far, right))
    ax.set_ylim(max(y - far, bottom), min(y + far, top))


def _centroids(ax: Axes, ds: xr.Dataset) -> None:
    """Draw the centroids in a small panel, as their motion is far below a pixel."""
    if "centroid_y" not in ds.coords:
        return
    y, x = (1e3 * (np.asarray(ds[n]) - np.nanmedian(ds[n])) for n in ("centroid_y", "centroid_x"))
    if not (np.isfinite(y) & np.isfinite(x)).any():
        return
    small = ax.inset_axes((0.68, 0.02, 0.3, 0.3))
    small.scatter(x, y, c=style.hours(ds), s=3, cmap="plasma", lw=0)
    reach = max(*(np.abs(style.robust_limits(v)).max() for v in (y, x)))
    small.set(
        xlim=(-1.3 * reach, 1.3 * reach), ylim=(-1.3 * reach, 1.3 * reach), xticks=[], yticks=[]
    )
    half = f"{1.3 * reach:.0f}" if reach > 10.0 else f"{1.3 * reach:.1f}"
    small.set_title(f"+-{half} mpix", fontsize=7, color="white", pad=2)
    small.set_aspect("equal")


def growth(ax: Axes, ds: xr.Dataset) -> Axes:
    """Draw the light within each radius, and the predicted error of the sum."""
    radii = np.asarray(ds["radius"])
    ax.plot(radii, ds["photometry_growth"], color=style.COLORS["data"], lw=1.2)
    ax.set(xlabel="radius [pix]", ylabel="light within the radius", ylim=(0.0, None))
    beside = ax.twinx()
    error = 1e6 * np.asarray(ds["photometry_growth_error"])
    beside.plot(radii, error, color=style.COLORS["model"], lw=1.2)
    beside.set_ylabel("predicted error of a plain sum [ppm]", color=style.COLORS["model"])
    least = np.nanmin(error) if np.isfinite(error).any() else 1.0
    beside.set_ylim(0.9 * least, 3.0 * least)
    text = "curve of growth of circles"
    if _shape(ds) != "frame":
        ax.axvline(_number(ds, "aperture_radius"), color=style.COLORS["after"], lw=1.0)
        text = "curve of growth; the aperture is the vertical line"
    ax.set_title(text, fontsize=9)
    return ax


def curve(ax: Axes, ds: xr.Dataset) -> Axes:
    """Draw the light curve with its error bars."""
    style.shade_transit(ax, ds)
    usable = ~np.asarray(dq.has_flag(ds["dq"].isel(wavelength=0), "DO_NOT_USE"))
    hours, flux, error = (
        style.hours(ds),
        *(np.asarray(ds[n].isel(wavelength=0)) for n in ("flux", "flux_error")),
    )
    ax.errorbar(
        hours[usable], flux[usable], error[usable], fmt=".", ms=4, lw=0.8,
        color=style.COLORS["data"], ecolor=style.COLORS["before"],
    )  # fmt: skip
    units = ds["flux"].attrs.get("units")
    ax.set_xlabel("time since start [h]")
    ax.set_ylabel(style.label_of(ds["flux"], "relative flux" if units == "1" else None))
    ax.set_title(
        f"scatter from point to point {_number(ds, 'photometry_scatter'):.2f} times the error",
        fontsize=9,
    )
    return ax
