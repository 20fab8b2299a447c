"""The tables of a raw file: the end of every group, the times of every integration.

Both follow the archive's columns. A group ends when the last pixel of its last frame has
been read, one frame time after the first pixel; barycentric times are those of the clock.
The column of heliocentric times repeats them: the simulated orbit has one centre.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsoxr.simulation.clock import SECONDS_PER_DAY, barycentric_delay

if TYPE_CHECKING:
    from astropy.io import fits

    from tsoxr.simulation.builder import Exposure
    from tsoxr.simulation.headers import Segment

__all__ = ["group_table", "times_table"]

FIRST_DAY = 51544
"""2000-01-01 as MJD, the day from which the telescope counts its days."""

MOMENTS = {"start": 0.0, "mid": 0.5, "end": 1.0}


def times_table(exposure: Exposure, segment: Segment) -> fits.BinTableHDU:
    """Return the extension ``INT_TIMES``: one row for each integration of a segment."""
    from astropy.io import fits

    part, clock = slice(segment.first, segment.last), exposure.clock
    number = np.arange(segment.first + 1, segment.last + 1, dtype=np.int32)
    columns = [fits.Column("integration_number", "J", array=number)]
    for scale, times in (("MJD_UTC", clock.utc), ("BJD_TDB", clock.tdb)):
        columns += [
            fits.Column(f"int_{name}_{scale}", "D", unit="d", array=times(where)[part])
            for name, where in MOMENTS.items()
        ]
    return fits.BinTableHDU.from_columns(columns, name="INT_TIMES")


def group_ends(exposure: Exposure, segment: Segment) -> np.ndarray:
    """Return the end of each group of a segment, MJD UTC, (time * group,) float64 d."""
    clock = exposure.clock
    index = np.arange(segment.first, segment.last)
    last_frame = np.arange(clock.n_groups) * (clock.n_frames + clock.group_gap) + clock.n_frames
    seconds = clock.integration_start[index][:, None] + (last_frame + 1) * clock.frame_time
    return (clock.start + seconds / SECONDS_PER_DAY).ravel()


def group_table(exposure: Exposure, segment: Segment) -> fits.BinTableHDU:
    """Return the extension ``GROUP``: one row for each group of a segment."""
    from astropy.io import fits
    from astropy.time import Time

    n_groups, (n_y, n_x) = exposure.n_groups, exposure.setup.shape
    index = np.arange(segment.first, segment.last)
    end = group_ends(exposure, segment)
    text = np.array(Time(end, format="mjd", scale="utc", precision=6).isot, dtype="S26")
    milliseconds, rest = np.divmod((end % 1.0) * SECONDS_PER_DAY * 1e3, 1.0)
    bary = end + barycentric_delay(end) / SECONDS_PER_DAY

    def constant(value: int | bytes) -> np.ndarray:
        return np.full(end.size, value)

    columns = {
        "integration_number": ("J", np.repeat(index + 1, n_groups)),
        "group_number": ("I", np.tile(np.arange(1, n_groups + 1), index.size)),
        "end_day": ("I", np.floor(end) - FIRST_DAY),
        "end_milliseconds": ("J", milliseconds),
        "end_submilliseconds": ("I", np.floor(1e3 * rest)),
        "group_end_time": ("26A", text),
        "number_of_columns": ("I", constant(n_x)),
        "number_of_rows": ("I", constant(n_y)),
        "number_of_gaps": ("I", constant(0)),
        "completion_code_number": ("I", constant(0)),
        "completion_code_text": ("36A", constant(b"COMPLETE")),
        "bary_end_time": ("D", bary),
        "helio_end_time": ("D", bary),
    }
    made = [fits.Column(name, form, array=data) for name, (form, data) in columns.items()]
    return fits.BinTableHDU.from_columns(made, name="GROUP")
