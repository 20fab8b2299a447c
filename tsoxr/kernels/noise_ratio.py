r"""Measured scatter over predicted error of a time series, at one integration and in bins.

Second differences of neighbouring values, :math:`r_i = f_i - (f_{i-1} + f_{i+1})/2`, are blind to
a level and to a slope, and hardly see the curvature of a ramp or a transit. With independent
errors e their variance is :math:`e_i^2 + (e_{i-1}^2 + e_{i+1}^2)/4`; over its root each has unit
variance where the errors are right, and the ratio is the root of the mean of their squares.

Outliers: differences beyond `CLIP` times a first scale, that of the median of the squares, are
left out together with their two neighbours, which share points with them. The mean is scaled for
what normal noise loses by that.

Error: neighbouring differences share points, with correlations of -2/3 and 1/6, so that N of them
are worth N / `SHARED` independent ones, and the relative error of the ratio is
:math:`\sqrt{1.94 / 2N}`. A root of a mean is low by half of the square of that, which is corrected.

Noise that is correlated in time, with coefficients :math:`\rho_1` and :math:`\rho_2`, changes the
square of the ratio by :math:`1 - 4\rho_1/3 + \rho_2/3`: slow noise is not seen from one integration
to the next. It is seen in bins of several integrations, where the ratio grows.
"""

from __future__ import annotations

import math

import numpy as np

from tsoxr.kernels.background import medians
from tsoxr.kernels.binning import MEDIAN_SQUARE

__all__ = ["CLIP", "FEWEST", "SHARED", "in_bins", "noise_ratio", "relative_error"]

CLIP = 4.0
"""Differences beyond so many times the first scale are outliers."""

SHARED = 1.0 + 2.0 * (4.0 / 9.0 + 1.0 / 36.0)
"""Second differences that are worth one that shares no points with others."""

FEWEST = 5
"""Differences, with fewer of which no ratio is given."""

KEPT = 1.0 - 2.0 * CLIP * math.exp(-0.5 * CLIP**2) / math.sqrt(2.0 * math.pi) / math.erf(
    CLIP / math.sqrt(2.0)
)
"""Mean square of normal values within `CLIP`."""

TOGETHER = 128
"""Channels that are worked on at a time."""


def relative_error(n: np.ndarray) -> np.ndarray:
    """Return the relative error of a ratio that rests on ``n`` second differences.

    Examples
    --------
    >>> float(np.round(relative_error(np.array(100)), 4))
    0.0986
    """
    return np.sqrt(SHARED / (2.0 * np.maximum(n, 1)))


def noise_ratio(
    flux: np.ndarray, error: np.ndarray, use: np.ndarray, sizes: tuple[int, ...] = (1,)
) -> tuple[np.ndarray, np.ndarray]:
    """Return scatter over error of series that are binned in time by several sizes.

    Parameters
    ----------
    flux, error : (time, channel) float
        Series and their 1 sigma errors; points that are not finite, or without a positive
        error, are left out.
    use : (time,) bool
        Integrations that count. Differences do not reach across the others.
    sizes : tuple of int
        Integrations in a bin.

    Returns
    -------
    ratio, ratio_error : (size, channel) float64
        1 where the errors are right and the noise is white; the error is that of normal
        white noise. NaN with fewer than `FEWEST` differences.
    """
    shape = (len(sizes), flux.shape[1])
    ratio, own = np.full(shape, np.nan), np.full(shape, np.nan)
    for first in range(0, flux.shape[1], TOGETHER):
        some = slice(first, first + TOGETHER)
        value = np.where(use[:, None], flux[:, some], np.nan).astype(np.float64)
        variance = np.asarray(error[:, some], dtype=np.float64) ** 2
        for k, size in enumerate(sizes):
            ratio[k, some], own[k, some] = _ratio(*in_bins(value, variance, size))
    return ratio, own


def in_bins(value: np.ndarray, variance: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return means over runs of ``size`` integrations and their variances.

    Parameters
    ----------
    value, variance : (time, channel) float64
        What is not finite, or has no positive variance, is left out.
    size : int
        Integrations in a bin; a rest at the end is left over.

    Returns
    -------
    mean, variance : (bin, channel) float64
        NaN where half of the integrations or fewer are left.
    """
    n_bins, n_channels = len(value) // size, value.shape[1]
    shape = (n_bins, size, n_channels)
    value, variance = (a[: n_bins * size].reshape(shape) for a in (value, variance))
    used = np.isfinite(value) & (variance > 0) & (variance < np.inf)
    count = used.sum(axis=1)
    enough = 2 * count > size
    n = np.where(enough, count, 1)
    mean = np.where(used, value, 0.0).sum(axis=1) / n
    own = np.where(used, variance, 0.0).sum(axis=1) / n**2
    return np.where(enough, mean, np.nan), np.where(enough, own, np.nan)


def _ratio(value: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ratio and its error, (channel,), of values (bin, channel)."""
    n_channels = value.shape[1]
    if len(value) < FEWEST + 2:
        return np.full(n_channels, np.nan), np.full(n_channels, np.nan)
    rest = value[1:-1] - 0.5 * (value[:-2] + value[2:])
    square = rest**2 / (variance[1:-1] + 0.25 * (variance[:-2] + variance[2:]))
    scale = medians(square.T) / MEDIAN_SQUARE
    with np.errstate(invalid="ignore"):
        out = square > CLIP**2 * scale
    out[1:] |= out[:-1].copy()
    out[:-1] |= out[1:].copy()
    kept = np.isfinite(square) & ~out
    n = kept.sum(axis=0)
    mean = np.where(kept, square, 0.0).sum(axis=0) / np.maximum(n, 1) / KEPT
    own = relative_error(n)
    enough = n >= FEWEST
    ratio = np.where(enough, np.sqrt(mean) * (1.0 + 0.5 * own**2), np.nan)
    return ratio, ratio * own
