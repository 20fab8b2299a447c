"""Wavelengths as polynomials of the pixel, and the spectra that wavelengths are compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tsoxr.kernels import wavelength_shift
from tsoxr.kernels.wavelength_units import (
    air_to_vacuum,
    doppler,
    hydrogen_lines,
    plane_polynomial,
)
from tsoxr.registry import note

__all__ = ["Template", "check_medium", "polynomial", "read_polynomial", "template", "to_micron"]

WHEEL = 245.76
"""Nominal angle of the NIRISS pupil wheel, degrees."""

MARGIN = 0.05
"""Part of its trained range by which a polynomial in pixel and angle is used beyond it."""

MICRON = {
    "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "µm": 1.0, "μm": 1.0,
    "nm": 1e-3, "nanometer": 1e-3, "angstrom": 1e-4, "angstroms": 1e-4, "aa": 1e-4, "m": 1e6,
}  # fmt: skip


def to_micron(values: np.ndarray, unit: Any, where: str) -> np.ndarray:
    """Return wavelengths in um; an empty unit is taken for um.

    Raises
    ------
    ValueError
        For a unit that is none of length.
    """
    text = str(unit or "um").strip().lower()
    if text not in MICRON:
        raise ValueError(
            f"assign_wavelength: {where} has wavelengths in {str(unit)!r}; units are um, nm, angstrom or m"
        )
    return np.asarray(values, dtype=np.float64) * MICRON[text]


def check_medium(medium: str, where: str) -> None:
    """Refuse anything but vacuum and air."""
    if medium not in ("vacuum", "air"):
        raise ValueError(f"{where}: medium is {medium!r}; it must be 'vacuum' or 'air'")


# -------------------------------------------------------------------- polynomials


def read_polynomial(path: Path) -> dict[str, Any]:
    """Return the model of a JSON file.

    Raises
    ------
    ValueError
        For a file that is not JSON.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"assign_wavelength: {path.name} is not JSON: {error}") from None
    return dict(found) if isinstance(found, dict) else {}


def polynomial(
    model: Mapping[str, Any], pixel: np.ndarray, wheel: float | None, where: str
) -> np.ndarray:
    """Return the wavelength of each pixel along dispersion, um.

    Parameters
    ----------
    model : mapping
        ``coefficients`` of ascending powers of ``(pixel - center) / scale``; or a model of
        PASTASOSS, a polynomial in scaled pixel and angle of the pupil wheel.
    pixel : (n,) float64
        Pixels of the full detector, counted from 0.
    wheel : float or None
        Angle of the pupil wheel, degrees.
    where : str
        Name of the source.

    Raises
    ------
    ValueError
        For a model that is neither.
    """
    if "coefficients" in model:
        center, scale = float(model.get("center", 0.0)), float(model.get("scale", 1.0))
        powers = np.asarray(model["coefficients"], dtype=np.float64)
        if powers.ndim != 1 or powers.size < 2 or scale == 0:
            raise ValueError(
                f"assign_wavelength: {where} has coefficients of shape {powers.shape} and scale {scale}; it "
                "needs two coefficients or more of ascending powers, and a scale"
            )
        values = np.polynomial.polynomial.polyval((pixel - center) / scale, powers)
        low, high = model.get("pixel_range", (-np.inf, np.inf))
        return np.where((pixel >= low) & (pixel <= high), values, np.nan)
    inner = model.get("model", model)
    if not isinstance(inner, Mapping) or not {"coef", "intercept", "poly_deg", "scaler"} <= set(
        inner
    ):
        raise ValueError(
            f"assign_wavelength: {where} has keys {sorted(model)}; a polynomial has 'coefficients' (and "
            "'center', 'scale'), a model of PASTASOSS has 'model' with 'coef', 'intercept', 'poly_deg', 'scaler'"
        )
    return _of_pixel_and_wheel(inner, pixel, wheel, where)


def _of_pixel_and_wheel(
    model: Mapping[str, Any], pixel: np.ndarray, wheel: float | None, where: str
) -> np.ndarray:
    scaler = model["scaler"]
    scale, least = (np.asarray(scaler[n], dtype=np.float64) for n in ("scale_", "min_"))
    low, high = (np.asarray(scaler[n], dtype=np.float64) for n in ("data_min_", "data_max_"))
    absolute = low[1] > 90.0  # the second variable is the angle itself, not its offset
    if wheel is None:
        note("no usable pupil-wheel angle (PWCPOS) in the header: taken to be nominal")
        wheel = WHEEL
    angle = wheel if absolute else wheel - WHEEL
    if not low[1] <= angle <= high[1]:
        note(f"pupil wheel at {wheel:.3f} degrees: outside the range that {where} was trained on")
    first = pixel * scale[0] + least[0]
    second = np.full_like(first, angle * scale[1] + least[1])
    values = plane_polynomial(
        first, second, np.asarray(model["coef"]), float(model["intercept"]), int(model["poly_deg"])
    )
    margin = MARGIN * (high[0] - low[0])
    return np.where((pixel >= low[0] - margin) & (pixel <= high[0] + margin), values, np.nan)


