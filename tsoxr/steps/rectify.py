"""Move lines of constant wavelength by whole pixels until the trace lies straight.

For looking at data: images, videos, profiles side by side. Extraction follows the trace in
the frame as it is, and needs none of this.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import dq
from tsoxr.kernels.alignment import shift_lines
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _rates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["rectify"]


@step(kind="rates", needs=("rate", "dq", "trace_center"), adds=("trace_offset",), once=True)
def rectify(ds: xr.Dataset, *, half_width: int | None = None) -> xr.Dataset:
    """Move lines by whole pixels so that the trace lies straight, to look at data.

    No value is changed and none is made by interpolation; the trace wanders by up to half
    a pixel about row 0 of ``trace_offset``.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with ``trace_center`` (dispersion), pix. Every variable over both detector
        axes is moved, static ones too.
    half_width : int, optional
        Rows kept to either side of the trace; as many as the frame has if not given.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with the coordinate ``trace_offset`` (spatial), pix, the whole pixels from
        the trace, in place of the detector's; ``trace_center`` counts on the new rows. Pixels
        from beyond the frame are NaN, DO_NOT_USE and NON_SCIENCE. Levels of detector lines
        along the spectrum, which it now crosses, are left out. The attribute ``rectified``
        makes `extract` refuse these rates.

    Raises
    ------
    ValueError
        For a half width that is no whole number above zero.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("nirspec-g395h", kind="rates", n_integrations=3, seed=1)
    >>> straight = rates.tso.find_trace().tso.rectify(half_width=6)
    >>> straight.trace_offset.values.tolist()
    [-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6]
    """
    space, along = str(ds.attrs["spatial_dim"]), str(ds.attrs["dispersion_dim"])
    if half_width is not None and (half_width != int(half_width) or half_width < 1):
        raise ValueError(
            f"rectify: half_width={half_width}; it must be a whole number of pixels above 0"
        )
    n_rows = ds.sizes[space] if half_width is None else 2 * int(half_width) + 1
    middle = n_rows // 2
    center = ds["trace_center"].reset_coords(drop=True).drop_vars(along, errors="ignore")
    center = center - _rates.first_position(ds, space)
    first = center.round() - middle
    moved, left_out = {}, []
    for name, array in ds.variables.items():
        if name == space or (space in array.dims and along not in array.dims):
            left_out.append(str(name))
        elif space in array.dims:
            moved[name] = _moved(xr.DataArray(array), first, (space, along), n_rows, str(name))
    lost = [n for n in left_out if n != space]
    if lost:
        note(f"left out, as lines of the detector are no rows any more: {', '.join(sorted(lost))}")
    out = ds.drop_vars([*left_out, *moved, "trace_center"])
    coords = {n: v for n, v in moved.items() if n in ds.coords}
    out = out.assign({n: v for n, v in moved.items() if n not in coords}).assign_coords(coords)
    offset = xr.Variable(
        (space,),
        np.arange(n_rows, dtype=np.int32) - middle,
        {"long_name": "whole pixels from the trace", "units": "pix"},
    )
    straight = (center - first).assign_attrs(ds["trace_center"].attrs)
    out = out.assign_coords(trace_offset=offset, trace_center=straight.variable)
    return out.assign_attrs(rectified=1)


def _moved(
    array: xr.DataArray, first: xr.DataArray, plane: tuple[str, str], n_rows: int, name: str
) -> xr.Variable:
    """Return a variable over both detector axes with its lines moved."""
    flags = name == "dq"
    beyond = int(dq.bits("DO_NOT_USE", "NON_SCIENCE")) if flags else _fill(array.dtype)
    moved = xr.apply_ufunc(
        partial(_shift, n_rows, beyond), array, first,
        input_core_dims=[plane, [plane[1]]],
        output_core_dims=[plane],
        exclude_dims={plane[0]},
        dask="parallelized",
        output_dtypes=[array.dtype],
        dask_gufunc_kwargs={"output_sizes": {plane[0]: n_rows}},
    )  # fmt: skip
    return moved.transpose(*array.dims).variable


def _fill(dtype: np.dtype) -> float:
    return np.nan if dtype.kind == "f" else 0


def _shift(n_rows: int, beyond: float, values: np.ndarray, first: np.ndarray) -> np.ndarray:
    stack = values.reshape(-1, *values.shape[-2:])
    if values.dtype.kind == "f":
        out = shift_lines(stack, first, n_rows, np.nan)
    else:
        out = shift_lines(stack, first, n_rows, int(beyond))
    return out.reshape(*values.shape[:-2], n_rows, values.shape[-1])


@diagnostic(rectify)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the median frame on rows counted from the trace."""
    ax = style.axes(ax)
    space, along = ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"]
    image = np.asarray(_rates.median_frame(ds).transpose(space, along))
    place, offset = np.asarray(ds[along]), np.asarray(ds["trace_offset"])
    extent = (place[0] - 0.5, place[-1] + 0.5, offset[0] - 0.5, offset[-1] + 0.5)
    style.image(
        ax, image, extent=extent, label=style.label_of(ds["rate"], "median rate"), faint=True
    )
    row = np.asarray(ds["trace_center"]) - offset.size // 2
    ax.plot(place, row, lw=0.8, color=style.COLORS["bad"])
    ax.set(xlabel=f"{along} [pix]", ylabel="from the trace [pix]")
    return ax
