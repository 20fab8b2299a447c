"""The detector: what turns photons into data numbers.

The order of what happens to a pixel between reset and read-out:

1. photons, dark current and hits add electrons, Poisson in each interval between reads, and
   pixels change them on the way (see `tsoxr.simulation.pixels`);
2. electrons become linear signal ``L = N / gain``, DN;
3. the response bends: the measured signal D solves ``L = D + a D^2 + b D^3``. The polynomial
   in D is the linearity reference itself, so that reference is the exact inverse; D is found
   by Newton's method to better than 1e-9 of its value (stored as float32, 6e-8);
4. the well is full at the saturation level and a few per cent: D stops there;
5. superbias, reset noise (kTC, one value per integration), pedestal (one per frame and
   output), 1/f noise (see `tsoxr.simulation.pink`) and white read noise are added;
6. rounding, and clipping to 16 bit.

Reference pixels see steps 5 and 6 only. Pixels with random telegraph noise carry the flag
TELEGRAPH alone: whether they are used is left to the steps that read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np

from tsoxr import dq
from tsoxr.simulation.instruments import Setup
from tsoxr.simulation.streams import stream

__all__ = ["Detector", "apply_linearity", "build_detector", "develop"]

WELL_MARGIN = 1.03
NEWTON_STEPS = 5


@dataclass(frozen=True, eq=False)
class Detector:
    """Static properties of the pixels, (y, x) float32 unless said.

    ``gain`` electron/DN; ``read_noise`` of a single read, ``superbias``, ``saturation``
    (of the raw signal, bias included) and ``ceiling`` (of the signal without bias) in DN;
    ``response`` relative, 0 for dead and reference pixels; ``dark`` electron/s; ``linearity``
    (coefficient, y, x); ``telegraph`` the height of a pixel's jumps, DN, 0 for most; ``dq``
    uint32.
    """

    gain: np.ndarray
    read_noise: np.ndarray
    superbias: np.ndarray
    saturation: np.ndarray
    ceiling: np.ndarray
    response: np.ndarray
    dark: np.ndarray
    linearity: np.ndarray
    telegraph: np.ndarray
    dq: np.ndarray

    @cached_property
    def well(self) -> np.ndarray:
        """Charge at which the well is full, (y, x) float64 electron."""
        return apply_linearity(self.ceiling.astype(float), self.linearity) * self.gain


def build_detector(setup: Setup, seed: int, noise: frozenset[str]) -> Detector:
    """Draw the static properties of a detector.

    Parameters
    ----------
    setup : Setup
        Mode as it is simulated.
    seed : int
        Seed of the exposure.
    noise : frozenset of str
        Sources that are on; each map is drawn in any case, so that one does not move
        another.
    """
    rng = stream(seed, "detector")
    constants, levels, shape = setup.constants, setup.electronics, setup.shape
    scatter = {
        n: rng.standard_normal(shape) for n in ("bias", "read", "well", "flat", "bend", "dark")
    }
    kind = rng.random(shape)
    line = rng.standard_normal(setup.readout.n_slow)
    science = setup.science

    bias = _superbias(setup, scatter["bias"], line) if "bias" in noise else np.zeros(shape)
    read = constants.read_noise * (1.0 + 0.04 * scatter["read"].clip(-3, 3))
    read = np.where(science, read, levels.reference_noise * read)
    response = 1.0 + (levels.flat_rms * scatter["flat"] if "flat" in noise else 0.0)
    dark = constants.dark * np.exp(0.2 * scatter["dark"]) if "dark" in noise else np.zeros(shape)
    flags = np.where(science, 0, dq.FLAGS["REFERENCE_PIXEL"]).astype(np.uint32)
    if "bad_pixels" in noise:
        dead = science & (kind < 0.25 * levels.bad_fraction)
        hot = science & (kind > 1.0 - 0.75 * levels.bad_fraction)
        response = np.where(dead, 0.0, response)
        dark = np.where(hot, 2000.0 * np.exp(scatter["dark"]), dark)
        flags[dead] |= dq.bits("DEAD", "DO_NOT_USE")
        flags[hot] |= dq.bits("HOT", "DO_NOT_USE")
    jumps = _telegraph(setup, seed) if "telegraph" in noise else np.zeros(shape)
    flags[jumps > 0] |= dq.bits("TELEGRAPH")
    well = constants.saturation * (1.0 + 0.01 * scatter["well"].clip(-3, 3)) - levels.bias
    maps = {
        "gain": np.full(shape, constants.gain),
        "read_noise": read,
        "superbias": bias,
        "saturation": well + bias,
        "ceiling": WELL_MARGIN * well,
        "response": np.where(science, response, 0.0),
        "dark": np.where(science, dark, 0.0),
        "linearity": _linearity(setup, scatter["bend"], on="nonlinearity" in noise),
        "telegraph": jumps,
    }
    return Detector(**{k: v.astype(np.float32) for k, v in maps.items()}, dq=flags)


def _telegraph(setup: Setup, seed: int) -> np.ndarray:
    """Return the height of the jumps, log-normal in a few pixels, (y, x) DN."""
    rng, levels = stream(seed, "telegraph_pixels"), setup.electronics
    few = setup.science & (rng.random(setup.shape) < levels.telegraph_fraction)
    return levels.telegraph * np.exp(0.5 * rng.standard_normal(setup.shape)) * few


def _superbias(setup: Setup, pixel: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Structure: pixel scatter, a level of each line, odd-even lines, a gradient across."""
    levels, readout = setup.electronics, setup.readout
    index = np.arange(readout.n_slow)
    lines = 0.25 * line + 0.2 * (index % 2) + 0.5 * np.exp(-index / (0.05 * readout.n_slow))
    along = np.linspace(-0.3, 0.3, readout.n_fast)
    if readout.slow_dim == "x":
        pattern = lines[None, :] + along[:, None]
    else:
        pattern = lines[:, None] + along[None, :]
    return levels.bias + levels.bias_structure * (pattern + pixel)


