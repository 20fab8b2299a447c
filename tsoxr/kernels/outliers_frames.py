"""How bright each frame is and how far it has moved, from its brightest pixels.

A frame is the median frame M times its light, moved by a fraction of a pixel:
``D = f M + a dM/dy + b dM/dx``. With the median of each frame's residuals as judge of what is a hit,
three numbers are fitted to each frame (linear decomposition, as in Lim et al. 2023, ApJL 955,
L22). Gradients are central differences, which on sharp images are smaller than the true ones: a and b
are then larger than the shift, and their product, which is all that is used, is right to first
order. Arrays are as in `tsoxr.kernels.outliers`.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tsoxr.kernels.outliers import masked_median

__all__ = ["FAINT", "FITTED", "UNKNOWN", "frame_fits", "frame_templates"]

MIN_PIXEL_SIGNAL = 5.0
"""A pixel shows the light of a frame where the median frame has this S/N."""
BRIGHT_PART = 0.9
"""Both flanks of a spectrum, so that a shift of it and its light are told apart."""
MIN_BRIGHT = 32
"""Pixels that are fitted, where there are as many."""
MAX_BRIGHT = 3000
"""As many say all that is needed of three numbers."""
CLIP = 5.0
"""Bright pixels farther off the others of their frame, in robust standard deviations, are hits."""

SPIKE = 3.0
"""A pixel that exceeds the third brightest of those around by so many times its light is lone,
or falls below the third faintest by this factor."""
ROUNDS = 2
"""Fits of a frame, each with the residuals of the one before."""

FRAMES = 16
"""Frames that are fitted together: what is made of them stays in the processor's cache."""

UNKNOWN, FAINT, BRIGHT, FITTED = -1.0, 0.0, 1.0, 2.0
"""What the last template says of a pixel: no usable sample, little light, light, used in the fit."""


