"""Bad pixels: injected ones are found, the star's core never, the reference mask is heeded."""

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

import tsoxr
from tsoxr import dq

QUIET = ("photon", "read", "background", "dark", "flat", "jitter", "bad_pixels")


def made(mode, n_integrations, seed, **given):
    exposure = tsoxr.simulation.exposure(
        mode, seed=seed, noise=QUIET, n_integrations=n_integrations, **given
    )
    ds = exposure.rates()
    known = ds["dq"].values & np.uint32(dq.FLAGS["REFERENCE_PIXEL"])
    return exposure, ds.assign(dq=ds["dq"].copy(data=known))


@pytest.fixture(scope="module")
def prism():
    return made("nirspec-prism", 64, 3)


def verdict(ds):
    return ds["flag_bad_pixels_verdict"].values


@pytest.mark.parametrize(
    ("mode", "n_integrations", "seed"),
    [
        ("nirspec-prism", 64, 4),
        ("nirspec-g395m", 24, 5),
        ("miri-lrs", 32, 6),
        ("miri-imaging", 24, 7),
    ],
)
def test_simulated_bad_pixels_are_found_and_little_else(mode, n_integrations, seed):
    given = {"subarray": "SUB64"} if mode == "miri-imaging" else {}
    exposure, ds = made(mode, n_integrations, seed, **given)
    found, flags = verdict(ds.tso.flag_bad_pixels()), exposure.maps.dq
    error = np.median(ds["rate_error"], axis=0)
    star = exposure.scene.star / exposure.maps.gain / error
    hot = (flags & dq.FLAGS["HOT"] > 0) & (star < 10)
    # a pixel that lacks 3 errors of one integration lacks 12 of the median frame's; in images, where
    # that is less than four times what the pixels around differ by, it is not told from the image
    dead = (flags & dq.FLAGS["DEAD"] > 0) & (star > 3) & (mode != "miri-imaging")
    # dark currents of 2000 electron/s within a factor of 2.7: each far above the noise
    assert (found[hot] == 0).sum() <= max(1, 0.05 * hot.sum())
    assert (found[dead] == 0).sum() <= max(1, 0.2 * dead.sum())
    # 5 sigma in two measures of skewed scatters: a few in a hundred thousand
    assert (found[flags == 0] > 0).mean() < 1e-4
    assert not found[(flags == 0) & (star > 10)].any()


def test_flags_tell_the_kind_in_all_integrations(prism):
    _, ds = prism
    rate = ds["rate"].copy(deep=True)
    rng = np.random.default_rng(1)
    rate[:, 3, 300] += 500.0
    rate[:, 4, 310] += (5 * ds["rate_error"][:, 4, 310] * rng.normal(size=ds.sizes["time"])).astype(
        "f4"
    )
    rate[:, 5, 320] += 12 * ds["rate_error"][:, 5, 320] * (rng.random(ds.sizes["time"]) < 0.4)
    out = ds.assign(rate=rate).tso.flag_bad_pixels()
    for (y, x), name in {
        (3, 300): "HOT", (4, 310): "UNRELIABLE_SLOPE", (5, 320): "TELEGRAPH",
    }.items():  # fmt: skip
        assert dq.has_flag(out["dq"][:, y, x], name).all(), name
        assert dq.has_flag(out["dq"][:, y, x], "DO_NOT_USE").all()
    assert out["rate"].identical(rate)
    assert ((out["dq"].values & ds["dq"].values) == ds["dq"].values).all()


def test_a_shaking_spectrum_has_no_noisy_core(prism):
    exposure, ds = prism
    shift = 0.1 * np.random.default_rng(1).normal(size=ds.sizes["time"])
    slope = np.gradient(ds["rate"].mean("time"), axis=0)
    moved = ds["rate"] + (shift[:, None, None] * slope).astype("f4")
    found = verdict(ds.assign(rate=moved).tso.flag_bad_pixels())
    good = exposure.maps.dq == 0
    assert ((moved - ds["rate"]).std("time") > 3 * ds["rate_error"].mean("time")).sum() > 100
    # neighbours of hot pixels move with them, as this motion is made
    near_bad = ndimage.binary_dilation(~good)
    assert (found[good & ~near_bad] > 0).mean() < 5e-4


