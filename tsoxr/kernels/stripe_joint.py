r"""Levels of lines along the spectrum, all lines and outputs together.

A line that lies on the spectrum has no dark pixels, and its level looks like light. What
tells the two apart is that light comes with the profile of the star across the lines, at
every wavelength, and that the levels of neighbouring lines and of the outputs vary together.
Rises are :math:`e = L + \delta_\lambda T + z Z + n` with the level L of each line and
output, a free factor for each wavelength, shift and width of the spectrum z, and noise of
known variance. With a prior of covariance K on L,

.. math:: L = (I + K A)^{-1} K b, \quad A = X^T V^{-1} X, \quad b = X^T V^{-1} e,

where X are the lines with all light projected out. K is measured from the lines that are dark.
Every level is a fixed linear function of the data, and a light curve of any colour gives 0.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tsoxr.kernels.stripe_projection import DARK, Projection, by_output, over, project, rows_by_rows
from tsoxr.kernels.stripe_scene import terms_of_groups
from tsoxr.kernels.stripe_terms import GroupTerms
from tsoxr.kernels.stripes import line_levels, relative_excess

__all__ = ["joint_levels", "joint_solver", "level_covariance"]

NEAR, SURE = 5, 3.0
"""Lines whose covariance is tested, and against how many standard errors."""


def level_covariance(levels: np.ndarray, spread: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the covariance of the rises of the levels, as the dark lines show it.

    What the outputs have in common and what each has for itself depends on the distance of
    two lines alone. Measured over integrations and groups, with the error of the levels taken
    out, and described by a sum of decaying exponentials, as 1/f noise is.

    Parameters
    ----------
    levels, spread : (time, group, slow, output) float
        From `tsoxr.kernels.stripes.line_levels`.
    count : (slow, output) int
        Background pixels of each line; lines without any tell nothing.

    Returns
    -------
    (slow * output, slow * output) float64
    """
    n_group, n_slow, n_output = levels.shape[1:]
    seen = count > 0
    change = levels[:, 1:] - levels[:, :1] if n_group > 1 else levels
    change = np.where(seen, change - np.median(change, axis=0), 0.0).astype(np.float64)
    limit = 5.0 * 1.4826 * np.median(np.abs(change[..., seen])) if seen.any() else 0.0
    own, common = _by_distance(np.clip(change, -limit, limit), seen)
    error = np.median(spread[:, -1].astype(np.float64) ** 2, axis=0) / np.maximum(count, 1)
    own[0] -= error[seen].mean() if seen.any() else 0.0
    distance = np.abs(np.arange(n_slow)[:, None] - np.arange(n_slow))
    alone = _decaying(own - common)[distance]
    shared = _decaying(common)[distance]
    shape = (n_slow, n_output, n_slow, n_output)
    both = np.broadcast_to(shared[:, None, :, None], shape)
    both = both + np.einsum("su,op->soup", alone, np.eye(n_output))
    return both.reshape(n_slow * n_output, -1)


def _decaying(values: np.ndarray) -> np.ndarray:
    """Return a sum of exponentials by distance, positive amplitudes, fitted to covariances.

    Such a sum is the covariance of a process for any amplitudes, and 1/f noise is one with
    memories of all lengths.
    """
    from scipy.optimize import nnls

    lag = np.arange(values.size, dtype=np.float64)
    memories = np.geomspace(0.7, 20.0 * values.size, 12)
    shapes = np.stack([lag == 0.0, *(np.exp(-lag / m) for m in memories)], axis=-1)
    known = np.isfinite(values)
    if not known.any():
        return np.zeros_like(lag)
    weight = np.sqrt(values.size - lag[known])  # the number of pairs of lines
    return shapes @ nnls(shapes[known] * weight[:, None], values[known] * weight)[0]


