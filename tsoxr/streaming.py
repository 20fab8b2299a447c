"""One pass over the data for many arrays, a chunk of all of them at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count, product
from typing import Any

import numpy as np

__all__ = ["Place", "Write", "gather", "stream"]

Place = tuple[slice, ...]
Write = Callable[[Place, np.ndarray], None]

_NUMBER = count()


def stream(arrays: list[Any], writes: list[Write], **scheduler: Any) -> None:
    """Compute dask arrays and hand each block over as soon as it is made.

    The blocks that belong to one chunk of integrations are handed over by one task. With a
    task for each block, as `dask.array.store` makes them, a scheduler may take the first array
    of many chunks before the second of any, and keep what the others wait for: of the three
    cubes of rates it held more than half of everything.

    Parameters
    ----------
    arrays : list of dask.array.Array
        Arrays with several chunks along the same axis and of equal lengths go together.
    writes : list of callable
        For each array, a function of a place (slices) and the block that belongs there; it may
        be called from several threads at once.
    **scheduler
        For `dask.compute`.
    """
    import dask.array as da
    from dask.base import compute_as_if_collection
    from dask.highlevelgraph import HighLevelGraph

    if not arrays:
        return
    name = f"stream-{next(_NUMBER)}"
    tasks: dict[Any, Any] = {}
    groups = sorted(_groups(arrays), key=lambda group: -arrays[group[0]].npartitions)
    for group in groups:
        for members in zip(*[_blocks(arrays[k]) for k in group], strict=True):
            hand_over = _HandOver(
                [(writes[k], place) for k, (_, place) in zip(group, members, strict=True)]
            )
            tasks[name, len(tasks)] = (hand_over, *[key for key, _ in members])
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=arrays)
    threads = scheduler.get("num_workers") or os.cpu_count() or 1
    with _in_turn(list(tasks), arrays[groups[0][0]].npartitions, ahead=threads + 1):
        compute_as_if_collection(da.Array, graph, list(tasks), **scheduler)


def _in_turn(goals: list[Any], n_chunks: int, *, ahead: int) -> Any:
    """Return a context in which a chunk is read when the one ``ahead`` of it is done with.

    A scheduler's own order keeps memory small for most graphs and not for all: sums over time
    among the goals made it read everything first. Here each task belongs to a chunk, and its
    first tasks wait until all tasks of an earlier chunk are done, those that feed sums too. It holds tasks back and adds no data to wait for.
    """
    from dask.callbacks import Callback

    def hold_back(_graph: Any, state: dict[str, Any]) -> None:
        if goals[0] in state["dependencies"]:
            turn = _turns(goals, n_chunks, state["dependencies"])
            ends = _ends(turn, state)
            for key in [*state["waiting"], *state["ready"]]:
                own = turn[key]
                before = ends.get(own - ahead)
                if before and all(turn[k] < own for k in state["dependencies"][key]):
                    if key not in state["waiting"]:
                        state["ready"].remove(key)
                        state["waiting"][key] = set()
                    state["waiting"][key] |= set(before)
                    for other in before:
                        state["dependents"][other].add(key)

    return Callback(start_state=hold_back)


def _turns(goals: list[Any], n_chunks: int, needs: dict[Any, set[Any]]) -> dict[Any, int]:
    """Return for each task the chunk that it belongs to: the first one that needs it.

    What only sums over chunks need belongs to the latest chunk that it adds up.
    """
    turn: dict[Any, int] = {}
    for i, goal in enumerate(goals):
        waiting = [goal]
        while waiting:
            key = waiting[-1]
            missing = [k for k in needs[key] if k not in turn]
            if key not in turn and missing:
                waiting += missing
                continue
            waiting.pop()
            of_needs = max((turn[k] for k in needs[key]), default=0)
            turn.setdefault(key, i if i < n_chunks else of_needs)
    return turn


def _ends(turn: dict[Any, int], state: dict[str, Any]) -> dict[int, list[Any]]:
    """Return the tasks of each turn on which no other of the same turn waits."""
    found: dict[int, list[Any]] = {}
    for key in [*state["waiting"], *state["ready"]]:
        if not any(turn.get(k) == turn[key] for k in state["dependents"][key]):
            found.setdefault(turn[key], []).append(key)
    return found


def gather(arrays: list[Any], writes: list[Write], n_together: int = 16) -> None:
    """Do what `stream` does where tasks run in other processes: blocks come here to be written.

    Parameters
    ----------
    arrays, writes
        As for `stream`.
    n_together : int
        Chunks that are computed at a time and brought over.
    """
    import dask

    for group in _groups(arrays):
        places = [[place for _, place in _blocks(arrays[k])] for k in group]
        for first in range(0, len(places[0]), n_together):
            some = [p[first : first + n_together] for p in places]
            parts = [arrays[k][place] for k, own in zip(group, some, strict=True) for place in own]
            targets = [(writes[k], p) for k, own in zip(group, some, strict=True) for p in own]
            for (write, place), block in zip(targets, dask.compute(*parts), strict=True):
                write(place, block)


def _groups(arrays: list[Any]) -> list[list[int]]:
    """Return the numbers of the arrays that share their chunks, by group."""
    found: dict[Any, list[int]] = {}
    for k, array in enumerate(arrays):
        several = [sizes for sizes in array.chunks if len(sizes) > 1]
        alike = several[0] if len(several) == 1 else ("alone", k)
        found.setdefault(alike, []).append(k)
    return list(found.values())


def _blocks(array: Any) -> Iterator[tuple[tuple[Any, ...], Place]]:
    """Yield key and place of each block."""
    ends = [np.cumsum([0, *sizes]) for sizes in array.chunks]
    for index in product(*[range(n) for n in array.numblocks]):
        place = tuple(slice(int(e[i]), int(e[i + 1])) for e, i in zip(ends, index, strict=True))
        yield (array.name, *index), place


class _HandOver:
    """Give the blocks of one chunk to their writers."""

    def __init__(self, targets: list[tuple[Write, Place]]) -> None:
        self._targets = targets

    def __call__(self, *blocks: np.ndarray) -> None:
        for (write, place), block in zip(self._targets, blocks, strict=True):
            write(place, block)
