"""Images of a star by Fraunhofer diffraction at the telescope's pupil.

The pupil has 18 hexagonal segments, 1.32 m from side to side with gaps of 7 mm, behind a
secondary mirror on three struts. The wavefront error is one fixed draw of 72 nm rms: low
Zernike terms, and piston and tilt of each segment. A weak lens adds ``defocus rho^2``. With
the complex amplitude P(r) at wavelength w, the light at the angle a is

    I(a) = |sum_r P(r) exp(-2 pi i r a / w)|^2 = sum_s R(s) exp(-2 pi i s a / w),

with R the autocorrelation of P (Goodman, Introduction to Fourier Optics). R vanishes beyond
the pupil's diameter, so a table of it at separations ``k w / (stamp pixel)`` gives the image
at any sub-pixel position exactly: never negative, and the same sum of light over the stamp.
What falls outside the stamp appears folded back inside. The integral over a pixel multiplies
R by sinc; its arguments scale with ``1 + focus`` to make the image wider before pixels see it.

Left out: distortion, scattering inside the detectors (the cross of MIRI below 10 um) and
changes with field. Dimensions of the pupil are nominal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

__all__ = ["STAMP", "PointSpread", "amplitude", "point_spread", "wavefront"]

STAMP, FIELD = 256, 512
"""Sides of the square that holds all light of a star, pixels: usual and largest."""

FLAT_TO_FLAT, GAP = 1.32, 0.007
RADIUS = 3.3
STRUT_WIDTH = 0.11
STRUT_ANGLES = (0.0, 150.0, 210.0)
SECONDARY_RADIUS = 0.37
LOW_ORDER_RMS, PISTON_RMS, TILT_RMS = 50e-9, 35e-9, 70e-9
WAVEFRONT_SEED = 1
ARCSEC = np.pi / 180 / 3600


@dataclass(frozen=True, eq=False)
class PointSpread:
    """The image of a star, as the Fourier coefficients of its light before pixels see it.

    ``transfer`` (frequency_y, frequency_x) complex128 holds whole cycles per ``stamp`` pixels,
    along y from negative to positive ones, along x from 0; the light is their real part.
    """

    transfer: np.ndarray
    stamp: int = STAMP

    @property
    def _cycles(self) -> tuple[np.ndarray, np.ndarray]:
        n_y, n_x = self.transfer.shape
        return np.arange(n_y) - n_y // 2, np.arange(n_x)

    def image(
        self,
        shape: tuple[int, int],
        place: tuple[float, float],
        focus: float = 0.0,
        rest: tuple[float, float] | None = None,
    ) -> tuple[slice, slice, np.ndarray]:
        """Return the share of light in the pixels near a star.

        Parameters
        ----------
        shape : (int, int)
            Size of the array, pixels.
        place : (float, float)
            Position of the star, (y, x) pixels; whole numbers are centres of pixels.
        focus : float
            Relative increase of the image's width.
        rest : (float, float), optional
            Centre of the stamp, ``place`` where left out. One that stays while the star moves
            makes the light of every pixel a smooth function of the place.

        Returns
        -------
        rows, columns : slice
            The part of the array within half a stamp of ``rest``.
        share : (rows, columns) float64
            Their share of all light.
        """
        rest = place if rest is None else rest
        rows, columns = (_near(c, n, self.stamp) for c, n in zip(rest, shape, strict=True))
        make = self._scaled if focus else self._shifted
        share = make(rows, columns, place, focus)
        return rows, columns, np.maximum(share, 0.0, out=share)

    def _shifted(
        self, rows: slice, columns: slice, place: tuple[float, float], focus: float
    ) -> np.ndarray:
        """Return the share of light by fast Fourier transforms along both axes."""
        from scipy.fft import fft

        cycles_y, cycles_x = self._cycles
        phase_y = _waves(np.array([rows.start - place[0]]), cycles_y, self.stamp, focus)[0]
        phase_x = _waves(np.array([columns.start - place[1]]), cycles_x, self.stamp, focus)[0]
        table = self.transfer * phase_y[:, None] * phase_x
        half = cycles_y.size // 2
        wrapped = np.zeros((self.stamp, cycles_x.size), dtype=complex)
        wrapped[: half + 1] += table[half:]
        wrapped[self.stamp - half :] += table[:half]
        lines = fft(wrapped, axis=0, overwrite_x=True)[: rows.stop - rows.start]
        image = fft(lines, n=self.stamp, axis=1)[:, : columns.stop - columns.start]
        return image.real.copy()

    def _scaled(
        self, rows: slice, columns: slice, place: tuple[float, float], focus: float
    ) -> np.ndarray:
        """Return the share of light of an image ``1 + focus`` times as wide, by direct sums."""
        cycles_y, cycles_x = self._cycles
        y, x = (np.arange(s.start, s.stop) for s in (rows, columns))
        waves_y = _waves(y - place[0], cycles_y, self.stamp, focus)
        waves_x = _waves(x - place[1], cycles_x, self.stamp, focus)
        half = self.transfer @ waves_x.T
        return waves_y.real @ half.real - waves_y.imag @ half.imag

    def line(self, distance: np.ndarray) -> np.ndarray:
        """Return the light per pixel along y, summed along x, before pixels see it.

        Parameters
        ----------
        distance : (n,) float64
            Distance from the centre, pixels, within half a stamp.
        """
        cycles, _ = self._cycles
        wave = np.exp(-2j * np.pi / self.stamp * np.outer(distance, cycles))
        return np.maximum((wave @ self.transfer[:, 0]).real / self.stamp, 0.0)


def _near(center: float, size: int, stamp: int) -> slice:
    first = int(np.rint(center)) - stamp // 2
    start = min(max(first, 0), size)
    return slice(start, min(max(first + stamp, start), size))


def _waves(distance: np.ndarray, cycles: np.ndarray, stamp: int, focus: float) -> np.ndarray:
    """Return each frequency's mean over each pixel, (pixel, frequency) complex."""
    scaled = cycles / (stamp * (1.0 + focus))
    height = np.sinc(scaled) / (stamp * (1.0 + focus))
    return height * np.exp(-2j * np.pi * np.outer(distance, scaled))


