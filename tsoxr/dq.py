"""Data-quality flags: the JWST bits, used by name.

Flags are unsigned integers whose bits have the meanings of the JWST table. The CF
attributes ``flag_masks`` and ``flag_meanings`` travel with each flag variable, so any
netCDF tool can decode them. A step sets bits and never clears one.
"""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np
import xarray as xr

__all__ = [
    "FLAGS",
    "UNUSABLE",
    "UNUSABLE_RATE",
    "bits",
    "describe",
    "flag_attrs",
    "has_flag",
    "or_reduce",
    "set_flag",
]

FLAGS: dict[str, int] = {
    name: 1 << bit
    for bit, name in enumerate(
        [
            "DO_NOT_USE", "SATURATED", "JUMP_DET", "DROPOUT", "OUTLIER", "PERSISTENCE",
            "AD_FLOOR", "CHARGELOSS", "RESERVED_8", "NON_SCIENCE", "DEAD", "HOT", "WARM",
            "LOW_QE", "RC", "TELEGRAPH", "NONLINEAR", "BAD_REF_PIXEL", "NO_FLAT_FIELD",
            "NO_GAIN_VALUE", "NO_LIN_CORR", "NO_SAT_CHECK", "UNRELIABLE_BIAS",
            "UNRELIABLE_DARK", "UNRELIABLE_SLOPE", "UNRELIABLE_FLAT", "OPEN", "ADJ_OPEN",
            "FLUX_ESTIMATED", "MSA_FAILED_OPEN", "OTHER_BAD_PIXEL", "REFERENCE_PIXEL",
        ]
    )
}  # fmt: skip
"""Name of each flag and its bit value."""

UNUSABLE = ("DO_NOT_USE", "SATURATED")
"""Flags that take a group out of use; informational bits do not."""

UNUSABLE_RATE = ("DO_NOT_USE", "OUTLIER", "REFERENCE_PIXEL", "NON_SCIENCE")
"""Flags that take a pixel of a rate or spectrum out of use.

SATURATED and JUMP_DET are absent on purpose: the ramp fit has left out the affected
groups, and sets DO_NOT_USE where too few remained.
"""

BLOCK = 1 << 20
"""Samples that are looked at in one go."""


def bits(*names: str, dtype: Any = np.uint32) -> np.unsignedinteger:
    """Return the bit mask of one or more named flags.

    Parameters
    ----------
    *names : str
        Flag names such as ``"SATURATED"``.
    dtype : numpy dtype
        Unsigned integer type of the result.

    Returns
    -------
    numpy unsigned integer
        All named bits together.

    Raises
    ------
    KeyError
        For an unknown name; the message names the nearest one.
    ValueError
        For a flag that does not fit into ``dtype``.

    Examples
    --------
    >>> int(bits("DO_NOT_USE", "JUMP_DET"))
    5
    """
    dtype = np.dtype(dtype)
    value = 0
    for name in names:
        if name not in FLAGS:
            near = difflib.get_close_matches(str(name).upper(), FLAGS, n=1)
            hint = f"did you mean {near[0]!r}" if near else "see tsoxr.dq.FLAGS"
            raise KeyError(f"dq: no flag is called {name!r}; {hint}")
        value |= FLAGS[name]
    if value > np.iinfo(dtype).max:
        raise ValueError(f"dq: flags {names} need more bits than {dtype} has; use uint32")
    return dtype.type(value)


def flag_attrs(dtype: Any = np.uint32) -> dict[str, Any]:
    """Return the CF attributes that describe flags of this integer type.

    Examples
    --------
    >>> flag_attrs("uint8")["flag_meanings"].split()[:3]
    ['DO_NOT_USE', 'SATURATED', 'JUMP_DET']
    """
    dtype = np.dtype(dtype)
    names = [name for name, value in FLAGS.items() if value <= np.iinfo(dtype).max]
    return {
        "long_name": "data quality flags",
        "units": "1",
        "flag_masks": np.array([FLAGS[name] for name in names], dtype=dtype),
        "flag_meanings": " ".join(names),
    }


