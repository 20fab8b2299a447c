"""How far the lines of a spectrum lie from where its wavelengths put them, in pixels.

The spectrum is a sum of parts that stay on their pixels (the continuum: the exponential of a
polynomial, which spans decades, times a polynomial) times parts that move (lines, or a model spectrum): ``flux(x) = sum_j c_j B_j(x) C_j(x + d(x))`` with
``d(x) = shift + stretch t(x)`` pixels and t from -1 to 1 along the spectrum. For each d the
coefficients follow linearly. The best d of a grid is refined by Gauss-Newton steps, in which
the derivatives of the moving parts are further columns. For independent errors this reaches
the Cramer-Rao limit, which a cross-correlation reaches only where the continuum is flat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Parts", "Shift", "line_parts", "measure", "model_parts", "shifted"]

OVERSAMPLING = 8
"""Samples of the moving parts in each pixel."""

N_STEPS = 12


@dataclass(frozen=True)
class Parts:
    """Columns of the fit: ``still`` (part, pixel), and ``moving`` (part, sample) on ``samples``.

    ``samples`` counts pixels, as fine as `OVERSAMPLING`, beyond the spectrum on both sides.
    """

    still: np.ndarray
    moving: np.ndarray
    samples: np.ndarray


@dataclass(frozen=True)
class Shift:
    """Result: pixels and their errors, chi-squared over freedom, and what was fitted."""

    shift: float
    shift_error: float
    stretch: float
    stretch_error: float
    significance: float
    reduced_chi2: float
    fitted: np.ndarray


def _samples(n: int, reach: float) -> np.ndarray:
    margin = int(np.ceil(reach)) + 3
    return np.arange(-margin * OVERSAMPLING, (n + margin) * OVERSAMPLING) / OVERSAMPLING


def _extended(wavelength: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Interpolate (pixel,) wavelengths at fractional pixels; straight on beyond the ends."""
    pixel = np.arange(wavelength.size)
    out = np.interp(at, pixel, wavelength)
    first, last = wavelength[1] - wavelength[0], wavelength[-1] - wavelength[-2]
    out = np.where(at < 0, wavelength[0] + at * first, out)
    return np.asarray(np.where(at > pixel[-1], wavelength[-1] + (at - pixel[-1]) * last, out))


def _envelope(values: np.ndarray, degree: int) -> np.ndarray:
    """Return the exponential of a polynomial that follows values (pixel,) over decades."""
    least = 1e-3 * max(float(np.percentile(values, 95)), 1e-300)
    columns = _polynomials(values.size, degree)
    logarithm = np.log(np.maximum(values, least))
    return np.asarray(np.exp(np.linalg.lstsq(columns.T, logarithm, rcond=None)[0] @ columns))


def _polynomials(n: int, degree: int) -> np.ndarray:
    """Return polynomials (degree + 1, pixel) of the place along the spectrum."""
    return np.asarray(np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, n), degree).T)


