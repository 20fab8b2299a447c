r"""Undo the bending of the response by the polynomial of each pixel.

A pixel collects charge ever more slowly as its well fills: the counts fall behind the light
by a few per cent near saturation. The reference gives for each pixel the polynomial that
turns measured counts into linear ones: counts above the bias for the detectors in the near
infrared, and counts as they are, the level after reset included, for those of MIRI. So the
step takes the counts as `subtract_bias` leaves them, which knows the difference by the mode.

An error db of the bias changes the slope of a polynomial :math:`D + a D^2` by the part
:math:`2 a\, db`: 2e-6 per DN for a = 1e-6 per DN, the same in all integrations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, history, schema
from tsoxr.errors import SchemaError
from tsoxr.kernels.detector import apply_linearity
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _references

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["linearize"]

GROUP_DIMS = ("group", "y", "x")


@step(kind="ramps", needs=("ramp", "dq_group", "dq_pixel"), once=True)
def linearize(ds: xr.Dataset) -> xr.Dataset:
    r"""Make the counts proportional to the light.

    Linear counts are :math:`\sum_k c_k(y, x)\, D^k`. The polynomial holds below saturation:
    from the first group flagged ``SATURATED`` on, a pixel keeps its counts.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN, as `subtract_bias` leaves them, and
        ``linearity`` (coefficient, y, x), constant term first. Without ``linearity`` the data are
        returned unchanged with a note: counts near saturation stay low by a few per cent,
        the same fraction at all times to first order, so a relative light curve feels a
        small part of it only.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with ``ramp`` as float32. A pixel whose coefficients are not finite, or
        whose linear term is zero, keeps its counts and gains ``NO_LIN_CORR`` in
        ``dq_pixel``; reference pixels and pixels flagged so keep theirs too. NaN stays NaN.

    Raises
    ------
    SchemaError
        For a polynomial without linear term, or references with other dims or no finite value.
    """
    if "linearity" not in ds:
        note(
            "no linearity reference: data unchanged, counts near saturation stay low by a few per cent"
        )
        return ds
    if ds["linearity"].sizes.get("coefficient", 0) < 2:
        raise SchemaError(
            f"linearize: 'linearity' has sizes {dict(ds['linearity'].sizes)}; it must have a dim "
            "'coefficient' of 2 or more, constant term first; attach it with use_references"
        )
    _references.check("linearize", ds, "linearity", ("coefficient", "y", "x"))
    if "subtract_bias" not in {record["step"] for record in history.records(ds.attrs)}:
        note("subtract_bias was not run: the polynomial acts on the counts as they are")
    coefficients = ds["linearity"].transpose("coefficient", "y", "x").reset_coords(drop=True)
    unusable = ~np.isfinite(coefficients).all("coefficient") | (
        coefficients.isel(coefficient=1) == 0
    )
    flags = dq.set_flag(ds["dq_pixel"], unusable.drop_attrs(), "NO_LIN_CORR")
    correctable = ~dq.has_flag(flags, "NO_LIN_CORR", "REFERENCE_PIXEL")
    dims = ("time", *GROUP_DIMS)
    (ramp,) = chunks.per_chunk(
        _apply,
        ds["ramp"].transpose(*dims),
        ds["dq_group"].transpose(*dims),
        coefficients.transpose("coefficient", "y", "x"),
        correctable.transpose("y", "x"),
        dims=dims,
        dtypes=("f4",),
    )
    ramp = ramp.transpose(*ds["ramp"].dims)
    return ds.assign(ramp=schema.label(ramp, "ramps", "ramp"), dq_pixel=flags)


def _apply(*arrays: np.ndarray) -> tuple[np.ndarray]:
    """Linearize one chunk; arrays in, a tuple of one array out."""
    return (apply_linearity(*arrays, saturated=dq.bits("SATURATED", dtype="u1")),)


def _correction_data(ds: xr.Dataset, n_pixels: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Return counts (count,) and percentiles 5, 50, 95 of linear / measured - 1 in per cent."""
    coefficients = (
        ds["linearity"]
        .transpose("coefficient", "y", "x")
        .values.reshape(ds.sizes["coefficient"], -1)
    )
    usable = (
        np.isfinite(coefficients).all(axis=0)
        & (coefficients[1] != 0)
        & (np.abs(coefficients[2:]).sum(axis=0) > 0)
    )
    chosen = np.flatnonzero(usable)
    chosen = chosen[:: max(chosen.size // n_pixels, 1)]
    top = float(ds["saturation"].max()) if "saturation" in ds else 60000.0
    counts = np.linspace(0.01, 1.0, 100) * top
    if chosen.size == 0:
        return counts, np.zeros((3, counts.size))
    linear = np.polynomial.polynomial.polyval(counts, coefficients[:, chosen].astype(float))
    return counts, np.percentile(100.0 * (linear / counts - 1.0), [5, 50, 95], axis=0)


@diagnostic(linearize)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the correction against counts: the median pixel, and the range of 90% of them."""
    ax = style.axes(ax, size=(5.5, 3.4))
    ax.set(xlabel="measured counts above bias [DN]", ylabel="linear / measured - 1 [%]")
    if "linearity" not in ds:
        ax.text(0.5, 0.5, "no linearity reference attached", ha="center", transform=ax.transAxes)
        return ax
    counts, (low, middle, high) = _correction_data(ds)
    ax.fill_between(
        counts, low, high, color=style.COLORS["after"], alpha=0.25, lw=0, label="90% of the pixels"
    )
    ax.plot(counts, middle, color=style.COLORS["after"], label="median pixel")
    ax.legend()
    return ax
