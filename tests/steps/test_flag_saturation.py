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


def saturating():
    with pytest.warns(tsoxr.TsoWarning, match="saturates after"):
        return tsoxr.simulate(
            "nirspec-prism", kind="ramps", n_integrations=6, brightness=2.0, seed=2
        )


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
    found = saturated(ds.tso.flag_saturation(grow=0, columns=False))
    np.testing.assert_array_equal(found, expected)
    assert 0 < found.mean() < 0.1


@pytest.mark.parametrize("given", [{"limit": 0.0}, {"limit": -1}, {"grow": -1}])
def test_bad_input(bright, given):
    with pytest.raises(ValueError, match="the limit is a positive fraction"):
        bright.tso.flag_saturation(**given)


def test_contract(bright):
    testing.check_step("flag_saturation", bright)
    testing.check_step("flag_saturation", bright.drop_vars("saturation"), columns=True)
