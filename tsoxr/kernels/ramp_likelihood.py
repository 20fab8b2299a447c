"""Ramps fitted with a covariance of their own, and hits found by what chi-squared gains.

Jump search and slope follow Brandt (2024, PASP 136, 045004 and 045005), adapted to a time
series: hits are searched for with the covariance at the pixel's median rate over the exposure,
which a hit cannot raise, and whose factors serve all integrations. The rate found then
sets the covariance of the final fit of each ramp. As its guess is a generalised least squares
estimate itself, the bias of weights that are correlated with the data vanishes to first order.

Most ramps are searched and fitted side by side, a block of pixels at a time. Those in
which something may have to be left out, and those with other flags than the pixel usually
has, are solved one by one (`tsoxr.kernels.ramp_search`).

Shapes: ``ramp`` (time, group, ...) uint16 or float; ``dq_group`` likewise, uint8; trailing axes
are pixels. Samples that are NaN or infinite count as flagged. All arithmetic is in float64.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from tsoxr.kernels.ramp_blocks import N_WORK, Data, load, refine, screen
from tsoxr.kernels.ramp_factors import block_width, usable_rows
from tsoxr.kernels.ramp_search import Thresholds, Work, fit_one, search_one, workspace
from tsoxr.kernels.ramps import DO_NOT_USE, JUMP, Readout, usable_difference

__all__ = ["Fits", "Thresholds", "find_jumps", "fit", "thresholds"]

NONE = Thresholds(np.inf, np.inf)
"""No search."""


def thresholds(sigma: float) -> Thresholds:
    """Return the drops of chi-squared that chance reaches as seldom as ``sigma``.

    Parameters
    ----------
    sigma : float
        Two-sided, in standard deviations of a Gaussian; 4.5 gives 20.25 for one difference
        and 23.8 for two.
    """
    # chi-squared of 2 degrees of freedom exceeds x with probability exp(-x / 2)
    tail = math.erfc(sigma / math.sqrt(2.0))
    return Thresholds(sigma**2, -2.0 * math.log(tail) if tail > 0.0 else np.inf)


class Fits(NamedTuple):
    """Results (time, ...): DN s-1, DN s-1, flags, differences left out, differences used, chi2."""

    rate: np.ndarray
    error: np.ndarray
    dq: np.ndarray
    n_jumps: np.ndarray
    n_used: np.ndarray
    chi2: np.ndarray


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _take(data: Data, t: int, i: int, work: Work) -> int:
    """Copy one ramp into the work space; return its number of usable differences."""
    n_usable = 0
    for j in range(work.usable.size):
        d = np.float64(data.ramp[t, j + 1, i]) - np.float64(data.ramp[t, j, i])
        if data.residual.size > 0:
            d -= np.float64(data.residual[j, i])
        good = usable_difference(data.dq_group[t, j, i], data.dq_group[t, j + 1, i])
        work.difference[j] = d
        work.usable[j] = good and np.isfinite(d)
        n_usable += work.usable[j]
    return n_usable


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _flag_others(data: Data, other: np.ndarray, flags: np.ndarray) -> None:
    """Search the ramps that must be looked at singly, and set JUMP in ``flags``."""
    n_times, n_groups, n_pixels = data.ramp.shape
    work = workspace(n_groups - 1)
    for t in range(n_times):
        for i in range(n_pixels):
            if other[t, i] == 0:
                continue
            _take(data, t, i, work)
            usable = work.usable.copy()
            search_one(work, data.noise[0, i], data.noise[1, i], data.readout, data.rule)
            for j in range(n_groups - 1):
                if usable[j] != work.usable[j]:
                    flags[t, j + 1, i] |= np.uint8(JUMP)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fit_singly(
    data: Data, detector: np.ndarray, other: np.ndarray, at: tuple[int, int], work: Work, out: Fits
) -> None:
    """Search and fit the ramps of a block that must be looked at singly."""
    t, start = at
    for k in range(other.size):
        if other[k] == 0:
            continue
        i = start + k
        n_usable = _take(data, t, i, work)
        r = data.noise[1, i]
        rate, n_out = search_one(work, data.noise[0, i], r, data.readout, data.rule)
        p = max(rate + detector[1, i], 0.0) * detector[0, i]
        rate, variance, chi2 = fit_one(work, p, r, data.readout)
        lost = np.isnan(rate)
        out.rate[t, i], out.error[t, i], out.chi2[t, i] = rate, math.sqrt(variance), chi2
        out.n_jumps[t, i] = n_out
        out.n_used[t, i] = 0 if lost else n_usable - n_out
        out.dq[t, i] |= np.uint32(DO_NOT_USE if lost else 0) | np.uint32(JUMP if n_out > 0 else 0)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _write(
    data: Data,
    work: np.ndarray,
    rate: np.ndarray,
    n_used: np.ndarray,
    at: tuple[int, int, int],
    out: Fits,
) -> None:
    """Write the results of a block as if all its ramps were usual."""
    t, start, stop = at
    zz, zy, yy = work[0], work[1], work[2]
    rates, errors, chi2 = out.rate[t, start:stop], out.error[t, start:stop], out.chi2[t, start:stop]
    used, jumps, flags = (
        out.n_used[t, start:stop],
        out.n_jumps[t, start:stop],
        out.dq[t, start:stop],
    )
    for k in range(rates.size):
        rates[k] = rate[k] + zy[k] / zz[k]
    for k in range(rates.size):
        errors[k] = 1.0 / math.sqrt(zz[k])
    for k in range(rates.size):
        chi2[k] = yy[k] - zy[k] * zy[k] / zz[k]
    for k in range(rates.size):
        used[k] = n_used[k]
    jumps[:] = 0
    flags[:] = 0
    for g in range(data.ramp.shape[1]):
        q = data.dq_group[t, g, start:stop]
        for k in range(flags.size):
            flags[k] |= np.uint32(q[k] & np.uint8(~DO_NOT_USE))


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _own_noise(
    light: np.ndarray, r: np.ndarray, detector: np.ndarray, start: int, terms: np.ndarray, m: int
) -> None:
    """Fill photon variance, read variance and rate of a block from the rates of its ramps."""
    p, read, rate = terms[0], terms[1], terms[2]
    per_dn, dark = detector[0, start : start + m], detector[1, start : start + m]
    for k in range(m):
        rate[k] = light[k]
        read[k] = r[k]
    for k in range(m):
        p[k] = max(0.0, rate[k] + dark[k]) * per_dn[k]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _fit(data: Data, detector: np.ndarray, other: np.ndarray, out: Fits) -> None:
    """Refine the rates of all ramps; those that are marked in ``other`` one by one."""
    n_times, n_groups, n_pixels = data.ramp.shape
    n = n_groups - 1
    width = block_width(n, n_pixels)
    d, used, work = np.empty((n, width)), np.empty((n, width)), np.empty((N_WORK, width))
    terms, n_used, one = np.empty((3, width)), np.empty(width), workspace(n)
    p, r, rate, zz = terms[0], terms[1], terms[2], work[0]
    for start in range(0, n_pixels, width):
        stop = min(start + width, n_pixels)
        m = stop - start
        usable_rows(data.pattern, start, used, m)
        n_used[:] = 0.0
        for j in range(n):
            use = used[j]
            for k in range(m):
                n_used[k] += use[k]
        for t in range(n_times):
            _own_noise(
                out.rate[t, start:stop], data.noise[1, start:stop], detector, start, terms, m
            )
            load(data, t, start, d, m)
            refine(d, used, terms, data.readout, work, m)
            _write(data, work, rate, n_used, (t, start, stop), out)
            others = other[t, start:stop]
            for k in range(m):
                fine = p[k] + r[k] > 0.0 and zz[k] > 0.0
                others[k] |= np.uint8(0 if fine else 1)
            _fit_singly(data, detector, others, (t, start), one, out)


def _data(
    ramp: np.ndarray, dq_group: np.ndarray, noise: np.ndarray, pattern: np.ndarray | None,
    residual: np.ndarray | None, readout: Readout, rule: Thresholds,
) -> Data:  # fmt: skip
    """Return the arrays with their pixels along one axis."""
    n_times, n_groups, *detector = ramp.shape
    flat = (n_groups, int(np.prod(detector)))
    usual = np.zeros(flat, np.uint8) if pattern is None else pattern.reshape(flat)
    static = np.empty((0, 0), np.float32) if residual is None else residual
    return Data(
        ramp.reshape(n_times, *flat), dq_group.reshape(n_times, *flat), usual,
        np.ascontiguousarray(noise.reshape(2, -1), dtype=np.float64),
        static if residual is None else static.reshape(n_groups - 1, -1), readout, rule,
    )  # fmt: skip


def find_jumps(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    noise: np.ndarray,
    *,
    readout: Readout,
    rule: Thresholds,
    pattern: np.ndarray | None = None,
    residual: np.ndarray | None = None,
) -> np.ndarray:
    """Flag the differences that chi-squared is better off without.

    Parameters
    ----------
    ramp : (time, group, ...) uint16 or float
        Groups, DN; trailing axes are pixels.
    dq_group : (time, group, ...) uint8
        Flags of the groups; not changed.
    noise : (2, ...) float
        Photon variance per second at the median rate of the pixel, DN2 s-1, 0 included, and
        read variance of a group, DN2.
    readout : Readout
        Timing of the groups.
    rule : Thresholds
        From `thresholds`.
    pattern : (group, ...) uint8, optional
        Flags that the pixel usually has: ramps that have them are searched faster. The
        result does not depend on it.
    residual : (group - 1, ...) float, optional
        What to subtract from the differences, DN.

    Returns
    -------
    (time, group, ...) uint8
        A copy of ``dq_group`` with JUMP_DET set on the later group of each difference that
        was left out. Of two usable differences, the larger one has the hit; of one, nothing
        can be said. Two in a row are tried where four or more are usable.
    """
    flags = dq_group.copy()
    if ramp.shape[1] > 2 and flags.size:
        data = _data(ramp, dq_group, noise, pattern, residual, readout, rule)
        shape = (ramp.shape[0], data.noise.shape[1])
        rate, other = np.empty(shape, np.float32), np.empty(shape, np.uint8)
        screen(data, rate, other)
        _flag_others(data, other, flags.reshape(data.dq_group.shape))
    return flags


def fit(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    noise: np.ndarray,
    detector: np.ndarray,
    pattern: np.ndarray,
    residual: np.ndarray | None = None,
    *,
    readout: Readout,
    rule: Thresholds = NONE,
    dtype: str = "f4",
) -> Fits:
    """Search all ramps for hits and fit each with the covariance of its own rate.

    Parameters
    ----------
    ramp, dq_group, noise, readout, rule
        As for `find_jumps`; without ``rule`` there is no search.
    detector : (2, ...) float
        Photon variance per DN of signal, 1 / gain, DN, and rate of a dark signal that was
        subtracted, DN s-1.
    pattern : (group, ...) uint8
        Flags that the pixel usually has.
    residual : (group - 1, ...) float, optional
        What to subtract from the differences, DN.
    dtype : str
        Type of the results; the arithmetic is in float64.

    Returns
    -------
    Fits
        ``rate`` and ``error`` of type ``dtype``, NaN without a usable difference; ``dq`` uint32 with
        the flags of all groups, JUMP_DET where hits were found, and DO_NOT_USE only where
        ``rate`` is NaN; ``n_jumps`` and ``n_used`` uint16; ``chi2``, NaN where the predicted
        noise is zero.
    """
    n_times, _, *sizes = ramp.shape
    data = _data(ramp, dq_group, noise, pattern, residual, readout, rule)
    shape = (n_times, data.pattern.shape[1])
    out = Fits(
        np.empty(shape, dtype), np.empty(shape, dtype), np.empty(shape, "u4"),
        np.empty(shape, "u2"), np.empty(shape, "u2"), np.empty(shape, dtype),
    )  # fmt: skip
    if out.rate.size:
        other = np.empty(shape, np.uint8)
        terms = np.ascontiguousarray(detector.reshape(2, -1), dtype=np.float64)
        screen(data, out.rate, other)
        _fit(data, terms, other, out)
    return Fits(*[values.reshape(n_times, *sizes) for values in out])
