"""The white light of many apertures at once: one pass over the cube for all widths and regions.

Apertures about one trace are nested. A pixel enters the sum of the narrowest one that it
belongs to, and its weight grows over the few widths whose edge cuts it; the sums of all widths
follow from adding up what came in between. The background of each line of constant wavelength,
measured farther out, is nested in the same way from outside.

Axes are (spatial, dispersion) whatever the detector's are; K half widths, B background regions,
both ascending.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.layout import time_blocks

__all__ = ["Tables", "n_steps", "nested_light"]

MIN_FRACTION = 0.5
"""A sum that rests on less than this share of its light is not used; the default of `extract`."""

MIN_PIXELS = 3
"""A line with fewer background samples in one integration keeps its usual level."""


class Tables(NamedTuple):
    """What does not depend on time; images are (spatial, dispersion).

    first : int16, index of the narrowest aperture with the pixel, -1 for none.
    step : (step, spatial, dispersion) float32, growth of the weight of the rates from that
        aperture on.
    profile : float32, part of its column's light in the pixel, in units of the rates: over the
        gain.
    factor : (K, dispersion) float64, what makes electrons per second of the weighted sum; 0 for
        a column that is left out.
    full, total : (K, dispersion) float64, sums over the column of step times profile, and of
        the steps.
    light : (K, dispersion) float64, what the column is expected to give, electrons per second.
    inside : int16, number of background regions that the pixel belongs to.
    median, sigma : float32, median frame and error of one sample.
    level : (B, dispersion) float64, background of the median frame; NaN for a region without one.
    """

    first: np.ndarray
    step: np.ndarray
    profile: np.ndarray
    factor: np.ndarray
    full: np.ndarray
    total: np.ndarray
    light: np.ndarray
    inside: np.ndarray
    median: np.ndarray
    sigma: np.ndarray
    level: np.ndarray


def n_steps(half_widths: np.ndarray) -> int:
    """Return over how many apertures, at most, the weight of a pixel grows.

    Parameters
    ----------
    half_widths : (K,) float
        Ascending, pixels.

    Examples
    --------
    >>> n_steps(np.array([1.0, 1.5, 2.0, 3.0]))
    3
    """
    beyond = np.searchsorted(half_widths, half_widths + 1.0, side="left")
    return int((beyond - np.arange(half_widths.size)).max()) + 1


def nested_light(data: np.ndarray, dq: np.ndarray, tables: Tables, *, unusable: int) -> np.ndarray:
    """Sum the light of each integration in all apertures, less each background.

    Parameters
    ----------
    data : (time, spatial, dispersion) float32
        Rates; samples that are not finite are left out.
    dq : (time, spatial, dispersion) uint32
        Flags.
    tables : Tables
        From `tsoxr.kernels.aperture_tables.nested_tables`.
    unusable : int
        Flags that take a sample out of use.

    Returns
    -------
    (time, K, B) float64
        White light, electrons per second; NaN where less than `MIN_FRACTION` of it remains.

    Notes
    -----
    The sum of one column is that of `tsoxr.kernels.extraction.weighted_sum`: what is lost is
    replaced by the light that the profile expects there. A column of which less than
    `MIN_FRACTION` is left is replaced by its share of the others' light.
    """
    n_widths, n_regions = tables.factor.shape[0], tables.level.shape[0]
    out = np.empty((data.shape[0], n_widths, n_regions))
    room = _room(tables)
    lines = _lines(tables)
    cubes: tuple[np.ndarray, ...] = (data, dq)
    if not all(cube.flags.c_contiguous for cube in cubes):  # only what is used is copied
        cubes = tuple(cube[:, lines] for cube in cubes)
        first = 0
    else:
        first = lines.start
    images = tuple(np.ascontiguousarray(a[..., lines, :]) for a in _images(tables))
    step = np.ascontiguousarray(tables.step[:, lines])
    columns = tuple(np.ascontiguousarray(a) for a in tables[3:7])
    for times, samples in time_blocks(*cubes):
        _sum(
            samples, images, step, columns, np.ascontiguousarray(tables.level), first,
            np.uint32(unusable), room, out[times],
        )  # fmt: skip
    return out


def _images(tables: Tables) -> tuple[np.ndarray, ...]:
    return tables.first, tables.profile, tables.inside, tables.median


def _lines(tables: Tables) -> slice:
    """Return the spatial lines that any aperture or region reaches."""
    used = np.flatnonzero(((tables.first >= 0) | (tables.inside > 0)).any(axis=1))
    return slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 0)


def _room(tables: Tables) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return space for sums: of apertures (3, K + step, ...), of regions (2, B, ...), of columns."""
    (n_widths, n), n_steps_ = tables.factor.shape, tables.step.shape[0]
    return (
        np.zeros((3, n_widths + n_steps_, n)),
        np.zeros((2, tables.level.shape[0], n)),
        np.zeros((3, n)),
    )


