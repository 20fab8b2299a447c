r"""Wings of defocused light and of several spectral orders in the pixels that are to show background.

Every bright pixel s of a line, of whatever order or field star, is taken to throw the same wings
across dispersion,

.. math:: m_{y\lambda} = b_\lambda + \sum_{y'} \sum_i k_i\, g_i(|y - y'|)\, s_{y'\lambda} +
   n_{y\lambda}, \qquad k_i \ge 0

in the median frame m. The shapes g are powers of the distance and exponentials, sums of which follow
any wing that falls ever more slowly. The levels b of the lines are eliminated, and the k follow by
least squares from all lines together. What falls too slowly to be told from a background passes for one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tsoxr.kernels.ridge import fill_from_neighbours

__all__ = ["spread_wings"]

POWERS = (2.0, 3.0, 4.0)
SHORTEST, RATIO = 6.0, 1.5
"""Lengths of exponentials: the first, in pixels, and the ratio of successive ones."""
LONGEST = 0.25
"""A longer exponential, as a part of the frame, passes for background."""
LIT = 0.005
"""Pixels with more light than this, as a part of the brightest ones, throw wings."""
FAINTEST = 3.0
"""... and than this many errors of one integration."""
BRIGHTEST = 99.5
"""Percentile of the frame that stands for the brightest pixels."""
INNER, CLEAR = 1.0 / 3.0, 2.0 / 3.0
"""Wings do not rise any more within the first, and are fitted beyond the second, of the
half-width about bright pixels."""
CLIP = 4.0
ROUNDS = 8
SMOOTH = 7
"""Lines whose median light is taken, so that a bad pixel on the spectrum has no say."""
TOGETHER = 8
"""Lines that are averaged where wings are fitted: they change little from line to line."""


def spread_wings(
    median: np.ndarray, error: np.ndarray, region: np.ndarray, centre: np.ndarray, half_width: float
) -> np.ndarray:
    """Return the light of the wings of all bright pixels in the background's pixels.

    Parameters
    ----------
    median, error : (spatial, dispersion) float
        Median frame and typical 1 sigma errors of one integration.
    region : (spatial, dispersion) float64
        Median frame where background is measured, NaN elsewhere.
    centre : (dispersion,) float64
        Position of the spectrum.
    half_width : float
        Pixels to either side that hold the light of a line.

    Returns
    -------
    (spatial, dispersion) float64
        0 outside the region, and everywhere when no wings are seen.

    References
    ----------
    .. [1] Lawson & Hanson (1974), Solving Least Squares Problems, for the algorithm.
    """
    from scipy import ndimage

    inside = np.isfinite(region) & (error > 0)
    light = _bright(median, error, region)
    near = ndimage.binary_dilation(light > 0.0, np.ones((2 * round(CLEAR * half_width) + 1, 1)))
    beside = np.abs(np.arange(median.shape[0])[:, None] - centre) > half_width
    fitted = inside | (beside & ~near & np.isfinite(median) & (error > 0))
    weight = np.where(fitted, 1.0 / np.where(fitted, error, 1.0).astype(np.float64) ** 2, 0.0)
    total = _binned(weight)
    values = _binned(weight * np.where(fitted, median, 0.0)) / np.where(total > 0, total, 1.0)
    sources = _binned(light) / _binned(np.ones_like(light))
    kernels = _kernels(median.shape[0], INNER * half_width)
    share = _shares(values, total, np.stack([_spread(sources, kernel) for kernel in kernels]))
    return np.where(inside, _spread(light, share @ kernels), 0.0)


def _bright(median: np.ndarray, error: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Return the light above the background of the pixels that throw wings, 0 elsewhere."""
    from scipy import ndimage

    known = np.isfinite(region)
    n = known.sum(axis=0)
    level = np.where(known, region, 0.0).sum(axis=0) / np.maximum(n, 1)
    level = np.where(n > 0, level, np.median(level[n > 0]) if (n > 0).any() else 0.0)
    filled = np.nan_to_num(fill_from_neighbours(np.ascontiguousarray(median, dtype=np.float64)))
    smooth = ndimage.median_filter(filled - level, size=(1, SMOOTH), mode="nearest")
    noise = float(np.median(error[error > 0])) if (error > 0).any() else 0.0
    least = max(LIT * float(np.percentile(smooth, BRIGHTEST)), FAINTEST * noise)
    return np.where(smooth > least, smooth, 0.0)


def _binned(image: np.ndarray) -> np.ndarray:
    """Return the sums over `TOGETHER` lines each."""
    return np.add.reduceat(image, np.arange(0, image.shape[1], TOGETHER), axis=1)


def _kernels(n_space: int, inner: float) -> np.ndarray:
    """Return the wings that are tried, (kernel, distance), at distances 0 to n - 1."""
    away = np.maximum(np.arange(n_space, dtype=np.float64), max(inner, 1.0))
    n_lengths = int(np.log(max(LONGEST * n_space / SHORTEST, 1.0)) / np.log(RATIO)) + 1
    lengths = SHORTEST * RATIO ** np.arange(n_lengths)
    powers = [(away / away[0]) ** -p for p in POWERS]
    return np.stack([*powers, *(np.exp((away[0] - away) / length) for length in lengths)])


def _spread(light: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    place = np.arange(kernel.size)
    return kernel[np.abs(place[:, None] - place)] @ light


def _shares(values: np.ndarray, weight: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Return the shares, none negative, whose sum leaves least beside a level for each line.

    Pixels that the fit leaves far off, such as those of field stars, are clipped.
    """
    from scipy.optimize import nnls

    kept, share = weight, np.zeros(len(shapes))
    for _ in range(ROUNDS):
        use = kept > 0.0
        if use.sum() <= len(shapes):
            break
        root = np.sqrt(kept[use])
        columns = [(shape - _mean(shape, kept))[use] for shape in shapes]
        matrix = np.stack([root * c for c in (*columns, (values - _mean(values, kept))[use])])
        # the triangular factor poses the same problem in as many rows as there are shapes
        factor: Any = np.linalg.qr(matrix.T, mode="r")
        share = nnls(factor[:, :-1], factor[:, -1])[0]
        left = values - np.tensordot(share, shapes, axes=1)
        off = np.sqrt(weight) * np.abs(left - _mean(left, kept))
        now = np.where(off <= CLIP * 1.4826 * np.median(off[weight > 0]), weight, 0.0)
        if (now == kept).all():
            break
        kept = now
    return share


def _mean(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the weighted mean of each line, 0 without pixels."""
    total = weight.sum(axis=0)
    return (weight * values).sum(axis=0) / np.where(total > 0, total, 1.0)
