"""Find which light of a slitless frame belongs to which spectral order.

The wings of one order reach into the aperture of another, and at the red end of NIRISS SOSS
the orders overlap. The step takes the median frame apart into static images, one of each order.
`extract` then takes the profile of its order from its own image, and corrects its weights so
that they do not see the others, whatever these do in the meantime.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from tsoxr import checks, history, schema
from tsoxr.kernels import order_model
from tsoxr.kernels.extraction import coverage
from tsoxr.kernels.profile import MEDIAN_VARIANCE
from tsoxr.lazy import is_lazy, static_from_sample
from tsoxr.plots import style
from tsoxr.registry import diagnostic, note, step
from tsoxr.steps import _extraction, _orders

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["separate_orders"]


@step(
    kind="rates",
    needs=("rate", "rate_error", "dq", "trace_center"),
    adds=("order_image",),
    once=True,
)
def separate_orders(
    ds: xr.Dataset,
    *,
    orders: Sequence[int] | None = None,
    shared_spectrum: bool = True,
    throughput: xr.DataArray | None = None,
    half_width: float = 16.0,
    n_iterations: int = 8,
) -> xr.Dataset:
    """Find which light of a slitless frame belongs to which spectral order.

    The median frame is the sum of the orders, each a trace, a profile across it and light along
    it. Profiles and light are fitted in turn, with the profile of all orders largely in common,
    and the light tied together by the one spectrum that all orders show. The rates stay as they
    are: the images that are added change what `extract` does.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates with the background removed, ``rate`` and ``rate_error`` (time, y, x), ``dq``, and
        ``trace_center`` of one of the orders, which says how far all of them lie from the
        built-in traces.
    orders : sequence of int, optional
        Which orders; left out, those of the mode that put light on the subarray.
    shared_spectrum : bool
        Draw the light of a faint order towards what a brighter one predicts at the same
        wavelength. It decides where a faint order is buried. False fits each column by itself.
    throughput : xarray.DataArray, optional
        Throughputs (order, wavelength), um, of any common scale, instead of the built-in ones.
    half_width : float
        Half width of the aperture for which ``separate_orders_contamination`` is given, pixels.
    n_iterations : int
        How often profiles and light are fitted.

    Returns
    -------
    xarray.Dataset
        As ``ds`` with ``order_image`` (order, y, x), float32, in the unit of the rates, and the
        coordinate ``order``. The images add up to the median frame within its noise; they are
        continued across bad pixels, and field stars are in none of them. Adds
        ``separate_orders_contamination`` (order, dispersion), the share of the light in the
        aperture of each order that belongs to others, and ``separate_orders_residual`` (y, x), the
        median frame less the images. Modes with one order are returned unchanged.

    Raises
    ------
    ValueError
        For orders that the mode does not have, a throughput without the dims, a width or a
        number out of range.
    SchemaError
        Without a trace.
    TsoError
        On a second application: the images are those of the first.

    Notes
    -----
    Apply it after the steps that change the rates, just before `extract`. What is in no model
    stays in the residual: background left over, other stars, ghosts, orders beyond the third.
    Where the faint order is buried completely, its image is what the throughputs, good to 16 %,
    let expect. How well it works is told on the page on spectral orders.

    References
    ----------
    .. [1] Darveau-Bernier et al. (2022), PASP 134, 094502, for the spectrum shared by the orders.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("niriss-soss", kind="rates", n_integrations=2, seed=1)
    >>> parts = rates.tso.find_trace().tso.subtract_background().tso.separate_orders()
    >>> parts.order_image.sizes["order"]
    3
    """
    checks.check_positive(
        "separate_orders", {"half_width": half_width, "n_iterations": n_iterations}
    )
    _check_throughput(throughput)
    chosen = _orders.chosen_orders(ds, orders)
    if len(chosen) < 2:
        note("there are no two orders of known place on this frame: data unchanged")
        return ds
    known = _orders.known_of(ds, chosen, throughput)
    if len(known.orders) < 2:
        note(f"only order {known.orders} puts light on this subarray: data unchanged")
        return ds
    _say_what_is_left_out(ds, chosen, known.orders)
    space, along = str(ds.attrs["spatial_dim"]), str(ds.attrs["dispersion_dim"])
    images = _extraction.median_images(ds, space, along)
    center = _orders.placed(ds, known)

    def separate(images: np.ndarray, center: np.ndarray) -> np.ndarray:
        median, error, count = images.astype(np.float64)
        noise = error**2 * MEDIAN_VARIANCE / np.maximum(count, 1.0)
        geometry = _orders.geometry_of(known, center)
        return order_model.separated(
            median, noise, geometry, shared=shared_spectrum, n_iterations=int(n_iterations)
        )

    parts = static_from_sample(separate, images, center, dims=("order", space, along))
    return _assembled(ds, parts, center, images.isel(image=0), known.orders, float(half_width))


def _check_throughput(throughput: xr.DataArray | None) -> None:
    if throughput is None:
        return
    dims = throughput.dims if isinstance(throughput, xr.DataArray) else type(throughput).__name__
    if set(dims) != {"order", "wavelength"} or not {"order", "wavelength"} <= set(
        throughput.coords
    ):
        raise ValueError(
            f"separate_orders: throughput is {dims}; give a DataArray with the dims and coordinates "
            "order and wavelength, um"
        )


def _say_what_is_left_out(ds: xr.Dataset, chosen: tuple[int, ...], seen: tuple[int, ...]) -> None:
    missing = [n for n in chosen if n not in seen]
    if missing:
        note(f"orders that put no light on this subarray: {', '.join(map(str, missing))}")
    if not any(r["step"] == "subtract_background" for r in history.records(ds.attrs)):
        note(
            "the background was not subtracted: what is left of it is taken for wings of the orders"
        )


def _assembled(
    ds: xr.Dataset,
    parts: xr.DataArray,
    center: xr.DataArray,
    median: xr.DataArray,
    orders: tuple[int, ...],
    half_width: float,
) -> xr.Dataset:
    units = ds["rate"].attrs.get("units", "DN s-1")
    space, along = median.dims
    share = xr.apply_ufunc(
        _contamination,
        parts,
        center,
        kwargs={"half_width": half_width},
        input_core_dims=[["order", space, along], ["order", along]],
        output_core_dims=[["order", along]],
        dask="parallelized",
        output_dtypes=[np.float32],
    )
    _note_contamination(share, orders)
    named = schema.label(parts.transpose("order", "y", "x"), "rates", "order_image", units=units)
    number = xr.Variable("order", np.array(orders, np.int16))
    coordinate = schema.label(xr.DataArray(number), "rates", "order")
    text = "share of the light in the aperture that belongs to other orders"
    return ds.assign_coords(order=coordinate.variable).assign(
        order_image=named.variable,
        separate_orders_contamination=share.assign_attrs(
            long_name=text, units="1", half_width=half_width
        ).variable,
        separate_orders_residual=(median - parts.sum("order"))
        .astype(np.float32)
        .transpose("y", "x")
        .assign_attrs(long_name="median frame less the orders", units=units)
        .variable,
    )


def _contamination(parts: np.ndarray, center: np.ndarray, *, half_width: float) -> np.ndarray:
    cover = np.stack([coverage(row, parts.shape[1], half_width) for row in center])
    return order_model.contamination(parts, cover).astype(np.float32)


def _note_contamination(share: xr.DataArray, orders: tuple[int, ...]) -> None:
    """Put the size of the effect into the record, where it is known already."""
    if is_lazy(share):
        return
    for order, values in zip(orders, share.values, strict=True):
        seen = values[np.isfinite(values)]
        if seen.size:
            note(
                f"order {order}: light of other orders is {100 * np.median(seen):.2g} % of its aperture in the "
                f"median column, {100 * seen.max():.3g} % in the worst"
            )


@diagnostic(separate_orders)
def _plot(ds: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw the contamination of each order; without ``ax`` also the residual and a cut.

    The residual is to show noise, field stars and ghosts, and no edges along the orders.
    """
    if "order_image" not in ds:
        ax = style.axes(ax)
        ax.text(0.5, 0.5, "no images of the orders here", ha="center", transform=ax.transAxes)
        return ax
    if ax is None:
        import matplotlib.pyplot as plt

        _, (ax, middle, below) = plt.subplots(3, 1, figsize=(8.0, 8.4), layout="constrained")
        _draw_residual(ds, middle)
        _draw_cut(ds, below)
    along = ds.attrs["dispersion_dim"]
    share = ds["separate_orders_contamination"].transpose("order", along)
    place = np.asarray(ds[along]) if along in ds.coords else np.arange(share.shape[1])
    for i, (order, values) in enumerate(zip(np.asarray(ds["order"]), share.values, strict=True)):
        ax.plot(place, 100 * values, color=f"C{i}", lw=1, label=f"order {order}")
    ax.set(
        yscale="log", xlabel=f"{along} [pix]", ylabel="light of others in the aperture [%]",
        ylim=(1e-3, 110), title="contamination by other orders",
    )  # fmt: skip
    ax.legend(loc="lower left", fontsize="small")
    ax.grid(alpha=0.3)
    return ax


