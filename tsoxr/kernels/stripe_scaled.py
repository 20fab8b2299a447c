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
from tsoxr.kernels.stripe_terms import fill_terms, parts_of_groups, piece
from tsoxr.kernels.stripes import line_levels, relative_excess

__all__ = ["SCALES", "scaled_levels", "scaled_variance"]

SCALES = ("white", "wavelength", "line")
"""The star's light is one factor per group, one per wavelength smoothed over its neighbours,
or one for each line."""

TILE, NARROWEST = 8192, 256
"""Pixels whose static terms the cache holds; fewest lines taken together."""

NOTHING = 1e-6
"""A line of which less than this part of the weights is left has no pixels."""

SMOOTH = 9
"""Lines over which ``"wavelength"`` averages the factor."""


@numba.njit(cache=True, nogil=True)
def _departure(end, first, median, light, excess, level, out):  # noqa: ANN001, ANN202 -- numba
    for k in range(end.size):
        change = np.float32(end[k]) - np.float32(first[k]) - median[k]
        out[k] = change - excess * light[k] - level[k]


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _line_sums(departure, light, weight, cut):  # noqa: ANN001, ANN202 -- numba
    """Return the sums of weight, light and departure of one line without outliers, float64."""
    w_ = wt_ = wtt_ = we_ = wte_ = np.float64(0.0)
    for k in range(departure.size):
        e = departure[k]
        w = weight[k] if e * e * weight[k] <= cut else np.float32(0.0)
        e = e if w > 0 else np.float32(0.0)
        wt = w * light[k]
        w_ += w
        wt_ += wt
        wtt_ += wt * light[k]
        we_ += w * e
        wte_ += wt * e
    return w_, wt_, wtt_, we_, wte_


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _short_sums(departure, light, weight, cut):  # noqa: ANN001, ANN202 -- numba
    """Return the sums that depend on the departure, and how many values are outliers."""
    we, wte, far = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for k in range(departure.size):
        e, w = departure[k], weight[k]
        we += w * e
        wte += w * light[k] * e
        far += np.float32(0.0) if e * e * w <= cut else np.float32(1.0)
    return we, wte, far


@numba.njit(cache=True, nogil=True)
def _sums_along(ramp, rise, scene, parts, excess, level, cut, out):  # noqa: ANN001, ANN202 -- numba
    """Fill the moments (time, group, 5, line) where lines lie along memory."""
    n_time, n_group, n_line, n = ramp.shape
    departure, levels = np.empty(n, np.float32), np.empty(n, np.float32)
    median, light, weight = np.empty((3, n), np.float32)
    zero = np.zeros(n, np.float32)
    for s in range(n_line):
        for g in range(1, n_group):
            fill_terms(rise[s], piece(scene, s, 0, n), parts[g], median, light, weight)
            w, wt, wtt, _, _ = _line_sums(zero, light, weight, cut)
            for t in range(n_time):
                levels[:] = level[t, g - 1, s]
                end, first = ramp[t, g, s], ramp[t, 0, s]
                _departure(end, first, median, light, excess[t], levels, departure)
                we, wte, far = _short_sums(departure, light, weight, cut)
                found = (w, wt, wtt, np.float64(we), np.float64(wte))
                if far > 0:
                    found = _line_sums(departure, light, weight, cut)
                for k in range(5):
                    out[t, g - 1, k, s] = found[k]


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _outliers(departure, weight, cut):  # noqa: ANN001, ANN202 -- numba
    far = np.float32(0.0)
    for k in range(departure.size):
        inside = departure[k] * departure[k] * weight[k] <= cut
        far += np.float32(0.0) if inside else np.float32(1.0)
    return far


@numba.njit(cache=True, nogil=True)
def _add_row(departure, light, weight, moments):  # noqa: ANN001, ANN202 -- numba
    we, wte = moments[0], moments[1]
    for k in range(departure.size):
        we[k] += weight[k] * departure[k]
    for k in range(departure.size):
        wte[k] += weight[k] * light[k] * departure[k]


