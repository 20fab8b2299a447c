"""What a Dataset says of itself: one line of identity, and a table of flags and noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from tsoxr import dq, schema

__all__ = ["identity", "table"]

MAIN_DIMS = ("time", "group", "y", "x", "wavelength")


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
    """Return one row per diagnostic, flag and comparison of noise; lazy ones are computed.

    Parameters
    ----------
    ds : xarray.Dataset
        Any product.

    Returns
    -------
    pandas.DataFrame
        Columns ``step``, ``quantity``, ``value``, ``unit``.
    """
    rows = [*_diagnostic_rows(ds), *_data_rows(ds)]
    return pd.DataFrame(rows, columns=["step", "quantity", "value", "unit"])


def _diagnostic_rows(ds: xr.Dataset) -> list[dict[str, Any]]:
    rows = []
    for name, array in ds.data_vars.items():
        step = array.attrs.get("diagnostic_of")
        if step is None or array.dtype.kind not in "fiub":
            continue
        quantity = array.attrs.get("long_name", str(name).removeprefix(f"{step}_"))
        integer = array.dtype.kind in "iub"
        value = float(array.sum() if integer else array.median())
        what = "total" if integer else "median"
        rows.append(
            {
                "step": step,
                "quantity": f"{quantity} ({what})",
                "value": value,
                "unit": array.attrs.get("units", "1"),
            }
        )
    return rows


def _data_rows(ds: xr.Dataset) -> list[dict[str, Any]]:
    rows = []
    for name in ("dq_group", "dq_pixel", "dq"):
        if name in ds:
            rows += [
                {"step": "data", "quantity": f"{name}: {flag}", "value": share, "unit": "%"}
                for flag, share in dq.describe(ds[name]).items()
            ]
    if "flux" in ds and "flux_error" in ds and ds.sizes.get("time", 0) > 2:
        measured, predicted = _scatter(ds)
        rows += [
            {
                "step": "data",
                "quantity": "measured scatter (median channel)",
                "value": measured,
                "unit": "ppm",
            },
            {
                "step": "data",
                "quantity": "predicted error (median channel)",
                "value": predicted,
                "unit": "ppm",
            },
            {
                "step": "data",
                "quantity": "measured over predicted",
                "value": measured / predicted,
                "unit": "1",
            },
        ]
    return rows


def _scatter(ds: xr.Dataset) -> tuple[float, float]:
    """Return the point-to-point scatter and the predicted error of the median channel, ppm.

    The scatter of a Gaussian series is the median of |successive differences| / 0.954,
    which a transit or a slow trend hardly touches.
    """
    flux = ds["flux"].where(~dq.has_flag(ds["dq"], "DO_NOT_USE")) if "dq" in ds else ds["flux"]
    level = flux.median("time")
    steps = abs(flux.diff("time")).median("time") / 0.954
    error = ds["flux_error"].median("time")
    return float((steps / level).median()) * 1e6, float((error / level).median()) * 1e6
