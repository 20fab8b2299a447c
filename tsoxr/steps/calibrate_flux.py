"""Turn electrons per second into flux density, at the end of a reduction.

Light curves and depths are ratios and need no calibration; whoever wants the star's spectrum
itself, or the light of a planet's night side in physical units, does it last. Flux is
multiplied by numbers that do not depend on time, so relative light curves stay as they are.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from tsoxr import dq, modes
from tsoxr.errors import TsoError
from tsoxr.kernels import flux_conversion as kernel
from tsoxr.plots import style
from tsoxr.registry import derived, diagnostic, note, step
from tsoxr.steps import _photom

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["calibrate_flux"]

UNITS = "mJy"
PER_ELECTRON = "mJy / (electron s-1)"
MJY = 1e9
"""mJy in one MJy."""


@step(kind=("spectra", "lightcurves"), needs=("flux", "flux_error", "dq"), once=True)
def calibrate_flux(
    ds: xr.Dataset,
    photom: str | Path | xr.DataArray,
    *,
    aperture_correction: bool = True,
    gain: float | None = None,
) -> xr.Dataset:
    """Multiply the flux by a calibration: from electron s-1 to mJy.

    Spectra of `extract`, or light curves of `photometry` with ``normalize=False``. `bin` and
    `white_light` come before, as they sum electrons.

    Parameters
    ----------
    ds : xarray.Dataset
        With ``flux`` and ``flux_error`` (time, wavelength), electron s-1 or DN s-1, and ``dq``.
    photom : str, pathlib.Path or xarray.DataArray
        Photom reference of JWST, of which the row is taken that belongs to the exposure's filter,
        pupil, grating, slit, subarray and order; or mJy of one electron s-1, one number
        or over ``wavelength``, um.
    aperture_correction : bool
        Divide by the share of the light that is inside the aperture, 1 less
        ``aperture_loss``, where `extract` has measured it.
    gain : float, optional
        Electrons of one DN in the flux, for references, which are per DN. Left out, that of the
        pixels that made the flux (``extract_gain``), else the detector's typical one, with a
        note. Subarrays are taken to the full frame's DN by GAINFACT, as references are made for it.

    Returns
    -------
    xarray.Dataset
        With ``flux``, ``flux_error`` and ``level_error`` in mJy. Wavelengths that the calibration
        does not have are NaN and flagged DO_NOT_USE. Adds ``calibrate_flux_conversion``
        (wavelength), mJy of one unit of the flux that was given, and
        ``calibrate_flux_uncertainty`` (wavelength), relative 1 sigma error of the calibration
        and of the aperture's loss together. That is one and the same for all integrations and
        not in ``flux_error``.

    Raises
    ------
    TsoError
        For relative light curves, light curves of bins, flux that is calibrated already, a
        reference without this exposure's row, or without any of its wavelengths.
    SchemaError, FileNotFoundError
        For a file that is no photom reference, or not there.
    ValueError, TypeError
        For a gain that is not positive, or something that is no such calibration.

    Notes
    -----
    mJy = e / g * 1e9 C R(wavelength) / (1 - loss), with electrons e, gain g, the row's PHOTMJ C and
    relative response R. From PHOTMJSR, C is its product with the area of a pixel (PIXAR_SR); for
    grisms of NIRCam also over the wavelength that one pixel holds, as their references have it.
    Tables of the change with time (TIMECOEFF) are applied for the middle of the exposure.

    Examples
    --------
    >>> import tsoxr, xarray as xr
    >>> spectra = tsoxr.simulate("nirspec-prism", kind="spectra", n_integrations=20, seed=1)
    >>> response = xr.DataArray(
    ...     [2e-3, 4e-3], dims="wavelength", coords={"wavelength": [0.5, 6.0]}
    ... )
    >>> spectra.tso.calibrate_flux(response).flux.attrs["units"]
    'mJy'
    """
    _check(ds, gain)
    if isinstance(photom, xr.DataArray):
        response, uncertainty, dn = _of_array(ds, photom), np.zeros(ds.sizes["wavelength"]), 1.0
    elif isinstance(photom, str | Path):
        (response, uncertainty), dn = _of_reference(ds, photom), _dn_per_unit(ds, gain)
    else:
        raise TypeError(
            f"calibrate_flux: photom is a {type(photom).__name__}; give the path of a photom reference, or "
            f"a DataArray in {PER_ELECTRON}"
        )
    known = np.isfinite(response)
    if not known.any():
        raise TsoError(
            "calibrate_flux: the calibration has none of the wavelengths of these data, "
            f"{_range(ds)}; give that of this mode and order, in um"
        )
    if not known.all():
        note(f"{int((~known).sum())} of {known.size} wavelengths are not in the calibration: NaN")
    inside, loss_error = _inside(ds, apply=aperture_correction)
    conversion = xr.DataArray(response, dims="wavelength") * dn / inside
    both = np.hypot(xr.DataArray(uncertainty, dims="wavelength"), loss_error)
    return _calibrated(ds, conversion.astype(np.float64), both.astype(np.float64), known)


def _check(ds: xr.Dataset, gain: float | None) -> None:
    units = str(ds["flux"].attrs.get("units", "1"))
    if units == "1":
        raise TsoError(
            "calibrate_flux: the flux is relative; it must be in electron s-1; calibrate spectra, or light "
            "curves of .tso.photometry(normalize=False)"
        )
    if units not in ("electron s-1", "DN s-1"):
        raise TsoError(
            f"calibrate_flux: the flux is in {units}; it must be in electron s-1 or DN s-1; it is "
            "calibrated already"
        )
    if ds.attrs.get("tso_kind") == "lightcurves" and "wavelength_bounds" in ds.variables:
        raise TsoError(
            "calibrate_flux: these light curves are sums over bins of wavelength, which have no flux density; "
            "calibrate the spectra"
        )
    if gain is not None and not 0 < gain < math.inf:
        raise ValueError(f"calibrate_flux: gain={gain}; it must be above 0 electron/DN")


def _wavelength(ds: xr.Dataset) -> np.ndarray:
    if "wavelength" in ds.coords:
        return np.asarray(ds["wavelength"], dtype=np.float64)
    return np.full(ds.sizes["wavelength"], np.nan)


def _range(ds: xr.Dataset) -> str:
    wave = _wavelength(ds)
    if not np.isfinite(wave).any():
        return "which are not known"
    return f"{np.nanmin(wave):.3f} to {np.nanmax(wave):.3f} um"


def _of_array(ds: xr.Dataset, photom: xr.DataArray) -> np.ndarray:
    """Return mJy of one unit of the flux at each wavelength, NaN where it is not known."""
    units = photom.attrs.get("units")
    if units is not None and units not in (PER_ELECTRON, "mJy s / electron", "mJy s electron-1"):
        raise ValueError(f"calibrate_flux: photom is in {units!r}; it must be in {PER_ELECTRON!r}")
    if ds["flux"].attrs["units"] != "electron s-1":
        raise TsoError(
            "calibrate_flux: the flux is in DN s-1 and the calibration per electron; "
            "multiply it by the gain before, or give a photom reference"
        )
    if photom.ndim == 0:
        return np.full(ds.sizes["wavelength"], float(photom) if float(photom) > 0 else np.nan)
    if photom.dims != ("wavelength",) or "wavelength" not in photom.coords:
        raise ValueError(
            f"calibrate_flux: photom has dims {photom.dims} and coordinates {list(photom.coords)}; give one "
            "number, or a DataArray over 'wavelength' with that coordinate in um"
        )
    table = (np.asarray(photom["wavelength"], dtype=float), np.asarray(photom, dtype=float))
    return kernel.response_at(_wavelength(ds), *table)


def _of_reference(ds: xr.Dataset, path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return mJy of one DN/s at each wavelength, NaN where it is not known, and its relative error."""
    row = _photom.read(path, ds)
    for text in row.notes:
        note(text)
    wave = _wavelength(ds)
    flat = np.ones_like(wave)
    relative, own = flat, 0.0 * flat
    if row.wavelength.size:
        relative = kernel.response_at(wave, row.wavelength, row.response)
        beside = np.where(row.response > 0, row.response_error / row.response, np.nan)
        own = np.nan_to_num(kernel.response_at(wave, row.wavelength, beside))
    if row.per_um:
        pixel = ds["dispersion_pixel"] if "dispersion_pixel" in ds.coords else np.arange(wave.size)
        relative = relative / kernel.dispersion(wave, np.asarray(pixel))
    return MJY * row.factor * relative, np.hypot(row.uncertainty, own)


