"""What `clean_1overf` refuses."""

from __future__ import annotations

from typing import Any

import xarray as xr

from tsoxr import schema
from tsoxr.checks import check_mask, check_positive
from tsoxr.errors import SchemaError
from tsoxr.kernels.stripe_scaled import SCALES
from tsoxr.steps import _clock_stripes, _stripe_methods

__all__ = ["METHODS", "check", "check_options"]

METHODS = ("mean", "median", "scaled", "polynomial", "odd_even", *_clock_stripes.METHODS)
"""Ways to measure the stripes."""


def check(ds: xr.Dataset, method: str, numbers: dict[str, float | None], mask: Any) -> None:
    """Raise for a method, number or mask that makes no sense."""
    if method not in METHODS:
        raise ValueError(f"clean_1overf: method is {method!r}; it must be one of {METHODS}")
    check_positive("clean_1overf", numbers)
    check_mask("clean_1overf", ds, mask)


def check_options(ds: xr.Dataset, method: str, scaled_by: str, order: int) -> None:
    """Raise for options of a method that do not fit the data, or data that lack a variable."""
    if scaled_by not in SCALES:
        raise ValueError(f"clean_1overf: scaled_by is {scaled_by!r}; it must be one of {SCALES}")
    if order not in (1, 2):
        raise ValueError(f"clean_1overf: order is {order}; it must be 1 or 2")
    if method == "scaled" and scaled_by == "line" and _stripe_methods.lies_along(ds):
        raise ValueError(
            f"clean_1overf: scaled_by is 'line', but lines run along the spectrum "
            f"({ds.attrs['fast_dim']}), where level and light of a line cannot be told apart; "
            f"use scaled_by='wavelength'"
        )
    needed = ("ramp", "dq_group", "dq_pixel") if schema.kind_of(ds) == "ramps" else ("rate", "dq")
    missing = [name for name in needed if name not in ds]
    if missing:
        raise SchemaError(
            f"clean_1overf() needs {missing[0]!r}; this Dataset has {sorted(map(str, ds.variables))}"
        )
    if method in _clock_stripes.METHODS:
        _clock_stripes.refuse(ds, method)
