"""Spectra out of images: aperture, spatial profile, weights and the weighted sum.

The profile, the aperture and the weights are made once, from images that do not depend on
time, and every integration is the same weighted sum of its pixels. The estimator is linear
in the data and cannot respond to a transit; its error propagates exactly. A pixel that
cannot be used in one integration is left out there and the rest is scaled by the light
that the profile expects in it.

Axes are (spatial, dispersion) here whatever the detector's are; views with any strides do, at the
cost of a copy of some integrations at a time.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.layout import time_blocks
from tsoxr.kernels.stretches import STRETCH, add, add_usable, all_usable

__all__ = [
    "aperture_weights",
    "coverage",
    "optimal_weights",
    "spans_of",
    "value_at_trace",
    "verdict",
    "weighted_sum",
]

LEAST_LIGHT = 1e-6
"""Below this share of the light a sum says nothing."""

ROUNDING = 1e-9
"""Lost shares smaller than this are rounding errors."""


def coverage(center: np.ndarray, n_spatial: int, half_width: float) -> np.ndarray:
    """Return the part of each pixel that lies in the aperture around a curved trace.

    Parameters
    ----------
    center : (dispersion,) float
        Trace in pixels counted from the first spatial pixel; NaN gives an empty aperture.
    n_spatial : int
        Number of spatial pixels.
    half_width : float
        Half width of the aperture, pixels.

    Returns
    -------
    (spatial, dispersion) float64
        0 to 1; pixel i reaches from i - 1/2 to i + 1/2.
    """
    center = np.asarray(center, dtype=np.float64)
    pixel = np.arange(n_spatial, dtype=np.float64)[:, None]
    upper = np.minimum(pixel + 0.5, center + half_width)
    lower = np.maximum(pixel - 0.5, center - half_width)
    return np.where(np.isfinite(center), np.clip(upper - lower, 0.0, 1.0), 0.0)


def value_at_trace(image: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Interpolate an image across dispersion at the position of the trace.

    Parameters
    ----------
    image : (spatial, dispersion) float
        For instance wavelengths.
    center : (dispersion,) float
        Trace in pixels counted from the first spatial pixel.

    Returns
    -------
    (dispersion,) float64
        Linear interpolation; the border pixel's value up to half a pixel outside, NaN
        farther out and where the trace is NaN.
    """
    n_spatial, n_dispersion = image.shape
    center = np.asarray(center, dtype=np.float64)
    inside = np.isfinite(center) & (center >= -0.5) & (center <= n_spatial - 0.5)
    held = np.clip(np.where(inside, center, 0.0), 0, n_spatial - 1)
    lower = np.minimum(held.astype(np.int64), max(n_spatial - 2, 0))
    upper = np.minimum(lower + 1, n_spatial - 1)
    column = np.arange(n_dispersion)
    part = held - lower
    below, above = image[lower, column].astype(np.float64), image[upper, column].astype(np.float64)
    value = np.where(
        part == 0.0, below, np.where(part == 1.0, above, (1 - part) * below + part * above)
    )
    return np.where(inside, value, np.nan)


