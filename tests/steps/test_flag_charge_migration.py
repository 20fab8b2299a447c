"""Which groups are cut, where, and what it does to ramps with charge that moved."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, schema, testing


def lost(ds):
    return dq.has_flag(ds["dq_group"], "CHARGELOSS").values


@pytest.fixture
def bright(small):
    """One pixel, (10, 20), with 8000 DN per group above a bias of 1000 that is known."""
    rate = np.zeros((32, 64))
    rate[10, 20] = 16000.0
    ds = small.ramps(rate, bias=1000.0, n_time=10, n_groups=6)
    level = xr.DataArray(np.full((32, 64), 1000.0, "f4"), dims=("y", "x"))
    return ds.assign(superbias=schema.label(level, "ramps", "superbias"))


def test_from_the_threshold_to_the_end_with_neighbours(bright):
    out = bright.tso.flag_charge_migration(threshold=24500.0)  # 8000, 16000, 24000, 32000
    expected = np.zeros(bright["ramp"].shape, bool)
    expected[:, 3:, 9:12, 19:22] = True
    np.testing.assert_array_equal(lost(out), expected)
    np.testing.assert_array_equal(dq.has_flag(out["dq_group"], "DO_NOT_USE"), expected)
    assert int(out["flag_charge_migration_first_group"][10, 20]) == 4
    assert int((out["flag_charge_migration_first_group"] > 0).sum()) == 1


@pytest.mark.parametrize(("grow", "n"), [(0, 1), (1, 9), (2, 25)])
def test_grow(bright, grow, n):
    assert lost(bright.tso.flag_charge_migration(grow=grow))[0, -1].sum() == n


def test_the_same_with_the_bias_known_subtracted_or_extrapolated(bright, small):
    first = lost(bright.tso.flag_charge_migration())
    np.testing.assert_array_equal(
        lost(bright.tso.subtract_bias().tso.flag_charge_migration()), first
    )
    bare = bright.drop_vars("superbias").tso.flag_charge_migration()
    assert "extrapolated from the first two groups" in small.notes(bare)
    np.testing.assert_array_equal(lost(bare), first)


def test_two_groups_are_left(bright):
    out = bright.tso.flag_charge_migration(threshold=10.0)
    assert (~lost(out)[:, :, 10, 20]).sum(axis=1).tolist() == [2] * 10
    cut = bright.tso.flag_groups(first=2).tso.flag_charge_migration(threshold=10.0)
    usable = ~dq.has_flag(cut["dq_group"]).values[0, :, 10, 20]
    np.testing.assert_array_equal(usable, [False, False, True, True, False, False])


def test_saturated_stays_saturated(bright):
    before = bright.assign(
        dq_group=dq.set_flag(bright["dq_group"], bright["group"] > 4, "SATURATED", "JUMP_DET")
    )
    after = before.tso.flag_charge_migration()["dq_group"].values
    np.testing.assert_array_equal(after & before["dq_group"].values, before["dq_group"].values)


def test_one_group_number_for_all_integrations(small):
    """The pixel crosses the threshold in four of ten integrations only."""
    light = np.where(np.arange(10) < 4, 1.05, 0.95)
    rate = np.zeros((32, 64))
    rate[10, 20] = 16000.0
    ds = small.ramps(rate, n_time=10, n_groups=6, light=light)  # 24000 (1 +- 0.05)
    ds = ds.assign(
        superbias=0.0 * ds["read_offset"] if "read_offset" in ds else xr.DataArray(np.float32(0))
    )

    def at(**given):
        return lost(ds.tso.flag_charge_migration(threshold=24000.0, **given))[:, 2, 10, 20]

    assert not at().any()
    assert at(same_for_all=0.4).all()
    np.testing.assert_array_equal(at(same_for_all=False), np.arange(10) < 4)


def test_a_hit_and_a_bad_pixel_cut_nothing(bright, small):
    ds = bright.copy(deep=True)
    ds["ramp"][3, 2:, 5, 40] = 40000.0
    ds = small.flag_pixels(ds, np.arange(64) == np.full((32, 1), 20), "DO_NOT_USE")
    assert not lost(ds.tso.flag_charge_migration()).any()


@pytest.mark.parametrize(
    ("mode", "given"),
    [
        ("nirspec-prism", {"n_groups": 10}),
        ("miri-lrs", {"n_groups": 10}),
        ("niriss-soss", {"n_groups": 6, "subarray": "SUBSTRIP96"}),
    ],
)
def test_ramps_bend_less(mode, given):
    """Noiseless ramps with and without migration: the loss of the brightest pixels.

    What a pixel loses grows with the square of the time, so the loss of a slope fitted to
    the first k of n groups is about k / n of that of all.
    """
    given = given | {"n_integrations": 2, "noise": ("bias",), "seed": 3, "brightness": 0.8}
    exposure = tsoxr.simulation.exposure(mode, **given)
    clean = exposure.ramps()
    ramps = exposure.replace(noise=("bias", "charge_migration")).ramps()
    top = (clean["ramp"].isel(time=0, group=-1) - clean["superbias"]).values
    core = top > 0.9 * top.max()
    limit = 0.4 * top.max()
    loss = []
    for threshold in (1e9, limit):
        moved, still = (
            d.tso.subtract_bias().tso.flag_charge_migration(threshold=float(threshold))
            .tso.fit_ramps(read_noise=5.0)["rate"].values[0] for d in (ramps, clean)
        )  # fmt: skip
        loss.append(1.0 - np.median(moved[core] / still[core]))
    assert loss[0] > 1e-4
    assert loss[1] < 0.55 * loss[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threshold": 0.0}, "threshold=0.0; it is a signal above the bias"),
        ({"grow": -1}, "grow=-1; it is a whole number"),
        ({"same_for_all": 1.5}, "same_for_all=1.5; it is True, False or the part"),
    ],
)
def test_bad_input(bright, given, message):
    with pytest.raises(ValueError, match=message):
        bright.tso.flag_charge_migration(**given)


def test_contract(bright):
    testing.check_step("flag_charge_migration", bright)
    testing.check_step("flag_charge_migration", bright.drop_vars("superbias"), same_for_all=False)
