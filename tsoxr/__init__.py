"""Labelled, streaming analysis of JWST time-series observations in the notebook.

>>> import tsoxr
>>> ramps = tsoxr.simulate("nirspec-prism", kind="ramps", n_integrations=10, seed=1)
>>> ramps.tso.kind
'ramps'
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from tsoxr import accessor as _accessor
from tsoxr.errors import ModeError, SchemaError, TsoError, TsoWarning
from tsoxr.options import set_options
from tsoxr.replay import replay

if TYPE_CHECKING:
    from tsoxr import dq, modes, plots, simulation, steps, testing, times
    from tsoxr.io import concat, open, open_tree  # noqa: A004 -- tsoxr.open, as in xarray
    from tsoxr.simulation import simulate, simulate_tree
    from tsoxr.steps.join import join

__version__ = "0.1.0"

__all__ = [
    "ModeError",
    "SchemaError",
    "TsoError",
    "TsoWarning",
    "concat",
    "dq",
    "join",
    "modes",
    "open",
    "open_tree",
    "plots",
    "replay",
    "set_options",
    "simulate",
    "simulate_tree",
    "simulation",
    "steps",
    "testing",
    "times",
]

_FUNCTIONS = {
    "concat": "tsoxr.io",
    "join": "tsoxr.steps.join",
    "open": "tsoxr.io",
    "open_tree": "tsoxr.io",
    "simulate": "tsoxr.simulation",
    "simulate_tree": "tsoxr.simulation",
}
_MODULES = ("dq", "modes", "plots", "simulation", "steps", "testing", "times")

logging.getLogger(__name__).addHandler(logging.NullHandler())
_accessor.install()


def __getattr__(name: str) -> Any:
    """Import what is not needed at start-up when it is first asked for."""
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module 'tsoxr' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted(__all__)
