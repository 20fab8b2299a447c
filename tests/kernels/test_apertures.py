"""Overlap of pixels with circles and hexagons against areas, brute force and photutils."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photutils.aperture import CircularAperture

from tsoxr.kernels.apertures import CIRCLE, HEXAGON, aperture

HEXAGON_AREA = 1.5 * np.sqrt(3.0)
places = st.floats(8.0, 12.0)


@given(places, places, st.floats(0.05, 7.0), st.floats(0.0, 6.3))
def test_areas_are_exact(y, x, radius, turn):
    # the areas are at most 154: rounding of a few hundred terms stays below 1e-10
    disc = aperture(21, 21, y, x, CIRCLE, radius, turn)
    assert disc.sum() == pytest.approx(np.pi * radius**2, abs=1e-10)
    hexagon = aperture(21, 21, y, x, HEXAGON, radius, turn)
    assert hexagon.sum() == pytest.approx(HEXAGON_AREA * radius**2, abs=1e-10)
    assert (hexagon <= disc + 1e-12).all()


@pytest.mark.parametrize("shape", [CIRCLE, HEXAGON])
@pytest.mark.parametrize("place", [(5.0, 5.0, 0.3), (5.3, 4.6, 3.7), (5.5, 5.5, 2.0)])
def test_each_pixel_against_points(shape, place):
    y, x, radius = place
    n, turn = 200, 0.3
    grid = (np.arange(n) + 0.5) / n - 0.5
    points = np.arange(11)[:, None] + grid
    u, v = points.ravel()[:, None] - y, points.ravel() - x
    inside = np.hypot(u, v) <= radius
    if shape == HEXAGON:
        angles = turn + (np.arange(6) + 0.5) * np.pi / 3
        sides = [np.cos(a) * u + np.sin(a) * v <= radius * np.sqrt(0.75) for a in angles]
        inside = np.logical_and.reduce(sides)
    counted = inside.reshape(11, n, 11, n).mean(axis=(1, 3))
    # a line through a pixel is told by n points across to about a quarter of 1 / n
    found = aperture(11, 11, y, x, shape, radius, turn)
    assert np.abs(found - counted).max() < 1.0 / n


def test_a_hexagon_turned_by_a_sixth_is_the_same():
    one, other = (aperture(15, 15, 7.2, 6.9, HEXAGON, 5.0, t) for t in (0.2, 0.2 + np.pi / 3))
    np.testing.assert_allclose(one, other, atol=1e-12)


def test_a_corner_points_along_y():
    image = aperture(41, 41, 20.0, 20.0, HEXAGON, 15.0, 0.0)
    rows, columns = (np.flatnonzero(image.any(axis=a)) for a in (1, 0))
    assert np.ptp(rows) > np.ptp(columns)


def test_beyond_the_frame_is_cut():
    half = aperture(20, 40, -0.5, 20.0, CIRCLE, 6.0, 0.0)
    assert half.sum() == pytest.approx(0.5 * np.pi * 36, abs=1e-10)
    assert aperture(20, 40, -30.0, 20.0, CIRCLE, 6.0, 0.0).sum() == 0.0


def test_the_same_as_photutils():
    for y, x, radius in ((20.2, 19.63, 0.4), (20.2, 19.63, 3.3), (18.0, 21.5, 9.99)):
        mask = CircularAperture((x, y), radius).to_mask(method="exact")
        ours = aperture(41, 41, y, x, CIRCLE, radius, 0.0)
        np.testing.assert_allclose(ours, mask.to_image((41, 41)), atol=1e-12)
