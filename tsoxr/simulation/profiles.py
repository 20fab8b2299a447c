"""How light is spread across dispersion: cumulative profiles, and painting them on pixels.

A profile is the table of its cumulative distribution over u, the distance from the trace's
centre in units of a width that may change with wavelength. The share of light in a pixel is
the difference of the distribution at its edges, so no light is lost or gained between pixels
at any shift, and profiles of any shape cost the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

__all__ = ["Profile", "gaussian_profile", "paint", "sampled_profile"]

KNOTS = 8001


@dataclass(frozen=True, eq=False)
class Profile:
    """Cumulative distribution at ``start + k step``, k = 0, 1, ...; 0 before, 1 after."""

    start: float
    step: float
    cumulative: np.ndarray

    @property
    def reach(self) -> float:
        """Largest distance that holds light, in widths."""
        return max(-self.start, self.start + self.step * (self.cumulative.size - 1))

    @property
    def fwhm(self) -> float:
        """Distance between the outermost points at half of the largest density, in widths."""
        density = np.diff(self.cumulative)
        half = 0.5 * density.max()
        above = np.flatnonzero(density >= half)
        first, last = above[0], above[-1]
        left = (density[first] - half) / (density[first] - density[first - 1])
        right = (density[last] - half) / (density[last] - density[last + 1])
        return float(self.step * (last - first + left + right))


def gaussian_profile(wing: float = 0.04, wing_scale: float = 4.0) -> Profile:
    """Return a Gaussian of unit width, a share ``wing`` of it ``wing_scale`` times as wide.

    Parameters
    ----------
    wing : float
        Share of the light in the wide Gaussian.
    wing_scale : float
        Its width.
    """
    from scipy.special import erf

    u = np.linspace(-6.0 * wing_scale, 6.0 * wing_scale, KNOTS)
    table = 0.5 + 0.5 * (
        (1.0 - wing) * erf(u / np.sqrt(2.0)) + wing * erf(u / np.sqrt(2.0) / wing_scale)
    )
    table[0], table[-1] = 0.0, 1.0
    return Profile(float(u[0]), float(u[1] - u[0]), table)


def sampled_profile(u: np.ndarray, density: np.ndarray) -> Profile:
    """Return the profile of a density sampled at equal distances.

    Parameters
    ----------
    u : (n,) float64
        Distances from the centre, ascending and equally spaced, in widths.
    density : (n,) float64
        Light per unit of u, not negative, of any scale.
    """
    step = float(u[1] - u[0])
    table = np.concatenate([[0.0], np.cumsum(density)])
    return Profile(float(u[0]) - 0.5 * step, step, table / table[-1])


@numba.njit(cache=True, nogil=True)
def _below(u, start, per_step, table):  # noqa: ANN001, ANN202 -- numba infers the types
    place = (u - start) * per_step
    if place <= 0.0:
        return 0.0
    k = int(place)
    if k >= table.size - 1:
        return 1.0
    return table[k] + (place - k) * (table[k + 1] - table[k])


@numba.njit(cache=True, nogil=True)
def paint(frame, pixel, light, slope, delay, center, width, response, start, step, table):  # noqa: ANN001, ANN201, PLR0913, PLR0917 -- numba infers the types
    """Add the light of one order to a frame.

    Parameters
    ----------
    frame : (spatial, dispersion) float64
        Receives electrons; may be a transposed view.
    pixel : (wavelength,) int64
        Pixel along dispersion of each wavelength.
    light : (wavelength,) float64
        Electrons of each wavelength.
    slope : (wavelength,) float64
        Their change with the time of reading, electron/s.
    delay : (spatial, dispersion) float32
        Time of reading of each pixel less that of its wavelength, s.
    center, width : (wavelength,) float64
        Centre of the trace and width of the profile, pixels.
    response : (part,) float64
        Relative response of equal parts of a pixel, from one edge to the other.
    start, step, table : float, float, (knot,) float64
        The `Profile`.
    """
    n_spatial = frame.shape[0]
    n_parts = response.size
    reach_down, reach_up = -start, start + step * (table.size - 1)
    per_step = 1.0 / step
    for k in range(pixel.size):
        j, w = pixel[k], width[k]
        first = max(0, int(np.floor(center[k] - reach_down * w)))
        last = min(n_spatial - 1, int(np.ceil(center[k] + reach_up * w)))
        for i in range(first, last + 1):
            share = 0.0
            low = _below((i - 0.5 - center[k]) / w, start, per_step, table)
            for m in range(n_parts):
                edge = i - 0.5 + (m + 1.0) / n_parts
                high = _below((edge - center[k]) / w, start, per_step, table)
                share += response[m] * (high - low)
                low = high
            frame[i, j] += share * (light[k] + slope[k] * delay[i, j])
