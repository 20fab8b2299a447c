"""Samples that do not fit between their neighbours in time.

A hit by a cosmic ray changes a pixel in one integration, a transit changes it in many. Each
sample is compared with the samples of its pixel in neighbouring integrations, brought to the
light of its own integration, so that ingress and egress are no outliers (after Nikolov et
al. 2014, MNRAS 437, 46). A few usable neighbours decide by majority: a sample is an outlier
if more than half of them lie beyond ``sigma`` widths on the same side, which is the test
against their median, and lets a lasting step of the level pass.

Shapes: ``rate``, ``error`` (time, y, x) float32; ``unusable`` (time, y, x) bool; ``light``
(time,) float64. Unusable samples are neither tested nor used; differences are taken in
float64.
"""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["bright_pixels", "light_level", "masked_median", "outliers", "point_to_point_scatter"]

MIN_PIXEL_SIGNAL = 5.0
"""A pixel shows the light of a frame where the median frame has this S/N."""
BRIGHT_PART = 0.9
"""Both flanks of a spectrum, so that a shift of it cancels in the sum."""
MIN_BRIGHT = 32
"""Pixels whose median gives the light of a frame, at least."""
LIGHT_CLIP = 5.0
"""Bright pixels farther off the others of their frame do not count for its light."""
MIN_DIFFERENCES = 16
"""Second differences that a scatter is worth estimating from."""
SECOND_DIFFERENCE = 1.4826 / np.sqrt(1.5)
"""Standard deviation of white noise over the median of |(a + c) / 2 - b|: 1.21."""
SCATTER_NOISE = 1.37
"""Relative uncertainty of that estimate from n successive differences, times sqrt(n)."""


@numba.njit(cache=True, nogil=True)
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
    n_times, n_rows, n_columns = values.shape
    median = np.full((n_rows, n_columns), np.nan, np.float32)
    found = np.empty(n_times, np.float64)
    for y in range(n_rows):
        for x in range(n_columns):
            n = 0
            for t in range(n_times):
                if not unusable[t, y, x] and np.isfinite(values[t, y, x]):
                    found[n] = values[t, y, x]
                    n += 1
            if n > 0:
                median[y, x] = np.median(found[:n])
    return median


