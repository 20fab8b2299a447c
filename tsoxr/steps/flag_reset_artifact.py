"""Flag the line of raised signal that a reset leaves behind and that moves with time.

At the start of exposures with NIRSpec and NIRISS a line of the detector, along the slow
axis, is raised after each reset, and decays within the integration. In the next integration
it is the line next to it, until it has left the subarray. In a light curve it is a bump that
lasts as long as it takes to cross the aperture; in a search for hits it is a row of them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, lazy, modes, schema
from tsoxr.errors import ModeError
from tsoxr.kernels import moving_line as kernels
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _flags

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flag_reset_artifact"]

LINE = "flag_reset_artifact_line"
HEIGHT = "flag_reset_artifact_height"
LEVEL = "flag_reset_artifact_level"

SEARCHED = 128
"""Integrations in which the line may enter the subarray; then it takes one for each line."""

MOST_PIXELS = 512
"""Pixels of a line that are looked at: their level is known to 1/20 of a pixel's noise."""

MOST_GROUPS = 20
"""Groups whose level is measured; the line has decayed after them."""

READ_NOISE = 5.0
"""Read noise where nothing tells it, DN."""


@step(kind="ramps", needs=("ramp", "dq_group", "dq_pixel"), adds=(LINE,))
def flag_reset_artifact(
    ds: xr.Dataset, *, last: int | None = None, groups: int | None = None, grow: int = 1
) -> xr.Dataset:
    r"""Flag the raised line that moves by one line each integration.

    The line is found in the data, as is its decay: the groups flagged are those in which
    it is raised by more than a fifth of the read noise. Where fewer than two groups would
    remain, the whole line of that integration is given up; its pixels then have no rate,
    and an extraction replaces their light.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN, ``dq_group`` and ``dq_pixel``. The
        coordinate ``integration``, from 1, tells of integrations that are left out.
    last : int, optional
        Last integration with the artefact, from 1: the line then is line
        ``last + 1 - integration`` along ``fast_dim``, from 0, as published for NIRSpec
        (68 for PRISM, 81 for medium, 62 and 58 for high resolution on NRS1 and NRS2) and
        SUBSTRIP256 of NIRISS (256). 0 where the detector has none. If not given, the path is
        searched for in both directions.
    groups : int, optional
        First groups to flag. If not given, as the height of the line tells.
    grow : int
        Lines flagged on either side.

    Returns
    -------
    xarray.Dataset
        As ``ds``; ``dq_group`` gains ``DO_NOT_USE``. No flag is cleared. Adds
        ``flag_reset_artifact_line`` (time,): the position of the line, -1 where there is
        none; ``flag_reset_artifact_height`` (group,), DN: height of the line in each group
        above the last group; ``flag_reset_artifact_level`` (early_integration, fast_dim),
        DN: the levels in which it was looked for.

    Raises
    ------
    ValueError
        For a negative number, or more groups than there are.

    Notes
    -----
    Only the first integrations are read for the search: 128, and one for each line. The path
    must stand out by 8 standard deviations; with m crossings, n pixels in a line and the
    noise s of the difference of two groups, a line of height
    :math:`10\,s / \sqrt{n m}` does.

    Examples
    --------
    >>> import tsoxr
    >>> ramps = tsoxr.simulate("nirspec-prism", kind="ramps", n_integrations=60, seed=1,
    ...                        noise=("read", "bias", "reset_artifact"))
    >>> flagged = ramps.tso.flag_reset_artifact()
    >>> flagged.flag_reset_artifact_line.values[40:44]
    array([28, 27, 26, 25], dtype=int16)
    """
    _flags.check_whole("flag_reset_artifact", grow=grow, last=last or 0, groups=groups or 0)
    n_group = ds.sizes["group"]
    if groups is not None and groups > n_group:
        raise ValueError(
            f"flag_reset_artifact: groups={groups}; the integrations have {n_group}; "
            f"use groups={n_group} to give up the whole line"
        )
    why = _idle(ds, last)
    if why:
        note(f"{why}: data unchanged")
        return ds.assign(
            {LINE: _line(xr.DataArray(np.full(ds.sizes["time"], -1, "i2"), dims="time"))}
        )
    number = _flags.integration_numbers(ds)
    chosen = np.unique([*range(min(n_group - 1, MOST_GROUPS)), n_group - 1])
    levels = _levels(ds, chosen)
    found = _search(ds, levels, number, chosen, last=last, groups=groups)
    if lazy.is_lazy(levels):  # the search computes its own; for the picture one group will do
        levels = _levels(ds, chosen[[0, -1]])
    fast, slow = ds.attrs["fast_dim"], ds.attrs["slow_dim"]
    dims = ("time", "group", fast, slow)
    numbers = xr.DataArray(number, dims="time")
    if lazy.is_lazy(ds["dq_group"]):
        numbers = numbers.chunk(time=ds["dq_group"].chunksizes["time"])
    (flags,) = chunks.per_chunk(
        partial(_flag, int(grow)), ds["dq_group"].transpose(*dims), numbers, found,
        dims=dims, dtypes=("u1",),
    )  # fmt: skip
    flags = flags.transpose(*ds["dq_group"].dims)
    (line,) = chunks.per_chunk(
        partial(_line_of, ds.sizes[fast]), numbers, found, dims=("time",), dtypes=("i2",)
    )
    return ds.assign(
        {
            "dq_group": schema.label(flags, "ramps", "dq_group"),
            LINE: _line(line),
            HEIGHT: _heights(found, chosen, n_group),
            LEVEL: _shown(levels, fast),
        }
    )