def aperture_weights(profile: np.ndarray, cover: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of a plain sum over the aperture, and the light expected in each.

    Parameters
    ----------
    profile, cover : (spatial, dispersion) float64
        From `tsoxr.kernels.profile.spatial_profile` and `coverage`.

    Returns
    -------
    weight, share : (spatial, dispersion) float64
        flux = sum(weight * data); share = weight * profile sums to 1 in each column.
    """
    return cover, cover * profile


def optimal_weights(
    profile: np.ndarray, variance: np.ndarray, cover: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of least variance for a profile, and the light expected in each.

    Parameters
    ----------
    profile : (spatial, dispersion) float64
        Profile of the light, from `tsoxr.kernels.profile.spatial_profile`.
    variance : (spatial, dispersion) float
        Variance of one sample of each pixel; pixels without a positive one are left out.
    cover : (spatial, dispersion) float64
        Aperture; a pixel touched by it is used as a whole.

    Returns
    -------
    weight, share : (spatial, dispersion) float64
        flux = sum(weight * data); share = weight * profile sums to 1, or is 0 in columns
        without a usable pixel.

    Notes
    -----
    Equation 8 of Horne (1986): w = (P / V) / sum(P^2 / V). The flux is that of the
    aperture with its fractional edges, because sum(cover * P) = 1.
    """
    used = (cover > 0) & np.isfinite(variance) & (variance > 0)
    over = np.where(used, profile / np.where(used, variance, 1.0), 0.0)
    norm = (over * profile).sum(axis=0)
    weight = np.divide(over, norm, out=np.zeros_like(over), where=norm > 0)
    return weight, weight * profile


def weighted_sum(
    data: np.ndarray,
    error: np.ndarray,
    dq: np.ndarray,
    weight: np.ndarray,
    share: np.ndarray,
    level_along: np.ndarray,
    level_across: np.ndarray,
    *,
    bits: tuple[int, int, int, int],
    min_fraction: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Extract every integration with weights that do not depend on time.

    Parameters
    ----------
    data, error : (time, spatial, dispersion) float32
        Pixels and their 1 sigma errors; a sample is left out where one of them is not finite
        or the error is not positive.
    dq : (time, spatial, dispersion) uint32
        Flags.
    weight, share : (spatial, dispersion) float64
        From `aperture_weights` or `optimal_weights`.
    level_along : (dispersion,) float64
        Variance of the flux of each column from levels of lines along dispersion.
    level_across : (dispersion,) float64
        Variance of a level common to all pixels of one line across dispersion.
    bits : (int, int, int, int)
        Flags that take a pixel out of use; the flag of a value that is of no use; the flag
        of a value of which a part was estimated; flags of pixels whose values were estimated
        before and are used for all that, 0 for none. Their light counts as estimated.
    min_fraction : float
        Values resting on less than this share of the light are flagged as of no use.

    Returns
    -------
    flux, flux_error : (time, dispersion) float32
        NaN where no pixel remains.
    flags : (time, dispersion) uint32
        Flags of the aperture, those that took pixels out of use replaced by the verdict.
    missing : (time, dispersion) float32
        Share of the light that was estimated; 1 where no pixel remains, 0 to 1.

    Notes
    -----
    flux = sum_u(w D) / sum_u(w P) over the usable pixels u;
    variance = [sum_u w^2 V + (sum_u w)^2 L_across] / sum_u(w P)^2 + L_along,
    the second term because a level error is the same in all pixels of the line.
    """
    shape = (data.shape[0], data.shape[2])
    flux, flux_error = np.empty(shape, np.float32), np.empty(shape, np.float32)
    flags, missing = np.empty(shape, np.uint32), np.empty(shape, np.float32)
    weight = np.ascontiguousarray(weight, dtype=np.float64)
    share = np.ascontiguousarray(share, dtype=np.float64)
    levels = [np.ascontiguousarray(a, dtype=np.float64) for a in (level_along, level_across)]
    spans, sums, out = (
        spans_of(weight),
        (share.sum(axis=0), weight.sum(axis=0)),
        (flux, flux_error, flags, missing),
    )
    cubes: tuple[np.ndarray, ...] = data, error, dq
    if not all(cube.flags.c_contiguous for cube in cubes):  # only what has weight is copied
        lit = np.flatnonzero(weight.any(axis=1))
        lines = slice(lit[0], lit[-1] + 1) if lit.size else slice(0, 0)
        cubes = tuple(cube[:, lines] for cube in cubes)
        weight, share, spans = weight[lines], share[lines], spans[lines]
    for times, samples in time_blocks(*cubes):
        results = tuple(a[times] for a in out)
        static = (weight, share, *sums, *levels)
        _sum(samples, static, spans, np.array(bits, np.uint32), float(min_fraction), results)
    return out


def spans_of(weight: np.ndarray) -> np.ndarray:
    """Return the first and one-past-last dispersion pixel with weight of each spatial line."""
    some = weight != 0
    first = np.where(some.any(axis=1), some.argmax(axis=1), 0)
    last = np.where(some.any(axis=1), weight.shape[1] - some[:, ::-1].argmax(axis=1), 0)
    return np.stack([first, last], axis=1)


@kernel()
def _sum(
    samples: tuple[np.ndarray, ...],
    static: tuple[np.ndarray, ...],
    spans: np.ndarray,
    bits: np.ndarray,
    min_fraction: float,
    out: tuple[np.ndarray, ...],
) -> None:
    """Do the work of `weighted_sum`: one pass over the cube, results into ``out``.

    The sums start from those of a column without losses, and what is lost is taken off:
    losses are rare, so most stretches of pixels are two multiply-adds each.
    """
    data, error, dq = samples
    weight, share, full, all_weight, level_along, level_across = static
    flux, flux_error, flags, missing = out
    unusable = bits[0]
    n_time, n_spatial, n_dispersion = data.shape
    total, variance = np.empty(n_dispersion), np.empty(n_dispersion)
    light, summed = np.empty(n_dispersion), np.empty(n_dispersion)
    replaced = np.empty(n_dispersion)
    seen = np.empty(n_dispersion, np.uint32)
    for t in range(n_time):
        for x in range(n_dispersion):
            total[x] = variance[x] = replaced[x] = 0.0
            light[x], summed[x], seen[x] = full[x], all_weight[x], 0
        for y in range(n_spatial):
            for begin in range(spans[y, 0], spans[y, 1], STRETCH):
                some = slice(begin, min(begin + STRETCH, spans[y, 1]))
                pixels = data[t, y, some], error[t, y, some], dq[t, y, some], weight[y, some]
                if all_usable(pixels, unusable):
                    add(pixels, (total[some], variance[some], seen[some]))
                else:
                    lost = light[some], summed[some], replaced[some], share[y, some]
                    add_usable(pixels, bits, (total[some], variance[some], seen[some]), lost)
        for x in range(n_dispersion):
            left = light[x] / full[x] if full[x] > 0.0 else 0.0
            flag = seen[x] & ~unusable
            if left > LEAST_LIGHT:
                own = variance[x] + summed[x] * summed[x] * level_across[x]
                flux[t, x] = total[x] / left
                flux_error[t, x] = np.sqrt(own / (left * left) + level_along[x])
            else:
                left = 0.0
                flux[t, x] = np.nan
                flux_error[t, x] = np.nan
            measured = left - replaced[x] / full[x] if left > 0.0 else 0.0
            flags[t, x] = flag | verdict(left, measured, bits, min_fraction)
            missing[t, x] = 1.0 - measured if measured < 1.0 else 0.0


@part()
def verdict(left: float, measured: float, bits: np.ndarray, min_fraction: float) -> np.uint32:
    """Return the flags of a value from the shares of its light that are used and measured."""
    flag = np.uint32(0)
    if measured < min_fraction or left == 0.0:
        flag |= bits[1]
    if left > 0.0 and measured < 1.0 - ROUNDING:
        flag |= bits[2]
    return flag
