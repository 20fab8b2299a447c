"""Write the pages that follow from the code, into ``docs/generated``.

Nothing on these pages is written by hand: steps come from the registry, modes from
``modes.toml``, variables and attributes from the schema, flags from `tsoxr.dq`. `pages`
needs no Sphinx, so a test can read what it returns.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import shutil
from pathlib import Path
from typing import Any

import model_tables
import simulator_gallery
import step_pages

import tsoxr
from tsoxr import modes, registry, schema, trees


def pages(tutorials: tuple[str, ...] = ()) -> dict[str, str]:
    """Return every generated page: path below ``generated`` to Markdown text."""
    every = trees.registered().items()
    found = {f"steps/{name}.md": step_pages.step_page(spec) for name, spec in every}
    found |= {f"modes/{name}.md": step_pages.mode_page(modes.get(name)) for name in modes.names()}
    found |= {f"tables/steps_{kind}.md": step_pages.steps_table(kind) for kind in schema.KINDS}
    found |= {
        f"tables/variables_{kind}.md": model_tables.variables_table(kind) for kind in schema.KINDS
    }
    found |= {
        "tables/modes.md": step_pages.modes_table(),
        "tables/detectors.md": model_tables.detectors_table(),
        "tables/attributes.md": model_tables.attributes_table(),
        "tables/flags.md": model_tables.flags_table(),
        "tables/pictures.md": model_tables.pictures_table(),
        "tables/accessor.md": model_tables.accessor_members(),
        "tables/tree_accessor.md": model_tables.tree_accessor_members(),
        "tables/steps_trees.md": step_pages.trees_table(),
        "tables/sources.md": simulator_gallery.sources_table(),
        "tables/simulated.md": simulator_gallery.page(),
        "tables/tutorials.md": tutorials_list(tutorials),
        "tables/benchmarks.md": benchmarks_list(Path(__file__).parents[2] / "benchmarks"),
    }
    return found


def tutorials_list(names: tuple[str, ...]) -> str:
    """Return the table of contents of the notebooks."""
    if not names:
        return "*None in this checkout.*\n"
    lines = "".join(f"generated/tutorials/{name}\n" for name in names)
    return f"```{{toctree}}\n:maxdepth: 1\n\n{lines}```\n"


def benchmarks_list(folder: Path) -> str:
    """Return what each benchmark measures, and what it printed where ``results`` holds that."""
    parts = []
    for file in sorted(folder.glob("[!_]*.py")):
        text = ast.get_docstring(ast.parse(file.read_text())) or ""
        result = folder / "results" / f"{file.stem}.txt"
        printed = (
            f"```text\n{result.read_text().strip()}\n```"
            if result.exists()
            else "*No result is kept.*"
        )
        parts.append(f"## {file.stem}\n\n{text}\n\n{printed}\n")
    return "\n".join(parts) if parts else "*None in this checkout.*\n"


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
    if app.config.step_figures:
        simulator_gallery.draw_all(folder / "figures" / "simulated", fingerprint())
    tutorials = copy_tutorials(Path(app.srcdir).parent / "tutorials", folder / "tutorials")
    found = {path: step_figures.embed(text, figures) for path, text in pages(tutorials).items()}
    write_pages(folder, found)


def setup(app: Any) -> dict[str, Any]:
    """Connect to Sphinx."""
    app.add_config_value("step_figures", default=True, rebuild="env")
    app.connect("builder-inited", generate)
    return {"version": tsoxr.__version__, "parallel_read_safe": True, "parallel_write_safe": True}
