"""What a sample of the integrations tells the search for hits about each pixel."""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.ramp_noise import FEWEST, MAD, UNCERTAINTY, noise_ratio, usual_pattern
from tsoxr.kernels.ramps import UNUSABLE, Readout

__all__ = ["describe_pixels", "usual_span"]


@numba.njit(cache=True, nogil=True)
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
    """
    n_groups, n_pixels = pattern.shape
    span = np.zeros((2, n_pixels), np.float32)
    for i in range(n_pixels):
        first = 0
        while first < n_groups and pattern[first, i] & UNUSABLE:
            first += 1
        last = first
        while last < n_groups and not pattern[last, i] & UNUSABLE:
            last += 1
        if last > first:
            span[0, i], span[1, i] = first, last - 1
    return span


@numba.njit(cache=True, nogil=True)
def _rise_excess(
    ramp: np.ndarray, dq_group: np.ndarray, variance: np.ndarray, span: np.ndarray
) -> np.ndarray:
    """Return measured over predicted variance (pixel,) of the rise from first to last group.

    Measured from changes between integrations, lowered by its uncertainty, at least 1.
    """
    n_times, _, n_pixels = ramp.shape
    out = np.ones(n_pixels)
    found = np.empty(n_times)
    for i in range(n_pixels):
        a, b = int(span[0, i]), int(span[1, i])
        if b <= a or not variance[i] > 0.0:
            continue
        n = 0
        before = np.float64(np.nan)
        for t in range(n_times):
            rise = np.float64(ramp[t, b, i]) - np.float64(ramp[t, a, i])
            if (dq_group[t, a, i] | dq_group[t, b, i]) & UNUSABLE:
                rise = np.float64(np.nan)
            if np.isfinite(rise - before):
                found[n] = np.abs(rise - before)
                n += 1
            before = rise
        if n >= FEWEST:
            ratio = MAD * np.median(found[:n]) / np.sqrt(2.0 * variance[i])
            out[i] = max(ratio / (1.0 + UNCERTAINTY / np.sqrt(n)), 1.0) ** 2
    return out


def _common_excess(measured: np.ndarray, variance: np.ndarray) -> float:
    """Return the variance that the fainter half of the pixels has beyond the prediction."""
    usable = np.isfinite(measured) & (variance > 0.0)
    if np.count_nonzero(usable) < FEWEST:
        return 0.0
    faint = usable & (variance <= np.median(variance[usable]))
    beyond = (measured[faint].astype(np.float64) ** 2 - 1.0) * variance[faint]
    return max(float(np.median(beyond)), 0.0)


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
    significant, and are solved for; with one difference all is e.
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
    lowered = noise_ratio(ramp, dq_group, noise, readout)[1]
    one = noise[0] * (dt - 2.0 * readout.lag) + 2.0 * noise[1]
    whole = noise[0] * (total - 2.0 * readout.lag) + 2.0 * noise[1]
    scatter = one * lowered.astype(np.float64) ** 2
    rise = whole * _rise_excess(ramp, dq_group, whole, span)
    with np.errstate(invalid="ignore", divide="ignore"):
        jitter = (rise * one - scatter * whole) / (total**2 * one - dt**2 * whole)
        jitter = np.where(last - first > 1, np.nan_to_num(jitter, posinf=0.0, neginf=0.0), 0.0)
        jitter = np.clip(jitter, 0.0, np.nan_to_num(scatter) / dt**2)
        excess = np.nan_to_num(np.maximum((scatter - jitter * dt**2) / one, 1.0), nan=1.0)
    shared = np.full(measured.shape, common)
    return np.stack([measured, shared, excess, jitter, *span]).astype(np.float32)
