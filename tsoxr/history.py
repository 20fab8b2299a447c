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

from tsoxr import history_code
from tsoxr.errors import TsoError

__all__ = ["History", "append", "joined", "jsonable", "records"]

ATTRIBUTE = "tso_history"
SOURCE = "tso_source"


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


def joined(nodes: Mapping[str, Mapping[Any, Any]], record: Mapping[str, Any]) -> dict[str, str]:
    """Return the attributes that tell how something was made of several nodes.

    Parameters
    ----------
    nodes : mapping of str to mapping
        Attributes of each node.
    record : mapping
        Record of what joined them.

    Returns
    -------
    dict of str to str
        History and source. Records that all nodes share, when they began with the same data, come
        first; the record of joining holds under ``nodes`` what each of them has beyond these, and
        its source where they began with different data.

    Examples
    --------
    >>> attrs = {"tso_source": '"a.fits"', "tso_history": '[{"step": "extract"}]'}
    >>> joined({"order1": attrs, "order2": attrs}, {"step": "join"})["tso_source"]
    '"a.fits"'
    """
    done = {path: records(attrs) for path, attrs in nodes.items()}
    texts = [attrs.get(SOURCE) for attrs in nodes.values()]
    sources = [json.loads(text) if text else None for text in texts]
    one = texts[0] is not None and len(set(texts)) == 1
    shared = _n_shared(list(done.values())) if one else 0
    own = {
        path: {"records": found[shared:], **({} if one else {"source": source})}
        for (path, found), source in zip(done.items(), sources, strict=True)
    }
    first = next(iter(done.values()))[:shared]
    text = append({ATTRIBUTE: json.dumps(first, ensure_ascii=False)}, {**record, "nodes": own})
    return {ATTRIBUTE: text, SOURCE: str(texts[0]) if one else json.dumps(_listed(sources))}


def _n_shared(chains: list[list[dict[str, Any]]]) -> int:
    """Return how many records all chains begin with."""
    alike = [all(r == each[0] for r in each) for each in zip(*chains, strict=False)]
    return alike.index(False) if False in alike else len(alike)


def _listed(sources: list[Any]) -> list[Any]:
    """Return the files, or what else data came from, of several sources as one list."""
    listed: list[Any] = []
    for source in sources:
        items = source if isinstance(source, list) else [source]
        listed += [item for item in items if item is not None and item not in listed]
    return listed


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
        self._source = json.loads(attrs.get(SOURCE, "null"))

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._records[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._records)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per step: name, parameters (mode and derived ones marked), note."""
        rows = [
            {"step": r["step"], "parameters": _parameters(r), "note": "; ".join(_said(r))}
            for r in self._records
        ]
        return pd.DataFrame(rows, columns=["step", "parameters", "note"])

    def as_code(self) -> str:
        """Return the chain as Python source that repeats it.

        An argument that was an array or a function stands as a comment, since its
        content is not in the record.
        """
        return "\n".join(["import tsoxr", "", *self.chain("ds")])

    def chain(self, name: str) -> list[str]:
        """Return the lines of code that make the variable ``name``."""
        return history_code.chain(self._records, name, history_code.opening(self._source))

    def __repr__(self) -> str:
        if self._lost:
            return "history lost in arithmetic between Datasets"
        if not self._records:
            return "no step applied yet"
        return "\n".join(
            f"{i}. {r['step']}({_parameters(r)})" + "".join(f"\n     {n}" for n in _said(r))
            for i, r in enumerate(self._records, 1)
        )

    def _repr_html_(self) -> str:
        if self._lost or not self._records:
            return f"<p>{html.escape(repr(self))}</p>"
        rows = "".join(
            f"<tr><td>{i}</td><td style='text-align:left'><code>{html.escape(r['step'])}</code></td>"
            f"<td style='text-align:left'>{html.escape(_parameters(r))}</td>"
            f"<td style='text-align:left'>{html.escape('; '.join(_said(r)))}</td></tr>"
            for i, r in enumerate(self._records, 1)
        )
        head = "<tr><th></th><th>step</th><th>parameters (m: mode, d: derived from the data)</th><th>note</th></tr>"
        return f"<table>{head}{rows}</table>"


def _said(record: Mapping[str, Any]) -> list[str]:
    """Return the notes of a record, and the steps of each node that it joined."""
    nodes = record.get("nodes", {}).items()
    return [
        *(f"{path}: {', '.join(r['step'] for r in node['records'])}" for path, node in nodes),
        *record.get("notes", []),
    ]


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
    text = history_code.literal(value)
    return text if text is not None else str(value)
