"""Cosines on the clock: the Wiener estimate, by dense algebra and on simulated 1/f noise."""

import numpy as np
import pytest

from tsoxr.kernels import stripe_amplitude, stripe_clock
from tsoxr.kernels.stripe_clock import Outputs, Sums, in_reading_order
from tsoxr.kernels.stripe_fourier import Band, Fourier

AMPLITUDE, WHITE = 1.1, 5.6


def clock_model(residual, weight, tick, n_ticks, band, outputs=None):
    """Return the estimate of each frame."""
    return Fourier(in_reading_order(weight, tick, n_ticks), band, outputs)(residual)


def clock_variance(weight, tick, n_ticks, band, outputs=None):
    """Return the predicted variance of its error in each pixel."""
    return Fourier(in_reading_order(weight, tick, n_ticks), band, outputs).variance()


def clock(n_slow, n_fast, overhead=12):
    """Return ticks of the pixels in the order (slow, fast), and the length of the frame."""
    slow, fast = np.mgrid[:n_slow, :n_fast]
    return (slow * (n_fast + overhead) + fast).ravel(), (n_fast + overhead) * (n_slow + 2)


def weights(n_slow, n_fast, kind):
    slow, fast = np.mgrid[:n_slow, :n_fast]
    if kind == "trace across lines":
        used = np.abs(fast - 0.5 * (n_fast - 1)) > n_fast / 4
    elif kind == "curved traces":
        used = np.abs(fast - 0.3 * n_fast - 0.2 * n_fast * (slow / n_slow - 0.4) ** 2) > n_fast / 5
        used &= np.abs(fast - n_fast * (0.6 + 0.5 * slow / n_slow)) > n_fast / 10
    else:
        used = np.abs(slow - 0.5 * (n_slow - 1)) > n_slow / 8
    return used.ravel() / WHITE**2


