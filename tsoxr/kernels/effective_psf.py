"""The profile across dispersion, finer than pixels: the effective profile of all integrations.

A tilted trace and a moving telescope put the light at many places within the pixels. All pixels of a
sample of integrations, each at its distance from the trace, therefore show the profile finer than
any one frame does (Anderson & King 2000, PASP 112, 1360, for the idea). The light before it meets
the pixels is a Gaussian of smoothly varying width and a cubic spline over the distance in units
of this width, whose shape changes slowly along dispersion; pixels integrate both. So the light of a column
is the same wherever it falls within the pixels, which one fit of heights alone cannot tell from a
change of the light itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tsoxr.kernels import psf_table
from tsoxr.kernels.gaussian_lines import fit_gaussians
from tsoxr.kernels.outliers import masked_median
from tsoxr.kernels.trace_curve import smooth_curve

__all__ = ["Samples", "effective_psf"]

FLOOR = 0.003
"""Error of a pixel that no average removes, flat field and the like, in peaks of its column."""
KNOT_DISTANCE = 1.0
"""Knots of the spline, in widths of the Gaussian."""
WIDEST_KNOTS = 1.0
"""Knots are no farther apart than this, pixels."""
BINS_PER_KNOT = 10
COLUMNS = 16
"""Columns of a block that are averaged in bins."""
PIECE = 128
"""Columns along which the shape of the profile may change by a cubic."""
FEWEST_PIECES, MOST_PIECES = 6, 16
RIDGE = 1e-3
"""Of the diagonal of the normal matrix. Iterated, it slows down only what no pixel has sampled."""
N_ROUNDS = 5
REJECT = (50.0, 15.0, 5.0)
"""Samples farther off than so many sigma are left out, in the first rounds and in the later ones."""
MIN_SIGNAL = 3.0
"""S/N of the light of a column in the median frame, below which it has no say."""
MIN_FITS = 16
NEIGHBOURS = 11


class Samples(NamedTuple):
    """A sample of integrations.

    rate, bad : (time, spatial, dispersion) float32 and bool.
    error, gain : (spatial, dispersion) float64; usual error of ``rate``, and electron per unit of it.
    center : (dispersion,) float64; trace, pixels from the first spatial one.
    shift : (time,) float64; how far the light lies from ``center``, pixels.
    """

    rate: np.ndarray
    bad: np.ndarray
    error: np.ndarray
    gain: np.ndarray
    center: np.ndarray
    shift: np.ndarray


class _State(NamedTuple):
    """What the rounds of the fit begin with; images are (spatial, dispersion)."""

    frame: np.ndarray
    variance: np.ndarray
    good: np.ndarray
    offset: np.ndarray
    sigma: np.ndarray
    flux: np.ndarray
    lit: np.ndarray


def effective_psf(samples: Samples, half_width: float) -> np.ndarray:
    """Return the share of a column's light in a pixel at a distance from the trace.

    Parameters
    ----------
    samples : Samples
        Integrations, spread over the exposure.
    half_width : float
        Half width of the aperture, pixels.

    Returns
    -------
    (place, dispersion) float64
        A table for `tsoxr.kernels.psf_table.at_trace`, not negative; all zero where nothing is lit.
    """
    n_places = psf_table.n_places(half_width)
    state = _start(samples, half_width)
    if state is None:
        return np.zeros((n_places, samples.center.size))
    blocks, columns = _blocks(state.lit)
    basis = _pieces(columns, state.lit)
    whole = _pieces(np.arange(state.lit.size, dtype=float), state.lit)
    knots = _knots(state, half_width)
    running = _normalised(_gaussian(state, n_places), half_width)
    known = np.where(np.isfinite(samples.shift), samples.shift, 0.0)
    light = np.ones(len(known))
    good, flux = state.good, state.flux
    first = table = psf_table.in_pixels(running)
    edges = samples.center[state.lit] + half_width * np.array([[-1.0], [1.0]])
    whole_aperture = edges.min() > -0.5 and edges.max() < len(state.frame) - 0.5
    for turn in range(N_ROUNDS):
        floor = FLOOR * flux * table.max(axis=0)
        spread = state.variance + len(known) * floor**2
        static = (table, first, samples.gain, np.where(good, spread, 1.0), good, samples.center,
                  state.offset, state.sigma, flux, blocks)  # fmt: skip
        tally, sums, pixels = _passed(
            samples, static, (known, light), knots, columns.size, (REJECT[min(turn, 2)], half_width)
        )
        light, flux = _updated(sums, light, flux)
        if turn > 0:
            good = state.good & ~_outlying(pixels)
        width = np.array([np.median(state.sigma[blocks == b]) for b in range(columns.size)])
        shape = _increment(tally, knots, basis, width) @ whole
        running = running + _spline(shape, state, knots, n_places)
        if whole_aperture:  # light that no pixel of the frame sees would pull at the rest
            running = _normalised(running, half_width)
        table = psf_table.in_pixels(running)
    return np.clip(table, 0.0, None)


def _start(samples: Samples, half_width: float) -> _State | None:
    """Return the median frame with the Gaussians of its lines; None where nothing is lit."""
    rate, bad, error, gain, center, _ = samples
    frame = masked_median(rate, bad).astype(np.float64) * gain
    variance = (error * gain) ** 2
    y = np.arange(frame.shape[0])[:, None]
    near = np.abs(y - center) <= half_width
    good = np.isfinite(frame) & np.isfinite(variance) & (variance > 0.0)
    used = good & near
    flux = np.where(used, frame, 0.0).sum(axis=0)
    noise = np.where(used, variance, 0.0).sum(axis=0) / max(len(rate), 1)
    lit = (flux > MIN_SIGNAL * np.sqrt(noise)) & (flux > 0.0) & np.isfinite(center)
    if lit.sum() < MIN_FITS:
        return None
    peak = np.where(used, frame, 0.0).max(axis=0)
    rough = np.sqrt(np.where(good, variance, 1.0) / len(rate) + (2.0 * FLOOR * peak) ** 2)
    found = fit_gaussians(
        np.where(good, frame, np.nan), rough, np.where(lit, center, np.nan), half_width, 1.0
    )
    offset, sigma = _smooth(found, center, half_width)
    return _State(frame, variance, good, offset, sigma, np.where(lit, flux, 0.0), lit)


def _smooth(
    found: np.ndarray, center: np.ndarray, half_width: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return distance from the trace and width of the Gaussians, smooth along dispersion."""
    off, error = found[1] - center, found[4]
    good = np.isfinite(found[1]) & (np.abs(off) < 1.0) & (error < 0.3)
    if good.sum() < MIN_FITS:
        return np.zeros(center.size), np.full(center.size, 0.25 * half_width)
    usual = np.where(good, error, np.nan)
    curve = smooth_curve(np.where(good, off, np.nan), usual, 3)[0]
    log_sigma = np.log(np.where(good, found[2], 1.0))
    width = smooth_curve(
        np.where(good, log_sigma, np.nan), usual / np.where(good, found[2], 1.0), 3
    )[0]
    low, high = np.percentile(log_sigma[good], [1, 99])
    return np.clip(curve, -1.0, 1.0), np.exp(np.clip(width, low, high))


