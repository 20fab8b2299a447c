"""Where the spectral orders of a frame lie and what they show, from built-in calibrations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from tsoxr import modes
from tsoxr.errors import ModeError
from tsoxr.kernels import order_model
from tsoxr.kernels.throughput import THROUGHPUTS, logarithmic
from tsoxr.kernels.trace_nominal import NOMINAL_TRACES, trace_key
from tsoxr.lazy import static_from_sample
from tsoxr.registry import listening, note
from tsoxr.steps import _rates, _trace_reference
from tsoxr.steps.assign_wavelength import assign_wavelength

__all__ = ["Known", "chosen_orders", "geometry_of", "known_of", "placed"]

ONLY_FIRST = ("F277W",)
"""Filters that pass the first order only."""

SPILL = 25.0
"""An order whose trace lies farther than this outside the frame puts no light on it, pixels."""

FAR_OFF = 4.0
"""Positions that many median deviations off a straight line do not tell how a trace is turned."""


@dataclass(frozen=True)
class Known:
    """What is known before the data are looked at; arrays are (order, dispersion) float64.

    trace : pixels from the first spatial one; pivot : (order,) columns about which the traces
    turn; the others as of `order_model.Geometry`.
    """

    orders: tuple[int, ...]
    trace: np.ndarray
    pivot: np.ndarray
    wavelength: np.ndarray
    throughput: np.ndarray
    accuracy: np.ndarray


def chosen_orders(ds: xr.Dataset, orders: Sequence[int] | None) -> tuple[int, ...]:
    """Return the orders to separate, those of the mode where none are given; fewer than two: none.

    Raises
    ------
    ValueError
        For orders that the mode does not have, or one twice, or without its first.
    """
    name = str(ds.attrs.get("tso_mode"))
    of_mode = modes.get(name).orders if name in modes.names() else ()
    if orders is not None:
        chosen = tuple(sorted(int(n) for n in orders))
        wrong = [n for n in chosen if n not in of_mode]
        if wrong or len(set(chosen)) < len(chosen) or len(chosen) < 2:
            raise ValueError(
                f"separate_orders: orders={tuple(orders)}; {name} has {of_mode or 'one order'}; give two or "
                "more of these, each once"
            )
    else:
        chosen = of_mode
    if _filter(ds) in ONLY_FIRST:
        return ()
    return tuple(n for n in chosen if _key(ds, n) is not None)


def _filter(ds: xr.Dataset) -> str:
    cards = json.loads(ds.attrs.get("fits_header", "{}"))
    return str(cards.get("PRIMARY", {}).get("FILTER", "")).upper()


def _key(ds: xr.Dataset, order: int) -> str | None:
    mode, detector = str(ds.attrs.get("tso_mode")), str(ds.attrs.get("detector", "")).upper()
    return trace_key(mode, detector=detector, order=order, band=_filter(ds))


def known_of(
    ds: xr.Dataset, orders: tuple[int, ...], throughput: xr.DataArray | None = None
) -> Known:
    """Return traces, wavelengths and throughputs of the orders that put light on the frame."""
    space = ds.attrs["spatial_dim"]
    offset, n_rows = _rates.first_position(ds, space), ds.sizes[space]
    rows = [_trace(ds, n) - offset for n in orders]
    near = [bool(((row > -SPILL) & (row < n_rows - 1 + SPILL)).any()) for row in rows]
    orders = tuple(n for n, lies in zip(orders, near, strict=True) if lies)
    wave = np.stack([_wavelength(ds, n) for n in orders])
    efficiency, accuracy = zip(
        *[_throughput(ds, n, w, throughput) for n, w in zip(orders, wave, strict=True)], strict=True
    )
    pivots = [NOMINAL_TRACES[str(_key(ds, n))].pivot for n in orders]
    return Known(
        orders,
        np.stack([row for row, lies in zip(rows, near, strict=True) if lies]),
        np.array([0.0 if pivot is None else pivot[0] for pivot in pivots]),
        wave,
        np.stack(efficiency),
        np.array(accuracy),
    )


def _trace(ds: xr.Dataset, order: int) -> np.ndarray:
    """Return the built-in trace, continued straight where it does not reach."""
    with listening():
        row = np.asarray(_trace_reference.builtin(ds, order, str(_key(ds, order))))
    return _trace_reference.moved(row, row)[0]


def _wavelength(ds: xr.Dataset, order: int) -> np.ndarray:
    """Return the wavelength of each line, um; NaN everywhere where it is not known."""
    space, along = ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"]
    if "wavelength" not in ds.coords or ds["wavelength"].attrs.get("spectral_order") != order:
        ds = ds.drop_vars("wavelength", errors="ignore")
    try:
        image = assign_wavelength(ds, order=order)["wavelength"]
    except ModeError:
        note(f"no wavelengths are known for order {order}: it is not tied to the others")
        return np.full(ds.sizes[along], np.nan)
    line = image.transpose(space, along)[ds.sizes[space] // 2].variable.data
    if hasattr(line, "dask"):  # a static line, lazy only where the rates were chunked
        line = line.compute(scheduler="synchronous")
    return np.asarray(line, dtype=np.float64)


def _throughput(
    ds: xr.Dataset, order: int, wave: np.ndarray, given: xr.DataArray | None
) -> tuple[np.ndarray, float]:
    if given is None:
        known = THROUGHPUTS.get(str(_key(ds, order)))
        if known is not None:
            return logarithmic(known, wave), known.accuracy
    elif order in np.asarray(given["order"]):
        table = given.sel(order=order).dropna("wavelength").sortby("wavelength")
        at, value = np.asarray(table["wavelength"]), np.asarray(table, dtype=np.float64)
        return np.interp(wave, at, value, left=np.nan, right=np.nan), GIVEN_ACCURACY
    note(f"no throughput is known for order {order}: it is not tied to the others")
    return np.full(wave.shape, np.nan), 1.0


GIVEN_ACCURACY = 0.1
"""Relative error of throughputs that the caller gives."""


def placed(ds: xr.Dataset, known: Known) -> xr.DataArray:
    """Return the traces of all orders, (order, along), moved and turned as the one found is.

    NaN where an order has no wavelength or its trace lies far outside the frame.
    """
    space, along = ds.attrs["spatial_dim"], ds.attrs["dispersion_dim"]
    found = ds["trace_center"].variable - _rates.first_position(ds, space)
    order = int(ds["trace_center"].attrs.get("spectral_order", 1))
    if order not in known.orders:
        raise ValueError(
            f"separate_orders: trace_center is of order {order}, which is not among {known.orders}; "
            f"run .tso.find_trace(spectral_order={known.orders[0]}) first"
        )
    which, n_rows = known.orders.index(order), ds.sizes[space]
    dark = ~np.isfinite(known.wavelength) & np.isfinite(known.wavelength).any(axis=1)[:, None]

    def place(found: np.ndarray, _: np.ndarray) -> np.ndarray:
        column = np.arange(found.size, dtype=float)
        slope, level = _line(column - known.pivot[which], found - known.trace[which])
        rows = known.trace + level + slope * (column - known.pivot[:, None])
        return np.where(dark | (rows < -SPILL) | (rows > n_rows - 1 + SPILL), np.nan, rows)

    each = xr.DataArray(np.zeros(len(known.orders)), dims="order")
    lines = xr.DataArray(found.data, dims=along)
    return static_from_sample(place, lines, each, dims=("order", along), dtype="f8")


def _line(column: np.ndarray, offset: np.ndarray) -> tuple[float, float]:
    """Return slope and level of a straight line through offsets, twice without those far off."""
    used = np.isfinite(offset)
    slope = level = 0.0
    for _ in range(3):
        slope, level = np.polyfit(column[used], offset[used], 1)
        rest = np.abs(offset - level - slope * column)
        used = np.isfinite(offset) & (rest <= FAR_OFF * np.nanmedian(rest) + 1e-6)
    return float(slope), float(level)


def geometry_of(known: Known, center: np.ndarray) -> order_model.Geometry:
    """Return what `order_model.separated` needs, with the traces from `placed`."""
    return order_model.Geometry(center, known.wavelength, known.throughput, known.accuracy)
