r"""Levels of the pre-amplifiers: outputs, parities and lines, solved together.

The residual of a blind pixel in one frame is

.. math:: r_p = s_{o} + q_{o,\pi} + a_{o,l} + b_{l} + c_{f} + \epsilon_p

with a level of its output o, one of its parity, one of its line l in that output, one of the
line in all outputs, and optionally one of its place f along the line. All are taken for random
with variances measured from the data, lines of an output with the correlation :math:`\rho^{|l-m|}`. Their expectation given the pixels
(best linear unbiased prediction) minimises

.. math:: \sum_p (r_p - B\beta)^2 / \sigma_p^2 + \beta^T C^{-1} \beta .

The prior takes the place of constraints between terms that say the same, such as a level of an
output and the mean of its lines; and it is Wiener's filter: a term that the pixels cannot
measure better than it varies is subtracted in part only, so the correction adds no variance.
The matrix is tridiagonal for the lines, which are eliminated, and small for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

__all__ = ["Components", "Solver", "Terms", "components", "frame_sums", "subtract_terms"]

LEAST = 1e-8
"""Smallest variance of a term, in variances of a pixel: it is then as good as absent."""

STRONGEST = 0.98
"""Largest correlation of neighbouring lines."""


@dataclass(frozen=True, eq=False)
class Terms:
    """Which level of each kind a pixel has: ``labels`` (kind, y, x) int64, ``sizes`` of the kinds.

    Kind 0 are the lines, ``n_slow`` of them for each output in the order of the slow axis; the
    kind ``shared``, 0 for none, are the lines of all outputs together.
    """

    labels: np.ndarray
    sizes: tuple[int, ...]
    n_slow: int
    shared: int = 0

    @property
    def offsets(self) -> np.ndarray:
        """Where the levels of each kind begin, (kind + 1,) int64."""
        return np.concatenate([[0], np.cumsum(self.sizes)])


@dataclass(frozen=True)
class Components:
    """Variances of the kinds of levels, DN2, lines first.

    ``correlation`` of neighbouring lines, own and shared.
    """

    variance: tuple[float, ...]
    correlation: tuple[float, float]


def components(residual: np.ndarray, weight: np.ndarray, terms: Terms) -> Components:
    """Measure the variances of all kinds of levels by the method of moments.

    The mean square of a raw mean, less the part that the white noise has in it, is the
    variance of what it measures; the noise has no part in the product of neighbouring lines.
    Outputs come first, lines last, each on what the kinds before have left.

    Parameters
    ----------
    residual : (frame, pixel) float
        Values of the pixels that measure, in the order of ``weight``'s non-zero pixels.
    weight : (y, x) float
        Inverse variance of the white noise, 0 for pixels that do not measure.
    terms : Terms
        Kinds of levels.

    Returns
    -------
    Components
    """
    from scipy import sparse

    use = weight > 0
    own, floor = weight[use].astype(np.float64), LEAST / float(weight[use].max())
    left, found = residual.T.astype(np.float64), {}
    for kind in (*(k for k in range(1, len(terms.sizes)) if k != terms.shared), 0):
        label, pixel = terms.labels[kind][use], np.arange(own.size)
        gather = sparse.csr_matrix((own, (label, pixel)), shape=(terms.sizes[kind], own.size))
        total = np.asarray(gather.sum(axis=1)).ravel()
        mean = (gather @ left) / np.where(total > 0, total, 1.0)[:, None]
        excess = total**2 @ (mean**2).mean(axis=1) - total.sum()
        found[kind] = max(excess / (total**2).sum(), floor)
        left = left - mean[label] if found[kind] > floor else left
    both, one = _products(mean, total, terms.n_slow)
    shared = min(max(both[0], floor), found[0]) if terms.shared else 0.0
    next_shared = both[1] if terms.shared else 0.0
    found[0] = max(found[0] - shared, floor)
    ratios = (one - next_shared) / found[0], next_shared / shared if shared else 0.0
    found |= {terms.shared: shared} if terms.shared else {}
    bounded = np.clip(ratios, 0.0, STRONGEST)
    variance = tuple(found[k] for k in range(len(terms.sizes)))
    return Components(variance, (float(bounded[0]), float(bounded[1])))


def _products(
    mean: np.ndarray, total: np.ndarray, n_slow: int
) -> tuple[tuple[float, float], float]:
    """Return mean products of lines: of two outputs (same line, neighbours), neighbours of one."""
    lines, weight = mean.reshape(-1, n_slow, mean.shape[1]), total.reshape(-1, n_slow)

    def product(a: np.ndarray, b: np.ndarray, wa: np.ndarray, wb: np.ndarray) -> np.ndarray:
        weights, values = np.zeros(2), np.zeros(2)  # of the same and of different outputs
        pair = np.einsum("as,bs->ab", wa, wb)
        seen = np.einsum("as,ast,bs,bst->ab", wa, a, wb, b, optimize=True) / mean.shape[1]
        same = np.eye(len(a), dtype=bool)
        for k, where in enumerate((same, ~same)):
            weights[k], values[k] = pair[where].sum(), seen[where].sum()
        return np.where(weights > 0, values / np.where(weights > 0, weights, 1.0), 0.0)

    zero = product(lines, lines, weight, weight)
    ahead = product(lines[:, 1:], lines[:, :-1], weight[:, 1:], weight[:, :-1])
    return (float(zero[1]), float(ahead[1])), float(ahead[0])


@numba.njit(cache=True, nogil=True)
def frame_sums(ramp, scene, wing, follow, weight, limit, center, labels, offsets):  # noqa: ANN001, ANN201 -- numba
    """Sum the weighted residuals of each level, frame by frame.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        Counts.
    scene : (group, y, x) float32
        Median first group, then median rises since.
    wing : (y, x) float32
        Light in it that follows the star's.
    follow : (time, group) float32
        What part of ``wing`` the frame has more than the scene.
    weight, limit : (2, y, x) float32
        Inverse variance and largest distance from ``center``, for the first group and for rises.
    center : (time, group, output) float32
        About the middle of the residuals; the outputs are kind 1.
    labels, offsets : int64
        See `Terms`.

    Returns
    -------
    (time, group, level) float64
    """
    n_time, n_group, n_y, n_x = ramp.shape
    out = np.zeros((n_time, n_group, offsets[-1]), np.float64)
    for t in range(n_time):
        for g in range(n_group):
            stage = min(g, 1)
            part = follow[t, g] - follow[t, 0] * stage
            for y in range(n_y):
                for x in range(n_x):
                    w = weight[stage, y, x]
                    if w > 0:
                        value = np.float32(ramp[t, g, y, x]) - scene[g, y, x] - part * wing[y, x]
                        if g > 0:
                            value -= np.float32(ramp[t, 0, y, x])
                        if abs(value - center[t, g, labels[1, y, x]]) <= limit[stage, y, x]:
                            for k in range(labels.shape[0]):
                                out[t, g, offsets[k] + labels[k, y, x]] += w * value
    return out


class Solver:
    """The expected levels of frames given their sums: factorised once, applied to all frames.

    Parameters
    ----------
    weight : (y, x) float32
        Inverse variance of the pixels that are summed.
    terms : Terms
        Kinds of levels.
    prior : Components
        Variances.
    """

    def __init__(self, weight: np.ndarray, terms: Terms, prior: Components) -> None:
        from scipy.linalg import cho_solve_banded, cholesky_banded

        n_line = terms.sizes[0]
        count, self._cross, gram = _normal_matrix(weight, terms)
        gram += _prior_of_rest(terms, prior)
        band = _line_precision(n_line, terms.n_slow, prior.variance[0], prior.correlation[0])
        band[1] += count
        self._lines = cholesky_banded(band), False
        self._by_cross = _flushed(cho_solve_banded(self._lines, self._cross.T))
        self._inverse = np.linalg.inv(_flushed(gram - self._cross @ self._by_cross))

    def __call__(self, sums: np.ndarray) -> np.ndarray:
        """Return the levels (frame, level) float64 for the sums (frame, level) of `frame_sums`."""
        from scipy.linalg import cho_solve_banded

        n_line = self._cross.shape[1]
        by_sums = cho_solve_banded(self._lines, sums[:, :n_line].T)
        rest = self._inverse @ (sums[:, n_line:].T - self._cross @ by_sums)
        return np.concatenate([by_sums - self._by_cross @ rest, rest]).T

    def variance_of(self, combined: np.ndarray) -> np.ndarray:
        """Return the error variance (sum,) of weighted sums (sum, level) of the levels.

        The matrix that turns sums into levels is the covariance of their errors.
        """
        return np.maximum((self(combined) * combined).sum(axis=1), 0.0)


def _flushed(matrix: np.ndarray) -> np.ndarray:
    """Put 0 for what is far below rounding: powers of a correlation become denormal, and slow."""
    matrix[np.abs(matrix) < 1e-20 * np.abs(matrix).max()] = 0.0
    return matrix


def _normal_matrix(weight: np.ndarray, terms: Terms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the parts of the normal matrix: lines (diagonal), others with lines, others."""
    use = weight > 0
    own, labels, sizes = weight[use], terms.labels[:, use], terms.sizes

    def block(a: int, b: int) -> np.ndarray:
        flat = np.bincount(labels[a] * sizes[b] + labels[b], own, sizes[a] * sizes[b])
        return flat.reshape(sizes[a], sizes[b])

    others = range(1, len(sizes))
    cross = np.vstack([block(a, 0) for a in others])
    gram = np.block([[block(a, b) for b in others] for a in others])
    return np.bincount(labels[0], own, sizes[0]), cross, gram