def _dn_per_unit(ds: xr.Dataset, gain: float | None) -> xr.DataArray | float:
    """Return the DN/s, in the sense of references, of one unit of the flux."""
    factor, scaled = float(ds.attrs.get("gain_factor", 1.0)), bool(ds.attrs.get("gain_scaled"))
    to_full = 1.0 if scaled else factor
    if ds["flux"].attrs["units"] == "DN s-1":
        return to_full
    measured = next((n for n in ("extract_gain", "photometry_gain") if n in ds), None)
    if gain is None and measured is not None:
        used = ds[measured]
        return to_full / xr.DataArray(used.variable.data, dims=used.dims)
    if gain is None:
        gain = _typical_gain(ds) / (factor if scaled else 1.0)
        note(f"the gain in the flux is not known: the detector's typical one is taken, {gain:.3g}")
        derived(gain=gain)
    return to_full / float(gain)


def _typical_gain(ds: xr.Dataset) -> float:
    try:
        return float(modes.detector(str(ds.attrs.get("detector", ""))).gain)
    except LookupError:
        raise TsoError(
            "calibrate_flux: references are per DN, and no gain is known for detector "
            f"{ds.attrs.get('detector')!r}; give gain="
        ) from None


def _inside(ds: xr.Dataset, *, apply: bool) -> tuple[Any, Any]:
    """Return the share of the light inside the aperture, and its relative error."""
    if not apply:
        return 1.0, 0.0
    if "aperture_loss" not in ds:
        note("the light outside of the aperture is not known: no aperture correction")
        return 1.0, 0.0
    loss, error = (
        xr.DataArray(ds[n].variable.data, dims=ds[n].dims).fillna(0.0)
        for n in ("aperture_loss", "aperture_loss_error")
    )
    return 1.0 - loss, error / (1.0 - loss)


