"""Extraction against what the simulation put in: flux, errors, losses, laziness."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, testing
from tsoxr.errors import SchemaError, TsoError
from tsoxr.history import records
from tsoxr.steps import assign_wavelength, extract

MODES = ("nirspec-prism", "miri-lrs")
WHITE = ("photon", "read")


def exposure(mode="nirspec-prism", *, n=60, noise=WHITE, **parameters):
    """Rates with the true trace and wavelengths, and the truth."""
    made = tsoxr.simulation.exposure(mode, n_integrations=n, seed=3, noise=noise, **parameters)
    rates, truth = made.rates(), made.truth(stripes=False)
    everywhere = truth.trace_center.interpolate_na(
        rates.attrs["dispersion_dim"], method="nearest", fill_value="extrapolate"
    )
    return rates.assign_coords(trace_center=everywhere.variable), truth


def in_aperture(rates, truth, half_width):
    """Electrons per second inside the aperture: those of the noise-free frame, summed."""
    space = rates.attrs["spatial_dim"]
    pixel = rates[space]
    upper = np.minimum(pixel + 0.5, truth.trace_center + half_width)
    lower = np.maximum(pixel - 0.5, truth.trace_center - half_width)
    electrons = truth.rate * rates.gain
    return (electrons * (upper - lower).clip(0, 1)).sum(space)


def at(spectra, along_dispersion):
    return along_dispersion.values[spectra.dispersion_pixel.values]


def lit(spectra, limit=0.1):
    median = spectra.flux.median("time").values
    return median > limit * median.max()


@pytest.fixture(scope="module", params=MODES)
def made(request):
    return exposure(request.param, n=400)


@pytest.mark.parametrize("method", ["optimal", "box"])
def test_flux_is_the_light_in_the_aperture(made, method):
    rates, truth = made
    spectra = extract(rates, method=method, half_width=4.0)
    expected = at(spectra, in_aperture(rates, truth, 4.0))
    baseline = ~rates.in_transit.values
    mean = spectra.flux.values[baseline].mean(axis=0)
    error = spectra.flux_error.values[baseline].mean(axis=0) / np.sqrt(baseline.sum())
    some = lit(spectra)
    # the noise of the mean, and that of the profile: 48 of the integrations made it, a
    # median of theirs, so that its error is at most 1.25 / sqrt(48) of one integration's
    profile = 1.25 * spectra.flux_error.values.mean(axis=0) / np.sqrt(48)
    pull = (mean - expected)[some] / np.hypot(error, profile)[some]
    assert np.abs(pull).max() < 5
    assert abs(pull.mean()) < 0.3


@pytest.mark.parametrize("method", ["optimal", "box"])
def test_errors_are_the_scatter(made, method):
    rates, truth = made
    spectra = extract(rates, method=method)
    relative = (
        spectra.flux / spectra.flux.where(~spectra.in_transit).mean("time") / truth.flux.values
    )
    some = lit(spectra)
    pull = (relative.values - 1)[:, some] * (spectra.flux / spectra.flux_error).values[:, some]
    n = pull.size
    # 400 integrations of 200 and more wavelengths; dividing by the mean of the baseline
    # widens the scatter by a part in 500. The read noise of the simulation has 1% or less
    # of its own uncertainty in the errors
    assert abs(pull.std() - 1) < 0.005 + 5 / np.sqrt(2 * n)
    assert abs(np.median(spectra.extract_scatter.values[some]) - 1) < 0.03


def test_optimal_reaches_the_predicted_noise(made):
    rates, truth = made
    spectra = extract(rates, half_width=8.0)
    box = extract(rates, half_width=8.0, method="box")
    some = lit(spectra)
    ppm = 1e6 * (spectra.flux_error / spectra.flux).median("time").values[some]
    # the prediction is for all of the light; 8 pixels hold more than 98% of it
    np.testing.assert_allclose(ppm / truth.flux_error.values[some], 1.0, atol=0.03)
    assert (spectra.flux_error.values[0] < 1.01 * box.flux_error.values[0]).all()
    assert np.median(spectra.flux_error.values[0] / box.flux_error.values[0]) < 0.98


def test_axes_and_coordinates(made):
    rates, _ = made
    spectra = extract(rates)
    along = rates.attrs["dispersion_dim"]
    assert spectra.flux.dims == ("time", "wavelength")
    assert spectra.flux.dtype == np.float32
    assert spectra.attrs["tso_kind"] == "spectra"
    wave = spectra.wavelength.values
    assert (np.diff(wave) > 0).all()
    pixel = spectra.dispersion_pixel.values
    assert (np.sign(np.diff(pixel)) == (1 if along == "x" else -1)).all()
    row = rates.wavelength.isel({rates.attrs["spatial_dim"]: 20}).values
    np.testing.assert_array_equal(wave, row[pixel])
    place = {along: xr.DataArray(pixel, dims="p")}
    center = rates.trace_center.isel(place)
    delay = rates.read_offset.isel(place).interp({rates.attrs["spatial_dim"]: center})
    np.testing.assert_allclose(spectra.read_offset, delay, atol=1e-7)
    for name in ("integration", "segment", "jitter_x", "in_transit"):
        xr.testing.assert_identical(spectra[name].variable, rates[name].variable)
    assert spectra.order.dtype == np.int16
    assert (
        float(spectra.aperture_half_width)
        == tsoxr.modes.step_defaults(rates.attrs["tso_mode"], "extract")["half_width"].value
    )


def test_turned_axes_give_the_same():
    rates, _ = exposure("miri-lrs", n=8)
    turned = rates.rename(x="y", y="x").transpose("time", "y", "x")
    turned.attrs.update(spatial_dim="y", dispersion_dim="x", fast_dim="y", slow_dim="x")
    straight, other = extract(rates), extract(turned)
    for name in ("flux", "flux_error", "dq", "n_pixels", "wavelength", "read_offset"):
        np.testing.assert_array_equal(other[name], straight[name])


@pytest.mark.parametrize("method", ["optimal", "box"])
def test_losses_make_no_dip(method):
    rates, truth = exposure(n=200)
    rng = np.random.default_rng(0)
    hit = rng.random(rates.rate.shape) < 0.02
    nan = rng.random(rates.rate.shape) < 0.01
    junk = rates.rate.where(~hit, 1e6).where(~nan)
    flags = dq.set_flag(rates.dq, xr.DataArray(hit, dims=rates.rate.dims), "OUTLIER")
    clean = extract(rates, method=method)
    spectra = extract(rates.assign(rate=junk.astype("f4"), dq=flags), method=method)
    some = lit(spectra)
    estimated = dq.has_flag(spectra.dq, "FLUX_ESTIMATED").values[:, some]
    usable = ~dq.has_flag(spectra.dq, *dq.UNUSABLE_RATE).values[:, some]
    assert 0.1 < estimated.mean() < 0.35
    assert usable.mean() > 0.95
    star = np.nanmean(spectra.flux[~rates.in_transit], axis=0)
    relative = spectra.flux.values / truth.flux.values / star
    pull = ((relative - 1) * spectra.flux.values / spectra.flux_error.values)[:, some]
    lost = pull[estimated & usable]
    # the profile's error, a fifth of one integration's, enters what is estimated
    assert abs(lost.mean()) < 0.05
    assert abs(lost.std() - 1) < 0.04
    if method == "optimal":  # a box is better off without a pixel that holds only noise
        worse = spectra.flux_error.values > clean.flux_error.values
        assert worse[:, some][estimated].mean() > 0.99
    assert 0.001 < float(spectra.extract_estimated.mean()) < 0.05


@pytest.mark.parametrize("along_space", [False, True])
def test_level_errors_are_in_the_errors(along_space):
    rates, truth = exposure(n=300)
    rng = np.random.default_rng(1)
    dim = rates.attrs["spatial_dim" if along_space else "dispersion_dim"]
    sigma = 40.0
    noise = rng.normal(0, sigma, (rates.sizes["time"], rates.sizes[dim]))
    noisy = (rates.rate + xr.DataArray(noise, dims=("time", dim))).astype("f4")
    level = xr.DataArray(np.full(rates.sizes[dim], sigma**2, "f4"), dims=dim)
    rates = rates.assign(rate=noisy.transpose(*rates.rate.dims), level_variance=level)
    for method in ("optimal", "box"):
        spectra = extract(rates, method=method)
        some = lit(spectra)
        relative = (
            spectra.flux / spectra.flux.where(~spectra.in_transit).mean("time") / truth.flux.values
        )
        pull = ((relative - 1) * spectra.flux / spectra.flux_error).values[:, some]
        # with levels along space all wavelengths of an integration move together: there are
        # 300 independent samples, not 300 times 200
        n = pull.shape[0] if along_space else pull.size
        assert abs(pull.std() - 1) < 0.01 + 4 / np.sqrt(2 * n)
        assert ("level_error" in spectra) == along_space
        if along_space:  # and so does the white light
            white = spectra.tso.white_light()
            assert abs(float(white.white_light_scatter[0]) - 1) < 0.2
            shared = np.sqrt((spectra.level_error**2).sum("level_mode"))
            part = (shared / spectra.flux_error.median("time")).values[some]
            assert 0.3 < np.median(part) < 1


def test_linear_and_blind_to_other_integrations():
    rates, _ = exposure(n=80)
    sampled = tsoxr.lazy.sample_indices(80, 48)
    free = np.setdiff1d(np.arange(80), sampled)[[3, 9]]
    changed = rates.rate.copy()
    changed[free[0]] = 3 * changed[free[0]] - changed[free[1]]
    base, moved = extract(rates), extract(rates.assign(rate=changed))
    expected = 3 * base.flux.values[free[0]] - base.flux.values[free[1]]
    np.testing.assert_allclose(moved.flux.values[free[0]], expected, rtol=1e-5, atol=0.05)
    rest = np.setdiff1d(np.arange(80), free[:1])
    np.testing.assert_array_equal(moved.flux.values[rest], base.flux.values[rest])


def test_gain_makes_electrons():
    rates, _ = exposure(n=4)
    note = lambda ds: " ".join(records(ds.attrs)[-1].get("notes", []))  # noqa: E731
    own = extract(rates)
    assert own.flux.attrs["units"] == "electron s-1"
    bare = rates.drop_vars("gain")
    typical = extract(bare)
    assert "typical 1.42" in note(typical)
    np.testing.assert_allclose(typical.flux, own.flux, rtol=0.02, atol=5)
    scaled = extract(bare.assign_attrs(gain_scaled=1, gain_factor=1.42))
    np.testing.assert_allclose(scaled.flux * 1.42, typical.flux, rtol=1e-5)
    unknown = extract(bare.assign_attrs(detector="X"))
    assert unknown.flux.attrs["units"] == unknown.flux_error.attrs["units"] == "DN s-1"
    np.testing.assert_allclose(unknown.flux * 1.42, typical.flux, rtol=1e-5)
    one = extract(
        rates.assign(gain=xr.DataArray(np.float32(1.42), attrs={"units": "electron DN-1"}))
    )
    np.testing.assert_allclose(one.flux, typical.flux, rtol=1e-6)
    calibrated = rates.assign(rate=rates.rate.assign_attrs(units="MJy"))
    assert extract(calibrated).flux.attrs["units"] == "MJy"
    assert "no gain applied" in note(extract(calibrated))


def test_pixels_without_gain_are_left_out():
    rates, _ = exposure(n=30)
    holes = rates.gain.copy()
    holes[15, 200] = np.nan
    for method in ("box", "optimal"):
        spectra = extract(rates.assign(gain=holes), method=method)
        whole = extract(rates, method=method)
        column = int(np.flatnonzero(spectra.dispersion_pixel.values == 200)[0])
        ratio = spectra.flux.values[:, column].mean() / whole.flux.values[:, column].mean()
        assert abs(ratio - 1) < 0.02
        assert np.isfinite(spectra.flux).all()


def test_dead_columns_are_nan_never_zero():
    rates, _ = exposure(n=6)
    dead = rates.assign(rate=rates.rate.where(rates.x != 250))
    spectra = extract(dead)
    column = spectra.dispersion_pixel.values == 250
    assert np.isnan(spectra.flux.values[:, column]).all()
    assert np.isnan(spectra.flux_error.values[:, column]).all()
    assert dq.has_flag(spectra.dq, "DO_NOT_USE").values[:, column].all()
    assert np.isfinite(spectra.flux.values[:, ~column]).all()


def test_informative_flags_pass():
    rates, _ = exposure(n=4)
    flags = rates.dq.copy()
    flags[2, 15, 100] |= dq.FLAGS["JUMP_DET"]
    flags[2, 0, 101] |= dq.FLAGS["SATURATED"]
    spectra = extract(rates.assign(dq=flags))
    found = dq.has_flag(spectra.dq, "JUMP_DET", "SATURATED")
    assert int(found.sum()) == 1
    assert found.values[2, spectra.dispersion_pixel.values == 100].all()


def test_tilted_wavelengths_are_taken_at_the_trace():
    rates, _ = exposure(n=4)
    tilted = assign_wavelength(rates, lambda x, y: 0.6 + 0.009 * x + 0.02 * y)
    spectra = extract(tilted)
    expected = 0.6 + 0.009 * rates.x + 0.02 * rates.trace_center
    np.testing.assert_allclose(spectra.wavelength, expected.values, rtol=1e-12)
    holes = assign_wavelength(rates, lambda x, y: np.where(x > 100, 0.6 + 0.009 * x, np.nan))
    assert extract(holes).sizes["wavelength"] == 411
    flipped = assign_wavelength(rates, lambda x, y: 5.5 - 0.009 * x)
    np.testing.assert_array_equal(extract(flipped).dispersion_pixel, np.arange(512)[::-1])


def test_lazy_equals_eager_and_reads_nothing_early():
    rates, _ = exposure(n=50)
    rates = rates.drop_vars("trace_center").tso.find_trace()
    eager = extract(rates)
    chunked = rates.chunk(time=13)
    with testing.raise_if_computes():
        lazy = extract(chunked)
    xr.testing.assert_identical(lazy.compute(), eager)


def test_it_copies_no_cube():
    rates, _ = exposure(n=400)
    extract(rates.isel(time=slice(0, 60)))  # compile
    tracemalloc.start()
    extract(rates)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # three cubes come in; the sample of 48 of 400 integrations is copied, images and
    # spectra are made: together less than one of the cubes
    assert peak < 0.9 * rates.rate.nbytes


def test_the_aperture_when_nothing_is_said():
    rates, _ = exposure(n=10)
    unknown = rates.assign_attrs(tso_mode="elsewhere")
    assert float(extract(unknown).aperture_half_width) == 4.0
    known = unknown.assign(find_trace_fwhm=("x", np.full(512, 1.6, "f4")))
    spectra = extract(known)
    assert float(spectra.aperture_half_width) == pytest.approx(3.2)
    assert "half_width" in records(spectra.attrs)[-1]["derived"]
    np.testing.assert_allclose(spectra.n_pixels, 6.4, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "magic"}, "method='magic'; it must be one of"),
        ({"half_width": 0}, "half_width=0; it must be above 0"),
        ({"profile_window": 1}, "profile_window=1; it must be at least 3"),
        ({"min_fraction": 2}, "min_fraction=2; it must lie between 0 and 1"),
    ],
)
def test_bad_parameters(given, message):
    rates, _ = exposure(n=2)
    with pytest.raises(ValueError, match=message):
        extract(rates, **given)


def test_bad_data():
    rates, _ = exposure(n=2)
    away = rates.assign_coords(trace_center=rates.trace_center + 100)
    with pytest.raises(TsoError, match=r"the trace lies outside the frame, between 11\d"):
        extract(away)
    with pytest.raises(TsoError, match="no pixel of the trace has a wavelength"):
        extract(rates.assign_coords(wavelength=rates.wavelength * np.nan))
    second = rates.assign_coords(trace_center=rates.trace_center.assign_attrs(spectral_order=2))
    with pytest.raises(
        SchemaError, match=r"'trace_center' is of order 2, order 1 .*spectral_order=1"
    ):
        extract(second, order=1)
    with pytest.raises(
        SchemaError, match=r"extract\(\) needs 'trace_center' \(run .tso.find_trace"
    ):
        extract(rates.drop_vars("trace_center"))


@pytest.mark.parametrize("method", ["box", "optimal"])
def test_replaced_values_serve_on_request(method):
    """A pixel of the flank is lost at all times, and light moves across it."""
    rates, _ = exposure(n=40, noise=())
    shift = 0.02 * np.sin(np.arange(40.0))[:, None, None]  # a fiftieth of a pixel
    moved = rates.rate.values - shift * np.gradient(rates.rate.values, axis=1)
    rates = rates.assign(rate=rates.rate.copy(data=moved.astype("f4")))
    column = 300
    lost = np.zeros(moved.shape[1:], bool)
    lost[round(float(rates.trace_center[column])) + 1, column] = True
    flags = dq.set_flag(rates.dq, xr.DataArray(lost, dims=("y", "x")), "DO_NOT_USE")
    spoilt = rates.assign(rate=rates.rate.where(~lost), dq=flags).tso.replace_bad_pixels()

    def of_column(ds, **given):
        spectra = extract(ds, method=method, half_width=4.0, **given)
        return spectra.isel(
            wavelength=int(np.argmin(abs(spectra.dispersion_pixel.values - column)))
        )

    whole, without = of_column(rates), of_column(spoilt)
    with_it = of_column(spoilt, use_replaced=True)
    error = {}
    for name, spectrum in (("left out", without), ("replaced", with_it)):
        ratio = spectrum.flux.values / whole.flux.values
        error[name] = np.std(ratio / ratio.mean())
    # a pixel of the flank has some 15 % of the light of its column
    assert 0.05 < float(with_it.extract_estimated_share) < 0.4
    assert dq.has_flag(with_it.dq, "FLUX_ESTIMATED").all()
    # the pixels beside it move alike, those that stand in for it when it is left out do not
    assert error["replaced"] < 0.5 * error["left out"]


def test_replaced_values_are_asked_for_in_vain(made):
    out = made[0].tso.extract(use_replaced=True)
    assert any("no value was replaced" in text for text in out.tso.history[-1]["notes"])


def test_plot():
    rates, _ = exposure("miri-lrs", n=4)
    spectra = extract(rates)
    ax = spectra.tso.plot.extract()
    assert ax.get_ylabel() == "x [pix]"
    with pytest.raises(TsoError, match="not in these spectra"):
        spectra.drop_vars("extract_profile").tso.plot.extract()
