"""Neighbours of outliers in the same frame, which share their charge."""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.outliers_frames import FAINT
from tsoxr.kernels.outliers_search import QUIET_FRAME, ends, series, verdict, window

__all__ = ["GROWN", "grow"]

GROWN = 2
"""Mark of neighbours of an outlier; what was found by itself is marked 1; the sign is that of the excess."""


@numba.njit(cache=True, nogil=True)
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
    n_times, n_rows, n_columns = rate.shape
    v = np.empty(n_times, np.float32)
    first, last = ends(fits)
    for t in range(margin, n_times - margin):
        low, high = window(t, length, first, last)
        excess = max(1.0, fits[t, 3] / (QUIET_FRAME * usual)) if usual > 0.0 else 1.0
        for y in range(n_rows):
            for x in range(n_columns):
                sign = found[t, y, x]
                if abs(sign) != 1:
                    continue
                for j, i in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                    inside = 0 <= j < n_rows and 0 <= i < n_columns
                    if not inside or found[t, j, i] != 0 or unusable[t, j, i]:
                        continue
                    series(rate, unusable, fits, images, j, i, (low, high), v)
                    width = error[t, j, i] * images[5, j, i]
                    if images[4, j, i] > FAINT:
                        width *= excess
                    if verdict(v, t, low, high, width, sigma)[0] == sign:
                        found[t, j, i] = GROWN * sign
