"""The share of the star's light that the aperture of an extraction leaves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.kernels import aperture_loss as kernel
from tsoxr.kernels.profile import MEDIAN_VARIANCE
from tsoxr.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["NAMES", "draw", "measured"]

NAMES = ("aperture_loss", "aperture_loss_error")


def measured(
    images: xr.DataArray, center: xr.DataArray, gain: xr.DataArray, half_width: float
) -> dict[str, xr.DataArray]:
    """Return the loss of each line and its error, (dispersion) float32.

    Parameters
    ----------
    images : (image, spatial, dispersion)
        Median rate, median error and number of samples, as `_extraction.median_images` makes
        them; deferred where the rates are lazy, and then so are the results.
    center : (dispersion)
        Trace, pixels from the first spatial one.
    gain : (spatial, dispersion)
        Electron per unit of the rates.
    half_width : float
        Of the aperture, pixels.
    """
    _, space, along = images.dims
    found = xr.apply_ufunc(
        _of_images,
        images,
        center,
        gain.transpose(space, along),
        kwargs={"half_width": float(half_width)},
        input_core_dims=[images.dims, [along], [space, along]],
        output_core_dims=[[along]] * 2,
        dask="parallelized",
        output_dtypes=[np.float32] * 2,
    )
    return dict(zip(NAMES, found, strict=True))


def _of_images(
    images: np.ndarray, center: np.ndarray, gain: np.ndarray, *, half_width: float
) -> tuple[np.ndarray, ...]:
    median, error, count = images.astype(np.float64)
    factor = np.where(np.isfinite(gain) & (gain > 0), gain, np.nan)
    noise = (error * factor) ** 2 * MEDIAN_VARIANCE / np.maximum(count, 1.0)
    found = kernel.aperture_loss(median * factor, noise, center, half_width)
    return tuple(values.astype(np.float32) for values in found)


def draw(ax: Axes, ds: xr.Dataset) -> None:
    """Draw the light outside of the aperture with its 1 sigma error, and a line at 1 %."""
    wave = np.asarray(ds["wavelength"])
    loss, error = (100.0 * np.asarray(ds[n]) for n in NAMES)
    ax.fill_between(wave, loss - error, loss + error, color=style.COLORS["after"], alpha=0.25, lw=0)
    ax.plot(wave, loss, color=style.COLORS["data"], lw=1.2)
    if np.isfinite(loss).any():
        ax.set_ylim(min(0.0, 1.1 * np.nanmin(loss)), max(1.2, 1.3 * np.nanmax(loss)))
    ax.axhline(1.0, color=style.COLORS["before"], lw=1, ls=":")
    ax.set_xlabel(style.label_of(ds["wavelength"], "wavelength"))
    ax.set_ylabel("light outside [%]")
