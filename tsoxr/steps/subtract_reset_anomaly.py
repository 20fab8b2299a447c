r"""Subtract what decays after each reset: the reset anomaly of MIRI.

After a reset the counts of all pixels relax for some fifteen frames, more so in the first
integration of an exposure, and differently in odd and even rows. Ramps bend, by tens of DN:
faint pixels get a slope that is wrong, bright ones a wrong linearity correction. The signal
is additive, so that what is left of it goes with the background, which is common to the pixels of
a row too; the first integration aside, it does not vary in time.

A ``reset`` reference holds it pixel by pixel. Without one it is estimated from pixels without
light of the star; see `tsoxr.kernels.reset_anomaly`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, lazy, schema
from tsoxr.errors import SchemaError
from tsoxr.io.reference import NTH
from tsoxr.kernels.reset_anomaly import FEWEST_GROUPS, decay_of_levels, parity_levels
from tsoxr.kernels.subtraction import subtract_images
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _ramps, _references, _unlit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["subtract_reset_anomaly"]

SIGNAL = "subtract_reset_anomaly_signal"
DIMS = ("time", "group", "y", "x")
MOST_SAMPLED = 256
"""The levels are few numbers for each integration: the sample may be larger than usual."""


@step(kind="ramps", needs=("ramp", "dq_group", "dq_pixel"), once=True)
def subtract_reset_anomaly(
    ds: xr.Dataset, *, estimate: bool = False, trace_half_width: float | None = None
) -> xr.Dataset:
    r"""Subtract the signal that decays after reset, from a reference or from the data.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN, before ``linearize`` and
        ``correct_reference_pixels`` (reference pixels show part of the signal), and maybe
        ``reset`` (group, y, x), DN, with ``nth_integration`` first where the first
        integrations differ.
    estimate : bool
        Without ``reset``, find the signal from pixels without light. If false, the data are
        then returned unchanged with a note.
    trace_half_width : float, optional
        Pixels within this distance of the trace are not used for the estimate; that of
        ``clean_1overf`` in this mode if not given.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with ``ramp`` as float32. Adds ``subtract_reset_anomaly_signal``
        (nth_integration, group, parity), DN: what was subtracted from the rows of each
        parity, in the first and in later integrations; the median over the pixels for a
        reference, and 0 throughout where an estimate finds no pixel without light in rows of
        both parities, so that the counts stay as they are. A pixel whose reference is not finite
        keeps its counts and gains ``UNRELIABLE_DARK`` in ``dq_pixel``.

    Raises
    ------
    ValueError
        For a negative half-width.
    SchemaError
        For a reset without groups, with other dims, or without a finite value.

    Notes
    -----
    The estimate needs 6 groups; with fewer the data are returned unchanged with a note. It
    makes the median ramp of the pixels without light a straight line, with offsets of the
    first and the last group taken off as well. The slope of that line is known to some DN/s
    with 8 groups and to a tenth of one with 30 (measured on simulated exposures of
    40 integrations, in which the anomaly alone changes the slope by 39 and 4.5 DN/s).
    """
    if "reset" in ds:
        return _with_reference(ds)
    if not estimate:
        note(
            "no reset reference: data unchanged, ramps bend after reset where the detector does so"
        )
        return ds
    if ds.sizes["group"] < FEWEST_GROUPS:
        note(
            f"no reset reference, and {ds.sizes['group']} groups are too few to tell the decay "
            f"from the sky ({FEWEST_GROUPS} are needed): data unchanged"
        )
        return ds
    note("no reset reference: the decay found from pixels without light")
    half_width = _unlit.reach(ds, trace_half_width, "subtract_reset_anomaly")
    signal = _estimated(ds, half_width)
    slow = ds.attrs["slow_dim"]
    odd = xr.DataArray((np.asarray(ds[slow].values) % 2).astype("f4"), dims=slow)
    images = signal.isel(parity=0) * (1 - odd) + signal.isel(parity=1) * odd
    return _subtracted(ds, images.expand_dims(one=1), signal)


def _parity(ds: xr.Dataset) -> xr.DataArray:
    """Return 0 for pixels of even rows and 1 for odd ones, (y, x) int64; rows as they are read."""
    slow, fast = ds.attrs["slow_dim"], ds.attrs["fast_dim"]
    rows = xr.DataArray(np.asarray(ds[slow].values).astype(np.int64) % 2, dims=slow)
    along = xr.DataArray(np.zeros(ds.sizes[fast], np.int64), dims=fast)
    return (rows + along).transpose("y", "x")


def _estimated(ds: xr.Dataset, half_width: float) -> xr.DataArray:
    """Return the signal (nth_integration, group, parity), float32 DN, lazy for lazy data."""
    times = _ramps.times_since_first(ds, "subtract_reset_anomaly")
    number = _unlit.nth_integration(ds, 2).compute(scheduler="synchronous")
    find = partial(_find, times=times, starts=bool(number[0] == 0))
    return lazy.static_from_sample(
        find,
        ds["ramp"].transpose(*DIMS),
        _unlit.unlit(ds, half_width),
        _parity(ds),
        xr.DataArray(np.zeros((2, 2)), dims=(NTH, "parity")),
        dims=(NTH, "group", "parity"),
        n_sample=_ramps.sample_size(ds, MOST_SAMPLED),
    )


def _find(
    ramp: np.ndarray,
    usable: np.ndarray,
    parity: np.ndarray,
    _sizes: np.ndarray,
    *,
    times: np.ndarray,
    starts: bool,
) -> np.ndarray:
    return decay_of_levels(parity_levels(ramp, usable, parity), times, starts=starts)


def _with_reference(ds: xr.Dataset) -> xr.Dataset:
    _references.check("subtract_reset_anomaly", ds, "reset", (NTH, "group", "y", "x"))
    if "group" not in ds["reset"].dims:
        raise SchemaError(
            f"subtract_reset_anomaly: 'reset' has dims {ds['reset'].dims}; it must have 'group'; "
            "attach it with use_references"
        )
    reset = ds["reset"].drop_vars(list(ds["reset"].coords)).drop_attrs()
    reset = reset if NTH in reset.dims else reset.expand_dims(NTH)
    image = xr.DataArray(np.zeros((ds.sizes["y"], ds.sizes["x"]), "f4"), dims=("y", "x"))
    reset = (reset.astype("f4") + image).transpose(NTH, "group", "y", "x")
    known = np.isfinite(reset).all((NTH, "group"))
    flags = dq.set_flag(ds["dq_pixel"], ~known, "UNRELIABLE_DARK")
    reset = reset.where(known, np.float32(0.0))
    signal = lazy.static_from_sample(
        _medians,
        reset,
        known,
        _parity(ds),
        xr.DataArray(np.zeros(2), dims="parity"),
        dims=(NTH, "group", "parity"),
    )
    return _subtracted(ds.assign(dq_pixel=flags), reset, signal)


def _medians(
    reset: np.ndarray, known: np.ndarray, parity: np.ndarray, _sizes: np.ndarray
) -> np.ndarray:
    return np.nan_to_num(parity_levels(reset, known, parity))


def _subtracted(ds: xr.Dataset, images: xr.DataArray, signal: xr.DataArray) -> xr.Dataset:
    """Subtract images whose axis ``one`` stands for a detector axis along which they are constant."""
    axes = [d if d in images.dims else "one" for d in ("y", "x")]
    (ramp,) = chunks.per_chunk(
        _subtract,
        ds["ramp"].transpose(*DIMS),
        images.transpose(NTH, "group", *axes),
        _unlit.nth_integration(ds, images.sizes[NTH]),
        dims=DIMS,
        dtypes=("f4",),
    )
    signal = signal.assign_attrs(long_name="signal after reset", units="DN")
    ramp = schema.label(ramp.transpose(*ds["ramp"].dims), "ramps", "ramp")
    return ds.assign({"ramp": ramp, SIGNAL: signal})


def _subtract(ramp: np.ndarray, images: np.ndarray, which: np.ndarray) -> tuple[np.ndarray]:
    return (subtract_images(ramp, images, which),)


@diagnostic(subtract_reset_anomaly)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the signal that was subtracted against the group, odd and even rows."""
    ax = style.axes(ax, size=(6.0, 3.6))
    ax.set(xlabel="group", ylabel="signal after reset [DN]")
    if SIGNAL not in ds:
        ax.text(0.5, 0.5, "no signal subtracted", ha="center", transform=ax.transAxes)
        return ax
    signal = ds[SIGNAL].compute().transpose(NTH, "group", "parity").values
    group = np.asarray(ds["group"])
    for p, rows in enumerate(("even rows", "odd rows")):
        color = style.COLORS["after" if p == 0 else "model"]
        ax.plot(
            group, signal[-1, :, p], "o-", ms=3, color=color, label=f"{rows}, later integrations"
        )
        if signal.shape[0] > 1:
            ax.plot(group, signal[0, :, p], "--", color=color, label=f"{rows}, first integration")
    ax.axhline(0.0, color=style.COLORS["before"], lw=0.8)
    if not signal.any():
        ax.set_title("no pixel without light: data unchanged")
    ax.legend()
    return ax
