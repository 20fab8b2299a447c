"""Levels of read-out lines: the 1/f noise that all pixels of a fast line share.

Arrays come with the axes (time, group, slow, fast): a line is all pixels at one slow
index. Detectors that are read through several outputs side by side have one level per line
and output; ``edges`` holds the fast index where each output begins, and the end.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.medians import LARGEST_NETWORK, network
from tsoxr.kernels.stripe_lanes import levels_side_by_side
from tsoxr.kernels.stripe_lines import clipped_mean, levels_along, subtracted
from tsoxr.kernels.stripe_tiles import NARROW, WIDE, lanes_of, tile_rows

__all__ = [
    "clean_lines",
    "clipped_mean",
    "line_levels",
    "output_edges",
    "relative_excess",
    "relative_light",
    "subtract_levels",
]


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


@part()
def relative_light(first, last, rise, where, n):  # noqa: ANN001, ANN201 -- numba
    """Return the light of an integration over the median, from the pixels ``where[:, :n]``."""
    seen, expected = 0.0, 0.0
    for k in range(n):
        s, f = where[0, k], where[1, k]
        value = float(last[s, f]) - float(first[s, f])
        if np.isfinite(value):
            seen += value
            expected += rise[s, f]
    return seen / expected if expected > 0 else 1.0


@kernel()
def _fill_excess(ramp, rise, bright, where, out):  # noqa: ANN001, ANN202 -- numba
    n = np.int64(0)
    for a in range(bright.shape[0]):
        for b in range(bright.shape[1]):
            where[0, n], where[1, n] = a, b
            n += np.int64(bright[a, b] > 0)
    for t in range(ramp.shape[0]):
        out[t] = relative_light(ramp[t, 0], ramp[t, -1], rise, where, n) - 1.0


def relative_excess(ramp: np.ndarray, rise: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """Return the light (time,) over the median less 1; images (a, b) as they lie in memory."""
    out = np.empty(ramp.shape[0])
    _fill_excess(ramp, rise, bright, np.empty((2, bright.size + 1), np.int32), out)
    return out


def line_levels(
    ramp: np.ndarray,
    design: np.ndarray,
    group_time: np.ndarray,
    *,
    edges: np.ndarray,
    by_median: bool = False,
    with_spread: bool = True,
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
    with_spread : bool
        Measure the scatter too, which the median itself does not need.

    Returns
    -------
    levels : (time, group, slow, output) float32
        0 where a line has no usable pixel.
    spread : (time, group, slow, output) float32
        Standard deviation of the pixels that were averaged, reset noise only in group 0.
    """
    lanes = abs(ramp.strides[2]) < abs(ramp.strides[3])
    data, layers = _in_memory_order(ramp, lanes), _in_memory_order(design, lanes)
    rising = len(group_time) > 1
    span = group_time[-1] - group_time[0] if rising else 1.0
    clock = np.stack([group_time - group_time[0], group_time]) / span * rising
    limit = np.ascontiguousarray(design[5:7, :, 0], np.float32)
    excess = relative_excess(data, layers[1], layers[4])
    edges = np.asarray(edges, np.int64)
    lines = (ramp.shape[2], edges.size - 1)
    found = np.zeros((2, *ramp.shape[:2], *(lines[::-1] if lanes else lines)), np.float32)
    given = (data, layers, clock, excess, edges, limit)
    (_side_by_side if lanes else levels_along)(*given, by_median, with_spread, *found)
    levels, spread = found.swapaxes(-1, -2) if lanes else found
    return levels, spread


def _in_memory_order(array: np.ndarray, lanes: bool) -> np.ndarray:
    return np.ascontiguousarray(array.swapaxes(-1, -2) if lanes else array)


def _side_by_side(ramp, layers, clock, excess, edges, limit, by_median, *rest) -> None:  # noqa: ANN001, ANN002
    """Choose tiles, and how medians are found in them; then fill levels and scatter."""
    model = lanes_of(layers[:4])
    for width in (WIDE, NARROW):
        tiles = tile_rows(model, edges, width)
        longest = int(tiles[1].max(initial=0))
        if longest <= LARGEST_NETWORK or not by_median:
            break
    many = longest > LARGEST_NETWORK or None
    how: tuple[Any, Any, Any] = None, many and (by_median or None), many
    if by_median and not many:
        count = tiles[2][tiles[2] > 0] if longest else np.ones(1, np.int32)
        how = network(longest, (int(count.min()) - 1) // 2, int(count.max()) // 2), None, None
    levels_side_by_side(ramp, model, clock, excess, limit, tiles, how, *rest)


def subtract_levels(
    ramp: np.ndarray, levels: np.ndarray, edges: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Return the ramps minus the level of each line and output.

    Parameters
    ----------
    ramp : (time, group, slow, fast) number
        Counts; the result has the same memory order.
    levels : (time, group, slow, output) float32
        What to subtract.
    edges : (output + 1,) int
        Fast index at which each output begins, and the end.
    out : (time, group, slow, fast) float32, optional
        Where the result goes.

    Returns
    -------
    (time, group, slow, fast) float32
    """
    out = np.empty_like(ramp, dtype=np.float32) if out is None else out
    lanes = abs(ramp.strides[2]) < abs(ramp.strides[3])
    levels = _in_memory_order(levels.astype(np.float32, copy=False), lanes)
    turned = (ramp.swapaxes(-1, -2), out.swapaxes(-1, -2)) if lanes else (ramp, out)
    edges = np.asarray(edges, np.int64)
    if turned[0].flags.c_contiguous and turned[1].flags.c_contiguous:
        subtracted(turned[0], levels, edges, lanes, turned[1])
        return out
    levels = levels.swapaxes(-1, -2) if lanes else levels
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
    levels, _ = line_levels(
        ramp, design, group_time, edges=edges, by_median=by_median, with_spread=False
    )
    stripe = (levels - baseline).astype(np.float32)
    return subtract_levels(ramp, stripe, edges), stripe
