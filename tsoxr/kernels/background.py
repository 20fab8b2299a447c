"""Which pixels show background beside the spectrum.

They are chosen once, from the median frame. Levels are measured on them by
`tsoxr.kernels.background_levels` and `tsoxr.kernels.background_template`.

Static arrays are (spatial, dispersion), levels (time, dispersion) float64. Positions are
indices along the spatial axis.
"""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["MIN_PIXELS", "background_region", "fill_lines"]

MIN_PIXELS = 3
"""A line with fewer background pixels takes its level from its neighbours."""
RANK_REACH = 7
"""Lines on either side by which a pixel is judged dark; its own noise must have no say."""
REGION_CLIP = 4.0
"""Pixels of the median frame farther off the others of their line show something else."""
MAD_TO_SIGMA = 1.4826


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


@numba.njit(cache=True, nogil=True)
def _clipped(values: np.ndarray, darkest: float) -> np.ndarray:
    """Return values with NaN where they are not among the darkest or stand out.

    The scatter of a few pixels is uncertain, so it is not taken to be below that of a
    typical line.
    """
    n_lines = values.shape[1]
    kept = np.full(values.shape, np.nan)
    scatter = np.full(n_lines, np.nan)
    rank = values if darkest >= 1.0 else _neighbours(values)
    for x in range(n_lines):
        kept[:, x] = _darkest(values[:, x], rank[:, x], darkest)
        scatter[x] = _centre_and_scatter(kept[:, x])[1]
    typical = np.nanmedian(scatter) if np.isfinite(scatter).any() else 0.0
    for x in range(n_lines):
        line = kept[:, x]
        for _ in range(5):
            middle, spread = _centre_and_scatter(line)
            out = np.abs(line - middle) > REGION_CLIP * max(spread, typical)
            if not out.any() or np.isfinite(line).sum() - out.sum() < MIN_PIXELS:
                break
            line[out] = np.nan
    return kept


@numba.njit(cache=True, nogil=True)
def _neighbours(values: np.ndarray) -> np.ndarray:
    """Return the median of the pixels at the same place on the lines beside, not its own.

    Chosen by its own value, a pixel would be dark because of the noise of the very
    integrations that the median frame was made of, and the level of these would be low.
    """
    n_space, n_lines = values.shape
    beside = np.empty((n_space, n_lines))
    around = np.empty(2 * RANK_REACH)
    for y in range(n_space):
        for x in range(n_lines):
            n = 0
            for k in range(max(0, x - RANK_REACH), min(n_lines, x + RANK_REACH + 1)):
                if k != x and np.isfinite(values[y, k]):
                    around[n] = values[y, k]
                    n += 1
            beside[y, x] = np.median(around[:n]) if n > 0 else values[y, x]
    return beside


@numba.njit(cache=True, nogil=True)
def _darkest(line: np.ndarray, rank: np.ndarray, part: float) -> np.ndarray:
    """Return the line with NaN where its rank is not among the lowest, or it has too few."""
    finite = np.isfinite(line)
    order = np.sort(rank[finite])
    if order.size < MIN_PIXELS:
        return np.full(line.size, np.nan)
    n_kept = min(max(MIN_PIXELS, round(part * order.size)), order.size)
    return np.where(finite & (rank <= order[n_kept - 1]), line, np.nan)


@numba.njit(cache=True, nogil=True)
def _centre_and_scatter(line: np.ndarray) -> tuple[float, float]:
    """Return median and 1.4826 MAD of the finite values, NaN without any."""
    present = line[np.isfinite(line)]
    if present.size == 0:
        return np.nan, np.nan
    middle = np.median(present)
    return middle, MAD_TO_SIGMA * np.median(np.abs(present - middle))


@numba.njit(cache=True, nogil=True)
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
    filled = levels.copy()
    for t in range(levels.shape[0]):
        known = np.flatnonzero(np.isfinite(levels[t]))
        if 0 < known.size < levels.shape[1]:
            gaps = np.flatnonzero(~np.isfinite(levels[t]))
            filled[t][gaps] = np.interp(gaps, known, levels[t][known])
    return filled
