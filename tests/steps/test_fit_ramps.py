"""The step around the ramp fit: what goes in, what comes out, for lazy and loaded data."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, testing
from tsoxr.steps import fit_ramps

GAIN, READ_NOISE, INTERVAL = 1.5, 6.0, 2.0


def ramps(n_times=20, n_groups=5, *, electrons=400.0, seed=1, spatial="y", **attrs):
    """Return ramps of 6 x 8 pixels, ``electrons`` per group, one number for gain and read noise."""
    rng = np.random.default_rng(seed)
    shape = (n_times, n_groups, 6, 8)
    light = rng.poisson(np.broadcast_to(electrons, shape[2:]), shape).cumsum(axis=1) / GAIN
    values = np.round(5000 + light + rng.normal(0, READ_NOISE, shape)).astype("u2")
    other = "x" if spatial == "y" else "y"
    return xr.Dataset(
        {
            "ramp": (("time", "group", "y", "x"), values, {"units": "DN"}),
            "dq_group": (("time", "group", "y", "x"), np.zeros(shape, "u1"), dq.flag_attrs("u1")),
            "dq_pixel": (("y", "x"), np.zeros(shape[2:], "u4"), dq.flag_attrs("u4")),
            "gain": ((), np.float32(GAIN), {"units": "electron DN-1"}),
            "read_noise": ((), np.float32(READ_NOISE), {"units": "DN"}),
        },
        coords={
            "time": ("time", 60000.0 + np.arange(n_times) * 1e-4, {"units": "d"}),
            "group": ("group", np.arange(1, n_groups + 1, dtype="i2"), {"units": "1"}),
            "group_time": ("group", INTERVAL * np.arange(1, n_groups + 1), {"units": "s"}),
            "y": ("y", np.arange(6, dtype="i4"), {"units": "pix"}),
            "x": ("x", np.arange(8, dtype="i4"), {"units": "pix"}),
            "read_offset": (("y", "x"), np.zeros(shape[2:], "f4"), {"units": "s"}),
        },
        attrs={
            "tso_kind": "ramps", "tso_schema": 1, "detector": "NRS1", "n_groups": n_groups, "n_frames": 1,
            "spatial_dim": spatial, "dispersion_dim": other, "fast_dim": spatial, "slow_dim": other,
            "frame_time": INTERVAL, "group_interval": INTERVAL, **attrs,
        },
    )  # fmt: skip


def flagged(ds, *where, name="JUMP_DET"):
    """Return ``ds`` with one group flagged: where = (time, group, y, x)."""
    values = ds["dq_group"].values.copy()
    values[where] |= dq.FLAGS[name]
    return ds.assign(dq_group=ds["dq_group"].copy(data=values))


def test_rate_error_is_the_scatter_of_the_rate():
    # 4800 rates: scatter known to 1 %; 4 sigma
    rates = fit_ramps(ramps(n_times=100, electrons=300.0))
    scatter = float((rates.rate - rates.rate.mean("time")).std(ddof=0)) * np.sqrt(100 / 99)
    assert abs(scatter / float(rates.rate_error.mean()) - 1) < 0.04
    n = rates.rate.size
    expected = 300.0 / GAIN / INTERVAL
    assert abs(float(rates.rate.mean()) - expected) < 4 * float(rates.rate_error.mean()) / np.sqrt(
        n
    )


def test_read_variance_is_that_of_a_straight_line_where_read_noise_rules():
    # dark pixels: least squares of G equal groups has 12 sigma2 / (G (G2 - 1) dt2)
    rates = fit_ramps(ramps(n_groups=8, electrons=0.0))
    expected = 12 * READ_NOISE**2 / (8 * 63 * INTERVAL**2)
    assert rates.rate_read_variance.dims == ("y", "x")
    np.testing.assert_allclose(rates.rate_read_variance, expected, rtol=0.01)
    # a rate that is positive by chance adds photon noise: 3 DN over 14 s are 1.5 DN per group
    # at most, 0.9 DN2 of 72; of that, the variance of a straight line feels up to eight times
    ratio = rates.rate_error.isel(time=0) ** 2 / expected
    assert ((ratio > 0.99) & (ratio < 1.1)).all()


def test_product_is_valid_and_keeps_what_holds_for_rates():
    ds = ramps().assign(
        saturation=((), np.float32(6e4), {"units": "DN"}),
        flat=(("y", "x"), np.ones((6, 8), "f4"), {"units": "1"}),
        mine=("time", np.arange(20.0)),
        clean_1overf_level=(
            ("time", "group"),
            np.zeros((20, 5)),
            {"units": "DN", "diagnostic_of": "clean_1overf"},
        ),
    )
    rates = fit_ramps(ds)
    assert tsoxr.schema.validate(rates) == []
    assert rates.attrs["tso_kind"] == "rates"
    assert rates.rate.dims == rates.rate_error.dims == rates.dq.dims == ("time", "y", "x")
    assert rates.rate.dtype == rates.rate_error.dtype == np.float32
    assert {"gain", "read_noise", "flat", "mine", "clean_1overf_level"} <= set(rates.data_vars)
    assert not {"ramp", "dq_group", "dq_pixel", "saturation", "group", "group_time"} & set(
        rates.variables
    )
    xr.testing.assert_identical(
        rates.read_offset.drop_vars(("read_offset",)), ds.read_offset.drop_vars("read_offset")
    )


def test_a_hit_costs_one_difference_of_one_ramp():
    clean = ramps(n_groups=6)
    values = clean["ramp"].values.copy()
    values[3, 2:, 1, 1] += 3000
    hit = flagged(clean.assign(ramp=clean.ramp.copy(data=values)), 3, 2, 1, 1)
    before, after = fit_ramps(clean), fit_ramps(hit)
    apart = abs(after.rate - before.rate)
    error = float(after.rate_error[3, 1, 1])
    assert 1.05 < error / float(before.rate_error[3, 1, 1]) < 1.5
    assert float(apart[3, 1, 1]) < 4 * error
    elsewhere = apart.values.copy()
    elsewhere[:, 1, 1] = 0  # the median rate of that pixel may move a little
    assert elsewhere.max() == 0
    assert int(after.dq[3, 1, 1]) == dq.FLAGS["JUMP_DET"]
    assert int((after.dq != 0).sum()) == 1


def test_pixels_without_a_usable_difference():
    ds = flagged(ramps(), slice(None), slice(None), 2, 3, name="SATURATED")
    ds = flagged(ds, slice(None), slice(1, None), 2, 4, name="SATURATED")  # one group is left
    ds = flagged(ds, slice(None), -1, name="DO_NOT_USE")  # last group of all pixels
    rates = fit_ramps(ds)
    for x in (3, 4):
        assert np.isnan(rates.rate[:, 2, x]).all()
        assert np.isnan(rates.rate_error[:, 2, x]).all()
        assert dq.has_flag(rates.dq[:, 2, x], "DO_NOT_USE").all()
        assert dq.has_flag(rates.dq[:, 2, x], "SATURATED").all()
    others = rates.dq.values.copy()
    others[:, 2, 3:5] = 0
    assert not others.any(), "a group that is left out for all must not condemn the pixels"


def test_flags_of_the_pixel_are_inherited():
    ds = ramps()
    ds["dq_pixel"] = ds.dq_pixel.copy(
        data=np.where(np.arange(8) == 5, np.uint32(2**11), np.uint32(0)) * np.ones((6, 1), "u4")
    )
    rates = fit_ramps(ds)
    assert dq.has_flag(rates.dq[:, :, 5], "HOT").all()
    assert not (rates.dq[:, :, :5] != 0).any()


def test_two_groups_give_the_difference():
    ds = ramps(n_groups=2)
    rates = fit_ramps(ds)
    expected = ds.ramp.astype("f8").diff("group").isel(group=0, drop=True) / INTERVAL
    np.testing.assert_allclose(rates.rate, expected, rtol=1e-6)
    variance = rates.fit_ramps_rate / GAIN / INTERVAL + 2 * (READ_NOISE / INTERVAL) ** 2
    np.testing.assert_allclose(rates.rate_error[0] ** 2, variance, rtol=1e-5)


def test_weights_do_not_respond_to_the_light_curve():
    # Scaling one integration scales its rate exactly: weights are those of the median.
    ds = ramps(electrons=2000.0)
    ds = ds.assign(ramp=(ds.ramp.astype("f4") - 5000).assign_attrs(units="DN"))
    dimmed = ds.ramp.copy(deep=True)
    dimmed[7] *= np.float32(0.97)
    plain, transit = fit_ramps(ds), fit_ramps(ds.assign(ramp=dimmed))
    np.testing.assert_allclose(transit.rate[7], 0.97 * plain.rate[7], rtol=2e-4)  # the median moves
    np.testing.assert_allclose(transit.rate_error[7], plain.rate_error[7], rtol=2e-3)
    np.testing.assert_array_equal(transit.rate_error[7], transit.rate_error[8])


def test_averaged_groups_have_less_read_noise():
    # Four frames to a group, one skipped: dark pixels have a quarter of the read variance.
    single = fit_ramps(ramps(electrons=0.0, n_groups=6))
    averaged = fit_ramps(
        ramps(electrons=0.0, n_groups=6, n_frames=4, group_gap=1, frame_time=INTERVAL / 5)
    )
    np.testing.assert_allclose(
        averaged.rate_read_variance, single.rate_read_variance / 4, rtol=0.02
    )
    lit = fit_ramps(ramps(electrons=4e4, n_groups=6))
    lit_averaged = fit_ramps(
        ramps(electrons=4e4, n_groups=6, n_frames=4, group_gap=1, frame_time=INTERVAL / 5)
    )
    # Last minus first of bright averaged groups: photons inside the first and last group
    # count in part, so that the variance is that of T - 2 s with s = 0.25 s, T = 10 s. The
    # best weights are a little better; a tenth would be more photons than there are.
    ratio = float((lit_averaged.rate_error**2 / lit.rate_error**2).mean())
    assert 0.90 < ratio < 0.95


def test_uneven_groups_are_fitted_at_their_times():
    ds = ramps(n_groups=9, electrons=1000.0)
    thinned = fit_ramps(ds.isel(group=[0, 1, 4, 8]))
    error = thinned.rate_error / np.sqrt(thinned.sizes["time"])
    apart = (thinned.rate - 1000 / GAIN / INTERVAL).mean("time") / error[0]
    assert float(abs(apart).max()) < 4.5  # 48 pixels


@pytest.mark.parametrize("name", ["gain", "read_noise"])
def test_fallbacks_are_used_and_said(name):
    ds = ramps(n_times=40, electrons=30.0).drop_vars(name)
    rates = fit_ramps(ds)
    record = rates.tso.history[-1]
    assert name in record["derived"]
    assert f"no {name.replace('_', '-')} reference" in record["notes"][0]
    if name == "gain":
        assert float(rates.gain) == np.float32(tsoxr.modes.detector("NRS1").gain)
    else:
        # 12 of 48 pixels, 31 pairs, 4 differences: 3 %; 4 sigma
        assert abs(float(rates.read_noise) / READ_NOISE - 1) < 0.12
        assert record["params"]["read_noise"] == pytest.approx(float(rates.read_noise), abs=1e-4)


def test_one_integration_uses_the_typical_read_noise():
    rates = fit_ramps(ramps(n_times=1).drop_vars("read_noise"))
    assert float(rates.read_noise) == np.float32(tsoxr.modes.detector("NRS1").read_noise)
    assert "one integration only" in rates.tso.history[-1]["notes"][0]


def test_caller_beats_the_dataset():
    given = np.full((6, 8), 3.0)
    rates = fit_ramps(ramps(electrons=0.0), read_noise=given, gain=2.0)
    assert float(rates.gain) == 2.0
    np.testing.assert_array_equal(rates.read_noise, given)
    default = fit_ramps(ramps(electrons=0.0))
    np.testing.assert_allclose(
        rates.rate_read_variance / default.rate_read_variance, 0.25, rtol=0.02
    )


@pytest.mark.parametrize("spatial", ["y", "x"])
def test_level_variance_follows_from_the_stripes(spatial):
    # One line of stripes is common to all its pixels. With equal light in all of them the
    # weights are equal, and the level of each group adds variance * weight^2.
    ds = ramps(n_times=200, electrons=500.0, spatial=spatial)
    slow = ds.attrs["slow_dim"]
    ds["stripe_variance"] = xr.DataArray(
        np.full(ds.sizes[slow], 9.0, "f4"), dims=slow, attrs={"units": "DN2"}
    )
    rates = fit_ramps(ds)
    assert rates.level_variance.dims == (slow,)
    assert rates.level_variance.attrs["units"] == "DN2 s-2"
    rng = np.random.default_rng(5)
    level = xr.DataArray(rng.normal(0, 3.0, (200, 5, ds.sizes[slow])), dims=("time", "group", slow))
    moved = fit_ramps(
        ds.assign(
            ramp=(ds.ramp + level).transpose(*ds.ramp.dims).astype("f4").assign_attrs(units="DN")
        )
    )
    effect = (moved.rate - rates.rate).mean(ds.attrs["fast_dim"])
    # 200 integrations x 6 or 8 lines: variance known to 4 %; 4 sigma
    assert abs(float(effect.var() / rates.level_variance.mean()) - 1) < 0.16


def test_order_of_dims_does_not_matter():
    ds = flagged(ramps(), 4, 2, 1, 1)
    turned = fit_ramps(ds.transpose("y", "group", "x", "time"))
    xr.testing.assert_equal(turned.rate.transpose("time", "y", "x"), fit_ramps(ds).rate)


def test_lazy_data_are_computed_once_unless_told_otherwise():
    ds = flagged(ramps(), 4, 2, 1, 1)
    pending = ds.chunk(time=6).assign(
        flag_jumps_count=ds.dq_group.chunk(time=6).sum(("group", "y", "x"))
    )
    pending["flag_jumps_count"].attrs = {"diagnostic_of": "flag_jumps", "units": "1"}
    rates = fit_ramps(pending)
    assert not tsoxr.lazy.is_lazy(rates)
    with testing.raise_if_computes():
        lazy = fit_ramps(pending, compute=False)
    assert lazy.rate.chunks == ((6, 6, 6, 2), (6,), (8,))
    xr.testing.assert_identical(lazy.rate.compute(), rates.rate)
    xr.testing.assert_identical(fit_ramps(ds).rate, rates.rate)


def test_chunks_along_the_detector_are_refused():
    with pytest.raises(
        ValueError, match=r"chunked along 'x', \(4, 4\); only 'time' may .* use ds.chunk\(x=-1\)"
    ):
        fit_ramps(ramps().chunk(time=6, x=4))


def test_contract_without_references():
    ds = ramps(n_times=24).drop_vars(["gain", "read_noise"])
    for check in (
        testing.lazy_stays_lazy,
        testing.lazy_equals_eager,
        testing.input_is_untouched,
        testing.result_is_valid,
    ):
        check("fit_ramps", ds, {})


def test_single_groups_are_refused():
    with pytest.raises(
        tsoxr.TsoError, match="fit_ramps: the integrations have 1 group; a slope needs 2 or more"
    ):
        fit_ramps(ramps(n_groups=1))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "best"}, r"method is 'best'; it must be one of \['differences', 'gls', "),
        ({"sigma": 0.0}, "sigma is 0.0; it must be positive"),
        ({"gain": np.zeros((6, 8))}, "no value of gain is positive"),
        ({"read_noise": np.full((6, 8), np.nan)}, "no value of read_noise is positive"),
        ({"gain": 0.0}, "gain is 0.0; it must be positive"),
        ({"read_noise": np.ones((2, 2))}, r"read_noise has sizes {'y': 2, 'x': 2}; .* 6 x 8"),
    ],
)
def test_bad_values_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        fit_ramps(ramps(), **given)


def test_nothing_tells_the_gain():
    with pytest.raises(
        tsoxr.TsoError, match="no 'gain', and no constant for detector 'XYZ'; attach"
    ):
        fit_ramps(ramps(detector="XYZ").drop_vars("gain"))


def test_nothing_tells_the_times():
    ds = ramps().drop_vars("group_time")
    np.testing.assert_array_equal(fit_ramps(ds).rate, fit_ramps(ramps()).rate)
    del ds.attrs["group_interval"]
    with pytest.raises(tsoxr.SchemaError, match="neither coordinate 'group_time' nor attribute"):
        fit_ramps(ds)
    with pytest.raises(tsoxr.SchemaError, match="'group_time' does not increase"):
        fit_ramps(ramps().isel(group=slice(None, None, -1)))


def test_plot_shows_measured_and_predicted_noise():
    from tsoxr.steps._ramp_plot import noise_data

    electrons = np.geomspace(5, 5000, 48).reshape(6, 8)
    rates = fit_ramps(ramps(n_times=60, electrons=electrons))
    found = noise_data(rates)
    assert found["rate"].size == 48
    # one pixel to about 20 %, 48 of them to 3 %; 4 sigma
    assert abs(np.mean(found["measured"] / found["predicted"]) - 1) < 0.12
    axes = rates.tso.plot.fit_ramps()
    assert set(axes) == {"rate", "noise", "ratio", "residual"}
    assert axes["noise"].get_xlabel() == "median count rate [DN s-1]"
    assert rates.tso.plot.fit_ramps(ax=axes["rate"]) is axes["rate"]
    assert fit_ramps(ramps(n_times=1)).tso.plot.fit_ramps() is not None
