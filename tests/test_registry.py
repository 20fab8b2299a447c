"""Every registered step keeps the contract; the wrapper refuses what it must refuse."""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import registry, testing

registry.discover()

MODES = ("nirspec-prism", "miri-lrs")
OF_IMAGES = ("photometry",)
"""Steps that take images only."""


def arguments(name, ds):
    """Return the parameters without which a step has nothing to work on."""
    if name == "use_references":
        shape = (ds.sizes["y"], ds.sizes["x"])
        return {"source": {"gain": xr.DataArray(np.full(shape, 1.5, "f4"), dims=("y", "x"))}}
    if name == "flag_contaminants":
        return {"positions": [(30.0, 12.0)]}
    if name == "calibrate_flux":
        return {"photom": xr.DataArray(2e-3, attrs={"units": "mJy / (electron s-1)"})}
    if name == "mark_transit":
        return {"t0": float(ds.time.mean()), "duration": 0.3 * float(ds.time[-1] - ds.time[0])}
    return {}


@pytest.fixture(scope="module")
def ready():
    """Return the data on which each step is tried, prepared once."""
    made = {}

    def get(name, mode):
        mode = "miri-imaging" if name in OF_IMAGES else mode
        if (name, mode) not in made:
            kind = registry.STEPS[name].kinds[0]
            made[name, mode] = testing.prepared(name, testing.example(kind, mode))
        return made[name, mode]

    return get


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("name", sorted(registry.STEPS))
def test_contract(name, check, ready):
    ds = ready(name, "nirspec-prism")
    check(name, ds, arguments(name, ds))


@pytest.mark.parametrize("name", sorted(registry.STEPS))
def test_contract_with_dispersion_along_y(name, ready):
    ds = ready(name, "miri-lrs")
    for check in (testing.lazy_equals_eager, testing.result_is_valid, testing.draws_axes):
        check(name, ds, arguments(name, ds))


def test_every_step_is_a_method_and_a_function():
    rates = testing.example("rates")
    for name in registry.STEPS:
        assert callable(getattr(rates.tso, name))
        assert callable(getattr(tsoxr.steps, name))


def test_completion_shows_only_what_applies():
    names = dir(testing.example("rates").tso)
    assert "flag_outliers" in names
    assert "fit_ramps" not in names


def test_unknown_parameter_names_the_nearest():
    with pytest.raises(
        TypeError, match=r"flag_outliers\(\) has no parameter 'sigmas'; did you mean 'sigma'"
    ):
        testing.example("rates").tso.flag_outliers(sigmas=3)


def test_parameters_are_given_by_name():
    with pytest.raises(TypeError, match="takes its parameters by name"):
        testing.example("rates").tso.flag_outliers(3)


def test_missing_variable_names_the_step_that_makes_it():
    with pytest.raises(
        tsoxr.SchemaError, match=r"needs 'trace_center' \(run .tso.find_trace\(\) first\)"
    ):
        testing.example("rates").drop_vars("trace_center", errors="ignore").tso.extract()


def test_wrong_kind_says_what_to_do():
    with pytest.raises(
        tsoxr.SchemaError,
        match=r"takes rates; this Dataset is ramps \(run .tso.fit_ramps\(\) first\)",
    ):
        testing.example("ramps").tso.flag_outliers()


def test_wrong_kind_says_that_it_was_done():
    rates = testing.example("ramps").tso.fit_ramps()
    with pytest.raises(tsoxr.SchemaError, match="fit_ramps was already applied: record 1"):
        rates.tso.fit_ramps()


def test_once_is_once_unless_asked():
    done = testing.example("ramps").tso.subtract_bias()
    with pytest.raises(tsoxr.TsoError, match=r"already applied \(record 1\).*again=True"):
        done.tso.subtract_bias()
    assert len(done.tso.subtract_bias(again=True).tso.history) == 2


def test_lost_attributes_are_explained():
    lost = testing.example("rates").drop_attrs()
    with pytest.raises(tsoxr.SchemaError, match="no attribute 'tso_kind'"):
        lost.tso.flag_outliers()


def test_not_a_dataset():
    with pytest.raises(TypeError, match=r"takes an xarray.Dataset, not ndarray"):
        tsoxr.steps.flag_outliers(np.zeros(3))


def test_caller_beats_mode_beats_signature(tmp_path):
    table = tmp_path / "mine.toml"
    table.write_text("[nirspec-prism.flag_outliers]\nsigma = 7.5\n")
    rates = testing.example("rates")
    with tsoxr.set_options(modes=str(table)):
        from_mode = rates.tso.flag_outliers().tso.history[-1]
        given = rates.tso.flag_outliers(sigma=9.0).tso.history[-1]
        assert rates.tso.defaults("flag_outliers").loc["sigma", "mode"] == 7.5
    assert from_mode["params"]["sigma"] == 7.5
    assert "sigma" in from_mode["from_mode"]
    assert given["params"]["sigma"] == 9.0
    assert "sigma" not in given["from_mode"]


def test_third_party_step_is_one_function():
    @registry.step(kind="rates", needs=("rate",))
    def brighten(ds, *, factor: float = 2.0):
        """Multiply the rates."""
        registry.note("for the test")
        return ds.assign(rate=ds["rate"] * np.float32(registry.derived(factor=factor)))

    try:
        out = brighten(testing.example("rates"), factor=3.0)
        record = out.tso.history[-1]
        assert record["params"] == {"factor": 3.0}
        assert record["notes"] == ["for the test"]
        assert record["derived"] == ["factor"]
    finally:
        del registry.STEPS["brighten"]


def test_loose_parameters_are_refused_at_registration():
    with pytest.raises(TypeError, match="must be keyword-only"):

        @registry.step(kind="rates")
        def loose(ds, a, b):
            return ds

    registry.STEPS.pop("loose", None)
