"""How bright each frame is and how far it has moved, from its brightest pixels.

A frame is the median frame M times its light, moved by a fraction of a pixel:
``D = f M + a dM/dy + b dM/dx``. With the median of each frame's residuals as judge of what is a hit,
three numbers are fitted to each frame (linear decomposition, as in Lim et al. 2023, ApJL 955,
L22). Gradients are central differences, which on sharp images are smaller than the true ones: a and b
are then larger than the shift, and their product, which is all that is used, is right to first
order. Arrays are as in `tsoxr.kernels.outliers`.
"""

from __future__ import annotations

import numba
import numpy as np
from scipy import ndimage

from tsoxr.kernels.outliers import median_of

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


@numba.njit(cache=True, nogil=True)
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
    at_y, at_x = np.nonzero(templates[4] == FITTED)
    n_fit = at_y.size
    out = np.zeros((rate.shape[0], 4))
    out[:, 3] = 1.0
    basis = np.empty((n_fit, 3))
    for i in range(n_fit):
        for j in range(3):
            basis[i, j] = templates[j, at_y[i], at_x[i]] * templates[3, at_y[i], at_x[i]]
    data, kept = np.empty(n_fit), np.empty(n_fit, np.int64)
    room = np.empty((2, n_fit), np.float32)
    for t in range(rate.shape[0]):
        n = 0
        for i in range(n_fit):
            y, x = at_y[i], at_x[i]
            if not unusable[t, y, x] and np.isfinite(rate[t, y, x]):
                data[n] = rate[t, y, x] * templates[3, y, x]
                kept[n] = i
                n += 1
        if n >= 2:
            _fit_one(data[:n], basis[kept[:n]], room, out[t])
    return out


@numba.njit(cache=True, nogil=True)
def _median_of(values, room):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the median of float64 values to the precision of float32; ``room`` (2, n) float32."""
    for i in range(values.size):
        room[0, i] = values[i]
    return median_of(room[0], values.size, room[1])


@numba.njit(cache=True, nogil=True)
def _fit_one(data: np.ndarray, basis: np.ndarray, room: np.ndarray, out: np.ndarray) -> None:
    """Fit ``data`` (pixel,) with ``basis`` (pixel, 3), both over the error, without hits."""
    n_terms = 3 if data.size >= MIN_BRIGHT // 2 else 1
    best = np.zeros(3)
    best[0] = _median_of(data / basis[:, 0], room)
    rest = data - best[0] * basis[:, 0]
    width = 1.4826 * _median_of(np.abs(rest), room)
    for _ in range(ROUNDS):
        best[:n_terms] = _solved(data, basis, np.abs(rest) <= CLIP * width, n_terms)
        rest = data - basis @ best
        width = 1.4826 * _median_of(np.abs(rest), room)
    if best[0] > 0.0 and np.isfinite(best).all():
        out[0], out[1], out[2], out[3] = best[0] - 1.0, best[1], best[2], width


@numba.njit(cache=True, nogil=True)
def _solved(data, basis, used, n_terms):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the least-squares factors of the first terms, from the pixels used."""
    matrix, right = np.zeros((n_terms, n_terms)), np.zeros(n_terms)
    for i in range(data.size):
        if used[i]:
            for j in range(n_terms):
                right[j] += basis[i, j] * data[i]
                for k in range(n_terms):
                    matrix[j, k] += basis[i, j] * basis[i, k]
    for j in range(n_terms):
        matrix[j, j] += 1e-9 * matrix[0, 0] + 1e-300
    return np.linalg.solve(matrix, right)
