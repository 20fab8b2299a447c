"""Subtract the level of the reference pixels from each integration and group.

Reference pixels are wired like the others but blind. Their mean follows what the
electronics add to a whole output from read to read: the offset of the pre-amplifier after
each reset, its drift along the ramp, and the offset between odd and even pixels.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, lazy, schema
from tsoxr.kernels.detector import level_labels, reference_levels, subtract_reference
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps._stripes import has_interleaved_outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["correct_reference_pixels"]

LEVEL = "correct_reference_pixels_level"


@step(kind="ramps", needs=("ramp", "dq_pixel"))
def correct_reference_pixels(
    ds: xr.Dataset,
    *,
    by_parity: bool = True,
    pedestal: bool = True,
    min_pixels: int = 50,
    sigma: float = 4.0,
) -> xr.Dataset:
    r"""Subtract the mean of the reference pixels of each output and parity.

    The mean of n reference pixels has the variance :math:`0.64\,\sigma^2 / n` (they are
    quieter than other pixels by about 0.8), which is added to all pixels of an output
    alike, while the offset that it removes is of the order of the read noise. The default
    minimum of 50 keeps what is added near one per cent of the read variance; with fewer,
    odd and even pixels are taken together, and with too few for that the output is left
    as it is.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN, bias subtracted, and ``dq_pixel`` with
        ``REFERENCE_PIXEL``.
    by_parity : bool
        Tell odd from even pixels along ``fast_dim``.
    pedestal : bool
        Subtract the level of the first group too. If false, only its change since the
        first group, so that counts keep their zero point.
    min_pixels : int
        Reference pixels needed for a level.
    sigma : float
        Reference pixels farther than this from their median, in robust standard
        deviations, are left out.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with ``ramp`` as float32; unchanged, with a note, where there are not
        enough reference pixels. Adds ``correct_reference_pixels_level`` (time, group,
        reference_level), DN; the levels are those of output 0 (even, odd), output 1 ...

    Raises
    ------
    ValueError
        For a ``sigma`` or ``min_pixels`` that is not positive.

    Notes
    -----
    The level is that of the time when the reference pixels are read. With rows of them at one
    end of the subarray, 1/f noise makes it differ from that of the spectrum's lines: in simulated
    exposures of the NIRCam grism read through one output, the scatter of the spectrum's level
    became 0.6 to 1.2 times what it was, larger in three of four. `tsoxr.steps.correct_preamp` gives each line its own level and subtracts
    no more than it can measure.
    """
    if not sigma > 0 or min_pixels < 1:
        raise ValueError(
            f"correct_reference_pixels: sigma={sigma}, min_pixels={min_pixels}; both must be positive"
        )
    reference = _reference_pixels(ds)
    labels, n_labels = _labels(ds, reference, min_pixels=min_pixels, by_parity=by_parity)
    if not (labels >= 0).any():
        note(f"{int(reference.sum())} reference pixels in this subarray: too few, data unchanged")
        return ds
    fast, slow = ds.attrs["fast_dim"], ds.attrs["slow_dim"]
    ramp = ds["ramp"].transpose("time", "group", slow, fast)
    measured = partial(_levels, np.where(reference, labels, -1), sigma, pedestal)
    size = xr.DataArray(np.zeros(n_labels, "i1"), dims="reference_level")
    (level,) = chunks.per_chunk(
        measured, ramp, size, dims=("time", "group", "reference_level"), dtypes=("f4",)
    )
    (ramp,) = chunks.per_chunk(
        partial(_without, labels), ramp, level, dims=ramp.dims, dtypes=("f4",)
    )
    ramp = ramp.transpose(*ds["ramp"].dims)
    level.attrs = {"long_name": "level of the reference pixels", "units": "DN"}
    return ds.assign({"ramp": schema.label(ramp, "ramps", "ramp"), LEVEL: level})


def _levels(
    labels: np.ndarray, sigma: float, pedestal: bool, ramp: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray]:
    return (reference_levels(ramp, labels, size.size, sigma=sigma, pedestal=pedestal),)


def _without(labels: np.ndarray, ramp: np.ndarray, level: np.ndarray) -> tuple[np.ndarray]:
    return (subtract_reference(ramp, level, labels),)


def _reference_pixels(ds: xr.Dataset) -> np.ndarray:
    """Return which pixels (slow, fast) are reference pixels that can be trusted.

    What the step does depends on these flags, one small image that is in memory already
    even where it is wrapped in dask; so they are looked at on the spot.
    """
    flags = ds["dq_pixel"].transpose(ds.attrs["slow_dim"], ds.attrs["fast_dim"])
    if lazy.is_lazy(flags):
        flags = flags.compute(scheduler="synchronous")
    bad = dq.has_flag(flags, "BAD_REF_PIXEL", "DEAD", "HOT")
    return np.asarray(dq.has_flag(flags, "REFERENCE_PIXEL") & ~bad)


def _labels(
    ds: xr.Dataset, reference: np.ndarray, *, min_pixels: int, by_parity: bool
) -> tuple[np.ndarray, int]:
    """Return the level that applies to each pixel of a line (fast,), -1 for none, and their number."""
    n_fast = reference.shape[1]
    layout = {
        "n_outputs": int(ds.attrs.get("n_outputs", 1)),
        "interleaved": has_interleaved_outputs(ds),
    }
    per_pixel = reference.sum(axis=0)
    labels = level_labels(n_fast, **layout, by_parity=by_parity)
    if (_counts(labels, per_pixel) < min_pixels).any() and by_parity:
        labels = level_labels(n_fast, **layout, by_parity=False)
    enough = _counts(labels, per_pixel) >= min_pixels
    return np.where(enough[labels], labels, -1), enough.size


def _counts(labels: np.ndarray, per_pixel: np.ndarray) -> np.ndarray:
    return np.bincount(labels, weights=per_pixel)


def _level_data(ds: xr.Dataset) -> xr.DataArray:
    """Return the levels of the last group, less their medians, (time, reference_level)."""
    level = ds[LEVEL].isel(group=-1).compute()
    return level - level.median("time")


@diagnostic(correct_reference_pixels)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the reference level of the last group against time, one line per level."""
    ax = style.axes(ax)
    ax.set(xlabel="time since start [h]", ylabel="reference level - median [DN]")
    if LEVEL not in ds:
        ax.text(
            0.5, 0.5, "no reference pixels: data unchanged", ha="center", transform=ax.transAxes
        )
        return ax
    level = _level_data(ds)
    for k in range(level.sizes["reference_level"]):
        if np.any(level.isel(reference_level=k)):
            ax.plot(style.hours(ds), level.isel(reference_level=k), lw=0.8, label=f"level {k}")
    ax.legend(fontsize="small", ncols=4)
    return ax
