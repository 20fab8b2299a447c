"""Where the light falls on the detector, well enough to stay away from it.

Masks for estimates of noise need the place of the spectrum to a pixel, before there is a
trace; these functions find it in a median image. Images come as (spatial, dispersion).
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "background_pixels",
    "bright_pixels",
    "center_line",
    "distance_from_light",
    "median_and_sigma",
    "wings",
]

LIT_SIGMA = 6.0
"""A dispersion position is lit where its peak exceeds the noise of the peaks by this."""

LIT_FRACTION = 0.01
"""... and this part of the bright end of the spectrum."""

STANDS_OUT_SIGMA = 5.0
"""A pixel this far above its surroundings holds light of another source or order."""

BRIGHT_FRACTION = 0.1
"""Part of the bright end from which a pixel counts as bright."""

STAR_SIGMA = 10.0
"""The brightest pixels of a star are brighter than this many standard deviations of the noise:
the highest half per cent of pixels without a star stands out by 2.6."""

DARKEST_PERCENT = 10.0
"""The darkest background pixels (per cent) show the sky, the others wings too."""


def median_and_sigma(values: np.ndarray, axis: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return median and robust standard deviation (1.4826 MAD), NaN ignored.

    Parameters
    ----------
    values : array
        Any shape; a slice that is all NaN gives 0 and 0.
    axis : int, optional
        Axis to reduce, which stays with size 1; all of them if not given.
    """
    middle = _median_of_seen(values, axis)
    return middle, 1.4826 * _median_of_seen(np.abs(values - middle), axis)


