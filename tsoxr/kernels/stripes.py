"""Levels of read-out lines: the 1/f noise that all pixels of a fast line share.

Arrays come with the axes (time, group, slow, fast): a line is all pixels at one slow
index. Detectors that are read through several outputs side by side have one level per line
and output; ``edges`` holds the fast index where each output begins, and the end.
"""

from __future__ import annotations

from itertools import pairwise

import numba
import numpy as np

from tsoxr.kernels.stripe_statistics import median_of

__all__ = ["clean_lines", "clipped_mean", "line_levels", "output_edges", "subtract_levels"]

TILE = 16
"""Lines gathered together when neighbouring lines lie side by side in memory (64 bytes)."""


def output_edges(n_fast: int, n_outputs: int) -> np.ndarray:
    """Return where the outputs begin along the fast axis, and its end.

    Parameters
    ----------
    n_fast : int
        Pixels of a line.
    n_outputs : int
        Outputs that read blocks of equal width side by side.

    Returns
    -------
    numpy.ndarray
        (n_outputs + 1,) int64.

    Examples
    --------
    >>> output_edges(2048, 4)
    array([   0,  512, 1024, 1536, 2048])
    """
    return np.linspace(0, n_fast, n_outputs + 1).round().astype(np.int64)


@numba.njit(cache=True, nogil=True)
def _mean_within(values, n, center, limit):  # noqa: ANN001, ANN202 -- numba
    """Return mean and variance of the values within ``limit`` of ``center``."""
    kept, total, squares = 0, 0.0, 0.0
    for k in range(n):
        d = values[k] - center
        if abs(d) <= limit:
            kept += 1
            total += d
            squares += d * d
    if kept == 0:
        return center, 0.0
    mean = total / kept
    variance = (squares - kept * mean * mean) / (kept - 1) if kept > 1 else 0.0
    return center + mean, max(variance, 0.0)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def clipped_mean(values, n, scratch, limit):  # noqa: ANN001, ANN201 -- numba
    """Return mean and variance of ``values[:n]`` without outliers.

    Where all values lie within ``limit`` of their mean nothing is clipped, and no
    selection is made; otherwise those farther than ``limit`` from the median are left out.
    """
    total = 0.0
    for k in range(n):
        total += values[k]
    mean = total / n
    worst, squares = 0.0, 0.0
    for k in range(n):
        d = values[k] - mean
        worst = max(worst, abs(d))
        squares += d * d
    if worst <= limit:
        return mean, squares / (n - 1) if n > 1 else 0.0
    for k in range(n):
        scratch[k] = values[k]
    return _mean_within(values, n, median_of(scratch, n), limit)


@numba.njit(cache=True, nogil=True)
def _relative_light(first, last, rise, where):  # noqa: ANN001, ANN202 -- numba
    """Return the light of an integration over the median, from the pixels ``where``."""
    seen, expected = 0.0, 0.0
    for k in range(where.shape[1]):
        s, f = where[0, k], where[1, k]
        value = float(last[s, f]) - float(first[s, f])
        if np.isfinite(value):
            seen += value
            expected += rise[s, f]
    return seen / expected if expected > 0 else 1.0


@numba.njit(cache=True, nogil=True)
def _pack(frame, design, parts, base, edges, values, bounds):  # noqa: ANN001, ANN202 -- numba
    """Collect the residuals of the usable pixels of each line, output after output."""
    start, rise, wing, usable = design[0], design[1], design[2], design[3]
    n_lines = frame.shape[0]
    bounds[:, 0] = 0
    for o in range(edges.size - 1):
        bounds[:, o + 1] = bounds[:, o]
        for f in range(edges[o], edges[o + 1]):
            for w in range(n_lines):
                if usable[w, f] > 0:
                    model = start[w, f] + parts[0] * rise[w, f] + parts[1] * wing[w, f]
                    value = np.float32(frame[w, f]) - model - base[w, f]
                    if np.isfinite(value):
                        values[w, bounds[w, o + 1]] = value
                        bounds[w, o + 1] += 1


@numba.njit(cache=True, nogil=True)
def _measure(values, bounds, limit, scratch, by_median, levels, spread):  # noqa: ANN001, ANN202 -- numba
    """Fill level and scatter (line, output) from the packed residuals."""
    for w in range(levels.shape[0]):
        for o in range(levels.shape[1]):
            i, n = bounds[w, o], bounds[w, o + 1] - bounds[w, o]
            if n > 0:
                level, variance = clipped_mean(values[w, i : i + n], n, scratch, limit[w])
                if by_median:
                    level = median_of(values[w, i : i + n], n)
                levels[w, o] = level
                spread[w, o] = np.sqrt(variance)


