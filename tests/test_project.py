"""The project's own files agree with each other."""

import re
import tomllib
from pathlib import Path

import tsoxr

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"dask[array]": "dask-core", "matplotlib": "matplotlib-base", "netCDF4": "netcdf4"}


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements():
    """Return all requirements, the core's and the extras', as conda spells them."""
    given = project()
    extras = given["optional-dependencies"]
    every = [*given["dependencies"], *(r for name in extras for r in extras[name])]
    found = {}
    for text in every:
        name, floor = re.fullmatch(r"([\w\-]+(?:\[[\w,]+\])?)(>=[\d.]+)?", text).groups()
        if not name.startswith("tsoxr["):
            found[CONDA_NAMES.get(name, name)] = floor
    return found


def test_conda_environment_is_the_same():
    listed = re.findall(
        r"^  - ([\w\-]+)(>=[\d.]+)$", (ROOT / "environment.yml").read_text(), re.MULTILINE
    )
    assert dict(listed) == {"python": project()["requires-python"], **requirements()}


def test_requirements_have_floors_and_neither_caps_nor_addresses():
    assert all(floor is not None for floor in requirements().values())


def test_all_means_all():
    extras = project()["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(re.fullmatch(r"tsoxr\[(.*)\]", everything)[1].split(",")) == set(extras) - {"all"}


def test_versions_agree():
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {tsoxr.__version__}" in citation
    assert f"## {tsoxr.__version__}" in (ROOT / "CHANGELOG.md").read_text()
