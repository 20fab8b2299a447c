"""Photom references of JWST: which row belongs to an exposure, and what it says."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tsoxr.errors import SchemaError, TsoError
from tsoxr.kernels import flux_conversion as kernel

__all__ = ["Row", "read"]

KEYS = {
    "filter": "FILTER", "pupil": "PUPIL", "grating": "GRATING", "slit": "FXD_SLIT",
    "subarray": "SUBARRAY", "order": None,
}  # fmt: skip
"""Columns that say what a row is for, and the header cards that they are compared with."""

GENERIC = ("GENERIC", "ANY")
BRIGHT_OBJECT_SLIT = "S1600A1"
PER_DN = {"photmj": "MJy s / DN", "photmjsr": "MJy s / (DN sr)"}
PER_WAVELENGTH = "MJy micron s / (DN sr)"
GRISMS = ("NRC_TSGRISM", "NRC_WFSS", "NIS_WFSS")
"""Exposure types whose references hold the flux density of one DN/s per um of wavelength."""


@dataclass(frozen=True)
class Row:
    """One row of a photom reference.

    factor : MJy of 1 DN/s, of one DN/s per um where ``per_um``.
    uncertainty : relative 1 sigma error of ``factor``.
    wavelength, response, response_error : (n,) um or m, relative response, and its 1 sigma
        error; empty where there is one number for all wavelengths.
    """

    factor: float
    uncertainty: float
    per_um: bool
    wavelength: np.ndarray
    response: np.ndarray
    response_error: np.ndarray
    notes: list[str] = field(default_factory=list)


def read(path: str | Path, ds: xr.Dataset) -> Row:
    """Return the row of a photom reference that belongs to an exposure.

    Parameters
    ----------
    path : str or pathlib.Path
        FITS file with a table PHOTOM.
    ds : xarray.Dataset
        Product with the exposure's header cards in ``fits_header``.

    Raises
    ------
    FileNotFoundError
        For a file that is not there.
    SchemaError
        For a file without such a table, or without the columns that it must have.
    TsoError
        Where no row or several belong to the exposure, or a pixel's area is not known.
    """
    from astropy.io import fits

    if not Path(path).is_file():
        raise FileNotFoundError(
            f"calibrate_flux: there is no file {str(path)!r}; give a photom reference"
        )
    with fits.open(path, memmap=False) as file:
        if "PHOTOM" not in file:
            raise SchemaError(
                f"calibrate_flux: {Path(path).name} has no table PHOTOM but {[h.name for h in file]}; "
                "give a photom reference of this instrument"
            )
        table = {
            n.lower(): np.asarray(file["PHOTOM"].data[n]) for n in file["PHOTOM"].columns.names
        }
        times = {
            law: {n.lower(): np.asarray(file[name].data[n]) for n in file[name].columns.names}
            for law in kernel.TIME_TABLES
            if (name := f"TIMECOEFF_{law.upper()}") in file
        }
        primary, unit = dict(file[0].header), file["PHOTOM"].header.get("PHOTUNIT")
    column = next((c for c in PER_DN if c in table), None)
    if column is None:
        raise SchemaError(
            f"calibrate_flux: the table of {Path(path).name} has columns {sorted(table)}; "
            f"one of {tuple(PER_DN)} is needed"
        )
    index = _index(Path(path).name, table, ds)
    return _row(ds, table, index, (column, unit), primary, times)


def cards(ds: xr.Dataset) -> dict[str, Any]:
    """Return the cards of the exposure's headers, those of the primary one first."""
    header = json.loads(ds.attrs.get("fits_header", "{}"))
    return {**header.get("SCI", {}), **header.get("PRIMARY", {})}


def _wanted(ds: xr.Dataset) -> dict[str, Any]:
    """Return what a row must say in each of the columns `KEYS`; None where the exposure does not."""
    header = cards(ds)
    wanted = {column: header.get(str(card)) for column, card in KEYS.items()}
    wanted["subarray"] = ds.attrs.get("subarray", wanted["subarray"])
    wanted["order"] = int(ds["order"]) if "order" in ds.coords and ds["order"].ndim == 0 else 1
    if ds.attrs.get("exp_type") == "NRS_BRIGHTOBJ":
        wanted["slit"] = BRIGHT_OBJECT_SLIT
    return wanted


