"""The scene behind stripes in every usable pixel: light, how it rises, and its noise.

Pixels on the spectrum measure their line as well, if what the star's light does to them is
solved for and their noise is known. All of it is static and comes from a sample of the
integrations, so that every level is a fixed linear function of the data.
"""

from __future__ import annotations

from itertools import pairwise

import numba
import numpy as np

from tsoxr.kernels.light import DARKEST_PERCENT, distance_from_light
from tsoxr.kernels.medians import median_in_time, percentile_of_seen, variance_in_time
from tsoxr.kernels.stripe_design import LAYERS, DesignOptions
from tsoxr.kernels.stripes import line_levels, subtract_levels

__all__ = ["SCENE", "scene_layers", "terms_of_groups"]

SCENE = ("curve", "star", "usable", "noise", "photon", "model")
"""Bend of the median ramp and star's light in its rise, DN; whether a pixel is used; and the
variance of a rise, DN2: of the read-out, of the photons, of what the model does not follow."""

TO_SIGMA = 1.4826
CLIP = 4.0
"""Samples farther than this from the median, in robust standard deviations, are hits."""

NOISY = 3.0
"""Pixels that scatter by more than this over the noise of pixels of their brightness are left out."""

OFTEN = 0.1
"""Pixels with unusable groups in more than this part of the integrations are left out."""

N_BINS = 24
"""Steps in brightness of the noise model."""


def scene_layers(
    ramp: np.ndarray,
    unusable: np.ndarray,
    good: np.ndarray,
    design: np.ndarray,
    clock: np.ndarray,
    mask: np.ndarray | None,
    options: DesignOptions,
    distance: np.ndarray | None = None,
) -> np.ndarray:
    """Derive light, bend and noise of each pixel from a sample of the integrations.

    Parameters
    ----------
    ramp : (time, 3, y, x) number
        First, middle and last group, DN.
    unusable : (time, y, x) bool
        Where one of them is saturated and the like.
    good : (y, x) bool
        Pixels to trust.
    design : (layer, y, x) float32
        `tsoxr.kernels.stripe_design.LAYERS`.
    clock : (3,) float
        Times of the three groups.
    mask : (y, x) bool or None
        Pixels that may measure the stripes.
    options : DesignOptions
        As for the design.
    distance : (y, x) float, optional
        How far each pixel is from the light, where it is known.

    Returns
    -------
    (layer, y, x) float32
        See `SCENE`.
    """
    start, rise = design[0].astype(np.float64), design[1].astype(np.float64)
    background = design[3] > 0
    often = unusable.mean(axis=0) > OFTEN
    usable = good & ~often & np.isfinite(start) & np.isfinite(rise)
    usable &= mask if mask is not None else background | _near(rise, good, options, distance)
    star = np.nan_to_num(rise - _sky(rise, background, options))
    change = np.empty((len(ramp), *ramp.shape[2:]), np.float32)
    bend = np.empty_like(change)
    u = (clock[1] - clock[0]) / (clock[2] - clock[0])
    _rise_and_bend(ramp, np.float32(u), change, bend)
    curve = np.zeros_like(start)
    if 0.0 < u < 1.0:
        curve = np.where(usable, median_in_time(bend) / (u * (1.0 - u)), 0.0)
    del bend
    usable &= np.isfinite(curve)
    scatter = _scatter(change, rise, star, background, design[4] > 0, options)
    noise, photon, model = _noise_model(star, scatter, usable)
    expected = noise + photon * np.maximum(star, 0.0) + model * star**2
    usable &= scatter <= NOISY**2 * expected
    light = np.maximum(star, 0.0)
    parts = (np.full_like(start, noise), photon * light, model * star**2)
    return np.nan_to_num(np.stack([curve, star, usable, *parts])).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _rise_and_bend(ramp, u, change, bend):  # noqa: ANN001, ANN202 -- numba
    """Fill rise from the first to the last group, and what the middle one departs from it."""
    for t in range(change.shape[0]):
        for y in range(change.shape[1]):
            a, b, c = ramp[t, 0, y], ramp[t, 1, y], ramp[t, 2, y]
            for x in range(change.shape[2]):
                rise = np.float32(c[x]) - np.float32(a[x])
                change[t, y, x] = rise
                bend[t, y, x] = np.float32(b[x]) - np.float32(a[x]) - u * rise


@numba.njit(cache=True, nogil=True)
def _subtract_scene(change, rise, excess, star):  # noqa: ANN001, ANN202 -- numba
    for t in range(change.shape[0]):
        e = np.float32(excess[t])
        for y in range(change.shape[1]):
            for x in range(change.shape[2]):
                change[t, y, x] -= rise[y, x] + e * star[y, x]


