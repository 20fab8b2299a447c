"""The signal that decays after each reset, found from pixels without light of the star.

The level of these pixels at time t since reset is

    L_p(t) = a_p + r t + S_p(t),    p the parity of the row,

with sky and dark r and a decay S_p that is common to the pixels of a parity. Slope and decay
look alike over a few groups. They are told apart by the difference of the parities, in which
there is no sky: if the decay has the same course in both, S_0 - S_1 is proportional to S_p, and
the least squares of L_0 on 1, t and L_1 - L_0 gives r whatever the course is. Where the parities
do not differ, the course is taken for an exponential. The first and the last group, which have
offsets of their own, take no part in the fit; given r, their signal is what lies off the line.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.small import median_of_many

__all__ = ["FEWEST_GROUPS", "decay_of_levels", "parity_levels"]

FEWEST_GROUPS = 6
"""The fit has three unknowns, and the groups at both ends take no part in it."""

SIGNIFICANT = 8.0
"""The parities differ where their difference varies by so many of its errors."""

N_DECAYS = 48


@numba.njit(cache=True, nogil=True)
def parity_levels(ramp, usable, parity):  # noqa: ANN001, ANN201 -- numba
    """Return the median of the usable pixels of each parity.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        Counts; NaN is passed over.
    usable : (y, x) bool
        Pixels without light.
    parity : (y, x) int
        0 or 1.

    Returns
    -------
    (time, group, parity) float64
        NaN where there is no pixel.
    """
    n_time, n_group, n_y, n_x = ramp.shape
    out = np.full((n_time, n_group, 2), np.nan)
    values = np.empty((2, n_y * n_x))
    for t in range(n_time):
        for g in range(n_group):
            n = np.zeros(2, np.int64)
            for y in range(n_y):
                for x in range(n_x):
                    value = np.float64(ramp[t, g, y, x])
                    if usable[y, x] and np.isfinite(value):
                        p = parity[y, x]
                        values[p, n[p]] = value
                        n[p] += 1
            for p in range(2):
                if n[p] > 0:
                    out[t, g, p] = median_of_many(values[p], n[p])
    return out


def decay_of_levels(levels: np.ndarray, times: np.ndarray, *, starts: bool) -> np.ndarray:
    """Return the signal that decays after reset.

    Parameters
    ----------
    levels : (time, group, parity) float
        From `parity_levels`, of a sample of the integrations; those with NaN are passed over.
    times : (group,) float
        Time since reset, s; `FEWEST_GROUPS` or more.
    starts : bool
        The first of ``levels`` is the first integration of the exposure, whose signal has
        another size. It takes no part in the estimate for the others.

    Returns
    -------
    (2, group, parity) float32
        DN, in the first and in all later integrations; 0 in the last but one group, as a
        constant cannot be told from the bias. 0 throughout where no integration has levels.
    """
    known = np.isfinite(levels).all(axis=(1, 2))
    starts, levels = starts and bool(known[0]), levels[known]
    n_time, n_group, _ = levels.shape
    out = np.zeros((2, n_group, 2))
    if n_time == 0:
        return out.astype(np.float32)
    later = levels[1:] if starts and n_time > 1 else levels
    # offsets of whole integrations (reset noise, pedestal) leave before the median
    usual = np.median(later - later.mean(axis=1, keepdims=True), axis=0)
    error = _error_of_difference(later)
    inner = slice(1, n_group - 1)
    slope = _slope(usual[inner], times[inner], error)
    straight = usual - slope * times[:, None]
    out[:] = straight - straight[n_group - 2]
    if starts and n_time > 1:
        out[0] = _first(levels[0] - slope * times[:, None], out[1], inner)
    return out.astype(np.float32)


def _error_of_difference(levels: np.ndarray) -> float:
    """Return the error of the median difference of the parities in one group, DN."""
    difference = levels[..., 1] - levels[..., 0]
    difference = difference - difference.mean(axis=1, keepdims=True)
    if difference.shape[0] < 3:
        return np.inf
    return float(1.2533 * difference.std(axis=0).mean() / np.sqrt(difference.shape[0]))


def _slope(usual: np.ndarray, times: np.ndarray, error: float) -> float:
    """Return the slope of the light, DN s-1, below the decay (group, parity)."""
    difference = usual[:, 1] - usual[:, 0]
    if np.ptp(difference) > SIGNIFICANT * error:
        return float(_solve(usual[:, 0], times, difference)[0][1])
    mean = usual.mean(axis=1)
    reach = times[-1] - times[0]
    decays = np.geomspace(0.15 * reach / len(times), 0.5 * reach, N_DECAYS)
    fits = [_solve(mean, times, np.exp(-(times - times[0]) / decay)) for decay in decays]
    return float(min(fits, key=lambda fit: fit[1])[0][1])


def _solve(values: np.ndarray, times: np.ndarray, course: np.ndarray) -> tuple[np.ndarray, float]:
    """Return constant, slope and size of the course, and the sum of squared residuals."""
    design = np.stack([np.ones_like(times), times, course], axis=1)
    found = np.linalg.lstsq(design, values, rcond=None)[0]
    return found, float(((design @ found - values) ** 2).sum())


def _first(straight: np.ndarray, usual: np.ndarray, inner: slice) -> np.ndarray:
    """Return the signal of the first integration: one size of the usual course.

    One integration is too noisy for a course of its own, except at both ends.
    """
    course = usual[inner] - usual[inner].mean(axis=0)
    values = straight[inner] - straight[inner].mean(axis=0)
    power = (course**2).sum()
    size = (course * values).sum() / power if power > 0 else 1.0
    offset = (straight[inner] - size * usual[inner]).mean(axis=0)
    out = size * usual
    for end in (0, -1):
        out[end] = straight[end] - offset
    return out
