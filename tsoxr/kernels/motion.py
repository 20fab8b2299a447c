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

import numba
import numpy as np

__all__ = ["estimates", "fit_motion"]

LARGEST_CONDITION = 1e10
LEAST = 0.3
"""A line that has lost more than the rest of its weight to bad samples is left out."""


@numba.njit(cache=True, nogil=True)
def _line_sums(parts, weight):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return first and last pixel of each line, and its sums w P_i P_j (line, part, part)."""
    n_parts, n_rows, n_lines = parts.shape
    first, last = np.full(n_lines, n_rows), np.full(n_lines, -1)
    sums = np.zeros((n_lines, n_parts, n_parts))
    for x in range(n_lines):
        for y in range(n_rows):
            w = weight[y, x]
            if w > 0.0:
                first[x], last[x] = min(first[x], y), y
                for i in range(n_parts):
                    for j in range(n_parts):
                        sums[x, i, j] += w * parts[i, y, x] * parts[j, y, x]
    return first, last, sums


@numba.njit(cache=True, nogil=True)
def fit_motion(rate, bad, parts, weight, design, noise, joint):  # noqa: ANN001, ANN201 -- numba infers the types
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
    n_times, n = rate.shape[0], parts.shape[0] - 1
    first, last, full = _line_sums(parts, weight)
    out = np.full((n_times, 2 * (n + 2)), np.nan)
    for t in range(n_times):
        total, right = _integration(rate[t], bad[t], parts, weight, first, last, full)
        if joint:
            for x in range(1, rate.shape[2]):
                total[0] += total[x]
                right[0] += right[x]
        n_blocks = 1 if joint else rate.shape[2]
        _solve(total[:n_blocks], right[:n_blocks], full, design, noise, joint, out[t])
    return out


@numba.njit(cache=True, nogil=True)
def _integration(data, bad, parts, weight, first, last, full):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return normal matrices (line, part, part) and right sides (line, part) of good samples."""
    n_parts, _, n_lines = parts.shape
    total, right = full.copy(), np.zeros((n_lines, n_parts))
    for x in range(n_lines):
        for y in range(first[x], last[x] + 1):
            w = weight[y, x]
            if w == 0.0:
                continue
            if bad[y, x]:
                for i in range(n_parts):
                    for j in range(n_parts):
                        total[x, i, j] -= w * parts[i, y, x] * parts[j, y, x]
            else:
                for i in range(n_parts):
                    right[x, i] += w * parts[i, y, x] * data[y, x]
    return total, right


@numba.njit(cache=True, nogil=True)
def _usable(total, full, joint):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the weight of each block of lines with an amplitude of its own, 0 to leave it out."""
    weight = np.zeros(total.shape[0])
    for x in range(weight.size):
        square = total[x, 0, 0]
        if square > 0.0 and (joint or square > LEAST * full[x, 0, 0]):
            weight[x] = square
    return weight


@numba.njit(cache=True, nogil=True)
def _eliminated(total, right, weight):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return normal matrix and right side of the changes, amplitudes eliminated."""
    n = total.shape[1] - 1
    normal, side = np.zeros((n, n)), np.zeros(n)
    for x in range(weight.size):
        if weight[x] > 0.0:
            for i in range(n):
                share = total[x, 0, i + 1] / weight[x]
                side[i] += right[x, i + 1] - share * right[x, 0]
                for j in range(n):
                    normal[i, j] += total[x, i + 1, j + 1] - share * total[x, 0, j + 1]
    return normal, side


@numba.njit(cache=True, nogil=True)
def _inverse(normal):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the inverse of a normal matrix, NaN where it is singular."""
    n = normal.shape[0]
    scale = np.zeros(n)
    for i in range(n):
        if not normal[i, i] > 0.0:
            return np.full((n, n), np.nan)
        scale[i] = 1.0 / np.sqrt(normal[i, i])
    scaled = normal * scale * scale.reshape(n, 1)
    if np.linalg.cond(scaled) > LARGEST_CONDITION:
        return np.full((n, n), np.nan)
    return np.linalg.inv(scaled) * scale * scale.reshape(n, 1)


@numba.njit(cache=True, nogil=True)
def _relative_light(total, right, weight, change):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the amplitude of each block of lines, given the changes."""
    light = np.zeros(weight.size)
    for x in range(weight.size):
        if weight[x] > 0.0:
            light[x] = (right[x, 0] - (total[x, 0, 1:] * change).sum()) / weight[x]
    return light


