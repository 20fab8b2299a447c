"""One look at a sample of the ramps, for all that is constant in time.

Weights and thresholds are constant in time. They come from a sample of the integrations, whose
results travel together, so that lazy data are read once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import dq, schema
from tsoxr.chunks import per_chunk
from tsoxr.errors import TsoError
from tsoxr.kernels import ramp_noise
from tsoxr.kernels.ramps import Readout
from tsoxr.lazy import static_from_sample

if TYPE_CHECKING:
    from tsoxr.steps._ramps import Detector

__all__ = ["GROUP_DIMS", "NOISE_DIMS", "Sample", "look", "sample", "sample_size", "whole_sample"]

GROUP_DIMS = ("group", "y", "x")
NOISE_DIMS = ("term", "y", "x")
SAMPLE_MB = 256.0
"""Most memory that the sampled ramps may take as float32, megabytes."""

ROUNDING = 12.0**-0.5
"""Noise of a read that is rounded to integers, DN: what a read noise of 0 amounts to."""

Extra = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
Parts = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Sample:
    """What a sample of the ramps tells; all without a time axis, lazy for lazy data.

    ``noise`` (term, y, x): photon variance per second, DN2 s-1, of the light and of the dark
    that was subtracted, and read variance of a group, DN2; ``rate`` (y, x), DN s-1;
    ``read_noise``, DN; ``extra``, what was asked for besides.
    """

    noise: xr.DataArray
    rate: xr.DataArray
    read_noise: xr.DataArray
    extra: Any


def look(
    ds: xr.Dataset,
    known: Detector,
    times: Readout,
    *,
    extra: Parts,
    dims: tuple[tuple[str, ...], ...],
    dtypes: tuple[str, ...],
    sizes: dict[str, int],
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
        Takes ramp and flags (time, group, pixel) and noise (2, pixel); returns arrays with
        ``dims``, ``y`` and ``x`` together as pixels.
    dims, dtypes : tuple
        Dims and type of each of them.
    sizes : dict
        Sizes of dims that are not among those of the ramps.

    Returns
    -------
    Sample
    """
    noise = known.read_noise if known.read_noise is not None else xr.DataArray(np.nan)
    found = static_from_sample(
        _Look(
            times, known.n_frames, known.typical_read_noise, extra, tuple("y" in d for d in dims)
        ),
        *whole_sample(ds["ramp"], ds["dq_group"], n_sample=sample_size(ds)),
        (~dq.has_flag(ds["dq_pixel"], *dq.UNUSABLE_RATE)).transpose("y", "x"),
        known.gain,
        noise,
        ds["dark_rate"] if "dark_rate" in ds else xr.DataArray(0.0),
        xr.DataArray(np.zeros(1, "u1"), dims="one"),
        dims=("one",),
        dtype=object,
        n_sample=sample_size(ds),
    )
    of_all = {str(d): n for d, n in ds.sizes.items()} | {"term": 2} | sizes
    noise, rate, measured, *parts = per_chunk(
        _parts, found, dims=(NOISE_DIMS, ("y", "x"), (), *dims), dtypes=("f4", "f4", "f4", *dtypes), sizes=of_all,
    )  # fmt: skip
    read_noise = known.read_noise
    if read_noise is None:
        read_noise = schema.label(measured, "ramps", "read_noise")
    return Sample(noise, rate, read_noise, tuple(parts))


def sample(
    ds: xr.Dataset, known: Detector, times: Readout, *, extra: Extra, n_extra: int
) -> Sample:
    """Look at a sample of the integrations once, for layers of one more array.

    Parameters
    ----------
    ds, known, times
        As for `look`.
    extra : callable
        Takes ramp and flags (time, group, pixel) and noise (2, pixel); returns
        (``n_extra``, pixel) float32.
    n_extra : int
        Number of extra layers.

    Returns
    -------
    Sample
        Its ``extra`` is one array (layer, y, x).
    """
    dims, sizes = (("layer", "y", "x"),), {"layer": n_extra}
    seen = look(ds, known, times, extra=_Layers(extra), dims=dims, dtypes=("f4",), sizes=sizes)
    return replace(seen, extra=seen.extra[0])


def whole_sample(*arrays: xr.DataArray, n_sample: int) -> list[xr.DataArray]:
    """Return cubes with time first, its name hidden where all integrations are in the sample.

    `tsoxr.lazy.static_from_sample` then passes them on as they are: choosing all makes a copy.
    """
    found = []
    for array in arrays:
        bare = array.reset_coords(drop=True).transpose("time", ..., "y", "x")
        if bare.sizes["time"] <= n_sample:
            bare = bare.drop_vars("time", errors="ignore").rename(time="integration")
        found.append(bare)
    return found


def sample_size(ds: xr.Dataset, most: int = 32) -> int:
    """Return how many whole ramps to look at: ``most``, or what `SAMPLE_MB` holds, at least 8."""
    one = 4 * ds.sizes["group"] * ds.sizes["y"] * ds.sizes["x"]
    return int(np.clip(SAMPLE_MB * 1e6 / one, 8, most))


def _parts(found: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what `_Look` has put into an array of one object."""
    parts: tuple[np.ndarray, ...] = found[0]
    return parts


@dataclass(frozen=True)
class _Layers:
    """A function that returns one array, as one that returns a tuple of arrays."""

    func: Extra

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        return (self.func(*arrays),)


@dataclass(frozen=True)
class _Look:
    """The function of a sample that `look` defers; numpy in, an array of one object out."""

    times: Readout
    n_frames: int
    typical: float
    further: Parts
    are_images: tuple[bool, ...]

    def __call__(self, *arrays: np.ndarray) -> np.ndarray:
        ramp, dq_group, good, gain, read_noise, dark, _ = arrays
        n_times, n_groups, ny, nx = ramp.shape
        cube, flags = ramp.reshape(n_times, n_groups, -1), dq_group.reshape(n_times, n_groups, -1)
        gain, read_noise, dark = (
            a.astype(float).reshape(-1 if a.ndim else ()) for a in (gain, read_noise, dark)
        )
        rate = ramp_noise.mean_rate(cube, flags, self.times.interval)
        if np.isnan(read_noise).all():
            usable = np.where(good.ravel(), rate + dark, np.nan)
            read_noise = np.float64(
                self._measured(cube, flags, usable, np.broadcast_to(gain, rate.shape))
            )
        noise = np.empty((2, rate.size))
        np.maximum(np.nan_to_num(rate) + dark, 0.0, out=noise[0])
        noise[0] /= np.where(gain > 0, gain, np.nan)
        known = np.where(read_noise == 0, ROUNDING, read_noise)
        noise[1] = np.where(known > 0, known, np.nan) ** 2 / self.n_frames
        parts = [noise.astype(np.float32), rate, *self.further(cube, flags, noise)]
        images = (True, True, *self.are_images)
        shaped = [
            a.reshape(*a.shape[:-1], ny, nx) if image else a
            for a, image in zip(parts, images, strict=True)
        ]
        shaped.insert(2, np.array(read_noise.flat[0], np.float32))
        out = np.empty(1, object)
        out[0] = tuple(shaped)
        return out

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
