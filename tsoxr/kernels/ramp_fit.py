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

from tsoxr.kernels.ramp_blocks import N_WORK, refine
from tsoxr.kernels.ramps import (
    BLOCK,
    DO_NOT_USE,
    JUMP,
    UNUSABLE,
    Readout,
    block_width,
    usable_difference,
)

__all__ = ["fit"]


class _Cubes(NamedTuple):
    """Ramps and flags, (time, group, pixel)."""

    ramp: np.ndarray
    dq_group: np.ndarray


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
    """Work space for ramps side by side: (difference, width) and (row, width) arrays."""

    difference: np.ndarray
    used: np.ndarray
    terms: np.ndarray
    rows: np.ndarray


class _Rates(NamedTuple):
    """The results, filled by the functions below: (time, pixel) each."""

    rate: np.ndarray
    error: np.ndarray
    dq: np.ndarray


@numba.njit(cache=True, nogil=True)
def _workspace(n: int, width: int) -> _Work:
    """Return work space for ``width`` ramps of ``n`` differences."""
    return _Work(
        np.empty((n, width)), np.empty((n, width)), np.empty((3, width)), np.empty((N_WORK, width))
    )


@numba.njit(cache=True, nogil=True)
def _add_groups(
    ramp: np.ndarray, weights: np.ndarray, start: int, stop: int, total: np.ndarray
) -> None:
    """Fill weights times groups of a block, two groups at a time to save memory traffic."""
    n_groups = ramp.shape[0]
    w, r = weights[0, start:stop], ramp[0, start:stop]
    for i in range(w.size):
        total[i] = np.float64(w[i]) * np.float64(r[i])
    for g in range(1, n_groups - 1, 2):
        w, r = weights[g, start:stop], ramp[g, start:stop]
        v, s = weights[g + 1, start:stop], ramp[g + 1, start:stop]
        for i in range(w.size):
            first = np.float64(w[i]) * np.float64(r[i])
            total[i] += first + np.float64(v[i]) * np.float64(s[i])
    if n_groups % 2 == 0:
        w, r = weights[n_groups - 1, start:stop], ramp[n_groups - 1, start:stop]
        for i in range(w.size):
            total[i] += np.float64(w[i]) * np.float64(r[i])


@numba.njit(cache=True, nogil=True)
def _compare_flags(
    dq_group: np.ndarray,
    pattern: np.ndarray,
    start: int,
    stop: int,
    seen: np.ndarray,
    differs: np.ndarray,
) -> None:
    """Fill the flags of a block that any group has, and non-zero where they are not the usual ones."""
    seen[:] = 0
    differs[:] = 0
    for g in range(dq_group.shape[0]):
        q, usual = dq_group[g, start:stop], pattern[g, start:stop]
        for i in range(q.size):
            seen[i] |= q[i]
            differs[i] |= (q[i] & np.uint8(UNUSABLE | JUMP)) ^ usual[i]


@numba.njit(cache=True, nogil=True)
def _find(differs: np.ndarray, pixel: np.ndarray) -> int:
    """Fill the places of what is not zero; return their number."""
    n = 0
    for k in range(differs.size):
        if differs[k] != 0:
            pixel[n] = k
            n += 1
    return n


