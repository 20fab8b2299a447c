r"""1/f noise on the clock as a sum of cosines, fitted to the pixels that see no star.

Noise of density :math:`A^2/f` on L ticks is nearly a sum of cosines
:math:`c_k \cos(\pi k (t + 1/2) / L)` with independent coefficients of variance
:math:`2 A^2 / k` (frequency ``k / 2L``; cosines of half periods need no periodic frame). With
that as prior P and with white noise in the pixels, the coefficients have the posterior mean

.. math:: \hat c = (B^T W B + P^{-1})^{-1} B^T W r,

a Wiener estimate: frequencies that gaps in the mask leave open stay near zero, where a plain
least-squares fit would ring. All of it is linear in the data and the same for all frames.

Outputs that are read side by side share part of their noise at each tick. Their coefficients
of one cosine have the prior correlation c and are solved for together, so that outputs that see
little of the star measure what the others need; the level of a frame is each output's own.

About ``n_terms`` cosines are fitted at once. The lowest band is fitted over the whole
frame; it carries the noise across lines without any usable pixel. Each further band takes
what remains, in shorter sections that overlap by half and are blended by triangles. A band
sees means over a sixteenth of its shortest period, and counts what noise lies above it as
white.

References
----------
.. [1] Rauscher (2024), PASP 136, 015001: 1/f noise as masked, weighted Fourier series.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tsoxr.kernels.stripe_bands import Band, Level, alternating_level, check_band, levels_of
from tsoxr.kernels.stripe_clock import InOrder, Outputs, Sums, check_outputs
from tsoxr.kernels.stripe_sections import (
    Cells,
    Solved,
    between,
    cells_before,
    nodes,
    one_level,
    solve,
)

__all__ = ["Band", "Fourier"]

SUMS_AT_ONCE = 64
"""Sums whose power above the cutoff is found at once."""

FINEST_POWER = 4096
"""Fewest frequencies up to the sampling rate in that power."""


class Fourier:
    """The 1/f noise of all pixels as cosines on the clock: solved once, for all frames.

    Parameters
    ----------
    pixels : InOrder
        From `tsoxr.kernels.stripe_clock.in_reading_order`.
    band : Band
        Amplitude of the noise, frequencies, size of the fit.
    outputs : Outputs, optional
        Where pixels of several outputs are given: which is which, and what they share.

    Raises
    ------
    ValueError
        For an amplitude or a frequency that is not positive, or a share outside 0 to 1.
    """

    def __init__(self, pixels: InOrder, band: Band, outputs: Outputs | None = None) -> None:
        check_band(band)
        check_outputs(outputs, pixels.tick.size)
        self._pixels, self._band = pixels, band
        self._common = 0.0 if outputs is None else outputs.common
        number = np.zeros(pixels.tick.size, np.int64)
        if outputs is not None:
            number = np.unique(outputs.number, return_inverse=True)[1][pixels.order]
        self._number, self._n_output = number, int(number.max()) + 1
        self._levels = self._solved(levels_of(band, pixels.n_ticks))
        alternating = [alternating_level(band, pixels.n_ticks)] if band.alternating > 0 else []
        self._alternating = self._solved(alternating) if alternating else None

    def _solved(self, levels: list[Level]) -> tuple[Cells, list[Solved]]:
        cells = Cells(self._pixels, self._number, self._n_output, levels[-1].width)
        return cells, [solve(level, cells, self._common) for level in levels]

    def __call__(self, residual: np.ndarray) -> np.ndarray:
        """Return the noise of every pixel (frame, pixel), also of those without weight.

        ``residual`` (frame, pixel) as for `InOrder.take`; float32, or float64 for float64 data.
        Without a prior (infinite amplitude) what lies in gaps of the mask is an extrapolation,
        larger than the noise where a gap is longer than half the shortest period.
        """
        pixels = self._pixels
        values, mean = pixels.take(np.asarray(residual))
        model = self._fitted(values, self._levels)
        if self._alternating:
            sign = np.where(pixels.tick % 2, -1.0, 1.0).astype(values.dtype)
            values = (values - model[:, pixels.used]) * sign[pixels.used]
            model += sign * self._fitted(values, self._alternating)
        model += mean
        return model[:, pixels.back]

    def _fitted(self, values: np.ndarray, solved: tuple[Cells, list[Solved]]) -> np.ndarray:
        """Return the sum of all levels at all pixels, (frame, pixel), for (frame, used)."""
        cells, levels = solved
        seen = cells.sums(values)
        total = cells.total.astype(values.dtype)
        model = np.zeros_like(seen)
        at = nodes(cells.width, cells.n_ticks)
        for level in levels:
            found = one_level(seen - total * model, level)
            model += between(found, level.level.width, at)
        out = np.empty((values.shape[0], self._pixels.tick.size), values.dtype)
        for number in range(self._n_output):
            own = slice(None) if self._n_output == 1 else np.flatnonzero(self._number == number)
            out[:, own] = between(model[:, number], cells.width, self._pixels.tick[own])
        return out

    def variance(self) -> np.ndarray:
        r"""Return the variance of the error of each pixel, (pixel,) float64, DN2.

        Posterior variance of the cosines of all bands, and the noise above the cutoff,
        :math:`A^2 \ln(f_{Nyquist} / f_{cutoff})`, which stays in the data. Without a prior: the
        variance that the white noise of the pixels gives the model.
        """
        pixels, band = self._pixels, self._band
        out = np.zeros(pixels.tick.size)
        if np.isfinite(band.amplitude):
            out += band.amplitude**2 * np.log(max(0.5 / (band.cutoff * band.tick_time), 1.0))
        for solved in self._all_levels():
            n_term = solved.basis.shape[1]
            for number in range(self._n_output):
                block = slice(number * n_term, (number + 1) * n_term)
                found = (solved.basis @ solved.error[:, block, block] * solved.basis).sum(axis=-1)
                own = self._number == number
                at = solved.joined(solved.blend * found)
                out[own] += between(at, solved.level.width, pixels.tick[own])
        return out[pixels.back]

    def variance_of(self, sums: Sums) -> np.ndarray:
        """Return the variance of the error of weighted sums of pixels, (sum,) float64, DN2.

        As `variance`, with the correlation of the errors within a sum and between outputs.
        """
        from scipy import sparse

        pixels = self._pixels
        block = np.asarray(sums.block, dtype=np.int64)[pixels.order]
        share = np.asarray(sums.share, dtype=np.float64)[pixels.order]
        seen = share != 0
        block, share, number, tick = block[seen], share[seen], self._number[seen], pixels.tick[seen]
        n_sum = int(np.max(sums.block)) + 1
        out = self._above(share, block, number, tick, n_sum)
        for solved in self._all_levels():
            width, (n_output, n_cell) = solved.level.width, solved.share.shape
            low, part = cells_before(tick, width, n_cell)
            low = low + number * n_cell
            near = np.concatenate([low, np.where(part > 0, low + 1, low)])
            by_cell = sparse.csr_matrix(
                (np.concatenate([share * (1.0 - part), share * part]), (near, np.tile(block, 2))),
                shape=(n_output * n_cell, n_sum),
            )
            out += _sums_of_level(solved, by_cell, n_sum)
        return out

    def _all_levels(self) -> list[Solved]:
        return self._levels[1] + (self._alternating[1] if self._alternating else [])

    def _above(
        self, share: np.ndarray, block: np.ndarray, number: np.ndarray, tick: np.ndarray, n_sum: int
    ) -> np.ndarray:
        """Return what noise above the cutoff leaves in each sum: its power there, integrated."""
        out, band = np.zeros(n_sum), self._band
        lowest = band.cutoff * band.tick_time
        if not np.isfinite(band.amplitude) or lowest >= 0.5:
            return out
        first = np.full(n_sum, self._pixels.n_ticks)
        np.minimum.at(first, block, tick)
        at = tick - first[block]
        n = max(1 << (2 * int(at.max(initial=0)) + 1).bit_length(), FINEST_POWER)
        f = np.arange(n // 2 + 1) / n
        density = np.where(f >= lowest, band.amplitude**2 / np.maximum(f, lowest), 0.0) / n
        step = max(SUMS_AT_ONCE * FINEST_POWER // n, 1)
        for begin in range(0, n_sum, step):
            some = (block >= begin) & (block < begin + step)
            shape = (min(step, n_sum - begin), self._n_output, n)
            cell = ((block[some] - begin) * self._n_output + number[some]) * n + at[some]
            dense = np.bincount(cell, share[some], int(np.prod(shape))).reshape(shape)
            wave = np.fft.rfft(dense)
            together = self._common * np.abs(wave.sum(axis=1)) ** 2
            apart = (1.0 - self._common) * (np.abs(wave) ** 2).sum(axis=1)
            out[begin : begin + step] = (together + apart) @ density
        return out


def _sums_of_level(solved: Solved, by_cell: Any, n_sum: int) -> np.ndarray:
    """Return the variance of the error of one level in each sum, (sum,).

    Errors of overlapping sections are taken for the same, as if all of each came from one.
    """
    n_output, n_cell = solved.share.shape
    half, n = solved.blend.size // 2, solved.blend.size
    out, root = np.zeros(n_sum), np.sqrt(solved.blend)
    for section, error in enumerate(solved.error):
        begin = (section - 1) * half if solved.overlapping else 0
        chosen = slice(max(begin, 0), min(begin + n, n_cell))
        inside = slice(chosen.start - begin, chosen.stop - begin)
        weighted = (solved.basis * root[:, None])[inside]
        parts = [
            by_cell[o * n_cell + chosen.start : o * n_cell + chosen.stop] for o in range(n_output)
        ]
        column = np.unique(np.concatenate([p.indices for p in parts]))
        made = np.concatenate([(p[:, column].T @ weighted) for p in parts], axis=1)
        out[column] += (made @ error * made).sum(axis=1)
    return out
