"""The direction of imports: kernels <- model <- registry <- io <- plots <- steps <- accessor."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "tsoxr"
LAYERS = [
    {"kernels"},
    {
        "errors",
        "options",
        "progress",
        "workers",
        "reuse",
        "streaming",
        "dq",
        "schema",
        "mode_table",
        "history_code",
        "modes",
    },
    {"history", "deferred", "lazy", "chunks", "memory", "judged", "summary", "ephemeris", "times"},
    {"checks"},
    {"registry", "parameters", "trees"},
    {"io"},
    {"plots"},
    {"steps"},
    {"depth", "replay", "accessor", "tree_accessor", "simulation", "testing"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# replay opens a product, testing builds one: they may look at everything below and beside.


def imported(path, *, top_level_only):
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "tsoxr":
                yield from (f"tsoxr.{alias.name}" for alias in node.names)
            else:
                yield node.module


def files(layer):
    single = ROOT / f"{layer}.py"
    return [single] if single.exists() else sorted((ROOT / layer).rglob("*.py"))


@pytest.mark.parametrize("layer", sorted(RANK))
def test_imports_point_one_way(layer):
    assert files(layer), layer
    for path in files(layer):
        for module in imported(path, top_level_only=True):
            if module.startswith("tsoxr."):
                target = module.split(".")[1]
                if target in RANK:
                    assert RANK[target] <= RANK[layer], f"{path.name} imports {module}"


def test_kernels_know_only_arrays():
    allowed = {"numpy", "numba", "scipy", *sys.stdlib_module_names}
    for path in (ROOT / "kernels").rglob("*.py"):
        for module in imported(path, top_level_only=False):
            ok = module.split(".")[0] in allowed or module.startswith("tsoxr.kernels")
            assert ok, f"{path.name} imports {module}"


def test_slow_packages_are_imported_where_used():
    slow = {
        "matplotlib",
        "dask",
        "scipy.signal",
        "astropy",
        "h5py",
        "netCDF4",
        "IPython",
        "ipywidgets",
    }
    for path in ROOT.rglob("*.py"):
        found = {
            m
            for m in imported(path, top_level_only=True)
            if any(m == s or m.startswith(f"{s}.") for s in slow)
        }
        assert not found, f"{path.relative_to(ROOT)} imports {found} at its top"


def test_import_loads_nothing_slow():
    code = "import sys, tsoxr; print([m for m in ('matplotlib.pyplot', 'dask.array', 'numba', 'scipy.signal') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
