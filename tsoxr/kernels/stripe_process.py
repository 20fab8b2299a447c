r"""1/f noise as a Gaussian process on the clock, in a time that grows with the pixels alone.

A sum of exponential covariances with rates spaced evenly in their logarithm has a density
close to 1/f over as many decades as there are terms: each is a Lorentzian,
:math:`c / (c^2 + \omega^2)`, the overdamped limit of a driven oscillator, and with one term per
decade their sum ripples by 5 %. The weights of the terms are fitted to the variance of
differences that 1/f noise has on a clock (`tsoxr.kernels.stripe_clock.structure`).

Such a covariance plus white noise is factorised in O(pixel term^2), and each frame is solved
for in O(pixel term). The estimate at each pixel is the mean of the noise given all the
pixels that measure it,

.. math:: \hat n = K (K + N)^{-1} r = r - N (K + N)^{-1} r,

which no other linear estimate beats in mean square. Pixels that do not measure get a variance
N so large that their values, set to zero, do not matter.

Outputs that are read side by side share part of their noise at each tick. Taken together, with
one process in common and one for each output, those that see little of the star measure what
the others need; the covariance keeps its form, with more terms.

The factorisation itself comes from the package celerite2, handed in as ``engine``, so that
nothing here needs it.

References
----------
.. [1] Foreman-Mackey et al. (2017), AJ 154, 220: the method.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numba
import numpy as np

from tsoxr.kernels.stripe_clock import (
    FREE,
    InOrder,
    Outputs,
    Sums,
    Terms,
    check_outputs,
    one_over_f_terms,
)

__all__ = ["Engine", "Process"]

UNUSED = 1e8
"""Variance of a pixel that does not measure, in units of A^2."""

BLOCK = 4_000_000
"""Values that are solved for at once, 32 MB."""


class Engine(Protocol):
    """The functions of ``celerite2.driver`` that are used."""

    def factor(self, t, c, a, U, V, d, W) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN001
        """Factorise the covariance."""

    def solve_lower(self, t, c, U, W, Y, Z) -> np.ndarray:  # noqa: ANN001
        """Solve with the lower factor."""

    def solve_upper(self, t, c, U, W, Y, Z) -> np.ndarray:  # noqa: ANN001
        """Solve with the upper factor."""


class _Factor(NamedTuple):
    """What the engine needs: ticks, rates, U, diagonal and W of the factor, white variance."""

    tick: np.ndarray
    rate: np.ndarray
    U: np.ndarray
    d: np.ndarray
    W: np.ndarray
    white: np.ndarray


def _factorise(
    pixels: InOrder, amplitude: float, engine: Engine, outputs: Outputs | None
) -> _Factor:
    terms = one_over_f_terms(pixels.n_ticks)
    a2 = amplitude**2
    n = pixels.tick.size
    white = np.full(n, UNUSED * a2)
    white[pixels.used] = 1.0 / pixels.weight[pixels.used]
    V, variance = _loadings(terms, pixels.order, outputs)
    rate = np.tile(terms.rate, V.shape[1] // terms.rate.size)
    U = V * (a2 * variance)
    diagonal = white + (U * V).sum(axis=1)
    tick = pixels.tick.astype(np.float64)
    d, W = engine.factor(tick, rate, diagonal, U, V, np.empty(n), V.copy())
    return _Factor(tick, rate, U, d, W, white)


def _loadings(
    terms: Terms, order: np.ndarray, outputs: Outputs | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return which terms act on each pixel, (pixel, term) of 0 and 1, and their variances."""
    if outputs is None:
        return np.ones((order.size, terms.rate.size)), terms.variance
    number = outputs.number[order]
    own = number[:, None] == np.unique(number)
    acts = np.concatenate([np.ones((order.size, 1), dtype=bool), own], axis=1)
    apart = (1.0 - outputs.common) * terms.variance
    apart[0] = FREE  # each output has a level of its own
    variance = np.concatenate([outputs.common * terms.variance, np.tile(apart, own.shape[1])])
    return np.repeat(acts, terms.rate.size, axis=1).astype(np.float64), variance


