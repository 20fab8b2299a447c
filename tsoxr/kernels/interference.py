r"""Periodic signals on the clock of the read-out: their amplitudes, and their removal.

A signal of frequency f is :math:`\mathrm{Re}(A e^{2\pi i f t})`. A pixel read at the delay
:math:`\tau` of a frame that starts at T sees :math:`\mathrm{Re}(A\,w\,z)` with the phasors
:math:`w = e^{2\pi i f T}` of the frame and :math:`z = e^{2\pi i f \tau}` of the pixel. The
model is therefore linear in A, and the data enter it only through the sums of each frame over
pixels times ``z``: one matrix product. Times are integers, in ticks of the clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

__all__ = [
    "Waves",
    "fit_exposure",
    "fit_integrations",
    "frame_phasors",
    "information",
    "levels_of_frames",
    "pixel_basis",
    "quiet_weights",
    "remove_waves",
    "straight",
    "without_scene",
]

NOISY = 4.0
"""Pixels with more than this times the median variance do not measure."""


@dataclass(frozen=True, eq=False)
class Waves:
    """What is known before the data: ``frequency`` (wave,) cycles per tick, when and where.

    ``ticks`` (y, x) int64 is the tick of each pixel within a frame, ``outputs`` (y, x) int64
    its output, ``good`` (y, x) bool whether it may be trusted.
    """

    frequency: np.ndarray
    ticks: np.ndarray
    outputs: np.ndarray
    good: np.ndarray


def frame_phasors(start: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Return the phasors of frames, mean over the frames of each group.

    Parameters
    ----------
    start : (time, group, frame) int64
        Tick of the exposure at which each frame starts.
    frequency : (wave,) float64
        Cycles per tick.

    Returns
    -------
    (time, group, wave) complex128
    """
    cycles = (start[..., None] * frequency) % 1.0
    return np.exp(2j * np.pi * cycles).mean(axis=2)


def pixel_basis(ticks: np.ndarray, frequency: np.ndarray) -> np.ndarray:
    """Return cos and -sin of the phase at each tick, (..., 2 wave) float32, cosines first."""
    angle = 2.0 * np.pi * ((np.asarray(ticks)[..., None] * frequency) % 1.0)
    return np.concatenate([np.cos(angle), -np.sin(angle)], axis=-1).astype(np.float32)


def straight(n_group: int) -> np.ndarray:
    """Return the matrix (group, group) that takes mean and slope off a ramp; mean only below 4."""
    powers = np.vander(np.arange(n_group, dtype=float), 2 if n_group > 3 else 1)
    basis = np.linalg.qr(powers)[0]
    return np.eye(n_group) - basis @ basis.T


def information(phasors: np.ndarray, *, per_ramp: bool) -> np.ndarray:
    """Return which part of each wave survives when the scene is taken off, 0 to 1.

    Parameters
    ----------
    phasors : (time, group, wave) complex
        Of the frames.
    per_ramp : bool
        The scene is a straight line for each ramp, instead of any mean ramp.

    Returns
    -------
    (wave,) float64
    """
    left = without_scene(phasors, per_ramp=per_ramp)
    return (np.abs(left) ** 2).mean(axis=(0, 1)) / (np.abs(phasors) ** 2).mean(axis=(0, 1))


def without_scene(values: np.ndarray, *, per_ramp: bool) -> np.ndarray:
    """Take the scene off (time, group, ...): it is linear in the data, so also off the model."""
    n_group = values.shape[1]
    if per_ramp:
        return np.einsum("gh,th...->tg...", straight(n_group).astype(values.real.dtype), values)
    left = values - values.mean(axis=1, keepdims=True) if n_group > 1 else values
    return left - left.mean(axis=0)


