"""The picture of `combine`: the frame or spectrum, and what its samples scatter by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.plots import style
from tsoxr.steps import _rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]


def draw(ds: xr.Dataset, ax: Axes | None) -> Axes:
    """Draw the combined product, and without ``ax`` the scatter over the errors beside it."""
    beside = None
    if ax is None:
        import matplotlib.pyplot as plt

        shape, size = _panels(ds)
        _, (ax, beside) = plt.subplots(*shape, figsize=size, layout="constrained")
    if ds.attrs["tso_kind"] == "spectra":
        return _draw_spectrum(ds, ax, beside)
    extent = style.edges(ds)
    rate = ds["rate"].isel(time=0).transpose("y", "x")
    good = ~np.asarray(_rates.unusable(rate, ds["rate_error"].isel(time=0), ds["dq"].isel(time=0)))
    shown = np.where(good, rate, np.nan)
    style.image(ax, shown, extent=extent, label=style.label_of(rate, "rate"), faint=True)
    n_used = np.asarray(ds["combine_n_used"])
    ax.set(xlabel="x [pix]", ylabel="y [pix]", title=f"of up to {n_used.max()} integrations")
    if beside is not None:
        pull = np.asarray(ds["combine_pull"].transpose("y", "x"))
        style.image(beside, pull, extent=extent, label="scatter / error", signed=True, center=1.0)
        beside.set(xlabel="x [pix]", ylabel="y [pix]")
        beside.set_title(f"median {np.nanmedian(pull):.2f}; white: as predicted", fontsize=9)
    return ax


def _panels(ds: xr.Dataset) -> tuple[tuple[int, int], tuple[float, float]]:
    """Return rows and columns of panels, and the size of the figure, that suit the frame."""
    ratio = ds.sizes.get("x", 2) / ds.sizes.get("y", 1)
    if ratio >= 2.0:
        return (2, 1), (8.0, 5.6)
    return (1, 2), (6.4, 7.0) if ratio < 0.5 else (9.6, 4.0)


def _draw_spectrum(ds: xr.Dataset, ax: Axes, beside: Axes | None) -> Axes:
    wavelength, flux = np.asarray(ds["wavelength"]), np.asarray(ds["flux"].isel(time=0))
    ax.plot(wavelength, flux, lw=1.0, color=style.COLORS["data"])
    ax.set(xlabel=style.label_of(ds["wavelength"], "wavelength"))
    ax.set_ylabel(style.label_of(ds["flux"], "flux"))
    if beside is not None:
        beside.plot(wavelength, ds["combine_pull"], ".", ms=3, color=style.COLORS["data"])
        beside.axhline(1.0, color="0.4", lw=1.0)
        beside.set(xlabel=style.label_of(ds["wavelength"], "wavelength"), ylabel="scatter / error")
    return ax
