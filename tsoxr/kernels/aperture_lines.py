r"""1/f noise that lines of an image keep: how much there is, and weights that know of it.

Pixels of a line follow each other within microseconds and share what the electronics drifted.
The drift of one output along one line is taken as a sum of cosines,

.. math:: d(u) = \sum_{m=0}^{5} a_m \cos(\pi m u), \quad
          \mathrm{var}(a_0) = K, \quad \mathrm{var}(a_m) = A / m,

which is what a density of 1/f makes of them (the half-range cosine m has the frequency
:math:`m / 2T`), and K, which holds all lower frequencies, is a number of its own. With the white
variance V of the pixels the covariance of a line is :math:`C = V + B D B^T`, and

.. math:: C^{-1} c = W c - W B D (1 + D B^T W B)^{-1} B^T W c, \quad W = V^{-1}.

K and A come from the scatter of the lines' cosines in a sample of the integrations, once the
star's light has been taken off. Arrays here are (line, fast).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = [
    "NOTHING",
    "N_TERMS",
    "LineNoise",
    "basis",
    "inverse_times",
    "line_noise",
    "scales",
    "variance_of",
]

N_TERMS = 6
"""Cosines for each line and output. In a frame of 64 x 64 pixels of 1/f and white noise the
sum comes within 0.5 % of what the whole covariance allows; four terms are within 0.5 % too."""
SURE = 4.0
"""Standard errors by which noise of lines must be seen."""
CLIP = 5.0
FEW = 3
"""Pixels of a line that tell its level."""
LOWER = 5.0
"""K over A where the levels have been taken off: so much stands below the first cosine in a frame."""
LOOSE = 10.0
"""Factor of K that weights allow for. Neighbouring lines go up and down together, which no variance of
single lines tells: in frames of 160 x 160 pixels full of light the sum is within 0.5 % of what the
whole covariance allows with 10, within 3 % with 2 and 8 % with 1."""


class LineNoise(NamedTuple):
    """Noise of lines: K and A of one integration, in the units of the data squared; 0 without."""

    level: float
    drift: float


NOTHING = LineNoise(0.0, 0.0)


def basis(output: np.ndarray) -> np.ndarray:
    """Return the cosines of all outputs along a line, (fast, output * N_TERMS) float64.

    Parameters
    ----------
    output : (fast,) int
        Which output reads each pixel of a line, from 0.
    """
    n_outputs = int(output.max()) + 1
    out = np.zeros((output.size, n_outputs, N_TERMS))
    for o in range(n_outputs):
        where = np.flatnonzero(output == o)
        along = (np.arange(where.size) + 0.5) / max(where.size, 1)
        out[where, o] = np.cos(np.pi * np.arange(N_TERMS) * along[:, None])
    return out.reshape(output.size, -1)


def line_noise(
    left: np.ndarray, weight: np.ndarray, blind: np.ndarray, output: np.ndarray
) -> LineNoise:
    """Return how much the lines of a sample of integrations drift, beyond their white noise.

    Parameters
    ----------
    left : (time, line, fast) float32
        Data without the star; 0 where a sample is not usable.
    weight : (line, fast) float64
        Inverse white variance, 0 for pixels that are not used.
    blind : (line, fast) bool
        Reference pixels. They are no part of what was fitted to the others, and are looked at
        by themselves; the few that begin or end a line tell of its level only.
    output : (fast,) int
        Which output reads each pixel of a line.

    Returns
    -------
    LineNoise
        Zeros where neither the drift within lines nor their levels are seen at `SURE` errors.
    """
    drift, level, few = np.zeros(2), np.zeros(2), []
    terms = basis(output)
    for o in range(int(output.max()) + 1):
        mine = output == o
        own = terms[mine][:, o * N_TERMS : (o + 1) * N_TERMS]
        for part in (~blind, blind):
            w = np.where(part, weight, 0.0)[:, mine]
            n = (w > 0.0).sum(axis=1)
            long, short = n >= 2 * N_TERMS, (n >= FEW) & (n < 2 * N_TERMS)
            if long.sum() > 1:
                found, variance = _cosines(left[:, long][..., mine], w[long], own)
                drift += _excess(found[..., 1:], variance[:, 1:], 1.0 / np.arange(1.0, N_TERMS))
                if long.sum() > N_TERMS:
                    level += _excess(found[..., :1], variance[:, :1], np.ones(1))
            if short.sum() > N_TERMS:
                few.append(_levels(left[:, short][..., mine], w[short], own))
    amount = max(drift[0] / drift[1], 0.0) if drift[1] > 0.0 else 0.0
    for sums, share in few:
        level += (sums[0] - sums[1] * share * amount, sums[1])
    if not (_seen(level) or _seen(drift)):
        return NOTHING
    return LineNoise(*(max(float(a / n), 0.0) if n > 0.0 else 0.0 for a, n in (level, drift)))


def _cosines(
    left: np.ndarray, weight: np.ndarray, terms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cosines of each line, (time, line, term), about their mean, and their variance."""
    normal = np.einsum("fq,lf,fr->lqr", terms, weight, terms, optimize=True)
    ridge = 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(N_TERMS)
    error = np.linalg.inv(normal + ridge)
    seen = (left * weight.astype(np.float32)) @ terms
    found = np.einsum("lqr,tlr->tlq", error, seen, optimize=True)
    variance = np.diagonal(error, axis1=1, axis2=2)
    return _about_median(found), variance


