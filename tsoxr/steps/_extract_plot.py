"""The picture of `extract`: aperture on the median frame, spectrum, light outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsoxr.plots import style
from tsoxr.steps import _aperture_loss

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

__all__ = ["draw"]


def draw(ds: xr.Dataset, ax: Axes | None) -> Axes:
    """Draw the median frame with the aperture into ``ax``, or with the spectrum below it."""
    if ax is None:
        import matplotlib.pyplot as plt

        heights = (1.2, 1, 0.6) if "aperture_loss" in ds else (1.2, 1)
        _, (ax, below, *more) = plt.subplots(
            len(heights),
            1,
            figsize=(8.0, 2.3 * sum(heights)),
            height_ratios=heights,
            layout="constrained",
        )
        _draw_spectrum(ds, below)
        for panel in more:
            _aperture_loss.draw(panel, ds)
    along, space = ds.attrs["dispersion_dim"], ds.attrs["spatial_dim"]
    image = ds["extract_image"].transpose(space, along)
    n_space, n_along = image.shape
    extent = (-0.5, n_along - 0.5, -0.5, n_space - 0.5)
    style.image(ax, image.values, extent=extent, label=style.label_of(image, "median rate"))
    pixel, lower, upper = _aperture_data(ds)
    for edge in (lower, upper):
        ax.plot(pixel, edge, color=style.COLORS["bad"], lw=1.0)
    ax.set(xlabel=f"{along} [pix]", ylabel=f"{space} [pix]", title="median frame and aperture")
    return ax


def _aperture_data(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the columns along dispersion that have an aperture, and its edges there."""
    inside = np.asarray(ds["extract_profile"].transpose(ds.attrs["spatial_dim"], ...)) > 0
    rows = np.arange(inside.shape[0])[:, None]
    column = np.flatnonzero(inside.any(axis=0))
    lower = np.where(inside, rows, np.inf).min(axis=0)[column] - 0.5
    upper = np.where(inside, rows, -np.inf).max(axis=0)[column] + 0.5
    return column, lower, upper


def _draw_spectrum(ds: xr.Dataset, ax: Axes) -> None:
    median = ds["flux"].median("time")
    ax.plot(
        np.asarray(ds["wavelength"]),
        median,
        color=style.COLORS["data"],
        lw=1,
        drawstyle="steps-mid",
    )
    ax.set_xlabel(style.label_of(ds["wavelength"], "wavelength"))
    ax.set_ylabel(style.label_of(ds["flux"], "median flux"))
