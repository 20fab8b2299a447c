"""Which light of a frame belongs to which spectral order.

Where spectra of several orders lie side by side, the wings of each reach into the apertures of
the others, and the orders may even overlap. The frame is described by

    D(y, x) = sum over orders o of  F_o(x) P_o(y - c_o(x), x)

with traces c_o that are known, profiles P_o smooth along the dispersion (`order_profiles`), and
light F_o tied together by the spectrum that all orders show (`order_spectrum`). With P fixed the
model is linear in F, with F fixed in P: both are fitted in turn. What the model leaves of a
pixel goes to the orders in proportion to the variances that the roughness of their profiles
(flat field, sampling) explains, and the rest of it stays out as noise: the parts add up to the
frame within its noise.

Axes are (order, spatial, dispersion).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsoxr.kernels import order_basis, order_profiles, order_spectrum

__all__ = ["Geometry", "contamination", "separated"]

ROUGH_AT_FIRST = 0.1
"""Relative error of the first guess of the profiles."""
REJECT = 5.0
"""Pixels that many sigma off the model belong to no order: bad ones, and field stars."""
SMOOTH = 0.01
"""A profile is no smoother than this: so well do splines and polynomials follow it."""
SIGNAL = 30.0
"""Signal over noise of the pixels that tell how rough a profile is."""
SPREAD = 0.4549
"""Median of the square of a standard normal deviate."""


@dataclass(frozen=True)
class Geometry:
    """Where the orders lie and what they show, each (order, dispersion) float64.

    center : trace, pixels from the first spatial one; NaN where the order has no light.
    wavelength : um, NaN where it has none.
    throughput : relative within and among orders, NaN where unknown.
    accuracy : (order,) relative error of the throughput.
    """

    center: np.ndarray
    wavelength: np.ndarray
    throughput: np.ndarray
    accuracy: np.ndarray


def separated(
    image: np.ndarray,
    variance: np.ndarray,
    geometry: Geometry,
    *,
    shared: bool = True,
    n_iterations: int = 8,
) -> np.ndarray:
    """Return the image of each order.

    Parameters
    ----------
    image, variance : (spatial, dispersion) float
        Median frame, background removed, and its variance; pixels where they are not finite or
        the variance is not positive are left out, and the images continued across them.
    geometry : Geometry
        Of the orders.
    shared : bool
        Tie the orders together by the spectrum that they share.
    n_iterations : int
        Number of times that profiles and light are fitted.

    Returns
    -------
    (order, spatial, dispersion) float64
        0 in lines and columns without a usable pixel.
    """
    good = np.isfinite(image) & np.isfinite(variance) & (variance > 0)
    data = np.where(good, image, 0.0).astype(np.float64)
    noise = np.where(good, variance, 1.0).astype(np.float64)
    lit = np.isfinite(geometry.center)
    distance = np.arange(image.shape[0])[:, None] - np.where(lit, geometry.center, 0.0)[:, None]
    place = order_basis.knot_places(distance)
    profile = order_profiles.guess(distance) * lit[:, None]
    used = good
    weight = soft = np.where(good, 1.0 / (noise + (ROUGH_AT_FIRST * data) ** 2), 0.0)
    light = order_spectrum.fitted_light(profile, data, soft, None)
    for _ in range(n_iterations):
        found, factor = order_profiles.fitted(place, light * lit, data, weight)
        profile = np.clip(order_basis.paint(place, found), 0.0, None) * lit[:, None]
        expected = _expected(light * factor, geometry) if shared else None
        light = order_spectrum.fitted_light(profile, data, soft, expected)
        model = (light[:, None] * profile).sum(axis=0)
        rough = max(_roughness(data - model, noise, np.where(used, model, 0.0)), SMOOTH)
        spread = noise + (rough * model) ** 2
        off = np.abs(data - model) / (REJECT * np.sqrt(spread))
        used = good & (off <= 1.0)
        weight = np.where(used, 1.0 / spread, 0.0)
        # a column that is off as a whole must be able to come back (Huber 1964)
        soft = np.where(good, 1.0 / (spread * np.maximum(off, 1.0)), 0.0)
    parts = light[:, None] * profile
    left = np.where(used, data - model, 0.0)
    explained = (rough * parts) ** 2
    parts += left * explained / (noise + explained.sum(axis=0))
    seen = good.any(axis=1)[:, None] & good.any(axis=0)
    return parts * seen


def _expected(light: np.ndarray, geometry: Geometry) -> order_spectrum.Expected:
    return order_spectrum.expected_light(
        light, geometry.wavelength, geometry.throughput, geometry.accuracy
    )


def _roughness(left: np.ndarray, noise: np.ndarray, model: np.ndarray) -> float:
    """Return the rms departure of pixels from the model, relative to it, noise removed.

    The median of left^2 / (noise + rough^2 model^2) over bright pixels is `SPREAD`; the median
    does not see bad pixels. Solved by fixed-point steps.
    """
    bright = model > SIGNAL * np.sqrt(noise)
    if bright.sum() < 100:
        return 0.0
    square, floor = (left[bright] / model[bright]) ** 2, noise[bright] / model[bright] ** 2
    rough, usual = 0.0, float(np.median(floor))
    for _ in range(8):
        ratio = float(np.median(square / (floor + rough**2))) / SPREAD
        rough = float(np.sqrt(max((rough**2 + usual) * ratio - usual, 0.0)))
    return rough


def contamination(images: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Return the share of the light in the aperture of each order that belongs to others.

    Parameters
    ----------
    images, cover : (order, spatial, dispersion) float
        From `separated` and, of each order, `tsoxr.kernels.extraction.coverage`.

    Returns
    -------
    (order, dispersion) float64
        NaN where the aperture holds no light.
    """
    inside = np.einsum("oyx,pyx->opx", cover, images)
    own = np.einsum("oox->ox", inside)
    total = inside.sum(axis=1)
    share = np.divide(total - own, total, out=np.full(own.shape, np.nan), where=total > 0)
    return np.where(cover.any(axis=1), share, np.nan)
