"""Samples that do not fit between their neighbours in time, or into their own frame.

A hit by a cosmic ray changes a pixel in one integration, a transit changes it in many. Light and
shift of each frame (`tsoxr.kernels.outliers_frames`) are taken off every sample,
``v_t = D_t - sum_k c_tk T_k``, and v_t is compared with its neighbours in time. These decide by
majority: a sample is an outlier if more than half of them lie beyond the limit on the same side,
which is the test against their median, and lets a lasting step of the level pass (after Nikolov et
al. 2014, MNRAS 437, 46).

Most samples are dismissed without a median: half of the neighbours within the limit cannot be
outvoted. That is asked of a block of pixels at a time, in vector registers; the few that are
left are counted one by one.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.outliers_frames import FAINT, UNKNOWN

__all__ = [
    "BY_BOTH",
    "BY_SPACE",
    "BY_TIME",
    "QUIET_FRAME",
    "ends",
    "search",
    "series",
    "verdict",
    "window",
]

BLOCK = 64
"""Pixels of a line that are tested together."""
MIN_NEIGHBOURS = 2
"""One neighbour cannot tell which of the two is wrong."""
MIN_AROUND = 3
"""Usable pixels around one, of eight, whose median says what the frame has there."""
QUIET_FRAME = 1.3
"""A frame with more residual than this times the usual has moved by more than the fit follows."""
BY_TIME, BY_SPACE, BY_BOTH = 0, 1, 2
"""Which test: against neighbours in time; against the median image; the second where the first is mute."""


@numba.njit(cache=True, nogil=True)
def search(
    rate: np.ndarray,
    error: np.ndarray,
    unusable: np.ndarray,
    fits: np.ndarray,
    images: np.ndarray,
    limits: tuple[float, int, int, int, int, float],
) -> np.ndarray:
    """Find the samples that lie off their neighbours.

    Parameters
    ----------
    rate, error : (time, y, x) float32
        Frames.
    unusable : (time, y, x) bool
        Samples that are neither tested nor used.
    fits : (time, 4) float64
        From `frame_fits`; NaN for frames beyond the ends of the series.
    images : (7, y, x) float32
        The five of `frame_templates` and the two of `width_factors`.
    limits : (sigma, window, rounds, margin, test, usual)
        Threshold in widths; frames in the window, the tested one included; rounds, of
        which later ones leave out what earlier ones found; frames at both ends that serve as
        neighbours only; `BY_TIME`, `BY_SPACE` or `BY_BOTH`; usual residual of a frame.

    Returns
    -------
    (time, y, x) int8
        +1 or -1 for an excess or a lack, else 0; 0 in the margins.

    Notes
    -----
    The width is the sample's error times the pixel's factor, times ``sqrt(1 + pi / 2 (n + 1))``
    for the noise of the median of ``n`` neighbours.
    """
    _, _, n_rounds, _, _, usual = limits
    n_times, n_rows, n_columns = rate.shape
    found = np.zeros(rate.shape, np.int8)
    v = np.empty((n_times, BLOCK), np.float32)
    w = np.empty((n_times, BLOCK), np.float32)
    excess = np.empty(n_times, np.float32)
    for t in range(n_times):
        excess[t] = max(1.0, fits[t, 3] / (QUIET_FRAME * usual)) if usual > 0.0 else 1.0
    for y in range(n_rows):
        for x in range(0, n_columns, BLOCK):
            size = min(BLOCK, n_columns - x)
            _gather((rate, error), unusable, fits, images, excess, y, x, v, w)
            for _ in range(n_rounds):
                part = found[:, y, x : x + size]
                n_new = _one_round(v, w, size, fits, images[:, y, x : x + size], limits, part)
                if n_new == 0:
                    break
                for t in range(n_times):
                    for k in range(size):
                        if part[t, k] != 0:
                            v[t, k] = np.nan
    if limits[4] != BY_TIME:
        _ask_the_frame(rate, error, unusable, fits, images, limits, found)
    return found


@numba.njit(cache=True, nogil=True)
def _gather(cubes, unusable, fits, images, excess, y, x, v, w):  # noqa: ANN001, ANN202 -- numba
    """Fill v and w (time, BLOCK) with what the fits leave of the samples, and their widths."""
    rate, error = cubes
    size = min(BLOCK, rate.shape[2] - x)
    for t in range(rate.shape[0]):
        c0, c1, c2 = np.float32(fits[t, 0]), np.float32(fits[t, 1]), np.float32(fits[t, 2])
        for k in range(size):
            explained = (
                c0 * images[0, y, x + k] + c1 * images[1, y, x + k] + c2 * images[2, y, x + k]
            )
            v[t, k] = np.float32(np.nan) if unusable[t, y, x + k] else rate[t, y, x + k] - explained
            w[t, k] = error[t, y, x + k] * images[5, y, x + k]
        if excess[t] > 1.0:
            for k in range(size):
                if images[4, y, x + k] > FAINT:
                    w[t, k] *= excess[t]


@numba.njit(cache=True, nogil=True)
def ends(fits):  # noqa: ANN001, ANN201 -- numba
    """Return the first and the last frame that exist."""
    first, last = 0, fits.shape[0] - 1
    while first < last and not np.isfinite(fits[first, 0]):
        first += 1
    while last > first and not np.isfinite(fits[last, 0]):
        last -= 1
    return first, last


@numba.njit(cache=True, nogil=True)
def window(t, length, first, last):  # noqa: ANN001, ANN201 -- numba
    """Return the first and last frame of the window about t, moved inward at the ends."""
    low = max(t - length // 2, first)
    high = min(low + length - 1, last)
    return max(high - length + 1, first), high


@numba.njit(cache=True, nogil=True)
def _one_round(v, w, size, fits, images, limits, found):  # noqa: ANN001, ANN202 -- numba
    """Test every sample of a block; mark outliers in ``found`` (time, k), return how many are new."""
    sigma, length, _, margin, test, _ = limits
    n_times, n_new = v.shape[0], 0
    first, last = ends(fits)
    least = np.float32(sigma * np.sqrt(1.0 + 0.5 * np.pi / length))
    open_cases = np.empty(BLOCK, np.int32)
    new = np.zeros((n_times, BLOCK), np.int8)
    for t in range(max(margin, first), min(n_times - margin, last + 1)):
        low, high = window(t, length, first, last)
        if test == BY_SPACE:
            open_cases[:] = 1
        else:
            _dismiss(v, w[t], t, low, high, length // 2, least, open_cases)
        for k in range(size):
            if open_cases[k] != 0:
                new[t, k] = _decide(v[:, k], w[t, k], images[:, k], t, low, high, sigma, test)
                n_new += new[t, k] != 0
    if n_new > 0:
        for t in range(n_times):
            for k in range(size):
                if new[t, k] != 0:
                    found[t, k] = new[t, k]
    return n_new


@numba.njit(cache=True, nogil=True)
def _dismiss(v, width, t, low, high, needed, least, open_cases):  # noqa: ANN001, ANN202 -- numba
    """Fill ``open_cases`` (BLOCK,) with 0 where half of the neighbours lie within the limit."""
    here = v[t]
    open_cases[:] = needed
    n, d = 0, 1
    while n < needed and d <= high - low:
        for s in (t - d, t + d):
            if low <= s <= high and n < needed:
                there = v[s]
                for k in range(BLOCK):
                    open_cases[k] -= np.int32(abs(here[k] - there[k]) <= least * width[k])
                n += 1
        d += 1


@numba.njit(cache=True, nogil=True)
def _decide(v, width, pixel, t, low, high, sigma, test):  # noqa: ANN001, ANN202 -- numba
    """Return +1, -1 or 0 for one sample; v (time,), ``pixel`` (7,) of the images."""
    if test == BY_SPACE:
        return _off_median(v[t], width, pixel, sigma)
    found, n_near = verdict(v, t, low, high, width, sigma)
    if n_near < MIN_NEIGHBOURS and test == BY_BOTH:
        return _off_median(v[t], width, pixel, sigma)
    return found


@numba.njit(cache=True, nogil=True)
def verdict(v, t, low, high, width, sigma):  # noqa: ANN001, ANN201 -- numba
    """Return +1, -1 or 0 as most neighbours lie beyond the limit, and their number; v (time,)."""
    n = 0
    for s in range(low, high + 1):
        n += s != t and np.isfinite(v[s])
    if n < MIN_NEIGHBOURS or not np.isfinite(v[t]):
        return 0, n
    limit = sigma * width * np.sqrt(1.0 + 0.5 * np.pi / (n + 1))
    n_above, n_below = 0, 0
    for s in range(low, high + 1):
        if s != t:
            n_above += v[t] - v[s] > limit
            n_below += v[t] - v[s] < -limit
    if n_above > n // 2:
        return 1, n
    return (-1 if n_below > n // 2 else 0), n


@numba.njit(cache=True, nogil=True)
def _off_median(v, width, pixel, sigma):  # noqa: ANN001, ANN202 -- numba
    """Return +1, -1 or 0 as a sample lies off the median of its pixel; ``pixel`` (7,) of images."""
    if pixel[4] == UNKNOWN:
        return 0
    limit = sigma * width * max(pixel[6] / pixel[5], 1.0)
    if v - pixel[0] > limit:
        return 1
    return -1 if v - pixel[0] < -limit else 0


@numba.njit(cache=True, nogil=True)
def _ask_the_frame(rate, error, unusable, fits, images, limits, found):  # noqa: ANN001, ANN202 -- numba
    """Keep what the median image found only where it sticks out of the eight pixels around.

    The residual less the median of those around it is a Laplacian (van Dokkum 2001, PASP 113,
    1420) that hits of several pixels do not cancel. What the time has found is left alone.
    """
    sigma, length, _, margin, test, _ = limits
    v = np.empty(rate.shape[0], np.float32)
    first, last = ends(fits)
    for t in range(margin, found.shape[0] - margin):
        low, high = window(t, length, first, last)
        for y in range(found.shape[1]):
            for x in range(found.shape[2]):
                if found[t, y, x] == 0:
                    continue
                if test != BY_SPACE:
                    series(rate, unusable, fits, images, y, x, (low, high), v)
                    if np.isfinite(v[low : high + 1]).sum() - 1 >= MIN_NEIGHBOURS:
                        continue
                width = error[t, y, x] * max(images[6, y, x], images[5, y, x])
                if _laplacian(rate, unusable, fits, images, t, y, x) <= sigma * width:
                    found[t, y, x] = 0


@numba.njit(cache=True, nogil=True)
def _laplacian(rate, unusable, fits, images, t, y, x):  # noqa: ANN001, ANN202 -- numba
    """Return by how much a residual differs from the median around it, in units of its own noise."""
    n, around = 0, np.empty(8)
    for j in range(max(y - 1, 0), min(y + 2, rate.shape[1])):
        for i in range(max(x - 1, 0), min(x + 2, rate.shape[2])):
            known = images[4, j, i] != UNKNOWN and not unusable[t, j, i]
            if known and (j != y or i != x):
                around[n] = _left(rate, fits, images, t, j, i)
                n += 1
    if n < MIN_AROUND:
        return 0.0
    off = abs(_left(rate, fits, images, t, y, x) - np.median(around[:n]))
    return off / np.sqrt(1.0 + 0.5 * np.pi / (n + 1))


@numba.njit(cache=True, nogil=True)
def _left(rate, fits, images, t, y, x):  # noqa: ANN001, ANN202 -- numba
    """Return what the median image, light and shift leave of a sample."""
    left = rate[t, y, x] - images[0, y, x]
    for i in range(3):
        left -= fits[t, i] * images[i, y, x]
    return left


@numba.njit(cache=True, nogil=True)
def series(rate, unusable, fits, images, y, x, span, v):  # noqa: ANN001, ANN201 -- numba
    """Fill v (time,) over the span with what light and shift leave of a pixel, NaN if unusable."""
    for t in range(span[0], span[1] + 1):
        v[t] = np.nan
        if not unusable[t, y, x]:
            v[t] = rate[t, y, x]
            for i in range(3):
                v[t] -= fits[t, i] * images[i, y, x]
