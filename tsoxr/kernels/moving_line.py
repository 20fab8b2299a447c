"""A line of raised signal that moves by one line each integration: found, measured, flagged.

The signal decays within the integration, so that the level of a line relative to the last
group shows it: the reset noise of the pixels cancels. The mean of the middle half of a line of
n pixels with noise s has the error 1.1 s / sqrt(n), is not moved by hits, and unlike a median
is not rounded where counts are whole numbers. A running median in time takes away what stays in
a line (light, and its slow changes), the median over the lines what an integration has in
common. What remains, in units of each line's scatter, is summed along every path that moves
by one line per integration: m crossings raise the signal-to-noise ratio by sqrt(m).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from scipy.ndimage import median_filter

__all__ = [
    "FOUND",
    "SHORTEST",
    "TERMS",
    "Path",
    "Search",
    "find_path",
    "flag_lines",
    "heights",
    "line_levels",
    "residual",
]

WINDOW = 15
"""Integrations of the running median: a line is raised in three of them."""

SHORTEST = 7
"""Integrations, and crossings, below which nothing is looked for."""

LARGEST = 6.0
"""Deviations count up to this many standard deviations, so that no single one makes a path."""

FOUND = 8.0
"""Signal-to-noise ratio of a path that is believed: some thousand paths are tried, and lines
next to a spectrum have noise that is not Gaussian."""

HARMLESS = 0.2
"""A line raised by less than this part of the read noise adds 4 % to its variance."""

TERMS = ("origin", "direction", "groups", "end")
"""What is found: line at number 0, lines per integration, groups to flag, last integration."""

FOREVER = 1 << 23
"""Number of no integration, and exact as float32."""

MAD = 1.4826

Path = tuple[int, int]
"""Line in integration 0, and lines per integration (-1 or 1)."""


@numba.njit(cache=True, nogil=True)
def _middle(values):  # noqa: ANN001, ANN202 -- numba
    """Return the mean of the middle half of some values."""
    ordered = np.sort(values)
    low = ordered.size // 4
    return np.mean(ordered[low : ordered.size - low])


@numba.njit(cache=True, nogil=True)
def line_levels(ramp, good, groups):  # noqa: ANN001, ANN201 -- numba
    """Return the level of each line in chosen groups, relative to the last of them.

    Parameters
    ----------
    ramp : (time, group, line, pixel) number
        Counts, DN.
    good : (line, pixel) bool
        Pixels to look at.
    groups : (chosen,) int
        Indices of the groups.

    Returns
    -------
    (time, chosen, line) float32
        Mean of the middle half of the pixels. NaN where no pixel is good; 0 for the last of
        the chosen groups.
    """
    n_time, _, n_line, n_pixel = ramp.shape
    out = np.empty((n_time, groups.size, n_line), np.float32)
    values = np.empty(n_pixel, np.float32)
    for t in range(n_time):
        for k in range(groups.size):
            for i in range(n_line):
                n = 0
                for j in range(n_pixel):
                    value = np.float32(ramp[t, groups[k], i, j]) - np.float32(
                        ramp[t, groups[-1], i, j]
                    )
                    if good[i, j] and np.isfinite(value):
                        values[n] = value
                        n += 1
                out[t, k, i] = _middle(values[:n]) if n > 0 else np.nan
    return out


def residual(levels: np.ndarray) -> np.ndarray:
    """Return levels without what stays in a line and what an integration has in common.

    Parameters
    ----------
    levels : (time, line) float
        Of one group; NaN where unknown.

    Returns
    -------
    (time, line) float64
        0 where unknown.
    """
    known = np.isfinite(levels).all(axis=0)
    out = np.zeros(levels.shape)
    if not known.any() or levels.shape[0] < SHORTEST:
        return out
    own = levels[:, known].astype(np.float64)
    own -= median_filter(own, size=(min(WINDOW, len(own)), 1), mode="nearest")
    own -= np.median(own, axis=1, keepdims=True)
    out[:, known] = own
    return out


def find_path(left: np.ndarray, number: np.ndarray) -> tuple[Path, float]:
    """Find the path along which lines are raised, one line per integration.

    Parameters
    ----------
    left : (time, line) float64
        What `residual` gives for the first group.
    number : (time,) int
        Number of each integration; gaps are allowed.

    Returns
    -------
    (int, int), float
        Line at number 0 and direction, and the signal-to-noise ratio of the path. Where the
        neighbours of a high line reach the largest deviation too, the highest is taken.
    """
    n_line = left.shape[1]
    scatter = MAD * np.median(np.abs(left), axis=0)
    share = np.divide(left, scatter, out=np.zeros_like(left), where=scatter > 0)
    share = np.clip(share, -LARGEST, LARGEST)
    best, ratio = (0, -1), 0.0
    for direction in (-1, 1):
        origin = np.arange(n_line) - direction * number[:, None]
        lowest = int(origin.min())
        bins = (origin - lowest).ravel()
        total = np.bincount(bins, share.ravel())
        count = np.bincount(bins, np.broadcast_to(scatter > 0, left.shape).ravel().astype(float))
        ratios = np.where(count >= SHORTEST, total / np.sqrt(np.maximum(count, 1.0)), 0.0)
        if ratios.max() > ratio:
            best, ratio = (int(np.argmax(ratios)) + lowest, direction), float(ratios.max())
    unit = np.divide(left, scatter, out=np.zeros_like(left), where=scatter > 0)
    near = [(best[0] + shift, best[1]) for shift in (0, -1, 1, -2, 2)]
    return max(near, key=lambda path: heights(unit, number, path)), ratio


def heights(left: np.ndarray, number: np.ndarray, path: Path) -> float:
    """Return the median height of the raised line along its path, in the unit of ``left``."""
    line = path[0] + path[1] * number
    inside = (line >= 0) & (line < left.shape[1])
    return float(np.median(left[inside, line[inside]])) if inside.any() else 0.0


@dataclass(frozen=True)
class Search:
    """What is looked for in the levels of lines, called as a function of them.

    Parameters
    ----------
    number : (time,) int
        Number of each integration.
    n_group : int
        Groups of an integration.
    last : int, optional
        Last integration of a path that is known and moves down to line 1 there.
    groups : int, optional
        Groups to flag, where they are not to be found.
    """

    number: np.ndarray
    n_group: int
    last: int | None
    groups: int | None

    def __call__(self, levels: np.ndarray, read_noise: np.ndarray, terms: np.ndarray) -> np.ndarray:
        """Return `TERMS` and the heights in the groups looked at; zeros where nothing is found.

        Parameters
        ----------
        levels : (time, chosen, line) float32
            From `line_levels`.
        read_noise : array
            Of any shape, in the unit of the levels.
        terms : (term,) array
            Gives the shape of the result.
        """
        left = [residual(levels[:, k]) for k in range(levels.shape[1])]
        path: Path = (0 if self.last is None else self.last + 1, -1)
        out = np.zeros(terms.shape, np.float32)
        if self.last is None:
            path, ratio = find_path(left[0], self.number)
            if ratio <= FOUND:
                return out
        height = np.array([heights(each, self.number, path) for each in left])
        end = FOREVER if self.last is None else self.last
        out[: len(TERMS)] = *path, self._flagged(height, read_noise), end
        out[len(TERMS) :] = height
        return out

    def _flagged(self, height: np.ndarray, read_noise: np.ndarray) -> int:
        """Return how many groups to flag: all where two do not remain."""
        if self.groups is not None:
            return self.groups
        raised = np.flatnonzero(np.abs(height) > HARMLESS * np.nanmedian(read_noise))
        n = int(raised[-1]) + 1 if raised.size else 1
        return n if self.n_group - n >= 2 else self.n_group


@numba.njit(cache=True, nogil=True)
def flag_lines(dq, line, n_groups, grow, flag):  # noqa: ANN001, ANN201 -- numba
    """Return the flags with the first groups of one line of each integration flagged.

    Parameters
    ----------
    dq : (time, group, line, pixel) uint8
        Flags so far; all of them are kept.
    line : (time,) int
        Line of each integration; may lie outside.
    n_groups : int
        Number of groups to flag.
    grow : int
        Lines flagged on either side.
    flag : uint8
        Bit to set.

    Returns
    -------
    (time, group, line, pixel) uint8
    """
    out = dq.copy()
    n_time, _, n_line, n_pixel = dq.shape
    for t in range(n_time):
        for i in range(max(line[t] - grow, 0), min(line[t] + grow + 1, n_line)):
            for g in range(n_groups):
                for j in range(n_pixel):
                    out[t, g, i, j] |= flag
    return out
