"""Blocks that one computation leaves to the next ones, within a bound.

Each estimate from a sample reads its integrations through all steps before it, and the estimates
of a chain follow each other: without more ado, the tenth of them would do again what the
nine before it did. So those blocks are kept from which a later one goes on. Which ones these
are follows from the graphs: of all that is known, what later goals are made of directly.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

__all__ = ["Relay", "Work", "is_possible"]


def is_possible() -> bool:
    """Return True where dask has the form of tasks that is worked on here."""
    try:
        import dask._task_spec  # noqa: F401
    except ImportError:  # before 2024.12: estimates are made from the files, each for itself
        return False
    return True


class Work:
    """The tasks of some dask arrays, all of them and no others.

    Parameters
    ----------
    arrays : list of dask.array.Array
        What is to be made.
    """

    def __init__(self, arrays: list[Any]) -> None:
        from dask._task_spec import convert_legacy_graph
        from dask.core import flatten
        from dask.highlevelgraph import HighLevelGraph

        self.goals = set(flatten([a.__dask_keys__() for a in arrays]))
        graph = HighLevelGraph.merge(*[a.__dask_graph__() for a in arrays]).cull(self.goals)
        self.tasks: dict[Any, Any] = convert_legacy_graph(graph.to_dict())

    def reached(self, known: Any) -> list[Any]:
        """Return the tasks to run where some are known, and those known ones; needs first."""
        found: dict[Any, None] = {}
        waiting = list(self.goals)
        while waiting:
            key = waiting[-1]
            needs = () if key in known else self.tasks[key].dependencies
            missing = [k for k in needs if k not in found]
            if key not in found and missing:
                waiting += missing
                continue
            waiting.pop()
            found[key] = None
        return list(found)

    def entries(self, known: Any) -> set[Any]:
        """Return those of the known tasks from which this work goes on."""
        found, seen, waiting = set(), set(self.goals), list(self.goals)
        while waiting:
            key = waiting.pop()
            if key in known:
                found.add(key)
                continue
            missing = self.tasks[key].dependencies - seen
            seen |= missing
            waiting += missing
        return found


class Relay:
    """Keeps blocks between the computations of one call, at most so many bytes.

    Of what does not fit, the blocks stay that most tasks for each byte lead to. Blocks that a
    computation takes and none needs later go as it proceeds.

    Parameters
    ----------
    limit : float
        Bytes.
    """

    def __init__(self, limit: float) -> None:
        self.later: list[Work] = []
        self._limit = limit
        self._kept: dict[Any, Any] = {}
        self._served: dict[Any, Any] = {}
        self._depth: dict[Any, int] = {}
        self._worth: dict[Any, float] = {}
        self._lock = threading.Lock()

    def tasks(self, work: Work, more: dict[Any, Any]) -> dict[Any, Any]:
        """Return the tasks of some work that are still to do, and those that use its goals."""
        from dask._task_spec import Alias, DataNode, Task, TaskRef, convert_legacy_graph

        order = work.reached(self._kept)
        wanted = self._wanted({*order, *self._kept}) if self.later else set()
        several = Counter(k[0] for k in order if isinstance(k, tuple))
        self._served = {k: self._kept[k] for k in order if k in self._kept}
        self._kept = {k: v for k, v in self._kept.items() if k in wanted}
        tasks: dict[Any, Any] = {}
        for key in order:
            if key in self._served:
                tasks[key] = Task(key, partial(self._taken, key))
                continue
            task = tasks[key] = work.tasks[key]
            self._depth[key] = 1 + max((self._depth[k] for k in task.dependencies), default=0)
            of_chunk = isinstance(key, tuple) and several[key[0]] > 1
            if key in wanted and of_chunk and not isinstance(task, DataNode):
                made = (f"made-{key[0]}", *key[1:])
                if isinstance(task, Alias):
                    made = task.target
                else:
                    tasks[made] = task.substitute({}, key=made)
                tasks[key] = Task(key, partial(self._keep, key), TaskRef(made))
        return tasks | convert_legacy_graph(more, {*tasks, *more})

    def close(self) -> None:
        """Let go of all blocks."""
        self.later = []
        self._kept, self._served = {}, {}

    def _wanted(self, known: set[Any]) -> set[Any]:
        return set().union(*[work.entries(known) for work in self.later])

    def _taken(self, key: Any) -> Any:
        with self._lock:
            return self._served.pop(key)

    def _keep(self, key: Any, value: Any) -> Any:
        with self._lock:
            self._worth[key] = self._depth[key] / max(_nbytes([value]), 1)
            self._kept[key] = value
            while _nbytes([*self._served.values(), *self._kept.values()]) > self._limit:
                least = min(self._kept, key=self._worth.__getitem__)
                del self._kept[least]
                if least == key:
                    break
        return value


def _nbytes(values: Iterable[Any]) -> int:
    """Return the memory behind arrays, or tuples of them; what they share counts once."""
    owners: dict[int, int] = {}
    for value in values:
        for array in value if isinstance(value, tuple) else (value,):
            if isinstance(array, np.ndarray):
                owner = array if not isinstance(array.base, np.ndarray) else array.base
                owners[id(owner)] = owner.nbytes
    return sum(owners.values())
