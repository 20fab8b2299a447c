"""What the cleaning of stripes needs to know: read-out blocks, background, levels of lines.

Everything static comes from two looks at a sample of the integrations: at the first and the
last group (the design: scene, mask, clipping), and at the levels of the lines (what of them
does not vary).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq, lazy, modes
from tsoxr.errors import ModeError
from tsoxr.kernels.level_errors import covariance_factor
from tsoxr.kernels.stripe_basis import subtract_terms
from tsoxr.kernels.stripe_design import LAYERS, DesignOptions, stripe_design
from tsoxr.kernels.stripe_power import N_FREQUENCIES, clock_power, frequency_bins
from tsoxr.kernels.stripe_statistics import level_statistics, variance_left
from tsoxr.kernels.stripes import output_edges, subtract_levels

__all__ = [
    "BAD",
    "Method",
    "axes_of",
    "clean",
    "design",
    "design_options",
    "dummy",
    "edges_of",
    "factor_left",
    "good_pixels",
    "group_time",
    "has_interleaved_outputs",
    "power",
    "remaining_variance",
    "sample_levels",
    "static_levels",
]

BAD = (
    "DO_NOT_USE", "REFERENCE_PIXEL", "NON_SCIENCE", "DEAD", "HOT", "WARM", "RC", "TELEGRAPH",
    "OPEN", "ADJ_OPEN", "OTHER_BAD_PIXEL",
)  # fmt: skip
"""Pixels with any of these flags do not measure stripes."""


def has_interleaved_outputs(ds: xr.Dataset) -> bool:
    """Return True where neighbouring pixels of a line are read through different outputs."""
    try:
        return modes.detector(str(ds.attrs.get("detector"))).interleaved
    except ModeError:
        return False


def edges_of(ds: xr.Dataset) -> np.ndarray:
    """Return where the outputs begin along a line; interleaved ones share its stripes."""
    n_outputs = 1 if has_interleaved_outputs(ds) else int(ds.attrs.get("n_outputs", 1))
    return output_edges(ds.sizes[ds.attrs["fast_dim"]], n_outputs)


def axes_of(ds: xr.Dataset) -> tuple[str, str]:
    return ds.attrs["slow_dim"], ds.attrs["fast_dim"]


def dummy(**sizes: int) -> xr.DataArray:
    """Return an array that tells `lazy.static_from_sample` the sizes of new dims."""
    return xr.DataArray(np.zeros(tuple(sizes.values()), "i1"), dims=tuple(sizes))


@dataclass(frozen=True)
class Method:
    """A way to measure levels.

    ``measure`` takes ramp (time, group, slow, fast), design and group times, and the values of
    ``known`` (static arrays), and returns levels (time, group, slow, term) and spread (time,
    group, slow, output). ``terms`` (term, fast) are the functions along a line that levels are
    amplitudes of; without them each output has one level. ``per_pixel`` (slow, output) is the
    variance of a level over that of a pixel, infinite for lines without pixels, whose levels may
    be ``estimated`` with a variance (slow, output); ``variance`` (slow) is that of the level of
    one group itself, and ``covariance`` (line, other) that of what stays in the rises of all
    lines and outputs, where it is known.
    """

    measure: Callable[..., tuple[np.ndarray, np.ndarray]]
    n_outputs: int
    known: tuple[xr.DataArray, ...] = ()
    terms: np.ndarray | None = None
    per_pixel: xr.DataArray | None = None
    variance: xr.DataArray | None = None
    estimated: xr.DataArray | None = None
    covariance: xr.DataArray | None = None

    @property
    def n_terms(self) -> int:
        """Levels of a line."""
        return self.n_outputs if self.terms is None else len(self.terms)


def design(
    ds: xr.Dataset,
    *,
    mask: xr.DataArray | None,
    half_width: float,
    min_pixels: int,
    sigma: float,
    scale: bool,
) -> xr.DataArray:
    """Return scene, mask and clipping, (layer, y, x); see `stripe_design`."""
    options = design_options(ds, half_width, min_pixels, sigma, scale)
    ends = ds[["ramp", "dq_group"]].isel(group=[0, -1]).transpose("time", "group", "y", "x")
    arrays = [
        ends["ramp"],
        dq.has_flag(ends["dq_group"], *dq.UNUSABLE),
        good_pixels(ds),
        dummy(layer=len(LAYERS)),
    ]
    if mask is not None:
        arrays.append(mask.transpose("y", "x").astype(bool))
    return lazy.static_from_sample(partial(_design, options), *arrays, dims=("layer", "y", "x"))


def design_options(
    ds: xr.Dataset, half_width: float, min_pixels: int, sigma: float, scale: bool
) -> DesignOptions:
    """Return the options of the kernels of the design."""
    mode = ds.attrs.get("tso_mode")
    return DesignOptions(
        spatial_axis=("y", "x").index(ds.attrs["spatial_dim"]),
        lines_along=("y", "x").index(ds.attrs["fast_dim"]),
        edges=edges_of(ds),
        half_width=half_width,
        min_pixels=min_pixels,
        sigma=sigma,
        point_source=mode in modes.names() and modes.get(mode).imaging,
        follow_light=scale,
    )


def good_pixels(ds: xr.Dataset) -> xr.DataArray:
    """Return True for pixels (y, x) to trust."""
    return ~dq.has_flag(ds["dq_pixel"], *BAD).transpose("y", "x")


def _design(
    options: DesignOptions,
    ramp: np.ndarray,
    unusable: np.ndarray,
    good: np.ndarray,
    _layers: np.ndarray,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    return stripe_design(ramp, unusable, good, mask, options)


def sample_levels(
    ds: xr.Dataset, scene: xr.DataArray, method: Method
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return levels (time, group, slow, term) and spread (..., output) of sampled integrations."""
    slow, _ = axes_of(ds)
    chosen = lazy.sample_indices(ds.sizes["time"])
    levels, spread = xr.apply_ufunc(
        method.measure, ds["ramp"].isel(time=chosen), scene, group_time(ds), *method.known,
        input_core_dims=_core_dims(ds, method),
        output_core_dims=[["group", slow, "term"], ["group", slow, "output"]],
        dask="parallelized", output_dtypes=["f4", "f4"],
        dask_gufunc_kwargs={"output_sizes": {"term": method.n_terms, "output": method.n_outputs}},
    )  # fmt: skip
    return levels, spread


