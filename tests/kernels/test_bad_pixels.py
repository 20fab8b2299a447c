"""What a pixel should show, and what its series says of it."""

import numpy as np
import pytest

from tsoxr.kernels import bad_pixels as kernel
from tsoxr.kernels.bad_pixels_expected import expected_from_line


def spectrum(shape=(24, 200), *, slope=0.01, seed=0, noise=1.0):
    """Return a tilted spectrum with lines on sky, and its noise."""
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])
    center = 10.3 + slope * columns
    light = 3000 * (1 + 0.3 * np.sin(columns / 7)) * (1 - 0.3 * (columns % 40 == 20))
    image = 20 + light * np.exp(-0.5 * ((rows - center) / 0.8) ** 2)
    error = noise * np.sqrt(image / 10 + 1)
    image = image + 0.2 * error * np.random.default_rng(seed).normal(size=shape)
    return image, error


def evidence(image, error, **given):
    shape = image.shape
    noise = np.ones((4, *shape), "f4") * error
    noise[2:] = 90
    known = {
        "median": image, "error": error, "common": np.ones(shape), "noise": noise,
        "statistics": np.zeros((3, *shape), "f4"), "good": np.isfinite(image),
        "sigma": np.full(shape, 5.0),
    }  # fmt: skip
    return kernel.Evidence(**known | given)


@pytest.mark.parametrize("seed", range(5))
def test_lines_and_a_tilted_trace_are_no_bad_pixels(seed):
    image, error = spectrum(seed=seed)
    verdict, _, _ = kernel.judge(evidence(image, error), dispersed=True, n_median=39)
    assert not verdict.any()


def test_hot_and_dead_pixels_on_and_off_the_spectrum():
    image, error = spectrum()
    image[3, 50] += 100.0
    image[11, 90] += 9000.0
    image[12, 120] = 0.0  # on the spectrum
    image[20, 30] += 12.0  # below 5 sigma of the median frame
    verdict, _, _ = kernel.judge(evidence(image, error), dispersed=True, n_median=39)
    assert verdict[3, 50] == verdict[11, 90] == kernel.BRIGHT
    assert verdict[12, 120] == kernel.DARK
    assert np.count_nonzero(verdict) <= 4


def test_a_star_in_the_field_is_no_hot_pixel():
    image, error = spectrum()
    rows, columns = np.indices(image.shape)
    image += 300 * np.exp(-0.5 * ((rows - 3.2) ** 2 + (columns - 60.3) ** 2) / 0.9**2)
    verdict, _, _ = kernel.judge(evidence(image, error), dispersed=True, n_median=39)
    assert not verdict.any()


def test_the_core_of_an_image_is_no_bad_pixel():
    rows, columns = np.indices((40, 40))
    image = 10 + 1e5 * np.exp(-0.5 * ((rows - 20.2) ** 2 + (columns - 19.7) ** 2) / 0.9**2)
    error = np.sqrt(image / 10 + 1)
    image[5, 5] += 500
    verdict, _, _ = kernel.judge(evidence(image, error), dispersed=False, n_median=39)
    assert verdict[5, 5] == kernel.BRIGHT
    assert np.count_nonzero(verdict) == 1


def test_noisy_pixels_are_told_from_a_noisy_spectrum():
    image, error = spectrum()
    known = evidence(image, error)
    known.noise[:2, 9:14] *= 2.5  # as where the telescope shakes
    known.noise[0, 2, 40] *= 4.0
    known.noise[1, 20, 90] *= 4.0
    verdict, _, ratio = kernel.judge(known, dispersed=True, n_median=39)
    assert verdict[2, 40] == verdict[20, 90] == kernel.NOISY
    assert np.count_nonzero(verdict) == 2
    assert ratio[2, 40] == pytest.approx(4.0, rel=0.01)


def test_suspects_need_less():
    image, error = spectrum()
    known = evidence(image, error)
    known.noise[:2, 2, 40] *= 1.7
    assert kernel.judge(known, dispersed=True, n_median=39)[0][2, 40] == kernel.GOOD
    known.sigma[2, 40] = 3.0
    assert kernel.judge(known, dispersed=True, n_median=39)[0][2, 40] == kernel.NOISY


def series(seed=0, n_time=96, n_x=400):
    rate = np.random.default_rng(seed).normal(size=(n_time, 2, n_x)).astype("f4")
    nothing = np.zeros(rate.shape, bool), np.zeros((n_time, 4)), np.zeros((5, 2, n_x), "f4")
    return rate, nothing, np.ones((2, n_x), "f4")


def test_two_levels_are_told_from_noise():
    rate, nothing, width = series()
    plain = kernel.time_statistics(rate, *nothing, width)
    # the two halves of normal noise are 2.65 apart in units of what is left
    assert plain[1].mean() == pytest.approx(2.7, abs=0.15)
    assert plain[1].max() < kernel.TWO_LEVELS
    assert plain[0].sum() <= 2
    rate[:, 1] += 8.0 * (np.random.default_rng(1).random(96) < 0.4)[:, None]
    jumping = kernel.time_statistics(rate, *nothing, width)
    assert (jumping[1, 1] > kernel.TWO_LEVELS).all()
    assert np.median(jumping[2, 1]) == pytest.approx(8.0, rel=0.05)


def statistics(rate):
    n, *shape = rate.shape
    nothing = np.zeros(rate.shape, bool), np.zeros((n, 4)), np.zeros((5, *shape), "f4")
    return kernel.time_statistics(rate, *nothing, np.ones(shape, "f4"))


@pytest.mark.parametrize("n", [12, 24, 30, 48, 96])
def test_a_hit_is_no_level(n):
    """One sample of 5 to 500 sigma in each of 3000 pixels: alone it never looks like two levels."""
    rng = np.random.default_rng(n)
    rate = rng.normal(size=(n, 1, 3000)).astype("f4")
    chance = (statistics(rate)[1] > kernel.TWO_LEVELS).mean()  # 1e-3 of twelve samples
    rate[n // 3] += np.geomspace(5, 500, 3000).astype("f4")
    assert (statistics(rate)[1] > kernel.TWO_LEVELS).mean() < chance + 2e-3
    both = rng.normal(size=(n, 1, 300)).astype("f4")
    both[rng.permutation(n)[: max(4, n // 4)]] += 12.0
    assert (statistics(both)[1] > kernel.TWO_LEVELS).mean() > 0.95


def test_unusable_samples_say_nothing():
    rate, nothing, width = series()
    rate[10:20] = 1e6
    nothing[0][10:20] = True
    assert kernel.time_statistics(rate, *nothing, width)[0].sum() <= 2
    nothing[0][4:] = True
    np.testing.assert_array_equal(kernel.time_statistics(rate, *nothing, width), 0.0)


def test_expectation_follows_slopes_and_is_not_moved_by_bad_pixels():
    image, _ = spectrum(noise=0.01)
    expected, background, _ = expected_from_line(image, np.ones(image.shape, bool))
    spoiled = image.copy()
    spoiled[11, [50, 53]] = 1e6, 0.0
    again, _, _ = expected_from_line(spoiled, np.ones(image.shape, bool))
    inner = np.s_[:, 12:-12]
    light = image - 20
    # five pairs within five pixels of a spectrum tilted by 0.01
    assert abs(expected - image)[inner].max() < 0.03 * light.max()
    assert abs(again - image)[11, 47:57].max() < 0.06 * light.max()
    np.testing.assert_allclose(background, 20, atol=0.1)
