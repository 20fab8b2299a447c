"""Light curves of bins: which pixels, which times, which errors, and what was put in."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, testing
from tsoxr.errors import SchemaError
from tsoxr.history import records
from tsoxr.kernels.grids import pixel_limits
from tsoxr.steps import bin as bin_step
from tsoxr.steps import white_light


@pytest.fixture(scope="module")
def made():
    exposure = tsoxr.simulation.exposure(
        "nirspec-prism", n_integrations=400, seed=5, noise=("photon", "read")
    )
    return exposure.spectra(), exposure.truth(stripes=False)


def by_hand(wavelength, flux, error=1.0, **coords):
    flux = np.asarray(flux, np.float32)
    n_time = flux.shape[0]
    return xr.Dataset(
        {
            "flux": (("time", "wavelength"), flux, {"units": "electron s-1"}),
            "flux_error": (
                ("time", "wavelength"),
                np.full_like(flux, error),
                {"units": "electron s-1"},
            ),
            "dq": (("time", "wavelength"), np.zeros(flux.shape, np.uint32), dq.flag_attrs()),
        },
        coords={"time": 60000 + np.arange(n_time) / 1e3, "wavelength": wavelength, **coords},
        attrs={"tso_kind": "spectra", "tso_mode": "nirspec-prism"},
    )


def notes(ds):
    return " ".join(records(ds.attrs)[-1].get("notes", []))


def test_plain_sums_by_hand():
    flux = np.array([[1.0, 2, 3, 4], [2, 4, 6, 8], [1, 2, 3, 4]])
    ds = by_hand([1.0, 2.0, 3.0, 4.0], flux)
    curves = bin_step(ds, edges=[0.5, 2.5, 4.5], normalize=False)
    np.testing.assert_allclose(curves.flux, [[3, 7], [6, 14], [3, 7]])
    np.testing.assert_allclose(curves.flux_error, np.sqrt(2) * np.ones((3, 2)))
    assert curves.flux.attrs["units"] == "electron s-1"
    relative = bin_step(ds, edges=[0.5, 2.5, 4.5])
    np.testing.assert_allclose(relative.flux, [[1, 1], [2, 2], [1, 1]])
    np.testing.assert_allclose(relative.flux_error[0], np.sqrt(2) / np.array([3, 7]))
    assert relative.flux.attrs["units"] == "1"
    assert relative.flux.dtype == np.float64
    np.testing.assert_array_equal(relative.wavelength, [1.5, 3.5])
    np.testing.assert_array_equal(relative.wavelength_bounds, [[0.5, 2.5], [2.5, 4.5]])
    assert relative.wavelength.attrs["bounds"] == "wavelength_bounds"


def test_read_offset_is_weighted_with_the_light():
    ds = by_hand(
        [1.0, 2, 3, 4], np.tile([1.0, 3, 2, 2], (4, 1)), read_offset=("wavelength", [0.0, 1, 2, 3])
    )
    curves = bin_step(ds, n_pixels=2)
    np.testing.assert_allclose(curves.read_offset, [0.75, 2.5])
    assert curves.read_offset.dtype == np.float32


def test_grids_of_each_kind(made):
    spectra, _ = made
    width = bin_step(spectra, width=0.25)
    np.testing.assert_allclose(width.wavelength_bounds.values[:, 0] / 0.25 % 1, 0, atol=1e-9)
    resolution = bin_step(spectra, resolution=30)
    spread = np.diff(resolution.wavelength_bounds.values, axis=1)[:, 0]
    np.testing.assert_allclose(resolution.wavelength / spread, 30)
    pixels = bin_step(spectra, n_pixels=10)
    assert pixels.sizes["wavelength"] == spectra.sizes["wavelength"] // 10
    for curves in (width, resolution, pixels):
        lower, upper = pixel_limits(spectra.wavelength.values)
        assert curves.wavelength_bounds.min() >= lower[0]
        assert curves.wavelength_bounds.max() <= upper[-1]
        assert (np.diff(curves.wavelength) > 0).all()


def test_the_default_is_resolution_100_with_two_pixels_at_least(made):
    spectra, _ = made
    curves = bin_step(spectra)
    record = records(curves.attrs)[-1]
    assert record["params"]["resolution"] == 100
    assert "resolution" in record["derived"]
    lower, upper = pixel_limits(spectra.wavelength.values)
    edge = np.append(lower, upper[-1])
    held = np.diff(np.interp(curves.wavelength_bounds, edge, np.arange(edge.size)), axis=1)
    assert held.min() >= 2 - 1e-6
    fine = curves.wavelength > 3.5
    spread = np.diff(curves.wavelength_bounds.values, axis=1)[:, 0]
    np.testing.assert_allclose((curves.wavelength / spread)[fine], 100)
    assert "joined there" in notes(curves)
    few = spectra.isel(wavelength=[200])
    assert bin_step(few).sizes["wavelength"] == 1


def test_gaps_between_detectors_hold_no_bins():
    wavelength = np.concatenate([np.arange(2.8, 3.7, 0.001), np.arange(3.83, 5.1, 0.001)])
    ds = by_hand(wavelength, np.ones((5, wavelength.size)))
    curves = bin_step(ds, width=0.05)
    inside = (curves.wavelength > 3.7) & (curves.wavelength < 3.83)
    assert not inside.any()
    assert curves.sizes["wavelength"] > 35


def test_flux_is_conserved(made):
    spectra, _ = made
    lower, upper = pixel_limits(spectra.wavelength.values)
    edges = np.sort(np.random.default_rng(0).uniform(lower[0], upper[-1], 30))
    edges = np.concatenate([[lower[0]], edges, [upper[-1]]])
    curves = bin_step(spectra, edges=edges, normalize=False)
    usable = spectra.flux.where(spectra.flux[~spectra.in_transit].median("time") > 0)
    # float32 sums of 480 numbers on the one side, float64 on the other
    np.testing.assert_allclose(
        curves.flux.sum("wavelength"), usable.astype(float).sum("wavelength"), rtol=1e-6
    )


def test_errors_are_the_scatter_and_the_transit_is_kept(made):
    spectra, truth = made
    curves = bin_step(spectra, resolution=20)
    members = [
        (truth.wavelength > a) & (truth.wavelength < b) for a, b in curves.wavelength_bounds.values
    ]
    star = truth.stellar_spectrum
    for b, inside in enumerate(members):
        model = (truth.flux * star)[:, inside].sum("wavelength") / star[inside].sum()
        if star[inside].max() < 0.1 * star.max():
            continue
        pull = (curves.flux.values[:, b] - model.values) / curves.flux_error.values[:, b]
        # 400 integrations: the rms pull is good to 3.5%, the mean to 5% of sigma; the median
        # of the baseline adds 1.25 / sqrt(250) = 8% to the mean. Pixels cut by an edge
        # count whole or not at all in this model: less than a part in a thousand of sigma
        assert abs(pull.std() - 1) < 0.14
        assert abs(pull.mean()) < 0.4
        assert abs(curves.bin_scatter.values[b] - 1) < 0.3


def test_baseline_is_out_of_transit():
    flux = np.ones((10, 3)) * [5.0, 6, 7]
    flux[:7] *= 0.98
    marked = by_hand([1.0, 2, 3], flux, in_transit=("time", np.arange(10) < 7))
    np.testing.assert_allclose(
        white_light(marked).flux[:, 0], np.where(np.arange(10) < 7, 0.98, 1), rtol=1e-6
    )
    blind = marked.drop_vars("in_transit")
    np.testing.assert_allclose(
        white_light(blind).flux[:, 0], np.where(np.arange(10) < 7, 1, 1 / 0.98), rtol=1e-6
    )
    all_in = marked.assign_coords(in_transit=("time", np.ones(10, bool)))
    np.testing.assert_allclose(white_light(all_in).flux, white_light(blind).flux)


def test_losses_make_no_dip(made):
    spectra, _ = made
    rng = np.random.default_rng(7)
    hit = xr.DataArray(rng.random(spectra.flux.shape) < 0.02, dims=spectra.flux.dims)
    broken = spectra.assign(
        flux=spectra.flux.where(~hit, 0).where(spectra.time != spectra.time[33]),
        dq=dq.set_flag(spectra.dq, hit, "OUTLIER"),
    )
    whole, curve = white_light(spectra), white_light(broken)
    usable = ~dq.has_flag(curve.dq, "DO_NOT_USE").values[:, 0]
    assert list(np.flatnonzero(~usable)) == [33]
    assert np.isnan(curve.flux.values[33, 0])
    assert dq.has_flag(curve.dq, "FLUX_ESTIMATED").values[usable].all()
    difference = (curve.flux - whole.flux).values[usable, 0]
    # 2% of the light left out: the noise of the difference is sqrt(0.02) of the error, and
    # what the transit's colour adds is smaller
    assert np.abs(difference.mean()) < 0.05 * float(whole.flux_error.mean())
    assert difference.std() < 0.25 * float(whole.flux_error.mean())


def test_errors_in_common_add_up():
    rng = np.random.default_rng(0)
    n, m = 500, 40
    own, shared = 3.0, 2.0
    # two outputs, each with an error of its own for its half of the wavelengths
    levels = shared * np.repeat(np.eye(2), m // 2, axis=0)
    flux = 100 + rng.normal(0, own, (n, m)) + rng.standard_normal((n, 2)) @ levels.T
    ds = by_hand(np.linspace(1, 2, m), flux, error=np.hypot(own, shared))
    dims = ("wavelength", "level_mode")
    ds["level_error"] = (dims, levels.astype(np.float32), {"units": "electron s-1"})
    curve = white_light(ds)
    expected = np.hypot(own * np.sqrt(m), np.sqrt(2) * shared * m / 2) / (100 * m)
    np.testing.assert_allclose(curve.flux_error.mean(), expected, rtol=0.01)
    # the scatter of 500 points is good to 3.2%
    assert abs(float(curve.flux.std()) / expected - 1) < 0.13


def test_covariates_ride_along(made):
    spectra, _ = made
    for curves in (bin_step(spectra), white_light(spectra)):
        for name in ("integration", "segment", "trace_shift", "jitter_x", "in_transit", "order"):
            xr.testing.assert_identical(curves[name].variable, spectra[name].variable)
        assert curves.attrs["tso_kind"] == "lightcurves"
        assert "dispersion_pixel" not in curves.coords


def test_white_light_of_a_range(made):
    spectra, truth = made
    curve = white_light(spectra, wavelength=(2.9, 3.7))
    assert curve.flux.shape == (400, 1)
    np.testing.assert_allclose(curve.wavelength_bounds, [[2.9, 3.7]])
    whole = white_light(spectra)
    assert records(whole.attrs)[-1]["derived"] == ["wavelength"]
    pull = (whole.flux[:, 0] - truth.white_flux) / whole.flux_error[:, 0]
    assert abs(float(pull.std()) - 1) < 0.15
    ppm = 1e6 * float(whole.flux_error.median())
    assert abs(ppm / float(truth.white_flux_error) - 1) < 0.03


def test_lazy_equals_eager(made):
    spectra, _ = made
    for step in (bin_step, white_light):
        with testing.raise_if_computes():
            lazy = step(spectra.chunk(time=90))
        xr.testing.assert_identical(lazy.compute(), step(spectra))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": 0.1, "resolution": 50}, "width and resolution are given; give one of"),
        ({"width": -1}, "width=-1; it must be above 0"),
        ({"resolution": np.nan}, "resolution=nan; it must be above 0"),
        ({"n_pixels": 2.5}, "whole number"),
        ({"n_pixels": 9999}, "no bin of n_pixels=9999 fits into"),
        ({"width": 50.0}, "no bin of width=50 fits into"),
        ({"edges": [3.0, 2.0]}, r"edges of shape \(1, 2\) are no bins"),
        ({"edges": [3.0]}, r"edges of shape \(1,\) are no bins"),
        ({"edges": [7.0, 8.0, 9.0]}, "no pixel lies between 7 and 8 um"),
    ],
)
def test_bad_bins(made, given, message):
    with pytest.raises(ValueError, match=message):
        bin_step(made[0], **given)


@pytest.mark.parametrize("wavelength", [(3.0, 2.0), (7.0, 8.0)])
def test_bad_ranges(made, wavelength):
    with pytest.raises(ValueError, match="give lower and upper limit inside"):
        white_light(made[0], wavelength=wavelength)


def test_narrow_and_overhanging_bins_are_noted(made):
    spectra, _ = made
    assert "narrower than a pixel" in notes(bin_step(spectra, edges=[1.2, 1.205, 1.21]))
    assert "reach beyond" in notes(bin_step(spectra, edges=[5.0, 6.5]))
    pairs = bin_step(spectra, edges=[[3.0, 3.5], [1.0, 2.0]])
    np.testing.assert_allclose(pairs.wavelength, [1.5, 3.25])


def test_wavelengths_must_increase(made):
    turned = made[0].isel(wavelength=slice(None, None, -1))
    with pytest.raises(SchemaError, match="do not increase strictly"):
        bin_step(turned)


def test_plots(made):
    spectra, _ = made
    assert bin_step(spectra).tso.plot.bin().get_xlabel() == "wavelength [um]"
    assert white_light(spectra).tso.plot.white_light().get_ylabel() == "relative flux"
    raw = white_light(spectra, normalize=False)
    assert "electron" in raw.tso.plot.white_light().get_ylabel()
