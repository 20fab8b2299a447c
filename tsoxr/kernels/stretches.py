"""The sum of `tsoxr.kernels.extraction` over a stretch of pixels along the dispersion.

Losses are rare: a stretch without any is added without a branch, which vector units do well. ``pixels``
are the data, errors and flags of one integration and the weights; ``sums`` the sums of data and
variance of each column and the flags seen.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import part

__all__ = ["STRETCH", "add", "add_usable", "all_usable"]

STRETCH = 128
"""Pixels along dispersion that are looked at together."""


@part()
def all_usable(pixels, unusable):  # noqa: ANN001, ANN201 -- numba infers the types
    """Return whether no pixel of a stretch is flagged or without value or error."""
    data, error, dq, _ = pixels
    odd = 0
    for i in range(data.size):
        odd += (dq[i] & unusable) != 0
        odd += not (abs(data[i]) < np.inf and error[i] > 0.0 and error[i] < np.inf)
    return odd == 0


@part()
def add(pixels, sums):  # noqa: ANN001, ANN201 -- numba infers the types
    """Add a stretch of pixels, all of use, to its columns."""
    data, error, dq, weight = pixels
    total, variance, seen = sums
    for i in range(data.size):
        w, e = weight[i], np.float64(error[i])
        total[i] += w * data[i]
        variance[i] += w * w * (e * e)
        seen[i] |= dq[i] if w != 0.0 else np.uint32(0)


@part()
def add_usable(pixels, bits, sums, losses):  # noqa: ANN001, ANN201 -- numba infers the types
    """Add what is of use of a stretch of pixels, and take what is lost off the light expected."""
    data, error, dq, weight = pixels
    total, variance, seen = sums
    light, summed, replaced, share = losses
    for i in range(data.size):
        d, e, q, w = data[i], error[i], dq[i], weight[i]
        flagged = (q & bits[0]) != 0
        lost = flagged and (q & bits[3]) == 0
        if lost or not (abs(d) < np.inf and 0.0 < e < np.inf):
            light[i] -= share[i]
            summed[i] -= w
        else:
            total[i] += w * d
            variance[i] += w * w * (np.float64(e) * e)
            if flagged:
                replaced[i] += share[i]
        if w != 0.0:
            seen[i] |= q
