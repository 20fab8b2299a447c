"""Wavelength maps out of whatever the user has: tables, FITS files, arrays, functions.

Every reader returns a map (y, x) in um for the pixels of a Dataset. Positions are pixels of
the subarray, counted from 0, as in its coordinates ``y`` and ``x``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tsoxr.steps._wavelength_models import to_micron

__all__ = ["check_place", "from_array", "from_callable", "from_file", "pixel_grid", "spread"]

_SAME_PIXELS = (
    {"SUBSTRIP96", "SUBSTRIP256"},
    {"SUB512", "SUB512S"},
    {"SUBGRISM64", "SUBGRISM128", "SUBGRISM256"},
)
"""Subarrays that hold the same pixels along the dispersion: a table of one serves the others."""

_PIXEL_NAMES = ("pixel", "x", "y", "column", "row")


def pixel_grid(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the subarray's pixel numbers along y and x, float64."""
    return tuple(
        np.asarray(ds[d].values if d in ds.coords else np.arange(ds.sizes[d]), dtype=np.float64)
        for d in ("y", "x")
    )  # type: ignore[return-value]


def spread(ds: xr.Dataset, along: np.ndarray) -> np.ndarray:
    """Return a map from one wavelength for each pixel along dispersion."""
    shape = (ds.sizes["y"], ds.sizes["x"])
    column = along[:, None] if ds.attrs["dispersion_dim"] == "y" else along[None, :]
    return np.broadcast_to(np.asarray(column, dtype=np.float64), shape).copy()


def check_place(
    ds: xr.Dataset, source: Mapping[str, Any], where: str, *, along_only: bool = False
) -> None:
    """Refuse a source that says it is of another detector or subarray.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates.
    source : mapping
        What may hold ``detector`` and ``subarray``, in lower or upper case.
    where : str
        Name of the source.
    along_only : bool
        The source tells nothing across the dispersion.

    Raises
    ------
    ValueError
        Where both tell and differ.
    """
    for name in ("detector", "subarray"):
        said = source.get(name, source.get(name.upper()))
        own = str(ds.attrs.get(name, "")).upper()
        any_of = [said] if isinstance(said, str) else list(said or [])
        allowed = {str(one).strip().upper() for one in any_of}
        if along_only:
            allowed |= {a for group in _SAME_PIXELS if group & allowed for a in group}
        if own and allowed and own not in allowed and not allowed & {"N/A", "ANY", "GENERIC", ""}:
            raise ValueError(
                f"assign_wavelength: {where} is of {name} {', '.join(sorted(allowed))}, the data are of {own}; "
                "give the source of this exposure"
            )


def from_callable(ds: xr.Dataset, function: Callable[..., Any]) -> np.ndarray:
    """Return the map of ``function(x, y)``, pixel numbers (y, x) to um."""
    y, x = pixel_grid(ds)
    shape = (y.size, x.size)
    grid_x, grid_y = np.broadcast_to(x, shape).copy(), np.broadcast_to(y[:, None], shape).copy()
    got = np.asarray(function(grid_x, grid_y), dtype=np.float64)
    if got.shape != shape:
        raise ValueError(
            f"assign_wavelength: the function returned shape {got.shape}; it gets x and y of shape "
            f"{shape} and must return one wavelength (um) for each"
        )
    return got


def from_array(ds: xr.Dataset, array: Any) -> np.ndarray:
    """Return the map of an array along dispersion or over (y, x)."""
    dispersion = ds.attrs["dispersion_dim"]
    allowed = f"({dispersion},) with {ds.sizes[dispersion]} values or (y, x) with {ds.sizes['y']} x {ds.sizes['x']}"
    if isinstance(array, xr.DataArray):
        dims = set(array.dims)
        if dims not in ({dispersion}, {"y", "x"}):
            raise ValueError(
                f"assign_wavelength: the DataArray has dims {array.dims}; allowed are {allowed}"
            )
        array = array.transpose(*[d for d in ("y", "x") if d in dims])
        for d in (d for d in array.dims if d in array.coords and d in ds.coords):
            array = array.reindex({d: ds[d].values})
    unit = getattr(array, "unit", None)  # of a quantity
    if isinstance(array, xr.DataArray):
        unit = array.attrs.get("units")
    values = to_micron(getattr(array, "value", array), unit, "the array")
    if values.shape == (ds.sizes[dispersion],):
        return spread(ds, values)
    if values.shape != (ds.sizes["y"], ds.sizes["x"]):
        raise ValueError(
            f"assign_wavelength: the array has shape {values.shape}; allowed are {allowed}"
        )
    return values.copy()


