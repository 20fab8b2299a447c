"""Cosmic-ray hits in data that exist, real or simulated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import chunks, dq, modes, schema
from tsoxr.errors import TsoError
from tsoxr.simulation.injection import NAMES, fitted, plain, product, recorded
from tsoxr.simulation.tracks import deposit

__all__ = ["inject_hits"]

MEDIAN_CHARGE = 2500.0
LOG_WIDTH = 0.7
SPREAD = 0.25
"""Standard deviation of the diffusion of the charge, pixels."""


def inject_hits(
    ds: xr.Dataset, n_hits: int, *, seed: int, charge: float | np.ndarray | None = None
) -> xr.Dataset:
    """Return the data with cosmic-ray hits at random places and times.

    Each hit falls between two groups, on a pixel that sees light, and spreads by diffusion;
    its charge stays to the end of the integration. A rate rises by the charge over the time
    from the first group to the last, as if all differences had equal weight.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps or rates, lazy or not.
    n_hits : int
        Number of hits.
    seed : int
        Seed of places, times and charges.
    charge : float or (hit,) array, optional
        electron; log-normal with a median of 2500 where left out.

    Returns
    -------
    xarray.Dataset
        As ``ds``, with the same types. Adds ``injected_hit_*`` (injected_hit): ``integration``
        and ``group`` (from 1; the group that shows it first), ``y``, ``x`` of the pixel that it
        strikes and the whole ``charge``, electron. Attribute ``injected`` holds the parameters.

    Raises
    ------
    TsoError
        For another kind of data or a single group, or where nothing tells the gain.
    ValueError
        For a number of hits or a charge that makes no sense.
    """
    kind = product(ds, "inject_hits")
    n_groups = int(ds.sizes["group"] if kind == "ramps" else ds.attrs.get("n_groups", 1))
    if n_groups < 2:
        raise TsoError(f"inject_hits: {n_groups} group in an integration; a hit needs 2 or more")
    if not (n_hits >= 0 and n_hits == np.floor(n_hits)):
        raise ValueError(f"inject_hits: n_hits is {n_hits}; it must be a whole number, at least 0")
    hits = _draw_hits(ds, kind, int(n_hits), seed, charge, n_groups)
    name = NAMES[kind]
    dims = ("time", "group", "y", "x") if kind == "ramps" else ("time", "y", "x")
    data = ds[name].transpose(*dims).reset_coords(drop=True)
    number = xr.DataArray(np.arange(ds.sizes["time"]), dims="time")
    span = (n_groups - 1) * float(ds.attrs.get("group_interval", np.nan))
    scale = 1.0 if kind == "ramps" else 1.0 / span
    (made,) = chunks.per_chunk(
        _Strike(hits, scale), data, number, _gain(ds), dims=dims, dtypes=(str(data.dtype),)
    )
    made = schema.label(made.transpose(*ds[name].dims), kind, name, **ds[name].attrs)
    given = {"n_hits": n_hits, "seed": seed, "charge": charge}
    out = ds.drop_vars([n for n in ds.variables if str(n).startswith("injected_hit_")])
    out = out.assign({name: made, **_hit_table(ds, hits)})
    return out.assign_attrs(recorded(ds, "inject_hits", given))


@dataclass(frozen=True, eq=False)
class _Struck:
    """Hits (hit,) and their deposits (deposit,): all count from 0, charges in electron."""

    integration: np.ndarray
    group: np.ndarray
    y: np.ndarray
    x: np.ndarray
    charge: np.ndarray
    deposits: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _draw_hits(ds: xr.Dataset, kind: str, n: int, seed: int, charge: Any, n_groups: int) -> _Struck:
    rng = np.random.default_rng(seed)
    shape = (ds.sizes["y"], ds.sizes["x"])
    science = np.ones(shape, dtype=bool)
    if kind == "ramps":
        flags = ds["dq_pixel"].transpose("y", "x")
        # a few bytes of flags: not the data
        science = ~dq.has_flag(flags, "REFERENCE_PIXEL").compute(scheduler="synchronous").values
    integration = np.sort(rng.integers(0, ds.sizes["time"], n))
    group = rng.integers(1, n_groups, n)
    places = np.flatnonzero(science)
    y, x = np.divmod(places[rng.integers(0, places.size, n)], shape[1])
    within = rng.uniform(-0.5, 0.5, (n, 2))
    drawn = MEDIAN_CHARGE * np.exp(LOG_WIDTH * rng.standard_normal(n))
    if charge is not None:
        drawn = np.broadcast_to(np.asarray(charge, dtype=float), (n,))
        if not (np.isfinite(drawn) & (drawn > 0)).all():
            raise ValueError(f"inject_hits: charge is {charge}; it must be finite and positive")
    place = np.stack([y, x], axis=1) + within
    return _Struck(integration, group, y, x, drawn, deposit(place, place, drawn, SPREAD, science))


def _gain(ds: xr.Dataset) -> xr.DataArray:
    """Return electron/DN, (y, x) or one number."""
    if "gain" in ds.variables:
        return plain(ds["gain"])
    return xr.DataArray(modes.detector(str(ds.attrs.get("detector", "none"))).gain)


@dataclass(frozen=True, eq=False)
class _Strike:
    """Add the hits of one chunk; ``scale`` turns charge into what the data hold."""

    hits: _Struck
    scale: float

    def __call__(self, data: np.ndarray, number: np.ndarray, gain: np.ndarray) -> tuple[np.ndarray]:
        out = data.copy()
        event, y, x, charge = self.hits.deposits
        amount = self.scale * charge / np.broadcast_to(gain, data.shape[-2:])[y, x]
        for index, integration in enumerate(number):  # few of them have hits
            mine = self.hits.integration[event] == integration
            if not mine.any():
                continue
            added = np.zeros(data.shape[1:])
            if added.ndim == 2:
                np.add.at(added, (y[mine], x[mine]), amount[mine])
            else:
                place = (self.hits.group[event[mine]], y[mine], x[mine])
                np.add.at(added, place, amount[mine])
                added = np.cumsum(added, axis=0)
            out[index] = fitted(data[index] + added, data.dtype)
        return (out,)


def _hit_table(ds: xr.Dataset, hits: _Struck) -> dict[str, xr.Variable]:
    columns = {
        "integration": (hits.integration + 1, "1", "integration of an injected hit, from 1"),
        "group": (hits.group + 1, "1", "group that shows it first, from 1"),
        "y": (hits.y, "pix", "row that it strikes"),
        "x": (hits.x, "pix", "column that it strikes"),
        "charge": (hits.charge, "electron", "charge of an injected hit"),
    }
    out = {}
    for name, (values, units, text) in columns.items():
        own = f"injected_hit_{name}"
        before = [ds[own].values] if own in ds else []
        joined = np.concatenate([*before, values])
        out[own] = xr.Variable("injected_hit", joined, {"units": units, "long_name": text})
    return out
