r"""1/f noise on the clock as a sum of cosines, fitted to the pixels that see no star.

Noise of density :math:`A^2/f` on L ticks is nearly a sum of cosines
:math:`c_k \cos(\pi k (t + 1/2) / L)` with independent coefficients of variance
:math:`2 A^2 / k` (frequency ``k / 2L``; cosines of half periods need no periodic frame). With
that as prior P and with white noise in the pixels, the coefficients have the posterior mean

.. math:: \hat c = (B^T W B + P^{-1})^{-1} B^T W r,

a Wiener estimate: frequencies that gaps in the mask leave open stay near zero, where a plain
least-squares fit would ring. All of it is linear in the data and the same for all frames.

No more than ``n_terms`` cosines are fitted at once. The lowest band is fitted over the whole
frame; it carries the noise across lines without any usable pixel. Each further band takes
what remains, in shorter sections that overlap by half and are blended by triangles. A band
sees means over a sixteenth of its shortest period, and counts what noise lies above it as
white.

References
----------
.. [1] Rauscher (2024), PASP 136, 015001: 1/f noise as masked, weighted Fourier series.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tsoxr.kernels.stripe_bands import Band, Level, alternating_level, check_band, levels_of
from tsoxr.kernels.stripe_clock import InOrder, in_reading_order

__all__ = ["Band", "clock_model", "clock_variance"]


class _Means(NamedTuple):
    """Neighbouring pixels taken together: cell of the clock, mean tick, weight of each mean."""

    start: np.ndarray
    cell: np.ndarray
    tick: np.ndarray
    weight: np.ndarray
    share: np.ndarray

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return the weighted means of values (frame, pixel), (frame, mean)."""
        if self.start.size == self.share.size:
            return values
        return np.add.reduceat(values * self.share.astype(values.dtype), self.start, axis=1)


