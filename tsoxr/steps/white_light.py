"""Sum spectra over wavelength: the white light curve.

The curve of all light has the least noise and fixes what does not depend on wavelength:
times, orbit, systematics of the telescope. It is a plain sum of electrons, made by the same
kernel as every other bin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.plots import style
from tsoxr.registry import derived, diagnostic, step
from tsoxr.steps import _light_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["white_light"]


@step(kind="spectra", to="lightcurves", needs=("flux", "flux_error", "dq"))
def white_light(
    ds: xr.Dataset, *, wavelength: tuple[float, float] | None = None, normalize: bool = True
) -> xr.Dataset:
    """Sum the spectra over all wavelengths, or over a range of them.

    Points that cannot be used are left out and make no dip, in contrast to a sum that
    takes them for zero.

    Parameters
    ----------
    ds : xarray.Dataset
        Spectra with ``flux``, ``flux_error`` and ``dq`` (time, wavelength).
    wavelength : (float, float), optional
        Limits, um; parts of pixels count. All wavelengths if not given. Channels without
        positive median flux never count.
    normalize : bool
        Divide the curve by its median (of the integrations out of transit, where
        ``in_transit`` tells them).

    Returns
    -------
    xarray.Dataset
        Light curves with one ``wavelength``, as `bin` makes them. Adds
        ``white_light_scatter`` (wavelength), scatter from point to point over error.

    Raises
    ------
    ValueError
        For limits in the wrong order or without pixels between them.

    Examples
    --------
    >>> import tsoxr
    >>> spectra = tsoxr.simulate("nirspec-prism", kind="spectra", n_integrations=20, seed=1)
    >>> spectra.tso.white_light(wavelength=(1.0, 2.0)).flux.shape
    (20, 1)
    """
    lower, upper = _light_curves.limits(ds)
    if wavelength is None:
        wavelength = derived(wavelength=(float(lower[0]), float(upper[-1])))
    low, high = (float(w) for w in wavelength)
    if not high > low or not (high > lower[0] and low < upper[-1]):
        raise ValueError(
            f"white_light: wavelength=({low:g}, {high:g}); give lower and upper limit inside "
            f"{lower[0]:.4f} to {upper[-1]:.4f} um"
        )
    bounds = np.array([[low, high]])
    return _light_curves.light_curves(ds, bounds, name="white_light", normalize=normalize)


@diagnostic(white_light)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the white light curve with its error bars."""
    ax = style.axes(ax)
    style.shade_transit(ax, ds)
    first = ds.isel(wavelength=0)
    usable = np.asarray((first["dq"] & 1) == 0)
    hours = style.hours(ds)
    ax.errorbar(
        hours[usable],
        np.asarray(first["flux"])[usable],
        np.asarray(first["flux_error"])[usable],
        fmt=".",
        ms=4,
        lw=0.8,
        color=style.COLORS["data"],
    )
    low, high = np.asarray(first["wavelength_bounds"])
    ax.set_xlabel("time since start [h]")
    ax.set_ylabel(
        style.label_of(
            first["flux"], "relative flux" if first["flux"].attrs["units"] == "1" else None
        )
    )
    ax.set_title(f"{low:.2f} to {high:.2f} um", fontsize="medium")
    return ax
