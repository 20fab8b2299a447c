"""The steps, one per file; every one is a method of ``ds.tso`` and a function here."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any


def _import_all() -> dict[str, Any]:
    """Import each step's module and return the step functions by name.

    The import system binds ``tsoxr.steps.extract`` to the module; users expect the
    function, so it is bound again to that.
    """
    names = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {name: getattr(module, name) for name, module in modules.items()}


_found = _import_all()
globals().update(_found)
__all__ = sorted(_found)  # noqa: PLE0605 -- the files tell
