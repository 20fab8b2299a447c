"""Flag the groups in which a pixel has saturated.

Near full well a pixel stops responding, and the charge that it cannot hold spills to its
neighbours; what is left of a ramp after that is useless, and the neighbours are suspect.
The limit refers to raw counts, so this comes before the bias is subtracted.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, lazy, modes, schema
from tsoxr.errors import ModeError
from tsoxr.kernels.detector import flag_saturated, saturation_start
from tsoxr.plots import style
from tsoxr.registry import derived, diagnostic, note, step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flag_saturation"]

CONVERTER_LIMIT = 65535.0
"""Largest number that the 16-bit converter can give, DN."""

LIMIT_OF_CONSTANT = 0.9
"""Part of the detector's typical saturation: wells differ by a few per cent from pixel to pixel."""

PERSISTENT = 0.1
"""A pixel saturates persistently if it does so in this part of the integrations."""

GROUP_DIMS = ("group", "y", "x")
FIRST_GROUP = "flag_saturation_first_group"


@step(kind="ramps", needs=("ramp", "dq_group", "dq_pixel"), adds=(FIRST_GROUP,))
def flag_saturation(
    ds: xr.Dataset, *, limit: float | None = None, grow: int = 1, columns: bool = False
) -> xr.Dataset:
    """Flag saturated groups, all later ones, and the neighbours.

    Once a pixel reaches the limit, that group and all later ones are flagged, in this pixel
    and in a box around it. A pixel that saturates in some integrations only is flagged in
    those; with ``columns`` the groups of a whole wavelength are given up together, and for
    all integrations alike, so that no wavelength mixes pixels of different groups.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), raw counts in DN (bias included), and
        ``dq_group``. ``saturation`` (y, x), DN, is used if it is there; otherwise the
        typical constant of the detector.
    limit : float, optional
        Saturated from this fraction of the saturation level on. If not given, 1 for the
        level of a reference and 0.9 for the typical constant, as wells differ by a few per
        cent from pixel to pixel.
    grow : int
        Neighbours flagged around each saturated pixel, pixels: a box of 2 grow + 1.
    columns : bool
        Flag the whole line of one wavelength (along ``spatial_dim``) from the group in
        which a good pixel on it first saturates in a tenth of the integrations or more.

    Returns
    -------
    xarray.Dataset
        As ``ds``; ``dq_group`` gains ``SATURATED``, and ``AD_FLOOR`` with ``DO_NOT_USE``
        where the converter gave 0. No flag is cleared. Adds ``flag_saturation_first_group``
        (y, x): the number of the group in which the pixel first saturates in a tenth of a
        sample of the integrations, 0 for never.

    Raises
    ------
    ValueError
        For a limit that is not positive, or a negative ``grow``.

    Notes
    -----
    Groups that average several frames are judged by their mean: the last frames of a group
    may have saturated before the mean reaches the limit.
    """
    if (limit is not None and not limit > 0) or grow < 0:
        raise ValueError(
            f"flag_saturation: limit={limit}, grow={grow}; the limit is a positive fraction "
            "and grow a number of pixels from 0"
        )
    threshold = _threshold(ds, limit)
    persistent = _persistent_start(ds, threshold)
    start = (
        _column_start(ds, persistent) if columns else xr.full_like(persistent, ds.sizes["group"])
    )
    dims = ("time", *GROUP_DIMS)
    (flags,) = chunks.per_chunk(
        partial(_flag, int(grow)),
        ds["ramp"].transpose(*dims),
        ds["dq_group"].transpose(*dims),
        threshold.transpose("y", "x"),
        start.transpose("y", "x"),
        dims=dims,
        dtypes=("u1",),
    )
    flags = flags.transpose(*ds["dq_group"].dims)
    first = xr.where(persistent < ds.sizes["group"], persistent + 1, 0).astype("i2")
    first.attrs = {"long_name": "group in which the pixel saturates (0: never)", "units": "1"}
    return ds.assign({"dq_group": schema.label(flags, "ramps", "dq_group"), FIRST_GROUP: first})


def _flag(grow: int, *arrays: np.ndarray) -> tuple[np.ndarray]:
    """Flag one chunk; arrays in, a tuple of one array out."""
    saturated = dq.bits("SATURATED", dtype="u1")
    floor = dq.bits("AD_FLOOR", "DO_NOT_USE", dtype="u1")
    return (flag_saturated(*arrays, grow=grow, saturated=saturated, floor=floor),)


