"""Ramps built by hand for the tests of single steps: known bias, light, stripes and noise."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from tsoxr import dq, schema

FRAME_TIME = 0.5


def ramps(
    rate=None,
    *,
    shape=(32, 64),
    n_time=20,
    n_groups=5,
    bias=0.0,
    light=None,
    offset=0.0,
    dtype="f4",
    fast="y",
    mode=None,
    **attrs,
):
    """Return ramps: bias + light(t) * rate * time + offset, offset broadcast to all dims.

    The spectrum lies along x. Lines run along ``fast``.
    """
    time_since_reset = FRAME_TIME * np.arange(1, n_groups + 1)
    rate = np.zeros(shape) if rate is None else rate
    light = np.ones(n_time) if light is None else np.asarray(light)
    counts = light[:, None, None, None] * rate * time_since_reset[:, None, None] + bias + offset
    counts = np.broadcast_to(counts, (n_time, n_groups, *shape)).astype(dtype)
    dims = ("time", "group", "y", "x")
    data = {
        "ramp": schema.label(xr.DataArray(counts, dims=dims), "ramps", "ramp"),
        "dq_group": schema.label(
            xr.DataArray(np.zeros(counts.shape, "u1"), dims=dims), "ramps", "dq_group"
        ),
        "dq_pixel": schema.label(
            xr.DataArray(np.zeros(shape, "u4"), dims=dims[2:]), "ramps", "dq_pixel"
        ),
    }
    coords = {
        "time": schema.label(
            xr.DataArray(60000 + np.arange(n_time) * 3e-5, dims="time"), "ramps", "time"
        ),
        "group": schema.label(
            xr.DataArray(np.arange(1, n_groups + 1, dtype="i2"), dims="group"), "ramps", "group"
        ),
        "group_time": schema.label(
            xr.DataArray(time_since_reset, dims="group"), "ramps", "group_time"
        ),
        "y": schema.label(xr.DataArray(np.arange(shape[0], dtype="i4"), dims="y"), "ramps", "y"),
        "x": schema.label(xr.DataArray(np.arange(shape[1], dtype="i4"), dims="x"), "ramps", "x"),
    }
    own = {
        "tso_kind": "ramps", "tso_history": "[]", "spatial_dim": "y", "dispersion_dim": "x",
        "fast_dim": fast, "slow_dim": "x" if fast == "y" else "y", "fast_direction": 1,
        "slow_direction": 1, "frame_time": FRAME_TIME, "group_interval": FRAME_TIME,
        "n_outputs": 1, **({} if mode is None else {"tso_mode": mode}), **attrs,
    }  # fmt: skip
    return xr.Dataset(data, coords, own)


def flag_pixels(ds, where, *names):
    """Return the ramps with static flags set where ``where`` (y, x) is true."""
    flagged = xr.DataArray(where, dims=("y", "x"))
    return ds.assign(dq_pixel=dq.set_flag(ds["dq_pixel"], flagged, *names))


def trace(shape=(32, 64), *, center=15.0, sigma=0.8, rate=2000.0, sky=0.0):
    """Return the count rate (y, x) of a straight spectrum on sky, DN s-1."""
    rows = np.arange(shape[0])[:, None]
    return sky + rate * np.exp(-0.5 * ((rows - center) / sigma) ** 2) * np.ones(shape)


def notes(ds):
    """Return what the last step had to say."""
    return " ".join(ds.tso.history[-1].get("notes", []))


@pytest.fixture(scope="session")
def small():
    """Give the builders of small ramps: ``small.ramps(...)``, ``small.trace(...)``."""
    return SimpleNamespace(ramps=ramps, flag_pixels=flag_pixels, trace=trace, notes=notes)