def _idle(ds: xr.Dataset, last: int | None) -> str:
    """Return why there is nothing to do, an empty text otherwise."""
    if last == 0:
        return "no moving line in this mode"
    if ds.sizes["group"] < 2:
        return "a line that decays shows in two groups or more"
    if last is None and ds.sizes["time"] < kernels.SHORTEST:
        return f"{ds.sizes['time']} integrations are too few to see a line move"
    return ""


def _levels(ds: xr.Dataset, chosen: np.ndarray) -> xr.DataArray:
    """Return the level of each line (early_integration, chosen, fast_dim), DN."""
    fast, slow = ds.attrs["fast_dim"], ds.attrs["slow_dim"]
    stride = slice(None, None, max(ds.sizes[slow] // MOST_PIXELS, 1))
    early = slice(0, SEARCHED + ds.sizes[fast])
    ramp = ds["ramp"].isel({slow: stride, "time": early}).reset_coords(drop=True)
    bad = dq.has_flag(ds["dq_pixel"], "DO_NOT_USE", "REFERENCE_PIXEL", "HOT").reset_coords(
        drop=True
    )
    dims = ("time", "group", fast, slow)
    ramp = ramp.drop_vars([d for d in dims if d in ramp.coords]).transpose(*dims)
    good = ~bad.isel({slow: stride}).drop_vars([fast, slow], errors="ignore").transpose(fast, slow)
    levels = xr.apply_ufunc(
        kernels.line_levels, ramp, good,
        kwargs={"groups": chosen},
        input_core_dims=[["group", fast, slow], [fast, slow]],
        output_core_dims=[["chosen", fast]],
        dask="parallelized", output_dtypes=["f4"],
        dask_gufunc_kwargs={"output_sizes": {"chosen": chosen.size}},
    )  # fmt: skip
    return levels.rename(time="early_integration")


def _search(
    ds: xr.Dataset,
    levels: xr.DataArray,
    number: np.ndarray,
    chosen: np.ndarray,
    *,
    last: int | None,
    groups: int | None,
) -> xr.DataArray:
    """Return what is known of the line (term,): `kernels.TERMS`, and its height in the chosen groups."""
    fast = ds.attrs["fast_dim"]
    early = levels.sizes["early_integration"]
    known = kernels.Search(number[:early], ds.sizes["group"], last, groups)
    terms = xr.DataArray(np.zeros(len(kernels.TERMS) + chosen.size, "f4"), dims="term")
    noise = ds["read_noise"] if "read_noise" in ds else xr.DataArray(_typical_noise(ds))
    levels = levels.transpose("early_integration", "chosen", fast)
    return lazy.static_from_sample(
        known, levels, noise.reset_coords(drop=True), terms, dims=("term",)
    )


def _typical_noise(ds: xr.Dataset) -> float:
    try:
        return modes.detector(str(ds.attrs.get("detector", "none"))).read_noise
    except ModeError:
        return READ_NOISE


def _flag(grow: int, *arrays: np.ndarray) -> tuple[np.ndarray]:
    """Flag one chunk; arrays in, a tuple of one array out."""
    flags, number, found = arrays
    line, n_groups = _path(number, found, flags.shape[2])
    bit = dq.bits("DO_NOT_USE", dtype="u1")
    return (kernels.flag_lines(flags, line, n_groups, grow, bit),)


def _line_of(n_line: int, *arrays: np.ndarray) -> tuple[np.ndarray]:
    line, n_groups = _path(*arrays, n_line)
    seen = (n_groups > 0) & (line >= 0) & (line < n_line)
    return (np.where(seen, line, -1).astype("i2"),)


def _path(number: np.ndarray, found: np.ndarray, n_line: int) -> tuple[np.ndarray, int]:
    """Return the line of each integration, far outside where it has ended, and the groups."""
    origin, direction, n_groups, end = (int(v) for v in found[: len(kernels.TERMS)])
    return np.where(number <= end, origin + direction * number, -2 * n_line), n_groups


def _line(line: xr.DataArray) -> xr.DataArray:
    return line.assign_attrs(long_name="line of the reset artefact (-1: none)", units="pix")


def _heights(found: xr.DataArray, chosen: np.ndarray, n_group: int) -> xr.DataArray:
    """Return the height of the line in each group, NaN where it was not measured."""
    height = found.isel(term=slice(len(kernels.TERMS), None)).rename(term="group")
    gap = n_group - chosen.size
    if gap:
        parts = [height[:-1], xr.full_like(height[:1], np.nan).isel(group=[0] * gap), height[-1:]]
        height = xr.concat(parts, "group")
        height = height.chunk(group=-1) if lazy.is_lazy(height) else height
    height.attrs = {"long_name": "height of the reset artefact above the last group", "units": "DN"}
    return height


def _shown(levels: xr.DataArray, fast: str) -> xr.DataArray:
    """Return what the first group has above the last, without what stays, for the plot."""
    first = levels.isel(chosen=0, drop=True).transpose("early_integration", fast)
    if lazy.is_lazy(first):
        first = first.chunk({"early_integration": -1})
    dims = ["early_integration", fast]
    shown = xr.apply_ufunc(
        kernels.residual, first,
        input_core_dims=[dims], output_core_dims=[dims], dask="parallelized", output_dtypes=["f8"],
    ).astype("f4")  # fmt: skip
    shown.attrs = {"long_name": "level of the line in the first group", "units": "DN"}
    return shown


@diagnostic(flag_reset_artifact)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None, **imshow: Any) -> Axes:
    """Draw the level of each line in the early integrations, and the path of the artefact."""
    ax = style.axes(ax, size=(8.0, 3.4))
    line = ds[LINE].compute().values
    on = line >= 0
    if LEVEL in ds:
        level = ds[LEVEL].compute().transpose(..., "early_integration")
        n_line, n_early = level.shape
        extent = (-0.5, n_early - 0.5, -0.5, n_line - 0.5)
        limits = style.robust_limits(level.values, 2.0, 98.0)
        label = "level of the line [DN]"
        style.image(ax, level, extent=extent, label=label, limits=limits, signed=True, **imshow)
        height = float(ds[HEIGHT].compute()[0]) if HEIGHT in ds else np.nan
        where = np.flatnonzero(on)
        ax.plot(where, line[on] + 2.0, lw=0.8, color=style.COLORS["model"])
        ax.plot(where, line[on] - 2.0, lw=0.8, color=style.COLORS["model"])
        ax.set(xlim=extent[:2], ylim=extent[2:])
    text = f"raised by {height:.1f} DN in {on.sum()} integrations" if on.any() else "no moving line"
    ax.set(xlabel="integration of the data", ylabel="line along the fast axis [pix]", title=text)
    return ax
