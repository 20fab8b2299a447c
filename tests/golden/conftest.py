"""Checks against the STScI pipeline; they need an environment that holds both packages."""

import importlib.util
import logging
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


@pytest.fixture(scope="module")
def _offline(tmp_path_factory):
    """Keep the pipeline from asking its server for references."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STPIPE_DISABLE_CRDS_STEPPARS", "true")
        patch.setenv("CRDS_PATH", str(tmp_path_factory.mktemp("crds")))
        import jwst.stpipe.core

        patch.setattr(jwst.stpipe.core.crds_client, "get_context_used", lambda _: "N/A")
        logging.disable(logging.ERROR)
        yield
        logging.disable(logging.NOTSET)
