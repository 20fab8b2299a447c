"""Light curves of images: injected light, errors, masks, motion, and what is refused."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, simulation, testing

QUIET = ("photon", "read", "background", "jitter")
N = 60


@pytest.fixture(scope="module")
def exposure():
    return simulation.exposure(
        "nircam-imaging", subarray="SUB64P", n_integrations=N, seed=3, noise=QUIET
    )


@pytest.fixture(scope="module")
def truth(exposure):
    return exposure.truth(stripes=False)


@pytest.fixture(scope="module")
def rates(exposure):
    return exposure.rates().tso.track()


@pytest.fixture(scope="module")
def exact(rates, truth):
    """Return rates without noise: the star follows its light curve, the sky does not."""
    light = truth["white_flux"].drop_attrs()
    still = truth["rate"] - truth["background"]
    rate = (truth["background"] + still * light).transpose("time", "y", "x").astype("f4")
    return rates.assign(rate=rates["rate"].copy(data=rate.values))


def relative(curve, truth):
    light = truth["white_flux"].values
    ratio = curve["flux"].values[:, 0] / light
    return ratio / np.nanmedian(ratio)


def flagged(ds, integration, y, x, name="DO_NOT_USE"):
    flags = ds["dq"].copy(deep=True)
    flags.values[integration, y, x] |= dq.bits(name)
    return ds.assign(dq=flags)


@pytest.mark.parametrize("given", [{}, {"method": "optimal"}, {"background": "median"}])
def test_scatter_is_the_error_and_near_the_limit(rates, truth, given):
    curve = rates.tso.photometry(**given)
    scatter = relative(curve, truth).std(ddof=1)
    # 60 points: 9 %
    assert scatter / float(curve["flux_error"].median()) == pytest.approx(1.0, abs=0.28)
    assert 1e6 * float(curve["flux_error"].median()) < 1.05 * float(truth["white_flux_error"])
    # a median of 58 squares, neighbours among them correlated: 20 %
    assert float(curve["photometry_scatter"]) == pytest.approx(1.0, abs=0.6)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"method": "optimal"},
        {"background": "median"},
        {"shape": "hexagon", "radius": 9.0, "rotation": 30.0},
        {"annulus": (12.0, 20.0), "radius": 4.0},
    ],
)
def test_the_light_curve_is_exact_without_noise(exact, truth, given):
    curve = exact.tso.photometry(**given)
    # single precision of a few hundred pixels; the median of the wings in the ring is not linear
    worst = 1e-5 if "background" in given else 2e-6
    assert np.abs(relative(curve, truth) - 1.0).max() < worst
    assert tsoxr.schema.validate(curve) == []


def test_sky_that_is_not_subtracted_dilutes(exact, truth):
    bright = exact.assign(rate=exact["rate"] + np.float32(500.0))
    curve = bright.tso.photometry(background="none", radius=10.0)
    off = relative(curve, truth) - 1.0
    assert off[truth["white_flux"].values < 0.995].mean() > 1e-4
    held = bright.tso.photometry(background="constant", radius=10.0)
    # the wings in the ring, 0.3 % of the light in the aperture, are held constant too
    assert np.abs(relative(held, truth) - 1.0).max() < 1e-2 * 4e-3


@pytest.mark.parametrize("given", [{}, {"method": "optimal"}, {"follow": True}])
def test_missing_pixels_make_no_dip(exact, truth, given):
    rng = np.random.default_rng(1)
    lost = rng.random(exact["rate"].shape) < 0.02
    lost[10, 27:30, 28] = True  # beside the peak
    flags = exact["dq"].copy(data=exact["dq"].values | np.where(lost, 1, 0).astype("u4"))
    still = xr.zeros_like(exact["trace_shift"])
    ds = exact.assign_coords(trace_shift=still, trace_shift_dispersion=still)
    curve = ds.assign(dq=flags).tso.photometry(**given)
    assert np.abs(relative(curve, truth) - 1.0).max() < 5e-6
    assert float(curve["photometry_estimated"][10]) > 0.02
    estimated = dq.has_flag(curve["dq"][10, 0], "FLUX_ESTIMATED")
    assert bool(estimated)
    assert not dq.has_flag(curve["dq"], "DO_NOT_USE").any()


def test_missing_pixels_are_estimated_from_the_star_and_not_from_the_transit():
    # where a pixel's noise is far below the depth, a plain median is that of one state
    changes, errors = [], []
    for seed in range(4):
        made = simulation.exposure(
            "nircam-imaging", subarray="SUB64P", n_integrations=80, seed=seed, noise=QUIET,
            radius_ratio=0.25,
        )  # fmt: skip
        ds = made.rates().tso.track()
        holes = flagged(ds, slice(None, None, 4), 29, slice(28, 30))
        whole, part = ds.tso.photometry(), holes.tso.photometry()
        change = (part["flux"] / whole["flux"]).values[::4, 0] - 1.0
        changes.append(change.mean())
        # the pixels have a quarter of the light and are known to 0.12 % from 32 integrations
        errors.append(np.hypot(change.std() / np.sqrt(change.size), 0.25 * 1.2e-3))
    assert abs(np.mean(changes)) < 3 * np.sqrt(np.mean(np.square(errors))) / 2
    assert np.sqrt(np.mean(np.square(errors))) < 8e-4


def test_a_pixel_that_is_never_usable_changes_nothing_in_time(exact, truth):
    curve = flagged(exact, slice(None), 29, 29).tso.photometry(method="aperture")
    assert np.abs(relative(curve, truth) - 1.0).max() < 2e-6
    assert 0.02 < float(curve["photometry_lost"]) < 0.3
    assert not dq.has_flag(curve["dq"], "FLUX_ESTIMATED").any()


def test_too_little_light_is_flagged_and_none_is_nan(rates):
    ds = flagged(rates, 5, slice(25, 33), slice(25, 33))
    ds = flagged(ds, 7, slice(None), slice(None), "OUTLIER")
    curve = ds.tso.photometry(radius=5.0)
    useless = dq.has_flag(curve["dq"], "DO_NOT_USE").values[:, 0]
    np.testing.assert_array_equal(np.flatnonzero(useless), [5, 7])
    assert np.isnan(curve["flux"].values[7, 0])
    assert float(curve["photometry_estimated"][7]) == 1.0
    assert not dq.has_flag(curve["dq"], "OUTLIER").any()


def test_errors_that_are_nan_take_pixels_out(rates):
    error = rates["rate_error"].copy(deep=True)
    error.values[4, 28:30, 28:30] = np.nan
    curve = rates.assign(rate_error=error).tso.photometry()
    assert np.isfinite(curve["flux"]).all()
    assert float(curve["photometry_estimated"][4]) > 0.05
    with pytest.raises(tsoxr.TsoError, match="photometry: no pixel of the frame is ever usable"):
        rates.assign(rate_error=rates["rate_error"] * np.nan).tso.photometry()


def test_an_aperture_that_follows_keeps_the_light_of_a_star_that_moves(exposure):
    tilt = simulation.Tilt(time=exposure.moment(0.5), across=0.3, along=-0.2)
    moving = exposure.replace(events=(tilt,))
    ds, light = moving.rates(), moving.truth(stripes=False)
    fixed, follows = (
        relative(ds.tso.photometry(radius=2.0, follow=f), light) for f in (False, True)
    )
    # the star leaves the steep edge of the circle by 0.36 pixels; pixels sample what is left
    step = [abs(np.log(c[N // 2 + 1 :].mean() / c[: N // 2].mean())) for c in (fixed, follows)]
    assert step[0] > 0.01
    assert step[1] < 0.3 * step[0]


def test_centroids_are_those_of_the_star(rates, truth):
    curve = rates.tso.photometry()
    for name, shift in (("centroid_y", "shift"), ("centroid_x", "shift_dispersion")):
        off = curve[name].values - truth[shift].values
        # 60 points: 9 %
        assert off.std(ddof=1) / float(curve[f"{name}_error"].median()) == pytest.approx(1, abs=0.3)
    share = truth["profile"]
    for dim in ("y", "x"):
        mean = float((share * share[dim]).sum())
        # the wings pull the mean of all light by a tenth of a pixel; the window leaves them out
        assert float(curve[f"aperture_{dim}"]) == pytest.approx(mean, abs=0.2)
    assert {"trace_fwhm", "psf_flux", "psf_flux_error", "background_level"} <= set(curve.coords)
    psf = curve["psf_flux"].values / truth["white_flux"].values
    assert psf.std() / psf.mean() == pytest.approx(
        float((curve["psf_flux_error"] / curve["psf_flux"]).median()), rel=0.3
    )


def test_motion_that_is_known_is_used(rates):
    assert "notes" not in rates.tso.photometry().tso.history[-1] or not any(
        "track" in n for n in rates.tso.photometry().tso.history[-1]["notes"]
    )
    other = rates.assign_coords(trace_shift=rates["trace_shift"] + np.float32(1.0))
    moved = other.tso.photometry()["centroid_y"] - rates.tso.photometry()["centroid_y"]
    np.testing.assert_allclose(moved, 1.0, atol=1e-5)
    bare = rates.drop_vars(["trace_shift", "trace_shift_dispersion", "track_amplitude"])
    none = bare.tso.photometry(centroid="none")
    assert "centroid_y" not in none.coords
    assert "psf_flux" not in none.coords


def test_places_are_detector_coordinates(rates):
    whole = rates.tso.photometry(radius=4.0, annulus=(15.0, 24.0))
    part = rates.isel(y=slice(3, None), x=slice(2, None))
    cut = part.tso.photometry(radius=4.0, annulus=(15.0, 24.0))
    for dim in ("y", "x"):
        assert float(cut[f"aperture_{dim}"]) == pytest.approx(
            float(whole[f"aperture_{dim}"]), abs=1e-3
        )
    given = part.tso.photometry(radius=4.0, center=(30.0, 28.0))
    assert (float(given["aperture_y"]), float(given["aperture_x"])) == (30.0, 28.0)


def test_axes_go_by_their_names(rates):
    turned = rates.transpose("time", "x", "y")
    xr.testing.assert_allclose(turned.tso.photometry(), rates.tso.photometry())


def test_flux_in_electrons_and_its_level(rates, truth):
    curve = rates.tso.photometry(normalize=False, radius=12.0)
    assert curve["flux"].attrs["units"] == "electron s-1"
    y, x, inner, outer = (
        float(curve[n]) for n in ("aperture_y", "aperture_x", "annulus_inner", "annulus_outer")
    )
    far = np.hypot(truth["y"] - y, truth["x"] - x)
    ring = (far >= inner) & (far <= outer)
    share = truth["profile"]
    held = share.where(far <= 12.0).sum() - np.pi * 144 * share.where(ring).mean()
    expected = float(truth["stellar_spectrum"].sum() * held)
    # pixels at the edge are counted whole here, and the flat field is left out
    assert float(curve["photometry_level"]) == pytest.approx(expected, rel=0.01)
    normal = rates.tso.photometry(radius=12.0)
    level = float(curve["photometry_level"])
    np.testing.assert_allclose(curve["flux"] / level, normal["flux"], rtol=1e-6)
    assert float(normal["wavelength"][0]) == pytest.approx(2.1)
    baseline = normal["flux"].values[~rates["in_transit"].values]
    assert np.median(baseline) == pytest.approx(1.0)


def test_the_time_of_a_curve_is_that_of_its_light(rates):
    curve = rates.tso.photometry()
    middle = float(rates["read_offset"][29, 29])
    # rows around the star are read within the width of the image, five rows
    row = abs(float(rates["read_offset"][30, 29]) - middle)
    assert float(curve["read_offset"][0]) == pytest.approx(middle, abs=5 * row)


def test_all_of_the_frame_through_the_weak_lens():
    made = simulation.exposure(
        "nircam-imaging", subarray="SUB64P", pupil="WLP8", n_integrations=N, seed=3, noise=QUIET
    )
    light, ds = made.truth(stripes=False), made.rates().tso.track()
    frame, circle = ds.tso.photometry(), ds.tso.photometry(shape="circle")
    xr.testing.assert_equal(frame, ds.tso.photometry(shape="frame", centroid="decomposition"))
    for curve, worst in ((frame, 1.03), (circle, 1.15)):
        scatter = relative(curve, light).std(ddof=1)
        assert scatter / float(curve["flux_error"].median()) == pytest.approx(1.0, abs=0.28)
        assert 1e6 * float(curve["flux_error"].median()) < worst * float(light["white_flux_error"])
        assert np.isnan(float(curve["annulus_inner"]))
    follows = ds.tso.photometry(follow=True)
    # the edge runs through light: the centroid's noise, 0.03 pixels, is most of the error
    scatter = relative(follows, light).std(ddof=1)
    assert scatter / float(follows["flux_error"].median()) == pytest.approx(1.0, abs=0.28)
    assert scatter > 2.0 * float(circle["flux_error"].median())
    assert (float(frame["photometry_whole"]), float(circle["photometry_whole"])) == (1.0, 0.0)
    assert 0.9 < float(circle["photometry_inside"]) < 1.0
    assert frame.tso.plot.photometry()["image"].get_title().startswith("all pixels")


def test_one_or_two_integrations(rates):
    bare = rates.drop_vars(["trace_shift", "trace_shift_dispersion", "track_amplitude"])
    for n in (1, 2):
        curve = bare.isel(time=slice(n)).tso.photometry(follow=True)
        assert np.isfinite(curve["flux"]).all()
        assert any("stays where it is" in note for note in curve.tso.history[-1]["notes"])


def test_lines_with_a_level_have_a_larger_error(rates):
    level = xr.DataArray(np.full(64, 400.0, "f4"), dims="y")
    plain, with_lines = (
        ds.tso.photometry(method="aperture") for ds in (rates, rates.assign(level_variance=level))
    )
    assert (with_lines["flux_error"] > 1.01 * plain["flux_error"]).all()
    np.testing.assert_array_equal(plain["flux"], with_lines["flux"])


def test_lazy_rates_give_a_lazy_curve(rates):
    bare = rates.drop_vars([n for n in rates.variables if str(n).startswith(("track", "trace"))])
    with testing.raise_if_computes():
        curve = bare.chunk(time=17).tso.photometry(follow=True)
    assert curve["flux"].chunks is not None
    xr.testing.assert_identical(curve.compute(), bare.tso.photometry(follow=True))


@pytest.mark.parametrize(
    ("given", "error", "what"),
    [
        ({"method": "psf"}, ValueError, "method='psf'; it must be one of"),
        ({"shape": "square"}, ValueError, "shape='square'; it must be one of"),
        ({"background": "sky"}, ValueError, "background='sky'; it must be one of"),
        ({"centroid": "gauss"}, ValueError, "centroid='gauss'; it must be one of"),
        ({"radius": 0.0}, ValueError, "radius=0.0; it must be above 0"),
        ({"radius": np.nan}, ValueError, "radius=nan; it must be above 0"),
        ({"annulus": (20.0, 10.0)}, ValueError, "give inner and outer radius"),
        ({"annulus": 5.0}, ValueError, "give inner and outer radius"),
        ({"annulus": (3.0, 20.0), "radius": 5.0}, ValueError, "begins at 3 pixels, inside of rad"),
        ({"min_fraction": 1.5}, ValueError, "must lie between 0 and 1"),
        ({"center": (300.0, 20.0)}, ValueError, "outside the frame: y reaches from 0 to 63"),
        ({"center": 3.0}, ValueError, r"give \(y, x\) in pixels"),
        ({"follow": True, "method": "optimal"}, ValueError, "whose weights do not move"),
        ({"follow": True, "shape": "frame"}, ValueError, "whose weights do not move"),
        ({"shape": "frame", "annulus": (5.0, 9.0)}, ValueError, "leaves no pixels for a backgr"),
        ({"shape": "frame", "background": "mean"}, ValueError, "leaves no pixels for a backgr"),
        ({"annulus": (60.0, 70.0)}, tsoxr.TsoError, "usable pixels, 50 are needed; look at"),
        ({"center": (2.0, 2.0), "radius": 1.0}, tsoxr.TsoError, "no light above the background"),
    ],
)
def test_what_makes_no_sense_is_refused(exact, given, error, what):
    if "center" in given and error is tsoxr.TsoError:
        dark = exact["rate"].copy(deep=True)
        dark.values[:, :6, :6] = -5.0
        exact = exact.assign(rate=dark)
    with pytest.raises(error, match=f"photometry: .*{what}"):
        exact.tso.photometry(**given)


def test_nothing_to_follow_is_refused(rates):
    bare = rates.drop_vars(["trace_shift", "trace_shift_dispersion"])
    with pytest.raises(ValueError, match="there is no motion to follow"):
        bare.tso.photometry(centroid="none", follow=True)


def test_a_spectrum_is_refused():
    spectra = testing.example("rates")
    with pytest.raises(tsoxr.SchemaError, match="nirspec-prism disperses the light"):
        spectra.tso.photometry()


def test_an_aperture_beyond_the_edge_is_reported(rates):
    curve = rates.tso.photometry(radius=40.0)
    assert float(curve["photometry_inside"]) < 0.8
    assert np.isfinite(curve["flux"]).all()


def test_picture_on_given_axes(rates):
    import matplotlib.pyplot as plt

    curve = rates.tso.photometry(shape="hexagon")
    axes = plt.subplots()[1]
    assert curve.tso.plot.photometry(ax=axes) is axes
    assert axes.get_title().startswith("hexagon of")
    with pytest.raises(tsoxr.TsoError, match="the aperture is not in this light curve"):
        curve.tso.drop_diagnostics().tso.plot.photometry()
