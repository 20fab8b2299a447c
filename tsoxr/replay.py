"""Apply the recorded chain of one product to other data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from tsoxr import history, registry, trees
from tsoxr.errors import TsoError

__all__ = ["replay"]


def replay(
    source: str | Path | xr.Dataset,
    ds: xr.Dataset | xr.DataTree | Mapping[str, xr.Dataset],
    *,
    arguments: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Apply the steps that made a product to another Dataset.

    Parameters
    ----------
    source : path or xarray.Dataset
        The product whose history is repeated.
    ds : xarray.Dataset, or xarray.DataTree or mapping of xarray.Dataset
        What to apply it to: the data with which that history began, or others of the
        same kind. Where several detectors were joined, one Dataset for each, under the names
        of their nodes.
    arguments : mapping, optional
        Values of parameters that were arrays or functions, which a history cannot hold,
        as ``{"step.parameter": value}``.

    Returns
    -------
    xarray.Dataset
        The result. On the original data it is identical to the product.

    Raises
    ------
    TsoError
        For a step that is not registered here, or an argument or a node that has to be given.

    Examples
    --------
    >>> import tsoxr
    >>> start = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=20, seed=1)
    >>> done = start.tso.flag_outliers(sigma=6.0)
    >>> tsoxr.replay(done, start).identical(done)
    True
    """
    from tsoxr import io

    product = source if isinstance(source, xr.Dataset) else io.open(source)
    registry.discover()
    supplied = dict(arguments) if arguments is not None else {}
    return _repeated(history.records(product.attrs), ds, supplied)


def _repeated(done: list[dict[str, Any]], start: Any, supplied: dict[str, Any]) -> xr.Dataset:
    """Return the result of a chain of records, which may begin with several Datasets."""
    ds = start
    known = {**registry.STEPS, **trees.JOINS}
    for number, record in enumerate(done, 1):
        name = record["step"]
        if name not in known:
            raise TsoError(
                f"replay: record {number} is {name!r}, which is no registered step; have {sorted(known)}"
            )
        parameters = known[name].parameters
        used = _used(record, number, supplied)
        unknown = [p for p in used if p not in parameters]
        if unknown:
            raise TsoError(
                f"replay: record {number}, {name}(): this version has no parameter {unknown[0]!r}"
            )
        used = {n: p.default for n, p in parameters.items()} | used
        from_mode = record.get("from_mode", [])
        if name in trees.JOINS:
            nodes = {
                path: _repeated(node["records"], _start(path, node, ds, number), supplied)
                for path, node in record["nodes"].items()
            }
            ds = trees.join_nodes(known[name], nodes, used, from_mode=from_mode)
        else:
            again = record.get("again", False)
            ds = registry.apply(known[name], ds, used, from_mode=from_mode, again=again)
    return ds


def _start(path: str, node: Mapping[str, Any], ds: Any, number: int) -> xr.Dataset:
    """Return what the chain of a node begins with."""
    if isinstance(ds, xr.Dataset) and "source" not in node:
        return ds
    given = {} if isinstance(ds, xr.Dataset) else trees.nodes(ds)
    if path not in given:
        raise TsoError(
            f"replay: record {number} joined {path!r}, which began with data of its own; give a tree or a "
            f"mapping with that name (given: {', '.join(given) or 'one Dataset'})"
        )
    return given[path]


def _used(record: Mapping[str, Any], number: int, supplied: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a record; those that came from the data are derived again."""
    used: dict[str, Any] = {}
    for name, value in record["params"].items():
        key = f"{record['step']}.{name}"
        if key in supplied:
            used[name] = supplied[key]
        elif name in record.get("derived", []):
            used[name] = None
        elif isinstance(value, dict) and (
            {"array", "callable", "dataset", "object"} & value.keys()
        ):
            raise TsoError(
                f"replay: record {number} took {history.jsonable(value)} for {key}, which a history cannot "
                f"hold; pass arguments={{{key!r}: ...}}"
            )
        else:
            used[name] = tuple(value) if isinstance(value, list) else value
    return used
