"""Values for samples that cannot be used: from the pixel at other times, or from its frame.

The median frame, with pixels that are never usable filled from those along the dispersion, says what a
pixel shows; its neighbours in time, along the dispersion or across it say how much of that there is
in this integration. Shapes as in `tsoxr.kernels.outliers`.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels import bad_pixels_expected
from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.small import median_of_few

__all__ = ["METHODS", "fill_static", "replace"]

METHODS = ("time", "space", "profile")
REACH = 5
"""Pixels to either side along the dispersion that say how much light there is."""
MIN_USABLE = 2
"""Samples that a value rests on, at least."""


def fill_static(
    median: np.ndarray, error: np.ndarray, *, dispersed: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fill the pixels of the median frame that are never usable.

    Parameters
    ----------
    median, error : (spatial, dispersion) or (y, x) float
        Median frame and typical error; NaN where no sample is usable.
    dispersed : bool
        The last axis is that of the dispersion.

    Returns
    -------
    median, error, uncertainty : float64
        NaN where no pixel near is known. The uncertainty of the first is 0 where it was known, else
        the disagreement of the pixels that it was taken from.
    """
    good = np.isfinite(median) & np.isfinite(error)
    expect = (
        bad_pixels_expected.expected_from_line
        if dispersed
        else bad_pixels_expected.expected_from_around
    )
    if not good.any():
        return (np.full(median.shape, np.nan),) * 3
    expected, *_, spread = expect(median.astype(float), good)
    typical = expect(error.astype(float), good)[0]
    spread = np.where(np.isfinite(spread), spread, np.abs(expected))
    return (
        np.where(good, median, expected),
        np.where(good, error, typical),
        np.where(good, 0.0, spread),
    )


def replace(
    rate: np.ndarray,
    error: np.ndarray,
    unusable: np.ndarray,
    wanted: np.ndarray,
    fits: np.ndarray,
    images: np.ndarray,
    limits: tuple[int, int, int, bool],
) -> np.ndarray:
    """Return rates and errors with values for samples that have none.

    Parameters
    ----------
    rate, error : (time, y, x) float32
        Frames.
    unusable, wanted : (time, y, x) bool
        Samples that say nothing, and those of them that get a value.
    fits : (time, 4) float64
        From `frame_fits`; NaN for frames beyond the ends of the series.
    images : (8, y, x) float32
        The five of `frame_templates` and the three of `fill_static`.
    limits : (method, window, margin, along_x)
        Index in `METHODS`; integrations on either side that ``"time"`` may use; frames at
        both ends that only serve as neighbours; whether the dispersion runs along x.

    Returns
    -------
    (2, time - 2 margin, y, x) float32
        Rates and errors.

    Notes
    -----
    ``"time"`` is the median of the usable samples of the window, brought to light and shift of
    this frame. Without two of them, and for the others, it is ``r M``, r the least-squares scale of the
    median frame M to the usable pixels along the dispersion (``"space"``), or in the same line
    across it (``"profile"``, also for what time has no answer to). The variance is that of the estimate, and
    the usual one of the pixel on top: a sample that was not measured is never better than one
    that was.
    """
    method, window, margin, along_x = limits
    inner = slice(margin, len(rate) - margin)
    out = np.stack([rate[inner], error[inner]])
    settings = (method, margin, bool(along_x))
    _replace(rate, error, unusable, wanted, fits, images, settings, np.empty(2 * window + 1), out)
    return out


@kernel()
def _replace(rate, error, unusable, wanted, fits, images, settings, near, out):  # noqa: ANN001, ANN202 -- numba
    """Do the work of `replace`; ``near`` is room for the samples of a window."""
    method, margin, along_x = settings
    n_times, n_rows, n_columns = rate.shape
    for t in range(margin, n_times - margin):
        for y in range(n_rows):
            for x in range(n_columns):
                if not wanted[t, y, x]:
                    continue
                value, variance = np.nan, np.nan
                if method == 0:
                    value, variance = _from_time(
                        (rate, error), unusable, fits, images, t, y, x, near
                    )
                if not abs(value) < np.inf:
                    value, variance = _from_frame(
                        rate, error, unusable, images, t, y, x, method == 1, along_x
                    )
                own = images[6, y, x]
                if abs(value) < np.inf and abs(own) < np.inf:
                    out[0, t - margin, y, x] = value
                    out[1, t - margin, y, x] = np.sqrt(variance + own**2)


@part()
def _from_time(cubes, unusable, fits, images, t, y, x, near):  # noqa: ANN001, ANN202 -- numba
    """Return the median of a pixel's usable neighbours in time, and its variance."""
    rate, error = cubes
    window = near.size // 2
    n, variance = np.int64(0), 0.0
    for s in range(max(t - window, 0), min(t + window + 1, rate.shape[0])):
        if not unusable[s, y, x] and np.isfinite(fits[s, 0]):
            near[n] = rate[s, y, x]
            for i in range(3):
                near[n] += (fits[t, i] - fits[s, i]) * images[i, y, x]
            variance += error[s, y, x] ** 2
            n += 1
    if n < MIN_USABLE:
        return np.nan, np.nan
    return median_of_few(near, n), variance / n * 0.5 * np.pi / (n + 1)


@part()
def _from_frame(rate, error, unusable, images, t, y, x, near_only, along_x):  # noqa: ANN001, ANN202 -- numba
    """Return the median frame's value scaled to pixels of this frame, and its variance."""
    n_rows, n_columns = rate.shape[1:]
    if near_only == along_x:  # pixels of the same row
        low, high = (
            (max(x - REACH, 0), min(x + REACH + 1, n_columns)) if near_only else (0, n_columns)
        )
    else:
        low, high = (max(y - REACH, 0), min(y + REACH + 1, n_rows)) if near_only else (0, n_rows)
    top, bottom, n = 0.0, 0.0, 0
    for i in range(low, high):
        j, k = (y, i) if near_only == along_x else (i, x)
        model = images[5, j, k]
        if not unusable[t, j, k] and np.isfinite(model):
            weight = 1.0 / np.float64(error[t, j, k]) ** 2
            top += weight * model * rate[t, j, k]
            bottom += weight * model * model
            n += 1
    if n < MIN_USABLE or not bottom > 0.0:
        return np.nan, np.nan
    scale, model = top / bottom, images[5, y, x]
    return scale * model, model**2 / bottom + np.float64(images[7, y, x]) ** 2
