"""What a sample of the integrations tells the search for hits about each pixel."""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.medians import percentile_of_seen
from tsoxr.kernels.ramp_noise import FEWEST, MAD, UNCERTAINTY, noise_ratio, usual_pattern
from tsoxr.kernels.ramps import UNUSABLE, Readout

__all__ = ["describe_pixels", "usual_span"]

SURE = 3.0
"""Noise that exceeds the prediction by so many times the uncertainty is taken for real."""

MOST_JITTER = 0.02
"""Of the light of a pixel: on the flank of a line, where the spectrum moves by a hundredth of a pixel."""


def usual_span(pattern: np.ndarray) -> np.ndarray:
    """Return first and last group of the first run of usable ones.

    Parameters
    ----------
    pattern : (group, pixel) uint8
        Flags that the pixel usually has.

    Returns
    -------
    (2, pixel) float32
        Both 0 for pixels without a usable group.

    Examples
    --------
    >>> usual_span(np.array([[1, 0, 1], [0, 0, 1], [0, 2, 1]], "u1")).tolist()
    [[1.0, 0.0, 0.0], [2.0, 1.0, 0.0]]
    """
    usable = (pattern & UNUSABLE) == 0
    first = usable.argmax(axis=0)
    ended = ~usable & (np.arange(len(usable))[:, None] > first)
    last = np.where(ended.any(axis=0), ended.argmax(axis=0), len(usable)) - 1
    return np.stack([first, np.where(usable.any(axis=0), last, 0)]).astype(np.float32)


