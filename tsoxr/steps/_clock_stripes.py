"""The methods of `clean_1overf` that model the whole clock: a value per pixel, not per line.

Frames are what `tsoxr.kernels.stripe_residual.clock_residuals` returns: the first group, and
the rises from it, which have twice the variance of a group and no reset noise. Size of the 1/f
noise and white noise come from differences of pixels along the clock in a sample of the
integrations; they are the same for the whole exposure, and so is the linear estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from tsoxr import lazy
from tsoxr.errors import SchemaError
from tsoxr.kernels import stripe_fourier, stripe_process
from tsoxr.kernels.stripe_amplitude import amplitude_of, common_share
from tsoxr.kernels.stripe_residual import clock_residuals
from tsoxr.kernels.stripes import line_levels
from tsoxr.steps import _clock, _stripes
from tsoxr.steps._celerite import engine
from tsoxr.steps._stripes import Method, axes_of, edges_of

__all__ = ["METHODS", "clean", "refuse"]

METHODS = ("fourier", "gp")
"""Methods that model the whole clock."""

SIZES = ("amplitude", "white_first", "white_rise", "common")
"""1/f noise A of one group, white noise of a pixel in first groups and in rises, DN; share of
the 1/f noise that outputs have in common."""

FRAMES = 64
"""Frames are taken in multiples of this: the sums over pixels are then made in the same order
however many integrations a chunk has."""

SMALLEST = 1e-3
"""1/f noise and white noise are taken to be at least this part of each other."""


def refuse(ds: xr.Dataset, method: str) -> None:
    """Raise where a method cannot work: no groups, no clock, or no package for it."""
    if ds.attrs["tso_kind"] != "ramps":
        raise ValueError(
            f"clean_1overf: method is {method!r}, but rates have no clock: their slopes mix the "
            f"frames of a ramp; {METHODS} need ramps; use 'mean', 'median' or 'scaled' for rates"
        )
    if "read_offset" not in ds:
        raise SchemaError(
            f"clean_1overf: method {method!r} needs 'read_offset', when each pixel is read; this "
            f"Dataset has {sorted(map(str, ds.variables))}; use method 'mean' without it"
        )
    if method == "gp":
        engine()


@dataclass(frozen=True)
class _Clock:
    """Ticks of the pixels (slow, fast), ticks of a frame, output edges, and the method."""

    tick: np.ndarray
    n_ticks: int
    edges: np.ndarray
    method: str

    @property
    def output(self) -> np.ndarray:
        """Output that reads each pixel, (pixel,)."""
        line = np.repeat(np.arange(self.edges.size - 1), np.diff(self.edges))
        return np.tile(line, self.tick.shape[0])

    def parts(self) -> list[np.ndarray | slice]:
        """Return the pixels that are estimated together."""
        if self.method == "gp" or self.edges.size == 2:
            return [slice(None)]
        return [np.flatnonzero(self.output == o) for o in range(self.edges.size - 1)]

    def common(self, sizes: np.ndarray) -> dict[str, object]:
        """Return what the process needs to know of several outputs."""
        if self.edges.size == 2:
            return {}
        return {"outputs": stripe_process.Outputs(self.output, float(sizes[3]))}


def _clock_of(ds: xr.Dataset, method: str) -> _Clock:
    tick = _clock.pixel_ticks(ds)
    tick = np.ascontiguousarray(tick if ds.attrs["fast_dim"] == "x" else tick.T)
    n_ticks = round(float(ds.attrs.get("frame_time", 0.0)) / _clock.TICK)
    return _Clock(tick, max(n_ticks, int(tick.max()) + 1), edges_of(ds), method)


def clean(
    ds: xr.Dataset, design: xr.DataArray, method: str
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return the ramps without 1/f noise, what was removed, and the variance of what is left.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps.
    design : xarray.DataArray
        From `_stripes.design`.
    method : {"fourier", "gp"}
        The estimate.

    Returns
    -------
    ramp : xarray.DataArray
        As that of ``ds``, float32.
    stripe : xarray.DataArray
        (time, group, slow, term) float32: mean of what was removed over a line and output.
    variance : xarray.DataArray
        (slow), DN2: of the error of the estimate for one group, mean over the line.
    """
    clock = _clock_of(ds, method)
    slow, fast = axes_of(ds)
    plain = Method(partial(line_levels, edges=clock.edges), clock.edges.size - 1)
    baseline, _ = _stripes.static_levels(ds, design, plain)
    sizes = _sizes(ds, design, clock)
    layers, of_lines = ["layer", slow, fast], ["group", slow, "term"]
    ramp, stripe = xr.apply_ufunc(
        partial(_clean, clock),
        ds["ramp"], design, _stripes.group_time(ds), baseline, sizes,
        input_core_dims=[["group", slow, fast], layers, ["group"], of_lines, ["size"]],
        output_core_dims=[["group", slow, fast], of_lines],
        dask="parallelized", output_dtypes=["f4", "f4"],
    )  # fmt: skip
    variance = xr.apply_ufunc(
        partial(_variance, clock, rising=ds.sizes["group"] > 1), design, sizes,
        input_core_dims=[layers, ["size"]], output_core_dims=[[slow]],
        dask="parallelized", output_dtypes=["f8"],
    )  # fmt: skip
    long_name = "variance of the level of a line in one group"
    variance = variance.assign_attrs(long_name=long_name, units="DN2")
    return ramp.transpose(*ds["ramp"].dims), stripe, variance


