"""Sections of a band of cosines: cells of the clock, matrices, and sums over sections.

All sections of a band have the same cosines at their cells, so that frames, sections and
outputs go through a few large products of matrices.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from tsoxr.kernels.stripe_bands import Level
from tsoxr.kernels.stripe_clock import InOrder

__all__ = ["Cells", "Solved", "between", "cells_before", "nodes", "one_level", "solve"]

RIDGE = 1e-9
"""What stands for the prior without one, relative to the largest term."""


class Cells:
    """Pixels that measure, gathered in cells of the clock: ``total`` (output, cell) weight."""

    def __init__(self, pixels: InOrder, number: np.ndarray, n_output: int, width: int) -> None:
        self.width, self.n_ticks = width, pixels.n_ticks
        self._n_cell = -(-pixels.n_ticks // width)
        key = number[pixels.used] * self._n_cell + pixels.tick[pixels.used] // width
        weight = pixels.weight[pixels.used]
        self._perm = None if n_output == 1 else np.argsort(key, kind="stable")
        ordered, self._weight = key, weight
        if self._perm is not None:
            ordered, self._weight = key[self._perm], weight[self._perm]
        self._start = np.flatnonzero(np.diff(ordered, prepend=-1))
        self._filled = ordered[self._start]
        self._shape = (n_output, self._n_cell)
        self.total = np.bincount(key, weight, n_output * self._n_cell).reshape(self._shape)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the weighted sums (frame, output, cell) of values (frame, used)."""
        values = values if self._perm is None else values[:, self._perm]
        out = np.zeros((values.shape[0], self.total.size), values.dtype)
        weighted = values * self._weight.astype(values.dtype)
        out[:, self._filled] = np.add.reduceat(weighted, self._start, axis=1)
        return out.reshape(-1, *self._shape)


class Solved(NamedTuple):
    """A level and what solves it.

    ``per_cell`` of the finest cells make one of this level, ``share`` (output, cell) is the weight
    of that over theirs: noise above the band counts as white. ``basis`` (cell, term) are the
    cosines in a section, ``blend`` (cell) is their part in the sum of overlapping sections.
    ``gain`` (section, output * term, the same) turns weighted sums into coefficients, ``error``
    is the covariance of their errors.
    """

    level: Level
    per_cell: int
    share: np.ndarray
    basis: np.ndarray
    blend: np.ndarray
    gain: np.ndarray
    error: np.ndarray

    @property
    def overlapping(self) -> bool:
        """Whether sections follow each other at half their length; else there is one."""
        return self.blend[0] < 1.0

    def in_sections(self, cells: np.ndarray) -> np.ndarray:
        """Return the cells (..., cell) of each section, (..., section, cell)."""
        if not self.overlapping:
            return cells[..., None, :]
        half, n_section = self.blend.size // 2, self.gain.shape[0]
        padded = np.zeros((*cells.shape[:-1], (n_section + 1) * half), cells.dtype)
        padded[..., half : half + cells.shape[-1]] = cells
        padded = padded.reshape(*cells.shape[:-1], n_section + 1, half)
        return np.concatenate([padded[..., :-1, :], padded[..., 1:, :]], axis=-1)

    def joined(self, sections: np.ndarray) -> np.ndarray:
        """Return the sum of sections (..., section, cell) at the cells, (..., cell)."""
        n_cell = self.share.shape[1]
        if not self.overlapping:
            return sections[..., 0, :]
        half = self.blend.size // 2
        out = sections[..., 1:, :half] + sections[..., :-1, half:]
        return out.reshape(*sections.shape[:-2], -1)[..., :n_cell]


