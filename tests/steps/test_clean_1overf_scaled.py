"""Stripes from all pixels of a line, along and across the spectrum, and in rates."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import testing
from tsoxr.steps import _stripe_levels

STRIPE = "clean_1overf_stripe"
SHAPE = (32, 64)
LIGHT = np.where(abs(np.arange(48) - 24) < 8, 0.98, 1.0)
SCALED = {"method": "scaled"}


def noisy(small, stripe, *, light=LIGHT, rate=None, noise=5.0, seed=1, shape=SHAPE, **how):
    """Return ramps of four groups with stripes, white noise and the photons' noise (gain 1)."""
    rng = np.random.default_rng(seed)
    rate = small.trace(shape, rate=8000.0, sky=30.0) if rate is None else rate
    size = (light.shape[0], 4, *shape)
    light = light[:, None, None, None] if light.ndim == 1 else light[:, None]
    arrived = np.sqrt(np.maximum(rate * light, 0) * 0.5) * rng.normal(size=size)
    offset = stripe + rng.normal(0, noise, size) + np.cumsum(arrived, axis=1)
    offset = offset + rng.normal(0, 20.0, (size[0], 1, *shape))
    time_since_reset = 0.5 * np.arange(1, 5)[:, None, None]
    extra = (light - 1.0) * rate * time_since_reset
    return small.ramps(rate, shape=shape, n_time=size[0], n_groups=4, offset=offset + extra, **how)


def walk(rng, size, n_lines, sigma=6.0, memory=0.97):
    """Return levels that remember those of earlier lines, (..., line), of rms sigma."""
    out = np.empty((*size, n_lines))
    out[..., 0] = rng.normal(0, sigma, size)
    for i in range(1, n_lines):
        kick = rng.normal(0, sigma * np.sqrt(1 - memory**2), size)
        out[..., i] = memory * out[..., i - 1] + kick
    return out


def rises(array):
    """Return last minus first group without the median in time."""
    change = array[:, -1] - array[:, 0]
    return change - np.median(change, axis=0)


def error(ds, stripe):
    """Return what is left of the stripes, (time, line), but for what does not vary."""
    slow = ds.attrs["slow_dim"]
    left = rises(ds[STRIPE].transpose("time", "group", slow, ...).values) - rises(stripe)
    return left - left.mean(axis=0)


def oracle(rate, noise=5.0, light=1.0):
    """Return the variance of a rise's level with the scene known, for lines across."""
    return 1.0 / (1.0 / (2 * noise**2 + 1.5 * rate * light)).sum(axis=0)


@pytest.mark.parametrize("scaled_by", ["white", "wavelength", "line"])
def test_as_good_as_with_the_scene_known(small, scaled_by):
    """Stripes left are the oracle's to 10 %, and better than from background pixels alone."""
    rate = small.trace(SHAPE, rate=8000.0, sky=30.0)
    ratio, mean = [], []
    for seed in range(3):
        stripe = np.random.default_rng(100 + seed).normal(0, 8.0, (48, 4, 64))
        ds = noisy(small, stripe[:, :, None], seed=seed)
        limit = np.sqrt(oracle(rate).mean())
        ratio.append(
            np.std(error(ds.tso.clean_1overf(scaled_by=scaled_by, **SCALED), stripe)) / limit
        )
        mean.append(np.std(error(ds.tso.clean_1overf(), stripe)) / limit)
    # 48 x 64 x 3 values know their rms to 0.8 %
    assert 0.95 < np.mean(ratio) < 1.1
    assert np.mean(mean) > 1.15


def test_variance_is_what_is_left(small):
    stripe = np.random.default_rng(5).normal(0, 8.0, (48, 4, 64))
    out = noisy(small, stripe[:, :, None]).tso.clean_1overf(**SCALED)
    # a rise has two groups; weights of a noise model fitted to 32 integrations: 10 %
    measured = np.var(error(out, stripe)) / 2
    assert measured == pytest.approx(float(out["stripe_variance"].mean()), rel=0.15)


