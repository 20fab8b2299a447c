"""One pass for many arrays: every block in its place, and no more held than must be."""

from __future__ import annotations

import threading

import dask.array as da
import numpy as np
import pytest

from tsoxr.streaming import gather, stream


def arrays():
    """Return arrays with chunks along different axes, of the same source and of none."""
    source = da.arange(60, chunks=7).reshape(60, 1) * da.ones((60, 4), chunks=(7, 4))
    return [
        source,
        source.sum(axis=1),
        source.T + 1,
        source.sum(axis=0),
        da.ones((5, 6), chunks=(2, 3)).cumsum(axis=0),
        da.asarray(np.float32(3.0)),
    ]


def filled(run, made):
    targets = [np.full(a.shape, np.nan, a.dtype) for a in made]
    run(made, [t.__setitem__ for t in targets])
    return targets


@pytest.mark.parametrize("run", [stream, gather])
def test_every_block_comes_to_its_place(run):
    made = arrays()
    for array, found in zip(made, filled(run, made), strict=True):
        np.testing.assert_array_equal(found, array.compute())
    run([], [])


class Held:
    """Counts the blocks of a source that nobody has taken yet."""

    def __init__(self):
        self.now, self.most, self.lock = 0, 0, threading.Lock()

    def make(self, block):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        return block

    def done(self, _place, _block):
        with self.lock:
            self.now -= 1


@pytest.mark.parametrize("threads", [1, 3])
def test_no_chunk_waits_for_the_others(threads):
    held = Held()
    source = da.zeros((200, 3), chunks=(1, 3)).map_blocks(held.make, meta=np.empty((0, 0)))
    # sums over all chunks are what lets a scheduler read everything first
    several = [source, source + 1, source.sum(axis=1), source.sum(axis=0), source[::2].std(axis=0)]
    nothing = [held.done, *[lambda _place, _block: None] * 4]
    stream(several, nothing, scheduler="threads", num_workers=threads)
    assert held.now == 0
    assert held.most <= threads + 1


def test_an_error_of_a_writer_comes_through():
    def full(_place, _block):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        stream([da.ones(4, chunks=1)], [full])
