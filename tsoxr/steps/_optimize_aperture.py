"""What `optimize_aperture` compares, the light of all of it in one pass, and what follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq, history, modes, registry
from tsoxr.chunks import per_chunk
from tsoxr.errors import TsoError
from tsoxr.kernels import aperture_choice as statistics
from tsoxr.kernels import aperture_light as kernel
from tsoxr.kernels import aperture_tables as tables
from tsoxr.kernels.background import MIN_PIXELS
from tsoxr.lazy import static_from_sample
from tsoxr.registry import note
from tsoxr.steps import _extraction, _rates

__all__ = [
    "FEWEST",
    "PLANES",
    "Usual",
    "compared",
    "distance_of",
    "length_of",
    "light_of",
    "plan_of",
    "usual_of",
]

FEWEST = 10
"""Integrations below which nothing is chosen."""

WIDTHS = np.arange(2, 17) / 8.0
"""Half widths compared by default, over the usual one."""

REGIONS = (1.0, 1.15, 1.3, 1.5)
"""Background regions compared by default, over the usual one; nearer ones hold the star's light."""

LENGTHS = (32, 16, 8, 4, 2)
"""Integrations that are averaged for the second scatter: the first that leaves `MEANS` means."""

MEANS = 18

MOSTLY = 0.5
"""Part of the integrations that a light curve must have."""

PLANES = (
    "scatter", "error", "excess", "excess_error", "worse", "binned", "binned_error", "chosen",
)  # fmt: skip
"""What is known of each setting, in this order."""


@dataclass(frozen=True)
class Usual:
    """What the exposure would be reduced with if nothing were measured."""

    half_width: float
    region: float
    method: str
    darkest: float


def usual_of(ds: xr.Dataset, fallback: Callable[[xr.Dataset], float]) -> Usual:
    """Return the usual settings: those of the mode, or what the steps take by themselves.

    ``fallback`` gives the half width of the aperture where the mode has none.
    """
    mode = ds.attrs.get("tso_mode")
    of_extract = modes.step_defaults(mode, "extract")
    of_background = modes.step_defaults(mode, "subtract_background")

    def value(table: dict[str, modes.Default], name: str, otherwise: Any) -> Any:
        return table[name].value if name in table else otherwise

    own = registry.STEPS["extract"].parameters["method"].default
    return Usual(
        float(of_extract["half_width"].value) if "half_width" in of_extract else fallback(ds),
        float(value(of_background, "half_width", max(3.0, ds.sizes[_space(ds)] / 4))),
        "box" if value(of_extract, "method", own) == "box" else "optimal",
        float(value(of_background, "darkest", 1.0)),
    )


def _space(ds: xr.Dataset) -> str:
    return str(ds.attrs["spatial_dim"])


def plan_of(
    ds: xr.Dataset, usual: Usual, half_widths: Any, regions: Any, method: str | None
) -> tables.Plan:
    """Return what is compared, with what was left to the data."""
    n_space = ds.sizes[_space(ds)]
    has_background = not _is_subtracted(ds)
    if regions is None:
        regions = [r * usual.region for r in REGIONS] if has_background else []
        regions = [r for r in regions if _left(r, n_space) >= MIN_PIXELS]
    elif np.size(regions) and not has_background:
        note("the background has been subtracted already: its region is not compared")
        regions = ()
    regions = _ascending("regions", regions, n_space / 2.0) if np.size(regions) else ()
    reach = min(regions, default=np.inf)
    if half_widths is None:
        half_widths = [w for w in usual.half_width * WIDTHS if w <= min(reach, n_space)]
    widths = _ascending("half_widths", half_widths, float(n_space))
    for region in regions:
        if _left(region, n_space) < MIN_PIXELS:
            raise ValueError(
                f"optimize_aperture: regions has {region:g}, which leaves {max(_left(region, n_space), 0)} of "
                f"{n_space} pixels across dispersion; at least {MIN_PIXELS} are needed; give a smaller one"
            )
    return tables.Plan(widths, regions, usual.method if method is None else method, usual.darkest)


def _left(region: float, n_space: int) -> int:
    return n_space - (2 * int(region) + 1)


def _is_subtracted(ds: xr.Dataset) -> bool:
    done = any(r["step"] == "subtract_background" for r in history.records(ds.attrs))
    return done or "background_level" in ds.variables


def _ascending(name: str, values: Any, largest: float) -> tuple[float, ...]:
    """Return half widths in order, each once."""
    held = np.unique(np.asarray(values, dtype=np.float64).ravel())
    if held.size == 0 or not (held > 0).all() or not (held <= largest).all():
        raise ValueError(
            f"optimize_aperture: {name}={tuple(float(v) for v in held)}; they are half widths, above 0 and at "
            f"most {largest:g} pixels in this frame"
        )
    return tuple(float(v) for v in held)


# ------------------------------------------------------------------ light


def light_of(ds: xr.Dataset, plan: tables.Plan) -> dict[str, xr.DataArray]:
    """Return white light (time, half_width, region), what is expected of it, and its share.

    ``expected`` (half_width) is the light of the median frame, ``share`` that over the widest
    aperture's, ``predicted`` (half_width, region) the relative error.
    """
    space, along = _space(ds), str(ds.attrs["dispersion_dim"])
    static = per_chunk(
        partial(_tables, plan),
        *_still_arrays(ds, space, along),
        dims=_dims(space, along),
        dtypes=_DTYPES,
        sizes={
            "half_width": len(plan.half_widths),
            "region": max(len(plan.regions), 1),
            "step": kernel.n_steps(np.asarray(plan.half_widths)) if plan.method == "box" else 1,
        },
    )
    cubes = [_extraction.bare(ds[n]).transpose("time", space, along) for n in ("rate", "dq")]
    (light,) = per_chunk(
        partial(_light, int(dq.bits(*dq.UNUSABLE_RATE))),
        *cubes,
        *static[: len(kernel.Tables._fields)],
        dims=("time", "half_width", "region"),
        dtypes=("f8",),
    )
    expected = static[kernel.Tables._fields.index("light")].sum(along)
    return {
        "light": light,
        "expected": expected,
        "predicted": static[-1],
        "share": expected / expected.isel(half_width=-1),
    }


