"""Spectra of the JWST pipeline, in both layouts of its x1dints tables.

Up to pipeline 1.18: one table per integration and order, one row per wavelength. Since
1.19: one table per segment, order and detector, one row per integration, the columns being
vectors padded with NaN.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq, schema
from tsoxr.errors import SchemaError
from tsoxr.io import header, times
from tsoxr.io.layout import FitsFile, TableRows, opened, spectrum_key

__all__ = ["Spectra", "clock_of", "read", "tables"]

_ERROR_COLUMNS = ("FLUX_ERROR", "ERROR")
_PER_TABLE = ("INT_NUM", "TDB-MID", "MJD-AVG")
"""Keywords that differ between the tables of one spectrum."""

_SAME_WAVELENGTH = 1e-6
"""Relative difference up to which two integrations share a wavelength grid."""


@dataclass(frozen=True)
class Spectra:
    """The spectra of one order and detector in one file, (time, pixel)."""

    file: FitsFile
    detector: str
    order: int
    wavelength: np.ndarray
    flux: np.ndarray
    error: np.ndarray
    flags: np.ndarray
    n_pixels: np.ndarray
    unit: str
    integrations: np.ndarray
    segments: np.ndarray
    clocks: dict[str, np.ndarray]
    head: dict[str, Any]


def tables(file: FitsFile, detector: str, order: int) -> Spectra:
    """Return the spectra of one detector and order of a file.

    Raises
    ------
    SchemaError
        For tables without the columns of spectra, or whose wavelengths change with time.
    """
    parts: list[tuple[dict[str, Any], Any, str]] = []
    rows = TableRows(file.path)
    with opened(file.path) as hdus:
        for hdu in hdus:
            if hdu.name != "EXTRACT1D" or not hdu.header.get("NAXIS2"):
                continue
            if spectrum_key(hdu.header, file.primary) == (detector, order):
                data, units = rows.read(hdu)
                _check_columns(file, units)
                unit = header.unit(units["FLUX"], "DN s-1")
                head = {k: hdu.header[k] for k in _PER_TABLE if k in hdu.header}
                parts.append((head if parts else header.cards(hdu.header), data, unit))
        return _joined(file, detector, order, parts)


def _check_columns(file: FitsFile, names: Iterable[str]) -> None:
    if not {"WAVELENGTH", "FLUX"} <= set(names) or not set(_ERROR_COLUMNS) & set(names):
        raise SchemaError(
            f"{file.name}: EXTRACT1D has columns {list(names)}; a spectrum needs WAVELENGTH, FLUX and "
            "FLUX_ERROR (or ERROR)"
        )


def _joined(file: FitsFile, detector: str, order: int, parts: list[Any]) -> Spectra:
    """Put the tables of one order and detector on one time axis."""
    new = [data["WAVELENGTH"].ndim == 2 for _, data, _ in parts]
    if any(new) != all(new):
        raise SchemaError(f"{file.name}: mixes both layouts of EXTRACT1D tables; write it again")
    parts = sorted(parts, key=_first_number)
    column = _stacked if all(new) else _piled
    wavelength = column(parts, ("WAVELENGTH",), np.nan)
    wavelength[wavelength == 0] = np.nan
    keep = np.isfinite(wavelength).any(axis=0)  # the others pad the vector columns
    common = _common_wavelength(wavelength[:, keep], f"{file.name}, order {order}")
    n_time = wavelength.shape[0]
    numbers, segments = _numbers(file, parts, n_time, new=all(new))
    return Spectra(
        file=file,
        detector=detector,
        order=order,
        wavelength=common,
        flux=column(parts, ("FLUX",), np.nan)[:, keep],
        error=column(parts, _ERROR_COLUMNS, np.nan)[:, keep],
        flags=column(parts, ("DQ",), 0)[:, keep].astype(np.uint32),
        n_pixels=column(parts, ("NPIXELS",), np.nan)[:, keep],
        unit=parts[0][2],
        integrations=numbers,
        segments=segments,
        clocks={name: _time_column(parts, name, new=all(new)) for name in ("TDB-MID", "MJD-AVG")},
        head=parts[0][0],
    )


def _first_number(part: tuple[dict[str, Any], np.ndarray, str]) -> tuple[int, int]:
    """Return the segment and the integration with which a table begins."""
    head, data, _ = part
    segment, number = _column(data, ("SEGMENT",)), _column(data, ("INT_NUM",))
    return (
        0 if segment is None else int(segment[0]),
        int(head.get("INT_NUM", 0)) if number is None else int(number[0]),
    )


def _column(data: Any, names: Sequence[str]) -> np.ndarray | None:
    name = next((n for n in names if n in data.dtype.names), None)
    return None if name is None else np.asarray(data[name])


def _stacked(parts: list[Any], names: Sequence[str], pad: float) -> np.ndarray:
    """Stack vector columns: rows are integrations already."""
    return _padded([_or_empty(data, names, pad) for _, data, _ in parts], pad)


def _piled(parts: list[Any], names: Sequence[str], pad: float) -> np.ndarray:
    """Pile up tables of one integration each."""
    return _padded([_or_empty(data, names, pad)[None, :] for _, data, _ in parts], pad)


def _or_empty(data: Any, names: Sequence[str], pad: float) -> np.ndarray:
    values = _column(data, names)
    return np.full(data["WAVELENGTH"].shape, pad) if values is None else values


def _padded(blocks: list[np.ndarray], pad: float) -> np.ndarray:
    width = max(b.shape[1] for b in blocks)
    kind = np.float64 if isinstance(pad, float) else np.int64
    out = np.full((sum(b.shape[0] for b in blocks), width), pad, dtype=kind)
    row = 0
    for block in blocks:
        out[row : row + block.shape[0], : block.shape[1]] = block
        row += block.shape[0]
    return out


def _common_wavelength(wavelength: np.ndarray, where: str) -> np.ndarray:
    if wavelength.size == 0:
        raise SchemaError(
            f"{where}: no wavelength is a number; assign wavelengths and extract again"
        )
    first = wavelength[np.isfinite(wavelength).sum(axis=1).argmax()]
    difference = np.abs(wavelength / first - 1.0)
    if np.nanmax(difference, initial=0.0) > _SAME_WAVELENGTH:
        i, j = np.unravel_index(np.nanargmax(difference), difference.shape)
        raise SchemaError(
            f"{where}: the wavelengths change with time, {wavelength[i, j]:.6f} um in row {i} against "
            f"{first[j]:.6f} um; a Dataset has one wavelength axis: extract on a common grid"
        )
    return first


def _numbers(
    file: FitsFile, parts: list[Any], n: int, *, new: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return absolute integration numbers and segments, (time,)."""
    whole = file.primary.get("EXSEGNUM")
    segments = np.full(n, int(whole or 1), np.int16)
    if new:
        numbers, given = _joined_column(parts, "INT_NUM"), _joined_column(parts, "SEGMENT")
        if given is not None and (whole is None or np.unique(given).size > 1):
            segments = given.astype(np.int16)
    else:
        found = [head.get("INT_NUM") for head, _, _ in parts]
        numbers = None if any(f is None for f in found) else np.asarray(found)
    counted = file.integrations(n)
    # tables that do not know the number count their own rows from 1
    if numbers is None or np.unique(numbers).size != n or numbers[0] < counted[0]:
        return counted, segments
    return numbers.astype(np.int32), segments


