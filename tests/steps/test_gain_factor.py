"""GAINFACT, the factor between the gains of a subarray and of the full frame: once, or never.

A raw exposure and what this package makes of it are in DN of the subarray, and the gain goes
with them. Rates of the archive may be multiplied by the factor (S_GANSCL); their gain is then
smaller by it, so that electrons are the same. No step multiplies rates.
"""

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr.simulation import Exposure

FACTOR = 1.4


@pytest.fixture(scope="module")
def exposure():
    return Exposure(mode="nirspec-prism", n_integrations=3, seed=2)


@pytest.fixture(scope="module")
def folder(exposure, tmp_path_factory):
    path = tmp_path_factory.mktemp("references")
    exposure.write_references(path)
    return path


def of_archive(rates, *, scaled=True, factor=FACTOR):
    """Return rates as the archive has them: without gain, scaled or not, and labelled so."""
    attrs = {"gain_scaled": 1} if scaled else {}
    out = rates.drop_vars("gain").assign_attrs(gain_factor=factor, **attrs)
    names = ("rate", "rate_error")
    return out.assign({n: rates[n] * np.float32(factor) for n in names}) if scaled else out


def electrons(rates):
    return (rates["rate"] * rates["gain"]).sum(["y", "x"])


def test_electrons_do_not_depend_on_the_scaling(exposure, folder):
    rates = exposure.rates()
    plain = of_archive(rates, scaled=False).tso.use_references(folder, types=("gain",))
    scaled = of_archive(rates).tso.use_references(folder, types=("gain",))
    # float32 products
    np.testing.assert_allclose(electrons(scaled), electrons(plain), rtol=1e-6)
    assert scaled["gain"].attrs["divided_by_gain_factor"] == FACTOR
    assert "divided_by_gain_factor" not in plain["gain"].attrs
    assert any("gain divided by GAINFACT = 1.4" in n for n in scaled.tso.history[-1]["notes"])


def test_not_twice_by_attaching_again(exposure, folder):
    once = of_archive(exposure.rates()).tso.use_references(folder, types=("gain",))
    twice = once.tso.use_references(folder, types=("gain",))
    np.testing.assert_array_equal(twice["gain"], once["gain"])


def test_not_by_a_gain_given_as_numbers(exposure):
    """Who gives numbers gives those of the data that he has."""
    gain = xr.DataArray(np.full((32, 512), 1.1, "f4"), dims=("y", "x"))
    out = of_archive(exposure.rates()).tso.use_references({"gain": gain})
    np.testing.assert_array_equal(out["gain"], gain)


def test_not_after_saving(exposure, folder, tmp_path):
    once = of_archive(exposure.rates()).tso.use_references(folder, types=("gain",))
    again = tsoxr.open(once.tso.save(tmp_path / "rates.nc"))
    assert again.attrs["gain_scaled"] == 1
    np.testing.assert_array_equal(again["gain"], once["gain"])
    assert again["gain"].attrs["divided_by_gain_factor"] == FACTOR


def test_ramps_are_never_scaled(exposure, folder):
    """Raw DN and the subarray's gain belong together, whatever GAINFACT says."""
    raw = Exposure(mode="nirspec-prism", n_integrations=3, seed=2, references=False).ramps()
    one, other = (
        raw.assign_attrs(gain_factor=f).tso.use_references(folder).tso.fit_ramps()
        for f in (1.0, FACTOR)
    )
    np.testing.assert_array_equal(one["rate"], other["rate"])
    np.testing.assert_array_equal(one["gain"], other["gain"])
    assert "gain_scaled" not in other.attrs


def test_typical_gain_of_a_detector_is_scaled_too(exposure):
    """Without a gain, electrons of scaled and plain rates are the same."""
    rates = exposure.rates()
    flux = [
        of_archive(rates, scaled=s).tso.find_trace().tso.assign_wavelength().tso.extract()["flux"]
        for s in (False, True)
    ]
    # weights are those of the same signal and noise in other units
    np.testing.assert_allclose(flux[1].sum("wavelength"), flux[0].sum("wavelength"), rtol=1e-4)


def test_unknown_factor_is_noted(exposure, folder):
    bare = of_archive(exposure.rates())
    del bare.attrs["gain_factor"]
    out = bare.tso.use_references(folder, types=("gain",))
    assert any("unknown factor" in n for n in out.tso.history[-1]["notes"])
