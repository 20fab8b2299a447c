"""The departure of a pixel's ramps from a straight line, constant in time.

What the linearity correction has left over bends every ramp of a pixel alike. The median over
the integrations of the residuals of straight fits shows it with the noise of one ramp divided
by the square root of their number, and can be subtracted before ramps of different lengths
are compared (data-driven non-linearity; needs a star that varies little).
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.medians import network
from tsoxr.kernels.ramps import JUMP, UNUSABLE, Readout

__all__ = ["median_residual"]

BLOCK = 32768
"""Values of one integration that are worked on at a time: numpy is fast in the cache."""


def _median(values: np.ndarray) -> np.ndarray:
    """Return the median over the first axis of float32, what is not finite left out; 0 of none.

    Sorted by a network of comparisons: `numpy.nanmedian` takes twenty times longer.
    """
    finite = np.isfinite(values)
    count, n = finite.sum(axis=0), len(values)
    rows = np.where(finite, values, np.float32(np.inf))
    smaller = np.empty_like(rows[0])
    for i, j in network(n, 0, n // 2).tolist():
        np.minimum(rows[i], rows[j], out=smaller)
        np.maximum(rows[i], rows[j], out=rows[j])
        rows[i] = smaller
    if (count == n).all():
        return np.float32(0.5) * (rows[(n - 1) // 2] + rows[n // 2])
    ranks = np.maximum(count - 1, 0) // 2, count // 2
    ends = [np.take_along_axis(rows, rank[None], axis=0)[0] for rank in ranks]
    return np.where(count > 0, np.float32(0.5) * (ends[0] + ends[1]), np.float32(0.0))


def _of_block(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    weights: np.ndarray,
    pattern: np.ndarray,
    interval: np.ndarray,
) -> np.ndarray:
    """Return the residuals (group - 1, pixel) of some pixels."""
    groups = ramp.astype(np.float64)
    groups[~np.isfinite(groups)] = np.nan  # infinities would warn
    rest = np.diff(groups, axis=1)
    rate = np.einsum("gi,tgi->ti", weights, groups)
    usual = ((dq_group & np.uint8(UNUSABLE | JUMP)) == pattern).all(axis=1)
    rate[~usual] = np.nan
    rest -= rate[:, None] * interval[:, None]
    bad = (pattern & UNUSABLE) != 0
    used = ~(bad[1:] | bad[:-1] | ((pattern[1:] & JUMP) != 0))
    found = np.where(used, _median(rest.astype(np.float32)), np.float32(0.0))
    weight = -np.cumsum(weights, axis=0)[:-1]
    slope = np.nan_to_num((weight * found).sum(axis=0))
    found -= np.where(used, slope * interval[:, None], 0.0)  # what the weights would see
    return found


def median_residual(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    weights: np.ndarray,
    pattern: np.ndarray,
    *,
    readout: Readout,
) -> np.ndarray:
    """Return the median in time of the residuals of the usual ramps.

    Parameters
    ----------
    ramp, dq_group : (time, group, pixel) arrays
        A sample of the integrations, DN, and its flags.
    weights : (group, pixel) float
        Of the straight fit, s-1.
    pattern : (group, pixel) uint8
        Flags that the pixel usually has; ramps with others are left out.
    readout : Readout
        Timing of the groups.

    Returns
    -------
    (group - 1, pixel) float32
        Difference less rate times interval, median in time, DN. The weights are blind to it,
        so that subtracting it does not change the rate of a usual ramp. 0 for differences
        that the pixel does not use, and for pixels without a usual ramp.
    """
    n_groups, n_pixels = pattern.shape
    out = np.empty((n_groups - 1, n_pixels), np.float32)
    width = max(BLOCK // n_groups, 1)
    for start in range(0, n_pixels, width):
        part = slice(start, start + width)
        block = ramp[..., part], dq_group[..., part], weights[:, part], pattern[:, part]
        out[:, part] = _of_block(*block, readout.interval)
    return out
