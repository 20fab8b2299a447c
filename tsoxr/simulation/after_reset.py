"""Signals that the reset leaves behind; their levels are indicative.

The reset artefact of NIRSpec and NIRISS is a row of raised signal that moves down by one row
each integration. Published reductions mask three rows of SUBSTRIP256, 256 - n to 258 - n in
integration n (from 1), up to n = 256; in NIRSpec it lasts to integration 62 (high-resolution
gratings on NRS1), 58 (on NRS2), 81 (medium resolution) and 68 (PRISM). Taken as the same
motion, the row is ``last + 1 - n``, and enters at the upper edge of the 32 rows of NIRSpec 31
integrations before that. (With the first rows of their subarrays, 963, 946 and 959, the three
of NRS1 then set out from row 1025 to 1027, the middle of the detector. That the row moves
down on NRS2 as well is a guess.) Its height decays with the frames since the reset. No height
has been published; neighbouring rows get 0.3 of it.

The reset anomaly of MIRI decays over the first 15 frames of an integration, here as two
exponentials, is larger in the first integration, and differs between odd and even rows. The
first frame is offset as a whole. In the last one every second row is pulled down, as the
rows are reset in pairs while it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tsoxr.simulation.sampling import Samples

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["LAST_INTEGRATION", "ResetAnomaly", "ResetArtifact", "artifact_row"]

LAST_INTEGRATION = {
    ("nirspec-prism", "NRS1"): 68,
    ("nirspec-g395h", "NRS1"): 62,
    ("nirspec-g395h", "NRS2"): 58,
    ("nirspec-g395m", "NRS1"): 81,
    ("nirspec-g395m", "NRS2"): 81,
    ("niriss-soss", "NIS"): 256,
}
"""Last integration, from 1, that the reset artefact reaches."""

ROWS_BELOW = {"SUBSTRIP96": 10, "SUB512S": 8}
"""Rows of the full height that a shorter subarray leaves out at the bottom."""

ARTIFACT_MEMORY = 2.0
ARTIFACT_ROWS = ((-1, 0.3), (0, 1.0), (1, 0.3))

ANOMALY = ((0.7, 1.5), (0.3, 5.0))
"""Share and decay, frames, of the exponentials."""
FIRST_INTEGRATION = 1.5
EVEN_ROWS = 0.7


def artifact_row(exposure: Exposure, index: int) -> int | None:
    """Return the row of the reset artefact in an integration (from 0), None where it has none.

    The row may lie outside the subarray.
    """
    setup = exposure.setup
    last = LAST_INTEGRATION.get((setup.mode, setup.detector))
    if last is None or index >= last:
        return None
    return last - index - ROWS_BELOW.get(setup.subarray, 0)


class ResetArtifact:
    """The row of raised signal that moves with the integrations."""

    def __init__(self, exposure: Exposure) -> None:
        self._exposure = exposure
        self._level = exposure.setup.electronics.reset_artifact

    def __bool__(self) -> bool:
        """Return True when there is such a signal."""
        return self._level > 0 and artifact_row(self._exposure, 0) is not None

    def frames(self, index: int, samples: Samples) -> Iterator[np.ndarray]:
        """Yield the signal in each read, (y, 1) float32 DN."""
        shape = np.zeros((samples.ticks.shape[0], 1), dtype=np.float32)
        row = artifact_row(self._exposure, index)
        if row is not None:
            for away, share in ARTIFACT_ROWS:
                shape[max(row + away, 0) : max(row + away + 1, 0)] = self._level * share
        for frame in self._exposure.clock.read_frame:
            yield shape * np.float32(np.exp(-(frame - 1) / ARTIFACT_MEMORY))


class ResetAnomaly:
    """Signal that decays after each reset; effects of the first and the last frame."""

    def __init__(self, exposure: Exposure) -> None:
        levels = exposure.setup.electronics
        self._clock = exposure.clock
        self._decaying, self._first = levels.reset_anomaly, levels.first_frame
        self._last = levels.last_frame

    def __bool__(self) -> bool:
        """Return True when there is such a signal."""
        return self._decaying + self._first + self._last > 0

    def frames(self, index: int, samples: Samples) -> Iterator[np.ndarray]:
        """Yield the signal in each read, (y, 1) float32 DN."""
        odd = (np.arange(samples.ticks.shape[0]) % 2 == 1)[:, None]
        level = self._decaying * (FIRST_INTEGRATION if index == 0 else 1.0)
        for frame in self._clock.read_frame:
            decay = sum(share * np.exp(-(frame - 1) / memory) for share, memory in ANOMALY)
            out = level * decay * np.where(odd, 1.0, EVEN_ROWS)
            if frame == 1:
                out = out + self._first
            if frame == self._clock.frames_per_integration:
                out = out - self._last * odd
            yield out.astype(np.float32)