def _median_of_seen(values: np.ndarray, axis: int | None) -> np.ndarray:
    """Return the median of what is not NaN, 0 where nothing is; the axis stays."""
    if axis is None:
        return _median_of_seen(values.ravel(), 0).reshape((1,) * values.ndim)
    order = np.sort(np.moveaxis(values, axis, -1), axis=-1)  # NaN comes last
    count = order.shape[-1] - np.isnan(order).sum(axis=-1, keepdims=True)
    lower, upper = (
        np.take_along_axis(order, np.maximum(at, 0), axis=-1)
        for at in ((count - 1) // 2, np.minimum(count // 2, order.shape[-1] - 1))
    )
    middle = np.where(count > 0, (lower + upper) / 2, np.zeros((), order.dtype))
    return np.moveaxis(middle, -1, axis)


def center_line(image: np.ndarray, good: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the spectrum lies across dispersion, and where there is any.

    The highest point of each dispersion position, after a median along dispersion that
    removes hot pixels, is followed by a polynomial; a centroid about that refines it.

    Parameters
    ----------
    image : (spatial, dispersion) float
        Median image; need not be free of background.
    good : (spatial, dispersion) bool
        Pixels to trust.

    Returns
    -------
    center : (dispersion,) float64
        Index along the spatial axis; NaN throughout where no light is found.
    lit : (dispersion,) bool
        Positions with light.
    """
    from scipy import ndimage

    clean = np.where(good & np.isfinite(image), image, np.nan).astype(np.float64)
    clean = np.nan_to_num(clean - median_and_sigma(clean, axis=0)[0])
    smooth = ndimage.median_filter(clean, size=(1, 9), mode="nearest")
    smooth = ndimage.uniform_filter1d(smooth, min(5, image.shape[0]), axis=0, mode="constant")
    height, peak = smooth.max(axis=0), smooth.argmax(axis=0)
    noise = float(median_and_sigma(smooth)[1].squeeze())
    lit = height > max(LIT_SIGMA * noise, LIT_FRACTION * float(np.percentile(height, 98)))
    n_dispersion = image.shape[1]
    if lit.sum() < min(5, n_dispersion):
        return np.full(n_dispersion, np.nan), np.zeros(n_dispersion, bool)
    center = _smooth_line(peak.astype(float), lit)
    return _smooth_line(_centroid(clean, center, max(image.shape[0] / 16, 3.0)), lit), lit


def _centroid(image: np.ndarray, center: np.ndarray, half_width: float) -> np.ndarray:
    position = np.arange(image.shape[0])[:, None]
    weight = np.where(np.abs(position - center) <= half_width, np.maximum(image, 0.0), 0.0)
    total = weight.sum(axis=0)
    return np.where(
        total > 0, (weight * position).sum(axis=0) / np.where(total > 0, total, 1.0), center
    )


def _smooth_line(position: np.ndarray, lit: np.ndarray, n_clip: int = 6) -> np.ndarray:
    """Fit a polynomial to the lit positions, drop outliers, hold it constant beyond them."""
    at = np.flatnonzero(lit)
    degree = int(np.clip(at.size // 60, 0, 5))
    domain = (at[0], max(at[-1], at[0] + 1))
    use = np.ones(at.size, bool)
    line = np.polynomial.Legendre([np.median(position[at])], domain=domain)
    for _ in range(n_clip):
        line = np.polynomial.Legendre.fit(
            at[use], position[at[use]], min(degree, use.sum() - 1), domain=domain
        )
        off = np.abs(position[at] - line(at))
        kept = off <= max(3.0 * 1.4826 * float(np.median(off)), 1.0)
        if (kept == use).all():
            break
        use = kept
    return line(np.clip(np.arange(position.size), at[0], at[-1]))


def distance_from_light(
    image: np.ndarray, good: np.ndarray, *, point_source: bool = False
) -> np.ndarray:
    """Return how far each pixel is from the light, infinite where there is none.

    Parameters
    ----------
    image : (spatial, dispersion) float
        Median image.
    good : (spatial, dispersion) bool
        Pixels to trust.
    point_source : bool
        Measure from the brightest spot instead of from the line of a spectrum.

    Returns
    -------
    (spatial, dispersion) float64
        Pixels; across dispersion for a spectrum.
    """
    rows, columns = np.indices(image.shape)
    if point_source:
        y, x = _brightest_spot(image, good)
        return np.hypot(rows - y, columns - x)
    center, lit = center_line(image, good)
    return np.where(lit, np.abs(rows - center), np.inf)


def _brightest_spot(image: np.ndarray, good: np.ndarray) -> tuple[float, float]:
    """Return the centre of the light above a fifth of the peak: defocused images have many peaks."""
    from scipy import ndimage

    clean = np.where(good & np.isfinite(image), image, np.nan)
    clean = np.nan_to_num(clean - median_and_sigma(clean)[0])
    smooth = ndimage.uniform_filter(ndimage.median_filter(clean, size=3, mode="nearest"), 5)
    weight = np.where(smooth > 0.2 * smooth.max(), smooth, 0.0)
    if not weight.any():
        return np.inf, np.inf
    rows, columns = np.indices(image.shape)
    return float((weight * rows).sum() / weight.sum()), float(
        (weight * columns).sum() / weight.sum()
    )


def background_pixels(
    image: np.ndarray,
    good: np.ndarray,
    half_width: float,
    *,
    point_source: bool = False,
    distance: np.ndarray | None = None,
) -> np.ndarray:
    """Return the pixels that show background only.

    These are the good pixels farther than ``half_width`` from the light that do not stand
    out of the others at their dispersion position.

    Parameters
    ----------
    image : (spatial, dispersion) float
        Median image.
    good : (spatial, dispersion) bool
        Pixels to trust.
    half_width : float
        Pixels.
    point_source : bool
        Measure the distance from the brightest spot.
    distance : (spatial, dispersion) float, optional
        From `distance_from_light`, where it is known.

    Returns
    -------
    (spatial, dispersion) bool
    """
    if distance is None:
        distance = distance_from_light(image, good, point_source=point_source)
    far = good & np.isfinite(image) & (distance > half_width)
    around = np.where(far, image, np.nan)
    level, sigma = median_and_sigma(around, axis=0)
    typical = float(np.median(sigma[sigma > 0])) if (sigma > 0).any() else 0.0
    return far & ~(np.nan_to_num(image) > level + STANDS_OUT_SIGMA * np.maximum(sigma, typical))


def wings(image: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Return the light of the star in background pixels: what stands above the darkest of them.

    Parameters
    ----------
    image : (spatial, dispersion) float
        Median image, sky included.
    usable : (spatial, dispersion) bool
        Background pixels.

    Returns
    -------
    (spatial, dispersion) float32
        0 in all other pixels.
    """
    around = np.where(usable, image, np.nan)
    around[0] = np.where(usable.any(axis=0), around[0], 0.0)
    sky = np.nanpercentile(around, DARKEST_PERCENT, axis=0)
    return np.where(usable, image - sky, 0.0).astype(np.float32)


def bright_pixels(image: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Return the good pixels with at least a tenth of the light of the brightest ones.

    None where the brightest do not stand out of what neighbours differ by: without a star in
    the frame, what they show is noise, and a drift of the whole frame would pass for light.

    Parameters
    ----------
    image : (spatial, dispersion) float
        Median image.
    good : (spatial, dispersion) bool
        Pixels to trust.

    Returns
    -------
    (spatial, dispersion) bool
    """
    trusted = good & np.isfinite(image)
    if not trusted.any():
        return trusted
    light = image - np.median(image[trusted])
    brightest = np.percentile(light[trusted], 99.5)
    change = np.diff(image)[trusted[:, 1:] & trusted[:, :-1]]
    noise = 1.4826 * np.median(np.abs(change)) / np.sqrt(2.0) if change.size else 0.0
    if brightest <= STAR_SIGMA * noise:
        return np.zeros_like(trusted)
    return trusted & (light > BRIGHT_FRACTION * brightest)
