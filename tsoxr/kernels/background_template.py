"""Background of a known shape: its scale in each integration, on one or two sides of a step.

The zodiacal light seen through a grism steps where the edge of the pick-off mirror cuts the
filter's band, and the light on the two sides scales differently. The step is found in the
data, as the steepest place of each row.

Shapes: ``rate``, ``error`` (time, spatial, dispersion) float32, ``unusable`` bool; static
arrays (spatial, dispersion) float64; ``side`` int8, 0 or 1.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel
from tsoxr.kernels.layout import time_blocks
from tsoxr.kernels.small import median_of_many

__all__ = ["scale_changes", "sides", "static_scales", "steepest", "step_line", "subtract_template"]

BLUR = 3.0
"""Standard deviation of the Gaussian under which gradients are taken, pixels along dispersion."""
STEP_REACH = 20
"""A step is sought within this many pixels of where it is expected."""
ROWS_TOGETHER = 9
"""Rows whose median is taken for one gradient."""
STEP_SIGMA = 5.0
"""A step rises this far above the gradients beside it."""
STATIC_CLIP = 4.0


def steepest(curve: np.ndarray) -> int:
    """Return the index of the largest absolute gradient of a curve, gaps bridged."""
    from scipy import ndimage

    known = np.isfinite(curve)
    if known.sum() < 2:
        return curve.size // 2
    index = np.arange(curve.size)
    whole = np.interp(index, index[known], curve[known])
    edge = int(4 * BLUR)
    gradient = np.abs(ndimage.gaussian_filter1d(whole, BLUR, order=1))
    gradient[:edge] = gradient[-edge:] = 0.0
    return int(gradient.argmax())


def step_line(image: np.ndarray, near: float) -> np.ndarray | None:
    """Find the step of the background in each row and lay a straight line through them.

    Parameters
    ----------
    image : (spatial, dispersion) float
        Background; NaN where something else is seen.
    near : float
        Index along dispersion about which the step lies.

    Returns
    -------
    (spatial,) float64 or None
        Index along dispersion of the steepest place on each row; None where fewer than
        three sets of rows show a step.
    """
    from scipy import ndimage

    first = max(0, round(near) - 2 * STEP_REACH)
    part = image[:, first : round(near) + 2 * STEP_REACH + 1].astype(np.float64)
    rows, columns = [], []
    for start in range(0, part.shape[0] - ROWS_TOGETHER + 1, ROWS_TOGETHER):
        some = part[start : start + ROWS_TOGETHER]
        seen = np.isfinite(some).sum(axis=0) >= ROWS_TOGETHER // 2
        if seen.mean() < 0.9:
            continue
        curve = np.nanmedian(some[:, seen], axis=0)
        curve = np.interp(np.arange(part.shape[1]), np.flatnonzero(seen), curve)
        gradient = np.abs(ndimage.gaussian_filter1d(curve, BLUR, order=1))
        inner = slice(STEP_REACH, part.shape[1] - STEP_REACH)
        at = int(gradient[inner].argmax()) + STEP_REACH
        away = np.abs(np.arange(gradient.size) - at) > 4 * BLUR
        if gradient[at] > STEP_SIGMA * np.median(gradient[away]):
            rows.append(start + ROWS_TOGETHER // 2)
            columns.append(first + _vertex(gradient, at))
    if len(rows) < 3:
        return None
    return _robust_line(np.array(rows, float), np.array(columns), image.shape[0])


def _vertex(curve: np.ndarray, at: int) -> float:
    """Return the place of a maximum to a part of a pixel, from a parabola through three points."""
    below, here, above = curve[at - 1 : at + 2]
    bend = below - 2 * here + above
    return at + (0.5 * (below - above) / bend if bend < 0 else 0.0)


def _robust_line(place: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Return the straight line of median slope (Theil 1950) at all rows."""
    i, j = np.triu_indices(place.size, 1)
    slope = np.median((values[j] - values[i]) / (place[j] - place[i]))
    return np.median(values - slope * place) + slope * np.arange(n)


