"""Sums over apertures and annuli against dense algebra, and the model of an image."""

import numpy as np
import pytest

from tsoxr.kernels import aperture_model as model
from tsoxr.kernels import photometry as kernel
from tsoxr.kernels.aperture_annulus import MIN_PIXELS
from tsoxr.kernels.aperture_star import filled
from tsoxr.kernels.apertures import CIRCLE
from tsoxr.kernels.still_image import still_image

N = 41
BAD = 1
PLAIN = model.Request("aperture", "circle", None, 0.0, "auto", None, None, 0)


def star(y=20.3, x=19.6, width=1.6, light=4e4, sky=5.0):
    rows, columns = np.mgrid[:N, :N]
    shape = np.exp(-0.5 * ((rows - y) ** 2 + (columns - x) ** 2) / width**2)
    return sky + light * shape / shape.sum()


def error_of(image, read=3.0):
    return np.sqrt(np.maximum(image, 0.0) + read**2)


def built(image, **given):
    request = PLAIN._replace(**given)
    ones = np.ones_like(image)
    packed = model.build(image, error_of(image), ones, np.zeros(N), request)
    numbers, growth, layers = model.unpack(packed, N, N)
    return numbers, growth, dict(zip(model.LAYERS, layers, strict=True))


def images(layers):
    """Return what `fixed_sums` takes, with the sky left to the level of each integration."""
    return layers["weight"], layers["share"], np.zeros((N, N)), layers["blind"] > 0


def cube(image, n=6, seed=0):
    rng = np.random.default_rng(seed)
    error = np.broadcast_to(error_of(image), (n, N, N)).astype("f4")
    data = (image + error * rng.normal(size=(n, N, N))).astype("f4")
    return data, error.copy(), np.zeros((n, N, N), np.uint32)


def test_the_star_is_found():
    numbers, growth, layers = built(star())
    # without noise: what is left is the window's step of convergence, 1e-5, and sampling
    assert numbers["y"] == pytest.approx(20.3, abs=1e-3)
    assert numbers["x"] == pytest.approx(19.6, abs=1e-3)
    assert numbers["level"] == pytest.approx(5.0, abs=0.01)
    assert numbers["light"] == pytest.approx(4e4, rel=2e-3)
    assert layers["annulus"].sum() == pytest.approx(1.0)
    assert growth[0].max() == pytest.approx(1.0, abs=2e-3)


def test_the_radius_is_that_of_least_predicted_error():
    numbers, growth, _ = built(star(light=400.0))
    radii = model.radii_of(N, N)
    assert numbers["radius"] == radii[growth[1].argmin()]
    # the best circle for a Gaussian on a bright background has 1.585 times its width
    assert numbers["radius"] == pytest.approx(1.585 * 1.6, abs=0.75)


def test_growth_is_that_of_a_gaussian():
    _, growth, _ = built(star(y=20.0, x=20.0))
    radii = model.radii_of(N, N)
    # light is even within a pixel, which adds 1/12 to the variance; the rest is of fourth order
    expected = 1 - np.exp(-0.5 * radii**2 / (1.6**2 + 1 / 12))
    np.testing.assert_allclose(growth[0], expected, atol=0.01)


def test_sums_are_the_dense_ones():
    image = star()
    layers = built(image, radius=4.3)[2]
    data, error, flags = cube(image)
    flags[2, 19:21, 20] = BAD
    data[3, 22, 18] = np.nan
    error[4, 18, 19] = 0.0
    bad = (flags & BAD > 0) | ~np.isfinite(data) | ~(error > 0)
    level = np.stack([np.linspace(4, 6, 6), np.full(6, 0.01)], axis=1)
    values, _ = kernel.fixed_sums(
        data,
        error,
        flags,
        level,
        images(layers),
        0.0,
        (BAD, BAD),
    )
    w, share = layers["weight"], layers["share"]
    clean = np.where(bad, 0.0, np.nan_to_num(data.astype(float)))
    left = 1.0 - (bad * share).sum(axis=(1, 2))
    used = (~bad * w).sum(axis=(1, 2))
    flux = ((w * clean).sum(axis=(1, 2)) - used * level[:, 0]) / left
    variance = (w**2 * ~bad * error.astype(float) ** 2).sum(axis=(1, 2)) + used**2 * level[:, 1]
    np.testing.assert_allclose(values[:, 0], flux, rtol=1e-9)
    np.testing.assert_allclose(values[:, 1], np.sqrt(variance) / left, rtol=1e-9)
    np.testing.assert_allclose(values[:, 2], 1.0 - left, atol=1e-12)
    assert (values[[0, 1, 5], 2] == 0).all()