def _near(
    light: np.ndarray, good: np.ndarray, options: DesignOptions, distance: np.ndarray | None
) -> np.ndarray:
    """Return the pixels of the star's own spectrum; other sources do not follow its light."""
    if distance is not None:
        return distance <= options.half_width
    turn = (lambda a: a) if options.spatial_axis == 0 else np.transpose
    far = distance_from_light(turn(light), turn(good), point_source=options.point_source)
    return turn(far) <= options.half_width


def _sky(rise: np.ndarray, background: np.ndarray, options: DesignOptions) -> np.ndarray:
    """Return the darkest tenth of the background at each position along the spectrum."""
    axis = options.spatial_axis
    seen = background.any(axis=axis, keepdims=True)
    sky = percentile_of_seen(rise, background, DARKEST_PERCENT, axis)
    return np.where(seen, sky, np.median(sky[seen]) if seen.any() else 0.0)


def _scatter(
    change: np.ndarray,
    rise: np.ndarray,
    star: np.ndarray,
    background: np.ndarray,
    bright: np.ndarray,
    options: DesignOptions,
) -> np.ndarray:
    """Return the variance in time of each pixel's rise, without light curve and stripes, DN2."""
    light = change[:, bright].sum(axis=1, dtype=np.float64) / max(rise[bright].sum(), 1e-30)
    excess = light - 1.0 if bright.any() else np.zeros(len(change))
    left = change
    _subtract_scene(left, rise.astype(np.float32), excess, star.astype(np.float32))
    turn = (lambda a: a) if options.lines_along == 1 else (lambda a: a.swapaxes(-1, -2))
    design = np.zeros((7, *turn(background).shape), np.float32)
    design[LAYERS.index("usable")] = turn(background)
    lines, times = turn(left)[:, None], np.zeros(1)
    edges = options.edges
    levels, _ = line_levels(lines, design, times, edges=edges, by_median=True, with_spread=False)
    subtract_levels(lines, levels, edges, lines)
    return variance_in_time(left, CLIP * TO_SIGMA)


def _noise_model(
    star: np.ndarray, scatter: np.ndarray, usable: np.ndarray
) -> tuple[float, float, float]:
    """Fit variance = noise + photon star + model star^2 to the scatter, all three positive."""
    from scipy.optimize import nnls

    light, variance = np.maximum(star[usable], 0.0), scatter[usable]
    if light.size == 0 or not (variance > 0).any():
        return 1.0, 0.0, 0.0
    order = np.argsort(light)
    steps = np.unique(np.geomspace(1, light.size + 1, N_BINS).astype(int) - 1)
    cuts = np.unique(np.concatenate([[0], light.size - steps[::-1]]))
    pairs = [
        (np.median(light[order[a:b]]), np.median(variance[order[a:b]]))
        for a, b in pairwise(cuts)
        if b - a >= min(8, light.size)
    ]
    x, y = np.array(pairs).T
    y = np.maximum(y, 1e-6 * y.max())
    scale = max(x.max(), 1e-30)
    matrix = np.stack([np.ones_like(x), x / scale, (x / scale) ** 2], axis=-1) / y[:, None]
    found = nnls(matrix, np.ones_like(x))[0]
    floor = 1e-2 * float(np.median(variance[variance > 0]))
    return max(float(found[0]), floor), float(found[1]) / scale, float(found[2]) / scale**2


def terms_of_groups(
    design: np.ndarray, scene: np.ndarray, group_time: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Return what is static about the rise of each pixel to each group.

    With :math:`M(u) = A + u B + u (1 - u) C` for the median ramp, the light enters as
    :math:`\partial D / \partial f = t M'(t)`, bent where the response is.

    Parameters
    ----------
    design, scene : (layer, slow, fast) float32
        `tsoxr.kernels.stripe_design.LAYERS` and `SCENE`.
    group_time : (group,) float
        Times since reset.

    Returns
    -------
    median, light, weight : (group - 1, slow, fast) float32
        Median rise from the first group, its derivative by the star's light, and the inverse
        variance, 0 for pixels that are not used.
    """
    span = group_time[-1] - group_time[0]
    u = ((group_time[1:] - group_time[0]) / span)[:, None, None]
    late, early = u + group_time[0] / span, group_time[0] / span
    curve, star, usable, noise, photon, model = scene
    median = u * design[1] + u * (1.0 - u) * curve
    light = u * star + (late * (1.0 - 2.0 * u) - early) * curve
    variance = noise + u * photon + u**2 * model
    weight = np.where(usable > 0, 1.0 / np.where(variance > 0, variance, 1.0), 0.0)
    return median.astype(np.float32), light.astype(np.float32), weight.astype(np.float32)
