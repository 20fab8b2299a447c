"""Neighbours of outliers in the same frame, which share their charge."""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.outliers_few import MIN_NEIGHBOURS, in_time, marked, spans, widening
from tsoxr.kernels.outliers_frames import FAINT

__all__ = ["GROWN", "grow"]

GROWN = 2
"""Mark of neighbours of an outlier; what was found by itself is marked 1; the sign is that of the excess."""
STEPS = np.array([[0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]])
"""From a pixel to those beside it in the same frame."""


def grow(
    rate: np.ndarray,
    error: np.ndarray,
    unusable: np.ndarray,
    fits: np.ndarray,
    images: np.ndarray,
    limits: tuple[float, int, int, float],
    found: np.ndarray,
) -> None:
    """Mark the neighbours, in the same frame, of outliers that share their excess.

    Parameters
    ----------
    rate, error, unusable, fits, images
        As for `search`.
    limits : (sigma, window, margin, usual)
        Threshold for neighbours, otherwise as for `search`.
    found : (time, y, x) int8
        From `search`; neighbours are marked `GROWN` times the sign.
    """
    sigma, length, margin, usual = limits
    near, wide = spans(fits, length), widening(fits, usual)
    for t, y, x in marked(found, margin):
        at, sign = _beside(np.stack([t, y, x]), found, unusable)
        here, around = in_time(rate, unusable, fits, images, near, *at)
        width = (error[at] * images[5][at[1:]]).astype(np.float64)
        width *= np.where(images[4][at[1:]] > FAINT, wide[at[0]], 1.0)
        shares = _verdict(here, around, sigma * width) == sign
        found[tuple(place[shares] for place in at)] = GROWN * sign[shares]


def _beside(
    marks: np.ndarray, found: np.ndarray, unusable: np.ndarray
) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """Return unmarked usable places beside outliers (3, mark), and the signs of these."""
    sign = found[tuple(marks)]
    at = (marks[:, None] + STEPS.T[:, :, None])[:, :, np.abs(sign) == 1].reshape(3, -1)
    sign = np.tile(sign[np.abs(sign) == 1], len(STEPS))
    inside = ((at >= 0) & (at < np.array(found.shape)[:, None])).all(axis=0)
    t, y, x = at[:, inside]
    is_open = (found[t, y, x] == 0) & ~unusable[t, y, x]
    return (t[is_open], y[is_open], x[is_open]), sign[inside][is_open]


def _verdict(here: np.ndarray, around: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Return +1, -1 or 0 as most samples of the window (window, sample) lie beyond the limit."""
    n = np.isfinite(around).sum(axis=0) - 1
    limit = width * np.sqrt(1.0 + 0.5 * np.pi / (n + 1))
    off = here - around
    above, below = ((side > limit).sum(axis=0) > n // 2 for side in (off, -off))
    known = (n >= MIN_NEIGHBOURS) & np.isfinite(here)
    return np.where(known, above.astype(np.int8) - (below & ~above), 0)
