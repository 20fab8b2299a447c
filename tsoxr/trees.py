"""Trees: several detectors or orders side by side, each a node with axes of its own.

A step is a function of one Dataset, and stays one: `apply` runs it on each node that it is for.
Functions that make a tree of a Dataset (`splits`) or a Dataset of a tree (`joins`) are registered
beside the steps. They have mode defaults and checks like these, but their results are made by
recorded steps, so that each node, by itself, tells how it was made.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import xarray as xr

from tsoxr import checks, history, registry, schema
from tsoxr.errors import SchemaError, TsoWarning
from tsoxr.registry import Step

__all__ = [
    "JOINS",
    "SPLITS",
    "apply",
    "join_nodes",
    "joins",
    "nodes",
    "registered",
    "splits",
    "tree_of",
]

SPLITS: dict[str, Step] = {}
"""Functions that make a tree of a Dataset, by name."""

JOINS: dict[str, Step] = {}
"""Functions that make a Dataset of a tree, by name."""

TAKES_MAPPINGS = ("Mapping", "dict[")
"""What the annotation of a parameter contains that takes a mapping for itself."""


def registered() -> dict[str, Step]:
    """Return all steps, and what makes trees and Datasets of trees, by name."""
    return {**registry.discover(), **SPLITS, **JOINS}


def nodes(tree: xr.DataTree | Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Return the products of a tree by their path without the leading slash; nothing is copied.

    Parameters
    ----------
    tree : xarray.DataTree or mapping of xarray.Dataset
        Nodes without an attribute ``tso_kind`` are left out.

    Raises
    ------
    TypeError
        For anything else.

    Examples
    --------
    >>> ds = xr.Dataset(attrs={"tso_kind": "rates"}, coords={"x": [1, 2]})
    >>> list(nodes(xr.DataTree.from_dict({"/NRS1": ds, "/note": xr.Dataset()})))
    ['NRS1']
    """
    if not isinstance(tree, xr.DataTree | Mapping):
        raise TypeError(
            f"a tree is an xarray.DataTree or a mapping of names to Datasets, not {type(tree).__name__}"
        )
    if isinstance(tree, xr.DataTree):
        every = {node.path: node.to_dataset() for node in tree.subtree if node.has_data}
    else:
        every = {str(path): ds for path, ds in tree.items()}
    return {path.strip("/"): ds for path, ds in every.items() if schema.kind_of(ds) is not None}


def tree_of(found: Mapping[str, xr.Dataset], like: xr.DataTree | None = None) -> xr.DataTree:
    """Return a tree of products; what else is in the tree ``like`` is kept."""
    every: dict[str, xr.Dataset] = {}
    if like is not None:
        every = {n.path.strip("/"): n.to_dataset(inherit=False) for n in like.subtree}
        products = {path for path, ds in every.items() if schema.kind_of(ds) is not None}
        every = {path: ds for path, ds in every.items() if path not in products}
    every |= found
    name = like.name if like is not None else None
    return xr.DataTree.from_dict({f"/{path}": ds for path, ds in every.items()}, name=name)


# ------------------------------------------------------------------ steps on nodes


def apply(
    spec: Step, tree: xr.DataTree, args: tuple[Any, ...], given: dict[str, Any]
) -> xr.DataTree:
    """Apply a step to every node that it is for, each with the defaults of its own mode.

    Parameters
    ----------
    spec : Step
        A step or a function of `SPLITS`, whose trees take the place of the node.
    tree : xarray.DataTree
        Nodes of another kind stay as they are. So do nodes of the kind whose mode the step is
        not for (images where light must be dispersed), with a `TsoWarning`.
    args, given : tuple, dict
        Arguments. A mapping from names of nodes to values gives each of them its own; nodes that
        are not named take the default. The name of a parent holds for what lies below it.

    Raises
    ------
    SchemaError
        Where no node is of the kind and mode.
    ValueError
        For a name that is no node.
    """
    found = nodes(tree)
    taken = _taken(spec, found)
    arguments = _arguments(spec, found, registry.named(spec, args, given))
    done: dict[str, xr.Dataset] = {}
    for path, ds in found.items():
        out = _run(spec, path, ds, arguments[path]) if path in taken else ds
        if isinstance(out, xr.DataTree):
            done |= {f"{path}/{below}".strip("/"): part for below, part in nodes(out).items()}
        else:
            done[path] = out
    return tree_of(done, like=tree)


