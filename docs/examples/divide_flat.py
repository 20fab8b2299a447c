"""Divide rates by a flat field.

The response of a pixel cancels in a relative light curve as long as the light stays on the
same pixels. Dividing by the flat helps where the pointing moves, and makes fluxes of pixels
comparable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import dq
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["divide_flat"]


@step(kind="rates", needs=("rate", "rate_error", "dq", "flat"), once=True)
def divide_flat(ds: xr.Dataset, *, smallest: float = 0.2) -> xr.Dataset:
    """Divide rates and their errors by the flat field.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with ``rate``, ``rate_error`` (time, y, x), DN s-1, ``dq`` and ``flat`` (y, x).
    smallest : float
        A pixel that responds less than this is not corrected but flagged.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with new ``rate`` and errors; ``dq`` gains NO_FLAT_FIELD and DO_NOT_USE
        where the flat is too small or not a number. Adds ``divide_flat_missing``, the
        number of such pixels.
    """
    known = ds["flat"] >= smallest
    flat = ds["flat"].where(known, 1.0).astype("float32").drop_attrs()  # its unit is not the rate's
    missing = (~known).sum().astype("int32").drop_attrs()
    new = {
        "rate": ds["rate"] / flat,
        "rate_error": ds["rate_error"] / flat,
        "dq": dq.set_flag(ds["dq"], ~known, "NO_FLAT_FIELD", "DO_NOT_USE"),
        "divide_flat_missing": missing.assign_attrs(units="pix", long_name="pixels without a flat"),
    }
    if "rate_read_variance" in ds:
        new["rate_read_variance"] = ds["rate_read_variance"] / flat**2
    if not known.ndim:
        note("the flat is one number for all pixels")
    return ds.assign(new)


@diagnostic(divide_flat)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw how often each response occurs."""
    ax = style.axes(ax, size=(5.0, 3.0))
    values = np.ravel(ds["flat"].values)
    ax.hist(values[np.isfinite(values)], bins=60, color=style.COLORS["data"])
    ax.set(xlabel=style.label_of(ds["flat"]), ylabel="pixels")
    return ax
