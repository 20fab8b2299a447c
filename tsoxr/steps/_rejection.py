"""Rejection of hits by the spatial profile, before the sum over the cube."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq
from tsoxr.kernels import extraction, profile_rejection
from tsoxr.lazy import static_from_sample
from tsoxr.steps._extraction import N_SAMPLE, bare

__all__ = ["Rejection", "rejection"]

BLOCK = 2**24
"""Bytes of flags that are copied at a time."""


@dataclass(frozen=True)
class Rejection:
    """What decides about hits: the threshold, and what is expected of each pixel.

    ``expected`` (expectation, space, along) float64 is that of
    `tsoxr.kernels.profile_rejection.flag_hits`.
    """

    sigma: float
    expected: xr.DataArray

    def before(self, func: Callable[..., Any]) -> _Rejecting:
        """Return ``func`` of cubes as one that takes ``expected`` first and rejects hits before."""
        bits = int(dq.bits(*dq.UNUSABLE_RATE)), int(dq.bits("OUTLIER"))
        return _Rejecting(func, self.sigma, bits)


@dataclass(frozen=True)
class _Rejecting:
    func: Callable[..., Any]
    sigma: float
    bits: tuple[int, int]

    def __call__(
        self, expected: Any, data: Any, error: Any, flags: Any, *static: Any, **settings: Any
    ) -> tuple[np.ndarray, ...]:
        """Return what ``func`` does, and the number of hits (time, along), block by block."""
        n = max(1, BLOCK // max(4 * data[0].size, 1)) if len(data) else 1
        done = []
        for first in range(0, max(len(data), 1), n):
            cubes = tuple(cube[first : first + n] for cube in (data, error, flags))
            clean, found = profile_rejection.flag_hits(
                *cubes, expected, sigma=self.sigma, bits=self.bits
            )
            done.append((*self.func(*cubes[:2], clean, *static, **settings), found))
        return tuple(np.concatenate(parts) for parts in zip(*done, strict=True))


def rejection(
    ds: xr.Dataset,
    images: xr.DataArray,
    profile: xr.DataArray,
    frame: tuple[xr.DataArray, xr.DataArray, float],
    sigma: float,
) -> Rejection:
    """Return what rejects hits from rates.

    Parameters
    ----------
    ds : Dataset
        Rates.
    images : DataArray (image, space, along)
        From `_extraction.median_images`.
    profile : DataArray (space, along)
        Share of the electrons of each column.
    frame : (DataArray, DataArray, float)
        Trace, pixels from the first spatial one; gain (space, along); half width of the aperture.
    sigma : float
        Threshold.
    """
    _, space, along = images.dims
    center, gain, half_width = frame
    dims = ("expectation", space, along)
    expected = xr.apply_ufunc(
        _expected,
        images,
        profile,
        center,
        gain.transpose(space, along),
        kwargs={"half_width": half_width},
        input_core_dims=[images.dims, [space, along], [along], [space, along]],
        output_core_dims=[list(dims)],
        dask="parallelized",
        dask_gufunc_kwargs={"output_sizes": {"expectation": 3}},
        output_dtypes=[np.float64],
    )
    cubes = [bare(ds[n]).transpose("time", space, along) for n in ("rate", "rate_error", "dq")]
    return Rejection(
        float(sigma),
        static_from_sample(_measured, *cubes, expected, dims=dims, dtype="f8", n_sample=N_SAMPLE),
    )


def _expected(
    images: np.ndarray, profile: np.ndarray, center: np.ndarray, gain: np.ndarray, half_width: float
) -> np.ndarray:
    """Return profile and weights for the rates as they are, and 1 where a pixel is tested."""
    cover = extraction.coverage(center, profile.shape[0], half_width)
    variance = images[1].astype(np.float64) ** 2
    known = np.isfinite(gain) & (gain > 0) & np.isfinite(variance) & (variance > 0) & (cover > 0)
    share = np.where(known, profile / np.where(known, gain, 1.0), 0.0)
    weight, _ = extraction.optimal_weights(share, variance, np.where(known, cover, 0.0))
    return np.stack([share, weight, np.where(known, 1.0, np.inf)])


def _measured(
    rate: np.ndarray, error: np.ndarray, flags: np.ndarray, expected: np.ndarray
) -> np.ndarray:
    """Return what is expected with the scatter of a sample in place of the ones."""
    tested = np.isfinite(expected[2])
    lines = np.flatnonzero(tested.any(axis=1))
    if lines.size == 0:
        return expected
    rows = slice(lines[0], lines[-1] + 1)
    value, own, marks = rate[:, rows], error[:, rows], flags[:, rows]
    usable = (marks & dq.bits(*dq.UNUSABLE_RATE)) == 0
    usable &= tested[rows] & np.isfinite(value) & (own > 0) & (own < np.inf)
    factor = profile_rejection.variance_factors(value, own, usable, *expected[:2, rows])
    out = expected.copy()
    out[2, rows] = np.where(tested[rows], factor, np.inf)
    return out
