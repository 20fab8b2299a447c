"""Cut references to the pixels and the groups of an exposure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from tsoxr.errors import SchemaError
from tsoxr.io.reference import ReferenceFile, extent, read_part

__all__ = ["check_covers", "check_groups", "cut"]


def check_covers(
    file: ReferenceFile, attrs: Mapping[str, Any], shape: tuple[int, int], origin: tuple[int, int]
) -> tuple[slice, slice]:
    """Return which rows and columns of a reference an exposure's pixels are.

    Parameters
    ----------
    file : ReferenceFile
        From `describe_reference`.
    attrs : mapping
        Attributes of the exposure: ``detector``, ``x_start``, ``y_start``.
    shape : (ny, nx)
        Size of the exposure's image.
    origin : (y, x)
        Place of its first pixel in the subarray, 0-based.

    Raises
    ------
    SchemaError
        For another detector, or a reference that does not cover the pixels.
    """
    detector, own = (
        str(attrs.get("detector", "")),
        str(file.primary.get("DETECTOR", "")).strip().upper(),
    )
    if own not in ("", "ANY", "N/A", detector):
        raise SchemaError(
            f"{file.name}: this {file.reftype} is of detector {own}, the exposure of {detector}; give the "
            f"file of {detector}"
        )
    size = extent(file)
    starts = (int(attrs.get("y_start", 1)) + origin[0], int(attrs.get("x_start", 1)) + origin[1])
    parts = []
    for axis, first, n, begin, whole in zip("yx", starts, shape, file.start, size, strict=True):
        low = first - begin
        if low < 0 or low + n > whole:
            raise SchemaError(
                f"{file.name}: this {file.reftype} covers {axis} = {begin} to {begin + whole - 1} of the "
                f"detector ({file.primary.get('SUBARRAY')!r}), the exposure {first} to {first + n - 1} "
                f"({attrs.get('subarray')!r}); give a file that covers it"
            )
        parts.append(slice(low, low + n))
    return parts[0], parts[1]


def check_groups(file: ReferenceFile, attrs: Mapping[str, Any]) -> list[range]:
    """Return which frames of a dark or a reset make each group of an exposure.

    None for other types. A reset may be shorter than the exposure: what follows has no signal
    of it.

    Raises
    ------
    SchemaError
        For a dark that has too few groups, or groups of several frames that differ from
        those of the exposure.
    """
    if file.reftype not in ("dark", "reset") or "n_groups" not in attrs:
        return []
    n_groups = int(attrs["n_groups"])
    n_frames, gap = int(attrs.get("n_frames", 1)), int(attrs.get("group_gap", 0))
    own = int(file.primary.get("NFRAMES") or 1), int(file.primary.get("GROUPGAP") or 0)
    if own == (n_frames, gap):
        n_frames, gap = 1, 0
    elif own != (1, 0):
        raise SchemaError(
            f"{file.name}: its groups average {own[0]} frames with {own[1]} dropped, those of the exposure "
            f"{n_frames} with {gap}; give a {file.reftype} of single frames"
        )
    frames = [range(g * (n_frames + gap), g * (n_frames + gap) + n_frames) for g in range(n_groups)]
    present = file.arrays["SCI"].shape[-3]
    if file.reftype == "dark" and frames[-1].stop > present:
        raise SchemaError(
            f"{file.name}: this dark has {present} groups, the exposure's {n_groups} groups need "
            f"{frames[-1].stop}; give a longer dark, or leave it out"
        )
    return frames


def cut(
    file: ReferenceFile, attrs: Mapping[str, Any], shape: tuple[int, int], origin: tuple[int, int]
) -> xr.Dataset:
    """Return the part of a reference that an exposure's pixels and groups need.

    Parameters
    ----------
    file : ReferenceFile
        From `describe_reference`.
    attrs : mapping
        Attributes of the exposure: ``detector``, ``x_start``, ``y_start``, ``n_groups``, ...
    shape : (ny, nx)
        Size of the exposure's image.
    origin : (y, x)
        Place of its first pixel in the subarray, 0-based.

    Returns
    -------
    xarray.Dataset
        As `read_reference`, (..., ny, nx). A dark or reset of single frames is averaged
        to the exposure's groups; a reset is 0 beyond its end.

    Raises
    ------
    SchemaError
        As `check_covers` and `check_groups`.
    """
    part = read_part(file, *check_covers(file, attrs, shape, origin))
    frames = check_groups(file, attrs)
    if not frames:
        return part
    whole = part[file.reftype].variable
    at = whole.dims.index("group")
    groups = [whole.isel(group=slice(f.start, f.stop)).values for f in frames]
    means = [g.sum(axis=at) / np.float32(len(f)) for g, f in zip(groups, frames, strict=True)]
    values = np.stack(means, axis=at).astype(np.float32)
    return part.drop_vars(file.reftype).assign(
        {file.reftype: xr.Variable(whole.dims, values, whole.attrs)}
    )
