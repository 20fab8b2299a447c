"""Plots of the products; a step's own plot lies beside the step.

Each is a method of ``ds.tso.plot`` too.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "covariates": "series",
    "flux_map": "series",
    "frame": "detector",
    "light_curve": "series",
    "median_image": "detector",
    "ramp": "detector",
    "spectrum": "series",
}

__all__ = ["covariates", "flux_map", "frame", "light_curve", "median_image", "ramp", "spectrum"]


def __getattr__(name: str) -> Any:
    """Import a plot when it is first asked for."""
    if name not in _WHERE:
        raise AttributeError(f"tsoxr.plots has no plot {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"tsoxr.plots.{_WHERE[name]}"), name)
