"""Levels of the outputs that wander: pedestals, 1/f noise, odd and even columns.

Each output has 1/f noise of its own and a part of one that all outputs share, of variances
``1 - c`` and ``c``: c is the correlation of two outputs at the same tick. Outputs that read
their blocks in opposite directions mirror the common part.

Pixels whose column (near infrared: along a line; MIRI: whose row) is even or odd on the
detector pass through different halves of an output. Each half has further 1/f noise, one
sample for every two ticks, and a constant offset (the alternating noise of Rauscher 2015,
PASP 127, 1144).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from tsoxr.simulation.pink import PinkNoise, Reader, amplitude, block_length
from tsoxr.simulation.sampling import Samples, first_tick, ticks_of_integration
from tsoxr.simulation.streams import stream

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["OddEven", "OneOverF", "Pedestal"]

LANES = 16
"""Sequences that a stream has room for."""

COMMON = 0
"""Lane of the noise that outputs share; those of the outputs follow."""


def _generators(seed: int, names: tuple[str, str], lane: int) -> Callable:
    """Return what gives the generator of each block of one sequence."""
    blocks, slow = names

    def generator(number: int) -> np.random.Generator:
        if number < 0:
            return stream(seed, slow, lane)
        return stream(seed, blocks, LANES * number + lane)

    return generator


class Pedestal:
    """An offset of each frame and output."""

    def __init__(self, exposure: Exposure) -> None:
        self._exposure = exposure
        self._level = np.float32(exposure.setup.electronics.pedestal)

    def __bool__(self) -> bool:
        """Return True when there is such noise."""
        return bool(self._level > 0)

    def frames(self, index: int, samples: Samples) -> Iterator[np.ndarray]:
        """Yield the offsets in each read, (y, x) float32 DN."""
        exposure = self._exposure
        rng = stream(exposure.seed, "pedestal", index)
        for _ in exposure.clock.read_frame:
            level = rng.standard_normal(exposure.setup.readout.n_outputs + 1, dtype=np.float32)
            yield (self._level * level)[samples.outputs]


class OneOverF:
    """1/f noise of the outputs."""

    def __init__(self, exposure: Exposure) -> None:
        levels, readout = exposure.setup.electronics, exposure.setup.readout
        self._clock, n_outputs = exposure.clock, readout.n_outputs
        self._scale = amplitude(levels.one_over_f, readout.frame_clocks)
        shared = levels.one_over_f_common if n_outputs > 1 else 0.0
        n_ticks = ticks_of_integration(self._clock)
        names = ("one_over_f", "drift")

        def lane(number: int, share: float) -> PinkNoise | None:
            if share * self._scale == 0.0:
                return None
            return PinkNoise(
                np.sqrt(share) * self._scale,
                n_ticks * self._clock.n_integrations,
                block_length(n_ticks),
                _generators(exposure.seed, names, number),
            )

        self._common = lane(COMMON, shared)
        n_lanes = n_outputs + readout.interleaved  # MIRI's reference output comes last
        self._own = [lane(1 + output, 1.0 - shared) for output in range(n_lanes)]

    def __bool__(self) -> bool:
        """Return True when there is such noise."""
        return bool(self._scale > 0)

    def frames(self, index: int, samples: Samples) -> Iterator[np.ndarray]:
        """Yield the noise of each read, (y, x) float32 DN."""
        n_ticks = self._clock.readout.frame_clocks
        common = Reader(self._common) if self._common else None
        own = [Reader(lane) if lane else None for lane in self._own]
        where = samples.where(n_ticks)
        for frame in self._clock.read_frame:
            start = first_tick(self._clock, index, int(frame))
            stop = start + n_ticks
            ticks = np.zeros((len(samples.used), n_ticks), dtype=np.float32)
            if common is not None:
                ticks += common.cut(start, stop)
            for row, output in enumerate(samples.used):
                reader = own[output]
                if reader is not None:
                    ticks[row] += reader.cut(start, stop)
            yield ticks.take(where)


class OddEven:
    """Noise and offsets of the odd and of the even columns (of the rows of MIRI)."""

    def __init__(self, exposure: Exposure) -> None:
        levels, readout = exposure.setup.electronics, exposure.setup.readout
        self._clock, self._n_outputs = exposure.clock, readout.n_outputs
        self._dim = readout.slow_dim if readout.interleaved else readout.fast_dim
        n_samples = ticks_of_integration(self._clock) // 2
        names = ("odd_even", "odd_even_drift")
        self._lanes = [
            PinkNoise(
                amplitude(levels.odd_even, readout.frame_clocks // 2),
                (n_samples + 1) * self._clock.n_integrations,
                block_length(n_samples),
                _generators(exposure.seed, names, lane),
            )
            for lane in range(2 * self._n_outputs)
        ]
        rng = stream(exposure.seed, "odd_even_offset")
        half = np.float32(0.5 * levels.odd_even_offset)
        offset = half * rng.standard_normal((self._n_outputs, 1), dtype=np.float32)
        self._offset = (offset * np.array([1.0, -1.0], dtype=np.float32)).ravel()
        self._on = levels.odd_even + levels.odd_even_offset > 0

    def __bool__(self) -> bool:
        """Return True when there is such noise."""
        return bool(self._on)

    def frames(self, index: int, samples: Samples) -> Iterator[np.ndarray]:
        """Yield noise and offset of each read, (y, x) float32 DN."""
        n_y, n_x = samples.ticks.shape
        odd = (np.arange(n_y)[:, None] if self._dim == "y" else np.arange(n_x)) % 2
        n_ticks = self._clock.readout.frame_clocks
        n_half = n_ticks // 2 + 1
        lane = 2 * samples.outputs + odd
        readers = [Reader(each) for each in self._lanes]
        for frame in self._clock.read_frame:
            start = first_tick(self._clock, index, int(frame))
            first = start // 2
            values = np.stack([r.cut(first, first + n_half) for r in readers])
            values += self._offset[:, None]
            yield values.take(lane * n_half + (start % 2 + samples.ticks) // 2)
