"""The guide star's series as covariates: FGS fine-guide files on the integrations of an exposure.

While JWST observes, the fine guidance sensor takes images of 8 by 8 pixels of one star, some
sixteen a second. Their flux and centroid are the pointing and the throughput of the telescope,
measured without the instrument. Files of type FGS_FINEGUIDE (``*_gs-fg_*_cal.fits``) hold the
images in SCI (time, y, x); first and last time of the data stand in the keywords DATASTRT and
DATAEND of the primary header, MJD in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import schema
from tsoxr.errors import TsoError

__all__ = ["add_guide_star", "read_guide_star"]

PIXEL_SCALE = 0.069
"""Of the fine guidance sensor, arcsec per pixel (nominal)."""
CLIP = 6.0
"""Images whose flux or centroid is farther off, in robust sigma of a running window, are left out."""
N_PER_BLOCK = 4096


def read_guide_star(files: str | Path | Iterable[str | Path]) -> xr.Dataset:
    """Read fine-guide files.

    Parameters
    ----------
    files : path or list of paths
        ``*_gs-fg_*_cal.fits``, in any order.

    Returns
    -------
    xarray.Dataset
        ``flux`` (DN s-1), ``x`` and ``y`` (arcsec from the median centroid, along the axes of
        the sensor) over ``time``, MJD in UTC, ascending. Images without light are NaN.

    Raises
    ------
    TsoError
        For a file that is not a fine-guide product, without images or without its times.
    """
    paths = [files] if isinstance(files, str | Path) else list(files)
    if not paths:
        raise TsoError("read_guide_star: no file was given; give *_gs-fg_*_cal.fits")
    parts = [_one(Path(path)) for path in paths]
    time, flux, x, y = (np.concatenate([part[i] for part in parts]) for i in range(4))
    order = np.argsort(time, kind="stable")
    x, y = (PIXEL_SCALE * (a - np.nanmedian(a)) for a in (x, y))
    values = {"flux": (flux, "DN s-1"), "x": (x, "arcsec"), "y": (y, "arcsec")}
    return xr.Dataset(
        {k: ("time", v[order], {"units": u}) for k, (v, u) in values.items()},
        {"time": ("time", time[order], {"units": "d", "time_scale": "utc"})},
        {"tso_source": json.dumps([Path(p).name for p in paths])},
    )


def _one(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return times, fluxes and centroids (pixels) of one file."""
    from astropy.io import fits

    if not path.exists():
        raise TsoError(f"read_guide_star: there is no file {str(path)!r}; check the path")
    with fits.open(path) as hdus:
        header = hdus[0].header
        kind = header.get("EXP_TYPE")
        if kind != "FGS_FINEGUIDE":
            raise TsoError(
                f"read_guide_star: {path.name} has EXP_TYPE={kind!r}; it must be 'FGS_FINEGUIDE': "
                "files named *_gs-fg_*_cal.fits"
            )
        if "SCI" not in hdus or hdus["SCI"].data is None or hdus["SCI"].data.ndim != 3:
            raise TsoError(f"read_guide_star: {path.name} has no images (time, y, x) in SCI")
        images = hdus["SCI"].data
        first, last = _times(path, header)
        flux, x, y = _moments(images)
    n = flux.size
    return first + (np.arange(n) + 0.5) * (last - first) / n, flux, x, y


def _times(path: Path, header: Any) -> tuple[float, float]:
    first, last = header.get("DATASTRT"), header.get("DATAEND")
    known = isinstance(first, int | float) and isinstance(last, int | float) and last > first
    if not known:
        raise TsoError(
            f"read_guide_star: {path.name} has DATASTRT={first!r} and DATAEND={last!r}; they must be "
            "MJD in ascending order"
        )
    return float(first), float(last)


