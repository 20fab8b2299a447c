"""Compact sources in a frame that shows the field, and little or nothing of the target.

Through a filter that passes only the end of the target's spectrum, such as F277W for NIRISS
SOSS, most of the detector shows what else is in the field: images of other stars in zeroth
order, some 4 pixels wide and 20 high. They are sought as light that stands out of the median
along the dispersion in more than a few neighbouring pixels.

Shapes: frames are (spatial, dispersion), float; NaN is a pixel that is not used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsoxr.kernels.ridge import fill_from_neighbours

__all__ = ["Sources", "compact_sources"]

WINDOW = 101
"""Running median along the dispersion, pixels: several times as long as a source is wide."""
SMOOTHING = (5, 3)
"""Median across and along dispersion that takes single hot pixels and a part of the noise away."""
OUTSKIRTS = 0.5
"""Part of the threshold down to which pixels that touch a source belong to it."""
SPECTRUM = 10.0
"""Smooth light above this many standard deviations is the target's own: sources are not sought."""
WINGS = 12
"""Pixels on either side of the target's own light in which its wings are steep."""
TOUCHING = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Sources:
    """What was found: all (spatial, dispersion).

    ``mask`` bool; ``light`` float64, the light that stands out, in units of the frame;
    ``significance`` float64, that light after smoothing in standard deviations; ``judged``
    bool, False where the target's own spectrum or the lack of data prevents a search.
    """

    mask: np.ndarray
    light: np.ndarray
    significance: np.ndarray
    judged: np.ndarray


def compact_sources(
    frame: np.ndarray, *, sigma: float = 5.0, n_pixels: int = 10, grow: int = 1
) -> Sources:
    """Find clusters of pixels that stand out of a frame.

    Parameters
    ----------
    frame : (spatial, dispersion) float
        Light of the field; NaN is no data.
    sigma : float
        Threshold in robust standard deviations of the smoothed frame.
    n_pixels : int
        Smallest number of neighbouring pixels above the threshold.
    grow : int
        Pixels by which a source is widened on all sides.

    Returns
    -------
    Sources

    Notes
    -----
    The running median along the dispersion, then the median of each line across it, are taken
    off: the smooth scene and stripes along the lines. A 5 by 3 median of what is left is compared
    with its own robust scatter, and clusters above the threshold are followed down to half of it.
    """
    from scipy import ndimage

    known = np.isfinite(frame)
    if not known.any():
        nothing = np.zeros(frame.shape)
        return Sources(nothing > 0, nothing, nothing, known)
    filled = _filled(frame, known)
    smooth = _running_median(filled)
    judged = known & ~_own_light(filled, smooth)
    light = np.where(judged, filled - smooth, np.nan)
    light -= _medians(light)
    quiet = np.nan_to_num(light)
    found = ndimage.median_filter(quiet, size=SMOOTHING, mode="nearest")
    scale = _spread(found[judged])
    significance = np.where(judged, found / scale, 0.0) if scale > 0 else np.zeros(frame.shape)
    mask = _clusters(significance, sigma, n_pixels)
    if grow > 0:
        mask = ndimage.binary_dilation(mask, structure=TOUCHING, iterations=grow)
    return Sources(mask, np.where(mask, np.maximum(quiet, 0.0), 0.0), significance, judged)


def _filled(frame: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the frame with neighbours, or at last the median of all, where there is no data."""
    filled = fill_from_neighbours(np.asarray(frame, dtype=np.float64))
    return np.where(np.isfinite(filled), filled, np.median(frame[known]))


def _running_median(frame: np.ndarray) -> np.ndarray:
    """Return the median of `WINDOW` pixels along dispersion; all lines at once, end to end."""
    from scipy import ndimage

    half = WINDOW // 2
    padded = np.pad(frame, ((0, 0), (half, half)), mode="edge")
    medians = ndimage.median_filter(padded.ravel(), size=WINDOW, mode="nearest")
    return np.asarray(medians.reshape(padded.shape)[:, half:-half])


def _own_light(filled: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """Return where the smooth light is that of the target, with a margin."""
    from scipy import ndimage

    level = np.median(smooth)
    noise = max(_spread((filled - smooth).ravel()), np.finfo(float).tiny)
    bright = smooth - level > SPECTRUM * noise
    bright = ndimage.binary_opening(bright, structure=np.ones((1, WINDOW // 4), bool))
    around = np.ones((2 * WINGS + 1, WINDOW // 4), bool)
    return np.asarray(ndimage.binary_dilation(bright, structure=around))


def _medians(light: np.ndarray) -> np.ndarray:
    """Return the median of each line across dispersion, 0 where nothing is judged."""
    out = np.zeros(light.shape[1])
    seen = np.isfinite(light).any(axis=0)
    out[seen] = np.nanmedian(light[:, seen], axis=0)
    return out


def _spread(values: np.ndarray) -> float:
    """Return 1.4826 times the median absolute deviation, 0 of nothing."""
    if values.size == 0:
        return 0.0
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def _clusters(significance: np.ndarray, sigma: float, n_pixels: int) -> np.ndarray:
    """Return clusters with enough pixels above the threshold, followed down to half of it."""
    from scipy import ndimage

    seeds = significance > sigma
    clusters, n = ndimage.label(significance > OUTSKIRTS * sigma, structure=TOUCHING)
    large = np.bincount(clusters[seeds], minlength=n + 1) >= n_pixels
    large[0] = False
    return np.asarray(large[clusters])
