"""Records of a history as Python source that repeats them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

__all__ = ["call", "chain", "literal", "opening", "variable_names"]


def literal(value: Any) -> str | None:
    """Return a parameter as Python source, ``None`` where it was an object we no longer have."""
    if isinstance(value, dict) and ({"array", "callable", "dataset", "object"} & value.keys()):
        return None
    if isinstance(value, list):
        parts = [literal(v) for v in value]
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


def opening(source: Any) -> str:
    """Return the source of what data came from, as a call."""
    if isinstance(source, dict) and "simulate" in source:
        given = dict(source["simulate"])
        mode = given.pop("mode")
        more = "".join(f", {k}={literal(v)}" for k, v in given.items())
        return f"tsoxr.simulate({mode!r}{more})"
    return f"tsoxr.open({source!r})" if source else 'tsoxr.open("...")  # source unknown'


def variable_names(paths: Iterable[str]) -> dict[str, str]:
    """Return names of variables for paths of nodes.

    >>> variable_names(["NRS1/order1"])
    {'NRS1/order1': 'NRS1_order1'}
    """
    return {path: re.sub(r"\W", "_", path) or "ds" for path in paths}


def chain(done: list[dict[str, Any]], name: str, begin: str) -> list[str]:
    """Return lines of code that make the variable ``name`` by a chain of records.

    Parameters
    ----------
    done : list of dict
        Records; one that joined nodes makes these first.
    name : str
        Variable.
    begin : str
        What the variable is before the first record.
    """
    apart = bool(done) and any("source" in node for node in done[0].get("nodes", {}).values())
    lines = [] if apart else [f"{name} = {begin}"]
    for record in done:
        if "nodes" not in record:
            lines.append(f"{name} = {name}.tso.{call(record)}")
            continue
        names = variable_names(record["nodes"])
        for path, node in record["nodes"].items():
            start = opening(node["source"]) if "source" in node else name
            lines += chain(node["records"], names[path], start)
        listed = ", ".join(f"{path!r}: {own}" for path, own in names.items())
        lines.append(f"{name} = tsoxr.{call(record, '{' + listed + '}')}")
    return lines


def call(record: Mapping[str, Any], first: str | None = None) -> str:
    """Return the call that a record tells of, ``first`` being a positional argument."""
    given, lost = [] if first is None else [first], []
    for name, value in record.get("params", {}).items():
        text = literal(value)
        if text is None:
            lost.append(name)
        elif name not in record.get("default", []):
            given.append(f"{name}={text}")
    if record.get("again"):
        given.append("again=True")
    comment = f"  # give again: {', '.join(lost)}" if lost else ""
    return f"{record['step']}({', '.join(given)}){comment}"
