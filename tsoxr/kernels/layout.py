"""Cubes as kernels want them: in one order of memory, whatever part or turn of a cube is given.

A kernel is compiled for each layout of its arrays. A window of a cube, or a cube with its axes turned,
is therefore copied, some rows or integrations at a time; a cube that lies in memory as its axes say is
never copied.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["row_blocks", "time_blocks"]

SIZE = 16
"""Rows or integrations that are copied at a time: float32 in one line of the processor's cache."""


def row_blocks(*cubes: np.ndarray) -> Iterator[tuple[slice, tuple[np.ndarray, ...]]]:
    """Yield slices of rows and the cubes, (time, y, ...), cut to them, in the order of memory.

    Examples
    --------
    >>> cube = np.zeros((3, 20, 4))
    >>> [rows for rows, _ in row_blocks(cube)]
    [slice(0, 20, None)]
    >>> [part.shape for _, (part,) in row_blocks(cube[:, :, 1:])]
    [(3, 16, 3), (3, 4, 3)]
    """
    return _blocks(cubes, 1)


def time_blocks(*cubes: np.ndarray) -> Iterator[tuple[slice, tuple[np.ndarray, ...]]]:
    """Yield slices of integrations and the cubes, (time, ...), cut to them, in the order of memory."""
    return _blocks(cubes, 0)


def _blocks(
    cubes: tuple[np.ndarray, ...], axis: int
) -> Iterator[tuple[slice, tuple[np.ndarray, ...]]]:
    n = cubes[0].shape[axis]
    if all(cube.flags.c_contiguous for cube in cubes):
        yield slice(0, n), cubes
        return
    for first in range(0, n, SIZE):
        part = slice(first, min(first + SIZE, n))
        yield (
            part,
            tuple(np.ascontiguousarray(cube[(slice(None),) * axis + (part,)]) for cube in cubes),
        )
