"""The whole detector level beside the STScI pipeline: time, memory and scatter, same files, one run.

Simulated raw files and their references are reduced from raw ramps to rates on disk by both, each in a
process of its own: saturation, bias, reference pixels, 1/f noise, linearity, jumps, ramp fit. tsoxr runs with
nothing but defaults (1/f noise by `scaled`) and streams from the FITS files into a netCDF file.
The pipeline runs with its defaults as well, but for 1/f noise, by the median of lines at group
level without a background (its default for NIRSpec, `fft`, takes hundreds of times longer than the
rest), and with one process. It refuses to remove 1/f noise from MIRI's slitless
spectra, and has neither bias nor reference pixels there: it does less.

Times are elapsed times and hold reading, writing and the loading of references, but neither the
start of Python nor imports nor compilation. Memory is the peak of the process (``VmHWM`` of Linux), imports included.
Files above `--piece` GB the pipeline gets in pieces of that size, one process for each, as the archive cuts
long exposures: its memory is that of one piece. "scatter": of single pixels (the median
of those with more than a hundredth of the brightest one's light that both trust) and of their sum, both against the true
light curve, tsoxr over pipeline.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from _peers import ran, table
from astropy.io import fits
from first_light import RAMPS

import tsoxr

CASES: dict[str, dict[str, Any]] = {
    "prism": {"mode": "nirspec-prism", "n_integrations": 200, "n_groups": 10},
    "g395h": {"mode": "nirspec-g395h", "n_integrations": 50, "n_groups": 20},
    "soss": {"mode": "niriss-soss", "subarray": "SUBSTRIP256", "n_integrations": 20, "n_groups": 5},
    "miri": {"mode": "miri-lrs", "n_integrations": 100, "n_groups": 40},
    "long": {"mode": "nirspec-g395h", "n_integrations": 1600, "n_groups": 20},
    "soss-long": {
        "mode": "niriss-soss",
        "subarray": "SUBSTRIP256",
        "n_integrations": 400,
        "n_groups": 5,
    },
    "miri-long": {"mode": "miri-lrs", "n_integrations": 900, "n_groups": 40},
}

OURS = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import tsoxr
raw, references, out, steps, threads = sys.argv[1:6]
tsoxr.set_options(progress=False, threads=int(threads))
start, used = time.perf_counter(), time.process_time()
ds = tsoxr.open(raw).tso.use_references(references)
for name in steps.split(",")[:-1]:
    ds = getattr(ds.tso, name)()
ds.tso.fit_ramps(compute=False).tso.save(out)
spent = {"seconds": time.perf_counter() - start, "processor": time.process_time() - used}
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024**2
print(json.dumps(spent | {"peak": peak}))
"""

THEIRS = """
import glob, json, logging, os, sys, tempfile, time, warnings
os.environ.update(STPIPE_DISABLE_CRDS_STEPPARS="true", CRDS_PATH=tempfile.mkdtemp())
warnings.simplefilter("ignore")
import jwst.stpipe.core
jwst.stpipe.core.crds_client.get_context_used = lambda _: "N/A"
from stdatamodels.jwst import datamodels
from jwst.clean_flicker_noise import CleanFlickerNoiseStep
from jwst.dq_init import DQInitStep
from jwst.jump import JumpStep
from jwst.linearity import LinearityStep
from jwst.ramp_fitting import RampFitStep
from jwst.refpix import RefPixStep
from jwst.saturation import SaturationStep
from jwst.superbias import SuperBiasStep
logging.disable(logging.ERROR)
raw, folder, out = sys.argv[1:4]
def given(*kinds):
    return {f"override_{k}": glob.glob(f"{folder}/*_{k}_*")[0] for k in kinds}
def steps(miri):
    yield "dq", DQInitStep(**given("mask"))
    yield "saturation", SaturationStep(**given("saturation", "superbias"))
    if not miri:
        yield "bias", SuperBiasStep(**given("superbias"))
        yield "reference pixels", RefPixStep(override_refpix="N/A", override_sirskernel="N/A")
        yield "1/f", CleanFlickerNoiseStep(
            fit_method="median", background_method=None, skip=False, override_pastasoss="N/A",
            override_flat="N/A")
    yield "linearity", LinearityStep(**given("linearity"))
    yield "jumps", JumpStep(**given("gain", "readnoise"))
    yield "ramps", RampFitStep(**given("gain", "readnoise"))
import functools
from jwst.clean_flicker_noise import clean_flicker_noise
clean_flicker_noise.RampFitStep = functools.partial(RampFitStep, **given("gain", "readnoise"))
start, used, found = time.perf_counter(), time.process_time(), {}
model = datamodels.RampModel(raw)
miri = model.meta.instrument.name == "MIRI"
found["opening"] = time.perf_counter() - start
for name, step in steps(miri):
    before = time.perf_counter()
    model = step.run(model)
    found[name] = time.perf_counter() - before
mean, single = model
before = time.perf_counter()
single.save(out)
found["saving"] = time.perf_counter() - before
spent = {"seconds": time.perf_counter() - start, "processor": time.process_time() - used}
with open("/proc/self/status") as status:
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024**2
print("RESULT" + json.dumps(spent | {"peak": peak, "parts": found}))
"""


