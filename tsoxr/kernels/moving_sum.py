"""The weighted sum over an aperture that moves with the light.

Weights and profile are tabulated at a few places of the light across dispersion, the nodes, and
interpolated to the measured place of each integration by Lagrange's cubic through four of
them. For measured shifts the sum stays linear in the data. Axes are (spatial, dispersion).
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.extraction import LEAST_LIGHT, spans_of, verdict
from tsoxr.kernels.layout import time_blocks

__all__ = ["N_NODES", "moving_sum", "nodes_for", "places_between"]

N_NODES = 16
CLOSEST, WIDEST = 1e-3, 0.1
"""Distance of neighbouring nodes, pixels. At 0.05 a Gaussian of 0.6 pixels and the pixel itself are
interpolated to 2e-6 of its light, at 0.1 to 3e-5."""


def nodes_for(shift: np.ndarray) -> np.ndarray:
    """Return the shifts at which weights are tabulated.

    Parameters
    ----------
    shift : (time,) float64
        Shifts of all integrations, pixels; NaN does not count.

    Returns
    -------
    (N_NODES,) float64
        Evenly spaced about the middle of the range; one lies beyond either end of it, unless the
        range is wider than what `WIDEST` allows. Then they lie about the median.
    """
    known = shift[np.isfinite(shift)]
    if known.size == 0:
        known = np.zeros(1)
    distance = max(float(np.ptp(known)) / (N_NODES - 3), CLOSEST)
    middle = 0.5 * (known.min() + known.max())
    if distance > WIDEST:
        distance, middle = WIDEST, float(np.median(known))
    return middle + distance * (np.arange(N_NODES) - 0.5 * (N_NODES - 1))


def places_between(shift: np.ndarray, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where shifts lie between nodes, and the weights of the four nodes about each.

    Parameters
    ----------
    shift : (time,) float64
        Pixels; those beyond the nodes are moved to where the nodes end.
    nodes : (node,) float64
        From `nodes_for`.

    Returns
    -------
    first : (time,) int64
        The first of four nodes.
    share : (time, 4) float64
        Weights of Lagrange's cubic; their sum is 1.
    """
    place = (np.asarray(shift, dtype=np.float64) - nodes[0]) / (nodes[1] - nodes[0])
    place = np.clip(
        np.where(np.isfinite(place), place, 0.5 * (nodes.size - 1)), 1.0, nodes.size - 2.0
    )
    second = np.minimum(place.astype(np.int64), nodes.size - 3)
    t = place - second
    a, b, c = t + 1.0, t - 1.0, t - 2.0
    share = np.stack([-t * b * c / 6.0, a * b * c / 2.0, -a * t * c / 2.0, a * t * b / 6.0], axis=1)
    return second - 1, share


