"""What the background pixels depart from the scene, as input of a model of the whole clock."""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.stripes import line_levels, relative_light

__all__ = ["clock_residuals"]


@numba.njit(cache=True, nogil=True)
def _fill(ramp, design, clock, bright, levels, base, edges, limit, out):  # noqa: ANN001, ANN202 -- numba
    n_time, n_group, n_slow, _ = ramp.shape
    start, rise, wing, usable = design[0], design[1], design[2], design[3]
    n_bright = bright.shape[1]
    for t in range(n_time):
        excess = relative_light(ramp[t, 0], ramp[t, n_group - 1], rise, bright, n_bright) - 1.0
        for s in range(n_slow):
            for o in range(edges.size - 1):
                for f in range(edges[o], edges[o + 1]):
                    if usable[s, f] <= 0:
                        continue
                    light = start[s, f] + clock[1, 0] * excess * wing[s, f]
                    first = np.float32(ramp[t, 0, s, f]) - light
                    far = abs(first - levels[t, 0, s, o]) > limit[0, s]
                    out[t, 0, s, f] = np.nan if far else first - base[0, s, o]
                    for g in range(1, n_group):
                        light = start[s, f] + clock[0, g] * rise[s, f]
                        light += clock[1, g] * excess * wing[s, f]
                        value = np.float32(ramp[t, g, s, f]) - light - first
                        far = abs(value - levels[t, g, s, o] + levels[t, 0, s, o]) > limit[1, s]
                        level = base[g, s, o] - base[0, s, o]
                        out[t, g, s, f] = np.nan if far else value - level


def clock_residuals(
    ramp: np.ndarray,
    design: np.ndarray,
    group_time: np.ndarray,
    baseline: np.ndarray,
    *,
    edges: np.ndarray,
) -> np.ndarray:
    """Return what the background departs from the scene: first groups, and rises from them.

    Parameters
    ----------
    ramp, design, group_time, edges
        As for `tsoxr.kernels.stripes.line_levels`.
    baseline : (group, slow, output) float
        Level of each line that does not vary in time, DN.

    Returns
    -------
    (time, group, slow, fast) float32
        DN. First group: the departure from the median first group; other groups: that of the
        rise from the pixel's own first group, free of its reset noise. NaN for values farther
        from the level of their line than the clipping distance, 0 for pixels of no use.
    """
    levels, _ = line_levels(ramp, design, group_time, edges=edges)
    rising = len(group_time) > 1
    span = group_time[-1] - group_time[0] if rising else 1.0
    clock = np.stack([group_time - group_time[0], group_time]) / span * rising
    bright = np.stack(np.nonzero(design[4]))
    limit = np.ascontiguousarray(design[5:7, :, 0]).astype(np.float64)
    limit[limit <= 0] = np.inf
    out = np.zeros(ramp.shape, np.float32)
    _fill(ramp, design, clock, bright, levels, np.asarray(baseline), edges, limit, out)
    return out
