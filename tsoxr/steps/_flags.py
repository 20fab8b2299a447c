"""What the steps that flag groups share: one group number for all integrations, and plots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import dq, lazy
from tsoxr.plots import style
from tsoxr.registry import note

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "check_whole",
    "common_start",
    "draw_first_group",
    "draw_usable",
    "first_group",
    "integration_numbers",
    "low_order",
    "of_single_pixels",
    "share_of",
    "usable_groups",
    "zero_level",
]

UNUSABLE = dq.bits(*dq.UNUSABLE, dtype="u1")

MOST = 0.5
"""A group in which more of the pixels are flagged is flagged as a whole."""


def of_single_pixels(unusable: np.ndarray) -> np.ndarray:
    """Return the flags (time, group, y, x) without those of groups that are flagged as a whole.

    Such groups (the first, the last) do not follow the ramp, but have what the electronics add.
    """
    return unusable & (unusable.mean(axis=(-2, -1), keepdims=True) < MOST)


def share_of(where: str, same_for_all: float, share: float) -> float | None:
    """Return which part of the integrations decides for all, ``None`` where each does for itself.

    Parameters
    ----------
    where : str
        Name of the step.
    same_for_all : bool or float
        What the user asked for.
    share : float
        What True stands for.

    Raises
    ------
    ValueError
        For a number that is not between 0 and 1.
    """
    if isinstance(same_for_all, bool | np.bool_):
        return share if same_for_all else None
    if not 0 < same_for_all <= 1:
        raise ValueError(
            f"{where}: same_for_all={same_for_all}; it is True, False or the part of the "
            "integrations that decides, above 0 and up to 1"
        )
    return float(same_for_all)


def check_whole(where: str, **values: float) -> None:
    """Refuse what is not a whole number from 0 on.

    Raises
    ------
    ValueError
        The message names the parameter.
    """
    for name, value in values.items():
        if isinstance(value, bool) or value < 0 or value != int(value):
            raise ValueError(
                f"{where}: {name}={value}; it is a whole number from 0 on, use {name}=1"
            )


def low_order(start: np.ndarray, share: float) -> np.ndarray:
    """Return the start that a part of a sample has reached, along the first axis.

    Two integrations at least have to agree, as one may be a hit.
    """
    n_time = start.shape[0]
    rank = min(max(int(np.ceil(share * n_time)), 2), n_time) - 1
    found: np.ndarray = np.partition(start, rank, axis=0)[rank]
    return found


def common_start(start: xr.DataArray, share: float) -> xr.DataArray:
    """Return the group from which a part of the integrations is flagged.

    Parameters
    ----------
    start : (time, ..., y, x) int16 DataArray
        Of the integrations of a sample, lazy or not.
    share : float
        Part of the sample.

    Returns
    -------
    xarray.DataArray
        (..., y, x) int16.
    """
    dims = tuple(str(d) for d in start.dims if d != "time")
    n_time = start.sizes["time"]
    return lazy.static_from_sample(
        lambda values: low_order(values, share), start, dims=dims, dtype="i2", n_sample=n_time
    )


def zero_level(ds: xr.Dataset) -> xr.DataArray:
    """Return the counts without light (y, x) float32: the bias, or what is left of it."""
    dims = ("y", "x")
    if "subtract_bias_level" in ds:
        return xr.DataArray(np.zeros([ds.sizes[d] for d in dims], "f4"), dims=dims)
    if "superbias" in ds:
        known = ds["superbias"].reset_coords(drop=True).drop_attrs().fillna(0.0)
        return (
            xr.broadcast(known, ds["dq_pixel"])[0]
            .transpose(*dims)
            .astype("f4")
            .reset_coords(drop=True)
        )
    if ds.sizes["group"] < 2:
        note("no superbias reference and one group only: counts taken as free of bias")
        return xr.DataArray(np.zeros([ds.sizes[d] for d in dims], "f4"), dims=dims)
    note("no superbias reference: counts without light extrapolated from the first two groups")
    time = np.arange(1.0, 3.0)
    if "group_time" in ds.coords:
        time = np.asarray(ds["group_time"].compute(scheduler="synchronous"), float)[:2]
    back = float(time[0] / (time[1] - time[0]))
    early = [lazy.time_median(ds["ramp"].isel(group=g, drop=True)) for g in (0, 1)]
    return (early[0] - back * (early[1] - early[0])).transpose(*dims).astype("f4")


def first_group(start: xr.DataArray, n_group: int, long_name: str) -> xr.DataArray:
    """Return the number of the first flagged group of each pixel, 0 where there is none."""
    first = xr.where(start < n_group, start + 1, 0).astype("i2")
    first.attrs = {"long_name": long_name, "units": "1"}
    return first


def integration_numbers(ds: xr.Dataset) -> np.ndarray:
    """Return the number of each integration in the exposure, from 1, (time,) int64."""
    if "integration" not in ds.coords:
        return np.arange(1, ds.sizes["time"] + 1)
    # Dataset.chunk wraps coordinates too; unwrapping these few numbers touches no data
    return np.asarray(ds["integration"].compute(scheduler="synchronous"), dtype=np.int64)


def usable_groups(flags: xr.DataArray) -> xr.DataArray:
    """Return the number of usable groups that each pixel has in most integrations, (y, x)."""
    seen = flags.isel(time=lazy.sample_indices(flags.sizes["time"])).reset_coords(drop=True)
    count = xr.apply_ufunc(
        _count, seen, input_core_dims=[["group"]], dask="parallelized", output_dtypes=["i2"]
    )
    usable = lazy.time_median(count.transpose("time", "y", "x")).astype("i2")
    usable.attrs = {"long_name": "usable groups, median over the integrations", "units": "1"}
    return usable


def _count(flags: np.ndarray) -> np.ndarray:
    return np.count_nonzero((flags & UNUSABLE) == 0, axis=-1).astype("i2")


def _axes_and_extent(ds: xr.Dataset, ax: Axes | None) -> tuple[Axes, tuple[float, ...]]:
    x, y = np.asarray(ds["x"]), np.asarray(ds["y"])
    ax = style.axes(ax, size=(8.0, 2.6) if x.size >= y.size else (3.6, 7.0))
    ax.set(xlabel="x [pix]", ylabel="y [pix]")
    return ax, (x[0] - 0.5, x[-1] + 0.5, y[0] - 0.5, y[-1] + 0.5)


FEW = 2000
"""So many pixels are drawn as squares that can be seen."""


def draw_first_group(
    ds: xr.Dataset, name: str, ax: Axes | None, label: str, what: str, **imshow: Any
) -> Axes:
    """Draw the first flagged group of each pixel; pixels without one stay blank."""
    ax, extent = _axes_and_extent(ds, ax)
    first = ds[name].transpose("y", "x").compute()
    first = first.where(first > 0)
    last = ds.sizes.get("group", max(int(np.nan_to_num(first).max()), 2))
    style.image(ax, first, extent=extent, label=label, limits=(0.5, last + 0.5), **imshow)
    y, x = np.nonzero(first.notnull().values)
    if 0 < y.size <= FEW:  # single pixels of a wide image would not show
        color = first.values[y, x]
        places = extent[0] + 0.5 + x, extent[2] + 0.5 + y
        ax.scatter(
            *places,
            c=color,
            s=9,
            marker="s",
            vmin=0.5,
            vmax=last + 0.5,
            ec="k",
            lw=0.3 * (y.size < 200),
        )
    ax.set_facecolor("0.92")
    ax.set_title(f"{100.0 * float(first.notnull().mean()):.2f}% of the pixels ({y.size}) {what}")
    return ax


def draw_usable(ds: xr.Dataset, name: str, ax: Axes | None, **imshow: Any) -> Axes:
    """Draw the number of usable groups of each pixel."""
    ax, extent = _axes_and_extent(ds, ax)
    usable = ds[name].transpose("y", "x").compute()
    last = ds.sizes.get("group", max(int(usable.max()), 1))
    limits = (-0.5, last + 0.5)
    style.image(ax, usable, extent=extent, label="usable groups", limits=limits, **imshow)
    ax.set_title(
        f"{float((usable == usable.max()).mean()):.1%} of the pixels use {int(usable.max())} groups"
    )
    return ax
