"""Provenance: records, code that repeats them, replay, and loss that is seen."""

import json

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import history, testing


def chain(ramps):
    rates = (
        ramps.tso.flag_saturation().tso.subtract_bias().tso.flag_jumps(sigma=7.0).tso.fit_ramps()
    )
    return rates.tso.flag_outliers().tso.find_trace()


@pytest.fixture(scope="module")
def product():
    return chain(testing.example("ramps"))


def test_code_runs_and_repeats_the_product(product):
    scope = {}
    exec(product.tso.history.as_code(), scope)
    xr.testing.assert_allclose(scope["ds"]["rate"], product["rate"])
    assert [r["step"] for r in scope["ds"].tso.history] == [r["step"] for r in product.tso.history]


def test_replay_equals_the_product(product, tmp_path):
    path = product.tso.save(tmp_path / "rates.nc")
    xr.testing.assert_identical(tsoxr.replay(path, testing.example("ramps")), product)


def test_equal_work_gives_identical_datasets(product):
    xr.testing.assert_identical(chain(testing.example("ramps")), product)


def test_records_are_plain_json(product):
    found = json.loads(product.attrs["tso_history"])
    assert [r["step"] for r in found][:2] == ["flag_saturation", "subtract_bias"]
    assert all({"step", "version", "params", "from_mode", "derived"} <= r.keys() for r in found)


def test_jsonable_describes_arrays_and_functions():
    described = history.jsonable(
        {"a": np.arange(3, dtype="i4"), "b": np.float32(2), "f": np.median, "t": (1, None)}
    )
    assert described["a"]["array"] == [3]
    assert len(described["a"]["sha1"]) == 40
    assert described["b"] == 2.0
    assert described["f"] == {"callable": "numpy.median"}
    assert described["t"] == [1, None]


def test_jsonable_does_not_compute():
    lazy = xr.DataArray(np.zeros((4, 4)), dims=("time", "x")).chunk(time=2)
    with testing.raise_if_computes():
        assert history.jsonable(lazy) == {
            "array": [4, 4],
            "dtype": "float64",
            "dims": ["time", "x"],
        }


def test_an_array_argument_is_asked_for():
    rates = testing.example("rates")
    wave = np.linspace(0.6, 5.3, rates.sizes["x"])
    done = rates.tso.assign_wavelength(source=wave)
    assert "# give again: source" in done.tso.history.as_code()
    with pytest.raises(tsoxr.TsoError, match=r"pass arguments=\{'assign_wavelength.source'"):
        tsoxr.replay(done, rates)
    again = tsoxr.replay(done, rates, arguments={"assign_wavelength.source": wave})
    xr.testing.assert_identical(again, done)


def test_unknown_step_in_a_record(product):
    attrs = {"tso_history": history.append(product.attrs, {"step": "remove_ghost", "params": {}})}
    with pytest.raises(tsoxr.TsoError, match="'remove_ghost', which is no registered step"):
        tsoxr.replay(product.assign_attrs(attrs), testing.example("ramps"))


def test_lost_history_is_said():
    rates = testing.example("rates")
    del rates.attrs["tso_history"]
    assert "lost in arithmetic" in repr(rates.tso.history)


def test_broken_history_is_said():
    with pytest.raises(tsoxr.TsoError, match="is not JSON"):
        history.records({"tso_history": "{"})


def test_table_marks_where_values_come_from(product):
    text = repr(product.tso.history)
    assert "1. flag_saturation(" in text
    assert "(m)" in text or "(d)" in text
    assert "<table>" in product.tso.history._repr_html_()
    assert list(product.tso.history.to_dataframe()["step"])[-1] == "find_trace"
