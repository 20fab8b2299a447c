"""The methods of `clean_1overf`: what each one measures, with what it holds static."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from tsoxr import dq, lazy
from tsoxr.kernels.stripe_basis import (
    line_terms,
    odd_even_terms,
    polynomial_terms,
    term_levels,
)
from tsoxr.kernels.stripe_design import LAYERS, DesignOptions, design_and_distance
from tsoxr.kernels.stripe_fill import fill_matrix, filled_levels
from tsoxr.kernels.stripe_joint import joint_levels, joint_solver, level_covariance
from tsoxr.kernels.stripe_scaled import scaled_levels, scaled_variance
from tsoxr.kernels.stripe_scene import SCENE, scene_layers
from tsoxr.kernels.stripe_statistics import drop_short_lines
from tsoxr.kernels.stripes import line_levels
from tsoxr.steps import _stripe_levels, _stripes
from tsoxr.steps._stripe_levels import Method
from tsoxr.steps._stripes import axes_of, edges_of

__all__ = [
    "VARIANCE_OF",
    "averages",
    "cleaned",
    "design_and_scene",
    "factor_of",
    "from_all_pixels",
    "lies_along",
    "with_terms",
]

VARIANCE_OF = {"mean": 1.0, "median": np.pi / 2.0}
"""Methods, and the variance of each for many Gaussian values over that of the mean."""


def cleaned(
    ds: xr.Dataset, scene: xr.DataArray, method: Method
) -> tuple[xr.DataArray, xr.DataArray, dict[str, xr.DataArray]]:
    """Return the ramps without stripes, the stripes, and the errors of the levels that are left."""
    measured = _stripe_levels.sample_levels(ds, scene, method)
    baseline, statistics = _stripe_levels.static_levels(ds, scene, method, measured)
    variance, part = _stripe_levels.remaining_variance(ds, statistics, method), None
    if not lies_along(ds) and method.n_outputs == 1:
        part, variance = _stripe_levels.shrunken(ds, measured[0], variance, method)
    errors = {"stripe_variance": variance} | factor_of(ds, method)
    return *_stripe_levels.clean(ds, scene, baseline, method, measured[0], part), errors


def factor_of(ds: xr.Dataset, method: Method) -> dict[str, xr.DataArray]:
    """Return the factor of what lines along the spectrum are left with, as a variable if there."""
    factor = _stripe_levels.factor_left(ds, method)
    return {} if factor is None else {"stripe_factor": factor}


def lies_along(ds: xr.Dataset) -> bool:
    """Return True where the lines run along the spectrum."""
    return ds.attrs["fast_dim"] == ds.attrs["dispersion_dim"]


def _per_pixel(usable: xr.DataArray, edges: np.ndarray, efficiency: float) -> np.ndarray:
    count = np.add.reduceat(usable.astype(np.int64), edges[:-1], axis=-1)
    return np.where(count > 0, efficiency / np.maximum(count, 1), np.inf)


def _static(func: object, ds: xr.Dataset, usable: xr.DataArray) -> xr.DataArray:
    slow, fast = axes_of(ds)
    return xr.apply_ufunc(
        func, usable, input_core_dims=[[slow, fast]], output_core_dims=[[slow, "output"]],
        dask="parallelized", output_dtypes=["f8"],
        dask_gufunc_kwargs={"output_sizes": {"output": edges_of(ds).size - 1}},
    )  # fmt: skip


def averages(ds: xr.Dataset, design: xr.DataArray, usable: xr.DataArray, name: str) -> Method:
    """Return the method that averages the background pixels of a line.

    Where lines run along the spectrum, those without background are estimated from others.
    """
    edges = edges_of(ds)
    per_pixel = _static(partial(_per_pixel, edges=edges, efficiency=VARIANCE_OF[name]), ds, usable)
    measure = partial(line_levels, edges=edges, by_median=name == "median")
    quick = partial(measure, with_spread=False)
    method = Method(measure, edges.size - 1, per_pixel=per_pixel, quick=quick)
    return _filled(ds, design, usable, method)


def _filled(ds: xr.Dataset, design: xr.DataArray, usable: xr.DataArray, method: Method) -> Method:
    """Return the method that estimates lines without background, where lines lie along spectra."""
    if not lies_along(ds):
        return method
    slow, fast = axes_of(ds)
    edges = edges_of(ds)
    n_line = ds.sizes[slow] * (edges.size - 1)
    plain = Method(partial(line_levels, edges=edges), edges.size - 1)
    matrix = lazy.static_from_sample(
        partial(_fill, edges),
        *_stripe_levels.sample_levels(ds, design, plain), usable.transpose(slow, fast),
        method.per_pixel, _stripes.dummy(part=3, line=n_line, other=n_line),
        dims=("part", "line", "other"),
    )  # fmt: skip
    estimated = xr.apply_ufunc(
        partial(_diagonal, n_output=edges.size - 1), matrix.isel(part=1),
        input_core_dims=[["line", "other"]], output_core_dims=[[slow, "output"]],
        dask="parallelized", output_dtypes=["f8"],
        dask_gufunc_kwargs={"output_sizes": {slow: ds.sizes[slow], "output": edges.size - 1}},
    )  # fmt: skip
    n_terms = method.n_terms // method.n_outputs
    filled = [
        partial(filled_levels, measure=each, n_terms=n_terms)
        for each in (method.measure, method.quick or method.measure)
    ]
    return replace(
        method, measure=filled[0], quick=filled[1], known=(matrix,), estimated=estimated,
        covariance=matrix.isel(part=2),
    )  # fmt: skip


def _fill(
    edges: np.ndarray,
    levels: np.ndarray,
    spread: np.ndarray,
    usable: np.ndarray,
    per_pixel: np.ndarray,
    _size: np.ndarray,
) -> np.ndarray:
    count = np.add.reduceat(usable.astype(np.int64), edges[:-1], axis=-1)
    return fill_matrix(levels, spread, count, per_pixel)


def _diagonal(variance: np.ndarray, n_output: int) -> np.ndarray:
    """Return half the variances of the rises: those of the level of one group."""
    return 0.5 * np.diag(variance).reshape(-1, n_output)


def with_terms(
    ds: xr.Dataset, design: xr.DataArray, usable: xr.DataArray, order: int | None
) -> Method:
    """Return the method that fits a polynomial along the line, or odd and even pixels."""
    edges = edges_of(ds)
    n_fast = int(edges[-1])
    terms = (
        odd_even_terms(n_fast, edges) if order is None else polynomial_terms(n_fast, edges, order)
    )
    measure = partial(term_levels, terms=terms, edges=edges)
    per_pixel = _static(partial(_of_terms, terms=terms, edges=edges), ds, usable)
    method = Method(measure, edges.size - 1, terms=terms, per_pixel=per_pixel)
    return _filled(ds, design, usable, method)


def _of_terms(usable: np.ndarray, terms: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the variance of the fit, mean over the pixels of a line, for pixels of variance 1."""
    covariance = line_terms(terms, usable > 0, edges)
    functions = terms.reshape(edges.size - 1, -1, terms.shape[-1]).astype(np.float64)
    mean = np.einsum("oif,ojf->oij", functions, functions) / np.diff(edges)[:, None, None]
    found = np.einsum("soij,oij->so", covariance, mean)
    return np.where(found > 0, found, np.inf)


