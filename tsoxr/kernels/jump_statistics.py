"""What a sample of the integrations tells the search for hits about each pixel."""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.jump_scatter import FEWEST, scatter_without_hits
from tsoxr.kernels.ramp_noise import usual_pattern
from tsoxr.kernels.ramp_scatter import MAD
from tsoxr.kernels.ramps import UNUSABLE, Readout

__all__ = ["describe_pixels", "usual_span"]

UNCERTAINTY = 1.3
"""Of MAD from n changes, times sqrt(n): 1.17 if no two shared a value."""

SURE = 3.0
"""Noise that exceeds the prediction by so many times the uncertainty is taken for real."""

MOST_JITTER = 0.02
"""Of the light of a pixel: on the flank of a line, where the spectrum moves by a hundredth of a pixel."""

BRIGHTEST = 0.05
"""Share of the pixels that tell how far the light of the others can jitter."""


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


def _most_jitter(
    ratio: np.ndarray, chance: np.ndarray, usual: np.ndarray, variance: np.ndarray
) -> float:
    """Return how far the light of a pixel can jitter, over that light: no more than `MOST_JITTER`.

    As far as nearly all of the brightest, in which it is best measured.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        snr = usual / np.sqrt(variance)
        beyond = np.fmax((ratio / (1.0 + chance)) ** 2 - 1.0, 0.0)
        relative = np.sqrt(beyond) / snr
    known = np.flatnonzero(np.isfinite(relative) & np.isfinite(snr) & (snr > 0.0))
    n = int(BRIGHTEST * ratio.size)
    if min(n, known.size) < FEWEST:
        return MOST_JITTER
    best = known[np.argsort(-snr[known], kind="stable")[:n]]
    return min(float(np.percentile(relative[best], 95.0)), MOST_JITTER)


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
    measured, n, rise, n_rise, usual = scatter_without_hits(ramp, dq_group, noise, span, readout)
    time = np.concatenate([[0.0], np.cumsum(readout.interval)])
    first, last = span.astype(np.int64)
    total, dt = time[last] - time[first], np.median(readout.interval)
    one, whole = (noise[0] * (t - 2.0 * readout.lag) + 2.0 * noise[1] for t in (dt, total))
    common = _common_excess(measured, one)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = measured * np.sqrt(one / (one + common))
        one, whole = one + common, whole + common
        scatter = one * _believed(ratio, UNCERTAINTY / np.sqrt(n)) ** 2
        known = (last - first > 1) & (whole > 0.0) & (n_rise >= FEWEST)
        ratio, chance = rise / np.sqrt(whole), UNCERTAINTY / np.sqrt(n_rise)
        ratio = np.where(known, ratio, np.nan)
        most = (_most_jitter(ratio, chance, usual, whole) * usual) ** 2
        most = np.where(ratio > 1.0 + SURE * chance, np.inf, most)
        spread = whole * np.fmax(ratio / (1.0 + chance), 1.0) ** 2
        jitter = (spread * one - scatter * whole) / (total**2 * one - dt**2 * whole)
        jitter = np.where(known, np.nan_to_num(jitter, posinf=0.0, neginf=0.0), 0.0)
        jitter = np.clip(jitter, 0.0, np.fmin(np.nan_to_num(scatter) / dt**2, most / total**2))
        excess = np.nan_to_num(np.maximum((scatter - jitter * dt**2) / one, 1.0), nan=1.0)
    shared = np.full(measured.shape, 0.5 * common)
    measured = np.nan_to_num(measured, nan=1.0)
    return np.stack([measured, shared, excess, np.nan_to_num(jitter), *span]).astype(np.float32)
