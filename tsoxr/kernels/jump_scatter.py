"""How the differences of a pixel scatter in time, measured without the ramps that may have been hit.

Shapes: ``ramp`` (time, group, pixel) uint16, float32 or float64, a sample of the integrations;
``dq_group`` likewise, uint8.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.ramp_scatter import MAD, median_in_time, point_to_point
from tsoxr.kernels.ramps import JUMP, UNUSABLE, Readout

__all__ = ["FEWEST", "scatter_ratio", "scatter_without_hits"]

FEWEST = 10
"""Values from which a pixel's scatter is measured: among fewer, a hit would hide itself."""

MOST = 64
"""Values after which more would only cost time: scatter known to 12 %."""

SUSPECT = 3.0
"""Sigma above the usual shape of the ramp: noise alone leaves out one difference in 740."""

TOGETHER = 8192
"""Pixels that are worked on together, so that they stay in the caches."""


def scatter_ratio(
    ramp: np.ndarray, dq_group: np.ndarray, noise: np.ndarray, readout: Readout
) -> np.ndarray:
    """Compare the scatter of each pixel in time with the predicted noise.

    Parameters
    ----------
    ramp, dq_group : (time, group, pixel) arrays
        A sample of the integrations.
    noise : (2, pixel) float
        Predicted noise: photon variance per second, read variance of a group.
    readout : Readout
        Timing of the groups.

    Returns
    -------
    (pixel,) float64
        1.4826 times the median of ``|D(t+1) - D(t)| / sqrt(2 V)`` over the group differences
        ``D`` of variance ``V``. Changes from one integration to the next count, so trends and
        transits do not. NaN where fewer than `FEWEST` values are usable.
    """
    found = np.empty(ramp.shape[2])
    for here in _blocks(found.size):
        changes, _ = _changes(ramp[:, :, here], dq_group[:, :, here], noise[:, here], readout)
        found[here] = _ratio(changes)[0]
    return found


def _blocks(n_pixels: int) -> list[slice]:
    return [slice(i, min(i + TOGETHER, n_pixels)) for i in range(0, n_pixels, TOGETHER)]


def _difference(ramp: np.ndarray, dq_group: np.ndarray, t: int | slice, j: int) -> np.ndarray:
    """Return the difference ``j -> j+1`` (..., pixel) float32 of some ramps, NaN if not usable."""
    found: np.ndarray = ramp[t, j + 1].astype(np.float32) - ramp[t, j]
    before, after = dq_group[t, j], dq_group[t, j + 1]
    lost = ((before | after) & UNUSABLE) | (after & JUMP)
    np.copyto(found, np.float32(np.nan), where=lost != 0)
    return found


