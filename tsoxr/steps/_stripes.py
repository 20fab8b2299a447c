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
from tsoxr.chunks import per_chunk
from tsoxr.errors import ModeError
from tsoxr.kernels.level_errors import covariance_factor
from tsoxr.kernels.stripe_basis import subtract_terms
from tsoxr.kernels.stripe_design import LAYERS, DesignOptions, stripe_design
from tsoxr.kernels.stripe_shrink import fine_variance, shrink, shrinkage
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
    "remaining_variance",
    "sample_levels",
    "shrunken",
    "static_levels",
]

BAD = (
    "DO_NOT_USE", "REFERENCE_PIXEL", "NON_SCIENCE", "DEAD", "HOT", "WARM", "RC", "TELEGRAPH",
    "OPEN", "ADJ_OPEN", "OTHER_BAD_PIXEL",
)  # fmt: skip
"""Pixels with any of these flags do not measure stripes."""


BLOCK = 1 << 21
"""Samples that are measured and subtracted in one go: 8 MB."""


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
    """Return the names of the slow and the fast axis: a line is all pixels at one slow index."""
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
    quick: Callable[..., tuple[np.ndarray, np.ndarray]] | None = None
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
    ends = ends_of(ds[["ramp", "dq_group"]]).transpose("time", "group", "y", "x")
    arrays = [
        ends["ramp"],
        ends["dq_group"],
        good_pixels(ds),
        dummy(layer=len(LAYERS)),
    ]
    if mask is not None:
        arrays.append(mask.transpose("y", "x").astype(bool))
    return lazy.static_from_sample(partial(_design, options), *arrays, dims=("layer", "y", "x"))


def sampled(array: xr.DataArray) -> list[xr.DataArray]:
    """Return the sampled integrations: runs of neighbours, which are views, of data in memory."""
    chosen = lazy.sample_indices(array.sizes["time"])
    if lazy.is_lazy(array):
        return [array.isel(time=chosen)]
    runs = np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1)
    return [array.isel(time=slice(int(run[0]), int(run[-1]) + 1)) for run in runs]


def ends_of(array: Any) -> Any:
    """Return first and last group (one, if there is only one), as a view."""
    return array.isel(group=slice(None, None, max(array.sizes["group"] - 1, 1)))


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
    flags: np.ndarray,
    good: np.ndarray,
    _layers: np.ndarray,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    unusable = dq.has_flag(flags, *dq.UNUSABLE)
    return stripe_design(ramp, unusable, good, mask, options)