@pytest.mark.parametrize("method", ["mean", "median", "scaled", "polynomial", "odd_even"])
def test_a_transit_of_many_colours_stays(small, method):
    """Without noise, a depth of 0 to 4 % along the spectrum leaves the stripes at 0."""
    colour = np.linspace(0.0, 2.0, 64)
    light = 1.0 + (LIGHT[:, None, None] - 1.0) * colour * np.ones((32, 1))
    rate = small.trace(SHAPE, rate=8000.0, sky=30.0)
    time_since_reset = 0.5 * np.arange(1, 5)[:, None, None]
    ds = small.ramps(rate, n_time=48, n_groups=4)
    star = rate - 30.0
    offset = (light[:, None] - 1.0) * star * time_since_reset
    ds = ds.assign(ramp=(ds["ramp"] + offset).astype("f4"))
    out = ds.tso.clean_1overf(method=method, scaled_by="line")
    # float32 of counts of 16000: 1e-3 DN
    assert np.abs(out[STRIPE]).max() < 0.02


@pytest.mark.parametrize("fast", ["y", "x"])
def test_depth_is_unbiased_with_noise(small, fast):
    """Mean z of the white light's depth over eight seeds: below 2.5 / sqrt(8)."""
    z = []
    shape = SHAPE
    for seed in range(8):
        rng = np.random.default_rng(200 + seed)
        levels = walk(rng, (48, 4), shape[1] if fast == "y" else shape[0])
        stripe = levels[:, :, None] if fast == "y" else levels[..., None]
        rate = small.trace(shape, rate=8000.0)
        if fast == "x":
            rate = rate * (np.arange(64) < 40)
        out = noisy(small, stripe, seed=seed, rate=rate, fast=fast).tso.clean_1overf(**SCALED)
        rise = (out["ramp"][:, -1] - out["ramp"][:, 0]).values.astype("f8")
        white = rise[:, 12:19].sum(axis=(1, 2))
        inside = LIGHT < 1
        depth = 1 - white[inside].mean() / white[~inside].mean()
        spread = white[~inside].std(ddof=1) / white[~inside].mean()
        z.append((depth - 0.02) / (spread * np.sqrt(1 / inside.sum() + 1 / (~inside).sum())))
    assert abs(np.mean(z)) < 2.5 / np.sqrt(8)


