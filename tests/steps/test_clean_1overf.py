"""Stripes come off, the sky and the transit stay, and the errors say what is left."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import testing

STRIPE, MASK = "clean_1overf_stripe", "clean_1overf_mask"
SHAPE = (32, 64)


def striped(
    small, *, sigma=8.0, noise=0.0, reset=0.0, fast="y", n_time=40, shape=SHAPE, seed=1, **how
):
    """Return ramps with stripes, and the stripes (time, group, y, x); how: see `small.ramps`."""
    rng = np.random.default_rng(seed)
    n_groups = how.get("n_groups", 5)
    lines = (n_time, n_groups, 1, shape[1]) if fast == "y" else (n_time, n_groups, shape[0], 1)
    stripe = rng.normal(0, sigma, lines)
    white = rng.normal(0, noise, (n_time, n_groups, *shape)) + rng.normal(
        0, reset, (n_time, 1, *shape)
    )
    rate = how.pop("rate", small.trace(shape))
    return small.ramps(
        rate, shape=shape, n_time=n_time, fast=fast, offset=stripe + white, **how
    ), stripe


def varying(array):
    """Take off each value's median over the sampled integrations, and the first group."""
    array = np.diff(array, axis=1)
    return array - np.median(array, axis=0)


def rise(ds):
    return (ds["ramp"].isel(group=-1) - ds["ramp"].isel(group=0)).astype("f8")


def aperture_sum(ds, half=3):
    """Return what a box about row 15 collects between first and last group, (time, x)."""
    return rise(ds).sel(y=slice(15 - half, 15 + half)).sum("y")


@pytest.mark.parametrize("fast", ["y", "x"])
def test_stripes_come_off(small, fast):
    """Without noise all that varies of a stripe is found; lines without background keep theirs."""
    ds, stripe = striped(small, fast=fast)
    out = ds.tso.clean_1overf()
    left = varying(out["ramp"].values - small.ramps(small.trace(), n_time=40)["ramp"].values)
    free = (out["clean_1overf_n_pixels"] > 0).values
    free = free[None, :] if fast == "y" else free[:, None]
    assert free.mean() == 1.0 if fast == "y" else 0.4 < free.mean() < 0.7
    # 40 integrations, of which 32 are sampled: the medians differ by a constant only
    left = (left - left.mean(axis=0))[..., np.broadcast_to(free, SHAPE)]
    before = varying(np.broadcast_to(stripe, ds["ramp"].shape))
    assert np.std(left) < 1e-3 * np.std(before)


def test_what_is_subtracted_has_no_median_in_time(small):
    ds, _ = striped(small, noise=3.0, n_time=32, rate=small.trace(sky=200.0))
    stripe = ds.tso.clean_1overf()[STRIPE]
    # the static part comes from the same 32 integrations; the mean over neighbouring lines, with
    # which a level is combined, has a median of its own, 1.25/sqrt(32) of what varies at most
    assert (abs(stripe.median("time")) < 0.22 * stripe.std("time")).all()
    assert abs(stripe.median("time")).mean() < 0.02 * stripe.std("time").mean()


def test_sky_and_static_structure_stay(small):
    """A sky of 200 DN/s and a static line pattern are in the data as before."""
    pattern = np.random.default_rng(2).normal(0, 50, (1, 5, 1, 64))
    ds, _ = striped(small, noise=3.0, rate=small.trace(sky=200.0))
    ds = ds.assign(ramp=(ds["ramp"] + pattern).astype("f4"))
    out = ds.tso.clean_1overf()
    change = (out["ramp"].mean("time") - ds["ramp"].mean("time")).values
    # mean against median of 40 stripes of 8 DN: about 8 * sqrt(0.57 / 40) = 1 DN
    assert np.abs(change).max() < 6.0
    assert float(rise(out).isel(y=slice(0, 5)).mean()) == pytest.approx(400.0, abs=15.0)


@pytest.mark.parametrize("method", ["mean", "median"])
def test_variance_is_what_is_left(small, method):
    """The error of the stripes, measured against the injected ones, has the stated variance."""
    ds, stripe = striped(small, noise=5.0, reset=20.0, n_time=120)
    out = ds.tso.clean_1overf(method=method)
    found = out[STRIPE].transpose("time", "group", "x").values
    error = np.diff(found - stripe[:, :, 0], axis=1)
    error = error - error.mean(axis=0)
    # 120 x 4 x 64 differences of two groups; the median of 16 is up to 10 % better than pi/2,
    # and counts against the first group, whose error four differences share
    measured = np.var(error) / 2
    assert measured == pytest.approx(
        float(out["stripe_variance"].mean()), rel=0.06 if method == "mean" else 0.25
    )
    assert out["stripe_variance"].dims == ("x",)
    assert out["stripe_variance"].attrs["units"] == "DN2"