def _blocks(lit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the block of each column, -1 for those without light, and the blocks' mean columns."""
    column = np.flatnonzero(lit)
    number = np.full(lit.size, -1, np.int64)
    found, number[column] = np.unique(column // COLUMNS, return_inverse=True)
    return number, np.array([column[number[column] == b].mean() for b in range(found.size)])


def _pieces(place: np.ndarray, lit: np.ndarray) -> np.ndarray:
    """Return cubic B-splines along dispersion at some columns, (piece, place); constant outside."""
    from scipy.interpolate import BSpline

    column = np.flatnonzero(lit)
    low, high = float(column[0]), float(column[-1])
    n = int(np.clip(round((high - low) / PIECE), FEWEST_PIECES, MOST_PIECES))
    knots = np.concatenate([[low] * 3, np.linspace(low, high, n + 1), [high] * 3])
    return BSpline.design_matrix(np.clip(place, low, high), knots, 3).toarray().T


def _knots(state: _State, half_width: float) -> np.ndarray:
    """Return the middles of the B-splines across dispersion, in widths of the Gaussian."""
    width = float(np.median(state.sigma[state.lit]))
    distance = min(KNOT_DISTANCE, WIDEST_KNOTS / width)
    reach = (half_width + psf_table.MARGIN) / float(state.sigma[state.lit].min())
    n = int(np.ceil(reach / distance))
    return distance * np.arange(-n, n + 1)


def _gaussian(state: _State, n_places: int) -> np.ndarray:
    """Return the running integral of the Gaussians at the places of a table and `HALF` beyond."""
    from scipy.special import ndtr

    n = n_places + 2 * psf_table.HALF
    u = psf_table.STEP * (np.arange(n) - n // 2)[:, None]
    return ndtr((u - state.offset) / state.sigma)


def _normalised(running: np.ndarray, half_width: float) -> np.ndarray:
    """Return a running integral whose pixels hold 1 in an aperture, in the mean over its places."""
    table = psf_table.in_pixels(running)
    middle, edge = len(table) // 2, round(half_width / psf_table.STEP)
    inside = table[middle - edge : middle + edge + 1]
    total = psf_table.STEP * (inside.sum(axis=0) - 0.5 * (inside[0] + inside[-1]))
    return running / np.maximum(total, 0.1)


def _spline(coefficient: np.ndarray, state: _State, knots: np.ndarray, n_places: int) -> np.ndarray:
    out = np.zeros((n_places + 2 * psf_table.HALF, state.sigma.size))
    step = knots[1] - knots[0]
    psf_table.spline_integral(
        np.ascontiguousarray(coefficient), state.offset, state.sigma, knots[0], step, out
    )
    return out


def _passed(
    samples: Samples, static: tuple, series: tuple, knots: np.ndarray, n_blocks: int, limits: tuple
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the tally of bins, the equations of the light, and the sums of pixels."""
    width = (knots[1] - knots[0]) / BINS_PER_KNOT
    n_bins = 2 * int(np.ceil(knots[-1] / width)) + 1
    n_time, n_spatial, n_dispersion = samples.rate.shape
    tally = np.zeros((n_blocks, n_bins, 3))
    light = np.zeros((2, n_time + n_dispersion))
    pixels = np.zeros((2, n_spatial, n_dispersion))
    grid = np.array([width, *limits])
    psf_table.accumulate((samples.rate, samples.bad), static, series, grid, tally, light, pixels)
    return tally, light, pixels


def _updated(
    sums: np.ndarray, light: np.ndarray, flux: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the light of integrations and columns that fits the profile best."""
    some = np.where(sums[1] > 0.0, sums[0] / np.where(sums[1] > 0.0, sums[1], 1.0), 0.0)
    amplitude, own = some[: light.size], some[light.size :]
    amplitude = np.where(amplitude > 0.0, amplitude, light)
    return amplitude / np.median(amplitude), np.where(flux > 0.0, np.clip(own, 0.0, None), 0.0)


def _outlying(pixels: np.ndarray) -> np.ndarray:
    """Return pixels that stay off the profile while their neighbours along dispersion do not."""
    from scipy.ndimage import median_filter

    seen = pixels[0] > 0.0
    lines = np.flatnonzero(seen.any(axis=1))
    weight, off = pixels[:, lines]
    some = weight > 0.0
    mean = np.divide(off, weight, out=np.zeros_like(off), where=some)
    rest = (mean - median_filter(mean, (1, NEIGHBOURS))) * np.sqrt(weight)
    usual = 1.4826 * np.median(np.abs(rest[some]))
    out = np.zeros(seen.shape, bool)
    out[lines] = np.abs(rest) > REJECT[-1] * max(usual, 1.0)
    return out


def _increment(
    tally: np.ndarray, knots: np.ndarray, basis: np.ndarray, width: np.ndarray
) -> np.ndarray:
    """Return what the residuals add to the coefficients, (knot, piece)."""
    from scipy.linalg import solveh_banded

    n_blocks = len(tally)
    own, right = np.zeros((n_blocks, knots.size, knots.size)), np.zeros((n_blocks, knots.size))
    step, row = knots[1] - knots[0], np.empty(knots.size)
    psf_table.spline_equations(tally, width, knots[0], step, row, own, right)
    n_pieces = len(basis)
    n = knots.size * n_pieces
    normal = np.einsum("pb,qb,bij->ipjq", basis, basis, own, optimize=True).reshape(n, n)
    target = np.einsum("pb,bi->ip", basis, right).reshape(n)
    diagonal = np.diag(normal)
    size = np.sqrt(np.maximum(diagonal, 1e-12 * diagonal.max() + 1e-300))
    scaled = normal / (size * size[:, None]) + RIDGE * np.eye(n)
    apart = np.abs(np.subtract.outer(np.arange(knots.size), np.arange(knots.size)))
    reach = (int(apart[own.any(axis=0)].max(initial=0)) + 1) * n_pieces
    bands = np.zeros((reach, n))
    for k in range(min(reach, n)):  # off the diagonal
        bands[k, : n - k] = np.diagonal(scaled, -k)
    return (solveh_banded(bands, target / size, lower=True) / size).reshape(knots.size, n_pieces)
