"""Compact sources: what is injected is found, noise and stripes are not."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from tsoxr.kernels.contaminants import compact_sources

SHAPE = (128, 900)


def star(place, peak):
    """Return a bar of 4 by 22 pixels, the shape of zeroth order."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    ends = 1 / (1 + np.exp((np.abs(y - place[1]) - 11) / 1.5))
    return peak * ends * np.exp(-0.5 * ((x - place[0]) / 1.8) ** 2)


def spectrum(reach=300, peak=400.0):
    """Return a bright trace that ends at a column, with wings."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    away = np.abs(y - 60 + 0.03 * x)
    ends = 1 / (1 + np.exp((x - reach) / 3.0))
    return peak * ends * (1 / (1 + np.exp((away - 11) / 1.2)) + 0.01 * np.exp(-away / 20))


def noisy(light, seed):
    """Return a frame with unit noise, stripes of half of it along lines, and a step in the sky."""
    rng = np.random.default_rng(seed)
    sky = np.where(np.arange(SHAPE[1]) > 500, 6.0, 4.0)
    return light + sky + rng.normal(size=SHAPE) + rng.normal(0, 0.5, SHAPE[1])


@pytest.mark.parametrize("seed", range(5))
def test_stars_are_found_and_nothing_else(seed):
    rng = np.random.default_rng(100 + seed)
    columns = np.linspace(400, 860, 8)  # beyond the spectrum and its margin
    rows = rng.uniform(15, SHAPE[0] - 15, columns.size)
    light = sum(star(place, 3.0) for place in zip(columns, rows, strict=True))
    frame = noisy(light + spectrum(), seed)
    hot = rng.random(SHAPE) < 0.003
    frame[hot] += 1000.0
    found = compact_sources(frame)
    # a 5 by 3 median has a noise of 0.32: the core of 3 stands nine of them out
    assert found.mask[light > 2.0].mean() > 0.95
    # clusters of 10 pixels above five standard deviations are no chance; followed down to 2.5,
    # and widened, they reach a few pixels of noise beyond the light
    near = binary_dilation(light > 0.3, iterations=6)
    assert not found.mask[~near].any()
    assert found.mask.sum() < 2.5 * (light > 0.3).sum()


def test_own_spectrum_is_not_judged():
    light = spectrum()
    found = compact_sources(noisy(light, 1))
    assert not found.judged[light > 50].any()
    assert found.judged.mean() > 0.75
    assert not found.mask.any()


def test_light_is_that_of_the_source():
    light = star((600.0, 60.0), 30.0)
    found = compact_sources(noisy(light, 3))
    inside = light > 10
    # the source covers a tenth of the running median and a sixth of the lines, which puts both
    # up, by 0.14 and 0.28 of the noise; the rest averages over more than 60 pixels
    assert (found.light - light)[inside].mean() == pytest.approx(-0.45, abs=0.45)


def test_missing_pixels_are_bridged():
    light = star((600.0, 60.0), 10.0)
    frame = noisy(light, 4)
    frame[:, 598:600] = np.nan
    found = compact_sources(frame)
    assert found.mask[50:70, 602].all()
    assert not found.judged[:, 598:600].any()


def test_nothing_known_and_nothing_there():
    assert not compact_sources(np.full(SHAPE, np.nan)).mask.any()
    assert not compact_sources(np.zeros(SHAPE)).mask.any()


def test_number_of_pixels_and_margin():
    light = star((600.0, 60.0), 10.0)
    frame = noisy(light, 5)
    assert not compact_sources(frame, n_pixels=500).mask.any()
    sizes = [compact_sources(frame, grow=n).mask.sum() for n in (0, 1, 3)]
    assert sizes[0] < sizes[1] < sizes[2]
