"""The search for hits as a step: references and fallbacks, lazy data, what it must leave alone."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, testing
from tsoxr.steps import flag_jumps

GAIN, READ_NOISE, INTERVAL = 1.5, 6.0, 2.0
SHAPE = (12, 16)


def ramps(n_times=30, n_groups=3, *, light=300.0, extra=0.0, seed=1, **attrs):
    """Return ramps in DN; ``light`` per group, ``extra`` (time, ...) DN added to each group's increase."""
    rng = np.random.default_rng(seed)
    shape = (n_times, n_groups, *SHAPE)
    step = np.broadcast_to(light, shape) + rng.normal(0, 1, shape) * np.sqrt(
        np.broadcast_to(light, shape) / GAIN
    )
    values = (step + extra).cumsum(axis=1) + rng.normal(0, READ_NOISE, shape)
    return xr.Dataset(
        {
            "ramp": (("time", "group", "y", "x"), values.astype("f4"), {"units": "DN"}),
            "dq_group": (("time", "group", "y", "x"), np.zeros(shape, "u1"), dq.flag_attrs("u1")),
            "dq_pixel": (("y", "x"), np.zeros(SHAPE, "u4"), dq.flag_attrs("u4")),
            "gain": ((), np.float32(GAIN), {"units": "electron DN-1"}),
            "read_noise": ((), np.float32(READ_NOISE), {"units": "DN"}),
        },
        coords={
            "time": ("time", 60000.0 + np.arange(n_times) * 1e-4, {"units": "d"}),
            "group": ("group", np.arange(1, n_groups + 1, dtype="i2"), {"units": "1"}),
            "group_time": ("group", INTERVAL * np.arange(1, n_groups + 1), {"units": "s"}),
            "y": ("y", np.arange(SHAPE[0], dtype="i4"), {"units": "pix"}),
            "x": ("x", np.arange(SHAPE[1], dtype="i4"), {"units": "pix"}),
        },
        attrs={
            "tso_kind": "ramps", "tso_schema": 1, "detector": "NRS1", "n_groups": n_groups, "n_frames": 1,
            "spatial_dim": "y", "dispersion_dim": "x", "fast_dim": "y", "slow_dim": "x",
            "frame_time": INTERVAL, "group_interval": INTERVAL, **attrs,
        },
    )  # fmt: skip


def with_hits(ds, *places, height):
    """Return ``ds`` with extra charge of ``height`` DN from (time, group, y, x) on."""
    values = ds["ramp"].values.copy()
    for t, g, y, x in places:
        values[t, g:, y, x] += height
    return ds.assign(ramp=ds["ramp"].copy(data=values))


def places(flagged):
    return [
        tuple(int(i) for i in p)
        for p in np.argwhere(dq.has_flag(flagged["dq_group"], "JUMP_DET").values)
    ]


HITS = [(0, 1, 0, 0), (7, 2, 5, 5), (15, 1, 11, 15), (29, 2, 3, 9)]


@pytest.mark.parametrize("n_groups", [2, 3, 6])
def test_hits_are_found_and_nothing_else(n_groups):
    hits = [(t, min(g, n_groups - 1), y, x) for t, g, y, x in HITS]
    sigma = np.sqrt(300 / GAIN + 2 * READ_NOISE**2)
    flagged = flag_jumps(with_hits(ramps(n_groups=n_groups), *hits, height=20 * sigma))
    assert places(flagged) == hits
    assert int(flagged.flag_jumps_count.sum()) == int(flagged.flag_jumps_map.sum()) == len(hits)
    assert flagged.flag_jumps_count.values[[0, 7, 15, 29]].tolist() == [1, 1, 1, 1]
    assert int(flagged.flag_jumps_map[5, 5]) == 1
    assert tsoxr.schema.validate(flagged) == []


def test_flags_that_were_there_stay():
    ds = ramps()
    before = ds.dq_group.values.copy()
    before[3, 1] |= np.uint8(64)
    before[4, 2, 1, 1] |= np.uint8(4)
    flagged = flag_jumps(
        with_hits(ds.assign(dq_group=ds.dq_group.copy(data=before)), HITS[1], height=2000.0)
    )
    assert ((flagged.dq_group.values & before) == before).all()
    assert int(flagged.flag_jumps_count.sum()) == 1, "a flag that was there is not counted again"


def test_thresholds_follow_from_gain_and_read_noise():
    # 5 times the noise by these constants, 10 times by halved ones
    sigma = np.sqrt(300 / GAIN + 2 * READ_NOISE**2)
    ds = with_hits(ramps(), *HITS, height=5 * sigma)
    assert len(places(flag_jumps(ds, sigma=8.0))) == 0
    quiet = with_hits(
        ramps(n_times=9), (4, 1, 5, 5), height=7 * sigma
    )  # too few pairs for a local floor
    assert flag_jumps(quiet.isel(group=[0, 1]), sigma=9.0).flag_jumps_count.sum() == 0
    assert (
        flag_jumps(
            quiet.isel(group=[0, 1]), sigma=9.0, gain=8 * GAIN, read_noise=1.0
        ).flag_jumps_count.sum()
        >= 1
    )


def test_pixels_that_jitter_are_not_flagged_more_than_others():
    # White jitter of five times the predicted noise in half of the pixels: without a local
    # floor every third sample would exceed 6 sigma, with one none of 60 000 should.
    rng = np.random.default_rng(4)
    sigma = np.sqrt(300 / GAIN + 2 * READ_NOISE**2)
    jitter = rng.normal(0, 5 * sigma, (100, 1, *SHAPE)) * (np.arange(16) < 8)
    flagged = flag_jumps(ramps(n_times=100, n_groups=4, extra=jitter))
    assert int(flagged.flag_jumps_count.sum()) <= 2
    ratio = flagged.flag_jumps_noise_ratio.mean("y")
    assert float(ratio[8:].mean()) == pytest.approx(1.0, abs=0.05)
    assert float(ratio[:8].mean()) == pytest.approx(np.sqrt(26), rel=0.1)


