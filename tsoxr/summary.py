"""What a Dataset says of itself: one line of identity, and a table to judge each step by.

The bounds in the table say where to look, not what is wrong: a value outside of them is marked.
Ratios of a measured noise to the predicted one are expected within 10 % of one. A share of flags
stands beside what noise alone would give, a motion beside its error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr

from tsoxr import dq, history, schema
from tsoxr.judged import AS_PREDICTED, STEPS, Row, noise_share, parameter, scatter

__all__ = ["identity", "noise_share", "parameter", "table"]

MAIN_DIMS = ("time", "group", "y", "x", "wavelength")
COLUMNS = ("step", "quantity", "value", "unit", "expected", "look")


def identity(ds: xr.Dataset) -> str:
    """Return one line that says what a Dataset is: product, target, mode, size, time."""
    kind = schema.kind_of(ds)
    if kind is None:
        return "a Dataset that tsoxr did not make (no attribute 'tso_kind')"
    names = [
        str(ds.attrs[k]) for k in ("target", "tso_mode", "detector", "subarray") if ds.attrs.get(k)
    ]
    sizes = ", ".join(f"{n} {d}" for d, n in ds.sizes.items() if d in MAIN_DIMS)
    span = ""
    if "time" in ds.indexes and ds.sizes["time"] > 1:
        time = np.asarray(ds.indexes["time"])
        span = f"; {(time[-1] - time[0]) * 24:.3f} h from {time[0]:.6f}"
    return f"{kind} of {' '.join(names) if names else 'an unnamed exposure'}: {sizes}{span}"


def table(ds: xr.Dataset) -> pd.DataFrame:
    """Return what there is to judge each step by, the times and the data; lazy ones are computed.

    Parameters
    ----------
    ds : xarray.Dataset
        Any product.

    Returns
    -------
    pandas.DataFrame
        Columns ``step``, ``quantity``, ``value``, ``unit``, ``expected`` (empty where nothing
        can be said beforehand) and ``look``, an arrow where the value is not as expected.
    """
    of_steps = [n for n, v in ds.data_vars.items() if "diagnostic_of" in v.attrs]
    on_time = [n for n, c in ds.coords.items() if c.dims == ("time",)]
    more = [n for n in ("level_variance", "wavelength", "trace_center", "read_offset") if n in ds]
    small = ds[of_steps + on_time + more].compute()
    rows = []
    for step in _steps(small):
        found = _found(small, step)
        rows += [row.cells(step) for row in found or _notes(small, step)]
    rows += [row.cells("time") for row in _time_rows(small)]
    rows += [row.cells("data") for row in _data_rows(ds)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _found(ds: xr.Dataset, step: str) -> list[Row]:
    try:
        return list(STEPS[step](ds))
    except KeyError:  # a step that is not judged, or of whose diagnostics only some were carried on
        return list(_generic(ds, step))


def _steps(ds: xr.Dataset) -> list[str]:
    """Return the steps in the order of their last application, then owners of other diagnostics."""
    done = [r["step"] for r in history.records(ds.attrs)]
    owners = [
        str(v.attrs["diagnostic_of"]) for v in ds.data_vars.values() if "diagnostic_of" in v.attrs
    ]
    return list(dict.fromkeys([*reversed(list(dict.fromkeys(reversed(done)))), *owners]))


def _notes(ds: xr.Dataset, step: str) -> Iterator[Row]:
    """Return what a step that left no numbers has said."""
    for record in history.records(ds.attrs):
        if record["step"] == step:
            yield from (Row(text, math.nan, "") for text in record.get("notes", []))


def _generic(ds: xr.Dataset, step: str) -> Iterator[Row]:
    for name, array in ds.data_vars.items():
        if array.attrs.get("diagnostic_of") != step or array.dtype.kind not in "fiub":
            continue
        quantity = array.attrs.get("long_name", str(name).removeprefix(f"{step}_"))
        integer = array.dtype.kind in "iub"
        value = float(array.sum() if integer else array.median())
        what = "total" if integer else "median"
        yield Row(f"{quantity} ({what})", value, array.attrs.get("units", "1"))


def _time_rows(ds: xr.Dataset) -> Iterator[Row]:
    """Return what the time stamps are worth."""
    if ds.sizes.get("time", 0) > 2:
        steps = np.diff(np.asarray(ds["time"].values, dtype=float))
        gaps = float((steps > 1.5 * np.median(steps)).sum() + (steps <= 0).sum())
        yield Row("gaps between integrations", gaps, low=0.0, high=0.0)
    if "frame_time_difference" in ds.attrs:
        off = 1e6 * float(ds.attrs["frame_time_difference"])
        yield Row("frame time of the header less the clock's", off, "us", -10.0, 10.0)
    if "time_source_accuracy" in ds.attrs:
        off = float(ds.attrs["time_source_accuracy"])
        yield Row("accuracy of the clock, the same for all", off, "s")
    if "read_offset" in ds:
        yield Row("last pixel after the first", float(ds["read_offset"].max()), "s")


def _data_rows(ds: xr.Dataset) -> Iterator[Row]:
    for name in ("dq_group", "dq_pixel", "dq"):
        if name in ds:
            shares = dq.describe(ds[name])
            yield from (Row(f"{name}: {flag}", share, "%") for flag, share in shares.items())
    if "flux" in ds and "flux_error" in ds and ds.sizes.get("time", 0) > 2:
        flux = ds["flux"].where(~dq.has_flag(ds["dq"], "DO_NOT_USE")) if "dq" in ds else ds["flux"]
        level = flux.median("time")
        measured = 1e6 * float((scatter(flux) / level).median())
        predicted = 1e6 * float((ds["flux_error"].median("time") / level).median())
        yield Row("measured scatter (median channel)", measured, "ppm")
        yield Row("predicted error (median channel)", predicted, "ppm")
        one = ds.sizes["wavelength"] == 1  # then noise itself moves the ratio: by two of its errors
        margin = 0.1 + (2.8 / math.sqrt(ds.sizes["time"]) if one else 0.0)
        low, high = min(AS_PREDICTED[0], 1.0 - margin), max(AS_PREDICTED[1], 1.0 + margin)
        yield Row("measured over predicted", measured / predicted, "1", max(low, 0.0), high)
