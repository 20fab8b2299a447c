"""The light outside of an aperture, against profiles whose integrals are known."""

import numpy as np
import pytest
from scipy.special import erf

from tsoxr.kernels.aperture_loss import aperture_loss

N_ALONG = 300


def gaussian_below(u, wing=0.04):
    """Share of the light below u: a Gaussian of unit width, and one four times as wide."""
    return 0.5 + 0.5 * ((1 - wing) * erf(u / 2**0.5) + wing * erf(u / 2**0.5 / 4))


def power_below(u):
    """Density 1 / (pi (1 + u^2)): wings that fall as the square of the distance."""
    return 0.5 + np.arctan(u) / np.pi


def frame(below, *, n_space=64, width=1.2, middle=None, seed=0, level=0.0, light=1e5):
    """Median frame of photon noise from 1000 integrations, its variance and its trace."""
    along = np.arange(N_ALONG)
    center = (n_space / 2 if middle is None else middle) + 1.5 * along / N_ALONG
    bright = light * np.exp(-(((along - 120) / 150) ** 2))
    pixel = np.arange(n_space)[:, None]
    share = below((pixel + 0.5 - center) / width) - below((pixel - 0.5 - center) / width)
    mean = share * bright + level
    variance = (mean + 50.0) / 1000
    noisy = mean + np.sqrt(variance) * np.random.default_rng(seed).normal(size=mean.shape)
    return noisy, variance, center


def outside(below, center, half_width, width=1.2, reach=100):
    """Share outside of an aperture with fractional edges, where light is even within a pixel."""
    pixel = np.arange(-reach, reach)[:, None]
    share = below((pixel + 0.5 - center) / width) - below((pixel - 0.5 - center) / width)
    cover = np.minimum(pixel + 0.5, center + half_width) - np.maximum(
        pixel - 0.5, center - half_width
    )
    return 1 - (np.clip(cover, 0, 1) * share).sum(axis=0)


@pytest.mark.parametrize("level", [0.0, 300.0, -40.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_wings_that_end_inside_the_frame(level, seed):
    image, noise, center = frame(gaussian_below, level=level, seed=seed)
    loss, error = aperture_loss(image, noise, center, 4.0)
    true = outside(gaussian_below, center, 4.0)
    # the level is known to sqrt(350 / 1000 / 700) of a pixel in a block of 25 lines with 28
    # pixels to either side, and adds in 56 pixels of lines with 5e4 electrons: 3e-5; the
    # wings are taken for those of a power or an exponential, which is in the error
    assert np.abs(loss - true).max() < 1e-3
    assert np.median(error) < 1e-3
    assert (np.abs(loss - true) < 3 * error).all()


def test_wings_that_reach_beyond_the_frame():
    image, noise, center = frame(power_below, seed=3)
    loss, error = aperture_loss(image, noise, center, 6.0)
    true = outside(power_below, center, 6.0, reach=4000)
    beyond = outside(power_below, center, 31.0, reach=4000)
    assert (np.abs(loss - true) < error).all()
    # 2 % of the light is not in the frame: without it the loss would be too small by that
    assert np.abs(loss - true).max() < 0.4 * beyond.mean()
    # and the error says that the frame alone does not tell: but not more than it hides
    assert (error < beyond).all()


def test_light_of_another_star_does_not_count():
    image, noise, center = frame(gaussian_below)
    pixel = np.arange(64)[:, None]
    other = 0.1 * np.exp(-0.5 * ((pixel - center - 18) / 1.2) ** 2) * image[30:36].sum(axis=0)
    alone, _ = aperture_loss(image, noise, center, 4.0)
    beside, error = aperture_loss(image + other, noise + other / 1000, center, 4.0)
    assert other.sum() > 0.2 * image.sum()  # 10 % of the light, 30 % of the sum in 3 widths
    assert (np.abs(beside - alone) < 3 * error).all()
    assert np.abs(beside - alone).max() < 2e-3


def test_trace_beside_the_edge():
    image, noise, center = frame(gaussian_below, middle=8.0)
    loss, error = aperture_loss(image, noise, center, 4.0)
    true = outside(gaussian_below, center, 4.0)
    assert (np.abs(loss - true) < 3 * error).all()
    assert np.abs(loss - true).max() < 1.5e-3


def test_bad_pixels_are_left_out():
    image, noise, center = frame(gaussian_below)
    hit = np.random.default_rng(4).random(image.shape)
    image[hit < 0.02] = np.nan
    away = np.abs(np.arange(64)[:, None] - center) > 5
    image[(hit > 0.02) & (hit < 0.025) & away] += 1e5  # hot pixels that nobody has flagged
    true = outside(gaussian_below, center, 4.0)
    loss, error = aperture_loss(image, noise, center, 4.0)
    assert (np.abs(loss - true) < 3 * error).all()
    assert np.abs(loss - true).max() < 2e-3


@pytest.mark.parametrize(
    "case", ["all NaN", "no light", "no variance", "no trace", "wide", "narrow"]
)
def test_nothing_to_measure_gives_nan(case):
    image, noise, center = frame(gaussian_below, n_space=24)
    half_width = 4.0
    if case == "all NaN":
        image[:] = np.nan
    elif case == "no light":
        image[:] = -1.0
    elif case == "no variance":
        noise[:] = 0.0
    elif case == "no trace":
        center[:] = np.nan
    elif case == "wide":
        half_width = 30.0
    else:
        image, noise = image[8:16], noise[8:16]
        center = center - 8
    loss, error = aperture_loss(image, noise, center, half_width)
    assert loss.shape == error.shape == (N_ALONG,)
    assert np.isnan(loss).all()
    assert np.isnan(error).all()
