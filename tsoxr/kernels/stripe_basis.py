"""Stripes that vary along a line: polynomials, or levels of odd and even pixels.

A stripe is a sum of a few terms, each of them a fixed function along the line and zero
outside one output. Amplitudes come from least squares over the background pixels.
"""

from __future__ import annotations

from itertools import pairwise

import numba
import numpy as np

from tsoxr.kernels.stripes import line_levels, relative_excess

__all__ = ["line_terms", "odd_even_terms", "polynomial_terms", "subtract_terms", "term_levels"]


def polynomial_terms(n_fast: int, edges: np.ndarray, order: int) -> np.ndarray:
    """Return Legendre polynomials along each output, (output * (order + 1), fast) float32.

    Examples
    --------
    >>> polynomial_terms(3, np.array([0, 3]), 1)
    array([[ 1.,  1.,  1.],
           [-1.,  0.,  1.]], dtype=float32)
    """
    out = np.zeros((edges.size - 1, order + 1, n_fast), np.float32)
    for o, (begin, end) in enumerate(pairwise(edges)):
        at = np.linspace(-1.0, 1.0, end - begin)
        out[o, :, begin:end] = np.polynomial.legendre.legvander(at, order).T
    return out.reshape(-1, n_fast)


def odd_even_terms(n_fast: int, edges: np.ndarray) -> np.ndarray:
    """Return level and half the difference of even and odd pixels, (output * 2, fast) float32.

    Examples
    --------
    >>> odd_even_terms(4, np.array([0, 4]))
    array([[ 1. ,  1. ,  1. ,  1. ],
           [ 0.5, -0.5,  0.5, -0.5]], dtype=float32)
    """
    out = np.zeros((edges.size - 1, 2, n_fast), np.float32)
    sign = np.where(np.arange(n_fast) % 2 == 0, 0.5, -0.5)
    for o, (begin, end) in enumerate(pairwise(edges)):
        out[o, 0, begin:end] = 1.0
        out[o, 1, begin:end] = sign[begin:end]
    return out.reshape(-1, n_fast)


def line_terms(terms: np.ndarray, usable: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the inverse normal matrices of each line and output.

    Parameters
    ----------
    terms : (output * k, fast) float
        Functions along a line.
    usable : (slow, fast) bool
        Background pixels.
    edges : (output + 1,) int
        Fast index at which each output begins, and the end.

    Returns
    -------
    (slow, output, k, k) float64
        The covariance of the amplitudes for pixels of unit variance. Where the pixels of a
        line do not tell the terms apart (condition above 1e4), only the first is kept.
    """
    n_output = edges.size - 1
    k = terms.shape[0] // n_output
    out = np.zeros((usable.shape[0], n_output, k, k))
    for o, (begin, end) in enumerate(pairwise(edges)):
        part = terms.reshape(n_output, k, -1)[o, :, begin:end].astype(np.float64)
        normal = np.einsum("kf,sf,jf->skj", part, usable[:, begin:end].astype(np.float64), part)
        good = np.linalg.cond(normal) < 1e4
        out[good, o] = np.linalg.inv(normal[good])
        count = normal[:, 0, 0]
        out[~good, o, 0, 0] = np.where(count > 0, 1.0 / np.maximum(count, 1.0), 0.0)[~good]
    return out


@numba.njit(cache=True, nogil=True)
def _fit(ramp, design, parts, terms, inverse, edges, levels, limit, out):  # noqa: ANN001, ANN202, C901, PLR0912 -- numba
    n_time, n_group, n_slow, _ = ramp.shape
    k = inverse.shape[-1]
    right = np.zeros(k)
    for t in range(n_time):
        for g in range(n_group):
            for s in range(n_slow):
                for o in range(edges.size - 1):
                    level, right[:] = levels[t, g, s, o], 0.0
                    for f in range(edges[o], edges[o + 1]):
                        if design[3, s, f] > 0:
                            model = design[0, s, f] + parts[t, g, 0] * design[1, s, f]
                            model += parts[t, g, 1] * design[2, s, f]
                            value = np.float32(ramp[t, g, s, f]) - model
                            if g > 0:
                                value -= np.float32(ramp[t, 0, s, f]) - (
                                    design[0, s, f] + parts[t, 0, 1] * design[2, s, f]
                                )
                                value -= level - levels[t, 0, s, o]
                            else:
                                value -= level
                            if abs(value) <= limit[min(g, 1), s]:
                                for j in range(k):
                                    right[j] += terms[o * k + j, f] * value
                    for j in range(k):
                        found = 0.0
                        for i in range(k):
                            found += inverse[s, o, j, i] * right[i]
                        out[t, g, s, o * k + j] = found
                    if g > 0:
                        for j in range(k):
                            out[t, g, s, o * k + j] += out[t, 0, s, o * k + j]
                    # the first term of all groups counts from the line's mean
            for s in range(n_slow):
                for o in range(edges.size - 1):
                    base = levels[t, g, s, o] - (levels[t, 0, s, o] if g > 0 else np.float32(0.0))
                    out[t, g, s, o * k] += base


def term_levels(
    ramp: np.ndarray,
    design: np.ndarray,
    group_time: np.ndarray,
    *,
    terms: np.ndarray,
    edges: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the amplitudes of the terms in each line.

    Pixels that the clipped mean leaves out count as the mean.

    Parameters
    ----------
    ramp, design, group_time, edges
        As for `tsoxr.kernels.stripes.line_levels`.
    terms : (output * k, fast) float32
        Functions along a line; the first of each output is 1.

    Returns
    -------
    levels : (time, group, slow, output * k) float32
        Amplitudes, counted as the levels of `line_levels`.
    spread : (time, group, slow, output) float32
        As from `line_levels`.
    """
    levels, spread = line_levels(ramp, design, group_time, edges=edges)
    inverse = line_terms(terms, design[3] > 0, edges)
    span = group_time[-1] - group_time[0] if len(group_time) > 1 else 1.0
    excess = relative_excess(ramp, design[1], design[4])
    rising = float(len(group_time) > 1)
    u = np.broadcast_to(rising * (group_time - group_time[0]) / span, (len(ramp), len(group_time)))
    parts = np.stack([u, rising * excess[:, None] * group_time / span], axis=-1)
    out = np.zeros((*levels.shape[:3], len(terms)), np.float32)
    limit = np.ascontiguousarray(design[5:7, :, 0])
    _fit(ramp, design, parts.astype(np.float32), terms, inverse, edges, levels, limit, out)
    return out, spread


def subtract_terms(
    ramp: np.ndarray,
    amplitude: np.ndarray,
    terms: np.ndarray,
    edges: np.ndarray,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Return the ramps minus the sum of the terms of each line.

    Parameters
    ----------
    ramp : (time, group, slow, fast) number
        Counts; the result has the same memory order.
    amplitude : (time, group, slow, output * k) float32
        From `term_levels`.
    terms : (output * k, fast) float32
        Functions along a line.
    edges : (output + 1,) int
        Fast index at which each output begins, and the end.
    out : (time, group, slow, fast) float32, optional
        Where the result goes.

    Returns
    -------
    (time, group, slow, fast) float32
    """
    out = np.empty_like(ramp, dtype=np.float32) if out is None else out
    k = len(terms) // (edges.size - 1)
    for o, (begin, end) in enumerate(pairwise(edges)):
        part = (..., slice(begin, end))
        np.subtract(ramp[part], amplitude[..., o * k, None], out=out[part], dtype=np.float32)
        for j in range(o * k + 1, (o + 1) * k):
            out[part] -= amplitude[..., j, None] * terms[j, begin:end]
    return out
