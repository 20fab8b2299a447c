"""How fast whole calls of `extract` are, alone and beside other packages on the same arrays.

A call holds everything that it does: sample and median images, profile, weights and the pass over the
cube. The other packages get frames, trace and, exoTEDRF, the deep frame ready made. They run one
after the other in processes of their own, one thread each, integrations per processor second, best of
two calls after one that compiles.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr
from _peers import ran, table

import tsoxr

__all__ = ["against_peers", "whole_calls"]

WHOLE = {
    "32 x 2048": ("nirspec-g395h", {}, 10_000),
    "SUBSTRIP256": ("niriss-soss", {"subarray": "SUBSTRIP256"}, 280),
}
BESIDE = {
    "32 x 512": ("nirspec-prism", {}, 2000, 20),
    "SUBSTRIP256": ("niriss-soss", {"subarray": "SUBSTRIP256"}, 280, 8),
}
REPEATED = 40
OWN = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import tsoxr
path, method = sys.argv[1:]
tsoxr.set_options(progress=False)
rates = tsoxr.open(path).load()
spent = []
for _ in range(3):
    start = time.process_time()
    rates.tso.extract(method=method)
    spent.append(time.process_time() - start)
print(json.dumps({"per_second": rates.sizes["time"] / min(spent[1:])}))
"""
SPECREDUCE = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from astropy import units as u
from astropy.nddata import NDData, VarianceUncertainty
from specreduce.extract import HorneExtract
from specreduce.tracing import ArrayTrace
cube = np.load(sys.argv[1])
few = int(sys.argv[2])
frame, error, center = cube["frame"][:few], cube["error"][:few], cube["center"]
best = np.inf
for _ in range(2):
    start = time.process_time()
    for rate, sigma in zip(frame, error):
        image = NDData(rate * u.DN, uncertainty=VarianceUncertainty(sigma**2 * u.DN**2), mask=~np.isfinite(rate))
        HorneExtract(image, ArrayTrace(image, center), spatial_profile="gaussian", bkgrd_prof=None).spectrum
    best = min(best, time.process_time() - start)
print(json.dumps({"per_second": few / best}))
"""
EXOTEDRF = """
import contextlib, io, json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    from exotedrf.stage3 import do_optimal_extraction
    cube = np.load(sys.argv[1])
    few, half = int(sys.argv[2]), float(sys.argv[3])
    center, n_y = cube["center"], cube["frame"].shape[1]
    low = np.clip(np.round(center - half), 0, n_y - 2).astype(int)
    high = np.clip(np.round(center + half) + 1, low + 1, n_y).astype(int)
    best = np.inf
    for _ in range(2):
        frame = np.nan_to_num(cube["frame"][:few].astype(float))
        start = time.process_time()
        do_optimal_extraction(frame, np.median(frame, axis=0), ymin=low, ymax=high, xmin=0, xmax=frame.shape[2])
        best = min(best, time.process_time() - start)
print(json.dumps({"per_second": few / best}))
"""


def rates_of(mode: str, own: dict, n_integrations: int) -> xr.Dataset:
    """Return rates with trace and wavelengths; many integrations are few, repeated with noise kept."""
    few = min(n_integrations, REPEATED)
    rates = tsoxr.simulate(mode, kind="rates", n_integrations=few, seed=1, **own)
    rates = rates.tso.find_trace().tso.assign_wavelength()
    if few == n_integrations:
        return rates
    long = rates.isel(time=np.arange(n_integrations) % few)
    return long.assign_coords(time=rates["time"].values[0] + 1e-4 * np.arange(n_integrations))


def whole_calls(methods: list[str]) -> str:
    """Return elapsed seconds of whole calls on rates in memory, with the threads of the machine."""
    lines = []
    for name, (mode, own, n) in WHOLE.items():
        rates = rates_of(mode, own, n)
        for method in methods:
            spent = []
            for _ in range(3):
                start = time.perf_counter()
                rates.tso.extract(method=method)
                spent.append(time.perf_counter() - start)
            lines.append([name, str(n), method, f"{min(spent[1:]):.2f}"])
        del rates
    return table(["pixels", "integrations", "method", "elapsed [s]"], lines)


def against_peers(specreduce: str | None, exotedrf: str | None) -> str:
    """Return integrations per processor second of one thread, ours and others'."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name, (mode, own, n, few) in BESIDE.items():
            file, cube = Path(folder) / f"{mode}.nc", Path(folder) / f"{mode}.npz"
            rates = rates_of(mode, own, n)
            rates.tso.save(file)
            arrays = (rates[v].transpose("time", "y", "x").values for v in ("rate", "rate_error"))
            first = float(rates["y"][0])
            center = rates["trace_center"].values - first
            np.savez(cube, **dict(zip(("frame", "error"), arrays, strict=True)), center=center)
            half = float(rates.tso.extract()["aperture_half_width"])
            for method in ("optimal", "box"):
                found = ran(sys.executable, OWN, file, method)
                lines.append([name, f"tsoxr, {method}", f"{found['per_second']:.0f}"])
            for title, python, code, more in (
                ("specreduce, Horne", specreduce, SPECREDUCE, (few,)),
                ("exoTEDRF, optimal", exotedrf, EXOTEDRF, (few, half)),
            ):
                if python is not None:
                    found = ran(python, code, cube, *more)
                    lines.append([name, title, f"{found['per_second']:.1f}"])
    return table(["pixels", "what", "integrations per processor second"], lines)
