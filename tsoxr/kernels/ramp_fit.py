"""Rates as weighted sums of groups, with weights known before the data are looked at.

The weights of a pixel (`tsoxr.kernels.ramps.ramp_weights`) belong to the flags that it usually
has. A first pass applies them to all ramps and notes whose flags are others; those few are
then solved for their own flags. Sums are accumulated in float64.
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
    readout: Readout
    even: bool


class _Work(NamedTuple):
    """Work space of one ramp: (difference,) arrays."""

    usable: np.ndarray
    difference: np.ndarray


class _Rates(NamedTuple):
    """The results, filled by the functions below: (time, pixel) each."""

    rate: np.ndarray
    error: np.ndarray
    dq: np.ndarray


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_groups(ramp: np.ndarray, weights: np.ndarray, total: np.ndarray) -> None:
    """Add weights times groups (group, pixel), two groups at a time to save memory traffic."""
    n_groups, n = ramp.shape
    for g in range(0, n_groups - 1, 2):
        w, r = weights[g], ramp[g]
        v, s = weights[g + 1], ramp[g + 1]
        for i in range(n):
            first = np.float64(w[i]) * np.float64(r[i])
            total[i] += first + np.float64(v[i]) * np.float64(s[i])
    if n_groups % 2 == 1:
        w, r = weights[n_groups - 1], ramp[n_groups - 1]
        for i in range(n):
            total[i] += np.float64(w[i]) * np.float64(r[i])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _one(work: _Work, p: float, r: float, readout: Readout, even: bool) -> tuple[float, float]:
    """Return rate and variance of one ramp, in one pass along it.

    With ``C = L diag(pivot) L'``, forward solutions ``z`` and ``y`` of intervals and differences
    suffice: the rate is ``z'y / z'z``, each product over the pivot. With ``even``, the sum of
    usable differences over that of their intervals.
    """
    silent = p == 0.0 and r == 0.0
    off, noise = p * readout.lag - r, 1.0 if silent else 0.0
    z = y = inverse = zz = zy = rise = span = variance = 0.0
    for j in range(work.usable.size):
        if not work.usable[j]:
            inverse = 0.0
            continue
        dt, d = readout.interval[j], work.difference[j]
        own = p * (dt - 2.0 * readout.lag) + 2.0 * r
        rise += d
        span += dt
        variance += own + (2.0 * off if inverse > 0.0 else 0.0)
        link = (off - noise) * inverse
        z = dt - link * z
        y = d - link * y
        inverse = 1.0 / (own + 2.0 * noise - link * (off - noise))
        zz += z * z * inverse
        zy += z * y * inverse
    if not zz > 0.0:
        return np.nan, np.nan
    if even:
        return rise / span, variance / span**2
    return zy / zz, 0.0 if silent else 1.0 / zz


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _refit(
    cubes: _Cubes,
    static: _Static,
    t: int,
    start: int,
    differs: np.ndarray,
    work: _Work,
    out: _Rates,
) -> None:
    """Solve each ramp of a block whose flags are not the usual ones, and correct its results."""
    ramp, dq_group = cubes
    n = work.usable.size
    for k in range(differs.size):
        if differs[k] == 0:
            continue
        i = start + k
        for j in range(n):
            d = np.float64(ramp[t, j + 1, i]) - np.float64(ramp[t, j, i])
            if static.residual.size > 0:
                d -= np.float64(static.residual[j, i])
            good = usable_difference(dq_group[t, j, i], dq_group[t, j + 1, i])
            work.usable[j] = good and np.isfinite(d)
            work.difference[j] = d if work.usable[j] else 0.0
        p, r = static.noise[0, i], static.noise[1, i]
        rate, variance = _one(work, p, r, static.readout, static.even)
        lost = np.isnan(rate)
        out.rate[t, i] = rate
        out.error[t, i] = math.sqrt(variance)
        out.dq[t, i] = (out.dq[t, i] & ~np.uint32(DO_NOT_USE)) | np.uint32(lost)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fit(cubes: _Cubes, static: _Static, out: _Rates) -> None:
    """Fit each block of pixels and integration while it is in the cache."""
    ramp, dq_group = cubes
    n_times, n_groups, n_pixels = ramp.shape
    n = n_groups - 1
    work = _Work(np.empty(n, np.bool_), np.empty(n))
    total = np.empty(BLOCK)
    seen, differs = np.empty(BLOCK, np.uint8), np.empty(BLOCK, np.uint8)
    for start in range(0, n_pixels, BLOCK):
        stop = min(start + BLOCK, n_pixels)
        m = stop - start
        weights, error = static.weights[:, start:stop], static.error[start:stop]
        for t in range(n_times):
            total[:] = 0.0
            seen[:] = 0
            differs[:] = 0
            _add_groups(ramp[t, :, start:stop], weights, total)
            for g in range(n_groups):
                q, usual = dq_group[t, g, start:stop], static.pattern[g, start:stop]
                for i in range(m):
                    seen[i] |= q[i]
                    differs[i] |= (q[i] & np.uint8(UNUSABLE | JUMP)) ^ usual[i]
            rates, errors, flags = (
                out.rate[t, start:stop], out.error[t, start:stop], out.dq[t, start:stop],
            )  # fmt: skip
            for i in range(m):
                lost = not np.isfinite(total[i])
                rates[i] = total[i]
                errors[i] = error[i]
                flags[i] = np.uint32(seen[i] & np.uint8(~DO_NOT_USE)) | np.uint32(lost)
                differs[i] |= np.uint8(lost and not np.isnan(weights[0, i]))
            _refit(cubes, static, t, start, differs[:m], work, out)


def fit(
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

    Returns
    -------
    rate, error : (time, ...) float
        DN s-1; NaN where no difference is usable.
    dq : (time, ...) uint32
        Flags of all groups together, DO_NOT_USE only where ``rate`` is NaN.
    """
    n_times, n_groups, *detector = ramp.shape
    flat = weights.reshape(n_groups, -1)
    shape = (n_times, flat.shape[1])
    cubes = _Cubes(ramp.reshape(n_times, n_groups, -1), dq_group.reshape(n_times, n_groups, -1))
    static = _Static(
        flat, pattern.reshape(n_groups, -1),
        np.sqrt(variance.sum(axis=0)).ravel().astype(weights.dtype), noise.reshape(2, -1),
        np.empty((0, 0), "f4") if residual is None else residual.reshape(n_groups - 1, -1),
        readout, even,
    )  # fmt: skip
    out = _Rates(
        np.empty(shape, weights.dtype), np.empty(shape, weights.dtype), np.empty(shape, np.uint32)
    )
    _fit(cubes, static, out)
    full = (n_times, *detector)
    return out.rate.reshape(full), out.error.reshape(full), out.dq.reshape(full)