def test_mean_beats_median(small):
    """Var(median) / var(mean) of 16 Gaussian values is 1.46; reset noise makes it worse."""
    ds, stripe = striped(small, noise=5.0, reset=20.0)
    error = {
        method: np.std(
            varying(
                ds.tso.clean_1overf(method=method)[STRIPE].transpose("time", "group", "x").values
                - stripe[:, :, 0]
            )
        )
        for method in ("mean", "median")
    }
    assert error["mean"] < 0.9 * error["median"]


def test_lines_without_background_keep_their_stripes(small):
    """Fast along dispersion: rows on the trace have no background; their variance says so."""
    ds, _ = striped(small, fast="x", noise=5.0, n_time=100)
    out = ds.tso.clean_1overf()
    untouched = (out["clean_1overf_n_pixels"] == 0).values
    np.testing.assert_array_equal(
        out["ramp"].values[:, :, untouched], ds["ramp"].values[:, :, untouched]
    )
    variance = out["stripe_variance"].values
    assert variance[untouched].mean() == pytest.approx(64.0, rel=0.15)
    # the rows at the edge of the mask have fewer than 64 pixels
    assert np.median(variance[~untouched]) == pytest.approx(25.0 / 64, rel=0.1)


def test_pixels_left_and_right_of_the_spectrum_are_used(small):
    """Fast along dispersion, spectrum in the middle columns: all rows can be measured."""
    shape = (32, 200)
    rate = small.trace(shape) * ((np.arange(200) > 60) & (np.arange(200) < 140))
    ds, stripe = striped(small, fast="x", noise=5.0, shape=shape, rate=rate)
    out = ds.tso.clean_1overf()
    on_trace = out["clean_1overf_n_pixels"].isel(y=slice(12, 19))
    assert int(on_trace.min()) > 90
    error = varying(out[STRIPE].transpose("time", "group", "y").values - stripe[..., 0])
    assert np.std(error[..., 12:19]) < 1.3 * 5.0 * np.sqrt(2 / 90)


def test_blocks_of_outputs_have_their_own_levels(small):
    """Four outputs side by side, of which the first two see the spectrum."""
    shape, rng = (32, 256), np.random.default_rng(3)
    level = rng.normal(0, 8.0, (40, 5, 32, 4))
    rate = small.trace(shape) * (np.arange(256) < 120)
    offset = np.repeat(level, 64, axis=-1)
    ds = small.ramps(rate, shape=shape, n_time=40, fast="x", n_outputs=4, offset=offset)
    out = ds.tso.clean_1overf()
    assert out[STRIPE].sizes["output"] == 4
    left = varying(out["ramp"].values - small.ramps(rate, shape=shape, n_time=40)["ramp"].values)
    left = left - left.mean(axis=0)
    assert np.abs(left[..., 128:]).max() < 0.01
    assert np.abs(left[..., :3, :]).max() < 0.01
    assert np.abs(left[..., 15, :120]).max() > 5.0


def test_interleaved_outputs_share_a_line(small):
    ds, _ = striped(small, fast="x", n_outputs=4, detector="MIRIMAGE")
    assert "output" not in ds.tso.clean_1overf()[STRIPE].dims


def test_mask_given_by_the_user(small):
    ds, _ = striped(small, noise=5.0)
    ds = small.flag_pixels(ds, np.arange(64) == np.full((32, 1), 7), "HOT")
    mask = xr.DataArray(np.zeros(SHAPE, bool), dims=("y", "x"))
    mask[:10] = True
    out = ds.tso.clean_1overf(mask=mask)
    expected = mask.values.copy()
    expected[:, 7] = False
    np.testing.assert_array_equal(out[MASK], expected)
    assert int(out["clean_1overf_n_pixels"].isel(x=7)) == 0
    record = out.tso.history[-1]["params"]["mask"]
    assert record["dims"] == ["y", "x"]


