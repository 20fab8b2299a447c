"""ASDF documents about FITS files, as the archive's files carry them.

An ASDF document without binary blocks is YAML text between two marks. Arrays stay in the
FITS extensions and the document says in which (ASDF Standard 1.6, with the ``fits:``
sources of the files of JWST). In the file the text is the single cell of a binary table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import tsoxr

if TYPE_CHECKING:
    from astropy.io import fits

__all__ = ["array_entry", "document", "hdu", "table_entry"]

HEAD = """#ASDF 1.0.0
#ASDF_STANDARD 1.6.0
%YAML 1.1
%TAG ! tag:stsci.edu:asdf/
--- !core/asdf-1.1.0
"""
INDENT = "  "


class Tagged(dict):
    """A mapping under a YAML tag."""

    def __init__(self, tag: str, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.tag = tag


def array_entry(extension: str, dtype: str, shape: tuple[int, ...]) -> Tagged:
    """Return what the document says of an image extension.

    Parameters
    ----------
    extension : str
        Name of the extension.
    dtype : str
        Name of the type, such as ``"uint16"``.
    shape : tuple of int
        Slowest axis first.
    """
    return _array(extension, dtype, shape)


def table_entry(extension: str, columns: np.dtype, n_rows: int) -> Tagged:
    """Return what the document says of a table extension with these columns."""
    fields = [
        {"byteorder": "big", "datatype": _type_name(columns[name]), "name": name}
        for name in columns.names or ()
    ]
    return _array(extension, fields, (n_rows,))


def _array(extension: str, datatype: str | list, shape: tuple[int, ...]) -> Tagged:
    values = {
        "source": f"fits:{extension},1",
        "datatype": datatype,
        "byteorder": "big",
        "shape": [int(n) for n in shape],
    }
    return Tagged("!core/ndarray-1.1.0", values)


def _type_name(dtype: np.dtype) -> str | list:
    return ["ascii", dtype.itemsize] if dtype.kind == "S" else dtype.name


def document(tree: Mapping[str, Any]) -> str:
    """Return the text of an ASDF document.

    Parameters
    ----------
    tree : mapping
        Of mappings, lists, numbers, booleans and strings.
    """
    software = {
        "author": "The tsoxr developers",
        "name": "tsoxr",
        "version": tsoxr.__version__,
    }
    whole = {"asdf_library": Tagged("!core/software-1.0.0", software), **tree}
    return f"{HEAD}{_block(whole, '')}...\n"


def _block(values: Mapping[str, Any], indent: str) -> str:
    """Write one mapping as a block, a line for each value."""
    lines = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            tag = f" {value.tag}" if isinstance(value, Tagged) else ""
            lines.append(f"{indent}{key}:{tag}\n{_block(value, indent + INDENT)}")
        else:
            lines.append(f"{indent}{key}: {_flow(value)}\n")
    return "".join(lines)


def _flow(value: Any) -> str:
    """Write a value on one line; what is no mapping, list or number is a quoted string."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(v) for v in value) + "]"
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return _number(float(value))
    return json.dumps(str(value))


def _number(value: float) -> str:
    """Write a float as YAML 1.1 knows it: a point always, a sign in the exponent."""
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else ("-.inf" if value < 0 else ".inf")
    mantissa, e, exponent = repr(value).partition("e")
    point = mantissa if "." in mantissa else f"{mantissa}.0"
    return point + (e + (exponent if exponent[0] in "+-" else f"+{exponent}") if e else "")


def hdu(text: str) -> fits.BinTableHDU:
    """Return the extension ``ASDF`` that holds a document: one row, one column of bytes."""
    from astropy.io import fits

    cell = np.frombuffer(text.encode("ascii"), dtype=np.uint8)[None]
    column = fits.Column("ASDF_METADATA", f"{cell.size}B", array=cell)
    return fits.BinTableHDU.from_columns([column], name="ASDF")