def _threshold(ds: xr.Dataset, limit: float | None) -> xr.DataArray:
    """Return the counts (y, x) from which a pixel is saturated."""
    if "saturation" in ds:
        level = ds["saturation"]
        fraction = derived(limit=1.0) if limit is None else limit
    else:
        level = xr.DataArray(_typical_level(str(ds.attrs.get("detector", "none"))))
        fraction = derived(limit=LIMIT_OF_CONSTANT) if limit is None else limit
    unchecked = dq.has_flag(ds["dq_pixel"], "NO_SAT_CHECK", "REFERENCE_PIXEL")
    counts = (fraction * level - _bias_taken_off(ds)).where(~unchecked).fillna(CONVERTER_LIMIT)
    counts = counts.clip(max=CONVERTER_LIMIT).drop_attrs().reset_coords(drop=True)
    return counts.transpose("y", "x").astype("f4")


def _bias_taken_off(ds: xr.Dataset) -> xr.DataArray | float:
    """Return the bias that is no longer in the counts: limits are those of raw counts."""
    return ds["subtract_bias_level"].drop_attrs() if "subtract_bias_level" in ds else 0.0


def _typical_level(detector: str) -> float:
    try:
        level = modes.detector(detector).saturation
    except ModeError:
        note(
            f"no saturation reference and no constant for detector {detector}: limit of the converter used"
        )
        return CONVERTER_LIMIT
    note(f"no saturation reference: the typical {level:.0f} DN of {detector} used for all pixels")
    return level


def _persistent_start(ds: xr.Dataset, threshold: xr.DataArray) -> xr.DataArray:
    """Return the index of the group (y, x) from which each pixel saturates persistently."""
    chosen = lazy.sample_indices(ds.sizes["time"])
    start = xr.apply_ufunc(
        saturation_start,
        ds["ramp"].isel(time=chosen), threshold,
        input_core_dims=[GROUP_DIMS, ("y", "x")], output_core_dims=[("y", "x")],
        dask="parallelized", output_dtypes=["i2"],
    )  # fmt: skip
    return lazy.static_from_sample(_low_order, start, dims=("y", "x"), dtype="i2")


def _low_order(start: np.ndarray) -> np.ndarray:
    """Return the start that the persistent part of the sample has reached: two at least, as one may be a hit."""
    n_time = start.shape[0]
    rank = min(max(int(np.ceil(PERSISTENT * n_time)), 2), n_time) - 1
    return np.partition(start, rank, axis=0)[rank]


def _column_start(ds: xr.Dataset, persistent: xr.DataArray) -> xr.DataArray:
    good = ~dq.has_flag(ds["dq_pixel"], "DO_NOT_USE", "REFERENCE_PIXEL").drop_vars(
        ["y", "x"], errors="ignore"
    )
    start = persistent.where(good, ds.sizes["group"]).min(ds.attrs["spatial_dim"])
    return xr.broadcast(start, persistent)[0].transpose("y", "x").astype("i2")


def _first_group_data(ds: xr.Dataset) -> xr.DataArray:
    """Return the first saturated group of each pixel, NaN where there is none."""
    first = ds[FIRST_GROUP].transpose("y", "x").compute()
    return first.where(first > 0)


@diagnostic(flag_saturation)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None, **imshow: Any) -> Axes:
    """Draw in which group each pixel saturates; pixels that never do stay blank."""
    first = _first_group_data(ds)
    n_y, n_x = first.shape
    ax = style.axes(ax, size=(8.0, 2.6) if n_x >= n_y else (3.6, 7.0))
    x, y = np.asarray(ds["x"]), np.asarray(ds["y"])
    extent = (x[0] - 0.5, x[-1] + 0.5, y[0] - 0.5, y[-1] + 0.5)
    last = ds.sizes.get("group", max(int(np.nan_to_num(first).max()), 2))
    limits = (0.5, last + 0.5)
    style.image(ax, first, extent=extent, label="first saturated group", limits=limits, **imshow)
    ax.set_facecolor("0.92")
    share = 100.0 * float(first.notnull().mean())
    ax.set(xlabel="x [pix]", ylabel="y [pix]", title=f"{share:.2f}% of the pixels saturate")
    return ax
