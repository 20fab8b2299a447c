"""What injections into existing data share: the kinds they take, types and the record."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import schema
from tsoxr.errors import TsoError
from tsoxr.history import jsonable

__all__ = ["NAMES", "fitted", "plain", "product", "recorded"]

NAMES = {"ramps": "ramp", "rates": "rate"}
"""The data of each kind that signals can be injected into."""

LARGEST = 65535


def product(ds: xr.Dataset, where: str) -> str:
    """Return the kind of the data: ``"ramps"`` or ``"rates"``.

    Raises
    ------
    TsoError
        For another kind.
    """
    kind = schema.kind_of(ds)
    if kind not in NAMES:
        raise TsoError(f"{where}: the data are {kind!r}; it takes ramps or rates")
    return kind


def plain(array: xr.DataArray) -> xr.DataArray:
    """Return an array without coordinates."""
    return array.reset_coords(drop=True).drop_vars(list(array.coords), errors="ignore")


def fitted(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return DN in the type of the data, rounded and clipped where that is an integer."""
    if dtype.kind == "u":
        return np.rint(values).clip(0, LARGEST).astype(dtype)
    return values.astype(dtype)


def recorded(ds: xr.Dataset, name: str, given: dict[str, Any]) -> dict[str, str]:
    """Return the attribute ``injected`` with one more record, JSON."""
    before = json.loads(ds.attrs.get("injected", "[]"))
    return {"injected": json.dumps([*before, {name: jsonable(given)}])}
