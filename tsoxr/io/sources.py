"""Which files a user means, and of what format they are."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from tsoxr.errors import SchemaError

__all__ = ["Source", "format_of", "paths_of"]

_FITS, _HDF5, _GZIP = b"SIMPLE  =", b"\x89HDF\r\n\x1a\n", b"\x1f\x8b"

Source = str | Path | Iterable[str | Path]


def paths_of(source: Source) -> list[str]:
    """Return the files that a path, a list or a glob means, sorted within a glob.

    Raises
    ------
    FileNotFoundError
        For a file that is not there, a pattern that matches none, an empty list.
    SchemaError
        For a folder.
    """
    if not isinstance(source, str | Path):
        listed = [path for item in source for path in paths_of(item)]
        if not listed:
            raise FileNotFoundError("open: the list of files is empty; give at least one")
        return list(dict.fromkeys(listed))
    text = str(Path(source).expanduser())
    path = Path(text)
    if path.is_dir():
        raise SchemaError(
            f"open: {text!r} is a folder; give a file or a pattern such as {text.rstrip('/')}/*_uncal.fits"
        )
    if path.exists():
        return [text]
    if not glob.has_magic(text):
        raise FileNotFoundError(f"open: there is no file {text!r}; check the path")
    found = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 -- absolute patterns too
    if not found:
        raise FileNotFoundError(f"open: no file matches {text!r}; check the folder and the pattern")
    return found


def format_of(path: str) -> str:
    """Return ``"FITS"`` or ``"HDF5"``, from the first bytes of a file.

    Raises
    ------
    SchemaError
        For any other format.
    """
    with Path(path).open("rb") as stream:
        magic = stream.read(16)
    if magic.startswith(_FITS):
        return "FITS"
    if magic.startswith(_HDF5):
        return "HDF5"
    name = Path(path).name
    if magic.startswith(_GZIP):
        raise SchemaError(
            f"open: {name} is compressed; unpack it first (gunzip), it is read in parts"
        )
    raise SchemaError(
        f"open: {name} is neither FITS nor netCDF4/HDF5 (it begins with {magic[:8]!r}, {Path(path).stat().st_size} "
        "bytes); tsoxr reads JWST products, its own netCDF files and SpecData files of Eureka!"
    )