@part(error_model="numpy")
def _set_levels(regions, level):  # noqa: ANN001, ANN202 -- numba infers the types
    """Put the background of each column and region, (B, dispersion), into the first of ``regions``."""
    n_regions, n = level.shape
    for x in range(n):
        more = count = 0.0
        for i in range(n_regions):
            b = n_regions - 1 - i
            more += regions[0, b, x]
            count += regions[1, b, x]
            regions[0, b, x] = level[b, x] + (more / count if count >= MIN_PIXELS else 0.0)


@kernel(error_model="numpy")
def _sum(samples, images, step, columns, level, start, unusable, room, out):  # noqa: ANN001, ANN202, C901, PLR0912 -- numba
    """Do the work of `nested_light`; ``start`` is the line of the cube where the images begin."""
    data, dq = samples
    first, profile, inside, median = images
    factor, full, total, light = columns
    rings, regions, sums = room
    n_steps_, n_lines, n = step.shape
    n_widths, n_regions = factor.shape[0], level.shape[0]
    for t in range(data.shape[0]):
        rings[0] = 0.0
        regions[:] = 0.0
        lost = False
        for y in range(n_lines):
            for x in range(n):
                k, m = first[y, x], inside[y, x]
                if k < 0 and m == 0:
                    continue
                d = np.float64(data[t, start + y, x])
                if (dq[t, start + y, x] & unusable) == 0 and abs(d) < np.inf:
                    if k >= 0:
                        for j in range(n_steps_):
                            rings[0, k + j, x] += step[j, y, x] * d
                    if m > 0:
                        regions[0, m - 1, x] += d - median[y, x]
                        regions[1, m - 1, x] += 1.0
                elif k >= 0:
                    if not lost:
                        lost = True
                        rings[1:] = 0.0
                    for j in range(n_steps_):
                        rings[1, k + j, x] += step[j, y, x] * profile[y, x]
                        rings[2, k + j, x] += step[j, y, x]
        _set_levels(regions, level)
        sums[:] = 0.0
        for k in range(n_widths):
            gone = 0.0
            all_light = 0.0
            for x in range(n):
                sums[0, x] += rings[0, k, x]
                if lost:
                    sums[1, x] += rings[1, k, x]
                    sums[2, x] += rings[2, k, x]
                    left = 1.0 - sums[1, x] / full[k, x] if full[k, x] > 0.0 else 1.0
                    if left < MIN_FRACTION:
                        gone += light[k, x]
                        left = np.inf
                    rings[0, k, x] = factor[k, x] / left
                else:
                    rings[0, k, x] = factor[k, x]
                all_light += light[k, x]
            for b in range(n_regions):
                value = 0.0
                for x in range(n):
                    held = total[k, x] - sums[2, x]
                    value += rings[0, k, x] * (sums[0, x] - regions[0, b, x] * held)
                rest = 1.0 - gone / all_light
                out[t, k, b] = value / rest if rest > MIN_FRACTION else np.nan
