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

import numba
import numpy as np

from tsoxr.kernels.jump_data import JITTER, PHOTON, READ, Data, difference, window_start

__all__ = ["residuals"]

OUTLYING = 3.0
FARTHEST = 0.6


@numba.njit(cache=True, nogil=True, inline="always")
def _sigma(data: Data, j: int, i: int, light: float) -> float:
    """Return the noise of a difference, DN."""
    s, dt = data.static, data.readout.interval[j]
    photon = s[PHOTON, i] * light * (dt - 2.0 * data.readout.lag)
    return np.sqrt(photon + 2.0 * s[READ, i] + s[JITTER, i] * dt * dt)


@numba.njit(cache=True, nogil=True, inline="always")
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


@numba.njit(cache=True, nogil=True, inline="always")
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