def bright_pixels(median: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Choose the pixels that show best how bright each frame is.

    Parameters
    ----------
    median, error : (y, x) float
        Median frame, and the 1 sigma error of one integration.

    Returns
    -------
    (y, x) bool
        The brightest pixels that together hold `BRIGHT_PART` of the summed squared S/N, at least
        `MIN_BRIGHT`; none with an S/N below `MIN_PIXEL_SIGNAL`.
    """
    known = np.isfinite(median) & np.isfinite(error) & (error > 0)
    signal = np.divide(median, error, out=np.zeros(median.shape), where=known).ravel()
    signal = np.where(signal >= MIN_PIXEL_SIGNAL, signal, 0.0)
    order = np.argsort(signal, kind="stable")[::-1]
    power = np.cumsum(signal[order] ** 2)
    n_most = int(np.searchsorted(power, BRIGHT_PART * power[-1])) + 1
    chosen = np.zeros(signal.size, bool)
    chosen[order[: max(n_most, MIN_BRIGHT)]] = True
    return (chosen & (signal > 0)).reshape(median.shape)


@numba.njit(cache=True, nogil=True)
def light_level(
    rate: np.ndarray, unusable: np.ndarray, median: np.ndarray, bright: np.ndarray
) -> np.ndarray:
    """Return how bright each frame is relative to the median frame.

    The summed light of the bright pixels over that in the median frame, without those
    whose ratio lies more than `LIGHT_CLIP` robust standard deviations off: hits.

    Parameters
    ----------
    rate : (time, y, x) float32
        Frames.
    unusable : (time, y, x) bool
        Samples to leave out.
    median : (y, x) float32
        Median frame.
    bright : (y, x) bool
        Pixels of `bright_pixels`.

    Returns
    -------
    (time,) float64
        1 where no bright pixel is usable.
    """
    n_times, n_rows, n_columns = rate.shape
    level = np.ones(n_times)
    ratio, weight = np.empty(bright.sum()), np.empty(bright.sum())
    for t in range(n_times):
        n = 0
        for y in range(n_rows):
            for x in range(n_columns):
                if bright[y, x] and not unusable[t, y, x] and np.isfinite(rate[t, y, x]):
                    weight[n] = median[y, x]
                    ratio[n] = rate[t, y, x] / weight[n]
                    n += 1
        if n > 0:
            middle = np.median(ratio[:n])
            off = np.abs(ratio[:n] - middle)
            used = off <= LIGHT_CLIP * 1.4826 * np.median(off)
            mean = np.sum((ratio[:n] * weight[:n])[used]) / np.sum(weight[:n][used])
            level[t] = mean if mean > 0.0 else 1.0
    return level


@numba.njit(cache=True, nogil=True)
def point_to_point_scatter(
    rate: np.ndarray, unusable: np.ndarray, light: np.ndarray, index: np.ndarray
) -> np.ndarray:
    """Return the robust scatter of each pixel from integration to integration.

    ``1.21 median |(D_t-1 + D_t+1) / 2 - D_t|`` of the rates divided by the light, which
    slow changes do not enter. Lowered by its own 1 sigma uncertainty, so that chance does
    not widen the limits of a pixel that is as quiet as predicted.

    Parameters
    ----------
    rate, unusable, light
        Frames, or a sample of them that has runs of successive ones.
    index : (time,) int64
        Number of each frame: differences are taken where three follow each other.

    Returns
    -------
    (y, x) float32
        0 where fewer than `MIN_DIFFERENCES` differences can be formed.
    """
    n_times, n_rows, n_columns = rate.shape
    scatter = np.zeros((n_rows, n_columns), np.float32)
    found = np.empty(n_times)
    for y in range(n_rows):
        for x in range(n_columns):
            n = 0
            for t in range(1, n_times - 1):
                if index[t + 1] - index[t - 1] != 2:
                    continue
                if unusable[t - 1, y, x] or unusable[t, y, x] or unusable[t + 1, y, x]:
                    continue
                mean = 0.5 * (rate[t - 1, y, x] / light[t - 1] + rate[t + 1, y, x] / light[t + 1])
                found[n] = abs(mean - rate[t, y, x] / light[t])
                n += 1
            if n >= MIN_DIFFERENCES:
                uncertainty = SCATTER_NOISE / np.sqrt(n)
                scatter[y, x] = SECOND_DIFFERENCE * np.median(found[:n]) / (1.0 + uncertainty)
    return scatter


@numba.njit(cache=True, nogil=True)
def outliers(
    rate: np.ndarray,
    error: np.ndarray,
    unusable: np.ndarray,
    light: np.ndarray,
    scatter: np.ndarray,
    limits: tuple[float, int, int],
) -> np.ndarray:
    """Find the samples that lie off their neighbours in time.

    The width is the larger of the predicted error and the pixel's scatter in time, times
    ``sqrt(1 + pi / 2 (n + 1))`` for the noise of the median of ``n`` neighbours.

    Parameters
    ----------
    rate, error, unusable, light
        Frames.
    scatter : (y, x) float32
        From `point_to_point_scatter`; 0 leaves the width to ``error``.
    limits : (sigma, window, margin)
        Threshold in widths; integrations in the window, the tested one included; frames at
        both ends that serve as neighbours only. Up to ``window - 1`` nearest usable
        neighbours are taken, none farther than that.

    Returns
    -------
    (time - 2 margin, y, x) bool
        A sample with fewer than two usable neighbours is no outlier.
    """
    sigma, window, margin = limits
    n_times, n_rows, n_columns = rate.shape
    found = np.zeros((n_times - 2 * margin, n_rows, n_columns), np.bool_)
    off = np.empty(window + 1)  # both of the last pair of neighbours are taken
    for t in range(margin, n_times - margin):
        for y in range(n_rows):
            for x in range(n_columns):
                if unusable[t, y, x]:
                    continue
                width = sigma * max(error[t, y, x], scatter[y, x] * light[t])
                if _is_outlier(rate[:, y, x], unusable[:, y, x], light, t, window, width, off):
                    found[t - margin, y, x] = True
    return found


@numba.njit(cache=True, nogil=True)
def _is_outlier(
    rate: np.ndarray,
    unusable: np.ndarray,
    light: np.ndarray,
    t: int,
    window: int,
    width: float,
    off: np.ndarray,
) -> bool:
    """Return whether most of the nearest neighbours lie beyond ``width`` on one side.

    ``off`` (window + 1,) is room for the differences.
    """
    least = width * np.sqrt(1.0 + 0.5 * np.pi / (window + 2))
    n, n_quiet = 0, 0
    distance = 1
    while n < window - 1 and distance < window:
        for s in (t - distance, t + distance):
            if 0 <= s < rate.size and not unusable[s]:
                off[n] = rate[t] - rate[s] * light[t] / light[s]
                n_quiet += abs(off[n]) <= least
                n += 1
        if n_quiet >= (window + 1) // 2:  # the others cannot outvote these
            return False
        distance += 1
    if n < 2:  # one neighbour cannot tell which of the two is wrong
        return False
    limit = width * np.sqrt(1.0 + 0.5 * np.pi / (n + 1))
    n_above, n_below = 0, 0
    for i in range(n):
        n_above += off[i] > limit
        n_below += off[i] < -limit
    return max(n_above, n_below) > n // 2
