"""Spectra that Eureka! wrote: the SpecData files of its stage 3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq, modes, schema
from tsoxr.errors import SchemaError
from tsoxr.io import header, times

__all__ = ["EXTRACTIONS", "is_eureka", "orders", "read"]

EXTRACTIONS = {"optimal": ("optspec", "opterr"), "box": ("stdspec", "stdvar")}
"""Extraction and the variables that hold its flux, and its error or variance."""

_FWHM_PER_SIGMA = 2.3548200450309493
_EXP_TYPES = {
    "NIRSPEC": "NRS_BRIGHTOBJ", "NIRISS": "NIS_SOSS", "NIRCAM": "NRC_TSGRISM", "MIRI": "MIR_LRS-SLITLESS",
}  # fmt: skip


def is_eureka(attrs: dict[str, Any], variables: Any) -> bool:
    """Return True for a file that Eureka! made."""
    return str(attrs.get("data_format", "")).lower() == "eureka" or {"wave_1d", "stdspec"} <= set(
        variables
    )


def orders(path: str) -> list[int]:
    """Return the spectral orders of a file; those without the axis hold order 1."""
    with _opened(path) as ds:
        if "order" not in ds.variables:
            return [1]
        return [int(o) for o in np.atleast_1d(ds["order"].values)]


def _opened(path: str) -> xr.Dataset:
    return xr.open_dataset(path, engine="netcdf4", decode_times=False)


def read(path: str, *, order: int, extraction: str) -> xr.Dataset:
    """Return a SpecData file as spectra in memory.

    Parameters
    ----------
    path : str
        The HDF5 file.
    order : int
        Spectral order.
    extraction : {"optimal", "box"}
        ``optspec`` or ``stdspec``.

    Returns
    -------
    xarray.Dataset
        Kind ``spectra``; flux in electrons of the whole integration, as Eureka! writes it.

    Raises
    ------
    ValueError
        For an unknown extraction.
    SchemaError
        For a file that holds no spectra.
    """
    if extraction not in EXTRACTIONS:
        raise ValueError(
            f"open: extraction is {extraction!r}; it must be one of {sorted(EXTRACTIONS)}"
        )
    flux_name, error_name = EXTRACTIONS[extraction]
    with _opened(path) as opened:
        if flux_name not in opened or "wave_1d" not in opened:
            raise SchemaError(
                f"{Path(path).name}: an Eureka! file without {flux_name!r} (it has "
                f"{sorted(map(str, opened.data_vars))}); tsoxr reads the SpecData files of stage 3, "
                "extraction='optimal' or 'box'"
            )
        ds = opened.load()
    if "order" in ds.dims:
        ds = ds.sel(order=order)
    return _spectra(ds, path, order, flux_name, error_name)


def _spectra(ds: xr.Dataset, path: str, order: int, flux_name: str, error_name: str) -> xr.Dataset:
    wavelength = ds["wave_1d"].values.astype(np.float64)
    usable = np.flatnonzero(np.isfinite(wavelength))
    ascending = usable[np.argsort(wavelength[usable], kind="stable")]
    ds = ds.isel(x=ascending)
    flux = _values(ds[flux_name], np.float32)
    error = _values(ds[error_name], np.float32)
    if error_name == "stdvar":
        error = np.sqrt(error)
    bad = np.isnan(flux)
    if flux_name == "optspec" and "optmask" in ds:
        bad |= _values(ds["optmask"], bool)
    flags = bad.astype(np.uint32) * dq.bits("DO_NOT_USE")
    units = header.unit(ds[flux_name].attrs.get("flux_units"), "electron")
    variables = {
        "flux": _label(flux, "flux", units=units),
        "flux_error": _label(error, "flux_error", units=units),
        "dq": _label(flags, "dq"),
    }
    return xr.Dataset(
        variables, coords=_coords(ds, wavelength[ascending], order), attrs=_attrs(ds, path)
    )


def _values(array: xr.DataArray, dtype: Any) -> np.ndarray:
    return np.ascontiguousarray(array.transpose("time", "x").values, dtype=dtype)


def _coords(ds: xr.Dataset, wavelength: np.ndarray, order: int) -> dict[str, xr.DataArray]:
    time = ds["time"].values.astype(np.float64)
    time = time - (2400000.5 if np.median(time) > 2.4e6 else 0.0)
    source = (
        "int_mid_BJD_TDB"
        if "BJD" in str(ds["time"].attrs.get("time_units", ""))
        else "int_mid_MJD_UTC"
    )
    coords = {
        "time": times.coordinate(time, source),
        "wavelength": _label(wavelength, "wavelength"),
        "dispersion_pixel": _label(ds["x"].values.astype(np.float64), "dispersion_pixel"),
        "order": xr.DataArray(np.int16(order), attrs={"long_name": "spectral order", "units": "1"}),
    }
    if "centroid_y" in ds:
        center = ds["centroid_y"].values
        coords["trace_shift"] = _label(
            (center - np.nanmedian(center)).astype(np.float32), "trace_shift"
        )
    if "centroid_sy" in ds:
        width = (_FWHM_PER_SIGMA * ds["centroid_sy"].values).astype(np.float32)
        coords["trace_fwhm"] = _label(width, "trace_fwhm")
    return coords


def _attrs(ds: xr.Dataset, path: str) -> dict[str, Any]:
    instrument = str(ds.attrs.get("inst", "")).upper()
    exp_type = _EXP_TYPES.get(instrument, "")
    mode = modes.match({"EXP_TYPE": exp_type, "GRATING": str(ds.attrs.get("filter", "")).upper()})
    attrs: dict[str, Any] = {
        "tso_kind": "spectra",
        "tso_schema": schema.SCHEMA_VERSION,
        "tso_history": "[]",
        "tso_source": json.dumps([path]),
        "time_source": f"Eureka! {ds['time'].attrs.get('time_units', '')}".strip(),
    }
    found = {
        "tso_mode": mode.name if mode is not None else "",
        "instrument": instrument,
        "detector": str(ds.attrs.get("inst_detector", "")).upper(),
        "exp_type": exp_type,
        "eureka_version": str(ds.attrs.get("version", "")),
    }
    return attrs | {name: value for name, value in found.items() if value}


def _label(values: np.ndarray, name: str, **attrs: object) -> xr.DataArray:
    dims = schema.SCHEMAS["spectra"][name].dims
    return schema.label(xr.DataArray(values, dims=dims), "spectra", name, **attrs)
