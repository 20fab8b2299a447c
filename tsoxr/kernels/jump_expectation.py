"""What a group difference should be: the mean of its neighbours in time, scaled by the light.

With ``f`` the light of the star over its median, the others of the window, ``v_k = D_k / f_k``,
give the expectation ``f_t E``. Exactly (`residuals`): let ``M`` be the median of the others; for
an even number, that of the two middle values which lies nearer to the value tested, and that
value itself between them. ``E`` is the mean of the others within `OUTLYING` sigma of ``M``, but
no farther from ``M`` than `FARTHEST` sigma. So neither hits among the neighbours nor a step
that lasts (a tilt of the telescope) make a good difference look bad. A mean of ``m`` values
adds ``1 / m`` to the variance.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.jump_data import JITTER, PHOTON, READ, Data, window_start
from tsoxr.kernels.ramps import JUMP, UNUSABLE

__all__ = ["residuals"]

OUTLYING = 3.0
FARTHEST = 0.6


def residuals(data: Data, t: np.ndarray, i: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ramps less their expectation.

    Parameters
    ----------
    data : Data
        The arrays.
    t, i : (ramp,) int64
        Integration and pixel of each ramp.

    Returns
    -------
    residual : (difference, ramp) float64
        Divided by the square root of ``1 + 1 / m``, so that they have the noise of the ramp alone;
        0 where not usable.
    usable : (difference, ramp) bool
        With fewer than two neighbours a difference is not.
    """
    n_times, n_groups, _ = data.ramp.shape
    window = min(data.rule.window, n_times)
    k = window_start(t, window, n_times)[:, None] + np.arange(window)
    bins = data.bins[i]
    light, own = data.light[k, bins[:, None]].astype(np.float64), data.light[t, bins]
    itself = np.arange(t.size), t - k[:, 0]
    out = np.zeros((n_groups - 1, t.size))
    usable = np.zeros(out.shape, np.bool_)
    later, flags = _group(data, k, 0, i)
    for j in range(n_groups - 1):
        before, flags_before = later, flags
        later, flags = _group(data, k, j + 1, i)
        good = ((flags_before | flags) & UNUSABLE) | (flags & JUMP) == 0
        with np.errstate(invalid="ignore"):
            values = np.where(good, later - before, np.nan) / light
        values[~np.isfinite(values)] = np.nan
        x = values[itself]
        values[itself] = np.nan
        expected, n, m = _expected(x, values, _sigma(data, j, i, own) / own)
        usable[j] = np.isfinite(x) & (m >= 2)
        deviation = own * (x - expected) / np.sqrt(1.0 + 1.0 / np.maximum(n, 1))
        np.copyto(out[j], deviation, where=usable[j])
    return out, usable


def _group(data: Data, k: np.ndarray, g: int, i: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return one group of the ramps of a window (ramp, window) float64, and its flags."""
    pixel = i[:, None]
    return data.ramp[k, g, pixel].astype(np.float64), data.flags[k, g, pixel]


def _sigma(data: Data, j: int, i: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Return the noise of a difference (ramp,), DN."""
    s, dt = data.static[:, i], data.readout.interval[j]
    photon = s[PHOTON] * light * (dt - 2.0 * data.readout.lag)
    with np.errstate(invalid="ignore"):
        sigma: np.ndarray = np.sqrt(photon + 2.0 * s[READ] + s[JITTER] * dt * dt)
    return sigma


def _expected(
    x: np.ndarray, values: np.ndarray, sigma: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what to expect for ``x`` (ramp,) from the others in time (ramp, window).

    With the number of others that make it, and of all.
    """
    order = np.sort(values, axis=1)  # those that are not numbers come last
    m, row = np.isfinite(order).sum(axis=1), np.arange(x.size)
    low, high = order[row, np.maximum(m - 1, 0) // 2], order[row, m // 2]
    middle = np.minimum(np.maximum(x, low), high)
    order -= middle[:, None]
    near = np.abs(order) <= OUTLYING * sigma[:, None]
    n = near.sum(axis=1)
    offset = np.where(near, order, 0.0).sum(axis=1) / np.maximum(n, 1)
    most = FARTHEST * sigma
    with np.errstate(invalid="ignore"):
        offset = np.where(n > 0, np.minimum(np.maximum(offset, -most), most), 0.0)
    return middle + offset, np.where(n > 0, n, m), m
