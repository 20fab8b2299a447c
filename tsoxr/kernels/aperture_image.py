"""What a sample of integrations shows: the image of the star, its errors, and noise of lines."""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.aperture_lines import NOTHING, line_noise
from tsoxr.kernels.aperture_weights import Lines
from tsoxr.kernels.outliers import masked_median
from tsoxr.kernels.still_image import still_frames

__all__ = ["seen_image"]

FEWEST = 8
"""Integrations that tell how lines drift."""
NOISY = 2.0
"""Reference pixels that scatter by more than this over their median are left out."""


def seen_image(
    rate: np.ndarray,
    sigma: np.ndarray,
    bad: np.ndarray,
    blind: np.ndarray,
    output: np.ndarray,
    line_dim: int,
) -> tuple[np.ndarray, np.ndarray, Lines]:
    """Return median image and error of one integration, (y, x) float32, and the noise of lines.

    Parameters
    ----------
    rate, sigma : (time, y, x) float32
        A sample of the integrations, and their errors.
    bad : (time, y, x) bool
        Samples to leave out, those of reference pixels among them.
    blind : (time, y, x) bool
        Samples of reference pixels that are usable.
    output : (fast,) int
        Which output reads each pixel of a line, from 0.
    line_dim : int
        Axis of the image along which lines follow each other.
    """
    error = masked_median(sigma, bad)
    median, light, level = still_frames(rate, bad, error)
    if len(rate) < FEWEST:
        return median, error, Lines(NOTHING, output, None)
    left = _without_star(rate, bad, (median, light, level))
    often = blind.mean(axis=0) > 0.5
    own = _blind_pixels(rate, sigma, blind, often, left)
    known = np.isfinite(median) & (error > 0.0) & np.isfinite(error)
    errors = np.where(known, error, own).astype(np.float64)
    weight = np.where(errors > 0.0, 1.0 / np.where(errors > 0.0, errors, 1.0) ** 2, 0.0)
    turned = (left, weight, often)
    if line_dim == 1:
        turned = (left.swapaxes(1, 2), weight.T, often.T)
    return median, error, Lines(line_noise(*turned, output), output, own)


def _without_star(
    rate: np.ndarray, bad: np.ndarray, still: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return what star and sky leave, (time, y, x) float32; 0 where a sample is not usable."""
    median, light, level = still
    star = np.nan_to_num(median - np.float32(np.median(level))).astype(np.float32)
    left: np.ndarray = rate - level.astype(np.float32)[:, None, None]
    left -= light.astype(np.float32)[:, None, None] * star
    left[bad | ~np.isfinite(left)] = 0.0
    return left


def _blind_pixels(
    rate: np.ndarray, sigma: np.ndarray, blind: np.ndarray, often: np.ndarray, left: np.ndarray
) -> np.ndarray:
    """Return the errors of reference pixels (y, x), 0 elsewhere, and fill in what they are left with."""
    errors = np.zeros(often.shape)
    rows, columns = np.nonzero(often)
    if rows.size == 0:
        return errors
    lost = ~blind[:, rows, columns][:, None]
    middle, error = (masked_median(a[:, rows, columns][:, None], lost)[0] for a in (rate, sigma))
    own = np.where(lost[:, 0], 0.0, rate[:, rows, columns] - middle)
    left[:, rows, columns] = own
    spread = own.std(axis=0)
    quiet = (spread < NOISY * np.median(spread)) & (error > 0.0)
    errors[rows, columns] = np.where(quiet, _own_noise(own, error, rows, columns) * error, 0.0)
    return errors


def _own_noise(own: np.ndarray, error: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """Return the scatter of reference pixels over their errors, from differences of neighbours.

    They are quieter than the pixels for which errors are made, and neighbours share all drifts.
    """
    for down in (0, 1):
        along = np.lexsort((columns, rows) if down == 0 else (rows, columns))
        a, b = along[:-1], along[1:]
        beside = (rows[b] - rows[a] == down) & (columns[b] - columns[a] == 1 - down)
        if beside.any():
            a, b = a[beside], b[beside]
            expected = (error[a].astype(np.float64) ** 2 + error[b] ** 2).sum()
            square = ((own[:, b] - own[:, a]).astype(np.float64) ** 2).mean(axis=0).sum()
            n_times = len(own)
            return float(np.sqrt(square / expected * n_times / max(n_times - 1, 1)))
    return 1.0