# ------------------------------------------------------------- what to compare with


@dataclass(frozen=True)
class Template:
    """Lines, a model spectrum, or hydrogen (both ``None``); ``velocity`` in km/s moves them."""

    lines: np.ndarray | None = None
    model: tuple[np.ndarray, np.ndarray] | None = None
    velocity: float = 0.0

    def parts(
        self, flux: np.ndarray, wavelength: np.ndarray, options: dict[str, Any]
    ) -> wavelength_shift.Parts | None:
        """Return the parts of the fit; ``None`` where nothing of the template is in the range."""
        low, high = float(wavelength.min()), float(wavelength.max())
        if self.model is not None:
            at = doppler(self.model[0], self.velocity)
            if at[0] > low or at[-1] < high:
                inside = (at >= low) & (at <= high)
                if inside.sum() < 10:
                    return None
            return wavelength_shift.model_parts(flux, wavelength, (at, self.model[1]), **options)
        lines = hydrogen_lines(low, high) if self.lines is None else self.lines
        lines = doppler(lines, self.velocity)
        lines = lines[(lines > low) & (lines < high)]
        if lines.size == 0:
            return None
        return wavelength_shift.line_parts(flux, wavelength, lines, **options)


def template(model: Any, *, velocity: float, medium: str) -> Template:
    """Return what a spectrum is compared with.

    Raises
    ------
    ValueError
        For something that is neither lines nor a spectrum.
    FileNotFoundError
        For a path without a file.
    """
    check_medium(medium, "refine_wavelength")
    if not np.isfinite(velocity) or abs(velocity) > 3000.0:
        raise ValueError(
            f"refine_wavelength: velocity is {velocity}; it is in km/s and at most 3000"
        )
    change = air_to_vacuum if medium == "air" else np.asarray
    if isinstance(model, str) and model == "hydrogen":
        if medium == "air":
            raise ValueError(
                "refine_wavelength: lines of hydrogen are built in as vacuum; leave medium out"
            )
        return Template(velocity=velocity)
    if isinstance(model, str | Path):
        model = _read_two_columns(Path(model).expanduser())
    if isinstance(model, xr.DataArray):
        if model.dims != ("wavelength",) or "wavelength" not in model.coords:
            raise ValueError(
                f"refine_wavelength: the model has dims {model.dims}; it needs the one dim 'wavelength' with "
                "a coordinate in um"
            )
        model = (
            to_micron(
                model["wavelength"].values, model["wavelength"].attrs.get("units"), "the model"
            ),
            model.values,
        )
    if isinstance(model, tuple) and len(model) == 2 and np.ndim(model[0]) == 1:
        return Template(model=_spectrum(model, change), velocity=velocity)
    lines = np.atleast_1d(np.asarray(model, dtype=np.float64))
    if lines.ndim != 1 or not np.isfinite(lines).all() or (lines <= 0).any():
        raise ValueError(
            "refine_wavelength: model must be 'hydrogen', wavelengths of lines (um), a DataArray, a pair "
            "(wavelength, flux) or a table"
        )
    return Template(lines=np.sort(np.asarray(change(lines))), velocity=velocity)


def _spectrum(model: tuple[Any, Any], change: Any) -> tuple[np.ndarray, np.ndarray]:
    at, light = (np.asarray(m, dtype=np.float64) for m in model)
    good = np.isfinite(at) & np.isfinite(light) if at.shape == light.shape else np.zeros(1, bool)
    if good.sum() < 10:
        raise ValueError(
            f"refine_wavelength: the model has wavelengths {at.shape} and flux {light.shape}, of which "
            f"{int(good.sum())} are finite; it needs two arrays of the same length, ten samples or more"
        )
    at, light = np.asarray(change(at[good])), light[good]
    rank = np.argsort(at, kind="stable")
    if (np.diff(at[rank]) <= 0).any():
        raise ValueError(
            "refine_wavelength: the model gives a wavelength twice; each may stand once"
        )
    if not (at.min() > 0.05 and at.max() < 100.0):
        raise ValueError(
            f"refine_wavelength: the model's wavelengths run from {at.min():g} to {at.max():g}; give them in um"
        )
    return at[rank], light[rank]


def _read_two_columns(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(
            f"refine_wavelength: there is no file {str(path)!r}; give 'hydrogen', lines, a spectrum or a table"
        )
    lines = [line.split("#")[0].replace(",", " ").split() for line in path.read_text().splitlines()]
    rows = []
    for line in lines:
        try:
            rows.append([float(line[0]), float(line[1])])
        except (ValueError, IndexError):
            continue
    values = np.array(rows).reshape(-1, 2)
    return values[:, 0], values[:, 1]
