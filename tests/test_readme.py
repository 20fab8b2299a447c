"""The README's chain runs as printed."""

import re
from pathlib import Path

import pytest

import tsoxr

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def printed():
    (block,) = re.findall(
        r"<!-- this block is run .*? -->\n```python\n(.*?)```", README.read_text(), re.DOTALL
    )
    return block


def test_chain_runs_as_printed(printed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exposure = tsoxr.simulation.exposure("nirspec-prism", seed=3, n_integrations=40)
    exposure.write("output/raw", n_segments=2)
    exposure.write_references("output/references")
    scope = {}
    exec(printed, scope)
    assert scope["white"].tso.kind == "lightcurves"
    assert scope["white"].sizes["time"] == 40
    assert tsoxr.open("output/white.nc").identical(scope["white"])
    # median |difference| of a Gaussian series is 0.954 sigma, and few differences lie in ingress
    ratio = (
        abs(scope["white"].flux.diff("time")).median() / 0.954 / scope["white"].flux_error.median()
    )
    assert 0.5 < float(ratio) < 1.8  # 40 points: 15 % of error of the scatter


def test_chain_is_ten_lines_or_so(printed):
    lines = [line for line in printed.splitlines() if line.strip()]
    assert len(lines) <= 10
