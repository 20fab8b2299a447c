"""How the interference of an exposure is measured: from a sample of it, as one small table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, lazy
from tsoxr.kernels import interference as kernel
from tsoxr.steps import _clock, _flags, _unlit

__all__ = ["PHASES", "Plan", "Table", "make_plan", "measure", "removed"]

PHASES = 64
"""Bins of the folded data."""

HIGHEST = 1500.0
"""Where the power spectrum ends, Hz."""

LEAST = 0.05
"""Part of a wave that has to be left without the scene."""

LARGEST_SAMPLE, SAMPLE, SHOWN = 16e6, 128, 8
"""Pixels and integrations that a sample may have; integrations that are folded."""

BAD = ("DO_NOT_USE", "REFERENCE_PIXEL", "NON_SCIENCE", "DEAD", "HOT", "WARM", "RC", "TELEGRAPH")


@dataclass(frozen=True, eq=False)
class Plan:
    """The waves and the clock: all that is known before the data.

    ``base`` (signal,) Hz; ``frequency`` (wave,) Hz with the harmonics; ``seen`` (wave,) whether
    the clock lets it be told from the scene; ``starts`` (time, group, frame) ticks.
    """

    base: np.ndarray
    frequency: np.ndarray
    seen: np.ndarray
    per_ramp: bool
    waves: kernel.Waves
    starts: np.ndarray
    significance: float

    @property
    def n_power(self) -> int:
        """Frequencies of the power spectrum."""
        return int(HIGHEST / self.power_step)

    @property
    def power_step(self) -> float:
        """Distance of its frequencies, Hz."""
        return 1.0 / (_clock.TICK * (int(self.waves.ticks.max()) + 1))


@dataclass(frozen=True)
class Table:
    """Places of the parts of the table."""

    plan: Plan

    def sizes(self) -> dict[str, tuple[int, ...]]:
        """Return the parts in order, with their shapes."""
        n_wave, plan = self.plan.frequency.size, self.plan
        return {
            "real": (n_wave,), "imag": (n_wave,), "error": (n_wave,),
            "folded": (plan.base.size, PHASES), "power": (2, plan.n_power),
            "weights": plan.waves.good.shape,
        }  # fmt: skip

    @property
    def size(self) -> int:
        """Length of the table."""
        return sum(int(np.prod(shape)) for shape in self.sizes().values())

    def part(self, table: xr.DataArray, name: str, *dims: str) -> xr.DataArray:
        """Return one part of a table, lazy if it is."""
        begin = 0
        for each, shape in self.sizes().items():
            stop = begin + int(np.prod(shape))
            if each == name:
                return xr.DataArray(table.data[begin:stop].reshape(shape), dims=dims)
            begin = stop
        raise KeyError(name)


def make_plan(
    ds: xr.Dataset, frequencies: list[float], harmonics: list[int], significance: float
) -> Plan:
    """Return the waves on the clock of an exposure."""
    base = np.asarray(frequencies, dtype=np.float64)
    frequency = np.concatenate(
        [f * np.arange(1, n + 1) for f, n in zip(base, harmonics, strict=True)]
    )
    starts = _clock.frame_starts(ds, _clock.integration_index(ds).values)
    phasors = kernel.frame_phasors(starts, frequency * _clock.TICK)
    about_mean = kernel.information(phasors, per_ramp=False)
    about_line = kernel.information(phasors, per_ramp=True)
    seen, straight = about_mean > LEAST, about_line > LEAST
    per_ramp = bool(ds.sizes["group"] > 3 and straight.sum() > seen.sum())
    seen = straight if per_ramp else seen
    waves = kernel.Waves(
        frequency * _clock.TICK, _clock.pixel_ticks(ds), _unlit.outputs(ds).values, _good(ds)
    )
    return Plan(base, frequency, seen, per_ramp, waves, starts, significance)


def _good(ds: xr.Dataset) -> np.ndarray:
    """Return the pixels to trust; the flags are one small image, looked at on the spot."""
    flags = _clock.at_hand(ds["dq_pixel"]).transpose("y", "x")
    return np.asarray(~dq.has_flag(flags, *BAD))


def measure(ds: xr.Dataset, plan: Plan) -> xr.DataArray:
    """Return the table of amplitudes and of what shows them, (emi_table,) float64."""
    n_pixel = ds["ramp"].isel(time=0).size
    n_sample = int(np.clip(LARGEST_SAMPLE / n_pixel, 4, SAMPLE))
    place = xr.DataArray(np.arange(ds.sizes["time"]), dims="time")
    ramp = ds["ramp"].transpose("time", "group", "y", "x")
    unusable = dq.has_flag(ds["dq_group"], *dq.UNUSABLE).transpose(*ramp.dims)
    size = xr.DataArray(np.zeros(Table(plan).size), dims="emi_table")
    return lazy.static_from_sample(
        partial(_table, plan), ramp, unusable, place, size,
        dims=("emi_table",), dtype="f8", n_sample=n_sample,
    )  # fmt: skip


def _table(
    plan: Plan, ramp: np.ndarray, unusable: np.ndarray, place: np.ndarray, _size: np.ndarray
) -> np.ndarray:
    residual, waves = ramp.astype(np.float32), plan.waves
    left_out = _flags.of_single_pixels(unusable).any(axis=(0, 1))
    left_out |= ~np.isfinite(residual).all(axis=(0, 1))
    residual[:, :, left_out] = 0.0
    residual = kernel.without_scene(residual, per_ramp=plan.per_ramp)
    weights = kernel.quiet_weights(residual, waves.good & ~left_out)
    phasors = kernel.frame_phasors(plan.starts[place], waves.frequency)
    seen = kernel.Waves(waves.frequency[plan.seen], waves.ticks, waves.outputs, waves.good)
    amplitude, error = np.zeros(plan.seen.size, complex), np.zeros(plan.seen.size)
    if weights.any() and plan.seen.any():
        amplitude[plan.seen], error[plan.seen] = kernel.fit_exposure(
            residual, phasors[..., plan.seen], weights, seen, per_ramp=plan.per_ramp
        )
    amplitude[~(np.abs(amplitude) > plan.significance * error)] = 0.0
    folded, power = _pictures(plan, residual[:SHOWN], place, amplitude, weights)
    parts = (amplitude.real, amplitude.imag, error, folded, power, weights)
    return np.concatenate([np.ravel(part) for part in parts])


def _pictures(
    plan: Plan, residual: np.ndarray, place: np.ndarray, amplitude: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return data folded on each signal after its removal, and power before and after."""
    waves, starts = plan.waves, plan.starts[place]
    if not weights.any():
        return np.zeros((plan.base.size, PHASES)), np.zeros((2, plan.n_power))
    levels = kernel.levels_of_frames(amplitude, kernel.frame_phasors(starts, waves.frequency))
    levels = kernel.without_scene(levels, per_ramp=plan.per_ramp)[: residual.shape[0]]
    model = levels @ kernel.pixel_basis(waves.ticks[weights > 0], waves.frequency).T
    before = residual[:, :, weights > 0]
    ticks = waves.ticks[weights > 0]
    after = before - model
    when = starts[: residual.shape[0]].mean(axis=2)[..., None] + ticks
    folded = np.stack([_folded(f * _clock.TICK * when, after) for f in plan.base])
    power = np.stack([_power(values, ticks, plan) for values in (before, after)])
    return folded, power