def _by_distance(change: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the covariance of two lines of one output, and of two outputs, by their distance.

    Covariances that are no more than the noise of the sample would make, judged by those of
    neighbouring lines, are 0 at all distances: noise in them would add noise to levels.
    """
    n_slow = seen.shape[0]
    own, common = np.full((2, n_slow, len(change)), np.nan)
    mark = seen.astype(np.float64)
    for lag in range(n_slow):
        first, second = change[:, :, : n_slow - lag], change[:, :, lag:]
        a, b = mark[: n_slow - lag], mark[lag:]
        same = np.einsum("tgso,tgso->t", first, second) / change.shape[1]
        both = np.einsum("tgs,tgs->t", first.sum(axis=-1), second.sum(axis=-1)) / change.shape[1]
        n_same, n_both = (a * b).sum(), (a.sum(axis=-1) * b.sum(axis=-1)).sum()
        own[lag] = same / n_same if n_same > 0 else np.nan
        common[lag] = (both - same) / (n_both - n_same) if n_both > n_same else np.nan
    near = slice(1, 1 + NEAR)
    own_mean, common_mean = own.mean(axis=1), common.mean(axis=1)
    if not _is_real(own[near]):
        own_mean[1:] = 0.0
    if not _is_real(common[:NEAR]):
        common_mean[:] = 0.0
    return own_mean, common_mean


def _is_real(values: np.ndarray) -> bool:
    """Return True where the mean over the lags differs from 0 by more than its error allows."""
    known = values[np.isfinite(values).all(axis=1)]
    if known.size == 0 or known.shape[1] < 2:
        return False
    each = known.mean(axis=0)
    return bool(each.mean() > SURE * each.std(ddof=1) / np.sqrt(each.size))


def _shapes(light: np.ndarray, weight: np.ndarray, white: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return shift and width of the spectrum (2, slow, fast), free of changes of its light.

    And the norm (fast,) of the light at each wavelength.
    """
    norm = (weight * light**2).sum(axis=0)
    if white:
        norm = np.full_like(norm, norm.sum())
    norm = np.where(norm > DARK, norm, 0.0)
    found: list[np.ndarray] = []
    slope = np.gradient(light, axis=0)
    for shape in (slope, np.gradient(slope, axis=0)):
        amount = (weight * light * shape).sum(axis=0)
        amount = np.full_like(amount, amount.sum()) if white else amount
        rest = shape - light * over(amount, norm)
        for other in found:
            rest = rest - other * (weight * other * rest).sum()
        size = (weight * rest**2).sum()
        found.append(rest / np.sqrt(size) if size > 0 else 0.0 * rest)
    return np.stack(found), norm


def joint_solver(
    covariance: np.ndarray,
    design: np.ndarray,
    scene: np.ndarray,
    group_time: np.ndarray,
    *,
    edges: np.ndarray,
    white: bool = False,
) -> np.ndarray:
    """Return the matrices that turn projected sums into levels, and the covariance of these.

    Parameters
    ----------
    covariance : (line, line) float64
        From `level_covariance`; line = slow * n_output + output.
    design, scene, group_time, edges
        As for `tsoxr.kernels.stripe_scaled.scaled_levels`.
    white : bool
        One factor for the light at all wavelengths, instead of one for each.

    Returns
    -------
    (group, line, line) float32
        For each group after the first; at index 0 the covariance of the errors of the rise
        to the last.
    """
    size = covariance.shape[0]
    _, light, weight = terms_of_groups(design, scene, group_time)
    out = np.zeros((len(group_time), size, size))
    for g in range(1, len(group_time)):
        t, w = light[g - 1].astype(np.float64), weight[g - 1].astype(np.float64)
        shapes, norm = _shapes(t, w, white)
        matrix = np.diag(by_output(w, edges).ravel())
        if white:
            taken = by_output(w * t, edges).ravel() / np.sqrt(max(norm[0], 1e-30))
            matrix -= np.outer(taken, taken)
        else:
            scaled = w * t * np.sqrt(over(np.ones_like(norm), norm))
            n_output = edges.size - 1
            for o, (begin, end) in enumerate(pairwise(edges)):
                part = scaled[:, begin:end]
                matrix[o::n_output, o::n_output] -= part @ part.T
        for shape in shapes:
            taken = by_output(w * shape, edges).ravel()
            matrix -= np.outer(taken, taken)
        out[g] = np.linalg.solve(np.eye(size) + covariance @ matrix, covariance)
    out[0] = 0.5 * (out[-1] + out[-1].T)
    return out.astype(np.float32)


def joint_levels(
    ramp: np.ndarray,
    design: np.ndarray,
    group_time: np.ndarray,
    scene: np.ndarray,
    solver: np.ndarray,
    *,
    edges: np.ndarray,
    sigma: float,
    white: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the levels of lines that run along the spectrum.

    Parameters
    ----------
    ramp, design, group_time, scene, edges, sigma
        As for `tsoxr.kernels.stripe_scaled.scaled_levels`.
    solver : (group, line, line) float32
        From `joint_solver`.
    white : bool
        As for `joint_solver`. All wavelengths then share the sum over them.

    Returns
    -------
    levels, spread : (time, group, slow, output) float32
        As from `tsoxr.kernels.stripes.line_levels`; a line without dark pixels has a level of
        0 in the first group.
    """
    levels, spread = line_levels(ramp, design, group_time, edges=edges)
    ramp = np.ascontiguousarray(ramp)
    n_time, n_group, n_slow, n_fast = ramp.shape
    rise, bright = (np.ascontiguousarray(design[k]) for k in (1, 4))
    excess = relative_excess(ramp, rise, bright).astype(np.float32)
    terms, cut = GroupTerms(rise, scene, group_time), np.float32(sigma**2)
    rough = levels[:, 1:] - levels[:, :1]
    for g in range(1, n_group):
        images = terms.at(g)
        projection = Projection(images, edges, white)
        sums = np.empty((n_time, n_slow, edges.size - 1))
        total, along = np.zeros((n_time, n_fast), np.float32), np.zeros((n_time, 2))
        given = (ramp, g, images, projection.raw, excess, rough[:, g - 1])
        project(*given, cut, edges, sums, total, along)
        flat = projection.of(sums, total, along).reshape(n_time, -1)
        solved = rows_by_rows(flat, solver[g])
        levels[:, g] = levels[:, 0] + solved.reshape(sums.shape)
    return levels, spread
