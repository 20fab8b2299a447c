"""Outliers in time: completeness, false alarms, a transit that is none of them."""

import numpy as np
import pytest

import tsoxr
from tsoxr import dq, testing

QUIET = ("photon", "read", "background")  # noise that the errors know: no stripes, no hits


@pytest.fixture(scope="module")
def rates():
    return tsoxr.simulate("nirspec-prism", kind="rates", n_integrations=120, noise=QUIET, seed=3)


def flagged(ds):
    return dq.has_flag(ds["dq"], "OUTLIER").values


def with_hits(ds, low=6.0, high=20.0, part=1e-3):
    """Add hits of so many sigma to a part of the samples; return the data and where they are."""
    rng = np.random.default_rng(5)
    hit = rng.random(ds["rate"].shape) < part
    amplitude = (rng.uniform(low, high, hit.shape) * hit).astype("f4")
    return ds.assign(rate=ds["rate"] + amplitude * ds["rate_error"]), hit, amplitude


def test_hits_are_found_and_little_else(rates):
    ds, hit, amplitude = with_hits(rates)
    found = flagged(ds.tso.flag_outliers())
    usable = ~dq.has_flag(ds["dq"], *dq.UNUSABLE_RATE).values
    # a hit of A sigma is found with the chance that a normal number exceeds 4.2 - A / 1.04: on
    # average 99.7 % between 6 and 20, 97 % between 6 and 7
    assert found[hit & usable].mean() > 0.99
    assert found[hit & usable & (amplitude < 7)].mean() > 0.92
    assert found[hit & usable & (amplitude > 8)].mean() > 0.999
    # 4.2 sigma: 2.7e-5 by chance; of four neighbours of each hit 0.6 % lie beyond 2.5 sigma, 2.4e-5
    assert found[~hit].mean() < 8e-5


def test_transit_is_no_outlier(rates):
    ds, _, _ = with_hits(rates)
    out = ds.tso.flag_outliers()
    inside = ds["in_transit"].values
    counts = out["flag_outliers_count"].values
    assert 10 < inside.sum() < 110
    expected = counts.mean()
    error = np.sqrt(expected * (1 / inside.sum() + 1 / (~inside).sum()))
    assert abs(counts[inside].mean() - counts[~inside].mean()) < 4 * error


def test_deep_fast_transit_of_three_integrations(rates):
    depth = np.ones(rates.sizes["time"])
    depth[60:63] = 0.7
    ds = rates.assign(rate=rates["rate"] * depth[:, None, None].astype("f4"))
    out = ds.tso.flag_outliers(window=11)
    # dimmer frames are compared with neighbours brought to their light
    assert out["flag_outliers_count"].values[55:68].sum() <= 2


def test_only_dq_changes_and_no_flag_is_lost(rates):
    marked = rates.assign(dq=dq.set_flag(rates["dq"], rates["rate"] > 100, "JUMP_DET"))
    ds, _, _ = with_hits(marked)
    out = ds.tso.flag_outliers()
    assert out["rate"].identical(ds["rate"])
    assert ((out["dq"].values & ds["dq"].values) == ds["dq"].values).all()
    assert out["dq"].dtype == np.uint32


def test_unusable_samples_are_neither_tested_nor_used(rates):
    rate = rates["rate"].copy(deep=True)
    rate[40:50, 10, 200] = 1e6
    rate[45, 10, 201] = np.nan
    bad = rate > 1e5
    ds = rates.assign(rate=rate, dq=dq.set_flag(rates["dq"], bad, "DO_NOT_USE"))
    found = flagged(ds.tso.flag_outliers())
    assert not found[40:50, 10, 200].any()
    assert not found[35:55, 10, 200].any()
    assert not found[45, 10, 201]


