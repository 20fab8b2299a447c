"""Which weight an extraction gives the pixels of a read-out line, as far as the light tells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tsoxr.kernels.stripe_clock import Sums, structure

__all__ = ["light_shares", "line_variance", "within_lines"]

SMOOTH = 33
"""Pixels along dispersion over which the profile of the light is averaged; a median of nine
of them is taken first."""


def light_shares(rise: np.ndarray, usable: np.ndarray, dispersion: int | None) -> np.ndarray:
    """Return the share of each pixel in the light of its line.

    Parameters
    ----------
    rise : (slow, fast) float
        Light on each pixel, DN.
    usable : (slow, fast) bool
        Pixels off the light.
    dispersion : int or None
        Axis along which wavelength changes, ``None`` for an image.

    Returns
    -------
    (slow, fast) float64
        Each line sums to one. A line without light has the same share everywhere.
    """
    from scipy.ndimage import median_filter, uniform_filter1d

    rise = np.nan_to_num(rise.astype(np.float64))
    if dispersion is not None:
        size = np.ones(2, int)
        size[dispersion] = min(9, rise.shape[dispersion])
        rise = median_filter(rise, tuple(size), mode="nearest")
        sky = np.ma.median(np.ma.array(rise, mask=~usable), axis=1 - dispersion).filled(0.0)
        rise = rise - np.expand_dims(sky, 1 - dispersion)
    light = np.where(usable, 0.0, np.maximum(rise, 0.0))
    if dispersion is not None:
        light = uniform_filter1d(light, min(SMOOTH, light.shape[dispersion]), axis=dispersion)
        light[usable] = 0.0
    total = light.sum(axis=1, keepdims=True)
    return np.where(total > 0, light / np.where(total > 0, total, 1.0), 1.0 / rise.shape[1])


def line_variance(
    variance_of: Callable[[Sums], np.ndarray],
    rise: np.ndarray,
    usable: np.ndarray,
    dispersion: int | None,
) -> np.ndarray:
    """Return the variance of the error that the light of each line has in common, (slow,).

    An extraction weights pixels by their light, and so do we: of the errors along a line, what
    it sees is the variance of their weighted mean. Lines along the spectrum have errors in
    common as well; the variances of those with light are multiplied by one factor, so that their
    weighted sum, taken for independent, is that of the light of the whole frame.

    Parameters
    ----------
    variance_of : callable
        Returns the error variance of weighted sums of pixels, in the order (slow, fast).
    rise, usable, dispersion
        As for `light_shares`.
    """
    share = light_shares(rise, usable, dispersion)
    n_line, n_fast = share.shape
    out = variance_of(Sums(share.ravel(), np.repeat(np.arange(n_line), n_fast)))
    lit = ~usable.all(axis=1)
    if dispersion != 1 or not lit.any():
        return out
    above = np.nan_to_num(rise.astype(np.float64))
    above = above - (np.median(above[usable]) if usable.any() else 0.0)
    light = np.maximum(np.where(usable, 0.0, above).sum(axis=1), 0.0)
    light = light / max(light.sum(), 1e-30)
    apart = float(light**2 @ out)
    if apart > 0:
        together = Sums((light[:, None] * share).ravel(), np.zeros(share.size, np.int64))
        out[lit] *= float(variance_of(together)[0]) / apart
    return out


def within_lines(share: np.ndarray, weight: np.ndarray, tick: np.ndarray) -> np.ndarray:
    """Return the variance of the drift from the pixels that measure a line to its light.

    Parameters
    ----------
    share : (slow, fast) float
        From `light_shares`.
    weight : (slow, fast) float
        Of the pixels that measure, 0 for others.
    tick : (slow, fast) int
        Clock at which each pixel is read.

    Returns
    -------
    (slow,) float64
        For 1/f noise of density 1/f; 0 for a line without pixels that measure.
    """
    total = weight.sum(axis=1, keepdims=True)
    apart = share - weight / np.where(total > 0, total, 1.0)
    out = np.zeros(len(share))
    for line in np.flatnonzero(total[:, 0] > 0):
        at = tick[line] - tick[line].min()
        each = np.bincount(at, apart[line])
        spread = np.correlate(each, each, "full")[each.size - 1 :]
        lagged = structure(np.arange(each.size))
        out[line] = -2.0 * float(spread[1:] @ lagged[1:])
    return np.maximum(out, 0.0)
