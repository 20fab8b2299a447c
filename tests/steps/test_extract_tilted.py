"""`extract(method="tilted")`: the light of `optimal`, with a profile that is smooth along the trace."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import tsoxr
from tsoxr import testing
from tsoxr.kernels.extraction import coverage
from tsoxr.steps import extract


def exposure(mode, *, n=48, seed=2, **parameters):
    """Rates with the true trace, and the truth."""
    made = tsoxr.simulation.exposure(
        mode, n_integrations=n, seed=seed, noise=("photon", "read"), **parameters
    )
    rates, truth = made.rates(), made.truth(stripes=False)
    everywhere = truth.trace_center.interpolate_na(
        rates.attrs["dispersion_dim"], method="nearest", fill_value="extrapolate"
    )
    return rates.assign_coords(trace_center=everywhere.variable), truth


def true_light(rates, truth, half_width):
    """Light in the aperture and its profile, (spatial, dispersion)."""
    space, along = rates.attrs["spatial_dim"], rates.attrs["dispersion_dim"]
    light = (truth.rate * rates.gain).transpose(space, along).values
    cover = coverage(rates.trace_center.values - float(rates[space][0]), len(light), half_width)
    inside = (cover * light).sum(axis=0)
    return inside, np.where(cover > 0, light, 0.0) / np.where(inside > 0, inside, 1.0)


@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_light_and_profile_are_the_true_ones(mode):
    rates, truth = exposure(mode)
    spectra, optimal = (extract(rates, method=m, half_width=4.0) for m in ("tilted", "optimal"))
    inside, profile = true_light(rates, truth, 4.0)
    pixel = spectra.dispersion_pixel.values
    some = inside[pixel] > 0.1 * inside.max()
    ratio = (spectra.flux / truth.flux.values).mean("time").values / inside[pixel]
    error = (spectra.flux_error / spectra.flux).mean("time").values / np.sqrt(48)
    # noise of the mean, and 1.25 times it from the profile, which is measured on the same frames
    pull = ((ratio - 1) / (1.6 * error))[some]
    assert abs(pull.mean()) < 0.3
    assert 0.4 < pull.std() < 1.1
    space = rates.attrs["spatial_dim"]
    columns = pixel[some]
    got, rows = (s.extract_profile.transpose(space, ...).values for s in (spectra, optimal))
    missed = [np.std((p - profile)[:, columns]) for p in (got, rows)]
    assert missed[0] < 1.6 * missed[1]
    errors = [s.flux_error.values[:, some] for s in (spectra, optimal)]
    np.testing.assert_allclose(*errors, rtol=0.01)


@pytest.mark.parametrize("seed", range(2))
def test_a_faint_star_has_the_better_profile(seed):
    rates, truth = exposure("nirspec-prism", n=12, seed=seed, brightness=0.03)
    inside, profile = true_light(rates, truth, 4.0)
    lit = inside > 0.1 * inside.max()
    missed = [
        np.std((extract(rates, method=m, half_width=4.0).extract_profile.values - profile)[:, lit])
        for m in ("tilted", "optimal")
    ]
    # 48 columns share what 31 do, without a parabola for each row: three quarters of the error
    assert missed[0] < 0.85 * missed[1]


def test_lazy_equals_eager_and_the_window_counts():
    rates, _ = exposure("nirspec-prism", n=20)
    eager = extract(rates, method="tilted")
    with testing.raise_if_computes():
        lazy = extract(rates.chunk(time=7), method="tilted")
    xr.testing.assert_identical(lazy.compute(), eager)
    short = extract(rates, method="tilted", profile_window=8)
    assert float(abs(short.extract_profile - eager.extract_profile).max()) > 0
    same = extract(rates, method="tilted", profile_window=48)
    np.testing.assert_array_equal(same.flux, eager.flux)
