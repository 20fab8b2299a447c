"""How a frame changes when its light moves or widens: derivatives of a frame of pixels.

Pixels of JWST are often as wide as the light that falls on them. Differences of neighbours
then under-report the derivative: for a Gaussian of 0.6 pixels the projection on the true
change is 0.65. Here the light is described in two parts. A Gaussian, integrated over pixels, is
fitted to each line (or to an image), and its derivative is exact at every position of the
light within a pixel. What the Gaussian leaves is weak and smoother, and is differentiated by
a filter that is matched to the sampling, `derivative_filter`.

Signs: a template is the change of the frame for a positive shift (towards larger index) or a
relative increase of the width. Shapes: frames are (spatial, line) float64, the derivative
across dispersion runs along the first axis.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from tsoxr.kernels.profile_spline import spline_changes

__all__ = [
    "Changes",
    "derivative_filter",
    "filter_sigma",
    "gaussian_parts",
    "image_changes",
    "profile_changes",
    "shifted_by_filter",
]

REACH = 5
"""Pixels on either side that the filter looks at."""
FILTER_SIGMA = 1.0
"""Width of the light that the filter is matched to, pixels. What the Gaussians leave of a
sharper profile is small, and a sharper filter would amplify what pixels alias."""
WIDE_SIGMA = 1.5
"""The same for light that is left to the filter alone, which is at least as wide: smooth light is then
moved by 1.001 of what it should be; with 1.0 it would be 1.024."""
IMAGE_SIGMA = 1.3
"""The same for images, which telescope and filter make smoother: of simulated images in
nine filters with two or more pixels per wavelength over aperture, 0.985 to 1.0 of a shift."""
WIDTHS = (0.7, 1.0, 1.4, 2.0, 3.0, 4.5)
"""Widths of the Gaussians of one profile, relative to that of a single one."""
RIDGE = 1e-5
BASE = WIDTHS.index(1.0)
PIXEL_VARIANCE = 1.0 / 12.0
"""Variance that a pixel adds to the profile, pixel^2."""
SQRT2, SQRT2PI = math.sqrt(2.0), math.sqrt(2.0 * math.pi)


class Changes(NamedTuple):
    """Change of a frame for a unit shift, a unit of log width, and the second derivative."""

    shift: np.ndarray
    width: np.ndarray
    second: np.ndarray


@functools.cache
def derivative_filter(sigma: float = FILTER_SIGMA, reach: int = REACH) -> np.ndarray:
    """Return the antisymmetric filter that turns pixels into the change for a unit shift.

    Parameters
    ----------
    sigma : float
        Width of the Gaussian light, pixels, before pixels integrate it.
    reach : int
        Pixels on either side.

    Returns
    -------
    (reach,) float64
        h_k; the change is ``sum_k h_k (M[y - k] - M[y + k])``. Of all such filters the one
        with the smallest squared error over all positions of the light within a pixel, so
        that the projection of the truth on the result is 1 in the mean over positions.
    """
    y = np.arange(-12, 13, dtype=np.float64)[:, None]
    phase = (np.arange(40) + 0.5) / 40.0 - 0.5
    light, change = gaussian_parts(y, phase, np.full(40, sigma))[:2]
    columns = [
        (np.roll(light, k, axis=0) - np.roll(light, -k, axis=0)).ravel()
        for k in range(1, reach + 1)
    ]
    return np.linalg.lstsq(np.stack(columns, axis=1), change.ravel(), rcond=None)[0]


def shifted_by_filter(frame: np.ndarray, sigma: float = FILTER_SIGMA) -> np.ndarray:
    """Return the change of a frame for a unit shift along the first axis.

    Parameters
    ----------
    frame : (n, ...) float64
        Without NaN; continued beyond its edges by their values.
    sigma : float
        Width of the light that the filter is matched to, pixels.

    Returns
    -------
    (n, ...) float64
    """
    taps, n = derivative_filter(sigma), frame.shape[0]
    padded = np.pad(frame, [(REACH, REACH)] + [(0, 0)] * (frame.ndim - 1), mode="edge")
    out = np.zeros_like(frame)
    for k, tap in enumerate(taps, 1):  # a few taps
        out += tap * (padded[REACH - k : REACH - k + n] - padded[REACH + k : REACH + k + n])
    return out


def gaussian_parts(
    y: np.ndarray, centre: np.ndarray, sigma: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return a Gaussian of unit light in pixels, and how it changes.

    Parameters
    ----------
    y : (spatial, 1) float64
        Centres of pixels.
    centre, sigma : (line,) float64
        Centre and width before pixels integrate the light, pixels.

    Returns
    -------
    light, shift, width, second : (spatial, line) float64
        Share of light in each pixel; its derivative with the centre and with ``ln sigma``;
        its second derivative with the centre.
    """
    from scipy.special import erf

    edges = ((y - 0.5 - centre) / sigma, (y + 0.5 - centre) / sigma)
    below, above = (0.5 * erf(z / SQRT2) for z in edges)
    low, high = (np.exp(-0.5 * z * z) / SQRT2PI for z in edges)
    light = above - below
    shift = (low - high) / sigma
    width = edges[0] * low - edges[1] * high
    second = width / (sigma * sigma)
    return light, shift, width, second


