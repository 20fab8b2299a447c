"""JWST detector products: uncal and ramp files lazily, rateints and calints into memory."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import dq, schema
from tsoxr.errors import SchemaError, TsoWarning
from tsoxr.io import header, readout, times
from tsoxr.io.fits_lazy import FitsArray, integrations_per_chunk, lazy
from tsoxr.io.layout import FitsFile
from tsoxr.options import OPTIONS

__all__ = ["clock_of", "read"]


def clock_of(file: FitsFile) -> times.Clock:
    """Return the times that a file of detector data can give."""
    numbers = file.integrations(file.arrays["SCI"].shape[0])
    columns = {
        name: times.column(file.int_times, name, numbers)
        for name in ("int_mid_BJD_TDB", "int_mid_MJD_UTC")
    }
    return times.clock(file.primary, numbers, columns)


def read(
    file: FitsFile, source: str, clock: times.Clock, chunk_mb: float | None = None
) -> xr.Dataset:
    """Return one file as ramps (lazy) or rates (in memory).

    Parameters
    ----------
    file : FitsFile
        The description of the file.
    source : str
        Which of `times.SOURCES` to take.
    clock : Clock
        The times of the file.
    chunk_mb : float, optional
        Size of a chunk of ramps as float32, megabytes; `Options.chunk_mb` if not given.

    Returns
    -------
    xarray.Dataset
        Kind ``ramps`` or ``rates``.
    """
    _check_dims(file)
    kind = "rates" if file.product == "rateints" else "ramps"
    ny, nx = file.arrays["SCI"].shape[-2:]
    y0, x0, subarray = _cutout(file, ny, nx)
    attrs = header.attributes(file.primary, file.sci, kind=kind, where=file.name, shape=subarray)
    attrs |= {"tso_source": json.dumps([file.path]), **times.attributes(source)}
    attrs |= readout.compared_with_header(attrs, *subarray)
    coords = {
        "time": times.coordinate(clock.times[source], source),
        **times.utc_coordinate(clock, source),
        **_common_coords(file, kind),
        "y": schema.label(
            xr.DataArray(np.arange(y0, y0 + ny, dtype=np.int32), dims="y"), kind, "y"
        ),
        "x": schema.label(
            xr.DataArray(np.arange(x0, x0 + nx, dtype=np.int32), dims="x"), kind, "x"
        ),
        "read_offset": readout.read_offset(attrs, *subarray)[y0 : y0 + ny, x0 : x0 + nx],
    }
    if kind == "rates":
        variables = _rates(file)
        coords |= _wavelength(file)
    else:
        variables = _ramps(file, attrs, OPTIONS.chunk_mb if chunk_mb is None else chunk_mb)
        coords |= _group_coords(file, attrs)
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _common_coords(file: FitsFile, kind: str) -> dict[str, xr.DataArray]:
    n = file.arrays["SCI"].shape[0]
    first, last = file.primary.get("INTSTART"), file.primary.get("INTEND")
    if first and last and int(last) - int(first) + 1 != n:
        warnings.warn(
            f"{file.name}: INTSTART={first} and INTEND={last} promise {int(last) - int(first) + 1} "
            f"integrations, the file holds {n}; they are numbered from {first}",
            TsoWarning,
            stacklevel=2,
        )
    segment = np.full(n, int(file.primary.get("EXSEGNUM") or 1), dtype=np.int16)
    return {
        "integration": schema.label(
            xr.DataArray(file.integrations(n), dims="time"), kind, "integration"
        ),
        "segment": schema.label(xr.DataArray(segment, dims="time"), kind, "segment"),
    }


def _group_coords(file: FitsFile, attrs: dict[str, Any]) -> dict[str, xr.DataArray]:
    n = file.arrays["SCI"].shape[1]
    numbers = xr.DataArray(np.arange(1, n + 1, dtype=np.int16), dims="group")
    coords = {"group": schema.label(numbers, "ramps", "group")}
    if "frame_time" in attrs:
        coords["group_time"] = readout.group_time(
            n,
            frame_time=attrs["frame_time"],
            n_frames=attrs.get("n_frames", 1),
            group_gap=attrs.get("group_gap", 0),
            dropped=int(file.primary.get("DRPFRMS1") or 0),
        )
    return coords


def _check_dims(file: FitsFile) -> None:
    science = file.arrays["SCI"]
    n_groups = file.primary.get("NGROUPS")
    if science.ndim == 4 and n_groups is not None and int(n_groups) != science.shape[1]:
        raise SchemaError(
            f"{file.name}: SCI has shape {science.shape} (integration, group, y, x) but NGROUPS={n_groups}; "
            "one of them is wrong: restore the file or mend the keyword"
        )
    wanted = {"DQ": 3, "ERR": 3, "VAR_RNOISE": 3, "GROUPDQ": 4}
    for name, ndim in wanted.items():
        array = file.arrays.get(name)
        if array is not None and science.ndim == ndim and array.shape != science.shape:
            raise SchemaError(
                f"{file.name}: {name} has shape {array.shape} and SCI {science.shape}; they must be equal"
            )


def _cutout(file: FitsFile, ny: int, nx: int) -> tuple[int, int, tuple[int, int]]:
    """Return where the image lies in its subarray (0-based), and the subarray's size.

    SLTSTRT counts from 1 within the subarray; some products give it on the detector, which
    shows where the slit would end outside the subarray.
    """
    primary, sci = file.primary, file.sci
    full = (int(primary.get("SUBSIZE2") or ny), int(primary.get("SUBSIZE1") or nx))
    if (ny, nx) == full:
        return 0, 0, full
    starts = []
    for axis, size, whole in ((2, ny, full[0]), (1, nx, full[1])):
        start = sci.get(f"SLTSTRT{axis}")
        if start is None:
            raise SchemaError(
                f"{file.name}: SCI has {ny} x {nx} pixels but SUBSIZE says {full[0]} x {full[1]}, and no "
                "SLTSTRT says where the cut-out lies; restore these keywords of the SCI header"
            )
        first = int(start) - 1
        if first + size > whole:
            first -= int(primary.get(f"SUBSTRT{axis}") or 1) - 1
        if not 0 <= first <= whole - size:
            raise SchemaError(
                f"{file.name}: the cut-out of {size} pixels from SLTSTRT{axis}={start} does not fit into the "
                f"subarray of {whole}; mend SLTSTRT{axis} or SUBSIZE{axis}"
            )
        starts.append(first)
    return starts[0], starts[1], full


def _ramps(file: FitsFile, attrs: dict[str, Any], chunk_mb: float) -> dict[str, xr.DataArray]:
    science = file.arrays["SCI"]
    n = integrations_per_chunk(science.shape, chunk_mb)
    dims = ("time", "group", "y", "x")
    ramp = xr.DataArray(lazy(science, n), dims=dims)
    if str(ramp.dtype) not in ("uint16", "float32"):
        ramp = ramp.astype("float32")
    if "GROUPDQ" in file.arrays:
        flags = lazy(file.arrays["GROUPDQ"], n).astype("uint8")
    else:
        import dask.array as da

        flags = da.zeros(science.shape, dtype="uint8", chunks=(n, *science.shape[1:]))
    return {
        "ramp": schema.label(ramp, "ramps", "ramp"),
        "dq_group": schema.label(xr.DataArray(flags, dims=dims), "ramps", "dq_group"),
        "dq_pixel": schema.label(
            xr.DataArray(_dq_pixel(file, attrs), dims=("y", "x")), "ramps", "dq_pixel"
        ),
    }


def _dq_pixel(file: FitsFile, attrs: dict[str, Any]) -> np.ndarray:
    """Return PIXELDQ; without it, flags of the detector's frame of reference pixels only."""
    ny, nx = file.arrays["SCI"].shape[-2:]
    array = file.arrays.get("PIXELDQ")
    if array is None:
        border = readout.reference_pixels(attrs, ny, nx)
        return border.astype(np.uint32) * dq.bits("REFERENCE_PIXEL")
    if array.shape != (ny, nx):
        raise SchemaError(f"{file.name}: PIXELDQ has shape {array.shape}; expected {(ny, nx)}")
    return array.read().astype(np.uint32, copy=False)


