"""What the read-out electronics add to a frame, in the order of the clock.

Pixels do not matter here: every term is a level of an output, a line or a moment of the
clock. Each term is a class whose ``frames`` yields one image per read of an integration;
`Electronics` adds up those that an exposure has switched on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tsoxr.simulation.after_reset import ResetAnomaly, ResetArtifact
from tsoxr.simulation.interference import Interference
from tsoxr.simulation.levels import OddEven, OneOverF, Pedestal
from tsoxr.simulation.sampling import Samples, of_pixels, of_reference_output
from tsoxr.simulation.streams import stream

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["Electronics"]


class Term(Protocol):
    """An additive signal; it is False where its levels are zero."""

    def __init__(self, exposure: Exposure) -> None: ...

    def __bool__(self) -> bool: ...

    def frames(self, index: int, samples: Samples) -> Iterator[np.ndarray]:
        """Yield what is added to each read, float32 DN, in a shape that fits the samples."""


TERMS: dict[str, type[Term]] = {
    "pedestal": Pedestal,
    "one_over_f": OneOverF,
    "odd_even": OddEven,
    "reset_artifact": ResetArtifact,
    "emi": Interference,
    "reset_anomaly": ResetAnomaly,
}
"""Source of noise and what makes it."""

OF_ALL_OUTPUTS = ("pedestal", "one_over_f", "emi")
"""Terms that an output has without pixels, and so the reference output too."""


class Electronics:
    """Additive signals of the read-out that are common to many pixels.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    """

    def __init__(self, exposure: Exposure) -> None:
        self._exposure = exposure
        terms = {k: make(exposure) for k, make in TERMS.items() if k in exposure.sources}
        self._terms = {k: term for k, term in terms.items() if term}
        self._samples = of_pixels(exposure.setup.readout)

    def __bool__(self) -> bool:
        """Return True when there is such noise."""
        return bool(self._terms)

    def frames(self, index: int) -> Iterator[np.ndarray]:
        """Yield what is added to each read of one integration, (y, x) float32 DN."""
        yield from self._sum(index, self._samples, tuple(self._terms))

    def groups(self, index: int) -> np.ndarray:
        """Return what is added to each group of one integration, (group, y, x) float32 DN."""
        return self._averaged(self.frames(index), self._samples)

    def reference_output(self, index: int) -> np.ndarray:
        """Return what the reference output of MIRI reads in one integration.

        Returns
        -------
        (group, y, x / 4) float32
            DN: the level of the bias, and of the noise that is on its pedestal, its share of
            the common 1/f noise and one of its own, the interference, and white noise as the
            reference pixels have.
        """
        exposure, samples = self._exposure, of_reference_output(self._exposure.setup.readout)
        levels, on = exposure.setup.electronics, exposure.sources
        names = tuple(k for k in self._terms if k in OF_ALL_OUTPUTS)
        out = self._averaged(self._sum(index, samples, names), samples)
        if "read" in on:
            rng = stream(exposure.seed, "reference_output", index)
            level = levels.reference_noise * exposure.setup.constants.read_noise
            level /= np.sqrt(exposure.clock.n_frames)
            out += np.float32(level) * rng.standard_normal(out.shape, dtype=np.float32)
        if "bias" in on:
            out += np.float32(levels.bias)
        return out

    def _sum(self, index: int, samples: Samples, names: tuple[str, ...]) -> Iterator[np.ndarray]:
        parts = [self._terms[k].frames(index, samples) for k in names]
        for _ in self._exposure.clock.read_frame:
            out = np.zeros(samples.ticks.shape, dtype=np.float32)
            for part in parts:
                out += next(part)
            yield out

    def _averaged(self, frames: Iterator[np.ndarray], samples: Samples) -> np.ndarray:
        clock = self._exposure.clock
        out = np.zeros((clock.n_groups, *samples.ticks.shape), dtype=np.float32)
        for read, frame in enumerate(frames):
            out[read // clock.n_frames] += frame
        out /= np.float32(clock.n_frames)
        return out
