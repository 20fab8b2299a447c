"""Clocks of a frame: how many samples it takes, and at which of them each pixel is read.

One sample takes 10 us. A line of a near-infrared detector takes the pixels of one output
and 12 samples of overhead, and a frame a few lines more than it has. MIRI reads four
interleaved outputs and steps over the rows outside the subarray, 7 samples each.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "CLOCK",
    "LINE_OVERHEAD",
    "MIRI_ROW_CLOCKS",
    "interleaved_ticks",
    "miri_frame_clocks",
    "miri_row_clocks",
    "near_infrared_frame_clocks",
    "near_infrared_ticks",
]

CLOCK = 1e-5
"""Time of one sample, s."""

LINE_OVERHEAD = 12
"""Samples between lines, near-infrared detectors."""

MIRI_ROW_CLOCKS = {
    "SLITLESSPRISM": 28, "SUB64": 28, "SUB128": 44, "SUB256": 96, "BRIGHTSKY": 162, "FULL": 271,
}  # fmt: skip
"""Samples per row with one sample per pixel; they reproduce the published frame times."""

MIRI_ROWS = 1024
MIRI_SKIPPED_ROW_CLOCKS = 7
MIRI_OUTPUTS = 4
NARROW = 8
"""Subarrays whose lines have at most so many pixels spend one line more on each frame."""


def near_infrared_frame_clocks(n_fast: int, n_slow: int, n_outputs: int) -> int:
    """Return the samples of one frame of a near-infrared detector.

    Parameters
    ----------
    n_fast, n_slow : int
        Pixels of a line over all outputs, and lines.
    n_outputs : {1, 4}
        Amplifiers that share a line.

    Examples
    --------
    >>> near_infrared_frame_clocks(2048, 256, 4)
    134669
    """
    line = n_fast // n_outputs + LINE_OVERHEAD
    if n_outputs > 1:
        return line * (n_slow + 1) + 1
    return line * (n_slow + (3 if n_fast <= NARROW else 2))


def miri_frame_clocks(n_rows: int, row_clocks: int) -> int:
    """Return the samples of one frame of MIRI.

    Examples
    --------
    >>> miri_frame_clocks(416, 28)
    15904
    """
    return n_rows * row_clocks + (MIRI_ROWS - n_rows) * MIRI_SKIPPED_ROW_CLOCKS


def miri_row_clocks(n_rows: int, frame_clocks: float) -> float:
    """Return the samples of one row of MIRI from those of a frame.

    Examples
    --------
    >>> miri_row_clocks(416, 15904.0)
    28.0
    """
    return (frame_clocks - (MIRI_ROWS - n_rows) * MIRI_SKIPPED_ROW_CLOCKS) / n_rows


def near_infrared_ticks(i_fast: np.ndarray, i_slow: np.ndarray, n_outputs: int) -> np.ndarray:
    """Return the sample at which each pixel is read, (slow, fast) int64.

    Parameters
    ----------
    i_fast, i_slow : (n_fast,), (n_slow,) int
        Place of each column and line in the order of reading.
    n_outputs : int
        Amplifiers; they read blocks of the line at the same time, neighbours in opposite
        directions.
    """
    width = -(-i_fast.size // n_outputs)
    output, within = np.divmod(i_fast, width)
    within = np.where(output % 2 == 1, width - 1 - within, within)
    return np.asarray(i_slow[:, None] * (width + LINE_OVERHEAD) + within[None, :])


def interleaved_ticks(
    i_fast: np.ndarray, i_slow: np.ndarray, row_clocks: float, n_samples: int = 1
) -> np.ndarray:
    """Return the sample at which each pixel of MIRI is read, (slow, fast).

    Parameters
    ----------
    i_fast, i_slow : (n_fast,), (n_slow,) int
        Place of each column and row in the order of reading.
    row_clocks : float
        Samples of a row.
    n_samples : int
        Samples averaged into one read of a pixel.
    """
    within = (i_fast // MIRI_OUTPUTS) * n_samples
    return np.asarray(i_slow[:, None] * row_clocks + within[None, :])
