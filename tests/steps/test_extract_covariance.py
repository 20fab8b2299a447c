"""`extract(method="covariance")` on simulated rates with stripes: scatter, errors and bias."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import testing

NOISE = ("photon", "read", "background", "flat")


def _rates(seed: int, *, stripes: bool, mode: str = "nirspec-prism", **given: object) -> xr.Dataset:
    noise = (*NOISE, "one_over_f") if stripes else NOISE
    made = {"n_integrations": 40, "brightness": 0.05, "noise": noise} | given
    rates = tsoxr.simulation.exposure(mode, seed=seed, **made).rates()
    return rates.tso.find_trace(degree=1).tso.assign_wavelength()


def _scatter(spectra: xr.Dataset) -> np.ndarray:
    """Return the noise of each channel, from differences of integrations."""
    step = np.diff(spectra["flux"].values.astype(float), axis=0)
    return np.sqrt((step**2).mean(axis=0) / 2.0)


def _error(spectra: xr.Dataset) -> np.ndarray:
    return np.sqrt((spectra["flux_error"].values.astype(float) ** 2).mean(axis=0))


@pytest.fixture(scope="module")
def striped() -> list[xr.Dataset]:
    return [_rates(seed, stripes=True) for seed in range(2)]


def test_stripes_cost_less_and_errors_are_right(striped: list[xr.Dataset]) -> None:
    """Stripes dominate: at least 10 % below "optimal", and error bars that hold.

    39 differences of 2 seeds and 400 channels tell the mean ratio to 0.6 %.
    """
    gain, ratio = [], []
    for rates in striped:
        plain, found = (
            rates.tso.extract(method=m, half_width=6.0) for m in ("optimal", "covariance")
        )
        gain.append(np.median(_scatter(found) / _scatter(plain)))
        ratio.append(np.sqrt((_error(found) ** 2).mean() / (_scatter(found) ** 2).mean()))
        assert 0.05 < float(found["extract_correlation"].median()) < 0.9
    assert np.mean(gain) < 0.9
    assert 0.95 < np.mean(ratio) < 1.05


def test_without_stripes_it_is_optimal() -> None:
    """Nothing significant is found, and what chance leaves changes the noise by less than 1 %."""
    rates = _rates(5, stripes=False)
    plain, found = (rates.tso.extract(method=m) for m in ("optimal", "covariance"))
    assert float(found["extract_correlation"].max()) < 0.01
    assert np.median(_scatter(found) / _scatter(plain)) == pytest.approx(1.0, abs=0.01)
    np.testing.assert_allclose(_error(found), _error(plain), rtol=0.02)


def test_flux_is_unbiased_and_holes_make_no_dip(striped: list[xr.Dataset]) -> None:
    """Against "optimal"; one pixel of the core in three columns is lost in every fifth integration."""
    rates = striped[0].tso.subtract_background()
    whole, plain = (rates.tso.extract(method=m, half_width=6.0) for m in ("covariance", "optimal"))
    total = (whole["flux"].sum() / plain["flux"].sum()).item()
    assert total == pytest.approx(1.0, abs=2e-3)
    lost = (rates["x"].isin([220, 240, 260])) & (
        rates["y"] == round(float(rates["trace_center"][240]))
    )
    lost = lost & (rates["time"].isin(rates["time"][::5]))
    dq = rates["dq"] | lost.astype("u4").transpose(*rates["dq"].dims)
    holed = rates.assign(dq=dq).tso.extract(method="covariance", half_width=6.0)
    hit = np.isin(whole["dispersion_pixel"], [220, 240, 260])
    assert hit.sum() == 3
    pull = ((holed["flux"] - whole["flux"]) / holed["flux_error"]).values[::5, hit]
    # what is left holds part of the weight: the flux moves by about its error, and about 0
    assert 0.01 < np.sqrt(np.mean(pull**2)) < 2.0
    assert abs(pull.mean()) < 3.0 * pull.std() / np.sqrt(pull.size)


def _white(spectra: xr.Dataset) -> tuple[float, float]:
    """Return scatter and stated error of the white light, both relative."""
    white = spectra.tso.white_light()
    step = np.diff(white["flux"].values[:, 0])
    return float(np.sqrt((step**2).mean() / 2.0)), float(white["flux_error"].median())


LAG = np.abs(np.arange(64)[:, None] - np.arange(64))


@pytest.fixture(scope="module")
def along() -> xr.Dataset:
    """NIRCam rates with levels of known covariance: shared by outputs, and by neighbouring lines."""
    noise = ("photon", "read")
    given = {"seed": 1, "n_integrations": 40, "noise": noise, "radius_ratio": 1e-3}
    rates = tsoxr.simulation.exposure("nircam-grism", **given).rates()
    factor = np.linalg.cholesky(4.0 * np.exp(-LAG / 8.0) + 1e-6 * np.eye(64))
    rng = np.random.default_rng(0)
    level = rng.normal(0, 1, (40, 64)) @ factor.T
    rates["rate"] = rates["rate"] + xr.DataArray(level.astype("f4"), dims=("time", "y"))
    found = rates.tso.find_trace().tso.assign_wavelength()
    own = np.broadcast_to(factor[:, None], (64, 4, 64)).astype("f4")
    return found.assign(level_factor=(("y", "output", "level_mode"), own))


def test_lines_along_the_spectrum_leave_less_in_the_white_light(along: xr.Dataset) -> None:
    """Where the levels' covariance is known, scatter and error agree: 39 differences tell 14 %."""
    plain = _white(along.tso.extract(method="optimal"))
    found = {n: along.tso.extract(method="covariance", bin_pixels=n) for n in (1.0, None)}
    white = _white(found[None])
    assert white[0] < 0.8 * plain[0]
    assert white[1] < 0.8 * plain[1]
    assert white[0] / white[1] == pytest.approx(1.0, abs=0.3)
    # one wavelength by itself has its least noise with bin_pixels=1
    assert np.median(_error(found[1.0])) < np.median(_error(found[None]))
    assert np.median(_scatter(found[1.0])) < np.median(_scatter(found[None]))
    assert white[0] < _white(found[1.0])[0]
    ratio = np.median(_error(found[None]) / _scatter(found[None]))
    assert ratio == pytest.approx(1.0, abs=0.05)


def test_levels_that_nobody_subtracted_are_measured(along: xr.Dataset) -> None:
    """From dark pixels, as well as if their covariance were known, within 25 %."""
    known = _white(along.tso.extract(method="covariance"))
    found = along.drop_vars("level_factor").tso.extract(method="covariance")
    assert "measured on dark pixels" in str(found.attrs["tso_history"])
    assert "level_error" in found
    assert _white(found)[0] < 1.25 * known[0]
    assert _white(found)[0] / _white(found)[1] == pytest.approx(1.0, abs=0.35)


@pytest.mark.parametrize("bin_pixels", [0.0, -3.0, np.nan])
def test_a_number_of_wavelengths_is_positive(striped: list[xr.Dataset], bin_pixels: float) -> None:
    with pytest.raises(ValueError, match="bin_pixels"):
        striped[0].tso.extract(method="covariance", bin_pixels=bin_pixels)


def test_lazy_rates_give_the_same() -> None:
    ds = testing.prepared("extract", testing.example("rates"))
    for check in (testing.lazy_stays_lazy, testing.lazy_equals_eager):
        check("extract", ds, {"method": "covariance"})
