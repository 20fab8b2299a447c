"""One chain serves every spectroscopic mode: simulated raw ramps go through it.

Standard noise and nothing but defaults. How well each mode does is asked elsewhere; here the
chain must run, keep to the schema, and leave a light curve that shows the transit.
"""

import numpy as np
import pytest

from tsoxr import simulation, steps, testing

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

CASES = {
    "g395h-nrs1": ("nirspec-g395h", {}),
    "g395h-nrs2": ("nirspec-g395h", {"detector": "NRS2"}),
    "g395m": ("nirspec-g395m", {}),
    "soss": ("niriss-soss", {"subarray": "SUBSTRIP96"}),
    "grism": ("nircam-grism", {}),
    "grism-one-output": ("nircam-grism", {"filter": "F444W", "n_outputs": 1}),
}


@pytest.mark.parametrize("case", CASES)
def test_raw_ramps_become_a_white_light_curve(case):
    mode, chosen = CASES[case]
    exposure = simulation.exposure(mode, seed=3, n_integrations=12, n_groups=4, **chosen)
    ds, truth = exposure.ramps(), exposure.truth(stripes=False)
    assert ds.tso.validate() == []
    for name in RAMPS + RATES:
        ds = getattr(steps, name)(ds)
        assert ds.tso.validate() == [], name
    white = ds.tso.white_light()
    flux, put_in = white["flux"].values.squeeze(), truth["white_flux"].values
    scatter = np.std(flux / np.median(flux[put_in > 0.9999]) - put_in)
    # a fifth of the depth of 1 %; how near the limit each mode comes, a benchmark measures
    assert scatter < 2e-3
    testing.survives_netcdf("white_light", ds, {})
