"""The search for hits as a step: references and fallbacks, lazy data, what it must leave alone."""

import functools
import importlib

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, modes, testing
from tsoxr.simulation import SETUPS, exposure
from tsoxr.steps import _jump_search, flag_jumps

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
    # at 6 sigma none of 29 000 differences passes by chance; by default 0.15 would
    flagged = flag_jumps(with_hits(ramps(n_groups=n_groups), *hits, height=20 * sigma), sigma=6.0)
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
        with_hits(ds.assign(dq_group=ds.dq_group.copy(data=before)), HITS[1], height=2000.0),
        sigma=6.0,
    )
    assert ((flagged.dq_group.values & before) == before).all()
    assert int(flagged.flag_jumps_count.sum()) == 1, "a flag that was there is not counted again"


def test_thresholds_follow_from_gain_and_read_noise():
    # 5 times the noise by these constants, 10 times by halved ones
    sigma = np.sqrt(300 / GAIN + 2 * READ_NOISE**2)
    ds = with_hits(ramps(), *HITS, height=5 * sigma)
    assert len(places(flag_jumps(ds, sigma=9.0))) == 0
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
    # Jitter of five times the predicted noise of a difference in half of the pixels, common to
    # the ramp: without a local floor every third sample would exceed 6 sigma, with one none of
    # 60 000 should. Hits are still found there, as the rest of the ramp tells the jitter: two of
    # three differences, 10 sigma x sqrt(2/3).
    rng = np.random.default_rng(4)
    sigma = np.sqrt(300 / GAIN + 2 * READ_NOISE**2)
    jitter = rng.normal(0, 5 * sigma, (100, 1, *SHAPE)) * (np.arange(16) < 8)
    ds = ramps(n_times=100, n_groups=4, extra=jitter)
    flagged = flag_jumps(ds, sigma=6.0)
    assert int(flagged.flag_jumps_count.sum()) <= 2
    ratio = flagged.flag_jumps_noise_ratio.mean("y")
    assert float(ratio[8:].mean()) == pytest.approx(1.0, abs=0.05)
    assert float(ratio[:8].mean()) == pytest.approx(np.sqrt(26), rel=0.1)
    hits = [(t, 2, y, x) for t in (20, 50, 80) for y in range(12) for x in range(8)]
    found = places(flag_jumps(with_hits(ds, *hits, height=10 * sigma)))
    assert len(set(found) & set(hits)) > 0.9 * len(hits)


def test_noise_that_all_faint_pixels_have_is_added_to_the_prediction():
    # What is left of stripes: 4 DN in each group, new each time. Without it, 4.45 sigma would be
    # 4.00, with 3.1e-5 false flags; with it, 4.3e-6 of 230 000: 1.0.
    stripes = np.diff(np.random.default_rng(5).normal(0, 4.0, (101, 5, *SHAPE)), axis=1)[:-1]
    ds = ramps(n_times=100, n_groups=4, light=20.0, extra=stripes)
    assert int(flag_jumps(ds).flag_jumps_count.sum()) <= 5


@pytest.mark.parametrize("n_groups", [2, 5])
def test_transit_is_not_flagged(n_groups):
    # 1 % ingress within 8 integrations of a bright star, and a slow trend beside it
    flux = np.interp(np.arange(80), [25, 33, 50, 58], [1, 0.99, 0.99, 1]) + 0.001 * np.sin(
        np.arange(80) / 15
    )
    light = (20_000.0 * flux)[:, None, None, None]
    flagged = flag_jumps(ramps(n_times=80, n_groups=n_groups, light=light), sigma=6.0)
    assert int(flagged.flag_jumps_count.sum()) == 0


def test_neighbours_and_later_groups_on_request():
    ds = with_hits(ramps(n_groups=5), (7, 2, 5, 5), height=3000.0)
    sigma = np.sqrt(300 / GAIN + 2 * READ_NOISE**2)
    ds = with_hits(ds, (7, 2, 5, 6), height=4.5 * sigma)
    assert places(flag_jumps(ds, grow=0, sigma=7.0)) == [(7, 2, 5, 5)]
    assert (7, 2, 5, 6) in places(flag_jumps(ds, grow=1, sigma=7.0))
    assert places(flag_jumps(ds, grow=0, sigma=7.0, after=1)) == [(7, 2, 5, 5), (7, 3, 5, 5)]


