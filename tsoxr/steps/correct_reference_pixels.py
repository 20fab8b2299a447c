"""Subtract the level of the reference pixels from each integration and group.

Reference pixels are wired like the others but blind. Their mean follows what the
electronics add to a whole output from read to read: the offset of the pre-amplifier after
each reset, its drift along the ramp, and the offset between odd and even pixels.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, lazy, schema
from tsoxr.kernels.detector import level_labels, reference_levels, subtract_reference
from tsoxr.kernels.medians import median_in_time
from tsoxr.kernels.reference_share import dark_levels, dark_pixels, level_shares
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps._stripes import dummy, good_pixels, has_interleaved_outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["correct_reference_pixels"]

LEVEL, SHARE = "correct_reference_pixels_level", "correct_reference_pixels_share"

FEWEST = 8
"""Integrations that tell how far the reference pixels speak for the others."""

LARGEST_SAMPLE = 16e6
"""Pixels of a sample, at most; no fewer integrations than `FEWEST`, no more than 32."""


@step(kind="ramps", needs=("ramp", "dq_pixel"))
def correct_reference_pixels(
    ds: xr.Dataset,
    *,
    by_parity: bool = True,
    pedestal: bool = True,
    min_pixels: int = 50,
    sigma: float = 4.0,
    shrink: bool = True,
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
    shrink : bool
        Of what varies in a level, subtract the part that the dark pixels of the output show as
        well. If false, all of it.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with ``ramp`` as float32; unchanged, with a note, where there are not
        enough reference pixels. Adds ``correct_reference_pixels_level`` (time, group,
        reference_level), DN, what was subtracted; the levels are those of output 0 (even, odd),
        output 1 ...; and ``correct_reference_pixels_share`` (reference_stage, reference_level), the
        part of them that was, for first groups and for rises since.

    Raises
    ------
    ValueError
        For a ``sigma`` or ``min_pixels`` that is not positive.

    Notes
    -----
    The level is that of the time when the reference pixels are read. With rows of them at one
    end of the subarray, 1/f noise makes it differ from that of the spectrum's lines. Where R are
    levels of the reference pixels and D those of dark pixels in a sample of the integrations, the
    part :math:`\mathrm{cov}(R, D) / \mathrm{var}(R)` of the departure from the median is subtracted,
    at most all, and none where it is below twice its error. Hence what is left does not scatter
    by more than before, as far as the sample tells. With fewer than 8 integrations all of the
    level is subtracted, with a note. `tsoxr.steps.correct_preamp` gives each line its own level.
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
    if shrink and ds.sizes["time"] < FEWEST:
        note(f"{ds.sizes['time']} integrations: too few to shrink the levels, all was subtracted")
    shrink = shrink and ds.sizes["time"] >= FEWEST
    table = _table(ds, ramp, labels, n_labels, measured) if shrink else _whole(ds, n_labels)
    (level,) = chunks.per_chunk(
        partial(_shrunk, measured), ramp, table,
        dims=("time", "group", "reference_level"), dtypes=("f4",),
    )  # fmt: skip
    (ramp,) = chunks.per_chunk(
        partial(_without, labels), ramp, level, dims=ramp.dims, dtypes=("f4",)
    )
    ramp = ramp.transpose(*ds["ramp"].dims)
    level.attrs = {"long_name": "level of the reference pixels", "units": "DN"}
    share = table.isel(reference_row=slice(-2, None)).rename(reference_row="reference_stage")
    share.attrs = {"long_name": "part of the level that was subtracted", "units": "1"}
    return ds.assign({"ramp": schema.label(ramp, "ramps", "ramp"), LEVEL: level, SHARE: share})


def _whole(ds: xr.Dataset, n_labels: int) -> xr.DataArray:
    """Return the table of `_table` for levels that are subtracted whole."""
    table = np.zeros((ds.sizes["group"] + 2, n_labels), np.float32)
    table[-2:] = 1.0
    return xr.DataArray(table, dims=("reference_row", "reference_level"))


def _table(
    ds: xr.Dataset, ramp: xr.DataArray, labels: np.ndarray, n_labels: int, measured: Any
) -> xr.DataArray:
    """Return median levels (group), then the shares of first groups and rises, as rows."""
    n_sample = int(np.clip(LARGEST_SAMPLE / (ramp.size / ramp.sizes["time"]), FEWEST, 32))
    good = good_pixels(ds).transpose(*ramp.dims[2:])
    along = ds.attrs["fast_dim"] == ds.attrs["dispersion_dim"]
    far_from = float(np.nonzero(_reference_pixels(ds))[0].mean()) if along else None
    size = dummy(reference_row=ds.sizes["group"] + 2, reference_level=n_labels)
    return lazy.static_from_sample(
        partial(_rows, labels, measured, far_from),
        ramp,
        good,
        size,
        dims=size.dims,
        n_sample=n_sample,
    )


def _rows(
    labels: np.ndarray,
    measured: Any,
    far_from: float | None,
    ramp: np.ndarray,
    good: np.ndarray,
    size: np.ndarray,
) -> np.ndarray:
    out = np.zeros(size.shape, np.float32)
    levels = measured(ramp, out)[0].astype(np.float64)
    out[:-2] = np.median(levels, axis=0)
    first = ramp[:, 0].astype(np.float32)
    rise = ramp[:, -1].astype(np.float32) - first if ramp.shape[1] > 1 else first
    light = np.where(good, median_in_time(rise), np.nan)
    pixels = dark_pixels(light, labels, size.shape[1], far_from)
    out[-2] = level_shares(levels[:, 0], dark_levels(first, pixels))
    out[-1] = level_shares(levels[:, -1] - levels[:, 0], dark_levels(rise, pixels))
    return out


def _shrunk(measured: Any, ramp: np.ndarray, table: np.ndarray) -> tuple[np.ndarray]:
    """Return the levels with what varies in them shrunk, (time, group, level)."""
    levels, middle = measured(ramp, table)[0], table[:-2]
    apart = levels - middle
    rise = (apart[:, 1:] - apart[:, :1]) * table[-1]
    levels[:, 0] = middle[0] + table[-2] * apart[:, 0]
    levels[:, 1:] = middle[1:] + (table[-2] * apart[:, :1] + rise)
    return (levels,)


def _levels(
    labels: np.ndarray, sigma: float, pedestal: bool, ramp: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray]:
    n_labels = size.shape[-1]
    return (reference_levels(ramp, labels, n_labels, sigma=sigma, pedestal=pedestal),)


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
    n_levels, n_outputs = level.sizes["reference_level"], int(ds.attrs.get("n_outputs", 1))
    by_parity = n_levels == 2 * n_outputs
    for k in range(n_levels):
        if np.any(level.isel(reference_level=k)):
            name = f"output {k // 2}, {('even', 'odd')[k % 2]}" if by_parity else f"output {k}"
            ax.plot(style.hours(ds), level.isel(reference_level=k), lw=0.8, label=name)
    if ax.lines:
        ax.legend(fontsize="small", ncols=4)
        ax.set_title(f"scatter {float(level.std()):.2g} DN", fontsize=9)
    return ax
