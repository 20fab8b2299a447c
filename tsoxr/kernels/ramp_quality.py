"""How well a straight ramp describes the data: differences used, chi-squared, pedestal.

Chi-squared is that of the residuals about a given rate ``a``, for the covariance ``C`` of
`tsoxr.kernels.ramps`: ``r' C^-1 r``, ``r = D - a dt``. About the rate of generalised least
squares it is the smallest possible, with one degree of freedom less than differences.

The pedestal is the signal at the time from which group times are counted. With ``f`` the first
usable group, its best linear estimate from ``R_f`` and the residuals is::

    R_f - a t_f - (p s - r_f) (C^-1 r)_f

because the noise of ``R_f`` is correlated with the difference that starts there, and with
no other; the last term is absent where that difference is not used.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from tsoxr.kernels.ramp_search import Work, factorize, solve, workspace
from tsoxr.kernels.ramps import JUMP, UNUSABLE, Readout, usable_difference

__all__ = ["Quality", "quality"]


class Quality(NamedTuple):
    """Arrays (time, ...): differences used, chi-squared, signal at time 0 in DN."""

    n_used: np.ndarray
    chi2: np.ndarray
    pedestal: np.ndarray


class _Ramps(NamedTuple):
    """What is looked at: (time, group, pixel), (2, pixel) and (difference, pixel) arrays."""

    ramp: np.ndarray
    dq_group: np.ndarray
    noise: np.ndarray
    residual: np.ndarray


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _load(
    ramps: _Ramps, t: int, i: int, work: Work, groups: np.ndarray, before: np.ndarray
) -> bool:
    """Fill one ramp; return whether the factors in ``work`` hold for it still.

    ``before`` are the usable differences that the factors were made for.
    """
    same = True
    groups[0] = ramps.ramp[t, 0, i]
    for j in range(work.usable.size):
        groups[j + 1] = ramps.ramp[t, j + 1, i]
        d = groups[j + 1] - groups[j]
        if ramps.residual.size > 0:
            d -= np.float64(ramps.residual[j, i])
        good = usable_difference(ramps.dq_group[t, j, i], ramps.dq_group[t, j + 1, i])
        good = good and np.isfinite(d)
        work.usable[j] = good
        work.difference[j] = d if good else 0.0
        same = same and good == before[j]
    return same


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _first_group(ramps: _Ramps, t: int, i: int, groups: np.ndarray) -> int:
    """Return the first usable group before any hit, -1 if there is none."""
    for g in range(groups.size):
        flags = ramps.dq_group[t, g, i]
        if flags & JUMP:
            return -1
        if flags & UNUSABLE == 0 and np.isfinite(groups[g]):
            return g
    return -1


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _all(ramps: _Ramps, rate: np.ndarray, time: np.ndarray, readout: Readout, out: Quality) -> None:
    n_times, n_groups, n_pixels = ramps.ramp.shape
    n = n_groups - 1
    work, groups, before = workspace(n), np.empty(n_groups), np.zeros(n, np.bool_)
    for i in range(n_pixels):
        p, r = ramps.noise[0, i], ramps.noise[1, i]
        silent = p == 0.0 and r == 0.0
        for t in range(n_times):
            a = np.float64(rate[t, i])
            if not _load(ramps, t, i, work, groups, before) or t == 0:
                factorize(work, p, 1.0 if silent else r, readout)
                before[:] = work.usable
            n_used = 0
            for j in range(n):
                n_used += work.usable[j]
                expected = a * readout.interval[j]
                work.q[j] = work.difference[j] - expected if work.usable[j] else 0.0
                work.difference[j] = work.q[j]
            solve(work, work.q)
            chi2 = 0.0
            for j in range(n):
                chi2 += work.q[j] * work.difference[j]
            lost = np.isnan(a)
            out.n_used[t, i] = 0 if lost else n_used
            out.chi2[t, i] = np.nan if lost or silent else chi2
            if out.pedestal.size > 0:
                f = _first_group(ramps, t, i, groups)
                out.pedestal[t, i] = np.nan
                if f >= 0:
                    tied = work.q[f] if f < n and work.usable[f] else 0.0
                    out.pedestal[t, i] = groups[f] - a * time[f] - (p * readout.lag - r) * tied


def quality(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    rate: np.ndarray,
    noise: np.ndarray,
    residual: np.ndarray | None = None,
    *,
    readout: Readout,
    group_time: np.ndarray | None = None,
) -> Quality:
    """Judge fitted ramps.

    Parameters
    ----------
    ramp : (time, group, ...) uint16 or float
        Groups, DN; trailing axes are pixels.
    dq_group : (time, group, ...) uint8
        Flags of the groups, with the hits that a fit may have found.
    rate : (time, ...) float
        Fitted rates, DN s-1.
    noise : (2, ...) float
        Photon variance per second, DN2 s-1, and read variance of a group, DN2.
    residual : (group - 1, ...) float, optional
        What was subtracted from the differences, DN.
    readout : Readout
        Timing of the groups.
    group_time : (group,) float, optional
        Mean times of the groups, s: the pedestal is wanted too.

    Returns
    -------
    Quality
        ``n_used`` uint16, ``chi2`` float of the type of ``rate``, NaN without a rate or without
        noise, and ``pedestal`` likewise, NaN where a hit precedes the first usable group; of
        size 0 without ``group_time``.
    """
    n_times, n_groups, *sizes = ramp.shape
    flat = (n_times, int(np.prod(sizes)))
    time = np.zeros(n_groups) if group_time is None else np.asarray(group_time, dtype=np.float64)
    wanted = flat if group_time is not None else (0, 0)
    out = Quality(
        np.empty(flat, np.uint16), np.empty(flat, rate.dtype), np.empty(wanted, rate.dtype)
    )
    ramps = _Ramps(
        ramp.reshape(n_times, n_groups, -1),
        dq_group.reshape(n_times, n_groups, -1),
        np.ascontiguousarray(noise.reshape(2, -1), dtype=np.float64),
        np.empty((0, 0), "f4") if residual is None else residual.reshape(n_groups - 1, -1),
    )
    _all(ramps, rate.reshape(flat), time, readout, out)
    shape = (n_times, *sizes)
    pedestal = out.pedestal.reshape(shape) if group_time is not None else out.pedestal
    return Quality(out.n_used.reshape(shape), out.chi2.reshape(shape), pedestal)
