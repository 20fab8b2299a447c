"""The summary: numbers beside what is expected of them, and a mark where they differ."""

import numpy as np
import pytest
from scipy.stats import norm

import tsoxr
from tsoxr import judged, summary, testing
from tsoxr.steps.refine_wavelength import ENOUGH

QUIET = ("photon", "read", "flat", "background", "jitter", "hits", "bad_pixels")
STEPS = (
    "flag_bad_pixels", "flag_outliers", "find_trace", "subtract_background", "track",
    "assign_wavelength", "replace_bad_pixels",
)  # fmt: skip


def reduced(ds, steps=STEPS):
    for step in steps:
        ds = getattr(ds.tso, step)()
    return ds


def table(ds):
    found = ds.tso.summary()
    return found.set_index([found["step"], found["quantity"]])


@pytest.fixture(scope="module")
def exposure():
    return tsoxr.simulation.exposure("nirspec-prism", seed=2, n_integrations=60, noise=QUIET)


@pytest.fixture(scope="module")
def cube(exposure):
    return reduced(exposure.rates())


def test_a_good_reduction_has_no_marks(cube):
    found = cube.tso.summary()
    assert list(found.columns) == ["step", "quantity", "value", "unit", "expected", "look"]
    # Ratios are medians over thousands of pixels, good to 2 %; motion and light have bounds of their own.
    assert not found["look"].any(), found[found["look"] != ""]
    assert list(dict.fromkeys(found["step"])) == [*STEPS, "time", "data"]


def test_values_are_those_of_the_data(cube):
    found = table(cube)["value"]
    flagged = tsoxr.dq.has_flag(cube["dq"], "OUTLIER").mean()
    assert found["flag_outliers", "samples flagged"] == pytest.approx(100 * float(flagged))
    shift = 1e3 * float(cube["trace_shift"].std())
    assert found["track", "motion across, rms"] == pytest.approx(shift)
    assert found["assign_wavelength", "first wavelength"] == float(cube["wavelength"].min())
    known = 100 * float((cube["flag_bad_pixels_verdict"] == 5).mean())
    assert found["flag_bad_pixels", "known pixels"] == pytest.approx(known)


def test_stripes_are_marked(exposure):
    striped = reduced(exposure.replace(noise=(*QUIET, "one_over_f")).rates(), STEPS[:4])
    found = table(striped)["look"]
    assert found["flag_outliers", "noise over rate_error (median)"] == "<--"
    assert found["find_trace", "measured places about the trace, scatter"] == ""


def test_a_wavy_trace_is_marked(cube):
    wave = 0.5 * np.sin(np.asarray(cube["x"]) / 10.0)
    moved = cube.assign_coords(trace_center=cube["trace_center"] + wave)
    assert table(moved)["look"]["find_trace", "measured places about the trace, scatter"] == "<--"


def test_gaps_and_jumps_are_marked(cube):
    gap = cube.isel(time=[i for i in range(60) if i not in (20, 21)])
    step = cube["track_step"].copy()
    step[30] = 1
    found = table(gap.assign(track_step=step.isel(time=gap["integration"].values - 1)))["look"]
    assert found["time", "gaps between integrations"] == "<--"
    assert found["track", "jumps"] == "<--"


def test_what_noise_alone_would_flag_stands_beside(cube):
    expected = 2 * norm.sf(4.2)
    assert summary.noise_share(4.2) == pytest.approx(expected)
    assert summary.parameter(cube, "flag_outliers", "sigma") == 4.2
    assert summary.parameter(cube, "extract", "method") is None
    text = table(cube)["expected"]["flag_outliers", "samples flagged"]
    assert text == f"noise alone: up to {100 * expected:.2g}"


def test_a_step_that_did_nothing_says_why():
    rates = tsoxr.simulate(
        "nircam-imaging", kind="rates", subarray="SUB64P", n_integrations=3, seed=1
    )
    found = rates.tso.find_trace().tso.summary().set_index("step").loc["find_trace"]
    assert "no trace" in found["quantity"]
    assert np.isnan(found["value"])


def test_diagnostics_that_went_on_without_the_others(cube):
    frame = cube.tso.combine()
    found = table(frame)
    assert "replaced share of the light (median)" in found.loc["replace_bad_pixels"].index
    assert found["look"]["combine", "scatter of the samples over their errors"] == ""
    assert len(cube.tso.extract().tso.summary()) > 20


def test_lazy_data_give_the_same_table(exposure, cube):
    lazy = reduced(exposure.rates().chunk(time=20), STEPS[:4])
    loaded = table(lazy.compute())
    assert lazy["rate"].chunks is not None
    np.testing.assert_allclose(table(lazy)["value"], loaded["value"], rtol=1e-6)


def test_detector_steps_have_generic_rows():
    ramps = testing.example("ramps").tso.flag_saturation()
    assert "flag_saturation" in set(ramps.tso.summary()["step"])


def test_lines_are_judged_as_they_are_used():
    assert judged.LINES == ENOUGH


def test_photometry_is_judged():
    made = tsoxr.simulation.exposure(
        "nircam-imaging", subarray="SUB64P", n_integrations=60, seed=3, noise=QUIET
    )
    rates = made.rates().tso.flag_outliers().tso.track()
    good = table(rates.tso.photometry()).loc["photometry"]
    # this scatter is known to 23 % (of twelve seeds, 60 points), and its bounds are 55 %
    assert not good["look"].any(), good[good["look"] != ""]
    assert good["value"]["error of one integration"] == pytest.approx(2000, rel=0.2)
    assert good["value"]["centroid along y, rms"] == pytest.approx(
        1e3 * float(rates["trace_shift"].std()), rel=1e-4
    )

    small = rates.assign(rate_error=rates["rate_error"] / 2)
    half = rates["dq"].copy(deep=True)
    half.values[:, 27:31, 27:31] |= np.where(np.arange(60) % 2, 1, 0).astype("u4")[:, None, None]
    wrong = {
        "scatter from point to point over error": small.tso.photometry(),
        "light that was estimated, mean": rates.assign(dq=half).tso.photometry(),
        "aperture inside the frame": rates.tso.photometry(radius=36.0),
    }
    for quantity, curve in wrong.items():
        assert table(curve)["look"]["photometry", quantity] == "<--", quantity
