"""Trees: orders of one frame, several detectors, and what joins them."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import testing, trees
from tsoxr.simulation import exposure, exposures


@pytest.fixture(scope="module")
def star():
    return exposure("niriss-soss", n_integrations=3, seed=1, noise=("photon", "read"))


@pytest.fixture(scope="module")
def soss(star):
    return star.rates()


@pytest.fixture(scope="module")
def orders(soss):
    return soss.tso.split_orders()


@pytest.fixture(scope="module")
def spectra(orders):
    return orders.tso.extract()


@pytest.fixture(scope="module")
def detectors():
    return tsoxr.simulate_tree("nirspec-g395h", kind="spectra", n_integrations=12, seed=1)


@pytest.fixture
def uneven():
    """Return two detectors whose exposures differ in length."""
    rates = testing.example("rates")
    return xr.DataTree.from_dict({"/NRS1": rates, "/NRS2": rates.isel(time=slice(0, 12))})


# ------------------------------------------------------------------ orders


def test_orders_share_the_cube(soss, orders):
    assert list(orders) == ["order1", "order2", "order3"]
    for i, ds in enumerate(orders.tso.nodes.values(), 1):
        for name in ("rate", "rate_error", "dq"):
            assert np.shares_memory(ds[name].values, soss[name].values)
        assert ds["trace_center"].attrs["spectral_order"] == i
        assert ds["wavelength"].attrs["spectral_order"] == i
    assert "trace_center" not in soss.coords


def test_each_order_extracts_itself(soss, spectra):
    """Bit by bit what the same steps on the Dataset alone give, history included."""
    alone = soss.tso.find_trace(spectral_order=2, method="reference")
    alone = alone.tso.assign_wavelength(order=2).tso.extract()
    assert alone.identical(spectra["order2"].to_dataset())
    assert [int(ds["order"]) for ds in spectra.tso.nodes.values()] == [1, 2, 3]


def test_traces_are_those_of_the_orders(star, orders):
    """The reference moved as a whole: no shape error in a simulation, which uses these curves.

    Left are the centroid's 0.2 to 0.4 pixels from the middle of the horns, and the light of the
    other orders in the window, hence half a pixel.
    """
    for i, ds in enumerate(orders.tso.nodes.values(), 1):
        truth = star.replace(order=i).truth(stripes=False)["trace_center"]
        difference = ds["trace_center"].variable - truth.variable
        assert abs(float(np.nanmedian(difference.values))) < 0.5


def test_orders_stay_lazy_and_give_the_same(soss, spectra):
    lazy = soss.chunk(time=2)
    with testing.raise_if_computes():
        tree = lazy.tso.split_orders(orders=(2, 1))
        done = tree.tso.extract()
        joined = done.tso.join()
    assert list(tree) == ["order2", "order1"]
    assert done["order2"]["flux"].chunks is not None
    loaded = xr.DataTree.from_dict({n: spectra[n].to_dataset() for n in ("order2", "order1")})
    xr.testing.assert_identical(joined.compute(), loaded.tso.join())


def test_default_orders_lie_on_the_subarray_and_pass_the_filter(soss):
    strip = soss.isel(y=slice(10, 106), time=[0]).assign_attrs(y_start=soss.attrs["y_start"] + 10)
    assert list(strip.tso.split_orders()) == ["order1"]
    red = soss.assign_attrs(fits_header=soss.attrs["fits_header"].replace('"CLEAR"', '"F277W"'))
    assert list(red.isel(time=[0]).tso.split_orders()) == ["order1"]
    prism = testing.example("rates")
    assert list(prism.tso.split_orders()) == ["order1"]


def test_what_is_known_of_an_order_is_kept(soss):
    image = xr.DataArray(np.zeros((2, 256, 2048), "f4"), dims=("order", "y", "x"))
    known = soss.tso.find_trace(degree=6).assign(order_image=image)
    tree = known.tso.split_orders(orders=(1, 2))
    assert tree["order1"].to_dataset().identical(known)
    assert "order_image" in tree["order2"]
    assert [r["step"] for r in tree.tso.history["order2"]] == [
        "find_trace", "find_trace", "assign_wavelength",
    ]  # fmt: skip


def test_orders_that_make_no_sense(soss):
    for orders in ((4,), (), (1, 1)):
        with pytest.raises(ValueError, match=r"split_orders: orders=.*give some of \(1, 2, 3\)"):
            soss.tso.split_orders(orders=orders)
    with pytest.raises(tsoxr.SchemaError, match="nircam-imaging does not disperse the light"):
        testing.example("rates").assign_attrs(tso_mode="nircam-imaging").tso.split_orders()
    with pytest.raises(tsoxr.TsoError) as caught:
        (soss * 0).assign_attrs(soss.attrs).tso.split_orders()
    assert "this is order 1" in caught.value.__notes__[0]


def test_wavelengths_of_another_order_are_not_taken(soss):
    second = soss.tso.find_trace(spectral_order=2, method="reference")
    with pytest.raises(tsoxr.SchemaError, match="'wavelength' is of order 1, order 2 is asked for"):
        second.tso.extract()


def test_steps_keep_to_the_order_of_a_node(orders):
    """Called without an order, what was split stays what it was."""
    again = orders.tso.find_trace(method="reference").tso.assign_wavelength(
        lambda x, y: 1 + 1e-4 * x
    )
    for i, ds in enumerate(again.tso.nodes.values(), 1):
        assert ds["trace_center"].attrs["spectral_order"] == i
        assert ds["wavelength"].attrs["spectral_order"] == i


def test_a_tree_may_be_split_too(soss):
    tree = xr.DataTree.from_dict({"/NIS": soss.isel(time=slice(0, 2))})
    assert list(trees.nodes(tree.tso.split_orders(orders=(1, 2)))) == ["NIS/order1", "NIS/order2"]


# ------------------------------------------------------------------ joining orders


def test_joined_orders_change_at_the_wavelength_of_the_mode(spectra):
    joined = spectra.tso.join()
    assert (np.diff(joined["wavelength"]) > 0).all()
    first = spectra["order1"]["wavelength"].min()  # order 1 begins above 0.85 um
    np.testing.assert_array_equal(joined["order"] == 1, joined["wavelength"] >= first)
    assert 0.85 < first < 0.852
    for order in (1, 2):
        own = spectra[f"order{order}"].to_dataset().sortby("wavelength")
        part = joined.isel(wavelength=(joined["order"] == order).values)
        for name in ("flux", "flux_error", "dq"):
            xr.testing.assert_equal(
                part[name].variable, own.sel(wavelength=part["wavelength"])[name].variable
            )
    assert joined.tso.validate() == []
    assert "order3" in joined.tso.history[-1]["notes"][0]
    higher = spectra.tso.join(at=1.0)
    np.testing.assert_array_equal(higher["order"] == 1, higher["wavelength"] >= 1.0)


def test_a_joined_product_repeats_itself(soss, spectra, tmp_path, monkeypatch):
    joined = tsoxr.join({name: spectra[name].to_dataset() for name in ("order1", "order2")})
    assert tsoxr.open(joined.tso.save(tmp_path / "joined.nc")).identical(joined)
    assert tsoxr.replay(joined, soss).identical(joined)
    code = joined.tso.history.as_code()
    assert code.splitlines()[-1].startswith("ds = tsoxr.join({'order1': order1, 'order2': order2}")
    monkeypatch.setattr(tsoxr, "simulate", lambda *_, **__: soss)
    scope = {}
    exec(code, scope)
    xr.testing.assert_equal(scope["ds"], joined)


def test_a_tree_is_printed_as_code(uneven, monkeypatch):
    done = uneven.tso.find_trace(degree={"NRS2": 3})
    monkeypatch.setattr(tsoxr, "simulate", lambda *_, **__: uneven["NRS2"].to_dataset())
    scope = {}
    exec(done.tso.history.as_code(), scope)
    assert scope["tree"]["NRS2"].to_dataset().equals(done["NRS2"].to_dataset())
    assert scope["NRS1"].tso.history[-1]["params"]["degree"] == 2


def test_wavelengths_of_two_orders_can_be_left_out(spectra):
    joined = spectra.tso.join(at="drop")
    first, second = (spectra[f"order{n}"].to_dataset()["wavelength"] for n in (1, 2))
    clear = (joined["wavelength"] < first.min()) | (joined["wavelength"] > second.max())
    assert clear.all()
    assert joined.sizes["wavelength"] == int(
        (first > second.max()).sum() + (second < first.min()).sum()
    )


def test_joins_that_make_no_sense(spectra):
    pair = {n: spectra[n].to_dataset() for n in ("order1", "order2")}
    bare = {n: ds.assign_attrs(tso_mode="unknown") for n, ds in pair.items()}
    with pytest.raises(
        ValueError, match=r"order2 and order1 from 0.8.* to 1.4.* um have both; give at="
    ):
        tsoxr.join(bare)
    with pytest.raises(ValueError, match=r"at=5.0 lies outside of the nodes, 0\.\d+ to 2\.\d+ um"):
        tsoxr.join(pair, at=5.0)
    with pytest.raises(ValueError, match="give 1 wavelengths, ascending"):
        tsoxr.join(pair, at=(0.8, 0.9))
    with pytest.raises(ValueError, match='it must be wavelengths, um, or "drop"'):
        tsoxr.join(pair, at="middle")
    with pytest.raises(ValueError, match="1 of the nodes order1, order2 take part"):
        tsoxr.join(pair, orders=(2,))
    with pytest.raises(ValueError, match=r"time_tolerance=0\.7"):
        tsoxr.join(pair, time_tolerance=0.7)
    with pytest.raises(tsoxr.SchemaError, match="of different kinds"):
        tsoxr.join({**pair, "order2": pair["order2"].tso.white_light()})
    other = pair["order2"].assign(flux=pair["order2"]["flux"].assign_attrs(units="mJy"))
    with pytest.raises(tsoxr.SchemaError, match="of different units"):
        tsoxr.join({**pair, "order2": other})
    with pytest.raises(tsoxr.SchemaError, match="no node of this tree is that"):
        tsoxr.join({"a": testing.example("rates")})
    with pytest.raises(TypeError, match="a mapping of names to Datasets, not list"):
        tsoxr.join(list(pair.values()))
    with pytest.raises(tsoxr.SchemaError, match="there are no products"):
        xr.DataTree().tso.summary()


def test_where_one_order_has_no_light_the_other_serves(spectra):
    red = spectra["order1"].to_dataset()
    red = red.isel(wavelength=(red["wavelength"] > 1.2).values)
    joined = tsoxr.join({"order1": red, "order2": spectra["order2"].to_dataset()})
    np.testing.assert_array_equal(joined["order"] == 1, joined["wavelength"] > 1.2)
    assert float(joined["wavelength"].diff("wavelength").max()) < 0.002  # pixels of order 1: 1 nm
    assert "order1 begins at 1.20" in joined.tso.history[-1]["notes"][0]


def test_joined_light_curves_leave_out_bins_across_the_border(spectra):
    curves = spectra.tso.bin(width=0.1)
    joined = curves.tso.join(at=0.93)
    bounds = joined["wavelength_bounds"].values
    assert joined.tso.kind == "lightcurves"
    assert not ((bounds[:, 0] < 0.93) & (bounds[:, 1] > 0.93)).any()
    order = joined["order"].values
    assert (bounds[order == 2, 1] <= 0.93).all()
    assert (bounds[order == 1, 0] >= 0.93).all()
    assert joined.tso.validate() == []


# ------------------------------------------------------------------ joining detectors


def test_detectors_with_equal_times_are_joined(detectors):
    joined = detectors.tso.join()
    names = joined["detector"].values
    assert list(dict.fromkeys(names)) == ["NRS1", "NRS2"]
    assert (np.diff(joined["wavelength"]) > 0).all()
    for name in detectors:
        own = detectors[name].to_dataset()
        np.testing.assert_array_equal(joined["flux"].values[:, names == name], own["flux"].values)
    starts = {n: ds.assign_attrs(tso_history="[]") for n, ds in detectors.tso.nodes.items()}
    assert tsoxr.replay(joined, xr.DataTree.from_dict(starts)).identical(joined)
    with pytest.raises(tsoxr.TsoError, match="'NRS1', which began with data of its own"):
        tsoxr.replay(joined, detectors["NRS1"].to_dataset())


def test_times_that_differ_are_joined_when_asked_and_stay_right(detectors):
    first, second = (ds.copy() for ds in detectors.tso.nodes.values())
    late = second.assign_coords(time=second["time"].copy(data=second["time"].values + 0.02 / 86400))
    with pytest.raises(tsoxr.SchemaError, match=r"differ by up to 0.02 s, 0.00\d+ of the interval"):
        tsoxr.join({"NRS1": first, "NRS2": late})
    joined = tsoxr.join({"NRS1": first, "NRS2": late}, time_tolerance=0.01)
    xr.testing.assert_equal(joined["time"].variable, first["time"].variable)
    own, now = late.tso.pixel_time().values[:, -1], joined.tso.pixel_time().values[:, -1]
    # a date in float64 resolves 6e-7 s, and seconds at the barycentre are 1e-4 longer or shorter
    np.testing.assert_allclose((now - own) * 86400, 0.0, atol=5e-6)
    with pytest.raises(tsoxr.SchemaError, match="NRS1 has 12 integrations and NRS2 has 6"):
        tsoxr.join({"NRS1": first, "NRS2": second.isel(time=slice(0, 6))}, time_tolerance=0.1)


def test_covariates_of_each_detector_are_kept(detectors):
    shifted = {
        name: ds.assign_coords(
            trace_shift=("time", np.full(12, i, "f4")), in_transit=("time", np.arange(12) > 5 + i)
        )
        for i, (name, ds) in enumerate(detectors.tso.nodes.items())
    }
    joined = tsoxr.join(shifted)
    assert float(joined["trace_shift_NRS2"][0]) == 1.0
    assert not {"trace_shift", "in_transit"} & set(joined.coords)
    assert any("mark the transit again" in text for text in joined.tso.history[-1]["notes"])
    header = joined.tso.header["PRIMARY"]
    assert "DETECTOR" not in header
    assert header["EXP_TYPE"] == "NRS_BRIGHTOBJ"


def test_levels_of_detectors_are_independent(detectors):
    """Errors in white light: the squares of both detectors add; all light of one is correlated."""
    nodes = {}
    for i, (name, ds) in enumerate(detectors.tso.nodes.items()):
        n_modes = 2 if i == 0 else 1
        level = xr.DataArray(
            np.full((ds.sizes["wavelength"], n_modes), 0.5, "f4"), dims=("wavelength", "level_mode")
        )
        error = np.hypot(ds["flux_error"], 1.0).astype("f4")
        nodes[name] = ds.assign(
            level_error=level.assign_attrs(units="electron s-1"),
            flux_error=error.assign_attrs(ds["flux_error"].attrs),
        )
    joined = tsoxr.join(nodes)
    assert joined["level_error"].shape[1] == 3
    whole = joined.tso.white_light(normalize=False)["flux_error"].values
    parts = [ds.tso.white_light(normalize=False)["flux_error"].values for ds in nodes.values()]
    np.testing.assert_allclose(whole, np.hypot(*parts), rtol=1e-6)  # sums of float32
    only = {**nodes, "NRS2": detectors["NRS2"].to_dataset()}
    assert tsoxr.join(only)["level_error"].shape[1] == 2


# ------------------------------------------------------------------ steps on trees


def test_whole_chain_on_a_tree_is_that_of_each_node():
    ramps = testing.example("ramps").isel(time=slice(0, 8)).chunk(time=4)
    tree = xr.DataTree.from_dict({"/NRS1": ramps, "/NRS2": ramps.isel(time=slice(0, 6))})

    def curves(start):
        with testing.raise_if_computes():
            start = start.tso.flag_saturation().tso.subtract_bias().tso.linearize().tso.flag_jumps()
        rates = start.tso.fit_ramps().tso.flag_outliers().tso.find_trace().tso.assign_wavelength()
        return rates.tso.extract().tso.white_light()

    done = curves(tree)
    assert curves(tree["NRS2"].to_dataset()).identical(done["NRS2"].to_dataset())
    assert done.tso.kind == {"NRS1": "lightcurves", "NRS2": "lightcurves"}


def test_parameters_by_node(uneven):
    done = uneven.tso.find_trace(degree={"NRS1": 3, "NRS2": 1}, half_width=5.0)
    used = [own[-1]["params"] for own in done.tso.history.values()]
    assert [(p["degree"], p["half_width"]) for p in used] == [(3, 5.0), (1, 5.0)]
    part = uneven.tso.find_trace(degree={"/NRS1": 3})
    assert part.tso.history["NRS2"][-1]["params"]["degree"] == 2  # that of the mode
    with pytest.raises(
        ValueError, match="find_trace: degree is given for 'NRS3'; the nodes are NRS1, NRS2"
    ):
        uneven.tso.find_trace(degree={"NRS3": 1})
    with pytest.raises(TypeError, match="has no parameter 'degre'; did you mean 'degree'"):
        uneven.tso.find_trace(degre={"NRS1": 1})


def test_an_error_names_its_node(uneven):
    with pytest.raises(ValueError, match="half_width=0") as caught:
        uneven.tso.find_trace(half_width={"NRS2": 0.0})
    assert caught.value.__notes__ == ["find_trace: this is node 'NRS2'"]


def test_the_name_of_a_parent_holds_below_it():
    rates = testing.example("rates").isel(time=slice(0, 4))
    tree = xr.DataTree.from_dict({"/a/one": rates, "/a/two": rates, "/b": rates})
    done = tree.tso.find_trace(degree={"a/two": 4, "a": 3})
    degrees = {p: own[-1]["params"]["degree"] for p, own in done.tso.history.items()}
    assert degrees == {"a/one": 3, "a/two": 4, "b": 2}


def test_parameters_that_are_mappings_themselves(uneven):
    gain = xr.DataArray(np.full((32, 512), 1.5, "f4"), dims=("y", "x"))
    for source in ({"gain": gain}, {"NRS1": {"gain": gain}, "NRS2": {"gain": gain * 2}}):
        done = uneven.tso.use_references(source)
        assert float(done["NRS1"]["gain"].mean()) == 1.5
    assert float(done["NRS2"]["gain"].mean()) == 3.0


def test_nodes_of_another_mode_are_left_as_they_are():
    image = tsoxr.simulate(
        "nircam-imaging", subarray="SUB64P", kind="rates", n_integrations=8, seed=1
    )
    tree = xr.DataTree.from_dict({"/LONG": testing.example("rates"), "/SHORT": image})
    tree = tree.tso.find_trace()
    with pytest.warns(
        tsoxr.TsoWarning, match=r"takes dispersed light; left .*SHORT: nircam-imaging rates"
    ):
        done = tree.tso.extract()
    assert done.tso.kind == {"LONG": "spectra", "SHORT": "rates"}
    assert done["SHORT"].to_dataset().identical(tree["SHORT"].to_dataset())
    done = done.tso.photometry()
    assert done.tso.kind == {"LONG": "spectra", "SHORT": "lightcurves"}
    assert set(dir(done.tso.plot)) >= {"extract", "photometry"}
    with pytest.raises(
        tsoxr.SchemaError, match=r"extract\(\) takes rates; no node of this tree is that"
    ):
        done.tso.extract()
    short = xr.DataTree.from_dict({"/SHORT": image})
    with pytest.raises(tsoxr.SchemaError, match="takes rates of dispersed light; no node"):
        short.tso.extract()
    with pytest.raises(tsoxr.SchemaError, match=r"takes dispersed light; .*run .tso.photometry"):
        short["SHORT"].to_dataset().tso.extract()


# ------------------------------------------------------------------ what a tree tells


def test_tables_name_the_node(uneven):
    done = uneven.tso.find_trace()
    table = done.tso.summary()
    assert list(table.columns)[:2] == ["node", "step"]
    assert set(table["node"]) == {"NRS1", "NRS2"}
    alone = done["NRS2"].to_dataset().tso.summary()
    own = table[table["node"] == "NRS2"].drop(columns="node").reset_index(drop=True)
    assert own.equals(alone)
    assert done.tso.defaults("extract").loc[("NRS2", "half_width"), "mode"] == 4.0
    assert done.tso.defaults("join").shape[0] == 6
    alone = done["NRS2"].to_dataset().tso.estimate_memory()
    assert done.tso.estimate_memory().loc[("NRS2", "loaded"), "GB"] == alone.loc["loaded", "GB"]
    assert done.tso.validate() == []
    assert done.tso.mode["NRS1"].name == "nirspec-prism"
    assert repr(done.tso).splitlines()[1].startswith("/NRS2: rates of")


def test_histories_that_are_the_same_are_printed_once(uneven):
    done = uneven.tso.find_trace()
    assert repr(done.tso.history).startswith("NRS1, NRS2:\n1. find_trace(")
    apart = uneven.tso.find_trace(degree={"NRS1": 3})
    assert repr(apart.tso.history).count("find_trace(") == 2
    assert "<b>NRS1, NRS2</b>" in done.tso._repr_html_()


def test_plots_have_a_panel_for_each_node(uneven):
    import matplotlib.pyplot as plt

    done = uneven.tso.find_trace(degree={"NRS1": 3})
    drawn = done.tso.plot.find_trace()
    assert list(drawn) == ["NRS1", "NRS2"]
    assert all(ax.get_title().startswith(path) for path, ax in drawn.items())
    _, axes = plt.subplots(2)
    assert (
        done.tso.plot.frame(ax=dict(zip(done, axes, strict=True)), integration=1)["NRS2"] is axes[1]
    )
    assert {"find_trace", "frame", "median_image"} <= set(dir(done.tso.plot))
    with pytest.raises(tsoxr.SchemaError, match=r"plot\.extract: no node of this tree has it"):
        done.tso.plot.extract()


def test_completion_shows_what_applies_to_a_node(uneven, detectors):
    assert {"find_trace", "split_orders"} <= set(dir(uneven.tso))
    assert not {"join", "white_light"} & set(dir(uneven.tso))
    assert {"join", "white_light"} <= set(dir(detectors.tso))
    assert "split_orders" in dir(testing.example("rates").tso)
    assert "split_orders" not in dir(testing.example("spectra").tso)


def test_each_node_keeps_its_own_times(uneven, tmp_path):
    done = uneven.tso.find_trace()
    again = tsoxr.open_tree(done.tso.save(tmp_path / "tree.nc"))
    assert again.identical(done)
    for name, n in (("NRS1", 24), ("NRS2", 12)):
        assert again[name].to_dataset(inherit=False).sizes["time"] == n
        with xr.open_dataset(tmp_path / "tree.nc", group=name) as ds:
            assert ds.sizes["time"] == n
            assert "time" in ds.coords


def test_coordinates_of_the_root_reach_the_nodes(tmp_path):
    rates = testing.example("rates")
    times = xr.Dataset(coords={"time": rates["time"]})
    bare = rates.drop_vars("time")
    tree = xr.DataTree.from_dict({"/": times, "/order1": bare, "/order2": bare})
    done = tree.tso.find_trace()
    assert "time" in done.tso.nodes["order2"].indexes
    again = tsoxr.open_tree(done.tso.save(tmp_path / "tree.nc"))
    xr.testing.assert_equal(again["order2"]["time"], rates["time"])


def test_products_for_every_node(uneven, detectors):
    assert {p: a.shape for p, a in uneven.tso.median_image().items()} == {
        "NRS1": (32, 512), "NRS2": (32, 512),
    }  # fmt: skip
    assert uneven.tso.pixel_time()["NRS2"].sizes["time"] == 12
    assert uneven.tso.header["NRS1"]["PRIMARY"]["EXP_TYPE"] == "NRS_BRIGHTOBJ"
    depths = detectors.tso.white_light().tso.spectrum()
    assert depths.tso.kind == {"NRS1": "spectrum", "NRS2": "spectrum"}
    with pytest.raises(tsoxr.SchemaError, match="no node of this tree is lightcurves"):
        uneven.tso.spectrum()
    kept = uneven.tso.find_trace().tso.drop_diagnostics()
    assert "find_trace_fwhm" not in kept["NRS1"]


# ------------------------------------------------------------------ simulation


def test_detectors_see_one_transit_and_one_telescope():
    tree = tsoxr.simulate_tree("nirspec-g395h", kind="spectra", n_integrations=40, seed=3)
    first, second = tree.tso.nodes.values()
    for name in ("time", "in_transit", "jitter_x", "jitter_y"):
        np.testing.assert_array_equal(first[name], second[name])
    noise = [(ds["flux"] - ds["flux"].mean("time")) / ds["flux_error"] for ds in (first, second)]
    a, b = (n.where(~n["in_transit"], drop=True).values[:, :1000].ravel() for n in noise)
    # independent normal numbers correlate by less than 4 / sqrt(n)
    assert abs(np.corrcoef(a, b)[0, 1]) < 4.0 / np.sqrt(a.size)


def test_channels_of_different_cadence_share_the_planet():
    both = exposures({
        "NRCALONG": {"mode": "nircam-grism", "n_integrations": 5},
        "SHORT": {"mode": "nircam-imaging", "detector": "NRCA3", "n_integrations": 9, "t0": 60200.5},
    }, seed=1, subarray="SUBGRISM64")  # fmt: skip
    assert [e.setup.detector for e in both.values()] == ["NRCALONG", "NRCA3"]
    long, short = (e.planet for e in both.values())
    assert long.period == short.period
    assert short.t0 == 60200.5
    assert list(exposures(("nircam-grism", "nirspec-prism"))) == ["NRCALONG", "NRS1"]
    with pytest.raises(ValueError, match="are both of NRS1; name the nodes"):
        exposures(("nirspec-prism", "nirspec-g395h"))
    with pytest.raises(ValueError, match="give each node its mode"):
        exposures({"NRS1": {}})
    with pytest.raises(ValueError, match="there is no mode"):
        exposures(())
    with pytest.raises(ValueError, match="kind is 'rate'"):
        tsoxr.simulate_tree("nirspec-g395h", kind="rate")
    with pytest.raises(ValueError, match="only ramps are lazy"):
        tsoxr.simulate_tree("nirspec-g395h", kind="rates", chunks=2)
    with pytest.raises(tsoxr.ModeError, match="no mode is called"):
        tsoxr.simulate_tree("nirspec-g395x")
