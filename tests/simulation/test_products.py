"""The products hold the light and the noise that the truth says."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, schema
from tsoxr.simulation import exposure, simulate
from tsoxr.simulation.detector import apply_linearity

MODES = ("nirspec-prism", "miri-lrs")
KINDS = ("ramps", "rates", "spectra", "lightcurves")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
def test_products_keep_to_the_schema(mode, kind, tmp_path):
    ds = simulate(mode, kind=kind, seed=1, n_integrations=4)
    assert schema.validate(ds) == []
    assert set(schema.ATTRIBUTES) - {"gain_scaled", "wavelength_source", "rectified"} <= set(
        ds.attrs
    )
    again = tsoxr.open(ds.tso.save(tmp_path / "a.nc"))
    xr.testing.assert_identical(again.compute(), ds)


@pytest.mark.parametrize("mode", MODES)
def test_truth_survives_netcdf(mode, tmp_path):
    truth = exposure(mode, n_integrations=3).truth()
    truth.to_netcdf(tmp_path / "truth.nc")
    with xr.open_dataset(tmp_path / "truth.nc") as again:
        xr.testing.assert_identical(again.load(), truth)


@pytest.mark.parametrize("mode", MODES)
def test_noiseless_ramps_give_the_light_curve_back(mode):
    each = exposure(mode, n_integrations=30, noise=("nonlinearity",), seed=4)
    ds, truth = each.ramps(), each.truth(stripes=False)
    linear = apply_linearity(ds["ramp"].values, ds["linearity"].values)
    difference = xr.DataArray(linear[:, -1] - linear[:, 0], dims=("time", "y", "x"))
    span = (each.n_groups - 1) * each.clock.frame_time
    spectrum = (
        (difference * ds["gain"] / span).sum(each.setup.spatial_dim).values[:, each.component.pixel]
    )
    star = truth["stellar_spectrum"].values
    bright = star > 0.02 * star.max()
    # float32 ramps of 3e4 DN hold 0.002 DN of a column's 1e4 to 1e5 DN
    np.testing.assert_allclose(
        spectrum[:, bright] / star[bright], truth["flux"].values[:, bright], atol=1e-6
    )
    white = spectrum.sum(axis=1) / star.sum()
    np.testing.assert_allclose(white, truth["white_flux"].values, rtol=0, atol=2e-7)
    assert truth["white_flux"].min() < 0.991


@pytest.mark.parametrize("mode", MODES)
def test_each_wavelength_sees_the_transit_at_its_own_time(mode):
    each = exposure(mode, n_integrations=40, noise=(), feature_depth=0.0, limb_darkening=(0.1, 0.1))
    truth = each.truth(stripes=False)
    # the slope of a group pair stands for the middle between its reads, after the pixel's delay
    centre = 0.5 * (each.n_groups + 1) * each.clock.frame_time
    time = each.clock.tdb(0.0)[:, None] + (centre + truth["spectral_offset"].values) / 86400
    instant = each.planet.flux(time)
    # integrations of a second and an ingress of two: the rest is curvature within one
    assert np.abs(instant - truth["flux"].values).max() < 6e-4
    late = np.abs(np.gradient(instant, axis=0)).max()
    assert late > 1e-3  # the test would see a delay of a frame
    assert np.ptp(truth["spectral_offset"].values) > 0.1


@pytest.mark.parametrize("mode", MODES)
def test_spectra_scatter_as_predicted(mode):
    each = exposure(mode, seed=5, n_integrations=120, radius_ratio=0.0, noise=("photon", "read"))
    ds, truth = each.spectra(), each.truth(stripes=False)
    star = truth["stellar_spectrum"].values
    pull = 1e6 * (ds["flux"].values - star) / star / truth["flux_error"].values
    # 120 x 400 values: the variance is known to 0.7%
    assert pull.var() == pytest.approx(1.0, abs=0.025)
    np.testing.assert_allclose(
        ds["flux_error"].values / star,
        1e-6 * truth["flux_error"].values * np.ones((120, 1)),
        rtol=1e-5,
    )
    white = 1e6 * (ds["flux"].values.sum(axis=1) / star.sum() - 1)
    # 120 values: 6.5% error of the standard deviation
    assert white.std() == pytest.approx(float(truth["white_flux_error"]), rel=0.2)


def gls_weights(signal, read, n_groups):
    """Best weights of the differences from the dense covariance: signal, read (pixel,) -> (pixel, difference)."""
    n = n_groups - 1
    shape = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    covariance = signal[:, None, None] * np.eye(n) + read[:, None, None] ** 2 * shape
    weights = np.linalg.solve(covariance, np.ones((signal.size, n, 1)))[..., 0]
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("mode", MODES)
def test_extracted_ramps_scatter_as_predicted(mode):
    each = exposure(mode, seed=6, n_integrations=60, radius_ratio=0.0, noise=("photon", "read"))
    truth, detector = each.truth(stripes=False), each.maps
    steps = np.diff(each.ramps()["ramp"].values.astype(np.float64), axis=1) * detector.gain
    rate = truth["rate"].values * detector.gain
    read = (detector.read_noise * detector.gain).astype(float)
    interval = each.clock.frame_time
    weights = gls_weights(rate.ravel() * interval, read.ravel(), each.n_groups)
    slope = np.einsum("tgp,pg->tp", steps.reshape(60, each.n_groups - 1, -1), weights).reshape(
        60, *rate.shape
    )
    difference = np.diff(
        np.concatenate([np.zeros((rate.size, 1)), weights, np.zeros((rate.size, 1))], axis=1)
    )
    variance = (rate * interval).ravel() * (weights**2).sum(1) + read.ravel() ** 2 * (
        difference**2
    ).sum(1)
    share = truth["profile"].values / variance.reshape(rate.shape)
    axis = 1 if each.setup.spatial_dim == "y" else 2
    norm = (share * truth["profile"].values).sum(axis=axis - 1)[each.component.pixel]
    spectrum = (slope * share).sum(axis=axis)[:, each.component.pixel] / norm / interval
    star = truth["stellar_spectrum"].values
    pull = 1e6 * (spectrum / star - 1) / truth["flux_error"].values
    # 60 x 400 values: 0.9%; the skewed ends of the spectrum add a little
    assert pull.var() == pytest.approx(1.0, abs=0.035)
    assert abs(pull.mean()) < 0.03


@pytest.mark.parametrize("mode", MODES)
def test_rates_scatter_as_their_errors_say(mode):
    ds = simulate(
        mode, kind="rates", seed=7, n_integrations=40, radius_ratio=0.0, noise=("photon", "read")
    )
    good = ~dq.has_flag(ds["dq"], "REFERENCE_PIXEL").values[0]
    pull = (ds["rate"].std("time", ddof=1) / ds["rate_error"][0]).values[good]
    # std of 40 values is biased by -0.6%; more than 16000 pixels
    assert pull.mean() == pytest.approx(0.9936, abs=0.004)


def test_rates_and_ramps_share_stripes_hits_and_light():
    each = exposure(
        "nirspec-prism", seed=8, n_integrations=10, noise=("one_over_f", "pedestal"), n_hits=12
    )
    ramp, rate = each.ramps(), each.rates()
    span = (each.n_groups - 1) * each.clock.frame_time
    slope = (ramp["ramp"].isel(group=-1) - ramp["ramp"].isel(group=0)) / span
    np.testing.assert_allclose(slope.values, rate["rate"].values, rtol=1e-5, atol=0.05)
    stripe = each.truth()["stripe"]
    pixels = exposure(
        "nirspec-prism",
        seed=8,
        n_integrations=10,
        noise=("one_over_f", "pedestal"),
        brightness=1e-9,
    )
    np.testing.assert_allclose(pixels.ramps()["ramp"].mean("y").values, stripe.values, atol=2e-3)
    assert 2.0 < float(stripe.std()) < 8.0


@pytest.mark.parametrize("kind", KINDS)
def test_noise_free_products_agree(kind):
    each = exposure("nirspec-prism", n_integrations=12, noise=(), n_bins=1)
    ds, truth = getattr(each, kind)(), each.truth(stripes=False)
    if kind == "ramps":
        light = (ds["ramp"].isel(group=-1) - ds["ramp"].isel(group=0)).sum(["y", "x"])
    elif kind == "rates":
        light = ds["rate"].astype(float).sum(["y", "x"])
    elif kind == "spectra":
        light = ds["flux"].astype(float).sum("wavelength")
    else:
        light = ds["flux"].isel(wavelength=0)
    light = light.values / light.values[0]
    np.testing.assert_allclose(light, truth["white_flux"].values, atol=1e-6)


def test_same_seed_same_bytes_and_sources_are_independent():
    first, again = (simulate("nirspec-prism", seed=3, n_integrations=4) for _ in range(2))
    xr.testing.assert_identical(first, again)
    assert not np.array_equal(
        first["ramp"], simulate("nirspec-prism", seed=4, n_integrations=4)["ramp"]
    )
    one = exposure("nirspec-prism", seed=3, n_integrations=4, noise=("read", "one_over_f")).ramps()[
        "ramp"
    ]
    read = exposure("nirspec-prism", seed=3, n_integrations=4, noise=("read",)).ramps()["ramp"]
    pink = exposure("nirspec-prism", seed=3, n_integrations=4, noise=("one_over_f",)).ramps()[
        "ramp"
    ]
    none = exposure("nirspec-prism", seed=3, n_integrations=4, noise=()).ramps()["ramp"]
    np.testing.assert_allclose(one - none, (read - none) + (pink - none), atol=0.02)


def test_raw_ramps_without_references():
    ds = simulate("miri-lrs", n_integrations=2, references=False)
    assert ds["ramp"].dtype == np.uint16
    assert not {"gain", "superbias", "linearity"} & set(ds.variables)
    flagged = dq.has_flag(ds["dq_pixel"], "REFERENCE_PIXEL").values
    np.testing.assert_array_equal(np.flatnonzero(flagged.any(axis=0)), [0, 1, 2, 3])
    assert not dq.has_flag(ds["dq_pixel"], "DO_NOT_USE").any()


def test_reference_pixels_see_electronics_only():
    ds = simulate("miri-lrs", seed=2, n_integrations=6)
    residual = ds["ramp"].astype(float) - ds["superbias"]
    reference = residual.isel(x=slice(0, 4))
    assert abs(float(reference.mean())) < 5.0
    step = reference.diff("group").std()
    # two reads of 0.8 x 4.2 DN, pedestals of 1 DN, 1/f of about 1.5 DN
    assert 4.0 < float(step) < 7.0
    assert float(residual.isel(x=36).max()) > 20000


def test_default_exposures_are_realistic():
    for mode in MODES:
        each = exposure(mode)
        well = each.setup.constants.saturation - each.setup.electronics.bias
        peak = each.truth(stripes=False)["rate"].max() * each.n_groups * each.clock.frame_time
        assert float(peak) == pytest.approx(0.6 * well, rel=0.05)
        truth = each.truth(stripes=False)
        assert 100 < float(truth["white_flux_error"]) < 400
        assert float(truth["depth"].median()) == pytest.approx(1e4, rel=0.03)


def test_light_curves_state_their_bins():
    ds = simulate("nirspec-prism", kind="lightcurves", n_integrations=3, n_bins=5)
    bounds = ds["wavelength_bounds"].values
    np.testing.assert_allclose(bounds[1:, 0], bounds[:-1, 1])
    assert ds["wavelength"].attrs["bounds"] == "wavelength_bounds"
    assert np.all(np.diff(ds["wavelength"]) > 0)


def test_source_is_recorded():
    code = simulate("nirspec-prism", kind="spectra", seed=5, n_integrations=3).tso.history.as_code()
    assert "simulate('nirspec-prism', seed=5, n_integrations=3" in code
