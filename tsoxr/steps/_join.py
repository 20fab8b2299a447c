"""The Dataset that `join` makes: what is joined, what is kept once, and what stays behind."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from tsoxr.lazy import is_lazy
from tsoxr.registry import note

__all__ = ["joined"]

OF_THE_CLOCK = ("time", "time_utc", "integration", "segment")
"""Coordinates of time that are those of the first node, as the times are."""

HEADER = "fits_header"

Variables = dict[str, xr.Variable]


def joined(found: Mapping[str, xr.Dataset], first: str, offset: Mapping[str, float]) -> xr.Dataset:
    """Return nodes with equal times as one Dataset.

    Parameters
    ----------
    found : mapping of str to xarray.Dataset
        Nodes in the order of their wavelengths, which ascend through all of them.
    first : str
        The node whose times hold.
    offset : mapping of str to float
        How much later the clock of each node is, s; added to its ``read_offset``.

    Returns
    -------
    xarray.Dataset
        Without a record; lazy variables stay lazy. Diagnostics without an axis ``wavelength``
        are not in it.
    """
    late = {path: _later(ds, offset[path]) for path, ds in found.items()}
    data, coords, left = {}, {}, []
    for name in dict.fromkeys(n for ds in late.values() for n in ds.variables):
        parts = {path: ds.variables[name] for path, ds in late.items() if name in ds.variables}
        is_coordinate = any(name in ds.coords for ds in late.values())
        if name == "level_error":
            made = {"level_error": _stacked(late)}
        elif is_coordinate:
            made = _coordinate(str(name), parts, late, first)
        else:
            made = _everywhere(str(name), parts, late)
        (coords if is_coordinate else data).update(made)
        of_step = any("diagnostic_of" in v.attrs for v in parts.values())
        left += [str(name)] if not (made or of_step) else []
    if left:
        note(f"left out, as they differ between the nodes: {', '.join(sorted(left))}")
    attrs, detector = _attributes(late, first)
    return xr.Dataset(data, {**coords, **detector}, attrs)


def _later(ds: xr.Dataset, offset: float) -> xr.Dataset:
    """Return a node with its clock's delay in ``read_offset``."""
    if offset == 0.0:
        return ds
    label = {"units": "s", "long_name": "read-out delay within a frame"}
    own = ds.variables.get("read_offset", xr.Variable((), np.float32(0.0), label))
    whole = xr.Variable(own.dims, own.data + np.float32(offset), own.attrs)
    return ds.assign_coords(read_offset=whole.set_dims({"wavelength": ds.sizes["wavelength"]}))


# ------------------------------------------------------------------ variables


def _everywhere(name: str, parts: Variables, late: Mapping[str, xr.Dataset]) -> Variables:
    """Return what all nodes have: joined along wavelength, or once where it is the same."""
    variables = list(parts.values())
    of_one_node = "diagnostic_of" in variables[0].attrs and "wavelength" not in variables[0].dims
    if len(variables) < len(late) or of_one_node:
        return {}
    if all("wavelength" in v.dims for v in variables):
        other = [{d: n for d, n in v.sizes.items() if d != "wavelength"} for v in variables]
        if any(sizes != other[0] for sizes in other):
            return {}
        alike = [v.transpose(*variables[0].dims) for v in variables]
        whole = xr.Variable.concat([v.to_base_variable() for v in alike], "wavelength")
        return {name: xr.Variable(whole.dims, whole.data, variables[0].attrs)}
    return {name: variables[0]} if all(_same(variables[0], v) for v in variables[1:]) else {}


def _same(a: xr.Variable, b: xr.Variable) -> bool:
    """Return whether two variables are equal; nothing is computed for it."""
    if is_lazy(a) or is_lazy(b):
        return a.dims == b.dims and getattr(a.data, "name", a) == getattr(b.data, "name", b)
    return a.equals(b)


def _coordinate(
    name: str, parts: Variables, late: Mapping[str, xr.Dataset], first: str
) -> Variables:
    """Return a coordinate of the whole: of all nodes, of wavelength, or one for each node."""
    found = _everywhere(name, parts, late)
    if found:
        return found
    dims = {v.dims for v in parts.values()}
    if dims == {("time",)}:
        if name in OF_THE_CLOCK:
            return {name: parts[first]} if first in parts else {}
        if name == "in_transit":
            note("in_transit differs between the nodes: mark the transit again")
            return {}
        return {f"{name}_{_suffix(path)}": v for path, v in parts.items()}
    if dims == {()} and len(parts) == len(late):
        values = [np.full(late[p].sizes["wavelength"], v.values) for p, v in parts.items()]
        attrs = next(iter(parts.values())).attrs
        return {name: xr.Variable("wavelength", np.concatenate(values), attrs)}
    return {}


def _suffix(path: str) -> str:
    return re.sub(r"\W", "_", path)


def _stacked(late: Mapping[str, xr.Dataset]) -> xr.Variable:
    """Return the level errors of all nodes: the modes of one are zero in the others."""
    own = {
        path: ds.variables["level_error"].transpose("wavelength", "level_mode")
        if "level_error" in ds.variables
        else xr.Variable(("wavelength", "level_mode"), np.zeros((ds.sizes["wavelength"], 0), "f4"))
        for path, ds in late.items()
    }
    total, before, padded = sum(v.sizes["level_mode"] for v in own.values()), 0, []
    for variable in own.values():
        n = variable.sizes["level_mode"]
        width = {"level_mode": (before, total - before - n)}
        padded.append(variable.pad(width, mode="constant", constant_values=0.0))
        before += n
    attrs = next(v.attrs for v in own.values() if v.sizes["level_mode"])
    whole = xr.Variable.concat(padded, "wavelength")
    return xr.Variable(whole.dims, whole.data, attrs)


# ------------------------------------------------------------------ attributes


def _attributes(late: Mapping[str, xr.Dataset], first: str) -> tuple[dict[str, Any], Variables]:
    """Return the attributes that all nodes share, and the detector of each wavelength."""
    attrs = [ds.attrs for ds in late.values()]
    shared = {
        key: value
        for key, value in late[first].attrs.items()
        if all(key in each and np.array_equal(each[key], value) for each in attrs)
    }
    if HEADER not in shared and all(HEADER in each for each in attrs):
        shared[HEADER] = _shared_cards([json.loads(each[HEADER]) for each in attrs])
    if "detector" in shared or not all("detector" in each for each in attrs):
        return shared, {}
    names = [
        np.full(ds.sizes["wavelength"], str(ds.attrs["detector"]), dtype=object)
        for ds in late.values()
    ]
    text = {"long_name": "detector"}
    return shared, {"detector": xr.Variable("wavelength", np.concatenate(names).astype(str), text)}


def _shared_cards(headers: list[dict[str, dict[str, Any]]]) -> str:
    """Return the cards that all headers have alike."""
    cards = {
        extension: {
            key: value
            for key, value in own.items()
            if all(other.get(extension, {}).get(key) == value for other in headers)
        }
        for extension, own in headers[0].items()
    }
    return json.dumps(cards)