_DTYPES = ("i2", "f4", "f4", "f8", "f8", "f8", "f8", "i2", "f4", "f4", "f8", "f8")
"""Of the fields of `kernel.Tables` and of the predicted error."""


def _dims(space: str, along: str) -> tuple[tuple[str, ...], ...]:
    image, column = (space, along), ("half_width", along)
    own = [image, ("step", *image), image, *[column] * 4, image, image, image, ("region", along)]
    return (*own, ("half_width", "region"))


def _still_arrays(ds: xr.Dataset, space: str, along: str) -> list[xr.DataArray]:
    """Return median images, trace, gain, wavelengths and variance of columns."""
    images = _extraction.median_images(ds, space, along)
    gain, _ = _extraction.gain_and_units(ds)
    frame = images.isel(image=0)
    wavelength = _extraction.bare(ds["wavelength"]) if "wavelength" in ds else xr.DataArray(1.0)
    none = xr.DataArray(np.zeros(ds.sizes[along]), dims=along)
    level = none
    if "level_variance" in ds and ds["level_variance"].dims == (along,):
        level = _extraction.bare(ds["level_variance"]).astype(np.float64).fillna(0.0)
    center = _extraction.bare(ds["trace_center"]) - _rates.first_position(ds, space)
    wide = [a.broadcast_like(frame).transpose(space, along) for a in (gain, wavelength)]
    return [images, center, wide[0], wide[1], level]


def _tables(
    plan: tables.Plan,
    images: np.ndarray,
    center: np.ndarray,
    gain: np.ndarray,
    wavelength: np.ndarray,
    level: np.ndarray,
) -> tuple[np.ndarray, ...]:
    median, error, count = images.astype(np.float64)
    seen = np.isfinite(center) & np.isfinite(wavelength).any(axis=0)
    still = tables.Still(median, error, count, center, gain, seen, level)
    try:
        made = tables.nested_tables(still, plan)
    except ValueError:
        reach = (
            f"between {np.nanmin(center):.1f} and {np.nanmax(center):.1f} of {median.shape[0]} pixels"
            if np.isfinite(center).any()
            else "or is nowhere known"
        )
        raise TsoError(
            f"optimize_aperture: the trace lies outside the frame, {reach}; run .tso.find_trace() again"
        ) from None
    return (*made, tables.predicted(still, made))


def _light(
    unusable: int, rate: np.ndarray, flags: np.ndarray, *static: np.ndarray
) -> tuple[np.ndarray]:
    return (kernel.nested_light(rate, flags, kernel.Tables(*static), unusable=unusable),)


# ------------------------------------------------------------------ choice


def length_of(n_time: int) -> int:
    """Return how many integrations are averaged for the second scatter."""
    return next((n for n in LENGTHS if n_time >= MEANS * n), LENGTHS[-1])


def compared(ds: xr.Dataset, light: xr.DataArray, plan: tables.Plan, usual: Usual) -> xr.DataArray:
    """Return the planes (plane, half_width, region) of `PLANES`, made in a pass of their own."""
    n_time = light.sizes["time"]
    transit = xr.DataArray(np.zeros(n_time, bool), dims="time")
    if "in_transit" in ds.coords and ds["in_transit"].dims == ("time",):
        transit = _extraction.bare(ds["in_transit"]).astype(bool)
    return static_from_sample(
        partial(_planes, distance_of(plan, usual)),
        light,
        transit,
        xr.DataArray(np.zeros(len(PLANES)), dims="plane"),
        dims=("plane", "half_width", "region"),
        dtype="f8",
        n_sample=n_time,
    )


def distance_of(plan: tables.Plan, usual: Usual) -> np.ndarray:
    """Return how far each setting is from the usual one, (setting,): factors, as logarithms."""
    regions = plan.regions or (usual.region,)
    of_width = np.abs(np.log(np.asarray(plan.half_widths) / usual.half_width))
    of_region = np.abs(np.log(np.asarray(regions) / usual.region))
    return (of_width[:, None] + of_region).round(9).ravel()


def _planes(
    distance: np.ndarray, light: np.ndarray, transit: np.ndarray, _: np.ndarray
) -> np.ndarray:
    use = ~transit if (~transit).sum() >= FEWEST else np.ones(transit.size, bool)
    flat = light.reshape(light.shape[0], -1)
    seen = use & np.isfinite(flat).any(axis=1)
    typical = np.full(flat.shape[1], np.nan)
    if seen.any():
        whole = np.isfinite(flat[seen]).mean(axis=0) > MOSTLY
        typical[whole] = np.nanmedian(flat[seen][:, whole], axis=0)
    lit = typical > 0
    planes = np.full((len(PLANES), flat.shape[1]), np.nan)
    if lit.any():
        relative = flat[:, lit] / typical[lit]
        planes[:5, lit] = statistics.compare(relative, use)
        planes[5:7, lit] = statistics.scatter(relative, use, length_of(use.size))
    chosen = statistics.choose(planes[PLANES.index("worse")], distance)
    planes[-1] = np.arange(flat.shape[1]) == chosen
    return planes.reshape(len(PLANES), *light.shape[1:])
