"""The background beside the spectrum: the level put in comes out, with its error."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, simulation

QUIET = ("photon", "read", "background")
MODES = {"nirspec-prism": "x", "miri-lrs": "y"}


def quiet(mode, n_integrations=60, seed=4):
    return tsoxr.simulate(mode, kind="rates", n_integrations=n_integrations, noise=QUIET, seed=seed)


@pytest.fixture(scope="module")
def rates():
    return quiet("nirspec-prism")


def added(ds, seed=1, size=20.0):
    """Return a level for each line of each integration, (time, dispersion)."""
    along = ds.attrs["dispersion_dim"]
    shape = (ds.sizes["time"], ds.sizes[along])
    level = size * np.random.default_rng(seed).normal(size=shape)
    return xr.DataArray(level.astype("f4"), dims=("time", along))


def with_level(ds, level):
    return ds.assign(
        rate=(ds["rate"] + level).transpose(*ds["rate"].dims).assign_attrs(ds["rate"].attrs)
    )


def same_region(one, two):
    """Return the lines on which two results rest on the same pixels; they are most."""
    space = one.attrs["spatial_dim"]
    equal = one["subtract_background_region"] == two["subtract_background_region"]
    same = equal.all(space).values
    assert same.mean() > 0.8
    return same


@pytest.mark.parametrize("mode", MODES)
def test_level_comes_out_with_its_predicted_error(mode):
    ds = quiet(mode)
    level = added(ds)
    before, after = (d.tso.subtract_background() for d in (ds, with_level(ds, level)))
    got = after["subtract_background_level"] - before["subtract_background_level"]
    same = same_region(before, after)
    # the same noise in both: with the same pixels, what was added comes out to rounding,
    # but for single samples at the limit of the clipping
    off = np.abs(got - level.transpose(*got.dims)).values
    assert (off[:, same] < 2e-3).mean() > 0.999
    assert (off / np.sqrt(before["level_variance"]).values).max() < 4
    measured = before["subtract_background_level"].var("time")
    ratio = float((measured / before["level_variance"]).mean())
    # variances of 60 samples on hundreds of lines: mean of the ratio to 1 %; errors of
    # pixels with few counts come from noisy counts themselves, 5 %
    assert ratio == pytest.approx(1.0, abs=0.08)
    assert before["level_variance"].dims == (MODES[mode],)
    assert before["level_variance"].attrs["units"] == "DN2 s-2"


def test_rates_have_no_level_left(rates):
    out = with_level(rates, added(rates)).tso.subtract_background()
    beside = out["rate"].where(out["subtract_background_region"] == 1)
    left = beside.mean("y")
    n = out["subtract_background_region"].sum("y")
    assert int(n.min()) >= 9
    assert float(n.mean()) > 10.5
    # the mean over the very pixels of the level is zero but for flagged ones among them
    assert float(np.abs(left).median()) < 1e-3
    assert out["rate"].dtype == np.float32
    assert out["rate"].attrs["units"] == "DN s-1"


def test_spectrum_keeps_its_light(rates):
    out = rates.tso.subtract_background()
    moved = with_level(rates, added(rates)).tso.subtract_background()
    same = same_region(out, moved)
    np.testing.assert_allclose(moved["rate"][..., same], out["rate"][..., same], atol=1e-2)
    error = float(np.sqrt(out["level_variance"]).max())
    assert float((rates["rate"] - out["rate"]).std()) < 2 * error


def test_hits_flagged_or_not_do_not_bias_the_level(rates):
    clean = rates.tso.subtract_background()
    rate = rates["rate"].copy(deep=True)
    rate[10, 2, ::4] += 1e5
    rate[20, 3, ::4] += 1e5
    flags = rates["dq"].copy(deep=True)
    flags[20, 3, ::4] |= dq.bits("OUTLIER")
    hit = rates.assign(rate=rate, dq=flags).tso.subtract_background()
    error = np.sqrt(hit["level_variance"])
    change = hit["subtract_background_level"] - clean["subtract_background_level"]
    # one pixel of ten and more is missing: the mean moves by a third of its error
    assert float(np.abs(change / error).max()) < 2.5
    same = same_region(clean, hit)
    assert float(np.abs(change[:9, same]).max()) < 1e-3


def test_straight_line_takes_a_gradient_away(rates):
    slope = 0.7 * (rates["y"] - 15.0)
    tilted = with_level(rates, slope.astype("f4"))
    flat, line = (tilted.tso.subtract_background(order=n) for n in (0, 1))
    plain = rates.tso.subtract_background(order=1)
    same = same_region(plain, line)
    np.testing.assert_allclose(line["rate"][..., same], plain["rate"][..., same], atol=2e-2)
    assert float(np.abs(flat["rate"] - plain["rate"]).max()) > 5
    assert float((line["level_variance"] / flat["level_variance"]).median()) > 1


def test_the_trace_is_used_where_it_is_known(rates):
    moved = rates.tso.find_trace()
    elsewhere = moved.assign_coords(trace_center=moved["trace_center"] + 6.0)
    region = elsewhere.tso.subtract_background(half_width=5)["subtract_background_region"]
    distance = np.abs(elsewhere["y"] - elsewhere["trace_center"]).transpose("y", "x")
    assert not region.values[distance.values <= 5].any()
    own = rates.tso.subtract_background(half_width=8)["subtract_background_region"]
    near = moved.tso.subtract_background(half_width=8)["subtract_background_region"]
    assert float((own == near).mean()) > 0.93  # path to a pixel, trace to a hundredth


def test_a_part_of_the_frame_keeps_detector_coordinates(rates):
    part = rates.tso.find_trace().isel(y=slice(4, 30))
    region = part.tso.subtract_background(half_width=7)["subtract_background_region"]
    distance = np.abs(part["y"] - part["trace_center"]).transpose("y", "x")
    assert not region.values[distance.values <= 7].any()
    assert region.values[distance.values > 7].mean() > 0.9


def test_earlier_variance_of_the_same_lines_is_replaced(rates):
    ds = rates.assign(level_variance=("x", np.full(512, 99.0, "f4"), {"units": "DN2 s-2"}))
    out = ds.tso.subtract_background()
    assert float(out["level_variance"].max()) < 90
    np.testing.assert_array_equal(out["rate_error"], rates["rate_error"])


def test_errors_of_lines_along_the_spectrum_are_kept(rates):
    ds = rates.assign(level_variance=("y", np.full(32, 9.0, "f4"), {"units": "DN2 s-2"}))
    out = ds.tso.subtract_background()
    assert out["level_variance"].dims == ("x",)
    # lines with independent levels, and the mean of n background lines taken off: of a line
    # beside the background 9 (1 + 1/n) stay, and of all 16 background lines together nothing
    covariance = np.einsum("yom,zom->yz", *[out["level_factor"].values.astype("f8")] * 2)
    inside = out["subtract_background_region"].transpose("y", "x").values > 0
    weight = inside.sum(axis=1) / inside.sum()
    np.testing.assert_allclose(weight @ covariance @ weight, 0.0, atol=1e-5)
    middle = ~inside.any(axis=1)
    expected = 9.0 * (1.0 + (weight**2).sum())
    np.testing.assert_allclose(np.diag(covariance)[middle], expected, rtol=1e-5)
    # the second time the region differs by a few of its pixels
    again = out.tso.subtract_background()
    np.testing.assert_allclose(again["level_factor"], out["level_factor"], atol=0.02)


def test_background_level_is_a_covariate(rates):
    sky = xr.DataArray(np.linspace(0, 30, rates.sizes["time"]).astype("f4"), dims="time")
    out = with_level(rates, sky).tso.subtract_background()
    level = out.coords["background_level"]
    assert level.dims == ("time",)
    assert level.dtype == np.float32
    plain = rates.tso.subtract_background()["background_level"]
    # single lines may rest on another pixel: 0.5 DN/s on 2 % of 512 lines
    np.testing.assert_allclose(level - plain, sky, atol=0.1)


def test_half_width_comes_from_the_mode_or_the_frame(rates):
    record = rates.tso.subtract_background().tso.history[-1]
    assert record["params"]["half_width"] == 10
    assert record["from_mode"] == ["half_width"]
    narrow = rates.isel(y=slice(8, 24)).tso.subtract_background(half_width=None)
    assert narrow.tso.history[-1]["derived"] == ["half_width"]
    assert narrow.tso.history[-1]["params"]["half_width"] == 4


def test_lines_without_pixels_take_their_neighbours_level(rates):
    flags = rates["dq"].copy(deep=True)
    flags[:, :, 100:103] |= dq.bits("DO_NOT_USE")
    sky = xr.DataArray(np.linspace(0, 50, 512).astype("f4"), dims="x")
    out = with_level(rates.assign(dq=flags), sky).tso.subtract_background()
    level = out["subtract_background_level"].mean("time")
    expected = np.interp([100, 101, 102], [99, 103], level[[99, 103]])
    np.testing.assert_allclose(level[100:103], expected, rtol=1e-5)
    assert np.isfinite(out["level_variance"]).all()


@pytest.mark.parametrize("order", [0, 1])
def test_lazy_data_give_the_same(rates, order):
    ds = rates.tso.find_trace()
    lazy = ds.chunk(time=11).tso.subtract_background(order=order)
    assert lazy["rate"].chunks is not None
    eager = ds.tso.subtract_background(order=order)
    for name in ("rate", "level_variance", "background_level", "subtract_background_region"):
        np.testing.assert_array_equal(lazy[name].values, eager[name].values)


def test_imaging_is_left_alone(rates):
    ds = rates.assign_attrs(tso_mode="nircam-imaging")
    out = ds.tso.subtract_background()
    assert out.drop_attrs().identical(ds.drop_attrs())
    assert "imaging" in out.tso.history[-1]["notes"][0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"half_width": 15}, "half_width=15 leaves 1 of 32 pixels.*at least 3"),
        ({"half_width": -1}, "half_width=-1"),
        ({"order": 4}, "order=4; it must be 0"),
        ({"half_width": 14, "order": 2}, "leaves 3 of 32 pixels.*at least 4"),
        ({"method": "mode"}, "method='mode'; it must be one of"),
        ({"method": "median", "order": 1}, "has no order=1"),
        ({"scales": 2}, "scales=2 with method='mean'"),
        ({"scales": 3, "method": "template"}, "scales=3"),
        ({"template": np.ones((32, 512))}, 'use method="template"'),
        ({"template": np.ones((3, 4)), "method": "template"}, r"shape \(3, 4\).*of \(32, 512\)"),
        ({"template": "sky.txt", "method": "template"}, "no .npy, .nc or .fits"),
        ({"mask": np.ones((32, 512), bool)}, "mask is ndarray"),
        ({"darkest": 0}, "darkest=0; it is a part"),
        ({"method": "rows", "order": 1}, "has no order=1"),
        ({"wings": "gaussian"}, "wings='gaussian'; it must be True, False or one of"),
    ],
)
def test_wrong_parameters(rates, given, message):
    with pytest.raises(ValueError, match=message):
        rates.tso.subtract_background(**given)


def test_nothing_usable(rates):
    ds = rates.assign(dq=dq.set_flag(rates["dq"], rates["x"] >= 0, "DO_NOT_USE"))
    with pytest.raises(tsoxr.TsoError, match="no line has 3 usable pixels"):
        ds.tso.subtract_background()


def test_plot_of_a_step_that_did_nothing(rates):
    out = rates.assign_attrs(tso_mode="nircam-imaging").tso.subtract_background()
    with pytest.raises(tsoxr.TsoError, match="nothing was subtracted; see the note"):
        out.tso.plot.subtract_background()


@pytest.mark.real_data
def test_sky_of_a_real_soss_frame(real_data_dir):
    """The zodiacal light seen through GR700XD steps down at column 700 towards the red."""
    frame = np.load(real_data_dir / "niriss_soss" / "wasp39_soss_substrip256_median_frame.npy")
    template = np.load(real_data_dir / "niriss_soss" / "soss_background_substrip96.npy")
    ds = soss(frame)
    level = ds.tso.subtract_background()["subtract_background_level"][0]
    pieces = [slice(i, i + 60) for i in (200, 400, 600, 720, 900, 1100, 1300)]
    got = np.array([float(level[p].median()) for p in pieces])
    sky = np.array([np.median(template[:, p]) for p in pieces])
    assert got[2] / got[3] == pytest.approx(sky[2] / sky[3], rel=0.05)
    scale = (got * sky).sum() / (sky**2).sum()
    # template of another pointing and strip; the wings of the orders add some percent
    np.testing.assert_allclose(got, scale * sky, rtol=0.1)


# ------------------------------------------------------------------ methods


@pytest.mark.parametrize("seed", range(3))
def test_median_has_its_predicted_error_and_forgives_contaminants(seed):
    ds = quiet("nirspec-prism", seed=seed)
    out = ds.tso.subtract_background(method="median")
    measured = out["subtract_background_level"].var("time")
    # variances of 60 samples on 512 lines: 1 %; few-sample formula and noisy errors 6 %
    assert float((measured / out["level_variance"]).mean()) == pytest.approx(1.0, abs=0.08)


def test_constant_background_is_one_level_for_all(rates):
    out = rates.tso.subtract_background(constant=True)
    level = out["subtract_background_level"]
    assert (level == level[0]).all()
    np.testing.assert_allclose(
        (rates["rate"] - out["rate"]).isel(time=[0, 33], y=[0, 20]),
        level.isel(time=[0, 33]).expand_dims(y=2, axis=1), atol=2e-3,
    )  # fmt: skip
    usual = rates.tso.subtract_background()["level_variance"]
    np.testing.assert_allclose(out["level_variance"], usual * np.pi / 2 / 32, rtol=1e-5)
    # levels of detector lines stay as they are: nothing of this integration was taken off
    known = rates.assign(level_variance=("y", np.full(32, 9.0, "f4"), {"units": "DN2 s-2"}))
    factor = known.tso.subtract_background(constant=True)["level_factor"].values
    np.testing.assert_allclose(
        np.einsum("yom,zom->yz", factor, factor), 9.0 * np.eye(32), atol=1e-5
    )


def test_masked_pixels_are_left_out(rates):
    mask = (rates["y"] < 3) & (rates["x"] > 100)
    star = rates.assign(rate=rates["rate"] + xr.where(mask, 50.0, 0.0).astype("f4"))
    out = star.tso.subtract_background(mask=mask)
    assert int(out["subtract_background_region"].where(mask).max()) == 0
    clean = rates.tso.subtract_background(mask=mask)
    np.testing.assert_array_equal(
        out["subtract_background_level"], clean["subtract_background_level"]
    )


def test_lines_without_pixels_are_noted(rates):
    mask = (rates["x"] >= 40) & (rates["x"] < 44) & (rates["y"] >= 0)
    out = rates.tso.subtract_background(mask=mask)
    assert out.tso.history[-1]["notes"] == [
        "4 of 512 lines have fewer than 3 background pixels: their level is interpolated"
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_given_template_is_scaled_to_each_integration(seed, tmp_path):
    ds = quiet("nirspec-prism", n_integrations=20, seed=seed)
    shape = 3.0 + np.cos(np.linspace(0, 6, 512))[None] + 0.02 * np.arange(32)[:, None]
    scale = np.random.default_rng(seed).uniform(5, 9, 20).astype("f4")
    image = xr.DataArray(shape.astype("f4"), dims=("y", "x"))
    sky = xr.DataArray(scale, dims="time") * image
    add = lambda s: with_level(ds, s)  # noqa: E731 -- short
    plain = ds.tso.subtract_background(method="template", template=image)
    out = add(sky).tso.subtract_background(method="template", template=image)
    got = (out["subtract_background_scale"] - plain["subtract_background_scale"]).values[:, 0]
    error = np.sqrt(np.median(out["level_variance"] / shape[16] ** 2))
    # the same noise in both: what differs are pixels at the limit of the clipping
    assert np.abs(got - scale).max() < 3 * error
    np.testing.assert_allclose(out["rate"], plain["rate"], atol=12 * error)
    np.save(tmp_path / "sky.npy", shape)
    image.to_dataset(name="sky").to_netcdf(tmp_path / "sky.nc")
    for source in (tmp_path / "sky.npy", str(tmp_path / "sky.nc"), image.to_dataset(name="a")):
        same = add(sky).tso.subtract_background(method="template", template=source)
        np.testing.assert_allclose(same["rate"], out["rate"], rtol=1e-5, atol=1e-3)


def test_template_has_far_less_noise_and_its_predicted_error(rates):
    out = rates.tso.subtract_background(method="template")
    lines = rates.tso.subtract_background()
    assert float((out["level_variance"] / lines["level_variance"]).median()) < 0.02
    scale = out["subtract_background_scale"].isel(side=0)
    image = out["subtract_background_level"].isel(time=0) / scale[0]
    predicted = np.sqrt(float((out["level_variance"] / image**2).median()))
    # a standard deviation of 60 values is known to 9 %; noise left in the template adds 5 %
    assert float(scale.std()) / predicted == pytest.approx(1.0, abs=0.3)


def test_step_and_scales_of_simulated_soss():
    exposure = simulation.exposure("niriss-soss", n_integrations=3, seed=0, noise=QUIET)
    truth = exposure.truth()["background"]
    out = exposure.rates().tso.subtract_background(method="template", template=truth / 3, scales=2)
    step = out["subtract_background_step"].values
    slope = np.abs(np.gradient(truth.mean("y").values))[650:750]
    assert np.abs(np.median(step) - slope.argmax() - 650) < 2
    # wings of the orders reach all rows: modelled, 0.4 % of the sky is left of them at the blue side
    np.testing.assert_allclose(out["subtract_background_scale"], 3.0, rtol=0.01)


def test_wings_of_the_star_are_no_background_and_do_not_dilute():
    exposure = simulation.exposure("nircam-grism", n_integrations=24, seed=2, noise=("background",))
    rates, truth = exposure.rates(), exposure.truth()
    sky = exposure.scene.sky.mean() / np.median(exposure.maps.gain)
    left, taken = (
        rates.tso.subtract_background(wings=wings)["background_level"].values.mean() - sky
        for wings in (False, True)
    )
    assert left > 0.1 * sky
    assert abs(taken) < 0.1 * left
    out = rates.tso.subtract_background()
    trace = rates["rate"].isel(time=0).argmax("y").values[1000]
    light = (
        out["rate"]
        .isel(y=slice(int(trace) - 5, int(trace) + 6), x=slice(400, 1500))
        .sum(("y", "x"))
    )
    expected = truth["white_flux"].values
    depth = 1 - float(light.min() / light.max())
    # chromatic depths differ by a per cent between this part and the white light
    assert depth == pytest.approx(1 - expected.min() / expected.max(), rel=0.015)


@pytest.mark.parametrize("seed", range(3))
def test_levels_of_rows_come_out_where_the_spectrum_runs_along_them(seed):
    ds = tsoxr.simulate("nircam-grism", kind="rates", n_integrations=12, noise=QUIET, seed=seed)
    shape = (12, ds.sizes["y"])
    own = 3.0 * np.random.default_rng(seed).normal(size=shape).astype("f4")
    own -= own.mean(axis=1, keepdims=True)  # levels of whole frames are no trial of rows
    own[:, :4] = 0.0  # reference rows, which have no background pixels
    levels = xr.DataArray(own, dims=("time", "y"))
    plain, out = (
        d.tso.subtract_background(method="rows", wings=False) for d in (ds, with_level(ds, levels))
    )
    left = (out["rate"] - plain["rate"]).median("x").transpose("time", "y").values[:, 4:]
    error = np.sqrt(np.einsum("yom,yom->y", *[plain["level_factor"].values.astype("f8")] * 2)) / 2
    left -= left.mean(axis=0)  # what a row has in all integrations belongs to the median frame
    # the same noise in both: what differs is that of the median frame, averaged over a row, and
    # pixels at the limit of the clipping
    assert np.abs(left).max() < 4 * error.max() + 0.02
    assert np.abs(own).max() > 20 * error.max()
    by_lines = with_level(ds, levels).tso.subtract_background(wings=False)
    assert float((by_lines["rate"] - plain["rate"]).median("x").std()) > 10 * left.std()
    assert plain["level_variance"].dims == ("x",)
    assert float(plain["level_variance"].max()) < float(by_lines["level_variance"].max())


def test_errors_of_rows_are_those_of_their_levels():
    ds = tsoxr.simulate("nircam-grism", kind="rates", n_integrations=40, noise=QUIET, seed=5)
    out = ds.tso.subtract_background(method="rows", wings=False)
    removed = (ds["rate"] - out["rate"]).median("x").transpose("time", "y")
    factor = out["level_factor"].values.astype("f8")[:, 0]
    predicted = np.einsum("ym,ym->y", factor, factor)
    ratio = removed.values.var(axis=0, ddof=1) / predicted
    # 64 variances of 40 values each: their mean to 3 %; errors of faint pixels come from noisy
    # counts, 5 %; the sample of 32 is part of the 40
    assert ratio.mean() == pytest.approx(1.0, abs=0.12)


def test_rows_of_miri_are_its_lines():
    ds = quiet("miri-lrs", n_integrations=8)
    one, two = (ds.tso.subtract_background(method=m) for m in ("mean", "rows"))
    np.testing.assert_array_equal(one["rate"], two["rate"])


def test_wings_of_several_orders_leave_the_sky():
    exposure = simulation.exposure("niriss-soss", n_integrations=3, seed=1, noise=QUIET)
    sky = (exposure.scene.sky / np.median(exposure.maps.gain))[0]
    rates = exposure.rates().tso.find_trace()
    off = {}
    for wings in (False, True, "sum"):
        out = rates.tso.subtract_background(wings=wings)
        error = float(np.sqrt(out["level_variance"]).median())
        off[wings] = float((out["subtract_background_level"].mean("time") - sky).mean()) / error
    # noise of 2000 lines and three integrations: 0.02; the wings of order 2 are a tenth wider than
    # those of order 1, which one shape for all leaves: 0.2 of the 3.4 that were there
    assert off[False] > 3.0
    assert off["sum"] == pytest.approx(0.0, abs=0.35)
    assert abs(off[True]) > 3 * abs(off["sum"])


@pytest.mark.parametrize("given", [{"method": "median"}, {"order": 2}, {"constant": True},
                                   {"method": "template"}, {"wings": True},
                                   {"wings": "sum"}, {"method": "rows"}])  # fmt: skip
def test_lazy_methods_give_the_same(rates, given):
    lazy = rates.chunk(time=11).tso.subtract_background(**given)
    eager = rates.tso.subtract_background(**given)
    for name in ("rate", "level_variance", "background_level"):
        np.testing.assert_array_equal(lazy[name].values, eager[name].values)


def test_no_step_is_an_error(rates):
    flat = np.ones((32, 512))
    with pytest.raises(tsoxr.TsoError, match="neither the data nor the template have a step"):
        rates.tso.subtract_background(method="template", template=flat, scales=2)


@pytest.mark.real_data
def test_step_of_a_real_soss_frame(real_data_dir):
    """The step of WASP-39's frame lies where the published template of the smaller strip has it."""
    frame = np.load(real_data_dir / "niriss_soss" / "wasp39_soss_substrip256_median_frame.npy")
    template = np.load(real_data_dir / "niriss_soss" / "soss_background_substrip96.npy")
    rows = np.arange(96)
    steepest = [650 + np.abs(np.gradient(row[650:750])).argmax() for row in template]
    line = np.polyfit(rows + 10, steepest, 1)  # SUBSTRIP96 begins ten rows higher
    out = soss(frame).tso.subtract_background(method="template", scales=2)
    found = out["subtract_background_step"].values
    assert np.abs(found - np.polyval(line, np.arange(256))).max() < 2


def soss(frame):
    """Return three equal integrations of a real frame as rates."""
    flags = np.zeros(frame.shape, "u4")
    flags[252:] = flags[:, :4] = flags[:, 2044:] = dq.bits("REFERENCE_PIXEL")
    flags[frame < -5] = dq.bits("DO_NOT_USE")
    stack = lambda a: np.repeat(a[None], 3, axis=0)  # noqa: E731 -- three integrations
    error = np.sqrt(np.abs(frame) / 80 + 0.01).astype("f4")
    dims, units = ("time", "y", "x"), {"units": "DN s-1"}
    return xr.Dataset(
        {
            "rate": (dims, stack(frame.astype("f4")), units),
            "rate_error": (dims, stack(error), units),
            "dq": (dims, stack(flags), dq.flag_attrs()),
        },
        {"time": ("time", 60000.0 + np.arange(3), {"units": "d"})}
        | {
            d: (d, np.arange(n, dtype="i4"), {"units": "pix"}) for d, n in (("y", 256), ("x", 2048))
        },
        {
            "tso_kind": "rates",
            "tso_mode": "niriss-soss",
            "spatial_dim": "y",
            "dispersion_dim": "x",
            "fast_dim": "y",
            "slow_dim": "x",
        },
    )
