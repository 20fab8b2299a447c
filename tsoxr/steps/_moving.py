"""Apertures, profiles and weights of `extract` that follow the measured motion of the light."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from tsoxr.errors import SchemaError, TsoError
from tsoxr.kernels import extraction as kernel
from tsoxr.kernels import moving_sum, psf_table
from tsoxr.lazy import is_lazy, sample_indices
from tsoxr.registry import note
from tsoxr.steps import _effective_psf
from tsoxr.steps._extraction_methods import METHODS, Still, still_of

__all__ = ["MOVES", "Moving", "check", "moving_sums", "moving_weights"]

MOVES = ("none", "shift")

NEARLY_DARK = 0.02
"""Of the peak of a column: where the profile is fainter, its ratio to the frame says nothing."""
NEIGHBOURS = 11
"""Columns that a pixel's own response is told from."""
LEAST_VARIANCE = 0.1
"""Variance of a pixel that the light has left, of what it was."""


class Moving(NamedTuple):
    """Static images at places of the light, and the place of each integration.

    shift : (time,) float64; where the light lies, pixels from its place in the median image.
    nodes : (node,) float64; places of the tables.
    weight, profile : (node, space, along) float32; see `tsoxr.kernels.moving_sum.moving_sum`.
    """

    shift: xr.DataArray
    nodes: xr.DataArray
    weight: xr.DataArray
    profile: xr.DataArray


def check(ds: xr.Dataset, move: str, *, reject: float | None) -> None:
    """Refuse what cannot move; note where the motion is not known."""
    if move not in MOVES:
        raise ValueError(f"extract: move={move!r}; it must be one of {MOVES}")
    if move == "none":
        return
    if reject is not None:
        raise ValueError(
            f"extract: reject={reject} with move={move!r}; what is expected of a pixel does not move; "
            "use .tso.flag_outliers() before, and reject=None"
        )
    if "order_image" in ds:
        raise TsoError(
            f"extract: move={move!r} after separate_orders; the images of the other orders do not move; "
            "use move='none'"
        )
    if "trace_shift" not in ds.coords:
        raise SchemaError(
            f"extract: move={move!r} needs 'trace_shift'; this Dataset has no measured motion; "
            "run .tso.track() first"
        )
    if not is_lazy(ds["trace_shift"]):
        lost = int((~np.isfinite(ds["trace_shift"])).sum())
        if lost:
            note(
                f"{lost} of {ds.sizes['time']} integrations have no measured shift: not moved there"
            )


def moving_weights(
    ds: xr.Dataset,
    images: xr.DataArray,
    center: xr.DataArray,
    gain: xr.DataArray,
    settings: dict[str, Any],
    extra: xr.DataArray | None = None,
) -> Moving:
    """Return what `moving_sums` needs; the arguments are those of `extraction_weights`.

    ``extra`` is what the method has measured for them.
    """
    _, space, along = images.dims
    shift = _effective_psf.relative_shift(ds)
    if extra is not None and METHODS[settings["method"]].effective:
        table = extra
    else:
        table = _effective_psf.measured(ds, center, gain, settings["half_width"])
    whole = xr.DataArray(shift.data, dims="all")
    whole = whole.chunk(all=-1) if is_lazy(whole) else whole
    more = [] if extra is None else [extra]
    nodes, weight, profile = xr.apply_ufunc(
        _tabulated,
        images,
        center,
        gain.transpose(space, along),
        table,
        whole,
        *more,
        kwargs={"settings": settings},
        input_core_dims=[
            images.dims, [along], [space, along], ["place", along], ["all"], *(a.dims for a in more)
        ],
        output_core_dims=[["node"], ["node", space, along], ["node", space, along]],
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"node": moving_sum.N_NODES}},
        output_dtypes=[np.float64, np.float32, np.float32],
    )  # fmt: skip
    return Moving(shift, nodes, weight, profile)


