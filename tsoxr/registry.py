"""The registry: what makes a step out of one function in one file.

`step` wraps a labelled function so that it checks what it is given, takes its parameters
from the caller, the mode or its signature (in that order), never alters its input, and
leaves a record of what it did. `diagnostic` attaches the plot that shows it. `discover`
imports every module of ``tsoxr.steps`` and ``tsoxr.plots`` and every entry point of the
group ``tsoxr.steps``; nothing else has to be edited to add a step.
"""

from __future__ import annotations

import contextvars
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from tsoxr import checks, history, schema
from tsoxr.parameters import named, own_parameters, resolve

__all__ = [
    "DIAGNOSTICS",
    "PICTURES",
    "STEPS",
    "Picture",
    "Step",
    "apply",
    "carry_diagnostics",
    "derived",
    "diagnostic",
    "discover",
    "listening",
    "named",
    "note",
    "own_parameters",
    "picture",
    "record_of",
    "resolve",
    "step",
]


@dataclass(frozen=True)
class Step:
    """A registered step: what it promises, its function, and ``run``, the one that records."""

    name: str
    func: Callable[..., xr.Dataset]
    kinds: tuple[str, ...]
    to: str | None
    needs: tuple[str, ...]
    adds: tuple[str, ...]
    once: bool
    parameters: dict[str, inspect.Parameter]
    positional: str | None
    run: Callable[..., xr.Dataset]
    imaging: bool | None = None
    """True for steps on images only, False for those on dispersed light only."""
    measured: dict[str, str] = field(default_factory=dict)
    """Parameters that an earlier step may have measured, and the coordinates with the values."""

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.func) or "").partition("\n")[0]


@dataclass(frozen=True)
class Picture:
    """A registered plot that belongs to no step, and the products that it can show."""

    name: str
    func: Callable[..., Any]
    kinds: tuple[str, ...]


@dataclass
class _Call:
    """What the body of a step says while it runs."""

    derived: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


_OF_DISPERSED_LIGHT = {"trace_center", "wavelength"}
"""What images never have; spectra have wavelengths by themselves."""

STEPS: dict[str, Step] = {}
DIAGNOSTICS: dict[str, Callable[..., Any]] = {}
PICTURES: dict[str, Picture] = {}
_CALL: contextvars.ContextVar[_Call | None] = contextvars.ContextVar("tsoxr_call", default=None)


def step(
    *,
    kind: str | tuple[str, ...],
    to: str | None = None,
    needs: tuple[str, ...] = (),
    adds: tuple[str, ...] = (),
    once: bool = False,
    imaging: bool | None = None,
    measured: dict[str, str] | None = None,
) -> Callable[[Callable[..., xr.Dataset]], Callable[..., xr.Dataset]]:
    """Register a function as a step and wrap it.

    Parameters
    ----------
    kind : str or tuple of str
        Product kinds that it takes.
    to : str, optional
        Product kind that it makes; the same kind if not given.
    needs : tuple of str
        Variables or coordinates that must be there.
    adds : tuple of str
        Variables or coordinates that it makes, which other steps may need.
    once : bool
        Refuse a second application, unless called with ``again=True``.
    imaging : bool, optional
        True for a step on images only, False for one on dispersed light only. Left out, a step
        that needs a trace or wavelengths is for dispersed light, and any other for both.
    measured : dict, optional
        Parameters that an earlier step may have measured, and the coordinate where it left
        each. Where that is there, the mode's default gives way, and the step gets the
        parameter's own default, None, and looks for it.

    Returns
    -------
    callable
        Decorator for ``func(ds, *, ...) -> Dataset``.

    Raises
    ------
    TypeError
        For a parameter that is not keyword-only; a single positional one may follow ``ds``.
    """

    def register(func: Callable[..., xr.Dataset]) -> Callable[..., xr.Dataset]:
        parameters, positional = own_parameters(func)
        kinds = (kind,) if isinstance(kind, str) else kind

        @functools.wraps(func)
        def run(ds: xr.Dataset, *args: Any, **given: Any) -> xr.Dataset:
            again = bool(given.pop("again", False)) if once else False
            given = named(spec, args, given)
            used, from_mode = resolve(spec, ds, given)
            return apply(spec, ds, used, from_mode=from_mode, again=again)

        only = False if imaging is None and _OF_DISPERSED_LIGHT & set(needs) else imaging
        own = (kinds, to, needs, adds, once, parameters, positional)
        spec = Step(func.__name__, func, *own, run, only, dict(measured or {}))
        STEPS[spec.name] = spec
        return run

    return register


def apply(
    spec: Step,
    ds: xr.Dataset,
    used: dict[str, Any],
    *,
    from_mode: list[str],
    again: bool = False,
) -> xr.Dataset:
    """Run a step with resolved parameters: check, call, label, record.

    Raises
    ------
    SchemaError
        For a Dataset of another kind, or one that lacks what the step needs.
    TsoError
        For a step that is applied twice although it must not be.
    """
    checks.check_kind(spec, ds, STEPS)
    checks.check_optics(spec, ds, STEPS)
    checks.check_needs(spec, ds, STEPS)
    if spec.once and not again:
        checks.check_once(spec, ds)
    with listening() as said:
        out = spec.func(ds, **used)
    if not isinstance(out, xr.Dataset):
        raise TypeError(
            f"step {spec.name!r} returned {type(out).__name__}; it must return an xarray.Dataset"
        )
    record = record_of(spec, used, said, from_mode, again=again)
    return _finished(spec, ds, out, record)


