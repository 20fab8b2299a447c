"""What steps ask of the references that they are given."""

from __future__ import annotations

import numpy as np
import xarray as xr

from tsoxr import lazy
from tsoxr.errors import SchemaError

__all__ = ["check"]


def check(step: str, ds: xr.Dataset, name: str, dims: tuple[str, ...]) -> None:
    """Raise SchemaError for a reference that cannot be that of these data.

    Parameters
    ----------
    step : str
        Who asks.
    ds : xarray.Dataset
        Ramps with the reference.
    name : str
        Variable.
    dims : tuple of str
        Dims that it may have.
    """
    found = ds[name]
    strange = [d for d in found.dims if d not in dims]
    if strange:
        raise SchemaError(
            f"{step}: {name!r} has dims {found.dims}; it may have {dims}; attach it with "
            "use_references"
        )
    if not lazy.is_lazy(found) and not np.isfinite(found.values).any():
        raise SchemaError(
            f"{step}: {name!r} has no finite value: alignment makes NaN of a reference of another "
            "subarray or other groups; it must fit the data; attach it with use_references"
        )