@pytest.mark.parametrize("method", ["temporal", "two_point", "likelihood"])
def test_after_effects_are_flagged_in_the_next_integrations(method):
    ds = with_hits(ramps(n_groups=5), (7, 2, 5, 5), height=9000.0)
    flagged = flag_jumps(ds, method=method, sigma=7.0, grow=0, after_integrations=2)
    assert places(flagged) == [(7, 2, 5, 5)]
    left = dq.has_flag(flagged.dq_group, "PERSISTENCE").values
    assert np.argwhere(left.all(axis=1)).tolist() == [[8, 5, 5], [9, 5, 5]]
    assert (dq.has_flag(flagged.dq_group, "DO_NOT_USE").values == left).all()


@pytest.mark.parametrize("size", [1, 2, 7, 29])
@pytest.mark.parametrize(
    "given",
    [
        {"window": 3},
        {"window": 15, "grow": 2},
        {"window": 9, "after_integrations": 3},
        {"method": "two_point", "after_integrations": 2},
        {"method": "likelihood"},
    ],
)
def test_lazy_equals_loaded_for_any_chunks(size, given):
    ds = with_hits(ramps(), *HITS, height=4000.0)
    given = {"sigma": 2.0, "after": 1} | given
    eager = flag_jumps(ds, **given)
    with testing.raise_if_computes():
        lazy = flag_jumps(ds.chunk(time=size), **given)
    assert lazy.dq_group.chunks[0] == ds.chunk(time=size).dq_group.chunks[0]
    assert int(eager.flag_jumps_count.sum()) > 100
    xr.testing.assert_identical(lazy.compute(), eager)


def test_a_run_of_chunks_is_searched_once_where_hits_are_few(monkeypatch):
    # later steps ask for the flags of their samples before the pass over the data
    rows, find = [], _jump_search.FINDERS["temporal"]

    def counted(*arrays, **given):
        rows.append(given["rows"])
        return find(*arrays, **given)

    monkeypatch.setitem(_jump_search.FINDERS, "temporal", counted)
    ds = with_hits(ramps(n_times=45), *HITS, height=2000.0).chunk(time=8)
    for sigma, searches in ((7.0, 1), (0.5, 2)):
        rows.clear()
        flags = flag_jumps(ds, sigma=sigma).dq_group
        first = flags.compute()
        once = len(rows)
        xr.testing.assert_identical(first, flags.compute())
        assert once > 1
        assert len(rows) == searches * once


def test_order_of_dims_does_not_matter():
    ds = with_hits(ramps(), *HITS, height=400.0)
    turned = flag_jumps(ds.transpose("x", "group", "y", "time"))
    assert turned.dq_group.dims == ("x", "group", "y", "time")
    xr.testing.assert_equal(turned.dq_group.transpose(*ds.dq_group.dims), flag_jumps(ds).dq_group)


@pytest.mark.parametrize(
    ("shape", "window"),
    [((5, 32, 512), 31), ((4, 96, 2048), 31), ((16, 32, 2048), 23), ((10, 256, 2048), 15)],
)
def test_window_has_as_many_integrations_as_25_million_samples(shape, window):
    zeros = xr.DataArray(np.zeros(1, "u1"), dims="time").expand_dims(
        dict(zip(("group", "y", "x"), shape, strict=True))
    )
    module = importlib.import_module("tsoxr.steps.flag_jumps")
    assert module._window(zeros.to_dataset(name="ramp")) == window


def test_window_is_recorded():
    assert flag_jumps(ramps()).tso.history[-1]["params"]["window"] == 31
    assert flag_jumps(ramps(), window=9).tso.history[-1]["params"]["window"] == 9


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
        (
            {"sigma": 0.0},
            "sigma=0.0, grow=1, after=0, after_integrations=0; sigma",
        ),
        ({"method": "median"}, "method is 'median'; it takes 'temporal', 'two_point'"),
        ({"after_integrations": -1}, "after_integrations=-1; sigma must be positive"),
        ({"grow": -1}, "the others 0 or more"),
        ({"window": 4}, "window is 4; it must be an odd number of integrations from 3"),
        ({"window": 1}, "window is 1"),
        ({"gain": -2.0}, "gain is -2.0; it must be positive"),
    ],
)
def test_bad_values_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        flag_jumps(ramps(), **given)


def test_two_integrations_are_refused_with_a_way_out():
    two = with_hits(ramps(n_times=2, n_groups=8), (1, 4, 5, 5), height=500.0)
    message = "there are 2 integrations; the comparison in time needs 3 or more; use method='likel"
    with pytest.raises(tsoxr.TsoError, match=message):
        flag_jumps(two)
    for method in ("likelihood", "two_point"):
        assert (1, 4, 5, 5) in places(flag_jumps(two, method=method, sigma=6.0))


