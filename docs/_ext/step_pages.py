"""Pages and tables of steps and modes, from the registry and ``modes.toml``."""

from __future__ import annotations

import inspect

import xarray as xr
from md_text import code, eval_rst, table

from tsoxr import modes, registry, trees

# ------------------------------------------------------------------------- steps


def steps_table(kind: str) -> str:
    """Return the steps that take a product of this kind, one per line."""
    rows = [
        (
            f"[`{s.name}`](generated/steps/{s.name}.md)",
            s.summary,
            code(s.needs),
            code(s.adds),
            code(s.to) if s.to else "",
        )
        for s in sorted(registry.STEPS.values(), key=lambda s: s.name)
        if kind in s.kinds
    ]
    return table(("step", "what it does", "needs", "adds", "makes"), rows)


def trees_table() -> str:
    """Return the functions that make trees of Datasets, and Datasets of trees, one per line."""
    rows = [
        (
            f"[`{s.name}`](generated/steps/{s.name}.md)",
            s.summary,
            " or ".join(s.kinds) if s.to else f"a tree of {' or '.join(s.kinds)}",
            "a tree" if s.to else "the same kind",
        )
        for s in (*trees.SPLITS.values(), *trees.JOINS.values())
    ]
    return table(("function", "what it does", "takes", "makes"), rows)


def step_page(spec: registry.Step) -> str:
    """Return the page of one step: what it takes, its defaults by mode, its docstring."""
    takes = ("a tree of " if spec.name in trees.JOINS else "") + " or ".join(spec.kinds)
    makes = spec.to if spec.to is not None else "the same kind"
    facts = [f"Takes **{takes}**, makes **{makes}**."]
    if spec.needs:
        facts.append(f"Needs {code(spec.needs)}.")
    if spec.adds:
        facts.append(f"Adds {code(spec.adds)}.")
    if spec.once:
        facts.append("Is applied once; a second time takes `again=True`.")
    parts = [
        f"# {spec.name}\n",
        " ".join(facts) + "\n",
        eval_rst("autofunction", f"tsoxr.steps.{spec.name}"),
    ]
    parts += ["## Defaults by mode\n", _mode_values(spec)]
    if spec.name in registry.DIAGNOSTICS:
        parts += [
            f"## What it did\n\n`ds.tso.plot.{spec.name}()` draws it.\n",
            f"<!-- figure: {spec.name} -->\n",
        ]
    return "\n".join(parts)


def _mode_values(spec: registry.Step) -> str:
    rows = [
        (
            f"[{name}](../modes/{name}.md)",
            code(parameter),
            code(repr(default.value)),
            default.reason,
        )
        for name in modes.names()
        for parameter, default in modes.step_defaults(name, spec.name).items()
    ]
    if not rows:
        return "No mode sets a value of its own; the signature's defaults hold everywhere.\n"
    return table(("mode", "parameter", "value", "reason"), rows)


# ------------------------------------------------------------------------- modes


def modes_table() -> str:
    """Return `tsoxr.modes.table` as Markdown."""
    rows = [
        (
            f"[`{row['mode']}`](generated/modes/{row['mode']}.md)",
            row["title"],
            row["detectors"],
            row["subarrays"],
            row["dispersion"],
            _range(row["wavelength_um"]),
        )
        for row in modes.table()
    ]
    return table(
        ("mode", "observing mode", "detectors", "subarrays", "dispersion", "wavelength [um]"), rows
    )


def _range(limits: tuple[float, float] | None) -> str:
    return "" if limits is None else f"{limits[0]:g} to {limits[1]:g}"


def mode_page(mode: modes.Mode) -> str:
    """Return the page of one mode: what it is, and the default of every step's parameter."""
    match = "; ".join(
        f"{key.upper()} is {' or '.join(values)}" for key, values in mode.match.items()
    )
    rows = [
        ("recognised by", match),
        ("detectors", ", ".join(mode.detectors)),
        ("subarrays", ", ".join(mode.subarrays)),
        ("across dispersion", "" if mode.imaging else code(mode.spatial_dim)),
        ("along dispersion", "" if mode.imaging else code(mode.dispersion_dim)),
        ("wavelength range [um]", _range(mode.wavelength_range)),
        ("orders", ", ".join(map(str, mode.orders))),
    ]
    parts = [f"# {mode.name}\n", f"{mode.title}.\n", table(("", ""), [r for r in rows if r[1]])]
    parts += ["## Values that this mode sets\n", _own_values(mode)]
    parts += ["## Every default\n", "What `ds.tso.defaults(step)` prints for data of this mode.\n"]
    for name, spec in sorted(trees.registered().items()):
        if spec.parameters:
            parts += [f"### {name}\n", _defaults(mode.name, name)]
    return "\n".join(parts)


def _own_values(mode: modes.Mode) -> str:
    rows = [
        (
            f"[`{step}`](../steps/{step}.md)",
            code(parameter),
            code(repr(default.value)),
            default.reason,
        )
        for step, values in sorted(mode.step_defaults.items())
        if step in trees.registered()
        for parameter, default in values.items()
    ]
    return table(("step", "parameter", "value", "reason"), rows)


def _defaults(mode: str, step: str) -> str:
    printed = xr.Dataset(attrs={"tso_mode": mode}).tso.defaults(step)
    own = modes.step_defaults(mode, step)
    parameters = trees.registered()[step].parameters
    rows = []
    for name, line in printed.iterrows():
        required = parameters[name].default is inspect.Parameter.empty
        function = "to be given" if required else code(repr(line["function"]))
        rows.append(
            (code(name), function, code(repr(line["mode"])) if name in own else "", line["reason"])
        )
    return table(("parameter", "function", "mode", "reason"), rows)
