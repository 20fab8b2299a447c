"""``tree.tso``: what ``ds.tso`` has, for every node of a tree.

Steps go to the nodes that they are for. Tables have one more column or level, the node; what is
one thing for a Dataset is a dict by node here; plots have one panel for each node.
"""

from __future__ import annotations

import functools
import html
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from tsoxr import history, modes, registry, schema, summary, trees
from tsoxr.errors import SchemaError
from tsoxr.history_code import variable_names

__all__ = ["TreeAccessor", "TreeHistory", "TreePlotView", "attach"]

PANEL = (7.5, 3.0)
"""Width and height of a panel, inches."""


class TreeHistory(dict[str, history.History]):
    """The histories of the nodes by path; nodes with the same one are printed together."""

    def _groups(self) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for path, own in self.items():
            groups.setdefault(repr(own), []).append(path)
        return groups

    def __repr__(self) -> str:
        return "\n".join(f"{', '.join(paths)}:\n{text}" for text, paths in self._groups().items())

    def _repr_html_(self) -> str:
        return "".join(
            f"<p><b>{html.escape(', '.join(paths))}</b></p>{self[paths[0]]._repr_html_()}"
            for paths in self._groups().values()
        )

    def as_code(self) -> str:
        """Return the chain of each node as Python source, and the tree of all of them."""
        lines, names = ["import xarray as xr", "", "import tsoxr", ""], variable_names(self)
        for path, own in self.items():
            lines += own.chain(names[path])
        listed = ", ".join(f"{path!r}: {name}" for path, name in names.items())
        return "\n".join([*lines, f"tree = xr.DataTree.from_dict({{{listed}}})"])


class TreePlotView:
    """``tree.tso.plot``: the plots of ``ds.tso.plot``, one panel for each node that has it."""

    __slots__ = ("_tree",)

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def __dir__(self) -> list[str]:
        return sorted(
            {name for ds in trees.nodes(self._tree).values() for name in dir(ds.tso.plot)}
        )

    def __repr__(self) -> str:
        return f"plots of these nodes: {', '.join(dir(self))}"


class TreeAccessor:
    """Steps, plots, histories and products of all nodes of a DataTree, as ``tree.tso``.

    Parameters
    ----------
    tree : xarray.DataTree
        One detector or order per node.
    """

    __slots__ = ("_tree",)

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def __dir__(self) -> list[str]:
        kinds = set(self.kind.values())
        other = {s.name for s in trees.registered().values() if not kinds & set(s.kinds)}
        return [name for name in object.__dir__(self) if name not in other]

    @property
    def nodes(self) -> dict[str, xr.Dataset]:
        """The products of the tree by path; nothing is copied."""
        return trees.nodes(self._tree)

    @property
    def kind(self) -> dict[str, str | None]:
        """Product kind of each node."""
        return {path: schema.kind_of(ds) for path, ds in self.nodes.items()}

    @property
    def mode(self) -> dict[str, modes.Mode | None]:
        """Observing mode of each node."""
        return {path: ds.tso.mode for path, ds in self.nodes.items()}

    @property
    def history(self) -> TreeHistory:
        """What was done to each node, as a table and as code (``.as_code()``)."""
        return TreeHistory((path, ds.tso.history) for path, ds in self.nodes.items())

    @property
    def header(self) -> dict[str, dict[str, dict[str, Any]]]:
        """FITS cards of the file that each node came from."""
        return {path: ds.tso.header for path, ds in self.nodes.items()}

    @property
    def plot(self) -> TreePlotView:
        """Plots of the nodes, one panel for each."""
        return TreePlotView(self._tree)

    def defaults(self, step: str) -> pd.DataFrame:
        """Return the defaults of a step for each node's mode; rows are node and parameter."""
        return self._by_node(lambda ds: ds.tso.defaults(step))

    def summary(self) -> pd.DataFrame:
        """Return what to judge each step by, as for a Dataset, with a column ``node``."""
        tables = self._by_node(lambda ds: ds.tso.summary())
        return tables.reset_index("node").reset_index(drop=True)

    def estimate_memory(self) -> pd.DataFrame:
        """Return what is in memory and what the next stage adds, of each node; nodes go in turn."""
        return self._by_node(lambda ds: ds.tso.estimate_memory())

    def validate(self, *, strict: bool = False) -> list[str]:
        """Return what differs from the schema, by node; with ``strict`` the first raises."""
        return [
            f"{path}: {problem}"
            for path, ds in self.nodes.items()
            for problem in ds.tso.validate(strict=strict)
        ]

    def save(self, path: str | Path) -> Path:
        """Write the tree to netCDF, each node with its own coordinates; see `TsoAccessor.save`."""
        from tsoxr import io

        return io.save(self._tree, path)

    def drop_diagnostics(self) -> xr.DataTree:
        """Return the tree without the diagnostic variables of its steps."""
        done = {path: ds.tso.drop_diagnostics() for path, ds in self.nodes.items()}
        return trees.tree_of(done, like=self._tree)

    def pixel_time(self, *, of: str = "integration") -> dict[str, xr.DataArray]:
        """Return when each pixel, or wavelength, of each node was measured."""
        return {path: ds.tso.pixel_time(of=of) for path, ds in self.nodes.items()}

    def median_image(self) -> dict[str, xr.DataArray]:
        """Return the median frame of each node of ramps or rates."""
        return {path: ds.tso.median_image() for path, ds in self._of("ramps", "rates").items()}

    def spectrum(self) -> xr.DataTree:
        """Return the tree with the depths of each node of light curves; others stay as they are."""
        done = {path: ds.tso.spectrum() for path, ds in self._of("lightcurves").items()}
        return trees.tree_of({**self.nodes, **done}, like=self._tree)

    def _of(self, *kinds: str) -> dict[str, xr.Dataset]:
        found = {path: ds for path, ds in self.nodes.items() if schema.kind_of(ds) in kinds}
        if not found:
            there = (
                ", ".join(f"{path}: {kind}" for path, kind in self.kind.items()) or "no products"
            )
            raise SchemaError(f"no node of this tree is {' or '.join(kinds)}; there are {there}")
        return found

    def _by_node(self, table: Callable[[xr.Dataset], pd.DataFrame]) -> pd.DataFrame:
        """Return the tables of all nodes, the node being the first level of the index."""
        tables = {path: table(ds) for path, ds in self._of(*schema.KINDS).items()}
        return pd.concat(tables, names=["node"])

    def __repr__(self) -> str:
        return "\n".join(f"/{path}: {summary.identity(ds)}" for path, ds in self.nodes.items())

    def _repr_html_(self) -> str:
        listed = "".join(
            f"<p><b>/{html.escape(path)}</b>: {html.escape(summary.identity(ds))}</p>"
            for path, ds in self.nodes.items()
        )
        return listed + self.history._repr_html_()


