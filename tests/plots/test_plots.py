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
