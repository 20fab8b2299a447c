"""Power spectrum on the clock of the read-out, from the pixels that see no light."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

__all__ = ["N_FREQUENCIES", "clock_power", "frequency_bins"]

N_FREQUENCIES = 48


def frequency_bins(n_ticks: int) -> np.ndarray:
    """Return the limits (N_FREQUENCIES + 1,) of bins evenly spaced in logarithm, cycles per tick."""
    return np.geomspace(0.7 / n_ticks, 0.5 * (1.0 + 1e-9), N_FREQUENCIES + 1)


def clock_power(change: np.ndarray, usable: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the mean periodogram of masked frames, in the order of their read-out.

    Parameters
    ----------
    change : (time, slow, fast) number
        Rises from the first to the last group.
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
    change = change - np.median(change, axis=0)
    total, weight = np.zeros(N_FREQUENCIES), np.zeros(N_FREQUENCIES)
    for begin, end in pairwise(edges):
        dark = usable[:, begin:end].ravel()
        if not dark.any():
            continue
        series = np.where(dark, change[:, :, begin:end].reshape(len(change), -1), 0.0)
        series = np.nan_to_num(series)
        limit = 6.0 * 1.4826 * np.median(np.abs(series[:, dark]))
        series = np.clip(series, -limit, limit)
        power = np.mean(np.abs(np.fft.rfft(series, axis=-1)) ** 2, axis=0)[1:] * 2.0 / dark.sum()
        bins = np.searchsorted(frequency_bins(dark.size), np.fft.rfftfreq(dark.size)[1:]) - 1
        bins = np.clip(bins, 0, N_FREQUENCIES - 1)
        total += np.bincount(bins, power, N_FREQUENCIES)
        weight += np.bincount(bins, minlength=N_FREQUENCIES)
    return np.where(weight > 0, total / np.maximum(weight, 1.0), np.nan)
