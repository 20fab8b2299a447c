"""What `extract` makes of the images that `separate_orders` has left in the rates."""

from __future__ import annotations

import numpy as np
import xarray as xr

from tsoxr.kernels import order_weights as kernel
from tsoxr.lazy import is_lazy
from tsoxr.registry import note

__all__ = ["own_images", "without_others"]


def own_images(ds: xr.Dataset, images: xr.DataArray) -> xr.DataArray:
    """Return the median images with the light of the trace's own order in the first of them.

    The same images where the orders were not separated.
    """
    which = _index(ds)
    if which is None:
        return images
    own = _static(ds, images).isel(order=which).expand_dims("image")
    own = own.astype(images.dtype).transpose(*images.dims)
    both = xr.concat([own, images.isel(image=slice(1, None))], dim="image")
    return both.chunk(image=-1) if is_lazy(both) else both


def without_others(
    ds: xr.Dataset, images: xr.DataArray, weights: dict[str, xr.DataArray]
) -> dict[str, xr.DataArray]:
    """Return weights that do not see the other orders, see `tsoxr.kernels.order_weights`.

    Adds ``all_light``, the profile with the light of all orders in the units of the own one: what an
    integration is to look like.
    """
    which = _index(ds)
    if which is None:
        return weights
    _, space, along = images.dims
    weight, share, light = xr.apply_ufunc(
        _cleaned,
        weights["weight"],
        weights["share"],
        weights["profile"],
        _static(ds, images),
        images.isel(image=1).astype(np.float64) ** 2,
        kwargs={"target": which},
        input_core_dims=[[space, along]] * 3 + [["order", space, along], [space, along]],
        output_core_dims=[[space, along]] * 3,
        dask="parallelized",
        output_dtypes=[np.float64] * 3,
    )
    return {**weights, "weight": weight, "share": share, "all_light": light}


def _cleaned(
    weight: np.ndarray,
    share: np.ndarray,
    profile: np.ndarray,
    images: np.ndarray,
    variance: np.ndarray,
    *,
    target: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cleaned, expected = kernel.without_others(weight, images, variance, target)
    own, total = images[target].astype(np.float64), images.sum(axis=0, dtype=np.float64)
    several = np.divide(total, own, out=np.ones_like(own), where=own > 0.0)
    return cleaned, np.where(expected.any(axis=0), expected, share), profile * several


def _static(ds: xr.Dataset, images: xr.DataArray) -> xr.DataArray:
    """Return the images of the orders without coordinates, (order, spatial, dispersion)."""
    _, space, along = images.dims
    array = ds["order_image"].variable
    return xr.DataArray(array.data, dims=array.dims).transpose("order", space, along)


def _index(ds: xr.Dataset) -> int | None:
    """Return the place of the trace's order among the images, ``None`` where there is none."""
    if "order_image" not in ds:
        return None
    order = int(ds["trace_center"].attrs.get("spectral_order", 1))
    held = [int(n) for n in np.asarray(ds["order"])]
    if order not in held:
        note(f"order {order} was not separated from the others: its light is taken with theirs")
        return None
    if ds["order_image"].attrs.get("units") != ds["rate"].attrs.get("units"):
        note("the unit of the rates has changed since separate_orders: orders are taken together")
        return None
    return held.index(order)
