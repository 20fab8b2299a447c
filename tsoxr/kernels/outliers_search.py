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

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.layout import row_blocks
from tsoxr.kernels.outliers_few import MIN_NEIGHBOURS, marked, n_usable, off_around, spans, widening
from tsoxr.kernels.outliers_frames import FAINT, UNKNOWN

__all__ = ["BY_BOTH", "BY_SPACE", "BY_TIME", "search"]

BLOCK = 64
"""Pixels of a line that are tested together."""
BY_TIME, BY_SPACE, BY_BOTH = 0, 1, 2
"""Which test: against neighbours in time; against the median image; the second where the first is mute."""


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
    sigma, length, n_rounds, margin, test, usual = limits
    near, wide = spans(fits, length), widening(fits, usual)
    least = np.float32(sigma * np.sqrt(1.0 + 0.5 * np.pi / length))
    settings = (least, float(sigma), length // 2, n_rounds, margin, test)
    found = np.zeros(rate.shape, np.int8)
    for rows, (some, own, lost) in row_blocks(rate, error, unusable):
        whole = rows.stop - rows.start == rate.shape[1]
        marks = found if whole else np.zeros(some.shape, np.int8)
        images_here = np.ascontiguousarray(images[:, rows])
        _search(some, own, lost, fits, images_here, near, wide, settings, marks)
        found[:, rows] = marks
    if test != BY_TIME:
        _ask_the_frame(rate, error, unusable, fits, images, limits, found)
    return found


@kernel()
def _search(rate, error, unusable, fits, images, near, wide, settings, found):  # noqa: ANN001, ANN202 -- numba
    """Mark the samples that lie off their neighbours, block by block of each line."""
    n_times, n_rows, n_columns = rate.shape
    v = np.empty((n_times, BLOCK), np.float32)
    w = np.empty((n_times, BLOCK), np.float32)
    marks = np.empty((n_times, BLOCK), np.int8)
    for y in range(n_rows):
        for x in range(0, n_columns, BLOCK):
            size = min(BLOCK, n_columns - x)
            _gather(rate, error, unusable, fits, images, wide, (y, x), (v, w))
            for _ in range(settings[3]):
                if _one_round(v, w, size, images, y, x, near, settings, marks) == 0:
                    break
                for t in range(n_times):
                    for k in range(size):
                        if marks[t, k] != 0:
                            found[t, y, x + k] = marks[t, k]
                            v[t, k] = np.nan


@part()
def _gather(rate, error, unusable, fits, images, wide, at, out):  # noqa: ANN001, ANN202 -- numba
    """Fill a block of ``out`` with what the fits leave of the samples, and with their widths."""
    (y, x), (v, w) = at, out
    size = min(BLOCK, rate.shape[2] - x)
    for t in range(rate.shape[0]):
        c0, c1, c2 = np.float32(fits[t, 0]), np.float32(fits[t, 1]), np.float32(fits[t, 2])
        for k in range(size):
            explained = (
                c0 * images[0, y, x + k] + c1 * images[1, y, x + k] + c2 * images[2, y, x + k]
            )
            v[t, k] = np.float32(np.nan) if unusable[t, y, x + k] else rate[t, y, x + k] - explained
            w[t, k] = error[t, y, x + k] * images[5, y, x + k]
        if wide[t] > 1.0:
            for k in range(size):
                if images[4, y, x + k] > FAINT:
                    w[t, k] *= wide[t]


@part()
def _one_round(v, w, size, images, y, x, near, settings, marks):  # noqa: ANN001, ANN202 -- numba
    """Test every sample of a block; fill ``marks`` (time, BLOCK), return how many are not 0."""
    least, sigma, needed, _, margin, test = settings
    n_times, n_new, open_cases = v.shape[0], 0, np.empty(BLOCK, np.int32)
    for t in range(n_times):
        for k in range(BLOCK):
            marks[t, k] = 0
            open_cases[k] = needed
        if t < margin or t >= n_times - margin or near[t, 1] < near[t, 0]:
            continue
        if test != BY_SPACE:
            _dismiss(v, w[t], t, near[t, 0], near[t, 1], least, open_cases)
        for k in range(size):
            if open_cases[k] == 0:
                continue
            n_near = 0
            if test != BY_SPACE:
                marks[t, k], n_near = _verdict(v, k, t, near[t, 0], near[t, 1], sigma * w[t, k])
            if n_near < MIN_NEIGHBOURS and test != BY_TIME and images[4, y, x + k] != UNKNOWN:
                noise = images[6, y, x + k] / images[5, y, x + k]
                limit = sigma * w[t, k] * max(noise, 1.0)
                off = v[t, k] - images[0, y, x + k]
                marks[t, k] = np.int8(off > limit) - np.int8(off < -limit)
            n_new += marks[t, k] != 0
    return n_new


@part()
def _dismiss(v, width, t, low, high, least, open_cases):  # noqa: ANN001, ANN202 -- numba
    """Count down ``open_cases`` (BLOCK,), the neighbours needed within the limit, to 0 at best."""
    here, missing, d = v[t], np.int64(open_cases[0]), 1
    while missing > 0 and d <= high - low:
        for s in (t - d, t + d):
            if low <= s <= high and missing > 0:
                there = v[s]
                for k in range(BLOCK):
                    open_cases[k] -= np.int32(abs(here[k] - there[k]) <= least * width[k])
                missing -= 1
        d += 1


@part()
def _verdict(v, k, t, low, high, width):  # noqa: ANN001, ANN202 -- numba
    """Return +1, -1 or 0 as most neighbours lie beyond the limit, and their number; v (time, BLOCK)."""
    n = 0
    for s in range(low, high + 1):
        n += s != t and abs(v[s, k]) < np.inf
    if n < MIN_NEIGHBOURS or not abs(v[t, k]) < np.inf:
        return 0, n
    limit = width * np.sqrt(1.0 + 0.5 * np.pi / (n + 1))
    n_above, n_below = 0, 0
    for s in range(low, high + 1):
        if s != t:
            n_above += v[t, k] - v[s, k] > limit
            n_below += v[t, k] - v[s, k] < -limit
    if n_above > n // 2:
        return 1, n
    return (-1 if n_below > n // 2 else 0), n


def _ask_the_frame(rate, error, unusable, fits, images, limits, found):  # noqa: ANN001, ANN202 -- as `search`
    """Keep what the median image found only where it sticks out of the eight pixels around.

    The residual less the median of those around it is a Laplacian (van Dokkum 2001, PASP 113,
    1420) that hits of several pixels do not cancel. What the time has found is left alone.
    """
    sigma, length, _, margin, test, _ = limits
    near = spans(fits, length)
    for t, y, x in marked(found, margin):
        asked = np.ones(t.size, bool)
        if test != BY_SPACE:
            asked = n_usable(unusable, near, t, y, x) <= MIN_NEIGHBOURS
        at = t[asked], y[asked], x[asked]
        noise = error[at] * np.maximum(images[6], images[5])[at[1:]]
        off = off_around(rate, unusable, fits, images, *at)
        hides = off <= sigma * noise.astype(np.float64)
        found[tuple(i[hides] for i in at)] = 0
