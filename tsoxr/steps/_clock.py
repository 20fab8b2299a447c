"""The clock of an exposure as the headers give it: ticks of pixels, frames and integrations."""

from __future__ import annotations

import numpy as np
import xarray as xr

from tsoxr import lazy

__all__ = ["TICK", "at_hand", "frame_starts", "integration_index", "pixel_ticks"]

TICK = 1e-5
"""Time of one sample, s."""


def at_hand(array: xr.DataArray) -> xr.DataArray:
    """Return a small array in memory, where it is in fact already, even wrapped in dask."""
    return array.compute(scheduler="synchronous") if lazy.is_lazy(array) else array


def pixel_ticks(ds: xr.Dataset) -> np.ndarray:
    """Return the tick of the frame at which each pixel is read, (y, x) int64."""
    offset = at_hand(ds["read_offset"]).transpose("y", "x")
    return np.rint(np.asarray(offset, dtype=np.float64) / TICK).astype(np.int64)


def integration_index(ds: xr.Dataset) -> xr.DataArray:
    """Return the number of each integration from 0, (time) int64, dropped ones counted."""
    n_time = ds.sizes["time"]
    if "integration" not in ds.coords:
        return xr.DataArray(np.arange(n_time), dims="time")
    number = np.asarray(at_hand(ds["integration"])).astype(np.int64) - 1
    return xr.DataArray(number, dims="time")


def frame_starts(ds: xr.Dataset, index: np.ndarray) -> np.ndarray:
    """Return the tick at which each frame starts, (time, group, frame) int64.

    The reset takes one frame; integrations follow each other without a pause.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``frame_time``, and ``n_frames``, ``group_gap``, ``n_groups`` where they differ
        from 1, 0 and the size of ``group``.
    index : (time,) int
        Number of each integration from 0.
    """
    n_frames, gap = int(ds.attrs.get("n_frames", 1)), int(ds.attrs.get("group_gap", 0))
    n_groups = int(ds.attrs.get("n_groups", ds.sizes["group"]))
    clocks = round(float(ds.attrs["frame_time"]) / TICK)
    period = (1 + n_frames + (n_groups - 1) * (n_frames + gap)) * clocks
    group = np.asarray(ds["group"], dtype=np.int64) - 1
    frame = group[:, None] * (n_frames + gap) + np.arange(1, n_frames + 1)
    return np.asarray(index, dtype=np.int64)[:, None, None] * period + frame * clocks