# ------------------------------------------------------------------ what is registered


def attach() -> None:
    """Give the accessor a method for each step and the plot view one for each plot."""
    for name, spec in {**registry.STEPS, **trees.SPLITS}.items():
        setattr(TreeAccessor, name, _step(spec))
    for name, spec in trees.JOINS.items():
        setattr(TreeAccessor, name, _join(spec))
    for name in {**registry.DIAGNOSTICS, **registry.PICTURES}:
        setattr(TreePlotView, name, _plot(name))


def _step(spec: registry.Step) -> Callable[..., xr.DataTree]:
    @functools.wraps(spec.run)
    def method(self: TreeAccessor, *args: Any, **given: Any) -> xr.DataTree:
        return trees.apply(spec, self._tree, args, given)

    return _signed(method, spec.run)


def _join(spec: registry.Step) -> Callable[..., xr.Dataset]:
    @functools.wraps(spec.run)
    def method(self: TreeAccessor, *args: Any, **given: Any) -> xr.Dataset:
        return spec.run(self._tree, *args, **given)

    return _signed(method, spec.run)


def _signed(method: Callable[..., Any], func: Callable[..., Any]) -> Callable[..., Any]:
    """Show the parameters of a function of data as those of a method."""
    signature = inspect.signature(func)
    _, *rest = signature.parameters.values()
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = signature.replace(parameters=[own, *rest])  # type: ignore[attr-defined]
    return method


def _plot(name: str) -> Callable[..., dict[str, Any]]:
    func = registry.DIAGNOSTICS.get(name) or registry.PICTURES[name].func

    @functools.wraps(func)
    def method(self: TreePlotView, **given: Any) -> dict[str, Any]:
        found = {
            path: ds for path, ds in trees.nodes(self._tree).items() if name in dir(ds.tso.plot)
        }
        if not found:
            raise SchemaError(
                f"plot.{name}: no node of this tree has it; there are {', '.join(dir(self))}"
            )
        return _panels(name, found, given)

    return _signed(method, func)


def _panels(name: str, found: dict[str, xr.Dataset], given: dict[str, Any]) -> dict[str, Any]:
    """Draw each node on a panel of its own, on new axes unless ``ax`` has them by path."""
    axes = given.pop("ax", None)
    if axes is None:
        import matplotlib.pyplot as plt

        size = (PANEL[0], PANEL[1] * len(found))
        _, column = plt.subplots(len(found), 1, figsize=size, layout="constrained", squeeze=False)
        axes = dict(zip(found, column[:, 0], strict=True))
    drawn = {}
    for path, ds in found.items():
        drawn[path] = getattr(ds.tso.plot, name)(ax=axes[path], **given)
        title = axes[path].get_title()
        axes[path].set_title(f"{path}: {title}" if title else path, fontsize="medium")
    return drawn
