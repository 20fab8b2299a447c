"""A progress bar for passes over lazy data."""

from __future__ import annotations

from typing import Any

from tsoxr.options import OPTIONS

__all__ = ["progress"]


def progress(label: str) -> Any:
    """Return a context that shows a bar for each computation inside it, estimates first."""
    from contextlib import nullcontext

    if not OPTIONS.progress:
        return nullcontext()
    from dask.callbacks import Callback
    from tqdm.auto import tqdm

    class Bar(Callback):
        """Counts finished tasks; computations within tasks are not counted."""

        def __init__(self) -> None:
            super().__init__(start_state=self._begin, posttask=self._one, finish=self._end)
            self._bar: Any = None
            self._own: Any = None

        def _begin(self, dsk: Any, state: dict[str, Any]) -> None:
            if self._bar is None:
                self._own = id(dsk)
                total = sum(len(state[k]) for k in ("ready", "waiting", "running", "finished"))
                self._bar = tqdm(total=total, desc=label, delay=2, unit="task", leave=False)

        def _one(self, _key: Any, _result: Any, dsk: Any, *_: Any) -> None:
            if self._bar is not None and id(dsk) == self._own:
                self._bar.update()

        def _end(self, dsk: Any, _state: Any, _errored: bool) -> None:
            if self._bar is not None and id(dsk) == self._own:
                self._bar.close()
                self._bar = None

    return Bar()