def test_mask_keeps_away_from_light_and_bad_pixels(small):
    ds, _ = striped(small, noise=5.0)
    where = np.zeros(SHAPE, bool)
    where[3, 5] = True
    mask = small.flag_pixels(ds, where, "REFERENCE_PIXEL").tso.clean_1overf(trace_half_width=6.0)[
        MASK
    ]
    assert not mask[10:21].any()
    assert not mask[3, 5]
    assert mask[:8].mean() > 0.98
    assert ds.tso.clean_1overf().tso.history[-1]["params"]["trace_half_width"] == 8.0


def test_too_few_pixels(small):
    ds, _ = striped(small)
    out = ds.tso.clean_1overf(min_pixels=17)
    np.testing.assert_array_equal(out["ramp"], ds["ramp"])
    assert not out[MASK].any()
    np.testing.assert_array_equal(out["stripe_variance"], 0.0)


def test_hits_do_not_disturb(small):
    """A tenth of the integrations have a hit of 2000 DN among the background of each line."""
    ds, stripe = striped(small, noise=5.0)
    struck = ds.copy(deep=True)
    rng = np.random.default_rng(4)
    for t, x in zip(*np.nonzero(rng.random((40, 64)) < 0.1), strict=True):
        struck["ramp"][t, rng.integers(0, 5) :, rng.integers(0, 6), x] += 2000.0
    error = [
        np.std(
            varying(
                d.tso.clean_1overf()[STRIPE].transpose("time", "group", "x").values
                - stripe[:, :, 0]
            )
        )
        for d in (ds, struck)
    ]
    assert error[1] < 1.03 * error[0]


@pytest.mark.parametrize("scale", [True, False])
def test_transit_in_the_wings(small, scale):
    """Wings of 0.2 % of the light per pixel: their transit must not come off the spectrum."""
    light = np.where(abs(np.arange(40) - 20) < 7, 0.98, 1.0)
    rate = small.trace() + 8.0 * np.exp(-abs(np.arange(32) - 15)[:, None] / 12.0)
    ds, _ = striped(small, sigma=0.0, rate=rate, light=light)

    def depth(d):
        white = aperture_sum(d).sum("x")
        return 1e6 * (1 - float(white[light < 1].mean() / white[light == 1].mean()))

    out = ds.tso.clean_1overf(scale=scale)
    bias = depth(out) - depth(ds)
    wing = rate[out[MASK].isel(x=30).values][:, 0]
    expected = -1e6 * 0.02 * wing.mean() / rate[12:19].mean()
    assert expected < -80
    if scale:
        # the darkest tenth of the wings passes for sky
        expected *= np.percentile(wing, 10) / wing.mean()
    assert bias == pytest.approx(expected, rel=0.05)


def test_transit_depth_is_unbiased_in_simulated_data():
    """The wings of the simulated PRISM, sky included, without noise: less than 1 ppm."""
    ds = tsoxr.simulate(
        "nirspec-prism", kind="ramps", n_integrations=30, n_groups=3, radius_ratio=0.15,
        noise=("background",), seed=1,
    )  # fmt: skip

    def depth(d):
        white = aperture_sum(d).sum("x")
        return 1e6 * (1 - float(white.min() / white[~ds["in_transit"].values].mean()))

    assert abs(depth(ds.tso.clean_1overf()) - depth(ds)) < 1.0


def test_simulated_noise_falls_to_that_of_the_pixels():
    """1/f noise, reset noise and pedestals of a faint star: near white noise afterwards."""
    noise = ("photon", "read", "one_over_f", "pedestal", "ktc", "bias", "background")
    ds = tsoxr.simulate(
        "nirspec-prism", kind="ramps", n_integrations=60, brightness=0.3, radius_ratio=1e-6,
        feature_depth=0.0, noise=noise, seed=3,
    ).tso.subtract_bias()  # fmt: skip
    box = aperture_sum(ds)
    white_noise = (
        box.mean("time") / float(ds["gain"].mean()) + 7 * 2 * float(ds["read_noise"].mean()) ** 2
    )
    cleaned = aperture_sum(ds.tso.clean_1overf())
    line = [float((d.std("time") / np.sqrt(white_noise)).median()) for d in (box, cleaned)]
    total = [float(d.sum("x").std() / np.sqrt(white_noise.sum())) for d in (box, cleaned)]
    # a column: 26 % above white noise before; the drift within a line stays
    assert line[0] > 1.2
    assert line[1] < 1.1
    # white light: eight times; afterwards 60 values know their scatter to 9 %
    assert total[0] > 5.0
    assert total[1] < 1.25


