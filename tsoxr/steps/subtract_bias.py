r"""Subtract the bias: the counts that a pixel shows right after reset.

Differences of groups do not need it, but the linearity polynomial does, which is a function
of the counts above the bias. Without a superbias reference the bias is found from the data:
the median ramp of a sample of the integrations is followed back to the time of reset.

With the median counts :math:`M_g` of the first groups at times :math:`t_g` since reset, the
parabola through three groups gives :math:`\hat b = \sum_g w_g M_g`, for equal spacing
:math:`3 M_0 - 3 M_1 + M_2`. A straight line, :math:`2 M_0 - M_1`, would be off by
:math:`2 a S^2` for a response :math:`S - a S^2` and signal S per group (50 DN for
S = 5000 DN, a = 1e-6 per DN).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import dq, lazy, schema
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["subtract_bias"]

ESTIMATE = "subtract_bias_estimate"


@step(kind="ramps", needs=("ramp", "dq_group", "dq_pixel"), once=True)
def subtract_bias(ds: xr.Dataset, *, estimate: bool = True) -> xr.Dataset:
    r"""Subtract the superbias, or a bias found from the data.

    The reference is used if it is attached. Otherwise the bias is extrapolated from the
    first groups of the median ramp, which carries about one read noise for the parabola
    through three groups: :math:`\sigma_b = 1.25 \sqrt{19 / n}\, \sigma_{read}` for n
    sampled integrations, and the photon noise likewise. It is the same for all
    integrations, so light curves do not see it; for linearity, an error of one read noise
    is of no account.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN. ``superbias`` (y, x), DN, is used if
        it is there.
    estimate : bool
        Find the bias from the data where there is no reference. If false, the counts stay
        as they are (as float32).

    Returns
    -------
    xarray.Dataset
        As ``ds`` with ``ramp`` as float32, bias subtracted. A pixel whose superbias is not
        finite keeps its counts and gains ``UNRELIABLE_BIAS`` in ``dq_pixel``. Adds
        ``subtract_bias_estimate`` (y, x), DN, where there was no reference.
    """
    if "superbias" in ds:
        bias = ds["superbias"].astype("f4").reset_coords(drop=True)
        known = np.isfinite(bias).drop_attrs()
        flags = dq.set_flag(ds["dq_pixel"], ~known, "UNRELIABLE_BIAS")
        return _subtracted(ds, bias.where(known, 0.0)).assign(dq_pixel=flags)
    if not estimate:
        note("no superbias reference: bias left in the counts")
        return ds.assign(ramp=schema.label(ds["ramp"].astype("f4"), "ramps", "ramp"))
    note("no superbias reference: bias extrapolated from the first groups of the median ramp")
    bias = _extrapolated(ds)
    bias.attrs = {"long_name": "bias found from the first groups", "units": "DN"}
    return _subtracted(ds, bias).assign({ESTIMATE: bias})


def _subtracted(ds: xr.Dataset, bias: xr.DataArray) -> xr.Dataset:
    ramp = (ds["ramp"] - bias).transpose(*ds["ramp"].dims).astype("f4", copy=False)
    return ds.assign(ramp=schema.label(ramp, "ramps", "ramp"))


def _extrapolated(ds: xr.Dataset) -> xr.DataArray:
    """Return the median counts at reset (y, x), from up to three groups."""
    first = ds[["ramp", "dq_group"]].isel(group=slice(0, 3)).transpose("time", "group", "y", "x")
    times = first["group_time"] if "group_time" in ds.coords else first["group"].astype("f8")
    saturated = dq.has_flag(first["dq_group"], "SATURATED").astype("u1")
    return lazy.static_from_sample(
        _median_at_reset, first["ramp"], saturated, times, dims=("y", "x")
    )


def _median_at_reset(ramp: np.ndarray, bad: np.ndarray, times: np.ndarray) -> np.ndarray:
    return bias_at_reset(np.median(ramp, axis=0), np.median(bad, axis=0) > 0, times)


def bias_at_reset(ramp: np.ndarray, bad: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Follow ramps back to time 0 by the polynomial through their usable first groups.

    Parameters
    ----------
    ramp : (group, y, x) float
        Median counts of up to three groups.
    bad : (group, y, x) bool
        Groups from which on a pixel is not used.
    times : (group,) float
        Since reset.

    Returns
    -------
    (y, x) float32
        The first group itself where no second one can be used.
    """
    usable = np.logical_and.accumulate(~bad, axis=0).sum(axis=0)
    out = ramp[0].astype(np.float64)
    for n in range(2, len(times) + 1):
        weights = _lagrange_at_zero(times[:n])
        out = np.where(usable >= n, np.tensordot(weights, ramp[:n], axes=1), out)
    return out.astype(np.float32)


def _lagrange_at_zero(times: np.ndarray) -> np.ndarray:
    """Return the weights that extrapolate values at ``times`` to time 0."""
    return np.array(
        [np.prod([t / (t - s) for t in np.delete(times, i)]) for i, s in enumerate(times)]
    )


def _bias_data(ds: xr.Dataset) -> xr.DataArray:
    name = next((n for n in ("superbias", ESTIMATE) if n in ds), None)
    if name is None:
        zero = xr.zeros_like(ds["dq_pixel"], dtype="f4")
        return zero.assign_attrs(long_name="no bias subtracted", units="DN")
    bias = ds[name].compute()
    return xr.broadcast(bias, ds["dq_pixel"])[0].transpose("y", "x").assign_attrs(bias.attrs)


@diagnostic(subtract_bias)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the bias that was subtracted."""
    bias = _bias_data(ds)
    n_y, n_x = bias.shape
    ax = style.axes(ax, size=(8.0, 2.6) if n_x >= n_y else (3.6, 7.0))
    x, y = np.asarray(ds["x"]), np.asarray(ds["y"])
    extent = (x[0] - 0.5, x[-1] + 0.5, y[0] - 0.5, y[-1] + 0.5)
    style.image(ax, bias, extent=extent, label=style.label_of(bias))
    ax.set(xlabel="x [pix]", ylabel="y [pix]")
    return ax
