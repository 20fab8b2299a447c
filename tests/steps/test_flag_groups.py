"""First and last groups: how many, in which integrations, and what is left."""

import numpy as np
import pytest

import tsoxr
from tsoxr import dq, modes, testing


def unusable(ds):
    return dq.has_flag(ds["dq_group"], "DO_NOT_USE").values


def dropped(ds, pixel=(3, 4)):
    """Return which groups of one pixel are flagged, (time, group)."""
    return unusable(ds)[:, :, *pixel]


def test_first_and_last(small):
    out = small.ramps(n_groups=8).tso.flag_groups(first=2, last=1)
    expected = np.isin(np.arange(8), [0, 1, 7])
    assert (unusable(out) == expected[:, None, None]).all()
    assert (out["flag_groups_usable"] == 5).all()


@pytest.mark.parametrize(("first", "n"), [(0.1, 1), (0.25, 3), (0.04, 0), (3, 3), (0.5, 5)])
def test_fractions_are_rounded(small, first, n):
    assert dropped(small.ramps(n_groups=10).tso.flag_groups(first=first))[0].sum() == n


def test_first_integration_has_its_own_number(small):
    ds = small.ramps(n_time=6, n_groups=8)
    number = np.arange(1, 7, dtype="i4")
    ds = ds.assign_coords(integration=("time", number))
    found = dropped(ds.tso.flag_groups(first=1, first_integration=4)).sum(axis=1)
    np.testing.assert_array_equal(found, [4, 1, 1, 1, 1, 1])
    later = ds.isel(time=slice(2, None)).tso.flag_groups(first=1, first_integration=4)
    np.testing.assert_array_equal(dropped(later).sum(axis=1), [1, 1, 1, 1])


def test_ranges_add_up(small):
    ds = small.ramps(n_time=6, n_groups=8)
    out = ds.tso.flag_groups(first=3, integrations=(1, 2)).tso.flag_groups(
        last=1, integrations=(2, 9)
    )
    np.testing.assert_array_equal(dropped(out).sum(axis=1), [3, 4, 1, 1, 1, 1])


@pytest.mark.parametrize(("first", "last"), [(4, 3), (9, 0), (0, 9), (3, 2), (0.9, 0.9)])
def test_two_groups_are_left(small, first, last):
    out = small.ramps(n_groups=4).tso.flag_groups(first=first, last=last)
    assert (dropped(out).sum(axis=1) == 2).all()
    assert "two are left" in small.notes(out)


def test_the_latest_of_the_first_groups_are_kept(small):
    kept = ~dropped(small.ramps(n_groups=6).tso.flag_groups(first=5, last=1))[0]
    np.testing.assert_array_equal(kept, np.isin(np.arange(6), [3, 4]))


def test_saturated_ramps_keep_two_groups(small):
    """Of eight groups one pixel keeps three, another two, a third one: they saturate."""
    ds = small.ramps(n_groups=8)
    for x, n in ((10, 3), (11, 2), (12, 1)):
        ds["dq_group"].values[:, n:, 5, x] |= dq.bits("SATURATED", dtype="u1")
    out = ds.tso.flag_groups(first=4, last=1)
    usable = (~dq.has_flag(out["dq_group"])).sum("group").isel(time=0).values
    assert usable[5, 9] == 3
    np.testing.assert_array_equal(usable[5, 10:13], [2, 2, 1])
    np.testing.assert_array_equal(dropped(out, (5, 10))[0, :3], [True, False, False])
    np.testing.assert_array_equal(out["dq_group"] & ds["dq_group"], ds["dq_group"])


def test_one_group_stays(small):
    out = small.ramps(n_groups=1).tso.flag_groups(first=1)
    assert not unusable(out).any()


def test_nothing_asked(small):
    ds = small.ramps()
    out = ds.tso.flag_groups()
    assert "data unchanged" in small.notes(out)
    np.testing.assert_array_equal(out["dq_group"], ds["dq_group"])


def test_miri_drops_groups_by_default_and_others_none():
    """Eight groups: 0.12 of them is one, in the first integration 0.2 are two, and the last."""
    found = dropped(testing.example("ramps", "miri-lrs").tso.flag_groups())
    np.testing.assert_array_equal(found[0], np.isin(np.arange(8), [0, 1, 7]))
    np.testing.assert_array_equal(found[1], np.isin(np.arange(8), [0, 7]))
    assert all(
        name.startswith("miri") == ("flag_groups" in modes.get(name).step_defaults)
        for name in modes.names()
    )


@pytest.mark.parametrize("seed", range(2))
def test_slopes_after_a_reset(seed):
    """Offsets of 40 and 15 DN after the reset, 25 DN at the end: the same noise with and without.

    After five frames 40 (0.7 exp(-5/1.5) + 0.3 exp(-5/5)) = 5.4 DN are left, which fall to
    0.3 DN over 14 groups: a slope wrong by a fourth of the error of read noise (4.2 DN),
    against ten times that before.
    """
    noise = ("read", "quantization", "bias")
    exposure = tsoxr.simulation.exposure(
        "miri-lrs",
        seed=seed,
        n_integrations=2,
        n_groups=20,
        brightness=0.3,
        noise=(*noise, "reset_anomaly"),
    )
    ramps, clean = exposure.ramps(), exposure.replace(noise=noise).ramps()
    off = []
    for given in ({"first": 0, "last": 0}, {"first": 5, "last": 1}):
        raw, truth = (d.tso.flag_groups(**given).tso.fit_ramps() for d in (ramps, clean))
        z = (raw["rate"] - truth["rate"]) / truth["rate_error"]
        off.append(abs(float(z.isel(time=1, y=slice(1, None, 2)).median())))
    assert off[0] > 2.0
    assert off[1] < 0.5 * off[0]


@pytest.mark.parametrize(
    "given", [{"first": -1}, {"last": 1.5}, {"first": np.nan}, {"first_integration": -2}]
)
def test_bad_numbers(small, given):
    with pytest.raises(ValueError, match=r"flag_groups: \w+=.*a whole number of groups"):
        small.ramps().tso.flag_groups(**given)


@pytest.mark.parametrize("integrations", [(0, 3), (4, 2)])
def test_bad_ranges(small, integrations):
    with pytest.raises(ValueError, match="integrations="):
        small.ramps().tso.flag_groups(first=1, integrations=integrations)


def test_contract(small):
    ds = small.ramps(n_groups=6, mode="nirspec-prism")
    testing.check_step(
        "flag_groups", ds, first=1, last=0.2, first_integration=3, integrations=(1, 9)
    )
