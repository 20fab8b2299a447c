"""Detector effects pixel by pixel: linearity, reference pixels.

Ramps come as (time, group, y, x), static arrays as (y, x); flags are JWST bits given by
the caller. No input is written to.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.small import median_of_many
from tsoxr.kernels.stripes import clipped_mean

__all__ = [
    "apply_linearity",
    "level_labels",
    "reference_levels",
    "subtract_reference",
]

BLOCK = 4096
"""Pixels that are linearized together, through all integrations."""

AT_ONCE = 6
"""Coefficients that go through one loop."""


@part(fastmath={"contract"})
def _polynomial(row, flags, begin, n, c, top, saturated, usable, out):  # noqa: ANN001, ANN202 -- numba
    """Fill ``out`` with c[0] + ... + c[4] counts^4 + c[top] counts^5 where a pixel is usable.

    It is until its first saturated group.
    """
    for k in range(n):
        usable[k] &= (flags[np.uint64(begin + k)] & saturated) == 0
    for k in range(n):
        p = np.uint64(begin + k)
        counts = np.float64(row[p])
        high = ((c[top, k] * counts + c[4, k]) * counts + c[3, k]) * counts + c[2, k]
        linear = np.float32((high * counts + c[1, k]) * counts + c[0, k])
        out[p] = linear if usable[k] else np.float32(row[p])


@part(fastmath={"contract"})
def _highest_terms(row, begin, n, c):  # noqa: ANN001, ANN202 -- numba
    """Fill the last row of ``c`` with the sum of the terms from counts^5 on, over counts^5."""
    last = c.shape[0] - 2
    for k in range(n):
        c[last + 1, k] = c[last, k]
    for j in range(last - 1, AT_ONCE - 2, -1):
        for k in range(n):
            c[last + 1, k] = c[last + 1, k] * row[np.uint64(begin + k)] + c[j, k]


@kernel()
def _linearize(ramp, dq, coefficients, correctable, saturated, c, usable, out):  # noqa: ANN001, ANN202 -- numba
    """Fill ``out`` (time, group, pixel), block by block so that the cache holds the coefficients.

    ``c`` has a row for each power, at least `AT_ONCE` of them, and one more.
    """
    n_pixel = ramp.shape[2]
    for begin in range(0, n_pixel, BLOCK):
        n = min(BLOCK, n_pixel - begin)
        for j in range(coefficients.shape[0]):
            for k in range(n):
                c[j, k] = coefficients[j, np.uint64(begin + k)]
        for t in range(ramp.shape[0]):
            for k in range(n):
                usable[k] = correctable[np.uint64(begin + k)]
            for g in range(ramp.shape[1]):
                top = AT_ONCE - 1
                if c.shape[0] > AT_ONCE + 1:
                    _highest_terms(ramp[t, g], begin, n, c)
                    top = c.shape[0] - 1
                _polynomial(ramp[t, g], dq[t, g], begin, n, c, top, saturated, usable, out[t, g])


def apply_linearity(
    ramp: np.ndarray,
    dq: np.ndarray,
    coefficients: np.ndarray,
    correctable: np.ndarray,
    saturated: np.uint8,
) -> np.ndarray:
    """Evaluate each pixel's linearity polynomial by Horner's rule.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        Counts above the bias.
    dq : (time, group, y, x) uint8
        Group flags.
    coefficients : (power, y, x) float
        Linear counts are the sum of ``coefficients[k] * counts**k``.
    correctable : (y, x) bool
        Pixels with coefficients that can be used; others keep their counts.
    saturated : uint8
        Bit from whose first occurrence on a ramp keeps its counts.

    Returns
    -------
    (time, group, y, x) float32
        NaN stays NaN. Sums are made in float64.
    """
    out = np.empty(ramp.shape, np.float32)
    shape = (*ramp.shape[:2], -1)
    counts, flags = (np.ascontiguousarray(a).reshape(shape) for a in (ramp, dq))
    c = np.ascontiguousarray(coefficients).reshape(len(coefficients), -1)
    usable = np.ascontiguousarray(correctable).ravel()
    room = np.zeros((max(len(c), AT_ONCE) + 1, BLOCK)), np.empty(BLOCK, np.bool_)
    _linearize(counts, flags, c, usable, saturated, *room, out.reshape(shape))
    return out


def level_labels(
    n_fast: int, n_outputs: int, *, interleaved: bool = False, by_parity: bool = True
) -> np.ndarray:
    """Return which reference level applies to each pixel of a line.

    Parameters
    ----------
    n_fast : int
        Pixels of a line.
    n_outputs : int
        Outputs that read it.
    interleaved : bool
        Neighbouring pixels belong to different outputs, instead of blocks side by side.
    by_parity : bool
        Tell odd from even pixels; interleaved outputs have one parity each anyway.

    Returns
    -------
    (fast,) int64
        Label from 0; with parity, ``2 * output + parity``.

    Examples
    --------
    >>> level_labels(8, 2)
    array([0, 1, 0, 1, 2, 3, 2, 3])
    >>> level_labels(8, 4, interleaved=True)
    array([0, 1, 2, 3, 0, 1, 2, 3])
    """
    fast = np.arange(n_fast)
    if interleaved:
        return fast % n_outputs
    output = fast * n_outputs // n_fast
    return 2 * output + fast % 2 if by_parity else output


@kernel()
def _reference_levels(ramp, y, x, bounds, sigma, pedestal):  # noqa: ANN001, ANN202 -- numba
    n_time, n_group = ramp.shape[:2]
    n_levels = bounds.size - 1
    levels = np.zeros((n_time, n_group, n_levels), np.float32)
    values, scratch = np.empty(y.size, np.float32), np.empty(y.size, np.float32)
    for t in range(n_time):
        for c in range(n_levels):
            for g in range(n_group):
                n = 0
                for k in range(bounds[c], bounds[c + 1]):
                    value = np.float32(ramp[t, g, y[k], x[k]])
                    if g > 0:
                        value -= np.float32(ramp[t, 0, y[k], x[k]])
                    if np.isfinite(value):
                        values[n] = value
                        n += 1
                if n == 0 or (g == 0 and not pedestal):
                    continue
                scratch[:n] = values[:n]
                middle = median_of_many(scratch, n)
                for k in range(n):
                    scratch[k] = abs(values[k] - middle)
                limit = sigma * 1.4826 * median_of_many(scratch, n)
                levels[t, g, c] = (
                    levels[t, 0, c] * (g > 0) + clipped_mean(values, n, scratch, limit)[0]
                )
    return levels


def reference_levels(
    ramp: np.ndarray,
    labels: np.ndarray,
    n_labels: int,
    *,
    sigma: float = 4.0,
    pedestal: bool = True,
) -> np.ndarray:
    """Average the reference pixels of each label, integration and group.

    The level of a group is that of the first group plus the mean change of each pixel since
    then, so the bias pattern and the reset noise of single pixels cancel.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        Counts; NaN is passed over.
    labels : (y, x) int
        Label of each reference pixel, -1 for all other pixels.
    n_labels : int
        Number of labels.
    sigma : float
        Values farther than this from the median, in robust standard deviations, are left
        out.
    pedestal : bool
        Include the level of the first group.

    Returns
    -------
    (time, group, label) float32
        0 for a label without reference pixels.
    """
    flat = labels.ravel()
    order = np.argsort(flat, kind="stable")
    order = order[flat[order] >= 0]
    bounds = np.searchsorted(flat[order], np.arange(n_labels + 1))
    y, x = np.unravel_index(order, labels.shape)
    return _reference_levels(ramp, y, x, bounds, float(sigma), pedestal)


def subtract_reference(
    ramp: np.ndarray, levels: np.ndarray, label_of_pixel: np.ndarray
) -> np.ndarray:
    """Return the ramps minus the reference level of each pixel of a line.

    Parameters
    ----------
    ramp : (time, group, slow, fast) number
        Counts; the result has the same memory order.
    levels : (time, group, label) float32
        What to subtract.
    label_of_pixel : (fast,) int
        Label of each pixel of a line; -1 for a pixel that is left alone.

    Returns
    -------
    (time, group, slow, fast) float32
    """
    along = np.where(label_of_pixel >= 0, levels[..., label_of_pixel], np.float32(0.0))
    out = np.empty_like(ramp, dtype=np.float32)
    return np.subtract(ramp, along[..., None, :], out=out, dtype=np.float32)
