"""What a step refuses: data of another kind, without what it needs, or already treated.

Each message names the call that helps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import xarray as xr

from tsoxr import history, modes, schema
from tsoxr.errors import SchemaError, TsoError

if TYPE_CHECKING:
    from tsoxr.registry import Step

__all__ = [
    "check_kind",
    "check_mask",
    "check_needs",
    "check_once",
    "check_optics",
    "check_positive",
    "fits_optics",
]


def check_kind(spec: Step, ds: xr.Dataset, steps: Mapping[str, Step]) -> None:
    """Raise SchemaError for a product of a kind that the step does not take."""
    kind = schema.kind_of(ds)
    if kind in spec.kinds:
        return
    takes = " or ".join(spec.kinds)
    if kind is None:
        raise SchemaError(
            f"{spec.name}() takes {takes}; this Dataset has no attribute 'tso_kind'; "
            "open data with tsoxr.open, or restore the attributes lost in arithmetic between Datasets"
        )
    done = [i for i, r in enumerate(history.records(ds.attrs), 1) if r["step"] == spec.name]
    made_by = [s.name for s in steps.values() if s.to in spec.kinds and kind in s.kinds]
    if done:
        hint = f"{spec.name} was already applied: record {done[-1]}"
    elif made_by:
        hint = f"run .tso.{made_by[0]}() first"
    else:
        hint = f"it comes before {kind} are made"
    raise SchemaError(f"{spec.name}() takes {takes}; this Dataset is {kind} ({hint})")


def check_optics(spec: Step, ds: xr.Dataset, steps: Mapping[str, Step]) -> None:
    """Raise SchemaError for images where a step takes dispersed light, and the other way."""
    if fits_optics(spec, ds):
        return
    mode, kind = ds.attrs["tso_mode"], schema.kind_of(ds)
    others = [
        s.name
        for s in steps.values()
        if kind in s.kinds and s.to and s.imaging is not None and fits_optics(s, ds)
    ]
    does = "disperses the light" if spec.imaging else "does not disperse the light"
    takes = "images" if spec.imaging else "dispersed light"
    hint = f"; run .tso.{others[0]}() instead" if others and spec.to else ""
    raise SchemaError(f"{spec.name}() takes {takes}; {mode} {does}{hint}")


def fits_optics(spec: Step, ds: xr.Dataset) -> bool:
    """Return whether a step is for the mode of the data: images, dispersed light, or any."""
    mode, on_detector = ds.attrs.get("tso_mode"), schema.kind_of(ds) in ("ramps", "rates")
    if spec.imaging is None or not on_detector or mode not in modes.names():
        return True
    return modes.get(str(mode)).imaging == spec.imaging


def check_needs(spec: Step, ds: xr.Dataset, steps: Mapping[str, Step]) -> None:
    """Raise SchemaError where a variable or coordinate is missing or has lost a dim."""
    for name in spec.needs:
        if name not in ds.variables:
            makers = [s.name for s in steps.values() if name in s.adds]
            hint = f" (run .tso.{makers[0]}() first)" if makers else ""
            raise SchemaError(
                f"{spec.name}() needs {name!r}{hint}; this Dataset has {sorted(map(str, ds.variables))}"
            )
        _check_dims(spec, ds, name)


def _check_dims(spec: Step, ds: xr.Dataset, name: str) -> None:
    """Refuse a required variable that has lost a dim, as after ``isel(time=0)``."""
    expected = schema.SCHEMAS[str(schema.kind_of(ds))].get(name)
    if expected is None or not expected.required or set(ds[name].dims) == set(expected.dims):
        return
    missing = [d for d in expected.dims if d not in ds[name].dims]
    keep = f"; keep it with isel({missing[0]}=[0])" if missing else ""
    raise SchemaError(
        f"{spec.name}() needs {name!r} with dims {expected.dims}; here it has {ds[name].dims}{keep}"
    )


def check_once(spec: Step, ds: xr.Dataset) -> None:
    """Raise TsoError where the history has the step already."""
    for i, record in enumerate(history.records(ds.attrs), 1):
        if record["step"] == spec.name:
            raise TsoError(
                f"{spec.name}() was already applied (record {i}) and must not be applied twice; "
                "pass again=True if that is what you want"
            )


def check_positive(name: str, numbers: Mapping[str, float | None]) -> None:
    """Raise ValueError for a parameter of the step ``name`` that is given and not positive.

    >>> check_positive("clean_1overf", {"sigma": 5.0, "trace_half_width": None})
    """
    for parameter, value in numbers.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name}: {parameter} is {value}; it must be positive")


def check_mask(name: str, ds: xr.Dataset, mask: Any) -> None:
    """Raise ValueError for a mask of the step ``name`` that is no image of the detector's size."""
    wanted = {"y": ds.sizes["y"], "x": ds.sizes["x"]}
    if mask is None or (isinstance(mask, xr.DataArray) and dict(mask.sizes) == wanted):
        return
    found = dict(mask.sizes) if isinstance(mask, xr.DataArray) else type(mask).__name__
    raise ValueError(f"{name}: mask is {found}; give a DataArray of bool with sizes {wanted}")
