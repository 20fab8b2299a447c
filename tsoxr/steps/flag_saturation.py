"""Flag the groups in which a pixel has saturated.

Near full well a pixel stops responding, and the charge that it cannot hold spills to its
neighbours; what is left of a ramp after that is useless, and the neighbours are suspect.
The limit refers to raw counts, so this comes before the bias is subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, lazy, modes, schema
from tsoxr.errors import ModeError
from tsoxr.kernels.saturation import flag_saturated, grown_start, saturation_start
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import _flags, _references

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["flag_saturation"]

CONVERTER_LIMIT = 65535.0
"""Largest number that the 16-bit converter can give, DN."""

LIMIT_OF_CONSTANT = 0.9
"""Part of the detector's typical saturation: wells differ by a few per cent from pixel to pixel."""

PERSISTENT = 0.1
"""A pixel saturates persistently if it does so in this part of the integrations."""

MARGIN = 5.0
"""How close to the limit, in units of the photon noise there, a pixel may come in the sample
before the group is given up in all integrations."""

GROUP_DIMS = ("group", "y", "x")
FIRST_GROUP = "flag_saturation_first_group"


@step(kind="ramps", needs=("ramp", "dq_group", "dq_pixel"), adds=(FIRST_GROUP,))
def flag_saturation(
    ds: xr.Dataset,
    *,
    limit: float | None = None,
    grow: int = 1,
    columns: bool = False,
    group_before: bool = False,
    same_for_all: bool | float = False,
) -> xr.Dataset:
    r"""Flag saturated groups, all later ones, and the neighbours.

    Once a pixel reaches the limit, that group and all later ones are flagged, in this pixel
    and in a box around it. A pixel that saturates in some integrations only is flagged in
    those, unless ``same_for_all`` gives up the same groups of all integrations; with
    ``columns`` this goes for a whole wavelength together, so that none mixes pixels of
    different groups.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps with ``ramp`` (time, group, y, x), raw counts in DN (bias included), and
        ``dq_group``. ``saturation`` (y, x), DN, is used if it is there; otherwise the
        typical constant of the detector.
    limit : float, optional
        Saturated from this fraction of the saturation level on. If not given, 1 for the
        level of a reference and 0.9 for the typical constant, as wells differ by a few per
        cent from pixel to pixel.
    grow : int
        Neighbours flagged around each saturated pixel, pixels: a box of 2 grow + 1.
    columns : bool
        Flag the whole line of one wavelength (along ``spatial_dim``) from the group in
        which a good pixel on it first saturates in a tenth of the integrations or more.
    group_before : bool
        Take also the last group before saturation out of use, where two others remain.
    same_for_all : bool or float
        One group number of each pixel for all integrations, from a sample of them. True
        gives a group up where a tenth of the integrations come within five times the photon
        noise of the limit, so that practically none reaches it in a group that is kept; a
        number between 0 and 1 where that part of the integrations reaches the limit. A hit
        that saturates a pixel still shortens that ramp.

    Returns
    -------
    xarray.Dataset
        As ``ds``; ``dq_group`` gains ``SATURATED``, ``DO_NOT_USE`` on groups that are not
        saturated as a whole (see Notes, and ``group_before``), and ``AD_FLOOR`` with
        ``DO_NOT_USE`` where the converter gave 0. No flag is cleared. Adds
        ``flag_saturation_first_group`` (y, x): the number of the group in which the pixel
        first saturates in a tenth of a sample of the integrations, 0 for never.

    Raises
    ------
    ValueError
        For a limit that is not positive, a negative ``grow``, or a ``same_for_all`` outside
        0 to 1.

    Notes
    -----
    A group that averages n frames is below the limit while its last frames are above. With
    frame time :math:`t_f` and group interval :math:`t_g`, the last frame of group k lies
    :math:`\frac{n-1}{2} \frac{t_f}{t_g} (D_k - D_{k-1})` above the mean. Where that reaches
    the limit, the group, which is the one before the first saturated, is not used. In the
    first group the rise is :math:`\frac{n-1}{n+1}` of the counts above the bias; with an
    unknown bias the next group stands in, which may saturate and make the rise too small.
    """
    if (limit is not None and not limit > 0) or grow < 0:
        raise ValueError(
            f"flag_saturation: limit={limit}, grow={grow}; the limit is a positive fraction "
            "and grow a number of pixels from 0"
        )
    share = _flags.share_of("flag_saturation", same_for_all, PERSISTENT)
    threshold = _threshold(ds, limit)
    search = (_zero(ds), _frames_ahead(ds), bool(group_before))
    persistent = _sampled_start(ds, threshold, *search)
    common = None
    if share is not None:
        lower = threshold - _margin(ds, threshold) if same_for_all is True else threshold
        common = _sampled_start(ds, lower, *search, share=share)
    start = _static_start(ds, persistent, common, grow=int(grow), columns=columns)
    dims = ("time", *GROUP_DIMS)
    (flags,) = chunks.per_chunk(
        _Flag(search[1], search[2], int(grow)),
        ds["ramp"].transpose(*dims),
        ds["dq_group"].transpose(*dims),
        threshold,
        search[0],
        start.transpose("which", "y", "x"),
        dims=dims,
        dtypes=("u1",),
    )
    flags = flags.transpose(*ds["dq_group"].dims)
    first = _flags.first_group(
        persistent.isel(which=0, drop=True),
        ds.sizes["group"],
        "group in which the pixel saturates (0: never)",
    )
    return ds.assign({"dq_group": schema.label(flags, "ramps", "dq_group"), FIRST_GROUP: first})


