"""Injected truth through the whole chain, all noise on: nothing lost, nothing claimed too well.

20 exposures of 100 integrations. The standard deviation of n numbers has a relative error of
1/sqrt(2n): 0.16 for the 20 depths of the white light, 0.04 for the 320 of the bins, so the
calibration is asked of the bins, and of the white light within twice its own error.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import tsoxr

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "first_light.py"


@pytest.fixture(scope="module")
def first_light():
    spec = importlib.util.spec_from_file_location("first_light", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scores(first_light):
    return [first_light.score("nirspec-prism", seed, 100) for seed in range(20)]


def test_white_light_is_near_the_limit(scores):
    ratios = np.array([s.over_limit for s in scores])
    assert ratios.max() < 1.3
    assert ratios.mean() < 1.1


def test_error_bars_match_the_scatter(scores):
    # the mean of 20 ratios of 100 points each: 1/sqrt(2 * 2000) = 1.6 %
    assert np.mean([s.over_error for s in scores]) == pytest.approx(1.0, abs=0.08)


def test_depth_comes_back(scores):
    z = np.array([s.z_white for s in scores])
    assert abs(z).max() < 3
    assert abs(z.mean()) < 3 / np.sqrt(20)
    assert 1 - 2 * 0.16 < z.std(ddof=1) < 1 + 2 * 0.16


def test_depths_of_bins_are_calibrated(scores):
    z = np.concatenate([s.z_bins for s in scores])
    assert z.size >= 300
    assert 0.8 < z.std() < 1.2
    assert abs(z.mean()) < 0.25  # bins of one exposure share its background and stripes


@pytest.mark.long
@pytest.mark.parametrize("mode", ["nirspec-prism", "miri-lrs"])
def test_calibration_over_many_seeds(first_light, mode):
    found = [
        first_light.score(mode, seed, 100)
        for seed in range(100, 300 if mode == "nirspec-prism" else 140)
    ]
    z = np.array([s.z_white for s in found])
    assert 0.8 < z.std(ddof=1) < 1.2
    assert abs(z.mean()) < 3 / np.sqrt(z.size)


def test_miri_comes_back_too(first_light):
    found = first_light.score("miri-lrs", 5, 60)
    assert found.over_limit < 1.4  # 60 points: 9 % of scatter of the scatter
    assert abs(found.z_white) < 3


@pytest.mark.parametrize("method", ["mean", "scaled"])
def test_stripes_along_the_spectrum_are_in_the_error_of_the_white_light(first_light, method):
    given = {"subarray": "SUBGRISM64", "n_groups": 4, "n_integrations": 24, "brightness": 1.0}
    # weights that know nothing of lines leave them in; those of "covariance" take much of it off
    chosen = {"clean_1overf": {"method": method}, "extract": {"method": "optimal"}}
    ratios, limits = [], []
    for seed in range(3):
        exposure = tsoxr.simulation.exposure("nircam-grism", seed=seed, **given)
        ds, truth = exposure.ramps(), exposure.truth()
        for name in first_light.RAMPS + first_light.RATES:
            ds = getattr(tsoxr.steps, name)(ds, **chosen.get(name, {}))
        white = ds.tso.white_light()
        model = (truth["white_flux"] / truth["white_flux"].median()).values
        relative = white["flux"].values[:, 0] / model
        ratios.append(np.std(relative) / float(white["flux_error"].median()))
        limits.append(1e6 * np.std(relative) / float(truth["white_flux_error"]))
    # what stays in the lines on the spectrum is most of the noise, not of the prediction
    assert min(limits) > 1.2
    # 24 points tell a scatter to 15 %; the covariance comes from the slow modes of one
    # exposure's drift, of which a handful carry the white light: 30 % for each seed
    assert np.mean(ratios) == pytest.approx(1.0, abs=2 * np.hypot(0.15, 0.3) / np.sqrt(3))
