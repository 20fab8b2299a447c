"""A smooth curve through positions, and its straight continuation."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["smooth_curve"]

CENTROID_FLOOR = 0.02
"""Systematic error of one centroid, pixels: flat field and intra-pixel response."""


def smooth_curve(
    centre: np.ndarray,
    centre_error: np.ndarray,
    degree: int,
    n_iterations: int = 10,
    clip: float = 5.0,
    *,
    spline: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a Legendre series or a spline to centroids and continue it straight beyond them.

    Parameters
    ----------
    centre, centre_error : (dispersion,) float64
        Centroids and their errors, pixels; NaN where there is none.
    degree : int
        Degree of the series.
    n_iterations : int
        Rounds of leaving out lines and fitting again.
    clip : float
        Lines farther off are left out, in units of the robust scatter of the residuals.
    spline : bool
        Fit a cubic spline of ``degree`` pieces of equal length instead.

    Returns
    -------
    curve : (dispersion,) float64
        Beyond the first and last line used it goes on along its tangent, because a
        polynomial outside its data goes anywhere.
    used : (dispersion,) bool
        Lines that the fit rests on.

    Raises
    ------
    ValueError
        With fewer centroids than the series has coefficients.
    """
    line = np.arange(centre.size, dtype=np.float64)
    used = np.isfinite(centre)
    n_needed = degree + 3 if spline else degree
    if used.sum() <= n_needed:
        raise ValueError(
            f"smooth_curve: {used.sum()} centroids; a series of degree {degree} needs more"
        )
    weight = 1.0 / np.hypot(np.where(used, centre_error, 1.0), CENTROID_FLOOR)
    for _ in range(n_iterations):
        first, last = line[used][[0, -1]]
        fit = _spline if spline else _series
        curve, slope = fit(line[used], centre[used], weight[used], degree)
        inner = np.clip(line, first, last)
        residual = np.abs(centre - curve(inner)) * weight
        scatter = max(1.4826 * np.median(residual[used]), 1e-6)
        kept = (residual <= clip * scatter) & (line >= first) & (line <= last)
        if np.array_equal(kept, used) or kept.sum() <= n_needed:
            break
        used = kept
    inside = np.clip(line, first, last)
    return curve(inside) + slope(inside) * (line - inside), used


def _series(
    place: np.ndarray, value: np.ndarray, weight: np.ndarray, degree: int
) -> tuple[Any, Any]:
    """Return a Legendre series and its slope, as functions."""
    domain = [place[0], max(place[-1], place[0] + 1.0)]
    curve = np.polynomial.Legendre.fit(place, value, degree, domain=domain, w=weight)
    return curve, curve.deriv()


def _spline(
    place: np.ndarray, value: np.ndarray, weight: np.ndarray, n_pieces: int
) -> tuple[Any, Any]:
    """Return a cubic spline and its slope, as functions; pieces without data are joined."""
    from scipy.interpolate import make_lsq_spline

    knots = np.linspace(place[0], place[-1], n_pieces + 1)[1:-1]
    filled = np.searchsorted(place, np.concatenate([[place[0]], knots, [place[-1]]]))
    knots = knots[np.diff(filled)[:-1] >= 4] if knots.size else knots
    padded = np.concatenate([np.full(4, place[0]), knots, np.full(4, place[-1])])
    curve = make_lsq_spline(place, value, padded, k=3, w=weight)
    return curve, curve.derivative()
