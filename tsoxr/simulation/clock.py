"""When each pixel is read: frame times, pixel delays and the times of the integrations.

A detector reads one pixel per output every 10 us. The near-infrared detectors spend 12
more clocks on each line and a few lines on each frame,

    frame_clocks = (n_fast / n_outputs + 12) (n_slow + r) + c,

with (r, c) = (2, 0) for one output (r = 3 where n_fast <= 8) and (1, 1) for four. MIRI
clocks past the rows outside its subarray: frame_clocks = n_rows row_clocks + (1024 - n_rows) 7,
and its four outputs are interleaved, column x belonging to output x mod 4.

The reset takes the same clocking as a read. An integration of G groups, each the mean of F
frames with gaps of S frames between them, therefore repeats every ``1 + F + (G - 1)(F + S)``
frames, and pixel p, whose delay within the frame is d(p), is reset at ``start + d(p)`` and
read in frame k at ``start + d(p) + k frame_time``. The integration's ``start`` and ``end``
are the reset and the last read of the first pixel, as in the tables of the archive. The
charge freed before the first read enters no difference of groups: what the ramp's slope
measures is centred half a frame after ``mid + d(p)``.

Four outputs of the near-infrared detectors share a line in blocks, neighbouring ones read in
opposite directions.

Barycentric times add to MJD UTC the 69.184 s of TDB - UTC (37 leap seconds and 32.184 s,
periodic terms below 2 ms left out) and a light travel time of 499.0 s cos(30 deg)
cos(2 pi (mjd - 60000) / 365.25), as for a circular orbit and a target at ecliptic
latitude 30 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = ["TICK", "Clock", "Readout", "barycentric_delay", "miri_readout", "nir_readout"]

TICKS_PER_SECOND = 100_000
TICK = 1.0 / TICKS_PER_SECOND
"""Time to read one pixel, s."""

SECONDS_PER_DAY = 86400.0
LIGHT_TIME = 499.0
TDB_MINUS_UTC = 69.184


@dataclass(frozen=True)
class Readout:
    """The order and the clocks in which a subarray is read; see the module's text."""

    fast_dim: str
    slow_dim: str
    fast_direction: int
    slow_direction: int
    n_fast: int
    n_slow: int
    n_outputs: int
    interleaved: bool
    line_clocks: int
    frame_clocks: int

    @property
    def frame_time(self) -> float:
        """Time to read one frame, s."""
        return self.frame_clocks / TICKS_PER_SECOND

    def _along(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the fast and the slow index, counted in read direction, of each pixel."""
        fast = np.arange(self.n_fast)[:: self.fast_direction]
        slow = np.arange(self.n_slow)[:: self.slow_direction]
        grid = (
            (slow[:, None], fast[None, :])
            if self.fast_dim == "x"
            else (slow[None, :], fast[:, None])
        )
        slow2, fast2 = np.broadcast_arrays(*grid)
        return fast2, slow2

    @cached_property
    def ticks(self) -> np.ndarray:
        """Clock of the frame at which each pixel is read, (y, x) int64."""
        fast, slow = self._along()
        if self.interleaved:
            return slow * self.line_clocks + fast // self.n_outputs
        width = self.n_fast // self.n_outputs
        output, within = np.divmod(fast, width)
        within = np.where(output % 2 == 1, width - 1 - within, within)
        return slow * self.line_clocks + within

    @cached_property
    def outputs(self) -> np.ndarray:
        """Output that reads each pixel, (y, x) int64."""
        fast, _ = self._along()
        return (
            fast % self.n_outputs if self.interleaved else fast // (self.n_fast // self.n_outputs)
        )


def nir_readout(fast: tuple[str, int, int], slow: tuple[str, int, int], n_outputs: int) -> Readout:
    """Return the read-out of a near-infrared subarray.

    Parameters
    ----------
    fast, slow : (str, int, int)
        Dimension, number of pixels and direction (+1 or -1) of the two axes.
    n_outputs : {1, 4}
        Amplifiers that share a line.
    """
    line = fast[1] // n_outputs + 12
    overhead = (3 if fast[1] <= 8 else 2) if n_outputs == 1 else 1
    extra = 0 if n_outputs == 1 else 1
    return Readout(
        fast_dim=fast[0],
        slow_dim=slow[0],
        fast_direction=fast[2],
        slow_direction=slow[2],
        n_fast=fast[1],
        n_slow=slow[1],
        n_outputs=n_outputs,
        interleaved=False,
        line_clocks=line,
        frame_clocks=line * (slow[1] + overhead) + extra,
    )


def miri_readout(n_rows: int, n_columns: int, row_clocks: int) -> Readout:
    """Return the read-out of a MIRI subarray with four interleaved outputs.

    Parameters
    ----------
    n_rows, n_columns : int
        Size of the subarray.
    row_clocks : int
        Clocks that one of its rows takes.
    """
    return Readout(
        fast_dim="x",
        slow_dim="y",
        fast_direction=1,
        slow_direction=1,
        n_fast=n_columns,
        n_slow=n_rows,
        n_outputs=4,
        interleaved=True,
        line_clocks=row_clocks,
        frame_clocks=n_rows * row_clocks + (1024 - n_rows) * 7,
    )


def barycentric_delay(mjd: np.ndarray) -> np.ndarray:
    """Return BJD_TDB - JD_UTC in seconds as the module's text states it.

    Parameters
    ----------
    mjd : (...) float64
        MJD, UTC.
    """
    angle = 2.0 * np.pi * (np.asarray(mjd) - 60000.0) / 365.25
    return TDB_MINUS_UTC + LIGHT_TIME * np.cos(np.radians(30.0)) * np.cos(angle)


@dataclass(frozen=True)
class Clock:
    """The times of an exposure: ``start`` is MJD UTC, the rest counts in seconds from it.

    A group is the mean of ``n_frames`` frames; ``group_gap`` frames are skipped between groups.
    """

    readout: Readout
    n_integrations: int
    n_groups: int
    start: float
    n_frames: int = 1
    group_gap: int = 0

    @property
    def frame_time(self) -> float:
        """Time to read one frame, s."""
        return self.readout.frame_time

    @property
    def group_interval(self) -> float:
        """Time from one group to the next, s."""
        return self._seconds(self.n_frames + self.group_gap)

    def _seconds(self, frames: np.ndarray | int) -> np.ndarray | float:
        return frames * self.readout.frame_clocks / TICKS_PER_SECOND

    @property
    def frames_per_integration(self) -> int:
        """Frames from the first to the last read, skipped ones included, the reset not."""
        return self.n_frames + (self.n_groups - 1) * (self.n_frames + self.group_gap)

    @cached_property
    def read_frame(self) -> np.ndarray:
        """Frame of each read that enters a group, counted from 1 after the reset, (read,)."""
        group = np.arange(self.n_groups)[:, None] * (self.n_frames + self.group_gap)
        return (group + np.arange(1, self.n_frames + 1)).ravel()

    @cached_property
    def read_time(self) -> np.ndarray:
        """Time of each read since reset, (read,) s."""
        return self._seconds(self.read_frame)

    @cached_property
    def interval(self) -> np.ndarray:
        """Time from the read before (the reset for the first) to each read, (read,) s."""
        return self._seconds(np.diff(self.read_frame, prepend=0))

    @cached_property
    def difference_weight(self) -> np.ndarray:
        """Share of each interval's charge in the last group less the first, (read,).

        With one group, the share in that group.
        """
        reads = np.arange(self.read_frame.size)
        before = [
            (reads[:, None] >= reads[None, :])[g * self.n_frames :][: self.n_frames].mean(0)
            for g in (0, self.n_groups - 1)
        ]
        return before[1] - before[0] if self.n_groups > 1 else before[0]

    @property
    def integration_interval(self) -> float:
        """Time from one integration's start to the next, s."""
        return self._seconds(self.frames_per_integration + 1)

    @property
    def integration_time(self) -> float:
        """Time from the reset to the last read, s."""
        return self._seconds(self.frames_per_integration)

    @property
    def group_time(self) -> np.ndarray:
        """Time since reset of the middle of each group, (group,) s."""
        middle = np.arange(self.n_groups) * (self.n_frames + self.group_gap)
        return self._seconds(middle + 0.5 * (self.n_frames + 1))

    @cached_property
    def integration_start(self) -> np.ndarray:
        """Start of each integration since ``start``, (time,) s."""
        return np.arange(self.n_integrations) * self.integration_interval

    @property
    def exposure_time(self) -> float:
        """Time from the first integration's start to the last one's end, s."""
        return float(self.integration_start[-1] + self.integration_time)

    def utc(self, part: float) -> np.ndarray:
        """Return MJD UTC at a fraction of each integration: 0 start, 0.5 middle, 1 end."""
        seconds = self.integration_start + part * self.integration_time
        return self.start + seconds / SECONDS_PER_DAY

    def tdb(self, part: float) -> np.ndarray:
        """Return BMJD_TDB at a fraction of each integration."""
        utc = self.utc(part)
        return utc + barycentric_delay(utc) / SECONDS_PER_DAY