def _prior_of_rest(terms: Terms, prior: Components) -> np.ndarray:
    """Return the inverse covariance of all levels but the lines of single outputs."""
    out = np.diag(np.repeat(1.0 / np.array(prior.variance[1:]), terms.sizes[1:]))
    if terms.shared:
        begin, n = terms.offsets[terms.shared] - terms.sizes[0], terms.n_slow
        band = _line_precision(n, n, prior.variance[terms.shared], prior.correlation[1])
        block = np.diag(band[1]) + np.diag(band[0, 1:], 1) + np.diag(band[0, 1:], -1)
        out[begin : begin + n, begin : begin + n] = block
    return out


def _line_precision(n_line: int, n_slow: int, variance: float, rho: float) -> np.ndarray:
    """Return the inverse covariance of lines as its upper band, (2, line)."""
    scale = 1.0 / (variance * (1.0 - rho**2))
    band = np.zeros((2, n_line // n_slow, n_slow))
    band[0, :, 1:] = -rho * scale
    band[1] = scale * (1.0 + rho**2)
    band[1][:, [0, -1]] = scale if n_slow > 1 else scale * (1.0 - rho**2)
    return band.reshape(2, -1)


@numba.njit(cache=True, nogil=True)
def subtract_terms(ramp, found, labels, offsets):  # noqa: ANN001, ANN201 -- numba
    """Return the ramps minus the levels of each pixel.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        Counts.
    found : (time, group, level) float32
        Levels.
    labels, offsets : int64
        See `Terms`.

    Returns
    -------
    (time, group, y, x) float32
    """
    n_time, n_group, n_y, n_x = ramp.shape
    out = np.empty((n_time, n_group, n_y, n_x), np.float32)
    for t in range(n_time):
        for g in range(n_group):
            for y in range(n_y):
                for x in range(n_x):
                    value = np.float32(ramp[t, g, y, x])
                    for k in range(labels.shape[0]):
                        value -= found[t, g, offsets[k] + labels[k, y, x]]
                    out[t, g, y, x] = value
    return out
