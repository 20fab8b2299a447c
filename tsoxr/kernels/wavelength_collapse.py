"""The spectrum of a median frame, as the lines of the star are sought in it."""

from __future__ import annotations

import itertools
import warnings

import numpy as np

__all__ = ["spectrum"]

BLOCK = 32
"""Lines that share a profile."""


def spectrum(
    rate: np.ndarray,
    error: np.ndarray,
    wave: np.ndarray,
    center: np.ndarray,
    *,
    half_width: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return one spectrum of a median frame, missing pixels stood in for by the profile.

    Parameters
    ----------
    rate, error, wave : (across, along) float
        Rates and their errors, NaN where unusable; wavelengths, NaN where there are none.
    center : (along,) float
        Centre of the trace, NaN where it is not known.
    half_width : float
        Pixels on both sides of the centre that count.

    Returns
    -------
    flux, error, wavelength : (along,) float64
        NaN where half of a line's light is missing; wavelengths are means over the light.
    """
    row = np.arange(rate.shape[0])[:, None]
    good = (
        ~(np.abs(row - center) > half_width) & np.isfinite(rate) & np.isfinite(error) & (error > 0)
    )
    image = np.where(good, rate, np.nan).astype(np.float64)
    profile = _profile(image)
    weight = np.where(good & (profile > 0), profile / np.where(good, error, 1.0) ** 2, 0.0)
    seen = (weight * profile).sum(axis=0)
    whole = (np.where(good, profile, 0.0).sum(axis=0) > 0.5) & (seen > 0)
    total = np.where(whole, seen, 1.0)
    flux = np.where(whole, (weight * np.where(good, image, 0.0)).sum(axis=0) / total, np.nan)
    known = np.isfinite(wave) & (profile > 0)
    share = np.where(known, profile, 0.0).sum(axis=0)
    mean = np.where(known, profile * np.where(known, wave, 0.0), 0.0).sum(axis=0)
    at = np.where(share > 0, mean / np.where(share > 0, share, 1.0), np.nan)
    return flux, total**-0.5, at


def _profile(image: np.ndarray) -> np.ndarray:
    """Return how the light of each line is spread across it, (across, along), from its neighbours.

    The median of `BLOCK` lines, each over its sum, so that a missing pixel makes no dip.
    """
    n = image.shape[1]
    edges = np.linspace(0, n, max(n // BLOCK, 1) + 1).astype(int)
    middle = 0.5 * (edges[1:] + edges[:-1] - 1)
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # blocks without light
        relative = image / np.nansum(image, axis=0)
        blocks = [np.nanmedian(relative[:, a:b], axis=1) for a, b in itertools.pairwise(edges)]
    table = np.nan_to_num(np.array(blocks)).clip(min=0.0)
    lines = np.array([np.interp(np.arange(n), middle, column) for column in table.T])
    total = lines.sum(axis=0)
    return np.asarray(lines / np.where(total > 0, total, 1.0))
