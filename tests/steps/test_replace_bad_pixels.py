"""Replacement: only what is unusable, with flags and errors that say so, in every orientation."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq

QUIET = ("photon", "read", "background", "flat")


@pytest.fixture(scope="module", params=["nirspec-prism", "miri-lrs"])
def exposure(request):
    """Return rates without bad pixels, and the same with some."""
    ds = tsoxr.simulate(request.param, kind="rates", n_integrations=24, noise=QUIET, seed=2)
    rng = np.random.default_rng(1)
    lost = (rng.random(ds["rate"].shape) < 0.01) & ~dq.has_flag(ds["dq"], "REFERENCE_PIXEL").values
    flags = dq.set_flag(ds["dq"], xr.DataArray(lost, dims=ds["rate"].dims), "OUTLIER")
    return ds, ds.assign(rate=ds["rate"].where(~lost, np.nan), dq=flags), lost


@pytest.mark.parametrize("method", ["time", "space", "profile"])
def test_values_errors_and_flags(exposure, method):
    ds, spoiled, lost = exposure
    out = spoiled.tso.replace_bad_pixels(method=method)
    done = dq.has_flag(out["dq"], "FLUX_ESTIMATED").values
    np.testing.assert_array_equal(done, lost)
    assert dq.has_flag(out["dq"], "OUTLIER").values[lost].all()
    np.testing.assert_array_equal(out["rate"].values[~lost], ds["rate"].values[~lost])
    usual = ds["rate_error"].values[lost]
    assert (out["rate_error"].values[lost] > 0.98 * usual).all()
    # both the sample that was lost and the estimate scatter: their difference has two errors
    pull = (out["rate"].values - ds["rate"].values)[lost] / out["rate_error"].values[lost]
    assert 1.4826 * np.median(np.abs(pull)) < 1.2
    assert abs(np.median(pull)) < 0.1


def test_share_of_the_light_and_count(exposure):
    _, spoiled, lost = exposure
    out = spoiled.tso.replace_bad_pixels()
    along = spoiled.attrs["dispersion_dim"]
    assert out["replace_bad_pixels_fraction"].dims == (along,)
    np.testing.assert_array_equal(out["replace_bad_pixels_count"], lost.sum(axis=(1, 2)))
    # one sample in a hundred, spread evenly
    assert float(out["replace_bad_pixels_fraction"].mean()) == pytest.approx(0.01, rel=0.3)


@pytest.mark.parametrize("method", ["time", "profile"])
@pytest.mark.parametrize("chunk", [3, 24])
def test_lazy_data_give_the_same(exposure, method, chunk):
    _, spoiled, _ = exposure
    lazy = spoiled.chunk(time=chunk).tso.replace_bad_pixels(method=method)
    assert lazy["rate"].chunks is not None
    xr.testing.assert_identical(lazy.compute(), spoiled.tso.replace_bad_pixels(method=method))


def test_extraction_leaves_replaced_samples_out(exposure):
    _, spoiled, _ = exposure
    traced = spoiled.tso.find_trace().tso.assign_wavelength()
    names = ("rate", "rate_error", "dq")
    filled = traced.assign({n: spoiled.tso.replace_bad_pixels()[n].variable for n in names})
    one, two = (each.tso.extract()["flux"] for each in (traced, filled))
    np.testing.assert_array_equal(one, two)


def test_pixels_that_see_no_light_stay(exposure):
    _, spoiled, _ = exposure
    flags = dq.set_flag(spoiled["dq"], spoiled["y"] < 3, "REFERENCE_PIXEL", "DO_NOT_USE")
    out = spoiled.assign(dq=flags).tso.replace_bad_pixels()
    assert not dq.has_flag(out["dq"].isel(y=slice(3)), "FLUX_ESTIMATED").any()
    np.testing.assert_array_equal(out["rate"].isel(y=slice(3)), spoiled["rate"].isel(y=slice(3)))


def test_images_have_no_dispersion():
    ds = tsoxr.simulate(
        "miri-imaging", kind="rates", n_integrations=12, subarray="SUB64", seed=2,
        noise=(*QUIET, "bad_pixels"),
    )  # fmt: skip
    out = ds.tso.replace_bad_pixels(method="space")
    assert "without dispersion" in out.tso.history[-1]["notes"][0]
    assert dq.has_flag(out["dq"], "FLUX_ESTIMATED").any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "mean"}, "method='mean'; it takes 'time', 'space', 'profile'; use"),
        ({"window": 0}, "window=0; it is a number of integrations from 1 on"),
    ],
)
def test_wrong_parameters(exposure, given, message):
    with pytest.raises(ValueError, match=message):
        exposure[1].tso.replace_bad_pixels(**given)


def test_not_twice(exposure):
    once = exposure[1].tso.replace_bad_pixels()
    with pytest.raises(tsoxr.TsoError, match="already applied"):
        once.tso.replace_bad_pixels()
