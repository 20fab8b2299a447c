"""The Gaussian process on the clock: dense algebra, the truth of 1/f noise, its own error."""

import numpy as np
import pytest

from tsoxr.kernels import stripe_clock
from tsoxr.kernels.stripe_amplitude import common_share
from tsoxr.kernels.stripe_clock import Outputs, Sums, in_reading_order, one_over_f_terms
from tsoxr.kernels.stripe_process import Process

engine = pytest.importorskip("celerite2").driver

AMPLITUDE, WHITE = 1.1, 5.6


def clock_model(residual, weight, tick, n_ticks, engine, **how):
    """Return the estimate of each frame."""
    return Process(in_reading_order(weight, tick, n_ticks), engine, **how)(residual)


def clock_variance(weight, tick, n_ticks, engine, **how):
    """Return the predicted variance of its error in each pixel."""
    return Process(in_reading_order(weight, tick, n_ticks), engine, **how).variance()


def clock(n_slow, n_fast, overhead=12):
    """Return ticks of the pixels in the order (slow, fast), and the length of the frame."""
    slow, fast = np.mgrid[:n_slow, :n_fast]
    return (slow * (n_fast + overhead) + fast).ravel(), (n_fast + overhead) * (n_slow + 2)


def weights(n_slow, n_fast, kind):
    slow, fast = np.mgrid[:n_slow, :n_fast]
    if kind == "across":
        used = np.abs(fast - 0.5 * (n_fast - 1)) > n_fast / 4
    else:
        used = np.abs(slow - 0.5 * (n_slow - 1)) > n_slow / 8
    uneven = 1.0 + 0.5 * np.cos(np.arange(used.size))
    return used.ravel() * uneven / WHITE**2


