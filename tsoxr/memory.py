"""What a reduction will take of the memory, before it starts."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import xarray as xr

from tsoxr import schema
from tsoxr.lazy import is_lazy
from tsoxr.options import OPTIONS

__all__ = ["available", "estimate"]

GB = 1e9

WORKING_COPIES = 8.0
"""Chunks as float32 that a thread holds at the height of the detector level: the counts, flags,
results of the steps before and after, and what dask has ready for the next task."""

SAMPLE_BYTES = 3.0 * 256e6
"""Most that the sampled integrations take, with the differences and medians made of them."""

OVERHEAD = 0.1e9
"""Compiled code, the graph of tasks, buffers of files."""

N_SAMPLED = 32

SAMPLED_CHUNKS = 16
"""Most chunks that the sampled integrations lie in: each of the eight runs in one or two."""

KEPT_COPIES = 1.5
"""Of a chunk as float32: the counts and the flags of two steps."""

RATE_BYTES = 12
"""Of each pixel and integration: ``rate``, ``rate_error`` and ``dq``."""


def estimate(ds: xr.Dataset) -> pd.DataFrame:
    """Return what is in memory and what the next stage of the reduction will add, GB.

    Parameters
    ----------
    ds : xarray.Dataset
        Ramps or rates, lazy or not; other products fit into memory and are listed as they are.

    Returns
    -------
    pandas.DataFrame
        Index ``part``, columns ``GB`` (1e9 bytes) and ``what``. See `TsoAccessor.estimate_memory`.
    """
    rows = [("data", _nbytes(ds, lazy=True), "lazy variables, on disk and not in memory"),
            ("loaded", _nbytes(ds, lazy=False), "variables in memory now")]  # fmt: skip
    kind = schema.kind_of(ds)
    name = {"ramps": "ramp", "rates": "rate"}.get(str(kind))
    if name in ds:
        rows += _rows(ds, ds[name], kind == "ramps")
    free = available()
    if free is not None:
        rows.append(("available", free, "memory of this machine that is free"))
    table = pd.DataFrame(rows, columns=["part", "GB", "what"]).set_index("part")
    table["GB"] = (table["GB"] / GB).round(3)
    return table


def _rows(ds: xr.Dataset, cube: xr.DataArray, ramps: bool) -> list[tuple[str, float, str]]:
    """Return the parts of a pass over a cube and their sum."""
    threads = _threads()
    frame = ds.sizes["y"] * ds.sizes["x"]
    one = 4.0 * frame * ds.sizes.get("group", 1)  # an integration as float32
    sample = min(min(N_SAMPLED, ds.sizes["time"]) * one * 3.0, max(SAMPLE_BYTES, 8 * one * 3.0))
    if is_lazy(cube):
        sizes = cube.chunksizes["time"]
        chunk = one * max(sizes)
        working = WORKING_COPIES * chunk * min(threads, len(sizes))
        what = f"chunks of {chunk / 1e6:.0f} MB at work in {threads} threads"
        kept = min(1e6 * OPTIONS.reuse_mb, KEPT_COPIES * chunk * min(len(sizes), SAMPLED_CHUNKS))
    else:
        kept = 0.0
        working, what = 2.0 * one * ds.sizes["time"], "each step makes a new cube of float32"
    rates = float(RATE_BYTES * frame * ds.sizes["time"]) if ramps else 0.0
    rows = [("sample", sample, "integrations looked at for what is static"),
            ("kept", kept, "chunks that one such look leaves to the next (reuse_mb)"),
            ("working", working, what)]  # fmt: skip
    height = max(sample, working) + kept + OVERHEAD
    if not ramps:
        return [*rows, ("peak", height, "added at the height of a pass")]
    return [
        *rows,
        ("rates", rates, "what fit_ramps() returns, in memory"),
        ("peak", height + rates, "added at the height of the detector level"),
        ("peak, lazy rates", height, "the same with fit_ramps(compute=False)"),
    ]


def _nbytes(ds: xr.Dataset, *, lazy: bool) -> float:
    return float(sum(v.nbytes for v in ds.variables.values() if (v.chunks is not None) == lazy))


def _threads() -> int:
    return OPTIONS.threads or os.cpu_count() or 1


def available() -> float | None:
    """Return the bytes of memory that are free, None where the system does not tell.

    Linux tells in ``/proc/meminfo``; a limit of the control group (containers, batch systems)
    counts where it is smaller.
    """
    try:
        with Path("/proc/meminfo").open() as lines:
            free = next(1024.0 * int(s.split()[1]) for s in lines if s.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None
    limits = [_number("/sys/fs/cgroup/memory.max"), _number("/sys/fs/cgroup/memory.current")]
    if limits[0] is not None and limits[1] is not None:
        free = min(free, max(limits[0] - limits[1], 0.0))
    return free


def _number(path: str) -> float | None:
    try:
        return float(Path(path).read_text())
    except (OSError, ValueError):  # "max" stands for no limit
        return None
