"""What all plots share: axes on demand, labels from attributes, limits, shading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "COLORS",
    "axes",
    "density",
    "edges",
    "flag_map",
    "hours",
    "image",
    "label_of",
    "robust_limits",
    "shade_transit",
]

COLORS = {
    "data": "#333333",
    "model": "#D55E00",
    "before": "#999999",
    "after": "#0072B2",
    "good": "#009E73",
    "bad": "#CC3311",
    "transit": "#E8E8E8",
}
"""Colours that people with colour-blindness can tell apart (after Wong 2011)."""


def axes(ax: Axes | None, *, size: tuple[float, float] = (7.5, 3.4)) -> Axes:
    """Return ``ax``, or new axes on a new figure of this size (inches) where it is ``None``."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def label_of(array: xr.DataArray, name: str | None = None) -> str:
    """Return an axis label from the attributes: long name and unit."""
    text = name if name is not None else array.attrs.get("long_name", str(array.name))
    units = array.attrs.get("units", "1")
    return f"{text} [{units}]" if units not in ("1", "") else text


def robust_limits(values: Any, low: float = 1.0, high: float = 99.0) -> tuple[float, float]:
    """Return percentile limits of the finite values, never equal."""
    finite = np.asarray(values)[np.isfinite(values)]
    if finite.size == 0:
        return 0.0, 1.0
    lower, upper = np.percentile(finite, [low, high])
    return (
        (float(lower), float(upper)) if upper > lower else (float(lower) - 0.5, float(lower) + 0.5)
    )


def hours(ds: xr.Dataset | xr.DataArray) -> np.ndarray:
    """Return the time since the first integration, hours."""
    time = np.asarray(ds["time"].values, dtype=float)
    return (time - time[0]) * 24.0


def edges(ds: xr.Dataset | xr.DataArray) -> tuple[float, float, float, float]:
    """Return the outer edges (left, right, bottom, top) of a frame, detector pixels."""
    (left, right), (bottom, top) = (
        (first - 0.5, first + ds.sizes[d] - 0.5) for d in ("x", "y") for first in (float(ds[d][0]),)
    )
    return left, right, bottom, top


def shade_transit(ax: Axes, ds: xr.Dataset | xr.DataArray, *, along: str = "x") -> None:
    """Shade the time in transit, where the coordinate ``in_transit`` says so."""
    if "in_transit" not in ds.coords:
        return
    inside = np.asarray(ds["in_transit"].values, dtype=bool)
    if not inside.any():
        return
    when = hours(ds)[inside]
    span = ax.axvspan if along == "x" else ax.axhspan
    span(when.min(), when.max(), color=COLORS["transit"], zorder=0, lw=0)


def image(
    ax: Axes,
    values: Any,
    *,
    extent: tuple[float, float, float, float],
    label: str,
    signed: bool = False,
    center: float = 0.0,
    faint: bool = False,
    limits: tuple[float, float] | None = None,
) -> Any:
    """Draw a 2-D array with its origin below, robust limits and a colour bar.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    values : (row, column) array
        What to draw.
    extent : (left, right, bottom, top)
        Coordinates of the outer edges.
    label : str
        Label of the colour bar.
    signed : bool
        Diverging colours about ``center``, which is white.
    center : float
        What a good value is, for ``signed``: zero for residuals, one for ratios.
    faint : bool
        Colours grow with the root of positive values, so that wings and faint ends show.
    limits : (low, high), optional
        Colour limits; the 1st and 99th percentile if not given.

    Returns
    -------
    matplotlib.image.AxesImage
    """
    low, high = robust_limits(values) if limits is None else limits
    if signed:
        reach = max(abs(low - center), abs(high - center))
        low, high = center - reach, center + reach
    shown = ax.imshow(
        np.asarray(values),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=extent,
        cmap="RdBu_r" if signed else "viridis",
        norm=_norm(low, high, faint=faint),
    )
    ax.figure.colorbar(shown, ax=ax, label=label, pad=0.01)
    return shown


def _norm(low: float, high: float, *, faint: bool) -> Any:
    from matplotlib.colors import Normalize, PowerNorm

    if faint and high > 0.0:
        return PowerNorm(0.5, vmin=max(low, 0.0), vmax=high, clip=True)
    return Normalize(low, high)


def density(hits: xr.DataArray, *, n_cells: int = 64) -> np.ndarray:
    """Return the mean of (y, x) counts in cells (row, column): single pixels would not show."""
    hits = hits.transpose("y", "x").compute()
    size = {d: -(-n // n_cells) for d, n in hits.sizes.items()}
    return hits.astype(float).coarsen(size, boundary="pad").mean().values


def flag_map(ax: Axes, hits: xr.DataArray, *, label: str) -> Any:
    """Draw where on the detector flags lie, in cells large enough to be seen.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where to draw.
    hits : (y, x) DataArray
        Flags of each pixel, a number or a fraction.
    label : str
        Label of the colour bar.

    Returns
    -------
    matplotlib.image.AxesImage
    """
    cells = density(hits)
    extent = edges(hits)
    shown = ax.imshow(
        cells,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap="Greys",
        vmin=0.0,
        vmax=max(float(np.nanmax(cells)), 1e-12),
        interpolation="nearest",
    )
    ax.figure.colorbar(shown, ax=ax, label=label, pad=0.01)
    ax.set(xlabel="x [pix]", ylabel="y [pix]")
    return shown
