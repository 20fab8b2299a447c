"""The light of each order in each column, with the one spectrum that all orders show.

All orders see the same star: where two show the same wavelength, the light of one follows from
that of the other, the throughputs and the dispersions. The throughputs are known to some
15 per cent, smooth in wavelength, and so the faint order is drawn towards the light that the
bright one predicts: towards its level, and towards its course from column to column
(Tikhonov, in the spirit of Darveau-Bernier et al. 2022). Where an order is seen well, the data
decide; where it is buried in another, the prediction does.

Axes are (order, dispersion).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

__all__ = ["Expected", "expected_light", "fitted_light"]

FEWEST = 20
"""Columns with a common wavelength, fewer of which do not tell the scale of an order."""
PART_OF_PEAK = 0.05
"""Of the throughput's peak: above it two orders are compared, below it the relative error of
a throughput grows."""
COURSE = 0.05
"""Change of the ratio of measured to expected light from column to column, 1 sigma."""


@dataclass(frozen=True)
class Expected:
    """Light that other orders predict, and its error, (order, dispersion); inf without one."""

    light: np.ndarray
    error: np.ndarray


def expected_light(
    light: np.ndarray, wavelength: np.ndarray, throughput: np.ndarray, accuracy: np.ndarray
) -> Expected:
    """Predict each order from those that have more throughput at the same wavelength.

    Parameters
    ----------
    light : (order, dispersion) float64
        Light of each order in each column, the first order first.
    wavelength : (order, dispersion) float64
        um; NaN where the order has none.
    throughput : (order, dispersion) float64
        At these wavelengths; NaN where unknown.
    accuracy : (order,) float64
        Relative error of the throughput where it exceeds a twentieth of its peak; below, the
        error stays as large as it is there.

    Returns
    -------
    Expected
    """
    step = np.abs(np.gradient(wavelength, axis=1))
    relative = np.nan_to_num(throughput * step)
    mean, error = np.zeros(light.shape), np.full(light.shape, np.inf)
    star = _Star()
    star.learn(wavelength[0], light[0], relative[0], throughput[0])
    for o in range(1, len(light)):
        density, efficiency = star.at(wavelength[o])
        peak = np.nanmax(throughput[o], initial=0.0)
        told = (relative[o] > 0) & (density > 0) & (efficiency > throughput[o])
        common = told & (throughput[o] > PART_OF_PEAK * peak) & (light[o] > 0)
        if common.sum() < FEWEST:
            continue
        scale = np.median(light[o, common] / (density * relative[o])[common])
        least = np.maximum(throughput[o], PART_OF_PEAK * peak) * accuracy[o] * step[o]
        mean[o] = np.where(told, scale * density * relative[o], 0.0)
        error[o] = np.where(told, scale * density * least, np.inf)
        star.learn(wavelength[o], light[o], scale * relative[o], throughput[o])
    return Expected(mean, error)


class _Star:
    """The spectrum of the star, from the order with most throughput at each wavelength."""

    def __init__(self) -> None:
        self._known: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def learn(
        self, wave: np.ndarray, light: np.ndarray, relative: np.ndarray, eff: np.ndarray
    ) -> None:
        seen = np.isfinite(wave) & (relative > 0) & (light > 0)
        seen &= eff > PART_OF_PEAK * np.nanmax(eff, initial=0.0)
        if seen.sum() < FEWEST:
            return
        order = np.argsort(wave[seen])
        density = light[seen] / relative[seen]
        self._known.append((wave[seen][order], density[order], eff[seen][order]))

    def at(self, wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the star's density and the efficiency that it was seen with; 0 where it was not."""
        density, efficiency = np.zeros(wave.shape), np.zeros(wave.shape)
        query = np.where(np.isfinite(wave), wave, -1.0)
        for known, value, eff in self._known:
            own = np.interp(query, known, eff, left=0.0, right=0.0)
            better = own > efficiency
            density = np.where(better, np.interp(query, known, value), density)
            efficiency = np.where(better, own, efficiency)
        return density, efficiency


def fitted_light(
    profile: np.ndarray, data: np.ndarray, weight: np.ndarray, expected: Expected | None
) -> np.ndarray:
    """Fit the light of each order in each column, given the profiles.

    Parameters
    ----------
    profile : (order, spatial, dispersion) float64
        0 where an order has no light.
    data, weight : (spatial, dispersion) float64
        Frame and inverse variances; 0 leaves a pixel out.
    expected : Expected, optional
        What draws the light; without it each column is fitted by itself.

    Returns
    -------
    (order, dispersion) float64
        Not negative.
    """
    n_order, _, n = profile.shape
    matrix = np.zeros((n_order, n_order, n))
    for i in range(n_order):
        weighted = weight * profile[i]
        for j in range(i + 1):
            matrix[i, j] = matrix[j, i] = (weighted * profile[j]).sum(axis=0)
    right = (profile * (weight * data)).sum(axis=1)
    course = np.zeros((n_order, n))
    if expected is not None:
        for o in range(n_order):
            known = np.isfinite(expected.error[o]) & (expected.error[o] > 0)
            precision = np.where(known, 1.0 / np.where(known, expected.error[o], 1.0) ** 2, 0.0)
            matrix[o, o] += precision
            right[o] += precision * expected.light[o]
            size = np.where(known, np.hypot(expected.light[o], expected.error[o]), 0.0)
            course[o] = np.divide(1.0, size * COURSE, out=np.zeros(n), where=size > 0)
    return np.clip(_banded(matrix, right, course), 0.0, None)


def _banded(matrix: np.ndarray, right: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Solve for all columns, coupled to their neighbours; ``step`` (order, dispersion) is 1 / sigma.

    The unknowns stand column by column, so that all couplings lie within ``order`` places.
    """
    n_order, n = right.shape
    both = (step[:, 1:] > 0) & (step[:, :-1] > 0)
    own, last = np.where(both, step[:, 1:], 0.0), np.where(both, step[:, :-1], 0.0)
    matrix = matrix.copy()
    for o in range(n_order):
        matrix[o, o, 1:] += own[o] ** 2
        matrix[o, o, :-1] += last[o] ** 2
        matrix[o, o, matrix[o, o] <= 0] = 1.0
    band = np.zeros((n_order + 1, n, n_order))
    for i in range(n_order):
        for j in range(i + 1):  # element (j, i) stands i - j places above the diagonal
            band[n_order - (i - j), :, i] = matrix[j, i]
    band[0, 1:] = -(own * last).T
    size = np.sqrt(band[n_order].ravel())
    scaled = band.reshape(n_order + 1, -1).copy()
    for above in range(n_order + 1):
        shifted = np.ones(size.size)
        shifted[above:] = size[: size.size - above]
        scaled[n_order - above] /= size * shifted
    scaled[n_order] += 1e-12
    found = solveh_banded(scaled, right.T.ravel() / size)
    return (found / size).reshape(n, n_order).T
