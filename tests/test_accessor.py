"""The accessor: a view without state, memory that is freed, and what it says."""

import gc
import tracemalloc

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import testing


def test_accessor_holds_no_state():
    ds = testing.example("rates")
    assert ds.tso is not ds.tso
    with pytest.raises(AttributeError):
        ds.tso.foo = 1


def test_a_chain_frees_what_it_leaves_behind():
    gc.collect()
    gc.disable()
    try:
        ds = testing.example("rates").tso.find_trace()
        size = ds["rate"].nbytes
        tracemalloc.start()
        for _ in range(6):
            ds = ds.assign(rate=ds["rate"] + np.float32(1))
            assert ds.tso.kind == "rates"
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    finally:
        gc.enable()
    assert kept < 1.5 * size


def test_hasattr_is_never_fooled():
    plain = xr.Dataset()
    assert hasattr(plain, "tso")
    assert "did not make" in repr(plain.tso)
    with pytest.raises(tsoxr.SchemaError):
        plain.tso.median_image()


def test_identity_names_what_one_has():
    text = repr(testing.example("rates").tso)
    assert text.startswith("rates of")
    assert "nirspec-prism" in text
    assert "24 time" in text
    assert "<b>rates of" in testing.example("rates").tso._repr_html_()


def test_pixel_time_adds_the_read_out_delay():
    ds = testing.example("rates")
    clock = ds.tso.pixel_time()
    assert clock.attrs["units"] == "d"
    delay = (clock.isel(time=0) - ds.time[0]) * 86400
    # float64 days resolve 6e-7 s at this date
    # seconds at the barycentre are 1e-4 longer or shorter; a date resolves a microsecond
    np.testing.assert_allclose(delay, ds["read_offset"], rtol=1e-4, atol=2e-6)
    with pytest.raises(tsoxr.SchemaError, match="pixel_time needs 'read_offset'"):
        ds.drop_vars("read_offset").tso.pixel_time()


def test_median_image_is_labelled():
    image = testing.example("rates").tso.median_image()
    assert image.dims == ("y", "x")
    assert image.attrs["units"] == "DN s-1"


def test_summary_compares_scatter_with_errors():
    table = testing.example("lightcurves").tso.summary().set_index("quantity")["value"]
    assert 0.6 < table["measured over predicted"] < 1.6  # 24 points: 15 % of scatter of the scatter


def test_diagnostics_can_be_dropped():
    ds = testing.example("rates").tso.flag_outliers()
    names = [n for n in ds.data_vars if str(n).startswith("flag_outliers_")]
    assert names
    assert not set(names) & set(ds.tso.drop_diagnostics().data_vars)


def test_header_is_kept():
    header = testing.example("ramps").tso.header
    assert header["PRIMARY"]["EXP_TYPE"] == "NRS_BRIGHTOBJ"


def test_plot_of_a_step_not_done_says_so():
    with pytest.raises(
        tsoxr.SchemaError, match=r"plot.flag_outliers shows what flag_outliers\(\) did"
    ):
        testing.example("rates").tso.plot.flag_outliers()
    with pytest.raises(tsoxr.SchemaError, match=r"plot\.ramp shows ramps"):
        testing.example("rates").tso.plot.ramp()


def test_tree_maps_steps_over_its_nodes():
    rates = testing.example("rates")
    tree = xr.DataTree.from_dict({"/NRS1": rates, "/NRS2": rates.isel(time=slice(0, 12))})
    done = tree.tso.find_trace()
    assert [r["step"] for r in done["NRS1"].to_dataset().tso.history] == ["find_trace"]
    assert "trace_center" in done["NRS2"].coords
    with pytest.raises(tsoxr.SchemaError, match="no node of this tree"):
        tree.tso.fit_ramps()


@pytest.fixture
def curves():
    ds = testing.example("lightcurves")
    middle, span = float(ds.time.mean()), float(ds.time[-1] - ds.time[0])
    return ds.tso.mark_transit(t0=middle, duration=0.4 * span)


def test_spectrum_is_the_weighted_box_depth(curves):
    found = curves.tso.spectrum()
    assert found.tso.kind == "spectrum"
    # dense weighted least squares of one channel
    t = curves.time.values - curves.time.values[curves.in_transit].mean()
    design = np.stack([np.ones_like(t), t, -curves.in_transit.values.astype(float)], axis=1)
    flux, error = curves.flux.values[:, 0], curves.flux_error.values[:, 0]
    scaled = design / error[:, None]
    solution = np.linalg.lstsq(scaled, flux / error, rcond=None)[0]
    np.testing.assert_allclose(found.depth[0], 1e6 * solution[2] / solution[0], rtol=1e-6)


def test_spectrum_says_what_it_needs(curves):
    with pytest.raises(tsoxr.SchemaError, match="mark_transit"):
        curves.drop_vars("in_transit").tso.spectrum()
    with pytest.raises(tsoxr.SchemaError, match="spectrum takes lightcurves"):
        testing.example("rates").tso.spectrum()
    with pytest.raises(tsoxr.TsoError, match="0 outside"):
        curves.assign_coords(in_transit=("time", np.ones(24, bool))).tso.spectrum()


def test_mark_transit_bad_input():
    ds = testing.example("lightcurves")
    with pytest.raises(tsoxr.TsoError, match="full Julian date"):
        ds.tso.mark_transit(t0=2460000.5, duration=0.1)
    with pytest.raises(ValueError, match="days above zero"):
        ds.tso.mark_transit(t0=60000.0, duration=0.0)
    with pytest.raises(TypeError, match="needs 't0'"):
        ds.tso.mark_transit(duration=0.1)
    folded = ds.tso.mark_transit(t0=float(ds.time.mean()) - 7 * 3.3, duration=0.01, period=3.3)
    assert folded.in_transit.any()


def test_defaults_tell_value_and_reason():
    table = testing.example("rates").tso.defaults("extract")
    assert table.loc["method", "function"] == "optimal"
    assert table.loc["half_width", "function"] is None
    assert table.loc["half_width", "mode"] == 4.0
    assert len(table.loc["half_width", "reason"]) > 15
    with pytest.raises(KeyError, match="no step is called 'extrakt'"):
        testing.example("rates").tso.defaults("extrakt")