def _rates(file: FitsFile) -> dict[str, xr.DataArray]:
    arrays = file.arrays
    units = header.unit(file.sci.get("BUNIT"), "DN s-1")
    squared = {"DN s-1": "DN2 s-2", "MJy": "MJy2", "MJy sr-1": "MJy2 sr-2"}.get(
        units, f"({units})2"
    )
    rate = _float32(arrays["SCI"])
    out = {"rate": _label(rate, "rate", units=units)}
    if "ERR" in arrays:
        out["rate_error"] = _label(_float32(arrays["ERR"]), "rate_error", units=units)
    elif "VAR_POISSON" in arrays and "VAR_RNOISE" in arrays:
        variance = _float32(arrays["VAR_POISSON"]) + _float32(arrays["VAR_RNOISE"])
        out["rate_error"] = _label(np.sqrt(variance, out=variance), "rate_error", units=units)
    else:
        raise SchemaError(
            f"{file.name}: has neither ERR nor VAR_POISSON and VAR_RNOISE (extensions {sorted(arrays)}); "
            "tsoxr needs the errors of the rates; take the file from the archive or fit the ramps again"
        )
    if "VAR_RNOISE" in arrays:
        out["rate_read_variance"] = _label(
            _float32(arrays["VAR_RNOISE"]), "rate_read_variance", units=squared
        )
    out["dq"] = _label(_flags(arrays.get("DQ"), rate), "dq")
    return out


def _flags(array: FitsArray | None, rate: np.ndarray) -> np.ndarray:
    """Return DQ, with DO_NOT_USE wherever there is no value."""
    flags = (
        np.zeros(rate.shape, np.uint32)
        if array is None
        else array.read().astype(np.uint32, copy=False)
    )
    np.bitwise_or(flags, dq.bits("DO_NOT_USE"), out=flags, where=np.isnan(rate))
    return flags


def _float32(array: FitsArray) -> np.ndarray:
    return array.read().astype(np.float32, copy=False)


def _label(values: np.ndarray, name: str, **attrs: object) -> xr.DataArray:
    return schema.label(xr.DataArray(values, dims=("time", "y", "x")), "rates", name, **attrs)


def _wavelength(file: FitsFile) -> dict[str, xr.DataArray]:
    array = file.arrays.get("WAVELENGTH")
    if array is None:
        return {}
    values = array.read().astype(np.float64)
    if values.shape != file.arrays["SCI"].shape[-2:]:
        raise SchemaError(
            f"{file.name}: WAVELENGTH has shape {values.shape}; expected {file.arrays['SCI'].shape[-2:]}"
        )
    values[values == 0] = np.nan
    if not np.isfinite(values).any():
        warnings.warn(
            f"{file.name}: WAVELENGTH holds no wavelengths (zeros or NaN) and is left out; "
            "run .tso.assign_wavelength()",
            TsoWarning,
            stacklevel=2,
        )
        return {}
    return {
        "wavelength": schema.label(xr.DataArray(values, dims=("y", "x")), "rates", "wavelength")
    }
