"""Nominal dispersion of the spectroscopic modes: which pixel sees which wavelength.

Every mode is described the same way, by the pixel as a function of wavelength,

    pixel(wavelength) = sum_k c_k (wavelength / reference)^{p_k}.

Even powers of both signs are the leading terms of a prism, whose deviation follows the
refractive index n^2 - 1 = A - B wavelength^2 + C / wavelength^2 + ...; small positive
powers are those of a grating. Five to seven coefficients so reach a few hundredths of a
pixel where a polynomial in the pixel needs fifteen. The inverse is found by interpolation
in the forward relation, which is monotonic over the stated range.

The coefficients were fitted to the published calibrations named in ``basis``. They are
nominal: where the star stood in the slit or aperture of one visit is not known to them,
and shifts of one pixel or two are ordinary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["NOMINAL", "Dispersion", "nominal_key", "pixel_at", "wavelength_at"]


@dataclass(frozen=True)
class Dispersion:
    """One nominal relation of wavelength and pixel.

    ``pixel`` counts from 0. It is the column (row) of the subarrays named in
    ``subarrays``; without such names, that of the full detector in the science frame.
    """

    coefficients: tuple[float, ...]
    powers: tuple[int, ...]
    reference: float
    """Wavelength at which every power is one, um."""
    wavelength_range: tuple[float, float]
    """Where the relation holds and the mode gives light, um."""
    accuracy: float
    """Largest departure from the calibration that it was fitted to, um."""
    basis: str
    """The calibration that it was fitted to."""
    subarrays: tuple[str, ...] = ()
    pixel_per_degree: float = 0.0
    """Shift with the angle of the pupil wheel from its nominal position, pixel/degree."""


_GRATING = "polynomial fits to the wavelengths of the JWST pipeline in flight (Schlawin, tshirt)"
_SOSS = "wavelengths against pupil-wheel angle from BD+60 1753 (STScI PASTASOSS, 2023)"
_TRACE = "in-flight SPECTRACE reference 0023"

NOMINAL: dict[str, Dispersion] = {
    "nirspec-prism": Dispersion(
        coefficients=(-0.012089077, -5.6783787, 103.544, 48.117282, 0.21259459),
        powers=(-4, -2, 0, 2, 4),
        reference=2.0,
        wavelength_range=(0.5, 5.6),
        accuracy=0.0012,
        basis="JWST pipeline wavelengths of SUB512 in flight (programme 6456, 2025); the ground "
        "calibration lies within 0.5 pixel below 3 um and 1.8 pixels at 5.5 um",
        subarrays=("SUB512", "SUB512S"),
    ),
    "nirspec-g395h/NRS1": Dispersion(
        coefficients=(-3447.4478, 5991.2805, -228.26709, 147.07708),
        powers=(0, 1, 2, 3),
        reference=4.0,
        wavelength_range=(2.7, 3.73),
        accuracy=1e-6,
        basis=_GRATING,
    ),
    "nirspec-g395h/NRS2": Dispersion(
        coefficients=(-5698.3418, 6134.5609, -341.83215, 173.86334),
        powers=(0, 1, 2, 3),
        reference=4.0,
        wavelength_range=(3.81, 5.19),
        accuracy=5e-6,
        basis=_GRATING,
    ),
    "nirspec-g395m/NRS1": Dispersion(
        coefficients=(-837.53041, 2236.7731, -18.427329, 8.1062476),
        powers=(0, 1, 2, 3),
        reference=4.0,
        wavelength_range=(2.7, 5.3),
        accuracy=5e-7,
        basis=_GRATING,
    ),
    "niriss-soss/1": Dispersion(
        coefficients=(39.927251, -88.342255, 2966.3689, -1580.0082, 15.026753),
        powers=(-2, -1, 0, 1, 2),
        reference=1.5,
        wavelength_range=(0.84, 2.84),
        accuracy=0.0004,
        basis=f"{_SOSS}; the {_TRACE} lies 0.5 to 2 pixels away",
        pixel_per_degree=-9.2,
    ),
    "niriss-soss/2": Dispersion(
        coefficients=(3577.8414, -3851.0125, 1660.5298, -517.60335),
        powers=(0, 1, 2, 3),
        reference=1.0,
        wavelength_range=(0.54, 1.41),
        accuracy=0.0005,
        basis=f"{_SOSS} from 0.65 to 1.1 um, {_TRACE} outside",
        pixel_per_degree=-12.0,
    ),
    "niriss-soss/3": Dispersion(
        coefficients=(4317.7317, -4886.6996, 1067.7538),
        powers=(0, 1, 2),
        reference=0.8,
        wavelength_range=(0.66, 0.96),
        accuracy=0.0005,
        basis=_TRACE,
        pixel_per_degree=-12.0,
    ),
    "nircam-grism/F322W2": Dispersion(
        coefficients=(-2657.6275, 4743.8882, -654.82509, 214.02379),
        powers=(0, 1, 2, 3),
        reference=4.0,
        wavelength_range=(2.41, 4.03),
        accuracy=2e-5,
        basis="flight polynomial of module A, grism R (Schlawin, tshirt)",
    ),
    "nircam-grism/F444W": Dispersion(
        coefficients=(-3157.5653, 4083.0951),
        powers=(0, 1),
        reference=4.0,
        wavelength_range=(3.86, 5.0),
        accuracy=1e-7,
        basis="flight line of module A, grism R (Schlawin, tshirt)",
    ),
    "miri-lrs": Dispersion(
        coefficients=(
            -6.1904585,
            -4.0860614,
            475.11329,
            -74.312287,
            -20.218215,
            -51.093421,
            0.16977004,
        ),
        powers=(-2, -1, 0, 1, 2, 3, 4),
        reference=8.0,
        wavelength_range=(4.4, 13.9),
        accuracy=0.0036,
        basis="JWST pipeline wavelengths of the slitless prism in flight (Schlawin, tshirt); the "
        "ground calibration lies within 2.5 pixels from 5 to 12 um",
        subarrays=("SLITLESSPRISM",),
    ),
}
"""The built-in relations by mode and, where a mode has several, detector, order or filter."""


def nominal_key(mode: str, *, detector: str, order: int, band: str) -> str | None:
    """Return the key of `NOMINAL` for an exposure, ``None`` where there is none.

    Parameters
    ----------
    mode : str
        Observing mode.
    detector : str
        Detector, such as ``"NRS1"``.
    order : int
        Spectral order.
    band : str
        Filter in the light path, such as ``"F322W2"``.

    Returns
    -------
    str or None
        A key.

    Examples
    --------
    >>> nominal_key("nirspec-g395h", detector="NRS2", order=1, band="")
    'nirspec-g395h/NRS2'
    """
    if order != 1 and mode != "niriss-soss":
        return None
    for key in (mode, f"{mode}/{detector}", f"{mode}/{order}", f"{mode}/{band}"):
        if key in NOMINAL:
            return key
    return None


def pixel_at(dispersion: Dispersion, wavelength: np.ndarray, *, wheel: float = 0.0) -> np.ndarray:
    """Return the pixel that sees a wavelength.

    Parameters
    ----------
    dispersion : Dispersion
        The relation.
    wavelength : (...,) float
        Wavelength, um; NaN gives NaN. Not limited to the stated range.
    wheel : float
        Angle of the pupil wheel from its nominal position, degrees (NIRISS only).

    Returns
    -------
    (...,) float64
        Pixel, counted from 0 at the centre of the first one.
    """
    scaled = np.asarray(wavelength, dtype=np.float64) / dispersion.reference
    pixel = sum(
        c * scaled**p for c, p in zip(dispersion.coefficients, dispersion.powers, strict=True)
    )
    return np.asarray(pixel + dispersion.pixel_per_degree * wheel)


def wavelength_at(dispersion: Dispersion, pixel: np.ndarray, *, wheel: float = 0.0) -> np.ndarray:
    """Return the wavelength that falls on a pixel.

    Parameters
    ----------
    dispersion : Dispersion
        The relation.
    pixel : (...,) float
        Pixel, counted from 0 at the centre of the first one.
    wheel : float
        Angle of the pupil wheel from its nominal position, degrees (NIRISS only).

    Returns
    -------
    (...,) float64
        Wavelength, um; NaN outside the range of the relation.

    Notes
    -----
    Linear interpolation in 20001 steps of wavelength: the error is below 1e-6 um.
    """
    lowest, highest = dispersion.wavelength_range
    grid = np.linspace(lowest, highest, 20001)
    position = pixel_at(dispersion, grid, wheel=wheel)
    if position[0] > position[-1]:
        grid, position = grid[::-1], position[::-1]
    pixel = np.asarray(pixel, dtype=np.float64)
    return np.interp(pixel, position, grid, left=np.nan, right=np.nan)
