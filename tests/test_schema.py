"""The schema finds what is wrong with a product, and nothing wrong with a right one."""

import numpy as np
import pytest

import tsoxr
from tsoxr import schema, testing


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
@pytest.mark.parametrize("kind", ["ramps", "rates", "spectra", "lightcurves"])
def test_simulated_products_are_valid(kind, mode):
    ds = testing.example(kind, mode)
    assert ds.tso.validate() == []
    assert ds.tso.kind == kind
    assert ds.tso.mode.name == mode


def test_validation_computes_nothing():
    lazy = testing.example("ramps").chunk(time=5)
    with testing.raise_if_computes():
        assert lazy.tso.validate() == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: d.drop_vars("rate"), "'rate' is missing"),
        (
            lambda d: d.assign(rate=d.rate.astype("f8")),
            "'rate' has dtype float64; expected float32",
        ),
        (
            lambda d: d.assign(rate=d.rate.assign_attrs(units="DN")),
            "'rate' has units 'DN'; expected 'DN s-1'",
        ),
        (
            lambda d: d.assign(rate=d.rate.transpose("time", "x", "y")),
            "dims \\('time', 'x', 'y'\\)",
        ),
        (lambda d: d.assign_attrs(spatial_dim="row"), "'spatial_dim' is 'row'"),
        (lambda d: d.assign_attrs(units="DN"), "attribute 'units'"),
        (lambda d: d.assign_attrs(cut=True), "'cut' is a bool"),
        (lambda d: d.isel(time=slice(None, None, -1)), "'time' does not increase"),
        (lambda d: d.assign_attrs(tso_kind="rate"), "'tso_kind' is 'rate'"),
        (lambda d: d.drop_attrs(), "'tso_kind' is missing"),
    ],
)
def test_each_fault_is_named(spoil, message):
    broken = spoil(testing.example("rates"))
    with pytest.raises(tsoxr.SchemaError, match=message):
        broken.tso.validate(strict=True)


def test_label_sets_units_and_flags():
    array = testing.example("rates")["dq"]
    labelled = schema.label(array.drop_attrs(), "rates", "dq")
    assert labelled.attrs["flag_masks"].dtype == np.uint32
    with pytest.raises(KeyError):
        schema.label(array, "rates", "ghost")
