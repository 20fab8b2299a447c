"""The documentation follows from the code, hangs together, and its examples run."""

import ast
import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

import tsoxr
from tsoxr import accessor, dq, modes, registry, schema, trees

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def generated():
    sys.path.insert(0, str(DOCS / "_ext"))
    try:
        import registry_tables

        return registry_tables.pages()
    finally:
        sys.path.remove(str(DOCS / "_ext"))


@pytest.fixture
def examples(monkeypatch):
    """Let pages import the files that they show, and forget the steps that these define."""
    before = dict(registry.discover()), dict(registry.DIAGNOSTICS)
    monkeypatch.syspath_prepend(str(DOCS / "examples"))
    yield DOCS / "examples"
    for table, old in zip((registry.STEPS, registry.DIAGNOSTICS), before, strict=True):
        for name in set(table) - set(old):
            sys.modules.pop(name, None)
            del table[name]


def test_every_step_has_a_page_and_a_line_for_each_kind(generated):
    for name, spec in registry.discover().items():
        assert f"autofunction:: tsoxr.steps.{name}\n" in generated[f"steps/{name}.md"]
        for kind in spec.kinds:
            assert (
                f"(generated/steps/{name}.md) | {spec.summary}"
                in generated[f"tables/steps_{kind}.md"]
            )


def test_every_default_of_a_mode_is_printed_with_its_reason(generated):
    every = trees.registered()
    for name in modes.names():
        page = generated[f"modes/{name}.md"]
        for step, values in modes.get(name).step_defaults.items():
            assert step in every, f"modes.toml: {name} sets {step}, which is no step"
            for parameter, default in values.items():
                assert parameter in every[step].parameters, f"{name}.{step}.{parameter}"
                line = f"`{parameter}` | `{default.value!r}` | {default.reason}"
                assert line in page
                assert line in generated[f"steps/{step}.md"]


def test_data_model_is_complete(generated):
    for kind, variables in schema.SCHEMAS.items():
        assert set(
            re.findall(r"^\| `(\w+)`", generated[f"tables/variables_{kind}.md"], re.MULTILINE)
        ) == set(variables)
    assert all(f"`{name}`" in generated["tables/attributes.md"] for name in schema.ATTRIBUTES)
    assert all(f"`{name}`" in generated["tables/flags.md"] for name in dq.FLAGS)


def test_every_mode_and_picture_is_listed(generated):
    assert all(f"[`{name}`]" in generated["tables/modes.md"] for name in modes.names())
    assert all(f"plot.{name}()" in generated["tables/pictures.md"] for name in registry.PICTURES)


