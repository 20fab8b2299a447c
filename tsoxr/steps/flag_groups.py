"""Take the first and the last groups of the ramps out of use.

After a reset some detectors need a few frames until a ramp is straight: MIRI's first groups
carry the decaying offset of the reset and the settling of the output, and its last group is
read while the rows are already being reset in pairs. A group that is given up costs little:
the slope of N groups of constant noise has a variance of 12 / (N^3 - N), limited by photons
rather of 1 / N.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, lazy, schema
from tsoxr.kernels.group_flags import FEWEST, drop_groups
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _flags

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flag_groups"]

USABLE = "flag_groups_usable"


@step(kind="ramps", needs=("ramp", "dq_group"), adds=(USABLE,))
def flag_groups(
    ds: xr.Dataset,
    *,
    first: float = 0,
    last: float = 0,
    first_integration: float | None = None,
    integrations: tuple[int, int] | None = None,
) -> xr.Dataset:
    """Flag the first and the last groups of each ramp.

    Two usable groups are left wherever there were two: where more is asked for than an
    integration has, or where saturation has shortened the ramp, the latest of the first
    groups are kept, then the earliest of the last.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` and ``dq_group`` (time, group, y, x). The coordinate
        ``integration``, from 1, tells which integration is which; without it they count
        from the first of ``ds``.
    first, last : int or float
        Groups to flag at the beginning and at the end: a whole number, or, below 1, a
        fraction of the groups of an integration, rounded.
    first_integration : int or float, optional
        As ``first``, for the first integration of the exposure, which follows another kind
        of reset than the others. As ``first`` if not given.
    integrations : (int, int), optional
        First and last integration to which this applies, from 1, both included; all if not
        given. Call the step again for other ranges.

    Returns
    -------
    xarray.Dataset
        As ``ds``; ``dq_group`` gains ``DO_NOT_USE``. No flag is cleared. Adds
        ``flag_groups_usable`` (y, x): usable groups of the pixel after this, median over a
        sample of the integrations.

    Raises
    ------
    ValueError
        For a negative number, one above 1 that is not whole, or a range that is empty.

    Notes
    -----
    The signal left in a group is an additive offset: it changes the slope of all
    integrations alike, which dilutes a transit depth by its share of the light, and makes
    the first integration stand out where that is reset differently.

    Examples
    --------
    >>> import tsoxr
    >>> ramps = tsoxr.simulate("miri-lrs", kind="ramps", n_integrations=3, n_groups=8, seed=1)
    >>> int(ramps.tso.flag_groups(first=2, last=1).flag_groups_usable.max())
    5
    """
    n_group = ds.sizes["group"]
    wanted = [_number(name, value, n_group) for name, value in (("first", first), ("last", last))]
    others = wanted[0]
    early = others if first_integration is None else _number("first_integration", first_integration, n_group)  # fmt: skip
    number = _flags.integration_numbers(ds)
    inside = _inside(number, integrations)
    ends = np.zeros((number.size, 2), np.int16)
    ends[inside] = others, wanted[1]
    ends[inside & (number == 1), 0] = early
    if not ends.any():
        note("no group to flag: data unchanged")
        return ds.assign({USABLE: _flags.usable_groups(ds["dq_group"])})
    most = int(ends.sum(axis=1).max())
    if most > max(n_group - FEWEST, 0):
        note(f"{most} of {n_group} groups were to be flagged: two are left")
    dims = ("time", "group", "y", "x")
    array = xr.DataArray(ends, dims=("time", "end"))
    if lazy.is_lazy(ds["dq_group"]):
        array = array.chunk(time=ds["dq_group"].chunksizes["time"])
    (flags,) = chunks.per_chunk(
        partial(_drop, _flags.UNUSABLE, dq.bits("DO_NOT_USE", dtype="u1")),
        ds["dq_group"].transpose(*dims),
        array,
        dims=dims,
        dtypes=("u1",),
    )
    flags = schema.label(flags.transpose(*ds["dq_group"].dims), "ramps", "dq_group")
    return ds.assign({"dq_group": flags, USABLE: _flags.usable_groups(flags)})


def _drop(unusable: np.uint8, flag: np.uint8, *arrays: np.ndarray) -> tuple[np.ndarray]:
    return (drop_groups(*arrays, unusable, flag),)


def _number(name: str, value: float, n_group: int) -> int:
    """Return a number of groups from a number or a fraction."""
    if not np.isfinite(value) or value < 0 or (value >= 1 and value != int(value)):
        raise ValueError(
            f"flag_groups: {name}={value}; it is a whole number of groups, or a fraction below 1 "
            f"of the {n_group} groups; use {name}=0 for none"
        )
    groups = value * n_group if value < 1 else min(value, n_group)
    return int(np.floor(groups + 0.5))


def _inside(number: np.ndarray, integrations: tuple[int, int] | None) -> np.ndarray:
    if integrations is None:
        return np.ones(number.size, bool)
    low, high = integrations
    if not 1 <= low <= high:
        raise ValueError(
            f"flag_groups: integrations={tuple(integrations)}; the first is 1 or more and not after "
            "the last; use integrations=(1, 1) for the first alone"
        )
    inside: np.ndarray = (number >= low) & (number <= high)
    return inside


@diagnostic(flag_groups)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None, **imshow: Any) -> Axes:
    """Draw how many groups of each pixel are used."""
    return _flags.draw_usable(ds, USABLE, ax, **imshow)
