"""The noise that slopes and spectra must have, from photons and reads alone.

Of n groups read an interval dt apart, the differences have the covariance
``C = S I + R^2 D`` with S electrons per interval, single-read noise R and D the second
difference matrix (2 on the diagonal, -1 beside it). The best linear slope has the variance
``1 / (1^T C^-1 1)``. D has the eigenvectors ``sqrt(2/n) sin(pi k j / n)`` and the
eigenvalues ``4 sin^2(pi k / 2n)``, so the sum over odd k

    1^T C^-1 1 = sum_k (2/n) cot^2(pi k / 2n) / (S + 4 R^2 sin^2(pi k / 2n))

needs no matrix. An optimal extraction (Horne 1986, PASP 98, 609) of a known profile P from
pixels of variance V has the variance ``1 / sum(P^2 / V)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsoxr import dq
from tsoxr.simulation.ramp import steady_rate

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["along_wavelength", "pixel_variance", "slope_variance", "spectral_variance"]


def slope_variance(
    rate: np.ndarray, read_noise: np.ndarray, interval: float, n_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the variance of the best linear slope: photon part and read part.

    Parameters
    ----------
    rate : (...) float64
        electron/s.
    read_noise : (...) float64
        Noise of a single read, electron.
    interval : float
        Time between groups, s.
    n_groups : int
        With one group the slope is its signal over ``interval``, from a known zero.

    Returns
    -------
    photon, read : (...) float64
        electron^2 / s^2; their sum is the variance.
    """
    signal = np.maximum(np.asarray(rate, dtype=float) * interval, 1e-6)
    read2 = np.asarray(read_noise, dtype=float) ** 2
    if n_groups == 1:
        return signal / interval**2, read2 / interval**2
    total, photon, read = (np.zeros(np.broadcast(signal, read2).shape) for _ in range(3))
    for k in range(1, n_groups, 2):
        angle = 0.5 * np.pi * k / n_groups
        weight = 2.0 / n_groups / np.tan(angle) ** 2
        curved = 4.0 * read2 * np.sin(angle) ** 2
        total += weight / (signal + curved)
        photon += weight * signal / (signal + curved) ** 2
        read += weight * curved / (signal + curved) ** 2
    scale = (total * interval) ** 2
    return photon / scale, read / scale


def pixel_variance(exposure: Exposure) -> tuple[np.ndarray, np.ndarray]:
    """Return photon and read variance of the slope of each pixel out of transit.

    Returns
    -------
    photon, read : (y, x) float64
        electron^2 / s^2, as if both sources were on. Of averaged frames, each group has the
        read noise of their mean; that photons of one group correlate with the next is left out.
    """
    maps, clock = exposure.maps, exposure.clock
    rate = exposure.scene.star * maps.response + steady_rate(exposure)
    noise = maps.read_noise.astype(float) * maps.gain / np.sqrt(clock.n_frames)
    return slope_variance(rate, noise, clock.group_interval, exposure.n_groups)


def spectral_variance(exposure: Exposure) -> tuple[np.ndarray, np.ndarray]:
    """Return photon and read variance of an optimally extracted spectrum out of transit.

    Returns
    -------
    photon, read : (wavelength,) float64
        electron^2 / s^2, as if both sources were on; of an image, (1,): its photometry. Bad
        pixels are left out.
    """
    photon, read = pixel_variance(exposure)
    good = ~dq.has_flag(exposure.maps.dq, "DO_NOT_USE", "REFERENCE_PIXEL")
    share = exposure.component.share() * exposure.maps.response * good
    weight = share / (photon + read)
    norm = along_wavelength(exposure, weight * share)
    parts = (along_wavelength(exposure, weight**2 * v) / norm**2 for v in (photon, read))
    return tuple(parts)  # type: ignore[return-value]


def along_wavelength(exposure: Exposure, image: np.ndarray) -> np.ndarray:
    """Return the sum of an image (y, x) over space, (wavelength,); of an image's star, (1,)."""
    if exposure.setup.imaging:
        return image.sum()[None]
    axis = 0 if exposure.setup.spatial_dim == "y" else 1
    return image.sum(axis=axis)[exposure.component.pixel]
