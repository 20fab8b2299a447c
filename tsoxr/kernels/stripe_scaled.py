r"""Levels of lines across the spectrum from all of their pixels, solved with the star's light.

Rises from the first group of a line are :math:`e_p = L + \delta T_p + n_p`: a level, what the
star's light changes, and noise of known variance :math:`v_p`. Weighted least squares gives the
level with variance :math:`1 / (\sum 1/v - (\sum T/v)^2 / \sum T^2/v)`. Since :math:`\delta` is
free, a light curve of any shape and colour leaves the levels as they are.
"""

from __future__ import annotations

import numba
import numpy as np

from tsoxr.kernels.stripe_scene import terms_of_groups
from tsoxr.kernels.stripes import line_levels

__all__ = ["SCALES", "light_of", "scaled_levels", "scaled_variance"]

SCALES = ("white", "wavelength", "line")
"""The star's light is one factor per group, one per wavelength smoothed over its neighbours,
or one for each line."""

SMOOTH = 9
"""Lines over which ``"wavelength"`` averages the factor."""


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _sums(end, first, median, light, weight, excess, level, cut, lines_last, sums):  # noqa: ANN001, ANN202, PLR0913, PLR0917 -- numba
    """Add the moments (5, line) of one group; arrays (a, b) as they lie in memory."""
    for a in range(end.shape[0]):
        for b in range(end.shape[1]):
            line = b if lines_last else a
            change = np.float32(end[a, b]) - np.float32(first[a, b]) - median[a, b]
            e = change - excess * light[a, b] - level[line]
            w = weight[a, b] if e * e * weight[a, b] <= cut else np.float32(0.0)
            e = e if w > 0 else np.float32(0.0)
            wt = w * light[a, b]
            sums[0, line] += w
            sums[1, line] += wt
            sums[2, line] += wt * light[a, b]
            sums[3, line] += w * e
            sums[4, line] += wt * e


@numba.njit(cache=True, nogil=True)
def _all_sums(ramp, median, light, weight, excess, level, cut, lines_last, out):  # noqa: ANN001, ANN202 -- numba
    for t in range(ramp.shape[0]):
        for g in range(1, ramp.shape[1]):
            _sums(
                ramp[t, g], ramp[t, 0], median[g - 1], light[g - 1], weight[g - 1],
                excess[t, g - 1], level[t, g - 1], cut, lines_last, out[t, g - 1],
            )  # fmt: skip


def light_of(ramp: np.ndarray, rise: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """Return the light of each integration over the median, from the rise of bright pixels.

    Parameters
    ----------
    ramp : (time, group, slow, fast) number
        Counts.
    rise : (slow, fast) float32
        Median rise from the first to the last group.
    bright : (slow, fast) bool
        Pixels that measure the star.

    Returns
    -------
    (time,) float64
        1 where there is nothing to measure it.
    """
    expected = float(rise[bright].sum(dtype=np.float64))
    if expected <= 0:
        return np.ones(ramp.shape[0])
    change = ramp[:, -1][:, bright].astype(np.float64) - ramp[:, 0][:, bright]
    kept = np.isfinite(change)
    seen = np.where(kept, change, 0.0).sum(axis=1)
    return seen / np.maximum((kept * rise[bright]).sum(axis=1), 1e-30)


def scaled_levels(
    ramp: np.ndarray,
    design: np.ndarray,
    group_time: np.ndarray,
    scene: np.ndarray,
    *,
    edges: np.ndarray,
    sigma: float,
    scaled_by: str = "line",
) -> tuple[np.ndarray, np.ndarray]:
    """Measure the level of each line that runs across the spectrum.

    Parameters
    ----------
    ramp, design, group_time, edges
        As for `tsoxr.kernels.stripes.line_levels`; one output, and at least two groups.
    scene : (layer, slow, fast) float32
        `tsoxr.kernels.stripe_scene.SCENE`.
    sigma : float
        Pixels farther than this from the model, in standard deviations, are left out.
    scaled_by : {"white", "wavelength", "line"}
        See `SCALES`.

    Returns
    -------
    levels : (time, group, slow, output) float32
        As `line_levels`, whose level the first group keeps.
    spread : (time, group, slow, output) float32
        As from `line_levels`.
    """
    levels, spread = line_levels(ramp, design, group_time, edges=edges)
    terms = terms_of_groups(design, scene, group_time)
    rough = (levels[:, 1:] - levels[:, :1])[..., 0]
    light = light_of(ramp, design[1], design[4] > 0) - 1.0
    excess = np.broadcast_to(light[:, None], rough.shape[:2]).astype(np.float32)
    lines_last = abs(ramp.strides[2]) < abs(ramp.strides[3])
    arrays = [ramp, *terms]
    if lines_last:
        arrays = [array.swapaxes(-1, -2) for array in arrays]
    arrays = [np.ascontiguousarray(array) for array in arrays]
    sums = np.zeros((*rough.shape[:2], 5, rough.shape[2]))
    # a saturating sum of squares: float32 is enough for what a pixel departs from its line
    given = (*arrays, excess, rough, np.float32(sigma**2), lines_last, sums)
    _all_sums(*given)
    levels[:, 1:, :, 0] = levels[:, :1, :, 0] + rough + _solved(sums, scaled_by)
    return levels, spread


def _solved(sums: np.ndarray, scaled_by: str) -> np.ndarray:
    """Return the levels (time, group, line) from the moments (time, group, 5, line)."""
    w, wt, wtt, we, wte = np.moveaxis(sums, 2, 0)
    safe = np.where(w > 0, w, 1.0)
    above, below = wte - wt * we / safe, wtt - wt**2 / safe
    if scaled_by == "white":
        above, below = above.sum(axis=-1, keepdims=True), below.sum(axis=-1, keepdims=True)
    elif scaled_by == "wavelength":
        above, below = _running_sum(above), _running_sum(below)
    light = np.where(
        below > 1e-9 * np.abs(wtt).max(initial=1e-30), above / np.where(below > 0, below, 1.0), 0.0
    )
    return np.where(w > 0, (we - light * wt) / safe, 0.0)


def _running_sum(values: np.ndarray) -> np.ndarray:
    from scipy.ndimage import uniform_filter1d

    return uniform_filter1d(values, SMOOTH, axis=-1, mode="constant") * SMOOTH


def scaled_variance(
    design: np.ndarray, scene: np.ndarray, group_time: np.ndarray, scaled_by: str
) -> np.ndarray:
    """Return the variance of the level of one group of each line.

    Half the variance of the rise to the last group.

    Parameters
    ----------
    design, scene, group_time, scaled_by
        As for `scaled_levels`.

    Returns
    -------
    (slow,) float64
        Infinite for a line without pixels.
    """
    _, light, weight = (
        term[-1].astype(np.float64) for term in terms_of_groups(design, scene, group_time)
    )
    information = weight.sum(axis=-1)
    if scaled_by == "line":
        square = (weight * light**2).sum(axis=-1)
        known = np.where(
            square > 0, (weight * light).sum(axis=-1) ** 2 / np.where(square > 0, square, 1.0), 0.0
        )
        information = information - known
    return np.where(information > 0, 0.5 / np.where(information > 0, information, 1.0), np.inf)
