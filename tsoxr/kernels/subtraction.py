"""Subtraction of images that do not vary, or only in scale: darks, reset signals, templates.

Ramps come as (time, group, y, x), images as (y, x). No input is written to; sums are made in
float64.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.small import median_of_many

__all__ = [
    "FEWEST",
    "scale_error",
    "subtract_images",
    "subtract_scaled",
    "template_scales",
    "time_median_of",
]

FEWEST = 16
"""Fewer pixels do not measure a level and a scale: they get 0."""

HUBER, BIWEIGHT = 1.345, 4.685
"""Limits of the weights, standard deviations: both are 95 % efficient for Gaussian noise."""

FAST = {"reassoc", "contract", "nsz"}
"""What the compiler may do with sums; NaN is left out before they are made."""

ENOUGH = 10000
"""So many pixels tell the standard deviation to a per cent, which is enough for weights."""

ROUNDING = 1e-24
"""Variance over squared mean of a template below which it is constant but for rounding."""

N_HUBER, N_BIWEIGHT = 8, 3
"""Rounds of reweighting. The first are convex, and so do not depend on where they begin; the
last ones leave far outliers out altogether."""


@numba.njit(cache=True, nogil=True)
def subtract_images(ramp, images, which):  # noqa: ANN001, ANN201 -- numba
    """Return ramps minus one of several images of each group.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        Counts.
    images : (n, group, y, x) float32
        Images; one that has fewer groups leaves the others as they are, and an axis y or x
        of size 1 stands for all pixels along it.
    which : (time,) int
        Image of each integration.

    Returns
    -------
    (time, group, y, x) float32
    """
    n_time, n_group, n_y, n_x = ramp.shape
    step_y, step_x = int(images.shape[2] > 1), int(images.shape[3] > 1)
    out = np.empty((n_time, n_group, n_y, n_x), np.float32)
    for t in range(n_time):
        for g in range(n_group):
            known = g < images.shape[1]
            for y in range(n_y):
                for x in range(n_x):
                    value = np.float32(ramp[t, g, y, x])
                    if known:
                        value -= images[which[t], g, y * step_y, x * step_x]
                    out[t, g, y, x] = value
    return out


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _weighted_line(values, template, weights, n):  # noqa: ANN001, ANN202 -- numba
    """Return level and scale of the weighted least squares of ``values`` on a template."""
    total = mean_v = mean_t = 0.0
    for k in range(n):
        total += weights[k]
        mean_v += weights[k] * values[k]
        mean_t += weights[k] * template[k]
    if total <= 0.0:
        return 0.0, 0.0
    mean_v /= total
    mean_t /= total
    variance = covariance = 0.0
    for k in range(n):
        away = template[k] - mean_t
        variance += weights[k] * away * away
        covariance += weights[k] * away * (values[k] - mean_v)
    # what rounding leaves of a constant template is no variance
    scale = covariance / variance if variance > ROUNDING * total * mean_t * mean_t else 0.0
    return mean_v - scale * mean_t, scale


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _spread(values, template, level, scale, n, scratch):  # noqa: ANN001, ANN202 -- numba
    step = max(n // ENOUGH, 1)
    m = 0
    for k in range(0, n, step):
        scratch[m] = abs(values[k] - level - scale * template[k])
        m += 1
    return 1.4826 * median_of_many(scratch, m)


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _robust_line(values, template, n, weights, scratch):  # noqa: ANN001, ANN202 -- numba
    """Return level and scale of ``values[:n]`` on a template, outliers left out."""
    weights[:n] = 1.0
    level, scale = _weighted_line(values, template, weights, n)
    for i in range(N_HUBER + N_BIWEIGHT):
        if i < 3 or i == N_HUBER:
            sigma = _spread(values, template, level, scale, n, scratch)
            if sigma <= 0.0:
                return level, scale
        for k in range(n):
            off = abs(values[k] - level - scale * template[k]) / sigma
            if i < N_HUBER:
                weights[k] = 1.0 if off <= HUBER else HUBER / off
            else:
                part = off / BIWEIGHT
                weights[k] = (1.0 - part * part) ** 2 if part < 1.0 else 0.0
        level, scale = _weighted_line(values, template, weights, n)
    return level, scale


@numba.njit(cache=True, nogil=True)
def _scales(ramp, static, template, y, x, bounds):  # noqa: ANN001, ANN202 -- numba
    n_time, n_group = ramp.shape[:2]
    n_labels, most = bounds.size - 1, y.size
    out = np.zeros((n_time, n_group, n_labels, 2))
    values, along = np.empty(most), np.empty(most)
    weights, scratch = np.empty(most), np.empty(most)
    for t in range(n_time):
        for g in range(n_group):
            for c in range(n_labels):
                n = 0
                for k in range(bounds[c], bounds[c + 1]):
                    i, j = y[k], x[k]
                    value = np.float64(ramp[t, g, i, j])
                    if g > 0:
                        value -= np.float64(ramp[t, 0, i, j])
                    value -= static[g, i, j]
                    if np.isfinite(value):
                        values[n], along[n] = value, template[i, j]
                        n += 1
                if n >= FEWEST:
                    level, scale = _robust_line(values, along, n, weights, scratch)
                    out[t, g, c, 0], out[t, g, c, 1] = level, scale
                if g > 0:
                    out[t, g, c, 0] += out[t, 0, c, 0]
                    out[t, g, c, 1] += out[t, 0, c, 1]
    return out.astype(np.float32)


def _packed(labels: np.ndarray, n_labels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows and columns of the labelled pixels, label by label, and where each begins."""
    flat = labels.ravel()
    order = np.argsort(flat, kind="stable")
    order = order[flat[order] >= 0]
    y, x = np.unravel_index(order, labels.shape)
    return y, x, np.searchsorted(flat[order], np.arange(n_labels + 1))


