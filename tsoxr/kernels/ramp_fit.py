"""Rates as weighted sums of groups, with weights known before the data are looked at.

The weights of a pixel (`tsoxr.kernels.ramps.ramp_weights`) belong to the flags that it usually
has. A first pass applies them to all ramps of a block and notes whose flags are others; those
few are then put side by side and solved for their own flags. Sums are accumulated in float64.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from tsoxr.kernels.ramps import (
    BLOCK,
    DO_NOT_USE,
    JUMP,
    UNUSABLE,
    Readout,
    solve_rows,
    usable_difference,
)

__all__ = ["fit"]

WIDTH = 4096  # groups of ramps that are solved side by side: they stay in the second-level cache
LANES = 32  # ramps are filled up to a multiple of it: what is left over would be solved slowly


class _Cubes(NamedTuple):
    """Ramps and flags, (time, group, pixel), and the results, (time, pixel)."""

    ramp: np.ndarray
    dq_group: np.ndarray
    rate: np.ndarray
    error: np.ndarray
    dq: np.ndarray


class _Static(NamedTuple):
    """What holds for all integrations; axes as in `fit`, pixels along the last."""

    weights: np.ndarray
    pattern: np.ndarray
    error: np.ndarray
    noise: np.ndarray
    residual: np.ndarray
    flags: np.ndarray
    readout: Readout
    even: bool


class _Work(NamedTuple):
    """Work space for the ramps of a block, and for those that are solved side by side.

    ``total`` (block,); ``bits`` (2, block) uint8, the flags seen, and not 0 where they are
    not the usual ones; ``words`` (block / 8,) uint64, the latter eight at a time; ``others``
    (block,), the places of those; ``rows`` (3, group, width), differences and what
    `solve_rows` needs; ``terms`` (5, width), the noise to solve with, the covariance of
    neighbours, ``dt' C^-1 dt`` and the sum of weight times difference; ``used`` (group, width)
    uint8.
    """

    total: np.ndarray
    bits: np.ndarray
    words: np.ndarray
    others: np.ndarray
    rows: np.ndarray
    terms: np.ndarray
    used: np.ndarray


def _workspace(n_groups: int) -> _Work:
    """Return work space; rows that `solve_rows` wants to be 0 are, and stay so."""
    width, bits = max(WIDTH // n_groups // LANES, 1) * LANES, np.zeros((2, BLOCK), np.uint8)
    return _Work(
        np.empty(BLOCK), bits, bits[1].view(np.uint64), np.empty(BLOCK, np.int64),
        np.zeros((3, n_groups, width)), np.zeros((5, width)), np.zeros((n_groups, width), np.uint8),
    )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def _fit_usual(  # noqa: C901, PLR0912 -- loops over few rows each run in lanes
    cubes: _Cubes, static: _Static, work: _Work, t: int, start: int
) -> int:
    """Fit a block of one integration as if all flags were usual; return how many are not."""
    _, n_groups, n_pixels = cubes.ramp.shape
    stop = min(start + work.total.size, n_pixels)
    total, seen, differs = work.total, work.bits[0], work.bits[1]
    for g in range(0, n_groups - 1, 2):  # two at a time, to save memory traffic
        w, r = static.weights[g, start:stop], cubes.ramp[t, g, start:stop]
        v, s = static.weights[g + 1, start:stop], cubes.ramp[t, g + 1, start:stop]
        if g == 0:
            for i in range(w.size):
                first = np.float64(w[i]) * np.float64(r[i])
                total[i] = first + np.float64(v[i]) * np.float64(s[i])
        else:
            for i in range(w.size):
                first = np.float64(w[i]) * np.float64(r[i])
                total[i] += first + np.float64(v[i]) * np.float64(s[i])
    weight, r = static.weights[n_groups - 1, start:stop], cubes.ramp[t, n_groups - 1, start:stop]
    if n_groups % 2 == 1:
        for i in range(r.size):
            total[i] += np.float64(weight[i]) * np.float64(r[i])
    for i in range(r.size):
        seen[i] = differs[i] = 0
    for g in range(n_groups):
        q, usual = cubes.dq_group[t, g, start:stop], static.pattern[g, start:stop]
        for i in range(q.size):
            seen[i] |= q[i]
            differs[i] |= (q[i] & np.uint8(UNUSABLE | JUMP)) ^ usual[i]
    rate, dq, error = cubes.rate[t, start:stop], cubes.dq[t, start:stop], cubes.error[t, start:stop]
    flags, usual_error = static.flags[start:stop], static.error[start:stop]
    for i in range(rate.size):
        rate[i] = total[i]
        error[i] = usual_error[i]
    for i in range(rate.size):
        lost = total[i] - total[i] != 0.0
        dq[i] = flags[i] | np.uint32(seen[i] & np.uint8(~DO_NOT_USE)) | np.uint32(lost)
        differs[i] |= np.uint8(lost and weight[i] == weight[i])
    n = 0
    for k in range((rate.size + 7) // 8):
        if work.words[k] == 0:
            continue
        for i in range(8 * k, min(8 * k + 8, rate.size)):
            work.others[n] = start + i  # a branch would be guessed wrong
            n += differs[i] != 0
    return n


@numba.njit(cache=True, nogil=True, inline="always")
def _take(cubes: _Cubes, static: _Static, work: _Work, t: int, pixel: np.ndarray) -> None:
    """Put ramps side by side, with the noise to solve with.

    Differences count alike for independent ones whose variance is proportional to the interval.
    """
    rise, terms, lag = work.rows[0], work.terms, static.readout.lag
    for m in range(pixel.size):
        i = pixel[m]
        p: float = np.float64(static.noise[0, i])
        r: float = np.float64(static.noise[1, i])
        if static.even:
            p, r = 1.0, 0.0
        elif p == 0.0 and r == 0.0:
            r = 1.0
        terms[0, m], terms[1, m], terms[2, m] = p, r, 0.0 if static.even else p * lag - r
        for j in range(static.readout.interval.size):
            d = np.float64(cubes.ramp[t, j + 1, i]) - np.float64(cubes.ramp[t, j, i])
            if static.residual.size > 0:
                d -= np.float64(static.residual[j, i])
            good = usable_difference(cubes.dq_group[t, j, i], cubes.dq_group[t, j + 1, i])
            good = good and d - d == 0.0
            rise[j, m], work.used[j, m] = d if good else 0.0, good


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _variance_of_even(static: _Static, work: _Work, m: int, i: int) -> float:
    """Return the variance of a sum of differences that count alike, over that for `solve_rows`."""
    u, (interval, lag) = work.rows[1], static.readout
    p, r = np.float64(static.noise[0, i]), np.float64(static.noise[1, i])
    off = p * lag - r
    variance = before = 0.0
    for j in range(interval.size):
        own = p * (interval[j] - 2.0 * lag) + 2.0 * r
        variance += u[j, m] * (own * u[j, m] + 2.0 * off * before)
        before = u[j, m]
    return variance / work.terms[3, m]


@numba.njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _put(cubes: _Cubes, static: _Static, work: _Work, t: int, pixel: np.ndarray) -> None:
    """Write the results of ramps that have been solved."""
    noise, norm = static.noise, work.terms[3]
    rate = work.terms[4, : -(-pixel.size // LANES) * LANES]
    for m in range(rate.size):
        rate[m] = 0.0
    for j in range(static.readout.interval.size):
        rise, u = work.rows[0, j], work.rows[1, j]
        for m in range(rate.size):
            rate[m] += u[m] * rise[m]
    for m in range(pixel.size):
        i = pixel[m]
        variance = 0.0 if noise[0, i] == 0.0 and noise[1, i] == 0.0 else 1.0
        if static.even:
            variance = _variance_of_even(static, work, m, i)
        lost = not (norm[m] > 0.0 and variance >= 0.0)
        cubes.rate[t, i] = np.nan if lost else rate[m] / norm[m]
        cubes.error[t, i] = np.nan if lost else math.sqrt(variance / norm[m])
        flags = cubes.dq[t, i] & ~np.uint32(DO_NOT_USE)
        cubes.dq[t, i] = flags | (static.flags[i] & np.uint32(DO_NOT_USE)) | np.uint32(lost)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fit(cubes: _Cubes, static: _Static, work: _Work) -> None:
    """Fit each block of pixels and integration while it is in the cache."""
    n_times, _, n_pixels = cubes.ramp.shape
    timing = Readout(static.readout.interval, 0.0 if static.even else static.readout.lag)
    width = work.used.shape[1]
    for start in range(0, n_pixels, work.total.size):
        for t in range(n_times):
            n_others = _fit_usual(cubes, static, work, t, start)
            for begin in range(0, n_others, width):
                pixel = work.others[begin : min(begin + width, n_others)]
                norm = work.terms[3, : -(-pixel.size // LANES) * LANES]
                _take(cubes, static, work, t, pixel)
                solve_rows(work.used, work.terms, timing, work.rows[2], work.rows[1], norm)
                _put(cubes, static, work, t, pixel)


def fit(  # noqa: PLR0913 -- arrays that one pass needs
    ramp: np.ndarray,
    dq_group: np.ndarray,
    weights: np.ndarray,
    pattern: np.ndarray,
    variance: np.ndarray,
    noise: np.ndarray,
    residual: np.ndarray | None = None,
    *,
    readout: Readout,
    even: bool = False,
    flags: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit all ramps: usual ones by their weights, the others by their own solution.

    Parameters
    ----------
    ramp : (time, group, ...) uint16 or float
        Groups, DN; trailing axes are pixels. Samples that are not finite count as flagged.
    dq_group : (time, group, ...) uint8
        Flags of the groups.
    weights : (group, ...) float32 or float64
        From `tsoxr.kernels.ramps.ramp_weights`; its type is that of the result.
    pattern : (group, ...) uint8
        Flags for which ``weights`` were made.
    variance : (2, ...) float
        Photon and read variance of the usual ramps, DN2 s-2.
    noise : (2, ...) float
        Photon variance per second, DN2 s-1, and read variance of a group, DN2.
    residual : (group - 1, ...) float, optional
        Departure of the differences from a straight ramp, DN, to which ``weights`` are blind
        (`tsoxr.kernels.ramp_residual`): subtracted from ramps with flags of their own.
    readout : Readout
        Timing of the groups.
    even : bool
        Weight usable differences alike, as ``weights`` must do then too.
    flags : (...) uint32, optional
        Flags that the pixel has in all integrations, to be added to ``dq``.

    Returns
    -------
    rate, error : (time, ...) float
        DN s-1; NaN where no difference is usable.
    dq : (time, ...) uint32
        Flags of all groups together, DO_NOT_USE only where ``rate`` is NaN; and ``flags``.
    """
    n_times, n_groups, *detector = ramp.shape
    flat = weights.reshape(n_groups, -1)
    shape = (n_times, flat.shape[1])
    cubes = _Cubes(
        ramp.reshape(n_times, n_groups, -1), dq_group.reshape(n_times, n_groups, -1),
        np.empty(shape, weights.dtype), np.empty(shape, weights.dtype), np.empty(shape, np.uint32),
    )  # fmt: skip
    static = _Static(
        flat, pattern.reshape(n_groups, -1),
        np.sqrt(variance.sum(axis=0)).ravel().astype(weights.dtype), noise.reshape(2, -1),
        np.empty((0, 0), "f4") if residual is None else residual.reshape(n_groups - 1, -1),
        np.zeros(shape[1], np.uint32) if flags is None else flags.ravel(), readout, even,
    )  # fmt: skip
    _fit(cubes, static, _workspace(n_groups))
    full = (n_times, *detector)
    return cubes.rate.reshape(full), cubes.error.reshape(full), cubes.dq.reshape(full)