def test_two_groups_say_nothing_to_a_straight_line():
    flagged = flag_jumps(
        with_hits(ramps(n_groups=2), (7, 1, 5, 5), height=900.0), method="likelihood"
    )
    assert places(flagged) == []
    assert "two groups" in flagged.tso.history[-1]["notes"][0]


@pytest.mark.parametrize("n_groups", [3, 4, 7])
def test_two_point_is_a_comparison_with_the_median_of_the_pixel(n_groups):
    ds = with_hits(ramps(n_groups=n_groups), *HITS[:1], HITS[3], height=2000.0)
    found = dq.has_flag(flag_jumps(ds, method="two_point").dq_group, "JUMP_DET").values[:, 1:]
    d = np.diff(ds.ramp.values.astype(float), axis=1)
    median = np.median(d, axis=(0, 1))
    ratio = abs(d - median) / np.sqrt(abs(median) / GAIN + 2 * READ_NOISE**2)
    expected = ratio > 4.0
    core = (ratio > 10) & (ratio < 1000)
    for axis in (2, 3):
        for step in (-1, 1):
            near = np.roll(core, step, axis)
            edge = [slice(None)] * 4
            edge[axis] = 0 if step == 1 else -1
            near[tuple(edge)] = False
            expected |= near
    # float32 statics: a ratio within 1e-5 of the threshold may fall on either side
    clear = abs(ratio - 4.0) > 1e-4
    np.testing.assert_array_equal(found[clear], expected[clear])
    assert expected.sum() > 8


@pytest.mark.parametrize("n_groups", range(2, 41))
def test_every_number_of_groups_and_dark_pixels(n_groups):
    # No light, so that half of the pixels have a rate of zero or below, at which other
    # likelihood searches find nothing with 5 and 7 groups. All hits of 30 sigma must be found,
    # by the likelihood from three groups on.
    ds = ramps(n_times=6, n_groups=n_groups, light=0.0, seed=n_groups)
    height = 30 * READ_NOISE * np.sqrt(2)
    middle = n_groups // 2
    hits = [(t, middle, y, x) for t in (1, 4) for y in (2, 8) for x in range(1, 16, 3)]
    ds = with_hits(ds, *hits, height=height)
    for method in ("temporal", "likelihood", "two_point"):
        found = set(places(flag_jumps(ds, method=method, grow=0)))
        if method == "likelihood" and n_groups == 2:
            assert not found
        elif method == "likelihood" and n_groups == 3:
            # of two differences the larger is the hit
            assert len(found & set(hits)) == len(hits)
        else:
            assert len(found & set(hits)) == len(hits), method


MODES = [m for m in modes.names() if m in SETUPS]


