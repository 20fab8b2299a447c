"""Tiles of lines that lie side by side in memory: models of their pixels, rows that are used."""

# ruff: noqa: ANN001, ANN202 -- numba

from __future__ import annotations

import numpy as np

from tsoxr.kernels.compiling import kernel
from tsoxr.kernels.medians import HUGE

__all__ = ["NARROW", "WIDE", "in_tiles", "lanes_of", "tile_rows"]

WIDE, NARROW = 128, 32
"""Lines done side by side: with few pixels each, and with many (the cache holds either)."""


@kernel()
def _fill_model(layers, out):
    for f in range(layers.shape[1]):
        for s in range(layers.shape[2]):
            a, b, c = layers[0, f, s], layers[1, f, s], layers[2, f, s]
            used = layers[3, f, s] > 0 and np.isfinite(a) and np.isfinite(b) and np.isfinite(c)
            out[0, f, s] = a if used else -HUGE
            out[1, f, s] = b if used else np.float32(0.0)
            out[2, f, s] = c if used else np.float32(0.0)


def lanes_of(layers: np.ndarray) -> np.ndarray:
    """Return ``layers`` (start, rise, wing, usable; fast, slow) with pixels of no use as huge.

    The model of such a pixel is -3e38, so that its residual is, too, and no mask is needed.
    """
    out = np.empty((3, *layers.shape[1:]), np.float32)
    _fill_model(layers, out)
    return out


@kernel()
def _find_rows(model, edges, width, rows, n_rows, count):
    n_fast, n_slow = model.shape[1:]
    for o in range(edges.size - 1):
        for f in range(edges[o], min(edges[o + 1], n_fast)):
            for tile in range(rows.shape[0]):
                seen = np.int32(0)
                for w in range(min(width, n_slow - tile * width)):
                    s = np.uint64(tile * width + w)
                    used = np.int32(model[0, f, s] > -HUGE)
                    count[o, s] += used
                    seen = np.int32(seen + used)
                if seen > 0:
                    rows[tile, o, n_rows[tile, o]] = f
                    n_rows[tile, o] += 1


def tile_rows(
    model: np.ndarray, edges: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows with a usable pixel in each tile, (tile, output, fast); their number; counts.

    ``model`` from `lanes_of`; counts (tile, output, lane) of usable pixels of a line.
    """
    n_fast, n_slow = model.shape[1:]
    lines = (-(-n_slow // width), edges.size - 1)
    rows, n_rows = np.zeros((*lines, n_fast), np.int32), np.zeros(lines, np.int64)
    count = np.zeros((edges.size - 1, n_slow), np.int32)
    _find_rows(model, edges, width, rows, n_rows, count)
    return rows, n_rows, in_tiles(count, width)


def in_tiles(values: np.ndarray, width: int) -> np.ndarray:
    """Return ``values`` (k, slow) as (tile, k, lane), filled up with 0."""
    n = -values.shape[1] % width
    padded = np.pad(values, ((0, 0), (0, n))).reshape(len(values), -1, width)
    return np.ascontiguousarray(padded.swapaxes(0, 1))
