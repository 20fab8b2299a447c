"""Background level of each line of constant wavelength: a mean, a median or a polynomial.

What is fitted is the difference to the median frame, to which the fit of the median frame
itself is added: a pixel that is missing in one integration is so replaced by its usual value,
and changes nothing if it lies on a gradient.

Shapes: ``rate``, ``error`` (time, spatial, dispersion) float32, ``unusable`` bool; static
arrays (spatial, dispersion). A fit is its coefficients c, (..., order + 1) float64, of
sum_k c_k (y - centre)^k; the level at the spectrum is c_0.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.background import MIN_PIXELS, medians
from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.layout import time_blocks
from tsoxr.kernels.small import median_of_many, solve_in_place

__all__ = ["level_variance", "line_levels", "static_levels", "subtract_levels"]

ODD, EVEN = 0.47, 1.33
"""Variance of the median of n normal values over that of their mean: pi / 2 n / (n + this)."""


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
    fit = np.full((len(rate), *usual.shape), np.nan)
    images = (region, wings, centre, usual)
    region, wings, centre, usual = (np.ascontiguousarray(a, np.float64) for a in images)
    more = np.ascontiguousarray(light, np.float64) - 1.0
    room = np.empty((3, rate.shape[1])), np.empty((usual.shape[1] + 1, usual.shape[1]))
    for when, cubes in time_blocks(rate, error, unusable):
        _fill_levels(
            cubes,
            region,
            wings,
            centre,
            usual,
            more[when],
            float(clip),
            bool(median),
            room,
            fit[when],
        )
    return fit


@kernel(error_model="numpy")
def _fill_levels(cubes, region, wings, centre, usual, more, clip, median, room, fit):  # noqa: ANN001, ANN202, C901, PLR0913, PLR0917 -- numba
    """Fill ``fit`` (time, line, term); ``room`` (3, spatial) and (term + 1, term) is scratch."""
    rate, error, unusable = cubes
    values, work = room
    place, change, sorted_ = values[0], values[1], values[2]
    n_terms = usual.shape[1]
    for t in range(rate.shape[0]):
        for x in range(rate.shape[2]):
            n = np.int64(0)
            for y in range(rate.shape[1]):
                if abs(region[y, x]) < np.inf and not unusable[t, y, x]:
                    place[n] = y
                    change[n] = rate[t, y, x] - region[y, x] - more[t] * wings[y, x]
                    sorted_[n] = change[n]
                    n += 1
            if n < MIN_PIXELS:
                continue
            middle = median_of_many(sorted_, n)
            kept = np.int64(0)
            for i in range(n):
                if abs(change[i] - middle) <= clip * error[t, int(place[i]), x]:
                    place[kept], change[kept] = place[i] - centre[x], change[i]
                    sorted_[kept] = change[i]
                    kept += 1
            if kept < MIN_PIXELS or kept <= n_terms:
                continue
            if median:
                work[n_terms, 0] = median_of_many(sorted_, kept)
            else:
                _fit(place, change, kept, work, n_terms)
            for k in range(n_terms):
                fit[t, x, k] = work[n_terms, k] + usual[x, k]


@part(error_model="numpy")
def _fit(place, values, n, work, n_terms):  # noqa: ANN001, ANN202 -- numba infers the types
    """Put the coefficients of the least-squares polynomial into the last row of ``work``."""
    reach = 0.0
    for i in range(n):
        reach = max(reach, abs(place[i]))
    for k in range(n_terms + 1):
        for j in range(n_terms):
            work[k, j] = 0.0
    for i in range(n):
        u = 1.0
        for k in range(n_terms):
            work[n_terms, k] += u * values[i]
            v = u
            for j in range(n_terms):
                work[k, j] += v
                v *= place[i] / reach
            u *= place[i] / reach
    solve_in_place(work, work[n_terms], n_terms)
    unit = 1.0
    for k in range(n_terms):
        work[n_terms, k] /= unit
        unit *= reach


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
    inside = np.isfinite(region)
    n = inside.sum(axis=0)
    enough = n >= max(MIN_PIXELS, order + 2)
    values = np.where(inside, region, 0.0)
    if median:
        fit = medians(np.where(inside, region, np.nan).T)[:, None]
    elif order == 0:
        fit = (values.sum(axis=0) / np.maximum(n, 1))[:, None]
    else:
        terms, normal, reach = _normal_equations(inside, centre, order, enough)
        found = np.linalg.solve(normal, terms @ values.T[..., None])[..., 0]
        fit = found / reach[:, None] ** np.arange(order + 1)
    return np.where(enough[:, None], fit, np.nan)


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
    out = np.empty(rate.shape, np.float32)
    fit = np.array(np.broadcast_to(fit, (len(rate), *fit.shape[1:])), np.float64, order="C")
    centre = np.ascontiguousarray(centre, np.float64)
    for when, (frames,) in time_blocks(rate):
        _subtract(frames, fit[when], centre, out[when])
    return out


@kernel()
def _subtract(rate, fit, centre, out):  # noqa: ANN001, ANN202 -- numba infers the types
    last = fit.shape[2] - 1
    for t in range(rate.shape[0]):
        for y in range(rate.shape[1]):
            for x in range(rate.shape[2]):
                level = fit[t, x, last]
                for k in range(last):
                    level = level * (y - centre[x]) + fit[t, x, last - 1 - k]
                out[t, y, x] = rate[t, y, x] - level


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
    terms, normal, _ = _normal_equations(inside, centre, order, enough)
    weight = np.einsum("xk,xky->yx", np.linalg.inv(normal)[:, 0], terms)
    variance = np.where(inside, weight**2 * np.square(error, dtype=np.float64), 0.0).sum(axis=0)
    return np.where(enough, variance, np.nan)


def _normal_equations(
    inside: np.ndarray, centre: np.ndarray, order: int, enough: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return powers (line, term, spatial) of places over their reach, 0 outside, and the matrices.

    The matrices (line, term, term) are those of least squares, unity on lines without enough pixels;
    the reach is (line,), in pixels.
    """
    rows = np.arange(inside.shape[0])[:, None]
    reach = np.where(inside, np.abs(rows - centre), 0.0).max(axis=0)
    reach = np.where(reach > 0, reach, 1.0)
    away = (rows - centre) / reach
    terms = np.where(inside.T[:, None], np.stack([away.T**k for k in range(order + 1)], axis=1), 0)
    normal = np.where(enough[:, None, None], terms @ terms.transpose(0, 2, 1), np.eye(order + 1))
    return terms, normal, reach
