"""Join the segments of an exposure along time, or detectors along wavelength, strictly."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import history, schema
from tsoxr.errors import SchemaError, TsoWarning

__all__ = ["concat"]

_EXPOSURE_CARDS = (
    "PROGRAM",
    "OBSERVTN",
    "VISIT",
    "VISITGRP",
    "SEQ_ID",
    "ACT_ID",
    "EXPOSURE",
    "EXPOSNUM",
)
_EXPOSURE_ATTRIBUTES = (
    "tso_kind", "tso_mode", "instrument", "detector", "subarray", "exp_type", "n_groups", "n_frames",
    "group_gap", "frame_time", "x_start", "y_start", "gain_scaled", "spatial_dim", "dispersion_dim",
    "fast_dim", "slow_dim", "fast_direction", "slow_direction",
)  # fmt: skip


def concat(datasets: Sequence[xr.Dataset], *, dim: str = "time") -> xr.Dataset:
    """Join Datasets of one exposure along time, or spectra along wavelength.

    Nothing is aligned, filled or averaged: coordinates must agree, static variables must
    be equal, no integration may be missing or occur twice, and all parts must have been
    reduced in the same way.

    Parameters
    ----------
    datasets : sequence of xarray.Dataset
        The segments of one exposure in any order, or the spectra of several detectors
        (``dim="wavelength"``) with the same times.
    dim : {"time", "wavelength"}
        Along which to join.

    Returns
    -------
    xarray.Dataset
        Sorted along ``dim``; lazy data stay lazy. Along wavelength, covariates that
        differ between the detectors are left out, and so are diagnostics.

    Raises
    ------
    SchemaError
        When the parts do not belong together; the message says in what they differ.
    ValueError
        For another ``dim``, or nothing to join.

    Examples
    --------
    >>> import tsoxr
    >>> whole = tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=6, seed=1)
    >>> parts = [whole.isel(time=slice(3, 6)), whole.isel(time=slice(0, 3))]
    >>> tsoxr.concat(parts).identical(whole)
    True
    """
    datasets = list(datasets)
    if dim not in ("time", "wavelength"):
        raise ValueError(f"concat: dim is {dim!r}; it must be 'time' or 'wavelength'")
    if not datasets:
        raise ValueError("concat: there are no Datasets to join; give at least one")
    for ds in datasets:
        if dim not in ds.indexes:
            raise SchemaError(
                f"concat: a Dataset ({schema.kind_of(ds)}) has no axis {dim!r} to join along"
            )
    if len(datasets) == 1:
        return datasets[0]
    datasets = sorted(datasets, key=lambda ds: float(ds[dim].values[0]))
    joined = _along_time(datasets) if dim == "time" else _along_wavelength(datasets)
    return joined.assign_attrs(_sources(datasets))


def _sources(datasets: list[xr.Dataset]) -> dict[str, str]:
    """Return the attribute ``tso_source`` of the whole: the sources of the parts, once each."""
    texts = [str(ds.attrs["tso_source"]) for ds in datasets if "tso_source" in ds.attrs]
    if len(set(texts)) <= 1:
        return {"tso_source": texts[0]} if texts else {}
    found: list[Any] = []
    for text in texts:
        given = json.loads(text)
        found += [g for g in (given if isinstance(given, list) else [given]) if g not in found]
    return {"tso_source": json.dumps(found)}


def _along_time(datasets: list[xr.Dataset]) -> xr.Dataset:
    _check_same(datasets, _EXPOSURE_ATTRIBUTES, with_cards=True)
    if len({ds.attrs.get(history.ATTRIBUTE, "[]") for ds in datasets}) > 1:
        raise SchemaError(
            "concat: the segments were reduced differently (their histories differ); join the raw files "
            "and reduce them together"
        )
    datasets = _without_loose_diagnostics(datasets)
    _check_variables(datasets)
    _check_static(datasets, "time")
    _check_integrations(datasets)
    out = _joined(datasets, "time")
    steps = np.diff(out["time"].values)
    if not (steps > 0).all():
        at = int(np.flatnonzero(steps <= 0)[0])
        raise SchemaError(
            f"concat: time does not increase from integration {at} to {at + 1} of the joined axis "
            f"({out['time'].values[at]:.8f} d, {out['time'].values[at + 1]:.8f} d); the segments overlap "
            "or their times are wrong"
        )
    return out


def _joined(datasets: list[xr.Dataset], dim: str) -> xr.Dataset:
    return xr.concat(
        datasets,
        dim,
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="override",
    )


def _cards(ds: xr.Dataset) -> dict[str, Any]:
    return dict(json.loads(ds.attrs.get("fits_header", "{}")).get("PRIMARY", {}))


def _check_same(datasets: list[xr.Dataset], names: Sequence[str], *, with_cards: bool) -> None:
    facts = [{n: ds.attrs.get(n) for n in names} for ds in datasets]
    if with_cards:
        for fact, ds in zip(facts, datasets, strict=True):
            primary = _cards(ds)
            fact.update({card: primary.get(card) for card in _EXPOSURE_CARDS})
    for name in facts[0]:
        values = {str(f[name]): None for f in facts}
        if len(values) > 1:
            hint = " (tsoxr.open_tree reads several detectors)" if name == "detector" else ""
            raise SchemaError(
                f"concat: the parts differ in {name}: {', '.join(values)}; only parts of one exposure can be "
                f"joined{hint}; open the others on their own"
            )


def _without_loose_diagnostics(datasets: list[xr.Dataset]) -> list[xr.Dataset]:
    """Drop diagnostics without a time axis: each describes the data of one segment."""
    loose = {
        name
        for ds in datasets
        for name, array in ds.data_vars.items()
        if "diagnostic_of" in array.attrs and "time" not in array.dims
    }
    return [ds.drop_vars([n for n in loose if n in ds]) for ds in datasets]


def _check_variables(datasets: list[xr.Dataset]) -> None:
    first = set(datasets[0].variables)
    for ds in datasets[1:]:
        different = sorted(map(str, first ^ set(ds.variables)))
        if different:
            raise SchemaError(
                f"concat: {different} are not in all parts; apply the same steps to all, or join the raw files"
            )


def _check_static(datasets: list[xr.Dataset], dim: str) -> None:
    """Compare by value what has no axis ``dim``; rounding of floats is forgiven."""
    first = datasets[0]
    for name, array in first.variables.items():
        if dim in array.dims:
            continue
        for ds in datasets[1:]:
            other = ds.variables[name]
            if (
                array.dims == other.dims
                and array.shape == other.shape
                and _equal(array.values, other.values)
            ):
                continue
            raise SchemaError(
                f"concat: {name!r} differs between the parts (shapes {array.shape} and {other.shape}); what "
                "does not vary with time must be equal: join first, reduce afterwards"
            )


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    if a.dtype.kind == "f":
        return bool(np.allclose(a, b, rtol=1e-6, atol=0, equal_nan=True))
    return bool(np.array_equal(a, b))


def _check_integrations(datasets: list[xr.Dataset]) -> None:
    if any("integration" not in ds.coords for ds in datasets):
        return
    runs = sorted(
        (int(ds["integration"].min()), int(ds["integration"].max()), _name(ds)) for ds in datasets
    )
    for (start, end, name), (following, _, other) in itertools.pairwise(runs):
        if following <= end:
            same = "the same integrations" if following == start else "overlapping integrations"
            raise SchemaError(
                f"concat: {name} and {other} hold {same} ({following} to {end}); leave one of them out"
            )
        if following > end + 1:
            raise SchemaError(
                f"concat: integrations {end + 1} to {following - 1} are missing between {name} and {other}; "
                f"a segment is absent; add it, or open the parts on their own{_segments_said(datasets)}"
            )
    _warn_incomplete(datasets, runs)


def _segments_said(datasets: list[xr.Dataset]) -> str:
    present = sorted(
        {int(s) for ds in datasets if "segment" in ds for s in np.unique(ds["segment"])}
    )
    total = _cards(datasets[0]).get("EXSEGTOT")
    return f" (segments {present} of {total})" if total else ""


def _warn_incomplete(datasets: list[xr.Dataset], runs: list[tuple[int, int, str]]) -> None:
    total = _cards(datasets[0]).get("EXSEGTOT")
    present = {int(s) for ds in datasets if "segment" in ds for s in np.unique(ds["segment"])}
    if total and present and len(present) < int(total):
        absent = sorted(set(range(1, int(total) + 1)) - present)
        warnings.warn(
            f"concat: segments {absent} of {total} are not among the files; the series covers integrations "
            f"{runs[0][0]} to {runs[-1][1]} only",
            TsoWarning,
            stacklevel=4,
        )


def _name(ds: xr.Dataset) -> str:
    source = json.loads(ds.attrs.get("tso_source", "null"))
    if isinstance(source, list) and source and isinstance(source[0], str):
        return source[0].rsplit("/", 1)[-1]
    return "a part"


def _along_wavelength(datasets: list[xr.Dataset]) -> xr.Dataset:
    _check_same(datasets, ("tso_kind", "instrument", "exp_type"), with_cards=False)
    if len({json.dumps(_steps(ds)) for ds in datasets}) > 1:
        raise SchemaError(
            "concat: the spectra were reduced by different steps or parameters; reduce them alike before "
            "joining them along wavelength"
        )
    bare = [
        ds.drop_vars([n for n, v in ds.data_vars.items() if "diagnostic_of" in v.attrs])
        for ds in datasets
    ]
    bare = _without_own_coordinates(bare)
    _check_variables(bare)
    times = [ds["time"].values for ds in bare if "time" in ds.dims]
    if any(not np.array_equal(t, times[0]) for t in times):
        raise SchemaError(
            "concat: the times of the parts differ; detectors have their own clocks: keep them in a "
            "DataTree, or bring them to one time axis first"
        )
    _check_static(bare, "wavelength")
    out = _joined(bare, "wavelength").sortby("wavelength")
    if np.any(np.diff(out["wavelength"].values) <= 0):
        raise SchemaError("concat: the parts share wavelengths; cut one of them before joining")
    detectors = [str(ds.attrs["detector"]) for ds in datasets if ds.attrs.get("detector")]
    return out.assign_attrs(detector="+".join(dict.fromkeys(detectors))) if detectors else out


def _steps(ds: xr.Dataset) -> list[Any]:
    """Return what was asked for in each step; derived values differ between detectors."""
    return [
        [r["step"], {k: v for k, v in r.get("params", {}).items() if k not in r.get("derived", [])}]
        for r in history.records(ds.attrs)
    ]


def _without_own_coordinates(datasets: list[xr.Dataset]) -> list[xr.Dataset]:
    """Drop coordinates off the wavelength axis that belong to one detector."""
    own = [
        name
        for name, array in datasets[0].coords.items()
        if name not in datasets[0].indexes
        and "wavelength" not in array.dims
        and not all(
            name in ds.coords and array.variable.equals(ds[name].variable) for ds in datasets[1:]
        )
    ]
    extra = {n for ds in datasets[1:] for n in ds.coords if n not in datasets[0].coords}
    return [ds.drop_vars([n for n in (*own, *extra) if n in ds.coords]) for ds in datasets]
