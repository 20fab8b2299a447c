"""Join the spectra or light curves of several orders or detectors along wavelength.

Nothing is resampled, scaled or averaged: each channel comes from one node and says from which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import xarray as xr

from tsoxr import schema
from tsoxr.errors import SchemaError
from tsoxr.registry import note
from tsoxr.steps import _join
from tsoxr.trees import joins

__all__ = ["join"]

SECONDS_PER_DAY = 86400.0
CLOCK = 2e-6
"""What a date in days resolves, s."""


@joins(kind=("spectra", "lightcurves"))
def join(
    nodes: Mapping[str, xr.Dataset],
    *,
    at: float | Sequence[float] | str | None = None,
    orders: Sequence[int] | None = None,
    time_tolerance: float = 0.0,
) -> xr.Dataset:
    """Join the spectra or light curves of several nodes along wavelength.

    Orders of one detector have the same times. Detectors have clocks of their own: they are joined
    only where their times agree within a tolerance, and otherwise refused.

    Parameters
    ----------
    nodes : xarray.DataTree or mapping of str to xarray.Dataset
        Spectra, or light curves; nodes of other kinds do not take part.
    at : float, sequence of float or "drop", optional
        Wavelength, um, below which channels come from the node of shorter wavelengths and from
        which on from the next; one for each pair of neighbours where there are more nodes. Bins
        across it are left out. It decides where both have light; where one has none, the other
        serves, with a note. ``"drop"`` leaves out what two nodes have both. Needed, from the caller
        or the mode, where nodes overlap.
    orders : sequence of int, optional
        Orders that take part; all if not given.
    time_tolerance : float
        Largest difference of the times, as a part of the interval between integrations; 0 for
        equal ones. A constant difference goes into ``read_offset``, so that
        ``ds.tso.pixel_time()`` of each channel stays as it was; the rest is neglected.

    Returns
    -------
    xarray.Dataset
        Of the kind of the nodes, ``wavelength`` ascending. What has an axis ``wavelength`` is
        joined. Scalar coordinates that differ (``order``, ``aperture_half_width``) and the
        ``detector`` become coordinates along wavelength; covariates of time that differ are kept
        under the name of their node, ``trace_shift_NRS1``. ``level_error`` has the modes of all
        nodes, those of one being zero in the others. Diagnostics of a node that are not along
        wavelength stay behind, and what else differs; a note names that. The record holds those
        of all nodes.

    Raises
    ------
    SchemaError
        For nodes of different kinds or units, or whose times differ.
    ValueError
        Where fewer than two nodes are left, where they overlap and ``at`` is not given, for a
        wavelength that leaves nothing of a node, or a tolerance out of range.

    Notes
    -----
    Errors of different nodes are taken to be independent. Levels of lines that cross two orders
    of one detector (SOSS: columns) make neighbouring lines of the orders share a small error,
    which is neither in ``level_error`` of the nodes nor here.

    Examples
    --------
    >>> import tsoxr
    >>> nodes = {
    ...     name: tsoxr.simulate(
    ...         "nirspec-g395h", kind="spectra", detector=name, n_integrations=10, seed=i
    ...     )
    ...     for i, name in enumerate(("NRS1", "NRS2"))
    ... }
    >>> both = tsoxr.join(nodes)
    >>> both.sizes["wavelength"] == sum(ds.sizes["wavelength"] for ds in nodes.values())
    True
    """
    if not 0.0 <= time_tolerance < 0.5:
        raise ValueError(
            f"join: time_tolerance={time_tolerance}; it is a part of an integration, from 0 to below 0.5"
        )
    found = _of_orders(nodes, orders)
    _check_alike(found)
    offset = _time_offsets(found, time_tolerance)
    ordered = sorted(found, key=lambda path: float(found[path]["wavelength"].median()))
    kept = _cut({path: found[path].sortby("wavelength") for path in ordered}, at)
    for path, ds in kept.items():
        first, last = (float(ds["wavelength"][i]) for i in (0, -1))
        note(f"{path}: {ds.sizes['wavelength']} channels from {first:.4f} to {last:.4f} um")
    return _join.joined(kept, next(iter(found)), offset)


def _of_orders(
    nodes: Mapping[str, xr.Dataset], orders: Sequence[int] | None
) -> dict[str, xr.Dataset]:
    """Return the nodes of the orders that are asked for."""
    found = dict(nodes)
    if orders is not None:
        found = {
            path: ds
            for path, ds in nodes.items()
            if "order" not in ds.coords or int(ds["order"].values.flat[0]) in orders
        }
        left = [path for path in nodes if path not in found]
        if left:
            note(f"left out, as orders={tuple(orders)}: {', '.join(left)}")
    if len(found) < 2:
        asked = "" if orders is None else f" of orders={tuple(orders)}"
        raise ValueError(
            f"join: {len(found)} of the nodes {', '.join(nodes)} take part{asked}; two are needed"
        )
    return found


def _check_alike(found: Mapping[str, xr.Dataset]) -> None:
    for what, of in (
        ("kinds", schema.kind_of),
        ("units", lambda ds: ds["flux"].attrs.get("units")),
    ):
        values = {path: of(ds) for path, ds in found.items()}
        if len(set(values.values())) > 1:
            listed = ", ".join(f"{path}: {value}" for path, value in values.items())
            raise SchemaError(
                f"join: nodes of different {what} ({listed}); bring them to one first"
            )


# ------------------------------------------------------------------ time


def _time_offsets(found: Mapping[str, xr.Dataset], tolerance: float) -> dict[str, float]:
    """Return by how much the clock of each node is late against the first, s.

    Raises SchemaError where the times differ by more than the tolerance.
    """
    (first, reference), *others = found.items()
    time = reference["time"].values
    interval = float(np.median(np.diff(time))) if time.size > 1 else np.inf
    offset = {first: 0.0}
    for path, ds in others:
        own = ds["time"].values
        if own.size != time.size:
            raise SchemaError(
                f"join: {first} has {time.size} integrations and {path} has {own.size}; only equal times can be "
                "joined; fit them separately, or bring both to one cadence first"
            )
        late = own - time
        largest = float(np.abs(late).max())
        if largest > tolerance * interval:
            raise SchemaError(
                f"join: the times of {first} and {path} differ by up to {largest * SECONDS_PER_DAY:.4g} s, "
                f"{largest / interval:.2g} of the interval between integrations; allowed is "
                f"time_tolerance={tolerance:g}; allow more, or fit them separately"
            )
        offset[path] = float(late.mean()) * SECONDS_PER_DAY
        if largest > 0.0:
            rest = float(np.abs(late - late.mean()).max()) * SECONDS_PER_DAY
            neglected = f"; up to {rest:.2g} s are neglected" if rest > CLOCK else ""
            note(
                f"{path} is {offset[path]:.6g} s later than {first}: added to its read_offset{neglected}"
            )
    return offset


# ------------------------------------------------------------------ wavelength


def _cut(
    found: dict[str, xr.Dataset], at: float | Sequence[float] | str | None
) -> dict[str, xr.Dataset]:
    """Return the channels that each node contributes; nodes in order of wavelength."""
    limits = {path: _limits(ds) for path, ds in found.items()}
    above, below = dict.fromkeys(found, -np.inf), dict.fromkeys(found, np.inf)
    for (low, high), border in zip(pairwise(found), _borders(limits, at), strict=True):
        below[low], above[high] = border
    kept = {}
    for path, ds in found.items():
        lower, upper = limits[path]
        inside = (lower >= above[path]) & (upper <= below[path])
        if "wavelength_bounds" not in ds.coords:  # a channel at the border belongs above it
            inside &= upper < below[path]
        if not inside.any():
            raise ValueError(
                f"join: at={at!r} leaves nothing of {path}, which has {lower.min():.4f} to {upper.max():.4f} um; "
                "choose another wavelength, or leave this node out"
            )
        kept[path] = ds.isel(wavelength=np.flatnonzero(inside))
    last = np.concatenate([ds["wavelength"].values for ds in kept.values()])
    if not (np.diff(last) > 0).all():
        raise ValueError(
            f"join: the nodes {', '.join(found)} overlap with at={at!r}; leave one of them out, or name orders="
        )
    return kept


def _limits(ds: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper limit of each bin; of pixels, their wavelengths."""
    if "wavelength_bounds" in ds.coords:
        bounds = ds["wavelength_bounds"].transpose("wavelength", "bound").values
        return bounds.min(axis=1), bounds.max(axis=1)
    wavelength = ds["wavelength"].values
    return wavelength, wavelength


