"""The moving line is found where there is one, and where it is; nothing else is flagged."""

import numpy as np
import pytest

import tsoxr
from tsoxr import dq, testing
from tsoxr.kernels import moving_line

NOISE = ("photon", "read", "bias", "background", "one_over_f", "quantization")


def unusable(ds):
    return dq.has_flag(ds["dq_group"], "DO_NOT_USE").values


def with_line(small, *, height=60.0, decay=2.0, direction=-1, origin=40, n_time=40, **more):
    """Ramps with read noise of 5 DN and a line at ``origin + direction * integration``."""
    ds = small.ramps(n_time=n_time, **more)
    seed = abs(origin) + n_time
    n_group, n_line = ds.sizes["group"], ds.sizes[ds.attrs["fast_dim"]]
    noise = np.random.default_rng(seed).normal(0.0, 5.0, ds["ramp"].shape).astype("f4")
    path = origin + direction * np.arange(1, n_time + 1)
    level = height * np.exp(-np.arange(n_group) / decay)
    ramp = ds["ramp"].transpose("time", "group", ds.attrs["fast_dim"], ...).copy(data=None)
    ramp = ramp.copy(data=ramp.values.copy())
    for t, line in enumerate(path):
        for away, share in ((-1, 0.3), (0, 1.0), (1, 0.3)):
            if 0 <= line + away < n_line:
                ramp.values[t, :, line + away] += share * level[:, None]
    ramp = ramp.transpose(*ds["ramp"].dims)
    return ds.assign(ramp=ramp.copy(data=ramp.values + noise)), path


@pytest.mark.parametrize("seed", range(2))
def test_simulated_prism(seed):
    ramps = tsoxr.simulate(
        "nirspec-prism",
        kind="ramps",
        n_integrations=56,
        seed=seed,
        noise=(*NOISE, "reset_artifact"),
    )
    out = ramps.tso.flag_reset_artifact()
    number = ramps["integration"].values
    truth = np.where(69 - number < 32, 69 - number, -1)  # 68 is the last, on line 1
    np.testing.assert_array_equal(out["flag_reset_artifact_line"], truth)
    raised = np.abs(np.arange(32) - (69 - number)[:, None]) <= 1
    np.testing.assert_array_equal(
        unusable(out)[:, 0, :, 100], raised | unusable(ramps)[:, 0, :, 100]
    )
    # 60 DN exp(-g / 2) above the last group. The level of a line has the error 1.1 * 8 /
    # sqrt(512) = 0.4 DN, several times that on the spectrum. With 3 of 15 integrations raised,
    # the running median is the 62nd percentile of the others, 0.3 of that error too high, and
    # 3 of 32 raised lines add a tenth: up to 0.4 DN low, with an error of 0.2 to 0.3 DN
    expected = 60.0 * (np.exp(-np.arange(5) / 2) - np.exp(-2.0))
    np.testing.assert_allclose(out["flag_reset_artifact_height"], expected, rtol=0.01, atol=1.2)


def test_nothing_is_found_where_nothing_is():
    ramps = testing.example("ramps")
    out = ramps.tso.flag_reset_artifact(last=None)
    assert (out["flag_reset_artifact_line"] == -1).all()
    np.testing.assert_array_equal(out["dq_group"], ramps["dq_group"])


def test_white_noise_makes_no_path():
    """Of 300 cubes of noise none reaches 8; the largest of some 150 normal numbers is 2.8 +- 0.4."""
    rng = np.random.default_rng(5)
    ratios = [
        moving_line.find_path(moving_line.residual(rng.normal(size=(60, 32))), np.arange(60))[1]
        for _ in range(300)
    ]
    assert 2.0 < np.median(ratios) < 4.0
    assert max(ratios) < moving_line.FOUND


@pytest.mark.parametrize(("direction", "origin"), [(-1, 40), (1, -5), (-1, 12)])
@pytest.mark.parametrize("fast", ["y", "x"])
def test_either_direction_and_axis(small, direction, origin, fast):
    ds, path = with_line(small, direction=direction, origin=origin, fast=fast)
    n_line = ds.sizes[fast]
    line = ds.tso.flag_reset_artifact()["flag_reset_artifact_line"]
    np.testing.assert_array_equal(line, np.where((path >= 0) & (path < n_line), path, -1))


def test_faint_lines_are_found(small):
    """2 DN with 64 pixels of 7 DN noise: 2 / (1.1 * 7 / 8) * sqrt(32) = 12 sigma."""
    found = []
    for origin in range(34, 39):
        ds, path = with_line(small, height=2.0, decay=0.7, origin=origin)
        line = ds.tso.flag_reset_artifact()["flag_reset_artifact_line"].values
        found.append(np.array_equal(line, np.where((path >= 0) & (path < 32), path, -1)))
    assert sum(found) >= 4


