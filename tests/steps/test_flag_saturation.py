"""Saturation: what is flagged, from when on, and for whom."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, schema, testing


def saturated(ds):
    return dq.has_flag(ds["dq_group"], "SATURATED").values


def with_level(ds, level):
    level = xr.DataArray(np.full((ds.sizes["y"], ds.sizes["x"]), level, "f4"), dims=("y", "x"))
    return ds.assign(saturation=schema.label(level, "ramps", "saturation"))


def with_warning(mode, **given):
    with pytest.warns(tsoxr.TsoWarning, match="saturates after"):
        return tsoxr.simulate(mode, **given)


def saturating():
    return with_warning("nirspec-prism", kind="ramps", n_integrations=6, brightness=2.0, seed=2)


@pytest.fixture
def bright(small):
    """One pixel, (10, 20), that collects 20000 DN per group above a bias of 1000."""
    rate = np.zeros((32, 64))
    rate[10, 20] = 40000.0
    return with_level(small.ramps(rate, bias=1000.0, n_time=10), 50000.0)


def test_group_and_all_later_ones_in_a_box(bright):
    found = saturated(bright.tso.flag_saturation())
    expected = np.zeros_like(found)
    expected[:, 2:, 9:12, 19:22] = True  # 21000, 41000, 61000 ...
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("grow", "n"), [(0, 1), (1, 9), (2, 25)])
def test_grow(bright, grow, n):
    assert saturated(bright.tso.flag_saturation(grow=grow))[0, -1].sum() == n


def test_limit_is_a_fraction_of_the_level(bright):
    assert saturated(bright.tso.flag_saturation(limit=0.8))[0, :, 10, 20].tolist() == [
        False,
        True,
        True,
        True,
        True,
    ]
    record = bright.tso.flag_saturation().tso.history[-1]
    assert record["params"]["limit"] == 1.0
    assert record["derived"] == ["limit"]


def test_first_group_diagnostic_counts_from_one(bright):
    first = bright.tso.flag_saturation()["flag_saturation_first_group"]
    assert int(first[10, 20]) == 3
    assert int(first.sum()) == 3


def test_without_reference_the_constant_of_the_detector(bright, small):
    out = bright.drop_vars("saturation").assign_attrs(detector="NRS1").tso.flag_saturation()
    assert "typical 60000 DN of NRS1" in small.notes(out)
    assert out.tso.history[-1]["params"]["limit"] == 0.9
    assert saturated(out)[0, :, 10, 20].tolist() == [False, False, True, True, True]  # 54000


def test_without_anything_the_converter(small):
    out = small.ramps(dtype="u2", bias=65535).tso.flag_saturation()
    assert "limit of the converter" in small.notes(out)
    assert saturated(out).all()


def test_zero_counts_are_the_floor_of_the_converter(small):
    ds = small.ramps(bias=100.0, dtype="u2")
    ds["ramp"][3, 1, 4, 5] = 0
    flags = with_level(ds, 6e4).tso.flag_saturation()["dq_group"]
    assert int(flags[3, 1, 4, 5]) == dq.FLAGS["AD_FLOOR"] | dq.FLAGS["DO_NOT_USE"]
    assert int((flags != 0).sum()) == 1


def test_no_flag_is_cleared(bright):
    before = bright.assign(
        dq_group=dq.set_flag(bright["dq_group"], bright["x"] % 3 == 0, "JUMP_DET", "DO_NOT_USE")
    )
    after = before.tso.flag_saturation()["dq_group"].values
    np.testing.assert_array_equal(after & before["dq_group"].values, before["dq_group"].values)


def test_columns_go_together_in_all_integrations(bright, small):
    """The pixel crosses the limit in half of the integrations: all give up the same groups."""
    light = np.where(np.arange(10) < 5, 1.0, 0.9)
    rate = np.zeros((32, 64))
    rate[10, 20] = 40000.0
    ds = with_level(small.ramps(rate, bias=1000.0, n_time=10, light=light), 40500.0)
    each = saturated(ds.tso.flag_saturation())
    assert each[:5, 1, 10, 20].all()
    assert not each[5:, 1, 10, 20].any()
    together = saturated(ds.tso.flag_saturation(columns=True))
    assert together[:, 1:, :, 20].all()
    assert not together[:, 0].any()
    assert not together[..., :19].any()


def test_a_hit_or_a_bad_pixel_takes_no_column(bright, small):
    ds = bright.copy(deep=True)
    ds["ramp"][3, 2:, 5, 40] = 60000.0
    ds = small.flag_pixels(ds, np.arange(64) == np.full((32, 1), 20), "DO_NOT_USE")
    found = saturated(ds.tso.flag_saturation(columns=True))
    assert found[3, 2:, 5, 40].all()
    assert not found[:, :, 20, 40].any()
    assert not found[:, :, 25, 20].any()


def test_unchecked_pixels_are_judged_by_the_converter(bright, small):
    where = np.zeros((32, 64), bool)
    where[10, 20] = True
    out = small.flag_pixels(bright, where, "NO_SAT_CHECK").tso.flag_saturation()
    assert saturated(out)[0, :, 10, 20].tolist() == [
        False,
        False,
        False,
        True,
        True,
    ]  # 81000 > 65535


def test_bias_already_subtracted_changes_nothing():
    ds = saturating()
    first = ds.tso.flag_saturation(limit=0.9, grow=0)
    later = ds.tso.subtract_bias().tso.flag_saturation(limit=0.9, grow=0)
    # float32 counts less a bias: a pixel within 0.01 DN of the limit could differ
    assert (saturated(first) != saturated(later)).mean() < 1e-5
    assert saturated(first).any()


def test_simulated_ramps_by_brute_force():
    ds = saturating()
    expected = np.logical_or.accumulate((ds["ramp"] >= ds["saturation"]).values, axis=1)
    found = saturated(ds.tso.flag_saturation(grow=0, columns=False, same_for_all=False))
    np.testing.assert_array_equal(found, expected)
    assert 0 < found.mean() < 0.1


@pytest.mark.parametrize("given", [{"limit": 0.0}, {"limit": -1}, {"grow": -1}])
def test_bad_input(bright, given):
    with pytest.raises(ValueError, match="the limit is a positive fraction"):
        bright.tso.flag_saturation(**given)


def test_contract(bright):
    testing.check_step("flag_saturation", bright)
    testing.check_step("flag_saturation", bright.drop_vars("saturation"), columns=True)


def groups_used(ds):
    """Return the number of groups without SATURATED or DO_NOT_USE, (time, y, x)."""
    return (~dq.has_flag(ds["dq_group"])).sum("group").values


def test_group_before_where_two_others_remain(bright, small):
    """Saturated from group 3: two remain anyway. With a slower ramp, from group 4: one is taken."""
    kept = bright.tso.flag_saturation(grow=0, group_before=True)
    assert (groups_used(kept)[:, 10, 20] == 2).all()
    rate = np.zeros((32, 64))
    rate[10, 20] = 26000.0  # 14000, 27000, 40000, 53000, 66000
    slow = with_level(small.ramps(rate, bias=1000.0, n_time=10), 50000.0)
    flags = slow.tso.flag_saturation(group_before=True)["dq_group"].values[0, :, 9, 21]
    assert flags.tolist() == [0, 0, dq.FLAGS["DO_NOT_USE"], *2 * [dq.FLAGS["SATURATED"]]]


def test_same_for_all_from_a_part_of_the_integrations(small):
    """A pixel that reaches the limit in its third group in 4 of 10 integrations."""
    light = np.where(np.arange(10) < 4, 1.02, 0.9)
    rate = np.zeros((32, 64))
    rate[10, 20] = 33333.3  # 50000 in the third group
    ds = with_level(small.ramps(rate, n_time=10, light=light), 50000.0)

    def third(**given):
        return saturated(ds.tso.flag_saturation(grow=0, **given))[:, 2, 10, 20]

    np.testing.assert_array_equal(third(), np.arange(10) < 4)
    assert third(same_for_all=True).all()
    assert third(same_for_all=0.4).all()
    np.testing.assert_array_equal(third(same_for_all=0.5), np.arange(10) < 4)


def test_same_for_all_takes_the_neighbours_along(small):
    light = np.where(np.arange(10) < 4, 1.02, 0.9)
    rate = np.zeros((32, 64))
    rate[10, 20] = 33333.3
    ds = with_level(small.ramps(rate, n_time=10, light=light), 50000.0)
    found = saturated(ds.tso.flag_saturation(same_for_all=True))
    assert found[:, 2, 9:12, 19:22].all()
    assert found[:, 2].sum() == 90


@pytest.mark.parametrize("seed", range(3))
def test_one_number_of_groups_in_noise(seed):
    """Photon noise moves pixels near the limit across it; with the margin of 5 sigma none moves.

    Expected crossings of a kept group: 1e3 pixels near the limit times the 3e-7 of 5 sigma.
    """
    with pytest.warns(tsoxr.TsoWarning, match="saturates after"):
        ds = tsoxr.simulate(
            "nirspec-prism", kind="ramps", n_integrations=40, brightness=2.0, seed=seed,
            noise=("photon", "read", "bias", "nonlinearity", "quantization"),
        )  # fmt: skip
    each, same = (
        groups_used(ds.tso.flag_saturation(columns=False, same_for_all=all_))
        for all_ in (False, True)
    )
    assert (np.ptp(each, axis=0) > 0).any()
    assert (np.ptp(same, axis=0) > 0).sum() == 0
    assert each.mean() - same.mean() < 0.02 * 5  # what it costs: 2 % of the groups at most


@pytest.mark.parametrize("seed", range(2))
def test_groups_of_four_frames_hide_saturated_ones(seed):
    """The truth is the same exposure read frame by frame: is any frame of the group saturated?

    A last frame within 3 sigma of the limit (photons and extrapolated read noise: below 1.2 %
    of it) may go either way.
    """
    given = {"seed": seed, "n_integrations": 2, "brightness": 1.2, "noise": ("bias",)}
    own = {"subarray": "SUBGRISM64", "n_outputs": 1, "kind": "ramps"}
    ds, reads = (
        with_warning("nircam-grism", read_pattern=pattern, n_groups=n, **own, **given)
        for pattern, n in (("SHALLOW4", 6), ("RAPID", 30))
    )
    frames = reads["ramp"].values.reshape(2, 6, 5, *ds["ramp"].shape[2:])[:, :, :4].max(axis=2)
    limit = ds["saturation"].values
    found = dq.has_flag(ds.tso.flag_saturation(grow=0)["dq_group"]).values
    hidden = (frames >= limit) & (ds["ramp"].values < limit)
    assert hidden.sum() > 50
    assert found[(frames >= 1.012 * limit) | (ds["ramp"].values >= limit)].all()
    above = np.logical_or.accumulate(frames >= 0.988 * limit, axis=1)
    assert not (found & ~above).any()


def test_dispersion_along_y():
    ds = with_warning(
        "miri-lrs", kind="ramps", n_integrations=3, n_groups=14, seed=1, noise=("photon", "bias")
    )
    found = saturated(ds.tso.flag_saturation(columns=True, grow=0))[0]
    rows = found[-1].any(axis=1)
    assert 0 < rows.sum() < 100
    good = ~dq.has_flag(ds["dq_pixel"], "DO_NOT_USE", "REFERENCE_PIXEL").values
    assert found[-1][rows][good[rows]].all()


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5])
def test_bad_share(bright, share):
    with pytest.raises(ValueError, match="flag_saturation: same_for_all="):
        bright.tso.flag_saturation(same_for_all=share)


def test_contract_of_the_options(bright):
    ds = bright.assign_attrs(n_frames=4, group_gap=1)
    testing.check_step("flag_saturation", ds, same_for_all=True, group_before=True, columns=True)
