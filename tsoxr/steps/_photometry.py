"""What `photometry` does with arrays: the static model, and each chunk with it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq, registry
from tsoxr.chunks import per_chunk
from tsoxr.errors import TsoError
from tsoxr.kernels import aperture_model as model
from tsoxr.kernels import photometry as kernel
from tsoxr.kernels.aperture_image import seen_image
from tsoxr.kernels.binning import scatter_over_error
from tsoxr.lazy import is_lazy, static_from_sample
from tsoxr.registry import note
from tsoxr.steps import _extraction, _rates
from tsoxr.steps._unlit import outputs

__all__ = ["Plan", "curve", "measured", "model_of", "tracked", "unpacked"]

ROUNDING = 1e-9
MIN_BASELINE = 3
NOT_BLIND = tuple(name for name in dq.UNUSABLE_RATE if name != "REFERENCE_PIXEL")
FIXED = ("weight", "share", "surface")
VALUES = ("flux", "error", "estimated", "missing", "level")


@dataclass(frozen=True)
class Plan:
    """How one exposure is measured: what is asked for, sizes, and whether the aperture moves."""

    request: model.Request
    n_rows: int
    n_columns: int
    follow: bool


def tracked(ds: xr.Dataset, centroid: str) -> xr.Dataset:
    """Return the rates with motion and width on time, as `track` measures them."""
    if centroid == "none" or "trace_shift" in ds.coords:
        return ds
    note(f"motion measured by track(method={centroid!r}) with its defaults")
    spec = registry.STEPS["track"]
    return spec.func(ds, **registry.resolve(spec, ds, {"method": centroid})[0])


def model_of(ds: xr.Dataset, plan: Plan, gain: xr.DataArray) -> xr.DataArray:
    """Return the packed model, (value,) float64; lazy for lazy data."""
    line_dim = plan.request.line_dim
    frame = xr.DataArray(np.zeros((plan.n_rows, plan.n_columns), "i1"), dims=("y", "x"))
    gains = gain.astype(np.float64).broadcast_like(frame).transpose("y", "x")
    known = xr.DataArray(np.zeros(ds.sizes[("y", "x")[line_dim]]), dims="line")
    if "level_variance" in ds.variables and ds["level_variance"].ndim == 1:
        known = xr.DataArray(ds["level_variance"].variable.data, dims="line").astype(np.float64)
    size = xr.DataArray(np.zeros(model.size(plan.n_rows, plan.n_columns)), dims="value")
    output = _outputs(ds, line_dim)

    def build(
        rate: np.ndarray,
        sigma: np.ndarray,
        flags: np.ndarray,
        gain: np.ndarray,
        known: np.ndarray,
        _: np.ndarray,
    ) -> np.ndarray:
        bad, blind = _rates.unusable(rate, sigma, flags), _blind(rate, sigma, flags)
        median, error, lines = seen_image(rate, sigma, bad, blind, output, line_dim)
        try:
            return model.build(median, error, gain, known, plan.request, lines)
        except ValueError as wrong:
            raise TsoError(
                f"photometry: {wrong}; look at .tso.plot.median_image() and give center, radius or "
                'annulus, or shape="frame"'
            ) from wrong

    cube = [ds[name].transpose("time", "y", "x") for name in ("rate", "rate_error", "dq")]
    return static_from_sample(build, *cube, gains, known, size, dims=("value",), dtype="f8")


def _outputs(ds: xr.Dataset, line_dim: int) -> np.ndarray:
    """Return which output reads each pixel of a line; one, where the product does not tell."""
    fast = ("x", "y")[line_dim]
    if ds.attrs.get("fast_dim") != fast:
        return np.zeros(ds.sizes[fast], int)
    found: np.ndarray = outputs(ds).isel({("y", "x")[line_dim]: 0}).values
    return found


def _blind(rate: np.ndarray, sigma: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """Return which samples are those of reference pixels that nothing else speaks against."""
    own = dq.has_flag(flags, "REFERENCE_PIXEL") & ~dq.has_flag(flags, *NOT_BLIND)
    found: np.ndarray = own & np.isfinite(rate) & (sigma > 0.0)
    return found


def measured(ds: xr.Dataset, plan: Plan, packed: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return `VALUES` of each integration, (time, value), and the flags of its samples, (time,)."""
    cubes = [
        xr.DataArray(ds[n].transpose("time", "y", "x").variable.data, dims=("time", "y", "x"))
        for n in ("rate", "rate_error", "dq")
    ]
    shift = _shift(ds)
    if is_lazy(cubes[0]):
        shift = shift.chunk(time=cubes[0].chunksizes["time"], axis=-1)
    return per_chunk(
        functools.partial(_of_chunk, plan), *cubes, shift, packed,
        dims=(("time", "value"), ("time",)), dtypes=("float64", "uint32"),
        sizes={"value": len(VALUES)},
    )  # fmt: skip


def _shift(ds: xr.Dataset) -> xr.DataArray:
    """Return the motion along y and x, and its errors, (time, axis), pixels; NaN if not measured."""
    names = ["trace_shift", "trace_shift_dispersion"]
    if ds.attrs.get("spatial_dim") == "x":
        names.reverse()
    nothing = xr.DataArray(np.full(ds.sizes["time"], np.nan), dims="time")
    names += [f"{n}_error" for n in names]
    both = [_extraction.bare(ds[n]) if n in ds.coords else nothing for n in names]
    return xr.concat([b.astype(np.float64) for b in both], "axis").transpose("time", "axis")