def test_raw_counts_are_cast_once(small):
    ds, _ = striped(small, noise=5.0, bias=5000.0, dtype="u2")
    out = ds.tso.clean_1overf()
    assert out["ramp"].dtype == np.float32
    same = ds.assign(ramp=ds["ramp"].astype("f4")).tso.clean_1overf()
    np.testing.assert_array_equal(out["ramp"], same["ramp"])


def test_one_integration_is_returned_as_it_is(small):
    ds = small.ramps(small.trace(), n_time=1)
    out = ds.tso.clean_1overf()
    assert out["ramp"].identical(ds["ramp"])
    assert "one integration" in small.notes(out)


def test_one_group(small):
    ds, stripe = striped(small, n_groups=1, n_time=32)
    left = ds.tso.clean_1overf()["ramp"] - small.ramps(small.trace(), n_groups=1, n_time=32)["ramp"]
    # all that varies is gone; the median of the stripes stays
    np.testing.assert_allclose(
        left[:, 0, 0], np.broadcast_to(np.median(stripe[:, 0, 0], axis=0), (32, 64)), atol=2e-3
    )


def test_imaging_leaves_out_a_disc(small):
    y, x = np.mgrid[:32, :200]
    rate = 3000 * np.exp(-0.5 * ((y - 15) ** 2 + (x - 60) ** 2) / 4.0)
    ds, _ = striped(small, fast="x", noise=5.0, rate=rate, shape=(32, 200), mode="nircam-imaging")
    mask = ds.tso.clean_1overf(trace_half_width=20)[MASK].values
    assert not mask[15, 42:79].any()
    assert mask[:, 90:].mean() > 0.98


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "mode"}, r"method is 'mode'; it must be one of \('mean', 'median', 'scaled',"),
        ({"sigma": 0.0}, "sigma is 0.0; it must be positive"),
        ({"min_pixels": -1}, "min_pixels is -1"),
        ({"trace_half_width": 0}, "trace_half_width is 0"),
        ({"mask": np.ones(SHAPE, bool)}, "mask is ndarray; give a DataArray"),
        (
            {"mask": xr.DataArray(np.ones((3, 4), bool), dims=("y", "x"))},
            r"with sizes \{'y': 32, 'x': 64\}",
        ),
    ],
)
def test_bad_input(small, given, message):
    with pytest.raises(ValueError, match=message):
        small.ramps().tso.clean_1overf(**given)


@pytest.mark.parametrize("fast", ["y", "x"])
def test_contract(small, fast):
    ds, _ = striped(small, noise=5.0, reset=20.0, fast=fast, n_outputs=1 if fast == "y" else 4)
    testing.check_step("clean_1overf", ds)
    testing.check_step(
        "clean_1overf",
        ds.assign(ramp=(ds["ramp"] + 500).astype("u2")),
        method="median",
        scale=False,
    )


@pytest.mark.real_data
def test_real_soss_scene(small, real_data_dir):
    """A real frame with a transit of 2 %: wide wings, three orders, stars, a step of the sky."""
    frame = np.load(next((real_data_dir / "niriss_soss").glob("*substrip256_median_frame.npy")))
    light = np.where(abs(np.arange(16) - 8) < 3, 0.98, 1.0)
    sky = np.percentile(frame, 5, axis=0)
    star = np.maximum(frame - sky, 0.0)
    stripe = np.random.default_rng(1).normal(0, 8.0, (16, 2, 1, 2048))
    ds = small.ramps(
        star, shape=frame.shape, n_time=16, n_groups=2, light=light, mode="niriss-soss",
        offset=stripe + sky * np.arange(1, 3)[:, None, None],
    )  # fmt: skip
    box = star > 0.2 * star.max(axis=0)
    box[:, :4] = box[:, -4:] = False  # reference pixels

    def depth(d):
        white = rise(d).where(box).sum(("y", "x"))
        return 1e6 * (1 - float(white[light < 1].mean() / white[light == 1].mean()))

    truth = depth(ds.assign(ramp=(ds["ramp"] - stripe).astype("f4")))
    out = ds.tso.clean_1overf()
    ignored = ds.tso.clean_1overf(scale=False)
    assert out[MASK].values[box].mean() < 0.01
    assert int(out["clean_1overf_n_pixels"].isel(x=slice(4, -4)).min()) > 150
    # the wings would take 1 % of the depth; what is left of that is the wings that pass for sky
    assert abs(depth(ignored) - truth) > 80
    assert abs(depth(out) - truth) < 30
