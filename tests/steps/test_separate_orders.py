"""Orders of simulated SOSS exposures taken apart, and extracted without each other's light."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import dq, schema, testing
from tsoxr.errors import SchemaError, TsoError
from tsoxr.kernels.extraction import coverage
from tsoxr.simulation import exposure
from tsoxr.simulation.telescope import AT_REST
from tsoxr.steps import assign_wavelength, extract, find_trace, separate_orders

N = 8
DEPTH = xr.DataArray([0.010, 0.010, 0.020, 0.020], dims="wavelength", coords={"wavelength": [0.5, 0.9, 1.6, 2.9]})  # fmt: skip
"""A planet that looks twice as large in area to order 1 as to order 2 at the same column."""


def notes(ds):
    return " ".join(ds.tso.history[-1].get("notes", []))


def simulated(**given):
    made = exposure("niriss-soss", seed=2, n_integrations=N, noise=("photon", "read"), **given)
    return made, find_trace(made.rates())


def images_of(made):
    """The noise-free light of each order out of transit, (order, y, x) electron s-1."""
    images = []
    for each in made.scene.components:
        image, n = np.zeros(made.setup.shape), each.wavelength.size
        each.paint(image, np.ones(n), np.zeros(n), AT_REST)
        images.append(image)
    return np.stack(images)


@pytest.fixture(scope="module")
def full():
    made, rates = simulated(radius_ratio=np.sqrt(DEPTH), limb_darkening=(0.0, 0.0))
    return made, rates, separate_orders(rates)


@pytest.fixture(scope="module")
def strip():
    return simulated(subarray="SUBSTRIP96")


def prepared(ds, order):
    if order > 1:
        ds = find_trace(ds, spectral_order=order, method="reference")
    return assign_wavelength(ds.drop_vars("wavelength", errors="ignore"), order=order)


def test_images_are_those_of_the_orders(full):
    made, rates, parts = full
    assert parts["order_image"].dims == ("order", "y", "x")
    assert parts["order_image"].dtype == np.float32
    assert schema.validate(parts) == []
    xr.testing.assert_identical(parts["rate"], rates["rate"])
    found = (parts["order_image"] * parts["gain"]).values
    true = images_of(made)
    center = rates["trace_center"].values
    cover = coverage(center, 256, 16.0)
    for columns, limit in ((slice(60, 400), 0.3), (slice(400, 1100), 0.15)):
        left = (cover * (found - true)[1:].sum(axis=0))[:, columns].sum()
        # in the aperture of order 1: a tenth of the others' light, beside the noise of the median
        assert abs(left) < limit * (cover * true[1:].sum(axis=0))[:, columns].sum()


def test_images_add_up_to_the_median_frame(full):
    _, rates, parts = full
    science = ~dq.has_flag(rates["dq"].isel(time=0), *dq.UNUSABLE_RATE).values
    error = rates["rate_error"].median("time").values * np.sqrt(np.pi / 2 / N)
    left = parts["separate_orders_residual"].values / error
    # chi-squared of half a million pixels is 1, the median of 8 a tenth less noisy than pi / 2 n
    assert np.mean(left[science] ** 2) < 1.1
    assert abs(np.median(left[science])) < 0.05


@pytest.mark.parametrize("method", ["box", "optimal"])
def test_order_2_is_freed_of_order_1(full, method):
    """Light and depth of order 2 are a tenth as wrong as without, or within the noise."""
    made, rates, parts = full
    ready = prepared(parts, 2)
    on, off = extract(ready, method=method), extract(ready.drop_vars("order_image"), method=method)
    cover = coverage(ready["trace_center"].values, 256, 16.0)
    pixel = on["dispersion_pixel"].values
    light = (cover * images_of(made)[1]).sum(axis=0)[pixel]
    base = ~rates["in_transit"].values
    curve = made.replace(order=2).truth(stripes=False)["flux"]
    curve = curve.interp(wavelength=on["wavelength"].values).values
    for first, last in ((450, 600), (600, 800), (800, 1000)):
        here = (pixel >= first) & (pixel < last)
        wrong, deep = [], []
        for spectra in (on, off):
            flux = spectra["flux"].values[:, here]
            wrong.append((flux[base].mean(axis=0) - light[here]).sum() / light[here].sum())
            ratio = flux[~base].sum() / flux[base].sum() * base.sum() / (~base).sum()
            true = (curve * light)[:, here]
            deep.append(ratio - true[~base].sum() / true[base].sum() * base.sum() / (~base).sum())
        error = np.sqrt((on["flux_error"].values[:, here] ** 2).sum())
        noise = error / (N * light[here].sum())
        assert abs(wrong[0]) < 0.1 * abs(wrong[1]) + 3 * noise, (first, wrong, noise)
        assert abs(deep[0]) < 0.1 * abs(deep[1]) + 3 * 2 * noise, (first, deep, noise)
        assert abs(wrong[1]) > 5 * noise  # there was something to remove


def test_noise_hardly_grows(full):
    """Order 1 is known to 1e-3 per column, so taking its wings off costs next to nothing."""
    _, _, parts = full
    for order in (1, 2):
        ready = prepared(parts, order)
        on, off = (
            extract(ready, method="box"),
            extract(ready.drop_vars("order_image"), method="box"),
        )
        cost = (on["flux_error"] / off["flux_error"]).median("time")
        lit = (on["dispersion_pixel"] > 500) & np.isfinite(cost)
        assert float(cost.where(lit).max()) < 1.01, order


def test_a_pixel_lost_on_order_1_makes_no_dip_in_order_2(full):
    _, _, parts = full
    ready = prepared(parts, 2)
    calm = ready.assign(rate=ready["rate"].isel(time=[0] * N).assign_coords(time=ready["time"]))
    center = parts["trace_center"].values
    lost = calm["dq"].copy(deep=True)
    for column in range(560, 900, 20):  # the plateau of order 1
        row = round(center[column])
        lost[3, row - 2 : row + 3, column] |= dq.bits("DO_NOT_USE")
    flux = extract(calm.assign(dq=lost), method="box")["flux"]
    hit = flux.where(flux["dispersion_pixel"].isin(range(560, 900, 20)), drop=True)
    error = extract(calm, method="box")["flux_error"].sel(wavelength=hit["wavelength"])[3]
    # the frame, one integration, is not quite its median: what stays is below its own noise
    assert (abs(hit[3] - hit[0]) < 0.3 * error).all()


def test_lazy_is_lazy_and_gives_the_same(strip):
    _, rates = strip
    with testing.raise_if_computes():
        lazy = separate_orders(rates.chunk(time=3), n_iterations=1)
        spectra = extract(assign_wavelength(lazy, order=1))
    assert lazy["order_image"].chunks is not None
    eager = separate_orders(rates, n_iterations=1)
    added = ["order_image", "separate_orders_contamination", "separate_orders_residual"]
    xr.testing.assert_identical(lazy[added].drop_attrs().compute(), eager[added].drop_attrs())
    whole = extract(assign_wavelength(eager, order=1))
    np.testing.assert_array_equal(spectra["flux"].values, whole["flux"].values)
    # how much it is can be said only where it is known
    assert "light of other orders" in notes(eager)
    assert "light of other orders" not in notes(lazy)


def test_narrow_subarray_has_two_orders(strip):
    made, rates = strip
    parts = separate_orders(rates)
    assert parts["order"].values.tolist() == [1, 2]
    assert "put no light on this subarray: 3" in notes(parts)
    cover = coverage(rates["trace_center"].values, 96, 16.0)
    true = images_of(made)
    found = (parts["order_image"] * parts["gain"]).values
    columns = slice(60, 1000)
    before = (cover * true[1])[:, columns].sum()
    assert abs((cover * (found[1] - true[1]))[:, columns].sum()) < 0.3 * before
    testing.survives_netcdf("separate_orders", rates, {"n_iterations": 1})
    testing.input_is_untouched("separate_orders", rates, {"n_iterations": 1})
    testing.draws_axes("separate_orders", rates, {"n_iterations": 1})


def test_modes_with_one_order_are_left_alone():
    rates = testing.example("rates").tso.find_trace()
    out = separate_orders(rates)
    assert "data unchanged" in notes(out)
    xr.testing.assert_identical(out.drop_attrs(), rates.drop_attrs())
    testing.draws_axes("separate_orders", rates, {})


def test_filter_that_passes_one_order():
    rates = exposure("niriss-soss", filter="F277W", n_integrations=2, subarray="SUBSTRIP96").rates()
    center = xr.DataArray(np.full(2048, 40.0), dims="x")
    assert "data unchanged" in notes(separate_orders(rates.assign_coords(trace_center=center)))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"orders": (1, 4)}, r"orders=\(1, 4\); niriss-soss has \(1, 2, 3\)"),
        ({"orders": (1, 1)}, "each once"),
        ({"orders": (2,)}, "give two or more"),
        ({"half_width": 0.0}, "half_width is 0.0; it must be positive"),
        ({"n_iterations": 0}, "n_iterations is 0; it must be positive"),
        ({"throughput": xr.DataArray([1.0], dims="wavelength")}, "order and wavelength, um"),
    ],
)
def test_bad_parameters(strip, given, text):
    with pytest.raises(ValueError, match=text):
        separate_orders(strip[1], **given)


def test_bad_input(strip):
    _, rates = strip
    with pytest.raises(SchemaError, match=r"run .tso.find_trace\(\) first"):
        separate_orders(rates.drop_vars("trace_center"))
    third = rates["trace_center"].assign_attrs(spectral_order=3)
    with pytest.raises(ValueError, match=r"trace_center is of order 3, .* among \(1, 2\)"):
        separate_orders(rates.assign_coords(trace_center=third))
    parts = separate_orders(rates, n_iterations=1)
    with pytest.raises(TsoError, match="already applied"):
        separate_orders(parts)


def test_throughput_of_the_caller_or_none(strip):
    _, rates = strip
    wave = np.linspace(0.5, 3.0, 50)
    given = xr.DataArray(
        np.stack([np.exp(-(((wave - 1.3) / 0.7) ** 2)), np.exp(-(((wave - 0.7) / 0.15) ** 2))]),
        dims=("order", "wavelength"), coords={"order": [1, 2], "wavelength": wave},
    )  # fmt: skip
    both = separate_orders(rates, throughput=given, n_iterations=1)
    assert "no throughput" not in notes(both)
    one = separate_orders(rates, throughput=given.sel(order=[1]), n_iterations=1)
    assert "no throughput is known for order 2" in notes(one)
    free = separate_orders(rates, shared_spectrum=False, n_iterations=1)
    assert np.isfinite(free["order_image"]).all()
    assert not np.array_equal(free["order_image"], both["order_image"])


def test_extract_says_what_it_cannot_use(strip):
    _, rates = strip
    parts = assign_wavelength(separate_orders(rates, n_iterations=1), order=1)
    plain = extract(parts.drop_vars("order_image"))
    for changed, text in (
        (parts.isel(order=[1]), "order 1 was not separated"),
        (parts.assign(order_image=parts["order_image"].assign_attrs(units="MJy")), "unit of the rates"),
    ):  # fmt: skip
        out = extract(changed)
        assert text in notes(out)
        np.testing.assert_array_equal(out["flux"], plain["flux"])
    assert not np.array_equal(extract(parts)["flux"], plain["flux"])
    assert tsoxr.steps.separate_orders is separate_orders


def test_hits_are_found_on_the_wings_of_another_order(full):
    """Rejection by the profile expects the light of all orders; of its own alone it finds none."""
    _, _, parts = full
    ready = prepared(parts, 2)
    calm = extract(ready, method="optimal", reject=6.0)["extract_rejected"].sum()
    # 8 x 1800 x 33 samples at 6 sigma: none by chance
    assert float(calm) < 20
    center, rate = ready["trace_center"].values, ready["rate"].copy(deep=True)
    for k, x in enumerate(range(450, 600, 5)):
        place = k % N, round(center[x]) - 12, x
        rate[place] += 12.0 * ready["rate_error"][place]
    found = extract(ready.assign(rate=rate), method="optimal", reject=6.0)["extract_rejected"].sum()
    # hits of 12 sigma, 6 over the threshold; the light itself is known to about one
    assert float(found - calm) >= 24