def _linearity(setup: Setup, scatter: np.ndarray, *, on: bool) -> np.ndarray:
    levels = setup.electronics
    out = np.zeros((4, *setup.shape))
    out[1] = 1.0
    if on:
        bend = 1.0 + 0.05 * scatter.clip(-3, 3)
        out[2], out[3] = levels.quadratic * bend, levels.cubic * bend
        out[2:, ~setup.science] = 0.0
    return out


def apply_linearity(signal: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Return linear signal from measured signal: the polynomial of the linearity reference.

    Parameters
    ----------
    signal : (..., y, x) float
        Measured signal without bias, DN.
    coefficients : (coefficient, y, x) float
        Constant term first.
    """
    out = np.zeros(np.shape(signal))
    for c in coefficients[::-1]:
        out = out * signal + c
    return out


@numba.njit(cache=True, nogil=True)
def _bend(linear, a, b, ceiling):  # noqa: ANN001, ANN202 -- numba infers the types
    """Solve linear = D + a D^2 + b D^3 by Newton's method, up to the full well."""
    d = linear
    for _ in range(NEWTON_STEPS):
        value = d * (1.0 + d * (a + b * d)) - linear
        slope = 1.0 + d * (2.0 * a + 3.0 * b * d)
        d -= value / max(slope, 0.5)
        if abs(value) < 1e-10 * (abs(linear) + 1.0):
            break
    return min(d, ceiling)


@numba.njit(cache=True, nogil=True)
def develop(charge, gain, linearity, ceiling, out):  # noqa: ANN001, ANN201 -- numba infers the types
    """Turn accumulated charge into measured signal.

    Parameters
    ----------
    charge : (y, x) float64
        Electrons since the reset.
    gain, ceiling : (y, x) float32
        electron/DN, and the signal at which the well is full, DN.
    linearity : (4, y, x) float32
        Coefficients of the linearity polynomial; 0 and 1 come first.
    out : (y, x) float32
        Receives the signal without bias, DN.
    """
    n_y, n_x = charge.shape
    for y in range(n_y):
        for x in range(n_x):
            a, b = float(linearity[2, y, x]), float(linearity[3, y, x])
            out[y, x] = _bend(charge[y, x] / float(gain[y, x]), a, b, float(ceiling[y, x]))
