"""The picture of `flag_jumps`: hits in time against the known rate, on the detector, and large."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import history
from tsoxr.plots import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw", "expected_hits"]

HITS = (1.7783, 4.8983)
"""Cosmic rays at solar maximum and minimum, cm-2 s-1 (Robberto 2009, JWST-STScI-001928)."""

PIXEL_UM = {"MIRIMAGE": 25.0}
NEAR_INFRARED_UM = 18.0
N_PICTURES = 6


def expected_hits(ds: xr.Dataset) -> tuple[float, float]:
    """Return how many particles cross the detector between first and last group of an integration.

    At solar maximum and at solar minimum.
    """
    pixel = PIXEL_UM.get(str(ds.attrs.get("detector")), NEAR_INFRARED_UM) * 1e-4
    area = ds["flag_jumps_map"].size * pixel**2
    span = (int(ds.attrs.get("n_groups", 2)) - 1) * float(ds.attrs.get("group_interval", np.nan))
    low, high = (rate * area * span for rate in HITS)
    return low, high


def draw(ds: xr.Dataset, ax: Axes | None) -> Axes | dict[str, Axes]:
    """Draw the number of events in time; without ``ax`` also where they lie, and the largest."""
    if ax is not None:
        return _in_time(ds, ax)
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(9.0, 6.6), layout="constrained")
    grid = figure.add_gridspec(3, N_PICTURES, height_ratios=(1.15, 1.0, 0.95))
    axes = {
        "time": _in_time(ds, figure.add_subplot(grid[0, :])),
        "map": figure.add_subplot(grid[1, :]),
    }
    style.flag_map(axes["map"], ds["flag_jumps_map"], label="flagged samples per pixel")
    return axes | _gallery(ds, [figure.add_subplot(grid[2, k]) for k in range(N_PICTURES)])


def _in_time(ds: xr.Dataset, ax: Axes) -> Axes:
    events = np.asarray(ds["flag_jumps_events"].values)
    style.shade_transit(ax, ds)
    low, high = expected_hits(ds)
    if np.isfinite(low):
        chance = _by_chance(ds)
        label = f"cosmic rays, solar maximum to minimum, and {chance:.2g} by chance"
        ax.axhspan(
            low + chance, high + chance, color=style.COLORS["good"], alpha=0.25, lw=0, label=label
        )
    mean = float(events.mean())
    ax.plot(style.hours(ds), events, ".", ms=4, color=style.COLORS["data"])
    ax.axhline(mean, lw=1, color=style.COLORS["model"], label=f"mean {mean:.3g}")
    share = 100.0 * float(ds["flag_jumps_map"].sum()) / _samples(ds)
    ax.set(xlabel="time since start [h]", ylabel="events per integration")
    ax.set_ylim(0, 1.3 * max(float(events.max()), mean, 1.0))
    ax.set_title(f"{share:.2g}% of the samples flagged", loc="left", fontsize="medium")
    ax.legend(loc="upper right", ncols=2, fontsize="small")
    return ax


def _by_chance(ds: xr.Dataset) -> float:
    """Return how many differences of an integration white noise brings above the threshold."""
    from scipy.stats import norm

    last = [r for r in history.records(ds.attrs) if r["step"] == "flag_jumps"][-1:]
    given = last[0]["params"] if last else {}
    sides = 2.0 if given.get("method", "temporal") != "temporal" else 1.0
    share = sides * norm.sf(float(given.get("sigma") or np.inf))
    return float(share * _samples(ds) / int(ds.sizes["time"]))


def _samples(ds: xr.Dataset) -> int:
    n_groups = int(ds.attrs.get("n_groups", ds.sizes.get("group", 1)))
    return int(ds["flag_jumps_map"].size) * n_groups * int(ds.sizes["time"])


def _gallery(ds: xr.Dataset, row: list[Axes]) -> dict[str, Axes]:
    """Draw the events with most charge, each on a scale of its own, logarithmic above the noise."""
    from matplotlib.colors import AsinhNorm

    pictures = np.asarray(ds["flag_jumps_largest"].values)
    charge = np.nansum(np.clip(pictures, 0, None), axis=(1, 2))
    best = np.argsort(-charge, kind="stable")[:N_PICTURES]
    best = [int(k) for k in best if np.isfinite(pictures[k]).any()]
    drawn: dict[str, Axes] = {}
    for axis in row[len(best) :]:
        axis.set_axis_off()
    row[0].set_ylabel("largest events [DN]")
    for number, (axis, k) in enumerate(zip(row, best, strict=False)):
        top = float(np.nanmax(pictures[k]))
        noise = float(np.nanmedian(np.abs(pictures[k]))) + 1e-3
        norm = AsinhNorm(linear_width=3 * noise, vmin=-3 * noise, vmax=max(top, 4 * noise))
        shown = axis.imshow(pictures[k], origin="lower", norm=norm, cmap="inferno")
        axis.set(xticks=[], yticks=[])
        axis.set_title(f"integration {k + 1}", fontsize="small")
        axis.figure.colorbar(
            shown, ax=axis, location="bottom", ticks=[0, top], format="%.0f", pad=0.02
        )
        drawn[f"event {number + 1}"] = axis
    return drawn
