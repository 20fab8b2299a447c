r"""How much of a star's light lies outside of the aperture, from the median frame.

Light at distance r from the trace, relative to the light F of its line inside the aperture, is
stacked over blocks of lines, on each side by itself and pixel by pixel from the aperture's edge:

.. math:: q_j = \frac{\sum_\lambda L_{j\lambda} F_\lambda / \sigma^2_{j\lambda}}
   {\sum_\lambda F^2_\lambda / \sigma^2_{j\lambda}}

`tsoxr.kernels.aperture_wings` tells level and wings of these profiles apart. Where one side cannot
be seen, or shows much more light than the other or than nearer to the trace, as beside another
order or star, the other side stands for it, or the wings do.

Axes are (spatial, dispersion) whatever the detector's are.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.aperture_wings import FEWEST, Stack, losses
from tsoxr.kernels.background import medians

__all__ = ["aperture_loss"]

BLOCKS = 12
"""Parts of the spectrum in which the profile is taken for one."""

CLIP = 5.0
"""Pixels so many times the scatter off the profile of their block are left out of it."""

POOR = 5.0
"""A value with so many times the error of one nearer to the trace is of no use."""

MUCH, LEAST = 2.0, 3e-5
"""So many times the light that is nearer to the trace, or on its other side, and so much more of
the aperture's light in one pixel, belong to something else."""