def _folded(cycles: np.ndarray, values: np.ndarray) -> np.ndarray:
    bins = ((cycles % 1.0) * PHASES).astype(np.int64).ravel() % PHASES
    count = np.bincount(bins, minlength=PHASES)
    return np.bincount(bins, values.ravel(), PHASES) / np.maximum(count, 1)


def _power(values: np.ndarray, ticks: np.ndarray, plan: Plan) -> np.ndarray:
    """Return the one-sided density (DN2/Hz) of the mean of the outputs, frame by frame."""
    length = int(plan.waves.ticks.max()) + 1
    count = np.bincount(ticks, minlength=length)
    frames = values.reshape(-1, ticks.size)
    series = np.stack([np.bincount(ticks, frame, length) for frame in frames])
    series = series / np.maximum(count, 1)
    sampled = max(int((count > 0).sum()), 1)
    series -= np.where(count > 0, series.sum(axis=1, keepdims=True) / sampled, 0.0)
    power = (np.abs(np.fft.rfft(series, axis=1)) ** 2).mean(axis=0) * 2.0 * _clock.TICK / sampled
    return power[1 : plan.n_power + 1]


def removed(
    ds: xr.Dataset, plan: Plan, table: xr.DataArray, *, per_integration: bool
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the ramps without the waves, and the amplitudes (time, emi_wave) complex."""
    waves = plan.waves
    used, place = np.unique(waves.ticks, return_inverse=True)
    basis = np.ascontiguousarray(kernel.pixel_basis(used, waves.frequency).T)
    work = _Work(plan, basis, place.reshape(waves.ticks.shape), per_integration)
    when = xr.DataArray(np.arange(ds.sizes["time"]), dims="time")
    ramp = ds["ramp"].transpose("time", "group", "y", "x")
    if lazy.is_lazy(ramp):
        when = when.chunk(time=ramp.chunksizes["time"])
    wave = xr.DataArray(np.zeros(plan.seen.size), dims="emi_wave")
    (amplitude,) = chunks.per_chunk(
        work.amplitude, ramp, when, table, wave, dims=("time", "emi_wave"), dtypes=("c16",)
    )
    (clean,) = chunks.per_chunk(work.clean, ramp, when, amplitude, dims=ramp.dims, dtypes=("f4",))
    return clean.transpose(*ds["ramp"].dims), amplitude


@dataclass(frozen=True, eq=False)
class _Work:
    """What is done to each chunk."""

    plan: Plan
    basis: np.ndarray
    place: np.ndarray
    per_integration: bool

    def _phasors(self, when: np.ndarray) -> np.ndarray:
        return kernel.frame_phasors(self.plan.starts[when], self.plan.waves.frequency)

    def amplitude(
        self, ramp: np.ndarray, when: np.ndarray, table: np.ndarray, wave: np.ndarray
    ) -> tuple[np.ndarray]:
        """Return the amplitudes of the integrations of a chunk."""
        n_wave = wave.size
        if not self.per_integration:
            common = table[:n_wave] + 1j * table[n_wave : 2 * n_wave]
            return (np.broadcast_to(common, (when.size, n_wave)).copy(),)
        weights = table[-self.place.size :].reshape(self.place.shape).astype(np.float32)
        phasors = self._phasors(when)
        return (kernel.fit_integrations(ramp, phasors, weights, self.plan.waves),)

    def clean(self, ramp: np.ndarray, when: np.ndarray, amplitude: np.ndarray) -> tuple[np.ndarray]:
        """Return a chunk without the waves."""
        levels = kernel.levels_of_frames(amplitude, self._phasors(when))
        return (kernel.remove_waves(ramp, levels, self.basis, self.place),)
