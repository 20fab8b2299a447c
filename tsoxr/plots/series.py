"""Pictures of spectra and light curves: maps, curves, spectra, covariates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.plots import style
from tsoxr.registry import picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["covariates", "flux_map", "light_curve", "spectrum"]

COVARIATES = (
    "trace_shift",
    "trace_shift_dispersion",
    "trace_fwhm",
    "trace_roll",
    "background_level",
    "jitter_x",
    "jitter_y",
)


def _level(ds: xr.Dataset) -> xr.DataArray:
    """Return what the flux of each channel is drawn relative to: 1 if it is relative already."""
    median = ds["flux"].median("time")
    return xr.ones_like(median) if ds["flux"].attrs.get("units") == "1" else median


@picture(kind=("spectra", "lightcurves"))
def flux_map(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the flux relative to its level: wavelength to the right, time upward.

    Parameters
    ----------
    ds : xarray.Dataset
        Spectra or light curves.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = style.axes(ax, size=(7.5, 4.0))
    values = (ds["flux"] / _level(ds)).transpose("time", "wavelength").values
    when, wave = style.hours(ds), np.asarray(ds["wavelength"])
    low, high = style.robust_limits(values, 2, 98)
    mesh = ax.pcolormesh(wave, when, values, vmin=low, vmax=high, cmap="viridis", shading="nearest")
    ax.figure.colorbar(mesh, ax=ax, label="relative flux", pad=0.01)
    ax.set(xlabel=style.label_of(ds["wavelength"], "wavelength"), ylabel="time since start [h]")
    return ax


def _channels(ds: xr.Dataset, n_shown: int) -> list[int]:
    """Return at most ``n_shown`` channels, evenly spread over those that are not all noise."""
    error = np.asarray((ds["flux_error"] / ds["flux"].median("time")).median("time"), dtype=float)
    good = np.flatnonzero(error <= 4.0 * np.nanmedian(error))
    if good.size == 0:
        good = np.arange(ds.sizes["wavelength"])
    return sorted({int(good[int(i)]) for i in np.linspace(0, good.size - 1, n_shown).round()})


@picture(kind=("lightcurves", "spectra"))
def light_curve(ds: xr.Dataset, *, n_shown: int = 6, ax: Axes | None = None) -> Axes:
    """Draw the light curve, or several one above the other, with the median error bar.

    Parameters
    ----------
    ds : xarray.Dataset
        Light curves (or spectra: each channel is one).
    n_shown : int
        At most so many channels, spread over the wavelengths; those with more than four
        times the usual error are not shown.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
    """
    chosen = _channels(ds, n_shown)
    ax = style.axes(ax, size=(7.5, 3.4 if len(chosen) == 1 else 1.6 + 0.8 * len(chosen)))
    flux = (ds["flux"] / _level(ds)).transpose("time", "wavelength").values[:, chosen]
    error = (
        (ds["flux_error"] / ds["flux"].median("time"))
        .transpose("time", "wavelength")
        .values[:, chosen]
    )
    low, high = np.nanpercentile(flux, [1, 99], axis=0)
    step = 1.2 * float(np.nanmedian(high - low)) if len(chosen) > 1 else 0.0
    when = style.hours(ds)
    style.shade_transit(ax, ds)
    for i, channel in enumerate(chosen):
        wave = float(ds["wavelength"][channel]) if "wavelength" in ds.coords else np.nan
        ax.plot(when, flux[:, i] + i * step, ".", ms=4, color=style.COLORS["data"], alpha=0.8)
        if len(chosen) > 1:
            ax.text(when[-1], 1 + i * step, f" {wave:.2f} um", va="center", fontsize=8)
        ax.errorbar(
            when[0] - 0.02 * (when[-1] - when[0]), 1 + i * step, np.nanmedian(error[:, i]),
            color=style.COLORS["model"], capsize=3,
        )  # fmt: skip
    title = "one error bar of the median point at the left"
    if len(chosen) == 1:
        title = f"median error {np.nanmedian(error) * 1e6:.0f} ppm (bar at the left)"
    ax.set(xlabel="time since start [h]", ylabel="relative flux" + (" + offset" if step else ""))
    ax.set_title(title, fontsize=9)
    return ax


@picture(kind=("spectra", "spectrum"))
def spectrum(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the depth against wavelength, or the median stellar spectrum of a series.

    The limits hold the depths whose error is at most four times the median error.

    Parameters
    ----------
    ds : xarray.Dataset
        A spectrum of depths, or spectra.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = style.axes(ax)
    wave = np.asarray(ds["wavelength"])
    if "depth" in ds:
        ax.errorbar(
            wave, ds["depth"], ds["depth_error"], fmt="o", ms=3, lw=0.8, color=style.COLORS["data"]
        )
        ax.set_ylabel(style.label_of(ds["depth"]))
        ax.set_ylim(*_depth_limits(ds))
    else:
        median = ds["flux"].median("time")
        ax.plot(wave, median, lw=0.9, color=style.COLORS["data"], drawstyle="steps-mid")
        ax.set_ylabel(style.label_of(ds["flux"], "median flux"))
    ax.set_xlabel(style.label_of(ds["wavelength"], "wavelength"))
    return ax


def _depth_limits(ds: xr.Dataset) -> tuple[float, float]:
    """Return limits that hold the points whose error is not far above the usual one."""
    value, error = (np.asarray(ds[n], dtype=float) for n in ("depth", "depth_error"))
    good = np.isfinite(value) & (error <= 4.0 * np.nanmedian(error))
    if not good.any():
        return style.robust_limits(value)
    low, high = (value - error)[good].min(), (value + error)[good].max()
    return low - 0.15 * (high - low), high + 0.15 * (high - low)


@picture(kind=("rates", "spectra", "lightcurves"))
def covariates(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the covariates that the data carry, each in units of its own scatter.

    Parameters
    ----------
    ds : xarray.Dataset
        With coordinates such as ``background_level`` on ``time``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
    """
    names = [n for n in COVARIATES if n in ds.coords]
    ax = style.axes(ax, size=(7.5, 1.4 + 0.9 * max(len(names), 1)))
    style.shade_transit(ax, ds)
    for i, name in enumerate(names):
        values = np.asarray(ds[name], dtype=float)
        scale = 1.4826 * np.nanmedian(abs(values - np.nanmedian(values)))
        scaled = (values - np.nanmedian(values)) / scale if scale > 0 else values * 0
        ax.plot(style.hours(ds), scaled + 8 * i, lw=0.8, color=style.COLORS["data"])
        ax.text(
            0.01,
            8 * i + 3,
            f"{name} (1 sigma = {scale:.3g} {ds[name].attrs.get('units', '')})",
            fontsize=8,
        )
    if not names:
        ax.text(0.5, 0.5, "no covariate on time yet", transform=ax.transAxes, ha="center")
    ax.set(xlabel="time since start [h]", ylabel="covariate / sigma + offset")
    return ax
