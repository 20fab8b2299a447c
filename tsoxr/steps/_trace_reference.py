"""A reference trace for `find_trace`: built in or given, brought to the lines of the data, turned."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from tsoxr.kernels.trace_nominal import (
    COMMANDED,
    NOMINAL_TRACES,
    NominalTrace,
    center_at,
    trace_key,
    turned,
)
from tsoxr.registry import derived, note

__all__ = ["builtin", "check_reference", "moved", "on_lines"]

END = 32
"""Lines at each end of a reference whose slope continues it."""

LARGEST_TURN = 1.0
"""Angles of the pupil wheel farther than this from the commanded one are no such, degrees."""


def check_reference(method: str, reference: xr.DataArray | str | None, along: str) -> None:
    """Raise ValueError where a reference is needless or of another shape."""
    if reference is None:
        return
    if method != "reference":
        raise ValueError(f'find_trace: reference with method={method!r}; use method="reference"')
    if isinstance(reference, str):
        if reference not in NOMINAL_TRACES:
            raise ValueError(
                f"find_trace: reference={reference!r}; built in are {', '.join(NOMINAL_TRACES)}"
            )
        return
    if (
        not isinstance(reference, xr.DataArray)
        or reference.dims != (along,)
        or along not in reference.coords
    ):
        found = reference.dims if isinstance(reference, xr.DataArray) else type(reference).__name__
        raise ValueError(
            f"find_trace: reference is {found}; give a DataArray with the one dim and coordinate {along!r}"
        )
    if not np.isfinite(reference).any():
        raise ValueError("find_trace: reference has no finite value; give positions in pixels")


def builtin(ds: xr.Dataset, order: int, key: str | None = None) -> xr.DataArray:
    """Return the positions of a built-in trace on the lines of the data, (dispersion,) float64.

    Without ``key`` it is the one of the mode, order and filter.

    Raises
    ------
    ValueError
        For a mode, order, filter or detector without one.
    """
    space, along = ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"]
    if key is None:
        key = str(derived(reference=_key(ds, order)))
    trace = NOMINAL_TRACES[key]
    first = dict(zip(("x", "y"), trace.origin, strict=True))
    offset = {dim: float(ds.attrs.get(f"{dim}_start", first[dim])) - first[dim] for dim in first}
    wheel = _wheel(ds, trace)
    column = _lines(ds) + offset[along]
    row = center_at(trace, column, wheel=wheel) - offset[space]
    low, high = trace.columns
    at = "" if wheel is None else f" with the pupil wheel at {wheel:.3f} degrees"
    note(f"reference: {key}{at}, fitted to {trace.basis}")
    return xr.DataArray(np.where((column >= low) & (column <= high), row, np.nan), dims=along)


def _key(ds: xr.Dataset, order: int) -> str:
    mode, detector = str(ds.attrs.get("tso_mode")), str(ds.attrs.get("detector", "")).upper()
    band = str(_cards(ds).get("FILTER", "")).upper()
    key = trace_key(mode, detector=detector, order=order, band=band)
    if key is None:
        setting = " ".join(t for t in (mode, detector, band) if t)
        raise ValueError(
            f'find_trace: method="reference" needs reference for {setting}, order {order}; built in are '
            f"{', '.join(NOMINAL_TRACES)} (module A); give a DataArray of positions over the coordinate "
            f"{ds.attrs['dispersion_dim']!r}, or use another method"
        )
    return key


def _wheel(ds: xr.Dataset, trace: NominalTrace) -> float | None:
    """Return the angle to turn a trace to, degrees; ``None`` where it does not turn."""
    if trace.wheel is None:
        return None
    angle = _cards(ds).get("PWCPOS")
    if not isinstance(angle, int | float) or abs(angle - COMMANDED) > LARGEST_TURN:
        note("no usable pupil-wheel angle (PWCPOS) in the header: taken to be as commanded")
        return COMMANDED
    return float(angle)


def _cards(ds: xr.Dataset) -> dict[str, Any]:
    return dict(json.loads(ds.attrs.get("fits_header", "{}")).get("PRIMARY", {}))


def _lines(ds: xr.Dataset) -> np.ndarray:
    """Return the positions along dispersion, pixels of the subarray from 0."""
    along = ds.attrs["dispersion_dim"]
    n = ds.sizes[along]
    return np.asarray(ds[along], dtype=float) if along in ds.coords else np.arange(float(n))


def on_lines(reference: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    """Return the positions of a reference on the lines of the data, (dispersion,) float64.

    With the attributes ``pivot_dispersion``, ``pivot_spatial`` (pixels) and
    ``pupil_angle`` (degrees) it is turned by the difference between the angle of the
    pupil wheel in the header, PWCPOS, and that. NaN where the reference does not reach.
    """
    along = ds.attrs["dispersion_dim"]
    place = np.asarray(reference[along], dtype=float)
    value = np.asarray(reference, dtype=float)
    good = np.isfinite(value)
    place, value = place[good], value[good]
    angle = _angle(reference, ds)
    if angle:
        pivot = (
            float(reference.attrs["pivot_dispersion"]),
            float(reference.attrs["pivot_spatial"]),
        )
        place, value = turned(place, value, pivot, angle)
    order = np.argsort(place)
    found = np.interp(_lines(ds), place[order], value[order], left=np.nan, right=np.nan)
    return xr.DataArray(found, dims=along)


def _angle(reference: xr.DataArray, ds: xr.Dataset) -> float:
    """Return by how much the pupil wheel is off the reference's position, degrees."""
    needed = ("pivot_dispersion", "pivot_spatial", "pupil_angle")
    if not all(name in reference.attrs for name in needed):
        return 0.0
    there = _cards(ds).get("PWCPOS")
    if not isinstance(there, int | float):
        note("the header has no PWCPOS: the reference trace is not turned")
        return 0.0
    return float(there) - float(reference.attrs["pupil_angle"])


def moved(centre: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a known trace moved by the median offset of the centroids, and the lines with light.

    Beyond the lines that it reaches it is continued straight.
    """
    used = np.isfinite(centre) & np.isfinite(known)
    line = np.arange(known.size, dtype=float)
    reached = np.flatnonzero(np.isfinite(known))
    whole = np.interp(line, reached, known[reached])
    for ends, beyond in ((reached[:END], line < reached[0]), (reached[-END:], line > reached[-1])):
        if ends.size > 1 and beyond.any():
            slope, level = np.polyfit(ends, known[ends], 1)
            whole[beyond] = level + slope * line[beyond]
    return whole + np.median((centre - known)[used]), used
