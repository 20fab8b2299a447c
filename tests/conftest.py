"""Fixtures of all tests: simulated data come from `tsoxr.simulate`, real ones from a folder."""

import os
from pathlib import Path

import hypothesis
import matplotlib as mpl
import pytest

mpl.use("Agg")

hypothesis.settings.register_profile("dev", max_examples=25, deadline=None)
hypothesis.settings.register_profile("long", max_examples=300, deadline=None)
hypothesis.settings.load_profile("dev")


def pytest_addoption(parser):
    parser.addoption("--run-long", action="store_true", help="run the long statistical checks too")


def pytest_configure(config):
    if config.getoption("--run-long"):
        hypothesis.settings.load_profile("long")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--run-long"):
        return
    for item in items:
        if "long" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="a long check; run by `make check`"))


@pytest.fixture(scope="session")
def real_data_dir():
    """Return the folder of real data, or skip and say why."""
    folder = Path(os.environ.get("TSOXR_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "formats").is_dir():
        pytest.skip(f"no real data at {folder}; set TSOXR_DATA to the folder that holds them")
    return folder


@pytest.fixture(autouse=True)
def _figures_are_closed():
    """Fail a test that leaves more than a few figures open."""
    yield
    import matplotlib.pyplot as plt

    left = len(plt.get_fignums())
    plt.close("all")
    assert left < 20, f"{left} figures were left open"


@pytest.fixture(autouse=True)
def _quiet():
    """Show no progress bars in tests."""
    from tsoxr import set_options

    with set_options(progress=False):
        yield
