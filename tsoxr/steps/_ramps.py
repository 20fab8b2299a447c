"""What the ramp steps share: timing, gain and read noise, and a sample of the ramps.

Weights and thresholds are constant in time. They come from one look at a sample of the
integrations, whose results are stacked as layers of one static array, so that lazy data are
read once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq, modes, schema
from tsoxr.errors import ModeError, SchemaError, TsoError
from tsoxr.kernels import ramp_noise
from tsoxr.kernels.ramps import Readout, readout
from tsoxr.lazy import static_from_sample
from tsoxr.registry import derived, note

__all__ = [
    "GROUP_DIMS",
    "NOISE_DIMS",
    "Detector",
    "Sample",
    "detector",
    "group_times",
    "sample",
    "sample_size",
    "slope_weights",
    "times_since_first",
    "timing",
]

GROUP_DIMS = ("group", "y", "x")
NOISE_DIMS = ("term", "y", "x")
SAMPLE_MB = 256.0
"""Most memory that the sampled ramps may take as float32, megabytes."""

ROUNDING = 12.0**-0.5
"""Noise of a read that is rounded to integers, DN: what a read noise of 0 amounts to."""

COMMON_LAYERS = 4

Extra = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Detector:
    """Gain, electron DN-1, and single-read noise, DN (``None``: to be measured)."""

    gain: xr.DataArray
    read_noise: xr.DataArray | None
    n_frames: int
    typical_read_noise: float


@dataclass(frozen=True)
class Sample:
    """What a sample of the ramps tells; all without a time axis, lazy for lazy data.

    ``noise`` (term, y, x): photon variance per second, DN2 s-1, of the light and of the dark
    that was subtracted, and read variance of a group, DN2; ``rate`` (y, x), DN s-1;
    ``read_noise``, DN; ``extra`` (layer, y, x).
    """

    noise: xr.DataArray
    rate: xr.DataArray
    read_noise: xr.DataArray
    extra: xr.DataArray


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


def sample(
    ds: xr.Dataset, known: Detector, times: Readout, *, extra: Extra, n_extra: int
) -> Sample:
    """Look at a sample of the integrations once.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps.
    known : Detector
        Gain and read noise.
    times : Readout
        When the groups are read.
    extra : callable
        Takes ramp and flags (time, group, pixel) and noise (2, pixel); returns
        (``n_extra``, pixel).
    n_extra : int
        Number of extra layers.

    Returns
    -------
    Sample
    """
    good = ~dq.has_flag(ds["dq_pixel"], *dq.UNUSABLE_RATE)
    layers = xr.DataArray(
        np.zeros(COMMON_LAYERS + n_extra, "u1"), dims="layer"
    )  # tells their number
    noise = known.read_noise if known.read_noise is not None else xr.DataArray(np.nan)
    found = static_from_sample(
        _Look(times, known.n_frames, known.typical_read_noise, extra),
        ds["ramp"].transpose("time", *GROUP_DIMS),
        ds["dq_group"].transpose("time", *GROUP_DIMS),
        good.transpose("y", "x"),
        known.gain,
        noise,
        ds["dark_rate"] if "dark_rate" in ds else xr.DataArray(0.0),
        layers,
        dims=("layer", "y", "x"),
        n_sample=sample_size(ds),
    )
    measured = schema.label(found.isel(layer=3, y=0, x=0, drop=True), "ramps", "read_noise")
    return Sample(
        noise=found.isel(layer=slice(0, 2)).rename(layer="term"),
        rate=found.isel(layer=2, drop=True),
        read_noise=measured if known.read_noise is None else known.read_noise,
        extra=found.isel(layer=slice(COMMON_LAYERS, None)),
    )


def sample_size(ds: xr.Dataset, most: int = 32) -> int:
    """Return how many whole ramps to look at: ``most``, or what `SAMPLE_MB` holds, at least 8."""
    one = 4 * ds.sizes["group"] * ds.sizes["y"] * ds.sizes["x"]
    return int(np.clip(SAMPLE_MB * 1e6 / one, 8, most))


def times_since_first(ds: xr.Dataset, where: str) -> np.ndarray:
    """Return the time of each group since the first, (group,) s; raises as `timing`."""
    return np.concatenate([[0.0], np.cumsum(timing(ds, where).interval)])


def slope_weights(ds: xr.Dataset, where: str) -> xr.DataArray:
    """Return the weights (group,) of a least-squares slope along the ramp, s-1."""
    time = times_since_first(ds, where)
    away = time - time.mean()
    return xr.DataArray((away / (away**2).sum()).astype("f4"), dims="group")


@dataclass(frozen=True)
class _Look:
    """The function of a sample that `sample` defers; numpy in, numpy out."""

    times: Readout
    n_frames: int
    typical: float
    further: Extra

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        ramp, dq_group, good, gain, read_noise, dark, layers = arrays
        n_times, n_groups, ny, nx = ramp.shape
        cube, flags = ramp.reshape(n_times, n_groups, -1), dq_group.reshape(n_times, n_groups, -1)
        gain, read_noise, dark = (
            np.broadcast_to(a, (ny, nx)).ravel().astype(float) for a in (gain, read_noise, dark)
        )
        rate = ramp_noise.mean_rate(cube, flags, self.times.interval)
        if np.isnan(read_noise).all():
            of_all = self._measured(cube, flags, np.where(good.ravel(), rate + dark, np.nan), gain)
            read_noise = np.full(ny * nx, of_all)
        photon = np.maximum(np.nan_to_num(rate) + dark, 0.0) / np.where(gain > 0, gain, np.nan)
        read_noise = np.where(read_noise == 0, ROUNDING, read_noise)
        read = np.where(read_noise > 0, read_noise, np.nan) ** 2 / self.n_frames
        noise = np.stack([photon, read])
        out = np.empty((layers.size, ny * nx), np.float32)
        out[:2], out[2], out[3] = noise, rate, read_noise
        out[COMMON_LAYERS:] = self.further(cube, flags, noise)
        return out.reshape(-1, ny, nx)

    def _measured(
        self, ramp: np.ndarray, dq_group: np.ndarray, rate: np.ndarray, gain: np.ndarray
    ) -> float:
        of_group = ramp_noise.read_noise(ramp, dq_group, rate, gain, self.times)
        value = of_group * np.sqrt(self.n_frames) if np.isfinite(of_group) else self.typical
        if not np.isfinite(value):
            raise TsoError(
                "the read noise cannot be measured (one integration, or no usable pixel) and the "
                "detector has no typical value; pass read_noise= in DN"
            )
        return value
