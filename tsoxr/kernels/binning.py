"""Light curves out of spectra: the sum over the pixels of a bin.

The weights do not depend on time. A point that cannot be used is left out
and the rest is scaled by the flux that the median spectrum expects in it: it makes no dip.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.extraction import LEAST_LIGHT, ROUNDING

__all__ = ["bin_sum", "mean_in_bins", "scatter_over_error", "total_in_bins"]

MEDIAN_SQUARE = 0.454936
"""Median of the square of a standard normal variable."""


def bin_sum(
    flux: np.ndarray,
    error: np.ndarray,
    dq: np.ndarray,
    expected: np.ndarray,
    common: np.ndarray,
    members: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    bits: tuple[int, int, int],
    min_fraction: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum the pixels of each bin and divide by what the median spectrum expects.

    Parameters
    ----------
    flux, error : (time, pixel) float
        Spectra and 1 sigma errors; a point where either is not finite is left out.
    dq : (time, pixel) uint32
        Flags.
    expected : (pixel,) float64
        Median spectrum. Pixels where it is not positive are left out of all integrations.
    common : (pixel, mode) float64
        The part of ``error`` that comes from errors which all pixels of one integration
        share, each independent of the others; 0 for none.
    members : tuple
        From `tsoxr.kernels.grids.overlaps`.
    bits : (int, int, int)
        Flags that take a point out of use; the flag of a value that is of no use; the flag
        of a value of which a part was estimated.
    min_fraction : float
        Values resting on less than this share of the expected flux are of no use.

    Returns
    -------
    relative, relative_error : (time, bin) float64
        Flux over expected flux; NaN where nothing remains.
    flags : (time, bin) uint32
        Flags of the points in the bin, those that took points out of use replaced by the
        verdict.

    Notes
    -----
    F = sum_u(p f) / sum_u(p m) over the usable pixels u, p the part inside the bin, m the
    median spectrum; variance = [sum_u p^2 (e^2 - sum_k c_k^2) + sum_k (sum_u p c_k)^2] /
    sum_u(p m)^2.
    """
    n_bins = members[0].size - 1
    shape = (flux.shape[0], n_bins)
    relative, relative_error = np.empty(shape), np.empty(shape)
    flags = np.empty(shape, np.uint32)
    expected = np.where(np.isfinite(expected), np.clip(expected, 0.0, None), 0.0)
    common = np.ascontiguousarray(common, dtype=np.float64)
    _bin(
        tuple(np.ascontiguousarray(a) for a in (flux, error, dq)),
        (expected, common, (common * common).sum(axis=1), np.zeros(common.shape[1])),
        members,
        np.array(bits, np.uint32),
        min_fraction,
        (relative, relative_error, flags),
    )
    return relative, relative_error, flags


@numba.njit(cache=True, nogil=True)
def _bin(  # noqa: C901 -- plain loops, of which numba compiles little
    samples: tuple[np.ndarray, ...],
    static: tuple[np.ndarray, ...],
    members: tuple[np.ndarray, ...],
    bits: np.ndarray,
    min_fraction: float,
    out: tuple[np.ndarray, ...],
) -> None:
    """Do the work of `bin_sum`; results into ``out``."""
    flux, error, dq = samples
    expected, common, of_common, shared = static
    starts, pixels, parts = members
    relative, relative_error, flags = out
    unusable, useless, estimated = bits[0], bits[1], bits[2]
    for t in range(flux.shape[0]):
        for b in range(starts.size - 1):
            total = variance = light = full = 0.0
            seen = np.uint32(0)
            for k in range(starts[b], starts[b + 1]):
                i, p = pixels[k], parts[k]
                m = p * expected[i]
                if m <= 0.0:
                    continue
                full += m
                seen |= dq[t, i]
                f, e = np.float64(flux[t, i]), np.float64(error[t, i])
                if (dq[t, i] & unusable) != 0 or not (abs(f) < np.inf) or not (abs(e) < np.inf):
                    continue
                light += m
                total += p * f
                variance += p * p * max(e * e - of_common[i], 0.0)
                for c in range(shared.size):
                    shared[c] += p * common[i, c]
            for c in range(shared.size):
                variance += shared[c] * shared[c]
                shared[c] = 0.0
            left = light / full if full > 0.0 else 0.0
            flag = seen & ~unusable
            if left > LEAST_LIGHT:
                relative[t, b] = total / light
                relative_error[t, b] = np.sqrt(variance) / light
            else:
                left = 0.0
                relative[t, b] = np.nan
                relative_error[t, b] = np.nan
            if left < min_fraction or left == 0.0:
                flag |= useless
            if 0.0 < left < 1.0 - ROUNDING:
                flag |= estimated
            flags[t, b] = flag


