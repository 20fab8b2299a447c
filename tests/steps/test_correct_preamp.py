"""Pre-amp levels: what is injected comes off, noise hardly comes in, light stays."""

import functools

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import testing
from tsoxr.simulation import exposure
from tsoxr.simulation.electronics import Electronics

NOISE = ("photon", "read", "one_over_f", "pedestal", "bias", "ktc", "background", "odd_even")
LEVEL, LINE = "correct_preamp_level", "correct_preamp_line"
SHAPE = (32, 64)


def noisy(small, offset=0.0, *, sigma=5.0, seed=0, **given):
    """Return ramps with white noise and reference pixels in the first four rows."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, sigma, (20, 5, *SHAPE))
    given = {"rate": small.trace(SHAPE), "fast": "x", **given}
    ds = small.ramps(shape=SHAPE, offset=noise + offset, **given)
    rows = np.arange(32)[:, None] < 4
    blind = ds["ramp"].where(ds["y"] >= 4, (noise + offset).astype("f4"))
    return small.flag_pixels(ds.assign(ramp=blind), rows * np.ones(SHAPE, bool), "REFERENCE_PIXEL")


def removed(ds, out):
    """Return what came off, from first to last group, free of what does not vary."""
    taken = (ds["ramp"].astype("f4") - out["ramp"]).values
    taken = taken[:, -1] - taken[:, 0]
    return taken - np.median(taken, axis=0)


def rise(offset):
    offset = np.broadcast_to(offset, (20, 5, *SHAPE))
    change = offset[:, -1] - offset[:, 0]
    return change - np.median(change, axis=0)


@pytest.mark.parametrize("fast", ["x", "y"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_outputs_parities_and_lines_come_off(small, fast, seed):
    rng = np.random.default_rng(seed)
    along, across = np.arange(64 if fast == "x" else 32), (32 if fast == "x" else 64)
    output = along * 2 // along.size
    level = (
        rng.normal(0, 20, (20, 5, 2))[..., output] + rng.normal(0, 4, (20, 5, 2))[..., along % 2]
    )
    line = rng.normal(0, 6, (20, 5, across))
    offset = level[:, :, None, :] + line[..., None]
    offset = offset if fast == "x" else offset.swapaxes(2, 3)
    ds = noisy(small, offset, seed=seed, fast=fast, n_outputs=2)
    left = rise(offset) - removed(ds, ds.tso.correct_preamp(trace_half_width=4.0))
    # along x, lines in the light have no sky and keep their 6 sqrt(2) DN; elsewhere a line has
    # 24 to 32 pixels of an output: 5 sqrt(2) / sqrt(24) = 1.4 DN, and the clipped median
    measured = np.abs(np.arange(32) - 15) > 5
    assert left[:, measured].std() < 2.0
    assert left.std() < 0.35 * rise(offset).std()


def test_reference_pixels_alone(small):
    offset = np.random.default_rng(1).normal(0, 20, (20, 5, 1, 1)) * np.ones((1, 1, *SHAPE))
    ds = noisy(small, offset)
    out = ds.tso.correct_preamp(pixels="reference")
    assert int(out["correct_preamp_mask"].sum()) == 4 * 64
    # 256 pixels of 5 sqrt(2) DN: 0.44 DN
    assert (rise(offset) - removed(ds, out)).std() < 0.9


def test_noise_without_levels_stays_as_it_is(small):
    """Nothing to remove: what is subtracted is far below what raw means would add."""
    added = []
    for seed in range(4):
        ds = noisy(small, seed=seed)
        added.append(removed(ds, ds.tso.correct_preamp(trace_half_width=4.0)).var())
    # raw line means of 64 pixels would add 2 x 25 / 64 = 0.78 DN2
    assert np.mean(added) < 0.3 * 0.78


@functools.cache
def simulated(mode, seed, **given):
    each = exposure(mode, seed=seed, noise=NOISE, **given)
    truth = np.stack([Electronics(each).groups(i) for i in range(each.n_integrations)])
    change = truth[:, -1] - truth[:, 0]
    return each.ramps(), change - np.median(change, axis=0)


CASES = {
    "prism": ("nirspec-prism", {"n_integrations": 20}),
    "miri": ("miri-lrs", {"n_integrations": 12, "n_groups": 4}),
    "grism, 4 outputs": ("nircam-grism", {"n_integrations": 8, "n_groups": 3, "n_outputs": 4}),
    "grism, 1 output": ("nircam-grism", {"n_integrations": 8, "n_groups": 3, "n_outputs": 1}),
    "soss": ("niriss-soss", {"n_integrations": 8, "n_groups": 2, "subarray": "SUBSTRIP96"}),
}


@pytest.mark.parametrize("case", CASES)
def test_scatter_falls(case):
    """All that the electronics add, pixel by pixel and averaged over the spectrum's pixels."""
    mode, given = CASES[case]
    ds, truth = simulated(mode, 1, **given)
    left = truth - removed(ds, ds.tso.correct_preamp())
    light = np.median(ds["ramp"].values[:, -1].astype("f4") - ds["ramp"].values[:, 0], axis=0)
    spectrum = light > np.percentile(light, 97)
    assert left.std() < 0.85 * truth.std()
    assert left[:, spectrum].mean(axis=1).std() < 0.7 * truth[:, spectrum].mean(axis=1).std()


