"""Weights that do not see the light of other spectral orders.

Extraction sums an integration with static weights w, flux = sum(w D). With I_m the image of
order m, the sum also takes l_m = sum(w I_m) of each other order. What another order does in
one integration is itself a weighted sum, h_m, of the same column: the least-squares amplitude
of I_m fitted to the column together with all other orders. The weights

    w' = w - sum over m of l_m h_m

give what w gives, less l_m times the amplitude of each other order *in that integration*. So
sum(w' I_m) = 0 for the others and sum(w' I_o) is unchanged: the estimate stays linear, its
weights constant in time, and its error propagates exactly. Where w are optimal weights of all
pixels that h uses, w' are those of the joint fit.

Axes are (order, spatial, dispersion).
"""

from __future__ import annotations

import numpy as np

__all__ = ["amplitude_weights", "without_others"]

CORE = 0.1
"""Of the brightest pixel of a column: fainter pixels of an order do not tell its amplitude."""
PRIOR = 10.0
"""Amplitude of another order relative to its median, 1 sigma of a Gaussian about zero.

What is fainter than a tenth of the noise of its own amplitude cannot be measured, nor does it
matter; the prior keeps its noise out."""


def amplitude_weights(images: np.ndarray, variance: np.ndarray, target: int) -> np.ndarray:
    """Return weights whose sum over a column is the amplitude of each order.

    Parameters
    ----------
    images : (order, spatial, dispersion) float
        From `tsoxr.kernels.order_model.separated`.
    variance : (spatial, dispersion) float
        Variance of a pixel in one integration; pixels without a positive one are left out.
    target : int
        Index of the order that has no prior: the other weights do not see it at all.

    Returns
    -------
    (order, spatial, dispersion) float64
        h with sum(h_m I_k) = 1 for m = k and 0 for m != k, but for the prior `PRIOR`.
    """
    images = np.asarray(images, dtype=np.float64)
    core = (images > CORE * images.max(axis=1, keepdims=True)).any(axis=0)
    used = core & np.isfinite(variance) & (variance > 0)
    over = np.where(used, images / np.where(used, variance, 1.0), 0.0)
    normal = np.einsum("oyx,pyx->xop", over, images)
    n_order = len(images)
    for m in range(n_order):
        normal[:, m, m] += 0.0 if m == target else PRIOR**-2
    empty = normal[:, target, target] <= 0.0
    normal[empty, target, target] = 1.0
    return np.einsum("xop,pyx->oyx", np.linalg.inv(normal), over)


def without_others(
    weight: np.ndarray, images: np.ndarray, variance: np.ndarray, target: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return weights that do not see the other orders, and the light expected in each pixel.

    Parameters
    ----------
    weight : (spatial, dispersion) float
        Any weights of one order.
    images : (order, spatial, dispersion) float
        From `tsoxr.kernels.order_model.separated`, in the unit that ``weight`` takes.
    variance : (spatial, dispersion) float
        Variance of a pixel in one integration.
    target : int
        Index of the order that the weights are for.

    Returns
    -------
    weight, share : (spatial, dispersion) float64
        ``share`` is the part that each pixel adds to the sum when all orders shine as in the
        images: it sums to 1, or is 0 in columns where the order has no light. With it the
        sum over the usable pixels alone is right however many orders lie in the lost ones.
    """
    seen = np.einsum("yx,oyx->ox", weight, images)
    seen[target] = 0.0
    amplitude = amplitude_weights(images, variance, target)
    cleaned = weight - np.einsum("ox,oyx->yx", seen, amplitude)
    expected = cleaned * images.sum(axis=0)
    total = expected.sum(axis=0)
    lit = total > 0.0
    return cleaned, np.divide(expected, total, out=np.zeros_like(expected), where=lit)