def _run(spec: Step, path: str, ds: xr.Dataset, given: dict[str, Any]) -> Any:
    try:
        return spec.run(ds, **given)
    except Exception as error:
        error.add_note(f"{spec.name}: this is node {path!r}")
        raise


def _taken(spec: Step, found: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Return the nodes that a step is for; warn of those that only their mode excludes."""
    of_kind = {path: ds for path, ds in found.items() if schema.kind_of(ds) in spec.kinds}
    fitting = {path: ds for path, ds in of_kind.items() if checks.fits_optics(spec, ds)}
    takes = " or ".join(spec.kinds)
    if not of_kind:
        raise SchemaError(
            f"{spec.name}() takes {takes}; no node of this tree is that ({_said(found)})"
        )
    what = "images" if spec.imaging else "dispersed light"
    if not fitting:
        raise SchemaError(
            f"{spec.name}() takes {takes} of {what}; no node of this tree is that ({_said(found)})"
        )
    left = {path: ds for path, ds in of_kind.items() if path not in fitting}
    if left:
        warnings.warn(
            f"{spec.name}() takes {what}; left as they are: {_said(left)}", TsoWarning, stacklevel=4
        )
    return fitting


def _said(found: Mapping[str, xr.Dataset]) -> str:
    named = (
        f"{p or '/'}: {ds.attrs.get('tso_mode')} {schema.kind_of(ds)}" for p, ds in found.items()
    )
    return ", ".join(named) or "it has no products"


def _arguments(
    spec: Step, found: Mapping[str, xr.Dataset], given: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the arguments of each node."""
    every: dict[str, dict[str, Any]] = {path: {} for path in found}
    for name, value in given.items():
        if not _by_node(spec, name, value, found):
            for own in every.values():
                own[name] = value
            continue
        own_values = {str(key).strip("/"): each for key, each in value.items()}
        for key in sorted(own_values, key=lambda k: k.count("/")):  # nodes beat their parents
            for path in _below(key, found, f"{spec.name}: {name}"):
                every[path][name] = own_values[key]
    return every


def _by_node(spec: Step, name: str, value: Any, found: Mapping[str, xr.Dataset]) -> bool:
    """Return whether an argument has a value for each node; some parameters take mappings."""
    if not isinstance(value, Mapping) or name not in spec.parameters:
        return False
    annotation = spec.parameters[name].annotation
    own = getattr(spec.func, "__globals__", {}).get(annotation, annotation)
    if not any(text in str(own) for text in TAKES_MAPPINGS):
        return True
    return any(_holds(str(key).strip("/"), path) for key in value for path in found)


def _below(key: str, found: Mapping[str, xr.Dataset], where: str) -> list[str]:
    paths = [path for path in found if _holds(key, path)]
    if not paths:
        raise ValueError(f"{where} is given for {key!r}; the nodes are {', '.join(found)}")
    return paths


def _holds(key: str, path: str) -> bool:
    return path == key or path.startswith(f"{key}/")


# ------------------------------------------------------------------ to trees, and from them


def splits(
    *, kind: str | tuple[str, ...], needs: tuple[str, ...] = (), imaging: bool | None = None
) -> Callable[[Callable[..., xr.DataTree]], Callable[..., xr.DataTree]]:
    """Register a function that makes a tree of a Dataset, ``ds.tso.<name>()``.

    Parameters
    ----------
    kind : str or tuple of str
        Product kinds that it takes.
    needs : tuple of str
        Variables or coordinates that must be there.
    imaging : bool, optional
        As in `tsoxr.registry.step`.

    Returns
    -------
    callable
        Decorator for ``func(ds, *, ...) -> DataTree``. The nodes should be made by steps: these
        leave the records, this function has none of its own.
    """

    def register(func: Callable[..., xr.DataTree]) -> Callable[..., xr.DataTree]:
        @functools.wraps(func)
        def run(ds: xr.Dataset, *args: Any, **given: Any) -> xr.DataTree:
            used, _ = registry.resolve(spec, ds, registry.named(spec, args, given))
            checks.check_kind(spec, ds, registry.STEPS)
            checks.check_optics(spec, ds, registry.STEPS)
            checks.check_needs(spec, ds, registry.STEPS)
            return func(ds, **used)

        spec = _spec(func, run, kind, "tree", needs, imaging)
        SPLITS[spec.name] = spec
        return run

    return register


def joins(
    *, kind: str | tuple[str, ...]
) -> Callable[[Callable[..., xr.Dataset]], Callable[..., xr.Dataset]]:
    """Register a function that makes a Dataset of a tree, ``tree.tso.<name>()``.

    Parameters
    ----------
    kind : str or tuple of str
        Product kinds of the nodes that it takes.

    Returns
    -------
    callable
        Decorator for ``func(found, *, ...) -> Dataset`` of a mapping from path to Dataset. The
        function that it makes takes a tree or a mapping; nodes of other kinds do not take part.
        Mode defaults hold where all nodes are of one mode.
    """

    def register(func: Callable[..., xr.Dataset]) -> Callable[..., xr.Dataset]:
        @functools.wraps(func)
        def run(
            tree: xr.DataTree | Mapping[str, xr.Dataset], *args: Any, **given: Any
        ) -> xr.Dataset:
            found = nodes(tree)
            used, from_mode = registry.resolve(
                spec, _of_mode(spec, found), registry.named(spec, args, given)
            )
            return join_nodes(spec, found, used, from_mode=from_mode)

        spec = _spec(func, run, kind, None, (), None)
        JOINS[spec.name] = spec
        return run

    return register


def _of_mode(spec: Step, found: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return an empty Dataset of the mode that all nodes share, for its defaults."""
    own = {ds.attrs.get("tso_mode") for ds in found.values() if schema.kind_of(ds) in spec.kinds}
    return xr.Dataset(attrs={"tso_mode": own.pop()} if len(own) == 1 else {})


def join_nodes(
    spec: Step, every: Mapping[str, xr.Dataset], used: dict[str, Any], *, from_mode: list[str]
) -> xr.Dataset:
    """Run a function of `JOINS` with resolved parameters, and record it.

    Raises
    ------
    SchemaError
        Where no node is of a kind that it takes.
    """
    found = {path: ds for path, ds in every.items() if schema.kind_of(ds) in spec.kinds}
    if not found:
        raise SchemaError(
            f"{spec.name}() takes {' or '.join(spec.kinds)}; no node of this tree is that ({_said(every)})"
        )
    with registry.listening() as said:
        out = spec.func(found, **used)
    record = registry.record_of(spec, used, said, from_mode)
    return out.assign_attrs(history.joined({p: ds.attrs for p, ds in found.items()}, record))


def _spec(
    func: Callable[..., Any],
    run: Callable[..., Any],
    kind: str | tuple[str, ...],
    to: str | None,
    needs: tuple[str, ...],
    imaging: bool | None,
) -> Step:
    parameters, positional = registry.own_parameters(func)
    kinds = (kind,) if isinstance(kind, str) else kind
    own = (kinds, to, needs, (), False, parameters, positional)
    run.__signature__ = inspect.signature(func)  # type: ignore[attr-defined]
    return Step(func.__name__, func, *own, run, imaging)
