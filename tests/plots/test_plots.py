"""The pictures: drawn on given axes, labelled with units, from numbers that are right."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

import tsoxr
from tsoxr import registry, testing
from tsoxr.plots import series, style

registry.discover()


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
@pytest.mark.parametrize("name", sorted(registry.PICTURES))
def test_each_picture_draws_each_kind_it_takes(name, mode):
    for kind in registry.PICTURES[name].kinds:
        ds = testing.example("lightcurves" if kind == "spectrum" else kind, mode)
        ds = ds.tso.spectrum() if kind == "spectrum" else ds
        _, ax = plt.subplots()
        assert getattr(ds.tso.plot, name)(ax=ax) is ax
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        ax.figure.canvas.draw()
        plt.close("all")


def test_public_plots_are_functions():
    for name in tsoxr.plots.__all__:
        assert getattr(tsoxr.plots, name) is registry.PICTURES[name].func
    with pytest.raises(AttributeError, match="has no plot 'ghost'"):
        _ = tsoxr.plots.ghost


def test_frame_of_ramps_is_last_minus_first():
    ramps = testing.example("ramps")
    ax = ramps.tso.plot.frame(integration=3)
    one = ramps.ramp.isel(time=3).astype("f4")
    np.testing.assert_array_equal(ax.images[0].get_array(), one[-1] - one[0])
    assert "DN" in ax.images[0].colorbar.ax.get_ylabel()


def test_ramp_shows_the_brightest_pixel_and_its_flags():
    ramps = testing.example("ramps")
    one = ramps.ramp.isel(time=0).astype("f4")
    y, x = np.unravel_index(np.argmax((one[-1] - one[0]).values), one.shape[1:])
    flagged = ramps.assign(dq_group=ramps.dq_group.copy())
    flagged.dq_group.values[0, 2, y, x] = 4
    ax = flagged.tso.plot.ramp()
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), one[:, y, x])
    np.testing.assert_allclose(ax.lines[1].get_xdata(), flagged.group_time.values[[2]])


def test_relative_light_curves_are_not_normalised_again():
    curves = testing.example("lightcurves").isel(wavelength=[3])
    ax = curves.tso.plot.light_curve()
    np.testing.assert_allclose(ax.lines[0].get_ydata(), curves.flux[:, 0])
    assert "ppm" in ax.get_title()


def test_noisy_channels_are_left_out():
    curves = testing.example("lightcurves")
    noisy = curves.assign(flux_error=curves.flux_error * 1.0)
    noisy.flux_error.values[:, 5] *= 100
    assert 5 not in series._channels(noisy, 16)
    assert len(series._channels(noisy, 4)) == 4


def test_limits_of_a_spectrum_ignore_useless_points():
    found = testing.example("lightcurves").tso.spectrum()
    wide = found.copy(deep=True)
    wide.depth[0], wide.depth_error[0] = 1e6, 1e6
    low, high = series._depth_limits(wide)
    assert high < 1e5
    assert low > -1e5


def test_in_transit_is_shaded():
    curves = testing.example("lightcurves")
    _, ax = plt.subplots()
    style.shade_transit(ax, curves)
    assert len(ax.patches) == int(bool(curves.in_transit.any()))


def test_limits_and_labels():
    assert style.robust_limits(np.full(5, np.nan)) == (0.0, 1.0)
    assert style.robust_limits(np.ones(5)) == (0.5, 1.5)
    assert style.label_of(testing.example("rates").rate) == "count rate [DN s-1]"


def test_flag_map_shows_single_flags():
    image = testing.example("rates").rate.isel(time=0) * 0
    image[4, 100] = 1
    _, ax = plt.subplots()
    shown = style.flag_map(ax, image, label="flags")
    assert shown.get_array().max() > 0
    np.testing.assert_allclose(float(np.nansum(style.density(image, n_cells=512))), 1.0)


def test_colours_of_residuals_and_ratios_are_symmetrical():
    values = np.linspace(0.9, 1.6, 50).reshape(5, 10)
    for center in (0.0, 1.0):
        _, ax = plt.subplots()
        shown = style.image(ax, values, extent=(0, 1, 0, 1), label="a", signed=True, center=center)
        low, high = shown.get_clim()
        assert (low + high) / 2 == pytest.approx(center)
        assert high >= 1.59


def test_faint_light_is_lifted():
    _, ax = plt.subplots()
    shown = style.image(ax, np.arange(101.0)[None], extent=(0, 1, 0, 1), label="a", faint=True)
    assert shown.norm(25.0) == pytest.approx(0.5, abs=0.01)
    assert style.image(ax, -np.ones((2, 2)), extent=(0, 1, 0, 1), label="a", faint=True) is not None


def test_frame_says_which_integration_it_is():
    rates = testing.example("rates")
    number = int(rates["integration"][2])
    assert rates.tso.plot.frame(integration=2).get_title() == (
        f"integration=2: number {number} of the exposure"
    )
    last = rates.tso.plot.frame(integration=-1).get_title()
    assert last.startswith(f"integration={rates.sizes['time'] - 1}:")
    bare = rates.drop_vars("integration").tso.plot.frame(integration=2)
    assert bare.get_title() == "integration=2"


def test_maps_of_a_cut_lie_at_the_pixels_of_the_detector():
    rates = testing.example("rates").isel(x=slice(40, 90))
    assert style.edges(rates) == (39.5, 89.5, -0.5, rates.sizes["y"] - 0.5)
    flagged = rates.tso.flag_outliers().tso.flag_bad_pixels().tso.replace_bad_pixels()
    for name in ("flag_outliers", "flag_bad_pixels", "replace_bad_pixels"):
        figure = getattr(flagged.tso.plot, name)().figure
        maps = [ax for ax in figure.axes if ax.get_xlabel() == "x [pix]"]
        for ax in maps:
            low, high = ax.get_xlim()
            assert low >= 39.5, name
            assert high <= 90, name


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_picture_of_the_trace_shows_what_is_left(mode):
    ds = testing.example("rates", mode).tso.find_trace()
    figure = ds.tso.plot.find_trace().figure
    beside = next(ax for ax in figure.axes if "scatter" in ax.get_title())
    along = ds[ds.attrs["dispersion_dim"]]
    first, last = ds["find_trace_range"].values
    left = (ds["find_trace_centroid"] - ds["trace_center"]).where(
        (along >= first) & (along <= last)
    )
    drawn = beside.lines[0].get_data()[1 if mode == "nirspec-prism" else 0]
    np.testing.assert_allclose(drawn, left, atol=1e-6)
    scatter = 1.4826 * float(np.nanmedian(np.abs(left)))
    assert beside.get_title().startswith(f"scatter {scatter:.3f} pix")


def test_picture_of_outliers_has_the_share_of_noise():
    ds = testing.example("rates").tso.flag_outliers(sigma=3.0)
    labels = [t.get_text() for t in ds.tso.plot.flag_outliers().get_legend().get_texts()]
    assert f"noise alone: at most {1e6 * 0.0026998:.0f}" in labels


def test_picture_of_lines_says_when_nothing_was_moved():
    ds = testing.example("rates").tso.assign_wavelength().tso.refine_wavelength()
    title = ds.tso.plot.refine_wavelength().get_title()
    moved = float(ds["refine_wavelength_significance"]) >= 5
    assert ("left as they are" in title) is not moved
