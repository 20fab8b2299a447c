"""Apply the recorded chain of one product to other data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from tsoxr import history, registry
from tsoxr.errors import TsoError

__all__ = ["replay"]


def replay(
    source: str | Path | xr.Dataset, ds: xr.Dataset, *, arguments: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """Apply the steps that made a product to another Dataset.

    Parameters
    ----------
    source : path or xarray.Dataset
        The product whose history is repeated.
    ds : xarray.Dataset
        What to apply it to: the data with which that history began, or others of the
        same kind.
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
        For a step that is not registered here, or an argument that has to be given.

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
    steps = registry.discover()
    supplied = dict(arguments) if arguments is not None else {}
    for number, record in enumerate(history.records(product.attrs), 1):
        name = record["step"]
        if name not in steps:
            raise TsoError(
                f"replay: record {number} is {name!r}, which is no registered step; have {sorted(steps)}"
            )
        used = _used(record, number, supplied)
        known = steps[name].parameters
        unknown = [p for p in used if p not in known]
        if unknown:
            raise TsoError(
                f"replay: record {number}, {name}(): this version has no parameter {unknown[0]!r}"
            )
        used = {n: p.default for n, p in known.items()} | used
        ds = registry.apply(
            steps[name],
            ds,
            used,
            from_mode=record.get("from_mode", []),
            again=record.get("again", False),
        )
    return ds


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
