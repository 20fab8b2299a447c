"""The picture of `fit_ramps`: rates, measured over predicted noise, departure from straight ramps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw", "noise_data"]

CELLS = 128
"""Cells along each axis in which noise ratios are combined: those of single pixels scatter."""

NAMES = ("brightest 1%", "next 9%", "the rest")


def noise_data(ds: xr.Dataset) -> dict[str, np.ndarray]:
    """Return median rate, predicted and measured noise of the lit pixels (pixel,), DN s-1."""
    names = {
        "rate": "fit_ramps_rate",
        "predicted": "fit_ramps_error",
        "measured": "fit_ramps_scatter",
    }
    maps = ds[list(names.values())].compute()
    found = {short: maps[name].values.ravel() for short, name in names.items()}
    good = np.all([values > 0 for values in found.values()], axis=0)
    return {short: values[good] for short, values in found.items()}


def binned_median(x: np.ndarray, y: np.ndarray, *, n_bins: int = 24, fewest: int = 5) -> np.ndarray:
    """Return medians of x and y (2, bin) in logarithmic bins of x that hold enough points."""
    edges = np.geomspace(x.min(), x.max() * 1.001, n_bins + 1)
    bins = np.digitize(x, edges)
    full = [bins == b for b in range(1, n_bins + 1) if np.count_nonzero(bins == b) >= fewest]
    return np.array([[np.median(x[m]), np.median(y[m])] for m in full]).reshape(-1, 2).T


def draw(ds: xr.Dataset, ax: Axes | None) -> Axes | dict[str, Axes]:
    """Draw noise against rate on ``ax``; without, on a figure with images and residual ramps."""
    if ax is not None:
        return _noise(ds, ax)
    import matplotlib.pyplot as plt

    names = [["rate", "noise"], ["ratio", "residual"]]
    layout = {"layout": "constrained", "width_ratios": (1.35, 1.0)}
    _, axes = plt.subplot_mosaic(names, figsize=(11.0, 6.4), **layout)
    extent = (-0.5, ds.sizes["x"] - 0.5, -0.5, ds.sizes["y"] - 0.5)
    _rate(ds, axes["rate"], extent)
    ratio = (ds["fit_ramps_scatter"] / ds["fit_ramps_error"]).transpose("y", "x").compute()
    cells = ratio.coarsen({d: -(-n // CELLS) for d, n in ratio.sizes.items()}, boundary="pad")
    style.image(
        axes["ratio"],
        cells.median().values,
        extent=extent,
        label="measured / predicted noise",
        limits=(0.5, 1.5),
    ).set_cmap("RdBu_r")
    for name in ("rate", "ratio"):
        axes[name].set(xlabel="x [pix]", ylabel="y [pix]")
    _noise(ds, axes["noise"])
    _residuals(ds, axes["residual"])
    return {str(name): drawn for name, drawn in axes.items()}


def _rate(ds: xr.Dataset, ax: Axes, extent: tuple[float, float, float, float]) -> None:
    """Draw the median rate: linear within its noise, logarithmic above."""
    from matplotlib.colors import AsinhNorm

    rate, error = (
        ds[f"fit_ramps_{n}"].transpose("y", "x").compute().values for n in ("rate", "error")
    )
    shown = style.image(ax, rate, extent=extent, label=style.label_of(ds["fit_ramps_rate"]))
    known = error[error > 0]
    width = float(np.median(known)) if known.size else 1.0
    shown.set_norm(AsinhNorm(width, *style.robust_limits(rate, 1.0, 99.9)))


def _noise(ds: xr.Dataset, ax: Axes) -> Axes:
    """Draw the scatter of each pixel against its rate, and what was predicted."""
    found = noise_data(ds)
    rate, measured, predicted = found["rate"], found["measured"], found["predicted"]
    ax.set(xlabel="median count rate [DN s-1]", ylabel="noise of the count rate [DN s-1]")
    if rate.size == 0:
        ax.set_title("no lit pixel has a measured scatter")
        return ax
    ax.hexbin(
        rate, measured, xscale="log", yscale="log", gridsize=60, bins="log", cmap="Greys", lw=0, mincnt=1
    )  # fmt: skip
    middle = binned_median(rate, measured)
    ax.plot(*middle, "o", ms=4, color=style.COLORS["after"], label="measured, median")
    ax.plot(*binned_median(rate, predicted), color=style.COLORS["model"], label="predicted")
    ax.set_title(f"measured / predicted: {np.median(measured / predicted):.3f}")
    ax.legend()
    return ax


def _residuals(ds: xr.Dataset, ax: Axes) -> None:
    """Draw the departure from a straight ramp of three classes of brightness."""
    from matplotlib.ticker import MaxNLocator

    curves = ds["fit_ramps_residual"].transpose("brightness", "nth_group").compute().values
    group = np.arange(1, curves.shape[1] + 1)
    ax.axhline(0.0, lw=0.8, color=style.COLORS["before"])
    colors = (style.COLORS["model"], style.COLORS["after"], style.COLORS["data"])
    for curve, name, color in zip(curves, NAMES, colors, strict=True):
        ax.plot(group, curve, "o-", ms=3, lw=1, color=color, label=name)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="group", ylabel="median departure from a straight ramp [DN]")
    ax.legend(title="pixels")
