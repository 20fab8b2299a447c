"""Hits that the spatial profile reveals in a single integration.

The pixels of a column share its light as the profile says, so that one which does not is
told from the others (Horne 1986, PASP 98, 609). Pixels that hold much of the light draw the
sum after them: what is left of one has the variance V (1 - h), h its share of the weighted
sum, and is compared with that. The variance is multiplied by a factor that is measured,
because the profile is wrong by something and moves.

Axes are (spatial, dispersion) whatever the detector's are.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.layout import time_blocks
from tsoxr.kernels.outliers import masked_median

__all__ = ["flag_hits", "variance_factors"]

NORMAL_MEDIAN = 0.4549
"""Median of the square of a normal deviate."""

ENOUGH = 5
"""Samples from which a pixel's own scatter is known at all."""

LACK = 0.7
"""A lack of light counts for so much of an excess of the same square: hits add light, and in a
column of two bright pixels either could be the one."""

LEAST = 1e-6
"""Shares of the light below this say nothing."""


def variance_factors(
    data: np.ndarray,
    error: np.ndarray,
    usable: np.ndarray,
    profile: np.ndarray,
    weight: np.ndarray,
    *,
    window: int = 31,
) -> np.ndarray:
    """Return the variance about the profile over the expected one, not below 1.

    Parameters
    ----------
    data, error : (time, spatial, dispersion) float32
        Some of the integrations and their errors.
    usable : (time, spatial, dispersion) bool
        Samples that count.
    profile : (spatial, dispersion) float64
        Data per unit of light.
    weight : (spatial, dispersion) float64
        Weights of least variance, sum(weight * profile) = 1 in each column.
    window : int
        Columns that a pixel shares its factor with.

    Returns
    -------
    (spatial, dispersion) float64
        The median of its neighbours along the dispersion; a pixel that scatters more, by three of
        the standard deviations of such a factor, has its own. Medians in time do not see hits.
    """
    share = weight * profile
    value = np.where(usable, data, np.float32(0.0))
    left = np.einsum("tyx,yx->tx", usable, share)
    light = np.einsum("tyx,yx->tx", value, weight)
    light = np.divide(light, left, out=np.full(left.shape, np.nan), where=left > LEAST)
    square = value - light[:, None].astype(np.float32) * profile.astype(np.float32)
    square /= np.where(usable, error, np.float32(1.0))
    np.square(square, out=square)
    own = masked_median(square, ~usable).astype(np.float64)
    own /= NORMAL_MEDIAN * np.clip(1.0 - share, LEAST, None)
    half = window // 2
    padded = np.pad(own, ((0, 0), (half, half)), constant_values=np.nan)
    shifted = np.stack([padded[:, i : i + own.shape[1]] for i in range(2 * half + 1)])
    usual = masked_median(shifted.astype(np.float32), np.zeros(shifted.shape, bool))
    n = usable.sum(axis=0)
    known = np.where(n >= ENOUGH, 1.0 + 7.0 / np.sqrt(np.maximum(n, 1)), np.inf)
    usual = np.where(np.isfinite(usual), np.maximum(usual, 1.0), 1.0)
    return np.where(np.isfinite(own) & (own > usual * known), own, usual)


