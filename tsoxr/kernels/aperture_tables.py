"""Nested apertures and background regions of one exposure, made once from its median frame.

The profile is that of the widest aperture; in a narrower one it is the same, cut and scaled.
What an aperture of its own would estimate differs by the noise of the profile.

Axes are (spatial, dispersion) whatever the detector's are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsoxr.kernels import profile as profile_kernel
from tsoxr.kernels.aperture_light import MIN_FRACTION, MIN_PIXELS, Tables, n_steps
from tsoxr.kernels.background import background_region, fill_lines
from tsoxr.kernels.extraction import coverage

__all__ = ["Plan", "Still", "nested_tables", "predicted"]

SHORT = 0.1
"""A region that lacks pixels on more than this part of the columns has no level."""


@dataclass(frozen=True)
class Plan:
    """What is compared: half widths of aperture and background, ascending, pixels.

    regions : half widths of the background regions; empty where the rates have no background.
    method : "box" or "optimal".
    darkest : part of the pixels of a line that show background, see `background_region`.
    """

    half_widths: tuple[float, ...]
    regions: tuple[float, ...] = ()
    method: str = "optimal"
    darkest: float = 1.0


@dataclass(frozen=True)
class Still:
    """The exposure without time: images (spatial, dispersion), trace and columns (dispersion,).

    median, error, count : median rate, median error and number of the samples behind them.
    center : trace, pixels from the first spatial line; NaN for none.
    gain : electron per unit of the rates; pixels where it is not positive are left out.
    seen : bool, columns that belong to the white light.
    level_variance : variance of what was subtracted from each column before.
    """

    median: np.ndarray
    error: np.ndarray
    count: np.ndarray
    center: np.ndarray
    gain: np.ndarray
    seen: np.ndarray
    level_variance: np.ndarray


def nested_tables(still: Still, plan: Plan) -> Tables:
    """Return weights and sums of all apertures and the pixels of all background regions.

    Parameters
    ----------
    still : Still
        The exposure.
    plan : Plan
        What is compared.

    Returns
    -------
    Tables

    Raises
    ------
    ValueError
        Where the widest aperture misses the frame at all columns.
    """
    widest = coverage(still.center, still.median.shape[0], plan.half_widths[-1])
    widest = np.where(still.seen, widest, 0.0)
    if not widest.any():
        raise ValueError("the trace lies outside the frame")
    inside, level = _regions(still, plan)
    usable = (still.gain > 0) & np.isfinite(still.gain) & np.isfinite(still.median)
    usable &= np.isfinite(still.error) & (still.error > 0)
    gain = np.where(usable, still.gain, 1.0)
    variance = np.where(usable, (still.error * gain) ** 2, np.nan)
    light = np.where(usable, (still.median - np.nan_to_num(level[0])) * gain, np.nan)
    profile = profile_kernel.spatial_profile(
        light,
        variance * profile_kernel.MEDIAN_VARIANCE / np.maximum(still.count, 1.0),
        widest,
        window=profile_kernel.window_for(still.center),
    )
    first, step, sums = _grown(still, plan, usable, gain, variance, profile)
    share, full, total, flux = sums
    least = MIN_FRACTION * share if plan.method == "box" else np.zeros_like(share)
    factor = np.divide(share, full, out=np.zeros_like(full), where=(full > least) & (share > 0))
    of_widest = factor[-1] * flux
    factor = np.where(of_widest > 0, factor, 0.0)
    return Tables(
        first, step, (profile / gain).astype("f4"), factor, full, total,
        np.where(factor > 0, share * np.maximum(of_widest, 0.0), 0.0), inside,
        np.nan_to_num(still.median).astype("f4"), np.nan_to_num(still.error).astype("f4"), level,
    )  # fmt: skip


def _weights(
    plan: Plan, cover: np.ndarray, usable: np.ndarray, variance: np.ndarray, profile: np.ndarray
) -> np.ndarray:
    """Return the weights of electrons in one aperture, before they are scaled to its light."""
    if plan.method == "box":
        return np.where(usable, cover, 0.0)
    over = np.divide(profile, variance, out=np.zeros_like(profile), where=usable & (variance > 0))
    return np.where(cover > 0, over, 0.0)


def _grown(
    still: Still,
    plan: Plan,
    usable: np.ndarray,
    gain: np.ndarray,
    variance: np.ndarray,
    profile: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Return where each pixel enters, how its weight grows, and sums (K, dispersion).

    The sums are those of the profile inside, of weight times profile, of the weights of the
    rates, and the last aperture's weighted sum of the median frame's light.
    """
    widths = np.asarray(plan.half_widths)
    shape = still.median.shape
    first = np.full(shape, -1, np.int16)
    step = np.zeros((n_steps(widths) if plan.method == "box" else 1, *shape), np.float32)
    share, full, total = np.zeros((3, widths.size, shape[1]))
    before = np.zeros(shape)
    for k, half_width in enumerate(widths):
        cover = np.where(still.seen, coverage(still.center, shape[0], half_width), 0.0)
        weight = _weights(plan, cover, usable, variance, profile)
        y, x = np.nonzero(weight != before)
        first[y, x] = np.where(first[y, x] < 0, k, first[y, x])
        step[k - first[y, x], y, x] = (weight - before)[y, x] * gain[y, x]
        share[k], full[k] = (cover * profile).sum(axis=0), (weight * profile).sum(axis=0)
        total[k] = (weight * gain).sum(axis=0)
        before = weight
    light = np.where(usable, still.median, 0.0) * gain
    return first, step, (share, full, total, (before * light).sum(axis=0))