@numba.njit(cache=True, nogil=True)
def _leave_out(departure, light, weight, cut, out):  # noqa: ANN001, ANN202 -- numba
    """Take outliers out of the sums over weights and of the departures."""
    for k in range(departure.size):
        e, w, t = departure[k], np.float64(weight[k]), np.float64(light[k])
        if not e * e * weight[k] <= cut:
            out[0, k] -= w
            out[1, k] -= w * t
            out[2, k] -= w * t * t
            departure[k] = np.float32(0.0)


@numba.njit(cache=True, nogil=True)
def _add_weights(light, weight, static):  # noqa: ANN001, ANN202 -- numba
    w_, wt_, wtt_ = static[0], static[1], static[2]
    for k in range(light.size):
        w_[k] += weight[k]
    for k in range(light.size):
        wt_[k] += weight[k] * light[k]
    for k in range(light.size):
        wtt_[k] += weight[k] * light[k] * light[k]


@numba.njit(cache=True, nogil=True)
def _tile_sums(ramp, t, g, begin, terms, static, excess, level, cut, moments, out):  # noqa: ANN001, ANN202, PLR0913, PLR0917 -- numba
    """Fill the sums (5, width) of one group of a tile of lines."""
    median, light, weight = terms
    n, width = ramp.shape[2], level.size
    departure, end = np.empty(width, np.float32), begin + width
    moments[:] = 0.0
    out[:3] = static
    for f in range(n):
        late, early = ramp[t, g, f, begin:end], ramp[t, 0, f, begin:end]
        _departure(late, early, median[f], light[f], excess, level, departure)
        if _outliers(departure, weight[f], cut) > 0:
            _leave_out(departure, light[f], weight[f], cut, out)
        _add_row(departure, light[f], weight[f], moments)
    out[3:] = moments
    for w in range(width):
        if out[0, w] < NOTHING * static[0, w]:
            out[:, w] = 0.0


@numba.njit(cache=True, nogil=True)
def _sums_side_by_side(ramp, rise, scene, parts, excess, level, cut, out):  # noqa: ANN001, ANN202 -- numba
    """Fill the moments (time, group, 5, line) where lines lie side by side.

    What is static about a tile stays in the cache while all integrations pass. Sums over weights
    are static but for outliers.
    """
    n_time, n_group, n, n_line = ramp.shape
    tile = max(NARROWEST, TILE // n)
    for begin in range(0, n_line, tile):
        end = min(begin + tile, n_line)
        terms = np.empty((3, n, end - begin), np.float32)
        moments = np.empty((2, end - begin), np.float32)
        for g in range(1, n_group):
            static = np.zeros((3, end - begin))
            for f in range(n):
                fill_terms(
                    rise[f, begin:end], piece(scene, f, begin, end), parts[g],
                    terms[0, f], terms[1, f], terms[2, f],
                )  # fmt: skip
                _add_weights(terms[1, f], terms[2, f], static)
            for t in range(n_time):
                _tile_sums(
                    ramp, t, g, begin, terms, static, excess[t], level[t, g - 1, begin:end], cut,
                    moments, out[t, g - 1, :, begin:end],
                )  # fmt: skip


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
    lanes = abs(ramp.strides[2]) < abs(ramp.strides[3])
    data, rise, bright, scene = (
        np.ascontiguousarray(array.swapaxes(-1, -2) if lanes else array)
        for array in (ramp, design[1], design[4], scene)
    )
    excess = relative_excess(data, rise, bright).astype(np.float32)
    rough = np.ascontiguousarray(levels[:, 1:, :, 0] - levels[:, :1, :, 0])
    sums = np.empty((*rough.shape[:2], 5, rough.shape[2]))
    # a saturating sum of squares: float32 is enough for what a pixel departs from its line
    given = (data, rise, scene, parts_of_groups(group_time), excess, rough, np.float32(sigma**2))
    (_sums_side_by_side if lanes else _sums_along)(*given, sums)
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
