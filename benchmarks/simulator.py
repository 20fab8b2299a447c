"""Time and memory of simulating raw files, mode by mode, on one core.

Each exposure is written to disk in a process of its own, which may use one core and reports
its time, compilation left out, and its peak resident memory (``VmHWM`` of Linux) with the
interpreter and all imports. Memory is given for a quarter of the integrations and for all
of them: it must not grow with the ramps, only with the true light curves beside them, which
have a value for each integration and wavelength. The line before the last is a long exposure
that shows this; the last is the one with a stated limit, 30 integrations of 5 groups of SOSS's
SUBSTRIP256, below 60 s and 1.5 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from tsoxr.simulation import SETUPS, exposure

WRITE = """
import json, os, sys, time
from tsoxr.simulation import exposure
def peak():
    with open("/proc/self/status") as status:  # getrusage would count the parent's memory at the fork
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024**2
given, folder = json.loads(sys.argv[1]), sys.argv[2]
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
exposure(**{**given, "n_integrations": 1, "n_groups": 1}).write(folder + "/warm")
start = time.perf_counter()
exposure(**given).write(folder + "/raw")
print(json.dumps({"seconds": time.perf_counter() - start, "peak": peak()}))
"""

ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "NUMEXPR")}
LIMIT = {"mode": "niriss-soss", "subarray": "SUBSTRIP256", "n_integrations": 30, "n_groups": 5}
LONG = {"mode": "nirspec-prism", "n_integrations": 4000, "n_groups": 2}
HEAD = ("mode", "subarray", "pixels", "time x group", "s", "Msamples/s", "GB of 1/4", "GB of all")


@dataclass(frozen=True)
class Cost:
    """Seconds and peak memory, GB, of writing one exposure."""

    seconds: float
    peak: float


def cost(given: dict[str, object], repeat: int) -> Cost:
    """Write an exposure in other processes; return the best time and the largest memory."""
    found = [_once(given) for _ in range(repeat)]
    return Cost(min(f["seconds"] for f in found), max(f["peak"] for f in found))


def _once(given: dict[str, object]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", "-c", WRITE, json.dumps(given), folder]
        env = {**os.environ, **ONE_THREAD}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def row(given: dict[str, object], repeat: int) -> tuple[str, ...]:
    """Measure one exposure, and a quarter of it; return a line of the table."""
    made = exposure(**given)
    n_integrations, n_groups = made.n_integrations, made.n_groups
    whole = {**given, "n_integrations": n_integrations, "n_groups": n_groups}
    quarter = {**whole, "n_integrations": max(n_integrations // 4, 1)}
    all_of_it, part = cost(whole, repeat), cost(quarter, 1)
    n_y, n_x = made.setup.shape
    samples = n_integrations * n_groups * n_y * n_x
    return (
        made.mode,
        made.setup.subarray,
        f"{n_y} x {n_x}",
        f"{n_integrations} x {n_groups}",
        f"{all_of_it.seconds:.1f}",
        f"{1e-6 * samples / all_of_it.seconds:.2f}",
        f"{part.peak:.2f}",
        f"{all_of_it.peak:.2f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", nargs="+", default=list(SETUPS), choices=list(SETUPS))
    parser.add_argument("--repeat", type=int, default=2, help="the best time of so many counts")
    given = parser.parse_args()
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    exposures = [{"mode": mode} for mode in given.mode]
    for each in [*exposures, LONG, LIMIT]:
        print(f"| {' | '.join(row(each, given.repeat))} |", flush=True)


if __name__ == "__main__":
    main()
