r"""Subtract a given image whose strength changes from group to group.

Some additive signals have a shape that is known and a strength that is not: the frame along
the edges of the NIRSpec detectors, which follows their temperature, or a pattern of
alternating columns. With the template :math:`T(y, x)`, the strength :math:`s` of each group is
measured on pixels without light of the star by robust regression of

.. math:: D_{ig} - D_{i0} - M_g = l_{ig} + s_{ig}\, T + n_{ig}

where :math:`M_g`, the median over the integrations, holds the sky and all else that does not
vary. The level :math:`l` stays in the data. For white noise :math:`\sigma` of a difference, N
pixels and a template with standard deviation :math:`\sigma_T` the strength has the error
:math:`1.03\, \sigma / (\sigma_T \sqrt N)`; stripes, which neighbours share, add to it, so
templates with structure along the lines are measured best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import chunks, lazy, schema
from tsoxr.errors import SchemaError
from tsoxr.kernels.subtraction import FEWEST, subtract_scaled, template_scales, time_median_of
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _ramps, _unlit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["subtract_template"]

SCALE = "subtract_template_scale"
N_PIXELS = "subtract_template_pixels"
TREND = "subtract_template_trend"
DIMS = ("time", "group", "y", "x")


@step(kind="ramps", needs=("ramp", "dq_group", "dq_pixel"))
def subtract_template(
    ds: xr.Dataset,
    template: xr.DataArray | np.ndarray | None = None,
    *,
    by_output: bool = False,
    static: bool = True,
    trace_half_width: float | None = None,
) -> xr.Dataset:
    """Subtract a template, scaled to each group of each integration.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN.
    template : (y, x) array, optional
        The image, DN for a scale of 1. Without it the data are returned unchanged with a
        note.
    by_output : bool
        Fit each output for itself.
    static : bool
        Also subtract the usual strength of each group, measured in the median over the
        integrations, where structure of the sky that looks like the template adds to it.
        If false, only what varies in time is subtracted.
    trace_half_width : float, optional
        Pixels within this distance of the trace are not used for the fit; that of
        ``clean_1overf`` in this mode if not given.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with ``ramp`` as float32; pixels where the template is not finite keep
        their counts. Adds ``subtract_template_scale`` (time, group, output), the strength
        that was subtracted; ``subtract_template_pixels`` (output,), the pixels without light
        that measured it (the strength is 0, and the counts are unchanged, where they are fewer
        than 16); and ``subtract_template_trend`` (time, output), s-1, the slope of the strength
        along the ramp: what was taken from the rates is this times the template, and it is a
        covariate for light curves.

    Raises
    ------
    SchemaError
        For a template of another shape.
    ValueError
        For a template without structure, or a negative half-width.
    """
    if template is None:
        note("no template: data unchanged")
        return ds
    image = _checked(ds, template)
    half_width = _unlit.reach(ds, trace_half_width, "subtract_template")
    read_by = _unlit.outputs(ds) if by_output else xr.zeros_like(_unlit.outputs(ds))
    usable = _unlit.unlit(ds, half_width) & np.isfinite(image)
    labels = read_by.where(usable, -1).astype(np.int64)
    n = int(read_by.max()) + 1
    scale = _scale(ds, image, labels, n, static=static)
    coefficients = xr.concat([xr.zeros_like(scale), scale], "term").transpose(..., "term")
    (ramp,) = chunks.per_chunk(
        _subtract, ds["ramp"].transpose(*DIMS), image, read_by,
        coefficients.chunk(term=-1) if lazy.is_lazy(coefficients) else coefficients,
        dims=DIMS, dtypes=("f4",),
    )  # fmt: skip
    found = {
        "ramp": schema.label(ramp.transpose(*ds["ramp"].dims), "ramps", "ramp"),
        SCALE: scale.assign_attrs(long_name="strength of the template", units="1"),
        N_PIXELS: _unlit.n_fitted(labels, n),
    }
    if ds.sizes["group"] > 1:
        trend = (scale * _ramps.slope_weights(ds, "subtract_template")).sum("group").astype("f4")
        found[TREND] = trend.assign_attrs(long_name="trend of the template", units="s-1")
    return ds.assign(found)


def _checked(ds: xr.Dataset, template: xr.DataArray | np.ndarray) -> xr.DataArray:
    """Return the template (y, x) float32 in memory, without coordinates."""
    shape = (ds.sizes["y"], ds.sizes["x"])
    if not isinstance(template, xr.DataArray):
        array = np.asarray(template)
        template = xr.DataArray(array, dims=("y", "x") if array.ndim == 2 else None)
    if set(template.dims) != {"y", "x"} or template.transpose("y", "x").shape != shape:
        raise SchemaError(
            f"subtract_template: the template has sizes {dict(template.sizes)}; it must be (y, x) as "
            f"the data, {shape[0]} x {shape[1]}; cut it to the subarray"
        )
    values = template.transpose("y", "x").compute(scheduler="synchronous").values.astype("f4")
    finite = values[np.isfinite(values)]
    if not (finite.size and np.ptp(finite) > 0):
        raise ValueError(
            "subtract_template: the template is constant or has no finite value; it must vary "
            "between pixels; use correct_reference_pixels or clean_1overf for common levels"
        )
    return xr.DataArray(values, dims=("y", "x"))


def _scale(
    ds: xr.Dataset, image: xr.DataArray, labels: xr.DataArray, n: int, *, static: bool
) -> xr.DataArray:
    """Return the strength of the template, (time, group, output) float32."""
    ramp = ds["ramp"].transpose(*DIMS)
    usual = lazy.static_from_sample(
        _usual, ramp, dims=("group", "y", "x"), n_sample=_ramps.sample_size(ds)
    )
    sizes = xr.DataArray(np.zeros(n), dims="output")
    (scale,) = chunks.per_chunk(
        _varying, ramp, usual, image, labels, sizes,
        dims=("time", "group", "output"), dtypes=("f4",),
    )  # fmt: skip
    if not static:
        return scale
    (constant,) = chunks.per_chunk(
        _constant, usual, image, labels, sizes, dims=("group", "output"), dtypes=("f4",)
    )
    return scale + constant


def _usual(ramp: np.ndarray) -> np.ndarray:
    """Return the median first group, and the median differences to it, (group, y, x)."""
    values = ramp.astype(np.float32)  # a copy of the sample, which is changed
    values[:, 1:] -= values[:, :1]
    return time_median_of(values)


def _varying(
    ramp: np.ndarray, usual: np.ndarray, image: np.ndarray, labels: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray]:
    return (template_scales(ramp, usual, np.nan_to_num(image), labels, sizes.size)[..., 1],)


def _constant(
    usual: np.ndarray, image: np.ndarray, labels: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray]:
    """Return the strength in the median differences, (group, output); 0 in the first group.

    There it could not be told from the bias, and slopes do not depend on it.
    """
    rises = usual.copy()
    rises[0] = 0.0
    return (template_scales(rises[None], np.zeros_like(rises), np.nan_to_num(image), labels, sizes.size)[0, ..., 1],)  # fmt: skip


def _subtract(*arrays: np.ndarray) -> tuple[np.ndarray]:
    return (subtract_scaled(*arrays),)


@diagnostic(subtract_template)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the strength of the template in each group against time."""
    ax = style.axes(ax)
    ax.set(xlabel="time since the first integration [h]", ylabel="strength of the template")
    if SCALE not in ds:
        ax.text(0.5, 0.5, "no template subtracted", ha="center", transform=ax.transAxes)
        return ax
    scale = ds[SCALE].compute().mean("output").transpose("time", "group")
    style.shade_transit(ax, ds)
    last = ds.sizes["group"] - 1
    for g in sorted({0, last // 2, last}):
        ax.plot(style.hours(ds), scale.isel(group=g), ".", ms=3, label=f"group {g + 1}")
    few = int((ds[N_PIXELS].compute() < FEWEST).sum())
    if few:
        ax.set_title(
            f"too few pixels without light in {few} of {ds.sizes['output']} outputs: unchanged"
        )
    ax.legend()
    return ax