class Process:
    r"""The 1/f noise of all pixels as a Gaussian process: factorised once, for all frames.

    Parameters
    ----------
    pixels : InOrder
        From `tsoxr.kernels.stripe_clock.in_reading_order`.
    engine : module
        ``celerite2.driver``.
    amplitude : float
        A of the density A^2/f, DN.
    outputs : Outputs, optional
        Where pixels of several outputs are given: which is which, and what they share.

    Raises
    ------
    ValueError
        For an amplitude that is not positive and finite, or a share outside 0 to 1.

    Notes
    -----
    A pixel that measures has a say in its own noise: the share of its value that is taken
    is the variance of the error over that of its white noise, some tenth. Hits should be
    made NaN beforehand.
    """

    def __init__(
        self, pixels: InOrder, engine: Engine, *, amplitude: float, outputs: Outputs | None = None
    ) -> None:
        if not (amplitude > 0 and np.isfinite(amplitude)):
            raise ValueError(
                f"clock_model: amplitude is {amplitude}; it must be positive and finite; measure "
                "it with amplitude_of"
            )
        check_outputs(outputs, pixels.tick.size)
        self._pixels, self._engine = pixels, engine
        self._factor = _factorise(pixels, amplitude, engine, outputs)

    def __call__(self, residual: np.ndarray) -> np.ndarray:
        """Return the noise of every pixel (frame, pixel), also of those without weight.

        ``residual`` (frame, pixel) as for `InOrder.take`; float32, or float64 for float64 data.
        """
        pixels = self._pixels
        values, mean = pixels.take(np.asarray(residual))
        out = np.empty((values.shape[0], pixels.tick.size), values.dtype)
        at_once = max(BLOCK // pixels.tick.size, 1)
        for first in range(0, values.shape[0], at_once):
            block = slice(first, first + at_once)
            _solve(values[block], mean[block], pixels, self._factor, self._engine, out[block])
        return out

    def variance(self) -> np.ndarray:
        """Return the variance of the error of each pixel, (pixel,) float64, DN2.

        ``N - N^2 ((K + N)^-1)``, of which the diagonal is found in one pass.
        """
        n = self._pixels.tick.size
        each = Sums(np.ones(n), np.empty(n, np.int64))
        each.block[self._pixels.order] = np.arange(n)
        return self.variance_of(each)[self._pixels.back]

    def variance_of(self, sums: Sums) -> np.ndarray:
        """Return the variance of the error of weighted sums of pixels, (sum,) float64, DN2.

        As `variance`, with the correlation of the errors within a sum.
        """
        order, factor = self._pixels.order, self._factor
        block = np.asarray(sums.block, dtype=np.int64)[order]
        share = np.asarray(sums.share, dtype=np.float64)[order]
        weighted, n_block = share * factor.white, int(block.max()) + 1
        of_inverse = _sums_of_inverse(*factor[:5], weighted, block, n_block)
        own = np.bincount(block, share * weighted, n_block)
        return np.maximum(own - of_inverse, 0.0)


def _solve(
    values: np.ndarray,
    mean: np.ndarray,
    pixels: InOrder,
    factor: _Factor,
    engine: Engine,
    out: np.ndarray,
) -> None:
    """Fill ``out`` (frame, pixel), in the caller's order, with the estimate for some frames."""
    given = np.zeros((pixels.tick.size, values.shape[0]))
    given[pixels.used] = values.T
    tick, rate, U, d, W, white = factor
    found = engine.solve_lower(tick, rate, U, W, given, given.copy())
    found /= d[:, None]
    found = engine.solve_upper(tick, rate, U, W, found, found)
    found *= white[:, None]
    given -= found
    given += mean.T
    out[:] = given[pixels.back].T


@numba.njit(cache=True, nogil=True)
def _sums_of_inverse(tick, rate, U, d, W, share, block, n_block):  # noqa: ANN001, ANN202 -- numba
    """Return ``s^T (L D L^T)^-1 s`` for the shares s of each block of neighbours, (block,).

    With x of covariance 1/D, ``z = L^-T x`` has the inverse as covariance. From the last
    pixel backwards ``z = x - w f``, where the state f collects ``u z`` of later pixels and
    decays in between; its covariance F is carried along, and with it the variance of the sum
    of the block so far and its covariance G with the state.
    """
    n, n_terms = U.shape
    out = np.zeros(n_block)
    F, G = np.zeros((n_terms, n_terms)), np.zeros(n_terms)
    Fw = np.empty(n_terms)
    for m in range(n - 1, -1, -1):
        if m < n - 1 and block[m] != block[m + 1]:
            G[:] = 0.0
        wFw, wG = 0.0, 0.0
        for j in range(n_terms):
            Fw[j] = 0.0
            for k in range(n_terms):
                Fw[j] += F[j, k] * W[m, k]
            wFw += W[m, j] * Fw[j]
            wG += W[m, j] * G[j]
        own, p = 1.0 / d[m] + wFw, share[m]
        out[block[m]] += p * (p * own - 2.0 * wG)
        if m == 0:
            break
        gap = tick[m] - tick[m - 1]
        for j in range(n_terms):
            decay = np.exp(-rate[j] * gap)
            G[j] = (G[j] - U[m, j] * wG - p * Fw[j] + p * U[m, j] * own) * decay
            for k in range(n_terms):
                grown = F[j, k] - U[m, j] * Fw[k] - Fw[j] * U[m, k] + U[m, j] * U[m, k] * own
                F[j, k] = grown * np.exp(-(rate[j] + rate[k]) * gap)
    return out
