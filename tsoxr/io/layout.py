"""What a FITS file is, from its headers alone: product, arrays on disk, tables.

Dispatch rests on content, never on the name of the file: extensions, their dims and the
primary keywords.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from tsoxr.errors import SchemaError
from tsoxr.io.fits_lazy import FitsArray
from tsoxr.io.header import cards, check_time_series

__all__ = [
    "FitsFile",
    "TableRows",
    "array_on_disk",
    "check_complete",
    "describe",
    "end_of",
    "opened",
    "spectrum_key",
]

_BLOCK = 2880
"""FITS files are made of blocks of this many bytes."""


@dataclass(frozen=True)
class FitsFile:
    """A JWST time-series file, described but not read.

    ``spectra`` holds the detector and order of each table of spectra.
    """

    path: str
    product: str
    primary: dict[str, Any]
    sci: dict[str, Any]
    arrays: dict[str, FitsArray] = field(repr=False)
    int_times: np.ndarray | None = field(repr=False)
    spectra: tuple[tuple[str, int], ...] = ()

    @property
    def name(self) -> str:
        """File name without its folder."""
        return Path(self.path).name

    @property
    def detector(self) -> str:
        """DETECTOR, upper case."""
        return str(self.primary.get("DETECTOR", "")).strip().upper()

    def integrations(self, n: int) -> np.ndarray:
        """Return the absolute numbers of ``n`` integrations, from INTSTART (1 if absent)."""
        return (int(self.primary.get("INTSTART") or 1) + np.arange(n)).astype(np.int32)


class opened:  # noqa: N801 -- a context manager that reads as a function
    """Open a FITS file with astropy; its complaints about the file become SchemaError."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> Any:
        """Return astropy's list of HDUs."""
        from astropy.io import fits

        self._quiet = warnings.catch_warnings()
        self._quiet.__enter__()
        warnings.simplefilter("ignore")  # astropy's words on truncated files; ours say more
        try:
            self._hdus = fits.open(self._path, memmap=False, lazy_load_hdus=True)
        except (FileNotFoundError, PermissionError):
            self._quiet.__exit__(None, None, None)
            raise
        except OSError as error:
            self._quiet.__exit__(None, None, None)
            raise _damaged(self._path, error) from error
        return self._hdus

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file; an error of reading becomes one that says what to do."""
        self._hdus.close()
        self._quiet.__exit__(None, None, None)
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise _damaged(self._path, error) from error


def _damaged(path: str, error: Exception) -> SchemaError:
    size = Path(path).stat().st_size
    return SchemaError(
        f"{Path(path).name}: cannot be read as FITS ({error}); it holds {size} bytes and is probably "
        "truncated; download or copy it again"
    )


def describe(path: str) -> FitsFile:
    """Read the headers and the small tables of a JWST time-series product.

    Parameters
    ----------
    path : str
        The FITS file.

    Returns
    -------
    FitsFile
        The description; pixels are not touched.

    Raises
    ------
    SchemaError
        For a file that is truncated, not from JWST, not a time series, or of a product
        that tsoxr does not read; the message says which, and what to do.
    """
    where = Path(path).name
    arrays: dict[str, FitsArray] = {}
    names: list[str] = []
    sci: dict[str, Any] = {}
    spectra: dict[tuple[str, int], None] = {}
    with opened(path) as hdus:
        primary = cards(hdus[0].header)
        check_jwst(primary, where)
        end = 0
        for hdu in hdus:
            end = max(end, end_of(hdu))
            names.append(hdu.name)
            if hdu.name == "EXTRACT1D" and hdu.header.get("NAXIS2"):
                spectra[spectrum_key(hdu.header, primary)] = None
            if hdu.name in arrays or not hdu.is_image or not hdu.shape:
                continue
            arrays[hdu.name] = array_on_disk(path, hdu)
            if hdu.name == "SCI":
                sci = cards(hdu.header)
        check_complete(path, end)
        has_times = "INT_TIMES" in names and hdus["INT_TIMES"].header.get("TFIELDS")
        table = TableRows(path).read(hdus["INT_TIMES"])[0] if has_times else None
    check_time_series(primary, where)
    if "INT_TIMES_STRIPE" in names:
        raise SchemaError(
            f"{where}: INT_TIMES_STRIPE says that the detector was read in stripes; tsoxr does not read "
            "such exposures"
        )
    product = _product(where, names, arrays)
    return FitsFile(path, product, primary, sci, arrays, table, tuple(spectra))


def spectrum_key(header: Any, primary: dict[str, Any]) -> tuple[str, int]:
    """Return the detector and the order of an EXTRACT1D table."""
    detector = header.get("DETECTOR", primary.get("DETECTOR", ""))
    return str(detector).strip().upper(), int(header.get("SPORDER") or 1)


def check_jwst(primary: dict[str, Any], where: str) -> None:
    """Raise for a file of another telescope, or a reference file."""
    if primary.get("REFTYPE"):
        raise SchemaError(
            f"{where}: a reference file (REFTYPE={primary['REFTYPE']!r}), not an exposure; give it to "
            "ds.tso.use_references"
        )
    telescope = str(primary.get("TELESCOP", "")).strip().upper()
    if telescope != "JWST" or "INSTRUME" not in primary:
        raise SchemaError(
            f"{where}: TELESCOP={primary.get('TELESCOP')!r}, INSTRUME={primary.get('INSTRUME')!r}; tsoxr "
            "reads JWST products; leave this file out"
        )


def check_complete(path: str, end: int) -> None:
    """Raise when the file is shorter than its headers promise."""
    size = Path(path).stat().st_size
    next_block = -(-end // _BLOCK) * _BLOCK
    with Path(path).open("rb") as stream:
        stream.seek(next_block)
        broken_header = stream.read(8) == b"XTENSION"  # one that astropy could not read to its end
    if size < end or broken_header:
        promised = f"at least {max(end, next_block + _BLOCK) if broken_header else end}"
        raise SchemaError(
            f"{Path(path).name}: holds {size} bytes but its headers promise {promised}; the file is "
            "truncated; download or copy it again"
        )


def end_of(hdu: Any) -> int:
    """Return the byte at which the data of an HDU end, padding not counted."""
    info = hdu.fileinfo()
    return int(info["datLoc"]) + int(hdu.size)


def array_on_disk(path: str, hdu: Any) -> FitsArray:
    """Return where and how the pixels of an image HDU are stored."""
    header = hdu.header
    return FitsArray(
        path=path,
        offset=int(hdu.fileinfo()["datLoc"]),
        shape=tuple(hdu.shape),
        bitpix=int(header["BITPIX"]),
        bzero=float(header.get("BZERO", 0.0)),
        bscale=float(header.get("BSCALE", 1.0)),
        modified=Path(path).stat().st_mtime_ns,
    )


class TableRows:
    """Read many tables of a few layouts; astropy works out each layout once.

    Files with a table per integration have thousands of them. Names of columns come back
    in upper case, numbers in native byte order, unsigned integers (TZERO) as int64.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._layouts: dict[Any, tuple[np.dtype[Any], dict[str, int], dict[str, str]]] = {}

    def read(self, hdu: Any) -> tuple[np.ndarray, dict[str, str]]:
        """Return the rows, (row,) structured, and the unit of each column."""
        head = hdu.header
        fields = range(1, head["TFIELDS"] + 1)
        key = tuple(head.get(f"{word}{i}") for i in fields for word in ("TTYPE", "TFORM", "TZERO"))
        if key not in self._layouts:
            self._layouts[key] = self._layout(hdu.columns)
        dtype, zeros, units = self._layouts[key]
        with Path(self._path).open("rb") as stream:
            stream.seek(hdu.fileinfo()["datLoc"])
            rows = np.fromfile(stream, dtype, head["NAXIS2"])
        native = {n: "i8" if n in zeros else dtype[n].base.newbyteorder("=") for n in dtype.names}
        out = rows.astype([(n, kind, dtype[n].shape) for n, kind in native.items()])
        for name, zero in zeros.items():
            out[name] += zero
        return out, units

    def _layout(self, columns: Any) -> tuple[np.dtype[Any], dict[str, int], dict[str, str]]:
        scaled = [c.name for c in columns if c.bscale not in (None, "", 1)]
        if scaled:
            raise SchemaError(
                f"{Path(self._path).name}: columns {scaled} are scaled (TSCAL), which tables of spectra are "
                "not; write the table with plain numbers"
            )
        dtype = columns.dtype.newbyteorder(">")
        dtype.names = tuple(n.upper() for n in dtype.names)
        zeros = {c.name.upper(): int(c.bzero) for c in columns if c.bzero}
        return dtype, zeros, {c.name.upper(): str(c.unit or "") for c in columns}


def _product(where: str, names: list[str], arrays: dict[str, FitsArray]) -> str:
    if "EXTRACT1D" in names:
        return "x1dints"
    science = arrays.get("SCI")
    if science is None:
        raise SchemaError(
            f"{where}: has neither a SCI nor an EXTRACT1D extension (it has {names}); tsoxr reads uncal, "
            "ramp, rateints, calints and x1dints files"
        )
    if 0 in science.shape:
        raise SchemaError(f"{where}: SCI is empty, shape {science.shape}; there is nothing to read")
    if science.ndim == 4:
        return "uncal" if "GROUPDQ" not in arrays and "PIXELDQ" not in arrays else "ramp"
    if science.ndim == 3:
        return "rateints"
    averaged = (
        " (an average over the integrations; open the ...ints file)" if science.ndim == 2 else ""
    )
    raise SchemaError(
        f"{where}: SCI has {science.ndim} axes, shape {science.shape}{averaged}; tsoxr reads 4 "
        "(integration, group, y, x) or 3 (integration, y, x)"
    )
