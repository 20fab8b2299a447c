"""Shape of NIRISS SOSS light: traces, throughputs, profile, sky and field stars.

Compact formulae fitted to public calibrations and to frames of WASP-39 (programme 1366):

- traces: those of `tsoxr.kernels.trace_nominal`, fitted to that visit; order 1 within
  0.2 pixel of the median of five published ones, order 2 within 1.1 pixel of it, order 3
  within 0.7 pixel of the mean of two, where these are bright, and 1.6 pixels from the
  in-flight SPECTRACE reference 0023 elsewhere (that visit is turned from it by 0.05 degrees).
  The pupil wheel stands where it turns the reference trace into that visit's;
- throughput, photons to electrons: Chebyshev series of its logarithm over the range of
  `tsoxr.kernels.wavelength.NOMINAL`, to SPECTRACE 0023; standard deviation 0.6, 2.4 and 4.9%
  for orders 1, 2 and 3 where it exceeds 2% of its peak, largest departure 3, 18 and 18%.
  Orders 2 and 3 are lowered by 18%, which brings them within 20% of the frame of WASP-39
  relative to order 1;
- profile: one shape for all orders, a plateau with two horns on a wide Gaussian and
  exponential wings, to the mean profile of order 1; standard deviation 2% of the plateau,
  while the real horns move with wavelength by 5 to 13% of it; the width is 22 pixels at
  2.7 um and 24 pixels at 0.9 um, within 0.5 pixel of the measured full widths;
- sky: a line, a step of 3 pixels near column 700 and a cubic, to the in-flight background of
  SUBSTRIP96; standard deviation 0.9%, 6% on the step itself. It is the same in all rows;
- field stars: 14 images of order 0 in the F277W frame, each a bar with a halo. Their light
  in CLEAR is 2.2 times as bright (four isolated ones: 1.8 to 2.3).

F277W passes the red end of order 1 alone; its edge at 2.416 um is that of the ratio of the
two frames. Its sky, a seventh of that in CLEAR, is a guess.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev

from tsoxr.kernels.trace_nominal import COMMANDED, NOMINAL_TRACES, VISIT_WHEEL, center_at
from tsoxr.kernels.wavelength import NOMINAL, pixel_at, wavelength_at
from tsoxr.simulation.instruments import Trace
from tsoxr.simulation.profiles import Profile, sampled_profile

__all__ = ["CONTRAST", "field_stars", "order_trace", "sky_pattern"]

LOG_THROUGHPUTS = {
    1: (-1.41, -0.487, -0.274, 0.271, -0.17, 0.036, 0.004, -0.027),
    2: (-4.251, -2.111, -1.031, 1.462, -0.075, 0.277, -0.15, -0.114, -0.034),
    3: (-4.957, 1.006, -1.308, 0.616, -0.295, 0.103),
}
REACH = 100.0
"""Where the wings of the profile end, pixels: at 0.08% of the plateau."""

FULL_WIDTHS = {1: (25.6, -1.5), 2: (29.6, -5.4), 3: (25.1, 0.0)}
"""Full width at half maximum, pixels: constant and change per um."""

LEAST_SHARE = 0.02
"""An order ends where less of its profile than this falls on the subarray."""

F277W_EDGE, F277W_SCALE, F277W_DARK = 2.4155, 0.004, 2.38
F277W_PEAK = 0.86

STARS = (
    # column and row of SUBSTRIP256, peak in F277W in DN/s
    (1899, 35, 5.4), (1458, 153, 4.1), (1165, 105, 3.4), (1005, 207, 2.6), (1947, 185, 2.2),
    (843, 46, 1.8), (1830, 210, 1.7), (1702, 187, 1.4), (850, 145, 1.3), (1678, 0, 1.0),
    (1015, 60, 0.9), (966, 222, 0.9), (1327, 208, 0.8), (1856, 70, 0.8),
)  # fmt: skip
CONTRAST = {"CLEAR": 2.2 / 430.0, "F277W": 1.0 / 30.0}
"""Light in the filter relative to F277W, over the brightest pixel of WASP-39 in DN/s."""


@lru_cache(maxsize=1)
def soss_profile() -> Profile:
    """Return the profile in units of its full width at half maximum / 2.3548."""
    from scipy.special import ndtr

    def bump(height: float, center: float, sigma: float) -> np.ndarray:
        return height * np.exp(-0.5 * ((y - center) / sigma) ** 2)

    y = np.arange(-REACH, REACH + 0.01, 0.05)
    plateau = ndtr((y + 10.6) / 3.03) - ndtr((y - 10.6) / 3.03)
    horns = bump(0.95, -8.2, 1.91) + bump(1.76, 8.0, 2.3)
    density = plateau + horns + bump(1.01, -2.0, 7.63) + 0.13 * np.exp(-np.abs(y) / 19.5)
    return sampled_profile(y * (2.3548 / 23.0), density)


def order_trace(order: int, band: str, first_row: int, n_rows: int) -> Trace:
    """Return where the light of one order falls.

    Parameters
    ----------
    order : {1, 2, 3}
        Spectral order.
    band : {"CLEAR", "F277W"}
        Filter in the light path.
    first_row : int
        Row of SUBSTRIP256 at which the subarray begins, from 0.
    n_rows : int
        Rows that see light; what falls beyond them is lost.
    """
    relation, trace = NOMINAL[f"niriss-soss/{order}"], NOMINAL_TRACES[f"niriss-soss/{order}"]
    wheel = VISIT_WHEEL - COMMANDED
    lowest, highest = relation.wavelength_range
    profile = soss_profile()

    def center(pixel: np.ndarray) -> np.ndarray:
        return center_at(trace, pixel, wheel=VISIT_WHEEL) - first_row

    def width(wave: np.ndarray) -> np.ndarray:
        constant, slope = FULL_WIDTHS[order]
        return (constant + slope * wave) / 2.3548

    def kept(pixel: np.ndarray, wave: np.ndarray) -> np.ndarray:
        knots = profile.start + profile.step * np.arange(profile.cumulative.size)
        below = [
            np.interp((row - 0.5 - center(pixel)) / width(wave), knots, profile.cumulative)
            for row in (0, n_rows)
        ]
        return below[1] - below[0]

    def wavelength(pixel: np.ndarray) -> np.ndarray:
        wave = wavelength_at(relation, pixel, wheel=wheel)
        dark = (kept(pixel, wave) < LEAST_SHARE) | (pixel < 4) | (pixel > 2043)
        if band == "F277W":
            dark |= wave < F277W_DARK
        return np.where(dark, np.nan, wave)

    def throughput(wave: np.ndarray) -> np.ndarray:
        scaled = 2.0 * (wave - lowest) / (highest - lowest) - 1.0
        out = np.exp(chebyshev.chebval(scaled, LOG_THROUGHPUTS[order]))
        if band == "F277W":
            out *= F277W_PEAK / (1.0 + np.exp(-(wave - F277W_EDGE) / F277W_SCALE))
        return out * kept(pixel_at(relation, wave, wheel=wheel), wave)

    return Trace(wavelength, center, width, throughput, order, profile)


def sky_pattern(shape: tuple[int, int]) -> np.ndarray:
    """Return the light of the sky relative to its mean, (y, x)."""
    x = np.arange(shape[1], dtype=float)
    u = (x - 700.0) / 1350.0
    left = 4.738 - 0.094 * (x - 350.0) / 350.0
    dip = 0.403 * np.exp(-np.maximum(x - 700.0, 0.0) / 30.0)
    right = 7.267 + u * (1.852 + u * (-6.709 + u * 0.819)) - dip
    above = 1.0 / (1.0 + np.exp(-np.clip((x - 698.6) / 2.87, -50.0, 50.0)))
    column = left + above * (right - left)
    return np.broadcast_to(column / column.mean(), shape)


def field_stars(shape: tuple[int, int], first_row: int, contrast: float) -> np.ndarray:
    """Return the images of order 0 of stars in the field, (y, x).

    Parameters
    ----------
    shape : (int, int)
        Rows and columns of the subarray.
    first_row : int
        Row of SUBSTRIP256 at which the subarray begins, from 0.
    contrast : float
        Factor from the peaks of `STARS`.
    """
    y, x = np.arange(shape[0])[:, None] + first_row, np.arange(shape[1])[None, :]
    out = np.zeros(shape)
    for column, row, peak in STARS:
        dy, dx = y - row, x - column
        ends = 1.0 / (1.0 + np.exp((np.abs(dy) - 11.0) / 1.5))
        bar = ends * np.exp(-0.5 * (dx / 1.8) ** 2)
        halo = np.exp(-0.5 * ((dx / 6.0) ** 2 + (dy / 11.0) ** 2))
        out += contrast * peak * (0.75 * bar + 0.25 * halo)
    return out
