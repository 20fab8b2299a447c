"""Background level of each line of constant wavelength: a mean, a median or a polynomial.

What is fitted is the difference to the median frame, to which the fit of the median frame
itself is added: a pixel that is missing in one integration is so replaced by its usual value,
and changes nothing if it lies on a gradient.

Shapes: ``rate``, ``error`` (time, spatial, dispersion) float32, ``unusable`` bool; static
arrays (spatial, dispersion). A fit is its coefficients c, (..., order + 1) float64, of
sum_k c_k (y - centre)^k; the level at the spectrum is c_0.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.background import MIN_PIXELS

__all__ = ["level_variance", "line_levels", "static_levels", "subtract_levels"]

ODD, EVEN = 0.47, 1.33
"""Variance of the median of n normal values over that of their mean: pi / 2 n / (n + this)."""


@numba.njit(cache=True, nogil=True)
def line_levels(  # noqa: PLR0913, PLR0917 -- arrays that one pass needs
    rate: np.ndarray,
    error: np.ndarray,
    unusable: np.ndarray,
    region: np.ndarray,
    wings: np.ndarray,
    light: np.ndarray,
    centre: np.ndarray,
    usual: np.ndarray,
    clip: float,
    median: bool = False,
) -> np.ndarray:
    """Fit the background of each line of each integration.

    Parameters
    ----------
    rate, error : (time, spatial, dispersion) float32
        Frames and their 1 sigma errors.
    unusable : (time, spatial, dispersion) bool
        Samples to leave out.
    region : (spatial, dispersion) float64
        Median frame where background is measured, NaN elsewhere.
    wings : (spatial, dispersion) float64
        What the star's light is of it.
    light : (time,) float64
        Light of the star relative to the median frame.
    centre : (dispersion,) float64
        Position of the spectrum.
    usual : (dispersion, order + 1) float64
        Fit of the median frame without its wings, from `static_levels`.
    clip : float
        A sample that changed against the median frame by more than this many sigma,
        relative to the median change of its line, is left out.
    median : bool
        Take the median in place of the mean; the order must be 0.

    Returns
    -------
    (time, dispersion, order + 1) float64
        NaN with fewer than `MIN_PIXELS` samples, or ``order + 2``.
    """
    n_times, n_rows, n_lines = rate.shape
    order = usual.shape[1] - 1
    fit = np.full((n_times, n_lines, order + 1), np.nan)
    place, change = np.empty(n_rows), np.empty(n_rows)
    for t in range(n_times):
        more = light[t] - 1.0
        for x in range(n_lines):
            n = 0
            for y in range(n_rows):
                if np.isfinite(region[y, x]) and not unusable[t, y, x]:
                    place[n] = y
                    change[n] = rate[t, y, x] - region[y, x] - more * wings[y, x]
                    n += 1
            n = _drop_outliers(place, change, n, error[t, :, x], clip)
            if n >= max(MIN_PIXELS, order + 2):
                _fit(place[:n] - centre[x], change[:n], order, median, fit[t, x])
                fit[t, x] += usual[x]
    return fit


@numba.njit(cache=True, nogil=True)
def static_levels(
    region: np.ndarray, centre: np.ndarray, order: int, median: bool = False
) -> np.ndarray:
    """Fit the lines of the median frame.

    Parameters
    ----------
    region, centre, median
        As for `line_levels`.
    order : int
        Degree of the least-squares polynomial along the spatial axis; 0 is the mean.

    Returns
    -------
    (dispersion, order + 1) float64
        NaN without enough pixels.
    """
    fit = np.full((region.shape[1], order + 1), np.nan)
    for x in range(region.shape[1]):
        rows = np.flatnonzero(np.isfinite(region[:, x]))
        if rows.size >= max(MIN_PIXELS, order + 2):
            _fit(rows - centre[x], region[:, x][rows], order, median, fit[x])
    return fit


@numba.njit(cache=True, nogil=True)
def subtract_levels(rate: np.ndarray, fit: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return the frames without their background.

    Parameters
    ----------
    rate : (time, spatial, dispersion) float32
        Frames.
    fit : (time, dispersion, order + 1) float
        From `line_levels`; time may have length 1 for one background for all.
    centre : (dispersion,) float64
        Position of the spectrum.

    Returns
    -------
    (time, spatial, dispersion) float32
    """
    n_times, n_rows, n_lines = rate.shape
    n_fits, _, n_terms = fit.shape
    out = np.empty((n_times, n_rows, n_lines), np.float32)
    for t in range(n_times):
        own = fit[t if n_fits > 1 else 0]
        for y in range(n_rows):
            for x in range(n_lines):
                away = y - centre[x]
                level = own[x, n_terms - 1]
                for k in range(n_terms - 2, -1, -1):
                    level = level * away + own[x, k]
                out[t, y, x] = rate[t, y, x] - level
    return out


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
def _fit(place: np.ndarray, values: np.ndarray, order: int, median: bool, out: np.ndarray) -> None:
    """Write the coefficients of the least-squares polynomial, or the median, into ``out``."""
    mean = values.mean()
    if order == 0:
        out[0] = np.median(values) if median else mean
    elif order == 1:
        middle = place.mean()
        slope = ((place - middle) * (values - mean)).sum() / ((place - middle) ** 2).sum()
        out[0], out[1] = mean - slope * middle, slope
    else:
        reach = np.abs(place).max()
        powers = np.ones((order + 1, place.size))
        for k in range(order):
            powers[k + 1] = powers[k] * place / reach
        found = np.linalg.solve(powers @ powers.T, powers @ values)
        for k in range(order + 1):
            out[k] = found[k] / reach**k


def level_variance(
    error: np.ndarray,
    region: np.ndarray,
    centre: np.ndarray,
    order: int,
    median: bool = False,
) -> np.ndarray:
    """Return the variance of each line's level at the centre of the spectrum.

    Parameters
    ----------
    error : (spatial, dispersion) float
        Typical 1 sigma error of one integration.
    region, centre, order, median
        As for `static_levels`.

    Returns
    -------
    (dispersion,) float64
        Sum of the squared weights times variances, for the median pi / 2 n / (sum 1 / sigma)^2
        with a correction for few pixels; NaN on lines without enough pixels.
    """
    inside = np.isfinite(region)
    n = inside.sum(axis=0)
    enough = n >= max(MIN_PIXELS, order + 2)
    if median:
        inverse = np.where(inside, 1.0 / np.where(error > 0, error, np.inf), 0.0).sum(axis=0)
        few = n / (n + np.where(n % 2 == 1, ODD, EVEN))
        return np.where(enough, np.pi / 2 * few * n / np.where(enough, inverse, 1.0) ** 2, np.nan)
    rows = np.arange(error.shape[0])[:, None]
    reach = np.where(inside, np.abs(rows - centre), 0.0).max(axis=0)
    away = (rows - centre) / np.where(reach > 0, reach, 1.0)
    terms = np.where(inside.T[:, None], np.stack([away.T**k for k in range(order + 1)], axis=1), 0)
    normal = np.where(enough[:, None, None], terms @ terms.transpose(0, 2, 1), np.eye(order + 1))
    weight = np.einsum("xk,xky->yx", np.linalg.inv(normal)[:, 0], terms)
    variance = np.where(inside, weight**2 * np.square(error, dtype=np.float64), 0.0).sum(axis=0)
    return np.where(enough, variance, np.nan)
