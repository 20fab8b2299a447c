"""Other ways to find the middle of a line of light, on profiles whose middle is known."""

import numpy as np
import pytest

from tsoxr.kernels import trace, trace_methods

N_Y, N_X = 48, 200
Y = np.arange(N_Y)[:, None]


def two_horns(center):
    """Return a wide profile with two horns, the upper one higher, and straight sides."""
    u = np.abs(Y - center)
    body = np.clip(11.5 - u, 0, 1)
    horns = np.exp(-0.5 * ((u - 8) / 2) ** 2) * np.where(center < Y, 1.3, 1.0)
    return 1000 * body * (0.4 + horns)


@pytest.fixture(scope="module")
def soss():
    center = 23 + 2 * np.linspace(-1, 1, N_X)
    clean = two_horns(center)
    error = np.sqrt(clean / 10 + 25)
    image = clean + error * np.random.default_rng(1).normal(size=clean.shape)
    return center, image, error, trace.measure(image, error, 16.0)


def test_edges_do_not_mind_uneven_horns(soss):
    center, image, error, found = soss
    edges = trace_methods.by_edges(image, error, found, 16.0)
    off = edges[0] - center
    # sides of one pixel that are 860 and 1000 high are crossed at 600: (0.60 - 0.70) / 2 apart
    assert abs(np.nanmedian(off)) < 0.08
    # a side of one pixel that is cut at its foot or its top is crossed up to 1/8 pixel wrong
    assert np.nanstd(off) < 0.125
    assert np.nanmedian(edges[2]) == pytest.approx(22, abs=0.5)
    assert abs(np.nanmedian(found[0] - center)) > 0.2  # the centroid does


def test_correlation_follows_a_profile_with_two_horns(soss):
    center, image, error, found = soss
    best = trace_methods.by_correlation(image, error, found, 16.0)
    off = best[0] - center
    assert np.isfinite(off).mean() > 0.95
    # to a fifth of a pixel as a whole; from line to line by the noise of the light
    assert abs(np.nanmedian(off)) < 0.2
    assert np.nanstd(off) < 0.1


def test_lines_without_light_stay_nan(soss):
    _, image, error, found = soss
    gone = found.copy()
    gone[:, 50:60] = np.nan
    for method in (trace_methods.by_edges, trace_methods.by_correlation):
        assert np.isnan(method(image, error, gone, 16.0)[0, 50:60]).all()