def design_and_scene(
    ds: xr.Dataset, mask: xr.DataArray | None, options: DesignOptions
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return `stripe_design` (layer, y, x), and light, bend and noise of each pixel, (part, y, x).

    Both from one look at the sample; see `scene_layers`.
    """
    groups = [0, (ds.sizes["group"] - 1) // 2, -1]
    clock = _stripes.group_time(ds).isel(group=groups).rename(group="which")
    arrays = [
        *_stripes.of_groups(ds, groups), _stripes.good_pixels(ds), clock,
        _stripes.dummy(layer=len(LAYERS) + len(SCENE)),
    ]  # fmt: skip
    if mask is not None:
        arrays.append(mask.transpose("y", "x").astype(bool))
    func = partial(_design_and_scene, options)
    both = lazy.static_from_sample(func, *arrays, dims=("layer", "y", "x"))
    parts = (slice(None, len(LAYERS)), slice(len(LAYERS), None))
    design, scene = (both.isel(layer=part) for part in parts)
    return design, scene.rename(layer="part")


def _design_and_scene(
    options: DesignOptions,
    ramp: np.ndarray,
    flags: np.ndarray,
    good: np.ndarray,
    clock: np.ndarray,
    _layers: np.ndarray,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    unusable = dq.has_flag(flags, *dq.UNUSABLE)
    design, distance = design_and_distance(ramp, unusable, good, mask, options)
    given = (ramp, unusable.any(axis=1), good, design, clock, mask, options, distance)
    scene = scene_layers(*given)
    usable = scene[2] > 0
    lines = usable if options.lines_along == 1 else usable.T
    kept = drop_short_lines(lines, options.edges, options.min_pixels)
    scene[2] = kept if options.lines_along == 1 else kept.T
    return np.concatenate([design, scene])


def from_all_pixels(
    ds: xr.Dataset,
    design: xr.DataArray,
    scene: xr.DataArray,
    *,
    sigma: float,
    scaled_by: str,
) -> Method:
    """Return the method that uses pixels with light of the star as well."""
    slow, fast = axes_of(ds)
    edges = edges_of(ds)
    scene = scene.transpose("part", slow, fast)
    if not lies_along(ds):
        how = {"edges": edges, "sigma": sigma, "scaled_by": scaled_by}
        variance = xr.apply_ufunc(
            partial(_across_variance, scaled_by=scaled_by), design, scene, _stripes.group_time(ds),
            input_core_dims=[["layer", slow, fast], ["part", slow, fast], ["group"]],
            output_core_dims=[[slow]], dask="parallelized", output_dtypes=["f8"],
        )  # fmt: skip
        return Method(partial(scaled_levels, **how), 1, (scene,), variance=variance)
    how = {"edges": edges, "white": scaled_by == "white"}
    solver = _solver(ds, design, scene, **how)
    covariance = solver.isel(group=0).drop_vars("group", errors="ignore")
    variance = xr.apply_ufunc(
        partial(_along_variance, n_output=edges.size - 1), covariance,
        input_core_dims=[["line", "other"]], output_core_dims=[[slow]],
        dask="parallelized", output_dtypes=["f8"],
        dask_gufunc_kwargs={"output_sizes": {slow: ds.sizes[slow]}},
    )  # fmt: skip
    measure = partial(joint_levels, sigma=sigma, **how)
    return Method(
        measure, edges.size - 1, (scene, solver), variance=variance, covariance=covariance
    )


def _across_variance(
    design: np.ndarray, scene: np.ndarray, times: np.ndarray, scaled_by: str
) -> np.ndarray:
    found = scaled_variance(design, scene, times, scaled_by)
    seen = np.isfinite(found)
    return np.where(seen, found, found[seen].max() if seen.any() else 0.0)


def _along_variance(covariance: np.ndarray, n_output: int) -> np.ndarray:
    return _diagonal(covariance, n_output).mean(axis=-1)


def _solver(
    ds: xr.Dataset, design: xr.DataArray, scene: xr.DataArray, *, edges: np.ndarray, white: bool
) -> xr.DataArray:
    """Return the matrices of `joint_solver`, (group, line, other)."""
    slow, fast = axes_of(ds)
    plain = Method(partial(line_levels, edges=edges), edges.size - 1)
    levels, spread = _stripe_levels.sample_levels(ds, design, plain)
    n_line = ds.sizes[slow] * (edges.size - 1)
    return lazy.static_from_sample(
        partial(_solve, edges, white),
        levels, spread, design.transpose("layer", slow, fast), scene, _stripes.group_time(ds),
        _stripes.dummy(line=n_line, other=n_line),
        dims=("group", "line", "other"),
    )  # fmt: skip


def _solve(
    edges: np.ndarray,
    white: bool,
    levels: np.ndarray,
    spread: np.ndarray,
    design: np.ndarray,
    scene: np.ndarray,
    times: np.ndarray,
    _lines: np.ndarray,
) -> np.ndarray:
    count = np.add.reduceat((design[3] > 0).astype(np.int64), edges[:-1], axis=-1)
    covariance = level_covariance(levels, spread, count)
    return joint_solver(covariance, design, scene, times, edges=edges, white=white)
