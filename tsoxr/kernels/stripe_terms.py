"""What is static about the rise of each pixel to one group, in the memory order of the ramp."""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["GroupTerms", "fill_terms", "gradient", "parts_of_groups", "piece"]


@numba.njit(cache=True, nogil=True)
def piece(scene, a, begin, end):  # noqa: ANN001, ANN201 -- numba
    """Return the six parts of the scene (6, a, b) in a piece of one row, each contiguous."""
    return (
        scene[0, a, begin:end], scene[1, a, begin:end], scene[2, a, begin:end],
        scene[3, a, begin:end], scene[4, a, begin:end], scene[5, a, begin:end],
    )  # fmt: skip


@numba.njit(cache=True, nogil=True)
def fill_terms(rise, scene, parts, median, light, weight):  # noqa: ANN001, ANN201 -- numba
    """Fill the terms (n,) of a piece of a line; ``parts`` from `parts_of_groups`."""
    u, bend, slope = parts[0], parts[1], parts[2]
    curve, star, usable, noise, photon, model = scene
    for k in range(rise.size):
        median[k] = u * rise[k] + bend * curve[k]
    for k in range(rise.size):
        light[k] = u * star[k] + slope * curve[k]
    for k in range(rise.size):
        variance = noise[k] + u * photon[k] + u * u * model[k]
        w = np.float32(1.0) / (variance if variance > 0 else np.float32(1.0))
        weight[k] = w if usable[k] > 0 else np.float32(0.0)


def parts_of_groups(group_time: np.ndarray) -> np.ndarray:
    """Return u, u (1 - u) and the factor of the bend in the light of each group, (group, 3)."""
    span = group_time[-1] - group_time[0]
    u, early = (group_time - group_time[0]) / span, group_time[0] / span
    parts = [u, u * (1.0 - u), (u + early) * (1.0 - 2.0 * u) - early]
    return np.stack(parts, axis=-1).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def _fill(rise, scene, parts, images):  # noqa: ANN001, ANN202 -- numba
    for a in range(rise.shape[0]):
        here = piece(scene, a, 0, rise.shape[1])
        fill_terms(rise[a], here, parts, images[0, a], images[1, a], images[2, a])


@numba.njit(cache=True, nogil=True)
def gradient(values, out):  # noqa: ANN001, ANN201 -- numba
    """Fill ``out`` with the derivative of ``values`` (a, b) along a, as `numpy.gradient` does."""
    last = values.shape[0] - 1
    for a in range(last + 1):
        before, after = values[max(a - 1, 0)], values[min(a + 1, last)]
        step = np.float32(min(a + 1, last) - max(a - 1, 0))
        for b in range(values.shape[1]):
            out[a, b] = (after[b] - before[b]) / step


class GroupTerms:
    """Median rise, its derivative by the star's light, and inverse variance, group by group.

    The formulas are those of `tsoxr.kernels.stripe_scene.terms_of_groups`, of which one group
    is held at a time.

    Parameters
    ----------
    rise : (a, b) float32
        Median rise to the last group.
    scene : (6, a, b) float32
        `tsoxr.kernels.stripe_scene.SCENE`.
    group_time : (group,) float
        Times since reset.
    """

    def __init__(self, rise: np.ndarray, scene: np.ndarray, group_time: np.ndarray) -> None:
        self._rise = np.ascontiguousarray(rise, np.float32)
        self._scene = np.ascontiguousarray(scene, np.float32)
        self._parts = parts_of_groups(group_time)
        self._images = np.empty((3, *rise.shape), np.float32)

    def at(self, group: int) -> np.ndarray:
        """Return median, light, weight (3, a, b) float32, which the next call overwrites."""
        _fill(self._rise, self._scene, self._parts[group], self._images)
        return self._images