def frame_templates(median: np.ndarray, error: np.ndarray, along: int | None = None) -> np.ndarray:
    """Return what frames are made of, and the pixels that show it.

    Parameters
    ----------
    median, error : (y, x) float
        Median frame, and the 1 sigma error of one integration; NaN where unknown.
    along : int, optional
        Axis of the dispersion. Gradients are then those of a running median of three along it, which
        bad pixels on the spectrum do not enter.

    Returns
    -------
    (5, y, x) float32
        Median frame, its gradients along y and x (0 where unknown), 1 / error, and
        `UNKNOWN`, `FAINT`, ``BRIGHT`` or `FITTED`. The pixels of the fit are the brightest that
        together hold `BRIGHT_PART` of the summed squared S/N, at least `MIN_BRIGHT`, each of
        S/N 5; of more than `MAX_BRIGHT`, evenly spread ones.
    """
    known = np.isfinite(median) & np.isfinite(error) & (error > 0)
    signal = np.divide(median, error, out=np.zeros(median.shape), where=known)
    lone = _spikes(np.where(known, median, 0.0), np.where(known, error, 0.0))
    out = np.zeros((5, *median.shape), np.float32)
    out[0] = np.where(known, median, 0.0)
    smooth = np.where(known & ~lone, median, np.nan)
    if along is not None:
        size = (3, 1) if along == 0 else (1, 3)
        kept = np.isfinite(smooth)
        smooth = ndimage.median_filter(np.where(kept, smooth, 0.0), size=size, mode="nearest")
        smooth = np.where(kept, smooth, np.nan)
    for axis in (0, 1):
        out[1 + axis] = np.nan_to_num(_gradient(smooth, axis))
    out[3] = np.divide(1.0, error, out=np.zeros(median.shape), where=known)
    out[4] = np.where(known, np.where(signal >= MIN_PIXEL_SIGNAL, BRIGHT, FAINT), UNKNOWN)
    bright = np.flatnonzero((out[4].ravel() == BRIGHT) & ~lone.ravel())
    order = bright[np.argsort(signal.ravel()[bright], kind="stable")[::-1]]
    power = np.cumsum(signal.ravel()[order] ** 2)
    most = 0 if order.size == 0 else int(np.searchsorted(power, BRIGHT_PART * power[-1])) + 1
    chosen = np.sort(order[: max(most, MIN_BRIGHT)])
    out[4].ravel()[chosen[:: -(-chosen.size // MAX_BRIGHT) or 1]] = FITTED
    return out


def _spikes(image: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return single bright or dark pixels, which are no image of a star and would make gradients."""
    high, low = (ndimage.rank_filter(image, rank, size=3, mode="nearest") for rank in (-4, 3))
    bright = image - high > SPIKE * np.abs(high) + CLIP * error
    return bright | (low - image > SPIKE / (1.0 + SPIKE) * np.abs(low) + CLIP * error)


def _gradient(image: np.ndarray, axis: int) -> np.ndarray:
    """Return central differences; one-sided beside what is unknown and at the edges."""
    before, after = np.full((2, *image.shape), np.nan)
    inner, outer = [slice(None)] * 2, [slice(None)] * 2
    inner[axis], outer[axis] = slice(1, None), slice(None, -1)
    difference = np.diff(image, axis=axis)
    before[tuple(inner)] = difference
    after[tuple(outer)] = difference
    both = 0.5 * (before + after)
    return np.where(np.isfinite(both), both, np.where(np.isfinite(before), before, after))


def frame_fits(rate: np.ndarray, unusable: np.ndarray, templates: np.ndarray) -> np.ndarray:
    """Return light and shift of each frame relative to the median frame.

    Parameters
    ----------
    rate, unusable
        Frames.
    templates : (5, y, x) float32
        From `frame_templates`.

    Returns
    -------
    (time, 4) float64
        Light less 1, shifts along y and x, pixels (nominally), and the robust rms of what is left
        over the error, in pixels of the fit. 0, 0, 0, 1 where fewer than two such pixels are usable.
    """
    y, x = np.nonzero(templates[4] == FITTED)
    weight = templates[3, y, x]
    basis = (templates[:3, y, x] * weight).astype(np.float64)
    out = np.zeros((len(rate), 4))
    for first in range(0, len(rate), FRAMES):
        part = slice(first, first + FRAMES)
        data = (rate[part, y, x] * weight).T
        lost = unusable[part, y, x].T | ~np.isfinite(data)
        out[part] = _fitted(np.where(lost, 0.0, data.astype(np.float64)), lost, basis)
    return out


def _fitted(data: np.ndarray, lost: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Fit ``data`` (pixel, time) with ``basis`` (3, pixel), both over the error, without hits."""
    n = len(data) - lost.sum(axis=0)
    best = np.zeros((n.size, 3))
    best[:, 0] = _medians(data / basis[0][:, None], lost)
    for turn in range(ROUNDS + 1):
        size = np.abs(data - basis.T @ best.T)
        width = 1.4826 * _medians(size, lost)
        if turn < ROUNDS:
            used = (size <= CLIP * width) & ~lost
            best = _least_squares(data, used, basis, n >= MIN_BRIGHT // 2)
    found = np.column_stack([best[:, 0] - 1.0, best[:, 1:], width])
    fits = (n >= 2) & (best[:, 0] > 0) & np.isfinite(found).all(axis=1)
    return np.where(fits[:, None], found, (0.0, 0.0, 0.0, 1.0))


def _medians(values: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Return the median of each column of float64 values to the precision of float32."""
    flat = values.astype(np.float32)[:, None]
    return masked_median(flat, lost[:, None])[0].astype(np.float64)


def _least_squares(
    data: np.ndarray, used: np.ndarray, basis: np.ndarray, many: np.ndarray
) -> np.ndarray:
    """Return the least-squares factors (time, 3) from the pixels used; only the first but for ``many``."""
    pairs = (basis[:, None] * basis).reshape(9, -1)
    matrix = (used.T.astype(np.float64) @ pairs.T).reshape(-1, 3, 3)
    right = np.where(used, data, 0.0).T @ basis.T
    right[~many, 1:] = matrix[~many, 1:] = matrix[~many, :, 1:] = 0.0
    matrix += (1e-9 * matrix[:, 0, 0] + 1e-300)[:, None, None] * np.eye(3)
    return np.linalg.solve(matrix, right[..., None])[..., 0]
