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
from tsoxr.kernels import readout_clock
from tsoxr.kernels.readout_clock import CLOCK, LINE_OVERHEAD

__all__ = [
    "compared_with_header",
    "frame_time",
    "group_time",
    "integration_interval",
    "n_outputs",
    "read_offset",
    "reference_pixels",
]

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
        ticks = readout_clock.interleaved_ticks(
            i_fast, i_slow, _miri_row_clocks(attrs, sizes[slow]), int(attrs.get("n_samples", 1))
        )
    else:
        ticks = readout_clock.near_infrared_ticks(i_fast, i_slow, int(attrs.get("n_outputs", 1)))
    delay = (ticks * CLOCK).astype("float32")
    array = xr.DataArray(delay, dims=(slow, fast)).transpose("y", "x")
    return schema.label(array, "ramps", "read_offset")


def compared_with_header(attrs: Mapping[str, Any], ny: int, nx: int) -> dict[str, float]:
    """Return the attribute that tells whether the clocks explain the header's frame time, s.

    ``frame_time_difference`` is the keyword TFRAME less the frame time of the clocks: zero
    where the formula that `read_offset` goes by holds. Empty where one of them is unknown.
    """
    made = frame_time(attrs, ny, nx)
    if made is None or "frame_time" not in attrs:
        return {}
    return {"frame_time_difference": round(float(attrs["frame_time"]) - made, 9)}


def frame_time(attrs: Mapping[str, Any], ny: int, nx: int) -> float | None:
    """Return the time of one frame as the clocks of the read-out give it, s.

    Parameters
    ----------
    attrs : mapping
        As for `read_offset`.
    ny, nx : int
        Size of the subarray, pixels.

    Returns
    -------
    float or None
        ``None`` for a subarray of MIRI, or a number of samples, whose clocks are not known.

    Examples
    --------
    >>> attrs = dict(fast_dim="y", instrument="NIRSPEC", n_outputs=1)
    >>> round(frame_time(attrs, 32, 512), 5)
    0.22616
    """
    if attrs["instrument"] == "MIRI":
        row = readout_clock.MIRI_ROW_CLOCKS.get(str(attrs.get("subarray", "")))
        if row is None or int(attrs.get("n_samples", 1)) != 1:
            return None
        return readout_clock.miri_frame_clocks(ny, row) * CLOCK
    n_fast, n_slow = (ny, nx) if attrs["fast_dim"] == "y" else (nx, ny)
    outputs = int(attrs.get("n_outputs", 1))
    return readout_clock.near_infrared_frame_clocks(n_fast, n_slow, outputs) * CLOCK


def _reading_order(size: int, direction: Any) -> np.ndarray:
    index = np.arange(size)
    return index if int(direction) > 0 else index[::-1]


def _miri_row_clocks(attrs: Mapping[str, Any], n_rows: int) -> float:
    known = readout_clock.MIRI_ROW_CLOCKS.get(str(attrs.get("subarray", "")))
    if known is not None and int(attrs.get("n_samples", 1)) == 1:
        return known
    if "frame_time" not in attrs:
        raise SchemaError(
            f"read_offset: row clocks of MIRI subarray {attrs.get('subarray')!r} are not known and there "
            "is no 'frame_time' to derive them from; add the keyword TFRAME"
        )
    return readout_clock.miri_row_clocks(n_rows, float(attrs["frame_time"]) / CLOCK)


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
