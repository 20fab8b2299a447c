"""What a calibration knows of a detector: its true properties, or those that it measures.

Measured properties have the errors of a good calibration. Superbias and read noise come from
100 simulated darks of two groups, drawn with this detector's own kTC, white, 1/f and pedestal
noise: their mean at the first group, and the scatter of the difference of the two. The dark
is the mean of as many exposures with Poisson and white noise. The gain is wrong by 1 % as a
whole, the curvature of the response by 0.5 % and the flat by 0.3 % from pixel to pixel, and
one bad pixel in ten is not known to be bad.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsoxr.simulation.electronics import Electronics
from tsoxr.simulation.streams import stream

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["Calibration", "measured", "true"]

N_DARKS = 100
GAIN_ERROR = 0.01
LINEARITY_ERROR = 0.005
FLAT_ERROR = 0.003
MISSED = 0.1


@dataclass(frozen=True, eq=False)
class Calibration:
    """Properties of the pixels, (y, x) float32 unless said.

    ``gain`` electron/DN; ``superbias`` and ``saturation`` DN; ``read_noise`` of the difference
    of two reads, DN; ``flat`` relative; ``dark`` (group, y, x) DN; ``linearity``
    (coefficient, y, x); ``dq`` uint32. Each ``_error`` is one standard deviation.
    """

    gain: np.ndarray
    superbias: np.ndarray
    superbias_error: np.ndarray
    saturation: np.ndarray
    read_noise: np.ndarray
    flat: np.ndarray
    flat_error: np.ndarray
    dark: np.ndarray
    dark_error: np.ndarray
    linearity: np.ndarray
    dq: np.ndarray


def true(exposure: Exposure) -> Calibration:
    """Return the detector's true properties; all errors are 0."""
    detector = exposure.maps
    dark = exposure.clock.group_time[:, None, None] * detector.dark / detector.gain
    exact = np.zeros(exposure.setup.shape, dtype=np.float32)
    return Calibration(
        gain=detector.gain,
        superbias=detector.superbias,
        superbias_error=exact,
        saturation=detector.saturation,
        read_noise=np.float32(math.sqrt(2.0)) * detector.read_noise,
        flat=np.where(detector.response > 0, detector.response, 1.0).astype(np.float32),
        flat_error=exact,
        dark=dark.astype(np.float32),
        dark_error=np.zeros(dark.shape, dtype=np.float32),
        linearity=detector.linearity,
        dq=detector.dq,
    )


def measured(exposure: Exposure) -> Calibration:
    """Return what a calibration would measure; the errors follow from the exposure's seed."""
    known = true(exposure)
    rng = stream(exposure.seed, "references")
    seed = int(rng.integers(2**31))
    level, read_noise = _from_darks(exposure, seed, rng)
    dark_error = _dark_error(exposure, known)
    scatter = rng.standard_normal(known.flat.shape)
    bend = 1.0 + LINEARITY_ERROR * rng.standard_normal(known.flat.shape)
    linearity = known.linearity.astype(float)
    linearity[2:] *= bend
    missed = (rng.random(known.flat.shape) < MISSED) & exposure.setup.science
    values = {
        "gain": known.gain * (1.0 + GAIN_ERROR * rng.standard_normal()),
        "superbias": known.superbias + level,
        "superbias_error": _spread(exposure) / math.sqrt(N_DARKS),
        "saturation": known.saturation,
        "read_noise": read_noise,
        "flat": known.flat * (1.0 + FLAT_ERROR * scatter),
        "flat_error": FLAT_ERROR * known.flat,
        "dark": known.dark + dark_error * rng.standard_normal(known.dark.shape),
        "dark_error": dark_error,
        "linearity": linearity,
    }
    return Calibration(
        **{name: value.astype(np.float32) for name, value in values.items()},
        dq=np.where(missed, np.uint32(0), known.dq).astype(np.uint32),
    )


def _from_darks(
    exposure: Exposure, seed: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the error of the superbias and the measured read noise, (y, x) DN.

    One dark is in memory at a time. What does not change between the two groups, kTC, enters
    the level only.
    """
    darks = exposure.replace(seed=seed, n_integrations=N_DARKS, n_groups=2, read_pattern=None)
    electronics, shape = Electronics(darks), exposure.setup.shape
    white, reset = exposure.maps.read_noise, np.float32(_reset(exposure))
    level, change, square = (np.zeros(shape) for _ in range(3))
    for index in range(N_DARKS):
        pair = white * rng.standard_normal((2, *shape), dtype=np.float32)
        if electronics:
            pair += electronics.groups(index)
        difference = pair[1] - pair[0]
        level += pair[0] + reset * rng.standard_normal(shape, dtype=np.float32)
        change += difference
        square += difference**2
    variance = (square - change**2 / N_DARKS) / (N_DARKS - 1)
    return level / N_DARKS, np.sqrt(variance)


def _reset(exposure: Exposure) -> float:
    return exposure.setup.electronics.reset if "ktc" in exposure.sources else 0.0


def _spread(exposure: Exposure) -> np.ndarray:
    """Return the noise of one dark's first group, (y, x) DN."""
    levels, on = exposure.setup.electronics, exposure.sources
    common = _reset(exposure) ** 2
    common += levels.one_over_f**2 * ("one_over_f" in on) + levels.pedestal**2 * ("pedestal" in on)
    return np.sqrt(exposure.maps.read_noise.astype(float) ** 2 + common)


def _dark_error(exposure: Exposure, known: Calibration) -> np.ndarray:
    white = 0.5 * known.read_noise.astype(float) ** 2 / exposure.clock.n_frames
    poisson = known.dark / known.gain
    return np.sqrt((white + poisson) / N_DARKS) * exposure.setup.science
