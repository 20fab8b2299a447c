"""Reference files of JWST: what one holds, cut to an exposure's subarray.

The types are those of the calibration references: superbias, dark, linearity, saturation,
gain, readnoise, mask, flat and reset. Pixels of other parts of the detector are not read.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq, schema
from tsoxr.errors import SchemaError
from tsoxr.io.fits_lazy import FitsArray
from tsoxr.io.header import cards
from tsoxr.io.layout import TableRows, array_on_disk, check_complete, end_of, opened

__all__ = ["TYPES", "ReferenceFile", "describe_reference", "extent", "read_part", "read_reference"]

TYPES = {
    "superbias": "superbias", "dark": "dark", "linearity": "linearity", "saturation": "saturation",
    "gain": "gain", "readnoise": "read_noise", "mask": None, "flat": "flat",
    "reset": "reset",
}  # fmt: skip
"""Reference type (REFTYPE, lower case) and the variable that it gives; a mask gives flags only."""

_EXTENSION = {"linearity": "COEFFS", "mask": "DQ"}
_DIMS = {"linearity": ("coefficient", "y", "x"), "dark": ("group", "y", "x"),
         "reset": ("group", "y", "x")}  # fmt: skip
NTH = "nth_integration"
"""Dim of darks and resets that differ between the first integrations; the last one stands for all
later ones."""


@dataclass(frozen=True)
class ReferenceFile:
    """A reference file, described but not read."""

    path: str
    reftype: str
    primary: dict[str, Any]
    arrays: dict[str, FitsArray]
    definitions: dict[int, str] | None

    @property
    def name(self) -> str:
        """File name without its folder."""
        return Path(self.path).name

    @property
    def start(self) -> tuple[int, int]:
        """First row and column on the detector, 1-based."""
        return int(self.primary.get("SUBSTRT2") or 1), int(self.primary.get("SUBSTRT1") or 1)


def describe_reference(path: str | Path) -> ReferenceFile:
    """Read the headers of a reference file.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    SchemaError
        For a file that is no reference file of a known type.
    """
    path = str(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"reference: there is no file {path!r}; check the path")
    arrays: dict[str, FitsArray] = {}
    with opened(path) as hdus:
        primary = cards(hdus[0].header)
        end, definitions = 0, None
        for hdu in hdus:
            end = max(end, end_of(hdu))
            if hdu.is_image and hdu.shape:
                arrays.setdefault(hdu.name, array_on_disk(path, hdu))
        check_complete(path, end)
        if "DQ_DEF" in hdus:
            definitions = _definitions(TableRows(path).read(hdus["DQ_DEF"])[0])
    reftype = str(primary.get("REFTYPE", "")).strip().lower()
    extension = _EXTENSION.get(reftype, "SCI")
    if reftype not in TYPES or extension not in arrays:
        raise SchemaError(
            f"{Path(path).name}: REFTYPE={primary.get('REFTYPE')!r} with extensions {sorted(arrays)}; tsoxr "
            f"reads {', '.join(TYPES)} in their JWST layout"
        )
    return ReferenceFile(path, reftype, primary, arrays, definitions)


def _definitions(rows: np.ndarray) -> dict[int, str]:
    return {
        int(row["VALUE"]): _text(row["NAME"]).strip().upper() for row in rows if row["VALUE"] > 0
    }


def _text(value: Any) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def read_reference(path: str | Path) -> tuple[str, xr.Dataset]:
    """Return the type of a reference file and its content.

    Parameters
    ----------
    path : str or Path
        A JWST reference file.

    Returns
    -------
    reftype : str
        One of `TYPES`.
    xarray.Dataset
        The variable of that type and ``dq`` (y, x), uint32, standard flags. ``read_noise``
        is the noise of a single read: the file's noise of a difference of two reads
        divided by sqrt 2. Darks and resets of MIRI, which differ between the first
        integrations, have the dim ``nth_integration`` first; the last one stands for all
        later integrations.

    Raises
    ------
    FileNotFoundError, SchemaError
        As `describe_reference`.
    """
    file = describe_reference(path)
    ny, nx = extent(file)
    return file.reftype, read_part(file, slice(0, ny), slice(0, nx))


def extent(file: ReferenceFile) -> tuple[int, int]:
    """Return the size of a reference, (ny, nx)."""
    ny, nx = file.arrays[_extension(file)].shape[-2:]
    return ny, nx


def _extension(file: ReferenceFile) -> str:
    return _EXTENSION.get(file.reftype, "SCI")


def read_part(file: ReferenceFile, rows: slice, columns: slice) -> xr.Dataset:
    """Return the variable of a reference and its flags within a box of its pixels."""
    variables = {}
    name = TYPES[file.reftype]
    attrs = {"reference_file": file.path, "reference_sha1": _sha1(file.path)}
    if name is not None:
        values = _science(file, rows, columns)
        dims = _DIMS.get(name, ("y", "x"))
        dims = dims if values.ndim == len(dims) else (NTH, *dims)
        array = xr.DataArray(values, dims=dims)
        variables[name] = schema.label(array, "ramps", name, **attrs)
    flags = _flags(file, rows, columns)
    if flags is not None:
        labelled = schema.label(xr.DataArray(flags, dims=("y", "x")), "ramps", "dq_pixel", **attrs)
        variables["dq"] = labelled.rename("dq")
    return xr.Dataset(variables, attrs={"reftype": file.reftype, **attrs})


def _science(file: ReferenceFile, rows: slice, columns: slice) -> np.ndarray:
    array = file.arrays[_extension(file)]
    values = _box(array, rows, columns)
    wanted = len(_DIMS.get(str(TYPES[file.reftype]), ("y", "x")))
    of_integrations = file.reftype in ("dark", "reset") and values.ndim == 4
    if of_integrations and values.shape[0] == 1:
        values, of_integrations = values[0], False
    wanted += of_integrations
    if values.ndim != wanted:
        raise SchemaError(
            f"{file.name}: this {file.reftype} has {values.ndim} axes, shape {array.shape}; {wanted} are expected"
        )
    if file.reftype == "readnoise":
        values = values / np.float32(np.sqrt(2.0))
    return np.ascontiguousarray(values, dtype=np.float32)


def _box(array: FitsArray, rows: slice, columns: slice) -> np.ndarray:
    """Read a box of pixels, all leading axes, row by row of the detector.

    Planes are read one at a time, so a full-frame dark never lies in memory.
    """
    leading = array.shape[:-2]
    flat = FitsArray(
        array.path, array.offset, (int(np.prod(leading, dtype=int)), *array.shape[-2:]), array.bitpix,
        array.bzero, array.bscale, array.modified,
    )  # fmt: skip
    planes = [flat[i, rows][..., columns] for i in range(flat.shape[0])]
    size = (rows.stop - rows.start, columns.stop - columns.start)
    return np.stack(planes).reshape(*leading, *size)


def _flags(file: ReferenceFile, rows: slice, columns: slice) -> np.ndarray | None:
    """Return the flags of a reference with their standard bits, by the names of its DQ_DEF."""
    array = file.arrays.get("DQ")
    if array is None:
        return None
    raw = _box(array, rows, columns)
    while raw.ndim > 2:  # MIRI darks flag each integration
        raw = np.bitwise_or.reduce(raw, axis=0)
    raw = raw.astype(np.uint32)
    if file.definitions is None:
        return raw
    flags = np.zeros_like(raw)
    for value, name in file.definitions.items():
        if name in dq.FLAGS:
            flags[(raw & np.uint32(value)) != 0] |= dq.bits(name)
    return flags


def _sha1(path: str) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha1").hexdigest()
