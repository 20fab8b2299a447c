"""The ways to weight pixels that `extract` knows, each a profile and weights for it.

What they work on is `Still`, the exposure without time. A new way is a line of `METHODS` and
the functions that it names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tsoxr.errors import TsoError
from tsoxr.kernels import extraction as kernel
from tsoxr.kernels import profile as profile_kernel
from tsoxr.kernels import psf_table
from tsoxr.kernels.covariance_weights import covariance_weights
from tsoxr.kernels.tilted_profile import PIECE, tilted_profile
from tsoxr.steps import _effective_psf, _extraction_covariance

__all__ = ["METHODS", "Method", "Still", "still_of", "weigh"]


@dataclass(frozen=True)
class Still:
    """What is known of an exposure apart from time; images are (spatial, dispersion) float64.

    light, variance : electron s-1 and its square; the median rate and the variance of a
        pixel in one integration, NaN where unknown.
    noise : variance of ``light``.
    cover : part of each pixel inside the aperture.
    gain : electron per unit of the rates; 1 where it is not known.
    known : bool, where the gain is known.
    center : (dispersion,) trace, pixels from the first spatial one.
    window : length along dispersion over which the profile counts as smooth, pixels.
    asked : the same where the caller has said it, or None.
    extra : what `Method.extra` has measured, or None.
    """

    light: np.ndarray
    variance: np.ndarray
    noise: np.ndarray
    cover: np.ndarray
    gain: np.ndarray
    known: np.ndarray
    center: np.ndarray
    window: int
    extra: np.ndarray | None = None
    asked: int | None = None


Profile = Callable[[Still], np.ndarray]
Weights = Callable[[Still, np.ndarray], tuple[np.ndarray, np.ndarray]]
Extra = Callable[[xr.Dataset, xr.DataArray, xr.DataArray, float], xr.DataArray]


@dataclass(frozen=True)
class Method:
    """One way to extract.

    profile : returns how the light of each column is spread, (spatial, dispersion).
    weights : returns weight and share of the light, (spatial, dispersion), of a profile.
    extra : measures what the two need beyond the median images, from rates, trace, gain and half
        width; its result is static, deferred where the rates are lazy.
    """

    profile: Profile
    weights: Weights
    extra: Extra | None = None

    @property
    def effective(self) -> bool:
        """Return whether the profile is that of `_effective_psf.measured`."""
        return self.extra is _effective_psf.measured


def _running(still: Still) -> np.ndarray:
    return profile_kernel.spatial_profile(
        still.light, still.noise, still.cover, window=still.window
    )


def _along_trace(still: Still) -> np.ndarray:
    return tilted_profile(
        still.light, still.noise, still.cover, still.center, piece=still.asked or PIECE
    )


def _effective(still: Still) -> np.ndarray:
    return psf_table.profile_of(still.extra, still.center, still.cover)


def _plain_sum(still: Still, profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return kernel.aperture_weights(profile, np.where(still.known, still.cover, 0.0))


def _least_variance(still: Still, profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return kernel.optimal_weights(profile, still.variance, still.cover)


def _correlated(still: Still, profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    assert still.extra is not None  # of `Method.extra`
    modes = still.extra * still.gain.astype(np.float32)
    return covariance_weights(profile, still.variance, still.cover, modes)


METHODS: dict[str, Method] = {
    "optimal": Method(_running, _least_variance),
    "box": Method(_running, _plain_sum),
    "tilted": Method(_along_trace, _least_variance),
    "covariance": Method(_running, _correlated, _extraction_covariance.of_rates),
    "psf": Method(_effective, _least_variance, _effective_psf.measured),
}


def weigh(
    images: np.ndarray,
    center: np.ndarray,
    gain: np.ndarray,
    extra: np.ndarray | None = None,
    *,
    settings: dict[str, Any],
) -> tuple[np.ndarray, ...]:
    """Make the static images of one exposure; weights take DN, profile and share are of electrons.

    Parameters
    ----------
    images : (3, spatial, dispersion)
        Median, median error and number of samples, as `_extraction.median_images` makes them.
    center : (dispersion,)
        Trace, pixels from the first spatial one.
    gain : (spatial, dispersion)
        Electron per unit of the rates.
    extra : array, optional
        Of `Method.extra`.
    settings : dict
        ``method``, ``half_width`` and ``window`` of `extract`.

    Returns
    -------
    weight, share, profile : (spatial, dispersion) float64
    n_pixels : (dispersion,) float64
        Pixels in the aperture.
    """
    method = METHODS[settings["method"]]
    still = still_of(images, center, gain, extra, settings)
    profile = method.profile(still)
    weight, share = method.weights(still, profile)
    total = share.sum(axis=0)
    scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    return weight * still.gain * scale, share * scale, profile, still.cover.sum(axis=0)


def still_of(
    images: np.ndarray,
    center: np.ndarray,
    gain: np.ndarray,
    extra: np.ndarray | None,
    settings: dict[str, Any],
) -> Still:
    """Return the exposure without time in electrons; the arguments are those of `weigh`."""
    median, error, count = images.astype(np.float64)
    cover = kernel.coverage(center, median.shape[0], settings["half_width"])
    if not np.isfinite(center).any():
        raise TsoError(
            "extract: trace_center has no finite value; it needs one in each column that is to be "
            "extracted; run .tso.find_trace() again"
        )
    if not cover.any():
        raise TsoError(
            f"extract: the trace lies outside the frame, between {np.nanmin(center):.1f} and "
            f"{np.nanmax(center):.1f} of {median.shape[0]} pixels; run .tso.find_trace() again"
        )
    known = np.isfinite(gain) & (gain > 0)
    if not known.any():
        raise TsoError(
            "extract: gain has no positive value in the frame; it is electron per DN of each pixel; "
            "attach the gain with .tso.use_references() or drop 'gain' to take the typical one"
        )
    gain = np.where(known, gain, 1.0)
    variance = np.where(known, (error * gain) ** 2, np.nan)
    window = settings["window"]
    return Still(
        light=np.where(known, median * gain, np.nan),
        variance=variance,
        noise=variance * profile_kernel.MEDIAN_VARIANCE / np.maximum(count, 1.0),
        cover=cover,
        gain=gain,
        known=known,
        center=np.asarray(center, dtype=np.float64),
        window=profile_kernel.window_for(center) if window is None else int(window),
        extra=extra,
        asked=window,
    )
