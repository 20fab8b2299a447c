"""A Gaussian that pixels integrate, fitted to each line of a frame (Levenberg, Marquardt).

Shapes: frames are (spatial, line) float64; NaN is not used.
"""

from __future__ import annotations

import math

import numba
import numpy as np

__all__ = ["GAUSSIAN", "fit_gaussians", "solved"]

GAUSSIAN = ("light", "centre", "sigma", "level", "centre_error")
"""What `fit_gaussians` returns for each line."""
N_ITERATIONS = 30
SQRT2, SQRT2PI = math.sqrt(2.0), math.sqrt(2.0 * math.pi)


@numba.njit(cache=True, nogil=True)
def _pixel(y, centre, sigma):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the share of light in one pixel and its derivatives with centre and ln sigma."""
    low, high = (y - 0.5 - centre) / sigma, (y + 0.5 - centre) / sigma
    below, above = math.exp(-0.5 * low * low) / SQRT2PI, math.exp(-0.5 * high * high) / SQRT2PI
    share = 0.5 * (math.erf(high / SQRT2) - math.erf(low / SQRT2))
    return share, (below - above) / sigma, low * below - high * above


@numba.njit(cache=True, nogil=True)
def fit_gaussians(
    frame: np.ndarray, error: np.ndarray, start: np.ndarray, half_width: float, first_sigma: float
) -> np.ndarray:
    """Fit a Gaussian, integrated over pixels, and a constant to each line.

    Parameters
    ----------
    frame, error : (spatial, line) float64
        Frame and its 1 sigma error; NaN in ``frame`` is not used.
    start : (line,) float64
        Where to begin, pixels; NaN skips the line.
    half_width : float
        Pixels within this distance of ``start`` are fitted.
    first_sigma : float
        Width to begin with, pixels.

    Returns
    -------
    (5, line) float64
        `GAUSSIAN`; NaN where the fit does not settle within the window (Levenberg-Marquardt).
    """
    n_lines = frame.shape[1]
    out = np.full((5, n_lines), np.nan)
    for x in range(n_lines):
        if not np.isfinite(start[x]):
            continue
        found = _fit_line(frame[:, x], error[:, x], start[x], half_width, first_sigma)
        if found[4] > 0.0:
            out[:, x] = found
    return out


@numba.njit(cache=True, nogil=True)
def _normal(line, error, first, last, p):  # noqa: ANN001, ANN202 -- numba infers the types
    normal, right, chi2, n = np.zeros((4, 4)), np.zeros(4), 0.0, 0
    row = np.empty(4)
    for y in range(first, last + 1):
        if not (np.isfinite(line[y]) and error[y] > 0.0):
            continue
        share, shift, width = _pixel(y, p[1], p[2])
        row[0], row[1], row[2], row[3] = share, p[0] * shift, p[0] * width, 1.0
        off = (line[y] - p[0] * share - p[3]) / error[y]
        chi2 += off * off
        n += 1
        for i in range(4):
            right[i] += row[i] / error[y] * off
            for j in range(4):
                normal[i, j] += row[i] * row[j] / (error[y] * error[y])
    return normal, right, chi2, n


@numba.njit(cache=True, nogil=True)
def solved(normal: np.ndarray, right: np.ndarray, damping: float) -> np.ndarray:
    """Solve with Levenberg's damping; NaN for a parameter without weight."""
    n = right.size
    scale = np.empty(n)
    for i in range(n):
        if not normal[i, i] > 0.0:
            return np.full(n, np.nan)
        scale[i] = 1.0 / np.sqrt(normal[i, i])
    scaled = normal * scale * scale.reshape(n, 1)
    for i in range(n):
        scaled[i, i] = 1.0 + damping + 1e-10  # never singular to machine precision
    return np.linalg.solve(scaled, right * scale) * scale


@numba.njit(cache=True, nogil=True)
def _guess(line, first, last):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the lowest pixel and the light above it."""
    low, light = np.inf, 0.0
    for y in range(first, last + 1):
        if np.isfinite(line[y]):
            low = min(low, line[y])
    for y in range(first, last + 1):
        if np.isfinite(line[y]):
            light += line[y] - low
    return low, light


@numba.njit(cache=True, nogil=True)
def _inside(tried, start, half_width):  # noqa: ANN001, ANN202 -- numba infers the types
    near = abs(tried[1] - start) <= half_width
    return near and 0.1 < tried[2] < 4.0 * half_width


@numba.njit(cache=True, nogil=True)
def _fit_line(line, error, start, half_width, first_sigma):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the five values of a line; light 0 and error 0 where the fit does not settle."""
    first = max(0, int(np.ceil(start - half_width)))
    last = min(line.size - 1, int(np.floor(start + half_width)))
    low, light = _guess(line, first, last)
    p, settled = np.array([light, start, first_sigma, low]), False
    normal, right, chi2, n = _normal(line, error, first, last, p)
    damping = 1e-3 if n >= 5 and light > 0.0 else np.inf
    for _ in range(N_ITERATIONS):
        if settled or damping > 1e9:
            break
        step = solved(normal, right, damping)
        tried = p + step
        tried[2] = p[2] * np.exp(min(max(step[2], -0.5), 0.5))
        damping *= 10.0
        if not _inside(tried, start, half_width):
            continue
        new = _normal(line, error, first, last, tried)
        if new[2] <= chi2:
            settled = chi2 - new[2] < 1e-6 * (1.0 + chi2) and abs(step[1]) < 1e-4
            p, damping = tried, max(damping * 0.01, 1e-9)
            normal, right, chi2 = new[0], new[1], new[2]
    if p[0] <= 0.0 or not settled:
        return np.zeros(5)
    unit = np.zeros(4)
    unit[1] = 1.0
    variance = solved(normal, unit, 0.0)[1]
    return np.array([p[0], p[1], p[2], p[3], np.sqrt(max(variance, 0.0))])
