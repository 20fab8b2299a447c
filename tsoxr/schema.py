"""What each product is made of, declared once, and the check against it.

Four products are plain `xarray.Dataset` objects: ``ramps``, ``rates``, ``spectra`` and
``lightcurves``. Their kind stands in ``attrs["tso_kind"]``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from tsoxr.dq import flag_attrs
from tsoxr.errors import SchemaError

__all__ = [
    "ATTRIBUTES",
    "KINDS",
    "SCHEMA_VERSION",
    "Variable",
    "kind_of",
    "label",
    "validate",
]

SCHEMA_VERSION = 1

KINDS = ("ramps", "rates", "spectra", "lightcurves", "spectrum")


@dataclass(frozen=True)
class Variable:
    """One variable of a product: its dims, types, unit and meaning."""

    dims: tuple[str, ...]
    dtypes: tuple[str, ...]
    units: str | None
    long_name: str
    required: bool = False
    units_allowed: tuple[str, ...] = ()


def _pixels(units: str, long_name: str, **more: object) -> Variable:
    """Describe a static detector image, (y, x); one number for all pixels will do too."""
    return Variable(("y", "x"), ("float32", "float64"), units, long_name, **more)  # type: ignore[arg-type]


_TIME = {
    "time": Variable(("time",), ("float64",), "d", "BMJD_TDB, mid-integration", required=True),
    "time_utc": Variable(("time",), ("float64",), "d", "MJD_UTC, mid-integration"),
    "integration": Variable(("time",), ("int32",), "1", "integration number in the exposure"),
    "segment": Variable(("time",), ("int16",), "1", "file segment"),
    "trace_shift": Variable(("time",), ("float32",), "pix", "shift across dispersion"),
    "trace_shift_dispersion": Variable(("time",), ("float32",), "pix", "shift along dispersion"),
    "trace_fwhm": Variable(("time",), ("float32",), "pix", "width of the trace across dispersion"),
    "trace_roll": Variable(("time",), ("float32",), "radian", "rotation of the trace"),
    "trace_shift_error": Variable(("time",), ("float32",), "pix", "1 sigma error of trace_shift"),
    "trace_shift_dispersion_error": Variable(
        ("time",), ("float32",), "pix", "1 sigma error of trace_shift_dispersion"
    ),
    "trace_fwhm_error": Variable(("time",), ("float32",), "pix", "1 sigma error of trace_fwhm"),
    "trace_roll_error": Variable(("time",), ("float32",), "radian", "1 sigma error of trace_roll"),
    "centroid_y": Variable(("time",), ("float64",), "pix", "centre of the star along y"),
    "centroid_x": Variable(("time",), ("float64",), "pix", "centre of the star along x"),
    "centroid_y_error": Variable(("time",), ("float32",), "pix", "1 sigma error of centroid_y"),
    "centroid_x_error": Variable(("time",), ("float32",), "pix", "1 sigma error of centroid_x"),
    "psf_flux": Variable(
        ("time",),
        ("float64",),
        "electron s-1",
        "light of the star's image as fitted",
        units_allowed=("DN s-1", "Jy", "mJy", "MJy", "MJy sr-1"),
    ),
    "psf_flux_error": Variable(
        ("time",),
        ("float64",),
        "electron s-1",
        "1 sigma error of psf_flux",
        units_allowed=("DN s-1", "Jy", "mJy", "MJy", "MJy sr-1"),
    ),
    "background_level": Variable(("time",), ("float32",), "DN s-1", "background level"),
    "jitter_x": Variable(("time",), ("float32",), "arcsec", "pointing jitter along x"),
    "jitter_y": Variable(("time",), ("float32",), "arcsec", "pointing jitter along y"),
    "guide_star_flux": Variable(("time",), ("float32",), "1", "relative flux of the guide star"),
    "in_transit": Variable(("time",), ("bool", "int8"), None, "in transit"),
}

_DETECTOR = {
    "y": Variable(("y",), ("int32", "int64"), "pix", "detector row of the subarray"),
    "x": Variable(("x",), ("int32", "int64"), "pix", "detector column of the subarray"),
    "read_offset": _pixels("s", "read-out delay of the pixel within a frame"),
    "gain": _pixels("electron DN-1", "gain"),
    "read_noise": _pixels("DN", "noise of a single read"),
    "dark_rate": _pixels("DN s-1", "rate of the dark signal that was subtracted"),
}

SCHEMAS: dict[str, dict[str, Variable]] = {
    "ramps": {
        **_TIME,
        **_DETECTOR,
        "ramp": Variable(
            ("time", "group", "y", "x"), ("float32", "uint16"), "DN", "accumulated signal", required=True
        ),
        "dq_group": Variable(
            ("time", "group", "y", "x"), ("uint8",), "1", "data quality of each group", required=True
        ),
        "dq_pixel": Variable(("y", "x"), ("uint32",), "1", "data quality of each pixel", required=True),
        "group": Variable(("group",), ("int16",), "1", "group number, from 1", required=True),
        "group_time": Variable(("group",), ("float64",), "s", "mean time of the group since reset"),
        "saturation": _pixels("DN", "saturation limit"),
        "superbias": _pixels("DN", "bias level"),
        "flat": _pixels("1", "flat field"),
        "linearity": Variable(
            ("coefficient", "y", "x"), ("float32", "float64"), None, "coefficients of the linearity polynomial"
        ),
        "dark": Variable(
            ("nth_integration", "group", "y", "x"), ("float32",), "DN", "dark signal of each group"
        ),
        "reset": Variable(
            ("nth_integration", "group", "y", "x"), ("float32",), "DN", "signal that the reset leaves behind"
        ),
    },
    "rates": {
        **_TIME,
        **_DETECTOR,
        "rate": Variable(
            ("time", "y", "x"), ("float32",), "DN s-1", "count rate", required=True,
            units_allowed=("MJy", "MJy sr-1", "mJy", "Jy"),
        ),
        "rate_error": Variable(
            ("time", "y", "x"), ("float32",), "DN s-1", "1 sigma error of the count rate", required=True,
            units_allowed=("MJy", "MJy sr-1", "mJy", "Jy"),
        ),
        "rate_read_variance": Variable(
            ("time", "y", "x"), ("float32",), "DN2 s-2", "read-noise variance of the count rate",
            units_allowed=("MJy2", "MJy2 sr-2"),
        ),
        "dq": Variable(("time", "y", "x"), ("uint32",), "1", "data quality", required=True),
        "chi2": Variable(("time", "y", "x"), ("float32",), "1", "chi-squared of the ramp fit"),
        "n_used": Variable(("time", "y", "x"), ("uint16",), "1", "group differences used by the ramp fit"),
        "pedestal": Variable(("time", "y", "x"), ("float32",), "DN", "signal that the pixel holds after the reset"),
        "flat": _pixels("1", "flat field"),
        "wavelength": Variable(("y", "x"), ("float64",), "um", "wavelength"),
        "trace_center": Variable(("y", "x"), ("float64",), "pix", "centre of the spectrum across dispersion"),
        "slope_delay": _pixels("s", "centre of the slope after mid-integration"),
        "order": Variable(("order",), ("int16",), "1", "spectral order"),
        "order_image": Variable(
            ("order", "y", "x"), ("float32",), "DN s-1", "light of one spectral order in the median frame",
            units_allowed=("MJy", "MJy sr-1", "mJy", "Jy"),
        ),
        "level_variance": Variable(
            ("y", "x"), ("float32", "float64"), "DN2 s-2", "variance of the level subtracted from each line",
            units_allowed=("MJy2", "MJy2 sr-2"),
        ),
        "level_factor": Variable(
            ("y", "x", "output", "level_mode"), ("float32", "float64"), "DN s-1",
            "factor of the covariance of the levels of lines along the spectrum",
            units_allowed=("MJy", "MJy sr-1"),
        ),
    },
    "spectra": {
        **_TIME,
        "wavelength": Variable(("wavelength",), ("float64",), "um", "wavelength", required=True),
        "flux": Variable(
            ("time", "wavelength"), ("float32", "float64"), "electron s-1", "spectral flux", required=True,
            units_allowed=("DN s-1", "Jy", "mJy", "MJy", "MJy sr-1", "electron", "1"),
        ),
        "flux_error": Variable(
            ("time", "wavelength"), ("float32", "float64"), "electron s-1", "1 sigma error of the flux",
            required=True, units_allowed=("DN s-1", "Jy", "mJy", "MJy", "MJy sr-1", "electron", "1"),
        ),
        "dq": Variable(("time", "wavelength"), ("uint32",), "1", "data quality", required=True),
        "n_pixels": Variable(("wavelength",), ("float32", "float64"), "pix", "pixels in the aperture"),
        "flux_estimated": Variable(
            ("time", "wavelength"), ("float32", "float64"), "1", "share of the light that was estimated"
        ),
        "level_error": Variable(
            ("wavelength", "level_mode"), ("float32", "float64"), "electron s-1",
            "errors that all wavelengths share, independent of each other",
            units_allowed=("DN s-1", "Jy", "mJy", "MJy", "MJy sr-1", "electron", "1"),
        ),
        "read_offset": Variable(("wavelength",), ("float32", "float64"), "s", "read-out delay within a frame"),
        "slope_delay": Variable(
            ("wavelength",), ("float32", "float64"), "s", "centre of the slope after mid-integration"
        ),
        "dispersion_pixel": Variable(("wavelength",), ("float32", "float64", "int32"), "pix", "pixel along dispersion"),
        "aperture_loss": Variable(("wavelength",), ("float32", "float64"), "1", "share of the light outside the aperture"),
        "aperture_loss_error": Variable(
            ("wavelength",), ("float32", "float64"), "1", "1 sigma error of aperture_loss"
        ),
        "noise_ratio": Variable(("wavelength",), ("float32", "float64"), "1", "scatter over predicted error"),
        "noise_ratio_error": Variable(
            ("wavelength",), ("float32", "float64"), "1", "1 sigma error of the scatter over predicted error"
        ),
    },
    "lightcurves": {
        **_TIME,
        "wavelength": Variable(("wavelength",), ("float64",), "um", "wavelength of the bin centre"),
        "flux": Variable(("time", "wavelength"), ("float64",), "1", "relative flux", required=True,
                         units_allowed=("electron s-1", "DN s-1", "mJy")),
        "flux_error": Variable(("time", "wavelength"), ("float64",), "1", "1 sigma error of the relative flux",
                               required=True, units_allowed=("electron s-1", "DN s-1", "mJy")),
        "dq": Variable(("time", "wavelength"), ("uint32",), "1", "data quality", required=True),
        "wavelength_bounds": Variable(("wavelength", "bound"), ("float64",), None, "limits of the bin"),
        "noise_ratio": Variable(("wavelength",), ("float32", "float64"), "1", "scatter over predicted error"),
        "noise_ratio_error": Variable(
            ("wavelength",), ("float32", "float64"), "1", "1 sigma error of the scatter over predicted error"
        ),
        "read_offset": Variable(("wavelength",), ("float32", "float64"), "s", "read-out delay within a frame"),
        "slope_delay": Variable(
            ("wavelength",), ("float32", "float64"), "s", "centre of the slope after mid-integration"
        ),
    },
    "spectrum": {
        "wavelength": Variable(("wavelength",), ("float64",), "um", "wavelength of the bin centre"),
        "depth": Variable(("wavelength",), ("float64",), "ppm", "depth", required=True),
        "depth_error": Variable(("wavelength",), ("float64",), "ppm", "1 sigma error of the depth", required=True),
    },
}  # fmt: skip

ATTRIBUTES = {
    "tso_kind": "which product this is: " + ", ".join(KINDS),
    "tso_schema": "version of this description",
    "tso_mode": "observing mode, a name of tsoxr.modes",
    "tso_history": "JSON list of the steps applied, with their parameters",
    "tso_source": "JSON list of the files that the data came from",
    "time_source": "clock that the times came from, see tsoxr.open",
    "time_source_accuracy": "how far the times may be off in absolute terms, s",
    "time_source_accuracy_from": "who measured that",
    "frame_time_difference": "frame time of the header less that of the read-out's clocks, s",
    "spatial_dim": "detector dim across dispersion: y or x",
    "dispersion_dim": "detector dim along dispersion: y or x",
    "fast_dim": "detector dim along which consecutive pixels of a line are read",
    "slow_dim": "detector dim along which the lines follow each other",
    "fast_direction": "+1 or -1: direction of reading along fast_dim",
    "slow_direction": "+1 or -1: direction of reading along slow_dim",
    "frame_time": "time to read one frame, s",
    "group_interval": "time from group to group, s",
    "n_groups": "groups of one integration",
    "n_frames": "frames averaged into one group",
    "group_gap": "frames dropped between groups",
    "n_integrations": "integrations of the whole exposure",
    "n_outputs": "amplifiers that read the subarray",
    "gain_factor": "factor of the subarray's gain to the full frame's (GAINFACT)",
    "gain_scaled": "1 where the rates were multiplied by that factor already (S_GANSCL)",
    "n_samples": "samples of each pixel averaged into one read (NSAMPLES)",
    "x_start": "first column of the subarray on the detector, 1-based",
    "y_start": "first row of the subarray on the detector, 1-based",
    "instrument": "INSTRUME",
    "detector": "DETECTOR",
    "subarray": "SUBARRAY",
    "exp_type": "EXP_TYPE",
    "target": "TARGNAME",
    "rectified": "1 where lines were moved by whole pixels to look at them, see rectify",
    "wavelength_source": "where the wavelengths come from",
    "fits_header": "JSON: the cards of the primary and science headers",
}
"""Dataset attributes and what they mean."""


def kind_of(ds: xr.Dataset) -> str | None:
    """Return the product kind of a Dataset, ``None`` where it is not one of ours."""
    kind = ds.attrs.get("tso_kind")
    return str(kind) if kind is not None else None


def label(array: xr.DataArray, kind: str, name: str, **attrs: object) -> xr.DataArray:
    """Name an array as the schema does: unit, long name and, for flags, the CF flags.

    Parameters
    ----------
    array : xarray.DataArray
        The data; attributes that it has are replaced.
    kind : str
        Product kind.
    name : str
        Variable of that product.
    **attrs
        Attributes that differ, such as ``units``.

    Returns
    -------
    xarray.DataArray
        The same data under the schema's name and attributes.

    Raises
    ------
    KeyError
        For a variable that the schema does not have.
    """
    variable = SCHEMAS[kind][name]
    own: dict[str, object] = {"long_name": variable.long_name}
    if variable.units is not None:
        own["units"] = variable.units
    if name in ("dq", "dq_group", "dq_pixel"):
        own.update(flag_attrs(array.dtype))
        own["long_name"] = variable.long_name
    if name == "time":
        own["time_scale"] = "tdb"
    out = array.copy(deep=False).rename(name)  # drop_attrs would copy the data
    out.attrs = {**own, **attrs}
    return out


def validate(ds: xr.Dataset, *, strict: bool = False) -> list[str]:
    """Compare a Dataset with the schema of its kind.

    Parameters
    ----------
    ds : xarray.Dataset
        Any product.
    strict : bool
        Raise instead of returning the problems.

    Returns
    -------
    list of str
        One sentence for each problem; empty for a valid product. Nothing is computed.

    Raises
    ------
    SchemaError
        With ``strict=True``, when there is a problem.
    """
    kind = kind_of(ds)
    if kind is None:
        problems = [
            "attribute 'tso_kind' is missing; open the data with tsoxr.open or build them by simulate"
        ]
    elif kind not in SCHEMAS:
        problems = [f"attribute 'tso_kind' is {kind!r}; it must be one of {KINDS}"]
    else:
        problems = [*_attribute_problems(ds, kind), *_variable_problems(ds, kind)]
    if strict and problems:
        raise SchemaError("validate: " + "; ".join(problems))
    return problems


def _attribute_problems(ds: xr.Dataset, kind: str) -> list[str]:
    problems = []
    for name, value in ds.attrs.items():
        if value is None or isinstance(value, bool | dict):
            problems.append(
                f"attribute {name!r} is a {type(value).__name__}, which netCDF cannot store"
            )
    if "units" in ds.attrs:
        problems.append(
            "the Dataset has an attribute 'units', which belongs to variables (drop it)"
        )
    if kind in ("ramps", "rates"):
        problems += [
            f"attribute {name!r} is {ds.attrs.get(name)!r}; it must be 'y' or 'x'"
            for name in ("spatial_dim", "dispersion_dim", "fast_dim", "slow_dim")
            if ds.attrs.get(name) not in ("y", "x")
        ]
    return problems


def _variable_problems(ds: xr.Dataset, kind: str) -> list[str]:
    problems = []
    for name, expected in SCHEMAS[kind].items():
        if name not in ds.variables:
            if expected.required:
                problems.append(f"variable {name!r} is missing")
            continue
        problems += _one_variable(ds[name], name, expected)
    if "time" in ds.indexes and ds.sizes["time"] > 1:
        time = np.asarray(ds.indexes["time"])
        if not np.all(np.diff(time) > 0):
            problems.append("coordinate 'time' does not increase")
    return problems


def _one_variable(array: xr.DataArray, name: str, expected: Variable) -> list[str]:
    problems = []
    static = array.ndim == 0 or set(array.dims) < set(expected.dims)
    if array.dims != expected.dims and not static:
        problems.append(f"{name!r} has dims {array.dims}; expected {expected.dims}")
    if str(array.dtype) not in expected.dtypes:
        problems.append(
            f"{name!r} has dtype {array.dtype}; expected {' or '.join(expected.dtypes)}"
        )
    units = array.attrs.get("units")
    if expected.units is not None and units not in (expected.units, *expected.units_allowed):
        problems.append(f"{name!r} has units {units!r}; expected {expected.units!r}")
    return problems
