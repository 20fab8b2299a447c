"""The picture of `find_trace`: the curve on the frame, and what the measured places leave of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.plots import style
from tsoxr.steps import _rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

N_BINS = 24  # of the running median: fine enough for the waves that a low degree leaves


def draw(ds: xr.Dataset, ax: Axes | None) -> Axes:
    """Draw the frame with its trace, and without ``ax`` the residuals of the measured places."""
    wide = ds.attrs["dispersion_dim"] == "x"
    beside = None
    if ax is None:
        import matplotlib.pyplot as plt

        shape, size, ratios = (
            ((2, 1), (8.0, 5.0), {"height_ratios": (3, 2)})
            if wide
            else ((1, 2), (6.6, 7.0), {"width_ratios": (3, 2)})
        )
        _, (ax, beside) = plt.subplots(*shape, figsize=size, layout="constrained", **ratios)
    _draw_frame(ds, ax, wide=wide)
    if beside is not None:
        _draw_residuals(ds, beside, wide=wide)
    return ax


def _places(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return place along dispersion, curve, and whether the curve rests on light there."""
    place = np.asarray(ds[ds.attrs["dispersion_dim"]])
    first, last = np.asarray(ds["find_trace_range"])
    return place, np.asarray(ds["trace_center"]), (place >= first) & (place <= last)


def _draw_frame(ds: xr.Dataset, ax: Axes, *, wide: bool) -> None:
    extent = style.edges(ds)
    image = np.asarray(_rates.median_frame(ds).transpose("y", "x"))
    style.image(
        ax, image, extent=extent, label=style.label_of(ds["rate"], "median rate"), faint=True
    )
    place, center, lit = _places(ds)
    lines = {
        "trace": (np.where(lit, center, np.nan), "-"),
        "continued": (np.where(lit, np.nan, center), ":"),
    }
    for name, (values, dashes) in lines.items():
        if np.isfinite(values).any():
            points = (place, values) if wide else (values, place)
            ax.plot(*points, ls=dashes, lw=1.2, color=style.COLORS["bad"], label=name)
    ax.set(xlabel="x [pix]", ylabel="y [pix]", xlim=extent[:2], ylim=extent[2:])
    ax.legend(loc="upper right", fontsize="small", facecolor="0.3", labelcolor="white")


def _draw_residuals(ds: xr.Dataset, ax: Axes, *, wide: bool) -> None:
    """Draw measured places less the curve; their running median shows what the curve misses."""
    place, center, lit = _places(ds)
    left = np.where(lit, np.asarray(ds["find_trace_centroid"]) - center, np.nan)
    found = np.isfinite(left)
    scatter = 1.4826 * float(np.median(np.abs(left[found]))) if found.any() else 0.0
    reach = max(5.0 * scatter, 0.05)
    bins = np.array_split(np.flatnonzero(found), max(1, min(N_BINS, found.sum() // 5)))
    means = [(place[b].mean(), np.median(left[b])) for b in bins if b.size]
    for points, how in (
        ((place, left), {"ls": "none", "marker": ".", "ms": 3, "color": style.COLORS["before"]}),
        (tuple(zip(*means, strict=True)), {"lw": 1.4, "color": style.COLORS["after"], "label": "running median"}),
    ):  # fmt: skip
        if points:
            ax.plot(*(points if wide else points[::-1]), **how)
    outside = int((np.abs(left[found]) > reach).sum())
    more = f", {outside} outside" if outside else ""
    (ax.axhline if wide else ax.axvline)(0.0, color="k", lw=0.6)
    text = "measured - trace [pix]"
    if wide:
        ax.set(xlabel="x [pix]", ylabel=text, xlim=(place[0] - 0.5, place[-1] + 0.5))
        ax.set_ylim(-reach, reach)
    else:
        ax.set(xlabel=text, ylabel="y [pix]", ylim=(place[0] - 0.5, place[-1] + 0.5))
        ax.set_xlim(-reach, reach)
    ax.set_title(f"scatter {scatter:.3f} pix{more}", fontsize=9)
    ax.legend(fontsize="small", frameon=False, loc="upper right")
