"""How the light of each column is spread over its pixels: the spatial profile.

Estimated once for an exposure from a median image, so it does not depend on time. Where the
image is good it is its own profile, with the flat field and the sampling of each pixel in
it; where it is noisy or damaged, a running fit along the dispersion stands in. An error of
the profile scales the flux of its column by a constant and costs, to first order, nothing
else.

Axes are (spatial, dispersion) whatever the detector's are.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np

from tsoxr.kernels.outliers import masked_median

__all__ = [
    "median_images",
    "profile_of_fit",
    "smooth_along_dispersion",
    "spatial_profile",
    "window_for",
]

Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

WINDOW = (5, 31)
"""Shortest and longest window of the profile's running fit, pixels along dispersion."""

DRIFT = 0.5
"""The trace may move by this much, in pixels, within the window of the running fit."""

REJECT = 5.0
"""Pixels this many sigma away from the smooth profile do not enter its fit."""

MEDIAN_VARIANCE = np.pi / 2
"""Variance of a median over that of a mean, normal noise."""

ROWS = 16
"""Rows whose flags are looked at together."""


def median_images(
    data: np.ndarray,
    error: np.ndarray,
    dq: np.ndarray,
    unusable: np.uint32,
    accepted: np.uint32 = np.uint32(0),  # noqa: B008 -- a number
) -> np.ndarray:
    """Return median, median error and number of usable samples of each pixel.

    Parameters
    ----------
    data, error : (time, spatial, dispersion) float32
        A sample of the integrations; a pixel is left out of one where it is not finite or
        its error is not positive.
    dq : (time, spatial, dispersion) uint32
        Flags.
    unusable : uint32
        Flags that take a pixel out of use.
    accepted : uint32
        Flags of values that are used for all that.

    Returns
    -------
    (3, spatial, dispersion) float32
        The first two are NaN where no sample is usable.
    """
    out = np.empty((3, *data.shape[1:]), np.float32)
    for first in range(0, data.shape[1], ROWS):
        rows = slice(first, first + ROWS)
        value, own, flags = data[:, rows], error[:, rows], dq[:, rows]
        used = ((flags & unusable) == 0) | ((flags & accepted) != 0)
        used &= np.isfinite(value) & (own > 0) & (own < np.inf)
        out[0, rows], out[1, rows] = (masked_median(a, ~used) for a in (value, own))
        out[2, rows] = used.sum(axis=0)
    return out