def _seen(values: np.ndarray, width: float) -> np.ndarray:
    """Return samples as pixels of an instrument see them: a Gaussian of ``width`` FWHM, and the pixel."""
    sigma = max(width / 2.3548, 1e-3) * OVERSAMPLING
    half = int(np.ceil(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    kernel = np.convolve(kernel / kernel.sum(), np.ones(OVERSAMPLING + 1) / (OVERSAMPLING + 1))
    padded = np.pad(values, kernel.size // 2, mode="edge")
    return np.convolve(padded, kernel, mode="valid")[: values.size]


def line_parts(
    flux: np.ndarray,
    wavelength: np.ndarray,
    lines: np.ndarray,
    *,
    width: float,
    reach: float,
    degree: int,
) -> Parts:
    """Return a continuum, with polynomials of one degree twice, and lines of unknown depth.

    Parameters
    ----------
    flux, wavelength : (pixel,) float
        Spectrum, finite, and its wavelengths, strictly monotonic.
    lines : (line,) float
        Where the lines are, in the unit of ``wavelength``.
    width : float
        Full width at half maximum of a line, pixels.
    reach : float
        Largest shift, pixels.
    degree : int
        Of the continuum.
    """
    n, samples = flux.size, _samples(flux.size, reach)
    rising = wavelength[-1] > wavelength[0]
    place = np.interp(
        lines if rising else -lines,
        _extended(wavelength, samples) if rising else -_extended(wavelength, samples),
        samples,
    )
    smooth = _envelope(flux, degree)
    still = smooth * _polynomials(n, degree)
    sigma = max(width / 2.3548, 1e-3)
    moving = np.exp(-0.5 * ((samples - place[:, None]) / np.hypot(sigma, 12**-0.5)) ** 2)
    ones = np.ones((still.shape[0], samples.size))
    return Parts(
        np.concatenate([still, np.broadcast_to(smooth, (lines.size, n))]),
        np.concatenate([ones, moving]),
        samples,
    )


def model_parts(
    flux: np.ndarray,
    wavelength: np.ndarray,
    model: tuple[np.ndarray, np.ndarray],
    *,
    width: float,
    reach: float,
    degree: int,
) -> Parts:
    """Return a model spectrum times what takes it to the spectrum, as the continuum of lines.

    Parameters
    ----------
    flux, wavelength : (pixel,) float
        Spectrum, finite, and its wavelengths, strictly monotonic.
    model : (sample,) float, (sample,) float
        Wavelengths, ascending, and light of the model; its mean over each sample is taken.
    width : float
        Full width at half maximum that the instrument gives a sharp line, pixels.
    reach : float
        Largest shift, pixels.
    degree : int
        Of the polynomial.
    """
    samples = _samples(flux.size, reach)
    half = 0.5 / OVERSAMPLING
    edges = _extended(wavelength, np.append(samples - half, samples[-1] + half))
    at, light = model
    total = np.concatenate([[0.0], np.cumsum(0.5 * (light[1:] + light[:-1]) * np.diff(at))])
    step = np.diff(edges)
    finer = np.median(np.diff(at)) < np.abs(step).min()
    middle = np.interp(_extended(wavelength, samples), at, light)
    values = np.diff(np.interp(edges, at, total)) / step if finer else middle
    seen = _seen(values, width)
    ours = np.interp(np.arange(flux.size), samples, seen)
    still = _envelope(flux / np.maximum(ours, 1e-300), degree) * _polynomials(flux.size, degree)
    return Parts(still, np.broadcast_to(seen, (still.shape[0], samples.size)), samples)


class _Solver:
    """Least squares of a spectrum by parts at given shifts."""

    def __init__(self, flux: np.ndarray, error: np.ndarray, parts: Parts) -> None:
        self.good = np.isfinite(flux) & np.isfinite(error) & (error > 0)
        self.flux = np.where(self.good, flux, 0.0)
        self.weight = np.where(self.good, 1.0 / np.where(self.good, error, 1.0), 0.0)
        self.parts = parts
        self.pixel = np.arange(flux.size, dtype=np.float64)
        self.along = np.linspace(-1.0, 1.0, flux.size)
        self.slope = np.gradient(parts.moving, 1.0 / OVERSAMPLING, axis=1)

    def _at(self, table: np.ndarray, delta: np.ndarray) -> np.ndarray:
        at = (self.pixel + delta - self.parts.samples[0]) * OVERSAMPLING
        index = np.clip(at.astype(np.int64), 0, table.shape[1] - 2)
        part = at - index
        return np.asarray(table[:, index] * (1 - part) + table[:, index + 1] * part)

    def at(self, shift: float, stretch: float) -> tuple[float, np.ndarray, np.ndarray]:
        """Return chi-squared, the fit, and its derivative by the shift, (pixel,)."""
        delta = shift + stretch * self.along
        columns = self.parts.still * self._at(self.parts.moving, delta)
        solution, _ = self._solved(columns, self.flux * self.weight)
        fitted = solution @ columns
        chi2 = float((((self.flux - fitted) * self.weight) ** 2).sum())
        derivative = solution @ (self.parts.still * self._at(self.slope, delta))
        return chi2, fitted, derivative

    def step(self, shift: float, stretch: float, both: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return how to change (shift, stretch), and the covariance of the two."""
        delta = shift + stretch * self.along
        columns = self.parts.still * self._at(self.parts.moving, delta)
        _, fitted, derivative = self.at(shift, stretch)
        more = [derivative, derivative * self.along] if both else [derivative]
        residual = (self.flux - fitted) * self.weight
        change, covariance = self._solved(np.concatenate([more, columns]), residual)
        return change[: len(more)], covariance[: len(more), : len(more)]

    def _solved(self, columns: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return coefficients of columns (part, pixel) and their covariance, by normal equations."""
        design = columns * self.weight
        scale = np.maximum(np.sqrt((design**2).sum(axis=1)), 1e-300)
        design /= scale[:, None]
        inverse = np.linalg.pinv(design @ design.T, rcond=1e-13, hermitian=True)
        return (inverse @ (design @ target)) / scale, inverse / np.outer(scale, scale)


def measure(
    flux: np.ndarray, error: np.ndarray, parts: Parts, *, reach: float, stretch: bool = False
) -> Shift:
    """Return by how many pixels the moving parts must be read farther on.

    Parameters
    ----------
    flux, error : (pixel,) float
        Spectrum and its errors; pixels that are not finite count nothing.
    parts : Parts
        See `line_parts` and `model_parts`.
    reach : float
        Largest shift, pixels.
    stretch : bool
        Fit a linear change of the shift along the spectrum too.

    Returns
    -------
    Shift
        ``wavelength(x + shift + stretch t)`` of the old scale belongs to pixel x. Errors are
        the square root of chi-squared over freedom, or of the same in the pixels that tell the shift
        times the length over which residuals are alike, where that is more than noise: a model which does not fit makes them larger,
        and a continuum that it cannot follow is no line. ``significance`` is that of the moving
        parts at the best shift against those at the median of all shifts, sigma, with the same
        scale; 0 where the best lies beyond ``reach``.
    """
    solver = _Solver(flux, error, parts)
    trials = np.arange(-reach, reach + 1e-9, 0.25)
    chi2 = np.array([solver.at(s, 0.0)[0] for s in trials])
    place = np.array([trials[np.argmin(chi2)], 0.0])
    n_fitted = 1 + int(stretch)
    for _ in range(N_STEPS):
        change, _ = solver.step(place[0], place[1], stretch)
        change = np.clip(change, -0.5, 0.5)
        place[:n_fitted] += change
        if np.abs(change).max() < 1e-5:
            break
    best, fitted, derivative = solver.at(*place)
    _, covariance = solver.step(place[0], place[1], stretch)
    freedom = max(int(solver.good.sum()) - parts.still.shape[0] - n_fitted, 1)
    reduced = best / freedom
    local = _misfit((solver.flux - fitted) * solver.weight, derivative * solver.weight)
    misfit = max(reduced, local, 1.0)
    errors = np.sqrt(np.maximum(np.diag(covariance), 0.0) * misfit)
    gain = (np.median(chi2) - best) / misfit
    return Shift(
        shift=float(place[0]),
        shift_error=float(errors[0]),
        stretch=float(place[1]),
        stretch_error=float(errors[1]) if stretch else 0.0,
        significance=float(np.sqrt(max(gain, 0.0))) if abs(place[0]) <= reach else 0.0,
        reduced_chi2=float(reduced),
        fitted=fitted,
    )


def _misfit(residual: np.ndarray, derivative: np.ndarray) -> float:
    """Return by what factor the variance of a shift exceeds that of white noise, (pixel,) each.

    Residuals count as their pixels do in the shift, and as often as neighbours are alike (as in the
    covariances of Newey & West 1987, Econometrica 55, 703). 1 where noise may do the same.
    """
    weight = derivative**2 / max(float(np.mean(derivative**2)), 1e-300)
    alike = residual * np.sqrt(weight)
    mean = float(np.mean(alike**2))
    chance = 1.0 + 3.0 * np.sqrt(2.0 * np.mean(weight**2) / residual.size)
    return mean * _correlation_length(alike) if mean > chance else 1.0


def _correlation_length(residual: np.ndarray) -> float:
    """Return how many successive residuals say the same: 1 for white noise.

    One and twice the sum of the autocorrelations before the first that noise would explain.
    """
    centred = residual - residual.mean()
    power = np.abs(np.fft.rfft(centred, 2 * centred.size)) ** 2
    covariance = np.fft.irfft(power)[: centred.size]
    if not covariance[0] > 0.0:
        return 1.0
    alike = covariance[1:] / covariance[0]
    end = np.flatnonzero(alike < 2.0 / np.sqrt(centred.size))
    return float(1.0 + 2.0 * alike[: end[0] if end.size else None].sum())


def shifted(wavelength: np.ndarray, shift: float, stretch: float = 0.0) -> np.ndarray:
    """Return wavelengths read ``shift + stretch t`` pixels farther on along the last axis.

    Parameters
    ----------
    wavelength : (..., pixel) float64
        NaN where there is none.
    shift, stretch : float
        Pixels; t runs from -1 to 1 along the axis.

    Returns
    -------
    (..., pixel) float64
        NaN where it was NaN; beyond the ends of the finite run the scale goes straight on.
    """
    n = wavelength.shape[-1]
    at = np.arange(n) + shift + stretch * np.linspace(-1.0, 1.0, n)
    out = np.full(wavelength.shape, np.nan)
    rows, results = wavelength.reshape(-1, n), out.reshape(-1, n)
    for row, result in zip(rows, results, strict=True):
        known = np.flatnonzero(np.isfinite(row))
        if known.size > 1:
            run = row[known[0] : known[-1] + 1]
            full = np.interp(np.arange(run.size), known - known[0], row[known])
            result[known] = _extended(full, at - known[0])[known]
    return out
