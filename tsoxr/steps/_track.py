"""What `track` does with arrays: the model of the mean frame, and each chunk against it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from tsoxr.kernels import motion, motion_frame, motion_model, motion_sums
from tsoxr.kernels.outliers import masked_median
from tsoxr.lazy import static_from_sample
from tsoxr.steps import _rates

__all__ = ["Plan", "measured", "model_of"]

N_SAMPLE = 64
"""Integrations of the mean frame: eight runs of eight, which hold 300 MB of the widest frames."""
N_COLOURS = 4
"""Terms of a change of the spectrum's colour that are no shift along dispersion: cubic."""


@dataclass(frozen=True)
class Plan:
    """How the integrations of one exposure are measured.

    ``terms`` are fitted beside the shifts, ``n_extra`` images of the user after them; ``shape``
    is that of the model, with the spatial axis first.
    """

    method: str
    imaging: bool
    turned: bool
    half_width: float
    terms: tuple[str, ...]
    n_extra: int
    shape: motion_model.Shape

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the values of each integration; their errors follow in this order."""
        own = ("shift", "shift_dispersion", *(t for t in self.terms if t != "constant"))
        return ("amplitude", *own, *(f"component_{i}" for i in range(self.n_extra)))


def model_of(plan: Plan, ds: xr.Dataset, trace: xr.DataArray, extra: xr.DataArray) -> xr.DataArray:
    """Return the packed model, (value,) float64; lazy for lazy data.

    Parameters
    ----------
    plan : Plan
        What is measured.
    ds : xarray.Dataset
        Rates.
    trace : xarray.DataArray
        Index of the trace on the spatial axis, along dispersion; anything for an image.
    extra : xarray.DataArray
        Images of the user, (component, y, x).
    """
    rate, error, flags = (ds[n].transpose("time", "y", "x") for n in ("rate", "rate_error", "dq"))
    bad = _rates.unusable(rate, error, flags)
    usual = _rates.typical_error(ds)
    two = xr.DataArray(np.zeros(2), dims="part")
    dims = ("part", "y", "x")
    frame = static_from_sample(
        _mean, rate, bad, usual, two, dims=dims, dtype="f8", n_sample=N_SAMPLE
    )
    values = xr.DataArray(np.zeros(motion_model.size(plan.shape)), dims="value")

    def build(
        frame: np.ndarray, usual: np.ndarray, trace: np.ndarray, extra: np.ndarray, _: np.ndarray
    ) -> np.ndarray:
        return motion_model.pack(_build(plan, frame, usual, trace, extra))

    return static_from_sample(
        build, frame, usual, trace, extra, values, dims=("value",), dtype="f8"
    )


def _mean(rate: np.ndarray, bad: np.ndarray, usual: np.ndarray, _: np.ndarray) -> np.ndarray:
    """Return mean frame and samples in it, (2, y, x): two passes, as the light must be known."""
    weight = 1.0 / usual.astype(np.float64) ** 2
    light = motion_frame.amplitudes(rate, bad, masked_median(rate, bad), weight)
    mean, _used = motion_frame.robust_mean(rate, bad, light)
    light = motion_frame.amplitudes(rate, bad, mean, weight)
    return np.stack(motion_frame.robust_mean(rate, bad, light / np.median(light)))


def _build(
    plan: Plan, frame: np.ndarray, usual: np.ndarray, trace: np.ndarray, extra: np.ndarray
) -> motion_model.Model:
    mean, n_used, error = (_turned(plan, a.astype(np.float64)) for a in (*frame, usual))
    extra = np.ascontiguousarray(_turned(plan, extra.astype(np.float64)))
    error = np.where(np.isfinite(error), error, 0.0)
    mean_error = np.where(n_used > 0, error / np.sqrt(np.maximum(n_used, 1.0)), 0.0)
    if plan.imaging:
        return motion_model.image_model(mean, mean_error, error, plan.half_width, plan.terms, extra)
    return motion_model.spectrum_model(
        mean, mean_error, error, trace.astype(np.float64), plan.half_width, plan.terms, extra,
        plan.shape.n_terms,
    )  # fmt: skip


def _turned(plan: Plan, array: np.ndarray) -> np.ndarray:
    """Return (..., y, x) as (..., spatial, line), contiguous."""
    return np.ascontiguousarray(np.swapaxes(array, -1, -2) if plan.turned else array)


def measured(
    plan: Plan, rate: np.ndarray, error: np.ndarray, flags: np.ndarray, packed: np.ndarray
) -> np.ndarray:
    """Return the values of each integration and their errors, (time, 2 column) float64."""
    model = motion_model.unpack(packed, plan.shape)
    bad = _turned(plan, _rates.unusable(rate, error, flags))
    data = _turned(plan, rate)
    if plan.method == "decomposition":
        return _decomposed(plan, data, bad, model)
    return _summed(plan, data, bad, model)


def _decomposed(
    plan: Plan, rate: np.ndarray, bad: np.ndarray, model: motion_model.Model
) -> np.ndarray:
    found = motion.fit_motion(
        rate, bad, model.parts, model.weight, model.design, model.noise, plan.imaging
    )
    half = found.shape[1] // 2
    names = ["amplitude", "shift", *(["shift_dispersion"] if plan.imaging else []), *plan.terms]
    names += [f"component_{i}" for i in range(plan.n_extra)]
    names += [] if plan.imaging else ["shift_dispersion"]
    value, error = found[:, :half], found[:, half:]
    shifts = [value[:, 1], value[:, 2] if plan.imaging else np.zeros(len(value))]
    linear = value.copy()
    for shift, response in zip(shifts, model.response, strict=True):  # second order of the shifts
        linear[:, 1:] -= np.square(shift)[:, None] * response[1:]
    pick = [names.index(name) for name in plan.columns]
    return _in_pixels(plan, linear[:, pick], error[:, pick], model)


def _summed(plan: Plan, rate: np.ndarray, bad: np.ndarray, model: motion_model.Model) -> np.ndarray:
    n_shifts = 2 if plan.imaging else 1
    n_columns = len(plan.columns)
    value, error = (np.full((len(rate), n_columns), np.nan) for _ in range(2))
    if plan.method == "moments":
        kernels = motion_sums.moment_kernels(model, joint=plan.imaging)
        changes = model.parts[[*range(1, n_shifts + 1), n_shifts + 1 + plan.terms.index("width")]]
        columns = [*range(1, n_shifts + 1), plan.columns.index("width")]
        turn = motion_sums.moments
    else:
        kernels = motion_sums.correlation_kernels(model, joint=plan.imaging)
        along = model.parts[2] if plan.imaging else model.parts[0] * np.nan_to_num(model.design[-1])
        changes, columns, turn = np.stack([model.parts[1], along]), [1, 2], motion_sums.correlation
    sums = motion.estimates(rate, bad, model.parts[0], model.weight, kernels)
    value[:, columns], error[:, columns] = turn(sums, kernels, model, changes)
    value[:, 0] = sums[:, 0]
    error[:, 0] = 1.0 / np.sqrt((model.weight * model.parts[0] ** 2).sum())
    return _in_pixels(plan, value, error, model)


def _in_pixels(
    plan: Plan, value: np.ndarray, error: np.ndarray, model: motion_model.Model
) -> np.ndarray:
    """Return values and errors side by side, the relative widening as a width in pixels."""
    if "width" in plan.columns:
        k = plan.columns.index("width")
        value[:, k] = model.fwhm[0] * (1.0 + value[:, k])
        error[:, k] *= model.fwhm[0]
    return np.concatenate([value, error], axis=1)