@dataclass(frozen=True)
class _Flag:
    """Flag one chunk; arrays in, a tuple of one array out."""

    ahead: np.ndarray
    before: bool
    grow: int

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray]:
        names = (("SATURATED",), ("DO_NOT_USE",), ("AD_FLOOR", "DO_NOT_USE"))
        bits = np.array([dq.bits(*each, dtype="u1") for each in names])
        return (flag_saturated(*arrays, self.ahead, self.before, self.grow, bits),)


def _frames_ahead(ds: xr.Dataset) -> np.ndarray:
    """Return the rise from the mean of a group to its last frame, see `saturation_start`."""
    n = int(ds.attrs.get("n_frames", 1))
    if n < 2:
        return np.zeros(2)
    in_group = n + int(ds.attrs.get("group_gap", 0))
    return np.array([(n - 1) / (n + 1), 0.5 * (n - 1) / in_group])


def _zero(ds: xr.Dataset) -> xr.DataArray:
    """Return the counts without light (y, x), NaN where unknown; one-frame groups need none."""
    if int(ds.attrs.get("n_frames", 1)) > 1 and ("superbias" in ds or "subtract_bias_level" in ds):
        return _flags.zero_level(ds)
    return xr.DataArray(np.full((ds.sizes["y"], ds.sizes["x"]), np.nan, "f4"), dims=("y", "x"))


def _margin(ds: xr.Dataset, threshold: xr.DataArray) -> xr.DataArray:
    """Return several times the photon noise at the limit, (y, x) DN."""
    gain: Any = ds["gain"].drop_attrs().reset_coords(drop=True) if "gain" in ds else None
    if gain is None:
        try:
            gain = modes.detector(str(ds.attrs.get("detector", "none"))).gain
        except ModeError:
            gain = 1.0
    raw = threshold + _bias_taken_off(ds)  # the bias makes the margin a little too wide
    margin = MARGIN * np.sqrt(raw.clip(min=0.0) / gain)
    return margin.fillna(0.0).transpose("y", "x").astype("f4")


def _threshold(ds: xr.Dataset, limit: float | None) -> xr.DataArray:
    """Return the counts (y, x) from which a pixel is saturated."""
    if "saturation" in ds:
        _references.check("flag_saturation", ds, "saturation", ("y", "x"))
        level = ds["saturation"]
        fraction = derived(limit=1.0) if limit is None else limit
    else:
        level = xr.DataArray(_typical_level(str(ds.attrs.get("detector", "none"))))
        fraction = derived(limit=LIMIT_OF_CONSTANT) if limit is None else limit
    unchecked = dq.has_flag(ds["dq_pixel"], "NO_SAT_CHECK", "REFERENCE_PIXEL")
    counts = (fraction * level - _bias_taken_off(ds)).where(~unchecked).fillna(CONVERTER_LIMIT)
    counts = counts.clip(max=CONVERTER_LIMIT).drop_attrs().reset_coords(drop=True)
    return counts.transpose("y", "x").astype("f4")


def _bias_taken_off(ds: xr.Dataset) -> xr.DataArray | float:
    """Return the bias that is no longer in the counts: limits are those of raw counts."""
    return ds["subtract_bias_level"].drop_attrs() if "subtract_bias_level" in ds else 0.0


def _typical_level(detector: str) -> float:
    try:
        level = modes.detector(detector).saturation
    except ModeError:
        note(
            f"no saturation reference and no constant for detector {detector}: limit of the converter used"
        )
        return CONVERTER_LIMIT
    note(f"no saturation reference: the typical {level:.0f} DN of {detector} used for all pixels")
    return level


def _sampled_start(
    ds: xr.Dataset,
    threshold: xr.DataArray,
    zero: xr.DataArray,
    ahead: np.ndarray,
    before: bool,
    *,
    share: float = PERSISTENT,
) -> xr.DataArray:
    """Return the groups (which, y, x) from which a pixel is saturated, and suspect, in a sample."""
    chosen = lazy.sample_indices(ds.sizes["time"])
    pixels = ["y", "x"]
    whole = chosen.size == ds.sizes["time"]
    start = xr.apply_ufunc(
        saturation_start,
        ds["ramp"] if whole else ds["ramp"].isel(time=chosen), threshold, zero,
        kwargs={"ahead": ahead, "before": before},
        input_core_dims=[GROUP_DIMS, pixels, pixels], output_core_dims=[["which", *pixels]],
        dask="parallelized", output_dtypes=["i2"],
        dask_gufunc_kwargs={"output_sizes": {"which": 2}},
    )  # fmt: skip
    return _flags.common_start(start, share)


def _static_start(
    ds: xr.Dataset,
    persistent: xr.DataArray,
    common: xr.DataArray | None,
    *,
    grow: int,
    columns: bool,
) -> xr.DataArray:
    """Return the groups (which, y, x) from which a pixel is flagged in every integration."""
    known = persistent if common is None else common
    start = xr.full_like(persistent, ds.sizes["group"])
    if common is not None:
        start = xr.apply_ufunc(
            grown_start, common, kwargs={"grow": grow}, dask="parallelized",
            input_core_dims=[["which", "y", "x"]], output_core_dims=[["which", "y", "x"]],
            output_dtypes=["i2"],
        )  # fmt: skip
    if columns:
        good = ~dq.has_flag(ds["dq_pixel"], "DO_NOT_USE", "REFERENCE_PIXEL").reset_coords(drop=True)
        good = good.drop_vars(["y", "x"], errors="ignore")
        line = known.where(good, ds.sizes["group"]).min(ds.attrs["spatial_dim"])
        start = np.minimum(start, line).astype("i2")
    return start.transpose("which", "y", "x")


@diagnostic(flag_saturation)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None, **imshow: Any) -> Axes:
    """Draw in which group each pixel saturates; pixels that never do stay blank."""
    return _flags.draw_first_group(
        ds, FIRST_GROUP, ax, "first saturated group", "saturate", **imshow
    )
