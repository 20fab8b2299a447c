"""A first look at all samples for hits, quick and in vector registers.

It leaves few ramps for the exact test: those with a score within `MARGIN` of a threshold or above.
The expectation is that of `jump_expectation` without sorting: each of the others is limited
to `LIMIT` sigma beyond the median of itself and its two neighbours in time, and their mean is
taken, the same within a fraction of sigma. The scores are those of `jump_filter`.

Runs of `LANES` pixels are worked on together, for so few differences and integrations that they
stay in the fast caches. The compiled functions are small and do not call each other: their loops
have lengths that the compiler knows, and it need not compile any of them again within another.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.jump_data import JITTER, PHOTON, READ, Data, window_start
from tsoxr.kernels.jump_filter import usual_factors
from tsoxr.kernels.ramps import Readout

__all__ = ["look"]

LANES = 256
MARGIN = 0.5
LIMIT = 3.0
HUGE = np.float32(1e12)
TOGETHER = 4
"""Differences that are worked on together."""

TILE = 64
"""Integrations that are looked at together, or twice the window where that is more."""

SLAB = 64 * LANES
"""Pixels whose factors are computed together, in float64."""

FAST = {"contract", "nsz"}


def look(data: Data, first: int, last: int) -> np.ndarray:
    """Return which ramps have to be tested exactly.

    Parameters
    ----------
    data : Data
        The arrays.
    first, last : int
        Integrations to look at.

    Returns
    -------
    (ramp, 2) int64
        Integration and pixel of each, in ascending order.
    """
    n_pixels, n = data.ramp.shape[2], data.readout.interval.size
    by = np.empty((4, n, n_pixels - n_pixels % -LANES), np.float32)
    cut = np.empty(by.shape[1:], np.float32)
    for low in range(0, n_pixels, SLAB):
        here = slice(low, min(low + SLAB, by.shape[2]))
        static = data.static[:, here]
        static = np.pad(static, ((0, 0), (0, here.stop - low - static.shape[1])))
        by[:, :, here] = usual_factors(static, data.readout)
        cut[:, here] = _limits(static, data.readout)
    found = np.zeros((last - first, n_pixels), np.uint8)
    length = max(TILE, 2 * data.rule.window)
    for start in range(first, last, length):
        stop = min(start + length, last)
        _look_at_tile(data, by, cut, (start, stop), found[start - first : stop - first])
    t, i = np.nonzero(found)
    return np.stack([t + first, i], axis=1)


def _limits(static: np.ndarray, readout: Readout) -> np.ndarray:
    """Return `LIMIT` sigma of each difference (difference, pixel), DN."""
    dt = readout.interval[:, None]
    variance = static[PHOTON] * (dt - 2.0 * readout.lag) + 2.0 * static[READ]
    variance = variance + static[JITTER] * dt**2
    with np.errstate(invalid="ignore"):
        return (LIMIT * np.sqrt(np.where(variance > 0.0, variance, 0.0))).astype(np.float32)


def _look_at_tile(
    data: Data, by: np.ndarray, cut: np.ndarray, times: tuple[int, int], found: np.ndarray
) -> None:
    """Fill ``found`` (time, pixel) with 1 for the ramps of some integrations to be tested."""
    n_times, n_pixels, n = data.ramp.shape[0], data.ramp.shape[2], data.readout.interval.size
    window = min(data.rule.window, n_times)
    starts = window_start(np.arange(*times), window, n_times)
    begin, end = max(starts[0] - 1, 0), min(starts[-1] + window + 1, n_times)
    own = slice(times[0] - begin, times[1] - begin)
    where = (own.start, window, starts[0] - begin, starts[-1] - begin)
    ramp, flags, light = data.ramp[begin:end], data.flags[begin:end], data.light[begin:end]
    gain, loss = (np.float32(sigma - MARGIN) for sigma in (data.rule.sigma, data.rule.drop))
    values, kept = np.zeros((2, min(TOGETHER, n), end - begin, LANES), np.float32)
    tile = np.empty((n, starts.size, LANES), np.float32)
    of_lanes = np.ones((end - begin, LANES), np.float32)
    for low in range(0, n_pixels, LANES):
        here = slice(low, low + LANES)
        bins = data.bins[here]
        of_lanes[:, : bins.size] = light[:, bins[:1]] if (bins == bins[0]).all() else light[:, bins]
        scale = np.float32(1.0) / of_lanes
        for j in range(0, n, TOGETHER):
            part = min(TOGETHER, n - j)
            v, k, out = values[:part], kept[:part], tile[j : j + part]
            bad = _differences(ramp, flags, scale, j, low, v)
            weight = _weights(v) if bad else None
            _limit(v, np.ascontiguousarray(cut[j : j + part, here]), k)
            if weight is None:
                _less_mean(v, k, of_lanes, where, out)
            else:
                total, count = (_window_sums(a, starts - begin, window) for a in (k, weight))
                less = _less_weighted(v[:, own], k[:, own], total, weight[:, own], count)
                np.multiply(less, of_lanes[own], out=out)
        _score(tile, np.ascontiguousarray(by[:, :, here]))
        noise = np.sqrt(np.minimum(of_lanes[own], np.float32(1.0)))
        large = tile.max(axis=0) > noise * gain
        large |= tile.min(axis=0) < -noise * loss
        found[:, here] = large[:, : bins.size]


@numba.njit(cache=True, nogil=True)
def _differences(ramp, flags, scale, first, low, values):  # noqa: ANN001, ANN202 -- numba
    """Fill ``values`` (difference, time, LANES) with ``D / f``, NaN where not usable.

    Returns whether any is not. Lanes beyond the last pixel keep what they have.
    """
    m = min(LANES, ramp.shape[2] - low)
    check, off = np.empty(LANES, np.float32), np.empty(LANES, np.uint8)
    any_bad = False
    for j in range(values.shape[0]):
        check[:] = 0.0
        off[:] = 0
        for k in range(values.shape[1]):
            r0, r1 = ramp[k, first + j, low : low + m], ramp[k, first + j + 1, low : low + m]
            q0, q1 = flags[k, first + j, low : low + m], flags[k, first + j + 1, low : low + m]
            row, by = values[j, k], scale[k]
            for i in range(m):
                row[i] = (np.float32(r1[i]) - np.float32(r0[i])) * by[i]
            for i in range(LANES):
                check[i] += np.float32(0.0) * row[i]  # not a number from the first that is not
            for i in range(m):
                off[i] |= ((q0[i] | q1[i]) & np.uint8(3)) | (q1[i] & np.uint8(4))
        bad = False
        for i in range(LANES):
            bad |= (off[i] != 0) | np.isnan(check[i])
        if not bad:
            continue
        any_bad = True
        for k in range(values.shape[1]):
            q0, q1 = flags[k, first + j, low : low + m], flags[k, first + j + 1, low : low + m]
            row = values[j, k]
            for i in range(m):
                lost = (((q0[i] | q1[i]) & 3) | (q1[i] & 4)) != 0
                row[i] = np.float32(np.nan) if lost | (not np.abs(row[i]) < HUGE) else row[i]
    return any_bad


def _weights(values: np.ndarray) -> np.ndarray | None:
    """Return 1 where a value is usable, else 0, as float32; ``None`` where they are not needed.

    They are not for pixels without any usable value, whose values become 0.
    """
    usable = ~np.isnan(values)
    count = usable.sum(axis=1, keepdims=True)
    np.copyto(values, np.float32(0.0), where=count == 0)
    needed = ((count > 0) & (count < values.shape[1])).any()
    return usable.astype(np.float32) if needed else None


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _limit(rows, cut, out):  # noqa: ANN001, ANN202 -- numba
    """Fill ``out`` with values, each within ``cut`` of the median of it and its neighbours.

    A value that is not usable limits nothing and becomes 0 itself.
    """
    last = rows.shape[1] - 1
    for j in range(rows.shape[0]):
        limit = cut[j]
        for k in range(last + 1):
            a = rows[j, k - 1 if k > 0 else min(2, last)]
            b, c, o = rows[j, k], rows[j, k + 1 if k < last else max(last - 2, 0)], out[j, k]
            for i in range(LANES):
                before = b[i] if np.isnan(a[i]) else a[i]
                later = b[i] if np.isnan(c[i]) else c[i]
                middle = max(min(before, b[i]), min(max(before, b[i]), later))
                limited = min(max(b[i], middle - limit[i]), middle + limit[i])
                o[i] = np.float32(0.0) if np.isnan(b[i]) else limited


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _less_mean(values, kept, light, where, out):  # noqa: ANN001, ANN202 -- numba
    """Fill ``out`` (difference, time, LANES) with rows less the mean of others in ``kept``.

    ``where`` are the first row to fill, the window, and the first row of the first and of the last
    window. Running sums are in float64, so that they depend on the tile by their rounding alone.
    """
    at, window, first, last = where
    one, m = np.float32(1.0), np.float32(window - 1)
    share, factor = one / m, one / np.sqrt(one + one / m)
    total = np.empty(LANES)
    for j in range(out.shape[0]):
        total[:] = 0.0
        for k in range(first, first + window):
            new = kept[j, k]
            for i in range(LANES):
                total[i] += new[i]
        start = first
        for t in range(out.shape[1]):
            while start < min(max(at + t - window // 2, first), last):
                old, new = kept[j, start], kept[j, start + window]
                for i in range(LANES):
                    total[i] += np.float64(new[i]) - np.float64(old[i])
                start += 1
            v, k, f, o = values[j, at + t], kept[j, at + t], light[at + t], out[j, t]
            for i in range(LANES):
                o[i] = (v[i] - (np.float32(total[i]) - k[i]) * share) * f[i] * factor


def _window_sums(rows: np.ndarray, starts: np.ndarray, window: int) -> np.ndarray:
    """Return the sums of ``window`` rows from each of ``starts`` on (difference, start, LANES)."""
    before = np.zeros((rows.shape[0], rows.shape[1] + 1, LANES))
    np.cumsum(rows, axis=1, dtype=np.float64, out=before[:, 1:])
    return (before[:, starts + window] - before[:, starts]).astype(np.float32)


def _less_weighted(
    values: np.ndarray, kept: np.ndarray, total: np.ndarray, weight: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """Return what `_less_mean` gives where some values, those of weight 0, are not usable."""
    one = np.float32(1.0)
    m = np.maximum(count - one, one)
    deviation = (values - (total - kept) / m) / np.sqrt(one + one / m)
    return np.where((weight > 0.0) & (count >= 3.0), deviation, np.float32(0.0))


@numba.njit(cache=True, nogil=True, fastmath=FAST)
def _score(tile, by):  # noqa: ANN001, ANN202 -- numba
    """Turn residuals (difference, time, LANES) into scores.

    ``by`` (4, difference, LANES) are the factors of `jump_filter`. One array is written at a time:
    compilers then use wide registers.
    """
    n = tile.shape[0]
    lower, pivot, common, scale = by[0], by[1], by[2], by[3]
    last, shared = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    for t in range(tile.shape[1]):
        last[:], shared[:] = 0.0, 0.0
        for j in range(n):
            r, c, a = tile[j, t], common[j], lower[max(j - 1, 0)]
            for i in range(LANES):
                shared[i] += c[i] * r[i]
            for i in range(LANES):
                r[i] -= a[i] * last[i]
            for i in range(LANES):
                last[i] = r[i]
        last[:] = 0.0
        for j in range(n - 1, -1, -1):
            r, d, a, c, s = tile[j, t], pivot[j], lower[j], common[j], scale[j]
            for i in range(LANES):
                last[i] = r[i] * d[i] - a[i] * last[i]
            for i in range(LANES):
                r[i] = (last[i] - c[i] * shared[i]) * s[i]