def pink(n_ticks, n_frames, rng, amplitude=AMPLITUDE):
    """Draw frames of 1/f noise, each from a sequence of its own of 16 frames' length."""
    n = 16 * n_ticks // 2 * 2
    k = np.arange(1, n // 2 + 1)
    parts = rng.standard_normal((n_frames, k.size, 2)).view(complex)[..., 0]
    # A^2/f in bins of 1/n has the variance A^2/k
    parts *= 0.5 * n * amplitude / np.sqrt(k)
    return np.fft.irfft(np.pad(parts, ((0, 0), (1, 0))), n)[:, :n_ticks]


def draw(tick, n_ticks, n_frames, seed):
    """Return the noise that is to be found, and the data."""
    rng = np.random.default_rng(seed)
    noise = pink(n_ticks, n_frames, rng)[:, tick]
    return noise, noise + WHITE * rng.standard_normal(noise.shape)


def optimum(residual, weight, tick):
    """Return the best linear estimate, from the true covariance with a free level."""
    used = weight > 0
    lag = np.abs(tick[:, None] - tick[used])
    covariance = AMPLITUDE**2 * (1000.0 - stripe_clock.structure(lag))
    total = covariance[used] + np.diag(1.0 / weight[used])
    return np.linalg.solve(total, residual[:, used].T).T @ covariance.T


def line_mean(residual, weight, n_slow):
    shaped = residual.reshape(len(residual), n_slow, -1)
    weight = weight.reshape(n_slow, -1)
    level = (shaped * weight).sum(-1) / np.maximum(weight.sum(-1), 1e-9)
    return np.repeat(level, weight.shape[1], axis=1)


def rms(x):
    return np.sqrt(np.mean(np.square(x)))


def one_section(n_ticks, **changes):
    """Return a band that takes single pixels and one section: no approximation is left."""
    return Band(AMPLITUDE, cutoff=4000.0, n_terms=n_ticks)._replace(**changes)


# ------------------------------------------------------------------ exact algebra


@pytest.mark.parametrize("kind", ["trace across lines", "curved traces", "trace along lines"])
def test_is_the_wiener_estimate(kind):
    """Conditioning a Gaussian by dense algebra in pixel space: same numbers, other equations."""
    tick, n_ticks = clock(24, 16)
    weight = weights(24, 16, kind)
    _, residual = draw(tick, n_ticks, 5, seed=1)
    band = one_section(n_ticks)
    f = np.arange(int(2 * band.top * n_ticks) + 1) / (2.0 * n_ticks)
    share = 0.5 + 0.5 * np.cos(np.pi * np.clip((f - band.top + 0.0015) / 0.0015, 0, 1))
    prior = np.append(100.0, 2.0 / np.arange(1, f.size)) * AMPLITUDE**2 * share
    cosines = np.cos(2 * np.pi * (tick[:, None] + 0.5) * f)
    covariance = (cosines * prior) @ cosines.T
    used = weight > 0
    total = covariance[np.ix_(used, used)] + np.diag(1.0 / weight[used])
    mean = np.average(residual, axis=1, weights=weight)[:, None]
    expected = mean + (residual - mean)[:, used] @ np.linalg.solve(total, covariance[used])
    # both are float64; the condition number of ``total`` is below 1e5
    np.testing.assert_allclose(
        clock_model(residual, weight, tick, n_ticks, band), expected, atol=1e-8
    )
    posterior = covariance - covariance[:, used] @ np.linalg.solve(total, covariance[used])
    above = AMPLITUDE**2 * np.log(0.5 / 0.04)
    found = clock_variance(weight, tick, n_ticks, band)
    np.testing.assert_allclose(found, np.diag(posterior) + above, rtol=1e-7)


def of_outputs(n_slow, n_fast):
    """Return ticks, length, numbers and weights of two outputs, one of them with the trace."""
    tick, n_ticks = clock(n_slow, n_fast)
    slow = np.repeat(np.arange(n_slow), n_fast)
    hidden = np.concatenate(
        [np.abs(slow - 0.5 * (n_slow - 1)) < n_slow / 4, np.zeros(tick.size, bool)]
    )
    number = np.repeat([0, 1], tick.size)
    return np.tile(tick, 2), n_ticks, number, np.where(hidden, 0.0, WHITE**-2)


def dense(tick, n_ticks, band, outputs=None):
    """Return the covariance of the cosines of one section, each output with its own level."""
    f = np.arange(int(2 * band.top * n_ticks) + 1) / (2.0 * n_ticks)
    share = 0.5 + 0.5 * np.cos(np.pi * np.clip((f - band.top + 0.0015) / 0.0015, 0, 1))
    prior = np.append(100.0, 2.0 / np.arange(1, f.size)) * AMPLITUDE**2 * share
    cosines = np.cos(2 * np.pi * (tick[:, None] + 0.5) * f)
    if outputs is None:
        return (cosines * prior) @ cosines.T
    same = outputs.number[:, None] == outputs.number
    level = prior[0] * same
    common = outputs.common + (1.0 - outputs.common) * same
    return level + common * ((cosines[:, 1:] * prior[1:]) @ cosines[:, 1:].T)


def test_outputs_together_and_sums_by_dense_algebra():
    tick, n_ticks, number, weight = of_outputs(12, 16)
    band, outputs = one_section(n_ticks), Outputs(number, 0.8)
    covariance = dense(tick, n_ticks, band, outputs)
    used = weight > 0
    total = covariance[np.ix_(used, used)] + np.diag(1.0 / weight[used])
    residual = np.random.default_rng(3).normal(0.0, WHITE, (4, tick.size))
    mean = residual[:, used].mean(axis=1)[:, None]
    expected = mean + (residual - mean)[:, used] @ np.linalg.solve(total, covariance[used])
    given = (weight, tick, n_ticks, band, outputs)
    np.testing.assert_allclose(clock_model(residual, *given), expected, atol=1e-8)
    posterior = covariance - covariance[:, used] @ np.linalg.solve(total, covariance[used])
    lag = np.arange(n_ticks)
    f = np.linspace(0.04, 0.5, 40001)
    high = AMPLITUDE**2 * np.trapezoid(np.cos(2 * np.pi * lag[:, None] * f) / f, f, axis=1)
    same = number[:, None] == number
    posterior += (0.8 + 0.2 * same) * high[np.abs(tick[:, None] - tick)]
    line = tick // 28
    share = np.random.default_rng(4).uniform(0.0, 1.0, tick.size)
    by_line = share * (line == np.arange(12)[:, None])
    found = Fourier(in_reading_order(weight, tick, n_ticks), band, outputs)
    # frequencies above the cutoff are summed in steps of 1/4096, the first at most half a step
    # from it: 0.0001/0.04 of a density that the cutoff shares with ln(0.5/0.04): 0.1 %
    np.testing.assert_allclose(
        found.variance_of(Sums(share, line)), ((by_line @ posterior) * by_line).sum(1), rtol=2e-3
    )
    whole = found.variance_of(Sums(share, np.zeros(tick.size, int)))
    np.testing.assert_allclose(whole, share @ posterior @ share, rtol=2e-3)


@pytest.mark.parametrize("n_terms", [128, 24])
def test_error_of_the_mean_of_lines(n_terms):
    """What is predicted for weighted means of hidden pixels is what they scatter by."""
    tick, n_ticks = clock(64, 32)
    weight = weights(64, 32, "trace across lines")
    share = np.where(weight == 0, np.exp(-0.5 * ((np.arange(tick.size) % 32 - 15.5) / 3) ** 2), 0)
    share /= share[:32].sum()
    noise, residual = draw(tick, n_ticks, 200, seed=12)
    model = Fourier(in_reading_order(weight, tick, n_ticks), Band(AMPLITUDE, n_terms=n_terms))
    error = ((model(residual) - noise) * share).reshape(200, 64, 32).sum(axis=2)
    predicted = model.variance_of(Sums(share, np.repeat(np.arange(64), 32)))
    # 200 frames of 64 lines, a few of them alike: 1 %. Noise just above the cutoff passes for
    # white in the model, but has more power there, which the gaps of the mask fold down
    assert 0.98 < rms(error) / np.sqrt(predicted.mean()) < 1.08
    # and per pixel it is larger: noise above the cutoff averages down
    assert predicted.mean() < 0.7 * model.variance()[weight == 0].mean()


def test_an_output_without_the_star_helps():
    tick, n_ticks, number, weight = of_outputs(32, 32)
    rng = np.random.default_rng(5)
    parts = pink(n_ticks, 180, rng).reshape(3, 60, -1)
    noise = np.sqrt(0.9) * parts[2][:, tick]
    for k in range(2):
        noise[:, number == k] += np.sqrt(0.1) * parts[k][:, tick[number == k]]
    residual = noise + WHITE * rng.standard_normal(noise.shape)
    error = (
        clock_model(residual, weight, tick, n_ticks, Band(AMPLITUDE), Outputs(number, 0.9)) - noise
    )
    own = number == 0
    alone = clock_model(residual[:, own], weight[own], tick[own], n_ticks, Band(AMPLITUDE))
    hidden = weight == 0
    assert rms(error[:, hidden]) < 0.9 * rms((alone - noise[:, own])[:, hidden[own]])


def test_without_prior_it_is_least_squares():
    # every tenth tick is missing; overheads as long as half a period would let it ring
    n_ticks = 400
    tick = np.flatnonzero(np.arange(n_ticks) % 10)
    weight = np.full(tick.size, 1.0 / WHITE**2)
    residual = draw(tick, n_ticks, 3, seed=2)[1]
    band = one_section(n_ticks, amplitude=np.inf, roll_off=1e-6)
    cosines = np.cos(np.pi * (tick[:, None] + 0.5) / n_ticks * np.arange(int(0.08 * n_ticks) + 1))
    expected = cosines @ np.linalg.lstsq(cosines, residual.T, rcond=None)[0]
    # a ridge of 1e-9 of the largest term, that of the level (100 times the others): 1e-7 DN
    np.testing.assert_allclose(
        clock_model(residual, weight, tick, n_ticks, band), expected.T, atol=1e-5
    )
    # the variance of the projection is its diagonal
    hat = cosines @ np.linalg.pinv(cosines)
    found = clock_variance(weight, tick, n_ticks, band)
    np.testing.assert_allclose(found, WHITE**2 * np.diag(hat), rtol=1e-5)


@pytest.mark.parametrize("band", [Band(AMPLITUDE), Band(AMPLITUDE, n_terms=24, alternating=1.0)])
def test_linear_and_each_frame_alone(band):
    tick, n_ticks = clock(64, 32)
    weight = weights(64, 32, "curved traces")
    a, b = (draw(tick, n_ticks, 3, seed)[1] for seed in (3, 4))
    both = clock_model(2.0 * a - 3.0 * b, weight, tick, n_ticks, band)
    one, other = (clock_model(x, weight, tick, n_ticks, band) for x in (a, b))
    np.testing.assert_allclose(both, 2.0 * one - 3.0 * other, atol=1e-9)
    np.testing.assert_allclose(
        clock_model(a[1:2], weight, tick, n_ticks, band), one[1:2], atol=1e-9
    )
    # what is the same in all frames adds the same to all models: a time series does not see it
    static = np.random.default_rng(5).normal(0.0, 100.0, tick.size)
    added = clock_model(a + static, weight, tick, n_ticks, band) - one
    np.testing.assert_allclose(added, np.broadcast_to(added[0], added.shape), atol=1e-9)


def test_order_of_pixels_does_not_matter():
    tick, n_ticks = clock(40, 16)
    weight = weights(40, 16, "trace across lines")
    residual = draw(tick, n_ticks, 2, seed=6)[1]
    band = Band(AMPLITUDE, n_terms=32)
    order = np.random.default_rng(7).permutation(tick.size)
    expected = clock_model(residual, weight, tick, n_ticks, band)[:, order]
    found = clock_model(residual[:, order], weight[order], tick[order], n_ticks, band)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    expected = clock_variance(weight, tick, n_ticks, band)[order]
    np.testing.assert_allclose(
        clock_variance(weight[order], tick[order], n_ticks, band), expected, rtol=1e-9
    )


@pytest.mark.parametrize("amplitude", [AMPLITUDE, np.inf])
def test_a_level_of_the_frame_comes_back(amplitude):
    tick, n_ticks = clock(64, 32)
    weight = weights(64, 32, "trace across lines")
    level = np.array([[0.0], [7.0], [-300.0]])
    residual = np.broadcast_to(level, (3, tick.size)).astype("f4")
    model = clock_model(residual, weight, tick, n_ticks, Band(amplitude))
    assert model.dtype == np.float32
    # float32 sums of numbers of 300 over 1024 pixels
    np.testing.assert_allclose(model, residual, atol=1e-3)


# ------------------------------------------------------------------ on 1/f noise


@pytest.mark.parametrize("kind", ["trace across lines", "curved traces", "trace along lines"])
@pytest.mark.parametrize("n_terms", [128, 24])
def test_close_to_the_optimum_also_under_the_mask(kind, n_terms):
    """No ringing: the error where nothing is measured is that of the best estimate there is.

    Of the noise above the cutoff (1136 Hz of 50 kHz: A^2 ln 44, 4.6 DN2 of the 5.3 that the
    optimum leaves) only what a pixel and its neighbours show themselves can be had, and that
    not under the mask.
    """
    tick, n_ticks = clock(64, 32)
    weight = weights(64, 32, kind)
    noise, residual = draw(tick, n_ticks, 60, seed=8)
    band = Band(AMPLITUDE, n_terms=n_terms)
    error = clock_model(residual, weight, tick, n_ticks, band) - noise
    best = optimum(residual, weight, tick) - noise
    hidden = weight == 0
    # with 300 frames: 1.000 to 1.015 under the mask, 1.046 to 1.072 in all
    assert rms(error[:, hidden]) < 1.03 * rms(best[:, hidden])
    assert rms(error) < 1.09 * rms(best)
    if kind != "trace along lines":  # which leaves lines without a mean
        line = line_mean(residual, weight, 64) - noise
        assert rms(error[:, hidden]) < 0.95 * rms(line[:, hidden])
    # 60 frames of noise whose levels of long periods are few: 3 %
    predicted = clock_variance(weight, tick, n_ticks, band)
    assert rms(error[:, hidden]) == pytest.approx(np.sqrt(predicted[hidden].mean()), rel=0.06)
    assert rms(error) == pytest.approx(np.sqrt(predicted.mean()), rel=0.06)


def test_the_prior_keeps_gaps_from_ringing():
    """A gap of 16 lines lasts 7 ms, eight times the shortest period."""
    tick, n_ticks = clock(64, 32)
    weight = weights(64, 32, "trace along lines")
    noise, residual = draw(tick, n_ticks, 20, seed=9)
    hidden = weight == 0
    errors = {
        a: clock_model(residual, weight, tick, n_ticks, Band(a)) - noise
        for a in (AMPLITUDE, np.inf)
    }
    assert rms(errors[AMPLITUDE][:, hidden]) < 1.1 * noise.std()
    assert rms(errors[np.inf][:, hidden]) > 10.0 * noise.std()


def test_unbiased_over_seeds():
    tick, n_ticks = clock(64, 32)
    weight = weights(64, 32, "trace across lines")
    found = []
    for seed in range(10):
        noise, residual = draw(tick, n_ticks, 20, seed=20 + seed)
        error = clock_model(residual, weight, tick, n_ticks, Band(AMPLITUDE)) - noise
        found.append(error[:, weight == 0].mean())
    # the mean of ten independent seeds within four standard errors of itself
    assert abs(np.mean(found)) < 4.0 * np.std(found, ddof=1) / np.sqrt(10)


def test_half_or_twice_the_amplitude_costs_little():
    tick, n_ticks = clock(64, 32)
    weight = weights(64, 32, "trace across lines")
    noise, residual = draw(tick, n_ticks, 60, seed=10)
    errors = [
        rms(clock_model(residual, weight, tick, n_ticks, Band(f * AMPLITUDE)) - noise)
        for f in (0.5, 1.0, 2.0)
    ]
    assert max(errors[0], errors[2]) < 1.08 * errors[1]


def test_alternating_columns():
    """Even and odd ticks differ by a level that wanders slowly; without the band it stays."""
    tick, n_ticks = clock(128, 32)
    weight = weights(128, 32, "trace across lines")
    _, residual = draw(tick, n_ticks, 20, seed=11)
    rng = np.random.default_rng(12)
    level = 3.0 * rng.standard_normal((20, 1)) + rng.standard_normal((20, 1)) * tick / n_ticks
    pattern = np.where(tick % 2, -1.0, 1.0) * level
    band = Band(AMPLITUDE)
    without = clock_model(residual + pattern, weight, tick, n_ticks, band)
    with_band = clock_model(
        residual + pattern, weight, tick, n_ticks, band._replace(alternating=3.0)
    )
    clean = clock_model(residual, weight, tick, n_ticks, band)
    assert rms(without - clean) < 0.1  # a low-pass filter does not see it
    # 6 cosines of the band of 57 Hz in 57 ms, from 2048 pixels of the scatter
    # sqrt(white^2 + what of 1/f noise is left): sqrt(6 / 2048) * 6 DN
    left = with_band - clean - pattern
    assert rms(left) < 1.5 * np.sqrt(6 / 2048) * 6.0
    predicted = clock_variance(weight, tick, n_ticks, band._replace(alternating=3.0))
    assert np.all(predicted > clock_variance(weight, tick, n_ticks, band))


# ------------------------------------------------------------------ size of the noise


@pytest.mark.parametrize("kind", ["trace across lines", "trace along lines"])
def test_amplitude_is_measured(kind):
    tick, n_ticks = clock(64, 32)
    weight = weights(64, 32, kind)
    found = np.array(
        [
            stripe_amplitude.amplitude_of(
                draw(tick, n_ticks, 40, 30 + seed)[1], weight, tick, n_ticks
            )
            for seed in range(6)
        ]
    )
    # six seeds: within four standard errors and 3 %
    error = found.std(axis=0, ddof=1) / np.sqrt(6)
    np.testing.assert_array_less(np.abs(found.mean(0) - [AMPLITUDE, WHITE]), 4 * error + 0.01)
    np.testing.assert_allclose(found.mean(0), [AMPLITUDE, WHITE], rtol=0.03)


def test_hits_and_columns_do_not_spoil_the_amplitude():
    """One value in 500 is a hit; odd columns stand 3 DN above even ones."""
    tick, n_ticks = clock(64, 32)
    weight = weights(64, 32, "trace across lines")
    residual = draw(tick, n_ticks, 40, seed=16)[1]
    expected = stripe_amplitude.amplitude_of(residual, weight, tick, n_ticks)
    residual += np.where(tick % 2, 3.0, 0.0)
    residual[np.random.default_rng(17).random(residual.shape) < 0.002] += 3000.0
    found = stripe_amplitude.amplitude_of(residual, weight, tick, n_ticks)
    np.testing.assert_allclose(found, expected, rtol=0.01)


def test_amplitude_of_white_noise_is_small():
    tick, n_ticks = clock(64, 32)
    residual = np.random.default_rng(13).normal(0.0, 2.0, (40, tick.size))
    a, s = stripe_amplitude.amplitude_of(residual, np.ones(tick.size), tick, n_ticks)
    # A^2 of a chance slope: 4 DN2 times sqrt(2 / 80000 pairs) over a range of 8 in Cin
    assert a**2 < 0.02
    assert s == pytest.approx(2.0, rel=0.01)


def test_structure_is_that_of_a_drawn_sequence():
    rng = np.random.default_rng(14)
    noise = pink(4096, 200, rng, amplitude=2.0)
    for lag in (1, 2, 3, 10, 300):
        change = noise[:, lag:] - noise[:, :-lag]
        # 200 x 4096 / lag independent values: 3 % at the longest
        expected = 4.0 * stripe_clock.structure(lag)
        assert 0.5 * np.mean(change**2) == pytest.approx(expected, rel=0.05)


# ------------------------------------------------------------------ bad input


def test_values_that_are_not_finite():
    tick, n_ticks = clock(64, 32)
    weight = weights(64, 32, "trace across lines")
    noise, residual = draw(tick, n_ticks, 20, seed=15)
    spoilt = residual.copy()
    spoilt[:, 100:120] = np.nan
    spoilt[3, :] = np.inf
    before = spoilt.copy()
    model = clock_model(spoilt, weight, tick, n_ticks, Band(AMPLITUDE))
    assert np.isfinite(model).all()
    np.testing.assert_array_equal(spoilt, before)
    np.testing.assert_array_equal(model[3], 0.0)
    kept = np.arange(20) != 3
    whole = clock_model(residual, weight, tick, n_ticks, Band(AMPLITUDE)) - noise
    # 10 of 1024 used pixels are missing
    assert rms((model - noise)[kept]) == pytest.approx(rms(whole[kept]), rel=0.02)


@pytest.mark.parametrize("n_slow", [1, 2])
def test_tiny_frames(n_slow):
    tick, n_ticks = clock(n_slow, 4)
    model = clock_model(np.ones((2, tick.size)), np.ones(tick.size), tick, n_ticks, Band(1.0))
    np.testing.assert_allclose(model, 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amplitude": 0.0}, "amplitude is 0.0; it must be positive"),
        ({"amplitude": np.nan}, "amplitude is nan"),
        ({"cutoff": -1.0}, "cutoff is -1.0; it must be positive"),
        ({"roll_off": 0.0}, "roll_off is 0.0"),
        ({"n_terms": 0}, "n_terms is 0"),
        ({"tick_time": 0.0}, "tick_time is 0.0"),
        ({"alternating": -1.0}, "alternating is -1.0; it must not be negative"),
        ({"alternating_width": 0.0}, "alternating_width is 0.0"),
    ],
)
def test_bad_band(changes, message):
    tick, n_ticks = clock(4, 8)
    with pytest.raises(ValueError, match=message):
        clock_model(np.ones((1, 32)), np.ones(32), tick, n_ticks, Band(1.0)._replace(**changes))


def test_bad_pixels():
    tick, n_ticks = clock(4, 8)
    one, data, band = np.ones(32), np.ones((1, 32)), Band(1.0)
    with pytest.raises(ValueError, match="no pixel has a positive weight"):
        clock_model(data, 0.0 * one, tick, n_ticks, band)
    with pytest.raises(ValueError, match="negative or not finite"):
        clock_model(data, -one, tick, n_ticks, band)
    with pytest.raises(ValueError, match="negative or not finite"):
        clock_model(data, np.nan * one, tick, n_ticks, band)
    with pytest.raises(ValueError, match="tick runs from 0 to 67; it must lie within the 60"):
        clock_model(data, one, tick, 60, band)
    with pytest.raises(ValueError, match=r"weight \(31,\) and tick \(32,\)"):
        clock_model(data, one[1:], tick, n_ticks, band)
    with pytest.raises(ValueError, match=r"residual has the shape \(1, 31\)"):
        clock_model(data[:, 1:], one, tick, n_ticks, band)
    with pytest.raises(ValueError, match="1 pixels have no differences at two lags"):
        stripe_amplitude.amplitude_of(data, np.eye(32)[0], tick, n_ticks)
