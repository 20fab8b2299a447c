"""Pixels without light of the star, and which integration is the first: shared by subtractions."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from tsoxr import dq, lazy, modes
from tsoxr.kernels.detector import level_labels
from tsoxr.kernels.light import background_pixels
from tsoxr.registry import derived, note
from tsoxr.steps._flags import integration_numbers
from tsoxr.steps._image_reach import half_width_of
from tsoxr.steps._stripes import BAD, has_interleaved_outputs

__all__ = ["n_fitted", "nth_integration", "outputs", "reach", "unlit"]

HALF_WIDTH = 6.0
"""Reach of the light where the mode does not tell, pixels."""


def reach(ds: xr.Dataset, given: float | None, where: str) -> float:
    """Return how far the light reaches from the trace, pixels: given, or the mode's.

    Raises
    ------
    ValueError
        For a negative number.
    """
    if given is None:
        of_mode = half_width_of(ds)
        return float(derived(trace_half_width=HALF_WIDTH if of_mode is None else of_mode))
    if not given >= 0:
        raise ValueError(
            f"{where}: trace_half_width is {given}; it must be 0 or more pixels; leave it out for "
            "that of the mode"
        )
    return float(given)


def unlit(ds: xr.Dataset, half_width: float) -> xr.DataArray:
    """Return the good pixels that see no light of the star, (y, x) bool, lazy for lazy data.

    They are farther than ``half_width`` from the trace and do not stand out of their line of
    constant wavelength, in the median rise from the first to the last group.
    """
    mode = ds.attrs.get("tso_mode")
    ends = ds["ramp"].isel(group=[0, -1]).transpose("time", "group", "y", "x")
    good = ~dq.has_flag(ds["dq_pixel"], *BAD).transpose("y", "x")
    find = partial(
        _find,
        half_width=half_width,
        turned=ds.attrs["spatial_dim"] == "x",
        point_source=mode in modes.names() and modes.get(str(mode)).imaging,
    )
    return lazy.static_from_sample(find, ends, good, dims=("y", "x"), dtype=bool)


def _find(
    ends: np.ndarray, good: np.ndarray, *, half_width: float, turned: bool, point_source: bool
) -> np.ndarray:
    rise = ends[:, 1].astype(np.float32) - ends[:, 0]
    image = np.median(rise if rise.any() else ends[:, 0].astype(np.float32), axis=0)
    image, good = (image.T, good.T) if turned else (image, good)
    found = background_pixels(image, good, half_width, point_source=point_source)
    return found.T if turned else found


def outputs(ds: xr.Dataset) -> xr.DataArray:
    """Return the output that reads each pixel, (y, x) int64 from 0."""
    fast, slow = ds.attrs["fast_dim"], ds.attrs["slow_dim"]
    labels = level_labels(
        ds.sizes[fast], int(ds.attrs.get("n_outputs", 1)),
        interleaved=has_interleaved_outputs(ds), by_parity=False,
    )  # fmt: skip
    line = xr.DataArray(labels, dims=fast).expand_dims({slow: ds.sizes[slow]})
    return line.transpose("y", "x").copy()


def n_fitted(labels: xr.DataArray, n: int) -> xr.DataArray:
    """Return how many pixels have each of n labels, (output,) int32, lazy for lazy labels."""
    found = lazy.static_from_sample(
        _counted, labels, xr.DataArray(np.zeros(n), dims="output"), dims=("output",), dtype="i4"
    )
    return found.assign_attrs(long_name="pixels without light that measure", units="1")


def _counted(labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    return np.bincount(labels[labels >= 0], minlength=sizes.size)


def nth_integration(ds: xr.Dataset, n: int) -> xr.DataArray:
    """Return which of n calibrations, the last for all later ones, an integration takes.

    Returns
    -------
    xarray.DataArray
        (time,) int64 from 0, chunked as the ramps are.
    """
    if "integration" not in ds.coords:
        note(
            "no coordinate 'integration': the first one here is taken for the first of the exposure"
        )
    which = xr.DataArray(np.clip(integration_numbers(ds) - 1, 0, n - 1), dims="time")
    sizes = ds["ramp"].chunksizes
    return which.chunk(time=sizes["time"]) if sizes else which
