"""What a pixel shares with its neighbours: voltage, arriving charge, and charge in excess.

Interpixel capacitance couples the voltages, not the charges (Moore, Ninkov & Forrest 2006,
Opt. Eng. 45, 076402): a share of the difference between two pixels is seen in the other.
The brighter-fatter effect moves the border between two pixels towards the one that holds
more charge (Hirata & Choi 2020, PASP 132, 014501; Plazas et al. 2018, PASP 130, 065004): of
the charge that arrives, a fraction proportional to the contrast goes to the emptier pixel.
A full pixel passes on what arrives in excess of its well.

The levels for MIRI are the mean of its two axes and the diagonal of JWST-STScI-002925 (Engesser);
of the near-infrared detectors 0.5 to 0.6% are documented.

All three conserve charge, also at the border. Beyond it lies a pixel that is thought to hold
as much as the one inside, so nothing passes. Reference pixels do not take part: the arrays are
to be cut to the pixels that see light.
"""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["couple", "migrate", "spill"]

MOST_MOVED = 0.2
"""Largest part of the arriving charge that moves to one neighbour."""

SPILLS = 8
"""Pixels that excess charge passes at each read."""

NEAREST = ((0, 1), (1, 0), (0, -1), (-1, 0))


@numba.njit(cache=True, nogil=True)
def couple(charge, side, corner, out):  # noqa: ANN001, ANN201 -- numba infers the types
    """Write the charge that the electronics see through coupled pixels.

    Parameters
    ----------
    charge : (y, x) float64
        Charge that the pixels hold, electron.
    side, corner : float
        Share that is seen in each of the four nearest and the four diagonal neighbours.
    out : (y, x) float64
        Receives the charge that is seen.
    """
    n_y, n_x = charge.shape
    own = 1.0 - 4.0 * side - 4.0 * corner
    for y in range(n_y):
        low, high = max(y - 1, 0), min(y + 1, n_y - 1)
        for x in range(n_x):
            left, right = max(x - 1, 0), min(x + 1, n_x - 1)
            near = charge[low, x] + charge[high, x] + charge[y, left] + charge[y, right]
            far = charge[low, left] + charge[low, right] + charge[high, left] + charge[high, right]
            out[y, x] = own * charge[y, x] + side * near + corner * far


@numba.njit(cache=True, nogil=True)
def migrate(arriving, held, coefficient, out):  # noqa: ANN001, ANN201 -- numba infers the types
    """Write the charge that pixels collect when fuller ones lose area to emptier ones.

    Parameters
    ----------
    arriving : (y, x) float64
        Charge that the pixels would collect if all were equally full, electron.
    held : (y, x) float64
        Charge that they hold already, electron.
    coefficient : float
        Part of the charge that moves to one neighbour, per electron of contrast.
    out : (y, x) float64
        Receives the charge that is collected.
    """
    n_y, n_x = held.shape
    out[:] = arriving
    for y in range(n_y):
        for x in range(n_x):
            for dy, dx in NEAREST[:2]:
                v, u = y + dy, x + dx
                if v < n_y and u < n_x:
                    part = coefficient * (held[y, x] - held[v, u])
                    part = max(min(part, MOST_MOVED), -MOST_MOVED)
                    moved = part * (arriving[y, x] if part > 0 else arriving[v, u])
                    out[y, x] -= moved
                    out[v, u] += moved


@numba.njit(cache=True, nogil=True)
def spill(held, well):  # noqa: ANN001, ANN201 -- numba infers the types
    """Pass the charge above the well to the neighbours, in place.

    A pixel passes a quarter of its excess to each neighbour, up to `SPILLS` times; what is
    left after that, or has no neighbour to go to, stays.

    Parameters
    ----------
    held, well : (y, x) float64
        Charge that the pixels hold and can hold, electron.
    """
    n_y, n_x = held.shape
    for _ in range(SPILLS):
        full = np.flatnonzero((held > well).ravel())
        excess = np.empty(full.size)
        for k in range(full.size):
            y, x = full[k] // n_x, full[k] % n_x
            excess[k] = held[y, x] - well[y, x]
        if full.size == 0:
            break
        for k in range(full.size):
            y, x = full[k] // n_x, full[k] % n_x
            for dy, dx in NEAREST:
                v, u = y + dy, x + dx
                if 0 <= v < n_y and 0 <= u < n_x:
                    held[y, x] -= 0.25 * excess[k]
                    held[v, u] += 0.25 * excess[k]