@numba.njit(cache=True, nogil=True)
def _take(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    static: _Static,
    start: int,
    pixel: np.ndarray,
    work: _Work,
) -> None:
    """Put chosen ramps (group, pixel) of a block side by side, those of ``start + pixel``."""
    for m in range(pixel.size):
        i = start + pixel[m]
        p, r = np.float64(static.noise[0, i]), np.float64(static.noise[1, i])
        work.terms[0, m] = p
        work.terms[1, m] = 1.0 if p == 0.0 and r == 0.0 else r
        work.terms[2, m] = 0.0
        for j in range(work.used.shape[0]):
            rise = np.float64(ramp[j + 1, i]) - np.float64(ramp[j, i])
            if static.residual.size > 0:
                rise -= np.float64(static.residual[j, i])
            good = usable_difference(dq_group[j, i], dq_group[j + 1, i]) and np.isfinite(rise)
            work.used[j, m] = 1.0 if good else 0.0
            work.difference[j, m] = rise if good else 0.0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _even(work: _Work, readout: Readout, m: int) -> None:
    """Replace the sums of `refine` by those of last minus first: rate zy / zz, variance 1 / zz."""
    for k in range(m):
        p, r = work.terms[0, k], work.terms[1, k]
        rise = span = variance = before = 0.0
        for j in range(readout.interval.size):
            use, dt = work.used[j, k], readout.interval[j]
            rise += use * work.difference[j, k]
            span += use * dt
            own = p * (dt - 2.0 * readout.lag) + 2.0 * r
            variance += use * (own + 2.0 * (p * readout.lag - r) * before)
            before = use
        work.rows[0, k] = span**2 / variance if span > 0.0 else 0.0
        work.rows[1, k] = rise / span * work.rows[0, k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _put(static: _Static, work: _Work, t: int, start: int, pixel: np.ndarray, out: _Rates) -> None:
    """Write the results of chosen ramps of a block."""
    for k in range(pixel.size):
        i = start + pixel[k]
        zz, zy = work.rows[0, k], work.rows[1, k]
        lost = not zz > 0.0
        silent = static.noise[0, i] == 0.0 and static.noise[1, i] == 0.0
        out.rate[t, i] = np.nan if lost else zy / zz
        out.error[t, i] = np.nan if lost else (0.0 if silent else 1.0 / math.sqrt(zz))
        flags = np.uint32(out.dq[t, i] & ~np.uint32(DO_NOT_USE))
        out.dq[t, i] = flags | (static.flags[i] & np.uint32(DO_NOT_USE)) | np.uint32(lost)


@numba.njit(cache=True, nogil=True)
def _fit(cubes: _Cubes, static: _Static, out: _Rates) -> None:
    """Fit each block of pixels and integration while it is in the cache."""
    n_times, n_groups, n_pixels = cubes.ramp.shape
    width = block_width(n_groups - 1, BLOCK)
    work = _workspace(n_groups - 1, width)
    total, others = np.empty(BLOCK), np.empty(BLOCK, np.int64)
    all_seen, all_differs = np.empty(BLOCK, np.uint8), np.empty(BLOCK, np.uint8)
    for start in range(0, n_pixels, BLOCK):
        stop = min(start + BLOCK, n_pixels)
        usual, first = static.error[start:stop], static.weights[0, start:stop]
        flags = static.flags[start:stop]
        seen, differs = all_seen[: stop - start], all_differs[: stop - start]
        for t in range(n_times):
            ramp, dq_group = cubes.ramp[t], cubes.dq_group[t]
            _add_groups(ramp, static.weights, start, stop, total)
            _compare_flags(dq_group, static.pattern, start, stop, seen, differs)
            rate, error, dq = (
                out.rate[t, start:stop], out.error[t, start:stop], out.dq[t, start:stop],
            )  # fmt: skip
            for i in range(rate.size):
                rate[i] = total[i]
                error[i] = usual[i]
            for i in range(rate.size):
                lost = not np.isfinite(total[i])
                dq[i] = flags[i] | np.uint32(seen[i] & np.uint8(~DO_NOT_USE)) | np.uint32(lost)
                differs[i] |= np.uint8(lost and not np.isnan(first[i]))
            n_others = _find(differs, others)
            for begin in range(0, n_others, width):
                pixel = others[begin : min(begin + width, n_others)]
                _take(ramp, dq_group, static, start, pixel, work)
                refine(
                    work.difference, work.used, work.terms, static.readout, work.rows, pixel.size
                )
                if static.even:
                    _even(work, static.readout, pixel.size)
                _put(static, work, t, start, pixel, out)


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
    cubes = _Cubes(ramp.reshape(n_times, n_groups, -1), dq_group.reshape(n_times, n_groups, -1))
    static = _Static(
        flat, pattern.reshape(n_groups, -1),
        np.sqrt(variance.sum(axis=0)).ravel().astype(weights.dtype), noise.reshape(2, -1),
        np.empty((0, 0), "f4") if residual is None else residual.reshape(n_groups - 1, -1),
        np.zeros(shape[1], np.uint32) if flags is None else flags.ravel(), readout, even,
    )  # fmt: skip
    out = _Rates(
        np.empty(shape, weights.dtype), np.empty(shape, weights.dtype), np.empty(shape, np.uint32)
    )
    _fit(cubes, static, out)
    full = (n_times, *detector)
    return out.rate.reshape(full), out.error.reshape(full), out.dq.reshape(full)