def _means(tick: np.ndarray, weight: np.ndarray, width: int) -> _Means:
    cell = (tick // width).astype(np.int64)
    start = np.flatnonzero(np.diff(cell, prepend=-1))
    total = np.add.reduceat(weight, start)
    share = weight / np.repeat(total, np.diff(start, append=tick.size))
    return _Means(start, cell[start], np.add.reduceat(share * tick, start), total, share)


def _nodes(width: int, n_ticks: int) -> np.ndarray:
    """Return the middles of the cells of the clock."""
    return (np.arange(-(-n_ticks // width)) + 0.5) * width - 0.5


def _between(values: np.ndarray, width: int, tick: np.ndarray) -> np.ndarray:
    """Return (..., cell) values at other ticks, by straight lines."""
    at = np.clip((tick + 0.5) / width - 0.5, 0.0, values.shape[-1] - 1.0)
    low = np.minimum(at.astype(np.int64), max(values.shape[-1] - 2, 0))
    part = (at - low).astype(values.dtype)
    out = np.take(values, low, axis=-1)
    if part.any():
        out += part * (np.take(values, np.minimum(low + 1, values.shape[-1] - 1), axis=-1) - out)
    return out


def clock_model(
    residual: np.ndarray, weight: np.ndarray, tick: np.ndarray, n_ticks: int, band: Band
) -> np.ndarray:
    """Estimate the 1/f noise of all pixels of one output, frame by frame.

    Parameters
    ----------
    residual : (frame, pixel) float
        What the frames of one output depart from the scene, DN, pixels in any order. A value
        that is not finite is replaced by the mean of its neighbours on the clock.
    weight : (pixel,) float64
        Inverse variance of the white noise, DN-2, 0 for pixels that do not measure; the same
        for all frames.
    tick : (pixel,) int64
        Clock of the frame at which each pixel is read.
    n_ticks : int
        Clocks of a frame.
    band : Band
        Amplitude of the noise, frequencies, size of the fit.

    Returns
    -------
    (frame, pixel) float32
        Noise of every pixel, also of those without weight; float64 for float64 data. Without a
        prior (infinite amplitude) what lies in gaps of the mask is an extrapolation, larger
        than the noise where a gap is longer than half the shortest period.

    Raises
    ------
    ValueError
        For an amplitude or a frequency that is not positive, or as in `in_reading_order`.
    """
    check_band(band)
    pixels = in_reading_order(weight, tick, n_ticks)
    values, mean = pixels.take(np.asarray(residual))
    model = _fitted(values, pixels, n_ticks, levels_of(band, n_ticks))
    if band.alternating > 0:
        sign = np.where(pixels.tick % 2, -1.0, 1.0).astype(values.dtype)
        values = (values - model[:, pixels.used]) * sign[pixels.used]
        model += sign * _fitted(values, pixels, n_ticks, [alternating_level(band, n_ticks)])
    model += mean
    return model[:, pixels.back]


def _fitted(values: np.ndarray, pixels: InOrder, n_ticks: int, levels: list[Level]) -> np.ndarray:
    """Return the sum of all levels at all pixels, (frame, pixel)."""
    finest = levels[-1].width
    fine = _means(pixels.tick[pixels.used], pixels.weight[pixels.used], finest)
    values = fine.of(values)
    model = np.zeros((values.shape[0], -(-n_ticks // finest)), values.dtype)
    for level in levels:
        means = _means(fine.tick, fine.weight, level.width)
        left = means.of(values - model[:, fine.cell])
        found = _one_level(left, means, level, n_ticks)
        model += _between(found, level.width, _nodes(finest, n_ticks))
    return _between(model, finest, pixels.tick)


def _one_level(left: np.ndarray, means: _Means, level: Level, n_ticks: int) -> np.ndarray:
    """Return the part of one level at the cells of its clock, (frame, cell)."""
    from scipy.linalg import cho_solve

    out = np.zeros((left.shape[0], -(-n_ticks // level.width)), left.dtype)
    for part in _sections(means, level, n_ticks):
        solved = cho_solve((level.factor(part.gram), True), part.weighted.T).T
        wanted = part.wanted * part.blend[:, None]
        coefficients = left[:, part.used] @ solved.astype(out.dtype)
        out[:, part.cells] += coefficients @ wanted.astype(out.dtype).T
    return out


class _Section(NamedTuple):
    """Where one section takes its means and what cells it serves, and its matrices.

    ``weighted`` (mean, term) is the basis times the weights, ``gram`` (term, term) its
    product with the basis, ``wanted`` (cell, term) the basis at the cells.
    """

    used: slice
    cells: slice
    weighted: np.ndarray
    gram: np.ndarray
    wanted: np.ndarray
    blend: np.ndarray


def _sections(means: _Means, level: Level, n_ticks: int) -> Iterator[_Section]:
    """Yield the sections of a level that have data."""
    nodes = _nodes(level.width, n_ticks)
    weight = 1.0 / (1.0 / means.weight + level.above)
    for origin in level.sections(n_ticks):
        whole = level.length >= n_ticks
        ends = [origin - 0.5, np.inf if whole else origin + level.length - 0.5]
        used = slice(*np.searchsorted(means.tick, ends))
        cells = slice(*np.searchsorted(nodes, ends))
        if used.stop > used.start and cells.stop > cells.start:
            basis = level.basis(means.tick[used], origin)
            weighted = basis * weight[used, None]
            wanted = level.basis(nodes[cells], origin)
            blend = level.blend(nodes[cells], origin, n_ticks)
            yield _Section(used, cells, weighted, basis.T @ weighted, wanted, blend)


def clock_variance(weight: np.ndarray, tick: np.ndarray, n_ticks: int, band: Band) -> np.ndarray:
    r"""Predict the variance of the error of `clock_model`, for 1/f noise of the amplitude given.

    Parameters
    ----------
    weight, tick, n_ticks, band
        As for `clock_model`.

    Returns
    -------
    (pixel,) float64
        DN2: posterior variance of the cosines of all bands, and the noise above the cutoff,
        :math:`A^2 \ln(f_{Nyquist} / f_{cutoff})`, which stays in the data. Without a prior: the
        variance that the white noise of the pixels gives the model.
    """
    check_band(band)
    pixels = in_reading_order(weight, tick, n_ticks)
    levels = levels_of(band, n_ticks)
    with_prior = levels[0].with_prior
    above = np.log(max(0.5 / (band.cutoff * band.tick_time), 1.0)) if with_prior else 0.0
    variance = np.full(pixels.tick.size, band.amplitude**2 * above if with_prior else 0.0)
    if band.alternating > 0:
        levels.append(alternating_level(band, n_ticks))
    for level in levels:
        means = _means(pixels.tick[pixels.used], pixels.weight[pixels.used], level.width)
        variance += _between(_level_variance(means, level, n_ticks), level.width, pixels.tick)
    return variance[pixels.back]


def _level_variance(means: _Means, level: Level, n_ticks: int) -> np.ndarray:
    """Return the variance of the error of one level at the cells of its clock, (cell,)."""
    from scipy.linalg import solve_triangular

    n_cells = -(-n_ticks // level.width)
    out, covered = np.zeros(n_cells), np.zeros(n_cells)
    for part in _sections(means, level, n_ticks):
        factor = level.factor(part.gram)
        half = solve_triangular(factor, part.wanted.T, lower=True)
        if level.with_prior:
            found = np.einsum("kp,kp->p", half, half)
        else:
            back = solve_triangular(factor, half, lower=True, trans="T")
            found = np.einsum("kp,kp->p", back, part.gram @ back)
        out[part.cells] += part.blend * found
        covered[part.cells] += part.blend
    prior = 0.5 * float(np.sum(level.deviation**2)) if level.with_prior else 0.0
    return out + (1.0 - covered) * prior
