"""Hits found along the ramps: by two points, or by what chi-squared gains.

These look at one integration alone, for comparison with other packages and for exposures of
one or two integrations. Shapes are those of `tsoxr.kernels.jumps.find`.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels import jump_events as events
from tsoxr.kernels.jump_data import LAYERS, PHOTON, RATE, READ, Data, Rule, difference
from tsoxr.kernels.ramp_likelihood import find_jumps, thresholds
from tsoxr.kernels.ramps import JUMP, UNUSABLE, Readout, usable_difference

__all__ = ["find_likelihood", "find_two_point", "median_slope"]

LEAST, MOST = 10.0, 1000.0
"""Between these, in sigma, a hit of the two-point search is taken to have reached its neighbours."""


@numba.njit(cache=True, nogil=True)
def median_slope(ramp: np.ndarray, dq_group: np.ndarray, interval: np.ndarray) -> np.ndarray:
    """Return each pixel's median difference over its interval, all ramps together.

    Parameters
    ----------
    ramp, dq_group : (time, group, pixel) arrays
        A sample of the integrations.
    interval : (group - 1,) float64
        Time between groups, s.

    Returns
    -------
    (pixel,) float32
        DN s-1; NaN for pixels without a usable difference.
    """
    n_times, n_groups, n_pixels = ramp.shape
    out = np.empty(n_pixels, np.float32)
    found = np.empty(n_times * (n_groups - 1))
    for i in range(n_pixels):
        n = 0
        for t in range(n_times):
            for j in range(n_groups - 1):
                step = np.float64(ramp[t, j + 1, i]) - np.float64(ramp[t, j, i])
                usable = usable_difference(dq_group[t, j, i], dq_group[t, j + 1, i])
                if usable and np.isfinite(step):
                    found[n] = step / interval[j]
                    n += 1
        out[i] = np.median(found[:n]) if n > 0 else np.nan
    return out


@numba.njit(cache=True, nogil=True)
def _two_points(data: Data, marked: np.ndarray) -> None:
    """Mark the differences that lie further than ``sigma`` from the usual rate of the pixel."""
    n_times, n_groups, n_pixels = data.ramp.shape
    cut, rise = np.empty(n_pixels), np.empty(n_pixels)
    for j in range(n_groups - 1):
        dt = data.readout.interval[j]
        for i in range(n_pixels):
            variance = data.static[0, i] * (dt - 2.0 * data.readout.lag) + 2.0 * data.static[1, i]
            cut[i] = data.rule.sigma * np.sqrt(variance) if variance > 0.0 else np.inf
            rise[i] = data.static[5, i] * dt
        for t in range(n_times):
            before, later, out = data.ramp[t, j], data.ramp[t, j + 1], marked[t, j + 1]
            for i in range(n_pixels):
                left = np.float64(later[i]) - np.float64(before[i]) - rise[i]
                if np.abs(left) > cut[i] and np.isfinite(difference(data, t, j, i)):
                    out[i] |= np.uint8(JUMP)


def _collect(data: Data, marked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what ``marked`` has more than the flags: hits, and their sizes in sigma."""
    t, j, i = np.nonzero((marked & ~data.flags & np.uint8(JUMP))[:, 1:])
    dt, static = data.readout.interval[j], data.static[:, i]
    variance = static[PHOTON] * (dt - 2.0 * data.readout.lag) + 2.0 * static[READ]
    found = data.ramp[t, j + 1, i].astype(np.float64) - data.ramp[t, j, i]
    return np.stack([t, j, i], axis=1), (found - static[RATE] * dt) / np.sqrt(variance)


def _neighbours(
    data: Data, marked: np.ndarray, width: int, hits: np.ndarray, sizes: np.ndarray
) -> None:
    """Mark the four pixels about each hit of a size between `LEAST` and `MOST`."""
    t, j, i = hits[(np.abs(sizes) > LEAST) & (np.abs(sizes) < MOST)].T
    for step, inside in (
        (-1, i % width > 0),
        (1, i % width < width - 1),
        (-width, i >= width),
        (width, i + width < data.ramp.shape[2]),
    ):
        at = t[inside], j[inside] + 1, i[inside] + step
        marked[at] |= np.where(data.flags[at] & UNUSABLE, 0, JUMP).astype(np.uint8)


def _finish(data: Data, marked: np.ndarray, width: int, grow: bool) -> None:
    hits, sizes = _collect(data, marked)
    if grow:
        _neighbours(data, marked, width, hits, sizes)
    if data.rule.expand > 0.0:
        events.expand_large(data, marked, width, hits)
    events.after_hits(data, marked, hits, sizes)


def _data(
    ramp: np.ndarray, dq_group: np.ndarray, static: np.ndarray, readout: Readout, rule: Rule
) -> Data:
    n_times, n_groups, *detector = ramp.shape
    n_pixels = int(np.prod(detector))
    return Data(
        ramp.reshape(n_times, n_groups, n_pixels),
        dq_group.reshape(n_times, n_groups, n_pixels),
        np.ascontiguousarray(static.reshape(len(LAYERS), n_pixels), dtype=np.float64),
        np.ones((n_times, 1), np.float32),
        np.zeros(n_pixels, np.uint8),
        readout,
        rule,
    )


def find_two_point(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    static: np.ndarray,
    lines: np.ndarray,  # noqa: ARG001 -- one signature for all searches
    *,
    readout: Readout,
    rule: Rule,
    rows: tuple[int, int] | None = None,
) -> np.ndarray:
    """Flag the differences that lie far from the usual rate of the pixel.

    Parameters and result are those of `tsoxr.kernels.jumps.find`; the rate of ``static`` is the
    median of all differences. After Anderson & Gordon (2011, PASP 123, 1237), with one
    median for all ramps of a pixel. With ``rule.grow``, the four neighbours of hits between
    `LEAST` and `MOST` sigma are flagged whatever they hold.
    """
    data = _data(ramp, dq_group, static, readout, rule)
    marked = data.flags.copy()
    _two_points(data, marked)
    _finish(data, marked, ramp.shape[3], grow=rule.grow > 0)
    return _cut(marked, ramp.shape, rows)


def find_likelihood(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    static: np.ndarray,
    lines: np.ndarray,  # noqa: ARG001 -- one signature for all searches
    *,
    readout: Readout,
    rule: Rule,
    rows: tuple[int, int] | None = None,
) -> np.ndarray:
    """Flag the differences without which a straight line fits a ramp much better.

    Parameters and result are those of `tsoxr.kernels.jumps.find`; the test is that of
    `tsoxr.kernels.ramp_likelihood.find_jumps`.
    """
    data = _data(ramp, dq_group, static, readout, rule)
    marked = find_jumps(
        data.ramp, data.flags, data.static[:2], readout=readout, rule=thresholds(rule.sigma)
    )
    _finish(data, marked, ramp.shape[3], grow=False)
    return _cut(marked, ramp.shape, rows)


def _cut(marked: np.ndarray, shape: tuple[int, ...], rows: tuple[int, int] | None) -> np.ndarray:
    first, last = (0, shape[0]) if rows is None else rows
    part = marked[first:last]
    out = part if part.shape[0] == shape[0] else part.copy()
    return out.reshape(last - first, *shape[1:])