def window_for(center: np.ndarray) -> int:
    """Return the window of the profile's running fit that suits the slope of the trace.

    Parameters
    ----------
    center : (dispersion,) float
        Trace, pixels.

    Returns
    -------
    int
        Odd number of pixels within `WINDOW`, over which the trace moves by `DRIFT` at
        most places.
    """
    slope = np.abs(np.diff(np.asarray(center, dtype=np.float64)))
    slope = slope[np.isfinite(slope)]
    steep = np.percentile(slope, 90) if slope.size else 0.0
    length = DRIFT / steep if steep > DRIFT / WINDOW[1] else WINDOW[1]
    return int(np.clip(2 * (int(length) // 2) + 1, *WINDOW))


def smooth_along_dispersion(
    image: np.ndarray, inverse_variance: np.ndarray, flux: np.ndarray, window: int
) -> np.ndarray:
    """Fit each row's share of the light by a parabola in a running window of columns.

    Parameters
    ----------
    image : (spatial, dispersion) float64
        Light; finite wherever ``inverse_variance`` is positive.
    inverse_variance : (spatial, dispersion) float64
        Weights; 0 leaves a pixel out.
    flux : (dispersion,) float64
        Light of each column. Columns of little light weigh little.
    window : int
        Number of columns, odd.

    Returns
    -------
    (spatial, dispersion) float64
        image / flux as the fit has it; a constant where three columns are too few for a
        parabola, NaN where there is none.

    Notes
    -----
    Least squares of image = flux (a + b d + c d^2), d the distance in columns over half
    the window; the value at d = 0 is returned.
    """
    data, weight, light = (
        np.ascontiguousarray(a, dtype=np.float64) for a in (image, inverse_variance, flux)
    )
    out = np.full(image.shape, np.nan)
    _smooth(data, weight, light, window // 2, out)
    return out


@numba.njit(cache=True, nogil=True)
def _smooth(image, inverse_variance, flux, half, out):  # noqa: ANN001, ANN202 -- numba infers the types
    """Do the work of `smooth_along_dispersion`; ``out`` is filled where there is light."""
    n_spatial, n_dispersion = image.shape
    for y in range(n_spatial):
        for x in range(n_dispersion):
            s0 = s1 = s2 = s3 = s4 = t0 = t1 = t2 = 0.0
            for k in range(max(0, x - half), min(n_dispersion, x + half + 1)):
                w = inverse_variance[y, k] * flux[k]
                if w == 0.0:
                    continue
                d = (k - x) / (half + 1.0)
                p = w * flux[k]
                v = w * image[y, k]
                s0 += p
                s1 += p * d
                s2 += p * d * d
                s3 += p * d * d * d
                s4 += p * d * d * d * d
                t0 += v
                t1 += v * d
                t2 += v * d * d
            if s0 <= 0.0:
                continue
            c0 = s2 * s4 - s3 * s3
            c1 = s3 * s2 - s1 * s4
            c2 = s1 * s3 - s2 * s2
            determinant = s0 * c0 + s1 * c1 + s2 * c2
            if determinant > 1e-6 * s0 * s0 * s0:
                out[y, x] = (c0 * t0 + c1 * t1 + c2 * t2) / determinant
            else:
                out[y, x] = t0 / s0


def spatial_profile(
    image: np.ndarray, variance: np.ndarray, cover: np.ndarray, *, window: int
) -> np.ndarray:
    """Estimate how the light of each column is spread over its pixels.

    Parameters
    ----------
    image : (spatial, dispersion) float
        Median image, background removed; NaN where no value exists.
    variance : (spatial, dispersion) float
        Variance of ``image``; pixels where it is not positive are left out.
    cover : (spatial, dispersion) float64
        Aperture from `tsoxr.kernels.extraction.coverage`.
    window : int
        Window of the running fit, pixels.

    Returns
    -------
    (spatial, dispersion) float64
        Not negative, 0 outside the aperture, and sum(cover * profile) = 1 in each column;
        uniform where the image says nothing; 0 in columns without aperture.

    Notes
    -----
    The profile is the image itself, divided by the light of its column, where the image is
    good enough to show more than the smooth fit does, and the fit where it is not:
    P = P_fit + k (P_image - P_fit), k = t^2 / (t^2 + s^2), with s the noise of P_image and
    t the true roughness of the profile (flat field, sampling), estimated from all pixels as
    a fraction of the light. A pixel that disagrees by more than `REJECT` of its sigma is
    taken for a bad one: the fit stands in.
    """

    def fit(light: np.ndarray, weight: np.ndarray, flux: np.ndarray) -> np.ndarray:
        return smooth_along_dispersion(light, weight, flux, window)

    return profile_of_fit(fit, image, variance, cover)


def profile_of_fit(
    fit: Fit,
    image: np.ndarray,
    variance: np.ndarray,
    cover: np.ndarray,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Estimate the profile as `spatial_profile` does, with any smooth fit of the shares.

    Parameters
    ----------
    fit : callable
        Takes the light and its inverse variance, (spatial, dispersion), finite, 0 where a pixel
        is left out, and the light of each column; returns the share of each pixel.
    image, variance, cover : (spatial, dispersion)
        As in `spatial_profile`.
    start : (spatial, dispersion) float64, optional
        A profile that finds the first bad pixels, for a fit in which one spoils many columns.

    Returns
    -------
    (spatial, dispersion) float64
        As in `spatial_profile`.
    """
    lit = np.isfinite(image) & np.isfinite(variance) & (variance > 0)
    used = lit & (cover > 0)
    light = np.where(lit, image, 0.0).astype(np.float64)
    noise = np.where(lit, variance, 1.0).astype(np.float64)
    frame = light, noise, cover, lit
    flux, good = np.clip((cover * light * used).sum(axis=0), 0.0, None), lit.copy()
    if start is not None:
        flux, good, *_ = _judged(start, good, frame)
    for _ in range(3):
        smooth = _normalised(fit(light, np.where(good, 1.0 / noise, 0.0), flux), cover)
        flux, good, own, spread = _judged(smooth, good, frame)
    trust = np.where(good & used & (flux > 0), own / spread, 0.0)
    share = np.divide(light, flux, out=np.zeros_like(light), where=flux > 0)
    return _normalised(smooth + trust * (share - smooth), cover)


def _judged(
    profile: np.ndarray, good: np.ndarray, frame: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the light of each column, the pixels that agree with it, and variances of the rest.

    The variances are that of the pixels about the smooth profile, and this and the noise.
    """
    light, noise, cover, lit = frame
    inside = np.where(good & (cover > 0), profile / noise, 0.0)
    scale, total = (inside * profile).sum(axis=0), (inside * light).sum(axis=0)
    flux = np.clip(np.divide(total, scale, out=np.zeros_like(scale), where=scale > 0), 0.0, None)
    model = flux * profile
    used = lit & (cover > 0)
    own = (_roughness(light - model, noise, model, good & used) * model) ** 2
    bad = used & ((light - model) ** 2 > REJECT**2 * (noise + own))
    return flux, lit & ~bad, own, noise + own


def _roughness(rest: np.ndarray, noise: np.ndarray, model: np.ndarray, use: np.ndarray) -> float:
    """Return the rms departure of pixels from the smooth profile, relative, noise removed.

    The median makes it blind to bad pixels: for normal departures of relative size t the
    median of rest^2 / spread is 0.455, which is solved for t by fixed-point steps. Pixels
    with less than 0.3 of the best one's signal to noise say little about t and are left out.
    """
    signal = np.where(use, model / np.sqrt(noise), 0.0)
    bright = signal > 0.3 * signal.max(initial=0.0)
    if bright.sum() < 10 or not signal.max() > 0:
        return 0.0
    square = (rest[bright] / model[bright]) ** 2
    floor = noise[bright] / model[bright] ** 2
    rough = 0.0
    for _ in range(8):
        ratio = float(np.median(square / (floor + rough**2))) / 0.4549
        rough = float(np.sqrt(max((rough**2 + np.median(floor)) * ratio - np.median(floor), 0.0)))
    return rough


def _normalised(profile: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Clip at zero, cut to the aperture, make sum(cover * profile) one; uniform if empty."""
    profile = np.where((cover > 0) & np.isfinite(profile), np.clip(profile, 0.0, None), 0.0)
    total = (cover * profile).sum(axis=0)
    open_part = cover.sum(axis=0)
    uniform = np.divide(cover > 0, open_part, out=np.zeros_like(cover), where=open_part > 0)
    return np.where(
        total > 0, np.divide(profile, total, out=np.zeros_like(profile), where=total > 0), uniform
    )