def sample_levels(
    ds: xr.Dataset, scene: xr.DataArray, method: Method
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return levels (time, group, slow, term) and spread (..., output) of sampled integrations."""
    slow, fast = axes_of(ds)
    lines, sizes = ("time", "group", slow), _sizes(ds, method)
    found = [
        per_chunk(
            method.measure, part.transpose(*lines, fast), *_static(ds, scene, method),
            dims=((*lines, "term"), (*lines, "output")), dtypes=("f4", "f4"), sizes=sizes,
        )
        for part in sampled(ds["ramp"])
    ]  # fmt: skip
    levels, spread = (
        arrays[0] if len(arrays) == 1 else xr.concat(arrays, "time")
        for arrays in zip(*found, strict=True)
    )
    return levels, spread


def _sizes(ds: xr.Dataset, method: Method) -> dict[str, int]:
    sizes = {str(d): n for d, n in ds.sizes.items() if d in ("group", "y", "x")}
    return sizes | {"term": method.n_terms, "output": method.n_outputs}


def _static(ds: xr.Dataset, scene: xr.DataArray, method: Method) -> list[xr.DataArray]:
    """Return what `Method.measure` takes besides the ramp."""
    return [scene.transpose("layer", *axes_of(ds)), group_time(ds), *method.known]


def static_levels(
    ds: xr.Dataset,
    scene: xr.DataArray,
    method: Method,
    measured: tuple[xr.DataArray, xr.DataArray] | None = None,
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the level that stays, (group, slow, term), and `level_statistics` of the outputs.

    From what `sample_levels` returns, which may be given.
    """
    slow, _ = axes_of(ds)
    levels, spread = sample_levels(ds, scene, method) if measured is None else measured
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
    ds: xr.Dataset,
    scene: xr.DataArray,
    baseline: xr.DataArray,
    method: Method,
    levels: xr.DataArray | None = None,
    part: xr.DataArray | None = None,
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the ramps without stripes, and the stripes (time, group, slow, term).

    One task for each chunk, so that no chunk waits half done for what is static. ``levels``
    of all integrations, if they are in memory, are not measured again. ``part`` (slow) is the
    part of each level that is subtracted.
    """
    slow, fast = axes_of(ds)
    pixels, lines = ("time", "group", slow, fast), ("time", "group", slow, "term")
    ramp = ds["ramp"].transpose(*pixels)
    if levels is not None and not lazy.is_lazy(ramp) and levels.sizes["time"] == len(ramp):
        func, given = partial(_subtract, method.terms, edges_of(ds)), [levels]
    else:
        measure = method.quick or method.measure
        func = partial(_clean, measure, method.terms, edges_of(ds))
        given = _static(ds, scene, method)
    whole = xr.DataArray(np.zeros((0, ds.sizes[slow])), dims=("none", slow))
    part = whole if part is None else part
    cleaned, stripe = per_chunk(
        func, ramp, *given, baseline, part,
        dims=(pixels, lines), dtypes=("f4", "f4"), sizes=_sizes(ds, method),
    )  # fmt: skip
    return cleaned.transpose(*ds["ramp"].dims), stripe


def _clean(
    measure: Callable[..., tuple[np.ndarray, np.ndarray]],
    terms: np.ndarray | None,
    edges: np.ndarray,
    ramp: np.ndarray,
    *static: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Measure and subtract a few integrations at a time, which the cache still holds."""
    *static, baseline, part = static
    out, stripe = np.empty_like(ramp, dtype=np.float32), None
    step = max(1, BLOCK * len(ramp) // max(ramp.size, 1))
    for start in range(0, len(ramp), step):
        block = slice(start, start + step)
        levels, _ = measure(ramp[block], *static)
        stripe = np.empty((len(ramp), *levels.shape[1:]), np.float32) if stripe is None else stripe
        _, stripe[block] = _subtract(terms, edges, ramp[block], levels, baseline, part, out[block])
    return out, stripe


def _subtract(
    terms: np.ndarray | None,
    edges: np.ndarray,
    ramp: np.ndarray,
    levels: np.ndarray,
    baseline: np.ndarray,
    part: np.ndarray,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    stripe = (levels - baseline).astype(np.float32)
    if part.ndim == 1:
        stripe[..., 0] = shrink(stripe[..., 0], part)
    if terms is None:
        return subtract_levels(ramp, stripe, edges, out), stripe
    return subtract_terms(ramp, stripe, terms, edges, out), stripe


def shrunken(
    ds: xr.Dataset, levels: xr.DataArray, variance: xr.DataArray, method: Method
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the part of each level (slow) to subtract, and the variance that is left then.

    From levels of sampled integrations, and the variance with which they are measured.
    """
    slow, _ = axes_of(ds)
    seen = xr.ones_like(variance, dtype=bool)
    if method.per_pixel is not None:
        seen = np.isfinite(method.per_pixel).any("output")
    both = lazy.static_from_sample(
        _shrunken, levels.isel(term=0), variance, seen, dummy(layer=2),
        dims=("layer", slow), dtype="f8",
    )  # fmt: skip
    return both.isel(layer=0), both.isel(layer=1).assign_attrs(variance.attrs)


def _shrunken(
    levels: np.ndarray, variance: np.ndarray, seen: np.ndarray, _layers: np.ndarray
) -> np.ndarray:
    part = shrinkage(fine_variance(levels, seen), variance, seen)
    return np.stack([part, np.where(seen, part * variance, variance)])


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