@numba.njit(cache=True, nogil=True)
def _solve(total, right, full, design, noise, joint, out):  # noqa: ANN001, ANN202 -- numba infers the types
    """Eliminate the amplitudes, solve for the changes, then for the light of the lines."""
    n = total.shape[1] - 1
    weight = _usable(total, full, joint)
    normal, side = _eliminated(total, right, weight)
    covariance = _inverse(normal - noise[:n, :n])
    if n > 0 and not np.isfinite(covariance[0, 0]):
        return
    change = covariance @ side
    light = _relative_light(total, right, weight, change)
    along, along_error = 0.0, 0.0
    if not joint:
        along, along_error = _along(light, weight, design, noise[n, n])
        moved = (along if np.isfinite(along) else 0.0) * design[-1]
        light -= np.where(np.isfinite(moved), moved, 0.0)
    total_weight = weight.sum()
    if not total_weight > 0.0:
        return
    amplitude, spread = (weight * light).sum() / total_weight, 1.0 / total_weight
    if not amplitude > 0.0:
        return
    if joint:
        mean = total[0, 0, 1:] / weight[0]
        spread += mean @ (covariance @ mean)
    out[0], out[n + 2] = amplitude, np.sqrt(spread)
    for i in range(n):
        out[1 + i] = change[i] / amplitude
        out[n + 3 + i] = np.sqrt(covariance[i, i]) / amplitude
    out[n + 1], out[2 * n + 3] = along / amplitude, along_error / amplitude


@numba.njit(cache=True, nogil=True)
def _along(light, weight, design, noise):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the shift along dispersion times the amplitude, with its error."""
    k = design.shape[0]
    normal, side = np.zeros((k, k)), np.zeros(k)
    for x in range(light.size):
        if not np.isfinite(design[k - 1, x]):
            continue
        for i in range(k):
            side[i] += weight[x] * design[i, x] * light[x]
            for j in range(k):
                normal[i, j] += weight[x] * design[i, x] * design[j, x]
    inverse = _inverse(normal[: k - 1, : k - 1])
    if not np.isfinite(inverse[0, 0]):
        return np.nan, np.nan
    cross = normal[: k - 1, k - 1].copy()
    information = normal[k - 1, k - 1] - cross @ (inverse @ cross) - noise
    if not information > 0.0:
        return np.nan, np.nan
    along = (side[k - 1] - cross @ (inverse @ side[: k - 1])) / information
    return along, 1.0 / np.sqrt(information)


@numba.njit(cache=True, nogil=True)
def estimates(rate, bad, frame, weight, kernels):  # noqa: ANN001, ANN201 -- numba infers the types
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
    n_times, n_rows, n_lines = rate.shape
    n = kernels.shape[0]
    out = np.full((n_times, 1 + n), np.nan)
    for t in range(n_times):
        over, under = 0.0, 0.0
        for y in range(n_rows):
            for x in range(n_lines):
                if weight[y, x] > 0.0 and not bad[t, y, x]:
                    over += weight[y, x] * frame[y, x] * rate[t, y, x]
                    under += weight[y, x] * frame[y, x] ** 2
        if not (under > 0.0 and over > 0.0):
            continue
        amplitude = over / under
        out[t, :] = 0.0
        out[t, 0] = amplitude
        for y in range(n_rows):
            for x in range(n_lines):
                if weight[y, x] > 0.0:
                    value = frame[y, x] if bad[t, y, x] else rate[t, y, x] / amplitude
                    for i in range(n):
                        out[t, 1 + i] += kernels[i, y, x] * value
    return out