def from_file(ds: xr.Dataset, path: Path, order: int) -> np.ndarray:
    """Return the map of a file: FITS by its ending, a text table otherwise."""
    if not path.is_file():
        raise FileNotFoundError(
            f"assign_wavelength: there is no file {str(path)!r}; give a FITS file with WAVELENGTH or a "
            "text table with columns pixel and wavelength"
        )
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".fits", ".fit", ".fts")):
        return _from_fits(ds, path, order)
    pixel, wavelength = _read_table(path)
    return _interpolated(ds, pixel, wavelength)


def _interpolated(ds: xr.Dataset, pixel: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
    """Interpolate a table linearly to the pixels; NaN beyond its ends and in its gaps."""
    good = np.isfinite(pixel) & np.isfinite(wavelength)
    pixel, wavelength = pixel[good], wavelength[good]
    if pixel.size < 2:
        raise ValueError(
            f"assign_wavelength: the table has {pixel.size} rows with pixel and wavelength; it needs two or more"
        )
    rank = np.argsort(pixel, kind="stable")
    y, x = pixel_grid(ds)
    along = y if ds.attrs["dispersion_dim"] == "y" else x
    got = np.interp(along, pixel[rank], wavelength[rank], left=np.nan, right=np.nan)
    return spread(ds, got)


def _read_table(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read pixel and wavelength from text: CSV, ECSV or blanks; ``#`` starts a comment."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [line.replace(",", " ").split() for line in lines if line and not line.startswith("#")]
    if not rows:
        raise ValueError(
            f"assign_wavelength: {path.name} holds no rows; it needs pixel and wavelength"
        )
    header = None if _is_number(rows[0][0]) else [name.strip('"').lower() for name in rows.pop(0)]
    first, second = (0, 1) if header is None else _columns(header, path.name)
    try:
        values = np.array([[float(row[first]), float(row[second])] for row in rows])
    except (ValueError, IndexError):
        raise ValueError(
            f"assign_wavelength: {path.name} has rows without two numbers; each needs pixel and wavelength"
        ) from None
    return values[:, 0], values[:, 1]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _columns(header: list[str], name: str) -> tuple[int, int]:
    pixel = [i for i, column in enumerate(header) if column in _PIXEL_NAMES]
    wavelength = [i for i, column in enumerate(header) if column.startswith("wave")]
    if not pixel or not wavelength:
        raise ValueError(
            f"assign_wavelength: {name} has columns {header}; it needs pixel (or x, y, column, row) and "
            "wavelength"
        )
    return pixel[0], wavelength[0]


def _from_fits(ds: xr.Dataset, path: Path, order: int) -> np.ndarray:
    """Return the map of a WAVELENGTH image, or of a table with WAVELENGTH and a pixel column."""
    from astropy.io import fits

    with fits.open(path) as file:
        images = [h for h in file if h.name == "WAVELENGTH" and h.data is not None]
        if images:
            header = file["SCI"].header if "SCI" in file else images[0].header
            check_place(ds, file[0].header, path.name)
            image = to_micron(images[0].data, images[0].header.get("BUNIT"), path.name)
            return _placed(ds, image, header, path.name)
        wanted = ds.attrs["dispersion_dim"].upper()
        for hdu in (h for h in file if isinstance(h, fits.BinTableHDU)):
            names = {n.upper(): n for n in hdu.columns.names}
            column = next((names[n] for n in ("PIXEL", wanted) if n in names), None)
            own = hdu.header.get("ORDER", hdu.header.get("SPORDER", order))
            if "WAVELENGTH" in names and column is not None and int(own) == order:
                check_place(ds, file[0].header, path.name, along_only=True)
                pixel = np.asarray(hdu.data[column], dtype=np.float64)
                unit = hdu.columns[names["WAVELENGTH"]].unit
                values = to_micron(hdu.data[names["WAVELENGTH"]], unit, path.name)
                return _interpolated(ds, pixel, values)
    raise ValueError(
        f"assign_wavelength: {path.name} has neither an image WAVELENGTH nor a table of order {order} with "
        f"columns WAVELENGTH and PIXEL (or {wanted}); give another file"
    )


def _placed(ds: xr.Dataset, image: np.ndarray, header: Any, name: str) -> np.ndarray:
    """Put an image, possibly a cut-out of the subarray (SLTSTRT1/2), on the pixels."""
    rows, columns = pixel_grid(ds)
    start = (int(header.get("SLTSTRT2", 1)) - 1, int(header.get("SLTSTRT1", 1)) - 1)
    y, x = rows.astype(int) - start[0], columns.astype(int) - start[1]
    inside_y, inside_x = (y >= 0) & (y < image.shape[0]), (x >= 0) & (x < image.shape[1])
    if not inside_y.any() or not inside_x.any():
        raise ValueError(
            f"assign_wavelength: the image in {name}, {image.shape}, does not cover the subarray; "
            "give the file of this exposure"
        )
    out = np.full((rows.size, columns.size), np.nan)
    out[np.ix_(inside_y, inside_x)] = image[np.ix_(y[inside_y], x[inside_x])]
    return np.where(out > 0, out, np.nan)
