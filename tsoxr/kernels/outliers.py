"""Medians and noise of pixels in time, for the search for outliers.

Shapes: ``rate``, ``error`` (time, y, x) float32; ``unusable`` (time, y, x) bool. Unusable
samples do not count. ``fits`` and ``templates`` are those of `tsoxr.kernels.outliers_frames`: what
they explain of a frame, its light and its shift, is taken off first.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.layout import row_blocks
from tsoxr.kernels.masked_medians import masked_median_in_time
from tsoxr.kernels.medians import LARGEST_NETWORK, median_by_counting

__all__ = [
    "class_factors",
    "masked_median",
    "median_of",
    "pixel_noise",
    "width_factors",
    "without_motion",
]

BLOCK = 16
"""Pixels that are gathered together: one line of the processor's cache."""
ROWS = 8
"""Rows whose light and motion are taken off together."""
MIN_DIFFERENCES = 16
"""Second differences that a pixel's own scatter is worth estimating from."""
SECOND_DIFFERENCE = 1.4826 / np.sqrt(1.5)
"""Standard deviation of white noise over the median of |(a + c) / 2 - b|: 1.21."""
DIFFERENCE_NOISE = 1.37
"""Relative uncertainty of that estimate from n successive differences, times sqrt(n)."""
MAD = 1.4826
MAD_NOISE = 1.17
"""Relative uncertainty of a standard deviation from the MAD of n samples, times sqrt(n)."""
CLASSES = 16
"""Pixels of similar predicted error have a level of noise in common; so many groups of them."""
MIN_CLASS = 128
"""Pixels of a class, at least: its median is then good to a few per cent."""
LEAST_FACTOR = 0.5
"""Noise below this part of the prediction is not believed."""


@part()
def median_of(values, n, scratch):  # noqa: ANN001, ANN201 -- numba infers the types
    """Return the median of values[:n], finite float32."""
    few = min(n, 8)
    mean, spread = np.float32(0.0), np.float32(0.0)
    for i in range(few):
        mean += values[i] / np.float32(few)
    for i in range(few):
        spread += abs(values[i] - mean) / np.float32(few)
    return median_by_counting(values, n, mean, spread, scratch)


def masked_median(values: np.ndarray, unusable: np.ndarray) -> np.ndarray:
    """Return the median in time of each pixel's usable samples.

    Parameters
    ----------
    values : (time, y, x) float
        Not finite counts as unusable.
    unusable : (time, y, x) bool
        Samples to leave out.

    Returns
    -------
    (y, x) float32
        NaN where no sample is usable.
    """
    median = np.full(values.shape[1:], np.nan, np.float32)
    for rows, (some, lost) in row_blocks(values, unusable):
        if len(some) <= LARGEST_NETWORK:
            median[rows] = masked_median_in_time(some, lost)
            continue
        found = np.empty((BLOCK + 1, len(some)), np.float32)
        _masked_median(some, lost, found, np.empty(BLOCK, np.int64), median[rows])
    return median


@kernel()
def _masked_median(values, unusable, found, count, median):  # noqa: ANN001, ANN202 -- numba infers
    """Fill ``median`` (y, x); ``found`` (BLOCK + 1, time) float32 and ``count`` (BLOCK,) are room."""
    n_times, n_rows, n_columns = values.shape
    for y in range(n_rows):
        for first in range(0, n_columns, BLOCK):
            size = min(BLOCK, n_columns - first)
            for k in range(size):
                count[k] = 0
            for t in range(n_times):
                for k in range(size):
                    v = values[t, y, first + k]
                    if not unusable[t, y, first + k] and abs(v) < np.inf:
                        found[k, count[k]] = v
                        count[k] += 1
            for k in range(size):
                if count[k] > 0:
                    median[y, first + k] = median_of(found[k], count[k], found[BLOCK])


