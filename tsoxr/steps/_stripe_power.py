"""Power spectrum of the dark pixels on the clock, before and after."""

from __future__ import annotations

from functools import partial

import numpy as np
import xarray as xr

from tsoxr import lazy
from tsoxr.kernels.stripe_design import LAYERS
from tsoxr.kernels.stripe_power import N_FREQUENCIES, clock_power, frequency_bins
from tsoxr.steps import _stripes

__all__ = ["power"]

N_POWER = 8
"""Integrations whose power spectrum is drawn. A bin of m frequencies is known to
1/sqrt(8 m): to a third for the lowest one, to a few per cent in most of the others."""


def power(
    ds: xr.Dataset, cleaned: xr.DataArray, design: xr.DataArray, units: str
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return the power density (stage, frequency) of the dark pixels, and the frequencies.

    Of neighbouring integrations in the middle of the exposure, which lie in one or two chunks:
    for lazy data, no more than these is cleaned for it.
    """
    slow, fast = _stripes.axes_of(ds)
    begin = max((ds.sizes["time"] - N_POWER) // 2, 0)
    ends = [
        _stripes.ends_of(array.isel(time=slice(begin, begin + N_POWER))).transpose(
            "time", "group", slow, fast
        )
        for array in (ds["ramp"], cleaned)
    ]
    layers = design.transpose("layer", slow, fast)
    edges = _stripes.edges_of(ds)
    ticks = ds.sizes[slow] * int(edges[1])
    tick = float(ds.attrs.get("frame_time", ticks)) / ticks
    found = lazy.static_from_sample(
        partial(_power, edges, tick), *ends, layers, _stripes.dummy(stage=2, frequency=N_FREQUENCIES),
        dims=("stage", "frequency"),
    )  # fmt: skip
    bins = frequency_bins(ticks)
    frequency = xr.DataArray(np.sqrt(bins[1:] * bins[:-1]) / tick, dims="frequency")
    return (
        found.assign_attrs(
            long_name="power density of the dark pixels, before and after", units=units
        ),
        frequency.assign_attrs(long_name="frequency on the clock", units="Hz"),
    )


def _power(
    edges: np.ndarray,
    tick: float,
    before: np.ndarray,
    after: np.ndarray,
    design: np.ndarray,
    _stages: np.ndarray,
) -> np.ndarray:
    rise, usable = design[LAYERS.index("rise")], design[LAYERS.index("usable")] > 0
    found = [
        clock_power(ramp[:, -1].astype(np.float32) - ramp[:, 0] - rise, usable, edges)
        for ramp in (before, after)
    ]
    return tick * np.stack(found)
