"""One pass over the data for many arrays, a chunk of all of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, product
from typing import Any

import numpy as np

from tsoxr.reuse import Relay, Work
from tsoxr.workers import workers

__all__ = [
    "Place",
    "Tell",
    "Write",
    "gather",
    "raw_size",
    "register_source",
    "stream",
]

Place = tuple[slice, ...]
Write = Callable[[Place, np.ndarray], None]
Tell = Callable[[float], None]

_NUMBER = count()

_SOURCES: dict[str, float] = {}
"""Bytes in a file behind each block of a dask array that reads it, by name of the array."""


def stream(
    arrays: list[Any],
    writes: list[Write],
    relay: Relay | None = None,
    tell: Tell | None = None,
    **given: Any,
) -> None:
    """Compute dask arrays and hand each block over as soon as it is made.

    The blocks that belong to one chunk of integrations are handed over by one task. With a
    task for each block, as `dask.array.store` makes them, a scheduler may take the first array
    of many chunks before the second of any, and keep what the others wait for: of the three
    cubes of rates it held more than half of everything.

    When it returns or raises, also at an interruption, no thread works on it any more.

    Parameters
    ----------
    arrays : list of dask.array.Array
        Arrays with several chunks along the same axis and of equal lengths go together.
    writes : list of callable
        For each array, a function of a place (slices) and the block that belongs there; it may
        be called from several threads at once.
    relay : Relay, optional
        Keeps blocks for computations to come, and has some of earlier ones.
    tell : callable, optional
        Called with the part of all bytes that was just handed over, in this thread.
    **given
        For `dask.compute`.
    """
    import dask.array as da
    from dask.base import compute_as_if_collection
    from dask.highlevelgraph import HighLevelGraph

    if not arrays:
        return
    name = f"stream-{next(_NUMBER)}"
    groups = sorted(_groups(arrays), key=lambda group: -arrays[group[0]].npartitions)
    tasks, sizes = _goals(name, groups, arrays, writes)
    graph: Any
    if relay is None:
        graph = HighLevelGraph.from_collections(name, tasks, dependencies=arrays)
    else:
        graph = relay.tasks(Work(arrays), tasks)
    n_chunks = arrays[groups[0][0]].npartitions
    with (
        workers(**given) as (n, how),
        _in_turn(list(tasks), n_chunks, ahead=n + 1),
        _told(tell, sizes),
    ):
        compute_as_if_collection(da.Array, graph, list(tasks), **how)


def _goals(
    name: str, groups: list[list[int]], arrays: list[Any], writes: list[Write]
) -> tuple[dict[Any, Any], dict[Any, int]]:
    """Return the tasks that hand blocks over, one for each chunk of a group, and their bytes."""
    tasks: dict[Any, Any] = {}
    sizes: dict[Any, int] = {}
    for group in groups:
        for members in zip(*[_blocks(arrays[k]) for k in group], strict=True):
            targets = [(writes[k], place) for k, (_, place) in zip(group, members, strict=True)]
            goal = name, len(tasks)
            tasks[goal] = (_HandOver(targets), *[key for key, _ in members])
            sizes[goal] = sum(
                _volume(place) * arrays[k].dtype.itemsize
                for k, (_, place) in zip(group, members, strict=True)
            )
    return tasks, sizes


def _told(tell: Tell | None, sizes: dict[Any, int]) -> Any:
    """Return a context that tells of each goal that is reached what part of all it was."""
    from contextlib import nullcontext

    from dask.callbacks import Callback

    if tell is None:
        return nullcontext()
    total = max(sum(sizes.values()), 1)

    def reached(key: Any, *_: Any) -> None:
        if key in sizes:
            tell(sizes[key] / total)

    return Callback(posttask=reached)


def _volume(place: Place) -> int:
    return int(np.prod([part.stop - part.start for part in place], dtype=np.int64))


def _in_turn(goals: list[Any], n_chunks: int, *, ahead: int) -> Any:
    """Return a context in which a chunk is read when the one ``ahead`` of it is done with.

    A scheduler's own order keeps memory small for most graphs and not for all: sums over time
    among the goals made it read everything first. Here each task belongs to a chunk, and its
    first tasks wait until all tasks of an earlier chunk are done, those that feed sums too. It
    holds tasks back and adds no data to wait for.
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


def gather(
    arrays: list[Any], writes: list[Write], tell: Tell | None = None, n_together: int = 16
) -> None:
    """Do what `stream` does where tasks run in other processes: blocks come here to be written.

    Parameters
    ----------
    arrays, writes, tell
        As for `stream`.
    n_together : int
        Chunks that are computed at a time and brought over.
    """
    import dask

    total = max(sum(array.nbytes for array in arrays), 1)
    for group in _groups(arrays):
        places = [[place for _, place in _blocks(arrays[k])] for k in group]
        for first in range(0, len(places[0]), n_together):
            some = [p[first : first + n_together] for p in places]
            parts = [arrays[k][place] for k, own in zip(group, some, strict=True) for place in own]
            targets = [(writes[k], p) for k, own in zip(group, some, strict=True) for p in own]
            for (write, place), block in zip(targets, dask.compute(*parts), strict=True):
                write(place, block)
            if tell is not None:
                tell(sum(part.nbytes for part in parts) / total)


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


def register_source(array: Any) -> None:
    """Remember that a dask array reads a file: its bytes are what progress is counted in."""
    _SOURCES[array.name] = array.nbytes / array.npartitions


def raw_size(arrays: list[Any]) -> float:
    """Return the bytes in files that dask arrays are made of, or their own where none is known."""
    from dask.core import flatten
    from dask.highlevelgraph import HighLevelGraph

    goals = set(flatten([a.__dask_keys__() for a in arrays]))
    graph = HighLevelGraph.merge(*[a.__dask_graph__() for a in arrays])
    if _SOURCES.keys().isdisjoint(graph.layers):
        return float(sum(array.nbytes for array in arrays))
    keys = [key for layer in graph.cull(goals).layers.values() for key in layer.get_output_keys()]
    return float(round(sum(_SOURCES.get(key[0], 0.0) for key in keys if isinstance(key, tuple))))
