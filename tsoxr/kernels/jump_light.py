"""The light of the star in each integration, over its median, from the ramps themselves.

In bins of wavelength, the median over bright pixels of their rise from the first to the last
group, over what their usual rate gives. Hits in single pixels do not matter to a median, and
the noise of a hundred pixels is small against that of the one that is tested.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.jump_data import FIRST, LAST, PHOTON, RATE, READ
from tsoxr.kernels.medians import percentile_of_seen
from tsoxr.kernels.ramps import UNUSABLE, Readout

__all__ = ["MOST_BINS", "light_curves"]

MOST_BINS = 8
N_PIXELS = 100
"""Pixels of a bin that are used: the brightest."""

FEWEST = 25
LEAST_SNR = 10.0
"""Of a whole ramp; fainter pixels say nothing about the light of one integration."""


def light_curves(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    static: np.ndarray,
    lines: np.ndarray,
    readout: Readout,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the light in bins of wavelength.

    Parameters
    ----------
    ramp, dq_group : (time, group, pixel) arrays
        Ramps, DN, and their flags.
    static : (6, pixel) float
        Layers of `tsoxr.kernels.jump_data.LAYERS`.
    lines : (pixel,) int
        Line of constant wavelength of each pixel, from 0.
    readout : Readout
        Timing of the groups.

    Returns
    -------
    light : (time, bin) float32
        Over its median; 1 throughout where fewer than `FEWEST` pixels are bright enough. A bin
        with too few has the light of all bins together.
    bins : (pixel,) uint8
        Bin of each pixel.
    """
    n_lines = int(lines.max(initial=0)) + 1
    n_bins = min(MOST_BINS, n_lines)
    bins = (lines.astype(np.int64) * n_bins // n_lines).astype(np.uint8)
    time = np.concatenate([[0.0], np.cumsum(readout.interval)])
    n_groups = time.size
    first, last = (
        np.clip(np.nan_to_num(static[k]), 0, n_groups - 1).astype(np.int64) for k in (FIRST, LAST)
    )
    span = time[last] - time[first]
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = np.sqrt(static[PHOTON] * span + 2.0 * static[READ])
        snr = np.where(span > 0, static[RATE] * span / noise, 0.0)
    bright = np.isfinite(snr) & (snr > LEAST_SNR)
    light = np.ones((ramp.shape[0], n_bins), np.float32)
    chosen = [_brightest(np.flatnonzero(bright & (bins == b)), snr) for b in range(n_bins)]
    everywhere = np.concatenate(chosen)
    if everywhere.size < FEWEST:
        return light, bins
    rise = (static[RATE] * span).astype(np.float64)
    white = _median_ratios(ramp, dq_group, everywhere, first, last, rise)
    for b, pixels in enumerate(chosen):
        own = pixels.size >= FEWEST
        light[:, b] = _median_ratios(ramp, dq_group, pixels, first, last, rise) if own else white
    return np.where(np.isfinite(light) & (light > 0), light, np.float32(1.0)), bins


def _brightest(pixels: np.ndarray, snr: np.ndarray) -> np.ndarray:
    """Return the `N_PIXELS` of highest signal to noise."""
    if pixels.size <= N_PIXELS:
        return pixels
    return np.sort(pixels[np.argpartition(snr[pixels], -N_PIXELS)[-N_PIXELS:]])


def _median_ratios(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    pixels: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    rise: np.ndarray,
) -> np.ndarray:
    """Return the median ratio of rise to usual rise (time,) float32; NaN of fewer than `FEWEST`."""
    a, b = (slice(None), first[pixels], pixels), (slice(None), last[pixels], pixels)
    ratio = (ramp[b].astype(np.float64) - ramp[a].astype(np.float64)) / rise[pixels]
    seen = np.isfinite(ratio) & (((dq_group[a] | dq_group[b]) & UNUSABLE) == 0)
    middle = percentile_of_seen(ratio, seen, 50.0, axis=1)[:, 0]
    return np.where(seen.sum(axis=1) >= FEWEST, middle, np.nan).astype(np.float32)
