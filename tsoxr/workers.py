"""Threads that lazy data are computed in, and the memory that they hand back."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tsoxr.options import OPTIONS

__all__ = ["hand_back_memory", "in_this_process", "scheduler", "workers"]


@contextmanager
def workers(**given: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of threads, and what tells dask to use them; they end with the context.

    The threads of dask's own pool go on with what they have begun when the main thread is
    interrupted, and would write into a file that is closed.
    """
    from concurrent.futures import ThreadPoolExecutor

    import dask
    import dask.local
    from dask.base import get_scheduler
    from dask.system import CPU_COUNT

    if get_scheduler(scheduler=given.get("scheduler")) is dask.local.get_sync:
        yield 1, given
        return
    n = given.get("num_workers") or dask.config.get("num_workers", None) or CPU_COUNT
    pool = ThreadPoolExecutor(n, thread_name_prefix="tsoxr")
    try:
        yield n, {"scheduler": "threads", "pool": pool}
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def scheduler() -> dict[str, Any]:
    """Return what `dask.compute` has to be told about threads."""
    return (
        {} if OPTIONS.threads is None else {"scheduler": "threads", "num_workers": OPTIONS.threads}
    )


def in_this_process() -> bool:
    """Return True where tasks run in threads of this process, and can fill an array of ours."""
    import dask.local
    import dask.threaded
    from dask.base import get_scheduler

    known = (None, dask.threaded.get, dask.local.get_sync)
    return OPTIONS.threads is not None or get_scheduler() in known


@functools.cache
def hand_back_memory() -> bool:
    """Tell glibc to keep freed blocks for the threads together, and at most 64 MB of them.

    Its own rule lets each thread keep freed blocks of up to 32 MB for itself, which is the
    size of our chunks: a chain over raw ramps then holds twice the memory that it uses. With none
    kept, the system clears every new chunk, under a lock: that was a quarter of the time.
    Elsewhere there is nothing to tell, and nothing is done.
    """
    import ctypes
    import platform

    if platform.libc_ver()[0] != "glibc":
        return False
    trim_threshold, mmap_threshold, arena_max = -1, -3, -8  # M_... of malloc.h
    told = ((arena_max, 1), (mmap_threshold, 32 << 20), (trim_threshold, 64 << 20))
    libc = ctypes.CDLL(None)
    return all(libc.mallopt(name, value) for name, value in told)
