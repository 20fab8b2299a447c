"""The spatial profile as smooth functions along curves parallel to the trace.

A tilted trace crosses the rows of the detector, so that a row's share of the light changes
fast along the dispersion although the profile itself does not. Marsh (1989, PASP 101, 1032)
therefore describes the profile in the distance from the trace, as a sum of functions of
that distance with coefficients that change slowly along it, and lets pixels integrate it:
nothing is resampled, and each phase of the trace tells of the places between pixels. His
functions are bins of constant light; those here are quadratic B-splines of the same
spacing, smooth as a profile is: of one with a sigma of 0.6 pixel, bins of half a pixel leave up
to 3% of the light unexplained in a pixel, the splines 0.2%. His polynomials along the
dispersion are cubic B-splines: one cubic over 2048 columns leaves twice as much of a real frame
of NIRISS SOSS (`benchmarks/tilted.py --real`).

Axes are (spatial, dispersion) whatever the detector's are.
"""

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel, part
from tsoxr.kernels.profile import profile_of_fit, spatial_profile, window_for

__all__ = ["along_basis", "fit_shares", "normal_equations", "pixel_overlaps", "tilted_profile"]

SPACING = 0.5
"""Distance of the curves, pixels."""

PIECE = 48
"""Distance of the knots along the dispersion, pixels."""

CHANGE = 0.3
"""Standard deviation of what coefficients are expected to differ by, in shares of the light:
from a straight line across the trace, from one another along it. Far more than they do where
there is light; without light the profile goes on as it was."""

SUPPORT = 3
"""Spacings that a curve reaches over."""


def tilted_profile(
    image: np.ndarray,
    variance: np.ndarray,
    cover: np.ndarray,
    center: np.ndarray,
    *,
    piece: int = PIECE,
    spacing: float = SPACING,
) -> np.ndarray:
    """Estimate how the light of each column is spread over its pixels, along the trace.

    Parameters
    ----------
    image, variance, cover : (spatial, dispersion)
        As in `tsoxr.kernels.profile.spatial_profile`.
    center : (dispersion,) float64
        Trace, pixels from the first spatial one; columns without it have no aperture.
    piece : int
        Distance of the knots along the dispersion, pixels.
    spacing : float
        Distance of the curves, pixels.

    Returns
    -------
    (spatial, dispersion) float64
        Not negative, 0 outside the aperture, and sum(cover * profile) = 1 in each column;
        0 in columns without aperture.

    Notes
    -----
    Minimises sum (D - f P)^2 / V with P = sum_k Q_k(y - center) sum_j c_jk B_j(x): the Q are
    overlaps of pixels with the curves, the B a basis along the dispersion, f the light of each
    column from the profile before. Bad pixels and structure from pixel to pixel are dealt with as in
    `tsoxr.kernels.profile.profile_of_fit`.
    """
    lines = np.flatnonzero((cover > 0).any(axis=1))
    if lines.size == 0:
        return np.zeros(cover.shape)
    rows = slice(lines[0], lines[-1] + 1)
    light, noise, inside = (np.ascontiguousarray(a[rows]) for a in (image, variance, cover))
    start = spatial_profile(light, noise, inside, window=window_for(center))
    place = np.arange(rows.start, rows.stop)[:, None] - np.asarray(center, dtype=np.float64)
    place = np.where(inside > 0, place, np.nan)
    across = pixel_overlaps(place, spacing)
    along = along_basis(center.size, piece)

    def fit(data: np.ndarray, weight: np.ndarray, flux: np.ndarray) -> np.ndarray:
        return fit_shares(data, weight, flux, across, along)

    out = np.zeros(cover.shape)
    out[rows] = profile_of_fit(fit, light, noise, inside, start=start)
    return out


