"""What a group difference should be: the mean of its neighbours in time, scaled by the light.

With ``f`` the light of the star over its median, the others of the window, ``v_k = D_k / f_k``,
give the expectation ``f_t E``. Exactly (`residuals`): let ``M`` be the median of the others; for
an even number, that of the two middle values which lies nearer to the value tested, and that
value itself between them. ``E`` is the mean of the others within `OUTLYING` sigma of ``M``, but
no farther from ``M`` than `FARTHEST` sigma. So neither hits among the neighbours nor a step
that lasts (a tilt of the telescope) make a good difference look bad. A mean of ``m`` values
adds ``1 / m`` to the variance.

For a first look at all samples (`fill_tile`), each of the others is limited to `LIMIT` sigma beyond
the median of itself and its two neighbours, and ``E`` is their mean: the same within a fraction of
sigma, without sorting.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.jump_data import JITTER, PHOTON, READ, Data, difference, window_start

__all__ = ["fill_tile", "residuals"]

OUTLYING = 3.0
FARTHEST = 0.6
LIMIT = 3.0
HUGE = np.float32(1e30)


@numba.njit(cache=True, nogil=True)
def _sigma(data: Data, j: int, i: int, light: float) -> float:
    """Return the noise of a difference, DN."""
    s, dt = data.static, data.readout.interval[j]
    photon = s[PHOTON, i] * light * (dt - 2.0 * data.readout.lag)
    return np.sqrt(photon + 2.0 * s[READ, i] + s[JITTER, i] * dt * dt)


@numba.njit(cache=True, nogil=True)
def _expected(x: float, values: np.ndarray, m: int, sigma: float) -> tuple[float, int]:
    """Return the expectation from ``m`` ascending values for ``x``, and how many make it."""
    middle = min(max(x, values[(m - 1) // 2]), values[m // 2])
    total, n = 0.0, 0
    for k in range(m):
        if np.abs(values[k] - middle) <= OUTLYING * sigma:
            total += values[k] - middle
            n += 1
    if n == 0:
        return middle, m
    offset = total / n
    return middle + min(max(offset, -FARTHEST * sigma), FARTHEST * sigma), n


@numba.njit(cache=True, nogil=True)
def residuals(
    data: Data, t: int, i: int, values: np.ndarray, out: np.ndarray, usable: np.ndarray
) -> None:
    """Fill ``out`` (difference,) with one ramp less its expectation, and ``usable``.

    Divided by the square root of ``1 + 1 / m``, so that they have the noise of the ramp alone.
    ``values`` is work space as long as the window. With fewer than two neighbours a difference
    is not usable.
    """
    light = data.light[:, data.bins[i]]
    start = window_start(t, values.size, data.ramp.shape[0])
    for j in range(out.size):
        out[j], usable[j] = 0.0, False
        x = difference(data, t, j, i) / light[t]
        if not np.isfinite(x):
            continue
        m = 0
        for k in range(start, start + values.size):
            v = difference(data, k, j, i) / light[k]
            if k == t or not np.isfinite(v):
                continue
            at = m
            while at > 0 and values[at - 1] > v:
                values[at] = values[at - 1]
                at -= 1
            values[at] = v
            m += 1
        if m < 2:
            continue
        expected, n = _expected(x, values, m, _sigma(data, j, i, light[t]) / light[t])
        out[j] = light[t] * (x - expected) / np.sqrt(1.0 + 1.0 / n)
        usable[j] = True


@numba.njit(cache=True, nogil=True)
def _fill_rows(
    data: Data, begin: int, j: int, low: int, scale: np.ndarray, rows: np.ndarray
) -> bool:
    """Fill ``rows`` (time, pixel) with ``D / f``, NaN if not usable; return whether any is."""
    any_bad = False
    n = scale.shape[1]
    for k in range(rows.shape[0]):
        r0, r1 = data.ramp[begin + k, j, low : low + n], data.ramp[begin + k, j + 1, low : low + n]
        q0, q1 = (
            data.flags[begin + k, j, low : low + n],
            data.flags[begin + k, j + 1, low : low + n],
        )
        row, by = rows[k], scale[k]
        bad = np.uint8(0)
        for i in range(n):
            row[i] = (np.float32(r1[i]) - np.float32(r0[i])) * by[i]
        for i in range(n):
            bad |= ((q0[i] | q1[i]) & np.uint8(3)) | (q1[i] & np.uint8(4))
        for i in range(n):
            bad |= np.uint8(not np.abs(row[i]) < HUGE)
        if bad:
            any_bad = True
            for i in range(n):
                off = ((q0[i] | q1[i]) & 3) != 0 or (q1[i] & 4) != 0
                if off or not np.isfinite(row[i]):
                    row[i] = np.nan
    return any_bad


@numba.njit(cache=True, nogil=True)
def _weigh(rows: np.ndarray, weight: np.ndarray) -> bool:
    """Fill ``weight`` with 1 where a value is usable, else 0; return whether it is needed.

    It is not for pixels without any usable value: their values become 0.
    """
    n_rows, n = rows.shape
    needed = False
    count = np.zeros(n, np.float32)
    for k in range(n_rows):
        for i in range(n):
            weight[k, i] = np.float32(not np.isnan(rows[k, i]))
            count[i] += weight[k, i]
    for i in range(n):
        needed |= 0.0 < count[i] < n_rows
    for k in range(n_rows):
        for i in range(n):
            if count[i] == 0.0:
                rows[k, i] = np.float32(0.0)
    return needed


@numba.njit(cache=True, nogil=True)
def _limited_with_gaps(rows: np.ndarray, cut: np.ndarray, out: np.ndarray) -> None:
    """As `_limited`, where a value that is not usable limits nothing and becomes 0 itself."""
    n_rows, n = rows.shape
    for k in range(n_rows):
        a = rows[k - 1] if k > 0 else rows[min(2, n_rows - 1)]
        b = rows[k]
        c = rows[k + 1] if k < n_rows - 1 else rows[max(n_rows - 3, 0)]
        o = out[k]
        for i in range(n):
            before = b[i] if np.isnan(a[i]) else a[i]
            later = b[i] if np.isnan(c[i]) else c[i]
            middle = max(min(before, b[i]), min(max(before, b[i]), later))
            limited = min(max(b[i], middle - cut[i]), middle + cut[i])
            o[i] = np.float32(0.0) if np.isnan(b[i]) else limited


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _limited(rows: np.ndarray, cut: np.ndarray, out: np.ndarray) -> None:
    """Fill ``out`` with rows, each within ``cut`` of the median of it and its neighbours."""
    n_rows, n = rows.shape
    for k in range(n_rows):
        a = rows[k - 1] if k > 0 else rows[min(2, n_rows - 1)]
        b = rows[k]
        c = rows[k + 1] if k < n_rows - 1 else rows[max(n_rows - 3, 0)]
        o = out[k]
        for i in range(n):
            middle = max(min(a[i], b[i]), min(max(a[i], b[i]), c[i]))
            o[i] = min(max(b[i], middle - cut[i]), middle + cut[i])


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _sum_rows(rows: np.ndarray, total: np.ndarray) -> None:
    """Fill ``total`` with the sum of rows, from the first to the last: the same for any tile."""
    n_rows, n = rows.shape
    total[:] = 0.0
    k = 0
    while k + 4 <= n_rows:
        a, b, c, d = rows[k], rows[k + 1], rows[k + 2], rows[k + 3]
        for i in range(n):
            total[i] += (a[i] + b[i]) + (c[i] + d[i])
        k += 4
    while k < n_rows:
        a = rows[k]
        for i in range(n):
            total[i] += a[i]
        k += 1


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def _less_mean(
    x: np.ndarray, kept: np.ndarray, at: int, light: np.ndarray, total: np.ndarray, out: np.ndarray
) -> None:
    """Fill ``out`` with ``x`` less the mean of the rows ``kept`` but row ``at``."""
    m = kept.shape[0] - 1
    _sum_rows(kept, total)
    own = kept[at]
    share = np.float32(1.0 / m)
    factor = np.float32(1.0 / np.sqrt(1.0 + 1.0 / m))
    for i in range(out.size):
        out[i] = (x[i] - (total[i] - own[i]) * share) * light[i] * factor


@numba.njit(cache=True, nogil=True)
def _less_weighted_mean(
    x: np.ndarray, kept: np.ndarray, weight: np.ndarray, at: int, light: np.ndarray, out: np.ndarray
) -> None:
    """As `_less_mean` where some values, those of weight 0, are not usable."""
    n = out.size
    total, count = np.empty((2, n), np.float32)
    _sum_rows(kept, total)
    _sum_rows(weight, count)
    own, one = kept[at], np.float32(1.0)
    for i in range(n):
        m = max(count[i] - one, one)
        deviation = (x[i] - (total[i] - own[i]) / m) * light[i] / np.sqrt(one + one / m)
        out[i] = deviation if weight[at, i] > 0.0 and count[i] >= 3.0 else np.float32(0.0)


@numba.njit(cache=True, nogil=True)
def fill_tile(
    data: Data,
    times: tuple[int, int],
    low: int,
    tile: np.ndarray,
    rows: np.ndarray,
    cut: np.ndarray,
) -> None:
    """Fill ``tile`` (time, difference, pixel) with first-look residuals of a run of pixels.

    Parameters
    ----------
    data : Data
        The arrays.
    times : (first, last)
        Integrations to fill.
    low : int
        First pixel.
    tile : (last - first, difference, pixel) float32
        Result; 0 where not usable.
    rows : (5, time, pixel) float32
        Work space, as many times as the windows of the tile reach, and one more on each side.
    cut : (difference, pixel) float32
        Limit beyond the median of three, DN.
    """
    n_times, window = data.ramp.shape[0], min(data.rule.window, data.ramp.shape[0])
    first, last = times
    begin = max(window_start(first, window, n_times) - 1, 0)
    end = min(window_start(last - 1, window, n_times) + window + 1, n_times)
    n, m = end - begin, tile.shape[2]
    values, kept, weight = rows[0, :n], rows[1, :n], rows[2, :n]
    light, scale = rows[3, :n], rows[4, :n]
    total = np.empty(m, np.float32)
    for k in range(n):
        for i in range(m):
            light[k, i] = data.light[begin + k, data.bins[low + i]]
            scale[k, i] = np.float32(1.0) / light[k, i]
    for j in range(tile.shape[1]):
        gaps = _fill_rows(data, begin, j, low, scale, values) and _weigh(values, weight)
        if gaps:
            _limited_with_gaps(values, cut[j], kept)
        else:
            _limited(values, cut[j], kept)
        for t in range(first, last):
            start, at = window_start(t, window, n_times) - begin, t - begin
            part = kept[start : start + window]
            if gaps:
                w = weight[start : start + window]
                _less_weighted_mean(values[at], part, w, at - start, light[at], tile[t - first, j])
            else:
                _less_mean(values[at], part, at - start, light[at], total, tile[t - first, j])