def pixel_noise(
    rate: np.ndarray,
    unusable: np.ndarray,
    fits: np.ndarray,
    templates: np.ndarray,
    index: np.ndarray,
    total: bool,
) -> np.ndarray:
    """Return the robust noise of each pixel, from one integration to the next and in all.

    Parameters
    ----------
    rate, unusable, fits, templates
        Frames, or a sample of them that has runs of successive ones.
    index : (time,) int64
        Number of each frame: differences are taken where three follow each other.
    total : bool
        Measure the second of the two as well.

    Returns
    -------
    (4, y, x) float32
        ``1.21 median |(v_t-1 + v_t+1) / 2 - v_t|``, which slow changes do not enter; ``1.48 median
        |v - median v|``; and the numbers of differences and of samples that they rest on. NaN
        where there are none or it was not asked for.
    """
    out = np.full((4, *rate.shape[1:]), np.nan, np.float32)
    out[2:] = 0.0
    follow = np.flatnonzero(index[2:] - index[:-2] == 2)
    for first in range(0, rate.shape[1], ROWS):
        rows = slice(first, first + ROWS)
        left = without_motion(rate[:, rows], unusable[:, rows], fits, templates[:, rows])
        off = left[follow]
        off += left[follow + 2]
        off *= np.float32(0.5)
        off -= left[follow + 1]
        out[2, rows], out[0, rows] = _seen(np.abs(off, out=off), SECOND_DIFFERENCE)
        if total:
            left -= masked_median(left, np.zeros(left.shape, bool))
            out[3, rows], out[1, rows] = _seen(np.abs(left, out=left), MAD)
    return out


def _seen(values: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return how many of the values (time, y, x) are finite, and their median times a unit."""
    lost = ~np.isfinite(values)
    return len(values) - lost.sum(axis=0), np.float32(unit) * masked_median(values, lost)


def without_motion(
    rate: np.ndarray, unusable: np.ndarray, fits: np.ndarray, templates: np.ndarray
) -> np.ndarray:
    """Return frames less their light and shift, NaN where unusable.

    Parameters
    ----------
    rate, unusable, fits, templates
        Frames.

    Returns
    -------
    (time, y, x) float32
    """
    factor = fits.astype(np.float32)[:, :, None, None]
    explained = factor[:, 0] * templates[0]
    for i in (1, 2):
        explained += factor[:, i] * templates[i]
    left = np.subtract(rate, explained, out=explained)
    left[unusable] = np.nan
    return left


def width_factors(noise: np.ndarray, error: np.ndarray, predicted: bool = True) -> np.ndarray:
    """Return the noise of pixels over their predicted error.

    Pixels of similar predicted error (sorted, in up to `CLASSES` groups) share a factor, the median
    of theirs: noise that the prediction lacks, such as what is left of stripes. A pixel whose own
    scatter exceeds that has its own factor, lowered by its 1 sigma uncertainty so that chance
    does not widen the limits of a quiet pixel.

    Parameters
    ----------
    noise : (4, y, x) float32
        From `pixel_noise`.
    error : (y, x) float32
        Typical predicted error of one integration.
    predicted : bool
        Pixels as noisy as others like them have the common factor; else each has its own, where
        it is known.

    Returns
    -------
    (2, y, x) float32
        Against the neighbours in time, and against the median of all; 1 where nothing is known.
    """
    factors = np.ones((2, *error.shape), np.float32)
    known = np.isfinite(error) & (error > 0)
    for i, unit in enumerate((DIFFERENCE_NOISE, MAD_NOISE)):
        use = known & np.isfinite(noise[i])
        ratio, n = noise[i][use] / error[use], noise[2 + i][use]
        common = _class_medians(ratio, error[use])
        own = ratio / (1.0 + unit / np.sqrt(n)) if predicted else ratio
        least = common if predicted else np.zeros_like(common)
        factors[i][use] = np.where(n >= MIN_DIFFERENCES, np.maximum(own, least), common)
    return factors


def class_factors(noise: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the noise from one integration to the next that pixels of similar error share.

    Parameters
    ----------
    noise, error
        As for `width_factors`.

    Returns
    -------
    (y, x) float64
        Over the error; 1 where nothing is known.
    """
    factors = np.ones(error.shape)
    use = np.isfinite(error) & (error > 0) & np.isfinite(noise[0])
    factors[use] = _class_medians(noise[0][use] / error[use], error[use])
    return factors


def _class_medians(ratio: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return for each pixel the median ratio of those of similar error; arrays (pixel,)."""
    common = np.ones_like(ratio)
    if ratio.size == 0:
        return common
    parts = int(np.clip(ratio.size // MIN_CLASS, 1, CLASSES))
    for alike in np.array_split(np.argsort(error, kind="stable"), parts):
        common[alike] = np.median(ratio[alike])
    return np.maximum(common, LEAST_FACTOR)