def scatter_over_error(flux: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Compare the scatter from point to point with the stated errors.

    Parameters
    ----------
    flux, error : (time, channel) float
        Series and their 1 sigma errors; points that are not finite are left out.

    Returns
    -------
    (channel,) float64
        1 where the errors are right and the noise is white; NaN with fewer than 5 points.

    Notes
    -----
    r_i = f_i - (f_{i-1} + f_{i+1}) / 2 is blind to slow changes; its variance is
    e_i^2 + (e_{i-1}^2 + e_{i+1}^2) / 4. The median of r^2 / variance, over that of a
    squared normal variable, is not moved by outliers.
    """
    if flux.shape[0] < 5:
        return np.full(flux.shape[1], np.nan)
    f, e2 = np.asarray(flux, dtype=np.float64), np.asarray(error, dtype=np.float64) ** 2
    rest = f[1:-1] - (f[:-2] + f[2:]) / 2
    variance = e2[1:-1] + (e2[:-2] + e2[2:]) / 4
    use = np.isfinite(rest) & np.isfinite(variance) & (variance > 0)
    square = np.where(use, rest**2 / np.where(use, variance, 1.0), np.nan)
    out = np.full(f.shape[1], np.nan)
    enough = use.sum(axis=0) > 2
    if enough.any():
        out[enough] = np.sqrt(np.nanmedian(square[:, enough], axis=0) / MEDIAN_SQUARE)
    return out


def total_in_bins(
    expected: np.ndarray, members: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return the flux of each bin in the median spectrum, pixels without any left out.

    Parameters
    ----------
    expected : (pixel,) float64
        Median spectrum.
    members : tuple
        From `tsoxr.kernels.grids.overlaps`.

    Returns
    -------
    (bin,) float64
    """
    starts, pixels, parts = members
    flux = np.where(np.isfinite(expected), np.clip(expected, 0.0, None), 0.0)[pixels] * parts
    return np.add.reduceat(np.append(flux, 0.0), starts[:-1]) * (np.diff(starts) > 0)


def mean_in_bins(
    values: np.ndarray,
    expected: np.ndarray,
    *,
    members: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> np.ndarray:
    """Return the mean of a quantity over the pixels of each bin, weighted by their flux.

    Parameters
    ----------
    values, expected : (pixel,) float
        The quantity, and the median spectrum.
    members : tuple
        From `tsoxr.kernels.grids.overlaps`.

    Returns
    -------
    (bin,) float64
        Weighted by the pixels alone in bins without flux. Pixels where the quantity is NaN are
        left out; NaN where no pixel knows it.
    """
    total = total_in_bins(expected, members)
    known = np.isfinite(values)
    light = np.where(np.isfinite(expected), np.clip(expected, 0.0, None), 0.0)
    starts, pixels, parts = members
    lit = np.repeat(total > 0, np.diff(starts))
    weight = parts * np.where(lit, light[pixels], 1.0) * known[pixels]
    parts_of_sum = weight * np.where(known, values, 0.0)[pixels]
    summed, norm = (
        np.add.reduceat(np.append(a, 0.0), starts[:-1]) * (np.diff(starts) > 0)
        for a in (parts_of_sum, weight)
    )
    return np.divide(summed, norm, out=np.full(norm.shape, np.nan), where=norm > 0)
