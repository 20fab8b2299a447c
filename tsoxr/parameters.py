"""Parameters of a step: which it has, and where their values come from."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import xarray as xr

from tsoxr import modes

if TYPE_CHECKING:
    from tsoxr.registry import Step

__all__ = ["named", "own_parameters", "resolve"]


def own_parameters(func: Callable[..., Any]) -> tuple[dict[str, inspect.Parameter], str | None]:
    """Return the parameters of a step after its data, and the name of a positional one.

    Raises
    ------
    TypeError
        Where more than one is positional, or names are not told.
    """
    _, *rest = inspect.signature(func).parameters.values()
    loose = [p.name for p in rest if p.kind is not p.KEYWORD_ONLY]
    if len(loose) > 1 or any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in rest):
        raise TypeError(f"step {func.__name__!r}: parameters {loose} must be keyword-only")
    return {p.name: p for p in rest}, (loose[0] if loose else None)


def named(spec: Step, args: tuple[Any, ...], given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name.

    Raises
    ------
    TypeError
        For a positional argument that the step does not have.
    """
    if not args:
        return given
    if spec.positional is None or len(args) > 1 or spec.positional in given:
        raise TypeError(
            f"{spec.name}() takes its parameters by name; it has {list(spec.parameters)}"
        )
    return {spec.positional: args[0], **given}


def resolve(spec: Step, ds: xr.Dataset, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the parameters that a step will use: caller, then mode, then signature.

    What an earlier step has measured comes before the mode, see ``measured`` of `step`.

    Returns
    -------
    dict, list of str
        All parameters, and the names of those whose value came from the mode.

    Raises
    ------
    TypeError
        For an unknown parameter (the message names the nearest) or a missing one.
    """
    allowed = list(spec.parameters)
    for name in given:
        if name not in spec.parameters:
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {allowed}"
            raise TypeError(f"{spec.name}() has no parameter {name!r}; {hint}")
    mode = {
        name: default.value
        for name, default in modes.step_defaults(_attrs(ds).get("tso_mode"), spec.name).items()
        if name in spec.parameters
        and name not in given
        and spec.measured.get(name) not in ds.coords
    }
    used = {p.name: p.default for p in spec.parameters.values()} | mode | given
    missing = [name for name, value in used.items() if value is inspect.Parameter.empty]
    if missing:
        raise TypeError(f"{spec.name}() needs {missing[0]!r}")
    return used, sorted(mode)


def _attrs(ds: Any) -> dict[Any, Any]:
    if not isinstance(ds, xr.Dataset):
        raise TypeError(
            f"a step takes an xarray.Dataset, not {type(ds).__name__}; open data with tsoxr.open"
        )
    return ds.attrs