def _moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return flux and centroid (x, y) of each image, a block of images at a time."""
    n, n_y, n_x = images.shape
    flux, x, y = (np.empty(n) for _ in range(3))
    for first in range(0, n, N_PER_BLOCK):
        part = slice(first, first + N_PER_BLOCK)
        block = np.nan_to_num(images[part].astype(np.float64))
        # the outermost pixels hold the wings; their median is the level
        edge = np.concatenate(
            [block[:, [0, -1], :].reshape(len(block), -1), block[:, 1:-1, 0], block[:, 1:-1, -1]],
            axis=1,
        )
        block -= np.median(edge, axis=1)[:, None, None]
        total = block.sum(axis=(1, 2))
        safe = np.where(total > 0, total, np.nan)
        flux[part] = safe
        y[part] = block.sum(axis=2) @ np.arange(n_y) / safe
        x[part] = block.sum(axis=1) @ np.arange(n_x) / safe
    return flux, x, y


def add_guide_star(
    ds: xr.Dataset, guide_star: str | Path | Sequence[str | Path] | xr.Dataset
) -> xr.Dataset:
    """Put the guide star's motion and flux on the integrations of an exposure.

    Parameters
    ----------
    ds : xarray.Dataset
        Any product with ``time``.
    guide_star : path, list of paths, or xarray.Dataset
        Fine-guide files, or what `read_guide_star` made of them.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with the coordinates ``jitter_x`` and ``jitter_y`` (time), arcsec along the
        axes of the guider, which are turned against those of the instrument, and
        ``guide_star_flux`` (time), relative to the median: means over each integration. NaN where no image
        was taken. The exposure's UTC is that of its middle, EXPMID in the attribute
        ``fits_header``: right to the resets before the first integration, and to the change
        of the light's travel time during the exposure.

    Raises
    ------
    TsoError
        When the guide star's series does not overlap the exposure, or the exposure's times in
        UTC are unknown.
    """
    series = guide_star if isinstance(guide_star, xr.Dataset) else read_guide_star(guide_star)
    begin, end = _bounds(ds)
    when = np.asarray(series["time"])
    if when[-1] < begin[0] or when[0] > end[-1]:
        raise TsoError(
            f"add_guide_star: the guide star was followed from MJD {when[0]:.5f} to {when[-1]:.5f}, the exposure "
            f"lasted from {begin[0]:.5f} to {end[-1]:.5f} (UTC); give the files of this visit"
        )
    flux = np.asarray(series["flux"]) / np.nanmedian(series["flux"])
    columns = {
        "jitter_x": np.asarray(series["x"]),
        "jitter_y": np.asarray(series["y"]),
        "guide_star_flux": flux,
    }
    good = np.logical_and.reduce([_unbroken(v) for v in columns.values()])
    first, last = (np.searchsorted(when[good], edge) for edge in (begin, end))
    made = {}
    for name, values in columns.items():
        running = np.concatenate([[0.0], np.cumsum(values[good])])
        count = last - first
        mean = np.where(count > 0, (running[last] - running[first]) / np.maximum(count, 1), np.nan)
        array = xr.DataArray(mean.astype(np.float32), dims="time")
        made[name] = schema.label(array, "rates", name, source="FGS fine guide").variable
    return ds.assign_coords(made)


def _unbroken(values: np.ndarray) -> np.ndarray:
    """Return True where a value is finite and no outlier about the median."""
    middle = np.nanmedian(values)
    spread = 1.4826 * np.nanmedian(np.abs(values - middle))
    return np.isfinite(values) & (np.abs(values - middle) <= max(CLIP * spread, 1e-12))


def _bounds(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return begin and end of each integration, MJD in UTC."""
    time = np.asarray(ds["time"], dtype=float)
    if time.size < 2:
        raise TsoError(
            "add_guide_star: one integration; at least 2 are needed to know how long they are"
        )
    cards = json.loads(ds.attrs.get("fits_header", "{}")).get("PRIMARY", {})
    middle = cards.get("EXPMID")
    if not isinstance(middle, int | float):
        raise TsoError(
            "add_guide_star: the header has no EXPMID, so that the exposure's UTC is unknown; "
            "open the exposure from its FITS files"
        )
    number = (
        np.asarray(ds["integration"], dtype=float)
        if "integration" in ds.coords
        else np.arange(1.0, time.size + 1)
    )
    n_integrations = int(ds.attrs.get("n_integrations", time.size))
    slope, start = np.polyfit(number - number[0], time - time[0], 1)  # part of an exposure will do
    halfway = time[0] + start + slope * (0.5 * (n_integrations + 1) - number[0])
    utc = time - halfway + float(middle)
    half = 0.5 * np.median(np.diff(utc))
    return utc - half, utc + half
