"""Shifts and widths from sums over an integration: moments and cross-correlation.

Both are simpler than the fit of `tsoxr.kernels.motion`, and noisier. What a sum over a window
makes of a unit shift is computed with the templates of change, so that both give shifts of
the right size where the light is undersampled or the window cuts its wings.

Shapes: kernels (kernel, spatial, line) float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tsoxr.kernels.motion_model import Model

__all__ = ["correlation", "correlation_kernels", "moment_kernels", "moments"]

LAGS = np.arange(-2, 3)
"""Whole pixels at which frames are correlated."""
TRIAL = 0.02
"""Shift with which the scale of a correlation is found, pixels."""
LEAST_GAIN = 0.3
"""A correlation that follows less of a shift than this has no peak of its own."""
SMOOTH = 3
"""Degree of the continuum that is taken off a spectrum before it is correlated."""


def _offsets(model: Model, *, joint: bool) -> list[np.ndarray]:
    n_rows, n_lines = model.weight.shape
    y = np.arange(n_rows, dtype=np.float64)[:, None] - model.centre[0]
    return [y, np.broadcast_to(np.arange(n_lines) - model.centre[1], y.shape)] if joint else [y]


def moment_kernels(model: Model, *, joint: bool) -> np.ndarray:
    """Return what samples are multiplied by for the first moments and the second.

    Parameters
    ----------
    model : Model
        Whose changes are the shift, with ``joint`` also the shift along the second axis.
    joint : bool
        For an image: moments along both axes.

    Returns
    -------
    (kernel, spatial, line) float64
        First moment along each axis, then the second moment; 0 beyond the pixels used.
    """
    place = _offsets(model, joint=joint)
    square = sum(u * u for u in place)
    return np.where(model.weight > 0.0, np.stack([*place, square]), 0.0)


def moments(
    sums: np.ndarray, kernels: np.ndarray, model: Model, changes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return shifts and relative widening from moments.

    Parameters
    ----------
    sums : (time, 1 + kernel) float64
        Of `motion.estimates`.
    kernels : (kernel, spatial, line) float64
        Of `moment_kernels`.
    model : Model
        Mean frame and weights.
    changes : (kernel, spatial, line) float64
        Templates of the shifts and of the width.

    Returns
    -------
    value, error : (time, kernel) float64
    """
    scale = np.einsum("iyx,jyx->ij", kernels, np.where(model.weight > 0.0, changes, 0.0))
    inverse = np.linalg.inv(scale)
    rest = (kernels * model.parts[0]).sum(axis=(1, 2))
    return (sums[:, 1:] - rest) @ inverse.T, _error(sums, np.tensordot(inverse, kernels, 1), model)


def _error(sums: np.ndarray, estimator: np.ndarray, model: Model) -> np.ndarray:
    variance = np.where(
        model.weight > 0.0, 1.0 / np.where(model.weight > 0.0, model.weight, 1.0), 0.0
    )
    return np.sqrt((estimator**2 * variance).sum(axis=(1, 2))) / sums[:, :1]


def correlation_kernels(model: Model, *, joint: bool) -> np.ndarray:
    """Return shifted frames: five lags across dispersion, then five along.

    Parameters
    ----------
    model : Model
        Mean frame and weights.
    joint : bool
        For an image: the frame itself is shifted along both axes. On a spectrum the light of
        its lines is, without its continuum.

    Returns
    -------
    (10, spatial, line) float64
        0 beyond the pixels used.
    """
    frame, used = model.parts[0], model.weight > 0.0
    across = [_moved(frame, lag, 0) for lag in LAGS]
    along = [_moved(frame, lag, 1) for lag in LAGS] if joint else _lines(frame, model.weight)
    return np.where(used, np.stack([*across, *along]), 0.0)


def _moved(array: np.ndarray, lag: Any, axis: int) -> np.ndarray:
    """Return an array moved by whole pixels, continued by the values at its edges."""
    n = array.shape[axis]
    return np.take(array, np.clip(np.arange(n) - lag, 0, n - 1), axis=axis)


def _lines(frame: np.ndarray, weight: np.ndarray) -> list[np.ndarray]:
    """Return images whose sums with a frame correlate its spectrum with the mean one."""
    square = (weight * frame**2).sum(axis=0)
    used = square > 0.0
    light = np.where(used, np.where(weight > 0.0, frame, 0.0).sum(axis=0), 0.0)
    safe = np.where(used, light, 1.0)
    inverse = np.where(used, square / safe**2, 0.0)  # inverse variance of the light of a line
    place = np.linspace(-1.0, 1.0, light.size)
    continuum = np.polynomial.legendre.legvander(place, SMOOTH)
    root = np.sqrt(inverse)[:, None]
    projector = np.linalg.pinv(continuum * root)
    out = []
    for lag in LAGS:  # five
        moved = _moved(light, lag, 0)
        lines = moved - continuum @ (projector @ (moved * root[:, 0]))
        per_line = inverse * lines * safe / np.where(used, square, 1.0)
        out.append(per_line * weight * frame)
    return out


def _vertex(sums: np.ndarray) -> np.ndarray:
    """Return the place of the largest of five values by the parabola through it, (time,)."""
    best = np.clip(np.nan_to_num(sums).argmax(axis=1), 1, LAGS.size - 2)
    rows = np.arange(len(sums))
    low, top, high = (sums[rows, best + k] for k in (-1, 0, 1))
    curve = 2.0 * top - low - high
    return LAGS[best] + 0.5 * (high - low) / np.where(curve != 0.0, curve, np.nan)


def correlation(
    sums: np.ndarray, kernels: np.ndarray, model: Model, changes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the shifts across and along dispersion from correlations.

    Parameters
    ----------
    sums : (time, 11) float64
        Of `motion.estimates`.
    kernels : (10, spatial, line) float64
        Of `correlation_kernels`.
    model : Model
        Mean frame and weights.
    changes : (2, spatial, line) float64
        Templates of the two shifts.

    Returns
    -------
    value, error : (time, 2) float64
        NaN where the correlation has no peak.
    """
    n = LAGS.size
    rest = np.tensordot(kernels, model.parts[0], axes=((1, 2), (0, 1)))
    value, error = np.full((len(sums), 2), np.nan), np.full((len(sums), 2), np.nan)
    for i in range(2):
        part = slice(i * n, (i + 1) * n)
        own = kernels[part]
        moved = rest[part] + TRIAL * np.tensordot(own, changes[i], axes=((1, 2), (0, 1)))
        still, trial = _vertex(np.stack([rest[part], moved]))
        gain = (trial - still) / TRIAL
        if rest[part].argmax() != n // 2 or not gain > LEAST_GAIN:
            continue  # no peak: the light has no structure along this axis
        value[:, i] = (_vertex(sums[:, 1:][:, part]) - still) / gain
        middle = n // 2
        curve = 2.0 * rest[part][middle] - rest[part][middle - 1] - rest[part][middle + 1]
        estimator = 0.5 * (own[middle + 1] - own[middle - 1]) / (curve * gain)
        error[:, i : i + 1] = _error(sums, estimator[None], model)
    return value, error
