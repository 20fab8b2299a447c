"""How far the light of each integration has moved and widened: linear least squares.

An integration is ``D = A (M + sum_j p_j T_j)`` with the mean frame M, its changes T_j
(`tsoxr.kernels.templates`) and independent errors that are constant in time. On a spectrum
the amplitude of each line of constant wavelength is free, so that nothing that a planet,
a spot or a flare does to the spectrum moves it; on an image there is one amplitude. These
amplitudes are eliminated exactly (Schur complement). Sums over a line are kept, and what bad
samples add to them is taken off: each integration has its exact normal matrix.

Templates are made from a frame with noise, which would pull the p_j towards zero by noise
over signal; the expected noise is taken off the normal matrix (Fuller 1987, Measurement Error
Models).

Shapes: ``rate`` (time, spatial, line) float32; ``bad`` the same, bool; templates (part,
spatial, line) float64.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel
from tsoxr.kernels.layout import time_blocks

__all__ = ["estimates", "fit_image", "fit_motion"]

LARGEST_CONDITION = 1e10
LEAST = 0.3
"""A line that has lost more than the rest of its weight to bad samples is left out."""


def fit_motion(
    rate: np.ndarray,
    bad: np.ndarray,
    parts: np.ndarray,
    weight: np.ndarray,
    design: np.ndarray,
    noise: np.ndarray,
    joint: bool,
) -> np.ndarray:
    """Fit amplitude, changes and the shift along dispersion to each integration.

    Parameters
    ----------
    rate : (time, spatial, line) float
        Data.
    bad : (time, spatial, line) bool
        Samples to leave out.
    parts : (1 + n, spatial, line) float64
        Mean frame, and n templates of change.
    weight : (spatial, line) float64
        Inverse variances, 0 for pixels to leave out.
    design : (1 + k, line) float64
        Terms of the relative light of the lines: k of colour, the first of them 1, and at
        the end the relative change for a unit shift along dispersion, NaN for lines that
        tell nothing of it. Not used if ``joint``.
    noise : (n + 1,  n + 1) float64
        Expected part of the normal matrix that is noise of the templates; at the end, that
        of the change along dispersion.
    joint : bool
        One amplitude for all lines (an image) instead of one for each.

    Returns
    -------
    (time, 2 (n + 2)) float64
        Amplitude, n relative changes, shift along dispersion (0 if ``joint``), then their
        errors in this order. NaN where the normal matrix is singular.
    """
    n, n_lines = parts.shape[0], 1 if joint else parts.shape[2]
    images = (_as_lines(parts, joint), _as_lines(weight, joint))
    parts, weight = (np.ascontiguousarray(a, np.float64) for a in images)
    first, last, full = _line_sums(parts, weight)
    changes, lines = np.empty((len(rate), n - 1, n)), np.empty((len(rate), n_lines, n + 1))
    room = np.empty((n_lines, n, n + 1))
    for when, (data, lost) in time_blocks(_as_lines(rate, joint), _as_lines(bad, joint)):
        _fill_sums(
            data, lost, parts, weight, first, last, full, 0.0 if joint else LEAST, room, changes[when],
            lines[when],
        )  # fmt: skip
    return _solved(changes, lines, design, noise, joint)


def fit_image(
    data: np.ndarray,
    parts: np.ndarray,
    weight: np.ndarray,
    design: np.ndarray,
    noise: np.ndarray,
    joint: bool,
) -> np.ndarray:
    """Fit one image (spatial, line) float64 without bad pixels; see `fit_motion`.

    Returns
    -------
    (2 (n + 2),) float64
    """
    n, n_lines = parts.shape[0], 1 if joint else parts.shape[2]
    parts, weight = _as_lines(parts, joint), _as_lines(weight, joint)
    data = np.where(weight > 0.0, _as_lines(data, joint), 0.0)
    total = _line_sums(parts, weight)[2]
    right = np.stack([(weight * part * data).sum(axis=0) for part in parts], axis=1)
    sums = np.ascontiguousarray(np.concatenate([total, right[:, :, None]], axis=2))
    changes, lines = np.empty((1, n - 1, n)), np.empty((1, n_lines, n + 1))
    _eliminate(sums, total, 0.0 if joint else LEAST, changes[0], lines[0])
    return _solved(changes, lines, design, noise, joint)[0]


def _as_lines(array: np.ndarray, joint: bool) -> np.ndarray:
    """Return (..., spatial, line) with all pixels on one line if they share one amplitude."""
    return array.reshape(*array.shape[:-2], -1, 1) if joint else array


def _line_sums(parts: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return first and last pixel of each line, and its sums w P_i P_j (line, part, part)."""
    used = weight > 0.0
    first, last = used.argmax(axis=0), len(used) - 1 - used[::-1].argmax(axis=0)
    last[~used.any(axis=0)] = -1
    n = len(parts)
    sums = np.empty((weight.shape[1], n, n))
    for i in range(n):
        weighted = weight * parts[i]
        for j in range(i + 1):
            sums[:, i, j] = sums[:, j, i] = np.where(used, weighted * parts[j], 0.0).sum(axis=0)
    return first, last, sums


