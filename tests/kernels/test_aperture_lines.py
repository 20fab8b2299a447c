"""Noise of lines in images: its size, the inverse of its covariance, and weights that know of it."""

import numpy as np
import pytest

from tsoxr.kernels import aperture_lines as lines
from tsoxr.kernels import aperture_model as model
from tsoxr.kernels.aperture_surface import sky_surface
from tsoxr.kernels.aperture_weights import Lines

N_LINES, N_FAST = 9, 24
TWO = np.repeat([0, 1], N_FAST // 2)


def covariance(noise, scale, terms, gain):
    """Return the dense covariance of all pixels, those without noise left out."""
    blocks = np.zeros((N_LINES * N_FAST, N_LINES * N_FAST))
    for k in range(N_LINES):
        part = gain[k][:, None] * terms * scale[k]
        at = slice(k * N_FAST, (k + 1) * N_FAST)
        blocks[at, at] = np.diag(noise[k]) + part @ part.T
    return blocks


@pytest.mark.parametrize("output", [np.zeros(N_FAST, int), TWO, np.arange(N_FAST) % 4])
def test_the_inverse_is_the_dense_one(output):
    rng = np.random.default_rng(1)
    noise, gain = rng.uniform(1, 9, (N_LINES, N_FAST)), rng.uniform(1, 2, (N_LINES, N_FAST))
    noise[2, 5] = noise[4] = 0.0
    terms = lines.basis(output)
    n_outputs = output.max() + 1
    scale = lines.scales(lines.LineNoise(4.0, 1.5), np.full(N_LINES, 0.2), n_outputs)
    assert scale.shape == (N_LINES, n_outputs * lines.N_TERMS)
    image = rng.normal(size=(2, N_LINES, N_FAST))
    found = lines.inverse_times(image, noise, scale, gain, terms)
    used = noise.ravel() > 0
    dense = covariance(noise, scale, terms, gain)[np.ix_(used, used)]
    expected = np.zeros((2, used.size))
    expected[:, used] = np.linalg.solve(dense, image.reshape(2, -1)[:, used].T).T
    np.testing.assert_allclose(found.reshape(2, -1), expected, rtol=1e-9, atol=1e-12)
    net = np.where(noise > 0, image[0], 0.0)
    drifts = covariance(0.0 * noise, scale, terms, np.ones_like(gain))
    assert lines.variance_of(net, scale, terms) == pytest.approx(net.ravel() @ drifts @ net.ravel())


def drifting(rng, n_time, n_lines, n_fast, level, drift):
    """Return white noise of variance 9 with lines that drift, (time, line, fast)."""
    size = np.sqrt([level, *(drift / np.arange(1.0, lines.N_TERMS))])
    terms = rng.normal(size=(n_time, n_lines, lines.N_TERMS)) * size
    white = 3.0 * rng.normal(size=(n_time, n_lines, n_fast))
    return (white + terms @ lines.basis(np.zeros(n_fast, int)).T).astype("f4")


def test_the_size_of_the_drift_is_found():
    weight, none = np.full((30, 60), 1 / 9.0), np.zeros((30, 60), bool)
    found = []
    for seed in range(8):
        left = drifting(np.random.default_rng(seed), 24, 30, 60, 2.0, 1.0)
        left[3, 4, 5] = 1e4  # a hit that nobody flagged
        found.append(lines.line_noise(left, weight, none, np.zeros(60, int)))
    # 720 levels, 700 of them free: 5 % and 1.3 times that for the white part; the drift rests on five terms
    # of weights 1/m, each with white noise of 0.3: 10 %
    np.testing.assert_allclose(np.mean(found, axis=0), [2.0, 1.0], rtol=0.12)
    assert (np.std(found, axis=0) < [0.3, 0.25]).all()


def test_white_noise_does_not_drift():
    weight, none = np.full((30, 60), 1 / 9.0), np.zeros((30, 60), bool)
    for seed in range(8):
        left = drifting(np.random.default_rng(seed), 24, 30, 60, 0.0, 0.0)
        assert lines.line_noise(left, weight, none, np.zeros(60, int)) == lines.NOTHING


def test_reference_pixels_show_levels_where_light_hides_them():
    rng = np.random.default_rng(5)
    left = drifting(rng, 24, 30, 60, 2.0, 0.5)
    left[:, :, :56] += 100.0 * rng.normal(size=(24, 30, 56))
    weight = np.full((30, 60), 1 / 9.0)
    weight[:, :56] = 1 / (9.0 + 1e4)
    blind = np.zeros((30, 60), bool)
    assert lines.line_noise(left, weight, blind, np.zeros(60, int)).level == 0.0
    blind[:, 56:] = True
    found = lines.line_noise(left, weight, blind, np.zeros(60, int))
    # four pixels with a variance of 9 at one end, 720 of them: 2.25 + level + drift (1.1), 5 %
    assert found.level == pytest.approx(2.0 + 1.1, abs=1.0)


def frame(n=24, width=2.0):
    rows, columns = np.mgrid[:n, :n]
    shape = np.exp(-0.5 * ((rows - 11.3) ** 2 + (columns - 10.6) ** 2) / width**2)
    return 5.0 + 4e4 * shape / shape.sum()


def test_weights_have_the_least_variance_of_all_that_spare_shifts_and_levels():
    image, n = frame(), 24
    error = np.sqrt(image + 9.0)
    image[:, 20:] = np.nan
    blind = np.zeros((n, n))
    blind[:, 20:] = 2.0
    noise = lines.LineNoise(30.0, 8.0)
    request = model.Request("optimal", "circle", 6.0, 0.0, "mean", None, None, 0)
    known = Lines(noise, np.zeros(n, int), blind)
    packed = model.build(image, error, np.ones((n, n)), np.zeros(n), request, known)
    numbers, _, layers = model.unpack(packed, n, n)
    layer = dict(zip(model.LAYERS, layers, strict=True))
    weight, used = layer["weight"], layer["weight"] != 0
    assert used[:, 20:].all()
    assert (layer["blind"][:, 20:] == 1).all()
    scale = lines.scales(noise, np.zeros(n), 1, free=True)
    terms = lines.basis(np.zeros(n, int))
    white = np.where(blind > 0, blind, error) ** 2

    def variance(w):
        return (w**2 * white).sum() + lines.variance_of(w, scale, terms)

    # any change that keeps light, shifts, width and levels costs: the gradient lies in their span
    rng = np.random.default_rng(2)
    inside = layer["share"] != 0
    light = np.where(inside, layer["profile"], 0.0)
    from tsoxr.kernels.templates import image_changes

    changes = image_changes(
        layer["profile"] * (image[:, :20].size / image[:, :20].size), (numbers["y"], numbers["x"])
    )
    spared = [
        np.where(inside, c, 0.0) for c in (changes[0].shift, changes[1].shift, changes[0].width)
    ]
    kept = np.stack([light, *spared, used * 1.0, used * (blind == 0)])[:, used]
    basis = np.linalg.qr(kept.T)[0]
    least = variance(weight)
    for _ in range(10):
        other = rng.normal(size=used.sum()) * abs(weight).max()
        other -= basis @ (basis.T @ other)
        moved = np.zeros_like(weight)
        moved[used] = other
        slope = (variance(weight + 1e-3 * moved) - variance(weight - 1e-3 * moved)) / 2e-3
        assert abs(slope) < 2e-3 * np.sqrt(least * variance(moved))
    # the sum takes no level of the frame, and hardly any of a line
    assert abs(weight.sum()) < 1e-6 * abs(weight).sum()
    assert abs(weight.sum(axis=1)).max() < 0.02 * abs(weight).sum(axis=1).max()
    assert (weight * np.nan_to_num(layer["profile"]))[inside].sum() == pytest.approx(1.0)
    assert numbers["error"] * 4e4 == pytest.approx(
        np.sqrt((weight**2 * white).sum() + lines.variance_of(weight, scale / 1.0, terms)), rel=0.05
    )


def test_auto_takes_weights_only_where_lines_drift():
    image, n = frame(), 24
    error = np.sqrt(image + 100.0)
    request = model.Request("auto", "auto", None, 0.0, "auto", None, None, 0)
    for noise, expected in ((lines.NOTHING, 0.0), (lines.LineNoise(60.0, 10.0), 1.0)):
        known = Lines(noise, np.zeros(n, int), None)
        args = (image, error, np.ones((n, n)), np.zeros(n))
        assert model.unpack(model.build(*args, request, known), n, n)[0]["optimal"] == expected
        asked = model.build(*args, request._replace(radius=4.0), known)
        assert model.unpack(asked, n, n)[0]["optimal"] == 0.0


def test_the_sky_is_that_of_photutils_where_photutils_has_pixels():
    from photutils.background import Background2D, MedianBackground

    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:96, :96] / 95.0
    truth = 50.0 + 20.0 * rows - 10.0 * columns + 8.0 * rows * columns
    image = truth + rng.normal(size=truth.shape)
    image[np.hypot(rows - 0.2, columns - 0.8) < 0.03] += 300.0  # another star
    far = np.hypot(rows - 0.5, columns - 0.5) > 0.25
    found = sky_surface(image, np.ones_like(image), far)
    theirs = Background2D(
        np.where(far, image, image + 1e3), 16, mask=~far, filter_size=3,
        bkg_estimator=MedianBackground(), exclude_percentile=50.0,
    ).background  # fmt: skip
    # six terms from 7400 pixels of unit noise: 0.03 in the middle of the hole
    assert np.abs(found - truth)[~far].max() < 0.15
    # boxes of 16 pixels follow a slope of 0.3 per pixel to a few units, of 50
    assert np.median(np.abs(found - theirs)[far]) < 2.5
    assert np.abs(found - truth)[~far].max() < np.abs(theirs - truth)[~far].max()
