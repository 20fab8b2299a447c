"""The panels of the picture of `optimize_aperture`: scatter of integrations, and of means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.kernels.aperture_choice import ALIKE
from tsoxr.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["binned", "scatter"]


def _values(ds: xr.Dataset, name: str) -> np.ndarray:
    """Return a diagnostic along the half widths, of the chosen region where several were compared."""
    array = ds[f"optimize_aperture_{name}"]
    if "region" in array.dims:
        at = int(ds["optimize_aperture_chosen"].sum("half_width").argmax("region"))
        array = array.isel(region=at)
    return np.asarray(array)


def _chosen(ds: xr.Dataset) -> float:
    widths = np.asarray(ds["optimize_aperture_half_width"])
    return float(widths[int(_values(ds, "chosen").argmax())])


def scatter(ax: Axes, ds: xr.Dataset) -> Axes:
    """Draw measured and predicted scatter, the choice, the default and the share of light.

    The bars are errors against the best setting; those of the scatter itself, which all share,
    stand in the legend.
    """
    widths = _values(ds, "half_width")
    least, error = (np.asarray(ds[f"optimize_aperture_{n}"]) for n in ("scatter", "error"))
    all_share = 100.0 * float(np.nanmedian(error / least)) if np.isfinite(least).any() else np.nan
    bars = np.nanmin(least) * _values(ds, "excess_error") if np.isfinite(least).any() else None
    _points(ax, ds, "scatter", bars, f"measured; all may be off by {all_share:.0f} %")
    ax.plot(
        widths, _values(ds, "predicted"), color=style.COLORS["model"], lw=1.2, label="predicted"
    )
    _others(ax, ds)
    usual = ds["optimize_aperture_half_width"].attrs.get("usual", np.nan)
    ax.axvline(usual, color=style.COLORS["before"], lw=1.0, ls=":", label="default of the mode")
    ax.axvline(_chosen(ds), color=style.COLORS["after"], lw=1.2, label="choice")
    ax.set_ylabel("scatter of the white light [ppm]")
    _limits(ax, ds)
    ax.legend(fontsize="small", loc="upper right", ncols=2, framealpha=0.9)
    beside = ax.twinx()
    share = 100.0 * _values(ds, "share")
    beside.plot(widths, share, color=style.COLORS["good"], lw=1.0, ls="--")
    beside.set_ylabel("light over that of the widest [%]", color=style.COLORS["good"])
    if np.isfinite(share).any():
        beside.set_yticks([t for t in beside.get_yticks() if t <= 100.0])
        beside.set_ylim(np.nanmin(share) - 2.0, 100.0 + 0.7 * (100.0 - np.nanmin(share)) + 0.1)
    region = ds.coords.get("background_half_width")
    beyond = "" if region is None else f", background beyond {float(region):g}"
    ax.set_title(f"half width {_chosen(ds):g} pixels{beyond}", fontsize="medium")
    ax.set_xlabel("half width of the aperture [pix]")
    return ax


def _points(ax: Axes, ds: xr.Dataset, name: str, error: np.ndarray | None, label: str) -> None:
    ax.errorbar(
        _values(ds, "half_width"), _values(ds, name), error, fmt="o-", ms=4, lw=0.8,
        capsize=2, color=style.COLORS["data"], label=label,
    )  # fmt: skip


def _others(ax: Axes, ds: xr.Dataset) -> None:
    """Draw the settings that cannot be told from the best one as rings."""
    alike = _values(ds, "worse") <= ALIKE
    ax.plot(
        _values(ds, "half_width")[alike], _values(ds, "scatter")[alike], "o", ms=9, mfc="none",
        color=style.COLORS["after"], label="as good as the best",
    )  # fmt: skip


def _limits(ax: Axes, ds: xr.Dataset) -> None:
    """Show what lies within twice the least scatter; the narrowest apertures may be far above."""
    values, predicted = (_values(ds, name) for name in ("scatter", "predicted"))
    if np.isfinite(values).any():
        low = np.nanmin(np.concatenate([values, predicted]))
        high = max(values.max(where=np.isfinite(values), initial=0.0), np.nanmax(predicted))
        high = min(high, 2.5 * np.nanmin(values))
        span = max(high - low, 0.05 * low)
        ax.set_ylim(low - 0.2 * span, high + 0.8 * span)


def binned(ax: Axes, ds: xr.Dataset) -> Axes:
    """Draw the scatter of means of integrations, and where white noise would have it."""
    length = ds["optimize_aperture_binned"].attrs.get("bin_length", 1)
    _points(ax, ds, "binned", _values(ds, "binned_error"), f"means of {length} integrations")
    white = _values(ds, "scatter") / np.sqrt(length)
    ax.plot(
        _values(ds, "half_width"),
        white,
        color=style.COLORS["model"],
        lw=1.2,
        label="if white noise",
    )
    ax.axvline(_chosen(ds), color=style.COLORS["after"], lw=1.2)
    ax.set(xlabel="half width of the aperture [pix]", ylabel="scatter [ppm]")
    held = np.concatenate([white, _values(ds, "binned")])
    held = held[np.isfinite(held)]
    if held.size:
        ax.set_ylim(0.0, min(held.max(), 2.5 * held.min()) * 1.25)
    ax.legend(fontsize="small")
    return ax
