"""A real median frame as the scene of simulated exposures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import tsoxr

__all__ = ["REAL", "real_scene"]

REAL = "nirspec-prism, real frame"
"""Name of the case."""

FILE = Path("formats") / "eureka_stage3_nirspec_prism_jw06456_SpecData.h5"
"""A median frame of programme 6456, electrons per integration, in the folder ``TSOXR_DATA``."""

LEVEL = 2.5e4
"""Light of its brightest pixel in one integration as simulated, DN; as taken it would saturate."""


def real_scene() -> dict[str, Any]:
    """Return the parameters of an exposure that reads out the real frame."""
    with h5py.File(Path(os.environ["TSOXR_DATA"]) / FILE) as file:
        frame = np.nan_to_num(file["medflux"][:])
    plain = tsoxr.simulation.exposure("nirspec-prism", n_integrations=1, n_groups=5)
    span = (plain.n_groups - 1) * plain.clock.group_interval
    whole = np.zeros(plain.setup.shape)
    whole[: frame.shape[0], : frame.shape[1]] = frame * LEVEL / frame.max() / span
    return {"n_groups": plain.n_groups, "frame": np.where(plain.setup.science, whole, 0.0)}
