"""One frame from many: sums and counts that grow by one integration after the other.

What is combined is the difference to an expectation, the median of a sample times the light of
the integration: a sample that is missing in transit then takes nothing from the mean that the
others have. The sums hold everything that mean, median and errors need, so that memory does not
grow with the number of integrations, and they are filled in the order of time, so that blocks
of any length give the same result.

Shapes: ``value``, ``error`` (time, pixel) float32, ``unusable`` bool, ``flags`` uint32; static
arrays (pixel,). The pixels of an image stand in one row.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.outliers import masked_median

__all__ = ["N_BINS", "add_block", "combined_mean", "combined_median", "light_of", "new_sums"]

N_BINS = 49
"""Bins that the median is found in, over `REACH` standard deviations to either side; odd, as the
median of few samples is one of them and lies in the middle of a bin."""
REACH = 1.5
"""The median of 32 samples lies within this of the median of all: 6.8 of its errors."""
MIN_SIGNAL = 5.0
"""S/N of pixels that show the light of an integration."""
ODD, EVEN = 0.47, 1.33
"""Variance of the median of n normal values over that of their mean: pi / 2 n / (n + this)."""


def new_sums(n_pixels: int, *, median: bool) -> dict[str, np.ndarray]:
    """Return empty sums: number, differences, variances and pulls of each pixel, and more.

    Parameters
    ----------
    n_pixels : int
        Of one integration.
    median : bool
        Count differences in bins too.

    Returns
    -------
    dict of numpy.ndarray
        For `add_block`, which fills it.
    """
    return {
        "moments": np.zeros((n_pixels, 6)),
        "counts": np.zeros((n_pixels if median else 0, N_BINS + 2), np.uint32),
        "common": np.full(n_pixels, 0xFFFFFFFF, np.uint32),
    }


def light_of(
    value: np.ndarray, unusable: np.ndarray, usual: np.ndarray, sigma: np.ndarray
) -> np.ndarray:
    """Return the light of each integration relative to the usual one.

    Parameters
    ----------
    value : (time, pixel) float32
        Rates or fluxes.
    unusable : (time, pixel) bool
        Samples to leave out.
    usual, sigma : (pixel,) float32
        Median of a sample, and its scatter.

    Returns
    -------
    (time,) float64
        Median ratio of the pixels with half of the best S/N; 1 where none has 5.
    """
    known = (sigma > 0) & np.isfinite(usual)
    signal = np.divide(usual, sigma, out=np.zeros_like(usual), where=known)
    bright = np.flatnonzero((signal >= 0.5 * signal.max(initial=0.0)) & (signal >= MIN_SIGNAL))
    ratio = (value[:, bright] / usual[bright]).T
    light = masked_median(ratio[:, None], unusable[:, bright].T[:, None])[0]
    return np.where(np.isfinite(light), light, 1.0)


@numba.njit(cache=True, nogil=True)
def add_block(  # noqa: PLR0913, PLR0917 -- arrays that one pass needs
    value: np.ndarray,
    error: np.ndarray,
    unusable: np.ndarray,
    flags: np.ndarray,
    light: np.ndarray,
    usual: np.ndarray,
    sigma: np.ndarray,
    clip: float,
    moments: np.ndarray,
    counts: np.ndarray,
    common: np.ndarray,
) -> None:
    """Add integrations to the sums, in place.

    Parameters
    ----------
    value, error : (time, pixel) float32
        Rates or fluxes and their 1 sigma errors.
    unusable : (time, pixel) bool
        Samples to leave out.
    flags : (time, pixel) uint32
        Data quality.
    light : (time,) float64
        From `light_of`.
    usual, sigma : (pixel,) float32
        Median of a sample, and its scatter; not finite where the pixel is never usable.
    clip : float
        Samples that differ from the expectation by more sigma are hits.
    moments, counts, common
        From `new_sums`: n, sums of differences d, variances, inverse errors, d / error and its
        square; differences in bins; flags that all have.
    """
    scale = N_BINS / (2.0 * REACH)
    for t in range(value.shape[0]):
        for i in range(value.shape[1]):
            common[i] &= flags[t, i]
            if unusable[t, i] or not np.isfinite(usual[i]):
                continue
            d = float(value[t, i]) - light[t] * float(usual[i])
            own = float(error[t, i])
            if not abs(d) <= clip * max(own, float(sigma[i])):
                continue
            moments[i, 0] += 1.0
            moments[i, 1] += d
            moments[i, 2] += own * own
            moments[i, 3] += 1.0 / own
            moments[i, 4] += d / own
            moments[i, 5] += (d / own) ** 2
            if counts.shape[0] > 0:
                place = (d / sigma[i] + REACH) * scale
                counts[i, int(min(max(place, -1.0), N_BINS)) + 1 if place >= 0 else 0] += 1


def combined_mean(
    moments: np.ndarray, usual: np.ndarray, light: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each pixel and its error.

    Parameters
    ----------
    moments : (pixel, 6) float64
        From `add_block`.
    usual : (pixel,) float32
        The median that differences were taken to.
    light : (time,) float64
        Of all integrations.

    Returns
    -------
    value, error : (pixel,) float32
        All samples weigh the same, as weights from their own errors would favour faint ones;
        NaN without a sample.
    """
    n = np.where(moments[:, 0] > 0, moments[:, 0], np.nan)
    value = usual * light.mean() + moments[:, 1] / n
    return value.astype(np.float32), (np.sqrt(moments[:, 2]) / n).astype(np.float32)


def combined_median(
    moments: np.ndarray,
    counts: np.ndarray,
    usual: np.ndarray,
    sigma: np.ndarray,
    light: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the median of each pixel and its error.

    Parameters
    ----------
    moments, counts
        From `add_block`.
    usual, sigma : (pixel,) float32
        The median that differences were taken to, and the scatter that bins are counted in.
    light : (time,) float64
        Of all integrations.

    Returns
    -------
    value, error : (pixel,) float32
        Within the bin of the middle sample, samples count as spread evenly: rounding adds at
        most 0.02 sigma of one integration. The error is that of the median of normal values
        with these errors, pi / 2 n / (sum 1 / sigma)^2, corrected for few samples.
    """
    n = np.where(moments[:, 0] > 0, moments[:, 0], np.nan)
    lower, upper = np.floor((n + 1) / 2), np.floor(n / 2) + 1
    place = 0.5 * (_of_rank(counts, lower) + _of_rank(counts, upper))
    value = usual * np.median(light) + sigma * place
    few = n / (n + np.where(n % 2 == 1, ODD, EVEN))
    error = np.sqrt(np.pi / 2 * few * n) / moments[:, 3]
    return np.where(n > 0, value, np.nan).astype(np.float32), error.astype(np.float32)


def _of_rank(counts: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """Return where the sample of a rank (from 1) lies, in standard deviations."""
    below = np.cumsum(counts, axis=1, dtype=np.float64)
    wanted = np.nan_to_num(rank, nan=1.0)
    at = np.argmax(below >= wanted[:, None], axis=1)
    row = np.arange(at.size)
    inside = counts[row, at]
    part = (wanted - (below[row, at] - inside) - 0.5) / np.maximum(inside, 1)
    return np.clip(at - 1 + part, 0.0, N_BINS) * (2.0 * REACH / N_BINS) - REACH
