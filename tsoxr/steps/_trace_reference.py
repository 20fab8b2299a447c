"""A reference trace for `find_trace`: brought to the lines of the data, and turned."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from tsoxr.registry import note

__all__ = ["check_reference", "on_lines"]


def check_reference(method: str, reference: xr.DataArray | None, along: str) -> None:
    """Raise ValueError where a reference is missing, needless or of another shape."""
    if reference is None:
        if method == "reference":
            raise ValueError(
                'find_trace: method="reference" needs reference; give a DataArray of positions over '
                f"the coordinate {along!r}"
            )
        return
    if method != "reference":
        raise ValueError(f'find_trace: reference with method={method!r}; use method="reference"')
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
        about = (
            float(reference.attrs["pivot_dispersion"]),
            float(reference.attrs["pivot_spatial"]),
        )
        u, v = place - about[0], value - about[1]
        sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
        place, value = about[0] + cosine * u - sine * v, about[1] + sine * u + cosine * v
    order = np.argsort(place)
    n = ds.sizes[along]
    lines = np.asarray(ds[along], dtype=float) if along in ds.coords else np.arange(float(n))
    found = np.interp(lines, place[order], value[order], left=np.nan, right=np.nan)
    return xr.DataArray(found, dims=along)


def _angle(reference: xr.DataArray, ds: xr.Dataset) -> float:
    """Return by how much the pupil wheel is off the reference's position, degrees."""
    needed = ("pivot_dispersion", "pivot_spatial", "pupil_angle")
    if not all(name in reference.attrs for name in needed):
        return 0.0
    cards = json.loads(ds.attrs.get("fits_header", "{}")).get("PRIMARY", {})
    there = cards.get("PWCPOS")
    if not isinstance(there, int | float):
        note("the header has no PWCPOS: the reference trace is not turned")
        return 0.0
    return float(there) - float(reference.attrs["pupil_angle"])