def pixel_overlaps(place: np.ndarray, spacing: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Return how much of the light on each curve falls into each pixel.

    Parameters
    ----------
    place : (spatial, dispersion) float64
        Distance of the middle of each pixel from the trace, pixels; NaN for those left out.
    spacing : float
        Distance of the curves, pixels.

    Returns
    -------
    first : (spatial, dispersion) int64
        First curve that reaches into the pixel; -1 for pixels that are left out.
    overlap : (spatial, dispersion, reach) float64
        Of this and the following curves; those of one curve add up to 1 over the pixels.
    n_curves : int
    """
    inside = np.isfinite(place)
    low = (np.where(inside, place, 0.0) - 0.5) / spacing
    base = int(np.floor(low.min())) - SUPPORT + 1
    reach = int(np.ceil(1.0 / spacing)) + SUPPORT
    first = np.floor(low).astype(np.int64) - SUPPORT + 1
    begin = low[..., None] - first[..., None] - np.arange(reach)
    overlap = _integral(begin + 1.0 / spacing) - _integral(begin)
    n_curves = int(first.max()) - base + reach
    return np.where(inside, first - base, -1), overlap * inside[..., None], n_curves


def _integral(z: np.ndarray) -> np.ndarray:
    """Return the integral of the quadratic B-spline with knots 0, 1, 2 and 3 up to z."""
    z = np.clip(z, 0.0, 3.0)
    rest = np.clip(z - 1.0, 0.0, None)
    last = np.clip(z - 2.0, 0.0, None)
    return (z**3 - 3.0 * rest**3 + 3.0 * last**3) / 6.0


def along_basis(n_columns: int, piece: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Return cubic B-splines of equal knots along the columns.

    Parameters
    ----------
    n_columns, piece : int
        Columns, and the distance of the knots, which is made to fit.

    Returns
    -------
    first : (dispersion,) int64
        First of the four splines that are not 0 in a column.
    value : (dispersion, 4) float64
        These four; they add up to 1.
    n_splines : int
    """
    n_pieces = max(1, round(n_columns / piece))
    z = (np.arange(n_columns) + 0.5) * n_pieces / n_columns
    first = np.minimum(z.astype(np.int64), n_pieces - 1)
    t = z - first
    value = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1
    )
    return first, value / 6.0, n_pieces + 3


def fit_shares(
    light: np.ndarray,
    weight: np.ndarray,
    flux: np.ndarray,
    across: tuple[np.ndarray, np.ndarray, int],
    along: tuple[np.ndarray, np.ndarray, int],
) -> np.ndarray:
    """Return the shares of the light of least squares, (spatial, dispersion) float64.

    Parameters
    ----------
    light, weight : (spatial, dispersion) float64
        Light and its inverse variance, 0 where a pixel is left out.
    flux : (dispersion,) float64
        Light of each column.
    across, along : tuple
        From `pixel_overlaps` and `along_basis`.
    """
    bands, right = normal_equations(light, weight, flux, across, along)
    _solve(bands, right)
    out = np.full(light.shape, np.nan)
    _evaluate(right.reshape(along[2], across[2]), *across[:2], *along[:2], out)
    return out


