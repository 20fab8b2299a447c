"""Take the spectral orders of one frame apart: from rates to a tree with a node for each order.

All nodes hold the same cube; each has the trace and the wavelengths of its own order, and
whatever follows is applied to all of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

from tsoxr import modes
from tsoxr.errors import TsoError
from tsoxr.kernels.trace_nominal import trace_key
from tsoxr.steps import _rates, _trace_reference
from tsoxr.steps.assign_wavelength import assign_wavelength
from tsoxr.steps.find_trace import find_trace
from tsoxr.trees import splits, tree_of

__all__ = ["split_orders"]

ONLY_FIRST = ("F277W",)
"""Filters that pass the first order only."""

SMALLEST_PART = 0.5
"""An order whose aperture lies inside the frame on less than this part of its lines is not on it."""


@splits(kind="rates", needs=("rate", "rate_error", "dq"), imaging=False)
def split_orders(
    ds: xr.Dataset, *, orders: Sequence[int] | None = None, method: str | None = None
) -> xr.DataTree:
    """Make a tree of the spectral orders, one node for each.

    The nodes share the rates, which are not copied and stay lazy. Each gets its own
    ``trace_center`` and ``wavelength`` from `find_trace` and `assign_wavelength`, whose records
    its history ends with: a node repeats by itself. Steps on the tree, such as
    ``tree.tso.extract()``, then take the order of each node from these.

    Parameters
    ----------
    ds : xarray.Dataset
        Rates. A trace and wavelengths that they have already are kept by the node of their order.
    orders : sequence of int, optional
        Which orders. Left out, those of the mode whose spectrum lies on this subarray and passes
        the filter.
    method : str, optional
        How `find_trace` finds the orders above the first. Left out, ``"reference"`` where the mode
        has a built-in trace: where orders overlap, the light of one draws the measured trace of
        the other to itself. Order 1 is found with the defaults of the mode.

    Returns
    -------
    xarray.DataTree
        Rates in the nodes ``order1``, ``order2`` and so on.

    Raises
    ------
    ValueError
        For orders that the mode does not have, or none, or one twice.
    TsoError
        Where the trace of an order is not found; for lazy data when they are computed.

    Notes
    -----
    Measured on simulated SOSS frames: order 2 in the median within 0.15 pixels of the truth by
    reference; measured by its edges it is up to 15 pixels off where order 1 lies beside it.

    Examples
    --------
    >>> import tsoxr
    >>> rates = tsoxr.simulate("niriss-soss", kind="rates", n_integrations=4, seed=1)
    >>> tree = rates.tso.split_orders(orders=(1, 2))
    >>> list(tree), tree["order2"].trace_center.attrs["spectral_order"]
    (['order1', 'order2'], 2)
    """
    chosen = _orders_on(ds) if orders is None else _checked(ds, orders)
    return tree_of({f"order{n}": _node(ds, n, method) for n in chosen})


def _checked(ds: xr.Dataset, orders: Sequence[int]) -> tuple[int, ...]:
    chosen = tuple(int(n) for n in orders)
    known = _of_mode(ds)
    wrong = [n for n in chosen if known and n not in known]
    if wrong or not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"split_orders: orders={chosen}; give some of {known or 'the orders from 1'}, each once"
        )
    return chosen


def _of_mode(ds: xr.Dataset) -> tuple[int, ...]:
    name = ds.attrs.get("tso_mode")
    return modes.get(str(name)).orders if name in modes.names() else ()


def _orders_on(ds: xr.Dataset) -> tuple[int, ...]:
    """Return the orders of the mode that lie on this subarray, from built-in traces."""
    known = _of_mode(ds) or (1,)
    if _filter(ds) in ONLY_FIRST:
        return known[:1]
    return tuple(n for n in known if n == known[0] or _lies_on(ds, n))


def _lies_on(ds: xr.Dataset, order: int) -> bool:
    if not _has_reference(ds, order):
        return False
    row = _trace_reference.builtin(ds, order)
    row = row[np.isfinite(row)]
    default = modes.step_defaults(ds.attrs.get("tso_mode"), "extract").get("half_width")
    margin = 0.0 if default is None else float(default.value)
    n_rows = ds.sizes[ds.attrs["spatial_dim"]]
    return float(((row >= margin) & (row < n_rows - margin)).mean()) >= SMALLEST_PART


def _has_reference(ds: xr.Dataset, order: int) -> bool:
    mode, detector = str(ds.attrs.get("tso_mode")), str(ds.attrs.get("detector", "")).upper()
    return trace_key(mode, detector=detector, order=order, band=_filter(ds)) is not None


def _filter(ds: xr.Dataset) -> str:
    cards = json.loads(ds.attrs.get("fits_header", "{}"))
    return str(cards.get("PRIMARY", {}).get("FILTER", "")).upper()


def _node(ds: xr.Dataset, order: int, method: str | None) -> xr.Dataset:
    """Return the rates with trace and wavelengths of an order."""
    if not ("trace_center" in ds.coords and _rates.order_of(ds, "trace_center") == order):
        if order > 1 and method is None and _has_reference(ds, order):
            method = "reference"
        how = {} if method is None or order == 1 else {"method": method}
        try:
            ds = find_trace(ds, spectral_order=order, **how)
        except TsoError as error:
            error.add_note(f"split_orders: this is order {order}; name the others with orders=")
            raise
    if not ("wavelength" in ds.coords and _rates.order_of(ds, "wavelength") == order):
        ds = assign_wavelength(ds, order=order)
    return ds
