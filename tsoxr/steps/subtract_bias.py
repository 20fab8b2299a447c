r"""Subtract the bias: the counts that a pixel shows right after reset.

Differences of groups do not need it, but the linearity polynomial does, which is a function
of the counts above the bias. Without a superbias reference the bias is found from the data:
the ramps of a sample of the integrations are followed back to the time of reset.

With the counts :math:`D_g` of the first groups at times :math:`t_g` since reset, the parabola
through three groups gives :math:`\hat b = \sum_g w_g D_g`, for equal spacing
:math:`3 D_0 - 3 D_1 + D_2`. A straight line, :math:`2 D_0 - D_1`, would be off by
:math:`2 a S^2` for a response :math:`S - a S^2` and signal S per group (50 DN for
S = 5000 DN, a = 1e-6 per DN).

A reference can also be fitted to each integration. On pixels without light of the star the
first group is :math:`D_i = b_i + s B_i + n_i`, with the reference B, a level and a scale for
each output, and noise n, mostly that of the reset. Robust regression gives the scale to
:math:`1.03\, \sigma_n / (\sigma_B \sqrt N)` for N pixels: 3e-4 for 20 DN of reset noise, a
bias pattern of 700 DN and ten thousand pixels. Light that fell on these pixels before the first
read counts as level, so the reference is rescaled only when asked for.

With a reference of 100 darks the slope of bright pixels is off by 1e-4 to 2e-4 (simulated
NIRSpec, NIRISS and MIRI), by the errors of the linearity polynomial; reference, rescaled
reference and extrapolation do not differ in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, lazy, schema
from tsoxr.errors import SchemaError
from tsoxr.kernels.medians import median_in_time
from tsoxr.kernels.subtraction import FEWEST, subtract_scaled, template_scales
from tsoxr.plots import style
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import _references, _unlit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["subtract_bias"]

LEVEL = "subtract_bias_level"
OFFSET = "subtract_bias_offset"
SCALE = "subtract_bias_scale"
N_PIXELS = "subtract_bias_pixels"

METHODS = ("reference", "rescaled", "first_group", "none")


@step(kind="ramps", needs=("ramp", "dq_group", "dq_pixel"), once=True)
def subtract_bias(
    ds: xr.Dataset,
    *,
    method: str | None = None,
    estimate: bool = True,
    trace_half_width: float | None = None,
) -> xr.Dataset:
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
    method : {"reference", "rescaled", "first_group", "none"}, optional
        The reference as it is; the reference with a level and a scale for each integration
        and output, measured on pixels without light; the extrapolation from the first
        groups; or nothing. Left out, the reference where there is one, else as
        ``estimate`` says.
    estimate : bool
        Without ``method``, find the bias from the data where there is no reference. If false,
        the counts stay as they are (as float32).
    trace_half_width : float, optional
        With ``method="rescaled"``, pixels within this distance of the trace are not used;
        that of ``clean_1overf`` in this mode if not given.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with ``ramp`` as float32, bias subtracted. A pixel whose superbias is not
        finite keeps its counts and gains ``UNRELIABLE_BIAS`` in ``dq_pixel``. Adds
        ``subtract_bias_level`` (y, x), DN: what was subtracted. Rescaled, it is the
        reference, and ``subtract_bias_offset`` (time, output), DN, and
        ``subtract_bias_scale`` (time, output) say what was made of it: the offset is added to
        the median of the reference, the scale multiplies what is above that median;
        ``subtract_bias_pixels`` (output,) is the number of pixels without light that measured
        them. An output with fewer than 16 takes the reference as it is: offset 0, scale 1.

    Raises
    ------
    ValueError
        For an unknown method, or a negative half-width.
    SchemaError
        For a method that needs a reference where none is attached, or one with other dims or
        no finite value.
    """
    method = _method(ds, method, estimate=estimate)
    if method == "none":
        note(
            "no superbias reference: bias left in the counts"
            if "superbias" not in ds
            else "bias left in the counts"
        )
        return ds.assign(ramp=schema.label(ds["ramp"].astype("f4"), "ramps", "ramp"))
    if method == "first_group":
        why = "" if "superbias" in ds else "no superbias reference: "
        note(f"{why}bias extrapolated from the first groups")
        bias = _extrapolated(ds)
        known = np.isfinite(bias)
        out = ds.assign(dq_pixel=dq.set_flag(ds["dq_pixel"], ~known, "UNRELIABLE_BIAS"))
        return _subtracted(out, bias.where(known, np.float32(0.0)))
    _references.check("subtract_bias", ds, "superbias", ("y", "x"))
    bias = ds["superbias"].astype("f4").reset_coords(drop=True)
    known = np.isfinite(bias).drop_attrs()
    out = ds.assign(dq_pixel=dq.set_flag(ds["dq_pixel"], ~known, "UNRELIABLE_BIAS"))
    if method == "reference":
        return _subtracted(out, bias.where(known, 0.0))
    return _rescaled(out, bias, _unlit.reach(ds, trace_half_width, "subtract_bias"))


def _method(ds: xr.Dataset, given: str | None, *, estimate: bool) -> str:
    """Return the method to use: given, else what the data allow."""
    if given is None:
        found = "reference" if "superbias" in ds else "first_group" if estimate else "none"
        return str(derived(method=found))
    if given not in METHODS:
        raise ValueError(f"subtract_bias: method is {given!r}; it must be one of {METHODS}")
    if given in METHODS[:2] and "superbias" not in ds:
        raise SchemaError(
            f"subtract_bias: method {given!r} needs 'superbias', which is not attached; run "
            "use_references first, or take method='first_group'"
        )
    return given


