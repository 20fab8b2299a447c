"""Which pixels show background beside the spectrum.

They are chosen once, from the median frame. Levels are measured on them by
`tsoxr.kernels.background_levels` and `tsoxr.kernels.background_template`.

Static arrays are (spatial, dispersion), levels (time, dispersion) float64. Positions are
indices along the spatial axis.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel

__all__ = ["MIN_PIXELS", "background_region", "fill_lines", "medians"]

MIN_PIXELS = 3
"""A line with fewer background pixels takes its level from its neighbours."""
RANK_REACH = 7
"""Lines on either side by which a pixel is judged dark; its own noise must have no say."""
REGION_CLIP = 4.0
"""Pixels of the median frame farther off the others of their line show something else."""
MAD_TO_SIGMA = 1.4826
LINES_TOGETHER = 64
"""Lines whose neighbours are sorted together: what they take stays in the processor's cache."""


def background_region(
    median: np.ndarray, centre: np.ndarray, half_width: float, darkest: float = 1.0
) -> np.ndarray:
    """Choose the pixels that show background, and return the median frame there.

    Parameters
    ----------
    median : (spatial, dispersion) float
        Median frame; NaN where a pixel is never usable.
    centre : (dispersion,) float
        Where the spectrum lies.
    half_width : float
        Pixels within this distance of it are left out.
    darkest : float
        Part of the remaining pixels of each line that is kept, from the darkest on.

    Returns
    -------
    (spatial, dispersion) float64
        NaN outside the region, and on lines with fewer than `MIN_PIXELS` pixels.
    """
    rows = np.arange(median.shape[0])[:, None]
    beside = np.abs(rows - centre) > half_width
    values = np.where(beside & np.isfinite(median), median, np.nan).astype(np.float64)
    return _clipped(values, float(darkest))


def _clipped(values: np.ndarray, darkest: float) -> np.ndarray:
    """Return values with NaN where they are not among the darkest or stand out.

    The scatter of a few pixels is uncertain, so it is not taken to be below that of a
    typical line.
    """
    lines = np.ascontiguousarray(values.T)
    rank = lines if darkest >= 1.0 else _neighbours(lines)
    kept = _darkest(lines, rank, darkest)
    scatter = _centre_and_scatter(kept)[1]
    known = np.isfinite(scatter)
    typical = float(np.median(scatter[known])) if known.any() else 0.0
    left = np.arange(len(kept))
    for _ in range(5):
        line = kept[left]
        middle, spread = _centre_and_scatter(line)
        out = np.abs(line - middle[:, None]) > REGION_CLIP * np.fmax(spread, typical)[:, None]
        n_out, n = out.sum(axis=1), np.isfinite(line).sum(axis=1)
        again = (n_out > 0) & (n - n_out >= MIN_PIXELS)
        left, line = left[again], line[again]
        line[out[again]] = np.nan
        kept[left] = line
    return np.ascontiguousarray(kept.T)


def _neighbours(lines: np.ndarray) -> np.ndarray:
    """Return the median of the pixels at the same place on the lines beside, not its own.

    Chosen by its own value, a pixel would be dark because of the noise of the very
    integrations that the median frame was made of, and the level of these would be low.
    """
    nothing = np.full((RANK_REACH, lines.shape[1]), np.nan)
    padded = np.concatenate([nothing, np.where(np.isfinite(lines), lines, np.nan), nothing])
    around = [*range(RANK_REACH), *range(RANK_REACH + 1, 2 * RANK_REACH + 1)]
    beside = np.empty_like(lines)
    for first in range(0, len(lines), LINES_TOGETHER):
        rows = np.arange(first, min(first + LINES_TOGETHER, len(lines)))
        beside[rows] = medians(np.moveaxis(padded[rows[:, None] + around], 1, -1))
    return np.where(np.isfinite(beside), beside, lines)


def _darkest(lines: np.ndarray, rank: np.ndarray, part: float) -> np.ndarray:
    """Return lines with NaN where their rank is not among the lowest, or they have too few."""
    finite = np.isfinite(lines)
    n = finite.sum(axis=1)
    order = np.sort(np.where(finite, rank, np.nan), axis=1)
    n_kept = np.clip(np.round(part * n).astype(int), MIN_PIXELS, np.maximum(n, MIN_PIXELS))
    highest = np.take_along_axis(order, n_kept[:, None] - 1, axis=1)
    return np.where(finite & (rank <= highest) & (n >= MIN_PIXELS)[:, None], lines, np.nan)


def _centre_and_scatter(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return median and 1.4826 MAD of the finite values of each line, NaN without any."""
    middle = medians(lines)
    return middle, MAD_TO_SIGMA * medians(np.abs(lines - middle[:, None]))


def medians(values: np.ndarray) -> np.ndarray:
    """Return the median along the last axis of values that are finite or NaN; NaN without any."""
    order = np.sort(values, axis=-1)  # NaN come last
    n = np.isfinite(values).sum(axis=-1)[..., None]
    low, high = (
        np.take_along_axis(order, k, axis=-1)[..., 0] for k in (np.maximum(n - 1, 0) // 2, n // 2)
    )
    return 0.5 * (low + high)


def fill_lines(levels: np.ndarray) -> np.ndarray:
    """Replace NaN along the last axis by straight lines between the nearest finite values.

    Parameters
    ----------
    levels : (time, dispersion) float64
        With gaps.

    Returns
    -------
    (time, dispersion) float64
        Constant beyond the first and last finite value; a row without any stays NaN.
    """
    filled = np.array(levels, np.float64, order="C")
    if not np.isfinite(filled).all():  # most have no gaps, and wait for no compiler
        _fill_gaps(filled)
    return filled


@kernel()
def _fill_gaps(levels):  # noqa: ANN001, ANN202 -- numba infers the types
    n = levels.shape[1]
    for t in range(levels.shape[0]):
        before = -1
        for x in range(n):
            if not abs(levels[t, x]) < np.inf:
                continue
            slope = 0.0
            if before >= 0:
                slope = (levels[t, x] - levels[t, before]) / (x - before)
            start = levels[t, before] if before >= 0 else levels[t, x]
            for k in range(before + 1, x):
                levels[t, k] = slope * (k - before) + start
            before = x
        for k in range(before + 1, n if before >= 0 else 0):
            levels[t, k] = levels[t, before]
