"""How long the first reduction takes: kernels are compiled when they are first called.

Raw NIRSpec PRISM ramps and their references are written to files, and reduced to rates by a
fresh interpreter with nothing but defaults, lazily, as a user would: with an empty cache of compiled
kernels, and again with the cache that this has filled. The times are from opening the files
to rates in memory; those of Python's start and of imports stand beside. The second table goes on to white
light, step by step (elapsed times). The third says
for which kernels the compiler worked, by module (numba's own events, without what nested
functions took), and how often: more compilations than functions are for several types of data.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from _peers import ran, table
from first_light import RAMPS

import tsoxr

CHAIN = """
import json, sys, threading, time
start, used = time.perf_counter(), time.process_time()
import tsoxr
from numba.core import event
imports = time.perf_counter() - start

class Timer(event.Listener):
    # seconds, compilations and functions of each module, and whose compilations are open
    def __init__(self):
        self.open, self.found = [], {}
    def on_start(self, event):
        self.open.append([time.thread_time(), 0.0])
    def on_end(self, event):
        begin, nested = self.open.pop()
        whole = time.thread_time() - begin
        if self.open:
            self.open[-1][1] += whole
        of = event.data["dispatcher"].py_func
        one = self.found.setdefault(of.__module__, [0.0, 0, set()])
        one[0] += whole - nested
        one[1] += 1
        one[2].add(of.__qualname__)

timer = Timer()
event.register("numba:compile", timer)
raw, references, steps, then = sys.argv[1:5]
tsoxr.set_options(progress=False)
start, used = time.perf_counter(), time.process_time()
ds = tsoxr.open(raw).tso.use_references(references)
for name in steps.split(","):
    ds = getattr(ds.tso, name)()
assert ds["rate"].chunks is None
spent = {"elapsed": time.perf_counter() - start, "processor": time.process_time() - used}
each = {}
for name in then.split(","):
    before = time.perf_counter()
    ds = getattr(ds.tso, name)()
    each[name] = time.perf_counter() - before
print(json.dumps(spent | {
    "imports": imports, "each": each,
    "modules": {k: [s, n, len(names)] for k, (s, n, names) in timer.found.items()},
}))
"""

LIGHT = (
    "flag_bad_pixels", "flag_outliers", "subtract_background", "find_trace", "track", "extract",
    "white_light",
)  # fmt: skip
"""Steps from rates to white light."""

GROUPS = {
    "stripe": "clean_1overf", "jump": "flag_jumps", "ramp": "ramps: fit_ramps, part of flag_jumps",
    "medians": "medians: of several steps",
}  # fmt: skip
"""What the names of the modules of kernels begin with, and the step that they serve."""


def shares(modules: dict[str, list[float]]) -> list[list[str]]:
    """Return seconds, compilations and functions by step, the slowest first."""
    found: dict[str, list[float]] = defaultdict(lambda: [0.0, 0, 0])
    for name, numbers in modules.items():
        short = name.rsplit(".", 1)[-1]
        step = next((s for begin, s in GROUPS.items() if short.startswith(begin)), short)
        found[step] = [a + b for a, b in zip(found[step], numbers, strict=True)]
    order = sorted(found.items(), key=lambda item: -item[1][0])
    return [[step, f"{s:.1f}", f"{n:.0f}", f"{k:.0f}"] for step, (s, n, k) in order]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", default="nirspec-prism")
    parser.add_argument("--integrations", type=int, default=60)
    parser.add_argument("--modules", action="store_true", help="also each module by itself")
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    runs: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name), Path(name) / "cache"
        exposure = tsoxr.simulation.exposure(given.mode, n_integrations=given.integrations, seed=1)
        (raw,) = exposure.write(folder)
        exposure.write_references(folder / "refs")
        for state in ("empty cache", "full cache"):
            arguments = raw, folder / "refs", ",".join(RAMPS), ",".join(LIGHT)
            runs[state] = ran(sys.executable, CHAIN, *arguments, NUMBA_CACHE_DIR=str(cache))
    header = ["from raw files to rates, s", "elapsed", "processor", "imports, elapsed"]
    rows = [
        [state, *(f"{found[k]:.1f}" for k in ("elapsed", "processor", "imports"))]
        for state, found in runs.items()
    ]
    print(table(header, rows), end="\n\n")
    each = [[state, *(f"{found['each'][n]:.1f}" for n in LIGHT)] for state, found in runs.items()]
    print(table(["from rates to white light, s", *LIGHT], each), end="\n\n")
    modules = runs["empty cache"]["modules"]
    print(table(["compiler at work for", "s", "compilations", "functions"], shares(modules)))
    if given.modules:
        longest = sorted(modules.items(), key=lambda item: -item[1][0])
        print()
        print(table(["module", "s", "n", "functions"], [[k, *map(str, v)] for k, v in longest]))


if __name__ == "__main__":
    main()
