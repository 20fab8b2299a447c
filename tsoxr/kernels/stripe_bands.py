r"""Bands of cosines on the clock: which frequencies are fitted at once, and their prior.

The lowest band spans the whole frame. Each further one has sections shorter by a factor of at
most eight and the same number of cosines, up to the highest frequency. The shares of
neighbouring bands cross over as half a cosine and add up to one, so that each frequency has
its power once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tsoxr.kernels.stripe_clock import FREE

__all__ = ["Band", "Level", "alternating_level", "check_band", "levels_of"]

PER_PERIOD = 16
"""Means in the shortest period of a band; they weaken it by 0.6 %."""

NARROWER = 8.0
"""How much shorter the sections of a band may be than those of the band below."""

ABOVE = np.log(PER_PERIOD / np.pi) + 1.5 - np.euler_gamma
"""Variance of a mean from noise above its band: A^2/f times sinc^2, integrated, over A^2."""


class Band(NamedTuple):
    """What is fitted.

    Attributes
    ----------
    amplitude : float
        A of the density A^2/f, DN. Infinite: no prior, plain least squares.
    cutoff, roll_off : float
        Frequency at which the model has half its power, and the width of the cosine in which
        it falls from all to none, Hz.
    alternating : float
        Standard deviation of half the difference of even and odd ticks, DN. It may vary at
        frequencies up to ``alternating_width`` (Hz): the band below Nyquist's. 0: none.
    n_terms : int
        Cosines that are fitted at once.
    tick_time : float
        Time between two ticks, s.
    """

    amplitude: float
    cutoff: float = 1136.0
    roll_off: float = 150.0
    alternating: float = 0.0
    alternating_width: float = 57.0
    n_terms: int = 128
    tick_time: float = 1e-5

    @property
    def top(self) -> float:
        """Highest frequency that is fitted, cycles per tick."""
        return min((self.cutoff + 0.5 * self.roll_off) * self.tick_time, 0.5)


class Level(NamedTuple):
    """One band: its cosines ``k``, their prior deviations, length of a section and of a mean.

    Means of all bands are whole numbers of those of the highest; sections, but for that of the
    lowest band, are even numbers of means.
    """

    k: np.ndarray
    deviation: np.ndarray
    length: float
    width: int
    above: float
    with_prior: bool

    def basis(self, tick: np.ndarray, origin: float) -> np.ndarray:
        """Return each pixel's scaled cosines, (pixel, term) float64."""
        phase = (np.pi / self.length) * (tick - origin + 0.5)
        out = phase[:, None] * self.k
        np.cos(out, out=out)
        out *= self.deviation
        return out


def _fall(frequency: np.ndarray, start: float, stop: float) -> np.ndarray:
    """Return 1 below ``start``, 0 above ``stop``, half a cosine between."""
    part = np.clip((frequency - start) / max(stop - start, 1e-12), 0.0, 1.0)
    return 0.5 + 0.5 * np.cos(np.pi * part)


def levels_of(band: Band, n_ticks: int) -> list[Level]:
    """Return the bands from low to high frequencies."""
    ratio = 2.0 * band.top * n_ticks / band.n_terms
    n_more = max(int(np.ceil(np.log(max(ratio, 1.0)) / np.log(NARROWER))), 0)
    step = ratio ** (1.0 / n_more) if n_more else 1.0
    finest = max(int(1.0 / (PER_PERIOD * band.top)), 1)
    found, below = [], 0.0
    for number in range(n_more + 1):
        length = n_ticks / step**number
        last = number == n_more
        stop = band.top if last else 0.5 * band.n_terms / length
        width = finest * max(int(1.0 / (PER_PERIOD * stop)) // finest, 1)
        if number:
            length = 2.0 * width * max(round(0.5 * length / width), 1)
        start = max(stop - band.roll_off * band.tick_time, 0.0) if last else 0.75 * stop
        k = np.arange(int(2.0 * stop * length) + 1)
        f = k / (2.0 * length)
        share = _fall(f, start, stop) - (_fall(f, 0.75 * below, below) if below else 0.0)
        found.append(_level(band, k, np.maximum(share, 0.0), length, width))
        below = stop
    return found


def _level(band: Band, k: np.ndarray, share: np.ndarray, length: float, width: int) -> Level:
    with_prior = bool(np.isfinite(band.amplitude))
    a2 = band.amplitude**2 if with_prior else 1.0
    each = 2.0 / np.maximum(k, 1) if with_prior else np.ones(k.size)
    variance = a2 * share * np.where(k > 0, each, FREE)
    kept = variance > 0
    above = ABOVE * a2 if with_prior and width > 1 else 0.0
    return Level(k[kept] * 1.0, np.sqrt(variance[kept]), length, width, above, with_prior)


def alternating_level(band: Band, n_ticks: int) -> Level:
    """Return the band of the differences of even and odd ticks: the same power everywhere."""
    n = max(int(2.0 * n_ticks * band.alternating_width * band.tick_time), 1)
    deviation = np.full(n, band.alternating / np.sqrt(n))
    width = max(int(n_ticks / (0.5 * PER_PERIOD * n)), 1)
    return Level(np.arange(n) * 1.0, deviation, float(n_ticks), width, 0.0, with_prior=True)


def check_band(band: Band) -> None:
    """Raise ValueError for numbers of a band that make no sense."""
    if not band.amplitude > 0:
        raise ValueError(
            f"clock_model: amplitude is {band.amplitude}; it must be positive, or infinite for "
            "no prior; without 1/f noise there is nothing to subtract"
        )
    for name in ("cutoff", "roll_off", "alternating_width", "n_terms", "tick_time"):
        value = getattr(band, name)
        if not value > 0:
            raise ValueError(
                f"clock_model: {name} is {value}; it must be positive; leave it out for the default"
            )
    if not band.alternating >= 0:
        raise ValueError(
            f"clock_model: alternating is {band.alternating}; it must not be negative; leave it "
            "out where even and odd columns do not differ"
        )
