"""The pictures of `noise_ratio`: against wavelength, and against the length of bins in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

FEW = 40
"""Channels, up to which each has its error bar."""


def draw(ds: xr.Dataset, ax: Axes | None) -> Axes | dict[str, Axes]:
    """Draw both pictures, or with ``ax`` the one against wavelength there."""
    if ax is not None:
        return _along_wavelength(ax, ds)
    import matplotlib.pyplot as plt

    if ds.sizes["bin_size"] < 2:
        return _along_wavelength(style.axes(None), ds)
    _, (left, right) = plt.subplots(
        1, 2, figsize=(10.5, 3.8), width_ratios=(1.5, 1), layout="constrained"
    )
    return {"wavelength": _along_wavelength(left, ds), "bin_size": _along_size(right, ds)}


def _along_wavelength(ax: Axes, ds: xr.Dataset) -> Axes:
    """Draw each channel, the errors that white noise leaves about 1, and the white light."""
    known = "wavelength" in ds.coords
    wave = np.asarray(ds["wavelength"]) if known else np.arange(ds.sizes["wavelength"])
    ratio, error = (np.asarray(ds[n]) for n in ("noise_ratio", "noise_ratio_error"))
    own = np.divide(error, ratio, out=np.full(ratio.shape, np.nan), where=ratio > 0)
    _band(ax, wave, own)
    if wave.size <= FEW:
        ax.errorbar(wave, ratio, error, fmt="o", ms=4, lw=1, color=style.COLORS["data"])
    else:
        ax.plot(wave, ratio, ".", ms=3, color=style.COLORS["data"])
    if wave.size > 1 and np.isfinite(ratio).any():
        middle = float(np.nanmedian(ratio))
        ax.axhline(middle, color=style.COLORS["model"], lw=1.2, label=f"median {middle:.3f}")
    _white(ax, ds)
    low, high = style.robust_limits(ratio, 0.5, 99.5)
    ax.set_ylim(min(low, 0.9) - 0.08, max(high, 1.1) + 0.08)
    ax.set_xlabel(style.label_of(ds["wavelength"], "wavelength") if known else "channel")
    ax.set_ylabel("scatter / predicted error")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize="small", loc="best")
    return ax


def _band(ax: Axes, wave: np.ndarray, own: np.ndarray) -> None:
    if not np.isfinite(own).any():
        return
    step = np.median(np.diff(wave)) if wave.size > 1 else 0.02
    ends = np.append(np.append(wave[:1] - step, wave), wave[-1:] + step)
    wide = np.nanmedian(own) * np.ones_like(ends)
    ax.fill_between(
        ends,
        1 - wide,
        1 + wide,
        color=style.COLORS["after"],
        alpha=0.2,
        lw=0,
        label="1 sigma of white noise",
    )
    ax.axhline(1.0, color=style.COLORS["after"], lw=1.0)


def _white(ax: Axes, ds: xr.Dataset) -> None:
    """Mark the white light's ratio at the edge of the picture."""
    if "noise_ratio_white" not in ds or not np.isfinite(ds["noise_ratio_white"]):
        return
    ratio, error = (float(ds[f"noise_ratio_white{n}"]) for n in ("", "_error"))
    ax.axhline(ratio, color=style.COLORS["bad"], lw=1.2, ls="--")
    ax.errorbar(
        [0.985], [ratio], [error], fmt="s", ms=5, color=style.COLORS["bad"],
        transform=ax.get_yaxis_transform(), label=f"white light {ratio:.3f} +- {error:.3f}",
    )  # fmt: skip


def _along_size(ax: Axes, ds: xr.Dataset) -> Axes:
    """Draw the ratio of means over bins: level where the noise is white, rising where it is not."""
    size = np.asarray(ds["bin_size"])
    ratio = ds["noise_ratio_binned"].transpose("bin_size", "wavelength").values
    error = ds["noise_ratio_binned_error"].transpose("bin_size", "wavelength").values
    seen = np.isfinite(ratio).any(axis=1)
    size, ratio, error = size[seen], ratio[seen], error[seen]
    if size.size == 0:
        return ax
    low, middle, high = np.nanpercentile(ratio, [16, 50, 84], axis=1)
    own = np.nanmedian(error / ratio, axis=1)
    ax.fill_between(size, 1 - own, 1 + own, color=style.COLORS["after"], alpha=0.2, lw=0)
    ax.axhline(1.0, color=style.COLORS["after"], lw=1.0)
    if ratio.shape[1] > 1:
        bars = (middle - low, high - middle)
        ax.errorbar(
            size,
            middle,
            bars,
            fmt="o-",
            ms=4,
            lw=1,
            color=style.COLORS["data"],
            label="channels, median and 68 %",
        )
    else:
        ax.errorbar(size, middle, error[:, 0], fmt="o-", ms=4, lw=1, color=style.COLORS["data"])
    if "noise_ratio_white_binned" in ds:
        white, of_white = (
            np.asarray(ds[f"noise_ratio_white_binned{n}"])[seen] for n in ("", "_error")
        )
        ax.errorbar(
            size * 1.06,
            white,
            of_white,
            fmt="s--",
            ms=4,
            lw=1,
            color=style.COLORS["bad"],
            label="white light",
        )
    if ratio.shape[1] > 1:
        ax.legend(fontsize="small", loc="best")
    ax.set_xscale("log", base=2)
    ax.set_xticks(size, [str(s) for s in size])
    ax.set(xlabel="integrations in a bin", ylabel="scatter / predicted error")
    return ax