def test_tables_are_rectangular(generated):
    for path, text in generated.items():
        for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
            widths = {len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(widths) == 1, f"{path}: {block}"


def test_every_public_name_is_documented(generated):
    page = (DOCS / "api.md").read_text()
    for name in tsoxr.__all__:
        assert re.search(
            rf"auto\w+:: (tsoxr\.)?{name}$|members: .*\b{name}\b", page, re.MULTILINE
        ) or (hasattr(tsoxr.errors, name) and "tsoxr.errors" in page), name
    for name in ("kind", "history", "summary", "save", "defaults"):
        assert hasattr(accessor.TsoAccessor, name)
        assert f"TsoAccessor.{name}\n" in generated["tables/accessor.md"]


def in_toctrees(generated):
    """Return the pages, without their ending, that toctrees reach."""
    known = [p.stem for p in PAGES] + [f"generated/{p.removesuffix('.md')}" for p in generated]
    listed = set()
    for page in PAGES:
        for block in TOCTREE.findall(page.read_text()):
            for entry in block.split():
                if entry.endswith("*"):
                    listed |= {k for k in known if k.startswith(entry[:-1])}
                elif not entry.startswith(":"):
                    listed.add(entry)
    return listed


def test_every_page_is_in_a_toctree(generated):
    listed = in_toctrees(generated)
    orphans = {p.stem for p in PAGES} - listed - {"index"}
    orphans |= {
        n for n in generated if not n.startswith("tables/") and f"generated/{n[:-3]}" not in listed
    }
    assert not orphans


def test_every_included_file_exists(generated):
    for page in PAGES:
        for target in re.findall(
            r"^```\{(?:literal)?include\} (\S+)$", page.read_text(), re.MULTILINE
        ):
            there = target.removeprefix("generated/") in generated or (DOCS / target).is_file()
            assert there, f"{page.name} includes {target}"


def doctests(page):
    """Return the interactive examples of a page as one doctest, ``None`` if there are none."""
    text = page.read_text()
    blocks = [
        (m.group(2), text[: m.start()].count("\n") + 1)
        for m in FENCE.finditer(text)
        if m.group(1) == "pycon"
    ]
    examples = []
    for source, line in blocks:
        for example in doctest.DocTestParser().get_examples(source, name=page.name):
            example.lineno += line
            examples.append(example)
    return doctest.DocTest(examples, {}, page.name, str(page), 0, text) if examples else None


@pytest.mark.parametrize("page", [p for p in PAGES if doctests(p)], ids=lambda p: p.stem)
def test_examples_run(page, examples):
    said = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    runner.run(doctests(page), out=said.append)
    assert runner.failures == 0, "".join(said)


def test_a_step_of_another_package_is_a_method_that_records():
    code = (
        "import divide_flat, tsoxr\n"  # imported before the first access, as an entry point is
        "rates = tsoxr.simulate('nirspec-prism', kind='rates', n_integrations=3, seed=1)\n"
        "rates = rates.assign(flat=rates['rate'].isel(time=0).drop_attrs() * 0 + 1)\n"
        "print(rates.tso.divide_flat().tso.history)"
    )
    run = [sys.executable, "-c", code]
    out = subprocess.run(run, capture_output=True, text=True, check=True, cwd=DOCS / "examples")
    assert out.stdout.startswith("1. divide_flat(smallest=0.2)")


def test_the_chain_of_the_first_page_runs(examples):
    scope = {}
    exec((examples / "chain.py").read_text(), scope)
    assert (scope["curves"].tso.spectrum()["depth"] > 0).mean() > 0.9
    again = {}
    exec(scope["curves"].tso.history.as_code(), again)
    xr.testing.assert_allclose(again["ds"]["flux"], scope["curves"]["flux"])


HOW_TO = [page for page in PAGES if "file_format: mystnb" in page.read_text()]
CELL = re.compile(r"^```\{code-cell\} ipython3\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def calls(page):
    """Return the steps that a how-to page calls, each with the names of its parameters."""
    for source in CELL.findall(page.read_text()):
        for node in ast.walk(ast.parse(source)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Attribute)
                and node.func.value.attr in ("tso", "plot")
            ):
                plot = node.func.value.attr == "plot"
                yield node.func.attr, plot, {k.arg for k in node.keywords if k.arg}


@pytest.mark.parametrize("page", HOW_TO, ids=lambda p: p.stem)
def test_how_to_pages_call_what_exists(page):
    """The build runs the cells; this finds a renamed step or parameter without it."""
    every = trees.registered()
    for name, plot, given in calls(page):
        if plot:
            assert name in registry.DIAGNOSTICS or name in registry.PICTURES, name
        elif name in every:
            assert given <= set(every[name].parameters), f"{name}: {given}"
        else:
            assert hasattr(accessor.TsoAccessor, name), name


def test_every_step_of_the_detector_level_is_on_a_how_to_page():
    table = (DOCS / "detector_level.md").read_text()
    order = table[table.index("| step |") : table.index("Noise that is common")]
    named = {name for name in re.findall(r"`(\w+)`", order) if name in registry.discover()}
    drawn = {name for page in HOW_TO for name, plot, _ in calls(page) if plot}
    assert len(named) > 12
    assert named - drawn <= {
        "subtract_template"
    }  # it needs a template, which nobody has by default
    assert sum(page.stem.startswith("detector_") for page in HOW_TO) == 4


def test_every_step_of_the_integration_level_is_on_a_how_to_page():
    table = (DOCS / "cube.md").read_text()
    order = table[table.index("| step |") : table.index("Each is described")]
    named = {name for name in re.findall(r"`(\w+)`", order) if name in registry.discover()}
    pages = [page for page in HOW_TO if page.stem.startswith("cube_")]
    drawn = {name for page in pages for name, plot, _ in calls(page) if plot}
    assert len(named) > 9
    assert named - drawn <= {
        "barycentric",
        "flag_contaminants",
    }  # need what no simulated rates have
    assert {f"{page.stem}" for page in pages} == set(re.findall(r"\((cube_\w+)\.md\)", table))