@numba.njit(cache=True, nogil=True)
def _line_levels(ramp, design, clock, bright, edges, limit, tile, by_median):  # noqa: ANN001, ANN202 -- numba
    n_time, n_group, n_slow, n_fast = ramp.shape
    levels = np.zeros((n_time, n_group, n_slow, edges.size - 1), np.float32)
    spread = np.zeros_like(levels)
    base = np.zeros((tile, n_fast), np.float32)
    values = np.empty((tile, n_fast), np.float32)
    scratch = np.empty(n_fast, np.float32)
    bounds = np.zeros((tile, edges.size), np.int64)
    parts = np.zeros(2, np.float32)
    for t in range(n_time):
        excess = _relative_light(ramp[t, 0], ramp[t, n_group - 1], design[1], bright) - 1.0
        for s in range(0, n_slow, tile):
            lines = slice(s, min(s + tile, n_slow))
            model = design[:, lines]
            base[:] = 0.0
            for g in range(n_group):
                parts[0], parts[1] = clock[0, g], clock[1, g] * excess
                _pack(ramp[t, g, lines], model, parts, base, edges, values, bounds)
                _measure(
                    values, bounds, limit[min(g, 1), lines], scratch, by_median,
                    levels[t, g, lines], spread[t, g, lines],
                )  # fmt: skip
                if g == 0:
                    _first_residual(ramp[t, 0, lines], model, parts[1], base)
                else:
                    levels[t, g, lines] += levels[t, 0, lines]
    return levels, spread


@numba.njit(cache=True, nogil=True)
def _first_residual(frame, design, part, base):  # noqa: ANN001, ANN202 -- numba
    start, wing = design[0], design[2]
    for f in range(frame.shape[1]):
        for w in range(frame.shape[0]):
            base[w, f] = np.float32(frame[w, f]) - (start[w, f] + part * wing[w, f])


def line_levels(
    ramp: np.ndarray,
    design: np.ndarray,
    group_time: np.ndarray,
    *,
    edges: np.ndarray,
    by_median: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Measure the level of each read-out line against a model of the scene.

    The residual of pixel p in group g of integration i is

    .. math:: r_{ig} = D_{ig} - (A + u_g B + e_g (f_i - 1) W)

    with A the median first group, B the median rise to the last, W the wings of the star
    in it, and f the light of the integration over the median, from the bright pixels. The
    level of a line is :math:`\langle r_0 \rangle + \langle r_g - r_0 \rangle`: taken
    against the pixel's own first group, the reset noise of each pixel and integration
    (several times the read noise) cancels before outliers are looked for.

    Parameters
    ----------
    ramp : (time, group, slow, fast) number
        Counts in any memory order.
    design : (layer, slow, fast) float32
        Scene, mask and clipping: `tsoxr.kernels.stripe_design.LAYERS`. A value that is not
        finite is passed over.
    group_time : (group,) float
        Time t since reset. u runs from 0 in the first group to 1 in the last,
        :math:`e_g = t_g / (t_{last} - t_0)`.
    edges : (output + 1,) int
        Fast index at which each output begins, and the end.
    by_median : bool
        Take the median instead of the clipped mean.

    Returns
    -------
    levels : (time, group, slow, output) float32
        0 where a line has no usable pixel.
    spread : (time, group, slow, output) float32
        Standard deviation of the pixels that were averaged, reset noise only in group 0.
    """
    tile = TILE if abs(ramp.strides[2]) < abs(ramp.strides[3]) else 1
    rising = len(group_time) > 1
    span = group_time[-1] - group_time[0] if rising else 1.0
    clock = np.stack([group_time - group_time[0], group_time]) / span * rising
    bright = np.stack(np.nonzero(design[4]))
    limit = np.ascontiguousarray(design[5:7, :, 0])
    return _line_levels(ramp, design, clock, bright, edges, limit, tile, by_median)


def subtract_levels(ramp: np.ndarray, levels: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the ramps minus the level of each line and output.

    Parameters
    ----------
    ramp : (time, group, slow, fast) number
        Counts; the result has the same memory order.
    levels : (time, group, slow, output) float32
        What to subtract.
    edges : (output + 1,) int
        Fast index at which each output begins, and the end.

    Returns
    -------
    (time, group, slow, fast) float32
    """
    out = np.empty_like(ramp, dtype=np.float32)
    for o, (begin, end) in enumerate(pairwise(edges)):
        part = (..., slice(begin, end))
        np.subtract(ramp[part], levels[..., o, None], out=out[part], dtype=np.float32)
    return out


def clean_lines(
    ramp: np.ndarray,
    design: np.ndarray,
    group_time: np.ndarray,
    baseline: np.ndarray,
    *,
    edges: np.ndarray,
    by_median: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Subtract from each line what its level departs from the static one.

    Parameters
    ----------
    ramp, design, group_time, edges, by_median
        As for `line_levels`.
    baseline : (group, slow, output) float
        Level that stays in the data.

    Returns
    -------
    clean : (time, group, slow, fast) float32
        In the memory order of ``ramp``.
    stripe : (time, group, slow, output) float32
        What was subtracted.
    """
    levels, _ = line_levels(ramp, design, group_time, edges=edges, by_median=by_median)
    stripe = (levels - baseline).astype(np.float32)
    return subtract_levels(ramp, stripe, edges), stripe
