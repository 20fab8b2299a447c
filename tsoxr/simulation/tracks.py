"""The charge of a particle's track, pixel by pixel.

Charge is freed evenly along a straight track and spreads by diffusion, a round Gaussian. The
Gaussian is integrated over each pixel exactly, and along the track by two-point Gaussian
quadrature over steps of one standard deviation at most, which leaves an error below 1e-5 of the
charge of a step.
"""

from __future__ import annotations

import math

import numba
import numpy as np

__all__ = ["deposit"]

REACH = 4.0
"""Standard deviations that diffusion reaches at least; what lies beyond goes to the last pixel."""

NODE = math.sqrt(1.0 / 12.0)
"""Distance of the nodes of two-point Gaussian quadrature from the middle of a step."""

SMALLEST = 0.02
"""Least standard deviation of the diffusion, pixels."""


def deposit(
    start: np.ndarray, end: np.ndarray, charge: np.ndarray, spread: float, science: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the charge that each track leaves in each pixel.

    Parameters
    ----------
    start, end : (event, 2) float64
        Ends of the tracks, y and x; whole numbers are the centres of pixels.
    charge : (event,) float64
        Charge of each track, electron.
    spread : float
        Standard deviation of the diffusion, pixels.
    science : (y, x) bool
        Pixels that collect charge. What falls on others, or beside the array, is lost.

    Returns
    -------
    event, y, x : (deposit,) int64
    charge : (deposit,) float64
        electron; in order of the events.
    """
    spread = max(spread, SMALLEST)
    margin = math.ceil(REACH * spread) + 1
    low = np.floor(np.minimum(start, end)).astype(np.int64) - margin
    high = np.ceil(np.maximum(start, end)).astype(np.int64) + margin
    last = np.array(science.shape) - 1
    low, high = low.clip(0, last), high.clip(0, last)
    room = int((high - low + 1).prod(axis=1).sum())
    return _fill(start, end, charge, spread, science, low, high, room)


@numba.njit(cache=True, nogil=True)
def _fill(start, end, charge, spread, science, low, high, room):  # noqa: ANN001, ANN202 -- numba infers the types
    """Paint one track after the other on a blank image and collect what it left."""
    image = np.zeros(science.shape)
    place = np.empty((3, room), np.int64)
    amount = np.empty(room)
    n = 0
    for k in range(charge.size):
        _paint(image, start[k], end[k], charge[k], spread)
        for j in range(low[k, 0], high[k, 0] + 1):
            for i in range(low[k, 1], high[k, 1] + 1):
                if image[j, i] > 0.0 and science[j, i]:
                    place[0, n], place[1, n], place[2, n] = k, j, i
                    amount[n] = image[j, i]
                    n += 1
                image[j, i] = 0.0
    return place[0, :n], place[1, :n], place[2, :n], amount[:n]


@numba.njit(cache=True, nogil=True)
def _paint(image, start, end, charge, spread):  # noqa: ANN001, ANN202 -- numba infers the types
    n_steps = max(1, int(np.ceil(np.hypot(end[0] - start[0], end[1] - start[1]) / spread)))
    reach = int(np.ceil(REACH * spread))
    for point in range(2 * n_steps):
        node = 0.5 - NODE if point % 2 == 0 else 0.5 + NODE
        along = (point // 2 + node) / n_steps
        y = start[0] + along * (end[0] - start[0])
        x = start[1] + along * (end[1] - start[1])
        first_y, weight_y = _shares(y, spread, reach)
        first_x, weight_x = _shares(x, spread, reach)
        for j in range(weight_y.size):
            for i in range(weight_x.size):
                v, u = first_y + j, first_x + i
                if 0 <= v < image.shape[0] and 0 <= u < image.shape[1]:
                    image[v, u] += 0.5 * charge / n_steps * weight_y[j] * weight_x[i]


@numba.njit(cache=True, nogil=True)
def _shares(center, spread, reach):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the first pixel and the shares of a Gaussian in it and the following ones."""
    first = int(np.floor(center + 0.5)) - reach
    share = np.empty(2 * reach + 1)
    below = 0.0
    for k in range(share.size - 1):
        edge = first + k + 0.5 - center
        above = 0.5 + 0.5 * math.erf(edge / (spread * math.sqrt(2.0)))
        share[k] = above - below
        below = above
    share[-1] = 1.0 - below
    return first, share
