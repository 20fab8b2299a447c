"""Exact overlap of pixels with circles and hexagons, and images of apertures.

A pixel reaches half a pixel to either side of its index. The area of a disc within a rectangle
is that of four quadrants, each in closed form; a hexagon is cut by the sides of the pixel
(Sutherland & Hodgman 1974). Both are exact to rounding, so that a flux is a continuous function
of the aperture's place and size.
"""

from __future__ import annotations

import numba
import numpy as np

__all__ = ["CIRCLE", "HEXAGON", "aperture", "overlap"]

CIRCLE, HEXAGON = 0, 1
HALF_DIAGONAL = 0.5 * np.sqrt(2.0)
INRADIUS = 0.5 * np.sqrt(3.0)
"""Distance of a hexagon's sides from its centre over that of its corners."""


@numba.njit(cache=True, nogil=True)
def _disc_quadrant(x, y, r):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the area of a disc about the origin with X <= x and Y <= y."""
    x, y = min(max(x, -r), r), min(max(y, -r), r)
    a, b = np.sqrt(r * r - x * x), np.sqrt(r * r - y * y)
    if x * x + y * y < r * r:
        sector = 0.5 * r * r * (0.5 * np.pi + np.arcsin(x / r) + np.arcsin(y / r))
        return sector + x * y + 0.5 * (x * a + y * b)
    beyond_x = r * r * np.arccos(abs(x) / r) - abs(x) * a
    beyond_y = r * r * np.arccos(abs(y) / r) - abs(y) * b
    if x >= 0.0 and y >= 0.0:
        return np.pi * r * r - beyond_x - beyond_y
    if x < 0.0 and y < 0.0:
        return 0.0
    return beyond_x if x < 0.0 else beyond_y


@numba.njit(cache=True, nogil=True)
def _disc(y, x, r):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the area of a unit square about (y, x) inside a disc about the origin."""
    return (
        _disc_quadrant(x + 0.5, y + 0.5, r)
        - _disc_quadrant(x - 0.5, y + 0.5, r)
        - _disc_quadrant(x + 0.5, y - 0.5, r)
        + _disc_quadrant(x - 0.5, y - 0.5, r)
    )


@numba.njit(cache=True, nogil=True)
def _hexagon(y, x, r, turn):  # noqa: ANN001, ANN202 -- numba infers the types
    """Return the area of a unit square about (y, x) inside a hexagon about the origin."""
    px, py = np.empty(12), np.empty(12)
    qx, qy = np.empty(12), np.empty(12)
    px[0], px[1], px[2], px[3] = x - 0.5, x + 0.5, x + 0.5, x - 0.5
    py[0], py[1], py[2], py[3] = y - 0.5, y - 0.5, y + 0.5, y + 0.5
    n, reach = 4, INRADIUS * r
    for side in range(6):
        angle = turn + (side + 0.5) * np.pi / 3.0  # of the side's normal, from y to x
        ny, nx = np.cos(angle), np.sin(angle)
        m = 0
        for i in range(n):
            j = (i + 1) % n
            here = reach - nx * px[i] - ny * py[i]
            there = reach - nx * px[j] - ny * py[j]
            if here >= 0.0:
                qx[m], qy[m] = px[i], py[i]
                m += 1
            if (here >= 0.0) != (there >= 0.0):
                part = here / (here - there)
                qx[m], qy[m] = px[i] + part * (px[j] - px[i]), py[i] + part * (py[j] - py[i])
                m += 1
        n = m
        px, qx = qx, px
        py, qy = qy, py
    twice = 0.0
    for i in range(n):
        j = (i + 1) % n
        twice += (px[i] - x) * (py[j] - y) - (px[j] - x) * (py[i] - y)
    return 0.5 * twice


@numba.njit(cache=True, nogil=True)
def overlap(y, x, shape, r, turn):  # noqa: ANN001, ANN201 -- numba infers the types
    """Return the part of the pixel at (y, x) from the centre that lies in an aperture, 0 to 1.

    ``shape`` is `CIRCLE` or `HEXAGON`, ``r`` the radius, of a hexagon to its corners, and
    ``turn`` the angle of one corner from the y axis towards x, radian.
    """
    distance = np.sqrt(y * y + x * x)
    inner = r if shape == CIRCLE else INRADIUS * r
    if distance + HALF_DIAGONAL <= inner:
        return 1.0
    if distance - HALF_DIAGONAL >= r:
        return 0.0
    area = _disc(y, x, r) if shape == CIRCLE else _hexagon(y, x, r, turn)
    return min(max(area, 0.0), 1.0)


@numba.njit(cache=True, nogil=True)
def aperture(
    n_rows: int, n_columns: int, y: float, x: float, shape: int, r: float, turn: float
) -> np.ndarray:
    """Return the part of each pixel of a frame that lies in an aperture.

    Parameters
    ----------
    n_rows, n_columns : int
        Size of the frame.
    y, x : float
        Centre, pixels from the middle of the first one.
    shape : int
        `CIRCLE` or `HEXAGON`.
    r : float
        Radius, pixels; of a hexagon the distance of its corners from the centre.
    turn : float
        Angle of one corner from the y axis towards x, radian.

    Returns
    -------
    (y, x) float64
        0 to 1; what lies beyond the frame is cut.

    Examples
    --------
    >>> image = aperture(21, 21, 10.2, 9.7, CIRCLE, 6.0, 0.0)
    >>> bool(abs(image.sum() - np.pi * 36) < 1e-11)
    True
    """
    out = np.zeros((n_rows, n_columns))
    first_row, last_row = max(int(y - r) - 1, 0), min(int(y + r) + 2, n_rows - 1)
    first_column, last_column = max(int(x - r) - 1, 0), min(int(x + r) + 2, n_columns - 1)
    for i in range(first_row, last_row + 1):
        for j in range(first_column, last_column + 1):
            out[i, j] = overlap(i - y, j - x, shape, r, turn)
    return out