def draw(tick, n_ticks, weight, n_frames, seed):
    """Return 1/f noise of the pixels, and the data with white noise of the weights."""
    rng = np.random.default_rng(seed)
    n = 16 * n_ticks // 2 * 2
    k = np.arange(1, n // 2 + 1)
    parts = rng.standard_normal((n_frames, k.size, 2)).view(complex)[..., 0]
    parts *= 0.5 * n * AMPLITUDE / np.sqrt(k)  # A^2/f in bins of 1/n has the variance A^2/k
    noise = np.fft.irfft(np.pad(parts, ((0, 0), (1, 0))), n)[:, tick]
    white = 1.0 / np.sqrt(np.where(weight > 0, weight, 1.0))
    return noise, noise + white * rng.standard_normal(noise.shape)


def conditioned(residual, weight, covariance):
    """Return mean and variance of a Gaussian process given the data, by dense algebra."""
    used = weight > 0
    total = covariance[np.ix_(used, used)] + np.diag(1.0 / weight[used])
    gain = np.linalg.solve(total, covariance[used])
    mean = np.average(residual, axis=1, weights=weight)[:, None]
    error = np.diag(covariance) - np.einsum("up,up->p", covariance[used], gain)
    return mean + (residual - mean)[:, used] @ gain, error


def lags(tick):
    return np.abs(tick[:, None] - tick[None, :])


def rms(x):
    return np.sqrt(np.mean(np.square(x)))


@pytest.mark.parametrize("kind", ["across", "along"])
def test_against_dense_algebra(kind):
    tick, n_ticks = clock(40, 16)
    weight = weights(40, 16, kind)
    residual = draw(tick, n_ticks, weight, 5, seed=1)[1]
    terms = one_over_f_terms(n_ticks)
    covariance = AMPLITUDE**2 * terms.covariance(lags(tick))
    expected, error = conditioned(residual, weight, covariance)
    found = clock_model(residual, weight, tick, n_ticks, engine, amplitude=AMPLITUDE)
    # pixels without weight pull with A^2 / (1e8 A^2) each, and 1e8 of them times float64: 1e-6
    np.testing.assert_allclose(found, expected, atol=3e-6)
    variance = clock_variance(weight, tick, n_ticks, engine, amplitude=AMPLITUDE)
    np.testing.assert_allclose(variance, error, rtol=1e-5)


@pytest.mark.parametrize("n_ticks", [100, 3000, 22_616, 549_400])
def test_terms_are_one_over_f(n_ticks):
    """Differences over 1 to n ticks have the variance of 1/f noise; few terms, all positive."""
    terms = one_over_f_terms(n_ticks)
    lag = np.unique(np.geomspace(1, n_ticks - 1, 300).round())
    found = terms.covariance(0.0) - terms.covariance(lag)
    np.testing.assert_allclose(found, stripe_clock.structure(lag), rtol=0.06)
    assert terms.rate.size <= 10
    assert np.all(terms.variance > 0)


@pytest.mark.parametrize("kind", ["across", "along"])
def test_nothing_linear_does_better(kind):
    """The optimum knows the true covariance and a free level; exponentials lose nothing."""
    tick, n_ticks = clock(64, 32)
    weight = weights(64, 32, kind)
    noise, residual = draw(tick, n_ticks, weight, 60, seed=2)
    covariance = AMPLITUDE**2 * (1000.0 - stripe_clock.structure(lags(tick)))
    best = conditioned(residual, weight, covariance)[0] - noise
    error = clock_model(residual, weight, tick, n_ticks, engine, amplitude=AMPLITUDE) - noise
    hidden = weight == 0
    # the covariances differ by less than 6 %, and the mean square error is stationary in them
    assert rms(error) < 1.005 * rms(best)
    assert rms(error[:, hidden]) < 1.01 * rms(best[:, hidden])
    variance = clock_variance(weight, tick, n_ticks, engine, amplitude=AMPLITUDE)
    # 60 frames with few independent levels of long periods in each: 3 %
    assert rms(error) == pytest.approx(np.sqrt(variance.mean()), rel=0.06)
    assert rms(error[:, hidden]) == pytest.approx(np.sqrt(variance[hidden].mean()), rel=0.06)


def four_outputs(n_slow=32, n_fast=16):
    """Return ticks, lengths and numbers of four outputs side by side, and a mask.

    The lines in the middle are hidden but in the first output.
    """
    slow, fast = np.mgrid[:n_slow, : 4 * n_fast]
    number, within = np.divmod(fast, n_fast)
    within = np.where(number % 2, n_fast - 1 - within, within)
    tick = slow * (n_fast + 12) + within
    used = (np.abs(slow - 0.5 * (n_slow - 1)) > n_slow / 8) | (number == 0)
    weight = used / WHITE**2
    return tick.ravel(), (n_fast + 12) * (n_slow + 1) + 1, number.ravel(), weight.ravel()


def draw_outputs(tick, n_ticks, number, n_frames, seed, common=0.9):
    """Return 1/f noise of four outputs with a common part, and the data."""
    every = np.arange(n_ticks)
    parts = [draw(every, n_ticks, every, n_frames, 10 * seed + k)[0] for k in range(5)]
    noise = np.sqrt(common) * parts[4][:, tick]
    for k in range(4):
        noise[:, number == k] += np.sqrt(1.0 - common) * parts[k][:, tick[number == k]]
    white = np.random.default_rng(seed).normal(0.0, WHITE, noise.shape)
    return noise, noise + white


def test_outputs_together_against_dense_algebra():
    tick, n_ticks, number, weight = four_outputs(12, 8)
    residual = draw_outputs(tick, n_ticks, number, 4, seed=1)[1]
    terms = one_over_f_terms(n_ticks)
    distance = lags(tick)
    same = number[:, None] == number[None, :]
    covariance = (0.9 + 0.1 * same) * terms.covariance(distance)
    # each output has a level of its own, as free as the common one
    covariance += 0.9 * same * terms.variance[0] * np.exp(-terms.rate[0] * distance)
    expected, error = conditioned(residual, weight, AMPLITUDE**2 * covariance)
    given = (weight, tick, n_ticks, engine)
    options = {"amplitude": AMPLITUDE, "outputs": Outputs(number, 0.9)}
    np.testing.assert_allclose(clock_model(residual, *given, **options), expected, atol=3e-6)
    np.testing.assert_allclose(clock_variance(*given, **options), error, rtol=1e-5)


@pytest.mark.parametrize("together", [False, True])
def test_variance_of_sums_against_dense_algebra(together):
    tick, n_ticks, number, weight = four_outputs(12, 8)
    outputs = Outputs(number, 0.9) if together else None
    terms = one_over_f_terms(n_ticks)
    same, distance = number[:, None] == number, lags(tick)
    covariance = terms.covariance(distance)
    if together:
        covariance = (0.9 + 0.1 * same) * covariance
        covariance += 0.9 * same * terms.variance[0] * np.exp(-terms.rate[0] * distance)
    covariance, used = AMPLITUDE**2 * covariance, weight > 0
    total = covariance[np.ix_(used, used)] + np.diag(1.0 / weight[used])
    posterior = covariance - covariance[:, used] @ np.linalg.solve(total, covariance[used])
    pixels = in_reading_order(weight, tick, n_ticks)
    model = Process(pixels, engine, amplitude=AMPLITUDE, outputs=outputs)
    share = np.random.default_rng(6).uniform(0.0, 1.0, tick.size)
    line = np.repeat(np.arange(12), 32)
    by_line = share * (line == np.arange(12)[:, None])
    expected = ((by_line @ posterior) * by_line).sum(axis=1)
    np.testing.assert_allclose(model.variance_of(Sums(share, line)), expected, rtol=1e-5)
    whole = model.variance_of(Sums(share, np.zeros(line.size, int)))
    np.testing.assert_allclose(whole, share @ posterior @ share, rtol=1e-5)


def test_an_output_without_the_star_helps_the_others():
    """Lines hidden in three outputs: the fourth has 0.9 of their noise, and says so."""
    tick, n_ticks, number, weight = four_outputs()
    noise, residual = draw_outputs(tick, n_ticks, number, 60, seed=3)
    options = {"amplitude": AMPLITUDE, "outputs": Outputs(number, 0.9)}
    together = clock_model(residual, weight, tick, n_ticks, engine, **options) - noise
    alone = np.empty_like(noise)
    for k in range(4):
        own = number == k
        alone[:, own] = clock_model(
            residual[:, own], weight[own], tick[own], n_ticks, engine, amplitude=AMPLITUDE
        )
    hidden = weight == 0
    assert rms(together[:, hidden]) < 0.85 * rms((alone - noise)[:, hidden])
    variance = clock_variance(weight, tick, n_ticks, engine, **options)
    assert rms(together[:, hidden]) == pytest.approx(np.sqrt(variance[hidden].mean()), rel=0.06)


def test_without_a_common_part_outputs_are_apart():
    tick, n_ticks, number, weight = four_outputs()
    residual = draw_outputs(tick, n_ticks, number, 3, seed=4, common=0.0)[1]
    residual -= np.average(residual, axis=1, weights=weight)[:, None]
    options = {"amplitude": AMPLITUDE, "outputs": Outputs(number, 0.0)}
    together = clock_model(residual, weight, tick, n_ticks, engine, **options)
    for k in range(4):
        own = number == k
        alone = clock_model(
            residual[:, own], weight[own], tick[own], n_ticks, engine, amplitude=AMPLITUDE
        )
        # the level, free with a variance of 100 A^2, is drawn towards one mean or the other by
        # the variance of its estimate over 100 A^2: less than 1 %
        np.testing.assert_allclose(together[:, own], alone, atol=0.03)


@pytest.mark.parametrize("common", [0.0, 0.5, 0.9])
def test_common_share_is_measured(common):
    tick, n_ticks, number, weight = four_outputs(48, 32)
    found = [
        common_share(
            draw_outputs(tick, n_ticks, number, 20, seed, common)[1], weight, tick, n_ticks, number
        )
        for seed in range(4)
    ]
    assert np.mean(found) == pytest.approx(common, abs=0.05)
    assert common_share(np.zeros((2, tick.size)), weight, tick, n_ticks, 0 * number) == 0.0


def test_unbiased_over_seeds():
    tick, n_ticks = clock(64, 32)
    weight = weights(64, 32, "across")
    found = []
    for seed in range(10):
        noise, residual = draw(tick, n_ticks, weight, 20, seed=20 + seed)
        error = clock_model(residual, weight, tick, n_ticks, engine, amplitude=AMPLITUDE) - noise
        found.append(error[:, weight == 0].mean())
    assert abs(np.mean(found)) < 4.0 * np.std(found, ddof=1) / np.sqrt(10)


def test_linear_each_frame_alone_and_in_any_order(monkeypatch):
    tick, n_ticks = clock(40, 16)
    weight = weights(40, 16, "across")
    a, b = (draw(tick, n_ticks, weight, 5, seed)[1] for seed in (3, 4))

    def model(residual, order=slice(None)):
        return clock_model(
            residual[:, order], weight[order], tick[order], n_ticks, engine, amplitude=AMPLITUDE
        )

    # float64 with variances of 1e8: 1e-7
    np.testing.assert_allclose(model(2 * a - 3 * b), 2 * model(a) - 3 * model(b), atol=1e-6)
    np.testing.assert_allclose(model(a[2:3]), model(a)[2:3], atol=1e-7)
    order = np.random.default_rng(5).permutation(tick.size)
    np.testing.assert_allclose(model(a, order), model(a)[:, order], atol=1e-7)
    # what is static adds the same to all frames: a time series does not see it
    static = np.random.default_rng(6).normal(0.0, 100.0, tick.size)
    added = model(a + static) - model(a)
    np.testing.assert_allclose(added, np.broadcast_to(added[0], added.shape), atol=1e-5)
    whole = model(a)
    monkeypatch.setattr("tsoxr.kernels.stripe_process.BLOCK", 2 * tick.size)
    np.testing.assert_allclose(model(a), whole, atol=1e-7)


def test_a_level_of_the_frame_comes_back():
    tick, n_ticks = clock(64, 32)
    residual = np.broadcast_to([[0.0], [7.0], [-300.0]], (3, tick.size)).astype("f4")
    model = clock_model(
        residual, weights(64, 32, "across"), tick, n_ticks, engine, amplitude=AMPLITUDE
    )
    assert model.dtype == np.float32
    # float32 sums of numbers of 300 over 1024 pixels
    np.testing.assert_allclose(model, residual, atol=1e-3)


def test_values_that_are_not_finite():
    tick, n_ticks = clock(64, 32)
    weight = weights(64, 32, "across")
    residual = draw(tick, n_ticks, weight, 3, seed=7)[1]
    residual[:, 100:120] = np.nan
    residual[1] = np.inf
    before = residual.copy()
    model = clock_model(residual, weight, tick, n_ticks, engine, amplitude=AMPLITUDE)
    assert np.isfinite(model).all()
    np.testing.assert_array_equal(model[1], 0.0)
    np.testing.assert_array_equal(residual, before)


@pytest.mark.parametrize("amplitude", [0.0, -1.0, np.inf, np.nan])
def test_bad_amplitude(amplitude):
    tick, n_ticks = clock(4, 8)
    for call in (clock_variance, lambda *a, **k: clock_model(np.ones((1, 32)), *a, **k)):
        with pytest.raises(ValueError, match="it must be positive and finite"):
            call(np.ones(32), tick, n_ticks, engine, amplitude=amplitude)


def test_bad_outputs():
    tick, n_ticks = clock(4, 8)
    one = np.ones(32)
    for outputs, message in (
        (Outputs(np.zeros(32), 1.1), "common is 1.1; it must lie within 0 and 1"),
        (Outputs(np.zeros(31), 0.5), r"numbers have the shape \(31,\); it must be \(32,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            clock_model(one[None], one, tick, n_ticks, engine, amplitude=1.0, outputs=outputs)


def test_bad_pixels():
    tick, n_ticks = clock(4, 8)
    one = np.ones(32)
    with pytest.raises(ValueError, match="no pixel has a positive weight"):
        clock_model(one[None], 0.0 * one, tick, n_ticks, engine, amplitude=1.0)
    with pytest.raises(ValueError, match=r"residual has the shape \(32,\)"):
        clock_model(one, one, tick, n_ticks, engine, amplitude=1.0)


def test_engine_is_there_or_says_what_to_do(monkeypatch):
    from tsoxr.steps import _celerite

    assert _celerite.engine() is engine
    monkeypatch.setitem(__import__("sys").modules, "celerite2", None)
    with pytest.raises(
        ImportError, match=r"needs the package celerite2.*pip install 'tsoxr\[gp\]'"
    ):
        _celerite.engine()
