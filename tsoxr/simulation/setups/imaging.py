"""What the imaging modes share: filters, and the image of a star through one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from tsoxr.simulation.instruments import Imager, Patch
from tsoxr.simulation.pupil import FIELD, STAMP, PointSpread, point_spread

__all__ = ["Bands", "imager"]

Bands = Mapping[str, tuple[float, float]]
"""Centre and full width at half power of each filter, um."""

SAMPLES = 9
REACH = 0.62
"""Half of the sampled interval, in widths of the filter."""
FLATNESS = 12
"""Power of the top-hat with soft edges that stands for every filter."""


def imager(
    band: tuple[float, float],
    pixel_scale: float,
    shape: tuple[int, int],
    position: tuple[float, float],
    defocus: float = 0.0,
) -> Imager:
    """Return the optics of an image through a filter.

    Parameters
    ----------
    band : (float, float)
        Centre and full width at half power, um.
    pixel_scale : float
        Side of a pixel, arcsec.
    shape : (int, int)
        Size of the array; large ones hold more of the wings.
    position : (float, float)
        Where the star stands, (y, x) pixels.
    defocus : float
        Path that a weak lens adds at the edge of the pupil, um.
    """
    center, width = band
    u = np.linspace(-REACH, REACH, SAMPLES)
    wavelength = center + width * u
    throughput = 0.5 ** ((2.0 * u) ** FLATNESS)
    stamp = STAMP if max(shape) <= STAMP else FIELD
    spread = point_spread(tuple(wavelength), tuple(throughput), pixel_scale, defocus, stamp)
    return Imager(wavelength, throughput, position, partial(_image, spread, position))


def _image(
    spread: PointSpread,
    rest: tuple[float, float],
    shape: tuple[int, int],
    y: float,
    x: float,
    focus: float,
) -> Patch:
    return spread.image(shape, (y, x), focus, rest)