@pytest.mark.parametrize("method", ["aperture", "optimal"])
def test_missing_pixels_lose_no_light(method):
    image = star()
    numbers, _, layers = built(image, method=method)
    data = np.stack([5.0 + (image - 5.0) * f for f in (1.0, 0.99, 0.99)]).astype("f4")
    error = np.broadcast_to(error_of(image).astype("f4"), data.shape)
    flags = np.zeros(data.shape, np.uint32)
    flags[2, 20, 18:21] = BAD  # the peak
    level = np.tile([numbers["level"], 0.0], (3, 1))
    values, _ = kernel.fixed_sums(
        data,
        error,
        flags,
        level,
        images(layers),
        numbers["lost"],
        (BAD, BAD),
    )
    # single precision of the data, and the level of the annulus in the 1 % that is gone
    assert values[2, 0] == pytest.approx(values[1, 0], rel=1e-5)
    assert values[1, 0] / values[0, 0] == pytest.approx(0.99, rel=1e-5)
    assert values[2, 2] > 0.1
    assert values[2, 1] > values[1, 1]


def test_a_moving_aperture_at_rest_is_the_fixed_one():
    image = star()
    numbers, _, layers = built(image, radius=4.3)
    data, error, flags = cube(image)
    flags[1, 20, 21] = BAD
    level = np.tile([5.0, 0.1], (6, 1))
    fixed, seen = kernel.fixed_sums(
        data,
        error,
        flags,
        level,
        images(layers),
        0.0,
        (BAD, BAD),
    )
    still_images = layers["gain"], layers["profile"], np.zeros((N, N)), np.zeros((N, N), bool)
    place = numbers["y"], numbers["x"]
    still = np.full((6, 2), np.nan)
    moving, too = kernel.moving_sums(
        data, error, flags, level, still_images, place, still, (CIRCLE, 4.3, 0.0), BAD
    )
    np.testing.assert_allclose(moving, fixed, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(seen, too)


def test_a_moving_aperture_follows_whole_pixels():
    image = star()
    numbers, _, layers = built(image, radius=4.3)
    data, error, flags = (a[:2].copy() for a in cube(image))
    data[1], error[1] = np.roll(data[0], (2, -3), (0, 1)), np.roll(error[0], (2, -3), (0, 1))
    flags[0, 20, 20] = flags[1, 22, 17] = BAD
    shift = np.array([[0.0, 0.0], [2.0, -3.0]])
    still_images = layers["gain"], layers["profile"], np.zeros((N, N)), np.zeros((N, N), bool)
    place = numbers["y"], numbers["x"]
    level = np.tile([5.0, 0.1], (2, 1))
    values, _ = kernel.moving_sums(
        data, error, flags, level, still_images, place, shift, (CIRCLE, 4.3, 0.0), BAD
    )
    np.testing.assert_allclose(values[1], values[0], rtol=1e-9)
    assert values[0, 2] > 0.01


def test_the_median_image_is_that_of_the_star_alone():
    rng = np.random.default_rng(2)
    light = np.where(np.arange(32) < 14, 0.8, 1.0)  # a deep transit for less than half of the time
    sky = np.linspace(4.0, 6.0, 32)
    image = star(light=4e6) - 5.0
    error = error_of(image)
    data = light[:, None, None] * image + sky[:, None, None] + error * rng.normal(size=(32, N, N))
    bad = rng.random(data.shape) < 0.05
    found = still_image(data.astype("f4"), bad, error) - np.median(sky)
    off = (found - image * (found.sum() / image.sum())) / error
    # the median of 32 has 0.22 of the noise, a little more where the star is faint
    assert off.std() == pytest.approx(0.22, abs=0.04)
    plain = np.median(data, axis=0) - np.median(sky)
    assert ((plain - image * (plain.sum() / image.sum())) / error).std() > 1.3 * off.std()


def test_the_level_ignores_hits_and_stars():
    image = star()
    image[5, 8] += 300.0  # a field star in the ring
    _, _, layers = built(image, annulus=(12.0, 19.0))
    data = np.repeat(image[None].astype("f4"), 3, axis=0)
    error = np.broadcast_to(error_of(image).astype("f4"), data.shape)
    flags = np.zeros(data.shape, np.uint32)
    data[1] += 2.0
    data[2, 20, 34] += 1e5  # a hit
    flags[2, 4:7, 7:10] = BAD  # the star in the ring is missing
    for method in ("mean", "median"):
        found = kernel.levels(
            data, error, flags, image, layers["annulus"], BAD, kernel.LEVELS[method]
        )
        np.testing.assert_allclose(found[:, 0], [0.0, 2.0, 0.0], atol=1e-5)


@pytest.mark.parametrize("method", ["mean", "median"])
def test_the_error_of_the_level_is_its_scatter(method):
    image = star()
    _, _, layers = built(image, annulus=(12.0, 19.0), background=method)
    data, error, flags = cube(image, n=400)
    found = kernel.levels(data, error, flags, image, layers["annulus"], BAD, kernel.LEVELS[method])
    # 400 values: their scatter is known to 3.5 %
    assert found[:, 0].std() / np.sqrt(found[:, 1].mean()) == pytest.approx(1.0, abs=0.12)
    assert abs(found[:, 0].mean()) < 4 * found[:, 0].std() / 20


def test_nothing_usable_is_nan():
    image = star()
    _, _, layers = built(image)
    data, error, flags = cube(image)
    flags[2] = BAD
    level = kernel.levels(data, error, flags, image, layers["annulus"], BAD, 1)
    assert np.isnan(level[2]).all()
    values, _ = kernel.fixed_sums(
        data,
        error,
        flags,
        level,
        images(layers),
        0.0,
        (BAD, BAD),
    )
    assert np.isnan(values[2, :2]).all()
    assert values[2, 2] == 1.0
    assert np.isfinite(values[[0, 1, 3]]).all()


def test_optimal_weights_have_the_least_variance():
    image = star(light=4000.0)
    plain, best = built(image)[2]["weight"], built(image, method="optimal")[2]["weight"]
    light = image - 5.0
    variance = error_of(image) ** 2

    def relative(weight):
        return np.sqrt((weight**2 * variance).sum()) / (weight * light).sum()

    assert relative(best) < relative(plain)
    # sum P^2 / V is the most that can be known; 1 % may be spent on the width, shifts cost 0.1 %
    least = 1 / np.sqrt((light**2 / variance).sum())
    assert least <= relative(best) < 1.012 * least


@pytest.mark.parametrize("place", [(20.0, 20.0), (20.3, 19.6), (20.5, 20.5)])
def test_optimal_weights_take_no_shift_for_light(place):
    y, x = place
    weight = built(star(y, x), method="optimal")[2]["weight"]
    plain = star(y, x) - 5.0
    plain /= error_of(star(y, x)) ** 2

    def change(weight, dy, dx, width=1.6):
        before, after = (star(*p, w) - 5.0 for p, w in ((place, 1.6), ((y + dy, x + dx), width)))
        return abs((weight * after).sum() / (weight * before).sum() - 1.0)

    # a hundredth of a pixel: its square over the width's is 4e-5
    for dy, dx in ((0.01, 0.0), (0.0, 0.01), (0.007, -0.007)):
        assert change(weight, dy, dx) < 4e-5
    # the profile of a bright star may spend the 1 %: a width of 0.1 % more is then no light
    assert change(weight, 0.0, 0.0, 1.6016) < 0.2 * change(plain, 0.0, 0.0, 1.6016)


def test_levels_of_lines_enter_the_error():
    image = star()
    ones, lines = np.ones_like(image), np.full(N, 0.25)
    for line_dim in (0, 1):
        packed = model.build(image, error_of(image), ones, lines, PLAIN._replace(line_dim=line_dim))
        numbers, _, layers = model.unpack(packed, N, N)
        layer = dict(zip(model.LAYERS, layers, strict=True))
        net = layer["weight"] - layer["weight"].sum() * layer["annulus"]
        expected = 0.25 * (net.sum(axis=1 - line_dim) ** 2).sum()
        assert numbers["lines"] == pytest.approx(expected)


def test_pixels_that_are_never_usable_are_reported():
    image = star()
    image[20, 20] = np.nan
    numbers, _, layers = built(image, radius=5.0)
    assert layers["weight"][20, 20] == 0.0
    # the pixel has 6 % of the light; what its neighbours say of it is 15 % too low at the peak
    assert 0.04 < numbers["lost"] < 0.07
    assert layers["share"].sum() + numbers["lost"] == pytest.approx(1.0)


def test_holes_are_filled():
    image = np.arange(N * N, dtype=float).reshape(N, N)
    holes = image.copy()
    holes[3:6, 7:9] = np.nan
    assert np.isfinite(filled(holes)).all()
    np.testing.assert_array_equal(filled(image), image)
    holes = image.copy()
    holes[10, 10] = np.nan
    assert filled(holes)[10, 10] == image[10, 10]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"center": (20.0, 20.0), "radius": 0.2, "hole": True}, "no usable pixel lies in the ap"),
        ({"annulus": (28.0, 30.0)}, rf"usable pixels, {MIN_PIXELS} are needed"),
        ({"annulus": (60.0, 70.0)}, "has 0 usable pixels"),
        ({"center": (3.0, 3.0), "radius": 1.0, "sky": -50.0}, "no light above the background"),
        ({"center": (20.0, 20.0), "blank": True}, "no pixel of the frame is ever usable"),
    ],
)
def test_what_cannot_be_is_said(given, what):
    image = star()
    image[20, 20] = np.nan if given.pop("hole", False) else image[20, 20]
    if "sky" in given:
        image[1:6, 1:6] += given.pop("sky")
    if given.pop("blank", False):
        image[:] = np.nan
    with pytest.raises(ValueError, match=what):
        built(image, **given)


