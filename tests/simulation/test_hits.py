"""Cosmic rays come as often, with as much charge and in such shapes as is said."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import exponnorm, kstest, norm

from tsoxr.simulation import exposure
from tsoxr.simulation.clock import Clock, miri_readout, nir_readout
from tsoxr.simulation.hits import LOG_WIDTH, CosmicRays
from tsoxr.simulation.instruments import with_levels
from tsoxr.simulation.setups import SETUPS, setup
from tsoxr.simulation.snowballs import RADII, snowballs
from tsoxr.simulation.tracks import deposit

MODES = ("nirspec-prism", "miri-lrs")

RATES = {
    "SUB512": (("nirspec-prism", (32, 512)), 0.26, 0.09),
    "SUB2048": (("nirspec-prism", (32, 2048)), 1.04, 0.38),
    "SUBGRISM64": (("nirspec-prism", (64, 2048)), 2.08, 0.76),
    "SUBSTRIP96": (("nirspec-prism", (96, 2048)), 3.12, 1.13),
    "SUBSTRIP256": (("nirspec-prism", (256, 2048)), 8.32, 3.02),
    "SLITLESSPRISM": (("miri-lrs", (416, 72)), 0.92, 0.33),
}
"""Pixels of the subarrays, and hits per second at solar minimum and maximum."""


def rays(mode, shape, seconds, levels=None, *, seed=3, **parameters):
    """Return cosmic rays of one integration of about so many seconds, and its length."""
    own = replace(with_levels(setup(mode), levels or {}), shape=shape, border=(0, 0, 0, 0))
    if mode == "miri-lrs":
        readout = miri_readout(n_rows=shape[0], n_columns=shape[1], row_clocks=28)
    else:
        readout = nir_readout(fast=("y", shape[0], +1), slow=("x", shape[1], +1), n_outputs=1)
    clock = Clock(readout, 1, int(np.ceil(seconds / readout.frame_time)), 60200.0)
    return CosmicRays(own, clock, seed, None, **parameters), clock.integration_time


@pytest.mark.parametrize("name", RATES)
def test_hits_come_at_the_rate_of_the_solar_minimum(name):
    array, least, most = RATES[name]
    seed = list(RATES).index(name)
    source, seconds = rays(*array, 6000.0 / least, seed=seed)
    found = np.unique(source.of(0).event).size
    # Poisson, and up to 1.5% of rounding in the published rates
    assert abs(found - least * seconds) < 4 * np.sqrt(least * seconds) + 0.015 * 6000
    own = setup(array[0]).electronics.hit_rate
    busy, seconds = rays(*array, 1000.0 / most, {"hit_rate": own * 1.7783 / 4.8983}, seed=seed)
    found = np.unique(busy.of(0).event).size
    # the table holds two digits of the rate of the solar maximum
    assert abs(found - most * seconds) < 4 * np.sqrt(most * seconds) + 0.04 * 1000


@pytest.mark.parametrize("mode", SETUPS)
def test_modes_have_the_rate_of_their_pixels(mode):
    mid_infrared = mode.startswith("miri")
    pitch = 25e-4 if mid_infrared else 18e-4
    levels = setup(mode).electronics
    # 4.8983 per cm2 and s on pixels of 25 or 18 um
    assert levels.hit_rate == pytest.approx(4.8983 * pitch**2, rel=1e-3)
    # one snowball in 20 s on a full near-infrared detector, stated to two digits
    expected = 0.0 if mid_infrared else 1.0
    assert 20.0 * levels.snowball_rate * 2048**2 == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("mode", "shape"), [("nirspec-prism", (64, 512)), ("miri-lrs", (416, 72))])
def test_charge_and_size_of_hits(mode, shape):
    hits = rays(mode, shape, 4000.0)[0].of(0)
    event, n_pixels = np.unique(hits.event, return_counts=True)
    charge = np.bincount(hits.event, hits.charge)[event]
    assert 3 <= np.median(n_pixels) <= 10
    assert n_pixels.min() >= 1
    # isotropic tracks and a log-normal loss: the logarithm is exponential plus normal
    law = exponnorm(K=0.5 / LOG_WIDTH, scale=LOG_WIDTH)
    center = law.median()
    inside = far_from_edges(hits, shape)[event]
    assert inside.sum() > 500
    # deposits below one electron are missing, 0.1% of the charge; p of a fixed seed
    pulled = np.log(charge[inside] / setup(mode).electronics.hit_charge) + center
    assert kstest(pulled, law.cdf).pvalue > 1e-3
    # (n/4)^-1/2 in probability, over the density at the median of about 0.45 per unit log
    error = 4 * 0.5 / np.sqrt(inside.sum()) / 0.45
    assert np.median(charge[inside]) == pytest.approx(2500.0, rel=error)
    assert charge.max() > 30000  # the tail reaches the full well
    long = charge > 5 * np.median(charge)
    assert n_pixels[long].mean() > 1.3 * n_pixels[~long].mean()


def far_from_edges(hits, shape, margin=6):
    """Return, by number of the event, whether all its pixels are far from the edges."""
    y, x = hits.y, hits.x
    near = (np.minimum(y, shape[0] - 1 - y) < margin) | (np.minimum(x, shape[1] - 1 - x) < margin)
    return np.bincount(hits.event, near) == 0


def on_image(shape, parts):
    image = np.zeros(shape)
    _, y, x, charge = parts
    np.add.at(image, (y, x), charge)
    return image


@pytest.mark.parametrize("spread", [0.1, 0.25, 0.6])
def test_tracks_are_the_integral_over_each_pixel(spread):
    shape, start, end = (15, 19), np.array([[4.3, 5.2]]), np.array([[9.1, 12.9]])
    found = on_image(
        shape, deposit(start, end, np.array([1e4]), spread, np.ones(shape, dtype=bool))
    )
    along = (np.arange(2000) + 0.5)[:, None] / 2000
    points = start + along * (end - start)
    edges = [np.arange(n + 1) - 0.5 for n in shape]
    share = [
        np.diff(norm.cdf((e - p[:, None]) / spread), axis=1)
        for e, p in zip(edges, points.T, strict=True)
    ]
    expected = 1e4 * np.einsum("py,px->yx", *share) / 2000
    assert found.sum() == pytest.approx(1e4, rel=1e-12)
    # what lies beyond 4 standard deviations, 6e-5 of a point's charge, goes to the last pixel
    np.testing.assert_allclose(found, expected, atol=0.2)


def test_half_of_a_track_along_the_edge_is_lost():
    shape = (9, 30)
    science = np.ones(shape, dtype=bool)
    start, end = np.array([[-0.5, 5.0]]), np.array([[-0.5, 20.0]])
    assert deposit(start, end, np.array([1e3]), 0.3, science)[3].sum() == pytest.approx(500.0)
    science[0] = False
    start[:, 0] = end[:, 0] = 0.5
    parts = deposit(start, end, np.array([1e3]), 0.3, science)
    assert parts[1].min() == 1
    assert parts[3].sum() == pytest.approx(500.0)


def test_hits_add_their_charge_from_their_group_on():
    quiet = {"n_integrations": 6, "noise": (), "seed": 8, "radius_ratio": 0.0, "brightness": 0.1}
    hit, plain = exposure("nirspec-prism", n_hits=7, **quiet), exposure("nirspec-prism", **quiet)
    extra = hit.ramps()["ramp"] - plain.ramps()["ramp"]
    step = extra.diff("group").values
    mask = hit.hit_mask().values
    assert np.unique(hit.hits.event).size == 7
    assert not mask[:, 0].any()  # a fixed number of hits can all be found
    # deposits below one electron are dropped from the list and from the data
    np.testing.assert_array_equal(np.abs(step) > 0.3, mask[:, 1:])
    freed = step[mask[:, 1:]].sum() * hit.setup.constants.gain
    assert freed == pytest.approx(hit.hits.charge.sum(), rel=1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_hits_do_not_depend_on_what_was_drawn_before(mode):
    names = ("integration", "read", "y", "x", "charge")
    each = exposure(mode, seed=4, n_integrations=40, noise="all", levels={"snowball_rate": 1e-5})
    whole = each.hits
    assert (np.diff(whole.integration) >= 0).all()
    for index in (39, 7):
        alone = each.replace().rays.of(index)
        assert (np.diff(alone.read) >= 0).all()
        mine = whole.integration == index
        for name in names:
            np.testing.assert_array_equal(getattr(alone, name), getattr(whole, name)[mine])


def test_snowballs_come_at_their_rate_and_leave_the_hits_alone():
    levels = {"snowball_rate": 1.2e-6, "hit_rate": 1e-6}
    shape, rate = (256, 2048), 1.2e-6 * 256 * 2048
    both, seconds = rays("nirspec-prism", shape, 200.0, levels, snowballs=True)
    plain, _ = rays("nirspec-prism", shape, 200.0, levels)
    n_small = np.unique(plain.of(0).event).size
    n_large = np.unique(both.of(0).event).size - n_small
    assert abs(n_large - rate * seconds) < 4 * np.sqrt(rate * seconds)
    small = both.of(0).event < n_small
    np.testing.assert_array_equal(both.of(0).charge[small], plain.of(0).charge)


def test_snowballs_have_a_full_core_and_a_halo_that_falls():
    own = replace(setup("nirspec-prism"), shape=(200, 200))
    well = (own.constants.saturation - own.electronics.bias) * own.constants.gain
    event, y, x, charge = snowballs(own, 30, np.random.default_rng(1))
    size = np.sqrt(np.bincount(event, charge > well) / np.pi)
    whole = np.bincount(event, (y == 0) | (x == 0) | (y == 199) | (x == 199)) == 0
    # the number of pixels in a disc of radius r has an error of about its edge, r^(1/2)
    assert size[whole].min() > RADII[0] - 0.6
    assert size[whole].max() < RADII[1] + 0.3
    first = np.flatnonzero(whole)[0]
    mine = event == first
    center = [np.average(v[mine], weights=charge[mine]) for v in (y, x)]
    distance = np.hypot(y[mine] - center[0], x[mine] - center[1])
    ring = [charge[mine][(distance > r) & (distance <= r + 1)].mean() for r in range(1, 12)]
    assert (np.diff(ring) <= 0).all()
