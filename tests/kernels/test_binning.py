"""Bins against brute force: flux is conserved, losses make no dips, errors are true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsoxr.kernels.binning import bin_sum, mean_in_bins, scatter_over_error, total_in_bins
from tsoxr.kernels.grids import (
    edges_of_constant_resolution,
    edges_of_constant_width,
    edges_of_pixels,
    overlaps,
    pixel_limits,
)

BITS = (1 | 16, 1, 1 << 28)


def summed(flux, bounds, wavelength, *, error=None, dq=None, expected=None, common=None):
    flux = np.asarray(flux, np.float32)
    error = np.ones_like(flux) if error is None else np.asarray(error, np.float32)
    dq = np.zeros(flux.shape, np.uint32) if dq is None else dq
    expected = np.median(flux, axis=0).astype(float) if expected is None else expected
    common = np.zeros((flux.shape[1], 1)) if common is None else common
    members = overlaps(*pixel_limits(wavelength), np.asarray(bounds, float))
    return bin_sum(flux, error, dq, expected, common, members, bits=BITS, min_fraction=0.5)


def test_limits_join_and_stop_at_gaps():
    wavelength = np.array([1.0, 1.1, 1.2, 2.0, 2.2, 2.4])
    lower, upper = pixel_limits(wavelength)
    np.testing.assert_allclose(lower, [0.95, 1.05, 1.15, 1.9, 2.1, 2.3])
    np.testing.assert_allclose(upper, [1.05, 1.15, 1.25, 2.1, 2.3, 2.5])
    for pixels in (np.array([3.0]), np.array([3.0, 4.0])):
        low, high = pixel_limits(pixels)
        assert (low < pixels).all()
        assert (high > pixels).all()


def test_grids():
    edges = edges_of_constant_resolution(2.8, 3.7, 100)
    assert edges[0] >= 2.8
    assert edges[-1] <= 3.7
    np.testing.assert_allclose((edges[1:] + edges[:-1]) / 2 / np.diff(edges), 100)
    other = edges_of_constant_resolution(3.2, 5.0, 100)
    shared = np.intersect1d(np.round(edges, 9), np.round(other, 9))
    assert shared.size > 10  # overlapping ranges share their edges
    np.testing.assert_allclose(edges_of_constant_width(2.83, 3.11, 0.1), [2.9, 3.0, 3.1])
    np.testing.assert_allclose(edges_of_constant_width(0.3, 0.6, 0.1), [0.3, 0.4, 0.5, 0.6])
    assert edges_of_constant_resolution(2.8, 2.81, 100).size < 2


def test_bins_of_pixels_leave_a_rest():
    lower, upper = pixel_limits(np.arange(10.0))
    np.testing.assert_allclose(
        edges_of_pixels(lower, upper, 3), [[-0.5, 2.5], [2.5, 5.5], [5.5, 8.5]]
    )


def test_fractions_by_hand():
    # pixels of width 1 centred on 0..5 with 10, 20, .. 60; the bin from 0.75 to 3.0 holds
    # 0.75 of 20, all of 30 and half of 40: 15 + 30 + 20 = 65
    wavelength = np.arange(6.0)
    flux = np.tile(10.0 * np.arange(1, 7), (2, 1))
    starts, pixels, parts = overlaps(*pixel_limits(wavelength), np.array([[0.75, 3.0]]))
    np.testing.assert_array_equal(starts, [0, 3])
    np.testing.assert_array_equal(pixels, [1, 2, 3])
    np.testing.assert_allclose(parts, [0.75, 1.0, 0.5])
    assert (flux[0, pixels] * parts).sum() == 65.0
    relative, error, _ = summed(flux, [[0.75, 3.0]], wavelength)
    np.testing.assert_allclose(relative, 1.0)
    np.testing.assert_allclose(error, np.sqrt(0.75**2 + 1 + 0.25) / 65)


@given(seed=st.integers(0, 200), n_bins=st.integers(1, 12))
def test_against_brute_force_and_flux_is_conserved(seed, n_bins):
    rng = np.random.default_rng(seed)
    wavelength = np.cumsum(rng.uniform(0.5, 1.0, 40)) + 1
    lower, upper = pixel_limits(wavelength)
    edges = np.sort(rng.uniform(lower[0], upper[-1], n_bins - 1)) if n_bins > 1 else np.array([])
    edges = np.concatenate([[lower[0]], edges, [upper[-1]]])
    bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    bounds = bounds[np.diff(bounds, axis=1)[:, 0] > 1e-3]
    flux = rng.uniform(5, 9, (6, 40))
    dense = np.clip(np.minimum(upper, bounds[:, 1:]) - np.maximum(lower, bounds[:, :1]), 0, None)
    dense = dense / (upper - lower)
    expected = np.median(flux.astype(np.float32), axis=0).astype(float)
    relative, error, _ = summed(flux, bounds, wavelength)
    total = dense @ expected
    # float32 input: relative rounding 6e-8 per pixel
    np.testing.assert_allclose(relative * total, flux @ dense.T, rtol=1e-6)
    np.testing.assert_allclose(
        error * total, np.sqrt((dense**2).sum(axis=1)) * np.ones((6, 1)), rtol=1e-6
    )
    if len(bounds) == len(edges) - 1:
        np.testing.assert_allclose((relative * total).sum(axis=1), flux.sum(axis=1), rtol=1e-6)


def test_losses_make_no_dip():
    rng = np.random.default_rng(2)
    spectrum = rng.uniform(1, 20, 30) * 100
    curve = 1 - 0.02 * (np.arange(50) > 25)
    flux = curve[:, None] * spectrum
    dq = np.zeros(flux.shape, np.uint32)
    dq[7, 3], dq[30, 12] = 1, 16
    flux[7, 3], flux[40, 13] = 0.0, np.nan
    relative, _, flags = summed(
        flux, [[-0.5, 14.5], [14.5, 29.5]], np.arange(30.0), dq=dq, expected=spectrum
    )
    np.testing.assert_allclose(relative, curve[:, None] * [1, 1], rtol=1e-6)
    estimated = [(int(t), int(b)) for t, b in zip(*np.nonzero(flags & (1 << 28)), strict=True)]
    assert estimated == [(7, 0), (30, 0), (40, 0)]
    assert not (flags & 17).any()


def test_dead_channels_never_count_and_empty_bins_are_flagged():
    flux = np.ones((4, 6))
    flux[:, 2] = np.nan
    flux[1, 3:] = np.nan
    expected = np.array([1.0, 1, np.nan, 1, 1, 1])
    relative, _, flags = summed(flux, [[-0.5, 2.5], [2.5, 5.5]], np.arange(6.0), expected=expected)
    np.testing.assert_allclose(relative[:, 0], 1.0)
    assert not flags[:, 0].any()
    assert np.isnan(relative[1, 1])
    assert flags[1, 1] == 1


@pytest.mark.parametrize("shared", [0.0, 3.0])
def test_errors_are_the_scatter(shared):
    rng = np.random.default_rng(1)
    n = 6000
    spectrum = np.linspace(900, 1100, 20)
    sigma = np.linspace(5, 9, 20)
    common = np.full((20, 1), shared)
    flux = spectrum + rng.normal(0, sigma, (n, 20)) + shared * rng.standard_normal((n, 1))
    error = np.broadcast_to(np.hypot(sigma, shared), flux.shape)
    dq = (rng.random(flux.shape) < 0.03).astype(np.uint32)
    bounds = [[-0.5, 9.3], [9.3, 19.5]]
    relative, binned_error, _ = summed(
        flux, bounds, np.arange(20.0), error=error, dq=dq, expected=spectrum, common=common
    )
    pull = ((relative - 1) / binned_error).std(axis=0)
    np.testing.assert_allclose(pull, 1.0, atol=4 / np.sqrt(2 * n))


def test_scatter_over_error_knows_the_noise():
    rng = np.random.default_rng(9)
    n = 4000
    trend = 100 + 5 * np.sin(np.arange(n) / 300)[:, None]
    flux = trend + rng.normal(0, [1.0, 2.0], (n, 2))
    flux[::50] += 40.0
    got = scatter_over_error(flux, np.ones((n, 2)))
    # the median of 4000 correlated squares is good to about 3%
    np.testing.assert_allclose(got, [1.0, 2.0], rtol=0.15)
    clean = scatter_over_error(trend + rng.normal(0, 1, (n, 2)), np.ones((n, 2)))
    np.testing.assert_allclose(clean, 1.0, rtol=0.08)
    assert np.isnan(scatter_over_error(flux[:4], np.ones((4, 2)))).all()
    assert np.isnan(scatter_over_error(flux * np.nan, np.ones((n, 2)))).all()


def test_totals_and_means_by_hand():
    members = overlaps(
        *pixel_limits(np.arange(6.0)), np.array([[-0.5, 1.0], [1.0, 3.5], [3.5, 5.5]])
    )
    expected = np.array([4.0, 2.0, 6.0, np.nan, -1.0, 0.0])
    # 4 + half of 2; half of 2 + 6; nothing
    np.testing.assert_allclose(total_in_bins(expected, members), [5.0, 7.0, 0.0])
    values = np.arange(6.0)
    # (4*0 + 1*1) / 5; (1*1 + 6*2) / 7; without flux the plain mean of 4 and 5
    np.testing.assert_allclose(mean_in_bins(values, expected, members=members), [0.2, 13 / 7, 4.5])