def _joined_column(parts: list[Any], name: str) -> np.ndarray | None:
    columns = [_column(data, (name,)) for _, data, _ in parts]
    return None if any(c is None for c in columns) else np.concatenate(columns)


def _time_column(parts: list[Any], name: str, *, new: bool) -> np.ndarray | str:
    if new:
        column = _joined_column(parts, name)
        return f"EXTRACT1D has no column {name}" if column is None else column.astype(np.float64)
    values = [head.get(name) for head, _, _ in parts]
    if any(v is None for v in values):
        return f"EXTRACT1D has no keyword {name}"
    return np.asarray(values, dtype=np.float64)


def clock_of(spectra: Spectra) -> times.Clock:
    """Return the times that a file of spectra can give."""
    file = spectra.file
    columns: dict[str, Any] = {
        name: times.column(file.int_times, name, spectra.integrations)
        for name in ("int_mid_BJD_TDB", "int_mid_MJD_UTC")
    }
    return times.clock(file.primary, spectra.integrations, {**columns, **spectra.clocks})


def read(spectra: Spectra, source: str, clock: times.Clock) -> xr.Dataset:
    """Return the spectra of one order and detector as a Dataset in memory.

    Parameters
    ----------
    spectra : Spectra
        What `tables` found.
    source : str
        Which of `times.SOURCES` to take.
    clock : Clock
        The times of the file.

    Returns
    -------
    xarray.Dataset
        Kind ``spectra``; wavelengths ascend, wavelengths that are NaN are left out.
    """
    file = spectra.file
    usable = np.flatnonzero(np.isfinite(spectra.wavelength))
    ascending = usable[np.argsort(spectra.wavelength[usable], kind="stable")]
    wavelength = spectra.wavelength[ascending].astype(np.float64)
    if np.any(np.diff(wavelength) == 0):
        repeated = wavelength[:-1][np.diff(wavelength) == 0][0]
        raise SchemaError(
            f"{file.name}, order {spectra.order}: wavelength {repeated:.6f} um occurs twice; one table must "
            "hold one spectrum"
        )
    flux = spectra.flux[:, ascending].astype(np.float32)
    flags = spectra.flags[:, ascending]
    flags[np.isnan(flux)] |= dq.bits("DO_NOT_USE")
    error = spectra.error[:, ascending].astype(np.float32)
    attrs = header.attributes(file.primary, spectra.head, kind="spectra", where=file.name)
    attrs |= {
        "detector": spectra.detector,
        "tso_source": json.dumps([file.path]),
        **times.attributes(source),
    }
    with_units = {"units": spectra.unit}
    variables = {
        "flux": _label(flux, "flux", **with_units),
        "flux_error": _label(error, "flux_error", **with_units),
        "dq": _label(flags, "dq"),
    }
    n_pixels = spectra.n_pixels[:, ascending]
    if np.isfinite(n_pixels).any():
        middle = n_pixels[len(n_pixels) // 2]
        variables["n_pixels"] = _label(middle.astype(np.float32), "n_pixels")
    coords = {
        "time": times.coordinate(clock.times[source], source),
        **times.utc_coordinate(clock, source),
        "integration": _label(spectra.integrations, "integration"),
        "segment": _label(spectra.segments, "segment"),
        "wavelength": _label(wavelength, "wavelength"),
        "order": xr.DataArray(
            np.int16(spectra.order), attrs={"long_name": "spectral order", "units": "1"}
        ),
    }
    return xr.Dataset(variables, coords=coords, attrs=attrs).sortby("time")


def _label(values: np.ndarray, name: str, **attrs: object) -> xr.DataArray:
    dims = schema.SCHEMAS["spectra"][name].dims
    return schema.label(xr.DataArray(values, dims=dims), "spectra", name, **attrs)
