"""One chain serves every spectroscopic mode: raw ramps of a plain scene go through it.

The scenes have the mode's axes, subarray and trace, photon and read noise, and nothing else.
How well each mode does is asked elsewhere, where there is a simulator for it.
"""

import json

import numpy as np
import pytest
import xarray as xr

from tsoxr import io, modes, schema, testing

N_TIME, N_GROUPS, FRAME_TIME = 10, 4, 0.9
RAMPS = (
    "flag_saturation",
    "subtract_bias",
    "correct_reference_pixels",
    "clean_1overf",
    "linearize",
    "flag_jumps",
    "fit_ramps",
)
RATES = ("flag_outliers", "find_trace", "subtract_background", "assign_wavelength", "extract")


def tilted(x):
    return 16.0 + 3e-3 * (x - 1000.0)


def curved(x):
    return 40.0 + (x - 1500.0) ** 2 / 50000.0


def straight(x):
    return 32.0 + 0.0 * x


CASES = {
    "g395h-nrs1": ("nirspec-g395h", "NRS1", "SUB2048", 32, tilted, 0.8, ("y", "x"), "CLEAR"),
    "g395h-nrs2": ("nirspec-g395h", "NRS2", "SUB2048", 32, tilted, 0.8, ("y", "x"), "CLEAR"),
    "g395m": ("nirspec-g395m", "NRS1", "SUB2048", 32, tilted, 0.8, ("y", "x"), "CLEAR"),
    "soss": ("niriss-soss", "NIS", "SUBSTRIP96", 96, curved, 6.0, ("y", "x"), "CLEAR"),
    "grism": ("nircam-grism", "NRCALONG", "SUBGRISM64", 64, straight, 1.2, ("x", "y"), "F322W2"),
}  # fmt: skip


def ramps_of(case):
    """Return ramps of a flat spectrum of 2000 DN/s at the peak; no bias, stripes or hits."""
    mode, detector, subarray, ny, trace, sigma, (fast, slow), optical_filter = CASES[case]
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:ny, :2048]
    image = 2000.0 * np.exp(-0.5 * ((y - trace(x)) / sigma) ** 2)
    constants = modes.detector(detector)
    dims = ("time", "group", "y", "x")
    electrons = rng.poisson(image * FRAME_TIME * constants.gain, (N_TIME, N_GROUPS, *image.shape))
    counts = np.cumsum(electrons, axis=1) / constants.gain + 1000.0
    counts += rng.normal(0.0, constants.read_noise, counts.shape)
    attrs = {
        "tso_kind": "ramps", "tso_schema": 1, "tso_mode": mode, "tso_history": "[]",
        "spatial_dim": "y", "dispersion_dim": "x", "fast_dim": fast, "slow_dim": slow,
        "fast_direction": 1, "slow_direction": 1, "instrument": modes.get(mode).instrument,
        "detector": detector, "subarray": subarray, "filter": optical_filter, "n_outputs": 1,
        "n_groups": N_GROUPS, "n_frames": 1, "group_gap": 0, "frame_time": FRAME_TIME,
        "group_interval": FRAME_TIME, "x_start": 1, "y_start": 1, "fits_header": json.dumps({}),
    }  # fmt: skip
    made = {
        "ramp": counts.astype("f4"),
        "dq_group": np.zeros(counts.shape, "u1"),
    }
    ds = xr.Dataset(
        {name: schema.label(xr.DataArray(v, dims=dims), "ramps", name) for name, v in made.items()},
        attrs=attrs,
    )
    pixel = xr.DataArray(np.zeros(image.shape, "u4"), dims=("y", "x"))
    return ds.assign(dq_pixel=schema.label(pixel, "ramps", "dq_pixel")).assign_coords(
        time=schema.label(
            xr.DataArray(60000 + 1e-3 * np.arange(N_TIME), dims="time"), "ramps", "time"
        ),
        group=("group", np.arange(1, N_GROUPS + 1, dtype="i2"), {"units": "1"}),
        group_time=("group", FRAME_TIME * np.arange(1, N_GROUPS + 1), {"units": "s"}),
        y=("y", np.arange(ny, dtype="i4"), {"units": "pix"}),
        x=("x", np.arange(2048, dtype="i4"), {"units": "pix"}),
        read_offset=io.read_offset(attrs, ny, 2048),
    )


@pytest.mark.parametrize("case", CASES)
def test_raw_ramps_become_a_white_light_curve(case):
    from tsoxr import steps

    ds = ramps_of(case)
    assert ds.tso.validate() == []
    for name in RAMPS + RATES:
        ds = getattr(steps, name)(ds)
        assert ds.tso.validate() == [], name
    white = ds.tso.white_light()
    assert np.isfinite(white.flux).all()
    # ten points of a constant star: the scatter of their scatter is 24 %
    assert 0.3 < float(white.flux.std() / white.flux_error.median()) < 1.9
    testing.survives_netcdf("white_light", ds, {})
