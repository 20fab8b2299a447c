"""Flag groups from which on charge moves from bright pixels to their neighbours.

The field of the charge that a pixel holds turns arriving charge away to emptier neighbours:
the ramp of the bright pixel bends down, those of its neighbours up, beyond what the
correction of non-linearity, a function of a single pixel, can know. What moves is
proportional to the product of contrast and arriving charge, so it grows with the square of
the time: ramps cut at a level are nearly free of it. Groups are cut alike in all
integrations, since a cut that follows the light of the moment would change the share of
charge that is lost, and with it the depth.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, lazy, schema
from tsoxr.kernels.group_flags import first_above, flag_above
from tsoxr.registry import diagnostic, step
from tsoxr.steps import _flags

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flag_charge_migration"]

FIRST_GROUP = "flag_charge_migration_first_group"
TYPICAL = 0.5
"""Part of the integrations that decides for all: the median ramp."""


@step(kind="ramps", needs=("ramp", "dq_group", "dq_pixel"), adds=(FIRST_GROUP,))
def flag_charge_migration(
    ds: xr.Dataset,
    *,
    threshold: float = 25000.0,
    grow: int = 1,
    same_for_all: bool | float = True,
) -> xr.Dataset:
    """Flag groups with signals that push charge into neighbouring pixels.

    From the group in which a pixel reaches the threshold, the pixel and its neighbours are
    taken out of use to the end of the ramp. The first two usable groups of each ramp stay.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), DN, before or after the bias is
        subtracted, ``dq_group`` and ``dq_pixel``. A bias that is still there is taken from
        ``superbias``, or else extrapolated from the first two groups.
    threshold : float
        Signal above the bias, DN, from which a group is flagged. 25000 DN is in use for
        NIRISS, 40000 electrons. Lower values lose signal to noise, higher ones leave more
        of the effect.
    grow : int
        Neighbours flagged around such a pixel, pixels: a box of 2 grow + 1. They gain what
        the pixel loses.
    same_for_all : bool or float
        One group number of each pixel for all integrations. True: where the median
        integration of a sample reaches the threshold; a number between 0 and 1: where that
        part of them does; False: each integration for itself, where groups near the
        threshold come and go with the light.

    Returns
    -------
    xarray.Dataset
        As ``ds``; ``dq_group`` gains ``CHARGELOSS`` and ``DO_NOT_USE``. No flag is cleared.
        Adds ``flag_charge_migration_first_group`` (y, x): the group from which the pixel is
        beyond the threshold in the median integration, 0 for never; neighbours not
        included.

    Raises
    ------
    ValueError
        For a threshold that is not positive, a ``grow`` that is no whole number, or a
        ``same_for_all`` outside 0 to 1.

    Notes
    -----
    Bad pixels (``DO_NOT_USE`` in ``dq_pixel``) and reference pixels start nothing.

    References
    ----------
    .. [1] Hirata & Choi (2020), PASP 132, 014501.
    .. [2] Plazas et al. (2018), PASP 130, 065004.

    Examples
    --------
    >>> import tsoxr
    >>> ramps = tsoxr.simulate("nirspec-prism", kind="ramps", n_integrations=3, seed=1)
    >>> flagged = ramps.tso.flag_charge_migration(threshold=20000.0)
    >>> int((flagged.flag_charge_migration_first_group > 0).sum()) > 0
    True
    """
    if not threshold > 0:
        raise ValueError(
            f"flag_charge_migration: threshold={threshold}; it is a signal above the bias in DN, "
            "above 0; use float('inf') to flag nothing"
        )
    _flags.check_whole("flag_charge_migration", grow=grow)
    share = _flags.share_of("flag_charge_migration", same_for_all, TYPICAL)
    limit = _limit(ds, float(threshold))
    seen = _first_above(ds["ramp"].isel(time=lazy.sample_indices(ds.sizes["time"])), limit)
    start = _flags.common_start(seen, TYPICAL if share is None else share)
    dims = ("time", "group", "y", "x")
    (flags,) = chunks.per_chunk(
        partial(_flag, int(grow), share is None),
        ds["ramp"].transpose(*dims),
        ds["dq_group"].transpose(*dims),
        limit,
        start,
        dims=dims,
        dtypes=("u1",),
    )
    flags = flags.transpose(*ds["dq_group"].dims)
    first = _flags.first_group(
        start, ds.sizes["group"], "group with too much signal in the median integration (0: none)"
    )
    return ds.assign({"dq_group": schema.label(flags, "ramps", "dq_group"), FIRST_GROUP: first})


def _limit(ds: xr.Dataset, threshold: float) -> xr.DataArray:
    """Return the counts (y, x) from which charge migrates, infinite where no one looks."""
    idle = dq.has_flag(ds["dq_pixel"], "DO_NOT_USE", "REFERENCE_PIXEL").reset_coords(drop=True)
    idle = idle.drop_vars(["y", "x"], errors="ignore")
    limit = (_flags.zero_level(ds).drop_vars(["y", "x"], errors="ignore") + threshold).where(
        ~idle, np.inf
    )
    return limit.transpose("y", "x").astype("f4").drop_attrs()


def _first_above(ramp: xr.DataArray, limit: xr.DataArray) -> xr.DataArray:
    return xr.apply_ufunc(
        first_above, ramp.drop_vars(["y", "x"], errors="ignore"), limit,
        input_core_dims=[["group", "y", "x"], ["y", "x"]], output_core_dims=[["y", "x"]],
        dask="parallelized", output_dtypes=["i2"],
    )  # fmt: skip


def _flag(grow: int, each: bool, *arrays: np.ndarray) -> tuple[np.ndarray]:
    """Flag one chunk; arrays in, a tuple of one array out."""
    ramp, flags, limit, start = arrays
    bits = dq.bits("CHARGELOSS", "DO_NOT_USE", dtype="u1")
    first = first_above(ramp, limit) if each else start[None]
    return (flag_above(flags, first, grow, _flags.UNUSABLE, bits),)


@diagnostic(flag_charge_migration)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None, **imshow: Any) -> Axes:
    """Draw from which group on each pixel has too much signal; others stay blank."""
    label = "first group beyond the threshold"
    return _flags.draw_first_group(ds, FIRST_GROUP, ax, label, "reach the threshold", **imshow)
