"""A panel of the picture of `track`: one covariate against time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.plots import style
from tsoxr.steps import _rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["panel"]

SHORT = {
    "trace_shift": ("across", 1e3, "mpix"),
    "trace_shift_dispersion": ("along dispersion", 1e3, "mpix"),
    "trace_fwhm": ("FWHM change", 1e3, "mpix"),
    "trace_roll": ("roll", 206264.8, "arcsec"),
    "track_amplitude": ("light", 1e6, "ppm"),
}
"""Label, factor and unit of each panel."""


def panel(ax: Axes, ds: xr.Dataset, name: str, jumps: np.ndarray) -> None:
    """Draw a covariate with its errors, and lines where it jumps, hours."""
    text, factor, unit = SHORT[name]
    if _rates.is_imaging(ds):
        text = {"trace_shift": "along y", "trace_shift_dispersion": "along x"}.get(name, text)
    value = np.asarray(ds[name], dtype=float)
    middle = np.nanmedian(value) if name in ("trace_fwhm", "track_amplitude") else 0.0
    style.shade_transit(ax, ds)
    error = np.asarray(ds[f"{name}_error"], dtype=float)
    ax.errorbar(
        style.hours(ds), factor * (value - middle), factor * error,
        fmt=".", ms=3, lw=0.5, color=style.COLORS["data"], ecolor=style.COLORS["before"],
    )  # fmt: skip
    for when in jumps:
        ax.axvline(when, color=style.COLORS["bad"], lw=0.9)
    ax.set_ylabel(f"{text}\n[{unit}]", fontsize=8)
    scatter, usual = factor * float(np.nanstd(value)), factor * float(np.nanmedian(error))
    ax.text(
        0.99, 0.03, f"rms {scatter:.4g}, error {usual:.3g}", transform=ax.transAxes,
        ha="right", va="bottom", fontsize=8, color=style.COLORS["after"],
    )  # fmt: skip
    low, high = style.robust_limits(factor * (value - middle), 0.5, 99.5)
    ax.set_ylim(low - 0.25 * (high - low), high + 0.25 * (high - low))
