"""Samples that the search for outliers has marked, looked at again: few, so numpy takes each apart.

Arrays are those of `tsoxr.kernels.outliers_search`; ``t, y, x`` (sample,) are places in the cubes, of
any layout.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tsoxr.kernels.outliers_frames import UNKNOWN

__all__ = ["MIN_NEIGHBOURS", "in_time", "marked", "n_usable", "off_around", "spans", "widening"]

AT_ONCE = 4096
"""Samples that are looked at together."""
FRAMES = 64
"""Frames that are searched for marks together."""
MIN_NEIGHBOURS = 2
"""One neighbour cannot tell which of the two is wrong."""
MIN_AROUND = 3
"""Usable pixels around one, of eight, whose median says what the frame has there."""
QUIET_FRAME = 1.3
"""A frame with more residual than this times the usual has moved by more than the fit follows."""


def spans(fits: np.ndarray, length: int) -> np.ndarray:
    """Return first and last frame of the window about each frame, moved inward at the ends.

    Parameters
    ----------
    fits : (time, 4) float64
        NaN for frames beyond the ends of the series.
    length : int
        Frames in a window.

    Returns
    -------
    (time, 2) int64
        (0, -1) for frames beyond the ends.
    """
    exist = np.flatnonzero(np.isfinite(fits[:, 0]))
    first, last = (exist[0], exist[-1]) if exist.size else (0, -1)
    t = np.arange(len(fits))
    high = np.minimum(np.maximum(t - length // 2, first) + length - 1, last)
    low = np.maximum(high - length + 1, first)
    outside = (t < first) | (t > last)
    return np.where(outside[:, None], (0, -1), np.stack([low, high], axis=1)).astype(np.int64)


def widening(fits: np.ndarray, usual: float) -> np.ndarray:
    """Return by how much each frame is wider than usual, (time,) float32, at least 1."""
    ratio = fits[:, 3] / (QUIET_FRAME * usual) if usual > 0.0 else np.ones(len(fits))
    return np.fmax(1.0, ratio).astype(np.float32)


def marked(found: np.ndarray, margin: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield places, frame by frame, of marks that are not 0, some thousand at a time.

    Parameters
    ----------
    found : (time, y, x) int8
        Marks.
    margin : int
        Frames at both ends that are left out.
    """
    stop = len(found) - margin
    for first in range(margin, stop, FRAMES):
        frames = found[first : min(first + FRAMES, stop)]
        flat = np.flatnonzero(frames != 0)
        for k in range(0, flat.size, AT_ONCE):
            t, y, x = np.unravel_index(flat[k : k + AT_ONCE], frames.shape)
            yield t + first, y, x


def _windows(near: np.ndarray, t: np.ndarray, n_times: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames of the windows about some, (window, sample), and which of them count."""
    low, high = near[t].T
    s = low + np.arange((high - low).max(initial=0) + 1)[:, None]
    return np.minimum(s, n_times - 1), s <= high


def n_usable(unusable: np.ndarray, near: np.ndarray, *at: np.ndarray) -> np.ndarray:
    """Return how many frames of the window have a sample of the pixel, the tested one included."""
    t, y, x = at
    s, inside = _windows(near, t, len(unusable))
    return (inside & ~unusable[s, y, x]).sum(axis=0)


def in_time(
    rate: np.ndarray,
    unusable: np.ndarray,
    fits: np.ndarray,
    images: np.ndarray,
    near: np.ndarray,
    *at: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels at ``t, y, x`` less light and shift, there and in the window about, float32.

    (sample,) and (window, sample), which is NaN where unusable.
    """
    t, y, x = at
    s, inside = _windows(near, t, len(rate))
    left = rate[s, y, x].astype(np.float32)
    for i in range(3):
        left = (left - fits[s, i] * images[i, y, x]).astype(np.float32)
    left[~inside | unusable[s, y, x]] = np.nan
    return left[t - near[t, 0], np.arange(t.size)], left


def off_around(
    rate: np.ndarray, unusable: np.ndarray, fits: np.ndarray, images: np.ndarray, *at: np.ndarray
) -> np.ndarray:
    """Return by how much residuals at ``t, y, x`` differ from the median around, over its own noise.

    0 with fewer than `MIN_AROUND` pixels around.
    """
    t, y, x = at
    around = np.full((8, t.size), np.nan)
    steps = [(j, i) for j in (-1, 0, 1) for i in (-1, 0, 1) if (j, i) != (0, 0)]
    for values, (j, i) in zip(around, steps, strict=True):
        inside = np.flatnonzero(
            (y + j >= 0) & (y + j < rate.shape[1]) & (x + i >= 0) & (x + i < rate.shape[2])
        )
        beside = t[inside], y[inside] + j, x[inside] + i
        known = (images[4][beside[1:]] != UNKNOWN) & ~unusable[beside]
        values[inside] = np.where(known, _left(rate, fits, images, *beside), np.nan)
    around.sort(axis=0)  # NaN last
    n, sample = 8 - np.isnan(around).sum(axis=0), np.arange(t.size)
    middle = 0.5 * (
        around[np.maximum(n - 1, 0) // 2, sample] + around[np.minimum(n // 2, 7), sample]
    )
    off = np.abs(_left(rate, fits, images, *at) - middle) / np.sqrt(1.0 + 0.5 * np.pi / (n + 1))
    return np.where(n >= MIN_AROUND, off, 0.0)


def _left(rate: np.ndarray, fits: np.ndarray, images: np.ndarray, *at: np.ndarray) -> np.ndarray:
    """Return what the median image, light and shift leave of samples."""
    t, y, x = at
    left = (rate[at] - images[0, y, x]).astype(np.float64)
    for i in range(3):
        left -= fits[t, i] * images[i, y, x]
    return left
