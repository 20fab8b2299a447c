"""The methods of `clean_1overf` that model the whole clock: a value per pixel, not per line.

Frames are what `tsoxr.kernels.stripe_residual.clock_residuals` returns: the first group, and
the rises from it, which have twice the variance of a group and no reset noise. Size of the 1/f
noise and white noise come from differences of pixels along the clock in a sample of the
integrations; they are the same for the whole exposure, and so is the linear estimate.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import lazy, modes
from tsoxr.errors import SchemaError
from tsoxr.kernels.stripe_amplitude import amplitude_of, common_share
from tsoxr.kernels.stripe_clock import Outputs, in_reading_order
from tsoxr.kernels.stripe_fourier import Band, Fourier
from tsoxr.kernels.stripe_process import Process
from tsoxr.kernels.stripe_residual import clock_residuals
from tsoxr.kernels.stripe_shares import line_variance
from tsoxr.kernels.stripes import line_levels
from tsoxr.steps import _clock, _stripe_levels, _stripes
from tsoxr.steps._celerite import engine
from tsoxr.steps._stripe_levels import Method
from tsoxr.steps._stripes import axes_of, edges_of

__all__ = ["METHODS", "clean", "refuse"]

METHODS = ("fourier", "gp")
"""Methods that model the whole clock."""

SIZES = ("amplitude", "white_first", "white_rise", "common")
"""1/f noise A of one group, white noise of a pixel in first groups and in rises, DN; share of
the 1/f noise that outputs have in common."""

FRAMES = 8
"""Frames are taken in multiples of this: what is done to several at once does not depend then on
how many integrations a chunk has."""

TERMS_TOGETHER = 64
"""Cosines fitted at once where several outputs are solved for together."""

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


class _Clock:
    """Ticks of the pixels (slow, fast), ticks of a frame, output edges, axes, and the method.

    It keeps the solved models of first groups and of rises, which are the same for all chunks.
    """

    def __init__(
        self, tick: np.ndarray, n_ticks: int, edges: np.ndarray, dispersion: int | None, method: str
    ) -> None:
        self.tick, self.n_ticks, self.edges = tick, n_ticks, edges
        self.dispersion, self.method = dispersion, method
        self._models: dict[bool, Fourier | Process | None] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the models behind: another process makes its own."""
        return {k: v for k, v in self.__dict__.items() if k not in ("_models", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._models, self._lock = {}, threading.Lock()

    @property
    def output(self) -> np.ndarray:
        """Output that reads each pixel, (pixel,)."""
        line = np.repeat(np.arange(self.edges.size - 1), np.diff(self.edges))
        return np.tile(line, self.tick.shape[0])

    def model(
        self, usable: np.ndarray, sizes: np.ndarray, *, of_rise: bool
    ) -> Fourier | Process | None:
        """Return what estimates the noise of frames; None where there is none or no pixel."""
        with self._lock:
            if of_rise not in self._models:
                self._models[of_rise] = self._made(usable, _noise(sizes, of_rise=of_rise), sizes)
            return self._models[of_rise]

    def _made(
        self, usable: np.ndarray, noise: tuple[float, float] | None, sizes: np.ndarray
    ) -> Fourier | Process | None:
        if noise is None or not usable.any():
            return None
        amplitude, white = noise
        pixels = in_reading_order(usable.ravel() / white**2, self.tick.ravel(), self.n_ticks)
        several = self.edges.size > 2
        outputs = Outputs(self.output, float(sizes[3])) if several else None
        if self.method == "gp":
            return Process(pixels, engine(), amplitude=amplitude, outputs=outputs)
        n_terms = TERMS_TOGETHER if several else Band(amplitude).n_terms
        return Fourier(pixels, Band(amplitude, n_terms=n_terms), outputs)


def _clock_of(ds: xr.Dataset, method: str) -> _Clock:
    tick = _clock.pixel_ticks(ds)
    tick = np.ascontiguousarray(tick if ds.attrs["fast_dim"] == "x" else tick.T)
    n_ticks = round(float(ds.attrs.get("frame_time", 0.0)) / _clock.TICK)
    mode, dispersion = ds.attrs.get("tso_mode"), axes_of(ds).index(ds.attrs["dispersion_dim"])
    imaging = mode in modes.names() and modes.get(mode).imaging
    n_ticks = max(n_ticks, int(tick.max()) + 1)
    return _Clock(tick, n_ticks, edges_of(ds), None if imaging else dispersion, method)


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
        (slow), DN2: of the error that the light of a line has in common, for one group.
    """
    clock = _clock_of(ds, method)
    slow, fast = axes_of(ds)
    plain = Method(partial(line_levels, edges=clock.edges), clock.edges.size - 1)
    baseline, _ = _stripe_levels.static_levels(ds, design, plain)
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
    if clock.edges.size > 2:
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
    n_frame = frames.shape[0] * frames.shape[1]
    model = clock.model(usable, sizes, of_rise=of_rise) if n_frame else None
    if model is None:
        return np.zeros(frames.shape, np.float32)
    flat = frames.reshape(n_frame, -1)
    flat = np.concatenate([flat, np.zeros((-n_frame % FRAMES, flat.shape[1]), np.float32)])
    return model(flat)[:n_frame].reshape(frames.shape)


def _variance(clock: _Clock, design: np.ndarray, sizes: np.ndarray, *, rising: bool) -> np.ndarray:
    """Return the variance of the error that the light of each line has in common, (slow)."""
    usable = design[3] > 0
    model = clock.model(usable, sizes, of_rise=rising)
    if model is None:
        return np.zeros(len(usable))
    found = line_variance(model.variance_of, design[1], usable, clock.dispersion)
    return found / (2.0 if rising else 1.0)
