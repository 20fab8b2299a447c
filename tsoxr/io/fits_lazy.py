"""Read the pixels of a FITS file block by block, in the machine's own byte order.

The bytes are read into a buffer and converted in place. A memory map would keep every page
that was touched, beside the converted copy, so a pass over a large file would grow with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tsoxr.errors import SchemaError
from tsoxr.streaming import register_source

__all__ = ["FitsArray", "integrations_per_chunk", "lazy"]

_SIGN_BIT = {(16, 2.0**15): np.uint16(1 << 15), (32, 2.0**31): np.uint32(1 << 31)}
"""FITS has no unsigned 16 and 32 bit integers: they are stored with the sign bit flipped."""

_STORED = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


@dataclass(frozen=True)
class FitsArray:
    """One image extension on disk; indexing it reads what is asked for and no more.

    Parameters
    ----------
    path : str
        The FITS file.
    offset : int
        Byte at which the pixels begin.
    shape : tuple of int
        Shape in numpy's order.
    bitpix : int
        Type of the stored values, as in FITS.
    bzero, bscale : float
        Value = bzero + bscale * stored.
    modified : int
        Time stamp of the file, ns: part of the identity of lazy data.
    """

    path: str
    offset: int
    shape: tuple[int, ...]
    bitpix: int
    bzero: float = 0.0
    bscale: float = 1.0
    modified: int = 0

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values that reading returns, native byte order."""
        flip = _SIGN_BIT.get((self.bitpix, self.bzero)) if self.bscale == 1 else None
        if flip is not None:
            return flip.dtype
        if self.bzero == 0 and self.bscale == 1:
            return np.dtype(_STORED[self.bitpix]).newbyteorder("=")
        return np.dtype("float32" if abs(self.bitpix) <= 16 else "float64")

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        """Return what makes two arrays the same: file, place in it, time stamp."""
        return (type(self).__name__, self.path, self.offset, self.shape, self.modified)

    def read(self) -> np.ndarray:
        """Return the whole array."""
        if self.ndim == 0:
            raise SchemaError(f"{Path(self.path).name}: the extension holds no pixels")
        return self[(slice(None),) * self.ndim]

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read what is asked for; leading axes are not read beyond the range they need."""
        key = key if isinstance(key, tuple) else (key,)
        first, *rest = key
        rest = [*rest, *[slice(None)] * (self.ndim - len(key))]
        rows = _rows(first, self.shape[0])
        planes, within = _planes(rest[0], self.shape[1]) if rest else (range(1), None)
        if rows.step == 1 and len(planes) == (self.shape[1] if rest else 1):
            block, chosen = self._contiguous(rows), rest
        else:
            block, chosen = self._scattered(rows, planes), [within, *rest[1:]]
        selection = (0 if isinstance(first, int | np.integer) else slice(None), *chosen)
        out = block[selection]
        return out if out.size == block.size else out.copy()

    def _contiguous(self, rows: range) -> np.ndarray:
        row = math.prod(self.shape[1:])
        with Path(self.path).open("rb") as stream:
            raw = self._stored(stream, rows.start * row, len(rows) * row)
        return self._converted(raw).reshape(len(rows), *self.shape[1:])

    def _scattered(self, rows: range, planes: range) -> np.ndarray:
        """Read part of each row: ``planes`` of its first axis."""
        plane = math.prod(self.shape[2:])
        count = len(planes) * plane
        raw = np.empty((len(rows), count), _STORED[self.bitpix])
        with Path(self.path).open("rb") as stream:
            for i, row in enumerate(rows):
                raw[i] = self._stored(stream, (row * self.shape[1] + planes.start) * plane, count)
        return self._converted(raw).reshape(len(rows), len(planes), *self.shape[2:])

    def _stored(self, stream: Any, start: int, count: int) -> np.ndarray:
        dtype = np.dtype(_STORED[self.bitpix])
        stream.seek(self.offset + start * dtype.itemsize)
        raw = np.fromfile(stream, dtype, count)
        if raw.size != count:
            raise SchemaError(
                f"{Path(self.path).name}: ends {(count - raw.size) * dtype.itemsize} bytes before the "
                "pixels do; the file was cut or changed since it was opened; copy it again"
            )
        return raw

    def _converted(self, raw: np.ndarray) -> np.ndarray:
        if not raw.dtype.isnative:
            raw = raw.byteswap(inplace=True).view(raw.dtype.newbyteorder("="))
        if self.bzero == 0 and self.bscale == 1:
            return raw
        flip = _SIGN_BIT.get((self.bitpix, self.bzero)) if self.bscale == 1 else None
        if flip is None:
            return (raw * self.bscale + self.bzero).astype(self.dtype, copy=False)
        unsigned = raw.view(flip.dtype)
        np.bitwise_xor(unsigned, flip, out=unsigned)
        return unsigned


def _rows(index: Any, size: int) -> range:
    if isinstance(index, int | np.integer):
        i = int(index) % size
        return range(i, i + 1)
    if index.step is not None and index.step < 0:
        raise IndexError("FitsArray reads forwards; index the loaded array instead")
    return range(*index.indices(size))


def _planes(index: Any, size: int) -> tuple[range, Any]:
    """Return the contiguous range that holds the wanted planes, and the index inside it."""
    if isinstance(index, int | np.integer):
        i = int(index) % size
        return range(i, i + 1), 0
    if not isinstance(index, slice) or (index.step is not None and index.step < 0):
        return range(size), index
    wanted = range(*index.indices(size))
    if len(wanted) == 0:
        return range(0), slice(0, 0)
    return range(wanted[0], wanted[-1] + 1), slice(None, None, wanted.step)


def integrations_per_chunk(shape: tuple[int, ...], chunk_mb: float) -> int:
    """Return how many integrations make a chunk of ``chunk_mb`` megabytes of float32.

    Examples
    --------
    >>> integrations_per_chunk((1000, 10, 32, 512), 16.0)
    24
    """
    one = 4 * math.prod(shape[1:])
    return min(max(int(chunk_mb * 1e6 // max(one, 1)), 1), max(shape[0], 1))


def lazy(array: FitsArray, n_integrations: int) -> Any:
    """Return a dask array of chunks of ``n_integrations``; nothing is read yet."""
    import dask.array as da
    from dask.base import tokenize

    made = da.from_array(
        array,
        chunks=(n_integrations, *array.shape[1:]),
        name=f"read-{Path(array.path).name}-{tokenize(array)}",
        asarray=False,
        lock=False,
        meta=np.empty((0,) * array.ndim, array.dtype),
    )
    register_source(made)
    return made