def _index(name: str, table: dict[str, np.ndarray], ds: xr.Dataset) -> int:
    wanted = {c: v for c, v in _wanted(ds).items() if c in table}
    exact, loose = (np.ones(len(next(iter(table.values()))), dtype=bool) for _ in range(2))
    for column, value in wanted.items():
        if value is None:
            raise TsoError(
                f"calibrate_flux: the header of these data has no {KEYS[column]}, by which a row of {name} "
                "is chosen; open the exposure's own files, or give a DataArray"
            )
        found = np.array([_same(v) for v in table[column]])
        exact &= found == _same(value)
        loose &= (found == _same(value)) | np.isin(found, GENERIC)
    rows = np.flatnonzero(exact if exact.any() else loose)
    asked = ", ".join(f"{c}={v!r}" for c, v in wanted.items())
    if rows.size != 1:
        there = [", ".join(str(_same(table[c][i])) for c in wanted) for i in range(len(exact))]
        what = "no row" if rows.size == 0 else f"{rows.size} rows"
        raise TsoError(
            f"calibrate_flux: {name} has {what} for {asked}; its rows are {there[:20]}; "
            "give the reference of this mode"
        )
    return int(rows[0])


def _same(value: Any) -> str:
    """Return a cell or a card as text that can be compared."""
    text = value.decode() if isinstance(value, bytes) else str(value)
    return text.strip().upper()


def _row(
    ds: xr.Dataset,
    table: dict[str, np.ndarray],
    index: int,
    kind: tuple[str, str | None],
    primary: dict[str, Any],
    times: dict[str, dict[str, np.ndarray]],
) -> Row:
    column, unit = kind
    notes: list[str] = []
    spectral = "wavelength" in table and np.ndim(table["wavelength"][index]) == 1
    per_um = spectral and column == "photmjsr" and ds.attrs.get("exp_type") in GRISMS
    value, own = (float(table[c][index]) if c in table else 0.0 for c in (column, "uncertainty"))
    factor = value * _in_unit(unit, PER_WAVELENGTH if per_um else PER_DN[column])
    if column == "photmjsr":
        factor *= _pixel_area(ds, primary)
    for law, numbers in times.items():
        change = kernel.throughput(
            law, _day(ds), {n: float(numbers[n][index]) for n in kernel.TIME_TABLES[law]}
        )
        factor /= change
        notes.append(f"throughput on this day over that of the reference: {change:.4f} ({law})")
    if not (np.isfinite(factor) and factor > 0):
        raise TsoError(
            f"calibrate_flux: the row's {column} is {value:g}; it must be above 0; this combination "
            "is not calibrated in the reference"
        )
    relative = own / value if np.isfinite(own / value) else 0.0
    empty = np.zeros(0)
    if not spectral:
        return Row(factor, relative, per_um, empty, empty, empty, notes)
    n = int(table["nelem"][index]) if "nelem" in table else table["wavelength"].shape[1]
    arrays = [
        np.asarray(table[c][index][:n], dtype=np.float64) if c in table else np.zeros(n)
        for c in ("wavelength", "relresponse", "reluncertainty")
    ]
    return Row(factor, relative, per_um, *arrays, notes)


def _in_unit(found: str | None, wanted: str) -> float:
    """Return the factor from the table's unit to the usual one; 1 where the table has none."""
    if not found:
        return 1.0
    from astropy import units

    try:
        return float(units.Unit(found).to(units.Unit(wanted)))
    except (ValueError, units.UnitConversionError) as error:
        raise SchemaError(
            f"calibrate_flux: the table's PHOTUNIT is {found!r}; it must be convertible to {wanted!r}"
        ) from error


def _pixel_area(ds: xr.Dataset, primary: dict[str, Any]) -> float:
    """Return the solid angle of a pixel, sr, from the reference or the exposure's header."""
    for header in (primary, cards(ds)):
        if isinstance(header.get("PIXAR_SR"), float) and header["PIXAR_SR"] > 0:
            return float(header["PIXAR_SR"])
        if isinstance(header.get("PIXAR_A2"), float) and header["PIXAR_A2"] > 0:
            return float(header["PIXAR_A2"]) * (np.pi / 180.0 / 3600.0) ** 2
    raise TsoError(
        "calibrate_flux: the reference gives surface brightness and neither it nor the exposure says how "
        "large a pixel is (PIXAR_SR, PIXAR_A2); give a DataArray"
    )


def _day(ds: xr.Dataset) -> float:
    """Return the middle of the exposure, MJD."""
    time = np.asarray(ds["time_utc"] if "time_utc" in ds.coords else ds["time"], dtype=float)
    return float(np.nanmean(time[[0, -1]]))
