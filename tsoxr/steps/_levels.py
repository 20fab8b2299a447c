"""Errors of the levels of lines along the spectrum, from ramps to spectra.

Lines across the spectrum make an error of one wavelength, for which a variance is enough
(``level_variance`` along the dispersion). Those along it make errors that wavelengths share:
``level_factor`` (line, output, level_mode) holds a factor of their covariance.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from tsoxr import lazy, schema
from tsoxr.kernels import level_errors as kernel
from tsoxr.steps import _stripes

__all__ = [
    "SQUARED",
    "edges_of",
    "factor_of_lines",
    "labelled",
    "of_spectra",
    "relative_to_background",
]

SQUARED = {"DN s-1": "DN2 s-2", "MJy": "MJy2", "MJy sr-1": "MJy2 sr-2"}
"""Units of variances."""


def factor_of_lines(ds: xr.Dataset) -> xr.DataArray | None:
    """Return the factor (line, output, level_mode) of rates, None where none is known.

    Of a variance alone, lines and outputs count as independent.
    """
    space = ds.attrs["spatial_dim"]
    if "level_factor" in ds:
        return _bare(ds["level_factor"]).transpose(space, "output", "level_mode")
    if "level_variance" not in ds or ds["level_variance"].dims != (space,):
        return None
    n_outputs = edges_of(ds).size - 1
    own = np.eye(ds.sizes[space] * n_outputs).reshape(ds.sizes[space], n_outputs, -1)
    error = np.sqrt(_bare(ds["level_variance"]).fillna(0.0))
    return error * xr.DataArray(own, dims=(space, "output", "level_mode"))


def _bare(array: xr.DataArray) -> xr.DataArray:
    return xr.DataArray(array.variable.data, dims=array.dims)


def edges_of(ds: xr.Dataset) -> np.ndarray:
    """Return where the outputs begin along the spectrum, and the end."""
    along = ds.attrs["dispersion_dim"]
    if ds.attrs["fast_dim"] != along:
        return np.array([0, ds.sizes[along]])
    return _stripes.edges_of(ds)


def labelled(factor: xr.DataArray, ds: xr.Dataset) -> xr.DataArray:
    """Return the factor as a variable of rates."""
    units = ds["rate"].attrs.get("units", "DN s-1") if "rate" in ds else "DN s-1"
    return schema.label(factor.astype("f4"), "rates", "level_factor", units=units)


def relative_to_background(
    ds: xr.Dataset, factor: xr.DataArray, inside: xr.DataArray, order: int = 0
) -> xr.DataArray:
    """Return the factor after a polynomial through background pixels was taken from each column."""
    space, along = ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"]
    dims = (space, "output", "level_mode")
    return lazy.static_from_sample(
        partial(_relative, edges_of(ds), order), factor, inside.transpose(space, along), dims=dims
    )


def _relative(edges: np.ndarray, order: int, factor: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return kernel.relative_to_background(factor, inside > 0, edges, order)


def of_spectra(ds: xr.Dataset, weight: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray] | None:
    """Return errors (dispersion, level_mode) and variance (dispersion,) of the weighted sums."""
    factor = factor_of_lines(ds)
    if factor is None:
        return None
    space, along = weight.dims
    return xr.apply_ufunc(
        partial(kernel.level_errors, edges=edges_of(ds)), weight, factor,
        input_core_dims=[[space, along], [space, "output", "level_mode"]],
        output_core_dims=[[along, "level_mode"], [along]],
        exclude_dims={"level_mode"}, dask="parallelized", output_dtypes=["f8", "f8"],
        dask_gufunc_kwargs={"output_sizes": {"level_mode": kernel.N_MODES}, "allow_rechunk": True},
    )  # fmt: skip
