"""Time and memory of clean_1overf on ramps in memory, one thread, beside the STScI pipeline.

Simulated exposures with the standard noise, bias subtracted, float32. Times are processor time of
one thread, the best of several, and per value of the cube. "copies" is the time over that of
``ramp.copy()``; memory is the peak (``VmHWM`` of Linux) over that before the call, input not
counted: with numpy input the result (4 bytes for each sample) is in it, with dask input it is
reduced chunk by chunk. The pipeline's ``clean_flicker_noise`` runs on the same cube in a process
of its own, without subtraction of a background: with the mask it makes itself, for which it fits
ramps, and with the mask of tsoxr given. It refuses MIRI's slitless spectra; these are declared an
image for it.
"fft", of NIRSpec only, is timed on the first integrations.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
from pathlib import Path

import numpy as np
import xarray as xr
from _peers import ran
from astropy.io import fits

import tsoxr

CASES = {
    "prism": {"mode": "nirspec-prism", "n_integrations": 200, "n_groups": 10},
    "g395h": {"mode": "nirspec-g395h", "n_integrations": 50, "n_groups": 20},
    "soss": {"mode": "niriss-soss", "subarray": "SUBSTRIP256", "n_integrations": 20, "n_groups": 5},
    "nircam": {
        "mode": "nircam-grism", "subarray": "SUBGRISM64", "n_integrations": 60, "n_groups": 6,
    },
    "miri": {"mode": "miri-lrs", "n_integrations": 100, "n_groups": 40},
    "prism long": {"mode": "nirspec-prism", "n_integrations": 1000, "n_groups": 10},
    "g395h long": {"mode": "nirspec-g395h", "n_integrations": 200, "n_groups": 20},
    "soss long": {
        "mode": "niriss-soss", "subarray": "SUBSTRIP256", "n_integrations": 100, "n_groups": 5,
    },
    "nircam long": {
        "mode": "nircam-grism", "subarray": "SUBGRISM64", "n_integrations": 200, "n_groups": 6,
    },
}  # fmt: skip

OURS = """
import json, pickle, sys, time, warnings
warnings.simplefilter("ignore")
import dask, tsoxr
def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024
def peak(func):
    open("/proc/self/clear_refs", "w").write("5")  # forgets the peak so far
    before = status("VmRSS")
    func()
    return status("VmHWM") - before
def best(func):
    spent = []
    for _ in range(repeat):
        start = time.process_time(); func(); spent.append(time.process_time() - start)
    return min(spent)