def profile_changes(
    frame: np.ndarray, error: np.ndarray, centre: np.ndarray, sigma: np.ndarray, half_width: float
) -> Changes:
    """Return the changes of a frame of lines of constant wavelength.

    Parameters
    ----------
    frame, error : (spatial, line) float64
        Without NaN in ``frame``; pixels whose ``error`` is not finite do not count in the fit.
    centre, sigma : (line,) float64
        Of the light of each line, pixels; a ``sigma`` of NaN leaves all to the filter.
    half_width : float
        The sum of Gaussians is fitted within this distance of the centre, pixels.

    Returns
    -------
    Changes
    """
    y = np.arange(frame.shape[0], dtype=np.float64)[:, None]
    near = np.abs(y - centre) <= half_width
    model = [np.zeros_like(frame) for _ in range(4)]
    if np.isfinite(sigma).all():
        used = np.where(near, error, np.inf)
        model = _sum_of_gaussians(y, centre, sigma, frame, used)
        finer = spline_changes(y, centre, sigma, frame, model[0], used, half_width)
        model = [a + b for a, b in zip(model, finer, strict=True)]
    rest, own = frame - model[0], filter_sigma(sigma)
    return _with_rest(rest, (y - centre,), [model[1]], model[2], [model[3]], own)[0]


def filter_sigma(sigma: np.ndarray) -> float:
    """Return the width of the light that the filter of `profile_changes` is matched to, pixels."""
    return FILTER_SIGMA if np.isfinite(sigma).all() else WIDE_SIGMA


def _with_rest(
    rest: np.ndarray,
    place: tuple[np.ndarray, ...],
    shift: list[np.ndarray],
    width: np.ndarray,
    second: list[np.ndarray],
    sigma: float = FILTER_SIGMA,
) -> list[Changes]:
    """Add what the filter says about the rest: one `Changes` for each axis of ``place``.

    The light before the pixel scales when it widens; the pixel's own width does not.
    """
    axes = range(len(place))
    slope = [_along(rest, i, sigma) for i in axes]
    curve = [_along(slope[i], i, sigma) for i in axes]
    wider = width.copy()
    for u, a, b in zip(place, slope, curve, strict=True):
        wider += -rest + u * a - PIXEL_VARIANCE * b
    return [Changes(shift[i] + slope[i], wider, second[i] + curve[i]) for i in axes]


def _along(frame: np.ndarray, axis: int, sigma: float) -> np.ndarray:
    return np.moveaxis(shifted_by_filter(np.moveaxis(frame, axis, 0), sigma), 0, axis)


def _sum_of_gaussians(
    y: np.ndarray, centre: np.ndarray, sigma: np.ndarray, frame: np.ndarray, error: np.ndarray
) -> list[np.ndarray]:
    """Fit Gaussians of one centre and fixed ratios of width (Cappellari 2002) to all lines.

    Shares of the light are common to all lines; the light is each line's own.
    Return light, shift, width and second derivative, (spatial, line).
    """
    parts = [gaussian_parts(y, centre, ratio * sigma) for ratio in WIDTHS]
    weight = 1.0 / np.where(np.isfinite(error), error * error, np.inf)
    light = np.maximum((weight * parts[BASE][0] * frame).sum(axis=0), 0.0)
    light /= np.maximum((weight * parts[BASE][0] ** 2).sum(axis=0), 1e-300)
    share = np.zeros(len(WIDTHS))
    for _ in range(3):  # shares and light in turn; the first step is nearly enough
        design = np.stack([light * part[0] for part in parts])
        share = _shares(design, frame, weight)
        shape = np.tensordot(share, np.stack([part[0] for part in parts]), axes=1)
        light = (weight * shape * frame).sum(axis=0)
        light /= np.maximum((weight * shape**2).sum(axis=0), 1e-300)
    return [
        light * np.tensordot(share, np.stack([part[i] for part in parts]), axes=1) for i in range(4)
    ]


def _shares(design: np.ndarray, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the weighted least-squares coefficients of ``design`` (part, ...), (part,).

    They may be negative: diffraction rings are. A small ridge keeps them small where the
    light lies at one place in its pixels on all lines.
    """
    flat = design.reshape(len(design), -1)
    weighted = flat * weight.ravel()
    normal, right = weighted @ flat.T, weighted @ values.ravel()
    scale = np.sqrt(np.maximum(np.diag(normal), 1e-300))
    normal /= scale * scale[:, None]
    return np.linalg.solve(normal + RIDGE * np.eye(len(scale)), right / scale) / scale


def image_changes(frame: np.ndarray, centre: tuple[float, float]) -> tuple[Changes, Changes]:
    """Return the changes of an image for shifts along its first and its second axis.

    Parameters
    ----------
    frame : (y, x) float64
        Without NaN.
    centre : (y, x)
        Position of the light, about which it widens, pixels.

    Returns
    -------
    Changes, Changes
        ``width`` is that of both axes together, the same in both.
    """
    place = tuple(np.arange(n) - c for n, c in zip(frame.shape, centre, strict=True))
    nothing = np.zeros_like(frame)
    both = [nothing, nothing]
    place = (place[0][:, None], place[1][None, :])
    down, across = _with_rest(frame, place, both, nothing, both, IMAGE_SIGMA)
    return down, across
