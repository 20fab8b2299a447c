"""Background level of each line of constant wavelength, beside the spectrum.

Which pixels show background is decided once, from the median frame (`background_region`);
each integration's level is a mean or a straight line over these pixels (`line_levels`). What
is averaged is the difference to the median frame, to which the median frame's own level is
added: a pixel that is missing in one integration is so replaced by its usual value, and
changes nothing if it lies on a gradient.

Shapes: ``rate``, ``error`` (time, spatial, dispersion) float32, ``unusable`` bool; static
arrays (spatial, dispersion); levels (time, dispersion) float64. Positions are indices along
the spatial axis.
"""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["MIN_PIXELS", "background_region", "fill_lines", "level_variance", "line_levels"]

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
def line_levels(
    rate: np.ndarray,
    error: np.ndarray,
    unusable: np.ndarray,
    region: np.ndarray,
    centre: np.ndarray,
    order: int,
    clip: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the background of each line of each integration.

    Parameters
    ----------
    rate, error : (time, spatial, dispersion) float32
        Frames and their 1 sigma errors.
    unusable : (time, spatial, dispersion) bool
        Samples to leave out.
    region : (spatial, dispersion) float64
        Median frame where background is measured, NaN elsewhere.
    centre : (dispersion,) float64
        Position at which the level holds.
    order : int
        0: a mean; 1: a straight line along the spatial axis.
    clip : float
        A sample that changed against the median frame by more than this many sigma,
        relative to the median change of its line, is left out.

    Returns
    -------
    level, slope : (time, dispersion) float64
        Level at ``centre`` and its slope per pixel (0 for order 0); NaN with fewer than
        `MIN_PIXELS` samples.
    """
    n_times, n_rows, n_lines = rate.shape
    usual, usual_slope = _static_levels(region, centre, order)
    level = np.full((n_times, n_lines), np.nan)
    slope = np.full((n_times, n_lines), np.nan)
    place, change = np.empty(n_rows), np.empty(n_rows)
    for t in range(n_times):
        for x in range(n_lines):
            n = 0
            for y in range(n_rows):
                if np.isfinite(region[y, x]) and not unusable[t, y, x]:
                    place[n] = y
                    change[n] = rate[t, y, x] - region[y, x]
                    n += 1
            n = _drop_outliers(place, change, n, error[t, :, x], clip)
            if n >= MIN_PIXELS:
                more, more_slope = _line(place[:n] - centre[x], change[:n], order)
                level[t, x] = usual[x] + more
                slope[t, x] = usual_slope[x] + more_slope
    return level, slope


@numba.njit(cache=True, nogil=True)
def _static_levels(
    region: np.ndarray, centre: np.ndarray, order: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return level and slope of each line of the median frame, NaN without a region."""
    n_lines = region.shape[1]
    level, slope = np.full(n_lines, np.nan), np.full(n_lines, np.nan)
    for x in range(n_lines):
        rows = np.flatnonzero(np.isfinite(region[:, x]))
        if rows.size >= MIN_PIXELS:
            level[x], slope[x] = _line(rows - centre[x], region[:, x][rows], order)
    return level, slope


@numba.njit(cache=True, nogil=True)
def _drop_outliers(
    place: np.ndarray, change: np.ndarray, n: int, sigma: np.ndarray, clip: float
) -> int:
    """Move the samples within ``clip`` sigma of the median to the front; return how many."""
    if n < MIN_PIXELS:
        return n
    middle = np.median(change[:n])
    kept = 0
    for i in range(n):
        if abs(change[i] - middle) <= clip * sigma[int(place[i])]:
            place[kept], change[kept] = place[i], change[i]
            kept += 1
    return kept


@numba.njit(cache=True, nogil=True)
def _line(place: np.ndarray, values: np.ndarray, order: int) -> tuple[float, float]:
    """Return value at 0 and slope of the least-squares line (order 1) or mean (order 0)."""
    mean = values.mean()
    if order == 0:
        return mean, 0.0
    middle = place.mean()
    spread = ((place - middle) ** 2).sum()
    slope = ((place - middle) * (values - mean)).sum() / spread
    return mean - slope * middle, slope


def level_variance(
    error: np.ndarray, region: np.ndarray, centre: np.ndarray, order: int
) -> np.ndarray:
    """Return the variance of each line's level at the centre of the spectrum.

    Parameters
    ----------
    error : (spatial, dispersion) float
        Typical 1 sigma error of one integration.
    region : (spatial, dispersion) float64
        From `background_region`.
    centre : (dispersion,) float64
        Position of the spectrum.
    order : int
        0 or 1, as in `line_levels`.

    Returns
    -------
    (dispersion,) float64
        Sum of the squared weights times variances; NaN on lines without a region.
    """
    inside = np.isfinite(region)
    n = inside.sum(axis=0)
    safe = np.maximum(n, 1)
    weight = inside / safe
    if order == 1:
        away = np.where(inside, np.arange(error.shape[0])[:, None] - centre, 0.0)
        middle = away.sum(axis=0) / safe
        from_middle = np.where(inside, away - middle, 0.0)
        spread = (from_middle**2).sum(axis=0)
        weight = (
            weight
            - np.where(spread > 0, middle / np.where(spread > 0, spread, 1.0), 0.0) * from_middle
        )
    variance = np.where(inside, weight**2 * np.square(error, dtype=np.float64), 0.0).sum(axis=0)
    return np.where(n > 0, variance, np.nan)


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
