"""Checks against the STScI pipeline; they need an environment that holds both packages."""

import importlib.util
from pathlib import Path

import pytest

REASON = "the jwst package is not installed; `make golden` builds an environment that has it"


def pytest_collection_modifyitems(items):
    missing = importlib.util.find_spec("jwst") is None
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.golden)
            if missing:
                item.add_marker(pytest.mark.skip(reason=REASON))
