"""Mark the integrations that lie in transit.

Steps that need a baseline, and the shading of plots, use the coordinate ``in_transit``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr.errors import TsoError
from tsoxr.plots import style
from tsoxr.registry import diagnostic, step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["mark_transit"]


@step(kind=("ramps", "rates", "spectra", "lightcurves"), adds=("in_transit",))
def mark_transit(
    ds: xr.Dataset, *, t0: float, duration: float, period: float | None = None
) -> xr.Dataset:
    """Mark the integrations between first and last contact.

    Parameters
    ----------
    ds : xarray.Dataset
        Any time series with ``time`` (time), d.
    t0 : float
        Time of mid-transit on the same scale as ``time`` (BMJD_TDB), d. A value of a full
        Julian date is refused, since it would lie 2.4 million days away.
    duration : float
        From first to fourth contact, d.
    period : float, optional
        Orbital period, d: ``t0`` may then be of any epoch.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with the coordinate ``in_transit`` (time), bool.

    Raises
    ------
    ValueError
        For a duration or a period that is not positive.
    TsoError
        When no integration lies in transit; the message says where the transit would be.

    Examples
    --------
    >>> import tsoxr
    >>> curves = tsoxr.simulate("nirspec-prism", kind="lightcurves", n_integrations=30, seed=1)
    >>> middle = float(curves.time.mean())
    >>> int(curves.tso.mark_transit(t0=middle, duration=0.001).in_transit.sum()) > 0
    True
    """
    if not duration > 0 or (period is not None and not period > 0):
        raise ValueError(
            f"mark_transit: duration={duration}, period={period}; both are days above zero"
        )
    time = np.asarray(ds["time"].values, dtype=float)
    epoch = 0.0 if period is None else np.round((time.mean() - t0) / period)
    middle = t0 + (0.0 if period is None else epoch * period)
    inside = np.abs(time - middle) <= duration / 2
    if not inside.any():
        hint = "; t0 looks like a full Julian date, subtract 2400000.5" if t0 > 2.4e6 else ""
        raise TsoError(
            f"mark_transit: no integration within {duration / 2:.5f} d of {middle:.5f}; "
            f"the data span {time[0]:.5f} to {time[-1]:.5f}{hint}"
        )
    flag = xr.DataArray(inside, dims="time", attrs={"long_name": "between first and last contact"})
    return ds.assign_coords(in_transit=flag.variable)


@diagnostic(mark_transit)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw when the transit takes place, over the summed light where there is some."""
    ax = style.axes(ax, size=(7.5, 2.6))
    style.shade_transit(ax, ds)
    name = next((n for n in ("flux", "rate") if n in ds), None)
    if name is not None:
        total = ds[name].sum([d for d in ds[name].dims if d != "time"]).values
        ax.plot(style.hours(ds), total / np.nanmedian(total), ".", ms=4, color=style.COLORS["data"])
        ax.set_ylabel("summed light / median")
    else:
        ax.plot(style.hours(ds), np.asarray(ds["in_transit"], float), color=style.COLORS["data"])
        ax.set_ylabel("in transit")
    ax.set_xlabel("time since start [h]")
    return ax
