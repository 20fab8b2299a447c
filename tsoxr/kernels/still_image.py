"""The median image of a star whose light varies, such as in a transit."""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.outliers import masked_median

__all__ = ["still_frames", "still_image"]

FAINTEST, BRIGHTEST = 0.5, 2.0
"""Light of an integration over the usual one; beyond, it is taken to be the usual one."""


def still_image(rate: np.ndarray, bad: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the median image of a star whose light, and level, changes from one to the next.

    A plain median of a transit is that of the more frequent state where a pixel is bright, and
    something between the two where its noise hides the transit: no image of the star.

    Parameters
    ----------
    rate : (time, y, x) float32
        A sample of the integrations.
    bad : (time, y, x) bool
        Samples to leave out.
    error : (y, x) float
        Error of one integration; not finite without one.

    Returns
    -------
    (y, x) float32
        At the median light and level of the sample; NaN where nothing is usable.
    """
    return still_frames(rate, bad, error)[0]


def still_frames(
    rate: np.ndarray, bad: np.ndarray, error: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the `still_image`, and light and level of each integration.

    Light (time,) is relative to the usual one. The image holds the median of the levels (time,).
    """
    first = masked_median(rate, bad)
    known = np.isfinite(first) & (error > 0.0) & np.isfinite(error)
    if len(rate) < 3 or not known.any():
        return first, np.ones(len(rate)), np.zeros(len(rate))
    weight = np.where(known, 1.0 / np.where(known, error, 1.0).astype(np.float64) ** 2, 0.0)
    star = np.where(known, first - np.median(first[known]), 0.0).astype(np.float64)
    light, level = _light_and_level(rate, bad, star, weight)
    scaled = (rate - level[:, None, None].astype(np.float32)) / light[:, None, None].astype(
        np.float32
    )
    return masked_median(scaled, bad) + np.float32(np.median(level)), light, level


@numba.njit(cache=True, nogil=True)
def _light_and_level(
    rate: np.ndarray, bad: np.ndarray, star: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return a, over its median, and b of the weighted fit of a star + b to each integration."""
    n_times, n_rows, n_columns = rate.shape
    light, level = np.ones(n_times), np.zeros(n_times)
    for t in range(n_times):
        w0, ws, wss, wd, wds = 0.0, 0.0, 0.0, 0.0, 0.0
        for y in range(n_rows):
            for x in range(n_columns):
                if bad[t, y, x]:
                    continue
                w, s, d = weight[y, x], star[y, x], np.float64(rate[t, y, x])
                w0 += w
                ws += w * s
                wss += w * s * s
                wd += w * d
                wds += w * d * s
        scale = w0 * wss - ws * ws
        if scale > 0.0:
            light[t] = (w0 * wds - ws * wd) / scale
        if w0 > 0.0:
            level[t] = (wd - light[t] * ws) / w0
    light /= np.median(light)
    for t in range(n_times):
        if not FAINTEST < light[t] < BRIGHTEST:
            light[t] = 1.0
    return light, level
