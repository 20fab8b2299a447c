"""The light in an aperture of every integration, its background and its error.

Shapes: ``data``, ``error`` (time, y, x) float32, ``dq`` (time, y, x) uint32. A sample is left out
where it is flagged or not finite, or has no error. What the median image expects in it is put in
its place, scaled to the light of the integration, so that it makes no dip.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.apertures import overlap
from tsoxr.kernels.outliers import median_of

__all__ = ["LEVELS", "fixed_sums", "levels", "moving_sums"]

LEVELS = {"constant": 0, "mean": 1, "median": 2}
CLIP = 5.0
"""Samples of the annulus that changed by more of their errors than this are hits."""
LEAST_LIGHT = 1e-6
"""Below this share of the light a sum says nothing."""


@numba.njit(cache=True, nogil=True)
def levels(
    data: np.ndarray,
    error: np.ndarray,
    dq: np.ndarray,
    median: np.ndarray,
    weight: np.ndarray,
    unusable: int,
    method: int,
) -> np.ndarray:
    """Return how the level in an annulus differs from that of the median image, and its variance.

    Parameters
    ----------
    data, error, dq
        Cube.
    median, weight : (y, x) float64
        Median image, and weights of the annulus, 0 beyond it.
    unusable : int
        Flags that take a sample out of use.
    method : int
        Of `LEVELS`. A median weights all pixels alike.

    Returns
    -------
    (time, 2) float64
        NaN where no sample of the annulus is usable; zeros for a constant level.

    Notes
    -----
    Each pixel is compared with its own median, so that missing ones are no bias where the
    annulus holds stars or the wings of the source.
    """
    out = np.zeros((data.shape[0], 2))
    rows, columns = np.nonzero(weight)
    if method == 0 or rows.size == 0:
        return out
    change, own = np.empty(rows.size, np.float32), np.empty(rows.size)
    share, scratch = np.empty(rows.size), np.empty(rows.size, np.float32)
    for t in range(data.shape[0]):
        n = 0
        for k in range(rows.size):
            y, x = rows[k], columns[k]
            d, e = data[t, y, x], error[t, y, x]
            if (dq[t, y, x] & unusable) == 0 and abs(d) < np.inf and 0.0 < e < np.inf:
                change[n], own[n], share[n] = d - median[y, x], e, weight[y, x]
                n += 1
        if n == 0:
            out[t] = np.nan
            continue
        middle = np.float64(median_of(change, n, scratch))
        if method == 2:
            out[t, 0], out[t, 1] = middle, 0.5 * np.pi * (own[:n] ** 2).sum() / n**2
            continue
        total, norm, variance = 0.0, 0.0, 0.0
        for k in range(n):
            if abs(change[k] - middle) <= CLIP * own[k]:
                total += share[k] * change[k]
                norm += share[k]
                variance += (share[k] * own[k]) ** 2
        if norm > 0.0:
            out[t, 0], out[t, 1] = total / norm, variance / norm**2
        else:
            out[t] = np.nan
    return out


@numba.njit(cache=True, nogil=True)
def fixed_sums(
    data: np.ndarray,
    error: np.ndarray,
    dq: np.ndarray,
    level: np.ndarray,
    images: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    lost: float,
    unusable: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Sum every integration with weights that do not depend on time.

    Parameters
    ----------
    data, error, dq
        Cube.
    level : (time, 2) float64
        Level to subtract from each pixel, and its variance, which all pixels share.
    images : four of (y, x)
        Weights, float64; the light expected in each pixel over all of the aperture, float64
        (pixels with a weight and without light show how lines drift); the sky at all times, DN/s,
        float64; and which pixels with a weight see no sky, bool.
    lost : float
        Share of the light in pixels that are never usable.
    unusable : (int, int)
        Flags that take a sample out of use, and those that do of blind pixels.

    Returns
    -------
    values : (time, 4) float64
        Light, its error, the share of it that was estimated, and the part of that which is
        missing in this integration only. NaN and 1 where nothing remains.
    flags : (time,) uint32
        All flags of the samples with light.

    Notes
    -----
    light = sum_u w (D - B) / s, variance = [sum_u w^2 V + (sum_u w)^2 V_B] / s^2 over the
    usable samples u, with s their share of the light. Blind pixels have no level B.
    """
    values, flags = np.empty((data.shape[0], 4)), np.zeros(data.shape[0], np.uint32)
    weight, share, surface, blind = images
    rows, columns = np.nonzero(weight)
    for t in range(data.shape[0]):
        total, variance, summed, missing = 0.0, 0.0, 0.0, 0.0
        n_used, seen = 0, np.uint32(0)
        for k in range(rows.size):
            y, x = rows[k], columns[k]
            d, e, q, w = data[t, y, x], error[t, y, x], dq[t, y, x], weight[y, x]
            seen |= q if share[y, x] != 0.0 else np.uint32(0)
            wrong = unusable[1] if blind[y, x] else unusable[0]
            if (q & wrong) != 0 or not (abs(d) < np.inf and 0.0 < e < np.inf):
                missing += share[y, x]
                continue
            total += w * d if blind[y, x] else w * (d - surface[y, x])
            variance += w * w * np.float64(e) * np.float64(e)
            summed += 0.0 if blind[y, x] else w
            n_used += share[y, x] != 0.0
        flags[t] = seen
        _finish(values[t], total, variance, summed, n_used, missing, lost, level[t])
    return values, flags


