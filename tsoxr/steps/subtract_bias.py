r"""Subtract the bias: the counts that a pixel shows right after reset.

Differences of groups do not need it, but the linearity polynomial does, which is a function
of the counts above the bias. Without a superbias reference the bias is found from the data:
the ramps of a sample of the integrations are followed back to the time of reset.

With the counts :math:`D_g` of the first groups at times :math:`t_g` since reset, the parabola
through three groups gives :math:`\hat b = \sum_g w_g D_g`, for equal spacing
:math:`3 D_0 - 3 D_1 + D_2`. A straight line, :math:`2 D_0 - D_1`, would be off by
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

LEVEL = "subtract_bias_level"


@step(kind="ramps", needs=("ramp", "dq_group", "dq_pixel"), once=True)
def subtract_bias(ds: xr.Dataset, *, estimate: bool = True) -> xr.Dataset:
    r"""Subtract the superbias, or a bias found from the data.

    The reference is used if it is attached. Otherwise the bias is extrapolated from the
    first groups, with the noise :math:`\sigma_b = 1.25 \sqrt{(19 \sigma^2 + k^2) / n}` for
    three groups, n sampled integrations, read noise :math:`\sigma` and reset noise k: about
    one read noise with n = 32. It is the same for all integrations, so light curves do not
    see it; for linearity, an error of one read noise is of no account.

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
        ``subtract_bias_level`` (y, x), DN: what was subtracted.
    """
    if "superbias" in ds:
        bias = ds["superbias"].astype("f4").reset_coords(drop=True)
        known = np.isfinite(bias).drop_attrs()
        flags = dq.set_flag(ds["dq_pixel"], ~known, "UNRELIABLE_BIAS")
        return _subtracted(ds, bias.where(known, 0.0)).assign(dq_pixel=flags)
    if not estimate:
        note("no superbias reference: bias left in the counts")
        return ds.assign(ramp=schema.label(ds["ramp"].astype("f4"), "ramps", "ramp"))
    note("no superbias reference: bias extrapolated from the first groups")
    return _subtracted(ds, _extrapolated(ds))


def _subtracted(ds: xr.Dataset, bias: xr.DataArray) -> xr.Dataset:
    ramp = (ds["ramp"] - bias).transpose(*ds["ramp"].dims).astype("f4", copy=False)
    level = bias.drop_attrs().assign_attrs(long_name="bias subtracted", units="DN")
    return ds.assign({"ramp": schema.label(ramp, "ramps", "ramp"), LEVEL: level})


def _extrapolated(ds: xr.Dataset) -> xr.DataArray:
    """Return the median counts at reset (y, x), from up to three groups."""
    first = ds[["ramp", "dq_group"]].isel(group=slice(0, 3)).transpose("time", "group", "y", "x")
    times = first["group_time"] if "group_time" in ds.coords else first["group"].astype("f8")
    saturated = dq.has_flag(first["dq_group"], "SATURATED").astype("u1")
    return lazy.static_from_sample(
        _median_at_reset, first["ramp"], saturated, times, dims=("y", "x")
    )


def _median_at_reset(ramp: np.ndarray, unusable: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Follow each ramp (time, group, y, x) back to reset, and take the median of the sample.

    In this order, because the reset noise is the same in all groups of an integration: it
    enters once, where medians of single groups would each have their own error from it.
    """
    bad = np.median(unusable, axis=0) > 0
    n_usable = np.logical_and.accumulate(~bad, axis=0).sum(axis=0)
    weights = np.zeros((len(times), *n_usable.shape), np.float32)
    weights[0] = 1.0
    for n in range(2, len(times) + 1):
        extrapolation = _lagrange_at_zero(times[:n])[:, None]
        weights[:n, n_usable >= n] = extrapolation
    return np.median(np.einsum("tgyx,gyx->tyx", ramp, weights, dtype=np.float32), axis=0)


def _lagrange_at_zero(times: np.ndarray) -> np.ndarray:
    """Return the weights that extrapolate values at ``times`` to time 0."""
    return np.array(
        [np.prod([t / (t - s) for t in np.delete(times, i)]) for i, s in enumerate(times)]
    )


def _bias_data(ds: xr.Dataset) -> xr.DataArray:
    """Return the bias that was subtracted, (y, x); 0 where none was."""
    if LEVEL not in ds:
        zero = np.zeros((ds.sizes["y"], ds.sizes["x"]), "f4")
        return xr.DataArray(
            zero, dims=("y", "x"), attrs={"long_name": "no bias subtracted", "units": "DN"}
        )
    bias = ds[LEVEL].compute()
    image = xr.DataArray(np.zeros((ds.sizes["y"], ds.sizes["x"]), "f4"), dims=("y", "x"))
    return (image + bias).transpose("y", "x").assign_attrs(bias.attrs)


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