@contextmanager
def listening() -> Iterator[Any]:
    """Run the body of a step inside: it keeps attributes, aligns exactly, and is listened to."""
    said = _Call()
    token = _CALL.set(said)
    try:
        with xr.set_options(keep_attrs=True, arithmetic_join="exact"):
            yield said
    finally:
        _CALL.reset(token)


def record_of(
    spec: Step, used: dict[str, Any], said: Any, from_mode: list[str], *, again: bool = False
) -> dict[str, Any]:
    """Return the record of a step, with what its body has said to `listening`."""
    from tsoxr import __version__

    default = [
        n for n, p in spec.parameters.items() if n not in said.derived and _is(used[n], p.default)
    ]
    record: dict[str, Any] = {
        "step": spec.name,
        "version": __version__,
        "params": {**used, **said.derived},
        "from_mode": from_mode,
        "derived": sorted(said.derived),
        "default": default,
    }
    if said.notes:
        record["notes"] = said.notes
    if again:
        record["again"] = True
    return record


def _is(value: Any, default: Any) -> bool:
    """Return whether a value is the default: the object itself, or equal plain data."""
    plain = isinstance(value, bool | int | float | str | tuple) and type(value) is type(default)
    return value is default or (plain and value == default)


def _finished(spec: Step, ds: xr.Dataset, out: xr.Dataset, record: dict[str, Any]) -> xr.Dataset:
    kind = spec.to or schema.kind_of(ds)
    if kind != schema.kind_of(ds):
        out = carry_diagnostics(ds, out)
    own = {
        name: out[name].assign_attrs(diagnostic_of=spec.name)
        for name in out.data_vars
        if str(name).startswith(f"{spec.name}_") and "diagnostic_of" not in out[name].attrs
    }
    attrs = {**ds.attrs, **out.attrs}
    attrs.pop("units", None)  # leaks in from arithmetic with a single DataArray
    attrs |= {
        "tso_kind": kind,
        "tso_schema": schema.SCHEMA_VERSION,
        history.ATTRIBUTE: history.append(ds.attrs, record),
    }
    finished = out.assign(own)
    finished.attrs = attrs
    return finished


def carry_diagnostics(ds: xr.Dataset, out: xr.Dataset) -> xr.Dataset:
    """Return ``out`` with the diagnostics of earlier steps that still fit into it.

    Parameters
    ----------
    ds : xarray.Dataset
        Before a step that makes another product.
    out : xarray.Dataset
        The new product. A diagnostic whose dims have other sizes there stays behind.
    """
    carried = {}
    for name, array in ds.data_vars.items():
        fits = all(out.sizes.get(d, n) == n for d, n in array.sizes.items())
        clash = any(d in out.variables and d not in out.dims for d in array.dims)
        if "diagnostic_of" in array.attrs and name not in out.variables and fits and not clash:
            carried[name] = array.variable
    return out.assign(carried)


def derived(**value: Any) -> Any:
    """Tell the record which value a parameter took that was left to the data; return it.

    Examples
    --------
    >>> derived(half_width=4.0)
    4.0
    """
    ((name, chosen),) = value.items()
    call = _CALL.get()
    if call is not None:
        call.derived[name] = chosen
    return chosen


def note(text: str) -> None:
    """Add a sentence to the record of the running step: a fallback used, nothing to do."""
    call = _CALL.get()
    if call is not None:
        call.notes.append(text)


def diagnostic(of: Callable[..., xr.Dataset]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the plot that shows what a step did, ``ds.tso.plot.<step>()``."""

    def register(func: Callable[..., Any]) -> Callable[..., Any]:
        DIAGNOSTICS[of.__name__] = func
        return func

    return register


def picture(*, kind: str | tuple[str, ...]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a plot of a product, ``ds.tso.plot.<name>()``."""

    def register(func: Callable[..., Any]) -> Callable[..., Any]:
        PICTURES[func.__name__] = Picture(
            func.__name__, func, (kind,) if isinstance(kind, str) else kind
        )
        return func

    return register


@functools.cache
def discover() -> dict[str, Step]:
    """Import every step and plot, ours and other packages', and return the steps.

    A third-party package adds steps through entry points of the group ``tsoxr.steps``
    whose values are modules.
    """
    from importlib.metadata import entry_points

    importlib.import_module("tsoxr.steps")  # imports each of its modules
    plots = importlib.import_module("tsoxr.plots")
    for module in pkgutil.iter_modules(plots.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"tsoxr.plots.{module.name}")
    for entry in entry_points(group="tsoxr.steps"):
        entry.load()
    return STEPS