def test_light_of_the_star_is_kept(small):
    """A dip of 2 % in wings of up to 130 DN/s in the sky pixels does not enter the levels."""
    light = np.where(np.arange(20) < 10, 1.0, 0.98)
    wings = small.trace(SHAPE, sigma=0.8, rate=20000.0) + small.trace(SHAPE, sigma=4.0, rate=400.0)
    dip = []
    for seed in range(4):
        ds = noisy(small, seed=seed, rate=wings, light=light, sigma=3.0)
        taken = removed(ds, ds.tso.correct_preamp(pixels="sky", trace_half_width=6.0))
        dip.append(taken[10:, 10:20].mean() - taken[:10, 10:20].mean())
    # without ``scale``: 2 % of some 100 DN/s in 2 s, 4 DN
    assert abs(np.mean(dip)) < 0.3


def test_hits_do_not_matter(small):
    offset = np.random.default_rng(5).normal(0, 10, (20, 5, 1, 1)) * np.ones((1, 1, *SHAPE))
    ds = noisy(small, offset)
    struck = ds.copy(deep=True)
    struck["ramp"][4, 2:, 1, 10:16] += 5000.0
    change = abs(struck.tso.correct_preamp()[LEVEL] - ds.tso.correct_preamp()[LEVEL])
    # six of some 1000 pixels fewer, of 12 DN each: 0.1 DN
    assert float(change.max()) < 0.6


def test_zero_point_can_be_kept(small):
    offset = np.random.default_rng(6).normal(0, 20, (20, 5, 1, 1)) * np.ones((1, 1, *SHAPE))
    ds = noisy(small, offset)
    out = ds.tso.correct_preamp(pedestal=False)
    np.testing.assert_array_equal(out["ramp"][:, 0], ds["ramp"][:, 0])
    np.testing.assert_allclose(removed(ds, out), removed(ds, ds.tso.correct_preamp()), atol=1e-3)


def test_slow_pattern(small):
    pattern = np.random.default_rng(7).normal(0, 8, (20, 5, 1, 64)) * np.ones((1, 1, *SHAPE))
    ds = noisy(small, pattern)
    left = rise(pattern) - removed(ds, ds.tso.correct_preamp(slow_pattern=True))
    # 5 sqrt(2) / sqrt(20 pixels of a column)
    assert left.std() < 2.2
    assert (rise(pattern) - removed(ds, ds.tso.correct_preamp())).std() > 5.0


def test_one_group(small):
    offset = np.random.default_rng(8).normal(0, 20, (20, 1, 1, 1)) * np.ones((1, 1, *SHAPE))
    ds = noisy(small, np.repeat(offset, 5, axis=1)).isel(group=[0])
    out = ds.tso.correct_preamp()
    taken = (ds["ramp"] - out["ramp"]).values[:, 0]
    off = taken - offset[:, 0] + np.median(offset[:, 0], axis=0)
    assert (off - np.median(off)).std() < 1.5


