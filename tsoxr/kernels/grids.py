"""Bins of wavelength: where pixels begin and end, regular grids, and which pixel is in which bin.

A bin takes from each pixel the part of it that lies inside, so flux is conserved whatever
the edges are.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.extraction import ROUNDING

__all__ = [
    "edges_of_constant_resolution",
    "edges_of_constant_width",
    "edges_of_pixels",
    "overlaps",
    "pixel_limits",
]

GAP = 3.0
"""A step of this many times the neighbouring ones is a gap, not a wide pixel."""


def pixel_limits(wavelength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the wavelengths at which each pixel begins and ends.

    Parameters
    ----------
    wavelength : (pixel,) float64
        Of the centres, increasing, um.

    Returns
    -------
    lower, upper : (pixel,) float64
        Half way to the neighbours; half the step on the other side at the ends and at
        gaps (steps `GAP` times as long as those around them).
    """
    wavelength = np.asarray(wavelength, dtype=np.float64)
    if wavelength.size == 1:
        half = 0.5e-3 * wavelength
        return wavelength - half, wavelength + half
    step = np.diff(wavelength)
    before = np.concatenate([step[:1], step[:-1]])
    after = np.concatenate([step[1:], step[-1:]])
    gap = step > GAP * np.minimum(before, after) if step.size > 1 else np.zeros(1, bool)
    above = np.where(gap, before, step) / 2  # from the lower pixel of each step upwards
    below = np.where(gap, after, step) / 2  # from the upper pixel of each step downwards
    lower = wavelength - np.concatenate([above[:1], below])
    upper = wavelength + np.concatenate([above, below[-1:]])
    return lower, upper


def edges_of_constant_resolution(lowest: float, highest: float, resolution: float) -> np.ndarray:
    """Return bin edges of constant wavelength / width.

    Parameters
    ----------
    lowest, highest : float
        Limits that no bin exceeds, um.
    resolution : float
        Wavelength over width.

    Returns
    -------
    (edge,) float64
        Members of the one grid exp(k s), s = 2 artanh(1 / (2 resolution)), k integer: exposures
        and modes binned alike share their edges, and each bin's centre over its width is
        ``resolution``. Fewer than two when no bin fits.
    """
    step = 2.0 * np.arctanh(0.5 / resolution)
    first, last = np.ceil(np.log(lowest) / step - 1e-9), np.floor(np.log(highest) / step + 1e-9)
    return np.exp(step * np.arange(first, last + 1))


def edges_of_constant_width(lowest: float, highest: float, width: float) -> np.ndarray:
    """Return bin edges at the multiples of a width, within limits; all in um.

    Returns
    -------
    (edge,) float64
        Fewer than two when no bin fits.
    """
    first, last = np.ceil(lowest / width - 1e-9), np.floor(highest / width + 1e-9)
    return width * np.arange(first, last + 1)


def edges_of_pixels(lower: np.ndarray, upper: np.ndarray, n_pixels: int) -> np.ndarray:
    """Return the limits of bins of so many neighbouring pixels; a rest is left over.

    Returns
    -------
    (bin, 2) float64
        Wavelengths, um.
    """
    n_bins = lower.size // n_pixels
    first = np.arange(n_bins) * n_pixels
    return np.stack([lower[first], upper[first + n_pixels - 1]], axis=1)


def overlaps(
    lower: np.ndarray, upper: np.ndarray, bounds: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which pixels lie in which bin, and how much of each does.

    Parameters
    ----------
    lower, upper : (pixel,) float64
        From `pixel_limits`.
    bounds : (bin, 2) float64
        Limits of the bins in the same unit; bins may overlap or leave gaps.

    Returns
    -------
    starts : (bin + 1,) int64
        Where each bin begins in the two lists that follow.
    pixels : (n,) int64
        Pixels, bin after bin.
    parts : (n,) float64
        Part of the pixel inside the bin, above 0 and at most 1.
    """
    starts, pixels, parts = [0], [], []
    for low, high in bounds:
        inside = np.flatnonzero((upper > low) & (lower < high))
        size = upper[inside] - lower[inside]
        part = (np.minimum(upper[inside], high) - np.maximum(lower[inside], low)) / size
        some = part > ROUNDING
        pixels.append(inside[some])
        parts.append(part[some])
        starts.append(starts[-1] + int(some.sum()))
    return np.array(starts), np.concatenate(pixels).astype(np.int64), np.concatenate(parts)
