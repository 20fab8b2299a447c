"""What a sum of Gaussians leaves of a profile, as a spline that pixels integrate.

Diffraction rings are no sum of Gaussians about one centre. What is left of a profile is the same
for all lines where distances are measured in widths of the profile, and the pixels of a tilted
trace sample it everywhere: cubic splines of fixed knots (Anderson & King 2000, PASP 112, 1360, for
the idea of an effective profile), integrated over pixels, are fitted to all lines together.
Their derivatives are exact.
"""

from __future__ import annotations

import numpy as np

__all__ = ["cubic_spline", "spline_changes"]

KNOT_DISTANCE = 0.8
"""Of the standard deviation of the profile."""
RIDGE = 1e-2
"""Of the diagonal of the normal matrix: places that no pixel samples stay at zero."""


def cubic_spline(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return integral, value and derivative of the cubic B-spline of knots at whole numbers.

    Parameters
    ----------
    z : (...) float64
        Distance from the middle of its support, -2 to 2.

    Returns
    -------
    integral, value, slope : (...) float64
        The integral runs from 0 to 1.
    """
    a = np.minimum(np.abs(z), 2.0)
    inner = a < 1.0
    b = 2.0 - a
    value = np.where(inner, 2.0 / 3.0 - a**2 + 0.5 * a**3, b**3 / 6.0)
    slope = np.sign(z) * np.where(inner, -2.0 * a + 1.5 * a**2, -0.5 * b**2)
    half = np.where(inner, 2.0 / 3.0 * a - a**3 / 3.0 + a**4 / 8.0, 0.5 - b**4 / 24.0)
    return 0.5 + np.sign(z) * half, value, slope


def spline_changes(
    y: np.ndarray,
    centre: np.ndarray,
    sigma: np.ndarray,
    frame: np.ndarray,
    model: np.ndarray,
    error: np.ndarray,
    half_width: float,
) -> list[np.ndarray]:
    """Fit what a model leaves of a frame, and return the fit and its changes.

    Parameters
    ----------
    y : (spatial, 1) float64
        Centres of pixels.
    centre, sigma : (line,) float64
        Centre and width of the light, pixels.
    frame, model, error : (spatial, line) float64
        The frame, its model so far, and the errors; pixels whose error is not finite do not count.
    half_width : float
        Pixels to either side of the centre that are fitted.

    Returns
    -------
    light, shift, width, second : (spatial, line) float64
        As of `templates.gaussian_parts`, each line times its light.
    """
    rows, lines = np.nonzero(np.isfinite(error))
    light = model.sum(axis=0)[lines]
    reach = half_width / np.median(sigma)
    knots = np.arange(-reach, reach + KNOT_DISTANCE, KNOT_DISTANCE)
    low, high = ((y[rows, 0] + side - centre[lines]) / sigma[lines] for side in (-0.5, 0.5))
    below, above = (cubic_spline((s - knots[:, None]) / KNOT_DISTANCE) for s in (low, high))
    parts = above[0] - below[0]
    weight = 1.0 / error[rows, lines] ** 2
    design = light * parts
    weighted = weight * design
    normal = weighted @ design.T
    size = np.sqrt(np.maximum(np.diag(normal), 1e-300))
    right = weighted @ (frame - model)[rows, lines]
    scaled = normal / (size * size[:, None]) + RIDGE * np.eye(size.size)
    share = np.linalg.solve(scaled, right / size) / size
    wide = sigma[lines]
    value = [share @ v / KNOT_DISTANCE for v in (below[1], above[1])]
    slope = [share @ v / KNOT_DISTANCE**2 for v in (below[2], above[2])]
    changes = (
        share @ parts,
        (value[0] - value[1]) / wide,
        low * value[0] - high * value[1],
        (slope[1] - slope[0]) / wide**2,
    )
    out = [np.zeros(frame.shape) for _ in changes]
    for image, change in zip(out, changes, strict=True):
        image[rows, lines] = light * change
    return out