def _borders(
    limits: Mapping[str, tuple[np.ndarray, np.ndarray]], at: float | Sequence[float] | str | None
) -> list[tuple[float, float]]:
    """Return for each pair of neighbours where the first ends and the second begins, um."""
    pairs = list(pairwise(limits))
    ends = [(limits[low][1].max(), limits[high][0].min()) for low, high in pairs]
    if at is None:
        both = [
            f"{low} and {high} from {begin:.4f} to {end:.4f} um"
            for (low, high), (end, begin) in zip(pairs, ends, strict=True)
            if begin < end
        ]
        if both:
            raise ValueError(
                f"join: {'; '.join(both)} have both; give at=, the wavelength from which the second serves, or "
                'at="drop"'
            )
        return [(np.inf, -np.inf)] * len(pairs)
    if isinstance(at, str):
        if at != "drop":
            raise ValueError(f'join: at={at!r}; it must be wavelengths, um, or "drop"')
        return [
            (np.nextafter(begin, 0.0), np.nextafter(end, np.inf))
            if begin <= end
            else (np.inf, -np.inf)
            for end, begin in ends
        ]
    given = np.atleast_1d(np.asarray(at, dtype=np.float64))
    if given.size != len(pairs) or not (np.diff(given) > 0).all() or not np.isfinite(given).all():
        raise ValueError(
            f"join: at={at!r} for the nodes {', '.join(limits)}; give {len(pairs)} wavelengths, ascending, or "
            "name orders= that take part"
        )
    first = min(lower.min() for lower, _ in limits.values())
    last = max(upper.max() for _, upper in limits.values())
    if given[0] < first or given[-1] > last:
        raise ValueError(
            f"join: at={at!r} lies outside of the nodes, {first:.4f} to {last:.4f} um; give a wavelength that both have"
        )
    return [
        _moved(*ends, border, pair) for ends, border, pair in zip(ends, given, pairs, strict=True)
    ]


def _moved(end: float, begin: float, border: float, pair: tuple[str, str]) -> tuple[float, float]:
    """Return a border, moved to where both nodes have light if it lies beyond; none if nowhere."""
    if begin > end:
        return np.inf, -np.inf
    inside = float(np.clip(border, begin, np.nextafter(end, np.inf)))
    if inside != border:
        low, high = pair
        where = f"{high} begins" if inside > border else f"{low} ends"
        note(f"{where} at {inside:.4f} um: the other serves up to there, not up to {border:g} um")
    return inside, inside
