"""When each pixel is read: frame clocks, read-out delays, group times, cadence.

Frame clock of the near-infrared detectors, one sample per 10 us: a line takes the pixels
of one output and 12 pixels of overhead. MIRI reads four interleaved outputs, so four
neighbouring columns at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import schema
from tsoxr.errors import SchemaError

__all__ = ["group_time", "integration_interval", "n_outputs", "read_offset", "reference_pixels"]

CLOCK = 1e-5
"""Time of one sample, s."""

LINE_OVERHEAD = 12
"""Samples between lines, near-infrared detectors."""

MIRI_ROW_CLOCKS = {
    "SLITLESSPRISM": 28, "SUB64": 28, "SUB128": 44, "SUB256": 96, "BRIGHTSKY": 162, "FULL": 271,
}  # fmt: skip
"""Samples per row with one sample per pixel; they reproduce the published frame times."""

MIRI_SKIPPED_ROW_CLOCKS = 7
MIRI_ROWS = 1024
BORDER = 4
"""Width of the frame of reference pixels."""


def read_offset(attrs: Mapping[str, Any], ny: int, nx: int) -> xr.DataArray:
    """Return how long after the first pixel of a frame each pixel is read.

    Reset and all reads of a pixel are delayed alike, so this is also the delay of its
    mid-integration time against that of the pixel which is read first.

    Parameters
    ----------
    attrs : mapping
        ``fast_dim``, ``slow_dim``, ``fast_direction``, ``slow_direction``, ``n_outputs``,
        ``instrument``; for MIRI also ``subarray`` and, for subarrays whose row clocks are
        not known, ``frame_time`` (s).
    ny, nx : int
        Size of the subarray, pixels.

    Returns
    -------
    xarray.DataArray
        (y, x), float32, s.

    Raises
    ------
    SchemaError
        When an attribute is missing, or a MIRI subarray is unknown and has no frame time.

    Notes
    -----
    Near-infrared: [i_slow (n_fast / n_outputs + 12) + i_fast] 10 us, indices counted in the
    direction of reading inside one output; neighbouring outputs are read in opposite
    directions. MIRI: [i_slow row_clocks + (i_fast div 4) n_samples] 10 us.

    Examples
    --------
    >>> attrs = dict(fast_dim="y", slow_dim="x", fast_direction=1, slow_direction=1)
    >>> offset = read_offset({**attrs, "instrument": "NIRSPEC", "n_outputs": 1}, 32, 2048)
    >>> round(float(offset[0, -1]), 5)
    0.90068
    """
    wanted = ("fast_dim", "slow_dim", "fast_direction", "slow_direction", "instrument")
    missing = [name for name in wanted if name not in attrs]
    if missing:
        raise SchemaError(
            f"read_offset: attributes {missing} are missing; open the data with tsoxr.open"
        )
    sizes = {"y": ny, "x": nx}
    fast, slow = str(attrs["fast_dim"]), str(attrs["slow_dim"])
    i_fast = _reading_order(sizes[fast], attrs["fast_direction"])
    i_slow = _reading_order(sizes[slow], attrs["slow_direction"])
    if attrs["instrument"] == "MIRI":
        line = _miri_row_clocks(attrs, sizes[slow])
        within = (i_fast // 4) * int(attrs.get("n_samples", 1))
    else:
        width = -(-sizes[fast] // int(attrs.get("n_outputs", 1)))
        output, within = np.divmod(i_fast, width)
        within = np.where(output % 2 == 1, width - 1 - within, within)
        line = width + LINE_OVERHEAD
    delay = (i_slow[:, None] * line + within[None, :]) * CLOCK
    array = xr.DataArray(delay.astype("float32"), dims=(slow, fast)).transpose("y", "x")
    return schema.label(array, "ramps", "read_offset")


def _reading_order(size: int, direction: Any) -> np.ndarray:
    index = np.arange(size)
    return index if int(direction) > 0 else index[::-1]


def _miri_row_clocks(attrs: Mapping[str, Any], n_rows: int) -> float:
    known = MIRI_ROW_CLOCKS.get(str(attrs.get("subarray", "")))
    if known is not None and int(attrs.get("n_samples", 1)) == 1:
        return known
    if "frame_time" not in attrs:
        raise SchemaError(
            f"read_offset: row clocks of MIRI subarray {attrs.get('subarray')!r} are not known and there "
            "is no 'frame_time' to derive them from; add the keyword TFRAME"
        )
    clocks = float(attrs["frame_time"]) / CLOCK
    return (clocks - (MIRI_ROWS - n_rows) * MIRI_SKIPPED_ROW_CLOCKS) / n_rows


def n_outputs(header: Mapping[str, Any], n_fast: int, n_slow: int) -> int:
    """Return the number of amplifiers: NOUTPUTS, or what explains the frame time TFRAME.

    Examples
    --------
    >>> n_outputs({"INSTRUME": "NIRCAM", "TFRAME": 1.34669}, 2048, 256)
    4
    """
    if header.get("NOUTPUTS"):
        return int(header["NOUTPUTS"])
    if str(header.get("INSTRUME", "")).upper() == "MIRI":
        return 4
    clocks = float(header.get("TFRAME") or 0) / CLOCK
    four = (n_fast / 4 + LINE_OVERHEAD) * (n_slow + 1) + 1
    one = (n_fast + LINE_OVERHEAD) * (n_slow + 2)
    return 4 if abs(clocks - four) < abs(clocks - one) and clocks > 0 else 1


def group_time(
    n_groups: int, *, frame_time: float, n_frames: int = 1, group_gap: int = 0, dropped: int = 0
) -> xr.DataArray:
    """Return the mean time of the frames of each group since the pixel's reset.

    Parameters
    ----------
    n_groups : int
        Groups of an integration.
    frame_time : float
        Time of one frame, s.
    n_frames, group_gap : int
        Frames averaged into a group, and dropped between groups.
    dropped : int
        Frames dropped before the first group.

    Returns
    -------
    xarray.DataArray
        (group), float64, s.

    Notes
    -----
    The reset runs through the pixels with the clock of a frame, so frame k (from 1) is read
    k frame times after the reset of the same pixel.

    Examples
    --------
    >>> group_time(2, frame_time=0.9, n_frames=4, group_gap=1).values
    array([2.25, 6.75])
    """
    first = dropped + np.arange(n_groups) * (n_frames + group_gap)
    values = (first + (n_frames + 1) / 2) * frame_time
    return schema.label(xr.DataArray(values, dims="group"), "ramps", "group_time")


def integration_interval(header: Mapping[str, Any]) -> float | None:
    """Return the time from one integration to the next, s; ``None`` if the header cannot tell.

    One frame for the reset, then the frames of all groups. Without TFRAME the effective
    integration time stands in, which leaves out the reset.
    """
    frame, n_groups = header.get("TFRAME"), header.get("NGROUPS")
    if frame and n_groups:
        n_frames, gap = int(header.get("NFRAMES") or 1), int(header.get("GROUPGAP") or 0)
        dropped = int(header.get("DRPFRMS1") or 0)
        return float(frame) * (1 + dropped + n_frames + (int(n_groups) - 1) * (n_frames + gap))
    return float(header["EFFINTTM"]) if header.get("EFFINTTM") else None


def reference_pixels(attrs: Mapping[str, Any], ny: int, nx: int) -> np.ndarray:
    """Return where the subarray shows the detector's frame of reference pixels.

    Near-infrared detectors have four such pixels on every side, MIRI in its first and last
    four columns.

    Parameters
    ----------
    attrs : mapping
        ``instrument``, ``x_start`` and ``y_start`` (1-based); without the latter two no
        pixel is taken for a reference pixel.
    ny, nx : int
        Size of the subarray, pixels.

    Returns
    -------
    numpy.ndarray
        (y, x), bool.

    Examples
    --------
    >>> attrs = {"instrument": "NIRSPEC", "x_start": 1, "y_start": 959}
    >>> int(reference_pixels(attrs, 32, 2048).sum())
    256
    """
    if "x_start" not in attrs or "y_start" not in attrs:
        return np.zeros((ny, nx), bool)
    columns = np.arange(nx) + int(attrs["x_start"])
    rows = np.arange(ny) + int(attrs["y_start"])
    if attrs.get("instrument") == "MIRI":
        return np.broadcast_to((columns <= BORDER) | (columns > 1032 - BORDER), (ny, nx)).copy()
    at_side = (columns <= BORDER) | (columns > 2048 - BORDER)
    at_end = (rows <= BORDER) | (rows > 2048 - BORDER)
    return at_end[:, None] | at_side[None, :]
