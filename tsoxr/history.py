"""What was done to a Dataset: one JSON record per step in ``attrs["tso_history"]``.

A record names the step, the version, every parameter as it was used, which of them came
from the mode and which were derived from the data, and what the step had to say. Records
hold no clock times, so equal work gives identical Datasets.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tsoxr.errors import TsoError

__all__ = ["History", "append", "jsonable", "records"]

ATTRIBUTE = "tso_history"


def jsonable(value: Any) -> Any:  # noqa: PLR0911 -- one line per type
    """Return a value as JSON can hold it; arrays become shape, dtype and checksum.

    Parameters
    ----------
    value : any
        Parameter of a step. A lazy array is described without being computed.

    Returns
    -------
    Numbers, text, lists and dicts.

    Examples
    --------
    >>> jsonable((1, 2.5, None))
    [1, 2.5, None]
    """
    if value is None or isinstance(value, bool | str | int | float):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple | range):
        return [jsonable(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, xr.Dataset):
        return {"dataset": list(map(str, value.data_vars)), "n_records": len(records(value.attrs))}
    if isinstance(value, xr.DataArray):
        return {**_array(value.data), "dims": list(map(str, value.dims))}
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _array(value)
    if callable(value):
        return {
            "callable": f"{value.__module__}.{getattr(value, '__qualname__', type(value).__name__)}"
        }
    return {"object": type(value).__name__, "text": str(value)}


def _array(data: Any) -> dict[str, Any]:
    described: dict[str, Any] = {"array": list(data.shape), "dtype": str(data.dtype)}
    if isinstance(data, np.ndarray):
        described["sha1"] = hashlib.sha1(np.ascontiguousarray(data).tobytes()).hexdigest()  # noqa: S324 -- identifies
    return described


def records(attrs: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """Return the records that attributes hold, oldest first; none gives an empty list.

    Raises
    ------
    TsoError
        Where the attribute is not the JSON text that tsoxr writes.
    """
    text = attrs.get(ATTRIBUTE, "[]")
    try:
        found = json.loads(text)
    except (TypeError, ValueError):
        raise TsoError(
            f"history: attribute {ATTRIBUTE!r} is not JSON: {str(text)[:60]!r}"
        ) from None
    return list(found)


def append(attrs: Mapping[Any, Any], record: Mapping[str, Any]) -> str:
    """Return the history text with one more record."""
    return json.dumps([*records(attrs), jsonable(record)], ensure_ascii=False)


def _literal(value: Any) -> str | None:
    """Return a parameter as Python source, ``None`` where it was an object we no longer have."""
    if isinstance(value, dict) and ({"array", "callable", "dataset", "object"} & value.keys()):
        return None
    if isinstance(value, list):
        parts = [_literal(v) for v in value]
        if any(p is None for p in parts):
            return None
        return (
            "("
            + ", ".join(p for p in parts if p is not None)
            + ("," if len(parts) == 1 else "")
            + ")"
        )
    if isinstance(value, float) and not np.isfinite(value):
        return f'float("{value}")'
    return repr(value)


class History:
    """The steps applied to a Dataset; prints as a table, and as code.

    Parameters
    ----------
    attrs : mapping
        Attributes of a Dataset.
    """

    def __init__(self, attrs: Mapping[Any, Any]) -> None:
        self._records = records(attrs)
        self._lost = "tso_kind" in attrs and ATTRIBUTE not in attrs
        self._source = json.loads(attrs.get("tso_source", "null"))

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._records[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._records)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per step: name, parameters (mode and derived ones marked), note."""
        rows = [
            {"step": r["step"], "parameters": _parameters(r), "note": "; ".join(r.get("notes", []))}
            for r in self._records
        ]
        return pd.DataFrame(rows, columns=["step", "parameters", "note"])

    def as_code(self) -> str:
        """Return the chain as Python source that repeats it.

        An argument that was an array or a function stands as a comment, since its
        content is not in the record.
        """
        lines = ["import tsoxr", "", f"ds = {self._opening()}"]
        lines += [f"ds = ds.tso.{_call(r)}" for r in self._records]
        return "\n".join(lines)

    def _opening(self) -> str:
        if isinstance(self._source, dict) and "simulate" in self._source:
            given = dict(self._source["simulate"])
            mode = given.pop("mode")
            more = "".join(f", {k}={_literal(v)}" for k, v in given.items())
            return f"tsoxr.simulate({mode!r}{more})"
        return (
            f"tsoxr.open({self._source!r})"
            if self._source
            else 'tsoxr.open("...")  # source unknown'
        )

    def __repr__(self) -> str:
        if self._lost:
            return "history lost in arithmetic between Datasets"
        if not self._records:
            return "no step applied yet"
        return "\n".join(
            f"{i}. {r['step']}({_parameters(r)})"
            + "".join(f"\n     {n}" for n in r.get("notes", []))
            for i, r in enumerate(self._records, 1)
        )

    def _repr_html_(self) -> str:
        if self._lost or not self._records:
            return f"<p>{html.escape(repr(self))}</p>"
        rows = "".join(
            f"<tr><td>{i}</td><td style='text-align:left'><code>{html.escape(r['step'])}</code></td>"
            f"<td style='text-align:left'>{html.escape(_parameters(r))}</td>"
            f"<td style='text-align:left'>{html.escape('; '.join(r.get('notes', [])))}</td></tr>"
            for i, r in enumerate(self._records, 1)
        )
        head = "<tr><th></th><th>step</th><th>parameters (m: mode, d: derived from the data)</th><th>note</th></tr>"
        return f"<table>{head}{rows}</table>"


def _parameters(record: Mapping[str, Any]) -> str:
    marks = {
        **dict.fromkeys(record.get("from_mode", []), " (m)"),
        **dict.fromkeys(record.get("derived", []), " (d)"),
    }
    return ", ".join(
        f"{k}={_short(v)}{marks.get(k, '')}" for k, v in record.get("params", {}).items()
    )


def _short(value: Any) -> str:
    if isinstance(value, dict) and "array" in value:
        return f"<array {tuple(value['array'])}>"
    if isinstance(value, dict) and "callable" in value:
        return f"<{value['callable']}>"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = _literal(value)
    return text if text is not None else str(value)


def _call(record: Mapping[str, Any]) -> str:
    given, lost = [], []
    for name, value in record.get("params", {}).items():
        text = _literal(value)
        if text is None:
            lost.append(name)
        elif name not in record.get("default", []):
            given.append(f"{name}={text}")
    if record.get("again"):
        given.append("again=True")
    comment = f"  # give again: {', '.join(lost)}" if lost else ""
    return f"{record['step']}({', '.join(given)}){comment}"