@lru_cache(maxsize=64)
def point_spread(
    wavelength: tuple[float, ...],
    weight: tuple[float, ...],
    pixel_scale: float,
    defocus: float = 0.0,
    stamp: int = STAMP,
) -> PointSpread:
    """Return the image of a star in light of several wavelengths.

    Parameters
    ----------
    wavelength, weight : tuple of float
        Wavelengths, um, and their shares of the light, of any scale.
    pixel_scale : float
        Side of a pixel, arcsec.
    defocus : float
        Path that a weak lens adds at the edge of the pupil, um.
    stamp : {256, 512}
        Side of the square that holds all light, pixels.

    Returns
    -------
    PointSpread
    """
    tables = [_transfer(wave, pixel_scale, defocus, FIELD // stamp) for wave in wavelength]
    n_y, n_x = np.max([t.shape for t in tables], axis=0)
    total = np.zeros((n_y, n_x), dtype=complex)
    for table, share in zip(tables, np.asarray(weight) / np.sum(weight), strict=True):
        margin = (n_y - table.shape[0]) // 2
        total[margin : n_y - margin, : table.shape[1]] += share * table
    total[:, 1:] *= 2.0  # stands for the frequencies of negative x too
    return PointSpread(total, stamp)


def _transfer(wavelength: float, pixel_scale: float, defocus: float, every: int) -> np.ndarray:
    """Return the pupil's autocorrelation, 1 at its centre, (cycles_y, cycles_x >= 0)."""
    from scipy.fft import fft2, next_fast_len, rfft2

    wave = wavelength * 1e-6
    spacing = wave / (FIELD * pixel_scale * ARCSEC)
    reach = int(np.ceil((RADIUS + 0.05) / spacing))
    x = np.arange(-reach, reach + 1) * spacing
    path = wavefront(x) + defocus * 1e-6 * (x[:, None] ** 2 + x**2) / RADIUS**2
    pupil = amplitude(x) * np.exp(2j * np.pi / wave * path)
    size = next_fast_len(4 * reach + 1)
    power = np.abs(fft2(pupil, (size, size))) ** 2
    table = np.conj(rfft2(power))
    last = 2 * reach // every
    lag = np.arange(-last, last + 1) * every
    return table[np.ix_(lag, lag[last:])] / table[0, 0].real


def _centers() -> np.ndarray:
    """Return the segments' centres (x, y), (segment, 2) m: two rings round a missing one."""
    q, r = (a.ravel() for a in np.mgrid[-2:3, -2:3])
    ring = np.maximum(np.maximum(abs(q), abs(r)), abs(q + r))
    q, r = q[(ring > 0) & (ring < 3)], r[(ring > 0) & (ring < 3)]
    pitch = FLAT_TO_FLAT + GAP
    return pitch * np.stack([0.75**0.5 * q, r + 0.5 * q], axis=1)


def _coverage(inside: np.ndarray, spacing: float) -> np.ndarray:
    """Return the share of each sample inside a straight edge, from the distance to it."""
    return np.clip(0.5 + inside / spacing, 0.0, 1.0)


def amplitude(x: np.ndarray) -> np.ndarray:
    """Return the transmission of the pupil on a square grid.

    Parameters
    ----------
    x : (n,) float64
        Equally spaced coordinates of both axes, m.

    Returns
    -------
    (n, n) float64
        0 to 1, (y, x); grey at edges.
    """
    spacing = x[1] - x[0]
    out = np.zeros((x.size, x.size))
    for center in _centers():
        rows, columns, u, v = _segment(x, center)
        sides = (u * np.cos(a) + v * np.sin(a) for a in np.radians([30.0, 90.0, 150.0]))
        farthest = np.max([abs(s) for s in sides], axis=0)
        out[rows, columns] += _coverage(0.5 * FLAT_TO_FLAT - farthest, spacing)
    across, along = x[None, :], x[:, None]
    for angle in np.radians(STRUT_ANGLES):
        beside = abs(across * np.cos(angle) - along * np.sin(angle))
        before = across * np.sin(angle) + along * np.cos(angle) > 0
        out *= 1.0 - before * _coverage(0.5 * STRUT_WIDTH - beside, spacing)
    return out * _coverage(np.hypot(across, along) - SECONDARY_RADIUS, spacing)


def _segment(x: np.ndarray, center: np.ndarray) -> tuple[slice, slice, np.ndarray, np.ndarray]:
    """Return the rows and columns that hold a segment, and coordinates from its centre."""
    reach = 0.6 * (FLAT_TO_FLAT + GAP)
    columns, rows = (slice(*np.searchsorted(x, [c - reach, c + reach])) for c in center)
    u, v = np.meshgrid(x[columns] - center[0], x[rows] - center[1])
    return rows, columns, u, v


def wavefront(x: np.ndarray) -> np.ndarray:
    """Return the wavefront error on a square grid, (n, n) float64 m; see `amplitude`."""
    rng = np.random.default_rng(WAVEFRONT_SEED)
    a, b = x[None, :] / RADIUS, x[:, None] / RADIUS
    rho2 = a**2 + b**2
    terms = (
        6**0.5 * 2 * a * b,
        6**0.5 * (a**2 - b**2),
        8**0.5 * (3 * rho2 - 2) * a,
        8**0.5 * (3 * rho2 - 2) * b,
        8**0.5 * a * (a**2 - 3 * b**2),
        8**0.5 * b * (3 * a**2 - b**2),
        5**0.5 * (6 * rho2**2 - 6 * rho2 + 1),
    )
    strength = rng.standard_normal(len(terms))
    strength *= LOW_ORDER_RMS / np.sqrt((strength**2).sum())
    out = sum(s * t for s, t in zip(strength, terms, strict=True))
    for center in _centers():
        piston, tilt_x, tilt_y = rng.standard_normal(3) * (PISTON_RMS, TILT_RMS, TILT_RMS)
        rows, columns, u, v = _segment(x, center)
        inside = np.max(
            [abs(v), *(abs(u * 0.75**0.5 + s * 0.5 * v) for s in (1, -1))], axis=0
        ) < 0.5 * (FLAT_TO_FLAT + GAP)
        own = piston + (tilt_x * u + tilt_y * v) / (0.5 * FLAT_TO_FLAT)
        out[rows, columns] += inside * own
    return out
