"""What the ramp steps share: timing, gain and read noise, and a sample of the ramps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import modes
from tsoxr.errors import ModeError, SchemaError, TsoError
from tsoxr.kernels.ramps import Readout, readout
from tsoxr.registry import derived, note
from tsoxr.steps._ramp_sample import (
    GROUP_DIMS,
    NOISE_DIMS,
    Sample,
    look,
    sample,
    sample_size,
    whole_sample,
)

__all__ = [
    "GROUP_DIMS",
    "NOISE_DIMS",
    "Detector",
    "Sample",
    "detector",
    "group_times",
    "look",
    "sample",
    "sample_size",
    "slope_weights",
    "times_since_first",
    "timing",
    "whole_sample",
]


@dataclass(frozen=True)
class Detector:
    """Gain, electron DN-1, and single-read noise, DN (``None``: to be measured)."""

    gain: xr.DataArray
    read_noise: xr.DataArray | None
    n_frames: int
    typical_read_noise: float


def timing(ds: xr.Dataset, where: str) -> Readout:
    """Return when the groups are read.

    Raises
    ------
    TsoError
        For integrations of a single group.
    SchemaError
        Where neither ``group_time`` nor the attributes tell.
    """
    if ds.sizes["group"] < 2:
        raise TsoError(
            f"{where}: the integrations have {ds.sizes['group']} group; a slope needs 2 or more; "
            "exposures of single groups cannot be reduced by ramp fitting"
        )
    n_frames = int(ds.attrs.get("n_frames", 1))
    if n_frames > 1 and "frame_time" not in ds.attrs:
        raise SchemaError(
            f"{where}: groups average {n_frames} frames but attribute 'frame_time' is missing"
        )
    group_time = group_times(ds)
    if group_time is None:
        raise SchemaError(
            f"{where}: neither coordinate 'group_time' nor attribute 'group_interval' is there"
        )
    if not np.all(np.diff(group_time) > 0):
        raise SchemaError(f"{where}: coordinate 'group_time' does not increase: {group_time[:4]}")
    return readout(group_time, n_frames, float(ds.attrs.get("frame_time", 0.0)))


def group_times(ds: xr.Dataset) -> np.ndarray | None:
    """Return the mean time of each group since the reset, s; ``None`` if nothing tells it."""
    if "group_time" in ds.coords:
        # Dataset.chunk wraps coordinates too; unwrapping these few numbers touches no data
        return np.asarray(ds["group_time"].compute(scheduler="synchronous"), dtype=np.float64)
    if "group_interval" not in ds.attrs:
        return None
    number = np.asarray(ds["group"].values, dtype=np.float64)
    return float(ds.attrs["group_interval"]) * number


def detector(ds: xr.Dataset, *, gain: Any, read_noise: Any, where: str) -> Detector:
    """Return gain and read noise: given, else those of the Dataset, else fallbacks.

    Raises
    ------
    ValueError
        For a number that is not positive, or an array of another shape.
    TsoError
        Where nothing tells the gain.
    """
    name = str(ds.attrs.get("detector", "none"))
    try:
        constants = modes.detector(name)
    except ModeError:
        constants = None
    used_gain = _given(ds, "gain", gain, where)
    if used_gain is None:
        if constants is None:
            raise TsoError(
                f"{where}: no 'gain', and no constant for detector {name!r}; "
                "attach a reference with use_references, or pass gain= in electron/DN"
            )
        note(f"no gain reference: the typical {constants.gain} electron/DN of {name} used")
        used_gain = xr.DataArray(derived(gain=constants.gain))
    used_noise = _given(ds, "read_noise", read_noise, where)
    typical = constants.read_noise if constants is not None else np.nan
    if used_noise is None and ds.sizes["time"] > 1:
        note("no read-noise reference: measured from group differences of the faintest pixels")
    elif used_noise is None:
        note(
            f"no read-noise reference and one integration only: the typical {typical} DN of {name} used"
        )
    return Detector(used_gain, used_noise, int(ds.attrs.get("n_frames", 1)), typical)


def _given(ds: xr.Dataset, name: str, value: Any, where: str) -> xr.DataArray | None:
    """Return a detector property as a static array without coordinates, None if unknown."""
    if value is None:
        if name not in ds.variables:
            return None
        value = ds[name]
    if not isinstance(value, xr.DataArray):
        value = np.asarray(value, dtype=np.float64)
        value = xr.DataArray(value, dims=("y", "x")[: value.ndim])
    if value.ndim == 0 and value.chunks is None and not value > 0:
        raise ValueError(f"{where}: {name} is {float(value)}; it must be positive")
    if value.ndim and (
        set(value.dims) != {"y", "x"} or any(value.sizes[d] != ds.sizes[d] for d in ("y", "x"))
    ):
        shape = dict(value.sizes)
        raise ValueError(
            f"{where}: {name} has sizes {shape}; it must be one number or (y, x) as the data, "
            f"{ds.sizes['y']} x {ds.sizes['x']}"
        )
    if value.ndim and value.chunks is None and not bool((value > 0).any()):
        raise ValueError(
            f"{where}: no value of {name} is positive; attach a reference of this detector, "
            f"or pass {name}="
        )
    return (
        value.reset_coords(drop=True)
        .drop_vars(["y", "x"], errors="ignore")
        .transpose(..., "y", "x", missing_dims="ignore")
    )


def times_since_first(ds: xr.Dataset, where: str) -> np.ndarray:
    """Return the time of each group since the first, (group,) s; raises as `timing`."""
    return np.concatenate([[0.0], np.cumsum(timing(ds, where).interval)])


def slope_weights(ds: xr.Dataset, where: str) -> xr.DataArray:
    """Return the weights (group,) of a least-squares slope along the ramp, s-1."""
    time = times_since_first(ds, where)
    away = time - time.mean()
    return xr.DataArray((away / (away**2).sum()).astype("f4"), dims="group")