def along(small, seed=0, n_outputs=4, noise=5.0):
    """Return ramps whose lines run along the spectrum, read by four outputs, and the levels."""
    rng = np.random.default_rng(300 + seed)
    shape = (32, 256)
    common = walk(rng, (48, 4, 1), 32).swapaxes(2, 3)
    own = walk(rng, (48, 4, n_outputs), 32, sigma=2.0).swapaxes(2, 3)
    level = common + own
    rate = small.trace(shape, rate=8000.0, sky=30.0) - 30.0
    rate = rate * np.where(np.arange(256) < 200, 1.0, 0.0) + 30.0
    stripe = np.repeat(level, 256 // n_outputs, axis=-1)
    ds = noisy(
        small, stripe, seed=seed, rate=rate, shape=shape, fast="x", n_outputs=n_outputs, noise=noise
    )
    return ds, level


def test_along_the_spectrum_lines_help_each_other(small):
    """On the spectrum, where a line has no dark pixel, most of its level is found all the same."""
    ds, level = along(small)
    out = ds.tso.clean_1overf(**SCALED)
    left = error(out, level)
    lit = left[:, 13:18, :3]
    # with the true covariance 1.7 DN of 9.0 stay; one measured on 32 integrations does nearly as well
    assert np.std(lit) < 0.28 * np.std(rises(level)[:, 13:18, :3])
    predicted = np.sqrt(2 * out["stripe_variance"].values)
    assert np.std(left[:, 13:18]) == pytest.approx(predicted[13:18].mean(), rel=0.4)
    assert np.isfinite(out["ramp"]).all()


@pytest.mark.parametrize("method", ["mean", "polynomial"])
def test_lines_without_background_are_estimated_from_others(small, method):
    ds, level = along(small, seed=2)
    out = ds.tso.clean_1overf(method=method)
    step = 2 if method == "polynomial" else 1
    found = out[STRIPE].transpose("time", "group", "y", ...).values[..., ::step]
    left = rises(found) - rises(level)
    assert np.std(left[:, 13:18, :3]) < 0.6 * np.std(rises(level)[:, 13:18, :3])


def test_light_does_not_pass_for_levels_along_the_spectrum(small):
    """A transit of 2 %, on a spectrum without stripes: 1/400 of its depth in no line."""
    rate = small.trace((32, 256), rate=8000.0)
    ds = noisy(small, 0.0, rate=rate, shape=(32, 256), fast="x", n_outputs=4)
    stripe = rises(
        ds.tso.clean_1overf(**SCALED)[STRIPE].transpose("time", "group", "y", "output").values
    )
    change = stripe[LIGHT < 1].mean(axis=(0, 2)) - stripe[LIGHT == 1].mean(axis=(0, 2))
    assert np.abs(change).max() < 0.02 * 12000 / 400


def test_factor_per_line_along_the_spectrum_is_refused(small):
    with pytest.raises(
        ValueError, match=r"scaled_by is 'line', but lines run along the spectrum \(x\)"
    ):
        small.ramps(fast="x").tso.clean_1overf(method="scaled", scaled_by="line")


def test_hits_do_not_disturb(small):
    stripe = np.random.default_rng(6).normal(0, 8.0, (48, 4, 64))
    ds = noisy(small, stripe[:, :, None])
    struck, rng = ds.copy(deep=True), np.random.default_rng(4)
    for t, x in zip(*np.nonzero(rng.random((48, 64)) < 0.1), strict=True):
        struck["ramp"][t, rng.integers(0, 4) :, rng.integers(0, 32), x] += 2000.0
    before, after = (np.std(error(d.tso.clean_1overf(**SCALED), stripe)) for d in (ds, struck))
    assert after < 1.05 * before


def test_drift_along_a_line_is_a_polynomial(small):
    """A slope of 6 DN along each line: a straight line takes it off, a mean leaves it."""
    rng = np.random.default_rng(7)
    slope = rng.normal(0, 6.0, (48, 4, 1, 64)) * np.linspace(-1, 1, 32)[:, None]
    ds = noisy(small, slope)
    clean = noisy(small, 0.0)

    def left(**how):
        taken = rises(ds["ramp"].values) - rises(ds.tso.clean_1overf(**how)["ramp"].values)
        return np.std(taken - rises(np.broadcast_to(slope, ds["ramp"].shape)))

    assert clean.sizes == ds.sizes
    # 16 pixels of noise 5 sqrt(2): 1.8 DN, twice the variance for two terms
    assert left(method="polynomial") < 3.5
    assert left(method="polynomial", order=2) < 6.0
    assert left(method="mean") > 4.0


def test_odd_and_even_pixels(small):
    rng = np.random.default_rng(8)
    sign = np.where(np.arange(32) % 2 == 0, 0.5, -0.5)[:, None]
    difference = rng.normal(0, 8.0, (48, 4, 1, 64))
    out = noisy(small, difference * sign).tso.clean_1overf(method="odd_even")
    assert out[STRIPE].dims == ("time", "group", "x", "term")
    left = rises(out[STRIPE].values[..., 1]) - rises(difference[:, :, 0])
    # the difference of two means of eight pixels, with the sky's photons (variance 45)
    assert np.std(left) == pytest.approx(np.sqrt(95 * 4 / 16), rel=0.1)


def test_all_groups_saturated(small):
    """Nothing to measure with: the ramps stay as they are, without NaN."""
    ds = noisy(small, 0.0)
    ds = ds.assign(dq_group=ds["dq_group"] | np.uint8(2))
    out = ds.tso.clean_1overf(**SCALED)
    assert np.isfinite(out["ramp"]).all()
    assert np.isfinite(out["stripe_variance"]).all()
    assert not out["clean_1overf_mask"].any()


def test_mask_given_by_the_user(small):
    mask = xr.DataArray(np.zeros(SHAPE, bool), dims=("y", "x"))
    mask[:10] = True
    out = noisy(small, 0.0).tso.clean_1overf(mask=mask, **SCALED)
    assert not out["clean_1overf_mask"][10:].any()
    assert out["clean_1overf_mask"][:10].mean() > 0.95


def test_one_group_takes_the_mean(small):
    out = small.ramps(n_groups=1).tso.clean_1overf(**SCALED)
    assert "one group" in small.notes(out)


@pytest.mark.parametrize("method", ["mean", "median", "scaled"])
def test_rates(method):
    """A level of 3 DN/s on each line of rates comes off, and the error says what is left."""
    ds = testing.example("rates")
    slow = ds.attrs["slow_dim"]
    size = (ds.sizes["time"], ds.sizes[slow])
    level = np.random.default_rng(9).normal(0, 3.0, size)
    struck = ds.assign(rate=(ds["rate"] + xr.DataArray(level, dims=("time", slow))).astype("f4"))
    struck["rate"].attrs = ds["rate"].attrs
    clean, out = ds.tso.clean_1overf(method=method), struck.tso.clean_1overf(method=method)
    difference = (out["rate"] - clean["rate"]).transpose("time", slow, ...).values
    left = difference - np.median(difference, axis=0)
    # of K = 9 the part K / (K + N) comes off; what is left, V = K N / (K + N), tells N, and the
    # rest of the level is (1 - K / (K + N)) 3 = V / 3
    assert np.nanstd(left) < float(out["level_variance"].median()) / 3.0
    assert float(out["level_variance"].median()) < 0.5 * 9.0
    assert out["level_variance"].dims == (slow,)
    assert out["level_variance"].attrs["units"] == "DN2 s-2"
    assert (out["level_variance"] > 0).all()


def test_power_after_is_that_of_white_noise(small):
    """Below the frequency of lines, the power falls by the share of the stripes."""
    stripe = np.random.default_rng(5).normal(0, 8.0, (48, 4, 1, 64))
    out = noisy(small, stripe).tso.clean_1overf()
    before, after = out["clean_1overf_power"].values
    seen = np.isfinite(before) & (out["clean_1overf_frequency"].values < 0.3 * 64 / 0.5)
    assert seen.sum() > 5
    # 128 DN2 in each of 16 pixels against 50 of white noise
    assert np.mean(after[seen]) < 0.2 * np.mean(before[seen])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scaled_by": "star"}, "scaled_by is 'star'; it must be one of"),
        ({"order": 3}, "order is 3; it must be 1 or 2"),
    ],
)
def test_bad_input(small, given, message):
    with pytest.raises(ValueError, match=message):
        small.ramps().tso.clean_1overf(**given)