def _of_chunk(
    plan: Plan,
    rate: np.ndarray,
    error: np.ndarray,
    flags: np.ndarray,
    shift: np.ndarray,
    packed: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    numbers, _, layers = model.unpack(packed, plan.n_rows, plan.n_columns)
    layer = dict(zip(model.LAYERS, layers, strict=True))
    cube = (rate, error, flags)
    unusable = dq.bits(*dq.UNUSABLE_RATE)
    how = kernel.LEVELS["median" if plan.request.background == "median" else "mean"]
    method = how if numbers["follows"] else kernel.LEVELS["constant"]
    level = kernel.levels(*cube, layer["median"], layer["annulus"], unusable, method)
    if plan.follow:
        never = ~((layer["gain"] > 0.0) & np.isfinite(layer["gain"]))
        images = (layer["gain"], layer["profile"], layer["surface"], never)
        form = (model.SHAPES[plan.request.shape], numbers["radius"], plan.request.turn)
        place = (numbers["y"], numbers["x"])
        sums, seen = kernel.moving_sums(*cube, level, images, place, shift[:, :2], form, unusable)
        unsure = np.nan_to_num(shift[:, 2:]) * (numbers["along_y"], numbers["along_x"])
        sums[:, 1] = np.sqrt(sums[:, 1] ** 2 + (unsure**2).sum(axis=1))
    else:
        sums, seen = kernel.fixed_sums(
            *cube, level, (*(layer[n] for n in FIXED), layer["blind"] > 0.0), numbers["lost"],
            (unusable, dq.bits(*NOT_BLIND)),
        )  # fmt: skip
    sums[:, 1] = np.sqrt(sums[:, 1] ** 2 + numbers["lines"])
    return np.concatenate([sums, numbers["level"] + level[:, :1]], axis=1), seen


def curve(
    ds: xr.Dataset,
    values: xr.DataArray,
    seen: xr.DataArray,
    *,
    normalize: bool,
    min_fraction: float,
) -> tuple[xr.DataArray, xr.DataArray, xr.DataArray, xr.DataArray]:
    """Return flux, error and flags (time, wavelength), and level and scatter over error (part,)."""
    baseline = xr.DataArray(np.ones(ds.sizes["time"], dtype=bool), dims="time")
    if "in_transit" in ds.coords:
        baseline = ~_extraction.bare(ds["in_transit"]).astype(bool)
    whole: Any = values.chunk(time=-1) if is_lazy(values) else values
    baseline = baseline.chunk(time=-1) if is_lazy(baseline) else baseline
    (about,) = per_chunk(
        functools.partial(_about, min_fraction), whole, baseline,
        dims=("part",), dtypes=("f8",), sizes={"part": 2},
    )  # fmt: skip
    scaled = functools.partial(_scaled, (normalize, min_fraction))
    curves = per_chunk(
        scaled, values, seen, about,
        dims=("time", "wavelength"), dtypes=("f8", "f8", "u4"), sizes={"wavelength": 1},
    )  # fmt: skip
    return (*curves, about)


def _useless(values: np.ndarray, min_fraction: float) -> np.ndarray:
    finite: np.ndarray = np.isfinite(values[:, :2]).all(axis=1)
    return ~finite | (1.0 - values[:, 2] < min_fraction)


def _about(min_fraction: float, values: np.ndarray, baseline: np.ndarray) -> tuple[np.ndarray]:
    good = ~_useless(values, min_fraction)
    flux = np.where(good, values[:, 0], np.nan)
    chosen = flux[baseline & good]
    if chosen.size < MIN_BASELINE:
        chosen = flux[good]
    level = float(np.median(chosen)) if chosen.size else np.nan
    return (np.array([level, scatter_over_error(flux[:, None], values[:, 1:2])[0]]),)


def _scaled(
    how: tuple[bool, float], values: np.ndarray, seen: np.ndarray, about: np.ndarray
) -> tuple[np.ndarray, ...]:
    normalize, min_fraction = how
    flags = seen & ~dq.bits(*dq.UNUSABLE_RATE)
    flags[_useless(values, min_fraction)] |= dq.bits("DO_NOT_USE")
    flags[(values[:, 3] > ROUNDING) & np.isfinite(values[:, 0])] |= dq.bits("FLUX_ESTIMATED")
    scale = 1.0 / about[0] if normalize else 1.0
    return values[:, :1] * scale, values[:, 1:2] * abs(scale), flags[:, None]


def unpacked(plan: Plan, packed: xr.DataArray) -> dict[str, xr.DataArray]:
    """Return numbers (), curve of growth (radius,) and images (y, x) of a model by name."""
    shape = (plan.n_rows, plan.n_columns)
    n, n_radii = len(model.NUMBERS), model.radii_of(*shape).size
    out = {name: packed.isel(value=i) for i, name in enumerate(model.NUMBERS)}
    for i, name in enumerate(("growth", "growth_error")):
        part = slice(n + i * n_radii, n + (i + 1) * n_radii)
        out[name] = packed.isel(value=part).rename(value="radius")
    layers = packed.isel(value=slice(n + 2 * n_radii, None)).data
    layers = layers.reshape(len(model.LAYERS), *shape)
    for i, name in enumerate(model.LAYERS):
        out[name] = xr.DataArray(layers[i], dims=("y", "x"))
    return out