def _regions(still: Still, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of regions that each pixel belongs to, and their levels (B, dispersion).

    The level is NaN throughout where too many columns have too few pixels, as with a trace off
    the middle of the frame: without a level of its own, such a region would seem to have no noise.
    """
    shape = still.median.shape
    if not plan.regions:
        return np.zeros(shape, np.int16), np.zeros((1, shape[1]))
    away = np.abs(np.arange(shape[0])[:, None] - still.center)
    base = background_region(still.median, still.center, plan.regions[0], plan.darkest)
    member = np.isfinite(base) & (away > np.asarray(plan.regions)[:, None, None])
    n = member.sum(axis=1)
    values = np.where(member, still.median, 0.0).sum(axis=1)
    level = np.where(n >= MIN_PIXELS, values / np.maximum(n, 1), np.nan)
    short = (n < MIN_PIXELS)[:, still.seen].mean(axis=1) > SHORT
    level = np.where(short[:, None], np.nan, np.nan_to_num(fill_lines(level)))
    return member.sum(axis=0).astype(np.int16), level


def predicted(still: Still, tables: Tables) -> np.ndarray:
    """Return the relative error of the white light that the errors of the samples make.

    Parameters
    ----------
    still : Still
        The exposure.
    tables : Tables
        What `nested_tables` made of it.

    Returns
    -------
    (K, B) float64
        Errors of pixels and of the levels of columns; of errors that columns share, nothing is
        known here.
    """
    variance = np.where(tables.sigma > 0, np.square(tables.sigma, dtype=np.float64), 0.0)
    weight = np.zeros(tables.first.shape)
    out = np.zeros((tables.factor.shape[0], tables.level.shape[0]))
    levels = [
        still.level_variance + _level_variance(tables, b) + 0.0 * tables.level[b]
        for b in range(out.shape[1])
    ]
    for k in range(out.shape[0]):
        for j in range(tables.step.shape[0]):
            weight += np.where((tables.first >= 0) & (tables.first + j == k), tables.step[j], 0.0)
        own = (weight**2 * variance).sum(axis=0)
        for b, level in enumerate(levels):
            each = tables.factor[k] ** 2 * (own + tables.total[k] ** 2 * level)
            all_light = tables.light[k].sum()
            out[k, b] = np.sqrt(each.sum()) / all_light if all_light > 0 else np.nan
    return out


def _level_variance(tables: Tables, b: int) -> np.ndarray:
    """Return the variance of one sample's mean over each column of region ``b``."""
    member = tables.inside > b
    n = member.sum(axis=0)
    variance = np.where(member, np.square(tables.sigma, dtype=np.float64), 0.0).sum(axis=0)
    return np.divide(variance, n**2, out=np.zeros_like(variance), where=n >= MIN_PIXELS)