def flag_hits(
    data: np.ndarray,
    error: np.ndarray,
    dq: np.ndarray,
    expected: np.ndarray,
    *,
    sigma: float,
    bits: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Flag the pixels of each integration that do not share their column's light.

    Parameters
    ----------
    data, error : (time, spatial, dispersion) float32
        Pixels and their errors; samples that are not finite are neither used nor flagged.
    dq : (time, spatial, dispersion) uint32
        Flags.
    expected : (3, spatial, dispersion) float64
        Profile and weight as in `variance_factors`, and its result; infinite where a pixel is not
        to be tested.
    sigma : float
        Threshold.
    bits : (int, int)
        Flags that take a pixel out of use, and the flag to set.

    Returns
    -------
    flags : (time, spatial, dispersion) uint32
        ``dq`` with the new flags.
    found : (time, dispersion) uint16
        How many there are.

    Notes
    -----
    With the light f = sum(w D) / sum(w P) of the pixels in use, the worst of
    (D - f P)^2 / [V k (1 - w P)] beyond ``sigma`` squared is taken out, f made anew, and so on.
    """
    flags = np.array(dq, dtype=np.uint32, order="C", copy=True)
    found = np.zeros((data.shape[0], data.shape[2]), np.uint16)
    images = np.ascontiguousarray(expected, dtype=np.float64)
    setting = (np.float64(sigma) ** 2, np.uint32(bits[0]), np.uint32(bits[1]))
    static = (images, (images[0] * images[1]).sum(axis=0), _spans(np.isfinite(images[2])))
    for times, cubes in time_blocks(data, error):
        _flag((*cubes, flags[times]), static, setting, found[times])
    return flags, found


def _spans(tested: np.ndarray) -> np.ndarray:
    """Return the first and one-past-last column of each line in which pixels are tested."""
    some, n = tested.any(axis=1), tested.shape[1]
    last = np.where(some, n - tested[:, ::-1].argmax(axis=1), 0)
    return np.stack([np.where(some, tested.argmax(axis=1), 0), last], axis=1)


@kernel()
def _flag(cubes, static, setting, found):  # noqa: ANN001, ANN202 -- numba infers the types
    """Do the work of `flag_hits`: two passes over an integration, and columns with hits by themselves."""
    images, full, spans = static
    n_dispersion = full.size
    light, left = np.empty(n_dispersion), np.empty(n_dispersion)
    suspect = np.empty(n_dispersion, np.uint8)
    for t in range(found.shape[0]):
        for x in range(n_dispersion):
            light[x], left[x], suspect[x] = 0.0, full[x], 0
        _sum_up(cubes, t, images, spans, setting[1], light, left)
        for x in range(n_dispersion):
            left[x] = 1.0 / left[x] if left[x] > LEAST else np.nan
            light[x] *= left[x]
        _suspect(cubes, t, images, spans, setting[0], light, left, suspect)
        for x in range(n_dispersion):
            if suspect[x] == 1:
                found[t, x] = _clear(cubes, t, x, images, setting)


@part()
def _sum_up(cubes, t, images, spans, unusable, light, left):  # noqa: ANN001, ANN202 -- numba infers the types
    """Add up the weighted light of each column, and take what is lost off its weights."""
    data, error, flags = cubes
    for y in range(images.shape[1]):
        for x in range(spans[y, 0], spans[y, 1]):
            d, e, w = data[t, y, x], error[t, y, x], images[1, y, x]
            if (flags[t, y, x] & unusable) != 0 or not (abs(d) < np.inf and 0.0 < e < np.inf):
                left[x] -= images[0, y, x] * w
            else:
                light[x] += w * d


@part()
def _suspect(cubes, t, images, spans, limit, light, per_left, suspect):  # noqa: ANN001, ANN202 -- numba infers the types
    """Mark the columns in which any pixel is off, one that is out of use too."""
    data, error, _ = cubes
    for y in range(images.shape[1]):
        for x in range(spans[y, 0], spans[y, 1]):
            e, p = np.float64(error[t, y, x]), images[0, y, x]
            rest = data[t, y, x] - light[x] * p
            free = 1.0 - p * images[1, y, x] * per_left[x]
            off = rest * rest > limit * e * e * images[2, y, x] * free
            suspect[x] |= np.uint8(off)


@part()
def _clear(cubes, t, x, images, setting):  # noqa: ANN001, ANN202 -- numba infers the types
    """Flag the pixels of a column that are off, the worst first; return how many."""
    limit, unusable, hit = setting
    data, error, flags = cubes
    n_spatial, found = images.shape[1], 0
    while True:
        light = left = 0.0
        for y in range(n_spatial):
            if _is_usable(cubes, t, y, x, unusable):
                light += images[1, y, x] * data[t, y, x]
                left += images[1, y, x] * images[0, y, x]
        if not left > LEAST:
            return found
        light /= left
        worst, at = 0.0, -1
        for y in range(n_spatial):
            if _is_usable(cubes, t, y, x, unusable):
                rest = data[t, y, x] - light * images[0, y, x]
                free = max(1.0 - images[0, y, x] * images[1, y, x] / left, LEAST)
                own = limit * np.float64(error[t, y, x]) ** 2 * images[2, y, x] * free
                size = rest * rest * (1.0 if rest > 0.0 else LACK) / own
                if rest * rest > own and size > worst:
                    worst, at = size, y
        if at < 0:
            return found
        flags[t, at, x] |= hit
        found += 1


@part()
def _is_usable(cubes, t, y, x, unusable):  # noqa: ANN001, ANN202 -- numba infers the types
    data, error, flags = cubes
    d, e = data[t, y, x], error[t, y, x]
    return (flags[t, y, x] & unusable) == 0 and abs(d) < np.inf and 0.0 < e < np.inf
