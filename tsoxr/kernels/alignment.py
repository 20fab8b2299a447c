r"""Shifts of lines by whole pixels, and of spectra by parts of a pixel.

A shift by the same part f of a pixel at all wavelengths is a sum over neighbours,
:math:`x'_i = \sum_m w_m(f)\, x_{i+m}`, with weights that add up to one: the light of the
spectrum is conserved but for what crosses its ends. White noise of variance V becomes noise of
variance :math:`V \sum w_m^2`, and what is taken from each pixel is correlated with its
neighbours: the variance of a sum over many wavelengths stays what it was.
"""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["neighbour_correlation", "shift_lines", "shift_spectra", "weights_of"]


def shift_lines(values: np.ndarray, first: np.ndarray, n_rows: int, fill: float) -> np.ndarray:
    """Move each line along the spatial axis by whole pixels.

    Parameters
    ----------
    values : (any, spatial, dispersion)
        Of any type.
    first : (dispersion,) float64
        Row that comes to lie in row 0, a whole number; NaN for a line that has no place.
    n_rows : int
        Rows of the result.
    fill : number
        Where no pixel comes to lie.

    Returns
    -------
    (any, n_rows, dispersion), type of ``values``
    """
    out = np.full((values.shape[0], n_rows, values.shape[2]), fill, values.dtype)
    _shift_lines(np.ascontiguousarray(values), first, out)
    return out


@numba.njit(cache=True, nogil=True)
def _shift_lines(values, first, out):  # noqa: ANN001, ANN202 -- numba infers the types
    """Do the work of `shift_lines`."""
    n_rows = out.shape[1]
    for x in range(values.shape[2]):
        if not np.isfinite(first[x]):
            continue
        start = int(first[x])
        for t in range(values.shape[0]):
            for y in range(max(0, -start), min(n_rows, values.shape[1] - start)):
                out[t, y, x] = values[t, y + start, x]


def weights_of(part: float | np.ndarray, cubic: bool) -> np.ndarray:
    """Return the weights of the pixels -1, 0, 1 and 2 for a value at ``part`` from 0 to 1.

    Parameters
    ----------
    part : (...) float
        Part of a pixel.
    cubic : bool
        Lagrange's polynomial through four samples; otherwise the line through two.

    Returns
    -------
    (..., 4) float64
        Adding up to one.
    """
    f = np.asarray(part, dtype=np.float64)
    if not cubic:
        return np.stack([0.0 * f, 1.0 - f, f, 0.0 * f], axis=-1)
    each = [
        -f * (f - 1.0) * (f - 2.0) / 6.0,
        (f + 1.0) * (f - 1.0) * (f - 2.0) / 2.0,
        -(f + 1.0) * f * (f - 2.0) / 2.0,
        (f + 1.0) * f * (f - 1.0) / 6.0,
    ]
    return np.stack(each, axis=-1)


def shift_spectra(
    flux: np.ndarray,
    error: np.ndarray,
    flags: np.ndarray,
    shift: np.ndarray,
    cubic: bool,
    useless: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the spectra with the values that lie ``shift`` pixels ahead.

    Parameters
    ----------
    flux, error : (time, wavelength) float
        Spectra and 1 sigma errors, independent of each other.
    flags : (time, wavelength) uint32
        Data quality.
    shift : (time,) float64
        Pixels along the wavelength axis.
    cubic : bool
        See `weights_of`.
    useless : int
        Flags of a value that rests on pixels beyond the ends or has no shift.

    Returns
    -------
    flux, error : as given
        Beyond the ends the last pixel stands for all.
    flags : (time, wavelength) uint32
        Those of all pixels that a value was made of.
    """
    given = tuple(np.ascontiguousarray(a) for a in (flux, error, flags))
    new, new_error, new_flags = (a.copy() for a in given)
    new_flags[~np.isfinite(shift)] |= np.uint32(useless)
    moved = np.flatnonzero(np.isfinite(shift) & (shift != 0.0))
    whole = np.floor(shift[moved]).astype(np.int64)
    weight = weights_of(shift[moved] - whole, cubic)
    _shift(given, moved, whole, weight, np.uint32(useless), (new, new_error, new_flags))
    return new, new_error, new_flags


@numba.njit(cache=True, nogil=True)
def _shift(given, moved, whole, weight, useless, out):  # noqa: ANN001, ANN202 -- numba infers the types
    """Do the work of `shift_spectra` for the integrations ``moved``; weights (moved, 4)."""
    flux, error, flags = given
    new, new_error, new_flags = out
    n = flux.shape[1]
    for k in range(moved.size):
        t = moved[k]
        for i in range(n):
            value = variance = 0.0
            found = np.uint32(0)
            for m in range(4):
                if weight[k, m] == 0.0:
                    continue
                j = i + whole[k] + m - 1
                if j < 0 or j >= n:
                    found |= useless
                    j = min(max(j, 0), n - 1)
                value += weight[k, m] * flux[t, j]
                variance += (weight[k, m] * error[t, j]) ** 2
                found |= flags[t, j]
            new[t, i], new_error[t, i], new_flags[t, i] = value, np.sqrt(variance), found


def neighbour_correlation(shift: np.ndarray, *, cubic: bool) -> np.ndarray:
    """Return the correlation that a shift makes between neighbouring wavelengths.

    Parameters
    ----------
    shift : (time,) float64
        Pixels.
    cubic : bool
        See `weights_of`.

    Returns
    -------
    (time,) float64
        Of white noise; 0 for whole pixels, NaN without a shift.

    Examples
    --------
    >>> neighbour_correlation(np.array([0.0, 0.5, 1.5]), cubic=False)
    array([0. , 0.5, 0.5])
    """
    part = np.nan_to_num(shift - np.floor(shift))
    weight = weights_of(part, cubic)
    found = (weight[:, 1:] * weight[:, :-1]).sum(axis=1) / (weight**2).sum(axis=1)
    return np.where(np.isfinite(shift), found, np.nan)