@kernel(error_model="numpy")
def _fill_sums(rate, bad, parts, weight, first, last, full, least, sums, changes, lines):  # noqa: ANN001, ANN202, PLR0913, PLR0917 -- numba
    """Fill what `_eliminate` makes of each integration without its bad samples.

    ``sums`` (line, part, part + 1) is room for one integration.
    """
    n, n_lines = parts.shape[0], parts.shape[2]
    for t in range(rate.shape[0]):
        for x in range(n_lines):
            for i in range(n):
                for j in range(n):
                    sums[x, i, j] = full[x, i, j]
                sums[x, i, n] = 0.0
            for y in range(first[x], last[x] + 1):
                w = weight[y, x]
                if w == 0.0:
                    continue
                lost = bad[t, y, x]
                value = 0.0 if lost else rate[t, y, x]
                for i in range(n):
                    weighted = w * parts[i, y, x]
                    sums[x, i, n] += weighted * value
                    for j in range(n if lost else 0):
                        sums[x, i, j] -= weighted * parts[j, y, x]
        _eliminate(sums, full, least, changes[t], lines[t])


@kernel(error_model="numpy")
def _eliminate(sums, full, least, changes, lines):  # noqa: ANN001, ANN202 -- numba infers the types
    """Fill the normal matrix and right side of the changes (n, n + 1), amplitudes eliminated.

    ``lines`` (line, n + 2) takes the weight of each amplitude, 0 to leave it out, its right side, and
    the row of the normal matrix that ties it to the changes.
    """
    n = changes.shape[0]
    for i in range(n):
        for j in range(n + 1):
            changes[i, j] = 0.0
    for x in range(sums.shape[0]):
        square = sums[x, 0, 0]
        used = square > 0.0 and square > least * full[x, 0, 0]
        lines[x, 0], lines[x, 1] = square if used else 0.0, sums[x, 0, n + 1]
        for i in range(n):
            lines[x, 2 + i] = sums[x, 0, i + 1]
            share = sums[x, 0, i + 1] / square
            for j in range(n + 1 if used else 0):
                changes[i, j] += sums[x, i + 1, j + 1] - share * sums[x, 0, j + 1]


def _inverses(normal: np.ndarray) -> np.ndarray:
    """Return the inverses of normal matrices (time, n, n), NaN where they are singular."""
    n = normal.shape[-1]
    diagonal = np.diagonal(normal, axis1=1, axis2=2)
    good = (diagonal > 0.0).all(axis=1) & np.isfinite(normal).all(axis=(1, 2))
    scale = 1.0 / np.sqrt(np.where(good[:, None], diagonal, 1.0))
    outer = scale[:, :, None] * scale[:, None]
    scaled = np.where(good[:, None, None], normal * outer, np.eye(n))
    if n > 0:
        good &= np.linalg.cond(scaled) <= LARGEST_CONDITION
    scaled = np.where(good[:, None, None], scaled, np.eye(n))
    return np.where(good[:, None, None], np.linalg.inv(scaled) * outer, np.nan)


