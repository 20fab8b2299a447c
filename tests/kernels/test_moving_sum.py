"""The moving sum against brute force, and the error of interpolating between nodes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr

from tsoxr.kernels import moving_sum as kernel
from tsoxr.kernels.extraction import coverage, optimal_weights, weighted_sum

BITS = (1 | 16, 1, 1 << 28, 0)
HALF_WIDTH = 4.0


def profile_at(shift, center, n_spatial, sigma):
    edge = np.arange(n_spatial + 1)[:, None] - 0.5 - center - shift
    return np.diff(ndtr(edge / sigma), axis=0)


def tables(nodes, center, n_spatial, sigma, *, read=1e-3, box=False):
    """Weights and profiles at the nodes, the light of a column being 1."""
    weight, profile = [], []
    for node in nodes:
        cover = coverage(center + node, n_spatial, HALF_WIDTH)
        own = profile_at(node, center, n_spatial, sigma)
        weight.append(cover if box else optimal_weights(own, own + read, cover)[0])
        profile.append(own)
    return np.stack(weight).astype(np.float32), np.stack(profile).astype(np.float32)


def summed(data, error, dq, shift, nodes, weight, profile, *, bits=BITS, across=None, along=None):
    zero = np.zeros(data.shape[2])
    return kernel.moving_sum(
        data.astype(np.float32),
        np.broadcast_to(np.float32(error), data.shape).copy(),
        dq,
        shift,
        nodes,
        weight,
        profile,
        zero if along is None else along,
        zero if across is None else across,
        bits=bits,
        min_fraction=0.5,
    )


@pytest.mark.parametrize("box", [False, True])
@pytest.mark.parametrize("sigma", [0.55, 0.7, 1.5])
def test_light_that_moves_keeps_its_flux(sigma, box):
    """Half a pixel of drift: the flux is wrong by less than 1e-5."""
    center = np.linspace(9.0, 10.7, 64)
    shift = np.linspace(-0.25, 0.25, 201)
    nodes = kernel.nodes_for(shift)
    weight, profile = tables(nodes, center, 20, sigma, box=box)
    light = np.stack([profile_at(s, center, 20, sigma) for s in shift])
    flux, *_ = summed(light, 1.0, np.zeros(light.shape, np.uint32), shift, nodes, weight, profile)
    # nodes are 0.5 / 13 = 0.038 pixels apart. Lagrange's cubic: 9/384 h^4 f'''', with f'''' below
    # 3 / s^4 times the peak of 0.4 / s and s^2 = sigma^2 + 1/12: 1e-6 of the light at sigma 0.55; float32 5e-7
    np.testing.assert_allclose(flux, 1.0, atol=1e-5)
    np.testing.assert_allclose(flux, 1.0, atol=2.5e-6)


def test_nodes_span_the_range():
    shift = np.random.default_rng(0).normal(0.1, 0.05, 300)
    shift[7] = np.nan
    nodes = kernel.nodes_for(shift)
    assert nodes.size == kernel.N_NODES
    assert nodes[1] <= np.nanmin(shift) + 1e-12
    assert nodes[-2] >= np.nanmax(shift) - 1e-12
    still = kernel.nodes_for(np.zeros(3))
    assert np.diff(still).min() >= kernel.CLOSEST * 0.999
    assert np.isfinite(kernel.nodes_for(np.full(4, np.nan))).all()
    wild = np.r_[np.zeros(99), 7.0]
    assert np.diff(kernel.nodes_for(wild)).max() <= kernel.WIDEST * 1.001
    assert abs(kernel.nodes_for(wild).mean()) < 1e-12


def test_shares_of_nodes_reproduce_cubics():
    nodes = kernel.nodes_for(np.array([-0.2, 0.3]))
    shift = np.linspace(-0.2, 0.3, 37)
    first, share = kernel.places_between(shift, nodes)
    cubic = lambda s: 1.0 - 2.0 * s + 3.0 * s**2 - 5.0 * s**3  # noqa: E731
    got = (share * cubic(nodes[first[:, None] + np.arange(4)])).sum(axis=1)
    np.testing.assert_allclose(got, cubic(shift), rtol=1e-10)
    outside, _ = kernel.places_between(np.array([-9.0, 9.0, np.nan]), nodes)
    assert outside.min() >= 0
    assert outside.max() <= nodes.size - 4


@pytest.mark.parametrize("seed", range(2))
def test_brute_force(seed):
    """Each value against a sum written out over its pixels, losses, levels and flags included."""
    rng = np.random.default_rng(seed)
    center, shape = rng.uniform(7, 9, 12), (9, 16, 12)
    shift = rng.uniform(-0.3, 0.3, shape[0])
    nodes = kernel.nodes_for(shift)
    weight, profile = tables(nodes, center, shape[1], 0.8)
    data = rng.normal(5, 1, shape).astype(np.float32)
    data[rng.random(shape) < 0.03] = np.nan
    error = rng.uniform(0.5, 2, shape).astype(np.float32)
    dq = np.where(rng.random(shape) < 0.1, 16, 0).astype(np.uint32)
    dq[rng.random(shape) < 0.05] |= 4
    replaced = rng.random(shape) < 0.05
    dq[replaced] = 16 | 1 << 28
    across, along = rng.uniform(0, 1, 12), rng.uniform(0, 1, 12)
    bits = (1 | 16, 1, 1 << 28, 1 << 28)
    flux, flux_error, flags, missing = summed(
        data, error, dq, shift, nodes, weight, profile, bits=bits, across=across, along=along
    )
    first, share = kernel.places_between(shift, nodes)
    for t in range(shape[0]):
        four = slice(first[t], first[t] + 4)
        w, p = (np.tensordot(share[t], a[four].astype(float), axes=1) for a in (weight, profile))
        accepted = (dq[t] & 1 << 28) != 0
        ok = (((dq[t] & 17) == 0) | accepted) & np.isfinite(data[t])
        light = (w * p * ok).sum(axis=0)
        value = np.where(ok, w * np.nan_to_num(data[t]), 0).sum(axis=0) / light
        np.testing.assert_allclose(flux[t], value, rtol=3e-6)
        variance = (w**2 * error[t].astype(float) ** 2 * ok).sum(axis=0)
        variance += (w * ok).sum(axis=0) ** 2 * across
        np.testing.assert_allclose(flux_error[t], np.sqrt(variance / light**2 + along), rtol=3e-6)
        whole = (w * p).sum(axis=0)
        measured = (w * p * (ok & ((dq[t] & 17) == 0))).sum(axis=0) / whole
        np.testing.assert_allclose(missing[t], 1 - measured, atol=3e-6)
        np.testing.assert_array_equal(
            (flags[t] & 4) != 0, (((dq[t] & 4) != 0) & (w != 0)).any(axis=0)
        )
        some = np.abs(measured - 0.5) > 1e-5
        np.testing.assert_array_equal(((flags[t] & 1) != 0)[some], (measured < 0.5)[some])


def test_without_motion_it_is_the_fixed_sum():
    rng = np.random.default_rng(5)
    center = np.linspace(8.0, 8.6, 30)
    profile = profile_at(0.0, center, 18, 0.8)
    cover = coverage(center, 18, HALF_WIDTH)
    weight, share = optimal_weights(profile, profile + 0.01, cover)
    data = rng.normal(3, 1, (40, 18, 30)).astype(np.float32)
    error = np.ones_like(data)
    dq = np.where(rng.random(data.shape) < 0.05, 16, 0).astype(np.uint32)
    zero = np.zeros(30)
    fixed = weighted_sum(data, error, dq, weight, share, zero, zero, bits=BITS, min_fraction=0.5)
    nodes = kernel.nodes_for(np.zeros(40))
    both = (np.repeat(a[None], nodes.size, axis=0) for a in (weight, profile))
    moving = summed(data, 1.0, dq, np.zeros(40), nodes, *both)
    for a, b in zip(fixed, moving, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_views_of_any_strides():
    rng = np.random.default_rng(2)
    center = np.linspace(8.0, 9.0, 11)
    shift = rng.uniform(-0.1, 0.1, 20)
    nodes = kernel.nodes_for(shift)
    weight, profile = tables(nodes, center, 18, 0.8)
    data = rng.normal(3, 1, (20, 18, 11)).astype(np.float32)
    dq = np.zeros(data.shape, np.uint32)
    straight = summed(data, 1.0, dq, shift, nodes, weight, profile)
    turned = np.ascontiguousarray(data.transpose(0, 2, 1)).transpose(0, 2, 1)
    other = kernel.moving_sum(
        turned, np.ones_like(turned), dq, shift, nodes, weight, profile,
        np.zeros(11), np.zeros(11), bits=BITS, min_fraction=0.5,
    )  # fmt: skip
    for a, b in zip(straight, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_nothing_to_sum_is_nan_and_flagged():
    data = np.ones((3, 12, 4), np.float32)
    dq = np.zeros(data.shape, np.uint32)
    nodes = kernel.nodes_for(np.zeros(3))
    nothing = np.zeros((nodes.size, 12, 4), np.float32)
    flux, error, flags, missing = summed(data, 1.0, dq, np.zeros(3), nodes, nothing, nothing)
    assert np.isnan(flux).all()
    assert np.isnan(error).all()
    assert ((flags & 1) != 0).all()
    assert (missing == 1).all()
