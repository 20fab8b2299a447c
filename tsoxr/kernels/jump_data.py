"""What all parts of the search for hits look at: ramps, flags, noise, light and the rule.

Shapes: ``ramp`` (time, group, pixel) uint16, float32 or float64; ``dq_group`` likewise, uint8;
``static`` (6, pixel), the layers below. Groups that are NaN count as flagged.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from tsoxr.kernels.ramps import Readout, usable_difference

__all__ = ["LAYERS", "Data", "Rule", "difference", "window_bounds", "window_start"]

LAYERS = ("photon", "read", "jitter", "first", "last", "rate")
"""Photon variance per second, DN2 s-1; read variance of a group, DN2; variance of the rate from
one integration to another beyond these two, DN2 s-2; first and last group that the pixel
usually has; rate, DN s-1."""

PHOTON, READ, JITTER, FIRST, LAST, RATE = range(6)


class Rule(NamedTuple):
    """How to search: window, integrations; thresholds, sigma; what is flagged besides a hit.

    ``sigma`` is for charge gained, ``drop`` for charge lost, ``grow_sigma`` for the neighbours
    of a hit, ``grow`` pixels wide; ``after`` groups; ``after_integrations`` after hits that a
    pixel remembers; ``expand`` times the radius of large round events.
    """

    window: int
    sigma: float
    drop: float
    grow_sigma: float
    grow: int
    after: int
    after_integrations: int
    expand: float


class Data(NamedTuple):
    """The arrays, with the light (time, bin) of the star over its median and each pixel's bin."""

    ramp: np.ndarray
    flags: np.ndarray
    static: np.ndarray
    light: np.ndarray
    bins: np.ndarray
    readout: Readout
    rule: Rule


@numba.njit(cache=True, nogil=True, inline="always")
def difference(data: Data, t: int, j: int, i: int) -> float:
    """Return the difference ``j -> j+1`` of one ramp; NaN where it is not usable."""
    if not usable_difference(data.flags[t, j, i], data.flags[t, j + 1, i]):
        return np.nan
    return np.float64(data.ramp[t, j + 1, i]) - np.float64(data.ramp[t, j, i])


def window_start(t: np.ndarray, window: int, n_times: int) -> np.ndarray:
    """Return the first integration of the window about each ``t``: moved inward at the ends."""
    return np.clip(t - window // 2, 0, n_times - window)


def window_bounds(first: int, last: int, window: int, n_times: int) -> tuple[int, int]:
    """Return the integrations ``[start, stop)`` that the search of ``[first, last)`` needs.

    Parameters
    ----------
    first, last : int
        Integrations to search.
    window : int
        Size of the window, the integration itself included.
    n_times : int
        Number of integrations there are.
    """
    window = min(window, n_times)
    start, latest = window_start(np.array([first, last - 1]), window, n_times).tolist()
    stop = latest + window
    return max(start - 1, 0), min(stop + 1, n_times)  # one more: values are compared with the next