def moving_sum(  # noqa: PLR0913 -- those of `weighted_sum`, and the motion
    data: np.ndarray,
    error: np.ndarray,
    dq: np.ndarray,
    shift: np.ndarray,
    nodes: np.ndarray,
    weight: np.ndarray,
    profile: np.ndarray,
    level_along: np.ndarray,
    level_across: np.ndarray,
    *,
    bits: tuple[int, int, int, int],
    min_fraction: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Extract every integration with the weights of the place of its light.

    Parameters
    ----------
    data, error, dq, level_along, level_across, bits, min_fraction
        As of `tsoxr.kernels.extraction.weighted_sum`.
    shift : (time,) float64
        Place of the light, pixels.
    nodes : (node,) float64
        Places at which the weights are given, evenly spaced.
    weight, profile : (node, spatial, dispersion) float32
        Weights of the pixels, and the data expected in them for a unit of flux.

    Returns
    -------
    flux, flux_error, flags, missing : (time, dispersion)
        As of `weighted_sum`.

    Notes
    -----
    flux = sum_u(w D) / sum_u(w P) over the usable pixels u, with w and P interpolated to the
    place of the light; an error of w costs nothing but noise, one of P scales the flux.
    """
    shape = (data.shape[0], data.shape[2])
    out = (
        np.empty(shape, np.float32), np.empty(shape, np.float32),
        np.empty(shape, np.uint32), np.empty(shape, np.float32),
    )  # fmt: skip
    spans = spans_of(np.abs(weight).max(axis=0))
    lit = np.flatnonzero(spans[:, 1] > 0)
    lines = slice(lit[0], lit[-1] + 1) if lit.size else slice(0, 0)
    tables = tuple(np.ascontiguousarray(a[:, lines], dtype=np.float32) for a in (weight, profile))
    levels = tuple(np.ascontiguousarray(a, dtype=np.float64) for a in (level_along, level_across))
    cubes: tuple[np.ndarray, ...] = data, error, dq
    first_line = lines.start
    if not all(cube.flags.c_contiguous for cube in cubes):  # only what has weight is copied
        cubes, first_line = tuple(cube[:, lines] for cube in cubes), 0
    first, share = places_between(shift, nodes)
    room = np.empty((6, shape[1])), np.empty(shape[1], np.uint32)
    for times, samples in time_blocks(*cubes):
        place = (first[times], share[times], first_line)
        results = tuple(a[times] for a in out)
        limits = (np.array(bits, np.uint32), float(min_fraction))
        _sum(samples, place, tables, spans[lines], levels, limits, room, results)
    return out


@kernel()
def _sum(samples, place, tables, spans, levels, limits, room, out):  # noqa: ANN001, ANN202 -- numba
    """Do the work of `moving_sum`: one pass over the cube, results into ``out``.

    ``place`` holds the first of four nodes, their weights, and the line of the cubes that the
    first line of the tables is; ``room`` the sums of a line of wavelengths.
    """
    data, error, dq = samples
    first, share, line = place
    weight, profile = tables
    bits, min_fraction = limits
    (total, variance, light, whole, summed, replaced), seen = room
    unusable, accepted = bits[0], bits[3]
    n_dispersion = data.shape[2]
    for t in range(data.shape[0]):
        k = first[t]
        a, b = np.float32(share[t, 0]), np.float32(share[t, 1])
        c, d = np.float32(share[t, 2]), np.float32(share[t, 3])
        for x in range(n_dispersion):
            total[x] = variance[x] = light[x] = whole[x] = summed[x] = replaced[x] = 0.0
            seen[x] = 0
        for y in range(spans.shape[0]):
            for x in range(spans[y, 0], spans[y, 1]):
                w = a * weight[k, y, x] + b * weight[k + 1, y, x]
                w += c * weight[k + 2, y, x] + d * weight[k + 3, y, x]
                p = a * profile[k, y, x] + b * profile[k + 1, y, x]
                p += c * profile[k + 2, y, x] + d * profile[k + 3, y, x]
                value, e, q = data[t, line + y, x], error[t, line + y, x], dq[t, line + y, x]
                flagged = (q & unusable) != 0
                lost = flagged and (q & accepted) == 0
                expected = np.float64(w) * p
                whole[x] += expected
                if not lost and abs(value) < np.inf and 0.0 < e < np.inf:
                    light[x] += expected
                    summed[x] += w
                    total[x] += np.float64(w) * value
                    variance[x] += np.float64(w) * w * (np.float64(e) * e)
                    if flagged:
                        replaced[x] += expected
                if w != 0.0:
                    seen[x] |= q
        _finish(t, room, levels, bits, min_fraction, out)


@part()
def _finish(t, room, levels, bits, min_fraction, out):  # noqa: ANN001, ANN202 -- numba infers the types
    """Make the values of one integration from its sums."""
    (total, variance, light, whole, summed, replaced), seen = room
    level_along, level_across = levels
    flux, flux_error, flags, missing = out
    for x in range(seen.size):
        left = light[x] / whole[x] if whole[x] > 0.0 else 0.0
        if left > LEAST_LIGHT:
            own = variance[x] + summed[x] * summed[x] * level_across[x]
            flux[t, x] = total[x] / light[x]
            flux_error[t, x] = np.sqrt(own / (light[x] * light[x]) + level_along[x])
        else:
            left = 0.0
            flux[t, x] = np.nan
            flux_error[t, x] = np.nan
        measured = left - replaced[x] / whole[x] if left > 0.0 else 0.0
        flags[t, x] = (seen[x] & ~bits[0]) | verdict(left, measured, bits, min_fraction)
        missing[t, x] = 1.0 - measured if measured < 1.0 else 0.0
