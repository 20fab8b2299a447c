"""`extract(reject=...)`: hits leave no trace in the light, and their absence costs nothing."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, testing
from tsoxr.history import records
from tsoxr.steps import _rejection, extract

WHITE = ("photon", "read")


def exposure(mode="nirspec-prism", *, n=60, seed=3, noise=WHITE, **parameters):
    """Rates with the true trace and wavelengths, and the truth."""
    made = tsoxr.simulation.exposure(mode, n_integrations=n, seed=seed, noise=noise, **parameters)
    rates, truth = made.rates(), made.truth(stripes=False)
    return rates.assign_coords(trace_center=truth.trace_center.variable), truth


def with_hits(rates, *, share, size, seed=0):
    """Rates with hits of so many errors in a share of the samples within four pixels of the trace."""
    rng = np.random.default_rng(seed)
    near = abs(rates[rates.attrs["spatial_dim"]] - rates.trace_center) < 4
    near = near.transpose("y", "x").values
    hit = (rng.random(rates.rate.shape) < share) & near
    return rates.assign(rate=rates.rate + (size * hit * rates.rate_error).astype("f4")), hit


def lit(spectra, limit=0.1):
    median = spectra.flux.median("time").values
    return median > limit * median.max()


def change(spectra, clean):
    """Difference from spectra without hits, in errors."""
    some = lit(clean)
    return ((spectra.flux - clean.flux) / clean.flux_error).values[:, some]


@pytest.mark.parametrize(
    ("mode", "method"),
    [("nirspec-prism", "optimal"), ("nirspec-prism", "box"), ("miri-lrs", "optimal")],
)
def test_large_hits_are_rejected(mode, method):
    rates, _ = exposure(mode, n=40)
    hit_rates, hit = with_hits(rates, share=2e-3, size=20)
    clean = extract(rates, method=method)
    some = lit(clean)
    spoilt, mended = (extract(hit_rates, method=method, reject=r) for r in (None, 6.0))
    # a hit of 20 in a pixel with a fifth of the light or less of a column is 4 to 9 of its error
    assert (np.abs(change(spoilt, clean)) > 3).mean() > 0.003
    # without the pixel the light has the noise of the rest: sqrt(h / (1 - h)) of its error, h the
    # pixel's share; beyond 3 errors only where one of two bright pixels is the wrong one
    assert (np.abs(change(mended, clean)) > 3).mean() < 2e-4
    count = float(mended.extract_rejected.sum())
    assert 0.8 * hit.sum() < count < 1.05 * hit.sum()
    estimated = dq.has_flag(mended.dq, "FLUX_ESTIMATED").values[:, some]
    assert (np.abs(change(mended, clean))[~estimated] < 3).all()
    assert mended.tso.validate() == []


def test_nothing_is_sought_unless_asked():
    rates, _ = exposure(n=10)
    rates, _ = with_hits(rates, share=2e-3, size=50)
    spectra = extract(rates)
    assert "extract_rejected" not in spectra
    assert records(spectra.attrs)[-1]["params"]["reject"] is None


@pytest.mark.parametrize("seed", [0])
def test_good_pixels_stay(seed):
    """Photons, reads, jitter, flat and a transit, no hits: six sigma is beyond all of them."""
    rates, _ = exposure(n=60, seed=seed, noise=(*WHITE, "jitter", "flat"))
    plain, strict = extract(rates), extract(rates, reject=6.0)
    # 480 columns of 9 pixels, 60 integrations: 1e-3 of them lie beyond six sigma by chance
    assert int(strict.extract_rejected.sum()) <= 2
    touched = (strict.flux != plain.flux).values.sum()
    assert touched <= 2


@pytest.mark.parametrize("seed", range(2))
def test_the_depth_of_a_transit_is_not_touched(seed):
    transit = {"radius_ratio": np.sqrt(0.02), "limb_darkening": (0.0, 0.0)}
    clean, truth = exposure(n=80, seed=seed, **transit)
    rates, _ = with_hits(clean, share=1e-3, size=9, seed=seed)
    dip = 1 - truth.white_flux.values
    inside, outside = dip > 0.9 * dip.max(), ~clean.in_transit.values
    good, mended = extract(clean), extract(rates, reject=5.0)
    some = lit(good, 0.05)

    def depth(spectra):
        white = np.nansum(spectra.flux.values[:, some].astype(float), axis=1)
        return 1 - white[inside].mean() / white[outside].mean()

    white = np.nansum(good.flux.values[:, some].astype(float), axis=1)
    noise = np.sqrt(np.nansum(good.flux_error.values[:, some] ** 2, axis=1)).mean() / white.mean()
    error = noise * np.sqrt(1 / inside.sum() + 1 / outside.sum())
    assert abs(depth(good) - 0.02) < 5e-4
    # a pixel of 2 % of the columns is lost and its light estimated: a tenth of the noise, and as
    # much again from hits in bright pixels that stay
    assert abs(depth(mended) - depth(good)) < 0.5 * error
    assert int(mended.extract_rejected[inside].sum()) > 0


def test_few_integrations_have_the_profile_too():
    """Two integrations: in time there is nothing to compare with."""
    rates, _ = exposure(n=2)
    rates, hit = with_hits(rates, share=4e-3, size=30)
    unmarked = rates.tso.flag_outliers()
    assert not dq.has_flag(unmarked.dq, "OUTLIER").any()
    spectra = extract(unmarked, reject=6.0)
    assert float(spectra.extract_rejected.sum()) > 0.5 * hit.sum()


def test_flagged_pixels_are_not_counted_again():
    rates, _ = exposure(n=30)
    rates, hit = with_hits(rates, share=1e-3, size=30)
    flags = dq.set_flag(rates.dq, xr.DataArray(hit, dims=rates.rate.dims), "OUTLIER")
    spectra = extract(rates.assign(dq=flags), reject=7.0)
    assert float(spectra.extract_rejected.sum()) == 0


def test_lazy_equals_eager_and_blocks_change_nothing(monkeypatch):
    rates, _ = exposure(n=50)
    rates, _ = with_hits(rates, share=1e-3, size=30)
    eager = extract(rates, reject=6.0)
    with testing.raise_if_computes():
        lazy = extract(rates.chunk(time=13), reject=6.0)
    monkeypatch.setattr(_rejection, "BLOCK", 7 * 32 * 512 * 4)
    blocks = extract(rates, reject=6.0)
    for same in (lazy.compute(), blocks):
        xr.testing.assert_allclose(same, eager, rtol=1e-6)  # means over time are of other order
        for name in ("flux", "flux_error", "dq", "extract_rejected"):
            xr.testing.assert_identical(same[name], eager[name])


def test_flags_of_the_rates_stay_and_no_cube_is_copied(monkeypatch):
    rates, _ = exposure(n=300)
    before = rates.dq.values.copy()
    monkeypatch.setattr(_rejection, "BLOCK", 2**20)
    extract(rates.isel(time=slice(0, 60)), reject=6.0)  # compile
    tracemalloc.start()
    extract(rates, reject=6.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(rates.dq, before)
    # the sample of 48 of 300 integrations, its residuals and their squares, and the spectra
    assert peak < 0.9 * rates.rate.nbytes


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_bad_thresholds(value):
    rates, _ = exposure(n=2)
    with pytest.raises(ValueError, match=r"reject is .*; it must be positive"):
        extract(rates, reject=value)