def _rescaled(ds: xr.Dataset, bias: xr.DataArray, half_width: float) -> xr.Dataset:
    """Subtract the reference with a level and a scale for each integration and output.

    The fit is to the pattern above its median, so that level and scale do not share errors.
    """
    image = xr.DataArray(np.zeros((ds.sizes["y"], ds.sizes["x"]), "f4"), dims=("y", "x"))
    bias = (image + bias.drop_vars(bias.coords)).transpose("y", "x").astype("f4")
    middle = lazy.static_from_sample(np.nanmedian, bias, dims=())
    pattern = (bias - middle).drop_attrs().astype("f4")
    read_by = _unlit.outputs(ds)
    n = int(read_by.max()) + 1
    labels = read_by.where(_unlit.unlit(ds, half_width) & np.isfinite(bias), -1).astype(np.int64)
    first = ds["ramp"].isel(group=[0]).rename(group="first").transpose("time", "first", "y", "x")
    dims = ("time", "first", "output", "term")
    (found,) = chunks.per_chunk(
        _levels, first, pattern, labels, middle,
        xr.DataArray(np.zeros(n), dims="output"), xr.DataArray(np.zeros(2), dims="term"),
        dims=dims, dtypes=("f4",),
    )  # fmt: skip
    whole = ("time", "group", "y", "x")
    (ramp,) = chunks.per_chunk(
        _subtract, ds["ramp"].transpose(*whole), pattern, read_by, found, dims=whole, dtypes=("f4",)
    )
    ramp = schema.label(ramp.transpose(*ds["ramp"].dims), "ramps", "ramp")
    one = found.isel(first=0)
    return ds.assign(
        {
            "ramp": ramp,
            LEVEL: bias.fillna(0.0).assign_attrs(long_name="bias reference", units="DN"),
            OFFSET: (one.isel(term=0) - middle).assign_attrs(
                long_name="bias above the reference", units="DN"
            ),
            SCALE: one.isel(term=1).assign_attrs(long_name="scale of the bias pattern", units="1"),
            N_PIXELS: _unlit.n_fitted(labels, n),
        }
    )


def _levels(
    first: np.ndarray,
    pattern: np.ndarray,
    labels: np.ndarray,
    middle: np.ndarray,
    outputs: np.ndarray,
    _terms: np.ndarray,
) -> tuple[np.ndarray]:
    """Return level and scale (time, 1, output, term); those of the reference where none is found."""
    none = np.zeros((1, *pattern.shape), np.float32)
    found = template_scales(first, none, pattern, labels, outputs.size)
    unknown = ~found.any(axis=-1)  # too few pixels, in all integrations or in this one
    for c in range(outputs.size):
        own = pattern[labels == c]
        if own.size and not np.ptp(own) > 0:  # a reference without pattern
            found[:, :, c, 0] -= own[0]
            found[:, :, c, 1] = 1.0
    found[unknown] = (float(middle), 1.0)
    return (found,)


def _subtract(*arrays: np.ndarray) -> tuple[np.ndarray]:
    return (subtract_scaled(*arrays),)


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
    bad = 2 * unusable.sum(axis=0, dtype=np.int64) >= len(unusable)
    n_usable = np.logical_and.accumulate(~bad, axis=0).sum(axis=0)
    weights = np.zeros((len(times), *n_usable.shape), np.float32)
    weights[0] = 1.0
    for n in range(2, len(times) + 1):
        extrapolation = _lagrange_at_zero(times[:n])[:, None]
        weights[:n, n_usable >= n] = extrapolation
    at_reset = np.einsum("tgyx,gyx->tyx", ramp, weights, dtype=np.float32)
    middle = median_in_time(at_reset)
    lost = ~np.isfinite(middle)
    if lost.any():
        some = np.ma.masked_invalid(at_reset[:, lost])
        middle[lost] = np.ma.median(some, axis=0).filled(np.nan)
    return middle


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
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes | dict[str, Axes]:
    """Draw the bias that was subtracted; rescaled, its level and scale against time as well."""
    rescaled = SCALE in ds and ax is None
    bias = _bias_data(ds)
    n_y, n_x = bias.shape
    if not rescaled:
        ax = style.axes(ax, size=(8.0, 2.6) if n_x >= n_y else (3.6, 7.0))
        return _draw_image(ax, ds, bias)
    import matplotlib.pyplot as plt

    _, (top, middle, low) = plt.subplots(3, 1, figsize=(8.0, 6.5), layout="constrained")
    when = style.hours(ds)
    for line, name in ((middle, OFFSET), (low, SCALE)):
        line.plot(when, ds[name].transpose("time", "output").values, ".", ms=3)
        line.set(ylabel=style.label_of(ds[name]))
    low.set(xlabel="time since the first integration [h]")
    few = int((ds[N_PIXELS].compute() < FEWEST).sum())
    if few:
        middle.set_title(
            f"too few pixels without light in {few} of {ds.sizes['output']} outputs: as the reference"
        )
    return {"bias": _draw_image(top, ds, bias), "offset": middle, "scale": low}


def _draw_image(ax: Axes, ds: xr.Dataset, bias: xr.DataArray) -> Axes:
    x, y = np.asarray(ds["x"]), np.asarray(ds["y"])
    extent = (x[0] - 0.5, x[-1] + 0.5, y[0] - 0.5, y[-1] + 0.5)
    style.image(ax, bias, extent=extent, label=style.label_of(bias))
    ax.set(xlabel="x [pix]", ylabel="y [pix]")
    return ax
