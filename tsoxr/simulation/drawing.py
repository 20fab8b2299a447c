"""Raw ramps of many integrations: drawn now, or by dask block by block.

An integration has random numbers of its own, so the values do not depend on the blocks, on
their order or on the number of threads.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from tsoxr.simulation.electronics import Electronics
from tsoxr.simulation.ramp import digitize, draw_integration

if TYPE_CHECKING:
    from tsoxr.simulation.builder import Exposure

__all__ = ["block", "lazy_ramps", "ramp_dtype"]


def ramp_dtype(exposure: Exposure) -> np.dtype:
    """Return the type of the ramps: uint16, float32 without quantization."""
    return np.dtype(np.uint16 if "quantization" in exposure.sources else np.float32)


def block(exposure: Exposure, electronics: Electronics, first: int, last: int) -> np.ndarray:
    """Draw the integrations from ``first`` to ``last``, counted from 0, the last excluded.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    electronics : Electronics
        Made once for the exposure.
    first, last : int
        Which integrations.

    Returns
    -------
    (time, group, y, x)
        DN, of the type of `ramp_dtype`.
    """
    shape = (last - first, exposure.n_groups, *exposure.setup.shape)
    data = np.empty(shape, dtype=ramp_dtype(exposure))
    for index in range(first, last):  # each integration has generators of its own
        signal = draw_integration(exposure, electronics, index)
        if data.dtype == np.uint16:
            digitize(signal, data[index - first])
        else:
            data[index - first] = signal
    return data


def lazy_ramps(exposure: Exposure, chunks: int) -> tuple[Any, Any]:
    """Return ramps and their flags as dask arrays.

    Parameters
    ----------
    exposure : Exposure
        What is simulated.
    chunks : int
        Integrations in a block.

    Returns
    -------
    ramps : (time, group, y, x)
        DN; equal exposures have equal names, so that dask knows them as the same.
    flags : (time, group, y, x) uint8
        Zeros.

    Raises
    ------
    ValueError
        For chunks that are no whole number of integrations, at least 1.
    """
    import dask.array as da
    from dask.base import tokenize

    if not (np.isreal(chunks) and chunks >= 1 and chunks == int(chunks)):
        raise ValueError(
            f"simulate: chunks is {chunks}; it must be a whole number of integrations, at least 1"
        )
    shape = (exposure.n_integrations, exposure.n_groups, *exposure.setup.shape)
    sizes = da.core.normalize_chunks((int(chunks), -1, -1, -1), shape)
    dtype = ramp_dtype(exposure)
    token = tokenize([(f.name, getattr(exposure, f.name)) for f in fields(exposure)], sizes)

    electronics = Electronics(exposure)

    def drawn(block_info: dict[Any, Any]) -> np.ndarray:
        first, last = block_info[None]["array-location"][0]
        return block(exposure, electronics, first, last)

    data = da.map_blocks(
        drawn,
        name=f"simulated-ramps-{token}",
        chunks=sizes,
        dtype=dtype,
        meta=np.empty((0, 0, 0, 0), dtype),
    )
    return data, da.zeros(shape, chunks=sizes, dtype=np.uint8)