def test_a_ring_that_does_not_fit_is_none():
    numbers, _, layers = built(star(width=14.0, light=1e8), radius=26.0)
    assert np.isnan(numbers["inner"])
    assert numbers["level"] == numbers["follows"] == 0.0
    assert not layers["annulus"].any()
    with pytest.raises(ValueError, match="to the edge of the frame has"):
        built(star(width=14.0, light=1e8), radius=26.0, background="mean")


def test_a_constant_level_has_no_error_of_its_own():
    image = star(width=8.0, light=1e5, sky=1e4)
    given = {"radius": 15.0, "annulus": (18.5, 19.5)}
    followed, held = built(image, **given)[0], built(image, background="constant", **given)[0]
    assert (followed["follows"], held["follows"]) == (1.0, 0.0)
    assert held["level"] == followed["level"] > 1e4


def test_the_radius_knows_of_the_noise_of_a_small_ring():
    image = star(y=7.0, x=7.0, light=400.0)[:15, :15]
    # the frame ends where the light does: a wide aperture would multiply the noise of the ring
    wide, narrow = (
        model.unpack(
            model.build(image, error_of(image), np.ones((15, 15)), np.zeros(15), each), 15, 15
        )[0]
        for each in (PLAIN._replace(background="constant"), PLAIN)
    )
    assert narrow["radius"] <= wide["radius"]
    assert np.isfinite(narrow["inner"])