def test_segments_make_no_difference(rates):
    ds, _, _ = with_hits(rates)
    one = ds.assign_coords(segment=("time", np.ones(ds.sizes["time"], "i2")))
    two = ds.assign_coords(segment=("time", np.repeat([1, 2], ds.sizes["time"] // 2).astype("i2")))
    assert (flagged(one.tso.flag_outliers()) == flagged(two.tso.flag_outliers())).all()


@pytest.mark.parametrize("chunk", [5, 33, 120])
def test_chunks_smaller_than_the_window_change_nothing(rates, chunk):
    ds, _, _ = with_hits(rates)
    lazy = ds.chunk(time=chunk).tso.flag_outliers(n_iterations=2)
    assert lazy["dq"].chunks is not None
    np.testing.assert_array_equal(
        lazy["dq"].values, ds.tso.flag_outliers(n_iterations=2)["dq"].values
    )


def test_order_of_dims_does_not_matter(rates):
    ds, _, _ = with_hits(rates.isel(time=slice(30)))
    turned = ds.transpose("x", "time", "y").tso.flag_outliers()
    assert turned["dq"].dims == ("x", "time", "y")
    expected = ds.tso.flag_outliers()["dq"]
    np.testing.assert_array_equal(turned["dq"].transpose(*expected.dims), expected)


def test_jittering_pixels_are_not_flagged(rates):
    shift = 0.05 * np.random.default_rng(1).normal(size=rates.sizes["time"])
    slope = np.gradient(rates["rate"].mean("time"), axis=0)
    moved = rates["rate"] + (shift[:, None, None] * slope).astype("f4")
    counts = rates.assign(rate=moved).tso.flag_outliers()["flag_outliers_count"]
    off = np.abs(moved - rates["rate"].values).values > 5 * rates["rate_error"].values
    assert off.mean() > 0.01  # moved by more than the predicted error
    assert int(counts.sum()) < 1e-4 * moved.size


def test_later_rounds_find_no_less(rates):
    ds, hit, _ = with_hits(rates, part=0.1)
    once, twice = (flagged(ds.tso.flag_outliers(n_iterations=n)) for n in (1, 2))
    assert (twice | ~once).all()
    assert twice[hit].sum() > once[hit].sum()


@pytest.mark.parametrize("n_time", [1, 2])
def test_nothing_to_compare_with(rates, n_time):
    ds = rates.isel(time=slice(n_time))
    out = ds.tso.flag_outliers()
    assert f"{n_time} integrations: nothing to compare" in out.tso.history[-1]["notes"][0]
    assert out.drop_attrs().identical(ds.drop_attrs())


def test_short_series_say_that_the_window_is_limited(rates):
    ds = rates.isel(time=slice(5)).copy(deep=True)
    ds["rate"][2, 8, 100] += 1e5
    out = ds.tso.flag_outliers(window=21)
    assert "limited to the 5 integrations" in out.tso.history[-1]["notes"][0]
    assert flagged(out)[2, 8, 100]
    assert flagged(out).sum() <= 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sigma": 0}, "sigma=0, grow=2.5; sigma must be positive"),
        ({"grow": -1}, "grow=-1; sigma must be positive"),
        ({"method": "time"}, "method='time'; it takes 'combined'"),
        ({"window": 2}, "window=2; it is a number of integrations, at least 3"),
        ({"window": 7.5}, "window=7.5; it is a number of integrations"),
        ({"n_iterations": 0}, "n_iterations=0; it must be at least 1"),
    ],
)
def test_wrong_parameters(rates, given, message):
    with pytest.raises(ValueError, match=message):
        rates.tso.flag_outliers(**given)


def test_plot_of_a_step_that_did_nothing(rates):
    out = rates.isel(time=slice(2)).tso.flag_outliers()
    with pytest.raises(tsoxr.TsoError, match="no outliers were sought; see the note"):
        out.tso.plot.flag_outliers()


def test_plot_shows_every_integration(rates):
    out = with_hits(rates)[0].tso.flag_outliers()
    ax = out.tso.plot.flag_outliers()
    assert len(ax.figure.axes) == 5  # series, two maps, two colour bars
    assert len(ax.lines[0].get_xdata()) == rates.sizes["time"]


def test_coordinates_may_be_chunked_otherwise():
    rates = testing.example("rates")
    lazy = rates.chunk(time=5)
    lazy = lazy.assign_coords(segment=rates.segment.chunk(time=-1))
    found = lazy.tso.flag_outliers().compute()
    np.testing.assert_array_equal(found.dq, rates.tso.flag_outliers().dq)