def test_gaps_between_integrations(small):
    ds, path = with_line(small, n_time=60)
    ds = ds.assign_coords(integration=("time", np.arange(1, 61, dtype="i4"))).isel(
        time=slice(0, None, 2)
    )
    line = ds.tso.flag_reset_artifact()["flag_reset_artifact_line"].values
    np.testing.assert_array_equal(
        line, np.where((path[::2] >= 0) & (path[::2] < 32), path[::2], -1)
    )


def test_only_raised_groups_are_given_up(small):
    """60 DN exp(-g) falls below a fifth of 5 DN in the fifth group: ten of fourteen remain."""
    ds, path = with_line(small, decay=1.0, n_groups=14)
    bad = unusable(ds.assign(read_noise=5.0).tso.flag_reset_artifact())
    t = int(np.flatnonzero(path == 16)[0])
    n = bad[t, :, 16, 7].sum()
    assert 4 <= n <= 6
    assert bad[t, :n, 15:18].all()
    assert not bad[t, n:].any()
    assert not bad[t, :, :15].any()


def test_whole_line_where_two_groups_do_not_remain(small):
    ds, path = with_line(small, n_groups=3)
    t = int(np.flatnonzero(path == 16)[0])
    assert unusable(ds.tso.flag_reset_artifact())[t, :, 16].all()


def test_the_published_path_and_groups(small):
    ds = small.ramps(n_time=20)
    out = ds.tso.flag_reset_artifact(last=12, groups=2, grow=0)
    bad = unusable(out)[:, :, :, 0]
    expected = np.zeros_like(bad)
    for number in range(1, 13):
        expected[number - 1, :2, 13 - number] = True
    np.testing.assert_array_equal(bad, expected)


@pytest.mark.parametrize("origin", [33, 34, 35])
def test_slopes_become_unbiased(small, origin):
    """The same noise with and without the line: what is left is the difference it makes.

    With 12 groups eight are given up, and 60 exp(-8 / 2) = 1.1 DN falls to 0.2 DN over
    the last four: a slope that is wrong by 0.28 DN per group, where read noise of 5 DN gives
    an error of sqrt(12 * 25 / 60) = 2.2: 0.13 of it. The light of 100 DN per group is there
    to be fitted.
    """
    given = {"rate": np.full((32, 64), 200.0), "n_groups": 12, "detector": "NRS1"}
    ramps, path = with_line(small, origin=origin, **given)
    clean, _ = with_line(small, origin=origin, height=0.0, **given)
    flagged = ramps.assign(read_noise=5.0).tso.flag_reset_artifact()
    t = np.flatnonzero((path >= 0) & (path < 32))
    truth, raw, fixed = (d.tso.fit_ramps(read_noise=5.0, gain=1e4) for d in (clean, ramps, flagged))
    error = fixed["rate_error"].values[t, path[t]]
    off = [(d["rate"] - truth["rate"]).values[t, path[t]] / error for d in (raw, fixed)]
    assert np.median(off[0]) < -1.0
    # the mean of 2000 differences of noise, each about 1, is known to 0.02
    assert abs(np.mean(off[1])) < 0.13 + 4 * 0.025
    z = (fixed["rate"] - 200.0).values[t, path[t]] / error
    assert 0.9 < z.std() < 1.1
    lost = unusable(flagged).mean()
    assert 0 < lost < 3 / 32 * 8 / 12  # three of 32 lines, eight of twelve groups


def test_few_integrations_and_one_group(small):
    for ds in (small.ramps(n_time=4), small.ramps(n_groups=1)):
        out = ds.tso.flag_reset_artifact()
        assert "data unchanged" in small.notes(out)
        np.testing.assert_array_equal(out["dq_group"], ds["dq_group"])


def test_none_in_this_mode(small):
    out = small.ramps(n_time=20).tso.flag_reset_artifact(last=0)
    assert "no moving line in this mode" in small.notes(out)


def test_no_flag_is_cleared(small):
    ds, _ = with_line(small)
    before = ds.assign(dq_group=dq.set_flag(ds["dq_group"], ds["x"] % 3 == 0, "JUMP_DET"))
    after = before.tso.flag_reset_artifact()["dq_group"].values
    np.testing.assert_array_equal(after & before["dq_group"].values, before["dq_group"].values)


@pytest.mark.parametrize("given", [{"grow": -1}, {"last": -2}, {"groups": -1}, {"grow": 0.5}])
def test_bad_input(small, given):
    with pytest.raises(ValueError, match="it is a whole number from 0 on"):
        small.ramps().tso.flag_reset_artifact(**given)


def test_more_groups_than_there_are(small):
    with pytest.raises(ValueError, match="groups=9; the integrations have 5"):
        small.ramps().tso.flag_reset_artifact(groups=9)


def test_contract(small):
    testing.check_step("flag_reset_artifact", with_line(small, mode="nirspec-prism")[0])
    testing.check_step(
        "flag_reset_artifact", with_line(small, n_groups=25, mode="nirspec-prism")[0], grow=2
    )