def normal_equations(
    light: np.ndarray,
    weight: np.ndarray,
    flux: np.ndarray,
    across: tuple[np.ndarray, np.ndarray, int],
    along: tuple[np.ndarray, np.ndarray, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the normal equations of `fit_shares` with the expectation of `CHANGE`.

    Parameters
    ----------
    light, weight, flux, across, along
        As in `fit_shares`.

    Returns
    -------
    bands : (unknown, band) float64
        Element [i, d] belongs to the unknowns i and i + d; unknown j K + k is curve k of spline
        j, K the number of curves.
    right : (unknown,) float64
    """
    n_curves, n_splines, reach = across[2], along[2], across[1].shape[2]
    bands = np.zeros((n_splines * n_curves, 3 * n_curves + reach))
    right = np.zeros(n_splines * n_curves)
    _assemble(light, weight, flux, across[:2], along[:2], bands, right)
    _expect(bands.reshape(n_splines, n_curves, -1), 1.0 / CHANGE**2)
    return bands, right


def _expect(bands: np.ndarray, strength: float) -> None:
    """Add second differences across and first ones along to bands (spline, curve, band)."""
    n_curves = bands.shape[1]
    second = (1.0, -2.0, 1.0)
    for k in range(3):
        for m in range(3 - k):
            bands[:, k : n_curves - 2 + k, m] += strength * second[k] * second[k + m]
    bands[1:, :, 0] += strength
    bands[:-1, :, 0] += strength
    bands[:-1, :, n_curves] -= strength


@kernel()
def _assemble(light, weight, flux, across, along, bands, right):  # noqa: ANN001, ANN202 -- numba infers the types
    """Add the pixels to the normal equations, column by column.

    All pixels of a column share the splines along the dispersion, so that the products of
    their overlaps are added up before they are spread over those.
    """
    first, overlap = across
    begin, basis = along
    reach = overlap.shape[2]
    n_curves = (bands.shape[1] - reach) // 3
    product, data = np.zeros((n_curves, reach)), np.zeros(n_curves)
    for x in range(light.shape[1]):
        if not flux[x] > 0.0:
            continue
        for k in range(n_curves):
            data[k] = 0.0
            for m in range(reach):
                product[k, m] = 0.0
        for y in range(light.shape[0]):
            if weight[y, x] > 0.0 and first[y, x] >= 0:
                w = weight[y, x] * flux[x]
                _add_pixel(w, flux[x], light[y, x], first[y, x], overlap[y, x], product, data)
        for i in range(4):
            for j in range(i, 4):
                both = basis[x, i] * basis[x, j]
                _add_block(both, product, (begin[x] + i) * n_curves, j - i, bands)
            for k in range(n_curves):
                right[(begin[x] + i) * n_curves + k] += basis[x, i] * data[k]


@part()
def _add_pixel(weight, flux, light, first, overlap, product, data):  # noqa: ANN001, ANN202 -- numba infers the types
    """Add a pixel to the products of a column; [k, m] belongs to the curves k and k + m."""
    for a in range(overlap.size):
        k, q = first + a, weight * overlap[a]
        data[k] += q * light
        for b in range(a, overlap.size):
            product[k, b - a] += q * flux * overlap[b]


@part()
def _add_block(factor, product, row, distance, bands):  # noqa: ANN001, ANN202 -- numba infers the types
    """Add a column to the equations of one spline in those ``distance`` further."""
    n_curves, reach = product.shape
    shift = distance * n_curves
    for k in range(n_curves):
        for m in range(min(reach, n_curves - k)):
            bands[row + k, shift + m] += factor * product[k, m]
        if distance > 0:
            for m in range(1, min(reach, k + 1)):
                bands[row + k, shift - m] += factor * product[k - m, m]


@kernel()
def _solve(bands, right):  # noqa: ANN001, ANN202 -- numba infers the types
    """Solve the equations of `normal_equations` in place; the solution replaces ``right``.

    Elimination by rows without exchange, which a positive definite matrix does not need. LAPACK is no
    faster on bands so narrow, and its threads wait for each other where others use the processor.
    """
    n, width = bands.shape
    for i in range(n):
        for d in range(1, min(width, n - i)):
            factor = bands[i, d] / bands[i, 0]
            if factor != 0.0:
                right[i + d] -= factor * right[i]
                for m in range(width - d):
                    bands[i + d, m] -= factor * bands[i, d + m]
    for i in range(n - 1, -1, -1):
        for d in range(1, min(width, n - i)):
            right[i] -= bands[i, d] * right[i + d]
        right[i] /= bands[i, 0]


@kernel()
def _evaluate(solution, first, overlap, begin, basis, out):  # noqa: ANN001, ANN202 -- numba infers the types
    """Fill ``out`` with the shares of the pixels that are not left out."""
    n_spatial, n_dispersion = out.shape
    n_curves = solution.shape[1]
    curve = np.empty(n_curves)
    for x in range(n_dispersion):
        for k in range(n_curves):
            curve[k] = 0.0
            for i in range(4):
                curve[k] += basis[x, i] * solution[begin[x] + i, k]
        for y in range(n_spatial):
            if first[y, x] >= 0:
                share = 0.0
                for a in range(overlap.shape[2]):
                    share += overlap[y, x, a] * curve[first[y, x] + a]
                out[y, x] = share