def has_flag(dq: xr.DataArray | np.ndarray, *names: str) -> Any:
    """Return True where any of the named bits is set; flag attributes are dropped.

    Parameters
    ----------
    dq : xarray.DataArray or numpy.ndarray
        Flags, any shape, unsigned integer.
    *names : str
        Flag names; without any, `UNUSABLE`. Names that do not fit into the integer type
        of ``dq`` cannot be set there and are passed over.

    Returns
    -------
    Boolean object of the type and shape of ``dq``.

    Examples
    --------
    >>> import numpy as np
    >>> has_flag(np.array([0, 1, 4], dtype="uint8"), "JUMP_DET")
    array([False, False,  True])
    """
    names = names or UNUSABLE
    limit = np.iinfo(dq.dtype).max
    value = dq.dtype.type(int(bits(*names)) & int(limit))
    if not isinstance(dq, xr.DataArray):
        return _any_bit(dq, value)
    found = xr.apply_ufunc(
        _any_bit, dq, kwargs={"value": value}, dask="parallelized", output_dtypes=[bool]
    )
    found.attrs = {}  # drop_attrs would copy the data
    return found


def _any_bit(values: np.ndarray, value: np.unsignedinteger) -> np.ndarray:
    """Return where a bit of ``value`` is set, without an intermediate cube of integers."""
    found = np.empty(values.shape, bool)
    step = max(1, BLOCK * len(values) // max(values.size, 1)) if values.ndim else 1
    for start in range(0, len(values) if values.ndim else 0, step):
        block = slice(start, start + step)
        np.not_equal(values[block] & value, 0, out=found[block])
    return found if values.ndim else (values & value) != 0


def set_flag(dq: xr.DataArray, where: Any, *names: str) -> xr.DataArray:
    """Return ``dq`` with the named bits set where ``where`` is true; no bit is cleared.

    Parameters
    ----------
    dq : xarray.DataArray
        Flags, unsigned integer; lazy stays lazy.
    where : xarray.DataArray or bool
        Where to set them; broadcast against ``dq``.
    *names : str
        Flag names.

    Returns
    -------
    xarray.DataArray
        New flags with the dims, dtype and CF attributes of ``dq``.
    """
    where = where if isinstance(where, xr.DataArray) else xr.DataArray(where)
    out = xr.apply_ufunc(
        _with_bits,
        dq,
        where.reset_coords(drop=True).drop_vars(list(where.indexes), errors="ignore"),
        kwargs={"value": bits(*names, dtype=dq.dtype)},
        dask="parallelized",
        output_dtypes=[dq.dtype],
    )
    return out.transpose(..., *dq.dims).assign_attrs({**flag_attrs(dq.dtype), **dq.attrs})


def _with_bits(values: np.ndarray, where: np.ndarray, value: np.unsignedinteger) -> np.ndarray:
    out = np.array(np.broadcast_to(values, np.broadcast_shapes(values.shape, where.shape)))
    return np.bitwise_or(out, value, out=out, where=where)


def or_reduce(dq: xr.DataArray, dim: str | list[str]) -> xr.DataArray:
    """Combine flags along dimensions by bitwise or, for numpy and for dask data.

    Parameters
    ----------
    dq : xarray.DataArray
        Flags, unsigned integer.
    dim : str or list of str
        Dimension or dimensions that disappear.

    Returns
    -------
    xarray.DataArray
        Flags without ``dim``; same dtype and attributes.
    """
    dims = [dim] if isinstance(dim, str) else list(dim)
    axes = tuple(dq.get_axis_num(d) for d in dims)
    if dq.chunks is None:
        data = np.bitwise_or.reduce(dq.values, axis=axes)
    else:
        import dask.array as da

        data = da.reduction(
            dq.data,
            chunk=_or_along,
            aggregate=_or_along,
            axis=axes,
            dtype=dq.dtype,
            meta=np.empty((0,) * (dq.ndim - len(axes)), dq.dtype),
        )
    keep = [d for d in dq.dims if d not in dims]
    coords = {k: v for k, v in dq.coords.items() if not set(v.dims) & set(dims)}
    return xr.DataArray(data, dims=keep, coords=coords, name=dq.name, attrs=dq.attrs)


def _or_along(block: np.ndarray, axis: Any, keepdims: bool) -> np.ndarray:
    reduced: np.ndarray = np.bitwise_or.reduce(block, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]
    return reduced


def describe(dq: xr.DataArray) -> dict[str, float]:
    """Return the percentage of samples that carry each flag, flags that occur only.

    Parameters
    ----------
    dq : xarray.DataArray
        Flags; computed if lazy.

    Returns
    -------
    dict
        Flag name to percentage of the samples.
    """
    values = np.asarray(dq.values).ravel()
    present, counts = np.unique(values, return_counts=True)
    total = max(values.size, 1)
    share = {
        name: 100.0 * counts[(present & present.dtype.type(value)) != 0].sum() / total
        for name, value in FLAGS.items()
        if value <= np.iinfo(present.dtype).max
    }
    return {name: float(value) for name, value in share.items() if value > 0}
