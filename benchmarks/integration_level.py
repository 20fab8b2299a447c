"""The whole integration level: rates of an exposure to a clean, traced, timed cube, with defaults.

Simulated rates are written to netCDF. A process of its own opens them and applies bad pixels, outliers,
trace, background, motion, wavelengths, replacement and the time of every pixel, each with nothing but
defaults. "in memory": `tsoxr.open` loads the rates, each step is timed where it is done; "lazy": the
file is opened in chunks, and what comes out is streamed into another file.

Elapsed and processor time (of all threads) hold neither the start of Python nor imports nor compilation: each
mode runs once before, on few integrations. Memory is the peak of the process (``VmHWM`` of Linux),
imports included.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from _peers import ran, table

import tsoxr

CASES: dict[str, dict[str, Any]] = {
    "soss": {"mode": "niriss-soss", "subarray": "SUBSTRIP256", "n_integrations": 280},
    "g395h": {"mode": "nirspec-g395h", "n_integrations": 1000},
}
STEPS = (
    "flag_bad_pixels",
    "flag_outliers",
    "find_trace",
    "subtract_background",
    "track",
    "assign_wavelength",
    "replace_bad_pixels",
    "pixel_time",
)
FEW = 20
WAYS = ("in memory", "lazy")

LEVEL = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import xarray as xr
import tsoxr
path, out, way, threads, steps = sys.argv[1:]
tsoxr.set_options(progress=False, threads=int(threads))
clocks = time.perf_counter, time.process_time
start, parts = [clock() for clock in clocks], {}
def spent(since):
    return [clock() - then for clock, then in zip(clocks, since)]
if way == "lazy":
    chunks = {"time": max(1, round(8e6 / 4 / xr.open_dataset(path, decode_times=False).rate[0].size))}
    ds = xr.open_dataset(path, decode_times=False, chunks=chunks)
else:
    ds = tsoxr.open(path)
parts["opening"] = spent(start)
for name in steps.split(","):
    before = [clock() for clock in clocks]
    made = getattr(ds.tso, name)()
    if name == "pixel_time":
        clock_of_pixels = made if way == "in memory" else made.isel(time=0)
    else:
        ds = made
    parts[name] = spent(before)
before = [clock() for clock in clocks]
if way == "lazy":
    ds.tso.save(out)
parts["saving"] = spent(before)
seconds, processor = spent(start)
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024**2
print(json.dumps({"seconds": seconds, "processor": processor, "peak": peak, "parts": parts}))
"""


def write(given: dict[str, Any], path: Path) -> float:
    """Write simulated rates as `fit_ramps` leaves them; return their size, GB."""
    rates = tsoxr.simulation.exposure(**given, seed=1).rates()
    usual = rates["rate_read_variance"].isel(time=0, drop=True)
    rates = rates.drop_vars("wavelength").assign(rate_read_variance=usual)
    rates.tso.save(path)
    return path.stat().st_size / 1024**3


def row(case: str, size: float, way: str, threads: int, found: dict[str, Any]) -> list[str]:
    """Return the figures of one run."""
    start = [f"{case}, {size:.2f} GB", way, str(threads)]
    return [*start, *(f"{found[k]:.1f}" for k in ("seconds", "processor")), f"{found['peak']:.2f}"]


def shares(case: str, way: str, threads: int, found: dict[str, Any]) -> str:
    """Return elapsed and processor time of the parts of one run."""
    parts = (f"{k} {s:.1f} ({p:.1f})" for k, (s, p) in found["parts"].items() if s > 0.05)
    return f"{case}, {way}, {threads}: " + ", ".join(parts)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, os.cpu_count()])
    parser.add_argument("--folder", type=Path, help="where rates stay, to be used again")
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    rows, parts = [], []
    for case in given.cases:
        with tempfile.TemporaryDirectory() as name:
            folder = given.folder or Path(name)
            few, rates, out = (folder / f"{case}{kind}.nc" for kind in ("_few", "", "_out"))
            write(CASES[case] | {"n_integrations": FEW}, few)
            if not rates.exists():
                write(CASES[case], rates)
            size = rates.stat().st_size / 1024**3
            for way in given.ways:
                ran(sys.executable, LEVEL, few, out, way, 1, ",".join(STEPS))  # compiles
                for threads in given.threads:
                    found = ran(
                        sys.executable, LEVEL, rates, out, way, threads, ",".join(STEPS),
                        NUMBA_NUM_THREADS=str(threads),
                    )  # fmt: skip
                    rows.append(row(case, size, way, threads, found))
                    parts.append(shares(case, way, threads, found))
                    print(parts[-1], file=sys.stderr, flush=True)
    print(table(["case", "", "threads", "s", "s, processor", "peak, GB"], rows))
    print("\ns (s of the processor) of each part:\n" + "\n".join(parts))


if __name__ == "__main__":
    main()