def _oriented(ds: xr.Dataset, name: str) -> np.ndarray:
    return np.asarray(ds[name].transpose(..., ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"]))


def _draw_residual(ds: xr.Dataset, ax: Axes) -> None:
    left = _oriented(ds, "separate_orders_residual")
    spread = 1.4826 * np.nanmedian(np.abs(left))
    extent = (-0.5, left.shape[1] - 0.5, -0.5, left.shape[0] - 0.5)
    picture = ax.imshow(
        left, origin="lower", aspect="auto", extent=extent, cmap="RdBu_r",
        vmin=-6 * spread, vmax=6 * spread, interpolation="nearest",
    )  # fmt: skip
    ax.figure.colorbar(picture, ax=ax, label=style.label_of(ds["rate"], "residual"))
    ax.set(
        xlabel=f"{ds.attrs['dispersion_dim']} [pix]",
        ylabel=f"{ds.attrs['spatial_dim']} [pix]",
        title="median frame less the orders",
    )


def _draw_cut(ds: xr.Dataset, ax: Axes) -> None:
    """Draw the light across dispersion where a third of the light on order 2 is of others."""
    parts = _oriented(ds, "order_image")
    share = np.asarray(
        ds["separate_orders_contamination"].transpose("order", ds.attrs["dispersion_dim"])
    )
    far = np.abs(share[1] - 0.3)
    line = int(np.nanargmin(far)) if np.isfinite(far).any() else parts.shape[2] // 2
    around = slice(max(line - 4, 0), line + 5)
    both = (parts.sum(axis=0) + _oriented(ds, "separate_orders_residual"))[:, around]
    seen = np.isfinite(both).any(axis=1)
    total = np.full(seen.size, np.nan)
    total[seen] = np.nanmedian(both[seen], axis=1)
    ax.plot(total, color=style.COLORS["before"], lw=2.5, label="median frame")
    for i, order in enumerate(np.asarray(ds["order"])):
        ax.plot(np.median(parts[i][:, around], axis=1), color=f"C{i}", lw=1.2, label=f"order {order}")  # fmt: skip
    top = np.nanmax(total)
    ax.set(
        yscale="log", ylim=(1e-4 * top, 2 * top), xlabel=f"{ds.attrs['spatial_dim']} [pix]",
        ylabel=style.label_of(ds["rate"], "rate"), title=f"across dispersion, median of lines {around.start} to {around.stop - 1}",
    )  # fmt: skip
    ax.legend(fontsize="small", ncols=2)