def _solved(
    changes: np.ndarray, lines: np.ndarray, design: np.ndarray, noise: np.ndarray, joint: bool
) -> np.ndarray:
    """Solve for the changes of all integrations, then for the light of the lines."""
    n = changes.shape[1]
    covariance = _inverses(changes[:, :, :n] - noise[:n, :n])
    change = np.einsum("tij,tj->ti", covariance, changes[:, :, n])
    weight, cross = lines[:, :, 0], lines[:, :, 2:]
    used = weight > 0.0
    inverse = np.where(used, 1.0 / np.where(used, weight, 1.0), 0.0)
    light = (lines[:, :, 1] - (cross @ change[:, :, None])[:, :, 0]) * inverse
    along, along_error = np.zeros((2, len(lines)))
    if not joint:
        along, along_error = _along(light, weight, design, float(noise[n, n]))
        light = light - np.nan_to_num(along)[:, None] * np.nan_to_num(design[-1])
    total = weight.sum(axis=1)
    amplitude = (weight * light).sum(axis=1) / np.where(total > 0.0, total, np.nan)
    spread = 1.0 / np.where(total > 0.0, total, np.nan)
    if joint:
        mean = cross[:, 0] * inverse[:, :1]
        spread = spread + np.einsum("ti,tij,tj->t", mean, covariance, mean)
    amplitude = np.where(amplitude > 0.0, amplitude, np.nan)
    with np.errstate(invalid="ignore"):  # more noise of the templates than light
        error = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    value = np.column_stack([change, along]) / amplitude[:, None]
    errors = np.column_stack([error, along_error]) / amplitude[:, None]
    out = np.column_stack([amplitude, value, np.sqrt(spread), errors])
    return np.where(np.isfinite(amplitude)[:, None], out, np.nan)


def _along(
    light: np.ndarray, weight: np.ndarray, design: np.ndarray, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shifts along dispersion times the amplitude, with their errors, (time,)."""
    k = design.shape[0]
    known = np.isfinite(design[-1])
    terms, weight = design[:, known], weight[:, known]
    pairs = (terms[:, None] * terms).reshape(k * k, -1)
    normal = (weight @ pairs.T).reshape(-1, k, k)
    side = (weight * light[:, known]) @ terms.T
    inverse, cross = _inverses(normal[:, :-1, :-1]), normal[:, :-1, -1]
    pull = np.einsum("ti,tij->tj", cross, inverse)
    information = normal[:, -1, -1] - (pull * cross).sum(axis=1) - noise
    information = np.where(information > 0.0, information, np.nan)
    along = (side[:, -1] - (pull * side[:, :-1]).sum(axis=1)) / information
    return along, 1.0 / np.sqrt(information)


def estimates(
    rate: np.ndarray, bad: np.ndarray, frame: np.ndarray, weight: np.ndarray, kernels: np.ndarray
) -> np.ndarray:
    """Return sums of each integration with given images, over its amplitude.

    Parameters
    ----------
    rate : (time, spatial, line) float
        Data.
    bad : (time, spatial, line) bool
        Samples that the mean frame times the amplitude stands in for.
    frame, weight : (spatial, line) float64
        Mean frame and inverse variances, 0 for pixels to leave out.
    kernels : (kernel, spatial, line) float64
        What the samples are multiplied by.

    Returns
    -------
    (time, 1 + kernel) float64
        Amplitude, and the sums over it; NaN where nothing is usable.
    """
    out = np.full((len(rate), 1 + len(kernels)), np.nan)
    images = (frame, weight, kernels)
    frame, weight, kernels = (np.ascontiguousarray(a, np.float64) for a in images)
    for when, (data, lost) in time_blocks(rate, bad):
        _fill_estimates(data, lost, frame, weight, kernels, out[when])
    return out


@kernel()
def _fill_estimates(rate, bad, frame, weight, kernels, out):  # noqa: ANN001, ANN202, C901 -- numba infers the types
    n_times, n_rows, n_lines = rate.shape
    for t in range(n_times):
        over, under = 0.0, 0.0
        for y in range(n_rows):
            for x in range(n_lines):
                if weight[y, x] > 0.0 and not bad[t, y, x]:
                    over += weight[y, x] * frame[y, x] * rate[t, y, x]
                    under += weight[y, x] * frame[y, x] * frame[y, x]
        if not (under > 0.0 and over > 0.0):
            continue
        amplitude = over / under
        out[t, 0] = amplitude
        for i in range(1, out.shape[1]):
            out[t, i] = 0.0
        for y in range(n_rows):
            for x in range(n_lines):
                if weight[y, x] > 0.0:
                    value = frame[y, x] if bad[t, y, x] else rate[t, y, x] / amplitude
                    for i in range(1, out.shape[1]):
                        out[t, i] += kernels[i - 1, y, x] * value