@numba.njit(cache=True, nogil=True)
def moving_sums(
    data: np.ndarray,
    error: np.ndarray,
    dq: np.ndarray,
    level: np.ndarray,
    images: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    center: tuple[float, float],
    shift: np.ndarray,
    form: tuple[int, float, float],
    unusable: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Sum every integration in an aperture that moves with the star.

    Parameters
    ----------
    data, error, dq, level, unusable
        See `fixed_sums`.
    images : four of (y, x)
        electron/DN, float64; the light of each pixel over that of the aperture at rest, float64;
        the sky at all times, DN/s, float64; and which pixels no integration may use, bool.
    center : (float, float)
        Where the aperture rests, (y, x).
    shift : (time, 2) float64
        Where the star is relative to that; NaN leaves the aperture at rest.
    form : (int, float, float)
        Shape, radius and angle of `tsoxr.kernels.apertures.overlap`.

    Returns
    -------
    values, flags
        As those of `fixed_sums`; all that is missing counts as missing in this integration.
    """
    n_times, n_rows, n_columns = data.shape
    values, flags = np.empty((n_times, 4)), np.zeros(n_times, np.uint32)
    shape, radius, turn = form
    gain, profile, surface, never = images
    for t in range(n_times):
        move_y = shift[t, 0] if np.isfinite(shift[t, 0]) else 0.0
        move_x = shift[t, 1] if np.isfinite(shift[t, 1]) else 0.0
        at_y, at_x = center[0] + move_y, center[1] + move_x
        total, variance, summed, missing = 0.0, 0.0, 0.0, 0.0
        n_used, seen = 0, np.uint32(0)
        for y in range(max(int(at_y - radius) - 1, 0), min(int(at_y + radius) + 3, n_rows)):
            for x in range(max(int(at_x - radius) - 1, 0), min(int(at_x + radius) + 3, n_columns)):
                cover = overlap(y - at_y, x - at_x, shape, radius, turn)
                if cover == 0.0:
                    continue
                d, e, q = data[t, y, x], error[t, y, x], dq[t, y, x]
                bad = (q & unusable) != 0 or not (abs(d) < np.inf and 0.0 < e < np.inf)
                seen |= q
                if bad or never[y, x]:
                    missing += cover * _interpolated(profile, y - move_y, x - move_x)
                    continue
                w = cover * gain[y, x]
                total += w * (d - surface[y, x])
                variance += w * w * np.float64(e) * np.float64(e)
                summed += w
                n_used += 1
        flags[t] = seen
        _finish(values[t], total, variance, summed, n_used, missing, 0.0, level[t])
    return values, flags


@numba.njit(cache=True, nogil=True)
def _finish(out, total, variance, summed, n_used, missing, lost, level):  # noqa: ANN001, ANN202 -- numba infers the types
    """Write light, error and both shares of one integration."""
    left = 1.0 - lost - missing
    out[2], out[3] = 1.0 - left, missing
    if n_used == 0 or not left > LEAST_LIGHT or not np.isfinite(level[0]):
        out[0], out[1] = np.nan, np.nan
        if n_used == 0:
            out[2], out[3] = 1.0, 1.0
        return
    out[0] = (total - summed * level[0]) / left
    out[1] = np.sqrt(variance + summed * summed * level[1]) / left


@numba.njit(cache=True, nogil=True)
def _interpolated(image, y, x):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return an image at a place between its pixels by cubic convolution (Keys 1981)."""
    row, column = int(np.floor(y)), int(np.floor(x))
    total = 0.0
    for i in range(-1, 3):
        weight = _keys(y - row - i)
        r = min(max(row + i, 0), image.shape[0] - 1)
        for j in range(-1, 3):
            c = min(max(column + j, 0), image.shape[1] - 1)
            total += weight * _keys(x - column - j) * image[r, c]
    return total


@numba.njit(cache=True, nogil=True)
def _keys(u):  # noqa: ANN001, ANN202 -- numba infers the types
    u = abs(u)
    if u < 1.0:
        return (1.5 * u - 2.5) * u * u + 1.0
    if u < 2.0:
        return ((-0.5 * u + 2.5) * u - 4.0) * u + 2.0
    return 0.0