def test_given_mask(small):
    offset = np.random.default_rng(9).normal(0, 20, (20, 5, 1, 1)) * np.ones((1, 1, *SHAPE))
    mask = xr.DataArray((np.arange(32)[:, None] > 24) * np.ones(SHAPE, bool), dims=("y", "x"))
    out = noisy(small, offset).tso.correct_preamp(pixels="sky", mask=mask)
    np.testing.assert_array_equal(out["correct_preamp_mask"], mask)


def test_nothing_to_do(small):
    ds = small.ramps(shape=SHAPE, fast="x")
    out = ds.tso.correct_preamp(pixels="reference")
    assert "no pixel of kind 'reference'" in small.notes(out)
    assert out["ramp"].identical(ds["ramp"])
    assert "one integration" in small.notes(ds.isel(time=[0]).tso.correct_preamp())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pixels": "dark"}, "pixels is 'dark'"),
        ({"sigma": 0.0}, "sigma is 0.0"),
        ({"trace_half_width": -1.0}, "trace_half_width is -1.0"),
        ({"mask": xr.DataArray(np.ones((3, 3), bool), dims=("y", "x"))}, "mask is"),
        ({"mask": np.ones(SHAPE, bool)}, "mask is ndarray"),
    ],
)
def test_bad_input(small, given, message):
    with pytest.raises(ValueError, match=message):
        small.ramps(shape=SHAPE).tso.correct_preamp(**given)


def test_contract(small):
    offset = np.random.default_rng(10).normal(0, 20, (20, 5, 1, 1)) * np.ones((1, 1, *SHAPE))
    testing.check_step("correct_preamp", noisy(small, offset, n_outputs=4))
    testing.check_step("correct_preamp", small.ramps())


@pytest.mark.parametrize("mode", ["nirspec-prism", "nirspec-g395h"])
def test_error_bars_of_channels(mode):
    """Where photons do not dominate, the error of each channel is its scatter."""
    quiet = ("photon", "read", "ktc", "bias", "background", "one_over_f", "pedestal")
    given = {"nirspec-prism": {}, "nirspec-g395h": {"subarray": "SUB1024A"}}[mode]
    made = exposure(
        mode, seed=3, n_integrations=24, n_groups=3, brightness=0.02, noise=quiet, **given
    )
    ds = made.ramps().tso.subtract_bias().tso.correct_preamp()
    assert ds["stripe_variance"].dims == (ds.attrs["slow_dim"],)
    rates = ds.tso.fit_ramps().tso.find_trace()
    spectra = rates.tso.assign_wavelength().tso.extract()
    light = xr.DataArray(made.truth()["white_flux"].values, dims="time")
    left = spectra["flux"] - spectra["flux"].median("time") * (light / light.median())
    scatter = np.sqrt(float(left.var("time", ddof=1).mean()))
    # 500 or 1000 channels of 23 degrees of freedom, neighbours alike: 1.5 %; light and the
    # weights of the extraction differ
    assert np.sqrt(float((spectra["flux_error"] ** 2).mean())) == pytest.approx(scatter, rel=0.05)


def test_error_is_added_to_one_that_is_there(small):
    ds = noisy(small, fast="y")
    alone = ds.tso.correct_preamp(trace_half_width=4.0)["stripe_variance"]
    before = xr.DataArray(np.full(64, 2.0), dims="x")
    both = ds.assign(stripe_variance=before).tso.correct_preamp(trace_half_width=4.0)
    np.testing.assert_allclose(both["stripe_variance"], alone + 2.0)


def test_groups_flagged_before_hide_nothing():
    given = {"subarray": "SUBGRISM64", "n_integrations": 8, "n_groups": 5, "seed": 3}
    ds = tsoxr.simulate("nircam-grism", kind="ramps", **given)
    flagged = ds.tso.flag_groups(first=1, last=1)
    assert (flagged["dq_group"].isel(group=0) != 0).any()
    expected, out = ds.tso.correct_preamp()["ramp"], flagged.tso.correct_preamp()["ramp"]
    np.testing.assert_array_equal(out, expected)
    assert float(abs(out - ds["ramp"]).max()) > 1.0
