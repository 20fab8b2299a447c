"""Sums of the lines along a spectrum, with its light, shift and width projected out."""

# ruff: noqa: ANN001, ANN201, ANN202, PLR0913, PLR0917 -- numba

from __future__ import annotations

from itertools import pairwise

import numba
import numpy as np

from tsoxr.kernels.stripe_terms import gradient

__all__ = ["DARK", "Projection", "by_output", "over", "project", "rows_by_rows"]

DARK = 100.0
"""Wavelengths whose light is seen with less than ten standard deviations in one group (squared)
keep the factor of the white light: to solve for light that is not there would cost dark pixels."""


def over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return the quotient, 0 where ``below`` is not positive."""
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), 0.0)


def by_output(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the sums (slow, output) over the blocks of a line."""
    return np.add.reduceat(values, edges[:-1], axis=-1)


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _add_part(weighted, light, slope, bend, total):
    """Add the light of a part of a line to the sums of wavelengths; return sums along it."""
    value, first, second = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for f in range(weighted.size):
        total[f] += weighted[f] * light[f]
    for f in range(weighted.size):
        value += weighted[f]
        first += weighted[f] * slope[f]
        second += weighted[f] * bend[f]
    return value, first, second


@numba.njit(cache=True, nogil=True)
def _weighted(end, first, median, light, weight, excess, level, cut, out):
    """Fill weight times departure; what is farther than ``cut`` or not finite counts as the level."""
    for f in range(end.size):
        e = np.float32(end[f]) - np.float32(first[f]) - median[f] - excess * light[f]
        d = e - level
        out[f] = weight[f] * (e if d * d * weight[f] <= cut else level)


@numba.njit(cache=True, nogil=True)
def project(ramp, g, terms, shapes, excess, level, cut, edges, lines, total, along):
    """Fill the sums over lines (time, slow, output), over wavelengths (time, fast) and of shapes."""
    median, light, weight = terms
    work = np.empty(median.shape[1], np.float32)
    for t in range(ramp.shape[0]):
        for s in range(median.shape[0]):
            for o in range(edges.size - 1):
                i, j = edges[o], edges[o + 1]
                _weighted(
                    ramp[t, g, s, i:j], ramp[t, 0, s, i:j], median[s, i:j], light[s, i:j],
                    weight[s, i:j], excess[t], level[t, s, o], cut, work[i:j],
                )  # fmt: skip
                value, first, second = _add_part(
                    work[i:j], light[s, i:j], shapes[0, s, i:j], shapes[1, s, i:j], total[t, i:j]
                )
                lines[t, s, o] = value
                along[t, 0] += first
                along[t, 1] += second


@numba.njit(cache=True, nogil=True)
def _add_products(weighted, light, total):
    for f in range(total.size):
        total[f] += weighted[f] * light[f]


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _weighted_squares(weight, first, second):
    """Return the sums of w a^2, w a b and w b^2 of one line."""
    one, both, two = 0.0, 0.0, 0.0
    for f in range(weight.size):
        w, a, b = np.float64(weight[f]), np.float64(first[f]), np.float64(second[f])
        one += w * a * a
        both += w * a * b
        two += w * b * b
    return one, both, two


@numba.njit(cache=True, nogil=True)
def _static_sums(taken, light, weight, shapes, by_wavelength, by_shape):
    """Fill the sums of w T^2, w T S_k (3, fast) and w S_j S_k (2, 2) over all lines."""
    for s in range(light.shape[0]):
        _add_products(taken[s], light[s], by_wavelength[0])
        for k in range(2):
            _add_products(taken[s], shapes[k, s], by_wavelength[1 + k])
        one, both, two = _weighted_squares(weight[s], shapes[0, s], shapes[1, s])
        by_shape[0, 0] += one
        by_shape[0, 1] += both
        by_shape[1, 1] += two
    by_shape[1, 0] = by_shape[0, 1]


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _dot(a, b):
    total = a[0] * b[0]
    for k in range(1, a.size):
        total += a[k] * b[k]
    return total


@numba.njit(cache=True, nogil=True)
def rows_by_rows(a, b):
    """Return the products (t, m) float64 of the rows of ``a`` (t, n) and ``b`` (m, n).

    A matrix product whose sums do not depend on how many rows there are, which those of a
    linear-algebra library do: results are the same for chunks of any size.
    """
    out = np.empty((a.shape[0], b.shape[0]))
    for t in range(a.shape[0]):
        for m in range(b.shape[0]):
            out[t, m] = _dot(a[t], b[m])
    return out


class Projection:
    """What light, shift and width of the spectrum add to the sums of the lines, for one group.

    The same as projecting out the orthogonal shapes of the solver, written with sums that one
    pass over the data makes.
    """

    def __init__(self, terms: np.ndarray, edges: np.ndarray, white: bool) -> None:
        _, light, weight = terms
        self.raw = np.empty((2, *light.shape), np.float32)
        gradient(light, self.raw[0])
        gradient(self.raw[0], self.raw[1])
        self._edges, self._white = edges, white
        self._taken = weight * light
        self._along = np.stack([by_output(weight * shape, edges) for shape in self.raw])
        sums, self._gram = np.zeros((3, light.shape[1])), np.zeros((2, 2))
        _static_sums(self._taken, light, weight, self.raw, sums, self._gram)
        self._raw_sums = sums
        seen = np.broadcast_to(sums.sum(axis=1, keepdims=True), sums.shape) if white else sums
        self._norm = np.where(seen[0] > DARK, seen[0], 0.0)
        self._share = over(seen[1:], self._norm)

    def _orthogonal(self) -> np.ndarray:
        """Return the matrix (2, 2) that makes orthonormal shapes of those without light."""
        n, cross = self._raw_sums[0], self._raw_sums[1:]
        mixed = np.einsum("if,jf->ij", self._share, cross)
        gram = self._gram - mixed - mixed.T
        gram = gram + np.einsum("if,jf,f->ij", self._share, self._share, n)
        out = np.zeros((2, 2))
        if gram[0, 0] > 0:
            out[0, 0] = 1.0 / np.sqrt(gram[0, 0])
        common = out[0, 0] * gram[0, 1]
        left = gram[1, 1] - common**2
        if left > 1e-12 * gram[1, 1]:
            out[1] = np.array([-common * out[0, 0], 1.0]) / np.sqrt(left)
        return out

    def of(self, lines: np.ndarray, total: np.ndarray, along: np.ndarray) -> np.ndarray:
        """Return the sums (time, slow, output) with the light projected out."""
        factor = total.sum(axis=1, keepdims=True) if self._white else total
        factor = over(np.broadcast_to(factor, total.shape), self._norm).astype(np.float64)
        change = self._orthogonal()
        square = change.T @ change
        shift = along - rows_by_rows(total, self._share)
        amount = shift[:, :1] * square[0] + shift[:, 1:] * square[1]
        # the shapes are T (share) less than the raw ones: both parts of T in one product
        factor -= amount[:, :1] * self._share[0]
        factor -= amount[:, 1:] * self._share[1]
        first, second = amount[:, :1, None], amount[:, 1:, None]
        known = first * self._along[0] + second * self._along[1]
        for o, (begin, end) in enumerate(pairwise(self._edges)):
            part = slice(begin, end)
            known[..., o] += rows_by_rows(factor[:, part].astype(np.float32), self._taken[:, part])
        return lines - known