def nodes(width: int, n_ticks: int) -> np.ndarray:
    """Return the middles of the cells of the clock."""
    return (np.arange(-(-n_ticks // width)) + 0.5) * width - 0.5


def cells_before(tick: np.ndarray, width: int, n_cell: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell whose middle lies before each tick, and the way to the next, 0 to 1."""
    at = np.clip((tick + 0.5) / width - 0.5, 0.0, n_cell - 1.0)
    low = np.minimum(at.astype(np.int64), max(n_cell - 2, 0))
    return low, at - low


def between(values: np.ndarray, width: int, tick: np.ndarray) -> np.ndarray:
    """Return (..., cell) values at other ticks, by straight lines."""
    low, part = cells_before(tick, width, values.shape[-1])
    part = part.astype(values.dtype)
    out = np.take(values, low, axis=-1)
    if part.any():
        out += part * (np.take(values, np.minimum(low + 1, values.shape[-1] - 1), axis=-1) - out)
    return out


def _grouped(fine: np.ndarray, per_cell: int) -> np.ndarray:
    """Return the sums of ``per_cell`` neighbours, (..., cell)."""
    if per_cell == 1:
        return fine
    return np.add.reduceat(fine, np.arange(0, fine.shape[-1], per_cell), axis=-1)


def solve(level: Level, cells: Cells, common: float) -> Solved:
    """Return a level with its sections solved."""
    per_cell = level.width // cells.width
    total = _grouped(cells.total, per_cell)
    share = 1.0 / (1.0 + total * level.above)
    n_output, n_cell = total.shape
    whole = level.length >= cells.n_ticks
    n = n_cell if whole else 2 * round(0.5 * level.length / level.width)
    basis = level.basis(nodes(level.width, n * level.width), 0.0)
    blend = np.ones(n) if whole else 1.0 - np.abs((np.arange(n) + 0.5) / (0.5 * n) - 1.0)
    n_section = 1 if whole else -(-n_cell // (n // 2)) + 1
    size = n_output * level.k.size
    made = Solved(level, per_cell, share, basis, blend, np.empty((n_section, 0, 0)), np.empty(0))
    weight = made.in_sections(total * share)
    root = _prior_root(level, n_output, common) if level.with_prior else np.eye(size)
    gain, error = np.empty((2, n_section, size, size))
    for section in range(n_section):
        gram = _gram(basis, weight[:, section])
        if level.with_prior:
            inner = np.eye(size) + _product(_product(root, gram), root)
            error[section] = gain[section] = _product(_product(root, _inverse(inner)), root)
        else:
            ridge = RIDGE * max(float(gram.diagonal().max()), 1e-300)
            gain[section] = _inverse(gram + ridge * np.eye(size))
            error[section] = _product(_product(gain[section], gram), gain[section])
    return made._replace(gain=gain, error=error)


def _gram(basis: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the normal matrix of a section, (output * term, the same)."""
    n_output, n_term = len(weight), basis.shape[1]
    out = np.zeros((n_output, n_term, n_output, n_term))
    for o in range(n_output):
        out[o, :, o] = _product(np.ascontiguousarray((basis * weight[o][:, None]).T), basis)
    return out.reshape(n_output * n_term, -1)


@numba.njit(cache=True, nogil=True)
def _inverse(matrix):  # noqa: ANN001, ANN202 -- numba
    """Return the inverse of a positive definite matrix, by elimination without pivots."""
    n, out = matrix.shape[0], matrix.copy()
    for k in range(n):
        pivot = 1.0 / out[k, k]
        out[k, k] = 1.0
        for j in range(n):
            out[k, j] *= pivot
        for i in range(n):
            if i != k:
                factor = out[i, k]
                out[i, k] = 0.0
                for j in range(n):
                    out[i, j] -= factor * out[k, j]
    return out


def _prior_root(level: Level, n_output: int, common: float) -> np.ndarray:
    """Return the root of the prior covariance of scaled coefficients, (output * term,) squared."""
    shared = np.where(level.k > 0, common, 0.0)  # the level of a frame is the output's own
    own = np.sqrt(1.0 - shared)
    more = (np.sqrt(1.0 - shared + n_output * shared) - own) / n_output
    eye = np.eye(level.k.size)
    root = np.eye(n_output)[:, None, :, None] * (own * eye)[:, None, :]
    root = root + np.ones((n_output, 1, n_output, 1)) * (more * eye)[:, None, :]
    return root.reshape(n_output * level.k.size, -1)


def one_level(left: np.ndarray, solved: Solved) -> np.ndarray:
    """Return the part of one level at its cells, (frame, output, cell), for weighted sums."""
    kind = left.dtype
    left = _grouped(left, solved.per_cell) * solved.share.astype(kind)
    sections = solved.in_sections(left)
    n_frame, n_output, n_section, n_cell = sections.shape
    basis = np.ascontiguousarray(solved.basis, dtype=kind)
    right = _product(sections.reshape(-1, n_cell), basis).reshape(*sections.shape[:3], -1)
    found = np.empty_like(right)
    for section, gain in enumerate(solved.gain.astype(kind)):
        flat = np.ascontiguousarray(right[:, :, section]).reshape(n_frame, -1)
        found[:, :, section] = _product(flat, gain).reshape(n_frame, n_output, -1)
    back = np.ascontiguousarray((basis * solved.blend[:, None].astype(kind)).T)
    out = _product(found.reshape(-1, basis.shape[1]), back)
    return solved.joined(out.reshape(n_frame, n_output, n_section, n_cell))


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _product(a, b):  # noqa: ANN001, ANN202 -- numba
    """Return the product of matrices, each row for itself and in one thread.

    A library of linear algebra is faster on one processor, but its threads and those that work
    on chunks wait for each other; and its sums depend on how many rows there are.
    """
    n_row, n_sum = a.shape
    out = np.zeros((n_row, b.shape[1]), a.dtype)
    for i in range(0, n_row - 3, 4):
        for k in range(n_sum):
            a0, a1, a2, a3 = a[i, k], a[i + 1, k], a[i + 2, k], a[i + 3, k]
            for j in range(b.shape[1]):
                value = b[k, j]
                out[i, j] += a0 * value
                out[i + 1, j] += a1 * value
                out[i + 2, j] += a2 * value
                out[i + 3, j] += a3 * value
    for i in range(n_row // 4 * 4, n_row):
        for k in range(n_sum):
            for j in range(b.shape[1]):
                out[i, j] += a[i, k] * b[k, j]
    return out