def test_rates_without_flags_are_refused():
    with pytest.raises(tsoxr.errors.SchemaError, match="needs 'dq'"):
        testing.example("rates").drop_vars("dq").tso.clean_1overf()


@pytest.mark.parametrize("fast", ["y", "x"])
def test_contract(small, fast):
    ds = along(small)[0] if fast == "x" else noisy(small, 0.0)
    testing.check_step("clean_1overf", ds, **SCALED)


def test_contract_of_the_others(small):
    ds = noisy(small, 0.0)
    testing.check_step("clean_1overf", ds, method="odd_even")
    testing.check_step("clean_1overf", testing.example("rates"), **SCALED)


@pytest.mark.parametrize("fast", ["y", "x"])
@pytest.mark.parametrize("method", ["median", "mean", "scaled", "polynomial"])
def test_blocks_of_integrations_do_not_show(small, monkeypatch, fast, method):
    """Measured one by one, integrations are cleaned to the bit as they are all at once.

    And as in chunks, where the sampled ones are measured once more.
    """
    shape = (32, 64)
    stripe = np.random.default_rng(9).normal(
        0, 8.0, (40, 4, *((1, 64) if fast == "y" else (32, 1)))
    )
    how = {"fast": fast, "n_outputs": 1 if fast == "y" else 2}
    ds = noisy(small, stripe, light=np.ones(40), shape=shape, **how)
    whole = ds.tso.clean_1overf(method=method)["ramp"]
    chunks = ds.chunk(time=7).tso.clean_1overf(method=method)["ramp"].compute()
    np.testing.assert_array_equal(chunks, whole)
    monkeypatch.setattr(_stripe_levels, "BLOCK", 1)
    np.testing.assert_array_equal(ds.tso.clean_1overf(method=method)["ramp"], whole)
