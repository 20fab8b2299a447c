"""What a reduction will take: parts that add up, and the measured height of a real one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import tsoxr
from tsoxr import memory, testing

REDUCE = """
import json, sys, warnings
import tsoxr
warnings.simplefilter("ignore")
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
def rates(ramps, **given):
    return (ramps.tso.flag_saturation().tso.subtract_bias().tso.correct_reference_pixels()
            .tso.clean_1overf().tso.linearize().tso.flag_jumps().tso.fit_ramps(**given))
tsoxr.set_options(progress=False, threads=2)
rates(tsoxr.simulate("nirspec-prism", kind="ramps", n_integrations=6))  # compiles
ramps = tsoxr.open(sys.argv[1] + "/*_uncal.fits")
table, before = ramps.tso.estimate_memory()["GB"], peak()
rates(ramps, compute=False).tso.save(sys.argv[1] + "/rates.nc")
lazy = peak() - before
rates(ramps)
print(json.dumps({"peak, lazy rates": [lazy / 1e9, table["peak, lazy rates"]],
                  "peak": [(peak() - before) / 1e9, table["peak"]]}))
"""


def test_parts_of_lazy_ramps(tmp_path):
    made = tsoxr.simulation.exposure("nirspec-prism", n_integrations=20, n_groups=3, seed=1)
    made.write(tmp_path)
    ramps = tsoxr.open(tmp_path / "*_uncal.fits", chunk_mb=1.0)
    with testing.raise_if_computes():
        table = ramps.tso.estimate_memory()
    size = table["GB"]
    assert size["data"] == pytest.approx(ramps["ramp"].nbytes * 1.5e-9, abs=1e-3)  # and uint8 flags
    # rate, rate_error and dq of 20 integrations of 32 x 512 pixels
    assert size["rates"] == pytest.approx(20 * 32 * 512 * 12e-9, abs=1e-3)
    assert size["peak"] == pytest.approx(size["peak, lazy rates"] + size["rates"], abs=2e-3)
    with tsoxr.set_options(threads=1):
        assert ramps.tso.estimate_memory()["GB"]["working"] <= size["working"]


def test_every_product_has_a_table():
    for kind in ("ramps", "rates", "spectra", "lightcurves"):
        table = testing.example(kind).tso.estimate_memory()
        assert table.loc["data", "GB"] == 0.0
        assert ("peak" in table.index) == (kind in ("ramps", "rates"))


def test_a_limit_of_the_control_group_counts(monkeypatch):
    if memory.available() is None:
        pytest.skip("this system does not tell its free memory")
    limits = {"/sys/fs/cgroup/memory.max": 3e9, "/sys/fs/cgroup/memory.current": 2e9}
    monkeypatch.setattr(memory, "_number", limits.get)
    assert memory.available() == pytest.approx(1e9)
    monkeypatch.setattr(memory, "_number", lambda _path: None)
    assert memory.available() > 1e9


@pytest.mark.long
@pytest.mark.parametrize(
    ("mode", "size"),
    [
        ("nirspec-prism", {"n_integrations": 1000, "n_groups": 10}),
        ("niriss-soss", {"subarray": "SUBSTRIP256", "n_integrations": 60, "n_groups": 5}),
        ("miri-lrs", {"n_integrations": 120, "n_groups": 40}),
    ],
)
def test_the_estimate_is_near_what_is_measured(tmp_path, mode, size):
    tsoxr.simulation.exposure(mode, seed=1, **size).write(tmp_path)
    command = [sys.executable, "-c", REDUCE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for measured, estimated in json.loads(done.stdout).values():
        assert 1 / 1.6 < estimated / measured < 1.6