def sides(step: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    """Return (spatial, dispersion) int8: 0 before the step, 1 from it on."""
    if step is None:
        return np.zeros(shape, np.int8)
    return (np.arange(shape[1]) >= step[:, None]).astype(np.int8)


def static_scales(
    region: np.ndarray, error: np.ndarray, template: np.ndarray, side: np.ndarray
) -> np.ndarray:
    """Return the scale of the template in the median frame, on each side of the step.

    Parameters
    ----------
    region : (spatial, dispersion) float64
        Median frame where background is measured, NaN elsewhere.
    error : (spatial, dispersion) float
        Typical 1 sigma error of one integration.
    template : (spatial, dispersion) float
        Shape of the background; NaN where it is not known.
    side : (spatial, dispersion) int8
        From `sides`.

    Returns
    -------
    (2,) float64
        Least squares with clipping of what stands out of the fit; a side without pixels
        has the scale of the other; both NaN without any.
    """
    scale = np.full(2, np.nan)
    for s in range(2):
        use = np.isfinite(region) & np.isfinite(template) & (error > 0) & (side == s)
        data, shape, sigma = region[use], template[use], error[use].astype(np.float64)
        keep = np.ones(data.size, bool)
        for _ in range(10):
            power = (shape[keep] ** 2 / sigma[keep] ** 2).sum()
            if not power > 0:
                break
            scale[s] = (shape[keep] * data[keep] / sigma[keep] ** 2).sum() / power
            off = (data - scale[s] * shape) / sigma
            middle = np.median(off[keep])
            spread = 1.4826 * np.median(np.abs(off[keep] - middle))
            now = np.abs(off - middle) <= STATIC_CLIP * spread
            if (now == keep).all():
                break
            keep = now
    return np.where(np.isfinite(scale), scale, scale[::-1])


def scale_changes(  # noqa: PLR0913, PLR0917 -- arrays that one pass needs
    rate: np.ndarray,
    error: np.ndarray,
    unusable: np.ndarray,
    region: np.ndarray,
    wings: np.ndarray,
    light: np.ndarray,
    weight: np.ndarray,
    template: np.ndarray,
    side: np.ndarray,
    clip: float,
) -> np.ndarray:
    """Return how much the scale of each integration differs from that of the median frame.

    Parameters
    ----------
    rate, error : (time, spatial, dispersion) float32
        Frames and their 1 sigma errors.
    unusable : (time, spatial, dispersion) bool
        Samples to leave out.
    region : (spatial, dispersion) float64
        Median frame where background is measured, NaN elsewhere.
    wings : (spatial, dispersion) float64
        What the star's light is of it.
    light : (time,) float64
        Light of the star relative to the median frame.
    weight, template : (spatial, dispersion) float64
        Inverse variance of one integration, the same for all; shape of the background. NaN
        leaves a pixel out.
    side : (spatial, dispersion) int8
        From `sides`.
    clip : float
        Samples that differ by more sigma from a common change are hits.

    Returns
    -------
    (time, 2) float64
        For each side; 0 where it has no usable sample.
    """
    change = np.zeros((len(rate), 2))
    y, x = np.nonzero(np.isfinite(region * weight * template))
    own, size = weight[y, x] * template[y, x], weight[y, x] * template[y, x] ** 2
    pixels = np.stack([region[y, x], wings[y, x], own, size]).astype(np.float64)
    places = np.stack([y, x, side[y, x]]).astype(np.int64)
    more = np.ascontiguousarray(light, np.float64) - 1.0
    room = np.empty((2, y.size))
    for when, (frames, errors, lost) in time_blocks(rate, error, unusable):
        _fill_changes(
            frames, errors, lost, pixels, places, more[when], float(clip), room, change[when]
        )
    return change


@kernel(error_model="numpy")
def _fill_changes(rate, error, unusable, pixels, places, more, clip, room, change):  # noqa: ANN001, ANN202 -- numba
    """Fill ``change`` (time, side) from pixels in the order of ``places``: y, x and side."""
    n_pixels = pixels.shape[1]
    for t in range(rate.shape[0]):
        for i in range(n_pixels):
            room[0, i] = rate[t, places[0, i], places[1, i]] - pixels[0, i] - more[t] * pixels[1, i]
        for s in range(2):
            n = np.int64(0)
            for i in range(n_pixels):
                if places[2, i] == s and not unusable[t, places[0, i], places[1, i]]:
                    room[1, n] = room[0, i]
                    n += 1
            if n == 0:
                continue
            common, top, power = median_of_many(room[1], n), 0.0, 0.0
            for i in range(n_pixels):
                y, x = places[0, i], places[1, i]
                near = abs(room[0, i] - common) <= clip * error[t, y, x]
                if places[2, i] == s and near and not unusable[t, y, x]:
                    top += pixels[2, i] * room[0, i]
                    power += pixels[3, i]
            if power > 0.0:
                change[t, s] = top / power


def subtract_template(
    rate: np.ndarray, scale: np.ndarray, template: np.ndarray, side: np.ndarray
) -> np.ndarray:
    """Return the frames without the scaled template.

    Parameters
    ----------
    rate : (time, spatial, dispersion) float32
        Frames.
    scale : (time, 2) float64
        For each side of the step.
    template : (spatial, dispersion) float64
        Where it is NaN, nothing is subtracted.
    side : (spatial, dispersion) int8
        From `sides`.

    Returns
    -------
    (time, spatial, dispersion) float32
    """
    out = np.empty(rate.shape, np.float32)
    image = np.ascontiguousarray(np.where(np.isfinite(template), template, 0.0), np.float64)
    scale = np.ascontiguousarray(scale, np.float64)
    side = np.ascontiguousarray(side, np.int8)
    for when, (frames,) in time_blocks(rate):
        _subtract(frames, scale[when], image, side, out[when])
    return out


@kernel()
def _subtract(rate, scale, template, side, out):  # noqa: ANN001, ANN202 -- numba infers the types
    for t in range(rate.shape[0]):
        for y in range(rate.shape[1]):
            for x in range(rate.shape[2]):
                level = scale[t, side[y, x]] * template[y, x]
                out[t, y, x] = rate[t, y, x] - (level if abs(level) < np.inf else 0.0)


def relative_to_template(
    factor: np.ndarray, weight: np.ndarray, template: np.ndarray, edges: np.ndarray
) -> np.ndarray:
    """Return the factor of levels of lines from which the scale of a template took its part.

    Parameters
    ----------
    factor : (spatial, output, mode) float
        Factor of the covariance of the levels of lines along the spectrum.
    weight : (spatial, dispersion) float
        Inverse variance of the background's pixels, NaN elsewhere.
    template : (spatial, dispersion) float
        Shape of the background.
    edges : (output + 1,) int
        Dispersion index at which each output begins, and the end.

    Returns
    -------
    (spatial, output, mode) float64
        As if one scale served both sides of a step.
    """
    use = np.isfinite(weight * template)
    shape = np.where(np.isfinite(template), template, 0.0)
    pull = np.where(use, weight * template, 0.0)
    power = (pull * shape).sum()
    if not power > 0:
        return factor.astype(np.float64)
    starts, widths = edges[:-1], np.diff(edges)
    pulls = np.add.reduceat(pull, starts, axis=1)
    mean = np.add.reduceat(shape, starts, axis=1) / widths
    return factor - mean[:, :, None] * np.einsum("yo,yom->m", pulls, factor) / power