def _levels(left: np.ndarray, weight: np.ndarray, terms: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the sums of `_excess` for the means of a few pixels of each line.

    And the share of A in the variance of these means.
    """
    norm = weight.sum(axis=1)
    found = (left * weight.astype(np.float32)).sum(axis=2)[..., None] / norm[:, None]
    variance = 1.0 / norm[:, None]
    means = (weight @ terms[:, 1:]) / norm[:, None]
    share = (means**2 / np.arange(1.0, N_TERMS)).sum(axis=1).mean()
    return _excess(_about_median(found), variance, np.ones(1)), float(share)


def _about_median(found: np.ndarray) -> np.ndarray:
    """Return values (time, line, term) about the median over the lines of each integration.

    What all lines share is no drift of lines; it may be the star's.
    """
    about: np.ndarray = found - np.median(found, axis=1, keepdims=True)
    return about


def _excess(found: np.ndarray, variance: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return sum s (a^2 - N) / N^2 and sum s^2 / N^2 without outliers: their ratio is the variance.

    ``found`` (time, line, term); ``variance`` (line, term); ``shape`` (term,).
    """
    square, excess = found**2, 0.0
    for _ in range(3):
        expected = variance + excess * shape
        kept = square <= CLIP**2 * expected
        weight = kept * shape / expected**2
        above, norm = (weight * (square - variance)).sum(), (weight * shape).sum()
        excess = max(above / norm, 0.0) if norm > 0.0 else 0.0
    weight = shape / variance**2
    kept = square <= CLIP**2 * (variance + excess * shape)
    return np.array([(kept * weight * (square - variance)).sum(), (kept * weight * shape).sum()])


def _seen(sums: np.ndarray) -> bool:
    """Return whether the excess is `SURE` times the error that white noise alone gives it."""
    return bool(sums[1] > 0.0 and sums[0] / sums[1] > SURE * np.sqrt(2.0 / sums[1]))


def scales(
    noise: LineNoise, known: np.ndarray, n_outputs: int, *, free: bool = False
) -> np.ndarray:
    """Return the standard deviation of each cosine of each line, (line, output * N_TERMS).

    Parameters
    ----------
    noise : LineNoise
        What the lines are left with.
    known : (line,) float64
        Variances of levels that were measured and subtracted before.
    n_outputs : int
        Outputs of a line.
    free : bool
        Allow for `LOOSE` times the levels, also where they have been taken off.
    """
    out = np.zeros((known.size, n_outputs, N_TERMS))
    left = LOOSE * max(noise.level, LOWER * noise.drift) if free else noise.level
    level = np.maximum(np.nan_to_num(known), left)
    out[..., 0] = np.sqrt(level)[:, None]
    out[..., 1:] = np.sqrt(noise.drift / np.arange(1.0, N_TERMS))
    return out.reshape(known.size, -1)


def inverse_times(
    vectors: np.ndarray, noise: np.ndarray, scale: np.ndarray, gain: np.ndarray, terms: np.ndarray
) -> np.ndarray:
    """Return the inverse covariance times images.

    Parameters
    ----------
    vectors : (vector, line, fast) float64
        Images.
    noise : (line, fast) float64
        White variance; 0 for pixels that do not count.
    scale : (line, term) float64
        Standard deviation of each term, from `scales`.
    gain : (line, fast) float64
        What turns the units of the terms into those of the images.
    terms : (fast, term) float64
        From `basis`.

    Returns
    -------
    (vector, line, fast) float64
        0 for pixels that do not count.
    """
    weight = np.where(noise > 0.0, 1.0 / np.where(noise > 0.0, noise, 1.0), 0.0)
    size = terms.shape[1]
    pairs = (terms[:, :, None] * terms[:, None, :]).reshape(len(terms), -1)
    matrix = ((weight * gain**2) @ pairs).reshape(-1, size, size)
    matrix = np.eye(size) + scale[:, :, None] * matrix * scale[:, None, :]
    seen = ((vectors * weight * gain) @ terms) * scale
    solved = np.linalg.solve(matrix, np.moveaxis(seen, 0, -1))
    back = np.moveaxis(solved, -1, 0) * scale
    return weight * (vectors - gain * (back @ terms.T))


def variance_of(net: np.ndarray, scale: np.ndarray, terms: np.ndarray) -> float:
    """Return the variance that the drift of lines gives to a weighted sum of pixels.

    Parameters
    ----------
    net : (line, fast) float64
        Weights of the data.
    scale, terms
        As for `inverse_times`.
    """
    return float((((net @ terms) * scale) ** 2).sum())