def template_scales(
    ramp: np.ndarray, static: np.ndarray, template: np.ndarray, labels: np.ndarray, n_labels: int
) -> np.ndarray:
    """Fit a level and the scale of a template to every group by robust regression.

    What is fitted is the first group and, for the others, the difference to the first group:
    the offset of each pixel at reset is not in it. Their results are those of the first group
    plus those of the difference.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        Counts; NaN is passed over.
    static : (group, y, x) float
        What the first group and the differences usually are, subtracted before the fit.
    template : (y, x) float
        What is scaled; finite in all pixels with a label.
    labels : (y, x) int
        Which fit a pixel belongs to, -1 for none.
    n_labels : int
        Number of fits in each group.

    Returns
    -------
    (time, group, label, term) float32
        Level and scale; 0 where fewer than `FEWEST` pixels have values, scale 0 where the
        template is constant.

    Notes
    -----
    Weights are those of Huber and then of Tukey about the line, in units of the median
    absolute deviation. For n pixels of white noise s and a template with standard deviation
    d, the scale has the error 1.03 s / (d sqrt n), see `scale_error`.
    """
    y, x, bounds = _packed(labels, n_labels)
    return _scales(ramp, static.astype(np.float64), template.astype(np.float64), y, x, bounds)


def scale_error(noise: float, spread: float, n: int) -> float:
    """Return the error of a scale: white noise of a pixel over the template's spread.

    Parameters
    ----------
    noise, spread : float
        Standard deviations of the values and of the template.
    n : int
        Number of pixels.

    Examples
    --------
    >>> round(scale_error(20.0, 700.0, 10000), 6)
    0.000293
    """
    return float(noise / (spread * np.sqrt(0.95 * n)))


@numba.njit(cache=True, nogil=True)
def subtract_scaled(ramp, template, labels, coefficients):  # noqa: ANN001, ANN201 -- numba
    """Return ramps minus level and scaled template.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        Counts.
    template : (y, x) float32
        What is scaled; a pixel that is not finite keeps its counts.
    labels : (y, x) int
        Column of ``coefficients`` that a pixel takes; -1 leaves it alone.
    coefficients : (time, group, label, term) float32
        Level and scale; a single group stands for all.

    Returns
    -------
    (time, group, y, x) float32
    """
    n_time, n_group, n_y, n_x = ramp.shape
    last = coefficients.shape[1] - 1
    out = np.empty((n_time, n_group, n_y, n_x), np.float32)
    for t in range(n_time):
        for g in range(n_group):
            for y in range(n_y):
                for x in range(n_x):
                    value = np.float32(ramp[t, g, y, x])
                    c = labels[y, x]
                    if c >= 0 and np.isfinite(template[y, x]):
                        level, scale = coefficients[t, min(g, last), c]
                        value -= level + scale * template[y, x]
                    out[t, g, y, x] = value
    return out


@numba.njit(cache=True, nogil=True)
def time_median_of(values):  # noqa: ANN001, ANN201 -- numba
    """Return the median over the first axis, NaN left out.

    Parameters
    ----------
    values : (time, group, y, x) float
        Counts.

    Returns
    -------
    (group, y, x) float32
        NaN for a pixel without values.
    """
    n_time, n_group, n_y, n_x = values.shape
    out = np.empty((n_group, n_y, n_x), np.float32)
    line = np.empty((n_x, n_time), np.float32)
    count = np.empty(n_x, np.int64)
    for g in range(n_group):
        for y in range(n_y):
            count[:] = 0
            for t in range(n_time):
                for x in range(n_x):
                    value = np.float32(values[t, g, y, x])
                    if np.isfinite(value):
                        line[x, count[x]] = value
                        count[x] += 1
            for x in range(n_x):
                out[g, y, x] = median_of_many(line[x], count[x]) if count[x] > 0 else np.nan
    return out