def test_reference_mask_decides_or_raises_suspicion(prism):
    _, ds = prism
    names = {(2, 100): "HOT", (2, 110): "DEAD", (2, 120): "WARM", (2, 130): "TELEGRAPH"}
    flags = ds["dq"]
    for (y, x), name in names.items():
        here = (ds["y"] == y) & (ds["x"] == x)
        flags = dq.set_flag(flags, here, name)
    rate = ds["rate"].copy(deep=True)
    # 4 sigma of the median of 32 integrations, with 30 % more for what it is compared with
    unit = ds["rate_error"][0, 2, 120] * np.sqrt(np.pi / 2 / 32 * 1.3)
    before = ds.tso.flag_bad_pixels()["flag_bad_pixels_departure"][2, 120]
    rate[:, 2, 120] += ((4.0 - before) * unit).astype("f4")
    given = ds.assign(dq=flags, rate=rate)
    out = given.tso.flag_bad_pixels(suspect_sigma=3.0)
    assert verdict(out)[2, 100] == verdict(out)[2, 110] == 5
    assert verdict(out)[2, 130] == 0  # suspected, and as quiet as others
    assert verdict(out)[2, 120] == 1
    blind = given.tso.flag_bad_pixels(reference=False)
    assert verdict(blind)[2, 100] == verdict(blind)[2, 120] == 0


def test_outliers_count_here(prism):
    _, ds = prism
    rate = ds["rate"].copy(deep=True)
    rate[::8, 6, 200] += 15 * ds["rate_error"][::8, 6, 200]
    out = ds.assign(rate=rate).tso.flag_outliers().tso.flag_bad_pixels()
    assert dq.has_flag(out["dq"][::8, 6, 200], "OUTLIER").all()
    assert verdict(out)[6, 200] in (3, 4)


@pytest.mark.parametrize("chunk", [7, 64])
def test_lazy_data_give_the_same(prism, chunk):
    _, ds = prism
    lazy = ds.chunk(time=chunk).tso.flag_bad_pixels()
    assert lazy["dq"].chunks is not None
    xr.testing.assert_identical(lazy.compute(), ds.tso.flag_bad_pixels())


@pytest.mark.parametrize(
    ("n_time", "said"), [(2, "only the reference mask"), (5, "noise and jumps are not")]
)
def test_short_exposures_say_what_is_not_judged(prism, n_time, said):
    _, ds = prism
    hot = dq.set_flag(ds["dq"], (ds["y"] == 2) & (ds["x"] == 100), "HOT")
    out = ds.assign(dq=hot).isel(time=slice(n_time)).tso.flag_bad_pixels()
    assert said in out.tso.history[-1]["notes"][0]
    assert verdict(out)[2, 100] == 5
    assert (verdict(out) == 3).sum() == 0


@pytest.mark.parametrize("given", [{"sigma": 0}, {"suspect_sigma": -1}])
def test_wrong_parameters(prism, given):
    with pytest.raises(ValueError, match="both must be positive"):
        prism[1].tso.flag_bad_pixels(**given)


def test_plot_without_the_step(prism):
    with pytest.raises(tsoxr.TsoError, match="has not been applied"):
        prism[1].tso.plot.flag_bad_pixels()


def test_plot_counts_what_was_found(prism):
    ax = prism[1].tso.flag_bad_pixels().tso.plot.flag_bad_pixels()
    labels = [t.get_text() for t in ax.figure.axes[1].get_legend().get_texts()]
    assert labels[0].startswith("bright: ")