def quiet_weights(residual: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Return the inverse of the median variance for pixels that measure, 0 for the others.

    Bright pixels, and those that were hit, have more variance than others and are left out. The
    rest have one weight: weights from their own N samples would favour pixels whose noise
    happens to counter the wave, and lower its amplitude by the part 2 / N.

    Parameters
    ----------
    residual : (time, group, y, x) float32
        Data without the scene.
    good : (y, x) bool
        Pixels to trust.

    Returns
    -------
    (y, x) float32
    """
    variance = np.einsum("tgyx,tgyx->yx", residual, residual) / np.prod(residual.shape[:2])
    usable = good & np.isfinite(variance) & (variance > 0)
    if not usable.any():
        return np.zeros(good.shape, np.float32)
    typical = np.median(variance[usable])
    return np.where(usable & (variance <= NOISY * typical), 1.0 / typical, 0.0).astype(np.float32)


def _projector(waves: Waves, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weighted basis (pixel, 2 wave) free of levels of outputs, and its Gram matrix."""
    basis, weight = pixel_basis(waves.ticks, waves.frequency).astype(np.float64), weights.ravel()
    basis = basis.reshape(weight.size, -1)
    for output in np.unique(waves.outputs):
        own = waves.outputs.ravel() == output
        total = weight[own].sum(dtype=np.float64)
        if total > 0:
            basis[own] -= weight[own] @ basis[own] / total
    weighted = weight[:, None] * basis
    return weighted.astype(np.float32), basis.T @ weighted


def _rotations(phasors: np.ndarray) -> np.ndarray:
    """Return the matrices (..., 2 wave, 2 wave) that turn real and imaginary parts by phasors."""
    n_wave = phasors.shape[-1]
    out = np.zeros((*phasors.shape[:-1], 2 * n_wave, 2 * n_wave))
    k = np.arange(n_wave)
    out[..., k, k] = out[..., n_wave + k, n_wave + k] = phasors.real
    out[..., k, n_wave + k] = -phasors.imag
    out[..., n_wave + k, k] = phasors.imag
    return out


def fit_exposure(
    residual: np.ndarray, phasors: np.ndarray, weights: np.ndarray, waves: Waves, *, per_ramp: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Fit one amplitude and phase of each wave by weighted linear least squares.

    Levels of frames and outputs are free, and the scene is taken off data and model alike;
    so neither biases the result.

    Parameters
    ----------
    residual : (time, group, y, x) float32
        Data without the scene, DN.
    phasors : (time, group, wave) complex
        Of the frames.
    weights : (y, x) float32
        See `quiet_weights`.
    waves : Waves
        Frequencies and clock.
    per_ramp : bool
        As for `information`.

    Returns
    -------
    amplitude : (wave,) complex128
        A, DN.
    error : (wave,) float64
        Standard deviation of one component of A, DN, from the scatter of the integrations.
    """
    projector, gram = _projector(waves, weights)
    turn = _rotations(without_scene(phasors, per_ramp=per_ramp))
    seen = residual.reshape(*residual.shape[:2], -1) @ projector
    parts = np.einsum("tgij,tgi->tj", turn, seen)
    normal = np.einsum("tgij,ik,tgkl->tjl", turn, gram, turn)
    found, inverse = _solved(normal.sum(axis=0), parts.sum(axis=0))
    left = parts - normal @ found
    n_time = max(left.shape[0], 2)
    covariance = inverse @ (left.T @ left) @ inverse * n_time / (n_time - 1)
    n_wave = waves.frequency.size
    variance = np.diag(covariance)
    error = np.sqrt(0.5 * (variance[:n_wave] + variance[n_wave:]))
    return found[:n_wave] + 1j * found[n_wave:], error


def _solved(normal: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not normal.any():
        return np.zeros_like(right), np.zeros_like(normal)
    inverse = np.linalg.pinv(normal, rcond=1e-10, hermitian=True)
    return inverse @ right, inverse


def fit_integrations(
    ramp: np.ndarray,
    phasors: np.ndarray,
    weights: np.ndarray,
    waves: Waves,
    *,
    sigma: float = 5.0,
) -> np.ndarray:
    """Fit the waves of each integration alone, against a straight line for each ramp.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        Counts, at least 4 groups.
    phasors, weights, waves
        As for `fit_exposure`.
    sigma : float
        Values farther than this from zero, in standard deviations, are left out.

    Returns
    -------
    (time, wave) complex128
        A, DN.
    """
    projector, gram = _projector(waves, weights)
    n_wave, line = waves.frequency.size, straight(ramp.shape[1]).astype(np.float32)
    limit = np.where(weights > 0, sigma / np.sqrt(np.where(weights > 0, weights, 1.0)), 0.0)
    turn = _rotations(without_scene(phasors, per_ramp=True))
    out = np.zeros((ramp.shape[0], n_wave), complex)
    for t in range(ramp.shape[0]):
        frames = line @ ramp[t].reshape(ramp.shape[1], -1).astype(np.float32)
        frames[~(np.abs(frames) <= limit.ravel())] = 0.0
        seen = frames @ projector
        right = np.einsum("gij,gi->j", turn[t], seen)
        found, _ = _solved(np.einsum("gij,ik,gkl->jl", turn[t], gram, turn[t]), right)
        out[t] = found[:n_wave] + 1j * found[n_wave:]
    return out


def levels_of_frames(amplitude: np.ndarray, phasors: np.ndarray) -> np.ndarray:
    """Return what multiplies the basis of `pixel_basis`, (time, group, 2 wave) float32."""
    turned = amplitude[..., None, :] * phasors
    return np.concatenate([turned.real, turned.imag], axis=-1).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def remove_waves(ramp, levels, basis, place):  # noqa: ANN001, ANN201 -- numba
    """Return the ramps minus the waves.

    Parameters
    ----------
    ramp : (time, group, y, x) number
        Counts.
    levels : (time, group, 2 wave) float32
        See `levels_of_frames`.
    basis : (2 wave, tick) float32
        Basis at the ticks that occur.
    place : (y, x) int64
        Which of them is that of the pixel.

    Returns
    -------
    (time, group, y, x) float32
    """
    n_time, n_group, n_y, n_x = ramp.shape
    out = np.empty((n_time, n_group, n_y, n_x), np.float32)
    wave = np.empty(basis.shape[1], np.float32)
    for t in range(n_time):
        for g in range(n_group):
            wave[:] = 0.0
            for k in range(basis.shape[0]):
                level = levels[t, g, k]
                for i in range(wave.size):
                    wave[i] += level * basis[k, i]
            for y in range(n_y):
                for x in range(n_x):
                    out[t, g, y, x] = np.float32(ramp[t, g, y, x]) - wave[place[y, x]]
    return out