def pieces(raw: Path, gigabytes: float) -> list[Path]:
    """Cut a raw file along its integrations into files of at most so many GB."""
    size = raw.stat().st_size / 1024**3
    if size <= gigabytes:
        return [raw]
    made = []
    with fits.open(raw) as whole:
        n_times = whole["SCI"].shape[0]
        ends = np.linspace(0, n_times, int(np.ceil(size / gigabytes)) + 1).astype(int)
        for first, last in itertools.pairwise(ends):
            header = whole[0].header.copy()
            header.update({"INTSTART": first + 1, "INTEND": last, "NINTS": n_times})
            data = fits.ImageHDU(whole["SCI"].section[first:last], name="SCI")
            made.append(raw.with_name(f"piece{first}_uncal.fits"))
            fits.HDUList([fits.PrimaryHDU(header=header), data]).writeto(made[-1])
    return made


def pipeline(python: str, raw: Path, references: Path, piece: float) -> dict[str, Any]:
    """Return what the pipeline takes, and the files that it writes."""
    found: dict[str, Any] = {
        "seconds": 0.0,
        "processor": 0.0,
        "peak": 0.0,
        "parts": {},
        "files": [],
    }
    for part in pieces(raw, piece):
        out = part.with_name(part.name.replace("uncal", "rateints"))
        one = ran(python, THEIRS, part, references, out)
        found["seconds"] += one["seconds"]
        found["processor"] += one["processor"]
        found["peak"] = max(found["peak"], one["peak"])
        found["parts"] = {k: found["parts"].get(k, 0.0) + v for k, v in one["parts"].items()}
        found["files"].append(out)
        if part != raw:
            part.unlink()
    return found


def usable(ours: Path, theirs: list[Path], truth: xr.Dataset) -> list[np.ndarray]:
    """Return the rates (time, pixel) of both, NaN where flagged, of lit pixels that both trust."""
    lit = truth["rate"].values > 0.01 * float(truth["rate"].max())
    with xr.open_dataset(ours) as rates:
        ordered = rates.transpose("time", "y", "x", ...)
        found = [np.where(ordered["dq"].values & 1, np.nan, ordered["rate"].values)[:, lit]]
    if theirs:
        parts = []
        for path in theirs:
            with fits.open(path) as file:
                bad = file["DQ"].data & 1 > 0
                parts.append(np.where(bad, np.nan, file["SCI"].data)[:, lit])
        found.append(np.concatenate(parts))
    trusted = np.all([np.isfinite(rate).mean(axis=0) > 0.8 for rate in found], axis=0)
    return [rate[:, trusted].astype("f8") for rate in found]


def scatter(flux: np.ndarray, truth: xr.Dataset) -> tuple[float, float]:
    """Return the scatter of pixels (the median one) and of their sum against the truth, ppm."""
    model = (truth["white_flux"] / truth["white_flux"].median()).values
    level = np.nanmedian(flux / model[:, None], axis=0)
    residual = flux / level - model[:, None]
    total = np.nansum(residual * level, axis=1) / level.sum()
    return float(np.median(width(residual))), float(width(total))