def _tabulated(
    images: np.ndarray,
    center: np.ndarray,
    gain: np.ndarray,
    table: np.ndarray,
    shift: np.ndarray,
    extra: np.ndarray | None = None,
    *,
    settings: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return nodes, weights and profiles, as of `Moving`."""
    method = METHODS[settings["method"]]
    nodes = moving_sum.nodes_for(shift)
    still = still_of(images, center, gain, extra, settings)
    reach = settings["half_width"] + np.abs(nodes).max() + 1.0
    wide = kernel.coverage(center, still.light.shape[0], reach)
    profile = method.profile(replace(still, cover=wide))
    inside = (still.cover * profile).sum(axis=0)
    profile = np.divide(profile, inside, out=np.zeros_like(profile), where=inside > 0)
    rows = _rows(wide)
    near = center - rows.start, rows.stop - rows.start
    effective = np.stack([psf_table.at_trace(table, *near, s) for s in nodes])
    at_rest = psf_table.at_trace(table, *near)
    base = at_rest if method.effective else _usual(effective, nodes, shift)
    moved = _moved(profile[rows], effective, base)
    light = np.where(still.known & np.isfinite(still.light), still.cover * still.light, 0.0)
    flux, factor = light.sum(axis=0), _photon_variance(still)
    weight, expected = (np.zeros((nodes.size, *profile.shape), np.float32) for _ in range(2))
    for k, place in enumerate(nodes):  # a few
        there = np.zeros_like(profile)
        there[rows] = moved[k]
        change = flux * (there - profile)
        weight[k] = _weights_at(still, change, there, place, factor, settings)
        expected[k] = there / np.where(still.known, still.gain, 1.0)
    return nodes, weight, expected


def _rows(cover: np.ndarray) -> slice:
    """Return the rows from the first to the last one that an aperture touches."""
    lit = np.flatnonzero(cover.any(axis=1))
    return slice(int(lit[0]), int(lit[-1]) + 1)


def _usual(effective: np.ndarray, nodes: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return what the median image would be if the light had the effective profile."""
    sample = shift[sample_indices(shift.size, _effective_psf.N_SAMPLE)]
    first, share = moving_sum.places_between(sample, nodes)
    out = np.zeros(effective.shape[1:])
    for y in range(len(out)):  # some tens
        lines = effective[first[:, None] + np.arange(4), y]
        out[y] = np.median(np.einsum("tk,tkx->tx", share, lines), axis=0)
    return out


def _moved(profile: np.ndarray, effective: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return the profile at each node: its pixels as they are, changed as the effective one is.

    What a pixel sees in proportion, as its flat field, is told from a profile that lies elsewhere by
    being no neighbour's along dispersion.
    """
    from scipy.ndimage import median_filter

    floor = (NEARLY_DARK * base.max(axis=0)) ** 2 + 1e-30
    ratio = (profile * base + floor) / (base**2 + floor)
    own = 1.0 + ratio - median_filter(ratio, (1, NEIGHBOURS), mode="nearest")
    return np.clip(profile + np.clip(own, 0.5, 1.5) * (effective - base), 0.0, None)


def _photon_variance(still: Still) -> float:
    """Return the variance that a unit of light adds to a pixel, in the units of the rates."""
    known = np.isfinite(still.light) & np.isfinite(still.variance) & (still.variance > 0)
    light, variance = still.light[known], still.variance[known]
    peak = light[still.cover[known] > 0].max(initial=0.0)
    bright, dark = light > 0.3 * peak, light < 0.02 * peak
    if not peak > 0 or not bright.any():
        return 0.0
    level = float(np.median(variance[dark])) if dark.any() else 0.0
    return max(float(np.median((variance[bright] - level) / light[bright])), 0.0)


def _weights_at(
    still: Still,
    change: np.ndarray,
    profile: np.ndarray,
    place: float,
    factor: float,
    settings: dict[str, Any],
) -> np.ndarray:
    """Return weights for the light at a place, (spatial, dispersion), of data in their own unit."""
    center = still.center + place
    cover = kernel.coverage(center, len(profile), settings["half_width"])
    there = replace(
        still,
        light=still.light + change,
        variance=np.maximum(still.variance + factor * change, LEAST_VARIANCE * still.variance),
        center=center,
        cover=cover,
    )
    seen = np.where(cover > 0, profile, 0.0)
    weight, share = METHODS[settings["method"]].weights(there, seen)
    total = share.sum(axis=0)
    scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    return weight * still.gain * scale


def moving_sums(
    ds: xr.Dataset,
    moving: Moving,
    level_along: xr.DataArray,
    level_across: xr.DataArray,
    settings: dict[str, Any],
) -> tuple[xr.DataArray, ...]:
    """Return flux, error, flags and estimated share, (time, along).

    The variances of levels are (along,); ``settings`` are ``bits`` and ``min_fraction``.
    """
    _, space, along = moving.weight.dims
    cubes = [
        xr.DataArray(ds[n].variable.data, dims=ds[n].dims) for n in ("rate", "rate_error", "dq")
    ]
    return xr.apply_ufunc(
        moving_sum.moving_sum,
        *cubes,
        moving.shift,
        moving.nodes,
        moving.weight,
        moving.profile,
        level_along,
        level_across,
        kwargs=settings,
        input_core_dims=[
            *[[space, along]] * 3, [], ["node"], *[["node", space, along]] * 2, [along], [along]
        ],
        output_core_dims=[[along]] * 4,
        dask="parallelized",
        output_dtypes=[np.float32, np.float32, np.uint32, np.float32],
    )  # fmt: skip
