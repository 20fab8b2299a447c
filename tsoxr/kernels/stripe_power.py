"""Power spectrum on the clock of the read-out, from the pixels that see no light."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

__all__ = ["N_FREQUENCIES", "clock_power", "frequency_bins"]

N_FREQUENCIES = 48

N_TYPICAL = 1 << 16
"""Values that tell how far a typical one is from zero."""


def frequency_bins(n_ticks: int) -> np.ndarray:
    """Return the limits (N_FREQUENCIES + 1,) of bins evenly spaced in logarithm, cycles per tick."""
    return np.geomspace(0.7 / n_ticks, 0.5 * (1.0 + 1e-9), N_FREQUENCIES + 1)


def clock_power(change: np.ndarray, usable: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the mean periodogram of masked frames, in the order of their read-out.

    Parameters
    ----------
    change : (time, slow, fast) number
        What rises from the first to the last group depart from the scene.
    usable : (slow, fast) bool
        Background pixels; what the others show counts as zero, and the density is scaled up
        by the part that is left, so that white noise keeps its level.
    edges : (output + 1,) int
        Fast index at which each output begins, and the end.

    Returns
    -------
    (N_FREQUENCIES,) float64
        One-sided density in units of ``change`` squared times ticks; NaN for empty bins.
    """
    from scipy import fft

    total, weight = np.zeros(N_FREQUENCIES), np.zeros(N_FREQUENCIES)
    for begin, end in pairwise(edges):
        dark = usable[:, begin:end].ravel()
        if not dark.any():
            continue
        series = change[:, :, begin:end].reshape(len(change), -1).astype(np.float32)
        np.multiply(series, dark, out=series)
        series[~np.isfinite(series)] = 0.0
        seen = series[:, dark]
        some = seen.ravel()[:: max(1, seen.size // N_TYPICAL)]
        limit = 6.0 * 1.4826 * np.median(np.abs(some))
        np.clip(series, -limit, limit, out=series)
        found = fft.rfft(series, axis=-1)
        power = np.mean(found.real**2 + found.imag**2, axis=0)[1:] * (2.0 / dark.sum())
        bins = frequency_bins(dark.size)
        bins = np.searchsorted(np.fft.rfftfreq(dark.size)[1:], bins[1:-1])
        bins = np.concatenate([[0], bins, [power.size]])
        sums = np.concatenate([[0.0], np.cumsum(power, dtype=np.float64)])
        total += sums[bins[1:]] - sums[bins[:-1]]
        weight += np.diff(bins)
    return np.where(weight > 0, total / np.maximum(weight, 1.0), np.nan)