@functools.cache
def scene(mode):
    """Return a bright part (y, x) of the truth of a mode, DN per group, and its attributes."""
    truth = exposure(mode, n_integrations=2, seed=1).truth()
    rate = truth["rate"].values.clip(min=0)
    y, x = np.unravel_index(np.argmax(rate), rate.shape)
    rows, columns = (
        slice(min(max(at - size // 2, 0), n - size), None)
        for at, size, n in ((y, 32, rate.shape[0]), (x, 64, rate.shape[1]))
    )
    part = rate[rows, columns][:32, :64]
    names = ("tso_mode", "dispersion_dim", "spatial_dim")
    return part / part.max(), {n: truth.attrs[n] for n in names if n in truth.attrs}


@pytest.mark.parametrize("mode", MODES)
def test_transit_is_not_flagged_more_than_the_rest(mode):
    # A 3 % transit with limbs, the brightest pixel with 20 000 DN per group (0.7 % photon
    # noise), jitter of 0.1 %, and 3 sigma as threshold, so that chance flags 1.3e-3 of the
    # differences. Four exposures, two and five groups: in transit and out of it the shares
    # must agree within 4 sigma of their counts. Flags come in pairs at most, hence sqrt(2).
    image, attrs = scene(mode)
    flux = np.interp(np.arange(60.0), [18, 24, 36, 42], [1, 0.97, 0.97, 1])
    inside = (flux < 1) & (np.arange(60) > 0)
    counts = np.zeros((2, 2))
    for n_groups in (2, 5):
        for seed in range(2):
            rng = np.random.default_rng(10 * n_groups + seed)
            curve = flux * (1 + 1e-3 * rng.standard_normal(60))
            light = 20_000.0 * image * curve[:, None, None, None] + 3.0
            ds = large(n_groups, light, rng, attrs)
            flagged = flag_jumps(ds, sigma=3.0, grow=0)
            per_integration = flagged.flag_jumps_count.values
            size = image.size * (n_groups - 1)
            counts[0] += per_integration[inside].sum(), size * inside.sum()
            counts[1] += per_integration[~inside].sum(), size * (~inside).sum()
    (flags_in, all_in), (flags_out, all_out) = counts
    share = counts[:, 0].sum() / counts[:, 1].sum()
    error = np.sqrt(2 * share * (1 / all_in + 1 / all_out))
    assert 0.5 < share / 1.35e-3 < 1.5
    assert flags_in / all_in - flags_out / all_out < 4 * error


def large(n_groups, light, rng, attrs):
    """Return ramps with ``light`` (time, 1, y, x) DN per group and the attributes of a mode."""
    n_times, _, n_y, n_x = light.shape
    shape = (n_times, n_groups, n_y, n_x)
    step = light + rng.standard_normal(shape, "f4") * np.sqrt(light / GAIN)
    values = step.cumsum(axis=1) + READ_NOISE * rng.standard_normal(shape, "f4")
    ds = ramps(n_times=n_times, n_groups=n_groups, **attrs).isel(y=0, x=0, drop=True)
    dims = ("time", "group", "y", "x")
    return ds.assign(
        ramp=(dims, values.astype("f4"), {"units": "DN"}),
        dq_group=(dims, np.zeros(shape, "u1"), dq.flag_attrs("u1")),
        dq_pixel=(("y", "x"), np.zeros((n_y, n_x), "u4"), dq.flag_attrs("u4")),
    )


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_simulated_hits_are_found(mode):
    # Ramps with jitter, a transit and what is left of stripes, as they come to this step.
    # Charge of 10 sigma and more: 99.9 % must be found (here 1000 deposits, all but 3), and
    # false flags stay below 1e-5; 2.5 % of the hits' neighbours come on top.
    made = exposure(mode, seed=5, n_integrations=30, n_hits=300)
    ds, hits = made.ramps(), made.hits
    for name in ("flag_saturation", "subtract_bias", "clean_1overf", "linearize"):
        ds = getattr(tsoxr.steps, name)(ds)
    charge = np.zeros(ds.ramp.shape, "f4")
    np.add.at(charge, (hits.integration, hits.read, hits.y, hits.x), hits.charge)
    flagged = flag_jumps(ds)
    found = dq.has_flag(flagged.dq_group, "JUMP_DET").values
    photons = made.truth()["rate"].values.clip(min=0) * made.clock.group_interval / ds.gain.values
    noise = np.sqrt(photons + 2 * ds.read_noise.values**2)
    usable = ~dq.has_flag(ds.dq_group, "SATURATED", "DO_NOT_USE").values
    usable[:, 1:] &= usable[:, :-1]
    strong = (charge / ds.gain.values > 10 * noise) & usable
    assert strong.sum() > 500
    assert np.count_nonzero(strong & ~found) <= 3
    false = np.count_nonzero(found & (charge == 0) & usable)
    assert false <= 1e-5 * usable.sum() + 0.04 * found.sum()


def test_plot_shows_when_where_and_the_largest():
    from tsoxr.plots.style import density
    from tsoxr.steps._jump_plot import expected_hits

    flagged = flag_jumps(with_hits(ramps(), *HITS, height=2000.0), sigma=7.0)
    assert flagged.flag_jumps_events.values[[0, 7, 8]].tolist() == [1, 1, 0]
    assert float(flagged.flag_jumps_largest[7, 7, 7]) == pytest.approx(2000.0, abs=150.0)
    assert bool(flagged.flag_jumps_largest[8].isnull().all())
    assert density(flagged.flag_jumps_map, n_cells=4).sum() == pytest.approx(4 / 12)
    # 192 pixels of (18 um)2, two intervals of 2 s: 4.8983 x 192 x 3.24e-6 x 4
    assert expected_hits(flagged)[1] == pytest.approx(0.01219, rel=1e-3)
    drawn = flagged.tso.plot.flag_jumps()
    assert drawn["time"].get_ylabel() == "events per integration"
    assert sum(name.startswith("event") for name in drawn) == 4