def _changes(
    ramp: np.ndarray, dq_group: np.ndarray, noise: np.ndarray, readout: Readout
) -> tuple[np.ndarray, np.ndarray]:
    """Return changes of differences over their noise (row, pixel) float32, and (row, 2) which.

    These are integration and difference. Of more than `MOST`, some are chosen evenly.
    """
    n_times, n_groups, n_pixels = ramp.shape
    n_all = (n_times - 1) * (n_groups - 1)
    chosen = np.arange(0, n_all, max((n_all - 1) // MOST + 1, 1))
    which = np.stack(np.divmod(chosen, n_groups - 1), axis=1)
    rows = np.empty((len(which), n_pixels), np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = noise[0] * (readout.interval[:, None] - 2.0 * readout.lag) + 2.0 * noise[1]
        by = (1.0 / np.sqrt(2.0 * variance)).astype(np.float32)
        for row, (t, j) in zip(rows, which, strict=True):
            after, before = (_difference(ramp, dq_group, k, j) for k in (t + 1, t))
            np.multiply(after - before, by[j], out=row)
    return rows, which


def _ratio(changes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the scatter of normalised changes (row, pixel), NaN of few, and their number."""
    n = np.isfinite(changes).sum(axis=0)
    middle = median_in_time(np.abs(changes)) if len(changes) else np.full(n.shape, np.nan)
    return np.where(n >= FEWEST, MAD * middle, np.nan), n


def _rises(ramp: np.ndarray, dq_group: np.ndarray, span: np.ndarray) -> np.ndarray:
    """Return last less first group (time, pixel) float32, DN, NaN where either is not usable."""
    first, last = span.astype(np.int64)
    rise: np.ndarray = _at(ramp, last).astype(np.float32) - _at(ramp, first)
    lost = (_at(dq_group, first) | _at(dq_group, last)) & UNUSABLE
    np.copyto(rise, np.float32(np.nan), where=lost != 0)
    return rise


def _at(cube: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return one group of each pixel (time, pixel); a view where it is the same of all."""
    same: bool = (group == group[0]).all()
    found: np.ndarray = cube[:, group[0]] if same else cube[:, group, np.arange(group.size)]
    return found


def _suspects(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    noise: np.ndarray,
    span: np.ndarray,
    readout: Readout,
) -> np.ndarray:
    """Return which differences may hold a hit (time, difference, pixel), bool.

    Each is compared with its mean over the sample, after the mean of its ramp was taken off: light
    that varies makes no suspects. With one difference there are none.
    """
    n_times, n_groups, n_pixels = ramp.shape
    out = np.zeros((n_times, n_groups - 1, n_pixels), np.bool_)
    if n_groups == 2:
        return out
    time = np.concatenate([[0.0], np.cumsum(readout.interval)])
    first, last = span.astype(np.int64)
    total = time[last] - time[first]
    share = np.where(last - first > 1, 1.0 / np.where(total > 0.0, total, 1.0), np.nan)
    rate = _rises(ramp, dq_group, span) * share.astype(np.float32)
    for j, dt in enumerate(readout.interval):
        left = _difference(ramp, dq_group, slice(None), j) - np.float32(dt) * rate
        used = np.isfinite(left)
        np.copyto(left, np.float32(0.0), where=~used)
        left -= left.sum(axis=0) / np.maximum(used.sum(axis=0), 1).astype(np.float32)
        photon = noise[0] * (dt - 2.0 * readout.lag) * np.maximum(1.0 - dt * share, 0.0)
        with np.errstate(invalid="ignore"):
            cut = (SUSPECT * np.sqrt(photon + 2.0 * noise[1])).astype(np.float32)
            out[:, j] = (left > cut) & used
    return out


def scatter_without_hits(
    ramp: np.ndarray, dq_group: np.ndarray, noise: np.ndarray, span: np.ndarray, readout: Readout
) -> np.ndarray:
    """Measure differences and rises of each pixel without ramps that may have been hit.

    Parameters
    ----------
    ramp, dq_group : (time, group, pixel) arrays
        A sample of the integrations.
    noise : (2, pixel) float
        Predicted noise, as for `scatter_ratio`.
    span : (2, pixel) float
        First and last group that each pixel usually has.
    readout : Readout
        Timing of the groups.

    Returns
    -------
    (5, pixel) float64
        Scatter of the differences over the prediction and number of changes it is from; scatter of
        the rise from first to last group, DN, and number; median rise, DN.
    """
    parts = [
        _of_block(ramp[:, :, i], dq_group[:, :, i], noise[:, i], span[:, i], readout)
        for i in _blocks(ramp.shape[2])
    ]
    return np.concatenate(parts, axis=1)


def _of_block(
    ramp: np.ndarray, dq_group: np.ndarray, noise: np.ndarray, span: np.ndarray, readout: Readout
) -> np.ndarray:
    changes, which = _changes(ramp, dq_group, noise, readout)
    raw = np.fmax(_ratio(changes)[0], 1.0)
    hit = _suspects(ramp, dq_group, noise * raw**2, span, readout)
    t, j = which.T
    changes[hit[t, j] | hit[t + 1, j]] = np.nan
    rise = _rises(ramp, dq_group, span)
    rise[hit.any(axis=1)] = np.nan
    n = np.isfinite(np.diff(rise, axis=0)).sum(axis=0)
    return np.stack([*_ratio(changes), point_to_point(rise), n, median_in_time(rise)])
