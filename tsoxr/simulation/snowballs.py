"""Snowballs: large round hits with a saturated core and a halo.

Near-infrared detectors see about one in 20 s on 2048 x 2048 pixels, after the documentation of
the observatory; their cause is not known. Here the core is a disc of radius 2 to 6 pixels,
smaller ones more often (uniform in the logarithm), whose charge exceeds the well by a half. The
halo begins at `HALO` of the well at the core's edge and falls exponentially with a third of the
radius. The sizes are of the order of those seen in flight, no fit to them.
"""

from __future__ import annotations

import numpy as np

from tsoxr.simulation.instruments import Setup

__all__ = ["snowballs"]

RADII = (2.0, 6.0)
CORE = 1.5
"""Charge of the core, in wells."""

HALO = 0.3
"""Charge of the halo at the edge of the core, in wells."""

HALO_SCALE = 1.0 / 3.0
"""Length over which the halo falls to 1/e, in radii of the core."""

HALO_REACH = 12.0
"""Radius of the stamp beyond the core, in scales of the halo: e^-12 of 3e4 electron is 0.2."""


def snowballs(
    setup: Setup, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw the charge of snowballs, pixel by pixel.

    Parameters
    ----------
    setup : Setup
        Mode as it is simulated.
    n : int
        Number of snowballs.
    rng : numpy.random.Generator
        Draws places and sizes.

    Returns
    -------
    event, y, x : (deposit,) int64
        Snowball, from 0, and pixel.
    charge : (deposit,) float64
        electron.
    """
    n_y, n_x = setup.shape
    well = (setup.constants.saturation - setup.electronics.bias) * setup.constants.gain
    center = rng.uniform((-0.5, -0.5), (n_y - 0.5, n_x - 0.5), (n, 2))
    radius = np.exp(rng.uniform(*np.log(RADII), n))
    science = setup.science
    parts = [np.zeros((0, 4))]
    for k in range(n):  # rare: about one in 20 s on a full detector
        reach = radius[k] * (1.0 + HALO_SCALE * HALO_REACH)
        low = np.maximum(np.ceil(center[k] - reach), 0).astype(int)
        high = np.minimum(np.floor(center[k] + reach), (n_y - 1, n_x - 1)).astype(int)
        y, x = (g.ravel() for g in np.mgrid[low[0] : high[0] + 1, low[1] : high[1] + 1])
        beyond = np.hypot(y - center[k, 0], x - center[k, 1]) - radius[k]
        fall = np.exp(-np.maximum(beyond, 0.0) / (HALO_SCALE * radius[k]))
        charge = well * np.where(beyond <= 0, CORE, HALO * fall)
        keep = science[y, x] & (beyond <= reach - radius[k])
        parts.append(np.stack([np.full(y.size, k), y, x, charge], axis=1)[keep])
    event, y, x, charge = np.concatenate(parts).T
    return event.astype(np.int64), y.astype(np.int64), x.astype(np.int64), charge