def _calibrated(
    ds: xr.Dataset, conversion: xr.DataArray, uncertainty: xr.DataArray, known: np.ndarray
) -> xr.Dataset:
    from_units = ds["flux"].attrs["units"]
    changed = {
        n: (ds[n] * conversion)
        .transpose(*ds[n].dims)
        .astype(ds[n].dtype)
        .assign_attrs({**ds[n].attrs, "units": UNITS})
        for n in ("flux", "flux_error", "level_error")
        if n in ds
    }
    lost = xr.DataArray(~known, dims="wavelength")
    changed["dq"] = dq.set_flag(ds["dq"], lost, "DO_NOT_USE") if lost.any() else ds["dq"]
    attrs = {
        "conversion": {"long_name": f"mJy of one {from_units}", "units": f"mJy / ({from_units})"},
        "uncertainty": {"long_name": "relative error of the calibration", "units": "1"},
    }
    for name, values in (("conversion", conversion), ("uncertainty", uncertainty)):
        changed[f"calibrate_flux_{name}"] = values.astype(np.float32).assign_attrs(attrs[name])
    return ds.assign({n: a.variable for n, a in changed.items()})


@diagnostic(calibrate_flux)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the calibrated median spectrum with the calibration's error, or the light curve."""
    if "calibrate_flux_conversion" not in ds:
        raise TsoError(
            "plot.calibrate_flux: these data are not calibrated; run .tso.calibrate_flux(photom)"
        )
    ax = style.axes(ax)
    if ds.sizes["wavelength"] == 1:
        style.shade_transit(ax, ds)
        ax.plot(
            style.hours(ds), ds["flux"].isel(wavelength=0), ".", ms=4, color=style.COLORS["data"]
        )
        ax.set_xlabel("time since start [h]")
    else:
        wave, median = np.asarray(ds["wavelength"]), np.asarray(ds["flux"].median("time"))
        wide = median * np.asarray(ds["calibrate_flux_uncertainty"])
        ax.fill_between(
            wave,
            median - wide,
            median + wide,
            color=style.COLORS["after"],
            alpha=0.3,
            lw=0,
            label="error of the calibration",
        )
        ax.plot(wave, median, color=style.COLORS["data"], lw=1, label="median spectrum")
        ax.set_xlabel(style.label_of(ds["wavelength"], "wavelength"))
        ax.legend(fontsize="small")
    ax.set_ylabel(f"flux density [{ds['flux'].attrs['units']}]")
    return ax
