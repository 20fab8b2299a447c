"""Pictures of the detector: one frame, the median frame, one pixel's ramp."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import dq
from tsoxr.plots import style
from tsoxr.registry import picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["frame", "median_image", "ramp"]


def _extent(ds: xr.Dataset | xr.DataArray) -> tuple[float, float, float, float]:
    x, y = np.asarray(ds["x"]), np.asarray(ds["y"])
    return x[0] - 0.5, x[-1] + 0.5, y[0] - 0.5, y[-1] + 0.5


def _draw(
    ds: xr.Dataset, array: xr.DataArray, label: str, ax: Axes | None, *, faint: bool = False
) -> Axes:
    wide = array.sizes["x"] >= array.sizes["y"]
    size = (8.0, 3.0) if wide else (3.6, 7.0)
    if 0.5 < array.sizes["x"] / array.sizes["y"] < 2.0:
        size = (5.6, 4.6)
    ax = style.axes(ax, size=size)
    style.image(ax, array.transpose("y", "x"), extent=_extent(ds), label=label, faint=faint)
    if "trace_center" in ds.coords:
        along = np.asarray(ds[ds.attrs["dispersion_dim"]])
        center = ds["trace_center"]
        points = (along, center) if ds.attrs["dispersion_dim"] == "x" else (center, along)
        ax.plot(*points, color="white", lw=0.8, ls="--")
    ax.set(xlabel="x [pix]", ylabel="y [pix]")
    return ax


def _which(ds: xr.Dataset, index: int) -> str:
    """Return the index along time that was asked for, and the exposure's own number (from 1)."""
    index = range(ds.sizes["time"])[index]
    if "integration" not in ds.coords:
        return f"integration={index}"
    return f"integration={index}: number {int(ds['integration'][index])} of the exposure"


@picture(kind=("ramps", "rates"))
def frame(
    ds: xr.Dataset, *, integration: int = 0, group: int | None = None, ax: Axes | None = None
) -> Axes:
    """Draw one integration as it lies on the detector.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps or rates.
    integration : int
        Index along ``time``.
    group : int, optional
        Index along ``group`` of ramps; the last minus the first if not given, which shows
        the light and not the bias.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
    """
    title = _which(ds, integration)
    if "ramp" not in ds:
        ax = _draw(ds, ds["rate"].isel(time=integration).compute(), style.label_of(ds["rate"]), ax)
        ax.set_title(title)
        return ax
    one = ds["ramp"].isel(time=integration).compute().astype("f4")
    array = one.isel(group=group) if group is not None else one.isel(group=-1) - one.isel(group=0)
    what = "last - first group" if group is None else f"group {int(ds['group'][group])}"
    ax = _draw(ds, array, f"{what} [DN]", ax)
    ax.set_title(title)
    return ax


@picture(kind=("ramps", "rates"))
def median_image(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the median over a sample of the integrations, with the trace where it is known."""
    image = ds.tso.median_image().compute()
    return _draw(ds, image, style.label_of(image), ax, faint=ds.tso.kind == "rates")


@picture(kind="ramps")
def ramp(
    ds: xr.Dataset,
    *,
    y: int | None = None,
    x: int | None = None,
    integration: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the ramp of one pixel; flagged groups are marked.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps.
    y, x : int, optional
        The pixel; the brightest of this integration if not given.
    integration : int
        Index along ``time``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib.axes.Axes
    """
    one = ds[["ramp", "dq_group"]].isel(time=integration).compute()
    if y is None or x is None:
        first, last = (one["ramp"].isel(group=g).astype(float) for g in (0, -1))
        y, x = (int(i) for i in np.unravel_index(np.argmax((last - first).values), last.shape))
    pixel = one.isel(y=y, x=x)
    ax = style.axes(ax, size=(5.0, 3.4))
    when = ds["group_time"] if "group_time" in ds.coords else ds["group"]
    ax.plot(when, pixel["ramp"], "o-", color=style.COLORS["data"], label=f"pixel y={y}, x={x}")
    bad = dq.has_flag(pixel["dq_group"], "DO_NOT_USE", "SATURATED", "JUMP_DET").values
    if bad.any():
        ax.plot(
            when[bad], pixel["ramp"][bad], "x", ms=10, color=style.COLORS["bad"], label="flagged"
        )
    ax.set(xlabel=style.label_of(when, "time since reset"), ylabel=style.label_of(ds["ramp"]))
    ax.legend()
    return ax
