r"""Subtract the dark: the counts that gather in a pixel without light.

Time series are of bright stars, and a dark current of hundredths of an electron per second is
small against them; what a dark takes away beside it is what is the same in all exposures,
such as warm pixels and the glow of the amplifiers. It does not vary, so a light curve feels
it as a dilution only, by the part of the aperture's signal that it makes.

What is subtracted had photons' noise: charge q electrons per second of dark in a pixel add
their Poisson variance to the slope although their mean is gone. The median rate, from which
`fit_ramps` predicts that noise, does not show them any more; ``dark_rate`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, lazy, schema
from tsoxr.errors import SchemaError
from tsoxr.io.reference import NTH
from tsoxr.kernels.subtraction import subtract_images
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _ramps, _references, _unlit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["subtract_dark"]

SIGNAL = "subtract_dark_signal"


@step(kind="ramps", needs=("ramp", "dq_group", "dq_pixel"), adds=("dark_rate",), once=True)
def subtract_dark(ds: xr.Dataset) -> xr.Dataset:
    """Subtract the dark reference, and keep the noise of what was subtracted.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN, linear, and ``dark`` (group, y, x), DN,
        maybe with ``nth_integration`` first where the first integrations have darks of their
        own. Without ``dark`` the data are returned unchanged with a note: the dark current
        stays in the rates, 0.001 to 0.2 electrons per second in a usual pixel.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with ``ramp`` as float32. Adds ``dark_rate`` (y, x), DN s-1, not negative,
        which `flag_jumps` and `fit_ramps` add to the rate that photon noise is predicted
        from, and ``subtract_dark_signal`` (y, x), DN: what was taken from the last group of
        late integrations. A pixel whose dark is not finite keeps its counts and gains
        ``UNRELIABLE_DARK`` in ``dq_pixel``.

    Raises
    ------
    SchemaError
        For a dark without groups, with other dims, or without a finite value.

    Notes
    -----
    The noise of the reference itself is the same in all integrations. It biases the rate of
    a pixel, by its error over the length of a ramp, and adds nothing to scatter in time.
    """
    if "dark" not in ds:
        note("no dark reference: data unchanged, the dark current stays in the rates")
        return ds
    _references.check("subtract_dark", ds, "dark", (NTH, "group", "y", "x"))
    dark = ds["dark"].reset_coords(drop=True)
    dark = dark if NTH in dark.dims else dark.expand_dims(NTH)
    if "group" not in dark.dims:
        raise SchemaError(
            f"subtract_dark: 'dark' has dims {ds['dark'].dims}; it must have 'group', as "
            "use_references attaches it"
        )
    image = xr.DataArray(np.zeros((ds.sizes["y"], ds.sizes["x"]), "f4"), dims=("y", "x"))
    dark = (dark.drop_vars(list(dark.coords)) + image).astype("f4").drop_attrs()
    dark = dark.transpose(NTH, "group", "y", "x")
    known = np.isfinite(dark).all((NTH, "group"))
    dark = dark.where(known, np.float32(0.0))
    dims = ("time", "group", "y", "x")
    (ramp,) = chunks.per_chunk(
        _subtract,
        ds["ramp"].transpose(*dims),
        dark,
        _unlit.nth_integration(ds, dark.sizes[NTH]),
        dims=dims,
        dtypes=("f4",),
    )
    last = dark.isel({NTH: -1, "group": -1})
    return ds.assign(
        ramp=schema.label(ramp.transpose(*ds["ramp"].dims), "ramps", "ramp"),
        dq_pixel=dq.set_flag(ds["dq_pixel"], ~known, "UNRELIABLE_DARK"),
        dark_rate=schema.label(_rate(ds, dark), "ramps", "dark_rate"),
        **{SIGNAL: last.assign_attrs(long_name="dark subtracted, last group", units="DN")},
    )


def _subtract(ramp: np.ndarray, dark: np.ndarray, which: np.ndarray) -> tuple[np.ndarray]:
    return (subtract_images(ramp, dark, which),)


def _rate(ds: xr.Dataset, dark: xr.DataArray) -> xr.DataArray:
    """Return the least-squares slope of the dark of late integrations, (y, x) DN s-1, from 0 up."""
    if ds.sizes["group"] < 2:
        note("integrations of one group: the noise of the dark is not carried")
        return xr.zeros_like(dark.isel({NTH: -1, "group": -1}))
    weights = _ramps.slope_weights(ds, "subtract_dark")
    return (dark.isel({NTH: -1}) * weights).sum("group").clip(min=0.0).astype("f4")


def _data(ds: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the dark taken from the last group and the median rate of it, (y, x)."""
    return {
        "signal": lazy.compute(ds[[SIGNAL]])[SIGNAL].transpose("y", "x").values,
        "rate": ds["dark_rate"].compute().transpose("y", "x").values,
    }


@diagnostic(subtract_dark)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the dark that was taken from the last group."""
    n_y, n_x = ds.sizes["y"], ds.sizes["x"]
    ax = style.axes(ax, size=(8.0, 2.6) if n_x >= n_y else (3.6, 7.0))
    ax.set(xlabel="x [pix]", ylabel="y [pix]")
    if SIGNAL not in ds:
        ax.text(0.5, 0.5, "no dark reference attached", ha="center", transform=ax.transAxes)
        return ax
    found = _data(ds)
    x, y = np.asarray(ds["x"]), np.asarray(ds["y"])
    extent = (x[0] - 0.5, x[-1] + 0.5, y[0] - 0.5, y[-1] + 0.5)
    style.image(ax, found["signal"], extent=extent, label="dark, last group [DN]")
    lit = found["rate"][found["rate"] > 0]
    middle = float(np.median(lit)) if lit.size else 0.0
    ax.set_title(f"median rate of the dark: {middle:.3g} DN/s")
    return ax