def _rise_ratio(
    ramp: np.ndarray, dq_group: np.ndarray, variance: np.ndarray, span: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how the rise from first to last group varies, each (pixel,) float64.

    Its scatter over the prediction, from changes between integrations, NaN where not measured; the
    relative uncertainty of that; and the median rise, DN.
    """
    a, b = span.astype(np.int64)
    i = np.arange(a.size)
    rise = ramp[:, b, i].astype(np.float64) - ramp[:, a, i].astype(np.float64)
    rise[((dq_group[:, a, i] | dq_group[:, b, i]) & UNUSABLE) != 0] = np.nan
    change = np.abs(np.diff(rise, axis=0))
    seen = np.isfinite(change)
    n, middle = seen.sum(axis=0), percentile_of_seen(change, seen, 50.0, axis=0)[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = MAD * middle / np.sqrt(2.0 * variance)
        known = (b > a) & (variance > 0.0) & (n >= FEWEST)
        uncertainty = UNCERTAINTY / np.sqrt(n)
    usual = percentile_of_seen(rise, np.isfinite(rise), 50.0, axis=0)[0]
    return np.where(known, ratio, np.nan), uncertainty, usual


def _believed(ratio: np.ndarray, uncertainty: np.ndarray) -> np.ndarray:
    """Return measured noise over predicted noise as far as it is not chance, at least 1.

    Most ratios differ by chance alone. Their logarithms are shrunk by what of their scatter over
    the pixels is more than that (the best estimate if both are Gaussian). Ratios of more
    than `SURE` times their uncertainty are lowered by one uncertainty only. NaN gives 1.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        log = np.log(ratio)
        known = np.isfinite(log)
        if np.count_nonzero(known) < FEWEST:
            return np.ones(ratio.shape)
        chance = uncertainty**2
        spread = (MAD * np.median(np.abs(log[known] - np.median(log[known])))) ** 2
        true = max(spread - float(np.median(chance[known])), 0.0)
        shrunk = np.exp(log * true / (true + chance))
        sure = ratio > 1.0 + SURE * uncertainty
        believed = np.where(sure, ratio / (1.0 + uncertainty), shrunk)
    return np.where(known, np.maximum(believed, 1.0), 1.0)


def _common_excess(measured: np.ndarray, variance: np.ndarray) -> float:
    """Return the variance that the fainter half of the pixels has beyond the prediction."""
    usable = np.isfinite(measured) & (variance > 0.0)
    if np.count_nonzero(usable) < FEWEST:
        return 0.0
    faint = usable & (variance <= np.median(variance[usable]))
    beyond = (measured[faint].astype(np.float64) ** 2 - 1.0) * variance[faint]
    return max(float(np.median(beyond)), 0.0)


def _uncertainty(ratio: np.ndarray, lowered: np.ndarray) -> np.ndarray:
    """Return the relative uncertainty of `noise_ratio` from what it was lowered by.

    That is known where the ratio is still above 1; elsewhere it is that of the others.
    """
    with np.errstate(invalid="ignore"):
        known = lowered > 1.0
        own = ratio / lowered - 1.0
    return np.where(known, own, np.median(own[known]) if known.any() else UNCERTAINTY)


def describe_pixels(
    ramp: np.ndarray, dq_group: np.ndarray, noise: np.ndarray, readout: Readout
) -> np.ndarray:
    """Return how noise differs from the prediction, and the usual groups, of each pixel.

    Parameters
    ----------
    ramp, dq_group : (time, group, pixel) arrays
        A sample of the integrations.
    noise : (2, pixel) float
        Predicted noise: photon variance per second, read variance of a group.
    readout : Readout
        Timing of the groups.

    Returns
    -------
    (6, pixel) float32
        Scatter of the differences over the prediction; variance to be added to that of a
        group, DN2; then the factor of both variances; variance of the rate between
        integrations, DN2 s-2; first and last group usually used.

    Notes
    -----
    Let the variance of a difference be ``e (V_d + 2 c) + v dt^2``, and that of the rise over the
    ramp ``e (V_r + 2 c) + v T^2``. Here c is the noise that the fainter half of all pixels has
    beyond the prediction (what is left of stripes), e that which a pixel has for itself
    and which is new in each group (telegraph noise), and v jitter, which all groups of a ramp
    share. Both are measured from changes between integrations, count only as far as they are
    significant, and are solved for; with one difference all is e. The light of no pixel jitters
    by more than `MOST_JITTER` of it: what is beyond that has to be sure.
    """
    span = usual_span(usual_pattern(dq_group))
    times = np.concatenate([[0.0], np.cumsum(readout.interval)])
    first, last = span.astype(np.int64)
    total = times[last] - times[first]
    dt = np.median(readout.interval)
    predicted = noise[0] * (dt - 2.0 * readout.lag) + 2.0 * noise[1]
    measured = noise_ratio(ramp, dq_group, noise, readout)[0]
    common = 0.5 * _common_excess(measured, predicted)
    noise = np.stack([noise[0], noise[1] + common])
    ratio, lowered = noise_ratio(ramp, dq_group, noise, readout).astype(np.float64)
    one = noise[0] * (dt - 2.0 * readout.lag) + 2.0 * noise[1]
    whole = noise[0] * (total - 2.0 * readout.lag) + 2.0 * noise[1]
    scatter = one * _believed(ratio, _uncertainty(ratio, lowered)) ** 2
    rise, chance, usual = _rise_ratio(ramp, dq_group, whole, span)
    sure = np.where(rise > 1.0 + SURE * chance, np.inf, (MOST_JITTER * usual) ** 2)
    rise = whole * np.fmax(rise / (1.0 + chance), 1.0) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        jitter = (rise * one - scatter * whole) / (total**2 * one - dt**2 * whole)
        jitter = np.where(last - first > 1, np.nan_to_num(jitter, posinf=0.0, neginf=0.0), 0.0)
        jitter = np.clip(jitter, 0.0, np.fmin(np.nan_to_num(scatter) / dt**2, sure / total**2))
        excess = np.nan_to_num(np.maximum((scatter - jitter * dt**2) / one, 1.0), nan=1.0)
        jitter = np.nan_to_num(jitter)
    shared = np.full(measured.shape, common)
    return np.stack([measured, shared, excess, jitter, *span]).astype(np.float32)
