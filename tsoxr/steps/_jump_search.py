"""The searches for hits on labelled data, loaded or lazy."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tsoxr import chunks, lazy
from tsoxr.kernels import jump_data, jump_ramp, jumps
from tsoxr.kernels.jump_scatter import scatter_ratio
from tsoxr.kernels.jump_statistics import describe_pixels, usual_span
from tsoxr.kernels.ramp_noise import usual_pattern
from tsoxr.kernels.ramps import Readout
from tsoxr.steps import _ramps, _rates

__all__ = ["FINDERS", "Found", "search"]

FINDERS: dict[str, Callable[..., np.ndarray]] = {
    "temporal": jumps.find,
    "two_point": jump_ramp.find_two_point,
    "likelihood": jump_ramp.find_likelihood,
}
N_EXTRA = 7

FEW = 100
"""One in so many samples may be flagged and remembered: 5 % of the memory of the flags."""


@dataclass(frozen=True)
class Found:
    """Flags with hits added, measured over predicted noise (y, x), and the read noise used."""

    flags: xr.DataArray
    ratio: xr.DataArray
    read_noise: xr.DataArray
    rate: xr.DataArray


@dataclass(frozen=True)
class _Describe:
    """What the search asks of a sample, as `_ramps.sample` calls it; rate last."""

    times: Readout
    method: str

    def __call__(self, ramp: np.ndarray, dq_group: np.ndarray, noise: np.ndarray) -> np.ndarray:
        if self.method == "temporal":
            found = describe_pixels(ramp, dq_group, noise, self.times)
            return np.concatenate([found, np.full((1, found.shape[1]), np.nan, "f4")])
        out = np.zeros((N_EXTRA, ramp.shape[2]), np.float32)
        out[0] = np.nan_to_num(scatter_ratio(ramp, dq_group, noise, self.times), nan=1.0)
        out[2] = 1.0
        out[4:6] = usual_span(usual_pattern(dq_group))
        out[6] = jump_ramp.median_slope(ramp, dq_group, self.times.interval)
        return out


def search(
    ds: xr.Dataset, known: _ramps.Detector, times: Readout, method: str, rule: jump_data.Rule
) -> Found:
    """Search ramps for hits.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps.
    known : Detector
        Gain and read noise.
    times : Readout
        When the groups are read.
    method : str
        One of `FINDERS`.
    rule : Rule
        Thresholds, and what is flagged besides.
    """
    seen = _ramps.sample(ds, known, times, extra=_Describe(times, method), n_extra=N_EXTRA)
    ratio, shared, excess, jitter, first, last, median = (
        seen.extra.isel(layer=i, drop=True) for i in range(N_EXTRA)
    )
    photon = seen.noise.isel(term=0, drop=True) * excess
    read = (seen.noise.isel(term=1, drop=True) + shared) * excess
    rate = seen.rate
    if method == "two_point":
        rate = median
        photon = abs(median) / known.gain.where(known.gain > 0)
    layers = [photon, read, jitter, first, last, rate]
    static = xr.concat(
        [a.reset_coords(drop=True).astype("f4") for a in layers], "layer", join="override"
    ).transpose("layer", "y", "x")
    flags = _search(ds, static, {"readout": times, "rule": rule}, method)
    return Found(flags, ratio, seen.read_noise, seen.rate)


def _lines(ds: xr.Dataset) -> np.ndarray:
    """Return the line of constant wavelength of each pixel, (y, x); zeros for images."""
    shape = ds.sizes["y"], ds.sizes["x"]
    if _rates.is_imaging(ds) or "dispersion_dim" not in ds.attrs:
        return np.zeros(shape, np.int64)
    along = ("y", "x").index(ds.attrs["dispersion_dim"])
    return np.ascontiguousarray(np.indices(shape)[along])


def _search(
    ds: xr.Dataset, static: xr.DataArray, arguments: dict[str, Any], method: str
) -> xr.DataArray:
    """Return the flags with hits added, in the order of dims of ``dq_group``."""
    dims = ("time", *_ramps.GROUP_DIMS)
    ramp, flags = ds["ramp"].transpose(*dims), ds["dq_group"].transpose(*dims)
    lines, find = _lines(ds), FINDERS[method]
    if lazy.is_lazy(ramp) or lazy.is_lazy(flags) or lazy.is_lazy(static):
        some = next((a for a in (ramp, flags) if lazy.is_lazy(a)), None)
        sizes = some.chunksizes["time"] if some is not None else (ramp.sizes["time"],)
        pair = ramp.chunk(time=sizes).data, flags.chunk(time=sizes).data
        data = _search_chunks(
            *pair, static, functools.partial(_call, find, lines), arguments, method
        )
    else:
        data = find(ramp.values, flags.values, static.values, lines, **arguments)
    return flags.copy(data=data).transpose(*ds["dq_group"].dims)


def _call(
    find: Callable[..., np.ndarray], lines: np.ndarray, *arrays: np.ndarray, **arguments: Any
) -> np.ndarray:
    return find(*arrays, lines, **arguments)


def _search_chunks(
    ramp: Any,
    flags: Any,
    static: xr.DataArray,
    find: Callable[..., np.ndarray],
    arguments: dict[str, Any],
    method: str,
) -> Any:
    """Search lazy data: each run of chunks with the integrations on either side that it needs.

    Runs have as many integrations as those on their sides or more, so that little is read twice.
    """
    import dask.array as da

    n_times, rule = ramp.shape[0], arguments["rule"]
    window = rule.window if method == "temporal" else 1
    static = da.asarray(static.data).rechunk(-1)
    parts = []
    for first, last in _runs(ramp.chunks[0], window + rule.after_integrations):
        lead = max(first - rule.after_integrations, 0)
        start, stop = lead, last
        if method == "temporal":
            start, stop = jump_data.window_bounds(lead, last, window, n_times)
        part = _Remembering(
            functools.partial(find, rows=(first - start, last - start), **arguments)
        )
        parts.append(
            da.blockwise(
                chunks.Unwrapped(part), "tgyx",
                ramp[start:stop].rechunk(-1), "tgyx",
                flags[start:stop].rechunk(-1), "tgyx",
                static, "nyx",
                adjust_chunks={"t": last - first}, concatenate=None,
                dtype=np.uint8, meta=np.empty((0, 0, 0, 0), np.uint8),
            )
        )  # fmt: skip
    return da.concatenate(parts).rechunk({0: ramp.chunks[0]})


class _Remembering:
    """A search of one run of chunks that is made once, however often its flags are asked for.

    The estimates of later steps ask for the flags of their samples before the pass over the data
    does. New flags are few, so they are remembered instead of being found again; where they are
    more than one in `FEW` samples, they are not.
    """

    def __init__(self, find: functools.partial[np.ndarray]) -> None:
        self._find = find
        self._name = uuid.uuid4().hex
        self._new: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(self, ramp: np.ndarray, flags: np.ndarray, static: np.ndarray) -> np.ndarray:
        first, last = self._find.keywords["rows"]
        known = self._new  # another thread may set it meanwhile, to the same
        if known is not None:
            out = flags[first:last].copy()
            out.reshape(-1)[known[0]] |= known[1]
            return out
        out = self._find(ramp, flags, static)
        new = out & ~flags[first:last]
        place = np.flatnonzero(new != 0)
        if place.size * FEW <= out.size:
            kind = np.uint32 if out.size <= np.iinfo(np.uint32).max else np.int64
            self._new = place.astype(kind), new.reshape(-1)[place]
        return out

    def __dask_tokenize__(self) -> str:
        return self._name


def _runs(sizes: tuple[int, ...], fewest: int) -> list[tuple[int, int]]:
    """Return bounds of runs of chunks that have ``fewest`` integrations or more, but the last."""
    runs, first, last = [], 0, 0
    for size in sizes:
        last += size
        if last - first >= fewest:
            runs.append((first, last))
            first = last
    return runs if first == last else [*runs, (first, last)]
