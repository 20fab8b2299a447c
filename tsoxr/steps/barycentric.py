"""Put the times at the barycentre of the solar system, or compare those that are there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import schema, times
from tsoxr.plots import style
from tsoxr.registry import derived, diagnostic, note, step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["barycentric"]

Position = str | Path | tuple[Any, Any] | None


@step(kind=("ramps", "rates", "spectra", "lightcurves"))
def barycentric(
    ds: xr.Dataset,
    position: Position = None,
    *,
    ra: float | None = None,
    dec: float | None = None,
) -> xr.Dataset:
    """Put the times at the barycentre (BMJD_TDB), or compare those that the data bring.

    Data whose times are UTC, because the table of integration times was absent or broken,
    get barycentric ones. Data that are barycentric already stay as they are: what their
    times differ from those recomputed is kept as a diagnostic, and said in the record.

    Parameters
    ----------
    ds : xarray.Dataset
        Any product with ``time`` in UTC, or with ``time_utc`` beside it.
    position : path, (times, xyz), {"header", "l2", "earth"}, optional
        Where the observatory was; see `tsoxr.times.barycentric`. ``None`` takes the vectors
        of the header where it has them, else the Lagrange point L2 (good to 2.8 s).
    ra, dec : float, optional
        Target, degrees; those of the header if not given.

    Returns
    -------
    xarray.Dataset
        With times in BMJD_TDB and ``time_utc`` (d); for data that were barycentric already
        the same data with ``barycentric_difference`` (time), s. Unchanged, with a note,
        where there is no UTC to start from.

    Raises
    ------
    TsoError
        Without a target, or without a position of the observatory.

    References
    ----------
    Eastman, Siverd and Gaudi 2010, PASP 122, 935.

    Examples
    --------
    >>> import tsoxr
    >>> ds = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=4, seed=1)
    >>> late = ds.assign_coords(time=ds.time_utc.assign_attrs(time_scale="utc"))
    >>> late.tso.barycentric().time.attrs["time_scale"]
    'tdb'
    """
    scale = ds["time"].attrs.get("time_scale", "tdb")
    if scale != "utc" and "time_utc" not in ds.variables:
        note(f"times are in the scale {scale!r} and there is no UTC beside them: data unchanged")
        return ds
    if scale != "utc" and (ra is None or dec is None) and times.target(ds) is None:
        note("the header does not tell the target: nothing compared, data unchanged")
        return ds
    table = times.barycentric(_in_utc(ds), ra=ra, dec=dec, position=position)
    ra, dec = derived(ra=table.attrs["ra"]), derived(dec=table.attrs["dec"])
    known = (
        f"{table.attrs['position']}, good to {table.attrs['position_error']:.2g} s of light time"
    )
    if scale == "utc":
        note(f"position: {known}")
        return _put(ds, table)
    note(f"times were barycentric already: kept, and compared with the position of {known}")
    late = xr.apply_ufunc(
        _late,
        ds["time_utc"].variable,
        xr.Variable("time", ds["time"].values),
        kwargs={"like": _in_utc(ds), "ra": ra, "dec": dec, "position": position},
        dask="parallelized",
        output_dtypes=[np.float64],
    )
    late.attrs = {"units": "s", "long_name": "times of the data less those recomputed"}
    return ds.assign(barycentric_difference=late)


def _in_utc(ds: xr.Dataset) -> xr.Dataset:
    """Return times alone, as UTC: minutes off where they are barycentric, which no position minds."""
    time = xr.DataArray(ds["time"].values, dims="time", attrs={"time_scale": "utc"})
    return xr.Dataset(coords={"time": time}, attrs=ds.attrs)


def _late(
    utc: np.ndarray, own: np.ndarray, *, like: xr.Dataset, ra: float, dec: float, position: Position
) -> np.ndarray:
    """Return by how much (time) barycentric times lie after those recomputed from UTC, s."""
    good = np.isfinite(utc)
    out = np.full(utc.shape, np.nan)
    if good.any():
        there = like.isel(time=np.zeros(good.sum(), int)).assign_coords(
            time=("time", utc[good], {"time_scale": "utc"})
        )
        table = times.barycentric(there, ra=ra, dec=dec, position=position)
        out[good] = (own[good] - table["bmjd_tdb"].values) * times.DAY
    return out


def _put(ds: xr.Dataset, table: xr.Dataset) -> xr.Dataset:
    values = xr.DataArray(table["bmjd_tdb"].values, dims="time")
    time = schema.label(values, "rates", "time", time_scale="tdb")
    utc = schema.label(xr.DataArray(ds["time"].values, dims="time"), "rates", "time_utc")
    source = f"{ds.attrs.get('time_source', 'UTC')}, barycentric by {table.attrs['position']}"
    return ds.assign_coords(time=time.variable, time_utc=utc.variable).assign_attrs(
        time_source=source
    )


@diagnostic(barycentric)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw BJD - UTC, and what the times of the data differ from those recomputed."""
    ax = style.axes(ax)
    ax.set_xlabel("time since start [h]")
    if "time_utc" not in ds.variables:
        ax.text(0.5, 0.5, "no UTC to compare with", ha="center", transform=ax.transAxes)
        return ax
    late = (ds["time"].values - ds["time_utc"].values) * times.DAY
    ax.plot(style.hours(ds), late, color=style.COLORS["data"], label="times of the data")
    if "barycentric_difference" in ds:
        ours = late - ds["barycentric_difference"].values
        ax.plot(style.hours(ds), ours, color=style.COLORS["model"], ls="--", label="recomputed")
        ax.legend(frameon=False)
        ax.set_title(
            f"median difference {float(ds['barycentric_difference'].median()):+.3f} s",
            fontsize="medium",
        )
    ax.set_ylabel("BJD_TDB - UTC [s]")
    return ax
