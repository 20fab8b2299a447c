r"""How strong the 1/f noise is, from differences of pixels along the clock.

Half the mean square of the differences of pixels k ticks apart is
:math:`s^2 + A^2\, \mathrm{Cin}(\pi k)` for 1/f noise of density :math:`A^2/f` and white noise of
standard deviation s (`tsoxr.kernels.stripe_clock.structure`). Neither levels of frames nor the
pattern of the mask enter.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from tsoxr.kernels.stripe_clock import filled, in_reading_order, structure

__all__ = ["amplitude_of", "common_share"]

LAGS = 24
"""Distances at which differences are compared."""

FARTHEST = 6.0
"""Values farther out, in standard deviations, are hits."""


def amplitude_of(
    residual: np.ndarray, weight: np.ndarray, tick: np.ndarray, n_ticks: int
) -> tuple[float, float]:
    """Measure the 1/f noise and the white noise from differences along the clock.

    Both come from a straight line through half the mean square of the differences as a
    function of Cin, at lags that are evenly spaced in their logarithm. The lags are even, so
    that columns of one parity are compared: noise that alternates does not pass for white.

    Parameters
    ----------
    residual : (frame, pixel) float
        A sample of the frames, DN, treated as those to be cleaned: what is static must have
        been taken off, and differences of two groups have sqrt(2) times the noise of one.
    weight, tick, n_ticks
        As for `in_reading_order`; the weights only choose the pixels.

    Returns
    -------
    amplitude : float
        A, DN.
    white : float
        s, DN, the part that no two pixels share.

    Raises
    ------
    ValueError
        Where no two lags have pairs of pixels, or for input as in `in_reading_order`.
    """
    pixels = in_reading_order(weight, tick, n_ticks)
    values, _ = pixels.take(np.asarray(residual))
    values = _without_hits(values)
    at = pixels.tick[pixels.used]
    lags = 2 * np.unique(np.geomspace(1, max(n_ticks // 8, 1), LAGS).round().astype(np.int64))
    found = [_half_square(values, at, lag) for lag in lags]
    size, pairs = np.array(found).T
    if np.count_nonzero(pairs) < 2:
        raise ValueError(
            f"clock_model: {at.size} pixels have no differences at two lags; more must be used "
            "to measure the amplitude; widen the mask or give the amplitude"
        )
    design = np.stack([np.ones(lags.size), structure(lags)], axis=1)
    root = np.sqrt(np.sqrt(pairs))  # pairs at one lag share noise: neither 1 nor their number
    white, pink = np.linalg.lstsq(design * root[:, None], size * root, rcond=None)[0]
    return float(np.sqrt(max(pink, 0.0))), float(np.sqrt(max(white, 0.0)))


def _without_hits(values: np.ndarray) -> np.ndarray:
    """Replace what lies farther out than Gaussian noise does, by the mean of its neighbours."""
    limit = FARTHEST * 1.4826 * np.median(np.abs(values))
    return filled(np.where(np.abs(values) > limit, np.nan, values)) if limit > 0 else values


def _half_square(values: np.ndarray, at: np.ndarray, lag: int) -> tuple[float, int]:
    """Return half the mean square difference of pixels ``lag`` apart, and their number."""
    later = np.searchsorted(at, at + lag)
    later[later == at.size] = 0
    first = np.flatnonzero(at[later] == at + lag)
    if first.size == 0:
        return 0.0, 0
    change = values[:, later[first]] - values[:, first]
    return 0.5 * float(np.mean(np.square(change), dtype=np.float64)), first.size


def common_share(
    residual: np.ndarray, weight: np.ndarray, tick: np.ndarray, n_ticks: int, output: np.ndarray
) -> float:
    """Measure how much of the 1/f noise outputs that are read side by side have in common.

    The difference of two outputs at the same tick has the amplitude
    ``sqrt(2 (1 - c)) A``, which is compared with that of each by itself.

    Parameters
    ----------
    residual, weight, tick, n_ticks
        As for `amplitude_of`, pixels of all outputs.
    output : (pixel,) int
        Output that reads each pixel.

    Returns
    -------
    float
        c, the share of the variance, 0 to 1; the mean over pairs of outputs. 0 where no two
        outputs have used pixels at the same ticks.
    """
    weight, tick, output = np.asarray(weight), np.asarray(tick), np.asarray(output)
    found = []
    for one, other in combinations(np.unique(output), 2):
        first, second = (np.flatnonzero((output == o) & (weight > 0)) for o in (one, other))
        _, a, b = np.intersect1d(tick[first], tick[second], return_indices=True)
        first, second = first[a], second[b]
        if first.size < LAGS:
            continue
        at, w = tick[first], np.ones(first.size)
        left, right = residual[:, first], residual[:, second]
        apart = amplitude_of(left - right, w, at, n_ticks)[0] ** 2
        alone = sum(amplitude_of(x, w, at, n_ticks)[0] ** 2 for x in (left, right))
        if alone > 0:
            found.append(1.0 - apart / alone)
    return float(np.clip(np.mean(found), 0.0, 1.0)) if found else 0.0
