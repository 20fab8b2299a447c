"""Levels of lines, as every method of `clean_1overf` measures and subtracts them.

What of the levels does not vary comes from a sample of the integrations and stays in the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import xarray as xr

from tsoxr import lazy
from tsoxr.chunks import per_chunk
from tsoxr.kernels.level_errors import covariance_factor
from tsoxr.kernels.stripe_basis import subtract_terms
from tsoxr.kernels.stripe_shrink import fine_variance, shrink, shrinkage
from tsoxr.kernels.stripe_statistics import level_statistics, variance_left
from tsoxr.kernels.stripes import subtract_levels
from tsoxr.steps._stripes import axes_of, dummy, edges_of, group_time

__all__ = [
    "Method",
    "clean",
    "factor_left",
    "remaining_variance",
    "sample_levels",
    "shrunken",
    "static_levels",
]

BLOCK = 1 << 22
"""Samples that are measured and subtracted in one go: 16 MB."""


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


def _sampled(array: xr.DataArray) -> list[xr.DataArray]:
    """Return the sampled integrations: runs of neighbours, which are views, of data in memory."""
    chosen = lazy.sample_indices(array.sizes["time"])
    if lazy.is_lazy(array):
        return [array.isel(time=chosen)]
    runs = np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1)
    return [array.isel(time=slice(int(run[0]), int(run[-1]) + 1)) for run in runs]


def sample_levels(
    ds: xr.Dataset, scene: xr.DataArray, method: Method
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return levels (time, group, slow, term) and spread (..., output) of sampled integrations."""
    slow, fast = axes_of(ds)
    lines = ("time", "group", slow)
    dims, static = ((*lines, "term"), (*lines, "output")), _static(ds, scene, method)
    parts = [part.transpose(*lines, fast) for part in _sampled(ds["ramp"])]
    if not any(lazy.is_lazy(array) for array in (*parts, *static)):
        values = [array.values for array in static]
        found = zip(*(method.measure(part.values, *values) for part in parts), strict=True)
        joined = (each[0] if len(each) == 1 else np.concatenate(each) for each in found)
        levels, spread = (xr.DataArray(a, dims=d) for a, d in zip(joined, dims, strict=True))
        return levels, spread
    sizes = _sizes(ds, method)
    measured = [
        per_chunk(method.measure, part, *static, dims=dims, dtypes=("f4", "f4"), sizes=sizes)
        for part in parts
    ]
    levels, spread = (
        arrays[0] if len(arrays) == 1 else xr.concat(arrays, "time")
        for arrays in zip(*measured, strict=True)
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
    of sampled integrations, if they are in memory, are not measured again. ``part`` (slow) is
    the part of each level that is subtracted.
    """
    slow, fast = axes_of(ds)
    pixels, lines = ("time", "group", slow, fast), ("time", "group", slow, "term")
    ramp, known = ds["ramp"].transpose(*pixels), None
    if levels is not None and not lazy.is_lazy(ramp) and not lazy.is_lazy(levels):
        known = lazy.sample_indices(ramp.sizes["time"]), levels.values
    func = partial(_clean, method.quick or method.measure, method.terms, edges_of(ds), known)
    whole = xr.DataArray(np.zeros((0, ds.sizes[slow])), dims=("none", slow))
    cleaned, stripe = per_chunk(
        func, ramp, *_static(ds, scene, method), baseline, whole if part is None else part,
        dims=(pixels, lines), dtypes=("f4", "f4"), sizes=_sizes(ds, method),
    )  # fmt: skip
    return cleaned.transpose(*ds["ramp"].dims), stripe


def _clean(
    measure: Callable[..., tuple[np.ndarray, np.ndarray]],
    terms: np.ndarray | None,
    edges: np.ndarray,
    known: tuple[np.ndarray, np.ndarray] | None,
    ramp: np.ndarray,
    *static: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Measure and subtract a few integrations at a time, which the cache still holds.

    ``known`` are integrations that have been measured already, and their levels.
    """
    *static, baseline, part = static
    out = np.empty_like(ramp, dtype=np.float32)
    stripe = np.empty((len(ramp), *baseline.shape), np.float32)
    step = max(1, BLOCK * len(ramp) // max(ramp.size, 1))
    at, found = (np.zeros(0, np.int64), baseline[:0]) if known is None else known
    for block in _blocks(len(ramp), step, at):
        first = int(np.searchsorted(at, block.start))
        if first < at.size and at[first] == block.start:
            levels = found[first : first + block.stop - block.start]
        else:
            levels, _ = measure(ramp[block], *static)
        _, stripe[block] = _subtract(terms, edges, ramp[block], levels, baseline, part, out[block])
    return out, stripe


def _blocks(n: int, step: int, at: np.ndarray) -> Iterator[slice]:
    """Return pieces of at most ``step``, each of integrations that are all ``at`` or none."""
    known = np.zeros(n, bool)
    known[at] = True
    for begin, end in pairwise([0, *(np.flatnonzero(np.diff(known)) + 1), n]):
        for start in range(begin, end, step):
            yield slice(start, min(start + step, end))


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