@pytest.mark.parametrize("n_groups", [2, 5])
def test_transit_is_not_flagged(n_groups):
    # 1 % ingress within 8 integrations of a bright star, and a slow trend beside it
    flux = np.interp(np.arange(80), [25, 33, 50, 58], [1, 0.99, 0.99, 1]) + 0.001 * np.sin(
        np.arange(80) / 15
    )
    light = (20_000.0 * flux)[:, None, None, None]
    flagged = flag_jumps(ramps(n_times=80, n_groups=n_groups, light=light))
    assert int(flagged.flag_jumps_count.sum()) == 0


def test_neighbours_and_later_groups_on_request():
    ds = with_hits(ramps(n_groups=5), (7, 2, 5, 5), height=3000.0)
    sigma = np.sqrt(300 / GAIN + 2 * READ_NOISE**2)
    ds = with_hits(ds, (7, 2, 5, 6), height=5.5 * sigma)
    assert places(flag_jumps(ds, grow=0)) == [(7, 2, 5, 5)]
    assert (7, 2, 5, 6) in places(flag_jumps(ds, grow=1))
    assert places(flag_jumps(ds, grow=0, after=1)) == [(7, 2, 5, 5), (7, 3, 5, 5)]


@pytest.mark.parametrize("size", [1, 2, 7, 29])
@pytest.mark.parametrize("window", [3, 5, 9])
def test_lazy_equals_loaded_for_any_chunks(size, window):
    ds = with_hits(ramps(), *HITS, height=400.0)
    given = {"sigma": 2.0, "window": window, "after": 1}
    eager = flag_jumps(ds, **given)
    with testing.raise_if_computes():
        lazy = flag_jumps(ds.chunk(time=size), **given)
    assert lazy.dq_group.chunks[0] == ds.chunk(time=size).dq_group.chunks[0]
    assert int(eager.flag_jumps_count.sum()) > 100
    xr.testing.assert_identical(lazy.compute(), eager)


def test_order_of_dims_does_not_matter():
    ds = with_hits(ramps(), *HITS, height=400.0)
    turned = flag_jumps(ds.transpose("x", "group", "y", "time"))
    assert turned.dq_group.dims == ("x", "group", "y", "time")
    xr.testing.assert_equal(turned.dq_group.transpose(*ds.dq_group.dims), flag_jumps(ds).dq_group)


def test_read_noise_is_measured_and_handed_on():
    # 48 faint pixels, 29 pairs, 2 differences: 2.5 %; 5 sigma
    ds = ramps(light=50.0).drop_vars("read_noise")
    flagged = flag_jumps(ds)
    assert abs(float(flagged.read_noise) / READ_NOISE - 1) < 0.13
    assert "measured from group differences" in flagged.tso.history[-1]["notes"][0]
    for check in (testing.lazy_stays_lazy, testing.lazy_equals_eager, testing.result_is_valid):
        check("flag_jumps", ds, {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sigma": 0.0}, "sigma=0.0, grow=1, after=0; sigma must be positive"),
        ({"grow": -1}, "the others 0 or more"),
        ({"window": 4}, "window is 4; it must be an odd number of integrations from 3"),
        ({"window": 1}, "window is 1"),
        ({"gain": -2.0}, "gain is -2.0; it must be positive"),
    ],
)
def test_bad_values_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        flag_jumps(ramps(), **given)


def test_two_integrations_are_refused():
    with pytest.raises(
        tsoxr.TsoError, match="there are 2 integrations; the comparison in time needs 3 or more"
    ):
        flag_jumps(ramps(n_times=2))


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_simulated_hits_are_found(mode):
    # Raw ramps with bias, stripes, non-linearity, jitter and a transit. All hits above 20
    # times the noise of a difference are found. False flags: 6 sigma of white noise gives
    # none among 2 to 7 million samples; neighbours of hits may add 1 % of the flags.
    from tsoxr.simulation import exposure

    made = exposure(mode, seed=5, n_integrations=30, n_hits=300)
    ds, hits = made.ramps(), made.hits
    charge = np.zeros(ds.ramp.shape, "f4")
    np.add.at(charge, (hits.integration, hits.read, hits.y, hits.x), hits.charge)
    flagged = flag_jumps(ds)
    found = dq.has_flag(flagged.dq_group, "JUMP_DET").values
    last_first = ds.ramp.isel(group=[0, -1]).astype("f4").diff("group").isel(group=0)
    per_group = last_first.median("time") / (ds.sizes["group"] - 1)
    noise = np.sqrt(per_group.clip(min=0) / ds.gain + 2 * ds.read_noise**2).values
    strong = charge / ds.gain.values > 20 * noise
    assert strong.sum() > 300
    assert found[strong].all()
    assert np.count_nonzero(found & (charge == 0)) <= 0.02 * np.count_nonzero(found)


def test_plot_shows_when_and_where():
    from tsoxr.plots.style import density
    from tsoxr.steps.flag_jumps import _share_data

    flagged = flag_jumps(with_hits(ramps(), *HITS, height=2000.0))
    share = _share_data(flagged)
    assert share[7] == pytest.approx(100 / (SHAPE[0] * SHAPE[1] * 3))
    assert density(flagged.flag_jumps_map, n_cells=4).shape == (4, 4)
    assert density(flagged.flag_jumps_map, n_cells=4).sum() == pytest.approx(4 / 12)
    ax = flagged.tso.plot.flag_jumps()
    assert ax.get_ylabel() == "flagged samples [%]"