path, methods, repeat = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3])
tsoxr.set_options(progress=False)
dask.config.set(scheduler="synchronous")
ds = pickle.load(open(path, "rb"))
size = int(2**23 // ds["ramp"][0].size) or 1
lazy = ds.chunk(time=size)
found = {"samples": ds["ramp"].size, "chunk": 4 * ds["ramp"][:size].size}
for method in methods:
    clean = lambda data: tsoxr.steps.clean_1overf(data, method=method)
    reduced = lambda: clean(lazy)["ramp"].max(("group", "y", "x")).compute()
    clean(ds.isel(time=slice(0, 4)))  # compiles
    copy, spent = best(lambda: ds["ramp"].values.copy()), best(lambda: clean(ds))
    found[method] = {"seconds": spent, "copy": copy, "peak": peak(lambda: clean(ds)),
                     "peak of chunks": peak(reduced)}
print(json.dumps(found))
"""

THEIRS = """
import functools, json, logging, os, pickle, sys, tempfile, time, warnings
os.environ.update(STPIPE_DISABLE_CRDS_STEPPARS="true", CRDS_PATH=tempfile.mkdtemp())
warnings.simplefilter("ignore")
import numpy as np
import jwst.stpipe.core
jwst.stpipe.core.crds_client.get_context_used = lambda _: "N/A"
from stdatamodels.jwst import datamodels
from jwst.clean_flicker_noise import CleanFlickerNoiseStep, clean_flicker_noise
from jwst.ramp_fitting import RampFitStep
logging.disable(logging.ERROR)
path, repeat, n_fft = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
given, folder = pickle.load(open(path, "rb")), tempfile.mkdtemp()
def model(n):
    made = datamodels.RampModel(given["ramp"][:n].shape)
    made.data, made.groupdq = given["ramp"][:n].copy(), given["groupdq"][:n].copy()
    made.pixeldq = given["pixeldq"].copy()
    for key, value in given["meta"].items():
        made[key] = value
    made.meta.exposure.nints = n
    return made
own = {}
for kind, cls in (("gain", datamodels.GainModel), ("readnoise", datamodels.ReadnoiseModel)):
    reference = cls(data=given[kind])
    for key, value in given["meta"].items():
        if key.startswith(("meta.instrument", "meta.subarray")):
            reference[key] = value
    reference.save(own.setdefault(f"override_{kind}", f"{folder}/{kind}.fits"))
clean_flicker_noise.RampFitStep = functools.partial(RampFitStep, **own)  # for its own mask
mask = f"{folder}/mask.fits"
datamodels.ImageModel(given["mask"]).save(mask)
n_time, found = len(given["ramp"]), {}
cases = [("median", None, n_time), ("median", mask, n_time)]
if n_fft and given["meta"]["meta.instrument.name"] == "NIRSPEC":
    cases += [("fft", mask, n_fft)]
for method, user_mask, n in cases:
    spent = []
    for _ in range(repeat):
        step = CleanFlickerNoiseStep(fit_method=method, background_method=None, skip=False,
                                     user_mask=user_mask, override_pastasoss="N/A")
        ramps = model(n)
        start = time.process_time(); done = step.run(ramps); spent.append(time.process_time() - start)
        assert done.meta.cal_step.clean_flicker_noise == "COMPLETE"
        del ramps, done
    name = method + (", own mask" if user_mask is None else ", mask given")
    found[name] = min(spent) / given["ramp"][:n].size
print("RESULT" + json.dumps(found))
"""


def made(name: str, folder: Path) -> Path:
    """Simulate an exposure; write it for either package; return the path of ours."""
    exposure = tsoxr.simulation.exposure(**CASES[name], seed=1)
    ds = tsoxr.steps.subtract_bias(exposure.ramps()).compute()
    ours = folder / f"{name}.pickle"
    ours.write_bytes(pickle.dumps(ds, protocol=5))
    small = exposure.replace(n_integrations=1, n_groups=2)
    header = fits.getheader(small.write(folder / name)[0])
    mask = tsoxr.steps.clean_1overf(ds.isel(time=slice(0, 32)), method="mean")["clean_1overf_mask"]
    shape = (ds.sizes["y"], ds.sizes["x"])
    theirs = {
        "ramp": np.ascontiguousarray(ds["ramp"].transpose("time", "group", "y", "x")),
        "groupdq": ds["dq_group"].values.astype("u1"),
        "pixeldq": ds["dq_pixel"].values.astype("u4"),
        "gain": np.broadcast_to(ds["gain"], shape).astype("f4"),
        "readnoise": np.broadcast_to(ds["read_noise"], shape).astype("f4"),
        "mask": mask.values.astype("f4"),
        "meta": metadata(ds, header),
    }
    (folder / f"{name}_theirs.pickle").write_bytes(pickle.dumps(theirs, protocol=5))
    return ours


def metadata(ds: xr.Dataset, header: fits.Header) -> dict[str, object]:
    """Return what the pipeline's step asks of a file."""
    keys = {
        "meta.exposure.type": "EXP_TYPE", "meta.exposure.readpatt": "READPATT",
        "meta.exposure.nframes": "NFRAMES", "meta.exposure.groupgap": "GROUPGAP",
        "meta.exposure.frame_time": "TFRAME", "meta.exposure.group_time": "TGROUP",
        "meta.instrument.name": "INSTRUME", "meta.instrument.detector": "DETECTOR",
        "meta.instrument.filter": "FILTER", "meta.instrument.grating": "GRATING",
        "meta.instrument.pupil": "PUPIL", "meta.subarray.name": "SUBARRAY",
        "meta.subarray.fastaxis": "FASTAXIS", "meta.subarray.slowaxis": "SLOWAXIS",
        "meta.subarray.xstart": "SUBSTRT1", "meta.subarray.ystart": "SUBSTRT2",
        "meta.subarray.xsize": "SUBSIZE1", "meta.subarray.ysize": "SUBSIZE2",
    }  # fmt: skip
    found = {name: header[key] for name, key in keys.items() if key in header}
    found |= {"meta.exposure.ngroups": ds.sizes["group"], "meta.exposure.drop_frames1": 0}
    found |= {"meta.observation.date": "2024-01-01", "meta.observation.time": "00:00:00"}
    if found["meta.exposure.type"] == "MIR_LRS-SLITLESS":
        found["meta.exposure.type"] = "MIR_IMAGE"
    return found


def report(name: str, ours: dict, theirs: dict[str, float]) -> str:
    """Return the figures of one exposure as text."""
    size, how = ours["samples"], CASES[name]
    head = f"{name}: {how}, {size / 1e6:.1f} million samples, {4 * size / 2**20:.0f} MB"
    lines = [f"{head}, chunks of {ours['chunk'] / 2**20:.0f} MB"]
    lines += [f"  clean_flicker_noise {k:20} {1e9 * v:8.1f} ns" for k, v in theirs.items()]
    for method in (key for key in ours if key not in ("samples", "chunk")):
        row = ours[method]
        one, memory = row["seconds"] / size, (row["peak"], row["peak of chunks"])
        lines += [
            f"  {method:8} {row['seconds']:6.2f} s, {1e9 * one:6.1f} ns, "
            f"{row['seconds'] / row['copy']:5.1f} copies, "
            + "peak {:.0f} MB, of chunks {:.0f} MB".format(*(m / 2**20 for m in memory))
        ]
        lines += [f"    times faster than {k:20} {v / one:8.1f}" for k, v in theirs.items()]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--methods", nargs="+", default=["median", "mean", "scaled"])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--jwst", type=Path, default=Path(".venv-golden/bin/python"))
    parser.add_argument("--jwst-repeat", type=int, default=2)
    parser.add_argument("--fft-integrations", type=int, default=4)
    given = parser.parse_args()
    tsoxr.set_options(progress=False)
    for name in given.cases:
        with tempfile.TemporaryDirectory() as folder:
            ours = made(name, Path(folder))
            theirs = {}
            if given.jwst.exists():
                path = ours.with_name(f"{name}_theirs.pickle")
                how = (given.jwst_repeat, given.fft_integrations)
                theirs = ran(str(given.jwst), THEIRS, path, *how)
            found = ran(sys.executable, OURS, ours, ",".join(given.methods), given.repeat)
        print(report(name, found, theirs), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
