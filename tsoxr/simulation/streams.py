"""Random streams that do not depend on how an exposure is cut into pieces.

Every source of noise and every integration has a generator of its own, seeded through
`numpy.random.SeedSequence`. An integration is therefore the same whether it is drawn alone,
in a chunk or in a segment, and switching off one source leaves the others as they were.
"""

from __future__ import annotations

import numpy as np

__all__ = ["STREAMS", "stream"]

STREAMS = (
    "detector",
    "pointing",
    "hits",
    "drift",
    "photon",
    "one_over_f",
    "pedestal",
    "read",
    "reset",
    "rates",
    "spectra",
    "hit_numbers",
    "snowballs",
    "telegraph_pixels",
    "dwell",
    "telegraph",
    "odd_even",
    "odd_even_drift",
    "odd_even_offset",
    "interference",
    "reference_output",
    "read_jitter",
    "roll",
    "antenna",
    "references",
)
"""Names of the streams; their order is part of the seed, so new ones go to the end."""


def stream(seed: int, name: str, index: int = 0) -> np.random.Generator:
    """Return the generator of one source in one integration.

    Parameters
    ----------
    seed : int
        Seed of the exposure.
    name : str
        One of `STREAMS`.
    index : int
        Integration, from 0; 0 too for what the exposure has once.
    """
    key = (STREAMS.index(name), index)
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=key)))
