"""A Gaussian that pixels integrate, fitted to each line of a frame (Levenberg, Marquardt).

Shapes: frames are (spatial, line) float64; NaN is not used.
"""

from __future__ import annotations

import math

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.small import solve_in_place

__all__ = ["GAUSSIAN", "fit_gaussians", "solved"]

GAUSSIAN = ("light", "centre", "sigma", "level", "centre_error")
"""What `fit_gaussians` returns for each line."""
N_ITERATIONS = 30
SQRT2, SQRT2PI = math.sqrt(2.0), math.sqrt(2.0 * math.pi)


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
    lines, errors = (np.ascontiguousarray(a.T, dtype=np.float64) for a in (frame, error))
    known = np.isfinite(start)
    begin = np.where(known, start, 0.0)
    last = lines.shape[1] - 1.0
    low, high = np.ceil(np.maximum(begin - half_width, 0)), np.minimum(begin + half_width, last)
    rows = np.arange(lines.shape[1])[:, None]
    inside = (rows >= low) & (rows <= high) & np.isfinite(frame)
    lowest = np.where(inside, frame, np.inf).min(axis=0)
    some = known & np.isfinite(lowest)
    light = np.where(inside & some, frame - np.where(some, lowest, 0.0), 0.0).sum(axis=0)
    sigma = np.full(begin.size, float(first_sigma))
    out = np.column_stack([light, begin, sigma, np.where(some, lowest, 0.0), sigma])
    ends = np.column_stack([low, np.where(light > 0.0, np.floor(high), -1.0)]).astype(np.int64)
    room = np.zeros((4, 5, 4))
    room[3, 3, 1] = 1.0
    _fit_lines(lines, errors, ends, float(half_width), room, out)
    return np.ascontiguousarray(out.T)


@kernel()
def _fit_lines(lines, errors, ends, half_width, room, out):  # noqa: ANN001, ANN202, C901, PLR0912 -- numba
    """Replace the parameters that fits begin with in ``out`` (line, 5) by those where they settle.

    Lines are (line, spatial), ``ends`` (line, 2) the first and last pixel of each. ``room`` (4, 5, 4)
    holds normal equations here and at a trial, each with its right side below, work, and the
    parameters, their trial, the step, and the unit vector of the second.
    """
    p, tried, step = room[3, 0], room[3, 1], room[3, 2]
    for x in range(len(out)):
        for i in range(4):
            p[i] = out[x, i]
        for i in range(5):
            out[x, i] = np.nan
        now, start, damping, settled = 0, p[1], 1e-3, False
        chi2, n = _normal(lines[x], errors[x], ends[x], p, room[0])
        if n < 5:
            continue
        for _ in range(N_ITERATIONS):
            if settled or damping > 1e9:
                break
            _solve_damped(room[now], room[now, 4], damping, room[2], step)
            damping *= 10.0
            for i in range(4):
                tried[i] = p[i] + step[i]
            tried[2] = p[2] * math.exp(min(max(step[2], -0.5), 0.5))
            near = abs(tried[1] - start) <= half_width
            if not (near and 0.1 < tried[2] < 4.0 * half_width):
                continue
            new, n = _normal(lines[x], errors[x], ends[x], tried, room[1 - now])
            if new <= chi2:
                settled = chi2 - new < 1e-6 * (1.0 + chi2) and abs(step[1]) < 1e-4
                now, chi2 = 1 - now, new
                damping = damping * 0.01 if damping > 1e-7 else 1e-9
                for i in range(4):
                    p[i] = tried[i]
        if settled and p[0] > 0.0:
            _solve_damped(room[now], room[3, 3], 0.0, room[2], step)
            if step[1] > 0.0:  # its variance
                for i in range(4):
                    out[x, i] = p[i]
                out[x, 4] = math.sqrt(step[1])


@part()
def _normal(line, error, ends, p, system):  # noqa: ANN001, ANN202 -- numba infers the types
    """Fill the normal equations (5, 4) at the parameters; return chi squared and number of pixels."""
    for i in range(5):
        for j in range(4):
            system[i, j] = 0.0
    chi2, n = 0.0, 0
    for y in range(ends[0], ends[1] + 1):
        if not (abs(line[y]) < np.inf and error[y] > 0.0):
            continue
        low, high = (y - 0.5 - p[1]) / p[2], (y + 0.5 - p[1]) / p[2]
        below, above = math.exp(-0.5 * low * low) / SQRT2PI, math.exp(-0.5 * high * high) / SQRT2PI
        share = 0.5 * (math.erf(high / SQRT2) - math.erf(low / SQRT2))
        row = (share, p[0] * ((below - above) / p[2]), p[0] * (low * below - high * above), 1.0)
        off = (line[y] - p[0] * share - p[3]) / error[y]
        chi2 += off * off
        n += 1
        for i in range(4):
            system[4, i] += row[i] / error[y] * off
            for j in range(4):
                system[i, j] += row[i] * row[j] / (error[y] * error[y])
    return chi2, n


@part()
def _solve_damped(normal, right, damping, work, out):  # noqa: ANN001, ANN202 -- numba infers the types
    """Solve into ``out`` (n,); ``work`` (n + 1, n) takes the scaled equations and their scale."""
    n = out.size
    for i in range(n):
        if not normal[i, i] > 0.0:
            for j in range(n):
                out[j] = np.nan
            return
        work[n, i] = 1.0 / math.sqrt(normal[i, i])
    for i in range(n):
        for j in range(n):
            work[i, j] = normal[i, j] * work[n, j] * work[n, i]
        work[i, i] = 1.0 + damping + 1e-10  # never singular to machine precision
        out[i] = right[i] * work[n, i]
    solve_in_place(work, out, n)
    for i in range(n):
        out[i] *= work[n, i]


@part()
def solved(normal, right, damping):  # noqa: ANN001, ANN201 -- numba infers the types
    """Solve normal equations with Levenberg's damping; NaN where a parameter has no weight.

    ``normal`` (n, n) and ``right`` (n,) float64 stay as they are.
    """
    out = np.empty(right.size)
    _solve_damped(normal, right, damping, np.empty((right.size + 1, right.size)), out)
    return out