def aperture_loss(
    median: np.ndarray, noise: np.ndarray, center: np.ndarray, half_width: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of each line's light that lies outside of the aperture.

    Parameters
    ----------
    median, noise : (spatial, dispersion) float
        Median frame, in proportion to electrons, and its variance. Pixels where one is not
        finite or the variance is not positive are not used.
    center : (dispersion,) float64
        Trace, pixels from the first spatial one.
    half_width : float
        Half width of the aperture, pixels.

    Returns
    -------
    loss, error : (dispersion,) float64
        Share of all light, and its 1 sigma error; NaN where the frame cannot tell.
    """
    nothing = np.full(center.shape, np.nan)
    light, sides, variances = _arranged(median, noise, center, half_width)
    blocks = _blocks(light)
    if blocks.max() < 0 or sides.shape[1] < FEWEST:
        return nothing, nothing
    stack = _stacked(light, sides, variances, blocks, half_width)
    found = losses(_cleaned(stack))
    if found is None:
        return nothing, nothing
    return _along(found, light, blocks)


def _arranged(
    median: np.ndarray, noise: np.ndarray, center: np.ndarray, half_width: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the light in the aperture, and beside it with variances.

    (dispersion,) and twice (side, distance, dispersion). Distance j reaches from ``half_width + j``
    to ``half_width + j + 1``; a pixel's light is even within it.
    """
    good = np.isfinite(median) & (noise > 0) & (noise < np.inf)
    n_space = median.shape[0]
    value = np.where(good, median, np.nan).astype(np.float64)
    own = np.where(good, noise, np.nan).astype(np.float64)
    reach = int(np.ceil(np.nanmax(np.maximum(center, n_space - 1 - center), initial=0.0)))
    steps = np.arange(max(int(reach - half_width), 0))
    sides = np.full((2, steps.size, center.size), np.nan)
    variances = np.full(sides.shape, np.nan)
    column = np.arange(center.size)
    for side, sign in enumerate((-1.0, 1.0)):
        middle = center + sign * (half_width + steps[:, None] + 0.5)
        inside = (middle >= 0.0) & (middle <= n_space - 1.0)
        low = np.clip(np.where(inside, middle, 0.0).astype(np.int64), 0, n_space - 2)
        part = np.where(inside, middle - low, np.nan)
        sides[side] = (1.0 - part) * value[low, column] + part * value[low + 1, column]
        variances[side] = (1.0 - part) ** 2 * own[low, column] + part**2 * own[low + 1, column]
    return _inside(value, center, half_width), sides, variances


def _inside(value: np.ndarray, center: np.ndarray, half_width: float) -> np.ndarray:
    """Return the light inside the aperture; lines that lack a pixel of it are of no use."""
    pixel = np.arange(value.shape[0], dtype=np.float64)[:, None]
    upper = np.minimum(pixel + 0.5, center + half_width)
    lower = np.maximum(pixel - 0.5, center - half_width)
    cover = np.clip(upper - lower, 0.0, 1.0)
    lost = ((cover > 0) & ~np.isfinite(value)).any(axis=0)
    whole = np.abs(cover.sum(axis=0) - 2.0 * half_width) < 1e-6
    light = np.where(cover > 0, cover * np.where(np.isfinite(value), value, 0.0), 0.0).sum(axis=0)
    return np.where(whole & ~lost & (light > 0), light, np.nan)


def _blocks(light: np.ndarray) -> np.ndarray:
    """Return the block of each line, -1 for lines without light: equal sums of the light's root."""
    root = np.sqrt(np.where(np.isfinite(light), light, 0.0))
    if not root.any():
        return np.full(light.shape, -1)
    total = np.cumsum(root) - 0.5 * root
    block = np.minimum((BLOCKS * total / root.sum()).astype(np.int64), BLOCKS - 1)
    return np.where(root > 0, block, -1)


def _along(
    found: tuple[np.ndarray, np.ndarray], light: np.ndarray, blocks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of blocks at each line, straight lines between the blocks' middles.

    Beyond the outermost middles half of the slope goes on, and is in the error as well.
    """
    column = np.arange(light.size, dtype=np.float64)
    known = [b for b in range(found[0].size) if np.isfinite(found[0][b])]
    middle = np.array([np.average(column[blocks == b], weights=light[blocks == b]) for b in known])
    value, error = (np.interp(column, middle, part[known]) for part in found)
    if len(known) > 1:
        ends = found[0][known]
        for k, inner, beyond in (
            (0, 1, np.minimum(column - middle[0], 0.0)),
            (-1, -2, np.maximum(column - middle[-1], 0.0)),
        ):
            half = 0.5 * (ends[k] - ends[inner]) / (middle[k] - middle[inner]) * beyond
            value, error = value + half, np.hypot(error, half)
    return value, error


def _stacked(
    light: np.ndarray,
    sides: np.ndarray,
    variances: np.ndarray,
    blocks: np.ndarray,
    half_width: float,
) -> Stack:
    """Return the profiles of the blocks, pixels that stand out of their block left out."""
    shape = (*sides.shape[:2], int(blocks.max()) + 1)
    value, error = np.full(shape, np.nan), np.full(shape, np.nan)
    for b in range(shape[2]):
        lines = blocks == b
        if lines.any():
            own = 1.0 / np.sqrt(variances[..., lines])
            value[..., b], error[..., b] = _ratio(sides[..., lines] * own, light[lines] * own)
    distance = half_width + 0.5 + np.arange(shape[1])
    return Stack(value, error, distance, half_width)


def _ratio(high: np.ndarray, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the slope of ``high`` over ``base`` along the last axis, and its error.

    Both are in units of the error of ``high``.
    """
    kept = np.isfinite(high) & np.isfinite(base)
    high, base = (np.where(kept, a, 0.0) for a in (high, base))
    for _ in range(4):
        power = (kept * base**2).sum(axis=-1)
        slope = np.divide(
            (kept * high * base).sum(axis=-1),
            power,
            out=np.full(power.shape, np.nan),
            where=power > 0,
        )
        off = np.where(kept, np.abs(high - slope[..., None] * base), np.nan)
        spread = np.fmax(1.0, 1.4826 * medians(off))
        kept &= ~(off > CLIP * spread[..., None])
    return slope, spread / np.sqrt(np.where(power > 0, power, np.nan))


def _cleaned(stack: Stack) -> Stack:
    """Return the stack without the parts of a side that show the light of something else.

    Such light rises away from the trace, or lies far above that of the other side. Distances
    that few lines of a block reach are left out as well.
    """
    value, error = stack.value.copy(), np.where(np.isfinite(stack.error), stack.error, 0.0)
    nearer = np.fmin.accumulate(np.where(error > 0, error, np.inf), axis=1)
    value[error > POOR * nearer] = np.nan
    filled = np.where(np.isfinite(value), value, np.inf)
    base = np.minimum(filled.min(axis=(0, 1)), filled[0].min(axis=0))
    margin = CLIP * error + LEAST
    lowest = np.minimum.accumulate(filled, axis=1)
    beside = np.where(np.isfinite(value[::-1]), value[::-1], np.inf)
    own = np.minimum(lowest, beside) - base
    with np.errstate(invalid="ignore"):
        strange = stack.value - base > MUCH * own + margin
    strange[:, :-1] &= strange[:, 1:]
    for side in (0, 1):
        for b in np.flatnonzero(strange[side].any(axis=0)):
            first = int(np.argmax(strange[side, :, b]))
            dip = int(np.argmin(filled[side, : first + 1, b]))
            value[side, min(first, dip // 2) :, b] = np.nan
    return Stack(value, stack.error, stack.distance, stack.half_width)
