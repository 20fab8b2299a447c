"""Cosmic-ray hits, found by comparing each group difference with its neighbours in time.

A transit changes a group difference by less than a percent from one integration to the next,
a hit by many sigma; so the same difference in the neighbouring integrations, scaled by the light
of the star, tells what to expect (`jump_expectation`), even where a ramp has two groups only,
and however the response bends (after Nikolov et al. 2014, MNRAS 437, 46, who compared
whole frames). How far a ramp lies from this expectation is judged with the full covariance of
its differences (`jump_filter`).

A first look at all samples (`jump_look`) leaves few ramps. These are tested exactly: the largest score above the threshold is a hit, its difference is left
out, and the rest is tested again. Neighbours and after-effects are in `jump_events`.

Shapes: ``ramp`` (time, group, y, x) uint16, float32 or float64; ``dq_group`` likewise, uint8;
``static`` (6, y, x). Groups that are NaN count as flagged.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels import jump_events as events
from tsoxr.kernels.jump_data import LAYERS, Data, Rule, window_bounds
from tsoxr.kernels.jump_light import light_curves
from tsoxr.kernels.jump_look import look
from tsoxr.kernels.ramps import Readout

__all__ = ["LAYERS", "Rule", "find", "window_bounds"]


def find(
    ramp: np.ndarray,
    dq_group: np.ndarray,
    static: np.ndarray,
    lines: np.ndarray,
    *,
    readout: Readout,
    rule: Rule,
    rows: tuple[int, int] | None = None,
) -> np.ndarray:
    """Flag the group differences that stick out from their neighbours in time.

    Parameters
    ----------
    ramp : (time, group, y, x) uint16 or float
        Groups, DN.
    dq_group : (time, group, y, x) uint8
        Flags of the groups.
    static : (6, y, x) float
        The layers `LAYERS`. Where the noise is NaN or 0, every difference is taken for good.
    lines : (y, x) int
        Line of constant wavelength of each pixel, 0 throughout where there is none.
    readout : Readout
        Timing of the groups.
    rule : Rule
        Window and thresholds.
    rows : (first, last), optional
        Search these integrations only; the others serve as neighbours.

    Returns
    -------
    dq_group : (last - first, group, y, x) uint8
        With JUMP_DET on the group in which the extra charge first appears.
    """
    n_times, n_groups, ny, nx = ramp.shape
    first, last = (0, n_times) if rows is None else rows
    cube, flags = ramp.reshape(n_times, n_groups, -1), dq_group.reshape(n_times, n_groups, -1)
    flat = np.ascontiguousarray(static.reshape(len(LAYERS), -1), dtype=np.float64)
    light, bins = light_curves(cube, flags, flat, lines.ravel(), readout)
    data = Data(cube, flags, flat, light, bins, readout, rule)
    marked = flags.copy()
    candidates = look(data, max(first - rule.after_integrations, 0), last)
    hits, sizes = events.grow(data, marked, nx, *events.find_in_ramps(data, marked, candidates))
    if rule.expand > 0.0:
        events.expand_large(data, marked, nx, hits)
    events.after_hits(data, marked, hits, sizes)
    out = marked if rows is None else marked[first:last].copy()  # without the neighbours
    return out.reshape(last - first, n_groups, ny, nx)
