"""Reference pixels: offsets of outputs and parities come off, noise hardly comes in."""

import numpy as np
import pytest

import tsoxr
from tsoxr import testing
from tsoxr.simulation.electronics import Electronics

LEVEL = "correct_reference_pixels_level"


def with_border(small, offset, *, shape=(32, 128), rows=4, **attrs):
    """Return ramps whose first rows are reference pixels."""
    ds = small.ramps(small.trace(shape), shape=shape, offset=offset, **attrs)
    border = np.arange(shape[0])[:, None] < rows
    # reference pixels are blind
    blind = ds["ramp"].where(ds["y"] >= rows, np.broadcast_to(offset, ds["ramp"].shape))
    return small.flag_pixels(
        ds.assign(ramp=blind.astype("f4")), border * np.ones(shape, bool), "REFERENCE_PIXEL"
    )


@pytest.mark.parametrize(("n_outputs", "fast"), [(1, "x"), (4, "x"), (1, "y")])
def test_offsets_come_off(small, n_outputs, fast):
    """Each integration, group, output and parity has its own offset: exact without noise."""
    shape, rng = (32, 128), np.random.default_rng(1)
    along = np.arange(128 if fast == "x" else 32)
    label = 2 * (along * n_outputs // along.size) + along % 2
    level = rng.normal(0, 20, (20, 5, 2 * n_outputs))[..., label]
    offset = level[:, :, None, :] if fast == "x" else level[:, :, :, None]
    ds = with_border(small, offset, shape=shape, fast=fast, n_outputs=n_outputs)
    out = ds.tso.correct_reference_pixels()
    clean = small.ramps(small.trace(shape), shape=shape)
    np.testing.assert_allclose(out["ramp"][:, :, 4:], clean["ramp"][:, :, 4:], atol=1e-3)
    assert out[LEVEL].sizes["reference_level"] == 2 * n_outputs


def test_interleaved_outputs(small):
    """MIRI: neighbouring columns belong to different outputs."""
    level = np.random.default_rng(2).normal(0, 20, (20, 5, 4))
    offset = level[:, :, None, np.arange(128) % 4]
    ds = with_border(small, offset, fast="x", n_outputs=4, detector="MIRIMAGE")
    out = ds.tso.correct_reference_pixels()
    clean = small.ramps(small.trace((32, 128)), shape=(32, 128))
    np.testing.assert_allclose(out["ramp"][:, :, 4:], clean["ramp"][:, :, 4:], atol=1e-3)
    np.testing.assert_allclose(out[LEVEL], level, atol=1e-3)


def test_zero_point_can_be_kept(small):
    offset = np.random.default_rng(3).normal(0, 20, (20, 5, 1, 1)) + 7000.0
    out = with_border(small, offset, fast="x").tso.correct_reference_pixels(pedestal=False)
    clean = small.ramps(small.trace((32, 128)), shape=(32, 128))["ramp"]
    np.testing.assert_allclose(out["ramp"][:, 0, 4:], clean[:, 0, 4:] + offset[:, 0], atol=2e-3)
    slopes = out["ramp"].diff("group") - clean.diff("group")
    np.testing.assert_allclose(slopes[:, :, 4:], 0.0, atol=3e-3)


def test_noise_that_is_added(small):
    """512 reference pixels in two parities: 1/256 of their variance, common to all pixels."""
    noise = np.random.default_rng(4).normal(0, 5.0, (20, 5, 32, 128))
    ds = with_border(small, noise, fast="x")
    level = ds.tso.correct_reference_pixels(shrink=False)[LEVEL]
    # 200 levels: 1 sigma of their variance is 10 %
    assert float(level.var()) == pytest.approx(25.0 / 256, rel=0.4)


def test_hits_on_reference_pixels(small):
    offset = np.random.default_rng(5).normal(0, 3.0, (20, 5, 32, 128))
    ds = with_border(small, offset, fast="x")
    struck = ds.copy(deep=True)
    struck["ramp"][4, 2:, 1, 10:16] += 5000.0
    whole = {"shrink": False}
    change = abs(
        struck.tso.correct_reference_pixels(**whole)[LEVEL]
        - ds.tso.correct_reference_pixels(**whole)[LEVEL]
    )
    # three of 256 pixels fewer: 3 sqrt(2) sqrt(3) / 256 = 0.03 DN, 1 sigma
    assert float(change.max()) < 0.15


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_change_nothing(small, rows):
    """With 128 columns in four outputs, one row gives 32 pixels to each: fewer than 50."""
    offset = np.random.default_rng(6).normal(0, 3.0, (20, 5, 32, 128))
    ds = with_border(small, offset, rows=rows, fast="x", n_outputs=4)
    out = ds.tso.correct_reference_pixels()
    assert out["ramp"].identical(ds["ramp"])
    assert f"{128 * rows} reference pixels in this subarray: too few" in small.notes(out)
    assert LEVEL not in out


def test_parities_share_a_level_where_there_are_few(small):
    """64 pixels per output: 32 of each parity are too few, 64 together are enough."""
    ds = with_border(small, np.zeros(1), rows=2, fast="x", n_outputs=4)
    assert ds.tso.correct_reference_pixels()[LEVEL].sizes["reference_level"] == 4
    assert ds.tso.correct_reference_pixels(min_pixels=30)[LEVEL].sizes["reference_level"] == 8


def test_output_without_reference_pixels_is_left_alone(small):
    """As in a grism subarray without rows of them: the outer outputs have columns, the others none."""
    offset = np.random.default_rng(7).normal(0, 20, (20, 5, 1, 1))
    shape = (32, 128)
    ds = small.ramps(shape=shape, offset=offset, fast="x", n_outputs=4)
    columns = np.arange(128)
    ds = small.flag_pixels(
        ds, ((columns < 4) | (columns >= 124)) * np.ones(shape, bool), "REFERENCE_PIXEL"
    )
    out = ds.tso.correct_reference_pixels()["ramp"]
    np.testing.assert_allclose(out[..., :32], 0.0, atol=1e-3)
    np.testing.assert_array_equal(out[..., 32:96], ds["ramp"][..., 32:96])


def test_nirspec_subarray_has_none(small):
    out = tsoxr.simulate(
        "nirspec-prism", kind="ramps", n_integrations=4, seed=1
    ).tso.correct_reference_pixels()
    assert "data unchanged" in small.notes(out)


def test_simulated_pedestals_of_miri_shrink():
    """Pedestal and slow drift of an output (about 2 DN) fall to the noise of the level."""
    ds = tsoxr.simulate("miri-lrs", kind="ramps", n_integrations=30, seed=4).tso.subtract_bias()
    out = ds.tso.correct_reference_pixels()
    scatter = [
        float(change.isel(x=slice(60, 72)).mean(("y", "x")).std("time").mean())
        for change in (ds["ramp"].diff("group"), out["ramp"].diff("group"))
    ]
    assert scatter[1] < 0.4 * scatter[0]


@pytest.mark.parametrize("given", [{"sigma": 0}, {"min_pixels": 0}])
def test_bad_input(small, given):
    with pytest.raises(ValueError, match="both must be positive"):
        small.ramps().tso.correct_reference_pixels(**given)


def test_contract(small):
    offset = np.random.default_rng(8).normal(0, 20, (20, 5, 32, 128))
    testing.check_step(
        "correct_reference_pixels", with_border(small, offset, fast="x", n_outputs=4)
    )
    testing.check_step("correct_reference_pixels", small.ramps())


def spectrum_levels(ds, truth):
    """Return what the electronics add to the spectrum on average, last minus first, (time,)."""
    light = np.median(ds["ramp"].values[:, -1].astype("f4") - ds["ramp"].values[:, 0], axis=0)
    return truth[:, light > np.percentile(light, 97)].mean(axis=1)


CASES = {
    "nircam, 1 output": ("nircam-grism", {"n_outputs": 1, "n_groups": 2}),
    "nircam, 4 outputs": ("nircam-grism", {"n_outputs": 4, "n_groups": 2}),
    "nircam imaging": ("nircam-imaging", {"n_groups": 2, "subarray": "SUB160P"}),
    "miri": ("miri-lrs", {"n_groups": 3}),
    "miri imaging": ("miri-imaging", {"n_groups": 3}),
    "soss": ("niriss-soss", {"n_groups": 2, "subarray": "SUBSTRIP96"}),
    "prism": ("nirspec-prism", {"n_groups": 2}),
}


@pytest.mark.parametrize(
    "case", [c if c != "soss" else pytest.param(c, marks=pytest.mark.long) for c in CASES]
)
def test_never_worse_after_than_before(case):
    """What the electronics add to the spectrum, averaged over it, does not scatter by more."""
    mode, given = CASES[case]
    ratio = []
    for seed in range(4 if "nircam" in case else 2):
        made = tsoxr.simulation.exposure(
            mode, seed=seed, noise=("read", "one_over_f", "pedestal", "bias", "ktc"),
            n_integrations=20, **given,
        )  # fmt: skip
        ds = made.ramps(chunks=4).load()
        truth = np.stack([Electronics(made).groups(i) for i in range(20)])
        truth = truth[:, -1] - truth[:, 0]
        out = tsoxr.steps.correct_reference_pixels(ds)
        taken = (ds["ramp"].astype("f4") - out["ramp"].astype("f4")).values
        before, after = (
            spectrum_levels(ds, x) for x in (truth, truth - (taken[:, -1] - taken[:, 0]))
        )
        ratio.append(after.std() / before.std())
    # a share fitted to 20 integrations is known to 1/sqrt(20) of the part that is not shared: it
    # adds 1/20 of the variance of one level, and four outputs have one each
    assert np.mean(ratio) < 1.05
    assert max(ratio) < 1.25


def test_reference_pixels_that_say_nothing_are_left_out(small):
    """Noise alone, 512 pixels of it: raw means would add 1/256 of the variance to all pixels."""
    added = []
    for seed in range(6):
        noise = np.random.default_rng(seed).normal(0, 5.0, (20, 5, 32, 128))
        level = with_border(small, noise, fast="x").tso.correct_reference_pixels()[LEVEL]
        change = level.isel(group=-1) - level.isel(group=0)
        added.append(float((change - change.median("time")).var()))
    # 12 shares, of which 1 in 44 is taken for significant: far less than 2 x 25 / 256
    assert np.mean(added) < 0.2 * 2 * 25.0 / 256


def test_few_integrations_are_corrected_whole(small):
    offset = np.random.default_rng(9).normal(0, 20, (20, 5, 1, 1))
    ds = with_border(small, offset, fast="x").isel(time=slice(0, 5))
    out = ds.tso.correct_reference_pixels()
    assert "5 integrations: too few to shrink the levels" in small.notes(out)
    assert (out["correct_reference_pixels_share"] == 1.0).all()
