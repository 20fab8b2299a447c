"""Peak memory and time of reducing a raw file larger than is comfortable.

Writes a simulated NIRSpec PRISM exposure of the wanted size, then reduces it from raw
ramps to a white light curve in a process of its own and reports that process's peak
resident memory (``VmHWM`` of Linux), beside what the interpreter with its imports takes.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REDUCE = """
import json, sys, time
import tsoxr
def peak():
    with open("/proc/self/status") as status:  # getrusage would count the parent's memory at the fork
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024**2
tsoxr.set_options(progress=False)
folder, compute = sys.argv[1], sys.argv[2] == "loaded"
ramps = tsoxr.open(folder + "/raw/*_uncal.fits")
base, start = peak(), time.perf_counter()
ramps = ramps.tso.use_references(folder + "/refs")
rates = (ramps.tso.flag_saturation().tso.subtract_bias().tso.correct_reference_pixels()
              .tso.clean_1overf().tso.linearize().tso.flag_jumps().tso.fit_ramps(compute=compute))
detector, middle = time.perf_counter() - start, peak()
size = sum(v.nbytes for v in rates.variables.values() if v.chunks is None) / 1024**3
for name in ("flag_outliers", "find_trace", "subtract_background", "assign_wavelength"):
    rates = getattr(rates.tso, name)()
spectra = tsoxr.lazy.compute(rates.tso.extract().tso.drop_diagnostics())
del rates
white = spectra.tso.white_light()
print(json.dumps({"after opening": base, "after fit_ramps": middle, "at the end": peak(), "rates in memory": size,
                  "seconds to rates": detector, "seconds in all": time.perf_counter() - start}))
"""


def write(folder: Path, gigabytes: float, n_groups: int) -> float:
    """Write raw segments and references; return the size of the raw files, GB."""
    from tsoxr.simulation import exposure

    n_integrations = int(gigabytes * 1024**3 / (2 * n_groups * 32 * 512))
    made = exposure("nirspec-prism", seed=1, n_integrations=n_integrations, n_groups=n_groups)
    made.write(folder / "raw", n_segments=max(1, round(gigabytes)))
    made.write_references(folder / "refs")
    return sum(p.stat().st_size for p in (folder / "raw").glob("*_uncal.fits")) / 1024**3


def reduced(folder: str, how: str) -> dict[str, float]:
    """Return memory (GB) and times (s) of the reduction in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", REDUCE, folder, how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--groups", type=int, nargs="+", default=[10, 20])
    parser.add_argument(
        "--rates",
        nargs="+",
        choices=["loaded", "lazy"],
        default=["loaded"],
        help="rates in memory (the default of fit_ramps), or lazy to the end",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=None,
        help="where the files go; a temporary folder if not given",
    )
    given = parser.parse_args()
    for n_groups in given.groups:
        with tempfile.TemporaryDirectory(dir=given.folder) as name:
            folder = Path(name)
            start = time.perf_counter()
            size = write(folder, given.gigabytes, n_groups)
            made = time.perf_counter() - start
            found = {how: reduced(name, how) for how in given.rates}
        print(f"\nraw {size:.2f} GB, {n_groups} groups of 32 x 512 (simulated in {made:.0f} s)")
        for how, values in found.items():
            print(f" rates {how}")
            for key, value in values.items():
                print(f"  {key:<18} {value:8.2f} {'s' if 'seconds' in key else 'GB'}")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"\n(the simulator itself peaked at {own:.2f} GB)")


if __name__ == "__main__":
    main()