def width(values: np.ndarray) -> np.ndarray:
    """Return the robust standard deviation along the first axis, parts per million."""
    middle = np.nanmedian(values, axis=0)
    return 1.4826e6 * np.nanmedian(np.abs(values - middle), axis=0)


def measured(name: str, folder: Path, python: str | None, piece: float) -> dict[str, Any]:
    """Simulate one case and let both reduce it."""
    exposure = tsoxr.simulation.exposure(**CASES[name], seed=1)
    references, out = folder / "refs", folder / "rates.nc"
    kept = sorted(folder.glob("*_uncal.fits"))
    (raw,) = kept or exposure.write(folder)
    exposure.write_references(references)
    found: dict[str, Any] = {
        "raw": raw.stat().st_size / 1024**3,
        "samples": exposure.clock.n_groups,
    }
    arguments = (raw, references, out, ",".join(RAMPS))
    for threads in (1, os.cpu_count()):
        found[f"{threads} threads"] = ran(sys.executable, OURS, *arguments, threads)
    with xr.open_dataset(out) as rates:
        found["samples"] *= rates["rate"].size
    if python:
        found["pipeline"] = pipeline(python, raw, references, piece)
        truth = exposure.truth(stripes=False)
        rates = usable(out, found["pipeline"]["files"], truth)
        found["scatter"] = [scatter(rate, truth) for rate in rates]
    return found


def row(name: str, found: dict[str, Any], piece: float) -> list[str]:
    """Return the figures of one case, ratios first; the pipeline had at most ``piece`` GB at once."""
    ours = {k: v for k, v in found.items() if k.endswith("threads")}
    memory = " / ".join(f"{v['peak']:.2f}" for v in ours.values())
    per = " / ".join(f"{1e9 * v['seconds'] / found['samples']:.0f}" for v in ours.values())
    seconds = " / ".join(f"{v['seconds']:.1f}" for v in ours.values())
    line = [f"{name}, {found['raw']:.2f} GB raw"]
    if "pipeline" in found:
        theirs = found["pipeline"]
        line.append(" / ".join(f"{theirs['seconds'] / v['seconds']:.1f}" for v in ours.values()))
        ratios = np.divide(*found["scatter"])
        line += [f"{ratios[0]:.3f}", f"{ratios[1]:.3f}"]
        line.append(f"{theirs['peak']:.2f} ({theirs['peak'] / min(found['raw'], piece):.1f})")
    largest = max(v["peak"] for v in ours.values())
    line.append(f"{memory} ({largest / found['raw']:.1f})")
    return [*line, seconds, per, *([f"{theirs['seconds']:.0f}"] if "pipeline" in found else [])]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--jwst", help="a Python that has the jwst package (see `make peers`)")
    parser.add_argument("--piece", type=float, default=0.5, help="GB")
    parser.add_argument("--folder", type=Path, help="where raw files stay, to be used again")
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    rows, parts = [], []
    with tempfile.TemporaryDirectory() as name:  # compiles
        measured("prism", Path(name), None, 1.0)
    for case in given.cases:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) if given.folder is None else given.folder / case
            found = measured(case, folder, given.jwst, given.piece)
        rows.append(row(case, found, given.piece))
        print(rows[-1], file=sys.stderr, flush=True)
        if given.jwst:
            spent = found["pipeline"]["parts"].items()
            parts.append(f"{case}: " + ", ".join(f"{k} {v:.1f}" for k, v in spent))
    peer = ["pipeline / tsoxr, 1 / 2 threads", "scatter of pixels", "of their sum"]
    peer.append("peak of the pipeline, GB (of raw)")
    header = ["case", *(peer if given.jwst else []), "peak, GB (of raw)", "s", "ns per sample"]
    print(table([*header, *(["s, pipeline"] if given.jwst else [])], rows))
    print("\nThe pipeline's steps, s: \n" + "\n".join(parts))


if __name__ == "__main__":
    main()
