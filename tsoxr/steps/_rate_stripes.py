"""Stripes in rates: what is left of them is one level per line and integration.

Rates are looked at as ramps of two groups, of which the first is zero.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from tsoxr import dq, lazy, schema
from tsoxr.steps import _levels

__all__ = ["as_ramps", "finished"]

"""Units of rates and of their variances."""


def as_ramps(ds: xr.Dataset) -> xr.Dataset:
    """Return rates as ramps of two groups, 0 and 1 s after the reset."""
    rate = ds["rate"].reset_coords(drop=True).drop_attrs(deep=False).astype("f4", copy=False)
    group = {"group": np.array([1, 2], "i2")}
    ramp = _after_zeros(rate)
    unusable = dq.has_flag(ds["dq"], "DO_NOT_USE").reset_coords(drop=True).astype("u1")
    flags = _after_zeros(unusable)
    dims = ("time", "group", "y", "x")
    pixel = lazy.static_from_sample(_always, ds["dq"], dims=("y", "x"), dtype="u4")
    if lazy.is_lazy(ramp):
        ramp, flags = ramp.chunk(group=-1), flags.chunk(group=-1)
    return xr.Dataset(
        {"ramp": ramp.transpose(*dims), "dq_group": flags.transpose(*dims), "dq_pixel": pixel},
        {**group, "group_time": ("group", np.array([0.0, 1.0]))},
        {**ds.attrs, "tso_kind": "ramps"},
    )


def _after_zeros(array: xr.DataArray) -> xr.DataArray:
    how = {"join": "override", "compat": "override", "coords": "minimal"}
    return xr.concat([xr.zeros_like(array), array], "group", **how)


def _always(flags: np.ndarray) -> np.ndarray:
    return np.bitwise_and.reduce(flags, axis=0)


def finished(
    ds: xr.Dataset,
    ramp: xr.DataArray,
    errors: dict[str, xr.DataArray],
    diagnostics: dict[str, xr.DataArray],
) -> xr.Dataset:
    """Return the rates without stripes, with the errors of the levels."""
    units = _levels.SQUARED.get(ds["rate"].attrs.get("units", "DN s-1"), "DN2 s-2")
    rate = ramp.isel(group=1).drop_vars(("group", "group_time"), errors="ignore")
    found = {
        "rate": rate.transpose(*ds["rate"].dims)
        .drop_attrs(deep=False)
        .assign_attrs(ds["rate"].attrs),
        **diagnostics,
    }
    both = 2.0 * errors["stripe_variance"]  # a rise has the noise of two groups
    long_name = "variance of the level of a line"
    found["clean_1overf_variance"] = both.assign_attrs(long_name=long_name, units=units)
    if "stripe_factor" in errors:
        factor = np.sqrt(2.0) * errors["stripe_factor"]
        found["level_factor"] = _levels.labelled(factor, ds)
        ds = ds.drop_vars("level_factor", errors="ignore")
    else:
        level = schema.label(both.astype("f4"), "rates", "level_variance", units=units)
        found["level_variance"] = level
    strange = ("group", "group_time")
    return ds.assign({k: array.drop_vars(strange, errors="ignore") for k, array in found.items()})
