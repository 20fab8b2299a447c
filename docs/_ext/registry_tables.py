"""Write the pages that follow from the code, into ``docs/generated``.

Nothing on these pages is written by hand: steps come from the registry, modes from
``modes.toml``, variables and attributes from the schema, flags from `tsoxr.dq`. `pages`
needs no Sphinx, so a test can read what it returns.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import shutil
from pathlib import Path
from typing import Any

import tsoxr
import xarray as xr
from tsoxr import accessor, dq, modes, registry, schema

KINDS = {
    "ramps": "Ramps",
    "rates": "Rates",
    "spectra": "Spectra",
    "lightcurves": "Light curves",
    "spectrum": "Spectrum",
}


def table(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """Return a Markdown table; an empty one becomes a sentence."""
    if not rows:
        return "*None.*\n"
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(_cell(c) for c in line) + " |" for line in lines) + "\n"


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ").strip()


def code(value: Any) -> str:
    """Return a value as inline code; several names as several."""
    if isinstance(value, tuple) and value and all(isinstance(v, str) for v in value):
        return ", ".join(f"`{v}`" for v in value)
    return f"`{value}`" if value not in ((), "") else ""


def pages(tutorials: tuple[str, ...] = ()) -> dict[str, str]:
    """Return every generated page: path below ``generated`` to Markdown text."""
    steps = registry.discover()
    found = {f"steps/{name}.md": step_page(spec) for name, spec in steps.items()}
    found |= {f"modes/{name}.md": mode_page(modes.get(name)) for name in modes.names()}
    found |= {f"tables/steps_{kind}.md": steps_table(kind) for kind in schema.KINDS}
    found |= {f"tables/variables_{kind}.md": variables_table(kind) for kind in schema.KINDS}
    found |= {
        "tables/modes.md": modes_table(),
        "tables/detectors.md": detectors_table(),
        "tables/attributes.md": attributes_table(),
        "tables/flags.md": flags_table(),
        "tables/pictures.md": pictures_table(),
        "tables/accessor.md": accessor_members(),
        "tables/tutorials.md": tutorials_list(tutorials),
    }
    return found


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


def step_page(spec: registry.Step) -> str:
    """Return the page of one step: what it takes, its defaults by mode, its docstring."""
    takes = " or ".join(spec.kinds)
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
        _eval_rst("autofunction", f"tsoxr.steps.{spec.name}"),
    ]
    parts += ["## Defaults by mode\n", _mode_values(spec)]
    if spec.name in registry.DIAGNOSTICS:
        parts += [
            f"## What it did\n\n`ds.tso.plot.{spec.name}()` draws it.\n",
            f"<!-- figure: {spec.name} -->\n",
        ]
    return "\n".join(parts)


def _eval_rst(directive: str, argument: str, *options: str) -> str:
    lines = "".join(f"   {option}\n" for option in options)
    return f"```{{eval-rst}}\n.. {directive}:: {argument}\n{lines}```\n"


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
    for name, spec in sorted(registry.STEPS.items()):
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
        if step in registry.STEPS
        for parameter, default in values.items()
    ]
    return table(("step", "parameter", "value", "reason"), rows)


def _defaults(mode: str, step: str) -> str:
    printed = xr.Dataset(attrs={"tso_mode": mode}).tso.defaults(step)
    own = modes.step_defaults(mode, step)
    parameters = registry.STEPS[step].parameters
    rows = []
    for name, line in printed.iterrows():
        required = parameters[name].default is inspect.Parameter.empty
        function = "to be given" if required else code(repr(line["function"]))
        rows.append(
            (code(name), function, code(repr(line["mode"])) if name in own else "", line["reason"])
        )
    return table(("parameter", "function", "mode", "reason"), rows)


def detectors_table() -> str:
    """Return the typical constants of every detector that a mode uses."""
    names = sorted({name for mode in modes.names() for name in modes.get(mode).detectors})
    rows = [
        (
            code(d.name),
            f"{d.gain:g}",
            f"{d.read_noise:g}",
            f"{d.saturation:g}",
            f"{d.dark:g}",
            "interleaved" if d.interleaved else "blocks",
        )
        for d in map(modes.detector, names)
    ]
    constants = (
        "gain [electron/DN]",
        "single-read noise [DN]",
        "saturation [DN]",
        "dark [electron/s]",
    )
    return table(("detector", *constants, "outputs"), rows)


# -------------------------------------------------------------------- data model


def variables_table(kind: str) -> str:
    """Return the schema of one product."""
    rows = [
        (
            code(name),
            ", ".join(v.dims),
            " or ".join(v.dtypes),
            " or ".join((v.units, *v.units_allowed)) if v.units is not None else "",
            v.long_name,
            "yes" if v.required else "",
        )
        for name, v in schema.SCHEMAS[kind].items()
    ]
    return table(("name", "dims", "dtype", "units", "meaning", "required"), rows)


def attributes_table() -> str:
    """Return the attributes of a Dataset and their meaning."""
    return table(("attribute", "meaning"), [(code(k), v) for k, v in schema.ATTRIBUTES.items()])


def flags_table() -> str:
    """Return the data-quality flags: name, bit, and what tsoxr does with them."""
    rows = [
        (
            code(name),
            value.bit_length() - 1,
            value,
            "yes" if name in dq.UNUSABLE else "",
            "yes" if name in dq.UNUSABLE_RATE else "",
        )
        for name, value in dq.FLAGS.items()
    ]
    return table(
        ("flag", "bit", "value", "makes a group unusable", "makes a rate or spectrum unusable"),
        rows,
    )


# --------------------------------------------------------------------- accessor


def pictures_table() -> str:
    """Return the plots that belong to a product rather than to a step."""
    rows = [
        (
            f"`ds.tso.plot.{p.name}()`",
            ", ".join(p.kinds),
            (inspect.getdoc(p.func) or "").partition("\n")[0],
        )
        for p in sorted(registry.PICTURES.values(), key=lambda p: p.name)
    ]
    return table(("plot", "of", "what it draws"), rows)


def accessor_members() -> str:
    """Return the members of ``ds.tso`` that are no steps, with their docstrings."""
    parts = []
    for name, member in vars(accessor.TsoAccessor).items():
        if name.startswith("_") or name in registry.STEPS:
            continue
        directive = "autoproperty" if isinstance(member, property) else "automethod"
        parts.append(_eval_rst(directive, f"tsoxr.accessor.TsoAccessor.{name}"))
    return "\n".join(parts)


def tutorials_list(names: tuple[str, ...]) -> str:
    """Return the table of contents of the notebooks."""
    if not names:
        return "*None in this checkout.*\n"
    lines = "".join(f"generated/tutorials/{name}\n" for name in names)
    return f"```{{toctree}}\n:maxdepth: 1\n\n{lines}```\n"


# ----------------------------------------------------------------------- writing


@functools.cache
def fingerprint() -> str:
    """Return what identifies the code that the pages show: package, extension, examples."""
    folders = (
        Path(tsoxr.__file__).parent,
        Path(__file__).parent,
        Path(__file__).parents[1] / "examples",
    )
    files = sorted(
        f for folder in folders for f in folder.rglob("*") if f.suffix in (".py", ".toml")
    )
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:16]


def write_pages(folder: Path, found: dict[str, str]) -> None:
    """Write what has changed and remove pages whose step or mode is gone."""
    for path, text in found.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
    for file in folder.rglob("*.md"):
        if str(file.relative_to(folder).as_posix()) not in found:
            file.unlink()


def copy_tutorials(source: Path, folder: Path) -> tuple[str, ...]:
    """Copy the notebooks to where Sphinx looks for pages; return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    notebooks = {file.name: file for file in sorted(source.glob("*.ipynb"))}
    for old in folder.glob("*.ipynb"):
        if old.name not in notebooks:
            old.unlink()
    for name, file in notebooks.items():
        target = folder / name
        if not target.exists() or target.read_bytes() != file.read_bytes():
            shutil.copyfile(file, target)
    return tuple(Path(name).stem for name in notebooks)


def generate(app: Any) -> None:
    """Make everything in ``docs/generated`` before Sphinx collects the pages."""
    import step_figures

    folder = Path(app.srcdir) / "generated"
    registry.discover()
    figures = (
        step_figures.draw_all(folder / "figures", fingerprint()) if app.config.step_figures else {}
    )
    tutorials = copy_tutorials(Path(app.srcdir).parent / "tutorials", folder / "tutorials")
    found = {path: step_figures.embed(text, figures) for path, text in pages(tutorials).items()}
    write_pages(folder, found)


def setup(app: Any) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_config_value("step_figures", default=True, rebuild="env")
    app.connect("builder-inited", generate)
    return {"version": tsoxr.__version__, "parallel_read_safe": True, "parallel_write_safe": True}