def _core_dims(ds: xr.Dataset, method: Method) -> list[list[Any]]:
    slow, fast = axes_of(ds)
    known = [list(array.dims) for array in method.known]
    return [["group", slow, fast], ["layer", slow, fast], ["group"], *known]


def static_levels(
    ds: xr.Dataset, scene: xr.DataArray, method: Method
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the level that stays, (group, slow, term), and `level_statistics` of the outputs."""
    slow, _ = axes_of(ds)
    levels, spread = sample_levels(ds, scene, method)
    step = method.n_terms // method.n_outputs
    first = levels.isel(term=slice(None, None, step)).rename(term="output")
    statistics = lazy.static_from_sample(
        _level_statistics, first, spread, dummy(layer=3),
        dims=("layer", "group", slow, "output"), dtype="f8",
    )  # fmt: skip
    if step == 1:
        return statistics.isel(layer=0).rename(output="term"), statistics
    dims = ("group", slow, "term")
    return lazy.static_from_sample(_median, levels, dims=dims, dtype="f8"), statistics


def _level_statistics(levels: np.ndarray, spread: np.ndarray, _layers: np.ndarray) -> np.ndarray:
    return level_statistics(levels, spread)


def _median(levels: np.ndarray) -> np.ndarray:
    return np.median(levels, axis=0)


def group_time(ds: xr.Dataset) -> xr.DataArray:
    """Return the times of the groups since reset, or their numbers."""
    return (ds["group_time"] if "group_time" in ds.coords else ds["group"]).astype("f8")


def clean(
    ds: xr.Dataset, scene: xr.DataArray, baseline: xr.DataArray, method: Method
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the ramps without stripes, and the stripes (time, group, slow, term).

    One task for each chunk, so that no chunk waits half done for what is static.
    """
    slow, fast = axes_of(ds)
    core = _core_dims(ds, method)
    ramp, stripe = xr.apply_ufunc(
        partial(_clean, method.measure, method.terms, edges_of(ds)),
        ds["ramp"], scene, group_time(ds), baseline, *method.known,
        input_core_dims=[*core[:3], ["group", slow, "term"], *core[3:]],
        output_core_dims=[["group", slow, fast], ["group", slow, "term"]],
        dask="parallelized", output_dtypes=["f4", "f4"],
    )  # fmt: skip
    return ramp.transpose(*ds["ramp"].dims), stripe


def _clean(
    measure: Callable[..., tuple[np.ndarray, np.ndarray]],
    terms: np.ndarray | None,
    edges: np.ndarray,
    ramp: np.ndarray,
    design: np.ndarray,
    times: np.ndarray,
    baseline: np.ndarray,
    *known: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    levels, _ = measure(ramp, design, times, *known)
    stripe = (levels - baseline).astype(np.float32)
    if terms is None:
        return subtract_levels(ramp, stripe, edges), stripe
    return subtract_terms(ramp, stripe, terms, edges), stripe


def power(
    ds: xr.Dataset, cleaned: xr.DataArray, design: xr.DataArray, units: str
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the power density (stage, frequency) of the dark pixels, and the frequencies."""
    slow, fast = axes_of(ds)
    ends = [
        array.isel(group=[0, -1]).transpose("time", "group", slow, fast)
        for array in (ds["ramp"], cleaned)
    ]
    usable = (design.isel(layer=LAYERS.index("usable")) > 0).transpose(slow, fast)
    edges = edges_of(ds)
    ticks = ds.sizes[slow] * int(edges[1])
    tick = float(ds.attrs.get("frame_time", ticks)) / ticks
    found = lazy.static_from_sample(
        partial(_power, edges, tick), *ends, usable, dummy(stage=2, frequency=N_FREQUENCIES),
        dims=("stage", "frequency"),
    )  # fmt: skip
    bins = frequency_bins(ticks)
    frequency = xr.DataArray(np.sqrt(bins[1:] * bins[:-1]) / tick, dims="frequency")
    return (
        found.assign_attrs(
            long_name="power density of the dark pixels, before and after", units=units
        ),
        frequency.assign_attrs(long_name="frequency on the clock", units="Hz"),
    )


def _power(
    edges: np.ndarray,
    tick: float,
    before: np.ndarray,
    after: np.ndarray,
    usable: np.ndarray,
    _stages: np.ndarray,
) -> np.ndarray:
    rises = [ramp[:, -1].astype(np.float32) - ramp[:, 0] for ramp in (before, after)]
    return tick * np.stack([clock_power(rise, usable, edges) for rise in rises])


def factor_left(ds: xr.Dataset, method: Method) -> xr.DataArray | None:
    """Return the factor (slow, output, level_mode) of the covariance that one group is left with."""
    if method.covariance is None:
        return None
    slow, _ = axes_of(ds)
    n_slow, n_mode = ds.sizes[slow], method.covariance.sizes["line"]
    factor = lazy.static_from_sample(
        partial(_factor, method.n_outputs), method.covariance,
        dummy(**{slow: n_slow}, output=method.n_outputs, level_mode=n_mode),
        dims=(slow, "output", "level_mode"),
    )  # fmt: skip
    return factor.assign_attrs(
        long_name="factor of the covariance of the levels of one group", units="DN"
    )


def _factor(n_outputs: int, covariance: np.ndarray, _size: np.ndarray) -> np.ndarray:
    """Return the factor of half the covariance of the rises."""
    return covariance_factor(0.5 * covariance).reshape(-1, n_outputs, len(covariance))


def remaining_variance(ds: xr.Dataset, statistics: xr.DataArray, method: Method) -> xr.DataArray:
    """Return the variance (slow) of the level that one group of a line is left with, DN2."""
    slow, _ = axes_of(ds)
    variance = method.variance
    if method.per_pixel is not None:
        others = xr.full_like(method.per_pixel, np.inf)
        others = others if method.estimated is None else method.estimated
        variance = xr.apply_ufunc(
            variance_left, statistics, method.per_pixel, others,
            input_core_dims=[["layer", "group", slow, "output"], *[[slow, "output"]] * 2],
            output_core_dims=[[slow]], dask="parallelized", output_dtypes=["f8"],
        )  # fmt: skip
    return variance.assign_attrs(
        long_name="variance of the level of a line in one group", units="DN2"
    )
