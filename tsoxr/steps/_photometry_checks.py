"""What `photometry` refuses, and how it reads what it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from tsoxr.errors import SchemaError
from tsoxr.steps import _rates

__all__ = ["check_names", "check_sizes", "check_together", "index_of", "level_or_name", "pair"]

METHODS = ("auto", "aperture", "optimal")
SHAPES = ("auto", "circle", "hexagon", "frame")
BACKGROUNDS = ("auto", "mean", "median", "2d", "constant", "none")
CENTROIDS = ("decomposition", "correlation", "moments", "none")


def level_or_name(background: str | float) -> str | float:
    """Return the name, or a level as a float."""
    if isinstance(background, str):
        return background
    level = float(background)
    if not np.isfinite(level):
        raise ValueError(
            f"photometry: background={background!r}; a level must be a finite number, DN s-1"
        )
    return level


def check_names(
    ds: xr.Dataset, method: str, shape: str, background: str | float, centroid: str
) -> None:
    """Refuse rates of dispersed light, and names that are not among those allowed."""
    if not _rates.is_imaging(ds) and "tso_mode" in ds.attrs:
        raise SchemaError(
            f"photometry: {ds.attrs['tso_mode']} disperses the light; images of a star are needed; "
            "use .tso.extract() and .tso.white_light()"
        )
    for name, value, allowed in (
        ("method", method, METHODS),
        ("shape", shape, SHAPES),
        ("background", background, BACKGROUNDS),
        ("centroid", centroid, CENTROIDS),
    ):
        if isinstance(value, str) and value not in allowed:
            raise ValueError(f"photometry: {name}={value!r}; it must be one of {allowed}")


def pair(annulus: Any) -> tuple[float, float] | None:
    """Return inner and outer radius as floats, None where no annulus is given."""
    return None if annulus is None else (float(annulus[0]), float(annulus[1]))


def check_sizes(radius: float | None, annulus: Any, min_fraction: float) -> None:
    """Refuse radii and shares out of range, and an annulus that begins inside of the aperture."""
    if radius is not None and not 0.0 < radius < np.inf:
        raise ValueError(f"photometry: radius={radius}; it must be above 0 pixels")
    if annulus is not None:
        ends = np.asarray(annulus, dtype=float)
        if ends.shape != (2,) or not 0.0 <= ends[0] < ends[1]:
            raise ValueError(
                f"photometry: annulus={annulus!r}; give inner and outer radius in pixels, in this order"
            )
        if radius is not None and ends[0] < radius:
            raise ValueError(
                f"photometry: the annulus begins at {ends[0]:g} pixels, inside of radius={radius:g}; "
                "it must begin outside of the aperture"
            )
    if not 0.0 <= min_fraction <= 1.0:
        raise ValueError(f"photometry: min_fraction={min_fraction}; it must lie between 0 and 1")


def check_together(
    ds: xr.Dataset,
    method: str,
    shape: str,
    background: str | float,
    annulus: Any,
    centroid: str,
    *,
    follow: bool,
) -> None:
    """Refuse parameters that exclude each other."""
    if follow and (method == "optimal" or shape == "frame"):
        what = 'method="optimal"' if method == "optimal" else 'shape="frame"'
        raise ValueError(
            f"photometry: follow=True with {what}, whose weights do not move; use a circle or a "
            'hexagon with method="aperture"'
        )
    if follow and centroid == "none" and "trace_shift" not in ds.coords:
        raise ValueError(
            'photometry: follow=True with centroid="none"; there is no motion to follow; '
            "run .tso.track() first or choose another centroid"
        )
    named = isinstance(background, str)
    if not named and annulus is not None:
        raise ValueError(
            f"photometry: annulus={annulus!r} with the level background={background:g}; there is "
            "nothing to measure in it; give one of them"
        )
    if shape == "frame" and (annulus is not None or (named and background not in ("auto", "none"))):
        raise ValueError(
            'photometry: shape="frame" leaves no pixels for a background; use background="none", '
            "a level in DN s-1, or a circle"
        )


def index_of(ds: xr.Dataset, center: Any) -> tuple[float, float]:
    """Return the index of a place given in the coordinates of the frame."""
    if np.shape(center) != (2,) or not np.isfinite(np.asarray(center, dtype=float)).all():
        raise ValueError(f"photometry: center={center!r}; give (y, x) in pixels")
    place = []
    for dim, value in zip(("y", "x"), center, strict=True):
        first, n = _rates.first_position(ds, dim), ds.sizes[dim]
        if not first - 0.5 <= value <= first + n - 0.5:
            raise ValueError(
                f"photometry: center={tuple(center)} lies outside the frame: {dim} reaches from "
                f"{first:g} to {first + n - 1:g}"
            )
        place.append(float(value) - first)
    return place[0], place[1]