def _sizes(ds: xr.Dataset, design: xr.DataArray, clock: _Clock) -> xr.DataArray:
    slow, fast = axes_of(ds)
    ends = [0, -1] if ds.sizes["group"] > 1 else [0]
    return lazy.static_from_sample(
        partial(_measured, clock),
        ds["ramp"].isel(group=ends).transpose("time", "group", slow, fast),
        design.transpose("layer", slow, fast), _stripes.group_time(ds).isel(group=ends),
        _stripes.dummy(size=len(SIZES)),
        dims=("size",), dtype="f8",
    )  # fmt: skip


def _measured(
    clock: _Clock, ramp: np.ndarray, design: np.ndarray, times: np.ndarray, _size: np.ndarray
) -> np.ndarray:
    """Return `SIZES` of a sample; zeros where too few pixels measure them."""
    n_group, used = ramp.shape[1], (design[3] > 0).ravel()
    baseline = np.zeros((n_group, ramp.shape[2], clock.edges.size - 1), np.float32)
    frames = clock_residuals(ramp, design, times, baseline, edges=clock.edges)
    frames = frames.reshape(len(ramp), n_group, -1)
    frames = frames - np.median(np.nan_to_num(frames), axis=0)
    weight, tick = used.astype(np.float64), clock.tick.ravel()
    try:
        found = [_of_outputs(frames[:, g], weight, clock) for g in range(n_group)]
    except ValueError:  # no two pixels to compare
        return np.zeros(len(SIZES))
    common = 0.0
    if clock.method == "gp" and clock.edges.size > 2:
        values = np.nan_to_num(frames[:, -1])
        common = common_share(values, weight, tick, clock.n_ticks, clock.output)
    amplitude = found[-1][0] / np.sqrt(2.0 if n_group > 1 else 1.0)
    return np.array([amplitude, found[0][1], found[-1][1], common])


def _of_outputs(frames: np.ndarray, weight: np.ndarray, clock: _Clock) -> np.ndarray:
    """Return 1/f and white noise, root mean square over the outputs that measure them."""
    tick, found = clock.tick.ravel(), []
    for o in range(clock.edges.size - 1):
        part = clock.output == o
        if np.any(weight[part] > 0):
            found.append(amplitude_of(frames[:, part], weight[part], tick[part], clock.n_ticks))
    if not found:
        raise ValueError("clean_1overf: no pixel measures the noise; widen the mask")
    return np.sqrt(np.mean(np.square(found), axis=0))


def _noise(sizes: np.ndarray, *, of_rise: bool) -> tuple[float, float] | None:
    """Return 1/f and white noise of a frame, or None where neither is there."""
    amplitude = float(sizes[0]) * (np.sqrt(2.0) if of_rise else 1.0)
    white = float(sizes[2] if of_rise else sizes[1])
    if amplitude <= 0 and white <= 0:
        return None
    return max(amplitude, SMALLEST * white), max(white, SMALLEST * amplitude)


def _clean(
    clock: _Clock,
    ramp: np.ndarray,
    design: np.ndarray,
    times: np.ndarray,
    baseline: np.ndarray,
    sizes: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    frames = clock_residuals(ramp, design, times, baseline, edges=clock.edges)
    usable = design[3] > 0
    first = _model(frames[:, :1], usable, clock, sizes, of_rise=False)
    frames[:, 1:] = _model(frames[:, 1:], usable, clock, sizes, of_rise=True)
    frames[:, 1:] += first
    frames[:, :1] = first
    stripe = np.add.reduceat(frames, clock.edges[:-1], axis=-1) / np.diff(clock.edges)
    out = np.empty_like(ramp, dtype=np.float32)
    np.subtract(ramp, frames, out=out, dtype=np.float32)
    return out, stripe.astype(np.float32)


def _model(
    frames: np.ndarray, usable: np.ndarray, clock: _Clock, sizes: np.ndarray, *, of_rise: bool
) -> np.ndarray:
    """Return the 1/f noise of frames (time, group, slow, fast), float32."""
    noise = _noise(sizes, of_rise=of_rise)
    out = np.zeros(frames.shape, np.float32)
    n_frame = frames.shape[0] * frames.shape[1]
    if noise is None or n_frame == 0:
        return out
    flat = frames.reshape(n_frame, -1)
    flat = np.concatenate([flat, np.zeros((-n_frame % FRAMES, flat.shape[1]), np.float32)])
    weight, tick = usable.ravel() / noise[1] ** 2, clock.tick.ravel()
    found = out.reshape(n_frame, -1)
    for part in clock.parts():
        if not np.any(weight[part] > 0):
            continue
        given = (flat[:, part], weight[part], tick[part], clock.n_ticks)
        if clock.method == "fourier":
            model = stripe_fourier.clock_model(*given, stripe_fourier.Band(noise[0]))
        else:
            how = {"amplitude": noise[0], **clock.common(sizes)}
            model = stripe_process.clock_model(*given, engine(), **how)
        found[:, part] = model[:n_frame]
    return out


def _variance(clock: _Clock, design: np.ndarray, sizes: np.ndarray, *, rising: bool) -> np.ndarray:
    """Return the variance of the error for one group, mean over the pixels of a line, (slow)."""
    noise = _noise(sizes, of_rise=rising)
    usable = design[3] > 0
    if noise is None:
        return np.zeros(len(usable))
    weight, tick = usable.ravel() / noise[1] ** 2, clock.tick.ravel()
    out = np.zeros(tick.size)
    for part in clock.parts():
        if not np.any(weight[part] > 0):
            continue
        given = (weight[part], tick[part], clock.n_ticks)
        if clock.method == "fourier":
            found = stripe_fourier.clock_variance(*given, stripe_fourier.Band(noise[0]))
        else:
            how = {"amplitude": noise[0], **clock.common(sizes)}
            found = stripe_process.clock_variance(*given, engine(), **how)
        out[part] = found
    return out.reshape(usable.shape).mean(axis=-1) / (2.0 if rising else 1.0)
